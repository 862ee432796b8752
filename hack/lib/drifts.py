"""What may happen to a control plane behind planekeeper's back: each kind of drift, for each thing that it owns. For tests_drift.py."""
import ctypes
import json
import os
import pathlib
import re
import stat
import time

from node import Failed
from server import AWAY_MOST, Away, answered, place

KINDS_OF_FILE = ("delete", "edit", "truncate", "chmod", "chown", "link", "folder")
KINDS_OF_OBJECT = ("delete", "edit", "label")
SECONDS = 30  # no repair takes that long
SOMEBODY = 12345  # an owner
# To put these in place anew starts a component anew, which the kubelet does ever more slowly: they are not hammered.
RESTARTING = re.compile(r"/manifests/|/(controller-manager|scheduler)\.conf$")
PROTECTED = re.compile(r"/pki/(ca|front-proxy-ca|etcd/ca)\.(crt|key)$|/sa\.key$")  # nobody makes these anew
FOLDERS = ("/etc/kubernetes", "/etc/kubernetes/manifests", "/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd", "/etc/kubernetes/audit")
KUBELETS = ("config.yaml", "kubeadm-flags.env", "instance-config.yaml")
EDITS = {
    "ConfigMap": lambda object: {"data": {next(key for key in object["data"] if not key.startswith("jws")): "drift"}},
    "Secret": lambda object: {"data": {"usage-bootstrap-signing": "bm8="}},
    "Service": lambda object: {"spec": {"selector": {"k8s-app": "other"}}},
    "Deployment": lambda object: {"spec": {"replicas": 1}},
    "DaemonSet": lambda object: {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
    "Role": lambda object: {"rules": None}, "ClusterRole": lambda object: {"rules": None},
    "RoleBinding": lambda object: {"subjects": None}, "ClusterRoleBinding": lambda object: {"subjects": None},
    "Node": lambda object: {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "drift"}}},
}
LABELS = ("k8s-app", "node-role.kubernetes.io/control-plane")
BOOKKEEPING = ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation", "annotations", "ownerReferences")


def files(node):
    """The paths of all files that planekeeper owns on a host, but those that only the kubelet makes."""
    found = [f"{folder}/{path.name}" for folder in FOLDERS if node.path(folder).is_dir()
             for path in sorted(node.path(folder).iterdir()) if path.is_file() and not path.is_symlink()]
    return found + [f"/var/lib/kubelet/{name}" for name in KUBELETS]


def resource(path):
    """The id of the resource that a file belongs to."""
    name = pathlib.PurePath(path).name
    if path.endswith(".conf"):
        return f"kubeconfig:{name}"
    if "/sa." in path:
        return "keypair:sa"
    if path.endswith((".crt", ".key")):
        return f"certificate:{path.removeprefix('/etc/kubernetes/pki/').rsplit('.', 1)[0]}"
    return f"file:{path}"


class File:
    """A drift of a file."""

    def __init__(self, node, kind, path):
        self.what, self.kind, self.resource = f"{kind} {path}", kind, resource(path)
        self.path, self.is_text = node.path(path), resource(path).startswith(("file:", "keypair:"))

    def make(self):
        path, kind = self.path, self.kind
        self.before, self.bytes = path.stat(), path.read_bytes()
        self.spoilt = None
        if kind == "chmod":
            path.chmod(0o666 if self.before.st_mode & 0o777 != 0o666 else 0o600)
        elif kind == "chown":
            os.chown(path, SOMEBODY, SOMEBODY)
        elif kind in ("edit", "truncate"):
            self.spoilt = edited(self.bytes) if kind == "edit" else b""
            path.write_bytes(self.spoilt)
        elif kind == "delete":
            path.unlink()
        else:
            # In its place at once: planekeeper would be there in between.
            other = path.with_name(".drift")
            other.symlink_to("/etc/hostname") if kind == "link" else other.mkdir()
            exchange(path, other)
            other.unlink()

    def is_there(self):
        """It is as it was, apart from what chance makes: keys and serial numbers."""
        try:
            now = self.path.lstat()
            as_before = ("st_mode", "st_uid", "st_gid")
            if not stat.S_ISREG(now.st_mode) or any(getattr(now, name) != getattr(self.before, name) for name in as_before):
                return False
            bytes = self.path.read_bytes()
        except FileNotFoundError:
            return False
        if self.is_text or self.kind in ("chmod", "chown"):
            return bytes == self.bytes
        return len(bytes) > 200 and bytes != self.spoilt


def exchange(path, other):
    """Two names change places at once."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    if ctypes.CDLL(None, use_errno=True).renameat2(here, os.fsencode(path), here, os.fsencode(other), exchange) != 0:
        raise OSError(ctypes.get_errno(), f"{path} and {other} cannot change places")


def edited(bytes):
    """One letter of a value is another."""
    if (at := bytes.find(b"-----BEGIN ")) >= 0:
        at = bytes.index(b"\n", at) + 15
        return bytes[:at] + (b"B" if bytes[at:at + 1] == b"A" else b"A") + bytes[at + 1:]
    for old, new in ((b"system", b"sistem"), (b"kubernetes", b"cubernetes"), (b"unix", b"univ"), (b"level", b"lever"), (b'ARGS="', b'ARGS="--v=2 ')):
        if old in bytes:
            return bytes.replace(old, new, 1)
    raise Failed(f"there is nothing to edit in {bytes!r}")


class Object:
    """A drift of an object."""

    def __init__(self, server, kind, resource):
        self.what, self.kind, self.resource = f"{kind} {resource}", kind, resource
        self.server, self.path = server, place(resource)

    def make(self):
        self.before = answered(lambda: self.server.get(self.path))
        if self.before is None:
            raise Failed(f"there is no {self.resource}")
        answered(self.change)

    def change(self):
        if self.kind == "delete":
            self.server.delete(self.path)
        elif self.kind == "edit":
            self.server.patch(self.path, EDITS[self.before["kind"]](self.before))
        else:
            self.server.patch(self.path, {"metadata": {"labels": {label(self.before): None}}})

    def is_there(self):
        now = self.server.get(self.path)
        return now is not None and content(now) == content(self.before)


def label(object):
    """A label that planekeeper wants of an object, if it has one."""
    return next((name for name in LABELS if name in object["metadata"].get("labels", {})), None)


def content(object):
    """An object without what its server and its controllers write."""
    metadata = {name: value for name, value in object["metadata"].items() if name not in BOOKKEEPING}
    if object["kind"] == "Node":
        return {"labels": metadata["labels"], "taints": object["spec"].get("taints")}
    rest = {name: value for name, value in object.items() if name not in ("metadata", "status")}
    if object["kind"] == "ConfigMap":
        rest["data"] = {key: value for key, value in object["data"].items() if not key.startswith("jws-")}
    return {**rest, "metadata": metadata}


def objects(node, server):
    """The ids of all objects that planekeeper owns, but those that are not to be there."""
    status = json.loads(node.do("planekeeper", "status", "--output=json").stdout)
    ids = [seen["id"] for seen in status["status"]["resources"] if seen["id"].startswith("object:")]
    return [name for name in ids if answered(lambda: server.get(place(name)))]


def of_object(server, resource):
    """The kinds of drift that there are of an object."""
    object = answered(lambda: server.get(place(resource)))
    kinds = ["delete"] if object["kind"] != "Node" else []
    kinds += ["edit"] if object["kind"] in EDITS else []
    return kinds + (["label"] if label(object) else [])


def of_file(path, all=False):
    """The kinds of drift of a file that are repaired; where not `all`, without those that start a component anew."""
    if PROTECTED.search(path):
        return ["chmod"]
    if path.endswith("/sa.pub"):
        return ["delete", "chmod"]  # another key may be meant
    if RESTARTING.search(path) and not all:
        return ["chmod", "chown", "truncate"] if "/manifests/" in path else ["chmod", "chown"]
    return list(KINDS_OF_FILE)


def wait(drift):
    """Waits for the repair. While the API server is away no object is repaired: that time does not count, and has a bound of its own."""
    begun = answering = time.monotonic()
    while True:
        try:
            if drift.is_there():
                return
        except Away as away:
            answering = time.monotonic()
            if answering - begun > AWAY_MOST:
                raise Failed(f"not known whether it was repaired: {drift.what}: {away}") from away
        if time.monotonic() - answering > SECONDS:
            raise Failed(f"not repaired in {SECONDS} s: {drift.what}")
        time.sleep(0.01)
