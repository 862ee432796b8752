//! `--upload-certs`: this control plane's certificates, encrypted, in a Secret that a joining one reads.

use std::error::Error;
use std::fmt;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::cluster::{Cluster, Token};
use crate::desired::upload_certs::{LIFE, NAME, files, objects, token};
use crate::host::api::Api;
use crate::host::{ApplyError, tokens};

/// The key that uploaded certificates are encrypted with. It is in the join command and nowhere else.
pub struct CertificateKey(Zeroizing<[u8; Self::SIZE]>);

impl CertificateKey {
    /// Bytes of a key.
    pub const SIZE: usize = 32;

    /// A new key.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Self, String> {
        let mut key = Zeroizing::new([0; Self::SIZE]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| "the system has no randomness".to_owned())?;
        Ok(Self(key))
    }

    /// The key of `InitConfiguration.certificateKey`: 64 hexadecimal digits.
    ///
    /// # Errors
    /// It is none.
    pub fn from_hex(text: &str) -> Result<Self, String> {
        let mut key = Zeroizing::new([0; Self::SIZE]);
        if text.len() != 2 * Self::SIZE || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a certificate key has 64 hexadecimal digits".to_owned());
        }
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = digits.ok_or("a certificate key has 64 hexadecimal digits")?;
        }
        Ok(Self(key))
    }

    /// The key as the join command has it.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        // As long as it will be from the start: growing would leave copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::SIZE));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0xf] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// AES-256-GCM without further data, as kubeadm has it: the nonce, then the ciphertext with its tag.
    ///
    /// # Errors
    /// The system has no randomness for a nonce.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "cannot encrypt".to_owned();
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(failed)?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(plain);
        let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut *sealed).map_err(failed)?;
        Ok([nonce.as_ref(), sealed.as_slice()].concat())
    }
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateKey")
    }
}

/// Uploads the certificates. `read` gives the content of a file, and nothing for one that is not there; `now` is seconds since
/// 1970.
///
/// # Errors
/// The first operation that failed. Certificates that were uploaded before may be gone then.
pub fn upload(
    api: &Api,
    cluster: &Cluster,
    key: &CertificateKey,
    now: i64,
    read: impl Fn(&str) -> io::Result<Option<Zeroizing<Vec<u8>>>>,
) -> Result<(), ApplyError> {
    let mut encrypted = Vec::new();
    for (name, path) in files(cluster) {
        let content = read(&path).map_err(|error| ApplyError::new("read", &path, error))?;
        let sealed = content.map_or(Ok(Vec::new()), |content| key.encrypt(&content));
        encrypted.push((name, sealed.map_err(|error| ApplyError::new("encrypt", &path, error))?));
    }
    let text = |length| tokens::random_text(length).map_err(|error| ApplyError::new("make", "a token", error));
    let named = Token { id: text(6)?, secret: text(16)? };
    let token = token(&named, now.saturating_add(LIFE));
    api.apply(&token, None).map_err(failed)?;
    let live = api.get(&token).map_err(failed)?;
    let live = live.ok_or_else(|| failed("the token that was made for it is gone"))?;
    let objects = objects(&encrypted, &live);
    // An earlier upload belongs to an earlier token, and an object has one owner that controls it.
    api.delete(&objects[0]).map_err(failed)?;
    for object in &objects {
        api.apply(object, None).map_err(failed)?;
    }
    Ok(())
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> ApplyError {
    ApplyError::new("upload the certificates to", format!("Secret kube-system/{NAME}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::aead::Nonce;

    #[test]
    fn what_is_encrypted_is_decrypted_with_the_key_of_the_join_command() {
        let key = CertificateKey::generate().unwrap();
        let sealed = key.encrypt(b"certificate").unwrap();
        let same = CertificateKey::from_hex(&key.to_hex()).unwrap();
        let opener = RandomizedNonceKey::new(&AES_256_GCM, same.0.as_slice()).unwrap();
        let (nonce, rest) = sealed.split_at(12);
        let mut rest = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        assert_eq!(opener.open_in_place(nonce, Aad::empty(), &mut rest).unwrap(), b"certificate");
        assert_ne!(sealed, key.encrypt(b"certificate").unwrap(), "each with a nonce of its own");
    }

    #[test]
    fn a_key_is_never_shown_and_one_that_is_none_is_refused() {
        let digits = "0123456789abcdef".repeat(4);
        let key = CertificateKey::from_hex(&digits).unwrap();
        assert_eq!(key.to_hex().as_str(), digits);
        assert_eq!(format!("{key:?}"), "CertificateKey");
        for text in ["", "abcd", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert!(CertificateKey::from_hex(text).is_err(), "{text}");
        }
    }
}
