"""A whole vouchsafe whose programs run with the fault shims, and what has to be true after each fault.

One stack stays up for all injections; a program that ended is started again, as systemd would. Each injection is
armed at run time for one release and its acknowledgement (or for one start of the member, or one run of the agent),
and afterwards judged by what the database says, read behind the server's back.
"""
import errno
import hashlib
import http.client
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from stack import MODULE, Stack, wait_for  # noqa: E402

ACTIONS = {"fail": 1, "fail-after": 2, "delay": 3, "kill": 4, "kill-after": 5, "short": 6, "abort": 7, "hang": 8,
           "garbage": 9, "length": 10}
SIZE, FRAMES, ROWS = 8192, 72, 2952
LIBRARIES = re.compile(r"/lib(crypto|ssl|curl|sqlite3|xml2|jansson|microhttpd|gnutls|nettle|hogweed|nghttp2|stdc\+\+|"
                       r"softhsm2|p11-kit)[.-][^/]*$")


class Defect(Exception):
    """Something that must never be, after a fault or before."""


def errors():
    """Names of CKR_ codes that the tests use."""
    return {"CKR_HOST_MEMORY": 0x2, "CKR_GENERAL_ERROR": 0x5, "CKR_FUNCTION_FAILED": 0x6, "CKR_DEVICE_ERROR": 0x30,
            "CKR_DEVICE_REMOVED": 0x32, "CKR_ENCRYPTED_DATA_INVALID": 0x40, "CKR_PIN_INCORRECT": 0xa0,
            "CKR_PIN_LOCKED": 0xa4, "CKR_SESSION_CLOSED": 0xb0, "CKR_SESSION_HANDLE_INVALID": 0xb3,
            "CKR_TOKEN_NOT_PRESENT": 0xe0, "CKR_USER_NOT_LOGGED_IN": 0x101, "CKR_CRYPTOKI_NOT_INITIALIZED": 0x190}


def what(text):
    """("fail", 5) of "EIO"; also "CKR_DEVICE_ERROR", "kill", "delay=50", "length=-1", "after=CKR_DEVICE_ERROR"."""
    name, _, number = text.partition("=")
    if name in ("delay", "length"):
        return name, int(number)
    if name == "after":
        return "fail-after", what(number)[1]
    if name in ACTIONS:
        return name, 0
    return "fail", getattr(errno, name, None) or errors()[name]


class Control:
    """The page that is shared with a shim (control.h)."""

    def __init__(self, path):
        self.path = path
        if not path.exists():
            path.write_bytes(b"\0" * SIZE)
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), SIZE)

    def _number(self, at, form="<Q"):
        return struct.unpack_from(form, self.page, at)[0]

    def _rows(self):
        """Name -> where its row is."""
        found = {}
        for i in range(self._number(8, "<I")):
            at = ROWS + 32 * i
            found[self.page[at:at + 24].rstrip(b"\0").decode()] = at
        return found

    def arm(self, function=None, nth=1, fault="EIO", last=None):
        """From now on calls are counted, and the nth one of the function (to the last) meets the fault."""
        self.disarm()
        rows = self._rows()
        action, number = what(fault) if function else ("fail", 0)
        for at in rows.values():
            struct.pack_into("<Q", self.page, at + 24, 0)
        struct.pack_into("<IIqQQQQQ", self.page, 16, list(rows).index(function) if function else 0xffffffff,
                         ACTIONS[action], number, nth, nth if last is None else last, 0, 0, 0)
        struct.pack_into("<I", self.page, 12, 1)

    def disarm(self):
        struct.pack_into("<I", self.page, 12, 0)

    def clear_crash(self):
        struct.pack_into("<QQ", self.page, 56, 0, 0)

    def met(self):
        return self._number(48)

    def calls(self):
        return {name: self._number(at + 24) for name, at in self._rows().items()}

    def crash(self):
        """None, or the frames of the crash, innermost first: (object, symbol, offset)."""
        if not self._number(56):
            return None
        frames = []
        for i in range(self._number(64)):
            at = FRAMES + 120 * i
            object_, symbol = (self.page[at + a:at + b].split(b"\0")[0].decode() for a, b in ((0, 64), (64, 112)))
            frames.append((object_, symbol, self._number(at + 112)))
        return frames


class Trail:
    """The chain of events and the ledger, read from the database itself. Remembers how far it has been verified."""

    def __init__(self, path):
        self.path, self.seq, self.hash = path, 0, b"\0" * 32
        self.events = {}

    def read(self):
        """Verifies what came since; a link that was seen must still stand there."""
        try:
            self._read()
        except sqlite3.Error as error:
            raise Defect("the database cannot be read: %s" % error) from error

    def _read(self):
        if self.seq and self._hash_of(self.seq) != self.hash:
            raise Defect("an event that was committed is gone or has changed: %d" % self.seq)
        for seq, text, digest in self._rows(self.seq):
            self._link(seq, bytes(text), bytes(digest))

    def _ask(self, query, *values):
        database = sqlite3.connect("file:%s?mode=ro" % self.path, uri=True, timeout=10)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def _hash_of(self, seq):
        """The hash that stands there now; None where no event is."""
        found = self._ask("SELECT hash FROM event WHERE seq = ?", seq)
        return bytes(found[0][0]) if found else None

    def _rows(self, after):
        """(seq, bytes, hash) of what came since."""
        return self._ask("SELECT seq, bytes, hash FROM event WHERE seq > ? ORDER BY seq", after)

    def _link(self, seq, text, digest):
        event = json.loads(text)
        if seq != self.seq + 1 or event["seq"] != seq:
            raise Defect("the chain has a gap: %d after %d" % (seq, self.seq))
        if hashlib.sha256(b"\0" + text).digest() != digest or bytes.fromhex(event["previous"]) != self.hash:
            raise Defect("the chain is broken at %d" % seq)
        self.seq, self.hash = seq, digest
        self.events.setdefault(event.get("instance-id"), []).append(event)

    def of(self, instance):
        """Its events, oldest first."""
        return self.events.get(instance["id"], [])

    def ledger(self, instance):
        """Releases of the ledger's rows of that instance."""
        return [row[0] for row in self._ask("SELECT release FROM ledger WHERE instance = ?", instance["id"])]


class FaultStack(Stack):
    """The programs of the plain build, each with the shim in front and a page of its own."""

    def __init__(self, build, **options):
        self.build = pathlib.Path(build)
        self.armed_agent = {}
        super().__init__(build, **options)
        for name in ("shim.so", "pkcs11.so"):
            shutil.copy(self.build / "fault" / name, self.bin)
        self.pages = self.base / "fault"
        self.pages.mkdir()
        self.pages.chmod(0o777)
        self.server_faults, self.member_faults, self.agent_faults, self.token_faults = (
            Control(self.pages / name) for name in ("vouchsafed", "vouchsafe-vault", "vouchsafe-agent", "pkcs11"))
        vault = json.loads((self.etc / "vault.json").read_text())
        for member in vault["members"]:
            member["module"] = str(self.bin / "pkcs11.so")
        self._write("vault.json", json.dumps({**vault, "poll": "60s"}))

    def _as(self, uid, command):
        page = self.pages / pathlib.Path(command[0]).name
        return super()._as(uid, ["env", "LD_PRELOAD=%s" % (self.bin / "shim.so"), "VOUCHSAFE_FAULT_FILE=%s" % page,
                                 "VOUCHSAFE_PKCS11_FAULT_FILE=%s" % (self.pages / "pkcs11"),
                                 "VOUCHSAFE_PKCS11_MODULE=%s" % MODULE, *command])

    def environment(self, **more):
        return super().environment(**{**self.armed_agent, **more})

    def start(self):
        super().start()
        self.trail = Trail(self.state / "vouchsafe.db")
        self.me, self.other = self.key(), self.key()
        return self

    def wait_vault(self, state):
        """Until the server knows that its member is "up", or "down"."""
        wait_for("member that is " + state, lambda: self.request(
            "GET", "/readyz?verbose", port=self.ops_port, headers={})[2]["vault"] == state)

    def renew_member(self):
        """Another process for the same member, and the server knows it."""
        self.stop(self.member, signal.SIGKILL)
        self.wait_vault("down")
        self.start_member()
        self.wait_vault("up")

    def revive(self):
        """Starts again what has ended; returns the names."""
        revived = []
        if self.member.poll() is not None:
            revived.append("vouchsafe-vault")
            self.start_member()
        if self.server.poll() is not None:
            revived.append("vouchsafed")
            self.start_server()
        return revived


class Injection:
    """What one fault came to."""

    def __init__(self, program, function, nth, fault):
        self.program, self.function, self.nth, self.fault = program, function, nth, fault
        self.met = 0
        self.calls = 0
        self.outcome = None  # a status, "closed", or how the agent ended
        self.ended = None  # how the program ended, where it did
        self.crash = None  # frames, where it crashed by itself
        self.defects = []  # of what must never be: (kind, text)

    def __str__(self):
        return "%s %s:%d:%s" % (self.program, self.function, self.nth, self.fault)

    def defect(self, kind, text):
        self.defects.append((kind, "%s: %s" % (self, text)))

    def crashed_in_library(self):
        """Is the innermost frame that is not the C library's one of a library?"""
        return bool(self.crash) and bool(LIBRARIES.search(self.culprit()[0]))

    def culprit(self):
        for frame in self.crash or []:
            if not re.search(r"/(libc\.so|ld-linux|shim\.so|libgcc_s|libpthread)", frame[0]):
                return frame
        return ("?", "", 0)


def signature(build, crash):
    """A crash as text: innermost first; of a library its first frame, of ours the first function."""
    names, last = [], None
    for object_, symbol, offset in crash:
        name = pathlib.Path(object_).name
        if name in ("vouchsafed", "vouchsafe-vault", "vouchsafe-agent"):
            found = subprocess.run(["addr2line", "-sfe", str(pathlib.Path(build) / name), hex(offset - 1)],
                                   capture_output=True, text=True).stdout.split("\n")
            return " < ".join(names + ["%s (%s)" % (found[0], found[1]) if len(found) > 1 else name])
        if name != last:
            names.append("%s:%s" % (name, symbol or hex(offset)))
        last = name
    return " < ".join(names)


# ---- the two paths through the server

def exchange(stack, instance, key):
    """A release and its acknowledgement: (status or what else came, answer, the acknowledgement's or None)."""
    try:
        status, _, answer = stack.release(instance, key)
    except TimeoutError:
        return "no answer", None, None
    except (OSError, http.client.HTTPException):
        return "closed", None, None
    except ValueError as error:
        return "nonsense: %s" % error, None, None
    if status != 200:
        return status, answer, None
    inside = key.open(answer["sealed"])
    if inside["instance-id"] != instance["id"] or inside["release_id"] != answer["release_id"] or \
            [s["value"] for s in inside["secrets"]] != [stack.pin, stack.client_key, stack.certificate]:
        raise Defect("what was sealed is not what was stored: %s" % sorted(inside))
    return status, answer, acknowledge(stack, answer, inside)


def acknowledge(stack, answer, inside):
    try:
        return stack.request("POST", "/v1/releases/%s/ack" % answer["release_id"], {"ack": inside["ack"]})[0]
    except TimeoutError:
        return "no answer"
    except (OSError, http.client.HTTPException):
        return "closed"


def judge(stack, injection, instance, answer, acknowledged):
    """(a) and (b): a proper outcome; nothing released that was not recorded, nothing recorded twice."""
    if injection.outcome not in (200, "closed") and not (isinstance(injection.outcome, int)
                                                         and 500 <= injection.outcome < 600):
        injection.defect("outcome", "answered %s %s" % (injection.outcome, answer))
    if acknowledged is not None and acknowledged not in (204, "closed") and not (
            isinstance(acknowledged, int) and 500 <= acknowledged < 600):
        injection.defect("outcome", "the acknowledgement was answered %s" % acknowledged)
    stack.trail.read()
    # who asks again while a member starts may collect what stood granted
    kinds = [e["event"] for e in stack.trail.of(instance) if e["event"] != "release.repeated"]
    granted = [e["release_id"] for e in stack.trail.of(instance) if e["event"] == "release.granted"]
    rows = stack.trail.ledger(instance)
    if injection.outcome == 200 and granted != [answer["release_id"]]:
        injection.defect("wrong", "released %s, recorded %s" % (answer["release_id"], granted))
    if acknowledged == 204 and kinds.count("release.acknowledged") != 1:
        injection.defect("lost", "acknowledged, and the trail has %s" % kinds)
    if rows != granted or len(granted) > 1:
        injection.defect("lost", "ledger %s, trail %s" % (rows, granted))
    if set(kinds) - {"release.granted", "release.acknowledged"} or len(kinds) != len(set(kinds)):
        injection.defect("wrong", "the trail says %s" % kinds)
    return granted


def recover(stack, injection, instance, granted):
    """(c): a fresh instance is served, and so is the very same one, with the same key and the same release."""
    for one in (stack.launch(), instance):
        tries = []

        def served():
            stack.revive()
            tries.append(exchange(stack, one, stack.me))
            if tries[-1][0] not in (200, 503, "closed"):
                raise Defect("the next request was answered %s" % (tries[-1][:2],))
            return tries[-1][0] == 200 and tries[-1][2] == 204
        try:
            wait_for("release", served, 20)
        except (AssertionError, Defect) as error:
            injection.defect("recovery", "%s: %s; tried %s" % ("the same instance" if one is instance else "another",
                                                               error, [t[:2] for t in tries[-2:]]))
            return
        if one is instance and granted and tries[-1][1]["release_id"] != granted[0]:
            injection.defect("wrong", "collected %s, granted %s" % (tries[-1][1]["release_id"], granted))
    stack.trail.read()
    kinds = [e["event"] for e in stack.trail.of(instance)]
    if kinds.count("release.granted") != 1 or kinds.count("release.acknowledged") != 1:
        injection.defect("lost", "in the end the trail has %s" % kinds)


def settle(injection, process, control):
    """How the program ended, if it did. A crash is written down on its way out."""
    crash = control.crash()
    if crash is not None or injection.fault.startswith(("kill", "abort")) and injection.met:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            injection.defect("hang", "crashed, and did not end")
            process.kill()
            process.wait()
    code = process.poll()
    if code is None:
        return
    injection.ended = "signal %s" % signal.Signals(-code).name if code < 0 else "exit %d" % code
    if crash is not None and not injection.fault.startswith("abort"):
        injection.crash = crash
        if not injection.crashed_in_library():
            injection.defect("crash", "crashed")
    elif code < 0 and not injection.fault.startswith(("kill", "abort")):
        injection.defect("crash", "ended by %s, nobody knows where" % injection.ended)


def inject(stack, program, function, nth, fault, last=None):
    """One fault in vouchsafed, vouchsafe-vault or its token, during a release and its acknowledgement."""
    control = {"vouchsafed": stack.server_faults, "vouchsafe-vault": stack.member_faults,
               "token": stack.token_faults}[program]
    injection = Injection(program, function, nth, fault)
    process = stack.server if program == "vouchsafed" else stack.member
    own = stack.server_faults if program == "vouchsafed" else stack.member_faults
    instance = stack.launch()
    answer = acknowledged = None
    own.clear_crash()
    control.arm(function, nth, fault, last)
    try:
        injection.outcome, answer, acknowledged = exchange(stack, instance, stack.me)
    except Defect as error:
        injection.defect("wrong", str(error))
    finally:
        control.disarm()
    injection.met, injection.calls = control.met(), control.calls()[function]
    settle(injection, process, own)
    try:
        recover(stack, injection, instance, judge(stack, injection, instance, answer, acknowledged))
    except Defect as error:
        injection.defect("lost", str(error))
    return injection


def inject_start(stack, function, nth, fault, last=None):
    """One fault in the token while its member process starts and serves its first release."""
    injection = Injection("token", function, nth, fault)
    stack.stop(stack.member)
    stack.member_faults.clear_crash()
    stack.token_faults.arm(function, nth, fault, last)
    stack.start_member()
    instance = stack.launch()

    def over():
        injection.outcome, answer, acknowledged = exchange(stack, instance, stack.me)
        judge(stack, injection, instance, answer, acknowledged)
        return injection.outcome == 200 or injection.defects or stack.token_faults.met()
    try:
        wait_for("release, or a call that met the fault", over, 20)
    except (AssertionError, Defect) as error:
        injection.defect("recovery", str(error))
    finally:
        stack.token_faults.disarm()
    injection.met, injection.calls = stack.token_faults.met(), stack.token_faults.calls()[function]
    settle(injection, stack.member, stack.member_faults)
    if "PIN" in fault and injection.met:
        pin_renew(stack, injection)
    stack.trail.read()
    recover(stack, injection, instance, [e["release_id"] for e in stack.trail.of(instance)
                                         if e["event"] == "release.granted"])
    return injection


def pin_renew(stack, injection):
    """The token refused the PIN: nobody tries it again before a person has changed the file."""
    stack.token_faults.arm()
    code = stack.start_member().wait(20)
    stack.token_faults.disarm()
    if code != 78 or stack.token_faults.calls()["C_Login"]:
        injection.defect("wrong", "a refused PIN was tried again: ended with %d" % code)
    os.utime(stack.vault / "hsm-a.pin")


# ---- the agent

def agent_files(stack, out):
    """The files that it has written; every one whole and its owner's alone."""
    expected = {"hsm-partition-pin": stack.pin, "hsm-client-key": stack.client_key,
                "hsm-client-cert": stack.certificate}
    names = [n for n in (os.listdir(out) if out.exists() else []) if not n.startswith(".")]
    for name in names:
        path = out / name
        if name not in expected or path.read_text() != expected[name] or stat.S_IMODE(path.stat().st_mode) != 0o400:
            raise Defect("%s is not what was sealed" % name)
    return names


def run_agent(stack, instance, **environment):
    out = stack.base / "out" / instance["id"]
    stack.armed_agent = environment
    try:
        return stack.agent(instance, out, deadline="10s"), out
    finally:
        stack.armed_agent = {}


def inject_agent(stack, function, nth, fault):
    """One fault in the agent, from its first call on; then it is run again, as its unit would."""
    injection = Injection("vouchsafe-agent", function, nth, fault)
    control, instance = stack.agent_faults, stack.launch()
    control.clear_crash()
    control.disarm()
    struct.pack_into("<Q", control.page, 48, 0)
    shim = {"LD_PRELOAD": str(stack.bin / "shim.so"), "VOUCHSAFE_FAULT_FILE": str(control.path)}
    for at in control._rows().values():
        struct.pack_into("<Q", control.page, at + 24, 0)
    done, out = run_agent(stack, instance, **shim, VOUCHSAFE_FAULT="%s:%d:%s" % (function, nth, fault))
    control.disarm()
    injection.met, injection.calls = control.met(), control.calls()[function]
    injection.outcome = done.returncode
    if done.returncode < 0 and not fault.startswith("kill"):
        injection.crash = control.crash()
        if not injection.crashed_in_library():
            injection.defect("crash", "crashed: signal %d" % -done.returncode)
    elif done.returncode not in (0, 69, 70, 75, 76, 78) and not fault.startswith("kill"):
        injection.defect("outcome", "ended with %d: %s" % (done.returncode, done.stderr[-300:]))
    judge_agent(stack, injection, instance, out, done)
    return injection


def judge_agent(stack, injection, instance, out, done):
    try:
        names = agent_files(stack, out)
        stack.trail.read()
        kinds = [e["event"] for e in stack.trail.of(instance)]
        if names and "release.granted" not in kinds:
            injection.defect("wrong", "files without an event: %s" % names)
        if ("release.acknowledged" in kinds or done.returncode == 0) and len(names) != 3:
            injection.defect("lost", "acknowledged or done with %s; ended with %d" % (names, done.returncode))
        over = "release.acknowledged" in kinds and not list((stack.base / "agent" / instance["address"]).glob("*.pem"))
        again = done if done.returncode == 0 else run_agent(stack, instance)[0] if not over else None
        if again is None:  # ended behind its last step: nothing is left to be done
            again = subprocess.CompletedProcess([], 0, "", "")
        if again.returncode != 0 or len(agent_files(stack, out)) != 3:
            injection.defect("recovery", "first %d: %s\nthen %d: %s" % (done.returncode, done.stderr[-300:],
                                                                      again.returncode, again.stderr[-300:]))
        stack.trail.read()
        kinds = [e["event"] for e in stack.trail.of(instance)]
        if kinds.count("release.granted") != 1 or "release.conflict" in kinds:
            injection.defect("lost", "in the end the trail has %s" % kinds)
    except Defect as error:
        injection.defect("wrong", str(error))
