"""The C agent against the real server: files, modes, acknowledgement, exit codes, restart, retry."""
import http.server
import json
import os
import stat
import sys
import threading

import tap
from stack import ACCOUNT, REGION, Stack, main
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


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers a release with one that was sealed for somebody else's request."""
    answer = b"{}"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
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
    server = http.server.HTTPServer(("127.0.0.1", 0), Impostor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        _, done = boot("impostor", instance=instance, server="http://127.0.0.1:%d" % server.server_port, code=76)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not out("impostor").exists() or os.listdir(out("impostor")) == []
    boot("impostor", instance=instance)  # and the true server serves it all the same


def test_ledger_shows_who_has_not_acknowledged():
    instance = STACK.launch()
    STACK.granted(instance, STACK.key())
    shown = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert "not acknowledged" in shown


if __name__ == "__main__":
    sys.exit(main(globals()))
