//! Where in the files of a configuration a field stands.

use std::collections::BTreeMap;
use std::fmt;

/// A place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where each field of the configuration stands, by kind and path: `ClusterConfiguration.networking.podSubnet`,
/// `ClusterConfiguration.apiServer.extraArgs[0]`.
#[derive(Clone, Debug, Default)]
pub struct Lines(pub BTreeMap<String, Location>);

impl Lines {
    /// The place of a field, or of the nearest of its parents that is written.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<&Location> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}
