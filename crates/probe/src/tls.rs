//! The handshake with the public name, and the sentence for each way it can fail. Sessions are never resumed: every attempt
//! must see the certificate.

use std::io;
use std::sync::Arc;

use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Stop;

/// The certificate authorities that a vantage point trusts. Loaded once, cheap to clone.
#[derive(Clone)]
pub struct TrustRoots {
    config: Arc<ClientConfig>,
    count: usize,
}

impl std::fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustRoots({} authorities)", self.count)
    }
}

/// Why there are no roots to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The extra authorities are not PEM.
    #[error("read extra certificate authorities (PEM)")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// One of the extra authorities is no certificate that can be trusted.
    #[error("trust an extra certificate authority")]
    Certificate(#[source] rustls::Error),
    /// The extra authorities are given, but empty.
    #[error("find a certificate among the extra certificate authorities (PEM)")]
    NoExtra,
    /// Neither the system nor the caller named any.
    #[error("find any certificate authority: the system has none and no extra ones are given")]
    None,
    /// The crypto provider cannot speak TLS 1.2 and 1.3.
    #[error("set up TLS")]
    Provider(#[source] rustls::Error),
}

impl TrustRoots {
    /// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those in `extra_pem`.
    ///
    /// # Errors
    /// When `extra_pem` holds none or a bad one, or when nothing at all is trusted.
    pub fn load(extra_pem: Option<&[u8]>) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        store.add_parsable_certificates(found.certs);
        if let Some(pem) = extra_pem {
            add_pem(&mut store, pem)?;
        }
        Self::of(store)
    }

    /// Those in `pem` alone.
    ///
    /// # Errors
    /// As [`TrustRoots::load`].
    pub fn only(pem: &[u8]) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        add_pem(&mut store, pem)?;
        Self::of(store)
    }

    fn of(store: RootCertStore) -> Result<Self, TrustError> {
        if store.is_empty() {
            return Err(TrustError::None);
        }
        let count = store.len();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Provider)?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TrustRoots {
            config: Arc::new(config),
            count,
        })
    }
}

fn add_pem(store: &mut RootCertStore, pem: &[u8]) -> Result<(), TrustError> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store
            .add(certificate.map_err(TrustError::Pem)?)
            .map_err(TrustError::Certificate)?;
        found = true;
    }
    if found { Ok(()) } else { Err(TrustError::NoExtra) }
}

/// Shakes hands over `stream`, with `fqdn` as SNI and as the name that the certificate must be valid for.
pub(crate) async fn handshake(
    roots: &TrustRoots,
    stream: TcpStream,
    fqdn: &str,
    until: Instant,
) -> Result<TlsStream<TcpStream>, Stop> {
    let name = ServerName::try_from(fqdn.to_owned())
        .map_err(|error| Stop::unknown(format!("not tried: {fqdn} is no TLS server name: {error}")))?;
    match timeout_at(until, TlsConnector::from(roots.config.clone()).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Stop::failed(explain(&error, fqdn))),
        Err(_) => Err(Stop::failed(format!(
            "port 443 accepts, but the TLS handshake for {fqdn} gets no answer"
        ))),
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that grows; the rest needs no sentence of its own"
)]
fn explain(error: &io::Error, fqdn: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => explain_certificate(why, fqdn),
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("the server ends the TLS handshake for {fqdn} with alert {alert:?}")
        }
        Some(rustls::Error::InvalidMessage(_)) => format!("what answers for {fqdn} does not speak TLS"),
        Some(other) => format!("the TLS handshake for {fqdn} fails: {other}"),
        None => format!("the connection is cut during the TLS handshake for {fqdn} ({error})"),
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that grows; the rest needs no sentence of its own"
)]
fn explain_certificate(why: &CertificateError, fqdn: &str) -> String {
    match why {
        CertificateError::NotValidForName => format!("the certificate is not valid for {fqdn}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!(
                "the certificate is not valid for {fqdn}; it names {}",
                presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
            )
        }
        CertificateError::UnknownIssuer => {
            format!("the certificate for {fqdn} is signed by an authority unknown here: is TLS intercepted on the way?")
        }
        // A foreign authority that copies the subject of a trusted one shows like this, not as an unknown issuer.
        CertificateError::BadSignature => {
            format!(
                "the certificate for {fqdn} bears a signature that its named authority did not make: is TLS intercepted?"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate for {fqdn} has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate for {fqdn} is not valid yet by this machine's clock")
        }
        other => format!("the certificate for {fqdn} is refused: {other}"),
    }
}

/// The name in `DnsName("example.org")`, which is how the TLS library writes what a certificate is for.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FQDN: &str = "crcontoso.azurecr.io";

    #[test]
    fn certificate_errors_are_named() {
        let named = |why| {
            explain(
                &io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(why)),
                FQDN,
            )
        };
        for (why, says) in [
            (
                CertificateError::NotValidForName,
                "is not valid for crcontoso.azurecr.io",
            ),
            (CertificateError::UnknownIssuer, "authority unknown here"),
            (CertificateError::BadSignature, "did not make"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "this machine's clock"),
            (CertificateError::Revoked, "is refused"),
        ] {
            assert!(named(why.clone()).contains(says), "{why:?}");
        }
        let other = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from(FQDN).unwrap(),
            presented: vec!["DnsName(\"portal.example\")".into(), "10.0.0.1".into()],
        };
        assert!(named(other).ends_with("it names portal.example, 10.0.0.1"));
        let cut = explain(&io::Error::from(io::ErrorKind::UnexpectedEof), FQDN);
        assert!(
            cut.starts_with("the connection is cut during the TLS handshake"),
            "{cut}"
        );
    }

    #[test]
    fn roots_that_are_none_are_refused_at_once() {
        assert!(matches!(TrustRoots::only(b""), Err(TrustError::NoExtra)));
        assert!(matches!(TrustRoots::only(b"not pem at all"), Err(TrustError::NoExtra)));
        let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(TrustRoots::only(nonsense), Err(TrustError::Certificate(_))));
        assert!(matches!(TrustRoots::load(Some(b"")), Err(TrustError::NoExtra)));
    }
}
