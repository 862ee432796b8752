//! What a control plane is made of: one pure function a component, from the configuration to resources.

pub mod apiserver;
pub mod arguments;
pub mod audit;
pub mod controller_manager;
pub mod directories;
pub mod etcd;
pub mod kubeconfig;
pub mod kubelet;
pub mod origins;
pub mod pki;
pub mod scheduler;
pub mod static_pod;
pub mod volumes;
