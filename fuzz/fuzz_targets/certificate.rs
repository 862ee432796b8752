//! Any bytes as what may lie where a certificate, key or kubeconfig should: read, or refused in words, never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use planekeeper::cluster::KeyAlgorithm;
use planekeeper::kubeconfig;
use planekeeper::pki::{self, PrivateKey};

static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| pki::generate_key(KeyAlgorithm::EcdsaP256).expect("a key can be generated"));

fuzz_target!(|bytes: &[u8]| {
    let _ = pki::inspect(bytes, None);
    let _ = pki::inspect(bytes, Some(bytes));
    let _ = pki::discovery_hash(bytes);
    let _ = pki::public_keys_contain(bytes, &KEY);
    let _ = kubeconfig::inspect(bytes, Some(bytes));
    if let Ok(key) = PrivateKey::from_pem(bytes) {
        // A key that was read can be written, and is the same key then.
        let pem = key.to_pem().expect("a key that was read can be written");
        let again = PrivateKey::from_pem(pem.as_bytes()).expect("a key that was written can be read");
        assert_eq!(key.public_key_pem().ok(), again.public_key_pem().ok());
        let _ = pki::keys_match(bytes, &key);
    }
});
