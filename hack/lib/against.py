"""hack/against-kubeadm: compares planekeeper with the real kubeadm on configurations that nobody has seen."""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import facts
import generate
import real_kubeadm

OURS = ("cluster", "var/lib/planekeeper")  # what planekeeper makes in a sandbox beside a host's files


def compare(planekeeper, config, keep=None):
    """The differences between what kubeadm and planekeeper make of the file `config`, in words."""
    host = real_kubeadm.this_host()
    with tempfile.TemporaryDirectory(prefix="against-") as scratch:
        theirs, ours = pathlib.Path(scratch) / "kubeadm", pathlib.Path(keep or scratch) / "planekeeper"
        theirs.mkdir()
        for folder in host.ca_folders:  # the sandbox is a host with the same folders
            (ours / folder).mkdir(parents=True)
        ours.mkdir(exist_ok=True)
        version = real_kubeadm.version_for(config.read_text())
        try:
            made = real_kubeadm.make(real_kubeadm.binary(version), config, theirs, host)
        except real_kubeadm.Refused as refused:
            return [f"kubeadm refuses it: {refused}"]
        before = set(real_kubeadm.walk(ours))
        done = subprocess.run([planekeeper, "reconcile", "--config", config, "--root", ours], text=True,
                              capture_output=True, timeout=300, env={"PATH": os.environ["PATH"]})
        if done.returncode != 0:
            said = [line for line in (done.stderr + done.stdout).splitlines() if not line.startswith("created ")]
            return [f"planekeeper exits with {done.returncode}: " + "\n      ".join(said)]
        return list(facts.differences(theirs_of(made), ours_of(ours, before, made)))


def theirs_of(made):
    ca = facts.cluster_ca(made.root)
    return {"objects": facts.objects(made.objects.values(), ca), **host_facts(made.root, made.paths, ca)}


def ours_of(root, before, made):
    ca = facts.cluster_ca(root)
    paths = [p for p in real_kubeadm.walk(root) if p not in before and not pathlib.PurePath(p).is_relative_to(OURS[0])
             and not pathlib.PurePath(p).is_relative_to(OURS[1]) and p not in ("etc", "var", "var/lib", "tmp")]
    texts = [p.read_text() for p in sorted((root / "cluster").rglob("*.yaml"))]
    objects = facts.objects(texts, ca)
    wanted = facts.objects(made.objects.values(), b"")
    return {"objects": {k: v for k, v in objects.items() if k in wanted}, **host_facts(root, paths, ca)}


def host_facts(root, paths, ca):
    """Modes of everything, and the meaning of each file that is no key."""
    files = {p: facts.file(p, (root / p).read_bytes(), ca) for p in paths if (root / p).is_file() and not p.endswith(".key")}
    return {"modes": {p: f"{(root / p).stat().st_mode & 0o7777:04o}" for p in paths}, "files": files}


def generated(seed, folder):
    """Writes the configuration of a number into `folder`."""
    text, patches = generate.Generator(seed).configuration()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text)
    for name, patch in patches.items():
        (folder / "patches").mkdir(exist_ok=True)
        (folder / "patches" / name).write_text(patch)
    return folder / "config.yaml"


def one(planekeeper, seed):
    with tempfile.TemporaryDirectory(prefix="against-") as scratch:
        config = generated(seed, pathlib.Path(scratch) / "config")
        return compare(planekeeper, config), config.read_text()


def main():
    parser = argparse.ArgumentParser(prog="hack/against-kubeadm")
    parser.add_argument("count", nargs="?", type=int, default=20, help="how many configurations (20)")
    parser.add_argument("--seed", type=int, help="the first one's number; a random one when left out")
    parser.add_argument("--config", type=pathlib.Path, help="compare on this file instead")
    parser.add_argument("--show", action="store_true", help="print the configurations too")
    parser.add_argument("--planekeeper", required=True, help="the binary")
    arguments = parser.parse_args()
    for version in ("1.34.4", "1.35.4", real_kubeadm.NEWEST):
        real_kubeadm.binary(version)
    if arguments.config:
        found = compare(arguments.planekeeper, arguments.config.resolve())
        print("\n".join(found) or "no difference")
        sys.exit(bool(found))
    first = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    seeds, failed = range(first, first + arguments.count), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for seed, (found, text) in zip(seeds, pool.map(lambda seed: one(arguments.planekeeper, seed), seeds)):
            failed += bool(found)
            print(f"configuration {seed}: {f'{len(found)} differences' if found else 'the same'}", flush=True)
            print("".join(f"    {line}\n" for line in found), end="")
            if arguments.show:
                print(text)
    print(f"{arguments.count} configurations, {failed} with differences (hack/against-kubeadm {arguments.count} --seed {first})")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
