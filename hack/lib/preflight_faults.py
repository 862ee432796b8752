"""Faults of a host, made for real, and under which identifiers the real kubeadm and planekeeper find them.

What kubeadm finds was measured: it is no guess. All faults but the last few are made and undone on one host, which is healthy in between.
What would touch the whole machine, or what its kernel does not let a host do, is laid over the file where every program reads
it: swap in /proc/swaps, missing controllers in /proc/cgroups, a kernel without an option in /proc/config.gz.
"""
from dataclasses import dataclass, field

import cache

PORTS = (6443, 10250, 10257, 10259, 2379, 2380)
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
COMMANDS = ("losetup", "mount", "cp")
COMMANDS_OF_OTHERS = ("ip", "iptables", "nsenter", "ebtables", "ethtool", "socat", "tc", "touch", "conntrack")  # kubeadm no longer asks
PROXY = "http://192.0.2.80:3128"


@dataclass
class Fault:
    """One or several faults of a host that can be there together.

    What is found under which identifier: the status, and words that planekeeper must say of it. kubeadm finds `both` and
    `theirs`, planekeeper `both` and `ours`, and neither finds anything else that it does not find on a healthy host.
    """
    name: str
    make: str = ":"  # bash, on the host
    undo: str = ":"
    more: dict = field(default_factory=dict)  # of the configuration, as in kubeadm_init.configuration
    below: tuple = ()  # the command that both are run by
    both: dict = field(default_factory=dict)
    ours: dict = field(default_factory=dict)
    theirs: dict = field(default_factory=dict)


def error(*words):
    return "error", words


def warning(*words):
    return "warning", words


def listen(*sockets):
    """Listens on ports, each given as socat has it, until `SILENCE`."""
    started = "".join(f"socat TCP-LISTEN:{socket},fork,reuseaddr EXEC:/bin/true & " for socket in sockets)
    ports = [int(str(socket).partition(",")[0]) for socket in sockets]
    return f"systemd-run --quiet --collect --unit=listeners sh -c '{started} wait'\n" + listening(*ports)


def listening(*ports):
    """Waits until somebody listens on all of them, over IPv4 or IPv6."""
    return "".join(f"for ((try = 0; try < 500; try++)); do grep --quiet ':{port:04X} .*:0000 0A' /proc/net/tcp* && break; sleep 0.02; done\n"
                   for port in ports)


SILENCE = "systemctl stop listeners\n"


def hide(*commands):
    return "".join(f"path=$(command -v {command})\nmv $path $path.hidden\n" for command in commands)


def show(*commands):
    return "".join(f"for path in /usr/*bin/{command}.hidden; do mv $path ${{path%.hidden}}; done\n" for command in commands)


def lay(text, path):
    """Lays a text over a file of the kernel's."""
    copy = f"/run/laid{path.replace('/', '-')}"
    return f"printf '{text}' >{copy}\nmount --bind {copy} {path}\n"


def write(value, *paths):
    return "".join(f"echo {value} >{path}\n" for path in paths)


def kubelet(version):
    """A kubelet of another version comes first in the PATH: one that can say its version."""
    return (f"printf '#!/bin/sh\\necho Kubernetes v{version}\\n' >/usr/local/sbin/kubelet\nchmod +x /usr/local/sbin/kubelet\n")


IPV4_FORWARD, IPV6_FORWARD = "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/default/forwarding"
BRIDGE, BRIDGE6 = "/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
DUAL_STACK = {"networking": "podSubnet: 10.244.0.0/16,fd00:10:244::/56\nserviceSubnet: 10.96.0.0/16,fd00:10:96::/112\n"}
CTR = "ctr --namespace=k8s.io images"
IMAGE = f"registry.k8s.io/kube-scheduler:v{cache.NEWEST}"
LOSE_IMAGE = f"{CTR} tag {IMAGE} kept.example/image:1\n{CTR} remove --sync {IMAGE}\n"
FIND_IMAGE = f"{CTR} tag kept.example/image:1 {IMAGE}\n{CTR} remove kept.example/image:1\n"
NO_KUBELET = "rm /usr/local/sbin/kubelet\n"


def identifier(kind, path):
    """kubeadm's: a path with hyphens for slashes."""
    return f"{kind}-{path.replace('/', '-')}"


FAULTS = [
    Fault("what another control plane left: its ports, manifests and data",
          make=listen(*PORTS) + "mkdir -p /etc/kubernetes/manifests /var/lib/etcd/member\n"
          + "".join(f"touch /etc/kubernetes/manifests/{name}.yaml\n" for name in COMPONENTS),
          undo=SILENCE + "rm -r /etc/kubernetes/manifests /var/lib/etcd/member",
          both={f"Port-{port}": error("socat") for port in PORTS}
          | {identifier("FileAvailable", f"/etc/kubernetes/manifests/{name}.yaml"): error(f"{name}.yaml") for name in COMPONENTS}
          | {"DirAvailable--var-lib-etcd": error("/var/lib/etcd")}),
    Fault("a port and a folder that the configuration chose", more={
              "cluster": "etcd:\n  local:\n    dataDir: /srv/etcd\n"
                         "scheduler:\n  extraArgs:\n  - name: bind-address\n    value: 127.0.0.2\n"
                         "apiServer:\n  extraArgs:\n  - name: bind-address\n    value: 127.0.0.2\n"},
          make=listen("6443,bind=127.0.0.1", "10259,bind=127.0.0.2") + "mkdir -p /srv/etcd/member\n",
          undo=SILENCE + "rm -r /srv/etcd",
          both={"Port-10259": error("socat"), "DirAvailable--srv-etcd": error("/srv/etcd")}),
    Fault("swap", make=lay(r"Filename\tType\tSize\tUsed\tPriority\n/dev/zram0\tpartition\t1048572\t0\t-2\n", "/proc/swaps"),
          undo="umount /proc/swaps", both={"Swap": warning("/dev/zram0")}),
    Fault("sysctls", make=write(0, IPV4_FORWARD, BRIDGE), undo=write(1, IPV4_FORWARD, BRIDGE),
          both={identifier("FileContent", IPV4_FORWARD): error("0")},
          ours={identifier("FileContent", BRIDGE): warning("0")}),
    Fault("sysctls of IPv6", more=DUAL_STACK, make=write(0, IPV6_FORWARD, BRIDGE6), undo=write(1, BRIDGE6),
          both={identifier("FileContent", IPV6_FORWARD): error("0")},
          ours={identifier("FileContent", BRIDGE6): warning("0")}),
    Fault("commands that are not there", make=hide(*COMMANDS, *COMMANDS_OF_OTHERS), undo=show(*COMMANDS, *COMMANDS_OF_OTHERS),
          both={f"FileExisting-{command}": error(command) for command in COMMANDS},
          ours={"FileExisting-iptables": warning("iptables")}),
    Fault("services that are not enabled, and a firewall",
          make="systemctl disable --quiet kubelet containerd\n"
               "printf '[Service]\\nExecStart=/bin/sleep 1d\\n' >/run/systemd/system/firewalld.service\n"
               "systemctl daemon-reload\nsystemctl start firewalld\n",
          undo="systemctl stop firewalld\nrm /run/systemd/system/firewalld.service\n"
               "systemctl enable --quiet kubelet containerd\n",
          both={"Service-kubelet": warning("not enabled"), "Firewalld": warning("6443", "10250")},
          ours={"Service-containerd": warning("disabled")}),
    Fault("services that are not there",
          make="systemctl stop containerd\nmv /usr/lib/systemd/system/kubelet.service /run/\nsystemctl daemon-reload\n",
          undo="mv /run/kubelet.service /usr/lib/systemd/system/\nsystemctl daemon-reload\nsystemctl start containerd\n",
          both={"CRI": error("containerd.sock"), "ContainerRuntimeVersion": error("containerd.sock"), "Service-kubelet": warning()},
          ours={"Service-containerd": error("inactive")}),
    Fault("a socket of the container runtime that is not there", more={"node": "criSocket: unix:///run/other.sock\n"},
          both={"CRI": error("/run/other.sock"), "ContainerRuntimeVersion": error("/run/other.sock")}),
    Fault("a proxy for everything", below=("env", f"HTTPS_PROXY={PROXY}"),
          both={"HTTPProxy": warning(PROXY), "HTTPProxyCIDR": warning(PROXY, "10.96.0.0/12", "10.244.0.0/16")}),
    Fault("a proxy for the Pods only", below=("env", f"https_proxy={PROXY}", "no_proxy=10.96.0.0/12,10.250.0.0/16"),
          both={"HTTPProxyCIDR": warning(PROXY, "10.244.0.0/16")}),
    Fault("proxies for nothing of the cluster's",
          below=("env", f"HTTPS_PROXY={PROXY}", f"HTTP_PROXY={PROXY}", "NO_PROXY=10.0.0.0/8,.svc")),
    Fault("a host name that cannot be resolved", make="cp /etc/hosts /run/hosts\nsed -i \"s/$(hostname)/other/\" /etc/hosts\n",
          undo="cp /run/hosts /etc/hosts\n", both={"Hostname": warning()}),
    Fault("one processor", below=("taskset", "--cpu-list", "0"), both={"NumCPU": error("1")}),
    Fault("a kernel that is too old", below=("setarch", "--uname-2.6"), make=lay(r"2.6.78\n", "/proc/sys/kernel/osrelease"),
          undo="umount /proc/sys/kernel/osrelease\n", both={"SystemVerification": warning("2.6.78")}),
    Fault("a kernel without what Kubernetes needs",
          make="echo CONFIG_NAMESPACES=y >/boot/config-$(uname -r)\ngzip --stdout /boot/config-$(uname -r) >/run/config.gz\n"
               "[ ! -e /proc/config.gz ] || mount --bind /run/config.gz /proc/config.gz\n",
          undo="rm /boot/config-$(uname -r)\n[ ! -e /proc/config.gz ] || umount /proc/config.gz\n",
          both={"SystemVerification": warning("CONFIG_MEMCG")}),
    Fault("a kernel that does not count processes",
          make="one=/proc/cgroups two=/sys/fs/cgroup/cgroup.controllers\n[ -e $two ] || two=$one\n"
               "sed 's/^\\(pids.*\\)1$/\\10/; s/ pids//' $two >/run/cgroups\nmount --bind /run/cgroups $two\n",
          undo="umount /sys/fs/cgroup/cgroup.controllers 2>/dev/null || umount /proc/cgroups\n",
          both={"SystemVerification": warning("pids")}),
    Fault("a kubelet that is not there", make=hide("kubelet"), undo=show("kubelet"),
          both={"KubeletVersion": error("kubelet"), "SystemVerification": warning("kubelet")}),
    Fault("a kubelet that is too old", make=kubelet("1.33.9"), undo=NO_KUBELET, both={"KubeletVersion": error("1.33.9")}),
    Fault("a kubelet of the minor before", make=kubelet("1.36.3"), undo=NO_KUBELET),
    Fault("a control plane that is older than the kubelet", more={"version": "1.36.3"}, both={"KubeletVersion": error("1.37.2", "1.36.3")}),
    Fault("a control plane of a release to come", more={"version": "1.38.0", "node": "imagePullPolicy: Never\n"},
          both={"KubernetesVersion": warning("1.38.0")}),
    # kubeadm's preflight pulls. planekeeper's changes nothing: what cannot be pulled, reconcile says.
    Fault("an image that is not there and cannot be pulled", make=LOSE_IMAGE, undo=FIND_IMAGE, theirs={"ImagePull": error()}),
    Fault("an image that is not there and may not be pulled", make=LOSE_IMAGE, undo=FIND_IMAGE,
          more={"node": "imagePullPolicy: Never\n"}, ours={"ImagePull": error(IMAGE)}),
    Fault("no default route", make="ip route delete default\n", undo="ip route add default via 10.250.0.1\n"),
    Fault("kube-proxy's IPVS in a kernel without it", more={"proxy": "mode: ipvs\n"}, ours={"RequiredIPVSKernelModulesAvailable": error("ip_vs")}),
    Fault("a user that is not root", below=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
          both={"IsPrivilegedUser": error("root")}),
]
