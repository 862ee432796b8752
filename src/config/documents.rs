//! Files cut into documents, each recognised by its `apiVersion` and `kind` and checked against its kind's schema.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::component::{kube_proxy, kubelet};
use super::kubeadm::{v1beta3, v1beta4};
use super::node::{Kind, MAX_BYTES, Node, Unreadable};
use super::report::Report;
use super::{Source, audit, components, planekeeper, schema, words};
use crate::cluster::Location;

/// The kinds that are read, in the order in which they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DocumentKind {
    InitConfiguration,
    ClusterConfiguration,
    KubeletConfiguration,
    KubeProxyConfiguration,
    Policy,
    PlanekeeperConfiguration,
}

use DocumentKind::{
    ClusterConfiguration, InitConfiguration, KubeProxyConfiguration, KubeletConfiguration, PlanekeeperConfiguration,
    Policy,
};

/// What a version of a kind is to planekeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Read(DocumentKind),
    /// kubeadm reads it for another of its commands.
    Ignored,
}

const KNOWN: [(&str, &str, Known); 14] = [
    (v1beta4::API_VERSION, "InitConfiguration", Known::Read(InitConfiguration)),
    (v1beta4::API_VERSION, "ClusterConfiguration", Known::Read(ClusterConfiguration)),
    (v1beta4::API_VERSION, "JoinConfiguration", Known::Ignored),
    (v1beta4::API_VERSION, "ResetConfiguration", Known::Ignored),
    (v1beta4::API_VERSION, "UpgradeConfiguration", Known::Ignored),
    (v1beta3::API_VERSION, "InitConfiguration", Known::Read(InitConfiguration)),
    (v1beta3::API_VERSION, "ClusterConfiguration", Known::Read(ClusterConfiguration)),
    (v1beta3::API_VERSION, "JoinConfiguration", Known::Ignored),
    (kubelet::API_VERSION, "KubeletConfiguration", Known::Read(KubeletConfiguration)),
    (kube_proxy::API_VERSION, "KubeProxyConfiguration", Known::Read(KubeProxyConfiguration)),
    (audit::API_VERSION, "Policy", Known::Read(Policy)),
    (planekeeper::API_VERSION, "PlanekeeperConfiguration", Known::Read(PlanekeeperConfiguration)),
    // Known, so that they are refused with the right words.
    ("kubeadm.k8s.io/v1", "InitConfiguration", Known::Ignored),
    ("kubeadm.k8s.io/v1", "ClusterConfiguration", Known::Ignored),
];

impl DocumentKind {
    /// The kind as documents name it, which is also how paths of its fields begin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            InitConfiguration => "InitConfiguration",
            ClusterConfiguration => "ClusterConfiguration",
            KubeletConfiguration => "KubeletConfiguration",
            KubeProxyConfiguration => "KubeProxyConfiguration",
            Policy => "Policy",
            PlanekeeperConfiguration => "PlanekeeperConfiguration",
        }
    }

    /// Its schema, which is made once.
    fn schema(self, old: bool) -> &'static Value {
        static MADE: Mutex<BTreeMap<(DocumentKind, bool), &Value>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((self, old)).or_insert_with(|| Box::leak(Box::new(self.make_schema(old))))
    }

    fn make_schema(self, old: bool) -> Value {
        match self {
            InitConfiguration if old => v1beta3::schema(schema::whole::<v1beta4::InitConfiguration>()),
            ClusterConfiguration if old => v1beta3::schema(schema::whole::<v1beta4::ClusterConfiguration>()),
            InitConfiguration => schema::of::<v1beta4::InitConfiguration>(),
            ClusterConfiguration => schema::of::<v1beta4::ClusterConfiguration>(),
            KubeletConfiguration => components::kubelet_schema(),
            KubeProxyConfiguration => components::kube_proxy_schema(),
            Policy => schema::of::<audit::Policy>(),
            PlanekeeperConfiguration => schema::of::<planekeeper::PlanekeeperConfiguration>(),
        }
    }
}

/// A configuration that has been read, with everything that was wrong with its shape.
#[derive(Clone, Default)]
pub struct Documents {
    pub(super) report: Report,
    read: BTreeMap<DocumentKind, (Location, Value)>,
    /// Documents for other commands of kubeadm, as they were written.
    pub(super) ignored: Vec<Value>,
    /// v1beta3's time to wait for the control plane.
    pub(super) control_plane_timeout: Option<Value>,
}

impl Documents {
    /// `patches.directory` as written, if it is: relative to the folder of the configuration.
    #[must_use]
    pub fn patches_directory(&self) -> Option<&str> {
        let (_, init) = self.read.get(&InitConfiguration)?;
        init.pointer("/patches/directory").and_then(Value::as_str).filter(|directory| !directory.is_empty())
    }

    /// Whether there is a document of a kind.
    #[must_use]
    pub fn has(&self, kind: DocumentKind) -> bool {
        self.read.contains_key(&kind)
    }

    /// A document as it is written, without what was wrong with its shape.
    #[must_use]
    pub fn value(&self, kind: DocumentKind) -> Option<&Value> {
        self.read.get(&kind).map(|(_, value)| value)
    }

    /// Says of a field that it is wrong, for a reason that only who reads the files knows.
    pub fn refuse(&mut self, field: &str, why: String) {
        self.report.error(field, why);
    }

    /// The documents of one text, whichever there are.
    pub(super) fn of(source: &Source) -> Self {
        let mut documents = Self::default();
        documents.read_file(source);
        documents
    }

    /// How many documents there are.
    pub(super) fn count(&self) -> usize {
        self.read.len() + self.ignored.len()
    }

    /// A document as its type. Its defaults where it is not there.
    pub(super) fn typed<T: DeserializeOwned + Default>(&mut self, kind: DocumentKind) -> T {
        let Some((_, value)) = self.read.get(&kind) else { return T::default() };
        T::deserialize(value).unwrap_or_else(|error| {
            self.report.error(kind.name(), error.to_string());
            T::default()
        })
    }

    /// Reads one file.
    fn read_file(&mut self, source: &Source) {
        let file = source.name.as_str();
        let mut empty = true;
        for node in nodes(&source.text) {
            empty = false;
            match node {
                Ok(node) => self.document(&node, file),
                Err(error) => self.report.shape(file, error.line, "", error.message),
            }
        }
        if empty {
            self.report.shape(file, 1, "", "the file has no document".to_owned());
        }
    }

    fn document(&mut self, node: &Node, file: &str) {
        if !matches!(node.kind, Kind::Map(_)) {
            let message = "the document is not a mapping: it has to begin with apiVersion and kind".to_owned();
            return self.report.shape(file, node.line, "", message);
        }
        let header = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let (api_version, kind) = (header("apiVersion"), header("kind"));
        schema::duplicates(node, kind, file, &mut self.report);
        let known = KNOWN.iter().find(|known| (known.0, known.1) == (api_version, kind));
        match known {
            Some((version, ..)) if *version == "kubeadm.k8s.io/v1" => {
                self.report.shape(file, node.line, "apiVersion", unknown(api_version, kind));
            }
            Some((_, _, Known::Read(kind))) => self.accept(node, *kind, api_version == v1beta3::API_VERSION, file),
            Some((_, _, Known::Ignored)) => {
                let message = format!("{kind} is for another command of kubeadm: planekeeper does not use it");
                self.report.warn_at(file, node.line, kind, message);
                self.ignored.push(node.to_value());
            }
            None => {
                let field = if api_version.is_empty() || !kind.is_empty() { "apiVersion" } else { "kind" };
                let line = node.get(field).map_or(node.line, |value| value.line);
                self.report.shape(file, line, field, unknown(api_version, kind));
            }
        }
    }

    fn accept(&mut self, node: &Node, kind: DocumentKind, old: bool, file: &str) {
        let name = kind.name();
        if let Some((first, _)) = self.read.get(&kind) {
            let message = format!("there are two documents of this kind, the first in {first}: keep one");
            self.report.shape(file, node.line, name, message);
        }
        let mut node = schema::check(node, kind.schema(old), name, file, &mut self.report);
        if old {
            let message = "kubeadm.k8s.io/v1beta3 is deprecated: `planekeeper config migrate` writes it as v1beta4";
            self.report.warn_at(file, node.line, name, message.to_owned());
            record_lines(&node, name, file, &mut self.report);
            if let Some(timeout) = v1beta3::convert(&mut node) {
                let place = Location { file: file.to_owned(), line: timeout.line };
                let path = "InitConfiguration.timeouts.controlPlaneComponentHealthCheck";
                self.report.lines.0.insert(path.to_owned(), place);
                self.control_plane_timeout = Some(timeout.to_value());
            }
        }
        record_lines(&node, name, file, &mut self.report);
        let place = Location { file: file.to_owned(), line: node.line };
        self.read.entry(kind).or_insert((place, node.to_value()));
    }
}

/// Reads the files of a configuration. It never fails: what is wrong is kept, and said with everything else that is
/// wrong by [`Documents::complete`].
#[must_use]
pub fn parse(sources: &[Source]) -> Documents {
    let mut documents = Documents::default();
    for source in sources {
        documents.read_file(source);
    }
    let there = |name: &str| documents.report.has_field(name);
    if !documents.has(InitConfiguration)
        && !documents.has(ClusterConfiguration)
        && !there("apiVersion")
        && !there("kind")
        && !there("")
    {
        let message = "there is neither an InitConfiguration nor a ClusterConfiguration of kubeadm.k8s.io/v1beta4";
        documents.report.error("", message);
    }
    documents
}

/// Where the fields of a document stand. The first document of a kind counts.
fn record_lines(node: &Node, path: &str, file: &str, report: &mut Report) {
    let place = Location { file: file.to_owned(), line: node.line };
    report.lines.0.entry(path.to_owned()).or_insert(place);
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                let path = schema::child(path, &entry.key);
                let place = Location { file: file.to_owned(), line: entry.line };
                report.lines.0.entry(path.clone()).or_insert(place);
                record_lines(&entry.value, &path, file, report);
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                record_lines(item, &format!("{path}[{index}]"), file, report);
            }
        }
        _ => {}
    }
}

/// Why a document is not read, and what would be.
fn unknown(api_version: &str, kind: &str) -> String {
    if api_version.is_empty() || kind.is_empty() {
        let missing = if api_version.is_empty() { "apiVersion" } else { "kind" };
        return format!("the document has no {missing}: write one of {}", known_documents());
    }
    if api_version == "kubeadm.k8s.io/v1" {
        return format!("kubeadm.k8s.io/v1 is still an experiment of kubeadm's: write {}", v1beta4::API_VERSION);
    }
    if let Some(version) = api_version.strip_prefix("kubeadm.k8s.io/")
        && (version.starts_with("v1beta") || version.starts_with("v1alpha"))
        && !KNOWN.iter().any(|known| known.0 == api_version)
    {
        return format!(
            "kubeadm.k8s.io/{version} is not read, as current kubeadm does not: migrate the file with `kubeadm config \
             migrate` of a release that still reads it, or write it as {}",
            v1beta4::API_VERSION
        );
    }
    let same_kind: Vec<_> = KNOWN.iter().filter(|known| known.1 == kind).map(|known| known.0).collect();
    if let [version, ..] = same_kind[..] {
        return format!("there is no {kind} in {api_version}: write {version}");
    }
    if let Some(near) = words::nearest(kind, KNOWN.iter().filter(|known| known.0 == api_version).map(|known| known.1)) {
        return format!("{api_version} has no kind {kind}: did you mean {near}?");
    }
    format!("{kind} of {api_version} is not known here: the documents are {}", known_documents())
}

fn known_documents() -> String {
    let read = KNOWN.iter().filter(|known| matches!(known.2, Known::Read(_)));
    read.map(|known| format!("{} {}", known.0, known.1)).collect::<Vec<_>>().join(", ")
}

/// The documents of a file, each with the number of lines above it. `---` and `...` at the start of a line end a document
/// wherever they stand, even in block text: YAML forbids them there.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut before) = (0, 0);
    let (mut offset, mut line_number) = (0, 0);
    for line in text.split_inclusive('\n') {
        let (begins, ends) = (is_marker(line, "---"), is_marker(line, "..."));
        let cut = if ends { offset + line.len() } else { offset };
        if begins || ends {
            documents.push((before, &text[start..cut]));
            (start, before) = (cut, line_number + u64::from(ends));
        }
        offset += line.len();
        line_number += 1;
    }
    documents.push((before, &text[start..]));
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// The documents of a file that are more than comments, each or why it cannot be read; where the file is too long, that alone.
pub(super) fn nodes(text: &str) -> impl Iterator<Item = Result<Node, Unreadable>> {
    let too_long = (text.len() > MAX_BYTES).then(|| {
        let message = format!("the file has {} bytes: planekeeper reads at most {MAX_BYTES}", text.len());
        Err(Unreadable { line: 1, message })
    });
    let documents = if too_long.is_some() { Vec::new() } else { split(text.trim_start_matches('\u{feff}')) };
    let documents = documents.into_iter().filter(|(_, text)| !is_blank(text));
    too_long.into_iter().chain(documents.map(|(before, text)| Node::parse(text, before)))
}

/// Nothing but comments and markers.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = if is_marker(line, "---") || is_marker(line, "...") { &line[3..] } else { line };
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with("%YAML")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_cut_where_yaml_cuts_them() {
        let text = "a: 1\n---\nb: |\n  x\n  ---\n--- # next\nc: 2\n...\nd: 3\n";
        let cut: Vec<_> = split(text).into_iter().filter(|(_, text)| !is_blank(text)).collect();
        let want = [(0, "a: 1\n"), (1, "---\nb: |\n  x\n  ---\n"), (5, "--- # next\nc: 2\n...\n"), (8, "d: 3\n")];
        assert_eq!(cut, want);
    }
}
