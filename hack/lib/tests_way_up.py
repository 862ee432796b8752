"""From a bare host to a cluster, and what a second run does: nothing. Other nodes join with the real kubeadm."""
import shlex

import kubeadm_init
from node import Failed, differences, expect

WATCHED = ("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/planekeeper")


def way_up(test):
    node = test.node("a")
    with test.check("reconcile takes a bare host to a Ready node with all of its Pods, and kubectl works with admin.conf"):
        node.reconcile()
        node.wait_until_ready()
    with test.check("a second run says No changes"):
        before = everything(node)
        said = node.reconcile().stdout
        expect(said.startswith("No changes."), f"it says: {said}")
    with test.check("a second run writes no file, no object, and restarts nothing"):
        after = everything(node)
        for what in before:
            expect(before[what], f"no {what} were found to compare")
            expect(before[what] == after[what], f"{what} have changed:\n{differences(before[what], after[what])}")
    with test.check("plan --detailed-exitcode agrees"):
        node.do("planekeeper", "plan", "--detailed-exitcode")
    worker = test.node("worker")
    with test.check("a worker joins with the command of join-command"):
        join(worker, command(node.do("planekeeper", "join-command").stdout))
        node.wait_until_ready(nodes=2, pods=8)


def everything(node):
    """All that a run with nothing to do leaves as it was."""
    return {"files": node.files(*WATCHED), "objects": node.applied(), "containers": node.containers(), "kubelets": {"pid": node.kubelet()}}


def join(node, words):
    node.do(*words, *kubeadm_flags())


def kubeadm_flags():
    """What the real kubeadm needs on a test host."""
    expect("SystemVerification" in kubeadm_init.TEXT, "a join ignores what the configuration ignores")
    return ["--ignore-preflight-errors=SystemVerification"]


def command(printed, flag=None):
    """The words of the first `kubeadm join` that was printed, with the flag or, where there is none, for a worker."""
    for line in printed.splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["kubeadm", "join"] and (flag in words if flag else "--control-plane" not in words):
            return words
    raise Failed(f"no kubeadm join{f' with {flag}' if flag else ''} in:\n{printed}")


TESTS = {"way_up": way_up}
