//! A write to a firewall must not fail because of content that is not ours. The switch goes first, without the rules that it would
//! bring back; then the rules, all at once. What Azure refuses is narrowed down: rules that its message names, else by halves, else
//! one by one; the rest is written, and the effect names what was left out and why. The order is fixed: nothing is chosen here.
//!
//! | Azure's answer to a write with rules | then |
//! | --- | --- |
//! | done | the next group of rules |
//! | started (a container registry) | the rest comes with the next visit; how the operation ends tells how (`refused_rules.rs`), also of rules that stood there and went with the switch |
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
use sreg_domain::target::row;
use sreg_domain::{ArmId, CallFailure, Digest, TargetKind};
use tokio::time::Instant;

use super::settings::verb;
use super::{Carried, Refusal, Work, stale};
use crate::also_changed;
use crate::edit::{self, Edited};
use crate::json;
use crate::refused_rules::{failure_of, is_about_content, named_in};

/// A write that narrows down begins only with so much time left for its answer.
const TIME_FOR_A_WRITE: Duration = Duration::from_secs(2);

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
    let refused_rules = &work.inner.refused_rules;
    let mut to_bring_back = edit::rules(kind, &whole.body);
    // What stands there goes with the switch, unless the switch did not come on with it.
    let turns = change.opens() && turns_switch(kind, &whole.body, &current);
    let is_suspect = |rule: &NetworkRule| turns && refused_rules.is_suspect(id, rule);
    to_bring_back.retain(|rule| !holds(&there, rule) || is_suspect(rule));
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
                for left in &self.left_out {
                    self.work.inner.refused_rules.told(self.id, &left.rule);
                }
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
            Ok(Written::Ends(started @ Effect::Started(_))) => {
                self.work.inner.refused_rules.sent(self.id, &carried);
                return Ok(Written::Ends(started));
            }
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
            match self.work.inner.refused_rules.why(self.id, &rule) {
                Some(failure) => self.left_out.push(LeftOut { rule, failure }),
                None => untried.push(rule),
            }
        }
        self.add(untried, &[]).await
    }

    /// Adds rules group by group, those of an operation that ended badly apart; `later` stay out.
    async fn add(&mut self, rules: Vec<NetworkRule>, later: &[NetworkRule]) -> Result<Written, Refusal> {
        let refused = &self.work.inner.refused_rules;
        let mut groups = refused.in_groups(self.id, rules);
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
                Ok(Written::Ends(started @ Effect::Started(_))) => {
                    refused.sent(self.id, &group);
                    return Ok(Written::Ends(started));
                }
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
                // How it ends tells nothing of rules that another one carried.
                self.work.inner.refused_rules.superseded(self.id);
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

    fn is_about_content(&self, error: &CallFailure, carried: &[NetworkRule]) -> bool {
        is_about_content(error, self.id, carried)
    }

    fn has_time(&self) -> bool {
        self.work.deadline.saturating_duration_since(Instant::now()) > TIME_FOR_A_WRITE
    }

    fn leave_out(&mut self, rules: Vec<NetworkRule>, error: &CallFailure) {
        for rule in rules {
            let failure = failure_of(error.clone());
            self.work.inner.refused_rules.refuse(self.id, &rule, &failure);
            self.left_out.push(LeftOut { rule, failure });
        }
    }
}

/// Whether a body says anything else of whom no rule names than what is there.
fn turns_switch(kind: TargetKind, body: &Value, current: &Value) -> bool {
    let set = row(kind).rule_set.unwrap_or_default();
    let pointers = [
        "/properties/publicNetworkAccess".to_owned(),
        format!("/properties/{set}/defaultAction"),
    ];
    let differs = |pointer: &String| {
        body.pointer(pointer)
            .is_some_and(|word| current.pointer(pointer) != Some(word))
    };
    pointers.iter().any(differs)
}

fn holds(rules: &[NetworkRule], rule: &NetworkRule) -> bool {
    rules.iter().any(|other| other.key() == rule.key())
}

async fn read_again(work: &Work<'_>, id: &ArmId) -> Result<Value, Refusal> {
    work.read(id).await.map_err(|mut error| {
        error.may_have_taken_effect = true;
        error.attempt = format!("read {id} again after it was changed");
        error.into()
    })
}
