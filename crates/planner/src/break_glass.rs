//! Emergencies. A break-glass runs from its creation for its duration; together they may hold a registry open no longer than
//! the operator's longest time, counted from the first since the last lock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sreg_domain::Fact;
use sreg_domain::seen::BreakGlassSeen;

use crate::facts::View;

/// How emergencies stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// None is in force.
    None,
    /// They could not be read: nothing is closed, nothing is opened.
    NotKnown,
    /// This one is in force until then.
    Active {
        name: String,
        requested_by: String,
        reason: String,
        until: Timestamp,
    },
    /// This one would be in force, had the longest time not been used up.
    UsedUp { name: String },
}

fn after(start: Timestamp, length: Duration) -> Timestamp {
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    start.saturating_add(length).unwrap_or(Timestamp::MAX)
}

/// Judges the emergencies of an object.
pub(crate) fn standing(view: &View<'_>) -> Standing {
    let all = match &view.seen.cluster.break_glasses {
        Fact::Seen(all) => all.as_slice(),
        Fact::Absent => return Standing::None,
        Fact::Unknown(_) => return Standing::NotKnown,
    };
    let locked_at = view
        .seen
        .object
        .status
        .exposure
        .as_ref()
        .and_then(|e| e.locked_at.as_ref())
        .map(|t| t.0);
    judge(all, locked_at, view.desired.max_break_glass, view.now)
}

/// `locked_at`: emergencies before it are spent; both are told in whole seconds, and one of the same second is newer, because none
/// is locked while one is in force. Where it is not known (status erased), one that begins after all before it
/// ended begins a new count.
pub(crate) fn judge(
    all: &[BreakGlassSeen],
    locked_at: Option<Timestamp>,
    longest: Duration,
    now: Timestamp,
) -> Standing {
    let mut counted: Vec<&BreakGlassSeen> = all
        .iter()
        .filter(|b| b.created_at <= now && locked_at.is_none_or(|at| b.created_at >= at))
        .collect();
    counted.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
    let mut first: Option<Timestamp> = None;
    let mut last_end = Timestamp::MIN;
    let mut latest: Option<(&BreakGlassSeen, Timestamp)> = None;
    for glass in counted {
        if first.is_none() || (locked_at.is_none() && glass.created_at > last_end) {
            first = Some(glass.created_at);
        }
        let end = after(glass.created_at, glass.duration);
        last_end = last_end.max(end);
        if now < end && latest.is_none_or(|(_, other)| end >= other) {
            latest = Some((glass, end));
        }
    }
    let (Some((glass, end)), Some(first)) = (latest, first) else {
        return Standing::None;
    };
    let until = end.min(after(first, longest));
    if now < until {
        Standing::Active {
            name: glass.name.clone(),
            requested_by: glass.requested_by.clone(),
            reason: glass.reason.clone(),
            until,
        }
    } else {
        Standing::UsedUp {
            name: glass.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn glass(name: &str, minute: i64, minutes: u64) -> BreakGlassSeen {
        BreakGlassSeen {
            name: name.into(),
            created_at: at(minute),
            duration: Duration::from_secs(60 * minutes),
            reason: "pipelines fail".into(),
            requested_by: "jane".into(),
        }
    }

    fn until(standing: Standing) -> Option<Timestamp> {
        match standing {
            Standing::Active { until, .. } => Some(until),
            Standing::None | Standing::NotKnown | Standing::UsedUp { .. } => None,
        }
    }

    const LONGEST: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn one_runs_from_its_creation_for_its_duration() {
        let all = [glass("a", 0, 30)];
        assert_eq!(until(judge(&all, None, LONGEST, at(29))), Some(at(30)));
        assert_eq!(judge(&all, None, LONGEST, at(30)), Standing::None);
    }

    #[test]
    fn extensions_count_against_the_longest_time_until_locked_again() {
        let all = [glass("a", 0, 50), glass("b", 40, 50)];
        assert_eq!(until(judge(&all, None, LONGEST, at(55))), Some(at(60)));
        assert_eq!(
            judge(&all, None, LONGEST, at(61)),
            Standing::UsedUp { name: "b".into() }
        );
        // Locked at 65, a new one begins a new count.
        let all = [glass("a", 0, 50), glass("b", 40, 50), glass("c", 70, 50)];
        assert_eq!(until(judge(&all, Some(at(65)), LONGEST, at(75))), Some(at(120)));
    }

    #[test]
    fn with_status_erased_old_emergencies_do_not_use_up_a_new_one() {
        let all = [glass("old", 0, 50), glass("new", 1000, 30)];
        assert_eq!(until(judge(&all, None, LONGEST, at(1010))), Some(at(1030)));
    }

    #[test]
    fn one_from_before_the_lock_does_not_open_again() {
        assert_eq!(
            judge(&[glass("a", 0, 50)], Some(at(10)), LONGEST, at(20)),
            Standing::None
        );
    }

    #[test]
    fn one_from_the_future_is_not_in_force() {
        assert_eq!(judge(&[glass("a", 60, 50)], None, LONGEST, at(10)), Standing::None);
    }
}
