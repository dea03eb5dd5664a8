//! The finalizer of an object that had it and has lost it: whoever replaces a manifest sends it without. Pure.
//!
//! Admission lets that pass because status remembers it for us, and then refuses to delete the object until the finalizer is back. So it
//! comes back whatever else is true of the object: also of one that breaks a rule or that nobody granted anything by now. Who gets it
//! first says `claims`.

use sreg_domain::action::{Effect, StepResult};
use sreg_domain::{Action, ClusterAction, Outcome, StepKind};

use crate::contribution::cluster_step;
use crate::plan::{Plan, Step};
use crate::view::View;

/// The step that puts it on.
pub(crate) fn step() -> Step {
    cluster_step(StepKind::AddFinalizer, ClusterAction::AddFinalizer)
}

/// The plan, with the finalizer first where it is lost and nothing in the plan puts it on.
pub(crate) fn put_back(view: &View<'_>, mut plan: Plan) -> Plan {
    let object = &view.seen.object;
    let lost = object.last.release_required && !object.has_finalizer && !object.deleting;
    if lost && !plan.steps().any(|step| puts_on(&step.action)) {
        plan.waves.insert(0, vec![step()]);
    }
    plan
}

/// Whether it is on, or ever was: for status, which forgets it only with the object.
pub(crate) fn is_required(view: &View<'_>, outcome: &Outcome) -> bool {
    let done = |result: &StepResult| matches!(result, StepResult::Effect(Effect::Done { .. }));
    let put_on = outcome.steps.iter().any(|s| puts_on(&s.action) && done(&s.result));
    view.last().release_required || view.seen.object.has_finalizer || put_on
}

fn puts_on(action: &Action) -> bool {
    matches!(action, Action::Cluster(ClusterAction::AddFinalizer))
}
