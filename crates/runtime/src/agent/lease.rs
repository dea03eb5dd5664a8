//! That the agent lives: a Lease in the vantage point's namespace, renewed while it does, given up when it is told to stop.
//! Probes are quiet while nothing changes, so the operator tells a quiet agent from a dead one by this.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use sreg_api::names::AGENT_MANAGER;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentSettings};
use crate::api_words;

/// One renewal may take this long.
const LIMIT: Duration = Duration::from_secs(5);

/// Name of the Lease of a vantage point's agent, in the vantage point's namespace. Its holder is empty when the agent was
/// stopped in good order.
pub fn lease_name(vantage_point: &str) -> String {
    format!("vantage-point-{vantage_point}")
}

/// Renews the lease until `stop`, then gives it up.
pub(super) async fn keep(agent: &Agent, namespace: &str, stop: &CancellationToken) {
    let api: Api<Lease> = Api::namespaced(agent.client.clone(), namespace);
    let since = Timestamp::now();
    let settings = &agent.settings;
    loop {
        let renewed = apply(&api, settings, &settings.identity, since).await;
        agent.report(|health| health.leased = renewed);
        let pause = if renewed {
            settings.lease_renewal
        } else {
            settings.lease_renewal.min(Duration::from_secs(2))
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    apply(&api, settings, "", since).await;
    agent.report(|health| health.leased = false);
}

/// By force: a process that replaces another takes its lease over, and nobody but a vantage point's agent may write it.
async fn apply(api: &Api<Lease>, settings: &AgentSettings, holder: &str, since: Timestamp) -> bool {
    let name = lease_name(&settings.vantage_point);
    let seconds = i32::try_from(settings.lease_duration.as_secs().max(1)).unwrap_or(i32::MAX);
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            acquire_time: Some(MicroTime(since)),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_duration_seconds: Some(seconds),
            ..LeaseSpec::default()
        }),
    };
    let params = PatchParams::apply(AGENT_MANAGER).force();
    match tokio::time::timeout(LIMIT, api.patch(&name, &params, &Patch::Apply(lease))).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(lease = %name, error = api_words::of(&error), "cannot renew the agent's lease, trying again");
            false
        }
        Err(_) => {
            tracing::warn!(lease = %name, "cannot renew the agent's lease: no answer within {LIMIT:?}, trying again");
            false
        }
    }
}
