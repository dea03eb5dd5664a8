//! Opening public access: only by the user's spec, by a break-glass in force, or by a rollback that the user chose. What the
//! snapshot kept is restored exactly; where no snapshot tells what was, access is set open.
//!
//! | target | then |
//! | --- | --- |
//! | open, or not known | nothing |
//! | closed, snapshot holds settings that are open | restore them |
//! | closed, the snapshot holds closed settings | by spec: open it; else leave it, it was closed before the lock |
//! | closed, no snapshot | open it |
//! | closed, the snapshot cannot be read | wait |

use serde_json::Value;
use sreg_api::conditions::State;
use sreg_domain::action::Snapshot;
use sreg_domain::{ArmId, AzureAction, ClusterAction, Edit, Fact, TargetKind, naming};

use crate::draft::{Draft, azure_step, cluster_step};
use crate::facts::{View, in_azures_words, not_known, seen_digest};
use crate::plan::{Wait, WaitReason};

/// Who says that the registry is to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Spec,
    BreakGlass,
    Rollback,
}

impl Cause {
    fn verb(self) -> &'static str {
        match self {
            Cause::Spec => "open",
            Cause::BreakGlass => "break-glass",
            Cause::Rollback => "roll-back",
        }
    }
}

/// What a step that opens or closes was to bring about, by its name.
pub(crate) fn started_as(step: &str) -> Option<State> {
    let verb = step.split(' ').next().unwrap_or_default();
    let opens = [Cause::Spec, Cause::BreakGlass, Cause::Rollback]
        .iter()
        .any(|cause| cause.verb() == verb);
    if opens {
        Some(State::Opening)
    } else {
        (verb == CLOSE).then_some(State::Locking)
    }
}

/// First word of the name of a closing step.
pub(crate) const CLOSE: &str = "close";

/// What the snapshot holds for a target.
pub(crate) fn kept<'a>(snapshot: &'a Snapshot, id: &ArmId) -> Option<&'a Value> {
    snapshot
        .targets
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(id.key()))
        .map(|(_, target)| &target.network)
}

/// Whether settings in Azure's shape are closed, by the rules of `facts`.
pub(crate) fn settings_closed(target: TargetKind, network: &Value) -> bool {
    let text = |pointer: &str| network.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let empty = |pointer: &str| {
        network
            .pointer(pointer)
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
    };
    let disabled = text("/publicNetworkAccess").eq_ignore_ascii_case("Disabled");
    match target {
        TargetKind::Registry | TargetKind::ContainerRegistry => disabled,
        TargetKind::Storage => {
            let denies = text("/networkAcls/defaultAction").eq_ignore_ascii_case("Deny")
                && empty("/networkAcls/ipRules")
                && empty("/networkAcls/ipv6Rules")
                && empty("/networkAcls/virtualNetworkRules");
            disabled || denies
        }
    }
}

/// Whether everything is as open as it was before the lock: what is closed was closed then.
pub(crate) fn is_restored(view: &View<'_>) -> bool {
    let snapshot = view.seen.cluster.snapshot.seen();
    let was_closed = |access: &crate::plan::AccessAssessment| {
        let kept = snapshot.and_then(|s| kept(s, &access.id));
        kept.is_some_and(|network| settings_closed(access.target, network))
    };
    view.targets.gap.is_none()
        && view
            .access
            .iter()
            .all(|a| a.closed == Some(false) || (a.closed == Some(true) && was_closed(a)))
}

/// Plans the writes that open what is closed.
pub(crate) fn plan(view: &View<'_>, cause: Cause, draft: &mut Draft) {
    let closed: Vec<_> = view.access.iter().filter(|a| a.closed == Some(true)).collect();
    if closed.is_empty() {
        return;
    }
    let snapshot = match &view.seen.cluster.snapshot {
        Fact::Seen(snapshot) => Some(snapshot),
        Fact::Absent => None,
        unknown => return draft.wait(not_known("the snapshot of what was before the lock", unknown)),
    };
    for access in closed {
        let kept = snapshot.and_then(|s| kept(s, &access.id));
        let edit = match kept {
            Some(network) if !settings_closed(access.target, network) => Edit::Restore(network.clone()),
            Some(_) if cause != Cause::Spec => continue,
            None if cause == Cause::Rollback => continue,
            Some(_) | None => Edit::Open,
        };
        if view.running(&access.id).is_some() {
            draft.waiting(
                WaitReason::OperationInProgress,
                format!("Azure is still changing {} {}", access.target, access.id.name()),
            );
            continue;
        }
        if let Some(failure) = view.refused(&access.id) {
            draft.wait(Wait {
                reason: WaitReason::RefusedStalled,
                message: in_azures_words(failure),
            });
            continue;
        }
        let Some(expected) = seen_digest(view.seen, access.target, &access.id) else {
            continue;
        };
        draft.opening.push(azure_step(
            format!("{} {} {}", cause.verb(), access.target, access.id.name()),
            AzureAction::Edit {
                target: access.target,
                id: access.id.clone(),
                edit,
                expected,
            },
        ));
    }
}

/// Once everything is open by the user's wish, what was before the lock is of no use.
pub(crate) fn forget_snapshot(view: &View<'_>, draft: &mut Draft) {
    if view.all_open() && view.seen.cluster.snapshot.seen().is_some() {
        let config_map = naming::snapshot_name(&view.desired.registry);
        draft.cluster.push(cluster_step(
            "delete-snapshot",
            ClusterAction::DeleteSnapshot { config_map },
        ));
    }
}
