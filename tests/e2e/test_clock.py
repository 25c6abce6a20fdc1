"""The clock steps under the server: by minutes and by an hour, forward and back, between requests and in the middle of
one. Runs the plain build, whose server is given a clock that the test sets (tests/attacks/clock.c)."""
import email.utils
import os
import shutil
import struct
import sys
import threading
import time

import stack
import tap
from stack import BOUND, RULE, Stack, wait_for
from tap import equal

STACK = None
SHORT = {**RULE, "launch_window": "2m"}
HOUR = 3600


class ClockStack(Stack):
    """A stack whose server's clock is ahead of everybody else's by so many seconds."""

    def server_environment(self):
        library, self.page = self.bin / "clock.so", self.base / "clock"
        if not library.exists():
            shutil.copy(os.path.join(os.environ.get("PLAIN", "build"), "attacks/clock.so"), library)
            self.page.write_bytes(struct.pack("<q", 0))
            self.page.chmod(0o644)
        return {**super().server_environment(), "LD_PRELOAD": str(library), "VOUCHSAFE_CLOCK": str(self.page)}

    def step(self, seconds):
        with open(self.page, "r+b") as page:
            page.write(struct.pack("<q", seconds))


def denied(instance, key, reason):
    status, _, problem = STACK.release(instance, key)
    equal((status, problem["code"]), (403, "denied"))
    equal(STACK.instance_events(instance)[-1]["reason"], reason)


def date():
    """The server's own time, to the second."""
    return email.utils.parsedate_to_datetime(STACK.request("GET", "/livez", headers={})[1]["Date"]).timestamp()


def test_attack_33_the_server_has_that_clock():
    for seconds in (HOUR, -HOUR, 0):
        STACK.step(seconds)
        assert abs(date() - time.time() - seconds) < 5, seconds


def test_attack_33_minutes_move_the_window():
    """EC2 bears with five minutes; the window is by the server's own clock."""
    instance, other = STACK.launch(), STACK.launch()
    STACK.step(130)
    denied(instance, STACK.me, "launch-window")
    STACK.step(-130)
    denied(instance, STACK.me, "launch-time")
    STACK.step(0)
    STACK.granted(instance, STACK.me)
    STACK.step(110)
    STACK.granted(other, STACK.me)
    STACK.step(130)  # the window is over, and counts for the first use alone
    STACK.granted(instance, STACK.me)
    equal(STACK.release(instance, STACK.other)[0], 409)
    STACK.step(0)


def test_attack_33_an_hour_forward_and_back():
    for seconds in (HOUR, -HOUR):
        instance, served = STACK.launch(), STACK.launch()
        STACK.granted(served, STACK.me)
        STACK.step(seconds)
        status = STACK.release(instance, STACK.me)[0]
        assert status in (403, 503), status  # our own calls are dated by that clock, and AWS may refuse them
        assert STACK.release(served, STACK.other)[0] in (403, 409, 503)
        STACK.step(0)
        equal(STACK.release(served, STACK.other)[0], 409)
        STACK.granted(instance, STACK.me)
        for one in (instance, served):
            equal([e["event"] for e in STACK.instance_events(one)].count("release.granted"), 1)


def test_attack_33_challenges_of_another_time():
    instance = STACK.launch(role="bound-tier")
    for made, used in ((0, 121), (0, HOUR), (HOUR, 0), (0, -HOUR)):
        STACK.step(made)
        nonce = STACK.request("POST", "/v1/challenges", headers={})[2]["challenge"]
        STACK.step(used)
        evidence = {"identity-document": "MIAG", "caller-identity": {"authorization": "x", "x-amz-date": "x",
                                                                     "x-amz-security-token": "x"}}
        body = {"assertion": STACK.assertion(instance, role="bound-tier"), "csr": STACK.me.csr, "challenge": nonce,
                "evidence": evidence}
        status, _, problem = STACK.request("POST", "/v1/releases", body, instance["address"])
        STACK.step(0)
        equal(((made, used), status, problem["code"]), ((made, used), 401, "challenge-expired"))
    equal(STACK.instance_events(instance), [])


def test_attack_33_a_step_in_mid_request():
    for seconds in (HOUR, -HOUR, 130, -130):
        instance = STACK.launch()
        calls = STACK.sim.counters()["DescribeInstances"]["calls"]
        STACK.sim.fault("DescribeInstances", "slow", delay_ms=700, times=1)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(STACK.release(instance, STACK.me)[0]))
        asking.start()
        wait_for("question to EC2", lambda: STACK.sim.counters()["DescribeInstances"]["calls"] > calls)
        STACK.step(seconds)
        asking.join()
        STACK.step(0)
        STACK.sim.clear_faults()
        assert answers[0] in (200, 503), answers  # its time was read once, when it came
        STACK.granted(instance, STACK.me)
        equal(STACK.release(instance, STACK.other)[0], 409)
        equal([e["event"] for e in STACK.instance_events(instance)].count("release.granted"), 1)


def test_attack_33_the_trail_is_whole():
    STACK.granted(STACK.launch(), STACK.me)
    assert "ok" in STACK.cli("audit", "verify").stdout
    events = STACK.events()
    equal([e["seq"] for e in events], list(range(1, len(events) + 1)))


def main():
    global STACK
    STACK = ClockStack(os.environ.get("PLAIN", "build"), [SHORT, BOUND])
    try:
        STACK.sim.control("role", account=stack.ACCOUNT, name="bound-tier", profiles=[{"name": "bound-tier"}])
        STACK.start()
        STACK.me, STACK.other = STACK.key(), STACK.key()
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


if __name__ == "__main__":
    sys.exit(main())
