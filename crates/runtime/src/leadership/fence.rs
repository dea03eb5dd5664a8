//! The leadership fence: how long what we last saw of the Lease may be relied on. Reads go in, an instant comes out. Pure:
//! every moment is an argument.
//!
//! | the read shows | the fence |
//! | --- | --- |
//! | nobody, or somebody else, and we never held it | stays down |
//! | us, the first read of all | stays down: nothing tells how old the renewal is |
//! | us, `renewTime` moved since the previous read | holds until anchor + duration − margin |
//! | us, `renewTime` as before | unchanged |
//! | nobody, or somebody else, after we held it | lapses |
//!
//! The *anchor* is an instant at which the renewal had surely not yet been made: the earlier of "just before the previous
//! read, which showed the old value" and "now minus the age of `renewTime` by our own wall clock". It lapses when its time
//! is over, and when wall clock and monotonic clock disagree: then the process was suspended, or its clock was set, and
//! nothing that was computed from either still holds. A fence that has lapsed once stays down: an extension counts only if
//! it is learnt before.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A point in time by both clocks. Between `earliest` and `latest` the wall clock was read: a process that is preempted
/// between two clocks must not look like one whose clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Just before the wall clock was read.
    pub earliest: Instant,
    /// The wall clock.
    pub wall: Timestamp,
    /// Just after.
    pub latest: Instant,
}

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        let earliest = Instant::now();
        let wall = Timestamp::now();
        Moment {
            earliest,
            wall,
            latest: Instant::now(),
        }
    }
}

/// What one read of the Lease showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// `holderIdentity`; empty counts as none.
    pub holder: Option<String>,
    /// `renewTime`.
    pub renewed: Option<Timestamp>,
    /// `leaseDurationSeconds`: what the others wait for.
    pub duration: Option<Duration>,
}

/// Why leadership must no longer be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// No renewal was seen in time.
    #[error("no renewal of the lease was seen in time")]
    Expired,
    /// The Lease names somebody else.
    #[error("the lease was taken by {0}")]
    Taken(String),
    /// The Lease names nobody.
    #[error("the lease was cleared")]
    Cleared,
    /// Wall clock and monotonic clock disagree.
    #[error("the wall clock jumped against the monotonic clock: the process was suspended or its clock was set")]
    ClockJumped,
    /// We gave it up.
    #[error("the lease was given up")]
    Resigned,
}

#[derive(Debug, Clone)]
struct Previous {
    /// Just before it was sent.
    asked: Instant,
    /// `renewTime` if it showed us as the holder.
    renewed: Option<Timestamp>,
}

/// The fence.
#[derive(Debug, Clone)]
pub struct Fence {
    identity: String,
    margin: Duration,
    previous: Option<Previous>,
    held_until: Option<Instant>,
    lapse: Option<Lapse>,
    last_moment: Option<Moment>,
}

/// Clocks that are slewed, not set, stay within this over any time between two looks.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

impl Fence {
    /// A fence that is down. `margin` covers clock skew between candidates and the landing of one write.
    pub fn new(identity: impl Into<String>, margin: Duration) -> Self {
        Fence {
            identity: identity.into(),
            margin,
            previous: None,
            held_until: None,
            lapse: None,
            last_moment: None,
        }
    }

    /// Time that is left, `None` if the fence is down.
    pub fn held_for(&mut self, now: Moment) -> Option<Duration> {
        self.pass_time(now);
        self.held_until
            .map(|until| until.saturating_duration_since(now.latest))
            .filter(|left| !left.is_zero() && self.lapse.is_none())
    }

    /// Until when it holds if nothing is learnt before; `None` if it is down.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until.filter(|_| self.lapse.is_none())
    }

    /// Why it went down after it had been up.
    pub fn lapse(&self) -> Option<&Lapse> {
        self.lapse.as_ref()
    }

    /// Takes in what a read showed that was sent at `asked` and answered by `now`. A read that failed teaches nothing and is
    /// not told.
    pub fn learn(&mut self, asked: Instant, reading: &Reading, now: Moment) {
        self.pass_time(now);
        let holder = reading.holder.as_deref().filter(|holder| !holder.is_empty());
        let ours = holder == Some(self.identity.as_str());
        if self.held_until.is_some() && !ours {
            self.lapse
                .get_or_insert(holder.map_or(Lapse::Cleared, |other| Lapse::Taken(other.to_owned())));
        }
        let renewed = reading.renewed.filter(|_| ours);
        let previous = self.previous.replace(Previous { asked, renewed });
        let (Some(previous), Some(renewed)) = (previous, renewed) else {
            return;
        };
        if previous.renewed == Some(renewed) {
            return;
        }
        let anchor = age_of(renewed, now).map_or(Some(previous.asked), |age| {
            now.earliest.checked_sub(age).map(|written| written.min(previous.asked))
        });
        let duration = reading.duration.unwrap_or_default().saturating_sub(self.margin);
        // A renewal so old that the machine had not even started says nothing.
        let Some(until) = anchor.map(|anchor| anchor + duration) else {
            return;
        };
        if until > now.latest {
            self.held_until = Some(until);
        }
    }

    /// We gave it up: down for good.
    pub fn resign(&mut self) {
        self.lapse.get_or_insert(Lapse::Resigned);
    }

    /// Lapses if its time is over or the clocks disagree.
    fn pass_time(&mut self, now: Moment) {
        let jumped = self
            .last_moment
            .replace(now)
            .is_some_and(|last| jumped(last, now, self.tolerance()));
        let Some(until) = self.held_until else { return };
        if jumped {
            self.lapse.get_or_insert(Lapse::ClockJumped);
        } else if until <= now.latest {
            self.lapse.get_or_insert(Lapse::Expired);
        }
    }

    fn tolerance(&self) -> Duration {
        CLOCK_TOLERANCE.min(self.margin / 2)
    }
}

/// `None` where the renewal lies in the future of our own clock.
fn age_of(renewed: Timestamp, now: Moment) -> Option<Duration> {
    Duration::try_from(now.wall.duration_since(renewed)).ok()
}

/// Whether the wall clock went further, or less far, than any reading of the monotonic clock allows.
fn jumped(last: Moment, now: Moment, tolerance: Duration) -> bool {
    let wall = now.wall.duration_since(last.wall).as_nanos();
    let least = now.earliest.saturating_duration_since(last.latest);
    let most = now.latest.saturating_duration_since(last.earliest);
    let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    wall < nanos(least) - nanos(tolerance) || wall > nanos(most) + nanos(tolerance)
}

#[cfg(test)]
mod tests;
