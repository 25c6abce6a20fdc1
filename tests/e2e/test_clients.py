"""Clients that are not ours: docs/examples/agent.sh (a shell, curl, openssl) against the real server and against
hostile ones, Debian's awscli against the simulated AWS, the openssl command on an answer."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import socketserver
import ssl
import stat
import subprocess
import sys
import threading

import tap
from stack import ACCOUNT, BOUND, REGION, RULE, SECONDS, SIGNED, main, openssl
from tap import Skip, equal

STACK = None
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
AGENT = ROOT / "docs/examples/agent.sh"
AWS = "/usr/bin/aws"  # Debian's, whatever else is in the path

ODD_TEXT = ('quotes " \' `id` $HOME $(id) \\ \\\\ \\n \\u0041\n\tline two\r\n%s %d \x01\x1f\x7f é € \U0001f600 " '
            'end\n\n')
ODD_BINARY = b"\x00\x01nul\x00 and \xff\xfe no utf-8 \xc3\x28" + bytes(range(256)) + b"\n\x00"
LARGE = random.Random(7).randbytes(40000)
ODD = {"odd-text": ODD_TEXT.encode(), "odd-binary": ODD_BINARY, "large": LARGE, "blank": b" ", "a": b"\n"}
SECRETS = RULE["secrets"] + sorted(ODD)


def out(name):
    return STACK.base / "out" / name


def state(name):
    return STACK.base / "agent" / name


def content(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()} if folder.exists() else {}


def expected():
    return {**ODD, "hsm-partition-pin": STACK.pin.encode(), "hsm-client-key": STACK.client_key.encode(),
            "hsm-client-cert": STACK.certificate.encode()}


def shell_command(instance, name, *more, server=None, deadline="20s", role="web-tier"):
    return ["/bin/sh", str(AGENT), "--server", server or "http://127.0.0.1:%d" % STACK.port, "--role", role,
            "--out", str(out(name)), "--state=" + str(state(name)), "--source", instance["address"],
            "--deadline", deadline, *more]


def shell_environment(**more):
    return STACK.environment(AWS_EC2_METADATA_SERVICE_ENDPOINT=STACK.sim.imds_url, **more)


def shell_agent(instance, name, *more, environment=None, **options):
    """Runs agent.sh as that instance; returns the finished process."""
    done = subprocess.run(
        shell_command(instance, name, *more, **options), capture_output=True, text=True, errors="replace",
        timeout=SECONDS * 2, stdin=subprocess.DEVNULL, env=shell_environment(**(environment or {})))
    tap.came("agent's exit %d" % done.returncode)
    return done


def boot(name, *more, instance=None, code=0, **options):
    """An instance's agent, which must end with that code and leave no working file; (instance, finished process)."""
    instance = instance or STACK.launch()
    done = shell_agent(instance, name, *more, **options)
    if done.returncode != code:
        raise AssertionError("agent.sh ended with %d, not %d:\n%s" % (done.returncode, code, done.stderr))
    for folder in (state(name), out(name)):
        if folder.exists():
            equal([n for n in os.listdir(folder) if n.startswith(("agent-work", "."))], [], "left behind")
    return instance, done


def c_agent(instance, name, **options):
    return STACK.agent(instance, out(name), state=state(name), **options)


# ---- the shell agent and the real server

def store_odd_values():
    for name, value in ODD.items():
        path = STACK.base / ("value-" + name)
        path.write_bytes(value)
        STACK.cli("secret", "put", name, "--kind", "opaque", "--file", str(path))
        path.unlink()


def test_shell_agent_boot():
    instance, done = boot("boot")
    equal(content(out("boot")), expected())
    for name in SECRETS:
        equal(stat.S_IMODE(os.stat(out("boot") / name).st_mode), 0o400, name)
    equal(stat.S_IMODE(os.stat(state("boot")).st_mode), 0o700)
    equal(os.listdir(state("boot")), [], "the key is gone once acknowledged")
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.acknowledged"])
    assert STACK.pin not in done.stdout + done.stderr


def test_both_agents_write_the_same():
    boot("shell")
    instance = STACK.launch()
    equal(c_agent(instance, "c").returncode, 0)
    equal(content(out("c")), content(out("shell")))


def test_openssl_opens_the_answer():
    """What the values look like on the wire: text as text, anything else as base64; no reader but openssl."""
    inside = STACK.granted(STACK.launch(), STACK.key())["inside"]
    values = {s["name"]: s for s in inside["secrets"]}
    equal({n: values[n]["encoding"] for n in ODD},
          {"odd-text": "utf-8", "odd-binary": "base64", "large": "base64", "blank": "utf-8", "a": "utf-8"})
    equal(values["odd-text"]["value"], ODD_TEXT)
    equal(base64.b64decode(values["odd-binary"]["value"], validate=True), ODD_BINARY)


def test_shell_agent_sends_the_signed_document():
    instance = STACK.launch(role="signed-tier")
    boot("signed", instance=instance, role="signed-tier")
    event = STACK.instance_events(instance)[0]
    equal((event["event"], event["policy"]["rule"]), ("release.granted", "signed"))
    passed = {c["name"] for c in event["checks"] if c["result"] == "passed"}
    assert {"document-instance-id", "document-private-ip"} <= passed, sorted(passed)


def test_shell_agent_has_no_proof_of_the_caller():
    instance = STACK.launch(role="bound-tier")
    boot("bound", instance=instance, role="bound-tier", code=77)
    equal(STACK.instance_events(instance)[-1]["reason"], "evidence-missing")


def test_second_key_is_refused():
    instance, _ = boot("first")
    _, done = boot("second", instance=instance, code=77)
    assert "already" in done.stderr, done.stderr
    equal(content(out("second")), {})
    equal(STACK.instance_events(instance)[-1]["event"], "release.conflict")


def test_denied():
    _, done = boot("denied", instance=STACK.launch(image="ami-0fffffffffffffff0"), code=77)
    assert "ami-" not in done.stderr, done.stderr


def test_exit_codes():
    boot("ghost", instance={"address": "127.88.0.1"}, code=69, deadline="3s")
    instance = STACK.launch()
    for more, options in (((), {"server": "http://192.0.2.1:8443"}), ((), {"server": "http://127.0.0.1.example.com"}),
                          ((), {"server": "http://127.0.0.1:1/path"}), ((), {"server": "http://u@127.0.0.1:1"}),
                          ((), {"server": "file:///etc/passwd"}), ((), {"role": "not a role"}),
                          ((), {"deadline": "5"}), ((), {"deadline": "2s2s"}), ((), {"deadline": "25h"}),
                          (("--no-such", "x"), {}), (("--role", "web-tier"), {}), (("--ca",), {}),
                          (("--ca", "/nonexistent"), {})):
        boot("wrong", *more, instance=instance, code=78, **options)
    out("open").mkdir()
    out("open").chmod(0o777)
    boot("open", instance=instance, code=78)
    boot("elsewhere", instance={**instance, "address": STACK.launch()["address"]}, code=77, role="other")
    equal(subprocess.run(["/bin/sh", str(AGENT), "--help"], capture_output=True).returncode, 0)


def test_gives_up_and_goes_on_with_the_same_key():
    """Nobody listens, then the C agent goes on where the shell agent stopped: one key, one release."""
    instance, _ = boot("later", instance=STACK.launch(), server="http://127.0.0.1:9", deadline="2s", code=75)
    equal(os.listdir(state("later")), ["agent-key.pem"])
    equal(stat.S_IMODE(os.stat(state("later") / "agent-key.pem").st_mode), 0o400)
    done = c_agent(instance, "later")
    equal(done.returncode, 0, done.stderr)
    equal(content(out("later")), expected())


def test_a_key_that_is_none_is_not_replaced():
    instance = STACK.launch()
    boot("bad-key", instance=instance, server="http://127.0.0.1:9", deadline="1s", code=75)
    key = state("bad-key") / "agent-key.pem"
    good = key.read_bytes()
    for bad in (b"", good[:100], openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout")):
        key.unlink()
        key.write_bytes(bad)
        key.chmod(0o400)
        boot("bad-key", instance=instance, code=78)
        equal(key.read_bytes(), bad)
    key.unlink()
    key.write_bytes(good)
    key.chmod(0o444)
    boot("bad-key", instance=instance, code=78)
    key.chmod(0o400)
    boot("bad-key", instance=instance)


def test_what_a_killed_run_left_is_removed():
    instance = STACK.launch()
    boot("left", instance=instance, server="http://127.0.0.1:9", deadline="1s", code=75)
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [state("left") / ("agent-work.%d" % dead.pid), out("left") / (".vouchsafe.%d" % dead.pid)]
    for folder in left:
        folder.mkdir(mode=0o700)
        (folder / "secret").write_text(STACK.pin)
    boot("left", instance=instance)
    equal([folder.exists() for folder in left], [False, False])


def test_stops_when_told_and_goes_on_later():
    """SIGTERM while it waits: nothing is left but the key."""
    instance = STACK.launch(state="pending")
    command = shell_command(instance, "told", deadline="60s")
    process = subprocess.Popen(command, env=shell_environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        for line in process.stderr:
            if b"not-visible-yet" in line:
                break
    finally:
        process.terminate()
        process.stderr.close()
    equal(process.wait(SECONDS), 75)
    equal(os.listdir(state("told")), ["agent-key.pem"])
    STACK.sim.control("set", instance=instance["id"], state="running")
    boot("told", instance=instance)


def test_waits_for_what_is_not_visible_yet():
    """The server asks EC2 four times for one request: a refusal that may be asked again, then the release."""
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "pending", instance=instance["id"], times=5)
    _, done = boot("pending", instance=instance, deadline="40s")
    STACK.sim.clear_faults()
    assert "not-visible-yet" in done.stderr, done.stderr


def test_shellcheck_and_dash():
    if not shutil.which("shellcheck") or not shutil.which("dash"):
        raise Skip("no shellcheck or no dash here")
    done = subprocess.run(["shellcheck", "--shell=sh", str(AGENT)], capture_output=True, text=True)
    equal((done.returncode, done.stdout), (0, ""))
    equal(subprocess.run(["dash", "-n", str(AGENT)]).returncode, 0)
    assert os.access(AGENT, os.X_OK)


# ---- hostile servers

class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers with what the test's function makes of the request; counts. Of challenges it knows nothing."""
    make = None
    asked = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, answer = 404, {}, b""
        if self.path != "/v1/challenges":
            Hostile.asked += 1
            status, headers, answer = Hostile.make(self.path, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(OSError):  # an agent that has read enough
            self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def hostile(make, certificate=None):
    """Its base URL. With a certificate: (its chain and key's path)."""
    Hostile.make, Hostile.asked = staticmethod(make), 0
    # not an HTTPServer: that one asks for its own name by DNS
    server = socketserver.TCPServer(("127.0.0.1", 0), Hostile)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield "%s://127.0.0.1:%d" % ("https" if certificate else "http", server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def assertion_sha256(assertion):
    return hashlib.sha256(b"".join(len(v).to_bytes(4, "big") + v.encode() for v in assertion.values())).hexdigest()


class Sealer:
    """Seals anything to the key of a CSR, as anybody can who has seen it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ca",
                "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))
        (folder / "extensions").write_text("subjectKeyIdentifier=hash\n")

    def seal(self, csr, inside, *options):
        (self.folder / "csr").write_text(csr)
        openssl("x509", "-req", "-in", str(self.folder / "csr"), "-CA", str(self.folder / "ca.pem"), "-CAkey",
                str(self.folder / "ca.key"), "-extfile", str(self.folder / "extensions"), "-out",
                str(self.folder / "cert.pem"))
        return openssl("cms", "-encrypt", "-binary", "-outform", "DER", *(options or ("-aes-256-gcm",)), "-keyid",
                       "-recip", str(self.folder / "cert.pem"), input=inside)


RELEASE = "019a0000-0000-7000-8000-000000000001"


def secret(name, value="x", **changes):
    return {"name": name, "kind": "pin", "version": 1, "encoding": "utf-8", "value": value, **changes}


def good_inside(request):
    assertion = request["assertion"]
    return {"release_id": RELEASE, "instance-id": assertion["instance-id"],
            "assertion_sha256": assertion_sha256(assertion), "ack": "abc_-9", "secrets": [secret("pin")]}


def sealing(sealer, inside=lambda good: good, sealed=lambda der: der, options=()):
    """A server that seals `inside` of the good document, and spoils the envelope by `sealed`."""
    def make(path, body):
        request = json.loads(body)
        if path.endswith("/ack"):
            equal((path, request), ("/v1/releases/%s/ack" % RELEASE, {"ack": "abc_-9"}))
            return 204, {}, b""
        text = inside(good_inside(request))
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        der = sealed(sealer.seal(request["csr"], text, *options))
        answer = {"release_id": RELEASE, "sealed": base64.b64encode(der).decode(), "secrets": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
    return make


def both_refuse(name, instance, make, code=76):
    """The shell agent and the C agent alike, and nothing is written anywhere."""
    before = sorted(os.listdir(STACK.base))
    with hostile(make) as url:
        boot(name, instance=instance, server=url, code=code, deadline="10s")
        asked = Hostile.asked
        done = c_agent(instance, name, server=url, deadline="10s")
    equal((done.returncode, asked), (code, 1), done.stderr)
    equal(content(out(name)), {})
    equal(os.listdir(state(name)), ["agent-key.pem"], "the key stays")
    equal(sorted(os.listdir(STACK.base)), before)


def test_attack_43_an_impostor_server():
    instance = STACK.launch()
    stolen = STACK.granted(STACK.launch(), STACK.key())
    stolen.pop("inside")
    answer = json.dumps(stolen).encode()
    both_refuse("impostor", instance, lambda *_: (200, {"Content-Type": "application/json"}, answer))
    boot("impostor", instance=instance)  # and the true server serves it all the same


def test_attack_43_sealed_for_somebody_else():
    sealer, instance = Sealer(STACK.base / "sealer-else"), STACK.launch()
    for changes in ({"release_id": RELEASE[:-1] + "2"}, {"instance-id": "i-0fffffffffffffff0"},
                    {"assertion_sha256": "0" * 64}, {"assertion_sha256": ""}, {"ack": "a b"}, {"ack": ""},
                    {"ack": 'x"}'}, {"ack": "a" * 129}, {"release_id": None}, {"instance-id": 1}):
        both_refuse("else", instance, sealing(sealer, lambda good: {**good, **changes}))


def test_hostile_names_and_values():
    sealer, instance = Sealer(STACK.base / "sealer-names"), STACK.launch()
    lists = [[secret(name)] for name in ("../evil", "a/b", "/etc/evil", "..", "", "-n", "A", "a" * 64, "a\nb", "a\n",
                                         "a b", "$(touch evil)", "a;b", "*", "\u00e9", ".a")]
    lists += [[], {"0": secret("a")}, "x", None, [secret("a"), secret("a")], [secret("a"), 7],
              [secret("s%d" % i) for i in range(65)]]
    lists += [[secret("a", **changes)] for changes in (
        {"value": ""}, {"value": 7}, {"value": None}, {"encoding": "hex"}, {"encoding": None}, {"kind": "a b"},
        {"version": 0}, {"version": "1"}, {"version": None}, {"encoding": "base64", "value": "YQ"},
        {"encoding": "base64", "value": "YR=="}, {"encoding": "base64", "value": "YQ==\n"},
        {"encoding": "base64", "value": "YQ==YQ=="}, {"encoding": "base64", "value": "Y Q="},
        {"encoding": "base64", "value": "===="}, {"encoding": "base64", "value": "a-_b"})]
    for secrets in lists:
        both_refuse("names", instance, sealing(sealer, lambda good: {**good, "secrets": secrets}))


def test_attack_36_json_with_two_readings():
    sealer, instance = Sealer(STACK.base / "sealer-json"), STACK.launch()

    def value(raw):
        return lambda good: json.dumps(good).encode().replace(b'"value": "x"', b'"value": ' + raw)

    spoils = [value(raw) for raw in (
        b'"a\\u0000b"', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\udc00"', b'"a\nb"', b'"a\x00b"', b'"\\x41"',
        b'"\\u00g1"', b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"'x'", b"01",
        b"NaN", b'"x",', b'"x" "y"', b'"x"\x0b', b'"x", "value": "y"', b'"x", "v\\u0061lue": "y"')]
    spoils += [lambda good: json.dumps(good).encode() + b"x", lambda good: b"\xef\xbb\xbf" + json.dumps(good).encode(),
               lambda good: json.dumps(good).encode()[:-1], lambda good: json.dumps([good]).encode(),
               lambda good: json.dumps(good).encode() + b"\x00", lambda good: b"", lambda good: b"[" * 50000]
    for spoil in spoils:
        both_refuse("json", instance, sealing(sealer, spoil))


def test_every_escape_is_read_alike():
    """What any JSON writer may send: all escapes, pairs, white space, more members than we know."""
    sealer, instance = Sealer(STACK.base / "sealer-good"), STACK.launch()
    raw = (b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\xc3\xa9\xf0\x9f\x98\x80\x7f\\u0001 `id` '
           b'$(id) \\n\\u000a"')

    def inside(good):
        text = json.dumps({**good, "more": [1.5e3, True, None, {"x": []}]}, indent=2).encode()
        return b" \r\n\t" + text.replace(b'"value": "x"', b'"value" :\t' + raw) + b"\n"

    for name, run in (("escapes", shell_agent), ("escapes-c", c_agent)):
        with hostile(sealing(sealer, inside)) as url:
            done = run(instance, name, server=url)
        equal(done.returncode, 0, done.stderr)
        equal(content(out(name)), {"pin": json.loads(raw).encode()}, name)


def test_envelopes_of_other_kinds():
    sealer, instance = Sealer(STACK.base / "sealer-kinds"), STACK.launch()

    def flipped(at):
        return lambda der: der[:at] + bytes([der[at] ^ 1]) + der[at + 1:]

    both_refuse("kinds", instance, sealing(sealer, options=("-aes-256-cbc",)))
    both_refuse("kinds", instance, sealing(sealer, options=("-aes-128-gcm",)))
    # the content's end, both ends of the tag; 18 bytes from the end begins the tag with its type and length
    for spoil in (flipped(-19), flipped(-16), flipped(-2), lambda der: der + b"\x00", lambda der: der[:-1],
                  lambda der: b"", lambda der: b"\x30\x80"):
        both_refuse("kinds", instance, sealing(sealer, sealed=spoil))
    with hostile(sealing(sealer)) as url:  # it is the spoiling that was refused
        boot("kinds", instance=instance, server=url)


def test_answers_of_no_vouchsafe_server():
    instance = STACK.launch()
    plain = {"Content-Type": "application/json"}
    uuid, sealed = '"release_id":"%s"' % RELEASE, '"sealed":"YQ=="'
    for status, answer in ((200, b""), (200, b"{}"), (200, b"<html>"), (204, b""), (302, b""), (404, b""), (400, b"{}"),
                           (401, b'{"code":"unauthorized"}'), (200, ('{%s,"sealed":""}' % uuid).encode()),
                           (200, ('{"release_id":"../../%s",%s}' % (RELEASE[6:], sealed)).encode()),
                           (200, ('{%s,%s,%s}' % (uuid, sealed, sealed)).encode()),
                           (200, b'{"sealed":"' + b"A" * (9 << 20) + b'"}')):
        both_refuse("answers", instance, lambda *_: (status, {**plain, "Location": "http://127.0.0.1:1/"}, answer))


def test_retry_after_is_honoured_inside_the_deadline():
    instance = STACK.launch()
    problem = b'{"code":"overloaded","request_id":"x","retryable":true}'
    with hostile(lambda *_: (503, {"Retry-After": "60"}, problem)) as url:
        _, done = boot("later-than-the-end", instance=instance, server=url, deadline="5s", code=75)
        equal(Hostile.asked, 1, "asked again before the time")
    assert "overloaded" in done.stderr, done.stderr
    sealer, answers = Sealer(STACK.base / "sealer-retry"), []

    def make(path, body):
        answers.append(path)
        early = {1: (503, {"Retry-After": "1"}, problem), 2: (500, {}, b"x"),
                 3: (429, {"Retry-After": "no number"}, b"")}
        return early.get(len(answers)) or sealing(sealer)(path, body)

    with hostile(make) as url:
        boot("again", instance=instance, server=url, deadline="60s")
    equal(answers, ["/v1/releases"] * 4 + ["/v1/releases/%s/ack" % RELEASE])


def test_https_with_a_root_of_its_own():
    """A server whose root is --ca is trusted, any other is not; the environment has no say."""
    folder, instance = STACK.base / "tls", STACK.launch()
    sealer = Sealer(folder)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "server.key"), "-out",
            str(folder / "root.pem"))
    chain = folder / "server.pem"
    chain.write_bytes((folder / "server.key").read_bytes() + (folder / "root.pem").read_bytes())
    lying = {"CURL_CA_BUNDLE": str(folder / "root.pem"), "SSL_CERT_FILE": str(folder / "root.pem"),
             "https_proxy": "http://127.0.0.1:9", "SSLKEYLOGFILE": str(folder / "keylog")}
    with hostile(sealing(sealer), certificate=str(chain)) as url:
        for more in ((), ("--ca", str(folder / "ca.pem"))):
            boot("tls", *more, instance=instance, server=url, deadline="2s", code=75, environment=lying)
        equal(Hostile.asked, 0)
        boot("tls", "--ca", str(folder / "root.pem"), instance=instance, server=url, environment=lying)
    equal(content(out("tls")), {"pin": b"x"})
    assert not (folder / "keylog").exists()


def test_attack_40_nothing_secret_in_arguments_or_environment():
    """Every program that the agent starts is recorded with its arguments and environment by a stand-in."""
    folder = STACK.base / "recorded"
    folder.mkdir()
    record = folder / "record"
    for tool in ("curl", "openssl", "awk", "od", "cmp", "cat", "mv", "chmod", "sync", "rm", "ln", "tr", "wc", "grep",
                 "find"):
        (folder / tool).write_text('#!/bin/sh\n{ printf "%%s\\n" "%s $*"; env; } >>%s\nexec %s "$@"\n'
                                   % (tool, record, shutil.which(tool)))
        (folder / tool).chmod(0o755)
    boot("recorded", environment={"PATH": "%s:%s" % (folder, os.environ["PATH"])})
    seen = record.read_bytes()
    assert b"cms -decrypt" in seen and b"curl -q" in seen, seen[:2000]
    key = STACK.client_key.splitlines()[1].encode()
    for value in (STACK.pin.encode(), key, b"quotes ", base64.b64encode(STACK.pin.encode()), ODD_BINARY[1:20],
                  base64.b64encode(ODD_BINARY)[:40], b"metadata-token: ", b'"ack"'):
        assert value not in seen, value


# ---- Debian's awscli and the simulated AWS

def aws(*arguments, code=0):
    """Runs Debian's awscli against the simulated AWS; what it prints, parsed."""
    if not os.path.exists(AWS):
        raise Skip("no awscli here (Debian package awscli)")
    done = subprocess.run(
        [AWS, "--endpoint-url", STACK.sim.url, "--region", REGION, "--output", "json", "--no-cli-pager", *arguments],
        capture_output=True, text=True, timeout=SECONDS * 2, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
             "AWS_ACCESS_KEY_ID": STACK.account["access_key_id"],
             "AWS_SECRET_ACCESS_KEY": STACK.account["secret_access_key"]})
    equal(done.returncode, code, done.stdout + done.stderr)
    return json.loads(done.stdout) if code == 0 else done.stderr


def listed(answer):
    return [i for r in answer["Reservations"] for i in r["Instances"]]


def test_awscli_describes_an_instance():
    instance = STACK.launch()
    found = aws("ec2", "describe-instances", "--filters", "Name=instance-id,Values=" + instance["id"],
                "Name=instance-state-name,Values=pending,running")
    equal([(r["OwnerId"], r["ReservationId"]) for r in found["Reservations"]], [(ACCOUNT, instance["reservation"])])
    shown = listed(found)[0]
    equal((shown["InstanceId"], shown["InstanceType"], shown["PrivateIpAddress"], shown["PrivateDnsName"]),
          (instance["id"], instance["type"], instance["address"], instance["local_hostname"]))
    equal(shown["State"]["Name"], "running")
    equal(shown["MetadataOptions"]["HttpTokens"], "required")
    equal(shown["IamInstanceProfile"]["Arn"], "arn:aws:iam::%s:instance-profile/web-tier" % ACCOUNT)
    assert {"Key": "env", "Value": "prod"} in shown["Tags"], shown["Tags"]
    equal([i["Attachment"]["DeviceIndex"] for i in shown["NetworkInterfaces"]], [0])
    equal(listed(aws("ec2", "describe-instances", "--instance-ids", instance["id"]))[0], shown)


def test_awscli_filters_and_pages():
    ids = sorted(STACK.launch()["id"] for _ in range(12))
    stopped = STACK.launch(state="stopped")["id"]
    running = ("Name=instance-state-name,Values=running", "Name=instance-id,Values=" + ",".join(ids + [stopped]))
    before = STACK.sim.counters()["DescribeInstances"]["calls"]
    equal(sorted(i["InstanceId"] for i in listed(aws("ec2", "describe-instances", "--page-size", "5", "--filters",
                                                     *running))), ids)
    assert STACK.sim.counters()["DescribeInstances"]["calls"] >= before + 3, "it came in one page"
    first = aws("ec2", "describe-instances", "--max-items", "7", "--filters", *running)
    rest = aws("ec2", "describe-instances", "--starting-token", first["NextToken"], "--filters", *running)
    equal(len(listed(first)), 7)
    equal(sorted(i["InstanceId"] for i in listed(first) + listed(rest)), ids)
    assert "InvalidInstanceID.NotFound" in aws("ec2", "describe-instances", "--instance-ids", "i-0ffffffffffffffff",
                                               code=254)


def test_awscli_lists_profiles_of_a_role():
    names = ["fleet-%d" % i for i in range(5)]
    STACK.sim.control("role", account=ACCOUNT, name="fleet", profiles=[{"name": n} for n in names])
    for more in ((), ("--page-size", "2")):
        found = aws("iam", "list-instance-profiles-for-role", "--role-name", "fleet", *more)
        equal([p["InstanceProfileName"] for p in found["InstanceProfiles"]], names)
    equal([p["Roles"][0]["RoleName"] for p in found["InstanceProfiles"]], ["fleet"] * 5)
    assert "NoSuchEntity" in aws("iam", "list-instance-profiles-for-role", "--role-name", "nobody", code=254)


if __name__ == "__main__":
    sys.exit(main(globals(), rules=[{**RULE, "secrets": SECRETS}, SIGNED, BOUND], sunk=True, ready=store_odd_values))
