//! A write to a firewall must not fail because of content that is not ours. The switch goes first, without the rules that it would
//! bring back; then the rules, all at once. What Azure refuses is narrowed down: rules that its message names, else by halves, else
//! one by one; the rest is written, and the effect names what was left out and why. The order is fixed: nothing is chosen here.
//!
//! | Azure's answer to a write with rules | then |
//! | --- | --- |
//! | done | the next group of rules |
//! | started (a container registry) | the rest comes with the next visit |
//! | refused, and it names some of the group's rules | those are left out, the others tried |
//! | refused, and it names none | each half; a single one is left out |
//! | busy, throttled, no answer, or refused whatever the rules are | the step ends with that |
//! | no time left | the rest comes with the next visit, which does not try again what was refused a moment ago |
//! | refused for rules that stand there, and it names none | without any of them, then as many as it accepts; those that are not back are named |

use std::time::Duration;

use azure_core::http::Method;
use serde_json::Value;
use sreg_domain::action::{Edit, Effect, LeftOut};
use sreg_domain::network_rules::NetworkRule;
use sreg_domain::{ArmId, CallFailure, Cause, Digest, RuleKind, TargetKind};
use tokio::time::Instant;

use super::settings::verb;
use super::{Carried, Refusal, Work, stale};
use crate::also_changed;
use crate::arm::Leaving;
use crate::edit::{self, Edited};
use crate::json;

/// A write that narrows down begins only with so much time left for its answer.
const TIME_FOR_A_WRITE: Duration = Duration::from_secs(2);

/// Codes that refuse a write whatever rules it carries (azure.md §6.3), unless the message names one of them: a subnet in a subscription
/// that is gone, or that may not be joined.
const ABOUT_THE_WHOLE: [&str; 8] = [
    "AuthorizationFailed",
    "DenyAssignmentAuthorizationFailed",
    "ScopeLocked",
    "RequestDisallowedByAzure",
    "ReadOnlyDisabledSubscription",
    "SubscriptionNotFound",
    "ResourceGroupNotFound",
    "DisablingPublicNetworkAccessNotSupported",
];

/// One step that changes a firewall.
struct Firewall<'a> {
    work: &'a Work<'a>,
    id: &'a ArmId,
    kind: TargetKind,
    attempt: String,
    /// The whole edit, from how the target read when the step began.
    whole: Edited,
    /// As last read.
    current: Value,
    /// The budget of the next write is taken, and `current` was read after that.
    fresh: bool,
    left_out: Vec<LeftOut>,
    also_changed: Vec<String>,
}

/// What came of a part of the step.
enum Written {
    /// Done and read back, as far as there was time.
    Done,
    /// The step ends here: started, or stale.
    Ends(Effect),
}

/// Changes the firewall of a storage account or a container registry.
pub(super) async fn edit(work: &Work<'_>, kind: TargetKind, id: &ArmId, change: &Edit, expected: &Digest) -> Carried {
    let attempt = format!("{} {id}", verb(change));
    work.reserve_write(id, &attempt).await?;
    let Some(current) = work.find(id).await? else {
        return stale(format!("{id} does not exist any more"));
    };
    if json::digest(&current) != *expected {
        return stale(format!("{id} was changed since it was planned for"));
    }
    let whole = edit::apply_edit(kind, &current, change).map_err(|error| Refusal::Ours {
        attempt: attempt.clone(),
        message: error.to_string(),
    })?;
    let there = edit::rules(kind, &current);
    let mut to_bring_back = edit::rules(kind, &whole.body);
    to_bring_back.retain(|rule| !holds(&there, rule));
    let mut firewall = Firewall {
        work,
        id,
        kind,
        attempt,
        whole,
        current,
        fresh: true,
        left_out: Vec::new(),
        also_changed: Vec::new(),
    };
    // Our rule for a workspace's account is the whole of that edit, and no rule of its owner's goes for it.
    if matches!(change, Edit::AllowResource { .. }) {
        let written = firewall.write(&[]).await?;
        return Ok(firewall.ends(written));
    }
    match firewall.switch(&to_bring_back).await? {
        Written::Done => {
            let written = firewall.put_back(to_bring_back).await?;
            Ok(firewall.ends(written))
        }
        Written::Ends(effect) => Ok(effect),
    }
}

impl Firewall<'_> {
    fn ends(self, written: Written) -> Effect {
        match written {
            Written::Ends(effect) => effect,
            Written::Done => {
                let changes = &self.work.inner.also_changed;
                changes.found(self.id, self.work.step, self.also_changed.clone());
                Effect::Done {
                    also_changed: self.also_changed,
                    left_out: self.left_out,
                }
            }
        }
    }

    /// Everything but the rules that it would bring back. Rules that are there have to be sent along where a rule set is sent,
    /// because Azure may replace it as a whole (U16): those that it does not accept any more are left out.
    async fn switch(&mut self, later: &[NetworkRule]) -> Result<Written, Refusal> {
        let carried = edit::rules(self.kind, &self.without(later).body);
        let mut refusal = match self.write(later).await {
            Err(Refusal::Call(error)) if !carried.is_empty() && self.is_about_content(&error, &carried) => error,
            other => return other,
        };
        let mut out = later.to_vec();
        while self.has_time() {
            let mut named = named_in(&refusal, self.id, &carried);
            named.retain(|rule| !holds(&out, rule));
            if named.is_empty() {
                break;
            }
            out.extend(named.iter().cloned());
            let last = refusal.clone();
            match self.write(&out).await {
                Err(Refusal::Call(error)) if self.is_about_content(&error, &carried) => refusal = error,
                Ok(written) => {
                    self.leave_out(named, &last);
                    return Ok(written);
                }
                other => return other,
            }
            self.leave_out(named, &last);
        }
        let rest: Vec<NetworkRule> = carried.into_iter().filter(|rule| !holds(&out, rule)).collect();
        if rest.is_empty() || !self.has_time() {
            return Err(Refusal::Call(refusal));
        }
        // It names none of the rest: without any of them, then as many as Azure accepts.
        out.extend(rest.iter().cloned());
        match self.write(&out).await {
            Ok(Written::Done) => self.bring_back(rest, later, *refusal).await,
            Ok(ends) => Ok(ends),
            Err(_) => Err(Refusal::Call(refusal)),
        }
    }

    /// Brings back rules that had to go so that the switch could. The switch is done, whatever comes of that: a rule that is not back
    /// when the step has to end is named, with what Azure said last, because no other rule of the account tells that it was there.
    async fn bring_back(
        &mut self,
        rules: Vec<NetworkRule>,
        later: &[NetworkRule],
        refusal: CallFailure,
    ) -> Result<Written, Refusal> {
        let why = match self.add(rules.clone(), later).await {
            Ok(Written::Done) => refusal,
            Err(Refusal::Call(error)) => *error,
            other => return other,
        };
        let there = edit::rules(self.kind, &self.current);
        for rule in rules {
            if !holds(&there, &rule) && !self.left_out.iter().any(|left| left.rule.key() == rule.key()) {
                // Nobody has tried it alone: it is not remembered as refused.
                let failure = failure_of(why.clone());
                self.left_out.push(LeftOut { rule, failure });
            }
        }
        Ok(Written::Done)
    }

    /// The rules that closing took away, as far as Azure accepts them.
    async fn put_back(&mut self, rules: Vec<NetworkRule>) -> Result<Written, Refusal> {
        let mut untried = Vec::new();
        for rule in rules {
            match self.work.inner.refused_rule(self.id, &rule) {
                Some(failure) => self.left_out.push(LeftOut { rule, failure }),
                None => untried.push(rule),
            }
        }
        self.add(untried, &[]).await
    }

    /// Adds rules group by group; `later` stay out.
    async fn add(&mut self, rules: Vec<NetworkRule>, later: &[NetworkRule]) -> Result<Written, Refusal> {
        let mut groups = vec![rules];
        while let Some(group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            if !self.has_time() {
                return Ok(Written::Done);
            }
            let mut out = later.to_vec();
            out.extend(groups.iter().flatten().cloned());
            out.extend(self.left_out.iter().map(|left| left.rule.clone()));
            let error = match self.write(&out).await {
                Ok(Written::Done) => continue,
                Err(Refusal::Call(error)) if self.is_about_content(&error, &group) => error,
                other => return other,
            };
            let named = named_in(&error, self.id, &group);
            let others: Vec<NetworkRule> = group.iter().filter(|rule| !holds(&named, rule)).cloned().collect();
            if group.len() == 1 {
                self.leave_out(group, &error);
            } else if !named.is_empty() && !others.is_empty() {
                self.leave_out(named, &error);
                groups.push(others);
            } else {
                let (first, second) = group.split_at(group.len() / 2);
                groups.push(second.to_vec());
                groups.push(first.to_vec());
            }
        }
        Ok(Written::Done)
    }

    fn without(&self, rules: &[NetworkRule]) -> Edited {
        self.whole.without(self.kind, rules).minimal(&self.current)
    }

    /// The edit without these rules, on what was read just before, and read again after.
    async fn write(&mut self, out: &[NetworkRule]) -> Result<Written, Refusal> {
        let edited = self.without(out);
        if edited.is_empty() {
            return Ok(Written::Done);
        }
        if !self.fresh {
            let work = self.work;
            work.reserve_write(self.id, &self.attempt).await?;
            let now = work.find(self.id).await?;
            if now.is_none_or(|now| json::digest(&now) != json::digest(&self.current)) {
                return Ok(Written::Ends(Effect::Stale(format!(
                    "{} was changed meanwhile",
                    self.id
                ))));
            }
        }
        self.fresh = false;
        let attempt = self.attempt.clone();
        let answer = self
            .work
            .write_at_once(Method::Patch, self.id, edited.body, attempt)
            .await?;
        match self.work.effect(self.id, &answer) {
            Effect::Done { .. } => {}
            started @ Effect::Started(_) => {
                let changes = &self.work.inner.also_changed;
                changes.started(self.id, self.work.step, &self.current, &self.whole.named);
                return Ok(Written::Ends(started));
            }
            stale @ Effect::Stale(_) => return Ok(Written::Ends(stale)),
        }
        let after = read_again(self.work, self.id).await?;
        let mut also = also_changed::fields(&self.current, &after, &self.whole.named);
        also.retain(|field| !self.also_changed.contains(field));
        self.also_changed.append(&mut also);
        self.current = after;
        Ok(Written::Done)
    }

    /// Whether a write was refused for what it carries. What refuses a write whatever it carries, and another operation that is in the
    /// way, do so only where they name a rule.
    fn is_about_content(&self, error: &CallFailure, carried: &[NetworkRule]) -> bool {
        let code = error.code.as_deref().unwrap_or_default();
        let whole = ABOUT_THE_WHOLE.iter().any(|known| known.eq_ignore_ascii_case(code));
        let names_one = || !named_in(error, self.id, carried).is_empty();
        match error.cause {
            Cause::Refused | Cause::Forbidden => !whole || names_one(),
            Cause::Missing | Cause::Busy | Cause::Conflict => names_one(),
            Cause::SignIn
            | Cause::Throttled
            | Cause::Unreachable
            | Cause::Nonsense
            | Cause::Precondition
            | Cause::TooLong => false,
        }
    }

    fn has_time(&self) -> bool {
        self.work.deadline.saturating_duration_since(Instant::now()) > TIME_FOR_A_WRITE
    }

    fn leave_out(&mut self, rules: Vec<NetworkRule>, error: &CallFailure) {
        for rule in rules {
            let failure = failure_of(error.clone());
            self.work.inner.remember_refused_rule(self.id, &rule, &failure);
            self.left_out.push(LeftOut { rule, failure });
        }
    }
}

fn holds(rules: &[NetworkRule], rule: &NetworkRule) -> bool {
    rules.iter().any(|other| other.key() == rule.key())
}

/// Why a rule was left out. What is being changed is accepted later; what is gone is not.
fn failure_of(error: CallFailure) -> CallFailure {
    const PASSES: [&str; 5] = ["updating", "not provisioned", "in progress", "try again", "retry"];
    let text = error.message.to_ascii_lowercase();
    let passes = PASSES.iter().any(|word| text.contains(word));
    let cause = if passes {
        Cause::Conflict
    } else if error.cause == Cause::Missing {
        Cause::Refused
    } else {
        error.cause
    };
    CallFailure { cause, ..error }.into_failure()
}

/// Rules that a refusal names: by their id or address, as the providers do by network and subnet apart or by group and network, or by the
/// subscription or group that is gone, where that is not the target's own.
fn named_in(error: &CallFailure, target: &ArmId, rules: &[NetworkRule]) -> Vec<NetworkRule> {
    let text = error.message.to_ascii_lowercase();
    let is_code = |code: &str| error.code.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(code));
    let named = |rule: &&NetworkRule| {
        let value = rule.value.to_ascii_lowercase();
        let value = value.trim_end_matches('/');
        if says(&text, value) {
            return true;
        }
        let (RuleKind::Subnet, Ok(subnet)) = (rule.kind, value.parse::<ArmId>()) else {
            return false;
        };
        let Some(network) = subnet.parent() else { return false };
        let group = subnet.resource_group().unwrap_or_default();
        if is_code("SubscriptionNotFound") {
            return subnet.subscription() != target.subscription() && says(&text, subnet.subscription());
        }
        if is_code("ResourceGroupNotFound") {
            return subnet.resource_group_id() != target.resource_group_id() && says(&text, group);
        }
        // A subnet may be called like its network: the network's own id does not name it.
        let apart = says(&text, network.key()) && says(&text.replace(network.key(), " "), subnet.name());
        let below = format!("virtualnetworks/{}", network.name());
        apart || (error.cause == Cause::Missing && says(&text, &below) && says(&text, group))
    };
    rules.iter().filter(named).cloned().collect()
}

/// Whether a text has these words, not only as a part of longer ones.
fn says(text: &str, words: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ':';
    !words.is_empty()
        && text.match_indices(words).any(|(at, _)| {
            let before = text.get(..at).and_then(|t| t.chars().next_back());
            let mut after = text.get(at.saturating_add(words.len())..).unwrap_or_default().chars();
            let next = after.next();
            // A full stop ends a sentence, or goes on in an address or a name.
            let goes_on = next.is_some_and(part) && next != Some(':')
                || (next == Some('.') && after.next().is_some_and(char::is_alphanumeric));
            !before.is_some_and(|c| part(c) && c != ':' || c == '.') && !goes_on
        })
}

async fn read_again(work: &Work<'_>, id: &ArmId) -> Result<Value, Refusal> {
    work.read(id).await.map_err(|mut error| {
        error.may_have_taken_effect = true;
        error.attempt = format!("read {id} again after it was changed");
        error.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: RuleKind, value: &str) -> NetworkRule {
        NetworkRule {
            kind,
            value: value.to_owned(),
            tenant: None,
        }
    }

    const ACCOUNT: &str = "/subscriptions/s/resourceGroups/mine/providers/Microsoft.Storage/storageAccounts/store";

    fn named_by(code: &str, cause: Cause, message: &str, rules: &[NetworkRule]) -> Vec<usize> {
        let error = CallFailure {
            code: Some(code.to_owned()),
            ..CallFailure::local("write", cause, message)
        };
        let named = named_in(&error, &ACCOUNT.parse().unwrap(), rules);
        (0..rules.len()).filter(|at| holds(&named, &rules[*at])).collect()
    }

    #[test]
    fn innocent_rules_are_not_taken_for_the_one_that_is_named() {
        let network = |group: &str, name: &str| {
            format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}")
        };
        let rules = [
            rule(RuleKind::Subnet, &format!("{}/subnets/hub", network("g", "hub"))),
            rule(RuleKind::Subnet, &format!("{}/subnets/build", network("g", "hub"))),
            rule(RuleKind::Subnet, &format!("{}/subnets/build.prod", network("g", "hub"))),
        ];
        let hub = network("g", "hub");
        for (message, expected) in [
            (format!("subnet {hub}/subnets/build was not found."), vec![1]),
            (
                format!("Subnets build of virtual network {hub} do not have ServiceEndpoints"),
                vec![1],
            ),
            (
                format!("Subnets hub of virtual network {hub} do not have ServiceEndpoints"),
                vec![0],
            ),
            (format!("join on {hub}/subnets/build.prod. Ask its owner."), vec![2]),
        ] {
            assert_eq!(
                named_by("Refused", Cause::Refused, &message, &rules),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn what_stands_in_a_network_a_group_or_a_subscription_that_is_gone_is_named_by_it() {
        let subnet = |subscription: &str, group: &str, network: &str| {
            let id = format!(
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/a"
            );
            rule(RuleKind::Subnet, &id)
        };
        let rules = [
            subnet("s", "g", "hub"),
            subnet("s", "h", "hub"),
            subnet("t", "g", "spoke"),
            subnet("s", "mine", "own"),
        ];
        for (code, cause, message, expected) in [
            (
                "SubscriptionNotFound",
                Cause::Missing,
                "The subscription 't' could not be found.",
                vec![2],
            ),
            (
                "SubscriptionNotFound",
                Cause::Missing,
                "The subscription 's' could not be found.",
                vec![],
            ),
            (
                "ResourceGroupNotFound",
                Cause::Missing,
                "Resource group 'h' could not be found.",
                vec![1],
            ),
            (
                "ResourceGroupNotFound",
                Cause::Missing,
                "Resource group 'mine' could not be found.",
                vec![],
            ),
            (
                "ResourceNotFound",
                Cause::Missing,
                "The Resource 'Microsoft.Network/virtualNetworks/hub' under resource group 'h' was not found.",
                vec![1],
            ),
        ] {
            assert_eq!(named_by(code, cause, message, &rules), expected, "{message}");
        }
    }

    #[test]
    fn rules_are_recognised_in_azures_messages() {
        let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub";
        let rules = [
            rule(RuleKind::Subnet, &format!("{network}/subnets/build")),
            rule(RuleKind::Subnet, &format!("{network}/subnets/build-2")),
            rule(RuleKind::Ip, "203.0.113.1"),
            rule(RuleKind::Ip, "203.0.113.10"),
            rule(RuleKind::Ipv6, "2001:db8::/48"),
        ];
        let named = |message: &str| named_by("Refused", Cause::Refused, message, &rules);
        let missing = format!(
            "SubnetsHaveNoServiceEndpointsConfigured:Subnets build of virtual network {} do not have ServiceEndpoints",
            network.to_uppercase()
        );
        assert_eq!(named(&missing), [0]);
        let linked = format!("not permitted to perform action join on '{network}/subnets/build-2'.");
        assert_eq!(named(&linked), [1]);
        assert_eq!(named("the address 203.0.113.10 is not allowed."), [3]);
        assert_eq!(named("the address 203.0.113.1."), [2]);
        assert_eq!(named("2001:db8::/48 is reserved"), [4]);
        assert!(named("Values for request parameters are invalid.").is_empty());
    }
}
