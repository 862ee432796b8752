"""A watch keeps a real control plane: files, the kubelet, static Pods and objects, also while the API server is away."""
import json
import re

import cache
from node import CONFIGURATION, differences, expect

UNIT = cache.HACK.parent / "examples/systemd/planekeeper.service"  # what people install
MANIFESTS = "/etc/kubernetes/manifests"
SYSTEM = "--namespace=kube-system"
DRIFTS = 60  # random ones, over which memory may not grow
GROWTH_MIB = 4  # what a heap may grow by without a leak


def watch(test):
    node = test.node("a")
    not_ready(test, node)
    with test.check("a watch brings a bare host up, and `status --wait` waits for that"):
        node.do("planekeeper", "status", "--wait", "--timeout=3m")
        node.wait_until_ready()
        converged(node)
    pause(test, node)
    service(test, node)
    objects(test, node)
    owned_fields(test, node)
    kubelet(test, node)
    static_pods(test, node)
    configuration(test, node)
    without_api(test, node)
    growth(test, node)


def not_ready(test, node):
    with test.check("a watch that is to set up a host which is not ready says why, writes nothing, and goes on once it is"):
        other = node.begin("socat", "TCP-LISTEN:10259,fork", "STDOUT")
        path = node.path(CONFIGURATION)
        text = path.read_text()
        path.write_text(re.sub(r"localAPIEndpoint:\n  advertiseAddress: .*\n", "", text))  # that of the default route, which comes late
        gateway = node.do("ip", "-json", "route", "show", "default").stdout
        node.do("ip", "route", "delete", "default")
        start(node)
        node.wait_for("a word about the address", lambda: "advertiseAddress" not in log(node) and "there is none")
        node.do("ip", "route", "add", "default", "via", json.loads(gateway)[0]["gateway"])
        node.wait_for("a word about the port", lambda: "Port-10259" not in log(node) and "there is none")
        node.do("planekeeper", "status", exit=1)
        expect(not node.path(f"{MANIFESTS}/etcd.yaml").exists() and not node.path("/etc/kubernetes/pki").exists(), "something was written")
        path.write_text(text)
        node.do("pkill", "socat")
        other.wait()


def pause(test, node):
    label = ("label", "controlplanenode", node.name)
    flag = "planekeeper.dev/paused"
    with test.check("the label of the ControlPlaneNode pauses: what drifts meanwhile is shown, and put right once the label is gone"):
        node.kubectl(*label, f"{flag}=maintenance")
        node.wait_for("the pause", lambda: not said(node).startswith("paused") and said(node))
        node.kubectl("delete", "configmap", "coredns", SYSTEM)
        node.path("/etc/kubernetes/scheduler.conf").chmod(0o666)
        node.wait_for("the drift to be shown", lambda: missing(node.run(["planekeeper", "status"]).stdout, "PAUSED", "scheduler.conf"))
        node.do("systemctl", "restart", "planekeeper")
        node.wait_for("the pause to be in force again", lambda: not said(node).startswith("paused") and said(node))
        expect(node.path("/etc/kubernetes/scheduler.conf").stat().st_mode & 0o777 == 0o666, "it was repaired")
        paused = lambda: node.kubectl("get", "pkn", node.name, "--output=jsonpath={.status.conditions[?(@.type=='Paused')].status}")
        node.wait_for("the object's condition Paused", lambda: paused() != "True" and paused())
        node.kubectl(*label, f"{flag}-")
        node.wait_for("the object", lambda: node.run(["kubectl", "get", "configmap", "coredns", SYSTEM]).returncode)
        converged(node)
        expect(node.path("/etc/kubernetes/scheduler.conf").stat().st_mode & 0o777 == 0o600, "it was not repaired")


def missing(text, *words):
    """What of the words is not in a text."""
    return any(word not in text for word in words) and f"there is no {words} in:\n{text}"


def install(node):
    node.path("/etc/systemd/system/planekeeper.service").write_text(UNIT.read_text())
    node.do("systemctl", "daemon-reload")


def start(node):
    install(node)
    node.do("systemctl", "start", "planekeeper")


def service(test, node):
    with test.check("as a service it looks again at SIGHUP and ends at SIGTERM; to start it anew touches nothing of the control plane"):
        before = node.files("/etc/kubernetes", "/var/lib/kubelet"), node.containers(), node.kubelet()
        node.do("systemctl", "reload", "planekeeper")
        node.wait_for("the end of the reload", lambda: show(node, "ActiveState") != "active" and show(node, "ActiveState"))
        node.do("systemctl", "stop", "planekeeper", timeout=30)
        expect(show(node, "Result") == "success", f"it ended with {show(node, 'Result')}")
        node.do("systemctl", "start", "planekeeper")
        converged(node)
        after = node.files("/etc/kubernetes", "/var/lib/kubelet"), node.containers(), node.kubelet()
        expect(before[0] == after[0], f"files were touched: {differences(before[0], after[0])}")
        expect(before[1:] == after[1:], "containers or the kubelet were started anew")
    with test.check("a watch that hangs is started anew by systemd's watchdog"):
        folder = node.path("/etc/systemd/system/planekeeper.service.d")
        folder.mkdir()
        (folder / "soon.conf").write_text("[Service]\nWatchdogSec=3s\nTimeoutStopSec=3s\n")
        node.do("systemctl", "daemon-reload")
        node.do("systemctl", "restart", "planekeeper")
        first = show(node, "MainPID")
        node.do("kill", "-STOP", first)
        node.wait_for("another process", lambda: show(node, "MainPID") in (first, "0") and "it is the same")
        converged(node)
        expect(show(node, "NRestarts") == "1", f"systemd has started it anew {show(node, 'NRestarts')} times")
        (folder / "soon.conf").unlink()
        node.do("systemctl", "daemon-reload")
        node.do("systemctl", "restart", "planekeeper")
        converged(node)


def show(node, what):
    return node.do("systemctl", "show", f"--property={what}", "--value", "planekeeper").stdout.strip()


def objects(test, node):
    with test.check("objects that are deleted, edited or lose a label come back as they were, and who changed them is named"):
        node.kubectl("delete", "configmap", "coredns", SYSTEM)
        node.kubectl("patch", "deployment", "coredns", SYSTEM, "--patch", '{"spec": {"replicas": 3}}')
        node.kubectl("label", "node", node.name, "node-role.kubernetes.io/control-plane-")
        node.kubectl("delete", "clusterrolebinding", "kubeadm:node-proxier")
        node.wait_for("the objects", lambda: not repaired(node))
        expect("changed by kubectl-patch" in log(node), "who changed the Deployment is not said")


OWNED = '''---
apiVersion: planekeeper.dev/v1alpha1
kind: PlanekeeperConfiguration
drift:
  rules:
  - resources: object:Deployment/kube-system/coredns
    fields: [.spec.replicas]
    policy: Leave
  - resources: object:ConfigMap/kube-system/coredns
    fields: [.data.Corefile]
    policy: Leave
'''


def owned_fields(test, node):
    with test.check("fields that the cluster's users own stay as they set them, and the rest of these objects is put right"):
        node.configure(proxy=OWNED)
        taken(node)
        for number in range(3):
            node.kubectl("scale", "deployment", "coredns", SYSTEM, f"--replicas={3 + number}")
            node.kubectl("label", "deployment", "coredns", SYSTEM, "k8s-app-")
            node.wait_for("the label", lambda: "k8s-app" not in coredns(node)["metadata"].get("labels", {}) and "it is gone")
            expect(coredns(node)["spec"]["replicas"] == 3 + number, f"{coredns(node)['spec']['replicas']} replicas, not {3 + number}")
        node.kubectl("patch", "configmap", "coredns", SYSTEM, "--patch", '{"data": {"Corefile": "mine", "more": "x"}}')
        node.kubectl("delete", "clusterrolebinding", "system:coredns")
        node.wait_for("the binding", lambda: node.run(["kubectl", "get", "clusterrolebinding", "system:coredns"]).returncode)
        map = json.loads(node.kubectl("get", "configmap", "coredns", SYSTEM, "--output=json"))
        expect(map["data"]["Corefile"] == "mine", f"the Corefile was overwritten: {map['data']}")
        node.configure()
        taken(node)
        node.wait_for("all to be as configured again", lambda: not repaired(node))


def coredns(node):
    return json.loads(node.kubectl("get", "deployment", "coredns", SYSTEM, "--output=json"))


def taken(node):
    """Waits until the configuration that is there is in force."""
    status = lambda: json.loads(node.run(["planekeeper", "status", "--output=json"], timeout=60).stdout or "{}")
    source = lambda: node.path(CONFIGURATION).read_text()
    record = node.path("/var/lib/planekeeper/last-good.json")
    node.wait_for("the configuration to be in force",
                  lambda: json.loads(record.read_text())["configuration"][0]["text"] != source() and str(status().get("verdict")))


def repaired(node):
    """All objects are as planekeeper wants them."""
    return node.run(["planekeeper", "plan", "--detailed-exitcode"], timeout=60).returncode == 0


def kubelet(test, node):
    with test.check("a kubelet that is stopped or disabled runs and is enabled again"):
        node.run(["systemctl", "stop", "kubelet"])  # a watch that looks just then starts it again, which cancels that
        node.wait_for("the kubelet to run", lambda: unit(node, "is-active") != "active" and "it does not run")
        node.do("systemctl", "disable", "kubelet")
        node.wait_for("the kubelet to be enabled", lambda: unit(node, "is-enabled") == "disabled" and "it is disabled")


def unit(node, question):
    return node.run(["systemctl", question, "kubelet"], timeout=60).stdout.strip()


def static_pods(test, node):
    with test.check("manifests of static Pods that are deleted or edited are put right, and the Pods run as before"):
        for name, change in (("kube-scheduler", None), ("kube-controller-manager", "--v=9")):
            path = node.path(f"{MANIFESTS}/{name}.yaml")
            before = path.read_text()
            path.write_text(before.replace("--leader-elect=true", change)) if change else path.unlink()
            node.wait_for(name, lambda: node.text(f"{MANIFESTS}/{name}.yaml") != before)
        converged(node)
        node.wait_until_ready()


def configuration(test, node):
    with test.check("a changed configuration is rolled out; one that is not valid is refused, and changes nothing"):
        node.configure(cluster='scheduler:\n  extraArgs:\n  - name: v\n    value: "3"\n')
        node.wait_for("the scheduler's flag", lambda: "--v=3" not in node.text(f"{MANIFESTS}/kube-scheduler.yaml"))
        node.path(CONFIGURATION).write_text("nonsense: true\n")
        node.wait_for("a refusal", lambda: "ConfigurationRejected" not in log(node) and "there is none")
        node.kubectl("delete", "configmap", "coredns", SYSTEM)
        node.wait_for("the object", lambda: node.run(["kubectl", "get", "configmap", "coredns", SYSTEM]).returncode)
        node.configure()
        node.wait_for("the flag to go", lambda: "--v=3" in (node.text(f"{MANIFESTS}/kube-scheduler.yaml") or "--v=3"))
        converged(node)


def without_api(test, node):
    with test.check("while the API server is away the host's files are kept, and objects are once it is back"):
        manifest = node.path(f"{MANIFESTS}/kube-apiserver.yaml")
        good = manifest.read_text()
        # The watch does not see what happens while it is stopped: an API server that is away for longer than a restart.
        node.do("systemctl", "stop", "planekeeper")
        node.kubectl("delete", "configmap", "coredns", SYSTEM)
        manifest.unlink()
        node.wait_for("the API server to end", lambda: node.run(["pgrep", "kube-apiserver"]).returncode == 0 and "it runs")
        node.do("systemctl", "stop", "kubelet")
        # A kubelet that cannot start keeps the API server away.
        node.do("systemctl", "mask", "--runtime", "kubelet")
        node.do("systemctl", "start", "--no-block", "planekeeper")
        kubeconfig = node.path("/etc/kubernetes/scheduler.conf")
        node.wait_for("the manifest", lambda: not manifest.exists())
        expect(manifest.read_text() == good, "it is another manifest")
        kubeconfig.unlink()
        node.wait_for("a kubeconfig", lambda: not kubeconfig.exists())
        node.do("systemctl", "unmask", "--runtime", "kubelet")
        node.wait_for("the object", lambda: node.run(["kubectl", "get", "configmap", "coredns", SYSTEM], timeout=60).returncode)
        node.wait_until_ready()


def growth(test, node):
    with test.check("a watch's memory does not grow with what it repairs"):
        first = memory(node)
        folders = [node.path(folder) for folder in (MANIFESTS, "/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd")]
        # So many that none is changed as often as in a fight.
        paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".crt", ".key")]
        for number in range(DRIFTS):
            path = paths[number % len(paths)]
            before = path.stat()
            path.chmod(0o666)
            node.wait_for(path.name, lambda: path.stat().st_mode != before.st_mode)
        last = memory(node)
        test.say(f"resident after {DRIFTS} drifts: {last / 1024:.1f} MiB of its own, {first / 1024:.1f} MiB before")
        expect(last - first < GROWTH_MIB * 1024, f"it has grown from {first} to {last} KiB")


def memory(node):
    """KiB of memory that are the process's own; the program itself is mapped from its file."""
    status = node.do("sh", "-c", "cat /proc/$(pidof planekeeper)/status").stdout
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")))


def ticks(node):
    """Hundredths of a second of processor time that the watch has taken."""
    fields = node.do("sh", "-c", "cat /proc/$(pidof planekeeper)/stat").stdout.rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def converged(node):
    """The service manager is told that all is as wanted."""
    node.wait_for("the watch to say that all is as wanted", lambda: not said(node).startswith("converged") and (said(node) or "nothing is said"))


def said(node):
    """The line that the service manager was told last."""
    return show(node, "StatusText")


def log(node):
    """What the watch and systemd have said."""
    return node.do("journalctl", "--unit=planekeeper", "--output=cat", "--no-pager").stdout


TESTS = {"watch": watch}
