//! Rules of a firewall that Azure refused to have back. Which *set* of them was refused is remembered with the other tries, by its
//! digest: exactly that set missing is settled until its pause is over, any other set is work to do.

use jiff::{SignedDuration, Timestamp};
use sreg_domain::action::{Effect, StepOutcome, StepResult};
use sreg_domain::seen::Attempt;
use sreg_domain::{
    Action, ArmId, AzureAction, Digest, Disposition, Edit, LeftOut, NetworkRule, Outcome, StepId, StepKind,
};

use crate::advice::advise;
use crate::conditions::{says_the_same, whole_seconds};
use crate::plan::WaitReason;
use crate::refusals;
use crate::view::{View, in_azures_words, is_final};

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
        .find(|r| r.step == step)
        .filter(|_| !rules.is_empty())?;
    Some(LeftOutRules {
        why: &record.message,
        next: record.next_try.min(record.at.saturating_add(LONGEST).ok()?),
    })
}

/// Whether something that is remembered is about rules that were left out.
pub(crate) fn is_about_rules(record: &Attempt) -> bool {
    record.step.kind == StepKind::RulesLeftOut
}

/// Whether a step was done but for rules that Azure refused: it is not to be counted as one without effect.
pub(crate) fn left_some_out(step: &StepOutcome) -> bool {
    matches!(&step.result, StepResult::Effect(Effect::Done { also_changed: _, left_out }) if !left_out.is_empty())
}

fn name(target: &ArmId, rules: &[NetworkRule]) -> StepId {
    let mut keys: Vec<String> = rules.iter().map(NetworkRule::key).collect();
    keys.sort();
    let digest = Digest::of_parts(keys.iter().map(String::as_str));
    StepKind::RulesLeftOut.on(format!("{} {digest}", target.name()))
}

/// Remembers what came of the settings that were put back in this visit.
pub(crate) fn remember(all: &mut Vec<Attempt>, outcome: &Outcome, now: Timestamp) {
    for (target, left_out) in restored(outcome) {
        let rules: Vec<NetworkRule> = left_out.iter().map(|left| left.rule.clone()).collect();
        let step = name(target, &rules);
        let before = all.iter().find(|r| r.step == step).cloned();
        // Another set was refused before: it was put back in part, or somebody has changed it.
        all.retain(|r| !(is_about_rules(r) && r.resource.as_ref() == Some(target)));
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
    step: StepId,
    target: &ArmId,
    left_out: &[LeftOut],
    before: Option<Attempt>,
    now: Timestamp,
) -> Option<Attempt> {
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
        match first.failure.disposition() {
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
    let now = whole_seconds(now).0;
    Some(Attempt {
        step,
        resource: Some(target.clone()),
        reason,
        code: refusals::code_of(&first.failure),
        message,
        since: before.map_or(now, |r| r.since),
        at: now,
        tries,
        next_try: now.saturating_add(pause).ok()?,
    })
}
