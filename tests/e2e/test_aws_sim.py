#!/usr/bin/env python3
"""The simulated AWS tested by itself: python3 tests/e2e/test_aws_sim.py <build folder>. Prints TAP; ends with 0 only
when everything passed."""

import base64
import concurrent.futures
import datetime
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree

from awssim import (
    EC2_NAMESPACE,
    IAM_NAMESPACE,
    STS_NAMESPACE,
    CALLER_IDENTITY,
    AwsSim,
    ControlError,
    Signer,
    amz_date,
    filters,
    form,
    http_request,
    sts_host,
)
from tap import Skip

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
VECTORS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
INSTANCE = "reservationSet/item/instancesSet/item"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Case:
    """A simulated AWS of the test's own, with two accounts."""

    def __init__(self, build):
        self.build = build

    def __enter__(self):
        self.sim = AwsSim.start(self.build)
        self.signer = self.sim.account(ACCOUNT)
        self.other = self.sim.account(OTHER_ACCOUNT)
        self.sim.control(
            "role", account=ACCOUNT, name="web-tier", profiles=[{"name": "web"}, {"name": "web-old", "path": "/a/b/"}]
        )
        return self

    def __exit__(self, kind, *_):
        status = self.sim.close()
        if kind is None:
            equal(status, 0, "exit status on SIGTERM")

    def ids(self, **parameters):
        answer = self.sim.describe(self.signer, **parameters)
        equal(answer.status, 200)
        return answer.texts(INSTANCE + "/instanceId")


def equal(observed, expected, what=""):
    if observed != expected:
        raise AssertionError(f"{what}: expected {expected!r}, observed {observed!r}")


def raises(kinds, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kinds as error:
        return error
    raise AssertionError(f"{kinds} expected")


def refused(answer, status, code):
    equal((answer.status, answer.error_code()), (status, code))


def broken(function, *arguments, **named):
    """The call must not bring a whole answer."""
    raises((OSError, http.client.HTTPException), function, *arguments, **named)


def only(values):
    equal(len(values), 1, f"one of {values!r}")
    return values[0]


def ago(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


# ---- control


@test
def launch_makes_up_what_is_not_said(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5", public_address="203.0.113.25")
    for member, prefix in (("id", "i-"), ("reservation", "r-"), ("interface", "eni-"), ("root_volume", "vol-")):
        value = made[member]
        assert value.startswith(prefix) and len(value) == len(prefix) + 17, value
        int(value[len(prefix) :], 16)
    equal(made["private_dns"], "ip-127-0-1-5.ec2.internal")
    equal(made["public_dns"], "ec2-203-0-113-25.compute-1.amazonaws.com")
    equal(made["profile_arn"], f"arn:aws:iam::{ACCOUNT}:instance-profile/web")
    equal(made["attach_time"], made["launch_time"])
    elsewhere = case.sim.launch(region="eu-central-1", public_address="203.0.113.26")
    assert elsewhere["private_dns"].endswith(".eu-central-1.compute.internal"), elsewhere
    equal(elsewhere["public_dns"], "ec2-203-0-113-26.eu-central-1.compute.amazonaws.com")
    equal(elsewhere["availability_zone"], "eu-central-1a")
    assert elsewhere["address"].startswith("127.1."), elsewhere
    equal(len(case.sim.control("instances")["instances"]), 2)
    equal(only(case.sim.control("instances", instance=made["id"])["instances"]), made)


@test
def a_fleet_is_launched_in_one_call(case):
    made = case.sim.fleet([{"address": f"127.0.2.{n}"} for n in range(1, 231)], role="web-tier", tags={"a": "b"})
    equal([i["address"] for i in made], [f"127.0.2.{n}" for n in range(1, 231)])
    equal(len({i["id"] for i in made}), 230)
    equal(only(case.sim.control("instances", instance=made[7]["id"])["instances"]), made[7])
    equal({i["profile_arn"] for i in made}, {f"arn:aws:iam::{ACCOUNT}:instance-profile/web"})
    asked = [i["id"] for i in made[30:]]
    equal(sorted(case.ids(**filters(("instance-id", asked)))), sorted(asked))
    refused_one = raises(ControlError, case.sim.fleet, [{"address": "127.0.3.1"}, {"address": "127.0.2.1"}])
    equal(refused_one.status, 409)
    equal(len(case.sim.control("instances")["instances"]), 231)  # who came before it is there
    for arguments in ({}, {"launch": {}}, {"launch": [], "instances": []}, {"launch": {}, "instances": ["x"]},
                      {"launch": {}, "instances": [], "more": 1}):
        equal(raises(ControlError, case.sim.control, "fleet", **arguments).status, 400, arguments)


@test
def a_bucket_for_each_account_region_and_service(case):
    case.sim.throttle(size=3, per_second=1)
    began = time.monotonic()
    answers = [case.sim.describe(case.signer) for _ in range(5)]
    took = time.monotonic() - began
    good = [a.status for a in answers].count(200)
    assert 3 <= good <= 3 + took, (good, took)
    refused(answers[-1], 503, "RequestLimitExceeded")
    equal(case.sim.describe(case.other).status, 200)
    equal(case.sim.describe(case.signer, region="eu-central-1").status, 200)
    equal(case.sim.profiles_for_role(case.signer, "web-tier").status, 200)
    outcomes = case.sim.counters()["DescribeInstances"]["outcomes"]
    equal(outcomes["RequestLimitExceeded"], 5 - good)
    until = time.monotonic() + 10  # tokens come back, and a refused call has taken none
    while case.sim.describe(case.signer).status != 200:
        assert time.monotonic() < until, "no token came back"
    case.sim.throttle(size=0)
    equal({case.sim.describe(case.signer).status for _ in range(5)}, {200})
    equal(raises(ControlError, case.sim.throttle, size=-1).status, 400)


@test
def answers_take_their_time(case):
    case.sim.throttle(size=0, delay_ms=200)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        equal({a.status for a in pool.map(lambda _: case.sim.describe(case.signer), range(4))}, {200})
    took = time.monotonic() - began
    assert took >= 0.2, took
    case.sim.throttle(size=0)


@test
def control_refuses_what_it_does_not_know(case):
    made = case.sim.launch(address="127.0.1.5")
    for status, verb, arguments in (
        (404, "fly", {}),
        (400, "launch", {"account": ACCOUNT, "region": "us-east-1", "colour": "red"}),
        (400, "launch", {"account": ACCOUNT, "region": "US East"}),
        (404, "launch", {"account": "000000000000", "region": "us-east-1"}),
        (404, "launch", {"account": ACCOUNT, "region": "us-east-1", "role": "none"}),
        (404, "launch", {"account": ACCOUNT, "region": "us-east-1", "profile": "none"}),
        (409, "launch", {"account": ACCOUNT, "region": "us-east-1", "address": "127.0.1.5"}),
        (409, "launch", {"account": ACCOUNT, "region": "us-east-1", "id": made["id"]}),
        (400, "launch", {"account": ACCOUNT, "region": "us-east-1", "launch_time": "yesterday"}),
        (400, "launch", {"account": ACCOUNT, "region": "us-east-1", "state": "tired"}),
        (400, "launch", {"account": ACCOUNT, "region": "us-east-1", "tags": {"a": 1}}),
        (400, "set", {"instance": made["id"], "id": "i-00000000"}),
        (404, "stop", {"instance": "i-00000000"}),
        (409, "start", {"instance": made["id"]}),
        (400, "account", {"id": "12"}),
        (400, "role", {"account": ACCOUNT, "name": "no/slash"}),
        (409, "role", {"account": ACCOUNT, "name": "thief", "profiles": [{"name": "web"}]}),
        (400, "fault", {"action": "DescribeInstances", "mode": "strange"}),
        (400, "fault", {"action": "DescribeInstances", "mode": "drop-field"}),
        (400, "fault", {"action": "DescribeInstances", "mode": "throttle", "times": 0}),
        (404, "credentials", {"instance": "i-00000000"}),
        (404, "credentials", {"instance": made["id"]}),
        (404, "rotate", {"instance": made["id"]}),
        (404, "expire", {"instance": made["id"]}),
        (404, "expire", {"access_key_id": case.signer.access_key_id}),
        (404, "assume", {"account": ACCOUNT, "role": "none", "session": "s"}),
        (400, "assume", {"account": ACCOUNT, "role": "web-tier", "session": ""}),
        (400, "certificate", {"region": "Mars"}),
        (404, "last", {"action": "GetCallerIdentity"}),
    ):
        equal(raises(ControlError, case.sim.control, verb, **arguments).status, status, f"{verb} {arguments}")
    for body in (b"[]", b"{", b'{"id":"1","id":"2"}'):
        equal(http_request(case.sim.port, "POST", "/control/account", {}, body).status, 400)
    equal(http_request(case.sim.port, "GET", "/control/instances").status, 405)


@test
def lifecycle_moves_the_launch_time_and_not_the_attach_time(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5", public_address="203.0.113.25", launch_time=ago(3600))
    equal(made["attach_time"], made["launch_time"])
    stopped = case.sim.control("stop", instance=made["id"])
    equal((stopped["state"], stopped["public_address"], stopped["public_dns"]), ("stopped", "", ""))
    answer = case.sim.describe(case.signer)
    equal(answer.texts(INSTANCE + "/instanceState/name"), ["stopped"])
    equal(answer.texts(INSTANCE + "/privateIpAddress"), ["127.0.1.5"])
    equal(answer.texts(INSTANCE + "/ipAddress"), [])
    broken(case.sim.metadata("127.0.1.5").token)
    started = case.sim.control("start", instance=made["id"], public_address="203.0.113.99")
    assert started["launch_time"] > made["launch_time"]
    answer = case.sim.describe(case.signer)
    equal(answer.texts(INSTANCE + "/launchTime"), [started["launch_time"]])
    attached = INSTANCE + "/networkInterfaceSet/item/attachment/attachTime"
    equal(answer.texts(attached), [made["attach_time"]])
    equal(answer.texts(INSTANCE + "/blockDeviceMapping/item/ebs/attachTime"), [made["root_attach_time"]])
    equal(answer.texts(INSTANCE + "/dnsName"), ["ec2-203-0-113-99.compute-1.amazonaws.com"])
    case.sim.control("terminate", instance=made["id"])
    answer = case.sim.describe(case.signer)
    equal(answer.texts(INSTANCE + "/instanceState/code"), ["48"])
    for gone in ("privateIpAddress", "vpcId", "networkInterfaceSet/item", "iamInstanceProfile"):
        equal(answer.texts(f"{INSTANCE}/{gone}"), [], gone)
    case.sim.launch(address="127.0.1.5")  # its address is free again
    case.sim.control("terminate", instance=made["id"], forget=True)
    equal(len(case.ids()), 1)


@test
def set_changes_exactly_what_it_names(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5")
    first = case.sim.launch()["id"]
    changes = {
        "reservation": "r-00000000000000001",
        "tags": {"env": "test"},
        "attach_time": ago(900),
        "root_attach_time": ago(800),
        "local_hostname": "web.example.org",
        "secondary_addresses": ["127.0.1.6"],
        "hop_limit": 2,
        "http_tokens": "optional",
        "groups": [{"id": "sg-00000001", "name": "g"}],
        "interfaces": [],
    }
    changed = case.sim.control("set", instance=made["id"], profile="web-old", **changes)
    expected = dict(made, **changes)
    expected["profile_arn"] = f"arn:aws:iam::{ACCOUNT}:instance-profile/a/b/web-old"
    expected["profile_id"] = changed["profile_id"]
    equal(changed, expected)
    raises(ControlError, case.sim.control, "set", instance=made["id"], type="m5.xlarge", hop_limit=0)
    equal(only(case.sim.control("instances", instance=made["id"])["instances"]), expected)
    equal(case.ids(), [made["id"], first])
    moved = case.sim.control(
        "set", instance=made["id"], address="127.0.1.7", interfaces=[{"address": "127.0.1.8"}], profile=""
    )
    equal(moved["profile_arn"], "")
    broken(case.sim.metadata("127.0.1.5").token)
    for address in ("127.0.1.6", "127.0.1.7", "127.0.1.8"):
        equal(case.sim.metadata(address).text("meta-data/instance-id"), made["id"])


@test
def state_is_kept_in_a_file(case):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state.json")
        with AwsSim.start(case.build, state=path) as sim:
            signer = sim.account(ACCOUNT, session_token="t/+=")
            sim.control("role", account=ACCOUNT, name="web-tier")
            made = sim.launch(role="web-tier", address="127.0.1.5")
            role, pem = sim.role_credentials(made), sim.certificate()
            equal(sim.close(), 0)
        with AwsSim.start(case.build, state=path) as sim:
            equal(sim.describe(signer).texts(INSTANCE + "/instanceId"), [made["id"]])
            equal(sim.profiles_for_role(signer, "web-tier").status, 200)
            equal(sim.metadata("127.0.1.5").text("meta-data/instance-id"), made["id"])
            equal(sim.role_credentials(made).access_key_id, role.access_key_id)
            equal(sim.caller_identity(role).status, 200)
            equal(sim.certificate(), pem)
            equal(sim.close(), 0)
        with open(path, "w", encoding="ascii") as file:
            file.write("{}")
        arguments = [os.path.join(case.build, "aws-sim"), "--state", path]
        ended = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        equal((ended.returncode, ended.stdout), (1, b""))


# ---- EC2


@test
def describe_has_the_shape_of_ec2s_answers(case):
    made = case.sim.launch(
        role="web-tier",
        address="127.0.1.5",
        public_address="203.0.113.25",
        tags={"a<&>\"'": "ü\n]]>"},
        launch_template="lt-0123456789abcdef0",
        auto_scaling_group="web",
        secondary_addresses=["127.0.1.6"],
    )
    answer = case.sim.describe(case.signer)
    equal(answer.headers["Content-Type"], "text/xml;charset=UTF-8")
    root = answer.xml()
    equal(root.tag, f"{{{EC2_NAMESPACE}}}DescribeInstancesResponse")
    equal(answer.texts("requestId"), [answer.headers["x-amzn-RequestId"]])
    interface = INSTANCE + "/networkInterfaceSet/item"
    for path, expected in {
        "reservationSet/item/reservationId": made["reservation"],
        "reservationSet/item/ownerId": ACCOUNT,
        INSTANCE + "/imageId": made["image"],
        INSTANCE + "/instanceState/code": "16",
        INSTANCE + "/privateDnsName": made["private_dns"],
        INSTANCE + "/dnsName": made["public_dns"],
        INSTANCE + "/instanceType": "m5.large",
        INSTANCE + "/launchTime": made["launch_time"],
        INSTANCE + "/placement/availabilityZone": "us-east-1a",
        INSTANCE + "/subnetId": made["subnet"],
        INSTANCE + "/vpcId": made["vpc"],
        INSTANCE + "/privateIpAddress": "127.0.1.5",
        INSTANCE + "/ipAddress": "203.0.113.25",
        INSTANCE + "/groupSet/item/groupId": made["groups"][0]["id"],
        INSTANCE + "/blockDeviceMapping/item/ebs/attachTime": made["root_attach_time"],
        INSTANCE + "/iamInstanceProfile/arn": made["profile_arn"],
        INSTANCE + "/metadataOptions/httpTokens": "required",
        INSTANCE + "/metadataOptions/httpPutResponseHopLimit": "1",
        interface + "/networkInterfaceId": made["interface"],
        interface + "/attachment/deviceIndex": "0",
        interface + "/attachment/attachTime": made["attach_time"],
        interface + "/association/publicIp": "203.0.113.25",
    }.items():
        equal(answer.texts(path), [expected], path)
    equal(answer.texts(interface + "/privateIpAddressesSet/item/privateIpAddress"), ["127.0.1.5", "127.0.1.6"])
    equal(answer.texts(interface + "/privateIpAddressesSet/item/primary"), ["true", "false"])
    tags = dict(zip(answer.texts(INSTANCE + "/tagSet/item/key"), answer.texts(INSTANCE + "/tagSet/item/value")))
    equal(
        tags,
        {
            "a<&>\"'": "ü\n]]>",
            "aws:ec2launchtemplate:id": "lt-0123456789abcdef0",
            "aws:ec2launchtemplate:version": "1",
            "aws:autoscaling:groupName": "web",
        },
    )


@test
def a_reservation_holds_its_instances(case):
    for address in ("127.0.1.1", "127.0.1.2", "127.0.1.3"):
        reservation = "r-0000000000000000" + ("1" if address != "127.0.1.2" else "2")
        case.sim.launch(address=address, reservation=reservation)
    answer = case.sim.describe(case.signer)
    equal(answer.texts("reservationSet/item/reservationId"), ["r-00000000000000001", "r-00000000000000002"])
    equal(answer.texts(INSTANCE + "/privateIpAddress"), ["127.0.1.1", "127.0.1.3", "127.0.1.2"])


@test
def filters_choose(case):
    running = [case.sim.launch()["id"] for _ in range(3)]
    stopped = case.sim.launch()["id"]
    case.sim.control("stop", instance=stopped)
    everything = running + [stopped]
    unknown = "i-00000000000000000"
    for pairs, expected in (
        ([("instance-id", running[:2])], running[:2]),
        ([("instance-id", [unknown, running[2]])], running[2:]),
        ([("instance-id", [unknown])], []),
        ([("instance-id", ["i-*"])], everything),
        ([("instance-id", ["I-*"])], []),
        ([("instance-id", ["*"])], everything),
        ([("instance-id", ["\\*"])], []),
        ([("instance-id", [stopped[:-1] + "?"])], [stopped]),
        ([("instance-id", [stopped + "?"])], []),
        ([("instance-id", ["*" + stopped[-6:]])], [stopped]),
        ([("instance-state-name", ["stopped"])], [stopped]),
        ([("instance-state-name", ["stop*"])], [stopped]),
        ([("instance-state-name", ["running", "stopped"])], everything),
        ([("instance-state-name", ["running"]), ("instance-id", [stopped, running[0]])], running[:1]),
        ([("instance-id", [running[0]]), ("instance-id", [running[1]])], []),
    ):
        equal(case.ids(**filters(*pairs)), expected, pairs)


@test
def instance_ids_are_all_or_nothing(case):
    one, two = (case.sim.launch()["id"] for _ in range(2))
    foreign = case.sim.launch(account=OTHER_ACCOUNT, address="127.0.9.9")["id"]
    elsewhere = case.sim.launch(region="eu-west-1")["id"]
    equal(case.ids(InstanceId_1=two), [two])
    equal(sorted(case.ids(InstanceId_1=two, InstanceId_2=one)), sorted([one, two]))
    for unknown in ("i-00000000000000000", foreign, elsewhere):
        refused(
            case.sim.describe(case.signer, InstanceId_1=one, InstanceId_2=unknown), 400, "InvalidInstanceID.NotFound"
        )
    refused(case.sim.describe(case.signer, InstanceId_1="foobar"), 400, "InvalidInstanceID.Malformed")
    equal(case.ids(InstanceId_1=one, **filters(("instance-state-name", ["stopped"]))), [])


@test
def only_the_accounts_own_of_that_region_are_visible(case):
    mine = case.sim.launch()["id"]
    elsewhere = case.sim.launch(region="eu-west-1")["id"]
    foreign = case.sim.launch(account=OTHER_ACCOUNT)["id"]
    path = INSTANCE + "/instanceId"
    equal(case.sim.describe(case.signer).texts(path), [mine])
    equal(case.sim.describe(case.signer, "eu-west-1").texts(path), [elsewhere])
    equal(case.sim.describe(case.other).texts(path), [foreign])
    equal(case.sim.describe(case.other, **filters(("instance-id", [mine]))).texts(path), [])


@test
def pages_follow_each_other(case):
    made = [case.sim.launch()["id"] for _ in range(12)]
    case.sim.launch(account=OTHER_ACCOUNT)
    pages, token = [], {}
    while True:
        answer = case.sim.describe(case.signer, MaxResults=5, **token)
        pages.append(answer.texts(INSTANCE + "/instanceId"))
        following = answer.texts("nextToken")
        if not following:
            break
        token = {"NextToken": only(following)}
    equal([len(page) for page in pages], [5, 5, 2])
    equal(sum(pages, []), made)
    refused(case.sim.describe(case.other, **token), 400, "InvalidParameterValue")
    refused(case.sim.describe(case.signer, "eu-west-1", **token), 400, "InvalidParameterValue")
    forged = token["NextToken"][:20] + ("B" if token["NextToken"][20] == "A" else "A") + token["NextToken"][21:]
    refused(case.sim.describe(case.signer, NextToken=forged), 400, "InvalidParameterValue")


@test
def ec2_refuses_wrong_parameters(case):
    one = case.sim.launch()["id"]
    many = [f"i-{n:08x}" for n in range(201)]
    for code, parameters in (
        ("InvalidParameterValue", {"MaxResults": 4}),
        ("InvalidParameterValue", {"MaxResults": 1001}),
        ("InvalidParameterValue", {"MaxResults": "5x"}),
        ("InvalidParameterValue", {"NextToken": "nonsense"}),
        ("InvalidParameterCombination", {"MaxResults": 5, "InstanceId_1": one}),
        ("InvalidParameterValue", filters(("instance-idd", [one]))),
        ("InvalidParameterValue", filters(("instance-id", []))),
        ("InvalidParameterValue", {"Filter_1_Value_1": one}),
        ("UnknownParameter", {"Instanceid_1": one}),
        ("UnknownParameter", {"Filter_1_Value": one}),
        ("FilterLimitExceeded", filters(("instance-id", many))),
    ):
        refused(case.sim.describe(case.signer, **parameters), 400, code)
    equal(case.sim.describe(case.signer, **filters(("instance-id", many[:200]))).status, 200)
    refused(case.sim.describe(case.signer, DryRun="true"), 412, "DryRunOperation")
    call = case.sim.call
    for code, body in (
        ("InvalidAction", form(Action="RunInstances", Version="2016-11-15")),
        ("NoSuchVersion", form(Action="DescribeInstances", Version="2010-05-08")),
        ("NoSuchVersion", form(Action="DescribeInstances")),
        ("MissingAction", form(Version="2016-11-15")),
        ("MalformedQueryString", b"Action=DescribeInstances&Version=2016-11-15&A=%zz"),
        ("MalformedQueryString", b"Action=DescribeInstances&Version=2016-11-15&Action=DescribeInstances"),
    ):
        refused(call(case.signer, "ec2", "us-east-1", body), 400, code)
    body = form(Action="DescribeInstances", Version="2016-11-15")
    refused(
        call(case.signer, "ec2", "us-east-1", body, extra={"content-type": "application/json"}), 400, "MissingAction"
    )


# ---- IAM


@test
def iam_lists_the_profiles_of_a_role(case):
    answer = case.sim.profiles_for_role(case.signer, "web-tier")
    equal(answer.status, 200)
    equal(answer.xml().tag, f"{{{IAM_NAMESPACE}}}ListInstanceProfilesForRoleResponse")
    result = "ListInstanceProfilesForRoleResult"
    equal(answer.texts(result + "/IsTruncated"), ["false"])
    member = result + "/InstanceProfiles/member"
    equal(answer.texts(member + "/InstanceProfileName"), ["web", "web-old"])
    equal(
        answer.texts(member + "/Arn"),
        [f"arn:aws:iam::{ACCOUNT}:instance-profile/{name}" for name in ("web", "a/b/web-old")],
    )
    equal(answer.texts(member + "/Roles/member/RoleName"), ["web-tier"] * 2)
    equal(answer.texts("ResponseMetadata/RequestId"), [answer.headers["x-amzn-RequestId"]])
    for signer, role in ((case.signer, "none"), (case.signer, "WEB-TIER"), (case.other, "web-tier")):
        answer = case.sim.profiles_for_role(signer, role)
        refused(answer, 404, "NoSuchEntity")
        equal(answer.xml().tag, f"{{{IAM_NAMESPACE}}}ErrorResponse")
        equal(answer.texts("Error/Type"), ["Sender"])
    case.sim.control("role", account=ACCOUNT, name="web-tier", profiles=[{"name": "web"}])
    equal(case.sim.profiles_for_role(case.signer, "web-tier").texts(member + "/InstanceProfileName"), ["web"])


@test
def iam_pages(case):
    names = [f"p{n}" for n in range(7)]
    case.sim.control("role", account=ACCOUNT, name="many", profiles=[{"name": name} for name in names])
    seen, marker = [], {}
    result = "ListInstanceProfilesForRoleResult"
    for truncated in ("true", "true", "false"):
        answer = case.sim.profiles_for_role(case.signer, "many", MaxItems=3, **marker)
        seen += answer.texts(result + "/InstanceProfiles/member/InstanceProfileName")
        equal(answer.texts(result + "/IsTruncated"), [truncated])
        equal(len(answer.texts(result + "/Marker")), 1 if truncated == "true" else 0)
        if truncated == "true":
            marker = {"Marker": only(answer.texts(result + "/Marker"))}
    equal(seen, names)
    refused(case.sim.profiles_for_role(case.signer, "web-tier", **marker), 400, "ValidationError")
    refused(case.sim.profiles_for_role(case.signer, "many", MaxItems=0), 400, "ValidationError")


# ---- signatures


def signed(case, service="ec2", region="us-east-1", **signing):
    body = (
        form(Action="DescribeInstances", Version="2016-11-15")
        if service == "ec2"
        else form(Action="ListInstanceProfilesForRole", Version="2010-05-08", RoleName="web-tier")
    )
    return body, case.signer.headers(f"127.0.0.1:{case.sim.port}", body, region, service, **signing)


@test
def a_right_signature_passes_and_each_altered_part_is_refused(case):
    body, headers = signed(case, extra={"x-amz-meta": "one   two", "x-other": "three"})
    equal(case.sim.send(body, headers).status, 200)
    right = headers["authorization"]
    key_id, secret_end = case.signer.access_key_id, right[-1]
    altered_signature = right[:-1] + ("0" if secret_end != "0" else "1")
    for name, value in (
        ("authorization", altered_signature),
        ("authorization", right.replace("us-east-1", "us-east-2")),
        ("authorization", right.replace("/ec2/", "/iam/")),
        ("authorization", right.replace("host;", "")),
        ("authorization", right.replace(";x-other", "")),
        ("authorization", right.replace(";x-amz-meta", "")),
        ("content-type", headers["content-type"].upper()),
        ("x-amz-meta", "one two three"),
        ("x-amz-unsigned", "more"),
        ("x-other", "four"),
        ("Host", "127.0.0.1"),
    ):
        refused(case.sim.send(body, dict(headers, **{name: value})), 403, "SignatureDoesNotMatch")
    refused(case.sim.send(body + b"&DryRun=false", headers), 403, "SignatureDoesNotMatch")
    refused(case.sim.send(b"", headers), 403, "SignatureDoesNotMatch")
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    refused(case.sim.send(body, dict(headers, **{"x-amz-date": amz_date(later)})), 403, "SignatureDoesNotMatch")
    unknown = dict(headers, authorization=right.replace(key_id, "AKIAAAAAAAAAAAAAAAAA"))
    refused(case.sim.send(body, unknown), 401, "AuthFailure")
    for name, status, code in (
        ("authorization", 403, "MissingAuthenticationToken"),
        ("x-amz-date", 400, "IncompleteSignature"),
    ):
        refused(case.sim.send(body, {n: v for n, v in headers.items() if n != name}), status, code)
    for malformed in (
        "Basic QTpC",
        right.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        right.replace("aws4_request", "aws4"),
        right[:-1],
        right + "0",
        right.upper(),
        right.split(", Signature")[0],
        "AWS4-HMAC-SHA256 " + "a" * 4000,
    ):
        refused(case.sim.send(body, dict(headers, authorization=malformed)), 400, "IncompleteSignature")
    wrong = Signer(key_id, case.signer.secret + "x")
    refused(case.sim.describe(wrong), 403, "SignatureDoesNotMatch")


@test
def the_signer_agrees_with_awss_own_vectors(case):
    del case
    signer = Signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    date, host = "20150830T123600Z", "example.amazonaws.com"
    typed = {"content-type": "application/x-www-form-urlencoded", "host": host, "x-amz-date": date}
    for headers, body, signature in (
        ({"host": host, "x-amz-date": date}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (typed, b"Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ):
        line = signer.authorization(headers, body, "us-east-1", "service", date)
        equal(line.split("Signature=")[1], signature)


@test
def signed_headers_must_be_in_order(case):
    body, headers = signed(case)
    right = headers["authorization"]
    for names in (
        "host;content-type;x-amz-date",
        "content-type;host;host;x-amz-date",
        "Content-Type;host;x-amz-date",
        "content-type;host;x-amz-date;",
        "content-type;host;missing;x-amz-date",
    ):
        altered = right.replace("content-type;host;x-amz-date", names)
        refused(case.sim.send(body, dict(headers, authorization=altered)), 403, "SignatureDoesNotMatch")


@test
def dates_too_far_away_are_refused(case):
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes, right in ((-14, True), (14, True), (-16, False), (16, False), (-60 * 24 * 365, False)):
        date = amz_date(now + datetime.timedelta(minutes=minutes))
        answers = [case.sim.send(*signed(case, service, date=date)) for service in ("ec2", "iam")]
        if right:
            equal([answer.status for answer in answers], [200, 200], minutes)
        else:
            refused(answers[0], 400, "RequestExpired")
            refused(answers[1], 403, "SignatureDoesNotMatch")
    with AwsSim.start(case.build, options=["--clock-skew", "ok"]) as sim:
        signer = sim.account(ACCOUNT)
        body = form(Action="DescribeInstances", Version="2016-11-15")
        equal(sim.call(signer, "ec2", "us-east-1", body, date="20150830T123600Z").status, 200)


@test
def session_tokens_belong_to_their_key(case):
    signer = case.sim.account(ACCOUNT, session_token="IQoJb3JpZ2lu/+==")
    assert signer.access_key_id.startswith("ASIA"), signer.access_key_id
    equal(case.sim.describe(signer).status, 200)
    refused(case.sim.describe(Signer(signer.access_key_id, signer.secret)), 401, "AuthFailure")
    refused(case.sim.describe(Signer(signer.access_key_id, signer.secret, "other")), 401, "AuthFailure")
    refused(case.sim.describe(Signer(case.signer.access_key_id, case.signer.secret, "extra")), 401, "AuthFailure")
    other = Signer(signer.access_key_id, signer.secret, "other")
    refused(case.sim.profiles_for_role(other, "web-tier"), 403, "InvalidClientTokenId")


@test
def iam_is_signed_for_its_partitions_region(case):
    refused(case.sim.profiles_for_role(case.signer, "web-tier", "eu-west-1"), 403, "SignatureDoesNotMatch")
    china = case.sim.account("333333333333", partition="aws-cn")
    case.sim.control("role", account="333333333333", name="web")
    answer = case.sim.profiles_for_role(china, "web", "cn-north-1")
    equal(answer.status, 200)
    arn = only(answer.texts("ListInstanceProfilesForRoleResult/InstanceProfiles/member/Arn"))
    equal(arn, "arn:aws-cn:iam::333333333333:instance-profile/web")
    refused(case.sim.profiles_for_role(china, "web"), 403, "InvalidClientTokenId")
    refused(case.sim.describe(china), 401, "AuthFailure")


@test
def only_a_signed_post_to_the_root_is_an_api_call(case):
    body, headers = signed(case)
    port = case.sim.port
    equal(http_request(port, "POST", "/?Action=DescribeInstances", headers, body).status, 404)
    equal(http_request(port, "POST", "//", headers, body).status, 404)
    equal(http_request(port, "GET", "/", headers).status, 405)
    equal(http_request(port, "POST", "/", headers, b"a" * (1 << 20) + b"b").status, 413)


# ---- metadata


@test
def metadata_knows_the_caller_by_his_address(case):
    one = case.sim.launch(role="web-tier", address="127.0.1.5", public_address="203.0.113.25")
    two = case.sim.launch(region="eu-west-1", address="127.0.1.6", type="c7g.large")
    for made in (one, two):
        metadata = case.sim.metadata(made["address"])
        for path, member in {
            "instance-id": "id",
            "local-hostname": "local_hostname",
            "hostname": "local_hostname",
            "reservation-id": "reservation",
            "instance-type": "type",
            "local-ipv4": "address",
            "ami-id": "image",
            "mac": "mac",
            "placement/region": "region",
            "placement/availability-zone": "availability_zone",
        }.items():
            equal(metadata.text("meta-data/" + path), made[member], path)
        document = json.loads(metadata.text("dynamic/instance-identity/document"))
        for name, member in {
            "accountId": "account",
            "region": "region",
            "instanceId": "id",
            "instanceType": "type",
            "imageId": "image",
            "privateIp": "address",
            "availabilityZone": "availability_zone",
        }.items():
            equal(document[name], made[member], name)
        equal(document["pendingTime"], made["launch_time"].replace(".000Z", "Z"))
    first, second = case.sim.metadata("127.0.1.5"), case.sim.metadata("127.0.1.6")
    equal(first.text("meta-data/public-hostname"), one["public_hostname"])
    equal(first.text("meta-data/public-ipv4"), "203.0.113.25")
    equal(json.loads(first.text("meta-data/iam/info"))["InstanceProfileArn"], one["profile_arn"])
    for path in ("public-hostname", "public-ipv4", "iam/info", "iam/", "nothing", "instance-id/x"):
        equal(second.get("meta-data/" + path).status, 404, path)
    for path in ("dynamic/instance-identity/pkcs7", "dynamic/instance-identity/signature", "../latest/meta-data"):
        equal(first.get(path).status, 404, path)
    assert "instance-id" in first.text("meta-data/").split("\n")
    assert "placement/" in first.text("meta-data").split("\n")
    equal(first.text("meta-data/placement/"), "availability-zone\nregion")


@test
def metadata_wants_a_token(case):
    case.sim.launch(address="127.0.1.5")
    case.sim.launch(address="127.0.1.6")
    metadata, neighbour = case.sim.metadata("127.0.1.5"), case.sim.metadata("127.0.1.6")
    token = metadata.token()
    equal(len(token), 56)
    equal(metadata.get("meta-data/instance-id", token).status, 200)
    port, path = case.sim.imds_port, "/latest/meta-data/instance-id"
    equal(http_request(port, "GET", path, source="127.0.1.5").status, 401)
    altered = token[:-4] + ("A" if token[-4] != "A" else "B") + token[-3:]
    for wrong in ("", "x", altered, token + "A", neighbour.token()):
        equal(metadata.get("meta-data/instance-id", wrong).status, 401, wrong)
    ttl = "X-aws-ec2-metadata-token-ttl-seconds"
    for headers, status in (
        ({}, 400),
        ({ttl: "0"}, 400),
        ({ttl: "21601"}, 400),
        ({ttl: "x"}, 400),
        ({ttl: ""}, 400),
        ({ttl: "-1"}, 400),
        ({ttl: "21600"}, 200),
        ({ttl: "60", "X-Forwarded-For": "10.0.0.1"}, 403),
    ):
        answer = http_request(port, "PUT", "/latest/api/token", headers, source="127.0.1.5")
        equal(answer.status, status, headers)
    equal(answer.headers.get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"), None)
    equal(http_request(port, "POST", "/latest/api/token", {ttl: "60"}, source="127.0.1.5").status, 405)
    equal(http_request(port, "PUT", path, {ttl: "60"}, source="127.0.1.5").status, 405)


@test
def metadata_options_are_obeyed(case):
    made = case.sim.launch(address="127.0.1.5", http_tokens="optional")
    path = "/latest/meta-data/instance-id"
    equal(http_request(case.sim.imds_port, "GET", path, source="127.0.1.5").body.decode(), made["id"])
    equal(case.sim.metadata("127.0.1.5").get("meta-data/instance-id", "wrong").status, 401)
    case.sim.control("set", instance=made["id"], http_endpoint="disabled")
    equal(http_request(case.sim.imds_port, "GET", path, source="127.0.1.5").status, 403)


@test
def a_stranger_finds_no_metadata_service(case):
    for source in (None, "127.0.1.5"):
        broken(http_request, case.sim.imds_port, "PUT", "/latest/api/token", source=source)
    equal(case.sim.counters()["metadata-token"]["outcomes"], {"no-instance": 2})


# ---- role credentials, identity documents


@test
def role_credentials_have_the_form_of_awss_own(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5")
    case.sim.launch(address="127.0.1.6")
    metadata = case.sim.metadata("127.0.1.5")
    base = "meta-data/iam/security-credentials/"
    equal(metadata.text(base), "web-tier")
    text = metadata.text(base + "web-tier")
    found = json.loads(text)
    equal(
        list(found),
        ["Code", "LastUpdated", "Type", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"],
    )
    equal((found["Code"], found["Type"]), ("Success", "AWS-HMAC"))
    assert text.startswith('{\n  "Code" : "Success",\n'), text[:40]
    assert re.fullmatch("ASIA[A-Z0-9]{16}", found["AccessKeyId"]), found
    assert re.fullmatch("[A-Za-z0-9+/]{40}", found["SecretAccessKey"]), found
    assert re.fullmatch("IQoJb3JpZ2luX2Vj[A-Za-z0-9+/]+={0,2}", found["Token"]), found
    assert 800 <= len(base64.b64decode(found["Token"], validate=True)) * 4 / 3 <= 1200, len(found["Token"])
    for member in ("LastUpdated", "Expiration"):
        datetime.datetime.strptime(found[member], "%Y-%m-%dT%H:%M:%SZ")
    equal(json.loads(metadata.text(base + "web-tier")), found)
    equal(metadata.credentials(), found)
    signer = case.sim.role_credentials(made)
    equal((signer.access_key_id, signer.secret), (found["AccessKeyId"], found["SecretAccessKey"]))
    equal(case.sim.metadata("127.0.1.6").credentials(), None)
    for path in ("web-tie", "web-tier/", "WEB-TIER", "web"):
        equal(metadata.get(base + path).status, 404, path)
    equal(case.sim.metadata("127.0.1.6").get(base + "web-tier").status, 404)
    equal(case.sim.describe(signer).status, 200)


@test
def role_credentials_rotate_expire_and_follow_the_role(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5")
    case.sim.control("role", account=ACCOUNT, name="other")
    first = case.sim.role_credentials(made)
    second = case.sim.role_credentials(made, "rotate")
    assert first.access_key_id != second.access_key_id
    equal(case.sim.metadata("127.0.1.5").credentials()["AccessKeyId"], second.access_key_id)
    for signer in (first, second):
        equal(case.sim.caller_identity(signer).status, 200)
    case.sim.role_credentials(made, "expire")
    equal(case.sim.metadata("127.0.1.5").credentials()["AccessKeyId"], second.access_key_id)
    refused(case.sim.caller_identity(second), 403, "ExpiredToken")
    refused(case.sim.profiles_for_role(second, "web-tier"), 403, "ExpiredToken")
    refused(case.sim.describe(second), 400, "RequestExpired")
    equal(case.sim.caller_identity(first).status, 200)
    case.sim.control("expire", access_key_id=first.access_key_id)
    refused(case.sim.caller_identity(first), 403, "ExpiredToken")
    case.sim.control("set", instance=made["id"], role="other")
    third = case.sim.role_credentials(made)
    arn = only(case.sim.caller_identity(third).texts("GetCallerIdentityResult/Arn"))
    equal(arn, f"arn:aws:sts::{ACCOUNT}:assumed-role/other/{made['id']}")
    case.sim.control("set", instance=made["id"], profile="")
    equal(case.sim.metadata("127.0.1.5").credentials(), None)


def openssl(*arguments, data=None):
    return subprocess.run(("openssl",) + arguments, input=data, capture_output=True, check=False)


def verified(blob, pem, program="cms"):
    """The content that openssl finds signed by exactly this certificate; None: it refuses."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem.encode())
        file.flush()
        done = openssl(
            program, "-verify", "-binary", "-inform", "DER", "-noverify", "-nointern", "-certfile", file.name, data=blob
        )
    return done.stdout if done.returncode == 0 else None


@test
def identity_documents_are_signed_by_their_region(case):
    case.sim.launch(address="127.0.1.5")
    case.sim.launch(address="127.0.1.6", region="eu-west-1", type="c7g.large")
    mine, other = case.sim.certificate("us-east-1"), case.sim.certificate("eu-west-1")
    assert mine != other
    for address, pem, wrong in (("127.0.1.5", mine, other), ("127.0.1.6", other, mine)):
        metadata = case.sim.metadata(address)
        document = metadata.get("dynamic/instance-identity/document").body
        text = metadata.text("dynamic/instance-identity/rsa2048")
        assert {len(line) for line in text.split("\n")[:-1]} == {76} and not text.endswith("\n"), text
        blob = base64.b64decode(text.replace("\n", ""), validate=True)
        for program in ("cms", "smime"):
            equal(verified(blob, pem, program), document, program)
            equal(verified(blob, wrong, program), None, program)
        at = blob.index(b"instanceId") + 20
        equal(verified(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], pem), None)
        equal(metadata.text("dynamic/instance-identity/rsa2048"), text)
    equal(case.sim.metadata("127.0.1.5").text("dynamic/instance-identity"), "document\nrsa2048")
    launched = case.sim.launch(address="127.0.1.7", launch_time="2020-01-02T03:04:05Z")
    metadata = case.sim.metadata("127.0.1.7")
    equal(json.loads(metadata.text("dynamic/instance-identity/document"))["pendingTime"], "2020-01-02T03:04:05Z")
    case.sim.control("set", instance=launched["id"], pending_time="2021-01-02T03:04:05Z")
    equal(json.loads(metadata.text("dynamic/instance-identity/document"))["pendingTime"], "2021-01-02T03:04:05Z")


@test
def an_identity_document_equals_the_genuine_one_but_for_key_and_serial_number(case):
    genuine = VECTORS / "identity-documents" / "us-west-2-rsa2048"
    if not genuine.is_dir():
        raise Skip(f"no {genuine}")
    case.sim.account("278576220453")
    case.sim.launch(
        account="278576220453",
        region="us-west-2",
        id="i-078517ca8a70a1dde",
        image="ami-0fa9e1f64142cde17",
        type="t2.medium",
        launch_time="2021-09-03T21:25:44Z",
        address="10.0.0.209",
        secondary_addresses=["127.0.1.5"],
    )
    metadata = case.sim.metadata("127.0.1.5")
    equal(metadata.get("dynamic/instance-identity/document").body, (genuine / "document.json").read_bytes())
    ours = metadata.text("dynamic/instance-identity/rsa2048")
    theirs = (genuine / "pkcs7.b64").read_text().rstrip("\n")  # the file's own end, not the service's
    equal([len(line) for line in ours.split("\n")], [len(line) for line in theirs.split("\n")])
    ours, theirs = base64.b64decode(ours), base64.b64decode(theirs)
    serial, signature = slice(648, 657), slice(846, 1102)
    equal(theirs[serial].hex(), "00b64bde5ad00924cc")
    equal(ours[serial][0], 0)
    masked = [
        blob[: serial.start] + blob[serial.stop : signature.start] + blob[signature.stop :] for blob in (ours, theirs)
    ]
    equal(*masked)
    equal(len(ours), len(theirs))
    shown = ("-noout", "-subject", "-issuer", "-dates", "-ext", "keyUsage,basicConstraints")
    pem = (VECTORS / "aws-certificates" / "us-west-2.pem").read_bytes()
    mine = openssl("x509", *shown, data=case.sim.certificate("us-west-2").encode()).stdout
    equal(mine, openssl("x509", *shown, data=pem).stdout)
    assert mine.startswith(b"subject=C = US"), mine


# ---- STS


@test
def sts_says_whose_credentials_they_are(case):
    made = case.sim.launch(role="web-tier", address="127.0.1.5")
    role = only(case.sim.profiles_for_role(case.signer, "web-tier").texts(
        "ListInstanceProfilesForRoleResult/InstanceProfiles/member/Roles/member/RoleId")[:1])
    signer = case.sim.role_credentials(made)
    answer = case.sim.caller_identity(signer, binding="challenge.hash")
    equal((answer.status, answer.headers["Content-Type"]), (200, "text/xml"))
    request_id = answer.headers["x-amzn-RequestId"]
    equal(
        answer.body.decode(),
        f"""<GetCallerIdentityResponse xmlns="{STS_NAMESPACE}">
  <GetCallerIdentityResult>
    <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/web-tier/{made["id"]}</Arn>
    <UserId>{role}:{made["id"]}</UserId>
    <Account>{ACCOUNT}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
""",
    )
    result = "GetCallerIdentityResult"
    answer = case.sim.caller_identity(case.sim.assume("web-tier", "i-0000000000000dead"))
    equal(only(answer.texts(result + "/Arn")), f"arn:aws:sts::{ACCOUNT}:assumed-role/web-tier/i-0000000000000dead")
    answer = case.sim.caller_identity(case.signer, "eu-west-1")
    equal(answer.texts(result + "/Arn"), [f"arn:aws:iam::{ACCOUNT}:root"])
    equal(answer.texts(result + "/UserId"), [ACCOUNT])
    user = case.sim.account(ACCOUNT, user="alice")
    answer = case.sim.caller_identity(user)
    equal(answer.texts(result + "/Arn"), [f"arn:aws:iam::{ACCOUNT}:user/alice"])
    assert re.fullmatch("AIDA[A-Z0-9]{17}", only(answer.texts(result + "/UserId"))), answer.body
    china = case.sim.account("333333333333", partition="aws-cn")
    case.sim.control("role", account="333333333333", name="web", path="/a/b/")
    there = case.sim.launch(account="333333333333", region="cn-north-1", role="web")
    answer = case.sim.caller_identity(case.sim.role_credentials(there), "cn-north-1")
    equal(answer.texts(result + "/Arn"), [f"arn:aws-cn:sts::333333333333:assumed-role/web/{there['id']}"])
    refused(case.sim.caller_identity(china), 403, "InvalidClientTokenId")


def assume_role(case, signer, role="server", account=ACCOUNT, session="somebody", region="us-east-1", **more):
    body = form(Action="AssumeRole", Version="2011-06-15", RoleArn=f"arn:aws:iam::{account}:role/{role}",
                RoleSessionName=session, **more)
    return case.sim.call(signer, "sts", region, body)


@test
def roles_are_assumed_by_whom_they_trust(case):
    case.sim.control("role", account=ACCOUNT, name="server")
    case.sim.control("trust", account=ACCOUNT, role="server", accounts=[OTHER_ACCOUNT], external_id="a:/b", ttl=900)
    answer = assume_role(case, case.other, ExternalId="a:/b")
    equal((answer.status, answer.headers["Content-Type"]), (200, "text/xml"))
    equal(answer.xml().tag, "{%s}AssumeRoleResponse" % STS_NAMESPACE)
    result = "AssumeRoleResult/"
    arn = only(answer.texts(result + "AssumedRoleUser/Arn"))
    equal(arn, f"arn:aws:sts::{ACCOUNT}:assumed-role/server/somebody")
    keys = [only(answer.texts(result + "Credentials/" + name))
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    end = datetime.datetime.fromisoformat(only(answer.texts(result + "Credentials/Expiration")).replace("Z", "+00:00"))
    assert 890 < (end - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 900, end
    signer = Signer(*keys)
    equal(case.sim.caller_identity(signer).texts("GetCallerIdentityResult/Arn"), [arn])
    made = case.sim.launch(role="server")
    equal(case.sim.describe(signer).texts("reservationSet/item/instancesSet/item/instanceId"), [made["id"]])
    for other in (assume_role(case, case.other, ExternalId="a:/c"), assume_role(case, case.other),
                  assume_role(case, case.signer, ExternalId="a:/b"),
                  assume_role(case, case.other, role="none", ExternalId="a:/b"),
                  assume_role(case, case.other, account=OTHER_ACCOUNT, ExternalId="a:/b")):
        refused(other, 403, "AccessDenied")
    refused(assume_role(case, case.other, session="a b", ExternalId="a:/b"), 400, "ValidationError")
    refused(assume_role(case, Signer("AKIAIOSFODNN7EXAMPLE", "x"), ExternalId="a:/b"), 403, "InvalidClientTokenId")
    refused(case.sim.send(form(Action="AssumeRole", Version="2011-06-15"),
                          {"Content-Type": "application/x-www-form-urlencoded"}), 403, "MissingAuthenticationToken")
    for arguments in ({"role": "none"}, {"role": "server", "accounts": "x"}, {"role": "server", "other": 1}):
        try:
            case.sim.control("trust", account=ACCOUNT, **arguments)
        except ControlError as error:
            assert error.status in (400, 404), error
        else:
            raise AssertionError(f"taken: {arguments}")


@test
def a_web_identity_needs_no_signature(case):
    case.sim.control("role", account=ACCOUNT, name="server")

    def ask(token, role="server"):
        body = form(Action="AssumeRoleWithWebIdentity", Version="2011-06-15", RoleSessionName="somebody",
                    RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", WebIdentityToken=token)
        return case.sim.send(body, {"Content-Type": "application/x-www-form-urlencoded"})

    refused(ask(""), 400, "InvalidIdentityToken")  # it trusts nobody yet
    case.sim.control("trust", account=ACCOUNT, role="server", web_token="a.b.c")
    answer = ask("a.b.c")
    equal((answer.status, answer.xml().tag), (200, "{%s}AssumeRoleWithWebIdentityResponse" % STS_NAMESPACE))
    refused(ask("a.b.d"), 400, "InvalidIdentityToken")
    refused(ask("a.b.c", "none"), 403, "AccessDenied")


@test
def a_containers_endpoint_gives_keys_of_its_role(case):
    case.sim.control("role", account=ACCOUNT, name="server")
    path = f"/container/{ACCOUNT}/server"

    def ask(token=None, method="GET", where=path):
        return http_request(case.sim.port, method, where, {"Authorization": token} if token else {})

    equal(ask("").status, 401)
    case.sim.control("trust", account=ACCOUNT, role="server", container_token="Bearer x")
    keys = json.loads(ask("Bearer x").body)
    equal(sorted(keys), ["AccessKeyId", "Expiration", "RoleArn", "SecretAccessKey", "Token"])
    signer = Signer(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    equal(case.sim.caller_identity(signer).texts("GetCallerIdentityResult/Arn"),
          [f"arn:aws:sts::{ACCOUNT}:assumed-role/server/container"])
    equal([ask().status, ask("Bearer y").status, ask("Bearer x", "POST").status,
           ask("Bearer x", where=path + "x").status], [401, 401, 405, 404])
    case.sim.fault("container", "error-500")
    equal([ask("Bearer x").status, ask("Bearer x").status], [500, 200])


@test
def sts_refuses_in_its_own_form(case):
    made = case.sim.launch(role="web-tier")
    signer = case.sim.role_credentials(made)
    call, key = case.sim.caller_identity, signer.access_key_id
    now = datetime.datetime.now(datetime.timezone.utc)
    later = {minutes: amz_date(now + datetime.timedelta(minutes=minutes)) for minutes in (-16, -14, 14, 16)}
    for minutes, status in ((-14, 200), (14, 200), (-16, 403), (16, 403)):
        equal(call(signer, date=later[minutes]).status, status, minutes)
    for words, date in (("Signature expired: ", later[-16]), ("Signature not yet current: ", later[16])):
        answer = call(signer, date=date)
        refused(answer, 403, "SignatureDoesNotMatch")
        assert only(answer.texts("Error/Message")).startswith(words + date), answer.body
    without = Signer(key, signer.secret)
    for status, code, answer in (
        (403, "InvalidClientTokenId", call(without)),
        (403, "InvalidClientTokenId", call(Signer(key, signer.secret, signer.session_token[:-1]))),
        (403, "InvalidClientTokenId", call(Signer("ASIA" + "A" * 16, signer.secret, signer.session_token))),
        (403, "SignatureDoesNotMatch", call(Signer(key, signer.secret + "A", signer.session_token))),
        (403, "SignatureDoesNotMatch", call(signer, binding="a.b", x_vouchsafe_binding="a.c")),
        (403, "SignatureDoesNotMatch", call(signer, x_amz_target="unsigned")),
        (403, "SignatureDoesNotMatch", call(signer, Host="127.0.0.1")),
        (403, "SignatureDoesNotMatch", call(signer, host="sts.us-west-2.amazonaws.com")),
        (403, "SignatureDoesNotMatch", call(signer, "us-west-2", host="sts.amazonaws.com")),
        (403, "SignatureDoesNotMatch", call(signer, "us-west-2", host="sts.us-west-2.amazonaws.com.cn")),
        (403, "MissingAuthenticationToken", case.sim.send(
            CALLER_IDENTITY, {"Content-Type": "application/x-www-form-urlencoded"})),
        (400, "IncompleteSignature", call(signer, authorization="AWS4-HMAC-SHA256 Credential=" + key)),
    ):
        refused(answer, status, code)
        equal(answer.xml().tag, f"{{{STS_NAMESPACE}}}ErrorResponse")
        equal(answer.texts("Error/Type"), ["Sender"])
        equal(answer.texts("RequestId"), [answer.headers["x-amzn-RequestId"]])
    for host, region in (("sts.amazonaws.com", "us-east-1"), (f"127.0.0.1:{case.sim.port}", "eu-west-1")):
        equal(call(signer, region, host=host).status, 200)
    # what stands in front of the service: other names, or no answer in XML at all
    front = "{http://webservices.amazon.com/AWSFault/2005-15-09}ErrorResponse"
    for body in (b"Action=GetSessionToken&Version=2011-06-15", b"Action=GetCallerIdentity&Version=2011-06-16",
                 b"Action=GetCallerIdentity"):
        answer = case.sim.call(signer, "sts", "us-east-1", body)
        refused(answer, 400, "InvalidAction")
        equal(answer.xml().tag, front)
    for answer in (call(signer, Content_Type="text/plain"), case.sim.call(signer, "sts", "us-east-1", b"A=1")):
        equal((answer.status, answer.headers["Location"], answer.body), (302, "https://aws.amazon.com/iam", b""))


@test
def sts_fails_too(case):
    made = case.sim.launch(role="web-tier")
    signer = case.sim.role_credentials(made)

    def spoilt(mode, **arguments):
        case.sim.fault("GetCallerIdentity", mode, **arguments)
        return case.sim.caller_identity(signer)

    refused(spoilt("throttle"), 400, "Throttling")
    refused(spoilt("error-500"), 500, "InternalError")
    refused(spoilt("error-503"), 503, "ServiceUnavailable")
    refused(spoilt("error-200"), 200, "InternalError")
    for mode in ("reset", "reset-midway", "short-body"):
        broken(spoilt, mode)
    for mode in ("garbage", "truncated-xml", "empty"):
        raises(ElementTree.ParseError, spoilt(mode).xml)
    assert spoilt("doctype").body.startswith(b"<!DOCTYPE"), "a DOCTYPE stands in front of the root"
    answer = spoilt("json-body")
    equal(answer.headers["Content-Type"], "application/json")
    assert json.loads(answer.body)["answer"].startswith("<GetCallerIdentityResponse"), answer.body
    equal(spoilt("replace-body", value="<a>" + "x" * 3000 + "</a>").body, b"<a>" + b"x" * 3000 + b"</a>")
    result = "GetCallerIdentityResult"
    for field in ("Arn", "Account", result + "/UserId"):
        equal(spoilt("replace-field", field=field, value="<&>").texts(f"{result}/{field.split('/')[-1]}"), ["<&>"])
        equal(len(spoilt("duplicate-field", field=field).texts(f"{result}/{field.split('/')[-1]}")), 2)
        equal(spoilt("drop-field", field=field).texts(f"{result}/{field.split('/')[-1]}"), [])
    equal(len(spoilt("duplicate-field", field=result).texts(result)), 2)
    began = time.monotonic()
    equal(spoilt("slow", delay_ms=300).status, 200)
    assert time.monotonic() - began > 0.3
    # for one instance alone: another's credentials do not meet it
    case.sim.fault("GetCallerIdentity", "replace-field", field="Arn", value="x", instance=made["id"])
    answer = case.sim.caller_identity(case.sim.assume("web-tier", "other"))
    assert answer.texts(result + "/Arn") != ["x"]
    equal(case.sim.caller_identity(signer).texts(result + "/Arn"), ["x"])
    equal(case.sim.control("fault")["faults"], [])
    counted = case.sim.counters()["GetCallerIdentity"]
    equal((counted["outcomes"]["OK"], counted["outcomes"]["throttle"], counted["outcomes"]["reset"]), (1, 1, 1))


@test
def the_last_request_is_kept_as_it_came(case):
    signer = case.sim.role_credentials(case.sim.launch(role="web-tier"))
    proof = signer.caller_proof("us-east-1", "a.b")
    head = [
        ["hOST", sts_host("us-east-1")],
        ["Content-Type", "application/x-www-form-urlencoded"],
        ["X-Amz-Date", proof["x-amz-date"]],
        ["x-vouchsafe-binding", "a.b"],
        ["X-AMZ-Security-Token", proof["x-amz-security-token"]],
        ["Authorization", proof["authorization"]],
        ["x-odd", "\u00fc\u00ff two  blanks"],
        ["x-odd", "again"],
        ["Content-Length", str(len(CALLER_IDENTITY))],
    ]
    text = "POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n"
    with socket.create_connection(("127.0.0.1", case.sim.port), 30) as connection:
        connection.sendall(text.encode("latin-1") + CALLER_IDENTITY)
        assert connection.recv(64).startswith(b"HTTP/1.1 200 OK")
    seen = case.sim.last("GetCallerIdentity")
    equal((seen["method"], seen["target"], seen["body"]), ("POST", "/", CALLER_IDENTITY.decode()))
    equal((seen["source"], seen["outcome"]), ("127.0.0.1", "OK"))
    equal(seen["headers"], head)
    case.sim.call(Signer("AKIA" + "A" * 16, "x"), "sts", "us-east-1", CALLER_IDENTITY + b"&A=%C3%BC")
    seen = case.sim.last("GetCallerIdentity")
    equal((seen["body"], seen["outcome"]), (CALLER_IDENTITY.decode() + "&A=%C3%BC", "InvalidClientTokenId"))
    raises(ControlError, case.sim.last, "DescribeInstances")


# ---- faults


def faulted(case, mode, **arguments):
    case.sim.fault("DescribeInstances", mode, **arguments)
    return case.sim.describe(case.signer)


def recovers(case):
    equal(case.sim.describe(case.signer).status, 200)
    equal(case.sim.control("fault")["faults"], [])


@test
def throttling_and_server_errors_have_each_services_form(case):
    refused(faulted(case, "throttle"), 503, "RequestLimitExceeded")
    refused(faulted(case, "error-500"), 500, "InternalError")
    refused(faulted(case, "error-200"), 200, "InternalError")
    recovers(case)
    for mode, status, code in (("throttle", 400, "Throttling"), ("error-500", 500, "InternalError")):
        case.sim.fault("ListInstanceProfilesForRole", mode)
        equal(case.sim.describe(case.signer).status, 200)
        refused(case.sim.profiles_for_role(case.signer, "web-tier"), status, code)
    equal(case.sim.profiles_for_role(case.signer, "web-tier").status, 200)


@test
def bodies_are_spoilt(case):
    case.sim.launch()
    whole = case.sim.describe(case.signer).body
    equal(faulted(case, "empty").body, b"")
    answer = faulted(case, "garbage")
    equal(answer.status, 200)
    raises(ElementTree.ParseError, answer.xml)
    answer = faulted(case, "truncated-xml")
    equal(len(answer.body), len(whole) // 2)
    raises(ElementTree.ParseError, answer.xml)
    answer = faulted(case, "doctype")
    assert b"<!DOCTYPE" in answer.body
    equal(len(answer.texts(INSTANCE)), 1)
    recovers(case)


@test
def connections_are_spoilt(case):
    case.sim.launch()
    raises(ConnectionResetError, faulted, case, "reset")
    raises(ConnectionResetError, faulted, case, "reset-midway")
    error = raises(http.client.IncompleteRead, faulted, case, "short-body")
    assert error.partial.startswith(b"<?xml") and error.expected > 100, error
    recovers(case)


@test
def slow_answers_come_whole_and_hold_up_nobody(case):
    case.sim.launch()
    case.sim.fault("DescribeInstances", "slow", delay_ms=1500)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: (case.sim.describe(case.signer), time.monotonic()))
        while case.sim.control("fault")["faults"]:
            pass
        equal(case.sim.describe(case.signer).status, 200)
        quick_at = time.monotonic()
        answer, slow_at = slow.result()
        equal(answer.status, 200)
        assert quick_at < slow_at, "the quick one waited"
    case.sim.fault("DescribeInstances", "throttle", delay_ms=50)
    refused(case.sim.describe(case.signer), 503, "RequestLimitExceeded")
    case.sim.fault("ListInstanceProfilesForRole", "trickle", delay_ms=0)
    equal(case.sim.profiles_for_role(case.signer, "web-tier").status, 200)
    case.sim.fault("DescribeInstances", "trickle", delay_ms=60000)
    raises(TimeoutError, case.sim.describe, case.signer, timeout=0.3)
    case.sim.fault("DescribeInstances", "slow", delay_ms=60000)
    raises(TimeoutError, case.sim.describe, case.signer, timeout=0.3)
    # the simulation must end at once although two answers are still under way


@test
def elements_are_dropped_doubled_replaced(case):
    one, two = case.sim.launch(role="web-tier")["id"], case.sim.launch(role="web-tier")["id"]
    interface = INSTANCE + "/networkInterfaceSet/item"
    for field, path in (
        ("launchTime", INSTANCE + "/launchTime"),
        ("privateIpAddress", INSTANCE + "/privateIpAddress"),
        ("instanceState/name", INSTANCE + "/instanceState/name"),
        ("networkInterfaceSet", INSTANCE + "/networkInterfaceSet"),
        ("networkInterfaceSet/attachment/attachTime", interface + "/attachment/attachTime"),
        ("networkInterfaceSet/privateIpAddress", interface + "/privateIpAddress"),
        ("metadataOptions/httpTokens", INSTANCE + "/metadataOptions/httpTokens"),
        ("iamInstanceProfile", INSTANCE + "/iamInstanceProfile"),
        ("reservationSet/ownerId", "reservationSet/item/ownerId"),
        ("ownerId", "reservationSet/item/ownerId"),
        ("reservationSet/instancesSet/instanceId", INSTANCE + "/instanceId"),
    ):
        equal(len(faulted(case, "drop-field", field=field).texts(path)), 0, field)
        equal(len(faulted(case, "duplicate-field", field=field).texts(path)), 4, field)
        equal(faulted(case, "replace-field", field=field, value="a<b").texts(path), ["a<b"] * 2, field)
    equal(len(faulted(case, "drop-field", field="launch").texts(INSTANCE + "/launchTime")), 2)
    equal(faulted(case, "drop-field", field="requestId").texts("requestId"), [])
    # one instance's alone, in a call that names it
    case.sim.fault("DescribeInstances", "drop-field", field="launchTime", instance=two)
    equal(len(case.sim.describe(case.signer).texts(INSTANCE + "/launchTime")), 2)
    answer = case.sim.describe(case.signer, **filters(("instance-id", [one, two])))
    equal(answer.texts(INSTANCE + "/instanceId"), [one, two])
    equal(len(answer.texts(INSTANCE + "/launchTime")), 1)
    recovers(case)
    case.sim.fault("ListInstanceProfilesForRole", "duplicate-field", field="Arn")
    answer = case.sim.profiles_for_role(case.signer, "web-tier")
    equal(len(answer.texts("ListInstanceProfilesForRoleResult/InstanceProfiles/member/Arn")), 4)
    case.sim.fault("ListInstanceProfilesForRole", "drop-field", field="ListInstanceProfilesForRoleResult/IsTruncated")
    answer = case.sim.profiles_for_role(case.signer, "web-tier")
    equal(answer.texts("ListInstanceProfilesForRoleResult/IsTruncated"), [])


@test
def new_instances_appear_little_by_little(case):
    old = case.sim.launch()["id"]
    new = case.sim.launch(role="web-tier", public_address="203.0.113.7", tags={"env": "prod"})["id"]
    describe = "DescribeInstances"
    ask = filters(("instance-id", [old, new]))
    case.sim.fault(describe, "not-visible", instance=new, times=2)
    equal(case.ids(**filters(("instance-id", [old]))), [old])  # not asked for: nothing used up
    equal(case.ids(**ask), [old])
    refused(case.sim.describe(case.signer, InstanceId_1=new), 400, "InvalidInstanceID.NotFound")
    equal(case.ids(**ask), [old, new])
    case.sim.fault(describe, "pending", instance=new)
    case.sim.fault(describe, "without-profile", instance=new, times=2)
    case.sim.fault(describe, "without-tags", instance=new)
    answer = case.sim.describe(case.signer, **ask)
    equal(answer.texts(INSTANCE + "/instanceState/name"), ["running", "pending"])
    equal(answer.texts(INSTANCE + "/iamInstanceProfile/arn"), [])
    equal(answer.texts(INSTANCE + "/tagSet/item/key"), [])
    equal(answer.texts(INSTANCE + "/ipAddress"), [])
    answer = case.sim.describe(case.signer, **ask)
    equal(answer.texts(INSTANCE + "/instanceState/name"), ["running", "running"])
    equal(answer.texts(INSTANCE + "/iamInstanceProfile/arn"), [])
    equal(answer.texts(INSTANCE + "/tagSet/item/key"), ["env"])
    answer = case.sim.describe(case.signer, **ask)
    equal(len(answer.texts(INSTANCE + "/iamInstanceProfile/arn")), 1)
    case.sim.fault(describe, "not-visible", times=-1)
    for _ in range(3):
        equal(case.ids(), [])
    case.sim.clear_faults()
    equal(len(case.ids()), 2)
    case.sim.fault("ListInstanceProfilesForRole", "not-visible")
    refused(case.sim.profiles_for_role(case.signer, "web-tier"), 404, "NoSuchEntity")
    equal(case.sim.profiles_for_role(case.signer, "web-tier").status, 200)


@test
def faults_come_in_order_and_as_often_as_ordered(case):
    case.sim.fault("DescribeInstances", "throttle", times=2)
    case.sim.fault("*", "error-500")
    statuses = [case.sim.describe(case.signer).status for _ in range(4)]
    equal(statuses, [503, 503, 500, 200])
    case.sim.fault("DescribeInstances", "throttle", times=-1)
    equal({case.sim.describe(case.signer).status for _ in range(5)}, {503})
    refused(case.sim.describe(Signer(case.signer.access_key_id, "wrong")), 403, "SignatureDoesNotMatch")
    case.sim.clear_faults()
    recovers(case)


@test
def metadata_fails_too(case):
    made = case.sim.launch(address="127.0.1.5")["id"]
    case.sim.launch(address="127.0.1.6")
    metadata = case.sim.metadata("127.0.1.5")
    token = metadata.token()
    case.sim.fault("metadata", "throttle", instance=made)
    equal(case.sim.metadata("127.0.1.6").get("meta-data/instance-id").status, 200)
    equal(metadata.get("meta-data/instance-id", token).status, 503)
    case.sim.fault("metadata", "reset")
    broken(metadata.get, "meta-data/instance-id", token)
    case.sim.fault("metadata-token", "error-500")
    raises(RuntimeError, metadata.token)
    case.sim.fault("metadata", "empty")
    equal(metadata.get("meta-data/instance-id", token).body, b"")
    equal(metadata.get("meta-data/instance-id", token).body.decode(), made)


# ---- counters, load


@test
def calls_are_counted(case):
    one, two = case.sim.launch()["id"], case.sim.launch()["id"]
    case.sim.describe(case.signer, **filters(("instance-id", [one, two, "i-00000000"])))
    case.sim.describe(case.signer, InstanceId_1=one)
    case.sim.describe(case.signer, InstanceId_1="i-00000000")
    faulted(case, "throttle")
    case.sim.describe(Signer(case.signer.access_key_id, "wrong"))
    case.sim.profiles_for_role(case.signer, "web-tier")
    case.sim.call(case.signer, "ec2", "us-east-1", form(Action="Fly", Version="2016-11-15"))
    expected = {
        "DescribeInstances": {
            "calls": 5,
            "ids": 5,
            "ids_max": 3,
            "outcomes": {"OK": 2, "InvalidInstanceID.NotFound": 1, "throttle": 1, "SignatureDoesNotMatch": 1},
        },
        "ListInstanceProfilesForRole": {"calls": 1, "ids": 1, "ids_max": 1, "outcomes": {"OK": 1}},
        "unknown": {"calls": 1, "ids": 0, "ids_max": 0, "outcomes": {"InvalidAction": 1}},
    }
    equal(case.sim.counters(reset=True), expected)
    equal(case.sim.counters(), {})


@test
def hundreds_of_connections_at_once(case):
    made = case.sim.launch(address="127.0.1.5")["id"]
    case.sim.fault("DescribeInstances", "slow", delay_ms=300, times=-1)
    body, headers = signed(case)
    text = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{case.sim.port}\r\nContent-Length: {len(body)}\r\n"
    text += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    connections = [socket.create_connection(("127.0.0.1", case.sim.port), 60) for _ in range(400)]
    try:
        for connection in connections:
            connection.sendall(text.encode() + body)
        equal(case.sim.metadata("127.0.1.5").text("meta-data/instance-id"), made)
        for connection in connections:
            assert connection.recv(64).startswith(b"HTTP/1.1 200 OK"), "a connection was not answered"
    finally:
        for connection in connections:
            connection.close()
    equal(case.sim.counters()["DescribeInstances"]["calls"], 400)


@test
def listens_on_the_loopback_alone(case):
    listening = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{case.sim.pid}/net/{name}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                address, port = line.split()[1].split(":")
                if line.split()[3] == "0A" and int(port, 16) in (case.sim.port, case.sim.imds_port):
                    listening.add(address)
    equal(listening, {"0100007F"})


@test
def bad_options_and_the_end_of_input(case):
    program = os.path.join(case.build, "aws-sim")
    for options in (["--port", "65536"], ["--port", "x"], ["--clock-skew", "no"], ["--what"], ["more"]):
        process = subprocess.run([program] + options, capture_output=True, check=False)
        equal((process.returncode, process.stdout), (64, b""), options)
    taken = subprocess.run([program, "--port", str(case.sim.port)], capture_output=True, check=False)
    equal((taken.returncode, taken.stdout), (1, b""))
    sim = AwsSim.start(case.build)
    sim.process.stdin.close()
    equal(sim.process.wait(timeout=30), 0)
    sim.process.stdout.close()


def run(build):
    print(f"1..{len(TESTS)}", flush=True)
    failed = 0
    for number, function in enumerate(TESTS, 1):
        name = function.__name__.replace("_", " ")
        try:
            with Case(build) as case:
                function(case)
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # skip {why}", flush=True)
        except Exception:  # a test that fails must not hide the others
            failed += 1
            print(f"not ok {number} - {name}")
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: test_aws_sim.py <build folder>")
    sys.exit(run(sys.argv[1]))
