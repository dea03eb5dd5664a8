//! The first thing that people try: an object that names a registry and only looks.

use sreg_api::registry::*;
use sreg_api::status::Access;

use super::*;

fn only_looks() -> World {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.management_policy = ManagementPolicy::Observe;
        o.spec.endpoints.clear();
        o.spec.client_networks.clear();
    });
    world
}

fn findings(world: &World) -> String {
    let findings = &world.seen.object.status.findings;
    findings
        .iter()
        .map(|f| format!("{}: {}\n", f.reason, f.message))
        .collect()
}

#[test]
fn whoever_only_looks_needs_no_more_than_a_registry_and_is_told_what_is_open() {
    let mut world = only_looks();
    world.settle(10);
    assert_eq!(world.state(), "Observed");
    assert!(
        world.message().starts_with("observed: public access is open; "),
        "{}",
        world.message()
    );
    let access = world.seen.object.status.public_access.clone().unwrap();
    assert_eq!((access.summary.as_str(), access.targets.len()), ("Open", 3));
    assert!(access.targets.iter().all(|target| target.access == Access::Open));
    let told = findings(&world);
    assert!(told.contains("would close storage contosostore"), "{told}");
    assert!(
        told.contains("there is no path to prove: add spec.endpoints and spec.clientNetworks"),
        "{told}"
    );
    // Nothing is claimed and nothing written.
    assert!(world.journal.is_empty(), "{:?}", world.journal);
    assert_eq!(world.closed(), only_looks().closed());
}

#[test]
fn a_registry_that_is_private_already_is_told_as_locked() {
    let mut world = locked();
    world.respec(|o| {
        o.spec.management_policy = ManagementPolicy::Observe;
        o.spec.endpoints.clear();
        o.spec.client_networks.clear();
    });
    let closed = world.closed();
    for _ in 0..5 {
        let (plan, report) = world.visit();
        assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    assert_eq!(world.closed(), closed);
    assert!(
        world.message().contains("public access is locked"),
        "{}",
        world.message()
    );
}

/// Nothing is done there, however soon a change is seen: many such objects are to cost little.
#[test]
fn what_is_only_observed_is_looked_at_five_times_as_rarely_as_the_operator_serves_at_most() {
    let interval = |policy: ManagementPolicy| {
        let mut world = World::everyday();
        world.respec(|o| {
            o.spec.management_policy = policy;
            o.spec.drift.interval = "1s".into();
        });
        world.desired.whole().unwrap().drift_interval
    };
    let shortest = sreg_planner::Floors::default().drift_interval;
    assert_eq!(interval(ManagementPolicy::Enforce), shortest);
    assert_eq!(interval(ManagementPolicy::Observe), shortest * 5);
}
