"""A configuration for a control plane that fits a test host: the real `kubeadm init` takes it as it is, and so does planekeeper."""
import textwrap

import cache

CONFIGURATION = "/etc/kubeadm.yaml"
TEXT = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: {address}
nodeRegistration:
  ignorePreflightErrors:
  - SystemVerification  # it refuses cgroup v1; a join to the cluster has to say the same
{node}{init}---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{version}
controlPlaneEndpoint: "{endpoint}"  # so that other control planes can join
networking:
{networking}{cluster}---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack:
  maxPerCore: 0  # the limit is the machine's: no host may set it
{proxy}"""


def configuration(address, version=cache.NEWEST, endpoint=None, networking="podSubnet: 10.244.0.0/16\n", node="", init="", cluster="",
                  proxy=""):
    """The text, with another host as `endpoint` of the control plane, other `networking`, and more fields of `nodeRegistration`,
    InitConfiguration, ClusterConfiguration, kube-proxy's."""
    indented = {"networking": textwrap.indent(networking, "  "), "node": textwrap.indent(node, "  ")}
    endpoint = endpoint or address
    endpoint = f"[{endpoint}]:6443" if ":" in endpoint else f"{endpoint}:6443"
    return TEXT.format(address=address, endpoint=endpoint, version=version, init=init, cluster=cluster, proxy=proxy, **indented)


def write_configuration(host):
    """Puts the configuration on the host, under CONFIGURATION."""
    (host.root / CONFIGURATION.lstrip("/")).write_text(configuration(host.address))
