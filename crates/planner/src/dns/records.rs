//! Records: our zone groups below our endpoints, and what the zones then answer. A record that serves somebody is never
//! overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sreg_api::names::ZONE_GROUP;
use sreg_api::registry::DnsMode;
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, Member, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{ArmId, AzureAction, Fact, StepKind};

use super::zone_groups;
use crate::contribution::{Contribution, azure_step};
use crate::endpoints::{EndpointState, WantedEndpoint, endpoint_state, members};
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::view::{WholeView, not_known};
use crate::{names, tags};

/// How late records may be after their zone group was written.
const RECORDS_LAG: Duration = Duration::from_secs(20);

/// What a zone must answer for an endpoint: record name to addresses.
pub(super) fn wanted_records(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    members: &[Member],
) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut records: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for member in members {
        for fqdn in &member.fqdns {
            if let Some(name) = view.desired.cloud.record_name(w.group, fqdn) {
                records.entry(name).or_default().insert(member.address);
            }
        }
    }
    records
}

/// Records that a zone lacks or holds otherwise; whether it holds any address for them.
pub(super) fn differing<'a>(
    wanted: &'a BTreeMap<String, BTreeSet<IpAddr>>,
    held: &BTreeMap<String, Vec<IpAddr>>,
) -> Vec<(&'a String, bool)> {
    let held_for = |name: &String| {
        held.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, a)| a.iter().copied().collect::<BTreeSet<_>>())
    };
    wanted
        .iter()
        .filter_map(|(name, addresses)| match held_for(name) {
            Some(held) if held == *addresses => None,
            Some(held) => Some((name, !held.is_empty())),
            None => Some((name, false)),
        })
        .collect()
}

/// The zone group of one endpoint and its records.
pub(super) fn records_of(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    zone: &ArmId,
    seen: &ZoneSeen,
    draft: &mut Contribution,
) -> Option<bool> {
    let endpoint = match endpoint_state(view, &w.id, w.target) {
        EndpointState::Ready(endpoint) => endpoint,
        EndpointState::NotKnown => return None,
        EndpointState::Absent
        | EndpointState::Foreign(_)
        | EndpointState::Changing
        | EndpointState::Failed(_)
        | EndpointState::Pending
        | EndpointState::Refused(_) => return Some(false),
    };
    // The endpoint gate says what is missing.
    let members = members(view, w)?;
    let groups = zone_groups(w, endpoint, draft)?;
    let held = match &seen.records {
        Fact::Seen(held) => held.clone(),
        Fact::Absent => BTreeMap::new(),
        unknown => {
            draft.wait(not_known(
                &format!("records of private DNS zone {}", zone.name()),
                unknown,
            ));
            return None;
        }
    };
    let wanted = wanted_records(view, w, members);
    let differing = differing(&wanted, &held);
    let overwritten = differing.iter().find(|(_, held)| *held).map(|(name, _)| *name);
    if let Some(name) = overwritten
        && let Some(wait) = may_not_overwrite(view, w, zone, seen, name, &held)
    {
        draft.wait(wait);
        return Some(false);
    }
    zone_group(view, w, endpoint, groups, zone, differing.is_empty(), draft)
}

/// A record that holds other addresses: another endpoint's, in a zone that is not ours or of an endpoint that we know. Only what
/// a vanished endpoint left behind in our own zone is overwritten.
fn may_not_overwrite(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    zone: &ArmId,
    seen: &ZoneSeen,
    name: &str,
    held: &BTreeMap<String, Vec<IpAddr>>,
) -> Option<Wait> {
    let addresses = held
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, a)| a.as_slice())
        .unwrap_or_default();
    let carries = |e: &EndpointSeen| {
        e.members
            .seen()
            .is_some_and(|m| m.iter().any(|m| addresses.contains(&m.address)))
    };
    let former = view
        .seen
        .azure
        .endpoints
        .iter()
        .find(|(id, fact)| **id != w.id && fact.seen().is_some_and(carries));
    let unread = view.seen.azure.endpoints.iter().find(|(id, fact)| {
        **id != w.id && (fact.ignorance().is_some() || fact.seen().is_some_and(|e| e.members.ignorance().is_some()))
    });
    if let (None, Some((id, fact))) = (former, unread) {
        return Some(not_known(
            &format!("private endpoint {}, which may hold record {name},", id.name()),
            fact,
        ));
    }
    let (reason, message) = match former {
        Some((id, _)) if view.all_open() => (
            WaitReason::DnsPending,
            format!(
                "record {name} in {} still belongs to endpoint {}, which is being removed",
                zone.name(),
                id.name()
            ),
        ),
        Some((id, _)) => (
            WaitReason::DnsChangeStalled,
            format!(
                "record {name} in {} serves clients by endpoint {}: while public access is closed it is not moved to another; set spec.publicAccess.desired: Enabled first, or give entry {} zones of its own",
                zone.name(),
                id.name(),
                w.place.name
            ),
        ),
        None if seen.owner.as_deref() == Some(view.desired.owner.as_str()) => return None,
        None => (
            WaitReason::ForeignResourceStalled,
            format!(
                "record {name} in {zone} holds another endpoint's addresses: remove that record if nobody uses it (az resource delete --ids {}), or give entry {} another zone (spec.endpoints[].dns){}",
                word(&zone.child("A", name)),
                w.place.name,
                made_by_us(view, w, zone, seen)
            ),
        ),
    };
    Some(Wait::new(reason, message))
}

/// A zone that we may have made and whose tag somebody removed: its name does not tell.
fn made_by_us(view: &WholeView<'_>, w: &WantedEndpoint<'_>, zone: &ArmId, seen: &ZoneSeen) -> String {
    if w.place.dns.mode == DnsMode::Managed && seen.owner.is_none() {
        let command = tags::merge_command(zone, &view.desired.owner);
        format!("; if the zone was made for this object and has lost its tag, put it back: {command}")
    } else {
        String::new()
    }
}

fn zone_group(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    endpoint: &EndpointSeen,
    groups: &[ZoneGroupSeen],
    zone: &ArmId,
    complete: bool,
    draft: &mut Contribution,
) -> Option<bool> {
    let own = endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP);
    let fits = |g: &&ZoneGroupSeen| g.zones.contains(zone);
    let label = w.label();
    if view.running(&own).is_some() {
        draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still writing the zone group of private endpoint {label}"),
        );
        return Some(false);
    }
    match groups.iter().find(fits) {
        None if groups.is_empty() => {
            draft.azure.push(put_zone_group(view, w, own, zone));
            Some(false)
        }
        None => misplaced(view, w, &own, groups, zone, draft),
        Some(group) if group.provisioning_state.eq_ignore_ascii_case("Failed") && group.id == own => {
            draft.azure.push(put_zone_group(view, w, own, zone));
            Some(false)
        }
        Some(group) => {
            if group.id != own {
                draft.find(
                    FindingReason::ForeignZoneGroup,
                    format!(
                        "zone group {} serves private endpoint {label}; it is left alone",
                        group.id.name()
                    ),
                );
            }
            let written = group.provisioning_state.eq_ignore_ascii_case("Succeeded");
            if written && !complete && group.id == own && lag_left(view).is_zero() {
                // Azure writes records when the group is written and never looks again: who deleted one deleted it for good.
                draft.azure.push(put_zone_group(view, w, own, zone));
                return Some(false);
            }
            if !written || !complete {
                draft.looks.push(lag_left(view));
                draft.waiting(
                    WaitReason::DnsPending,
                    format!(
                        "records of private endpoint {label} are not complete in {} yet",
                        zone.name()
                    ),
                );
                return Some(false);
            }
            Some(true)
        }
    }
}

/// How much longer records that are missing may merely be late.
fn lag_left(view: &WholeView<'_>) -> Duration {
    RECORDS_LAG.saturating_sub(view.seen.memory.since_name_change.unwrap_or_default())
}

fn put_zone_group(view: &WholeView<'_>, w: &WantedEndpoint<'_>, own: ArmId, zone: &ArmId) -> Step {
    Step {
        touches: names::touched_by_zone_group(view, w, zone),
        ..azure_step(
            StepKind::PutZoneGroup.on(w.label()),
            AzureAction::PutZoneGroup {
                id: own,
                zones: vec![zone.clone()],
                owner: view.desired.owner.clone(),
            },
        )
    }
}

/// A zone group exists and points elsewhere. Ours is made again, with a gap in between, so only while everything is open.
fn misplaced(
    view: &WholeView<'_>,
    w: &WantedEndpoint<'_>,
    own: &ArmId,
    groups: &[ZoneGroupSeen],
    zone: &ArmId,
    draft: &mut Contribution,
) -> Option<bool> {
    let foreign = groups.iter().find(|g| g.id != *own);
    match foreign {
        Some(group) => draft.waiting(
            WaitReason::ForeignResourceStalled,
            format!("zone group {} of private endpoint {} points at other zones than {zone}: remove it (az resource delete --ids {}), or set spec.endpoints[{}].dns.mode: Policy", group.id, w.label(), word(&group.id), w.place.name),
        ),
        None if view.all_open() => draft.azure.push(Step {
            touches: names::touched_by_zone_group(view, w, zone),
            ..azure_step(
                StepKind::DeleteZoneGroup.on(w.label()),
                AzureAction::DeleteZoneGroup { id: own.clone(), owner: view.desired.owner.clone() },
            )
        }),
        None => draft.waiting(
            WaitReason::DnsChangeStalled,
            format!("the records of private endpoint {} would have to move to {zone}, which cuts clients off while public access is closed: set spec.publicAccess.desired: Enabled first, or put the former zone back", w.label()),
        ),
    }
    Some(false)
}
