//! As whom Azure is asked: as whoever is logged in to the Azure CLI, unless the environment holds an identity, as pipelines have it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use sreg_azure::{AzureClient, AzureSettings, connect};
use sreg_domain::Cloud;
use sreg_domain::outside::word;
use sreg_settings::{CLIENT_SECRET_VARIABLE, ConnectionArgs, Credential, SettingsError};

/// Which Azure, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Azure")]
pub struct AccountArgs {
    /// Tenant that tokens are asked of. Default: that of the Azure CLI's login
    #[arg(long, value_name = "GUID", env = "AZURE_TENANT_ID")]
    pub azure_tenant_id: Option<String>,
    /// How to prove who you are. Default: workload-identity where the environment names a client id and a federated token, client-secret
    /// where it names a client id and AZURE_CLIENT_SECRET, else azure-cli
    #[arg(long, value_enum, value_name = "KIND", env = "SREG_AZURE_CREDENTIAL")]
    pub azure_credential: Option<Credential>,
    /// The rest.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Longest that a sign-in may take: the Azure CLI is a slow program.
const SIGN_IN: Duration = Duration::from_secs(30);

impl AccountArgs {
    /// A client that has signed in.
    ///
    /// # Errors
    /// Something is missing, or nobody gives a token; says what to do next.
    pub async fn sign_in(&self, cloud: Arc<Cloud>) -> Result<AzureClient> {
        let secret = std::env::var(CLIENT_SECRET_VARIABLE)
            .ok()
            .filter(|secret| !secret.is_empty());
        let credential = self.credential(secret.is_some());
        let client = connect(self.settings(cloud, credential, secret)?).context("connect to Azure")?;
        let signed_in = client.authenticate(SIGN_IN).await;
        signed_in.map_err(|error| anyhow!("{error}; {}", self.what_next(credential)))?;
        Ok(client)
    }

    /// What the environment holds, unless somebody chose.
    fn credential(&self, has_secret: bool) -> Credential {
        let connection = &self.connection;
        let has_client = connection.azure_client_id.is_some();
        match self.azure_credential {
            Some(chosen) => chosen,
            None if has_client && connection.azure_federated_token_file.is_some() => Credential::WorkloadIdentity,
            None if has_client && (has_secret || connection.azure_client_secret_file.is_some()) => {
                Credential::ClientSecret
            }
            None => Credential::AzureCli,
        }
    }

    fn settings(
        &self,
        cloud: Arc<Cloud>,
        credential: Credential,
        secret: Option<String>,
    ) -> Result<AzureSettings, SettingsError> {
        let needs_tenant = match credential {
            Credential::WorkloadIdentity => Some("workload-identity"),
            Credential::ClientSecret => Some("client-secret"),
            Credential::ManagedIdentity | Credential::AzureCli => None,
        };
        if let (Some(credential), None) = (needs_tenant, &self.azure_tenant_id) {
            return Err(SettingsError::Missing {
                credential,
                missing: "--azure-tenant-id or AZURE_TENANT_ID",
            });
        }
        let tenant = self.azure_tenant_id.as_deref().unwrap_or_default();
        self.connection.settings(cloud, tenant, credential, secret)
    }

    fn what_next(&self, credential: Credential) -> String {
        let tenant = self.azure_tenant_id.as_deref();
        match credential {
            Credential::AzureCli => format!(
                "log in: az login{}",
                tenant.map(|tenant| format!(" --tenant {}", word(tenant))).unwrap_or_default()
            ),
            Credential::WorkloadIdentity => {
                "the federated credential of the application must name the issuer, subject and audience of the token: az identity federated-credential list, or az ad app federated-credential list".to_owned()
            }
            Credential::ClientSecret => format!(
                "renew the secret (az ad app credential reset --id CLIENT), or correct AZURE_CLIENT_ID and AZURE_TENANT_ID (now {})",
                tenant.unwrap_or_default()
            ),
            Credential::ManagedIdentity => {
                "this machine must have a managed identity; a user-assigned one is named by --azure-client-id".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        account: AccountArgs,
    }

    fn typed(more: &[&str]) -> AccountArgs {
        Typed::parse_from([&["sreg"], more].concat()).account
    }

    #[test]
    fn whoever_is_logged_in_to_the_azure_cli_is_asked_unless_an_identity_is_named() {
        let client = "--azure-client-id=c";
        for (typed_in, has_secret, chosen) in [
            (&[][..], false, Credential::AzureCli),
            (&[], true, Credential::AzureCli),
            (&[client], true, Credential::ClientSecret),
            (
                &[client, "--azure-federated-token-file=f"],
                true,
                Credential::WorkloadIdentity,
            ),
            (&[client, "--azure-credential=azure-cli"], true, Credential::AzureCli),
            (
                &["--azure-credential=managed-identity"],
                false,
                Credential::ManagedIdentity,
            ),
        ] {
            assert_eq!(typed(typed_in).credential(has_secret), chosen, "{typed_in:?}");
        }
    }

    #[test]
    fn a_tenant_is_demanded_only_of_whoever_has_none() {
        let cloud = Arc::new(sreg_domain::BuiltInCloud::AzurePublic.cloud().unwrap());
        let settings =
            |credential| typed(&["--azure-client-id=c"]).settings(Arc::clone(&cloud), credential, Some("s".into()));
        let said = settings(Credential::ClientSecret).unwrap_err().to_string();
        assert!(said.contains("AZURE_TENANT_ID"), "{said}");
        assert!(settings(Credential::AzureCli).is_ok());
    }
}
