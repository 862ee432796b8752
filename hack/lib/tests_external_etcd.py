"""A control plane whose etcd is on another host, with TLS and a CA of its own: the real one, as a service there."""
import shutil

import cache
import preflight
from authority import Authority
from node import PODS, expect, said
from tests_faults import SHORT, UNCHECKED, fails
from tests_watch import MANIFESTS
from tests_way_up import everything, join, unchanged

FOLDER = "/etc/etcd"
UNIT = """\
[Service]
Type=notify
ExecStart=/usr/local/bin/etcd --name=remote --data-dir=/var/lib/etcd/data \\
  --listen-client-urls=https://{host}:2379 --advertise-client-urls=https://{host}:2379 --listen-peer-urls=http://127.0.0.1:2380 \\
  --client-cert-auth --trusted-ca-file={folder}/ca.crt --cert-file={folder}/server.crt --key-file={folder}/server.key
Restart=always
"""


def external_etcd(test):
    store, authority = etcd_host(test)
    node = test.node("a")
    configure(node, store)
    refused(test, node, store, authority)
    with test.check("with an etcd on another host, reconcile takes a bare host to a Ready node"):
        give(node, authority)
        node.reconcile()
        node.wait_until_ready(pods=PODS - 1)
        expect(not node.path(f"{MANIFESTS}/etcd.yaml").exists(), "there is a manifest of etcd")
        expect(not node.path("/etc/kubernetes/pki/etcd").exists(), "there are certificates for an etcd of its own")
    with test.check("a second run says No changes, and changes nothing"):
        before = everything(node)
        expect(node.reconcile().stdout.startswith("No changes."), "it does not")
        unchanged(node, before)
    with test.check("a manifest that drifts is put right"):
        path = node.path(f"{MANIFESTS}/kube-scheduler.yaml")
        path.write_text(path.read_text().replace("--leader-elect=true", "--leader-elect=false"))
        said(node.reconcile().stdout, "--leader-elect", "drift", "1 repaired")
    with test.check("a second control plane joins with the command of reconcile --upload-certs, and gets the certificates for etcd"):
        second = test.node("b")
        join(second, node.reconcile("--upload-certs").stdout, "--certificate-key")
        node.wait_until_ready(nodes=2, pods=10)
        for name in ("ca.crt", "client.crt", "client.key"):
            expect(second.path(f"{FOLDER}/{name}").read_bytes() == node.path(f"{FOLDER}/{name}").read_bytes(), f"{name} differs")
        expect(node.reconcile().stdout.startswith("No changes."), "reconcile on the first finds something to do")
        test.done_with(second)
        node.kubectl("delete", "node", second.name)  # it would be called not ready some time later
    lost_and_back(test, node, store)


def etcd_host(test):
    """A host on which etcd runs, and the CA of it and its clients."""
    authority = Authority(test.folder / "etcd-ca", "etcd's own CA")
    host = test.node("etcd")
    certificate, key = authority.issue("remote", "serverAuth, clientAuth", f"IP:{host.address}")
    shutil.copy(cache.peers() / "etcd", host.path("/usr/local/bin/etcd"))
    write(host, {"ca.crt": authority.certificate, "server.crt": certificate, "server.key": key})
    host.path("/etc/systemd/system/etcd.service").write_text(UNIT.format(host=host.address, folder=FOLDER))
    host.do("systemctl", "daemon-reload")
    host.do("systemctl", "start", "etcd")
    return host, authority


def write(host, files):
    host.path(FOLDER).mkdir(exist_ok=True)
    for name, text in files.items():
        host.path(f"{FOLDER}/{name}").write_text(text)


def configure(node, store, port=2379):
    files = "".join(f"    {field}: {FOLDER}/{name}\n" for field, name in (
        ("caFile", "ca.crt"), ("certFile", "client.crt"), ("keyFile", "client.key")))
    node.configure(init=SHORT, cluster=f"etcd:\n  external:\n    endpoints:\n    - https://{store.address}:{port}\n{files}")


def give(node, authority, client=None):
    """Brings the certificates for etcd: of its CA, and of another's client where one is given."""
    certificate, key = (client or authority).issue("kube-apiserver", "clientAuth")
    write(node, {"ca.crt": authority.certificate, "client.crt": certificate, "client.key": key})


def refused(test, node, store, authority):
    other = Authority(test.folder / "other-ca", "somebody else's CA")
    url = f"https://{store.address}:2379"
    with test.check("certificates for etcd that are not there are named, all of them, and nothing is touched"):
        is_refused(node, "ca.crt", "client.crt", "client.key")
    with test.check("another CA than etcd's is named"):
        give(node, other)
        is_refused(node, url, f"{FOLDER}/ca.crt")
    with test.check("a client that etcd does not know is named"):
        give(node, authority, client=other)
        is_refused(node, url, f"{FOLDER}/client.crt")
    with test.check("an etcd that cannot be reached is named"):
        give(node, authority)
        configure(node, store, port=2399)
        is_refused(node, f"https://{store.address}:2399", "refused")
        configure(node, store)
        store.do("systemctl", "stop", "etcd")
        is_refused(node, url, "refused")
        store.do("systemctl", "start", "etcd")


def is_refused(node, *words):
    """Preflight finds an error of etcd with these words, as kubeadm's does; reconcile says so too, and touches nothing."""
    ours = preflight.planekeeper(node)
    found = [finding for finding in ours.findings if finding.status == "error"]
    expect(found and all(finding.identifier.startswith("ExternalEtcd") for finding in found), f"it finds:\n{ours}")
    said("\n".join(map(str, found)), *words)
    done = node.reconcile(exit=1)
    said(done.stdout + done.stderr, "Nothing was changed", *words)
    expect(not node.path("/etc/kubernetes").exists(), "there is a /etc/kubernetes")


def lost_and_back(test, node, store):
    with test.check("an etcd that is lost is named in time, and nothing is changed for it"):
        store.do("systemctl", "stop", "etcd")
        before = node.files("/etc/kubernetes", "/var/lib/kubelet")
        fails(node, f"ExternalEtcdVersion: https://{store.address}:2379: connection refused", "Nothing was changed")
        fails(node, "kube-apiserver", flags=UNCHECKED)
        expect(before == node.files("/etc/kubernetes", "/var/lib/kubelet"), "files have changed")
    with test.check("once etcd is back, and the API server has found its way to it for all that it keeps, a run converges"):
        store.do("systemctl", "start", "etcd")
        # It is ready before it answers for every kind of object: these are held by a run that cannot read them in time.
        node.wait_for("a run that converges", lambda: node.tried("planekeeper", "reconcile").returncode and "the last did not")
        node.wait_until_ready(pods=0)


TESTS = {"external-etcd": external_etcd}
