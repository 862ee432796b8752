"""hack/bench preflight: planekeeper's preflight beside the real kubeadm's, on one healthy host. See hack/bench."""
import argparse
import pathlib
import statistics
import sys

import host_check
import preflight
from bench_hosts import milliseconds, spread, verdict
from node import Node

PROGRAMS = {"planekeeper": preflight.PLANEKEEPER, "kubeadm": preflight.KUBEADM}
TARGET = 0.3  # of kubeadm's time


def main():
    parser = argparse.ArgumentParser(prog="hack/bench preflight")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--planekeeper", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    if reason := host_check.reason():
        sys.exit(f"bench: no test hosts on this machine: {reason}")
    times = {name: [] for name in PROGRAMS}
    with Node.up("pk-bench-preflight") as host:
        host.install(arguments.planekeeper)
        host.configure()
        for round in range(arguments.rounds + 1):
            for name, words in PROGRAMS.items():  # in turn, so that what else the machine does meets both
                taken = milliseconds(host, words)
                if round:  # the first reads the programs from the disk
                    times[name] += taken
    ours, theirs = (statistics.median(times[name]) for name in PROGRAMS)
    for name in PROGRAMS:
        print(f"{name:<12} preflight of a healthy host   {statistics.median(times[name]):7.1f} ms   of {spread(times[name], 1)} ms")
    print(f"ratio {ours / theirs:.2f}, target {TARGET} {verdict(ours / theirs <= TARGET)}")
    sys.exit(0 if ours / theirs <= TARGET else 1)


main()
