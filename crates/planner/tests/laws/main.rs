//! Laws that hold in every world, whatever happened to it. The lint judges every plan on the way.
//!
//! | law | where |
//! | --- | --- |
//! | convergence from anywhere, quiet, fixpoint, progress, stability, adoption, deletion ends | `ending` |
//! | no closing without proof, no opening without permission, ownership, bounds, order, no harm from ignorance | `safety` |
//! | lists are sets: in any order, and with items twice, they give the same plan | `lists` |
//! | grants: neither order nor division matters, and taking one away opens and closes nothing | `grants` |
//! | whatever comes of writes, no resource gets many of them | `pausing` |
//! | a locked object's Ready turns False only for a client or a person | `readiness` |
//! | equal worlds give byte-equal status, reporting is monotone and consistent | `telling` |
//!
//! The seed is committed, so that a run can be repeated; with `PROPTEST_CASES` there are that many stories, of a new seed each
//! time. What fails is kept in `laws.proptest-regressions` and told first from then on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ending;
mod grants;
mod lists;
mod pausing;
mod readiness;
mod safety;
mod stories;
mod telling;
mod witness;

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use sreg_domain::Action;
use sreg_planner::{Plan, render};
use sreg_planner_world as world;

fn azure_steps(plan: &Plan) -> Vec<&Action> {
    plan.steps()
        .map(|s| &s.action)
        .filter(|a| matches!(a, Action::Azure(_)))
        .collect()
}

/// 48 stories each of the committed seed, or as many as `PROPTEST_CASES` says of any.
fn config() -> Config {
    let default = Config {
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/laws.proptest-regressions",
        ))),
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        Config {
            cases: 48,
            rng_seed: RngSeed::Fixed(20_261_123),
            ..default
        }
    }
}
