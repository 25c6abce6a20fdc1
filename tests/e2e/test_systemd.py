"""The units as they are shipped, started by a systemd of its own: PID 1 in namespaces, on a root folder of which nothing
is the machine's own to write. What `make install` and docs/operation.md would do is done there, then releases are asked
for. Needs root and a cgroup of version 2 that may be made; else it is skipped."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap
from stack import MEMBER_UID, SERVER_UID, Stack, wait_for
from tap import equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "conf/systemd"
MEMBER, SERVER = "vouchsafe-vault@hsm-a", "vouchsafed"
SECONDS = 120
STACK = None

# /run/test is a folder of the outer side's.
DRIVER = """[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1
ExecStart=%s -B %s --driver %s
StandardOutput=append:/run/test/tap
StandardError=append:/run/test/tap
"""
TARGET = "[Unit]\nDefaultDependencies=no\nWants=driver.service\n"
# Whether this place lets systemd confine anything at all.
PROBE = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/true
User=vouchsafe
PrivateDevices=yes
PrivateMounts=yes
PrivateNetwork=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
ProcSubset=pid
SystemCallFilter=@system-service
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options)


# ---- the outer side

def cgroup_make():
    """A cgroup of version 2 for all that comes; None where there can be none."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, place, kind = line.split()[:3]
        if kind == "cgroup2":
            try:
                return pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-test-", dir=place))
            except OSError:
                return None
    return None


def cgroup_remove(cgroup):
    for folder in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    cgroup.rmdir()


def skipped(why):
    print("1..1\nok 1 - the units under systemd # skip %s" % why)
    return 0


def outside():
    build = pathlib.Path(os.environ.get("PLAIN", "build")).resolve()
    if os.geteuid() != 0:
        return skipped("needs root")
    if not os.access("/lib/systemd/systemd", os.X_OK):
        return skipped("systemd is missing")
    cgroup = cgroup_make()
    if cgroup is None:
        return skipped("no cgroup of version 2 can be made")
    with tempfile.TemporaryDirectory() as folder:
        def enter():
            (cgroup / "cgroup.procs").write_text("0")
        last = ""
        try:
            done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup",
                                   "--kill-child", "--propagation", "private", sys.executable, "-B", __file__, "--init",
                                   str(build), folder], preexec_fn=enter, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=SECONDS)
            last = "".join((done.stdout + done.stderr).strip().splitlines()[-1:])
        except subprocess.TimeoutExpired:
            last = "no end within %d s" % SECONDS
        finally:
            wait_for("empty cgroup", lambda: "populated 0" in (cgroup / "cgroup.events").read_text())
            cgroup_remove(cgroup)
        said = pathlib.Path(folder) / "tap"
        if not said.exists():
            return skipped("systemd does not come up here: %s" % last)
        text = said.read_text()
    print(text, end="")
    planned = re.search(r"^1\.\.(\d+)", text, re.M)
    done = len(re.findall(r"^ok ", text, re.M))
    return 0 if planned and int(planned.group(1)) == done else 1


# ---- the first process inside: makes the root folder, and becomes systemd

def tmpfs(place):
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)


def root_make(new, build, folder):
    run("mount", "--rbind", "/", new)
    run("mount", "--make-rprivate", "/")
    run("mount", "-o", "remount,bind,ro", new)
    for name in ("var", "run", "dev", "usr/local/sbin", "tmp"):
        tmpfs(new / name)
    os.chmod(new / "tmp", 0o1777)
    # what may lie below the folders that are hidden now
    for path in (ROOT, build):
        (new / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", path, new / path.relative_to("/"))
    (new / "run/test").mkdir()
    run("mount", "--bind", folder, new / "run/test")
    shutil.copytree("/etc", new / "run/etc", symlinks=True)
    run("mount", "--bind", new / "run/etc", new / "etc")
    for name in ("lib", "tmp"):
        (new / "var" / name).mkdir()


def devices_make(new):
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (new / "dev" / name).touch()
        run("mount", "--bind", "/dev/" + name, new / "dev" / name)
    for name in ("shm", "pts"):
        (new / "dev" / name).mkdir()
    run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", new / "dev/pts")
    (new / "dev/ptmx").symlink_to("pts/ptmx")
    (new / "dev/fd").symlink_to("/proc/self/fd")


def kernel_mount(new):
    run("mount", "-t", "proc", "proc", new / "proc")
    run("mount", "--bind", new / "proc/sys", new / "proc/sys")
    run("mount", "-o", "remount,bind,ro", new / "proc/sys")
    run("mount", "-t", "sysfs", "-o", "ro", "sysfs", new / "sys")
    run("mount", "-t", "cgroup2", "cgroup2", new / "sys/fs/cgroup")


def units_write(new, build):
    units = new / "etc/systemd/system"
    (units / "driver.service").write_text(DRIVER % ("/usr/bin/python3", __file__, build))
    (units / "probe.service").write_text(PROBE)
    (units / "test.target").write_text(TARGET)
    for file, line in (("passwd", "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n"), ("group", "%s:x:%d:\n")):
        with open(new / "etc" / file, "a") as users:
            for name, number in (("vouchsafe", SERVER_UID), ("vouchsafe-vault", MEMBER_UID)):
                users.write(line % ((name, number, number)[:line.count("%")]))


def init(build, folder):
    new = pathlib.Path(tempfile.mkdtemp(dir=folder))
    tmpfs(new)
    new = new / "root"
    new.mkdir()
    root_make(new, build, folder)
    devices_make(new)
    kernel_mount(new)
    units_write(new, build)
    run("ip", "link", "set", "lo", "up")
    os.chdir(new)
    run("pivot_root", ".", "mnt")
    run("umount", "-l", "/mnt")
    os.execve("/lib/systemd/systemd", ["systemd", "--unit=test.target", "--show-status=0"],
              {"container": "lxc", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


# ---- the tests, below that systemd

def systemctl(*arguments):
    done = subprocess.run(["systemctl", "--no-pager", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        status = subprocess.run(["systemctl", "--no-pager", "status", MEMBER, SERVER], capture_output=True, text=True)
        raise AssertionError("systemctl %s: %s%s" % (" ".join(arguments), done.stderr, status.stdout))
    return done.stdout.strip()


class Installed(Stack):
    """Programs, units and files where they belong; systemd starts and stops."""

    def install(self):
        self.set_up_vault()
        state, vault = pathlib.Path("/var/lib/vouchsafe"), pathlib.Path("/var/lib/vouchsafe-vault")
        shutil.copytree(self.state, state)
        shutil.copytree(self.vault, vault)
        shutil.copytree(self.etc, "/etc/vouchsafe")
        for folder, uid in ((state, SERVER_UID), (vault, MEMBER_UID)):
            self._own(folder, uid)
        for program in ("vouchsafed", "vouchsafe-vault"):
            shutil.copy(self.bin / program, "/usr/local/sbin")
        self.etc = pathlib.Path("/etc/vouchsafe")
        self.write_config(store="sqlite:%s/vouchsafe.db" % state, listen="127.0.0.1:8443",
                          ops_listen="127.0.0.1:8444")
        self.port, self.ops_port = 8443, 8444
        file = json.loads((self.etc / "vault.json").read_text())
        file["members"][0].update(socket="/run/vouchsafe-vault/hsm-a.sock", pin_file=str(vault / "hsm-a.pin"),
                                  so_pin_file=str(vault / "hsm-a.so-pin"))
        del file["state"]  # it is where the unit says
        self._write("vault.json", json.dumps(file))
        self._write("softhsm2.conf", (self.etc / "softhsm2.conf").read_text().replace(str(self.vault), str(vault)))
        self._write("aws.env", "".join("%s=%s\n" % pair for pair in self.server_environment().items()))
        for name, more in (("vouchsafed.service", ""),
                           ("vouchsafe-vault@.service", "Environment=SOFTHSM2_CONF=/etc/vouchsafe/softhsm2.conf\n")):
            shutil.copy(UNITS / name, "/etc/systemd/system")
            drop_in = pathlib.Path("/etc/systemd/system/%s.d/test.conf" % name)
            drop_in.parent.mkdir()
            drop_in.write_text("[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:%s\n%s" % (
                self.logs / ("server.log" if name.startswith("vouchsafed") else "member.log"), more))
        systemctl("daemon-reload")

    def pid(self, unit):
        return int(systemctl("show", "--property=MainPID", "--value", unit))

    def ready(self):
        try:
            return self.request("GET", "/readyz", headers={})[0] == 200
        except OSError:
            return False


def test_started():
    systemctl("start", MEMBER, SERVER)
    wait_for("server that is ready", STACK.ready)
    for unit, uid in ((SERVER, SERVER_UID), (MEMBER, MEMBER_UID)):
        status = pathlib.Path("/proc/%d/status" % STACK.pid(unit)).read_text()
        for name, value in (("Uid", str(uid)), ("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapBnd", "0" * 16)):
            equal(re.search(r"^%s:\s+(\S+)" % name, status, re.M).group(1), value, "%s of %s" % (name, unit))
    assert "protections-absent" not in STACK.log("server") + STACK.log("member")


def test_releases():
    key = STACK.key()
    for _ in range(20):
        instance = STACK.launch()
        equal(STACK.granted(instance, key)["inside"]["secrets"][0]["value"], STACK.pin)
    equal(STACK.instance_events(instance)[-1]["event"], "release.granted")


def test_only_the_servers_user_may_ask():
    """The server's unit gives it a name space of users; its member, outside of it, still knows who it is."""
    folder = pathlib.Path("/run/vouchsafe-vault").stat()
    equal((folder.st_uid, folder.st_gid, folder.st_mode & 0o7777), (MEMBER_UID, SERVER_UID, 0o2750))
    assert "stranger-refused" not in STACK.log("member")


def test_a_member_that_is_killed_is_started_again():
    before = STACK.pid(MEMBER)
    assert before
    os.kill(before, 9)
    wait_for("new member", lambda: STACK.pid(MEMBER) not in (0, before))
    key = STACK.key()
    wait_for("release by the new member", lambda: STACK.release(STACK.launch(), key)[0] == 200)


def test_reloaded_and_stopped():
    loaded = len(STACK.events(event="policy.loaded"))
    systemctl("reload", SERVER)
    wait_for("policy that is read again", lambda: len(STACK.events(event="policy.loaded")) > loaded)
    systemctl("stop", SERVER, MEMBER)
    for unit in (SERVER, MEMBER):
        equal(systemctl("show", "--property=Result", "--value", unit), "success")


def driver(build):
    global STACK
    if subprocess.run(["systemctl", "start", "probe"], capture_output=True).returncode != 0:
        return skipped("this place does not let systemd confine a program")
    STACK = Installed(build)
    try:
        STACK.install()
        return tap.run(tap.collect(globals()), STACK.tails)
    finally:
        STACK.close()


def main():
    if sys.argv[1] == "--init":
        return init(pathlib.Path(sys.argv[2]), sys.argv[3])
    if sys.argv[1] == "--driver":
        return driver(sys.argv[2])
    return outside()


sys.exit(main())
