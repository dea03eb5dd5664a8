//! Gathers everything that one pass needs to know into one [`Seen`], live and in parallel: the object, the cluster's side
//! and Azure's. Reads only. A read that fails makes that fact `Unknown(why)`, never an error of the pass; nothing is
//! deleted, locked or called healthy on it.

mod cluster;
mod object;
mod vantage;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use sreg_api::SecureRegistryStatus;
use sreg_api::names::ZONE_GROUP;
use sreg_azure::{Lane, Patience};
use sreg_domain::action::Operation;
use sreg_domain::desired::ObjectRef;
use sreg_domain::outside::{LONGEST, LONGEST_NAME, words};
use sreg_domain::seen::{AzureSeen, EndpointSeen, Fact, Ignorance, IgnoranceKind, LinkSeen, ObjectSeen, ZoneSeen};
use sreg_domain::{ArmId, Desired, Digest, Known, Seen};
use sreg_planner::{accounts_to_open, is_held_elsewhere, is_left_to_open, may_have_lost_a_path, may_open, plan};
use tokio::time::Instant;

use crate::absence::Witnesses;
use crate::context::Context;

pub(crate) use cluster::{SNAPSHOT_KEY, approval_of, break_glass_of, claim_of, is_alive, snapshot_of};
pub(crate) use object::read_live;
pub use object::{ObjectNow, read_object, registries};
pub(crate) use vantage::alive;

/// Largest round number: JavaScript's largest safe integer, as the probe's schema says.
const LARGEST_NONCE: i64 = 9_007_199_254_740_991;

/// Everything that a plan for `desired` may know now. Of a registry that nobody granted, or that another object holds, nothing of
/// Azure is asked. Ends within the
/// settings' observe deadline; where public access is to be opened, whatever that does not need is waited for only a moment.
pub async fn observe(context: &Context, object: &ObjectRef, seen: ObjectSeen, desired: &Desired) -> Seen {
    let cluster = cluster::observe(context, object, desired).await;
    let mut seen = Seen {
        at: context.clock.now(),
        nonce: rand::rng().random_range(1..=LARGEST_NONCE),
        object: seen,
        cluster,
        azure: AzureSeen::not_looked_at(),
        memory: context.memories.recall(&object.uid),
    };
    if !desired.may_be_looked_at() {
        return seen;
    }
    if is_held_elsewhere(desired, &seen) {
        return seen;
    }
    look_at_azure(context, object, desired, &mut seen).await;
    let witnesses = Witnesses {
        desired,
        status: &seen.object.status,
        cluster: &seen.cluster,
    };
    context.memories.judge_absence(&object.uid, &witnesses, &mut seen.azure);
    context.memories.names_seen(&object.uid, names_of(&seen.azure));
    context
        .memories
        .zone_groups_seen(&object.uid, zone_groups_of(&seen.azure, &desired.owner));
    seen.memory = context.memories.recall(&object.uid);
    seen.at = context.clock.now();
    seen
}

/// Looks at all of Azure, but only as long as nothing has to be opened: whoever waits for that does not wait for the rest. What
/// status says of public access is not asked: it may be of an hour ago.
async fn look_at_azure(context: &Context, object: &ObjectRef, desired: &Desired, seen: &mut Seen) {
    let mut known = known(context, desired, seen);
    let deadline = context.settings.observe_deadline;
    let for_the_rest = context.settings.patience_to_open;
    let cut_off = may_have_lost_a_path(desired, seen);
    let whole = Patience {
        lane: if cut_off { Lane::Urgent } else { Lane::Ordinary },
        ..Patience::ordinary(deadline)
    };
    let mut looking = context.azure_reader.observe(desired, &known, whole);
    while !may_open(desired, seen) {
        match tokio::time::timeout(for_the_rest, &mut looking).await {
            Ok(azure) => {
                seen.azure = azure;
                return;
            }
            // A look that takes long must not keep an emergency waiting that has begun meanwhile.
            Err(_) => seen.cluster.break_glasses = cluster::break_glasses(context, object).await,
        }
        seen.at = context.clock.now();
    }
    drop(looking);
    let began = Instant::now();
    let to_open = Patience {
        within: deadline,
        for_the_rest: Some(for_the_rest),
        lane: Lane::Urgent,
    };
    seen.azure = context.azure_reader.observe(desired, &known, to_open).await;
    if seen.azure.registry().ignorance().is_some() && !known.in_snapshot.is_empty() {
        seen.at = context.clock.now();
        let opens = plan(desired, seen, seen.at).steps().any(|step| step.action.opens());
        if !opens {
            // Its accounts are as open as they can be now: it is waited for like any other.
            known.in_snapshot.clear();
            seen.azure = context.azure_reader.observe(desired, &known, to_open).await;
        }
        return;
    }
    let all_was_read = began.elapsed() < for_the_rest;
    if !all_was_read && !is_left_to_open(desired, seen) {
        seen.azure = context.azure_reader.observe(desired, &known, whole).await;
    }
}

/// What this process has seen, status recorded, or the snapshot holds.
fn known(context: &Context, desired: &Desired, seen: &Seen) -> Known {
    let (object, status) = (&desired.object, &seen.object.status);
    let (endpoints, mut accounts) = context.memories.known(&object.uid);
    let recorded = status.public_access.iter().flat_map(|access| &access.targets);
    let recorded = recorded.map(|target| target.resource_id.as_str());
    let snapshot = seen.cluster.snapshot.seen().into_iter();
    let kept = snapshot.flat_map(|snapshot| snapshot.targets.keys().map(String::as_str));
    accounts.extend(recorded.chain(kept).filter_map(|id| id.parse::<ArmId>().ok()));
    Known {
        in_snapshot: accounts_to_open(desired, seen).into_iter().collect(),
        operations: recorded_operations(status),
        endpoints,
        accounts,
    }
}

/// Operations that status recorded. Status is untrusted: an entry without a legal resource id is no operation.
fn recorded_operations(status: &SecureRegistryStatus) -> Vec<Operation> {
    let operation = |recorded: &sreg_api::status::OperationStatus| {
        Some(Operation {
            step: recorded.step.as_str().into(),
            resource: recorded.resource_id.parse().ok()?,
            poll_url: recorded.poll_url.clone(),
            started_at: recorded
                .started_at
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        })
    };
    status.operations.iter().filter_map(operation).collect()
}

/// What decides how names answer, by resource: endpoints with their state, addresses and zone groups; zones with their links.
/// Only what is known, absence included: not knowing is no change.
fn names_of(azure: &AzureSeen) -> BTreeMap<ArmId, Digest> {
    let endpoints = azure
        .endpoints
        .iter()
        .filter_map(|(id, fact)| Some((id, if_known(fact, endpoint_parts)?)));
    let zones = azure
        .zones
        .iter()
        .filter_map(|(id, fact)| Some((id, if_known(fact, link_parts)?)));
    endpoints
        .chain(zones)
        .map(|(id, parts)| (id.clone(), digest(&parts)))
        .collect()
}

/// Zones of our zone groups, by endpoint of ours.
fn zone_groups_of(azure: &AzureSeen, owner: &str) -> BTreeMap<ArmId, Vec<ArmId>> {
    let seen = azure.endpoints.iter().filter_map(|(id, fact)| Some((id, fact.seen()?)));
    let ours = seen.filter(|(_, endpoint)| endpoint.owner.as_deref() == Some(owner));
    let zones = ours.filter_map(|(id, endpoint)| {
        let group = endpoint
            .zone_groups
            .seen()?
            .iter()
            .find(|g| g.id.name() == ZONE_GROUP)?;
        Some((id.clone(), group.zones.clone()))
    });
    zones.collect()
}

fn if_known<T>(fact: &Fact<T>, parts: impl Fn(&T) -> Option<Vec<String>>) -> Option<Vec<String>> {
    match fact {
        Fact::Seen(value) => parts(value),
        Fact::Absent => Some(Vec::new()),
        Fact::Unknown(_) => None,
    }
}

fn endpoint_parts(endpoint: &EndpointSeen) -> Option<Vec<String>> {
    let mut parts: Vec<String> = endpoint
        .members
        .seen()?
        .iter()
        .map(|member| format!("{} {}", member.member, member.address))
        .collect();
    for group in endpoint.zone_groups.seen()? {
        let state = group.provisioning_state.to_ascii_lowercase();
        parts.extend(
            group
                .zones
                .iter()
                .map(|zone| format!("{} {state} {}", group.id.key(), zone.key())),
        );
    }
    parts.sort();
    parts.push(endpoint.is_ready().to_string());
    Some(parts)
}

fn link_parts(zone: &ZoneSeen) -> Option<Vec<String>> {
    let link = |link: &LinkSeen| format!("{} {} {}", link.id.key(), link.virtual_network.key(), link.completed);
    let mut parts: Vec<String> = zone.links.seen()?.iter().map(link).collect();
    parts.sort();
    parts.push("exists".into());
    Some(parts)
}

fn digest(parts: &[String]) -> Digest {
    Digest::of_parts(parts.iter().map(String::as_str))
}

/// One read from the API server within its deadline; a failure is a reason for not knowing.
async fn read<T>(
    context: &Context,
    attempt: String,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Ignorance> {
    let deadline = context.settings.read_deadline;
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ignorance(attempt, &error)),
        Err(_) => Err(no_answer(attempt, deadline)),
    }
}

fn no_answer(attempt: String, deadline: Duration) -> Ignorance {
    let message = format!("no answer within {}", sreg_domain::duration::show(deadline));
    Ignorance {
        kind: IgnoranceKind::Unreachable,
        attempt,
        message,
        code: None,
        correlation_id: None,
        retry_after: None,
    }
}

/// What the API server (or the way to it) said. It repeats what people and admission webhooks wrote.
fn ignorance(attempt: String, error: &kube::Error) -> Ignorance {
    let (kind, message, code) = if let kube::Error::Api(status) = error {
        let kind = match status.code {
            401 | 403 => IgnoranceKind::Forbidden,
            429 => IgnoranceKind::Throttled,
            500.. => IgnoranceKind::Unreachable,
            _ => IgnoranceKind::Refused,
        };
        (
            kind,
            status.message.clone(),
            Some(words(&status.reason, LONGEST_NAME).into_owned()).filter(|reason| !reason.is_empty()),
        )
    } else if let kube::Error::SerdeError(cause) = error {
        (IgnoranceKind::Nonsense, cause.to_string(), None)
    } else {
        (IgnoranceKind::Unreachable, error.to_string(), None)
    };
    Ignorance {
        attempt,
        kind,
        message: words(&message, LONGEST).into_owned(),
        code,
        correlation_id: None,
        retry_after: None,
    }
}

/// The same reason as a fact.
fn fact<T>(read: Result<Option<T>, Ignorance>) -> Fact<T> {
    match read {
        Ok(Some(value)) => Fact::Seen(value),
        Ok(None) => Fact::Absent,
        Err(why) => Fact::Unknown(why),
    }
}
