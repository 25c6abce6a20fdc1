"""Agents by the thousand: launched in one call, and played by the load generator (bench/load.c), each from an
address of its own. Their bodies share one CSR: the ledger is about instances."""
import json
import os
import pathlib
import subprocess
import tempfile

from awssim import http_request
from stack import GOOD

AWS_BUCKET = dict(size=100, per_second=20)  # published for calls like DescribeInstances, per account and region


def defaults(stack, bucket=False):
    """A stack's configuration as an operator's would be: the server's own bucket (unless it is to be kept), limits and
    deadline. Before its server starts."""
    for name in () if bucket else ("bucket",):
        stack.config["aws"].pop(name, None)
    for name in ("limits", "deadline"):
        stack.config.pop(name, None)
    stack.write_config()


def metric(stack, series):
    """One series of /metrics; 0 where it is not there yet."""
    answer = http_request(stack.ops_port, "GET", "/metrics")
    for line in answer.body.decode().splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0


class Crowd:
    """Agents of one stack, and the folder with what they send."""

    def __init__(self, stack, build):
        self.stack, self.program = stack, str(pathlib.Path(build) / "bench/load")
        self.key = stack.key()
        self.launched = 0

    def address(self):
        self.launched += 1
        n = self.launched
        return "127.%d.%d.%d" % (32 + n // 62500, n // 250 % 250, 1 + n % 250)

    def fleet(self, n, addresses=None, **changes):
        """n instances. With `addresses` they share so many in turn, each in a VPC of its own."""
        if addresses is None:
            owns = [{"address": self.address()} for _ in range(n)]
        else:
            shared = [self.address() for _ in range(addresses)]
            owns = [{"address": shared[i % addresses], "vpc": "vpc-%017x" % (self.launched << 24 | i)}
                    for i in range(n)]
        return self.stack.sim.fleet(owns, **{**GOOD, **changes})

    def body(self, instance, **changes):
        return json.dumps({"assertion": self.stack.assertion(instance, **changes), "csr": self.key.csr})

    def lines(self, instances):
        """What the load generator reads: each instance's address and body."""
        return ["%s %s\n" % (i["address"], self.body(i)) for i in instances]

    def junk(self, n, addresses):
        """Well-formed assertions of instances that nobody has, from a few addresses."""
        places = [self.address() for _ in range(addresses)]
        like = self.fleet(1)[0]
        return ["%s %s\n" % (places[i % addresses], self.body({**like, "address": places[i % addresses]}, **{
            "instance-id": "i-%s" % os.urandom(9).hex()[:17]})) for i in range(n)]

    def start(self, lines, *options, port=None):
        return Load(self.program, lines, port or self.stack.port, *options)

    def run(self, lines, *options, port=None):
        return self.start(lines, *options, port=port).result()


class Load:
    """A load generator that runs."""

    def __init__(self, program, lines, port, *options):
        self.file = tempfile.NamedTemporaryFile("w", prefix="vouchsafe-load-")
        self.file.writelines(lines)
        self.file.flush()
        self.process = subprocess.Popen([program, "--port", str(port), "--bodies", self.file.name, *options],
                                        stdout=subprocess.PIPE, text=True)

    def wait_sent(self):
        """Until each agent has sent its first request."""
        line = self.process.stdout.readline()
        if '"sent"' not in line:
            raise AssertionError("the load generator did not send all: %s" % line)

    def end(self):
        """Whatever it has come to; again: nothing."""
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.file.close()

    def result(self):
        """Its summary, once it has ended."""
        text = self.process.stdout.read()
        code = self.process.wait()
        self.end()
        if code != 0:
            raise AssertionError("the load generator ended with %d" % code)
        return json.loads(text.strip().splitlines()[-1])
