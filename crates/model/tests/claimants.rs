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

fn whole_campaign() -> bool {
    std::env::var("SREG_CAMPAIGN").is_ok_and(|v| v == "full")
}

/// One more disturbance where the whole campaign is asked for.
fn deeper(budget: u8) -> u8 {
    budget + u8::from(whole_campaign())
}

/// The first ones; all of them in the whole campaign.
fn some_of(disturbances: &[(Disturbance, usize)], few: usize) -> Vec<(Disturbance, usize)> {
    let many = if whole_campaign() { disturbances.len() } else { few };
    disturbances.iter().copied().take(many).collect()
}

const LOCKED: PublicAccess = PublicAccess::Disabled;
const OPEN: PublicAccess = PublicAccess::Enabled;

/// The first one has what it wants already.
fn config(name: &'static str, second: Second, wants: [PublicAccess; 2]) -> Config {
    Config {
        name,
        second,
        wants,
        second_may_take_over: false,
        start: Start::FirstIsDone,
        deletion: DeletionPolicy::DeleteEndpoints,
        ticks: None,
        budget: 1,
        disturbances: Vec::new(),
    }
}

/// What a hostile second object and its namespace can do, and what may befall the first meanwhile.
const HOSTILE: &[(Disturbance, usize)] = &[
    (Disturbance::BreakGlass, 1),
    (Disturbance::Delete, 0),
    (Disturbance::EraseStatus, 0),
    (Disturbance::WipeClaimTag, 0),
    (Disturbance::TakeGrants, 0),
    (Disturbance::Restart, 0),
    (Disturbance::Delete, 1),
    (Disturbance::Restart, 1),
];

/// What may befall a move from the first to the second.
const MOVE: &[(Disturbance, usize)] = &[
    (Disturbance::Delete, 0),
    (Disturbance::BreakGlass, 0),
    (Disturbance::EraseStatus, 1),
    (Disturbance::Delete, 1),
    (Disturbance::BreakGlass, 1),
    (Disturbance::Restart, 0),
];

const BOTH_PLACES: [Second; 2] = [Second::InAnotherNamespace, Second::InAnotherCluster];

#[test]
fn a_hostile_object_opens_closes_and_deletes_nothing_of_what_another_one_locked() {
    for second in BOTH_PLACES {
        let config = Config {
            disturbances: some_of(HOSTILE, 2),
            ..config("hostile", second, [LOCKED, OPEN])
        };
        explore(config, &[Happening::ToldOfTheHolder(1)]);
    }
}

#[test]
fn of_two_that_begin_at_once_one_locks_and_neither_fights() {
    // From nothing there are a hundred times as many states.
    let places = if whole_campaign() { &BOTH_PLACES[..] } else { &[] };
    for second in places.iter().copied() {
        let disturbances = [(Disturbance::Restart, 0), (Disturbance::Delete, 1)];
        let config = Config {
            start: Start::Both,
            budget: deeper(0),
            disturbances: some_of(&disturbances, 0),
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
            second_may_take_over: true,
            // Both prove their paths by then, each in its own time.
            ticks: (!whole_campaign()).then_some(2),
            disturbances: some_of(MOVE, 3),
            ..config("moved while locked", second, [LOCKED, LOCKED])
        };
        explore(config, &[]);
    }
}

/// A registry that is open while it moves: the end of the first object takes away what the second one may go through by then.
fn moved_while_open() -> Config {
    Config {
        start: Start::FirstIsGoing,
        second_may_take_over: true,
        // A deletion is over before time matters.
        ticks: Some(deeper(1)),
        budget: deeper(0),
        disturbances: some_of(&[(Disturbance::Restart, 0), (Disturbance::EraseStatus, 0)], 0),
        ..config("moved while open", Second::InAnotherCluster, [OPEN, OPEN])
    }
}

#[test]
fn the_end_of_an_object_takes_nothing_away_that_another_cluster_holds_by_then() {
    let happen = [Happening::Deleted(0), Happening::RefusedByFence(0)];
    explore(moved_while_open(), &happen);
}

#[test]
fn two_disturbances_of_a_move_leave_it_to_one_of_them() {
    // With two of them there are hundreds of thousands of states.
    if !whole_campaign() {
        return;
    }
    for disturbances in [
        [(Disturbance::Delete, 0), (Disturbance::Reapply, 0)],
        [(Disturbance::Delete, 0), (Disturbance::BreakGlass, 1)],
        [(Disturbance::LetTakeOver, 1), (Disturbance::Delete, 0)],
    ] {
        let config = Config {
            budget: 2,
            second_may_take_over: disturbances[0].0 != Disturbance::LetTakeOver,
            disturbances: disturbances.to_vec(),
            ..config("moved, two disturbances", Second::InAnotherCluster, [LOCKED, LOCKED])
        };
        explore(config, &[]);
    }
}

/// What is wrong on purpose breaks this rule.
fn is_found_out(flaw: Flaw, config: Config, rule: &'static str) {
    let mut model = Claimants::new(config);
    model.flaw = Some(flaw);
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyOf([rule].into()))
        .spawn_dfs()
        .join();
    assert!(checker.discovery(rule).is_some(), "{flaw:?} is not found out: {rule}");
}

#[test]
fn an_operator_that_takes_every_claim_for_its_own_is_found_out() {
    for second in BOTH_PLACES {
        is_found_out(
            Flaw::TakesClaimsForItsOwn,
            config("flawed", second, [LOCKED, OPEN]),
            OPENING,
        );
    }
}

#[test]
fn a_deletion_without_a_second_look_is_found_out() {
    is_found_out(Flaw::DeletesWithoutSecondLook, moved_while_open(), DELETING);
}

#[test]
fn operators_that_fight_for_the_tag_are_found_out() {
    let config = config("fighting", Second::InAnotherCluster, [LOCKED, LOCKED]);
    is_found_out(Flaw::FightsForTheTag, config, RESTING);
}
