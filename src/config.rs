//! kubeadm's configuration documents, and what is made of them.

pub mod component;
pub mod duration;
