"""ATTACKS.md 44: where the answer is the same, its time tells nothing. Two situations are asked about in random order, and
the probability that one takes longer than the other (Mann-Whitney) has to be near one half. Beside that, the source:
what is compared with a secret is compared in constant time.

Noise hits both alike, since their order is random: it makes a difference harder to see, and never makes one. With 300 of
each the statistic's own deviation is 0.024; so one look goes wrong once in some ten thousand, and three of them never.
"""
import base64
import json
import pathlib
import random
import re
import socket
import sys
import time

import tap
from stack import BOUND, RULE, SECONDS, main
from tap import equal

STACK = None
KEYS = []
ROOT = pathlib.Path(__file__).resolve().parents[2]
NEAR = 0.1  # of one half
EACH = 300


# ---- the instrument

class Line:
    """A kept connection, and how long it takes from the last byte sent to the first one received."""

    def __init__(self, port, source):
        self.port, self.source, self.socket = port, source, None

    def ask(self, data):
        """(seconds, status) of a request, on a connection that is made anew where it has gone."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS, source_address=(self.source, 0))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        self.socket.sendall(data)
        got = self.socket.recv(65536)
        took = time.perf_counter() - began
        top, _, rest = got.partition(b"\r\n\r\n")
        left = int(re.search(rb"(?mi)^Content-Length: (\d+)", top).group(1)) - len(rest)
        while left > 0:
            left -= len(self.socket.recv(left))
        if re.search(rb"(?mi)^Connection: close", top):
            self.close()
        return took, int(top.split(b" ", 2)[1])

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Lines:
    """One line after the other, each from an address of its own in 127.0.net.0/24: what an address is denied at first is
    written down, and what it is denied in haste is not."""

    def __init__(self, port, net):
        self.lines = [Line(port, "127.0.%d.%d" % (net, 1 + i)) for i in range(200)]

    def ask(self, data):
        self.lines.append(self.lines.pop(0))
        return self.lines[-1].ask(data)

    def close(self):
        for line in self.lines:
            line.close()


def request(method, path, body=b"", *lines):
    """The bytes of one."""
    head = ["%s %s HTTP/1.1" % (method, path), "Host: a", "Content-Type: application/json", *lines]
    return "\r\n".join(head + ["Content-Length: %d" % len(body), "", ""]).encode() + body


def later(one, other):
    """P(other takes longer than one), ties counted half: the Mann-Whitney statistic over the number of pairs."""
    ranked = sorted([(t, 0) for t in one] + [(t, 1) for t in other])
    total, seen, i = 0.0, 0, 0
    while i < len(ranked):
        same = [side for t, side in ranked[i:i + 50] if t == ranked[i][0]]
        total += sum(same) * (seen + (len(same) - sum(same)) / 2)
        seen += len(same) - sum(same)
        i += len(same)
    return total / (len(one) * len(other))


def look(line, one, other, status, each=EACH, before=None):
    """One repetition: both kinds, each time made anew, in random order, all answered alike."""
    order = [0, 1] * each
    random.shuffle(order)
    took = ([], [])
    for kind in [0, 1] * 5 + order:
        data = (one, other)[kind]()
        if before:
            before(kind)
        seconds, observed = line.ask(data)
        equal(observed, status, data[:200])
        took[kind].append(seconds)
    return later(took[0][5:], took[1][5:])


def alike(name, line, one, other, status, each=EACH):
    seen = []
    for _ in range(3):
        seen.append(look(line, one, other, status, each))
        if abs(seen[-1] - 0.5) < NEAR:
            break
    line.close()
    print("# %s: P = %s" % (name, ", ".join("%.3f" % p for p in seen)))
    tap.came("pair of one time", abs(seen[-1] - 0.5) < NEAR)
    assert abs(seen[-1] - 0.5) < NEAR, "%s: %s" % (name, seen)


def different(name, repetition):
    """A look that has to see one, and does so at least once: in noise a small one goes under."""
    seen = []
    while len(seen) < 3 and max(seen, default=0) <= 0.5 + 2 * NEAR:
        seen.append(repetition())
    print("# %s: P = %s" % (name, ", ".join("%.3f" % p for p in seen)))
    assert seen[-1] > 0.5 + 2 * NEAR, seen


def flipped(text, at):
    """The text with another character of its own kind there."""
    other = "A" if text[at] != "A" else "B"
    return text[:at] + (("0" if text[at] != "0" else "1") if text[at] in "0123456789abcdef" else other) + text[at:][1:]


# ---- the instrument itself

def test_the_statistic():
    equal(later([1, 2, 3], [4, 5, 6]), 1.0)
    equal(later([4, 5, 6], [1, 2, 3]), 0.0)
    equal(later([1, 1], [1, 1]), 0.5)
    equal(later([1, 3], [2, 2]), 0.5)
    equal(later([1, 2], [2, 3]), 0.875)


def test_differences_are_seen():
    """What AWS takes longer for, by three milliseconds; and a body that takes longer to read."""
    line = Line(STACK.port, STACK.address())
    bodies = [known(line.source), known(line.source)]
    slow = lambda kind: STACK.sim.fault("DescribeInstances", "slow", delay_ms=3 * kind, times=1)
    different("3 ms of AWS", lambda: look(line, lambda: bodies[0], lambda: bodies[1], 403, 60, slow))
    STACK.sim.clear_faults()
    short, long = (request("POST", "/v1/releases", json.dumps({"x": ["y"] * n}).encode()) for n in (1, 8000))
    different("40 KB of JSON", lambda: look(line, lambda: short, lambda: long, 400))
    line.close()


# ---- what a stranger may not find out

def released(instance, **changes):
    return request("POST", "/v1/releases", STACK.release_body(instance, KEYS[1], **changes))


def unknown():
    """About an instance that nobody has launched."""
    instance = STACK.launch()
    return released(instance, **{"instance-id": "i-0%016x" % random.getrandbits(64)})


def known(source=None):
    """About one that has not asked yet. `source`: as if that were its address."""
    instance = STACK.launch()
    return released(instance, **({"source-ip": source} if source else {}))


def used(source=None):
    instance = STACK.launch()
    equal(STACK.release(instance, KEYS[0])[0], 200)
    return released(instance, **({"source-ip": source} if source else {}))


def pick(rows):
    return lambda: random.choice(rows)


def test_attack_44_instances_unknown_known_and_used():
    """Whoever asks from elsewhere is denied in one time, as in one shape: also when it is not written down any more."""
    rows = {make.__name__: [make() for _ in range(8)] for make in (unknown, known, used)}
    hasty = Line(STACK.port, STACK.address())
    for net, (one, other) in enumerate((("unknown", "known"), ("known", "used"), ("unknown", "used")), 200):
        before = len(STACK.events(event="release.denied"))
        alike("%s and %s" % (one, other), Lines(STACK.port, net), pick(rows[one]), pick(rows[other]), 403, 200)
        assert len(STACK.events(event="release.denied")) >= before + 400, "each of them is an event"
        alike("%s and %s, in haste" % (one, other), hasty, pick(rows[one]), pick(rows[other]), 403)


def test_attack_44_known_and_used_when_ec2_is_asked():
    """He says that it is his address: EC2 knows better, and whether it has been served is not among what he learns."""
    line = Line(STACK.port, STACK.address())
    rows = {make.__name__: [make(line.source) for _ in range(8)] for make in (known, used)}
    alike("known and used, by EC2", line, pick(rows["known"]), pick(rows["used"]), 403, 200)


# ---- secrets that are compared

def test_attack_44_tokens():
    line = Line(STACK.ops_port, STACK.address())
    def asks(at):
        token = flipped(STACK.token, at)
        return lambda: request("GET", "/v1/audit/events", b"", "Authorization: Bearer " + token)
    alike("tokens, first and last byte", line, asks(0), asks(-1 + len(STACK.token)), 401)
    alike("tokens, near and far", line, asks(len(STACK.token) - 1),
          lambda: request("GET", "/v1/audit/events", b"", "Authorization: Bearer " + "z" * len(STACK.token)), 401)


def test_attack_44_acknowledgements():
    line = Line(STACK.port, STACK.address())
    answer = STACK.granted(STACK.launch(), KEYS[0])
    ack = answer["inside"]["ack"]
    def asks(text, release):
        return lambda: request("POST", "/v1/releases/%s/ack" % release, json.dumps({"ack": text}).encode())
    mine, none = answer["release_id"], answer["release_id"][:-6] + "%06x" % random.getrandbits(24)
    first, last = flipped(ack, 0), flipped(ack, len(ack) - 1)
    alike("acknowledgements, first and last byte", line, asks(first, mine), asks(last, mine), 404)
    alike("acknowledgements, of a release and of none", line, asks(first, mine), asks(first, none), 404)


def test_attack_44_challenges():
    """The rule that demands them is asked from the instance's own address, with a proof of the right form."""
    instance = STACK.launch(role="bound-tier")
    line = Line(STACK.port, instance["address"])
    challenge = STACK.request("POST", "/v1/challenges", headers={})[2]["challenge"]
    raw = base64.urlsafe_b64decode(challenge + "=" * (-len(challenge) % 4))
    proof = STACK.sim.role_credentials(instance).caller_proof("us-east-1", challenge + "." + "A" * 43)

    def asks(at):
        changed = bytearray(raw)
        changed[at] ^= 1
        text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        body = {"assertion": STACK.assertion(instance, role="bound-tier"), "csr": KEYS[1].csr, "challenge": text,
                "evidence": {"caller-identity": proof}}
        data = request("POST", "/v1/releases", json.dumps(body).encode())
        return lambda: data
    mac = len(raw) - 16  # what is behind the time and the random bytes is 16 bytes or more of MAC
    alike("challenges, a late byte and the last", line, asks(mac), asks(len(raw) - 1), 401)


def test_attack_44_cursors():
    for _ in range(3):
        STACK.events()
    line = Line(STACK.ops_port, STACK.address())
    headers = {"Authorization": "Bearer " + STACK.token}
    page = STACK.request("GET", "/v1/audit/events?limit=1", port=STACK.ops_port, headers=headers)[2]
    raw = base64.urlsafe_b64decode(page["next_cursor"] + "=" * (-len(page["next_cursor"]) % 4))
    equal(len(raw), 8 + 16)

    def asks(at):
        changed = bytearray(raw)
        changed[at] ^= 1
        text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        data = request("GET", "/v1/audit/events?limit=1&cursor=" + text, b"", "Authorization: Bearer " + STACK.token)
        return lambda: data
    alike("cursors, first and last byte", line, asks(8), asks(23), 400)


# ---- by construction

# Where a secret meets what somebody gave, and what it is compared with there.
COMPARED = {"server/access.c": "token_sha256", "server/audit_parameters.c": "mac", "vault/client.c": "acknowledgement",
            "verifier/challenge.c": "mac"}
QUICK = re.compile(r"\b(?:memcmp|bcmp|strn?cmp|strn?casecmp|strverscmp|strstr|memmem)\s*\(")
SECRET = re.compile(r"(?:^|[^a-z])(?:mac|hmac|token|ack|acknowledg|secret|hash|sha256|password|passphrase|authoriz)", re.I)
# What looks like a secret and is public, or meets only what is ours: the text that has to stand in the comparison.
PUBLIC = {
    "server/access.c": ["authorization, scheme"],  # "Bearer "
    "server/access_load.c": ["config->access[i].token_sha256, access->token_sha256"],  # the configuration with itself
    "verifier/anchors.c": ["published, sha256"],  # of AWS's certificates
    "store/audit.c": ["hash, event->hash"],  # the trail against itself
    "store/trail.c": ["hash, store->seen.hash"],
    "store/heads.c": ["hash, head->hash"],  # the trail against what a member has signed of it
    "store/store.c": ["hash, wanted->hash"],  # the trail against what was just written
    "store/release.c": ["entry->recipient_sha256, item->record->recipient->sha256"],  # of a public key
    "store/record.c": ["left->one_time_hash, right->one_time_hash"],  # of public names, for an order
}


def arguments(text, at):
    """What stands there up to the parenthesis that closes."""
    depth, end = 1, at
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return " ".join(text[at:end - 1].split())


def comparisons(path):
    """The arguments of each quick comparison in a source, with something in them that is called like a secret."""
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.S))
    found = [arguments(text, m.end()) for m in QUICK.finditer(text)]
    return [a for a in found if SECRET.search(a)]


def test_attack_44_comparisons_by_construction():
    """In what answers strangers (server, store, verifier, and of the vault the client's side)."""
    for path, what in COMPARED.items():
        text = (ROOT / path).read_text()
        assert re.search(r"CRYPTO_memcmp\([^;]*%s" % what, text), path
    sources = [str(p.relative_to(ROOT)) for folder in ("server", "store", "verifier") for p in (ROOT / folder).glob("*.c")]
    found = {path: comparisons(path) for path in sources + ["vault/client.c"]}
    odd = {path: [c for c in those if not any(c.startswith(p) for p in PUBLIC.get(path, []))]
           for path, those in found.items()}
    equal({path: those for path, those in odd.items() if those}, {}, "secrets compared in a hurry?")


if __name__ == "__main__":
    sys.exit(main(globals(), [RULE, BOUND], keys=2))
