"""An external etcd on a host, and what can be wrong with it. See preflight_faults.py for what a fault is."""
import shutil

import cache
from preflight_faults import SILENCE, Fault, error, listen, listening

FOLDER = "/etc/etcd"
REAL, OLD = "https://127.0.0.1:3379", "https://127.0.0.1:4379"
# Two CAs; of the first a server and a client, and a key that is nobody's.
CERTIFICATES = f"""
mkdir -p {FOLDER}
cd {FOLDER}
new() {{ openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -subj /CN=$1 "${{@:2}}" 2>/dev/null; }}
new ca -x509 -out ca.crt
new other-ca -x509 -out other-ca.crt
new nobody -out /dev/null
for name in server client; do
  new $name -addext subjectAltName=IP:127.0.0.1 |
    openssl x509 -req -CA ca.crt -CAkey ca.key -copy_extensions copy -out $name.crt 2>/dev/null
done
"""
# A real one, and an old one as far as preflight sees it: what says its version, to those who have a certificate.
SERVERS = f"""
cd {FOLDER}
systemd-run --quiet --unit=etcd etcd --data-dir=/srv/external-etcd --listen-client-urls={REAL} --advertise-client-urls={REAL} \\
  --client-cert-auth --trusted-ca-file={FOLDER}/ca.crt --cert-file={FOLDER}/server.crt --key-file={FOLDER}/server.key \\
  --listen-peer-urls=http://127.0.0.1:3380
printf 'HTTP/1.0 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n{{"etcdserver":"3.4.9","etcdcluster":"3.4.0"}}' >version
systemd-run --quiet --unit=old-etcd --working-directory={FOLDER} openssl s_server -HTTP -quiet -accept {OLD.rpartition(":")[2]} \\
  -cert server.crt -key server.key -CAfile ca.crt -Verify 1 -verify_return_error
""" + listening(3379, 4379)


def set_up(node):
    shutil.copy(cache.peers() / "etcd", node.path("/usr/local/bin/etcd"))
    node.do("bash", "-ec", CERTIFICATES + SERVERS, timeout=60)


def external(endpoint=REAL, ca="ca.crt", certificate="client.crt", key="client.key"):
    files = f"    caFile: {FOLDER}/{ca}\n    certFile: {FOLDER}/{certificate}\n    keyFile: {FOLDER}/{key}\n"
    return {"cluster": f"etcd:\n  external:\n    endpoints:\n    - {endpoint}\n{files}"}


FAULTS = [
    Fault("an external etcd that is well, beside ports and data that are not its", more=external(),
          make=listen(2379, 2380) + "mkdir /var/lib/etcd/member\n", undo=SILENCE + "rmdir /var/lib/etcd/member\n"),
    Fault("an external etcd that is too old", more=external(OLD), both={"ExternalEtcdVersion": error("3.4.9")}),
    Fault("certificates for an external etcd that are not there", more=external(ca="a.crt", certificate="b.crt", key="c.key"),
          both={"ExternalEtcdClientCertificates": error("a.crt", "b.crt", "c.key"), "ExternalEtcdVersion": error("a.crt")}),
    Fault("a key for an external etcd that is another certificate's", more=external(key="nobody.key"),
          both={"ExternalEtcdVersion": error("nobody.key")}),
    # kubeadm tries four times, five seconds apart.
    Fault("an external etcd of another CA", more=external(ca="other-ca.crt"), both={"ExternalEtcdVersion": error(REAL)}),
]
