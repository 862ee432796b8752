"""The ways in which Git and the cluster feed a watch, as examples/gitops has them, each with versions that must change nothing."""
import json
import os
import pathlib
import re
import shutil
import tempfile

import cache
import debian
import images
import kubeadm_init
import tests_watch
from node import differences, expect

EXAMPLES = cache.HACK.parent / "examples/gitops"
FLAG = 'scheduler:\n  extraArgs:\n  - name: v\n    value: "{}"\n'
# Versions that must change nothing, and what is said of each: the line that is wrong, where there is one.
BAD = {
    "empty": (lambda good: "", ""),
    "truncated": (lambda good: good[:good.index("podSubnet") + 14], "cluster.yaml:"),
    "invalid": (lambda good: good.replace("podSubnet:", "podSubnt:"), "cluster.yaml:"),
    "destructive": (lambda good: good.replace("  podSubnet:", "  serviceSubnet: 10.112.0.0/12\n  podSubnet:"), "serviceSubnet"),
}
GIT = ("/usr/bin/git", "/usr/lib/git-core")
TOOLS = ("sh", "ln", "mv")


def gitops(test):
    node = test.node("a")
    tests_watch.start(node)
    node.wait_until_ready()
    tests_watch.converged(node)
    install_git(node)
    timer(test, node)
    git_sync(test, node)
    configmap(test, node)


def text(node, level):
    return kubeadm_init.configuration(node.address, cluster=FLAG.format(level))


def follow(node, example, name):
    """Has the service follow a link, as the example's drop-in says."""
    folder = node.path("/etc/systemd/system/planekeeper.service.d")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(EXAMPLES / example / f"{name}.conf", folder)
    node.do("systemctl", "daemon-reload")
    node.do("systemctl", "restart", "planekeeper")


def rolled_out(node, level):
    manifest = lambda: node.text("/etc/kubernetes/manifests/kube-scheduler.yaml")
    node.wait_for(f"--v={level}", lambda: f"--v={level}" not in manifest() and "it is not there")
    tests_watch.converged(node)


def goes_on(node, level, publish):
    """Another version is rolled out, and bad ones after it are not."""
    publish(text(node, level), "second")
    rolled_out(node, level)
    kept(node, level, publish)
    tests_watch.converged(node)


def kept(node, level, publish):
    """Each bad version changes nothing, is named with its line, and drift is put right meanwhile."""
    good = text(node, level)
    before = node.files("/etc/kubernetes"), node.containers()
    for name, (spoil, said) in BAD.items():
        mark = len(log(node, "planekeeper"))
        publish(spoil(good), name)
        news = lambda: log(node, "planekeeper")[mark:]
        node.wait_for(f"a word about the {name} one", lambda: "ConfigurationRejected" not in news() and "there is none")
        expect(said in news(), f"{name}: {said!r} is not in the log:\n{news()}")
        status = node.run(["planekeeper", "status"], timeout=60).stdout
        expect(said in status and "reject" in status.lower(), f"{name}: the status says nothing of {said!r}:\n{status}")
        events = lambda: node.kubectl("get", "events", "--field-selector=reason=ConfigurationRejected", "--output=jsonpath={.items[*].message}")
        node.wait_for(f"an Event about the {name} one", lambda: said not in events() and events())
        expect(node.files("/etc/kubernetes") == before[0], differences(before[0], node.files("/etc/kubernetes")))
        expect(node.containers() == before[1], "a container was started anew")
    publish(good, "the good one again")


def log(node, unit):
    return node.do("journalctl", f"--unit={unit}", "--output=cat", "--no-pager").stdout


def install_git(node):
    """The machine's git, which is of the same Debian."""
    libraries = re.findall(r"(/\S+) \(0x", cache.run(["ldd", GIT[0]]))
    for path in (*GIT, *libraries):
        target = node.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if pathlib.Path(path).is_dir():
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
        elif not target.exists():
            shutil.copy(path, target)


class Repository:
    """A repository on the host, and a clone of it there to commit from."""

    def __init__(self, node, path):
        self.node, self.bare, self.clone = node, path, f"{path}.clone"
        node.do("git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare)
        node.do("git", "init", "--quiet", "--initial-branch=main", self.clone)

    def git(self, *words):
        identity = ("-c", "user.name=a person", "-c", "user.email=person@example.com")
        return self.node.do("git", "-C", self.clone, *identity, *words).stdout.strip()

    def publish(self, text, message):
        """Commits a version and pushes it; its commit."""
        self.node.path(f"{self.clone}/cluster.yaml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        self.git("push", "--quiet", self.bare, "main")
        return self.git("rev-parse", "HEAD")


def timer(test, node):
    folder = EXAMPLES / "git-timer"
    repository = Repository(node, "/srv/cluster.git")
    with test.check("a systemd timer with git: each version is rolled out, and the commit that is in force is shown"):
        repository.publish(text(node, 3), "first")
        shutil.copy(folder / "planekeeper-pull", node.path("/usr/local/bin/planekeeper-pull"))
        for name in ("planekeeper-pull.service", "planekeeper-pull.timer"):
            shutil.copy(folder / name, node.path(f"/etc/systemd/system/{name}"))
        node.do("git", "clone", "--quiet", "--bare", "/srv/cluster.git", "/var/lib/planekeeper-git/repository")
        soon = node.path("/etc/systemd/system/planekeeper-pull.timer.d")
        soon.mkdir()
        (soon / "soon.conf").write_text("[Timer]\nOnActiveSec=0\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=100ms\n")
        follow(node, "git-timer", "from-git")
        node.do("systemctl", "start", "planekeeper-pull.timer")
        rolled_out(node, 3)
        commit = repository.publish(text(node, 4), "second")
        rolled_out(node, 4)
        status = node.do("planekeeper", "status", "--output=json").stdout
        expect(commit in status, f"{commit} is not in the status")
    with test.check("a systemd timer with git: bad versions change nothing; those that are not valid are named by the unit that pulls"):
        good, before = text(node, 4), node.files("/etc/kubernetes")
        for name in ("empty", "truncated", "invalid"):
            commit = repository.publish(BAD[name][0](good), name)
            wrong = f"worktrees/{commit}/cluster.yaml:"
            node.wait_for(f"the line of the {name} one", lambda: wrong not in log(node, "planekeeper-pull") and "it is not named")
        spoil, said = BAD["destructive"]
        mark = len(log(node, "planekeeper"))
        repository.publish(spoil(good), "destructive")
        node.wait_for("a refusal", lambda: "ConfigurationRejected" not in log(node, "planekeeper")[mark:] and "there is none")
        expect(said in node.run(["planekeeper", "status"]).stdout, f"{said} is not in the status")
        repository.publish(good, "good again")
        tests_watch.converged(node)
        expect(node.files("/etc/kubernetes") == before, differences(before, node.files("/etc/kubernetes")))
        node.do("systemctl", "stop", "planekeeper-pull.timer")


def git_sync(test, node):
    """git-sync itself is not to be had here: this swaps its link as git-sync v4 does, beside its work trees."""
    repository = Repository(node, "/srv/other.git")
    root = "/var/lib/planekeeper-git-sync"
    node.do("git", "clone", "--quiet", "--bare", repository.bare, f"{root}/.repository")
    link = node.path(f"{root}/current")

    def publish(text, message):
        commit = repository.publish(text, message)
        old = os.readlink(link) if link.is_symlink() else None
        git = ("git", "-C", f"{root}/.repository")
        node.do(*git, "fetch", "--quiet", "origin", "main")
        node.do(*git, "worktree", "add", "--quiet", "--detach", f"{root}/.worktrees/{commit}", commit)
        new = link.with_name("tmp-link")
        new.symlink_to(f".worktrees/{commit}")
        new.rename(link)
        if old:
            node.do(*git, "worktree", "remove", "--force", f"{root}/{old}")

    with test.check("git-sync's link: each version is rolled out; bad ones change nothing and are named with their line"):
        publish(text(node, 5), "first")
        follow(node, "git-sync", "from-git-sync")
        rolled_out(node, 5)
        goes_on(node, 6, publish)
        shutil.copy(EXAMPLES / "git-sync/git-sync.yaml", node.path("/srv"))
        node.kubectl("apply", "--dry-run=server", "--filename=/srv/git-sync.yaml")


def configmap(test, node):
    with test.check("a ConfigMap that the kubelet writes: each version is rolled out; bad ones change nothing and are named with their line"):
        import_tools(node)

        def publish(text, message):
            data = json.dumps({"data": {"cluster.yaml": text}})
            node.kubectl("patch", "configmap", "planekeeper-configuration", "--namespace=kube-system", f"--patch={data}")
            pods = ("annotate", "pod", "--namespace=kube-system", "--selector=app=planekeeper-configuration", "--overwrite", f"now={message}")
            node.kubectl(*pods)  # the kubelet looks at a Pod that changes at once, and else within a minute or so

        node.path("/srv/cluster.yaml").write_text(text(node, 7))
        node.kubectl("create", "configmap", "planekeeper-configuration", "--namespace=kube-system", "--from-file=/srv/cluster.yaml")
        shutil.copy(EXAMPLES / "configmap/configmap.yaml", node.path("/srv"))
        node.kubectl("apply", "--filename=/srv/configmap.yaml")
        node.wait_for("the link", lambda: not node.path("/var/lib/planekeeper-configmap/current").is_symlink() and "it is not there")
        follow(node, "configmap", "from-configmap")
        rolled_out(node, 7)
        goes_on(node, 8, publish)


def import_tools(node):
    """An image of the name of busybox with what the example takes of it: nothing is pulled here."""
    with tempfile.TemporaryDirectory() as folder:
        root, files = debian.root(), {}
        for path in [f"/usr/bin/{tool}" for tool in TOOLS]:
            files[path] = (root / path.lstrip("/")).resolve()
            for library in re.findall(r"(/\S+) \(0x", cache.run(["chroot", root, "ldd", path])):
                files[library] = (root / library.lstrip("/")).resolve()
        archive = pathlib.Path(folder, "busybox.tar")
        images.write_image(archive, "docker.io/library/busybox:1.37", files, "/usr/bin/sh")
        target = node.path("/srv/busybox.tar")
        shutil.copy(archive, target)
        node.do("ctr", "--namespace=k8s.io", "images", "import", "--local", "/srv/busybox.tar")


TESTS = {"gitops": gitops}
