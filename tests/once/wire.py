"""A wire to PostgreSQL: TCP on a port that the kernel chose, passed on to a server's UNIX socket, and cut where a test wants
it cut. It reads the frontend's half of the protocol (PostgreSQL 15, chapter 55: messages are a type, a length and a body;
what comes before the start of a session has no type), so that it knows where a COMMIT stands, also a prepared one.

What can happen to a wire as a whole is its mode:

    pass     bytes pass
    refuse   connections that stand are reset, new ones at once
    forget   nothing passes in either direction any more, and nobody is told: a firewall that has lost a connection

and what can happen to one COMMIT, by arm():

    before   it is not forwarded, both sides are reset
    sent     it is forwarded, and the client reset before any answer
    done     it is forwarded, and the client reset when the answer has come, which it never sees
    late     the client is reset at once, and the COMMIT forwarded so much later, when nobody waits for it any more
    forget   it is forwarded, and then the connection forgotten
    slow     it is forwarded so much later, and all goes on

One thread for each wire; no SSL.
"""
import collections
import contextlib
import re
import selectors
import socket
import struct
import threading
import time

COMMIT = re.compile(rb"(?:^|;)\s*(?:COMMIT|END)\b", re.I)
IDLE = b"Z\0\0\0\x05I"  # ready for a query, in no transaction
SECONDS = 30  # the longest that a wire may take to do what it is told
LARGEST = 1 << 20  # of what may wait to be written to one side


def text_at(body, at=0):
    """(a zero-terminated text, where it ends)"""
    end = body.index(b"\0", at)
    return body[at:end], end + 1


class Frontend:
    """What a client says, message by message: finds the end of each COMMIT."""

    def __init__(self):
        self.buffer = b""
        self.started = False
        self.statements, self.portals = set(), set()  # those that are a COMMIT
        self.due = False  # a prepared COMMIT has been executed, and Sync not been said yet

    def feed(self, data):
        """Takes bytes; gives (whole messages as bytes, do they end a COMMIT) pairs."""
        self.buffer += data
        while (length := self._length()) is not None and len(self.buffer) >= length:
            message, self.buffer = self.buffer[:length], self.buffer[length:]
            yield message, self._read(message)

    def _length(self):
        at = 1 if self.started else 0
        if len(self.buffer) < at + 4:
            return None
        return at + struct.unpack_from("!I", self.buffer, at)[0]

    def _read(self, message):
        if not self.started:
            self.started = struct.unpack_from("!I", message, 4)[0] >> 16 == 3
            return False
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return COMMIT.search(text_at(body)[0]) is not None
        if kind == b"P":
            name, at = text_at(body)
            self._mark(self.statements, name, COMMIT.match(text_at(body, at)[0]))
        elif kind == b"B":
            portal, at = text_at(body)
            self._mark(self.portals, portal, text_at(body, at)[0] in self.statements)
        elif kind == b"E":
            self.due = self.due or text_at(body)[0] in self.portals
        elif kind == b"S" and self.due:
            self.due = False
            return True
        return False

    @staticmethod
    def _mark(names, name, is_commit):
        (names.add if is_commit else names.discard)(name)


class Connection:
    """One client and its server; what waits for each of them."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.frontend, self.said = Frontend(), b""  # what the client has said since its last COMMIT
        self.waiting = {client: b"", server: b""}
        self.answer, self.on_answer = b"", None  # called when COMMIT is answered; nothing of that is passed on
        self.held_until = 0  # nothing goes to the server before
        self.forgotten = False  # nothing passes any more
        self.abandoned = False  # the client is not there any more

    def other(self, one):
        return self.server if one is self.client else self.client


def reset(one):
    """Closes with RST where the socket is TCP's."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Wire:
    """`place`: the path of the server's UNIX socket; it may be changed at any time (move)."""

    def __init__(self, place):
        self.place, self.mode = str(place), "pass"
        self.stalled = False  # what the server says is kept back, and comes when that is over
        self.counts = collections.Counter()
        self.order = None  # (how, seconds, hook) for the nth COMMIT from now, and what its transaction holds
        self.skip, self.holding = 0, b""
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.connections = set()
        self.commands = collections.deque()
        self.wakeup, self.waker = socket.socketpair()
        self.wakeup.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(self.wakeup, selectors.EVENT_READ, None)
        self.running = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # ---- for tests, from any thread

    def arm(self, how, nth=1, seconds=0.3, hook=None, holding=b""):
        """The nth COMMIT from now on meets that, of transactions in which the client has said `holding`. hook() is called
        when it is there, before anything is forwarded (of "done": when it has been answered). Once."""
        with self.lock:
            self.order, self.skip, self.holding = (how, seconds, hook), nth - 1, holding

    def disarm(self):
        with self.lock:
            self.order = None

    def armed(self):
        return self.order is not None

    def set_mode(self, mode):
        """All that stands or comes is treated so from now on. What was forgotten is not remembered by "pass": it is
        reset then."""
        self._do(self._set_mode, mode)

    def stall(self, is_so=True):
        """What the server says is kept back, and nothing else: it, and who listens, believe in the connection."""
        self._do(self._stall, is_so)

    def cut(self):
        """Resets all connections that stand."""
        self._do(self._cut_all)

    def close(self):
        self._do(self._stop)
        self.thread.join()

    def _do(self, function, *arguments):
        done = threading.Event()
        self.commands.append((function, arguments, done))
        self.waker.send(b"x")
        if not done.wait(SECONDS):
            raise AssertionError("the wire does not obey")

    # ---- the wire's own thread

    def _run(self):
        while self.running:
            for key, mask in self.selector.select(self._until()):
                self._event(key, mask)
            self._flush_due()
        for one in [c for connection in self.connections for c in (connection.client, connection.server)]:
            reset(one)
        for one in (self.listener, self.wakeup, self.waker, self.selector):
            one.close()

    def _event(self, key, mask):
        if key.fileobj is self.listener:
            self._accept()
        elif key.fileobj is self.wakeup:
            self._obey()
        elif key.data in self.connections:
            self._ready(key.data, key.fileobj, mask)

    def _obey(self):
        with contextlib.suppress(BlockingIOError):
            self.wakeup.recv(4096)
        while self.commands:
            function, arguments, done = self.commands.popleft()
            function(*arguments)
            done.set()

    def _stop(self):
        self.running = False

    def _until(self):
        held = [c.held_until for c in self.connections if c.held_until]
        return max(0, min(held) - time.monotonic()) if held else None

    def _set_mode(self, mode):
        self.mode = mode
        self.counts[mode] += 1
        for connection in list(self.connections):
            if mode == "refuse" or connection.forgotten:
                self._drop(connection)
            else:
                connection.forgotten = mode == "forget"
                self._watch(connection)

    def _stall(self, is_so):
        self.stalled = is_so
        for connection in self.connections:
            self._watch(connection)

    def _cut_all(self):
        self.counts["cut"] += 1
        for connection in list(self.connections):
            self._drop(connection)

    def _accept(self):
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            self.counts["connections"] += 1
            server = socket.socket(socket.AF_UNIX)
            try:
                if self.mode == "refuse":
                    raise ConnectionRefusedError
                if self.mode == "pass":
                    server.settimeout(1)  # a server that is stopped takes no more when its queue is full
                    server.connect(self.place)
            except OSError:
                server.close()
                reset(client)
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(client, server)
            connection.forgotten = self.mode == "forget"
            self.connections.add(connection)
            for one in (client, server):
                one.setblocking(False)
            self._watch(connection)

    def _watch(self, connection):
        """Has the selector look for what the connection can do now."""
        if connection.abandoned:
            return  # until it is due
        for one in (connection.client, connection.server):
            wanted = 0
            room = len(connection.waiting[connection.other(one)]) < LARGEST
            kept = connection.forgotten or (self.stalled and one is connection.server)
            if room and not kept:
                wanted |= selectors.EVENT_READ
            if connection.waiting[one] and not connection.forgotten and self._may_write(connection, one):
                wanted |= selectors.EVENT_WRITE
            self._register(one, wanted, connection)

    @staticmethod
    def _may_write(connection, one):
        return one is not connection.server or time.monotonic() >= connection.held_until

    def _register(self, one, wanted, connection):
        known = one.fileno() in self.selector.get_map()
        if wanted and known:
            self.selector.modify(one, wanted, connection)
        elif wanted:
            self.selector.register(one, wanted, connection)
        elif known:
            self.selector.unregister(one)

    def _ready(self, connection, one, mask):
        try:
            self._write(connection, one)
            if mask & selectors.EVENT_READ:
                self._read(connection, one)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
        if connection in self.connections:
            self._watch(connection)

    def _write(self, connection, one):
        if connection.waiting[one] and self._may_write(connection, one):
            sent = one.send(connection.waiting[one])
            connection.waiting[one] = connection.waiting[one][sent:]

    def _read(self, connection, one):
        data = one.recv(65536)
        if not data:
            self._drop(connection, by_reset=False)
        elif one is connection.server:
            self._answer(connection, data)
        else:
            for message, is_commit in connection.frontend.feed(data):
                connection.said = (connection.said + message)[-LARGEST:]
                if is_commit and self._commit(connection, message):
                    return
                connection.waiting[connection.server] += message

    def _answer(self, connection, data):
        if not connection.on_answer:
            connection.waiting[connection.client] += data
            return
        connection.answer += data
        if IDLE in connection.answer:
            connection.on_answer()
            self._drop(connection)

    def _take_order(self, said):
        with self.lock:
            self.counts["commits"] += 1
            if self.order is None or self.holding not in said:
                return None
            if self.skip:
                self.skip -= 1
                return None
            order, self.order = self.order, None
            self.counts["commit " + order[0]] += 1
            return order

    def _commit(self, connection, message):
        """True: what comes behind it is nobody's any more."""
        order = self._take_order(connection.said)
        connection.said = b""
        if order is None:
            return False
        how, seconds, hook = order
        if how == "done":
            connection.on_answer = hook or (lambda: None)
        elif hook:
            hook()
        if how == "before":
            self._drop(connection)
            return True
        connection.waiting[connection.server] += message
        if how in ("late", "slow"):
            connection.held_until = time.monotonic() + seconds
        else:
            self._push(connection)
        if how == "late":
            self._abandon(connection)
        elif how == "sent":
            self._drop(connection)
        connection.forgotten = how == "forget"
        return how != "slow"

    def _push(self, connection):
        """Writes all that waits for the server, here and now."""
        connection.server.setblocking(True)
        connection.server.settimeout(1)
        connection.server.sendall(connection.waiting[connection.server])
        connection.waiting[connection.server] = b""
        connection.server.setblocking(False)

    def _abandon(self, connection):
        """The client is reset; the server does not know yet."""
        self._register(connection.client, 0, connection)
        self._register(connection.server, 0, connection)
        connection.abandoned = True
        reset(connection.client)

    def _flush_due(self):
        now = time.monotonic()
        for connection in [c for c in self.connections if c.held_until and now >= c.held_until]:
            connection.held_until = 0
            if not connection.abandoned:
                self._watch(connection)
                continue
            with contextlib.suppress(OSError):
                self._push(connection)
            self._drop(connection, by_reset=False)

    def _drop(self, connection, by_reset=True):
        self.connections.discard(connection)
        for one in (connection.client, connection.server):
            if one.fileno() < 0:
                continue
            self._register(one, 0, connection)
            if not by_reset and connection.waiting[one]:
                with contextlib.suppress(OSError):
                    one.send(connection.waiting[one])
            (reset if by_reset else socket.socket.close)(one)
