//! `--upload-certs`: this control plane's certificates, encrypted, in a Secret that a joining one reads.

use std::error::Error;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::cluster::{CertificateKey, Cluster, Token};
use crate::desired::upload_certs::{LIFE, NAME, files, objects, token};
use crate::host::api::Api;
use crate::host::{ApplyError, tokens};

/// A new key.
///
/// # Errors
/// The system has no randomness.
pub fn generate() -> Result<CertificateKey, String> {
    let mut key = Zeroizing::new([0; CertificateKey::SIZE]);
    aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| "the system has no randomness".to_owned())?;
    Ok(CertificateKey::new(key))
}

/// AES-256-GCM without further data, as kubeadm has it: the nonce, then the ciphertext with its tag.
fn encrypt(key: &CertificateKey, plain: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |_| "cannot encrypt".to_owned();
    let key = RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).map_err(failed)?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
    sealed.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut *sealed).map_err(failed)?;
    Ok([nonce.as_ref(), sealed.as_slice()].concat())
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
        let sealed = content.map_or(Ok(Vec::new()), |content| encrypt(key, &content));
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
        let key = generate().unwrap();
        let sealed = encrypt(&key, b"certificate").unwrap();
        let same = CertificateKey::from_hex(&key.to_hex()).unwrap();
        let opener = RandomizedNonceKey::new(&AES_256_GCM, same.bytes()).unwrap();
        let (nonce, rest) = sealed.split_at(12);
        let mut rest = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        assert_eq!(opener.open_in_place(nonce, Aad::empty(), &mut rest).unwrap(), b"certificate");
        assert_ne!(sealed, encrypt(&key, b"certificate").unwrap(), "each with a nonce of its own");
    }
}
