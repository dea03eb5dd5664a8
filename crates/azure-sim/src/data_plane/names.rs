//! The public side of a target's names: who owns one, whether it is private-link enabled now, and the front end that it
//! ends at. Names are lower case without a final dot throughout. Pure.

use std::net::Ipv4Addr;

use crate::json;
use crate::targets::{self, PRIVATE_ENDPOINT, TargetName};
use crate::world::{Key, World};

/// The owner of a public name, with the name's place in its private zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Lower-cased ARM id of the target.
    pub target: Key,
    /// The name with its group, zone and record.
    pub name: TargetName,
}

/// The target that owns this public name, and the name itself.
pub fn owned(world: &World, fqdn: &str) -> Option<Owned> {
    let target = targets::owner_of_fqdn(world, fqdn)?;
    let name = targets::fqdns_of(world, &target)
        .into_iter()
        .find(|name| name.fqdn == fqdn)?;
    Some(Owned { target, name })
}

/// Lower-cased ARM id of the target that owns this public name.
pub fn owner_of(world: &World, fqdn: &str) -> Option<Key> {
    owned(world, fqdn).map(|owned| owned.target)
}

/// Whether the public name points into its `privatelink.` zone: from the target's first endpoint for the name's group
/// until its last is gone, whatever their state (azure.md §3.2).
pub fn private_link_enabled(world: &World, owned: &Owned) -> bool {
    world
        .of_kind(PRIVATE_ENDPOINT)
        .filter_map(|endpoint| targets::connection_of(&endpoint.body))
        .any(|connection| {
            let properties = &connection["properties"];
            let target = properties["privateLinkServiceId"].as_str().unwrap_or_default();
            target.trim_end_matches('/').eq_ignore_ascii_case(&owned.target)
                && properties["groupIds"][0] == owned.name.group_id.as_str()
        })
}

/// The public name of a name inside a `privatelink.` zone, such as `x.blob.core.windows.net` of
/// `x.privatelink.blob.core.windows.net`.
pub fn public_of_private(name: &str) -> Option<String> {
    let (record, zone) = name.split_once(".privatelink.")?;
    Some(format!("{record}.{zone}"))
}

/// The name of the front end that a public name ends at; one per public name, shaped like the service's own.
pub fn front_end_of(fqdn: &str) -> String {
    let tag: String = json::digest(&["front end", fqdn]).chars().take(16).collect();
    if fqdn.ends_with(".core.windows.net") {
        format!("blob.{tag}.store.core.windows.net")
    } else if fqdn.ends_with(".azurecr.io") {
        format!("r{tag}.cus.azcr.io")
    } else {
        format!("fe-{tag}.trafficmanager.net")
    }
}

/// The public address behind the name of a front end.
pub fn address_of_front_end(world: &World, name: &str) -> Option<Ipv4Addr> {
    let front_end = [".store.core.windows.net", ".azcr.io", ".trafficmanager.net"]
        .iter()
        .any(|end| name.ends_with(end));
    let mut known = world.public_addresses.iter().filter(|_| front_end);
    known
        .find(|(fqdn, _)| front_end_of(fqdn) == name)
        .map(|(_, address)| *address)
}

/// Seconds that a public name's CNAME lives in caches, fixed per name within what Microsoft's sample shows
/// (1783 and 2881; azure.md §3.2).
pub fn public_ttl(fqdn: &str) -> u32 {
    1783 + u32::try_from(json::number(&["public ttl", fqdn], 1099)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_name_lives_about_half_an_hour_to_an_hour_in_caches() {
        for name in ["a.blob.core.windows.net", "b.azurecr.io", "c"] {
            assert!((1783..=2881).contains(&public_ttl(name)), "{name}");
        }
    }

    #[test]
    fn a_private_name_leads_back_to_its_public_one() {
        let data = public_of_private("acr.westeurope.data.privatelink.azurecr.io");
        assert_eq!(data.as_deref(), Some("acr.westeurope.data.azurecr.io"));
        assert_eq!(public_of_private("x.blob.core.windows.net"), None);
    }
}
