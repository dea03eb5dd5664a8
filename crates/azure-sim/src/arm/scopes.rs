//! Resource groups, and what lies on scopes: deny assignments and policies.

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::filter::{Filter, OF_GROUPS};
use super::path::name_of;
use crate::json::set;
use crate::latency::Work;
use crate::operations::Last;
use crate::permissions::{allowed, deny_assignments_at};
use crate::world::World;

/// Answers requests for resource groups: reading, and the synchronous PUT.
pub(crate) fn serve_group(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" if call.path.is_collection() => {
            let prefix = call.path.text.rsplit_once('/').map_or("", |(p, _)| p).to_owned();
            let wanted = call
                .parameter("$filter")
                .map(|f| Filter::parse(f, OF_GROUPS))
                .transpose()?;
            let groups = call
                .world
                .below(&prefix)
                .filter(|r| r.kind == "microsoft.resources/resourcegroups")
                .filter(|r| wanted.as_ref().is_none_or(|filter| filter.passes(&r.kind, &r.body)));
            Ok(JsonResponse::list(groups.map(|g| g.body.clone()).collect()))
        }
        "GET" => match call.world.get(&id) {
            Some(group) => Ok(JsonResponse::new(200, group.body.clone())),
            None => Err(group_missing(call.path.group.as_deref().unwrap_or(""))),
        },
        "PUT" | "PATCH" => write_group(call, &id),
        "DELETE" => delete_group(call, &id),
        _ => Err(call.no_such_method()),
    }
}

fn write_group(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let before = call.world.get(id).map(|g| g.body.clone());
    let existed = before.is_some();
    if !existed && call.method == http::Method::PATCH {
        return Err(group_missing(call.path.group.as_deref().unwrap_or("")));
    }
    let mut group = before.unwrap_or_else(|| group_body(id, crate::json::text(&body, "/location")));
    match body.get("tags").filter(|t| t.is_object()) {
        Some(tags) => set(&mut group, &["tags"], tags.clone()),
        None if call.method == http::Method::PUT => set(&mut group, &["tags"], json!({})),
        None => {}
    }
    call.put(id, group);
    call.path_answer(if existed { 200 } else { 201 })
}

/// A group goes with all that is in it; that of a registry goes only with its registry.
fn delete_group(call: &mut Call<'_>, id: &str) -> Result<JsonResponse, ArmError> {
    if call.world.get(id).is_none() {
        return Err(group_missing(call.path.group.as_deref().unwrap_or("")));
    }
    if let Some(owner) = crate::permissions::registry_of_managed_group(call.world, id) {
        let said = format!("The resource group '{id}' is managed by '{owner}' and cannot be deleted by itself.");
        return Err(ArmError::new(403, "DenyAssignmentAuthorizationFailed", said));
    }
    let gone = id.to_owned();
    let operation = call.start(Work::ResourceGroup, Last::NoContent, move |world, at| {
        // Endpoints first, so that nothing is left that names a target which is gone.
        let of_kind = |world: &World, wanted: fn(&str) -> bool| -> Vec<String> {
            world
                .below(&gone)
                .filter(|r| wanted(&r.kind))
                .map(|r| r.id.clone())
                .collect()
        };
        for endpoint in of_kind(world, |kind| kind == crate::targets::PRIVATE_ENDPOINT) {
            super::private_endpoints::remove(world, &endpoint, at);
        }
        for target in of_kind(world, |kind| crate::targets::TargetKind::of(kind).is_some()) {
            super::registry_accounts::remove_target(world, &target, at);
        }
        for network in of_kind(world, |kind| kind == "microsoft.network/virtualnetworks") {
            super::networks::remove(world, &network, at);
        }
        world.remove_tree(&gone, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// The body of a resource group.
pub(crate) fn group_body(id: &str, location: &str) -> Value {
    json!({
        "id": id, "name": name_of(id), "type": "Microsoft.Resources/resourceGroups", "location": location, "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    })
}

/// 404 for a resource group that is not there.
pub(crate) fn group_missing(name: &str) -> ArmError {
    ArmError::new(
        404,
        "ResourceGroupNotFound",
        format!("Resource group '{name}' could not be found."),
    )
}

/// Answers lists of deny assignments at a scope.
pub(crate) fn serve_deny_assignments(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    let all = deny_assignments_at(call.world, &call.path.scope);
    if call.path.is_collection() {
        return Ok(JsonResponse::list(all));
    }
    let found = all
        .into_iter()
        .find(|d| crate::json::text(d, "/name").eq_ignore_ascii_case(call.path.name()));
    found
        .map(|d| JsonResponse::new(200, d))
        .ok_or_else(|| ArmError::not_found(&call.path.text))
}

/// What Azure answers without a right of its own: definitions to everybody, and lists of assignments and exemptions, which are
/// empty for whoever may not read them (MicrosoftDocs/azure-docs#110373).
pub(crate) fn asks_no_right(kind: &str, list: bool) -> bool {
    match kind {
        "microsoft.authorization/policydefinitions"
        | "microsoft.authorization/policysetdefinitions"
        | "microsoft.authorization/permissions" => true,
        "microsoft.authorization/policyassignments" | "microsoft.authorization/policyexemptions" => list,
        _ => false,
    }
}

/// Answers policy assignments, definitions and exemptions: those that hold at the scope.
pub(crate) fn serve_policies(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    if call.method != http::Method::GET {
        return super::policies::write(call);
    }
    if !call.path.is_collection() {
        return call.read();
    }
    let kind = call.path.kind();
    let action = format!("{}/read", super::versions::spelled(&kind));
    if !allowed(call.world, &call.principal, &action, &call.path.scope) {
        return Ok(JsonResponse::list(Vec::new()));
    }
    let holds = |id: &str| {
        let scope = super::path::ArmPath::parse(id).map(|p| p.scope).unwrap_or_default();
        super::policies::covers(&scope, &call.path.scope)
    };
    let found = call
        .world
        .of_kind(&kind)
        .filter(|r| holds(&r.id))
        .map(|r| r.body.clone());
    Ok(JsonResponse::list(found.collect()))
}

/// Answers what the caller may do on a scope: one entry for each role that holds there.
pub(crate) fn serve_permissions(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    if call.method != http::Method::GET || !call.path.is_collection() {
        return Err(call.no_such_method());
    }
    let entry = |(actions, not_actions): (Vec<String>, Vec<String>)| json!({"actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": []});
    let roles = crate::permissions::roles_at(call.world, &call.principal, &call.path.scope);
    Ok(JsonResponse::list(roles.into_iter().map(entry).collect()))
}
