"""hack/bench hosts: from a bare host to a control plane, planekeeper beside the real `kubeadm init`. See hack/bench."""
import argparse
import pathlib
import statistics
import sys

import host_check
from node import CONFIGURATION, Node

WAYS_UP = {"planekeeper": ["planekeeper", "reconcile"], "kubeadm": ["kubeadm", "init", f"--config={CONFIGURATION}"]}
TARGET, TARGET_AGAIN = 0.6, 50  # of kubeadm's time; milliseconds
# Bash on the host takes the time, so that getting there is not in it.
TIMED = """
times=$1; shift
while ((times--)); do
  begun=$EPOCHREALTIME
  "$@" >/tmp/output 2>&1 || { cat /tmp/output >&2; exit 1; }
  ended=$EPOCHREALTIME
  echo $((${ended/./} - ${begun/./}))
done
"""


def milliseconds(host, words, times=1):
    """How long each of so many runs of a command takes, one after the other."""
    done = host.run(["bash", "-c", TIMED, "timed", times, *words], timeout=600)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(words)} fails:\n{done.stderr}")
    return [int(line) / 1000 for line in done.stdout.split()]


def arguments(what, rounds, **more):
    """What a bench was told: the binary, and its numbers of rounds and of what is in `more`, by default these. Without test hosts it
    ends here."""
    parser = argparse.ArgumentParser(prog=f"hack/bench {what}")
    for name, number in {"rounds": rounds, **more}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--planekeeper", required=True, type=pathlib.Path)
    told = parser.parse_args()
    if reason := host_check.reason():
        sys.exit(f"bench: no test hosts on this machine: {reason}")
    return told


def main():
    told = arguments("hosts", rounds=3, again=20)
    cold, again = {name: [] for name in WAYS_UP}, []
    for _ in range(told.rounds):
        for name, words in WAYS_UP.items():  # in turn, so that what else the machine does meets both
            with Node.up("pk-bench") as host:
                host.install(told.planekeeper)
                host.configure()
                cold[name] += milliseconds(host, words)
                if name == "planekeeper":
                    host.wait_until_ready()  # what starts takes its time from what is measured
                    again += milliseconds(host, words, told.again)
    met = show(cold, again)
    sys.exit(0 if met else 1)


def show(cold, again):
    """Prints the medians; says whether the targets are met."""
    ours, theirs = (statistics.median(cold[name]) for name in WAYS_UP)
    met, met_again = ours / theirs <= TARGET, statistics.median(again) <= TARGET_AGAIN
    for name in WAYS_UP:
        print(f"{name:<12} bare host to done    {statistics.median(cold[name]) / 1000:7.1f} s    of {spread(cold[name], 1000)} s")
    print(f"ratio {ours / theirs:.2f}, target {TARGET} {verdict(met)}")
    print(f"planekeeper  with nothing to do   {statistics.median(again):7.1f} ms   of {len(again)} runs, {spread(again, 1)} ms, "
          f"target {TARGET_AGAIN} {verdict(met_again)}")
    return met and met_again


def spread(values, unit):
    return f"{min(values) / unit:.1f} to {max(values) / unit:.1f}"


def verdict(met):
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
