//! The vantage point's agent: reads its `VantagePoint` by name, carries out the `ConnectivityProbe`s that are addressed to it
//! and writes what it found into their status. It talks to the Kubernetes API and to the hosts in the probes, never to ARM,
//! and holds no state that a restart could lose: a round begins again at zero.
//!
//! ```text
//! VantagePoint ──► place: namespace, dialer, resolver ──┬─► Lease `vantage-point-<name>`: renewed while alive
//!                                                       └─► ConnectivityProbes with our label ──► one worker each:
//!                 spec ──► PathResults (pure: `path_results`) ◄── sweep of attempts (`sreg_probe`)
//!                              └─► one status apply a sweep, none when nothing changed
//! ```
//!
//! # Rights
//!
//! Exactly these, for the agent's ServiceAccount:
//!
//! | group | resource | verbs | where |
//! | --- | --- | --- | --- |
//! | secureregistry.dev | vantagepoints | list, watch | cluster, `resourceNames: [<name>]` |
//! | secureregistry.dev | connectivityprobes | list, watch | the vantage point's namespace |
//! | secureregistry.dev | connectivityprobes/status | patch | the vantage point's namespace |
//! | coordination.k8s.io | leases | create | the vantage point's namespace (a create cannot be limited by name) |
//! | coordination.k8s.io | leases | patch | the vantage point's namespace, `resourceNames: [vantage-point-<name>]` |
//!
//! Lists and watches of the vantage point carry the field selector `metadata.name=<name>`, which is what makes
//! `resourceNames` apply to them.

mod lease;
mod path_results;
mod place;
mod probes;
mod publish;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use sreg_api::names::is_object_name;
use sreg_domain::Cloud;
use sreg_probe::{TrustError, TrustRoots};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use lease::lease_name;
pub use path_results::{PathResults, Question, Sweep};

/// What an agent is told when it is started.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Name of the `VantagePoint` that this agent is.
    pub vantage_point: String,
    /// Who holds the lease: distinct for each process (the pod's name).
    pub identity: String,
    /// Certificate authorities to trust beside the system's, PEM.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Hosts below these suffixes may be contacted, no others.
    pub host_suffixes: Vec<String>,
    /// `x-ms-version` of requests to storage.
    pub storage_version: String,
    /// How long one attempt at one path may take.
    pub attempt_timeout: Duration,
    /// How many attempts may be under way at once, over all probes.
    pub concurrent_attempts: usize,
    /// Pause between two renewals of the lease.
    pub lease_renewal: Duration,
    /// How long the lease holds without a renewal; whole seconds.
    pub lease_duration: Duration,
}

impl AgentSettings {
    /// Defaults: 10 s an attempt, 32 at once, a 30 s lease renewed every 10 s, the hosts of `cloud`.
    pub fn new(vantage_point: impl Into<String>, identity: impl Into<String>, cloud: &Cloud) -> Self {
        AgentSettings {
            vantage_point: vantage_point.into(),
            identity: identity.into(),
            extra_roots_pem: None,
            host_suffixes: cloud.host_suffixes(),
            storage_version: cloud.storage.service_version.to_string(),
            attempt_timeout: Duration::from_secs(10),
            concurrent_attempts: 32,
            lease_renewal: Duration::from_secs(10),
            lease_duration: Duration::from_secs(30),
        }
    }
}

/// How the agent is doing, for health endpoints. Written by the agent, read by whoever holds the receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentHealth {
    /// The `VantagePoint` exists and its addresses can be used.
    pub placed: bool,
    /// The probes of its namespace are being watched.
    pub watching: bool,
    /// The last renewal of the lease succeeded.
    pub leased: bool,
    /// Probes being carried out.
    pub probes: usize,
    /// What it waits for, in words; absent when nothing is missing.
    pub waits_for: Option<String>,
}

impl AgentHealth {
    /// Whether probes that are written now will be carried out.
    pub fn is_ready(&self) -> bool {
        self.placed && self.watching && self.leased
    }
}

/// Why an agent cannot be started. Once started it only ends by being told to: what fails later is tried again.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The vantage point's name cannot be the name of an object.
    #[error("start the agent of vantage point `{0}`: not the name of a Kubernetes object")]
    Name(String),
    /// No certificate can be verified.
    #[error("load the certificate authorities of vantage point `{vantage_point}`")]
    Roots {
        /// Which vantage point.
        vantage_point: String,
        /// Why.
        #[source]
        source: TrustError,
    },
}

/// What every part of one agent shares.
struct Agent {
    client: Client,
    settings: AgentSettings,
    roots: TrustRoots,
    attempts: Arc<Semaphore>,
    health: watch::Sender<AgentHealth>,
}

impl Agent {
    fn report(&self, change: impl FnOnce(&mut AgentHealth)) {
        self.health.send_if_modified(|health| {
            let before = health.clone();
            change(health);
            *health != before
        });
    }
}

/// Runs the agent until `shutdown` is cancelled, then gives up the lease. How it is doing is kept in `health`.
///
/// # Errors
/// Only for settings that can never work; whatever fails later is logged, shown in `health` and tried again.
pub async fn run_agent(
    client: Client,
    settings: AgentSettings,
    shutdown: CancellationToken,
    health: watch::Sender<AgentHealth>,
) -> Result<(), AgentError> {
    let name = settings.vantage_point.clone();
    if !is_object_name(&name) {
        return Err(AgentError::Name(name));
    }
    let roots = TrustRoots::load(settings.extra_roots_pem.as_deref()).map_err(|source| AgentError::Roots {
        vantage_point: name.clone(),
        source,
    })?;
    let attempts = Arc::new(Semaphore::new(settings.concurrent_attempts.max(1)));
    let agent = Agent {
        client,
        settings,
        roots,
        attempts,
        health,
    };
    let (placing, places) = watch::channel(None);
    tokio::select! {
        () = place::watch_vantage_point(&agent, &placing) => {}
        () = serve_places(&agent, places, &shutdown) => {}
    }
    tracing::info!(vantage_point = %name, "agent stopped");
    Ok(())
}

/// Looks from one place until the vantage point says another, or none.
async fn serve_places(agent: &Agent, mut places: watch::Receiver<Option<place::Place>>, shutdown: &CancellationToken) {
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => return,
            found = places.wait_for(Option::is_some) => match found {
                Ok(place) => place.clone(),
                Err(_) => return,
            },
        };
        let Some(place) = place else { continue };
        let stop = shutdown.child_token();
        let look = async {
            tokio::join!(
                probes::carry_out(agent, &place, &stop),
                lease::keep(agent, &place.namespace, &stop)
            );
        };
        let until_moved = async {
            let moved = places.wait_for(|now| now.as_ref() != Some(&place)).await.is_ok();
            if moved {
                tracing::info!(vantage_point = %agent.settings.vantage_point, "the vantage point changed: starting again");
            }
            stop.cancel();
        };
        // `look` ends only once `stop` is cancelled, whoever cancelled it; it then has its workers and its lease to end.
        tokio::pin!(look, until_moved);
        tokio::select! {
            () = &mut look => {}
            () = &mut until_moved => look.await,
        }
    }
}

#[cfg(test)]
mod tests;
