"""The C agent against the real server: files, modes, acknowledgement, exit codes, restart, retry, evidence."""
import contextlib
import http.server
import json
import os
import socketserver
import stat
import sys
import threading

import tap
from stack import ACCOUNT, BOUND, REGION, RULE, SIGNED, main
from tap import equal

STACK = None
SECRETS = ("hsm-client-cert", "hsm-client-key", "hsm-partition-pin")


def out(name):
    return STACK.base / "out" / name


def state(name):
    return STACK.base / "agent" / name


def boot(name, *more, instance=None, code=0, **options):
    """An instance's agent, which must end with that code; returns (instance, finished process)."""
    instance = instance or STACK.launch()
    done = STACK.agent(instance, out(name), *more, state=state(name), **options)
    if done.returncode != code:
        raise AssertionError("agent ended with %d, not %d:\n%s" % (done.returncode, code, done.stderr))
    return instance, done


def test_boot():
    instance, done = boot("boot")
    equal(sorted(os.listdir(out("boot"))), list(SECRETS))
    equal((out("boot") / "hsm-partition-pin").read_text(), STACK.pin)
    equal((out("boot") / "hsm-client-key").read_text(), STACK.client_key)
    for name in SECRETS:
        mode = os.stat(out("boot") / name).st_mode
        equal(stat.S_IMODE(mode), 0o400, name)
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.acknowledged"])
    equal([n for n in os.listdir(state("boot")) if "key" in n], [], "the key is gone once acknowledged")
    assert STACK.pin not in done.stdout + done.stderr


def test_second_agent_with_another_key_is_refused():
    instance, _ = boot("first")
    _, done = boot("second", instance=instance, code=77)
    assert "already" in done.stderr.lower(), done.stderr
    assert not out("second").exists() or os.listdir(out("second")) == []
    equal(STACK.instance_events(instance)[-1]["event"], "release.conflict")


def test_denied():
    instance = STACK.launch(image="ami-0fffffffffffffff0")
    _, done = boot("denied", instance=instance, code=77)
    assert "ami-" not in done.stderr, done.stderr  # the reason is the auditor's, not the caller's


def test_no_metadata_service():
    ghost = {"address": "127.88.0.1"}
    boot("ghost", instance=ghost, code=69)


def test_wrong_arguments():
    instance = STACK.launch()
    boot("plain-http", instance=instance, server="http://192.0.2.1:8443", code=78)
    boot("no-role", instance=instance, role="not a role", code=78)


def test_gives_up_for_now():
    instance = STACK.launch()
    boot("nobody", instance=instance, server="http://127.0.0.1:9", deadline="2s", code=75)
    # its key is kept, and the same state goes through later
    boot("nobody", instance=instance)


def test_restart_after_the_grant_before_the_acknowledgement():
    """An agent that dies after its release keeps its key and collects the same release."""
    instance = STACK.launch()
    blocked = out("blocked")
    blocked.mkdir(mode=0o777)
    blocked.chmod(0o777)  # refused: others could write there
    done = STACK.agent(instance, blocked, state=state("blocked"))
    assert done.returncode not in (0, 77), done.stderr
    equal(os.listdir(blocked), [])
    blocked.chmod(0o700)
    done = STACK.agent(instance, blocked, state=state("blocked"))
    equal(done.returncode, 0, done.stderr)
    equal(sorted(os.listdir(blocked)), list(SECRETS))


def test_waits_for_what_is_not_visible_yet():
    instance = STACK.launch(state="pending")
    timer = threading.Timer(1.0, lambda: STACK.sim.control("set", instance=instance["id"], state="running"))
    timer.start()
    boot("pending", instance=instance, deadline="40s")
    timer.join()


@contextlib.contextmanager
def served(handler):
    """The base URL of a server of that kind."""
    # not an HTTPServer: that one asks for its own name by DNS
    server = socketserver.TCPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers a release with one that was sealed for somebody else's request."""
    answer = b"{}"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404 if self.path == "/v1/challenges" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_):
        pass


def test_attack_43_an_impostor_server():
    instance = STACK.launch()
    stolen = STACK.granted(STACK.launch(), STACK.key())
    stolen.pop("inside")
    Impostor.answer = json.dumps(stolen).encode()
    with served(Impostor) as url:
        _, done = boot("impostor", instance=instance, server=url, code=76)
    assert "not for this agent" in done.stderr, done.stderr
    assert not out("impostor").exists() or os.listdir(out("impostor")) == []
    boot("impostor", instance=instance)  # and the true server serves it all the same


# ---- evidence

class Thief(http.server.BaseHTTPRequestHandler):
    """Ends TLS on the way, so to say: hands out the true server's challenges, and keeps the requests for releases."""
    taken = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 503, {"code": "overloaded"}
        if self.path == "/v1/challenges":
            status, _, answer = STACK.request("POST", self.path, body)
        else:
            Thief.taken.append(json.loads(body))
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def captured(name, instance, role="bound-tier"):
    """The body of the agent's latest request for a release, which has reached nobody else."""
    Thief.taken = []
    with served(Thief) as url:
        boot(name, instance=instance, role=role, server=url, deadline="2s", code=75)
    return Thief.taken[-1]


def post(body, instance):
    return STACK.request("POST", "/v1/releases", body, instance["address"])


def last_event(instance):
    return STACK.instance_events(instance)[-1]


def denied(body, instance, reason):
    """That body, sent from the instance's own address."""
    asked = STACK.sim.counters().get("GetCallerIdentity", {"calls": 0})["calls"]
    status, _, answer = post(body, instance)
    equal((status, answer["code"]), (403, "denied"))
    event = last_event(instance)
    equal((event["event"], event["reason"]), ("release.denied", reason))
    return STACK.sim.counters().get("GetCallerIdentity", {"calls": 0})["calls"] - asked


def test_served_by_a_rule_that_demands_everything():
    instance = STACK.launch(role="bound-tier")
    boot("bound", instance=instance, role="bound-tier")
    equal(sorted(os.listdir(out("bound"))), list(SECRETS))
    event = STACK.instance_events(instance)[0]
    equal((event["event"], event["policy"]["rule"]), ("release.granted", "bound"))
    assert not event["policy"].get("unbound_key"), event["policy"]
    passed = {c["name"] for c in event["checks"] if c["result"] == "passed"}
    for check in ("caller-identity", "caller-account", "caller-role", "caller-session", "document-instance-id"):
        assert check in passed, "%s is not among %s" % (check, sorted(passed))


def test_credentials_are_read_anew():
    """They were rotated, and the old ones have expired, between two runs."""
    instance = STACK.launch(role="bound-tier")
    before = captured("rotated", instance)
    STACK.sim.control("expire", instance=instance["id"])
    STACK.sim.control("rotate", instance=instance["id"])
    boot("rotated", instance=instance, role="bound-tier")
    token = STACK.sim.last("GetCallerIdentity")["headers"]
    assert before["evidence"]["caller-identity"]["x-amz-security-token"] not in [value for _, value in token]


def test_expired_credentials_are_waited_for():
    instance = STACK.launch(role="bound-tier")
    STACK.sim.role_credentials(instance)
    STACK.sim.control("expire", instance=instance["id"])
    _, done = boot("expired", instance=instance, role="bound-tier", deadline="2s", code=75)
    assert "expired" in done.stderr, done.stderr
    STACK.sim.control("rotate", instance=instance["id"])
    boot("expired", instance=instance, role="bound-tier")


def test_attack_43_a_captured_request_with_another_key():
    """The binding names the first key: whoever has the request whole, and even the address, gets nothing by it."""
    instance = STACK.launch(role="bound-tier")
    body = captured("captured", instance)
    equal(sorted(body), ["assertion", "challenge", "csr", "evidence"])
    equal(denied({**body, "csr": STACK.key().csr}, instance, "caller-identity"), 1, "STS was asked")
    # a challenge of his own does not help: it is signed, too
    fresh = STACK.request("POST", "/v1/challenges", b"")[2]["challenge"]
    denied({**body, "csr": STACK.key().csr, "challenge": fresh}, instance, "caller-identity")
    denied({**body, "challenge": fresh}, instance, "caller-identity")
    # it was the key that was refused, and nothing is burned: as it was sent it is good, for its own key
    equal(post(body, instance)[0], 200)
    boot("captured", instance=instance, role="bound-tier")
    equal([e["event"] for e in STACK.instance_events(instance)],
          ["release.denied"] * 3 + ["release.granted", "release.repeated", "release.acknowledged"])


def test_a_stolen_document_without_credentials():
    instance = STACK.launch(role="bound-tier")
    body = captured("stolen-document", instance)
    document = {"identity-document": body["evidence"]["identity-document"]}
    equal(denied({**body, "csr": STACK.key().csr, "evidence": document}, instance, "evidence-missing"), 0)
    # and credentials of the same role, but of another instance
    other = captured("stolen-credentials", STACK.launch(role="bound-tier"))["evidence"]["caller-identity"]
    denied({**body, "evidence": {**document, "caller-identity": other}}, instance, "caller-identity")
    boot("stolen-document", instance=instance, role="bound-tier")


def test_an_instance_without_a_role():
    """A role may show late, so its agent waits for one before it asks the server anything."""
    instance, done = boot("roleless", instance=STACK.launch(profile=""), role="signed-tier", deadline="3s", code=75)
    assert "no role yet" in done.stderr, done.stderr
    equal(STACK.instance_events(instance), [])


def test_served_by_a_rule_that_demands_the_document():
    instance = STACK.launch(role="signed-tier")
    boot("signed", instance=instance, role="signed-tier")
    event = STACK.instance_events(instance)[0]
    equal((event["event"], event["policy"]["rule"], event["policy"]["unbound_key"]), ("release.granted", "signed", True))


def test_another_role_than_the_instances():
    _, done = boot("other-role", instance=STACK.launch(role="bound-tier"), role="web-tier", code=78)
    assert "bound-tier" in done.stderr, done.stderr


def test_attack_40_credentials_reach_no_log():
    instance = STACK.launch(role="bound-tier")
    signer = STACK.sim.role_credentials(instance)
    _, done = boot("quiet", instance=instance, role="bound-tier")
    equal(STACK.sim.role_credentials(instance).secret, signer.secret, "the same credentials")
    for text in (done.stdout + done.stderr, STACK.log("server"), json.dumps(STACK.instance_events(instance))):
        assert signer.secret not in text and signer.session_token not in text


def test_ledger_shows_who_has_not_acknowledged():
    instance = STACK.launch()
    STACK.granted(instance, STACK.key())
    shown = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert "not acknowledged" in shown


if __name__ == "__main__":
    sys.exit(main(globals(), rules=[RULE, BOUND, SIGNED], sunk=True))
