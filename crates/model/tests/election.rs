//! The lease and its fence, explored: safe settings are safe, unsafe ones are found out.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::Instant;

use sreg_model::election::{ALONE, Election, Times};
use stateright::{Checker, HasDiscoveries, Model};

/// Skew and delay fit into the margin.
const SAFE: Times = Times {
    duration: 5,
    grace: 4,
    margin: 2,
    write: 1,
    lag: 0,
    delay: 1,
    clearing_delay: 0,
    read_delay: 0,
    skew: 1,
    asks_for_the_rest: true,
    former_holder: false,
    horizon: 8,
};

fn deeper() -> bool {
    std::env::var("SREG_CAMPAIGN").is_ok_and(|v| v == "full")
}

/// The counterexample that must be there.
fn is_found_out(name: &str, times: Times) {
    let model = Election::new(times).checker();
    // What is found out need not be explored to the end.
    let checker = model.finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    let path = checker.discovery(ALONE).expect("two writers at once were not found");
    println!(
        "{name}: found after {} states: {:?}",
        checker.unique_state_count(),
        path.into_actions()
    );
}

/// Explores all of it: never two at once, and what has to come about does.
fn is_safe(name: &str, times: Times) {
    assert_eq!(times.settings().check(), Ok(()));
    assert!(times.settings().longest_write().as_secs() >= u64::from(times.write));
    let began = Instant::now();
    let checker = Election::new(times).checker().spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let seconds = began.elapsed().as_secs_f32();
    println!("{name}: {states} unique states, depth {depth}, {seconds:.1} s");
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn within_skew_and_delay_that_the_margin_covers_nobody_writes_beside_another() {
    let horizon = if deeper() { 9 } else { SAFE.horizon };
    // The first candidate holds the Lease, so ahead is not the same as behind.
    is_safe("the other is ahead", Times { horizon, ..SAFE });
    is_safe(
        "the other is behind",
        Times {
            horizon,
            skew: -1,
            ..SAFE
        },
    );
}

#[test]
fn reads_that_are_answered_late_make_nobody_write_beside_another() {
    // Reads under way are many more states: no longer than until the lease has gone on to the other.
    let all = [(1, 7), (-1, 8)];
    let explored = if deeper() { &all[..] } else { &all[..1] };
    for (skew, horizon) in explored.iter().copied() {
        let times = Times {
            read_delay: 1,
            horizon,
            skew,
            ..SAFE
        };
        is_safe("late reads", times);
    }
}

#[test]
fn a_lease_that_a_former_one_left_is_taken_by_one_of_two() {
    for skew in [1, -1] {
        let times = Times {
            former_holder: true,
            horizon: if deeper() { 7 } else { 5 },
            skew,
            ..SAFE
        };
        is_safe("after a former holder", times);
    }
}

#[test]
fn without_a_margin_two_write_at_once() {
    let times = Times {
        margin: 0,
        skew: 2,
        ..SAFE
    };
    assert!(times.settings().check().is_err(), "the product refuses it");
    is_found_out("no margin", times);
}

#[test]
fn a_write_that_may_outlast_the_lease_meets_another() {
    is_found_out(
        "writes beyond the rest",
        Times {
            asks_for_the_rest: false,
            write: 4,
            horizon: 7,
            ..SAFE
        },
    );
}

#[test]
fn clocks_further_apart_than_the_margin_let_two_write() {
    is_found_out("ahead beyond the margin", Times { skew: 4, ..SAFE });
    // One that is behind writes stamps that the other finds expired.
    let behind = Times {
        skew: -4,
        former_holder: true,
        horizon: 6,
        ..SAFE
    };
    is_found_out("behind beyond the margin", behind);
}

#[test]
fn a_clearing_that_lands_after_the_other_took_the_lease_frees_what_is_held() {
    is_found_out(
        "late clearing",
        Times {
            clearing_delay: 2,
            former_holder: true,
            horizon: 3,
            ..SAFE
        },
    );
}
