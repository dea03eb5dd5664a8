//! What would be refused anyway: deny assignments on the managed resource group, read before anything is attempted there.
//! Listing the operator's principal in `assignedIdentities` exempts it (azure.md §1.6).

use sreg_domain::{ArmId, Fact, TargetKind};

use crate::endpoints::Wanted;
use crate::facts::{View, not_known};
use crate::plan::{Wait, WaitReason};

/// Whether an attempt would be refused.
pub(crate) enum Verdict {
    Free,
    Denied(Wait),
    NotKnown(Wait),
}

/// Whether an endpoint may be connected to its target. A manual request is approved by somebody else.
pub(crate) fn may_connect(view: &View<'_>, wanted: &Wanted<'_>) -> Verdict {
    let action = match wanted.group.target() {
        TargetKind::Registry => {
            "Microsoft.MachineLearningServices/registries/PrivateEndpointConnectionsApproval/action"
        }
        TargetKind::Storage => "Microsoft.Storage/storageAccounts/PrivateEndpointConnectionsApproval/action",
        TargetKind::ContainerRegistry => {
            "Microsoft.ContainerRegistry/registries/PrivateEndpointConnectionsApproval/action"
        }
    };
    if wanted.place.manual_request.is_some() {
        return Verdict::Free;
    }
    verdict(
        view,
        wanted.target,
        action,
        &format!("private endpoint {} on", wanted.label()),
    )
}

/// Whether a target's network settings may be written.
pub(crate) fn may_write(view: &View<'_>, target: TargetKind, id: &ArmId) -> Verdict {
    let action = match target {
        TargetKind::Registry => "Microsoft.MachineLearningServices/registries/write",
        TargetKind::Storage => "Microsoft.Storage/storageAccounts/write",
        TargetKind::ContainerRegistry => "Microsoft.ContainerRegistry/registries/write",
    };
    verdict(view, id, action, "closing")
}

fn verdict(view: &View<'_>, target: &ArmId, action: &str, what: &str) -> Verdict {
    let managed = view.registry().and_then(|r| r.managed_resource_group.as_ref());
    let inside = managed.is_none_or(|group| target.resource_group_id().as_ref() == Some(group));
    if *target == view.desired.registry || !inside {
        return Verdict::Free;
    }
    let assignments = match &view.seen.azure.deny_assignments {
        Fact::Seen(assignments) => assignments.as_slice(),
        Fact::Absent => &[],
        unknown => return Verdict::NotKnown(not_known("deny assignments of the managed resource group", unknown)),
    };
    if assignments.is_empty() {
        return Verdict::Free;
    }
    let principal = match &view.seen.azure.principal {
        Fact::Seen(principal) => principal,
        unknown @ (Fact::Absent | Fact::Unknown(_)) => {
            return Verdict::NotKnown(not_known("our own principal in Azure", unknown));
        }
    };
    match assignments.iter().find(|a| a.denies(&principal.object_id, action)) {
        None => Verdict::Free,
        Some(assignment) => Verdict::Denied(Wait {
            reason: WaitReason::DenyAssignmentStalled,
            message: format!(
                "{what} {} is forbidden by the deny assignment {:?} ({action}): set spec.registry.managedResourceGroupAccess: GrantOperator, or list principal {} in managedResourceGroupSettings.assignedIdentities",
                target.name(),
                assignment.name,
                principal.object_id
            ),
        }),
    }
}
