//! Which line of the configuration a field comes from.

use crate::cluster::{Arg, Cluster, Lines};
use crate::resource::Origin;

/// Collects the origins of one resource.
pub struct Origins<'a> {
    lines: &'a Lines,
    list: Vec<Origin>,
}

impl<'a> Origins<'a> {
    /// None yet.
    #[must_use]
    pub fn of(cluster: &'a Cluster) -> Self {
        Self { lines: &cluster.lines, list: Vec::new() }
    }

    /// A field, as plans show it, comes from a path of the configuration (or from the nearest parent that is written:
    /// whoever takes a line away sees where it stood). A path that stands nowhere adds nothing.
    #[must_use]
    pub fn field(mut self, field: &str, path: &str) -> Self {
        if let Some(place) = self.lines.of(path) {
            self.list.push(Origin { field: field.to_owned(), place: place.clone() });
        }
        self
    }

    /// The fields of a document of a kind, where each of them stands in it.
    #[must_use]
    pub fn lines(mut self, lines: &Lines, kind: &str) -> Self {
        let fields = lines.0.iter().filter_map(|(path, place)| {
            let field = path.strip_prefix(kind)?.to_owned();
            Some(Origin { field, place: place.clone() })
        });
        self.list.extend(fields);
        self
    }

    /// The flags of a list of `extraArgs`, which stands at `path`. They go before the flags that kubeadm derives, so that
    /// whoever looks a flag up finds the line that decided.
    #[must_use]
    pub fn arguments(self, args: &[Arg], path: &str) -> Self {
        args.iter()
            .enumerate()
            .fold(self, |origins, (index, arg)| origins.field(&format!("--{}", arg.name), &format!("{path}[{index}]")))
    }

    /// The resource as a whole comes from the patches, where there are any, as they may change anything; else from `path`.
    #[must_use]
    pub fn patched(self, path: &str) -> Self {
        let patches = "InitConfiguration.patches";
        let path = if self.lines.0.contains_key(patches) { patches } else { path };
        self.field("", path)
    }

    /// The list.
    #[must_use]
    pub fn list(self) -> Vec<Origin> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::Location;

    fn lines() -> Lines {
        let place = |line| Location { file: "cluster.yaml".to_owned(), line };
        Lines(BTreeMap::from([
            ("ClusterConfiguration.apiServer".to_owned(), place(5)),
            ("ClusterConfiguration.apiServer.extraArgs[0]".to_owned(), place(7)),
        ]))
    }

    #[test]
    fn a_flag_is_traced_to_the_line_that_names_it() {
        let lines = lines();
        let args = [Arg { name: "v".to_owned(), value: "4".to_owned() }];
        let list = Origins { lines: &lines, list: Vec::new() }
            .arguments(&args, "ClusterConfiguration.apiServer.extraArgs")
            .field("SAN", "ClusterConfiguration.apiServer.certSANs")
            .field("nowhere", "InitConfiguration.patches")
            .list();
        let seen: Vec<_> = list.iter().map(|origin| (origin.field.as_str(), origin.place.line)).collect();
        assert_eq!(seen, [("--v", 7), ("SAN", 5)]);
    }
}
