//! Peerings of virtual networks, each with a side of its own. Connected when both sides stand; `Disconnected`, until written
//! anew, when the other side went away (Microsoft Learn, "Create, change, or delete a virtual network peering").

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::ArmError;
use super::path::{name_of, parent_of};
use super::prefixes;
use crate::json::{guid, set, text};
use crate::world::{World, key};

pub(crate) const PEERING: &str = "microsoft.network/virtualnetworks/virtualnetworkpeerings";

fn remote_of(peering: &Value) -> &str {
    text(peering, "/properties/remoteVirtualNetwork/id")
}

/// The side of `remote` that leads back to `network`.
fn back<'a>(world: &'a World, remote: &str, network: &str) -> Option<&'a crate::world::Resource> {
    let network = key(network);
    world
        .below(remote)
        .find(|r| r.kind == PEERING && key(remote_of(&r.body)) == network)
}

/// Networks that the peerings at or below this id lead to.
pub(crate) fn remotes_of(world: &World, id: &str) -> Vec<String> {
    let own = world.get(id).into_iter().chain(world.below(id));
    own.filter(|r| r.kind == PEERING)
        .map(|r| remote_of(&r.body).to_owned())
        .collect()
}

/// Writes one side of a peering. It is `Connected` when the other side points back.
///
/// # Errors
/// It names no other network, or one whose addresses meet its own, or the other side is `Disconnected`.
pub(crate) fn put(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    let remote = remote_of(body).to_owned();
    let network = parent_of(id);
    if remote.is_empty() || key(&remote) == key(&network) {
        return Err(ArmError::bad_request(
            "A peering names another network as its remoteVirtualNetwork.",
        ));
    }
    let space = |id: &str| {
        world.get(id).map_or_else(Vec::new, |n| {
            prefixes::strings(&n.body, "/properties/addressSpace/addressPrefixes")
        })
    };
    let (own, theirs) = (space(&network), space(&remote));
    if own.iter().any(|a| theirs.iter().any(|b| prefixes::meet(a, b))) {
        let said = format!(
            "Cannot create or update peering {id}. Virtual networks {network} and {remote} cannot be peered because their address spaces overlap. Overlapping address prefixes: {}.",
            own.join(", ")
        );
        return Err(ArmError::new(400, "VnetAddressSpacesOverlap", said));
    }
    let lost = back(world, &remote, &network).filter(|p| text(&p.body, "/properties/peeringState") == "Disconnected");
    if lost.is_some() {
        let said = format!(
            "Cannot create or update peering {id} because remote peering referencing parent virtual network {network} is in Disconnected state. Delete or resync the remote peering."
        );
        return Err(ArmError::new(400, "RemotePeeringIsDisconnected", said));
    }
    let mut properties = body["properties"].clone();
    for field in [
        "allowVirtualNetworkAccess",
        "allowForwardedTraffic",
        "allowGatewayTransit",
        "useRemoteGateways",
        "doNotVerifyRemoteGateways",
    ] {
        if !properties.get(field).is_some_and(Value::is_boolean) {
            set(&mut properties, &[field], json!(field == "allowVirtualNetworkAccess"));
        }
    }
    for (field, value) in [
        ("provisioningState", json!("Succeeded")),
        ("peeringState", json!("Initiated")),
        ("peeringSyncLevel", json!("RemoteNotInSync")),
        ("peerCompleteVnets", json!(true)),
        ("resourceGuid", json!(guid(&["peering", &key(id)]))),
        ("remoteAddressSpace", json!({ "addressPrefixes": theirs })),
        ("remoteVirtualNetworkAddressSpace", json!({ "addressPrefixes": theirs })),
    ] {
        set(&mut properties, &[field], value);
    }
    let written = json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        "properties": properties,
    });
    world.put(id, written, now);
    Ok(())
}

/// Brings the states of a network's peerings in line with the other sides.
pub(crate) fn settle_states(world: &mut World, network: &str, now: Duration) {
    let sides: Vec<(String, String, String)> = world
        .below(network)
        .filter(|r| r.kind == PEERING)
        .map(|r| {
            (
                r.id.clone(),
                remote_of(&r.body).to_owned(),
                text(&r.body, "/properties/peeringState").to_owned(),
            )
        })
        .collect();
    for (id, remote, before) in sides {
        let stands = back(world, &remote, network).is_some();
        let (state, level) = match (before.as_str(), stands) {
            ("Disconnected", _) | ("Connected", false) => ("Disconnected", "RemoteNotInSync"),
            (_, true) => ("Connected", "FullyInSync"),
            (_, false) => ("Initiated", "RemoteNotInSync"),
        };
        world.edit(&id, now, |b| {
            set(b, &["properties", "peeringState"], json!(state));
            set(b, &["properties", "peeringSyncLevel"], json!(level));
        });
    }
}
