//! The cluster's side: the claim, the vantage points and their agents, the probes, the snapshot, approvals and
//! break-glasses. Each is read live; each failure is a fact of its own.
//!
//! | resource | verbs | where |
//! | --- | --- | --- |
//! | leases, configmaps | get | operator's namespace |
//! | secureregistries | get | everywhere served |
//! | vantagepoints | get | cluster |
//! | leases | get | the vantage points' namespaces |
//! | connectivityprobes | list | cluster |
//! | changeapprovals, breakglasses | list | everywhere served |

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Resource, ResourceExt};
use serde_json::Value;
use sreg_api::approval::{BreakGlassSpec, ChangeApprovalSpec};
use sreg_api::names::{
    self, ANNOTATION_CREATES_REGISTRY, ANNOTATION_SILENT_SINCE, LABEL_REGISTRY_UID, LABEL_VANTAGE_POINT,
};
use sreg_api::probe::ConnectivityProbeStatus;
use sreg_api::{BreakGlass, ChangeApproval, ConnectivityProbe};
use sreg_domain::action::Snapshot;
use sreg_domain::desired::ObjectRef;
use sreg_domain::outside::{LONGEST, LONGEST_REASON, harmless, words};
use sreg_domain::seen::{
    ApprovalSeen, BreakGlassSeen, Claim, ClusterSeen, Fact, Ignorance, IgnoranceKind, ProbeSeen, VantagePointSeen,
};
use sreg_domain::{Desired, Digest, duration, naming};

use super::{fact, read, read_live, vantage};
use crate::context::Context;
use crate::paging;
use crate::writer::ClusterWriter;

/// Key of the snapshot within its ConfigMap.
pub(crate) const SNAPSHOT_KEY: &str = "snapshot.json";

/// Reads everything at once.
pub(super) async fn observe(context: &Context, object: &ObjectRef, desired: &Desired) -> ClusterSeen {
    let named: BTreeSet<String> = desired
        .client_networks()
        .iter()
        .map(|network| network.vantage_point.clone())
        .collect();
    context.memories.looks_from(&object.uid, named.clone());
    let (lease, config_map) = (
        naming::claim_name(&desired.registry),
        naming::snapshot_name(&desired.registry),
    );
    let published = naming::published_dns_name(&desired.registry);
    let (claim, vantage_points, probes, snapshot, published_dns, approvals, break_glasses) = tokio::join!(
        claim(context, object, &lease),
        vantage::observe(context, &named),
        probes(context, &object.uid),
        snapshot(context, &config_map),
        published_dns(context, &published),
        approvals(context, object),
        break_glasses(context, object),
    );
    let probes = by_vantage_point(probes, &object.uid, &vantage_points);
    let mut seen = ClusterSeen {
        claim,
        vantage_points,
        probes,
        snapshot: Fact::Absent,
        restored: None,
        published_dns,
        approvals,
        break_glasses,
    };
    seen.take_in(snapshot);
    seen
}

/// Who holds the claim, and whether that object is still there.
async fn claim(context: &Context, object: &ObjectRef, name: &str) -> Fact<Claim> {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), &context.settings.operator_namespace);
    let lease = match read(context, format!("read lease {name}"), api.get_opt(name)).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return Fact::Absent,
        Err(why) => return Fact::Unknown(why),
    };
    let claim = claim_of(&lease);
    let alive = claim.uid == object.uid || is_alive(&context.writer(), &claim).await;
    Fact::Seen(Claim { alive, ..claim })
}

/// Takes `namespace/name/uid` apart. Whatever else stands there holds the claim under that name and no uid. Whether it is alive is
/// not asked.
pub(crate) fn claim_of(lease: &Lease) -> Claim {
    let identity = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.clone())
        .unwrap_or_default();
    let (holder, uid) = match identity.rsplit_once('/') {
        Some((holder, uid)) if holder.contains('/') => (holder.to_owned(), uid.to_owned()),
        Some(_) | None => (identity, String::new()),
    };
    Claim {
        holder,
        uid,
        alive: true,
        creates: lease.annotations().get(ANNOTATION_CREATES_REGISTRY).cloned(),
    }
}

/// Whether the holder of a claim still exists. Only a clear answer of the API server says that it does not.
pub(crate) async fn is_alive(writer: &ClusterWriter, claim: &Claim) -> bool {
    let Some((namespace, name)) = claim.holder.split_once('/') else {
        return true;
    };
    // Whatever somebody wrote into the Lease reaches no other path; a holder that cannot exist is not known to be gone.
    if !names::is_dns_subdomain(namespace) || !names::is_dns_subdomain(name) {
        return true;
    }
    match read_live(writer, namespace, name).await {
        Ok(Some(holder)) => holder.reference.uid == claim.uid,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// All probes that carry the object's uid, unparsed: one broken probe must not hide the others.
async fn probes(context: &Context, uid: &str) -> Result<Vec<DynamicObject>, Ignorance> {
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &ApiResource::erase::<ConnectivityProbe>(&()));
    let selected = ListParams::default().labels(&format!("{LABEL_REGISTRY_UID}={uid}"));
    let list = read(
        context,
        format!("list connectivityprobes with label {LABEL_REGISTRY_UID}={uid}"),
        api.list(&selected),
    )
    .await?;
    Ok(list.items)
}

/// Sorts probes by vantage point. Only what bears the deterministic name is ours; one that stands in a namespace which its
/// vantage point has left is listed as `name@namespace`, a vantage point that no spec can name, and so gets cleaned up.
fn by_vantage_point(
    probes: Result<Vec<DynamicObject>, Ignorance>,
    uid: &str,
    vantage_points: &BTreeMap<String, Fact<VantagePointSeen>>,
) -> BTreeMap<String, Fact<ProbeSeen>> {
    let probes = match probes {
        Ok(probes) => probes,
        Err(why) => {
            return vantage_points
                .keys()
                .map(|name| (name.clone(), Fact::Unknown(why.clone())))
                .collect();
        }
    };
    let mut facts: BTreeMap<String, Fact<ProbeSeen>> =
        vantage_points.keys().map(|name| (name.clone(), Fact::Absent)).collect();
    for probe in probes {
        let Some(point) = probe
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(LABEL_VANTAGE_POINT))
            .cloned()
        else {
            continue;
        };
        if probe.metadata.name.as_deref() != Some(naming::probe_name(uid, &point).as_str()) {
            continue;
        }
        let namespace = probe.metadata.namespace.clone().unwrap_or_default();
        let lives_elsewhere = vantage_points
            .get(&point)
            .and_then(Fact::seen)
            .is_some_and(|seen| seen.namespace != namespace);
        let key = if lives_elsewhere {
            format!("{point}@{namespace}")
        } else {
            point
        };
        facts.insert(key, probe_of(probe));
    }
    facts
}

fn probe_of(probe: DynamicObject) -> Fact<ProbeSeen> {
    let DynamicObject { metadata, mut data, .. } = probe;
    let namespace = metadata.namespace.unwrap_or_default();
    let silent_since = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(ANNOTATION_SILENT_SINCE))
        .and_then(|since| since.parse().ok());
    let name = metadata.name.unwrap_or_default();
    let spec = match serde_json::from_value(data.get_mut("spec").map(Value::take).unwrap_or_default()) {
        Ok(spec) => spec,
        Err(error) => return Fact::Unknown(nonsense(format!("read ConnectivityProbe {namespace}/{name}"), &error)),
    };
    // What the agent wrote and we cannot read is no evidence.
    let status = data
        .get_mut("status")
        .map(Value::take)
        .and_then(|status| serde_json::from_value(status).ok())
        .map(in_harmless_words);
    Fact::Seen(ProbeSeen {
        namespace,
        name,
        generation: metadata.generation.unwrap_or_default(),
        spec,
        status,
        silent_since,
    })
}

/// An agent's sentences are for people. What is compared stays as the agent wrote it: echoes, names and addresses.
fn in_harmless_words(mut status: ConnectivityProbeStatus) -> ConnectivityProbeStatus {
    let make = |text: &mut String| *text = words(text, LONGEST_REASON).into_owned();
    make(&mut status.summary);
    status.first_failure.iter_mut().for_each(make);
    for result in &mut status.results {
        make(&mut result.message);
        result.silent_dns_servers.iter_mut().for_each(make);
    }
    status
}

/// What was before the lock.
async fn snapshot(context: &Context, name: &str) -> Fact<Snapshot> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.operator_namespace);
    let attempt = format!("read ConfigMap {name}");
    let read = read(context, attempt.clone(), api.get_opt(name)).await;
    let Ok(Some(map)) = read else {
        return fact(read.map(|_| None));
    };
    match snapshot_of(&map) {
        Ok(snapshot) => Fact::Seen(snapshot),
        Err(error) => Fact::Unknown(nonsense(attempt, &error)),
    }
}

/// What was published for external DNS.
async fn published_dns(context: &Context, name: &str) -> Fact<BTreeMap<String, String>> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.operator_namespace);
    let read = read(context, format!("read ConfigMap {name}"), api.get_opt(name)).await;
    fact(read).map(|map| map.data.unwrap_or_default())
}

/// The snapshot within a ConfigMap.
pub(crate) fn snapshot_of(map: &ConfigMap) -> Result<Snapshot, serde_json::Error> {
    serde_json::from_str(
        map.data
            .as_ref()
            .and_then(|data| data.get(SNAPSHOT_KEY))
            .map_or("", String::as_str),
    )
}

/// Approvals for this object. One that is being deleted is withdrawn.
async fn approvals(context: &Context, object: &ObjectRef) -> Fact<Vec<ApprovalSeen>> {
    live::<ChangeApproval, _>(context, object, approval_of).await
}

/// The object that an approval names, and what it approves. `None`: it does not parse.
pub(crate) fn approval_of(metadata: &ObjectMeta, spec: Value, status: Value) -> Option<(String, ApprovalSeen)> {
    let spec: ChangeApprovalSpec = serde_json::from_value(spec).ok()?;
    let approval = ApprovalSeen {
        name: metadata.name.clone()?,
        change: spec.change,
        digest: Digest::from_text(&spec.digest),
        // Whole: who it was must not look like somebody else.
        approved_by: harmless(&spec.approved_by).into_owned(),
        uid: metadata.uid.clone()?,
        status: serde_json::from_value(status).ok(),
    };
    Some((spec.secure_registry_name, approval))
}

/// Break-glasses for this object. Deleting one ends it.
pub(super) async fn break_glasses(context: &Context, object: &ObjectRef) -> Fact<Vec<BreakGlassSeen>> {
    live::<BreakGlass, _>(context, object, break_glass_of).await
}

/// The object that a break-glass names, and what it asks for. `None`: it does not parse.
pub(crate) fn break_glass_of(metadata: &ObjectMeta, spec: Value, status: Value) -> Option<(String, BreakGlassSeen)> {
    let spec: BreakGlassSpec = serde_json::from_value(spec).ok()?;
    let glass = BreakGlassSeen {
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        status: serde_json::from_value(status).ok(),
        created_at: metadata.creation_timestamp.as_ref()?.0,
        duration: duration::parse(&spec.duration)?,
        reason: words(&spec.reason, LONGEST_REASON).into_owned(),
        requested_by: harmless(&spec.requested_by).into_owned(),
    };
    Some((spec.secure_registry_name, glass))
}

/// How many objects are asked for at once: each may be as large as the API server takes, and many passes ask.
const PAGE: u32 = 20;

/// Those of one kind that name the object, without what is being deleted. Whatever else people wrote is let go with its page.
async fn live<K: Resource<DynamicType = ()>, T>(
    context: &Context,
    object: &ObjectRef,
    parse: impl Fn(&ObjectMeta, Value, Value) -> Option<(String, T)>,
) -> Fact<Vec<T>> {
    let (client, namespace) = (context.client.clone(), &object.namespace);
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &ApiResource::erase::<K>(&()));
    let attempt = format!("list {} in namespace {namespace}", K::plural(&()));
    let all = async {
        let (api, mut kept) = (&api, Vec::new());
        let list = |params| async move { api.list(&params).await };
        paging::each_item(PAGE, list, |found: DynamicObject| {
            let DynamicObject { metadata, mut data, .. } = found;
            let mut part = |key: &str| data.get_mut(key).map(Value::take).unwrap_or_default();
            let parsed = parse(&metadata, part("spec"), part("status"));
            let ours = parsed.filter(|(names, _)| *names == object.name && metadata.deletion_timestamp.is_none());
            kept.extend(ours.map(|(_, ours)| ours));
        })
        .await?;
        Ok(kept)
    };
    read(context, attempt, all).await.map_or_else(Fact::Unknown, Fact::Seen)
}

fn nonsense(attempt: String, error: &serde_json::Error) -> Ignorance {
    Ignorance {
        attempt,
        kind: IgnoranceKind::Nonsense,
        message: words(&error.to_string(), LONGEST).into_owned(),
        code: None,
        correlation_id: None,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A new line that looks like one of ours, an escape of a terminal's, a turned direction of writing, and markup.
    const NASTY: &str = "no\r\nLocked\u{1b}[2K\u{202e}x<script/>";
    const HARMLESS: &str = "no Locked\u{fffd}[2K\u{fffd}x‹script/›";

    fn metadata() -> ObjectMeta {
        serde_json::from_value(
            json!({"name": "x", "namespace": "n", "uid": "u", "creationTimestamp": "2026-11-23T10:00:00Z"}),
        )
        .unwrap()
    }

    fn object(spec: Value, status: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": metadata(), "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn what_an_agent_says_is_harmless_and_what_it_echoes_stays_as_it_is() {
        let spec = json!({"secureRegistry": {"namespace": "n", "name": "r", "uid": "u"}, "vantagePoint": "v",
            "vantagePointUid": "u", "vantagePointGeneration": 1, "serviceAccountName": "a", "subject": "s", "round": 1,
            "intervalMilliseconds": 1000, "consecutiveSuccesses": 3, "paths": []});
        let result = json!({"fqdn": NASTY, "outcome": "Failed", "hop": "Tcp", "message": format!("{NASTY}{}", "x".repeat(5000)),
            "addresses": [NASTY], "cnameChain": [NASTY], "silentDnsServers": [NASTY], "successes": 0, "failures": 3});
        let status =
            json!({"round": 1, "subject": NASTY, "summary": NASTY, "firstFailure": NASTY, "results": [result]});
        let Fact::Seen(probe) = probe_of(object(spec, status)) else {
            panic!("not read")
        };
        let status = probe.status.unwrap();
        let result = &status.results[0];
        assert_eq!(
            (status.summary.as_str(), status.first_failure.as_deref()),
            (HARMLESS, Some(HARMLESS))
        );
        assert!(result.message.starts_with(HARMLESS) && result.message.len() <= LONGEST_REASON);
        assert_eq!(result.silent_dns_servers, [HARMLESS]);
        assert_eq!(
            (
                &status.subject,
                &result.fqdn,
                &result.addresses[0],
                &result.cname_chain[0]
            ),
            (
                &NASTY.to_owned(),
                &NASTY.to_owned(),
                &NASTY.to_owned(),
                &NASTY.to_owned()
            )
        );
    }

    #[test]
    fn what_people_give_as_reason_and_name_is_harmless_and_a_name_stays_another_one() {
        let glass =
            json!({"secureRegistryName": "r", "reason": NASTY, "requestedBy": "ali\u{200b}ce", "duration": "1h"});
        let (_, glass) = break_glass_of(&metadata(), glass, Value::Null).unwrap();
        assert_eq!(
            (glass.reason.as_str(), glass.requested_by.as_str()),
            (HARMLESS, "ali\u{fffd}ce")
        );
        let approval =
            json!({"secureRegistryName": "r", "change": "Lockdown", "digest": "0123456789abcdef", "approvedBy": NASTY});
        let (_, approval) = approval_of(&metadata(), approval, Value::Null).unwrap();
        assert!(approval.approved_by.ends_with("x‹script/›") && !approval.approved_by.contains('\n'));
    }
}
