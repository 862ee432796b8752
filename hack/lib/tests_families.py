"""IPv6, alone and beside IPv4: from a bare host to Services and names that answer in each family, to Pods and to hosts."""
import json
import textwrap

import network
import tests_reset
import tests_watch
from host import pod_network
from node import CONFIGURATION, PODS, expect, said
from tests_watch import MANIFESTS
from tests_way_up import everything, join, refuses, unchanged

PODS4, PODS6, SERVICES4, SERVICES6 = "10.244.0.0/16", "fd00:10:244::/56", "10.96.0.0/16", "fd00:10:96::/112"
DOMAIN = "cluster.local"
WORD = "answered"
# Pods of the host's own programs: they need no image but the one that every host has.
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  {dns}
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: {command}
    volumeMounts:
    - {{name: usr, mountPath: /usr, readOnly: true}}
    - {{name: bin, mountPath: /bin, readOnly: true}}
    - {{name: lib, mountPath: /lib, readOnly: true}}
    - {{name: lib64, mountPath: /lib64, readOnly: true}}
  tolerations: [{{operator: Exists}}]
  volumes:
  - {{name: usr, hostPath: {{path: /usr}}}}
  - {{name: bin, hostPath: {{path: /usr/bin}}}}
  - {{name: lib, hostPath: {{path: /usr/lib}}}}
  - {{name: lib64, hostPath: {{path: /usr/lib64}}}}
"""
STATUS = """\
---
apiVersion: planekeeper.dev/v1alpha1
kind: PlanekeeperConfiguration
status:
  address: "[::1]:10264"
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  ipFamilyPolicy: {policy}
  selector: {selector}
  ports: {ports}
"""


class Stack:
    """The families of a cluster, the first of which is its own."""

    def __init__(self, families):
        self.families = families  # of "4" and "6"

    def of(self, four, six):
        """What there is for each family, in the order of the families."""
        return [{"4": four, "6": six}[family] for family in self.families]

    def addresses(self, node):
        return self.of(node.address, node.address6)

    @property
    def policy(self):
        return "SingleStack" if len(self.families) == 1 else "RequireDualStack"

    def prepare(self, node):
        """Makes a host one of these families, with Pods of these families."""
        number = node.state["number"]
        subnets = self.of(network.pod_subnet(number), network.pod_subnet6(number))
        node.path("/etc/cni/net.d/10-pods.conflist").write_text(pod_network(subnets))
        node.do("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.forwarding=1")
        names = "".join(f"{address} {node.name}\n" for address in self.addresses(node))
        node.path("/etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{names}")
        if "4" not in self.families:
            node.do("ip", "-4", "address", "flush", "dev", "eth0")

    def configure(self, node):
        pods, services = ",".join(self.of(PODS4, PODS6)), ",".join(self.of(SERVICES4, SERVICES6))
        networking = f"podSubnet: {pods}\nserviceSubnet: {services}\n"
        nodes = f"kubeletExtraArgs:\n- name: node-ip\n  value: {','.join(self.addresses(node))}\n"
        others = "".join(f"  - {address}\n" for address in self.addresses(node)[1:])
        cluster = f"apiServer:\n  certSANs:\n{others}" if others else ""
        node.configure(address=self.addresses(node)[0], networking=networking, node=nodes, cluster=cluster)


def holds(test, families):
    """What holds in each combination of families."""
    stack, node = Stack(families), test.node("a")
    stack.prepare(node)
    stack.configure(node)
    with test.check("reconcile takes a bare host to a Ready node with all of its Pods"):
        node.reconcile()
        node.wait_until_ready()
    with test.check("a second run says No changes, and changes nothing"):
        before = everything(node)
        expect(node.reconcile().stdout.startswith("No changes."), "it does not")
        unchanged(node, before)
    with test.check("the node has its addresses, and kubeconfigs and the API server are reached by them"):
        found = node.kubectl("get", "node", node.name, '--output=jsonpath={.status.addresses[?(@.type=="InternalIP")].address}').split()
        expect(found == stack.addresses(node), f"its InternalIPs are {found}")
        first = url_host(stack.addresses(node)[0])
        for name in ("admin.conf", "kubelet.conf", "scheduler.conf"):
            said(node.path(f"/etc/kubernetes/{name}").read_text(), f"server: https://{first}:6443\n")
        for address in stack.addresses(node):
            expect(node.kubectl(f"--server=https://{url_host(address)}:6443", "get", "--raw=/readyz") == "ok", f"not by {address}")
    with test.check("networks and an address of families that cannot work together are refused with their fields, and nothing is touched"):
        refused(node, stack)
    services(test, node, stack)
    with test.check("a manifest with other networks is put right"):
        path = node.path(f"{MANIFESTS}/kube-controller-manager.yaml")
        path.write_text(path.read_text().replace("--cluster-cidr=", "--cluster-cidr=fd99::/56,"))
        said(node.reconcile().stdout, "--cluster-cidr", "drift", "1 repaired")
        node.wait_until_ready()
    return stack, node


def refused(node, stack):
    good = node.path(CONFIGURATION).read_text()
    pods, services = ",".join(stack.of(PODS4, PODS6)), ",".join(stack.of(SERVICES4, SERVICES6))
    other_pods, other_services = (PODS4, SERVICES4) if stack.families[0] == "6" else (PODS6, SERVICES6)
    refuses(node, good.replace(pods, other_pods), "ClusterConfiguration.networking.podSubnet", "but Services have one")
    refuses(node, good.replace(services, other_services), "InitConfiguration.localAPIEndpoint.advertiseAddress", "the API server would not start")


def services(test, node, stack):
    with test.check("Services have an address of each family, and answer at each from a Pod and from the host"):
        start(node, stack)
        clusters = cluster_ips(node, "server", "default")
        expect([family(address) for address in clusters] == list(stack.families), f"clusterIPs: {clusters}")
        for address in clusters:
            for run in (in_pod(node, "client"), on_host(node)):
                said(run("socat", "-T5", "-", f"TCP:{url_host(address)}:80"), WORD)
        api = cluster_ips(node, "kubernetes", "default")
        for run in (in_pod(node, "client"), on_host(node)):
            said(run("openssl", "s_client", "-connect", f"{url_host(api[0])}:443"), "issuer=CN = kubernetes")
    with test.check("names are answered with the addresses of each family, over each family, to a Pod and to the host"):
        for address in clusters:
            database = f"ahostsv{family(address)}"
            said(in_pod(node, "client")("getent", database, f"server.default.svc.{DOMAIN}"), address)
            for server, pod in zip(cluster_ips(node, "dns", "kube-system"), stack.families):
                said(in_pod(node, f"client{pod}")("getent", database, f"server.default.svc.{DOMAIN}"), address)
                asked = f"echo nameserver {server} >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf; exec getent {database}"
                said(node.do("unshare", "--mount", "bash", "-ec", f"{asked} server.default.svc.{DOMAIN}").stdout, address)


def start(node, stack):
    """A server, a Service of it and one of DNS, and clients: one as all Pods, one for each address of DNS."""
    ports = "[{port: 53, protocol: UDP}]"
    apply(node, SERVICE.format(name="server", namespace="default", policy=stack.policy, selector="{app: server}",
                               ports="[{port: 80, targetPort: 8080}]"))
    apply(node, SERVICE.format(name="dns", namespace="kube-system", policy=stack.policy, selector="{k8s-app: kube-dns}", ports=ports))
    listen = "TCP6-LISTEN:8080,fork,reuseaddr,ipv6only=0"
    pod(node, "server", ["/usr/bin/socat", listen, f"SYSTEM:echo {WORD}"])
    sleep = ["/usr/bin/sleep", "1d"]
    pod(node, "client", sleep)
    for server, family in zip(cluster_ips(node, "dns", "kube-system"), stack.families):
        pod(node, f"client{family}", sleep, dns=f'dnsPolicy: None\n  dnsConfig: {{nameservers: ["{server}"]}}')
    node.kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=60s")


def pod(node, name, command, dns="dnsPolicy: ClusterFirst"):
    image = json.loads(node.kubectl("get", "pods", "--namespace=kube-system", "--selector=component=etcd", "--output=json"))
    image = image["items"][0]["spec"]["containers"][0]["image"]
    apply(node, POD.format(name=name, node=node.name, command=json.dumps(command), dns=dns, image=image))


def apply(node, text):
    node.path("/run/object.yaml").write_text(textwrap.dedent(text))
    node.kubectl("apply", "--filename=/run/object.yaml")


def cluster_ips(node, name, namespace):
    return node.kubectl("get", "service", name, f"--namespace={namespace}", "--output=jsonpath={.spec.clusterIPs[*]}").split()


def in_pod(node, name):
    return lambda *words: node.do("kubectl", "exec", name, "--", *words).stdout


def on_host(node):
    return lambda *words: node.do(*words).stdout


def url_host(address):
    return f"[{address}]" if family(address) == "6" else address


def family(address):
    return "6" if ":" in address else "4"


def dual_stack(test):
    stack, node = holds(test, "46")
    with test.check("a worker with both families joins with the command of join-command"):
        worker(test, node, stack)


def ipv6(test):
    stack, node = holds(test, "6")
    with test.check("without an address in the configuration, that of the default route is taken"):
        path = node.path(CONFIGURATION)
        path.write_text(path.read_text().replace(f"localAPIEndpoint:\n  advertiseAddress: {node.address6}\n", ""))
        expect(node.reconcile().stdout.startswith("No changes."), "something changes")
    with test.check("a worker joins with the command of join-command"):
        worker(test, node, stack)
    at_home(test, node)


def at_home(test, node):
    """What planekeeper has on the loopback interface, and reaches there."""
    with test.check("a watch is seen at ::1, and reset takes the host back to bare once nobody watches it"):
        path = node.path(CONFIGURATION)
        path.write_text(path.read_text() + STATUS)
        tests_watch.start(node)
        listeners = ("ss", "-Hltn", "sport", "=", ":10264")
        node.wait_for("the status at ::1", lambda: "[::1]:10264" not in (found := node.do(*listeners).stdout) and (found or "nobody listens"))
        said(node.do("planekeeper", "status", "--wait").stdout, "CONVERGED")
        refused = node.run(["planekeeper", "reset", "--force"])
        expect(refused.returncode == 75 and "systemctl disable --now planekeeper" in refused.stderr, f"not refused: {refused}")
        said(node.do("planekeeper", "status").stdout, "CONVERGED")
        node.do("systemctl", "stop", "planekeeper")
        node.do("planekeeper", "reset", "--force")
        left = [path for path in tests_reset.GONE if tests_reset.holds_files(node.path(path))]
        expect(not left, f"still there: {left}")


def dual_stack_ipv6_first(test):
    holds(test, "64")


def worker(test, node, stack):
    """Joins one whose kubelet has the addresses of these families; kubeadm's join has no word for it but the kubelet's own flags."""
    worker = test.node("worker")
    stack.prepare(worker)
    path = worker.path("/etc/default/kubelet")
    path.write_text(path.read_text().rstrip("\n") + f" --node-ip={','.join(stack.addresses(worker))}\n")
    join(worker, node.do("planekeeper", "join-command").stdout)
    node.wait_until_ready(nodes=2, pods=PODS + 1)
    found = node.kubectl("get", "node", worker.name, '--output=jsonpath={.status.addresses[?(@.type=="InternalIP")].address}').split()
    expect(found == stack.addresses(worker), f"its InternalIPs are {found}")


TESTS = {"dual-stack": dual_stack, "ipv6": ipv6}
MORE = {"dual-stack-ipv6-first": dual_stack_ipv6_first}
