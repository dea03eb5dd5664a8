//! Names: zones, zone groups, records, links, in that order; links last, so that no linked network ever asks an empty zone.
//!
//! | mode | zones | zone groups | links | ready when |
//! | --- | --- | --- | --- | --- |
//! | Managed | created if absent | ours, or a foreign one that fits | ours | records and links are complete |
//! | Existing | must exist | ours, or a foreign one that fits | ours | records and links are complete |
//! | Policy | – | somebody's | – | every endpoint has one that succeeded, and its records are there |
//! | External | – | – | – | the dns hop passes on every path |
//!
//! A record that holds other addresses in a zone that is not ours is another endpoint's live record: never overwritten.

use std::collections::BTreeSet;

use sreg_api::names::OWNER_TAG;
use sreg_api::registry::{DnsMode, ResolutionPolicy};
use sreg_domain::desired::EndpointPlace;
use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, LinkSeen, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, Fact, StepKind, naming};

use crate::askers;
use crate::contribution::{Contribution, azure_step};
use crate::endpoints::{WantedEndpoint, WantedEndpoints};
use crate::evidence::Evidence;
use crate::paths::Paths;
use crate::plan::{FindingReason, Step, WaitReason};
use crate::view::{WholeView, look_up, not_known};
use crate::{names, tags};

pub(crate) mod answerable;
mod external;
pub(crate) mod policy;
mod records;
pub(crate) mod writable;

use external::external;
use records::records_of;

/// Plans DNS of all places. Answers whether it is complete; `None` where that cannot be told.
pub(crate) fn plan(
    view: &WholeView<'_>,
    wanted: &WantedEndpoints<'_>,
    proof: (&Paths, &Evidence),
) -> (Contribution, Option<bool>) {
    let mut draft = Contribution::default();
    let mut verdict = if wanted.complete { Some(true) } else { None };
    for place in &view.spec.endpoints {
        let here: Vec<&WantedEndpoint<'_>> = wanted.all.iter().filter(|w| w.place.name == place.name).collect();
        let ready = match place.dns.mode {
            DnsMode::Managed | DnsMode::Existing => ours(view, place, &here, &mut draft),
            DnsMode::Policy => policy::plan(view, &here, &mut draft),
            DnsMode::External => external(view, place, (wanted, &here), proof, &mut draft),
        };
        verdict = both(verdict, ready);
    }
    (draft, verdict)
}

/// Zone groups of an endpoint; `None`, and waited for, where they cannot be read.
fn zone_groups<'a>(
    w: &WantedEndpoint<'_>,
    endpoint: &'a EndpointSeen,
    draft: &mut Contribution,
) -> Option<&'a [ZoneGroupSeen]> {
    match &endpoint.zone_groups {
        Fact::Seen(groups) => Some(groups),
        Fact::Absent => Some(&[]),
        unknown @ Fact::Unknown(_) => {
            let what = format!("zone groups of private endpoint {}", w.label());
            draft.wait(not_known(&what, unknown));
            None
        }
    }
}

/// `Some(false)` outweighs not knowing, which outweighs `Some(true)`.
fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, _) | (_, None) => None,
        (Some(true), Some(true)) => Some(true),
    }
}

fn ours(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    here: &[&WantedEndpoint<'_>],
    draft: &mut Contribution,
) -> Option<bool> {
    let mut verdict = Some(true);
    links_without_effect(view, place, draft);
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
        let of_group: Vec<&WantedEndpoint<'_>> = here.iter().copied().filter(|w| w.group == group).collect();
        let ready = zone_of_group(view, place, zone, &of_group, draft);
        verdict = both(verdict, ready);
    }
    verdict
}

fn zone_of_group(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    here: &[&WantedEndpoint<'_>],
    draft: &mut Contribution,
) -> Option<bool> {
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
    let linked = links(
        view,
        place,
        zone,
        seen,
        free == Some(true),
        records == Some(true),
        draft,
    );
    both(free.map(|_| true), both(records, linked))
}

fn absent_zone(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    free: Option<bool>,
    draft: &mut Contribution,
) {
    if place.dns.mode == DnsMode::Existing {
        return draft.waiting(
            WaitReason::ZoneAbsentStalled,
            format!("private DNS zone {zone} does not exist: create it, or correct spec.endpoints[{}].dns.privateDnsZoneResourceIds", place.name),
        );
    }
    if view.running(zone).is_some() {
        return draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still creating private DNS zone {}", zone.name()),
        );
    }
    if free == Some(true) {
        draft.azure.push(azure_step(
            StepKind::CreateZone.on(format!("{} {}", place.name, zone.name())),
            AzureAction::CreateZone {
                id: zone.clone(),
                tags: tags::in_dns(place),
                owner: view.desired.owner.clone(),
            },
        ));
    }
}

/// A network can be linked to one zone of a name only (azure.md §4.1): where it already is, that zone has to be used.
fn links_are_free(view: &WholeView<'_>, place: &EndpointPlace, zone: &ArmId, draft: &mut Contribution) -> Option<bool> {
    let elsewhere = match &view.seen.azure.zones_elsewhere {
        Fact::Seen(zones) => zones.as_slice(),
        Fact::Absent => &[],
        unknown => {
            draft.wait(not_known(
                "other private DNS zones that the networks are linked to",
                unknown,
            ));
            return None;
        }
    };
    let mut free = Some(true);
    for other in elsewhere
        .iter()
        .filter(|o| o.id != *zone && o.id.name().eq_ignore_ascii_case(zone.name()))
    {
        let linked = match &other.links {
            Fact::Seen(linked) => linked.as_slice(),
            Fact::Absent => &[],
            unknown @ Fact::Unknown(_) => {
                draft.wait(not_known(&format!("links of private DNS zone {}", other.id), unknown));
                free = both(free, None);
                continue;
            }
        };
        for network in linked
            .iter()
            .map(|l| &l.virtual_network)
            .filter(|n| place.dns.links.contains(n))
        {
            draft.waiting(
                WaitReason::ZoneLinkedElsewhereStalled,
                format!("{} is already linked to {}: take it out of linkVirtualNetworks, or have records written there (spec.endpoints[{}].dns.mode: Existing with that zone under privateDnsZoneResourceIds moves the records of all its networks there)", network.name(), other.id, place.name),
            );
            free = Some(false);
        }
    }
    free
}

fn links(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    seen: &ZoneSeen,
    free: bool,
    records: bool,
    draft: &mut Contribution,
) -> Option<bool> {
    let linked = match &seen.links {
        Fact::Seen(linked) => linked.as_slice(),
        Fact::Absent => &[],
        unknown => {
            draft.wait(not_known(
                &format!("links of private DNS zone {}", zone.name()),
                unknown,
            ));
            return None;
        }
    };
    let mut verdict = Some(true);
    if !records
        && place
            .dns
            .links
            .iter()
            .any(|n| !linked.iter().any(|l| l.virtual_network == *n))
    {
        draft.waiting(
            WaitReason::DnsPending,
            format!(
                "networks are linked to {} as soon as its records are complete",
                zone.name()
            ),
        );
    }
    for network in &place.dns.links {
        match linked.iter().find(|l| l.virtual_network == *network) {
            Some(link) if link.completed => {
                right_policy(view, place, zone, link, records, draft);
                continue;
            }
            Some(link) => draft.waiting(
                WaitReason::DnsPending,
                format!(
                    "the link of {} to {} is not complete yet",
                    network.name(),
                    link.id.parent().unwrap_or_else(|| zone.clone()).name()
                ),
            ),
            None => missing_link(view, place, zone, network, free && records, draft),
        }
        verdict = Some(false);
    }
    verdict
}

/// A link of ours gets the policy that the spec wants; another one is told.
fn right_policy(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    link: &LinkSeen,
    may: bool,
    draft: &mut Contribution,
) {
    let policy = place.dns.resolution_policy;
    let (wanted, found) = (policy.as_str(), link.resolution_policy.as_deref().unwrap_or("Default"));
    if found.eq_ignore_ascii_case(wanted) {
        return;
    }
    let network = &link.virtual_network;
    // One that lost its tag may be another object's: it gets the tag back first, from whoever made it.
    if Belonging::of_link(&view.desired.owner, link) != Belonging::Ours {
        let maker = naming::owner_in(&link.tags).map_or_else(
            || "somebody else".to_owned(),
            |owner| format!("{owner} (its tag {OWNER_TAG})"),
        );
        let version = view.desired.cloud.api_versions.of(&link.id.kind());
        let version = version.map_or_else(String::new, |version| format!("--api-version {version} "));
        return draft.find(
            FindingReason::SettingDiffers,
            format!("link {} was made by {maker} and has resolutionPolicy {found}, where entry {} wants {wanted}: ask whoever made it, or run az resource update --ids {} {version}--set properties.resolutionPolicy={wanted}", link.id, place.name, word(&link.id)),
        );
    }
    if !may || view.running(&link.id).is_some() {
        return;
    }
    draft.azure.push(link_step(
        StepKind::SetLinkPolicy,
        view,
        place,
        zone,
        (&link.id, network),
    ));
}

fn link_step(
    kind: StepKind,
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    link: (&ArmId, &ArmId),
) -> Step {
    let (id, network) = link;
    let policy = place.dns.resolution_policy;
    Step {
        touches: names::touched_by_link(zone, network, policy),
        ..azure_step(
            kind.on(format!("{} {} {}", place.name, zone.name(), network.name())),
            AzureAction::LinkZone {
                id: id.clone(),
                virtual_network: network.clone(),
                resolution_policy: policy,
                tags: tags::in_dns(place),
                owner: view.desired.owner.clone(),
            },
        )
    }
}

/// A network whose DNS servers all stand elsewhere never asks Azure's DNS in its own view: a link changes nothing for it.
fn links_without_effect(view: &WholeView<'_>, place: &EndpointPlace, draft: &mut Contribution) {
    for network in &place.dns.links {
        let Some(Fact::Seen(seen)) = view.seen.azure.virtual_networks.get(network) else {
            continue;
        };
        if askers::asks_in_its_own_view(seen) {
            continue;
        }
        let servers = seen.dns_servers.join(", ");
        let there = askers::networks_of_servers(view, seen);
        let there = if there.is_empty() {
            "stand in no network that is known here".to_owned()
        } else {
            format!("stand in {}, whose links count for it", there.join(", "))
        };
        draft.find(
            FindingReason::LinkWithoutEffect,
            format!(
                "linking {} changes nothing for its machines: its DNS servers {servers} {there}",
                network.name()
            ),
        );
    }
}

fn missing_link(
    view: &WholeView<'_>,
    place: &EndpointPlace,
    zone: &ArmId,
    network: &ArmId,
    may: bool,
    draft: &mut Contribution,
) {
    let id = zone.child("virtualNetworkLinks", &naming::link_name(network));
    if view.running(&id).is_some() {
        return draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still linking {} to {}", network.name(), zone.name()),
        );
    }
    if !may {
        return;
    }
    let policy = place.dns.resolution_policy;
    if policy == ResolutionPolicy::Default {
        draft.find(
            FindingReason::NamesOfOthers,
            format!("{} resolves names below {} from that zone alone once linked; resolutionPolicy: NxDomainRedirect keeps others resolvable", network.name(), zone.name()),
        );
    }
    draft
        .azure
        .push(link_step(StepKind::LinkZone, view, place, zone, (&id, network)));
}
