"""Images from a real registry: what is missing is named, pulled as the configuration says, and what goes wrong is said with what to do."""
import base64
import json
import re

import cache
import images
from node import CONFIGURATION, SECONDS_FOR_A_RUN, expect, last, said
from registry import PASSWORD, USER, BadWay, Registry
from tests_dns import KUBE_DNS

HOSTS = "/etc/containerd/certs.d"
FLAT = "k8s"  # the folder of the registry that mirrors Kubernetes' images
CTR = ("ctr", "--namespace=k8s.io", "images")
FAST, SLOW = 200 << 20, 16 << 20  # bytes a second
SECONDS_TO_FAIL = 60


def short_names():
    """The images of a control plane as a flat mirror has them, with the archive of each."""
    return {reference.rpartition("/")[2]: archive for reference, archive in images.archives(cache.NEWEST).items()}


def named(names, *images):
    return [name for name in names if name.partition(":")[0] in images]


def mirror(node, address, node_fields="", more=""):
    """Wants the images of the mirror at an address."""
    node.configure(node=node_fields, cluster=f"imageRepository: {address}/{FLAT}\n{more}")


def allow_http(node, address, lines=""):
    """Says in containerd's own configuration that a registry speaks HTTP."""
    folder = node.path(f"{HOSTS}/{address}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.toml").write_text(f'server = "http://{address}"\n[host."http://{address}"]\n{lines}')


def remove(node, *names):
    """Removes images with what they are made of, under all names of theirs."""
    rows = [line.split() for line in node.do(*CTR, "list").stdout.splitlines()[1:]]
    digests = {row[2] for row in rows if row[0].rpartition("/")[2] in names}
    node.do(*CTR, "remove", "--sync", *(row[0] for row in rows if row[2] in digests))


def read_until(process, words):
    """Reads what a command prints until it says these words."""
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            return text
    expect(False, f"nothing is said of {words!r}:\n{text}")


def pull(node, exit=0):
    done = node.do("planekeeper", "images", "pull", exit=exit, timeout=SECONDS_TO_FAIL)
    return done.stdout + done.stderr


def check(node, exit=0):
    return node.do("planekeeper", "images", "check", exit=exit).stdout


def from_a_registry(test):
    names = short_names()
    node = test.node("a")
    # The host has Kubernetes' images under other names: what they are made of need not come again, but for these two.
    remove(node, *named(names, "etcd", "kube-scheduler"))
    store = Registry(node, 5000)
    here = store.address
    dead = node.path("/etc/dead")
    dead.mkdir()

    with test.check("check names every image that is missing, and exits with 1"):
        mirror(node, here)
        text = check(node, exit=1)
        said(text, "7 of 7 images are missing", *(f"{here}/{FLAT}/{name}" for name in names))

    with test.check("a registry that speaks HTTP unannounced is said, with the file of containerd to say so in"):
        store.start()
        text = pull(node, exit=1)
        said(text, "speaks HTTP, not HTTPS", "tried once", f"{here}/hosts.toml", "7 of 7 images failed")

    allow_http(node, here)
    for name, archive in names.items():
        store.push(f"{FLAT}/{name}", archive)
    # Nobody listens there. This takes fifteen seconds, in which the rest goes on.
    nowhere = f"{node.address}:5999"
    allow_http(node, nowhere)
    (dead / "cluster.yaml").write_text(node.path(CONFIGURATION).read_text().replace(here, nowhere))
    in_vain = node.begin("planekeeper", "images", "pull", "--config", "/etc/dead/cluster.yaml")

    with test.check("from a mirror (imageRepository) all images are pulled, and check exits with 0"):
        said(pull(node), "All 7 images are present: 7 pulled.", f"pulled {here}/{FLAT}/etcd")
        said(check(node), "All 7 images are present.")

    with test.check("what is there is not asked for: with the registry down, IfNotPresent has nothing to do"):
        store.stop()
        said(pull(node), "All 7 images are present.")

    with test.check("a registry that is down and comes back is waited for"):
        remove(node, *named(names, "kube-proxy"))
        run = node.begin("planekeeper", "images", "pull")
        text = read_until(run, "try 2 of 5 after 1 s: the registry cannot be reached")
        store.start()
        text += run.communicate(timeout=SECONDS_TO_FAIL)[0]
        expect(run.returncode == 0, f"exit code {run.returncode}:\n{text}")
        said(text, "All 7 images are present: 1 pulled.")

    with test.check("Always pulls all again"):
        mirror(node, here, "imagePullPolicy: Always\n")
        said(pull(node), "All 7 images are present: 7 pulled.")

    with test.check("wrong tags are all named at once, and stop no other image"):
        remove(node, *named(names, "kube-scheduler"))
        mirror(node, here, more="dns:\n  imageTag: v0\netcd:\n  local:\n    imageTag: 9.9.9\n")
        text = pull(node, exit=1)
        said(text, "the registry has no such image", f"{here}/{FLAT}/coredns:v0, tried once", f"{here}/{FLAT}/etcd:9.9.9, tried once",
             "imageTag", "2 of 7 images failed: 1 pulled, 4 present.")
        report = json.loads(node.do("planekeeper", "images", "pull", "-o", "json", exit=1).stdout)
        expect(report["missing"] == [f"{here}/{FLAT}/{name}" for name in ("coredns:v0", "etcd:9.9.9")], f"missing: {report['missing']}")

    with test.check("Never pulls nothing: pull and plan name all that is missing at once"):
        gone = named(names, "coredns", "kube-scheduler")
        remove(node, *gone)
        mirror(node, here, "imagePullPolicy: Never\n")
        said(pull(node, exit=1), "2 of 7 images are missing, and imagePullPolicy is Never", *(f"{name}   " for name in gone))
        said(node.do("planekeeper", "plan", exit=1).stdout, *(f"does not have {here}/{FLAT}/{name}" for name in gone))

    with test.check("a registry that says 503 at first is tried again, and the reason is said"):
        with BadWay(store, FAST, refusals=40) as way:  # containerd itself asks at least twice for each image
            allow_http(node, way.address)
            mirror(node, way.address, "imagePullSerial: false\n")
            text = pull(node)
            said(text, "All 7 images are present: 7 pulled.")
            expect(re.search(r"try [2-5] of 5 after \d s: the registry is out of order: 503 Service Unavailable", text), f"the reason is not said:\n{text}")

    with test.check("a slow registry is waited for, and a terminal shows how it goes on"):
        with BadWay(store, SLOW) as way:
            allow_http(node, way.address)
            remove(node, *named(names, "etcd"))
            mirror(node, way.address)
            text = node.do("script", "--quiet", "--return", "--command", "planekeeper images pull", "/dev/null").stdout
            said(text, "All 7 images are present: 7 pulled.")
            expect(re.search(r"\x1b\[K6/7 [0-9.]+ s \S+/etcd:\S+: pulling", text), f"how it goes on is not shown:\n{text}")

    with test.check("a container runtime that starts again amid a pull is waited for"):
        with BadWay(store, SLOW // 2) as way:
            allow_http(node, way.address)
            remove(node, *named(names, "etcd"))
            mirror(node, way.address)
            run = node.begin("planekeeper", "images", "pull")
            text = read_until(run, f"/{named(names, 'etcd')[0]}: pulling")  # two seconds are over
            node.do("systemctl", "restart", "containerd")
            text += run.communicate(timeout=SECONDS_TO_FAIL)[0]
            node.transcript.append(text)
            expect(run.returncode == 0, f"exit code {run.returncode}:\n{text}")
            said(text, "try 2 of 5 after 1 s: the container runtime cannot be reached", "All 7 images are present: 7 pulled.")

    guarded = Registry(node, 5001, password=True)
    with test.check("a registry with a password is said to deny access, once, with the place for the password"):
        guarded.start()
        allow_http(node, guarded.address)
        mirror(node, guarded.address)
        said(pull(node, exit=1), "the registry denies access", "tried once", f"{guarded.address}/hosts.toml")

    with test.check("with the password in containerd's own configuration its images are pulled, and nothing tells the password"):
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        allow_http(node, guarded.address, f'[host."http://{guarded.address}".header]\nAuthorization = ["Basic {secret}"]\n')
        text = pull(node)
        said(text, "All 7 images are present: 7 pulled.")
        expect(secret not in text and PASSWORD not in text, f"the password is told:\n{text}")

    with test.check("a registry that stays down is tried five times, then once for each other image, and said to be down"):
        text = in_vain.communicate(timeout=SECONDS_TO_FAIL)[0]
        node.transcript.append(text)
        expect(in_vain.returncode == 1, f"exit code {in_vain.returncode}")
        said(text, "the registry cannot be reached", "connection refused", "tried 5 times in 15 s", "tried once",
             f"see that {nowhere} answers", "7 of 7 images failed: 0 pulled, 0 present.")
        expect(text.count("tried 5 times") == 2, f"several were waited for:\n{text}")  # once as it ends, once in the end

    with test.check("reconcile too waits for a registry that comes back, and takes the host to a Ready node with the mirror's images"):
        mirror(node, here)
        store.stop()
        run = node.start_reconcile()
        text = read_until(run, " of 5 after ")
        store.start()
        text += run.communicate(timeout=SECONDS_FOR_A_RUN)[0]
        node.transcript.append(text)
        expect(run.returncode == 0, f"exit code {run.returncode}:\n{last(text)}")
        said(text, "the registry cannot be reached", f"created image:{here}/{FLAT}/{named(names, 'kube-scheduler')[0]}", "Converged")
        node.wait_until_ready(pods=0)

    with test.check("KubeDNS's three images come from the mirror too, and preflight passes with them"):
        for reference, archive in images.dns_archives().items():
            store.push(f"{FLAT}/{reference.rpartition('/')[2]}", archive)
        mirror(node, here)
        configuration = node.path(CONFIGURATION)
        configuration.write_text(configuration.read_text() + KUBE_DNS)
        said(check(node, exit=1), "of 9 images are missing", *(f"{here}/{FLAT}/k8s-dns-{name}:" for name in ("kube-dns", "dnsmasq-nanny", "sidecar")))
        said(pull(node), "All 9 images are present", "pulled")
        said(check(node), "All 9 images are present.")
        node.do("planekeeper", "preflight")


TESTS = {"images": from_a_registry}
