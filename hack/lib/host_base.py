"""What all test hosts share: the read-only layers of their root file system, and containerd's store with the images in it."""
import os
import shutil

import cache
import debian
import images

ROOT = cache.HACK / "lib/host-root"  # files of ours, as they lie on a host
PEERS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "etcdctl")
ENABLED = ("containerd", "kubelet")
# What a host in a container has no use for.
MASKED = ("systemd-logind.service", "systemd-udevd.service", "systemd-networkd.service", "systemd-resolved.service",
          "systemd-timesyncd.service", "console-getty.service", "getty.target", "remote-fs.target", "dev-hugepages.mount",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount", "apt-daily.timer",
          "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "systemd-tmpfiles-clean.timer")
UNITS = "usr/lib/systemd/system"


def layers(kubelet):
    """The layers of a host's root, the uppermost first. `kubelet` is the release of its kubelet."""
    return [programs_layer(kubelet), system_layer(), debian.root()]


def pause():
    """The reference of the image that kubeadm's newest release holds Pods with."""
    return next(reference for reference in images.archives(cache.NEWEST) if "/pause:" in reference)


def programs_layer(kubelet):
    """The kubelet of a release; kubeadm and kubectl of the newest."""
    def make(folder):
        programs = cache.kubernetes(cache.NEWEST, "kubeadm", "kubectl") + cache.kubernetes(kubelet, "kubelet")
        link(programs, folder / "usr/bin")
    return cache.kept(f"host-programs-{cache.NEWEST}-kubelet-{kubelet}", make)


def system_layer():
    """containerd and what it needs, the services, and the folders that the kernel or kubeadm expect."""
    def make(folder):
        link([cache.peers() / program for program in PEERS], folder / "usr/local/bin")
        for source in filter(lambda path: path.is_file(), ROOT.rglob("*")):
            write(folder / source.relative_to(ROOT), source.read_text().replace("@PAUSE@", pause()))
        for unit in ENABLED:
            symlink(folder / f"etc/systemd/system/multi-user.target.wants/{unit}.service", f"/{UNITS}/{unit}.service")
        for unit in MASKED:
            symlink(folder / f"etc/systemd/system/{unit}", "/dev/null")
        symlink(folder / "etc/systemd/system/default.target", f"/{UNITS}/multi-user.target")
        for path in ("var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "var/log/journal", "usr/lib/modules"):
            (folder / path).mkdir(parents=True, exist_ok=True)
    return cache.kept(f"host-system-{cache.key(ROOT, pause(), cache.peers().name, *MASKED)}", make)


def link(sources, folder):
    """The files, in a folder: the same inodes, for nobody writes into what the cache holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        os.link(source, folder / source.name)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def symlink(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def archives():
    """The archives of the newest release's images, and of those of KubeDNS."""
    return [*images.archives(cache.NEWEST).values(), *images.dns_archives().values()]


def store_name():
    """The name in the cache of containerd's folder with these images imported and unpacked."""
    return f"host-store-{cache.key(cache.peers().name, *(archive.parent.name for archive in archives()))}"


def copy_store(store, folder):
    """Gives a host containerd's folder as the store has it.

    Blobs and unpacked layers never change once they are there, so they are linked, which takes no time and no space. The
    databases and the rest are copied.
    """
    def copy(source, target):
        (os.link if "/blobs/" in source or "/snapshots/" in source else shutil.copy2)(source, target, follow_symlinks=False)
    shutil.copytree(store, folder, symlinks=True, copy_function=copy)
