//! When names last changed, and how that is known after a crash. Clients may hold former answers for `dnsSettle`, so nothing is
//! closed before it has passed since the last write of ours that changed names.
//!
//! | who knows of a change | what a crash between write and report loses |
//! | --- | --- |
//! | this process | its memory: a new one waits `dnsSettle` anew, unless status vouches for the time |
//! | status, endpoints or DNS not ready | nothing: such a status does not vouch |
//! | status, both ready | the change: so it is recorded before the write, by a visit that writes nothing else |

use std::time::Duration;

use sreg_api::conditions::ConditionType;
use sreg_domain::Seen;
use sreg_domain::desired::Spec;

use crate::contribution::Held;
use crate::plan::{Step, WaitReason};
use crate::view::WholeView;

/// Whether a status calls endpoints and DNS ready: then it is taken at its word about when names last changed.
fn vouches(seen: &Seen) -> bool {
    let last = &seen.object.last;
    last.is_true(ConditionType::EndpointsReady) && last.is_true(ConditionType::DnsReady)
}

/// Time since the change that status records, if any.
fn recorded(seen: &Seen) -> Option<Duration> {
    let at = seen.object.last.last_name_change?;
    Some(Duration::try_from(seen.at.duration_since(at)).unwrap_or(Duration::ZERO))
}

/// How long ago names last changed by a write of ours, as far as anybody knows; `None`: nobody does.
pub(crate) fn since_name_change(view: &WholeView<'_>) -> Option<Duration> {
    let memory = &view.seen.memory;
    // What a crash may have hidden came at most that much later than what is recorded.
    let hidden = memory.name_changed.map_or(recent(view.spec), |_| Duration::ZERO);
    recorded(view.seen)
        .filter(|_| vouches(view.seen))
        .map(|since| since.saturating_sub(hidden))
        .or(memory.since_name_change)
        // A change that this process knows of is never outweighed by what an older status says.
        .map(|known| memory.name_changed.map_or(known, |changed| changed.min(known)))
}

/// Whether status would hide a change of names from the next process: it calls everything ready, and the change that it records
/// is so old that the settling of the next one would end too early.
pub(crate) fn would_be_hidden(spec: &Spec, seen: &Seen) -> bool {
    let settles = !spec.verification.dns_settle.is_zero();
    settles && vouches(seen) && recorded(seen).is_none_or(|since| since > recent(spec))
}

/// A recorded change speaks for those that follow it within this time, so that a row of writes is recorded once.
pub(crate) fn recent(spec: &Spec) -> Duration {
    (spec.verification.dns_settle / 10).max(Duration::from_secs(30))
}

/// Holds name-changing steps for one visit where status must record them first.
pub(crate) fn record_first(view: &WholeView<'_>, steps: Vec<Step>) -> Held {
    let changes = |step: &Step| step.action.changes_names();
    if view.desired.observe_only || !steps.iter().any(changes) || !would_be_hidden(view.spec, view.seen) {
        return Held::free(steps);
    }
    let (back, free) = steps.into_iter().partition(changes);
    let mut held = Held {
        free,
        back,
        ..Held::default()
    };
    held.said.waiting(
        WaitReason::NamesAboutToChange,
        "names are about to change: status records it before the first write",
    );
    held
}
