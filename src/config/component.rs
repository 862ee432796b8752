//! The configurations of the kubelet and of kube-proxy.
