//! What was typed, and what it means. A flattened struct per concern holds flags and environment variables as they come;
//! each has a function that turns it into what the part it belongs to is told, reading the files it names. Secrets come from
//! files or the environment only, never from the command line, where every process of the machine can read them.
//!
//! Here is what any program may take, with a controller in it or without one: which Azure, for whom to plan, how to log. Flags
//! of the operator's own parts stand with its command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use sreg_azure::{AzureSettings, ConnectError, CredentialKind};
use sreg_domain::Cloud;
use sreg_planner::{Floors, PlanSettings};
use url::Url;

/// The environment variable that holds the client secret: the only setting that is no flag.
pub const CLIENT_SECRET_VARIABLE: &str = "AZURE_CLIENT_SECRET";

/// Why what was typed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file that a flag names cannot be read.
    #[error("read {} for {flag}", path.display())]
    File {
        /// Which flag.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A setting that the chosen credential needs is missing.
    #[error("use the {credential} credential: set {missing}")]
    Missing {
        /// Which credential.
        credential: &'static str,
        /// What to set.
        missing: &'static str,
    },
    /// The client for Azure refuses the settings.
    #[error("set up the client for Azure")]
    Azure(#[source] ConnectError),
}

/// Who plans, and what it may be asked for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scope")]
pub struct PlanArgs {
    /// Name of this installation: first part of the tag that marks what it creates in Azure. Must differ between operators that
    /// see the same subscriptions, and never change
    #[arg(long, value_name = "NAME", env = "SREG_INSTALLATION", default_value = "default", value_parser = installation)]
    pub installation: String,
    /// Longest time that break-glasses may hold one registry open, extensions included
    #[arg(long, value_name = "DURATION", env = "SREG_MAX_BREAK_GLASS", default_value = "4h", value_parser = duration)]
    pub max_break_glass: Duration,
    /// Shortest spec.drift.interval that is served: a shorter one is raised, and said so
    #[arg(long, value_name = "DURATION", env = "SREG_SHORTEST_DRIFT_INTERVAL", default_value = "1m", value_parser = duration)]
    pub shortest_drift_interval: Duration,
    /// Shortest spec.verification.interval that is served: a shorter one is raised, and said so
    #[arg(long, value_name = "DURATION", env = "SREG_SHORTEST_PROBE_INTERVAL", default_value = "5s", value_parser = duration)]
    pub shortest_probe_interval: Duration,
}

impl PlanArgs {
    /// What the planner is told. The cluster's id is empty until the cluster can be asked for it.
    pub fn plan(&self, cloud: Cloud) -> PlanSettings {
        PlanSettings {
            installation: self.installation.clone(),
            cluster: String::new(),
            cloud,
            max_break_glass: self.max_break_glass,
            floors: Floors {
                drift_interval: self.shortest_drift_interval,
                probe_interval: self.shortest_probe_interval,
            },
        }
    }
}

/// Which Azure, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Azure")]
pub struct AzureArgs {
    /// Tenant that tokens are asked of
    #[arg(long, value_name = "GUID", env = "AZURE_TENANT_ID")]
    pub azure_tenant_id: String,
    /// Application (client) id; for managed-identity: of a user-assigned identity
    #[arg(long, value_name = "GUID", env = "AZURE_CLIENT_ID")]
    pub azure_client_id: Option<String>,
    /// How to prove our identity. client-secret takes the secret from AZURE_CLIENT_SECRET or --azure-client-secret-file
    #[arg(long, value_enum, value_name = "KIND", env = "SREG_AZURE_CREDENTIAL", default_value_t = Credential::WorkloadIdentity)]
    pub azure_credential: Credential,
    /// Federated token of workload-identity, read anew for each use
    #[arg(long, value_name = "FILE", env = "AZURE_FEDERATED_TOKEN_FILE")]
    pub azure_federated_token_file: Option<PathBuf>,
    /// File that holds the secret of client-secret
    #[arg(long, value_name = "FILE", env = "SREG_AZURE_CLIENT_SECRET_FILE")]
    pub azure_client_secret_file: Option<PathBuf>,
    /// Which cloud: decides DNS zones, host names and the default endpoints
    #[arg(long, value_enum, value_name = "CLOUD", env = "SREG_AZURE_CLOUD", default_value_t = CloudName::Public)]
    pub azure_cloud: CloudName,
    /// Azure Resource Manager. Default: the cloud's
    #[arg(long, value_name = "URL", env = "SREG_AZURE_ARM_ENDPOINT")]
    pub azure_arm_endpoint: Option<Url>,
    /// Authority that issues tokens. Default: the cloud's
    #[arg(long, value_name = "URL", env = "AZURE_AUTHORITY_HOST")]
    pub azure_authority_host: Option<Url>,
    /// Certificate authorities (PEM) to trust instead of the system's when talking to Azure
    #[arg(long, value_name = "FILE", env = "SREG_AZURE_CA_FILE")]
    pub azure_ca_file: Option<PathBuf>,
    /// Ask this endpoint instead of the one that a registry names as its discovery URL
    #[arg(long, value_name = "URL", env = "SREG_AZURE_DISCOVERY_ENDPOINT")]
    pub azure_discovery_endpoint: Option<Url>,
}

/// How we prove our identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Credential {
    /// A ServiceAccount's token, federated with an application or a user-assigned identity.
    WorkloadIdentity,
    /// A secret of an application.
    ClientSecret,
    /// The machine's identity.
    ManagedIdentity,
    /// Whoever is logged in to the Azure CLI: for trying out.
    AzureCli,
}

/// Azure's clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CloudName {
    /// The public cloud.
    Public,
    /// Azure Government.
    #[value(name = "usgovernment")]
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

/// Endpoints of a cloud: ARM, authority, Log Analytics.
struct Endpoints {
    arm: &'static str,
    authority: &'static str,
    log_analytics: &'static str,
}

impl CloudName {
    /// Names of its hosts and zones.
    pub fn names(self) -> Cloud {
        match self {
            CloudName::Public => Cloud::public(),
            CloudName::UsGovernment => Cloud::us_government(),
            CloudName::China => Cloud::china(),
        }
    }

    fn endpoints(self) -> Endpoints {
        match self {
            CloudName::Public => Endpoints {
                arm: "https://management.azure.com",
                authority: "https://login.microsoftonline.com",
                log_analytics: "https://api.loganalytics.io",
            },
            CloudName::UsGovernment => Endpoints {
                arm: "https://management.usgovcloudapi.net",
                authority: "https://login.microsoftonline.us",
                log_analytics: "https://api.loganalytics.us",
            },
            CloudName::China => Endpoints {
                arm: "https://management.chinacloudapi.cn",
                authority: "https://login.chinacloudapi.cn",
                log_analytics: "https://api.loganalytics.azure.cn",
            },
        }
    }
}

impl AzureArgs {
    /// What the client for Azure is told. `secret` is the content of [`CLIENT_SECRET_VARIABLE`], which a file that is named
    /// goes before.
    ///
    /// # Errors
    /// A file cannot be read, or something that the credential needs is missing.
    pub fn settings(&self, secret: Option<String>) -> Result<AzureSettings, SettingsError> {
        let endpoints = self.azure_cloud.endpoints();
        let settings =
            AzureSettings::new(&self.azure_tenant_id, self.credential(secret)?).map_err(SettingsError::Azure)?;
        Ok(AzureSettings {
            arm_endpoint: or_default(self.azure_arm_endpoint.as_ref(), endpoints.arm)?,
            authority_host: Some(or_default(self.azure_authority_host.as_ref(), endpoints.authority)?),
            log_analytics_endpoint: or_default(None, endpoints.log_analytics)?,
            ca_pem: read_if_named("--azure-ca-file", self.azure_ca_file.as_deref())?,
            client_id: self.azure_client_id.clone(),
            discovery_endpoint: self.azure_discovery_endpoint.clone(),
            ..settings.in_cloud(self.azure_cloud.names())
        })
    }

    fn credential(&self, secret: Option<String>) -> Result<CredentialKind, SettingsError> {
        let needs_client_id = |credential| match &self.azure_client_id {
            Some(_) => Ok(()),
            None => Err(SettingsError::Missing {
                credential,
                missing: "--azure-client-id or AZURE_CLIENT_ID",
            }),
        };
        match self.azure_credential {
            Credential::WorkloadIdentity => {
                let credential = "workload-identity";
                needs_client_id(credential)?;
                let missing = "--azure-federated-token-file or AZURE_FEDERATED_TOKEN_FILE. deploy/base sets it and gives the pod the token; where the workload identity webhook does so, this pod was made while it was down: delete the pod, and the next one has both";
                let token_file = self.azure_federated_token_file.clone();
                Ok(CredentialKind::WorkloadIdentity {
                    token_file: token_file.ok_or(SettingsError::Missing { credential, missing })?,
                })
            }
            Credential::ClientSecret => {
                let credential = "client-secret";
                needs_client_id(credential)?;
                let read = read_if_named("--azure-client-secret-file", self.azure_client_secret_file.as_deref())?;
                let from_file = read.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
                let missing = "AZURE_CLIENT_SECRET or --azure-client-secret-file";
                let secret = from_file.or(secret).filter(|secret| !secret.is_empty());
                let secret = secret.ok_or(SettingsError::Missing { credential, missing })?;
                Ok(CredentialKind::ClientSecret(SecretString::from(secret)))
            }
            Credential::ManagedIdentity => Ok(CredentialKind::ManagedIdentity {
                client_id: self.azure_client_id.clone(),
            }),
            Credential::AzureCli => Ok(CredentialKind::AzureCli),
        }
    }
}

/// How the process speaks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// One JSON object a line for machines, or text for people
    #[arg(long, value_enum, value_name = "FORMAT", env = "SREG_LOG_FORMAT", default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module, such as info,sreg_runtime=debug
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,
}

/// How a line of log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

fn or_default(given: Option<&Url>, default: &str) -> Result<Url, SettingsError> {
    match given {
        Some(url) => Ok(url.clone()),
        None => Url::parse(default).map_err(|_| SettingsError::Azure(ConnectError::Endpoint(default.to_owned()))),
    }
}

/// The content of the file that a flag names, if it names one.
///
/// # Errors
/// The file cannot be read.
pub fn read_if_named(flag: &'static str, path: Option<&Path>) -> Result<Option<Vec<u8>>, SettingsError> {
    let failed = |path: &Path, source| SettingsError::File {
        flag,
        path: path.to_owned(),
        source,
    };
    path.map(|path| std::fs::read(path).map_err(|source| failed(path, source)))
        .transpose()
}

/// A duration on the command line, such as `1h30m`.
///
/// # Errors
/// It is none; the text says how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    sreg_domain::duration::parse(text).ok_or_else(|| "write it like 30s, 1h30m or 250ms".to_owned())
}

/// The first part of `installation/namespace/name` in an Azure tag.
fn installation(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = !text.is_empty() && text.len() <= 63 && text.bytes().all(allowed);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "use up to 63 lower-case letters, digits and hyphens".to_owned())
}

#[cfg(test)]
mod tests;
