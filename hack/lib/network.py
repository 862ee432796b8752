"""The network of the test hosts: a switch that this machine and the hosts are plugged into, and nothing else.

The switch is a bridge in a network namespace of its own, so that no firewall of the machine stands between two hosts. The plug of a
host is called after its address; as the kernel knows no two of a name, the plugs are also the list of the addresses in use.
"""
import pathlib
import subprocess

import cache

SWITCH, MACHINE = "planekeeper", "planekeeper0"
PREFIX, PREFIX6 = "10.250.0.", "fd00:10:250::"
NUMBERS = range(10, 50)  # of hosts: the end of their addresses, the part before that of those of their Pods
IPV6 = pathlib.Path("/proc/sys/net/ipv6").exists()  # without it hosts have one address
NO_NAME_SERVER = "192.0.2.53"  # hosts have no route there: a name that is not the cluster's is refused at once
LOCK = pathlib.Path("/run/lock/planekeeper-network.lock")  # addresses are the machine's, not a cache folder's


class NetworkError(Exception):
    """What ip(8) refused to do."""


def address(number):
    return f"{PREFIX}{number}"


def address6(number):
    return f"{PREFIX6}{number}"


def gateways():
    """The machine, to which all goes that is for no host: its address of each family."""
    return (address(1), address6(1)) if IPV6 else (address(1),)


def pod_subnet(number):
    return f"10.244.{number}.0/24"


def pod_subnet6(number):
    return f"fd00:10:244:{number}::/64"


def plug_in(namespace, number=None):
    """Makes a network namespace with an address of each family on the switch, and returns the number of the addresses.

    Without a number it is the first that is free. A namespace of this name is made anew. The Pods of every other host are routed
    to that host.
    """
    with cache.locked(LOCK):
        make_switch()
        remove_plug(namespace, number)
        if number is None:
            taken = plugs()
            number = next((number for number in NUMBERS if number not in taken), None)
        if number is None:
            raise NetworkError(f"all {len(NUMBERS)} addresses for hosts are taken")
        ip(f"netns add {namespace}")
        ip(f"-n {SWITCH} link add h{number} master bridge type veth peer name eth0 address 02:00:0a:fa:00:{number:02x} "
           f"netns {namespace}")
        ip(f"-n {SWITCH} link set h{number} up")
        ip(f"-n {namespace} -batch -", "\n".join(["link set lo up", *settings(number)]))
    return number


def settings(number):
    """What ip(8) is to do in the namespace of a host: addresses, and the ways to the machine and to the Pods of every other host."""
    others = [other for other in NUMBERS if other != number]
    yield from (f"address add {address(number)}/24 dev eth0", "link set eth0 up", f"route add default via {address(1)}",
                f"route add unreachable {NO_NAME_SERVER}", *(f"route add {pod_subnet(other)} via {address(other)}" for other in others))
    if IPV6:  # an address that is asked for at once: nobody waits until no other host has it
        yield from (f"address add {address6(number)}/64 dev eth0 nodad", f"route add default via {address6(1)}",
                    *(f"route add {pod_subnet6(other)} via {address6(other)}" for other in others))


def make_switch():
    """The switch, whole: its last step is what makes it count."""
    make_switch_parts()
    if IPV6:
        ip(f"address replace {address6(1)}/64 dev {MACHINE} nodad")


def make_switch_parts():
    if f"{address(1)}/24" in subprocess.run(["ip", "-4", "address", "show", "up", "dev", MACHINE], text=True, capture_output=True).stdout:
        return
    remove_switch_parts()
    ip(f"netns add {SWITCH}")
    ip(f"-n {SWITCH} link add bridge type bridge")
    ip(f"-n {SWITCH} link set bridge up")
    ip(f"link add {MACHINE} type veth peer name machine netns {SWITCH}")
    ip(f"-n {SWITCH} link set machine master bridge up")
    ip(f"address add {address(1)}/24 dev {MACHINE}")
    ip(f"link set {MACHINE} up")


def plugs():
    """The numbers of the addresses in use."""
    listing = ip(f"-n {SWITCH} -brief link show type veth")
    names = [line.split("@")[0] for line in listing.splitlines()]
    return {int(name[1:]) for name in names if name[:1] == "h" and name[1:].isdigit()}


def unplug(namespace, number=None):
    """Removes a namespace and its plug. What is not there is no error."""
    with cache.locked(LOCK):
        remove_plug(namespace, number)


def remove_plug(namespace, number):
    if number is not None:  # at once: the kernel takes its time with what is in a namespace
        subprocess.run(["ip", "-n", SWITCH, "link", "delete", f"h{number}"], capture_output=True)
    remove_namespace(namespace)


def remove_switch():
    """Removes the switch if nothing is plugged in."""
    with cache.locked(LOCK):
        if exists(SWITCH) and not plugs():
            remove_switch_parts()


def remove_switch_parts():
    subprocess.run(["ip", "link", "delete", MACHINE], capture_output=True)
    remove_namespace(SWITCH)


def exists(namespace):
    return pathlib.Path(f"/run/netns/{namespace}").exists()


def remove_namespace(namespace):
    if exists(namespace):
        ip(f"netns delete {namespace}")


def ip(words, batch=None):
    done = subprocess.run(["ip", *words.split()], input=batch, text=True, capture_output=True)
    if done.returncode != 0:
        raise NetworkError(f"ip {words}: {done.stderr.strip()}")
    return done.stdout
