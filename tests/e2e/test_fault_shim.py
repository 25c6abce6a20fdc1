"""A sample of what `make faults` does whole: calls fail, come short or late, or kill the program on the way of a
release (ATTACKS.md 27, 30, 38, 43), and the misbehaving token. Runs the plain build: the shims do not go with a sanitizer."""
import json
import os
import pathlib
import sys
import time

import tap
from stack import wait_for
from tap import equal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fault"))
from injection import FaultStack, inject, inject_agent, inject_start, run_agent  # noqa: E402

STACK = None


def none_wrong(injections):
    """All of them met their fault, and none came to what must not be."""
    defects = [text for injection in injections for _, text in injection.defects]
    equal(defects, [], "defects")
    missed = [str(injection) for injection in injections if not injection.met]
    equal(missed, [], "faults that no call met")


def each(program, function, fault, calls):
    injections = [inject(STACK, program, function, nth, fault) for nth in calls]
    none_wrong(injections)
    return injections


def path(control):
    """The calls of one release and its acknowledgement that nothing happens to."""
    control.arm()
    STACK.granted(STACK.launch(), STACK.me)
    control.disarm()
    return control.calls()


def spread(most, n):
    """n numbers from 1 to most, evenly."""
    return sorted({1 + i * (most - 1) // (n - 1) for i in range(n)})


def test_the_shim_counts_and_lets_fail():
    """The instrument itself: what it counts is there, what it lets fail fails, and only as often as it was told."""
    calls = path(STACK.server_faults)
    assert calls["malloc"] > 500 and calls["fdatasync"] == 1 and calls["pwrite"] > 3, calls
    injection = inject(STACK, "vouchsafed", "fdatasync", 1, "EIO")
    equal((injection.met, injection.outcome), (1, 503))
    injection = inject(STACK, "vouchsafed", "fdatasync", 1000, "EIO")
    equal((injection.met, injection.outcome), (0, 200))
    began = time.monotonic()
    injection = inject(STACK, "vouchsafed", "fdatasync", 1, "delay=300")
    assert injection.outcome == 200 and time.monotonic() - began >= 0.3
    injection = inject(STACK, "vouchsafed", "fdatasync", 1, "kill")
    equal((injection.ended, injection.outcome), ("signal SIGKILL", "closed"))


def test_attack_27_errors_on_the_ledgers_path():
    for function, faults in (("fdatasync", ("EIO", "ENOSPC")), ("pwrite", ("EIO", "ENOSPC", "short")),
                             ("fcntl", ("EIO", "ENOLCK"))):
        n = path(STACK.server_faults)[function]
        for fault in faults:
            each("vouchsafed", function, fault, spread(n, 6) if n > 1 else [1])


def test_attack_27_a_full_disk_that_stays_full():
    """From the first write on all fail: nothing is released; and with room again it goes on."""
    injection = inject(STACK, "vouchsafed", "pwrite", 1, "ENOSPC", last=1 << 40)
    none_wrong([injection])
    equal(injection.outcome, 503)


def test_attack_30_killed_before_and_after_each_durable_step():
    for function in ("fdatasync", "pwrite", "sendmsg"):
        n = path(STACK.server_faults)[function]
        for fault in ("kill", "kill-after"):
            for injection in each("vouchsafed", function, fault, spread(n, 5) if n > 1 else [1]):
                equal(injection.ended, "signal SIGKILL")


def test_attack_31_no_answer_before_the_sync():
    """Power may fail at any moment: what was answered has been synced, and what was synced is there."""
    injection = inject(STACK, "vouchsafed", "fdatasync", 1, "delay=700")
    equal((injection.met, injection.outcome, injection.defects), (1, 200, []))
    instance = STACK.launch()
    STACK.server_faults.arm("fdatasync", 1, "delay=700")
    began = time.monotonic()
    equal(STACK.release(instance, STACK.me)[0], 200)
    assert time.monotonic() - began >= 0.7, "answered before the disk had it"
    STACK.server_faults.disarm()
    for injection in each("vouchsafed", "fdatasync", "kill-after", [1]):  # synced, and not answered
        equal((injection.ended, injection.outcome), ("signal SIGKILL", "closed"))
    for injection in each("vouchsafed", "fdatasync", "EIO", [1]):
        equal(injection.outcome, 503)


def test_attack_38_memory_runs_out_on_the_way():
    for program, control in (("vouchsafed", STACK.server_faults), ("vouchsafe-vault", STACK.member_faults)):
        n = path(control)["malloc"]
        injections = each(program, "malloc", "ENOMEM", spread(n, 40))
        assert {i.outcome for i in injections} - {200, "closed"}, "not one of them was noticed"


def test_network_calls():
    for function, fault in (("send", "ECONNRESET"), ("send", "short"), ("recv", "ECONNRESET"), ("recv", "short"),
                            ("poll", "EINTR"), ("epoll_wait", "EINTR"), ("sendmsg", "EPIPE")):
        n = min(path(STACK.server_faults)[function], 4)
        each("vouchsafed", function, fault, range(1, n + 1))
    for function, fault in (("recv", "ECONNRESET"), ("recv", "short"), ("send", "ECONNRESET"), ("send", "short")):
        each("vouchsafe-vault", function, fault, [1])


def test_attack_43_a_token_that_fails():
    for function in ("C_DecryptInit", "C_Decrypt"):
        for fault in ("CKR_DEVICE_ERROR", "CKR_SESSION_HANDLE_INVALID", "CKR_GENERAL_ERROR", "CKR_TOKEN_NOT_PRESENT",
                      "after=CKR_DEVICE_ERROR", "abort"):
            each("token", function, fault, [2])


def test_attack_43_a_token_that_lies():
    """Garbage for a key, one that is too short, one that is too long: never a secret from it."""
    for fault in ("garbage", "length=-1", "length=1", "length=-32"):
        for injection in each("token", "C_Decrypt", fault, [1, 3]):
            equal(injection.outcome, 503)


def test_attack_43_a_token_that_hangs():
    instance = STACK.launch()
    STACK.granted(STACK.launch(), STACK.me)
    STACK.token_faults.arm("C_Decrypt", 1, "hang")
    try:
        began = time.monotonic()
        status, _, problem = STACK.release(instance, STACK.me)
        equal((status, problem["code"]), (503, "vault-unavailable"))
        assert time.monotonic() - began < 5, "longer than the request's deadline"
    finally:
        STACK.token_faults.disarm()  # it goes on
    wait_for("release of the same instance", lambda: STACK.release(instance, STACK.me)[0] == 200)
    STACK.granted(STACK.launch(), STACK.me)


def test_attack_43_a_token_that_is_dead_ends_its_member():
    """Every call fails from now on: the member ends with 75, to be started anew."""
    instance = STACK.launch()
    STACK.token_faults.arm("C_DecryptInit", 1, "CKR_DEVICE_ERROR", last=1 << 40)
    try:
        equal(STACK.release(instance, STACK.me)[0], 503)
        equal(STACK.member.wait(10), 75)
    finally:
        STACK.token_faults.disarm()
    STACK.revive()
    wait_for("release of the same instance", lambda: STACK.release(instance, STACK.me)[0] == 200)


def test_attack_43_a_refused_pin_is_never_tried_again_by_itself():
    none_wrong([inject_start(STACK, "C_Login", 1, "CKR_PIN_INCORRECT")])


def test_a_wake_up_that_is_lost_costs_a_second_and_not_the_service():
    """libcurl wakes its thread by a byte in a socket: the first send of a release."""
    instance = STACK.launch()
    STACK.server_faults.arm("send", 1, "ECONNRESET")
    began = time.monotonic()
    equal(STACK.release(instance, STACK.me)[0], 200)
    STACK.server_faults.disarm()
    equal(STACK.server_faults.met(), 1)
    assert time.monotonic() - began < 3


def test_memory_out_is_never_the_callers_fault():
    """A body that jansson or OpenSSL had no memory for is a 500 and not a final 400."""
    found = [inject(STACK, "vouchsafed", "malloc", nth, "ENOMEM") for nth in range(10, 130, 4)]
    none_wrong(found)
    assert 500 in {injection.outcome for injection in found}, {injection.outcome for injection in found}


def test_agent():
    STACK.agent_faults.disarm()
    for function, fault, calls in (("malloc", "ENOMEM", range(40, 16000, 1600)), ("fsync", "EIO", range(1, 8)),
                                   ("rename", "kill", range(1, 5)),
                                   ("rename", "kill-after", range(1, 5)), ("write", "ENOSPC", range(1, 5)),
                                   ("write", "short", range(1, 5)), ("send", "ECONNRESET", (1, 8)),
                                   ("recv", "ECONNRESET", (1, 8)), ("openat", "EMFILE", range(1, 6))):
        none_wrong([inject_agent(STACK, function, nth, fault) for nth in calls])


def test_a_fault_is_armed_by_hand():
    """As docs/testing.md has it: two variables, and any program."""
    instance = STACK.launch()
    done, _ = run_agent(STACK, instance, LD_PRELOAD=str(STACK.bin / "shim.so"), VOUCHSAFE_FAULT="socket:1+:EMFILE")
    equal(done.returncode, 69, done.stderr)
    done, _ = run_agent(STACK, instance, LD_PRELOAD=str(STACK.bin / "shim.so"), VOUCHSAFE_FAULT="socket:1:EVERYTHING")
    equal(done.returncode, 2)
    assert "is not understood" in done.stderr, done.stderr


def test_the_trail_is_whole():
    STACK.trail.read()
    assert "ok" in STACK.cli("audit", "verify").stdout
    assert STACK.pin not in json.dumps(list(STACK.trail.events.values()))


def main():
    global STACK
    STACK = FaultStack(os.environ.get("PLAIN", "build"), config={"deadline": "3s"})
    try:
        STACK.start()
        for _ in range(3):  # calls are counted on a stack that is warm, whichever test is the first
            STACK.granted(STACK.launch(), STACK.me)
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


if __name__ == "__main__":
    sys.exit(main())
