//! The approval of name changes: writes that can cut clients off before any lock wait until somebody has approved what they touch.
//! What is held is told with whom it touches; an approval that could not be read holds like one that is missing.

use sreg_api::ChangeKind;
use sreg_domain::{Action, Desired, Seen};

use crate::approvals;
use crate::contribution::{Contribution, Held};
use crate::endpoints::{self, WantedEndpoints};
use crate::gates::approved;
use crate::names::{Covered, covered};
use crate::plan::{FindingReason, NameChange, Plan, Step, WaitReason};
use crate::removal;
use crate::view::{View, WholeView, not_known};

/// Holds name-changing steps whose digest no approval names, and says what is asked for and what is approved, once each.
pub(crate) fn hold(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, steps: Vec<Step>) -> Held {
    let (changing, free) = steps.into_iter().partition(|step| takes_approval(view, &step.action));
    let mut held = Held {
        free,
        ..Held::default()
    };
    let changing: Vec<Step> = changing;
    for step in changing {
        let change = covered(view, wanted, &step.action);
        let approval = change
            .as_ref()
            .ok()
            .map(|change| approved(view, ChangeKind::NameChanges, &change.digest));
        match (change, approval.flatten()) {
            (Ok(change), Some(true)) => {
                if !held.approved.contains(&change.digest) {
                    held.approved.push(change.digest);
                }
                held.free.push(step);
                continue;
            }
            (Ok(change), Some(false)) => ask(view, change, &mut held),
            (Ok(_), None) => held
                .said
                .wait(not_known("ChangeApprovals", &view.seen.cluster.approvals)),
            (Err(wait), _) => held.said.wait(wait),
        }
        held.back.push(step);
    }
    if !held.back.is_empty() {
        // Whose turn it is next matters once anything may go on.
        held.moot = Some(WaitReason::ResourceBusy);
    }
    for step in &held.back {
        tell(step, &mut held.said);
    }
    held
}

/// The spec, or a grant that it stands on, wants it; or, where an endpoint is removed, a grant that covers where that stands: its entry
/// is gone from the spec, and with it what the grant demanded of that.
fn takes_approval(view: &WholeView<'_>, action: &Action) -> bool {
    let removed = match action {
        Action::Azure(azure) => azure.removed_endpoint(),
        Action::Cluster(_) => None,
    };
    let wanted = view.spec.approve_name_changes;
    action.changes_names() && (wanted || removed.is_some_and(|id| removal::approval_is_demanded(view, &id)))
}

fn ask(view: &WholeView<'_>, change: Covered, held: &mut Held) {
    let Covered { digest, summary } = change;
    let not_counted = approvals::who_may(view, ChangeKind::NameChanges, &digest);
    held.said.waiting(
        WaitReason::NameChangesApproval,
        format!("approve the name changes: create a ChangeApproval with change: NameChanges and digest {digest}{not_counted}; they {summary}"),
    );
    let change = NameChange { digest, summary };
    if !held.asked.contains(&change) {
        held.asked.push(change);
    }
}

fn tell(step: &Step, draft: &mut Contribution) {
    let touches = if step.touches.is_empty() {
        "nobody that is known of is cut off".to_owned()
    } else {
        step.touches.join("; ")
    };
    draft.find(
        FindingReason::NameChangeHeld,
        format!("to {} waits for approval: {touches}", step.action),
    );
}

/// For the lint: name-changing steps of a plan that nobody has approved, where the spec wants that.
pub(crate) fn unapproved<'a>(desired: &Desired, seen: &Seen, plan: &'a Plan) -> Vec<&'a Step> {
    if seen.object.deleting {
        return Vec::new();
    }
    let view = View::new(desired, seen, seen.at);
    let Some(view) = view.whole() else {
        return Vec::new();
    };
    let wanted = endpoints::wanted(&view);
    let is_approved = |step: &&Step| {
        let change = covered(&view, &wanted, &step.action).ok();
        let names = |change: Covered| {
            approvals::given(&view, ChangeKind::NameChanges, &change.digest)
                .next()
                .is_some()
        };
        change.is_some_and(names)
    };
    let new = |step: &&Step| takes_approval(&view, &step.action) && !removal::puts_back(desired, seen, &step.action);
    let changing = plan.steps().filter(new);
    changing.filter(|step| !is_approved(step)).collect()
}
