//! planekeeper: one file says what a Kubernetes control plane should be, and planekeeper makes it true.

pub mod certs;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod desired;
pub mod diff;
pub mod engine;
pub mod facts;
pub mod guard;
pub mod host;
pub mod images;
pub mod kubeconfig;
pub mod observed;
pub mod patch;
pub mod pki;
pub mod plan;
pub mod problem;
pub mod quantity;
pub mod record;
pub mod resource;
pub mod verdict;
pub mod versions;
pub mod yaml;
