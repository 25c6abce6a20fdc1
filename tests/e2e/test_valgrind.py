"""The plain member process under valgrind: the releases of a short life, without an error and without a lost byte."""
import os
import signal
import sys

import tap
from stack import main
from tap import equal

STACK = None
KEYS = []
VALGRIND = ["valgrind", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
            "--fair-sched=yes"]


def test_releases():
    for key in KEYS:
        instance = STACK.launch()
        equal(STACK.granted(instance, key)["inside"]["secrets"][0]["value"], STACK.pin)
        STACK.granted(instance, key)


def test_the_end():
    equal(STACK.stop(STACK.member, signal.SIGTERM), 0)
    log = STACK.log("member")
    assert "ERROR SUMMARY: 0 errors" in log, log[-3000:]


if __name__ == "__main__":
    # valgrind is slow: the member has to be given the time
    plain = os.environ.get("PLAIN", "build")
    sys.exit(main(globals(), keys=2, member_under=VALGRIND, vault_deadline="20s", config={"deadline": "60s"},
                  programs={name: os.path.join(plain, name) for name in ("vouchsafed", "vouchsafe-vault")}))
