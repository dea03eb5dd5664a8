//! What the client is told: cloud, credential, budgets. Values only; whoever starts the process sets them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sreg_domain::Cloud;
use url::Url;

/// How to reach one Azure.
#[derive(Debug, Clone)]
pub struct AzureSettings {
    /// The cloud: its endpoints, audiences, names and API versions. The origin of its Resource Manager is the only one that
    /// poll URLs and next links may have.
    pub cloud: Arc<Cloud>,
    /// Asked for tokens instead of the cloud's own authority. Must be https.
    pub authority_host: Option<Url>,
    /// Trust these certificates (PEM) and no others; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Tenant that tokens are asked of.
    pub tenant_id: String,
    /// Application id; needed by workload identity and client secret.
    pub client_id: Option<String>,
    /// What we prove our identity with.
    pub credential: CredentialKind,
    /// Longest time that one call may take, its body included.
    pub call_timeout: Duration,
    /// Longest time that fetching a token may take.
    pub token_timeout: Duration,
    /// What we allow ourselves per subscription.
    pub budgets: Budgets,
    /// Calls that one visit may have under way at once.
    pub concurrency: usize,
}

impl AzureSettings {
    /// A cloud with the defaults for all else.
    pub fn new(cloud: Arc<Cloud>, tenant_id: impl Into<String>, credential: CredentialKind) -> AzureSettings {
        AzureSettings {
            cloud,
            authority_host: None,
            ca_pem: None,
            tenant_id: tenant_id.into(),
            client_id: None,
            credential,
            call_timeout: Duration::from_secs(30),
            token_timeout: Duration::from_secs(20),
            budgets: Budgets::default(),
            concurrency: 16,
        }
    }
}

/// How long a look at Azure may take, and how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For all of it: what is not known by then is not known.
    pub within: Duration,
    /// Public access is to be opened: for whatever that does not need.
    pub for_the_rest: Option<Duration>,
    /// Which tokens it may use.
    pub lane: Lane,
}

impl Patience {
    /// For a look at what nobody waits for.
    pub fn ordinary(within: Duration) -> Patience {
        Patience {
            within,
            for_the_rest: None,
            lane: Lane::Ordinary,
        }
    }
}

/// Which tokens of a budget a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// Those of all.
    #[default]
    Ordinary,
    /// Those that are kept back too: somebody is cut off, or waits for an opening.
    Urgent,
}

/// What we prove our identity with.
#[derive(Debug, Clone)]
pub enum CredentialKind {
    /// A federated token in a file, read and trimmed anew for each fetch. Needs `client_id`.
    WorkloadIdentity {
        /// The projected ServiceAccount token.
        token_file: PathBuf,
    },
    /// A secret of the application. Needs `client_id`.
    ClientSecret(SecretString),
    /// The machine's or App Service's identity.
    ManagedIdentity {
        /// A user-assigned one, by its client id.
        client_id: Option<String>,
    },
    /// Whoever is logged in to the Azure CLI.
    AzureCli,
}

/// Token buckets per subscription and kind of call (azure.md §6.4); other principals have their own in Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// GET.
    pub reads: Budget,
    /// PUT, PATCH, POST.
    pub writes: Budget,
    /// DELETE.
    pub deletes: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        let rarer = Budget {
            burst: 200,
            per_second: 10,
        };
        Budgets {
            reads: Budget {
                burst: 250,
                per_second: 25,
            },
            writes: rarer,
            deletes: rarer,
        }
    }
}

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Its size; at least 1.
    pub burst: u32,
    /// Refill; at least 1.
    pub per_second: u32,
}

/// Why no client could be made. Nothing was sent yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An endpoint is not an https URL with a host.
    #[error("use {0:?} as an endpoint: it is not an https URL with a host")]
    Endpoint(String),
    /// The certificates are not PEM.
    #[error("read the certificate authority to trust")]
    CertificateAuthority(#[source] reqwest::Error),
    /// The HTTP client could not be built.
    #[error("build the HTTP client")]
    Transport(#[source] reqwest::Error),
    /// The credential refuses its settings.
    #[error("set up the {kind} credential")]
    Credential {
        /// Which one.
        kind: &'static str,
        /// Its reason.
        #[source]
        source: azure_core::Error,
    },
    /// A setting that the credential needs is missing.
    #[error("set up the {kind} credential: {missing} is missing")]
    Missing {
        /// Which credential.
        kind: &'static str,
        /// Which setting.
        missing: &'static str,
    },
}
