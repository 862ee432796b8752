"""A run that is killed at any moment is continued by the next."""
import os
import random
import sys
import time

from node import differences, expect

KILLS = int(os.environ.get("KILLS") or 5)
SEED = int(os.environ.get("SEED") or random.randrange(sys.maxsize))


def kill(test):
    """Kills spread over the way up: one in each part of it, at a random moment of that part."""
    draw = random.Random(SEED)
    test.say(f"KILLS={KILLS} SEED={SEED}")
    whole = way_up(test)
    for number in range(KILLS):
        after = (number + draw.random()) * whole / KILLS
        with test.check(f"killed after {after:.2f} s of {whole:.1f} s, the next run carries on, with the same CAs and keys"):
            killed_after(test, after)


def way_up(test):
    """Seconds that a way up takes on this machine now."""
    node = test.node("measured")
    begun = time.monotonic()
    node.reconcile()
    whole = time.monotonic() - begun
    test.done_with(node)
    return whole


def killed_after(test, seconds):
    node = test.node("a")
    run = node.start_reconcile()
    time.sleep(seconds)
    node.run(["pkill", "-KILL", "-x", "planekeeper"])
    node.transcript.append(f"$ planekeeper reconcile, killed after {seconds:.2f} s\n{run.communicate(timeout=60)[0]}")
    before = node.identity_keys()
    node.reconcile()
    after = {name: digest for name, digest in node.identity_keys().items() if name in before}
    expect(before == after, f"keys have changed:\n{differences(before, after)}")
    node.wait_until_ready(pods=0)
    test.done_with(node)


TESTS = {"kill": kill}
