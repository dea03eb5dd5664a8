//! One pass over one object, top to bottom: observe → validate → plan → act → report. This driver decides nothing and fits a
//! page; what varies is in the steps. Goes in: a name. Comes out: when to look again, or why the pass broke off.

use std::time::Duration;

use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::names::STATUS_MANAGER;
use sreg_api::{SecureRegistry, SecureRegistryStatus};
use sreg_domain::action::{ClusterAction, StepResult};
use sreg_domain::desired::ObjectRef;
use sreg_domain::{Action as StepAction, CallFailure, Effect, Outcome, Withheld};
use sreg_planner::plan::WaitReason;
use sreg_planner::{
    LintFinding, Plan, Report, ReportInput, Violation, is_left_to_open, lint, may_open, plan, report, report_invalid,
};

use crate::act::{Unwritten, act, failure, send};
use crate::backoff::jittered;
use crate::context::Context;
use crate::desired::resolve_desired;
use crate::events;
use crate::memory::ObjectKey;
use crate::metrics::PassResult;
use crate::observe::{ObjectNow, observe, read_object, registries};
use crate::orphaned_break_glass;
use crate::turns::Urgency;

/// Why a pass broke off. Waiting and failing steps are no errors: the report tells of them.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The object could not be read.
    #[error("read SecureRegistry {object}")]
    Read {
        /// `namespace/name`.
        object: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("read SecureRegistry {object}: no answer in time")]
    Unanswered {
        /// `namespace/name`.
        object: String,
    },
    /// The status was not written.
    #[error("report on SecureRegistry {object}")]
    WriteStatus {
        /// `namespace/name`.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<CallFailure>,
    },
    /// Leadership was not held when the status was to be written.
    #[error("report on SecureRegistry {object}: {why}")]
    NotLeading {
        /// `namespace/name`.
        object: String,
        /// What leadership said.
        why: Withheld,
    },
    /// The plan breaks a rule: a defect of ours, and nothing of it was carried out.
    #[error("carry out the plan for SecureRegistry {object}: it breaks the rule {rule:?}: {message}")]
    BrokenPlan {
        /// `namespace/name`.
        object: String,
        /// Which rule.
        rule: &'static str,
        /// What breaks it.
        message: String,
    },
    /// The pass took too long.
    #[error("pass not finished after {after:?}")]
    Deadline {
        /// The settings' pass deadline.
        after: Duration,
    },
    /// The pass panicked: a defect of ours, of no consequence for other objects.
    #[error("pass panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

impl PassError {
    /// How metrics count it.
    pub fn result(&self) -> PassResult {
        match self {
            PassError::Read { .. }
            | PassError::Unanswered { .. }
            | PassError::WriteStatus { .. }
            | PassError::BrokenPlan { .. } => PassResult::Failed,
            PassError::NotLeading { .. } => PassResult::NotLeader,
            PassError::Deadline { .. } => PassResult::DeadlineExceeded,
            PassError::Panicked { .. } => PassResult::Panicked,
        }
    }

    /// From a closed set, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            PassError::Read { .. } | PassError::Unanswered { .. } => "read",
            PassError::WriteStatus { .. } => "status",
            PassError::NotLeading { .. } => "leadership",
            PassError::BrokenPlan { .. } => "plan",
            PassError::Deadline { .. } => "deadline",
            PassError::Panicked { .. } => "panic",
        }
    }
}

/// One pass. Says when to look again and, for metrics, how it ended.
pub async fn reconcile(context: &Context, namespace: &str, name: &str) -> Result<(Action, PassResult), PassError> {
    let Some(now) = read(context, namespace, name).await? else {
        return Ok((Action::await_change(), PassResult::Gone));
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
            let report = report(input);
            context.memories.attempted(&object.uid, report.attempts.clone());
            context.memories.path_is_lost(&object.uid, plan.assessment.path_is_lost);
            context.memories.closed(&object.uid, plan.assessment.is_any_closed());
            let waits_to_open = may_open(&desired, &seen) && is_left_to_open(&desired, &seen);
            context.turns.hasten(key.clone(), urgency(&plan, waits_to_open));
            (report, outcome, result)
        }
        Err(violations) => {
            let first = violations.first().map(ToString::to_string).unwrap_or_default();
            orphaned_break_glass::tell(context, &object.namespace, &object.name, Some(&first)).await;
            (
                invalid(context, &now, &violations),
                Outcome::default(),
                PassResult::Invalid,
            )
        }
    };
    if is_released(&outcome) {
        // The last chance to say what is left behind. A namespace that is terminating takes no events: then the log has it.
        events::publish(context, &object, &report).await;
        context.forget(&object.uid);
        // What was said of a lock that comes back is not true any more.
        orphaned_break_glass::tell_of_absence(context, &object.namespace, &object.name).await;
        return Ok((Action::await_change(), PassResult::Gone));
    }
    write_status(context, &object, &now.seen.status, &report.status).await?;
    // Only once it is written: a pass that could not write it comes again, and finds the same.
    tell_standstill(&object, &now.seen.status, &report.status);
    events::publish(context, &object, &report).await;
    context.metrics.object(&key, &report.gauges, context.clock.now());
    context.backoff.forget(&object.uid);
    Ok((Action::requeue(jittered(report.requeue)), result))
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
    let object = || format!("{namespace}/{name}");
    let read = read_object(&context.client, namespace, name);
    match tokio::time::timeout(context.settings.read_deadline, read).await {
        Ok(now) => now.map_err(|source| PassError::Read {
            object: object(),
            source,
        }),
        Err(_) => Err(PassError::Unanswered { object: object() }),
    }
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
        step.action == StepAction::Cluster(ClusterAction::RemoveFinalizer)
            && matches!(step.result, StepResult::Effect(Effect::Done { .. }))
    })
}

/// One apply, with the uid, and none where nothing differs. Untyped, because a typed answer of an object that does not parse
/// would be an error after the write.
async fn write_status(
    context: &Context,
    object: &ObjectRef,
    written: &SecureRegistryStatus,
    status: &SecureRegistryStatus,
) -> Result<bool, PassError> {
    if status == written {
        return Ok(false);
    }
    let name = || format!("{}/{}", object.namespace, object.name);
    let attempt = format!("write status of SecureRegistry {}", name());
    let body = json!({
        "apiVersion": SecureRegistry::api_version(&()),
        "kind": SecureRegistry::kind(&()),
        "metadata": {"name": object.name, "namespace": object.namespace, "uid": object.uid},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let api = registries(&context.client, &object.namespace);
    match send(
        context,
        &attempt,
        api.patch_status(&object.name, &params, &Patch::Apply(body)),
    )
    .await
    {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(kube::Error::Api(answer))) if answer.is_not_found() => Ok(false),
        Ok(Err(error)) => Err(PassError::WriteStatus {
            object: name(),
            source: Box::new(failure(&attempt, &error)),
        }),
        Err(Unwritten::Failed(source)) => Err(PassError::WriteStatus {
            object: name(),
            source: Box::new(source),
        }),
        Err(Unwritten::Withheld(why)) => Err(PassError::NotLeading { object: name(), why }),
    }
}
