//! The lockdown, explored to the end: every configuration with one disturbance of every kind, and pairs of those that belong
//! together. `SREG_CAMPAIGN=full` takes one more each.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::sync::Arc;

use sreg_api::registry::{DeletionPolicy, RollbackPolicy};
use sreg_model::lockdown::disturbance::{self, Disturbance};
use sreg_model::lockdown::happened::Happening;
use sreg_model::lockdown::operator::{Died, Landing};
use sreg_model::lockdown::{CLOSING, Config, Fence, Lockdown, OPENING, REFUSED, RESTING, Start};
use stateright::{Checker, HasDiscoveries, Model};

fn config(name: &'static str, start: Start, budget: u8) -> Config {
    Config {
        name,
        start,
        rollback: RollbackPolicy::Hold,
        approval: false,
        policy_acts: false,
        deletion: DeletionPolicy::Retain,
        budget,
        disturbances: disturbance::ALL,
    }
}

/// One more disturbance where the whole campaign is asked for.
fn deeper(budget: u8) -> u8 {
    budget + u8::from(whole_campaign())
}

fn whole_campaign() -> bool {
    std::env::var("SREG_CAMPAIGN").is_ok_and(|v| v == "full")
}

/// Explores all of it; every rule has to hold, and these things have to come about.
fn explore(config: Config, expected: &[Happening]) {
    let (name, budget) = (config.name, config.budget);
    let model = Lockdown::new(config);
    let tally = Arc::clone(&model.tally);
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!(
        "{name}, {budget} disturbances: {states} unique states, depth {depth}, {:?}",
        tally.counts()
    );
    for rule in RULES {
        let Some(path) = checker.discovery(rule) else { continue };
        let last = path.last_state().clone();
        let rest = checker.model().comes_to_rest(&last);
        panic!(
            "{name}: it is not so that {rule}: {:#?}\n{last:#?}\n{rest:?}",
            path.into_actions()
        );
    }
    assert!(checker.is_done());
    let counts = tally.counts();
    let missing: Vec<_> = expected.iter().filter(|what| counts.get(what) == Some(&0)).collect();
    assert!(missing.is_empty(), "{name}: {missing:?} never came about");
}

const RULES: [&str; 4] = [CLOSING, OPENING, REFUSED, RESTING];

/// What touches names and endpoints, and what loses the knowledge of it.
const NAMES: &[Disturbance] = &[
    Disturbance::RemoveZoneGroup,
    Disturbance::RemoveRecords,
    Disturbance::ForeignZoneGroup,
    Disturbance::RemoveEndpoint,
    Disturbance::OpenByHand(false),
    Disturbance::CrashWithin(Died::AfterOne),
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::HandOver,
];

/// What a policy does to zone groups. (Records that somebody deletes in a zone that is not ours, only its owner can bring back:
/// the operator says so and waits.)
const ZONE_GROUPS: &[Disturbance] = &[
    Disturbance::RemoveZoneGroup,
    Disturbance::ForeignZoneGroup,
    Disturbance::RemoveEndpoint,
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::HandOver,
    Disturbance::Delete,
];

/// What loses paths, says so wrongly, and interrupts the way back.
const LOSSES: &[Disturbance] = &[
    Disturbance::Break(1),
    Disturbance::WrongFailure(0),
    Disturbance::OtherRound(1),
    Disturbance::CloseByHand,
    Disturbance::CrashWithin(Died::AfterOne),
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::StepUnanswered,
    Disturbance::HandOver,
];

/// Who may hold the lock back, and what interrupts it.
const PEOPLE: &[Disturbance] = &[
    Disturbance::Withdraw,
    Disturbance::NewReplica,
    Disturbance::BreakGlass,
    Disturbance::Enable,
    Disturbance::EraseStatus,
    Disturbance::HandOver,
    Disturbance::Crash { landed: true },
    Disturbance::WriteUnanswered(Landing::Unanswered),
    Disturbance::Delete,
];

#[test]
fn no_single_disturbance_on_the_way_to_the_lock_breaks_a_rule() {
    let expected = [
        Happening::Closed,
        Happening::OpenedBySpec,
        Happening::OpenedByBreakGlass,
        Happening::HandedOver,
        Happening::RefusedByFence,
        Happening::RefusedByLease,
        Happening::ReplyLost,
        Happening::Released,
    ];
    explore(config("to the lock", Start::Built, 1), &expected);
}

#[test]
fn no_single_disturbance_of_a_lock_breaks_a_rule() {
    for rollback in [RollbackPolicy::Hold, RollbackPolicy::Reopen] {
        let reopens = (rollback == RollbackPolicy::Reopen).then_some(Happening::OpenedByRollback);
        let config = Config {
            rollback,
            deletion: DeletionPolicy::DeleteEndpoints,
            ..config("locked", Start::Locked, 1)
        };
        explore(config, reopens.as_slice());
    }
}

#[test]
fn building_survives_every_crash() {
    let crashes = &[
        Disturbance::CrashWithin(Died::HalfWay),
        Disturbance::CrashWithin(Died::AfterOne),
        Disturbance::CrashWithin(Died::BeforeReport),
        Disturbance::StepUnanswered,
        Disturbance::HandOver,
    ];
    let config = Config {
        disturbances: crashes,
        ..config("from nothing", Start::Nothing, deeper(1))
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn the_lock_waits_for_its_approval_whatever_people_do() {
    let config = Config {
        approval: true,
        disturbances: PEOPLE,
        ..config("with approval", Start::Built, 1)
    };
    explore(config, &[Happening::Closed, Happening::RefusedByFence]);
}

#[test]
fn a_policy_over_zone_groups_is_no_livelock() {
    let config = Config {
        policy_acts: true,
        deletion: DeletionPolicy::DeleteEndpoints,
        disturbances: ZONE_GROUPS,
        ..config("by policy", Start::Built, 1)
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn no_two_disturbances_of_names_break_a_rule() {
    let config = Config {
        disturbances: NAMES,
        ..config("names", Start::Locked, 2)
    };
    explore(config, &[Happening::Closed, Happening::HandedOver]);
}

#[test]
fn names_changed_just_before_a_crash_settle_before_the_lock() {
    let all: &[Disturbance] = &[
        Disturbance::RemoveRecords,
        Disturbance::CrashWithin(Died::BeforeReport),
        Disturbance::RemoveZoneGroup,
        Disturbance::RemoveEndpoint,
    ];
    // In full that is six times as many states.
    let disturbances = if whole_campaign() { all } else { &all[..2] };
    let config = Config {
        disturbances,
        ..config("names before a crash", Start::Built, 2)
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn no_two_disturbances_after_the_lock_open_it_wrongly() {
    let config = Config {
        rollback: RollbackPolicy::Reopen,
        disturbances: LOSSES,
        ..config("losses", Start::Locked, deeper(2))
    };
    explore(config, &[Happening::Closed, Happening::OpenedByRollback]);
}

/// A rule that has to be found broken.
fn is_found_out(fence: Fence, disturbances: &'static [Disturbance]) {
    let mut model = Lockdown::new(Config {
        disturbances,
        ..config("without a fence", Start::Built, 1)
    });
    model.fence = fence;
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let path = checker.discovery(CLOSING).expect("not found out");
    println!(
        "{fence:?}: found after {} states: {:?}",
        checker.unique_state_count(),
        path.last_state().broken
    );
}

#[test]
fn a_closing_write_without_a_second_look_is_found_out() {
    is_found_out(
        Fence::WithoutSecondLook,
        &[Disturbance::BreakGlass, Disturbance::RemoveEndpoint],
    );
}

#[test]
fn a_closing_write_without_the_lease_is_found_out() {
    is_found_out(Fence::WithoutLease, &[Disturbance::HandOver]);
}
