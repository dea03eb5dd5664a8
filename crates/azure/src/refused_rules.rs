//! Rules of firewalls that Azure refused: what this process remembers of them, so that a step with many rules gets on from visit to
//! visit. A container registry accepts a write and may refuse it only when its operation ends; then what was sent is narrowed down as if
//! it had been refused at once.
//!
//! | the operation that carried rules ended | then |
//! | --- | --- |
//! | well, or nobody knows how | nothing is remembered |
//! | badly, whatever the rules are | the same rules are sent again |
//! | badly, and it names some of the rules | those are refused, the others are sent together |
//! | badly, and it names none | each half is sent by itself; a single one is refused |
//!
//! A new process begins with all rules again.

mod naming;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sreg_domain::seen::OperationState;
use sreg_domain::{ArmId, CallFailure, Cause, NetworkRule};
use tokio::time::Instant;

use naming::ended_for_content;
pub(crate) use naming::{failure_of, is_about_content, named_in};

/// A rule that Azure refused is not tried again for so long: less than the planner's shortest pause.
const REFUSED: Duration = Duration::from_secs(40);
/// The same where another operation was in the way.
const REFUSED_WHILE_BUSY: Duration = Duration::from_secs(8);
/// What came of operations is kept for longer than the planner's longest pause before it opens: until a step has told of it.
const KEPT: Duration = Duration::from_secs(1800);
/// How many rules, and how many targets, are remembered.
const MOST: usize = 4096;

/// What is remembered of rules, by target.
#[derive(Debug, Default)]
pub(crate) struct RefusedRules(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// Rules that Azure refused a moment ago, by target and rule, until when, and why.
    refused: HashMap<(ArmId, String), (Instant, CallFailure)>,
    /// Rules that a write carried whose operation has not ended.
    sent: HashMap<ArmId, (Instant, Vec<NetworkRule>)>,
    /// Rules that are not sent together any more: groups of keys, the one that is sent first at the end.
    apart: HashMap<ArmId, (Instant, Vec<BTreeSet<String>>)>,
}

impl RefusedRules {
    /// Azure refused a rule.
    pub(crate) fn refuse(&self, target: &ArmId, rule: &NetworkRule, failure: &CallFailure) {
        self.remembered().refuse(target, rule, failure, shortly(failure));
    }

    /// Why Azure refused a rule, if it did and that still counts.
    pub(crate) fn why(&self, target: &ArmId, rule: &NetworkRule) -> Option<CallFailure> {
        let remembered = self.remembered();
        let (until, failure) = remembered.refused.get(&(target.clone(), rule.key()))?;
        (Instant::now() < *until).then(|| failure.clone())
    }

    /// A step has told that it left a rule out: from now on it waits no longer than one that was refused at once.
    pub(crate) fn told(&self, target: &ArmId, rule: &NetworkRule) {
        if let Some((until, failure)) = self.remembered().refused.get_mut(&(target.clone(), rule.key())) {
            *until = (*until).min(Instant::now() + shortly(failure));
        }
    }

    /// A write that carries these rules, and brings them in, has started an operation.
    pub(crate) fn sent(&self, target: &ArmId, rules: &[NetworkRule]) {
        let mut remembered = self.remembered();
        remembered.sent.retain(|_, (at, _)| at.elapsed() < KEPT);
        if remembered.sent.len() < MOST {
            remembered.sent.insert(target.clone(), (Instant::now(), rules.to_vec()));
        }
    }

    /// How an operation on a target stands.
    pub(crate) fn stands(&self, target: &ArmId, state: &OperationState) {
        let failure = match state {
            OperationState::Running { .. } | OperationState::Unreadable { .. } => return,
            OperationState::Succeeded | OperationState::Lost => None,
            OperationState::Failed(failure) => Some(failure),
        };
        let mut remembered = self.remembered();
        let Some((_, rules)) = remembered.sent.remove(target) else {
            return;
        };
        if let Some(failure) = failure.filter(|failure| ended_for_content(failure, target, &rules)) {
            remembered.narrow(target, &rules, failure);
        }
    }

    /// Rules in groups that are sent one after the other, the last one first.
    pub(crate) fn in_groups(&self, target: &ArmId, rules: Vec<NetworkRule>) -> Vec<Vec<NetworkRule>> {
        let remembered = self.remembered();
        let apart = remembered.apart.get(target).filter(|(at, _)| at.elapsed() < KEPT);
        let mut groups = Vec::new();
        let mut rest = rules;
        for keys in apart.into_iter().flat_map(|(_, groups)| groups) {
            let (group, others) = rest.into_iter().partition(|rule| keys.contains(&rule.key()));
            groups.push(group);
            rest = others;
        }
        // Of these nothing bad is known.
        groups.push(rest);
        groups
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortly(failure: &CallFailure) -> Duration {
    if failure.disposition().passes() {
        REFUSED_WHILE_BUSY
    } else {
        REFUSED
    }
}

impl Remembered {
    fn refuse(&mut self, target: &ArmId, rule: &NetworkRule, failure: &CallFailure, how_long: Duration) {
        self.refused.retain(|_, (until, _)| Instant::now() < *until);
        if self.refused.len() < MOST {
            let until = Instant::now() + how_long;
            self.refused
                .insert((target.clone(), rule.key()), (until, failure.clone()));
        }
    }

    /// These rules were refused together.
    fn narrow(&mut self, target: &ArmId, rules: &[NetworkRule], failure: &CallFailure) {
        // Nobody knows its code: it is as final as a refusal with a code that nobody knows.
        let cause = if failure.cause == Cause::Conflict {
            Cause::Refused
        } else {
            failure.cause
        };
        let failure = failure_of(CallFailure {
            cause,
            ..failure.clone()
        });
        let named: BTreeSet<String> = named_in(&failure, target, rules).iter().map(NetworkRule::key).collect();
        let is_named = |rule: &&NetworkRule| named.contains(&rule.key());
        let (bad, others): (Vec<&NetworkRule>, Vec<&NetworkRule>) = rules.iter().partition(is_named);
        let keys = |rules: &[&NetworkRule]| rules.iter().map(|rule| rule.key()).collect::<BTreeSet<String>>();
        let (refused, groups) = if rules.len() <= 1 {
            (rules.iter().collect(), Vec::new())
        } else if !bad.is_empty() && !others.is_empty() {
            (bad, vec![keys(&others)])
        } else {
            let all: Vec<&NetworkRule> = rules.iter().collect();
            let (first, second) = all.split_at(all.len() / 2);
            (Vec::new(), vec![keys(second), keys(first)])
        };
        for rule in refused {
            self.refuse(target, rule, &failure, KEPT);
        }
        self.apart.retain(|_, (at, _)| at.elapsed() < KEPT);
        let (_, before) = self.apart.remove(target).unwrap_or((Instant::now(), Vec::new()));
        let regrouped: BTreeSet<String> = rules.iter().map(NetworkRule::key).collect();
        let mut all: Vec<BTreeSet<String>> = before
            .into_iter()
            .map(|group| group.difference(&regrouped).cloned().collect())
            .collect();
        all.extend(groups);
        all.retain(|group| !group.is_empty());
        if !all.is_empty() && self.apart.len() < MOST {
            self.apart.insert(target.clone(), (Instant::now(), all));
        }
    }
}
