"""The history of a round: one line of JSON for each request that was sent, appended when its answer came or did not, and
never changed. What agents saw, and nothing that a node or the database says of itself."""
import json
import os
import threading
import time


class History:
    """`path`: the file, made anew. Any thread may append."""

    def __init__(self, path):
        self.path, self.records = path, []
        self.lock = threading.Lock()
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)

    def append(self, kind, began, **fields):
        """kind: "release", "ack", "rearm", "fault". `began` as now() gave it; when it ended is now."""
        record = {"kind": kind, "began": began, "ended": now(), **fields}
        with self.lock:
            os.write(self.file, json.dumps(record).encode() + b"\n")
            self.records.append(record)
        return record

    def close(self):
        os.close(self.file)


def now():
    """Seconds on the clock that no fault steps."""
    return round(time.monotonic(), 6)


def read(path):
    """The records of a file that was kept."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
