"""docs/openapi.yaml against the route tables, the rules of OpenAPI that matter, and the answers that the server gives.

Debian has no validator for OpenAPI 3.1 itself; schemas are checked, and used, by python3-jsonschema (Draft 2020-12).
"""
import copy
import functools
import http.client
import json
import pathlib
import re
import signal
import socket
import sys
import urllib.parse

from stack import RULE, SECONDS, main, wait_for
from tap import Skip, equal

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

BOUND_RULE = {**{k: v for k, v in RULE.items() if k != "unbound_key"}, "name": "bound", "role": "bound-tier",
              "evidence": ["caller-identity"]}
PACED_RULE = {**RULE, "name": "paced", "role": "paced-tier", "max_per_hour": 1}

STACK = None
KEYS = []
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# What HTTP itself adds; never in the document.
TRANSPORT = {"connection", "date", "content-length", "content-type"}
# What no client can bring about: it takes a fault inside the server (tests/e2e/test_faults.py).
FROM_INSIDE = {("obtainRelease", "500"), ("getChallenge", "500"), ("acknowledgeRelease", "500"), ("queryEvents", "500")}
SEEN = set()
CODES = set()  # of problems


@functools.lru_cache
def document():
    """The parsed document; nobody may change it."""
    if not yaml:
        raise Skip("no jsonschema or no yaml here (Debian packages python3-jsonschema, python3-yaml)")
    doc = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
    for _, node in walk(doc):  # Python's $ would let a line break pass at the end, ECMA-262's does not
        if isinstance(node, dict) and isinstance(node.get("pattern"), str):
            node["pattern"] = re.sub(r"\$$", r"\\Z", node["pattern"])
    return doc


def follow(doc, reference):
    """What a local reference points to; KeyError where it is dangling."""
    found = doc
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def resolved(doc, node):
    return follow(doc, node["$ref"]) if "$ref" in node else node


def operations(doc):
    """(path, method, operation, its parameters) of each."""
    for path, item in doc["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method], item.get("parameters", []) + item[method].get("parameters", [])


def walk(node, path=()):
    yield path, node
    if isinstance(node, (dict, list)):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from walk(child, path + (key,))


def validator(doc, schema):
    """For one schema of the document, whose references stay inside it."""
    return jsonschema.Draft202012Validator({**schema, "components": doc["components"]})


@functools.lru_cache
def closed():
    """The document with its open objects closed: what is not described is a mistake, here."""
    doc = copy.deepcopy(document())
    for _, schema in walk(doc["components"]["schemas"]):
        if isinstance(schema, dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return doc


def violations(doc, schema, value):
    return ["%s: %s" % ("/".join(map(str, e.absolute_path)), e.message)
            for e in validator(doc, schema).iter_errors(value)]


# ---- the document by itself

def test_route_tables_both_ways():
    doc = document()
    source = (ROOT / "server/main.c").read_text()
    routes = set()
    for listener in ("api", "ops"):
        table = re.search(r"static const struct route %s_routes\[\] = \{\n(.*?)\n\};" % listener, source, re.S)
        assert table, "server/main.c has no table %s_routes of the known form" % listener
        rows = re.findall(r'^\t\{ "([A-Z]+)", "(/[^"]*)"', table.group(1), re.M)
        assert rows and len(rows) == len(re.findall(r"^\t\{ [^0]", table.group(1), re.M)), table.group(1)
        routes |= {(listener, method, path) for method, path in rows}
    described = {(tag, method.upper(), path) for path, method, operation, _ in operations(doc)
                 for tag in operation["tags"]}
    equal(described, routes)


def test_rules_of_openapi():
    doc = document()
    assert re.match(r"3\.1\.\d+$", doc["openapi"])
    version = re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    equal(doc["info"]["version"], version.group(1))
    equal(set(doc) - {"openapi", "info", "servers", "tags", "paths", "components"}, set())
    used = set()
    for path, node in walk(doc):
        if isinstance(node, dict) and "$ref" in node:
            assert node["$ref"].startswith("#/components/"), (path, node)
            follow(doc, node["$ref"])
            used.add(node["$ref"])
    there = {"#/components/%s/%s" % (kind, name) for kind, names in doc["components"].items() for name in names}
    # the sealed document and its parts travel encrypted, so no operation names it
    equal(there - used, {"#/components/schemas/SealedRelease", "#/components/securitySchemes/token",
                         "#/components/securitySchemes/certificate"})
    tags = {tag["name"] for tag in doc["tags"]}
    names = [operation["operationId"] for _, _, operation, _ in operations(doc)]
    equal(len(names), len(set(names)))
    for path, method, operation, parameters in operations(doc):
        where = method + " " + path
        assert operation["tags"] and set(operation["tags"]) <= tags, where
        for requirement in operation["security"]:
            assert set(requirement) <= set(doc["components"]["securitySchemes"]), where
        equal(set(re.findall(r"\{(.*?)\}", path)), {p["name"] for p in parameters if p["in"] == "path"}, where)
        equal(len({(p["name"], p["in"]) for p in parameters}), len(parameters), where)
        assert all(p["required"] is True for p in parameters if p["in"] == "path"), where
        assert all("schema" in p for p in parameters), where
        assert operation["responses"], where
        for status, response in operation["responses"].items():
            assert re.match(r"[1-5]\d\d$", status), (where, status)
            assert resolved(doc, response)["description"].strip(), (where, status)


def test_schemas_and_examples():
    doc = document()
    examples = 0
    for path, node in walk(doc):
        if len(path) > 1 and (path[-1] == "schema" or path[:-1] == ("components", "schemas")):
            jsonschema.Draft202012Validator.check_schema(node)
        if isinstance(node, dict) and "example" in node:
            examples += 1
            equal(violations(doc, {k: v for k, v in node.items() if k != "example"}, node["example"]), [], str(path))
    assert examples >= 2
    for name, schema in doc["components"]["schemas"].items():
        if schema.get("type") == "object":  # a required member that is not described could never be checked
            assert set(schema.get("required", [])) <= set(schema["properties"]), name


def test_the_schemas_can_refuse():
    """Each single change to a good document is found; else the rest of this file would prove nothing."""
    doc = closed()
    problem = {"type": "about:blank", "title": "Denied.", "status": 403, "code": "denied", "retryable": False,
               "request_id": "019a0000-0000-7000-8000-000000000001"}
    denied = doc["components"]["responses"]["Denied"]["content"]["application/problem+json"]["schema"]
    equal(violations(doc, denied, problem), [])
    for name in problem:
        assert violations(doc, denied, {k: v for k, v in problem.items() if k != name}), name
        assert violations(doc, denied, {**problem, name: 7}), name
    for more in ({"more": 1}, {"status": 404}, {"code": "malformed"}, {"retryable": True}, {"detail": "x"}):
        assert violations(doc, denied, {**problem, **more}), more


# ---- answers

def header_violations(doc, response, headers):
    got = {name.lower(): value for name, value in headers.items()}
    described = {name.lower(): resolved(doc, header) for name, header in response.get("headers", {}).items()}
    found = ["header %s is not described" % name for name in set(got) - set(described) - TRANSPORT]
    for name, header in described.items():
        if name not in got:
            found += ["header %s is missing" % name] if header.get("required") else []
            continue
        value = int(got[name]) if header["schema"].get("type") == "integer" and got[name].isdigit() else got[name]
        found += ["header %s: %s" % (name, v) for v in violations(doc, header["schema"], value)]
    return found


def check(name, status, answer):
    """One answer, as Stack.request gives it, to the operation of that name, which must have that status."""
    doc = closed()
    got, headers, body = answer
    equal(got, status, "%s: %s" % (name, body))
    operation = next(o for _, _, o, _ in operations(doc) if o["operationId"] == name)
    assert str(status) in operation["responses"], "%s: no response %d" % (name, status)
    response = resolved(doc, operation["responses"][str(status)])
    equal(header_violations(doc, response, headers), [], "%s %d" % (name, status))
    content = response.get("content", {})
    equal([headers["Content-Type"]] if "Content-Type" in headers else [], list(content), "content type")
    for media in content.values():
        equal(violations(doc, media["schema"], body), [], "%s %d" % (name, status))
    SEEN.add((name, str(status)))
    if status >= 400 and body:
        CODES.add(body.get("code"))
    return body


def post(path, body, **more):
    return STACK.request("POST", path, body, **more)


def ops(method, path, token=True, body=None, headers=None):
    headers = {**({"Authorization": "Bearer " + STACK.token} if token else {}), **(headers or {})}
    return STACK.request(method, path, body, port=STACK.ops_port, headers=headers)


def request_for(instance, key):
    return {"assertion": STACK.assertion(instance), "csr": key.csr}


def test_a_release_and_its_acknowledgement():
    doc, instance, key = closed(), STACK.launch(), KEYS[0]
    request = request_for(instance, key)
    equal(violations(doc, doc["components"]["schemas"]["ReleaseRequest"], request), [])
    answer = check("obtainRelease", 200, post("/v1/releases", request, source=instance["address"]))
    inside = key.open(answer["sealed"])
    equal(violations(doc, doc["components"]["schemas"]["SealedRelease"], inside), [])
    check("obtainRelease", 200, STACK.release(instance, key))
    check("obtainRelease", 409, STACK.release(instance, KEYS[1]))
    path = "/v1/releases/%s/ack" % answer["release_id"]
    for _ in range(2):
        check("acknowledgeRelease", 204, post(path, {"ack": inside["ack"]}))
    check("acknowledgeRelease", 404, post(path, {"ack": "wrong"}))
    check("acknowledgeRelease", 400, post(path, {"ack": 7}))
    check("acknowledgeRelease", 405, STACK.request("GET", path, headers={}))
    check("acknowledgeRelease", 413, post(path, b"x" * 65537))
    check("acknowledgeRelease", 415, post(path, "{}", headers={"Content-Type": "text/plain"}))


def test_challenges():
    check("getChallenge", 201, STACK.request("POST", "/v1/challenges", headers={}))
    check("getChallenge", 400, post("/v1/challenges", "x"))
    check("getChallenge", 404, STACK.request("POST", "/v1/challenges?x", headers={}))
    check("getChallenge", 405, STACK.request("GET", "/v1/challenges", headers={}))
    check("getChallenge", 413, post("/v1/challenges", b"x" * 65537))
    instance = STACK.launch(role="bound-tier")
    body = {**request_for(instance, KEYS[0]), "challenge": "x", "evidence": {
        "caller-identity": {"authorization": "x", "x-amz-date": "x", "x-amz-security-token": "x"}}}
    body["assertion"]["role"] = "bound-tier"
    check("obtainRelease", 401, post("/v1/releases", body, source=instance["address"]))


def test_refused_releases():
    instance, key = STACK.launch(), KEYS[0]
    check("obtainRelease", 404, post("/v1/releases?x", "{}"))
    check("obtainRelease", 400, post("/v1/releases", "{"))
    check("obtainRelease", 403, STACK.release(STACK.launch(image="ami-0fffffffffffffff0"), key))
    check("obtainRelease", 403, STACK.release(instance, key, role="nobody"))
    check("obtainRelease", 405, STACK.request("PUT", "/v1/releases", "{}"))
    check("obtainRelease", 413, post("/v1/releases", b"x" * 65537))
    check("obtainRelease", 415, post("/v1/releases", "{}", headers={}))


def test_what_the_request_schema_refuses_the_server_refuses():
    doc = document()
    schema = doc["components"]["schemas"]["ReleaseRequest"]
    good = request_for(STACK.launch(), KEYS[0])
    changed = [{**good, "evidence": {"more": "x"}}, {**good, "evidence": {"caller-identity": {"authorization": "x"}}},
               {**good, "challenge": 7}, {**good, "more": 1}, {"assertion": good["assertion"]}, {"csr": good["csr"]}, {**good, "csr": "x"}]
    for name in good["assertion"]:
        for value in (7, "\n", "\u00e9", "a" * 300, "A b"):
            changed.append({**good, "assertion": {**good["assertion"], name: value}})
        changed.append({**good, "assertion": {k: v for k, v in good["assertion"].items() if k != name}})
    changed.append({**good, "assertion": {**good["assertion"], "more": "x"}})
    for body in changed:
        assert violations(doc, schema, body), body
        check("obtainRelease", 400, post("/v1/releases", body))


def test_unavailable():
    instance, key = STACK.launch(), KEYS[0]
    check("obtainRelease", 503, STACK.release(STACK.launch(state="pending"), key))
    STACK.sim.fault("DescribeInstances", "throttle", times=1000)
    check("obtainRelease", 503, STACK.release(instance, key))
    STACK.sim.clear_faults()
    STACK.stop(STACK.member, signal.SIGKILL)
    wait_for("503 of the vault", lambda: STACK.release(instance, key)[2].get("code") == "vault-unavailable")
    check("obtainRelease", 503, STACK.release(instance, key))
    STACK.start_member()
    wait_for("vault", lambda: ops("GET", "/readyz?verbose")[2]["vault"] == "up")
    assert {"not-visible-yet", "upstream-unavailable", "vault-unavailable"} <= CODES, CODES


def test_overloaded():
    STACK.stop(STACK.server)
    STACK.write_config(limits={"waiting": 1})
    STACK.start_server()
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=2000, times=1)
    body = json.dumps(request_for(instance, KEYS[0])).encode()
    with socket.create_connection(("127.0.0.1", STACK.port), timeout=SECONDS,
                                  source_address=(instance["address"], 0)) as waiting:
        waiting.sendall(b"POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        wait_for("request under way", lambda: ops("GET", "/readyz?verbose")[2]["under_way"])
        check("obtainRelease", 503, STACK.release(instance, KEYS[0]))
        check("acknowledgeRelease", 503, post("/v1/releases/019a0000-0000-7000-8000-000000000001/ack", {"ack": "x"}))
        check("queryEvents", 503, ops("GET", "/v1/audit/events"))
        while waiting.recv(65536):
            pass
    assert "overloaded" in CODES, CODES
    STACK.stop(STACK.server)
    STACK.write_config()
    STACK.start_server()


def test_the_trail():
    """Every kind of event that this stack can make."""
    instance, cold = STACK.launch(), STACK.launch(image="ami-0fffffffffffffff0")
    before_restore = STACK.launch()
    STACK.granted(instance, KEYS[0])
    STACK.release(instance, KEYS[1])
    STACK.release(cold, KEYS[1])
    for _ in range(11):
        STACK.release(instance, KEYS[1], role="nobody")
    assertion = STACK.assertion(instance)
    STACK.cli("ledger", "rearm", instance["id"], "--account", assertion["account-id"], "--region", assertion["region"],
              "--reason", "disk \u00e9 lost", "--until", "30m")
    STACK.granted(instance, KEYS[1])
    for _ in range(2):
        STACK.release(STACK.launch(role="paced-tier"), KEYS[0], role="paced-tier")
    STACK.put("hsm-partition-pin", "pin", "next")
    STACK.put("short-lived", "opaque", "x")
    STACK.cli("secret", "remove", "short-lived", "--version", "1")
    STACK.stop(STACK.server)  # then the denials that were not events of their own become one
    (STACK.signed / "hsm-a.head").unlink()
    STACK.cli("restore", "--accept", "--reason", "the member's state is lost")
    STACK.start_server()
    STACK.granted(before_restore, KEYS[0])
    events, query = [], "/v1/audit/events?order=ascending&limit=7"
    page = check("queryEvents", 200, ops("GET", query))
    while "next_cursor" in page:
        events += page["events"]
        page = check("queryEvents", 200, ops("GET", query + "&cursor=" + page["next_cursor"]))
    described = document()["components"]["schemas"]["Event"]["properties"]["event"]["enum"]
    equal({e["event"] for e in events + page["events"]}, set(described))
    check("queryEvents", 200, ops("GET", "/v1/audit/events"))


def test_parameters_of_the_query_both_ways():
    doc = document()
    sample = {"instance-id": "i-0123456789abcdef0", "role": "web-tier", "event": "release.granted", "outcome": "ok",
              "request-id": "019a0000-0000-7000-8000-000000000001", "release-id": "019a0000-0000-7000-8000-000000000002",
              "since": "2020-01-01T00:00:00Z", "until": "2090-01-01T00:00:00.5Z", "order": "ascending", "limit": "1"}
    sample["cursor"] = ops("GET", "/v1/audit/events?limit=1&order=ascending")[2]["next_cursor"]
    parameters = next(p for _, _, o, p in operations(doc) if o["operationId"] == "queryEvents")
    equal({p["name"] for p in parameters}, set(sample))
    for parameter in parameters:
        name, schema = parameter["name"], resolved(doc, parameter["schema"])
        value = int(sample[name]) if schema["type"] == "integer" else sample[name]
        equal(violations(doc, schema, value), [], name)
        more = "&limit=1&order=ascending" if name == "cursor" else ""
        check("queryEvents", 200, ops("GET", "/v1/audit/events?%s=%s%s" % (name, sample[name], more)))
        for bad in ("", "\u00e9", "a" * 300, "0", "1001", "up", "2020-01-01"):
            value = int(bad) if schema["type"] == "integer" and bad.isdigit() else bad
            if violations(doc, schema, value) or not bad.isascii():
                check("queryEvents", 400, ops("GET", "/v1/audit/events?%s=%s" % (name, urllib.parse.quote(bad))))
    check("queryEvents", 400, ops("GET", "/v1/audit/events?no-such=1"))


def test_refused_queries():
    check("queryEvents", 401, ops("GET", "/v1/audit/events", token=False))
    check("queryEvents", 405, ops("POST", "/v1/audit/events", body="{}"))
    check("queryEvents", 413, ops("GET", "/v1/audit/events", body=b"x" * 65537))
    check("queryEvents", 400, ops("GET", "/v1/audit/events", body=b"x"))


def test_health():
    for port in (STACK.port, STACK.ops_port):
        for name, path in (("isAlive", "/livez"), ("isReady", "/readyz")):
            def get(query="", body=None, method="GET"):
                return STACK.request(method, path + query, body, port=port, headers={})
            check(name, 200, get())
            check(name, 404, get("?no-such"))
            check(name, 400, get(body=b"x"))
            check(name, 405, get(method="DELETE"))
            check(name, 413, get(body=b"x" * 65537))
    verbose = check("isReady", 200, ops("GET", "/readyz?verbose"))
    equal(set(verbose), set(document()["components"]["schemas"]["Readiness"]["properties"]))
    check("isReady", 404, STACK.request("GET", "/readyz?verbose", headers={}))  # not for agents


def test_metrics():
    connection = http.client.HTTPConnection("127.0.0.1", STACK.ops_port, timeout=SECONDS)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    check("readMetrics", 200, (response.status, dict(response.getheaders()), response.read().decode()))
    connection.close()
    check("readMetrics", 404, ops("GET", "/metrics?x"))
    check("readMetrics", 400, ops("GET", "/metrics", body=b"x"))
    check("readMetrics", 405, ops("POST", "/metrics", body="{}"))
    check("readMetrics", 413, ops("GET", "/metrics", body=b"x" * 65537))


def test_leaving():
    STACK.stop(STACK.server)
    STACK.write_config(drain="20s")
    STACK.start_server()
    STACK.server.send_signal(signal.SIGTERM)
    wait_for("leaving", lambda: STACK.request("GET", "/readyz", headers={})[0] == 503)
    check("isReady", 503, STACK.request("GET", "/readyz", headers={}))
    check("isReady", 503, ops("GET", "/readyz?verbose"))
    check("isAlive", 200, STACK.request("GET", "/livez", headers={}))
    equal(STACK.stop(STACK.server), 0)
    STACK.write_config()
    STACK.start_server()


def test_every_response_was_seen():
    doc = document()
    described = {(o["operationId"], status) for _, _, o, _ in operations(doc) for status in o["responses"]}
    equal(described - SEEN, FROM_INSIDE)


if __name__ == "__main__":
    sys.exit(main(globals(), [RULE, BOUND_RULE, PACED_RULE], keys=2))
