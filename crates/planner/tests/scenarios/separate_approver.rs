//! A grant that demands two persons: who changed the spec last approves nothing.

use sreg_api::registry::PublicAccess;
use sreg_api::{ChangeApprovalPhase, ChangeKind};
use sreg_domain::grants::Requirements;
use sreg_domain::{Grant, Grants};

use super::*;
use crate::world::grants::everything;

fn two_persons(world: &mut World, requires: Requirements) {
    let grant = Grant {
        name: "networks".into(),
        requires: Ok(Requirements {
            separate_approver: true,
            ..requires
        }),
        ..everything(&world.object)
    };
    world.regrant(Some(Grants::new(vec![everything(&world.object), grant])));
}

fn locks_by_approval() -> Requirements {
    Requirements {
        lockdown_approval: true,
        ..Requirements::default()
    }
}

fn told(world: &World, change: ChangeKind) -> (ChangeApprovalPhase, String) {
    let all = world.seen.cluster.approvals.seen().unwrap();
    let approval = all.iter().find(|a| a.change == change).unwrap();
    let status = approval.status.as_ref().unwrap();
    (status.phase, status.message.clone())
}

fn visit_often(world: &mut World, times: usize) {
    for _ in 0..times {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
}

#[test]
fn who_changed_the_spec_last_approves_no_lock_and_is_told_so() {
    let mut world = World::everyday();
    two_persons(&mut world, locks_by_approval());
    // Joe is who approves in these worlds.
    world.seen.object.spec_edited_by = Some("joe".into());
    world.until("AwaitingApproval", 60);
    world.approve();
    visit_often(&mut world, 10);
    assert!(world.all_open());
    assert_eq!(world.state(), "AwaitingApproval");
    assert!(world.message().contains("does not count"), "{}", world.message());
    let (phase, message) = told(&world, ChangeKind::Lockdown);
    assert_eq!(phase, ChangeApprovalPhase::Pending);
    assert!(
        message.contains("which was joe: have another person create it"),
        "{message}"
    );
    // Another person looks through what he wrote, and changes it herself.
    world.seen.object.spec_edited_by = Some("jane".into());
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn while_nobody_knows_who_changed_the_spec_no_approval_counts_and_what_helps_is_said() {
    let mut world = World::everyday();
    two_persons(&mut world, locks_by_approval());
    world.until("AwaitingApproval", 60);
    world.approve();
    visit_often(&mut world, 10);
    assert!(world.all_open());
    let (_, message) = told(&world, ChangeKind::Lockdown);
    for helps in [
        "deploy/editor",
        "secureregistry.dev/spec-edited-by",
        "kubectl auth whoami",
    ] {
        assert!(message.contains(helps), "{message}");
    }
}

#[test]
fn who_changed_the_spec_last_approves_no_change_of_names() {
    let mut world = World::everyday();
    let names = Requirements {
        name_changes_approval: true,
        ..Requirements::default()
    };
    two_persons(&mut world, names);
    world.seen.object.spec_edited_by = Some("joe".into());
    for _ in 0..20 {
        world.approve();
        visit_often(&mut world, 1);
    }
    assert!(
        !world.journal.iter().any(|step| step.starts_with("put-zone-group")),
        "{:#?}",
        world.journal
    );
    world.seen.object.spec_edited_by = Some("jane".into());
    for _ in 0..40 {
        world.approve();
        visit_often(&mut world, 1);
    }
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

/// Also where the spec breaks a rule: whoever could break it on purpose would need nobody else.
#[test]
fn who_changed_the_spec_last_approves_no_opening_of_what_others_closed() {
    for broken in [false, true] {
        let mut world = locked();
        world.seen.cluster.snapshot = Fact::Absent;
        world.suffer(crate::world::scramble::Blow::EraseStatus);
        two_persons(&mut world, Requirements::default());
        world.seen.object.spec_edited_by = Some("joe".into());
        world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        visit_often(&mut world, 4);
        world.approve();
        if broken {
            world.misspec(crate::world::bad_window);
        }
        visit_often(&mut world, 4);
        assert!(world.all_closed(), "{broken}");
        world.seen.object.spec_edited_by = Some("jane".into());
        visit_often(&mut world, 4);
        assert!(world.all_open(), "{broken}: {}", world.message());
    }
}

#[test]
fn without_such_a_grant_an_editor_approves() {
    let mut world = World::everyday();
    lock_waits(&mut world);
    world.seen.object.spec_edited_by = Some("joe".into());
    world.until("AwaitingApproval", 60);
    world.approve();
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}
