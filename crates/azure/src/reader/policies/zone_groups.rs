//! Which assigned policies make the zone groups of private endpoints that have none (azure.md §4.2): looked at before such an endpoint
//! is made, because whoever asks a linked zone gets no answer for its names until somebody writes them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use sreg_api::registry::DnsMode;
use sreg_domain::desired::{Desired, EndpointPlace};
use sreg_domain::naming::endpoint_name_at;
use sreg_domain::seen::{Coverage, EndpointSeen, Fact, VirtualNetworkSeen, ZoneGroupPolicy};
use sreg_domain::{ArmId, EndpointGroup, ProvisioningState};

use super::judge::{Definition, Meaning};
use super::rule::Subject;
use super::{Assignments, Target, assigned, policies};
use crate::json as body;
use crate::reader::Look;

const KIND: &str = "Microsoft.Network/privateEndpoints";

/// An endpoint as it is or will be.
struct Endpoint {
    id: ArmId,
    target: ArmId,
    group: EndpointGroup,
    manual: bool,
}

/// The policies that concern each endpoint without a zone group, where `dns.mode: Policy` leaves that to them.
pub(in crate::reader) async fn zone_groups(
    look: &Look<'_>,
    desired: &Desired,
    wanted: &[(ArmId, EndpointGroup)],
    seen: &BTreeMap<ArmId, Fact<EndpointSeen>>,
    networks: &BTreeMap<ArmId, Fact<VirtualNetworkSeen>>,
) -> BTreeMap<ArmId, Fact<Vec<ZoneGroupPolicy>>> {
    let places = desired.endpoints().iter().filter(|p| p.dns.mode == DnsMode::Policy);
    let without: Vec<(&EndpointPlace, Vec<Endpoint>)> = places
        .map(|place| (place, without_group(place, desired, wanted, seen)))
        .filter(|(_, endpoints)| !endpoints.is_empty())
        .collect();
    let groups: BTreeSet<&ArmId> = without.iter().map(|(place, _)| &place.resource_group).collect();
    let read = groups
        .into_iter()
        .map(|group| async move { (group, assigned(look, group, &BTreeSet::new()).await) });
    let assignments: BTreeMap<&ArmId, Fact<Assignments>> = join_all(read).await.into_iter().collect();
    let now = Timestamp::now();
    let mut all = BTreeMap::new();
    for (place, endpoints) in without {
        let network = networks.get(&place.virtual_network).and_then(Fact::seen);
        let location = network.map(|n| n.location.to_string());
        for endpoint in endpoints {
            let fact = match assignments.get(&place.resource_group) {
                Some(Fact::Seen(all)) => Fact::Seen(concerning(all, place, &endpoint, location.as_deref(), now)),
                Some(Fact::Unknown(why)) => Fact::Unknown(why.clone()),
                Some(Fact::Absent) | None => Fact::not_read("the resource group of the endpoint is absent"),
            };
            all.insert(endpoint.id, fact);
        }
    }
    all
}

/// Endpoints of a place that have no zone group which succeeded: those that stand there, and those to be made.
fn without_group(
    place: &EndpointPlace,
    desired: &Desired,
    wanted: &[(ArmId, EndpointGroup)],
    seen: &BTreeMap<ArmId, Fact<EndpointSeen>>,
) -> Vec<Endpoint> {
    let mut without = Vec::new();
    for (target, group) in wanted {
        let serves = |e: &EndpointSeen| {
            e.target.as_ref() == Some(target)
                && e.id.resource_group_id().as_ref() == Some(&place.resource_group)
                && e.subnet.as_ref() == Some(&place.subnet)
                && e.group_id.as_deref().and_then(EndpointGroup::of_group_id) == Some(*group)
        };
        let there = seen.iter().filter_map(|(id, fact)| Some((id, fact.seen()?)));
        let there: Vec<(&ArmId, &EndpointSeen)> = there.filter(|(_, e)| serves(e)).collect();
        if there.is_empty() {
            let name = endpoint_name_at(place, &desired.registry, target, *group);
            without.push(Endpoint {
                id: place.resource_group.provider(KIND, &name),
                target: target.clone(),
                group: *group,
                manual: place.manual_request.is_some(),
            });
        }
        let bare = |e: &EndpointSeen| {
            let groups = e.zone_groups.seen().into_iter().flatten();
            !groups
                .into_iter()
                .any(|g| g.provisioning_state == ProvisioningState::Succeeded)
        };
        without.extend(there.into_iter().filter(|(_, e)| bare(e)).map(|(id, e)| Endpoint {
            id: id.clone(),
            target: target.clone(),
            group: *group,
            manual: e.manual,
        }));
    }
    without
}

/// What the assignments do about one endpoint.
fn concerning(
    assignments: &Assignments,
    place: &EndpointPlace,
    endpoint: &Endpoint,
    location: Option<&str>,
    now: Timestamp,
) -> Vec<ZoneGroupPolicy> {
    let own = target(place, endpoint, endpoint.manual, location);
    let other = target(place, endpoint, !endpoint.manual, location);
    let mut all = Vec::new();
    for assignment in assignments.assigned.values() {
        for policy in policies(assignment, &assignments.meanings, makes_zone_groups) {
            let covers = match policy.covers((&own, &other), &assignments.exemptions, now) {
                Some(Coverage::Yes) if !assignments.exemptions_known => Coverage::Perhaps,
                Some(covers) => covers,
                None => continue,
            };
            let id = body::text(assignment, "/id").unwrap_or_default();
            all.push(ZoneGroupPolicy {
                assignment: id.to_ascii_lowercase(),
                covers,
                zone: policy.zone(),
            });
        }
    }
    all
}

fn makes_zone_groups(meaning: &Meaning) -> Option<&Definition> {
    match meaning {
        Meaning::MakesZoneGroups(definition) => Some(definition),
        Meaning::Irrelevant
        | Meaning::Speaks(_)
        | Meaning::Guards(_)
        | Meaning::ForbidsDeletion(_)
        | Meaning::Set(..) => None,
    }
}

/// The endpoint as a policy sees it: aliases leave out the `properties` of connections.
fn target(place: &EndpointPlace, endpoint: &Endpoint, manual: bool, location: Option<&str>) -> Target {
    let connection = json!([{"name": endpoint.id.name(), "privateLinkServiceId": endpoint.target.as_str(),
        "groupIds": [endpoint.group.group_id()]}]);
    let (automatic, by_hand) = if manual {
        (json!([]), connection)
    } else {
        (connection, json!([]))
    };
    let properties: Value = json!({"subnet": {"id": place.subnet.as_str()},
        "privateLinkServiceConnections": automatic, "manualPrivateLinkServiceConnections": by_hand});
    Target {
        id: endpoint.id.clone(),
        then: Subject {
            kind: endpoint.id.kind(),
            name: endpoint.id.name().to_owned(),
            location: location.map(str::to_owned),
            properties,
        },
    }
}
