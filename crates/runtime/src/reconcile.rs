//! One pass over one object, top to bottom: observe → validate → plan → act → report. This driver decides nothing and fits a
//! page; what varies is in the steps. Goes in: a name. Comes out: when to look again, or why the pass broke off.

use serde_json::json;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::names::STATUS_MANAGER;
use sreg_api::{SecureRegistry, SecureRegistryStatus};
use sreg_domain::action::{ClusterAction, StepResult};
use sreg_domain::desired::ObjectRef;
use sreg_domain::{Action, Effect, Outcome};
use sreg_planner::plan::WaitReason;
use sreg_planner::{
    LintFinding, Plan, Report, ReportInput, Violation, is_left_to_open, lint, may_open, plan, report, report_invalid,
};

use crate::act::act;
use crate::context::Context;
use crate::controller::{Pass, PassError};
use crate::decisions::Decision;
use crate::desired::resolve_desired;
use crate::events;
use crate::memory::ObjectKey;
use crate::metrics::PassResult;
use crate::observe::{ObjectNow, observe, read_live};
use crate::turns::Urgency;
use crate::writer::StatusOf;

/// One pass. Says when to look again and, for metrics, how it ended.
pub async fn reconcile(context: &Context, namespace: &str, name: &str) -> Result<Pass, PassError> {
    let Some(now) = read(context, namespace, name).await? else {
        return Ok(Pass::until_it_changes(PassResult::Gone));
    };
    let object = now.reference.clone();
    let key = ObjectKey {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    };
    context.memories.meet(&object.uid, key.clone());
    let (report, outcome, result) = match resolve_desired(context, &now).await {
        Ok(desired) => {
            let seen = observe(context, &object, now.seen.clone(), &desired).await;
            let plan = plan(&desired, &seen, seen.at);
            if let Some(recorder) = &context.pass_recorder {
                recorder.record(&desired, &seen, &plan);
            }
            refuse_broken(&object, lint(&desired, &seen, &plan))?;
            let outcome = act(context, &object, &plan).await;
            log(&object, &plan, &outcome);
            let result = result_of(&plan, &outcome);
            let input = ReportInput {
                desired: &desired,
                seen: &seen,
                plan: &plan,
                outcome: &outcome,
                now: context.clock.now(),
            };
            let mut report = report(input);
            // Not waited for: whoever writes the statuses of those that name this object does so by itself.
            let decision = Decision::Judged(std::mem::take(&mut report.decided));
            context.decisions.decide(&object.uid, &key, decision);
            context.memories.attempted(&object.uid, report.attempts.clone());
            context.memories.path_is_lost(&object.uid, plan.assessment.path_is_lost);
            context.memories.closed(&object.uid, plan.assessment.is_any_closed());
            let waits_to_open = may_open(&desired, &seen) && is_left_to_open(&desired, &seen);
            context.turns.hasten(key.clone(), urgency(&plan, waits_to_open));
            (report, outcome, result)
        }
        Err(violations) => {
            let first = violations.first().map(ToString::to_string).unwrap_or_default();
            let decision = Decision::Unusable(first);
            context.decisions.decide(&object.uid, &key, decision);
            (
                invalid(context, &now, &violations),
                Outcome::default(),
                PassResult::Invalid,
            )
        }
    };
    if is_released(&outcome) {
        // The last chance to say what is left behind. A namespace that is terminating takes no events: then the log has it.
        events::publish::<SecureRegistry>(context, &object, &report.events).await;
        context.forget(&object.uid, &key);
        return Ok(Pass::until_it_changes(PassResult::Gone));
    }
    write_status(context, &object, &now.seen.status, &report.status).await?;
    // Only once it is written: a pass that could not write it comes again, and finds the same.
    tell_standstill(&object, &now.seen.status, &report.status);
    events::publish::<SecureRegistry>(context, &object, &report.events).await;
    context.metrics.object(&key, &report.gauges, context.clock.now());
    Ok(Pass::again_after(report.requeue, result))
}

/// How urgent the next look is.
fn urgency(plan: &Plan, waits_to_open: bool) -> Urgency {
    match plan.assessment.state {
        _ if waits_to_open => Urgency::Opening,
        Some(State::Opening | State::BreakGlass) => Urgency::Opening,
        Some(State::Degraded | State::PathLost) => Urgency::LostPath,
        Some(_) | None => Urgency::Ordinary,
    }
}

/// The planner's rules are checked once more, apart from how the plan was made: a plan that breaks one is not carried out.
fn refuse_broken(object: &ObjectRef, broken: Vec<LintFinding>) -> Result<(), PassError> {
    match broken.into_iter().next() {
        None => Ok(()),
        Some(LintFinding { rule, message }) => Err(PassError::BrokenPlan {
            object: format!("{}/{}", object.namespace, object.name),
            rule,
            message,
        }),
    }
}

/// Reads the object live. `None`: it is gone, and nothing is left to do.
async fn read(context: &Context, namespace: &str, name: &str) -> Result<Option<ObjectNow>, PassError> {
    let read = read_live(&context.writer(), namespace, name).await;
    read.map_err(|failure| PassError::Read(Box::new(failure)))
}

fn invalid(context: &Context, now: &ObjectNow, violations: &[Violation]) -> Report {
    let object = &now.reference;
    tracing::info!(object = %format_args!("{}/{}", object.namespace, object.name), generation = object.generation,
        violations = violations.len(), "pass: the object is not valid");
    report_invalid(&now.object, violations, context.clock.now())
}

fn result_of(plan: &Plan, outcome: &Outcome) -> PassResult {
    let any = |wanted: fn(&StepResult) -> bool| outcome.steps.iter().any(|step| wanted(&step.result));
    if any(|r| matches!(r, StepResult::Failed(_))) {
        PassResult::Failed
    } else if any(|r| matches!(r, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)))) {
        PassResult::Progressed
    } else if plan.waits.iter().any(|wait| {
        matches!(
            wait.reason,
            WaitReason::InvalidSpecStalled | WaitReason::NotGrantedStalled
        )
    }) {
        PassResult::Invalid
    } else if plan.waits.iter().any(|wait| wait.reason.is_stalled()) {
        PassResult::Stalled
    } else if plan.waits.is_empty() && outcome.steps.is_empty() {
        PassResult::Settled
    } else {
        PassResult::Waiting
    }
}

/// Once per pass.
fn log(object: &ObjectRef, plan: &Plan, outcome: &Outcome) {
    let count = |wanted: fn(&StepResult) -> bool| outcome.steps.iter().filter(|step| wanted(&step.result)).count();
    tracing::info!(
        object = %format_args!("{}/{}", object.namespace, object.name),
        generation = object.generation,
        state = plan.assessment.state.map(|state| state.to_string()),
        steps = plan.steps().count(),
        done = count(|r| matches!(r, StepResult::Effect(Effect::Done { .. }))),
        started = count(|r| matches!(r, StepResult::Effect(Effect::Started(_)))),
        failed = count(|r| matches!(r, StepResult::Failed(_))),
        withheld = count(|r| matches!(r, StepResult::Withheld(_) | StepResult::Effect(Effect::Stale(_)))),
        waits = plan.waits.len(),
        findings = plan.findings.len(),
        "pass"
    );
    for step in &outcome.steps {
        match &step.result {
            StepResult::Failed(failure) => {
                tracing::warn!(object = %format_args!("{}/{}", object.namespace, object.name), code = failure.code,
                    correlation_id = failure.correlation_id, "{failure}");
            }
            StepResult::Withheld(why) => tracing::debug!(step = %step.step, %why, "withheld"),
            StepResult::Effect(_) => {}
        }
    }
}

/// Once when an object comes to a standstill or loses a path, and again when the cause is another one.
fn tell_standstill(object: &ObjectRef, before: &SecureRegistryStatus, now: &SecureRegistryStatus) {
    let ready = |status: &SecureRegistryStatus| {
        let name = ConditionType::Ready.to_string();
        let ready = status.conditions.iter().find(|condition| condition.type_ == name);
        ready.map(|condition| (condition.reason.clone(), condition.message.clone()))
    };
    let Some((state, message)) = ready(now) else { return };
    let is_standstill = [State::Stalled, State::PathLost]
        .iter()
        .any(|it| it.to_string() == state);
    if is_standstill && ready(before).as_ref() != Some(&(state.clone(), message.clone())) {
        tracing::warn!(object = %format_args!("{}/{}", object.namespace, object.name), generation = object.generation,
            state, "{message}");
    }
}

/// Whether our finalizer went in this pass: with it the object, and whatever could be reported on.
fn is_released(outcome: &Outcome) -> bool {
    outcome.steps.iter().any(|step| {
        step.action == Action::Cluster(ClusterAction::RemoveFinalizer)
            && matches!(step.result, StepResult::Effect(Effect::Done { .. }))
    })
}

/// One apply, and none where nothing differs.
async fn write_status(
    context: &Context,
    object: &ObjectRef,
    written: &SecureRegistryStatus,
    status: &SecureRegistryStatus,
) -> Result<(), PassError> {
    if status == written {
        return Ok(());
    }
    let of = StatusOf {
        namespace: Some(&object.namespace),
        name: &object.name,
        uid: &object.uid,
    };
    let writer = context.writer();
    Ok(writer
        .write_status::<SecureRegistry>(of, STATUS_MANAGER, json!(status))
        .await?)
}
