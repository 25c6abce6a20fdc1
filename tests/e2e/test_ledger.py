"""The ledger as operators see it: states, a rule's instances in pages, re-arming many, old rows that go."""
import json
import re
import signal
import sqlite3
import sys
import threading

import tap
from stack import ACCOUNT, REGION, RULE, Stack, wait_for
from tap import equal

STACK = None
PER_LAUNCH = {**RULE, "name": "per-launch", "role": "per-launch-tier", "use": "once-per-launch"}


def show(instance):
    return json.loads(STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION,
                                "--json").stdout)


def fleet(*more, rule="web"):
    lines = STACK.cli("ledger", "show", "--rule", rule, "--json", *more).stdout.splitlines()
    return {row["instance-id"]: row for row in map(json.loads, lines)}


def sealed(instance):
    return wait_for("sealed release", lambda: show(instance)["state"] == "sealed" and show(instance))


def test_states():
    instance, mine, other = STACK.launch(), STACK.key(), STACK.key()
    answer = STACK.granted(instance, mine)
    row = sealed(instance)
    equal((row["rule"], row["release_id"], row["given_out"]), ("web", answer["release_id"], 1))
    assert row["sealed"] >= row["granted"] and row["acknowledged"] is None
    equal(STACK.request("POST", "/v1/releases/%s/ack" % answer["release_id"], {"ack": answer["inside"]["ack"]})[0], 204)
    equal(show(instance)["state"], "acknowledged")
    equal(STACK.release(instance, other)[0], 409)
    row = show(instance)
    equal((row["state"], row["conflicts"]), ("conflicting", 1))
    assert row["last_conflict"] > row["acknowledged"]
    equal([e["event"] for e in STACK.instance_events(instance)],
          ["release.granted", "release.acknowledged", "release.conflict"])  # to be sealed is none


def test_what_could_not_be_sealed_is_granted():
    """The member hangs behind the grant: the row says so until the same key has collected."""
    instance, key = STACK.launch(), STACK.key()
    STACK.member.send_signal(signal.SIGSTOP)
    try:
        equal(STACK.release(instance, key)[0], 503)
        equal(show(instance)["state"], "granted")
        equal(set(fleet("--state", "granted")), {instance["id"]})
    finally:
        STACK.member.send_signal(signal.SIGCONT)
    wait_for("member up", lambda: STACK.release(instance, key)[0] == 200)
    sealed(instance)


def test_text():
    instance, key = STACK.launch(), STACK.key()
    STACK.granted(instance, key)
    sealed(instance)
    text = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert re.search(r"^state +sealed$", text, re.M) and re.search(r"^acknowledged +not acknowledged yet$", text, re.M), text
    table = STACK.cli("ledger", "show", "--rule", "web", "--state", "sealed").stdout.splitlines()
    equal(table[0].split(), ["LAUNCHED", "INSTANCE-ID", "ACCOUNT-ID", "REGION", "STATE", "GRANTED", "RELEASE"])
    assert any(instance["id"] in line and " sealed " in line for line in table[1:]), table


def test_a_rules_instances():
    instances = [STACK.launch() for _ in range(3)]
    for instance in instances:
        STACK.granted(instance, STACK.key())
        sealed(instance)
    rows = fleet()
    assert all(instance["id"] in rows for instance in instances)
    launched = [row["launched"] for row in rows.values()]
    equal(launched, sorted(launched))
    assert all(row["state"] == "conflicting" for row in fleet("--state", "conflicting").values())
    assert not set(fleet("--state", "acknowledged")) & {i["id"] for i in instances}
    equal(fleet(rule="nobody"), {})
    equal(fleet("--launched-after", "2100-01-01T00:00:00Z"), {})
    equal(set(fleet("--launched-after", "30d")), set(rows))


def rearm(*more, check=True):
    return STACK.cli("ledger", "rearm", "--rule", "web", "--until", "30m", *more, check=check)


def test_a_fleet_is_re_armed():
    instance, first, second, third = STACK.launch(), STACK.key(), STACK.key(), STACK.key()
    STACK.granted(instance, first)
    many = ["--launched-after", "1h", "--reason", "disks lost"]
    counted = rearm(*many, check=False)
    n = len(fleet("--launched-after", "1h"))
    equal(counted.returncode, 1)
    assert "to be re-armed: %d\n" % n in counted.stdout and "--yes" in counted.stderr, (counted.stdout, counted.stderr)
    equal(STACK.release(instance, second)[0], 409)  # nothing was done
    before = len(STACK.events(event="ledger.rearmed"))
    assert "re-armed: %d\n" % n in rearm(*many, "--yes").stdout
    events = STACK.events(event="ledger.rearmed")[before:]
    equal(len(events), n)
    assert {e["comment"] for e in events} == {"disks lost"} and all(e["actor"].startswith("operator:") for e in events)
    equal(STACK.release(instance, second)[0], 200)
    equal(STACK.release(instance, third)[0], 409)  # spent
    again = rearm(*many, "--yes").stdout
    assert "re-armed: 0\n" in again and "is open: %d\n" % (n - 1) in again and "of this reason: 1\n" in again, again
    equal(STACK.release(instance, third)[0], 409)
    assert "re-armed: 1\n" in rearm("--launched-after", "1h", "--reason", "and again", "--yes").stdout
    equal(STACK.release(instance, third)[0], 200)


def test_what_is_not_understood():
    for words, said in (
            (["show", "--rule", "a b"], "--rule"), (["show", "--rule", "web", "--state", "lost"], "--state"),
            (["show", "--rule", "web", "i-0123456789abcdef0"], "one word too many"),
            (["rearm", "--rule", "web", "--reason", "r", "--until", "30m", "--yes"], "--launched-after"),
            (["rearm", "--rule", "web", "--launched-after", "1h", "--until", "30m", "--yes"], "--reason"),
            (["rearm", "--rule", "web", "--launched-after", "1h", "--reason", "r", "--yes"], "--until"),
            (["rearm", "--rule", "web", "--launched-after", "1h", "--reason", "r", "--until", "30m", "--key", "x"],
             "--key")):
        done = STACK.cli("ledger", *words, check=False)
        equal(done.returncode, 2, words)
        assert said in done.stderr, (words, done.stderr)


def test_a_server_is_served_while_many_are_re_armed():
    """Its releases go on between the batches."""
    database = sqlite3.connect(STACK.state / "vouchsafe.db")
    database.execute("PRAGMA busy_timeout = 10000")
    with database:
        database.execute("""INSERT INTO ledger (one_time_hash, account, region, instance, role, rule, release, recipient,
            secrets, once_per_launch, launch_time, granted_us, retry_until_us, collected)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            SELECT randomblob(32), account, region, printf('i-%017x', i), role, 'many', printf('none-%d', i), recipient,
            secrets, 0, launch_time, granted_us, retry_until_us, 1
            FROM n, (SELECT * FROM ledger WHERE rule = 'web' LIMIT 1)""")
    database.close()
    out = []
    run = threading.Thread(target=lambda: out.append(STACK.cli(
        "ledger", "rearm", "--rule", "many", "--launched-after", "2h", "--reason", "all", "--until", "1h", "--yes").stdout))
    run.start()
    served = 0
    while run.is_alive():
        equal(STACK.release(STACK.launch(), STACK.key())[0], 200)
        served += 1
    run.join()
    assert "re-armed: 3000\n" in out[0], out
    assert served >= 3, served
    equal(STACK.cli("audit", "verify").stdout[:3], "ok:")


def test_attack_26_old_rows_of_once_per_launch_expire():
    """Aged by hand while the server is stopped; those of once-per-instance stay."""
    keys = [STACK.key() for _ in range(3)]
    old, new = STACK.launch(role="per-launch-tier"), STACK.launch(role="per-launch-tier")
    for instance in (old, new):
        equal(STACK.release(instance, keys[0], role="per-launch-tier")[0], 200)
    stays = STACK.launch()
    STACK.granted(stays, keys[0])
    equal(STACK.stop(STACK.server), 0)
    database = sqlite3.connect(STACK.state / "vouchsafe.db")
    with database:
        for instance in (old, stays):
            database.execute("UPDATE ledger SET launch_time = launch_time - 32 * 86400, granted_us = granted_us - "
                             "32 * 86400000000, retry_until_us = retry_until_us - 32 * 86400000000 WHERE instance = ?",
                             (instance["id"],))
    database.close()
    STACK.start_server()
    expired = wait_for("expired row", lambda: STACK.events(event="ledger.expired"))
    assert expired[0]["comment"].startswith("1 rows of once-per-launch"), expired
    equal(set(fleet(rule="per-launch")), {new["id"]})
    equal(show(stays)["state"], "sealed")
    equal(STACK.release(stays, keys[1])[0], 409)


def main():
    global STACK
    STACK = Stack(sys.argv[1], [RULE, PER_LAUNCH])
    try:
        STACK.sim.control("role", account=ACCOUNT, name="per-launch-tier", profiles=[{"name": "per-launch-tier"}])
        STACK.start()
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


sys.exit(main())
