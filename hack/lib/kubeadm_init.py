"""A configuration for the real `kubeadm init` that fits a test host."""
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
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{version}
controlPlaneEndpoint: {address}:6443  # so that other control planes can join
networking:
  podSubnet: 10.244.0.0/16
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack:
  maxPerCore: 0  # the limit is the machine's: no host may set it
"""


def write_configuration(host):
    """Puts the configuration on the host, under CONFIGURATION."""
    path = host.root / CONFIGURATION.lstrip("/")
    path.write_text(TEXT.format(address=host.address, version=cache.NEWEST))
