"""ATTACKS.md 35: a crowd that sends or reads one byte a second is closed at its deadlines, wherever it stands, while a
good client elsewhere is served at once; one address cannot take all the room; idle connections and a full house cost no
processor."""
import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import re
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import tap
from stack import SECONDS, Stack, cpu_share, main, wait_for
from tap import equal

STACK = None
KEYS = []
DEADLINE = 2
LATE = 4  # seconds after its deadline at which a connection still may be there, on a machine that does other things too
IDLE_SHARE = 0.06  # of a processor; with a sanitizer, and the vault's canary and its like beside
LONG = "10s"
LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class World:
    secure = None
    leaving = {}  # by address, the instances of those who go while their request is under way


def secure():
    if not World.secure:
        World.secure = Stack(sys.argv[1], config={"deadline": "%ds" % DEADLINE}, tls=True).start()
    return World.secure


def restart(**changes):
    STACK.stop(STACK.server)
    STACK.write_config(**changes)
    STACK.start_server()


def addresses(net, n):
    return itertools.cycle("127.0.%d.%d" % (net, 1 + i) for i in range(n))


# ---- the crowd

class Slow:
    """A connection that sends `first` at once and then, each second, one byte of `more` and of what could go on so, or
    nothing (None); or reads so many bytes at every `pace` seconds. Its deadline begins when it has sent `first`."""

    def __init__(self, phase, port, source, first=b"", more=b"", context=None, reads=0,
                 pace=1.0):
        self.phase, self.port, self.reads, self.pace = phase, port, reads, pace
        self.more = None if more is None else itertools.chain(more, itertools.repeat(ord("y")))
        self.gone = None
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if reads:  # little room on either side: what is not read stays the server's
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.name = self.socket.getsockname()
        self.socket.sendall(first)
        self.began = time.monotonic()
        self.next = self.began + pace
        self.socket.setblocking(False)

    def tick(self):
        """Where it is time."""
        if time.monotonic() < self.next:
            return
        self.next += self.pace
        try:
            if self.reads:
                self.socket.recv(self.reads)
            elif self.more:
                self.socket.send(bytes([next(self.more)]))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.gone = self.gone or time.monotonic() - self.began

    def look(self):
        """Where something has come: an answer, or the end."""
        try:
            while self.socket.recv(65536):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        self.gone = self.gone or time.monotonic() - self.began


def address(text):
    """Of /proc/net/tcp."""
    return socket.inet_ntoa(bytes.fromhex(text[:8])[::-1]), int(text[9:], 16)


def server_side(ports):
    """The connections to these ports that the server has not closed, as (address, port) of the other side; the kernel
    keeps trying to get rid of what was written to one that was closed."""
    held = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        # a client elsewhere may have been given the very same port
        if address(local)[0] == "127.0.0.1" and address(local)[1] in ports and state in ("01", "08"):
            held.add(address(remote))
    return held


def crowd(slow, patience=DEADLINE + LATE + 2):
    """Lets them go on until all are gone, or for so long; readers are gone when the server has closed."""
    selector = selectors.DefaultSelector()
    for one in slow:
        if not one.reads:
            selector.register(one.socket, selectors.EVENT_READ, one)
    ends = time.monotonic() + patience
    while time.monotonic() < ends and any(one.gone is None for one in slow):
        for key, _ in selector.select(0.05):
            key.data.look()
            if key.data.gone:
                selector.unregister(key.fileobj)
        held = server_side({one.port for one in slow if one.reads})
        for one in slow:
            if one.reads and one.gone is None and one.name not in held:
                one.gone = time.monotonic() - one.began
        for one in slow:
            if one.gone is None:
                one.tick()
    selector.close()
    for one in slow:
        one.socket.close()


def closed_in_time(slow, least=DEADLINE - 0.6, most=DEADLINE + LATE):
    """Each between these: not before its deadline, which is its right, and not long after."""
    spans = {}
    for one in slow:
        spans.setdefault(one.phase, []).append(one.gone)
    wrong = {phase: [g for g in gone if g is None or not least <= g <= most] for phase, gone in spans.items()}
    equal({phase: gone[:5] for phase, gone in wrong.items() if gone}, {}, "closed after")
    tap.came("closed at its deadline", len(slow))
    print("# closed after " + ", ".join("%s %.1f-%.1f s" % (p, min(g), max(g)) for p, g in sorted(spans.items())))


class Good:
    """A client elsewhere, who boots and asks again and again; what each took."""

    def __init__(self, stack):
        self.stack, self.took, self.stopping = stack, [], threading.Event()
        self.instances = [stack.launch() for _ in range(40)]
        self.key = stack.key()
        self.pool = concurrent.futures.ThreadPoolExecutor(1)

    def __enter__(self):
        self.result = self.pool.submit(self.run)
        return self

    def run(self):
        instances = itertools.cycle(self.instances)
        while not self.stopping.is_set():
            instance = next(instances)
            for ask, expected in ((lambda: self.stack.release(instance, self.key), 200),
                                  (lambda: self.stack.request("GET", "/livez", source="127.0.200.1", headers={}), 200)):
                began = time.monotonic()
                equal(ask()[0], expected)
                self.took.append(time.monotonic() - began)
            self.stopping.wait(0.05)

    def __exit__(self, *_):
        self.stopping.set()
        self.pool.shutdown()
        self.result.result()
        equal([round(t, 1) for t in self.took if t >= 1], [], "seconds that good clients waited")
        assert len(self.took) >= 10, self.took
        print("# %d good requests, the slowest took %d ms" % (len(self.took), max(self.took) * 1000))


# ---- one byte a second

HEADER = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: "
BODY = b"POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"


def test_attack_35_five_hundred_at_one_byte_a_second():
    """All phases of a request at once. In the mixed ones nothing, or all but an end, has come already."""
    with Good(STACK):
        source = addresses(9, 50)
        phases = [("nothing", b"", None), ("request line", b"", HEADER), ("header", HEADER, b""), ("body", BODY, b"{"),
                  ("second header", LIVE, HEADER), ("kept", LIVE, None), ("end of header", HEADER + b"y\r\n\r", None),
                  ("start of body", BODY, None)]
        slow = [Slow(phase, STACK.port, next(source), first, more)
                for _, (phase, first, more) in zip(range(500), itertools.cycle(phases))]
        crowd(slow)
    closed_in_time(slow)
    equal(server_side({STACK.port}), set())


def test_attack_35_header_and_body_have_each_their_own():
    """Who needs most of the time for the header has the same again for the body, and no more."""
    slow = [Slow("header, then body", STACK.port, "127.0.9.1") for _ in range(3)]
    began = time.monotonic()
    for i in range(10):
        for one in slow:
            one.socket.send(BODY[i * len(BODY) // 10:(i + 1) * len(BODY) // 10])
        wait_for("tenth of the deadline", lambda: time.monotonic() > began + (i + 1) * DEADLINE * 0.08)
    spent = time.monotonic() - began
    crowd(slow)
    closed_in_time(slow, spent + DEADLINE - 0.6, spent + DEADLINE + LATE)


def large_page():
    """A request for a page of the trail that is far larger than what sockets hold."""
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    body = STACK.release_body(instance, KEYS[1])

    def conflict(_):
        with contextlib.closing(STACK.connection(source=instance["address"])) as connection:
            for _ in range(100):
                connection.request("POST", "/v1/releases", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                equal(response.status, 409)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(conflict, range(6)))
    headers = {"Authorization": "Bearer " + STACK.token}
    path = "/v1/audit/events?limit=1000"
    page = STACK.request("GET", path, port=STACK.ops_port, headers=headers)[2]
    assert len(json.dumps(page)) > 300000, len(json.dumps(page))
    return b"GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % (path.encode(), STACK.token.encode())


def test_attack_35_readers_of_one_byte_a_second():
    request = large_page()
    source = addresses(10, 10)
    with Good(STACK):
        # the faster ones read just enough to show the server again and again that they do
        slow = [Slow(phase, STACK.ops_port, next(source), request, reads=reads, pace=pace)
                for phase, reads, pace in [("reading a byte", 1, 1.0), ("reading 30 KB", 1500, 0.05)] * 20]
        crowd(slow, DEADLINE * 2 + LATE + 2)
    # a page is made before it is read: that may take as long again
    closed_in_time(slow, most=DEADLINE * 2 + LATE)
    assert STACK.events(event="audit.queried"), "the trail can be read"


def test_attack_35_over_tls():
    """The same in front of and behind the handshake."""
    stack = secure()
    hello = client_hello()
    source = addresses(11, 40)
    with Good(stack):
        slow = []
        for i in range(100):
            here = next(source)
            slow += [Slow("nothing", stack.port, here, more=None), Slow("hello", stack.port, here, more=hello),
                     Slow("end of hello", stack.port, here, hello[:-1 - i], None),
                     Slow("handshake", stack.port, here, hello, None)]
        slow += [Slow("header", stack.port, next(source), HEADER, context=stack.context()) for _ in range(20)]
        slow += [Slow("body", stack.port, next(source), BODY, b"{", context=stack.context()) for _ in range(20)]
        slow += [Slow("ops hello", stack.ops_port, next(source), more=hello) for _ in range(20)]
        crowd(slow)
    # the deadline of a handshake begins with the connection, and that was before the last of the hello
    closed_in_time(slow, 0.4)
    wait_for("empty house", lambda: not server_side({stack.port}))


def test_attack_35_questions_without_reading_an_answer():
    """Requests one behind the other for as long as somebody takes them: that ends when the answers do not go."""
    def flood(one):
        with contextlib.suppress(BlockingIOError):
            while True:
                one.socket.send(LIVE * 200)
        return one

    restart(deadline=LONG)
    with contextlib.closing(flood(Slow("", STACK.port, "127.0.9.1", reads=1)).socket):
        quiet(STACK, "answers that nobody reads")
    restart()
    with Good(STACK):
        slow = [flood(Slow("asking", STACK.port, source, reads=1)) for source in itertools.islice(addresses(9, 40), 40)]
        crowd(slow)
    closed_in_time(slow)


def test_who_is_not_slow_is_not_cut():
    """A connection that is kept busy outlives many deadlines; what is under way is answered at its own."""
    with contextlib.closing(STACK.connection(source="127.0.9.2")) as kept:
        kept.connect()
        own = kept.sock.getsockname()
        ends = time.monotonic() + 3 * DEADLINE
        while time.monotonic() < ends:
            kept.request("GET", "/livez")
            kept.getresponse().read()
            time.sleep(DEADLINE / 4)
        equal(kept.sock.getsockname(), own)
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=3000 * DEADLINE, times=1)
    began = time.monotonic()
    status, _, answer = STACK.release(STACK.launch(), KEYS[0])
    STACK.sim.clear_faults()
    equal((status, answer["code"]), (503, "upstream-unavailable"))
    assert time.monotonic() - began < DEADLINE + LATE, time.monotonic() - began


def test_the_end_does_not_wait_for_the_slow():
    """Not longer than for their deadline: some of them look like requests that will be answered."""
    source = addresses(9, 40)
    slow = [Slow(phase, STACK.port, next(source), first) for _ in range(20) for phase, first in
            (("header", HEADER), ("body", BODY), ("nothing", b""), ("kept", LIVE))]
    began = time.monotonic()
    equal(STACK.stop(STACK.server), 0)
    assert time.monotonic() - began < DEADLINE + LATE, time.monotonic() - began
    for one in slow:
        one.socket.close()
    STACK.start_server()


def client_hello():
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


# ---- room

def opened(n, source, port=None):
    """n connections from an address; where the server has closed one at once, that is seen when it is asked."""
    return [socket.create_connection(("127.0.0.1", port or STACK.port), timeout=SECONDS, source_address=(source, 0))
            for _ in range(n)]


def alive(connection):
    """Does it answer?"""
    try:
        connection.sendall(LIVE)
        got = b""
        while b'"live"' not in got:  # over TLS header and body come by themselves
            piece = connection.recv(65536)
            if not piece:
                return False
            got += piece
        return True
    except (ConnectionError, ssl.SSLError):
        return False


def close(connections):
    for connection in connections:
        connection.close()


def test_attack_35_a_thousand_from_one_address():
    restart(deadline=LONG, limits={"per_address": 4})
    many = opened(1000, "127.0.0.9")
    began = time.monotonic()
    instance = STACK.launch()
    equal(STACK.release(instance, KEYS[0])[0], 200)
    assert time.monotonic() - began < 1, time.monotonic() - began
    wait_for("refused connections", lambda: len(server_side({STACK.port})) <= 4)
    living = [connection for connection in many if alive(connection)]
    equal(len(living), 4)
    equal(living, many[:4], "those who came first stay")
    living[0].close()
    wait_for("room for one", lambda: len(server_side({STACK.port})) <= 3)
    another, late = opened(2, "127.0.0.9")
    equal((alive(another), alive(late)), (True, False))
    equal(alive(opened(1, "127.0.0.10")[0]), True)
    close(many + [another, late])


def test_attack_35_four_is_the_default():
    restart(deadline=LONG, limits={"waiting": 20000})
    many = opened(50, "127.0.0.9")
    equal(sum(alive(connection) for connection in many), 4)
    close(many)


def test_trusted_proxies_and_the_ops_listener():
    """Proxies speak for many; and operators have a number of their own."""
    for mode, first in (("x-forwarded-for", b""), ("proxy-protocol", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")):
        restart(deadline=LONG, limits={"per_address": 2}, trusted_proxies=["127.100.0.0/24"], forwarded_by=mode)
        many = opened(100, "127.100.0.7")
        for connection in many:
            connection.sendall(first)
        equal((mode, [alive(connection) for connection in many]), (mode, [True] * 100))
        close(many)
        many = opened(10, "127.0.0.9")
        equal((mode, sum(alive(connection) for connection in many)), (mode, 2))
        close(many)
    many = opened(100, "127.0.0.9", STACK.ops_port)
    equal(sum(alive(connection) for connection in many), 64)
    close(many)


def leave_under_way(connection):
    STACK.sim.fault("DescribeInstances", "slow", delay_ms=200, times=1)
    body = STACK.release_body(World.leaving[connection.getsockname()[0]], KEYS[0])
    connection.sendall(b"POST /v1/releases HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d"
                       b"\r\n\r\n" % len(body) + body)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half(connection):
    connection.shutdown(socket.SHUT_WR)


def wait_end(connection):
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass


# What somebody may do before he goes, each by functions or bytes.
WAYS = {"nothing": [], "reset": [reset], "half": [half, wait_end], "part of a header": [HEADER],
        "header, reset": [HEADER, reset], "header, half": [HEADER, half, wait_end], "body": [BODY], "body, reset": [BODY + b"{", reset],
        "body, half": [BODY, half, wait_end], "malformed": [b"x y z\r\n\r\n", wait_end], "malformed, gone": [b"x\r\n\r\n"],
        "refused": [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", wait_end], "served": [LIVE], "served, reset": [LIVE, reset],
        "expired": [HEADER, wait_end], "under way": [leave_under_way], "under way, reset": [leave_under_way, reset],
        "under way, half": [leave_under_way, half, wait_end], "TLS": [b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"]}


def go(way, source, port=None):
    with contextlib.closing(opened(1, source, port)[0]) as connection:
        for step in way:
            with contextlib.suppress(OSError):  # the other side was first
                connection.sendall(step) if isinstance(step, bytes) else step(connection)


def all_go(stack, ways, what):
    """Each way from an address of its own, twice three at once, which is more than that has places; {address: way}, when
    all have gone."""
    places = {"127.0.16.%d" % (i + 1): name for i, name in enumerate(ways)}

    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(3 * len(places)) as pool:
            list(pool.map(lambda source: what(ways[places[source]], source), list(places) * 3))
        wait_for("empty house", lambda: not server_side({stack.port}))
    return places


def test_whoever_goes_leaves_his_place():
    """In whatever way, his address has all its places again, and the listener's count is that of those who are there."""
    for changes in ({}, {"trusted_proxies": ["127.100.0.0/24"], "forwarded_by": "proxy-protocol"}):
        restart(deadline="1s", limits={"per_address": 4}, **changes)
        for i in range(len(WAYS)):
            source = "127.0.16.%d" % (i + 1)
            World.leaving[source] = World.leaving.get(source) or STACK.launch(address=source)
        places = all_go(STACK, WAYS, go)
        STACK.sim.clear_faults()
        many = {source: opened(6, source) for source in places}
        equal({places[source]: sum(alive(c) for c in of_one) for source, of_one in many.items()}, dict.fromkeys(WAYS, 4))
        equal(connections_open(), {"api": 4.0 * len(WAYS), "ops": 1.0})
        for of_one in many.values():
            close(of_one)


def test_over_tls_whoever_goes_leaves_his_place():
    stack = secure()
    stack.stop(stack.server)
    stack.write_config(deadline="1s", limits={"per_address": 4})
    stack.start_server()
    hello = client_hello()
    before = {"nothing": [], "reset": [reset], "half": [half, wait_end], "plain": [LIVE, wait_end], "hello": [hello],
              "hello, reset": [hello, reset], "part of a hello": [hello[:50]], "hello, half": [hello, half, wait_end],
              "part of a hello, half": [hello[:50], half, wait_end], "hello and noise": [hello + bytes(500), wait_end]}
    behind = {"a handshake": [], "a handshake, reset": [reset], "header, reset": [HEADER, reset],
              "body, reset": [BODY, reset], "served, reset": [LIVE, reset], "served": [LIVE, wait_end], "expired": [HEADER, wait_end]}

    def move(way, source):
        if way in before.values():
            go(way, source, stack.port)
            return
        with contextlib.suppress(OSError), opened(1, source, stack.port)[0] as connection:
            with stack.context().wrap_socket(connection, server_hostname="127.0.0.1") as tls:
                for step in way:
                    tls.sendall(step) if isinstance(step, bytes) else step(tls)

    places = all_go(stack, {**before, **behind}, move)
    living = dict.fromkeys(places.values(), 0)
    for source, name in places.items():
        many = opened(6, source, stack.port)
        for connection in many:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                living[name] += alive(stack.context().wrap_socket(connection, server_hostname="127.0.0.1"))
        close(many)
    equal(living, dict.fromkeys(living, 4))


def connections_open():
    """As the server counts them, our own included."""
    connection = STACK.connection(STACK.ops_port)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return {name: float(n) for name, n in re.findall(r'(?m)^vouchsafe_connections\{listener="(\w+)"\} (\d+)$', text)}


def test_forwarded_addresses_have_their_share_of_requests():
    """Behind a header of a proxy's it is requests that are counted, as the connections are the proxy's."""
    restart(limits={"per_address": 2}, trusted_proxies=["127.100.0.0/24"], forwarded_by="x-forwarded-for")
    crowded, other = STACK.launch(), STACK.launch()

    def ask(instance):
        return STACK.request("POST", "/v1/releases", STACK.release_body(instance, KEYS[0]), "127.100.0.7",
                             {"Content-Type": "application/json", "X-Forwarded-For": instance["address"]})[::2]

    for _ in range(3):
        STACK.sim.fault("DescribeInstances", "slow", delay_ms=1000, times=1)
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            told = list(pool.map(ask, [crowded] * 8))
        equal(sorted(status for status, _ in told), [200] * 2 + [503] * 6)
        equal({answer["code"] for status, answer in told if status == 503}, {"overloaded"})
        equal((ask(other)[0], ask(crowded)[0]), (200, 200))
    STACK.sim.clear_faults()


def test_agents_behind_a_proxy_count_by_their_own_address():
    """By the address that the PROXY protocol tells: one agent cannot take what is another's."""
    restart(deadline=LONG, limits={"per_address": 3}, trusted_proxies=["127.100.0.0/24"], forwarded_by="proxy-protocol")
    def proxied(agent):
        return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(agent) + socket.inet_aton("127.0.0.1") +
                b"\x04\x03\x20\xfb")
    many = opened(20, "127.100.0.7")
    for i, connection in enumerate(many):
        connection.sendall(proxied("127.0.0.9" if i % 2 else "127.0.0.%d" % (100 + i)))
    living = [alive(connection) for connection in many]
    equal((sum(living[1::2]), living[::2]), (3, [True] * 10))
    close(many)


# ---- what waiting costs

def quiet(stack, what):
    share = cpu_share(stack.server, 1.5)
    print("# %s: %.1f %% of a processor" % (what, share * 100))
    assert share < IDLE_SHARE, "%s: %.0f %%" % (what, share * 100)


def test_the_measure_of_a_processor():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        share = cpu_share(spinning, 0.5)
        spinning.kill()
    assert share > 3 * IDLE_SHARE, share


def test_attack_35_idle_connections_cost_nothing():
    restart(deadline=LONG)
    source = addresses(12, 100)
    many = [opened(1, next(source))[0] for _ in range(600)]
    equal([alive(connection) for connection in many[::2]], [True] * 300)  # half of them kept, half have said nothing
    quiet(STACK, "600 idle connections")
    equal([alive(connection) for connection in many], [True] * 600)
    close(many)


def test_attack_35_idle_connections_over_tls_cost_nothing():
    stack = secure()
    stack.stop(stack.server)
    stack.write_config(deadline=LONG)
    stack.start_server()
    source = addresses(13, 100)
    many = [opened(1, next(source), stack.port)[0] for _ in range(100)]
    many += [stack.context().wrap_socket(opened(1, next(source), stack.port)[0], server_hostname="127.0.0.1")
             for _ in range(50)]
    quiet(stack, "150 idle connections with TLS")
    close(many)


def restart_with_descriptors(n, **changes):
    STACK.server_under = ["prlimit", "--nofile=%d:%d" % (n, n)]
    try:
        restart(**changes)
    finally:
        STACK.server_under = []


def served_at_once(seconds=5):
    began = time.monotonic()
    equal(STACK.release(STACK.launch(), KEYS[0])[0], 200)
    took = time.monotonic() - began
    assert took < seconds, "%.1f s" % took


def test_attack_35_a_full_house():
    """As many connections as descriptors allow, and as many again: those wait in the kernel, nothing spins, and when
    there is room they are served."""
    restart_with_descriptors(600, deadline=LONG)
    source = addresses(14, 100)
    many = [opened(1, next(source))[0] for _ in range(700)]
    quiet(STACK, "a full house with a queue")
    equal(STACK.request("GET", "/livez", port=STACK.ops_port, headers={})[0], 200)
    answered = sum(alive(connection) for connection in many[:100])
    equal(answered, 100, "of those inside")
    last = many.pop()
    last.sendall(LIVE)
    close(many)
    assert b'"live"' in last.recv(65536)
    served_at_once()
    quiet(STACK, "an empty house")


def test_attack_35_out_of_descriptors():
    """Both listeners at once ask for more than there are: nothing spins, nobody inside is harmed, AWS and the vault can
    still be reached or it says 503; and it ends."""
    restart_with_descriptors(600, deadline=LONG)
    inside = opened(5, "127.0.0.9")
    equal([alive(connection) for connection in inside], [True] * 5)
    source = addresses(15, 100)
    many = [opened(1, next(source), port)[0] for _ in range(500) for port in (STACK.port, STACK.ops_port)]
    quiet(STACK, "no descriptors")
    equal([alive(connection) for connection in inside], [True] * 5)
    close(many)
    served_at_once()
    close(inside)
    equal(STACK.stop(STACK.server), 0)


if __name__ == "__main__":
    code = main(globals(), keys=2, config={"deadline": "%ds" % DEADLINE})
    if World.secure:
        World.secure.close()
    sys.exit(code)
