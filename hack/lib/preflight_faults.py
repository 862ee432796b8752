"""Faults of a host, made for real, and under which identifiers the real kubeadm and planekeeper find them.

What kubeadm finds was measured. Swap, and what a kernel is like, are the whole machine's: a host only gets other files where programs
read of them. Not made are too little memory and a container runtime without RuntimeConfig.
"""
from dataclasses import dataclass, field

import cache
import network
from node import CONFIGURATION

PORTS = (6443, 10250, 10257, 10259, 2379, 2380)
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
COMMANDS = ("losetup", "mount", "cp")
COMMANDS_OF_OTHERS = ("ip", "iptables", "nsenter", "ebtables", "ethtool", "socat", "tc", "touch", "conntrack")  # kubeadm no longer asks
PROXY = "http://192.0.2.80:3128"


@dataclass
class Fault:
    """One or several faults of a host that can be there together.

    What is found under which identifier: the status, and words that planekeeper must say of it. kubeadm finds `both` and
    `theirs`, which counts where it is in both, planekeeper `both` and `ours`; neither finds anything else that is not found on a
    healthy host.
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
    there = "".join(f"grep --quiet ':{port:04X} .*:0000 0A' /proc/net/tcp* && " for port in ports)
    return f"for ((try = 0; try < 500; try++)); do {there}break; sleep 0.02; done\n"


SILENCE = "systemctl stop listeners\n"


def hide(*commands):
    """Takes commands out of the PATH until they are put back by `show`."""
    return "".join(f"path=$(command -v {command})\nmv $path $path.hidden\n" for command in commands)


def show(*commands):
    return "".join(f"for path in /usr/*bin/{command}.hidden; do mv $path ${{path%.hidden}}; done\n" for command in commands)


def systemd(now, then):
    """Renames what systemd is reached by, from one ending to another."""
    paths = ("/usr/bin/systemctl", "/run/dbus", "/run/systemd/private", "/run/systemd/system")
    return "".join(f"mv {path}{now} {path}{then}\n" for path in paths)


def lay(text, path):
    """Lays a text over a file of the kernel's, for umount(8) to take it away."""
    copy = f"/run/laid{path.replace('/', '-')}"
    return f"printf '{text}' >{copy}\nmount --bind {copy} {path}\n"


def write(value, *paths):
    return "".join(f"echo {value} >{path}\n" for path in paths)


def kubelet(version):
    """A kubelet of another version comes first in the PATH: one that can say its version, and no more."""
    return f"printf '#!/bin/sh\\necho Kubernetes v{version}\\n' >{OTHER_KUBELET}\nchmod +x {OTHER_KUBELET}\n"


OTHER_KUBELET = "/usr/local/sbin/kubelet"
NO_KUBELET = f"rm {OTHER_KUBELET}\n"
IPV4_FORWARD, IPV6_FORWARD = "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/default/forwarding"
BRIDGE, BRIDGE6 = "/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
DUAL_STACK = {"networking": "podSubnet: 10.244.0.0/16,fd00:10:244::/56\nserviceSubnet: 10.96.0.0/16,fd00:10:96::/112\n"}
CHOSEN = """\
etcd:
  local:
    dataDir: /srv/etcd
scheduler:
  extraArgs:
  - name: bind-address
    value: 127.0.0.2
apiServer:
  extraArgs:
  - name: bind-address
    value: 127.0.0.2
"""
ANOTHER = network.address(max(network.NUMBERS) + 1)  # that no host has
# What tells the controllers of control groups, as kubeadm decides it.
CONTROLLERS = "$(ls /sys/fs/cgroup/cgroup.controllers 2>/dev/null || echo /proc/cgroups)"
CTR = "ctr --namespace=k8s.io images"
IMAGE = f"registry.k8s.io/kube-scheduler:v{cache.NEWEST}"
LOSE_IMAGE = f"{CTR} tag {IMAGE} kept.example/image:1\n{CTR} remove --sync {IMAGE}\n"
FIND_IMAGE = f"{CTR} tag kept.example/image:1 {IMAGE}\n{CTR} remove kept.example/image:1\n"


def identifier(kind, path):
    """kubeadm's: a path with hyphens for slashes."""
    return f"{kind}-{path.replace('/', '-')}"


FAULTS = [
    Fault("what another control plane left: its ports, manifests and data",
          make=listen(*PORTS) + "mkdir -p /etc/kubernetes/manifests /var/lib/etcd/member\n"
          + "".join(f"touch /etc/kubernetes/manifests/{name}.yaml\n" for name in COMPONENTS),
          undo=SILENCE + "rm -r /etc/kubernetes/manifests /var/lib/etcd/member\n",
          both={f"Port-{port}": error("socat") for port in PORTS}
          | {identifier("FileAvailable", f"/etc/kubernetes/manifests/{name}.yaml"): error(f"{name}.yaml") for name in COMPONENTS}
          | {"DirAvailable--var-lib-etcd": error("/var/lib/etcd")}),
    Fault("a port where the configuration chose the address, and a file where it chose a folder", more={"cluster": CHOSEN},
          make=listen("6443,bind=127.0.0.1", "10259,bind=127.0.0.2") + "touch /srv/etcd\n", undo=SILENCE + "rm /srv/etcd\n",
          both={"Port-10259": error("socat"), "DirAvailable--srv-etcd": error("/srv/etcd")}),
    Fault("an address that another host has", make=f"sed -i 's/advertiseAddress: .*/advertiseAddress: {ANOTHER}/' {CONFIGURATION}\n",
          both={"Port-2379": error(ANOTHER), "Port-2380": error(ANOTHER)}),
    # Of swap kubeadm only warns, with a kubelet that will not start.
    Fault("swap, no forwarding, a proxy for everything, and a host name that cannot be resolved", below=("env", f"HTTPS_PROXY={PROXY}"),
          make=lay(r"Filename\tType\tSize\tUsed\tPriority\n/dev/zram0\tpartition\t1048572\t0\t-2\n", "/proc/swaps")
          + write(0, IPV4_FORWARD, BRIDGE) + "cp /etc/hosts /run/hosts\nsed -i \"s/$(hostname)/other/\" /etc/hosts\n",
          undo="umount /proc/swaps\ncp /run/hosts /etc/hosts\n" + write(1, IPV4_FORWARD, BRIDGE),
          both={"Swap": error("/dev/zram0"), identifier("FileContent", IPV4_FORWARD): error("0"), "HTTPProxy": warning(PROXY),
                "HTTPProxyCIDR": warning(PROXY, "10.96.0.0/12", "10.244.0.0/16"), "Hostname": warning("resolve")},
          ours={identifier("FileContent", BRIDGE): warning("0")},
          theirs={"Swap": warning()}),
    Fault("no forwarding of IPv6, and a proxy for its Pods", more=DUAL_STACK,
          below=("env", f"https_proxy={PROXY}", "no_proxy=10.0.0.0/8,fd00:10:96::/112"),
          make=write(0, IPV6_FORWARD, BRIDGE6), undo=write(1, BRIDGE6),
          both={identifier("FileContent", IPV6_FORWARD): error("0"), "HTTPProxyCIDR": warning(PROXY, "fd00:10:244::/56")},
          ours={identifier("FileContent", BRIDGE6): warning("0")}),
    Fault("commands that are not there, the kubelet among them", make=hide(*COMMANDS, *COMMANDS_OF_OTHERS, "kubelet"),
          undo=show(*COMMANDS, *COMMANDS_OF_OTHERS, "kubelet"),
          both={f"FileExisting-{command}": error(command) for command in COMMANDS}
          | {"KubeletVersion": error("kubelet"), "SystemVerification": warning("kubelet")},
          ours={"FileExisting-iptables": warning("iptables")}),
    Fault("services that are not enabled, and a firewall",
          make="systemctl disable --quiet kubelet containerd\n"
               "printf '[Service]\\nExecStart=/bin/sleep 1d\\n' >/run/systemd/system/firewalld.service\n"
               "systemctl daemon-reload\nsystemctl start firewalld\n",
          undo="systemctl stop firewalld\nrm /run/systemd/system/firewalld.service\n"
               "systemctl enable --quiet kubelet containerd\n",
          both={"Service-kubelet": warning("not enabled"), "Firewalld": warning("6443", "10250")},
          ours={"Service-containerd": warning("disabled")}),
    Fault("a kubelet without a service, and a container runtime that was stopped",
          make="systemctl stop containerd\nmv /usr/lib/systemd/system/kubelet.service /run/\nsystemctl daemon-reload\n",
          undo="mv /run/kubelet.service /usr/lib/systemd/system/\nsystemctl daemon-reload\nsystemctl start containerd\n",
          both={"CRI": error("containerd.sock"), "ContainerRuntimeVersion": error("containerd.sock"), "Service-kubelet": error("kubelet")},
          ours={"Service-containerd": error("inactive"), "ImagePull": error("containerd.sock")},
          theirs={"Service-kubelet": warning()}),
    Fault("no systemd", make=systemd("", ".hidden"), undo=systemd(".hidden", ""),
          both={"Firewalld": warning("systemd"), "Service-kubelet": error("systemd")},
          ours={"Service-containerd": warning("systemd")},
          theirs={"Service-kubelet": warning()}),
    Fault("a socket of the container runtime that is not there, and kube-proxy's IPVS in a kernel without it",
          more={"node": "criSocket: unix:///run/other.sock\n", "proxy": "mode: ipvs\n"},
          make="mkdir -p /run/no-modules\nmount --bind /run/no-modules /sys/module\n"
               "[ ! -e /proc/modules ] || mount --bind /dev/null /proc/modules\n",
          undo="umount /sys/module\n[ ! -e /proc/modules ] || umount /proc/modules\n",
          both={"CRI": error("/run/other.sock"), "ContainerRuntimeVersion": error("/run/other.sock")},
          ours={"ImagePull": error("/run/other.sock"), "RequiredIPVSKernelModulesAvailable": error("ip_vs")}),
    Fault("one processor, and a kernel that is too old and without what Kubernetes needs",
          below=("taskset", "--cpu-list", "0", "setarch", "--uname-2.6"),
          make=lay(r"2.6.78\n", "/proc/sys/kernel/osrelease")
          + "echo CONFIG_NAMESPACES=y >/boot/config-2.6.78\ngzip --stdout /boot/config-2.6.78 >/run/config.gz\n"
            "[ ! -e /proc/config.gz ] || mount --bind /run/config.gz /proc/config.gz\n"
            f"sed 's/^\\(pids.*\\)1$/\\10/; s/ pids//' {CONTROLLERS} >/run/controllers\nmount --bind /run/controllers {CONTROLLERS}\n",
          undo="umount /proc/sys/kernel/osrelease\n[ ! -e /proc/config.gz ] || umount /proc/config.gz\n"
               f"umount {CONTROLLERS}\nrm /boot/config-2.6.78\n",
          both={"NumCPU": error("1"), "SystemVerification": warning("2.6.78", "CONFIG_MEMCG", "pids")}),
    Fault("a kubelet that is too old", make=kubelet("1.33.9"), undo=NO_KUBELET, both={"KubeletVersion": error("1.33.9")}),
    Fault("a control plane that is older than the kubelet", more={"version": "1.36.3"},
          both={"KubeletVersion": error(cache.NEWEST, "1.36.3")}),
    # kubeadm's preflight pulls. planekeeper's changes nothing: what cannot be pulled, reconcile says.
    Fault("an image that is not there and cannot be pulled", make=LOSE_IMAGE, undo=FIND_IMAGE, theirs={"ImagePull": error()}),
    Fault("an image that is not there and may not be pulled", make=LOSE_IMAGE, undo=FIND_IMAGE,
          more={"node": "imagePullPolicy: Never\n"}, ours={"ImagePull": error(IMAGE)}),
    Fault("no default route, a kubelet of the minor before, and proxies for others",
          below=("env", f"HTTPS_PROXY={PROXY}", f"HTTP_PROXY={PROXY}", "NO_PROXY=10.0.0.0/8,.svc"),
          make=kubelet("1.36.3") + "ip -4 route flush default\nip -6 route flush default\n",
          undo=NO_KUBELET + "".join(f"ip route add default via {gateway}\n" for gateway in network.gateways())),
    Fault("a user that is not root", below=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
          both={"IsPrivilegedUser": error("root")}),
]
