"""What rounds are played in: a stack, its nodes behind haproxy, and their store: a SQLite file with one node, or PostgreSQL
with its synchronous standby and three nodes, each with a wire of its own to either server. Kept from round to round."""
import collections

import postgres
from fleet import Fleet
from injection import Trail
from stack import RULE, Stack
from wire import Wire

NODES = 3
SETTINGS = {"deadline": "2s"}


class PostgresTrail(Trail):
    """The same chain, read from PostgreSQL's primary."""

    def __init__(self, cluster):
        super().__init__(None)
        self.cluster = cluster

    def _hash_of(self, seq):
        found = self.cluster.psql("SELECT encode(hash, 'hex') FROM vouchsafe.event WHERE seq = %d" % seq)
        return bytes.fromhex(found) if found else None

    def _rows(self, after):
        rows = self.cluster.psql("SELECT seq, encode(bytes, 'hex'), encode(hash, 'hex') FROM vouchsafe.event WHERE seq > %d"
                                 " ORDER BY seq" % after)
        for row in rows.splitlines():
            seq, text, digest = row.split("|")
            yield int(seq), bytes.fromhex(text), bytes.fromhex(digest)


class World:
    """`build`: the plain build's folder, or any without `shims` (fleet.py); `engine`: "postgresql" or "sqlite";
    `asynchronous`: the standby is none that anybody waits for, and the nodes are told that this is well. For a with block."""

    def __init__(self, build, engine="postgresql", asynchronous=False, nodes=NODES, shims=True, rules=(RULE,)):
        self.cluster = self.stack = self.fleet = None
        self.links, self.wires = {}, []  # {server: the wire that standbys find it by}; {server: wire} of each node
        try:
            if engine == "postgresql":
                self._make_cluster(asynchronous, nodes)
            self._make_nodes(build, asynchronous, nodes if self.cluster else 1, shims, rules)
        except BaseException:
            self.close()
            raise

    def _make_cluster(self, asynchronous, nodes):
        more = {"synchronous_standby_names": ""} if asynchronous else {}
        self.cluster = postgres.Cluster(route=self._route, **more)
        self.wires = [{server: Wire(server.socket) for server in self.cluster.servers} for _ in range(nodes)]

    def _route(self, server):
        if server not in self.links:
            self.links[server] = Wire(server.socket)
        return "host=127.0.0.1 port=%d" % self.links[server].port

    def _make_nodes(self, build, asynchronous, nodes, shims, rules):
        config = dict(SETTINGS)
        if self.cluster:
            config["store"] = self.cluster.uri()
            config["min_sync_standbys"] = 0 if asynchronous else 1
        self.stack = Stack(build, list(rules), config)
        self.stack.set_up_vault()
        self.stack.start_member()
        self.fleet = Fleet(self.stack, build, [self._uri(i) for i in range(nodes)], shims)
        self.read_anew()
        self.keys = [self.stack.key() for _ in range(5)]

    def _uri(self, i):
        if not self.cluster:
            return self.stack.config["store"]
        return self.cluster.uri(*(("127.0.0.1", wire.port) for wire in self.wires[i].values()))

    def read_anew(self):
        """The trail from its beginning, also after a break of the chain, which would be found again and again."""
        self.trail = PostgresTrail(self.cluster) if self.cluster else Trail(self.stack.state / "vouchsafe.db")

    def all_wires(self):
        return [wire for of_node in self.wires for wire in of_node.values()]

    def commits(self):
        """{"commits": how many went over the wires, "commit sent": how many of them met that, …}; {} without wires."""
        counts = sum((wire.counts for wire in self.all_wires()), start=collections.Counter())
        return {name: n for name, n in sorted(counts.items()) if name.startswith("commit")}

    def launch(self, n):
        """n instances of this round, with addresses that no agent had before."""
        return [self.stack.launch() for _ in range(n)]

    def heal(self):
        """Whatever is broken is mended."""
        if self.cluster:
            for link in self.links.values():
                link.stall(False)
                link.set_mode("pass")
            for wire in self.all_wires():
                wire.disarm()
                wire.set_mode("pass")
            self.cluster.heal()
        self.fleet.heal()

    def tend(self):
        self.fleet.tend()

    def tails(self):
        return "\n".join(part.tails() for part in (self.cluster, self.fleet or self.stack) if part)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.stack:
            self.stack.close()
        for wire in [*self.all_wires(), *self.links.values()]:
            wire.close()
        if self.cluster:
            self.cluster.close()
