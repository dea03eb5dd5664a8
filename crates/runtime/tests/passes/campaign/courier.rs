//! What becomes of watch events on their way: each arrives once, in order, unless the plan says otherwise.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// What the plan does to events of one kind, from the nth on, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// That one never arrives.
    Lost,
    /// That one arrives twice.
    Doubled,
    /// From that one on they are held back for a while; then only the last of each object arrives. What was made and deleted
    /// and made again was never gone.
    Merged,
}

/// What to do with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Once,
    Twice,
    Never,
    /// Wait, and then only if nothing newer is known of the same object.
    LastOf(Instant),
}

const HELD: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Courier {
    plan: Option<(String, usize, How)>,
    counts: HashMap<String, usize>,
    held_until: Option<Instant>,
}

impl Courier {
    pub fn new(plan: Option<(String, usize, How)>) -> Courier {
        Courier {
            plan,
            ..Courier::default()
        }
    }

    /// How many events of each kind arrived.
    pub fn counts(&self) -> Vec<(String, usize)> {
        let mut counts: Vec<_> = self.counts.iter().map(|(kind, count)| (kind.clone(), *count)).collect();
        counts.sort();
        counts
    }

    /// Whether the plan's event came by, and nothing is held back any more.
    pub fn met(&self) -> bool {
        let over = self.held_until.is_none_or(|until| Instant::now() >= until);
        let met = |(kind, nth, _): &(String, usize, How)| self.counts.get(kind).is_some_and(|count| count >= nth);
        over && self.plan.as_ref().is_none_or(met)
    }

    pub fn take(&mut self, kind: &str) -> Delivery {
        let count = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        let Some((planned, nth, how)) = &self.plan else {
            return Delivery::Once;
        };
        if planned != kind || *count < *nth {
            return Delivery::Once;
        }
        match how {
            How::Lost if count == nth => Delivery::Never,
            How::Doubled if count == nth => Delivery::Twice,
            How::Merged => {
                let until = *self.held_until.get_or_insert_with(|| Instant::now() + HELD);
                match until > Instant::now() {
                    true => Delivery::LastOf(until),
                    false => Delivery::Once,
                }
            }
            How::Lost | How::Doubled => Delivery::Once,
        }
    }
}
