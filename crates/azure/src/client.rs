//! The client that runtime holds: cheap to clone, one per identity. Made from settings, over HTTPS or over any transport.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::HttpClient;
use sreg_domain::StepId;
use sreg_domain::action::{AzureAction, Effect};
use sreg_domain::desired::Desired;
use sreg_domain::seen::AzureSeen;
use sreg_domain::{ArmId, CallFailure, Known};
use tokio::time::Instant;
use url::Url;

use crate::also_changed::OtherChanges;
use crate::arm::Arm;
use crate::identity::Tokens;
use crate::reader::{
    Definitions, DenyAssignments, Neighbours, Perimeters, Rights, no_definitions, no_deny_assignments, no_perimeters,
    no_rights,
};
use crate::refused_rules::RefusedRules;
use crate::settings::{AzureSettings, ConnectError, Patience};
use crate::{AzureReader, AzureWriter};

/// After our own successful create a 404 may be a lagging read for this long (azure.md §1.4 names 30–45 s).
const SETTLING: Duration = Duration::from_secs(60);

/// Reads and writes over ARM. Clones share tokens, budgets and connections.
#[derive(Debug, Clone)]
pub struct AzureClient {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: AzureSettings,
    pub(crate) arm: Arm,
    pub(crate) policies: Definitions,
    pub(crate) neighbours: Neighbours,
    pub(crate) rights: Rights,
    pub(crate) perimeters: Perimeters,
    pub(crate) deny_assignments: DenyAssignments,
    pub(crate) also_changed: OtherChanges,
    pub(crate) refused_rules: RefusedRules,
    created: Mutex<HashMap<ArmId, Instant>>,
}

/// A client over HTTPS. Nothing is sent yet.
pub fn connect(settings: AzureSettings) -> Result<AzureClient, ConnectError> {
    // Without a process-wide provider reqwest panics; a second installation is refused and harmless.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(settings.call_timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        // A connection that went silent must not cost every later call its deadline.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    if let Some(pem) = &settings.ca_pem {
        let trusted = reqwest::Certificate::from_pem_bundle(pem).map_err(ConnectError::CertificateAuthority)?;
        builder = builder.tls_certs_only(trusted);
    }
    let transport = builder.build().map_err(ConnectError::Transport)?;
    connect_through(settings, Arc::new(transport))
}

/// A client over any transport: a simulator in the same process, or a test that answers nonsense. Nothing is sent yet.
pub fn connect_through(settings: AzureSettings, transport: Arc<dyn HttpClient>) -> Result<AzureClient, ConnectError> {
    settings.authority_host.as_ref().map_or(Ok(()), check_endpoint)?;
    let tokens = Tokens::new(&settings, transport.clone())?;
    let arm = Arm::new(&settings, tokens, transport);
    let inner = Inner {
        settings,
        arm,
        policies: no_definitions(),
        neighbours: Neighbours::default(),
        rights: no_rights(),
        perimeters: no_perimeters(),
        deny_assignments: no_deny_assignments(),
        also_changed: OtherChanges::default(),
        refused_rules: RefusedRules::default(),
        created: Mutex::default(),
    };
    Ok(AzureClient { inner: Arc::new(inner) })
}

/// Why no token was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fetch a token for {scope}: {message}")]
pub struct AuthenticationError {
    /// What it was asked for.
    pub scope: String,
    /// What Entra or the credential said.
    pub message: String,
}

impl AzureClient {
    /// Whether we are given a token for ARM within `deadline`; it is kept for later calls. For readiness.
    ///
    /// # Errors
    /// The token endpoint refused or did not answer.
    pub async fn authenticate(&self, deadline: Duration) -> Result<(), AuthenticationError> {
        let token = self.inner.arm.token(Instant::now() + deadline).await;
        token.map(drop).map_err(|error| AuthenticationError {
            scope: self.inner.arm.scope().to_owned(),
            message: error.message,
        })
    }
}

fn check_endpoint(endpoint: &Url) -> Result<(), ConnectError> {
    if endpoint.scheme() == "https" && endpoint.has_host() {
        return Ok(());
    }
    Err(ConnectError::Endpoint(endpoint.to_string()))
}

impl Inner {
    /// Remembers that this process created something just now.
    pub(crate) fn remember_created(&self, id: &ArmId) {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.retain(|_, at| at.elapsed() < SETTLING);
        created.insert(id.clone(), Instant::now());
    }

    /// Forgets it again, because this process deleted it.
    pub(crate) fn forget_created(&self, id: &ArmId) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether this process created it so recently that a 404 may be a lagging read.
    pub(crate) fn created_recently(&self, id: &ArmId) -> bool {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.get(id).is_some_and(|at| at.elapsed() < SETTLING)
    }
}

#[async_trait]
impl AzureReader for AzureClient {
    async fn observe(&self, desired: &Desired, known: &Known, patience: Patience) -> AzureSeen {
        crate::reader::observe(&self.inner, desired, known, patience).await
    }
}

#[async_trait]
impl AzureWriter for AzureClient {
    async fn carry_out(
        &self,
        namespace: &str,
        step: &StepId,
        action: &AzureAction,
        deadline: Duration,
    ) -> Result<Effect, CallFailure> {
        crate::writer::carry_out(&self.inner, namespace, step, action, Instant::now() + deadline).await
    }
}
