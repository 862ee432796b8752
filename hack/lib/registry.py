"""A real registry of images on a test host: Debian's docker-registry, and a way to it that can be bad.

    registry = Registry(node, 5000)
    registry.start()
    registry.push("k8s/pause:3.10.2", archive)
"""
import http.client
import json
import pathlib
import socket
import subprocess
import tarfile
import threading
import time
import urllib.parse

import cache
import network

PROGRAM = "/usr/local/bin/docker-registry"
STORE = "/var/lib/docker-registry"
USER, PASSWORD = "pull", "open-sesame"
# Of the password, with the least cost that bcrypt has: htpasswd -Bbn -C 4 pull open-sesame
HTPASSWD = "pull:$2b$04$JXTB2YBXP5ADGRkwSvR6pOxKRkZeUwuNJkKxyuWV9LHq8L8lcZ6ge\n"
OCI = "application/vnd.oci.image"
SECONDS_TO_START = 20


def program():
    """The registry's program, out of Debian's package: it is not installed, which would start it on this machine."""
    def make(folder):
        download = ["apt-get", "download", "--quiet", "docker-registry"]
        if subprocess.run(download, cwd=folder, capture_output=True).returncode != 0:
            cache.run(["apt-get", "update", "--quiet"])
            cache.run(download, cwd=folder)
        for package in folder.glob("*.deb"):
            cache.run(["dpkg-deb", "--extract", package, folder])
            package.unlink()
    return cache.kept("docker-registry", make) / "usr/bin/docker-registry"


class Registry:
    """A registry on a host. Several on one host have the same images; one with `password` asks for it."""

    def __init__(self, node, port, password=False):
        self.node, self.port, self.password = node, port, password
        self.unit, self.address = f"registry-{port}", f"{node.address}:{port}"
        if not (installed := node.path(PROGRAM)).exists():
            installed.write_bytes(program().read_bytes())
            installed.chmod(0o755)
        settings = {"version": "0.1", "http": {"addr": f":{port}"}, "storage": {"filesystem": {"rootdirectory": STORE}}}
        if password:
            node.path("/etc/registry.htpasswd").write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": "/etc/registry.htpasswd"}}
        node.path(f"/etc/{self.unit}.yml").write_text(json.dumps(settings))

    def start(self):
        self.node.do("systemd-run", f"--unit={self.unit}", "--quiet", "--collect", PROGRAM, "serve", f"/etc/{self.unit}.yml")
        self.node.wait_for("the registry", lambda: "" if self.answers() else "it does not answer", seconds=SECONDS_TO_START)

    def stop(self):
        self.node.do("systemctl", "stop", self.unit)

    def answers(self):
        try:
            return self.ask("GET", "/v2/")[0] in (200, 401)
        except OSError:
            return False

    def push(self, name, archive):
        """Uploads an image of one layer, as hack/images makes them, under a name with a tag."""
        repository, _, tag = name.rpartition(":")
        with tarfile.open(archive) as tar:
            made_of = json.load(tar.extractfile("manifest.json"))[0]
            config = self.blob(repository, tar, made_of["Config"], "config.v1+json")
            layers = [self.blob(repository, tar, layer, "layer.v1.tar") for layer in made_of["Layers"]]
        manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": layers}
        headers = {"Content-Type": manifest["mediaType"]}
        self.ask("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), headers, expect=201)

    def blob(self, repository, tar, member, kind):
        """Uploads a member of an archive, which is called after its digest, and returns its descriptor."""
        digest, size = f"sha256:{pathlib.PurePosixPath(member).parts[0].removesuffix('.json')}", tar.getmember(member).size
        upload = urllib.parse.urlsplit(self.ask("POST", f"/v2/{repository}/blobs/uploads/", expect=202)[1]["Location"])
        target = f"{upload.path}?{upload.query}&digest={digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self.ask("PUT", target, tar.extractfile(member), headers, expect=201)
        return {"mediaType": f"{OCI}.{kind}", "digest": digest, "size": size}

    def ask(self, method, target, body=None, headers={}, expect=None):
        """The status and the headers of an answer."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.blocksize = 1 << 20
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if expect and answer.status != expect:
                raise OSError(f"{method} {target}: {answer.status}: {text.decode()}")
            return answer.status, answer.headers
        finally:
            connection.close()


class BadWay:
    """A way to a registry, on this machine: slow, and at first it ends at somebody who says 503.

    It ends when it is left, with all connections. Only answers are slow.
    """

    def __init__(self, registry, bytes_a_second, refusals=0):
        self.to, self.bytes_a_second, self.refusals = (registry.node.address, registry.port), bytes_a_second, refusals
        self.listener = socket.create_server((network.address(1), 0))
        self.address = f"{network.address(1)}:{self.listener.getsockname()[1]}"
        self.open = []

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        for connection in [self.listener, *self.open]:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already
            connection.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self.refuse if self.refusals > 0 else self.carry, args=[client], daemon=True).start()
            self.refusals -= 1

    def refuse(self, client):
        client.recv(1 << 16)
        client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close()

    def carry(self, client):
        server = socket.create_connection(self.to)
        self.open.append(server)
        threading.Thread(target=copy, args=[client, server], daemon=True).start()
        copy(server, client, self.bytes_a_second)


def copy(source, target, bytes_a_second=None):
    """Copies until one of the two ends."""
    part = (bytes_a_second or 10 << 20) // 20
    try:
        while data := source.recv(part):
            target.sendall(data)
            if bytes_a_second:
                time.sleep(len(data) / bytes_a_second)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other end is told by the other direction
