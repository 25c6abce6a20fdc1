#!/usr/bin/env python3
"""The agent's signer against AWS's own: random requests signed by tests/unit/aws_sigv4.c (as a filter) and by botocore,
which Debian has as python3-botocore and inside awscli. Prints TAP; skips, saying so, where there is no botocore."""
import base64
import datetime
import importlib
import os
import random
import string
import subprocess
import sys
import types

DEBIAN = "/usr/bin/python3"
CASES = 200
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
UPPER = string.ascii_uppercase + string.digits
ALNUM = string.ascii_letters + string.digits
REGIONS = [("us-east-1", "amazonaws.com"), ("eu-central-2", "amazonaws.com"), ("cn-northwest-1", "amazonaws.com.cn"),
           ("us-gov-west-1", "amazonaws.com"), ("eusc-de-east-1", "amazonaws.eu"), ("us-isob-east-1", "sc2s.sgov.gov")]


def botocore():
    """Its modules auth, awsrequest and credentials, or None."""
    for first in ("botocore", "awscli"):  # awscli brings a copy of its own, and puts it where it is found
        try:
            importlib.import_module(first)
            return [importlib.import_module("botocore." + name) for name in ("auth", "awsrequest", "credentials")]
        except ImportError:
            continue
    # another Python may stand first in the path: Debian's own has Debian's packages
    if os.path.exists(DEBIAN) and not os.environ.get("SIGV4_AGAIN"):
        os.execve(DEBIAN, [DEBIAN] + sys.argv, dict(os.environ, SIGV4_AGAIN="1"))
    return None


def text(letters, low, high):
    return "".join(random.choices(letters, k=random.randint(low, high)))


def case():
    """Access key id, secret, token, region, host, seconds, binding."""
    region, suffix = random.choice(REGIONS)
    binding = text(ALNUM + "-_", 74, 74) + "." + text(ALNUM + "-_", 43, 43)
    token = base64.b64encode(random.randbytes(random.choice([1, 2, 30, 700, 3000]))).decode()
    return ["ASIA" + text(UPPER, 12, 124), text(ALNUM + "+/=", 16, 256), token, region, "sts.%s.%s" % (region, suffix),
            str(random.randint(0, 4102444800)), binding]


def sign_theirs(modules, words):
    auth, awsrequest, credentials = modules
    key_id, secret, token, region, host, seconds, binding = words

    class Clock(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return cls(1970, 1, 1) + datetime.timedelta(seconds=int(seconds))

    auth.datetime = types.SimpleNamespace(datetime=Clock)
    auth.get_current_datetime = lambda *_, **__: Clock.utcnow()  # where newer versions look at the clock
    request = awsrequest.AWSRequest("POST", "https://%s/" % host, data=BODY, headers={"x-vouchsafe-binding": binding})
    auth.SigV4Auth(credentials.Credentials(key_id, secret, token), "sts", region).add_auth(request)
    return "%s %s" % (request.headers["X-Amz-Date"], request.headers["Authorization"])


def main():
    name = "%d random requests are signed as botocore signs them" % CASES
    print("1..1")
    modules = botocore()
    if not modules:
        print("ok 1 - %s # skip there is no botocore here (python3-botocore or awscli)" % name)
        return 0
    cases = [case() for _ in range(CASES)]
    ours = subprocess.run([os.path.join(sys.argv[1], "unit/aws_sigv4"), "sign"], check=False, timeout=60,
                          input="".join(" ".join(words) + "\n" for words in cases).encode(), stdout=subprocess.PIPE)
    lines = ours.stdout.decode().splitlines()
    wrong = [words for words, line in zip(cases, lines) if sign_theirs(modules, words) != line]
    good = ours.returncode == 0 and len(lines) == CASES and not wrong
    print("%s 1 - %s" % ("ok" if good else "not ok", name))
    if not good:
        print("# ended with %d, %d lines, %d of them wrong" % (ours.returncode, len(lines), len(wrong)))
        for words in wrong[:3]:
            print("# ours   %s\n# theirs %s" % (lines[cases.index(words)], sign_theirs(modules, words)))
    return 0 if good else 1


sys.exit(main())
