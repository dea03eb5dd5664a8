//! Opening public access: only by the user's spec, by a break-glass in force, or by a rollback that the user chose. What the
//! snapshot kept is restored exactly; where no snapshot tells what was, access is set open.
//!
//! | target | then |
//! | --- | --- |
//! | open, or not known | nothing |
//! | open, but denying everybody as the lock left it | restore what the snapshot holds |
//! | closed, snapshot holds settings that are open | restore them |
//! | closed, the snapshot holds closed settings | by spec: open it; else leave it, it was closed before the lock |
//! | closed, no snapshot | open it |
//! | closed, the snapshot cannot be read | wait; where it holds nonsense, open it, but not for a rollback |

use serde_json::{Value, json};
use sreg_api::conditions::State;
use sreg_domain::action::Snapshot;
use sreg_domain::seen::IgnoranceKind;
use sreg_domain::{ArmId, AzureAction, ClusterAction, Edit, Fact, TargetKind, naming};

use crate::attempts;
use crate::draft::{Draft, azure_step, cluster_step};
use crate::facts::{View, not_known, seen_digest, seen_network};
use crate::plan::{AccessAssessment, Wait, WaitReason};

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

/// Settings that are open, for a target of which nobody knows what it was before the lock.
pub(crate) fn open_settings(target: TargetKind) -> Value {
    match target {
        TargetKind::Registry => json!({"publicNetworkAccess": "Enabled"}),
        TargetKind::Storage => json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}),
        TargetKind::ContainerRegistry => {
            json!({"publicNetworkAccess": "Enabled", "networkRuleSet": {"defaultAction": "Allow"}})
        }
    }
}

/// A container registry that is switched on and denies everybody: what remains where somebody turned only the switch after a
/// lock (azure.md §5.2). Storage like that counts as closed.
fn denies_everybody(target: TargetKind, network: &Value) -> bool {
    let rules = network.pointer("/networkRuleSet");
    let denies = |r: &Value| {
        r["defaultAction"]
            .as_str()
            .is_some_and(|a| a.eq_ignore_ascii_case("Deny"))
    };
    let nobody = |r: &Value| r["ipRules"].as_array().is_none_or(Vec::is_empty);
    target == TargetKind::ContainerRegistry && rules.is_some_and(|r| denies(r) && nobody(r))
}

/// What would make a target as open as it was before the lock; `None`: nothing, or nothing that is known of.
fn wanted(view: &View<'_>, access: &AccessAssessment, snapshot: Option<&Snapshot>, cause: Cause) -> Option<Edit> {
    let kept = snapshot.and_then(|s| kept(s, &access.id));
    match (access.closed?, kept) {
        (true, Some(network)) if !settings_closed(access.target, network) => Some(Edit::Restore(network.clone())),
        (true, Some(_)) => (cause == Cause::Spec).then_some(Edit::Open),
        (true, None) => (cause != Cause::Rollback).then_some(Edit::Open),
        (false, Some(network)) => {
            let left = seen_network(view.seen, access.target, &access.id)?;
            let half_open = denies_everybody(access.target, &left)
                && !settings_closed(access.target, network)
                && !denies_everybody(access.target, network);
            half_open.then(|| Edit::Restore(network.clone()))
        }
        (false, None) => None,
    }
}

/// Something is known to be less open than it was before the lock.
pub(crate) fn is_shut(view: &View<'_>) -> bool {
    let snapshot = view.seen.cluster.snapshot.seen();
    let shut = |access| wanted(view, access, snapshot, Cause::BreakGlass).is_some();
    view.access.iter().any(shut)
}

/// Whether everything is known, and as open as it was before the lock: what is closed was closed then.
pub(crate) fn is_restored(view: &View<'_>) -> bool {
    view.targets.gap.is_none() && view.access.iter().all(|a| a.closed.is_some()) && !is_shut(view)
}

/// A snapshot that could not be read. One that holds nonsense stays so until somebody acts.
pub(crate) fn unread_snapshot(view: &View<'_>, fact: &Fact<Snapshot>) -> Wait {
    let Wait { reason, message } = not_known("the snapshot of what was before the lock", fact);
    match fact {
        Fact::Unknown(why) if why.kind == IgnoranceKind::Nonsense => Wait {
            reason: WaitReason::SnapshotUnreadableStalled,
            message: format!(
                "{message}: put ConfigMap {} in the operator's namespace right, or delete it (opening again will then open fully)",
                naming::snapshot_name(&view.desired.registry)
            ),
        },
        Fact::Unknown(_) | Fact::Absent | Fact::Seen(_) => Wait { reason, message },
    }
}

/// Plans the writes that open what is shut.
pub(crate) fn plan(view: &View<'_>, cause: Cause, draft: &mut Draft) {
    let snapshot = match &view.seen.cluster.snapshot {
        Fact::Seen(snapshot) => Some(snapshot),
        Fact::Absent => None,
        // Who opens in an emergency, or for good, does not wait until somebody has mended it.
        Fact::Unknown(why) if why.kind == IgnoranceKind::Nonsense && cause != Cause::Rollback => None,
        unknown => {
            if view.any_closed() {
                draft.wait(unread_snapshot(view, unknown));
            }
            return;
        }
    };
    for access in &view.access {
        let Some(edit) = wanted(view, access, snapshot, cause) else {
            continue;
        };
        if view.running(&access.id).is_some() {
            draft.waiting(
                WaitReason::OperationInProgress,
                format!("Azure is still changing {} {}", access.target, access.id.name()),
            );
            continue;
        }
        let id = format!("{} {} {}", cause.verb(), access.target, access.id.name());
        if let Some(wait) = attempts::held(view, &id) {
            draft.wait(wait);
            continue;
        }
        let Some(expected) = seen_digest(view.seen, access.target, &access.id) else {
            continue;
        };
        draft.opening.push(azure_step(
            id,
            AzureAction::Edit {
                target: access.target,
                id: access.id.clone(),
                edit,
                expected,
            },
        ));
    }
}

/// Once everything is as open as it was, what was before the lock is of no use: the next lock keeps what it finds then.
pub(crate) fn forget_snapshot(view: &View<'_>, draft: &mut Draft) {
    let useless = view.all_open() && !is_shut(view);
    if useless && view.seen.cluster.snapshot.seen().is_some() {
        let config_map = naming::snapshot_name(&view.desired.registry);
        draft.cluster.push(cluster_step(
            "delete-snapshot",
            ClusterAction::DeleteSnapshot { config_map },
        ));
    }
}
