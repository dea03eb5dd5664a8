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
/// How many targets are remembered. When there are more, the oldest goes.
const MOST_TARGETS: usize = 4096;
/// How many rules of one target. When there are more, the one goes that would be forgotten first.
const MOST_RULES: usize = 1024;

/// What is remembered of rules, by target.
#[derive(Debug, Default)]
pub(crate) struct RefusedRules(Mutex<Remembered>);

/// Until when a rule counts as refused, and why, by its key.
type Refused = HashMap<String, (Instant, CallFailure)>;

#[derive(Debug, Default)]
struct Remembered {
    /// Rules that Azure refused a moment ago, by target (and when the last one was) and rule, until when, and why.
    refused: HashMap<ArmId, (Instant, Refused)>,
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
        self.remembered().why(target, rule).cloned()
    }

    /// Whether a rule was refused, or was among those of an operation that ended badly.
    pub(crate) fn is_suspect(&self, target: &ArmId, rule: &NetworkRule) -> bool {
        let remembered = self.remembered();
        let apart = || remembered.apart(target).any(|keys| keys.contains(&rule.key()));
        remembered.why(target, rule).is_some() || apart()
    }

    /// A step has told that it left a rule out: from now on it waits no longer than one that was refused at once.
    pub(crate) fn told(&self, target: &ArmId, rule: &NetworkRule) {
        let mut remembered = self.remembered();
        let refused = remembered.refused.get_mut(target);
        if let Some((until, failure)) = refused.and_then(|(_, rules)| rules.get_mut(&rule.key())) {
            *until = (*until).min(Instant::now() + shortly(failure));
        }
    }

    /// A write that carries these rules, and brings them in, has started an operation.
    pub(crate) fn sent(&self, target: &ArmId, rules: &[NetworkRule]) {
        if rules.is_empty() {
            return;
        }
        let mut remembered = self.remembered();
        remembered.sent.retain(|_, (at, _)| at.elapsed() < KEPT);
        make_room(&mut remembered.sent, target);
        remembered.sent.insert(target.clone(), (Instant::now(), rules.to_vec()));
    }

    /// A write to a target has started another operation: how that one ends tells nothing of the rules that were sent before.
    pub(crate) fn superseded(&self, target: &ArmId) {
        self.remembered().sent.remove(target);
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
        let mut groups = Vec::new();
        let mut rest = rules;
        for keys in remembered.apart(target) {
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
    fn why(&self, target: &ArmId, rule: &NetworkRule) -> Option<&CallFailure> {
        let (until, failure) = self.refused.get(target)?.1.get(&rule.key())?;
        (Instant::now() < *until).then_some(failure)
    }

    /// Groups of rules that are not sent together any more.
    fn apart(&self, target: &ArmId) -> impl Iterator<Item = &BTreeSet<String>> {
        let apart = self.apart.get(target).filter(|(at, _)| at.elapsed() < KEPT);
        apart.into_iter().flat_map(|(_, groups)| groups)
    }

    fn refuse(&mut self, target: &ArmId, rule: &NetworkRule, failure: &CallFailure, how_long: Duration) {
        let now = Instant::now();
        for (_, rules) in self.refused.values_mut() {
            rules.retain(|_, (until, _)| now < *until);
        }
        self.refused.retain(|_, (_, rules)| !rules.is_empty());
        make_room(&mut self.refused, target);
        let (last, rules) = self.refused.entry(target.clone()).or_insert((now, HashMap::new()));
        *last = now;
        if rules.len() >= MOST_RULES && !rules.contains_key(&rule.key()) {
            let first = rules.iter().min_by_key(|(_, (until, _))| *until);
            let first = first.map(|(key, _)| key.clone()).unwrap_or_default();
            rules.remove(&first);
        }
        rules.insert(rule.key(), (now + how_long, failure.clone()));
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
        if !all.is_empty() {
            make_room(&mut self.apart, target);
            self.apart.insert(target.clone(), (Instant::now(), all));
        }
    }
}

/// Lets the oldest go where a target is one too many.
fn make_room<V>(by_target: &mut HashMap<ArmId, (Instant, V)>, target: &ArmId) {
    if by_target.len() < MOST_TARGETS || by_target.contains_key(target) {
        return;
    }
    let oldest = by_target.iter().min_by_key(|(_, (at, _))| *at);
    if let Some(oldest) = oldest.map(|(target, _)| target.clone()) {
        by_target.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> ArmId {
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/{name}")
            .parse()
            .unwrap()
    }

    fn rule(address: String) -> NetworkRule {
        NetworkRule {
            kind: sreg_domain::RuleKind::Ip,
            value: address,
            tenant: None,
        }
    }

    fn refusal() -> CallFailure {
        CallFailure::local("write", Cause::Refused, "The request is not acceptable.")
    }

    #[tokio::test(start_paused = true)]
    async fn rules_of_one_account_leave_room_for_those_of_others_and_for_newer_ones_of_its_own() {
        let refused = RefusedRules::default();
        let (theirs, ours) = (account("theirs"), account("ours"));
        let all: Vec<NetworkRule> = (0..5000_u32)
            .map(|at| rule(std::net::Ipv4Addr::from(0x0a00_0000 + at).to_string()))
            .collect();
        for rule in &all {
            refused.refuse(&theirs, rule, &refusal());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let [first, .., last] = &all[..] else { panic!() };
        assert!(refused.why(&theirs, last).is_some(), "the newest is remembered");
        assert!(refused.why(&theirs, first).is_none(), "the oldest is not");
        refused.refuse(&ours, first, &refusal());
        assert!(refused.why(&ours, first).is_some());
    }

    #[test]
    fn an_operation_that_carried_no_rule_refuses_none_that_another_one_carried() {
        let refused = RefusedRules::default();
        let (target, sent) = (account("ours"), rule("203.0.113.4".to_owned()));
        for superseded in [false, true] {
            refused.sent(&target, std::slice::from_ref(&sent));
            if superseded {
                refused.superseded(&target);
            }
            refused.stands(&target, &OperationState::Failed(refusal()));
            assert_eq!(refused.why(&target, &sent).is_some(), !superseded);
            *refused.remembered() = Remembered::default();
        }
    }
}
