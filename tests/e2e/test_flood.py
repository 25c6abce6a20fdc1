"""Those who come in crowds: denials by the hundred do not fill the disk, and are not lost."""
import sys

from stack import main
from tap import equal

STACK = None
KEYS = []


def test_denials_of_one_address_are_summarised():
    stranger, other = STACK.launch(), STACK.launch()
    body = STACK.release_body(stranger, KEYS[0], role="none")
    for _ in range(60):
        equal(STACK.request("POST", "/v1/releases", body, source=stranger["address"])[0], 403)
    equal(STACK.request("POST", "/v1/releases", body, source=other["address"])[0], 403)
    denied = [e for e in STACK.events(event="release.denied") if e["reason"] == "no-rule"]
    equal(sorted(e["source"] for e in denied), sorted(10 * [stranger["address"]] + [other["address"]]))
    STACK.stop(STACK.server)  # what is waiting is written down before the end
    STACK.start_server()
    summaries = STACK.events(event="release.denials-summarised")
    equal([e["source"] for e in summaries], [stranger["address"]])
    assert summaries[0]["comment"].startswith("50 more denials in the minute from 20"), summaries
    STACK.granted(stranger, KEYS[0])  # and nothing of it has anything to do with its own release


if __name__ == "__main__":
    sys.exit(main(globals(), keys=2))
