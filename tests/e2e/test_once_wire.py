"""The wire to PostgreSQL of the tests of once (tests/once/wire.py): that it passes what it should, and cuts where it says."""
import contextlib
import pathlib
import socket
import struct
import subprocess
import sys
import time

import postgres
import tap
from stack import wait_for
from tap import equal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "once"))
from wire import Frontend, Wire  # noqa: E402

CLUSTER = WIRE = None
STARTUP = struct.pack("!II", 8 + 5, 3 << 16) + b"user\0"


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def prepared(text, name=b"c", portal=b""):
    """(Parse, Bind, Execute) of a statement."""
    return (message(b"P", name + b"\0" + text + b"\0\0\0"), message(b"B", portal + b"\0" + name + b"\0" + bytes(6)),
            message(b"E", portal + b"\0" + bytes(4)))


def commits(*messages, step=None):
    """Where in the stream a COMMIT ends: the indices of these messages, fed whole or in pieces of `step` bytes."""
    frontend, seen = Frontend(), []
    data = STARTUP + b"".join(messages)
    for at in range(0, len(data), step or len(data)):
        seen += list(frontend.feed(data[at:at + (step or len(data))]))
    equal(b"".join(m for m, _ in seen), data)
    return [i - 1 for i, (_, is_commit) in enumerate(seen) if is_commit]


def test_where_a_commit_ends():
    sync = message(b"S", b"")
    simple = [message(b"Q", text + b"\0") for text in (b"BEGIN", b"select 'COMMIT'", b"commit", b"INSERT 1; COMMIT", b"END")]
    insert, commit = prepared(b"INSERT", b"i"), prepared(b"COMMIT")
    for step in (None, 1, 7):
        equal(commits(*simple, step=step), [2, 3, 4])
        equal(commits(*insert, *commit, sync, *commit[1:], sync, *insert, sync, step=step), [6, 9])


def sql(*statements, wire=None):
    """psql through the wire: (exit code, output)."""
    command = ["psql", "-XAtq", CLUSTER.uri(("127.0.0.1", (wire or WIRE).port))]
    for text in statements:
        command += ["-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=postgres.SECONDS, env=postgres.environment())
    return done.returncode, done.stdout.strip()


def rows():
    return int(CLUSTER.psql("SELECT count(*) FROM t"))


def insert_once(how, seconds=0.3):
    """One row through a COMMIT that meets this; (exit code, is the row there in the end)."""
    before = rows()
    WIRE.arm(how, seconds=seconds)
    code, _ = sql("BEGIN; INSERT INTO t VALUES (1)", "COMMIT")
    equal(WIRE.armed(), False)
    return code, lambda: rows() - before


def test_it_passes():
    CLUSTER.psql("CREATE TABLE t (i int)", "GRANT ALL ON t TO vouchsafe")
    equal(sql("SELECT repeat('x', 3000000)"), (0, "x" * 3000000))
    equal(sql("BEGIN; INSERT INTO t VALUES (1)", "COMMIT")[0], 0)
    equal(rows(), 1)


def test_cut_before_it_is_forwarded():
    code, more = insert_once("before")
    equal((code != 0, more()), (True, 0))


def test_cut_when_it_was_sent():
    code, more = insert_once("sent")
    equal(code != 0, True)
    wait_for("row", lambda: more() == 1)


def test_cut_when_it_was_answered():
    seen = []
    WIRE.arm("done", hook=lambda: seen.append(rows()))
    before = rows()
    equal(sql("BEGIN; INSERT INTO t VALUES (1)", "COMMIT")[0] != 0, True)
    equal(seen, [before + 1])


def test_it_comes_late():
    code, more = insert_once("late", 0.5)
    equal((code != 0, more()), (True, 0))
    WIRE.set_mode("pass")  # which changes nothing for it
    WIRE.stall(False)
    wait_for("row", lambda: more() == 1)


def test_it_is_slow():
    began = time.monotonic()
    code, more = insert_once("slow", 0.4)
    equal((code, more(), time.monotonic() - began > 0.4), (0, 1, True))


def test_it_is_forgotten():
    before = rows()
    WIRE.arm("forget")
    command = ["psql", "-XAtq", CLUSTER.uri(("127.0.0.1", WIRE.port)), "-c", "BEGIN; INSERT INTO t VALUES (1)", "-c", "COMMIT"]
    asking = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=postgres.environment())
    wait_for("row", lambda: rows() == before + 1)
    equal(asking.poll(), None)
    WIRE.set_mode("pass")
    equal(asking.wait(postgres.SECONDS) != 0, True)


def test_refused_and_forgotten():
    WIRE.set_mode("refuse")
    equal(sql("SELECT 1")[0] != 0, True)
    WIRE.set_mode("forget")
    with contextlib.closing(socket.create_connection(("127.0.0.1", WIRE.port), timeout=0.2)) as client:
        client.sendall(STARTUP)
        try:
            client.recv(1)
            raise AssertionError("a wire that has forgotten answers")
        except TimeoutError:
            pass
    WIRE.set_mode("pass")
    equal(sql("SELECT 1"), (0, "1"))


def test_a_stalled_server():
    """Nothing of what it says comes, whatever the client goes on saying; then all of it."""
    client = socket.create_connection(("127.0.0.1", WIRE.port), timeout=0.2)
    with contextlib.closing(client):
        user = b"user\0postgres\0\0"
        client.sendall(struct.pack("!II", 8 + len(user), 3 << 16) + user)
        wait_for("start of the session", lambda: client.recv(4096).endswith(b"I"))
        WIRE.stall()
        for _ in range(20):
            client.sendall(message(b"Q", b"SELECT 4711\0"))
            try:
                raise AssertionError("a stalled wire says %s" % client.recv(1))
            except TimeoutError:
                client.settimeout(0.01)
        WIRE.stall(False)
        client.settimeout(postgres.SECONDS)
        got = b""
        while got.count(b"4711") < 20:
            got += client.recv(4096)


def test_the_others_pass_on():
    """Cut: only what stands then; an order is for one COMMIT."""
    WIRE.arm("before", nth=2)
    equal([sql("BEGIN", "COMMIT")[0] for _ in range(3)], [0, 2, 0])
    WIRE.arm("before", holding=b"4711")
    equal([sql("BEGIN; SELECT %s" % n, "COMMIT")[0] for n in (47, 4711, 4711)], [0, 2, 0])
    WIRE.cut()
    equal(sql("SELECT 1"), (0, "1"))
    assert WIRE.counts["commits"] >= 9, WIRE.counts


def main():
    global CLUSTER, WIRE
    CLUSTER = postgres.Cluster(standby=False)
    try:
        WIRE = Wire(CLUSTER.primary.socket)
        code = tap.run(tap.collect(globals()), CLUSTER.tails)
        WIRE.close()
        return code
    finally:
        CLUSTER.close()


if __name__ == "__main__":
    sys.exit(main())
