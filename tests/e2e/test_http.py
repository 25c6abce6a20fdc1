"""Malformed requests over the API listener: the right status, a problem that never repeats the input, nothing burned,
nothing behind a refused request interpreted; and the audit query."""
import base64
import gzip
import hashlib
import json
import socket
import sys
import urllib.parse

import tap
from stack import ACCOUNT, GOOD, REGION, SECONDS, main, openssl
from tap import equal

STACK = None
KEYS = []
MARK = "zq9mark"  # stands in bad input, and must not come back


def problem(status, code, answer):
    got, headers, body = answer
    equal((got, body["code"], body["status"]), (status, code, status))
    equal(headers["Content-Type"], "application/problem+json")
    equal(headers["Cache-Control"], "no-store")
    equal(headers["X-Request-Id"], body["request_id"])
    assert MARK not in json.dumps(body), body
    return body


def post(body, headers=None, path="/v1/releases"):
    return STACK.request("POST", path, body, headers=headers)


def test_attack_36_malformed_json():
    for body in ("", "{", "[]", "null", '"x"', "{}x", '{"assertion":{},"assertion":{}}', '{"a":1,"\\u0061":2}',
                 "\ufeff{}".encode(), b"\xff\xfe", "[" * 60000, '{"csr":"%s"}' % MARK, '{"%s":1}' % MARK,
                 '{"a":1e400}', '{"a":NaN}'):
        body = problem(400, "malformed", post(body))
        equal(body["retryable"], False)
        assert body["detail"], body


def test_the_field_is_named():
    instance = STACK.launch()
    good = {"assertion": STACK.assertion(instance), "csr": KEYS[0].csr}
    for field in good["assertion"]:
        changed = {**good, "assertion": {**good["assertion"], field: MARK + " \u2028"}}
        detail = problem(400, "malformed", post(changed))["detail"]
        assert detail.startswith("assertion.%s:" % field), detail
        missing = {k: v for k, v in good["assertion"].items() if k != field}
        detail = problem(400, "malformed", post({**good, "assertion": missing}))["detail"]
        assert detail.startswith("assertion.%s:" % field), detail
    for csr in (7, "", MARK, KEYS[0].csr[:-60], KEYS[0].csr + MARK):
        detail = problem(400, "malformed", post({**good, "csr": csr}))["detail"]
        assert detail.startswith("csr:"), detail
    for evidence in ([], {"nitro-tpm": "x"}, {"identity-document": 7}, {"caller-identity": {}}, {"caller-identity": [MARK]},
                     {"caller-identity": {"authorization": MARK, "x-amz-date": MARK}},
                     {"caller-identity": {"authorization": MARK, "x-amz-date": MARK, "x-amz-security-token": MARK,
                                          "host": MARK}}):
        problem(400, "malformed", post({**good, "evidence": evidence}))
    problem(400, "malformed", post({**good, "challenge": 7}))
    equal(STACK.instance_events(instance), [])
    STACK.granted(instance, KEYS[0])


def test_attack_36_sizes_and_types():
    problem(413, "too-large", post(b"x" * 65537))
    problem(400, "malformed", post(b"x" * 65536))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                 "application/jsonx"):
        problem(415, "unsupported-type", post("{}", headers={"Content-Type": kind}))
    problem(415, "unsupported-type", post("{}", headers={}))
    instance = STACK.launch()
    packed = gzip.compress(STACK.release_body(instance, KEYS[0]))
    for coding in ("gzip", "deflate", "x"):
        status = post(packed, headers={"Content-Type": "application/json", "Content-Encoding": coding})[0]
        assert status in (400, 415), (coding, status)
    equal(STACK.instance_events(instance), [])
    problem(400, "malformed", post("{}", headers={"Content-Type": "application/json; charset=utf-8"}))


def test_paths_and_methods():
    for path in ("/", "/v1", "/v1/releases/", "/v1//releases", "//v1/releases", "/v1/releases/../releases",
                 "/v1/%72eleases", "/V1/releases", "/v1/challenges", "/v1/releases/x/ack",
                 "/v1/releases/%s/ack" % MARK, "/v1/audit/events", "/metrics", "/" + "a" * 3000):
        status = STACK.request("POST", path, "{}")[0]
        assert status in (404, 400, 414, 431), (path, status)
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
        status, headers, _ = STACK.request(method, "/v1/releases", headers={})
        equal((method, status, headers.get("Allow")), (method, 405, "POST"))
    equal(STACK.request("POST", "/livez", "{}")[0], 405)
    equal(STACK.request("GET", "/livez", headers={})[0], 200)
    for path in ("/livez?x", "/livez?", "/readyz?x"):
        equal((path, STACK.request("GET", path, headers={})[0]), (path, 404))
    for path in ("/v1/releases?x=1", "/v1/releases?", "/v1/releases/017f22e2-79b0-7cc3-98c4-dc0c0c07398f/ack?"):
        equal((path, STACK.request("POST", path, "{}")[0]), (path, 404))
    equal(STACK.request("GET", "/metrics?x", port=STACK.ops_port, headers={})[0], 404)
    status, _, body = STACK.request("GET", "/readyz", headers={})
    equal((status, body), (200, {"ready": True, "development": True}))


def raw(data):
    """Sends bytes and reads until the server closes; what came."""
    with socket.create_connection(("127.0.0.1", STACK.port), timeout=SECONDS) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while piece := connection.recv(65536):
            got += piece
        tap.came(got.split(b" ", 2)[1].decode() if got else "closed")
        return got


def test_attack_34_requests_with_two_readings():
    second = b"GET /livez HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n"
    body = b"{}"
    head = b"POST /v1/releases HTTP/1.1\r\n"
    cases = [
        head + b"Host: a\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n" + body,
        head + b"Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        head + b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        head + b"Host: a\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nContent-Length: +2\r\n\r\n" + body,
        head + b"Host: a\r\nContent-Length: 0x2\r\n\r\n" + body,
        head + b"Host: a\r\nContent-Length : 2\r\n\r\n" + body,
        b"POST /v1/releases HTTP/1.0\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body,
        b"POST http://a/v1/releases HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nX-\x01Y: 1\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nForwarded: for=10.0.0.1\r\nContent-Length: 2\r\n\r\n" + body,
        head + b"Host: a\r\nX_Forwarded_For: 10.0.0.1\r\nContent-Length: 2\r\n\r\n" + body,
    ]
    for case in cases:
        got = raw(case + second)
        status = got.split(b" ", 2)[1:2]
        assert not status or status[0] in (b"400", b"404", b"413", b"415"), (case, got)
        assert b'"live"' not in got, (case, got)
    good = raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" + second)
    equal(good.count(b'"live"'), 2)  # the second is read where nothing was wrong


def test_attack_28_other_spellings_burn_nothing():
    instance = STACK.launch()
    good = STACK.assertion(instance)
    ident = good["instance-id"]
    for other in (ident.upper(), " " + ident, ident + " ", ident + "\u0000", ident[:-1], ident + "0",
                  ident[:-1] + "\uff10", ident + "%00", ident[:10], "I" + ident[1:], ident.replace("-", "\u2010"),
                  "\t" + ident, ident + "\n", ident[2:], ident[:-1] + "\u0660", ident + "," + ident, [ident]):
        answer = post({"assertion": {**good, "instance-id": other}, "csr": KEYS[0].csr})
        assert answer[0] in ((400, 503) if other != ident[:10] else (403,)), (other, answer)  # eight digits are an id
    STACK.granted(instance, KEYS[0])


def test_full_house_is_told_at_once():
    before = STACK.server
    STACK.stop(before)
    STACK.write_config(limits={"waiting": 1})
    STACK.start_server()
    instance, other = STACK.launch(), STACK.launch()
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=1500, times=1)
    with socket.create_connection(("127.0.0.1", STACK.port), timeout=SECONDS,
                                  source_address=(instance["address"], 0)) as waiting:
        body = STACK.release_body(instance, KEYS[0])
        waiting.sendall(b"POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        while STACK.request("GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]["under_way"] < 1:
            pass
        status, headers, answer = STACK.release(other, KEYS[0])
        equal((status, answer["code"]), (503, "overloaded"))
        assert int(headers["Retry-After"]) >= 1
        got = b""
        while piece := waiting.recv(65536):
            got += piece
    equal(got.split(b" ", 2)[1], b"200")
    STACK.granted(other, KEYS[0])
    STACK.stop(STACK.server)
    STACK.write_config()
    STACK.start_server()


def test_attack_39_hostile_bytes_stay_one_line():
    hostile = "x\r\n{\"seq\":1}\u2028\u2029\\\"';--\t\U0001f511"
    instance = STACK.launch(tags={"env": hostile}, launch_time="2026-01-01T00:00:00.000Z")
    before = len(STACK.log("server"))
    equal(STACK.release(instance, KEYS[0])[0], 403)
    event = STACK.instance_events(instance)[-1]
    check = [c for c in event["checks"] if c["name"] == "tag"][0]
    equal(check["observed"], "env=" + hostile)
    lines = STACK.log("server")[before:].splitlines()
    said = [json.loads(line) for line in lines]  # every line is whole
    denied = [entry for entry in said if entry.get("instance-id") == instance["id"]]
    equal(len(denied), 1)
    equal(denied[0]["reason"], "tag")
    raw = STACK.cli("audit", "query", "--url", "http://127.0.0.1:%d" % STACK.ops_port, "--token-file",
                    str(STACK.etc / "token"), "--instance-id", instance["id"], "--json").stdout
    equal(len(raw.splitlines()), 1)
    assert "\x1b" not in raw and "\u2028" not in raw


def test_attack_39_hostile_bytes_in_every_field_of_ec2():
    hostile = "x\r\n{\"seq\":1}\u2028\u2029\\\"';--\t<&\U0001f511"
    tags = {"env": "prod", "aws:ec2launchtemplate:id": GOOD["launch_template"], "aws:autoscaling:groupName": "web"}
    for change in ({"image": hostile}, {"type": hostile}, {"vpc": hostile}, {"subnet": hostile}, {"groups": [hostile]},
                   {"private_dns": hostile}, {"public_dns": hostile}, {"reservation": hostile}, {"profile_arn": hostile},
                   {"tags": {**tags, "aws:autoscaling:groupName": hostile}},
                   {"tags": {**tags, "aws:ec2launchtemplate:id": hostile}}, {"tags": {**tags, "env": hostile}}):
        instance = STACK.launch()
        STACK.sim.control("set", instance=instance["id"], **change)
        before = len(STACK.log("server"))
        status = STACK.release(instance, KEYS[0])[0]
        assert status in (403, 503), (change, status)
        said = [json.loads(line) for line in STACK.log("server")[before:].splitlines()]  # every line is whole
        told = [entry for entry in said if entry.get("instance-id") == instance["id"]]
        equal(len(told), 1, str(change))
        if status == 503:  # it was no answer at all
            continue
        assert hostile in told[0]["text"].encode("latin-1").decode(), told  # a byte each, as vault/log.c writes them
        checks = STACK.instance_events(instance)[-1]["checks"]
        assert any(hostile in c["expected"] + c["observed"] for c in checks), (change, checks)


def test_attack_25_an_error_that_carries_text():
    hostile = "%s\r\n{&quot;seq&quot;:1} \u2028" % MARK
    bodies = ("<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>",
              "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", "%s%s")
    for body in bodies:
        instance = STACK.launch()
        STACK.sim.fault("DescribeInstances", "replace-body", value=body % (hostile, hostile), times=-1)
        before = len(STACK.log("server"))
        answer = STACK.release(instance, KEYS[0])
        STACK.sim.clear_faults()
        problem(503, "upstream-unavailable", answer)  # and the mark is not in it
        for line in STACK.log("server")[before:].splitlines():
            json.loads(line)
        equal(STACK.instance_events(instance), [])
        STACK.granted(instance, KEYS[0])


# ---- CSRs

def request_for(name, *options, key=None):
    """PEM of a CSR for a new key of that kind, or for `key`."""
    path = STACK.keys / name
    if not key:
        openssl("genpkey", *key_options(name), "-out", str(path))
    return openssl("req", "-new", "-key", str(key.path if key else path), "-sha256", "-subj", "/", *options).decode()


def key_options(name):
    kind, _, size = name.partition("-")
    return {"rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:" + size),
            "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + size.removesuffix("-explicit"))
            + (("-pkeyopt", "ec_param_enc:explicit") if size.endswith("explicit") else ()),
            "ed25519": ("-algorithm", "ED25519")}[kind]


def bent(csr, at):
    """The CSR with one bit changed at that place of its DER."""
    der = bytearray(base64.b64decode("".join(csr.splitlines()[1:-1])))
    der[at] ^= 1
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[i:i + 64] for i in range(0, len(text), 64))
    return "-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n" % lines


def test_attack_42_only_the_public_key_counts():
    for options in (("-subj", "/CN=attacker.example/O=root"), ("-addext", "basicConstraints=critical,CA:TRUE"),
                    ("-addext", "subjectAltName=DNS:vouchsafe.internal", "-addext", "keyUsage=keyCertSign")):
        instance = STACK.launch()
        body = {"assertion": STACK.assertion(instance), "csr": request_for("", *options, key=KEYS[0])}
        status, _, answer = STACK.request("POST", "/v1/releases", body, instance["address"])
        equal(status, 200)
        equal(KEYS[0].open(answer["sealed"])["instance-id"], instance["id"])
        event = STACK.instance_events(instance)[-1]
        equal(event["recipient"], KEYS[0].sha256)
        assert "attacker" not in json.dumps(event) and "vouchsafe.internal" not in json.dumps(event)


def test_attack_42_weak_keys_and_bad_signatures():
    instance = STACK.launch()
    good = STACK.assertion(instance)
    whole = len(base64.b64decode("".join(KEYS[0].csr.splitlines()[1:-1])))
    point = base64.b64decode("".join(KEYS[0].csr.splitlines()[1:-1])).index(b"\x03\x42\x00\x04") + 4
    bad = [bent(KEYS[0].csr, at) for at in (point, point + 31, point + 63, whole - 1, whole - 40, 8)]
    bad += [request_for(name) for name in ("rsa-1024", "rsa-2048", "ec-P-384", "ec-P-256-explicit", "ec-secp256k1",
                                           "ed25519")]
    for csr in bad:
        detail = problem(400, "malformed", post({"assertion": good, "csr": csr}))["detail"]
        assert detail.startswith("csr:"), detail
    equal(STACK.instance_events(instance), [])
    STACK.granted(instance, KEYS[0])


# ---- the audit query

def ask(query="", token=None, **more):
    headers = {"Authorization": "Bearer " + (STACK.token if token is None else token)}
    return STACK.request("GET", "/v1/audit/events" + query, port=STACK.ops_port, headers=headers, **more)


def test_attack_41_who_may_ask():
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer "}, {"Authorization": STACK.token},
                    {"Authorization": "Basic " + STACK.token}, {"Authorization": "bearer" + STACK.token},
                    {"Authorization": "Bearer " + STACK.token[:-1]}, {"Authorization": "Bearer " + "x" * 5000}):
        status, got, body = STACK.request("GET", "/v1/audit/events", port=STACK.ops_port, headers=headers)
        equal((status, body["code"]), (401, "unauthorized"), str(headers)[:60])
        equal(got["WWW-Authenticate"], "Bearer")
    equal(STACK.request("GET", "/v1/audit/events", headers={"Authorization": "Bearer " + STACK.token})[0], 404)
    status, _, body = ask()
    equal(status, 200)
    queried = [e for e in STACK.events(event="audit.queried")][-1]
    equal(queried["actor"], "auditor:tester")


def test_attack_41_filters_order_limit_cursor():
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    for _ in range(4):
        STACK.release(instance, KEYS[1])
    ident = "instance-id=" + instance["id"]
    newest = ask("?%s" % ident)[2]["events"]
    equal([e["event"] for e in newest], ["release.conflict"] * 4 + ["release.granted"])
    oldest = ask("?%s&order=ascending" % ident)[2]["events"]
    equal(oldest, newest[::-1])
    equal(len(ask("?%s&event=release.conflict" % ident)[2]["events"]), 4)
    equal(len(ask("?%s&outcome=ok" % ident)[2]["events"]), 1)
    equal(len(ask("?%s&role=web-tier" % ident)[2]["events"]), 5)
    equal(len(ask("?%s&role=other" % ident)[2]["events"]), 0)
    third = oldest[2]["time"]
    equal(ask("?%s&since=%s&order=ascending" % (ident, third))[2]["events"], oldest[2:])
    equal(ask("?%s&until=%s&order=ascending" % (ident, third))[2]["events"], oldest[:2])
    for order in ("ascending", "descending"):
        pages, cursor = [], ""
        while True:
            answer = ask("?%s&order=%s&limit=2%s" % (ident, order, cursor))[2]
            pages += answer["events"]
            if "next_cursor" not in answer:
                break
            cursor = "&cursor=" + answer["next_cursor"]
        equal(pages, oldest if order == "ascending" else newest)
    cursor = ask("?%s&limit=2" % ident)[2]["next_cursor"]
    for query in ("?limit=2&cursor=" + cursor, "?%s&limit=2&order=ascending&cursor=%s" % (ident, cursor),
                  "?%s&cursor=%s" % (ident, cursor[:-2] + "AA"), "?%s&cursor=AAAA" % ident):
        problem(400, "malformed", ask(query))


def test_attack_41_bad_queries():
    for query in ("?limit=0", "?limit=1001", "?limit=1000000000", "?limit=-1", "?limit=1&limit=2", "?limit=x", "?x=1",
                  "?order=up", "?order=ascending&order=ascending",
                  "?since=1970-01-01T00:00:00Z&since=1970-01-01T00:00:00Z", "?since=yesterday", "?event=", "?event", "?event=a%00", "?event=a%0a", "?event=%zz",
                  "?event=%e2%80%a8", "?instance-id=" + "a" * 300):
        equal((query, problem(400, "malformed", ask(query))["retryable"]), (query, False))
    for hostile in ("%27%20OR%201=1%20--", "%22;DROP%20TABLE%20events", "%25", "*"):
        equal(ask("?event=" + hostile)[2]["events"], [])
        equal(ask("?instance-id=" + hostile)[2]["events"], [])


PARAMETERS = ("instance-id", "role", "event", "outcome", "request-id", "release-id", "since", "until", "order", "limit",
              "cursor")


def test_attack_41_sql_in_every_parameter():
    STACK.granted(STACK.launch(), KEYS[0])
    before = STACK.events()
    for name in PARAMETERS:
        for value in ("'", "' OR '1'='1", "x' OR 1=1 --", "'; DROP TABLE event; --", "1; DELETE FROM find", "\" OR \"\"=\"",
                      "x') UNION SELECT sql FROM sqlite_master --", "%", "_%", "*", "NULL", "1e9", "9" * 30, "-1"):
            status, _, answer = ask("?%s=%s" % (name, urllib.parse.quote(value)))
            assert status == 400 or (status, answer["events"]) == (200, []), (name, value, status)
    equal([e for e in STACK.events() if e["event"] != "audit.queried"],
          [e for e in before if e["event"] != "audit.queried"])


def test_attack_41_another_readers_cursor():
    """It is made for one reader and one query, and holds nothing but a place."""
    token = "another-reader's-token"
    readers = [*STACK.config["audit_access"],
               {"name": "other", "role": "auditor", "token_sha256": hashlib.sha256(token.encode()).hexdigest()}]
    STACK.stop(STACK.server)
    STACK.write_config(audit_access=readers)
    STACK.start_server()
    query = "?event=release.granted&limit=1"
    mine, others = ask(query)[2]["next_cursor"], ask(query, token)[2]["next_cursor"]
    equal([ask(query + "&cursor=" + mine)[0], ask(query + "&cursor=" + others, token)[0]], [200, 200])
    problem(400, "malformed", ask(query + "&cursor=" + others))
    problem(400, "malformed", ask(query + "&cursor=" + mine, token))
    for at in range(0, len(mine), 3):
        problem(400, "malformed", ask(query + "&cursor=" + mine[:at] + ("A" if mine[at] != "A" else "B") + mine[at + 1:]))
    STACK.stop(STACK.server)
    STACK.write_config()
    STACK.start_server()


def test_audit_from_the_command_line():
    instance = STACK.launch(image="ami-0fffffffffffffff0")
    STACK.release(instance, KEYS[0])
    url = "http://127.0.0.1:%d" % STACK.ops_port
    more = ("--url", url, "--token-file", str(STACK.etc / "token"), "--instance-id", instance["id"])
    table = STACK.cli("audit", "query", *more).stdout
    assert "release.denied" in table and "image" in table and instance["id"] in table, table
    lines = STACK.cli("audit", "query", "--json", *more).stdout.splitlines()
    equal([json.loads(line)["reason"] for line in lines], ["image"])
    failed = [c for c in json.loads(lines[0])["checks"] if c["result"] == "failed"]
    equal([(c["name"], c["expected"], c["observed"]) for c in failed],
          [("image", "ami-0123456789abcdef0", "ami-0fffffffffffffff0")])
    equal(STACK.cli("audit", "query", "--url", url, check=False).returncode != 0, True)


def test_command_line_checks():
    equal(STACK.cli("config", "check").returncode, 0)
    equal(STACK.cli("policy", "check").returncode, 0)
    equal(STACK.cli("vault", "status").returncode, 0)
    listed = STACK.cli("secret", "list").stdout
    for name in ("hsm-partition-pin", "hsm-client-key", "hsm-client-cert"):
        assert name in listed, listed
    assert STACK.pin not in listed
    again = STACK.cli("vault", "apply")
    equal(again.returncode, 0)
    refused = STACK.cli("secret", "put", "hsm-partition-pin", "--kind", "opaque", input="x", check=False)
    equal(refused.returncode, 1)
    nothing = STACK.cli("ledger", "show", "i-0fffffffffffffff0", "--account", ACCOUNT, "--region", REGION, check=False)
    equal(nothing.returncode, 1)


if __name__ == "__main__":
    sys.exit(main(globals(), keys=2, sunk=True))
