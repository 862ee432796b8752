"""A Debian root folder with what a Kubernetes node needs, made once with debootstrap.

It is the lowest layer of every test host, and kube-proxy's image takes its tools from it. The release is fixed, so that hosts
do not depend on the machine they run on: bookworm's systemd still works on cgroup v1.
"""
import re
import subprocess

import cache

RELEASE = "bookworm"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "mount", "kmod", "procps", "ca-certificates", "openssl", "iproute2", "iptables",
            "nftables", "ipset", "conntrack", "ebtables", "ethtool", "socat", "containernetworking-plugins", "dnsmasq-base")
MIRROR = "http://deb.debian.org/debian"


def root():
    """The path of the root folder. It is shared: nobody writes into it."""
    return cache.kept(f"debian-{RELEASE}-{cache.key(*PACKAGES)}", make)


def make(folder):
    cache.say(f"making a root folder of Debian {RELEASE}, a minute or two")
    cache.run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, folder, mirror()])
    cache.run(["chroot", folder, "apt-get", "clean"])


def mirror():
    """The Debian mirror that this machine's apt is configured with, or Debian's own."""
    listing = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    try:
        output = subprocess.run(listing, text=True, capture_output=True).stdout
    except FileNotFoundError:
        return MIRROR
    found = re.search(r"^Debian (\S+)$", output, re.M)
    return found[1] if found else MIRROR
