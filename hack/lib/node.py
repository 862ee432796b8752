"""A test host that planekeeper looks after, and what a test wants to know of it."""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import time

import kubeadm_init
from host import Host

CONFIGURATION = "/etc/planekeeper/cluster.yaml"  # where planekeeper looks when it is told nothing
# What the kubelet itself writes in its folder.
KUBELETS_OWN = {"actuated_pods_state", "allocated_pods_state", "checkpoints", "cpu_manager_state", "device-plugins", "dra_manager_state",
                "image_manager", "memory_manager_state", "plugins", "plugins_registry", "pod-resources", "pods", "pods-api"}
KUBELETS_STAGING = re.compile(r"\.\d+")  # what it writes these under, before they are renamed
# Everything of which planekeeper makes objects.
KINDS = "nodes,configmaps,secrets,serviceaccounts,services,deployments,daemonsets,roles,rolebindings,clusterroles,clusterrolebindings"
# Pods of a cluster with one control plane: etcd, three of Kubernetes, kube-proxy, two of CoreDNS.
PODS = 7
SECONDS_FOR_A_RUN = 600  # none takes that long, on a machine that has other work too
SECONDS_TO_BE_READY = 400


class Failed(Exception):
    """What a user relies on does not hold."""


def expect(holds, why):
    """Goes on if it holds."""
    if not holds:
        raise Failed(why)


def said(text, *named):
    """Goes on if a text has all these words in it."""
    for words in named:
        expect(words in text, f"nothing is said of {words!r}:\n{text}")


class Node(Host):
    """A host with a planekeeper. All commands of a test and what they answered are in `transcript`."""

    def __init__(self, name):
        super().__init__(name)
        self.transcript = []

    def configure(self, address=None, **more):
        """Gives planekeeper, or a kubeadm that comes before it, its configuration; `address` is its own unless told otherwise, `more` as in
        kubeadm_init.configuration."""
        path = self.path(CONFIGURATION)
        path.parent.mkdir(exist_ok=True)
        path.write_text(kubeadm_init.configuration(address or self.address, **more))

    def install(self, planekeeper):
        shutil.copy(planekeeper, self.path("/usr/local/bin/planekeeper"))

    def path(self, path):
        """A path of the host, for this machine to read and write."""
        return self.root / path.lstrip("/")

    def text(self, path):
        """What a file of the host says now; nothing where it is not there, as a manifest that is being swapped."""
        try:
            return self.path(path).read_text()
        except FileNotFoundError:
            return ""

    def do(self, *words, exit=0, timeout=SECONDS_FOR_A_RUN):
        """Runs a command that has to end with this exit code in time; returns what subprocess.run does."""
        done = self.tried(*words, timeout=timeout)
        expect(done.returncode == exit, f"{' '.join(words)}: exit code {done.returncode}, not {exit}:\n{last(done.stdout)}{last(done.stderr)}")
        return done

    def tried(self, *words, timeout=SECONDS_FOR_A_RUN):
        """Runs a command that has to end in time, with whichever exit code."""
        begun = time.monotonic()
        try:
            done = self.run(words, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.transcript.append(f"$ {' '.join(words)}\nnot done after {timeout} s\n")
            raise Failed(f"{' '.join(words)}: not done after {timeout} s") from None
        seconds = time.monotonic() - begun
        self.transcript.append(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}exit code {done.returncode} after {seconds:.1f} s\n")
        return done

    def reconcile(self, *flags, exit=0, **options):
        return self.do("planekeeper", "reconcile", *flags, exit=exit, **options)

    def start_reconcile(self):
        """Starts a run, and goes on."""
        return self.begin("planekeeper", "reconcile")

    def begin(self, *words):
        """Starts a command, and goes on; all that it prints is its standard output."""
        return subprocess.Popen(self.command(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def kubectl(self, *words):
        """What kubectl answers, with the credentials of admin.conf."""
        return self.do("kubectl", *words).stdout

    def objects(self, kinds):
        return json.loads(self.kubectl("get", kinds, "--all-namespaces", "--output=json", "--show-managed-fields"))["items"]

    @contextlib.contextmanager
    def watched(self):
        """Keeps the host by a watch for as long as this lasts."""
        watch = self.begin("planekeeper", "watch")
        try:
            yield
        finally:
            self.do("pkill", "-TERM", "-x", "planekeeper")  # nsenter, which has begun it, tells it nothing
            self.transcript.append(watch.communicate(timeout=30)[0])

    def wait_until_ready(self, nodes=1, pods=PODS):
        """Waits until so many nodes, and at least so many Pods of kube-system, are Ready, all of them."""
        self.wait_for("all nodes and Pods to be Ready", lambda: self.not_ready(nodes, pods))

    def not_ready(self, nodes, pods):
        """What is not Ready; empty if all is."""
        kinds = "nodes,pods" if pods else "nodes"
        # An API server that has lost its etcd lets a request wait for a minute.
        done = self.run(["kubectl", "get", kinds, "--namespace=kube-system", "--output=json", "--request-timeout=10s"], timeout=60)
        if done.returncode != 0:
            return last(done.stderr)
        seen = json.loads(done.stdout)["items"]
        for kind, count in (("Node", nodes), ("Pod", pods)):
            if (there := sum(object["kind"] == kind for object in seen)) < count:
                return f"{there} of {count} {kind}s are there"
        return ", ".join(object["metadata"]["name"] for object in seen if not ready(object))

    def wait_until_led(self):
        """Waits until the controller manager and the scheduler have renewed their Leases once more, or others that were started in their
        place have: who cannot for ten seconds, because the API server is away, ends by itself, which may be after that is back."""
        words = ("get", "leases", "kube-controller-manager", "kube-scheduler", "--namespace=kube-system")
        renewed = lambda: self.kubectl(*words, "--output=jsonpath={.items[*].spec.renewTime}").split()
        first = renewed()
        self.wait_for("both Leases to be renewed", lambda: len({*first, *renewed()}) < 2 * len(first) and "one is as before")

    def wait_for(self, what, missing, seconds=SECONDS_TO_BE_READY):
        """Waits until `missing` says that nothing is missing."""
        end = time.monotonic() + seconds
        while why := missing():
            expect(time.monotonic() < end, f"waited {seconds} s for {what}: {why}")
            time.sleep(0.3)

    def files(self, *folders):
        """What the file system says of all files and folders below these: a write shows in one of these."""
        found = {}
        for folder in folders:
            root = self.path(folder)
            for directory, names, files in os.walk(root):
                if folder == "/var/lib/kubelet" and pathlib.Path(directory) == root:
                    names[:] = set(names) - KUBELETS_OWN
                    files = {name for name in files if name not in KUBELETS_OWN and not KUBELETS_STAGING.fullmatch(name)}
                else:
                    files = [".", *files]
                for name in files:
                    path = pathlib.Path(directory, name)
                    seen = path.lstat()
                    found["/" + str(path.relative_to(self.root))] = {
                        "inode": seen.st_ino, "mode": stat.filemode(seen.st_mode), "owner": (seen.st_uid, seen.st_gid),
                        "size": seen.st_size, "modified": seen.st_mtime_ns, "changed": seen.st_ctime_ns}
        return found

    def containers(self):
        """The processes of all containers, by the id of the container: a restart makes another container."""
        names = self.do("ctr", "--namespace=k8s.io", "tasks", "list", "--quiet").stdout.split()
        processes = {name: self.run(["ctr", "--namespace=k8s.io", "tasks", "ps", name]) for name in names}
        # One that was listed may have ended since.
        return {name: shown.stdout.split()[2] for name, shown in processes.items() if shown.returncode == 0}

    def kubelet(self):
        """The number of the kubelet's process."""
        return self.do("systemctl", "show", "--property=MainPID", "--value", "kubelet").stdout.strip()

    def applied(self):
        """All that the API server knows of what planekeeper wrote, and when: the entries of its name in managedFields."""
        ours = {}
        for object in self.objects(KINDS):
            entries = [entry for entry in object["metadata"].get("managedFields", []) if entry["manager"] == "planekeeper"]
            ours[identity(object)] = {"generation": object["metadata"].get("generation"), "entries": entries}
        return {name: seen for name, seen in ours.items() if seen["entries"]}

    def versions(self):
        """The resourceVersion of all objects that do not move by themselves: any write of anybody changes it."""
        still = [object for object in self.objects(KINDS) if object["kind"] not in ("Node", "Deployment", "DaemonSet")]
        return {identity(object): object["metadata"]["resourceVersion"] for object in still}

    def identity_keys(self):
        """Digests of what may never change: the CAs and the key pair of service accounts, as far as they are there."""
        folder = self.path("/etc/kubernetes/pki")
        names = [f"{place}ca.{end}" for place in ("", "etcd/", "front-proxy-") for end in ("crt", "key")] + ["sa.key"]
        digests = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        return digests

    def logs(self, folder):
        super().logs(folder)
        (pathlib.Path(folder) / "transcript.log").write_text("\n".join(self.transcript))


def ready(object):
    """A Node or a Pod is Ready."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in object["status"].get("conditions", []))


def identity(object):
    metadata = object["metadata"]
    return "/".join(filter(None, (object["kind"], metadata.get("namespace"), metadata["name"])))


def differences(before, after):
    """The keys under which two snapshots differ, with both values."""
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return "\n".join(f"{key}: {before.get(key, 'not there')} -> {after.get(key, 'not there')}" for key in keys)


def last(text, lines=15):
    """The last lines of what a command printed."""
    return "".join(f"{line}\n" for line in text.splitlines()[-lines:])
