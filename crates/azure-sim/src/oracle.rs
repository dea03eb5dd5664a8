//! What a registry's clients need, derived from the simulated world alone: the names of registry, storage and container
//! registry, and for each network the addresses of approved endpoints that it can reach. Tests judge by this, never by what
//! the operator says of itself. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::arm::path::name_of;
use crate::json::{list, text};
use crate::targets::{TargetKind, endpoints_of, fqdns_of};
use crate::world::{Key, Network, Place, World, key};

/// One path that has to work before public access may close.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequiredPath {
    /// Name of the network.
    pub network: String,
    /// The public name.
    pub fqdn: String,
    /// Addresses that count: those of approved endpoints which the network reaches. Empty: the path cannot work.
    pub addresses: Vec<Ipv4Addr>,
    /// ARM id of the target.
    pub target: String,
}

/// ARM ids of a registry and the accounts that belong to it.
pub fn targets_of(world: &World, registry_id: &str) -> Vec<String> {
    let Some(registry) = world.get(registry_id) else {
        return Vec::new();
    };
    let group = text(&registry.body, "/properties/managedResourceGroup/resourceId");
    let accounts = world
        .below(group)
        .filter(|r| TargetKind::of(&r.kind).is_some())
        .map(|r| r.id.clone());
    std::iter::once(registry.id.clone()).chain(accounts).collect()
}

/// All required paths of a registry from these networks; with none named, from every network that reaches one of its
/// endpoints.
pub fn required_paths(world: &World, registry_id: &str, networks: &[String]) -> Vec<RequiredPath> {
    let targets = targets_of(world, registry_id);
    let mut paths = Vec::new();
    for (name, network) in &world.networks {
        let reached = reached_networks(world, network);
        let named = networks.iter().any(|n| n == name);
        let touches = || {
            targets.iter().any(|t| {
                endpoints_of(world, t)
                    .iter()
                    .any(|e| reached.contains(&e.virtual_network))
            })
        };
        if !(named || (networks.is_empty() && touches())) {
            continue;
        }
        for target in &targets {
            let endpoints = endpoints_of(world, target);
            for fqdn in fqdns_of(world, target).into_iter().map(|n| n.fqdn) {
                let addresses: BTreeSet<Ipv4Addr> = endpoints
                    .iter()
                    .filter(|e| e.connects() && reached.contains(&e.virtual_network))
                    .flat_map(|e| &e.members)
                    .filter(|m| m.fqdns.contains(&fqdn))
                    .map(|m| m.address)
                    .collect();
                let addresses = addresses.into_iter().collect();
                paths.push(RequiredPath {
                    network: name.clone(),
                    fqdn,
                    addresses,
                    target: target.clone(),
                });
            }
        }
    }
    paths
}

/// VNets whose addresses a network reaches: its own, and those peered with it from both sides.
fn reached_networks(world: &World, network: &Network) -> BTreeSet<Key> {
    let home = match &network.place {
        Place::VirtualNetwork(id) => key(id),
        Place::OnPremises(site) => key(&site.connected_to),
        Place::Internet(_) => return BTreeSet::new(),
    };
    let peers: Vec<Key> = peers_of(world, &home)
        .filter(|peer| peers_of(world, peer).any(|back| back == home))
        .collect();
    std::iter::once(home).chain(peers).collect()
}

fn peers_of<'a>(world: &'a World, network: &'a str) -> impl Iterator<Item = Key> + 'a {
    world
        .below(network)
        .filter(|r| r.kind == "microsoft.network/virtualnetworks/virtualnetworkpeerings")
        .map(|r| key(text(&r.body, "/properties/remoteVirtualNetwork/id")))
}

/// How open a registry is, target by target: `name: Enabled`, in id order, for people and tests.
pub fn exposure(world: &World, registry_id: &str) -> Vec<(String, bool)> {
    targets_of(world, registry_id)
        .iter()
        .filter_map(|id| world.get(id))
        .filter_map(|target| {
            let access = crate::targets::access_in(TargetKind::of(&target.kind)?, &target.body);
            Some((
                target.id.clone(),
                access.public_open || (access.enabled && !access.ip_rules.is_empty()),
            ))
        })
        .collect()
}

/// Short names of the regions in a registry's body, for messages.
pub fn region_names(world: &World, registry_id: &str) -> Vec<String> {
    let details = world
        .get(registry_id)
        .map_or(&[][..], |r| list(&r.body, "/properties/regionDetails"));
    details.iter().map(|d| text(d, "/location").to_owned()).collect()
}

/// The registry with this name or id.
pub fn registry_id(world: &World, name_or_id: &str) -> Option<String> {
    let same = |id: &str| key(id) == key(name_or_id) || name_of(id).eq_ignore_ascii_case(name_or_id);
    world
        .of_kind(crate::targets::REGISTRY)
        .find(|r| same(&r.id))
        .map(|r| r.id.clone())
}
