//! Names: zones, zone groups, records, links, in that order; links last, so that no linked network ever asks an empty zone.
//!
//! | mode | zones | zone groups | links | ready when |
//! | --- | --- | --- | --- | --- |
//! | Managed | created if absent | ours, or a foreign one that fits | ours | records and links are complete |
//! | Existing | must exist | ours, or a foreign one that fits | ours | records and links are complete |
//! | Policy | – | somebody's | – | every endpoint has one that succeeded |
//! | External | – | – | – | the dns hop passes on every path |
//!
//! A record that holds other addresses in a zone that is not ours is another endpoint's live record: never overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sreg_api::names::ZONE_GROUP;
use sreg_api::probe::Hop;
use sreg_api::registry::{DnsMode, ResolutionPolicy};
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::{EndpointSeen, Member, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, Fact, naming};

use crate::draft::{Draft, azure_step};
use crate::endpoints::{Standing, Wanted, WantedEndpoints, members, standing};
use crate::facts::{View, look_up, not_known};
use crate::names;
use crate::evidence::{Evidence, Look};
use crate::paths::Paths;
use crate::plan::{FindingReason, Step, WaitReason};

/// Plans DNS of all places. Answers whether it is complete; `None` where that cannot be told.
pub(crate) fn plan(view: &View<'_>, wanted: &WantedEndpoints<'_>, proof: (&Paths, &Evidence), draft: &mut Draft) -> Option<bool> {
    let mut verdict = if wanted.complete { Some(true) } else { None };
    for place in &view.desired.endpoints {
        let here: Vec<&Wanted<'_>> = wanted.all.iter().filter(|w| w.place.name == place.name).collect();
        let ready = match place.dns.mode {
            DnsMode::Managed | DnsMode::Existing => ours(view, place, &here, draft),
            DnsMode::Policy => by_policy(view, &here, draft),
            DnsMode::External => external(view, place, &here, proof, draft),
        };
        verdict = both(verdict, ready);
    }
    verdict
}

/// `Some(false)` outweighs not knowing, which outweighs `Some(true)`.
fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, _) | (_, None) => None,
        (Some(true), Some(true)) => Some(true),
    }
}

fn ours(view: &View<'_>, place: &EndpointPlace, here: &[&Wanted<'_>], draft: &mut Draft) -> Option<bool> {
    let mut verdict = Some(true);
    let groups: BTreeSet<EndpointGroup> = here.iter().map(|w| w.group).collect();
    for group in groups {
        let Some(zone) = place.dns.zones.get(&group) else {
            draft.waiting(
                WaitReason::ZoneAbsentStalled,
                format!("the storage has a hierarchical namespace: name the zone {} under spec.endpoints[{}].dns.privateDnsZoneResourceIds.dfs", view.desired.cloud.zone(group), place.name),
            );
            verdict = both(verdict, Some(false));
            continue;
        };
        let of_group: Vec<&Wanted<'_>> = here.iter().copied().filter(|w| w.group == group).collect();
        let ready = zone_of_group(view, place, zone, &of_group, draft);
        verdict = both(verdict, ready);
    }
    verdict
}

fn zone_of_group(view: &View<'_>, place: &EndpointPlace, zone: &ArmId, here: &[&Wanted<'_>], draft: &mut Draft) -> Option<bool> {
    let unread = Fact::not_read("nobody looked at the zone");
    let fact = look_up(&view.seen.azure.zones, zone, &unread);
    let free = links_are_free(view, place, zone, draft);
    let seen = match fact {
        Fact::Unknown(_) => {
            draft.wait(not_known(&format!("private DNS zone {zone}"), fact));
            return None;
        }
        Fact::Absent => {
            absent_zone(view, place, zone, free, draft);
            return Some(false);
        }
        Fact::Seen(seen) => seen,
    };
    let mut records = Some(true);
    for w in here {
        records = both(records, records_of(view, w, zone, seen, draft));
    }
    let linked = links(view, place, zone, seen, free == Some(true), records == Some(true), draft);
    both(free.map(|_| true), both(records, linked))
}

fn absent_zone(view: &View<'_>, place: &EndpointPlace, zone: &ArmId, free: Option<bool>, draft: &mut Draft) {
    if place.dns.mode == DnsMode::Existing {
        return draft.waiting(
            WaitReason::ZoneAbsentStalled,
            format!("private DNS zone {zone} does not exist: create it, or correct spec.endpoints[{}].dns.privateDnsZoneResourceIds", place.name),
        );
    }
    if view.running(zone).is_some() {
        return draft.waiting(WaitReason::OperationInProgress, format!("Azure is still creating private DNS zone {}", zone.name()));
    }
    if let Some(failure) = view.refused(zone) {
        return draft.waiting(WaitReason::RefusedStalled, crate::facts::in_azures_words(failure));
    }
    if free == Some(true) {
        draft.azure.push(azure_step(
            format!("create-zone {} {}", place.name, zone.name()),
            AzureAction::CreateZone { id: zone.clone(), owner: view.desired.owner.clone() },
        ));
    }
}

/// A network can be linked to one zone of a name only (azure.md §4.1): where it already is, that zone has to be used.
fn links_are_free(view: &View<'_>, place: &EndpointPlace, zone: &ArmId, draft: &mut Draft) -> Option<bool> {
    let elsewhere = match &view.seen.azure.zones_elsewhere {
        Fact::Seen(zones) => zones.as_slice(),
        Fact::Absent => &[],
        unknown => {
            draft.wait(not_known("other private DNS zones that the networks are linked to", unknown));
            return None;
        }
    };
    let mut free = Some(true);
    for other in elsewhere.iter().filter(|o| o.id != *zone && o.id.name().eq_ignore_ascii_case(zone.name())) {
        let Fact::Seen(linked) = &other.links else {
            draft.wait(not_known(&format!("links of private DNS zone {}", other.id), &other.links));
            free = both(free, None);
            continue;
        };
        for network in linked.iter().map(|l| &l.virtual_network).filter(|n| place.dns.links.contains(n)) {
            draft.waiting(
                WaitReason::ZoneLinkedElsewhereStalled,
                format!("{} is already linked to {}: set spec.endpoints[{}].dns.mode: Existing and name that zone under privateDnsZoneResourceIds", network.name(), other.id, place.name),
            );
            free = Some(false);
        }
    }
    free
}

/// What a zone must answer for an endpoint: record name to addresses.
pub(crate) fn wanted_records(view: &View<'_>, w: &Wanted<'_>, members: &[Member]) -> BTreeMap<String, BTreeSet<IpAddr>> {
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

fn differing<'a>(wanted: &'a BTreeMap<String, BTreeSet<IpAddr>>, held: &BTreeMap<String, Vec<IpAddr>>) -> Vec<(&'a String, bool)> {
    let held_for = |name: &String| held.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, a)| a.iter().copied().collect::<BTreeSet<_>>());
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
fn records_of(view: &View<'_>, w: &Wanted<'_>, zone: &ArmId, seen: &ZoneSeen, draft: &mut Draft) -> Option<bool> {
    let Standing::Ready(endpoint) = standing(view, &w.id, w.target) else { return Some(false) };
    // The endpoint gate says what is missing.
    let members = members(view, w)?;
    let groups = match &endpoint.zone_groups {
        Fact::Seen(groups) => groups.as_slice(),
        Fact::Absent => &[],
        unknown => {
            draft.wait(not_known(&format!("zone groups of private endpoint {}", w.label()), unknown));
            return None;
        }
    };
    let held = match &seen.records {
        Fact::Seen(held) => held.clone(),
        Fact::Absent => BTreeMap::new(),
        unknown => {
            draft.wait(not_known(&format!("records of private DNS zone {}", zone.name()), unknown));
            return None;
        }
    };
    let wanted = wanted_records(view, w, members);
    let differing = differing(&wanted, &held);
    let overwritten = differing.iter().find(|(_, held)| *held).map(|(name, _)| *name);
    if let Some(name) = overwritten
        && seen.owner.as_deref() != Some(view.desired.owner.as_str())
    {
        draft.waiting(
            WaitReason::ForeignResourceStalled,
            format!("record {name} in {zone} holds another endpoint's addresses: remove that record if nobody uses it, or give entry {} another zone", w.place.name),
        );
        return Some(false);
    }
    zone_group(view, w, endpoint, groups, zone, differing.is_empty(), draft)
}

fn zone_group(view: &View<'_>, w: &Wanted<'_>, endpoint: &EndpointSeen, groups: &[ZoneGroupSeen], zone: &ArmId, complete: bool, draft: &mut Draft) -> Option<bool> {
    let own = endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP);
    let fits = |g: &&ZoneGroupSeen| g.zones.contains(zone);
    let label = w.label();
    if let Some(failure) = view.refused(&own) {
        draft.waiting(WaitReason::RefusedStalled, crate::facts::in_azures_words(failure));
        return Some(false);
    }
    if view.running(&own).is_some() {
        draft.waiting(WaitReason::OperationInProgress, format!("Azure is still writing the zone group of private endpoint {label}"));
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
                draft.find(FindingReason::ForeignZoneGroup, format!("zone group {} serves private endpoint {label}; it is left alone", group.id.name()));
            }
            if !group.provisioning_state.eq_ignore_ascii_case("Succeeded") || !complete {
                draft.waiting(WaitReason::DnsPending, format!("records of private endpoint {label} are not complete in {} yet", zone.name()));
                return Some(false);
            }
            Some(true)
        }
    }
}

fn put_zone_group(view: &View<'_>, w: &Wanted<'_>, own: ArmId, zone: &ArmId) -> Step {
    Step {
        touches: names::touched_by_zone_group(view, w, zone),
        ..azure_step(format!("put-zone-group {}", w.label()), AzureAction::PutZoneGroup { id: own, zones: vec![zone.clone()] })
    }
}

/// A zone group exists and points elsewhere. Ours is made again, with a gap in between, so only while everything is open.
fn misplaced(view: &View<'_>, w: &Wanted<'_>, own: &ArmId, groups: &[ZoneGroupSeen], zone: &ArmId, draft: &mut Draft) -> Option<bool> {
    let foreign = groups.iter().find(|g| g.id != *own);
    match foreign {
        Some(group) => draft.waiting(
            WaitReason::ForeignResourceStalled,
            format!("zone group {} of private endpoint {} points at other zones than {zone}: remove it, or set dns.mode: Policy for entry {}", group.id, w.label(), w.place.name),
        ),
        None if view.all_open() => draft.azure.push(Step {
            touches: names::touched_by_zone_group(view, w, zone),
            ..azure_step(format!("delete-zone-group {}", w.label()), AzureAction::DeleteZoneGroup { id: own.clone() })
        }),
        None => draft.waiting(
            WaitReason::DnsChangeStalled,
            format!("the records of private endpoint {} would have to move to {zone}, which cuts clients off while public access is closed: set publicAccess.desired: Enabled first, or put the former zone back", w.label()),
        ),
    }
    Some(false)
}

fn links(view: &View<'_>, place: &EndpointPlace, zone: &ArmId, seen: &ZoneSeen, free: bool, records: bool, draft: &mut Draft) -> Option<bool> {
    let linked = match &seen.links {
        Fact::Seen(linked) => linked.as_slice(),
        Fact::Absent => &[],
        unknown => {
            draft.wait(not_known(&format!("links of private DNS zone {}", zone.name()), unknown));
            return None;
        }
    };
    let mut verdict = Some(true);
    for network in &place.dns.links {
        match linked.iter().find(|l| l.virtual_network == *network) {
            Some(link) if link.completed => continue,
            Some(link) => draft.waiting(WaitReason::DnsPending, format!("the link of {} to {} is not complete yet", network.name(), link.id.parent().unwrap_or_else(|| zone.clone()).name())),
            None => missing_link(view, place, zone, network, free && records, draft),
        }
        verdict = Some(false);
    }
    verdict
}

fn missing_link(view: &View<'_>, place: &EndpointPlace, zone: &ArmId, network: &ArmId, may: bool, draft: &mut Draft) {
    let id = zone.child("virtualNetworkLinks", &naming::link_name(network));
    if view.running(&id).is_some() {
        return draft.waiting(WaitReason::OperationInProgress, format!("Azure is still linking {} to {}", network.name(), zone.name()));
    }
    if let Some(failure) = view.refused(&id) {
        return draft.waiting(WaitReason::RefusedStalled, crate::facts::in_azures_words(failure));
    }
    if !may {
        return draft.waiting(WaitReason::DnsPending, format!("{} is linked to {} as soon as its records are complete", network.name(), zone.name()));
    }
    let policy = place.dns.resolution_policy;
    if policy == ResolutionPolicy::Default {
        draft.find(
            FindingReason::NamesOfOthers,
            format!("{} resolves names below {} from that zone alone once linked; resolutionPolicy: NxDomainRedirect keeps others resolvable", network.name(), zone.name()),
        );
    }
    draft.azure.push(Step {
        touches: names::touched_by_link(zone, network, policy),
        ..azure_step(
            format!("link-zone {} {} {}", place.name, zone.name(), network.name()),
            AzureAction::LinkZone { id, virtual_network: network.clone(), resolution_policy: policy, owner: view.desired.owner.clone() },
        )
    });
}

fn by_policy(view: &View<'_>, here: &[&Wanted<'_>], draft: &mut Draft) -> Option<bool> {
    let mut verdict = Some(true);
    for w in here {
        let Standing::Ready(endpoint) = standing(view, &w.id, w.target) else {
            verdict = both(verdict, Some(false));
            continue;
        };
        let succeeded = |groups: &Vec<ZoneGroupSeen>| groups.iter().any(|g| g.provisioning_state.eq_ignore_ascii_case("Succeeded"));
        match &endpoint.zone_groups {
            Fact::Seen(groups) if succeeded(groups) => {}
            Fact::Seen(_) | Fact::Absent => {
                draft.waiting(
                    WaitReason::DnsByPolicyPending,
                    format!("no Azure Policy has made a zone group for private endpoint {} yet: check its assignment and remediation (built-in policies know no amlregistry and no manual connections), or set dns.mode: Managed", w.label()),
                );
                verdict = both(verdict, Some(false));
            }
            unknown => {
                draft.wait(not_known(&format!("zone groups of private endpoint {}", w.label()), unknown));
                verdict = both(verdict, None);
            }
        }
    }
    verdict
}

/// Probes decide: names are right when every path of the place gets past its dns hop.
fn external(view: &View<'_>, place: &EndpointPlace, here: &[&Wanted<'_>], proof: (&Paths, &Evidence), draft: &mut Draft) -> Option<bool> {
    if here.iter().any(|w| members(view, w).is_none()) {
        return Some(false);
    }
    let (paths, evidence) = proof;
    let resolves = |look: &Look| match look {
        Look::Passes(_) | Look::Fails(Hop::Tcp | Hop::Tls | Hop::Http, ..) => true,
        Look::Fails(Hop::Dns, ..) | Look::Nothing(_) => false,
    };
    let unresolved = paths.all.iter().zip(&evidence.looks).filter(|(r, look)| here.iter().any(|w| w.id == r.endpoint) && !resolves(look));
    let mut open: Vec<String> = unresolved.map(|(r, _)| format!("{} → {}", r.path.fqdn, r.path.addresses.join(" "))).collect();
    if open.is_empty() {
        return Some(true);
    }
    open.sort();
    open.dedup();
    draft.waiting(WaitReason::DnsExternalPending, format!("make DNS answer for the clients of entry {}: {}", place.name, open.join("; ")));
    Some(false)
}
