//! The lockdown, explored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

use sreg_api::registry::{DeletionPolicy, RollbackPolicy};
use sreg_model::lockdown::disturbance::{self, Disturbance};
use sreg_model::lockdown::{CLOSING, Config, Lockdown, OPENING, RESTING, Start};
use stateright::{Checker, Model};

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

fn explore(config: Config) {
    let name = config.name;
    let budget = config.budget;
    let model = Lockdown::new(config);
    let tally = Arc::clone(&model.tally);
    let started = std::time::Instant::now();
    let checker = model.checker().spawn_dfs().join();
    println!(
        "{name}: {} unique states, {} transitions, depth {}, budget {budget}, {:.1} s; {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
        tally.counts()
    );
    for rule in [CLOSING, OPENING, RESTING] {
        if let Some(path) = checker.discovery(rule) {
            let last = path.last_state().clone();
            println!("{:#?}", path.clone().into_actions());
            panic!(
                "{name}: not so: {rule}\n{last:#?}\n{:?}",
                checker.model().comes_to_rest(&last)
            );
        }
    }
    assert!(checker.is_done());
}

fn budget(default: u8) -> u8 {
    std::env::var("BUDGET")
        .ok()
        .and_then(|b| b.parse().ok())
        .unwrap_or(default)
}

#[test]
fn built_hold() {
    explore(config("built, Hold", Start::Built, budget(1)));
}

#[test]
fn locked_reopen() {
    explore(Config {
        rollback: RollbackPolicy::Reopen,
        ..config("locked, Reopen", Start::Locked, budget(1))
    });
}

#[allow(dead_code)]
fn unused(_: Disturbance) {}
