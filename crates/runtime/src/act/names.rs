//! What steps and their results are called in metrics: closed sets.

use sreg_domain::action::{AzureAction, ClusterAction, Edit, StepResult};
use sreg_domain::{Action, Effect};

/// What a step does.
pub(super) fn action(action: &Action) -> &'static str {
    match action {
        Action::Cluster(action) => match action {
            ClusterAction::Claim { .. } => "claim",
            ClusterAction::ReleaseClaim { .. } => "release_claim",
            ClusterAction::AddFinalizer => "add_finalizer",
            ClusterAction::RemoveFinalizer => "remove_finalizer",
            ClusterAction::WriteSnapshot { .. } => "write_snapshot",
            ClusterAction::DeleteSnapshot { .. } => "delete_snapshot",
            ClusterAction::ApplyProbe(_) => "apply_probe",
            ClusterAction::OpenRound { .. } => "open_round",
            ClusterAction::TellBreakGlass { .. } => "tell_break_glass",
            ClusterAction::DeleteProbe { .. } => "delete_probe",
        },
        Action::Azure(action) => match action {
            AzureAction::CreateRegistry { .. } => "create_registry",
            AzureAction::SetTags { .. } => "set_tags",
            AzureAction::GrantManagedGroupAccess { .. } => "grant_managed_group_access",
            AzureAction::CreateEndpoint { .. } => "create_endpoint",
            AzureAction::DeleteEndpoint { .. } => "delete_endpoint",
            AzureAction::CreateZone { .. } => "create_zone",
            AzureAction::LinkZone { .. } => "link_zone",
            AzureAction::PutZoneGroup { .. } => "put_zone_group",
            AzureAction::DeleteZoneGroup { .. } => "delete_zone_group",
            AzureAction::Edit { edit, .. } => match edit {
                Edit::Close => "close",
                Edit::Restore(_) => "restore",
                Edit::Open => "open",
                Edit::AllowResource { .. } => "allow_resource",
            },
        },
    }
}

/// What came of it.
pub(super) fn result(result: &StepResult) -> &'static str {
    match result {
        StepResult::Effect(Effect::Done { .. }) => "done",
        StepResult::Effect(Effect::Started(_)) => "started",
        StepResult::Effect(Effect::Stale(_)) => "stale",
        StepResult::Failed(_) => "failed",
        StepResult::Withheld(_) => "withheld",
    }
}
