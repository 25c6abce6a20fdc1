"""Create-once for each instance: what a history and the trail, held against each other, must never show.

A pure function of two things. The history (history.py) is what agents saw:

    {"kind": "release", "began", "ended", "instance", "key": the recipient's SHA-256, "answer": a status, or "unknown" where
     none came, "code", "request_id", "release_id", "opened": what was inside, None where that key does not open it}
    {"kind": "ack", …, "release_id", "answer"}
    {"kind": "rearm", …, "instance", "answer": "done" or "unknown"}

The trail is {instance: its events, oldest first}. A request whose answer is unknown may have had its effect at any time
from its beginning on, also after the round, so it excuses an event and never a second key.
"""
import collections


def check(history, trail, keep_asking=()):
    """What is wrong, as a list of (kind, text). `keep_asking`: the instances whose agents asked until they were answered,
    after all faults had been healed."""
    found = []
    for instance in sorted({r["instance"] for r in history if "instance" in r} | set(keep_asking)):
        view = View(instance, history, trail.get(instance, []))
        for rule in RULES:
            found += [(rule.__name__.replace("_", "-"), "%s: %s" % (instance, text)) for text in rule(view)]
        if instance in keep_asking and not view.served:
            found.append(("never-served", "%s: asked %d times, last %s" % (
                instance, len(view.asked), view.asked[-1]["answer"] if view.asked else "never")))
    return found


class View:
    """One instance, from both sides."""

    def __init__(self, instance, history, events):
        mine = [r for r in history if r.get("instance") == instance]
        self.events = events
        self.asked = sorted((r for r in mine if r["kind"] == "release"), key=lambda r: r["ended"])
        self.served = [r for r in self.asked if r["answer"] == 200]
        self.acks = [r for r in mine if r["kind"] == "ack"]
        self.rearms = [r for r in mine if r["kind"] == "rearm"]  # one that is unknown may have armed

    def of(self, *kinds):
        return [e for e in self.events if e["event"] in kinds]

    def granted(self, release_id):
        return [e for e in self.of("release.granted") if e.get("release_id") == release_id]


def released_twice(view):
    """Two keys have had it, and nobody has re-armed it between them."""
    first = {}
    for answer in view.served:
        first.setdefault(answer["key"], answer)
    holders = sorted(first.values(), key=lambda r: r["ended"])
    told = False
    for earlier, later in zip(holders, holders[1:]):
        between = [r for r in view.rearms if r["ended"] >= earlier["began"] and r["began"] <= later["ended"]]
        if not between:
            told = True
            yield "released to key %s as %s and to key %s as %s, %.3f s apart" % (
                earlier["key"][:8], earlier["release_id"], later["key"][:8], later["release_id"],
                later["ended"] - earlier["ended"])
    if len(holders) > 1 + len(view.rearms) and not told:
        yield "%d keys, %d re-arms" % (len(holders), len(view.rearms))


def granted_twice(view):
    """The trail has more first uses than there were chances."""
    chances = 1
    for event in view.events:
        if event["event"] == "ledger.rearmed":
            chances += 1
        elif event["event"] == "release.granted":
            chances -= 1
            if chances < 0:
                yield "event %d grants it once more" % event["seq"]


def changed_release(view):
    """One key, one release: each answer to it is the same one, as long as nobody has re-armed."""
    if not view.rearms:
        for key, ids in group(view.served, "key", "release_id").items():
            if len(ids) > 1:
                yield "key %s has had %s" % (key[:8], sorted(ids))


def group(records, by, what):
    groups = collections.defaultdict(set)
    for record in records:
        groups[record[by]].add(record[what])
    return groups


def lost_event(view):
    """What was given out stands in the trail: the first use, and this answer of it."""
    by_request = {e.get("request_id"): e for e in view.of("release.granted", "release.repeated")}
    for answer in view.served:
        grants = view.granted(answer["release_id"])
        if not grants:
            yield "release %s has no event" % answer["release_id"]
        elif grants[0].get("recipient") != answer["key"]:
            yield "release %s was granted to another key" % answer["release_id"]
        event = by_request.get(answer["request_id"])
        if not event or event.get("release_id") != answer["release_id"]:
            yield "answer %s gave out release %s and has no event" % (answer["request_id"], answer["release_id"])


def sealed_to_nobody(view):
    """What was answered opens by that key, and holds that very release."""
    for answer in view.served:
        inside = answer["opened"]
        if not inside or inside["release_id"] != answer["release_id"] or inside["instance-id"] != answer["instance"]:
            yield "release %s to key %s holds %s" % (answer["release_id"], answer["key"][:8], inside)


def refused_for_nothing(view):
    """A conflict needs somebody else's release."""
    for answer in view.asked:
        if answer["answer"] == 409 and not [e for e in view.of("release.granted") if e.get("recipient") != answer["key"]]:
            yield "key %s was refused, and no other key has been granted" % answer["key"][:8]


def lost_refusal(view):
    """A refusal that was answered stands in the trail."""
    requests = {e.get("request_id") for e in view.events}
    for answer in view.asked:
        if answer["answer"] == 409 and answer["request_id"] not in requests:
            yield "conflict %s has no event" % answer["request_id"]


def denied(view):
    """Who is right is not denied, whatever broke."""
    for answer in view.asked:
        if answer["answer"] not in (200, 409, "unknown") and not isinstance(answer["answer"], int):
            yield "answered %s" % answer["answer"]
        elif answer["answer"] not in (200, 409, "unknown") and answer["answer"] < 500:
            yield "answered %s %s" % (answer["answer"], answer.get("code"))


def granted_to_nobody(view):
    """Who was granted it and kept asking has got it: no release is stuck with a key that never had it."""
    asking = {r["key"] for r in view.asked}
    newest = view.of("release.granted")[-1:]
    for event in newest:
        if event.get("recipient") in asking and event["recipient"] not in {r["key"] for r in view.served}:
            yield "granted to key %s, which never got it" % event["recipient"][:8]


def granted_unasked(view):
    """Nothing is granted to a key that has not asked."""
    for event in view.of("release.granted", "release.repeated"):
        if event.get("recipient") not in {r["key"] for r in view.asked}:
            yield "event %d is of a key that never asked" % event["seq"]


def acknowledged(view):
    """204 is durable, and an acknowledgement is an event once."""
    events = collections.Counter(e.get("release_id") for e in view.of("release.acknowledged"))
    for release_id, n in events.items():
        if n > 1:
            yield "release %s was acknowledged %d times" % (release_id, n)
    for ack in view.acks:
        if ack["answer"] == 204 and not events[ack["release_id"]]:
            yield "acknowledgement of %s has no event" % ack["release_id"]
        if ack["answer"] not in (204, "unknown") and not (isinstance(ack["answer"], int) and ack["answer"] >= 500):
            yield "acknowledgement of %s was answered %s" % (ack["release_id"], ack["answer"])


RULES = (released_twice, granted_twice, changed_release, lost_event, sealed_to_nobody, refused_for_nothing, lost_refusal,
         denied, granted_to_nobody, granted_unasked, acknowledged)
