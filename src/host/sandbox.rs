//! A folder that stands for a host: its files at their own paths, its cluster in `cluster/`, one YAML file an object.
//!
//! What a folder cannot have is out of scope: services, images, running Pods. Everything else is what a live host has.

use std::io;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::desired::bootstrap_token::secret_of;
use crate::desired::self_hosting::{COMPONENTS, name};
use crate::diff::left;
use crate::facts::{Facts, HostingFacts, IssuedToken};
use crate::host::files::{FileSystem, Look, parent};
use crate::host::local::{Local, Setting};
use crate::host::pki::Readings;
use crate::host::side_by_side::{compute_threads, side_by_side};
use crate::host::{ApplyError, Host, Tell, tokens};
use crate::observed::{Mode, ObserveError, Observed, Seen};
use crate::resource::{Desired, Resource, Spec, Target, Want};
use crate::verdict::Verdict;
use crate::yaml;

/// A host in a folder.
pub struct Sandbox<F> {
    local: Local<F>,
}

impl<F: FileSystem> Sandbox<F> {
    /// A host in a folder.
    pub fn new(files: F, machine: Setting) -> Self {
        Self { local: Local::new(files, machine) }
    }

    /// The folder.
    pub fn files(&self) -> &F {
        self.local.files()
    }

    fn observe_one(&self, resource: &Resource, readings: &Readings<'_, F>) -> Result<Seen, ObserveError> {
        match &resource.want {
            Want::Present(Spec::Object(object))
            | Want::Absent(Target::Object(object))
            | Want::Theirs { target: Target::Object(object), .. } => self.object(object),
            _ => self.local.observe(resource, readings).unwrap_or(Ok(Seen::Absent)),
        }
    }

    fn object(&self, wanted: &Value) -> Result<Seen, ObserveError> {
        Ok(match self.local.file(&object_path(wanted))? {
            // What planekeeper wrote is not parsed to find that it is what planekeeper would write.
            Seen::File(file) if file.bytes == yaml::to_string(wanted).as_bytes() => Seen::Object(Some(wanted.clone())),
            Seen::File(file) => Seen::Object(parse_object(&file.bytes)),
            other => other,
        })
    }

    /// Server-side apply, as far as a folder goes: what is wanted over what is there, which keeps its other fields.
    fn apply_object(&self, wanted: &Value, seen: &Seen) -> Result<(), ApplyError> {
        let path = object_path(wanted);
        let mut merged = match seen {
            Seen::Object(Some(live)) => live.clone(),
            _ => Value::Null,
        };
        merge(&mut merged, wanted);
        let mode = if wanted["kind"] == "Secret" { 0o600 } else { 0o644 };
        let folder = parent(&path);
        let (writer, owner) = (self.local.writer(), self.local.machine().owner);
        let text = yaml::to_string(&merged);
        let write = || writer.write(&path, text.as_bytes(), Mode { mode, owner });
        let written = match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let created = writer.create_directories(folder, Mode { mode: 0o755, owner });
                created.map_err(|error| ApplyError::new("create the folder", folder, error))?;
                write()
            }
            written => written,
        };
        written.map_err(|error| ApplyError::new("write", &path, error))
    }

    /// A bootstrap token that the cluster has.
    fn token_in_cluster(&self, id: &str) -> Option<IssuedToken> {
        let (bytes, _) = self.files().read(&object_path(&secret_of(id))).ok()??;
        Some(tokens::issued(&parse_object(&bytes)?))
    }
}

impl<F: FileSystem> Host for Sandbox<F> {
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        let map = |wanted: &Value| match self.object(wanted) {
            Ok(Seen::Absent) => Ok(None),
            Ok(Seen::Object(Some(map))) => Ok(Some(map)),
            Ok(_) => Err("it is no object".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        // Nothing runs in a folder; what is left of another hosting is there as objects.
        let there = |component: &&str| {
            let path = object_path(
                &json!({"kind": "DaemonSet", "metadata": {"namespace": "kube-system", "name": name(component)}}),
            );
            self.files().look(&path).is_ok_and(|look| look != Look::Absent)
        };
        let hosting = HostingFacts { daemon_sets: COMPONENTS.iter().any(there), ..HostingFacts::default() };
        Ok(Facts { followed: self.local.followed(cluster, map)?, hosting, ..self.local.facts(cluster)? })
    }

    fn observe(&self, desired: &Desired) -> Observed {
        let readings = Readings::new(self.files());
        // Most of looking at files is verifying signatures.
        let read = |resource: &Resource| (resource.id.clone(), self.observe_one(resource, &readings));
        side_by_side(&desired.resources, compute_threads(), read)
    }

    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict, _tell: Tell<'_>) -> Result<(), ApplyError> {
        match &resource.want {
            Want::Present(spec) => match &*left::spec(spec, seen, &resource.left) {
                Spec::Object(object) => {
                    self.local.clear(seen)?;
                    self.apply_object(object, seen)
                }
                spec => {
                    let met = |id: &str| self.token_in_cluster(id).and_then(|token| token.ends);
                    self.local.apply(spec, seen, verdict, &met)
                }
            },
            Want::Absent(Target::File(path)) => self.local.remove(path),
            Want::Absent(Target::Written(spec)) => self.local.remove(&spec.path),
            Want::Absent(Target::Object(object)) => self.local.remove(&object_path(object)),
            Want::Theirs { .. } => Ok(()),
        }
    }

    /// A folder stands for a host that may be another one.
    fn doubts_clock(&self) -> Option<String> {
        None
    }

    fn settle(&self) -> Result<(), ApplyError> {
        self.local.settle()
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError> {
        self.local.keep(path, text)
    }

    /// Nothing runs here, so no change of what runs was kept.
    fn forget(&self, _name: &str) -> Result<(), ApplyError> {
        Ok(())
    }
}

/// Where an object lies: `/cluster/kube-system/ConfigMap.coredns.yaml`, `/cluster/ClusterRole.system:coredns.yaml`.
#[must_use]
pub fn object_path(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let folder =
        text("/metadata/namespace").map_or_else(|| "/cluster".to_owned(), |namespace| format!("/cluster/{namespace}"));
    format!("{folder}/{}.{}.yaml", text("/kind").unwrap_or_default(), text("/metadata/name").unwrap_or_default())
}

fn parse_object(bytes: &[u8]) -> Option<Value> {
    let value = yaml::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// Puts what is wanted over what is there: maps field by field, everything else whole; what is null is taken out.
fn merge(live: &mut Value, wanted: &Value) {
    match wanted {
        Value::Object(wanted) => {
            if !live.is_object() {
                *live = Value::Object(serde_json::Map::new());
            }
            let Some(live) = live.as_object_mut() else { return };
            for (key, value) in wanted {
                if value.is_null() {
                    live.remove(key);
                } else {
                    merge(live.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        wanted => *live = wanted.clone(),
    }
}
