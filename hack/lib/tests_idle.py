"""What a watch takes that has nothing to do, and what it asks of its API server meanwhile, as that server's audit log has it.

IDLE is for how many seconds (20). Figures for people are those of a release build, on a machine that has nothing else to do.
"""
import collections
import json
import os
import time

import tests_watch
from node import expect
from tests_drift import AUDIT, taken

SECONDS = int(os.environ.get("IDLE", "20"))
LOG = "/var/log/kubernetes/audit/audit.log"
USERS = ("kubernetes-admin", "kubernetes-super-admin")


def idle(test):
    node = test.node("a", proxy=AUDIT)
    tests_watch.start(node)
    node.wait_until_ready()
    tests_watch.converged(node)
    settle(node)
    with test.check(f"in {SECONDS} s with nothing to do it asks its API server for nothing: its watches go on"):
        begun, ticks = len(requests(node)), tests_watch.ticks(node)
        time.sleep(SECONDS)
        made = collections.Counter(requests(node)[begun:])
        used = tests_watch.ticks(node) - ticks
        figures = taken(node)
        test.say(f"{figures['resident KiB'] / 1024:.1f} MiB resident, {figures['own KiB'] / 1024:.1f} of them its own; "
                 f"{used / SECONDS:.3f} % of a core; {figures['threads']} threads; requests: {dict(made) or 'none'}")
        asked = {what: count for what, count in made.items() if not what.startswith("watch ")}
        expect(not asked, f"it asked for {asked}")


def settle(node):
    """Waits until what came up is told of."""
    def busy():
        before = len(requests(node))
        time.sleep(8)
        return len(requests(node)) > before and "it asks for something"
    node.wait_for("the watch to be idle", busy)


def requests(node):
    """What was asked by whom planekeeper is to the server."""
    found = []
    for line in node.path(LOG).read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # it is being written
        stage = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
        if event["user"]["username"] in USERS and event["stage"] == stage:
            found.append(f"{event['verb']} {event['requestURI'].partition('?')[0]}")
    return found


TESTS = {"idle": idle}
