//! Zone groups: they write an endpoint's names as A records into private zones, over whatever stands there, and take them
//! away again, even when another endpoint relies on them (azure.md §4.2, §4.3).

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::endpoint_addresses::names_of;
use super::path::{name_of, parent_of};
use super::record_sets;
use crate::json::{guid, list, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::targets::endpoint_view;
use crate::world::World;

/// TTL of the records that a zone group writes.
const TTL: u64 = 10;

/// Answers requests for zone groups.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => put(call),
        "DELETE" => delete(call),
        _ => Err(call.no_such_method()),
    }
}

fn put(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (id, endpoint_id) = (call.path.text.clone(), call.path.parent());
    let Some(endpoint) = call.world.get(&endpoint_id) else {
        return Err(call.parent_missing(&endpoint_id));
    };
    if text(&endpoint.body, "/properties/provisioningState") != "Succeeded" {
        let said = format!(
            "Call to Microsoft.Network/privateEndpoints failed. Error message: resource {endpoint_id} is not in Succeeded state."
        );
        return Err(ArmError::new(429, "RetryableError", "A retryable error occurred.")
            .nested("ReferencedResourceNotProvisioned", said)
            .retry_after(call.patience()));
    }
    let body = call.body()?;
    let other = call.world.below(&endpoint_id).find(|r| !r.id.eq_ignore_ascii_case(&id));
    if other.is_some_and(|r| r.kind.ends_with("/privatednszonegroups")) {
        let said =
            format!("Private endpoint {endpoint_id} already has a private DNS zone group; only one is supported.");
        return Err(ArmError::new(
            400,
            "PrivateEndpointMultipleDnsZoneGroupsNotSupported",
            said,
        ));
    }
    let configs = list(&body, "/properties/privateDnsZoneConfigs").to_vec();
    if configs.is_empty() || configs.len() > 5 {
        return Err(ArmError::bad_request(
            "A private DNS zone group holds between 1 and 5 private DNS zone configs.",
        ));
    }
    check_zones(call, &id, &configs)?;
    let existed = call.world.get(&id).is_some();
    let before = call.world.get(&id).map_or_else(Vec::new, |g| records_of(&g.body));
    let written = json!({
        "id": id, "name": name_of(&id), "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "properties": {"provisioningState": "Updating", "privateDnsZoneConfigs": configs.iter().map(|c| json!({
            "name": text(c, "/name"), "id": format!("{id}/privateDnsZoneConfigs/{}", text(c, "/name")),
            "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/privateDnsZoneConfigs",
            "properties": {"provisioningState": "Updating", "privateDnsZoneId": text(c, "/properties/privateDnsZoneId"),
                "recordSets": []},
        })).collect::<Vec<_>>()},
    });
    call.put(&id, written);
    let (group, endpoint) = (id.clone(), endpoint_id.clone());
    let operation = call.start(Work::ZoneGroup, Last::Resource(id.clone()), move |world, at| {
        if let Some(error) = locked_writes(world, &group, &endpoint) {
            fail(world, &group, at);
            return Err(error);
        }
        world.edit(&group, at, |body| {
            set(body, &["properties", "provisioningState"], json!("Succeeded"))
        });
        super::connections::refresh_names(world, &endpoint, at);
        let kept = world.get(&group).map_or_else(Vec::new, |g| records_of(&g.body));
        remove_records(world, before.into_iter().filter(|r| !kept.contains(r)), at);
        Ok(())
    });
    call.accepted(
        if existed { 200 } else { 201 },
        &id,
        &operation,
        Headers::AsyncOperation,
    )
}

/// All zones have to exist and be joinable; a config cannot change its zone under the same name.
fn check_zones(call: &Call<'_>, id: &str, configs: &[Value]) -> Result<(), ArmError> {
    for config in configs {
        let zone = text(config, "/properties/privateDnsZoneId");
        let Some(zone) = call.world.get(zone) else {
            let said = format!("Resource {zone} referenced by resource {id} was not found.");
            return Err(ArmError::new(400, "InvalidResourceReference", said));
        };
        let own = ("Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write", id);
        call.require_linked("Microsoft.Network/privateDnsZones/join/action", &zone.id, own)?;
        let present = call
            .world
            .get(id)
            .map_or(&[][..], |g| list(&g.body, "/properties/privateDnsZoneConfigs"));
        let changed = present.iter().any(|p| {
            text(p, "/name") == text(config, "/name")
                && !text(p, "/properties/privateDnsZoneId").eq_ignore_ascii_case(&zone.id)
        });
        if changed {
            let said = format!(
                "The private DNS zone of config '{}' cannot be changed.",
                text(config, "/name")
            );
            return Err(ArmError::new(400, "PrivateDnsZoneIdCannotBeChanged", said));
        }
    }
    Ok(())
}

fn delete(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    if call.world.get(&id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    call.edit(&id, |body| {
        set(body, &["properties", "provisioningState"], json!("Deleting"))
    });
    let group = id.clone();
    let operation = call.start(Work::ZoneGroup, Last::NoContent, move |world, at| {
        if let Some(error) = locked_records(world, &group) {
            fail(world, &group, at);
            return Err(error);
        }
        remove(world, &group, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// A lock on a zone, or above, keeps the records in it.
fn locked_records(world: &World, group_id: &str) -> Option<Value> {
    let group = world.get(group_id)?;
    let mut records = records_of(&group.body).into_iter();
    records.find_map(|record| super::locks::holder(world, &record, true))
}

/// A lock `ReadOnly` on a record, its zone, or above, keeps the record from being written.
fn locked_writes(world: &World, group_id: &str, endpoint_id: &str) -> Option<Value> {
    let (group, endpoint) = (world.get(group_id)?, world.get(endpoint_id)?);
    let names = names_of(world, &endpoint.body);
    let zones = list(&group.body, "/properties/privateDnsZoneConfigs").iter();
    let mut zones = zones.map(|config| text(config, "/properties/privateDnsZoneId"));
    zones.find_map(|zone| {
        let records = names.iter().filter(|n| n.zone.eq_ignore_ascii_case(name_of(zone)));
        let mut records = records.map(|n| format!("{zone}/A/{}", n.record));
        records.find_map(|record| super::locks::holder(world, &record, false))
    })
}

fn fail(world: &mut World, group_id: &str, at: Duration) {
    world.edit(group_id, at, |body| {
        set(body, &["properties", "provisioningState"], json!("Failed"))
    });
}

/// Removes a group and the records it wrote, whoever wrote over them since.
pub(crate) fn remove(world: &mut World, group_id: &str, now: Duration) {
    let Some(group) = world.get(group_id) else { return };
    let records = records_of(&group.body);
    remove_records(world, records.into_iter(), now);
    let endpoint = parent_of(group_id);
    world.remove(group_id, now);
    super::connections::refresh_names(world, &endpoint, now);
}

/// Ids of the records that a group says it wrote.
fn records_of(group: &Value) -> Vec<String> {
    list(group, "/properties/privateDnsZoneConfigs")
        .iter()
        .flat_map(|config| {
            let zone = text(config, "/properties/privateDnsZoneId");
            list(config, "/properties/recordSets")
                .iter()
                .map(move |r| format!("{zone}/A/{}", text(r, "/recordSetName")))
        })
        .collect()
}

fn remove_records(world: &mut World, records: impl Iterator<Item = String>, now: Duration) {
    for record in records {
        world.remove(&record, now);
        record_sets::refresh_zone(world, &parent_of(&record), now);
    }
}

/// Writes the records of an approved endpoint's groups. Until the connection is approved there are none (azure.md §4.2).
pub(crate) fn write_records(world: &mut World, endpoint_id: &str, now: Duration) {
    let Some(endpoint) = world.get(endpoint_id) else { return };
    let Some(view) = endpoint_view(world, endpoint).filter(|v| v.connects()) else {
        return;
    };
    let names = names_of(world, &endpoint.body);
    let settled = |g: &&crate::world::Resource| {
        g.kind.ends_with("/privatednszonegroups") && text(&g.body, "/properties/provisioningState") == "Succeeded"
    };
    let groups: Vec<(String, Value)> = world
        .below(endpoint_id)
        .filter(settled)
        .map(|g| (g.id.clone(), g.body.clone()))
        .collect();
    for (group_id, mut body) in groups {
        let configs = body
            .pointer_mut("/properties/privateDnsZoneConfigs")
            .and_then(Value::as_array_mut);
        for config in configs.into_iter().flatten() {
            let zone = text(config, "/properties/privateDnsZoneId").to_owned();
            if world.get(&zone).is_none() {
                continue;
            }
            let mut sets = Vec::new();
            for name in names.iter().filter(|n| n.zone.eq_ignore_ascii_case(name_of(&zone))) {
                let addresses: Vec<String> = view
                    .members
                    .iter()
                    .filter(|m| m.fqdns.contains(&name.fqdn))
                    .map(|m| m.address.to_string())
                    .collect();
                let metadata = json!({ "creator": format!(
                    "created by private endpoint {} with resource guid {}", name_of(endpoint_id), guid(&["pe", endpoint_id])) });
                record_sets::write_addresses(world, &zone, &name.record, (&addresses, TTL, metadata), now);
                sets.push(json!({
                    "recordType": "A", "recordSetName": name.record, "fqdn": name.private_fqdn(), "ttl": TTL,
                    "ipAddresses": addresses, "provisioningState": "Succeeded",
                }));
            }
            drop_lost(world, &zone, list(config, "/properties/recordSets"), &sets, now);
            set(config, &["properties", "recordSets"], Value::Array(sets));
            set(config, &["properties", "provisioningState"], json!("Succeeded"));
        }
        world.put(&group_id, body, now);
    }
}

/// Records of members that the endpoint no longer has go.
fn drop_lost(world: &mut World, zone: &str, before: &[Value], after: &[Value], now: Duration) {
    for old in before {
        let name = text(old, "/recordSetName");
        if !after.iter().any(|new| text(new, "/recordSetName") == name) {
            world.remove(&format!("{zone}/A/{name}"), now);
        }
    }
}
