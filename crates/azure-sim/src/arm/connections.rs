//! Private endpoint connections as the target's side holds them, kept in step with the endpoint's side: a child resource
//! of the target, a list inside the target's body, and the state inside the endpoint. The field names differ by provider
//! (azure.md §3.3). Pure changes of the world.

use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint_addresses::{is_manual, names_of};
use super::path::{name_of, parent_of};
use crate::json::{guid, list, set, text};
use crate::targets::{TargetKind, connection_of, endpoint_view, endpoints_of, region};
use crate::world::{World, key};

/// The name of an endpoint's connection on its target.
fn connection_name(endpoint_id: &str) -> String {
    format!("{}.{}", name_of(endpoint_id), guid(&["connection", &key(endpoint_id)]))
}

/// Id of the connection that an endpoint has, or will have, on its target.
pub(crate) fn connection_id(world: &World, endpoint_id: &str) -> Option<String> {
    let endpoint = world.get(endpoint_id)?;
    let target = text(connection_of(&endpoint.body)?, "/properties/privateLinkServiceId");
    Some(format!(
        "{}/privateEndpointConnections/{}",
        world.get(target)?.id,
        connection_name(endpoint_id)
    ))
}

/// Endpoint behind a connection.
pub(crate) fn endpoint_of(world: &World, connection_id: &str) -> Option<String> {
    let connection = world.get(connection_id)?;
    Some(text(&connection.body, "/properties/privateEndpoint/id").to_owned())
}

/// The field that says what the owner has to do: storage spells it in the singular.
fn action_field(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Storage => "actionRequired",
        TargetKind::Registry | TargetKind::ContainerRegistry => "actionsRequired",
    }
}

/// Puts an endpoint's connection into a state, on both sides, making it on the target where it is missing. Records and
/// DNS configurations follow.
pub(crate) fn set_state(world: &mut World, endpoint_id: &str, status: &str, description: &str, now: Duration) {
    let Some(id) = connection_id(world, endpoint_id) else {
        return;
    };
    let target_id = parent_of(&id);
    let Some(kind) = world.get(&target_id).and_then(|t| TargetKind::of(&t.kind)) else {
        return;
    };
    let Some(endpoint) = world.get(endpoint_id) else { return };
    let group = connection_of(&endpoint.body)
        .map_or("", |c| text(c, "/properties/groupIds/0"))
        .to_owned();
    let mut state = json!({ "status": status, "description": description });
    state[action_field(kind)] = json!("None");
    let mut body = json!({
        "id": id, "name": name_of(&id),
        "type": format!("{}/privateEndpointConnections", super::versions::spelled(&super::path::kind_of(&target_id))),
        "properties": {
            "provisioningState": "Succeeded", "privateEndpoint": {"id": endpoint.id},
            "privateLinkServiceConnectionState": state,
        },
    });
    if kind == TargetKind::Registry {
        // Only machine learning names the endpoint's place and group.
        set(&mut body, &["location"], json!(text(&endpoint.body, "/location")));
        set(&mut body, &["properties", "groupIds"], json!([group]));
        let subnet = text(&endpoint.body, "/properties/subnet/id");
        set(
            &mut body,
            &["properties", "privateEndpoint", "subnetArmId"],
            json!(subnet),
        );
    }
    let endpoint_id = endpoint.id.clone();
    world.put(&id, body, now);
    refresh_list(world, &target_id, now);
    write_endpoint_state(world, &endpoint_id, status, description, now);
    refresh_names(world, &endpoint_id, now);
}

/// Its connection was rejected: Azure approves none that was.
pub(crate) fn is_rejected(world: &World, endpoint_id: &str) -> bool {
    let view = world.get(endpoint_id).and_then(|e| endpoint_view(world, e));
    view.is_some_and(|view| view.status == "Rejected")
}

/// Takes a connection off its target: the endpoint is `Disconnected` and has to be made anew.
pub(crate) fn disconnect(world: &mut World, connection_id: &str, now: Duration) {
    let endpoint = endpoint_of(world, connection_id);
    if world.remove(connection_id, now) {
        refresh_list(world, &parent_of(connection_id), now);
    }
    if let Some(endpoint) = endpoint {
        write_endpoint_state(
            world,
            &endpoint,
            "Disconnected",
            "Removed by the owner of the resource.",
            now,
        );
        refresh_names(world, &endpoint, now);
    }
}

/// Disconnects all endpoints of a target that is going away.
pub(crate) fn disconnect_all(world: &mut World, target_id: &str, now: Duration) {
    for view in endpoints_of(world, target_id) {
        if let Some(id) = connection_id(world, &view.id) {
            disconnect(world, &id, now);
        }
        write_endpoint_state(world, &view.id, "Disconnected", "The resource was deleted.", now);
    }
}

/// Takes the connection of an endpoint that is being deleted off its target.
pub(crate) fn remove_for(world: &mut World, endpoint_id: &str, now: Duration) {
    let Some(id) = connection_id(world, endpoint_id) else {
        return;
    };
    if world.remove(&id, now) {
        refresh_list(world, &parent_of(&id), now);
    }
}

fn write_endpoint_state(world: &mut World, endpoint_id: &str, status: &str, description: &str, now: Duration) {
    world.edit(endpoint_id, now, |body| {
        let lists = match is_manual(body) {
            true => "manualPrivateLinkServiceConnections",
            false => "privateLinkServiceConnections",
        };
        if let Some(connection) = body.pointer_mut(&format!("/properties/{lists}/0")) {
            let state = json!({ "status": status, "description": description, "actionsRequired": "None" });
            set(connection, &["properties", "privateLinkServiceConnectionState"], state);
        }
    });
}

/// Writes the list inside the target's body anew from its connections.
fn refresh_list(world: &mut World, target_id: &str, now: Duration) {
    let Some(target) = world.get(target_id) else { return };
    let Some(kind) = TargetKind::of(&target.kind) else {
        return;
    };
    let connections: Vec<Value> = world
        .below(target_id)
        .filter(|r| r.kind.ends_with("/privateendpointconnections"))
        .map(|r| match kind {
            TargetKind::Registry => registry_entry(&r.body),
            TargetKind::Storage | TargetKind::ContainerRegistry => r.body.clone(),
        })
        .collect();
    let field = match kind {
        TargetKind::Registry => "registryPrivateEndpointConnections",
        TargetKind::Storage | TargetKind::ContainerRegistry => "privateEndpointConnections",
    };
    world.edit(target_id, now, |body| {
        set(body, &["properties", field], Value::Array(connections))
    });
}

/// A connection as the registry's own body shows it: other id, other state field, and no `provisioningState` until it is
/// approved (azure.md §1.2).
fn registry_entry(connection: &Value) -> Value {
    let state = &connection["properties"]["privateLinkServiceConnectionState"];
    let approved = text(state, "/status") == "Approved";
    json!({
        "id": text(connection, "/id").replace("/privateEndpointConnections/", "/registryPrivateEndpointConnections/"),
        "location": region(text(connection, "/location")),
        "properties": {
            "groupIds": connection["properties"]["groupIds"],
            "provisioningState": if approved { json!("Succeeded") } else { Value::Null },
            "privateEndpoint": connection["properties"]["privateEndpoint"],
            "registryPrivateLinkServiceConnectionState": state,
        },
    })
}

/// Brings `customDnsConfigs` and the records of the zone group in line with the endpoint's state.
pub(crate) fn refresh_names(world: &mut World, endpoint_id: &str, now: Duration) {
    let Some(view) = world.get(endpoint_id).and_then(|e| endpoint_view(world, e)) else {
        return;
    };
    let grouped = world
        .below(endpoint_id)
        .any(|r| r.kind.ends_with("/privatednszonegroups"));
    let hidden = !view.connects() || (grouped && world.switches.custom_dns_configs_emptied);
    let configs: Vec<Value> = match hidden {
        true => Vec::new(),
        false => view
            .members
            .iter()
            .flat_map(|m| {
                m.fqdns
                    .iter()
                    .map(|f| json!({ "fqdn": f, "ipAddresses": [m.address.to_string()] }))
            })
            .collect(),
    };
    world.edit(endpoint_id, now, |body| {
        set(body, &["properties", "customDnsConfigs"], Value::Array(configs))
    });
    if view.connects() {
        super::zone_groups::write_records(world, endpoint_id, now);
    }
}

/// The first endpoint of a container registry turns its dedicated data endpoints on (azure.md §3.2).
pub(crate) fn after_first_endpoint(world: &mut World, endpoint_id: &str, now: Duration) {
    let target = world
        .get(endpoint_id)
        .and_then(|e| connection_of(&e.body))
        .map(|c| text(c, "/properties/privateLinkServiceId").to_owned());
    let Some(target) = target.filter(|t| {
        world
            .get(t)
            .is_some_and(|r| r.kind == crate::targets::CONTAINER_REGISTRY)
    }) else {
        return;
    };
    world.edit(&target, now, |body| {
        set(body, &["properties", "dataEndpointEnabled"], json!(true))
    });
    super::registry_accounts::refresh_data_endpoints(world, &target, now);
}

/// Groups of a storage account, with the zone of each; data lake's names only where there is a hierarchical namespace, but the
/// group always.
const STORAGE_GROUPS: &[&str] = &["blob", "dfs", "file", "queue", "table", "web"];

/// Private link resources of a target: group ids, members, zones.
pub(crate) fn private_link_resources(world: &World, target_id: &str) -> Vec<Value> {
    let Some(target) = world.get(target_id) else {
        return Vec::new();
    };
    let kind = format!("{}/privateLinkResources", super::versions::spelled(&target.kind));
    let group = |name: &str, members: Vec<String>, zone: String| {
        json!({
            "id": format!("{}/privateLinkResources/{name}", target.id), "name": name, "type": kind,
            "properties": {"groupId": name, "requiredMembers": members, "requiredZoneNames": [zone]},
        })
    };
    if TargetKind::of(&target.kind) == Some(TargetKind::Storage) {
        let zone = |name: &str| format!("privatelink.{name}.core.windows.net");
        return STORAGE_GROUPS
            .iter()
            .map(|name| group(name, vec![(*name).to_owned()], zone(name)))
            .collect();
    }
    let mut groups: Vec<(String, Vec<String>, &str)> = Vec::new();
    for name in crate::targets::fqdns_of(world, target_id) {
        match groups.iter_mut().find(|(id, ..)| *id == name.group_id) {
            Some((_, members, _)) => members.push(name.member),
            None => groups.push((name.group_id, vec![name.member], name.zone)),
        }
    }
    groups
        .into_iter()
        .map(|(id, members, zone)| group(&id, members, zone.to_owned()))
        .collect()
}

/// Whether Azure has this group of a target, though the simulator gives it no names.
pub(crate) fn is_unmodelled_group(target: &crate::world::Resource, group: &str) -> bool {
    let primary = group.to_ascii_lowercase();
    let primary = primary.strip_suffix("_secondary").unwrap_or(&primary);
    TargetKind::of(&target.kind) == Some(TargetKind::Storage) && STORAGE_GROUPS.contains(&primary)
}

/// Whether the endpoint's names are among the target's (its group id exists).
pub(crate) fn group_exists(world: &World, endpoint: &Value) -> bool {
    !names_of(world, endpoint).is_empty()
}

/// Status of the connection in an endpoint's body.
pub(crate) fn status_of(endpoint: &Value) -> &str {
    connection_of(endpoint).map_or("", |c| text(c, "/properties/privateLinkServiceConnectionState/status"))
}

/// Group ids of an endpoint's body.
pub(crate) fn group_ids(endpoint: &Value) -> &[Value] {
    connection_of(endpoint).map_or(&[], |c| list(c, "/properties/groupIds"))
}
