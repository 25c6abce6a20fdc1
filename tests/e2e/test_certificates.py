#!/usr/bin/env python3
"""`vouchsafe certificates list|check|add` on folders of its own: whose a certificate is, what is refused, and that a
refusal changes nothing. Certificates come from openssl, AWS's own from the vectors where they are."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BUILD", "build/asan")).resolve()
VECTORS = pathlib.Path("../shared/vectors/aws-certificates")
WORK = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-certificates-"))


def vouchsafe(*words):
    """(exit status, standard output, standard error) of `vouchsafe certificates WORDS`."""
    done = subprocess.run([str(BUILD / "vouchsafe"), "certificates", *map(str, words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True).stdout


def make_certificate(name, days=365, bits=2048):
    """A certificate of the test's own; `days` below 0: expired so long ago."""
    path, key = WORK / name, WORK / "key"
    openssl("req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", key, "-subj", "/O=Of the Test's Own",
            "-out", path)
    openssl("x509", "-in", path, "-signkey", key, "-days", days, "-out", path)
    return path


def fingerprint(path):
    text = openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256")
    return text.split("=")[1].strip().replace(":", "").lower()


def folder(name):
    path = WORK / name
    path.mkdir()
    return path


def refused(result, words, status=1):
    tap.equal(result[0], status, "exit status")
    tap.equal(result[1], "", "standard output")
    if words not in result[2]:
        raise AssertionError(f"{words!r} is not in {result[2]!r}")
    tap.equal(len(result[2].splitlines()), 1, "lines of complaint")


def vectors():
    if not VECTORS.is_dir():
        raise tap.Skip(f"no {VECTORS}")
    return sorted(VECTORS.glob("*.pem"))


def test_add_refuses_a_strangers_unless_told():
    own, place = make_certificate("own.pem"), WORK / "made"
    refused(vouchsafe("add", own, "--region", "us-east-1", "--folder", place), "not the certificate that AWS publishes")
    tap.equal(place.exists(), False, "a folder after a refusal")
    tap.equal(vouchsafe("add", own, "--region", "us-east-1", "--folder", place, "--own"),
              (0, f"added: us-east-1 {fingerprint(own)} (not AWS's)\n", ""))
    tap.equal((place / "us-east-1.pem").read_bytes(), own.read_bytes(), "the file")
    tap.equal((place / "us-east-1.pem").stat().st_mode & 0o777, 0o644, "its mode")
    tap.equal([p.name for p in place.iterdir()], ["us-east-1.pem"], "the folder")
    refused(vouchsafe("check", "--folder", place), "us-east-1.pem: not the certificate")
    tap.equal(vouchsafe("check", "--folder", place, "--own"), (0, f"ok: {place}: 1 certificate\n", ""))
    status, out, _ = vouchsafe("list", "--folder", place)
    tap.equal(status, 0)
    tap.equal(out.splitlines()[1].split(None, 3)[:2], ["us-east-1", fingerprint(own)])
    tap.equal(out.splitlines()[1].endswith("  not AWS's"), True, out)


def test_a_region_that_aws_is_not_known_to_publish_for():
    place = folder("iso")
    refused(vouchsafe("add", WORK / "own.pem", "--region", "us-iso-east-1", "--folder", place),
            "is known to publish for us-iso-east-1")
    tap.equal(list(place.iterdir()), [], "the folder")


def test_add_refuses_what_is_no_certificate_of_that_kind():
    place = folder("kinds")
    (WORK / "text.pem").write_text("no certificate\n")
    (WORK / "large.pem").write_bytes((WORK / "own.pem").read_bytes() + b"\n" * 20000)
    (WORK / "two.pem").write_bytes(2 * (WORK / "own.pem").read_bytes())
    for name, words in (("text.pem", "not one PEM block"), ("large.pem", "larger than"), ("two.pem", "not one PEM"),
                        ("absent.pem", "No such file"), (".", "Is a directory")):
        refused(vouchsafe("add", WORK / name, "--region", "us-east-1", "--folder", place, "--own"), words)
    for bits in (1024, 4096):
        refused(vouchsafe("add", make_certificate(f"{bits}.pem", bits=bits), "--region", "us-east-1", "--folder",
                          place, "--own"), "2,048")
    refused(vouchsafe("add", make_certificate("old.pem", days=-1), "--region", "us-east-1", "--folder", place, "--own"),
            "expired")
    tap.equal(list(place.iterdir()), [], "the folder")


def test_add_replaces_whole_files_alone():
    place = folder("again")
    (place / ".us-east-1.pem.partial").write_text("left by one that was killed")
    (place / "us-east-1.pem").write_text("old")
    tap.equal(vouchsafe("add", WORK / "own.pem", "--region", "us-east-1", "--folder", place, "--own")[0], 0)
    tap.equal([p.name for p in place.iterdir()], ["us-east-1.pem"], "the folder")
    tap.equal((place / "us-east-1.pem").read_bytes(), (WORK / "own.pem").read_bytes(), "the file")


def test_misused():
    for words, text in ((["add", WORK / "own.pem"], "--region"), (["add", "--region", "us-east-1"], "missing"),
                        (["add", WORK / "own.pem", "--region", "../us-east-1"], "--region"),
                        (["add", WORK / "own.pem", "--region", "us-east-9"], "--region"),
                        (["list", "more"], "too many"), (["check", "--force"], "option")):
        refused(vouchsafe(*words), text, status=2)


def test_check_names_every_file_that_is_wrong():
    place = folder("wrong")
    own = (WORK / "own.pem").read_bytes()
    (place / "us-east-1.pem").write_bytes(own)
    (place / "us-east-9.pem").write_bytes(own)
    (place / "README").write_text("hello")
    (place / ".hidden").write_text("never read")
    (place / "eu-west-1.pem").write_text("text")
    (place / "eu-west-2.pem").mkdir()
    (place / "eu-west-3.pem").symlink_to("nowhere")
    (place / "sa-east-1.pem").write_bytes((WORK / "old.pem").read_bytes())
    (place / "us-west-1.pem").write_bytes(own)
    (place / "us-west-1.pem").chmod(0o666)
    status, out, err = vouchsafe("check", "--folder", place, "--own")
    tap.equal((status, out), (1, ""))
    told = {line.split(": ")[1]: line.split(": ", 2)[2] for line in err.splitlines()}
    tap.equal(sorted(told), ["README", "eu-west-1.pem", "eu-west-2.pem", "eu-west-3.pem", "sa-east-1.pem",
                             "us-east-9.pem", "us-west-1.pem"])
    for name, words in (("README", "not named for a region"), ("us-east-9.pem", "not named for a region"),
                        ("eu-west-1.pem", "not one PEM"), ("eu-west-2.pem", "not a file"), ("sa-east-1.pem", "expired"),
                        ("us-west-1.pem", "others than its owner")):
        if words not in told[name]:
            raise AssertionError(f"{name}: {told[name]}")
    status, out, err = vouchsafe("list", "--folder", place)
    tap.equal(status, 1)
    tap.equal([line.split()[0] for line in out.splitlines()], ["REGION", "sa-east-1", "us-east-1"])
    tap.equal(len(err.splitlines()), 6)


def test_folders_that_are_not_right():
    empty, opened = folder("empty"), folder("open")
    (opened / "us-east-1.pem").write_bytes((WORK / "own.pem").read_bytes())
    opened.chmod(0o777)
    for command in (["check", "--own"], ["list"]):
        refused(vouchsafe(*command, "--folder", WORK / "none"), "No such file")
        refused(vouchsafe(*command, "--folder", empty), "holds no certificate")
        refused(vouchsafe(*command, "--folder", opened), "others than its owner")
        refused(vouchsafe(*command, "--folder", WORK / "own.pem"), "Not a directory")
    refused(vouchsafe("add", WORK / "own.pem", "--region", "us-east-2", "--folder", opened, "--own"), "others than")
    refused(vouchsafe("add", WORK / "own.pem", "--region", "us-east-2", "--folder", WORK / "no" / "where", "--own"),
            "cannot make the folder")
    tap.equal([p.name for p in opened.iterdir()], ["us-east-1.pem"], "the folder")


def test_aws_own():
    pems, place = vectors(), WORK / "aws"
    for path in pems:
        status, out, err = vouchsafe("add", path, "--region", path.stem, "--folder", place)
        tap.equal((status, err), (0, ""))
        tap.equal(out, f"added: {path.stem} {fingerprint(path)} (AWS's own)\n")
    tap.equal(vouchsafe("check", "--folder", place), (0, f"ok: {place}: {len(pems)} certificates\n", ""))
    rows = vouchsafe("list", "--folder", place)[1].splitlines()[1:]
    tap.equal([row.split()[0] for row in rows], [path.stem for path in pems])
    tap.equal(all(row.endswith("AWS's own") for row in rows), True)


def test_aws_own_of_another_region():
    pems, place = vectors(), folder("mixed")
    for more in ([], ["--own"]):  # that is a slip, and never meant
        refused(vouchsafe("add", pems[0], "--region", pems[1].stem, "--folder", place, *more),
                f"AWS's certificate for {pems[0].stem}, not for {pems[1].stem}")
    shutil.copy(pems[0], place / pems[1].name)
    (place / pems[1].name).chmod(0o644)
    refused(vouchsafe("check", "--folder", place, "--own"), f"AWS's certificate for {pems[0].stem}")


if __name__ == "__main__":
    os.umask(0o022)
    try:
        sys.exit(tap.run(tap.collect(globals())))
    finally:
        shutil.rmtree(WORK)
