//! kubeadm's own kinds.

mod env;
pub mod v1beta3;
pub mod v1beta4;
