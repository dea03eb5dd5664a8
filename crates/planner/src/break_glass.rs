//! Emergencies. A break-glass runs from its creation for its duration; together they may hold a registry open no longer than
//! the operator's longest time, counted from the first since the last lock. Those that were recorded as in force count also after
//! somebody deleted them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sreg_api::BreakGlassPhase;
use sreg_api::registry::PublicAccess;
use sreg_domain::last_report::ReportedEmergency;
use sreg_domain::seen::BreakGlassSeen;
use sreg_domain::{Desired, Fact, Seen};

use crate::view::View;

mod status;

pub use status::{break_glass_without_registry, end_without_registry};
pub(crate) use status::{no_effect, nobody_may_open, statuses, up_to_people, why_no_registry};

/// How emergencies stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BreakGlassState {
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

/// From when to when one emergency may hold the registry open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Term<'a> {
    pub(crate) glass: &'a BreakGlassSeen,
    /// From when the longest time counts.
    pub(crate) counts_from: Timestamp,
    /// What it asks for.
    pub(crate) asked: Timestamp,
    /// What it gets.
    pub(crate) until: Timestamp,
}

impl Term<'_> {
    /// In force, if anything is to be opened at all.
    pub(crate) fn runs(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// The longest time was over before it began.
    pub(crate) fn never_ran(&self) -> bool {
        self.until <= self.glass.created_at
    }
}

fn after(start: Timestamp, length: Duration) -> Timestamp {
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    start.saturating_add(length).unwrap_or(Timestamp::MAX)
}

/// The time of a lock is when a visit ended, and creation times are whole seconds of another clock: one that was created just
/// before may never have been looked at. Nobody may be left without an answer in an emergency for that.
const JUST_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// Whether the registry was locked after one was created; one from just before that only if it was told that it is over. What
/// is recorded as a use was not followed by a lock yet.
fn is_spent(glass: &BreakGlassSeen, uses: &[ReportedEmergency], locked_at: Option<Timestamp>) -> bool {
    use BreakGlassPhase::{Active, Expired, Ignored, Pending, Spent, UsedUp};
    if recorded(uses, glass).is_some() {
        return false;
    }
    let over = match glass.status.as_ref().map(|s| s.phase) {
        Some(Spent) => return true,
        Some(Expired | UsedUp) => true,
        Some(Active | Ignored | Pending) | None => false,
    };
    locked_at.is_some_and(|locked| {
        let just_before = locked.duration_since(glass.created_at) < JUST_BEFORE;
        glass.created_at <= locked && (over || !just_before)
    })
}

/// The terms of all that began since the last lock, in order of creation.
pub(crate) fn terms<'a>(desired: &Desired, seen: &'a Seen, now: Timestamp) -> Vec<Term<'a>> {
    let all = seen.cluster.break_glasses.seen().map_or(&[][..], Vec::as_slice);
    let last = &seen.object.last;
    terms_of(all, &last.emergencies, last.locked_at(), desired.max_break_glass, now)
}

/// Emergencies before `locked_at` are spent. One that begins after all before it ended begins a new count, unless status says
/// that the registry was opened and not locked since.
fn terms_of<'a>(
    all: &'a [BreakGlassSeen],
    uses: &[ReportedEmergency],
    locked_at: Option<Timestamp>,
    longest: Duration,
    now: Timestamp,
) -> Vec<Term<'a>> {
    let mut counted: Vec<&BreakGlassSeen> = all
        .iter()
        .filter(|b| b.created_at <= now && !is_spent(b, uses, locked_at))
        .collect();
    counted.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
    let known = uses.iter().filter_map(|u| u.counts_from).min();
    let known_end = uses.iter().filter_map(|u| u.until).max();
    let mut first = known;
    let mut last_end = known_end.unwrap_or(Timestamp::MIN);
    let mut terms = Vec::new();
    for glass in counted {
        let recorded = recorded(uses, glass).and_then(|u| u.counts_from);
        let gap = known.is_none() && glass.created_at > last_end;
        let counts_from = match (recorded, first) {
            (Some(recorded), _) => recorded,
            (None, Some(first)) if !gap => first.min(glass.created_at),
            (None, _) => glass.created_at,
        };
        first = Some(counts_from);
        let asked = after(glass.created_at, glass.duration);
        last_end = last_end.max(asked);
        terms.push(Term {
            glass,
            counts_from,
            asked,
            until: asked
                .min(after(counts_from, longest))
                .min(told_end(glass).unwrap_or(Timestamp::MAX)),
        });
    }
    terms
}

/// The end that a break-glass was told. It is never moved back: where the registry's status was erased, or its object made anew,
/// nobody else knows what was used up.
fn told_end(glass: &BreakGlassSeen) -> Option<Timestamp> {
    use BreakGlassPhase::{Active, Expired, Ignored, Pending, Spent, UsedUp};
    let told = glass.status.as_ref()?;
    match told.phase {
        Active | Ignored | Expired => told.until.as_ref().map(|t| t.0),
        UsedUp => Some(glass.created_at),
        Pending | Spent => None,
    }
}

/// What status says of a break-glass. A name that was given anew is another one.
pub(crate) fn recorded<'a>(uses: &'a [ReportedEmergency], glass: &BreakGlassSeen) -> Option<&'a ReportedEmergency> {
    uses.iter().find(|used| is_named(glass, &used.name, used.created_at))
}

/// Whether a name and a time of creation are those of this break-glass. Status keeps whole seconds.
pub(crate) fn is_named(glass: &BreakGlassSeen, name: &str, created_at: Option<Timestamp>) -> bool {
    name == glass.name && created_at.map(Timestamp::as_second) == Some(glass.created_at.as_second())
}

/// Judges the emergencies of an object.
pub(crate) fn state(view: &View<'_>) -> BreakGlassState {
    match &view.seen.cluster.break_glasses {
        // What no grant lets anybody open no emergency opens; each is told so.
        Fact::Seen(_) if !view.desired.may_be_opened() => BreakGlassState::None,
        Fact::Seen(_) => judge(&terms(view.desired, view.seen, view.now), view.now),
        Fact::Absent => BreakGlassState::None,
        Fact::Unknown(_) => BreakGlassState::NotKnown,
    }
}

/// Whether one is in force, or may be: then nothing is closed.
pub(crate) fn may_be_in_force(desired: &Desired, seen: &Seen) -> bool {
    matches!(seen.cluster.break_glasses, Fact::Unknown(_))
        || (desired.may_be_opened() && terms(desired, seen, seen.at).iter().any(|term| term.runs(seen.at)))
}

fn judge(terms: &[Term<'_>], now: Timestamp) -> BreakGlassState {
    if let Some(term) = terms.iter().filter(|t| t.runs(now)).max_by_key(|t| t.until) {
        return BreakGlassState::Active {
            name: term.glass.name.clone(),
            requested_by: term.glass.requested_by.clone(),
            reason: term.glass.reason.clone(),
            until: term.until,
        };
    }
    match terms.iter().filter(|t| now < t.asked).max_by_key(|t| t.asked) {
        Some(term) => BreakGlassState::UsedUp {
            name: term.glass.name.clone(),
        },
        None => BreakGlassState::None,
    }
}

/// One that held the registry open and is over, while the registry was not locked since: its name and its end.
pub(crate) fn left_open(view: &View<'_>) -> Option<(String, Timestamp)> {
    if view.desired.public_access != PublicAccess::Disabled || !view.any_open() {
        return None;
    }
    if !matches!(state(view), BreakGlassState::None | BreakGlassState::UsedUp { .. }) {
        return None;
    }
    let terms = terms(view.desired, view.seen, view.now);
    // One that nobody recorded opened something only where there was a lock.
    let was_locked = view.last().locked_at().is_some();
    let seen = terms
        .iter()
        .filter(|t| was_locked && !t.never_ran())
        .map(|t| (t.glass.name.clone(), t.until));
    let uses = view.last().emergencies.iter();
    let recorded = uses.filter_map(|u| Some((u.name.clone(), u.until?.min(view.now))));
    recorded.chain(seen).max_by_key(|(_, until)| *until)
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
            uid: name.into(),
            status: None,
            created_at: at(minute),
            duration: Duration::from_secs(60 * minutes),
            reason: "pipelines fail".into(),
            requested_by: "jane".into(),
        }
    }

    fn judge(
        all: &[BreakGlassSeen],
        locked_at: Option<Timestamp>,
        longest: Duration,
        now: Timestamp,
    ) -> BreakGlassState {
        super::judge(&terms_of(all, &[], locked_at, longest, now), now)
    }

    fn used(name: &str, minute: i64, until: i64) -> ReportedEmergency {
        ReportedEmergency {
            name: name.into(),
            created_at: Some(at(minute)),
            counts_from: Some(at(minute)),
            until: Some(at(until)),
        }
    }

    fn until(standing: BreakGlassState) -> Option<Timestamp> {
        match standing {
            BreakGlassState::Active { until, .. } => Some(until),
            BreakGlassState::None | BreakGlassState::NotKnown | BreakGlassState::UsedUp { .. } => None,
        }
    }

    const LONGEST: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn one_runs_from_its_creation_for_its_duration() {
        let all = [glass("a", 0, 30)];
        assert_eq!(until(judge(&all, None, LONGEST, at(29))), Some(at(30)));
        assert_eq!(judge(&all, None, LONGEST, at(30)), BreakGlassState::None);
    }

    #[test]
    fn extensions_count_against_the_longest_time_until_locked_again() {
        let all = [glass("a", 0, 50), glass("b", 40, 50)];
        assert_eq!(until(judge(&all, None, LONGEST, at(55))), Some(at(60)));
        assert_eq!(
            judge(&all, None, LONGEST, at(61)),
            BreakGlassState::UsedUp { name: "b".into() }
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
    fn what_one_was_told_about_its_end_holds_also_when_nobody_knows_of_a_lock() {
        let told = |phase, until: Option<i64>| {
            let mut glass = glass("a", 0, 50);
            glass.status = Some(sreg_api::BreakGlassStatus {
                phase,
                until: until.map(|m| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(m))),
                ..Default::default()
            });
            [glass]
        };
        use BreakGlassPhase::{Active, Expired, Spent, UsedUp};
        let state = |all: &[BreakGlassSeen], now| judge(all, None, LONGEST, at(now));
        assert_eq!(
            state(&told(Expired, Some(10)), 20),
            BreakGlassState::UsedUp { name: "a".into() }
        );
        assert_eq!(
            state(&told(UsedUp, None), 20),
            BreakGlassState::UsedUp { name: "a".into() }
        );
        assert_eq!(state(&told(Spent, Some(10)), 20), BreakGlassState::None);
        assert_eq!(until(state(&told(Active, Some(30)), 20)), Some(at(30)));
    }

    #[test]
    fn one_from_before_the_lock_does_not_open_again() {
        assert_eq!(
            judge(&[glass("a", 0, 50)], Some(at(10)), LONGEST, at(20)),
            BreakGlassState::None
        );
    }

    #[test]
    fn one_from_the_future_is_not_in_force() {
        assert_eq!(
            judge(&[glass("a", 60, 50)], None, LONGEST, at(10)),
            BreakGlassState::None
        );
    }

    #[test]
    fn deleting_the_first_does_not_begin_a_new_count() {
        let all = [glass("b", 40, 50)];
        let uses = [used("a", 0, 45)];
        let term = |uses: &[ReportedEmergency], locked| terms_of(&all, uses, locked, LONGEST, at(45))[0].until;
        assert_eq!(term(&uses, Some(at(-10))), at(60));
        assert_eq!(term(&uses, None), at(60));
        assert_eq!(term(&[], Some(at(-10))), at(90));
        // Open since the first, even if nothing held it open in between.
        assert_eq!(term(&[used("a", 0, 10)], Some(at(-10))), at(60));
        // Also where nobody knows when it was locked: it was found closed, or its status was erased in between.
        assert_eq!(term(&[used("a", 0, 10)], None), at(60));
    }

    #[test]
    fn one_that_never_opened_anything_does_not_use_up_a_later_one() {
        let all = [glass("refused", 0, 50), glass("new", 1000, 30)];
        assert_eq!(until(judge(&all, Some(at(-10)), LONGEST, at(1010))), Some(at(1030)));
        // Nor once the new one is recorded and the registry open.
        let terms = terms_of(&all, &[used("new", 1000, 1030)], Some(at(-10)), LONGEST, at(1015));
        assert_eq!(until(super::judge(&terms, at(1015))), Some(at(1030)));
    }

    #[test]
    fn one_created_within_the_visit_that_saw_the_lock_still_opens() {
        let mut all = [glass("a", 0, 30)];
        let locked = Some(at(0).saturating_add(SignedDuration::from_secs(2)).unwrap());
        assert_eq!(until(judge(&all, locked, LONGEST, at(1))), Some(at(30)));
        all[0].status = Some(sreg_api::BreakGlassStatus {
            phase: BreakGlassPhase::UsedUp,
            ..Default::default()
        });
        assert_eq!(judge(&all, locked, LONGEST, at(1)), BreakGlassState::None);
        assert!(is_spent(&all[0], &[], locked) && !is_spent(&all[0], &[used("a", 0, 30)], locked));
    }

    #[test]
    fn a_new_one_of_an_old_name_is_another_one() {
        let all = [glass("a", 40, 50)];
        assert_eq!(recorded(&[used("a", 0, 30)], &all[0]), None);
        assert_eq!(recorded(&[used("a", 40, 90)], &all[0]), Some(&used("a", 40, 90)));
    }
}
