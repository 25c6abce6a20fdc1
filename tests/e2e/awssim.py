"""The simulated AWS from Python: starts tests/aws-sim, speaks its control API, signs calls as AWS's SDKs do, and is a
metadata client that calls from an address of one's choice. Standard library only, and never through a proxy."""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import urllib.parse
import xml.etree.ElementTree as ElementTree

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
IAM_NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
CALLER_IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


class ControlError(Exception):
    """The control API refused: .status and the reason."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class Answer:
    """An HTTP answer that came whole."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def xml(self):
        return ElementTree.fromstring(self.body)

    def find_all(self, path):
        """All elements at that path of local names, whatever their namespace."""
        return self.xml().findall("/".join("{*}" + name for name in path.split("/")))

    def texts(self, path):
        return [element.text or "" for element in self.find_all(path)]

    def error_code(self):
        """The code of an error in EC2's form, or in IAM's and STS's; None when it is neither."""
        root = self.xml()
        for path in ("Errors/Error/Code", "{*}Error/{*}Code"):
            element = root.find(path)
            if element is not None:
                return element.text
        return None


def http_request(port, method, path, headers=None, body=b"", source=None, timeout=30):
    """One request on a connection of its own, from the local address `source`. A Host header that is given is the
    only one."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=timeout, source_address=(source, 0) if source else None
    )
    try:
        own_host = any(name.lower() == "host" for name in headers or {})
        connection.putrequest(method, path, skip_host=own_host, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body or method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def amz_date(when=None):
    when = when or datetime.datetime.now(datetime.timezone.utc)
    return when.strftime("%Y%m%dT%H%M%SZ")


def sts_host(region):
    """STS's name in a region."""
    return f"sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


class Signer:
    """AWS Signature Version 4 for requests to "/". What it signs and what is sent are the caller's to alter."""

    def __init__(self, access_key_id, secret_access_key, session_token=""):
        self.access_key_id, self.secret, self.session_token = access_key_id, secret_access_key, session_token

    def headers(self, host, body, region, service, date=None, method="POST", extra=None):
        """All headers of the signed request but Host, which http.client sends by itself."""
        date = date or amz_date()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "x-amz-date": date}
        if self.session_token:
            headers["x-amz-security-token"] = self.session_token
        headers.update(extra or {})
        headers["authorization"] = self.authorization(dict(headers, host=host), body, region, service, date, method)
        return headers

    def caller_proof(self, region, binding, host=None, date=None):
        """What an agent hands over: a signed GetCallerIdentity whose signature covers the binding, as authorization,
        x-amz-date and x-amz-security-token. Signed for STS's own name unless `host` is given."""
        date = date or amz_date()
        proof = {"x-amz-date": date}
        if self.session_token:
            proof["x-amz-security-token"] = self.session_token
        signed = dict(proof, host=host or sts_host(region))
        signed.update({"x-vouchsafe-binding": binding} if binding is not None else {})
        return {"authorization": self.authorization(signed, CALLER_IDENTITY, region, "sts", date), **proof}

    def authorization(self, headers, body, region, service, date, method="POST"):
        names = sorted(name.lower() for name in headers)
        values = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        canonical = "\n".join(
            [method, "/", ""]
            + [f"{name}:{values[name]}" for name in names]
            + ["", ";".join(names), hashlib.sha256(body).hexdigest()]
        )
        scope = f"{date[:8]}/{region}/{service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        return (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )


def form(**parameters):
    """A form's body; a name like Filter_1_Name stands for Filter.1.Name."""
    return urllib.parse.urlencode({name.replace("_", "."): str(value) for name, value in parameters.items()}).encode()


def filters(*pairs):
    """Parameters for filters: filters(("instance-id", ["i-1", "i-2"]), …)."""
    parameters = {}
    for n, (name, values) in enumerate(pairs, 1):
        parameters[f"Filter_{n}_Name"] = name
        for m, value in enumerate(values, 1):
            parameters[f"Filter_{n}_Value_{m}"] = value
    return parameters


class Metadata:
    """A metadata client (version 2) that calls from one instance's address."""

    def __init__(self, port, address):
        self.port, self.address = port, address

    def token(self, ttl=60):
        answer = http_request(
            self.port,
            "PUT",
            "/latest/api/token",
            {"X-aws-ec2-metadata-token-ttl-seconds": str(ttl)},
            source=self.address,
        )
        if answer.status != 200:
            raise RuntimeError(f"no metadata token: {answer.status}")
        return answer.body.decode()

    def get(self, path, token=None):
        """The answer to GET /latest/<path>; a token is fetched unless one is given."""
        headers = {"X-aws-ec2-metadata-token": token if token is not None else self.token()}
        return http_request(self.port, "GET", "/latest/" + path, headers, source=self.address)

    def credentials(self):
        """The credentials of the instance's role, as the service gives them; None without a role."""
        base = "meta-data/iam/security-credentials/"
        role = self.text(base)
        return json.loads(self.text(base + role)) if role else None

    def text(self, path):
        answer = self.get(path)
        return answer.body.decode() if answer.status == 200 else None


class AwsSim:
    """A running aws-sim. Made by AwsSim.start; ended by close, or by leaving a with block."""

    def __init__(self, process, ready):
        self.process = process
        self.port, self.imds_port, self.pid = ready["port"], ready["imds_port"], ready["pid"]

    @classmethod
    def start(cls, build, port=0, imds_port=0, state=None, options=()):
        """Starts <build>/aws-sim and waits until it is ready. It ends when this process does."""
        arguments = [os.path.join(build, "aws-sim"), "--until-eof", "--port", str(port), "--imds-port", str(imds_port)]
        if state:
            arguments += ["--state", state]
        process = subprocess.Popen(arguments + list(options), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"aws-sim did not start: exit {process.wait()}")
        return cls(process, json.loads(line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends it; returns its exit status. A second call is fine."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout=30)
        self.process.stdin.close()
        self.process.stdout.close()
        return status

    @property
    def url(self):
        """What aws.endpoints of vouchsafed's configuration wants, for EC2, IAM and STS alike."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def imds_url(self):
        """What AWS_EC2_METADATA_SERVICE_ENDPOINT of an agent wants."""
        return f"http://127.0.0.1:{self.imds_port}"

    def control(self, verb, **arguments):
        """POST /control/<verb>; the answer, or ControlError."""
        body = json.dumps(arguments).encode()
        answer = http_request(self.port, "POST", "/control/" + verb, {"Content-Type": "application/json"}, body)
        document = json.loads(answer.body or b"{}")
        if answer.status != 200:
            raise ControlError(answer.status, document.get("error", ""))
        return document

    def account(self, account_id, **arguments):
        """Makes an account with an access key (made up unless given); its signer."""
        return self._signer(self.control("account", id=account_id, **arguments))

    def role_credentials(self, instance, verb="credentials"):
        """The signer of the credentials that an instance (its launch's answer, or its id) has of its role. Also for
        the verbs rotate and expire."""
        return self._signer(self.control(verb, instance=instance if isinstance(instance, str) else instance["id"]))

    def assume(self, role, session, account="123456789012"):
        """The signer of credentials of whoever assumed the role under that session name."""
        return self._signer(self.control("assume", account=account, role=role, session=session))

    @staticmethod
    def _signer(made):
        return Signer(made["access_key_id"], made["secret_access_key"], made["session_token"])

    def certificate(self, region="us-east-1"):
        """PEM of the certificate that the region signs identity documents with."""
        return self.control("certificate", region=region)["pem"]

    def last(self, action):
        """An action's last request as it came: method, target, headers [[name, value], …], body, source, and its
        outcome. Each character stands for one byte."""
        return self.control("last", action=action)

    def launch(self, account="123456789012", region="us-east-1", **arguments):
        return self.control("launch", account=account, region=region, **arguments)

    def fleet(self, owns, account="123456789012", region="us-east-1", **arguments):
        """Launches one instance for each of `owns`, which is what it has of its own; all of them, in that order."""
        launched, common = [], dict(account=account, region=region, **arguments)
        for i in range(0, len(owns), 5000):
            launched += self.control("fleet", launch=common, instances=owns[i:i + 5000])["instances"]
        return launched

    def throttle(self, size=100, per_second=20, delay_ms=0):
        """From now on calls are paced as AWS paces them for an account and region, and answered that late; size 0:
        they are not."""
        return self.control("throttle", size=size, per_second=per_second, delay_ms=delay_ms)

    def fault(self, action, mode, **arguments):
        return self.control("fault", action=action, mode=mode, **arguments)

    def clear_faults(self):
        return self.control("fault", clear=True)

    def counters(self, reset=False):
        """{"DescribeInstances": {"calls", "ids", "ids_max", "outcomes": {…}}, …}"""
        return self.control("counters", reset=reset)["actions"]

    def metadata(self, address):
        return Metadata(self.imds_port, address)

    def send(self, body, headers, timeout=30):
        return http_request(self.port, "POST", "/", headers, body, timeout=timeout)

    def call(self, signer, service, region, body, timeout=30, **signing):
        """A signed call of EC2's, IAM's or STS's API."""
        host = f"127.0.0.1:{self.port}"
        return self.send(body, signer.headers(host, body, region, service, **signing), timeout)

    def describe(self, signer, region="us-east-1", timeout=30, **parameters):
        body = form(Action="DescribeInstances", Version="2016-11-15", **parameters)
        return self.call(signer, "ec2", region, body, timeout)

    def profiles_for_role(self, signer, role, region="us-east-1", **parameters):
        body = form(Action="ListInstanceProfilesForRole", Version="2010-05-08", RoleName=role, **parameters)
        return self.call(signer, "iam", region, body)

    def caller_identity(self, signer, region="us-east-1", binding=None, host=None, date=None, timeout=30, **headers):
        """GetCallerIdentity in the form that the server sends for an agent: Host is STS's own name, Content-Type is
        there and unsigned. `headers` replace or add to what is sent, after the signing; x_y stands for x-y."""
        sent = {"Host": host or sts_host(region), "Content-Type": "application/x-www-form-urlencoded"}
        sent.update(signer.caller_proof(region, binding, host, date))
        sent.update({"x-vouchsafe-binding": binding} if binding is not None else {})
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.send(CALLER_IDENTITY, sent, timeout)
