//! What the results of steps are called in metrics: a closed set. What steps do is named by [`sreg_domain::Action::name`].

use sreg_domain::Effect;
use sreg_domain::action::StepResult;

/// What came of it.
pub(super) fn result(result: &StepResult) -> &'static str {
    match result {
        StepResult::Effect(Effect::Done { .. }) => "done",
        StepResult::Effect(Effect::Started(_)) => "started",
        StepResult::Effect(Effect::Stale(_)) => "stale",
        StepResult::Failed(_) => "failed",
        StepResult::Withheld(_) => "withheld",
    }
}
