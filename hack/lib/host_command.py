"""hack/host: the command line of test hosts. See hack/host for its words."""
import argparse
import os
import subprocess
import sys

import cache
import host_check
import kubeadm_init
import network
from host import Host, HostError, hosts


def main():
    arguments = parse()
    try:
        sys.exit(COMMANDS[arguments.command](arguments))
    except (HostError, network.NetworkError) as error:
        sys.exit(f"hack/host: {error}")


def parse():
    parser = argparse.ArgumentParser(prog="hack/host")
    commands = parser.add_subparsers(dest="command", required=True)
    add = {name: commands.add_parser(name) for name in COMMANDS}
    for name in ("up", "run", "cluster", "reboot", "address", "root", "logs"):
        add[name].add_argument("name")
    add["up"].add_argument("--kubelet", default=cache.NEWEST, metavar="VERSION")
    add["run"].add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    add["cluster"].add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAG")
    add["logs"].add_argument("folder")
    add["down"].add_argument("names", nargs="*", metavar="NAME")
    add["down"].add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "run" and not arguments.words:
        parser.error("run: which command?")
    if arguments.command == "down" and bool(arguments.names) == arguments.all:
        parser.error("down: either names or --all")
    return arguments


def check(_):
    if reason := host_check.reason():
        return f"hack/host: no test hosts on this machine: {reason}"
    return 0


def up(arguments):
    able()
    Host.up(arguments.name, arguments.kubelet)


def able():
    """A machine that cannot boot hosts says so at once, not somewhere in the middle."""
    if reason := host_check.reason():
        raise HostError(f"no test hosts on this machine: {reason}")


def run(arguments):
    """Becomes the command, so that its input, its exit code and its signals are its own."""
    words = Host(arguments.name).command(arguments.words)
    os.execvp(words[0], words)


def cluster(arguments):
    able()
    host = Host.up(arguments.name)
    kubeadm_init.write_configuration(host)
    words = ["kubeadm", "init", f"--config={kubeadm_init.CONFIGURATION}", *arguments.flags]
    return subprocess.run(host.command(words)).returncode


def reboot(arguments):
    Host(arguments.name).reboot()


def show(_):
    for host in hosts():
        try:
            address, kubelet = host.address, host.state["kubelet"]
        except HostError:
            address = kubelet = "-"
        print(f"{host.name:<20} {address:<16} {kubelet:<10} {'up' if host.running else 'down'}")


def address(arguments):
    print(Host(arguments.name).address)


def root(arguments):
    print(Host(arguments.name).root)


def logs(arguments):
    Host(arguments.name).logs(arguments.folder)


def down(arguments):
    for host in hosts() if arguments.all else map(Host, arguments.names):
        host.down()


COMMANDS = {"check": check, "up": up, "run": run, "cluster": cluster, "reboot": reboot, "list": show, "address": address,
            "root": root, "logs": logs, "down": down}
main()
