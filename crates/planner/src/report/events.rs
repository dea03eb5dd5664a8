//! Events are transitions: told once, when something became different from what the former status said. Repeats would say nothing.

use sreg_api::conditions::{ConditionType, State};
use sreg_api::status::{FindingStatus, SecureRegistryStatus};
use sreg_domain::action::{Effect, StepResult};
use sreg_domain::{Action, Outcome};

use super::emergencies::Emergencies;
use super::{EventNote, Verdict, fields};
use crate::conditions::{Truth, trio, truncate};
use crate::facts::{View, was_locked};
use crate::locked;
use crate::plan::{Finding, FindingReason, Plan};

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

fn summary(status: &SecureRegistryStatus) -> &str {
    status
        .public_access
        .as_ref()
        .map(|p| p.summary.as_str())
        .unwrap_or("Unknown")
}

/// All transitions of one visit.
pub(super) fn transitions(
    view: &View<'_>,
    plan: &Plan,
    outcome: &Outcome,
    status: &SecureRegistryStatus,
    (verdict, emergencies): (&Verdict, &Emergencies),
) -> Vec<EventNote> {
    let former = &view.seen.object.status;
    let mut events: Vec<EventNote> = state_changed(former, status, verdict).into_iter().collect();
    let (before, after) = (summary(former), summary(status));
    // By what status remembers, not by what it last said: in between something may not have been readable.
    let remediated = |s: &SecureRegistryStatus| {
        s.exposure
            .as_ref()
            .is_some_and(|e| e.time_to_remediate_seconds.is_some())
    };
    if after == "Locked" && remediated(status) && !remediated(former) {
        let proof = fields::evidence(view, status)
            .map(|digest| format!(", evidence {digest}"))
            .unwrap_or_default();
        let again = match emergencies.locked_after.as_slice() {
            [] => String::new(),
            names => format!(", again after BreakGlass {}", names.join(", ")),
        };
        events.push(event(
            false,
            "Locked",
            "Lock",
            format!("registry, storage and container registry are closed to the public{again}{proof}"),
        ));
    }
    if (before == "Locked" || was_locked(former)) && after.starts_with("Open") {
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
    events.extend(openings(view, outcome));
    events.extend(plan.findings.iter().filter(|_| ends(outcome)).filter_map(at_the_end));
    // Only what status now lists, so that what does not fit in there is not told with every visit.
    let released = FindingReason::EndpointReleased.to_string();
    let new = |f: &&FindingStatus| f.reason == released && !former.findings.contains(f);
    let released = status.findings.iter().filter(new);
    events.extend(released.map(|f| event(true, "EndpointReleased", "Release", &f.message)));
    events
}

fn at_the_end(finding: &Finding) -> Option<EventNote> {
    let said = matches!(finding.reason, FindingReason::LeftInPlace | FindingReason::LeftOpen);
    said.then(|| event(true, &finding.reason.to_string(), "Delete", &finding.message))
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
    verdict: &Verdict,
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
    let (_, _, stalled) = trio(verdict.state);
    let warning = stalled == Truth::True || verdict.state == State::BreakGlass;
    // States come and go: the same one again is counted, but for those whose words somebody has to act on.
    let to_act_on = warning || verdict.state.to_string().starts_with("Awaiting");
    Some(EventNote {
        alone: to_act_on,
        ..event(warning, &verdict.state.to_string(), "Reconcile", &verdict.message)
    })
}
