//! Storage accounts and container registries: their network settings (azure.md §5) and the connections that all three kinds
//! of targets have (§3.3). A storage PATCH is synchronous; a container registry's takes effect when its operation ends.

use serde_json::{Map, Value, json};

use super::answer::{Answer, ArmError};
use super::call::{Call, Headers};
use super::connections;
use crate::json::{list, merge, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::targets::TargetKind;
use crate::world::ConnectionsApi;

/// Fields of a storage account's `properties` that only the service writes.
const STORAGE_OWNED: &[&str] = &[
    "privateEndpointConnections",
    "provisioningState",
    "primaryEndpoints",
    "creationTime",
    "isHnsEnabled",
];
/// Fields of a container registry's `properties` that only the service writes.
const ACR_OWNED: &[&str] = &[
    "privateEndpointConnections",
    "provisioningState",
    "loginServer",
    "creationDate",
    "dataEndpointHostNames",
];

/// Answers requests for storage accounts.
pub(crate) fn serve_storage(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    match call.method.as_str() {
        "GET" => call.read(),
        "PATCH" => patch_storage(call),
        _ => Err(call.no_such_method()),
    }
}

fn patch_storage(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let id = call.path.text.clone();
    let patch = call.body()?;
    let Some(account) = call.world.get(&id) else {
        return Err(ArmError::not_found(&id));
    };
    let mut body = account.body.clone();
    let asked = patch
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    check_access(&asked, &["Enabled", "Disabled", "SecuredByPerimeter"])?;
    for (name, value) in &asked {
        match name.as_str() {
            "networkAcls" => {
                super::firewall::check_subnets(call, value)?;
                let rules = network_acls(
                    value,
                    &body["properties"]["networkAcls"],
                    call.world.switches.network_acls_merged,
                )?;
                set(&mut body, &["properties", "networkAcls"], rules);
            }
            owned if STORAGE_OWNED.contains(&owned) => {}
            other => set(&mut body, &["properties", other], value.clone()),
        }
    }
    write_tags(&mut body, &patch);
    call.put(&id, body);
    call.path_answer(200)
}

/// `networkAcls` replace what is there as a whole: a list left out is empty afterwards (U16 by switch).
fn network_acls(asked: &Value, present: &Value, merged: bool) -> Result<Value, ArmError> {
    let action = text(asked, "/defaultAction");
    if !["Allow", "Deny"].contains(&action) {
        let said = "Values for request parameters are invalid: networkAcls.defaultAction.";
        return Err(ArmError::new(400, "InvalidValuesForRequestParameters", said));
    }
    let mut rules = match merged {
        true => present.clone(),
        false => json!({ "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "ipv6Rules": [],
            "resourceAccessRules": [] }),
    };
    for (name, value) in asked.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()) {
        set(&mut rules, &[name.as_str()], value.clone());
    }
    for rule in ["ipRules", "virtualNetworkRules"] {
        for entry in rules.get_mut(rule).and_then(Value::as_array_mut).into_iter().flatten() {
            if text(entry, "/action").is_empty() {
                set(entry, &["action"], json!("Allow"));
            }
        }
    }
    Ok(rules)
}

fn check_access(asked: &Map<String, Value>, values: &[&str]) -> Result<(), ArmError> {
    match asked.get("publicNetworkAccess").map(|v| v.as_str().unwrap_or("")) {
        Some(value) if !values.contains(&value) => Err(ArmError::new(
            400,
            "InvalidRequestPropertyValue",
            format!(
                "The value '{value}' is not a valid value for property publicNetworkAccess. The valid values are: {}.",
                values.join(", ")
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn write_tags(body: &mut Value, patch: &Value) {
    if let Some(tags) = patch.get("tags").filter(|t| t.is_object()) {
        set(body, &["tags"], tags.clone());
    }
}

/// Answers requests for container registries and their replications.
pub(crate) fn serve_container_registry(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    match call.method.as_str() {
        "GET" => call.read(),
        "PATCH" if call.path.types.len() == 1 => patch_container_registry(call),
        _ => Err(call.no_such_method()),
    }
}

fn patch_container_registry(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let id = call.path.text.clone();
    let patch = call.body()?;
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
    let asked = patch
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    check_access(&asked, &["Enabled", "Disabled"])?;
    let mut wanted = before.clone();
    for (name, value) in asked.iter().filter(|(name, _)| !ACR_OWNED.contains(&name.as_str())) {
        match wanted["properties"].get_mut(name.as_str()) {
            Some(present) if name == "policies" => merge(present, value),
            Some(_) | None => set(&mut wanted, &["properties", name.as_str()], value.clone()),
        }
    }
    write_tags(&mut wanted, &patch);
    check_container_registry(call, &before, &wanted)?;
    call.edit(&id, |b| set(b, &["properties", "provisioningState"], json!("Updating")));
    let (registry, changed) = (id.clone(), asked);
    let tags = patch.get("tags").filter(|t| t.is_object()).cloned();
    let operation = call.start(Work::ContainerRegistry, Last::Resource(id.clone()), move |world, at| {
        world.edit(&registry, at, |body| {
            for (name, value) in changed.iter().filter(|(name, _)| !ACR_OWNED.contains(&name.as_str())) {
                match body["properties"].get_mut(name.as_str()) {
                    Some(present) if name == "policies" => merge(present, value),
                    Some(_) | None => set(body, &["properties", name.as_str()], value.clone()),
                }
            }
            if let Some(tags) = tags {
                set(body, &["tags"], tags);
            }
            set(body, &["properties", "provisioningState"], json!("Succeeded"));
        });
        super::registry_accounts::refresh_data_endpoints(world, &registry, at);
        Ok(())
    });
    set(&mut wanted, &["properties", "provisioningState"], json!("Updating"));
    Ok(call.poll_headers(Answer::new(200, wanted), &operation, Headers::AsyncOperation))
}

fn check_container_registry(call: &Call<'_>, before: &Value, wanted: &Value) -> Result<(), ArmError> {
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

/// Answers requests for the connections of any target.
pub(crate) fn serve_connection(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let (id, target_id) = (call.path.text.clone(), call.path.parent());
    let Some(kind) = call.world.get(&target_id).and_then(|t| TargetKind::of(&t.kind)) else {
        return Err(call.parent_missing(&target_id));
    };
    if kind == TargetKind::Registry {
        match call.world.switches.registry_connections {
            ConnectionsApi::Present => {}
            ConnectionsApi::NotFound => return Err(ArmError::not_found(&id)),
            ConnectionsApi::Forbidden => {
                let said = format!("The action is not allowed on '{id}'.");
                return Err(ArmError::new(403, "AuthorizationFailed", said));
            }
        }
    }
    match call.method.as_str() {
        "GET" => call.read(),
        "PUT" => decide(call, kind, &id),
        "DELETE" => drop_connection(call, kind, &id),
        _ => Err(call.no_such_method()),
    }
}

/// Approves or rejects: the body holds a status and perhaps a description.
fn decide(call: &mut Call<'_>, kind: TargetKind, id: &str) -> Result<Answer, ArmError> {
    let body = call.body()?;
    let state = "/properties/privateLinkServiceConnectionState";
    let status = text(&body, &format!("{state}/status")).to_owned();
    let description = text(&body, &format!("{state}/description")).to_owned();
    if !["Approved", "Rejected", "Pending"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(&status))
    {
        let said = format!("The connection status '{status}' is not valid.");
        return Err(ArmError::new(400, "InvalidRequestContent", said));
    }
    let Some(endpoint) = connections::endpoint_of(call.world, id) else {
        return Err(ArmError::not_found(id));
    };
    if status.eq_ignore_ascii_case("Approved") && connections::is_rejected(call.world, &endpoint) {
        let said = "Approving rejected private endpoint connections is not supported.";
        return Err(ArmError::new(400, "BadRequest", said.to_owned()));
    }
    let own = (format!("{}/write", super::versions::spelled(&call.path.kind())), id);
    let target = call.path.parent();
    let action = crate::permissions::approval_action(&super::path::kind_of(&target));
    call.require_linked(&action, &target, (&own.0, own.1))?;
    if kind == TargetKind::Storage {
        connections::set_state(call.world, &endpoint, &status, &description, call.now);
        return call.path_answer(200);
    }
    let operation = call.start(Work::Connection, Last::Resource(id.to_owned()), move |world, at| {
        connections::set_state(world, &endpoint, &status, &description, at);
        Ok(())
    });
    call.accepted(200, id, &operation, Headers::AsyncOperation)
}

fn drop_connection(call: &mut Call<'_>, kind: TargetKind, id: &str) -> Result<Answer, ArmError> {
    if call.world.get(id).is_none() {
        return Ok(Answer::empty(204));
    }
    if kind == TargetKind::Storage {
        connections::disconnect(call.world, id, call.now);
        return Ok(Answer::empty(200));
    }
    let gone = id.to_owned();
    let operation = call.start(Work::Connection, Last::NoContent, move |world, at| {
        connections::disconnect(world, &gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// Answers requests for the private link resources of any target.
pub(crate) fn serve_link_resources(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let target = call.path.parent();
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    if call.world.get(&target).is_none() {
        return Err(call.parent_missing(&target));
    }
    let all = connections::private_link_resources(call.world, &target);
    match call.path.is_collection() {
        true => Ok(Answer::list(all)),
        false => {
            let found = all
                .into_iter()
                .find(|g| text(g, "/name").eq_ignore_ascii_case(call.path.name()));
            found
                .map(|g| Answer::new(200, g))
                .ok_or_else(|| ArmError::not_found(&call.path.text))
        }
    }
}
