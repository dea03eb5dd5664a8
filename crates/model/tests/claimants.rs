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

const LOCKED: PublicAccess = PublicAccess::Disabled;
const OPEN: PublicAccess = PublicAccess::Enabled;

/// The first one has what it wants already.
fn config(name: &'static str, second: Second, wants: [PublicAccess; 2]) -> Config {
    Config {
        name,
        second,
        wants,
        start: Start::FirstIsDone,
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

const BOTH_PLACES: [Second; 2] = [Second::InAnotherNamespace, Second::InAnotherCluster];

#[test]
fn a_hostile_object_opens_closes_and_deletes_nothing_of_what_another_one_locked() {
    for second in BOTH_PLACES {
        let config = Config {
            disturbances: HOSTILE.to_vec(),
            ..config("hostile", second, [LOCKED, OPEN])
        };
        explore(config, &[Happening::ToldOfTheHolder(1), Happening::Ended(1)]);
    }
}

#[test]
fn of_two_that_begin_at_once_one_locks_and_neither_fights() {
    for second in BOTH_PLACES {
        let config = Config {
            start: Start::Both,
            budget: budget() - 1,
            disturbances: vec![
                (Disturbance::Restart, 0),
                (Disturbance::WipeClaimTag, 0),
                (Disturbance::Delete, 1),
            ],
            ..config("at once", second, [LOCKED, LOCKED])
        };
        let both = [Happening::ToldOfTheHolder(0), Happening::ToldOfTheHolder(1)];
        explore(config, &both);
    }
}

#[test]
fn a_locked_registry_that_moves_is_never_held_by_both() {
    for second in BOTH_PLACES {
        let config = Config {
            disturbances: MOVE.to_vec(),
            ..config("moved while locked", second, [LOCKED, LOCKED])
        };
        explore(config, &[Happening::ToldOfTheHolder(1)]);
    }
}

/// A registry that is open while it moves: the end of the first object takes away what the second one may go through by then.
fn moved_while_open() -> Config {
    Config {
        disturbances: vec![
            (Disturbance::LetTakeOver, 1),
            (Disturbance::Delete, 0),
            (Disturbance::Restart, 1),
            (Disturbance::EraseStatus, 0),
        ],
        ..config("moved while open", Second::InAnotherCluster, [OPEN, LOCKED])
    }
}

#[test]
fn the_end_of_an_object_takes_nothing_away_that_another_cluster_holds_by_then() {
    let happen = [Happening::Deleted(0), Happening::RefusedByFence(0)];
    explore(moved_while_open(), &happen);
}

/// The rule that is broken first where something is wrong on purpose.
fn found_out(flaw: Flaw, config: Config) -> &'static str {
    let mut model = Claimants::new(config);
    model.flaw = Some(flaw);
    let (rule, _) = explored(model).expect("it is found out");
    rule
}

#[test]
fn an_operator_that_takes_every_claim_for_its_own_is_found_out() {
    for second in BOTH_PLACES {
        let broken = found_out(Flaw::TakesClaimsForItsOwn, config("flawed", second, [LOCKED, OPEN]));
        assert_eq!(broken, OPENING);
    }
}

#[test]
fn a_deletion_without_a_second_look_is_found_out() {
    assert_eq!(found_out(Flaw::DeletesWithoutSecondLook, moved_while_open()), DELETING);
}

#[test]
fn operators_that_fight_for_the_tag_are_found_out() {
    let config = config("fighting", Second::InAnotherCluster, [LOCKED, LOCKED]);
    assert_eq!(found_out(Flaw::FightsForTheTag, config), RESTING);
}
