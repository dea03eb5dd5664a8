//! While everything is open, names that resolve go on resolving: no endpoint is made whose records could not be written where its
//! networks ask.

use sreg_api::registry::DnsMode;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::ZoneSeen;
use sreg_domain::{ArmId, AzureAction, Fact, Seen};

use super::{Lint, azure, proof};

pub(super) fn check(lint: &mut Lint<'_>) {
    zone_before_endpoint(lint);
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
        for place in desired.endpoints.iter().filter(writes) {
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
