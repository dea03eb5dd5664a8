//! The policy actor: an Azure Policy with `deployIfNotExists`, which makes a zone group wherever an endpoint that is up has none.

use std::net::IpAddr;

use sreg_domain::seen::{EndpointSeen, LinkSeen, Member, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{ArmId, Fact};

use super::{NETWORKS, Policy};
use crate::world::{SUB, World, vnet};

/// The zone of this name that the hub team has.
fn theirs(zone: &str) -> ArmId {
    let group = format!("{SUB}/resourceGroups/dns/providers/Microsoft.Network");
    format!("{group}/privateDnsZones/{zone}").parse().unwrap()
}

/// The hub team's zones, linked long ago.
pub(crate) fn zones(world: &mut World) {
    use sreg_domain::EndpointGroup::{AmlRegistry, Blob, ContainerRegistry};
    for group in [AmlRegistry, Blob, ContainerRegistry] {
        let id = theirs(&world.desired.cloud.zone(group));
        let link = |network: &str| LinkSeen {
            tags: Default::default(),
            id: format!("{id}/virtualNetworkLinks/{network}").parse().unwrap(),
            virtual_network: vnet(network),
            completed: true,
            resolution_policy: None,
        };
        let zone = ZoneSeen {
            tags: Default::default(),
            id: id.clone(),
            owner: None,
            links: Fact::Seen(NETWORKS.iter().map(|n| link(n)).collect()),
            records: Fact::Seen(Default::default()),
        };
        world.seen.azure.zones.insert(id, Fact::Seen(zone));
    }
}

/// The policy makes a zone group, with records, wherever an endpoint that is up has none.
pub(crate) fn acts(world: &mut World, policy: Policy) {
    if policy == Policy::Absent {
        return;
    }
    let bare = |(id, fact): (&ArmId, &Fact<EndpointSeen>)| {
        let endpoint = fact.seen()?;
        let up = endpoint.connection_status.as_deref() == Some("Approved");
        (up && endpoint.zone_groups.seen().is_some_and(Vec::is_empty)).then(|| id.clone())
    };
    let bare: Vec<ArmId> = world.seen.azure.endpoints.iter().filter_map(bare).collect();
    for id in bare {
        let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&id) else {
            continue;
        };
        let members = endpoint.members.seen().cloned().unwrap_or_default();
        let mut zones = Vec::new();
        for fact in world.seen.azure.zones.values_mut() {
            zones.extend(zone_for(fact, &members, policy));
        }
        if !zones.is_empty() {
            endpoint.zone_groups = Fact::Seen(vec![ZoneGroupSeen {
                id: format!("{id}/privateDnsZoneGroups/deployedByPolicy").parse().unwrap(),
                provisioning_state: "Succeeded".into(),
                zones,
            }]);
        }
    }
}

/// The zone in which a policy puts these names, if it is the one for any; with the records, where it is a zone that anybody asks.
fn zone_for(fact: &mut Fact<ZoneSeen>, members: &[Member], policy: Policy) -> Option<ArmId> {
    let Fact::Seen(ZoneSeen {
        id: zone,
        records: Fact::Seen(records),
        ..
    }) = fact
    else {
        return None;
    };
    let suffix = format!(".{}", zone.name().trim_start_matches("privatelink."));
    let carried: Vec<(String, IpAddr)> = members
        .iter()
        .flat_map(|m| m.fqdns.iter().map(move |f| (f, m.address)))
        .filter_map(|(f, address)| Some((f.as_str().strip_suffix(&suffix)?.to_owned(), address)))
        .collect();
    if carried.is_empty() {
        return None;
    }
    if policy == Policy::Obstructs {
        return Some(theirs(zone.name()));
    }
    records.extend(carried.into_iter().map(|(name, address)| (name, vec![address])));
    Some(zone.clone())
}
