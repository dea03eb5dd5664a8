//! Private endpoints (azure.md §3): checked and given addresses when written, connected to their target when the operation
//! ends. Work on one VNet or one storage account does not go side by side.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::connections;
use super::endpoint_addresses::{assign, is_manual};
use super::path::name_of;
use crate::json::{list, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::permissions::{approval_action, registry_of_managed_group};
use crate::targets::{STORAGE, TargetKind, connection_of, region};
use crate::world::{World, key};

/// Answers requests for private endpoints.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => put(call),
        "DELETE" => delete(call),
        _ => Err(call.no_such_method()),
    }
}

/// What a PUT asks for, checked.
struct EndpointRequest {
    body: Value,
    subnet: String,
    network: String,
    target: String,
    manual: bool,
}

fn put(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let wanted = check(call, &id)?;
    let before = call.world.get(&id).map(|e| e.body.clone());
    if let Some(before) = &before {
        check_unchanged(before, &wanted)?;
    }
    refuse_neighbours(call, &wanted, &id)?;
    let collides = storage_busy(call, &wanted.target);
    write(call, &id, &wanted, before.as_ref());
    if let Err(refusal) = assign(call.world, &id, call.now) {
        if before.is_none() {
            call.world.remove(&id, call.now);
        }
        return Err(refusal);
    }
    let mut busy = vec![key(&wanted.network), key(&wanted.subnet)];
    if call.world.get(&wanted.target).is_some_and(|t| t.kind == STORAGE) {
        busy.push(key(&wanted.target));
    }
    let endpoint = id.clone();
    let operation = call.start_with(Work::Endpoint, Last::Resource(id.clone()), busy, move |world, at| {
        finish(world, &endpoint, collides, at)
    });
    super::policies::plan_zone_groups(call, &operation);
    call.accepted(
        if before.is_some() { 200 } else { 201 },
        &id,
        &operation,
        Headers::AsyncOperation,
    )
}

/// Everything that Azure refuses at once.
fn check(call: &Call<'_>, id: &str) -> Result<EndpointRequest, ArmError> {
    let body = call.body()?;
    if registry_of_managed_group(call.world, id).is_some() {
        let said = "Creating private endpoints in the managed resource group of a registry is not permitted.";
        return Err(ArmError::new(403, "DenyAssignmentAuthorizationFailed", said));
    }
    let version = text(&body, "/properties/ipVersionType");
    if !["", "IPv4"].contains(&version) {
        return Err(match ["IPv6", "DualStack"].contains(&version) {
            true => ArmError::not_modelled(&format!("private endpoints with addresses of {version}")),
            false => ArmError::new(
                400,
                "InvalidRequestFormat",
                format!("'{version}' is no ipVersionType: IPv4, IPv6, DualStack."),
            ),
        });
    }
    let own = ("Microsoft.Network/privateEndpoints/write", id);
    let subnet = check_subnet(call, &body, id)?;
    call.require_linked("Microsoft.Network/virtualNetworks/subnets/join/action", &subnet, own)?;
    let network = super::path::parent_of(&subnet);
    let location = call.world.get(&network).map_or("", |n| text(&n.body, "/location"));
    if region(location) != region(text(&body, "/location")) {
        return Err(ArmError::new(
            400,
            "InvalidResourceReference",
            format!(
                "Resource {network} referenced by resource {id} was not found. Please make sure that the referenced \
                 resource exists, and that both resources are in the same region."
            ),
        ));
    }
    let count = list(&body, "/properties/privateLinkServiceConnections").len()
        + list(&body, "/properties/manualPrivateLinkServiceConnections").len();
    let Some(connection) = connection_of(&body).filter(|_| count == 1) else {
        let said = "A private endpoint holds exactly one connection, in exactly one of the two lists.";
        return Err(ArmError::new(400, "PrivateEndpointMustHaveOneConnection", said));
    };
    if connections::group_ids(&body).len() != 1 {
        let said = format!(
            "Call to the resource provider failed: the private link service connection of {id} is missing required parameter 'group Id'."
        );
        return Err(ArmError::new(400, "MissingRequiredParameter", said));
    }
    let asked = text(connection, "/properties/privateLinkServiceId");
    let target = call.world.get(asked).filter(|t| TargetKind::of(&t.kind).is_some());
    let group = text(connection, "/properties/groupIds/0");
    if let Some(target) = target
        && !connections::group_exists(call.world, &body)
        && connections::is_unmodelled_group(target, group)
    {
        return Err(ArmError::not_modelled(&format!(
            "the group '{group}' of this storage account"
        )));
    }
    let Some(target) = target.filter(|_| connections::group_exists(call.world, &body)) else {
        return Err(ArmError::new(
            400,
            "InvalidPrivateLinkServiceId",
            format!("PrivateLinkServiceId Invalid private link service id: {asked}."),
        ));
    };
    let manual = is_manual(&body);
    if !manual {
        call.require_linked(&approval_action(&target.kind), &target.id, own)?;
    }
    let target = target.id.clone();
    Ok(EndpointRequest {
        body,
        subnet,
        network,
        target,
        manual,
    })
}

fn check_subnet(call: &Call<'_>, body: &Value, id: &str) -> Result<String, ArmError> {
    let asked = text(body, "/properties/subnet/id");
    let missing = |code: &str, what: &str| {
        Err(ArmError::new(
            400,
            code,
            format!(
                "Resource {what} referenced by resource {id} was not found. Please make sure that the referenced \
                 resource exists, and that both resources are in the same region."
            ),
        ))
    };
    let Some(subnet) = call
        .world
        .get(asked)
        .filter(|s| s.kind == "microsoft.network/virtualnetworks/subnets")
    else {
        let network = super::path::parent_of(asked);
        return match call.world.get(&network) {
            Some(_) => missing("SubnetNotFound", asked),
            None => missing("InvalidResourceReference", asked),
        };
    };
    if text(&subnet.body, "/properties/provisioningState") == "Updating" {
        let said = format!(
            "Cannot proceed with operation because resource {asked} used by resource {id} is not in Succeeded state. Resource is in Updating state and the last operation that updated/is updating the resource is PutSubnetOperation."
        );
        return Err(ArmError::new(429, "RetryableError", "A retryable error occurred.")
            .nested("ReferencedResourceNotProvisioned", said)
            .retry_after(call.patience()));
    }
    Ok(subnet.id.clone())
}

/// Target, group, subnet and kind of approval cannot be changed: Terraform makes a new resource for each.
fn check_unchanged(before: &Value, wanted: &EndpointRequest) -> Result<(), ArmError> {
    let target = |b: &Value| connection_of(b).map(|c| key(text(c, "/properties/privateLinkServiceId")));
    let same = key(text(before, "/properties/subnet/id")) == key(&wanted.subnet)
        && target(before) == target(&wanted.body)
        && connections::group_ids(before) == connections::group_ids(&wanted.body)
        && is_manual(before) == wanted.manual;
    if same {
        return Ok(());
    }
    let said = "Subnet, target, group and kind of approval of an existing private endpoint cannot be changed.";
    Err(ArmError::new(400, "PrivateEndpointPropertyCannotBeChanged", said))
}

/// Two endpoints of one VNet are not worked on at once: the second gets a 429 that is no throttling (azurerm#21293).
fn refuse_neighbours(call: &Call<'_>, wanted: &EndpointRequest, id: &str) -> Result<(), ArmError> {
    let mut running = call
        .control
        .operations
        .running()
        .filter(|o| !o.resource.eq_ignore_ascii_case(id));
    let own = call
        .control
        .operations
        .running()
        .any(|o| o.resource.eq_ignore_ascii_case(id));
    if own {
        let said = format!("Another operation on {id} is in progress.");
        return Err(ArmError::new(429, "RetryableErrorDueToAnotherOperation", said).retry_after(call.patience()));
    }
    if !call.world.switches.serialise_endpoints {
        return Ok(());
    }
    let network = key(&wanted.network);
    let Some(other) = running.find(|o| o.busy.contains(&network)) else {
        return Ok(());
    };
    let said = format!(
        "Operation on {id} cannot start because of another operation on {} in the same virtual network.",
        other.resource
    );
    let error = ArmError::new(429, "RetryableErrorDueToAnotherOperation", said).retry_after(call.patience());
    if !other.busy.contains(&key(&wanted.subnet)) {
        return Err(error);
    }
    let said = format!(
        "Cannot proceed with operation because resource {} used by resource {id} is not in Succeeded state. Resource is in Updating state and the last operation that updated/is updating the resource is PutSubnetOperation.",
        wanted.subnet
    );
    Err(error.nested("ReferencedResourceNotProvisioned", said))
}

/// Another endpoint's operation on the same storage account is under way: this one is taken on and fails.
fn storage_busy(call: &Call<'_>, target: &str) -> bool {
    let target = key(target);
    call.world.switches.serialise_endpoints && call.control.operations.running().any(|o| o.busy.contains(&target))
}

fn write(call: &mut Call<'_>, id: &str, wanted: &EndpointRequest, before: Option<&Value>) {
    let status = before
        .map(connections::status_of)
        .filter(|s| !s.is_empty())
        .unwrap_or("Pending")
        .to_owned();
    let lists = if wanted.manual {
        "manualPrivateLinkServiceConnections"
    } else {
        "privateLinkServiceConnections"
    };
    let connection = connection_of(&wanted.body).cloned().unwrap_or(Value::Null);
    let name = match text(&connection, "/name") {
        "" => name_of(id).to_owned(),
        name => name.to_owned(),
    };
    let mut properties = json!({
        "provisioningState": if before.is_some() { "Updating" } else { "Creating" },
        "ipVersionType": "IPv4", "resourceGuid": crate::json::guid(&["pe", &key(id)]),
        "subnet": {"id": wanted.subnet},
        "privateLinkServiceConnections": [], "manualPrivateLinkServiceConnections": [],
        "ipConfigurations": list(&wanted.body, "/properties/ipConfigurations"),
        "customNetworkInterfaceName": text(&wanted.body, "/properties/customNetworkInterfaceName"),
        "applicationSecurityGroups": list(&wanted.body, "/properties/applicationSecurityGroups"),
        "networkInterfaces": before.map_or(&[][..], |b| list(b, "/properties/networkInterfaces")),
        "customDnsConfigs": before.map_or(&[][..], |b| list(b, "/properties/customDnsConfigs")),
    });
    properties[lists] = json!([{
        "name": name, "id": format!("{id}/{lists}/{name}"),
        "type": format!("Microsoft.Network/privateEndpoints/{lists}"),
        "properties": {
            "provisioningState": "Succeeded",
            "privateLinkServiceId": text(&connection, "/properties/privateLinkServiceId"),
            "groupIds": list(&connection, "/properties/groupIds"),
            "requestMessage": text(&connection, "/properties/requestMessage"),
            "privateLinkServiceConnectionState": {
                "status": status, "description": "", "actionsRequired": "None",
            },
        },
    }]);
    let body = json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/privateEndpoints",
        "location": text(&wanted.body, "/location"),
        "tags": wanted.body.get("tags").filter(|t| t.is_object()).cloned().unwrap_or(json!({})),
        "properties": properties,
    });
    call.put(id, body);
}

/// The operation's end: connect to the target.
fn finish(world: &mut World, id: &str, collides: bool, at: Duration) -> Result<(), Value> {
    let target = world
        .get(id)
        .and_then(|e| connection_of(&e.body))
        .map(|c| text(c, "/properties/privateLinkServiceId").to_owned())
        .unwrap_or_default();
    let error = if collides {
        Some(json!({
            "code": "StorageAccountOperationInProgress",
            "message": format!("Call to Microsoft.Storage/storageAccounts failed. Error message: An operation is currently performing on this storage account that requires exclusive access: {target}"),
        }))
    } else if world.get(&target).is_none() {
        Some(json!({
            "code": "RetryableError", "message": "A retryable error occurred.",
            "details": [{"code": "ReferencedResourceNotProvisioned", "message": format!("{target} was not found.")}],
        }))
    } else {
        None
    };
    if let Some(error) = error {
        // A failed creation leaves the endpoint behind (microsoft/AzureTRE#3433).
        world.edit(id, at, |b| {
            set(b, &["properties", "provisioningState"], json!("Failed"))
        });
        return Err(error);
    }
    world.edit(id, at, |b| {
        set(b, &["properties", "provisioningState"], json!("Succeeded"))
    });
    connect(world, id, at);
    Ok(())
}

/// Puts the connection into its first state, or brings an existing one's names up to date.
pub(crate) fn connect(world: &mut World, id: &str, at: Duration) {
    let Some(endpoint) = world.get(id) else { return };
    let connected = connections::connection_id(world, id).is_some_and(|c| world.get(&c).is_some());
    if !connected && connections::status_of(&endpoint.body) != "Disconnected" {
        let pending = is_manual(&endpoint.body) || world.switches.approval_pending;
        let asked = connection_of(&endpoint.body).map_or("", |c| text(c, "/properties/requestMessage"));
        // What its owner reads while it waits is what was asked with.
        let (status, said) = match (pending, asked) {
            (true, "") => ("Pending", "Awaiting approval".to_owned()),
            (true, asked) => ("Pending", asked.to_owned()),
            (false, _) => ("Approved", "Auto-Approved".to_owned()),
        };
        connections::set_state(world, id, status, &said, at);
        connections::after_first_endpoint(world, id, at);
    }
    connections::refresh_names(world, id, at);
}

fn delete(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let Some(endpoint) = call.world.get(&id) else {
        return Ok(JsonResponse::empty(204));
    };
    let subnet = text(&endpoint.body, "/properties/subnet/id").to_owned();
    let network = super::path::parent_of(&subnet);
    let target = connection_of(&endpoint.body)
        .map_or("", |c| text(c, "/properties/privateLinkServiceId"))
        .to_owned();
    let wanted = EndpointRequest {
        body: Value::Null,
        subnet,
        network,
        target,
        manual: false,
    };
    refuse_neighbours(call, &wanted, &id)?;
    call.edit(&id, |b| set(b, &["properties", "provisioningState"], json!("Deleting")));
    let (gone, busy) = (id.clone(), vec![key(&wanted.network), key(&wanted.subnet)]);
    let operation = call.start_with(Work::Endpoint, Last::NoContent, busy, move |world, at| {
        remove(world, &gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// Removes an endpoint with its zone group's records, its interface and its connection.
pub(crate) fn remove(world: &mut World, id: &str, at: Duration) {
    let groups: Vec<String> = world
        .below(id)
        .filter(|r| r.kind.ends_with("/privatednszonegroups"))
        .map(|r| r.id.clone())
        .collect();
    for group in groups {
        super::zone_groups::remove(world, &group, at);
    }
    connections::remove_for(world, id, at);
    let interfaces: Vec<String> = world
        .get(id)
        .map(|e| {
            list(&e.body, "/properties/networkInterfaces")
                .iter()
                .map(|n| text(n, "/id").to_owned())
                .collect()
        })
        .unwrap_or_default();
    for interface in interfaces {
        world.remove(&interface, at);
    }
    world.remove_tree(id, at);
}
