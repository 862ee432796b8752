"""hack/images: container images out of binaries. See hack/images for what it prints and why."""
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tarfile
import tempfile

import cache
import debian

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
PROXY_TOOLS = [f"/usr/sbin/{tool}" for tool in (
    "conntrack", "ipset", "nft", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")]


# What each image is called, and its program. The first three as planekeeper names them.
KUBE_DNS = {
    "registry.k8s.io/dns/k8s-dns-kube-dns:1.26.8": "kube-dns",
    "registry.k8s.io/dns/k8s-dns-dnsmasq-nanny:1.26.8": "dnsmasq-nanny",
    "registry.k8s.io/dns/k8s-dns-sidecar:1.26.8": "sidecar",
    "localhost/ask:1": "ask",
}


def archives(version):
    """The archives of a release by the reference of the image, made where missing."""
    kubeadm = cache.kubernetes(version, "kubeadm", *KUBERNETES)[0]
    listing = [kubeadm, "config", "images", "list", "--kubernetes-version", f"v{version}"]
    references = subprocess.run(listing, check=True, text=True, stdout=subprocess.PIPE).stdout.split()
    made_of = cache.key(*references, debian.root().name, cache.peers().name, pathlib.Path(__file__), cache.HACK / "lib/pause.c")
    folder = cache.kept(f"images-{version}-{made_of}", lambda folder: make(folder, version, references))
    return {reference: folder / archive_name(reference) for reference in references}


def dns_archives():
    """The archives of KubeDNS's images, by reference, and that of a Pod which asks it. The programs are stand-ins: see kube-dns.c."""
    source = cache.HACK / "lib/kube-dns.c"
    made_of = cache.key(*KUBE_DNS, debian.root().name, cache.peers().name, pathlib.Path(__file__), source)

    def make(folder):
        program = folder / "program"
        cache.run(["cc", "-static", "-Os", "-s", "-Wl,--build-id=none", "-o", program, source])
        for reference, name in KUBE_DNS.items():
            more = {"kube-dns": {"/coredns": cache.peers() / "coredns"}, "dnsmasq-nanny": dnsmasq(folder)}.get(name, {})
            write_image(folder / archive_name(reference), reference, {**more, f"/{name}": program}, f"/{name}")
    folder = cache.kept(f"images-kube-dns-{made_of}", make)
    return {reference: folder / archive_name(reference) for reference in KUBE_DNS}


def dnsmasq(folder):
    """Debian's dnsmasq with its libraries, and the user that it stays."""
    users = {}
    for name, text in (("passwd", "root:x:0:0::/:\n"), ("group", "root:x:0:\n")):
        users[f"/etc/{name}"] = folder / name
        users[f"/etc/{name}"].write_text(text)
    return {**debians(["/usr/sbin/dnsmasq"]), **users}


def archive_name(reference):
    return reference.rpartition("/")[2].replace(":", "-") + ".tar"


def make(folder, version, references):
    cache.say(f"making the images of Kubernetes {version}")
    for reference in references:
        name = reference.rpartition("/")[2].partition(":")[0]
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            files, entrypoint = contents(name, version, pathlib.Path(scratch))
            write_image(folder / archive_name(reference), reference, files, entrypoint)


def contents(name, version, scratch):
    """What an image holds, as source by path in the image (a string is the target of a link), and what it starts."""
    peers = cache.peers()
    if name in KUBERNETES:
        program = f"/usr/local/bin/{name}"
        tools = proxy_tools() if name == "kube-proxy" else {}
        return {**tools, program: cache.kubernetes(version, name)[0]}, program
    if name == "etcd":
        return {f"/usr/local/bin/{program}": peers / program for program in ("etcd", "etcdctl")}, "/usr/local/bin/etcd"
    if name == "coredns":
        return {"/coredns": peers / "coredns"}, "/coredns"
    if name == "pause":
        source = cache.HACK / "lib/pause.c"
        cache.run(["cc", "-static", "-Os", "-s", "-Wl,--build-id=none", "-o", scratch / "pause", source])
        return {"/pause": scratch / "pause"}, "/pause"
    sys.exit(f"kubeadm {version} wants an image that is not known here: {name}")


def proxy_tools():
    """Debian's tools that kube-proxy calls, with what they load."""
    root = debian.root()
    return debians(PROXY_TOOLS, ["/" + str(path.relative_to(root)) for path in sorted(root.glob("usr/lib/*/xtables/*.so"))])


def debians(programs, extensions=()):
    """Programs of Debian's and their extensions, with the libraries and links that they need."""
    root, files = debian.root(), {}

    def add(path):
        """A file of Debian's, through any links on the way to it."""
        real = path
        while (root / real.lstrip("/")).is_symlink():
            target = os.path.normpath(os.path.join(os.path.dirname(real), os.readlink(root / real.lstrip("/"))))
            files[real], real = target, target
        files[real] = root / real.lstrip("/")

    for program in programs:
        add(program)
    for path in [*programs, *extensions]:
        for library in re.findall(r"(/\S+) \(0x", cache.run(["chroot", root, "ldd", path])):
            # /lib and /lib64 are links on Debian; in the image they are folders of their own, which hold what is asked for there.
            files[library] = (root / library.lstrip("/")).resolve()
    for path in extensions:
        add(path)
    return files


def write_layer(path, files):
    """A layer: the same files give the same bytes, whoever owns them and whenever they were made."""
    folders = {str(parent) for file in files for parent in pathlib.PurePosixPath(file).parents} - {"/"} | {"/tmp"}
    with tarfile.open(path, "w") as layer:
        for name in sorted({*folders, *files}):
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.mode = 0o1777 if name == "/tmp" else 0o755
            if name in folders:
                entry.type = tarfile.DIRTYPE
                layer.addfile(entry)
            elif isinstance(files[name], str):
                entry.type, entry.linkname = tarfile.SYMTYPE, files[name]
                layer.addfile(entry)
            else:
                entry.size = files[name].stat().st_size
                with open(files[name], "rb") as source:
                    layer.addfile(entry, source)


def write_image(archive, reference, files, entrypoint):
    """An archive of one image with one layer, as `docker save` lays it out."""
    with tempfile.NamedTemporaryFile(dir=archive.parent) as layer:
        write_layer(layer.name, files)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
        config = json.dumps({
            "architecture": ARCHITECTURE, "os": "linux", "config": {"Env": [f"PATH={PATH}"], "Entrypoint": [entrypoint]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}).encode()
        names = [f"{hashlib.sha256(config).hexdigest()}.json", f"{digest}/layer.tar"]
        manifest = json.dumps([{"Config": names[0], "RepoTags": [reference], "Layers": [names[1]]}]).encode()
        layer.seek(0)
        with tarfile.open(archive, "w") as out:
            for name, source in ((names[0], io.BytesIO(config)), (names[1], layer), ("manifest.json", io.BytesIO(manifest))):
                entry = tarfile.TarInfo(name)
                entry.size = source.seek(0, io.SEEK_END)
                source.seek(0)
                out.addfile(entry, source)


if __name__ == "__main__":
    for archive in [*archives(*(sys.argv[1:] or [cache.NEWEST])).values(), *dns_archives().values()]:
        print(archive)
