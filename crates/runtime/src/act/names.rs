//! What the results of steps are called in metrics and logs: a closed set. What steps do is named by
//! [`sreg_domain::Action::name`].

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

/// What is to be told beside it, in words.
pub(super) fn why(result: &StepResult) -> Option<String> {
    match result {
        StepResult::Effect(Effect::Done { also_changed, left_out }) => {
            let refused = left_out.iter().map(|l| format!("left out {}: {}", l.rule, l.failure));
            let changed = also_changed.iter().map(|field| format!("also changed {field}"));
            let told: Vec<String> = refused.chain(changed).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        StepResult::Effect(Effect::Started(_)) => None,
        StepResult::Effect(Effect::Stale(why)) => Some(why.clone()),
        StepResult::Withheld(why) => Some(why.to_string()),
        StepResult::Failed(failure) => Some(failure.to_string()),
    }
}
