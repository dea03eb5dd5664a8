//! Public access: open it (spec, break-glass, rollback) | hold it | lock it | keep it locked.

use std::time::Duration;

use sreg_api::registry::PublicAccess;
use sreg_domain::desired::Wrong;
use sreg_domain::{Action, ClusterAction};

use crate::break_glass::{self, BreakGlassState};
use crate::conditions::whole_seconds;
use crate::contribution::{Contribution, Next};
use crate::evidence::Evidence;
use crate::opening::{self, Cause};
use crate::paths::Paths;
use crate::plan::{Assessment, FindingReason, Step, WaitReason};
use crate::view::{View, WholeView, not_known};
use crate::{lockdown, locked};

/// What is closed again in an emergency is opened, or told, without waiting for the next visit in turn: somebody counts on it.
const BETWEEN_LOOKS_IN_AN_EMERGENCY: Duration = Duration::from_secs(60);

/// Who may open it comes before who wants it closed. Answers all that is said so far, and this.
pub(crate) fn plan(
    view: &WholeView<'_>,
    paths: &Paths,
    proof: &Evidence,
    assessment: &Assessment,
    mut said: Contribution,
) -> Contribution {
    let (opening, next) = open(view);
    said.add(opening);
    if next == Next::Stop {
        return said;
    }
    if view.desired.observe_only {
        said.add(would_close(view));
    }
    let (rollback, next) = locked::plan_rollback(view, paths, proof, &said);
    said.add(rollback);
    if next == Next::Stop {
        return said;
    }
    if view.all_closed() {
        said.add(locked::plan(view, (paths, proof), assessment, &said));
        return said;
    }
    let locking = lockdown::plan(view, paths, proof, &assessment.paths, &said);
    // The next lock writes over what an opening had put back.
    if !view.desired.observe_only && !locking.cluster.iter().any(keeps_snapshot) {
        said.add(opening::forget_restored(view));
    }
    said.add(locking);
    said
}

fn keeps_snapshot(step: &Step) -> bool {
    matches!(step.action, Action::Cluster(ClusterAction::WriteSnapshot { .. }))
}

/// Opens for whoever says so already: the spec, a break-glass, a rollback that status has recorded. Then nothing is closed.
pub(crate) fn open(view: &View<'_>) -> (Contribution, Next) {
    let mut said = Contribution::default();
    let emergency = break_glass::state(view);
    // The end of each is told when it comes, also where another one goes on.
    let ends = break_glass::terms(view.desired, view.seen, view.now);
    let ends = ends
        .iter()
        .filter(|term| term.runs(view.now))
        .map(|term| term.until.duration_since(view.now));
    said.looks.extend(ends.filter_map(|left| Duration::try_from(left).ok()));
    if let BreakGlassState::UsedUp { name } = &emergency {
        said.find(
            FindingReason::BreakGlassEnded,
            format!("BreakGlass {name} has used up the longest time that registries may be held open"),
        );
    }
    let wanted_open = view.desired.public_access == PublicAccess::Enabled;
    if !view.desired.may_be_opened() {
        if emergency == BreakGlassState::NotKnown {
            said.wait(not_known("BreakGlasses", &view.seen.cluster.break_glasses));
        }
        return (said, if wanted_open { Next::Stop } else { Next::GoOn });
    }
    if wanted_open {
        said.add(opening::plan(view, Cause::Spec));
        said.add(opening::keep_or_forget_snapshot(view));
        return (said, Next::Stop);
    }
    match emergency {
        BreakGlassState::Active {
            name,
            requested_by,
            reason,
            ..
        } => {
            if view.desired.observe_only {
                said.waiting(
                    WaitReason::BreakGlassStalled,
                    format!("BreakGlass {name} by {requested_by} ({reason}) has no effect: under managementPolicy: Observe nothing is written to Azure; set spec.managementPolicy: Enforce, or open it in Azure"),
                );
            }
            if !view.desired.observe_only {
                said.looks.push(BETWEEN_LOOKS_IN_AN_EMERGENCY);
            }
            said.add(opening::plan(view, Cause::BreakGlass));
            said.add(opening::keep_or_forget_snapshot(view));
            return (said, Next::Stop);
        }
        BreakGlassState::NotKnown => said.wait(not_known("BreakGlasses", &view.seen.cluster.break_glasses)),
        BreakGlassState::None | BreakGlassState::UsedUp { .. } => {}
    }
    let (rollback, next) = locked::go_on_rolling_back(view);
    said.add(rollback);
    (said, next)
}

/// Under Observe: what an end of a break-glass leaves to others, and what would be closed.
fn would_close(view: &View<'_>) -> Contribution {
    let mut said = stays_open(view);
    for open in view.access.iter().filter(|a| a.closed == Some(false)) {
        said.find(
            FindingReason::WouldDo,
            format!(
                "would close {} {} once every path is proven",
                open.target,
                open.id.name()
            ),
        );
    }
    said
}

/// A break-glass that is over, after which nothing is locked again before somebody acts.
pub(crate) fn stays_open(view: &View<'_>) -> Contribution {
    let mut said = Contribution::default();
    let only_ungranted = || view.desired.spec.as_ref().is_err_and(Wrong::is_only_ungranted);
    let next = if view.desired.observe_only {
        "under managementPolicy: Observe nothing locks it again; set spec.managementPolicy: Enforce, or close it by hand".to_owned()
    } else if only_ungranted() {
        "it is locked again once the grants let its namespace name all that it names: whoever administers them, kubectl edit registrygrant"
            .to_owned()
    } else {
        format!(
            "it is locked again once what is wrong in its spec is put right: kubectl edit sreg {} -n {}",
            view.desired.object.name, view.desired.object.namespace
        )
    };
    if let Some((name, until)) = break_glass::left_open(view) {
        let until = whole_seconds(until).0;
        said.waiting(
            WaitReason::BreakGlassStalled,
            format!("BreakGlass {name} ended at {until} and public access is still open: {next}"),
        );
    }
    said
}
