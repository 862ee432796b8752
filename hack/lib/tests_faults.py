"""What goes wrong on the way up is said in time and by its name. When its cause is gone, the next run converges."""
import re

import cache
import images
from node import expect, said
from preflight_faults import listening

# The bounds of what planekeeper waits for, instead of minutes. They stay when the cause is gone: the first of them is in the manifests.
SHORT = """\
timeouts:
  controlPlaneComponentHealthCheck: 25s
  kubeletHealthCheck: 15s
  kubernetesAPICall: 10s
  tlsBootstrap: 15s
"""
SECONDS_TO_FAIL = 100  # some of these one after the other, and the work besides
UNCHECKED = ("--ignore-preflight-errors=all",)  # what preflight would say comes up on the way
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"


def fails(node, *named, flags=()):
    """A run ends with 1 within its bounds, and its output has these words in it."""
    done = node.reconcile(*flags, exit=1, timeout=SECONDS_TO_FAIL)
    said(done.stdout + done.stderr, *named)


def converges(node):
    node.reconcile()
    node.wait_until_ready(pods=0)


def container_runtime(test):
    node = test.node("a", init=SHORT)
    with test.check("containerd that does not run is named with its socket"):
        node.do("systemctl", "stop", "containerd")
        fails(node, "the container runtime cannot be reached", "containerd.sock")
        fails(node, "the container runtime cannot be reached", "containerd.sock", flags=UNCHECKED)
    with test.check("once containerd runs, reconcile converges"):
        node.do("systemctl", "start", "containerd")
        converges(node)


def image(test):
    node = test.node("a", init=SHORT, node="imagePullPolicy: Never\n")
    name = next(reference for reference in images.archives(cache.NEWEST) if "/kube-scheduler:" in reference)
    ctr = ("ctr", "--namespace=k8s.io", "images")
    node.do(*ctr, "tag", name, "kept.example/image:1")
    node.do(*ctr, "remove", "--sync", name)
    with test.check("an image that is not there and may not be pulled is named"):
        fails(node, name, "imagePullPolicy")
        fails(node, name, "imagePullPolicy", flags=UNCHECKED)
    with test.check("an image that cannot be pulled is named"):
        node.configure(init=SHORT)
        fails(node, name, "cannot pull")
    with test.check("once the image is there, reconcile converges"):
        node.do(*ctr, "tag", "kept.example/image:1", name)
        converges(node)


def port(test):
    node = test.node("a", init=SHORT)
    with test.check("a port of the API server that somebody else has is named before anything is changed"):
        node.do("systemd-run", "--unit=other", "socat", "TCP-LISTEN:6443,fork,reuseaddr", "EXEC:/bin/true")
        node.do("bash", "-c", listening(6443))
        fails(node, "Port-6443: in use by socat", "systemctl disable --now other.service", "Nothing was changed")
        expect(not node.path("/etc/kubernetes").exists(), "there is a /etc/kubernetes")
    with test.check("a port that is taken after preflight is named too"):
        fails(node, "kube-apiserver", "6443", "address already in use", flags=UNCHECKED)
    with test.check("once the port is free, reconcile converges"):
        node.do("systemctl", "stop", "other")
        converges(node)


def disk(test):
    node = test.node("a", init=SHORT)
    with test.check("a full disk is named with the file that it has no room for"):
        node.do("mkdir", "/etc/kubernetes")
        node.do("mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", "/etc/kubernetes")
        fails(node, "/etc/kubernetes/", "No space left on device")
    with test.check("once there is room, reconcile converges with the CAs that it had made"):
        before = node.identity_keys()
        node.do("mount", "-o", "remount,size=10m", "/etc/kubernetes")
        converges(node)
        after = node.identity_keys()
        expect(before.items() <= after.items(), f"keys have changed: {before} -> {after}")


def api_server(test):
    node = test.node("a", init=SHORT)
    with test.check("an API server that hangs amid a run is named in time"):
        run = node.start_reconcile()
        # Stopped as soon as it runs, some seconds before it can be ready.
        stopped = lambda: node.run(["pkill", "-STOP", "-x", "kube-apiserver"]).returncode == 0
        node.wait_for("the API server", lambda: "" if stopped() else "it does not run", seconds=60)
        output = run.communicate(timeout=SECONDS_TO_FAIL)[0]
        node.transcript.append(output)
        said(output, "failed gate:kube-apiserver")
        expect(run.returncode == 1, f"exit code {run.returncode}")
    with test.check("once it goes on, the next run converges"):
        node.run(["pkill", "-CONT", "-x", "kube-apiserver"])
        converges(node)
    with test.check("a manifest that goes is put back, and the API server is back once the kubelet has let it end"):
        node.path(MANIFEST).unlink()
        # The kubelet gives an API server half a minute to end, which is longer than a run may wait here: one of the two at the most meets that,
        # as the kubelet finds out sooner or later.
        for _ in range(2):
            done = node.run(["planekeeper", "reconcile"], timeout=SECONDS_TO_FAIL)
            expect(done.returncode in (0, 1), f"exit code {done.returncode}")
            expect(node.path(MANIFEST).exists(), f"it is not there:\n{done.stdout}{done.stderr}")
        converges(node)
    with test.check("a run right after the API server was killed waits for it, and changes nothing"):
        node.do("pkill", "-KILL", "-x", "kube-apiserver")
        done = node.reconcile().stdout
        expect(not re.search(r"\b(created|changed|repaired)\b", done), f"it says: {done}")


TESTS = {"fault-container-runtime": container_runtime, "fault-image": image, "fault-port": port, "fault-disk": disk,
         "fault-api-server": api_server}
