//! Role definitions and role assignments: those of the seed, and those that somebody with the right to makes. A change of an
//! assignment takes effect some time after it, by switch: Azure says up to ten minutes (Microsoft Learn, "Troubleshoot Azure
//! RBAC").

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::Call;
use super::path::name_of;
use crate::json::{guid, list, text};
use crate::permissions::{Assignment, Role, within};

/// Built-in roles by what they allow and take away again (Microsoft Learn, "Azure built-in roles").
const BUILT_IN: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "Contributor",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        &["*"],
        &["Microsoft.Authorization/*/write", "Microsoft.Authorization/*/delete"],
    ),
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", &["*"], &[]),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7", &["*/read"], &[]),
];
const WRITTEN: &str = "2026-01-05T08:00:00.0000000Z";
const DEFINITION: &str = "microsoft.authorization/roledefinitions";

/// Actions of a built-in role, and those that it takes away again.
pub(crate) fn built_in(name: &str) -> Option<(Vec<String>, Vec<String>)> {
    let owned = |all: &[&str]| all.iter().map(|a| (*a).to_owned()).collect();
    let found = BUILT_IN.iter().find(|(known, ..)| *known == name);
    found.map(|(_, _, actions, not_actions)| (owned(actions), owned(not_actions)))
}

/// Answers requests for role assignments and role definitions.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let definitions = call.path.kind() == DEFINITION;
    match (call.method.clone(), definitions) {
        (Method::GET, true) => read(call, all_definitions(call), "RoleDefinitionDoesNotExist"),
        (Method::GET, false) => read(call, all_assignments(call), "RoleAssignmentNotFound"),
        (Method::PUT, true) => write_definition(call),
        (Method::PUT, false) => assign(call),
        (Method::DELETE, true) => delete_definition(call),
        (Method::DELETE, false) => withdraw(call),
        _ => Err(call.no_such_method()),
    }
}

/// One of these by name; or those that hold at the scope, and of assignments those below it unless `$filter=atScope()` says
/// otherwise.
fn read(call: &Call<'_>, mut all: Vec<Value>, missing: &str) -> Result<JsonResponse, ArmError> {
    if !call.path.is_collection() {
        let named = |r: &Value| text(r, "/name").eq_ignore_ascii_case(call.path.name());
        let found = all.into_iter().find(named).map(|r| JsonResponse::new(200, r));
        let said = format!("The role '{}' is not found.", call.path.name());
        return found.ok_or_else(|| ArmError::new(404, missing, said));
    }
    let scope = &call.path.scope;
    let filter = call.parameter("$filter").unwrap_or("").to_ascii_lowercase();
    let wanted = |field: &str| {
        let (_, rest) = filter.split_once(&format!("{field} eq '"))?;
        rest.split_once('\'').map(|(value, _)| value.to_owned())
    };
    let (principal, name) = (wanted("principalid"), wanted("rolename"));
    let is = |r: &Value, field: &str, value: &Option<String>| {
        value.as_ref().is_none_or(|v| text(r, field).eq_ignore_ascii_case(v))
    };
    all.retain(|r| {
        let near = match r.pointer("/properties/scope").and_then(Value::as_str) {
            Some(at) => within(scope, at) || (!filter.contains("atscope()") && within(at, scope)),
            None => true,
        };
        near && is(r, "/properties/principalId", &principal) && is(r, "/properties/roleName", &name)
    });
    Ok(JsonResponse::list(all))
}

/// Definitions that can be assigned at the path's scope, as Azure names them there.
fn all_definitions(call: &Call<'_>) -> Vec<Value> {
    let subscription = subscription_scope(&call.path.scope);
    let built_in = BUILT_IN.iter().map(|(name, id, actions, not_actions)| {
        definition(
            &subscription,
            id,
            (name, "BuiltInRole"),
            (json!(actions), json!(not_actions)),
        )
    });
    let mut all: Vec<Value> = built_in.collect();
    // Of a seed's lists of actions each is a role of its own.
    for assignment in &call.control.assignments {
        let role = &assignment.role;
        let (name, id) = named(role);
        if name.starts_with("custom ") && within(&call.path.scope, &subscription_scope(&role.scope)) {
            let allowed = (json!(role.actions), json!(role.not_actions));
            all.push(definition(&subscription, &id, (&name, "CustomRole"), allowed));
        }
    }
    let custom = call.world.of_kind(DEFINITION).filter(|r| {
        let scopes = list(&r.body, "/properties/assignableScopes");
        scopes
            .iter()
            .filter_map(Value::as_str)
            .any(|s| within(&call.path.scope, s))
    });
    all.extend(custom.map(|r| r.body.clone()));
    all.sort_by(|a, b| text(a, "/name").cmp(text(b, "/name")));
    all.dedup_by(|a, b| text(a, "/name") == text(b, "/name"));
    all
}

fn all_assignments(call: &Call<'_>) -> Vec<Value> {
    let written = call.control.assignments.iter().filter(|a| a.removed.is_none());
    let mut all: Vec<Value> = written.map(shown).collect();
    all.sort_by(|a, b| text(a, "/id").cmp(text(b, "/id")));
    all
}

/// Name and id of a role: a built-in one, or one of its own.
fn named(role: &Role) -> (String, String) {
    if let Some(id) = &role.definition {
        return (id.clone(), id.clone());
    }
    let fits = |(_, _, actions, not_actions): &&(&str, &str, &[&str], &[&str])| {
        role.actions == *actions && role.not_actions == *not_actions
    };
    match BUILT_IN.iter().find(fits) {
        Some((name, id, ..)) => ((*name).to_owned(), (*id).to_owned()),
        None => {
            let words = role.actions.join(" ") + " - " + &role.not_actions.join(" ");
            let id = guid(&["role", &words]);
            (format!("custom {id}"), id)
        }
    }
}

fn subscription_scope(scope: &str) -> String {
    match scope.to_ascii_lowercase().starts_with("/subscriptions/") {
        true => scope.split('/').take(3).collect::<Vec<_>>().join("/"),
        false => String::new(),
    }
}

fn definition(
    subscription: &str,
    id: &str,
    (name, kind): (&str, &str),
    (actions, not_actions): (Value, Value),
) -> Value {
    let scope = if kind == "BuiltInRole" || subscription.is_empty() {
        "/"
    } else {
        subscription
    };
    json!({
        "id": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{id}"),
        "name": id, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": name, "type": kind, "description": "", "assignableScopes": [scope],
            "permissions": [{"actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": []}],
            "createdOn": WRITTEN, "updatedOn": WRITTEN, "createdBy": null, "updatedBy": null,
        },
    })
}

/// Name of an assignment: as it was made, or made from what it says.
fn assignment_name(assignment: &Assignment) -> String {
    let (_, role) = named(&assignment.role);
    let scope = assignment.role.scope.trim_end_matches('/');
    match &assignment.name {
        Some(name) => name.clone(),
        None => guid(&["role assignment", &assignment.principal, scope, &role]),
    }
}

fn shown(assignment: &Assignment) -> Value {
    let (_, id) = named(&assignment.role);
    let scope = assignment.role.scope.trim_end_matches('/');
    let name = assignment_name(assignment);
    let definitions = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions",
        subscription_scope(scope)
    );
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        "name": name, "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "scope": assignment.role.scope, "roleDefinitionId": format!("{definitions}/{id}"),
            "principalId": assignment.principal, "principalType": "ServicePrincipal", "description": null,
            "condition": null, "conditionVersion": null, "delegatedManagedIdentityResourceId": null,
            "createdOn": WRITTEN, "updatedOn": WRITTEN,
            "createdBy": assignment.principal, "updatedBy": assignment.principal,
        },
    })
}

/// When a change made now takes effect.
fn takes_effect(call: &Call<'_>) -> Duration {
    let delay = Duration::from_secs(call.world.switches.role_assignment_delay_seconds);
    call.now.saturating_add(delay)
}

fn assign(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let name = call.path.name().to_owned();
    if uuid::Uuid::parse_str(&name).is_err() {
        let said = format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
        return Err(ArmError::new(400, "InvalidRoleAssignmentId", said));
    }
    let principal = text(&body, "/properties/principalId").to_owned();
    if call.control.principal(&principal).is_none() {
        let tenant = &call.control.tenant;
        let said = format!("Principal {principal} does not exist in the directory {tenant}.");
        return Err(ArmError::new(400, "PrincipalNotFound", said));
    }
    let asked = text(&body, "/properties/roleDefinitionId");
    let role = role_of(call, asked)?;
    let present = call.control.assignments.iter().find(|a| {
        let same = a.principal.eq_ignore_ascii_case(&principal)
            && a.role.actions == role.actions
            && a.role.not_actions == role.not_actions
            && within(&a.role.scope, &role.scope)
            && within(&role.scope, &a.role.scope);
        a.removed.is_none() && (same || assignment_name(a).eq_ignore_ascii_case(&name))
    });
    if let Some(present) = present {
        let id = assignment_name(present).replace('-', "");
        let said = format!("The role assignment already exists. The ID of the existing role assignment is {id}.");
        return Err(ArmError::new(409, "RoleAssignmentExists", said));
    }
    let made = Assignment {
        principal,
        role,
        name: Some(name),
        from: takes_effect(call),
        removed: None,
    };
    let answer = shown(&made);
    call.control.assignments.push(made);
    Ok(JsonResponse::new(201, answer))
}

/// The role that a definition's id names, at the path's scope.
fn role_of(call: &Call<'_>, asked: &str) -> Result<Role, ArmError> {
    let missing = || {
        let said = format!(
            "The specified role definition with ID '{}' does not exist.",
            name_of(asked)
        );
        ArmError::new(404, "RoleDefinitionDoesNotExist", said)
    };
    let found = all_definitions(call)
        .into_iter()
        .find(|d| text(d, "/name").eq_ignore_ascii_case(name_of(asked)))
        .ok_or_else(missing)?;
    let words = |pointer: &str| {
        let all = list(&found, pointer).iter().filter_map(Value::as_str);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    Ok(Role {
        scope: match call.path.scope.is_empty() {
            true => "/".to_owned(),
            false => call.path.scope.clone(),
        },
        actions: words("/properties/permissions/0/actions"),
        not_actions: words("/properties/permissions/0/notActions"),
        definition: Some(text(&found, "/name").to_owned()),
    })
}

/// An assignment that is taken away is not listed any more, and still holds until the change has got about.
fn withdraw(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (name, at) = (call.path.name().to_owned(), takes_effect(call));
    let mut all = call.control.assignments.iter_mut();
    let found = all.find(|a| a.removed.is_none() && assignment_name(a).eq_ignore_ascii_case(&name));
    let Some(found) = found else {
        return Ok(JsonResponse::empty(204));
    };
    found.removed = Some(at);
    let answer = shown(found);
    Ok(JsonResponse::new(200, answer))
}

fn write_definition(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let id = call.path.name().to_owned();
    let scopes = list(&body, "/properties/assignableScopes");
    if BUILT_IN.iter().any(|(_, known, ..)| known.eq_ignore_ascii_case(&id)) {
        let said = "Built-in role definitions cannot be changed.";
        return Err(ArmError::new(403, "RoleDefinitionUpdateNotAllowed", said));
    }
    let complete = !text(&body, "/properties/roleName").is_empty() && !scopes.is_empty();
    let permissions = list(&body, "/properties/permissions");
    if !complete || permissions.len() != 1 || uuid::Uuid::parse_str(&id).is_err() {
        let said = "A role definition has a GUID, a role name, one entry of permissions, and assignable scopes.";
        return Err(ArmError::new(400, "InvalidRoleDefinition", said));
    }
    let mut written = definition(
        &subscription_scope(&call.path.scope),
        &id,
        (text(&body, "/properties/roleName"), "CustomRole"),
        (
            permissions[0].get("actions").cloned().unwrap_or(json!([])),
            permissions[0].get("notActions").cloned().unwrap_or(json!([])),
        ),
    );
    written["properties"]["assignableScopes"] = json!(scopes);
    written["properties"]["description"] = json!(text(&body, "/properties/description"));
    let path = call.path.text.clone();
    call.put(&path, written);
    call.path_answer(201)
}

fn delete_definition(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.name().to_owned();
    let uses = |a: &Assignment| a.removed.is_none() && a.role.definition.as_deref() == Some(id.as_str());
    if call.control.assignments.iter().any(uses) {
        let said = "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).";
        return Err(ArmError::new(400, "RoleDefinitionHasAssignments", said));
    }
    Ok(call.delete())
}
