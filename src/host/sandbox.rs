//! A folder that stands for a host: its files at their own paths, its cluster in `cluster/`, one YAML file an object.
//!
//! What a folder cannot have is out of scope: services, images, running Pods. Everything else is what a live host has.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::diff::file::bytes;
use crate::facts::{Facts, IssuedToken, Owner};
use crate::host::files::{FileSystem, Look, Writer, parent};
use crate::host::pki::{Issuance, Readings};
use crate::host::{ApplyError, Host, tokens};
use crate::observed::{FileSeen, Mode, ObserveError, Observed, Obstacle, ObstacleKind, Seen, TokensSeen};
use crate::resource::{DirectorySpec, FileSpec, Resource, Spec, Target, TokensSpec, Want};
use crate::verdict::Verdict;
use crate::{desired, diff, pki, record, yaml};

/// A host in a folder.
pub struct Sandbox<F> {
    writer: Writer<F>,
    machine: Setting,
}

/// What a sandbox takes from elsewhere than its folder: the machine, or a test.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The host's name.
    pub hostname: String,
    /// Seconds since 1970.
    pub now: fn() -> i64,
    /// The owner of all that is made.
    pub owner: Owner,
    /// Folders of CA certificates, of those in [`crate::facts::CA_FOLDERS`].
    pub ca_folders: std::collections::BTreeSet<String>,
    /// `systemd-resolved` runs.
    pub systemd_resolved: bool,
}

impl<F: FileSystem> Sandbox<F> {
    /// A host in a folder.
    pub fn new(files: F, machine: Setting) -> Self {
        Self { writer: Writer::new(files), machine }
    }

    /// The folder.
    pub fn files(&self) -> &F {
        self.writer.files()
    }

    /// Keeps the configuration that is in force now.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remember(&self, text: &str) -> Result<(), ApplyError> {
        let mode = Mode { mode: 0o600, owner: self.machine.owner };
        self.writer
            .write_first(record::PATH, text.as_bytes(), mode)
            .map_err(|error| ApplyError::new("write", record::PATH, error))
    }

    fn observe_one(&self, resource: &Resource, readings: &Readings<'_, F>) -> Result<Seen, ObserveError> {
        match &resource.want {
            Want::Present(Spec::Directory(spec)) => self.directory(spec),
            Want::Present(Spec::File(spec)) => self.file(&spec.path),
            Want::Present(Spec::KeyPair(spec)) => readings.key_pair(spec),
            Want::Present(Spec::Certificate(spec)) => readings.certificate(spec),
            Want::Present(Spec::Kubeconfig(spec)) => readings.kubeconfig(spec),
            Want::Present(Spec::Tokens(spec)) => self.tokens(spec),
            Want::Present(Spec::Object(object)) | Want::Absent(Target::Object(object)) => self.object(object),
            Want::Absent(Target::File(path)) => self.file(path),
        }
    }

    fn directory(&self, spec: &DirectorySpec) -> Result<Seen, ObserveError> {
        let looked = self.files().look(&spec.path).map_err(|error| unreadable(&spec.path, &error))?;
        // A link to a folder is how people put /etc/kubernetes on another disk.
        let looked = match looked {
            Look::Link => self.files().look_through(&spec.path).map_err(|error| unreadable(&spec.path, &error))?,
            other => other,
        };
        let in_the_way = |kind| Ok(Seen::Obstacle(Obstacle { path: spec.path.clone(), kind }));
        match looked {
            Look::Directory(mode) => Ok(Seen::Directory(mode)),
            Look::Absent if self.files().look(&spec.path).is_ok_and(|look| look == Look::Link) => {
                in_the_way(ObstacleKind::Link)
            }
            Look::Absent => Ok(Seen::Absent),
            Look::File(_) => in_the_way(ObstacleKind::File),
            Look::Link => in_the_way(ObstacleKind::Link),
            Look::Special => in_the_way(ObstacleKind::Special),
        }
    }

    fn file(&self, path: &str) -> Result<Seen, ObserveError> {
        let error = |error: io::Error| unreadable(path, &error);
        let (looked, read) = self.files().look_and_read(path, false).map_err(error)?;
        if let Some(kind) = obstacle(self.files(), path, looked).map_err(error)? {
            return Ok(Seen::Obstacle(Obstacle { path: path.to_owned(), kind }));
        }
        Ok(match (looked, read) {
            (Look::File(mode), Some(bytes)) => Seen::File(FileSeen { bytes, mode }),
            _ => Seen::Absent,
        })
    }

    fn tokens(&self, spec: &TokensSpec) -> Result<Seen, ObserveError> {
        Ok(match self.file(&spec.path)? {
            Seen::File(file) => Seen::Tokens(TokensSeen { tokens: tokens::read(&file.bytes), mode: Some(file.mode) }),
            other => other,
        })
    }

    fn object(&self, wanted: &Value) -> Result<Seen, ObserveError> {
        Ok(match self.file(&object_path(wanted))? {
            // What planekeeper wrote is not parsed to find that it is what planekeeper would write.
            Seen::File(file) if file.bytes == yaml::to_string(wanted).as_bytes() => Seen::Object(Some(wanted.clone())),
            Seen::File(file) => Seen::Object(parse_object(&file.bytes)),
            other => other,
        })
    }

    fn apply_present(&self, spec: &Spec, seen: &Seen, verdict: &Verdict) -> Result<(), ApplyError> {
        let issuance = Issuance { writer: &self.writer, now: (self.machine.now)() };
        self.clear(seen)?;
        match spec {
            Spec::Directory(spec) => self.apply_directory(spec, seen),
            Spec::File(spec) => self.apply_file(spec, verdict),
            Spec::KeyPair(spec) => issuance.key_pair(spec, seen, verdict),
            Spec::Certificate(spec) => issuance.certificate(spec, seen, verdict),
            Spec::Kubeconfig(spec) => issuance.kubeconfig(spec, seen, verdict),
            Spec::Tokens(spec) => self.apply_tokens(spec, seen),
            Spec::Object(object) => self.apply_object(object, seen),
        }
    }

    /// Takes an empty folder out of the way. A link goes when the file takes its place; nothing else is ever moved.
    fn clear(&self, seen: &Seen) -> Result<(), ApplyError> {
        match seen {
            Seen::Obstacle(Obstacle { path, kind: ObstacleKind::EmptyDirectory }) => self
                .files()
                .remove_directory(path)
                .map_err(|error| ApplyError::new("remove the empty folder", path, error)),
            _ => Ok(()),
        }
    }

    fn apply_directory(&self, spec: &DirectorySpec, seen: &Seen) -> Result<(), ApplyError> {
        let mode = Mode { mode: spec.mode, owner: spec.owner };
        if let Seen::Directory(_) = seen {
            let set = self.files().set_mode(&spec.path, mode);
            return set.map_err(|error| ApplyError::new("set the mode of", &spec.path, error));
        }
        self.writer
            .create_directories(&spec.path, mode)
            .map_err(|error| ApplyError::new("create the folder", &spec.path, error))
    }

    fn apply_file(&self, spec: &FileSpec, verdict: &Verdict) -> Result<(), ApplyError> {
        let mode = Mode { mode: spec.mode, owner: spec.owner };
        if diff::only_modes(verdict) {
            let set = self.files().set_mode(&spec.path, mode);
            return set.map_err(|error| ApplyError::new("set the mode of", &spec.path, error));
        }
        self.writer
            .write(&spec.path, bytes(&spec.content).as_bytes(), mode)
            .map_err(|error| ApplyError::new("write", &spec.path, error))
    }

    fn apply_tokens(&self, spec: &TokensSpec, seen: &Seen) -> Result<(), ApplyError> {
        let none = TokensSeen::default();
        let seen = if let Seen::Tokens(seen) = seen { seen } else { &none };
        let met = |id: &str| self.token_in_cluster(id).and_then(|token| token.ends);
        let tokens = tokens::renewed(spec, seen, (self.machine.now)(), met)
            .map_err(|error| ApplyError::new("make a token for", &spec.path, error))?;
        let mode = Mode { mode: diff::tokens::MODE, owner: spec.owner };
        self.writer
            .write(&spec.path, tokens::text(&tokens).as_bytes(), mode)
            .map_err(|error| ApplyError::new("write", &spec.path, error))
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
        let look = self.files().look_through(folder).map_err(|error| ApplyError::new("look at", folder, error))?;
        if look == Look::Absent {
            let mode = Mode { mode: 0o755, owner: self.machine.owner };
            self.writer
                .create_directories(folder, mode)
                .map_err(|error| ApplyError::new("create the folder", folder, error))?;
        }
        self.writer
            .write(&path, yaml::to_string(&merged).as_bytes(), Mode { mode, owner: self.machine.owner })
            .map_err(|error| ApplyError::new("write", &path, error))
    }

    /// A bootstrap token that the cluster has.
    fn token_in_cluster(&self, id: &str) -> Option<IssuedToken> {
        let secret = serde_json::json!({"kind": "Secret", "metadata": {"namespace": "kube-system", "name": format!("bootstrap-token-{id}")}});
        let (bytes, _) = self.files().read(&object_path(&secret)).ok()??;
        let secret = parse_object(&bytes)?;
        let encoded = secret.pointer("/data/expiration")?.as_str()?;
        let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).ok()?;
        Some(IssuedToken { ends: tokens::seconds(std::str::from_utf8(&text).ok()?), secret: None })
    }

    /// The text of a file; `None` where there is none, or something else in its place.
    fn read_text(&self, path: &str) -> Result<Option<String>, ObserveError> {
        let error = |error: io::Error| unreadable(path, &error);
        let (_, read) = self.files().look_and_read(path, true).map_err(error)?;
        Ok(read.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}

impl<F: FileSystem> Host for Sandbox<F> {
    fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        let path = |name: &str| format!("{}/{name}", cluster.certificates_dir);
        // What is no certificate is nothing to tell others of.
        let ca_certificate =
            self.read_text(&path("ca.crt"))?.filter(|text| pki::inspect(text.as_bytes(), None).is_ok());
        let key = self.files().look_through(&path("ca.key")).map_err(|error| unreadable(&path("ca.key"), &error))?;
        let record = desired::bootstrap_token::RECORD;
        let tokens = self.read_text(record)?.map(|text| tokens::read(text.as_bytes())).unwrap_or_default();
        let generated_token = tokens.iter().find(|(_, token)| token.secret.is_some()).map(|(id, _)| id.clone());
        Ok(Facts {
            hostname: self.machine.hostname.clone(),
            now: (self.machine.now)(),
            owner: self.machine.owner,
            ca_folders: self.machine.ca_folders.clone(),
            systemd_resolved: self.machine.systemd_resolved,
            external_ca: ca_certificate.is_some() && key == Look::Absent,
            ca_certificate,
            tokens,
            generated_token,
        })
    }

    fn observe(&self, desired: &crate::resource::Desired) -> Observed {
        let readings = Readings::new(self.files());
        side_by_side(&desired.resources, |resource| (resource.id.clone(), self.observe_one(resource, &readings)))
    }

    fn settle(&self) -> Result<(), ApplyError> {
        self.writer.settle().map_err(|(folder, error)| ApplyError::new("sync the folder", folder, error))
    }

    fn apply(&self, resource: &Resource, seen: &Seen, verdict: &Verdict) -> Result<(), ApplyError> {
        match &resource.want {
            Want::Present(spec) => self.apply_present(spec, seen, verdict),
            Want::Absent(target) => {
                let path = match target {
                    Target::File(path) => path.clone(),
                    Target::Object(object) => object_path(object),
                };
                self.writer.remove(&path).map_err(|error| ApplyError::new("remove", path, error))
            }
        }
    }
}

/// The most threads that read side by side.
const READERS_MAX: usize = 4;

/// Does the same with every item, on as many threads as there are processors: most of looking at a host is verifying signatures.
fn side_by_side<T: Sync, R: Send, C: FromIterator<R>>(items: &[T], act: impl Fn(&T) -> R + Sync) -> C {
    let readers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(READERS_MAX);
    if readers == 1 {
        return items.iter().map(act).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)).map(&act)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..readers).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others = others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        own.into_iter().chain(others).collect()
    })
}

fn unreadable(path: &str, error: &io::Error) -> ObserveError {
    ObserveError { what: path.to_owned(), why: error.to_string() }
}

/// What stands in a file's way; `None` for a file, or for nothing.
pub(super) fn obstacle<F: FileSystem>(files: &F, path: &str, looked: Look) -> io::Result<Option<ObstacleKind>> {
    Ok(match looked {
        Look::Absent | Look::File(_) => None,
        Look::Link => Some(ObstacleKind::Link),
        Look::Special => Some(ObstacleKind::Special),
        Look::Directory(_) if files.list(path)?.is_empty() => Some(ObstacleKind::EmptyDirectory),
        Look::Directory(_) => Some(ObstacleKind::Directory),
    })
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
