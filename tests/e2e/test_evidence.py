"""Evidence: signed identity documents, and credentials bound to the requester's key. Every forgery is denied with a
reason of its own, burns nothing and asks the vault nothing; the true instance is served all the same."""
import base64
import concurrent.futures
import datetime
import json
import os
import signal
import socket
import sys

import tap
from stack import ACCOUNT, BOUND, GOOD, REGION, RULE, SIGNED, main, openssl, wait_for
from tap import equal

PACED_RULE = {**RULE, "name": "paced", "role": "paced-tier", "max_per_hour": 2}
RULES = [RULE, BOUND, SIGNED, PACED_RULE]

STACK = None
KEYS = []
SINK = None


def launch(role="bound-tier", **changes):
    return STACK.launch(role=role, **changes)


def challenge():
    status, _, body = STACK.request("POST", "/v1/challenges", headers={})
    equal((status, body["expires_in"]), (201, 120))
    return body["challenge"]


def spki_sha256(key):
    return base64.urlsafe_b64encode(bytes.fromhex(key.sha256)).rstrip(b"=").decode()


def document(instance):
    return STACK.sim.metadata(instance["address"]).text("dynamic/instance-identity/rsa2048")


def caller(instance, key, nonce, signer=None, region=REGION, binding=None, date=None):
    """The three values of caller-identity, signed as the agent would."""
    signer = signer or STACK.sim.role_credentials(instance)
    return signer.caller_proof(region, binding or "%s.%s" % (nonce, spki_sha256(key)), date=date)


def request_body(instance, key, role="bound-tier", nonce=None, **changes):
    """A good request; `changes` replace its top-level members, evidence={...} those of the evidence."""
    nonce = nonce or challenge()
    evidence = {"identity-document": document(instance), "caller-identity": caller(instance, key, nonce)}
    evidence.update(changes.pop("evidence", {}))
    body = {"assertion": STACK.assertion(instance, role=role), "csr": key.csr, "challenge": nonce,
            "evidence": {k: v for k, v in evidence.items() if v is not None}}
    body.update(changes)
    return {k: v for k, v in body.items() if v is not None}


def send(instance, body, source=None):
    return STACK.request("POST", "/v1/releases", body, source or instance["address"])


def denied(instance, body, reason, source=None):
    sealed = STACK.log("member").count('"event":"sealed"')
    status, _, problem = send(instance, body, source)
    equal((status, problem["code"]), (403, "denied"), "answer to %s" % reason)
    equal(sorted(problem), ["code", "request_id", "retryable", "status", "title", "type"])
    event = [e for e in STACK.events(request_id=problem["request_id"])]
    equal([(e["event"], e["reason"]) for e in event], [("release.denied", reason)])
    equal(STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION, check=False).returncode, 1)
    equal(STACK.log("member").count('"event":"sealed"'), sealed, "the vault was not called")
    return event[0]


def served(instance, key=None, role="bound-tier"):
    key = key or KEYS[1]
    status, _, answer = send(instance, request_body(instance, key, role))
    equal((status, answer.get("code")), (200, None))
    equal(key.open(answer["sealed"])["instance-id"], instance["id"])


def checks(event):
    return {c["name"]: (c["result"], c["by"]) for c in event["checks"]}


def test_both_kinds_of_evidence():
    instance = launch()
    served(instance)
    event = STACK.instance_events(instance)[-1]
    equal(event["event"], "release.granted")
    assert "unbound_key" not in event["policy"] or event["policy"]["unbound_key"] is False, event["policy"]
    got = checks(event)
    for name in ("document-instance-id", "document-account-id", "document-region", "document-instance-type",
                 "document-private-ip"):
        equal(got[name], ("passed", "identity-document"))
    for name in ("document-image", "document-availability-zone", "document-pending-time"):
        equal(got[name], ("passed", "ec2"))
    for name in ("caller-identity", "caller-account", "caller-role", "caller-session"):
        equal(got[name], ("passed", "sts"))


def test_attack_1_the_request_to_sts_is_made_of_constants():
    instance = launch()
    nonce = challenge()
    served_body = request_body(instance, KEYS[0], nonce=nonce)
    equal(send(instance, served_body)[0], 200)
    last = STACK.sim.last("GetCallerIdentity")
    headers = {name.lower(): value for name, value in last["headers"]}
    equal(last["method"], "POST")
    equal(last["target"], "/")
    equal(last["body"], "Action=GetCallerIdentity&Version=2011-06-15")
    equal(headers["host"], "sts.us-east-1.amazonaws.com")
    proof = served_body["evidence"]["caller-identity"]
    equal(headers["authorization"], proof["authorization"])
    equal(headers["x-amz-date"], proof["x-amz-date"])
    equal(headers["x-amz-security-token"], proof["x-amz-security-token"])
    equal(headers["x-vouchsafe-binding"], "%s.%s" % (nonce, spki_sha256(KEYS[0])))
    for name in headers:
        assert name in ("host", "authorization", "x-amz-date", "x-amz-security-token", "x-vouchsafe-binding", "accept",
                        "user-agent", "content-type", "content-length"), name


def test_evidence_that_is_missing():
    instance = launch()
    good = request_body(instance, KEYS[0])
    for change in ({"evidence": {"identity-document": good["evidence"]["identity-document"]}},
                   {"evidence": {"caller-identity": good["evidence"]["caller-identity"]}}, {"evidence": {}},
                   {"evidence": None}, {"challenge": None}):
        body = {k: v for k, v in {**good, **change}.items() if v is not None}
        denied(instance, body, "evidence-missing")
    served(instance)


def test_attack_4_a_captured_request_with_another_csr():
    instance = launch()
    captured = request_body(instance, KEYS[0])
    event = denied(instance, {**captured, "csr": KEYS[1].csr}, "caller-identity")
    equal(checks(event)["caller-identity"], ("failed", "sts"))
    served(instance, KEYS[0])


def test_attack_4_bindings_that_do_not_fit():
    instance = launch()
    nonce, other = challenge(), challenge()
    for binding in ("%s.%s" % (other, spki_sha256(KEYS[0])), "%s.%s" % (nonce, spki_sha256(KEYS[1])), nonce,
                    "%s.%s." % (nonce, spki_sha256(KEYS[0])), "x"):
        body = request_body(instance, KEYS[0], nonce=nonce,
                            evidence={"caller-identity": caller(instance, KEYS[0], nonce, binding=binding)})
        denied(instance, body, "caller-identity")
    served(instance)


def test_attack_4_one_challenge_for_two_keys_at_once():
    """The challenge itself may be used again; the instance may not: exactly one wins."""
    for _ in range(8):
        instance, nonce = launch(), challenge()
        bodies = [request_body(instance, key, nonce=nonce) for key in KEYS]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda body: send(instance, body), bodies))
        equal(sorted(status for status, _, _ in answers), [200, 409])
        equal([e["event"] for e in STACK.instance_events(instance)].count("release.granted"), 1)


def test_attack_4_a_challenge_that_is_none_of_ours():
    instance = launch()
    nonce = challenge()
    flipped = nonce[:-1] + ("A" if nonce[-1] != "A" else "B")
    for bad in (flipped, "", "x", nonce[:-1], nonce + "A", nonce.upper(), " " + nonce):
        status, headers, problem = send(instance, {**request_body(instance, KEYS[0], nonce=nonce), "challenge": bad})
        equal((bad, status, problem["code"]), (bad, 401, "challenge-expired"))
    equal(STACK.instance_events(instance), [])
    served(instance)


def test_attack_6_credentials_of_another_instance():
    """Whoever has the document and the address, but not the role's credentials."""
    instance, thief = launch(), launch()
    nonce = challenge()
    # the thief signs with the credentials of its own instance, which has the same role
    stolen = STACK.sim.role_credentials(thief)
    body = request_body(instance, KEYS[0], nonce=nonce,
                        evidence={"caller-identity": caller(instance, KEYS[0], nonce, signer=stolen)})
    event = denied(instance, body, "caller-session")
    check = [c for c in event["checks"] if c["name"] == "caller-session"][0]
    equal((check["expected"], check["observed"]), (instance["id"], thief["id"]))
    served(instance)


def test_attack_5_the_same_role_name_in_another_account():
    instance = launch()
    other = "210987654321"
    STACK.sim.control("account", id=other)
    STACK.sim.control("role", account=other, name="bound-tier", profiles=[{"name": "bound-tier"}])
    foreign = STACK.sim.assume("bound-tier", instance["id"], account=other)
    nonce = challenge()
    body = request_body(instance, KEYS[0], nonce=nonce,
                        evidence={"caller-identity": caller(instance, KEYS[0], nonce, signer=foreign)})
    denied(instance, body, "caller-account")
    served(instance)


def test_attack_7_a_foreign_account_causes_no_call_at_all():
    instance = launch()
    body = request_body(instance, KEYS[0])
    body["assertion"]["account-id"] = "210987654321"
    before = calls()
    denied(instance, body, "no-rule")
    equal(calls(), before)
    served(instance)
    equal(sorted(calls()), ["DescribeInstances", "GetCallerIdentity", "ListInstanceProfilesForRole"])


def calls():
    """How often the server asked AWS for each action so far, whatever it answered; metadata is the instances' own."""
    return {name: action["calls"] for name, action in STACK.sim.counters().items()
            if action["calls"] and not name.startswith("metadata")}


def test_attack_8_another_role():
    instance = launch()
    for role in ("web-tier", "signed-tier"):
        nonce = challenge()
        other = STACK.sim.assume(role, instance["id"])
        body = request_body(instance, KEYS[0], nonce=nonce,
                            evidence={"caller-identity": caller(instance, KEYS[0], nonce, signer=other)})
        denied(instance, body, "caller-role")
    served(instance)


def test_attack_2_host_and_region_from_the_authorization():
    instance = launch()
    nonce = challenge()
    good = caller(instance, KEYS[0], nonce)
    before = STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0)
    def body(region, instance=instance):
        proof = {**good, "authorization": good["authorization"].replace(REGION, region)}
        return request_body(instance, KEYS[0], nonce=nonce, evidence={"caller-identity": proof})

    for region in ("attacker.example?", "x#", "u@host", "%2f", "US-EAST-1", "us-east-2", "us-east\u20111", "x" * 300,
                   "us-east-1/../x"):
        denied(instance, body(region), "caller-identity")
    other = launch()  # each denial is an event up to ten a minute and address
    for region in ("127.0.0.1:1/", "127.0.0.1#", "us-east-1.attacker.example", "x" * 8192):
        denied(other, body(region, other), "caller-identity")
    for region, expected in (("us-east-1\0", (400, "malformed")), ("x" * 65536, (413, "too-large"))):
        status, _, problem = send(instance, body(region))
        equal((status, problem["code"]), expected)
    equal(STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0), before, "calls to STS")
    served(instance)


def bad_values(good):
    auth = good["authorization"]
    return ({"authorization": auth + "\r\nX-Evil: 1"}, {"authorization": auth + " "}, {"authorization": ""},
            {"authorization": auth.replace("host;", "")}, {"authorization": auth.replace("host;", "accept;host;")},
            {"authorization": auth.replace("x-vouchsafe-binding", "x-amz-target")},
            {"authorization": auth.replace("/sts/", "/iam/")},
            {"authorization": auth.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")},
            {"authorization": auth[:-1]}, {"authorization": auth + "0"}, {"authorization": auth.replace("ASIA", "AKIA")},
            {"x-amz-date": good["x-amz-date"] + "\n"}, {"x-amz-date": "20200101T000000Z"}, {"x-amz-date": ""},
            {"x-amz-security-token": good["x-amz-security-token"] + "\r\nHost: evil"},
            {"x-amz-security-token": ""}, {"x-amz-security-token": "A" * 5000})


def test_attack_1_the_three_values_and_their_grammar():
    before = STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0)
    instances = [launch(), launch()]  # each denial is an event up to ten a minute and address
    for i, instance in enumerate(instances):
        nonce = challenge()
        good = caller(instance, KEYS[0], nonce)
        for change in bad_values(good)[i::2]:
            denied(instance, request_body(instance, KEYS[0], nonce=nonce, evidence={"caller-identity": {**good, **change}}),
                   "caller-identity")
    equal(STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0), before, "calls to STS")
    for instance in instances:
        served(instance)


def test_attack_4_a_signature_that_is_false():
    instance = launch()
    nonce = challenge()
    good = caller(instance, KEYS[0], nonce)
    flipped = good["authorization"][:-1] + ("0" if good["authorization"][-1] != "0" else "1")
    for change in ({"authorization": flipped}, {"x-amz-security-token": good["x-amz-security-token"][:-4] + "AAAA"}):
        event = denied(instance, request_body(instance, KEYS[0], nonce=nonce,
                                              evidence={"caller-identity": {**good, **change}}), "caller-identity")
        equal(checks(event)["caller-identity"], ("failed", "sts"))
    served(instance)


def test_attack_3_answers_of_sts_that_are_none():
    for mode in ("garbage", "error-200", "reset", "error-500", "throttle", "duplicate-field"):
        instance = launch()
        more = {"field": "Arn"} if mode == "duplicate-field" else {}
        STACK.sim.fault("GetCallerIdentity", mode, times=-1, **more)
        status, headers, problem = send(instance, request_body(instance, KEYS[0]))
        STACK.sim.clear_faults()
        equal((mode, status, problem["code"]), (mode, 503, "upstream-unavailable"))
        assert "Retry-After" in headers
        equal(STACK.instance_events(instance), [])
        served(instance)


def test_short_trouble_at_sts_is_overcome():
    instance = launch()
    STACK.sim.fault("GetCallerIdentity", "error-500", times=2)
    served(instance)
    STACK.sim.clear_faults()


def test_attack_1_nothing_else_is_the_callers():
    """No member beside the three values, and each of them a text."""
    instance = launch()
    nonce = challenge()
    good = caller(instance, KEYS[0], nonce)
    before = STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0)
    for change in ({"url": "https://attacker.example/"}, {"method": "GET"}, {"body": "Action=GetSessionToken"},
                   {"headers": {"Accept": "application/json"}}, {"accept": "application/json"}, {"host": "attacker.example"},
                   {"x-vouchsafe-binding": "x"}, {"region": "us-east-2"}, {"query": "Action=GetSessionToken"},
                   {"x-amz-date": [good["x-amz-date"]] * 2}, {"authorization": {"url": good["authorization"]}}):
        body = request_body(instance, KEYS[0], nonce=nonce, evidence={"caller-identity": {**good, **change}})
        status, _, problem = send(instance, body)
        equal((change, status, problem["code"]), (change, 400, "malformed"))
    equal(STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0), before, "calls to STS")
    served(instance)


def test_a_denied_stranger_costs_no_call_to_sts():
    instance = launch()
    before = STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0)
    body = request_body(instance, KEYS[0])
    body["assertion"]["instance-type"] = "m5.xlarge"
    event = denied(instance, body, "document-instance-type")
    body = request_body(instance, KEYS[0])
    body["assertion"]["reservation-id"] = "r-0fffffffffffffff0"
    event = denied(instance, body, "reservation-id")
    equal(checks(event)["caller-identity"][0], "failed")
    equal(STACK.sim.counters().get("GetCallerIdentity", {}).get("calls", 0), before, "calls to STS")
    served(instance)


# ---- identity documents

def forger(name):
    """The options of openssl by which that one signs. Key and certificate are made once, in AWS's name."""
    certificate, key = (str(STACK.keys / (name + end)) for end in (".pem", ".key"))
    if not os.path.exists(certificate):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj",
                "/C=US/ST=Washington State/L=Seattle/O=Amazon Web Services LLC", "-days", "2")
    return "-signer", certificate, "-inkey", key


def forged(instance, change, *options):
    """The instance's document with a change, signed by a key that AWS does not know; `options` are those of
    `openssl cms -sign`."""
    content = json.loads(STACK.sim.metadata(instance["address"]).text("dynamic/instance-identity/document"))
    content.update(change)
    blob = openssl("cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", *forger("forger"),
                   *(options or ("-nodetach", "-nocerts")), input=json.dumps(content).encode())
    return base64.b64encode(blob).decode()


def test_attack_9_forged_documents():
    instance = launch("signed-tier")
    for change in ({}, {"instanceId": "i-0fffffffffffffff0"}, {"accountId": "210987654321"}):
        body = request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": forged(instance, change)})
        denied(instance, body, "identity-document")
    served(instance, role="signed-tier")


def test_attack_9_a_genuine_document_of_another_instance():
    instance, other = launch("signed-tier"), launch("signed-tier")
    body = request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": document(other)})
    denied(instance, body, "document-instance-id")
    served(instance, role="signed-tier")
    served(other, role="signed-tier")


def test_attack_10_documents_that_bring_what_they_may_not():
    instance = launch("signed-tier")
    again = forger("second")
    for options in (("-nodetach",), ("-nodetach", "-certfile", str(STACK.etc / "certificates" / (REGION + ".pem"))),
                    ("-nodetach", "-nocerts", *again), ("-nodetach", *again), ("-nocerts",), ("-nodetach", "-noattr"),
                    ("-nodetach", "-nocerts", "-keyid")):
        body = request_body(instance, KEYS[0], "signed-tier",
                            evidence={"identity-document": forged(instance, {}, *options)})
        denied(instance, body, "identity-document")
    served(instance, role="signed-tier")


def test_attack_11_another_regions_document():
    instance = launch("signed-tier")
    STACK.sim.certificate("us-west-2")
    abroad = STACK.sim.launch(**{**GOOD, "region": "us-west-2", "role": "signed-tier", "address": STACK.address()})
    body = request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": document(abroad)})
    denied(instance, body, "identity-document")
    served(instance, role="signed-tier")


def test_attack_12_a_document_of_an_earlier_launch():
    started = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    instance = launch("signed-tier", launch_time=started)
    old = document(instance)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    STACK.sim.control("set", instance=instance["id"], launch_time=now, attach_time=now, root_attach_time=now)
    denied(instance, request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": old}),
           "document-pending-time")
    for seconds, fits in ((3600, False), (301, False), (300, True), (-300, True), (-301, False), (-3600, False)):
        when = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        pending = (when + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        other = launch("signed-tier", launch_time=when.strftime("%Y-%m-%dT%H:%M:%SZ"), pending_time=pending)
        if fits:
            served(other, role="signed-tier")
        else:
            denied(other, request_body(other, KEYS[0], "signed-tier"), "document-pending-time")


def test_attack_13_the_same_document_spelled_otherwise_is_the_same_use():
    instance = launch("signed-tier")
    text = document(instance)
    equal(send(instance, request_body(instance, KEYS[0], "signed-tier"))[0], 200)
    joined = "".join(text.split())
    status, _, problem = send(instance, request_body(instance, KEYS[1], "signed-tier",
                                                     evidence={"identity-document": joined}))
    equal((status, problem["code"]), (409, "already-released"))
    encoded = openssl("pkcs7", "-inform", "DER", "-outform", "DER", input=base64.b64decode(text))
    status, _, problem = send(instance, request_body(instance, KEYS[1], "signed-tier", evidence={
        "identity-document": base64.b64encode(encoded).decode()}))
    assert (status, problem["code"]) in ((409, "already-released"), (403, "denied")), problem
    other = launch("signed-tier")
    trailing = base64.b64encode(base64.b64decode(document(other)) + b"\0\0").decode()
    denied(other, request_body(other, KEYS[0], "signed-tier", evidence={"identity-document": trailing}),
           "identity-document")


def test_attack_14_cost():
    instance = launch("signed-tier")
    before = cpu()
    for text in ("A" * 60000, base64.b64encode(b"\x30\x80" * 4000).decode(), "MIAG", "!", ""):
        denied(instance, request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": text}),
               "identity-document")
    assert cpu() - before < 2, "seconds of CPU for five refusals, with their queries, under sanitizers"
    served(instance, role="signed-tier")


def cpu():
    fields = open("/proc/%d/stat" % STACK.server.pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_attack_20_document_and_ec2_disagree():
    for field, value, reason in (("image", "ami-0fffffffffffffff0", "document-image"),
                                 ("availability_zone", "us-east-1f", "document-availability-zone")):
        instance = launch("signed-tier")
        text = document(instance)
        STACK.sim.control("set", instance=instance["id"], **{field: value})
        denied(instance, request_body(instance, KEYS[0], "signed-tier", evidence={"identity-document": text}), reason)
    instance = launch("signed-tier")
    body = request_body(instance, KEYS[0], "signed-tier")
    STACK.sim.control("set", instance=instance["id"], type="m5.xlarge")
    denied(instance, body, "instance-type")  # what was asserted and signed, EC2 does not say any more
    body["assertion"]["instance-type"] = "m5.xlarge"
    denied(instance, body, "document-instance-type")


# ---- names

def test_attack_24_names_of_the_assertion_are_never_resolved():
    instance = launch()
    for name in ("attacker.example", "ip-192-0-2-1.attacker.example", "localhost", "192.0.2.1",
                 "ec2-192-0-2-1.compute-1.amazonaws.com"):
        for member in ("public-hostname", "local-hostname"):
            body = request_body(instance, KEYS[0])
            body["assertion"][member] = name
            status, _, problem = send(instance, body)
            assert (status, problem["code"]) in ((403, "denied"), (400, "malformed")), (name, member, problem)
    served(instance)


# ---- rules

def test_max_per_hour_holds_and_raises_an_alarm():
    instances = [launch("paced-tier") for _ in range(4)]
    for instance in instances[:2]:
        equal(STACK.release(instance, KEYS[0], role="paced-tier")[0], 200)
    for instance in instances[2:]:
        status, headers, problem = STACK.release(instance, KEYS[0], role="paced-tier")
        equal((status, problem["code"], problem["retryable"]), (503, "overloaded", True))
        assert int(headers["Retry-After"]) >= 60
    equal(STACK.release(instances[0], KEYS[0], role="paced-tier")[0], 200)  # its own release, again
    equal([e["reason"] for e in STACK.events(event="rule.held")], ["rule-held"])


def reloaded(word, act):
    before = len(STACK.log("server"))
    act()
    STACK.server.send_signal(signal.SIGHUP)
    wait_for("line " + word, lambda: '"event":"%s"' % word in STACK.log("server")[before:])
    return STACK.log("server")[before:]


def test_reload_takes_both_or_neither():
    instance = launch("signed-tier")
    # a policy whose own test fails, a certificate that is none, a rule without its certificate: the old rules stay
    failing = {"name": "t", "expect": "released", "assertion": STACK.assertion(instance, role="nobody"), "aws": {}}
    said = reloaded("not-reloaded", lambda: STACK._write("policy.json", json.dumps({"rules": RULES, "tests": [failing]})))
    assert "no-rule" in said and "policy.json:1:" in said, said
    STACK.write_policy(RULES)
    said = reloaded("not-reloaded", lambda: STACK._write("certificates/us-west-2.pem", "x"))
    assert "us-west-2" in said, said
    (STACK.etc / "certificates/us-west-2.pem").unlink()
    served(instance, role="signed-tier")
    # without the rule its instances are denied, with it they are served: no restart
    late = launch("signed-tier")
    before = len(STACK.events(event="policy.loaded"))
    reloaded("reloaded", lambda: STACK.write_policy([RULE]))
    denied(late, request_body(late, KEYS[0], "signed-tier"), "no-rule")
    reloaded("reloaded", lambda: STACK.write_policy(RULES))
    served(late, role="signed-tier")
    equal(len(STACK.events(event="policy.loaded")), before + 2)


def test_policy_test_and_explain():
    instance = launch()
    good = {"name": "the bound tier is released", "expect": "released",
            "assertion": STACK.assertion(instance, role="bound-tier"),
            "aws": {"image": GOOD["image"], "launch_template": GOOD["launch_template"], "auto_scaling_group": "web",
                    "vpc": GOOD["vpc"], "subnet": GOOD["subnet"], "security_groups": GOOD["groups"],
                    "tags": {"env": "prod"}}}
    late = {**good, "name": "not after the window", "expect": "launch-window", "aws": {**good["aws"], "launched": "11m"}}
    STACK._write("policy.json", json.dumps({"rules": RULES, "tests": [good, late]}))
    out = STACK.cli("policy", "test").stdout
    equal(out.count(" ok") + out.count("ok "), 2, out)
    STACK._write("policy.json", json.dumps({"rules": RULES, "tests": [good, {**late, "expect": "released"}]}))
    failed = STACK.cli("policy", "test", check=False)
    equal(failed.returncode, 1)
    assert "FAILED" in failed.stdout and "launch-window" in failed.stdout, failed.stdout
    STACK.write_policy(RULES)
    _, _, problem = send(instance, {**request_body(instance, KEYS[0]), "csr": KEYS[1].csr})
    place = ("--url", "http://127.0.0.1:%d" % STACK.ops_port, "--token-file", str(STACK.etc / "token"))
    out = STACK.cli("policy", "explain", problem["request_id"], *place).stdout
    for word in ("release.denied", "caller-identity", "document-instance-id", "failed", "passed", "bound", instance["id"]):
        assert word in out, out
    equal(STACK.cli("policy", "explain", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", *place, check=False).returncode, 1)


def test_attack_12_33_challenges_grow_old():
    """120 seconds are not waited for here: the unit tests of challenges have the edges. A node that was started anew
    takes the challenges of before, for they are made under a key that all nodes share."""
    instance = launch()
    nonce = challenge()
    equal(STACK.stop(STACK.server), 0)
    STACK.start_server()
    equal(send(instance, request_body(instance, KEYS[0], nonce=nonce))[0], 200)


def test_attack_24_nobody_else_was_ever_asked():
    """Nothing in this file made the server, the member or an agent look anywhere but to the simulated AWS."""
    if not SINK:
        raise tap.Skip("no network of its own may be made here: it takes root")
    equal(SINK.strangers, [])
    tap.NEVER.clear()  # what it sees from here on is this test's own
    for address in ("192.0.2.1", "169.254.169.254"):
        with socket.socket() as probe:  # and the sink does see
            probe.settimeout(5)
            probe.connect_ex((address, 443))
        wait_for("the sink's sight of " + address, lambda: (address, 443) in SINK.strangers)


if __name__ == "__main__":
    sys.exit(main(globals(), RULES, keys=2, sunk=True))
