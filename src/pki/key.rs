//! Private keys.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::{MAX_INPUT, PkiError, der, pem_block};
use crate::cluster::KeyAlgorithm;

/// A private key. It has no `Debug`; the memory that holds it is cleared by aws-lc when it goes, and what is encoded
/// of it is [`Zeroizing`].
pub struct PrivateKey(Inner);

enum Inner {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// Signature algorithms, as a certificate names them: the OID's content, and whether NULL parameters follow it.
pub(super) struct SignatureAlgorithm {
    pub(super) oid: &'static [u8],
    pub(super) null: bool,
}

/// Makes a new key.
///
/// # Errors
/// [`PkiError::Generate`] where the system has no randomness.
pub fn generate_key(algorithm: KeyAlgorithm) -> Result<PrivateKey, PkiError> {
    let failed = |_| PkiError::Generate(algorithm.name());
    let rsa = |size| RsaKeyPair::generate(size).map(Inner::Rsa).map_err(failed);
    let ecdsa = |curve| EcdsaKeyPair::generate(curve).map(Inner::Ecdsa).map_err(failed);
    Ok(PrivateKey(match algorithm {
        KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048)?,
        KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
        KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
        KeyAlgorithm::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        KeyAlgorithm::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
    }))
}

impl PrivateKey {
    /// Reads the first private key of a PEM file: PKCS#1, SEC1 or PKCS#8; RSA of 2048 to 8192 bits, or ECDSA on P-256,
    /// P-384 or P-521. Other blocks, such as OpenSSL's `EC PARAMETERS`, are skipped, as client-go's `keyutil` does.
    ///
    /// # Errors
    /// [`PkiError::Key`], with the reason.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PkiError> {
        if pem.len() > MAX_INPUT {
            return Err(PkiError::Key("the file is too large"));
        }
        let blocks = pem::parse_many(pem).map_err(|_| PkiError::Key("it is not PEM"))?;
        let mut found = None;
        for block in blocks {
            let encrypted = block.tag() == "ENCRYPTED PRIVATE KEY" || block.headers().get("DEK-Info").is_some();
            let label = block.tag().to_owned();
            let contents = Zeroizing::new(block.into_contents());
            if !label.ends_with("PRIVATE KEY") || found.is_some() {
                continue;
            }
            if encrypted {
                return Err(PkiError::Key("it is encrypted"));
            }
            found = Some(match label.as_str() {
                "RSA PRIVATE KEY" => RsaKeyPair::from_der(&contents).ok().map(Inner::Rsa),
                "EC PRIVATE KEY" => ecdsa(&contents),
                "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&contents).ok().map(Inner::Rsa).or_else(|| ecdsa(&contents)),
                _ => None,
            });
        }
        let inner = found.ok_or(PkiError::Key("there is no private key in it"))?;
        inner.map(Self).ok_or(PkiError::Key("it is damaged, or neither RSA of 2048 bits or more nor ECDSA"))
    }

    /// Its algorithm, where it is one that kubeadm knows.
    #[must_use]
    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        match &self.0 {
            Inner::Rsa(key) => rsa_algorithm(key.public_modulus_len() * 8),
            Inner::Ecdsa(key) if *key.algorithm() == ECDSA_P256_SHA256_ASN1_SIGNING => Some(KeyAlgorithm::EcdsaP256),
            Inner::Ecdsa(key) if *key.algorithm() == ECDSA_P384_SHA384_ASN1_SIGNING => Some(KeyAlgorithm::EcdsaP384),
            Inner::Ecdsa(_) => None,
        }
    }

    /// The key as kubeadm writes it: PKCS#1 for RSA, SEC1 for ECDSA.
    ///
    /// # Errors
    /// [`PkiError::Key`] where aws-lc cannot encode it.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, PkiError> {
        let failed = PkiError::Key("it cannot be encoded");
        match &self.0 {
            Inner::Rsa(key) => {
                let pkcs8 = AsDer::<Pkcs8V1Der>::as_der(key).map_err(|_| failed.clone())?;
                let pkcs1 = pkcs1_of(pkcs8.as_ref()).ok_or(failed)?;
                Ok(Zeroizing::new(pem_block("RSA PRIVATE KEY", pkcs1)))
            }
            Inner::Ecdsa(key) => {
                let sec1 = AsDer::<EcPrivateKeyRfc5915Der>::as_der(&key.private_key()).map_err(|_| failed)?;
                Ok(Zeroizing::new(pem_block("EC PRIVATE KEY", sec1.as_ref())))
            }
        }
    }

    /// The public half as kubeadm writes `sa.pub`: PKIX in PEM.
    ///
    /// # Errors
    /// [`PkiError::Key`] where aws-lc cannot encode it.
    pub fn public_key_pem(&self) -> Result<String, PkiError> {
        Ok(pem_block("PUBLIC KEY", &self.public_key_der()?))
    }

    /// The public half: subject public key info in DER.
    pub(super) fn public_key_der(&self) -> Result<Vec<u8>, PkiError> {
        let der = match &self.0 {
            Inner::Rsa(key) => AsDer::<PublicKeyX509Der>::as_der(key.public_key()),
            Inner::Ecdsa(key) => AsDer::<PublicKeyX509Der>::as_der(key.public_key()),
        };
        Ok(der.map_err(|_| PkiError::Key("its public half cannot be encoded"))?.as_ref().to_vec())
    }

    /// How it signs: what Go's `x509.CreateCertificate` chooses for such a key.
    pub(super) fn signature_algorithm(&self) -> SignatureAlgorithm {
        match &self.0 {
            // sha256WithRSAEncryption
            Inner::Rsa(_) => SignatureAlgorithm { oid: b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", null: true },
            // ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512
            Inner::Ecdsa(_) => SignatureAlgorithm {
                oid: match self.algorithm() {
                    Some(KeyAlgorithm::EcdsaP256) => b"\x2a\x86\x48\xce\x3d\x04\x03\x02",
                    Some(KeyAlgorithm::EcdsaP384) => b"\x2a\x86\x48\xce\x3d\x04\x03\x03",
                    _ => b"\x2a\x86\x48\xce\x3d\x04\x03\x04", // P-521
                },
                null: false,
            },
        }
    }

    /// Signs.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let random = SystemRandom::new();
        match &self.0 {
            Inner::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| PkiError::Sign)?;
                Ok(signature)
            }
            Inner::Ecdsa(key) => Ok(key.sign(&random, message).map_err(|_| PkiError::Sign)?.as_ref().to_vec()),
        }
    }
}

/// The algorithm of an RSA key by its modulus' length in bits.
pub(super) fn rsa_algorithm(bits: usize) -> Option<KeyAlgorithm> {
    match bits {
        2048 => Some(KeyAlgorithm::Rsa2048),
        3072 => Some(KeyAlgorithm::Rsa3072),
        4096 => Some(KeyAlgorithm::Rsa4096),
        _ => None,
    }
}

/// An ECDSA key in SEC1 or PKCS#8, on whichever curve it is.
fn ecdsa(der: &[u8]) -> Option<Inner> {
    const CURVES: [&EcdsaSigningAlgorithm; 3] =
        [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    CURVES.into_iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok()).map(Inner::Ecdsa)
}

/// The PKCS#1 key inside a PKCS#8 one: version, algorithm, then the key as an octet string (RFC 5208).
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let (info, _) = der::read(der::SEQUENCE, pkcs8)?;
    let (_, info) = der::read(der::INTEGER, info)?;
    let (_, info) = der::read(der::SEQUENCE, info)?;
    der::read(der::OCTET_STRING, info).map(|(key, _)| key)
}
