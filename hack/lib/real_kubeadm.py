"""Runs the real kubeadm on a configuration and gives back everything that it makes, without touching this host.

`kubeadm init` runs in an empty folder of its own (its --rootfs, a chroot), twice:
1. for the files: the real phases that write files, so paths, modes and bytes are kubeadm's own. What needs a cluster is
   skipped; there is no init system in the folder, so no kubelet is started or stopped.
2. for the API objects: a dry run, which prints each object that it would create.
"""
import base64
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import cache
import yaml

HERE = pathlib.Path(__file__).resolve().parent
NEWEST = cache.NEWEST
NEEDS_A_CLUSTER = ("preflight,wait-control-plane,upload-config,upload-certs,mark-control-plane,bootstrap-token,"
                   "kubelet-finalize,addon,show-join-command").split(",")
CA_FOLDERS = ("etc/pki/ca-trust", "etc/pki/tls/certs", "etc/ca-certificates", "usr/share/ca-certificates",
              "usr/local/share/ca-certificates")
TOKEN = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")


@dataclass
class Host:
    """What kubeadm takes from the machine it runs on."""
    name: str = "golden"
    address: str = "192.0.2.10"
    ca_folders: tuple = CA_FOLDERS[2:]  # as on Debian


@dataclass
class Made:
    """What kubeadm made. Paths are relative to the root folder."""
    root: pathlib.Path
    paths: list = field(default_factory=list)  # every file and folder that kubeadm made
    objects: dict = field(default_factory=dict)  # file name -> text
    join: str = ""


class Refused(Exception):
    """kubeadm refused the configuration; the message is kubeadm's."""


def binary(version):
    """The path of kubeadm of a release, built when missing."""
    return subprocess.run([HERE.parent / "kubernetes", version, "kubeadm"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def version_for(config_text):
    """The kubeadm that planekeeper follows for a configuration: see tests/golden/README.md."""
    wanted = re.search(r"^kubernetesVersion:\s*[\"']?v?1\.(\d+)\.", config_text, re.M)
    return {"34": "1.34.4", "35": "1.35.4"}.get(wanted[1], NEWEST) if wanted else NEWEST


def make(kubeadm, config, root, host):
    """Runs `kubeadm` on the file `config` (its folder may hold `patches/`), with `root` as the host's root folder."""
    made = Made(pathlib.Path(root))
    documents = [d for d in yaml.safe_load_all(config.read_text()) if d]
    prepare(made.root, config, host)
    before = walk(made.root)
    skip = [phase for d in documents for phase in d.get("skipPhases") or []]
    run(kubeadm, made.root, host, "--skip-phases", ",".join(NEEDS_A_CLUSTER + skip))
    made.paths = [path for path in walk(made.root) if path not in before]
    with tempfile.TemporaryDirectory(prefix="kubeadm-dry-run-") as scratch:
        prepare(pathlib.Path(scratch), config, host)
        output = run(kubeadm, pathlib.Path(scratch), host, "--dry-run", "--skip-phases", ",".join(["preflight"] + skip))
    for text in created(output):
        text = steady_token(text, config.read_text())
        text = with_the_files_ca(text, made)
        made.objects[object_file(text)] = text
    node = node_object(output, made)
    if node:
        made.objects[object_file(node)] = node
    made.join = join_commands(output)
    return made


def prepare(root, config, host):
    """Lays out the empty host: only what kubeadm reads from it."""
    for folder in ("etc", "var/lib", "tmp", "proc/net", *host.ca_folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # The routing table as Linux shows it: the default route goes out where stage.py has put the address.
    (root / "proc/net/route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "lo\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
    shutil.copy(config, root / "config.yaml")
    patches = config.parent / "patches"
    if patches.is_dir():  # kubeadm works in / after its chroot, so a relative folder of patches lies there
        shutil.copytree(patches, root / "patches", dirs_exist_ok=True)


def run(kubeadm, root, host, *arguments):
    """Runs `kubeadm init` in `root`; returns what it prints."""
    spaces = ["unshare", "--uts", "--net"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    stage = [sys.executable, str(HERE / "stage.py"), host.name, host.address]
    command = [kubeadm, "init", "--rootfs", str(root), "--config", "/config.yaml", *arguments]
    done = subprocess.run(spaces + stage + command, text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        raise Refused((done.stderr or done.stdout).strip())
    return done.stdout


def walk(root):
    """Every path below `root`, sorted."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def created(output):
    """The objects that the dry run would create, as kubeadm prints them."""
    verb, lines = None, None
    for line in output.splitlines() + ["["]:
        if line.startswith(("[", "Your Kubernetes control-plane")):
            if lines and verb in ("CREATE", "UPDATE"):
                yield "\n".join(lines).rstrip("\n") + "\n"
            lines = None
        action = re.match(r"\[dryrun\] Would perform action (\w+) on resource", line)
        if action:
            verb = action[1]
        elif line.startswith("[dryrun] Attached object"):
            lines = []
        elif lines is not None:
            lines.append(line)


def object_file(text):
    """The name of an object's file: Kind.namespace.name.yaml, with a colon of a name as an underscore."""
    kind = re.search(r"^kind: (\S+)", text, re.M)[1]
    metadata = re.search(r"^metadata:\n((?: .*\n)+)", text, re.M)[1]
    name, namespace = (re.search(rf"^  {key}: (\S+)", metadata, re.M) for key in ("name", "namespace"))
    parts = [kind, *([namespace[1]] if namespace else []), name[1], "yaml"]
    return ".".join(parts).replace(":", "_")


def encode(text):
    return base64.b64encode(text.encode()).decode()


def steady_token(text, config_text):
    """A bootstrap token's Secret without what the clock or chance puts there.

    An end that follows from a ttl reads `now+SECONDSs`; a token that kubeadm made up is called `random`.
    """
    if "\ntype: bootstrap.kubernetes.io/token" not in text:
        return text

    def end(match):
        value = base64.b64decode(match[1]).decode()
        at = time.mktime(time.strptime(value, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        left = at - time.time()
        given = any(str(t)[:16] in value.replace("T", " ") for t in expiries(config_text))
        return match[0] if given else "expiration: " + encode(f"now+{round(left / 60) * 60}s")

    text = re.sub(r"expiration: (\S+)", end, text)
    token_id = base64.b64decode(re.search(r"token-id: (\S+)", text)[1]).decode()
    if token_id not in config_text:
        text = text.replace(token_id, "random")
        text = re.sub(r"(token-id|token-secret): \S+", lambda m: f"{m[1]}: {encode('random')}", text)
    return text


def expiries(config_text):
    """The ends of tokens that a configuration gives as moments."""
    for document in yaml.safe_load_all(config_text):
        for token in (document or {}).get("bootstrapTokens") or []:
            if token.get("expires"):
                yield token["expires"]


def with_the_files_ca(text, made):
    """The dry run makes up a CA of its own: the objects shall carry the one that lies among the files."""
    ca = next((made.root / p for p in made.paths if p.endswith("/ca.crt") and not p.endswith("etcd/ca.crt")), None)
    if not ca:
        return text
    data = base64.b64encode(ca.read_bytes()).decode()
    return re.sub(r"(certificate-authority-data: )\S+", lambda m: m[1] + data, text)


def node_object(output, made):
    """What kubeadm would patch into the Node. The dry run says so in words only."""
    name = re.search(r"action PATCH on resource \"nodes\".*\n.*Resource name \"([^\"]+)\"", output)
    if not name:
        return None
    metadata, node = {"name": name[1]}, {"apiVersion": "v1", "kind": "Node"}
    labels = re.search(r"as control-plane by adding the labels: \[([^\]]*)\]", output)
    if labels:
        metadata["labels"] = dict((label.split("=") + [""])[:2] for label in labels[1].split())
    taints = re.search(r"as control-plane by adding the taints \[([^\]]*)\]", output)
    if taints and taints[1]:
        node["spec"] = {"taints": [taint(text) for text in taints[1].split()]}
    # The first phase that patches the Node is upload-config, where the CRI socket is kept on the Node (up to 1.35, on wish).
    if name.start() < (labels.start() if labels else len(output)):
        flags = (made.root / "var/lib/kubelet/kubeadm-flags.env").read_text()
        cri = re.search(r"--container-runtime-endpoint=([^\s\"]+)", flags)
        metadata["annotations"] = {"kubeadm.alpha.kubernetes.io/cri-socket": cri[1]}
    return yaml.safe_dump({**node, "metadata": metadata})


def taint(text):
    """A taint from kubeadm's `key=value:effect`."""
    key, _, effect = text.rpartition(":")
    key, _, value = key.partition("=")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def join_commands(output):
    """The join commands that kubeadm prints, with the token and the hash masked, one a line."""
    commands, lines = [], output.splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("kubeadm join "):
            words = line
            while words.rstrip().endswith("\\"):
                number += 1
                words = words.rstrip().rstrip("\\") + lines[number]
            commands.append(re.sub(r"sha256:[0-9a-f]{64}", "HASH", TOKEN.sub("TOKEN", " ".join(words.split()))))
    return "".join(command + "\n" for command in commands)


def this_host():
    """The machine that this runs on, as far as kubeadm looks at it."""
    return Host(name=socket.gethostname(), ca_folders=tuple(f for f in CA_FOLDERS if os.path.isdir("/" + f)))
