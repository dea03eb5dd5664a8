//! Leadership is one seam: only `act` and `report` ask it, before every write. Who leads is decided by a Lease that
//! `kube-lease-manager` takes and renews ([`election`](Election)); whether that may still be relied on is decided by a fence
//! of our own ([`Fence`]), because the crate goes on saying "leader" past the expiry of what it holds. A lost leadership
//! ends the process: nothing here ever comes back.
//!
//! ```text
//!                       ┌─ kube-lease-manager ─ renews, clears, takes ─┐
//! Election::run ────────┤                                              ├──► Lease
//!                       └─ reads every second ─► Fence (pure) ◄────────┘
//!                                                  ▲
//!                        act, report ── held_for ──┘   None, or the time that a write may take at most
//! ```

mod election;
mod fence;
mod settings;

use std::time::Duration;

pub use election::{Election, LeadershipError, LeaseFence};
pub use fence::{Fence, Lapse, Moment, Reading};
pub use settings::{LeaseSettings, LeaseSettingsError};

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
