//! When names last changed, and whom that is believed of.

use std::time::Duration;

use super::*;
use crate::world::scramble::Blow;
use crate::world::unknown;
use sreg_domain::seen::IgnoranceKind;
use sreg_planner::plan::WaitReason;

/// Locked hours ago, and opened by hand just now: nothing but names could hold the lock that comes back.
fn opened_by_hand() -> World {
    let mut world = locked();
    world.pass(Duration::from_secs(4 * 3600));
    world.visit();
    world.suffer(Blow::OpenStorage);
    world
}

fn settles(world: &World) -> bool {
    let plan = world.plan();
    let waits = plan.waits.iter().any(|w| w.reason == WaitReason::DnsSettling);
    assert_eq!(waits, plan.waves.is_empty(), "{}", sreg_planner::render(&plan));
    waits
}

#[test]
fn what_this_process_saw_change_outweighs_what_status_says() {
    let mut world = opened_by_hand();
    assert!(!settles(&world));
    world.seen.memory.name_changed = Some(Duration::from_secs(60));
    assert!(settles(&world), "somebody else changed a zone group a minute ago");
}

#[test]
fn a_read_that_failed_in_between_changes_no_name() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world.pass(Duration::from_secs(1800));
    world.visit();
    let before = world.seen.object.status.last_name_change_time.clone();
    let endpoint = world.seen.azure.endpoints.keys().next().unwrap().clone();
    let seen = world.seen.azure.endpoints[&endpoint].clone();
    world
        .seen
        .azure
        .endpoints
        .insert(endpoint.clone(), unknown(IgnoranceKind::Throttled));
    world.visit();
    world.pass(Duration::from_secs(30));
    world.seen.azure.endpoints.insert(endpoint, seen);
    world.visit();
    assert_eq!(world.seen.object.status.last_name_change_time, before);
}

#[test]
fn what_was_not_ready_and_is_now_settles_anew() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world.pass(Duration::from_secs(1800));
    let conditions = &mut world.seen.object.status.conditions;
    let dns = conditions.iter_mut().filter(|c| c.type_ == "DnsReady");
    dns.for_each(|c| c.status = "False".into());
    world.visit();
    let changed = world.seen.object.status.last_name_change_time.clone().unwrap();
    assert_eq!(changed.0.as_second(), world.now.as_second());
}

#[test]
fn a_status_that_did_not_call_names_ready_is_not_believed_about_them() {
    for condition in ["DnsReady", "EndpointsReady"] {
        let mut world = opened_by_hand();
        world.restart();
        assert!(!settles(&world), "status vouches for the time");
        let conditions = &mut world.seen.object.status.conditions;
        conditions
            .iter_mut()
            .filter(|c| c.type_ == condition)
            .for_each(|c| c.status = "Unknown".into());
        assert!(settles(&world), "who knows what came after it: {condition}");
    }
}
