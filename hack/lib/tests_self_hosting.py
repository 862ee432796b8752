"""The control plane moves into DaemonSets, comes back after a reboot, is kept there, and moves back."""
import contextlib
import json
import re
import time

import kubeadm_init
from node import CONFIGURATION, expect, said
from outage import Outage

import tests_watch
import tests_way_up

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
MANIFESTS = "/etc/kubernetes/manifests"
SYSTEM = "--namespace=kube-system"
HOSTING = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\ncontrolPlaneHosting: {}\n"
SECONDS_TO_REFUSE = 60  # a change that is tried again takes longer: a container ends three times, each time later


def moves(test):
    node = test.node("a")
    node.reconcile()
    node.wait_until_ready()
    plain = static_pods(node)
    with test.check("plan shows the DaemonSets, and what happens to the manifests"):
        configure(node, "SelfHosted")
        plan = node.do("planekeeper", "plan", "--detailed-exitcode", exit=2).stdout
        expect(all(f"DaemonSet/kube-system/self-hosted-{name}" in plan for name in COMPONENTS), plan)
    with test.check("the control plane moves into DaemonSets, and the API server answers all the way but for a restart"):
        with Outage(test, node, "to DaemonSets"):
            node.reconcile()
        is_self_hosted(node)
        node.wait_until_ready()
        for name in COMPONENTS:  # the API server takes half a minute
            node.wait_for(f"the static {name} to end", lambda name=name: tasks(node, "pod", f"{name}-{node.name}") and "it runs")
    with test.check("a second run says No changes, and plan and status agree"):
        quiet(node)
    with test.check("what a control plane cannot host itself with is refused with its field, and nothing is touched"):
        good = node.path(CONFIGURATION).read_text()
        for bad, named in ((flag("leader-elect", '"false"'), "scheduler.extraArgs[0]"), (flag("permit-port-sharing", '"false"'), "scheduler.extraArgs[0]")):
            tests_way_up.refuses(node, good.replace("networking:\n", f"{bad}networking:\n"), named, "set controlPlaneHosting: StaticPods")
        tests_way_up.refuses(node, good.replace("SelfHosted", "Pods"), "PlanekeeperConfiguration.controlPlaneHosting")
    with test.check("a scheduler whose kubeconfig is made anew starts again in its Pod, as does an API server whose keys are newer, and nothing else"):
        node.path("/etc/kubernetes/scheduler.conf").unlink()
        restarts_alone(test, node, "kube-scheduler")
        node.path("/etc/kubernetes/pki/sa.pub").touch()
        restarts_alone(test, node, "kube-apiserver")
    with test.check("a manifest that somebody puts back goes"):
        node.path(f"{MANIFESTS}/kube-scheduler.yaml").write_text(plain["kube-scheduler"])
        said = node.reconcile().stdout
        expect(re.search(r"- file:\S*kube-scheduler.yaml\s+drift", said), said)
        is_self_hosted(node)
    killed(test, node, plain)


def restarts_alone(test, node, name):
    """A run ends the container of one component, and the kubelet makes another in the same Pod. Who could not do without the API server for
    so long has another too."""
    for other in COMPONENTS:
        # A static Pod's API server takes half a minute to end.
        node.wait_for(f"one container of {other}", lambda other=other: "" if len(containers(node, other)) == 1 else "there are more")
    before, old, pod = node.containers(), components(node), identity(node, name)
    with Outage(test, node, f"while {name} starts again") as outage:
        said = node.reconcile().stdout
    expect(re.search(rf"pod:{name}\s", said), f"it says: {said}")
    node.wait_until_led()
    after, new = node.containers(), components(node)
    theirs = {container for other in outage.excused() - {name} for container in old[other] | new[other]}
    ended, begun = dict(before.items() - after.items()).keys() - theirs, dict(after.items() - before.items()).keys() - theirs
    expect(ended == old[name], f"others ended too: {ended}, not {old[name]}")
    expect(begun == new[name] and len(begun) == 1, f"others began too: {begun}, not {new[name]}")
    expect(identity(node, name) == pod, "its Pod is another")
    is_self_hosted(node)
    quiet(node)


def components(node):
    return {name: containers(node, name) for name in COMPONENTS}


def containers(node, name):
    """The ids of a component's containers that run."""
    return tasks(node, "container", name)


def tasks(node, kind, name):
    """The ids of what runs of a Pod, with its sandbox, or of a container of this name."""
    label = f'labels."io.kubernetes.{kind}.name"=={name}'
    made = node.do("ctr", "--namespace=k8s.io", "containers", "list", "--quiet", label).stdout.split()
    return set(made) & set(node.do("ctr", "--namespace=k8s.io", "tasks", "list", "--quiet").stdout.split())


def drift(test):
    node = test.node("a")
    configure(node, "SelfHosted")
    with test.check("a bare host becomes self-hosted in one run"):
        node.reconcile()
        is_self_hosted(node)
        node.wait_until_ready()
    with test.check("an edited or deleted DaemonSet is put right, though the API server goes with its Pods"):
        node.kubectl("patch", "daemonset", "self-hosted-kube-controller-manager", SYSTEM, "--patch",
                     '{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 17}, "metadata": {"labels": {"tier": "mine"}}}}}')
        node.reconcile()
        quiet(node)
        old = identity(node, "kube-apiserver")
        node.kubectl("delete", "daemonset", "self-hosted-kube-apiserver", SYSTEM, "--wait=false")
        with Outage(test, node, "without the DaemonSet of the API server"):
            node.reconcile()
            is_self_hosted(node)
        expect(identity(node, "kube-apiserver") != old, "its Pod is still there")
        node.wait_until_ready()
        quiet(node)
    changed(test, node)


def changed(test, node):
    with test.check("a changed flag is rolled out beside what runs; one that is wrong takes nothing away, and is taken back after a kill"):
        configure(node, "SelfHosted", flag("v"))
        node.reconcile()
        expect("--v=3" in pods(node, "kube-scheduler"), "the scheduler does not have its flag")
        quiet(node)
        working = identity(node, "kube-scheduler")
        configure(node, "SelfHosted", flag("nonsense"))
        run = node.start_reconcile()
        node.wait_for("the new scheduler to fail", lambda: "" if "nonsense" in pods(node, "kube-scheduler") and failures(node) else "not yet")
        expect(set(working) < set(identity(node, "kube-scheduler")), "the scheduler that works is gone")
        node.run(["pkill", "-KILL", "-x", "planekeeper"])
        node.transcript.append(run.communicate(timeout=60)[0])
        configure(node, "SelfHosted", flag("v"))
        node.reconcile()
        is_self_hosted(node)
        expect(identity(node, "kube-scheduler") == working, "the scheduler that works was replaced")
        quiet(node)
    given_up(test, node, working)


def given_up(test, node, working):
    with test.check("a flag with which a component does not come up is taken back, and not tried again, nor by what helps up after a reboot"):
        configure(node, "SelfHosted", flag("nonsense"))
        said(node.reconcile(exit=1).stdout, "DaemonSet/kube-system/self-hosted-kube-scheduler", "unknown flag: --nonsense", "again as before")
        expect(identity(node, "kube-scheduler") == working and "nonsense" not in pods(node, "kube-scheduler"), "the scheduler is another")
        refused(node)
        node.reboot()
        node.wait_for("the kubelet", lambda: node.run(["systemctl", "is-active", "kubelet"]).stdout.strip() != "active" and "it does not run")
        refused(node)
        configure(node, "SelfHosted", flag("v"))
        node.reconcile()
        quiet(node)


def refused(node):
    """A run does what there is to do but for the change that was given up, and waits for nothing that cannot come."""
    said(node.reconcile(exit=1).stdout, "not tried again")
    is_self_hosted(node)
    before = node.containers()
    node.reconcile(exit=1, timeout=SECONDS_TO_REFUSE)
    expect(node.containers() == before, "containers are others")


def flag(name, value='"3"'):
    return f"scheduler:\n  extraArgs:\n  - name: {name}\n    value: {value}\n"


def failures(node):
    """How often a container of the scheduler was made again."""
    found = json.loads(pods(node, "kube-scheduler"))["items"]
    return sum(status["restartCount"] for pod in found for status in pod["status"].get("containerStatuses", []))


def killed(test, node, plain):
    with test.check("a move back that is killed on its way is carried on by the next run, and the manifests are as they were"):
        configure(node, "StaticPods")
        run = node.start_reconcile()
        node.wait_for("a manifest", lambda: not any(static_pods(node)) and "there is none")
        time.sleep(3)
        node.run(["pkill", "-KILL", "-x", "planekeeper"])
        node.transcript.append(run.communicate(timeout=60)[0])
        with Outage(test, node, "back to static Pods"):
            node.reconcile()
        expect(static_pods(node) == plain, "the manifests are others")
        left = node.kubectl("get", "daemonsets,pods", SYSTEM, "--output=name")
        expect("self-hosted" not in left, left)
        node.wait_until_ready()
        quiet(node)


def reboot(test):
    node = test.node("a")
    configure(node, "SelfHosted")
    with test.check("a watch makes a bare host self-hosted"):
        tests_watch.start(node)
        node.do("systemctl", "enable", "planekeeper")
        tests_watch.converged(node)
        is_self_hosted(node)
        node.wait_until_ready()
    with test.check("after a power cut the control plane comes back by itself, into its DaemonSets"):
        before = {name: identity(node, name) for name in COMPONENTS}
        node.reboot()
        began = time.monotonic()
        node.wait_for("the API server", lambda: node.run(["kubectl", "get", "--raw=/readyz"], timeout=60).returncode and "it does not answer")
        test.say(f"the API server answers {time.monotonic() - began:.1f} s after the boot")
        node.wait_for("the manifests to go", lambda: " ".join(present(node)))
        test.say(f"all is in DaemonSets again {time.monotonic() - began:.1f} s after the boot")
        tests_watch.converged(node)
        is_self_hosted(node)
        expect({name: identity(node, name) for name in COMPONENTS} == before, "the Pods are others")
        node.wait_until_ready()
    with test.check("Pods that are deleted come back, those of the scheduler and of the controller manager too"):
        for name in reversed(COMPONENTS):
            old = identity(node, name)
            began = time.monotonic()
            with Outage(test, node, f"without the Pod of {name}"):
                node.kubectl("delete", "pod", SYSTEM, "--wait=false", f"--selector=k8s-app=self-hosted-{name}")
                node.wait_for(name, lambda: is_new(node, name, old))
            test.say(f"{name} is back {time.monotonic() - began:.1f} s after its Pod was deleted")
            node.wait_for("the manifests to go", lambda: " ".join(present(node)))
        tests_watch.converged(node)
        is_self_hosted(node)
    with test.check("reset takes a self-hosted control plane down"):
        node.do("systemctl", "disable", "--now", "planekeeper")
        node.do("planekeeper", "reset", "--force")
        expect(not node.containers(), "containers still run")


def configure(node, kind, cluster=""):
    text = kubeadm_init.configuration(node.address, cluster=cluster)
    path = node.path(CONFIGURATION)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + HOSTING.format(kind))


def static_pods(node):
    """The manifests of the components that are there, by their names."""
    texts = {}
    for name in COMPONENTS:
        with contextlib.suppress(FileNotFoundError):
            texts[name] = node.path(f"{MANIFESTS}/{name}.yaml").read_text()
    return texts


def present(node):
    return [name for name in COMPONENTS if node.path(f"{MANIFESTS}/{name}.yaml").exists()]


def is_self_hosted(node):
    """No component is a static Pod, and one Pod of each DaemonSet runs."""
    expect(not present(node), f"there are manifests: {present(node)}")
    expect(node.path(f"{MANIFESTS}/etcd.yaml").exists(), "etcd is no static Pod")
    for name in COMPONENTS:
        node.wait_for(f"one Pod of {name}", lambda: one_pod(node, name))


def one_pod(node, name):
    found = json.loads(pods(node, name))["items"]
    return "" if len(found) == 1 else f"there are {len(found)}"


def pods(node, name):
    done = node.run(["kubectl", "get", "pods", SYSTEM, f"--selector=k8s-app=self-hosted-{name}", "--output=json"], timeout=60)
    return done.stdout if done.returncode == 0 else '{"items": []}'


def identity(node, name):
    return [pod["metadata"]["uid"] for pod in json.loads(pods(node, name))["items"]]


def is_new(node, name, old):
    """What is missing until another Pod runs in place of the old one."""
    found = json.loads(pods(node, name))["items"]
    if len(found) != 1 or found[0]["metadata"]["uid"] in old:
        return f"{len(found)} Pods"
    running = [status for status in found[0]["status"].get("containerStatuses", []) if "running" in status["state"]]
    return "" if running else "it does not run"


def quiet(node):
    """Nothing is left to do, and nothing is done. The sandbox of a Pod that has gone may end meanwhile."""
    node.wait_until_led()
    before, running = node.containers(), components(node)
    said = node.reconcile().stdout
    expect(said.startswith("No changes."), f"it says: {said}")
    node.do("planekeeper", "plan", "--detailed-exitcode")
    expect(not node.containers().items() - before.items() and components(node) == running, "containers are others")


TESTS = {"self-hosting-moves": moves, "self-hosting-reboot": reboot}
MORE = {"self-hosting-drift": drift}
