//! What is wrong with the configuration, for the person who wrote it.

use std::fmt;

use crate::cluster::Location;

/// One thing that is wrong, or that deserves a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is in a file.
    pub place: Option<Location>,
    /// The field: `ClusterConfiguration.networking.serviceSubnet`; empty where it is about no field.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
