//! Who may do what: roles of the seed, the grant of `assignedIdentities`, and deny assignments. Pure questions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::arm::answer::ArmError;
use crate::arm::path::{group_id_of, name_of, subscription_of};
use crate::json::{guid, list, text};
use crate::world::{ApprovalDenial, World, key};

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// Where it holds, with everything below; `/` is everywhere.
    pub(crate) scope: String,
    /// Allowed actions, `*` matching any run of characters.
    pub(crate) actions: Vec<String>,
    /// Actions taken away again.
    pub(crate) not_actions: Vec<String>,
    /// Name of the definition that it was assigned by; none for a seed's.
    pub(crate) definition: Option<String>,
}

/// A role, given to a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Object id of whom it was given.
    pub(crate) principal: String,
    pub(crate) role: Role,
    /// The GUID that it was made with; none for a seed's.
    pub(crate) name: Option<String>,
    /// From when on it holds.
    pub(crate) from: Duration,
    /// Taken away, and until when it holds nevertheless.
    pub(crate) removed: Option<Duration>,
}

impl Assignment {
    /// Whether it holds at this time.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        self.from <= now && self.removed.is_none_or(|until| now < until)
    }
}

/// Somebody who can sign in.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) object_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    pub(crate) federated: Vec<crate::seed::FederatedCredential>,
    /// What it has now; see [`Assignment`].
    pub(crate) roles: Vec<Role>,
}

/// What a principal in `assignedIdentities` may do in the managed resource group (*Azure AI Administrator*, azure.md §1.6).
const GRANTED: &[&str] = &[
    "Microsoft.Storage/storageAccounts/*",
    "Microsoft.ContainerRegistry/registries/*",
    "*/read",
];

/// The approval action of a target type, as roles spell it.
pub(crate) fn approval_action(kind: &str) -> String {
    format!(
        "{}/privateEndpointConnectionsApproval/action",
        crate::arm::versions::spelled(kind)
    )
}

/// Whether a pattern with `*` matches an action, case aside.
pub(crate) fn matches(pattern: &str, action: &str) -> bool {
    glob(
        pattern.to_ascii_lowercase().as_bytes(),
        action.to_ascii_lowercase().as_bytes(),
    )
}

/// `*` matches any run, everything else itself.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether `inner` is `outer` or lies below it.
pub(crate) fn within(inner: &str, outer: &str) -> bool {
    let (inner, outer) = (key(inner), key(outer));
    inner == outer || inner.starts_with(&format!("{outer}/"))
}

/// Whether a role or the managed group's grant allows the action.
pub(crate) fn allowed(world: &World, principal: &Principal, action: &str, scope: &str) -> bool {
    let by_role = principal.roles.iter().any(|role| {
        within(scope, &role.scope)
            && role.actions.iter().any(|a| matches(a, action))
            && !role.not_actions.iter().any(|a| matches(a, action))
    });
    by_role
        || (GRANTED.iter().any(|pattern| matches(pattern, action))
            && registry_of_managed_group(world, scope).is_some_and(|r| is_assigned(world, r, &principal.object_id)))
}

/// Actions that are allowed and taken away again, for each role that a principal has on a scope.
pub(crate) fn roles_at(world: &World, principal: &Principal, scope: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let by_role = principal.roles.iter().filter(|role| within(scope, &role.scope));
    let granted = registry_of_managed_group(world, scope).filter(|r| is_assigned(world, r, &principal.object_id));
    by_role
        .map(|role| (role.actions.clone(), role.not_actions.clone()))
        .chain(granted.map(|_| (GRANTED.iter().map(|a| (*a).to_owned()).collect(), Vec::new())))
        .collect()
}

/// Checks an action; the error is what ARM answers.
pub(crate) fn require(world: &World, principal: &Principal, action: &str, scope: &str) -> Result<(), ArmError> {
    let who = format!(
        "The client '{}' with object id '{}'",
        principal.client_id, principal.object_id
    );
    if !allowed(world, principal, action, scope) {
        return Err(ArmError::new(
            403,
            "AuthorizationFailed",
            format!(
                "{who} does not have authorization to perform action '{action}' over scope '{scope}' or the scope is \
                 invalid. If access was recently granted, please refresh your credentials."
            ),
        ));
    }
    match denial(world, principal, action, scope) {
        None => Ok(()),
        Some(denial) => Err(ArmError::new(
            403,
            "DenyAssignmentAuthorizationFailed",
            format!(
                "{who} has permission to perform action '{action}' on scope '{scope}'; however, the access is denied \
                 because of the deny assignment with name '{}' and Id '{}' at scope '{}'.",
                text(&denial, "/properties/denyAssignmentName"),
                text(&denial, "/name"),
                text(&denial, "/properties/scope"),
            ),
        )),
    }
}

/// Checks an action on a resource that a write refers to. The action is named without its provider for approvals, as in
/// Azure/azure-sdk-for-go#14306.
pub(crate) fn require_linked(
    world: &World,
    principal: &Principal,
    action: &str,
    linked: &str,
    (own_action, own_scope): (&str, &str),
) -> Result<(), ArmError> {
    let Err(refusal) = require(world, principal, action, linked) else {
        return Ok(());
    };
    let denied = refusal.code == "DenyAssignmentAuthorizationFailed";
    if denied && world.switches.approval_denial == ApprovalDenial::DenyAssignment {
        return Err(refusal);
    }
    let shown = match action
        .to_ascii_lowercase()
        .ends_with("/privateendpointconnectionsapproval/action")
    {
        true => "PrivateEndpointConnectionsApproval/action",
        false => action,
    };
    // Azure counts the scopes that want a right and those that are denied, each with a list of its own (azure.md §3.4).
    let scopes = match denied {
        true => format!(
            "the '0' linked scope(s) '' or the linked scope(s) are invalid and is blocked by deny assignments on the '1' \
             linked scope(s) '{linked}'."
        ),
        false => format!("the linked scope(s) '{linked}' or the linked scope(s) are invalid."),
    };
    Err(ArmError::new(
        world.switches.linked_authorization_status,
        "LinkedAuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' has permission to perform action '{own_action}' on scope \
             '{own_scope}'; however, it does not have permission to perform action '{shown}' on {scopes}",
            principal.client_id, principal.object_id
        ),
    ))
}

/// The deny assignment that stops this principal, if any.
fn denial(world: &World, principal: &Principal, action: &str, scope: &str) -> Option<Value> {
    let seeded = world
        .of_kind("microsoft.authorization/denyassignments")
        .map(|r| r.body.clone())
        .filter(|d| within(scope, text(d, "/properties/scope")));
    let managed = registry_of_managed_group(world, scope).map(|r| managed_denial(world, r));
    seeded.chain(managed).find(|d| {
        let stops = list(d, "/properties/permissions").iter().any(|p| {
            let has = |pointer: &str| {
                list(p, pointer)
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|a| matches(a, action))
            };
            has("/actions") && !has("/notActions")
        });
        let excluded = list(d, "/properties/excludePrincipals")
            .iter()
            .any(|p| text(p, "/id").eq_ignore_ascii_case(&principal.object_id));
        stops && !excluded
    })
}

/// Deny assignments that a list without a filter holds: seeded ones at this scope, above and below it (azure.md §1.6), and the managed
/// group's own.
pub(crate) fn deny_assignments_at(world: &World, scope: &str) -> Vec<Value> {
    let listed = |stands: &str| within(scope, stands) || within(stands, scope);
    let seeded = world
        .of_kind("microsoft.authorization/denyassignments")
        .map(|r| r.body.clone())
        .filter(|d| listed(text(d, "/properties/scope")));
    seeded
        .chain(registry_of_managed_group(world, scope).map(|r| managed_denial(world, r)))
        .collect()
}

/// Id of the registry in whose managed resource group this scope lies.
pub(crate) fn registry_of_managed_group<'a>(world: &'a World, scope: &str) -> Option<&'a str> {
    let group = world.get(&group_id_of(scope))?;
    group
        .body
        .get("managedBy")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
}

fn is_assigned(world: &World, registry: &str, object_id: &str) -> bool {
    world.switches.assigned_identities_grant
        && world.get(registry).is_some_and(|r| {
            list(&r.body, "/properties/managedResourceGroupSettings/assignedIdentities")
                .iter()
                .any(|i| text(i, "/principalId").eq_ignore_ascii_case(object_id))
        })
}

/// The deny assignment that the service keeps on a managed resource group. What it denies is undocumented (U4): deletion
/// always, writes and approvals by switch.
fn managed_denial(world: &World, registry: &str) -> Value {
    let mut actions = vec![
        "Microsoft.Storage/storageAccounts/delete",
        "Microsoft.ContainerRegistry/registries/delete",
        "Microsoft.Network/privateEndpoints/write",
    ];
    if world.switches.deny_managed_writes {
        actions.extend([
            "Microsoft.Storage/storageAccounts/write",
            "Microsoft.ContainerRegistry/registries/write",
        ]);
    }
    if world.switches.deny_managed_approval {
        actions.extend([
            "Microsoft.Storage/storageAccounts/PrivateEndpointConnectionsApproval/action",
            "Microsoft.ContainerRegistry/registries/privateEndpointConnectionsApproval/action",
        ]);
    }
    let body = world.get(registry).map_or(&Value::Null, |r| &r.body);
    let excluded: Vec<Value> = match world.switches.assigned_identities_grant {
        true => list(body, "/properties/managedResourceGroupSettings/assignedIdentities").to_vec(),
        false => Vec::new(),
    };
    let scope = text(body, "/properties/managedResourceGroup/resourceId");
    let name = guid(&["deny", &key(scope)]);
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{name}"),
        "name": name,
        "type": "Microsoft.Authorization/denyAssignments",
        "properties": {
            "denyAssignmentName": format!("System deny assignment for registry {}", name_of(registry)),
            "description": "Protects the resources that Azure Machine Learning created for a registry.",
            "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}],
            "scope": scope,
            "doNotApplyToChildScopes": false,
            "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
            "excludePrincipals": excluded
                .iter()
                .map(|i| json!({"id": text(i, "/principalId"), "type": "ServicePrincipal"}))
                .chain([json!({"id": guid(&["aml-service", subscription_of(scope)]), "type": "ServicePrincipal"})])
                .collect::<Vec<_>>(),
            "isSystemProtected": true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_runs_whatever_the_case() {
        assert!(matches("*", "Microsoft.Network/privateEndpoints/write"));
        assert!(matches(
            "Microsoft.Network/*/read",
            "microsoft.network/virtualNetworks/subnets/read"
        ));
        assert!(matches("*/read", "Microsoft.Storage/storageAccounts/read"));
        assert!(!matches(
            "Microsoft.Network/*/read",
            "Microsoft.Network/virtualNetworks/write"
        ));
        assert!(!matches("a*b", "ac"));
    }

    #[test]
    fn a_scope_holds_itself_and_what_is_below_but_no_namesake() {
        assert!(within(
            "/subscriptions/S/resourceGroups/G/x",
            "/subscriptions/s/resourcegroups/g"
        ));
        assert!(within("/anything", "/"));
        assert!(!within(
            "/subscriptions/s/resourceGroups/good",
            "/subscriptions/s/resourceGroups/go"
        ));
    }
}
