"""What is measured: a whole vouchsafe (tests/e2e/stack.py) with an operator's settings, a simulated AWS that paces its
callers as AWS says it does, and agents by the thousand. The parts of a release alone: bench/parts."""
import json
import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
import stack as stacks  # noqa: E402
from awssim import filters  # noqa: E402
from load import AWS_BUCKET, Crowd, defaults, metric  # noqa: E402
from stack import ACCOUNT, MODULE, RULE, SERVER_UID, Stack, wait_for  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
DELAY_MS = 50
# Keep-alive: instances that share a connection share an address, and so are in VPCs of their own.
ANY_VPC = {name: value for name, value in RULE.items() if name != "vpcs"}


def cpu(process):
    """Seconds of CPU that the threads of a process have used, user and system: by the scheduler's clock, since the
    100 ticks a second of /proc/PID/stat miss who works for less."""
    tasks = pathlib.Path("/proc/%d/task" % process.pid).iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def private_kib(process):
    """Memory that is its own, in KiB: a program and its libraries, which others share, are not counted."""
    lines = pathlib.Path("/proc/%d/smaps_rollup" % process.pid).read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def threads(process):
    return len(os.listdir("/proc/%d/task" % process.pid))


class Scene(Stack):
    """A stack of the plain build, at its defaults. `shim`: a fault (tests/fault/shim.c) for each server's whole life;
    `tls`: the API listener speaks TLS; `fill`: called with the store's path before the first start."""

    def __init__(self, tls=False, shim=None, fill=None, **config):
        self.shim = None
        super().__init__(BUILD, rules=[ANY_VPC])
        try:
            self._prepare(tls, shim, fill, config)
        except BaseException:
            self.close()
            raise

    def _prepare(self, tls, shim, fill, config):
        defaults(self)
        if shim:
            self.shim = shim
            shutil.copy(pathlib.Path(BUILD) / "fault/shim.so", self.bin)
        if tls:
            self.certificate_file, self.key_file = make_certificate(self.etc)
            os.chown(self.key_file, SERVER_UID if self.root else -1, -1)
            self.config["tls"] = {"certificate": str(self.certificate_file), "key": str(self.key_file)}
        self.config.update(config)
        self.write_config()
        self.set_up_vault()
        if fill:
            fill(self.state / "vouchsafe.db")
        self.start_member()
        began = time.monotonic()
        self.start_server()
        self.started_in = time.monotonic() - began
        self.tls = ["--tls"] if tls else []
        self.crowd = Crowd(self, BUILD)
        self.sim.throttle(**AWS_BUCKET, delay_ms=DELAY_MS)

    def server_environment(self):
        more = {"LD_PRELOAD": str(self.bin / "shim.so"), "VOUCHSAFE_FAULT": self.shim} if self.shim else {}
        return {**super().server_environment(), **more}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def measured(self, lines, *options):
        """Lets the agents come; what it cost, per release: server's and member's microseconds, AWS's calls, commits."""
        n = len(lines)
        self.sim.counters(reset=True)
        before = cpu(self.server), cpu(self.member), metric(self, 'vouchsafe_commits_total{result="ok"}')
        summary = self.crowd.run(lines, *self.tls, *options)
        after = cpu(self.server), cpu(self.member), metric(self, 'vouchsafe_commits_total{result="ok"}')
        if summary["served"] != n:
            raise SystemExit("bench: of %d agents %d were served: %s\n%s" % (n, summary["served"], summary, self.tails()))
        calls = {action: row["calls"] for action, row in self.sim.counters().items()}
        refused = sum(count for row in self.sim.counters().values() for outcome, count in row["outcomes"].items()
                      if outcome != "OK")
        return {**summary, "server_us": (after[0] - before[0]) / n * 1e6, "member_us": (after[1] - before[1]) / n * 1e6,
                "calls": calls, "calls_refused": refused, "batch": n / max(1, after[2] - before[2]),
                "per_second": n / summary["seconds"]}

    def query_ms(self, query):
        """The median time of a page of 100 events by that filter."""
        took = []
        for _ in range(9):
            began = time.monotonic()
            status, _, answer = self.ask("GET", "/v1/audit/events?limit=100" + ("&" + query if query else ""),
                                         port=self.ops_port, headers={"Authorization": "Bearer " + self.token})
            took.append((time.monotonic() - began) * 1e3)
            if status != 200:
                raise SystemExit("bench: %s: %d %s" % (query, status, answer))
        return statistics.median(took)


def make_certificate(folder):
    """A P-256 certificate of the bench's own, and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    stacks.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                   "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate))
    key.chmod(0o400)
    return certificate, key


# ---- the parts alone

def part(*arguments, program=os.path.join(BUILD, "bench/parts"), **options):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        raise SystemExit("bench: parts %s: %s" % (" ".join(map(str, arguments)), done.stderr))
    return json.loads(done.stdout)


class Hello:
    """A bare HTTP server; how much of its CPU a request takes."""

    def __init__(self, *tls):
        self.process = subprocess.Popen([os.path.join(BUILD, "bench/parts"), "hello", *map(str, tls)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def request_us(self, crowd, lines, *options):
        """The median of five rounds."""
        rounds = []
        for _ in range(5):
            before = cpu(self.process)
            summary = crowd.run(lines, *options, port=self.port)
            rounds.append((cpu(self.process) - before) / summary["tries"] * 1e6)
        return statistics.median(rounds)


def seal_case(scene):
    """What bench/parts seal reads: the three secrets of a release as the store has them, and the way to their token."""
    database = sqlite3.connect("file:%s?mode=ro" % (scene.state / "vouchsafe.db"), uri=True)
    vault, key_id, generation, iv_mode = database.execute(
        "SELECT vault, key_id, generation, iv_mode FROM member").fetchone()
    items = [{"name": name, "version": version, "kind": kind, "nonce": nonce.hex(), "text": text.hex(),
              "wrap": wrap.hex()}
             for name, version, kind, nonce, text, wrap in database.execute(
                 "SELECT name, version, kind, nonce, text, bytes FROM envelope JOIN wrap USING (name, version)"
                 " WHERE kind NOT IN ('node', 'canary')")]
    database.close()
    spki = stacks.openssl("pkey", "-in", str(scene.crowd.key.path), "-pubout", "-outform", "DER").hex()
    path = scene.etc / "seal.json"
    path.write_text(json.dumps({
        "module": MODULE, "label": "vouchsafe-a", "pin": scene.token_pin, "key_id": key_id, "vault": vault,
        "member": "hsm-a", "generation": generation, "iv_mode": iv_mode, "spki": spki, "items": items}))
    return path


def pages(scene, folder):
    """A release's body, and EC2's answer about 200 instances, as files."""
    scene.sim.throttle(size=0)
    instances = scene.crowd.fleet(200)
    body, page = folder / "body", folder / "page"
    body.write_text(scene.crowd.body(instances[0]))
    signer = scene.sim.account(ACCOUNT)
    page.write_bytes(scene.sim.describe(signer, **filters(("instance-id", [i["id"] for i in instances]))).body)
    return body, page


def temporary(near):
    """A folder on the disk that the store is on."""
    return pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=near))
