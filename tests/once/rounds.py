"""A round: instances are launched, each with one to three rival keys that ask through haproxy at once; faults come, out of
the round's seed; all is healed; the agents ask on until they are served or refused. Then a key that was never there asks for
each instance, an operator re-arms some, and what was seen is held against the trail."""
import collections
import random

import checker
import faults
from agents import PATIENCE, Agent, finish
from history import History, now
from injection import Defect
from stack import ACCOUNT, REGION, wait_for

INSTANCES = 24
RIVALS = (1, 2, 2, 3)
SPREAD = 2.0  # seconds, within which the agents begin


class Round:
    """`seed` settles who asks when, and what breaks; not what comes of it: that is the machine's."""

    def __init__(self, world, seed, recipe=None, patience=PATIENCE):
        self.world, self.seed, self.chance = world, seed, random.Random(seed)
        self.recipe, self.patience, self.n = recipe, patience, INSTANCES
        self.done, self.wrong = [], []
        self.history = History(world.stack.base / ("history-%d.jsonl" % seed))

    def play(self):
        """True: nothing was wrong."""
        self.began = now()
        self.instances = self.world.launch(self.n)
        agents = [self._agent(instance, key, self.chance.uniform(0, SPREAD)) for instance in self.instances
                  for key in self.world.keys[:self.chance.choice(RIVALS)]]
        self.keys = len(agents)
        for agent in agents:
            agent.start()
        self._break()
        self.world.heal()
        healed = now()
        if not finish(agents, self.world.tend, self.patience):
            self.wrong.append(("no-end", "agents were still asking"))
        self.recovery = now() - healed
        self._latecomers()
        self._judge()
        self.history.close()
        self.took = now() - self.began
        if not self.wrong:
            self.history.path.unlink()
        return not self.wrong

    def _agent(self, instance, key, delay=0.0):
        return Agent(self.world.stack, self.world.fleet.port, self.history, instance, key, self.chance.random(), delay,
                     acknowledges=self.chance.random() < 0.8)

    def _break(self):
        """The faults of the round, from somewhere in the middle of its beginning on."""
        faults.moment(self.chance, 0, SPREAD / 2)
        for fault in faults.schedule(self.world, self.chance, self.recipe):
            self.done.append(fault.__name__.replace("_", "-"))
            began = now()
            fault(self.world, self.chance)
            self.world.tend()
            self.history.append("fault", began, name=self.done[-1])

    def _latecomers(self):
        """A key that nobody had asked with tries each instance; some were re-armed for it."""
        armed = self.chance.sample(self.instances, 2)
        for instance in armed:
            self._rearm(instance)
        late = [self._agent(instance, self.world.keys[-1]) for instance in self.instances]
        for agent in late:
            agent.start()
        finish(late, self.world.tend, self.patience)
        for agent in late:
            if agent.instance in armed and agent.answer != 200:
                self.wrong.append(("rearm-lost", "%s was re-armed, and answered %s" % (agent.instance["id"], agent.answer)))

    def _rearm(self, instance):
        """An operator asks until he is told that it is done, as agents do."""
        try:
            wait_for("re-arm", lambda: self._rearm_once(instance)["answer"] == "done", self.patience)
        except AssertionError as none:
            self.wrong.append(("no-rearm", str(none)))

    def _rearm_once(self, instance):
        began = now()
        done = self.world.stack.cli("ledger", "rearm", instance["id"], "--account", ACCOUNT, "--region", REGION, "--reason",
                                    "a round of tests", "--until", "30m", check=False)
        armed = done.returncode == 0 or "is open and not spent" in done.stderr  # by the try before, that was not told
        return self.history.append("rearm", began, instance=instance["id"], said=done.stderr,
                                   answer="done" if armed else "unknown")

    def _judge(self):
        try:
            self.world.trail.read()
        except Defect as defect:
            self.wrong.append(("chain", str(defect)))
            self.world.read_anew()
        trail = {i["id"]: self.world.trail.of(i) for i in self.instances}
        self.wrong += checker.check(self.history.records, trail, [i["id"] for i in self.instances])

    def counts(self):
        """{"200": how many answers, …}"""
        return collections.Counter(str(r["answer"]) for r in self.history.records if r["kind"] == "release")

    def line(self):
        counts = self.counts()
        return "round seed %d: %s | %d instances, %d keys, %d requests: %s | %.1f s, %.1f after the healing, %s" % (
            self.seed, ", ".join(self.done), self.n, self.keys, sum(counts.values()),
            ", ".join("%d x %s" % (n, answer) for answer, n in sorted(counts.items())), self.took, self.recovery,
            "ok" if not self.wrong else "%d VIOLATIONS" % len(self.wrong))
