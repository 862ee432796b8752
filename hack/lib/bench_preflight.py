"""hack/bench preflight: planekeeper's preflight beside the real kubeadm's, on one healthy host. See hack/bench."""
import statistics
import sys

import preflight
from bench_hosts import arguments, milliseconds, spread, verdict
from node import Node

PROGRAMS = {"planekeeper": preflight.PLANEKEEPER, "kubeadm": preflight.KUBEADM}
TARGET = 0.3  # of kubeadm's time


def main():
    told = arguments("preflight", rounds=10)
    times = {name: [] for name in PROGRAMS}
    with Node.up("pk-bench-preflight") as host:
        host.install(told.planekeeper)
        host.configure()
        for round in range(told.rounds + 1):
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
