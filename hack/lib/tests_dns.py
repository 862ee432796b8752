"""From CoreDNS to KubeDNS and back, while a Pod asks all the time.

The programs of k8s.io/dns are not to be had: dnsmasq is Debian's, CoreDNS on port 10053 stands in for kube-dns, and what answers the
probes is a stand-in that asks both (kube-dns.c). CoreDNS reads EndpointSlices and Namespaces, which kube-dns needs no right to: it is
given one.
"""
import json
import re

import tests_way_up
from node import CONFIGURATION, expect, said

SYSTEM = "--namespace=kube-system"
PLANEKEEPER = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\n"
KUBE_DNS = f"{PLANEKEEPER}dns: {{type: KubeDNS}}\n"
NAME = "kubernetes.default.svc.cluster.local"
LONGEST_GAP_MS = 15_000  # a Pod whose question is lost asks again after five seconds, and gives up after two such waits


def dns(test):
    node = test.node("a")
    configuration = node.path(CONFIGURATION)
    plain = configuration.read_text()
    node.reconcile("--wait")
    node.kubectl("create", "clusterrole", "stand-in", "--verb=list,watch", "--resource=endpointslices.discovery.k8s.io,namespaces,pods")
    node.kubectl("create", "clusterrolebinding", "stand-in", "--clusterrole=stand-in", "--serviceaccount=kube-system:kube-dns")
    asks(node)
    with test.check("KubeDNS's images are known and here"):
        configuration.write_text(plain + KUBE_DNS)
        said(node.do("planekeeper", "images", "check").stdout, "k8s-dns-kube-dns", "k8s-dns-dnsmasq-nanny", "k8s-dns-sidecar")
    with test.check("KubeDNS takes over, and CoreDNS goes once it answers"):
        node.reconcile()
        moved(node, there="kube-dns", gone="coredns")
        answers(test, node, "to KubeDNS")
        said(node.reconcile().stdout, "No changes.")
    with test.check("what is edited of KubeDNS is put back"):
        node.kubectl("patch", "service", "kube-dns", SYSTEM, "--patch", json.dumps({"spec": {"selector": {"k8s-app": "nobody"}}}))
        said(node.reconcile().stdout, ".spec.selector.k8s-app: nobody -> kube-dns", "drift")
        restart(node)
    with test.check("another kind of server is refused with its line, and nothing is touched"):
        tests_way_up.refuses(node, plain + KUBE_DNS.replace("KubeDNS", "BIND"), "PlanekeeperConfiguration.dns.type", "KubeDNS")
    with test.check("an old server stays for as long as the new one does not come up"):
        configuration.write_text(plain.replace("controlPlaneEndpoint", BROKEN + "controlPlaneEndpoint").replace(
            "nodeRegistration:", "timeouts:\n  controlPlaneComponentHealthCheck: 15s\nnodeRegistration:"))
        said(node.reconcile(exit=1).stdout, "no-such-tag")
        node.kubectl("get", "deployment", "kube-dns", SYSTEM)
        answers(test, node, "with a new server that does not come up")
    with test.check("CoreDNS takes over again, and KubeDNS goes once it answers"):
        configuration.write_text(plain)
        node.reconcile()
        moved(node, there="coredns", gone="kube-dns")
        answers(test, node, "back to CoreDNS")
        said(node.reconcile().stdout, "No changes.")


BROKEN = "dns:\n  imageTag: no-such-tag\n"


def asks(node):
    """A Pod that asks for a name of the cluster all the time, at the address that every Pod has for it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ask"}, "spec": {
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "ask", "image": "localhost/ask:1", "imagePullPolicy": "Never", "args": ["10.96.0.10", NAME]}]}}
    node.path("/etc/ask.json").write_text(json.dumps(pod))
    node.wait_for("the account of Pods", lambda: node.run(["kubectl", "get", "serviceaccount", "default"]).returncode)
    restart(node)


def restart(node):
    """Begins to ask, with no gap seen yet."""
    node.do("kubectl", "delete", "--filename=/etc/ask.json", "--ignore-not-found", "--grace-period=1")
    node.kubectl("create", "--filename=/etc/ask.json")
    node.wait_for("an answer", lambda: seen(node)[0] == 0 and "there is none")


def seen(node):
    """How often it was answered, and the longest gap in milliseconds."""
    text = node.run(["kubectl", "logs", "ask", "--tail=1"], timeout=60).stdout
    found = re.match(r"(\d+) answers, longest gap (\d+) ms", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def answers(test, node, what):
    """It has been answered all along, and still is."""
    before, _ = seen(node)
    node.wait_for("another answer", lambda: seen(node)[0] <= before and "there is none")
    count, gap = seen(node)
    test.say(f"{what}: {count} answers so far, the longest gap {gap} ms")
    expect(gap < LONGEST_GAP_MS, f"nobody answered for {gap} ms")


def moved(node, there, gone):
    node.kubectl("get", "deployment", there, SYSTEM)
    for kind in ("deployment", "serviceaccount"):
        node.do("kubectl", "get", kind, gone, SYSTEM, exit=1)
    pods = lambda: node.kubectl("get", "pods", SYSTEM, "--selector=k8s-app=kube-dns", "--output=name")
    node.wait_for("the old Pods to go", lambda: f"pod/{gone}-" in pods() and "they are there")


TESTS = {"dns": dns}
