"""Three nodes on one PostgreSQL with its synchronous standby, behind haproxy: rivals for one instance, and a database that is
dead, read-only, full, lagging, older than it was, somebody else's or too new. At start that is said with the mend; when
running it is 503 store-unavailable, nothing is released, nothing lost, and served afterwards."""
import concurrent.futures
import contextlib
import os
import pathlib
import sys
import threading
import time

import tap
import test_evidence
from load import Load
from postgres import SECONDS, Cluster
from stack import ACCOUNT, BOUND, RULE, wait_for
from tap import equal

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("fault", "once")]
from world import World  # noqa: E402

WORLD = None
BUILD = sys.argv[1]
PLAIN = os.environ.get("PLAIN", "build")
RIVALS, ROUNDS = 64, 200
SCHEMA = "vouchsafe"


# ---- asking

def ask(instance, key, port=None, timeout=SECONDS):
    """(status, code, answer), through haproxy unless a node's own port is given."""
    stack = WORLD.stack
    status, _, answer = stack.request("POST", "/v1/releases", stack.release_body(instance, key), instance["address"],
                                      port=port or WORLD.fleet.port, timeout=timeout)
    return status, answer.get("code"), answer


def events(instance):
    WORLD.trail.read()
    return [e["event"] for e in WORLD.trail.of(instance)]


def served(instance, key):
    """It is served now, or at last; its release id. The key opens what came."""
    answers = []

    def good():
        WORLD.fleet.tend()
        answers.append(ask(instance, key))
        if answers[-1][0] not in (200, 503):
            raise AssertionError("answered %s" % (answers[-1],))
        return answers[-1][0] == 200
    wait_for("release", good)
    equal(key.open(answers[-1][2]["sealed"])["instance-id"], instance["id"])
    return answers[-1][2]["release_id"]


def once(instance, key=None, other=None):
    """In the end: its agent is served, nobody else is, and the trail has one first use."""
    release = served(instance, key or WORLD.keys[0])
    equal(ask(instance, other or WORLD.keys[1])[:2], (409, "already-released"))
    WORLD.trail.read()
    equal([e["release_id"] for e in WORLD.trail.of(instance) if e["event"] == "release.granted"], [release])


def refused_meanwhile(times=3):
    """Nobody is released anything: a fresh instance and one that was served before; what was asked for in vain."""
    instance = WORLD.stack.launch()
    for _ in range(times):
        equal(ask(instance, WORLD.keys[0])[:2], (503, "store-unavailable"))
    return instance


@contextlib.contextmanager
def trouble(begin, end, times=3):
    """Between the two nothing is released and nobody crashes; afterwards all is served, once."""
    before, nodes = WORLD.stack.launch(), [node.process.pid for node in WORLD.fleet.nodes]
    served(before, WORLD.keys[0])
    try:
        begin()
        instance = refused_meanwhile(times)
        yield
    finally:
        end()
        WORLD.cluster.heal()
    once(instance)
    once(before)
    equal([node.process.pid for node in WORLD.fleet.nodes], nodes)


def of_the_house(name):
    """How many events of that name there are that are of no instance."""
    WORLD.trail.read()
    return sum(e["event"] == name for e in WORLD.trail.events.get(None, []))


def sql(*statements, database="vouchsafe"):
    return WORLD.cluster.psql(*statements, database=database)


# ---- ATTACKS.md 26: rivals

def test_attack_26_three_nodes_and_64_keys():
    stack = WORLD.stack
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: stack.key(), range(RIVALS)))
    instances = [stack.launch() for _ in range(ROUNDS)]
    statuses = {}
    for instance in instances:
        lines = ["%s %s\n" % (instance["address"], stack.release_body(instance, key).decode()) for key in keys]
        summary = Load(str(pathlib.Path(PLAIN) / "bench/load"), lines, WORLD.fleet.port, "--seconds", "30").result()
        equal(summary["statuses"], {"200": 1, "409": RIVALS - 1}, instance["id"])
        for status, n in summary["statuses"].items():
            statuses[status] = statuses.get(status, 0) + n
    for status, n in statuses.items():
        tap.came("%s of %d keys for %d instances" % (status, RIVALS, ROUNDS), n)
    for instance in instances:
        kinds = events(instance)
        equal((kinds.count("release.granted"), kinds.count("release.conflict")), (1, RIVALS - 1))
    for node in WORLD.fleet.nodes:
        assert stack.log(node.name).count('"status":"200"') > ROUNDS / 10, "releases by " + node.name


# ---- ATTACKS.md 4: one challenge

def test_attack_4_one_challenge_on_two_nodes_at_once():
    """Good at any node, and for one key."""
    test_evidence.STACK = WORLD.stack
    WORLD.stack.port = WORLD.fleet.port
    for _ in range(10):
        instance = test_evidence.launch()
        nonce = test_evidence.challenge()
        bodies = [test_evidence.request_body(instance, key, nonce=nonce) for key in WORLD.keys[:2]]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda body: test_evidence.send(instance, body)[0], bodies))
        equal(sorted(answers), [200, 409])
        equal(events(instance).count("release.granted"), 1)


# ---- ATTACKS.md 27: errors on the ledger's path

def test_attack_27_a_dead_database():
    primary = WORLD.cluster.primary
    with trouble(primary.kill, primary.start):
        pass


def test_attack_27_a_stopped_database():
    """It does not answer, and nobody is told: the deadline ends it."""
    primary = WORLD.cluster.primary
    with trouble(primary.pause, primary.resume, times=1):
        pass


def test_attack_27_a_read_only_database():
    with trouble(WORLD.cluster.read_only, lambda: WORLD.cluster.read_only(False)):
        pass


def test_attack_27_a_password_that_is_not_known_any_more():
    def demand():
        WORLD.cluster.demand_password()
        wait_for("demand", lambda: WORLD.cluster.psql("SELECT 1", user="vouchsafe", check=False) is None)
        for wire in WORLD.all_wires():
            wire.cut()
    with trouble(demand, lambda: WORLD.cluster.demand_password(False)):
        pass


def test_attack_27_a_full_disk():
    """Its tables cannot grow. That the log cannot either kills a PostgreSQL."""
    primary = WORLD.cluster.primary

    def room_again():
        if primary.running():
            primary.limit_files()
        else:
            primary.start()
    with trouble(lambda: primary.limit_files(8192), room_again):
        pass


def test_attack_27_tables_that_are_gone():
    for table in ("ledger", "event", "find"):
        with trouble(lambda t=table: sql("ALTER TABLE %s.%s RENAME TO elsewhere" % (SCHEMA, t)),
                     lambda t=table: sql("ALTER TABLE %s.elsewhere RENAME TO %s" % (SCHEMA, t))):
            pass


def test_attack_27_a_table_that_somebody_holds():
    holder = {}

    def hold():
        """A session that has locked the table, until its input ends."""
        holder["psql"] = WORLD.cluster.primary.session("BEGIN; LOCK TABLE %s.ledger; SELECT 'held';" % SCHEMA)

    def let_go():
        holder["psql"].stdin.close()
        holder["psql"].wait(SECONDS)
        holder["psql"].stdout.close()
    with trouble(hold, let_go, times=1):
        pass


def test_attack_27_serialization_failures():
    """The first use is refused by the database itself, twice; it is no yes, and goes by."""
    sql("CREATE SEQUENCE public.tries",
        "CREATE FUNCTION public.unwilling() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " IF nextval('public.tries') <= 2 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER unwilling BEFORE INSERT ON %s.ledger FOR EACH ROW EXECUTE FUNCTION public.unwilling()" % SCHEMA)
    try:
        instance = WORLD.stack.launch()
        once(instance)
        assert int(sql("SELECT last_value FROM public.tries")) > 2
    finally:
        sql("DROP FUNCTION public.unwilling CASCADE", "DROP SEQUENCE public.tries")


def test_attack_27_a_standby_that_is_gone():
    with trouble(WORLD.cluster.standby.kill, WORLD.cluster.standby.start, times=1):
        pass


def test_attack_27_a_standby_that_lags():
    link = WORLD.links[WORLD.cluster.primary]
    with trouble(link.stall, lambda: link.stall(False), times=1):
        pass


# ---- ATTACKS.md 30 and 31: kills, and COMMITs whose answers are lost

def primary_wires():
    return [wires[WORLD.cluster.primary] for wires in WORLD.wires]


def asked_with(how, **options):
    """(a fresh instance, what it was answered) where the COMMIT of its release meets this on whatever wire it is sent."""
    instance = WORLD.stack.launch()
    for wire in primary_wires():
        wire.arm(how, holding=instance["id"].encode(), **options)
    try:
        answer = ask(instance, WORLD.keys[0], timeout=SECONDS)[:2]
    except OSError:
        answer = "closed"
    met = sum(not wire.armed() for wire in primary_wires())
    for wire in primary_wires():
        wire.disarm()
    equal(met, 1, "wires that met it")
    return instance, answer


def test_attack_31_cut_right_after_commit():
    """However the answer is lost, the COMMIT is found out about by another one, and the release given out once."""
    for how in ("before", "sent", "done", "late", "slow"):
        instance, answer = asked_with(how, seconds=0.3)
        tap.came("%s where COMMIT was cut: %s" % (answer[0], how))
        equal((how, answer[0]), (how, 200))
        once(instance)
    assert of_the_house("commit.resolved") >= 3  # those that were there


def test_attack_31_a_connection_that_is_forgotten_after_commit():
    """No answer, no reset: the deadline is our own."""
    began = time.monotonic()
    instance, answer = asked_with("forget")
    assert answer[0] in (200, 503), answer
    for wire in primary_wires():
        wire.set_mode("pass")
    once(instance)
    assert time.monotonic() - began < 30, "%.1f s" % (time.monotonic() - began)


def test_attack_31_a_commit_that_is_visible_and_not_replicated():
    """Its wait for the standby is cancelled: it can be read, and a fail-over would lose it. It is not given out before
    the standby has it."""
    link, instance = WORLD.links[WORLD.cluster.primary], WORLD.stack.launch()
    link.stall()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(instance, WORLD.keys[0])[:2]))
    asking.start()
    cancelled = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    try:
        wait_for("COMMIT that waits", lambda: int(WORLD.cluster.primary.psql(cancelled)) > 0)
        wait_for("row that can be read", lambda: sql("SELECT 1 FROM %s.ledger WHERE instance = '%s'" % (
            SCHEMA, instance["id"])) == "1")
        asking.join()
        equal(answers, [(503, "store-unavailable")])
    finally:
        link.stall(False)
        asking.join()
    once(instance)


def test_attack_31_fail_over_right_after_a_release():
    """What was answered is on the standby when the primary dies."""
    stack = WORLD.stack
    instances = [stack.launch() for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        equal({answer[0] for answer in pool.map(lambda i: ask(i, WORLD.keys[0]), instances)}, {200})
    WORLD.cluster.fail_over()
    for instance in instances:
        once(instance)
    once(stack.launch())


def test_attack_30_a_node_killed_at_commit():
    for how in ("before", "sent", "done"):
        killed = []

        def kill():
            for node, wires in zip(WORLD.fleet.nodes, WORLD.wires):
                if not wires[WORLD.cluster.primary].armed():
                    node.kill()
                    killed.append(node)
        instance, answer = asked_with(how, hook=kill)
        equal((how, answer, len(killed)), (how, "closed", 1))
        wait_for("end of the node", lambda: not killed[0].running())
        once(instance)
        WORLD.fleet.wait_up()


# ---- ATTACKS.md 32: an older copy

def rename(*pairs):
    """Databases get other names, whoever is connected."""
    for old, new in pairs:
        WORLD.cluster.primary.psql(
            "ALTER DATABASE %s ALLOW_CONNECTIONS false" % old,
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '%s'" % old,
            "ALTER DATABASE %s RENAME TO %s" % (old, new), "ALTER DATABASE %s ALLOW_CONNECTIONS true" % new)


def test_attack_32_an_older_copy_is_put_in_its_place():
    """Nodes that know better serve nothing from it; the true one is put back, and all goes on."""
    rename(("vouchsafe", "template"))
    WORLD.cluster.primary.psql("CREATE DATABASE older TEMPLATE template OWNER vouchsafe")
    rename(("template", "vouchsafe"))
    known = [WORLD.stack.launch() for _ in range(12)]
    for instance in known:  # every node has seen a commit of the newer one
        served(instance, WORLD.keys[0])
    rename(("vouchsafe", "newer"), ("older", "vouchsafe"))
    try:
        for instance in known[:6]:
            equal(ask(instance, WORLD.keys[1])[:2], (503, "store-unavailable"))
        lost = refused_meanwhile(6)
    finally:
        rename(("vouchsafe", "older"), ("newer", "vouchsafe"))
    for instance in known:
        once(instance)
    once(lost)
    assert "an older copy was put in its place" in "".join(WORLD.stack.log(node.name) for node in WORLD.fleet.nodes)


# ---- bad input at start

def complaint(uri, *words, **settings):
    """A node with this store ends at once and says these words."""
    stack = WORLD.stack
    before = len(stack.log("odd"))
    process, _ = stack.begin_node("odd", store=uri, listen="127.0.0.1:0", **settings)
    code = process.wait(SECONDS)
    lines = stack.log("odd")[before:].splitlines()
    assert code > 0 and '"not-started"' in lines[-1], (code, lines)
    for word in words:
        assert word in lines[-1], (word, lines[-1])
    return lines[-1]


def good_uri(**options):
    """The primary, and then the standby, which is asked last and has nothing to do with it."""
    return WORLD.cluster.uri(*((str(server.sockets), 5432) for server in (WORLD.cluster.primary, WORLD.cluster.standby)),
                             **options)


def test_at_start_a_dead_database():
    nobody = str(WORLD.stack.base / "nobody")
    complaint(WORLD.cluster.uri((nobody, 5432)), nobody, "does PostgreSQL run there")
    complaint(WORLD.cluster.uri(("127.0.0.1", 1)), "127.0.0.1", "refused", "does PostgreSQL run there")


def test_at_start_no_such_database_or_user():
    complaint(good_uri(database="nowhere"), "nowhere", "does not exist", "are user, password and database those")
    complaint(good_uri().replace("vouchsafe@", "stranger@"), "stranger", "does not exist", "are user, password and database those")


def test_at_start_a_read_only_database():
    WORLD.cluster.read_only()
    try:
        complaint(good_uri(), "read-only", "default_transaction_read_only")
    finally:
        WORLD.cluster.read_only(False)


def test_at_start_a_standby_alone():
    complaint(WORLD.cluster.uri((str(WORLD.cluster.standby.sockets), 5432)), "standby", "promoted")


def test_at_start_fewer_standbys_than_are_wanted():
    complaint(good_uri(), "min_sync_standbys", "attach", min_sync_standbys=2)


def test_at_start_a_standby_that_nobody_waits_for():
    WORLD.cluster.asynchronous()
    try:
        del WORLD.stack.config["min_sync_standbys"]  # as many as there are
        complaint(good_uri(), "synchronous_standby_names", "min_sync_standbys")
    finally:
        WORLD.stack.config["min_sync_standbys"] = 1
        WORLD.cluster.asynchronous(False)


def test_at_start_a_schema_too_new():
    sql("INSERT INTO %s.migration VALUES (999)" % SCHEMA)
    try:
        complaint(good_uri(), "999", "newer")
    finally:
        sql("DELETE FROM %s.migration WHERE number = 999" % SCHEMA)


def test_at_start_somebody_elses_database():
    """Tables of others, in a schema of our name."""
    WORLD.cluster.create("others")
    sql("CREATE SCHEMA %s AUTHORIZATION vouchsafe" % SCHEMA, "CREATE TABLE %s.customers (id int)" % SCHEMA, database="others")
    complaint(good_uri(database="others"), "schema cannot be read", "put a backup back")
    equal(sql("SELECT count(*) FROM pg_tables WHERE schemaname = '%s'" % SCHEMA, database="others"), "1")


def test_at_start_a_wrong_password():
    """It is told to nobody."""
    cluster = Cluster(standby=False, password="right-word-4711")
    try:
        said = complaint(cluster.uri(password="wrong-word-4712"), "password authentication failed", "are user, password and database those", min_sync_standbys=0)
        assert "4711" not in said and "4712" not in said, said
    finally:
        cluster.close()


def test_the_trail_is_whole():
    assert "one chain without a gap" in WORLD.stack.cli("audit", "verify").stdout
    WORLD.trail.read()
    log = "".join(WORLD.stack.log(node.name) for node in WORLD.fleet.nodes)
    assert "AddressSanitizer" not in log and "runtime error" not in log, log[-4000:]


def main():
    global WORLD
    with World(BUILD, shims=False, rules=(RULE, BOUND)) as world:
        WORLD = world
        world.stack.sim.control("role", account=ACCOUNT, name="bound-tier", profiles=[{"name": "bound-tier"}])
        return tap.run(tap.collect(globals()), world.tails)


if __name__ == "__main__":
    sys.exit(main())
