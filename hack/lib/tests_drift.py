"""A watch puts right whatever happens to what it owns: each thing, each kind of drift, once; and many at random, killed meanwhile.

Every third drift of the walk happens, and none that starts a component anew; WALK=all hack/host-tests drift makes them all, which takes
some minutes. DRIFTS=1000 hack/host-tests drift-at-random has so many happen at random (40), of which the last fifth is without kills, so
that leaks would show; SEED makes them the same again.
"""
import collections
import json
import os
import random
import re
import shutil
import time
import zlib

import drifts
import tests_watch
from node import differences, expect
from server import Server

ALL = os.environ.get("WALK") == "all"
DRIFTS = int(os.environ.get("DRIFTS", "40"))
AT_ONCE = 4
KILLS = 25  # one of so many rounds kills planekeeper
APART = 7.0  # seconds between two drifts of one resource, so that none is a fight
AUDIT = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\naudit: {enabled: true}\n"
GROWTH_MIB = 4
OWN = ("/etc/kubernetes", "/var/lib/kubelet")


def drift(test):
    node = kept(test)
    keys = node.identity_keys()
    last = collections.defaultdict(float)
    walk_files(test, node, last)
    walk_folders(test, node)
    server = Server(node)
    walk_objects(test, node, server, last)
    processes(test, node)
    expect(node.identity_keys() == keys, "a CA or the key of service accounts is another")


def drift_at_random(test):
    node = kept(test)
    keys = node.identity_keys()
    at_random(test, node, Server(node), collections.defaultdict(float))
    expect(node.identity_keys() == keys, "a CA or the key of service accounts is another")


def kept(test):
    """A host whose control plane a watch keeps."""
    node = test.node("a", proxy=AUDIT)
    tests_watch.start(node)
    node.wait_until_ready()
    tests_watch.converged(node)
    return node


def walk_files(test, node, last):
    paths = drifts.files(node)
    count = 0
    with test.check("every file that it owns is put right, once, whatever happens to it, and no other file is touched"):
        for kind in drifts.KINDS_OF_FILE:
            mark = now(node)
            made = [drifts.File(node, kind, path) for path in paths if kind in drifts.of_file(path, ALL) and chosen(kind, path)]
            for one in made:
                before = node.files(*OWN)
                happen(last, one)
                after = node.files(*OWN)
                touched = {path for path in {**before, **after} if before.get(path) != after.get(path)}
                own = {path for path in paths if drifts.resource(path) == one.resource}
                above = {os.path.dirname(path) for path in own}
                expect(touched <= own | above, f"{one.what}: others were touched: {sorted(touched - own - above)}")
            once(node, mark, made)
            count += len(made)
        tests_watch.converged(node)
    test.say(f"{count} drifts of {len(paths)} files")


def chosen(kind, what):
    """Every third one, which is another for each kind."""
    return ALL or zlib.crc32(f"{kind} {what}".encode()) % 3 == 0


def walk_folders(test, node):
    folders = ["/etc/kubernetes/audit"] + (["/etc/kubernetes/manifests"] if ALL else [])
    with test.check("a folder that is removed comes back with what was in it, and is watched again"):
        for folder in folders:
            path = node.path(folder)
            before = {file.name: file.read_bytes() for file in path.iterdir()}
            gone = path.with_name(".gone")
            path.rename(gone)  # at once: planekeeper would make files in it while they are removed
            shutil.rmtree(gone)
            there = lambda: {file.name: file.read_bytes() for file in path.glob("[!.]*")} == before
            node.wait_for(folder, lambda: not there() and "it is not as it was")
            (path / min(before)).unlink()
            node.wait_for(folder, lambda: not there() and "it is not watched any more")
        node.wait_until_ready()
        tests_watch.converged(node)


def walk_objects(test, node, server, last):
    names = drifts.objects(node, server)
    kinds = {name: drifts.of_object(server, name) for name in names}
    count = 0
    with test.check("every object that it owns is put right, once, whether it is deleted, edited or loses a label"):
        for kind in drifts.KINDS_OF_OBJECT:
            mark = now(node)
            made = [drifts.Object(server, kind, name) for name in names if kind in kinds[name] and chosen(kind, name)]
            for one in made:
                happen(last, one)
            once(node, mark, made)
            count += len(made)
        tests_watch.converged(node)
    test.say(f"{count} drifts of {len(names)} objects")


def processes(test, node):
    with test.check("a container that is killed comes back by itself, and nothing is written for it"):
        before, mark = node.files(*OWN), now(node)
        old = scheduler(node)
        node.do("kill", "-KILL", old)
        node.wait_for("another scheduler", lambda: scheduler(node) in ("", old) and "there is none")
        node.wait_until_ready()
        expect(node.files(*OWN) == before, differences(before, node.files(*OWN)))
        expect(not repairs(node, mark), f"something was repaired: {repairs(node, mark)}")


def scheduler(node):
    return node.run(["pidof", "kube-scheduler"], timeout=60).stdout.strip()


def at_random(test, node, server, last):
    chance = random.Random(seed := int(os.environ.get("SEED", str(time.time_ns() % 10**6))))
    test.say(f"SEED={seed}")
    files = [(path, kind) for path in drifts.files(node) for kind in drifts.of_file(path)]
    objects = [(name, kind) for name in drifts.objects(node, server) for kind in drifts.of_object(server, name)]
    done = kills = 0
    first = None
    begun = time.monotonic()
    with test.check(f"{DRIFTS} drifts at random, several at once, with kills among them, are all put right, and nothing leaks"):
        while done < DRIFTS:
            if first is None and done >= DRIFTS * 4 // 5:
                tests_watch.converged(node)
                first = taken(node)
            made = {}
            for _ in range(chance.randint(1, AT_ONCE)):
                what, kind = chance.choice(chance.choice((files, objects)))
                one = drifts.Object(server, kind, what) if what.startswith("object:") else drifts.File(node, kind, what)
                if time.monotonic() - last[one.resource] > APART:
                    made[one.resource] = one
            for one in made.values():
                last[one.resource] = time.monotonic()
                one.make()
            if first is None and chance.randrange(KILLS) == 0:
                time.sleep(chance.random() / 5)
                node.do("systemctl", "kill", "--signal=KILL", "planekeeper")
                kills += 1
            for one in made.values():
                drifts.wait(one)
            done += len(made)
        tests_watch.converged(node)
        expect(tests_watch.repaired(node), "there is something to do")
        second = taken(node)
        test.say(f"{done} drifts and {kills} kills in {time.monotonic() - begun:.0f} s; taken before and after the last fifth: {first}, {second}")
        expect(second["process"] == first["process"], "it was started anew by itself")
        for what in ("descriptors", "watches", "threads"):
            expect(second[what] <= first[what] + 3, f"it has more {what}: {first[what]} before, {second[what]} now")
        expect(second["own KiB"] - first["own KiB"] < GROWTH_MIB * 1024, "its memory grows")


def taken(node):
    """What the watch takes of its host."""
    time.sleep(2)  # what goes on after a pass
    process = tests_watch.show(node, "MainPID")
    script = (f"cd /proc/{process} && ls fd | wc -l && cat fdinfo/* 2>/dev/null | grep -c '^inotify wd' ;"
              f"ls task | wc -l; sed -n 's/^RssAnon:\\s*\\([0-9]*\\).*/\\1/p;s/^VmRSS:\\s*\\([0-9]*\\).*/\\1/p' status")
    descriptors, watches, threads, resident, own = map(int, node.do("sh", "-c", script).stdout.split())
    return {"process": process, "descriptors": descriptors, "watches": watches, "threads": threads, "resident KiB": resident, "own KiB": own}


def happen(last, one):
    """Makes a drift and waits for its repair; not so soon after the last of the same resource that it would be a fight."""
    time.sleep(max(0.0, last[one.resource] + APART - time.monotonic()))
    one.make()
    last[one.resource] = time.monotonic()
    drifts.wait(one)
    time.sleep(0.05)  # the end of the pass


def once(node, mark, made):
    """Each was repaired as often as it drifted, and nothing else was, but the kubelet, which starts anew for its files."""
    time.sleep(0.5)
    expected = collections.Counter(one.resource for one in made)
    found = repairs(node, mark)
    found.pop("unit:kubelet.service", None)
    expect(found == expected, f"repairs that were not asked for, or more or fewer than that: {found - expected}, {expected - found}")


def repairs(node, mark):
    """How often each resource was repaired since a moment."""
    lines = node.do("journalctl", "--unit=planekeeper", "--output=cat", "--no-pager", f"--after-cursor={mark}").stdout
    return collections.Counter(re.findall(r"^DriftRepaired: \w+ (\S+)", lines, re.M))


def now(node):
    """The journal's cursor."""
    line = node.do("journalctl", "--unit=planekeeper", "--lines=1", "--output=json", "--no-pager").stdout
    return json.loads(line)["__CURSOR"]


TESTS = {"drift": drift}
MORE = {"drift-at-random": drift_at_random}
