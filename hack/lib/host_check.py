"""Whether this machine can boot test hosts. Each part is tried, in namespaces that end with the trial."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import cache
import cgroups

TOOLS = ("debootstrap", "ip", "nsenter", "unshare", "script", "mount", "pivot_root", "sysctl", "cc", "pkg-config", "go")


def reason():
    """The one thing that this machine lacks, in words; None where it lacks nothing."""
    if os.geteuid() != 0:
        return "it takes root"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"not installed: {', '.join(missing)} (hack/prerequisites installs them)"
    spaces = ["unshare", "--cgroup", "--pid", "--mount", "--uts", "--ipc", "--net", "--fork"]
    if refusal := refused([*spaces, "true"]):
        return f"the kernel refuses namespaces: {refusal}"
    if refusal := refused([*spaces, "ip", "link", "add", "up", "type", "veth", "peer", "name", "down"]):
        return f"the kernel refuses pairs of network interfaces: {refusal}"
    if refusal := refused([*spaces, "ip", "link", "add", "switch", "type", "bridge"]):
        return f"the kernel refuses a network bridge: {refusal}"
    return overlay(spaces) or groups()


def overlay(spaces):
    cache.FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.FOLDER) as scratch:
        for folder in ("lower", "upper", "work", "root"):
            pathlib.Path(scratch, folder).mkdir()
        options = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
        if refusal := refused([*spaces, "mount", "-t", "overlay", "-o", options, "overlay", f"{scratch}/root"]):
            return f"no overlay can be mounted in {cache.FOLDER}: {refusal}"
    return None


def groups():
    if not cgroups.hierarchies():
        return "no control groups are mounted below /sys/fs/cgroup"
    group = f"planekeeper-check-{os.getpid()}"
    try:
        cgroups.make(group)
    except OSError as error:
        return f"no control group can be made: {error}"
    finally:
        cgroups.remove(group)
    return None


def refused(command):
    """What a command says when it fails; None where it succeeds."""
    done = subprocess.run(command, text=True, capture_output=True)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
