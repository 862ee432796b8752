"""hack/host-tests: runs the tests on real hosts. See hack/host-tests for its words.

A test is a function that gets a Test; what it checks is in its `check`s. Tests know nothing of each other.
"""
import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import sys
import tempfile
import threading
import time
import traceback

import cache
import host_check
from host import HOSTS, HostError
from node import Failed, Node

PREFIX = f"pk-test-{cache.key(str(cache.HACK))[:4]}-"  # two checkouts on one machine have hosts of their own


class Test:
    """One test: its hosts, which end with it, and what it found."""

    def __init__(self, name, planekeeper, folder):
        self.name, self.planekeeper, self.folder = name, planekeeper, folder
        self.nodes, self.passed, self.failed = [], 0, False
        self.checking = "its hosts"

    def node(self, suffix, **more):
        """Boots a new host with planekeeper and its configuration, and nothing else; `more` as in kubeadm_init.configuration."""
        name = f"{PREFIX}{self.name}-{suffix}"[:40].rstrip("-")
        self.nodes.append(Node(name))  # what is left of one that does not boot is taken down too
        node = self.nodes[-1] = Node.up(name)
        node.install(self.planekeeper)
        node.configure(**more)
        return node

    def done_with(self, node):
        """Takes a host down before the test ends."""
        node.down()
        self.nodes.remove(node)

    def say(self, text):
        say(f"        {self.name}: {text}")

    @contextlib.contextmanager
    def check(self, what):
        """One thing that a user relies on: a line of what is printed. What follows in the test takes it for granted."""
        self.checking, begun = what, time.monotonic()
        yield
        self.passed += 1
        say(f"ok      {time.monotonic() - begun:6.1f} s  {self.name}: {what}")

    def run(self, function):
        begun = time.monotonic()
        try:
            function(self)
        except Exception as error:
            self.failed = True
            why = str(error) if isinstance(error, (Failed, HostError)) else traceback.format_exc()
            say(f"FAILED  {time.monotonic() - begun:6.1f} s  {self.name}: {self.checking}\n{indented(why)}\n"
                f"        logs: {self.keep_logs()}")
        finally:
            for node in self.nodes:
                node.down()

    def keep_logs(self):
        for node in self.nodes:
            with contextlib.suppress(HostError, OSError):
                node.logs(self.folder / node.name)
        return self.folder


printing = threading.Lock()


def say(text):
    with printing:
        print(text, flush=True)


def indented(text):
    return "\n".join(f"        {line}" for line in text.rstrip().splitlines())


def tests(more):
    """All tests by name, in the order in which they start: long ones first. With `more` also those that are only run when they are named."""
    import tests_adoption
    import tests_audit
    import tests_clock
    import tests_dns
    import tests_drift
    import tests_external_ca
    import tests_external_etcd
    import tests_families
    import tests_faults
    import tests_gitops
    import tests_idle
    import tests_images
    import tests_kill
    import tests_kubelet
    import tests_preflight
    import tests_reset
    import tests_rollout
    import tests_self_hosting
    import tests_watch
    import tests_way_up
    modules = (
        tests_kill, tests_rollout, tests_self_hosting, tests_images, tests_way_up, tests_adoption, tests_faults, tests_preflight, tests_reset,
        tests_drift, tests_gitops, tests_idle, tests_watch, tests_external_ca, tests_external_etcd, tests_families, tests_kubelet,
        tests_audit, tests_dns, tests_clock,
    )
    found = {name: function for module in modules for name, function in module.TESTS.items()}
    if more:
        for module in modules:
            found.update(getattr(module, "MORE", {}))
    return found


def main():
    arguments = parse()
    if reason := host_check.reason():
        sys.exit(f"hack/host-tests: no test hosts on this machine: {reason}")
    if arguments.list:
        usual = tests(more=False)
        return print(*(name if name in usual else f"{name} (only when named)" for name in choose(arguments.names, more=True)), sep="\n")
    chosen = choose(arguments.names, more=bool(arguments.names))
    planekeeper = pathlib.Path(os.environ["PLANEKEEPER"]).resolve(strict=True)
    begun = time.monotonic()
    with one_at_a_time(), concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="planekeeper-host-tests-"))
        made = {name: Test(name, planekeeper, folder / name) for name in chosen}
        for done in [pool.submit(test.run, chosen[name]) for name, test in made.items()]:
            done.result()
    with contextlib.suppress(OSError):
        folder.rmdir()  # nothing failed: there is nothing in it
    failed = [test.name for test in made.values() if test.failed]
    passed = sum(test.passed for test in made.values())
    verdict = f"{len(failed)} of {len(made)} tests FAILED: {', '.join(failed)}" if failed else f"all {len(made)} tests passed"
    print(f"hack/host-tests: {verdict}, {passed} checks, in {time.monotonic() - begun:.0f} s")
    sys.exit(1 if failed else 0)


def parse():
    parser = argparse.ArgumentParser(prog="hack/host-tests")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    return parser.parse_args()


def choose(words, more):
    """The tests whose names have one of the words in them; where there are none, all. `more` as in `tests`."""
    chosen = lambda name: not words or any(word in name for word in words)
    found = {name: function for name, function in tests(more).items() if chosen(name)}
    for word in words:
        if not any(word in name for name in found):
            sys.exit(f"hack/host-tests: no test has {word!r} in its name; --list shows them")
    return found


@contextlib.contextmanager
def one_at_a_time():
    """The names of the hosts are the same in every run of a checkout: another run of it has to wait."""
    with cache.locked(HOSTS / f".{PREFIX}run.lock"):
        yield


if __name__ == "__main__":
    main()
