"""What a control plane's files and objects mean, apart from what chance and the clock put into them.

Two trees are the same when their facts are: certificates by their content but for serial numbers, dates and keys;
kubeconfigs by names, server and credentials; YAML by its values; a kubelet environment file by its flags.
"""
import base64
import json
import pathlib
import re

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

EMBEDDED = re.compile(r"\.(ya?ml|conf)$|^(ClusterConfiguration|kubelet|kubeconfig)$")
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign")


def public_key(key):
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    return f"ECDSA-{key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__


def extension(certificate, kind):
    try:
        found = certificate.extensions.get_extension_for_class(kind)
        return found.value, found.critical
    except x509.ExtensionNotFound:
        return None, None


def certificate(pem):
    """A certificate's content: names, key, extensions with their criticality, and its life in hours."""
    read = x509.load_pem_x509_certificate(pem)
    usage, usage_critical = extension(read, x509.KeyUsage)
    extended, extended_critical = extension(read, x509.ExtendedKeyUsage)
    names, names_critical = extension(read, x509.SubjectAlternativeName)
    basic, basic_critical = extension(read, x509.BasicConstraints)
    life = read.not_valid_after_utc - read.not_valid_before_utc
    return {
        "subject": read.subject.rfc4514_string(),
        "issuer": read.issuer.rfc4514_string(),
        "key": public_key(read.public_key()),
        "signed with": read.signature_hash_algorithm.name,
        "usages": [u for u in USAGES if usage and getattr(usage, u)],
        "extended usages": [o._name for o in extended or []],
        "authority": None if basic is None else [basic.ca, basic.path_length],
        "critical": [usage_critical, extended_critical, names_critical, basic_critical],
        "names": sorted(f"{type(n).__name__}:{n.value}" for n in names or []),
        "hours": round(life.total_seconds() / 3600),
        "key ids": [extension(read, k)[0] is not None for k in (x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)],
    }


def kubeconfig(text, ca):
    """A kubeconfig with its certificates as facts; the key is only there or not."""
    value = yaml.safe_load(text)
    for cluster in value.get("clusters") or []:
        data = cluster["cluster"].pop("certificate-authority-data", None)
        cluster["cluster"]["ca"] = bool(data) and base64.b64decode(data).strip() == ca.strip()
    for user in value.get("users") or []:
        data = user["user"].pop("client-certificate-data", None)
        user["user"]["certificate"] = certificate(base64.b64decode(data)) if data else None
        user["user"]["key"] = bool(user["user"].pop("client-key-data", None))
    return pruned(value)


def pruned(value, zero=False):
    """Without nulls, empty maps and lists, which mean the same to the API as nothing.

    In component configurations a zero number, duration or text means the default as well.
    """
    if isinstance(value, dict):
        zero = zero or value.get("kind") in ("KubeletConfiguration", "KubeProxyConfiguration")
        value = {k: pruned(v, zero) for k, v in value.items()}
        return {k: v for k, v in value.items() if v not in (None, {}, [])
                and not (zero and v is not False and v in (0, "0", "0s", ""))}
    return [pruned(v, zero) for v in value] if isinstance(value, list) else value


def api_object(value, ca):
    """An API object as a value, without status and what the server sets; embedded YAML is parsed."""
    value = json.loads(json.dumps(value, default=str))
    value.pop("status", None)
    metadata = value.get("metadata", {})
    for key in ("creationTimestamp", "resourceVersion", "uid", "managedFields", "generation"):
        metadata.pop(key, None)
    for key in ("labels", "annotations"):
        metadata[key] = {k: v for k, v in (metadata.get(key) or {}).items()
                         if "planekeeper" not in k and k != "app.kubernetes.io/managed-by"}
    if value.get("kind") == "ConfigMap":
        for key, text in (value.get("data") or {}).items():
            if EMBEDDED.search(key):
                value["data"][key] = yaml.safe_load(text.replace(base64.b64encode(ca).decode(), "CLUSTER-CA"))
    if value.get("kind") == "Secret":
        data = {k: base64.b64decode(v).decode("utf8", "replace") for k, v in (value.get("data") or {}).items()}
        data.update(value.pop("stringData", None) or {})
        if "expiration" in data:
            data["expiration"] = "set"
        value["data"] = data
    if value.get("kind") == "Node":
        spec = value.get("spec") or {}
        value["spec"] = {"taints": sorted(spec.get("taints") or [], key=str)}
        metadata["labels"].pop("kubernetes.io/hostname", None)
    return pruned(value)


def flags(text):
    """The flags of a kubelet environment file, in order."""
    found = re.search(r'KUBELET_KUBEADM_ARGS="?(.*?)"?\s*$', text.strip(), re.S)
    return found[1].split() if found else [text]


def object_id(value):
    metadata = value.get("metadata", {})
    return "/".join([value.get("kind", "?"), metadata.get("namespace") or "-", metadata.get("name", "?")])


def objects(texts, ca):
    """Objects by kind, namespace and name."""
    found = {}
    for text in texts:
        for value in yaml.safe_load_all(text):
            if value:
                found[object_id(value)] = api_object(value, ca)
    return found


def file(path, text, ca):
    """What the file at `path` (relative to the root) means."""
    if path.endswith(".crt"):
        return certificate(text)
    if path.endswith("sa.pub"):
        return public_key(serialization.load_pem_public_key(text))
    if path.endswith(".conf"):
        return kubeconfig(text, ca)
    if path.endswith(".env"):
        return flags(text.decode())
    if path.endswith(".yaml"):
        value = yaml.safe_load(text)
        if isinstance(value, dict):
            value.pop("status", None)
        return pruned(value)
    return text.decode("utf8", "replace")


def cluster_ca(root):
    """The cluster CA's certificate of a tree, wherever its certificatesDir is."""
    for public in sorted(pathlib.Path(root).rglob("sa.pub")):
        ca = public.parent / "ca.crt"
        if ca.exists():
            return ca.read_bytes()
    return b""


def differences(expected, found, path=""):
    """Each place where two values differ, in words."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(set(expected) | set(found), key=str):
            at = f"{path} > {key}" if path else str(key)
            if key not in found:
                yield f"{at}: missing, expected {short(expected[key])}"
            elif key not in expected:
                yield f"{at}: not expected, found {short(found[key])}"
            else:
                yield from differences(expected[key], found[key], at)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found)):
            yield from differences(one, other, f"{path}[{number}]")
    elif isinstance(expected, list) and isinstance(found, list):
        missing, extra = [x for x in expected if x not in found], [x for x in found if x not in expected]
        yield f"{path}: missing {short(missing)}, not expected {short(extra)}"
    elif expected != found or type(expected) is not type(found):
        yield f"{path}: expected {short(expected)}, found {short(found)}"


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 240 else text[:237] + "..."
