"""The smallest test harness: functions in order, TAP on standard output, the world's logs where one fails. With the
variable ATTACKS ("4,12") only the tests run that have one of these numbers of ATTACKS.md in their name.

Each test says what came of it, counted: "# came: 17 x 403 denied". `make attacks` adds these up."""
import collections
import os
import re
import sys
import traceback

TALLY = collections.Counter()
NEVER = {}


class Skip(Exception):
    """Raised by a test that cannot run here; it is counted and said."""


def came(what, n=1):
    """Counts what came of an attack."""
    TALLY[what] += n


def never(what, count):
    """A number, count(), that no test may let grow: each says so, and fails by it."""
    NEVER[what] = count


def attacks_of(name):
    """The numbers at the head of a test's name: {12, 33} for attack_12_33_old_challenges."""
    found = re.match(r"(?:test[_ ])?attack[_ ]((?:\d+[_ ])+)", name)
    return {int(n) for n in re.findall(r"\d+", found.group(1))} if found else set()


def one(function):
    """Runs a test; what came of it is told even where it fails."""
    TALLY.clear()
    before = {what: count() for what, count in NEVER.items()}
    try:
        function()
        for what, count in NEVER.items():
            came(what, count() - before[what])
            equal(count() - before[what], 0, what)
    finally:
        for what, n in TALLY.items():
            print("# came: %d x %s" % (n, what))


def run(tests, on_failure=None):
    """Runs (name, function) pairs. Returns the exit code."""
    print("1..%d" % len(tests))
    failed = 0
    for i, (name, function) in enumerate(tests, 1):
        try:
            one(function)
            print("ok %d - %s" % (i, name))
        except Skip as why:
            print("ok %d - %s # skip %s" % (i, name, why))
        except Exception:
            failed += 1
            print("not ok %d - %s" % (i, name))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            if on_failure:
                for line in on_failure().splitlines():
                    print("# " + line)
        sys.stdout.flush()
    return 1 if failed else 0


def collect(namespace):
    """All functions named test_* of a module, in the order in which they stand there."""
    wanted = {int(n) for n in os.environ.get("ATTACKS", "").split(",") if n}
    return [(name[5:].replace("_", " "), f) for name, f in namespace.items()
            if name.startswith("test_") and callable(f) and (not wanted or wanted & attacks_of(name))]


def equal(observed, expected, what=""):
    if observed != expected:
        raise AssertionError("%s: expected %r, observed %r" % (what or "value", expected, observed))
