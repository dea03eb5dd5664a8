//! Two objects that name one registry, explored to the end: of two clusters, and of two namespaces of one cluster.
//! `SREG_CAMPAIGN=full` goes one disturbance deeper.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::sync::Arc;
use std::time::Instant;

use sreg_api::registry::{DeletionPolicy, PublicAccess};
use sreg_model::claimants::{
    CLOSING, Claimants, Config, DELETING, Disturbance, Flaw, Happening, OPENING, REFUSED, RESTING, Second, Start,
};
use stateright::{Checker, HasDiscoveries, Model};

const RULES: [&str; 5] = [OPENING, CLOSING, DELETING, REFUSED, RESTING];

/// Explores all of it. The rule that was broken first, if any, and how.
fn explored(model: Claimants) -> Option<(&'static str, String)> {
    let name = model.config.name;
    let tally = Arc::clone(&model.tally);
    let began = Instant::now();
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    println!(
        "{name}: {} unique states, depth {}, {:.1} s, {:?}",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32(),
        tally.happened()
    );
    RULES.into_iter().find_map(|rule| {
        let path = checker.discovery(rule)?;
        let last = path.last_state().clone();
        let rest = checker.model().comes_to_rest(&last);
        Some((rule, format!("{:#?}\n{last:#?}\n{rest:?}", path.into_actions())))
    })
}

/// Every rule holds, these things come about, and each disturbance changes something.
fn explore(config: Config, expected: &[Happening]) {
    let name = config.name;
    let disturbances = config.disturbances.clone();
    let model = Claimants::new(config);
    let tally = Arc::clone(&model.tally);
    if let Some((rule, how)) = explored(model) {
        panic!("{name}: it is not so that {rule}: {how}");
    }
    let happened = tally.happened();
    let missing: Vec<_> = expected.iter().filter(|what| !happened.contains_key(what)).collect();
    assert!(missing.is_empty(), "{name}: {missing:?} never came about");
    let disturbed = tally.disturbed();
    let idle: Vec<_> = disturbances.iter().filter(|d| !disturbed.contains_key(d)).collect();
    assert!(idle.is_empty(), "{name}: {idle:?} never changed anything");
}

fn budget() -> u8 {
    2 + u8::from(std::env::var("SREG_CAMPAIGN").is_ok_and(|v| v == "full"))
}

fn config(name: &'static str, second: Second, second_wants: PublicAccess, start: Start) -> Config {
    Config {
        name,
        second,
        second_wants,
        start,
        deletion: DeletionPolicy::DeleteEndpoints,
        budget: budget(),
        disturbances: Vec::new(),
    }
}

/// What a hostile second object and its namespace can do, and what may befall the first meanwhile.
const HOSTILE: &[(Disturbance, usize)] = &[
    (Disturbance::BreakGlass, 1),
    (Disturbance::Delete, 1),
    (Disturbance::Restart, 1),
    (Disturbance::EraseStatus, 0),
    (Disturbance::Restart, 0),
    (Disturbance::TakeGrants, 0),
    (Disturbance::Delete, 0),
    (Disturbance::WipeClaimTag, 0),
];

/// A move from the first to the second.
const MOVE: &[(Disturbance, usize)] = &[
    (Disturbance::LetTakeOver, 1),
    (Disturbance::Delete, 0),
    (Disturbance::Restart, 0),
    (Disturbance::BreakGlass, 0),
    (Disturbance::BreakGlass, 1),
    (Disturbance::EraseStatus, 1),
    (Disturbance::Delete, 1),
    (Disturbance::Reapply, 0),
];

#[test]
fn a_hostile_object_of_another_namespace_opens_closes_and_deletes_nothing_of_anothers_lock() {
    let second = Second::InAnotherNamespace;
    let config = Config {
        disturbances: HOSTILE.to_vec(),
        ..config(
            "hostile, one cluster",
            second,
            PublicAccess::Enabled,
            Start::FirstHasLocked,
        )
    };
    explore(config, &[Happening::ToldOfTheHolder(1)]);
}

#[test]
fn a_hostile_object_of_another_cluster_opens_closes_and_deletes_nothing_of_anothers_lock() {
    let second = Second::InAnotherCluster;
    let config = Config {
        disturbances: HOSTILE.to_vec(),
        ..config(
            "hostile, two clusters",
            second,
            PublicAccess::Enabled,
            Start::FirstHasLocked,
        )
    };
    explore(config, &[Happening::ToldOfTheHolder(1)]);
}

#[test]
fn of_two_that_begin_at_once_one_locks_and_neither_fights() {
    for (name, second) in [
        ("at once, one cluster", Second::InAnotherNamespace),
        ("at once, two clusters", Second::InAnotherCluster),
    ] {
        let config = Config {
            budget: budget() - 1,
            disturbances: vec![
                (Disturbance::Restart, 0),
                (Disturbance::WipeClaimTag, 0),
                (Disturbance::Delete, 1),
            ],
            ..config(name, second, PublicAccess::Disabled, Start::Both)
        };
        let both = [
            Happening::Closed(0),
            Happening::Closed(1),
            Happening::ToldOfTheHolder(0),
            Happening::ToldOfTheHolder(1),
        ];
        explore(config, &both);
    }
}

#[test]
fn a_registry_that_is_moved_to_another_object_is_never_held_by_both() {
    for (name, second) in [
        ("moved, one cluster", Second::InAnotherNamespace),
        ("moved, two clusters", Second::InAnotherCluster),
    ] {
        let config = Config {
            disturbances: MOVE.to_vec(),
            ..config(name, second, PublicAccess::Disabled, Start::FirstHasLocked)
        };
        explore(config, &[Happening::ToldOfTheHolder(1)]);
    }
}
