"""A whole vouchsafe in a temporary folder: simulated AWS, SoftHSM token, store, member process, server.

As root the server and the member process run under two users of their own (numbers that no account needs to have);
otherwise all run as the caller. Everything listens on loopback, on ports that the kernel chose.
"""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import sink
import tap
from authority import Authority
from awssim import AwsSim

SERVER_UID, MEMBER_UID = 64100, 64101
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
ACCOUNT = "123456789012"
REGION = "us-east-1"
SECONDS = 30  # the longest that anything here may take

# What an unremarkable instance of the rule "web" is launched with.
GOOD = dict(account=ACCOUNT, region=REGION, type="m5.large", role="web-tier", image="ami-0123456789abcdef0",
            subnet="subnet-0123456789abcdef0", vpc="vpc-0123456789abcdef0", groups=["sg-0123456789abcdef0"],
            tags={"env": "prod"}, launch_template="lt-0123456789abcdef0", auto_scaling_group="web",
            http_tokens="required", hop_limit=1)

RULE = {"name": "web", "role": "web-tier", "accounts": [ACCOUNT], "regions": [REGION], "evidence": [],
        "unbound_key": True, "launch_window": "10m", "retry_window": "15m",
        "images": ["ami-0123456789abcdef0"], "launch_templates": ["lt-0123456789abcdef0"],
        "auto_scaling_groups": ["web"], "vpcs": ["vpc-0123456789abcdef0"], "subnets": ["subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123456789abcdef0"], "instance_types": ["m5.large"], "tags": {"env": "prod"},
        "secrets": ["hsm-partition-pin", "hsm-client-key", "hsm-client-cert"]}

# Beside it: rules that demand evidence, for those who name them.
BOUND = {**{k: v for k, v in RULE.items() if k != "unbound_key"}, "name": "bound", "role": "bound-tier",
         "evidence": ["identity-document", "caller-identity"]}
SIGNED = {**RULE, "name": "signed", "role": "signed-tier", "evidence": ["identity-document"]}


def wait_for(what, condition, seconds=SECONDS):
    """Looks again every 10 ms until the condition gives something true; that is returned."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError("no %s within %d s" % (what, seconds))
        time.sleep(0.01)


def cpu_share(process, seconds):
    """How much of one processor a process takes, looked at for so long: 0 to the number of processors."""
    def used():
        fields = pathlib.Path("/proc/%d/stat" % process.pid).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    began, before = time.monotonic(), used()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **options).stdout


class Key:
    """A recipient: key and CSR made by the openssl command, as a shell agent would."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / ("key-%s.pem" % secrets.token_hex(8))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.path))
        self.csr = openssl("req", "-new", "-key", str(self.path), "-subj", "/", "-sha256").decode()
        spki = openssl("pkey", "-in", str(self.path), "-pubout", "-outform", "DER")
        self.sha256 = hashlib.sha256(spki).hexdigest()

    def open(self, sealed):
        """What is inside a sealed answer; openssl fails where the key is another."""
        der = base64.b64decode(sealed, validate=True)
        return json.loads(openssl("cms", "-decrypt", "-inform", "DER", "-inkey", str(self.path), input=der))


def main(module, rules=None, keys=0, sunk=False, ready=None, **options):
    """Runs all tests of a module against one stack, which stands in its STACK; its KEYS are filled. `sunk`: in a
    network of their own, where that may be made, whose sink stands in SINK. ready() is called before the first test."""
    if sunk:
        with contextlib.suppress(OSError):
            module["SINK"] = sink.Sink()
            tap.never("connections to strangers", lambda: len(module["SINK"].strangers))
    stack = Stack(sys.argv[1], rules, **options)
    module["STACK"] = stack
    try:
        for rule in (rules or [])[1:]:
            stack.sim.control("role", account=ACCOUNT, name=rule["role"], profiles=[{"name": rule["role"]}])
        stack.start()
        module.setdefault("KEYS", []).extend(stack.key() for _ in range(keys))
        if ready:
            ready()
        return tap.run(tap.collect(module), stack.tails)
    finally:
        stack.close()


def runnable_folder(build):
    """A new folder that programs can be run from, which /tmp sometimes is not."""
    for parent in (tempfile.gettempdir(), "/var/tmp", build):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-e2e-", dir=parent))
        shutil.copy("/bin/true", folder)
        try:
            subprocess.run([folder / "true"], check=True)
            return folder
        except OSError:
            shutil.rmtree(folder)
    raise AssertionError("programs can be run from no temporary folder: set TMPDIR to one")


class Stack:
    def __init__(self, build, rules=None, config=None, programs=None, member_under=(),
                 vault_deadline="1s", tls=False):
        """`programs`: builds of single programs instead of those in `build`; `member_under`: a command, such as
        valgrind's, that runs the member process; `tls`: both listeners speak it, with certificates of an authority
        that stands in `authority`, from whose clients the ops listener takes certificates."""
        self.member_under, self.server_under = list(member_under), []
        self.vault_deadline = vault_deadline
        self.root = os.geteuid() == 0
        self.base = runnable_folder(build)
        self.base.chmod(0o755)
        self.bin, self.etc, self.vault, self.state, self.run_dir, self.keys, self.logs = (
            self.base / name for name in ("bin", "etc", "vault", "state", "run", "keys", "log"))
        self.signed = self.vault / "signed"  # what the members have signed
        for folder in (self.bin, self.etc, self.vault, self.state, self.run_dir, self.keys, self.logs,
                       self.signed, self.base / "agent", self.base / "out"):
            folder.mkdir()
        for program in ("vouchsafed", "vouchsafe-vault", "vouchsafe-agent", "vouchsafe"):
            shutil.copy((programs or {}).get(program, pathlib.Path(build) / program), self.bin)
            (self.bin / program).chmod(0o755)
        self.processes = []
        self.member = self.server = None
        self.addresses = 0
        self.aws_environment = None  # instead of the account's keys, where the server is to get its own elsewhere
        self.token = secrets.token_hex(16)
        self.pin = "PIN-" + secrets.token_hex(12)
        self.client_key = "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % secrets.token_hex(32)
        self.certificate = "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % secrets.token_hex(32)
        self.authority, self.contexts = None, {}
        self.sim = AwsSim.start(build)
        try:
            if tls:
                self.authority = Authority(self.base / "authority", "vouchsafe tests")
            self._set_up(rules or [RULE], config or {})
        except BaseException:
            self.close()
            raise

    # ---- setting up

    def _set_up(self, rules, config):
        self.account = self.sim.control("account", id=ACCOUNT)
        self.sim.control("role", account=ACCOUNT, name="web-tier", profiles=[{"name": "web-tier"}])
        self.write_policy(rules)
        self.config = {
            "node": "rp-1", "listen": "127.0.0.1:0", "ops_listen": "127.0.0.1:0", "deadline": "5s", "drain": "0s",
            "store": "sqlite:%s/vouchsafe.db" % self.state, "policy": "policy.json", "vault": "vault.json",
            "aws": {"accounts": {ACCOUNT: {"regions": [REGION]}}, "bucket": {"size": 10000, "per_second": 10000},
                    "endpoints": {"ec2": self.sim.url, "iam": self.sim.url, "sts": self.sim.url}},
            "identity_certificates": "certificates",
            "audit_access": [{"name": "tester", "role": "auditor",
                              "token_sha256": hashlib.sha256(self.token.encode()).hexdigest()}],
            # the tests come from few addresses
            "limits": {"per_address": 10000},
            "development": True, **(self._tls() if self.authority else {}), **config}
        self.write_config()
        (self.etc / "certificates").mkdir()
        self._write("certificates/%s.pem" % REGION, self.sim.certificate(REGION))
        self.write_vault()
        (self.vault / "tokens").mkdir()
        self._write("softhsm2.conf", "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
                    % self.vault)
        for name in ("hsm-a.pin", "hsm-a.so-pin"):
            path = self.vault / name
            path.write_text(secrets.token_hex(8) + "\n")
            path.chmod(0o400)
        self.token_pin = (self.vault / "hsm-a.pin").read_text().strip()
        self._write("token", self.token + "\n")
        if self.root:
            self._own(self.vault, MEMBER_UID)
            os.chown(self.state, SERVER_UID, SERVER_UID)
            os.chown(self.run_dir, MEMBER_UID, SERVER_UID)
            self.vault.chmod(0o700)
        self.state.chmod(0o750)
        self.run_dir.chmod(0o2750)

    def _tls(self):
        """The settings of both listeners, and the server's pair in its folder."""
        self.give_pair(self.authority.issue("server", "IP:127.0.0.1,DNS:localhost", "serverAuth"))
        pair = {"certificate": "server.pem", "key": "server.key"}
        return {"tls": pair, "ops_tls": {**pair, "client_ca": str(self.authority.certificate),
                                         "client_crl": str(self.authority.list)}}

    def give_pair(self, pair):
        """Puts it where the configuration says that the server's pair is, the key readable by the server alone."""
        for source, name, mode in ((pair.certificate, "server.pem", 0o644), (pair.key, "server.key", 0o400)):
            fresh = self.etc / (name + ".new")
            shutil.copy(source, fresh)
            fresh.chmod(mode)
            if self.root:
                os.chown(fresh, SERVER_UID, SERVER_UID)
            fresh.replace(self.etc / name)

    def _own(self, folder, uid):
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, uid, uid)

    def _write(self, name, text):
        path = self.etc / name
        path.write_text(text)
        path.chmod(0o644)

    def write_policy(self, rules):
        self._write("policy.json", json.dumps({"rules": rules}, indent=2))

    def write_config(self, **changes):
        self._write("vouchsafe.json", json.dumps({**self.config, **changes}, indent=2))

    def write_vault(self, name="vault.json", socket="hsm-a", signed=None, **changes):
        self._write(name, json.dumps({
            "vault": "5b0c7f0e-6c1e-4a53-9d53-0b6f5d1a7c11", "deadline": self.vault_deadline, "poll": "2s",
            "state": str(signed or self.signed), **changes,
            "members": [{"name": "hsm-a", "module": MODULE, "token": "vouchsafe-a",
                         "socket": str(self.run_dir / (socket + ".sock")), "pin_file": str(self.vault / "hsm-a.pin"),
                         "so_pin_file": str(self.vault / "hsm-a.so-pin"), "standby": False, "init": "if-blank"}]}))

    def set_up_vault(self):
        """vault apply and the three secrets."""
        self.cli("vault", "apply")
        self.put("hsm-partition-pin", "pin", self.pin)
        self.put("hsm-client-key", "private-key", self.client_key)
        self.put("hsm-client-cert", "certificate", self.certificate)

    def put(self, name, kind, value, *more):
        return self.cli("secret", "put", name, "--kind", kind, *more, input=value)

    # ---- processes

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items() if k in (
            "PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "TMPDIR", "LANG")}
        return {**clean, "HOME": "/nonexistent", "SOFTHSM2_CONF": str(self.etc / "softhsm2.conf"), **more}

    def _as(self, uid, command):
        if not self.root:
            return command
        return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups", "--", *command]

    def _start(self, name, uid, command, **environment):
        log = open(self.logs / (name + ".log"), "ab")
        process = subprocess.Popen(self._as(uid, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=self.environment(**environment), cwd="/")
        log.close()
        self.processes.append(process)
        return process

    def start_member(self, *more):
        self.member = self._start_member("member", "vault.json", *more)
        return self.member

    def _start_member(self, name, vault, *more):
        allowed = SERVER_UID if self.root else os.geteuid()
        return self._start(name, MEMBER_UID, self.member_under + [
            str(self.bin / "vouchsafe-vault"), "--member", "hsm-a", "--vault", str(self.etc / vault),
            "--allow-user", str(allowed), *more])

    def server_environment(self):
        own = {"AWS_ACCESS_KEY_ID": self.account["access_key_id"],
               "AWS_SECRET_ACCESS_KEY": self.account["secret_access_key"]}
        return {**(own if self.aws_environment is None else self.aws_environment), "http_proxy": "http://127.0.0.1:9",
                "https_proxy": "http://127.0.0.1:9"}

    def start_server(self, wait=True):
        before = len(self.log("server"))
        self.server = self._start_vouchsafed("server", "vouchsafe.json")
        if wait:
            self.wait_listening(before)
        return self.server

    def _start_vouchsafed(self, name, config, under=()):
        return self._start(name, SERVER_UID, [*self.server_under, *under, str(self.bin / "vouchsafed"), "--config",
                                              str(self.etc / config)], **self.server_environment())

    def wait_listening(self, since=0):
        ports = self._ports("server", self.server, since)
        self.port, self.ops_port = ports["api"], ports["ops"]

    def _ports(self, name, process, since):
        def both():
            found = {}
            for line in self.log(name)[since:].splitlines():
                if '"listening"' in line:
                    entry = json.loads(line)
                    found[entry["listener"]] = int(entry["address"].rsplit(":", 1)[1])
            if process.poll() is not None:
                raise AssertionError("the server ended with %s:\n%s" % (process.returncode, self.log(name)))
            return found if len(found) == 2 else None
        return wait_for("listening server", both)

    def copy_store(self, name):
        """A store of its own for start_node: the same vault and secrets, and from then on another truth, with a member's
        memory that begins there. No server may run."""
        signed = self.vault / ("signed-" + name)
        shutil.copytree(self.signed, signed, dirs_exist_ok=True)
        if self.root:
            self._own(signed, MEMBER_UID)
        for path in self.state.glob(name + ".db*"):
            path.unlink()  # the log of an earlier one would be taken for this one's
        for path in self.state.glob("vouchsafe.db*"):
            copy = shutil.copy(path, self.state / path.name.replace("vouchsafe", name))
            shutil.copystat(path, copy)
            if self.root:
                os.chown(copy, SERVER_UID, SERVER_UID)

    def _start_node_member(self, name):
        vault = "vault-%s.json" % name
        if not (self.etc / vault).exists():  # else it serves already
            self.write_vault(vault, socket=name, signed=self.vault / ("signed-" + name))
            self._start_member("member-" + name, vault)

    def start_node(self, name, **changes):
        """A server beside start_server's, on a store that copy_store has made, with a member process of its own whose
        memory begins with that store, unless the changes to the configuration name a store; (process, {"api": port,
        "ops": port})."""
        if "store" not in changes:
            self._start_node_member(name)
            changes.update(store="sqlite:%s/%s.db" % (self.state, name), vault="vault-%s.json" % name)
        process, ports = self.begin_node(name, **changes)
        return process, ports()

    def begin_node(self, name, under=(), **changes):
        """The same on the stack's own store, without waiting: (process, a function that waits and tells the ports).
        `under`: a command that runs it."""
        before = len(self.log(name))
        self._write(name + ".json", json.dumps({**self.config, "node": name, **changes}))
        process = self._start_vouchsafed(name, name + ".json", under)
        return process, lambda: self._ports(name, process, before)

    def start(self):
        """All of it."""
        self.set_up_vault()
        self.start_member()
        self.start_server()
        return self

    def stop(self, process, how=signal.SIGTERM):
        """Signals and waits; returns the exit code."""
        process.send_signal(how)
        return process.wait(SECONDS)

    def log(self, name):
        path = self.logs / (name + ".log")
        return path.read_text(errors="replace") if path.exists() else ""

    def tails(self):
        return "\n".join("--- %s\n%s" % (name, "\n".join(self.log(name).splitlines()[-12:]))
                         for name in ("server", "member"))

    def cli(self, *arguments, input=None, check=True):
        done = subprocess.run([str(self.bin / "vouchsafe"), *arguments, "--config", str(self.etc / "vouchsafe.json")],
                              input=input, text=True, capture_output=True, env=self.environment(), timeout=SECONDS)
        if check and done.returncode != 0:
            raise AssertionError("vouchsafe %s ended with %d\n%s%s"
                                 % (" ".join(arguments), done.returncode, done.stdout, done.stderr))
        return done

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self.sim.close()
        shutil.rmtree(self.base, ignore_errors=True)

    # ---- instances and agents

    def address(self):
        self.addresses += 1
        return "127.0.%d.%d" % (1 + self.addresses // 200, 1 + self.addresses % 200)

    def launch(self, **changes):
        return self.sim.launch(**{**GOOD, "address": self.address(), **changes})

    def url(self, port=None):
        return "%s://127.0.0.1:%d" % ("https" if self.authority else "http", port or self.port)

    def agent(self, instance, out, *more, role="web-tier", server=None, state=None, deadline="20s"):
        """Runs the C agent as that instance; returns the finished process."""
        if self.authority and not server:
            more = ["--ca", str(self.authority.certificate), *more]
        done = subprocess.run(
            [str(self.bin / "vouchsafe-agent"), "--server", server or self.url(),
             "--role", role, "--out", str(out), "--state", str(state or self.base / "agent" / instance["address"]),
             "--source", instance["address"], "--deadline", deadline, *more],
            env=self.environment(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:%d" % self.sim.imds_port),
            capture_output=True, text=True, timeout=SECONDS * 2)
        tap.came("agent's exit %d" % done.returncode)
        return done

    def key(self):
        return Key(self.keys)

    def assertion(self, instance, **changes):
        return {"instance-id": instance["id"], "public-hostname": instance["public_hostname"],
                "local-hostname": instance["local_hostname"], "reservation-id": instance["reservation"],
                "instance-type": instance["type"], "role": "web-tier", "source-ip": instance["address"],
                "account-id": ACCOUNT, "region": REGION, **changes}

    def context(self, pair=None):
        """What a client trusts, and its own certificate where it has one; None without TLS."""
        if self.authority and pair not in self.contexts:
            context = ssl.create_default_context(cafile=str(self.authority.certificate))
            if pair:
                context.load_cert_chain(pair.certificate, pair.key)
            self.contexts[pair] = context
        return self.contexts.get(pair)

    def connection(self, port=None, source=None, pair=None, timeout=SECONDS):
        """An http.client connection to a listener, in its language; to the API's where no port is given."""
        more = dict(timeout=timeout, source_address=(source, 0) if source else None)
        if self.authority:
            return http.client.HTTPSConnection("127.0.0.1", port or self.port, context=self.context(pair), **more)
        return http.client.HTTPConnection("127.0.0.1", port or self.port, **more)

    def request(self, method, path, *arguments, **options):
        """(status, headers, parsed body); what came of it is counted."""
        try:
            status, headers, body = self.ask(method, path, *arguments, **options)
        except OSError:
            tap.came("closed")
            raise
        if path.startswith("/v1/") and status != 201:  # a challenge is no answer yet
            code = body.get("code") if isinstance(body, dict) else None
            tap.came("%d %s" % (status, code) if code else str(status))
        return status, headers, body

    def ask(self, method, path, body=None, source=None, headers=None, port=None, timeout=SECONDS, pair=None):
        connection = self.connection(port, source, pair, timeout)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if headers is None else headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, dict(response.getheaders()), json.loads(text) if text else None
        finally:
            connection.close()

    def release_body(self, instance, key, **changes):
        return json.dumps({"assertion": self.assertion(instance, **changes), "csr": key.csr}).encode()

    def release(self, instance, key, source=None, **changes):
        body = self.release_body(instance, key, **changes)
        return self.request("POST", "/v1/releases", body, source or instance["address"])

    def granted(self, instance, key):
        """A release that must succeed; returns the answer with what was inside."""
        status, _, answer = self.release(instance, key)
        if status != 200:
            raise AssertionError("expected a release, got %s %s" % (status, answer))
        answer["inside"] = key.open(answer["sealed"])
        return answer

    def events(self, **filters):
        """Events, oldest first."""
        found, cursor = [], ""
        query = "&".join(["order=ascending", "limit=200"] +
                         ["%s=%s" % (k.replace("_", "-"), v) for k, v in filters.items()])
        while True:
            status, _, answer = self.ask("GET", "/v1/audit/events?%s%s" % (query, cursor), port=self.ops_port,
                                         headers={"Authorization": "Bearer " + self.token})
            if status != 200:
                raise AssertionError("audit query: %s %s" % (status, answer))
            found += answer["events"]
            if "next_cursor" not in answer:
                return found
            cursor = "&cursor=" + answer["next_cursor"]

    def instance_events(self, instance):
        return self.events(instance_id=instance["id"])
