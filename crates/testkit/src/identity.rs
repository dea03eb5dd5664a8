//! Keys and certificates of one control plane: a certificate authority that lives as long as the server, the server's own
//! certificate, the key that signs ServiceAccount tokens, and client certificates for people.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// A certificate and its key, both PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("sreg-testkit", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make the certificate authority's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("make the certificate authority")?;
        Ok(Self { issuer })
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For the API server on the loopback interface.
    pub(crate) fn server(&self) -> Result<Certified> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).context("name the API server's certificate")?;
        params.distinguished_name = named("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params).context("sign the API server's certificate")
    }

    /// For a user as Kubernetes reads one from a certificate: common name and organisation.
    pub(crate) fn user(&self, name: &str, group: Option<&str>) -> Result<Certified> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
            .with_context(|| format!("sign the certificate of user {name}"))
    }

    fn sign(&self, params: CertificateParams) -> Result<Certified> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Certified {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn named(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// The key that signs ServiceAccount tokens: private and public half, PEM.
pub(crate) fn token_key() -> Result<(String, String)> {
    let key = KeyPair::generate().context("make the key for ServiceAccount tokens")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}
