//! kubeadm's configuration documents, and the [`Cluster`] that is made of them.
//!
//! [`parse`] reads files, [`Documents::complete`] fills in what they leave open and checks everything. Both are pure: who
//! reads the files and the machine is somebody else.

pub mod audit;
mod complete;
pub mod component;
mod components;
mod documents;
pub mod duration;
mod followed;
pub mod kubeadm;
pub(crate) mod node;
mod patches;
pub mod planekeeper;
mod print;
mod report;
mod schema;
mod syntax;
mod validate;
mod words;

pub use documents::{DocumentKind, Documents, parse};
pub use followed::followed;
pub use print::{migrate, print};
pub(crate) use syntax::Cidr;

use crate::cluster::Cluster;
use crate::problem::Problem;

/// One file of a configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, as messages show it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One file of `patches.directory`.
#[derive(Clone, Debug)]
pub struct PatchFile {
    /// Its name without its folder: `kube-apiserver0+merge.yaml`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A configuration that is right.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is wanted.
    pub cluster: Cluster,
    /// What deserves a word all the same.
    pub warnings: Vec<Problem>,
    /// `patches.directory` as written.
    pub patches_directory: Option<String>,
}
