//! Virtual networks, subnets, peerings and network interfaces. Subnets and peerings are resources of their own and stand in
//! the VNet's body too.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::{Call, Headers};
use super::path::name_of;
use crate::json::{list, merge, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::targets::parse_prefix;
use crate::world::{World, key};

const SUBNET: &str = "microsoft.network/virtualnetworks/subnets";
const PEERING: &str = "microsoft.network/virtualnetworks/virtualnetworkpeerings";

/// Answers requests for virtual networks.
pub(crate) fn serve_network(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => {
            let body = call.body()?;
            let existed = call.world.get(&id).is_some();
            put_network(call.world, &id, &body, call.now)?;
            settle(call, &id, existed)
        }
        "PATCH" => {
            let body = call.body()?;
            let tags = body.get("tags").cloned().unwrap_or(json!({}));
            match call.edit(&id, |b| set(b, &["tags"], tags)) {
                true => call.path_answer(200),
                false => Err(ArmError::not_found(&id)),
            }
        }
        "DELETE" => delete(call, &id),
        _ => Err(call.no_such_method()),
    }
}

/// Answers requests for subnets and peerings.
pub(crate) fn serve_child(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let (id, network) = (call.path.text.clone(), call.path.parent());
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => {
            if call.world.get(&network).is_none() {
                return Err(call.parent_missing(&network));
            }
            let body = call.body()?;
            let existed = call.world.get(&id).is_some();
            match call.path.kind() == SUBNET {
                true => put_subnet(call.world, &id, &body, call.now)?,
                false => put_peering(call.world, &id, &body, call.now)?,
            }
            refresh(call.world, &network, call.now);
            settle(call, &id, existed)
        }
        "DELETE" => delete(call, &id),
        _ => Err(call.no_such_method()),
    }
}

fn settle(call: &mut Call<'_>, id: &str, existed: bool) -> Result<Answer, ArmError> {
    let operation = call.start(Work::VirtualNetwork, Last::Resource(id.to_owned()), |_, _| Ok(()));
    call.accepted(if existed { 200 } else { 201 }, id, &operation, Headers::AsyncOperation)
}

fn delete(call: &mut Call<'_>, id: &str) -> Result<Answer, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(Answer::empty(204));
    }
    let used = call.world.of_kind("microsoft.network/networkinterfaces").find(|nic| {
        list(&nic.body, "/properties/ipConfigurations").iter().any(|c| {
            let subnet = key(text(c, "/properties/subnet/id"));
            subnet == key(id) || subnet.starts_with(&format!("{}/", key(id)))
        })
    });
    if let Some(nic) = used {
        let said = format!("Subnet {} is in use by {} and cannot be deleted.", name_of(id), nic.id);
        return Err(ArmError::new(400, "InUseSubnetCannotBeDeleted", said));
    }
    let gone = id.to_owned();
    let operation = call.start(Work::VirtualNetwork, Last::NoContent, move |world, at| {
        world.remove_tree(&gone, at);
        let network = super::path::parent_of(&gone);
        refresh(world, &network, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// Writes a virtual network with the subnets and peerings of its body; children that the body leaves out stay.
pub(crate) fn put_network(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    for prefix in list(body, "/properties/addressSpace/addressPrefixes") {
        if prefix.as_str().and_then(parse_prefix).is_none() {
            return Err(ArmError::new(
                400,
                "InvalidCIDRNotation",
                format!("The address prefix {prefix} is not valid."),
            ));
        }
    }
    let mut written = world.get(id).map_or(json!({ "properties": {} }), |n| n.body.clone());
    merge(&mut written, body);
    for (field, value) in [
        ("id", json!(id)),
        ("name", json!(name_of(id))),
        ("type", json!("Microsoft.Network/virtualNetworks")),
    ] {
        set(&mut written, &[field], value);
    }
    set(&mut written, &["properties", "provisioningState"], json!("Succeeded"));
    set(
        &mut written,
        &["properties", "resourceGuid"],
        json!(crate::json::guid(&["vnet", &key(id)])),
    );
    world.put(id, written, now);
    for subnet in list(body, "/properties/subnets") {
        put_subnet(world, &format!("{id}/subnets/{}", text(subnet, "/name")), subnet, now)?;
    }
    for peering in list(body, "/properties/virtualNetworkPeerings") {
        put_peering(
            world,
            &format!("{id}/virtualNetworkPeerings/{}", text(peering, "/name")),
            peering,
            now,
        )?;
    }
    refresh(world, id, now);
    Ok(())
}

/// Writes a subnet.
pub(crate) fn put_subnet(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    let prefix = text(body, "/properties/addressPrefix");
    let prefixes = list(body, "/properties/addressPrefixes")
        .iter()
        .filter_map(Value::as_str);
    let all: Vec<&str> = prefixes.chain((!prefix.is_empty()).then_some(prefix)).collect();
    if all.is_empty() || all.iter().any(|p| parse_prefix(p).is_none()) {
        return Err(ArmError::new(
            400,
            "InvalidCIDRNotation",
            format!("The address prefix '{prefix}' of subnet {} is not valid.", name_of(id)),
        ));
    }
    let mut properties = body["properties"].clone();
    set(&mut properties, &["provisioningState"], json!("Succeeded"));
    if text(&properties, "/privateEndpointNetworkPolicies").is_empty() {
        set(&mut properties, &["privateEndpointNetworkPolicies"], json!("Disabled"));
    }
    let written = json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/virtualNetworks/subnets", "properties": properties,
    });
    world.put(id, written, now);
    Ok(())
}

/// Writes one side of a peering. It is `Connected` when the other side points back.
pub(crate) fn put_peering(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    let remote = text(body, "/properties/remoteVirtualNetwork/id").to_owned();
    if remote.is_empty() {
        return Err(ArmError::bad_request("A peering names its remoteVirtualNetwork."));
    }
    let mut properties = body["properties"].clone();
    set(&mut properties, &["provisioningState"], json!("Succeeded"));
    set(&mut properties, &["peeringState"], json!("Initiated"));
    let written = json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        "properties": properties,
    });
    world.put(id, written, now);
    for network in [super::path::parent_of(id), remote] {
        refresh(world, &network, now);
    }
    Ok(())
}

/// Brings a VNet's body in line with its children, and the states of its peerings with the other sides.
pub(crate) fn refresh(world: &mut World, network: &str, now: Duration) {
    let peerings: Vec<(String, String)> = world
        .below(network)
        .filter(|r| r.kind == PEERING)
        .map(|r| {
            (
                r.id.clone(),
                text(&r.body, "/properties/remoteVirtualNetwork/id").to_owned(),
            )
        })
        .collect();
    for (id, remote) in peerings {
        let back = world
            .below(&remote)
            .any(|r| r.kind == PEERING && key(text(&r.body, "/properties/remoteVirtualNetwork/id")) == key(network));
        let state = if back { "Connected" } else { "Initiated" };
        world.edit(&id, now, |b| set(b, &["properties", "peeringState"], json!(state)));
    }
    let children = |kind: &str| -> Vec<Value> {
        world
            .below(network)
            .filter(|r| r.kind == kind)
            .map(|r| r.body.clone())
            .collect()
    };
    let (subnets, peerings) = (children(SUBNET), children(PEERING));
    world.edit(network, now, |b| {
        set(b, &["properties", "subnets"], Value::Array(subnets));
        set(b, &["properties", "virtualNetworkPeerings"], Value::Array(peerings));
    });
}
