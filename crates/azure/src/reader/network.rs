//! Subnets and virtual networks that the spec names, and their neighbours, which may resolve through them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use sreg_domain::ArmId;
use sreg_domain::desired::{Desired, NetworkPlace};
use sreg_domain::seen::{Fact, Ignorance, IgnoranceKind, ServiceEndpoints, SubnetSeen, VirtualNetworkSeen, ZoneSeen};
use tokio::time::Instant;

use super::{Look, settling};
use crate::json;

/// Every network that the spec names.
pub(super) fn named(desired: &Desired) -> impl Iterator<Item = ArmId> {
    let places = desired
        .endpoints()
        .iter()
        .flat_map(|p| p.dns.links.iter().chain([&p.virtual_network]));
    let waived = desired.whole().into_iter().flat_map(|spec| spec.waived.keys());
    let clients = desired.client_networks().iter().filter_map(|c| match &c.place {
        NetworkPlace::VirtualNetwork(id) => Some(id),
        NetworkPlace::OnPremises(_) => None,
    });
    places.chain(clients).chain(waived).cloned()
}

/// One subnet.
pub(super) async fn subnet(look: &Look<'_>, id: ArmId) -> Fact<SubnetSeen> {
    look.fact(&id, |body| {
        Ok(SubnetSeen {
            id: json::id(body, "/id").unwrap_or_else(|| id.clone()),
            free_addresses: free_addresses(body),
        })
    })
    .await
}

/// One virtual network.
pub(super) async fn virtual_network(look: &Look<'_>, id: ArmId) -> Fact<VirtualNetworkSeen> {
    look.fact(&id, |body| {
        Ok(VirtualNetworkSeen {
            id: json::id(body, "/id").unwrap_or_else(|| id.clone()),
            location: json::text(body, "/location")
                .ok_or("the network has no location")?
                .into(),
            dns_servers: texts(body, "/properties/dhcpOptions/dnsServers"),
            address_space: texts(body, "/properties/addressSpace/addressPrefixes"),
            service_endpoints: json::list(body, "/properties/subnets")
                .iter()
                .filter_map(service_endpoints)
                .collect(),
            peers: peers(body),
        })
    })
    .await
}

/// Azure keeps the first four addresses of a subnet and the last one.
const KEPT: usize = 5;

/// How many addresses are left at most. Only IPv4 counts, because endpoints take no other by default; something may be in use that
/// the subnet does not list, but nothing that it lists is free.
fn free_addresses(body: &Value) -> Option<usize> {
    let one = json::text(body, "/properties/addressPrefix").into_iter();
    let all: Vec<&str> = match json::list(body, "/properties/addressPrefixes") {
        [] => one.collect(),
        several => several.iter().filter_map(Value::as_str).collect(),
    };
    let sizes: Option<Vec<usize>> = all.iter().filter(|p| !p.contains(':')).map(|p| size(p)).collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty())?;
    let used = json::list(body, "/properties/ipConfigurations").len();
    let room = sizes.iter().map(|size| size.saturating_sub(KEPT)).sum::<usize>();
    Some(room.saturating_sub(used))
}

fn size(prefix: &str) -> Option<usize> {
    let bits: u32 = prefix.split_once('/')?.1.parse().ok()?;
    1_usize.checked_shl(32_u32.checked_sub(bits)?)
}

/// Networks read in one visit because they may resolve through others: a hub can have hundreds of spokes. Later visits read the others.
const MOST_NEIGHBOURS: usize = 48;
/// They change seldom and only say whom a change of names touches: after that they are read again.
const FRESH: Duration = Duration::from_secs(600);
/// What is not read again in time, because so many others are, still counts that long.
const KEPT_LONGEST: Duration = Duration::from_secs(3600);

/// What was read of neighbours lately.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: Mutex<HashMap<ArmId, (Instant, Fact<VirtualNetworkSeen>)>>,
}

impl Neighbours {
    /// What is known of a neighbour, and how old that is.
    fn recall(&self, id: &ArmId) -> Option<(Duration, Fact<VirtualNetworkSeen>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, fact) = known.get(id)?;
        Some((at.elapsed(), fact.clone())).filter(|(age, _)| *age < KEPT_LONGEST)
    }

    /// An absence is not kept: it has to be said several times.
    fn keep(&self, id: &ArmId, fact: &Fact<VirtualNetworkSeen>) {
        let lasts = match fact {
            Fact::Seen(_) => true,
            Fact::Absent => false,
            Fact::Unknown(why) => why.kind == IgnoranceKind::Forbidden,
        };
        if lasts {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, (at, _)| at.elapsed() < KEPT_LONGEST);
            known.insert(id.clone(), (Instant::now(), fact.clone()));
        }
    }
}

/// Networks that the spec does not name: those that are linked to a zone of its names, then those that are peered with any. Each of
/// them is in the answer; of those for which this visit had no room, that they were not read yet.
pub(super) async fn neighbours(
    look: &Look<'_>,
    named: &BTreeMap<ArmId, Fact<VirtualNetworkSeen>>,
    zones: impl Iterator<Item = &ZoneSeen>,
) -> BTreeMap<ArmId, Fact<VirtualNetworkSeen>> {
    let linked: BTreeSet<ArmId> = zones
        .flat_map(|zone| zone.links.seen().into_iter().flatten())
        .map(|link| link.virtual_network.clone())
        .filter(|id| !named.contains_key(id))
        .collect();
    let mut room = MOST_NEIGHBOURS;
    let mut all = read_some(look, linked, &mut room).await;
    let peers_of = |facts: &BTreeMap<ArmId, Fact<VirtualNetworkSeen>>| -> BTreeSet<ArmId> {
        facts
            .values()
            .filter_map(Fact::seen)
            .flat_map(|n| n.peers.clone())
            .collect()
    };
    let peers = peers_of(named).into_iter().chain(peers_of(&all));
    let more: BTreeSet<ArmId> = peers
        .filter(|id| !named.contains_key(id) && !all.contains_key(id))
        .collect();
    all.extend(read_some(look, more, &mut room).await);
    all
}

/// Reads what is not known or not fresh, so many as there is room for: first what is not known at all, then the oldest.
async fn read_some(
    look: &Look<'_>,
    ids: BTreeSet<ArmId>,
    room: &mut usize,
) -> BTreeMap<ArmId, Fact<VirtualNetworkSeen>> {
    let mut facts = BTreeMap::new();
    let mut stale = Vec::new();
    for id in ids {
        match look.inner.neighbours.recall(&id) {
            Some((age, fact)) => {
                if age >= FRESH {
                    stale.push((age, id.clone()));
                }
                facts.insert(id, fact);
            }
            None => {
                facts.insert(id.clone(), Fact::Unknown(not_read_yet(&id)));
                stale.push((Duration::MAX, id));
            }
        }
    }
    stale.sort_by(|(a, _), (b, _)| b.cmp(a));
    stale.truncate(*room);
    *room = room.saturating_sub(stale.len());
    let read = stale.into_iter().map(|(_, id)| async {
        let fact = virtual_network(look, id.clone()).await;
        look.inner.neighbours.keep(&id, &fact);
        (id, fact)
    });
    facts.extend(join_all(read).await);
    facts
}

fn not_read_yet(id: &ArmId) -> Ignorance {
    settling(
        format!("read {id}"),
        "so many networks are linked or peered here that the next visits read the others",
    )
}

fn texts(body: &Value, pointer: &str) -> Vec<String> {
    let all = json::list(body, pointer).iter().filter_map(Value::as_str);
    all.map(str::to_owned).collect()
}

/// The service endpoints of a subnet as its network shows it; `None` without any.
fn service_endpoints(subnet: &Value) -> Option<ServiceEndpoints> {
    let endpoints = json::list(subnet, "/properties/serviceEndpoints").iter();
    let services: Vec<String> = endpoints.filter_map(|e| json::string(e, "/service")).collect();
    if services.is_empty() {
        return None;
    }
    let mut prefixes = texts(subnet, "/properties/addressPrefixes");
    prefixes.extend(json::string(subnet, "/properties/addressPrefix"));
    prefixes.sort();
    prefixes.dedup();
    Some(ServiceEndpoints {
        subnet: json::string(subnet, "/name").unwrap_or_default(),
        prefixes,
        services,
    })
}

/// Networks at the other end of peerings that are not cut.
fn peers(body: &Value) -> Vec<ArmId> {
    let peerings = json::list(body, "/properties/virtualNetworkPeerings").iter();
    let cut = |p: &&Value| {
        json::text(p, "/properties/peeringState").is_some_and(|state| state.eq_ignore_ascii_case("Disconnected"))
    };
    let remote = |p: &Value| json::id(p, "/properties/remoteVirtualNetwork/id");
    let mut peers: Vec<ArmId> = peerings.filter(|p| !cut(p)).filter_map(remote).collect();
    peers.sort();
    peers.dedup();
    peers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_of_a_subnet_is_what_nobody_is_seen_to_use() {
        let of = |properties: Value| free_addresses(&json!({ "properties": properties }));
        assert_eq!(of(json!({"addressPrefix": "10.0.0.0/28"})), Some(11));
        let used = json!([{"id": "a"}, {"id": "b"}]);
        assert_eq!(
            of(json!({"addressPrefixes": ["10.0.0.0/29", "10.1.0.0/29", "fd00::/64"], "ipConfigurations": used})),
            Some(4)
        );
        assert_eq!(
            of(json!({"addressPrefix": "10.0.0.0/29", "ipConfigurations": [1, 2, 3, 4]})),
            Some(0)
        );
        for untold in [
            json!({}),
            json!({"addressPrefix": "fd00::/64"}),
            json!({"addressPrefix": "10.0.0.0/40"}),
            json!({"addressPrefix": "ten"}),
        ] {
            assert_eq!(of(untold.clone()), None, "{untold}");
        }
    }

    #[test]
    fn subnets_without_service_endpoints_are_left_out_and_both_forms_of_prefixes_are_read() {
        let subnet = |properties: Value| service_endpoints(&json!({"name": "apps", "properties": properties}));
        assert_eq!(subnet(json!({"addressPrefix": "10.0.1.0/24"})), None);
        assert_eq!(
            subnet(json!({"addressPrefix": "10.0.1.0/24", "serviceEndpoints": []})),
            None
        );
        let services = json!([{"service": "Microsoft.Storage", "locations": ["westeurope"]}]);
        let one = subnet(json!({"addressPrefix": "10.0.1.0/24", "serviceEndpoints": services})).unwrap();
        assert_eq!(
            (one.subnet.as_str(), one.prefixes),
            ("apps", vec!["10.0.1.0/24".to_owned()])
        );
        assert_eq!(one.services, ["Microsoft.Storage"]);
        let two = json!({"addressPrefixes": ["fd00:1::/64", "10.0.1.0/24"], "serviceEndpoints": services});
        assert_eq!(subnet(two).unwrap().prefixes, ["10.0.1.0/24", "fd00:1::/64"]);
    }

    #[test]
    fn peers_are_the_networks_at_the_other_end() {
        let peer = |name: &str, state: &str| {
            let id = format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/{name}");
            json!({"properties": {"remoteVirtualNetwork": {"id": id}, "peeringState": state}})
        };
        let body = json!({"properties": {"virtualNetworkPeerings":
            [peer("b", "Connected"), peer("c", "Disconnected"), peer("a", "Initiated"), {"properties": {}}]}});
        let names: Vec<String> = peers(&body).iter().map(|id| id.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
