"""A kubelet follows a ConfigMap: what people change there is tried, and what the kubelet cannot live with is given up."""
import json

from node import CONFIGURATION, expect, said

SYSTEM = "--namespace=kube-system"
FILE = "/var/lib/kubelet/config.yaml"
GOOD = "/var/lib/planekeeper/kubelet-config.yaml"
FAILED = "/var/lib/planekeeper/kubelet-config.failed"
PLANEKEEPER = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\n"
FOLLOWS = f"{PLANEKEEPER}dynamicKubeletConfig: {{enabled: true}}\n"
# A reserve that no machine has: the kubelet takes the configuration, says that it is healthy, and ends.
TOO_MUCH = "systemReserved: {memory: 9000Gi}"


def kubelet_config(test):
    node = test.node("a", init="timeouts:\n  kubeletHealthCheck: 20s\n", proxy=FOLLOWS)
    node.reconcile()
    node.wait_until_ready()  # so that containers that come later are not taken for ones that were started again
    map = node.kubectl("get", "configmap", "kubelet-config", SYSTEM, "--output=jsonpath={.data.kubelet}")
    with test.check("the ConfigMap is made, the kubelet follows it, and a second run says No changes"):
        expect(node.path(GOOD).read_text() == map, "what the kubelet runs with is not the ConfigMap's")
        said(node.reconcile().stdout, "No changes.")
    with test.check("a change of it is planned with its line, and the kubelet alone starts again with it"):
        change(node, map + "maxPods: 77\n")
        said(node.do("planekeeper", "plan").stdout, "+ .maxPods: 77", "kube-system/kubelet-config:", "Restarts: kubelet.")
        containers, kubelet = node.containers(), node.kubelet()
        node.reconcile()
        has_room(node, "77")
        expect(node.kubelet() != kubelet, "the kubelet was not started again")
        expect(node.containers() == containers, "containers were started again")
        said(node.reconcile().stdout, "No changes.")
    refused(test, node, map)
    given_up(test, node, map)
    drift(test, node)
    watched(test, node, map)
    taken_back(test, node)


def change(node, text):
    patch = json.dumps({"data": {"kubelet": text}})
    node.kubectl("patch", "configmap", "kubelet-config", SYSTEM, "--patch", patch)


def has_room(node, pods):
    """The Node says how many Pods its kubelet takes: a moment after that has started."""
    room = lambda: node.kubectl("get", "node", node.name, "--output=jsonpath={.status.capacity.pods}")
    node.wait_for(f"the Node to have room for {pods} Pods", lambda: room() != pods and f"it has room for {room()}")


def refused(test, node, map):
    with test.check("what is not valid or moves the static Pods is refused with its line, and the last good one stays"):
        before, kubelet = node.path(FILE).read_text(), node.kubelet()
        for text, words in (
            (map + "maxPodz: 1\n", "maxPodz: no such field: did you mean maxPods?"),
            (map + "maxPods: many\n", "maxPods: "),
            (map.replace("/etc/kubernetes/manifests", "/elsewhere"), "the static Pods are in /etc/kubernetes/manifests"),
        ):
            change(node, text)
            said(node.reconcile(exit=1).stdout, "object:ConfigMap/kube-system/kubelet-config", "REFUSED", words, "the last good one")
        node.kubectl("patch", "configmap", "kubelet-config", SYSTEM, "--type=json", "--patch", '[{"op": "remove", "path": "/data/kubelet"}]')
        said(node.reconcile(exit=1).stdout, 'no key "kubelet"')
        expect((node.path(FILE).read_text(), node.kubelet()) == (before, kubelet), "the kubelet was touched")


def given_up(test, node, map):
    with test.check("what the kubelet cannot live with is rolled back, with its last words, and not tried again until it changes"):
        before = node.path(FILE).read_text()
        change(node, f"{map}{TOO_MUCH}\n")
        said(node.reconcile(exit=1).stdout, "REFUSED", "the kubelet did not come up with it")
        expect(node.path(FILE).read_text() == before, "it was not rolled back")
        node.wait_for("the kubelet", lambda: kubelet_sick(node))
        kubelet = node.kubelet()
        said(node.reconcile(exit=1).stdout, "it is tried again when it changes")
        expect(node.kubelet() == kubelet, "it was tried again")
        test.say(node.path(FAILED).read_text().split("\n")[1][:300])
        change(node, f"{map}maxPods: 78\n")
        node.reconcile()
        has_room(node, "78")
        expect(not node.path(FAILED).exists(), "it was not followed again")


def kubelet_sick(node):
    """Why the kubelet is not well; empty where it is."""
    state = node.run(["systemctl", "is-active", "kubelet"]).stdout.strip()
    return "" if state == "active" else state


def drift(test, node):
    with test.check("an edited config.yaml is put back to what the ConfigMap says, and the ConfigMap is made again where it is deleted"):
        good = node.path(FILE).read_text()
        node.path(FILE).write_text(good.replace("maxPods: 78", "maxPods: 9"))
        said(node.reconcile().stdout, "maxPods: 9 -> 78", "drift")
        node.kubectl("delete", "configmap", "kubelet-config", SYSTEM)
        node.reconcile()
        node.kubectl("get", "configmap", "kubelet-config", SYSTEM)
        node.reconcile()
        said(node.reconcile().stdout, "No changes.")


def watched(test, node, map):
    with test.check("a watch follows a change at once, and gives up one that the kubelet cannot live with"):
        with node.watched():
            change(node, f"{map}maxPods: 80\n")
            holds = lambda words, path=FILE: lambda: not (node.path(path).exists() and words in node.path(path).read_text()) and words
            node.wait_for("the change", holds("maxPods: 80"))
            node.wait_for("it to be good", holds("maxPods: 80", GOOD))
            change(node, f"{map}{TOO_MUCH}\n")
            node.wait_for("it to be tried", holds("9000Gi"))
            node.wait_for("it to be given up", holds("maxPods: 80"))
            node.wait_for("the kubelet", lambda: kubelet_sick(node))


def taken_back(test, node):
    with test.check("switched off, the kubelet and the ConfigMap are as the configuration says again"):
        configuration = node.path(CONFIGURATION)
        configuration.write_text(configuration.read_text().replace("{enabled: true}", "{enabled: false}"))
        said(node.reconcile().stdout, "- .maxPods: 80", f"- file:{GOOD}")
        expect(not node.path(GOOD).exists(), "a record of it is left")
        has_room(node, "110")
        text = node.kubectl("get", "configmap", "kubelet-config", SYSTEM, "--output=jsonpath={.data.kubelet}")
        expect("maxPods" not in text and "9000Gi" not in text, "the ConfigMap is not the configuration's")
        said(node.reconcile().stdout, "No changes.")


TESTS = {"kubelet-config": kubelet_config}
