//! What people do behind the operator's back, with the consequences that Azure would add. Pure changes of the world.

use std::time::Duration;

use crate::arm::path::parent_of;
use crate::arm::{connections, networks, private_endpoints, record_sets, registry_accounts, zone_groups};
use crate::targets::{PRIVATE_ENDPOINT, TargetKind};
use crate::world::World;

/// Deletes a resource with what hangs on it; `false` when there is none.
pub(crate) fn delete(world: &mut World, id: &str, now: Duration) -> bool {
    let Some(resource) = world.get(id) else { return false };
    let (id, kind) = (resource.id.clone(), resource.kind.clone());
    match kind.as_str() {
        PRIVATE_ENDPOINT => private_endpoints::remove(world, &id, now),
        "microsoft.network/privateendpoints/privatednszonegroups" => zone_groups::remove(world, &id, now),
        _ if kind.ends_with("/privateendpointconnections") => connections::disconnect(world, &id, now),
        _ if kind.starts_with("microsoft.network/virtualnetworks") => networks::remove(world, &id, now),
        _ if TargetKind::of(&kind).is_some() => registry_accounts::remove_target(world, &id, now),
        _ => {
            world.remove_tree(&id, now);
            let parent = parent_of(&id);
            if kind.starts_with("microsoft.network/privatednszones/") {
                record_sets::refresh_zone(world, &parent, now);
            }
        }
    }
    true
}

/// The endpoint that an id means: itself, or the one behind a connection.
pub(crate) fn endpoint_behind(world: &World, id: &str) -> Option<String> {
    match world.get(id) {
        Some(resource) if resource.kind == PRIVATE_ENDPOINT => Some(resource.id.clone()),
        Some(_) => connections::endpoint_of(world, id).filter(|e| !e.is_empty()),
        None => None,
    }
}
