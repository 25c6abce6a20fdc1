"""haproxy in front of a stack's nodes, with the configuration that is shipped in conf/. It connects from 127.100.0.1;
127.100.0.0/24 is what the nodes trust. Nothing of AWS lives there."""
import pathlib
import socket
import subprocess

from stack import SECONDS, openssl, wait_for

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "conf/haproxy.cfg"
PROXY = "127.100.0.1"
TRUSTED = ["127.100.0.0/24"]
MODES = ("x-forwarded-for", "proxy-protocol")
BACKENDS = {"x-forwarded-for": "vouchsafe-header", "proxy-protocol": "vouchsafe-proxy"}


def certificate(stack):
    """Certificate and key in one file, as haproxy wants them; made once."""
    pem = stack.etc / "haproxy.pem"
    if not pem.exists():
        key, crt = stack.etc / "haproxy.key", stack.etc / "haproxy.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=vouchsafe", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt))
        pem.write_text(crt.read_text() + key.read_text())
    return pem


def shipped(stack, **changes):
    """The shipped configuration with other places; each text that is replaced has to be there."""
    text = SHIPPED.read_text()
    for old, new in {"/etc/haproxy/vouchsafe.pem": str(certificate(stack)), **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Front:
    """A haproxy of its own in front of nodes, given as {"rp-1": "address:port", …}. Both frontends are there; the
    nodes' configuration says which of them they understand. Without `tls` it takes plain HTTP."""

    def __init__(self, stack, nodes, tls=True):
        self.stack = stack
        self.sockets = {mode: socket.create_server(("127.0.0.1", 0), backlog=512) for mode in MODES}
        self.ports = {mode: s.getsockname()[1] for mode, s in self.sockets.items()}
        self.control = stack.base / "haproxy.sock"
        changes = {} if tls else {" ssl crt %s alpn http/1.1" % certificate(stack): ""}
        changes["bind :8444"] = "bind fd@%d" % self.sockets["x-forwarded-for"].fileno()
        changes["bind :8443"] = "bind fd@%d" % self.sockets["proxy-protocol"].fileno()
        changes["inter 2s"] = "inter 200ms"
        changes["server rp-1 10.0.1.10:8443"] = "\n\t".join("server %s %s source %s" % (*node, PROXY)
                                                            for node in nodes.items())
        changes["# server rp-2 10.0.1.11:8443"] = ""
        changes["user haproxy"] = "nbthread 1"
        changes["group haproxy"] = "stats socket %s mode 600 level admin" % self.control
        changes["/dev/log"] = "stdout format raw"
        path = stack.etc / "haproxy.cfg"
        path.write_text(shipped(stack, **changes))
        with open(stack.logs / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", str(path)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=[s.fileno() for s in self.sockets.values()])
        stack.processes.append(self.process)

    def command(self, text):
        """What haproxy answers to it on its control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(SECONDS)
            control.connect(str(self.control))
            control.sendall(text.encode() + b"\n")
            return control.makefile().read()

    def states(self, mode):
        """{"rp-1": "UP", …} of the mode's backend."""
        if self.process.poll() is not None:
            raise AssertionError("haproxy ended:\n" + self.stack.log("haproxy"))
        try:
            rows = [line.split(",") for line in self.command("show stat").splitlines() if line.startswith(BACKENDS[mode])]
        except (FileNotFoundError, ConnectionRefusedError):
            return {}
        return {row[1]: row[17] for row in rows if row[1].startswith("rp-")}

    def wait_up(self, mode, *names):
        wait_for("nodes that haproxy calls up", lambda: all(self.states(mode).get(n) == "UP" for n in names))

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.process.kill()
        self.process.wait()
