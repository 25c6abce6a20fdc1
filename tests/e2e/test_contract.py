#!/usr/bin/env python3
"""The contract of store/ on the other engine: its unit tests once more, each with databases of its own on a real
PostgreSQL, a primary with a synchronous standby. Only what is about SQLite's own files and locks stays away."""
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

from postgres import PORT, Cluster

SQLITE_ALONE = {"store_open", "store_faults"}
SECONDS = 300
UNITS = pathlib.Path(__file__).resolve().parent.parent / "unit"


def programs():
    """Those that take their places from the fixture."""
    for path in sorted(UNITS.glob("store_*.c")):
        if "tests/unit/store_fixture.h" in path.read_text() and path.stem not in SQLITE_ALONE:
            yield path.stem


def run(program, build, cluster):
    where = "host=%s&port=%d&user=postgres" % (urllib.parse.quote(str(cluster.primary.sockets), safe=""), PORT)
    done = subprocess.run([build / "unit" / program], capture_output=True, text=True, timeout=SECONDS, check=False,
                          env={**os.environ, "STORE_POSTGRES": where, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    lines = [line for line in done.stdout.splitlines() if re.match(r"(not )?ok \d+ - ", line)]
    return done, lines


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    cluster, n, failed = Cluster(), 0, 0
    try:
        for program in programs():
            done, lines = run(program, build, cluster)
            for line in lines:
                n += 1
                print(re.sub(r"^((?:not )?ok) \d+ - ", r"\g<1> %d - %s on PostgreSQL: " % (n, program), line))
            if done.returncode != 0 or not lines:
                failed += 1
                print("# %s ended with %d\n# %s" % (program, done.returncode, "\n# ".join(
                    (done.stdout + done.stderr).splitlines()[-30:])), flush=True)
        if failed:
            print("# " + cluster.tails().replace("\n", "\n# "))
    finally:
        cluster.close()
    print("1..%d" % n)
    return 1 if failed else 0


sys.exit(main())
