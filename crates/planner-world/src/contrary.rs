//! Worlds in which a write does not do what it should: hooks for whoever plays them.

use std::time::Duration;

use sreg_domain::action::StepResult;
use sreg_domain::seen::{OperationSeen, OperationState};
use sreg_domain::{AzureAction, CallFailure, Cause, Disposition, Effect, Fact, Operation};
use sreg_planner::Step;

use super::World;

/// How the names of steps begin; the empty one is every write.
pub const STEPS: [&str; 11] = [
    "",
    "create-endpoint",
    "delete-endpoint",
    "create-zone",
    "put-zone-group",
    "link-zone",
    "set-tags",
    "allow-registry",
    "close",
    "break-glass",
    "open",
];

/// What becomes of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Contrary {
    /// Azure says 200, and nothing changes: a policy with Modify.
    Ignored,
    /// It takes effect, and somebody puts everything back before the next visit.
    PutBack,
    /// It fails at once with this code and status.
    Fails(&'static str, u16, Disposition),
    /// No answer comes, and nothing changes.
    Unanswered,
    /// It is accepted, and its operation ends with this code; an endpoint stays behind, failed.
    EndsBadly(&'static str),
}

/// A few of each kind, for whoever wants to try them all.
pub fn all() -> Vec<Contrary> {
    vec![
        Contrary::Ignored,
        Contrary::PutBack,
        Contrary::Fails("NobodyKnowsThisOne", 409, Disposition::Retry),
        Contrary::Fails("RequestDisallowedByPolicy", 403, Disposition::Terminal),
        Contrary::Fails("AuthorizationFailed", 403, Disposition::Forbidden),
        Contrary::Fails("TooManyRequests", 429, Disposition::Wait(Duration::from_secs(7))),
        Contrary::Unanswered,
        Contrary::EndsBadly("NobodyKnowsThisOneEither"),
        Contrary::EndsBadly("RetryableError"),
    ]
}

/// What goes wrong where this is to be done about it.
pub fn cause_of(disposition: Disposition) -> (Cause, Option<Duration>) {
    match disposition {
        Disposition::Retry => (Cause::Conflict, None),
        Disposition::Wait(asked) => (Cause::Busy, Some(asked)),
        Disposition::Forbidden => (Cause::Forbidden, None),
        Disposition::Terminal => (Cause::Refused, None),
    }
}

fn failure(step: &Step, code: Option<&str>, status: Option<u16>, disposition: Disposition) -> CallFailure {
    let (cause, retry_after) = cause_of(disposition);
    CallFailure {
        code: code.map(str::to_owned),
        status,
        correlation_id: Some("c-1".into()),
        retry_after,
        ..CallFailure::local(step.action.to_string(), cause, "it was not to be")
    }
}

impl World {
    /// Thwarts every step whose name begins so.
    pub fn thwarted(&mut self, step: &str, contrary: Contrary) {
        self.contrary.push((step.to_owned(), contrary));
    }

    pub(super) fn contrary_to(&self, step: &str) -> Option<Contrary> {
        let found = self.contrary.iter().find(|(prefix, _)| step.starts_with(prefix));
        found.map(|(_, contrary)| contrary.clone())
    }

    pub(super) fn thwart(&mut self, step: &Step, action: &AzureAction, contrary: Contrary) -> StepResult {
        match contrary {
            Contrary::Ignored => StepResult::Effect(Effect::done()),
            Contrary::PutBack => {
                self.undo.get_or_insert_with(|| Box::new(self.seen.azure.clone()));
                self.azure(step, action)
            }
            Contrary::Fails(code, status, disposition) => {
                StepResult::Failed(failure(step, Some(code), Some(status), disposition))
            }
            Contrary::Unanswered => StepResult::Failed(failure(step, None, None, Disposition::Retry)),
            Contrary::EndsBadly(code) => self.end_badly(step, action, code),
        }
    }

    fn end_badly(&mut self, step: &Step, action: &AzureAction, code: &str) -> StepResult {
        let before = self.seen.azure.clone();
        if let AzureAction::CreateEndpoint { id, .. } = action {
            self.azure(step, action);
            if let Some(Fact::Seen(endpoint)) = self.seen.azure.endpoints.get_mut(id) {
                endpoint.provisioning_state = "Failed".into();
                endpoint.connection_status = None;
                endpoint.members = Fact::Absent;
            }
        } else {
            self.seen.azure = before;
        }
        let operation = Operation {
            step: step.id.clone(),
            resource: action.resource().clone(),
            poll_url: "https://arm.test/operation".into(),
            started_at: self.now,
        };
        let disposition = match code {
            "RetryableError" => Disposition::Wait(Duration::from_secs(15)),
            "SubnetIsFull" => Disposition::Terminal,
            _ => Disposition::Retry,
        };
        self.seen.azure.operations.push(OperationSeen {
            operation: operation.clone(),
            state: OperationState::Failed(failure(step, Some(code), None, disposition)),
        });
        StepResult::Effect(Effect::Started(operation))
    }

    /// Writes do again what they should, rules are taken, locks are gone.
    pub fn unthwart(&mut self) {
        self.contrary.clear();
        self.refuses.clear();
        self.locks.clear();
        self.denials.clear();
    }

    /// What somebody puts back.
    pub(super) fn put_back(&mut self) {
        if let Some(former) = self.undo.take() {
            self.seen.azure = *former;
        }
    }

    /// Operations whose end was seen are seen no more: status keeps only those under way.
    pub(super) fn forget_ended(&mut self, seen: &[OperationSeen]) {
        let is_told = |o: &OperationSeen| seen.contains(o) && matches!(o.state, OperationState::Failed(_));
        self.seen.azure.operations.retain(|o| !is_told(o));
    }

    /// The most writes to one resource within an hour.
    pub fn most_writes_in_an_hour(&self) -> usize {
        let within = |at: jiff::Timestamp, id: &sreg_domain::ArmId| {
            let hour = self.writes.iter().filter(|(t, other)| {
                other == id && *t >= at && t.duration_since(at) < jiff::SignedDuration::from_hours(1)
            });
            hour.count()
        };
        self.writes
            .iter()
            .map(|(at, id)| within(*at, id))
            .max()
            .unwrap_or_default()
    }
}
