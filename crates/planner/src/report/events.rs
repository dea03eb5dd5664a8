//! Events are transitions: told once, when something became different from what the former status said. Repeats would say nothing.

use sreg_api::conditions::{ConditionType, State};
use sreg_api::status::{FindingStatus, SecureRegistryStatus, WaitStatus};
use sreg_domain::action::{Effect, StepResult};
use sreg_domain::{Action, Outcome};

use super::emergencies::Emergencies;
use super::summary::Summary;
use super::{EventNote, ReportedState, fields};
use crate::conditions::truncate;
use crate::locked;
use crate::plan::{Finding, FindingReason, Plan, WaitReason};
use crate::view::View;

/// The API refuses longer notes.
const LONGEST_NOTE: usize = 1024;

fn event(warning: bool, reason: &str, action: &str, note: impl AsRef<str>) -> EventNote {
    EventNote {
        warning,
        reason: reason.into(),
        action: action.into(),
        note: truncate(note.as_ref(), LONGEST_NOTE),
        alone: true,
    }
}

fn condition(status: &SecureRegistryStatus, kind: ConditionType) -> Option<&str> {
    let name = kind.to_string();
    status
        .conditions
        .iter()
        .find(|c| c.type_ == name)
        .map(|c| c.status.as_str())
}

/// All transitions of one visit.
pub(super) fn transitions(
    view: &View<'_>,
    plan: &Plan,
    outcome: &Outcome,
    status: &SecureRegistryStatus,
    (verdict, emergencies): (&ReportedState, &Emergencies),
) -> Vec<EventNote> {
    let former = &view.seen.object.status;
    let mut events: Vec<EventNote> = state_changed(former, status, verdict).into_iter().collect();
    let (before, after) = (Summary::in_status(former), Summary::in_status(status));
    if fields::locked_now(former, status) {
        events.retain(|e| e.reason != SETTLED);
        let proof = fields::evidence(view, status)
            .map(|digest| format!(", evidence {digest}"))
            .unwrap_or_default();
        let approver = fields::approver(view, plan, status)
            .map(|a| format!(", {a}"))
            .unwrap_or_default();
        let again = match emergencies.locked_after.as_slice() {
            [] => String::new(),
            names => format!(", again after BreakGlass {}", names.join(", ")),
        };
        events.push(event(
            false,
            "Locked",
            "Lock",
            format!(
                "registry, storage and container registry are closed to the public{}{again}{proof}{approver}",
                view.but_for()
            ),
        ));
    }
    if (before == Summary::Locked || view.last().was_locked()) && after.is_open() {
        events.push(event(
            true,
            "OpenedAgain",
            "Watch",
            format!("public access is open again: {after}"),
        ));
    }
    if condition(status, ConditionType::DriftDetected) == Some("True")
        && condition(former, ConditionType::DriftDetected) != Some("True")
    {
        events.push(event(true, "DriftDetected", "Watch", plan.assessment.drift.join("; ")));
    }
    events.extend(
        emergencies
            .ended
            .iter()
            .map(|note| event(false, "BreakGlassEnded", "BreakGlass", note)),
    );
    events.extend(
        emergencies
            .begun
            .iter()
            .map(|note| event(true, "BreakGlassBegan", "BreakGlass", note)),
    );
    let silent = fell_silent(former, status).into_iter();
    let silent: Vec<EventNote> = silent.filter(|s| !events.iter().any(|e| e.note == s.note)).collect();
    events.extend(silent);
    events.extend(openings(view, outcome));
    events.extend(plan.findings.iter().filter(|_| ends(outcome)).filter_map(at_the_end));
    // Only what status now lists, so that what does not fit in there is not told with every visit.
    for (warning, reason, action) in [
        (true, FindingReason::EndpointReleased, "Release"),
        (true, FindingReason::TakenOver, "Claim"),
        (true, FindingReason::RelockNeedsApproval, "BreakGlass"),
        (false, FindingReason::AlsoChanged, "Watch"),
    ] {
        let reason = reason.to_string();
        let new = |f: &&FindingStatus| f.reason == reason && !former.findings.contains(f);
        let found = status.findings.iter().filter(new);
        events.extend(found.map(|f| event(warning, &reason, action, &f.message)));
    }
    events
}

fn at_the_end(finding: &Finding) -> Option<EventNote> {
    let said = matches!(finding.reason, FindingReason::LeftInPlace | FindingReason::LeftOpen);
    said.then(|| event(true, &finding.reason.to_string(), "Delete", &finding.message))
}

/// Agents that stopped reporting: told at once, whether or not anything else changes with it.
fn fell_silent(former: &SecureRegistryStatus, status: &SecureRegistryStatus) -> Vec<EventNote> {
    let reason = WaitReason::AgentSilent.to_string();
    let new = |w: &&WaitStatus| w.reason == reason && !former.waiting_for.iter().any(|f| f == *w);
    let silent = status.waiting_for.iter().filter(new);
    silent.map(|w| event(true, &reason, "Watch", &w.message)).collect()
}

/// The finalizer went: the last chance to say something.
fn ends(outcome: &Outcome) -> bool {
    outcome.steps.iter().any(|s| {
        matches!(&s.action, Action::Cluster(sreg_domain::ClusterAction::RemoveFinalizer))
            && matches!(s.result, StepResult::Effect(Effect::Done { .. }))
    })
}

/// Every write that opened something is told, with what made it so.
fn openings(view: &View<'_>, outcome: &Outcome) -> Vec<EventNote> {
    let lost = locked::pausing(view).map(|rollback| rollback.reason());
    let opened = outcome.steps.iter().filter(|s| {
        s.action.opens() && matches!(s.result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_)))
    });
    opened
        .map(|s| {
            event(
                true,
                "PublicAccessOpened",
                "Open",
                match lost {
                    Some(lost) => format!("{}: {lost}", s.action),
                    None => s.action.to_string(),
                },
            )
        })
        .collect()
}

/// The state became another one.
pub(super) fn state_changed(
    former: &SecureRegistryStatus,
    status: &SecureRegistryStatus,
    verdict: &ReportedState,
) -> Option<EventNote> {
    let reason = |s: &SecureRegistryStatus| {
        s.conditions
            .iter()
            .find(|c| c.type_ == ConditionType::Ready.to_string())
            .map(|c| c.reason.clone())
    };
    let (before, after) = (reason(former), reason(status));
    if before == after {
        return None;
    }
    let kind = kind(verdict.state);
    // That public access was closed is an event of its own.
    let reason = if verdict.state == State::Locked {
        SETTLED.to_owned()
    } else {
        verdict.state.to_string()
    };
    let was = before
        .map(|b| format!(" (was {b})"))
        .filter(|_| verdict.state == State::Locked);
    Some(match kind {
        Kind::Work(says) => EventNote {
            alone: false,
            ..event(false, &reason, "Reconcile", says)
        },
        Kind::News => event(
            false,
            &reason,
            "Reconcile",
            format!("{}{}", verdict.message, was.unwrap_or_default()),
        ),
        Kind::Trouble => event(true, &reason, "Reconcile", &verdict.message),
    })
}

/// Reason of the event that an object is locked and settled, with nothing closed in this visit.
const SETTLED: &str = "Settled";

/// What becoming this state means to people.
enum Kind {
    /// Comes and goes while something is built: told in the same words each time, so that the API server may count it.
    Work(&'static str),
    News,
    /// Somebody is cut off, or has to act.
    Trouble,
}

fn kind(state: State) -> Kind {
    match state {
        State::Progressing => Kind::Work("work is under way; the condition Ready says on what"),
        State::CreatingEndpoints => Kind::Work("private endpoints are being made; the condition Ready says which"),
        State::ConfiguringDns => {
            Kind::Work("zones, records or links are being completed; the condition Ready says which")
        }
        State::Settling => Kind::Work("names have changed: caches may hold former answers for as long as dnsSettle"),
        State::Proving => Kind::Work("every required path is being proven from its own network"),
        State::Locking => Kind::Work("public access is being closed"),
        State::Opening => Kind::Work("public access is being opened"),
        State::Unknown | State::AwaitingWindow | State::Locked | State::Open | State::Observed | State::Deleting => {
            Kind::News
        }
        State::AzureUnreachable
        | State::AwaitingConnectionApproval
        | State::AwaitingApproval
        | State::AwaitingAction
        | State::Stalled
        | State::Degraded
        | State::PathLost
        | State::BreakGlass => Kind::Trouble,
    }
}
