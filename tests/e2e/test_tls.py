"""TLS in the process: ATTACKS.md 37, releases, client certificates and roles on the ops listener, new certificates with
no connection dropped, and what it does not speak."""
import concurrent.futures
import contextlib
import datetime
import hashlib
import json
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import tap
from authority import Authority
from stack import SECONDS, Stack, cpu_share, main, openssl, wait_for
from tap import equal

STACK = None
KEYS = []
BUSY = 0.08  # of a processor: more than anything here may take, less than what spins
LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
WATCHED = ("/metrics", "/readyz?verbose", "/v1/audit/events?limit=1")
TOKENS = {role: secrets.token_hex(16) for role in ("auditor", "on-call", "operator")}


def hello():
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def connect(port, source=None):
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0) if source else None)


def status(path, pair=None, token=None, port=None, version=None):
    """What the ops listener says to that client, as a number."""
    context = STACK.context(pair)
    if version:
        context = ssl.create_default_context(cafile=str(STACK.authority.certificate))
        context.minimum_version = context.maximum_version = version
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
    connection = STACK.connection(port or STACK.ops_port, pair=pair)
    connection._context = context
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
        response = connection.getresponse()
        response.read()
        tap.came("%d" % response.status)
        return response.status


def log_grows(event, before, n=1):
    """The lines of that event since, of which there have to be n."""
    def found():
        lines = [json.loads(line) for line in STACK.log("server")[before:].splitlines() if '"%s"' % event in line]
        return lines if len(lines) >= n else None
    return wait_for("%d lines of %s" % (n, event), found)


def reload(event="reloaded", n=1):
    before = len(STACK.log("server"))
    STACK.server.send_signal(signal.SIGHUP)
    return log_grows(event, before, n)


def reload_all():
    """Until rules and both listeners say so."""
    def all_three(lines=None):
        return {line.get("listener", "rules") for line in lines}
    before = len(STACK.log("server"))
    STACK.server.send_signal(signal.SIGHUP)
    wait_for("reload", lambda: len(all_three(log_grows("reloaded", before))) == 3)


def restart(**changes):
    if STACK.server.poll() is None:
        STACK.stop(STACK.server)
    STACK.write_config(**changes)
    STACK.start_server()


# ---- six bytes

def test_attack_37_six_bytes_of_a_hello():
    """Parts of a hello, on both listeners, one after another and all at once: nobody spins, others are served."""
    whole = hello()
    for parts in ([6], [0, 1, 2, 5, 6, 7, 9, 11, 43, len(whole) - 1] * 5):
        with contextlib.ExitStack() as opened:
            for port in (STACK.port, STACK.ops_port):
                for part in parts:
                    opened.enter_context(connect(port, "127.0.0.9")).sendall(whole[:part])
            share = cpu_share(STACK.server, 2)
            print("# %d parts of a hello: %.1f %% of a processor" % (len(parts) * 2, share * 100))
            assert share < BUSY, "%.0f %% of a processor" % (share * 100)
            began = time.monotonic()
            equal(STACK.release(STACK.launch(), KEYS[0])[0], 200)
            equal(status("/livez"), 200)
            assert time.monotonic() - began < 1, time.monotonic() - began


def test_a_hello_in_pieces_is_one():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = STACK.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with connect(STACK.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send():
            for byte in outgoing.read():
                connection.sendall(bytes([byte]))

        def step(what):
            while True:
                try:
                    return what()
                except ssl.SSLWantReadError:
                    send()
                    incoming.write(connection.recv(65536))
        step(tls.do_handshake)
        tls.write(LIVE)
        send()
        assert b" 200 " in step(lambda: tls.read(65536))


# ---- agents

def test_agents_over_tls():
    instance = STACK.launch()
    out = STACK.base / "out" / "tls"
    done = STACK.agent(instance, out)
    equal(done.returncode, 0, done.stderr)
    equal((out / "hsm-partition-pin").read_text(), STACK.pin)
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.acknowledged"])
    # an agent that trusts others gets nothing, and nothing is burned
    other = Authority(STACK.base / "strangers", "another authority")
    instance = STACK.launch()
    done = STACK.agent(instance, STACK.base / "out" / "refused", "--ca", str(other.certificate), server=STACK.url(),
                       deadline="2s")
    equal(done.returncode, 75, done.stderr)
    equal(STACK.instance_events(instance), [])
    equal(STACK.release(instance, KEYS[0])[0], 200)
    other.close()


# ---- who may use the ops listener

class Clients:
    """Certificates, good and bad, and what each may ask for of WATCHED."""

    def __init__(self, authority, strangers):
        now = datetime.datetime.utcnow()
        day = datetime.timedelta(days=1)
        watch = "DNS:a.audit.example.com"
        may_all, may_read, nobody = (200, 200, 200), (403, 403, 200), (401, 401, 401)
        issue = authority.issue
        self.rows = {
            "on call": (issue("on-call", watch), may_all),
            "on call, without a usage": (issue("no-usage", "DNS:B.Audit.example.COM", usage=""), may_all),
            "operator": (issue("operator", "URI:spiffe://example/operator"), may_all),
            "auditor": (issue("auditor", "email:auditor@example.com"), may_read),
            "on call, an RSA key": (issue("rsa", "DNS:rsa.audit.example.com", kind="rsa"), may_all),
            "nobody": (issue("nobody", "DNS:nobody.example.com"), nobody),
            "expired": (issue("expired", watch, begins=now - 2 * day, ends=now - day), nobody),
            "not yet valid": (issue("early", watch, begins=now + day, ends=now + 2 * day), nobody),
            "for servers": (issue("for-servers", watch, usage="serverAuth"), nobody),
            "of another authority": (strangers.issue("stranger", watch), nobody),
            "CN alone": (issue("cn", subject="/CN=a.audit.example.com"), nobody),
            "a label too many": (issue("deep", "DNS:b.a.audit.example.com"), nobody),
            "no label": (issue("bare", "DNS:audit.example.com"), nobody),
            "a wildcard": (issue("wildcard", "DNS:*.audit.example.com"), nobody),
            "a name that ends alike": (issue("alike", "DNS:a.evilaudit.example.com"), nobody),
            "a name that goes on": (issue("longer", "DNS:a.audit.example.com.evil.com"), nobody),
        }


def access():
    tokens = [{"name": "t-" + role, "role": role, "token_sha256": hashlib.sha256(token.encode()).hexdigest()}
              for role, token in TOKENS.items()]
    return STACK.config["audit_access"] + tokens + [
        {"name": "watch", "role": "on-call", "certificate": {"dns": "*.audit.example.com"}},
        {"name": "chief", "role": "operator", "certificate": {"uri": "spiffe://example/operator"}},
        {"name": "books", "role": "auditor", "certificate": {"email": "auditor@example.com"}}]


class World:
    clients = None


def clients():
    if not World.clients:
        strangers = Authority(STACK.base / "other-authority", "vouchsafe tests")  # the same name, another key
        World.clients = Clients(STACK.authority, strangers)
        restart(audit_access=access())
    return World.clients


def test_client_certificates_and_roles():
    rows = clients().rows
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        observed = {name: tuple(status(path, pair, version=version) for path in WATCHED)
                    for name, (pair, _) in rows.items()}
        equal(observed, {name: expected for name, (_, expected) in rows.items()}, str(version))
    actors = {e["actor"] for e in STACK.events(event="audit.queried")}
    assert {"on-call:watch", "operator:chief", "auditor:books"} <= actors, actors


def test_tokens_and_roles():
    clients()
    equal({role: tuple(status(path, token=token) for path in WATCHED) for role, token in TOKENS.items()},
          {"auditor": (403, 403, 200), "on-call": (200, 200, 200), "operator": (200, 200, 200)})
    equal([status(path) for path in WATCHED], [401] * 3)
    equal([status(path, token="x" * 32) for path in WATCHED], [401] * 3)
    for pair in (None, World.clients.rows["expired"][0]):
        equal([status(path, pair) for path in ("/livez", "/readyz")], [200] * 2)
        equal([status(path, pair, port=STACK.port) for path in ("/livez", "/readyz", "/metrics")], [200, 200, 404])
    # a certificate that is somebody's does not speak on the API listener, which does not even ask for one
    equal(status("/readyz?verbose", World.clients.rows["operator"][0], port=STACK.port) in (200, 404), True)
    equal(status("/v1/audit/events", World.clients.rows["operator"][0], port=STACK.port), 404)


def acceptable_authorities(port):
    """Does the server ask for a client certificate, and of which authorities?"""
    out = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2"], input="", text=True,
                         capture_output=True, timeout=SECONDS).stdout
    return "Acceptable client certificate CA names" in out or "Client Certificate Types" in out


def test_a_certificate_is_asked_for_where_it_counts():
    equal((acceptable_authorities(STACK.ops_port), acceptable_authorities(STACK.port)), (True, False))


def test_revoked_after_sighup():
    pair, _ = clients().rows["on call"]
    taken = STACK.authority.issue("taken-back", "DNS:taken.audit.example.com")
    kept = STACK.connection(STACK.ops_port, pair=taken)
    equal(status("/metrics", taken), 200)
    kept.request("GET", "/metrics")
    response = kept.getresponse()
    response.read()
    equal(response.status, 200)
    STACK.authority.revoke(taken)
    equal(status("/metrics", taken), 200, "before SIGHUP the old list counts")
    reload_all()
    equal((status("/metrics", taken), status("/metrics", pair)), (401, 200))
    kept.request("GET", "/metrics")  # http.client connects anew where it was told that it has to
    response = kept.getresponse()
    response.read()
    equal(response.status, 401, "on a connection from before")
    kept.close()


def s_client(*arguments, data=b""):
    """(exit code, what it printed) of openssl s_client on the ops listener, which asks and waits for the end."""
    with subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % STACK.ops_port, "-ign_eof", "-CAfile",
                           str(STACK.authority.certificate), *arguments], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        out = process.communicate(data, SECONDS)[0].decode(errors="replace")
        return process.returncode, out


def test_attack_37_a_revoked_certificate_and_a_resumed_session():
    """However the second connection comes about, what was revoked in between is nobody's."""
    clients()
    ask = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for version in ("-tls1_2", "-tls1_3"):
        name = "resumed-" + version[-1]
        pair = STACK.authority.issue(name, "DNS:%s.audit.example.com" % name)
        mine = ["-cert", str(pair.certificate), "-key", str(pair.key), version]
        session = STACK.base / ("session" + version)
        _, out = s_client(*mine, "-sess_out", str(session), data=ask)
        assert "HTTP/1.1 200 " in out and "vouchsafe_ready 1" in out, out
        print("# %s: %s" % (version[1:], "a session was kept" if session.exists() else "no session to keep"))
        if session.exists():  # and it is not even good for who has no key any more
            _, out = s_client(version, "-sess_in", str(session), data=ask)
            assert "HTTP/1.1 401 " in out, out
        STACK.authority.revoke(pair)
        reload_all()
        again = ["-sess_in", str(session)] if session.exists() else []
        for arguments in ([*mine, *again], [*again, version]):
            _, out = s_client(*arguments, data=ask)
            assert "HTTP/1.1 401 " in out and "vouchsafe_ready" not in out, out


# ---- new certificates

def serial(port):
    """Of the certificate that a new connection is shown."""
    with STACK.context().wrap_socket(connect(port), server_hostname="127.0.0.1") as tls:
        return tls.getpeercert()["serialNumber"]


def served_on(connection):
    connection.sendall(LIVE)
    got = b""
    while piece := connection.recv(65536):
        got += piece
    return b'"live"' in got


def test_new_certificates_drop_nobody():
    old = serial(STACK.port)
    equal(serial(STACK.ops_port), old)
    instance = STACK.launch()
    fresh = [STACK.context().wrap_socket(connect(port), server_hostname="127.0.0.1")
             for port in [STACK.port, STACK.ops_port] * 10]
    halfway = connect(STACK.port)
    halfway.sendall(hello()[:100])
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=1500, times=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(STACK.release, instance, KEYS[0])
        wait_for("release under way", lambda: '"under_way":1' in verbose())
        STACK.give_pair(STACK.authority.issue("renewed", "IP:127.0.0.1,DNS:localhost", "serverAuth"))
        reload_all()
        new = serial(STACK.port)
        assert new != old, new
        equal(serial(STACK.ops_port), new)
        equal(under_way.done(), False, "it is under way all the time")
        equal(under_way.result()[0], 200)
    equal([served_on(connection) for connection in fresh], [True] * 20)
    halfway.sendall(hello()[100:])
    assert halfway.recv(1)[0] in (0x15, 0x16)  # a hello of its own, or an alert: two hellos do not fit together
    for connection in [*fresh, halfway]:
        connection.close()


def test_new_certificates_under_load():
    """Twenty times anew while clients come and go: none is turned away."""
    pairs = [STACK.authority.issue("turn-%d" % i, "IP:127.0.0.1,DNS:localhost", "serverAuth") for i in range(2)]
    client = clients().rows["operator"][0]
    stopping = threading.Event()

    def come_and_go(port, pair):
        served = 0
        while not stopping.is_set():
            equal(status("/livez" if pair is None else "/readyz?verbose", pair, port=port), 200)
            served += 1
        return served

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        comers = [pool.submit(come_and_go, port, pair) for port, pair in
                  ((STACK.port, None), (STACK.port, None), (STACK.ops_port, None), (STACK.ops_port, client))]
        try:
            for i in range(20):
                STACK.give_pair(pairs[i % 2])
                reload_all()
        finally:
            stopping.set()
        served = [comer.result() for comer in comers]
    assert min(served) > 20, served
    print("# served meanwhile: %s" % served)


def verbose():
    connection = STACK.connection(STACK.ops_port)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz?verbose", headers={"Authorization": "Bearer " + TOKENS["operator"]})
        return connection.getresponse().read().decode().replace(" ", "")


def test_what_does_not_fit_is_not_taken():
    before = serial(STACK.port)
    one, other = (STACK.authority.issue(name, "IP:127.0.0.1", "serverAuth") for name in ("one", "other"))
    good = (STACK.etc / "server.pem").read_bytes(), (STACK.etc / "server.key").read_bytes()
    wrong = type(one)(one.certificate, other.key)
    STACK.give_pair(wrong)
    lines = reload("not-reloaded", 2)
    assert all("server.key" in line["text"] and "server.pem" in line["text"] for line in lines), lines
    equal((serial(STACK.port), serial(STACK.ops_port)), (before, before))
    for name, text in (("server.pem", b"x"), ("server.key", b"x"), ("server.pem", b""), ("server.key", good[0])):
        STACK.give_pair(one)
        (STACK.etc / name).chmod(0o600)
        (STACK.etc / name).write_bytes(text)
        (STACK.etc / name).chmod(0o644 if name == "server.pem" else 0o400)
        lines = reload("not-reloaded", 2)
        assert all(name in line["text"] for line in lines), lines
        equal((serial(STACK.port), serial(STACK.ops_port)), (before, before))
    STACK.give_pair(one)
    list_before = STACK.authority.list.read_bytes()
    STACK.authority.list.write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    lines = reload("not-reloaded")
    assert any("ca.crl" in line["text"] for line in lines), lines
    equal(status("/metrics", clients().rows["operator"][0]), 200, "the old list counts")
    STACK.authority.list.write_bytes(list_before)
    reload_all()
    assert serial(STACK.port) == serial(STACK.ops_port) != before


def refuses_to_start(*words):
    STACK.stop(STACK.server)
    before = len(STACK.log("server"))
    STACK.start_server(wait=False)
    code = STACK.server.wait(SECONDS)
    said = STACK.log("server")[before:]
    assert code != 0 and all(word in said for word in words), (code, words, said[-1000:])


def test_what_does_not_fit_stops_the_start():
    one, other = (STACK.authority.issue(name, "IP:127.0.0.1", "serverAuth") for name in ("fits", "fits-not"))
    try:
        STACK.give_pair(type(one)(one.certificate, other.key))
        refuses_to_start("server.key", "server.pem", "not the key")
        STACK.give_pair(one)
        (STACK.etc / "server.key").chmod(0o444)
        refuses_to_start("server.key", "chmod")
        (STACK.etc / "server.key").unlink()
        refuses_to_start("server.key", "No such file")
        STACK.give_pair(one)
        (STACK.etc / "server.pem").write_text("x")
        refuses_to_start("server.pem")
        STACK.give_pair(one)
        STACK.write_config(ops_tls={**STACK.config["ops_tls"], "client_ca": str(one.certificate)})
        refuses_to_start("fits.pem", "name authorities")
    finally:
        STACK.give_pair(one)
        restart(audit_access=access())
    equal(STACK.release(STACK.launch(), KEYS[0])[0], 200)


# ---- what it does not speak

def handshake(port, *arguments):
    """The cipher of an openssl s_client with these options; None where there was no handshake."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, *arguments], input="", text=True,
                          capture_output=True, timeout=SECONDS)
    for line in done.stdout.splitlines():
        if line.startswith("New, ") and "Cipher is" in line:
            name = line.rsplit(" ", 1)[1]
            return None if name == "(NONE)" else name
    return None


def test_old_versions_are_refused():
    for port in (STACK.port, STACK.ops_port):
        weak = ["-cipher", "ALL:@SECLEVEL=0"]
        equal([handshake(port, version, *weak) for version in ("-tls1", "-tls1_1")], [None] * 2)
        assert handshake(port, "-tls1_2") and handshake(port, "-tls1_3")


def test_weak_ciphers_are_refused():
    """Each cipher by itself, with a certificate of either kind: none but with forward secrecy and AEAD."""
    names = openssl("ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").decode().strip().split(":")
    names = [name for name in names if not name.startswith("TLS_")]
    assert len(names) > 50 and any("CBC" in n or n.endswith("-SHA") for n in names), names
    for kind in ("rsa", "ec"):
        STACK.give_pair(STACK.authority.issue("server-" + kind, "IP:127.0.0.1,DNS:localhost", "serverAuth", kind=kind))
        reload_all()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            taken = {name for name in pool.map(
                lambda name: handshake(STACK.port, "-tls1_2", "-cipher", name + ":@SECLEVEL=0"), names) if name}
        good = {name for name in names if name.startswith("ECDHE-" + ("RSA" if kind == "rsa" else "ECDSA")) and
                ("GCM" in name or "CHACHA20" in name)}
        assert taken and taken <= good, sorted(taken - good)
        assert any("AES256-GCM" in name for name in taken), taken
    equal(handshake(STACK.port, "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"), None)


def plain(port, data):
    with connect(port) as connection:
        got = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            while piece := connection.recv(65536):
                got += piece
        return got


def test_plain_http_is_refused():
    """By an alert or nothing, at once or at the deadline; never by an answer."""
    for port in (STACK.port, STACK.ops_port):
        for data in (LIVE, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + LIVE, b"\x80\x2e\x01\x00\x02" + bytes(41)):
            got = plain(port, data)
            assert not got or got[0] == 0x15, got
    equal(STACK.request("GET", "/livez", headers={})[0], 200)


if __name__ == "__main__":
    sys.exit(main(globals(), keys=1, tls=True, config={"deadline": "5s"}))
