//! Private zones and their links (azure.md §4.1), written by operations that are polled by either header; what such a zone
//! holds is in `super::record_sets`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::path::name_of;
use super::record_sets::{LINK, ZONE, refresh_zone};
use crate::json::{flag, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::world::{World, key};

/// Answers requests for zones.
pub(crate) fn serve_zone(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => {
            call.check_preconditions()?;
            let body = call.body()?;
            require_global(&body)?;
            let existed = call.world.get(&id).is_some();
            if existed {
                call.edit(&id, |b| set(b, &["tags"], tags_of(&body)));
            } else {
                create_zone(call.world, &id, tags_of(&body), "Creating", call.now);
            }
            finish(call, Work::Zone, &id)
        }
        "PATCH" => {
            call.check_preconditions()?;
            let body = call.body()?;
            if !call.edit(&id, |b| set(b, &["tags"], tags_of(&body))) {
                return Err(ArmError::not_found(&id));
            }
            finish(call, Work::Zone, &id)
        }
        "DELETE" => delete_zone(call, &id),
        _ => Err(call.no_such_method()),
    }
}

fn delete_zone(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    call.check_preconditions()?;
    if call.world.below(id).any(|r| r.kind == LINK) {
        let said = format!(
            "Cannot delete resource '{id}' while nested resources exist: delete its virtual network links first."
        );
        return Err(ArmError::new(409, "CannotDeleteResource", said));
    }
    let zone = id.to_owned();
    let operation = call.start(Work::Zone, Last::NoContent, move |world, at| {
        world.remove_tree(&zone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Both)
}

/// 202 with an empty object and `Location`; at the end the resource is `Succeeded`.
fn finish(call: &mut Call<'_>, work: Work, id: &str) -> Result<JsonResponse, ArmError> {
    let done = id.to_owned();
    let operation = call.start(work, Last::Resource(id.to_owned()), move |world, at| {
        world.edit(&done, at, |b| {
            set(b, &["properties", "provisioningState"], json!("Succeeded"));
            if b.pointer("/properties/virtualNetworkLinkState").is_some() {
                set(b, &["properties", "virtualNetworkLinkState"], json!("Completed"));
            }
        });
        Ok(())
    });
    Ok(call.poll_headers(JsonResponse::new(202, json!({})), &operation, Headers::Both))
}

/// Makes a zone with the SOA that every zone has.
pub(crate) fn create_zone(world: &mut World, id: &str, tags: Value, state: &str, now: Duration) {
    world.put(id, zone_body(id, tags, state), now);
    super::record_sets::write_authority(world, id, now);
    refresh_zone(world, id, now);
}

/// The body of a new zone.
fn zone_body(id: &str, tags: Value, state: &str) -> Value {
    json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/privateDnsZones", "location": "global", "tags": tags,
        "properties": {
            "provisioningState": state, "internalId": URL_SAFE_NO_PAD.encode(format!("ImmutableZoneIdentity;{};0", key(id))),
            "maxNumberOfRecordSets": 25000, "maxNumberOfVirtualNetworkLinks": 1000,
            "maxNumberOfVirtualNetworkLinksWithRegistration": 100, "numberOfRecordSets": 1,
            "numberOfVirtualNetworkLinks": 0, "numberOfVirtualNetworkLinksWithRegistration": 0,
        },
    })
}

/// Answers requests for links.
pub(crate) fn serve_link(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => put_link(call, &id),
        "PATCH" => {
            call.check_preconditions()?;
            let body = call.body()?;
            let policy = match body.pointer("/properties/resolutionPolicy") {
                Some(_) => Some(json!(check_policy(call, &call.path.parent(), &body)?)),
                None => None,
            };
            let registration = body
                .pointer("/properties/registrationEnabled")
                .filter(|r| r.is_boolean())
                .cloned();
            let edited = call.edit(&id, |b| {
                if body.get("tags").is_some() {
                    set(b, &["tags"], tags_of(&body));
                }
                if let Some(policy) = policy {
                    set(b, &["properties", "resolutionPolicy"], policy);
                }
                if let Some(registration) = registration {
                    set(b, &["properties", "registrationEnabled"], registration);
                }
            });
            if edited {
                refresh_zone(call.world, &call.path.parent(), call.now);
                finish(call, Work::Link, &id)
            } else {
                Err(ArmError::not_found(&id))
            }
        }
        "DELETE" => delete_link(call, &id),
        _ => Err(call.no_such_method()),
    }
}

fn put_link(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    let zone = call.path.parent();
    if call.world.get(&zone).is_none() {
        return Err(call.parent_missing(&zone));
    }
    call.check_preconditions()?;
    let body = call.body()?;
    require_global(&body)?;
    let network = text(&body, "/properties/virtualNetwork/id");
    let Some(network) = call.world.get(network).map(|n| n.id.clone()) else {
        return Err(ArmError::bad_request(format!(
            "The virtual network resource '{network}' was not found."
        )));
    };
    if call.world.switches.link_needs_join {
        let own = ("Microsoft.Network/privateDnsZones/virtualNetworkLinks/write", id);
        call.require_linked("Microsoft.Network/virtualNetworks/join/action", &network, own)?;
    }
    let policy = check_policy(call, &zone, &body)?;
    let before = call.world.get(id).map(|l| l.body.clone());
    if let Some(before) = &before
        && key(text(before, "/properties/virtualNetwork/id")) != key(&network)
    {
        let said = "The virtual network of a virtual network link cannot be changed.";
        return Err(ArmError::new(409, "Conflict", said));
    }
    if before.is_none() && linked(call.world, &zone, &network) {
        let said = format!(
            "Virtual network '{network}' is already linked to the private zone '{}'.",
            name_of(&zone)
        );
        return Err(ArmError::new(409, "Conflict", said));
    }
    if before.is_none()
        && let Some(other) = overlapping(call.world, &zone, &network)
    {
        return refuse_overlap(call, &zone, &other);
    }
    let mut link = link_body(
        id,
        &network,
        flag(&body, "/properties/registrationEnabled"),
        &policy,
        tags_of(&body),
    );
    if let Some(before) = &before {
        // A link that holds goes on holding while it is changed.
        let state = before["properties"]["virtualNetworkLinkState"].clone();
        set(&mut link, &["properties", "virtualNetworkLinkState"], state);
        set(&mut link, &["properties", "provisioningState"], json!("Updating"));
    }
    call.put(id, link);
    let (world, now) = (&mut *call.world, call.now);
    refresh_zone(world, &zone, now);
    finish(call, Work::Link, id)
}

/// The operation is taken on and fails (azure.md §4.1).
fn refuse_overlap(call: &mut Call<'_>, zone: &str, other: &str) -> Result<JsonResponse, ArmError> {
    let said = format!(
        "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link virtual \
         network with '{}' and '{}' zones.",
        name_of(zone),
        name_of(other)
    );
    let operation = call.start(Work::Link, Last::NoContent, move |_, _| {
        Err(json!({ "code": "BadRequest", "message": said }))
    });
    Ok(call.poll_headers(JsonResponse::new(202, json!({})), &operation, Headers::Both))
}

fn check_policy(call: &Call<'_>, zone: &str, body: &Value) -> Result<String, ArmError> {
    let policy = text(body, "/properties/resolutionPolicy");
    match policy {
        "" | "Default" => Ok("Default".to_owned()),
        "NxDomainRedirect" if call.api_version.as_str() < "2024-06-01" => Ok("Default".to_owned()),
        "NxDomainRedirect" if name_of(zone).to_ascii_lowercase().starts_with("privatelink.") => Ok(policy.to_owned()),
        other => Err(ArmError::bad_request(format!(
            "The resolution policy '{other}' is not allowed for the private zone '{}'.",
            name_of(zone)
        ))),
    }
}

/// The body of a new link.
pub(crate) fn link_body(id: &str, network: &str, registration: bool, policy: &str, tags: Value) -> Value {
    json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "location": "global", "tags": tags,
        "properties": {
            "virtualNetwork": {"id": network}, "registrationEnabled": registration, "resolutionPolicy": policy,
            "virtualNetworkLinkState": "InProgress", "provisioningState": "Creating",
        },
    })
}

/// Whether the VNet has a link to this zone.
fn linked(world: &World, zone: &str, network: &str) -> bool {
    world
        .below(zone)
        .any(|r| r.kind == LINK && key(text(&r.body, "/properties/virtualNetwork/id")) == key(network))
}

/// Another zone of the same name that the VNet is linked to.
fn overlapping(world: &World, zone: &str, network: &str) -> Option<String> {
    world
        .of_kind(ZONE)
        .filter(|z| name_of(&z.id).eq_ignore_ascii_case(name_of(zone)) && key(&z.id) != key(zone))
        .find(|z| linked(world, &z.id, network))
        .map(|z| z.id.clone())
}

fn delete_link(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    call.check_preconditions()?;
    call.edit(id, |b| set(b, &["properties", "provisioningState"], json!("Deleting")));
    let (link, zone) = (id.to_owned(), call.path.parent());
    let lag = Duration::from_secs(call.world.switches.link_deletion_lag_seconds);
    let gone = move |world: &mut World, at: Duration| {
        world.remove(&link, at);
        refresh_zone(world, &zone, at);
        Ok(())
    };
    if lag.is_zero() {
        let operation = call.start(Work::Link, Last::NoContent, gone);
        return call.accepted_empty(&operation, Headers::Both);
    }
    // The operation is over before the link is gone (azure.md §12, trap 15).
    let operation = call.start(Work::Link, Last::NoContent, |_, _| Ok(()));
    let after = call
        .control
        .operations
        .get(&operation)
        .map_or(call.now, |o| o.ends)
        .saturating_add(lag);
    call.control.operations.start(
        crate::operations::Plan {
            id: format!("{operation}-gone"),
            resource: id.to_owned(),
            length: after.saturating_sub(call.now),
            last: Last::NoContent,
            started_by: String::new(),
            busy: Vec::new(),
            effect: Box::new(gone),
        },
        call.now,
    );
    call.accepted_empty(&operation, Headers::Both)
}

fn require_global(body: &Value) -> Result<(), ArmError> {
    match text(body, "/location").eq_ignore_ascii_case("global") {
        true => Ok(()),
        false => Err(ArmError::new(
            400,
            "LocationNotAvailableForResourceType",
            "The location of private DNS resources is 'global'.",
        )),
    }
}

fn tags_of(body: &Value) -> Value {
    body.get("tags").filter(|t| t.is_object()).cloned().unwrap_or(json!({}))
}
