"""The control groups of a test host, in every hierarchy that this machine has mounted, be they of version 1 or 2.

A host is a group with two children: `host`, which the host sees as its root, and `outside`, for the machine's processes that
have to do with it. Whatever runs for a host is found by its group, so nothing needs to be remembered to end it.
"""
import os
import pathlib
import signal
import time
from dataclasses import dataclass

SECONDS_TO_END = 20


@dataclass
class Hierarchy:
    path: pathlib.Path
    kind: str  # cgroup or cgroup2
    options: str  # what mounts the same hierarchy again


def hierarchies():
    """Those below /sys/fs/cgroup, where systemd and the kubelet look."""
    controllers = {line.split()[0] for line in pathlib.Path("/proc/cgroups").read_text().splitlines()[1:]}
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        path, (kind, _, options) = mount.split()[4], source.split()[:3]
        if kind == "cgroup2":
            found.append(Hierarchy(pathlib.Path(path), kind, "rw"))
        elif kind == "cgroup":
            chosen = [option for option in options.split(",") if option in controllers or option.startswith("name=")]
            none = ["none"] if not controllers.intersection(chosen) else []
            found.append(Hierarchy(pathlib.Path(path), kind, ",".join(none + chosen)))
    return [hierarchy for hierarchy in found if hierarchy.path.is_relative_to("/sys/fs/cgroup")]


def make(group):
    """Makes the host's group and its two children."""
    for hierarchy in hierarchies():
        delegate(hierarchy, hierarchy.path)
        for path in (group, f"{group}/host", f"{group}/outside"):
            (hierarchy.path / path).mkdir(exist_ok=True)
            delegate(hierarchy, hierarchy.path / path) if path == group else inherit(hierarchy.path / path)


def delegate(hierarchy, path):
    """Lets the children of a group have what it has."""
    inherit(path)
    if hierarchy.kind == "cgroup2":
        for controller in (path / "cgroup.controllers").read_text().split():
            write(path / "cgroup.subtree_control", f"+{controller}")


def inherit(path):
    """A new group of version 1 has no processors and no memory until it is given some."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = path / name
        if (path.parent / "cgroup.procs").exists() and file.exists() and not file.read_text().strip():
            write(file, (path.parent / name).read_text())


def join(group, process):
    """Moves a process into a group. One that has ended meanwhile is no error."""
    for hierarchy in hierarchies():
        write(hierarchy.path / group / "cgroup.procs", str(process))


def inside(group, words):
    """The command line that runs another one in a group."""
    files = " ".join(f"{hierarchy.path}/{group}/cgroup.procs" for hierarchy in hierarchies())
    join_all = 'for file in $1; do echo $$ >"$file"; done 2>/dev/null; shift; exec "$@"'
    return ["/bin/sh", "-c", join_all, "cgroups.inside", files, *map(str, words)]


def write(path, text):
    try:
        path.write_text(text)
    except OSError:
        pass  # a controller that this machine keeps for itself, or a process that is gone


def processes(group):
    """The numbers of the processes in a group and below it."""
    found = set()
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy.path / group):
            try:
                found.update(map(int, (pathlib.Path(folder) / "cgroup.procs").read_text().split()))
            except OSError:
                pass  # the group went while it was read
    return found


def holds(group, process):
    """Whether a process that the machine knows by this number is in the group or below it."""
    try:
        lines = pathlib.Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(pathlib.PurePath(line.split(":", 2)[2]).is_relative_to(f"/{group}") for line in lines)


def end(group):
    """Kills all that runs in a group, and removes it. Returns what could not be removed."""
    for _ in range(SECONDS_TO_END * 20):
        for process in processes(group) - {os.getpid()}:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not (left := remove(group)):
            return []
        time.sleep(0.05)
    return left


def remove(group):
    left = []
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy.path / group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                left.append(folder)
    return left
