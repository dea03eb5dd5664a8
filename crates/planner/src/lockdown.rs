//! Closing public access. The one rule stands here: every gate must be green, the proof of all paths complete, fresh and
//! echoed, the snapshot read back; then the closing writes stand alone.
//!
//! | so far | next |
//! | --- | --- |
//! | other steps or waits | those first |
//! | paths not known, vantage points silent or blind | wait |
//! | a gate is closed | wait, naming who must act |
//! | a path fails, no round is open | wait: a round would prove nothing |
//! | nothing that is open can be closed (denied, under a lock, refused a short time ago) | wait: it would be proven for nothing |
//! | no round counts, or it can no longer conclude | open one |
//! | proof incomplete | wait for the agents |
//! | snapshot missing or of other evidence | write it, look again |
//! | all of the above done | close: the registry first, then storage and container registry |

use std::collections::BTreeMap;

use sreg_api::registry::PublicAccess;
use sreg_domain::action::{Snapshot, SnapshotTarget};
use sreg_domain::network_rules::rules_of;
use sreg_domain::outside::word;
use sreg_domain::seen::{ContainerRegistryDetails, IgnoranceKind, StorageDetails, TargetDetails, TargetSeen};
use sreg_domain::{
    ArmId, AzureAction, Desired, Digest, Edit, Fact, Fqdn, NetworkRule, RuleKind, Seen, StepId, StepKind, TargetKind,
};

use crate::contribution::{Contribution, azure_step};
use crate::evidence::{Evidence, Look, first_failure, look_closer};
use crate::kept::{kept, settings_closed};
use crate::paths::Paths;
use crate::plan::{AccessAssessment, FindingReason, PathAssessment, Step, Wait, WaitReason};
use crate::view::{View, WholeView};
use crate::{attempts, azure_claim, before_lock, blind, firewall, gates, obstacles, opening, preflight};

/// Plans the way to the lock, as far as it can be gone now.
pub(crate) fn plan(
    view: &WholeView<'_>,
    paths: &Paths,
    evidence: &Evidence,
    standings: &[PathAssessment],
    so_far: &Contribution,
) -> Contribution {
    let mut draft = limits();
    draft.add(kept_open(view));
    draft.add(firewall::tell(view));
    let mut waits = what_holds(view, paths, evidence, standings, &mut draft);
    let mut rights = preflight::may_not_close(view, so_far);
    waits.append(&mut rights.waits);
    draft.add(rights);
    if so_far.is_at_work() {
        // What comes later is told only where a person can act on it already.
        waits.retain(|wait| wait.reason.row().early);
        waits.into_iter().for_each(|wait| draft.wait(wait));
    } else if !waits.is_empty() {
        waits.into_iter().for_each(|wait| draft.wait(wait));
    } else if let Some(obstacles) = nothing_can_be_closed(view) {
        obstacles.into_iter().for_each(|wait| draft.wait(wait));
    } else if let Some(subject) = &paths.subject {
        prove_and_close(view, evidence, subject, &mut draft);
    }
    draft
}

fn prove_and_close(view: &WholeView<'_>, evidence: &Evidence, subject: &Digest, draft: &mut Contribution) {
    if !(evidence.round.is_some() && evidence.can_conclude(view)) {
        draft.cluster.push(evidence.open_round(view, subject));
        return;
    }
    match &evidence.complete {
        Some(proof) => close_with(view, proof, draft),
        None => draft.waiting(WaitReason::ProofPending, still_to_prove(view, evidence)),
    }
}

/// Every reason that holds the lock, apart from other steps and waits.
fn what_holds(
    view: &WholeView<'_>,
    paths: &Paths,
    evidence: &Evidence,
    standings: &[PathAssessment],
    draft: &mut Contribution,
) -> Vec<Wait> {
    let mut waits: Vec<Wait> = paths.gaps.clone();
    if paths.gaps.is_empty() && paths.all.is_empty() {
        waits.push(Wait::new(
            WaitReason::PathsUnknown,
            "there is no path to prove: add spec.endpoints and spec.clientNetworks",
        ));
    }
    waits.extend(evidence.waits.iter().cloned());
    waits.extend(blind::waits(view, evidence));
    waits.extend(gates::closed(view, paths, draft));
    if let Some(failure) = first_failure(standings) {
        waits.push(Wait::new(
            WaitReason::PathFailing,
            format!("{failure}; repair the path; what agents see: {}", look_closer(view)),
        ));
    }
    waits
}

fn still_to_prove(view: &WholeView<'_>, evidence: &Evidence) -> String {
    let needed = view.spec.verification.consecutive_successes;
    let proven = evidence
        .looks
        .iter()
        .filter(|look| matches!(look, Look::Passes(times) if *times >= needed))
        .count();
    let why = blind::why(view, evidence)
        .map(|why| format!("; {why}"))
        .unwrap_or_default();
    format!(
        "{proven} of {} paths have {needed} successes in a row in the open proof round{why}",
        evidence.looks.len()
    )
}

/// Known limits of private registries (azure.md §1.7).
pub(crate) fn limits() -> Contribution {
    let mut draft = Contribution::default();
    draft.find(
        FindingReason::PrivateRegistryLimits,
        "once private: Studio shows only models, environments cannot be built in the registry (build in a workspace, then share), components cannot be shared from a workspace, and metadata may still be listed publicly",
    );
    draft
}

fn close_with(view: &WholeView<'_>, proof: &Digest, draft: &mut Contribution) {
    match &view.seen.cluster.snapshot {
        // What cannot be read is replaced while it matters to nobody.
        Fact::Unknown(why) if why.kind == IgnoranceKind::Nonsense && view.all_open() => {}
        unknown @ Fact::Unknown(_) => return draft.wait(opening::unread_snapshot(view, unknown)),
        Fact::Seen(_) | Fact::Absent => {}
    }
    let Some(wanted) = wanted_snapshot(view, proof) else {
        return draft.waiting(
            WaitReason::NotKnown,
            "network settings of a target could not be read: they are kept before the lock",
        );
    };
    if !view
        .seen
        .cluster
        .snapshot
        .seen()
        .is_some_and(|seen| same_snapshot(seen, &wanted))
    {
        draft.cluster.push(opening::write_snapshot(view, wanted));
        return;
    }
    closing(view, draft);
}

/// What must be kept before closing.
fn wanted_snapshot(view: &WholeView<'_>, proof: &Digest) -> Option<Snapshot> {
    let mut targets = BTreeMap::new();
    for access in &view.access {
        targets.insert(
            access.id.to_string(),
            SnapshotTarget {
                kind: access.target,
                network: before_lock::settings(view, access)?,
            },
        );
    }
    Some(Snapshot {
        holder: view.holder(),
        targets,
        evidence_digest: proof.clone(),
        managed_resource_group: view
            .registry()
            .and_then(|registry| registry.managed_resource_group.clone()),
        // Until all of it is put back: status may be erased before this lock closes anything.
        restored_in_part: view.was_restored_in_part(),
        restored_at: None,
    })
}

/// Equal but for how Azure spells ids.
fn same_snapshot(a: &Snapshot, b: &Snapshot) -> bool {
    let spelled = |s: &Snapshot| -> BTreeMap<String, SnapshotTarget> {
        s.targets
            .iter()
            .map(|(k, v)| (k.to_ascii_lowercase(), v.clone()))
            .collect()
    };
    let without_targets = |s: &Snapshot| Snapshot {
        targets: BTreeMap::new(),
        ..s.clone()
    };
    without_targets(a) == without_targets(b) && spelled(a) == spelled(b)
}

/// The closing writes: the registry alone first, because Azure may close the others with it; then what is still open. A target
/// that cannot be closed does not hold up the others.
fn closing(view: &WholeView<'_>, draft: &mut Contribution) {
    let mut steps: Vec<(TargetKind, Step)> = Vec::new();
    for access in open_targets(view) {
        match obstacle(view, access) {
            Some(wait) => draft.wait(wait),
            None => steps.extend(close(view, access).map(|step| (access.target, step))),
        }
    }
    let registry_alone = steps
        .iter()
        .any(|(target, step)| *target == TargetKind::Registry && !attempts::is_stalled(view, &step.id));
    // A write of it that was sent a moment ago may still show its effect, on the others too.
    let pauses = |a: &AccessAssessment| {
        let step = closing_step(a);
        attempts::held(view, &step).is_some() && !attempts::is_stalled(view, &step)
    };
    let registry_pauses = open_targets(view).any(|a| a.target == TargetKind::Registry && pauses(a));
    let registry_busy = registry_pauses || view.running(&view.desired.registry).is_some();
    let now = steps
        .into_iter()
        .filter(|(target, _)| *target == TargetKind::Registry || !(registry_alone || registry_busy));
    draft.closing.extend(now.map(|(_, step)| step));
}

/// The closing writes that wait for proof, for whoever reviews a plan before anything is carried out. The operator closes by
/// [`plan`] alone.
pub fn closing_ahead(desired: &Desired, seen: &Seen) -> Vec<Step> {
    let ordered = seen.in_order();
    let view = View::new(desired, &ordered, seen.at);
    let is_wanted = !desired.observe_only && desired.public_access == PublicAccess::Disabled;
    let whole = view.whole().filter(|_| is_wanted && !seen.object.deleting);
    let Some(whole) = whole.filter(|_| azure_claim::elsewhere(&view).is_none()) else {
        return Vec::new();
    };
    open_targets(&whole)
        .filter_map(|access| close(&whole, access))
        .collect()
}

fn open_targets<'a>(view: &'a WholeView<'_>) -> impl Iterator<Item = &'a AccessAssessment> {
    view.access.iter().filter(|a| a.closed == Some(false))
}

/// Why none of the open targets could be closed however well proven, if so: then nothing is proven for it.
fn nothing_can_be_closed(view: &WholeView<'_>) -> Option<Vec<Wait>> {
    open_targets(view).map(|access| obstacle(view, access)).collect()
}

/// Why a target cannot be closed now.
fn obstacle(view: &WholeView<'_>, access: &AccessAssessment) -> Option<Wait> {
    if view.running(&access.id).is_some() {
        return Some(Wait::new(
            WaitReason::OperationInProgress,
            format!("Azure is still closing {} {}", access.target, access.id.name()),
        ));
    }
    if let Some(wait) = obstacles::to_closing(view, access) {
        return Some(wait);
    }
    attempts::held(view, &closing_step(access))
}

/// Name of the step that closes a target.
pub(crate) fn closing_step(access: &AccessAssessment) -> StepId {
    StepKind::Close.on(format!("{} {}", access.target, access.id.name()))
}

fn close(view: &WholeView<'_>, access: &AccessAssessment) -> Option<Step> {
    let expected = crate::view::seen_digest(view.seen, &access.id)?;
    Some(azure_step(
        closing_step(access),
        AzureAction::Edit {
            target: access.target,
            id: access.id.clone(),
            edit: Edit::Close,
            expected,
        },
    ))
}

/// Who still comes in once storage and container registry are closed, and which hosts close unproven: reported, never touched.
pub(crate) fn kept_open(view: &WholeView<'_>) -> Contribution {
    let mut draft = Contribution::default();
    for message in firewall::without_effect(view) {
        draft.find(FindingReason::OtherWaysIn, message);
    }
    for target in view.seen.azure.targets.seen() {
        match &target.details {
            TargetDetails::Registry(_) => {}
            TargetDetails::Storage(storage) => kept_open_of_storage(view, target, storage, &mut draft),
            TargetDetails::ContainerRegistry(registry) => kept_open_of_images(target, registry, &mut draft),
        }
    }
    draft
}

/// Whom its firewall lets in whatever its rules say.
fn bypass(target: &TargetSeen) -> Option<&str> {
    let bypass = target.bypass.as_deref();
    bypass.filter(|bypass| !bypass.eq_ignore_ascii_case("None"))
}

fn kept_open_of_storage(view: &WholeView<'_>, target: &TargetSeen, storage: &StorageDetails, draft: &mut Contribution) {
    let name = target.id.name();
    if let Some(bypass) = bypass(target).filter(|bypass| !bypass.is_empty()) {
        draft.find(
            FindingReason::BypassKept,
            format!("storage {name} keeps bypass {bypass}"),
        );
    }
    resource_rules_kept(target, draft);
    if storage.shared_keys {
        draft.find(FindingReason::OtherWaysIn, format!(
            "storage {name} accepts account keys, and whatever is signed with them, from every network that reaches it; if nobody uses them: az storage account update --ids {} --allow-shared-key-access false",
            word(&target.id)
        ));
    }
    lost_resource_rules(view, target, draft);
    if !storage.secondary_hosts.is_empty() {
        let hosts: Vec<&str> = storage.secondary_hosts.iter().map(Fqdn::as_str).collect();
        draft.find(
            FindingReason::SecondaryHosts,
            format!(
                "storage {name} has secondary hosts ({}): nothing proves them, and they close with it",
                hosts.join(", ")
            ),
        );
    }
}

fn kept_open_of_images(target: &TargetSeen, registry: &ContainerRegistryDetails, draft: &mut Contribution) {
    for message in other_ways_into_images(&target.id, registry) {
        draft.find(FindingReason::OtherWaysIn, message);
    }
    if let Some(bypass) = bypass(target) {
        let tasks = if registry.tasks_kept_out {
            "; tasks of the registry do not come in by it (networkRuleBypassAllowedForTasks is false)"
        } else {
            ""
        };
        draft.find(
            FindingReason::BypassKept,
            format!("container registry {} keeps bypass {bypass}{tasks}", target.id.name()),
        );
    }
}

/// Rules on the registry's own storage: none of our objects asks for those (`registry::plan_sharing`), and closing leaves them.
fn resource_rules_kept(storage: &TargetSeen, draft: &mut Contribution) {
    if storage.resource_access_rules.is_empty() {
        return;
    }
    let mut rules = rules_of(TargetKind::Storage, &storage.network);
    rules.retain(|rule| rule.kind == RuleKind::Resource);
    rules.sort_by_key(NetworkRule::key);
    let listed: Vec<&str> = storage.resource_access_rules.iter().map(String::as_str).collect();
    draft.find(
        FindingReason::ResourceRulesKept,
        format!(
            "storage {} lets in {}, closed or not, which this SecureRegistry does not ask for: where it is not wanted, {}",
            storage.id.name(),
            listed.join(", "),
            opening::commands(&rules, |rule| opening::remove_by_hand(
                TargetKind::Storage,
                &storage.id,
                rule
            ))
        ),
    );
}

/// What a closed container registry lets in by other means than its network, and what opens with it again.
fn other_ways_into_images(id: &ArmId, registry: &ContainerRegistryDetails) -> Vec<String> {
    let name = id.name();
    let (account, subscription) = (word(name), word(id.subscription()));
    let mut ways = Vec::new();
    if registry.anonymous_pull {
        ways.push(format!(
            "container registry {name} lets whoever reaches it pull without signing in: az acr update --name {account} --subscription {subscription} --anonymous-pull-enabled false"
        ));
    }
    if registry.admin_user {
        ways.push(format!(
            "container registry {name} has its admin user on, one password for everything: az acr update --name {account} --subscription {subscription} --admin-enabled false"
        ));
    }
    ways
}

/// Rules for resources that stood there before the lock and are gone: closing keeps them, but for those that Azure refuses.
fn lost_resource_rules(view: &WholeView<'_>, storage: &TargetSeen, draft: &mut Contribution) {
    let snapshot = view.seen.cluster.snapshot.seen();
    let Some(before) = snapshot.and_then(|s| kept(s, &storage.id)) else {
        return;
    };
    let there = rules_of(TargetKind::Storage, &storage.network);
    let gone = rules_of(TargetKind::Storage, before).into_iter().filter(|rule| {
        let same = |other: &NetworkRule| other.key() == rule.key();
        rule.kind == RuleKind::Resource && !there.iter().any(same)
    });
    for rule in gone {
        draft.find(
            FindingReason::RulesNotPutBack,
            format!(
                "storage account {} has lost {rule}, which stood there before the lock: Azure refused to keep it, or somebody removed it; opening again puts it back; if it is needed before that: {}",
                storage.id.name(),
                opening::put_back_by_hand(TargetKind::Storage, &storage.id, &rule)
            ),
        );
    }
}

/// Whether what a snapshot holds would open a target.
pub(crate) fn would_open(target: TargetKind, snapshot: &Snapshot, id: &sreg_domain::ArmId) -> bool {
    kept(snapshot, id).is_some_and(|network| !settings_closed(target, network))
}
