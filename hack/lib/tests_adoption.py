"""Taking over a control plane that the real kubeadm set up."""
import re

import preflight
import tests_preflight
from node import CONFIGURATION, differences, expect

EDIT = """\
apiServer:
  extraArgs:
  - name: profiling
    value: "false"
"""


def adoption(test):
    node = test.node("a")
    node.do("kubeadm", "init", f"--config={CONFIGURATION}")
    node.wait_until_ready()
    before = everything(node)
    with test.check("preflight passes on a control plane of the real kubeadm, and says that there is one"):
        tests_preflight.passes_with_a_control_plane(node)
        warned = preflight.planekeeper(node).identifiers()
        expect("FileAvailable--etc-kubernetes-manifests-etcd.yaml" in warned, f"it only says: {warned}")
    with test.check("plan finds no difference in a control plane of the real kubeadm"):
        node.do("planekeeper", "plan", "--detailed-exitcode")
    with test.check("a changed configuration is shown and refused, and nothing is touched"):
        node.configure(cluster=EDIT)
        refused = node.reconcile(exit=1)
        expect("--profiling=false" in refused.stdout, f"the plan does not show the change: {refused.stdout}")
        expect("--adopt" in refused.stderr, f"it does not say how to go on: {refused.stderr}")
        node.configure()
        unchanged(node, before)
    with test.check("reconcile takes over what fits: it writes nothing of kubeadm's and restarts nothing"):
        said = node.reconcile().stdout
        expect(said.startswith("No changes."), f"it says: {said}")
        unchanged(node, before)


def adoption_with_changes(test):
    node = test.node("a")
    node.do("kubeadm", "init", f"--config={CONFIGURATION}")
    with test.check("reconcile --adopt changes a control plane of the real kubeadm, and converges"):
        node.configure(cluster=EDIT)
        said = node.reconcile("--adopt").stdout
        expect("--profiling=false" in said, f"it does not say what it changed: {said}")
        node.wait_until_ready(pods=0)
        running = node.do("pgrep", "--full", "--list-full", "kube-apiserver").stdout
        expect("--profiling=false" in running, f"the API server runs as before: {running}")
    with test.check("a second run has nothing to change, and says No changes once all is well"):
        node.wait_for("a run with nothing to wait for", lambda: waited(node.reconcile().stdout))


def waited(said):
    """What a run says that changed nothing, and waited: who lost the API server while that was restarted ends, and is restarted too."""
    quiet = re.match(r"No changes\.|Converged: \d+ waited for, \d+ unchanged\.", said)
    expect(quiet, f"it says: {said}")
    return "" if said.startswith("No changes.") else said


def everything(node):
    """What may not change by being taken over. The configuration is the test's own."""
    files = {path: seen for path, seen in node.files("/etc", "/var/lib/kubelet").items() if not path.startswith("/etc/planekeeper")}
    return {"files": files, "objects": node.versions(), "containers": node.containers(), "kubelets": {"pid": node.kubelet()}}


def unchanged(node, before):
    after = everything(node)
    for what in before:
        expect(before[what] == after[what], f"{what} have changed:\n{differences(before[what], after[what])}")


TESTS = {"adoption": adoption, "adoption-with-changes": adoption_with_changes}
