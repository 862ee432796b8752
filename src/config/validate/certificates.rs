//! `certificatesDir`, `encryptionAlgorithm`, the lives of certificates, and the key of uploaded ones.

use std::time::Duration;

use super::super::duration::GoDuration;
use super::super::kubeadm::v1beta4::ClusterConfiguration;
use super::super::report::Report;
use super::super::words;
use super::{folders, or};
use crate::cluster::{CertificateKey, KeyAlgorithm};

const DIRECTORY: &str = "ClusterConfiguration.certificatesDir";
const LIFE: &str = "ClusterConfiguration.certificateValidityPeriod";
const CA_LIFE: &str = "ClusterConfiguration.caCertificateValidityPeriod";
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// X.509 counts years to 9999; more than this and an end could lie beyond.
const LONGEST: Duration = Duration::from_secs(200 * 365 * 24 * 60 * 60);

/// What certificates are like.
pub struct Certificates {
    /// Their folder, without a slash at its end.
    pub directory: String,
    /// Algorithm of keys.
    pub algorithm: KeyAlgorithm,
    /// Life of a certificate.
    pub life: Duration,
    /// Life of a CA's certificate.
    pub ca_life: Duration,
}

/// Checks them, and fills in the defaults.
pub fn check(config: &mut ClusterConfiguration, minor: Option<u32>, report: &mut Report) -> Option<Certificates> {
    or(&config.certificates_dir, "/etc/kubernetes/pki").to_owned().clone_into(&mut config.certificates_dir);
    let directory = config.certificates_dir.trim_end_matches('/').to_owned();
    folders::of_certificates(DIRECTORY, &config.certificates_dir, report);
    let algorithm = algorithm(config, minor, report);
    let life = life(LIFE, &mut config.certificate_validity_period, YEAR, report);
    let ca_life = self::life(CA_LIFE, &mut config.ca_certificate_validity_period, YEAR * 10, report);
    let (life, ca_life) = (life?, ca_life?);
    if life > ca_life {
        report.error(
            LIFE,
            format!("{} is longer than the CA's {}: a certificate ends with its CA", text(life), text(ca_life)),
        );
    }
    Some(Certificates { directory, algorithm: algorithm?, life, ca_life })
}

fn algorithm(config: &mut ClusterConfiguration, minor: Option<u32>, report: &mut Report) -> Option<KeyAlgorithm> {
    or(&config.encryption_algorithm, "RSA-2048").to_owned().clone_into(&mut config.encryption_algorithm);
    let name = config.encryption_algorithm.as_str();
    let found = KeyAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    if found.is_none() {
        let message = words::unknown("algorithm", name, KeyAlgorithm::ALL.map(KeyAlgorithm::name));
        report.error("ClusterConfiguration.encryptionAlgorithm", message);
    }
    // Up to 1.35 this feature gate overrides the field (kubeadm's `EncryptionAlgorithmType`).
    let gate = config.feature_gates.get("PublicKeysECDSA") == Some(&true) && minor.is_some_and(|minor| minor <= 35);
    found.map(|found| if gate { KeyAlgorithm::EcdsaP256 } else { found })
}

fn life(field: &str, written: &mut Option<GoDuration>, usual: Duration, report: &mut Report) -> Option<Duration> {
    let life = written.get_or_insert_with(|| usual.into()).to_std().filter(|life| !life.is_zero() && *life <= LONGEST);
    match life {
        None => report.error(field, format!("is no life for a certificate: write a time like {}", text(usual))),
        Some(life) if life > usual => {
            report.warn(field, format!("{} is longer than the usual {}", text(life), text(usual)));
        }
        Some(_) => {}
    }
    life
}

fn text(duration: Duration) -> String {
    GoDuration::from(duration).to_string()
}

/// The key of uploaded certificates: an AES-256 key. It is never shown.
pub fn check_key(key: &str, report: &mut Report) -> Option<CertificateKey> {
    let read = CertificateKey::from_hex(key);
    if !key.is_empty() && read.is_err() {
        let message =
            "is not a key of 32 bytes: write 64 hexadecimal digits, as `kubeadm certs certificate-key` prints them";
        report.error("InitConfiguration.certificateKey", message);
    }
    read.ok()
}
