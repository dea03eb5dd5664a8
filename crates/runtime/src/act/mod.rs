//! Carries a plan out and decides nothing. Waves run in order; the steps of one run at once, bounded; a wave begins only when
//! every step before it is done. Before every write leadership is asked; before one that closes, opens or deletes stands the lockdown
//! fence.
//! Nothing sleeps on a long-running operation: it is started and left. Comes out: an [`Outcome`] that names every step.

mod cluster;
mod fence;
mod names;

use futures::StreamExt;
use futures::stream;
use sreg_domain::action::{AzureAction, StepOutcome, StepResult};
use sreg_domain::desired::ObjectRef;
use sreg_domain::{Action, Digest, Effect, Outcome, Withheld};
use sreg_planner::plan::{Plan, Step};
use tokio::sync::OnceCell;

use crate::context::Context;
use crate::grants;
use crate::writer::unanswered;

/// Carries out what can be carried out now.
pub async fn act(context: &Context, object: &ObjectRef, plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    let mut held_back: Option<Withheld> = None;
    for wave in &plan.waves {
        // What only tells people is not held back: whoever waits for what failed has to hear of it.
        let goes = |step: &&Step| held_back.is_none() || step.action.only_tells();
        let (going, held): (Vec<&Step>, Vec<&Step>) = wave.iter().partition(goes);
        if let Some(why) = &held_back {
            let withheld = held.into_iter();
            let withheld = withheld.map(|step| outcome_of(step, StepResult::Withheld(why.clone())));
            outcome.steps.extend(withheld);
        }
        for (step, result, evidence) in carry_out_wave(context, (object, plan), &going).await {
            if !is_done(&result) && !step.action.only_tells() {
                held_back.get_or_insert_with(|| Withheld::ComesFirst(step.action.to_string()));
            }
            outcome.locked_with = evidence.or(outcome.locked_with);
            outcome.steps.push(outcome_of(step, result));
        }
    }
    outcome
}

/// A step, what came of it, and the evidence if it was a closing write that went out.
type Carried<'a> = (&'a Step, StepResult, Option<Digest>);

/// What the deletions of one wave go by: the first of them looks, and nothing else waits for that.
type PlannedAgain = OnceCell<Result<Plan, Withheld>>;

/// Closing writes go one after another, each behind its own look at the world: one may change what the next one relies on.
async fn carry_out_wave<'a>(
    context: &Context,
    (object, plan): (&ObjectRef, &Plan),
    wave: &[&'a Step],
) -> Vec<Carried<'a>> {
    let at_once = if wave.iter().any(|step| step.action.closes()) {
        1
    } else {
        context.settings.step_concurrency.max(1)
    };
    let again = PlannedAgain::new();
    let steps: Vec<_> = wave
        .iter()
        .map(|&step| carry_out(context, (object, plan), step, &again))
        .collect();
    stream::iter(steps).buffer_unordered(at_once).collect().await
}

// Lines of every level stand within the span: its words are for people. What we call the step is told at debug.
#[tracing::instrument(level = "debug", skip_all, fields(action = %step.action))]
async fn carry_out<'a>(
    context: &Context,
    (object, plan): (&ObjectRef, &Plan),
    step: &'a Step,
    again: &PlannedAgain,
) -> Carried<'a> {
    let mut evidence = None;
    let result = match &step.action {
        Action::Cluster(action) => cluster::carry_out(context, object, action).await,
        Action::Azure(action) if action.is_closing() || action.is_opening() => {
            match fence::pass(context, object, step).await {
                Ok(proof) => {
                    let result = in_azure(context, object, step, action).await;
                    let sent = matches!(result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)));
                    evidence = proof.filter(|_| sent);
                    result
                }
                Err(why) => StepResult::Withheld(why),
            }
        }
        Action::Azure(action) => {
            let goes = if action.removes().is_some() {
                let fresh = again.get_or_init(|| fence::plan_again(context, object)).await;
                fence::lets_delete(fresh, step)
            } else {
                granted_as_planned(context, object, plan).await
            };
            match goes {
                Ok(()) => in_azure(context, object, step, action).await,
                Err(why) => StepResult::Withheld(why),
            }
        }
    };
    context.metrics.step(step.action.name(), names::result(&result));
    tracing::debug!(step = %step.id, result = names::result(&result), why = names::why(&result), "step ended");
    (step, result, evidence)
}

/// The grants that the plan was made by hold: a pass takes minutes, and one that is taken away counts at once. What opens, closes
/// or deletes is asked by the fence.
async fn granted_as_planned(context: &Context, object: &ObjectRef, plan: &Plan) -> Result<(), Withheld> {
    let now = grants::serving(context, &object.namespace).await;
    let now = now.map_err(|why| Withheld::GrantsUnread(Box::new(why)))?;
    if now == plan.assessment.grants {
        Ok(())
    } else {
        Err(Withheld::GrantsChanged)
    }
}

async fn in_azure(context: &Context, object: &ObjectRef, step: &Step, action: &AzureAction) -> StepResult {
    let limit = match context.writer().time_for_a_write() {
        Ok(limit) => limit,
        Err(why) => return StepResult::Withheld(why),
    };
    // Both before and after: the pass may be given up in between, and the effect comes no earlier than the answer.
    let note = || {
        action
            .changes_names()
            .then(|| context.memories.names_changed(&object.uid))
    };
    note();
    // What was proven before an opening says nothing about what clients find after it: the next lock is proven anew.
    if action.is_opening() {
        context.memories.drop_round(&object.uid);
    }
    // The writer keeps the limit itself; this one holds even if it does not.
    let result = match tokio::time::timeout(
        limit,
        context
            .azure_writer
            .carry_out(&object.namespace, &step.id, action, limit),
    )
    .await
    {
        Ok(Ok(effect)) => StepResult::Effect(effect),
        Ok(Err(failure)) => StepResult::Failed(failure),
        Err(_) => StepResult::Failed(unanswered(&format!("{action} ({})", action.resource()), limit)),
    };
    note();
    if let Some(removed) = action.removes()
        && matches!(result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)))
    {
        context.memories.removing(&object.uid, removed);
    }
    result
}

fn is_done(result: &StepResult) -> bool {
    matches!(result, StepResult::Effect(Effect::Done { .. }))
}

fn outcome_of(step: &Step, result: StepResult) -> StepOutcome {
    StepOutcome {
        step: step.id.clone(),
        action: step.action.clone(),
        result,
    }
}
