"""What runs is changed, restarted and renewed on a real control plane: one component at a time, in as short a time as it takes, and back
to what worked where the new does not."""
import base64
import os
import pathlib
import re
import subprocess
import tempfile
import time

import tests_watch
from node import expect, last, said
from outage import LED, Outage

RENEWALS = int(os.environ.get("RENEWALS") or 2)  # of each certificate, under a watch
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
MANIFEST = f"{tests_watch.MANIFESTS}/kube-apiserver.yaml"
QUICK_KEYS = "encryptionAlgorithm: ECDSA-P256\n"
SHORT_LIFE = 90  # seconds that a certificate lives which is renewed again and again
# The controller manager signs what the kubelet renews by itself.
OFF_SOON = QUICK_KEYS + """\
certificateValidityPeriod: 45s
controllerManager:
  extraArgs:
  - name: cluster-signing-duration
    value: 45s
"""
SECONDS_OFF = 60


def flag(component, value, name="v"):
    field = {"kube-apiserver": "apiServer", "kube-controller-manager": "controllerManager", "kube-scheduler": "scheduler"}.get(component)
    args = f'extraArgs: [{{name: {name}, value: "{value}"}}]'
    return f"{field}: {{{args}}}\n" if field else f"etcd: {{local: {{{args}}}}}\n"


def rollout(test):
    node = test.node("a")
    node.reconcile()
    node.wait_until_ready()
    with test.check("a changed flag of the API server is rolled out, and nothing else restarts"):
        before = pids(node)
        node.configure(cluster=flag("kube-apiserver", "false", "profiling"))
        with Outage(test, node) as outage:
            done = node.reconcile()
        said(done.stdout, "Restarted: kube-apiserver.\n")
        restarted_alone(node, before, outage)
    with test.check("right after a start of the kubelet too, which lets go of no Pod then until it has heard from an API server"):
        node.do("systemctl", "restart", "kubelet")
        node.configure(cluster=flag("kube-apiserver", "true", "profiling"))
        with Outage(test, node):
            node.reconcile()
        silent(node)
    with test.check("a flag that does not work is taken back, and not tried again"):
        good = node.path(MANIFEST).read_text()
        node.configure(cluster=flag("kube-apiserver", "1", "no-such-flag"))
        with Outage(test, node):
            done = node.reconcile(exit=1)
        said(done.stdout + done.stderr, "did not become healthy", "restored the manifest of before", "no-such-flag")
        expect(node.path(MANIFEST).read_text() == good, "the manifest is another one")
        node.wait_until_led()
        before = pids(node)
        again = node.reconcile(exit=1)
        said(again.stdout + again.stderr, "not tried again", "no-such-flag")
        expect(pids(node) == before, "something was restarted")
    with test.check("a run that is killed while it does that is carried on by the next, to the same end"):
        node.configure(cluster=flag("kube-apiserver", "2", "no-such-flag"))
        run = node.start_reconcile()
        node.wait_for("the manifest to be taken away", lambda: node.path(MANIFEST).exists() and "it is there", seconds=60)
        node.run(["pkill", "-KILL", "-x", "planekeeper"])
        node.transcript.append(run.communicate(timeout=60)[0])
        done = node.reconcile(exit=1)
        said(done.stdout + done.stderr, "restored the manifest of before")
        expect(node.path(MANIFEST).read_text() == good, "the manifest is another one")
    with test.check("when all manifests change, one component restarts after the other"):
        node.configure(cluster="".join(flag(name, "debug" if name == "etcd" else "1", "log-level" if name == "etcd" else "v") for name in COMPONENTS))
        with Outage(test, node):
            node.reconcile()
        order = sorted(COMPONENTS, key=lambda name: started(node, name))
        expect(order == list(COMPONENTS), f"they started in this order: {order}")
        silent(node)


def restarts(test):
    node = test.node("a", cluster=QUICK_KEYS)
    node.reconcile()
    node.wait_until_ready()
    with test.check("a kubeconfig that is made anew restarts its component alone, and certificates that are reloaded restart nothing"):
        before = pids(node)
        node.path("/etc/kubernetes/controller-manager.conf").unlink()
        for name in ("apiserver", "apiserver-etcd-client", "front-proxy-client", "etcd/server", "etcd/peer"):
            node.path(f"/etc/kubernetes/pki/{name}.crt").unlink()
        done = node.reconcile().stdout
        said(done, "before /etc/kubernetes/controller-manager.conf changed")
        expect(changed(before, pids(node)) == {"kube-controller-manager"}, f"these have restarted: {changed(before, pids(node))}")
        silent(node)
    with test.check("a scheduler that hangs and calls itself healthy is found by its Lease, and restarted"):
        hang(node)
        node.wait_for("the Lease to be forgotten", lambda: "lease" not in plan(node) and plan(node), seconds=120)
        before = pids(node)
        said(node.reconcile().stdout, "pod:kube-scheduler", "not renewed for")
        expect(changed(before, pids(node)) == {"kube-scheduler"}, f"these have restarted: {changed(before, pids(node))}")
        silent(node)


def hang(node):
    """Starts the scheduler with a certificate that has ended, and puts the good one back as if it had always been there."""
    conf = node.path("/etc/kubernetes/scheduler.conf")
    seen, good = conf.stat(), conf.read_text()
    key, certificate = ended(node, "system:kube-scheduler")
    for field, pem in (("client-certificate-data", certificate), ("client-key-data", key)):
        conf.write_text(re.sub(f"{field}: .*", f"{field}: {base64.b64encode(pem).decode()}", conf.read_text()))
    node.do("pkill", "-KILL", "-x", "kube-scheduler")
    node.wait_for("the scheduler to start with it", lambda: node.run(["pgrep", "-x", "kube-scheduler"]).returncode)
    time.sleep(2)  # until it has read it
    conf.write_text(good)
    os.utime(conf, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def ended(node, name):
    """A key, and a certificate of the cluster's CA for it that ended years ago."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        pki = node.path("/etc/kubernetes/pki")
        (path / "index.txt").touch()
        (path / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=it\n[it]\nnew_certs_dir={path}\ndatabase={path}/index.txt\nrand_serial=yes\ndefault_md=sha256\n"
            f"certificate={pki}/ca.crt\nprivate_key={pki}/ca.key\npolicy=any\nx509_extensions=client\n[any]\ncommonName=supplied\n"
            "[client]\nextendedKeyUsage=clientAuth\n")
        request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path / "key", "-out", path / "csr",
                   "-subj", f"/CN={name}"]
        sign = ["ca", "-batch", "-notext", "-config", path / "ca.cnf", "-in", path / "csr", "-out", path / "crt",
                "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
        for words in (request, sign):
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        return (path / "key").read_bytes(), (path / "crt").read_bytes()


def plan(node):
    return node.run(["planekeeper", "plan"], timeout=60).stdout


def renewal(test):
    node = test.node("a", cluster=f"{QUICK_KEYS}certificateValidityPeriod: {SHORT_LIFE}s\n")
    tests_watch.start(node)
    with test.check(f"certificates that live for {SHORT_LIFE} s are renewed in time, {RENEWALS} times each, and the API server is never away"):
        node.wait_until_ready()
        before = pids(node)  # on a slow machine, from within the first renewal, for which two components start again
        with Outage(test, node) as outage:
            node.wait_for("renewals", lambda: too_few(node), seconds=SHORT_LIFE * (RENEWALS + 1))
            node.wait_for("both that cannot reload to have started again", lambda: not LED <= changed(before, pids(node)) and "one has not")
        expect(not outage.whole, f"the API server was away for {outage.whole:.1f} s")
        tests_watch.converged(node)
        restarted = changed(before, pids(node))
        expect(restarted == LED, f"these have restarted: {restarted}")
    with test.check("the cluster still works: what is deployed is scheduled and made"):
        node.kubectl("create", "deployment", "late", "--image=registry.k8s.io/pause:3.10.2")
        node.wait_for("its ReplicaSet and its Pod", lambda: "late-" not in node.kubectl("get", "pods", "--output=name") and "there is none")
        node.wait_until_ready()


def too_few(node):
    log = tests_watch.log(node)
    names = ("certificate:apiserver", "certificate:etcd/server", "certificate:front-proxy-client", "kubeconfig:scheduler.conf")
    return ", ".join(name for name in names if log.count(f"renewed {name}") < RENEWALS)


def powered_off(test):
    node = test.node("a", cluster=OFF_SOON)
    node.reconcile()
    with test.check("after a host was off until all certificates had ended, nothing on it starts"):
        node.configure(cluster=QUICK_KEYS)
        node.power_off()
        time.sleep(SECONDS_OFF)
        node.reboot()
        time.sleep(5)
        expect(node.run(["pgrep", "-x", "kube-apiserver"]).returncode, "the API server runs")
        expect(node.run(["curl", "--silent", "--fail", "http://127.0.0.1:10248/healthz"]).returncode, "the kubelet runs")
    with test.check("reconcile brings it back by itself, and the components start once, with what they need"):
        node.reconcile()
        node.wait_until_ready(pods=0)
        node.wait_for("the Leases to be renewed", lambda: "lease" in plan(node) and plan(node))
        silent(node)


def pids(node):
    """The processes of the components, once all of them run: another container has another one."""
    found = {}

    def missing():
        found.update((name, node.run(["pgrep", "-o", "-x", name[:15]]).stdout.strip()) for name in COMPONENTS)
        return ", ".join(name for name in COMPONENTS if not found[name])

    node.wait_for("the components to run", missing)
    return found


def changed(before, after):
    return {name for name in after if before[name] != after[name]}


def restarted_alone(node, before, outage):
    """The API server was restarted and nothing else, but for who could not do without it for so long."""
    node.wait_until_led()
    restarted = changed(before, pids(node)) - outage.excused()
    expect(restarted == {"kube-apiserver"}, f"these have restarted: {restarted}")


def started(node, name):
    return int(node.do("sh", "-c", f"cut -d' ' -f22 /proc/$(pgrep -o -x {name[:15]})/stat").stdout)


def silent(node):
    node.wait_until_led()
    done = node.reconcile().stdout
    expect(done.startswith("No changes."), f"it says: {last(done)}")


TESTS = {"renewal": renewal, "rollout": rollout, "restarts": restarts, "powered-off": powered_off}
