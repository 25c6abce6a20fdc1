"""The units in conf/systemd: systemd's own opinion of them, and whether the programs work under what they forbid."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import tap
from stack import Stack, wait_for
from tap import equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "conf/systemd"
SANDBOX = pathlib.Path(__file__).resolve().parent / "sandbox.py"
EXPOSURE_MAX = 1.5
STACK = None


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        raise tap.Skip("systemd-analyze is missing")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_COLORS": "0"})


def exposure(path):
    done = analyze("security", "--offline=true", "--no-pager", str(path))
    found = re.search(r"Overall exposure level for .*: ([0-9.]+) ", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found.group(1))


def units():
    found = sorted(UNITS.glob("*.service"))
    equal([path.name for path in found], ["vouchsafe-vault@.service", "vouchsafed.service"])
    return found


def test_exposure():
    for path in units():
        assert exposure(path) <= EXPOSURE_MAX, "%s: %s" % (path.name, exposure(path))


def test_exposure_with_each_drop_in():
    """As loose as the examples make a member it is still no worse than that."""
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(UNITS.glob("*.conf")):
            loose = pathlib.Path(folder) / ("%s.service" % path.stem)
            loose.write_text((UNITS / "vouchsafe-vault@.service").read_text().split("[Install]")[0] + path.read_text())
            assert exposure(loose) <= EXPOSURE_MAX, "%s: %s" % (path.name, exposure(loose))


def test_the_measure_can_fail():
    with tempfile.TemporaryDirectory() as folder:
        bare = pathlib.Path(folder) / "bare.service"
        bare.write_text("[Service]\nExecStart=/bin/true\n")
        assert exposure(bare) > EXPOSURE_MAX


def test_verified():
    """Every setting is one that systemd knows, each with a value that it takes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path in units():
            program = shutil.which("true")
            text = re.sub(r"(?m)^(ExecStart=)\S+", lambda m: m.group(1) + program, path.read_text())
            paths.append(pathlib.Path(folder) / path.name.replace("@", "@hsm-a"))
            paths[-1].write_text(text)
        done = analyze("verify", "--man=no", *map(str, paths))
        said = [line for line in (done.stdout + done.stderr).splitlines()
                if any(path.name in line for path in paths) or folder in line]
        equal(said, [])
        paths[0].write_text(paths[0].read_text() + "\n[Service]\nNoSuchSetting=yes\n")
        done = analyze("verify", "--man=no", str(paths[0]))
        assert "NoSuchSetting" in done.stdout + done.stderr


# ---- under their filters

class Sandboxed(Stack):
    """Server and member each under their own unit's filters."""

    def _start(self, name, uid, command, **environment):
        unit = {"vouchsafed": "vouchsafed.service", "vouchsafe-vault": "vouchsafe-vault@.service"}.get(
            pathlib.Path(command[0]).name)
        if unit:
            command = [sys.executable, str(self.bin / "sandbox.py"), str(self.bin / unit), "--", *command]
        return super()._start(name, uid, command, **environment)


def needs_filters():
    if not shutil.which("systemd-analyze"):
        raise tap.Skip("systemd-analyze is missing")
    if subprocess.run([sys.executable, "-c", "import ctypes; ctypes.CDLL('libseccomp.so.2')"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise tap.Skip("libseccomp is missing")


def started():
    """The stack, once; a test that needs it and cannot have it is skipped."""
    global STACK
    needs_filters()
    if STACK is None:
        stack = Sandboxed(os.environ.get("PLAIN", "build"))
        STACK = stack
        for path in [SANDBOX, *units()]:
            shutil.copy(path, stack.bin)
        stack.start()
        stack.me = stack.key()
    return STACK


def filters(process):
    status = pathlib.Path("/proc/%d/status" % process.pid).read_text()
    return re.search(r"^NoNewPrivs:\s+(\d)", status, re.M).group(1), re.search(
        r"^Seccomp:\s+(\d)", status, re.M).group(1)


def test_served_under_the_filters():
    stack = started()
    equal((filters(stack.server), filters(stack.member)), (("1", "2"), ("1", "2")))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        instances = list(pool.map(lambda _: stack.launch(), range(200)))
        equal(set(pool.map(lambda i: stack.release(i, stack.me)[0], instances)), {200})
    equal(stack.granted(stack.launch(), stack.me)["inside"]["secrets"][0]["value"], stack.pin)
    instance = stack.launch()
    equal(stack.agent(instance, stack.base / "out" / "agent").returncode, 0)
    equal([e["event"] for e in stack.instance_events(instance)], ["release.granted", "release.acknowledged"])
    for name in ("server", "member"):
        assert "protections-absent" not in stack.log(name), name


def test_reload_trouble_and_end_under_the_filters():
    stack = started()
    loaded = len(stack.events(event="policy.loaded"))
    stack.server.send_signal(signal.SIGHUP)
    wait_for("policy that is read again", lambda: len(stack.events(event="policy.loaded")) > loaded)
    equal(stack.stop(stack.member), 0)
    stack.start_member()
    wait_for("release by the new member", lambda: stack.release(stack.launch(), stack.me)[0] == 200)
    equal((stack.stop(stack.server), stack.stop(stack.member)), (0, 0))


def test_the_filters_do_forbid():
    stack = started()
    for unit in units():
        for call, code in (("import os; os.setuid(os.getuid())", -signal.SIGSYS),
                           ("import resource as r; r.getrlimit(r.RLIMIT_CORE)", 0),
                           ("import socket; socket.socket(17, socket.SOCK_RAW)", 1)):
            done = subprocess.run([sys.executable, stack.bin / "sandbox.py", unit, "--", sys.executable, "-c", call],
                                  capture_output=True)
            equal(done.returncode, code, call)


def main():
    try:
        return tap.run(tap.collect(globals()), lambda: STACK.tails() if STACK else "")
    finally:
        if STACK:
            STACK.close()


sys.exit(main())
