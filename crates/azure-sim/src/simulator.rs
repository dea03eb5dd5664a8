//! The handle that everybody holds: world, clock and journal of one simulated Azure. Clones share the same state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::journal::Journal;
use crate::world::World;

/// One simulated Azure.
#[derive(Debug, Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    clock: Clock,
    journal: Journal,
}

impl Simulator {
    /// The simulated clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Simulated time since the start.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// The journal: written by both planes, read by tests.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// Looks at the world as it is now, with all operations carried out that have come to their end. Do not await inside.
    pub fn with_world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
