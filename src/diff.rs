//! What differs between what is wanted and what was seen: pure verdicts, one file a kind of resource.

pub mod certificate;
pub mod key_pair;
pub mod kubeconfig;
pub mod mode;
