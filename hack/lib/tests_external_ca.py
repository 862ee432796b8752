"""A control plane whose CAs have their keys elsewhere: what a person has to bring is said, in time; what is there is kept, and kept right."""
import base64
import datetime
import json

import tests_watch
from authority import Authority
from node import CONFIGURATION, SECONDS_FOR_A_RUN, expect, last, said
from tests_way_up import everything, join_command, unchanged

PKI = "/etc/kubernetes/pki"
CAS = {"ca": "kubernetes", "front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"}
# What each CA signs below PKI, and for which usages.
CERTIFICATES = {
    "apiserver": ("ca", "serverAuth"), "apiserver-kubelet-client": ("ca", "clientAuth"),
    "front-proxy-client": ("front-proxy-ca", "clientAuth"), "apiserver-etcd-client": ("etcd/ca", "clientAuth"),
    "etcd/server": ("etcd/ca", "serverAuth, clientAuth"), "etcd/peer": ("etcd/ca", "serverAuth, clientAuth"),
    "etcd/healthcheck-client": ("etcd/ca", "clientAuth")}
KUBECONFIGS = {
    "admin.conf": "kubernetes-admin", "super-admin.conf": "kubernetes-super-admin", "controller-manager.conf": "system:kube-controller-manager",
    "scheduler.conf": "system:kube-scheduler", "kubelet.conf": "system:node:{name}"}
KUBELETS = "/var/lib/kubelet/pki/kubelet-client-current.pem"
DAY = datetime.timedelta(days=1)
FOLDERS = ("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd")


class Keeper:
    """Who keeps the CAs, and signs what the real kubeadm asks for on a host."""

    def __init__(self, folder):
        self.authorities = {name: Authority(folder / name.replace("/", "-"), subject) for name, subject in CAS.items()}

    def give_cas(self, node):
        node.path(f"{PKI}/etcd").mkdir(parents=True)
        for name, authority in self.authorities.items():
            node.path(f"{PKI}/{name}.crt").write_text(authority.certificate)

    def give_all(self, node):
        """Has keys and requests made on the host, and puts the certificates beside the keys and into the kubeconfigs."""
        node.do("kubeadm", "certs", "generate-csr", f"--config={CONFIGURATION}", f"--cert-dir={PKI}", "--kubeconfig-dir=/etc/kubernetes")
        for name in CERTIFICATES:
            self.give(node, name)
        for name in KUBECONFIGS:
            self.give_kubeconfig(node, name)

    def give(self, node, name, **life):
        ca, usages = CERTIFICATES[name]
        request = node.path(f"{PKI}/{name}.csr").read_text()
        node.path(f"{PKI}/{name}.crt").write_text(self.authorities[ca].sign(request, usages, **life))

    def give_kubeconfig(self, node, name):
        path, user = f"/etc/kubernetes/{name}", KUBECONFIGS[name].format(name=node.name)
        node.path("/run/signed.crt").write_text(self.client(node.path(f"{path}.csr").read_text()))
        config = ("kubectl", "config", f"--kubeconfig={path}")
        node.do(*config, "set-credentials", user, "--client-certificate=/run/signed.crt", "--embed-certs")
        node.do(*config, "set-cluster", "kubernetes", f"--certificate-authority={PKI}/ca.crt", "--embed-certs")

    def client(self, request, **life):
        return self.authorities["ca"].sign(request, "clientAuth", **life)


def external_ca(test):
    node, keeper = test.node("a"), Keeper(test.folder / "cas")
    missing(test, node, keeper)
    with test.check("with the certificates that were asked for, reconcile takes the host to a Ready node, and no CA has its key there"):
        node.reconcile()
        node.wait_until_ready()
        keys = {f"/{path.relative_to(node.root)}" for path in node.path(PKI).rglob("*ca.key")}
        expect(not keys, f"keys of CAs: {keys}")
    with test.check("the kubelet's certificate is where the kubelet renews it, as with kubeadm"):
        said(node.path("/etc/kubernetes/kubelet.conf").read_text(), f"client-certificate: {KUBELETS}")
    with test.check("a second run says No changes, and changes nothing"):
        before = everything(node)
        expect(node.reconcile().stdout.startswith("No changes."), "it does not")
        unchanged(node, before)
    drift(test, node)
    ending(test, node, keeper)
    watched(test, node, keeper)


def missing(test, node, keeper):
    with test.check("of a bare host with CAs alone, everything that is to be signed is said in one run, and nothing is touched"):
        keeper.give_cas(node)
        before = node.files(*FOLDERS)
        done = node.reconcile(exit=1)
        said(done.stdout, *(f"certificate:{name}" for name in CERTIFICATES), *(f"kubeconfig:{name}" for name in KUBECONFIGS))
        said(done.stdout, f"IP:{node.address}", "DNS:kubernetes.default.svc", "O=system:nodes", "usages serverAuth, clientAuth", f"{PKI}/etcd/ca.crt")
        said(done.stderr, "Nothing was changed")
        expect(node.files(*FOLDERS) == before, "files have changed")
    with test.check("of certificates of which one is not there and one is another CA's, it says only these"):
        keeper.give_all(node)
        good = node.path(f"{PKI}/front-proxy-client.crt").read_text()
        other = keeper.client(node.path(f"{PKI}/front-proxy-client.csr").read_text())
        node.path(f"{PKI}/front-proxy-client.crt").write_text(other)
        node.path(f"{PKI}/apiserver.crt").unlink()
        done = node.reconcile(exit=1)
        said(done.stdout, f"{PKI}/apiserver.crt is not as wanted (certificate)", f"{PKI}/front-proxy-client.crt is not as wanted (issuer)")
        expect(done.stdout.count("REFUSED") == 2, f"it says:\n{done.stdout}")
        expect(node.path(f"{PKI}/front-proxy-client.crt").read_text() == other, "it was written over")
        node.path(f"{PKI}/front-proxy-client.crt").write_text(good)
        keeper.give(node, "apiserver")


def drift(test, node):
    with test.check("a mode, a manifest and the place that a kubeconfig leads to are put right, with the certificates that were given"):
        certificates = {name: node.path(f"{PKI}/{name}.crt").read_bytes() for name in CERTIFICATES}
        node.path(f"{PKI}/apiserver.key").chmod(0o644)
        manifest = node.path("/etc/kubernetes/manifests/kube-scheduler.yaml")
        manifest.write_text(manifest.read_text().replace("--leader-elect=true", "--leader-elect=false"))
        kubeconfig = node.path("/etc/kubernetes/scheduler.conf")
        good = kubeconfig.read_text()
        kubeconfig.write_text(good.replace(node.address, "192.0.2.99"))
        said(node.reconcile().stdout, "apiserver.key mode", "--leader-elect", "server", "3 repaired")
        key = lambda text: [line for line in text.splitlines() if "client-" in line]
        expect(key(kubeconfig.read_text()) == key(good) and node.address in kubeconfig.read_text(), "the kubeconfig is another")
        expect(certificates == {name: node.path(f"{PKI}/{name}.crt").read_bytes() for name in CERTIFICATES}, "certificates have changed")
        node.wait_until_ready()


def near_its_end():
    """A life of which the last twentieth has begun."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"begins": now - 19 * DAY, "ends": now + DAY}


def ending(test, node, keeper):
    with test.check("a certificate that nears its end is said with what to have signed, and left as it is"):
        keeper.give(node, "front-proxy-client", **near_its_end())
        node.reconcile()  # the status has news
        before = everything(node)
        printed = node.reconcile().stdout
        said(printed, "certificate:front-proxy-client", "to be renewed by hand", "CN=front-proxy-client", "usages clientAuth", "No changes.")
        said(node.do("planekeeper", "certs", "list").stdout, "by hand")
        unchanged(node, before)


def watched(test, node, keeper):
    with test.check("a watch tells of it: in its log, its status, its metrics, a condition and an Event"):
        tests_watch.start(node)
        tests_watch.converged(node)
        said(tests_watch.log(node), "RenewByHand: certificate:front-proxy-client")
        said(node.do("planekeeper", "status", "--wait").stdout, "CONVERGED", "TO BE RENEWED BY HAND: front-proxy-client")
        expect(metric(node, "front-proxy-client") == "1" and metric(node, "apiserver") == "0", "the metrics do not tell")
        node.wait_for("the condition", lambda: condition(node) != "True RenewalNeeded" and condition(node))
    with test.check("the kubelet asks for its next certificate by itself; what nobody has signed in time is told, and forgotten once it is"):
        renew_kubelet(node, keeper)
    with test.check("what a person renews in time is all well"):
        keeper.give(node, "front-proxy-client")
        node.wait_for("the condition", lambda: condition(node) != "True AllValid" and condition(node))
        expect(metric(node, "front-proxy-client") == "0", "the metrics do not tell")


def renew_kubelet(node, keeper):
    current = node.path(KUBELETS)
    pem = current.parent / current.readlink().name
    key = pem.read_text().partition("-----END CERTIFICATE-----\n")[2]
    pem.write_text(keeper.client(node.path("/etc/kubernetes/kubelet.conf.csr").read_text(), **near_its_end()) + key)
    node.do("systemctl", "restart", "kubelet")
    node.do("systemctl", "reload", "planekeeper")
    node.wait_for("the metrics", lambda: metric(node, "kubelet.conf") != "1" and metric(node, "kubelet.conf"))
    node.wait_for("an Event", lambda: "kubelet.conf" not in events(node) and events(node))
    said(node.do("planekeeper", "plan").stdout, "CertificateSigningRequest", "O=system:nodes")
    sign_requests(node, keeper)
    node.wait_for("the kubelet's next certificate", lambda: current.readlink().name == pem.name and "it has none")
    node.do("systemctl", "reload", "planekeeper")
    node.wait_for("the metrics", lambda: metric(node, "kubelet.conf") != "0" and metric(node, "kubelet.conf"))


def sign_requests(node, keeper, while_it_runs=None):
    """Signs, in place of the cluster's own signer, what the cluster has approved."""
    def approved():
        """Requests that are approved and not signed yet."""
        listed = json.loads(node.kubectl("get", "certificatesigningrequests", "--output=json"))["items"]
        return [one for one in listed if "certificate" not in one["status"]
                and any(condition["type"] == "Approved" for condition in one["status"].get("conditions", []))]
    ended = lambda: while_it_runs is not None and while_it_runs.poll() is not None
    node.wait_for("a request that is approved", lambda: not approved() and not ended() and "there is none")
    for one in approved():
        signed = keeper.client(base64.b64decode(one["spec"]["request"]).decode())
        patch = json.dumps({"status": {"certificate": base64.b64encode(signed.encode()).decode()}})
        node.kubectl("patch", "certificatesigningrequest", one["metadata"]["name"], "--subresource=status", "--type=merge", f"--patch={patch}")


def metric(node, name):
    """Whether a person has to renew a certificate, as the metrics have it; empty where they do not."""
    fetched = node.do("socat", "-T5", "SYSTEM:'printf \"GET /metrics HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n\"; cat >&2'", "TCP:127.0.0.1:10264")
    lines = [line for line in (fetched.stdout + fetched.stderr).splitlines() if line.startswith("planekeeper_certificate_renewal_needed{")]
    return next((line.rpartition(" ")[2] for line in lines if f'name="{name}"' in line), "")


def condition(node):
    """The status and the reason of what the cluster is told of certificates."""
    path = '{.status.conditions[?(@.type=="CertificatesValid")]}'
    done = node.run(["kubectl", "get", "controlplanenode", node.name, f"--output=jsonpath={path}"], timeout=60)
    found = json.loads(done.stdout or "{}")
    return f"{found.get('status')} {found.get('reason')}"


def events(node):
    return node.kubectl("get", "events", "--field-selector=reason=CertificateRenewalNeeded", "--output=jsonpath={.items[*].message}") or "none"


def external_ca_join(test):
    first, keeper = test.node("a"), Keeper(test.folder / "cas")
    keeper.give_cas(first)
    keeper.give_all(first)
    printed = first.reconcile("--upload-certs").stdout
    with test.check("a second control plane joins with uploaded certificates and what was signed for it elsewhere"):
        second = test.node("b", endpoint=first.address)
        keeper.give_cas(second)
        keeper.give_all(second)
        for path in second.path(PKI).rglob("*ca.crt"):
            path.unlink()  # they come with the upload
        second.path("/etc/kubernetes/kubelet.conf").unlink()  # a kubelet that joins asks for its own
        join(first, keeper, second, printed, "--certificate-key")
        first.wait_until_ready(nodes=2, pods=12)
        expect(first.path(f"{PKI}/sa.key").read_bytes() == second.path(f"{PKI}/sa.key").read_bytes(), "another sa.key")
        expect(not list(second.path(PKI).rglob("*ca.key")), "keys of CAs came with it")
    with test.check("a worker joins once somebody has signed what its kubelet asks for"):
        worker = test.node("worker")
        join(first, keeper, worker, printed)
        first.wait_until_ready(nodes=3, pods=13)


def join(first, keeper, node, printed, flag=None):
    """Joins with a command that was printed, while somebody signs what the kubelet of the node asks for."""
    run = node.begin(*join_command(printed, flag))
    try:
        sign_requests(first, keeper, while_it_runs=run)
    finally:
        output = run.communicate(timeout=SECONDS_FOR_A_RUN)[0]
        node.transcript.append(output)
    expect(run.returncode == 0, last(output))


TESTS = {"external-ca": external_ca}
MORE = {"external-ca-join": external_ca_join}
