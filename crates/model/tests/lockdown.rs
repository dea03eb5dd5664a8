//! The lockdown, explored to the end: one disturbance of every kind that can change anything, and pairs of those that belong together,
//! in each configuration. `SREG_CAMPAIGN=full` goes one deeper where that is affordable.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::sync::Arc;
use std::time::Instant;

use sreg_api::registry::{DeletionPolicy, RollbackPolicy};
use sreg_model::lockdown::coverage::Happening;
use sreg_model::lockdown::disturbance::{self, Disturbance};
use sreg_model::lockdown::operator::{Died, Landing};
use sreg_model::lockdown::{CLOSING, Config, DELETING, Flaw, Lockdown, OPENING, Policy, REFUSED, RESTING, Start};
use stateright::{Checker, HasDiscoveries, Model};

fn config(name: &'static str, start: Start, budget: u8) -> Config {
    Config {
        name,
        start,
        rollback: RollbackPolicy::Hold,
        approval: false,
        policy: Policy::Absent,
        dns_settle: 1,
        deletion: DeletionPolicy::Retain,
        budget,
        disturbances: disturbance::ALL.to_vec(),
    }
}

/// Every kind, but for those that can change nothing there.
fn all_but(idle: &[Disturbance]) -> Vec<Disturbance> {
    let all = disturbance::ALL.iter().copied();
    all.filter(|d| !idle.contains(d)).collect()
}

/// One more disturbance where the whole campaign is asked for.
fn deeper(budget: u8) -> u8 {
    budget + u8::from(whole_campaign())
}

fn whole_campaign() -> bool {
    std::env::var("SREG_CAMPAIGN").is_ok_and(|v| v == "full")
}

/// Explores all of it; every rule has to hold, these things have to come about, and each disturbance has to change something.
fn explore(config: Config, expected: &[Happening]) {
    let (name, budget) = (config.name, config.budget);
    let disturbances = config.disturbances.clone();
    let model = Lockdown::new(config);
    let tally = Arc::clone(&model.tally);
    let began = Instant::now();
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let seconds = began.elapsed().as_secs_f32();
    println!(
        "{name}, {budget} disturbances: {states} unique states, depth {depth}, {seconds:.1} s, {:?}",
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
    let idle: Vec<_> = disturbances.iter().filter(|d| tally.times(**d) == 0).collect();
    assert!(idle.is_empty(), "{name}: {idle:?} never changed anything");
}

const RULES: [&str; 5] = [CLOSING, OPENING, DELETING, REFUSED, RESTING];

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
    Disturbance::RemoveEndpoint,
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::HandOver,
    Disturbance::Delete,
];

/// What changes names while caches hold former ones for long.
const SLOW_NAMES: &[Disturbance] = &[
    Disturbance::RemoveZoneGroup,
    Disturbance::RemoveEndpoint,
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::HandOver,
];

/// Who is not heard, and who does not remember.
const FORGOTTEN: &[Disturbance] = &[
    Disturbance::Silence(0),
    Disturbance::OtherAddress(1),
    Disturbance::EraseStatus,
    Disturbance::OpenByHand(true),
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::HandOver,
];

/// What loses paths, says so wrongly, and interrupts the way back.
const LOSSES: &[Disturbance] = &[
    Disturbance::Break(1),
    Disturbance::WrongFailure(0),
    Disturbance::FewFailures(0),
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
    Disturbance::WriteGoneWrong(Landing::Unanswered),
    Disturbance::Delete,
];

/// What only follows on another: they have their turns where there are two.
const NEEDS_ANOTHER: &[Disturbance] = &[
    Disturbance::Disable,
    Disturbance::EndBreakGlass,
    Disturbance::Withdraw,
    Disturbance::ForeignZoneGroup,
];

/// What a closing write suffers.
const CLOSINGS: &[Disturbance] = &[
    Disturbance::Crash { landed: true },
    Disturbance::WriteGoneWrong(Landing::Unanswered),
    Disturbance::WriteGoneWrong(Landing::Lost),
    Disturbance::WriteGoneWrong(Landing::Vain),
];

/// Who opens for a while, and changes his mind.
const EMERGENCIES: &[Disturbance] = &[
    Disturbance::Enable,
    Disturbance::Disable,
    Disturbance::BreakGlass,
    Disturbance::EndBreakGlass,
    Disturbance::HandOver,
    Disturbance::CrashWithin(Died::BeforeReport),
];

#[test]
fn every_disturbance_has_its_turn() {
    // All others have it on the way to the lock; that each changes something is asserted by each exploration.
    let turns = [EMERGENCIES, PEOPLE, NAMES].concat();
    let left: Vec<_> = NEEDS_ANOTHER.iter().filter(|d| !turns.contains(d)).collect();
    assert!(left.is_empty(), "{left:?} are in no exploration");
}

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
    let config = Config {
        disturbances: all_but(NEEDS_ANOTHER),
        ..config("to the lock", Start::Built, 1)
    };
    explore(config, &expected);
}

#[test]
fn no_single_disturbance_of_a_lock_breaks_a_rule() {
    // A lock that holds has nothing to write: only what another one begins can be interrupted.
    let writes = &[
        Disturbance::CrashWithin(Died::HalfWay),
        Disturbance::CrashWithin(Died::AfterOne),
        Disturbance::StepUnanswered,
    ];
    for rollback in [RollbackPolicy::Hold, RollbackPolicy::Reopen] {
        let reopens = (rollback == RollbackPolicy::Reopen).then_some(Happening::OpenedByRollback);
        let config = Config {
            rollback,
            deletion: DeletionPolicy::DeleteEndpoints,
            disturbances: all_but(&[NEEDS_ANOTHER, CLOSINGS, writes].concat()),
            ..config("locked", Start::Locked, 1)
        };
        explore(config, reopens.as_slice());
    }
}

#[test]
fn an_emergency_or_a_spec_that_turns_twice_breaks_no_rule() {
    let explored = |start, opened: &[Happening]| {
        let config = Config {
            disturbances: EMERGENCIES.to_vec(),
            ..config("emergencies", start, 2)
        };
        explore(
            config,
            &[&[Happening::Closed, Happening::OpenedBySpec], opened].concat(),
        );
    };
    explored(Start::Locked, &[Happening::OpenedByBreakGlass]);
    // On the way to the lock there are eight times as many states.
    if whole_campaign() {
        explored(Start::Built, &[]);
    }
}

/// Others who claim the registry, here or in another cluster, beside whoever asks for an opening or goes.
const CLAIMS: &[Disturbance] = &[
    Disturbance::ClaimInAzure,
    Disturbance::ClaimInCluster,
    Disturbance::CopyTag,
    Disturbance::TakeGrants,
    Disturbance::BreakGlass,
    Disturbance::Enable,
    Disturbance::EraseStatus,
    Disturbance::CrashWithin(Died::BeforeReport),
    Disturbance::Delete,
];

#[test]
fn whoever_else_claims_the_registry_nothing_is_opened_closed_or_deleted_for_us() {
    let explored = |name, start, budget, disturbances: &[Disturbance], happen: &[Happening]| {
        let config = Config {
            deletion: DeletionPolicy::DeleteEndpoints,
            disturbances: disturbances.to_vec(),
            ..config(name, start, budget)
        };
        explore(config, happen);
    };
    let opened = [Happening::OpenedByBreakGlass, Happening::OpenedBySpec];
    explored("claimed by others, locked", Start::Locked, 1, CLAIMS, &opened);
    let while_opening = &[
        Disturbance::ClaimInAzure,
        Disturbance::ClaimInCluster,
        Disturbance::BreakGlass,
        Disturbance::Enable,
        Disturbance::EraseStatus,
        Disturbance::Delete,
    ];
    explored("claimed by others, opening", Start::Locked, 2, while_opening, &opened);
    let while_deleting = &[
        Disturbance::ClaimInAzure,
        Disturbance::ClaimInCluster,
        Disturbance::CopyTag,
        Disturbance::Delete,
    ];
    let deleted = [Happening::DeletedEndpoint, Happening::Released];
    explored("claimed by others, deleting", Start::Built, 2, while_deleting, &deleted);
    // With all of them there are 58,000 states.
    let few = &CLAIMS[..3];
    let disturbances = if whole_campaign() { CLAIMS } else { few };
    explored(
        "claimed by others, on the way",
        Start::Built,
        1,
        disturbances,
        &[Happening::Closed],
    );
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
        disturbances: crashes.to_vec(),
        ..config("from nothing", Start::Nothing, deeper(1))
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn the_lock_waits_for_its_approval_whatever_people_do() {
    let config = Config {
        approval: true,
        disturbances: PEOPLE.to_vec(),
        ..config("with approval", Start::Built, 1)
    };
    explore(config, &[Happening::Closed, Happening::RefusedByFence]);
}

#[test]
fn a_policy_over_zone_groups_is_no_livelock() {
    let config = Config {
        policy: Policy::Serves,
        deletion: DeletionPolicy::DeleteEndpoints,
        disturbances: ZONE_GROUPS.to_vec(),
        ..config("by policy", Start::Built, 1)
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn a_policy_that_competes_with_us_or_obstructs_us_is_no_livelock() {
    // Even undisturbed it may act at any moment. With a disturbance beside it there are 120,000 states.
    let disturbances = if whole_campaign() { ZONE_GROUPS } else { &[] };
    for (policy, name, comes_about) in [
        (Policy::Competes, "beside a policy", Happening::Closed),
        (Policy::Obstructs, "against a policy", Happening::Stalled),
    ] {
        let config = Config {
            policy,
            deletion: DeletionPolicy::DeleteEndpoints,
            disturbances: disturbances.to_vec(),
            ..config(name, Start::Nothing, deeper(0))
        };
        explore(config, &[comes_about]);
    }
    // It removed or lost a zone group of the lock, and is there before us or after us.
    let config = Config {
        policy: Policy::Competes,
        disturbances: ZONE_GROUPS
            .iter()
            .copied()
            .filter(|d| *d != Disturbance::Delete)
            .collect(),
        ..config("beside a policy, locked", Start::Locked, deeper(1))
    };
    explore(config, &[Happening::HandedOver]);
}

#[test]
fn caches_that_live_longer_than_evidence_are_waited_for() {
    let config = Config {
        dns_settle: 2,
        disturbances: SLOW_NAMES.to_vec(),
        ..config("slow caches", Start::Built, deeper(1))
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn whoever_is_silent_or_forgotten_while_a_process_dies_opens_and_closes_nothing() {
    let explored = |name, start, approval, disturbances: &[Disturbance]| {
        let config = Config {
            approval,
            disturbances: disturbances.to_vec(),
            ..config(name, start, 2)
        };
        explore(config, &[Happening::HandedOver]);
    };
    explored("forgotten in a lock", Start::Locked, false, FORGOTTEN);
    if whole_campaign() {
        let all = [FORGOTTEN, &[Disturbance::Withdraw, Disturbance::Crash { landed: true }]].concat();
        explored("forgotten on the way", Start::Built, true, &all);
    }
}

#[test]
fn no_two_disturbances_of_names_break_a_rule() {
    let config = Config {
        disturbances: NAMES.to_vec(),
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
        disturbances: disturbances.to_vec(),
        ..config("names before a crash", Start::Built, 2)
    };
    explore(config, &[Happening::Closed]);
}

#[test]
fn no_two_disturbances_after_the_lock_open_it_wrongly() {
    let config = Config {
        rollback: RollbackPolicy::Reopen,
        disturbances: LOSSES.to_vec(),
        ..config("losses", Start::Locked, deeper(2))
    };
    explore(config, &[Happening::Closed, Happening::OpenedByRollback]);
}

#[test]
fn a_grace_period_begins_when_a_status_first_says_locked() {
    // A path is lost, and the process that first saw all closed dies before it could tell: the next one's lock is young.
    let config = Config {
        rollback: RollbackPolicy::Reopen,
        disturbances: vec![Disturbance::Break(1), Disturbance::CrashWithin(Died::BeforeReport)],
        ..config("lost before the lock is told", Start::Built, 2)
    };
    explore(config, &[Happening::Closed, Happening::OpenedByRollback]);
}

#[test]
fn whatever_the_planner_reads_tells_states_apart() {
    let (blind, of) = Lockdown::new(Config {
        approval: true,
        ..config("apart", Start::Locked, 0)
    })
    .not_told_apart();
    println!("{of} changes, each seen but for {blind:?}");
    assert!(blind.is_empty(), "not seen: {blind:?}");
}

#[test]
fn every_clause_of_the_closing_rule_sees_what_it_is_for() {
    let judged = Lockdown::new(Config {
        approval: true,
        ..config("judged", Start::Built, 0)
    })
    .judged();
    assert_eq!(judged[0], ("nothing", None));
    assert!(judged[1..].iter().all(|(_, why)| why.is_some()), "{judged:#?}");
    // A network that has not proven its paths is the reason of three.
    let mut reasons: Vec<_> = judged[1..].iter().flat_map(|(_, why)| why).collect();
    reasons.sort();
    reasons.dedup_by(|a, b| a.contains("has not proven") && b.contains("has not proven"));
    assert_eq!(reasons.len(), 9, "{reasons:#?}");
}

/// A rule that has to be found broken, by its name; and what is said about it.
fn is_found_out(flaw: Flaw, config: Config, rule: &'static str, said: &str) {
    let mut model = Lockdown::new(config);
    model.flaw = flaw;
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let path = checker.discovery(rule).expect("not found out");
    let last = path.last_state();
    let broken = last.broken.as_ref().map(|broken| broken.what.clone());
    let what = broken
        .or_else(|| checker.model().comes_to_rest(last).err())
        .expect("nothing is said");
    println!("{flaw:?}: found after {} states: {what}", checker.unique_state_count());
    assert!(what.contains(said), "{flaw:?}: {what}");
}

fn disturbed_by(disturbances: &[Disturbance], start: Start, budget: u8) -> Config {
    Config {
        disturbances: disturbances.to_vec(),
        ..config("with a flaw", start, budget)
    }
}

#[test]
fn a_closing_write_without_a_second_look_is_found_out() {
    let config = disturbed_by(&[Disturbance::BreakGlass, Disturbance::RemoveEndpoint], Start::Built, 1);
    is_found_out(Flaw::ClosesWithoutSecondLook, config, CLOSING, "goes out, but");
}

#[test]
fn an_opening_write_without_a_second_look_is_found_out() {
    for (disturbances, budget) in [
        // It is over by then, or was ended; the spec turned back; nothing is opened for one that goes.
        (&[Disturbance::BreakGlass][..], 1),
        (&[Disturbance::BreakGlass, Disturbance::EndBreakGlass], 2),
        (&[Disturbance::Enable, Disturbance::Disable], 2),
        (&[Disturbance::Enable, Disturbance::Delete], 2),
        // Not so where the claim in Azure changes: the write itself compares the registry with what was planned by.
        (&[Disturbance::Enable, Disturbance::ClaimInCluster], 2),
    ] {
        let config = disturbed_by(disturbances, Start::Locked, budget);
        is_found_out(
            Flaw::OpensWithoutSecondLook,
            config,
            OPENING,
            "opens, and nothing permits it",
        );
    }
}

#[test]
fn a_deletion_of_whatever_is_tagged_is_found_out() {
    let config = Config {
        deletion: DeletionPolicy::DeleteEndpoints,
        ..disturbed_by(&[Disturbance::CopyTag, Disturbance::Delete], Start::Built, 2)
    };
    is_found_out(
        Flaw::DeletesWhatIsTagged,
        config,
        DELETING,
        "is not of this object's making",
    );
}

#[test]
fn a_closing_write_without_the_lease_is_found_out() {
    let config = disturbed_by(&[Disturbance::HandOver], Start::Built, 1);
    is_found_out(
        Flaw::WritesWithoutLease,
        config,
        CLOSING,
        "the other process holds the lease",
    );
}

#[test]
fn rest_that_never_comes_or_does_not_last_is_found_out() {
    let locked = || disturbed_by(&[], Start::Locked, 0);
    let approval = Config {
        approval: true,
        ..disturbed_by(&[], Start::Nothing, 0)
    };
    is_found_out(Flaw::NobodyApproves, approval, RESTING, "LockdownApproval");
    // Every round ends as desired; only that it does not stay so tells.
    is_found_out(Flaw::PolicyUndoes, locked(), RESTING, "is lost again");
    is_found_out(Flaw::RestIsDisturbed, locked(), RESTING, "is lost again");
}
