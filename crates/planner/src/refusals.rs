//! What Azure refused for good. Status remembers it, so that nobody asks again with every visit, and what is refused for one
//! thing holds up nothing else.
//!
//! | a step was refused | then |
//! | --- | --- |
//! | never, or the spec changed since | it is planned |
//! | less than its pause ago | a wait in Azure's words, with what to do |
//! | longer ago | planned again; refused again, it pauses as long as it has been refused by then, up to an hour |

use jiff::{SignedDuration, Timestamp};
use sreg_api::status::RefusalStatus;
use sreg_domain::action::{Disposition, Effect, Failure, StepOutcome, StepResult};
use sreg_domain::seen::{OperationSeen, OperationState};
use sreg_domain::{Action, Outcome, StepId};
use strum::IntoEnumIterator;

use crate::conditions::{says_the_same, truncate, whole_seconds};
use crate::draft::Draft;
use crate::facts::{View, in_azures_words, is_final};
use crate::opening;
use crate::plan::{Plan, Step, Wait, WaitReason};

/// Status stays small.
const MOST: usize = 16;
const LONGEST_MESSAGE: usize = 512;
/// The first pause: rights that were just granted take minutes to arrive, so the next try is not far.
const SHORTEST: SignedDuration = SignedDuration::from_secs(45);
const LONGEST: SignedDuration = SignedDuration::from_secs(3600);
/// Somebody waits for what opens.
const LONGEST_TO_OPEN: SignedDuration = SignedDuration::from_secs(300);
/// A refusal that nothing came of for so long is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// Why a step is not tried now, if it was refused and its pause is not over.
pub(crate) fn held(view: &View<'_>, step: &str) -> Option<Wait> {
    let failed = failed_operations(view).find(|(operation, _)| operation.operation.step.0 == step);
    if let Some((_, failure)) = failed {
        return Some(wait_of(step, failure));
    }
    let record = recorded(view, step).filter(|r| next_try(r).is_some_and(|next| view.now < next))?;
    let reason = WaitReason::iter().find(|r| r.to_string() == record.reason);
    Some(Wait {
        reason: reason.unwrap_or(WaitReason::RefusedStalled),
        message: record.message.clone(),
    })
}

/// Whether a step was refused when it was last tried, however long ago.
pub(crate) fn was_refused(view: &View<'_>, step: &str) -> bool {
    recorded(view, step).is_some() || failed_operations(view).any(|(o, _)| o.operation.step.0 == step)
}

/// Takes out of a draft what was refused a short time ago, and waits for it instead.
pub(crate) fn hold(view: &View<'_>, draft: &mut Draft) {
    for wait in take_held(view, &mut draft.azure) {
        draft.wait(wait);
    }
    let aside = take_held(view, &mut draft.upkeep);
    draft.aside.extend(aside);
}

fn take_held(view: &View<'_>, steps: &mut Vec<Step>) -> Vec<Wait> {
    let mut waits = Vec::new();
    steps.retain(|step| {
        let wait = held(view, &step.id.0);
        let free = wait.is_none();
        waits.extend(wait);
        free
    });
    waits
}

/// Operations that ended badly since the last visit, for good.
fn failed_operations<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a OperationSeen, &'a Failure)> {
    view.seen.azure.operations.iter().filter_map(|o| match &o.state {
        OperationState::Failed(failure) if is_final(failure) => Some((o, failure)),
        OperationState::Failed(_)
        | OperationState::Running { .. }
        | OperationState::Succeeded
        | OperationState::Lost => None,
    })
}

/// What status says of a step, while it speaks of this spec.
fn recorded<'a>(view: &View<'a>, step: &str) -> Option<&'a RefusalStatus> {
    let status = &view.seen.object.status;
    let current = status.observed_generation == Some(view.desired.object.generation);
    status.refusals.iter().filter(|_| current).find(|r| r.step == step)
}

fn next_try(record: &RefusalStatus) -> Option<Timestamp> {
    let (since, at) = (record.since.as_ref()?.0, record.at.as_ref()?.0);
    let longest = match opening::started_as(&record.step) {
        Some(sreg_api::conditions::State::Opening) => LONGEST_TO_OPEN,
        Some(_) | None => LONGEST,
    };
    let pause = at.duration_since(since).clamp(SHORTEST, longest);
    at.saturating_add(pause).ok()
}

/// What a final failure of a step is waited for as: Azure's words, and what somebody can do about them.
pub(crate) fn wait_of(step: &str, failure: &Failure) -> Wait {
    let code = failure.code.as_deref().unwrap_or_default();
    let is = |known: &str| code.eq_ignore_ascii_case(known);
    let connects = step.starts_with("create-endpoint");
    let (reason, advice) = if is("DenyAssignmentAuthorizationFailed") {
        (
            WaitReason::DenyAssignmentStalled,
            "; set spec.registry.managedResourceGroupAccess: GrantOperator, or list the operator's principal in managedResourceGroupSettings.assignedIdentities",
        )
    } else if connects && is("LinkedAuthorizationFailed") {
        (
            WaitReason::PermissionStalled,
            "; grant the operator's identity that right (in the managed resource group: managedResourceGroupAccess: GrantOperator), or set approval.mode: Manual and have somebody else approve it",
        )
    } else if failure.disposition == Disposition::Forbidden {
        (
            WaitReason::PermissionStalled,
            "; grant the operator's identity that right",
        )
    } else if connects {
        (WaitReason::EndpointFailedStalled, "")
    } else {
        (WaitReason::RefusedStalled, "")
    };
    Wait {
        reason,
        message: format!("{}{advice}", in_azures_words(failure)),
    }
}

/// What status remembers after a visit.
pub(crate) fn remember(view: &View<'_>, plan: &Plan, outcome: &Outcome, now: Timestamp) -> Vec<RefusalStatus> {
    if plan.waves.is_empty() && plan.waits.is_empty() {
        return Vec::new();
    }
    let status = &view.seen.object.status;
    let current = status.observed_generation == Some(view.desired.object.generation);
    let still_counts = |r: &&RefusalStatus| {
        let young = |at: Timestamp| now.duration_since(at) < FORGOTTEN;
        current && r.at.as_ref().is_some_and(|at| young(at.0)) && !succeeded(view, outcome, &r.step)
    };
    let mut all: Vec<RefusalStatus> = status.refusals.iter().filter(still_counts).cloned().collect();
    for (step, resource, failure) in refused_now(view, outcome) {
        let wait = wait_of(&step.0, failure);
        let message = truncate(&wait.message, LONGEST_MESSAGE);
        let before = all.iter().position(|r| r.step == step.0).map(|at| all.swap_remove(at));
        let same = before.as_ref().filter(|r| says_the_same(&r.message, &message));
        all.push(RefusalStatus {
            step: step.0.clone(),
            resource_id: resource,
            reason: wait.reason.to_string(),
            message: same.map_or(message, |r| r.message.clone()),
            since: before.and_then(|r| r.since).or_else(|| Some(whole_seconds(now))),
            at: Some(whole_seconds(now)),
        });
    }
    all.sort_by(|a, b| (&b.at, &a.step).cmp(&(&a.at, &b.step)));
    all.truncate(MOST);
    all.sort_by(|a, b| a.step.cmp(&b.step));
    all
}

fn refused_now<'a>(
    view: &'a View<'_>,
    outcome: &'a Outcome,
) -> impl Iterator<Item = (&'a StepId, String, &'a Failure)> {
    let steps = outcome.steps.iter().filter_map(|s| match (&s.action, &s.result) {
        (Action::Azure(action), StepResult::Failed(failure)) if is_final(failure) => {
            Some((&s.step, action.resource().to_string(), failure))
        }
        (Action::Azure(_) | Action::Cluster(_), _) => None,
    });
    let operations = failed_operations(view)
        .map(|(seen, failure)| (&seen.operation.step, seen.operation.resource.to_string(), failure));
    operations.chain(steps)
}

/// A step that was done, or whose operation has ended well. One that was started may still be refused.
fn succeeded(view: &View<'_>, outcome: &Outcome, step: &str) -> bool {
    let done = |s: &StepOutcome| s.step.0 == step && matches!(s.result, StepResult::Effect(Effect::Done { .. }));
    let ended = |o: &OperationSeen| o.operation.step.0 == step && o.state == OperationState::Succeeded;
    outcome.steps.iter().any(done) || view.seen.azure.operations.iter().any(ended)
}
