"""/metrics: the numbers follow what happened, the form is Prometheus' own (promtool), and no caller makes series."""
import http.client
import re
import shutil
import signal
import subprocess
import sys

import tap
from stack import SECONDS, main, wait_for
from tap import equal

STACK = None
KEYS = []


def scrape():
    """{series: value} and the text."""
    connection = http.client.HTTPConnection("127.0.0.1", STACK.ops_port, timeout=SECONDS)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    equal((response.status, response.getheader("Content-Type")), (200, "text/plain; version=0.0.4"))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}, text


def grown(before, series):
    return scrape()[0].get(series, 0) - before.get(series, 0)


def test_promtool_finds_nothing():
    STACK.granted(STACK.launch(), KEYS[0])
    if not shutil.which("promtool"):
        raise tap.Skip("no promtool here")
    checked = subprocess.run(["promtool", "check", "metrics"], input=scrape()[1], text=True, capture_output=True)
    equal((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))


def test_requests_and_decisions():
    before, _ = scrape()
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    STACK.release(instance, KEYS[1])
    STACK.release(instance, KEYS[0], **{"instance-type": "m5.xlarge"})
    STACK.request("POST", "/v1/releases", "{}")
    STACK.request("GET", "/nowhere", headers={})
    for series, n in (('vouchsafe_requests_total{kind="release",status="200"}', 1),
                      ('vouchsafe_requests_total{kind="release",status="409"}', 1),
                      ('vouchsafe_requests_total{kind="release",status="403"}', 1),
                      ('vouchsafe_requests_total{kind="release",status="400"}', 1),
                      ('vouchsafe_requests_total{kind="none",status="404"}', 1),
                      ('vouchsafe_decisions_total{outcome="ok",reason="none"}', 1),
                      ('vouchsafe_decisions_total{outcome="refused",reason="already-released"}', 1),
                      ('vouchsafe_decisions_total{outcome="refused",reason="instance-type"}', 1),
                      ('vouchsafe_decisions_total{outcome="refused",reason="malformed"}', 1),
                      ('vouchsafe_committed_records_total', 3),
                      ('vouchsafe_vault_operations_total{operation="seal",result="ok"}', 1),
                      ('vouchsafe_release_duration_seconds_count', 4)):
        equal(grown(before, series), n, series)
    assert grown(before, 'vouchsafe_upstream_calls_total{service="ec2",result="ok"}') >= 3


def test_trouble_shows():
    before, _ = scrape()
    equal(before['vouchsafe_vault_member_up{member="hsm-a"}'], 1)
    STACK.stop(STACK.member, signal.SIGKILL)
    wait_for("member that is down", lambda: scrape()[0]['vouchsafe_vault_member_up{member="hsm-a"}'] == 0)
    equal(STACK.release(STACK.launch(), KEYS[0])[0], 503)
    equal(grown(before, 'vouchsafe_decisions_total{outcome="unavailable",reason="vault-unavailable"}'), 1)
    STACK.start_member()
    wait_for("member that is up", lambda: scrape()[0]['vouchsafe_vault_member_up{member="hsm-a"}'] == 1)
    STACK.sim.fault("DescribeInstances", "error-500", times=2)
    STACK.granted(STACK.launch(), KEYS[0])
    assert grown(before, 'vouchsafe_upstream_calls_total{service="ec2",result="failed"}') >= 2


def test_the_node_says_what_it_is():
    series, _ = scrape()
    for name, value in (("vouchsafe_development", 1), ("vouchsafe_ready", 1), ("vouchsafe_rules_unbound", 1),
                        ("vouchsafe_requests_under_way", 0), ("vouchsafe_requests_under_way_limit", 20000)):
        equal(series[name], value, name)
    assert any(s.startswith('vouchsafe_build_info{version="') and 'node="rp-1"' in s for s in series)


def test_no_caller_makes_series_and_no_secret_is_there():
    count = len(scrape()[0])
    for name in ("a", "b", "c"):
        STACK.request("GET", "/" + name, headers={})
        STACK.request("BREW", "/v1/releases", headers={})
        STACK.release(STACK.launch(), KEYS[0], role="role-" + name)
    assert len(scrape()[0]) <= count + 3, scrape()[1]
    text = scrape()[1]
    assert STACK.pin not in text and STACK.token not in text
    assert not re.search(r"i-[0-9a-f]{8}|127\.0\.1", text)


if __name__ == "__main__":
    sys.exit(main(globals(), keys=2))
