//! From what came of a plan to what people and machines read: status, events, gauges, when to look again. Pure. A status can be
//! built only from an outcome, and equal worlds give byte-equal status: former times and texts are kept while nothing changes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::SecureRegistry;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::registry::DeletionPolicy;
use sreg_api::status::{BreakGlassUse, SecureRegistryStatus};
use sreg_api::{BreakGlassStatus, ChangeApprovalStatus};
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::Attempts;
use sreg_domain::{Action, CallFailure, Desired, Outcome, Seen, StepId, TargetKind};

use crate::break_glass::{self, BreakGlassState};
use crate::conditions::{self as condition_merge, Draft, Truth, whole_seconds};
use crate::evidence::first_failure;
use crate::plan::{Actor, FindingReason, Plan, Wait, WaitReason};
use crate::state;
use crate::validate::Violation;
use crate::view::{View, in_azures_words};
use crate::{approvals, attempts};

mod conditions;
mod cut_off;
mod emergencies;
mod events;
mod exposure;
mod fields;
mod harmless;
mod readiness;
mod shown;
mod stale;
mod summary;

use emergencies::Emergencies;
use summary::Summary;

/// Everything that a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    /// What is desired.
    pub desired: &'a Desired,
    /// What was seen when the plan was made.
    pub seen: &'a Seen,
    /// The plan.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// When the visit ends, wall clock.
    pub now: Timestamp,
}

/// What is told about one visit.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The whole status, to be applied if it differs from the former one.
    pub status: SecureRegistryStatus,
    /// Transitions, to be published once.
    pub events: Vec<EventNote>,
    /// When to visit again if nothing happens, before jitter.
    pub requeue: Duration,
    /// What metrics show.
    pub gauges: Gauges,
    /// What this process remembers of its writes until the next visit.
    pub attempts: Attempts,
    /// How those stand that name this object.
    pub decided: Decided,
}

/// The statuses that a visit decided for the objects that name its own, by uid. They are written apart from it, by whoever watches
/// those objects: nothing waits for them. One that is missing keeps what it says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// Of BreakGlasses.
    pub break_glasses: BTreeMap<String, BreakGlassStatus>,
    /// Of ChangeApprovals.
    pub approvals: BTreeMap<String, ChangeApprovalStatus>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// PascalCase, from a closed set.
    pub reason: String,
    /// What the operator was doing, PascalCase, from a closed set.
    pub action: String,
    /// One sentence, at most 1 kB.
    pub note: String,
    /// The note is a record (who, until when, which evidence): it is never counted together with another one.
    pub alone: bool,
}

/// What metrics show of one object; label values from closed sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// The state.
    pub state: State,
    /// Which kinds of target are (at least partly) open; a kind that cannot be told is missing.
    pub open_targets: BTreeMap<TargetKind, bool>,
    /// What is waited for, once each.
    pub waits: Vec<WaitReason>,
    /// All three are closed; `None` while that is not known.
    pub locked: Option<bool>,
    /// A break-glass is in force.
    pub break_glass: bool,
    /// How many uses of a break-glass began with this visit.
    pub break_glass_uses: usize,
    /// A break-glass is over, and what it opened is not locked again yet.
    pub relock_pending: bool,
}

/// Reports on one visit.
pub fn report(input: ReportInput<'_>) -> Report {
    let ReportInput {
        desired,
        seen,
        plan,
        outcome,
        now,
    } = input;
    let seen = &seen.in_order();
    let view = View::new(desired, seen, now);
    let attempts = Attempts {
        generation: desired.object.generation,
        all: attempts::remember(&view, plan, outcome, now),
    };
    let plan = &with_failures(plan, outcome, &attempts, now);
    let verdict = verdict(&view, plan, outcome, &attempts);
    let (verdict, unsettled_since) = readiness::judge(&view, plan, verdict, now);
    let verdict = cut_off::told(&view, plan, verdict);
    let former = &seen.object.status;
    let drafts = conditions::all(&view, plan, &verdict);
    let conditions = condition_merge::merge(drafts, &former.conditions, desired.object.generation, now);
    let emergencies = Emergencies::of(&view, &plan.waits);
    let refusals = attempts::for_status(&view, plan, &attempts.all, now);
    let mut status = fields::status(
        &view,
        plan,
        outcome,
        (&verdict, &emergencies),
        (conditions, refusals),
        now,
    );
    status.unsettled_since = unsettled_since;
    // Before anything is compared with the former status, which went out the same way.
    harmless::status(&mut status);
    let mut events = events::transitions(&view, plan, outcome, &status, (&verdict, &emergencies));
    harmless::events(&mut events);
    Report {
        events,
        requeue: patient(requeue(plan, outcome, &attempts, now), &status, now),
        gauges: gauges(&view, plan, verdict.state, &emergencies),
        decided: Decided {
            break_glasses: break_glass::statuses(&view, &plan.waits, &plan.findings),
            approvals: approvals::statuses(&view, &plan.assessment, &plan.waits, &plan.findings),
        },
        attempts,
        status,
    }
}

/// The state after the outcome, and the sentence that goes with it.
pub(crate) struct ReportedState {
    pub(crate) state: State,
    pub(crate) message: String,
}

/// The plan, waiting besides for what its own steps met when they were tried.
fn with_failures<'a>(plan: &'a Plan, outcome: &Outcome, attempts: &Attempts, now: Timestamp) -> Cow<'a, Plan> {
    let failed = failures_that_matter(outcome).map(|(step, _)| &step.step);
    let stalled = attempts::stalled_waits(&attempts.all, failed, now);
    if stalled.is_empty() {
        return Cow::Borrowed(plan);
    }
    let mut plan = plan.clone();
    plan.waits.extend(stalled);
    state::sort(&mut plan.waits);
    Cow::Owned(plan)
}

fn failures(outcome: &Outcome) -> impl Iterator<Item = (&StepOutcome, &CallFailure)> {
    acting(outcome).filter_map(|step| match &step.result {
        StepResult::Failed(failure) => Some((step, failure)),
        StepResult::Effect(_) | StepResult::Withheld(_) => None,
    })
}

/// Nobody depends on upkeep: the plan tells of it among its findings.
fn failures_that_matter(outcome: &Outcome) -> impl Iterator<Item = (&StepOutcome, &CallFailure)> {
    failures(outcome).filter(|(step, _)| !step.action.is_upkeep())
}

/// Steps that bring something about: one that only tells people does not change how the object stands, whatever comes of it.
fn acting(outcome: &Outcome) -> impl Iterator<Item = &StepOutcome> {
    outcome.steps.iter().filter(|step| !step.action.only_tells())
}

fn verdict(view: &View<'_>, plan: &Plan, outcome: &Outcome, attempts: &Attempts) -> ReportedState {
    let planned = plan.assessment.state.unwrap_or(State::Unknown);
    if view.seen.object.deleting {
        let message = failures(outcome).next().map(|(_, f)| in_azures_words(f));
        let message = message.or_else(|| plan.waits.first().map(|w| w.message.clone()));
        let left_open = plan.findings.iter().find(|f| f.reason == FindingReason::LeftOpen);
        let message = message.or_else(|| left_open.map(|f| f.message.clone()));
        return ReportedState {
            state: State::Deleting,
            message: message.unwrap_or_else(|| deleting(view, plan)),
        };
    }
    let stalled = failures_that_matter(outcome).find_map(|(step, _)| attempts::stalled(&attempts.all, &step.step));
    if let Some(message) = stalled {
        return ReportedState {
            state: State::Stalled,
            message,
        };
    }
    if let Some((_, failure)) = failures_that_matter(outcome).next() {
        return ReportedState {
            state: working(planned),
            message: format!("will try again: {}", in_azures_words(failure)),
        };
    }
    let withheld = acting(outcome).find_map(|step| match &step.result {
        StepResult::Withheld(why) => Some(format!("not done yet: {}: {why}", step.action)),
        StepResult::Effect(Effect::Stale(why)) => Some(format!(
            "not done, because something changed meanwhile: {}: {why}",
            step.action
        )),
        StepResult::Effect(Effect::Done { .. } | Effect::Started(_)) | StepResult::Failed(_) => None,
    });
    match withheld {
        Some(message) => ReportedState {
            state: working(planned),
            message,
        },
        None => ReportedState {
            state: planned,
            message: sentence(view, plan, planned),
        },
    }
}

/// What the end of an object does, and what it leaves.
fn deleting(view: &View<'_>, plan: &Plan) -> String {
    let in_azure = plan.steps().find(|s| matches!(s.action, Action::Azure(_)));
    if let Some(step) = in_azure {
        return format!(
            "being done: {}; zones, links and public access stay as they are",
            step.action
        );
    }
    if let Some(left) = plan.findings.iter().find(|f| f.reason == FindingReason::LeftInPlace) {
        return left.message.clone();
    }
    let stays = "zones, links and public access stay in Azure as they are; the operator lets go of this object";
    if view.desired.deletion == DeletionPolicy::DeleteEndpoints && !view.desired.observe_only {
        format!("the private endpoints of this object are gone; {stays}")
    } else {
        format!("private endpoints, their records, {stays}")
    }
}

/// A visit that did not do what it planned is at work, whatever its plan called itself.
fn working(planned: State) -> State {
    let (_, reconciling, _) = condition_merge::trio(planned);
    if reconciling == Truth::True {
        planned
    } else {
        State::Progressing
    }
}

/// What clients lost, and what is done about it; who they are is said before that.
fn degraded(view: &View<'_>, plan: &Plan) -> String {
    let endpoint = state::lost_endpoints(view, &plan.assessment).next();
    let lost = endpoint
        .map(|lost| lost.show())
        .or_else(|| first_failure(&plan.assessment.paths));
    let lost = lost.unwrap_or_else(|| "something that clients need is missing".into());
    let azure = plan.steps().find(|s| matches!(s.action, Action::Azure(_)));
    let by_itself = |w: &&Wait| matches!(w.reason.actor(), Actor::Time | Actor::Azure);
    match (azure, plan.waits.first()) {
        (Some(step), _) => format!("{lost}; the operator is putting that back: {}", step.action),
        (None, Some(wait)) if by_itself(&wait) => {
            format!("{lost}; the operator is putting that back: {}", wait.message)
        }
        (None, Some(wait)) => format!("{lost}; {}", wait.message),
        (None, None) => format!("{lost}; the operator is putting that back"),
    }
}

/// Azure's words, and of when what is shown is.
fn unreachable(view: &View<'_>, plan: &Plan) -> String {
    let why = plan.waits.first().map(|w| w.message.clone()).unwrap_or_default();
    let since = view.seen.object.status.stale_since.clone();
    let since = since.unwrap_or_else(|| whole_seconds(view.now));
    format!(
        "{why}; public access, endpoints and paths are shown as they were known at {}",
        since.0
    )
}

/// The first wait speaks; without one, what is being done or what holds.
fn sentence(view: &View<'_>, plan: &Plan, state: State) -> String {
    let emergency = match break_glass::state(view) {
        BreakGlassState::Active {
            name,
            requested_by,
            reason,
            until,
        } => Some(format!(
            "BreakGlass {name} by {requested_by} holds public access open until {until}: {reason}"
        )),
        BreakGlassState::None | BreakGlassState::NotKnown | BreakGlassState::UsedUp { .. } => None,
    };
    if state == State::Degraded {
        return degraded(view, plan);
    }
    if state == State::AzureUnreachable {
        return unreachable(view, plan);
    }
    if let (State::BreakGlass, Some(message)) = (state, emergency) {
        return message;
    }
    let (_, reconciling, _) = condition_merge::trio(state);
    let azure = plan.steps().filter(|s| matches!(s.action, Action::Azure(_))).count();
    if azure > 0 && reconciling == Truth::True {
        let first = plan
            .steps()
            .find(|s| matches!(s.action, Action::Azure(_)))
            .map(|s| s.action.to_string())
            .unwrap_or_default();
        return if azure == 1 {
            first
        } else {
            format!("{first}; and {} more", azure - 1)
        };
    }
    if let Some(wait) = plan.waits.first() {
        return wait.message.clone();
    }
    match state {
        State::Locked => {
            format!(
                "registry, storage and container registry are closed to the public{}, every required path is proven",
                view.but_for()
            )
        }
        State::Open => "public access is open, as desired".into(),
        State::Observed => {
            let would = plan
                .findings
                .iter()
                .filter(|f| matches!(f.reason, FindingReason::WouldDo | FindingReason::WouldWait))
                .count();
            let access = Summary::of(&plan.assessment.access, view.targets.gap.is_none());
            let but_for = if access == Summary::Locked {
                view.but_for()
            } else {
                String::new()
            };
            let access = summary::sentence(&access) + &but_for;
            if would == 0 {
                format!("observed: {access}; nothing would be done")
            } else {
                format!("observed: {access}; {would} things would be done or waited for, see status.findings")
            }
        }
        State::Proving => "a proof round is being opened".into(),
        State::Unknown
        | State::AzureUnreachable
        | State::Progressing
        | State::Degraded
        | State::CreatingEndpoints
        | State::ConfiguringDns
        | State::Settling
        | State::Locking
        | State::Opening
        | State::AwaitingConnectionApproval
        | State::AwaitingApproval
        | State::AwaitingWindow
        | State::AwaitingAction
        | State::Stalled
        | State::PathLost
        | State::BreakGlass
        | State::Deleting => plan.steps().next().map(|s| s.action.to_string()).unwrap_or_default(),
    }
}

/// What people could not be told is tried again after this long, never later than what else is to be done.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// When to visit again: what the plan says; where nothing was done because something failed, when that is tried again, and never
/// later than the first thing that is due.
fn requeue(plan: &Plan, outcome: &Outcome, attempts: &Attempts, now: Timestamp) -> Duration {
    let progressed =
        acting(outcome).any(|s| matches!(s.result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_))));
    let failed: Vec<&StepId> = failures(outcome).map(|(step, _)| &step.step).collect();
    let untold = outcome
        .steps
        .iter()
        .any(|s| s.action.only_tells() && !matches!(s.result, StepResult::Effect(Effect::Done { .. })));
    let next = if failed.is_empty() || progressed {
        plan.next_look
    } else {
        let next = attempts::next_try(&attempts.all, &failed, now).unwrap_or(TELL_AGAIN);
        next.max(SHORTEST).min(plan.due)
    };
    if untold && !progressed {
        next.min(TELL_AGAIN)
    } else {
        next
    }
}

/// Between two visits at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// No later than when patience ends.
fn patient(requeue: Duration, status: &SecureRegistryStatus, now: Timestamp) -> Duration {
    let ends = |since: &Time| since.0.saturating_add(readiness::PATIENCE).ok();
    let left = status
        .unsettled_since
        .as_ref()
        .and_then(ends)
        .map(|end| end.duration_since(now));
    left.and_then(|left| Duration::try_from(left).ok())
        .filter(|left| !left.is_zero())
        .map_or(requeue, |left| requeue.min(left.max(Duration::from_secs(1))))
}

fn gauges(view: &View<'_>, plan: &Plan, state: State, emergencies: &Emergencies) -> Gauges {
    let mut open_targets = BTreeMap::new();
    for access in &plan.assessment.access {
        if let Some(closed) = access.closed {
            let open = open_targets.entry(access.target).or_insert(false);
            *open |= !closed;
        }
    }
    let mut waits: Vec<WaitReason> = plan.waits.iter().map(|w| w.reason).collect();
    waits.sort();
    waits.dedup();
    Gauges {
        state,
        open_targets,
        waits,
        locked: (!plan.assessment.access.is_empty() && (view.all_closed() || view.any_open()))
            .then(|| view.all_closed()),
        break_glass: matches!(break_glass::state(view), BreakGlassState::Active { .. })
            && break_glass::no_effect(view).is_none(),
        break_glass_uses: emergencies.begun.len(),
        relock_pending: break_glass::left_open(view).is_some(),
    }
}

/// Reports on an object that does not even name its registry: nothing was observed, nothing was done; what was known is kept.
pub fn report_invalid(object: &SecureRegistry, violations: &[Violation], now: Timestamp) -> Report {
    let generation = object.metadata.generation.unwrap_or_default();
    let former = object.status.clone().unwrap_or_default();
    let message = Violation::sentence(violations);
    let (ready, reconciling, stalled) = condition_merge::trio(State::Stalled);
    let trio = [
        (ConditionType::Ready, ready),
        (ConditionType::Reconciling, reconciling),
        (ConditionType::Stalled, stalled),
    ];
    let mut drafts: Vec<Draft> = trio
        .into_iter()
        .map(|(kind, truth)| Draft {
            kind,
            truth,
            reason: State::Stalled.to_string(),
            message: message.clone(),
        })
        .collect();
    drafts.extend(former.conditions.iter().filter_map(conditions::keep));
    let mut status = former.clone();
    status.observed_generation = Some(generation);
    status.conditions = condition_merge::merge(drafts, &former.conditions, generation, now);
    status.unsettled_since = None;
    status.waiting_for.clear();
    status.operations.clear();
    fields::remember(&former, &mut status, State::Stalled, &message, now);
    harmless::status(&mut status);
    let verdict = ReportedState {
        state: State::Stalled,
        message,
    };
    let mut events: Vec<EventNote> = events::state_changed(&former, &status, &verdict).into_iter().collect();
    harmless::events(&mut events);
    Report {
        status,
        events,
        requeue: Duration::from_secs(600),
        gauges: gauges_of_old(&former, now),
        attempts: Attempts::default(),
        decided: Decided::default(),
    }
}

/// What metrics go on showing of an object that nobody can look after: what its status said last.
fn gauges_of_old(former: &SecureRegistryStatus, now: Timestamp) -> Gauges {
    let runs = |u: &BreakGlassUse| !u.ended && u.until.as_ref().is_some_and(|until| now < until.0);
    let access = former.public_access.clone().unwrap_or_default();
    let summary = Summary::in_status(former);
    let mut open_targets = BTreeMap::new();
    for target in &access.targets {
        let kind = target.target.parse().ok();
        if let Some((kind, closed)) = kind.zip(target.access.is_closed()) {
            let open = open_targets.entry(kind).or_insert(false);
            *open |= !closed;
        }
    }
    Gauges {
        state: State::Stalled,
        open_targets,
        waits: Vec::new(),
        locked: (summary != Summary::Unknown).then_some(summary == Summary::Locked),
        break_glass: former.break_glasses.iter().any(runs),
        break_glass_uses: 0,
        relock_pending: !former.break_glasses.is_empty() && !former.break_glasses.iter().any(runs),
    }
}
