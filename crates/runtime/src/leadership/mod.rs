//! Leadership is one seam: only `act` and `report` ask it, before every write.

use std::time::Duration;

/// How long this process may still write.
pub trait LeadershipFence: Send + Sync {
    /// Time left before the lease may be somebody else's, by the monotonic clock; `None` when we are not the leader or
    /// cannot tell. A write's timeout never exceeds it.
    fn held_for(&self) -> Option<Duration>;
}

/// A fence that never lapses: for a single process that runs without leader election, and for simulations.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysHeld;

impl LeadershipFence for AlwaysHeld {
    fn held_for(&self) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
}
