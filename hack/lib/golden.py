"""hack/golden: makes tests/golden/CASE/expected with the real kubeadm, or checks it. See hack/golden and the README there."""
import argparse
import base64
import os
import pathlib
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import facts
import real_kubeadm

GOLDEN = real_kubeadm.HERE.parents[1] / "tests/golden"
KEY = re.compile(rb"(client-key-data: )\S+")


def case_kubeadm(case):
    chosen = case / "kubeadm"
    config = (case / "config.yaml").read_text()
    return chosen.read_text().strip() if chosen.exists() else real_kubeadm.version_for(config)


def generate(case, into):
    """Writes the golden of `case` into the folder `into`."""
    host = real_kubeadm.Host()
    folders = case / "ca-folders"
    if folders.exists():
        host.ca_folders = tuple(line.strip("/") for line in folders.read_text().split())
    with tempfile.TemporaryDirectory(prefix="planekeeper-golden-") as root:
        made = real_kubeadm.make(real_kubeadm.binary(case_kubeadm(case)), case / "config.yaml", root, host)
        into.mkdir(parents=True)
        for path in made.paths:
            keep(made.root / path, into / path)
        modes = "".join(f"{os.stat(made.root / p).st_mode & 0o7777:04o} {p}{'/' if (made.root / p).is_dir() else ''}\n"
                        for p in made.paths)
    (into / "modes.txt").write_text(modes)
    (into / "join.txt").write_text(made.join)
    (into / "host.txt").write_text(f"hostname: {host.name}\ndefault-address: {host.address}\n")
    (into / "ca-folders.txt").write_text("".join(f"/{folder}\n" for folder in host.ca_folders))
    (into / "cluster").mkdir()
    for name, text in made.objects.items():
        (into / "cluster" / name).write_text(text)


def keep(source, target):
    """Copies a file that kubeadm made; never a private key."""
    if source.is_dir() or source.suffix == ".key":
        return
    data = KEY.sub(rb"\1UFJJVkFURSBLRVk=", source.read_bytes())  # "PRIVATE KEY", so that it still is base64
    if b"PRIVATE KEY-----" in data:
        sys.exit(f"golden: {source} holds a private key under a name that does not say so; nothing stored")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def steady(tree):
    """A golden without what chance sets: file -> text or facts."""
    ca = facts.cluster_ca(tree)
    found = {}
    for path in sorted(p for p in tree.rglob("*") if p.is_file()):
        name, data = str(path.relative_to(tree)), path.read_bytes()
        if name.endswith((".crt", ".conf", "sa.pub")):
            found[name] = facts.file(name, data, ca)
        else:
            found[name] = data.decode().replace(base64.b64encode(ca).decode(), "CLUSTER-CA").splitlines()
    return found


def handle(case, check):
    """Makes or checks one case; returns the differences between what is stored and what kubeadm makes now."""
    with tempfile.TemporaryDirectory(prefix="planekeeper-golden-") as scratch:
        fresh = pathlib.Path(scratch) / "expected"
        try:
            generate(case, fresh)
        except real_kubeadm.Refused as refused:
            return [f"kubeadm refuses it: {refused}"]
        stored = case / "expected"
        found = list(facts.differences(steady(stored) if stored.exists() else {}, steady(fresh)))
        if found and not check:  # an unchanged golden stays as it is: no new keys and dates to review
            shutil.rmtree(stored, ignore_errors=True)
            shutil.copytree(fresh, stored)
        return found


def main():
    parser = argparse.ArgumentParser(prog="hack/golden", description="Makes the goldens with the real kubeadm.")
    parser.add_argument("--check", action="store_true", help="change nothing: say whether they still are what kubeadm makes")
    parser.add_argument("case", nargs="*", help="folders of tests/golden; without one, all")
    arguments = parser.parse_args()
    cases = [GOLDEN / name for name in arguments.case] or sorted(p.parent for p in GOLDEN.glob("*/config.yaml"))
    for case in cases:
        if not (case / "config.yaml").exists():
            parser.error(f"{case} has no config.yaml")
    for version in sorted({case_kubeadm(case) for case in cases}):
        real_kubeadm.binary(version)  # built one after the other, before anything runs at once
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, found in zip(cases, pool.map(lambda case: handle(case, arguments.check), cases)):
            refused = bool(found) and found[0].startswith("kubeadm refuses")
            bad = refused or (arguments.check and found)
            failed += bool(bad)
            print(f"{case.name}: {'DIFFERS' if bad else 'made' if found else 'as kubeadm makes it'}", flush=True)
            for line in found if bad else []:
                print(f"    {line}")
    print(f"{len(cases)} goldens, {failed} not as kubeadm makes them")
    sys.exit(1 if failed else 0)


main()
