"""The smallest test harness: functions in order, TAP on standard output, the world's logs where one fails."""
import sys
import traceback


class Skip(Exception):
    """Raised by a test that cannot run here; it is counted and said."""


def run(tests, on_failure=None):
    """Runs (name, function) pairs. Returns the exit code."""
    print("1..%d" % len(tests))
    failed = 0
    for i, (name, function) in enumerate(tests, 1):
        try:
            function()
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
    return [(name[5:].replace("_", " "), f) for name, f in namespace.items()
            if name.startswith("test_") and callable(f)]


def equal(observed, expected, what=""):
    if observed != expected:
        raise AssertionError("%s: expected %r, observed %r" % (what or "value", expected, observed))
