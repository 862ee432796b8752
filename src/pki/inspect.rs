//! Reading certificates: what one says, who signed it, and which key belongs to it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1, UnparsedPublicKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA512};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

use super::key::{PrivateKey, rsa_algorithm};
use super::{MAX_INPUT, hex, pem_block};
use crate::cluster::KeyAlgorithm;
use crate::observed::CertificateFacts;

/// A chain of intermediates is not followed further than this.
const MAX_CHAIN: usize = 8;

/// Reads the first certificate of a PEM file, which in a bundle is the subject's own (RFC 4346, 7.4.2).
///
/// `issuer` is the PEM of the CA that should have signed it, of which the first certificate counts, as in kubeadm.
/// Intermediates between the two may follow the first certificate in its own file.
///
/// # Errors
/// In words, without anything of the content.
pub fn inspect(pem: &[u8], issuer: Option<&[u8]>) -> Result<CertificateFacts, String> {
    let ders = certificate_ders(pem)?;
    let first = ders.first().ok_or("it holds no certificate")?;
    let certificate = parse(first)?;
    let rest: Vec<_> = ders[1..].iter().filter_map(|der| parse(der).ok()).collect();
    let issuer_ders = issuer.and_then(|issuer| certificate_ders(issuer).ok());
    let issuer = issuer_ders.as_ref().and_then(|ders| ders.first()).and_then(|der| parse(der).ok());
    let (dns_names, ip_addresses) = names(&certificate);
    let purposes = certificate.extended_key_usage().ok().flatten().map(|extension| extension.value);
    Ok(CertificateFacts {
        common_name: certificate.subject().iter_common_name().next().map(text).unwrap_or_default(),
        organizations: certificate.subject().iter_organization().map(text).collect(),
        dns_names,
        ip_addresses,
        server: purposes.is_some_and(|purposes| purposes.server_auth || purposes.any),
        client: purposes.is_some_and(|purposes| purposes.client_auth || purposes.any),
        is_ca: certificate.is_ca() && may_sign(&certificate),
        algorithm: algorithm(certificate.public_key()),
        serial: hex(certificate.raw_serial()),
        issuer: certificate.issuer().iter_common_name().next().map(text).unwrap_or_default(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        signed_by_issuer: issuer.map(|issuer| leads_to(&certificate, &rest, &issuer)),
    })
}

/// The key belongs to the first certificate of the PEM file.
#[must_use]
pub fn keys_match(certificate: &[u8], key: &PrivateKey) -> bool {
    let ders = certificate_ders(certificate).unwrap_or_default();
    ders.first().and_then(|der| parse(der).ok()).is_some_and(|parsed| keys_match_der(&parsed, key))
}

/// The key's public half is among the keys of a PEM file of public keys, in any form that the API server's
/// `--service-account-key-file` takes: PKIX, PKCS#1 or certificates.
#[must_use]
pub fn public_keys_contain(pem: &[u8], key: &PrivateKey) -> bool {
    let (Some(wanted), Ok(whole)) = (public_half(key), key.public_key_der()) else { return false };
    if pem.len() > MAX_INPUT {
        return false;
    }
    pem::parse_many(pem).unwrap_or_default().iter().any(|block| match block.tag() {
        // Go reads a key only if the name of its algorithm is right too; only one spelling of that is ever written.
        "PUBLIC KEY" => block.contents() == whole,
        "RSA PUBLIC KEY" => block.contents() == wanted,
        "CERTIFICATE" => {
            parse(block.contents()).is_ok_and(|found| *found.public_key().subject_public_key.data == *wanted)
        }
        _ => false,
    })
}

/// The certificates of a PEM file in DER, without looking into them.
///
/// # Errors
/// In words, where the file is too large or not PEM.
pub fn certificate_ders(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if pem.len() > MAX_INPUT {
        return Err(format!("it is larger than {MAX_INPUT} bytes"));
    }
    let blocks = pem::parse_many(pem).map_err(|_| "it is not PEM")?;
    Ok(blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect())
}

/// The certificates of a PEM file, and nothing else that lies in it: a key beside them is for nobody to see.
///
/// # Errors
/// As [`inspect`].
pub fn certificates(pem: &[u8]) -> Result<String, String> {
    let ders = certificate_ders(pem)?;
    parse(ders.first().ok_or("it holds no certificate")?)?;
    Ok(ders.iter().map(|der| pem_block("CERTIFICATE", der)).collect())
}

/// Reads one certificate.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err("it is not an X.509 certificate".into()),
    }
}

/// The key belongs to the certificate.
pub(super) fn keys_match_der(certificate: &X509Certificate<'_>, key: &PrivateKey) -> bool {
    public_half(key).is_some_and(|half| *certificate.public_key().subject_public_key.data == *half)
}

/// The certificate's subject key identifier.
pub(super) fn subject_key_id<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

/// The public key itself, without the name of its algorithm: parameters may be spelt in more than one way.
fn public_half(key: &PrivateKey) -> Option<Vec<u8>> {
    let der = key.public_key_der().ok()?;
    SubjectPublicKeyInfo::from_der(&der).ok().map(|(_, info)| info.subject_public_key.data.to_vec())
}

/// The issuer signed the certificate, or a chain of intermediates that did.
fn leads_to(certificate: &X509Certificate<'_>, rest: &[X509Certificate<'_>], issuer: &X509Certificate<'_>) -> bool {
    let mut current = certificate;
    for _ in 0..MAX_CHAIN {
        if is_signed_by(current, issuer) {
            return true;
        }
        match rest.iter().find(|next| next.as_raw() != current.as_raw() && is_signed_by(current, next)) {
            Some(next) => current = next,
            None => return false,
        }
    }
    false
}

/// The issuer is a CA, its name is the certificate's issuer byte for byte, and its key made the signature.
fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && issuer.is_ca()
        && may_sign(issuer)
        && verifies(certificate, issuer.public_key())
}

/// A key usage, where there is one, allows to sign certificates (RFC 5280, 4.2.1.3).
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign())
}

/// The signature verifies. x509-parser knows no ECDSA with SHA-512, which a P-521 key signs with.
fn verifies(certificate: &X509Certificate<'_>, key: &SubjectPublicKeyInfo<'_>) -> bool {
    if certificate.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA512 {
        let point = &key.subject_public_key.data;
        return curve(key).is_some_and(|curve| curve == OID_NIST_EC_P521)
            && UnparsedPublicKey::new(&ECDSA_P521_SHA512_ASN1, point)
                .verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
                .is_ok();
    }
    certificate.verify_signature(Some(key)).is_ok()
}

/// The curve of an ECDSA key.
fn curve<'a>(key: &'a SubjectPublicKeyInfo<'_>) -> Option<x509_parser::der_parser::oid::Oid<'a>> {
    key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok())
}

/// Algorithm of a public key, where it is one that kubeadm knows.
fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> Option<KeyAlgorithm> {
    match key.parsed().ok()? {
        PublicKey::RSA(rsa) => rsa_algorithm(rsa.key_size()),
        PublicKey::EC(_) => match curve(key)? {
            curve if curve == OID_EC_P256 => Some(KeyAlgorithm::EcdsaP256),
            curve if curve == OID_NIST_EC_P384 => Some(KeyAlgorithm::EcdsaP384),
            _ => None,
        },
        _ => None,
    }
}

/// Text of a name's attribute, whatever string type it has.
fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
    }
}

/// The subject alternative names that Kubernetes uses; other kinds of name are left out.
fn names(certificate: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let (mut dns, mut ips) = (BTreeSet::new(), BTreeSet::new());
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                dns.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                ips.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    (dns, ips)
}
