//! Whom a client trusts, and what it shows of itself.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

use crate::pki;

/// Whom a client trusts.
pub(in crate::host) enum Trust {
    /// Whoever answers.
    Anybody,
    /// Who has a certificate of one of these CAs, whose certificates are PEM.
    Authorities(Vec<u8>),
    /// Who has one of a CA that this system trusts.
    System,
}

/// A client certificate and its key, each as PEM.
pub(in crate::host) struct Identity {
    pub(in crate::host) certificate: Zeroizing<Vec<u8>>,
    pub(in crate::host) key: Zeroizing<Vec<u8>>,
}

/// The client's side of TLS connections.
///
/// # Errors
/// In words, what of it cannot be used.
pub(super) fn config(trust: &Trust, identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let builder = match trust {
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnybody)),
        Trust::Authorities(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::System => builder.with_native_roots().map_err(|error| format!("the CAs of this system: {error}"))?,
    };
    let Some(Identity { certificate, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = pki::certificate_ders(certificate).map_err(|error| format!("the client's certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the client's key is no key in PEM")?;
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    builder.with_client_auth_cert(chain, key).map_err(|error| format!("the client's certificate and key: {error}"))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let failed = |error: String| format!("the certificate of the CA: {error}");
    let mut roots = RootCertStore::empty();
    for der in pki::certificate_ders(pem).map_err(failed)? {
        roots.add(der.into()).map_err(|error| failed(error.to_string()))?;
    }
    Ok(roots)
}

#[derive(Debug)]
struct TrustAnybody;

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
