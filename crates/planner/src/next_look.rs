//! When an object is looked at again: no later than the earliest thing that is due.

use std::time::Duration;

use sreg_api::conditions::State;
use sreg_domain::reasons::LookAgain;
use sreg_domain::seen::{IgnoranceKind, OperationState};

use crate::attempts;
use crate::contribution::Contribution;
use crate::plan::{Actor, WaitReason};
use crate::view::View;

/// The pause where something was planned: what it does shows at once.
pub(crate) const SOON: Duration = Duration::from_secs(1);
const PEOPLE: Duration = Duration::from_secs(60);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

/// Azure is not asked more often how far it is while it refuses things.
pub(crate) const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// When something is due apart from steps; what Azure is busy with, no earlier than `asks`.
pub(crate) fn due(view: &View<'_>, said: &Contribution, asks: Duration) -> Duration {
    let patience = patience_with_people(view, said);
    let settled = view.drift_interval().max(patience);
    let look = |reason: WaitReason| {
        let at_least = if reason.actor() == Actor::Azure {
            asks
        } else {
            Duration::ZERO
        };
        look_at(view, reason).max(at_least).max(patience)
    };
    let by_waits = said.waits.iter().map(|wait| look(wait.reason)).min();
    let looks = said.looks.iter().copied().chain(attempts::looks(view, said));
    let asked = looks.map(|look| look.max(SOON)).min();
    let all = [by_waits, asked, missed(view)];
    all.into_iter().flatten().fold(settled, Duration::min)
}

/// What only a person can end is looked at the more seldom the longer it has lasted; whoever ends it by the spec, an approval or a
/// grant is seen at once. Not where anything is closed: clients depend on it, and it drifts like any other.
fn patience_with_people(view: &View<'_>, said: &Contribution) -> Duration {
    let all_stalled = !said.waits.is_empty() && said.waits.iter().all(|wait| wait.reason.is_stalled());
    if !all_stalled || view.any_closed() || view.last().was_locked() {
        return Duration::ZERO;
    }
    let stalled_for = view
        .last_transition()
        .filter(|(state, _)| *state == Some(State::Stalled));
    let lasted = stalled_for.map(|(_, since)| since).unwrap_or_default();
    (lasted / 10).min(LONGEST_PATIENCE)
}

/// When to ask again for the registry, or one of its accounts, that Azure did not find once.
fn missed(view: &View<'_>) -> Option<Duration> {
    let unread = view.seen.azure.targets.iter().filter_map(|(_, fact)| fact.ignorance());
    let settling = unread.filter(|why| why.kind == IgnoranceKind::Settling);
    settling
        .filter_map(|why| why.retry_after)
        .map(|after| after.max(SOON))
        .min()
}

fn look_at(view: &View<'_>, reason: WaitReason) -> Duration {
    let probes = view.probe_interval().clamp(Duration::from_millis(250), PEOPLE);
    match reason.row().look {
        LookAgain::After(seconds) => Duration::from_secs(seconds),
        LookAgain::AsAzureAsks => azure_asks(view),
        LookAgain::ProbeInterval => probes,
        LookAgain::ProbeIntervalAtLeast(seconds) => probes.max(Duration::from_secs(seconds)),
        LookAgain::DriftInterval | LookAgain::ByItself => view.drift_interval(),
    }
}

/// As often as Azure asks for; else the more seldom the longer nothing has moved: what takes Azure a minute is seen within
/// seconds, what only a person will end costs a look a minute.
fn azure_asks(view: &View<'_>) -> Duration {
    let asked = view.seen.azure.operations.iter().filter_map(|o| match &o.state {
        OperationState::Running { retry_after } | OperationState::Unreadable { retry_after } => *retry_after,
        OperationState::Succeeded | OperationState::Failed(_) | OperationState::Lost => None,
    });
    let unsettled = view.last().unsettled_since;
    let unsettled = unsettled.and_then(|since| Duration::try_from(view.now.duration_since(since)).ok());
    let waited = unsettled
        .or_else(|| view.last_transition().map(|(_, since)| since))
        .unwrap_or_default();
    asked
        .min()
        .unwrap_or_else(|| (waited / 30).max(Duration::from_secs(3)))
        .clamp(SOON, PEOPLE)
}
