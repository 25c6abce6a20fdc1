"""ATTACKS.md 34: requests with two readings, each alone, before a good second one and in pieces; plain, over TLS, behind
haproxy that passes bytes and behind haproxy that speaks HTTP with us. And what is right is never refused."""
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time

import tap
from malformed import LEGAL, NEVER_WHOLE, OVER, REFUSED, SECOND, get, head, post
from stack import SECONDS, Stack, main, openssl, wait_for
from tap import equal

STACK = None
KEYS = []
DEADLINE = 2  # seconds: what is not whole by then is closed
PROXY, TRUSTED = "127.100.0.1", ["127.100.0.0/24"]
LIVE = b'{"live":true}'


# ---- one connection

class Wire:
    """A place to send bytes to: a port, a source address, TLS or not."""

    def __init__(self, port, context=None, source=None):
        self.port, self.context, self.source = port, context, source

    @contextlib.contextmanager
    def connect(self):
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection(
                ("127.0.0.1", self.port), timeout=SECONDS, source_address=(self.source, 0) if self.source else None))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                connection = opened.enter_context(self.context.wrap_socket(connection, server_hostname="127.0.0.1"))
            yield connection

    def tell(self, *pieces):
        """Sends, and reads until the other side closes: (what came, after how many seconds)."""
        began, got = time.monotonic(), b""
        with self.connect() as connection:
            try:
                for i, piece in enumerate(pieces):
                    if i:
                        time.sleep(0.003)  # long enough for most of them to be read by themselves
                    connection.sendall(piece)
            except OSError:
                pass  # refused before it was whole
            try:
                while piece := connection.recv(65536):
                    got += piece
            except (ConnectionError, ssl.SSLError):
                pass  # closed with bytes of ours unread
        return got, time.monotonic() - began


def answers(got, without_body=False):
    """The answers in a stream as (status, header, body), up to one that says that it is the last: libmicrohttpd gives the
    header of its own refusal of a length twice. What is no answer is an error. `without_body`: the first is to HEAD."""
    found = []
    while got:
        top, end, rest = got.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", top)
        assert status and end, "not an answer: %r" % got[:200]
        length = re.search(rb"(?mi)^Content-Length: *(\d+)\r?$", top + b"\r\n")
        size = int(length.group(1)) if length and (found or not without_body) else 0
        if int(status.group(1)) >= 200:  # 100 is none yet
            found.append((int(status.group(1)), top, rest[:size]))
            if closes(top):
                break
            rest = rest[size:]
        got = rest
    return found


def closes(top):
    return bool(re.search(rb"(?mi)^Connection: *close\r?$", top + b"\r\n"))


# ---- verdicts

def refused(got, seconds, statuses):
    """One 4xx or nothing, closed, and nothing behind it answered."""
    told = answers(got)
    assert LIVE not in got, "answered"
    assert len(told) <= 1, "answered %d times" % len(told)
    assert not told or told[0][0] in statuses, "status %d" % told[0][0]
    assert not told or closes(told[0][1]), "without Connection: close"
    assert seconds < DEADLINE + 5, "closed after %.1f s" % seconds


def refused_behind(got, seconds, statuses):
    """The same behind a good one, which is served."""
    good = re.match(rb"HTTP/1\.1 200 .*?\r\n\r\n" + re.escape(LIVE), got, re.S)
    assert good, "the good one before it: %r" % got[:200]
    refused(got[good.end():], seconds, statuses)


def legal(got, seconds, statuses):
    """Served, and the second after it; or refused, and then that is all."""
    told = answers(got)
    if not told and None in statuses:
        return
    assert told and told[0][0] in statuses, "statuses %s" % [t[0] for t in told]
    assert len(told) == (1 if closes(told[0][1]) else 2), "%d answers" % len(told)
    assert len(told) == 1 or told[1][0] == 200 and told[1][2] == LIVE, "the second: %s" % (told[1],)
    assert len(told) == 2 or told[0][0] != 200, "the second was not answered"
    assert seconds < DEADLINE + 5, "closed after %.1f s" % seconds


def once(got, seconds, statuses):
    """Served, and closed: with TLS a connection carries one request."""
    told = answers(got)
    if not told and None in statuses:
        return
    assert [t[0] in statuses for t in told] == [True], "statuses %s" % [t[0] for t in told]
    assert closes(told[0][1]), "without Connection: close"
    assert got.count(LIVE) == (told[0][0] == 200), "answered twice"
    assert seconds < DEADLINE + 5, "closed after %.1f s" % seconds


def over(got, seconds, statuses):
    """Served as if it were whole; what is too much is no good request, nor is what is behind it."""
    told = answers(got)
    assert told and told[0][0] in statuses, "statuses %s" % [t[0] for t in told]
    assert len(told) <= 2 and got.count(LIVE) == (told[0][0] == 200), "%d answers" % len(told)
    assert len(told) == 1 or told[1][0] in (400, 404, 405), "the second: %s" % (told[1],)
    assert seconds < DEADLINE + 5, "closed after %.1f s" % seconds


def came(got):
    """Says what came of it in the whole run."""
    told = answers(got) if got.startswith(b"HTTP/") else []
    tap.came("%d" % told[0][0] if told else "closed")


def never_whole(got, seconds, statuses):
    told = [status for status, _, _ in answers(got)]
    assert not told or told[0] in statuses, "statuses %s" % told
    assert DEADLINE - 0.5 < seconds < DEADLINE + 5, "closed after %.1f s" % seconds


def none(wrong, most):
    if wrong:
        raise AssertionError("\n".join(["%d of %d are wrong" % (len(wrong), most), *wrong]))


def judge_all(wire, verdict, table, ways):
    """Each row in each way, many at once; all that is wrong is told."""
    def one(row, way):
        name, data, statuses = row
        got, seconds = wire.tell(*ways[way](data))
        try:
            verdict(got, seconds, statuses)
        except AssertionError as error:
            return got, "%s, %s: %s" % (name, way, error)
        return got, None

    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        done = list(pool.map(lambda work: one(*work), itertools.product(table, ways)))
    for got, _ in done:
        came(got)
    none([wrong for _, wrong in done if wrong], len(done))


def halves(data):
    """Cut in the middle and behind the first request: what is judged arrives in parts."""
    return data[:len(data) // 2], data[len(data) // 2:], SECOND


ALONE = {"alone": lambda data: [data]}
BEFORE = {"before a second": lambda data: [data + SECOND]}
BOTH = {**ALONE, **BEFORE}
PIECES = {"in pieces before a second": halves}
BEHIND = {"behind a good one": lambda data: [get(b"X: " + b"y" * 300) + data + SECOND],
          "behind a good one, in pieces": lambda data: [get() + data[:len(data) // 3], data[len(data) // 3:] + SECOND]}


def plain():
    return Wire(STACK.port)


class World:
    secure = None  # the second stack, which speaks TLS


def secure():
    if not World.secure:
        World.secure = Stack(sys.argv[1], config={"deadline": "%ds" % DEADLINE}, tls=True).start()
    return World.secure


def restart(**changes):
    STACK.stop(STACK.server)
    STACK.write_config(**changes)
    STACK.start_server()


# ---- the verdicts themselves

def test_the_table_and_the_verdicts():
    names = [row[0] for row in REFUSED + LEGAL + OVER]
    equal([n for n in set(names) if names.count(n) > 1], [])
    assert len(REFUSED) >= 60, len(REFUSED)
    for good in ([get()], [get() + SECOND], [get(), SECOND]):
        try:
            refused(*plain().tell(*good), (400,))
        except AssertionError:
            continue
        raise AssertionError("a good request passes for a refused one")
    legal(*plain().tell(get() + SECOND), (200,))


# ---- direct

def test_attack_34_plain():
    judge_all(plain(), refused, REFUSED, BOTH)


def test_attack_34_plain_in_pieces():
    judge_all(plain(), refused, REFUSED, PIECES)


def test_attack_34_plain_behind_a_good_one():
    """In the middle of what has been read, where a head has another place than the first one's."""
    judge_all(plain(), refused_behind, REFUSED, BEHIND)


def test_attack_34_over_tls():
    wire = Wire(secure().port, secure().context())
    judge_all(wire, refused, REFUSED, BOTH)
    judge_all(wire, once, LEGAL, BEFORE)
    judge_all(wire, never_whole, NEVER_WHOLE, ALONE)


def test_attack_34_the_ops_listener():
    rows = [row for row in REFUSED if b"/v1/" not in row[1]]
    judge_all(Wire(STACK.ops_port), refused, rows, BEFORE)


def test_attack_34_what_the_standard_allows():
    judge_all(plain(), legal, LEGAL, {**BEFORE, **PIECES})
    judge_all(plain(), over, OVER, BOTH)


def test_attack_34_never_whole():
    judge_all(plain(), never_whole, NEVER_WHOLE, ALONE)


def test_attack_34_burns_nothing():
    """A release in a request with two readings is none, whoever it is from; a good one after it is served."""
    instance = STACK.launch()
    body = STACK.release_body(instance, KEYS[0])
    length = b"Content-Length: %d" % len(body)
    wire = Wire(STACK.port, source=instance["address"])
    for lines in ((length, length), (length, b"Content-Length: 0"), (length, b"Transfer-Encoding: chunked"),
                  (length, b"Transfer-Encoding: identity"), (length, b": x"), (length, b"Host: b"), (length, b"X: y\r\n z"),
                  (length, b"X: y\nZ: z"), (length, b"X: \0"), (length + b"\0",), (b"Content-Length : %d" % len(body),)):
        refused(*wire.tell(post(*lines, body=body) + SECOND), (400,))
    refused_behind(*wire.tell(get() + post(length, b"X: y\nZ: z", body=body) + SECOND), (400,))
    refused(*wire.tell(post(length, body=body, target=b"http://a/v1/releases") + SECOND), (400, 404))
    refused(*wire.tell(post(length, body=body).replace(b"\r\n", b"\n") + SECOND), (400,))
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    refused(*wire.tell(post(b"Transfer-Encoding: chunked", body=chunks) + SECOND), (400,))
    equal(STACK.instance_events(instance), [])
    # and where all is well each is answered in its turn
    told = answers(wire.tell(get() + post(length, body=body) + get() + post(length, body=body) + SECOND)[0])
    equal([status for status, _, _ in told], [200] * 5)
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.repeated"])


# ---- behind haproxy

FRONT = """global
	nbthread 1
	stats socket {socket} mode 600
defaults
	timeout connect 3s
	timeout client 1s
	timeout http-request 1s
	timeout http-keep-alive 1s
	timeout server {server}s
	log stdout format raw local0
{sections}
"""
PASSES = """frontend passes
	mode tcp
	bind fd@{passes} ssl crt {pem} alpn http/1.1
	default_backend passed
backend passed
	mode tcp
	server s 127.0.0.1:{port} send-proxy-v2 source {proxy}
"""
SPEAKS = """frontend {name}
	mode http
	bind fd@{fd}
	{lenient}
	option http-keep-alive
	declare capture response len 40
	http-response capture res.hdr(X-Request-Id) id 0
	log-format "answer {name} %[capture.res.hdr(0)]"
	default_backend b-{name}
backend b-{name}
	mode http
	http-reuse always
	{forward}
	server s 127.0.0.1:{port} maxconn 1 {source}
"""


class Front:
    """A haproxy with these frontends, {name: text}, each bound to the descriptor of its own listening socket."""

    def __init__(self, sections, **values):
        self.sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=512) for name in sections}
        self.ports = {name: s.getsockname()[1] for name, s in self.sockets.items()}
        self.control = STACK.base / "haproxy.sock"
        descriptors = {name: s.fileno() for name, s in self.sockets.items()}
        text = "".join(section.format(**values, fd=descriptors[name], **descriptors) for name, section in sections.items())
        path = STACK.etc / "haproxy.cfg"
        path.write_text(FRONT.format(socket=self.control, sections=text, server=DEADLINE + 3))
        with open(STACK.logs / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", str(path)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=descriptors.values())
        STACK.processes.append(self.process)
        wait_for("haproxy", self.control.exists)

    def counts(self):
        """{(proxy, server): {column: value}}"""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(SECONDS)
            control.connect(str(self.control))
            control.sendall(b"show stat\n")
            lines = control.makefile().read().lstrip("# ").splitlines()
        names = lines[0].split(",")
        rows = [dict(zip(names, line.split(","))) for line in lines[1:] if line]
        return {(row["pxname"], row["svname"]): row for row in rows}

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.process.kill()
        self.process.wait()
        self.control.unlink()


def test_attack_34_through_haproxy_that_passes_bytes():
    pem = STACK.etc / "front.pem"
    key, crt = STACK.etc / "front.key", STACK.etc / "front.crt"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
            "/CN=vouchsafe", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt))
    pem.write_text(crt.read_text() + key.read_text())
    restart(trusted_proxies=TRUSTED, forwarded_by="proxy-protocol")
    front = Front({"passes": PASSES}, pem=pem, port=STACK.port, proxy=PROXY)
    try:
        wire = Wire(front.ports["passes"], ssl.create_default_context(cafile=str(crt)))
        legal(*wire.tell(get() + SECOND), (200,))
        judge_all(wire, refused, REFUSED, BEFORE)
    finally:
        front.close()


def served():
    """How many requests the server has answered, our own look at it aside."""
    connection = STACK.connection(STACK.ops_port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    World.looks += 1
    return sum(int(n) for n in re.findall(r"(?m)^vouchsafe_requests_total\{.*\} (\d+)$", text)) - World.looks + 1


World.looks = 0


def neighbour(front, name):
    """Another client of the same haproxy, on the same connection behind it: what it gets has to be its own."""
    connection = http.client.HTTPConnection("127.0.0.1", front.ports[name], timeout=SECONDS)
    with contextlib.closing(connection):
        for path, expected in (("/v1/challenges", 201), ("/v1/releases", 415)):
            connection.request("POST", path)
            response = connection.getresponse()
            got = response.read()
            equal((path, response.status), (path, expected), got[:200])
            if response.will_close:
                connection.close()


def through(front, name, row):
    """The request and a good one behind it, then the neighbour. No more answers than requests that haproxy understood."""
    before = int(front.counts()[name, "FRONTEND"]["req_tot"])
    got, _ = Wire(front.ports[name]).tell(row[1] + SECOND)
    understood = int(front.counts()[name, "FRONTEND"]["req_tot"]) - before
    if row[1].startswith(b"PRI "):
        got = b""  # haproxy speaks HTTP/2 itself
    told = len(answers(got, without_body=row[1].startswith(b"HEAD ")))
    assert told <= max(understood, 1), "%d answers to %d requests" % (told, understood)
    neighbour(front, name)


def frontends():
    """Strict and lenient, with our connections kept and shared, and with the client's address forwarded."""
    lenient = {"strict": "", "lenient": "option accept-invalid-http-request"}
    forward = {"kept": ("", ""), "forwarded": ("option forwardfor", "source " + PROXY)}
    for (l, invalid), (f, (option, source)) in itertools.product(lenient.items(), forward.items()):
        name = "%s-%s" % (l, f)
        yield name, SPEAKS.replace("{name}", name).replace("{lenient}", invalid).replace("{forward}", option).replace(
            "{source}", source)


def answers_of_ours():
    """How many answers haproxy has logged, of those that have an id: libmicrohttpd's own are no answers to a request."""
    return len(re.findall(r"(?m)^answer \S+ [0-9a-f-]{36}$", STACK.log("haproxy")))


def test_attack_34_through_haproxy_that_speaks_http():
    restart(trusted_proxies=TRUSTED, forwarded_by="x-forwarded-for")
    World.looks = 0
    front = Front(dict(frontends()), port=STACK.port)

    def run(name):
        neighbour(front, name)
        wrong = []
        for row in REFUSED + LEGAL + OVER:
            try:
                through(front, name, row)
            except (AssertionError, OSError, http.client.HTTPException) as error:
                wrong.append("%s, %s: %r" % (name, row[0], error))
        return wrong

    try:
        before = served()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = [w for found in pool.map(run, front.ports) for w in found]
        none(wrong, len(front.ports) * len(REFUSED + LEGAL + OVER))
        # each answer was one that haproxy took for that of a request which it had forwarded
        answered = served() - before
        taken = wait_for("log", lambda: answers_of_ours() if answers_of_ours() >= answered else None)
        equal(answered, taken, "answers that haproxy did not see")
        tap.came("answer that haproxy saw", answered)
    finally:
        front.close()


# ---- and nobody is refused who is right

def test_attack_34_well_formed_spellings_are_served():
    """OWS on both sides of a value, names in any case, any order, any length that fits; alone, in pieces and behind others."""
    restart()
    names = [b"User-Agent: x/1 (y; z) \"q\"", b"Accept: */*", b"Accept-Encoding: gzip, br", b"Connection: keep-alive",
             b"X-Empty:", b"X-Blank: ", b"Cookie: a=b; c=\"d\"", b"Accept-Language: en;q=0.5,de", b"X-!#$%&'*+-.^_`|~: 1",
             b"Cache-Control: no-cache", b"Date: Thu, 01 Jan 2026 00:00:00 GMT", b"X-Colons: a:b::c :", b"DNT: 1"]
    heads = [head(b"Host:a"), head(b"Host: a"), head(b"Host:  a"), head(b"Host:\ta"), head(b"Host: \t a"), head(b"Host: a "),
             head(b"Host: a\t"), head(b"Host:a \t "), head(b"host: a"), head(b"HOST: a"), head(b"hOsT: a:8443"),
             head(b"Host: [::1]:80"), head(b"Host: 127.0.0.1"), head(b"X: y", b"Host: a"), get(b"X:y"), get(b"X:  y"),
             get(b"X:   y  z  "), get(b"X:\t\ty"), get(b"X:"), get(b"X: "), get(b"X:  "), get(b"X:\t"), get(b"a:b"),
             get(b"X: " + b"y" * 4000), get(*[b"X-%d: y" % i for i in range(60)]), get(b"X" * 200 + b": y")]
    order = random.Random(34)
    for _ in range(60):
        lines = [b"Host: a", *order.sample(names, order.randrange(len(names)))]
        order.shuffle(lines)
        heads.append(head(*lines))
    rows = [("%r" % data[:120], data, (200,)) for data in heads]
    bytewise = [row for row in rows if len(row[1]) < 120][:12]
    judge_all(plain(), legal, rows, {**BEFORE, **PIECES})
    judge_all(plain(), legal, bytewise, {"byte by byte": lambda data: [data[i:i + 1] for i in range(len(data))] + [SECOND]})
    judge_all(Wire(secure().port, secure().context()), once, rows, {**BEFORE, **PIECES})
    for pieces in ([b"".join(heads) + SECOND], [*heads, SECOND]):
        told = answers(plain().tell(*pieces)[0])
        equal([t[0] for t in told], [200] * (len(heads) + 1))
    body = post(b"Content-Length: 2")
    told = answers(plain().tell((body + get()) * 20 + SECOND)[0])
    equal([t[0] for t in told], [400, 200] * 20 + [200])


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=STACK.environment())
    equal((command[0], done.returncode), (command[0], 0), done.stdout + done.stderr)
    return done.stdout


def programs(url, ca):
    """Each of these asks for /livez (some twice), and prints what came."""
    trust = {"curl": ["--cacert", ca], "wget": ["--ca-certificate=" + ca]} if ca else {"curl": [], "wget": []}
    curl = ["curl", "-sS", "--fail", *trust["curl"]]
    yield curl + [url + "/livez", url + "/livez"]
    yield curl + ["--no-keepalive", "-H", "Connection: close", url + "/livez"]
    yield curl + ["--compressed", "-A", "x" * 1000, "-b", "a=b", "-e", "http://x/", "-r", "0-", url + "/livez"]
    yield curl + ["-H", "X-Empty;", "-H", "Accept:", "-H", "User-Agent:", url + "/livez"]
    yield curl + ["--http2" if ca else "--http1.1", url + "/livez"]
    yield curl + ["-u", "a:b", "-z", "2020-01-01", url + "/livez"]
    yield ["wget", "-q", "-O", "-", "--tries=1", *trust["wget"], url + "/livez"]
    if not ca:
        yield ["node", "-e", "const h = require('http'); const agent = new h.Agent({keepAlive: true, maxSockets: 1});"
               "const ask = n => h.get('%s/livez', {agent, headers: {'X-Two': ['a', 'b']}}, r => {"
               "r.on('data', d => process.stdout.write(d)); r.on('end', () => n ? ask(n - 1) : agent.destroy())});"
               "ask(1)" % url]


def test_attack_34_programs_are_served():
    for stack, ca in ((STACK, None), (secure(), str(secure().authority.certificate))):
        for command in programs(stack.url(), ca):
            if shutil.which(command[0]):
                out = run(*command)
                assert out and out.replace(LIVE.decode(), "") == "", (command, out)
        with contextlib.closing(stack.connection()) as connection:
            for i in range(5):  # one connection where there is no TLS, and bodies between
                equal(ask(connection, "GET", "/livez", headers={"X-%d" % i: "y" * 300 * i}), (200, bool(ca)))
                equal(ask(connection, "POST", "/v1/challenges"), (201, bool(ca)))
                equal(ask(connection, "POST", "/v1/releases", json.dumps({"a": "b" * 20000}),
                          {"Content-Type": "application/json"}), (400, bool(ca)))
        instance = stack.launch()
        out = stack.base / "out" / "raw"
        done = stack.agent(instance, out)
        equal(done.returncode, 0, done.stderr)
        equal((out / "hsm-partition-pin").read_text(), stack.pin)


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    response.read()
    return response.status, response.will_close


def test_a_release_by_curl():
    """With Expect: 100-continue, which curl says for itself before a large body."""
    instance = STACK.launch()
    path = STACK.base / "body.json"
    path.write_bytes(STACK.release_body(instance, KEYS[0]) + b" " * 60000)
    out = run("curl", "-sS", "--interface", instance["address"], "-H", "Content-Type: application/json", "-H",
              "Expect: 100-continue", "--data-binary", "@%s" % path, STACK.url() + "/v1/releases")
    assert "sealed" in json.loads(out), out


if __name__ == "__main__":
    code = main(globals(), keys=1, config={"deadline": "%ds" % DEADLINE})
    if World.secure:
        World.secure.close()
    sys.exit(code)
