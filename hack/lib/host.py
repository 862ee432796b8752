"""Test hosts: systemd, containerd and a kubelet in namespaces of their own. See hack/host for what they are.

    with Host.up("a") as host:
        host.run(["kubeadm", "version"], check=True)

A host is a folder in the cache (its disk), a control group and a network namespace, both called planekeeper-NAME. It lives on after
the process that booted it, and `Host(name)` finds it again. All that it mounts is in its own mount namespace, and goes with it.
"""
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time
import uuid

import cache
import cgroups
import host_base
import network

HOSTS = cache.FOLDER / "hosts"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "KUBECONFIG": "/etc/kubernetes/admin.conf"}
OFF_THE_OVERLAY = ("containerd", "kubelet", "etcd")
SECONDS_TO_BOOT = 90
INOTIFY_INSTANCES = 4096  # the kernel's 128 are too few for three hosts with a cluster on them


class HostError(Exception):
    """Why a host is not there or does not boot."""


class Host:
    """One host, by its name: a DNS label of at most forty characters."""

    def __init__(self, name):
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", name):
            raise HostError(f"{name!r} is no name for a host: at most forty of a-z, 0-9 and -, which neither begins nor ends it")
        self.name = name
        self.folder = HOSTS / name
        self.group = self.namespace = f"planekeeper-{name}"
        self.starter = None  # where this process booted the host: what it lives and ends below

    @classmethod
    def up(cls, name, kubelet=cache.NEWEST, images=True):
        """Boots a new host, with the release `kubelet` of the kubelet. A host of this name, or what is left of one, is removed."""
        host = cls(name)
        store = image_store() if images else None
        layers = host_base.layers(kubelet)
        with host.locked():
            host.remove()
            host.make_disk(layers, kubelet, store)
            host.boot()
        return host

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    @property
    def state(self):
        """What the host was made with: `number` (of its address), `kubelet` and `layers`."""
        try:
            return json.loads((self.folder / "host.json").read_text())
        except FileNotFoundError:
            raise HostError(f"there is no host {self.name}") from None

    @property
    def address(self):
        return network.address(self.state["number"])

    @property
    def address6(self):
        return network.address6(self.state["number"])

    @property
    def root(self):
        """The host's root folder, for this machine to read and write. It is the same path after a reboot."""
        self.process()
        return self.folder / "root"

    @property
    def running(self):
        with contextlib.suppress(HostError):
            return bool(self.process())
        return False

    def process(self):
        """The number by which this machine knows the host's process 1."""
        process = self.state.get("process")
        if process is None or not cgroups.holds(self.group, process):
            raise HostError(f"host {self.name} does not run")
        return process

    def command(self, words):
        """The command line by which this machine runs a command on the host. It ends with the host at the latest."""
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd"]
        enter = ["nsenter", f"--target={self.process()}", *spaces, "--", "/usr/bin/env", "-i", *environment, *map(str, words)]
        return cgroups.inside(f"{self.group}/outside", enter)

    def run(self, words, timeout=300, **options):
        """Runs a command on the host: subprocess.run with texts, which captures what is printed unless told otherwise.

        A command that takes more than `timeout` seconds is no longer waited for, but goes on, on the host.
        """
        if not {"stdout", "stderr", "capture_output"}.intersection(options):
            options["capture_output"] = True
        return subprocess.run(self.command(words), timeout=timeout, text=True, **options)

    def reboot(self):
        """Cuts the power and boots again. The disk and the address stay; nothing else does."""
        with self.locked():
            self.boot()

    def down(self):
        """Ends the host, and removes all that it was."""
        with self.locked():
            self.remove()
        network.remove_switch()

    def locked(self):
        return cache.locked(HOSTS / f".{self.name}.lock")

    def power_off(self):
        if left := cgroups.end(self.group):
            raise HostError(f"host {self.name}: the kernel does not let go of {left[0]}")
        if self.starter:
            self.starter.wait()
            self.starter = None

    def remove(self):
        number = self.state["number"] if (self.folder / "host.json").exists() else None
        self.power_off()
        network.unplug(self.namespace, number)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def make_disk(self, layers, kubelet, store):
        for folder in ("upper/etc/cni/net.d", "work", "mount", *OFF_THE_OVERLAY):
            (self.folder / folder).mkdir(parents=True)
        if store:
            (self.folder / "containerd").rmdir()
            host_base.copy_store(store, self.folder / "containerd")
        self.save({"number": None, "kubelet": kubelet, "layers": list(map(str, layers))})

    def save(self, state):
        partial = self.folder / "host.json.partial"
        partial.write_text(json.dumps(state))
        partial.rename(self.folder / "host.json")

    def boot(self):
        """Starts the host on its disk, in new namespaces and groups, and returns when it is up."""
        state = self.state
        self.power_off()
        state["number"] = network.plug_in(self.namespace, state["number"])
        self.save(state)
        self.configure_network(state["number"])
        cgroups.make(self.group)
        allow_watches()
        self.starter = self.start(state["layers"])
        state["process"] = self.first_process()
        self.save(state)
        root = self.folder / "root"
        root.unlink(missing_ok=True)
        root.symlink_to(f"/proc/{state['process']}/root")
        (self.folder / "pid").unlink()  # it goes on from here
        self.wait("systemd to be up", self.booted)

    def configure_network(self, number):
        """The files that depend on the host's name and address."""
        etc = self.folder / "upper/etc"
        if (etc / "hostname").exists():
            return  # a reboot: they are the host's own now
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{network.address(number)} {self.name}\n")
        (etc / "resolv.conf").write_text(f"nameserver {network.NO_NAME_SERVER}\n")
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (etc / "cni/net.d/10-pods.conflist").write_text(pod_network([network.pod_subnet(number)]))

    def start(self, layers):
        """Starts what becomes the host's process 1, below script(1), which gives it a terminal as its console."""
        (self.folder / "pid").unlink(missing_ok=True)
        mounts = "\n".join(f"{hierarchy.path} {hierarchy.kind} {hierarchy.options}" for hierarchy in cgroups.hierarchies())
        spaces = ["unshare", "--cgroup", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
        init = [cache.HACK / "lib/host-init", self.folder, ":".join(layers)]
        words = ["nsenter", f"--net=/run/netns/{self.namespace}", *spaces, *init]
        script = ["script", "--quiet", "--flush", "--append", "--command", shlex.join(map(str, words)), self.folder / "console.log"]
        return subprocess.Popen(
            cgroups.inside(f"{self.group}/host", script), env={"PATH": PATH, "SHELL": "/bin/sh", "CGROUPS": mounts},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def first_process(self):
        """The number of the host's process 1, once it is in its namespaces and alone in its group."""
        file = self.folder / "pid"
        self.wait("its process 1", lambda: file.exists() and file.read_text().endswith("\n"))
        process = int(file.read_text())
        # Only process 1 may be in the group that the host sees as its root: version 2 asks for that.
        for other in cgroups.processes(f"{self.group}/host") - {process}:
            cgroups.join(f"{self.group}/outside", other)
        return process

    def booted(self):
        active = ["systemctl", "is-active", "--quiet", "multi-user.target", "containerd"]
        return self.running and self.run(active, timeout=SECONDS_TO_BOOT).returncode == 0

    def wait(self, what, done):
        """Waits for a part of the boot; the host, and with it its starter, may end before it comes to that."""
        end = time.monotonic() + SECONDS_TO_BOOT
        while not done():
            if self.starter.poll() is not None or time.monotonic() > end:
                console = self.folder / "console.log"
                lines = console.read_text(errors="replace").splitlines() if console.exists() else []
                raise HostError("\n".join([f"host {self.name} does not boot: waited for {what}; its console:", *lines[-15:]]))
            time.sleep(0.05)

    def logs(self, folder):
        """Collects what tells why something failed on this host. What cannot be had is left out."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (console := self.folder / "console.log").exists():
            shutil.copy(console, folder / "console.log")
        if not self.running:
            return
        for name, words in {
            "journal": ["journalctl", "--no-pager"],
            "containerd": ["journalctl", "--no-pager", "--unit=containerd"],
            "kubelet": ["journalctl", "--no-pager", "--unit=kubelet"],
            "units": ["systemctl", "--no-pager", "--full", "status"],
            "containers": ["ctr", "--namespace=k8s.io", "containers", "list"],
            "tasks": ["ctr", "--namespace=k8s.io", "tasks", "list"],
            "images": ["ctr", "--namespace=k8s.io", "images", "list"],
            "processes": ["ps", "-eo", "pid,ppid,lstart,etime,rss,args"],
            "network": ["sh", "-c", "ip address; ip route; ss -ltnp"],
            "manifests": ["sh", "-c", "tail -n +1 /etc/kubernetes/manifests/*"],
        }.items():
            with open(folder / f"{name}.log", "w") as log:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.run(words, timeout=30, stdout=log, stderr=subprocess.STDOUT)
        pods = self.root / "var/log/pods"
        if pods.is_dir():
            shutil.copytree(pods, folder / "pods", dirs_exist_ok=True, ignore_dangling_symlinks=True)


def pod_network(subnets):
    """The configuration of a network whose Pods have an address of each subnet; the first is the one that is theirs."""
    default = {"10": "0.0.0.0/0", "fd": "::/0"}
    routes = [{"dst": default[subnet[:2]]} for subnet in subnets]
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets], "routes": routes}
    plugins = [{"type": "ptp", "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}, indent=2) + "\n"


def allow_watches():
    """Lets this machine's root have as many inotify instances as its hosts take; a containerd that gets none has no CRI."""
    limit = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < INOTIFY_INSTANCES:
        limit.write_text(str(INOTIFY_INSTANCES))


def hosts():
    """All hosts that there are, be they up or the rest of one."""
    return [Host(folder.name) for folder in sorted(HOSTS.glob("[!.]*")) if folder.is_dir()]


def image_store():
    """containerd's folder with the images in it, made once by a host that imports them."""
    name = host_base.store_name()

    def make(folder):
        cache.say("importing the images, once")
        with Host.up(name.removeprefix("host-"), images=False) as host:
            for archive in host_base.archives():
                with open(archive) as tar:
                    done = host.run(["ctr", "--namespace=k8s.io", "images", "import", "--local", "-"], stdin=tar)
                if done.returncode != 0:
                    raise HostError(f"{archive} cannot be imported: {done.stderr.strip()}")
            host.run(["systemctl", "stop", "containerd"], check=True)
            shutil.copytree(host.folder / "containerd", folder / "containerd", symlinks=True, copy_function=os.link)
    return cache.kept(name, make) / "containerd"
