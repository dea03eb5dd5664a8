//! Role assignments and definitions, as the seed's principals have them: read only, and read by whoever may.

use http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use crate::json::{guid, text};
use crate::permissions::{Principal, Role, within};

/// Ids of built-in roles, by what they allow and take away again (Microsoft Learn, "Azure built-in roles").
const BUILT_IN: &[(&str, &str, &[&str])] = &[
    (
        "Contributor",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        &["*", "Microsoft.Authorization/*/write"],
    ),
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", &["*"]),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7", &["*/read"]),
];

/// Answers requests for role assignments and role definitions: those that hold at the scope, and below it unless
/// `$filter=atScope()` says otherwise.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<Answer, ArmError> {
    if call.method != Method::GET {
        return Err(ArmError::not_modelled(
            "writing roles and their assignments: a seed's principals have them",
        ));
    }
    let definitions = call.path.kind().ends_with("/roledefinitions");
    let mut all = Vec::new();
    for principal in &call.control.principals {
        for role in &principal.roles {
            all.push(if definitions {
                definition(role)
            } else {
                assignment(principal, role)
            });
        }
    }
    all.sort_by(|a, b| text(a, "/id").cmp(text(b, "/id")));
    all.dedup_by(|a, b| text(a, "/id") == text(b, "/id"));
    if !call.path.is_collection() {
        let found = all
            .into_iter()
            .find(|r| text(r, "/name").eq_ignore_ascii_case(call.path.name()));
        return found.map(|r| Answer::new(200, r)).ok_or_else(|| {
            let code = if definitions {
                "RoleDefinitionDoesNotExist"
            } else {
                "RoleAssignmentNotFound"
            };
            ArmError::new(404, code, format!("The role '{}' is not found.", call.path.name()))
        });
    }
    let scope = &call.path.scope;
    let filter = call.parameter("$filter").unwrap_or("").to_ascii_lowercase();
    let wanted = |field: &str| {
        let (_, rest) = filter.split_once(&format!("{field} eq '"))?;
        rest.split_once('\'').map(|(value, _)| value.to_owned())
    };
    let (principal, name) = (wanted("principalid"), wanted("rolename"));
    all.retain(|r| {
        let at = text(r, "/properties/scope");
        let near = definitions || within(scope, at) || (!filter.contains("atscope()") && within(at, scope));
        near && principal
            .as_ref()
            .is_none_or(|p| text(r, "/properties/principalId").eq_ignore_ascii_case(p))
            && name
                .as_ref()
                .is_none_or(|n| text(r, "/properties/roleName").eq_ignore_ascii_case(n))
    });
    Ok(Answer::list(all))
}

/// Name and id of a role: a built-in one, or one of the seed's own.
fn named(role: &Role) -> (String, String) {
    let fits = |(_, _, marks): &&(&str, &str, &[&str])| {
        let listed: Vec<&str> = role
            .actions
            .iter()
            .chain(role.not_actions.first())
            .map(String::as_str)
            .collect();
        listed == *marks
    };
    match BUILT_IN.iter().find(fits) {
        Some((name, id, _)) => ((*name).to_owned(), (*id).to_owned()),
        None => {
            let words = role.actions.join(" ") + " - " + &role.not_actions.join(" ");
            let id = guid(&["role", &words]);
            (format!("custom {id}"), id)
        }
    }
}

fn subscription_scope(role: &Role) -> String {
    role.scope.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn definition(role: &Role) -> Value {
    let (name, id) = named(role);
    let built_in = !name.starts_with("custom ");
    json!({
        "id": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{id}", subscription_scope(role).trim_end_matches('/')),
        "name": id, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": name, "type": if built_in { "BuiltInRole" } else { "CustomRole" }, "description": "",
            "assignableScopes": [if built_in { "/".to_owned() } else { subscription_scope(role) }],
            "permissions": [{"actions": role.actions, "notActions": role.not_actions, "dataActions": [], "notDataActions": []}],
            "createdOn": "2026-01-05T08:00:00.0000000Z", "updatedOn": "2026-01-05T08:00:00.0000000Z",
            "createdBy": null, "updatedBy": null,
        },
    })
}

fn assignment(principal: &Principal, role: &Role) -> Value {
    let (_, id) = named(role);
    let scope = if role.scope == "/" {
        ""
    } else {
        role.scope.trim_end_matches('/')
    };
    let name = guid(&["role assignment", &principal.object_id, scope, &id]);
    let definitions = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions",
        subscription_scope(role).trim_end_matches('/')
    );
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        "name": name, "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "scope": role.scope, "roleDefinitionId": format!("{definitions}/{id}"),
            "principalId": principal.object_id, "principalType": "ServicePrincipal", "description": null,
            "condition": null, "conditionVersion": null, "delegatedManagedIdentityResourceId": null,
            "createdOn": "2026-01-05T08:00:00.0000000Z", "updatedOn": "2026-01-05T08:00:00.0000000Z",
            "createdBy": principal.object_id, "updatedBy": principal.object_id,
        },
    })
}
