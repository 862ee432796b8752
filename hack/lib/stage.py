"""Runs a command as a host that is the same everywhere: its name, its address and its environment are given, not found.

    unshare --uts --net PYTHON stage.py HOSTNAME ADDRESS COMMAND...

For real_kubeadm.py, inside namespaces of its own. There is no network but the loopback, which holds ADDRESS too, so what
kubeadm would fetch (the newest stable release) it takes from itself. No environment variable gets through.
"""
import fcntl
import os
import socket
import struct
import sys

SET_ADDRESS, SET_FLAGS, UP_AND_RUNNING = 0x8916, 0x8914, 0x1 | 0x40  # of linux/sockios.h and linux/if.h


def main():
    hostname, address, *command = sys.argv[1:]
    socket.sethostname(hostname)
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    at = struct.pack("16sHH4s8s", b"lo", socket.AF_INET, 0, socket.inet_aton(address), b"")
    fcntl.ioctl(control, SET_ADDRESS, at)
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14s", b"lo", UP_AND_RUNNING, b""))
    control.close()
    os.umask(0o022)
    os.execve(command[0], command, {})


main()
