//! What would stand in the way: deny assignments (azure.md §1.6), whether Azure keeps them on the managed resource group or a deployment
//! stack has set them elsewhere, and an export policy of the container registry, which forbids opening again (U17). Policies and
//! perimeters are apart.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sreg_domain::seen::{DenyAssignment, Fact, Obstacle, ObstacleKind, TargetSeen, Targets};
use sreg_domain::{ArmId, ExportPolicy};

use super::remembered::Remembered;
use super::{Look, each, understood};
use crate::arm::Call;
use crate::arm::Leaving;
use crate::json;

/// How long it is believed that there is none: somebody may deploy a stack at any time.
const AGE: Duration = Duration::from_secs(300);
/// Deny assignments by scope.
pub(crate) type DenyAssignments = Remembered<ArmId, Vec<DenyAssignment>>;

/// Nothing is known yet.
pub(crate) fn unknown() -> DenyAssignments {
    Remembered::for_so_long(AGE)
}

/// Deny assignments at, above and below each scope.
pub(super) async fn deny_assignments(
    look: &Look<'_>,
    scopes: impl Iterator<Item = ArmId>,
) -> BTreeMap<ArmId, Fact<Vec<DenyAssignment>>> {
    each(scopes, |scope| at(look, scope)).await
}

/// The same for the registry's accounts. A list holds what is at, above and below its scope, and what of it concerns which account its
/// scope tells. So those of the managed group are listed once: Azure always keeps one there, so that list is never remembered as empty.
/// An account elsewhere is asked by itself, because our rights may reach no farther.
pub(super) async fn over_accounts(
    look: &Look<'_>,
    accounts: &[ArmId],
    managed: Option<&ArmId>,
) -> BTreeMap<ArmId, Fact<Vec<DenyAssignment>>> {
    let is_inside = |id: &ArmId| managed.is_some() && id.resource_group_id().as_ref() == managed;
    let (inside, elsewhere): (Vec<ArmId>, Vec<ArmId>) = accounts.iter().cloned().partition(is_inside);
    let group = managed.filter(|_| !inside.is_empty()).cloned();
    let (mut listed, of_group) = futures::join!(
        deny_assignments(look, elsewhere.into_iter()),
        deny_assignments(look, group.into_iter()),
    );
    for fact in of_group.values() {
        listed.extend(inside.iter().map(|id| (id.clone(), fact.clone())));
    }
    listed
}

async fn at(look: &Look<'_>, scope: ArmId) -> Fact<Vec<DenyAssignment>> {
    let known = &look.inner.deny_assignments;
    if let Some(known) = known.get(&scope) {
        return Fact::Seen(known);
    }
    let call = Call::list(look.arm(), &scope, "providers/Microsoft.Authorization/denyAssignments");
    match look.list_of(call, |item| Some(deny_assignment(&item))).await {
        Ok(items) => {
            // One that is not understood may forbid anything.
            let fact: Fact<Vec<DenyAssignment>> = understood(&scope, items.into_iter().collect());
            // One that somebody has to change is looked at again with each visit.
            if let Some(none) = fact.seen().filter(|all| all.is_empty()) {
                known.put(scope, none.clone());
            }
            fact
        }
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

fn deny_assignment(item: &Value) -> Result<DenyAssignment, &'static str> {
    let texts = |value: &Value, pointer: &str| -> Option<Vec<String>> {
        let list = json::list(value, pointer).iter();
        list.map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let principals = |pointer: &str| -> Option<Vec<String>> {
        let list = json::list(item, pointer).iter();
        list.map(|principal| json::string(principal, "/id")).collect()
    };
    let groups = |pointer: &str| {
        let is_group = |p: &Value| json::text(p, "/type").is_some_and(|t| t.eq_ignore_ascii_case("Group"));
        json::list(item, pointer).iter().any(is_group)
    };
    if !item["properties"]["permissions"].is_array() {
        return Err("a deny assignment has no permissions");
    }
    let permissions = json::list(item, "/properties/permissions").iter();
    let permissions = permissions.map(|p| Some((texts(p, "/actions")?, texts(p, "/notActions")?)));
    let id = json::string(item, "/id").unwrap_or_default();
    let scope = json::string(item, "/properties/scope").unwrap_or_else(|| {
        let at = id.to_ascii_lowercase().rfind("/providers/microsoft.authorization/");
        at.and_then(|at| id.get(..at)).unwrap_or_default().to_owned()
    });
    Ok(DenyAssignment {
        name: json::text(item, "/properties/denyAssignmentName")
            .or_else(|| json::text(item, "/name"))
            .unwrap_or_default()
            .to_owned(),
        id,
        scope,
        not_below: item["properties"]["doNotApplyToChildScopes"] == Value::Bool(true),
        permissions: permissions
            .collect::<Option<_>>()
            .ok_or("a deny assignment forbids what is no action")?,
        excluded_principals: principals("/properties/excludePrincipals")
            .ok_or("a deny assignment excludes who is no principal")?,
        excludes_groups: groups("/properties/excludePrincipals"),
        principals: principals("/properties/principals").ok_or("a deny assignment names who is no principal")?,
        names_groups: groups("/properties/principals"),
    })
}

/// Policies, perimeters and export policies together; not knowing the policies or the perimeters is not knowing the obstacles.
pub(super) fn together(
    policies: Fact<Vec<Obstacle>>,
    perimeters: Fact<Vec<Obstacle>>,
    targets: &Targets,
) -> Fact<Vec<Obstacle>> {
    let (Fact::Seen(_) | Fact::Absent) = perimeters else {
        return if policies.ignorance().is_some() {
            policies
        } else {
            perimeters
        };
    };
    policies.map(|mut obstacles| {
        obstacles.extend(perimeters.seen().into_iter().flatten().cloned());
        obstacles.extend(targets.seen().filter_map(export));
        obstacles
    })
}

fn export(target: &TargetSeen) -> Option<Obstacle> {
    let id = &target.id;
    let (status, message) = match target.container_registry()?.export_policy.as_ref()? {
        ExportPolicy::Unknown(status) => (
            status.to_ascii_lowercase(),
            format!(
                "the export policy of {} is {status:?}, which this version of the operator does not know: it may forbid \
                 opening again",
                id.key()
            ),
        ),
        ExportPolicy::Disabled => (
            "disabled".to_owned(),
            format!(
                "the export policy of {} is disabled, which Azure combines with disabled public access only: enable it \
                 before opening again",
                id.key()
            ),
        ),
        ExportPolicy::Enabled => return None,
    };
    Some(Obstacle {
        kind: ObstacleKind::ExportPolicy,
        key: format!("export policy {status} of {}", id.key()),
        message,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WRITE: &str = "Microsoft.Storage/storageAccounts/write";
    const STORAGE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";

    fn assignment(change: impl Fn(&mut Value)) -> DenyAssignment {
        let mut item = json!({"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/denyAssignments/d", "name": "d",
            "properties": {"denyAssignmentName": "managed", "permissions": [{"actions": ["*/write"], "notActions": ["x"]}],
                "principals": [{"id": DenyAssignment::EVERYONE, "type": "SystemDefined"}], "excludePrincipals": [{"id": "me", "type": "ServicePrincipal"}]}});
        change(&mut item);
        deny_assignment(&item).unwrap()
    }

    #[test]
    fn deny_assignments_are_read_with_their_exclusions() {
        let seen = assignment(|_| {});
        assert_eq!(seen.forbids("you", WRITE), Some(true));
        assert_eq!(seen.forbids("ME", WRITE), Some(false));
        assert_eq!(
            seen.forbids("you", "Microsoft.Storage/storageAccounts/read"),
            Some(false)
        );
        let group = json!([{"id": "people", "type": "Group"}]);
        let among = assignment(|item| item["properties"]["excludePrincipals"] = group.clone());
        assert_eq!(among.forbids("you", WRITE), None, "who is in the group is not told");
        let only = assignment(|item| item["properties"]["principals"] = group.clone());
        assert_eq!(
            (only.forbids("you", WRITE), only.forbids("me", WRITE)),
            (None, Some(false))
        );
        let others = assignment(|item| item["properties"]["principals"] = json!([{"id": "others", "type": "User"}]));
        assert_eq!(others.forbids("you", WRITE), Some(false));
    }

    #[test]
    fn a_deny_assignment_holds_for_its_scope_and_what_is_below_unless_it_says_otherwise() {
        let storage: ArmId = STORAGE.parse().unwrap();
        let at = |scope: &str, not_below: bool| {
            let seen = assignment(|item| {
                item["properties"]["scope"] = json!(scope);
                item["properties"]["doNotApplyToChildScopes"] = json!(not_below);
            });
            seen.covers(&storage)
        };
        assert!(assignment(|_| {}).covers(&storage), "its id tells the scope");
        for scope in [
            "/",
            "/providers/Microsoft.Management/managementGroups/root",
            "/subscriptions/S",
            STORAGE,
        ] {
            assert!(at(scope, false), "{scope}");
        }
        assert!(at(STORAGE, true) && !at("/subscriptions/s/resourceGroups/g", true));
        assert!(!at(&format!("{STORAGE}/blobServices/default"), false) && !at(&format!("{STORAGE}2"), false));
        // What is named like no id stands where its text says.
        for below in ["/providers/x/y/a;b", "/providers/x", "2;"] {
            let scope = format!("/subscriptions/s/resourceGroups/g{below}");
            assert!(!at(&scope, false) && !at(&scope, true), "{scope}");
        }
        assert!(at("/SUBSCRIPTIONS/s/resourceGroups/g/", false), "it ends with a slash");
        assert!(
            at("", false) && at("something else", false),
            "nobody knows where it stands"
        );
    }

    #[test]
    fn a_deny_assignment_that_is_not_understood_is_none_that_forbids_nothing() {
        for odd in [
            json!({"properties": {}}),
            json!({"properties": {"permissions": [{"actions": [7]}]}}),
            json!({"properties": {"permissions": [], "principals": [{}]}}),
            json!({"properties": {"permissions": [], "excludePrincipals": [null]}}),
        ] {
            assert!(deny_assignment(&odd).is_err(), "{odd}");
        }
    }
}
