"""A certificate authority made with the openssl command: certificates for servers and clients, good and bad ones, and
its list of those that it has taken back."""
import pathlib
import shutil
import subprocess

CONFIGURATION = """[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 2
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
"""
DATE = "%y%m%d%H%M%SZ"


class Pair:
    """A certificate and its key, as paths."""

    def __init__(self, certificate, key):
        self.certificate, self.key = pathlib.Path(certificate), pathlib.Path(key)


class Authority:
    def __init__(self, folder, name):
        """The folder is made; `name` is the authority's own, "/CN=" before it."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.name = name
        self.certificate, self.list = self.folder / "ca.pem", self.folder / "ca.crl"
        (self.folder / "index.txt").write_text("")
        for number in ("serial", "crlnumber"):
            (self.folder / number).write_text("01\n")
        (self.folder / "ca.cnf").write_text(CONFIGURATION.format(folder=self.folder))
        self._openssl("req", "-x509", *self._new_key("ca"), "-days", "2", "-subj", "/CN=" + name, "-addext",
                      "keyUsage=critical,keyCertSign,cRLSign", "-out", str(self.certificate))
        self._publish()

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError("openssl %s\n%s" % (" ".join(arguments), done.stderr))
        return done.stdout

    def _new_key(self, name, kind="ec"):
        kinds = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}
        return ["-newkey", *kinds[kind], "-nodes", "-keyout", str(self.folder / (name + ".key"))]

    def _publish(self):
        """In one move: a server that reads the list while it is written sees the old one."""
        fresh = self.folder / "ca.crl.new"
        self._openssl("ca", "-config", str(self.folder / "ca.cnf"), "-gencrl", "-out", str(fresh))
        fresh.chmod(0o644)
        fresh.replace(self.list)

    def issue(self, name, names="", usage="clientAuth", begins=None, ends=None, subject=None, kind="ec"):
        """A pair. `names` is a subjectAltName such as "DNS:a,IP:127.0.0.1"; the times are in UTC, and default to now
        and in two days."""
        request, extensions = self.folder / (name + ".csr"), self.folder / (name + ".ext")
        pair = Pair(self.folder / (name + ".pem"), self.folder / (name + ".key"))
        lines = ["basicConstraints=CA:FALSE", "keyUsage=digitalSignature"]
        lines += ["extendedKeyUsage=" + usage] if usage else []
        lines += ["subjectAltName=" + names] if names else []
        extensions.write_text("\n".join(lines) + "\n")
        self._openssl("req", "-new", *self._new_key(name, kind), "-subj", subject or "/CN=" + name, "-out", str(request))
        times = ["-startdate", begins.strftime(DATE)] if begins else []
        times += ["-enddate", ends.strftime(DATE)] if ends else ["-days", "2"]
        self._openssl("ca", "-batch", "-notext", "-config", str(self.folder / "ca.cnf"), "-extfile",
                      str(extensions), "-in", str(request), "-out", str(pair.certificate), *times)
        pair.certificate.chmod(0o644)
        return pair

    def revoke(self, pair):
        self._openssl("ca", "-config", str(self.folder / "ca.cnf"), "-revoke", str(pair.certificate))
        self._publish()

    def close(self):
        shutil.rmtree(self.folder)
