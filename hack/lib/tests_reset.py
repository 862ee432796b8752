"""Back to a bare host, and up again."""
from node import expect

GONE = ("/etc/kubernetes", "/var/lib/etcd/member", "/var/lib/kubelet/config.yaml", "/var/lib/planekeeper")


def reset(test):
    node = test.node("a")
    node.reconcile()
    with test.check("reset takes the host back to bare"):
        node.do("planekeeper", "reset", "--force")
        left = [path for path in GONE if holds_files(node.path(path))]
        expect(not left, f"still there: {left}")
        expect(not node.containers(), "containers still run")
    with test.check("after a reset, reconcile takes the host up again"):
        node.reconcile()
        node.wait_until_ready(pods=0)


def holds_files(path):
    """A file, or a folder that is not empty of them."""
    return path.is_file() or any(child.is_file() for child in path.rglob("*"))


TESTS = {"reset": reset}
