"""The API server of a test host, asked without kubectl, which takes longer to start than planekeeper to repair."""
import base64
import http.client
import json
import re
import ssl
import tempfile
import time

from node import Failed

AWAY_MOST = 180  # seconds: an API server that is started anew, and the one after it
UNKNOWN = (403, 429)  # not allowed before its roles are known to it, or while the binding of who asks is gone; or too busy

CORE, RBAC = "/api/v1/namespaces/kube-system", "/apis/rbac.authorization.k8s.io/v1"
# Where objects of a kind are, below a namespace if they are in one.
PLACES = {"ConfigMap": ("/api/v1", "configmaps"), "Secret": ("/api/v1", "secrets"), "Service": ("/api/v1", "services"),
          "ServiceAccount": ("/api/v1", "serviceaccounts"), "Node": ("/api/v1", "nodes"),
          "Deployment": ("/apis/apps/v1", "deployments"), "DaemonSet": ("/apis/apps/v1", "daemonsets"),
          "Role": (RBAC, "roles"), "RoleBinding": (RBAC, "rolebindings"), "ClusterRole": (RBAC, "clusterroles"),
          "ClusterRoleBinding": (RBAC, "clusterrolebindings")}


def place(resource):
    """The path of an object by planekeeper's id of it, `object:ConfigMap/kube-system/coredns`."""
    kind, namespace, name = resource.removeprefix("object:").split("/", 2)
    group, plural = PLACES[kind]
    return f"{group}/{plural}/{name}" if namespace == "-" else f"{group}/namespaces/{namespace}/{plural}/{name}"


class Away(Failed):
    """The API server does not say: it cannot be reached, is not ready, or does not know yet what who asks may do."""


def answered(act):
    """What comes of an act, as soon as the API server answers."""
    end = time.monotonic() + AWAY_MOST
    while True:
        try:
            return act()
        except Away:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Server:
    """A connection to the API server with the credentials of admin.conf."""

    def __init__(self, node):
        text = node.path("/etc/kubernetes/admin.conf").read_text()
        part = lambda name: base64.b64decode(re.search(rf"{name}-data: (\S+)", text)[1])
        context = ssl.create_default_context(cadata=part("certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as file:
            file.write(part("client-certificate") + b"\n" + part("client-key"))
            file.flush()
            context.load_cert_chain(file.name)
        self.connection = http.client.HTTPSConnection(node.address, 6443, context=context, timeout=30)

    def ask(self, method, path, body=None, manager="a-person"):
        """The status and the body of an answer, whatever it is. Without one it is Away."""
        headers = {"Content-Type": "application/merge-patch+json"} if body else {}
        try:
            self.connection.request(method, f"{path}?fieldManager={manager}" if body else path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()  # the next request opens another
            raise Away(f"{method} {path}: {error!r}") from error

    def done(self, method, path, body=None):
        """The object that an answer has; None where there is no such object, which is not the same as Away."""
        status, answer = self.ask(method, path, body)
        if status in UNKNOWN or status >= 500:
            raise Away(f"{method} {path}: {status} {answer.decode()}")
        if status not in (200, 202, 404):
            raise Failed(f"{method} {path}: {status} {answer.decode()}")
        return None if status == 404 else json.loads(answer)

    def get(self, path):
        return self.done("GET", path)

    def delete(self, path):
        self.done("DELETE", path)

    def patch(self, path, patch):
        if self.done("PATCH", path, json.dumps(patch)) is None:
            raise Failed(f"there is no {path}")
