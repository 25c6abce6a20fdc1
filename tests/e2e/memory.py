"""What a process's memory holds, read as somebody would who got hold of it: all that can hold data, through
/proc/PID/mem. Only root may look, which is the point."""
import base64
import dataclasses
import os
import re

PIECE = 16 << 20


@dataclasses.dataclass(frozen=True)
class Region:
    start: int
    end: int
    locked: bool  # cannot be swapped out (VmFlags: lo)
    dumped: bool  # would be in a core file (no VmFlags: dd)
    name: str


def regions(pid):
    """All writable memory, which is where data can be."""
    found, head = [], None
    with open("/proc/%d/smaps" % pid) as smaps:
        for line in smaps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
            if match:
                head = match.groups()
            elif line.startswith("VmFlags:") and head[2].startswith("rw"):
                flags = line.split()[1:]
                found.append(Region(int(head[0], 16), int(head[1], 16), "lo" in flags, "dd" not in flags, head[3]))
    return found


def holds(pid, wanted, where=lambda region: True):
    """Which of the wanted byte strings lie in the process's memory, in the regions that `where` picks; with the
    regions."""
    overlap = max(len(needle) for needle in wanted) - 1
    found = set()
    memory = os.open("/proc/%d/mem" % pid, os.O_RDONLY)
    try:
        for region in filter(where, regions(pid)):
            at = region.start
            while at < region.end:
                data = os.pread(memory, min(PIECE, region.end - at), at)
                if not data:
                    break
                found |= {(needle, region) for needle in wanted if needle in data}
                at += len(data) if len(data) <= overlap or at + len(data) >= region.end else len(data) - overlap
    finally:
        os.close(memory)
    return found


def spellings(secret):
    """A secret (text or bytes) as it is, in hexadecimal, in base64 (both alphabets, at each of the three alignments),
    and text in UTF-16."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        text = text[4 if shift else 0:len(text) // 4 * 4 - 4]
        found |= {text, text.translate(bytes.maketrans(b"+/", b"-_"))}
    if not isinstance(secret, bytes):
        found |= {secret.encode("utf-16-le"), secret.encode("utf-16-be")}
    return found
