//! Rules of a firewall that Azure refused to have back. Which *set* of them was refused is remembered with the other tries, by its
//! digest: exactly that set missing is settled until its pause is over, any other set is work to do.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::status::RefusalStatus;
use sreg_domain::action::{Disposition, Effect, StepOutcome, StepResult};
use sreg_domain::{Action, ArmId, AzureAction, Digest, Edit, LeftOut, NetworkRule, Outcome};

use crate::advice::advise;
use crate::conditions::{says_the_same, whole_seconds};
use crate::facts::{View, in_azures_words, is_final};
use crate::plan::WaitReason;

/// First word of what is remembered of refused rules.
const PUT_BACK: &str = "put-back";
/// The first pause; then twice as long each time.
const REFUSED: SignedDuration = SignedDuration::from_secs(45);
/// The same where something that a rule names was only being changed.
const WHILE_BUSY: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(3600);

/// What is known of rules that were refused when all that is missing was tried last.
pub(crate) struct LeftOutRules<'a> {
    /// In Azure's words.
    pub(crate) why: &'a str,
    /// When they are tried again.
    pub(crate) next: Timestamp,
}

/// What is remembered of exactly these rules; `None`: they were not all tried, or something else is missing now.
pub(crate) fn known<'v>(view: &'v View<'_>, target: &ArmId, rules: &[NetworkRule]) -> Option<LeftOutRules<'v>> {
    let step = name(target, rules);
    let record = view
        .attempts
        .iter()
        .find(|r| r.step.eq_ignore_ascii_case(&step))
        .filter(|_| !rules.is_empty())?;
    let (at, next) = (record.at.as_ref()?.0, record.next_try.as_ref()?.0);
    Some(LeftOutRules {
        why: &record.message,
        next: next.min(at.saturating_add(LONGEST).ok()?),
    })
}

/// Whether something that is remembered is about rules that were left out.
pub(crate) fn is_about_rules(record: &RefusalStatus) -> bool {
    record.step.starts_with(PUT_BACK)
}

/// Whether a step was done but for rules that Azure refused: it is not to be counted as one without effect.
pub(crate) fn left_some_out(step: &StepOutcome) -> bool {
    matches!(&step.result, StepResult::Effect(Effect::Done { also_changed: _, left_out }) if !left_out.is_empty())
}

fn name(target: &ArmId, rules: &[NetworkRule]) -> String {
    let mut keys: Vec<String> = rules.iter().map(NetworkRule::key).collect();
    keys.sort();
    let digest = Digest::of_parts(keys.iter().map(String::as_str));
    format!("{PUT_BACK} {} {digest}", target.name())
}

/// Remembers what came of the settings that were put back in this visit.
pub(crate) fn remember(all: &mut Vec<RefusalStatus>, outcome: &Outcome, now: Timestamp) {
    for (target, left_out) in restored(outcome) {
        let rules: Vec<NetworkRule> = left_out.iter().map(|left| left.rule.clone()).collect();
        let step = name(target, &rules);
        let before = all.iter().find(|r| r.step.eq_ignore_ascii_case(&step)).cloned();
        // Another set was refused before: it was put back in part, or somebody has changed it.
        all.retain(|r| !(is_about_rules(r) && r.resource_id.eq_ignore_ascii_case(target.as_str())));
        all.extend(record(step, target, left_out, before, now));
    }
}

/// Targets on which settings were put back, with the rules that Azure refused.
fn restored(outcome: &Outcome) -> impl Iterator<Item = (&ArmId, &[LeftOut])> {
    outcome.steps.iter().filter_map(|s| match (&s.action, &s.result) {
        (
            Action::Azure(AzureAction::Edit {
                id,
                edit: Edit::Restore(_),
                target: _,
                expected: _,
            }),
            StepResult::Effect(Effect::Done {
                also_changed: _,
                left_out,
            }),
        ) => Some((id, left_out.as_slice())),
        (Action::Azure(_) | Action::Cluster(_), _) => None,
    })
}

/// What needs a person is said before what only needs time.
fn record(
    step: String,
    target: &ArmId,
    left_out: &[LeftOut],
    before: Option<RefusalStatus>,
    now: Timestamp,
) -> Option<RefusalStatus> {
    let busy = left_out.iter().any(|left| !is_final(&left.failure));
    let first = left_out
        .iter()
        .find(|left| is_final(&left.failure))
        .or(left_out.first())?;
    let words = in_azures_words(&first.failure);
    let (reason, message) = if busy {
        (WaitReason::ResourceBusy, words)
    } else {
        let (reason, advice) = advise(&first.failure);
        match first.failure.disposition {
            Disposition::Forbidden => (reason, format!("{words}; {advice}")),
            // Which commands put the rules back is said with the rules.
            Disposition::Retry | Disposition::Wait(_) | Disposition::Terminal => (reason, words),
        }
    };
    let tries = before.as_ref().map_or(0, |r| r.tries).saturating_add(1);
    let mut pause = if busy { WHILE_BUSY } else { REFUSED };
    for _ in 1..tries.clamp(1, 32) {
        pause = pause.saturating_mul(2).min(LONGEST);
    }
    let same = before.as_ref().filter(|r| says_the_same(&r.message, &message));
    let message = same.map_or(message, |r| r.message.clone());
    Some(RefusalStatus {
        step,
        resource_id: target.to_string(),
        reason: reason.to_string(),
        message,
        since: before.and_then(|r| r.since).or_else(|| Some(whole_seconds(now))),
        at: Some(whole_seconds(now)),
        tries,
        next_try: Some(Time(whole_seconds(now).0.saturating_add(pause).ok()?)),
    })
}
