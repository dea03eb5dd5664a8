//! The simulated clock. It runs with tokio's clock (so that paused time carries it), times a scale, plus what was
//! advanced by hand. Wall time is that of the start plus the same distance. No I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A shared clock; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    started_wall: Timestamp,
    scale: f64,
    advanced: Mutex<Duration>,
}

impl Clock {
    /// A clock at zero. `scale` is simulated seconds per second; values that are not positive and finite count as 1.
    pub fn new(scale: f64) -> Self {
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        let inner = Inner {
            started: Instant::now(),
            started_wall: Timestamp::now(),
            scale,
            advanced: Mutex::new(Duration::ZERO),
        };
        Clock { inner: Arc::new(inner) }
    }

    /// Simulated time since the start.
    pub fn now(&self) -> Duration {
        self.elapsed().mul_f64(self.inner.scale) + self.advanced()
    }

    /// Simulated time as a wall-clock timestamp, for the times in answers.
    pub fn timestamp(&self) -> Timestamp {
        self.at(self.now())
    }

    /// A simulated instant as a wall-clock timestamp.
    pub fn at(&self, instant: Duration) -> Timestamp {
        self.inner.started_wall.checked_add(instant).unwrap_or(Timestamp::MAX)
    }

    /// Moves simulated time forward.
    pub fn advance(&self, by: Duration) {
        let mut advanced = self.inner.advanced.lock().unwrap_or_else(PoisonError::into_inner);
        *advanced = advanced.saturating_add(by);
    }

    /// Unscaled time plus what was advanced: what tokens live by, so that a fast clock does not starve clients of them.
    pub(crate) fn token_time(&self) -> Duration {
        self.elapsed() + self.advanced()
    }

    /// A token time as seconds since the epoch.
    pub(crate) fn token_epoch(&self, instant: Duration) -> i64 {
        self.at(instant).as_second()
    }

    /// Seconds since the epoch as the caller's own clock would have it: unscaled, never advanced.
    pub(crate) fn caller_epoch(&self) -> i64 {
        self.at(self.elapsed()).as_second()
    }

    /// How long a caller has to wait for `simulated` to pass.
    pub(crate) fn real(&self, simulated: Duration) -> Duration {
        simulated.div_f64(self.inner.scale)
    }

    fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.inner.started)
    }

    fn advanced(&self) -> Duration {
        *self.inner.advanced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_paused_time_scaled_and_what_was_advanced() {
        let clock = Clock::new(10.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Duration::from_secs(25));
        assert_eq!(clock.token_time(), Duration::from_secs(7));
        assert_eq!(clock.real(Duration::from_secs(20)), Duration::from_secs(2));
    }

    #[test]
    fn a_senseless_scale_counts_as_one() {
        assert_eq!(Clock::new(f64::NAN).inner.scale, 1.0);
        assert_eq!(Clock::new(-3.0).inner.scale, 1.0);
    }
}
