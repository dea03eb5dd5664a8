//! The approval of name changes: writes that can cut clients off before any lock wait until somebody has approved what they touch.
//! What is held is told with whom it touches; an approval that could not be read holds like one that is missing.

use sreg_api::ChangeKind;
use sreg_domain::{Action, Desired, Digest, Seen};

use crate::approvals;
use crate::draft::Draft;
use crate::endpoints::{self, WantedEndpoints};
use crate::gates::approved;
use crate::names::{Covered, covered};
use crate::plan::{FindingReason, NameChange, Plan, Step, WaitReason};
use crate::removal;
use crate::view::{View, not_known};

/// Holds name-changing steps whose digest no approval names. Answers what is asked for and what is approved, once each.
pub(crate) fn hold(view: &View<'_>, wanted: &WantedEndpoints<'_>, draft: &mut Draft) -> (Vec<NameChange>, Vec<Digest>) {
    let mut asked: Vec<NameChange> = Vec::new();
    let mut given: Vec<Digest> = Vec::new();
    let (changing, mut free): (Vec<Step>, Vec<Step>) = draft
        .azure
        .drain(..)
        .partition(|step| takes_approval(view, &step.action));
    let mut held = Vec::new();
    for step in changing {
        match covered(view, wanted, &step.action) {
            Ok(change) => match approved(view, ChangeKind::NameChanges, &change.digest) {
                Some(true) => {
                    if !given.contains(&change.digest) {
                        given.push(change.digest);
                    }
                    free.push(step);
                }
                Some(false) => {
                    ask(view, change, draft, &mut asked);
                    held.push(step);
                }
                None => {
                    draft.wait(not_known("ChangeApprovals", &view.seen.cluster.approvals));
                    held.push(step);
                }
            },
            Err(wait) => {
                draft.wait(wait);
                held.push(step);
            }
        }
    }
    draft.azure = free;
    if !held.is_empty() {
        // Whose turn it is next matters once anything may go on.
        draft.waits.retain(|wait| wait.reason != WaitReason::ResourceBusy);
    }
    held.iter().for_each(|step| tell(step, draft));
    (asked, given)
}

/// The spec, or a grant that it stands on, wants it; or, where an endpoint is removed, a grant that covers where that stands: its entry
/// is gone from the spec, and with it what the grant demanded of that.
fn takes_approval(view: &View<'_>, action: &Action) -> bool {
    let removed = match action {
        Action::Azure(azure) => azure.removed_endpoint(),
        Action::Cluster(_) => None,
    };
    let wanted = view.desired.approve_name_changes;
    action.changes_names() && (wanted || removed.is_some_and(|id| removal::approval_is_demanded(view, &id)))
}

fn ask(view: &View<'_>, change: Covered, draft: &mut Draft, asked: &mut Vec<NameChange>) {
    let Covered { digest, summary } = change;
    let not_counted = approvals::who_may(view, ChangeKind::NameChanges, &digest);
    draft.waiting(
        WaitReason::NameChangesApproval,
        format!("approve the name changes: create a ChangeApproval with change: NameChanges and digest {digest}{not_counted}; they {summary}"),
    );
    let change = NameChange { digest, summary };
    if !asked.contains(&change) {
        asked.push(change);
    }
}

fn tell(step: &Step, draft: &mut Draft) {
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
