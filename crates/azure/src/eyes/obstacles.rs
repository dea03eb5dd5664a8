//! What would stand in the way: deny assignments on the managed resource group (azure.md §1.6), and an export policy of the
//! container registry, which forbids opening again (U17). Policies and perimeters are apart.

use serde_json::Value;
use sreg_domain::seen::{DenyAssignment, Fact, Obstacle, ObstacleKind, TargetSeen, Targets};
use sreg_domain::{ArmId, ExportPolicy};

use super::Look;
use crate::arm::Call;
use crate::arm::Leaving;
use crate::json;

/// Deny assignments at the managed resource group.
pub(super) async fn deny_assignments(look: &Look<'_>, managed: Option<&ArmId>) -> Fact<Vec<DenyAssignment>> {
    let Some(managed) = managed else {
        return Fact::not_read("the registry has no managed resource group yet");
    };
    let call = Call::list(look.arm(), managed, "providers/Microsoft.Authorization/denyAssignments");
    match look.list(call.query("$filter", "atScope()")).await {
        Ok(items) => {
            let understand = |item: &Value| match deny_assignment(item) {
                Ok(assignment) => Some(assignment),
                Err(why) => {
                    look.left_out(managed, item, why);
                    None
                }
            };
            Fact::Seen(items.iter().filter_map(understand).collect())
        }
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

fn deny_assignment(item: &Value) -> Result<DenyAssignment, &'static str> {
    let texts = |value: &Value, pointer: &str| -> Vec<String> {
        json::list(value, pointer)
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let ids = |pointer: &str| {
        json::list(item, pointer)
            .iter()
            .filter_map(|p| json::string(p, "/id"))
            .collect()
    };
    if !item["properties"]["permissions"].is_array() {
        return Err("a deny assignment has no permissions");
    }
    Ok(DenyAssignment {
        name: json::text(item, "/properties/denyAssignmentName")
            .or_else(|| json::text(item, "/name"))
            .unwrap_or_default()
            .to_owned(),
        permissions: json::list(item, "/properties/permissions")
            .iter()
            .map(|p| (texts(p, "/actions"), texts(p, "/notActions")))
            .collect(),
        excluded_principals: ids("/properties/excludePrincipals"),
        principals: ids("/properties/principals"),
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

    #[test]
    fn deny_assignments_are_read_with_their_exclusions() {
        let item = json!({"name": "n", "properties": {"denyAssignmentName": "managed", "permissions": [{"actions": ["*/write"], "notActions": ["x"]}],
            "principals": [{"id": DenyAssignment::EVERYONE}], "excludePrincipals": [{"id": "me"}]}});
        let seen = deny_assignment(&item).unwrap();
        assert!(seen.denies("you", "Microsoft.Storage/storageAccounts/write"));
        assert!(!seen.denies("ME", "Microsoft.Storage/storageAccounts/write"));
        assert!(deny_assignment(&json!({"properties": {}})).is_err());
    }
}
