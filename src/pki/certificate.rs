//! Certificates with kubeadm's profiles.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::inspect::{certificate_ders, keys_match_der, parse, subject_key_id};
use super::key::PrivateKey;
use super::{PkiError, der, pem_block};
use crate::resource::Profile;

/// How far a certificate's validity begins in the past: clocks of a cluster differ (kubeadm's `CertificateBackdate`).
const BACKDATE: i64 = 5 * 60;

/// Contents of the OIDs that a profile needs.
mod oid {
    pub const COMMON_NAME: &[u8] = b"\x55\x04\x03";
    pub const ORGANIZATION: &[u8] = b"\x55\x04\x0a";
    pub const SUBJECT_KEY_ID: &[u8] = b"\x55\x1d\x0e";
    pub const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
    pub const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
    pub const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
    pub const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1d\x23";
    pub const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
    pub const SERVER_AUTH: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x01";
    pub const CLIENT_AUTH: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x02";
}

/// Makes a certificate for `key`, in PEM, signed by the issuer (its certificate in PEM, of which the first counts, and its key). Where
/// there is none it signs itself: a CA's, or that of a server or client where the profile has such a use.
///
/// Like kubeadm's, it begins five minutes before `now` (in seconds since 1970), ends `validity` after `now`, even where
/// the issuer ends sooner, has a random positive serial of at most 63 bits, and allows key encipherment whatever its
/// algorithm. A leaf has no subject key identifier; its authority key identifier is the issuer's own, and absent where
/// the issuer has none.
///
/// # Errors
/// See [`PkiError`].
pub fn issue(
    profile: &Profile,
    key: &PrivateKey,
    issuer: Option<(&str, &PrivateKey)>,
    now: i64,
) -> Result<String, PkiError> {
    let subject = subject(profile);
    let public_key = key.public_key_der()?;
    let tbs = match issuer {
        None => {
            let leaf = profile.server || profile.client;
            let extensions = if leaf { leaf_extensions(profile, None) } else { ca_extensions(profile, &public_key) };
            to_be_signed(&subject, &subject, &public_key, key, profile, &extensions, now)?
        }
        Some((certificate, issuer_key)) => {
            let ders = certificate_ders(certificate.as_bytes()).map_err(PkiError::Certificate)?;
            let first = ders.first().ok_or_else(|| PkiError::Certificate("there is none".into()))?;
            let parsed = parse(first).map_err(PkiError::Certificate)?;
            if !parsed.is_ca() {
                return Err(PkiError::IssuerNotCa);
            }
            if !keys_match_der(&parsed, issuer_key) {
                return Err(PkiError::IssuerPair);
            }
            let extensions = leaf_extensions(profile, subject_key_id(&parsed));
            to_be_signed(parsed.subject().as_raw(), &subject, &public_key, issuer_key, profile, &extensions, now)?
        }
    };
    let signer = issuer.map_or(key, |(_, issuer_key)| issuer_key);
    let signature = signer.sign(&tbs)?;
    let certificate = der::value(der::SEQUENCE, &[&tbs, &signature_algorithm(signer), &der::bits(&signature)]);
    Ok(pem_block("CERTIFICATE", &certificate))
}

/// RFC 5280's `TBSCertificate`.
fn to_be_signed(
    issuer: &[u8],
    subject: &[u8],
    public_key: &[u8],
    signer: &PrivateKey,
    profile: &Profile,
    extensions: &[Vec<u8>],
    now: i64,
) -> Result<Vec<u8>, PkiError> {
    const VERSION_3: &[u8] = &[0xa0, 0x03, 0x02, 0x01, 0x02];
    let seconds = i64::try_from(profile.validity.as_secs()).map_err(|_| PkiError::Validity)?;
    let end = now.checked_add(seconds).ok_or(PkiError::Validity)?;
    let validity = der::value(der::SEQUENCE, &[&date(now.saturating_sub(BACKDATE))?, &date(end)?]);
    let extensions = der::value(der::SEQUENCE, &extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
    Ok(der::value(
        der::SEQUENCE,
        &[
            VERSION_3,
            &serial()?,
            &signature_algorithm(signer),
            issuer,
            &validity,
            subject,
            public_key,
            &der::value(0xa3, &[&extensions]),
        ],
    ))
}

/// A random serial: 63 bits, so that it is positive, and not zero.
fn serial() -> Result<Vec<u8>, PkiError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Generate("serial number"))?;
    let number = (u64::from_be_bytes(bytes) >> 1).max(1).to_be_bytes();
    // The shortest form: a leading zero byte stays only where the next byte would look like a sign.
    let zeros = number.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    Ok(der::value(der::INTEGER, &[&number[zeros..]]))
}

/// A moment: `UTCTime` up to 2049, then `GeneralizedTime` (RFC 5280, 4.1.2.5).
fn date(seconds: i64) -> Result<Vec<u8>, PkiError> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| PkiError::Validity)?;
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    match time.year() {
        year @ 1950..=2049 => Ok(der::value(der::UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()])),
        year @ 0..=9999 => Ok(der::value(der::GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()])),
        _ => Err(PkiError::Validity),
    }
}

/// O, then CN, each in a set of its own.
fn subject(profile: &Profile) -> Vec<u8> {
    let attribute = |oid, text: &str| {
        let pair = der::value(der::SEQUENCE, &[&der::value(der::OBJECT_IDENTIFIER, &[oid]), &der::text(text)]);
        der::value(der::SET, &[&pair])
    };
    let organization = profile.organization.as_deref().map(|text| attribute(oid::ORGANIZATION, text));
    let common_name = attribute(oid::COMMON_NAME, &profile.common_name);
    der::value(der::SEQUENCE, &[organization.as_deref().unwrap_or_default(), &common_name])
}

/// How `key` signs, as an `AlgorithmIdentifier`.
fn signature_algorithm(key: &PrivateKey) -> Vec<u8> {
    let algorithm = key.signature_algorithm();
    let null = if algorithm.null { der::NULL } else { &[] };
    der::value(der::SEQUENCE, &[&der::value(der::OBJECT_IDENTIFIER, &[algorithm.oid]), null])
}

/// An extension.
fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical { der::TRUE } else { &[] };
    let oid = der::value(der::OBJECT_IDENTIFIER, &[oid]);
    der::value(der::SEQUENCE, &[&oid, critical, &der::value(der::OCTET_STRING, &[content])])
}

/// Digital signature, key encipherment and certificate signing; CA without a path length; names.
fn ca_extensions(profile: &Profile, public_key: &[u8]) -> Vec<Vec<u8>> {
    let mut extensions = vec![
        extension(oid::KEY_USAGE, true, &[0x03, 0x02, 0x02, 0xa4]),
        extension(oid::BASIC_CONSTRAINTS, true, &der::value(der::SEQUENCE, &[der::TRUE])),
        extension(oid::SUBJECT_KEY_ID, false, &der::value(der::OCTET_STRING, &[&key_id(public_key)])),
    ];
    extensions.extend(names(profile));
    extensions
}

/// Digital signature and key encipherment; server, client or both; no CA; the issuer's key identifier; names.
fn leaf_extensions(profile: &Profile, authority: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut extensions = vec![extension(oid::KEY_USAGE, true, &[0x03, 0x02, 0x05, 0xa0])];
    let purposes: Vec<_> = [(profile.server, oid::SERVER_AUTH), (profile.client, oid::CLIENT_AUTH)]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .flat_map(|(_, oid)| der::value(der::OBJECT_IDENTIFIER, &[oid]))
        .collect();
    if !purposes.is_empty() {
        extensions.push(extension(oid::EXTENDED_KEY_USAGE, false, &der::value(der::SEQUENCE, &[&purposes])));
    }
    extensions.push(extension(oid::BASIC_CONSTRAINTS, true, &der::value(der::SEQUENCE, &[])));
    if let Some(id) = authority {
        // [0] IMPLICIT KeyIdentifier
        let content = der::value(der::SEQUENCE, &[&der::value(0x80, &[id])]);
        extensions.push(extension(oid::AUTHORITY_KEY_ID, false, &content));
    }
    extensions.extend(names(profile));
    extensions
}

/// The subject alternative names, DNS names first; nothing where there are none.
fn names(profile: &Profile) -> Option<Vec<u8>> {
    // [2] IMPLICIT IA5String, [7] IMPLICIT OCTET STRING
    let dns = profile.dns_names.iter().map(|name| der::value(0x82, &[name.as_bytes()]));
    let ips = profile.ip_addresses.iter().map(|ip| match ip {
        IpAddr::V4(ip) => der::value(0x87, &[&ip.octets()]),
        IpAddr::V6(ip) => der::value(0x87, &[&ip.octets()]),
    });
    let names: Vec<u8> = dns.chain(ips).flatten().collect();
    (!names.is_empty()).then(|| extension(oid::SUBJECT_ALT_NAME, false, &der::value(der::SEQUENCE, &[&names])))
}

/// The identifier of a public key: the first 160 bits of its SHA-256 (RFC 7093, as Go since 1.25).
fn key_id(public_key: &[u8]) -> Vec<u8> {
    let content = der::read(der::SEQUENCE, public_key)
        .and_then(|(info, _)| der::read(der::SEQUENCE, info))
        .and_then(|(_, rest)| der::read(der::BIT_STRING, rest))
        .and_then(|(bits, _)| bits.get(1..)); // the count of unused bits, always 0
    Sha256::digest(content.unwrap_or(public_key))[..20].to_vec()
}
