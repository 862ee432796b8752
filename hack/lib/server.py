"""The API server of a test host, asked without kubectl, which takes longer to start than planekeeper to repair."""
import base64
import http.client
import json
import re
import ssl
import tempfile

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
        headers = {"Content-Type": "application/merge-patch+json"} if body else {}
        self.connection.request(method, f"{path}?fieldManager={manager}" if body else path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def get(self, path):
        """An object; None where there is none."""
        status, body = self.ask("GET", path)
        return json.loads(body) if status == 200 else None

    def patch(self, path, patch):
        status, body = self.ask("PATCH", path, json.dumps(patch))
        assert status == 200, f"{path}: {status} {body.decode()}"
