"""No secret where none belongs: after a thousand releases the memory of the server and of the member process is read,
and that of whoever holds one for a moment; and no program can be dumped, or looked into by its own user."""
import concurrent.futures
import ctypes
import functools
import hmac
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading

import memory
import softhsm
import tap
from stack import MEMBER_UID, MODULE, SERVER_UID, Stack, openssl, wait_for
from tap import equal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fault"))
from injection import Control, FaultStack  # noqa: E402

STACK = None
RELEASES = 1000
INSTANCES = []
STRANGER_UID = 64102


def needs_root():
    if not STACK.root:
        raise tap.Skip("needs root: memory is root's alone to read")


@functools.cache
def secrets_of_the_stack():
    """Word for people -> bytes or text: what no process keeps."""
    opened = softhsm.open_all(STACK.state / "vouchsafe.db",
                              softhsm.Token(MODULE, STACK.etc / "softhsm2.conf", STACK.token_pin))
    equal(opened["hsm-partition-pin"][1].decode(), STACK.pin)
    found = {"PIN": STACK.pin, "client key": STACK.client_key.splitlines()[1],
             "certificate": STACK.certificate.splitlines()[1], "token's PIN": STACK.token_pin,
             "node key": opened["node"][1]}
    return {**found, **{"data key of " + name: key for name, (key, _) in opened.items()}}


def derived_keys(node):
    """HKDF-SHA-256 (RFC 5869) as vouchsafed does it: the step between, and its three keys."""
    middle = hmac.digest(b"\0" * 32, node, "sha256")
    return middle, [hmac.digest(middle, b"vouchsafe %s v1\x01" % use, "sha256")
                    for use in (b"ack", b"cursor", b"challenge")]


def padded(key):
    """A key as HMAC works with it (RFC 2104)."""
    return {bytes(b ^ pad for b in key) for pad in (0x36, 0x5c)}


def found_in(process, secrets, **where):
    """Sentences about what of them is in there; none is right."""
    wanted = {spelling: name for name, secret in secrets.items() for spelling in memory.spellings(secret)}
    return sorted({"%s in %s %s" % (wanted[needle], "locked" if region.locked else "ordinary", region.name or "memory")
                   for needle, region in memory.holds(process.pid, set(wanted), **where)})


def locked(region):
    return region.locked and not region.dumped


def unlocked(region):
    return not locked(region)


def test_a_thousand_releases():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        INSTANCES.extend(pool.map(lambda _: STACK.launch(), range(RELEASES)))
        equal(set(pool.map(lambda i: STACK.release(i, STACK.me)[0], INSTANCES)), {200})
    STACK.granted(STACK.launch(), STACK.me)


def test_the_search_finds_what_is_there():
    needs_root()
    last = {"instance's id": INSTANCES[-1]["id"]}
    assert found_in(STACK.server, last)
    assert found_in(STACK.member, {"token's label": "vouchsafe-a"})
    for process in (STACK.server, STACK.member):
        assert any(map(locked, memory.regions(process.pid))), "no locked memory at all"


def test_attack_40_the_server_keeps_nothing():
    needs_root()
    secrets = dict(secrets_of_the_stack())
    secrets["HKDF's middle"], keys = derived_keys(secrets["node key"])
    equal(found_in(STACK.server, secrets), [])
    for key in keys:
        assert found_in(STACK.server, {"derived key": key}, where=locked), "the search does not find it where it is"
        everywhere = {"derived key": key, **{"its pad %d" % i: pad for i, pad in enumerate(padded(key))}}
        equal(found_in(STACK.server, everywhere, where=unlocked), [])


def test_attack_40_the_member_keeps_nothing():
    needs_root()
    equal(found_in(STACK.member, secrets_of_the_stack()), [])


def test_attack_40_a_member_at_work_has_it_in_locked_memory_alone():
    """The token hangs while it unwraps the second of three secrets: the first lies open."""
    needs_root()
    secrets = secrets_of_the_stack()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(STACK.release(STACK.launch(), STACK.me)[0]))
    STACK.token_faults.arm("C_Decrypt", 2, "hang")
    try:
        asking.start()
        wait_for("token that hangs", STACK.token_faults.met)
        assert found_in(STACK.member, {"PIN": STACK.pin}, where=locked), "it is nowhere"
        equal(found_in(STACK.member, secrets, where=unlocked), [])
        equal(found_in(STACK.server, secrets), [])
    finally:
        STACK.token_faults.disarm()
        asking.join()
    equal(answers, [200])
    equal(found_in(STACK.member, secrets), [])


def child_of(process):
    found = pathlib.Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()
    return int(found[0]) if found else None


class Numbered:
    """A process that is not ours to wait for."""

    def __init__(self, pid):
        self.pid = pid


def test_attack_40_a_value_on_its_way_in():
    """`secret put` while its input is still open: the command itself never sees the value."""
    needs_root()
    value = "VALUE-" + os.urandom(20).hex()
    command = subprocess.Popen([STACK.bin / "vouchsafe", "secret", "put", "hsm-spare", "--kind", "opaque", "--config",
                                STACK.etc / "vouchsafe.json"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               env=STACK.environment())
    STACK.processes.append(command)
    command.stdin.write(value.encode())
    command.stdin.flush()
    member = Numbered(wait_for("member process of its own", lambda: child_of(command)))
    wait_for("value in locked memory", lambda: found_in(member, {"value": value}, where=locked))
    equal(found_in(member, {"value": value}, where=unlocked), [])
    equal(found_in(command, {"value": value}), [])
    equal(found_in(command, {"token's PIN": STACK.token_pin}), [])
    equal(found_in(member, {"token's PIN": STACK.token_pin}), [])
    command.stdin.close()
    equal(command.wait(30), 0)


def agent_start(name, *under):
    """An agent as a user of its own."""
    instance = STACK.launch()
    folder = STACK.base / "agent" / name
    folder.mkdir()
    os.chown(folder, SERVER_UID, SERVER_UID)
    return folder, STACK._start(name, SERVER_UID, [
        *under, str(STACK.bin / "vouchsafe-agent"), "--server", "http://127.0.0.1:%d" % STACK.port, "--role", "web-tier",
        "--out", str(folder / "out"), "--state", str(folder / "state"), "--source", instance["address"],
        "--deadline", "60s"], AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:%d" % STACK.sim.imds_port)


def agent_that_hangs(name):
    """While its first file is being flushed (the two flushes before were the key's)."""
    if not STACK.agent_faults.calls():  # the page learns the functions' names from its first program
        equal(agent_start("first")[1].wait(30), 0)
    STACK.agent_faults.arm("fsync", 3, "hang")
    folder, agent = agent_start(name)
    wait_for("agent that flushes", STACK.agent_faults.met)
    return folder, agent


def private_key(path):
    """Spellings of the scalar: as it is written, and as a number of OpenSSL's lies in memory."""
    text = subprocess.run(["openssl", "ec", "-in", path, "-noout", "-text"], check=True, capture_output=True,
                          text=True).stdout
    raw = bytes.fromhex(re.sub(r"[\s:]", "", text.split("priv:")[1].split("pub:")[0])).rjust(32, b"\0")[-32:]
    return {"agent's key": raw, "agent's key, turned": raw[::-1]}


def test_attack_40_an_agent_at_work_has_it_in_locked_memory_alone():
    """With its first file on the way to the disk it holds everything."""
    needs_root()
    try:
        folder, agent = agent_that_hangs("open")
        secrets = {**secrets_of_the_stack(), **private_key(next((folder / "state").glob("*.pem")))}
        assert found_in(agent, {"PIN": STACK.pin}, where=locked), "it is nowhere"
        equal(found_in(agent, secrets, where=unlocked), [])
    finally:
        STACK.agent_faults.disarm()
    equal(agent.wait(30), 0)


def handshake(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        context.wrap_socket(connection).close()


def test_attack_40_a_tls_key_is_there_once_it_is_read_and_its_file_is_not():
    """The key itself has to be at hand; the text that it came in is wiped, by us and by OpenSSL and GnuTLS."""
    needs_root()
    key, certificate = STACK.etc / "server.key", STACK.etc / "server.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
            "-days", "30", "-keyout", str(key), "-out", str(certificate))
    os.chown(key, SERVER_UID, SERVER_UID)
    key.chmod(0o400)
    STACK.stop(STACK.server)
    STACK.write_config(tls={"certificate": certificate.name, "key": key.name})
    STACK.start_server()
    for _ in range(20):
        handshake(STACK.port)
    try:
        equal(found_in(STACK.server, {"the file's text": key.read_text().splitlines()[1]}), [])
        assert found_in(STACK.server, private_key(key)), "the search does not find the key itself"
    finally:
        STACK.stop(STACK.server)
        STACK.write_config()
        STACK.start_server()


# ---- nobody looks in

def limits(process):
    return re.search(r"^Max core file size\s+(\S+)\s+(\S+)", pathlib.Path(
        "/proc/%d/limits" % process.pid).read_text(), re.M).groups()


def waiting_command():
    """`vouchsafe`, as another user, asking a server that never answers; (its process, the connection)."""
    server = socket.create_server(("127.0.0.1", 0))
    token = STACK.etc / "stranger-token"
    token.write_text("t\n")
    token.chmod(0o644)
    command = STACK._start("command", STRANGER_UID, [
        str(STACK.bin / "vouchsafe"), "audit", "query", "--url", "http://127.0.0.1:%d" % server.getsockname()[1],
        "--token-file", str(token), "--config", str(STACK.etc / "vouchsafe.json")])
    server.settimeout(30)
    connection, _ = server.accept()
    server.close()
    return command, connection


def as_user(uid, action):
    """What the action raises, tried as that user, in a process of its own: errno, or 0."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgid(uid)
            os.setuid(uid)
            action()
            code = 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attach(pid):
    """What a debugger begins with (PTRACE_SEIZE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def in_a_folder_of_its_own(uid, command):
    """Started where it could leave a core file, and may."""
    folder = STACK.base / ("core-%d" % uid)
    folder.mkdir(exist_ok=True)
    os.chown(folder, uid, uid)
    process = subprocess.Popen(Stack._as(STACK, uid, command), cwd=folder, stdin=subprocess.DEVNULL,
                               stderr=open(STACK.logs / "core.log", "ab"), stdout=subprocess.DEVNULL,
                               env=STACK.environment(**STACK.server_environment()))
    STACK.processes.append(process)
    wait_for("program in the place of its starter", lambda: pathlib.Path("/proc/%d/comm" % process.pid).read_text(
        ).strip() == pathlib.Path(command[0]).name[:15])
    return process


def programs():
    """Every program while it runs, as a user that is not root: (name, process, its user)."""
    _, agent = agent_that_hangs("looked-at")
    command, connection = waiting_command()
    return [("vouchsafed", STACK.server, SERVER_UID), ("vouchsafe-vault", STACK.member, MEMBER_UID),
            ("vouchsafe-agent", agent, SERVER_UID), ("vouchsafe", command, STRANGER_UID)], connection


def test_attack_40_no_program_can_be_looked_into():
    needs_root()
    plain = in_a_folder_of_its_own(STRANGER_UID, ["/bin/sleep", "60"])  # what it looks like where nothing is done
    for entry in ("mem", "environ", "maps"):
        equal(as_user(STRANGER_UID, lambda: open("/proc/%d/%s" % (plain.pid, entry), "rb")), 0)
    equal(as_user(STRANGER_UID, lambda: attach(plain.pid)), 0)
    running, connection = programs()
    try:
        for name, process, user in running:
            folder = "/proc/%d" % process.pid
            assert pathlib.Path(folder, "comm").read_text().strip() == name[:15]
            assert re.search(r"^Uid:\s+%d\b" % user, pathlib.Path(folder, "status").read_text(), re.M), name
            equal((os.stat(folder + "/mem").st_uid, os.stat(folder + "/environ").st_uid), (0, 0), name)
            equal(limits(process), ("0", "0"), name)
            for entry in ("mem", "environ", "maps"):
                equal(as_user(user, lambda: open("%s/%s" % (folder, entry), "rb")), 13, name + " " + entry)
            equal(as_user(user, lambda: attach(process.pid)), 1, name)
            equal(process.poll(), None, name)
    finally:
        STACK.agent_faults.disarm()
        connection.close()
    equal(running[2][1].wait(30), 0)


def ends_dumped(process):
    """Sends it a signal that dumps core; whether it did."""
    process.send_signal(signal.SIGSEGV)
    how = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.wait()
    equal(how.si_status, signal.SIGSEGV)
    return how.si_code == os.CLD_DUMPED


def test_attack_40_no_program_dumps_core():
    needs_root()
    STACK.stop(STACK.server)
    STACK.stop(STACK.member)
    usual = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        for uid in (SERVER_UID, MEMBER_UID):
            if not ends_dumped(in_a_folder_of_its_own(uid, ["/bin/sleep", "60"])):
                raise tap.Skip("this system dumps no core at all")
        member = in_a_folder_of_its_own(MEMBER_UID, [
            str(STACK.bin / "vouchsafe-vault"), "--member", "hsm-a", "--vault", str(STACK.etc / "vault.json"),
            "--allow-user", str(SERVER_UID)])
        wait_for("member's socket", (STACK.run_dir / "hsm-a.sock").exists)
        server = in_a_folder_of_its_own(SERVER_UID, [
            str(STACK.bin / "vouchsafed"), "--config", str(STACK.etc / "vouchsafe.json")])
        wait_for("server", lambda: '"listening"' in STACK.log("core"))
        equal((limits(server), limits(member)), (("0", "0"), ("0", "0")))
        equal((ends_dumped(server), ends_dumped(member)), (False, False))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, usual)
    STACK.start_member()
    STACK.start_server()
    STACK.wait_vault("up")
    STACK.granted(STACK.launch(), STACK.me)


# ---- who may ask

def asked_as(uid, request):
    """What a member says to that user: its answer's bytes, b"" where it closes, an errno where it lets nobody in."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    os.seteuid(uid)
    try:
        connection.connect(str(STACK.run_dir / "hsm-a.sock"))
    except OSError as error:
        return error.errno
    finally:
        os.seteuid(0)
    with connection:
        try:
            connection.sendall(request)
            return connection.recv(65536)
        except ConnectionError:
            return b""


def test_attack_43_a_stranger_asks_a_member_to_seal():
    needs_root()
    seal = b"\x02\x03" + (8).to_bytes(4, "big") + softhsm.fields("seal")  # malformed: the user is looked at first
    path = STACK.run_dir / "hsm-a.sock"
    path.parent.chmod(0o2755)
    before = STACK.log("member").count('"stranger-refused"')
    for uid in (STRANGER_UID, 65534, 0):
        if uid:
            equal(asked_as(uid, seal), 13, "by the socket's mode")
    path.chmod(0o666)  # somebody was careless: the member asks the kernel all the same
    for uid in (STRANGER_UID, 65534, 0):
        equal(asked_as(uid, seal), b"", "uid %d" % uid)
    answer = asked_as(SERVER_UID, seal)
    equal(answer[1], 11, "an error, from somebody who listens")
    log = STACK.log("member")
    equal(log.count('"stranger-refused"') - before, 3)
    assert '"uid":"%d"' % STRANGER_UID in log
    path.chmod(0o660)
    STACK.granted(STACK.launch(), STACK.me)


def test_files_that_anyone_can_write_are_refused():
    for name in ("vouchsafe.json", "policy.json", "vault.json", "certificates/us-east-1.pem"):
        path = STACK.etc / name
        equal(STACK.cli("config", "check", check=False).returncode, 0, name)
        path.chmod(0o646)
        done = STACK.cli("config", "check", check=False)
        equal(done.returncode, 1, name)
        assert "%s: anyone on this machine can write to it" % path in done.stdout + done.stderr, done.stderr
        path.chmod(0o644)


def test_too_little_memory_to_lock():
    """Server and member refuse to start; an instance without its secrets would be worse, so the agent goes on."""
    needs_root()
    little = ["/usr/bin/prlimit", "--memlock=4096:4096", "--"]
    said = "raise RLIMIT_MEMLOCK, which is 4 KiB"
    for name, uid, arguments in (("vouchsafed", SERVER_UID, ["--config", "vouchsafe.json"]),
                                 ("vouchsafe-vault", MEMBER_UID, ["--member", "hsm-a", "--vault", "vault.json"])):
        done = subprocess.run(Stack._as(STACK, uid, [*little, str(STACK.bin / name), *arguments]), cwd=STACK.etc,
                              capture_output=True, text=True, env=STACK.environment(), timeout=30)
        assert done.returncode != 0 and "not-started" in done.stderr and said in done.stderr, done.stderr
    Control(STACK.pages / "prlimit")  # the page for faults has the name of what is started
    folder, agent = agent_start("little", *little)
    equal(agent.wait(30), 0)
    assert "warning: " in STACK.log("little") and said in STACK.log("little")
    equal((folder / "out/hsm-partition-pin").read_text(), STACK.pin)


def test_absent_protections_are_told_in_one_line():
    for name in ("server", "member"):
        lines = [line for line in STACK.log(name).splitlines() if '"protections-absent"' in line]
        starts = STACK.log(name).count('"event":"%s"' % ("node.started" if name == "server" else "serving"))
        assert lines and (name == "server" or len(lines) == starts), lines
        assert "a system call filter" in lines[-1] and "conf/systemd/" in lines[-1], lines


def main():
    global STACK
    STACK = FaultStack(os.environ.get("PLAIN", "build"), vault_deadline="20s", config={"deadline": "30s"})
    try:
        STACK.start()
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


if __name__ == "__main__":
    sys.exit(main())
