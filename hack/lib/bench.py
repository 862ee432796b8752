"""hack/bench: planekeeper beside the real kubeadm. See hack/bench for what it prints and why."""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import real_kubeadm

PHASES = (("certs", "all"), ("kubeconfig", "all"), ("etcd", "local"), ("control-plane", "all"))
CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: abcdef.0123456789abcdef
nodeRegistration:
  name: cp1
localAPIEndpoint:
  advertiseAddress: 10.0.0.10
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{version}
encryptionAlgorithm: {algorithm}
"""
WRITES = ("open openat openat2 creat write pwrite64 writev pwritev rename renameat renameat2 unlink unlinkat mkdir mkdirat "
          "rmdir link linkat symlink symlinkat chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown truncate "
          "ftruncate fallocate utimensat fsync fdatasync copy_file_range sendfile")
OPENS_FOR_WRITING = re.compile(r"O_TRUNC|O_TMPFILE|O_CREAT\|O_EXCL|O_EXCL\|O_CREAT")


class Peer:
    """One way to make a host: commands, run one after the other in a root folder of their own."""

    def __init__(self, name, root, commands):
        self.name, self.root, self.commands = name, root, commands

    def clear(self):
        """An empty root. What was made before is put aside: files that were deleted just now slow down whoever makes new ones (ext4
        passes over each of their inodes for some seconds)."""
        if self.root.exists():
            aside = self.root.parent / "aside"
            aside.mkdir(exist_ok=True)
            self.root.rename(aside / f"{self.root.name}-{len(os.listdir(aside))}")
        self.root.mkdir()

    def wall(self):
        """Seconds for all commands together."""
        start = time.perf_counter()
        for command in self.commands:
            execute(command)
        return time.perf_counter() - start

    def memory(self):
        """The most that one of the commands holds, in MiB. GNU time forks from a process so small that it adds nothing."""
        peaks = []
        for command in self.commands:
            with tempfile.NamedTemporaryFile("r") as out:
                execute(["/usr/bin/time", "--quiet", "-f", "%M", "-o", out.name, *command])
                peaks.append(int(out.read()) / 1024)
        return max(peaks)


def execute(command):
    done = subprocess.run(command, env={}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))} exits with {done.returncode}: {(done.stderr or done.stdout).strip()}")


def peers(folder, planekeeper, algorithm):
    """planekeeper, kubeadm's phases one by one, and kubeadm with the same phases in one process."""
    kubeadm = real_kubeadm.binary(real_kubeadm.NEWEST)
    config = folder / f"{algorithm}.yaml"
    config.write_text(CONFIG.format(version=real_kubeadm.NEWEST, algorithm=algorithm))
    roots = [folder / f"{algorithm}-{name}" for name in ("planekeeper", "phases", "one")]
    skip = ",".join(real_kubeadm.NEEDS_A_CLUSTER)
    at = lambda root, *words: [kubeadm, "init", *words, "--rootfs", str(root), "--config", "/config.yaml"]
    return [
        Peer("planekeeper", roots[0], [[planekeeper, "reconcile", "--config", str(config), "--root", str(roots[0])]]),
        Peer("kubeadm", roots[1], [at(roots[1], "phase", *phase) for phase in PHASES]),
        Peer("kubeadm, one process", roots[2], [at(roots[2], "--skip-phases", skip)]),
    ], config


def prepare(peer, config):
    """An empty root. kubeadm, which sees nothing else, gets its configuration into it; planekeeper reads it where it is."""
    peer.clear()
    if peer.name != "planekeeper":
        real_kubeadm.prepare(peer.root, config, real_kubeadm.Host(ca_folders=()))
    os.sync()  # who waits for the disk does not wait for what another left to be written


def measure(rounds, folder, planekeeper, algorithm):
    """Medians by peer: cold and again in seconds, memory of a cold run in MiB."""
    made, config = peers(folder, planekeeper, algorithm)
    cold, again, memory = ({peer.name: [] for peer in made} for _ in range(3))
    for _ in range(rounds):
        for peer in made:  # in turn, so that what else the machine does meets all of them
            prepare(peer, config)
            cold[peer.name].append(peer.wall())
            again[peer.name].append(peer.wall())
    for _ in range(3):
        for peer in made:
            prepare(peer, config)
            memory[peer.name].append(peer.memory())
    return made, [{name: statistics.median(values) for name, values in kind.items()} for kind in (cold, again, memory)]


def state(root):
    """What the file system says about every file and folder: a write shows in one of these."""
    found = {}
    for path in [root, *root.rglob("*")]:
        seen = path.lstat()
        found[str(path)] = (seen.st_ino, seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return found


def writes(peer):
    """Files and folders that a run with nothing to do touches, and system calls of it that write below the root."""
    before = state(peer.root)
    peer.wall()
    after = state(peer.root)
    touched = sorted(p for p in set(before) | set(after) if before.get(p) != after.get(p))
    with tempfile.NamedTemporaryFile("r") as out:
        # A question mark: a call that this strace does not know is no error.
        trace = ["strace", "-f", "-y", "-s", "4096", "-e", "trace=" + ",".join("?" + call for call in WRITES.split()), "-o", out.name]
        execute([*trace, *peer.commands[0]])
        calls = [line for line in out if str(peer.root) in line and "= -1" not in line and writing(line)]
    return touched, calls


def writing(line):
    call = re.search(r"(\w+)\(", line)
    return bool(call) and (not call[1].startswith("open") or bool(OPENS_FOR_WRITING.search(line)))


def row(what, ours, theirs, unit, target=None):
    """One line of the table; says whether the target is met."""
    ratio = ours / theirs
    verdict = "" if target is None else f"  target {target:<5} {'met' if ratio <= target else 'MISSED'}"
    print(f"{what:<34} {ours:>9.1f} {theirs:>9.1f} {unit:<4} {ratio:>7.3f}{verdict}")
    return target is None or ratio <= target


def main():
    parser = argparse.ArgumentParser(prog="hack/bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--planekeeper", required=True)
    arguments = parser.parse_args()
    met = True
    for where, folder in (("on disk", None), ("in memory (tmpfs)", "/dev/shm")):
        print(f"{where:<34} {'planek.':>9} {'kubeadm':>9} {'':<4} {'ratio':>7}   medians of {arguments.rounds} rounds, in turn")
        with tempfile.TemporaryDirectory(prefix="planekeeper-bench-", dir=folder) as scratch:
            met &= compare(arguments, pathlib.Path(scratch))
    sys.exit(0 if met else 1)


def compare(arguments, scratch):
    """Measures and prints everything in one folder; false where a target is missed."""
    met = True
    for algorithm, target in (("RSA-2048", 0.6), ("ECDSA-P256", 0.15)):
        made, (cold, again, memory) = measure(arguments.rounds, scratch, arguments.planekeeper, algorithm)
        ours, phases, one = (peer.name for peer in made)
        met &= row(f"{algorithm} cold", cold[ours] * 1e3, cold[phases] * 1e3, "ms", target)
        row("  kubeadm in one process", cold[ours] * 1e3, cold[one] * 1e3, "ms")
        met &= row(f"{algorithm} again", again[ours] * 1e3, again[phases] * 1e3, "ms", 0.03)
        row("  kubeadm in one process", again[ours] * 1e3, again[one] * 1e3, "ms")
        row("  again beside kubeadm's cold", again[ours] * 1e3, cold[phases] * 1e3, "ms")
        met &= row(f"{algorithm} peak memory", memory[ours], memory[phases], "MiB", 0.4)
    touched, calls = writes(made[0])
    print(f"planekeeper again: {len(touched)} files or folders touched (inode, mode, size, mtime, ctime), "
          f"{len(calls)} system calls that write in its root")
    print("".join(f"    {line.strip()}\n" for line in [*touched, *calls][:20]), end="")
    return met and not touched and not calls


main()
