"""Agents that ask, each from its instance's own address and with its own key, until they are served or refused for good;
all that they see goes into a history."""
import http.client
import json
import random
import threading

from history import now

PATIENCE = 40  # seconds from the healing on: an agent that is not through by then is left unserved
ANSWER = 4  # seconds for one answer, longer than the nodes' own deadline


class Agent(threading.Thread):
    """One key of one instance. `until`: an event; once it is set the agent does not give up before PATIENCE."""

    def __init__(self, stack, port, history, instance, key, seed, delay=0.0, acknowledges=True, tries=None):
        super().__init__(daemon=True)
        self.stack, self.port, self.history, self.instance, self.key = stack, port, history, instance, key
        self.random = random.Random(seed)
        self.delay, self.acknowledges, self.tries = delay, acknowledges, tries
        self.ending = threading.Event()
        self.answer = None  # its last one

    def run(self):
        self.ending.wait(self.delay)
        while not self.ending.is_set():
            answer = self.ask()
            if answer["answer"] == 200:
                self.acknowledge(answer)
            if answer["answer"] in (200, 403, 409):
                return
            if self.tries is not None:
                self.tries -= 1
                if self.tries <= 0:
                    return
            self.ending.wait(self.random.uniform(0.05, 0.3))

    def ask(self):
        """One request; its record."""
        body = self.stack.release_body(self.instance, self.key)
        status, headers, answer, began = self._send("/v1/releases", body)
        answer = answer if isinstance(answer, dict) else {}
        self.answer = status
        return self.history.append(
            "release", began, instance=self.instance["id"], key=self.key.sha256, answer=status, code=answer.get("code"),
            request_id=headers.get("X-Request-Id"), release_id=answer.get("release_id"),
            opened=self._open(answer["sealed"]) if status == 200 else None)

    def _send(self, path, body):
        """(a status or "unknown", headers, the answer, when it began)"""
        began = now()
        try:
            return *self.stack.ask("POST", path, body, self.instance["address"], port=self.port, timeout=ANSWER), began
        except (OSError, http.client.HTTPException, ValueError):
            return "unknown", {}, None, began

    def _open(self, sealed):
        """What is inside, without the secrets; None where this key does not open it, or they are others."""
        try:
            inside = self.key.open(sealed)
        except Exception:  # openssl's, or no JSON: the checker says what it means
            return None
        secrets = [s["value"] for s in inside["secrets"]]
        if secrets != [self.stack.pin, self.stack.client_key, self.stack.certificate]:
            return None
        self.ack = inside["ack"]
        return {"release_id": inside["release_id"], "instance-id": inside["instance-id"]}

    def acknowledge(self, answer):
        """Until it is answered, or nobody waits any more."""
        while self.acknowledges and answer["opened"] and not self.ending.is_set():
            status, _, _, began = self._send("/v1/releases/%s/ack" % answer["release_id"], json.dumps({"ack": self.ack}))
            self.history.append("ack", began, instance=self.instance["id"], release_id=answer["release_id"], answer=status)
            if status != "unknown" and status < 500:
                return
            self.ending.wait(self.random.uniform(0.05, 0.3))


def finish(agents, tend, seconds=PATIENCE):
    """Waits until all are through, calling tend() meanwhile; who is not by then is stopped. True: all were."""
    until = now() + seconds
    while any(agent.is_alive() for agent in agents) and now() < until:
        tend()
        for agent in agents:
            if agent.is_alive():
                agent.join(0.05)
                break
    through = not any(agent.is_alive() for agent in agents)
    for agent in agents:
        agent.ending.set()
    for agent in agents:
        agent.join()
    return through
