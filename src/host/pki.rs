//! Certificates, keys and kubeconfigs on disk: read into what is known of them, and made.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::cluster::KeyAlgorithm;
use crate::diff::mode::{self, Repair};
use crate::diff::{self, certificate, key_pair};
use crate::host::ApplyError;
use crate::host::files::{FileSystem, Look, NewFile, Turn, Writer};
use crate::host::keys::Keys;
use crate::kubeconfig::{self, Credential};
use crate::observed::{
    CertificateFacts, CertificateSeen, CredentialSeen, KeyPairSeen, KeySeen, KubeconfigSeen, Mode, ObserveError,
    Obstacle, ObstacleKind, Seen,
};
use crate::pki::{self, PrivateKey};
use crate::resource::{CaRef, CertificateSpec, Issuer, KeyPairSpec, KubeconfigSpec};
use crate::verdict::Verdict;

/// A file that was read: its content, its mode.
type Read = Option<(Vec<u8>, Mode)>;

/// The readings of one pass: a CA is read once, whoever asks for it.
pub struct Readings<'a, F> {
    files: &'a F,
    issuers: Mutex<BTreeMap<String, Option<Arc<[u8]>>>>,
}

/// What is in the way of reading.
enum Stop {
    Obstacle(Obstacle),
    Error(ObserveError),
}

fn unreadable(path: &str, error: &io::Error) -> ObserveError {
    ObserveError { what: path.to_owned(), why: error.to_string() }
}

impl<'a, F: FileSystem> Readings<'a, F> {
    /// Nothing read yet.
    pub fn new(files: &'a F) -> Self {
        Self { files, issuers: Mutex::default() }
    }

    /// Reads a file. A link is an obstacle unless it is the user's to make: a CA may lie elsewhere, and what a kubelet serves.
    fn read(&self, path: &str, follow: bool) -> Result<Read, Stop> {
        let error = |error: io::Error| Stop::Error(unreadable(path, &error));
        let (looked, read) = self.files.look_and_read(path, follow).map_err(error)?;
        match super::local::obstacle(self.files, path, looked).map_err(error)? {
            Some(kind) => Err(Stop::Obstacle(Obstacle { path: path.to_owned(), kind })),
            None if looked == Look::Absent && follow && self.files.look(path).map_err(error)? == Look::Link => {
                Err(Stop::Obstacle(Obstacle { path: path.to_owned(), kind: ObstacleKind::Link }))
            }
            None => Ok(match (looked, read) {
                (Look::File(mode), Some(bytes)) => Some((bytes, mode)),
                _ => None,
            }),
        }
    }

    /// The certificate of an issuer; `None` where it cannot be had, whatever the reason: the issuer's own resource says it.
    fn issuer(&self, path: &str) -> Option<Arc<[u8]>> {
        // Who asks for it while it is being read waits.
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issuers.get(path) {
            return known.clone();
        }
        let read = self.files.read(path).ok().flatten().map(|(bytes, _)| Arc::from(bytes));
        issuers.insert(path.to_owned(), read.clone());
        read
    }

    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn certificate(&self, spec: &CertificateSpec) -> Result<Seen, ObserveError> {
        let (ca, follow, issuer) = match &spec.issuer {
            Issuer::SelfSigned { .. } => (true, true, None),
            Issuer::Ca(ca) => (false, false, self.issuer(&ca.certificate)),
            Issuer::Own => (false, true, None),
        };
        let (certificate, key) = match (self.read(&spec.certificate, follow), self.read(&spec.key, follow)) {
            (Ok(certificate), Ok(key)) => (certificate, key),
            (Err(Stop::Error(error)), _) | (_, Err(Stop::Error(error))) => return Err(error),
            (Err(Stop::Obstacle(obstacle)), _) | (_, Err(Stop::Obstacle(obstacle))) => {
                return Ok(Seen::Obstacle(obstacle));
            }
        };
        if certificate.is_none() && key.is_none() {
            return Ok(Seen::Absent);
        }
        let (certificate, certificate_mode) = split(certificate);
        let (key, key_mode) = split(key);
        let (key_seen, key) = parse_key(key.as_deref());
        let pair = match (&certificate, &key) {
            (Some(certificate), Some(key)) => pki::keys_match(certificate, key),
            _ => false,
        };
        let certificate = certificate.map(|bytes| {
            let issuer = if ca { Some(bytes.as_slice()) } else { issuer.as_deref() };
            pki::inspect(&bytes, issuer)
        });
        Ok(Seen::Certificate(CertificateSeen { certificate, certificate_mode, key: key_seen, key_mode, pair }))
    }

    /// Reads a pair of key files.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn key_pair(&self, spec: &KeyPairSpec) -> Result<Seen, ObserveError> {
        let (private, public) = match (self.read(&spec.private, true), self.read(&spec.public, true)) {
            (Ok(private), Ok(public)) => (private, public),
            (Err(Stop::Error(error)), _) | (_, Err(Stop::Error(error))) => return Err(error),
            (Err(Stop::Obstacle(obstacle)), _) | (_, Err(Stop::Obstacle(obstacle))) => {
                return Ok(Seen::Obstacle(obstacle));
            }
        };
        if private.is_none() && public.is_none() {
            return Ok(Seen::Absent);
        }
        let (private, private_mode) = split(private);
        let (public, public_mode) = split(public);
        let (private, key) = parse_key(private.as_deref());
        let public = public.map(|bytes| key.is_some_and(|key| pki::public_keys_contain(&bytes, &key)));
        Ok(Seen::KeyPair(KeyPairSeen { private, private_mode, public, public_mode }))
    }

    /// Reads a kubeconfig.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn kubeconfig(&self, spec: &KubeconfigSpec) -> Result<Seen, ObserveError> {
        match self.read(&spec.path, false) {
            Ok(None) => Ok(Seen::Absent),
            Ok(Some((bytes, mode))) => {
                let issuer = self.issuer(&spec.issuer.certificate);
                let mut content = kubeconfig::inspect(&bytes, issuer.as_deref());
                if let Ok(facts) = &mut content {
                    self.rotated(spec, &mut facts.credential, issuer.as_deref())?;
                }
                Ok(Seen::Kubeconfig(KubeconfigSeen { content, mode }))
            }
            Err(Stop::Obstacle(obstacle)) => Ok(Seen::Obstacle(obstacle)),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Reads the file in which the kubelet renews its certificate, where a kubeconfig names it and has to.
    fn rotated(
        &self,
        spec: &KubeconfigSpec,
        credential: &mut CredentialSeen,
        issuer: Option<&[u8]>,
    ) -> Result<(), ObserveError> {
        let Some(rotated) = spec.rotated.as_ref().filter(|rotated| rotated.required) else { return Ok(()) };
        if let CredentialSeen::Files { certificate, key, content } = credential
            && *certificate == rotated.path
            && certificate == key
        {
            let read = self.files.read(&rotated.path).map_err(|error| unreadable(&rotated.path, &error))?;
            *content = Some(match read {
                Some((pem, _)) => pem_pair(&pem, issuer),
                None => Err("a file that is not there".to_owned()),
            });
        }
        Ok(())
    }
}

/// What is in a file that holds a certificate and its key, for a person where it is of no use.
fn pem_pair(pem: &[u8], issuer: Option<&[u8]>) -> Result<Box<CertificateFacts>, String> {
    let key = PrivateKey::from_pem(pem).map_err(|_| "a file without a key".to_owned())?;
    let certificate = pki::inspect(pem, issuer)?;
    if pki::keys_match(pem, &key) {
        Ok(Box::new(certificate))
    } else {
        Err("a file with the key of another".to_owned())
    }
}

fn split(read: Read) -> (Option<Vec<u8>>, Option<Mode>) {
    read.map_or((None, None), |(bytes, mode)| (Some(bytes), Some(mode)))
}

fn parse_key(pem: Option<&[u8]>) -> (KeySeen, Option<PrivateKey>) {
    match pem.map(PrivateKey::from_pem) {
        None => (KeySeen::Absent, None),
        Some(Err(_)) => (KeySeen::Unreadable, None),
        Some(Ok(key)) => (KeySeen::Present(key.algorithm()), Some(key)),
    }
}

/// Makes and writes what is wanted of keys and certificates.
pub struct Issuance<'a, F> {
    /// Where it is written.
    pub writer: &'a Writer<F>,
    /// Where new keys come from.
    pub keys: &'a Keys,
    /// Seconds since 1970.
    pub now: i64,
}

impl<F: FileSystem> Issuance<'_, F> {
    /// Makes a certificate: of a CA for the key that is there or a new one, of anybody else with a new key.
    ///
    /// # Errors
    /// The operation that failed. A key that was there is still there.
    pub fn certificate(&self, spec: &CertificateSpec, seen: &Seen, verdict: &Verdict) -> Result<(), ApplyError> {
        let repairs =
            if let Seen::Certificate(seen) = seen { certificate::mode_repairs(spec, seen) } else { Vec::new() };
        if self.only_modes(verdict, repairs)? {
            return Ok(());
        }
        let (kept, issuer) = match &spec.issuer {
            Issuer::SelfSigned { .. } => (self.optional_key(&spec.key)?, None),
            Issuer::Ca(ca) => (None, Some(self.ca(ca)?)),
            Issuer::Own => (None, None),
        };
        let made = kept.is_none();
        let key = kept.map_or_else(|| self.new_key(spec.profile.algorithm, &spec.key), Ok)?;
        let issuer = issuer.as_ref().map(|(certificate, key)| (certificate.as_str(), key));
        let certificate = pki::issue(&spec.profile, &key, issuer, self.now)
            .map_err(|error| ApplyError::new("sign", &spec.certificate, error))?;
        let certificate = NewFile {
            path: &spec.certificate,
            bytes: certificate.as_bytes(),
            mode: Mode { mode: mode::CERTIFICATE, owner: spec.owner },
        };
        let turn = if matches!(spec.issuer, Issuer::SelfSigned { .. }) { Turn::First } else { Turn::Last };
        self.write(made.then_some((&spec.key, &key)), certificate, turn)
    }

    /// Makes a pair of key files, or the public one of a private one that is there.
    ///
    /// # Errors
    /// The operation that failed. A key that was there is still there.
    pub fn key_pair(&self, spec: &KeyPairSpec, seen: &Seen, verdict: &Verdict) -> Result<(), ApplyError> {
        let repairs = if let Seen::KeyPair(seen) = seen { key_pair::mode_repairs(spec, seen) } else { Vec::new() };
        if self.only_modes(verdict, repairs)? {
            return Ok(());
        }
        let kept = self.optional_key(&spec.private)?;
        let made = kept.is_none();
        let key = kept.map_or_else(|| self.new_key(spec.algorithm, &spec.private), Ok)?;
        let public = key.public_key_pem().map_err(|error| ApplyError::new("make", &spec.public, error))?;
        let public =
            NewFile { path: &spec.public, bytes: public.as_bytes(), mode: Mode { mode: mode::KEY, owner: spec.owner } };
        self.write(made.then_some((&spec.private, &key)), public, Turn::First)
    }

    /// Makes a kubeconfig with a new key and client certificate in it.
    ///
    /// # Errors
    /// The operation that failed. What was there is still there.
    pub fn kubeconfig(&self, spec: &KubeconfigSpec, seen: &Seen, verdict: &Verdict) -> Result<(), ApplyError> {
        let repair = if let Seen::Kubeconfig(seen) = seen {
            mode::exact(&spec.path, seen.mode, spec.mode, spec.owner)
        } else {
            None
        };
        if self.only_modes(verdict, repair.into_iter().collect())? {
            return Ok(());
        }
        let ca = self.ca_certificate(&spec.issuer)?;
        let text = match spec.rotated.as_ref().filter(|rotated| rotated.required) {
            None => {
                let kept = if diff::kubeconfig::keeps_certificate(verdict) { self.embedded(&spec.path)? } else { None };
                let (certificate, key) = kept.map_or_else(|| self.client_certificate(spec), Ok)?;
                kubeconfig::render(spec, &ca, Credential::Embedded { certificate: &certificate, key: &key })
            }
            Some(rotated) => {
                self.rotated_certificate(spec, &rotated.path, &ca)?;
                kubeconfig::render(spec, &ca, Credential::File(&rotated.path))
            }
        };
        let mode = Mode { mode: spec.mode, owner: spec.owner };
        self.write(None, NewFile { path: &spec.path, bytes: text.as_bytes(), mode }, Turn::Last)
    }

    /// Makes a client certificate and its key, as PEM.
    fn client_certificate(&self, spec: &KubeconfigSpec) -> Result<(String, Zeroizing<String>), ApplyError> {
        let (ca, ca_key) = self.ca(&spec.issuer)?;
        let key = self.new_key(spec.profile.algorithm, &spec.path)?;
        let certificate = pki::issue(&spec.profile, &key, Some((&ca, &ca_key)), self.now)
            .map_err(|error| ApplyError::new("sign the certificate in", &spec.path, error))?;
        let key = key.to_pem().map_err(|error| ApplyError::new("write the key in", &spec.path, error))?;
        Ok((certificate, key))
    }

    /// The client certificate and key that are in a kubeconfig.
    fn embedded(&self, path: &str) -> Result<Option<(String, Zeroizing<String>)>, ApplyError> {
        Ok(self.read(path)?.and_then(|bytes| kubeconfig::embedded(&bytes)))
    }

    /// Makes the file in which the kubelet renews its certificate, as the kubelet does: one by its date, and a link to it. Of the
    /// certificates that can be used, in that file and in the kubeconfig, the one that ends last is kept; where there is none, one is made.
    fn rotated_certificate(&self, spec: &KubeconfigSpec, path: &str, ca: &str) -> Result<(), ApplyError> {
        let end = |pem: &[u8]| {
            let seen = pem_pair(pem, Some(ca.as_bytes())).ok()?;
            diff::kubeconfig::usable(spec, &seen, self.now).is_empty().then_some(seen.not_after)
        };
        let there = self.read(path)?.and_then(|pem| end(&pem));
        let whole =
            |(certificate, key): (String, Zeroizing<String>)| Zeroizing::new(format!("{certificate}{}", key.as_str()));
        let given = self.embedded(&spec.path)?.map(whole).and_then(|pem| Some((end(pem.as_bytes())?, pem)));
        let pem = match given {
            _ if there.is_some_and(|there| given.as_ref().is_none_or(|(given, _)| there >= *given)) => return Ok(()),
            Some((_, pem)) => pem,
            None => whole(self.client_certificate(spec)?),
        };
        let dated = path.replace("current", &stamp(self.now));
        let mode = Mode { mode: mode::KEY, owner: spec.owner };
        self.write(None, NewFile { path: &dated, bytes: pem.as_bytes(), mode }, Turn::Last)?;
        self.writer.link(path, &dated).map_err(|error| ApplyError::new("link", path, error))
    }

    /// Writes a file, with the new key that it belongs to before it: the key takes its place first, so that there is never a
    /// certificate whose key is nowhere.
    fn write(&self, key: Option<(&str, &PrivateKey)>, file: NewFile<'_>, turn: Turn) -> Result<(), ApplyError> {
        let Some((path, key)) = key else { return self.write_files(&[file], turn) };
        let text = key.to_pem().map_err(|error| ApplyError::new("write", path, error))?;
        let mode = Mode { mode: mode::KEY, owner: file.mode.owner };
        self.write_files(&[NewFile { path, bytes: text.as_bytes(), mode }, file], turn)
    }

    fn write_files(&self, files: &[NewFile<'_>], turn: Turn) -> Result<(), ApplyError> {
        self.writer.write_together(files, turn).map_err(|(path, error)| ApplyError::new("write", path, error))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ApplyError> {
        let read = self.writer.files().read(path).map_err(|error| ApplyError::new("read", path, error))?;
        Ok(read.map(|(bytes, _)| bytes))
    }

    fn optional_key(&self, path: &str) -> Result<Option<PrivateKey>, ApplyError> {
        let Some(pem) = self.read(path)? else { return Ok(None) };
        PrivateKey::from_pem(&pem).map(Some).map_err(|error| ApplyError::new("read the key", path, error))
    }

    fn new_key(&self, algorithm: KeyAlgorithm, path: &str) -> Result<PrivateKey, ApplyError> {
        self.keys.take(algorithm).map_err(|error| ApplyError::new("make a key for", path, error))
    }

    /// A CA's certificate and key, as they are now.
    fn ca(&self, ca: &CaRef) -> Result<(String, PrivateKey), ApplyError> {
        let key = self.optional_key(&ca.key)?.ok_or_else(|| missing(&ca.key))?;
        Ok((self.ca_certificate(ca)?, key))
    }

    fn ca_certificate(&self, ca: &CaRef) -> Result<String, ApplyError> {
        let certificate = self.read(&ca.certificate)?.ok_or_else(|| missing(&ca.certificate))?;
        pki::certificates(&certificate).map_err(|error| ApplyError::new("read", &ca.certificate, error))
    }

    /// Puts modes and owners right where that is all there is to do.
    fn only_modes(&self, verdict: &Verdict, repairs: Vec<Repair>) -> Result<bool, ApplyError> {
        if !crate::diff::only_modes(verdict) {
            return Ok(false);
        }
        for Repair { path, mode, owner, .. } in repairs {
            let set = self.writer.files().set_mode(&path, Mode { mode, owner });
            set.map_err(|error| ApplyError::new("set the mode of", path, error))?;
        }
        Ok(true)
    }
}

fn missing(path: &str) -> ApplyError {
    ApplyError::new("sign with", path, "it is not there")
}

/// A time in UTC in the spelling of the kubelet's files: `2026-11-22-10-00-00`.
fn stamp(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    format!("{date}-{hour:02}-{minute:02}-{second:02}")
}
