"""Backup and restore, with the real server: what comes back, what is refused, and that openssl opens any piece."""
import hashlib
import os
import pathlib
import sqlite3
import stat
import struct
import subprocess
import sys
import threading

import tap
from postgres import Cluster
from stack import ACCOUNT, REGION, SERVER_UID, Stack, openssl, wait_for
from tap import equal

STACK = None
FIRST = b"vouchsafe backup 1\n"
HEAD = 110


class Pair:
    """An operator's key and certificate."""

    def __init__(self, name, *kind):
        self.key, self.certificate = STACK.base / (name + ".key"), STACK.base / (name + ".pem")
        openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", str(self.key), "-out", str(self.certificate),
                "-subj", "/CN=" + name, "-days", "2")


def name_of(test):
    return str(STACK.base / ("%s.backup" % test))


def backup(to, *pairs, check=True):
    return STACK.cli("backup", "--to", to, *(word for pair in pairs for word in ("--recipient", str(pair.certificate))),
                     check=check)


def restore(file, key, *more, check=True):
    return STACK.cli("restore", file, "--key", str(key), *more, check=check)


def database(name):
    """A place for a database: (URI, path)."""
    path = STACK.state / (name + ".db")
    return "sqlite:%s" % path, path


def pieces(file):
    data = pathlib.Path(file).read_bytes()
    assert data.startswith(FIRST)
    at, found = len(FIRST), []
    while at < len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        found.append(data[at + 4:at + 4 + length])
        at += 4 + length
    equal(at, len(data))
    return found


def write(name, parts):
    path = STACK.base / name
    path.write_bytes(FIRST + b"".join(struct.pack(">I", len(part)) + part for part in parts))
    return str(path)


def opened(piece, key):
    return openssl("cms", "-decrypt", "-inform", "DER", "-inkey", str(key), input=piece)


def grow(rows):
    """Rows that make a backup of several pieces; they are in no chain."""
    connection = sqlite3.connect(STACK.state / "vouchsafe.db")
    connection.execute("PRAGMA busy_timeout = 10000")
    with connection:
        connection.execute("""INSERT INTO ledger (one_time_hash, account, region, instance, role, rule, release, recipient,
            secrets, once_per_launch, launch_time, granted_us, retry_until_us, collected)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
            SELECT randomblob(32), '%s', '%s', printf('i-%%017x', i), 'web-tier', 'grown', printf('none-%%d-%%s', i,
            hex(randomblob(4))), randomblob(32), 'a:1', 0, 1767225600, 1767225600000000, 1767225600000000, 1 FROM n""" % (rows, ACCOUNT, REGION))
    connection.close()


def dump(path):
    """Every row of every table but the schema's numbers."""
    connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE "
                                                   "'sqlite_%' AND name <> 'migration'")]
    found = {table: sorted(connection.execute("SELECT * FROM %s ORDER BY 1" % table), key=repr) for table in tables}
    connection.close()
    return found


def seq(row):
    return row[0]


def test_there_and_back():
    """While the server serves: the copy is of one moment, the event of the backup is in it, and the rest follows."""
    instance, mine = STACK.launch(), STACK.key()
    answer = STACK.granted(instance, mine)
    going = threading.Event()

    def others():
        while not going.is_set():
            STACK.granted(STACK.launch(), STACK.key())

    busy = threading.Thread(target=others)
    busy.start()
    try:
        said = backup(name_of("one"), STACK.ec, STACK.rsa).stdout
    finally:
        going.set()
        busy.join()
    assert said.startswith("backup 0"), said
    identity = said.split()[1].rstrip(":")
    event = STACK.events(event="store.backed-up")[-1]
    assert identity in event["comment"] and event["actor"].startswith("operator:"), event
    digest = hashlib.sha256(openssl("x509", "-in", str(STACK.ec.certificate), "-outform", "DER")).hexdigest()
    assert digest in event["comment"], event
    status = os.stat(name_of("one"))
    equal(stat.S_IMODE(status.st_mode), 0o600)
    uri, path = database("there")
    said = restore(name_of("one"), STACK.rsa.key, "--store", uri).stdout
    assert identity in said and "one chain without a gap" in said, said
    here, there = dump(STACK.state / "vouchsafe.db"), dump(path)
    equal(set(here), set(there))
    for table in ("secret", "envelope", "wrap", "member", "rearm", "shelf"):
        equal(there[table], here[table])
    last = max(there["event"], key=seq)
    assert b"store.restored" in last[1] and identity.encode() in last[1], last
    equal(sorted(there["event"]), sorted([row for row in here["event"] if seq(row) < seq(last)] + [last]))
    assert any(b"store.backed-up" in row[1] for row in there["event"])
    # each grant with its event: not one without the other
    equal(len(there["ledger"]), sum(b'"release.granted"' in row[1] for row in there["event"]))
    assert {row[:8] for row in there["ledger"]} <= {row[:8] for row in here["ledger"]}
    STACK.write_config(store=uri)
    try:
        equal(STACK.cli("audit", "verify").stdout[:3], "ok:")
        row = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
        assert answer["release_id"] in row
    finally:
        STACK.write_config()


def on_a_stack_of_its_own(test):
    """What serves from a restored database cannot go back: the members have signed what is in it."""
    def run():
        global STACK
        whole, STACK = STACK, Stack(sys.argv[1])
        try:
            STACK.start()
            ready()
            test()
        except Exception:
            for line in STACK.tails().splitlines():
                print("# " + line)
            raise
        finally:
            STACK.close()
            STACK = whole
    return run


@on_a_stack_of_its_own
def test_a_server_goes_on_from_it():
    """Stopped, backed up, restored elsewhere, started there: nothing is lost, so nothing has to be accepted."""
    instance, mine, other = STACK.launch(), STACK.key(), STACK.key()
    answer = STACK.granted(instance, mine)
    equal(STACK.stop(STACK.server), 0)
    backup(name_of("two"), STACK.ec)
    uri, path = database("two")
    restore(name_of("two"), STACK.ec.key, "--store", uri)
    if STACK.root:
        equal((path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)), (SERVER_UID, 0o640))
    STACK.write_config(store=uri)
    STACK.start_server()
    again = STACK.granted(instance, mine)
    equal(again["release_id"], answer["release_id"])
    equal(again["inside"]["secrets"], answer["inside"]["secrets"])
    equal(STACK.release(instance, other)[0], 409)
    restored = STACK.events(event="store.restored")
    equal(len(restored), 1)
    assert "from backup 0" in restored[0]["comment"] and restored[0]["actor"].startswith("operator:"), restored
    equal(STACK.events(event="release.after-restore"), [])


@on_a_stack_of_its_own
def test_attack_32_a_backup_of_yesterday():
    """What was granted since is not in it: no server starts on it until that is accepted, and then it is an alarm."""
    lost, mine, other = STACK.launch(), STACK.key(), STACK.key()
    backup(name_of("old"), STACK.ec)
    STACK.granted(lost, mine)
    equal(STACK.stop(STACK.server), 0)
    uri, _ = database("old")
    restore(name_of("old"), STACK.ec.key, "--store", uri)
    STACK.write_config(store=uri)
    before = len(STACK.log("server"))
    STACK.start_server(wait=False)
    equal(STACK.server.wait(30), 1)
    assert "restore --accept" in STACK.log("server")[before:], STACK.log("server")[before:]
    STACK.cli("restore", "--accept", "--reason", "the disk is lost")
    STACK.start_server()
    equal(STACK.release(lost, other)[0], 200)
    equal([e["instance-id"] for e in STACK.events(event="release.after-restore")], [lost["id"]])


def test_attack_40_only_the_keys_open_it():
    """openssl opens any piece with either key; nothing is in it in clear, and a secret not even inside."""
    grow(20000)
    backup(name_of("three"), STACK.ec, STACK.rsa)
    parts = pieces(name_of("three"))
    assert len(parts) > 1, len(parts)
    plain = [opened(part, STACK.ec.key) for part in parts]
    equal(plain, [opened(part, STACK.rsa.key) for part in parts])
    assert all(text.startswith(b"vouchsafe piece\0") and len(text) <= 4 << 20 for text in plain)
    equal([text[68:76] for text in plain], [struct.pack(">Q", i) for i in range(len(plain))])
    equal([text[76] for text in plain], [0] * (len(plain) - 1) + [1])
    file = pathlib.Path(name_of("three")).read_bytes()
    for word in (b"hsm-partition-pin", ACCOUNT.encode(), b"web-tier", b"grown"):
        assert word not in file and any(word in text for text in plain), word
    for value in (STACK.pin, STACK.client_key, STACK.certificate, STACK.token_pin):
        for text in (file, *plain):
            assert value.strip().encode() not in text
    der = openssl("cms", "-cmsout", "-print", "-inform", "DER", input=parts[0]).decode()
    for word in ("id-smime-ct-authEnvelopedData", "aes-256-gcm", "rsaesOaep", "dhSinglePass-stdDH-sha256kdf-scheme"):
        assert word in der, word
    assert "rsaEncryption (1.2.840.113549.1.1.1)" not in der.split("d.keyEncryptionAlgorithm")[-1]


def refused(file, key, said, name):
    """And what has been begun can be opened by nobody."""
    uri, path = database(name)
    done = restore(file, key, "--store", uri, check=False)
    equal(done.returncode, 1, said)
    assert said in done.stderr, (said, done.stderr)
    if path.exists():
        STACK.write_config(store=uri)
        try:
            for command in (["audit", "verify"], ["vault", "apply"], ["backup", "--to", name_of("no"), "--recipient",
                                                                     str(STACK.ec.certificate)]):
                opened_it = STACK.cli(*command, check=False)
                equal(opened_it.returncode, 1, command)
                assert "not finished" in opened_it.stderr, opened_it.stderr
            again = restore(file, key, check=False)
            assert again.returncode == 1 and "not finished" in again.stderr or "empty" in again.stderr, again.stderr
        finally:
            STACK.write_config()


def test_what_is_not_whole_is_refused():
    grow(40000)
    backup(name_of("four"), STACK.ec)
    backup(name_of("five"), STACK.ec)
    parts, others = pieces(name_of("four")), pieces(name_of("five"))
    assert len(parts) >= 3, len(parts)
    whole = pathlib.Path(name_of("four")).read_bytes()
    key = STACK.ec.key
    refused(write("missing", parts[:1] + parts[2:]), key, "piece 1 is missing", "a")
    refused(write("beheaded", parts[1:]), key, "piece 0 is missing", "b")
    refused(write("cut", parts[:-1]), key, "last piece is missing", "c")
    refused(write("order", [parts[1], parts[0], *parts[2:]]), key, "piece 0 is missing", "d")
    refused(write("twice", [parts[0], parts[0], *parts[1:]]), key, "piece 1 is missing", "e")
    refused(write("mixed", [parts[0], others[1], *parts[2:]]), key, "of another backup", "f")
    refused(write("behind", [*parts, parts[-1]]), key, "behind its last piece", "g")
    for name, data, said in (("half", whole[:-100], "cut short"), ("empty", b"", "no backup"),
                             ("long", FIRST + b"\xff\xff\xff\xff", "size"), ("line", whole[1:], "no backup")):
        path = STACK.base / name
        path.write_bytes(data)
        refused(str(path), key, said, "h" + name)
    for at in (len(FIRST) + 200, len(whole) // 2, len(whole) - 3):
        path = STACK.base / "changed"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        refused(str(path), key, "does not open", "i%d" % at)
    refused(name_of("four"), STACK.rsa.key, "does not open", "j")


def sealed_by_somebody(plain):
    """Whoever has the certificate can do this."""
    return openssl("cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-recip",
                   str(STACK.ec.certificate), "-keyopt", "ecdh_kdf_md:sha256", input=plain)


def test_a_forged_piece_does_not_fit():
    """A piece with a row less, sealed anew for the same key, under a head that says all that can be known of it."""
    backup(name_of("six"), STACK.ec)
    parts = pieces(name_of("six"))
    second = opened(parts[1], STACK.ec.key)
    forged = second[:78] + hashlib.sha256(b"a guess").digest() + second[HEAD:]
    refused(write("forged", [parts[0], sealed_by_somebody(forged), *parts[2:]]), STACK.ec.key, "does not follow", "k")
    # the very same bytes are the same piece, whoever has sealed them
    uri, _ = database("l")
    restore(write("resealed", [parts[0], sealed_by_somebody(second), *parts[2:]]), STACK.ec.key, "--store", uri)
    # another cipher is none
    cbc = openssl("cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "-recip", str(STACK.ec.certificate),
                  input=opened(parts[0], STACK.ec.key))
    refused(write("cbc", [cbc, *parts[1:]]), STACK.ec.key, "does not open", "m")


def test_never_over_anything():
    taken = STACK.base / "taken"
    taken.write_text("mine")
    done = backup(str(taken), STACK.ec, check=False)
    equal((done.returncode, taken.read_text()), (1, "mine"))
    link = STACK.base / "link"
    link.symlink_to(STACK.base / "nowhere")
    equal(backup(str(link), STACK.ec, check=False).returncode, 1)
    before = len(STACK.events(event="store.backed-up"))
    equal(backup(str(STACK.base / "no" / "such"), STACK.ec, check=False).returncode, 1)
    equal(len(STACK.events(event="store.backed-up")), before)
    backup(name_of("seven"), STACK.ec)
    rows = dump(STACK.state / "vouchsafe.db")
    done = restore(name_of("seven"), STACK.ec.key, check=False)  # over the one that is being served
    equal(done.returncode, 1)
    assert "another node" in done.stderr or "empty" in done.stderr, done.stderr
    equal(dump(STACK.state / "vouchsafe.db"), rows)
    uri, _ = database("full")
    restore(name_of("seven"), STACK.ec.key, "--store", uri)
    done = restore(name_of("seven"), STACK.ec.key, "--store", uri, check=False)
    assert done.returncode == 1 and "empty" in done.stderr, done.stderr


def test_what_is_not_understood():
    weak = Pair("weak", "rsa:1024")
    edwards = Pair("edwards", "ed25519")
    for pair, said in ((weak, "2048"), (edwards, "RSA")):
        done = backup(name_of("eight"), pair, check=False)
        assert done.returncode == 1 and said in done.stderr, done.stderr
    for words in (["backup", "--to", "x"], ["backup", "--recipient", "x"], ["restore", "x"], ["restore", "--key", "x"],
                  ["backup", "--to", "x", "--to", "y", "--recipient", "z"]):
        equal(STACK.cli(*words, check=False).returncode, 2, words)
    equal(STACK.cli("restore", "/nonexistent", "--key", str(STACK.ec.key), check=False).returncode, 1)


def test_a_broken_trail_is_not_backed_up():
    connection = sqlite3.connect(STACK.state / "vouchsafe.db")
    connection.execute("PRAGMA busy_timeout = 10000")
    bytes_, = connection.execute("SELECT bytes FROM event WHERE seq = 3").fetchone()
    try:
        with connection:
            connection.execute("UPDATE event SET bytes = ? WHERE seq = 3", (bytes_.replace(b"o", b"0", 1),))
        done = backup(name_of("nine"), STACK.ec, check=False)
        equal(done.returncode, 1)
        assert "event 3" in done.stderr, done.stderr
        assert not os.path.exists(name_of("nine"))
    finally:
        with connection:
            connection.execute("UPDATE event SET bytes = ? WHERE seq = 3", (bytes_,))
        connection.close()


@on_a_stack_of_its_own
def test_from_one_engine_to_the_other_and_back():
    """A backup of SQLite becomes a PostgreSQL, which serves; its backup becomes a SQLite with the very same rows."""
    instance, mine, other = STACK.launch(), STACK.key(), STACK.key()
    answer = STACK.granted(instance, mine)
    equal(STACK.stop(STACK.server), 0)
    backup(name_of("ten"), STACK.ec)
    cluster = Cluster()
    try:
        said = restore(name_of("ten"), STACK.ec.key, "--store", cluster.uri()).stdout
        assert "one chain without a gap" in said, said
        done = restore(name_of("ten"), STACK.ec.key, "--store", cluster.uri(), check=False)
        assert done.returncode == 1 and "empty" in done.stderr, done.stderr
        STACK.write_config(store=cluster.uri())
        STACK.start_server()
        again = STACK.granted(instance, mine)
        equal((again["release_id"], again["inside"]["secrets"]), (answer["release_id"], answer["inside"]["secrets"]))
        equal(STACK.release(instance, other)[0], 409)
        backup(name_of("eleven"), STACK.rsa)  # beside the server
        equal(STACK.stop(STACK.server), 0)
        backup(name_of("twelve"), STACK.rsa)
        uri, path = database("back")
        restore(name_of("twelve"), STACK.rsa.key, "--store", uri)
        before, after = dump(STACK.state / "vouchsafe.db"), dump(path)
        # what was there is there still, byte for byte, but for what has happened to it since
        assert set(before["event"]) <= set(after["event"]) and set(before["find"]) <= set(after["find"])
        for table in ("secret", "envelope", "wrap", "member", "rearm", "shelf", "signer"):
            equal(after[table], before[table])
        changed = set(before["ledger"]) - set(after["ledger"])
        equal([row[3] for row in changed], [instance["id"]])
        equal(len(before["ledger"]), len(after["ledger"]))
        STACK.write_config(store=uri)
        STACK.start_server()
        equal(STACK.granted(instance, mine)["release_id"], answer["release_id"])
    finally:
        cluster.close()


def ready():
    STACK.ec = Pair("ec", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    STACK.rsa = Pair("rsa", "rsa:2048")


def main():
    global STACK
    STACK = Stack(sys.argv[1])
    try:
        STACK.start()
        ready()
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


sys.exit(main())
