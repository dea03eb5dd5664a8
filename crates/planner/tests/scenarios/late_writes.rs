//! Closing writes that arrive late: a process that led before was paused with one on its way, and another one has opened since. Nobody can
//! call it back; the next visit undoes it, and the next lock does not take what it closed for closed by others.

use std::time::Duration;

use sreg_api::registry::PublicAccess;
use sreg_domain::{Fact, TargetSeen};

use super::emergencies::{add, live};
use super::way_back::{OFFICE, locked_with_a_subnet, subnet};
use crate::world::*;

const MINUTE: Duration = Duration::from_secs(60);

/// What the late write makes of the storage account.
fn closed(world: &World) -> TargetSeen {
    storage_of(world).clone()
}

fn arrives(world: &mut World, closed: &TargetSeen) {
    let closed = closed.clone();
    change_storage(world, |storage| *storage = closed);
}

fn lets_in(world: &World) -> (&[String], &[String]) {
    let storage = storage_of(world);
    (&storage.ip_rules, &storage.virtual_network_rules)
}

fn by_break_glass(world: &mut World) {
    add(world, "a", 30);
}

fn by_spec(world: &mut World) {
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
}

fn opened_by_a_new_leader(open: impl Fn(&mut World)) -> (World, TargetSeen) {
    let mut world = locked_with_a_subnet();
    let late = closed(&world);
    world.restart();
    open(&mut world);
    world.settle_anyhow(4);
    assert_eq!(lets_in(&world), (&[OFFICE.to_owned()][..], &[subnet()][..]));
    (world, late)
}

#[test]
fn what_a_former_leader_closes_after_the_opening_is_opened_again_within_a_minute_as_it_was() {
    for open in [by_break_glass as fn(&mut World), by_spec] {
        let (mut world, late) = opened_by_a_new_leader(open);
        let (_, report) = world.visit();
        assert!(report.requeue <= MINUTE, "{:?}", report.requeue);
        arrives(&mut world, &late);
        world.pass(report.requeue);
        world.settle_anyhow(2);
        assert_eq!(lets_in(&world), (&[OFFICE.to_owned()][..], &[subnet()][..]));
    }
}

#[test]
fn what_a_former_leader_closes_just_before_an_emergency_ends_is_opened_by_the_next_one() {
    let (mut world, late) = opened_by_a_new_leader(|world| add(world, "a", 5));
    arrives(&mut world, &late);
    world.pass(5 * MINUTE);
    live(&mut world, 60, "");
    assert_eq!(world.state(), "Locked", "{}", world.message());
    add(&mut world, "b", 30);
    world.until("BreakGlass", 6);
    assert_eq!(lets_in(&world), (&[OFFICE.to_owned()][..], &[subnet()][..]));
}

#[test]
fn once_no_write_of_a_former_leader_can_arrive_any_more_the_snapshot_of_what_was_opened_is_forgotten() {
    for open in [by_break_glass as fn(&mut World), by_spec] {
        let (mut world, _) = opened_by_a_new_leader(open);
        assert!(world.seen.cluster.snapshot.seen().is_some());
        live(&mut world, 17, "");
        assert_eq!(world.seen.cluster.snapshot, Fact::Absent);
    }
}

#[test]
fn what_others_close_in_an_emergency_is_told_within_a_minute_with_what_opens_it() {
    let mut world = locked_with_a_subnet();
    let by_hand = closed(&world);
    add(&mut world, "a", 30);
    world.settle_anyhow(8);
    assert_eq!(world.state(), "BreakGlass", "{}", world.message());
    let (_, report) = world.visit();
    assert!(report.requeue <= MINUTE, "{:?}", report.requeue);
    arrives(&mut world, &by_hand);
    world.pass(report.requeue);
    world.visit();
    assert_eq!(world.state(), "AwaitingApproval");
    assert!(world.message().contains("change: Opening"), "{}", world.message());
}
