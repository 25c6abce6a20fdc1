"""vouchsafed built with ThreadSanitizer, under a crowd: releases, repeats, conflicts, denials, acknowledgements, queries,
clients that leave, a member that dies, and the end; and over TLS. $TSAN is the folder of that build."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import sys

import tap
from stack import Stack, main, wait_for
from tap import equal

STACK = None
KEYS = []
PROGRAMS = {}


def test_a_crowd():
    instances = [STACK.launch() for _ in range(40)]

    def boot(i):
        instance, key = instances[i % len(instances)], KEYS[i // 40 % 2]
        status, _, answer = STACK.release(instance, key)
        if status == 200:
            inside = key.open(answer["sealed"])
            STACK.request("POST", "/v1/releases/%s/ack" % answer["release_id"], {"ack": inside["ack"]})
        if i % 7 == 0:
            STACK.release(instance, key, **{"instance-type": "m5.xlarge"})
        if i % 11 == 0:
            STACK.instance_events(instance)
        return status

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(boot, range(160)))
    equal(set(answers), {200, 409})
    equal(len(STACK.events(event="release.granted")), len(instances))


def test_clients_that_leave():
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=300, times=1)
    for _ in range(20):
        instance = STACK.launch()
        with socket.create_connection(("127.0.0.1", STACK.port), source_address=(instance["address"], 0)) as leaving:
            body = STACK.release_body(instance, KEYS[0])
            leaving.sendall(b"POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body) + body)
    STACK.sim.clear_faults()
    wait_for("empty pipeline", lambda: STACK.request(
        "GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]["under_way"] == 0)
    STACK.granted(STACK.launch(), KEYS[0])


def test_a_member_dies_and_returns():
    STACK.stop(STACK.member, signal.SIGKILL)
    equal(STACK.release(STACK.launch(), KEYS[0])[0], 503)
    STACK.start_member()
    instance = STACK.launch()
    wait_for("release", lambda: STACK.release(instance, KEYS[0])[0] == 200)


def end_without_a_race(stack):
    equal(stack.stop(stack.server), 0)
    log = stack.log("server")
    assert "ThreadSanitizer" not in log, log[log.index("ThreadSanitizer"):][:6000]


def test_the_end_and_no_race():
    end_without_a_race(STACK)


def test_the_same_over_tls_while_certificates_change():
    stack = Stack(sys.argv[1], programs=PROGRAMS, tls=True)
    with contextlib.closing(stack):
        stack.start()
        instances = [stack.launch() for _ in range(24)]

        def boot(i):
            if i % 8 == 0:
                stack.server.send_signal(signal.SIGHUP)
            if i % 5 == 0:
                stack.events(event="release.granted")
            return stack.release(instances[i % 24], KEYS[i // 24 % 2])[0]

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            equal(set(pool.map(boot, range(72))), {200, 409})
        end_without_a_race(stack)


if __name__ == "__main__":
    PROGRAMS["vouchsafed"] = pathlib.Path(os.environ.get("TSAN", "build/tsan")) / "vouchsafed"
    os.environ["TSAN_OPTIONS"] = "halt_on_error=0 exitcode=66"
    sys.exit(main(globals(), keys=2, programs=PROGRAMS))
