//! Tables and laws of the state machine.

use proptest::prelude::*;
use sreg_api::probe::{Hop, ProbeService, SecureRegistryReference};

use super::*;

const NAMES: [&str; 3] = ["a.azurecr.io", "b.blob.core.windows.net", "c.api.azureml.ms"];

fn question(generation: i64, round: i64, subject: &str, most: i32) -> Question {
    let path = |fqdn: &&str| ProbePath {
        fqdn: (*fqdn).to_owned(),
        service: ProbeService::Blob,
        addresses: vec!["10.1.0.4".to_owned()],
        private_link_name: None,
    };
    Question {
        generation,
        spec: ConnectivityProbeSpec {
            vantage_point_uid: "point".to_owned(),
            vantage_point_generation: 1,
            secure_registry: SecureRegistryReference {
                namespace: "ml-platform".to_owned(),
                name: "contoso-models".to_owned(),
                uid: "0b1c".to_owned(),
            },
            vantage_point: "hub-agent".to_owned(),
            service_account_name: "agent".to_owned(),
            subject: subject.to_owned(),
            round,
            interval_milliseconds: 100,
            consecutive_successes: most,
            dns_servers: Vec::new(),
            paths: NAMES.iter().map(path).collect(),
        },
    }
}

fn attempt(outcome: ProbeOutcome) -> Attempt {
    Attempt {
        outcome,
        hop: (outcome != ProbeOutcome::Succeeded).then_some(Hop::Tcp),
        message: "10.1.0.4:443 does not answer".to_owned(),
        addresses: vec!["10.1.0.4".to_owned()],
        cname_chain: vec![],
        silent_servers: vec![],
    }
}

fn sweep(generation: i64, outcomes: [ProbeOutcome; 3]) -> Sweep {
    Sweep {
        generation,
        attempts: outcomes.map(attempt).to_vec(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn counts(path_results: &PathResults) -> Vec<(i32, i32)> {
    path_results
        .status()
        .results
        .iter()
        .map(|result| (result.successes, result.failures))
        .collect()
}

use ProbeOutcome::{Failed, Succeeded, Unknown};

#[test]
fn a_round_counts_in_a_row_up_to_what_is_asked() {
    let mut path_results = PathResults::new(question(1, 77, "s", 2), None);
    let steps = [
        ([Succeeded, Failed, Unknown], [(1, 0), (0, 1), (0, 0)]),
        ([Succeeded, Succeeded, Succeeded], [(2, 0), (1, 0), (1, 0)]),
        ([Succeeded, Succeeded, Unknown], [(2, 0), (2, 0), (0, 0)]),
        ([Failed, Unknown, Failed], [(0, 1), (0, 0), (0, 1)]),
        ([Failed, Failed, Succeeded], [(0, 2), (0, 1), (1, 0)]),
        ([Failed, Unknown, Succeeded], [(0, 2), (0, 0), (2, 0)]),
    ];
    for (outcomes, expected) in steps {
        assert!(path_results.take(&sweep(1, outcomes), at(0)));
        assert_eq!(counts(&path_results), expected, "after {outcomes:?}");
    }
}

#[test]
fn outside_rounds_nothing_is_counted() {
    let mut path_results = PathResults::new(question(1, 0, "s", 3), None);
    path_results.take(&sweep(1, [Succeeded, Failed, Unknown]), at(0));
    assert_eq!(counts(&path_results), [(0, 0); 3]);
    assert_eq!(path_results.status().summary, "1/3");
}

#[test]
fn the_first_failure_names_path_and_hop() {
    let mut path_results = PathResults::new(question(1, 77, "s", 2), None);
    path_results.take(&sweep(1, [Unknown, Failed, Succeeded]), at(0));
    let status = path_results.status();
    assert_eq!(
        status.first_failure.as_deref(),
        Some("b.blob.core.windows.net: tcp: 10.1.0.4:443 does not answer"),
        "a failure comes before what is not known"
    );
    path_results.take(&sweep(1, [Unknown, Succeeded, Succeeded]), at(1));
    assert!(
        path_results
            .status()
            .first_failure
            .unwrap()
            .starts_with("a.azurecr.io: tcp: ")
    );
    path_results.take(&sweep(1, [Succeeded; 3]), at(2));
    assert_eq!(
        (path_results.status().first_failure, path_results.status().summary),
        (None, "3/3".to_owned())
    );
}

#[test]
fn nothing_is_published_before_a_whole_sweep_answered_the_question() {
    let mut path_results = PathResults::new(question(1, 77, "s", 2), None);
    assert_eq!(path_results.unpublished(None), None);
    path_results.take(&sweep(1, [Succeeded; 3]), at(0));
    let first = path_results.unpublished(None).unwrap();
    path_results.ask(question(2, 78, "s", 2));
    assert_eq!(
        path_results.unpublished(Some(&first)),
        None,
        "the old results are no answer to the new question"
    );
    assert!(
        !path_results.take(&sweep(1, [Succeeded; 3]), at(1)),
        "nor are attempts that began under the old one"
    );
    assert!(path_results.take(&sweep(2, [Succeeded; 3]), at(2)));
    let second = path_results.unpublished(Some(&first)).unwrap();
    assert_eq!(
        (second.observed_generation, second.round, second.results[0].successes),
        (Some(2), 78, 1)
    );
}

#[test]
fn an_erased_status_is_written_again() {
    let mut path_results = PathResults::new(question(1, 0, "s", 2), None);
    path_results.take(&sweep(1, [Succeeded; 3]), at(0));
    let published = path_results.unpublished(None).unwrap();
    assert_eq!(path_results.unpublished(Some(&published)), None);
    assert_eq!(
        path_results.unpublished(Some(&ConnectivityProbeStatus::default())),
        Some(published.clone())
    );
    assert_eq!(path_results.unpublished(None), Some(published));
}

#[test]
fn another_wording_alone_is_no_reason_to_write() {
    let mut path_results = PathResults::new(question(1, 0, "s", 2), None);
    path_results.take(&sweep(1, [Failed; 3]), at(0));
    let published = path_results.unpublished(None).unwrap();
    let mut worded = sweep(1, [Failed; 3]);
    worded.attempts[0].message = "10.1.0.5:443 does not answer".to_owned();
    path_results.take(&worded, at(1));
    assert_eq!(path_results.unpublished(Some(&published)), None);
    worded.attempts[0].hop = Some(Hop::Dns);
    path_results.take(&worded, at(2));
    assert_eq!(
        path_results.unpublished(Some(&published)).unwrap().results[0].hop,
        Some(Hop::Dns)
    );
}

#[test]
fn the_transition_time_moves_only_with_the_outcome_over_questions_and_restarts() {
    let times = |path_results: &PathResults| -> Vec<i64> {
        let time = |r: &PathResult| {
            r.last_transition_time
                .as_ref()
                .map_or(-1, |t| t.0.as_second() - 1_800_000_000)
        };
        path_results.status().results.iter().map(time).collect()
    };
    let mut path_results = PathResults::new(question(1, 0, "s", 2), None);
    path_results.take(&sweep(1, [Succeeded, Failed, Unknown]), at(10));
    path_results.take(&sweep(1, [Succeeded, Failed, Failed]), at(20));
    assert_eq!(times(&path_results), [10, 10, 20]);
    path_results.ask(question(2, 5, "s", 2));
    path_results.take(&sweep(2, [Succeeded, Succeeded, Failed]), at(30));
    assert_eq!(times(&path_results), [10, 30, 20]);
    let mut restarted = PathResults::new(question(2, 5, "s", 2), Some(&path_results.status()));
    restarted.take(&sweep(2, [Succeeded, Succeeded, Unknown]), at(40));
    assert_eq!(times(&restarted), [10, 30, 40]);
    assert_eq!(counts(&restarted), [(1, 0), (1, 0), (0, 0)], "but counts begin again");
}

#[test]
fn what_came_from_outside_is_bounded() {
    let mut path_results = PathResults::new(question(1, 1, "s", 1), None);
    let mut long = sweep(1, [Failed; 3]);
    long.attempts[0].message = "ü".repeat(5000);
    long.attempts[0].addresses = vec!["10.1.0.4".to_owned(); 99];
    long.attempts[0].cname_chain = vec!["x".repeat(999); 99];
    path_results.take(&long, at(0));
    let status = path_results.status();
    let result = &status.results[0];
    assert!(result.message.len() <= 512 && status.first_failure.unwrap().len() <= 512);
    assert_eq!((result.addresses.len(), result.cname_chain.len()), (32, 16));
    assert!(result.cname_chain.iter().all(|name| name.len() <= 253));
}

/// What can happen to an agent.
#[derive(Debug, Clone)]
enum Happening {
    Asked {
        round: i64,
        subject: String,
        most: i32,
    },
    Swept([ProbeOutcome; 3]),
    /// A sweep that began under an earlier question.
    Late(i64, [ProbeOutcome; 3]),
    Published,
    Restarted,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let outcome = || prop_oneof![4 => Just(Succeeded), 2 => Just(Failed), 1 => Just(Unknown)];
    let outcomes = move || [outcome(), outcome(), outcome()];
    let happening = prop_oneof![
        1 => (0..3i64, "[st]", 1..4i32).prop_map(|(round, subject, most)| Happening::Asked { round, subject, most }),
        6 => outcomes().prop_map(Happening::Swept),
        1 => (1..4i64, outcomes()).prop_map(|(behind, outcomes)| Happening::Late(behind, outcomes)),
        3 => Just(Happening::Published),
        1 => Just(Happening::Restarted),
    ];
    prop::collection::vec(happening, 0..40)
}

/// How often `wanted` stands in a row at the end, at most `most`; nothing counts outside rounds.
fn in_a_row(history: &[[ProbeOutcome; 3]], path: usize, wanted: ProbeOutcome, question: &Question) -> i32 {
    let run = history
        .iter()
        .rev()
        .take_while(|outcomes| outcomes[path] == wanted)
        .count();
    if question.spec.round == 0 {
        0
    } else {
        i32::try_from(run).unwrap().min(question.spec.consecutive_successes)
    }
}

proptest! {
    #[test]
    fn the_laws_hold_over_any_history(happenings in happenings()) {
        let mut asked = question(10, 1, "s", 3);
        let mut path_results = PathResults::new(asked.clone(), None);
        let mut published: Option<ConnectivityProbeStatus> = None;
        let mut history: Vec<[ProbeOutcome; 3]> = vec![];
        for (second, happening) in (0i64..).zip(happenings) {
            let before = path_results.clone();
            match happening {
                Happening::Asked { round, subject, most } => {
                    asked = question(asked.generation + 1, round, &subject, most);
                    path_results.ask(asked.clone());
                    history.clear();
                }
                Happening::Swept(outcomes) => {
                    prop_assert!(path_results.take(&sweep(asked.generation, outcomes), at(second)));
                    history.push(outcomes);
                }
                Happening::Late(behind, outcomes) => {
                    prop_assert!(!path_results.take(&sweep(asked.generation - behind, outcomes), at(second)));
                    prop_assert_eq!(&path_results, &before, "an older question's attempts change nothing");
                }
                Happening::Published => {
                    if let Some(status) = path_results.unpublished(published.as_ref()) {
                        published = Some(status);
                    }
                    prop_assert_eq!(path_results.unpublished(published.as_ref()), None, "what was said is not said again");
                }
                Happening::Restarted => {
                    path_results = PathResults::new(asked.clone(), published.as_ref());
                    history.clear();
                }
            }
            let status = path_results.status();
            let echo = (status.observed_generation, status.round, &status.subject);
            prop_assert_eq!(echo, (Some(asked.generation), asked.spec.round, &asked.spec.subject));
            prop_assert_eq!(status.results.len(), NAMES.len());
            for (path, result) in status.results.iter().enumerate() {
                prop_assert_eq!(&result.fqdn, NAMES[path]);
                prop_assert_eq!(result.successes, in_a_row(&history, path, Succeeded, &asked));
                prop_assert_eq!(result.failures, in_a_row(&history, path, Failed, &asked));
                let last = history.last().map_or(Unknown, |outcomes| outcomes[path]);
                prop_assert_eq!(result.outcome, last);
            }
        }
    }

    #[test]
    fn a_settled_probe_is_quiet(steady in prop::collection::vec(prop_oneof![Just(Succeeded), Just(Failed)], 3), most in 1..6i32) {
        let outcomes = [steady[0], steady[1], steady[2]];
        let mut path_results = PathResults::new(question(1, 9, "s", most), None);
        let mut published = None;
        let mut writes = 0;
        for second in 0..20 {
            path_results.take(&sweep(1, outcomes), at(second));
            if let Some(status) = path_results.unpublished(published.as_ref()) {
                published = Some(status);
                writes += 1;
            }
        }
        prop_assert_eq!(writes, most, "one a sweep until every count has reached its end, then none");
    }
}
