//! Subscriptions, resource groups, providers, and what lies on scopes: deny assignments and policies.

use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::path::name_of;
use super::versions::{NEWEST, SERVED};
use crate::json::set;
use crate::permissions::{allowed, deny_assignments_at};

/// Answers requests for subscriptions.
pub(crate) fn serve_subscription(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    if !call.path.is_collection() {
        return call.read();
    }
    let readable = call.world.of_kind("microsoft.resources/subscriptions").filter(|s| {
        allowed(
            call.world,
            &call.principal,
            "Microsoft.Resources/subscriptions/read",
            &s.id,
        )
    });
    Ok(Answer::list(readable.map(|s| s.body.clone()).collect()))
}

/// Answers requests for resource groups: reading, and the synchronous PUT.
pub(crate) fn serve_group(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let id = call.path.text.clone();
    match call.method.as_str() {
        "GET" if call.path.is_collection() => {
            let prefix = call.path.text.rsplit_once('/').map_or("", |(p, _)| p).to_owned();
            let groups = call
                .world
                .below(&prefix)
                .filter(|r| r.kind == "microsoft.resources/resourcegroups");
            Ok(Answer::list(groups.map(|g| g.body.clone()).collect()))
        }
        "GET" => match call.world.get(&id) {
            Some(group) => Ok(Answer::new(200, group.body.clone())),
            None => Err(group_missing(call.path.group.as_deref().unwrap_or(""))),
        },
        "HEAD" => Ok(Answer::empty(if call.world.get(&id).is_some() { 204 } else { 404 })),
        "PUT" => {
            let body = call.body()?;
            let existed = call.world.get(&id).is_some();
            let mut group = group_body(&id, crate::json::text(&body, "/location"));
            if let Some(tags) = body.get("tags").filter(|t| t.is_object()) {
                set(&mut group, &["tags"], tags.clone());
            }
            call.put(&id, group);
            call.path_answer(if existed { 200 } else { 201 })
        }
        _ => Err(call.no_such_method()),
    }
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

/// Answers `GET …/providers/{namespace}`: whether it is registered, and its types with their versions.
pub(crate) fn serve_provider(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    let asked = call.path.namespace.clone().unwrap_or_default();
    let served = |s: &&super::versions::Served| s.namespace.eq_ignore_ascii_case(&asked);
    let Some(namespace) = SERVED.iter().find(served).map(|s| s.namespace) else {
        let said = format!("The resource namespace '{asked}' is invalid.");
        return Err(ArmError::new(404, "InvalidResourceNamespace", said));
    };
    let newest = call.world.switches.newest_api_versions;
    let types: Vec<Value> = SERVED
        .iter()
        .filter(served)
        .map(|s| {
            let newer = NEWEST
                .iter()
                .filter(|_| newest && s.name == "registries" && namespace.ends_with("LearningServices"));
            let versions: Vec<&str> = newer.rev().chain(s.versions.iter().rev()).copied().collect();
            json!({ "resourceType": s.name, "apiVersions": versions, "locations": ["West Europe", "North Europe"] })
        })
        .collect();
    let subscription = call.path.subscription.clone().unwrap_or_default().to_ascii_lowercase();
    let missing = call
        .control
        .unregistered
        .get(&subscription)
        .is_some_and(|u| u.contains(&namespace.to_ascii_lowercase()));
    let scope = call.path.scope.clone();
    let mut body =
        json!({ "id": format!("{scope}/providers/{namespace}"), "namespace": namespace, "resourceTypes": types });
    if call.path.subscription.is_some() {
        body["registrationState"] = json!(if missing { "NotRegistered" } else { "Registered" });
        body["registrationPolicy"] = json!("RegistrationRequired");
    }
    Ok(Answer::new(200, body))
}

/// Answers lists of deny assignments at a scope.
pub(crate) fn serve_deny_assignments(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    let all = deny_assignments_at(call.world, &call.path.scope);
    if call.path.is_collection() {
        return Ok(Answer::list(all));
    }
    let found = all
        .into_iter()
        .find(|d| crate::json::text(d, "/name").eq_ignore_ascii_case(call.path.name()));
    found
        .map(|d| Answer::new(200, d))
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
pub(crate) fn serve_policies(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    if call.method != http::Method::GET {
        return Err(call.no_such_method());
    }
    if !call.path.is_collection() {
        return call.read();
    }
    let kind = call.path.kind();
    let action = format!("{}/read", super::versions::spelled(&kind));
    if !allowed(call.world, &call.principal, &action, &call.path.scope) {
        return Ok(Answer::list(Vec::new()));
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
    Ok(Answer::list(found.collect()))
}

/// Answers what the caller may do on a scope: one entry for each role that holds there.
pub(crate) fn serve_permissions(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    if call.method != http::Method::GET || !call.path.is_collection() {
        return Err(call.no_such_method());
    }
    let entry = |(actions, not_actions): (Vec<String>, Vec<String>)| json!({"actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": []});
    let roles = crate::permissions::roles_at(call.world, &call.principal, &call.path.scope);
    Ok(Answer::list(roles.into_iter().map(entry).collect()))
}
