"""From a bare host to a cluster, and what a second run does: nothing. Other nodes join with the real kubeadm."""
import json
import shlex
import ssl

import tests_preflight
from node import CONFIGURATION, differences, expect, said

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
    with test.check("preflight passes on the converged host, and finds whatever else kubeadm finds there"):
        tests_preflight.passes_with_a_control_plane(node)
    with test.check("a second run and preflight write no file, no object, and restarts nothing"):
        unchanged(node, before)
    with test.check("plan --detailed-exitcode agrees"):
        node.do("planekeeper", "plan", "--detailed-exitcode")
    with test.check("the kubelet serves the certificate that was made for it, and at once the one that is made when that is gone"):
        serves_another_certificate(node)
    with test.check("a host that is called otherwise by now is refused, and left as it is"):
        renamed(node)
    with test.check("a watch that is started there keeps it the Node that it is, for its kubelet too, and lets go when it has its name again"):
        renamed_under_a_watch(node)
    with test.check("a host whose file names no address is refused while its default route leads elsewhere, and left as it is"):
        rerouted(node)
    worker = test.node("worker")
    with test.check("a worker joins with the command of join-command"):
        join(worker, node.do("planekeeper", "join-command").stdout)
        node.wait_until_ready(nodes=2, pods=8)


def second_control_plane(test):
    first, second = test.node("a"), test.node("b")
    with test.check("a second control plane joins with the command of reconcile --upload-certs"):
        join(second, first.reconcile("--upload-certs").stdout, "--certificate-key")
        first.wait_until_ready(nodes=2, pods=12)
    with test.check("with two members of etcd, reconcile on the first says No changes"):
        said = first.reconcile().stdout
        expect(said.startswith("No changes."), f"it says: {said}")


def serves_another_certificate(node):
    """The kubelet's certificate is removed, and reconcile run."""
    path, address = node.path("/var/lib/kubelet/pki/kubelet.crt"), (node.address, 10250)
    serves = lambda: ssl.get_server_certificate(address).split() != path.read_text().split() and "the kubelet serves another certificate"
    before = path.read_text()
    expect(not serves(), "the kubelet does not serve the certificate that is there")
    path.unlink()
    node.reconcile()
    expect(path.read_text() != before, "the certificate is the one that was removed")
    node.wait_for("the kubelet to serve the new certificate", serves)


def renamed(node):
    """The machine has another name for one run."""
    before = made(node)
    node.do("hostname", "renamed")
    said(node.reconcile(exit=1).stdout, "InitConfiguration.nodeRegistration.name", f"{node.name} -> renamed")
    node.do("hostname", node.name)
    unmoved(node, before)


def renamed_under_a_watch(node):
    """The kubelet would make another Node at its next start."""
    flags, containers = node.path("/var/lib/kubelet/kubeadm-flags.env"), node.containers()
    before = flags.read_text()
    node.do("hostname", "renamed")
    with node.watched():
        node.do("planekeeper", "status", "--wait")
        said(flags.read_text(), f"--hostname-override={node.name}")
        node.wait_until_ready()
        node.do("hostname", node.name)
    node.reconcile()
    expect(flags.read_text() == before, "the kubelet is still told its name")
    expect(containers == node.containers(), "containers have changed")
    node.wait_until_ready()
    expect(node.reconcile().stdout.startswith("No changes."), "the host is not as configured")


def rerouted(node):
    """The default route sends from another address for a while. What it was is known from the last good configuration, or from the manifest;
    a watch that is started meanwhile keeps the last good one, and who joins is sent to where the API server is."""
    file, record = node.path(CONFIGURATION), node.path("/var/lib/planekeeper/last-good.json")
    text, before, aside = file.read_text(), made(node), record.with_suffix(".aside")
    file.write_text(text.replace(f"localAPIEndpoint:\n  advertiseAddress: {node.address}\n", ""))
    expect("advertiseAddress" not in file.read_text(), "the file names an address")
    unmoved(node, before)
    route = json.loads(node.do("ip", "-json", "route", "show", "default").stdout)[0]
    default = ["ip", "route", "replace", "default", "via", route["gateway"], "dev", route["dev"]]
    node.do("ip", "address", "add", "198.51.100.2/24", "dev", route["dev"])
    node.do(*default, "src", "198.51.100.2")
    for put_aside in False, True:
        if put_aside:
            record.rename(aside)
        said(node.reconcile(exit=1).stdout, "localAPIEndpoint.advertiseAddress", f"{node.address} -> 198.51.100.2")
    aside.rename(record)
    said(node.do("planekeeper", "join-command").stdout, f"kubeadm join {node.address}:6443")
    with node.watched():
        node.do("planekeeper", "status", "--wait")
    node.do(*default)
    node.do("ip", "address", "delete", "198.51.100.2/24", "dev", route["dev"])
    unmoved(node, before)
    file.write_text(text)


def made(node):
    """All that a host is made of, but for the status and the record."""
    return {"files": node.files("/etc/kubernetes", "/var/lib/kubelet"), "objects": node.applied(), "containers": node.containers()}


def unmoved(node, before):
    """Nothing was written but the status, which says why, and nothing is to be done."""
    expect(before == made(node), "something has changed")
    expect(node.reconcile().stdout.startswith("No changes."), "the host is not as configured")


def everything(node):
    """All that a run with nothing to do leaves as it was."""
    return {"files": node.files(*WATCHED), "objects": node.applied(), "containers": node.containers(), "kubelets": {"pid": node.kubelet()}}


def unchanged(node, before):
    """Everything is as it was."""
    after = everything(node)
    for what in before:
        expect(before[what], f"no {what} were found to compare")
        expect(before[what] == after[what], f"{what} have changed:\n{differences(before[what], after[what])}")


def refuses(node, bad, *named):
    """A configuration that is wrong is refused with the places and reasons that are named, and nothing is touched; the good one is put back."""
    path = node.path(CONFIGURATION)
    good, before = path.read_text(), everything(node)
    path.write_text(bad)
    said(node.reconcile(exit=78).stderr, *named)
    path.write_text(good)
    unchanged(node, before)


def join(node, printed, flag=None):
    """Joins with a command that was printed; see join_command."""
    node.do(*join_command(printed, flag))


def join_command(printed, flag=None):
    """The first `kubeadm join` that was printed: the one with the flag or, where there is none, that of a worker."""
    commands = [shlex.split(line, comments=True) for line in printed.splitlines()]
    commands = [words for words in commands if words[:2] == ["kubeadm", "join"]]
    fit = [words for words in commands if (flag in words if flag else "--control-plane" not in words)]
    expect(fit, f"no kubeadm join {flag or ''} in:\n{printed}")
    return [*fit[0], "--ignore-preflight-errors=SystemVerification"]  # as the configuration of the first node has it


TESTS = {"way-up": way_up, "second-control-plane": second_control_plane}
