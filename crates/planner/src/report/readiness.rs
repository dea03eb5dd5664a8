//! Whether what is unfinished about a locked registry concerns anybody. `Ready` of a locked registry turns False only if a client is
//! or may be cut off, or if a person must act:
//!
//! | what is unfinished | `Ready` |
//! | --- | --- |
//! | a target is open, a required path fails, an agent reports a loss, an endpoint that carried names is gone, a person must act | False at once |
//! | only what no client depends on: tags, sharing, probes | stays True |
//! | something cannot be read, an agent is silent, a record is put back while all paths pass | stays True for [`PATIENCE`] |

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::conditions::State;
use sreg_api::registry::PublicAccess;

use super::{ReportedState, cut_off};
use crate::conditions::whole_seconds;
use crate::plan::{Actor, PathStanding, Plan, Wait, WaitReason};
use crate::view::View;

/// What lasts no longer is weather: an agent's restart, a second's 429, a record that is written again.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_secs(120);

/// Whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    Nobody,
    NobodyYet,
    Somebody,
}

/// The verdict that people are told, and since when a registry that is called locked is not settled.
pub(super) fn judge(
    view: &View<'_>,
    plan: &Plan,
    verdict: ReportedState,
    now: Timestamp,
) -> (ReportedState, Option<Time>) {
    if verdict.state == State::Locked || !was_called_locked(view) {
        return (verdict, None);
    }
    let since = view.seen.object.status.unsettled_since.clone();
    let since = since.unwrap_or_else(|| whole_seconds(now));
    let holds = match concern(view, plan, verdict.state) {
        Concern::Somebody => false,
        Concern::Nobody => true,
        Concern::NobodyYet => now.duration_since(since.0) < PATIENCE,
    };
    if !holds {
        return (verdict, None);
    }
    let message = format!(
        "closed to the public{}; not settled since {}: {}",
        view.but_for(),
        since.0,
        verdict.message
    );
    let held = ReportedState {
        state: State::Locked,
        message,
    };
    (held, Some(since))
}

/// This very spec was called locked by the last report, and nothing is known to be open.
fn was_called_locked(view: &View<'_>) -> bool {
    let (last, desired) = (view.last(), view.desired);
    last.generation == Some(desired.object.generation)
        && last.state() == Some(State::Locked)
        && last.was_locked()
        && !view.any_open()
        && desired.public_access == PublicAccess::Disabled
        && desired.is_whole()
        && !desired.observe_only
        && !view.seen.object.deleting
}

fn concern(view: &View<'_>, plan: &Plan, state: State) -> Concern {
    let assessment = &plan.assessment;
    let fails = |p: &crate::plan::PathAssessment| matches!(p.standing, PathStanding::Failing(..));
    let fails = assessment.paths.iter().any(fails) || cut_off::reported(view).next().is_some();
    if !is_passing(state) || plan.waits.iter().any(is_for_people) || fails {
        return Concern::Somebody;
    }
    let all_pass = assessment.paths_known
        && !assessment.paths.is_empty()
        && assessment.paths.iter().all(|p| p.standing == PathStanding::Passing);
    let busy = |w: &Wait| matches!(w.reason, WaitReason::OperationInProgress | WaitReason::ResourceBusy);
    let untouched = view.all_closed()
        && assessment.endpoints.iter().all(|e| e.ready == Some(true))
        && assessment.dns_ready == Some(true)
        && all_pass
        && plan.waits.iter().all(busy);
    if untouched { Concern::Nobody } else { Concern::NobodyYet }
}

/// States that end by themselves.
fn is_passing(state: State) -> bool {
    match state {
        State::Unknown
        | State::AzureUnreachable
        | State::Progressing
        | State::CreatingEndpoints
        | State::ConfiguringDns
        | State::Settling
        | State::Proving
        // Where a person must act besides an agent, the wait says so.
        | State::AwaitingAction => true,
        State::Locking
        | State::Opening
        | State::Degraded
        | State::AwaitingConnectionApproval
        | State::AwaitingApproval
        | State::AwaitingWindow
        | State::Locked
        | State::Open
        | State::Observed
        | State::Stalled
        | State::PathLost
        | State::BreakGlass
        | State::Deleting => false,
    }
}

/// What only a person ends.
fn is_for_people(wait: &Wait) -> bool {
    let person = match wait.reason.actor() {
        Actor::User | Actor::Administrator | Actor::Approver | Actor::DnsOwner => true,
        Actor::Time | Actor::Azure | Actor::Agent => false,
    };
    // A policy that is assigned writes within its time; who does not is Stalled.
    let person = person && wait.reason != WaitReason::DnsByPolicyPending;
    wait.reason.is_stalled() || person
}
