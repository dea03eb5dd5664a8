//! Closing writes that arrive late: a process that led before was paused with one on its way, and another one has opened since. Nobody can
//! call it back; the next visit undoes it, and the next lock does not take what it closed for closed by others.

use std::time::Duration;

use sreg_api::registry::{PublicAccess, RollbackPolicy, RollbackSpec};
use sreg_domain::seen::Attempt;
use sreg_domain::{Fact, StepKind, TargetSeen};
use sreg_planner::plan::WaitReason;

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
        assert!(world.seen.cluster.restored.is_some());
        live(&mut world, 17, "");
        assert_eq!(
            (&world.seen.cluster.restored, &world.seen.cluster.snapshot),
            (&None, &Fact::Absent)
        );
    }
}

#[test]
fn what_an_opening_had_put_back_goes_with_the_object() {
    let (mut world, _) = opened_by_a_new_leader(by_spec);
    assert!(world.seen.cluster.restored.is_some());
    world.delete();
    for _ in 0..40 {
        if world.gone {
            break;
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(
        world.gone && world.seen.cluster.restored.is_none(),
        "{}",
        world.message()
    );
}

/// From then on people decide: what an opening had put back is of no lock any more.
#[test]
fn what_people_change_while_a_late_write_may_still_arrive_is_what_was_before_the_next_lock() {
    for open in [by_break_glass as fn(&mut World), by_spec] {
        let (mut world, _) = opened_by_a_new_leader(open);
        change_storage(&mut world, |storage| storage.virtual_network_rules.clear());
        live(&mut world, 5, "");
        assert_eq!(
            lets_in(&world),
            (&[OFFICE.to_owned()][..], &[][..]),
            "it is not put back"
        );
        change_storage(&mut world, |storage| storage.default_action = Some("Allow".into()));
        world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
        live(&mut world, 90, "");
        assert_eq!(world.state(), "Locked", "{}", world.message());
        add(&mut world, "next", 30);
        world.until("BreakGlass", 6);
        assert_eq!(lets_in(&world), (&[OFFICE.to_owned()][..], &[][..]));
        assert_eq!(storage_of(&world).default_action.as_deref(), Some("Allow"));
    }
}

/// It counts for as long as a late write may arrive, also where the emergency is over by then and the next lock waits.
#[test]
fn what_others_close_long_after_an_emergency_takes_an_approval_to_open() {
    let (mut world, late) = opened_by_a_new_leader(|world| add(world, "a", 5));
    // Nothing is proven any more, so that the next lock waits.
    world.silent.insert("hub-agent".into());
    live(&mut world, 40, "");
    assert_eq!(world.seen.cluster.restored, None);
    arrives(&mut world, &late);
    add(&mut world, "b", 30);
    world.settle_anyhow(3);
    assert!(world.message().contains("change: Opening"), "{}", world.message());
}

/// A closing write that this process sent, under a spec that wants it, and that nobody answered.
#[test]
fn a_closing_write_that_nobody_answered_is_undone_though_another_spec_opens_since() {
    let mut world = locked_with_a_subnet();
    let late = closed(&world);
    let now = world.now;
    world.seen.memory.attempts.generation = world.desired.object.generation;
    world.seen.memory.attempts.all.push(Attempt {
        step: StepKind::Close.on("storage contosostore"),
        resource: Some(storage_of(&world).id.clone()),
        reason: WaitReason::RetryPending,
        code: None,
        message: "no answer in time".into(),
        since: now,
        at: now,
        tries: 1,
        next_try: now,
    });
    by_spec(&mut world);
    world.settle_anyhow(4);
    assert!(world.seen.cluster.restored.is_some(), "{}", world.message());
    arrives(&mut world, &late);
    world.settle_anyhow(2);
    assert_eq!(lets_in(&world), (&[OFFICE.to_owned()][..], &[subnet()][..]));
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

#[test]
fn what_a_former_leader_closes_after_a_rollback_is_opened_again_as_it_was() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        })
    });
    world.until("Locked", 60);
    let late = closed(&world);
    world.restart();
    for network in ["hub", "spoke"] {
        let host = "contosostore.blob.core.windows.net";
        world.broken.insert((network.into(), host.into()));
    }
    world.answer();
    for _ in 0..10 {
        let (_, report) = world.visit();
        world.pass(report.requeue.min(MINUTE / 2));
    }
    let open = |world: &World| world.plan().assessment.access.iter().all(|a| a.closed == Some(false));
    let rollback = world.seen.object.status.rollback.as_ref();
    assert!(
        open(&world) && rollback.is_some_and(|rollback| rollback.restored),
        "{rollback:?}"
    );
    arrives(&mut world, &late);
    world.settle_anyhow(2);
    assert!(open(&world), "{}", world.message());
}
