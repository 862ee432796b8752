//! What the configuration means: one file a component, each a pure function to resources.

pub mod apiserver;
pub mod arguments;
pub mod audit;
pub mod bootstrap_token;
pub mod cluster_info;
pub mod controller_manager;
pub mod coredns;
pub mod directories;
pub mod etcd;
pub mod kube_dns;
pub mod kube_proxy;
pub mod kubeconfig;
pub mod kubelet;
pub mod kubelet_config;
pub mod node;
mod object;
pub mod origins;
pub mod pki;
mod rbac;
pub mod scheduler;
pub mod static_pod;
pub mod upload_config;
pub mod volumes;
