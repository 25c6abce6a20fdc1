"""Throw-away PostgreSQL: one server, or a primary with its synchronous standby, in a folder of their own.

As root the servers run under an account that is no root's, as PostgreSQL demands; otherwise as the caller. They listen on
UNIX sockets alone, in their own folders (tests/once/wire.py makes TCP of them), end when this process does, and leave
nothing behind. Power loss is not their matter: what was written outlives any kill, and so fsync is off.
"""
import contextlib
import ctypes
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from stack import wait_for

SECONDS = 60  # the longest that any operation here may take
PORT = 5432  # of the sockets: a part of their name
PR_SET_CHILD_SUBREAPER = 36
OWNER, DATABASE = "vouchsafe", "vouchsafe"  # who the nodes are, and what is theirs

SETTINGS = {
    "listen_addresses": "", "unix_socket_permissions": "0777", "dynamic_shared_memory_type": "mmap", "fsync": "off",
    "max_connections": "60", "shared_buffers": "16MB", "max_wal_size": "64MB", "min_wal_size": "8MB",
    "wal_keep_size": "32MB", "max_wal_senders": "6", "hot_standby": "on",
    # a test does not wait for what a machine room may
    "wal_retrieve_retry_interval": "50ms", "wal_receiver_timeout": "3s", "wal_sender_timeout": "3s",
    "log_line_prefix": "%m [%p] %a ",
}


def programs():
    """The folder of the newest PostgreSQL's own programs: the one on the PATH may be a wrapper, or another version."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    done = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
    return pathlib.Path(done.stdout.strip())


def account():
    """Whose processes they are: Debian's own account, or where there is none anybody's with a name."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("no account that PostgreSQL could run as")


def children(pid):
    """The processes that this one has started and that are still there."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def adopt():
    """Orphans below this process become its own children, which ended() then reaps: not every machine's init does."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def ended(pid):
    """Is this process over? Then nothing is left of it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not pathlib.Path("/proc/%d" % pid).exists()


class Server:
    """One PostgreSQL: its data, and its process where it runs."""

    def __init__(self, folder, name):
        self.name, self.folder = name, folder / name
        self.data, self.sockets, self.log = self.folder / "data", self.folder, self.folder / "log"
        self.socket = self.sockets / (".s.PGSQL.%d" % PORT)
        self.process = None
        self.folder.mkdir()
        if os.geteuid() == 0:
            os.chown(self.folder, account().pw_uid, account().pw_gid)

    # ---- commands

    def _as_owner(self, *command):
        bound = ["setpriv", "--pdeathsig", "QUIT", "--no-new-privs"]
        if os.geteuid() == 0:
            bound += ["--reuid", account().pw_name, "--regid", str(account().pw_gid), "--init-groups"]
        return [*bound, "--", *map(str, command)]

    def run(self, program, *arguments):
        """One of PostgreSQL's own programs, as the servers' account."""
        done = subprocess.run(self._as_owner(programs() / program, *arguments), cwd=self.folder, capture_output=True,
                              text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, env=environment())
        if done.returncode != 0:
            raise AssertionError("%s ended with %d\n%s%s" % (program, done.returncode, done.stdout, done.stderr))
        return done.stdout

    def psql(self, *statements, database="postgres", user="postgres", check=True, seconds=SECONDS):
        """Runs them, each a transaction of its own; the rows' text. With check=False: None where they failed."""
        command = [programs() / "psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-p", PORT, "-U", user,
                   "-d", database]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, env=environment())
        if check and done.returncode != 0:
            raise AssertionError("psql %s: %s" % (statements, done.stderr))
        return done.stdout.strip() if done.returncode == 0 else None

    def session(self, statements, database=DATABASE):
        """A psql that has run these, whose last one has a row, and stays in its session until its input is closed."""
        command = [programs() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-p", PORT, "-U", "postgres",
                   "-d", database]
        psql = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=environment())
        psql.stdin.write(statements + "\n")
        psql.stdin.flush()
        if not psql.stdout.readline():
            raise AssertionError("psql %s: ended with %s" % (statements, psql.wait(SECONDS)))
        return psql

    def set(self, **settings):
        """Changes settings of the running server; None takes one back."""
        changes = ["ALTER SYSTEM %s" % ("RESET %s" % k if v is None else "SET %s = '%s'" % (k, v))
                   for k, v in settings.items()]
        self.psql(*changes, "SELECT pg_reload_conf()")
        for name, value in settings.items():
            if value is not None:
                wait_for("setting " + name, lambda n=name, v=value: self.psql("SHOW " + n) == v, SECONDS)

    # ---- the process

    def initialize(self, settings):
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8", "--no-sync",
                 "--wal-segsize=1")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines("%s = '%s'\n" % pair for pair in {**SETTINGS, **settings}.items())

    def follow(self, conninfo):
        """From its next start on it is a standby."""
        with open(self.data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.write("primary_conninfo = '%s user=postgres application_name=%s'\n" % (conninfo, self.name))
        signal_file = self.data / "standby.signal"
        signal_file.touch()
        for path in (self.data / "postgresql.auto.conf", signal_file):
            if os.geteuid() == 0:
                os.chown(path, account().pw_uid, account().pw_gid)

    def start(self, wait=True):
        for path in self.sockets.glob(".s.PGSQL.*"):
            path.unlink()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self._as_owner(programs() / "postgres", "-D", self.data, "-c", "unix_socket_directories=%s" % self.sockets,
                               "-c", "cluster_name=%s" % self.name),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment())
        if wait:
            self.wait_ready()

    def wait_ready(self):
        wait_for("PostgreSQL %s that is ready" % self.name, self._ready, SECONDS)

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError("PostgreSQL %s ended with %d:\n%s" % (self.name, self.process.returncode, self.tail()))
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() in ("ready", "standby")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def everyone(self):
        """The server's first process and its children."""
        return [self.process.pid, *children(self.process.pid)] if self.running() else []

    def kill(self):
        """All of it at once, as a machine that dies."""
        if not self.running():
            return
        family = self._hold()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(SECONDS)
        wait_for("end of PostgreSQL's processes", lambda: all(map(ended, family)), SECONDS)

    def _hold(self):
        """Stops it, the first process first, which starts nobody else meanwhile; all of them."""
        if self.running():
            self.process.send_signal(signal.SIGSTOP)
        family = self.everyone()
        self._send_all(signal.SIGSTOP, family)
        return family

    def pause(self):
        self._hold()

    def resume(self):
        self._send_all(signal.SIGCONT, reversed(self.everyone()))

    @staticmethod
    def _send_all(what, family):
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)

    def stop(self, how=signal.SIGINT):
        """SIGINT: it ends its sessions and itself, orderly; SIGQUIT: at once."""
        if self.running():
            self.resume()
            self.process.send_signal(how)
            self.process.wait(SECONDS)

    def limit_files(self, size=None):
        """No file of it may grow beyond so many bytes: to PostgreSQL that is a full disk. None: any size again."""
        family = self._hold()  # else it breaks down half-way
        for pid in family:
            done = subprocess.run(self._as_owner("prlimit", "--pid", pid, "--fsize=%s:unlimited" % (size or "unlimited")),
                                  capture_output=True, text=True, timeout=SECONDS)
            if done.returncode != 0 and pid in self.everyone():
                raise AssertionError("prlimit: " + done.stderr)
        self.resume()

    def tail(self, lines=12):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def discard(self):
        """Ends it and removes its data, and the shared memory that a killed server leaves."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(signal.SIGQUIT)
        self.kill()
        with contextlib.suppress(OSError, IndexError):
            key_and_id = (self.data / "postmaster.pid").read_text().splitlines()[6].split()
            subprocess.run(["ipcrm", "--shmem-id", key_and_id[1]], check=False, stderr=subprocess.DEVNULL, timeout=SECONDS)
        shutil.rmtree(self.data, ignore_errors=True)


def environment():
    """Nothing of the caller's that libpq or PostgreSQL would heed."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5",
            "PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PGPASSWORD": os.environ.get("PGPASSWORD", "")}


class Cluster:
    """A primary, alone or with a synchronous standby, and the database of the nodes in it."""

    def __init__(self, standby=True, password=None, route=None, **settings):
        """`password`: the nodes have to say it (scram), nobody else; `route(server)`: the conninfo of where a standby
        finds that server, its own sockets unless it is given."""
        adopt()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-pg-"))
        self.folder.chmod(0o755)
        self.password = password
        self.route = route or (lambda server: "host=%s port=%d" % (server.sockets, PORT))
        self.servers = []
        try:
            names = ["a", "b"] if standby else ["a"]
            self.servers = [Server(self.folder, name) for name in names]
            self.primary, self.standby = self.servers[0], self.servers[-1] if standby else None
            self._begin({"synchronous_standby_names": "ANY 1 (a, b)" if standby else "", **settings})
        except BaseException:
            self.close()
            raise

    def _begin(self, settings):
        self.primary.initialize(settings)
        if self.password:
            self.demand_password()
        self.primary.start()
        if self.standby:
            self.join(self.standby)
        self.create()

    def demand_password(self, is_so=True):
        """Of the nodes, who may have none; from the next connection on."""
        (self.primary.data / "pg_hba.conf").write_text(
            "local all postgres trust\nlocal replication postgres trust\nlocal all all %s\n" % (
                "scram-sha-256" if is_so else "trust"))
        if self.primary.running():
            self.primary.psql("SELECT pg_reload_conf()")

    def create(self, database=DATABASE, owner=OWNER):
        """The nodes' role, where it is not there yet, and a database of theirs."""
        if not self.primary.psql("SELECT 1 FROM pg_roles WHERE rolname = '%s'" % owner):
            self.primary.psql("CREATE ROLE %s LOGIN%s" % (
                owner, " PASSWORD '%s'" % self.password if self.password else ""), "GRANT pg_monitor TO " + owner)
        self.primary.psql("CREATE DATABASE %s OWNER %s" % (database, owner))

    def uri(self, *places, database=DATABASE, password=None, **options):
        """For the configuration: the (host, port) pairs that are given, else the servers' own sockets."""
        places = places or [(str(server.sockets), PORT) for server in self.servers]
        hosts = ",".join("%s:%d" % (urllib.parse.quote(host, safe=""), port) for host, port in places)
        secret = password or self.password
        options = urllib.parse.urlencode({"sslmode": "disable", "gssencmode": "disable", **options})
        return "postgresql://%s%s@%s/%s?%s" % (OWNER, ":" + secret if secret else "", hosts, database, options)

    def psql(self, *statements, **options):
        """On the primary, in the nodes' database."""
        return self.primary.psql(*statements, **{"database": DATABASE, **options})

    # ---- what happens to clusters

    def join(self, server):
        """Makes this server, whatever it was, a standby of the primary; it is in step when this returns."""
        server.discard()
        server.run("pg_basebackup", "-D", server.data, "-h", self.primary.sockets, "-p", PORT, "-U", "postgres", "-X", "stream",
                   "-c", "fast", "--no-sync")
        server.follow(self.route(self.primary))
        server.start()
        self.wait_in_step()

    def wait_in_step(self):
        """Until the standby follows, and is waited for where any is."""
        wait_for("standby in step", lambda: self.primary.psql(
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND (sync_state IN ('sync', 'quorum')"
            " OR current_setting('synchronous_standby_names') = '')", check=False), SECONDS)

    def promote(self):
        """The standby is the primary from now on. What the old one does is not its concern."""
        self.primary, self.standby = self.standby, self.primary
        self.primary.psql("SELECT pg_promote(true, %d)" % SECONDS)

    def fail_over(self):
        """The primary dies, its standby takes over, and the dead one comes back as the new standby."""
        self.primary.kill()
        self.promote()
        self.join(self.standby)

    def set(self, **settings):
        self.primary.set(**settings)

    def asynchronous(self, is_so=True):
        self.set(synchronous_standby_names="" if is_so else "ANY 1 (a, b)")

    def read_only(self, is_so=True):
        self.set(default_transaction_read_only="on" if is_so else "off")

    def heal(self):
        """Both run, not paused, in step; whichever is primary now stays it."""
        for server in self.servers:
            server.resume()
            if not server.running() and server is not self.standby:
                server.start()
        if self.standby and not self.standby.running():
            self.standby.start()
        if self.standby:
            self.wait_in_step()

    def tails(self):
        return "\n".join("--- PostgreSQL %s\n%s" % (s.name, s.tail()) for s in self.servers)

    def close(self):
        for server in self.servers:
            server.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
