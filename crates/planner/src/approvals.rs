//! What each `ChangeApproval` is told about itself, and whether the lock that follows a break-glass will have one.
//!
//! | so far | phase |
//! | --- | --- |
//! | what it approves cannot be told yet, or nothing of its kind is to be done | Pending, or what it was told before |
//! | the registry object is missing or names no registry | Pending, unless it was used |
//! | who made it changed the spec last, and a grant demands somebody else | Pending |
//! | it names what would be done now | Counts |
//! | what it names was done | Used; the one of a lock goes on counting for a lock that comes back |
//! | something else would be done now | Void |

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::names::ANNOTATION_SPEC_EDITED_BY;
use sreg_api::{ChangeApprovalPhase, ChangeApprovalStatus, ChangeKind};
use sreg_domain::Digest;
use sreg_domain::last_report::UsedApproval;
use sreg_domain::seen::ApprovalSeen;

use crate::break_glass::{self, BreakGlassState, why_no_registry};
use crate::conditions::{truncate, whole_seconds};
use crate::contribution::Contribution;
use crate::gates::{approved, needs_approval};
use crate::plan::{Assessment, Finding, FindingReason, Wait, WaitReason};
use crate::view::View;
use crate::{never_locked, obstacles, opening};

const LONGEST_MESSAGE: usize = 1024;

/// The status of each, by uid; what it says already where nothing new is known.
pub(crate) fn statuses(
    view: &View<'_>,
    assessment: &Assessment,
    waits: &[Wait],
    findings: &[Finding],
) -> BTreeMap<String, ChangeApprovalStatus> {
    // Of these little is judged: what was told stays.
    if view.seen.object.deleting || !view.desired.is_whole() {
        return BTreeMap::new();
    }
    let listed = is_listed(waits, findings);
    let decided = |approval: &ApprovalSeen| {
        let judged = || match approval.change {
            ChangeKind::Lockdown => of_lockdown(view, assessment, listed, approval),
            ChangeKind::NameChanges => of_name_changes(view, assessment, waits, approval),
            ChangeKind::Opening => of_opening(view, approval),
        };
        match uncounted(view, approval) {
            Some(why) => {
                let phase = match used(view, approval) {
                    Some(_) => ChangeApprovalPhase::Used,
                    None => ChangeApprovalPhase::Pending,
                };
                say(view, approval, phase, format!("does not count: {why}"))
            }
            None => judged(),
        }
    };
    let all = view.seen.cluster.approvals.seen().into_iter().flatten();
    all.filter_map(|approval| {
        let status = decided(approval).or_else(|| approval.status.clone())?;
        Some((approval.uid.clone(), status))
    })
    .collect()
}

/// The status of an approval whose `SecureRegistry` does not exist, or names no registry (`violation`). `None`: what it says stays.
pub fn approval_without_registry(
    namespace: &str,
    approval: &ApprovalSeen,
    registry: &str,
    violation: Option<&str>,
) -> Option<ChangeApprovalStatus> {
    let stays = approval
        .status
        .as_ref()
        .is_some_and(|told| told.phase == ChangeApprovalPhase::Used || violation.is_some());
    if stays {
        return None;
    }
    let why = why_no_registry(namespace, registry, violation);
    Some(ChangeApprovalStatus {
        phase: ChangeApprovalPhase::Pending,
        used_at: None,
        message: truncate(&format!("approves nothing: {why}"), LONGEST_MESSAGE),
    })
}

/// When an approval was used, as status remembers.
fn used<'a>(view: &View<'a>, approval: &ApprovalSeen) -> Option<&'a UsedApproval> {
    let same =
        |u: &&UsedApproval| u.name == approval.name && u.change == approval.change && u.digest == approval.digest;
    view.last().approvals_used.iter().find(same)
}

fn say(
    view: &View<'_>,
    approval: &ApprovalSeen,
    phase: ChangeApprovalPhase,
    message: String,
) -> Option<ChangeApprovalStatus> {
    let before = approval.status.as_ref().and_then(|s| s.used_at.clone());
    Some(ChangeApprovalStatus {
        phase,
        used_at: used(view, approval).and_then(|u| u.used_at.map(Time)).or(before),
        message: truncate(&message, LONGEST_MESSAGE),
    })
}

/// Whether `status.approvalsWanted` says what the lockdown would do.
pub(crate) fn is_listed(waits: &[Wait], findings: &[Finding]) -> bool {
    waits.iter().any(|w| w.reason == WaitReason::LockdownApproval)
        || findings.iter().any(|f| f.reason == FindingReason::RelockNeedsApproval)
}

/// What becomes of a digest that nobody has approved.
fn what_next(view: &View<'_>, listed: bool) -> String {
    let (registry, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    if listed {
        return format!(
            "status.approvalsWanted says what it would do (kubectl get sreg {registry} -n {namespace} -o yaml): approve that with another ChangeApproval"
        );
    }
    if !needs_approval(view) {
        return "nothing waits for an approval of it (publicAccess.lockdown.waitFor)".to_owned();
    }
    if view.all_closed() {
        "nothing waits for an approval while it is locked; a lock that comes back after a BreakGlass will wait for a ChangeApproval with that digest".to_owned()
    } else {
        "the lock is not so far yet; once it waits for an approval, status.approvalsWanted says what it would do"
            .to_owned()
    }
}

fn of_lockdown(
    view: &View<'_>,
    assessment: &Assessment,
    listed: bool,
    approval: &ApprovalSeen,
) -> Option<ChangeApprovalStatus> {
    let registry = &view.desired.object.name;
    let Some(digest) = &assessment.lockdown_digest else {
        return match approval.status {
            // What cannot be told now is no news.
            Some(_) => None,
            None => say(
                view,
                approval,
                ChangeApprovalPhase::Pending,
                format!(
                    "not judged yet: the paths that {registry} requires, or what would forbid opening it again, are not all known"
                ),
            ),
        };
    };
    if *digest != approval.digest {
        return say(
            view,
            approval,
            ChangeApprovalPhase::Void,
            format!(
                "void: what was approved is not what would be done now. Targets, whom their rules let in, required paths, networks, what is waived, or what forbids opening again are others, or the object was declared anew; the lockdown of {registry} now has digest {digest}; {}",
                what_next(view, listed)
            ),
        );
    }
    if view.all_closed() && view.seen.cluster.snapshot.seen().is_some() {
        return say(
            view,
            approval,
            ChangeApprovalPhase::Used,
            format!(
                "{registry} is locked as approved here; it counts again for a lock that comes back after a BreakGlass, so keep it"
            ),
        );
    }
    let needed = if needs_approval(view) {
        ""
    } else {
        ", though nothing waits for an approval (publicAccess.lockdown.waitFor)"
    };
    say(
        view,
        approval,
        ChangeApprovalPhase::Counts,
        format!("the lockdown of {registry} may go on as it would be done now{needed}"),
    )
}

fn of_name_changes(
    view: &View<'_>,
    assessment: &Assessment,
    waits: &[Wait],
    approval: &ApprovalSeen,
) -> Option<ChangeApprovalStatus> {
    let registry = &view.desired.object.name;
    let pending = assessment.approved_changes.contains(&approval.digest);
    if used(view, approval).is_some() {
        return say(
            view,
            approval,
            ChangeApprovalPhase::Used,
            format!("the name changes of {registry} that it approves were made, or are being made"),
        );
    }
    if pending {
        return say(
            view,
            approval,
            ChangeApprovalPhase::Counts,
            format!("the name changes of {registry} may go on as they would be made now"),
        );
    }
    let told = approval.status.as_ref().map(|s| s.phase);
    let unread = waits.iter().any(|w| w.reason == WaitReason::NotKnown);
    if told == Some(ChangeApprovalPhase::Used) || (told.is_some() && unread) {
        return None;
    }
    match assessment.name_changes.first() {
        Some(asked) => say(
            view,
            approval,
            ChangeApprovalPhase::Void,
            format!(
                "void: the name changes that {registry} waits for are others; they have digest {} and {}",
                asked.digest, asked.summary
            ),
        ),
        None => say(
            view,
            approval,
            ChangeApprovalPhase::Pending,
            format!("no change of names with this digest is to be made for {registry} now"),
        ),
    }
}

fn of_opening(view: &View<'_>, approval: &ApprovalSeen) -> Option<ChangeApprovalStatus> {
    let registry = &view.desired.object.name;
    let digest = never_locked::digest(view);
    if digest != approval.digest {
        let why = format!(
            "void: it approves another opening; that of what {registry} did not close itself has digest {digest}"
        );
        return say(view, approval, ChangeApprovalPhase::Void, why);
    }
    if used(view, approval).is_some() {
        let what = format!(
            "{registry} was opened as approved here; it counts for every later opening, so delete it to withdraw it"
        );
        return say(view, approval, ChangeApprovalPhase::Used, what);
    }
    let part: Vec<&str> = never_locked::closed_before(view)
        .map(|access| access.id.name())
        .collect();
    let what = if never_locked::needs_approval(view) {
        format!("{registry} may be opened, once its spec or a BreakGlass says so")
    } else if part.is_empty() {
        format!(
            "{registry} may be opened, once its spec or a BreakGlass says so, though that needs no approval: it was locked in this object's name, or made by it"
        )
    } else {
        let part = part.join(", ");
        format!(
            "{part}, which others had closed before {registry} was locked, may be opened, once its spec says so; a BreakGlass leaves that closed"
        )
    };
    say(view, approval, ChangeApprovalPhase::Counts, what)
}

/// The approvals that let a change of this kind and digest go on.
pub(crate) fn given<'a>(
    view: &'a View<'_>,
    change: ChangeKind,
    digest: &'a Digest,
) -> impl Iterator<Item = &'a ApprovalSeen> {
    let all = view.seen.cluster.approvals.seen().map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter(move |a| a.change == change && a.digest == *digest && a.counts(view.desired, &view.seen.object))
}

/// Why approvals of this kind and digest do not count, though they are there: for whoever waits for one.
pub(crate) fn why_not_counted(view: &View<'_>, change: ChangeKind, digest: &Digest) -> String {
    let all = view.seen.cluster.approvals.seen().into_iter().flatten();
    let mut vain = all.filter(|a| a.change == change && a.digest == *digest);
    vain.find_map(|approval| {
        Some(format!(
            " (ChangeApproval {} does not count: {})",
            approval.name,
            uncounted(view, approval)?
        ))
    })
    .unwrap_or_default()
}

/// What whoever is asked for an approval has to know: why one that is there does not count, or else who may give one at all.
pub(crate) fn who_may(view: &View<'_>, change: ChangeKind, digest: &Digest) -> String {
    let not_counted = why_not_counted(view, change, digest);
    if !not_counted.is_empty() || !view.desired.separate_approver {
        return not_counted;
    }
    match view.seen.object.spec_edited_by.as_deref() {
        Some(editor) => {
            format!(" (created by someone other than {editor}, who edited the spec last: a RegistryGrant demands that)")
        }
        None => format!(" (no approval counts yet: {})", unknown_editor()),
    }
}

const DEMAND: &str =
    "a RegistryGrant demands that approvals come from someone other than the last person to edit the spec";

fn unknown_editor() -> String {
    format!(
        "{DEMAND}, and the last editor is unknown: install deploy/editor (Kubernetes 1.36 or newer) and edit the spec once more, or edit it together with the annotation {ANNOTATION_SPEC_EDITED_BY}: GENERATION/USER; then approve the digest that is asked for from then on (docs/install.md)"
    )
}

/// Why it does not count, whatever it approves.
fn uncounted(view: &View<'_>, approval: &ApprovalSeen) -> Option<String> {
    if approval.counts(view.desired, &view.seen.object) {
        return None;
    }
    Some(match view.seen.object.spec_edited_by.as_deref() {
        Some(editor) if editor == approval.approved_by => {
            format!("{DEMAND}, which was {editor}: have another person create it")
        }
        Some(editor) => format!(
            "{DEMAND}, and whoever acts as a ServiceAccount of namespace {} is not known (editor: {editor}, approver: {}): have the spec edited and approved by people, or by accounts of other namespaces",
            view.desired.object.namespace, approval.approved_by
        ),
        None => unknown_editor(),
    })
}

/// Says while a break-glass is in force that the lock after it will wait for an approval which is not there.
pub(crate) fn warn_of_relock(view: &View<'_>, assessment: &Assessment) -> Contribution {
    let mut draft = Contribution::default();
    let BreakGlassState::Active { name, until, .. } = break_glass::state(view) else {
        return draft;
    };
    // Said before it is over: what would refuse the lock after it, or the next opening.
    if opening::is_restored(view) && break_glass::no_effect(view).is_none() {
        draft.add(obstacles::tell(view));
    }
    let approvable = needs_approval(view) && obstacles::to_all_closing(view).is_empty();
    let Some(digest) = assessment.lockdown_digest.as_ref().filter(|_| approvable) else {
        return draft;
    };
    if break_glass::no_effect(view).is_some() || approved(view, ChangeKind::Lockdown, digest) != Some(false) {
        return draft;
    }
    let all = view.seen.cluster.approvals.seen().into_iter().flatten();
    let void: Vec<String> = all
        .filter(|a| a.change == ChangeKind::Lockdown)
        .map(|a| format!("{} by {}", a.name, a.approved_by))
        .collect();
    let uncounted = why_not_counted(view, ChangeKind::Lockdown, digest);
    let why = if !uncounted.is_empty() {
        format!("there is none that counts{uncounted}")
    } else if void.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there is only {}, which approves something else", void.join(", "))
    };
    draft.find(
        FindingReason::RelockNeedsApproval,
        format!(
            "when BreakGlass {name} ends at {}, the lock will wait for a ChangeApproval with change: Lockdown and digest {digest}: {why}",
            whole_seconds(until).0
        ),
    );
    draft
}
