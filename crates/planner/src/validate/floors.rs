//! Shortest intervals. A flag of the operator, not a rule of the API: one that serves three registries may look as often as it likes.

use std::time::Duration;

use sreg_domain::{Desired, duration};

/// Shortest intervals that specs are served with, whatever they ask for: what looking and asking often costs, all objects share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// Between two looks at a settled object. Five times as long under Observe: nothing is done there, however soon it is seen.
    pub drift_interval: Duration,
    /// Between two attempts of a probe.
    pub probe_interval: Duration,
}

/// So many times longer is the shortest interval of an object that is only observed.
const OBSERVED: u32 = 5;

impl Floors {
    /// Every interval is served as it is asked for: for tests, and for demonstrations.
    pub const NONE: Floors = Floors {
        drift_interval: Duration::ZERO,
        probe_interval: Duration::ZERO,
    };

    /// Raises what is shorter, and says so.
    pub(super) fn raise(&self, mut desired: Desired) -> Desired {
        let Ok(spec) = &mut desired.spec else {
            return desired;
        };
        let mut raise = |path: &str, asked: &mut Duration, floor: Duration| {
            if *asked < floor {
                spec.raised.push(format!(
                    "{path} is {}, and {} holds: this operator serves no shorter one",
                    duration::show(*asked),
                    duration::show(floor)
                ));
                *asked = floor;
            }
        };
        let looks = if desired.observe_only { OBSERVED } else { 1 };
        let floor = self.drift_interval.saturating_mul(looks);
        raise("spec.drift.interval", &mut spec.drift_interval, floor);
        let proof = &mut spec.verification;
        raise("spec.verification.interval", &mut proof.interval, self.probe_interval);
        // A proof must be able to live for as long as it takes.
        proof.max_age = proof
            .max_age
            .max(proof.interval.saturating_mul(proof.consecutive_successes));
        desired
    }
}

impl Default for Floors {
    fn default() -> Self {
        Floors {
            drift_interval: Duration::from_secs(60),
            probe_interval: Duration::from_secs(5),
        }
    }
}
