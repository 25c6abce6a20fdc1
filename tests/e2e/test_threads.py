"""vouchsafed built with ThreadSanitizer, under a crowd: releases, repeats, conflicts, denials, acknowledgements, queries,
clients that leave, a member that dies, and the end. $TSAN is the folder of that build."""
import concurrent.futures
import os
import pathlib
import signal
import socket
import sys

import tap
from stack import main, wait_for
from tap import equal

STACK = None
KEYS = []


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


def test_the_end_and_no_race():
    equal(STACK.stop(STACK.server), 0)
    log = STACK.log("server")
    assert "ThreadSanitizer" not in log, log[log.index("ThreadSanitizer"):][:6000]


if __name__ == "__main__":
    built = pathlib.Path(os.environ.get("TSAN", "build/tsan")) / "vouchsafed"
    os.environ["TSAN_OPTIONS"] = "halt_on_error=0 exitcode=66"
    sys.exit(main(globals(), keys=2, programs={"vouchsafed": built}))
