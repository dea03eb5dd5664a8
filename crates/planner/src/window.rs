//! Lockdown windows: a cron expression of openings in a time zone, and how long each stays open. Pure; `now` is an argument.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sreg_domain::desired::Window;

/// How a window stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WindowState {
    /// Open until then.
    Open(Timestamp),
    /// Closed; opens next then, if ever.
    Closed(Option<Timestamp>),
}

fn parse(schedule: &str) -> Result<Cron, String> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .build()
        .parse(schedule)
        .map_err(|error| error.to_string())
}

/// Whether a schedule is a cron expression of five fields.
pub(crate) fn check_schedule(schedule: &str) -> Result<(), String> {
    parse(schedule).map(drop).map_err(|why| {
        format!("{schedule:?} is not a cron expression ({why}): write minute, hour, day of month, month and day of week, such as 0 22 * * 2")
    })
}

/// Whether a time zone is known.
pub(crate) fn check_time_zone(name: &str) -> Result<(), String> {
    zone(name)
        .map(drop)
        .ok_or_else(|| format!("{name:?} is not a known time zone: write an IANA name such as Europe/Amsterdam"))
}

fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("UTC") {
        Some(TimeZone::UTC)
    } else {
        TimeZone::get(name).ok()
    }
}

/// How the window stands now. A schedule that cannot be read is never open.
pub(crate) fn state(window: &Window, now: Timestamp) -> WindowState {
    let (Ok(cron), Some(zone)) = (parse(&window.schedule), zone(&window.time_zone)) else {
        return WindowState::Closed(None);
    };
    let here = now.to_zoned(zone);
    let opened = cron.find_previous_occurrence(&here, true).ok().map(|at| at.timestamp());
    let length = SignedDuration::try_from(window.duration).unwrap_or(SignedDuration::MAX);
    let ends = opened.map(|at| at.saturating_add(length).unwrap_or(Timestamp::MAX));
    match ends {
        Some(end) if now < end => WindowState::Open(end),
        Some(_) | None => WindowState::Closed(cron.find_next_occurrence(&here, false).ok().map(|at| at.timestamp())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tuesday_night() -> Window {
        Window {
            schedule: "0 22 * * 2".into(),
            time_zone: "Europe/Amsterdam".into(),
            duration: Duration::from_secs(7200),
        }
    }

    #[test]
    fn a_window_is_open_from_its_occurrence_for_its_duration_in_its_own_time_zone() {
        // Tuesday 2026-11-24 22:00 in Amsterdam is 21:00 UTC.
        for (now, open) in [
            ("2026-11-24T20:59:59Z", false),
            ("2026-11-24T21:00:00Z", true),
            ("2026-11-24T22:59:59Z", true),
            ("2026-11-24T23:00:00Z", false),
            ("2026-11-25T21:30:00Z", false),
            // In summer it is 20:00 UTC.
            ("2026-07-07T20:30:00Z", true),
            ("2026-07-07T22:30:00Z", false),
        ] {
            let standing = state(&tuesday_night(), now.parse().unwrap());
            assert_eq!(matches!(standing, WindowState::Open(_)), open, "{now}: {standing:?}");
        }
    }

    #[test]
    fn a_window_spans_midnight_and_the_hours_that_clocks_skip_or_repeat() {
        let nightly = |schedule: &str, hours: u64| Window {
            schedule: schedule.into(),
            time_zone: "Europe/Amsterdam".into(),
            duration: Duration::from_secs(3600 * hours),
        };
        let is_open = |window: &Window, now: &str| matches!(state(window, now.parse().unwrap()), WindowState::Open(_));
        let midnight = nightly("0 23 * * 2", 3);
        for (now, open) in [
            ("2026-11-24T22:30:00Z", true),
            ("2026-11-25T00:59:00Z", true),
            ("2026-11-25T01:00:00Z", false),
        ] {
            assert_eq!(is_open(&midnight, now), open, "{now}");
        }
        // On 2026-03-29 half past two does not exist: the window opens when the clocks go on, at 01:00 UTC.
        let skipped = nightly("30 2 * * *", 1);
        for (now, open) in [
            ("2026-03-29T00:59:00Z", false),
            ("2026-03-29T01:30:00Z", true),
            ("2026-03-29T02:31:00Z", false),
        ] {
            assert_eq!(is_open(&skipped, now), open, "{now}");
        }
        // On 2026-10-25 it is half past two twice, at 00:30 and 01:30 UTC: open for its duration, and never beyond the second.
        for (now, open) in [
            ("2026-10-25T00:29:00Z", false),
            ("2026-10-25T00:45:00Z", true),
            ("2026-10-25T02:31:00Z", false),
        ] {
            assert_eq!(is_open(&skipped, now), open, "{now}");
        }
    }

    #[test]
    fn a_closed_window_says_when_it_opens() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let opens = "2026-11-24T21:00:00Z".parse().unwrap();
        assert_eq!(state(&tuesday_night(), now), WindowState::Closed(Some(opens)));
    }

    #[test]
    fn an_impossible_date_or_a_broken_schedule_never_opens() {
        let now = "2026-11-24T21:30:00Z".parse().unwrap();
        for schedule in ["0 0 31 2 *", "at night"] {
            let window = Window {
                schedule: schedule.into(),
                ..tuesday_night()
            };
            assert!(matches!(state(&window, now), WindowState::Closed(_)), "{schedule}");
        }
        let window = Window {
            time_zone: "Mars/Olympus".into(),
            ..tuesday_night()
        };
        assert_eq!(state(&window, now), WindowState::Closed(None));
    }

    #[test]
    fn a_six_field_schedule_is_refused_with_a_sentence() {
        assert!(
            check_schedule("0 0 22 * * 2")
                .unwrap_err()
                .contains("such as 0 22 * * 2")
        );
        assert!(check_time_zone("Amsterdam/Europe").unwrap_err().contains("IANA"));
    }
}
