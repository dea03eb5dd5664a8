//! Opening public access: only by the user's spec, by a break-glass in force, or by a rollback that the user chose. What the
//! snapshot kept is restored, with the rules that people have added since; where no snapshot tells what was, access is set open.
//!
//! | target | then |
//! | --- | --- |
//! | open, or not known | nothing |
//! | open, but less than before the lock: it denies where it allowed, or rules are missing | restore what the snapshot holds |
//! | closed, snapshot holds settings that are open | restore them |
//! | as before but for rules that Azure refused | told, with the command; tried again after a pause that grows |
//! | closed, the snapshot holds closed settings | others closed it before the lock: by spec, with an approval, open it; else leave it |
//! | closed, no snapshot | open it |
//! | closed, no snapshot but one of what an opening had put back while a closing write might still arrive | restore what that holds |
//! | closed, the snapshot cannot be read | wait; where it holds nonsense, open it, but not for a rollback |

use std::time::Duration;

use serde_json::Value;
use sreg_api::registry::PublicAccess;
use sreg_domain::action::Snapshot;
use sreg_domain::network_rules::{rules_missing, with_rules_of_now};
use sreg_domain::outside::word;
use sreg_domain::seen::IgnoranceKind;
use sreg_domain::{
    ArmId, AzureAction, ClusterAction, DefaultAction, Desired, Edit, Fact, NetworkRule, RuleKind, Seen, StepKind,
    TargetKind, naming,
};

use crate::break_glass::{self, BreakGlassState};
use crate::contribution::{Contribution, Next, azure_step, cluster_step};
use crate::kept::{default_action, kept, settings_closed, switch};
use crate::left_out::{self, LeftOutRules};
use crate::plan::{AccessAssessment, FindingReason, Step, Wait, WaitReason};
use crate::view::{self, View, named, not_known, seen_digest, seen_network};
use crate::{attempts, azure_claim, claims, locked, never_locked, obstacles};

/// Between two looks whether a closing write that was on its way has arrived.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// Who says that the registry is to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Spec,
    BreakGlass,
    Rollback,
}

impl Cause {
    fn step(self) -> StepKind {
        match self {
            Cause::Spec => StepKind::Open,
            Cause::BreakGlass => StepKind::BreakGlass,
            Cause::Rollback => StepKind::RollBack,
        }
    }
}

/// Who says now that the registry is to be open, as far as object and cluster tell.
pub(crate) fn cause(view: &View<'_>) -> Option<Cause> {
    if view.desired.public_access == PublicAccess::Enabled {
        return Some(Cause::Spec);
    }
    if matches!(break_glass::state(view), BreakGlassState::Active { .. }) {
        return Some(Cause::BreakGlass);
    }
    locked::finishes_rollback(view).then_some(Cause::Rollback)
}

/// Whether this visit opens what it finds less open than it was: then nothing that it does not need for that is waited for. It
/// needs nothing that Azure says, so that it can be asked before Azure is.
pub fn may_open(desired: &Desired, seen: &Seen) -> bool {
    let view = View::new(desired, seen, seen.at);
    !seen.object.deleting
        && !desired.observe_only
        && desired.may_be_opened()
        && cause(&view).is_some()
        && view.is_held()
        && claims::plan(&view).1 == Next::GoOn
}

/// Accounts to look at where the registry does not answer and public access is to be opened. Needs nothing that Azure says.
pub fn accounts_to_open(desired: &Desired, seen: &Seen) -> Vec<ArmId> {
    let accounts = view::accounts_in_snapshot(desired, seen);
    accounts.into_iter().map(|(_, id)| id).collect()
}

/// Whether, by what Azure says now, something is left to open: it is less open than it was, or nobody knows.
pub fn is_left_to_open(desired: &Desired, seen: &Seen) -> bool {
    let ordered = seen.in_order();
    let view = View::new(desired, &ordered, seen.at);
    let Some(cause) = cause(&view).filter(|_| azure_claim::lets_open(&view)) else {
        return false;
    };
    let snapshot = seen.cluster.snapshot.seen();
    let known = view.targets.gap.is_none() && view.access.iter().all(|a| a.closed.is_some());
    let gone = seen.azure.registry().is_absent();
    let shut = |access| wanted(&view, access, snapshot, cause).is_some();
    !(known || gone) || view.access.iter().any(shut)
}

/// How much less open a target is than settings that were open.
struct Lack {
    /// By its switch or its default action: `az acr update --public-network-enabled true` turns only the switch (azure.md §5.2).
    by_switch: bool,
    /// Rules that are not there.
    rules: Vec<NetworkRule>,
}

/// What a target lacks of what it was. One that somebody has opened wider meanwhile lacks nothing. `None`: it was not read.
fn lack(view: &View<'_>, access: &AccessAssessment, before: &Value) -> Option<Lack> {
    let now = seen_network(view.seen, &access.id)?;
    let denies = |network: &Value| default_action(access.target, network) == DefaultAction::Deny;
    let narrower = denies(&now) && !denies(before);
    let wider = !denies(&now) && denies(before);
    let by_switch = match access.closed {
        Some(true) => narrower || switch(&now) != switch(before),
        Some(false) => narrower,
        None => return None,
    };
    let rules = match access.closed {
        Some(false) if wider => Vec::new(),
        Some(_) | None => rules_missing(access.target, before, &now),
    };
    Some(Lack { by_switch, rules })
}

/// What would make a target as open as it was before the lock; `None`: nothing, or nothing that is known of.
fn wanted(view: &View<'_>, access: &AccessAssessment, snapshot: Option<&Snapshot>, cause: Cause) -> Option<Edit> {
    let kept = snapshot.and_then(|s| kept(s, &access.id));
    match (access.closed?, kept) {
        (_, Some(network)) if !settings_closed(access.target, network) => {
            let Lack { by_switch, rules } = lack(view, access, network)?;
            let pausing = left_out::known(view, &access.id, &rules).is_some_and(|left| view.now < left.next);
            let missing = !rules.is_empty() && !pausing;
            // Rules that somebody has added since, whether they are in use or had to wait for the opening, are a decision about who comes in.
            let now = seen_network(view.seen, &access.id)?;
            let settings = with_rules_of_now(access.target, network, &now);
            (by_switch || missing).then_some(Edit::Restore(settings))
        }
        (true, Some(_)) => (cause == Cause::Spec && never_locked::held_in_part(view).is_none()).then_some(Edit::Open),
        (true, None) => match view.before_late_closing(access) {
            Some(before) => {
                let now = seen_network(view.seen, &access.id)?;
                Some(Edit::Restore(with_rules_of_now(access.target, before, &now)))
            }
            None => (cause != Cause::Rollback).then_some(Edit::Open),
        },
        (false, _) => None,
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

/// Rules of the snapshot that Azure refused to have back, target by target, where nothing else is missing.
fn rules_left_out<'v>(view: &'v View<'_>) -> Vec<(&'v AccessAssessment, Vec<NetworkRule>, LeftOutRules<'v>)> {
    let Some(snapshot) = view.seen.cluster.snapshot.seen() else {
        return Vec::new();
    };
    let of = |access: &'v AccessAssessment| {
        let before = kept(snapshot, &access.id)?;
        let Lack { by_switch, rules } = lack(view, access, before)?;
        let left = left_out::known(view, &access.id, &rules)?;
        (!by_switch).then_some((access, rules, left))
    };
    view.access.iter().filter_map(of).collect()
}

/// Names the rules that could not be put back, why, and what a person can do.
pub(crate) fn tell_left_out(view: &View<'_>, next: &str) -> Contribution {
    let mut draft = Contribution::default();
    for (access, rules, left) in rules_left_out(view) {
        let missing: Vec<String> = rules.iter().map(ToString::to_string).collect();
        draft
            .looks
            .push(Duration::try_from(left.next.duration_since(view.now)).unwrap_or_default());
        draft.find(
            FindingReason::RulesNotPutBack,
            format!(
                "{} is as open as before the lock but for {}: {}; {next}: {}",
                named(access),
                missing.join(", "),
                left.why,
                commands(&rules, |rule| put_back_by_hand(access.target, &access.id, rule))
            ),
        );
    }
    draft
}

/// Commands in a message; the others are like them.
const MOST_COMMANDS: usize = 3;

/// A command for each of the first rules.
pub(crate) fn commands(rules: &[NetworkRule], command: impl Fn(&NetworkRule) -> String) -> String {
    let shown: Vec<String> = rules.iter().take(MOST_COMMANDS).map(command).collect();
    let shown = shown.join("; ");
    match rules.len().saturating_sub(MOST_COMMANDS) {
        0 => shown,
        more => format!("{shown} (and so on for {more} more)"),
    }
}

/// The command that puts a rule back.
pub(crate) fn put_back_by_hand(target: TargetKind, id: &ArmId, rule: &NetworkRule) -> String {
    by_hand("add", target, id, rule)
}

/// The command that takes a rule away.
pub(crate) fn remove_by_hand(target: TargetKind, id: &ArmId, rule: &NetworkRule) -> String {
    by_hand("remove", target, id, rule)
}

fn by_hand(verb: &str, target: TargetKind, id: &ArmId, rule: &NetworkRule) -> String {
    let (group, subscription) = (word(id.resource_group().unwrap_or_default()), word(id.subscription()));
    let place = format!("--resource-group {group} --subscription {subscription}");
    let name = word(id.name());
    let value = word(&rule.value);
    let whom = match rule.kind {
        RuleKind::Ip | RuleKind::Ipv6 => format!("--ip-address {value}"),
        RuleKind::Subnet => format!("--subnet {value}"),
        // A rule that names no tenant is found, and made again, by none.
        RuleKind::Resource => {
            let tenant = rule
                .tenant
                .as_ref()
                .map(|tenant| format!(" --tenant-id {}", word(tenant)));
            format!("--resource-id {value}{}", tenant.unwrap_or_default())
        }
    };
    match target {
        TargetKind::Registry | TargetKind::Storage => {
            format!("az storage account network-rule {verb} --account-name {name} {place} {whom}")
        }
        TargetKind::ContainerRegistry => format!("az acr network-rule {verb} --name {name} {place} {whom}"),
    }
}

/// A snapshot that could not be read. One that holds nonsense stays so until somebody acts.
pub(crate) fn unread_snapshot(view: &View<'_>, fact: &Fact<Snapshot>) -> Wait {
    let unread = not_known("the snapshot of what was before the lock", fact);
    match fact {
        Fact::Unknown(why) if why.kind == IgnoranceKind::Nonsense => Wait::new(
            WaitReason::SnapshotUnreadableStalled,
            format!(
                "{}: put ConfigMap {name} in the operator's namespace right (kubectl get configmaps -A --field-selector metadata.name={name} -o yaml), or delete it (opening again will then open fully)",
                unread.message,
                name = naming::snapshot_name(&view.desired.registry)
            ),
        ),
        Fact::Unknown(_) | Fact::Absent | Fact::Seen(_) => unread,
    }
}

/// Plans the writes that open what is shut.
pub(crate) fn plan(view: &View<'_>, cause: Cause) -> Contribution {
    let mut draft = Contribution::default();
    if let Some(wait) = never_locked::held(view).filter(|_| view.any_closed()) {
        draft.wait(wait);
        return draft;
    }
    let next = "repair that, and it is put back by itself, or put it back by hand";
    draft.add(tell_left_out(view, next));
    let snapshot = match &view.seen.cluster.snapshot {
        Fact::Seen(snapshot) => Some(snapshot),
        Fact::Absent => None,
        // Who opens in an emergency, or for good, does not wait until somebody has mended it.
        Fact::Unknown(why) if why.kind == IgnoranceKind::Nonsense && cause != Cause::Rollback => None,
        unknown => {
            if view.any_closed() {
                draft.wait(unread_snapshot(view, unknown));
            }
            return draft;
        }
    };
    // Whether this object created it is known once the registry is read.
    let known = view.registry().is_some();
    if let Some(wait) = never_locked::held_in_part(view).filter(|_| known && cause == Cause::Spec) {
        draft.wait(wait);
    }
    if view.access.iter().any(|a| wanted(view, a, snapshot, cause).is_some()) {
        draft.add(obstacles::tell(view));
    }
    let mut with_added = snapshot.cloned();
    let mut opening = Vec::new();
    for access in &view.access {
        let Some(edit) = wanted(view, access, snapshot, cause) else {
            continue;
        };
        // What cannot be read may be over: Azure refuses what comes too early, and it is tried again.
        if view.running(&access.id).is_some_and(|o| o.state.runs()) {
            draft.waiting(
                WaitReason::OperationInProgress,
                format!("Azure is still changing {} {}", access.target, access.id.name()),
            );
            continue;
        }
        let id = cause.step().on(opened(view, access, snapshot));
        if let Some(wait) = attempts::held(view, &id) {
            draft.wait(wait);
            continue;
        }
        let Some(expected) = seen_digest(view.seen, &access.id) else {
            continue;
        };
        if let Some(snapshot) = &mut with_added {
            take_up(snapshot, access, &edit);
        }
        opening.push(azure_step(
            id,
            AzureAction::Edit {
                target: access.target,
                id: access.id.clone(),
                edit,
                expected,
            },
        ));
    }
    // Beside what opens: nobody waits for it.
    let added = with_added.filter(|with_added| snapshot != Some(with_added));
    draft
        .opening
        .extend(added.map(|snapshot| write_snapshot(view, snapshot)));
    draft.opening.extend(opening);
    draft
}

/// What a write that opens is about. The switch goes before the rules, so that rules alone are another write: it does not wait for what
/// came of the first, and that one has had its effect.
fn opened(view: &View<'_>, access: &AccessAssessment, snapshot: Option<&Snapshot>) -> String {
    let before = snapshot.and_then(|snapshot| kept(snapshot, &access.id));
    let lack = before.and_then(|before| lack(view, access, before));
    let target = format!("{} {}", access.target, access.id.name());
    if lack.is_some_and(|lack| !lack.by_switch) {
        format!("rules of {target}")
    } else {
        target
    }
}

/// The write that keeps a snapshot, before a lock or beside an opening.
pub(crate) fn write_snapshot(view: &View<'_>, snapshot: Snapshot) -> Step {
    let config_map = naming::snapshot_name(&view.desired.registry);
    cluster_step(
        StepKind::WriteSnapshot,
        ClusterAction::WriteSnapshot { config_map, snapshot },
    )
}

/// Takes up into a snapshot what is put back onto a target that is closed: rules that people have added there come back with the others,
/// and Azure may refuse to take them once more. Then nothing else tells that they were there.
fn take_up(snapshot: &mut Snapshot, access: &AccessAssessment, edit: &Edit) {
    if let (Some(true), Edit::Restore(settings)) = (access.closed, edit) {
        let held = snapshot.targets.iter_mut();
        let held = held.filter(|(id, _)| id.eq_ignore_ascii_case(access.id.key()));
        held.for_each(|(_, target)| target.network.clone_from(settings));
    }
}

/// Once everything is as open as it was, what was before the lock is of no use: the next lock keeps what it finds then. Rules that
/// Azure refused may still be put back: for them the snapshot stays, and says so itself. While a closing write may still be on its way the
/// snapshot stays too, and says that it is of no lock any more.
pub(crate) fn keep_or_forget_snapshot(view: &View<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let Some(snapshot) = view.seen.cluster.snapshot.seen() else {
        return forget_restored(view);
    };
    if !view.all_open() || is_shut(view) {
        return draft;
    }
    let left_out = !rules_left_out(view).is_empty();
    let as_it_stands = Snapshot {
        restored_in_part: left_out,
        restored_at: (!left_out).then_some(view.now),
        ..snapshot.clone()
    };
    if left_out {
        let is_new = !snapshot.restored_in_part;
        draft.cluster.extend(is_new.then(|| write_snapshot(view, as_it_stands)));
    } else if attempts::closing_may_arrive(view) {
        draft.looks.push(BETWEEN_LOOKS);
        draft.cluster.push(write_snapshot(view, as_it_stands));
    } else {
        draft.cluster.push(forget_snapshot(view));
    }
    draft
}

/// What an opening had put back is forgotten once no closing write can arrive any more and everything is open, whoever wants it to be.
pub(crate) fn forget_restored(view: &View<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let restored = view.seen.cluster.restored.as_ref();
    let Some(at) = restored.and_then(|restored| restored.restored_at) else {
        return draft;
    };
    if attempts::has_arrived(view, at) {
        draft.cluster.extend(view.all_open().then(|| forget_snapshot(view)));
    } else {
        draft.looks.push(BETWEEN_LOOKS);
    }
    draft
}

fn forget_snapshot(view: &View<'_>) -> Step {
    let config_map = naming::snapshot_name(&view.desired.registry);
    cluster_step(StepKind::DeleteSnapshot, ClusterAction::DeleteSnapshot { config_map })
}
