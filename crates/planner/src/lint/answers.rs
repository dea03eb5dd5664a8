//! Names that resolve go on resolving: while everything is open, no endpoint is made whose records could not be written where its
//! networks ask, and none loses its records before the one that takes its place is ready, or while others live by them.

use sreg_api::registry::DnsMode;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::{EndpointSeen, LinkSeen, ZoneSeen};
use sreg_domain::{ArmId, AzureAction, Desired, EndpointGroup, Fact, Seen};

use super::ownership::{endpoint_of, is_made_by_us};
use super::{Lint, azure, proof};

pub(super) fn check(lint: &mut Lint<'_>) {
    zone_before_endpoint(lint);
    records_until_replaced(lint);
}

/// A zone group of an endpoint that nobody wants goes once another one can write the same records, or nobody asks its zones.
fn records_until_replaced(lint: &mut Lint<'_>) {
    let (desired, seen, plan) = (lint.desired, lint.seen, lint.plan);
    for action in plan.steps().filter_map(azure) {
        let AzureAction::DeleteZoneGroup { id, .. } = action else {
            continue;
        };
        let parent = id.parent();
        let endpoint = parent
            .and_then(|parent| seen.azure.endpoints.get(&parent))
            .and_then(Fact::seen);
        let Some(endpoint) = endpoint else { continue };
        let pairs = proof::needed(desired, seen).unwrap_or_default();
        let places = desired.endpoints().iter();
        let wanted: Vec<_> = places
            .flat_map(|place| pairs.iter().map(move |(group, target)| (place, *group, target)))
            .filter(|(_, group, target)| serves(endpoint, *group, target))
            .collect();
        let stays = wanted.iter().any(|(place, group, target)| {
            endpoint_of(desired, seen, place, *group, target).is_some_and(|e| e.id == endpoint.id)
        });
        if stays {
            continue;
        }
        let next = wanted.iter().find(|(place, group, _)| {
            place
                .dns
                .zones
                .get(group)
                .is_some_and(|zone| endpoint.zones().any(|written| written == zone))
        });
        if let (Some((place, group, target)), false) = (next, seen.object.deleting) {
            lint.demand(
                "answers",
                proof::ready(desired, seen, place, *group, target).is_some(),
                || format!("{id} goes before the endpoint that takes its place is ready"),
            );
        }
        // Who deletes the object is told; nobody else waits out the caches that remember where the names led.
        let names_stay = !seen.object.deleting || others_on(desired, seen, endpoint);
        let asked = endpoint.zones().any(|zone| is_asked(seen, zone));
        lint.demand("answers", !(names_stay && asked && next.is_none()), || {
            format!("{id} goes though networks that ask its zones would get no answer")
        });
    }
}

fn serves(endpoint: &EndpointSeen, group: EndpointGroup, target: &ArmId) -> bool {
    let id = endpoint.group_id.as_deref().unwrap_or_default();
    endpoint.target.as_ref() == Some(target) && id.eq_ignore_ascii_case(group.group_id())
}

/// Somebody else's endpoint is connected to the target.
fn others_on(desired: &Desired, seen: &Seen, endpoint: &EndpointSeen) -> bool {
    let azure = &seen.azure;
    let Some(target) = &endpoint.target else { return false };
    let connected = azure.targets.get(target).seen().map(|target| &target.private_endpoints);
    let ours = |id: &ArmId| {
        let endpoint = azure.endpoints.get(id).and_then(Fact::seen);
        endpoint.is_some_and(|e| is_made_by_us(e, &desired.owner))
    };
    let gone = |id: &ArmId| azure.endpoints.get(id).is_some_and(Fact::is_absent);
    connected.into_iter().flatten().any(|id| !ours(id) && !gone(id))
}

/// Some network is known to ask the zone, and to get no public answer where it has none.
fn is_asked(seen: &Seen, zone: &ArmId) -> bool {
    let elsewhere = seen.azure.zones_elsewhere.seen().into_iter().flatten();
    let zones = seen.azure.zones.values().filter_map(Fact::seen).chain(elsewhere);
    let mut zones = zones.filter(|z| z.id == *zone);
    zones.any(|z| {
        z.links
            .seen()
            .is_some_and(|links| !links.iter().all(LinkSeen::falls_back))
    })
}

/// With the first endpoint of a target its public names lead to zones of one name (azure.md §3.2). Once something is closed, what
/// was lost is made again all the same.
fn zone_before_endpoint(lint: &mut Lint<'_>) {
    let (desired, seen, plan) = (lint.desired, lint.seen, lint.plan);
    if proof::closedness(seen).is_none_or(|all| all.values().any(|closed| *closed == Some(true))) {
        return;
    }
    for action in plan.steps().filter_map(azure) {
        let AzureAction::CreateEndpoint { id, subnet, group, .. } = action else {
            continue;
        };
        let writes = |place: &&EndpointPlace| {
            place.subnet == *subnet && matches!(place.dns.mode, DnsMode::Managed | DnsMode::Existing)
        };
        for place in desired.endpoints().iter().filter(writes) {
            let zone = place.dns.zones.get(group);
            let there = zone.and_then(|zone| seen.azure.zones.get(zone)).and_then(Fact::seen);
            lint.demand("answers", there.is_some(), || {
                format!("{id} is made before its zone is there")
            });
            let another = zone.and_then(|zone| asked_instead(seen, place, zone));
            lint.demand("answers", another.is_none(), || {
                format!("{id} is made while its networks ask another zone of that name")
            });
        }
    }
}

/// Another zone of the name that a network of the place is linked to.
fn asked_instead<'a>(seen: &'a Seen, place: &EndpointPlace, zone: &ArmId) -> Option<&'a ZoneSeen> {
    let others = seen.azure.zones_elsewhere.seen().into_iter().flatten();
    let mut others = others.filter(|o| o.id != *zone && o.id.name().eq_ignore_ascii_case(zone.name()));
    others.find(|other| {
        let mut links = other.links.seen().into_iter().flatten();
        links.any(|link| place.dns.links.contains(&link.virtual_network))
    })
}
