"""What goes wrong around a release: members killed and stopped, the server killed, AWS failing, draining; and what
must never be found anywhere."""
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import memory
import tap
from stack import ACCOUNT, MEMBER_UID, MODULE, REGION, main, wait_for
from tap import equal

STACK = None
KEYS = []


def burned(instance):
    return STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION,
                     check=False).returncode == 0


def wait_ready():
    """Until the server says that a member of its vault is up."""
    def up():
        answer = STACK.request("GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]
        return answer["vault"] == "up"
    wait_for("member that is up", up)


def wait_down():
    wait_for("member that is down", lambda: STACK.request(
        "GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]["vault"] == "down")


def unavailable(instance, code):
    status, headers, problem = STACK.release(instance, KEYS[0])
    equal((status, problem["code"], problem["retryable"]), (503, code, True))
    assert 1 <= int(headers["Retry-After"]) <= 60, headers


def test_no_pkcs11_module_in_the_server():
    if not STACK.root:
        raise tap.Skip("needs root: the processes cannot be looked into")
    STACK.granted(STACK.launch(), KEYS[0])
    maps = pathlib.Path("/proc/%d/maps" % STACK.server.pid).read_text()
    # libp11-kit.so itself is there: libmicrohttpd brings GnuTLS, and GnuTLS brings it; it loads modules when asked
    modules = {line.split()[-1] for line in maps.splitlines() if "softhsm" in line or "/pkcs11/" in line}
    equal(modules, set(), "modules")
    assert "libsofthsm" in pathlib.Path("/proc/%d/maps" % STACK.member.pid).read_text()


def test_users_of_their_own():
    if not STACK.root:
        raise tap.Skip("needs root")
    status = [pathlib.Path("/proc/%d/status" % p.pid).read_text() for p in (STACK.server, STACK.member)]
    uids = [re.search(r"^Uid:\s+(\d+)", s, re.M).group(1) for s in status]
    equal(uids, ["64100", "64101"])


def metrics():
    connection = http.client.HTTPConnection("127.0.0.1", STACK.ops_port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_attack_40_a_canary_pin_is_found_nowhere():
    instance = STACK.launch()
    answer = STACK.granted(instance, KEYS[0])
    equal(answer["inside"]["secrets"][0]["value"], STACK.pin)
    out = STACK.base / "out" / "canary"
    equal(STACK.agent(STACK.launch(), out).returncode, 0)
    equal((out / "hsm-partition-pin").read_text(), STACK.pin)
    wanted = set()
    for secret in (STACK.pin, STACK.token_pin, STACK.client_key.splitlines()[1]):
        wanted |= memory.spellings(secret)
    looked = set()
    for folder, _, names in os.walk(STACK.base):
        if pathlib.Path(folder) == out:
            continue
        for name in names:
            path = pathlib.Path(folder) / name
            if path.is_socket() or path.parent == STACK.bin:
                continue
            data = path.read_bytes()
            looked.add(path.name)
            for secret in wanted:
                if secret in data:
                    assert path.name == "hsm-a.pin", "found in %s" % path
    assert {"server.log", "member.log", "vouchsafe.db", "vouchsafe.db-wal", "hsm-a.pin"} <= looked, looked
    for process in (STACK.server, STACK.member, STACK.sim.process):
        for name in ("environ", "cmdline") if STACK.root else ("cmdline",):
            data = pathlib.Path("/proc/%d/%s" % (process.pid, name)).read_bytes()
            assert not any(secret in data for secret in wanted), "%s of %d" % (name, process.pid)
    texts = [json.dumps(STACK.events()).encode(),
             json.dumps(STACK.request("GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]).encode(),
             metrics()]
    assert b"vouchsafe_decisions_total" in texts[-1]
    assert not any(secret in text for secret in wanted for text in texts)


def test_attack_43_member_killed_and_back():
    instance, other = STACK.launch(), STACK.launch()
    STACK.stop(STACK.member, signal.SIGKILL)
    wait_down()
    unavailable(instance, "vault-unavailable")
    unavailable(other, "vault-unavailable")
    assert not burned(instance) and not burned(other)
    equal(STACK.instance_events(instance), [])
    STACK.start_member()
    wait_ready()
    STACK.granted(instance, KEYS[0])
    STACK.granted(other, KEYS[1])


def test_member_killed_in_the_middle_of_a_storm():
    instances = [STACK.launch() for _ in range(20)]
    answers = []
    killed = threading.Timer(0.05, lambda: STACK.stop(STACK.member, signal.SIGKILL))
    killed.start()
    for instance in instances:
        answers.append(STACK.release(instance, KEYS[0])[0])
    killed.join()
    assert set(answers) <= {200, 503}, answers
    STACK.start_member()
    wait_ready()
    for instance in instances:  # whoever was burned was burned for this key
        STACK.granted(instance, KEYS[0])


def test_denials_need_no_vault():
    instance = STACK.launch()
    STACK.stop(STACK.member, signal.SIGKILL)
    wait_down()
    equal(STACK.release(instance, KEYS[0], **{"instance-type": "m5.xlarge"})[0], 403)
    equal(STACK.instance_events(instance)[-1]["event"], "release.denied")
    STACK.start_member()
    wait_ready()
    STACK.granted(instance, KEYS[0])


def row_committed(instance):
    database = sqlite3.connect("file:%s?mode=ro" % (STACK.state / "vouchsafe.db"), uri=True)
    try:
        rows = database.execute("SELECT count(*) FROM ledger").fetchone()[0]
    finally:
        database.close()
    return rows


def test_attack_30_member_stopped_server_killed_after_the_commit():
    instance = STACK.launch()
    wait_ready()
    before = row_committed(instance)
    STACK.member.send_signal(signal.SIGSTOP)
    answers = []

    def ask():
        try:
            answers.append(STACK.release(instance, KEYS[0])[0])
        except OSError:
            answers.append("cut")
    asking = threading.Thread(target=ask)
    asking.start()
    wait_for("committed row", lambda: row_committed(instance) == before + 1)
    STACK.stop(STACK.server, signal.SIGKILL)
    asking.join()
    equal(answers, ["cut"])
    STACK.member.send_signal(signal.SIGCONT)
    STACK.stop(STACK.member, signal.SIGKILL)
    STACK.start_member()
    STACK.start_server()
    status, _, problem = STACK.release(instance, KEYS[1])
    equal((status, problem["code"]), (409, "already-released"))
    STACK.granted(instance, KEYS[0])
    equal([e["event"] for e in STACK.instance_events(instance)],
          ["release.granted", "release.conflict", "release.repeated"])
    shown = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert "not acknowledged" in shown


def test_attack_43_a_token_that_was_made_anew():
    """Same label, same PIN, another token: it has none of the keys, and nothing is given out by it."""
    instance, kept = STACK.launch(), STACK.vault / "tokens-kept"
    tokens = STACK.vault / "tokens"
    STACK.stop(STACK.member)
    tokens.rename(kept)
    tokens.mkdir(mode=0o700)
    shutil.chown(tokens, kept.stat().st_uid, kept.stat().st_gid)
    subprocess.run(STACK._as(MEMBER_UID, ["softhsm2-util", "--init-token", "--free", "--label", "vouchsafe-a", "--pin",
                                          STACK.token_pin, "--so-pin", STACK.token_pin]),
                   env=STACK.environment(), check=True, capture_output=True)
    before = STACK.log("member").count('"event":"serving"')
    try:
        STACK.start_member()
        wait_for("member on the new token", lambda: STACK.log("member").count('"event":"serving"') > before)
        until = time.monotonic() + 3  # the server looks for its member every two seconds, and its canary does not open
        while time.monotonic() < until:
            unavailable(instance, "vault-unavailable")
        assert not burned(instance)
    finally:
        STACK.stop(STACK.member)
        shutil.rmtree(tokens)
        kept.rename(tokens)
    STACK.start_member()
    wait_ready()
    STACK.granted(instance, KEYS[0])


def test_attack_43_member_that_hangs_is_given_up_at_the_deadline():
    instance = STACK.launch()
    wait_ready()
    STACK.member.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    unavailable(instance, "vault-unavailable")
    assert time.monotonic() - began < 5, "longer than the request's deadline"
    STACK.member.send_signal(signal.SIGCONT)
    wait_ready()
    STACK.granted(instance, KEYS[0])  # the grant stood, and the same key collects it


def test_server_started_before_its_member_waits():
    equal(STACK.stop(STACK.server), 0)
    equal(STACK.stop(STACK.member), 0)
    before = len(STACK.log("server"))
    STACK.start_server(wait=False)
    wait_for("waiting server", lambda: "waiting-for-member" in STACK.log("server")[before:])
    assert '"listening"' not in STACK.log("server")[before:]
    STACK.start_member()
    STACK.wait_listening(before)
    STACK.granted(STACK.launch(), KEYS[0])


def test_server_waiting_for_its_member_can_be_ended():
    equal(STACK.stop(STACK.server), 0)
    equal(STACK.stop(STACK.member), 0)
    before = len(STACK.log("server"))
    STACK.start_server(wait=False)
    wait_for("waiting server", lambda: "waiting-for-member" in STACK.log("server")[before:])
    equal(STACK.stop(STACK.server), 1)
    STACK.start_member()
    STACK.start_server()


def test_attack_18_23_aws_trouble_is_503_and_burns_nothing():
    for mode in ("throttle", "error-500", "reset", "short-body", "garbage", "error-200", "truncated-xml", "doctype",
                 "duplicate-field"):
        instance = STACK.launch()
        more = {"field": "instanceType"} if mode == "duplicate-field" else {}
        STACK.sim.fault("DescribeInstances", mode, times=-1, **more)
        try:
            unavailable(instance, "upstream-unavailable")
        finally:
            STACK.sim.clear_faults()
        assert not burned(instance), mode
        equal(STACK.instance_events(instance), [], mode)
        STACK.granted(instance, KEYS[0])


def test_attack_23_entities_are_refused_and_nothing_is_opened():
    """Whoever opens the FIFO waits there for ever, and the server with him."""
    fifo = STACK.base / "fifo"
    os.mkfifo(fifo, 0o644)
    bomb = '<!ENTITY a "aaaaaaaaaa">' + "".join('<!ENTITY %s "%s">' % (name, "&%s;" % before * 10)
                                                for before, name in zip("abcdefghi", "bcdefghij"))
    subset = ("[%s]" % bomb, '[<!ENTITY j SYSTEM "file://%s">]' % fifo, 'SYSTEM "file://%s"' % fifo,
              '[<!ENTITY %% d SYSTEM "file://%s"> %%d;]' % fifo, '[<!ENTITY j SYSTEM "http://192.0.2.1/">]', "")
    for doctype in subset:
        instance = STACK.launch()
        body = ('<?xml version="1.0"?><!DOCTYPE DescribeInstancesResponse %s><DescribeInstancesResponse '
                'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>&j;</requestId></DescribeInstancesResponse>')
        STACK.sim.fault("DescribeInstances", "replace-body", value=body % doctype, times=-1)
        try:
            unavailable(instance, "upstream-unavailable")
        finally:
            STACK.sim.clear_faults()
        assert not burned(instance)
        STACK.granted(instance, KEYS[0])


def test_attack_23_one_byte_a_second():
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "trickle", delay_ms=1000, times=-1)
    began = time.monotonic()
    unavailable(instance, "upstream-unavailable")
    assert time.monotonic() - began < 5, "longer than the request's deadline"
    STACK.sim.clear_faults()
    STACK.granted(instance, KEYS[0])


def test_attack_18_iam_trouble_is_503_too():
    for mode in ("throttle", "error-500", "reset", "garbage"):
        # a profile of its own each: answers of IAM are kept for a minute
        name = "web-tier-" + mode
        STACK.sim.control("role", account=ACCOUNT, name="web-tier",
                          profiles=[{"name": "web-tier"}] + [{"name": "web-tier-" + m} for m in
                                                             ("throttle", "error-500", "reset", "garbage")])
        instance = STACK.launch(profile=name, role="")
        STACK.sim.fault("ListInstanceProfilesForRole", mode, times=-1)
        try:
            unavailable(instance, "upstream-unavailable")
        finally:
            STACK.sim.clear_faults()
        STACK.granted(instance, KEYS[0])


def test_short_trouble_is_overcome_within_one_request():
    for mode in ("throttle", "error-500", "reset"):
        instance = STACK.launch()
        STACK.sim.fault("DescribeInstances", mode, times=2)
        STACK.granted(instance, KEYS[0])


def test_attack_18_nothing_but_the_answer_counts():
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "not-visible", times=-1)
    unavailable(instance, "not-visible-yet")
    STACK.sim.clear_faults()
    for field in ("instanceId", "ownerId", "reservationId", "instanceType", "privateDnsName", "launchTime"):
        STACK.sim.fault("DescribeInstances", "drop-field", field=field, times=-1)
        status = STACK.release(instance, KEYS[0])[0]
        assert status in (403, 503), (field, status)
        STACK.sim.clear_faults()
        assert not burned(instance), field
    STACK.granted(instance, KEYS[0])


def test_attack_18_slow_beyond_the_deadline():
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=20000, times=-1)
    began = time.monotonic()
    unavailable(instance, "upstream-unavailable")
    assert time.monotonic() - began < 10
    STACK.sim.clear_faults()
    STACK.granted(instance, KEYS[0])


def test_one_describe_for_many():
    instances = [STACK.launch() for _ in range(64)]
    STACK.granted(STACK.launch(), KEYS[0])  # warm
    STACK.sim.counters(reset=True)
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=200, times=1)
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(STACK.release(i, KEYS[0])[0])) for i in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(answers, [200] * 64)
    counters = STACK.sim.counters()
    # with a full bucket 5 ms are waited for company, and these come one by one; test_storm.py has the crowd
    assert counters["DescribeInstances"]["calls"] <= 32, counters
    STACK.sim.clear_faults()


def test_sigterm_drains():
    instance, late = STACK.launch(), STACK.launch()
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=1500, times=1)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(STACK.release(instance, KEYS[0])[0]))
    asking.start()
    wait_for("request under way", lambda: STACK.request(
        "GET", "/readyz?verbose", port=STACK.ops_port, headers={})[2]["under_way"] > 0)
    STACK.server.send_signal(signal.SIGTERM)
    asking.join()
    equal(answers, [200])
    equal(STACK.server.wait(10), 0)
    try:
        STACK.release(late, KEYS[0])
        raise AssertionError("a server that has ended answered")
    except OSError:
        pass
    STACK.sim.clear_faults()
    STACK.start_server()
    STACK.granted(late, KEYS[0])


def test_drain_serves_on_but_is_not_ready():
    equal(STACK.stop(STACK.server), 0)
    STACK.write_config(drain="600s")
    STACK.start_server()
    equal(STACK.request("GET", "/readyz", headers={})[0], 200)
    STACK.server.send_signal(signal.SIGTERM)
    wait_for("node that is not ready", lambda: STACK.request("GET", "/readyz", headers={})[0] == 503)
    equal(STACK.request("GET", "/livez", headers={})[0], 200)
    STACK.granted(STACK.launch(), KEYS[0])
    equal(STACK.stop(STACK.server), 0)  # the second signal cuts the waiting short
    STACK.write_config()
    STACK.start_server()


def test_a_second_node_on_the_same_file_is_refused():
    before = len(STACK.log("server"))
    first = STACK.server
    second = STACK.start_server(wait=False)
    equal(second.wait(20), 1)
    STACK.server = first
    said = STACK.log("server")[before:]
    assert "not-started" in said and "lock" in said.lower(), said


def test_wrong_configuration_ends_with_its_place():
    before = len(STACK.log("server"))
    first = STACK.server
    STACK.write_config(tlss={"certificate": "x"})
    second = STACK.start_server(wait=False)
    equal(second.wait(20), 1)
    STACK.server = first
    STACK.write_config()
    said = STACK.log("server")[before:]
    assert re.search(r"vouchsafe\.json:\d+:\d+: tlss: no such setting", said), said


def test_more_agents_wait_than_descriptors_are_usual():
    """Started by a shell with few descriptors, the server takes as many as it may have."""
    STACK.stop(STACK.server)
    before = len(STACK.log("server"))
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, usual[1]))
        STACK.start_server(wait=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    STACK.wait_listening(before)
    idle = [socket.create_connection(("127.0.0.1", STACK.port), 5) for _ in range(150)]
    try:
        STACK.granted(STACK.launch(), KEYS[0])
    finally:
        for connection in idle:
            connection.close()


def test_attack_27_38_store_taken_away_and_given_back():
    """The database refuses to write: 503, nothing released, and the next good request works."""
    instance = STACK.launch()
    database = sqlite3.connect(STACK.state / "vouchsafe.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    try:
        unavailable(instance, "store-unavailable")
        # a denial owes an event: without it the answer is 503 as well
        status, _, problem = STACK.release(instance, KEYS[0], **{"instance-type": "m5.xlarge"})
        equal((status, problem["code"]), (503, "store-unavailable"))
    finally:
        database.execute("ROLLBACK")
        database.close()
    assert not burned(instance)
    STACK.granted(instance, KEYS[0])


def test_attack_32_an_older_copy_is_put_in_its_place():
    """While the server runs: it notices, gives nothing out, and goes on with the true one."""
    served, late = STACK.launch(), STACK.launch()
    true, old, aside = (STACK.state / name for name in ("vouchsafe.db", "old.db", "aside.db"))
    database = sqlite3.connect(true, isolation_level=None)
    database.execute("VACUUM INTO '%s'" % old)
    database.close()
    os.chown(old, true.stat().st_uid, true.stat().st_gid)
    STACK.granted(served, KEYS[0])
    true.rename(aside)
    old.rename(true)
    for instance in (served, late):
        status, _, problem = STACK.release(instance, KEYS[1])
        # the member's health is looked up in the store as well
        assert (status, problem["code"]) in ((503, "store-unavailable"), (503, "vault-unavailable")), problem
    assert "moved or replaced" in STACK.log("server")
    true.unlink()
    aside.rename(true)
    wait_for("store that answers again", lambda: STACK.release(served, KEYS[1])[0] == 409)
    wait_ready()
    STACK.granted(served, KEYS[0])
    STACK.granted(late, KEYS[1])


def test_it_all_ends_with_zero():
    equal(STACK.stop(STACK.server), 0)
    equal(STACK.stop(STACK.member), 0)
    for name in ("server", "member"):
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
            assert word not in STACK.log(name), STACK.log(name)[-4000:]
    assert MODULE not in STACK.log("server")


if __name__ == "__main__":
    sys.exit(main(globals(), keys=3, sunk=True, config={"deadline": "2s"}))
