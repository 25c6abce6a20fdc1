"""Our own credentials: every source of them against the simulated AWS, with the real server; refreshed while releases go
on; several accounts by AssumeRole, none of which disturbs another; and never a secret in a log."""
import http.client
import json
import os
import re
import sys
import threading
import time

import tap
from stack import ACCOUNT, REGION, RULE, SERVER_UID, Stack, wait_for
from tap import equal

OTHER, THIRD = "210987654321", "333333333333"
EXTERNAL_ID = "vouchsafe:tests/1"
OWN_ROLE = "vouchsafe-server"  # what the server itself is, where it has a role
ARN = "arn:aws:iam::%s:role/%s"

STACK = None
KEY = None
SECRETS = []  # what must be found nowhere: secret keys, session tokens, web tokens


def trust(account, role, **how):
    return STACK.sim.control("trust", account=account, role=role, **how)


def calls(action):
    return STACK.sim.counters().get(action, {}).get("calls", 0)


def serve(environment):
    """The server anew, with credentials from there."""
    if STACK.server and STACK.server.poll() is None:
        equal(STACK.stop(STACK.server), 0)
    STACK.aws_environment = environment
    STACK.start_server()


def assume(role=OWN_ROLE, account=ACCOUNT):
    """Temporary keys of the account, remembered as secret."""
    signer = STACK.sim.assume(role, "somebody", account)
    SECRETS.extend([signer.secret, signer.session_token])
    return signer


def write(name, text):
    """A file for the server's eyes, put in place whole."""
    path = STACK.etc / name
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").chmod(0o600)
    if STACK.root:
        os.chown(path.with_suffix(".new"), SERVER_UID, SERVER_UID)
    path.with_suffix(".new").rename(path)
    return str(path)


def shared_file(signer, profile="default"):
    return write("credentials", "# of a test\n[else]\naws_access_key_id = x\n\n[%s]\naws_access_key_id = %s\n"
                 "aws_secret_access_key=%s\naws_session_token = %s\nregion = us-east-1\n"
                 % (profile, signer.access_key_id, signer.secret, signer.session_token))


def container():
    token = write("authorization", "Bearer container-token\n")
    trust(ACCOUNT, OWN_ROLE, container_token="Bearer container-token")
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%s/container/%s/%s" % (STACK.sim.url, ACCOUNT, OWN_ROLE),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}


def instance_role():
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": STACK.sim.imds_url}


def web_identity():
    trust(ACCOUNT, OWN_ROLE, web_token="header.payload.signature")
    SECRETS.append("header.payload.signature")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": write("web-token", "header.payload.signature"),
            "AWS_ROLE_ARN": ARN % (ACCOUNT, OWN_ROLE)}


def launch(account=ACCOUNT):
    return STACK.launch(account=account)


def release(account=ACCOUNT, instance=None):
    return STACK.release(instance or launch(account), KEY, **{"account-id": account})


def served(account=ACCOUNT):
    status, _, answer = release(account)
    equal(status, 200, answer)


def unavailable(account):
    status, _, problem = release(account)
    equal((status, problem["code"]), (503, "upstream-unavailable"), problem)


def entries(word, since=0):
    return [json.loads(line) for line in STACK.log("server")[since:].splitlines() if '"%s"' % word in line]


def signer_of(action):
    """The access key id of an action's last call."""
    headers = dict((name.lower(), value) for name, value in STACK.sim.last(action)["headers"])
    return re.search(r"Credential=([A-Z0-9]+)/", headers["authorization"]).group(1)


def source_serves(environment, words):
    before = len(STACK.log("server"))
    serve(environment)
    served()
    told = [entry["text"] for entry in entries("credentials", before) if entry["account"] == ACCOUNT]
    assert told and words in told[-1] and signer_of("DescribeInstances") in told[-1], told


# ---- each source


def test_the_environment():
    signer = assume()
    source_serves({"AWS_ACCESS_KEY_ID": signer.access_key_id, "AWS_SECRET_ACCESS_KEY": signer.secret,
                   "AWS_SESSION_TOKEN": signer.session_token, **instance_role()}, "the environment")
    equal(calls("metadata-token"), 0, "an instance's role was asked for beside it")


def test_the_shared_credentials_file():
    source_serves({"AWS_SHARED_CREDENTIALS_FILE": shared_file(assume())}, "the shared credentials file")
    source_serves({"AWS_SHARED_CREDENTIALS_FILE": shared_file(assume(), "tests"), "AWS_PROFILE": "tests"},
                  "the shared credentials file")


def test_the_shared_credentials_file_is_read_anew():
    first = assume()
    serve({"AWS_SHARED_CREDENTIALS_FILE": shared_file(first)})
    served()
    second = assume()
    shared_file(second)
    STACK.sim.control("expire", access_key_id=first.access_key_id)
    served()  # AWS refuses the first ones: the file has others
    equal(signer_of("DescribeInstances"), second.access_key_id)
    third = assume()
    shared_file(third)

    def seen():
        served()
        return signer_of("DescribeInstances") == third.access_key_id
    wait_for("the third keys", seen)  # nobody refuses the second ones: the file has changed


def test_a_container():
    source_serves(container(), "the container's credentials endpoint")


def test_a_web_identity():
    source_serves(web_identity(), "AssumeRoleWithWebIdentity")
    assert ("RoleSessionName=vouchsafe-rp-1&" in STACK.sim.last("AssumeRoleWithWebIdentity")["body"])
    assert not any(name.lower() == "authorization" for name, _ in STACK.sim.last("AssumeRoleWithWebIdentity")["headers"])


def test_an_instances_role():
    source_serves(instance_role(), "the instance metadata service")


def test_a_source_that_comes_late():
    """Who asks meanwhile is told to come again; nothing has to be restarted."""
    STACK.sim.fault("metadata-token", "error-503", times=-1)
    before = len(STACK.log("server"))
    serve(instance_role())
    unavailable(ACCOUNT)
    equal([entry["text"] for entry in entries("credentials-failed", before) if entry["account"] == ACCOUNT],
          ["the instance metadata service: token: it answers 503"])
    instance, answers = launch(), []
    waiting = threading.Thread(target=lambda: answers.append(release(instance=instance)))
    waiting.start()
    wait_for("a try while somebody waits", lambda: calls("metadata-token") > 3)
    STACK.sim.clear_faults()
    waiting.join()
    equal(answers[0][0], 200, answers)


def test_no_source_at_all():
    equal(STACK.stop(STACK.server), 0)
    for environment, words in (
            ({"AWS_EC2_METADATA_DISABLED": "true"}, "there are no credentials for AWS"),
            ({"AWS_PROFILE": "none", "AWS_SHARED_CREDENTIALS_FILE": shared_file(assume())}, "has no profile [none]"),
            ({"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/file"}, "/nonexistent/file: No such file"),
            ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, "plain http is allowed"),
            ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}, "AWS_ROLE_ARN")):
        before = len(STACK.log("server"))
        STACK.aws_environment = environment
        equal(STACK.start_server(wait=False).wait(30), 1)
        text = entries("not-started", before)[0]["text"]
        assert words in text, text


# ---- they end


def storm(seconds, accounts=(ACCOUNT,), each=None):
    """Releases without a pause from 8 agents at once; (the first that were not 200, how many there were). `each` is called
    about three times a second meanwhile."""
    until, wrong, n = time.monotonic() + seconds, [], [0]
    lock = threading.Lock()

    def agent(account):
        while time.monotonic() < until:
            status, _, answer = release(account)
            with lock:
                n[0] += 1
                if status != 200:
                    wrong.append((account, status, answer))
    threads = [threading.Thread(target=agent, args=(accounts[i % len(accounts)],)) for i in range(8)]
    for thread in threads:
        thread.start()
    steps = threading.Event()
    while time.monotonic() < until:
        steps.wait(0.3)
        if each:
            each()
    for thread in threads:
        thread.join()
    return wrong[:3], n[0]


def fetches(account, result):
    metric = 'vouchsafe_credentials_fetches_total{account="%s",result="%s"} ' % (account, result)
    return int(next(line for line in metrics().splitlines() if line.startswith(metric)).rsplit(" ", 1)[1])


def metrics():
    connection = http.client.HTTPConnection("127.0.0.1", STACK.ops_port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_they_expire_in_the_middle_of_a_storm():
    """Keys that live 4 seconds, for 12: none of the releases fails."""
    environment = container()
    trust(ACCOUNT, OWN_ROLE, container_token="Bearer container-token", ttl=4)
    serve(environment)
    wrong, n = storm(12)
    equal(wrong, [], "releases that failed")
    assert n > 20 and fetches(ACCOUNT, "ok") >= 4, (n, fetches(ACCOUNT, "ok"))
    equal(fetches(ACCOUNT, "failed"), 0)


def test_the_source_fails_for_a_while_in_a_storm():
    """The old keys are used while they hold; several tries fit in before they end."""
    trust(ACCOUNT, OWN_ROLE, container_token="Bearer container-token", ttl=8)
    serve(container_environment())
    STACK.sim.fault("container", "error-500", times=2)
    wrong, n = storm(9)
    equal(wrong, [], "releases that failed")
    assert n > 20 and fetches(ACCOUNT, "failed") == 2 and fetches(ACCOUNT, "ok") >= 2, metrics()


def container_environment():
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%s/container/%s/%s" % (STACK.sim.url, ACCOUNT, OWN_ROLE),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer container-token"}


def test_they_are_revoked_in_the_middle_of_a_storm():
    """AWS calls the keys ended long before they said: fetched anew, the call repeated, no release fails."""
    trust(ACCOUNT, OWN_ROLE, container_token="Bearer container-token")
    serve(container_environment())
    served()
    ended = []

    def revoke():
        now = signer_of("DescribeInstances")
        if now not in ended and len(ended) < 3:
            ended.append(now)
            STACK.sim.control("expire", access_key_id=now)
    wrong, n = storm(8, each=revoke)
    equal(wrong, [], "releases that failed")
    equal(len(ended), 3)
    assert n > 10 and fetches(ACCOUNT, "ok") >= 4, (n, fetches(ACCOUNT, "ok"))


# ---- several accounts


def roles(**of_third):
    for account in (OTHER, THIRD):
        trust(account, "vouchsafe", accounts=[ACCOUNT], external_id=EXTERNAL_ID)
    if of_third:
        trust(THIRD, "vouchsafe", **of_third)


def with_role(account):
    return {"regions": [REGION], "assume_role": ARN % (account, "vouchsafe"), "external_id": EXTERNAL_ID}


def configure(accounts):
    STACK.write_policy([{**RULE, "accounts": list(accounts)}])
    STACK.write_config(aws={**STACK.config["aws"], "accounts": accounts})


def three_accounts(environment=None):
    configure({ACCOUNT: {"regions": [REGION]}, OTHER: with_role(OTHER), THIRD: with_role(THIRD)})
    serve(environment)


def test_three_accounts():
    roles()
    three_accounts()
    for account in (ACCOUNT, OTHER, THIRD):
        before = calls("DescribeInstances")
        served(account)
        equal(calls("DescribeInstances") - before, 1)
    equal((fetches(OTHER, "ok"), fetches(THIRD, "ok")), (1, 1))
    body = STACK.sim.last("AssumeRole")["body"]
    assert "RoleSessionName=vouchsafe-rp-1&" in body and "ExternalId=vouchsafe%3Atests%2F1&" in body, body
    equal(signer_of("AssumeRole"), STACK.account["access_key_id"])
    # each account's instances are asked for with that account's own keys: nobody else sees them
    for account in (ACCOUNT, OTHER, THIRD):
        instance = launch(account)
        for asserted in (ACCOUNT, OTHER, THIRD):
            status, _, problem = release(asserted, instance)
            if asserted != account:
                equal((status, problem["code"]), (503, "not-visible-yet"), (account, asserted))
            else:
                equal(status, 200, problem)
    for account in (ACCOUNT, OTHER, THIRD):
        metric = 'vouchsafe_credentials_expire_seconds{account="%s"} ' % account
        left = float(next(line for line in metrics().splitlines() if line.startswith(metric)).rsplit(" ", 1)[1])
        assert left == float("inf") if account == ACCOUNT else 3000 < left <= 3600, (account, left)


def test_attack_7_a_foreign_account_causes_no_assume_role():
    before = {action: calls(action) for action in STACK.sim.counters()}
    for account in ("444444444444", OTHER[:-1] + "2", "000000000000"):
        status, _, problem = STACK.release(launch(), KEY, **{"account-id": account})
        equal((status, problem["code"]), (403, "denied"))
    equal({action: calls(action) for action in STACK.sim.counters()}, before)


def test_a_wrong_external_id_disturbs_no_other_account():
    roles(accounts=[ACCOUNT], external_id="another")
    before = len(STACK.log("server"))
    three_accounts()
    unavailable(THIRD)
    wrong, n = storm(5, (ACCOUNT, OTHER))
    equal(wrong, [], "releases that failed")
    assert n > 10, n
    failed = entries("credentials-failed", before)
    equal([(entry["account"], entry["text"]) for entry in failed],
          [(THIRD, "AssumeRole: it answered 403 AccessDenied")])
    roles()  # mended over there: nothing has to be restarted here
    wait_for("the third account", lambda: release(THIRD)[0] == 200)


def test_the_base_credentials_fail_for_a_while():
    """Roles that are assumed already go on; AssumeRole waits for the base credentials."""
    roles()
    trust(ACCOUNT, OWN_ROLE, container_token="Bearer container-token")
    three_accounts(container_environment())
    for account in (ACCOUNT, OTHER):
        served(account)
    STACK.sim.fault("container", "reset", times=-1)
    STACK.sim.control("expire", access_key_id=signer_of("AssumeRole"))
    unavailable(ACCOUNT)
    served(OTHER)
    served(THIRD)
    STACK.sim.clear_faults()
    served(ACCOUNT)


def test_sts_in_trouble():
    for mode in ("throttle", "error-500", "error-200", "garbage", "reset", "short-body", "doctype", "empty"):
        STACK.sim.clear_faults()
        roles()
        STACK.sim.fault("AssumeRole", mode, times=2, instance=ARN % (OTHER, "vouchsafe"))
        three_accounts()
        served(ACCOUNT)
        served(THIRD)
        served(OTHER)
        assert fetches(OTHER, "failed") >= 1, mode
        equal(fetches(THIRD, "failed"), 0, mode)


def test_a_slow_sts_holds_up_its_own_account_alone():
    STACK.sim.clear_faults()
    roles()
    STACK.sim.fault("AssumeRole", "slow", times=1, delay_ms=30000, instance=ARN % (OTHER, "vouchsafe"))
    three_accounts()
    began = time.monotonic()
    for account in (ACCOUNT, THIRD) * 5:
        served(account)
    assert time.monotonic() - began < 4, "they waited for the slow one's try to end"
    equal((fetches(OTHER, "ok"), fetches(OTHER, "failed")), (0, 0))
    wait_for("the slow one", lambda: release(OTHER)[0] == 200)


def test_roles_alone():
    """No account is the server's own."""
    configure({OTHER: with_role(OTHER)})
    roles()
    serve(container_environment())
    served(OTHER)
    assert re.search(r'credentials_expire_seconds\{account="base"\} \d+\n', metrics()), metrics()
    equal((fetches("base", "ok"), fetches(OTHER, "ok")), (1, 1))
    status, _, problem = release(ACCOUNT)  # whose keys these are, but it is not in the configuration
    equal((status, problem["code"]), (403, "denied"))


def test_fields_of_assume_role():
    for field, mode, value in (("Credentials/SessionToken", "drop-field", ""), ("Credentials/Expiration", "drop-field", ""),
                               ("Credentials/AccessKeyId", "duplicate-field", ""),
                               ("AssumedRoleUser/Arn", "replace-field",
                                "arn:aws:sts::%s:assumed-role/vouchsafe/vouchsafe-rp-1" % THIRD),
                               ("Credentials/Expiration", "replace-field", "2020-01-01T00:00:00Z")):
        STACK.sim.clear_faults()
        STACK.sim.fault("AssumeRole", mode, times=1, field=field, value=value,
                        instance=ARN % (OTHER, "vouchsafe"))
        three_accounts()
        served(OTHER)
        equal((fetches(OTHER, "failed"), fetches(THIRD, "failed")), (1, 0), field)


def test_roles_expire_in_the_middle_of_a_storm():
    for account in (OTHER, THIRD):
        trust(account, "vouchsafe", accounts=[ACCOUNT], external_id=EXTERNAL_ID, ttl=4)
    three_accounts()
    wrong, n = storm(10, (OTHER, THIRD))
    equal(wrong, [], "releases that failed")
    assert n > 20 and min(fetches(OTHER, "ok"), fetches(THIRD, "ok")) >= 4, n


def test_attack_40_secrets_reach_no_log():
    seen = STACK.log("server") + metrics() + json.dumps(STACK.events())
    with open("/proc/%d/cmdline" % STACK.server.pid) as file:
        seen += file.read()
    for secret in SECRETS + [STACK.account["secret_access_key"], "container-token", EXTERNAL_ID]:
        assert len(secret) > 8 and secret not in seen
    assert STACK.account["access_key_id"] in seen  # so that it could be found


def test_it_ends_with_zero():
    equal(STACK.stop(STACK.server), 0)
    for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
        assert word not in STACK.log("server"), STACK.log("server")[-4000:]


def set_up():
    STACK.sim.control("role", account=ACCOUNT, name=OWN_ROLE)
    for account in (OTHER, THIRD):
        STACK.sim.control("account", id=account)
        STACK.sim.control("role", account=account, name="web-tier", profiles=[{"name": "web-tier"}])
        STACK.sim.control("role", account=account, name="vouchsafe")
    # the instance that the server runs on
    STACK.sim.launch(account=ACCOUNT, region=REGION, role=OWN_ROLE, address="127.0.0.1", http_tokens="required")


if __name__ == "__main__":
    STACK = Stack(sys.argv[1])
    try:
        set_up()
        STACK.start()
        KEY = STACK.key()
        sys.exit(tap.run(tap.collect(globals()), STACK.tails))
    finally:
        STACK.close()
