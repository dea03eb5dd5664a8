//! Progress or pause: a write that does not succeed, or whose effect does not last, is sent more and more seldom, and the cause is
//! said. Every write of ours is remembered until its effect has lasted; nothing here asks which kind of write it is.
//!
//! | a write to Azure | the next one after | is called |
//! | --- | --- | --- |
//! | was refused for good: rights, policy, configuration | 45 s, then twice as long each time | stalled at once, in Azure's words |
//! | was refused with any other code, or its operation failed | 5 s, then four times as long | stalled from the third on, in Azure's words |
//! | was accepted, and is planned again: it took no effect, or somebody put it back | nothing; then 5 s, then four times as long | stalled from the third on, with what usually does that |
//! | was not sent, because what is there is not what was seen | nothing; then 5 s, then four times as long | the same |
//! | was not answered, or throttled, or something else is under way | what Azure asks for, at least 1 s, then twice as long; at most 5 min | stalled once that lasts a quarter of an hour |
//!
//! At most an hour; for what opens public access five minutes, because somebody waits for it. A change of spec tries at once, and so
//! does a new break-glass for what opens, and whatever has lasted [`LASTS`]. Both this process and status remember: status may be erased, a process may die. Neither is
//! trusted for longer than the longest pause.

mod no_effect;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::conditions::State;
use sreg_api::status::RefusalStatus;
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::{Attempt, EndpointSeen, OperationSeen, OperationState};
use sreg_domain::{Action, ArmId, CallFailure, Desired, Disposition, Fact, Outcome, Seen, StepId, StepKind};

use crate::conditions::{from_now, says_the_same, truncate, whole_seconds};
use crate::contribution::{Contribution, Held};
use crate::plan::{FindingReason, Plan, Step, Wait, WaitReason};
use crate::view::{View, in_azures_words, is_final};
use crate::{break_glass, left_out, refusals};

use no_effect::no_effect;

/// Status stays small, and so does memory.
const MOST_IN_STATUS: usize = 16;
const MOST: usize = 64;
/// Longer than what is said of a refusal: a command that is cut is none.
const LONGEST_MESSAGE: usize = 2048;
/// From this try on a person is asked to look.
const STUBBORN: i32 = 3;
/// What was refused for good: rights that were just granted take minutes to arrive, so the second try is not far.
const REFUSED: SignedDuration = SignedDuration::from_secs(45);
/// What was accepted and is not there: Azure's own reads may lag by seconds.
const NOT_THERE: SignedDuration = SignedDuration::from_secs(5);
/// What nobody answered.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(1);
const LONGEST: SignedDuration = SignedDuration::from_secs(3600);
/// An outage passes without anybody's doing, and somebody waits for what opens.
const LONGEST_UNANSWERED: SignedDuration = SignedDuration::from_secs(300);
const LONGEST_TO_OPEN: SignedDuration = SignedDuration::from_secs(300);
/// An outage that lasts so long is told as one.
const OUTAGE: SignedDuration = SignedDuration::from_secs(900);
/// What fails whenever it is made is not deleted and made in a circle.
const BETWEEN_REPAIRS: SignedDuration = SignedDuration::from_hours(6);
/// An effect that was not missed for so long has lasted.
const LASTS: SignedDuration = SignedDuration::from_secs(900);

/// What is remembered of writes for this spec, by this process and by status, with what their operations have come to.
pub(crate) fn known(desired: &Desired, seen: &Seen, now: Timestamp) -> Vec<Attempt> {
    let generation = desired.object.generation;
    let (memory, last) = (&seen.memory.attempts, &seen.object.last);
    let mut all = Vec::new();
    if memory.generation == generation {
        all.clone_from(&memory.all);
    } else {
        // What was sent for another spec may still arrive.
        let sent = memory.all.iter().filter(|record| is_unanswered_closing(record));
        all.extend(sent.cloned());
    }
    if last.generation == Some(generation) {
        for record in last.attempts.iter().cloned() {
            match all.iter_mut().find(|known| known.step == record.step) {
                None => all.push(record),
                Some(known) if known.at < record.at => *known = record,
                Some(_) => {}
            }
        }
    }
    // Nobody has tried in the future.
    all.retain(|record| record.at <= now);
    // Whoever breaks the glass waits for nothing that came of an earlier emergency.
    let begun = begun(desired, seen, now);
    all.retain(|record| !in_an_emergency(record) || Some(record.at) >= begun);
    for (operation, failure) in failed_operations(seen) {
        let step = &operation.operation.step;
        let before = take(&mut all, step);
        // The write that started it is counted already.
        let tries = before.as_ref().map_or(1, |r| r.tries.max(1));
        let resource = Some(operation.operation.resource.clone());
        let ended = (Ended::of_failure(step, failure), refusals::code_of(failure));
        all.push(record(step, resource, ended, (before, tries), now));
    }
    all
}

pub(crate) fn to_status(attempt: &Attempt) -> RefusalStatus {
    let Attempt {
        step,
        resource,
        reason,
        code,
        message,
        since,
        at,
        tries,
        next_try,
    } = attempt;
    RefusalStatus {
        step: step.to_string(),
        resource_id: resource.as_ref().map(ToString::to_string).unwrap_or_default(),
        reason: reason.to_string(),
        code: code.clone(),
        message: message.clone(),
        since: Some(Time(*since)),
        at: Some(Time(*at)),
        tries: *tries,
        next_try: Some(Time(*next_try)),
    }
}

/// When the emergency began that was asked for last, of those that run.
fn begun(desired: &Desired, seen: &Seen, now: Timestamp) -> Option<Timestamp> {
    let terms = break_glass::terms(desired, seen, now);
    let running = terms.iter().filter(|term| term.runs(now));
    running.map(|term| term.glass.created_at).max()
}

/// Opening, and putting back rules of a firewall.
fn in_an_emergency(record: &Attempt) -> bool {
    record.step.kind.opens() || left_out::is_about_rules(record)
}

/// Operations that ended badly since the last visit.
fn failed_operations(seen: &Seen) -> impl Iterator<Item = (&OperationSeen, &CallFailure)> {
    seen.azure.operations.iter().filter_map(|o| match &o.state {
        OperationState::Failed(failure) => Some((o, failure)),
        OperationState::Running { .. }
        | OperationState::Unreadable { .. }
        | OperationState::Succeeded
        | OperationState::Lost => None,
    })
}

fn of<'a>(view: &'a View<'_>, step: &StepId) -> Option<&'a Attempt> {
    view.attempts.iter().find(|record| record.step == *step)
}

/// Why a step is not tried now, if its last try was a short time ago.
pub(crate) fn held(view: &View<'_>, step: &StepId) -> Option<Wait> {
    held_by(of(view, step)?, view.now)
}

fn held_by(record: &Attempt, now: Timestamp) -> Option<Wait> {
    let next = pausing_until(now, record)?;
    let message = format!("{}; tried again at {}", record.message, whole_seconds(next).0);
    Some(for_attempt(record, message))
}

fn for_attempt(record: &Attempt, message: String) -> Wait {
    Wait {
        about: vec![record.step.clone()],
        ..Wait::new(record.reason, message)
    }
}

/// Azure's code for why a step did not succeed when it was last tried.
pub(crate) fn code<'a>(view: &'a View<'_>, step: &StepId) -> Option<&'a str> {
    of(view, step)?.code.as_deref()
}

/// Whether a step cannot be counted on, however long ago it was tried.
pub(crate) fn is_stalled(view: &View<'_>, step: &StepId) -> bool {
    of(view, step).is_some_and(|record| !passes(record))
}

/// Whether a closing write may still take effect that was sent a short time ago: by this process, and never answered; or by one that led
/// before and was paused with it on its way.
pub(crate) fn closing_may_arrive(view: &View<'_>) -> bool {
    let known_for = view.seen.memory.known_for;
    let led_lately = known_for.is_some_and(|known_for| SignedDuration::try_from(known_for).is_ok_and(|it| it < LASTS));
    let mut unanswered = view.attempts.iter().filter(|record| is_unanswered_closing(record));
    led_lately || unanswered.any(|record| !has_arrived(view, record.at))
}

/// Whether a write that was on its way then has arrived by now, or never will.
pub(crate) fn has_arrived(view: &View<'_>, then: Timestamp) -> bool {
    view.now.duration_since(then).abs() >= LASTS
}

/// Whether a wait is for a write that opens something, and that Azure did not take.
pub(crate) fn is_about_opening(wait: &Wait) -> bool {
    wait.about.iter().any(|step| step.kind.opens())
}

/// What Azure said against opening something, if it does not take that.
pub(crate) fn refusal_of_opening<'a>(view: &'a View<'_>) -> Option<&'a str> {
    let mut refused = view.attempts.iter().filter(|r| r.step.kind.opens() && !passes(r));
    refused.next().map(|record| record.message.as_str())
}

/// Why a step cannot be counted on: what Azure said when it was last tried, however long ago.
pub(crate) fn refused(view: &View<'_>, step: &StepId) -> Option<Wait> {
    let record = of(view, step).filter(|record| !passes(record))?;
    Some(for_attempt(record, record.message.clone()))
}

/// What was made, failed and was made again as often as a person is asked to look.
pub(crate) struct Stubborn<'a> {
    pub(crate) tries: i32,
    pub(crate) said: &'a str,
    pub(crate) until: Timestamp,
}

/// Whether what a step makes is left as it is, failed, because making it again has not helped.
pub(crate) fn stubborn<'a>(view: &'a View<'_>, step: &StepId) -> Option<Stubborn<'a>> {
    let record = of(view, step).filter(|r| r.tries >= STUBBORN)?;
    let until = whole_seconds(record.at.saturating_add(BETWEEN_REPAIRS).ok()?).0;
    (view.now < until).then(|| Stubborn {
        tries: record.tries,
        said: &record.message,
        until,
    })
}

/// What is being brought about by the writes that are held for a moment.
pub(crate) fn held_state(view: &View<'_>) -> Option<State> {
    let mut held = view
        .attempts
        .iter()
        .filter(|r| passes(r) && pausing_until(view.now, r).is_some());
    held.find_map(|record| brought_about(record.step.kind))
}

/// When the pauses end that something which was said waits for, so that nobody sleeps over them.
pub(crate) fn looks<'a>(view: &'a View<'_>, draft: &'a Contribution) -> impl Iterator<Item = Duration> + 'a {
    let waits = || draft.waits.iter().flat_map(|wait| &wait.about);
    let findings = || draft.findings.iter().flat_map(|finding| &finding.about);
    let waited_for = move |r: &&Attempt| waits().chain(findings()).any(|step| *step == r.step);
    let ends = view.attempts.iter().filter(waited_for);
    let ends = ends.filter_map(|r| pausing_until(view.now, r));
    ends.filter_map(|end| Duration::try_from(end.duration_since(view.now)).ok())
}

/// Holds what was tried a short time ago, and waits for it instead.
pub(crate) fn hold(view: &View<'_>, steps: Vec<Step>) -> Held {
    let (mut held, waits) = take_held(view, steps);
    waits.into_iter().for_each(|wait| held.said.wait(wait));
    held
}

/// The same of upkeep: nothing waits for that, so it is told, no more.
pub(crate) fn hold_upkeep(view: &View<'_>, steps: Vec<Step>) -> Held {
    let (mut held, waits) = take_held(view, steps);
    for Wait {
        message,
        about,
        reason: _,
    } in waits
    {
        held.said.find_about(FindingReason::UpkeepFailing, message, about);
    }
    held
}

fn take_held(view: &View<'_>, steps: Vec<Step>) -> (Held, Vec<Wait>) {
    let mut taken = Held::default();
    let mut waits = Vec::new();
    for step in steps {
        match held(view, &step.id) {
            None => taken.free.push(step),
            Some(wait) => {
                waits.push(wait);
                taken.back.push(step);
            }
        }
    }
    (taken, waits)
}

/// When the pause after the last try ends, if it has not. What was written into status by whomever holds nothing for longer than the
/// longest pause.
fn pausing_until(now: Timestamp, record: &Attempt) -> Option<Timestamp> {
    let longest = record.at.saturating_add(longest(record.step.kind)).ok()?;
    let next = record.next_try.min(longest);
    (now < next).then_some(next)
}

/// The state that a step on a target's public access brings about.
pub(crate) fn brought_about(kind: StepKind) -> Option<State> {
    if kind.opens() {
        Some(State::Opening)
    } else {
        (kind == StepKind::Close).then_some(State::Locking)
    }
}

fn longest(kind: StepKind) -> SignedDuration {
    if kind.opens() { LONGEST_TO_OPEN } else { LONGEST }
}

/// It was not refused yet; time may cure it.
fn passes(record: &Attempt) -> bool {
    matches!(record.reason, WaitReason::RetryPending | WaitReason::EffectPending)
}

fn is_unanswered(record: &Attempt) -> bool {
    record.reason == WaitReason::RetryPending
}

fn is_unanswered_closing(record: &Attempt) -> bool {
    is_unanswered(record) && record.step.kind == StepKind::Close
}

fn take(all: &mut Vec<Attempt>, step: &StepId) -> Option<Attempt> {
    let found = all.iter().position(|record| record.step == *step);
    found.map(|at| all.swap_remove(at))
}

/// How a try ended, as far as the next one depends on it.
enum Ended {
    /// Refused for good.
    Refused(Wait),
    /// Refused with a code that says nothing of that.
    Failed(Wait),
    /// Done as far as Azure says, or there was nothing to do it on.
    NotThere(String),
    /// No answer, throttled, or busy.
    Unanswered {
        told: Wait,
        words: String,
        asked: SignedDuration,
    },
}

impl Ended {
    fn of_failure(step: &StepId, failure: &CallFailure) -> Ended {
        let told = refusals::wait_of(step, failure);
        let words = in_azures_words(failure);
        let answered = |failure: &CallFailure| {
            failure.status.map_or(failure.code.is_some(), |status| {
                (400..500).contains(&status) && status != 408 && status != 429
            })
        };
        match failure.disposition() {
            _ if is_final(failure) => Ended::Refused(told),
            Disposition::Wait(asked) => Ended::Unanswered {
                told,
                words,
                asked: SignedDuration::try_from(asked).unwrap_or(LONGEST),
            },
            Disposition::Retry | Disposition::Forbidden | Disposition::Terminal if answered(failure) => {
                Ended::Failed(told)
            }
            Disposition::Retry | Disposition::Forbidden | Disposition::Terminal => Ended::Unanswered {
                told,
                words,
                asked: UNANSWERED,
            },
        }
    }

    /// `None`: it was not attempted, or it is one in the cluster and done.
    fn of(step: &StepOutcome) -> Option<Ended> {
        match (&step.action, &step.result) {
            (_, StepResult::Failed(failure)) => Some(Ended::of_failure(&step.step, failure)),
            (Action::Azure(_), StepResult::Effect(Effect::Done { .. } | Effect::Started(_))) => {
                Some(Ended::NotThere(String::new()))
            }
            (Action::Azure(_), StepResult::Effect(Effect::Stale(why))) => Some(Ended::NotThere(why.clone())),
            (Action::Cluster(_), StepResult::Effect(_)) | (_, StepResult::Withheld(_)) => None,
        }
    }
}

/// `first`, then `factor` times as long each time.
fn growing(first: SignedDuration, factor: i32, tries: i32, most: SignedDuration) -> SignedDuration {
    let mut pause = first;
    for _ in 1..tries.clamp(1, 32) {
        pause = pause.saturating_mul(factor).min(most);
    }
    pause.min(most)
}

fn record(
    step: &StepId,
    resource: Option<ArmId>,
    (ended, code): (Ended, Option<String>),
    (before, tries): (Option<Attempt>, i32),
    now: Timestamp,
) -> Attempt {
    let since = before.as_ref().map_or(now, |r| r.since);
    let stubborn = |stalled| {
        if tries >= STUBBORN {
            stalled
        } else {
            WaitReason::EffectPending
        }
    };
    let (reason, message, pause) = match ended {
        Ended::Refused(wait) => (wait.reason, wait.message, growing(REFUSED, 2, tries, LONGEST)),
        Ended::Failed(told) => (
            stubborn(told.reason),
            told.message,
            growing(NOT_THERE, 4, tries, LONGEST),
        ),
        Ended::NotThere(message) => {
            let again = growing(NOT_THERE, 4, tries.saturating_sub(1), LONGEST);
            let pause = if tries > 1 { again } else { SignedDuration::ZERO };
            (stubborn(WaitReason::RefusedStalled), message, pause)
        }
        Ended::Unanswered { told, words, asked } => {
            let lasts = tries >= STUBBORN && now.duration_since(since) >= OUTAGE;
            let own = growing(UNANSWERED, 2, tries, LONGEST_UNANSWERED);
            let (reason, message) = if lasts {
                (told.reason, told.message)
            } else {
                (WaitReason::RetryPending, words)
            };
            (reason, message, asked.max(own))
        }
    };
    let message = truncate(&message, LONGEST_MESSAGE);
    let same = before.filter(|r| says_the_same(&r.message, &message));
    let pause = Duration::try_from(pause.min(longest(step.kind))).unwrap_or_default();
    Attempt {
        step: step.clone(),
        resource,
        reason,
        code,
        message: same.map_or(message, |r| r.message),
        since: whole_seconds(since).0,
        at: whole_seconds(now).0,
        tries,
        next_try: from_now(now, pause),
    }
}

/// What a process remembers after a visit.
pub(crate) fn remember(view: &View<'_>, plan: &Plan, outcome: &Outcome, now: Timestamp) -> Vec<Attempt> {
    let mut all = view.attempts.clone();
    let mut tried = Vec::new();
    left_out::remember(&mut all, outcome, now);
    for step in outcome.steps.iter().filter(|s| !s.action.only_tells()) {
        if left_out::left_some_out(step) {
            take(&mut all, &step.step);
            continue;
        }
        let Some(ended) = Ended::of(step) else {
            if matches!(step.result, StepResult::Effect(_)) {
                take(&mut all, &step.step);
            }
            continue;
        };
        tried.push(&step.step);
        let before = take(&mut all, &step.step);
        all.push(after_a_try(view, step, ended, before, now));
        all.retain(|record| !is_contrary(step, record));
    }
    let planned = |step: &StepId| plan.steps().any(|s| s.id == *step);
    all.retain(|r| tried.contains(&&r.step) || planned(&r.step) || still_counts(view, r, now));
    keep_latest(all, MOST)
}

/// Whether a step has undone what a record was to bring about: what this operator opens, nobody has put back, and the reverse. A write
/// that nobody answered may still take effect.
fn is_contrary(step: &StepOutcome, record: &Attempt) -> bool {
    let taken = matches!(
        step.result,
        StepResult::Effect(Effect::Done { .. } | Effect::Started(_))
    );
    let Action::Azure(action) = &step.action else {
        return false;
    };
    if !taken || is_unanswered(record) {
        return false;
    }
    let kind = record.step.kind;
    let opposes = (action.is_opening() && kind == StepKind::Close) || (action.is_closing() && kind.opens());
    opposes && record.resource.as_ref() == Some(action.resource())
}

/// So many, in the order of their steps.
fn keep_latest(mut all: Vec<Attempt>, most: usize) -> Vec<Attempt> {
    all.sort_by(|a, b| (&b.at, &a.step).cmp(&(&a.at, &b.step)));
    all.truncate(most);
    all.sort_by(|a, b| a.step.cmp(&b.step));
    all
}

fn after_a_try(view: &View<'_>, step: &StepOutcome, ended: Ended, before: Option<Attempt>, now: Timestamp) -> Attempt {
    let done = matches!(step.result, StepResult::Effect(Effect::Done { .. }));
    // After an outage a write that is carried out is a first one.
    let before = before.filter(|r| !(done && is_unanswered(r)));
    let tries = before.as_ref().map_or(0, |r| r.tries).saturating_add(1);
    let resource = match &step.action {
        Action::Azure(action) => Some(action.resource().clone()),
        Action::Cluster(_) => None,
    };
    let started = matches!(step.result, StepResult::Effect(Effect::Started(_)));
    let code = match &step.result {
        StepResult::Failed(failure) => refusals::code_of(failure),
        StepResult::Effect(Effect::Started(_)) => before.as_ref().and_then(|r| r.code.clone()),
        StepResult::Effect(Effect::Done { .. } | Effect::Stale(_)) | StepResult::Withheld(_) => None,
    };
    let ended = match ended {
        // How an operation ends is not known yet: until then what ended the one before is what is to be said.
        Ended::NotThere(_) if started && before.as_ref().is_some_and(|r| !r.message.is_empty()) => {
            Ended::NotThere(before.as_ref().map(|r| r.message.clone()).unwrap_or_default())
        }
        Ended::NotThere(why) => Ended::NotThere(no_effect(view, &step.action, &why, tries)),
        ended @ (Ended::Refused(_) | Ended::Failed(_) | Ended::Unanswered { .. }) => ended,
    };
    record(&step.step, resource, (ended, code), (before, tries), now)
}

/// Until the pause is over and the effect was not missed for a while. What is known to be undone counts on.
fn still_counts(view: &View<'_>, record: &Attempt, now: Timestamp) -> bool {
    let lasts = now.duration_since(record.at) >= LASTS;
    pausing_until(now, record).is_some() || !lasts || is_undone(view, record)
}

/// What a record of a closing write, of a creation or of a deletion was to bring about is known not to be there.
fn is_undone(view: &View<'_>, record: &Attempt) -> bool {
    let is = |id: &ArmId| record.resource.as_ref() == Some(id);
    let failed = |fact: &Fact<EndpointSeen>| {
        let state = fact.seen().map(|e| e.provisioning_state.to_ascii_lowercase());
        matches!(state.as_deref(), Some("failed" | "canceled"))
    };
    let mut endpoints = view.seen.azure.endpoints.iter().filter(|(id, _)| is(id));
    let kind = record.step.kind;
    if kind == StepKind::Close {
        return view.access.iter().any(|a| is(&a.id) && a.closed == Some(false));
    }
    if kind == StepKind::DeleteEndpoint {
        return endpoints.any(|(_, fact)| fact.seen().is_some_and(EndpointSeen::is_approved));
    }
    kind == StepKind::CreateEndpoint && endpoints.any(|(_, fact)| failed(fact))
}

/// What status shows: writes in trouble that are still wanted, as far as can be told.
pub(crate) fn for_status(view: &View<'_>, plan: &Plan, all: &[Attempt], now: Timestamp) -> Vec<Attempt> {
    let settled = plan.waves.is_empty() && plan.waits.is_empty();
    let planned = |step: &StepId| plan.steps().any(|s| s.id == *step);
    let told = |step: &StepId| plan.findings.iter().any(|f| f.about.contains(step));
    let shown = |r: &&Attempt| {
        let trouble = !passes(r) || r.tries > 1;
        let wanted = planned(&r.step) || pausing_until(now, r).is_some() || is_undone(view, r);
        let wanted = if settled {
            told(&r.step) || left_out::is_about_rules(r)
        } else {
            wanted
        };
        trouble && wanted && r.resource.is_some()
    };
    let shown = all.iter().filter(shown).cloned().collect();
    keep_latest(shown, MOST_IN_STATUS)
}

/// When the first of the steps that failed is due again.
pub(crate) fn next_try(all: &[Attempt], failed: &[&StepId], now: Timestamp) -> Option<Duration> {
    let due = all.iter().filter(|r| failed.contains(&&r.step));
    let due = due.map(|r| r.next_try.duration_since(now));
    due.map(|left| Duration::try_from(left).unwrap_or_default()).min()
}

/// What is said of a step that cannot be counted on.
pub(crate) fn stalled(all: &[Attempt], step: &StepId) -> Option<String> {
    Some(not_counted_on(all, step)?.message.clone())
}

fn not_counted_on<'a>(all: &'a [Attempt], step: &StepId) -> Option<&'a Attempt> {
    all.iter().find(|r| r.step == *step && !passes(r))
}

/// What the next plan will wait for because a step has just failed and cannot be counted on. The plan that tried it could not know:
/// without this, status would say `Stalled` and not name what for.
pub(crate) fn stalled_waits<'a>(
    all: &'a [Attempt],
    steps: impl Iterator<Item = &'a StepId>,
    now: Timestamp,
) -> Vec<Wait> {
    steps
        .filter_map(|step| held_by(not_counted_on(all, step)?, now))
        .collect()
}
