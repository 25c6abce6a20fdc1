#!/usr/bin/env python3
"""The simulated STS judged by an independent signer: botocore as Debian has it (python3-botocore, or the copy inside
awscli). Runs under Debian's own Python, whichever it was started with; without botocore it skips, and says so."""
import http.client
import os
import sys

import tap
from awssim import CALLER_IDENTITY, STS_NAMESPACE, AwsSim, Answer, sts_host

DEBIAN = "/usr/bin/python3"
if os.path.exists(DEBIAN) and os.path.realpath(sys.executable) != os.path.realpath(DEBIAN):
    os.execv(DEBIAN, [DEBIAN, *sys.argv])

# The variables of whoever runs this must not tell botocore where to look.
for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AWS_MAX_ATTEMPTS"] = "1"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/nonexistent"

try:
    try:
        import botocore.session
    except ImportError:
        import awscli.botocore.session  # makes itself known as botocore, too
        import botocore.session
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError
    from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher
except ImportError:
    botocore = None

ACCOUNT, REGION = "123456789012", "us-east-1"
BINDING = "Q2hhbGxlbmdl" * 6 + "." + "x" * 43
SIM = None


def instance(**more):
    return SIM.launch(account=ACCOUNT, region=REGION, role="web-tier", **more)


def botocore_signs(credentials, region=REGION):
    """The headers of GetCallerIdentity as botocore signs it, with the binding and nothing else."""
    request = AWSRequest("POST", "https://%s/" % sts_host(region), {"x-vouchsafe-binding": BINDING}, CALLER_IDENTITY)
    SigV4Auth(credentials, "sts", region).add_auth(request)
    headers = {"Host": sts_host(region), "Content-Type": "application/x-www-form-urlencoded"}
    headers.update(request.headers.items())
    return headers


def role_credentials(made):
    signer = SIM.role_credentials(made)
    return signer, Credentials(signer.access_key_id, signer.secret, signer.session_token)


class Wire:
    """Requests one after the other on one connection."""

    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", SIM.port, timeout=30)

    def send(self, headers, body=CALLER_IDENTITY):
        self.connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self.connection.putheader(name, value)
        self.connection.putheader("Content-Length", str(len(body)))
        self.connection.endheaders(body)
        response = self.connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


def test_botocores_signature_over_a_further_header_is_accepted():
    made = instance()
    signer, credentials = role_credentials(made)
    headers = botocore_signs(credentials)
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token;x-vouchsafe-binding," in headers["Authorization"], headers
    answer = Wire().send(headers)
    tap.equal(answer.status, 200)
    tap.equal(answer.xml().tag, "{%s}GetCallerIdentityResponse" % STS_NAMESPACE)
    tap.equal(answer.texts("GetCallerIdentityResult/Arn"),
              ["arn:aws:sts::%s:assumed-role/web-tier/%s" % (ACCOUNT, made["id"])])
    proof = signer.caller_proof(REGION, BINDING, date=headers["X-Amz-Date"])
    tap.equal(proof["authorization"], headers["Authorization"])


def altered(text):
    """The text with each of its bytes replaced by another, in turn."""
    for at, character in enumerate(text):
        other = "A" if character != "A" else "B"
        yield text[:at] + other + text[at + 1:]


def test_each_altered_byte_is_refused():
    _, credentials = role_credentials(instance())
    headers, wire = botocore_signs(credentials), Wire()
    tap.equal(wire.send(headers).status, 200)
    tried, names = 0, ("Authorization", "X-Amz-Date", "x-vouchsafe-binding", "Host", "X-Amz-Security-Token")
    for name in names:
        for value in altered(headers[name]):
            answer = wire.send({**headers, name: value})
            assert answer.status in (400, 403) and answer.error_code(), (name, value, answer.status)
            tried += 1
    for value in altered(CALLER_IDENTITY.decode()):
        answer = wire.send(headers, value.encode())
        tap.equal((answer.status, answer.error_code()), (403, "SignatureDoesNotMatch"), value)
        tried += 1
    tap.equal(tried, len(CALLER_IDENTITY) + sum(len(headers[name]) for name in names), "altered bytes")
    for name in names:
        assert wire.send({n: v for n, v in headers.items() if n != name}).status in (400, 403), name
        wire = Wire()
    tap.equal(wire.send(headers).status, 200, "the request itself, at the end as at the beginning")


def test_a_header_outside_the_signature_does_not_count_inside():
    _, credentials = role_credentials(instance())
    headers = botocore_signs(credentials)
    tap.equal(Wire().send({**headers, "Accept": "*/*", "User-Agent": "x"}).status, 200)
    tap.equal(Wire().send({**headers, "X-Vouchsafe-Other": "y"}).status, 200)
    tap.equal(Wire().send({**headers, "X-Amz-Other": "y"}).error_code(), "SignatureDoesNotMatch")
    tap.equal(Wire().send({**headers, "X-VOUCHSAFE-BINDING": "y"}).error_code(), "SignatureDoesNotMatch")


def client(credentials):
    """An STS client whose every request carries the binding."""
    made = botocore.session.get_session().create_client(
        "sts", region_name=REGION, endpoint_url=SIM.url, aws_access_key_id=credentials["access_key"],
        aws_secret_access_key=credentials["secret_key"], aws_session_token=credentials["token"])
    made.meta.events.register("before-sign.sts.*", lambda request, **_: request.headers.add_header(
        "x-vouchsafe-binding", BINDING))
    return made


def fetched(address):
    """Credentials as botocore reads them from the simulated metadata service."""
    fetcher = InstanceMetadataFetcher(timeout=30, num_attempts=1, base_url=SIM.imds_url + "/", env={})
    found = fetcher.retrieve_iam_role_credentials()
    tap.equal(SIM.metadata(address).credentials()["AccessKeyId"], found["access_key"])
    return found


def test_botocore_reads_the_credentials_and_asks_who_it_is():
    made = instance(address="127.0.0.1")
    credentials = fetched("127.0.0.1")
    tap.equal(credentials["role_name"], "web-tier")
    answer = client(credentials).get_caller_identity()
    tap.equal((answer["Account"], answer["Arn"]),
              (ACCOUNT, "arn:aws:sts::%s:assumed-role/web-tier/%s" % (ACCOUNT, made["id"])))
    sent = {name.lower(): value for name, value in SIM.last("GetCallerIdentity")["headers"]}
    tap.equal(sent["x-vouchsafe-binding"], BINDING)
    assert "x-vouchsafe-binding" in sent["authorization"], sent


def test_botocore_understands_the_refusals():
    _, credentials = role_credentials(instance())
    right = {"access_key": credentials.access_key, "secret_key": credentials.secret_key, "token": credentials.token}

    def code(**changes):
        try:
            client({**right, **changes}).get_caller_identity()
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        return None

    tap.equal(code(), None)
    tap.equal(code(secret_key="x" * 40), (403, "SignatureDoesNotMatch"))
    tap.equal(code(token="x"), (403, "InvalidClientTokenId"))
    SIM.control("expire", access_key_id=credentials.access_key)
    tap.equal(code(), (403, "ExpiredToken"))
    SIM.fault("GetCallerIdentity", "throttle")
    _, credentials = role_credentials(instance())
    tap.equal(code(access_key=credentials.access_key, secret_key=credentials.secret_key, token=credentials.token),
              (400, "Throttling"))


def plain_client(**keys):
    return botocore.session.get_session().create_client("sts", region_name=REGION, endpoint_url=SIM.url, **keys)


def test_botocore_assumes_a_role():
    SIM.control("role", account=ACCOUNT, name="server")
    SIM.control("trust", account=ACCOUNT, role="server", accounts=[ACCOUNT], external_id="a:/b", web_token="a.b.c")
    _, own = role_credentials(instance())
    arn = "arn:aws:iam::%s:role/server" % ACCOUNT
    sts = plain_client(aws_access_key_id=own.access_key, aws_secret_access_key=own.secret_key,
                       aws_session_token=own.token)
    for answer in (sts.assume_role(RoleArn=arn, RoleSessionName="somebody", ExternalId="a:/b"),
                   sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="somebody", WebIdentityToken="a.b.c")):
        keys = answer["Credentials"]
        tap.equal(sorted(keys), ["AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken"])
        assumed = plain_client(aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                               aws_session_token=keys["SessionToken"]).get_caller_identity()["Arn"]
        tap.equal((assumed, answer["AssumedRoleUser"]["Arn"]),
                  ("arn:aws:sts::%s:assumed-role/server/somebody" % ACCOUNT,) * 2)
    try:
        sts.assume_role(RoleArn=arn, RoleSessionName="somebody", ExternalId="another")
    except ClientError as error:
        tap.equal(error.response["Error"]["Code"], "AccessDenied")
    else:
        raise AssertionError("assumed with a wrong external id")


def test_botocore_reads_a_containers_endpoint():
    SIM.control("role", account=ACCOUNT, name="server")
    SIM.control("trust", account=ACCOUNT, role="server", container_token="Bearer x")
    found = ContainerMetadataFetcher().retrieve_full_uri(
        "%s/container/%s/server" % (SIM.url, ACCOUNT), headers={"Authorization": "Bearer x"})
    assert found["AccessKeyId"].startswith("ASIA"), found


def no_botocore():
    raise tap.Skip("%s has no botocore: python3-botocore is not installed" % sys.executable)


def run(build):
    global SIM
    tests = tap.collect(globals())
    if botocore is None:
        return tap.run([(name, no_botocore) for name, _ in tests])
    with AwsSim.start(build) as SIM:
        SIM.account(ACCOUNT)
        SIM.control("role", account=ACCOUNT, name="web-tier", profiles=[{"name": "web-tier"}])
        return tap.run(tests)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
