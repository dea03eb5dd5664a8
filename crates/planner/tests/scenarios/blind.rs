//! Agents that live and see nothing, because their own way out is broken.

use std::time::Duration;

use sreg_planner::plan::{Actor, WaitReason};

use super::*;
use crate::world::people::Lie;

const SAYS: &str = "SOCKS5 proxy 127.0.0.1:1080: connection refused";

fn blinded(world: &mut World) {
    world.liars.insert("office-agent".into(), Lie::SeesNothing);
    world.answer();
}

/// Visits as asked for, for so many minutes.
fn live(world: &mut World, minutes: u64) {
    let end = world.now + Duration::from_secs(60 * minutes);
    while world.now < end {
        let (plan, report) = world.visit();
        assert!(!closes(&plan));
        world.pass(report.requeue);
    }
}

#[test]
fn a_vantage_point_that_can_judge_no_path_is_told_at_once_and_for_a_person_after_a_while() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world.pass(Duration::from_secs(4000));
    blinded(&mut world);
    live(&mut world, 2);
    assert_eq!(world.state(), "Proving");
    assert!(world.message().contains(SAYS), "{}", world.message());
    live(&mut world, 10);
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    let said = world.message();
    for part in [
        "client network office",
        "VantagePoint office-agent",
        SAYS,
        "kubectl get vantagepoint office-agent -o yaml",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let wait = world.plan().waits[0].clone();
    assert_eq!(
        (wait.reason, wait.reason.actor()),
        (WaitReason::VantagePointBlindStalled, Actor::User)
    );
    // It does not come and go, and asks nobody for another round meanwhile.
    let lines = world.seen.object.status.history.len();
    live(&mut world, 60);
    assert_eq!(
        (world.state().as_str(), world.seen.object.status.history.len()),
        ("Stalled", lines)
    );
    world.liars.clear();
    world.answer();
    world.until("Locked", 40);
}

#[test]
fn a_locked_registry_says_of_whom_it_cannot_tell_any_more_and_why() {
    let mut world = locked();
    world.pass(Duration::from_secs(7200));
    blinded(&mut world);
    live(&mut world, 1);
    assert_eq!(world.state(), "Locked", "a proxy that restarts is back by then");
    live(&mut world, 20);
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    let said = world.message();
    for part in [SAYS, "clients of office", "docs/break-glass.md"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(world.all_closed());
    world.liars.clear();
    world.answer();
    world.until("Locked", 10);
}

/// One path that can be judged shows that the agent's way out works.
#[test]
fn a_path_that_cannot_be_judged_beside_others_is_not_the_vantage_points_fault() {
    let mut world = locked();
    world.pass(Duration::from_secs(7200));
    for _ in 0..60 {
        if let Some(sreg_domain::Fact::Seen(probe)) = world.seen.cluster.probes.get_mut("office-agent") {
            let result = &mut probe.status.as_mut().unwrap().results[0];
            result.outcome = sreg_api::probe::ProbeOutcome::Unknown;
            result.message = "503 from the service".into();
        }
        let (plan, report) = world.visit();
        let blind = plan
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::VantagePointBlindStalled);
        assert!(!blind, "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
}
