//! How long to wait after a pass that failed: per object, exponential, jittered; forgotten on success and on deletion. And
//! the jitter for every other requeue, so that objects applied together do not stay in step.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;

/// First wait.
const BASE: Duration = Duration::from_millis(500);
/// Longest wait.
const CAP: Duration = Duration::from_secs(300);

/// Failures in a row, per object uid.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// One more failure of this object: how long to wait now. Between half of, and all of, 500 ms × 2ⁿ, at most 5 min.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = BASE.saturating_mul(1_u32 << (*count).min(16)).min(CAP);
        *count = count.saturating_add(1);
        wait.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// How often this object failed in a row.
    pub fn failures(&self, uid: &str) -> u32 {
        self.lock().get(uid).copied().unwrap_or_default()
    }

    /// A pass went well, or the object is gone: the next failure starts from the beginning.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A requeue within ten per cent below what was asked, never later: waits that run out must be seen in time.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.9..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_start_over_after_success() {
        let backoff = Backoff::default();
        let mut longest = BASE;
        for _ in 0..40 {
            let wait = backoff.failed("u1");
            assert!(
                wait <= longest && wait >= longest / 2,
                "{wait:?} is not within {longest:?}"
            );
            longest = (longest * 2).min(CAP);
        }
        assert_eq!(longest, CAP);
        assert!(backoff.failed("u2") <= BASE, "objects do not share their backoff");
        backoff.forget("u1");
        assert!(backoff.failed("u1") <= BASE);
    }

    #[test]
    fn jitter_never_makes_a_wait_longer() {
        for _ in 0..1000 {
            let wait = jittered(Duration::from_secs(100));
            assert!(wait <= Duration::from_secs(100) && wait >= Duration::from_secs(90));
        }
    }
}
