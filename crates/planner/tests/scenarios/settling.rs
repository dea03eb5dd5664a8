//! When names last changed, and whom that is believed of.

use std::time::Duration;

use super::*;
use crate::world::scramble::Blow;
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
