//! What came about in an exploration: safe means nothing where nothing happens, and a disturbance that disturbs nothing
//! shows nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disturbance::{self, Disturbance};

/// Something that has to come about somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// A closing write passed its fence.
    Sent,
    /// A closing write took effect.
    Closed,
    /// A target was opened by the spec.
    OpenedBySpec,
    /// A target was opened by a break-glass.
    OpenedByBreakGlass,
    /// A target was opened by a rollback.
    OpenedByRollback,
    /// The lease went to the other process.
    HandedOver,
    /// The fence saw another world than the plan.
    RefusedByFence,
    /// A pass went on without the lease.
    RefusedByLease,
    /// An effect came about whose answer was lost.
    ReplyLost,
    /// A private endpoint was deleted by us.
    DeletedEndpoint,
    /// The object was released.
    Released,
    /// Nothing can be done any more, and the plan says why.
    Stalled,
}

/// All of them.
pub const ALL: [Happening; 12] = [
    Happening::Sent,
    Happening::Closed,
    Happening::OpenedBySpec,
    Happening::OpenedByBreakGlass,
    Happening::OpenedByRollback,
    Happening::HandedOver,
    Happening::RefusedByFence,
    Happening::RefusedByLease,
    Happening::ReplyLost,
    Happening::DeletedEndpoint,
    Happening::Released,
    Happening::Stalled,
];

/// How often each came about, and how often each disturbance changed something.
#[derive(Debug)]
pub struct Tally {
    counts: [AtomicU64; ALL.len()],
    disturbed: [AtomicU64; disturbance::ALL.len()],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            disturbed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Tally {
    pub(crate) fn count(&self, what: Happening) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A disturbance changed the state.
    pub(crate) fn disturbed(&self, by: Disturbance) {
        let at = disturbance::ALL.iter().position(|known| *known == by);
        if let Some(count) = at.and_then(|at| self.disturbed.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a disturbance changed the state.
    pub fn times(&self, disturbance: Disturbance) -> u64 {
        let known = disturbance::ALL.iter().zip(&self.disturbed);
        let mut found = known.filter(|(known, _)| **known == disturbance);
        found.next().map_or(0, |(_, count)| count.load(Ordering::Relaxed))
    }

    /// The counts by name.
    pub fn counts(&self) -> BTreeMap<Happening, u64> {
        let read = |what: &Happening| self.counts[*what as usize].load(Ordering::Relaxed);
        ALL.iter().map(|what| (*what, read(what))).collect()
    }
}
