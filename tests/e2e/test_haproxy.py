"""Behind haproxy, with the configuration that is shipped in conf/: PROXY protocol and X-Forwarded-For, what a direct
connection gives and what it must not, and a rolling restart of two nodes under load."""
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

import tap
from haproxy import MODES, PROXY, TRUSTED, Front, shipped
from stack import SECONDS, main, wait_for
from tap import equal

STACK = None
KEYS = []
LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


# ---- haproxy

def tls():
    context = ssl.create_default_context(cafile=str(STACK.etc / "haproxy.crt"))
    return context


class World:
    """The one node and the haproxy in front of it that most tests use, in one mode at a time."""
    mode = front = None


def enter(mode, hops=None):
    """(front, mode) with node and haproxy in that mode."""
    if World.mode != (mode, hops):
        leave()
        if STACK.server.poll() is None:
            STACK.stop(STACK.server)
        more = {"proxy_hops": hops} if hops else {}
        STACK.write_config(trusted_proxies=TRUSTED, forwarded_by=mode, **more)
        STACK.start_server()
        World.front, World.mode = Front(STACK, {"rp-1": "127.0.0.1:%d" % STACK.port}), (mode, hops)
        World.front.wait_up(mode, "rp-1")
    return World.front


def leave():
    if World.front:
        World.front.close()
    World.mode = World.front = None


def through(front, mode, method, path, body=None, source=None, headers=None):
    """(status, parsed body) through haproxy, over TLS, from the address `source`."""
    connection = http.client.HTTPSConnection("127.0.0.1", front.ports[mode], timeout=SECONDS, context=tls(),
                                             source_address=(source, 0) if source else None)
    with contextlib.closing(connection):
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if headers is None else headers)
        response = connection.getresponse()
        text = response.read()
        tap.came("%d through haproxy" % response.status)
        return response.status, json.loads(text) if text else None


def release_through(front, mode, instance, key, source=None, headers=None, **changes):
    body = {"assertion": STACK.assertion(instance, **changes), "csr": key.csr}
    headers = {"Content-Type": "application/json", **(headers or {})}
    return through(front, mode, "POST", "/v1/releases", body, source or instance["address"], headers)


def raw(data, source=None, port=None, wrap=None):
    """Sends bytes and reads until the other side closes; what came."""
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection(
            ("127.0.0.1", port or STACK.port), timeout=SECONDS, source_address=(source, 0) if source else None))
        if wrap:
            connection = opened.enter_context(wrap.wrap_socket(connection, server_hostname="127.0.0.1"))
        got = b""
        try:
            connection.sendall(data)
            if not wrap:
                with contextlib.suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                got += piece
        except (ConnectionError, ssl.SSLEOFError):
            pass  # closed with bytes of ours unread
        tap.came(str(status_of(got) or "closed"))
        return got


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def header(*pairs, body=b"{}", path=b"/v1/releases", method=b"POST"):
    """A request with these further header lines."""
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: a", b"Content-Type: application/json",
             b"Content-Length: %d" % len(body), *[p.encode() if isinstance(p, str) else p for p in pairs], b"", body]
    return b"\r\n".join(lines)


def proxied(client, command=0x21, family=0x11, length=None, extensions=b""):
    """A header of the PROXY protocol, version 2."""
    block = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + b"\x04\x03\x20\xfb" + extensions
    return SIGNATURE + bytes([command, family]) + (len(block) if length is None else length).to_bytes(2, "big") + block


def release_body(instance, key, **changes):
    return json.dumps({"assertion": STACK.assertion(instance, **changes), "csr": key.csr}).encode()


# ---- the shipped example

def test_the_shipped_configuration_is_valid():
    path = STACK.etc / "shipped.cfg"
    path.write_text(shipped(STACK))
    done = subprocess.run(["haproxy", "-c", "-f", str(path)], capture_output=True, text=True, timeout=SECONDS)
    equal((done.returncode, "WARNING" in done.stdout + done.stderr), (0, False), done.stdout + done.stderr)


# ---- both modes

def both_modes(test):
    for mode in MODES:
        try:
            test(enter(mode), mode)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (mode, error)) from error


def test_a_release_from_the_agents_own_address():
    def one(front, mode):
        instance = STACK.launch()
        status, answer = release_through(front, mode, instance, KEYS[0])
        equal(status, 200, answer)
        inside = KEYS[0].open(answer["sealed"])
        equal(inside["instance-id"], instance["id"])
        event = STACK.instance_events(instance)[-1]
        equal((event["event"], event["source"]), ("release.granted", instance["address"]))
        status, _ = through(front, mode, "POST", "/v1/releases/%s/ack" % answer["release_id"], {"ack": inside["ack"]},
                            instance["address"])
        equal(status, 204)
    both_modes(one)


def test_a_denial_for_another_ones_address():
    def one(front, mode):
        instance, thief = STACK.launch(), STACK.address()
        status, answer = release_through(front, mode, instance, KEYS[1], source=thief)
        equal((status, answer["code"]), (403, "denied"))
        event = STACK.instance_events(instance)[-1]
        equal((event["event"], event["source"]), ("release.denied", thief))
        # and when he says that he is somebody else: what haproxy saw is what counts, or nothing is answered
        forged = {"X-Forwarded-For": instance["address"]}
        status, answer = release_through(front, mode, instance, KEYS[1], source=thief, headers=forged)
        equal((status, answer["code"]), (403, "denied") if mode == "x-forwarded-for" else (400, "malformed"))
        for name in ("Forwarded", "X_Forwarded_For", "X-Forwarded_For"):
            status, _ = release_through(front, mode, instance, KEYS[1], source=thief,
                                        headers={name: instance["address"]})
            equal((name, status), (name, 400))
        status, _ = release_through(front, mode, instance, KEYS[1], source=thief,
                                    headers={"Connection": "close, X-Forwarded-For"})
        assert status in (400, 403), status
        equal([e["event"] for e in STACK.instance_events(instance) if e["event"] != "release.denied"], [])
        equal(release_through(front, mode, instance, KEYS[0])[0], 200)
    both_modes(one)


def test_agreement_with_a_direct_connection():
    """The same story, told directly and through haproxy, has the same answers and the same events."""
    def tell(ask):
        instance = STACK.launch()
        other = STACK.launch(image="ami-0fffffffffffffff0")
        body = {"assertion": STACK.assertion(instance), "csr": KEYS[0].csr}
        asked = [(body, instance["address"]), (body, instance["address"]), (body, STACK.address()),
                 ({**body, "csr": KEYS[1].csr}, instance["address"]),
                 ({**body, "assertion": STACK.assertion(other)}, other["address"]),
                 ({**body, "assertion": STACK.assertion(instance, role="nobody")}, instance["address"]),
                 ({**body, "csr": "x"}, instance["address"]), ("{", instance["address"])]
        answers = [ask("POST", "/v1/releases", *pair) for pair in asked]
        answers += [ask(*more, instance["address"]) for more in (
            ("GET", "/livez", None), ("GET", "/readyz", None), ("GET", "/nowhere", None), ("PUT", "/v1/releases", "{}"),
            ("POST", "/v1/releases", "x" * 65537))]
        told = [(status, body.get("code"), body.get("detail")) for status, body in answers]
        return told, [(e["event"], e.get("reason")) for i in (instance, other) for e in STACK.instance_events(i)]

    def one(front, mode):
        direct = tell(lambda method, path, body, source:
                      STACK.request(method, path, body, source, headers=None if body else {})[::2])
        behind = tell(lambda method, path, body, source:
                      through(front, mode, method, path, body, source, headers=None if body else {}))
        equal(behind, direct)
        equal([status for status, _, _ in direct[0]],
              [200, 200, 403, 409, 403, 403, 400, 400, 200, 200, 404, 405, 413])
    both_modes(one)


def test_the_agent_over_tls():
    def one(front, mode):
        instance = STACK.launch()
        out = STACK.base / "out" / mode
        done = STACK.agent(instance, out, "--ca", str(STACK.etc / "haproxy.crt"),
                           server="https://127.0.0.1:%d" % front.ports[mode])
        equal(done.returncode, 0, done.stderr)
        equal((out / "hsm-partition-pin").read_text(), STACK.pin)
        equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.acknowledged"])
    both_modes(one)


def test_health_is_for_the_balancer_itself():
    """A check forwards nobody's address; nothing else is answered to it."""
    enter("x-forwarded-for")
    equal(STACK.request("GET", "/readyz", source=PROXY, headers={})[0], 200)
    equal(STACK.request("GET", "/livez", source=PROXY, headers={})[0], 200)
    enter("proxy-protocol")
    local = proxied("0.0.0.0", command=0x20, family=0)
    assert b'"live"' in raw(local + LIVE, PROXY)
    assert b'"live"' in raw(SIGNATURE + b"\x20\0\0\0" + LIVE, PROXY)
    instance = STACK.launch()
    request = header("Connection: close", body=release_body(instance, KEYS[0]))
    equal(status_of(raw(local + request, PROXY)), 400)
    # a trusted address is no agent's, whoever says so
    equal(status_of(raw(proxied("127.100.0.9") + request, PROXY)), 400)
    equal(STACK.instance_events(instance), [])


# ---- ATTACKS.md 15, at the server

def refused_15(source, *lines):
    """400, closed, and what is behind it is not read; whoever sends it."""
    got = raw(header(*lines) + LIVE, source)
    equal((lines, status_of(got), got.count(b"HTTP/1.1")), (lines, 400, 1))
    assert b"Connection: close" in got, got


def decisions():
    return [e for e in STACK.events() if e["event"].startswith("release.")]


def test_attack_15_values():
    enter("x-forwarded-for")
    before = len(decisions())
    for value in ("", "a", "10.0.0.1:80", "::ffff:10.0.0.1", "010.0.0.1", "0xa000001", "10.0.0.1,", ",10.0.0.1",
                  "10.0.0.1;10.0.0.2", "unknown", "10.0.0.1 10.0.0.2", "," * 4096):
        for source in (PROXY, "127.0.0.9"):
            refused_15(source, "X-Forwarded-For: " + value)
        refused_15(PROXY, "X-Forwarded-For: " + value, "X-Forwarded-For: 127.0.1.9")
        refused_15(PROXY, "X-Forwarded-For: 127.0.1.9", "X-Forwarded-For: " + value)
    got = raw(header("X-Forwarded-For: " + "," * 8192), PROXY)
    assert status_of(got) in (None, 400, 413, 431), got
    equal(len(decisions()), before)


def test_attack_15_names_that_nobody_may_send():
    for mode in MODES:
        enter(mode)
        for line in ("Forwarded: for=127.0.1.9", "X_Forwarded_For: 127.0.1.9", "x-forwarded_for: 127.0.1.9",
                     "Connection: X-Forwarded-For", "Connection: close, x-forwarded-for", "Connection: Forwarded"):
            refused_15("127.0.0.9", line)
            if mode == "x-forwarded-for":
                refused_15(PROXY, line)
                refused_15(PROXY, "X-Forwarded-For: 127.0.1.9", line)


def test_attack_15_from_a_stranger_or_absent():
    for mode in MODES:
        enter(mode)
        instance = STACK.launch()
        body = release_body(instance, KEYS[0])
        for source in (instance["address"], "127.0.0.9", "127.100.1.0"):
            got = raw(header("X-Forwarded-For: " + instance["address"], body=body), source)
            equal((mode, source, status_of(got)), (mode, source, 400))
        if mode == "x-forwarded-for":
            equal(status_of(raw(header("Connection: close", body=body), PROXY)), 400)
        equal(STACK.instance_events(instance), [])
        equal(STACK.release(instance, KEYS[0])[0], 200)  # directly, without any


def test_attack_15_forged_entries():
    enter("x-forwarded-for")
    instance, thief = STACK.launch(), STACK.address()
    body = release_body(instance, KEYS[1])
    for lines in (["X-Forwarded-For: %s, %s" % (instance["address"], thief)],
                  ["X-Forwarded-For: " + instance["address"], "X-Forwarded-For: " + thief],
                  ["X-Forwarded-For: %s,%s" % (instance["address"], PROXY), "X-Forwarded-For: " + thief]):
        equal((lines, status_of(raw(header(*lines, body=body), PROXY))), (lines, 403))
        equal(STACK.instance_events(instance)[-1]["source"], thief)
    # nothing is skipped by range: the last entry counts, and it is no agent's
    equal(status_of(raw(header("X-Forwarded-For: %s, %s" % (instance["address"], PROXY), body=body), PROXY)), 400)
    good = ["X-Forwarded-For: %s" % thief, "X-Forwarded-For: %s" % instance["address"]]
    equal(status_of(raw(header(*good, body=release_body(instance, KEYS[0])), PROXY)), 200)


def test_attack_15_two_hops():
    enter("x-forwarded-for", hops=2)
    instance, thief = STACK.launch(), STACK.address()
    body = release_body(instance, KEYS[0])
    equal(status_of(raw(header("X-Forwarded-For: " + instance["address"], body=body), PROXY)), 400)
    lines = ["X-Forwarded-For: " + instance["address"], "X-Forwarded-For: %s, 10.9.9.9" % thief]
    equal(status_of(raw(header(*lines, body=body), PROXY)), 403)
    lines = ["X-Forwarded-For: %s,%s" % (thief, instance["address"]), "X-Forwarded-For: 10.9.9.9"]
    equal(status_of(raw(header(*lines, body=body), PROXY)), 200)


def test_one_request_per_connection_behind_x_forwarded_for():
    enter("x-forwarded-for")
    keep = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    got = raw(keep + LIVE, PROXY)
    equal(got.count(b'"live"'), 1)
    assert b"Connection: close" in got, got
    equal(raw(keep + LIVE, "127.0.0.9").count(b'"live"'), 2)


def test_the_ops_listener_trusts_nobody():
    for mode in MODES:
        enter(mode)
        got = raw(header("X-Forwarded-For: 127.0.1.9", path=b"/livez", method=b"GET", body=b""), PROXY, STACK.ops_port)
        equal((mode, status_of(got)), (mode, 400))
        got = raw(proxied("127.0.1.9") + LIVE, PROXY, STACK.ops_port)
        assert b'"live"' not in got, got
        equal(STACK.request("GET", "/livez", source=PROXY, headers={}, port=STACK.ops_port)[0], 200)


# ---- ATTACKS.md 16, at the server

def closed_16(data, source=PROXY):
    got = raw(data, source)
    assert status_of(got) in (None, 400) and b'"live"' not in got, (data, got)


def test_attack_16_from_strangers():
    instance = STACK.launch()
    request = header("Connection: close", body=release_body(instance, KEYS[0]))
    for mode in MODES:
        enter(mode)
        for source in ("127.0.0.9", "127.100.1.0", instance["address"]):
            for data in (proxied(instance["address"]), proxied("127.0.0.9", command=0x20), SIGNATURE,
                         b"PROXY TCP4 %s 127.0.0.1 1 2\r\n" % instance["address"].encode(), b"PROXY UNKNOWN\r\n"):
                closed_16(data + LIVE, source)
                closed_16(data + request, source)
        equal(STACK.instance_events(instance), [])
    equal(STACK.release(instance, KEYS[0])[0], 200)
    enter("x-forwarded-for")  # where nobody is asked for one, a proxy's own is as bad
    closed_16(proxied("127.0.1.9") + LIVE)


def test_attack_16_from_a_proxy():
    enter("proxy-protocol")
    good = proxied("127.0.1.9")
    assert b'"live"' in raw(good + LIVE, PROXY)
    assert b'"live"' in raw(proxied("127.0.1.9", extensions=b"\x04\0\x02xy") + LIVE, PROXY)
    closed_16(LIVE)  # none
    closed_16(good + good + LIVE)  # twice
    closed_16(good + SIGNATURE + b"\x20\0\0\0" + LIVE)
    closed_16(good + b"PROXY TCP4 127.0.1.9 127.0.0.1 1 2\r\n" + LIVE)
    closed_16(b"PROXY TCP4 127.0.1.9 127.0.0.1 1 2\r\n" + LIVE)  # version 1
    closed_16(b"PROXY UNKNOWN\r\n" + LIVE)
    for length in (0, 1, 11, 13, 1009, 65535):
        closed_16(proxied("127.0.1.9", length=length) + LIVE)
    for command in (0x00, 0x11, 0x22, 0x2f, 0x31, 0xff):
        closed_16(proxied("127.0.1.9", command=command) + LIVE)
    for family in (0x00, 0x12, 0x21, 0x31, 0xff):
        closed_16(proxied("127.0.1.9", family=family) + LIVE)
    for size in range(len(good)):  # cut short
        closed_16(good[:size])
    for at in range(12):
        closed_16(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:] + LIVE)
    assert '"proxy-header-refused"' in STACK.log("server")
    assert b'"live"' in raw(good + LIVE, PROXY)


def test_attack_16_through_haproxy():
    """What a client sends is behind haproxy's own header, and no header any more."""
    front = enter("proxy-protocol")
    port = front.ports["proxy-protocol"]
    assert b'"live"' in raw(LIVE, "127.0.0.9", port, tls())
    for data in (proxied("127.0.1.9"), SIGNATURE + b"\x20\0\0\0", b"PROXY TCP4 127.0.1.9 127.0.0.1 1 2\r\n"):
        got = raw(data + LIVE, "127.0.0.9", port, tls())
        assert status_of(got) in (None, 400) and b'"live"' not in got, (data, got)


def test_attack_16_stalled_headers_hold_nobody_up():
    front = enter("proxy-protocol")
    with contextlib.ExitStack() as stalled:
        for i in range(400):
            connection = stalled.enter_context(socket.create_connection(("127.0.0.1", STACK.port), timeout=SECONDS,
                                                                        source_address=("127.100.0.66", 0)))
            connection.sendall(proxied("127.0.1.9")[:i % 28])
        began = time.monotonic()
        instance = STACK.launch()
        equal(release_through(front, "proxy-protocol", instance, KEYS[0])[0], 200)
        took = time.monotonic() - began
        assert took < 2, "%.1f s beside stalled headers" % took  # less than any of them is waited for


# ---- a rolling restart under load

class Load:
    """Four clients that ask, through haproxy, what any node can answer alike; each failure is kept."""

    def __init__(self, front, mode):
        self.front, self.mode = front, mode
        self.stopping = threading.Event()
        self.counts = {}
        self.failures = []
        self.lock = threading.Lock()
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.instances = [STACK.launch() for _ in range(4)]
        self.clients = [self.pool.submit(self.client, i) for i in range(4)]

    def client(self, i):
        old = self.instances[i]
        known = {"assertion": STACK.assertion(old, role="nobody"), "csr": KEYS[0].csr}
        for kind in itertools.cycle(("live", "malformed", "no rule", "release")):
            if self.stopping.is_set():
                return
            try:
                if kind == "live":
                    status, expected = through(self.front, self.mode, "GET", "/livez", headers={})[0], 200
                elif kind == "malformed":
                    status, expected = through(self.front, self.mode, "POST", "/v1/releases", "{")[0], 400
                elif kind == "no rule":
                    status, expected = through(self.front, self.mode, "POST", "/v1/releases", known, old["address"])[0], 403
                else:
                    with self.lock:
                        fresh = STACK.launch()
                    status, expected = release_through(self.front, self.mode, fresh, KEYS[0])[0], 200
            except Exception as error:  # whatever it was, a request was lost
                status, expected = repr(error), None
            with self.lock:
                self.counts[kind] = self.counts.get(kind, 0) + 1
                if status != expected:
                    self.failures.append((kind, status))

    def wait_more(self, each=3):
        """Until each kind has been asked so often again."""
        with self.lock:
            before = dict(self.counts)

        def more():
            with self.lock:
                return len(self.counts) == 4 and all(n >= before.get(kind, 0) + each for kind, n in self.counts.items())
        wait_for("progress of the load", more)

    def end(self):
        self.stopping.set()
        self.pool.shutdown()
        for client in self.clients:
            client.result()
        return self.counts, self.failures


def rolling_restart(mode):
    """Two nodes on stores of their own (one truth for several nodes is PostgreSQL's), so each instance asks once."""
    leave()
    if STACK.server.poll() is None:
        STACK.stop(STACK.server)
    settings = dict(trusted_proxies=TRUSTED, forwarded_by=mode, drain="3s")
    nodes, places, front = {}, {}, None
    try:
        for i, name in enumerate(("rp-1", "rp-2"), 1):
            STACK.copy_store(name)
            nodes[name], ports = STACK.start_node(name, listen="127.100.1.%d:0" % i, **settings)
            places[name] = "127.100.1.%d:%d" % (i, ports["api"])
        front = Front(STACK, places)
        front.wait_up(mode, *nodes)
        load = Load(front, mode)
        load.wait_more()
        for name in nodes:
            nodes[name].terminate()
            wait_for("node that haproxy takes out", lambda: front.states(mode)[name].startswith("DOWN"))
            equal((name, nodes[name].poll()), (name, None), "it serves on until haproxy has noticed")
            equal((name, nodes[name].wait(SECONDS)), (name, 0))
            load.wait_more()
            nodes[name], _ = STACK.start_node(name, listen=places[name], **settings)
            front.wait_up(mode, name)
            load.wait_more()
        counts, failures = load.end()
        equal(failures, [], "of %s" % counts)
        print("# %s: %s, 0 failed" % (mode, counts))
        for name in nodes:
            assert '"release.granted"' not in STACK.log(name)  # the trail is no log
            assert STACK.log(name).count('"status":"200"') > 3, "releases by " + name
    finally:
        if front:
            front.close()
        for process in nodes.values():
            process.kill()
            process.wait()


def test_who_leaves_says_so_and_keeps_no_connection():
    leave()
    STACK.stop(STACK.server)
    STACK.write_config(drain="60s")
    STACK.start_server()

    def ask(connection, path):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("Connection")

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", STACK.port, timeout=SECONDS)) as kept:
        equal(ask(kept, "/livez"), (200, None))
        STACK.server.terminate()
        wait_for("node that is not ready", lambda: STACK.request("GET", "/readyz", headers={})[0] == 503)
        equal(ask(kept, "/livez"), (200, "close"))
    equal(STACK.release(STACK.launch(), KEYS[0])[0], 200)
    equal(STACK.stop(STACK.server), 0)  # the second signal cuts the rest short


def test_a_rolling_restart_behind_the_proxy_protocol():
    rolling_restart("proxy-protocol")


def test_a_rolling_restart_behind_x_forwarded_for():
    rolling_restart("x-forwarded-for")


if __name__ == "__main__":
    sys.exit(main(globals(), keys=2))
