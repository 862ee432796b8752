//! planekeeper: one file says what a Kubernetes control plane should be, and planekeeper makes it true.

pub mod cluster;
pub mod config;
pub mod facts;
pub mod observed;
pub mod patch;
pub mod problem;
pub mod resource;
pub mod verdict;
pub mod versions;
pub mod yaml;
