//! Vantage points and whether their agents live. A quiet agent and a dead one look alike in the probes; the agent's Lease
//! tells them apart, judged by our own monotonic clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ApiResource, DynamicObject};
use serde_json::Value;
use sreg_api::VantagePoint;
use sreg_api::names;
use sreg_api::vantage_point::VantagePointSpec;
use sreg_domain::duration;
use sreg_domain::outside::{LONGEST, words};
use sreg_domain::seen::{Fact, Ignorance, IgnoranceKind, VantagePointSeen};

use super::read;
use crate::agent::lease_name;
use crate::context::Context;

/// A Lease that names no duration lasts this long.
const DEFAULT_DURATION: Duration = Duration::from_secs(30);

/// The vantage points of these names.
pub(super) async fn observe(context: &Context, names: &BTreeSet<String>) -> BTreeMap<String, Fact<VantagePointSeen>> {
    join_all(
        names
            .iter()
            .map(|name| async move { (name.clone(), one(context, name).await) }),
    )
    .await
    .into_iter()
    .collect()
}

async fn one(context: &Context, name: &str) -> Fact<VantagePointSeen> {
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &ApiResource::erase::<VantagePoint>(&()));
    let attempt = format!("read VantagePoint {name}");
    // An object may predate the rule of its definition: what is no name reaches no path.
    if !names::is_object_name(name) {
        let why = format!("{name:?} is no name of a VantagePoint: lower-case letters, digits, - and ., at most 63");
        return Fact::Unknown(nonsense(attempt, why));
    }
    let mut object = match read(context, attempt.clone(), api.get_opt(name)).await {
        Ok(Some(object)) => object,
        Ok(None) => return Fact::Absent,
        Err(why) => return Fact::Unknown(why),
    };
    let spec: VantagePointSpec =
        match serde_json::from_value(object.data.get_mut("spec").map(Value::take).unwrap_or_default()) {
            Ok(spec) => spec,
            Err(error) => return Fact::Unknown(nonsense(attempt, error.to_string())),
        };
    if !names::is_object_name(&spec.namespace) || !names::is_dns_subdomain(&spec.service_account_name) {
        let why = "spec.namespace or spec.serviceAccountName is no name of an object: correct it";
        return Fact::Unknown(nonsense(attempt, why.to_owned()));
    }
    let virtual_network = match spec.virtual_network_resource_id.as_deref().map(str::parse).transpose() {
        Ok(id) => id,
        Err(error) => return Fact::Unknown(nonsense(attempt, format!("spec.virtualNetworkResourceId: {error}"))),
    };
    context.memories.vantage_point_is_in(name, &spec.namespace);
    let lease = lease(context, &spec.namespace, name).await;
    let renewed = lease.seen().and_then(|lease| lease.renew_time.as_ref()).map(|at| at.0);
    let alive = match is_alive(context, &spec.namespace, name, lease) {
        Fact::Absent => no_agent_yet(context, object.metadata.creation_timestamp.as_ref()),
        known @ (Fact::Seen(_) | Fact::Unknown(_)) => known,
    };
    Fact::Seen(VantagePointSeen {
        uid: object.metadata.uid.unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        network: spec.network,
        virtual_network,
        namespace: spec.namespace,
        service_account: spec.service_account_name,
        alive,
        renewed,
    })
}

/// An agent that never reported has the time of a Lease for it, from when its vantage point was made: until then nobody can tell
/// whether it is silent or on its way.
fn no_agent_yet(context: &Context, made: Option<&Time>) -> Fact<bool> {
    let age = made.and_then(|made| Duration::try_from(context.clock.now().duration_since(made.0)).ok());
    match age.and_then(|age| DEFAULT_DURATION.checked_sub(age)) {
        Some(left) if !left.is_zero() => Fact::Unknown(Ignorance {
            attempt: String::new(),
            kind: IgnoranceKind::Settling,
            message: format!(
                "its agent has not reported yet; it is called silent {} after the VantagePoint was made",
                duration::show(DEFAULT_DURATION)
            ),
            code: None,
            correlation_id: None,
            retry_after: Some(left),
        }),
        Some(_) | None => Fact::Absent,
    }
}

/// Whether the agent's Lease has a holder who renews it. `Absent`: no agent has ever reported.
pub(crate) async fn alive(context: &Context, namespace: &str, vantage_point: &str) -> Fact<bool> {
    let lease = lease(context, namespace, vantage_point).await;
    is_alive(context, namespace, vantage_point, lease)
}

async fn lease(context: &Context, namespace: &str, vantage_point: &str) -> Fact<LeaseSpec> {
    let name = lease_name(vantage_point);
    let api: Api<Lease> = Api::namespaced(context.client.clone(), namespace);
    match read(context, format!("read lease {namespace}/{name}"), api.get_opt(&name)).await {
        Ok(Some(lease)) => Fact::Seen(lease.spec.unwrap_or_default()),
        Ok(None) => Fact::Absent,
        Err(why) => Fact::Unknown(why),
    }
}

/// Longest that a Lease may be said to last: an agent that claims years would be called alive long after its end. Ours last half a
/// minute.
const LONGEST_DURATION: Duration = Duration::from_secs(300);

fn is_alive(context: &Context, namespace: &str, vantage_point: &str, lease: Fact<LeaseSpec>) -> Fact<bool> {
    let spec = match lease {
        Fact::Seen(spec) => spec,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    let name = lease_name(vantage_point);
    let held = spec.holder_identity.is_some_and(|holder| !holder.is_empty());
    let Some(renewed) = spec.renew_time.filter(|_| held) else {
        return Fact::Seen(false);
    };
    let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    let duration = seconds
        .map_or(DEFAULT_DURATION, Duration::from_secs)
        .min(LONGEST_DURATION);
    let slack = context.settings.agent_lease_stale_after;
    Fact::Seen(
        context
            .memories
            .is_renewed((namespace, &name), renewed.0, duration, context.clock.now(), slack),
    )
}

fn nonsense(attempt: String, message: String) -> Ignorance {
    Ignorance {
        attempt,
        kind: IgnoranceKind::Nonsense,
        message: words(&message, LONGEST).into_owned(),
        code: None,
        correlation_id: None,
        retry_after: None,
    }
}
