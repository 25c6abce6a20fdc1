"""An older database is put in the place of the newer one: it is noticed against what the vault's members have signed, and
refused; and what comes of it when an operator accepts it. Each test runs on SQLite and on PostgreSQL.
"""
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import stat
import sys
import time

import postgres
from stack import MEMBER_UID, Stack, wait_for
import tap
from tap import came, equal

STATE = "hsm-a.head"


class Sqlite:
    """The database as a file, put aside and put back while nobody has it open."""
    name = "sqlite"

    def __init__(self):
        self.stack = None

    def settings(self):
        return {}

    def _files(self, name):
        return [(path, self.stack.state / path.name.replace("vouchsafe.db", name + ".db", 1))
                for path in self.stack.state.glob("vouchsafe.db*") if not path.name.endswith(".lock")]

    def keep(self, name):
        """A copy under that name."""
        for path, copy in self._files(name):
            shutil.copy(path, copy)
            about = path.stat()
            os.chown(copy, about.st_uid, about.st_gid)

    def put_back(self, name):
        """The copy becomes the database; what was it is gone."""
        for path, _ in self._files(name):
            path.unlink()
        for path in self.stack.state.glob(name + ".db*"):
            path.rename(self.stack.state / path.name.replace(name + ".db", "vouchsafe.db", 1))

    def run(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.stack.state / "vouchsafe.db", isolation_level=None)) as database:
            return database.execute(statement, values).fetchone()

    def newest(self):
        return self.run("SELECT seq, bytes FROM event ORDER BY seq DESC LIMIT 1")

    def replace(self, seq, text, digest):
        self.run("UPDATE event SET bytes = ?, hash = ? WHERE seq = ?", text, digest, seq)

    def close(self):
        pass

    def tails(self):
        return ""


class Postgres(Sqlite):
    name = "postgresql"

    def __init__(self):
        super().__init__()
        self.cluster = postgres.Cluster(standby=False)

    def settings(self):
        return {"store": self.cluster.uri()}

    def _admin(self, *statements):
        self.cluster.psql(*statements, database="postgres")

    def keep(self, name):
        self._admin("CREATE DATABASE %s TEMPLATE %s OWNER %s" % (name, postgres.DATABASE, postgres.OWNER))

    def put_back(self, name):
        self._admin("DROP DATABASE %s" % postgres.DATABASE,
                    "ALTER DATABASE %s RENAME TO %s" % (name, postgres.DATABASE))

    def run(self, statement, *_):
        return self.cluster.psql("SET search_path = vouchsafe; " + statement).split("|")

    def newest(self):
        seq, text = self.run("SELECT seq, encode(bytes, 'hex') FROM event ORDER BY seq DESC LIMIT 1")
        return int(seq), bytes.fromhex(text)

    def replace(self, seq, text, digest):
        self.run("UPDATE event SET bytes = '\\x%s', hash = '\\x%s' WHERE seq = %d" % (text.hex(), digest.hex(), seq))

    def close(self):
        self.cluster.close()

    def tails(self):
        return self.cluster.tails()


class Scene:
    """A stack on one engine, and what tests do to it."""

    def __init__(self, engine, build):
        self.engine = engine
        self.stack = engine.stack = Stack(build, config=engine.settings())
        self.stack.write_vault(checkpoint="50ms")
        self.stack.start()
        self.state = self.stack.signed / STATE
        self.keys = [self.stack.key() for _ in range(3)]
        self.copies = 0

    def close(self):
        self.stack.close()
        self.engine.close()

    def copy(self):
        """The database as it is now, kept; the server runs again. Returns the copy's name."""
        self.copies += 1
        name = "copy%d" % self.copies
        self.stop()
        self.engine.keep(name)
        self.start()
        return name

    def stop(self):
        if self.stack.server.poll() is None:
            equal(self.stack.stop(self.stack.server), 0)

    def start(self):
        self.stack.start_server()

    def refused(self, *words):
        """The server does not start, with a complaint that has these words. Returns it."""
        before = len(self.stack.log("server"))
        self.stack.start_server(wait=False)
        equal(self.stack.server.wait(30), 1)
        lines = [json.loads(line) for line in self.stack.log("server")[before:].splitlines() if line.startswith("{")]
        assert not [line for line in lines if line["event"] == "listening"], lines
        text = [line["text"] for line in lines if line["event"] == "not-started"][0]
        for word in words:
            assert word in text, (word, text)
        came("the server refuses to start")
        return text

    def head(self):
        """(seq, hash) of what the member has signed last."""
        fields = [line.split() for line in self.state.read_text().splitlines() if line.startswith("head ")][0]
        return int(fields[1]), fields[2]

    def accept(self, *more, check=True, reason="the disk is lost"):
        return self.stack.cli("restore", "--accept", "--reason", reason, *more, check=check)

    def remember(self, text):
        """The member's state is this text from now on, written as anybody would who can."""
        new = self.state.with_suffix(".by-hand")
        new.write_text(text)
        new.chmod(0o600)
        if self.stack.root:
            os.chown(new, MEMBER_UID, MEMBER_UID)
        new.replace(self.state)

    def ahead(self, events=1000):
        """A state, as the member writes it, of a head that no store holds, so many events from now."""
        lines = self.state.read_text().splitlines()[:-1]
        seq, _ = self.head()
        lines = ["head %d %s 2026-01-02T03:04:05.678901Z" % (seq + events, 32 * "ab") if line.startswith("head ") else line
                 for line in lines]
        text = "\n".join(lines) + "\n"
        return text + "sha256 %s\n" % hashlib.sha256(text.encode()).hexdigest()

    def ready(self):
        """(is it ready, what /readyz?verbose says)."""
        status, _, body = self.stack.ask("GET", "/readyz?verbose", port=self.stack.ops_port)
        return status == 200, body

    def metric(self, name):
        connection = self.stack.connection(self.stack.ops_port)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return [float(line.split()[-1]) for line in text.splitlines() if line.startswith("vouchsafe_" + name)][0]

    def newest_signed(self):
        """Waits until the member has signed all that is there."""
        return wait_for("signature of the newest event", lambda: self.head()[0] == self.engine.newest()[0] and self.head())


SCENES, FAILED = {}, []


def on(*engines):
    """The test takes a scene, and is run on one of each engine in turn."""
    def decorate(test):
        @functools.wraps(test)
        def run():
            for engine in engines:
                if engine not in SCENES:
                    SCENES[engine] = Scene(engine(), sys.argv[1])
                try:
                    test(SCENES[engine])
                except BaseException:
                    FAILED.append(SCENES.pop(engine))  # the next test has a scene of its own
                    raise
        return run
    return decorate


# ---- what is noticed

@on(Sqlite, Postgres)
def test_attack_32_an_older_database_is_put_back(scene):
    """While nothing runs: refused with the mend; with the newer one back everything is as it was."""
    stack = scene.stack
    old = scene.copy()
    instance = stack.launch()
    stack.granted(instance, scene.keys[0])
    scene.stop()
    scene.engine.keep("newer")
    seq, _ = scene.head()
    scene.engine.put_back(old)
    text = scene.refused("hsm-a has signed event %d at 20" % seq, "events are missing", "put the newer one back",
                         "vouchsafe restore --accept --reason TEXT")
    missing = seq - scene.engine.newest()[0]
    assert missing >= 2 and "%d events are missing" % missing in text, text
    scene.refused("events are missing")  # and again, however often it is started
    scene.engine.put_back("newer")
    scene.start()
    status, _, problem = stack.release(instance, scene.keys[1])
    equal((status, problem["code"]), (409, "already-released"))


@on(Sqlite, Postgres)
def test_attack_32_the_trail_is_shorter(scene):
    """Its end is cut off, and the ledger's row with it."""
    scene.stop()
    scene.engine.keep("whole")
    seq, _ = scene.engine.newest()
    for table in ("event", "find", "checkpoint"):
        scene.engine.run("DELETE FROM %s WHERE seq >= %d" % (table, seq))
    scene.refused("has signed event %d" % seq, "1 events are missing")
    scene.engine.put_back("whole")
    scene.start()


@on(Sqlite, Postgres)
def test_attack_32_a_fork_of_the_same_length(scene):
    """As many events, well chained, and the last is another one."""
    scene.stop()
    scene.engine.keep("true_one")
    seq, text = scene.engine.newest()
    assert b'"node":"rp-1"' in text, text
    text = text.replace(b'"node":"rp-1"', b'"node":"rp-9"')
    scene.engine.replace(seq, text, hashlib.sha256(b"\0" + text).digest())
    scene.engine.run("DELETE FROM checkpoint WHERE seq >= %d" % seq)
    assert "one chain" in scene.stack.cli("audit", "verify").stdout
    scene.refused("has signed another event %d" % seq, "put the right one back")
    scene.engine.put_back("true_one")
    scene.start()


@on(Sqlite, Postgres)
def test_attack_32_a_checkpoint_in_the_store_is_changed(scene):
    """What the store keeps of a member's signature is verified as well."""
    scene.stop()
    scene.engine.keep("unchanged")
    seq, _ = scene.head()
    scene.engine.run("UPDATE checkpoint SET seals = seals + 1 WHERE seq = %d" % seq)
    scene.refused("has no signature of hsm-a's")
    scene.engine.run("UPDATE checkpoint SET seals = seals - 1 WHERE seq = %d" % seq)
    scene.engine.run("UPDATE event SET bytes = (SELECT bytes FROM event WHERE seq = 1) WHERE seq = %d" % seq)
    scene.refused("holds its signature and not that event")
    scene.engine.put_back("unchanged")
    scene.start()


@on(Sqlite, Postgres)
def test_attack_32_the_members_state_is_removed(scene):
    """Or put back, or spoilt: a member that has forgotten what it signed is not one that has signed nothing."""
    stack = scene.stack
    before = scene.state.read_text()
    stack.granted(stack.launch(), scene.keys[0])
    scene.newest_signed()
    scene.stop()
    after = scene.state.read_text()
    equal(stat.S_IMODE(scene.state.stat().st_mode), 0o600)
    scene.state.unlink()
    scene.refused("hsm-a has forgotten what it signed", "somebody has removed its state")
    scene.remember(before)
    scene.refused("somebody has put an older state in its place")
    scene.remember(after)
    # one that cannot be read: the member process itself refuses
    equal(stack.stop(stack.member), 0)
    scene.remember(after.replace("seals ", "seals 1"))
    log = len(stack.log("member"))
    equal(stack.start_member().wait(30), 78)
    assert "its checksum does not fit: put the file back" in stack.log("member")[log:], stack.log("member")[log:]
    scene.remember(after)
    stack.start_member()
    scene.start()


@on(Sqlite, Postgres)
def test_attack_32_a_member_knows_more_while_the_node_serves(scene):
    """The node is not ready and releases nothing, until the trouble is gone."""
    stack = scene.stack
    instance = stack.launch()
    scene.newest_signed()
    before = scene.state.read_text()
    scene.remember(scene.ahead())
    stack.cli("secret", "put", "moves-the-head", "--kind", "opaque", input="x")
    for wrong in range(8):  # the server's own handle has to see an event of its own
        stack.release(stack.launch(), scene.keys[0], role="none")
    wait_for("node that is not ready", lambda: not scene.ready()[0])
    equal(scene.ready()[1]["store"], "behind")
    equal(scene.metric("store_behind"), 1)
    equal(scene.metric("ready"), 0)
    assert '"store-behind"' in stack.log("server")
    status, _, problem = stack.release(instance, scene.keys[0])
    equal((status, problem["code"]), (503, "store-unavailable"))
    scene.remember(before)
    wait_for("node that is ready again", lambda: scene.ready()[0])
    equal(scene.metric("store_behind"), 0)
    stack.granted(instance, scene.keys[0])


@on(Sqlite, Postgres)
def test_attack_32_a_member_that_comes_up_later_knows_more(scene):
    """It is asked before it is used."""
    stack = scene.stack
    instance = stack.launch()
    scene.newest_signed()
    equal(stack.stop(stack.member), 0)
    before = scene.state.read_text()
    scene.remember(scene.ahead())
    stack.start_member()
    wait_for("node that is not ready", lambda: not scene.ready()[0])
    equal(scene.ready()[1]["vault"], "down")
    status, _, problem = stack.release(instance, scene.keys[0])
    assert (status, problem["code"]) in ((503, "store-unavailable"), (503, "vault-unavailable")), problem
    scene.remember(before)
    wait_for("node that is ready again", lambda: scene.ready()[0] and scene.ready()[1]["vault"] == "up")
    stack.granted(instance, scene.keys[0])


# ---- what is accepted

def of_next_second(stack):
    """An instance whose launch, in whole seconds as EC2 tells it, is later than anything so far."""
    second = int(time.time())
    # time(2), which the simulated AWS asks, is a clock tick late
    wait_for("next second", lambda: int(time.time() - 0.1) > second)
    return stack.launch()


@on(Sqlite, Postgres)
def test_attack_32_an_accepted_database_tells_of_second_uses(scene):
    """The restore is an event, and whoever was launched before it has its first use with an alarm."""
    stack = scene.stack
    old = scene.copy()
    served, waiting = stack.launch(), stack.launch()
    stack.granted(served, scene.keys[0])
    scene.newest_signed()
    scene.stop()
    scene.engine.put_back(old)
    lost = scene.head()[0]
    first = scene.engine.newest()[0] + 1
    scene.refused("events are missing")
    equal(stack.cli("restore", "--accept", check=False).returncode, 2)
    equal(scene.accept("--actor", "not a name", check=False).returncode, 1)
    said = scene.accept("--actor", "alice").stdout
    assert "hsm-a: has signed event %d" % lost in said and "hsm-a: takes event %d" % first in said, said
    refusal = scene.accept(check=False)
    equal(refusal.returncode, 1)
    assert "nothing to accept" in refusal.stderr, refusal.stderr
    assert "former %d " % lost in scene.state.read_text()
    scene.start()
    restored = stack.events(event="store.restored")[-1]
    equal((restored["seq"], restored["actor"]), (first, "operator:alice"))
    assert restored["comment"].startswith("the disk is lost; hsm-a: events %d to %d are lost, from 20" % (first, lost))
    alarms = scene.metric("releases_after_restore_total")
    later = of_next_second(stack)
    for instance, key, alarm in ((served, 1, True), (waiting, 2, True), (later, 0, False)):
        answer = stack.granted(instance, scene.keys[key])
        events = stack.instance_events(instance)
        equal([e["event"] for e in events], ["release.granted"] + ["release.after-restore"] * alarm)
        if alarm:
            equal(events[1]["release_id"], answer["release_id"])
            assert "(event %d)" % first in events[1]["comment"], events[1]
            assert '"release-after-restore"' in stack.log("server") and answer["release_id"] in stack.log("server")
            came("an alarm beside the grant")
        stack.granted(instance, scene.keys[key])  # the same key again is no first use
    equal(scene.metric("releases_after_restore_total"), alarms + 2)
    assert "one chain" in stack.cli("audit", "verify").stdout
    # and the next start finds everything in order
    scene.stop()
    scene.start()


# Between the command and its member process: passes on frame by frame, and kills the command where it is told to.
KILLER = """#!/usr/bin/env python3
import os, pathlib, signal, socket, struct, subprocess, sys
ACCEPT = 23  # FRAME_SETUP_ACCEPT
starts, at, real = pathlib.Path(%(starts)r), %(at)r, %(real)r
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
def end():
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(0)
if at == "start %%d" %% len(starts.read_text()):
    end()
command = socket.socket(fileno=os.dup(3))
command.setblocking(True)
own, far = socket.socketpair()
os.dup2(far.fileno(), 3)
far.close()
child = subprocess.Popen([real, *sys.argv[1:]], pass_fds=(3,))
os.close(3)
def frame(peer):
    head = peer.recv(6, socket.MSG_WAITALL)
    if len(head) < 6:
        own.close()
        sys.exit(child.wait())
    length = struct.unpack(">I", head[2:])[0]
    return head + (peer.recv(length, socket.MSG_WAITALL) if length else b"")
command.sendall(frame(own))
while True:
    request = frame(command)
    own.sendall(request)
    answer = frame(own)
    if at == "accepted" and request[1] == ACCEPT:
        end()
    command.sendall(answer)
"""


def killed_at(scene, at):
    """`restore --accept`, killed with SIGKILL: at the start of its first or second member process, or when that has
    accepted, before it can say so."""
    program = scene.stack.base / "killer"
    starts = scene.stack.base / "starts"
    starts.unlink(missing_ok=True)
    program.write_text(KILLER % dict(starts=str(starts), at=at, real=str(scene.stack.bin / "vouchsafe-vault")))
    program.chmod(0o755)
    done = scene.accept("--vault-program", str(program), check=False)
    equal(done.returncode, -signal.SIGKILL, at)
    came("killed")


@on(Sqlite, Postgres)
def test_attack_32_accepting_is_cut_short(scene):
    """SIGKILL between the steps: an event without effect, never an effect without an event; the next run ends it."""
    stack = scene.stack
    for at, events, left in (("start 1", 0, True), ("start 2", 1, True), ("accepted", 1, False)):
        old = scene.copy()
        stack.granted(stack.launch(), scene.keys[0])
        scene.newest_signed()
        scene.stop()
        scene.engine.put_back(old)
        first, former = scene.engine.newest()[0] + 1, scene.state.read_text()
        killed_at(scene, at)
        equal(scene.engine.newest()[0] - first + 1, events, at)
        equal(scene.state.read_text() == former, left, at)
        if left:
            scene.refused("events are missing" if not events else "event")
            said = scene.accept().stdout
            equal("an earlier run" in said, events == 1, at)
        else:
            equal(scene.accept(check=False).returncode, 1)
        equal(scene.engine.newest()[0], first, at)  # one event, however many runs
        scene.start()
        equal(stack.events(event="store.restored")[-1]["seq"], first)


@on(Postgres)
def test_attack_32_two_nodes_sign_one_trail(scene):
    """A member that has signed a newer head for the other node is no alarm."""
    stack = scene.stack
    log, first = len(stack.log("member")), scene.newest_signed()[0]
    stack.write_vault("seldom.json", checkpoint="2s")  # the same member; the other node has signed long before
    other, listening = stack.begin_node("rp-2", vault="seldom.json")
    ports = listening()

    def taken():
        """What the second node takes for signed: where the member has no line of it, it was a newer one."""
        return stack.ask("GET", "/readyz?verbose", port=ports["ops"])[2]["checkpoints"]["hsm-a"]["seq"]

    try:
        def turn():
            before = taken()
            equal(stack.ask("GET", "/v1/audit/events?limit=1", port=ports["ops"],
                            headers={"Authorization": "Bearer " + stack.token})[0], 200)  # an event of the second node's
            stack.granted(stack.launch(), scene.keys[0])  # and one of the first, which is signed at once
            wait_for("the second node's turn", lambda: taken() > before, 20)
            signed = [int(json.loads(line)["seq"]) for line in stack.log("member")[log:].splitlines()
                      if '"checkpoint-signed"' in line]
            seq = taken()
            return seq > first and seq not in signed
        wait_for("head that is behind the other node's", turn, 60)
        for port in (stack.ops_port, ports["ops"]):
            status, _, body = stack.ask("GET", "/readyz?verbose", port=port)
            equal((status, body["store"]), (200, "whole"))
        assert "store-behind" not in stack.log("rp-2")
    finally:
        equal(stack.stop(other), 0)


@on(Sqlite, Postgres)
def test_attack_32_a_trail_that_has_grown_past_it_is_not_signed(scene):
    """What the member has signed for another node is not there. Questions and denials are events too: once there were
    enough of them the member would sign the next one, and the loss be forgotten."""
    stack = scene.stack
    scene.newest_signed()
    before = scene.state.read_text()
    scene.remember(scene.ahead(4))
    ahead = scene.head()
    stack.events(event="policy.loaded")
    wait_for("node that is not ready", lambda: not scene.ready()[0])
    while scene.engine.newest()[0] <= ahead[0]:
        stack.events(event="policy.loaded")
    failed = scene.metric('checkpoints_total{result="failed"}')
    wait_for("three more rounds", lambda: scene.metric('checkpoints_total{result="failed"}') >= failed + 3)
    equal(scene.head(), ahead)
    assert not scene.ready()[0]
    scene.remember(before)
    wait_for("node that is ready again", lambda: scene.ready()[0])
    stack.granted(stack.launch(), scene.keys[0])


@on(Sqlite, Postgres)
def test_checkpoints_are_shown(scene):
    """/readyz?verbose and the metrics tell the newest one, and how old it is."""
    seq, _ = scene.newest_signed()
    wait_for("the newest checkpoint", lambda: scene.ready()[1]["checkpoints"]["hsm-a"]["seq"] >= seq)
    assert scene.ready()[1]["checkpoints"]["hsm-a"]["age_seconds"] < 60
    assert scene.metric("checkpoint_seq") >= seq and time.time() - scene.metric("checkpoint_time_seconds") < 60
    assert scene.metric("checkpoints_total") >= 1  # the first row's label is ok


@on(Sqlite, Postgres)
def test_it_all_ends_with_zero(scene):
    scene.stop()
    equal(scene.stack.stop(scene.stack.member), 0)
    for path in scene.stack.logs.iterdir():
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
            assert word not in path.read_text(errors="replace"), path.read_text(errors="replace")[-4000:]


def tails():
    return "\n".join(scene.stack.tails() + scene.engine.tails() for scene in FAILED[-1:])


if __name__ == "__main__":
    try:
        code = tap.run(tap.collect(globals()), tails)
    finally:
        for one_scene in [*SCENES.values(), *FAILED]:
            one_scene.close()
    sys.exit(code)
