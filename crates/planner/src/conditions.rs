//! Conditions: declared by a table, then computed and merged. `Ready`, `Reconciling` and `Stalled` follow from the one state; the
//! others from what the plan thinks of the world.
//!
//! | state | Ready | Reconciling | Stalled |
//! | --- | --- | --- | --- |
//! | Unknown, AzureUnreachable | Unknown | True | False |
//! | Progressing, CreatingEndpoints, ConfiguringDns, Settling, Proving, Locking, Opening, Degraded | False | True | False |
//! | Awaiting… | False | False | False |
//! | Locked, Open, Observed | True | False | False |
//! | Stalled, PathLost | False | False | True |
//! | BreakGlass | False | False | False |
//! | Deleting | False | True | False |

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sreg_api::conditions::{ConditionType, State};
use sreg_domain::outside;
use strum::IntoEnumIterator;

/// Longest message: conditions allow 32 kB, people and `kubectl` less.
const LONGEST_MESSAGE: usize = 4096;

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Truth {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

/// The state table: `Ready`, `Reconciling` and `Stalled` of a state.
pub fn trio(state: State) -> (Truth, Truth, Truth) {
    use Truth::{False, True, Unknown};
    match state {
        State::Unknown | State::AzureUnreachable => (Unknown, True, False),
        State::Progressing
        | State::CreatingEndpoints
        | State::ConfiguringDns
        | State::Settling
        | State::Proving
        | State::Locking
        | State::Opening
        | State::Degraded
        | State::Deleting => (False, True, False),
        State::AwaitingConnectionApproval
        | State::AwaitingApproval
        | State::AwaitingWindow
        | State::AwaitingAction
        | State::BreakGlass => (False, False, False),
        State::Locked | State::Open | State::Observed => (True, False, False),
        State::Stalled | State::PathLost => (False, False, True),
    }
}

/// One condition before it meets the former ones.
pub(crate) struct Draft {
    pub(crate) kind: ConditionType,
    pub(crate) truth: Truth,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Merges new conditions with former ones: every type, in order, exactly once; the transition time moves only when the status
/// flips; a message that differs only in a correlation id stays as it was.
pub(crate) fn merge(drafts: Vec<Draft>, former: &[Condition], generation: i64, now: Timestamp) -> Vec<Condition> {
    ConditionType::iter()
        .map(|kind| {
            let draft = drafts.iter().find(|d| d.kind == kind);
            let (truth, reason, message) = match draft {
                Some(d) => (d.truth, d.reason.as_str(), d.message.as_str()),
                None => (Truth::Unknown, "NotKnown", ""),
            };
            one(&kind.to_string(), (truth, reason, message), (former, generation), now)
        })
        .collect()
}

/// One condition, of whichever kind of object, merged with the former ones.
pub(crate) fn one(
    name: &str,
    (truth, reason, message): (Truth, &str, &str),
    (former, generation): (&[Condition], i64),
    now: Timestamp,
) -> Condition {
    let before = former.iter().find(|c| c.type_ == name);
    let unchanged = before.filter(|c| c.status == truth.as_str());
    let message = truncate(message, LONGEST_MESSAGE);
    Condition {
        last_transition_time: unchanged.map_or_else(|| whole_seconds(now), |c| c.last_transition_time.clone()),
        message: unchanged
            .filter(|c| says_the_same(&c.message, &message))
            .map_or(message, |c| c.message.clone()),
        observed_generation: Some(generation),
        reason: reason.to_owned(),
        status: truth.as_str().to_owned(),
        type_: name.to_owned(),
    }
}

/// Times in status carry whole seconds.
pub(crate) fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The end of what lasts so much longer, in whole seconds.
pub(crate) fn from_now(now: Timestamp, left: Duration) -> Timestamp {
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
    let end = now.saturating_add(left).unwrap_or(now);
    let whole = whole_seconds(end).0;
    if whole == end {
        whole
    } else {
        whole.saturating_add(SignedDuration::from_secs(1)).unwrap_or(end)
    }
}

/// A text for people, harmless whoever's words stand in it, cut at a character boundary. What is compared with a former text is
/// compared after this.
pub(crate) fn truncate(text: &str, most: usize) -> String {
    outside::cut(&outside::harmless(text), most).into_owned()
}

/// Azure gives every attempt ids of its own, and says when it was; a status that changed with each would never be quiet. An end that
/// was told is told anew only if it moved by more than clocks and rounding do.
pub(crate) fn says_the_same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (without_ids(a), without_ids(b));
    let (mut a, mut b) = (a.split_whitespace(), b.split_whitespace());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || are_the_same_time(a, b) => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
}

const ROUNDING: SignedDuration = SignedDuration::from_secs(2);

fn are_the_same_time(a: &str, b: &str) -> bool {
    let time = |word: &str| {
        word.trim_matches([':', ',', ';', '(', ')', '.'])
            .parse::<Timestamp>()
            .ok()
    };
    let times = time(a).zip(time(b));
    times.is_some_and(|(a, b)| a.duration_since(b).abs() <= ROUNDING)
}

/// Without whatever follows the words by which Azure, Entra and storage call an id or the time of a request.
fn without_ids(text: &str) -> String {
    const CALLED: [&str; 7] = [
        "correlation id",
        "correlationid",
        "trace id",
        "tracking id",
        "activity id",
        "request id",
        "requestid",
    ];
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut from = 0;
    while let Some((at, called)) = CALLED
        .iter()
        .filter_map(|called| Some((from + lower.get(from..)?.find(called)?, *called)))
        .min()
    {
        let id = at + called.len();
        out += text.get(from..id).unwrap_or_default();
        let rest = text.get(id..).unwrap_or_default();
        let between = rest.len() - rest.trim_start_matches([' ', ':', '=', '\'', '"', '`']).len();
        let word = rest.get(between..).unwrap_or_default();
        let end = word
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .unwrap_or(word.len());
        from = id + between + end;
    }
    out + &without_times(text.get(from..).unwrap_or_default())
}

/// `Timestamp: 2026-11-28 12:00:00Z` and `Time:2026-11-28T12:00:00Z`, which end such sentences.
fn without_times(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let at = ["timestamp:", "\ntime:", " time:"]
        .iter()
        .filter_map(|called| lower.find(called))
        .min();
    at.map_or_else(|| text.to_owned(), |at| text.get(..at).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the state table in docs/architecture.md, one by one.
    #[test]
    fn every_state_has_its_row() {
        use Truth::{False, True, Unknown};
        for state in State::iter() {
            let row = match state {
                State::Unknown => (Unknown, True, False),
                State::AzureUnreachable => (Unknown, True, False),
                State::Degraded => (False, True, False),
                State::Progressing => (False, True, False),
                State::CreatingEndpoints => (False, True, False),
                State::ConfiguringDns => (False, True, False),
                State::Settling => (False, True, False),
                State::Proving => (False, True, False),
                State::Locking => (False, True, False),
                State::Opening => (False, True, False),
                State::AwaitingConnectionApproval => (False, False, False),
                State::AwaitingApproval => (False, False, False),
                State::AwaitingWindow => (False, False, False),
                State::AwaitingAction => (False, False, False),
                State::Locked => (True, False, False),
                State::Open => (True, False, False),
                State::Observed => (True, False, False),
                State::Stalled => (False, False, True),
                State::PathLost => (False, False, True),
                State::BreakGlass => (False, False, False),
                State::Deleting => (False, True, False),
            };
            assert_eq!(trio(state), row, "{state}");
        }
    }

    #[test]
    fn ready_reconciling_and_stalled_never_contradict_each_other() {
        for state in State::iter() {
            let (ready, reconciling, stalled) = trio(state);
            assert!(
                ready != Truth::True || (reconciling == Truth::False && stalled == Truth::False),
                "{state}"
            );
            assert!(reconciling != Truth::True || stalled != Truth::True, "{state}");
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(truth: Truth, message: &str) -> Vec<Draft> {
        vec![Draft {
            kind: ConditionType::Ready,
            truth,
            reason: "Proving".into(),
            message: message.into(),
        }]
    }

    #[test]
    fn all_types_are_written_in_order_from_the_first_visit() {
        let merged = merge(Vec::new(), &[], 1, at(5));
        let types: Vec<String> = merged.iter().map(|c| c.type_.clone()).collect();
        assert_eq!(types, ConditionType::iter().map(|t| t.to_string()).collect::<Vec<_>>());
        assert!(
            merged
                .iter()
                .all(|c| c.status == "Unknown" && c.observed_generation == Some(1))
        );
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let first = merge(ready(Truth::False, "a"), &[], 1, at(5));
        let second = merge(ready(Truth::False, "b"), &first, 2, at(9));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(
            (second[0].message.as_str(), second[0].observed_generation),
            ("b", Some(2))
        );
        let third = merge(ready(Truth::True, "b"), &second, 2, at(11));
        assert_eq!(third[0].last_transition_time, whole_seconds(at(11)));
    }

    #[test]
    fn another_correlation_id_is_no_news() {
        let first = merge(ready(Truth::False, "denied (correlation id 1), ask"), &[], 1, at(5));
        let second = merge(ready(Truth::False, "denied (correlation id 2), ask"), &first, 1, at(9));
        assert_eq!(second, first);
        let third = merge(ready(Truth::False, "denied (correlation id 2), beg"), &second, 1, at(9));
        assert!(third[0].message.ends_with("beg"));
    }

    #[test]
    fn what_azure_and_entra_say_anew_each_time_is_no_news() {
        let pairs = [
            (
                "AADSTS700016: x. Trace ID: 1a-2 Correlation ID: 3b Timestamp: 2026-11-28 12:00:00Z",
                "AADSTS700016: x. Trace ID: 9f-2 Correlation ID: 8e Timestamp: 2026-11-28 12:00:09Z",
            ),
            (
                "busy. RequestId:11-22\nTime:2026-11-28T12:00:00.1Z",
                "busy. RequestId:33-44\nTime:2026-11-28T12:00:01.2Z",
            ),
            ("denied. Tracking Id: 'ab-12'; ask", "denied. Tracking Id: 'cd-34'; ask"),
            (
                "settles until 2026-11-28T12:00:00Z: wait",
                "settles until 2026-11-28T12:00:01Z: wait",
            ),
        ];
        for (a, b) in pairs {
            assert!(says_the_same(a, b), "{a} | {b}");
        }
        let others = [
            (
                "settles until 2026-11-28T12:00:00Z: wait",
                "settles until 2026-11-28T12:00:05Z: wait",
            ),
            ("denied. Tracking Id: 'ab-12'; ask", "denied. Tracking Id: 'ab-12'; beg"),
            ("größe correlation id", "größer correlation id"),
            ("a", "a b"),
        ];
        for (a, b) in others {
            assert!(!says_the_same(a, b), "{a} | {b}");
        }
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let text = "ä".repeat(1000);
        let cut = truncate(&text, 1024);
        assert!(cut.len() <= 1024 && cut.ends_with('…'));
        assert_eq!(truncate("short", 1024), "short");
    }
}
