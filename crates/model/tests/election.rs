//! The lease and its fence, explored: safe settings are safe, unsafe ones are found out.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

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

#[test]
fn within_skew_and_delay_that_the_margin_covers_nobody_writes_beside_another() {
    let (horizon, read_delay) = if deeper() { (9, 0) } else { (SAFE.horizon, 0) };
    let times = Times {
        horizon,
        read_delay,
        ..SAFE
    };
    assert_eq!(times.settings().check(), Ok(()));
    assert!(times.settings().longest_write().as_secs() >= u64::from(times.write));
    let checker = Election::new(times).checker().spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("safe: {states} unique states, depth {depth}");
    assert!(checker.is_done());
    checker.assert_properties();
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
    is_found_out("skew beyond the margin", Times { skew: 4, ..SAFE });
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
