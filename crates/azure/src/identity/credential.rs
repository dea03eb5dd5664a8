//! Builds azure_identity's credentials from settings, again and again: nothing else clears their caches.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, ClientOptions, HttpClient, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use secrecy::ExposeSecret;
use url::Url;

use super::entra::EntraTransport;
use crate::settings::{AzureSettings, ConnectError, CredentialKind};

/// What is needed to build the credential once more.
#[derive(Debug)]
pub(super) struct CredentialMaker {
    kind: CredentialKind,
    tenant_id: String,
    client_id: Option<String>,
    authority_host: Url,
    /// Audience of the token that a ServiceAccount is to have, for a message.
    token_exchange_audience: String,
    transport: Arc<dyn HttpClient>,
}

impl CredentialMaker {
    /// Keeps the settings and tries them once.
    pub(super) fn new(
        settings: &AzureSettings,
        transport: Arc<dyn HttpClient>,
    ) -> Result<CredentialMaker, ConnectError> {
        let maker = CredentialMaker {
            kind: settings.credential.clone(),
            tenant_id: settings.tenant_id.clone(),
            client_id: settings.client_id.clone(),
            authority_host: settings
                .authority_host
                .clone()
                .unwrap_or_else(|| settings.cloud.authority_host.as_url().clone()),
            token_exchange_audience: settings.cloud.token_exchange_audience.clone(),
            transport,
        };
        maker.make()?;
        Ok(maker)
    }

    /// A credential with an empty cache.
    pub(super) fn make(&self) -> Result<Arc<dyn TokenCredential>, ConnectError> {
        match &self.kind {
            CredentialKind::WorkloadIdentity { token_file } => {
                let kind = "workload identity";
                let assertion = FileAssertion {
                    path: token_file.clone(),
                    audience: self.token_exchange_audience.clone(),
                };
                let options = ClientAssertionCredentialOptions {
                    client_options: self.entra(),
                };
                let tenant = self.tenant_id.clone();
                let made = ClientAssertionCredential::new(tenant, self.client_id(kind)?, assertion, Some(options));
                Ok(made.map_err(|source| ConnectError::Credential { kind, source })?)
            }
            CredentialKind::ClientSecret(secret) => {
                let kind = "client secret";
                let secret = Secret::new(secret.expose_secret().to_owned());
                let options = ClientSecretCredentialOptions {
                    client_options: self.entra(),
                };
                let made = ClientSecretCredential::new(&self.tenant_id, self.client_id(kind)?, secret, Some(options));
                Ok(made.map_err(|source| ConnectError::Credential { kind, source })?)
            }
            CredentialKind::ManagedIdentity { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: self.options(self.transport.clone()),
                };
                let made = ManagedIdentityCredential::new(Some(options));
                Ok(made.map_err(|source| ConnectError::Credential {
                    kind: "managed identity",
                    source,
                })?)
            }
            CredentialKind::AzureCli => {
                let tenant_id = Some(self.tenant_id.clone()).filter(|t| !t.is_empty());
                let made = AzureCliCredential::new(Some(AzureCliCredentialOptions {
                    tenant_id,
                    ..Default::default()
                }));
                Ok(made.map_err(|source| ConnectError::Credential {
                    kind: "Azure CLI",
                    source,
                })?)
            }
        }
    }

    fn client_id(&self, kind: &'static str) -> Result<String, ConnectError> {
        self.client_id.clone().ok_or(ConnectError::Missing {
            kind,
            missing: "the client id",
        })
    }

    fn entra(&self) -> ClientOptions {
        self.options(Arc::new(EntraTransport::new(self.transport.clone())))
    }

    /// Retries are ours: azure_core's default makes five calls in ten seconds on a 503.
    fn options(&self, transport: Arc<dyn HttpClient>) -> ClientOptions {
        // Said always: without it azure_identity takes AZURE_AUTHORITY_HOST from the environment, else the public one.
        let mut custom = CustomConfiguration::default();
        custom.authority_host = self.authority_host.to_string();
        ClientOptions {
            transport: Some(Transport::new(transport)),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(custom.into())),
            ..Default::default()
        }
    }
}

/// A projected token: read for each fetch, because the kubelet replaces it; trimmed, because Entra refuses a newline.
#[derive(Debug)]
struct FileAssertion {
    path: PathBuf,
    audience: String,
}

#[async_trait]
impl ClientAssertion for FileAssertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let text = tokio::fs::read_to_string(&self.path).await.map_err(|error| {
            let mut attempt = format!("read the federated token {}", self.path.display());
            if error.kind() == std::io::ErrorKind::NotFound {
                let audience = &self.audience;
                write!(attempt, ": the pod was made without it. Give it one as deploy/base does (a projected ServiceAccount token for {audience}); where the workload identity webhook is to add it, delete the pod once the webhook runs").ok();
            }
            azure_core::Error::with_error(ErrorKind::Credential, error, attempt)
        })?;
        let token = text.trim();
        if token.is_empty() {
            let message = format!("read the federated token {}: the file is empty", self.path.display());
            return Err(azure_core::Error::with_message(ErrorKind::Credential, message));
        }
        Ok(token.to_owned())
    }
}
