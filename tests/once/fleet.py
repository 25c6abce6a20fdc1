"""Several nodes of one stack, on one store, behind one haproxy: each is started, killed, stopped, stepped and watched by
itself. What ends is started again, as systemd would.

The nodes run with the fault shim and the clock of their own in front (tests/fault/, tests/attacks/clock.c), so their
programs are the plain build's."""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

from haproxy import TRUSTED, Front
from injection import Control
from stack import SECONDS, wait_for

MODE = "proxy-protocol"
AGAIN = 0.2  # seconds, before a node that has ended is started again


class Node:
    """One vouchsafed: `uri` is its own way to the store."""

    def __init__(self, fleet, number, uri, **settings):
        self.fleet, self.name, self.uri = fleet, "rp-%d" % number, uri
        self.address = "127.100.1.%d" % number
        self.place, self.settings = self.address + ":0", settings
        self.process = self.ports = None
        self.began, self.wanted, self.ended = 0, True, 0
        base = fleet.stack.base
        self.clock = base / (self.name + ".clock")
        self.clock.write_bytes(struct.pack("<q", 0))
        self.clock.chmod(0o644)
        self.faults = Control(base / (self.name + ".faults"))

    def begin(self):
        """Starts it, without waiting."""
        libraries = ":".join(str(self.fleet.stack.bin / name) for name in ("clock.so", "shim.so"))
        under = ["env", "LD_PRELOAD=" + libraries, "VOUCHSAFE_CLOCK=%s" % self.clock,
                 "VOUCHSAFE_FAULT_FILE=%s" % self.faults.path]
        self.faults.disarm()
        self.process, self._listening = self.fleet.stack.begin_node(
            self.name, under, store=self.uri, listen=self.place, ops_listen=self.address + ":0",
            trusted_proxies=TRUSTED, forwarded_by=MODE, **self.settings)
        self.began = time.monotonic()

    def wait(self):
        self.ports = self._listening()
        self.place = "%s:%d" % (self.address, self.ports["api"])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL; it stays dead until somebody starts it or revives it."""
        if self.running():
            self.process.kill()

    def pause(self):
        if self.running():
            self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        if self.running():
            self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.wanted = False
        if self.running():
            self.fleet.stack.stop(self.process)

    def step(self, seconds):
        """Its clock is so far ahead of everybody else's."""
        with open(self.clock, "r+b") as page:
            page.write(struct.pack("<q", seconds))

    def revive(self):
        """Starts it again where it has ended; True if it had."""
        if self.running() or not self.wanted or time.monotonic() - self.began < AGAIN:
            return False
        self.ended += 1
        self.begin()
        return True


class Fleet:
    """Nodes with these URIs of one and the same store, all started, and a haproxy that calls them up."""

    def __init__(self, stack, build, uris, **settings):
        self.stack = stack
        for name in ("fault/shim.so", "attacks/clock.so"):
            shutil.copy(pathlib.Path(build) / name, stack.bin)
        stack.base.chmod(0o755)
        self.nodes = [Node(self, i, uri, **settings) for i, uri in enumerate(uris, 1)]
        for node in self.nodes:
            node.begin()
            node.wait()
        self.front = Front(stack, {node.name: node.place for node in self.nodes}, tls=False)
        self.wait_up()

    @property
    def port(self):
        """Where agents ask."""
        return self.front.ports[MODE]

    def tend(self):
        """Revives what has ended; to be called now and then."""
        for node in self.nodes:
            node.revive()
        if self.stack.member.poll() is not None:
            self.stack.start_member()

    def wait_up(self, seconds=SECONDS):
        def up():
            self.tend()
            states = self.front.states(MODE)
            return all(states.get(node.name) == "UP" for node in self.nodes if node.wanted)
        wait_for("nodes that haproxy calls up", up, seconds)

    def heal(self):
        """Everything runs, at the right time, and haproxy sends it agents."""
        for node in self.nodes:
            node.faults.disarm()
            node.resume()
            node.step(0)
            self.front.command("set server vouchsafe-proxy/%s state ready" % node.name)
        if self.stack.member.poll() is None:
            self.stack.member.send_signal(signal.SIGCONT)
        self.tend()

    def tails(self):
        return self.stack.tails() + "".join("\n--- %s\n%s" % (node.name, "\n".join(
            self.stack.log(node.name).splitlines()[-6:])) for node in self.nodes)
