"""The release over HTTP: the good way, each untrue word, bounds, windows, retry, conflict, re-arm, acknowledgement."""
import concurrent.futures
import datetime
import json
import signal
import sys

import tap
from stack import ACCOUNT, GOOD, REGION, RULE, main, wait_for
from tap import equal

BATCH_RULE = {**RULE, "name": "batch", "role": "batch-tier", "secrets": ["hsm-partition-pin"]}
# rules that lift one thing each
PUBLIC_RULE = {**RULE, "name": "public", "role": "public-tier", "address": "public"}
LABEL_RULE = {**RULE, "name": "label", "role": "label-tier", "hostnames": "first-label"}
LAUNCH_RULE = {**RULE, "name": "launch", "role": "launch-tier", "use": "once-per-launch"}
RETRY_RULE = {**RULE, "name": "retry", "role": "retry-tier", "retry_window": "0s"}
MISSING_RULE = {**RULE, "name": "missing", "role": "missing-tier", "secrets": ["hsm-partition-pin", "not-stored"]}
RULES = [RULE, BATCH_RULE, PUBLIC_RULE, LABEL_RULE, LAUNCH_RULE, RETRY_RULE, MISSING_RULE]

ALL_TAGS = {"env": "prod", "aws:ec2launchtemplate:id": GOOD["launch_template"], "aws:autoscaling:groupName": "web"}

STACK = None
KEYS = []  # keys cost two processes each: they are made once; an instance is what tells the tests apart


def ago(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def last_event(instance):
    return STACK.instance_events(instance)[-1]


def check_of(event, name):
    found = [c for c in event["checks"] if c["name"] == name]
    equal(len(found), 1, "checks named " + name)
    return found[0]


def denied(instance, reason, expected=None, observed=None, source=None, **changes):
    """A release that must be denied for that reason, in the one shape; returns its event."""
    status, headers, problem = STACK.release(instance, KEYS[0], source, **changes)
    equal((status, problem.get("code")), (403, "denied"), "answer")
    equal(sorted(problem), ["code", "request_id", "retryable", "status", "title", "type"], "shape of a denial")
    equal(headers["Content-Type"], "application/problem+json")
    event = [e for e in STACK.events(event="release.denied") if e["request_id"] == problem["request_id"]]
    equal(len(event), 1, "events of the denial")
    event = event[0]
    equal((event["outcome"], event["reason"]), ("refused", reason), "event")
    if expected is not None:
        check = check_of(event, reason)
        equal((check["result"], check["expected"], check["observed"]), ("failed", expected, observed), "check")
    return event


def still_released(instance):
    """Nothing was burned: the true instance gets its release."""
    answer = STACK.granted(instance, KEYS[1])
    equal(last_event(instance)["event"], "release.granted")
    return answer


def test_the_good_way():
    instance = STACK.launch()
    answer = STACK.granted(instance, KEYS[0])
    inside = answer["inside"]
    equal(sorted(answer), ["inside", "release_id", "sealed", "secrets"])
    equal(inside["release_id"], answer["release_id"])
    equal(inside["instance-id"], instance["id"])
    equal([(s["name"], s["kind"], s["version"]) for s in answer["secrets"]],
          [("hsm-partition-pin", "pin", 1), ("hsm-client-key", "private-key", 1), ("hsm-client-cert", "certificate", 1)])
    equal([s["value"] for s in inside["secrets"]], [STACK.pin, STACK.client_key, STACK.certificate])
    equal([s["encoding"] for s in inside["secrets"]], ["utf-8"] * 3)
    event = last_event(instance)
    equal(event["event"], "release.granted")
    equal(event["recipient"], KEYS[0].sha256)
    equal(event["policy"]["rule"], "web")
    equal(event["policy"]["unbound_key"], True)
    equal({c["result"] for c in event["checks"]}, {"passed"})
    equal(inside["assertion_sha256"], event["assertion_sha256"])
    equal(event["secrets"], [{"name": s["name"], "version": 1} for s in answer["secrets"]])


def test_every_check_is_made_and_named_with_what_proved_it():
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    by = {c["name"]: c["by"] for c in last_event(instance)["checks"]}
    equal(by["role"], "iam")
    equal(by["peer-address"], "socket")
    equal(by["launch-window"], "clock")
    for name in ("instance-id", "account-id", "region", "reservation-id", "instance-type", "public-hostname",
                 "local-hostname", "source-ip", "state", "image", "launch-template", "auto-scaling-group", "vpc",
                 "subnet", "security-group", "allowed-instance-type", "tag", "metadata-options", "launch-time",
                 "original-boot"):
        equal(by.get(name), "ec2", name)
    # a denial is as rich as a grant
    other = STACK.launch(image="ami-0fffffffffffffff0")
    event = denied(other, "image", "ami-0123456789abcdef0", "ami-0fffffffffffffff0")
    equal({c["name"] for c in event["checks"]}, set(by))


def test_wrong_public_hostname():
    instance = STACK.launch(public_address="203.0.113.25")
    denied(instance, "public-hostname", "ec2-203-0-113-26.compute-1.amazonaws.com", instance["public_hostname"],
           **{"public-hostname": "ec2-203-0-113-26.compute-1.amazonaws.com"})
    denied(instance, "public-hostname", **{"public-hostname": ""})
    still_released(instance)


def test_wrong_local_hostname():
    instance = STACK.launch()
    denied(instance, "local-hostname", "ip-127-9-9-9.ec2.internal", instance["private_dns"],
           **{"local-hostname": "ip-127-9-9-9.ec2.internal"})
    still_released(instance)


def test_wrong_reservation_id():
    instance = STACK.launch()
    denied(instance, "reservation-id", "r-0fffffffffffffff0", instance["reservation"],
           **{"reservation-id": "r-0fffffffffffffff0"})
    still_released(instance)


def test_wrong_instance_type():
    instance = STACK.launch()
    denied(instance, "instance-type", "m5.xlarge", "m5.large", **{"instance-type": "m5.xlarge"})
    still_released(instance)


def test_wrong_role():
    instance = STACK.launch()
    event = denied(instance, "role", role="batch-tier")
    equal(check_of(event, "role")["by"], "iam")
    equal(event["policy"]["rule"], "batch")
    still_released(instance)


def test_no_rule_for_role_account_or_region():
    instance = STACK.launch()
    denied(instance, "no-rule", role="admin")
    denied(instance, "no-rule", **{"account-id": "210987654321"})
    denied(instance, "no-rule", region="us-west-2")
    still_released(instance)


def test_another_instances_id():
    mine, other = STACK.launch(), STACK.launch()
    denied(mine, "reservation-id", **{"instance-id": other["id"]})
    still_released(mine)
    still_released(other)


def test_attack_19_unknown_instance_is_asked_again_later_and_burns_nothing():
    instance = STACK.launch()
    status, headers, problem = STACK.release(instance, KEYS[0], **{"instance-id": "i-0fffffffffffffff0"})
    equal((status, problem["code"], problem["retryable"]), (503, "not-visible-yet", True))
    assert 1 <= int(headers["Retry-After"]) <= 60
    still_released(instance)


def test_attack_17_wrong_source_ip_and_wrong_peer():
    instance = STACK.launch()
    # a stranger with the right assertion from a wrong address
    event = denied(instance, "peer-address", instance["address"], "127.99.0.1", source="127.99.0.1")
    equal(event["source"], "127.99.0.1")
    # the stranger says its own address: EC2 knows better
    denied(instance, "source-ip", "127.99.0.1", instance["address"], source="127.99.0.1",
           **{"source-ip": "127.99.0.1"})
    still_released(instance)


def test_attack_17_a_secondary_address():
    second = STACK.address()
    instance = STACK.launch(secondary_addresses=[second])
    denied(instance, "source-ip", second, instance["address"], source=second, **{"source-ip": second})
    still_released(instance)


def test_attack_17_interfaces_that_came_later_and_gateways():
    moved, gateway = STACK.address(), STACK.address()
    instance = STACK.launch(interfaces=[{"address": moved, "device_index": 1, "attach_time": ago(0)}])
    denied(instance, "source-ip", moved, instance["address"], source=moved, **{"source-ip": moved})
    denied(instance, "peer-address", source=moved)
    denied(instance, "peer-address", source=gateway)
    denied(instance, "source-ip", source=gateway, **{"source-ip": gateway})
    still_released(instance)


def test_attack_17_an_address_reused_after_termination():
    first = STACK.launch()
    STACK.sim.control("terminate", instance=first["id"])
    second = STACK.launch(address=first["address"])
    event = denied(first, "local-hostname")
    equal(check_of(event, "state")["observed"], "terminated")
    denied(second, "reservation-id", **{"instance-id": second["id"], "reservation-id": first["reservation"]})
    still_released(second)


def test_attack_8_roles_and_regions_that_are_nearly_named():
    instance = STACK.launch()
    for role in ("WEB-TIER", "Web-tier", "web-tie", "web-tier-evil", "web_tier", "*", "web-*", "a/web-tier", "/web-tier",
                 "web-tier/", "web-tier ", "arn:aws:iam::%s:role/web-tier" % ACCOUNT):
        status, _, problem = STACK.release(instance, KEYS[0], role=role)
        assert (status, problem["code"]) in ((403, "denied"), (400, "malformed")), (role, problem)
    for region in ("us-gov-east-1", "cn-north-1", "us-east-2"):
        equal((region, STACK.release(instance, KEYS[0], region=region)[0]), (region, 403))
    still_released(instance)


def test_public_address_rule():
    public = STACK.address()
    instance = STACK.launch(role="public-tier", public_address=public)
    denied(instance, "peer-address", public, instance["address"], role="public-tier")
    status, _, answer = STACK.release(instance, KEYS[1], public, role="public-tier")
    equal((status, answer.get("code")), (200, None))


def test_first_label_rule():
    instance = STACK.launch(role="label-tier")
    label = instance["private_dns"].split(".")[0]
    denied(instance, "local-hostname", role="label-tier", **{"local-hostname": label + "x.corp.example"})
    status, _, _ = STACK.release(instance, KEYS[1], role="label-tier", **{"local-hostname": label + ".corp.example"})
    equal(status, 200)


def test_attack_18_states():
    for state in ("shutting-down", "stopping", "stopped"):
        instance = STACK.launch(state=state)
        denied(instance, "state", "running", state)
    # one that has ended has lost its names and addresses as well
    check = check_of(denied(STACK.launch(state="terminated"), "local-hostname"), "state")
    equal((check["result"], check["observed"]), ("failed", "terminated"))
    instance = STACK.launch(state="pending")
    equal(STACK.release(instance, KEYS[0])[2]["code"], "not-visible-yet")
    STACK.sim.control("set", instance=instance["id"], state="running")
    still_released(instance)


def test_profile_missing_within_and_after_a_minute():
    young, old = STACK.launch(profile="", role=""), STACK.launch(profile="", role="", launch_time=ago(65))
    equal(STACK.release(young, KEYS[0])[2]["code"], "not-visible-yet")
    denied(old, "role")
    for instance in (young, old):
        STACK.sim.control("set", instance=instance["id"], profile="web-tier")
        still_released(instance)


def test_attack_19_visible_whole_after_three_tries():
    for mode in ("not-visible", "pending", "without-profile"):  # asked for again within the one request
        instance = STACK.launch()
        STACK.sim.fault("DescribeInstances", mode, instance=instance["id"], times=3)
        STACK.granted(instance, KEYS[0])
        equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted"])
    instance = STACK.launch()
    STACK.sim.fault("DescribeInstances", "without-tags", instance=instance["id"], times=3)
    for _ in range(3):
        not_visible_yet(instance)
    STACK.granted(instance, KEYS[1])
    STACK.sim.clear_faults()


def not_visible_yet(instance):
    status, headers, problem = STACK.release(instance, KEYS[0])
    equal((status, problem["code"]), (503, "not-visible-yet"))
    assert int(headers["Retry-After"]) >= 1
    equal(STACK.instance_events(instance), [])


def test_attack_19_never_visible_is_not_burned():
    for mode in ("not-visible", "pending", "without-profile"):
        instance = STACK.launch()
        STACK.sim.fault("DescribeInstances", mode, instance=instance["id"], times=-1)
        not_visible_yet(instance)
        STACK.sim.clear_faults()
        STACK.granted(instance, KEYS[1])  # another key: nothing was burned for the first


def test_attack_5_8_profiles_that_are_nearly_named():
    instance = STACK.launch(profile="arn:aws:iam::210987654321:instance-profile/web-tier", launch_time=ago(65))
    denied(instance, "role")
    for arn in ("arn:aws:iam::%s:instance-profile/WEB-TIER", "arn:aws:iam::%s:instance-profile/a/web-tier",
                "arn:aws-cn:iam::%s:instance-profile/web-tier", "arn:aws:iam::%s:instance-profile/web-tier-evil"):
        denied(STACK.launch(profile=arn % ACCOUNT, launch_time=ago(65)), "role")


def test_each_bound():
    cases = [("image", dict(image="ami-0fffffffffffffff0")),
             ("launch-template", dict(launch_template="lt-0fffffffffffffff0")),
             ("auto-scaling-group", dict(auto_scaling_group="Web")),
             ("vpc", dict(vpc="vpc-0fffffffffffffff0")),
             ("subnet", dict(subnet="subnet-0fffffffffffffff0")),
             ("security-group", dict(groups=["sg-0fffffffffffffff0"])),
             ("allowed-instance-type", dict(type="m5.metal")),
             ("tag", dict(tags={"env": "test"}))]
    for reason, change in cases:
        instance = STACK.launch(**change)
        event = denied(instance, reason)
        check = check_of(event, reason)
        equal(check["result"], "failed")
        assert check["expected"] and check["observed"], check
        # mended, the true instance is released
        field = next(iter(change))
        tagged = field in ("tags", "launch_template", "auto_scaling_group")
        mended = {"tags": ALL_TAGS} if tagged else {field: GOOD[field]}
        instance = STACK.sim.control("set", instance=instance["id"], **mended)
        still_released(instance)


def test_tags_missing_within_and_after_a_minute():
    young = STACK.launch(tags={})
    equal(STACK.release(young, KEYS[0])[2]["code"], "not-visible-yet")
    old = STACK.launch(tags={}, launch_time=ago(65))
    denied(old, "tag", "env=prod", "")


def test_attack_33_launch_window_edges():
    denied(STACK.launch(launch_time=ago(601)), "launch-window")
    still_released(STACK.launch(launch_time=ago(590)))
    denied(STACK.launch(launch_time=ago(-75)), "launch-time")
    still_released(STACK.launch(launch_time=ago(-50)))


def test_the_window_counts_for_the_first_use_alone():
    instance = STACK.launch(launch_time=ago(300))
    first = STACK.granted(instance, KEYS[0])
    STACK.sim.control("set", instance=instance["id"], launch_time=ago(900), attach_time=ago(900), root_attach_time=ago(900))
    again = STACK.granted(instance, KEYS[0])
    equal(again["release_id"], first["release_id"])
    event = last_event(instance)
    equal((event["event"], check_of(event, "launch-window")["result"]), ("release.repeated", "waived"))


def test_attack_21_stop_and_start_opens_no_new_window():
    fresh = STACK.launch(launch_time=ago(3600))
    STACK.sim.control("stop", instance=fresh["id"])
    STACK.sim.control("start", instance=fresh["id"])
    event = denied(fresh, "original-boot")
    equal(check_of(event, "launch-window")["result"], "passed")
    # one that was served has had its turn, whatever it is called now
    served = STACK.launch()
    STACK.granted(served, KEYS[0])
    STACK.sim.control("stop", instance=served["id"])
    served = {**served, **STACK.sim.control("start", instance=served["id"])}
    equal(STACK.release(served, KEYS[1])[0], 409)
    # once-per-launch lets it
    lifted = STACK.launch(role="launch-tier", launch_time=ago(3600))
    STACK.sim.control("stop", instance=lifted["id"])
    STACK.sim.control("start", instance=lifted["id"])
    equal(STACK.release(lifted, KEYS[1], role="launch-tier")[0], 200)


def test_attack_21_once_per_launch_serves_each_launch_once():
    instance = STACK.launch(role="launch-tier")
    equal(STACK.release(instance, KEYS[0], role="launch-tier")[0], 200)
    equal(STACK.release(instance, KEYS[1], role="launch-tier")[0], 409)
    STACK.sim.control("set", instance=instance["id"], launch_time=ago(-5))
    equal(STACK.release(instance, KEYS[1], role="launch-tier")[0], 200)
    equal(STACK.release(instance, KEYS[2], role="launch-tier")[0], 409)


def test_attack_22_root_volume_attached_long_after():
    denied(STACK.launch(launch_time=ago(400), attach_time=ago(400), root_attach_time=ago(10)), "original-boot")
    denied(STACK.launch(launch_time=ago(10), attach_time=ago(400), root_attach_time=ago(10)), "original-boot")


def test_attack_21_metadata_options():
    denied(STACK.launch(http_tokens="optional"), "metadata-options", "tokens required, hop limit 1",
           "tokens optional, hop limit 1")
    denied(STACK.launch(hop_limit=2), "metadata-options", "tokens required, hop limit 1",
           "tokens required, hop limit 2")


def test_the_same_key_again():
    instance = STACK.launch()
    first, second = STACK.granted(instance, KEYS[0]), STACK.granted(instance, KEYS[0])
    equal(first["release_id"], second["release_id"])
    equal(first["inside"], second["inside"])
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.repeated"])


def test_a_repeat_gives_the_versions_of_the_grant():
    STACK.put("hsm-client-cert", "certificate", "second version")
    instance = STACK.launch()
    first = STACK.granted(instance, KEYS[0])
    equal(first["inside"]["secrets"][2]["value"], "second version")
    STACK.put("hsm-client-cert", "certificate", STACK.certificate)
    equal(STACK.granted(instance, KEYS[0])["inside"]["secrets"][2]["value"], "second version")
    equal(STACK.granted(STACK.launch(), KEYS[0])["secrets"][2]["version"], first["secrets"][2]["version"] + 1)


def test_attack_26_another_key_is_a_conflict():
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    status, headers, problem = STACK.release(instance, KEYS[1])
    equal((status, problem["code"], problem["retryable"]), (409, "already-released", False))
    assert "Retry-After" not in headers
    event = last_event(instance)
    equal((event["event"], event["reason"], event["recipient"]),
          ("release.conflict", "already-released", KEYS[1].sha256))
    # the first key is not hurt by it
    STACK.granted(instance, KEYS[0])


def acknowledge(answer, ack=None):
    return STACK.request("POST", "/v1/releases/%s/ack" % answer["release_id"],
                         {"ack": answer["inside"]["ack"] if ack is None else ack})


def test_acknowledgement():
    instance = STACK.launch()
    answer = STACK.granted(instance, KEYS[0])
    shown = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert "not acknowledged" in shown, shown
    equal(acknowledge(answer, "A" * 43)[0], 404)
    equal(acknowledge(answer, "")[0], 404)
    equal(acknowledge({**answer, "release_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"})[0], 404)
    equal(acknowledge(answer)[0], 204)
    equal(acknowledge(answer)[0], 204)
    equal([e["event"] for e in STACK.instance_events(instance)], ["release.granted", "release.acknowledged"])
    shown = STACK.cli("ledger", "show", instance["id"], "--account", ACCOUNT, "--region", REGION).stdout
    assert "not acknowledged" not in shown and "acknowledged" in shown, shown


def test_after_acknowledgement_the_same_key_may_retry_within_the_window_only():
    instance = STACK.launch()
    answer = STACK.granted(instance, KEYS[0])
    acknowledge(answer)
    equal(STACK.granted(instance, KEYS[0])["release_id"], answer["release_id"])
    short = STACK.launch(role="retry-tier")
    status, _, answer = STACK.release(short, KEYS[0], role="retry-tier")
    equal(status, 200)
    equal(STACK.release(short, KEYS[0], role="retry-tier")[0], 200)  # not acknowledged: still its own
    answer["inside"] = KEYS[0].open(answer["sealed"])
    equal(acknowledge(answer)[0], 204)
    status, _, problem = STACK.release(short, KEYS[0], role="retry-tier")
    equal((status, problem["code"]), (409, "already-released"))
    equal(last_event(short)["reason"], "already-collected")


def rearm(instance, *more, check=True):
    return STACK.cli("ledger", "rearm", instance["id"], "--account", ACCOUNT, "--region", REGION, "--reason",
                     "disk lost, ticket 4711", "--until", "30m", *more, check=check)


def test_rearm_gives_exactly_one_more():
    instance = STACK.launch(launch_time=ago(500))
    first = STACK.granted(instance, KEYS[0])
    equal(STACK.release(instance, KEYS[1])[0], 409)
    rearm(instance)
    assert rearm(instance, check=False).returncode == 1  # one is open
    second = STACK.granted(instance, KEYS[1])
    assert second["release_id"] != first["release_id"]
    equal(STACK.release(instance, KEYS[2])[0], 409)
    equal(STACK.release(instance, KEYS[0])[0], 409)
    equal(STACK.granted(instance, KEYS[1])["release_id"], second["release_id"])
    names = [e["event"] for e in STACK.instance_events(instance)]
    equal(names, ["release.granted", "release.conflict", "ledger.rearmed", "release.granted", "release.conflict",
                  "release.conflict", "release.repeated"])
    armed = [e for e in STACK.instance_events(instance) if e["event"] == "ledger.rearmed"][0]
    assert armed["actor"].startswith("operator:") and "4711" in armed["comment"], armed


def test_rearm_stands_in_for_the_window():
    instance = STACK.launch(launch_time=ago(7200))
    denied(instance, "launch-window")
    rearm(instance)
    STACK.granted(instance, KEYS[1])
    equal(check_of(last_event(instance), "launch-window")["result"], "waived")


def test_rearm_for_one_key():
    instance = STACK.launch(launch_time=ago(7200))
    rearm(instance, "--key", KEYS[2].sha256)
    equal(STACK.release(instance, KEYS[0])[0], 403)
    STACK.granted(instance, KEYS[2])


def test_attack_26_another_role_or_rule_rearms_nothing():
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    STACK.sim.control("set", instance=instance["id"], profile="batch-tier")
    status, _, problem = STACK.release(instance, KEYS[1], role="batch-tier")
    equal((status, problem["code"]), (409, "already-released"))
    STACK.sim.control("set", instance=instance["id"], profile="launch-tier", launch_time=ago(-5))
    equal(STACK.release(instance, KEYS[1], role="launch-tier")[0], 409)


def reload(rules):
    before = len(STACK.log("server"))
    STACK.write_policy(rules)
    STACK.server.send_signal(signal.SIGHUP)
    wait_for("reloaded rules", lambda: '"event":"reloaded"' in STACK.log("server")[before:])


def test_attack_26_a_changed_policy_rearms_nothing():
    instance = STACK.launch()
    STACK.granted(instance, KEYS[0])
    other = {**RULE, "name": "other", "role": "other-tier", "launch_window": "1h", "use": "once-per-launch"}
    try:
        for change in ({"use": "once-per-launch"}, {"launch_window": "1h", "retry_window": "0s"}, {"name": "renamed"},
                       {"secrets": ["hsm-partition-pin"]}):
            reload([{**RULE, **change}, other])
            equal((change, STACK.release(instance, KEYS[1])[0]), (change, 409))
    finally:
        reload(RULES)
    STACK.granted(instance, KEYS[0])


def test_a_secret_that_is_not_stored_is_our_trouble_and_burns_nothing():
    instance = STACK.launch(role="missing-tier")
    status, headers, problem = STACK.release(instance, KEYS[0], role="missing-tier")
    equal((status, problem["code"]), (503, "vault-unavailable"))
    assert "Retry-After" in headers
    STACK.put("not-stored", "opaque", "now it is")
    equal(STACK.release(instance, KEYS[1], role="missing-tier")[0], 200)
    STACK.cli("secret", "remove", "not-stored")


def test_attack_26_clients_with_64_different_keys():
    keys = KEYS + [STACK.key() for _ in range(64 - len(KEYS))]
    granted_before = len(STACK.events(event="release.granted"))

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        for _ in range(200):
            instance = STACK.launch()
            answers = list(pool.map(lambda key: STACK.release(instance, key), keys))
            statuses = sorted(status for status, _, _ in answers)
            equal(statuses, [200] + [409] * 63, "statuses of one round")
    equal(len(STACK.events(event="release.granted")) - granted_before, 200, "grants")


def test_the_chain_is_whole():
    events = STACK.events()
    equal([e["seq"] for e in events], list(range(1, len(events) + 1)), "seq")
    done = STACK.cli("audit", "verify")
    assert str(len(events)) in done.stdout or "whole" in done.stdout, done.stdout


if __name__ == "__main__":
    sys.exit(main(globals(), RULES, keys=3))
