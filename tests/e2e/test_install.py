"""What `make install` puts where, and that what it puts there runs."""
import os
import pathlib
import subprocess
import sys
import tempfile

import tap
from tap import equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOC = "usr/local/share/doc/vouchsafe/"
WANTED = {"usr/local/bin/vouchsafe": 0o755, "usr/local/bin/vouchsafe-agent": 0o755,
          "usr/local/sbin/vouchsafed": 0o755, "usr/local/sbin/vouchsafe-vault": 0o755,
          DOC + "README.md": 0o644, DOC + "operation.md": 0o644, DOC + "vouchsafe.json": 0o644,
          DOC + "policy.json": 0o644, DOC + "vault.json": 0o644, DOC + "systemd/vouchsafed.service": 0o644,
          DOC + "systemd/vouchsafe-vault@.service": 0o644, DOC + "systemd/hsm-network.conf": 0o644}


def install(to):
    """Of the programs as they were built for the tests."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return subprocess.run(["make", "-o", "all", "install", "BUILD=" + sys.argv[1], "DESTDIR=" + str(to)], cwd=ROOT,
                          env=clean, capture_output=True, text=True, timeout=60)


def test_all_is_there():
    with tempfile.TemporaryDirectory() as folder:
        done = install(folder)
        equal(done.returncode, 0, done.stdout + done.stderr)
        for name, mode in WANTED.items():
            equal((name, oct((pathlib.Path(folder) / name).stat().st_mode & 0o777)), (name, oct(mode)))
        for name in WANTED:
            if "/bin/" in name or "/sbin/" in name:
                said = subprocess.run([pathlib.Path(folder) / name, "--version"], capture_output=True, text=True)
                equal((said.returncode, said.stdout.split()[0]), (0, pathlib.Path(name).name))


sys.exit(tap.run(tap.collect(globals())))
