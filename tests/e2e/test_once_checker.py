"""The checker of once (tests/once/checker.py) finds each thing that must never be: histories made by hand, one good, and
bad ones that differ from it by one thing each. And the trail's reader finds each break of a chain."""
import copy
import hashlib
import json
import pathlib
import sys

import tap
from tap import equal

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("once", "fault")]
from checker import check  # noqa: E402
from injection import Defect, Trail  # noqa: E402

A, B, C = ("%064x" % n for n in (10, 11, 12))
I = "i-0123456789abcdef0"


class Story:
    """A history and its trail, told one after the other."""

    def __init__(self):
        self.history, self.trail, self.time, self.requests = [], {}, 0, 0

    def event(self, name, **fields):
        events = self.trail.setdefault(I, [])
        events.append({"seq": len(events) + 1, "event": name, **fields})
        return self

    def ask(self, key, answer, release_id=None, event=None, **changes):
        """A request, and its event."""
        self.time += 1
        self.requests += 1
        request_id = "q%d" % self.requests
        opened = {"release_id": release_id, "instance-id": I} if answer == 200 else None
        self.history.append({"kind": "release", "began": self.time, "ended": self.time + 0.5, "instance": I, "key": key,
                             "answer": answer, "code": None, "request_id": request_id, "release_id": release_id,
                             "opened": opened, **changes})
        if event:
            self.event(event, request_id=request_id, release_id=release_id, recipient=key)
        return self

    def ack(self, answer, release_id, event=True):
        self.time += 1
        self.history.append({"kind": "ack", "began": self.time, "ended": self.time + 0.5, "instance": I, "answer": answer,
                             "release_id": release_id})
        return self.event("release.acknowledged", release_id=release_id) if event else self

    def rearm(self):
        self.time += 1
        self.history.append({"kind": "rearm", "began": self.time, "ended": self.time + 0.5, "instance": I, "answer": "done"})
        return self.event("ledger.rearmed")

    def kinds(self):
        return sorted({kind for kind, _ in check(self.history, self.trail, [I])})


def good():
    return (Story().ask(A, "unknown").ask(B, 503).ask(A, 200, "r1", "release.granted").ask(B, 409, None, "release.conflict")
            .ack("unknown", "r1", False).ack(204, "r1").ask(A, 200, "r1", "release.repeated"))


def test_good_histories():
    equal(good().kinds(), [])
    # the first try was committed, and its answer lost
    story = Story().ask(A, "unknown", None, "release.granted")
    story.trail[I][0]["release_id"] = "r1"
    equal(story.ask(B, 409, None, "release.conflict").ask(A, 200, "r1", "release.repeated").kinds(), [])
    equal(good().rearm().ask(B, 200, "r2", "release.granted").ask(A, 409, None, "release.conflict").kinds(), [])


def test_released_to_two_keys():
    equal(good().ask(B, 200, "r2", "release.granted").kinds(), ["granted-twice", "released-twice"])
    equal(Story().ask(A, 200, "r1", "release.granted").rearm().ask(B, 200, "r2", "release.granted").ask(
        C, 200, "r3", "release.granted").kinds(), ["granted-twice", "released-twice"])
    # the re-arm came after both of them
    story = Story().ask(A, 200, "r1", "release.granted").ask(B, 200, "r2").rearm()
    equal(story.event("release.granted", release_id="r2", recipient=B, request_id="q2").kinds(), ["released-twice"])


def test_released_to_two_keys_where_the_trail_forgot_the_first():
    """A failover that lost a commit: the trail alone looks well."""
    equal(Story().ask(A, 200, "r1").ask(B, 200, "r2", "release.granted").kinds(), ["lost-event", "released-twice"])


def test_granted_twice_and_given_once():
    equal(good().event("release.granted", release_id="r2", recipient=B).kinds(), ["granted-to-nobody", "granted-twice"])


def test_another_release_for_the_same_key():
    equal(good().ask(A, 200, "r2", "release.granted").kinds(), ["changed-release", "granted-twice"])


def test_lost_events():
    for lost in (0, 3):  # the first use's, and the repeat's
        story = good()
        del story.trail[I][lost]
        equal("lost-event" in story.kinds(), True)
    story = good()
    story.trail[I][0]["recipient"] = B
    equal("lost-event" in story.kinds(), True)
    story = good()
    story.trail[I] = [e for e in story.trail[I] if e["event"] != "release.conflict"]
    equal(story.kinds(), ["lost-refusal"])


def test_what_does_not_open():
    for opened in (None, {"release_id": "r0", "instance-id": I}, {"release_id": "r1", "instance-id": "i-0"}):
        equal(Story().ask(A, 200, "r1", "release.granted", opened=opened).kinds(), ["sealed-to-nobody"])


def test_a_conflict_with_nobody():
    equal(Story().ask(A, 200, "r1", "release.granted").ask(A, 409, None, "release.conflict").kinds(),
          ["refused-for-nothing"])


def test_never_served():
    equal(Story().ask(A, 503).ask(A, "unknown").kinds(), ["never-served"])
    equal([kind for kind, _ in check([], {}, [I])], ["never-served"])
    story = Story().ask(A, "unknown").ask(B, 409, None, "release.conflict")
    equal(story.event("release.granted", release_id="r1", recipient=A).kinds(), ["granted-to-nobody", "never-served"])


def test_denied_and_nonsense():
    for answer in (403, 400, 401, 404, "nonsense"):
        equal(good().ask(B, answer).kinds(), ["denied"])


def test_a_key_that_never_asked():
    equal("granted-unasked" in good().event("release.repeated", release_id="r1", recipient=C).kinds(), True)


def test_acknowledgements():
    equal(good().ack(204, "r1").kinds(), ["acknowledged"])  # a second event
    equal(good().ack(204, "r1", event=False).kinds(), [])
    equal(Story().ask(A, 200, "r1", "release.granted").ack(204, "r1", event=False).kinds(), ["acknowledged"])
    equal(good().ack(404, "r1", event=False).kinds(), ["acknowledged"])


# ---- the chain

def chain(n):
    """n rows as the database has them: (seq, bytes, hash)."""
    rows, last = [], bytes(32)
    for seq in range(1, n + 1):
        text = json.dumps({"seq": seq, "previous": last.hex(), "instance-id": I}).encode()
        last = hashlib.sha256(b"\0" + text).digest()
        rows.append((seq, text, last))
    return rows


class Rows(Trail):
    """The trail's reader on rows of ours."""

    def __init__(self, rows):
        super().__init__(None)
        self.rows = rows

    def _hash_of(self, seq):
        return next((digest for at, _, digest in self.rows if at == seq), None)

    def _rows(self, after):
        return [row for row in self.rows if row[0] > after]


def defect(rows, then=None):
    trail = Rows(rows)
    try:
        trail.read()
        trail.rows = rows if then is None else then
        trail.read()
    except Defect as found:
        return str(found)
    return None


def test_chains():
    rows = chain(5)
    equal(defect(rows), None)
    equal(defect(rows[:3], rows), None)
    assert "gap" in defect(rows[:2] + rows[3:])
    assert "gap" in defect(rows[1:])
    changed = copy.copy(rows)
    changed[2] = (3, rows[2][1].replace(b"i-0", b"i-1"), rows[2][2])
    assert "broken" in defect(changed)
    changed[2] = (3, changed[2][1], hashlib.sha256(b"\0" + changed[2][1]).digest())
    assert "broken" in defect(changed)
    assert "gone" in defect(rows, rows[:4])  # a committed end that is not there any more
    assert "gone" in defect(rows, rows[:2] + chain(6)[5:])


if __name__ == "__main__":
    sys.exit(tap.run(tap.collect(globals())))
