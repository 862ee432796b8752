//! What the configuration means: one file a component, each a pure function to resources.

pub mod bootstrap_token;
pub mod cluster_info;
pub mod coredns;
pub mod kube_dns;
pub mod kube_proxy;
pub mod kubelet_config;
pub mod node;
mod object;
mod rbac;
pub mod upload_config;
