//! The files of a host, which a live host and a sandbox have alike: folders, files, keys, certificates, kubeconfigs, the record of tokens.

use std::io;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::desired::{etcd, static_pod};
use crate::diff::file::bytes;
use crate::facts::{Facts, Owner};
use crate::followed::{self, Followed, Reading};
use crate::host::files::{FileSystem, Look, Writer};
use crate::host::keys::Keys;
use crate::host::pki::{Issuance, Readings};
use crate::host::{ApplyError, tokens};
use crate::observed::{FileSeen, Mode, ObserveError, Obstacle, ObstacleKind, Seen, TokensSeen};
use crate::resource::{DirectorySpec, FileSpec, Resource, Spec, TokensSpec, Want};
use crate::verdict::Verdict;
use crate::{desired, diff, pki, rollout};

/// The files of a host.
pub struct Local<F> {
    writer: Writer<F>,
    machine: Setting,
    keys: Keys,
}

/// What a host takes from elsewhere than its files: the machine, or a test.
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

impl<F: FileSystem> Local<F> {
    /// The files of a host.
    pub fn new(files: F, machine: Setting) -> Self {
        Self { writer: Writer::new(files), machine, keys: Keys::default() }
    }

    /// Takes new keys from elsewhere.
    pub fn take_keys_from(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// The file system.
    pub fn files(&self) -> &F {
        self.writer.files()
    }

    /// Who writes to it.
    pub fn writer(&self) -> &Writer<F> {
        &self.writer
    }

    /// What is taken from elsewhere.
    pub fn machine(&self) -> &Setting {
        &self.machine
    }

    /// Keeps a record of planekeeper's own: on the disk when this returns.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, path: &str, text: &str) -> Result<(), ApplyError> {
        let mode = Mode { mode: 0o600, owner: self.machine.owner };
        self.writer.write_through(path, text.as_bytes(), mode).map_err(|error| ApplyError::new("write", path, error))
    }

    /// What [`crate::desired`] may know of the files of a host.
    ///
    /// # Errors
    /// Something that decides what is wanted could not be read.
    pub fn facts(&self, cluster: &Cluster) -> Result<Facts, ObserveError> {
        let path = |name: &str| format!("{}/{name}", cluster.certificates_dir);
        // What is no certificate is nothing to tell others of.
        let ca_certificate = self.read_bytes(&path("ca.crt"))?.and_then(|pem| pki::certificates(&pem).ok());
        let key = self.files().look_through(&path("ca.key")).map_err(|error| unreadable(&path("ca.key"), &error))?;
        let record = desired::bootstrap_token::RECORD;
        let tokens = self.read_text(record)?.map(|text| tokens::read(text.as_bytes())).unwrap_or_default();
        let generated_token = tokens.iter().find(|(_, token)| token.secret.is_some()).map(|(id, _)| id.clone());
        // What cannot be read is put right, and tells nothing. While a manifest is swapped, the one of before is in the record of that.
        let text = |path: &str| self.read_text(path).ok().flatten();
        let before = || Some(rollout::Record::read(&text(&rollout::path(etcd::NAME))?)?.before);
        let etcd = text(&static_pod::path(etcd::NAME)).or_else(before);
        Ok(Facts {
            etcd_joined: etcd.and_then(|manifest| etcd::joined(cluster, &manifest)),
            hostname: self.machine.hostname.clone(),
            now: (self.machine.now)(),
            owner: self.machine.owner,
            ca_folders: self.machine.ca_folders.clone(),
            systemd_resolved: self.machine.systemd_resolved,
            external_ca: ca_certificate.is_some() && key == Look::Absent,
            ca_certificate,
            tokens,
            generated_token,
            ..Facts::default()
        })
    }

    /// What of a `ConfigMap` the kubelet follows; `map` reads that.
    ///
    /// # Errors
    /// A record of it could not be read.
    pub fn followed(
        &self,
        cluster: &Cluster,
        map: impl FnOnce(&Value) -> Result<Option<Value>, String>,
    ) -> Result<Option<Followed>, ObserveError> {
        let name = &cluster.settings.kubelet_config_map;
        let (good, failed) = (self.read_text(followed::GOOD)?, self.read_text(followed::FAILED)?);
        if name.is_none() && good.is_none() && failed.is_none() {
            return Ok(None);
        }
        let map = name.as_ref().map_or(Ok(None), |name| map(&followed::object(name)));
        let reading = Reading { map, good, failed };
        Ok(Some(Followed::of(&reading, cluster, self.machine.systemd_resolved)))
    }

    /// Reads a resource that is made of files; `None` where it is of another kind.
    pub fn observe(&self, resource: &Resource, readings: &Readings<'_, F>) -> Option<Result<Seen, ObserveError>> {
        Some(match &resource.want {
            Want::Present(Spec::Directory(spec)) => self.directory(spec),
            Want::Present(Spec::File(spec)) => self.file(&spec.path),
            Want::Present(Spec::KeyPair(spec)) => readings.key_pair(spec),
            Want::Present(Spec::Certificate(spec)) => readings.certificate(spec),
            Want::Present(Spec::Kubeconfig(spec)) => readings.kubeconfig(spec),
            Want::Present(Spec::Tokens(spec)) => self.tokens(spec),
            Want::Absent(target) | Want::Theirs { target, .. } => self.file(target.path()?),
            Want::Present(Spec::Object(_) | Spec::Image(_) | Spec::Unit(_) | Spec::StaticPod(_) | Spec::Gate(_)) => {
                return None;
            }
        })
    }

    /// Makes a resource of files what its verdict says; `met` is the end of a bootstrap token that the cluster has already.
    ///
    /// # Errors
    /// The operation that failed.
    pub fn apply(
        &self,
        spec: &Spec,
        seen: &Seen,
        verdict: &Verdict,
        met: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<(), ApplyError> {
        let issuance = Issuance { writer: &self.writer, keys: &self.keys, now: (self.machine.now)() };
        self.clear(seen)?;
        match spec {
            Spec::Directory(spec) => self.apply_directory(spec, seen),
            Spec::File(spec) => self.apply_file(spec, verdict),
            Spec::KeyPair(spec) => issuance.key_pair(spec, seen, verdict),
            Spec::Certificate(spec) => issuance.certificate(spec, seen, verdict),
            Spec::Kubeconfig(spec) => issuance.kubeconfig(spec, seen, verdict),
            Spec::Tokens(spec) => self.apply_tokens(spec, seen, met),
            Spec::Object(_) | Spec::Image(_) | Spec::Unit(_) | Spec::StaticPod(_) | Spec::Gate(_) => {
                Err(ApplyError::new("write", "what is no file", "a folder has files only"))
            }
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The operation that failed.
    pub fn remove(&self, path: &str) -> Result<(), ApplyError> {
        self.writer.remove(path).map_err(|error| ApplyError::new("remove", path, error))
    }

    /// Waits until everything that was written is durable.
    ///
    /// # Errors
    /// The operation that failed.
    pub fn settle(&self) -> Result<(), ApplyError> {
        self.writer.settle().map_err(|(folder, error)| ApplyError::new("sync the folder", folder, error))
    }

    /// Takes an empty folder out of the way. A link goes when the file takes its place; nothing else is ever moved.
    ///
    /// # Errors
    /// The operation that failed.
    pub fn clear(&self, seen: &Seen) -> Result<(), ApplyError> {
        match seen {
            Seen::Obstacle(Obstacle { path, kind: ObstacleKind::EmptyDirectory }) => self
                .files()
                .remove_directory(path)
                .map_err(|error| ApplyError::new("remove the empty folder", path, error)),
            _ => Ok(()),
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

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, path: &str) -> Result<Seen, ObserveError> {
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

    fn apply_tokens(
        &self,
        spec: &TokensSpec,
        seen: &Seen,
        met: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<(), ApplyError> {
        let none = TokensSeen::default();
        let seen = if let Seen::Tokens(seen) = seen { seen } else { &none };
        let tokens = tokens::renewed(spec, seen, (self.machine.now)(), met)
            .map_err(|error| ApplyError::new("make a token for", &spec.path, error))?;
        let mode = Mode { mode: diff::tokens::MODE, owner: spec.owner };
        self.writer
            .write(&spec.path, tokens::text(&tokens).as_bytes(), mode)
            .map_err(|error| ApplyError::new("write", &spec.path, error))
    }

    /// The text of a file; `None` where there is none, or something else in its place.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_text(&self, path: &str) -> Result<Option<String>, ObserveError> {
        Ok(self.read_bytes(path)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn read_bytes(&self, path: &str) -> Result<Option<Vec<u8>>, ObserveError> {
        let read = self.files().look_and_read(path, true);
        read.map(|(_, read)| read).map_err(|error| unreadable(path, &error))
    }
}

pub(super) fn unreadable(path: &str, error: &io::Error) -> ObserveError {
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
