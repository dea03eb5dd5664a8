//! Virtual networks, subnets, peerings and network interfaces. Subnets and peerings are resources of their own and stand in
//! the VNet's body too. Address arithmetic is in `super::prefixes`.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::path::{name_of, parent_of};
use super::{peerings, prefixes};
use crate::json::{list, merge, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::world::{World, key};

pub(crate) const SUBNET: &str = "microsoft.network/virtualnetworks/subnets";

/// Answers requests for virtual networks.
pub(crate) fn serve_network(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => {
            call.check_preconditions()?;
            let body = call.body()?;
            let existed = call.world.get(&id).is_some();
            // What is refused half-way is not written by half.
            check_network(call.world, &id, &body)?;
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
pub(crate) fn serve_child(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (id, network) = (call.path.text.clone(), call.path.parent());
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => {
            if call.world.get(&network).is_none() {
                return Err(call.parent_missing(&network));
            }
            call.check_preconditions()?;
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

/// Answers requests for network interfaces: those here belong to private endpoints, which alone write and delete them.
pub(crate) fn serve_interface(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" | "PATCH" if call.world.get(&call.path.text).is_none() => Err(ArmError::not_modelled(
            "network interfaces that belong to no private endpoint",
        )),
        "PUT" | "PATCH" | "DELETE" => {
            let Some(interface) = call.world.get(&call.path.text) else {
                return Ok(JsonResponse::empty(204));
            };
            let said = format!(
                "Network interface {} is owned by private endpoint {} and cannot be changed or deleted.",
                interface.id,
                text(&interface.body, "/properties/privateEndpoint/id")
            );
            Err(ArmError::new(400, "CannotModifyNicAttachedToPrivateEndpoint", said))
        }
        _ => Err(call.no_such_method()),
    }
}

/// The operation's end makes it `Succeeded`; until then the answer says `Updating`.
fn settle(call: &mut Call<'_>, id: &str, existed: bool) -> Result<JsonResponse, ArmError> {
    let operation = call.start(Work::VirtualNetwork, Last::Resource(id.to_owned()), |_, _| Ok(()));
    let mut answer = call.accepted(if existed { 200 } else { 201 }, id, &operation, Headers::AsyncOperation)?;
    if let Some(body) = answer.body.as_mut() {
        set(body, &["properties", "provisioningState"], json!("Updating"));
    }
    Ok(answer)
}

fn delete(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(JsonResponse::empty(204));
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
        remove(world, &gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Both)
}

/// Removes a network, a subnet or a peering; networks that a lost peering led to learn of it.
pub(crate) fn remove(world: &mut World, id: &str, at: Duration) {
    let remotes = peerings::remotes_of(world, id);
    world.remove_tree(id, at);
    refresh(world, &parent_of(id), at);
    for remote in remotes {
        refresh(world, &remote, at);
    }
}

/// Refuses a network that Azure would: without prefixes, with wrong or overlapping ones, with subnets that do not fit.
fn check_network(world: &World, id: &str, body: &Value) -> Result<(), ArmError> {
    let space = prefixes::strings(body, "/properties/addressSpace/addressPrefixes");
    if space.is_empty() {
        let said = format!("Address space is required for virtual network {}.", name_of(id));
        return Err(ArmError::new(400, "AddressSpaceRequired", said));
    }
    prefixes::check(&space, id)?;
    if let Some((a, b)) = prefixes::overlap(&space) {
        let said = format!(
            "Address prefixes {a} and {b} of virtual network {} overlap.",
            name_of(id)
        );
        return Err(ArmError::new(400, "AddressPrefixesOverlap", said));
    }
    let mut taken: Vec<(String, Vec<String>)> = Vec::new();
    for subnet in list(body, "/properties/subnets") {
        let name = text(subnet, "/name").to_owned();
        if name.is_empty() || taken.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            let said = format!("Subnets of virtual network {} need names of their own.", name_of(id));
            return Err(ArmError::new(400, "InvalidRequestFormat", said));
        }
        let own = check_subnet(&space, &taken, &format!("{id}/subnets/{name}"), subnet)?;
        taken.push((name, own));
    }
    // Subnets that the body leaves out stay, if they still fit.
    for subnet in world.below(id).filter(|r| r.kind == SUBNET) {
        let name = name_of(&subnet.id);
        if !taken.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            taken.push((name.to_owned(), check_subnet(&space, &taken, &subnet.id, &subnet.body)?));
        }
    }
    Ok(())
}

/// Prefixes of a subnet, if they lie in the network's space and meet no other subnet's.
fn check_subnet(
    space: &[String],
    taken: &[(String, Vec<String>)],
    id: &str,
    body: &Value,
) -> Result<Vec<String>, ArmError> {
    let own = prefixes::of_subnet(body);
    prefixes::check(&own, id)?;
    let (name, network) = (name_of(id), name_of(&parent_of(id)).to_owned());
    if own.is_empty() || !own.iter().all(|p| space.iter().any(|s| prefixes::within(p, s))) {
        let said = format!("Subnet '{name}' is not valid in virtual network '{network}'.");
        return Err(ArmError::new(400, "NetcfgInvalidSubnet", said));
    }
    let meets = |(other, theirs): &&(String, Vec<String>)| {
        !other.eq_ignore_ascii_case(name) && own.iter().any(|p| theirs.iter().any(|t| prefixes::meet(p, t)))
    };
    if taken.iter().any(|other| meets(&other)) {
        let said = format!(
            "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '{network}'."
        );
        return Err(ArmError::new(400, "NetcfgSubnetRangesOverlap", said));
    }
    Ok(own)
}

/// Writes a virtual network with the subnets and peerings of its body; children that the body leaves out stay.
///
/// # Errors
/// What Azure refuses; of a seed's network too.
pub(crate) fn put_network(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    check_network(world, id, body)?;
    let mut written = world.get(id).map_or(json!({ "properties": {} }), |n| n.body.clone());
    merge(&mut written, body);
    for (field, value) in [
        ("id", json!(id)),
        ("name", json!(name_of(id))),
        ("type", json!("Microsoft.Network/virtualNetworks")),
    ] {
        set(&mut written, &[field], value);
    }
    for (field, value) in [
        ("provisioningState", json!("Succeeded")),
        ("resourceGuid", json!(crate::json::guid(&["vnet", &key(id)]))),
    ] {
        set(&mut written, &["properties", field], value);
    }
    for (field, value) in [
        ("enableDdosProtection", json!(false)),
        ("privateEndpointVNetPolicies", json!("Disabled")),
    ] {
        if written["properties"].get(field).is_none_or(Value::is_null) {
            set(&mut written, &["properties", field], value);
        }
    }
    world.put(id, written, now);
    for subnet in list(body, "/properties/subnets") {
        put_subnet(world, &format!("{id}/subnets/{}", text(subnet, "/name")), subnet, now)?;
    }
    for peering in list(body, "/properties/virtualNetworkPeerings") {
        let peering_id = format!("{id}/virtualNetworkPeerings/{}", text(peering, "/name"));
        put_peering(world, &peering_id, peering, now)?;
    }
    refresh(world, id, now);
    Ok(())
}

/// Writes a subnet.
///
/// # Errors
/// Its prefixes are none, lie outside the network, or meet another subnet's.
pub(crate) fn put_subnet(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    let network = parent_of(id);
    let space = world.get(&network).map_or_else(Vec::new, |n| {
        prefixes::strings(&n.body, "/properties/addressSpace/addressPrefixes")
    });
    let siblings = world
        .below(&network)
        .filter(|r| r.kind == SUBNET && key(&r.id) != key(id));
    let taken: Vec<(String, Vec<String>)> = siblings
        .map(|r| (name_of(&r.id).to_owned(), prefixes::of_subnet(&r.body)))
        .collect();
    check_subnet(&space, &taken, id, body)?;
    let mut properties = body["properties"].clone();
    for (field, value) in [
        ("privateEndpointNetworkPolicies", json!("Disabled")),
        ("privateLinkServiceNetworkPolicies", json!("Enabled")),
        ("delegations", json!([])),
    ] {
        if properties.get(field).is_none_or(Value::is_null) {
            set(&mut properties, &[field], value);
        }
    }
    for endpoint in properties
        .get_mut("serviceEndpoints")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        set(endpoint, &["provisioningState"], json!("Succeeded"));
        if list(endpoint, "/locations").is_empty() {
            set(endpoint, &["locations"], json!(["*"]));
        }
    }
    set(&mut properties, &["provisioningState"], json!("Succeeded"));
    if let Some(fields) = properties.as_object_mut() {
        fields.retain(|name, _| !["ipConfigurations", "privateEndpoints"].contains(&name.as_str()));
    }
    let written = json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/virtualNetworks/subnets", "properties": properties,
    });
    world.put(id, written, now);
    Ok(())
}

/// Writes one side of a peering; both networks learn of it.
///
/// # Errors
/// As [`peerings::put`].
pub(crate) fn put_peering(world: &mut World, id: &str, body: &Value, now: Duration) -> Result<(), ArmError> {
    peerings::put(world, id, body, now)?;
    let remote = text(body, "/properties/remoteVirtualNetwork/id").to_owned();
    for network in [parent_of(id), remote] {
        refresh(world, &network, now);
    }
    Ok(())
}

/// Brings a VNet's body in line with its children, and the states of its peerings with the other sides.
pub(crate) fn refresh(world: &mut World, network: &str, now: Duration) {
    peerings::settle_states(world, network, now);
    let children = |kind: &str| -> Vec<Value> {
        world
            .below(network)
            .filter(|r| r.kind == kind)
            .map(|r| r.body.clone())
            .collect()
    };
    let (subnets, peerings) = (children(SUBNET), children(peerings::PEERING));
    world.edit(network, now, |b| {
        set(b, &["properties", "subnets"], Value::Array(subnets));
        set(b, &["properties", "virtualNetworkPeerings"], Value::Array(peerings));
    });
}
