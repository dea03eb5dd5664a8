//! What a target was before the lock: what the snapshot keeps of it, what opening again restores, and which of it is approved before
//! the lock takes it away.
//!
//! | a lock | the target | it was |
//! | --- | --- | --- |
//! | has not begun | – | as it is; with what an opening before could not put back |
//! | has not begun | closed by a write that arrived late | as it was when an opening had put it back |
//! | has begun | closed | as the snapshot holds it; open where no snapshot does |
//! | has begun | still open, or opened again by spec, break-glass or rollback | as the snapshot holds it, with the rules that people have added since |
//! | held | opened by hand | as the snapshot holds it: what is opened against the spec is no decision about the way back |

use serde_json::Value;
use sreg_domain::ArmId;
use sreg_domain::network_rules::with_rules_of_now;

use crate::kept::{kept, open_settings};
use crate::plan::AccessAssessment;
use crate::view::{View, seen_network};

/// What the snapshot holds of a target, once a lock has begun. Before that it holds what was seen some visits ago. Where status was
/// erased, a snapshot that was restored in part says by itself that there was a lock.
fn held<'v>(view: &'v View<'_>, id: &ArmId) -> Option<&'v Value> {
    let snapshot = view.seen.cluster.snapshot.seen()?;
    let begun = !view.all_open() || view.last().lock_has_begun() || view.was_restored_in_part();
    kept(snapshot, id).filter(|_| begun)
}

/// Network settings of a target as they were before the lock; `None`: they could not be read.
pub(crate) fn settings(view: &View<'_>, access: &AccessAssessment) -> Option<Value> {
    let now = seen_network(view.seen, &access.id);
    match held(view, &access.id) {
        Some(held) if access.closed == Some(false) && !view.last().opened_by_hand() => {
            Some(with_rules_of_now(access.target, held, &now?))
        }
        Some(held) => Some(held.clone()),
        None => match view.before_late_closing(access) {
            Some(before) => Some(before.clone()),
            None if access.closed == Some(true) && view.last().lock_has_begun() => Some(open_settings(access.target)),
            None => now,
        },
    }
}

/// What a target was before a lock that only comes back, because somebody opened it by hand.
pub(crate) fn before_opened_by_hand<'v>(view: &'v View<'_>, id: &ArmId) -> Option<&'v Value> {
    held(view, id).filter(|_| view.last().opened_by_hand())
}
