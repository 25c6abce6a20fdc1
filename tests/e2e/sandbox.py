"""Runs a program under the system call filters of a unit file, as systemd would lay them around it: for places where
systemd is not there to do it. Needs libseccomp, and systemd-analyze for its groups of system calls.

    sandbox.py UNIT [--] PROGRAM ARGUMENT...
"""
import ctypes
import errno
import os
import re
import subprocess
import sys

KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7fff0000
NE, EQ, MASKED = 1, 4, 7
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}
NAMESPACES = (0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
SUID_SGID = (0o4000, 0o2000)


def settings(path):
    """{name: [values in their order]} of a unit's section [Service]; an empty value forgets those before it."""
    found, section = {}, ""
    with open(path) as unit:
        for line in unit:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and line[0] not in "#;":
                name, value = line.split("=", 1)
                found.setdefault(name.strip(), []).append(value.strip())
    return found


def group(name):
    """The system calls of one of systemd's groups, groups within it included."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], check=True, capture_output=True,
                          text=True).stdout
    found = set()
    for word in text.split("\n")[1:]:
        word = word.strip()
        if word.startswith("@"):
            found |= group(word)
        elif re.fullmatch(r"[a-z0-9_]+", word):
            found.add(word)
    return found


def calls_allowed(lines):
    """SystemCallFilter=: the first line says whether it is a list of what may be; ~ takes away from it."""
    allowed = set()
    for line in lines:
        names = set()
        for word in line.lstrip("~").split():
            names |= group(word) if word.startswith("@") else {word}
        allowed = allowed - names if line.startswith("~") else allowed | names
    assert allowed and not lines[0].startswith("~"), "a list of what is allowed is wanted"
    return allowed | group("@default")


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    def __init__(self, default):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action, call, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:  # not of this architecture
            return
        array = (Comparison * len(comparisons))(*(Comparison(*c) for c in comparisons))
        code = self.library.seccomp_rule_add_array(self.context, ctypes.c_uint32(action), number, len(comparisons),
                                                   array)
        assert code == 0, "%s: %s" % (call, os.strerror(-code))

    def load(self):
        code = self.library.seccomp_load(self.context)
        assert code == 0, os.strerror(-code)


def arguments_filter(unit):
    """What other settings forbid by a call's arguments."""
    fine = Filter(ALLOW)
    denied = ERRNO | errno.EPERM
    if unit.get("MemoryDenyWriteExecute") == ["yes"]:
        both = PROT_WRITE | PROT_EXEC
        fine.rule(denied, "mmap", (2, MASKED, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            fine.rule(denied, call, (2, MASKED, PROT_EXEC, PROT_EXEC))
        fine.rule(denied, "shmat", (2, MASKED, SHM_EXEC, SHM_EXEC))
    for family in set(range(46)) - {FAMILIES[f] for f in unit["RestrictAddressFamilies"][-1].split()}:
        fine.rule(ERRNO | errno.EAFNOSUPPORT, "socket", (0, EQ, family))
    if unit.get("RestrictNamespaces") == ["yes"]:
        fine.rule(ERRNO | errno.ENOSYS, "clone3")
        fine.rule(denied, "setns")
        for flag in NAMESPACES:
            fine.rule(denied, "clone", (0, MASKED, flag, flag))
            fine.rule(denied, "unshare", (0, MASKED, flag, flag))
    if unit.get("RestrictSUIDSGID") == ["yes"]:
        for bit in SUID_SGID:
            for call, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2),
                                   ("open", 2), ("openat", 3), ("creat", 1), ("mknod", 1), ("mknodat", 2)):
                fine.rule(denied, call, (argument, MASKED, bit, bit))
    return fine


def main():
    unit = settings(sys.argv[1])
    command = sys.argv[3:] if sys.argv[2] == "--" else sys.argv[2:]
    # A call that is not allowed ends the program here even where the unit would only let it fail: so that it is seen.
    coarse, fine = Filter(KILL), arguments_filter(unit)
    for call in sorted(calls_allowed(unit["SystemCallFilter"])):
        coarse.rule(ALLOW, call)
    coarse.rule(ALLOW, "seccomp")  # the second filter is loaded under the first
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    fine.load()
    coarse.load()
    os.execv(command[0], command)


main()
