//! How fast `plan` is: run by hand in release, never timed by CI.
//! `cargo test -p sreg-planner --release --test speed -- --ignored --nocapture`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::Instant;

use sreg_planner::plan;
use sreg_planner_world as world;
use world::*;

#[test]
#[ignore = "a measurement, not a test"]
fn plans_a_second() {
    let mut settled = World::everyday();
    settled.settle(60);
    let mut regions = World::two_regions(SPEC);
    regions.settle(80);
    for (name, world) in [
        ("settled", settled),
        ("settled, two regions", regions),
        ("new", World::everyday()),
    ] {
        let seen = world.seen_now();
        let started = Instant::now();
        let mut plans = 0u32;
        while started.elapsed().as_millis() < 1000 {
            for _ in 0..100 {
                std::hint::black_box(plan(&world.desired, &seen, world.now));
            }
            plans += 100;
        }
        println!(
            "{name}: {} plans a second",
            f64::from(plans) / started.elapsed().as_secs_f64()
        );
    }
}
