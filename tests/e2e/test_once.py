"""Exactly once, whatever happens: ten rounds, in which each kind of fault comes, on three nodes and PostgreSQL with its
synchronous standby, and some on SQLite with one node, each judged by the checker (tests/once/); and that the checker finds
what asynchronous replication loses. `make soak` plays as many as one likes."""
import os
import pathlib
import random
import sys

import tap
from tap import equal

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("fault", "once")]
import faults  # noqa: E402
from rounds import Round  # noqa: E402
from world import World  # noqa: E402

PLAIN = os.environ.get("PLAIN", "build")
TAILS = [""]


def play(world, recipes):
    """A round of each; its line is said. None may show a violation."""
    for seed, recipe in enumerate(recipes, 1):
        one = Round(world, seed, recipe)
        try:
            good = one.play()
        finally:
            TAILS[0] = world.tails()
        print("# " + one.line())
        tap.came("round without a violation" if good else "round with violations")
        equal(one.wrong, [], "violations of round %d" % seed)


def whole(world):
    """The chain, also by the product's own word."""
    assert "one chain without a gap" in world.stack.cli("audit", "verify").stdout


def test_attack_26_30_31_33_ten_rounds_on_postgresql():
    with World(PLAIN) as world:
        play(world, faults.dealt(random.Random(7), 10, faults.ANY + faults.POSTGRESQL))
        whole(world)
        commits = world.commits()
        print("# %s" % commits)
        assert commits["commits"] > 100 and len(commits) > 1, commits  # else nothing was ever cut where it matters


def test_attack_30_33_rounds_on_sqlite():
    with World(PLAIN, engine="sqlite") as world:
        play(world, faults.dealt(random.Random(7), 3, faults.ANY))
        whole(world)


def test_the_checker_finds_what_asynchronous_replication_loses():
    with World(PLAIN, asynchronous=True) as world:
        for seed in range(1, 9):
            one = Round(world, seed, recipe=faults.ASYNCHRONOUS, patience=10)
            one.play()
            if "released-twice" in dict(one.wrong):
                print("# round %d: %s" % (seed, dict(one.wrong)["released-twice"]))
                return
    raise AssertionError("no double release in 8 rounds")


if __name__ == "__main__":
    sys.exit(tap.run(tap.collect(globals()), lambda: TAILS[0]))
