"""A thousand instances at once, against an AWS that paces its callers as it says it does: with the server's own
settings everybody is served, by a handful of calls. Beside strangers, while AWS is away, while the server's own
credentials expire again and again, and under ThreadSanitizer.

The load generator (bench/load.c) waits as vouchsafe-agent does; $TSAN is the folder of the server that is watched, and
AGENTS=10000 makes it a storm of so many."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import tap
from awssim import Signer, http_request
from load import AWS_BUCKET, Crowd, defaults, metric
from stack import ACCOUNT, Stack, wait_for
from tap import equal

AGENTS = int(os.environ.get("AGENTS") or 1000)
CALLS = max(20, AGENTS // 100)  # of EC2 and IAM together
PLAIN = os.environ.get("PLAIN", "build")
STACKS = {}
TTL = 4  # seconds that the keys of a container's endpoint live
COMING = 14  # seconds within which agents begin, where those keys are to expire
ENDPOINT = "/container/%s/vouchsafe-server" % ACCOUNT
AUTHORIZATION = "Bearer container-token"


def stack(name="plain"):
    """The stack with that build of the server; made when it is first asked for."""
    if name not in STACKS:
        folder = os.environ.get("TSAN", "build/tsan") if name == "tsan" else PLAIN
        made = STACKS[name] = Stack(PLAIN, programs={"vouchsafed": pathlib.Path(folder) / "vouchsafed"})
        defaults(made)
        if name == "expiring":
            expiring(made)
        made.start()
        made.crowd = Crowd(made, PLAIN)
    return STACKS[name]


def expiring(made):
    """The server's keys come from a container's endpoint, and live TTL seconds."""
    role = ENDPOINT.rsplit("/", 1)[1]
    made.sim.control("role", account=ACCOUNT, name=role)
    made.sim.control("trust", account=ACCOUNT, role=role, container_token=AUTHORIZATION, ttl=TTL)
    made.aws_environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": made.sim.url + ENDPOINT,
                            "AWS_CONTAINER_AUTHORIZATION_TOKEN": AUTHORIZATION}


def tails():
    return "\n".join(made.tails() for made in STACKS.values())


def calls(of):
    """Calls of EC2 and IAM since the last time, by outcome."""
    counted = of.sim.counters(reset=True)
    return {(action, outcome): n for action, row in counted.items() for outcome, n in row["outcomes"].items()}


def storm(of, agents=AGENTS, seconds=40):
    """That many at once under AWS's published bucket: all served, no answer but 200 and 503 with Retry-After."""
    of.sim.throttle(**AWS_BUCKET, delay_ms=50)
    instances = of.crowd.fleet(agents)
    calls(of)
    summary = of.crowd.run(of.crowd.lines(instances), "--seconds", str(seconds))
    judge(summary, agents)
    once(of, instances)
    return summary


def judge(summary, agents):
    for status, n in summary["statuses"].items():
        tap.came(status, n)
    equal(summary["served"], agents, summary)
    assert set(summary["statuses"]) <= {"200", "503"}, summary
    equal((summary["without_retry_after"], summary["lost"]), (0, 0), summary)


def granted(of, instances):
    """Whose first use the trail has, as often as it has it."""
    ids = {i["id"] for i in instances}
    return sorted(e["instance-id"] for e in of.events(event="release.granted") if e["instance-id"] in ids)


def once(of, instances):
    """Each has been granted its release, and none twice."""
    equal(granted(of, instances), sorted(i["id"] for i in instances))


def test_a_thousand_at_once():
    storm(stack())
    came = calls(stack())
    assert sum(came.values()) <= CALLS, came
    equal(set(came), {("DescribeInstances", "OK"), ("ListInstanceProfilesForRole", "OK")})  # never throttled


def test_one_call_for_one_alone():
    stack().sim.throttle(**AWS_BUCKET)
    for _ in range(3):
        summary = stack().crowd.run(stack().crowd.lines(stack().crowd.fleet(1)))
        judge(summary, 1)
    came = calls(stack())
    equal(came[("DescribeInstances", "OK")], 3, came)


def test_strangers_by_the_thousand_cost_the_others_little():
    of = stack()
    of.sim.throttle(**AWS_BUCKET, delay_ms=50)

    def median(strangers):
        good = of.crowd.lines(of.crowd.fleet(100))
        calls(of)
        crowd = of.crowd.start(of.crowd.junk(AGENTS, 20), "--seconds", "60") if strangers else None
        try:
            if crowd:
                wait_for("strangers", lambda: of.sim.counters().get("DescribeInstances", {"ids": 0})["ids"] > 0)
            summary = of.crowd.run(good, "--seconds", "20")
            judge(summary, 100)
            return summary["ms"]["median"]
        finally:
            if crowd:
                crowd.end()

    found = []
    for _ in range(4):  # the machine has other work at times
        found.append((median(False), median(True)))
        if found[-1][1] <= 2 * found[-1][0]:
            return
    raise AssertionError("undisturbed and beside strangers, ms: %s" % found)


def test_aws_goes_away_and_comes_back():
    """It resets connections until agents have been sent away for want of it, then fails, and then is there again."""
    of = stack()
    refused = 'vouchsafe_requests_total{kind="release",status="503"}'
    of.sim.throttle(**AWS_BUCKET, delay_ms=50)
    instances = of.crowd.fleet(AGENTS)
    before = metric(of, refused)
    of.sim.fault("DescribeInstances", "reset", times=-1)
    crowd = of.crowd.start(of.crowd.lines(instances), "--seconds", "60")
    try:
        wait_for("agents that are sent away", lambda: metric(of, refused) > before)
        equal(granted(of, instances), [])
        of.sim.clear_faults()
        of.sim.fault("DescribeInstances", "error-500", times=3)
        summary = crowd.result()
    finally:
        crowd.end()
    judge(summary, AGENTS)
    assert summary["statuses"]["503"] > 0, summary
    once(of, instances)


def signer_of(of, action):
    """The access key id of an action's last call."""
    headers = dict((name.lower(), value) for name, value in of.sim.last(action)["headers"])
    return re.search(r"Credential=([A-Z0-9]+)/", headers["authorization"]).group(1)


def own_keys(of):
    """Such keys for ourselves, to be kept for too long."""
    given = json.loads(http_request(of.sim.port, "GET", ENDPOINT, {"Authorization": AUTHORIZATION}).body)
    return Signer(given["AccessKeyId"], given["SecretAccessKey"], given["Token"])


def test_credentials_expire_in_the_middle_of_a_storm():
    """Keys that live 4 seconds, and thousands of agents that come within 14: the keys are changed under way, no call is
    signed with any that have ended, which AWS refuses, and nobody notices."""
    of = stack("expiring")
    of.sim.throttle(**AWS_BUCKET, delay_ms=50)
    instances = of.crowd.fleet(3 * AGENTS)
    kept = own_keys(of)
    equal(of.sim.describe(kept).status, 200)
    calls(of)
    crowd = of.crowd.start(of.crowd.lines(instances), "--ramp", str(COMING), "--seconds", "60")
    signers = set()
    try:
        wait_for("a call", lambda: of.sim.counters().get("DescribeInstances", {"calls": 0})["calls"] > 0)
        while crowd.process.poll() is None:
            signers.add(signer_of(of, "DescribeInstances"))
            with contextlib.suppress(subprocess.TimeoutExpired):
                crowd.process.wait(0.2)
        summary = crowd.result()
    finally:
        crowd.end()
    judge(summary, len(instances))
    once(of, instances)
    came = calls(of)
    equal({outcome for action, outcome in came if action != "container"}, {"OK"}, came)
    changed = len(signers) - 1
    assert changed >= 2 and came[("container", "200")] >= changed, (signers, came)
    equal(of.sim.describe(kept).error_code(), "RequestExpired")  # so would the server's first have been refused


def test_a_storm_outlives_its_credentials():
    """Their source fails for longer than the keys hold: agents are sent away then, and nothing is burned. When it is
    back all are served."""
    of = stack("expiring")
    refused = 'vouchsafe_requests_total{kind="release",status="503"}'
    of.sim.throttle(**AWS_BUCKET, delay_ms=50)
    instances = of.crowd.fleet(AGENTS)
    before = metric(of, refused)
    calls(of)
    of.sim.fault("container", "error-500", times=-1)
    crowd = of.crowd.start(of.crowd.lines(instances), "--ramp", str(2 * TTL), "--seconds", "60")
    try:
        wait_for("agents that are sent away", lambda: metric(of, refused) > before)
        came = calls(of)
        assert len(granted(of, instances)) < AGENTS and ("container", "200") not in came, came
        of.sim.clear_faults()
        summary = crowd.result()
    finally:
        crowd.end()
    judge(summary, AGENTS)
    assert summary["statuses"]["503"] > 0, summary
    once(of, instances)


def test_a_storm_watched_by_thread_sanitizer():
    of = stack("tsan")
    storm(of, seconds=120)
    equal(of.stop(of.server), 0)
    log = of.log("server")
    assert "ThreadSanitizer" not in log, log[log.index("ThreadSanitizer"):][:6000]


if __name__ == "__main__":
    os.environ["TSAN_OPTIONS"] = "halt_on_error=0 exitcode=66"
    try:
        sys.exit(tap.run(tap.collect(globals()), tails))
    finally:
        for made in STACKS.values():
            made.close()
