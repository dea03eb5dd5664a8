//! The simulator's own certificate authority: one root per run, leaves on demand for the public names that the real
//! services carry. Clients trust it by its PEM; nothing is written to disk here. Ring is the only provider.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// Why a certificate or a TLS configuration could not be made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Key generation or signing failed, or a name is no legal subject alternative name.
    #[error("make a certificate for {names}")]
    Make {
        /// The names asked for, separated by commas.
        names: String,
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
    /// rustls refused the chain or the key.
    #[error("configure TLS for {names}")]
    Tls {
        /// The names asked for, separated by commas.
        names: String,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
}

/// A root that signs leaves. Cheap to share behind an `Arc`.
pub struct CertificateAuthority {
    pem: String,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority").finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// A new root with a new key; two runs never trust each other's leaves.
    pub fn new() -> Result<Self, CertificateError> {
        let name = "azure-sim root";
        let make = |source| CertificateError::Make {
            names: name.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).map_err(make)?;
        Ok(CertificateAuthority {
            pem: root.pem(),
            root: root.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The root in PEM form, for clients to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The root in DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A leaf for these names (DNS names, wildcards or IP addresses) and its key. The chain holds the leaf only: the root
    /// is what clients already have.
    pub fn leaf(
        &self,
        names: &[String],
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificateError> {
        let make = |source| CertificateError::Make {
            names: names.join(", "),
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
        if let Some(first) = names.first() {
            params.distinguished_name.push(DnType::CommonName, first.as_str());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer).map_err(make)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![leaf.der().clone()], key))
    }

    /// A server configuration that shows a leaf for these names. ALPN is left empty: the caller sets it.
    pub fn server_config(&self, names: &[String]) -> Result<ServerConfig, CertificateError> {
        let tls = |source| CertificateError::Tls {
            names: names.join(", "),
            source,
        };
        let (chain, key) = self.leaf(names)?;
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(tls)
    }
}
