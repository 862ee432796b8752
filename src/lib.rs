//! planekeeper: one file says what a Kubernetes control plane should be, and planekeeper makes it true.

pub mod certs;
pub mod cluster;
pub mod diff;
pub mod facts;
pub mod kubeconfig;
pub mod observed;
pub mod pki;
pub mod problem;
pub mod resource;
pub mod verdict;
pub mod versions;
pub mod yaml;
