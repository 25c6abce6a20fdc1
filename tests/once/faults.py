"""What breaks in a round: a table of faults, from which a round's seed chooses. Each is a function of the world and of that
round's chance; it does its harm for a moment, undoes what is not healed by itself, and what it leaves is mended at the end
of the round (World.heal). They are called by the thread that made the world: what PostgreSQL's processes and their parent
have with each other needs that."""
import signal
import time

from stack import RULE

HOWS = ("before", "sent", "done", "late", "forget", "slow")
CALLS = ("send", "recv", "write", "poll")  # of a node, in the middle of which it dies
FILES = ("pwrite", "fdatasync")  # the same, with a store of its own


RELEASE = RULE["role"].encode()  # stands in each transaction with a release, and in no other


def moment(chance, least=0.1, most=0.6):
    time.sleep(chance.uniform(least, most))  # a fault lasts; nothing is waited for


# ---- PostgreSQL

def primary_killed(world, chance):
    world.cluster.primary.kill()
    moment(chance)
    world.cluster.primary.start()


def primary_paused(world, chance):
    world.cluster.primary.pause()
    moment(chance, 0.2, 1.5)
    world.cluster.primary.resume()


def standby_paused(world, chance):
    world.cluster.standby.pause()
    moment(chance, 0.2, 1.0)
    world.cluster.standby.resume()


def standby_killed(world, chance):
    world.cluster.standby.kill()
    moment(chance)
    world.cluster.standby.start()


def failed_over(world, chance):
    world.cluster.fail_over()


def failed_over_lagging(world, chance):
    """What the primary committed last has not reached the standby when it takes over."""
    link(world).stall()
    moment(chance, 0.2, 0.5)
    world.cluster.primary.kill()
    take_over(world)


def waits_cancelled(world, chance):
    """Somebody cancels the waits for the standby: the rows become visible and are not replicated. Then it takes over."""
    link(world).stall()
    moment(chance, 0.1, 0.3)
    for _ in range(4):
        world.cluster.primary.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
                                   check=False)
        moment(chance, 0.05, 0.15)
    world.cluster.primary.kill()
    take_over(world)


def restarted_unreplicated(world, chance):
    """COMMITs are cut, and the primary comes back with rows that its standby has not: they are visible. Then it dies."""
    link(world).stall()
    arm_all(world, "sent", holding=RELEASE)
    moment(chance, 0.1, 0.3)
    world.cluster.primary.kill()
    link(world).set_mode("refuse")
    world.cluster.primary.start()
    moment(chance, 0.3, 0.8)
    world.cluster.primary.kill()
    take_over(world)


def old_primary_lives(world, chance):
    """It is only stopped when the standby takes over, and comes to itself beside it."""
    old = world.cluster.primary
    old.pause()
    link(world).set_mode("refuse")
    world.cluster.promote()
    old.resume()
    moment(chance, 0.2, 0.6)
    world.links[old].set_mode("pass")
    world.cluster.join(old)


def link(world):
    """The wire over which the standby follows."""
    return world.links[world.cluster.primary]


def take_over(world):
    """The standby has what it has, and is the primary."""
    was = link(world)
    was.set_mode("refuse")
    was.stall(False)
    world.cluster.promote()
    was.set_mode("pass")
    world.cluster.join(world.cluster.standby)


# ---- the way to PostgreSQL

def some_wire(world, chance):
    return chance.choice(world.wires)[world.cluster.primary]


def arm_all(world, how, **options):
    for wires in world.wires:
        wires[world.cluster.primary].arm(how, **options)


def commit_cut(world, chance):
    """One node's COMMIT, and perhaps each node's."""
    how, seconds = chance.choice(HOWS), chance.uniform(0.1, 1.0)
    if chance.random() < 0.5:
        some_wire(world, chance).arm(how, chance.randint(1, 3), seconds, holding=RELEASE)
    else:
        arm_all(world, how, seconds=seconds, holding=RELEASE)
    moment(chance)


def wire_forgotten(world, chance):
    wires = chance.choice(world.wires).values()
    for wire in wires:
        wire.set_mode("forget")
    moment(chance, 0.3, 1.5)
    for wire in wires:
        wire.set_mode("pass")


def wires_cut(world, chance):
    for _ in range(chance.randint(1, 3)):
        for wire in world.all_wires():
            wire.cut()
        moment(chance, 0.05, 0.2)


def killed_at_commit(world, chance):
    """A node dies before its COMMIT is sent, when it has been, or when it has been answered."""
    i = chance.randrange(len(world.wires))
    node = world.fleet.nodes[i]
    world.wires[i][world.cluster.primary].arm(chance.choice(("before", "sent", "done")), chance.randint(1, 3), hook=node.kill,
                                                    holding=RELEASE)
    moment(chance)


# ---- nodes, members, clocks, haproxy

def node_killed(world, chance):
    chance.choice(world.fleet.nodes).kill()
    moment(chance, 0.05, 0.3)


def nodes_killed(world, chance):
    for node in world.fleet.nodes:
        node.kill()
    moment(chance, 0.05, 0.3)


def killed_at_call(world, chance):
    """A node dies in the middle of its work: before or after a call that sends, receives, writes or waits."""
    calls = CALLS if world.cluster else CALLS + FILES
    chance.choice(world.fleet.nodes).faults.arm(chance.choice(calls), chance.randint(1, 60), how_killed(chance))
    moment(chance, 0.2, 0.5)


def killed_at_answer(world, chance):
    """A node dies when all is done, sealed and recorded, with the answer on its tongue, or right after it."""
    chance.choice(world.fleet.nodes).faults.arm("sendmsg", chance.randint(1, 4), how_killed(chance))
    moment(chance, 0.2, 0.5)


def how_killed(chance):
    return chance.choice(("kill", "kill-after"))


def node_stopped(world, chance):
    node = chance.choice(world.fleet.nodes)
    node.pause()
    moment(chance, 0.3, 1.5)
    node.resume()


def member_stopped(world, chance):
    world.stack.member.send_signal(signal.SIGSTOP)
    moment(chance, 0.3, 1.2)
    world.stack.member.send_signal(signal.SIGCONT)


def member_killed(world, chance):
    world.stack.member.kill()
    world.stack.member.wait()
    moment(chance, 0.05, 0.3)


def clock_stepped(world, chance):
    """Within what AWS and the launch window bear: who is right is still right."""
    for node in chance.sample(world.fleet.nodes, chance.randint(1, len(world.fleet.nodes))):
        node.step(chance.choice((240, 120, -30, -50)))
    moment(chance)


def agents_moved(world, chance):
    """haproxy takes a node out, and its agents' connections with it."""
    node = chance.choice(world.fleet.nodes)
    name = "vouchsafe-proxy/" + node.name
    world.fleet.front.command("set server %s state maint" % name)
    world.fleet.front.command("shutdown sessions server " + name)
    moment(chance, 0.1, 0.5)
    world.fleet.front.command("set server %s state ready" % name)


POSTGRESQL = (primary_killed, primary_paused, standby_paused, standby_killed, failed_over, failed_over_lagging,
              waits_cancelled, restarted_unreplicated, old_primary_lives, commit_cut, commit_cut, commit_cut, wire_forgotten,
              wires_cut, killed_at_commit, killed_at_commit)
ANY = (node_killed, nodes_killed, killed_at_call, killed_at_answer, node_stopped, member_stopped, member_killed,
       clock_stepped, agents_moved)

# Where a promise does not hold, this is how it comes out: what a primary has said is gone with it, and the nodes, which
# would notice that events they knew are gone, know nothing any more.
ASYNCHRONOUS = ((failed_over_lagging,), (nodes_killed,))
READING = ((waits_cancelled,), (nodes_killed,))


def dealt(chance, rounds, kinds):
    """Recipes for so many rounds, in which each of these faults comes once."""
    cards = list(dict.fromkeys(kinds))
    chance.shuffle(cards)
    return [[(card,) for card in cards[i::rounds]] for i in range(rounds)]


def schedule(world, chance, recipe=None):
    """The faults of a round, one after the other; of a recipe one of each group."""
    if recipe:
        return [chance.choice(group) for group in recipe]
    kinds = ANY + POSTGRESQL if world.cluster else ANY
    return [chance.choice(kinds) for _ in range(chance.randint(1, 3))]
