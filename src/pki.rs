//! Keys and certificates as kubeadm makes them, over bytes: no file is read or written here.
//!
//! Randomness comes from aws-lc-rs, time from the caller. A private key never has a `Debug` or `Display`, and errors say
//! what is wrong with an input without repeating any of it.

mod certificate;
mod der;
mod inspect;
mod key;

pub use certificate::issue;
pub use inspect::{certificate_ders, certificates, inspect, keys_match, public_keys_contain};
pub use key::{PrivateKey, generate_key};

use sha2::{Digest, Sha256};

/// No key, certificate or bundle of certificates is larger than this many bytes.
pub const MAX_INPUT: usize = 1 << 20;

/// Why a key or certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// The system's random generator or the key generation failed.
    #[error("cannot generate a {0} key")]
    Generate(&'static str),
    /// The input holds no private key that can sign.
    #[error("no usable private key: {0}")]
    Key(&'static str),
    /// The input holds no certificate.
    #[error("no usable certificate: {0}")]
    Certificate(String),
    /// The issuer's key belongs to another certificate.
    #[error("the issuer's key does not belong to its certificate")]
    IssuerPair,
    /// The issuer's certificate is not one of a CA.
    #[error("the issuer's certificate is not a CA certificate")]
    IssuerNotCa,
    /// The validity ends beyond the year 9999, which X.509 cannot say.
    #[error("the validity is out of range")]
    Validity,
    /// The signature could not be made.
    #[error("cannot sign")]
    Sign,
}

/// The pin of a CA for `kubeadm join --discovery-token-ca-cert-hash`: `sha256:` and the hexadecimal SHA-256 of the
/// certificate's subject public key info in DER.
///
/// # Errors
/// In words, where `certificate` holds no certificate.
pub fn discovery_hash(certificate: &[u8]) -> Result<String, String> {
    let ders = certificate_ders(certificate)?;
    let first = ders.first().ok_or("it holds no certificate")?;
    let parsed = inspect::parse(first)?;
    Ok(format!("sha256:{}", hex(&Sha256::digest(parsed.public_key().raw))))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String does not fail
        text
    })
}

/// The PEM of a block, with the line ends of Linux.
fn pem_block(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

#[cfg(test)]
mod tests;
