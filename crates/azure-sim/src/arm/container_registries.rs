//! Container registries: made, changed and read (azure.md §5.2). A change takes effect when its operation ends.

use serde_json::{Map, Value, json};

use super::accounts::{check_access, write_tags};
use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::registry_accounts::{add_replica, container_registry_body, refresh_data_endpoints, remove_target};
use super::rendering::render;
use crate::json::{list, merge, set, text};
use crate::latency::Work;
use crate::operations::Last;

/// Fields of a container registry's `properties` that only the service writes.
const OWNED: &[&str] = &[
    "privateEndpointConnections",
    "provisioningState",
    "loginServer",
    "creationDate",
    "dataEndpointHostNames",
];
const SKUS: &[&str] = &["Basic", "Standard", "Premium"];

/// Answers requests for container registries, their replications and usages, and free names.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let kind = call.path.kind();
    match (kind.rsplit('/').next().unwrap_or(""), call.method.as_str()) {
        ("registries" | "replications", "GET") => Ok(as_the_version_shows(call, call.read()?)),
        ("registries", "PUT") => put(call),
        ("registries", "PATCH") => {
            let asked = call.body()?;
            change(call, &asked)
        }
        ("registries", "DELETE") => delete(call),
        ("replications", "PUT" | "PATCH" | "DELETE") => Err(ArmError::not_modelled(
            "writing a container registry's replications: its machine learning registry does",
        )),
        ("listusages", "GET") => usages(call),
        ("checknameavailability", "POST") => check_name(call),
        _ => Err(call.no_such_method()),
    }
}

/// The first stable version that names subnet rules again.
const SHOWS_SUBNETS: &str = "2026-11-01";

/// Without what the version asked for does not name (U37).
fn as_the_version_shows(call: &Call<'_>, mut answer: JsonResponse) -> JsonResponse {
    if call.world.switches.acr_subnet_rules_hidden
        && call.api_version.as_str() < SHOWS_SUBNETS
        && let Some(set) = answer
            .body
            .as_mut()
            .and_then(|body| body.pointer_mut("/properties/networkRuleSet")?.as_object_mut())
    {
        set.remove("virtualNetworkRules");
    }
    answer
}

fn put(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let asked = call.body()?;
    let sku = SKUS.iter().find(|s| s.eq_ignore_ascii_case(text(&asked, "/sku/name")));
    let Some(sku) = sku else {
        return Err(ArmError::new(
            400,
            "InvalidSku",
            "The SKU of a container registry is Basic, Standard or Premium.",
        ));
    };
    if call.world.get(&id).is_some() {
        return change(call, &asked);
    }
    if taken(call, call.path.name()) {
        let said = format!(
            "The registry DNS name {}.azurecr.io is already in use.",
            call.path.name()
        );
        return Err(ArmError::new(409, "AlreadyInUse", said));
    }
    let location = text(&asked, "/location").to_owned();
    let mut body = container_registry_body(&id, &location, sku, "Enabled");
    let before = body.clone();
    apply(&mut body, &asked)?;
    write_tags(&mut body, &asked);
    check(call, &before, &body)?;
    set(&mut body, &["properties", "provisioningState"], json!("Creating"));
    call.put(&id, body);
    let registry = id.clone();
    let operation = call.start(Work::ContainerRegistry, Last::Resource(id.clone()), move |world, at| {
        world.edit(&registry, at, |b| {
            set(b, &["properties", "provisioningState"], json!("Succeeded"))
        });
        add_replica(world, &registry, &location, at)
    });
    call.accepted(201, &id, &operation, Headers::AsyncOperation)
}

/// Names are one for all tenants.
fn taken(call: &Call<'_>, name: &str) -> bool {
    let mut registries = call.world.of_kind(crate::targets::CONTAINER_REGISTRY);
    registries.any(|r| super::path::name_of(&r.id).eq_ignore_ascii_case(name))
}

/// What is asked for of `properties`, put into a body; what only the service writes stays.
fn apply(body: &mut Value, asked: &Value) -> Result<(), ArmError> {
    let properties = asked
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    check_access(&properties, &["Enabled", "Disabled"])?;
    write(body, &properties);
    Ok(())
}

fn write(body: &mut Value, properties: &Map<String, Value>) {
    for (name, value) in properties.iter().filter(|(name, _)| !OWNED.contains(&name.as_str())) {
        match body["properties"].get_mut(name.as_str()) {
            Some(present) if name == "policies" => merge(present, value),
            Some(_) | None => set(body, &["properties", name.as_str()], value.clone()),
        }
    }
}

fn change(call: &mut Call<'_>, asked: &Value) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let Some(account) = call.world.get(&id) else {
        return Err(ArmError::not_found(&id));
    };
    let before = account.body.clone();
    if text(&before, "/properties/provisioningState") == "Updating" {
        let said = format!(
            "The registry {} is being updated by another operation.",
            call.path.name()
        );
        return Err(ArmError::new(409, "AnotherOperationInProgress", said).retry_after(call.patience()));
    }
    let mut wanted = before.clone();
    apply(&mut wanted, asked)?;
    write_tags(&mut wanted, asked);
    check(call, &before, &wanted)?;
    call.edit(&id, |b| set(b, &["properties", "provisioningState"], json!("Updating")));
    let registry = id.clone();
    let changed = asked
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let tags = asked.get("tags").filter(|t| t.is_object()).cloned();
    let operation = call.start(Work::ContainerRegistry, Last::Resource(id.clone()), move |world, at| {
        world.edit(&registry, at, |body| {
            write(body, &changed);
            if let Some(tags) = tags {
                set(body, &["tags"], tags);
            }
            set(body, &["properties", "provisioningState"], json!("Succeeded"));
        });
        refresh_data_endpoints(world, &registry, at);
        Ok(())
    });
    set(&mut wanted, &["properties", "provisioningState"], json!("Updating"));
    Ok(call.poll_headers(JsonResponse::new(200, wanted), &operation, Headers::AsyncOperation))
}

fn check(call: &Call<'_>, before: &Value, wanted: &Value) -> Result<(), ArmError> {
    let disabled = |b: &Value| text(b, "/properties/publicNetworkAccess") == "Disabled";
    let export_off = |b: &Value| text(b, "/properties/policies/exportPolicy/status") == "disabled";
    if disabled(wanted) && text(wanted, "/sku/name") != "Premium" {
        let said = format!(
            "Disabling public network access is not supported for the SKU {}.",
            text(wanted, "/sku/name")
        );
        return Err(ArmError::new(400, "DisablingPublicNetworkAccessNotSupported", said));
    }
    let reopening = disabled(before) && !disabled(wanted) && export_off(wanted);
    let closing_export = !export_off(before) && export_off(wanted) && !disabled(wanted);
    if closing_export || (reopening && call.world.switches.export_policy_blocks_reopening) {
        let said = "The export policy can be disabled only while public network access is disabled.";
        return Err(ArmError::new(
            400,
            "ExportPolicyRequiresPublicNetworkAccessDisabled",
            said,
        ));
    }
    let rules = wanted.pointer("/properties/networkRuleSet");
    if rules.is_some_and(|r| !["Allow", "Deny"].contains(&text(r, "/defaultAction"))) {
        return Err(ArmError::new(
            400,
            "InvalidRequestContent",
            "networkRuleSet.defaultAction is required.",
        ));
    }
    if list(wanted, "/properties/networkRuleSet/ipRules").len() > 200 {
        return Err(ArmError::new(
            400,
            "TooManyIpRules",
            "A container registry holds at most 200 IP rules.",
        ));
    }
    Ok(())
}

fn delete(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    if call.world.get(&id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    let gone = id.clone();
    let operation = call.start(Work::ContainerRegistry, Last::NoContent, move |world, at| {
        remove_target(world, &gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

fn usages(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    let registry = call.path.parent();
    let Some(found) = call.world.get(&registry).map(|r| render(call.world, r)) else {
        return Err(call.parent_missing(&registry));
    };
    let usage = |name: &str, limit: u64, current: usize, unit: &str| json!({"name": name, "limit": limit, "currentValue": current, "unit": unit});
    let connections = list(&found, "/properties/privateEndpointConnections").len();
    Ok(JsonResponse::new(
        200,
        json!({ "value": [
            usage("Size", 536_870_912_000, 0, "Bytes"),
            usage("PrivateEndpointConnections", 200, connections, "Count"),
        ]}),
    ))
}

fn check_name(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let name = text(&body, "/name");
    let legal = (5..=50).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    let (reason, message) = match (legal, taken(call, name)) {
        (false, _) => ("Invalid", format!("The name {name} is not valid.")),
        (true, true) => ("AlreadyExists", format!("The registry {name} is already in use.")),
        (true, false) => return Ok(JsonResponse::new(200, json!({ "nameAvailable": true }))),
    };
    Ok(JsonResponse::new(
        200,
        json!({ "nameAvailable": false, "reason": reason, "message": message }),
    ))
}
