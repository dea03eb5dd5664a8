//! What approvers are told: whether their word counts, what it was used for, and that it will be needed again.

use std::time::Duration;

use sreg_api::ChangeApprovalPhase::{self, *};
use sreg_api::registry::*;
use sreg_domain::Fact;
use sreg_domain::seen::*;

use super::emergencies::{add, live, told};
use super::*;
use crate::world::*;

fn approvals(world: &mut World) -> &mut Vec<ApprovalSeen> {
    match &mut world.seen.cluster.approvals {
        Fact::Seen(all) => all,
        other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{other:?}"),
    }
}

fn phase(world: &mut World) -> ChangeApprovalPhase {
    approvals(world)[0].status.as_ref().expect("told").phase
}

fn message(world: &mut World) -> String {
    approvals(world)[0].status.clone().expect("told").message
}

/// Locked with an approval, opened for an hour.
fn opened() -> World {
    let mut world = locked_with_approval();
    add(&mut world, "a", 60);
    world.until("BreakGlass", 10);
    world.visit();
    world
}

#[test]
fn an_approval_is_told_that_it_counts_that_it_was_used_and_that_it_is_void() {
    let mut world = awaiting_approval();
    world.approve();
    world.visit();
    assert_eq!(phase(&mut world), Counts, "{}", message(&mut world));
    let mut notes = Vec::new();
    for _ in 0..60 {
        let (_, report) = world.visit();
        notes.extend(notes_of(&report, "Locked"));
        world.pass(report.requeue);
    }
    assert_eq!(phase(&mut world), Used, "{}", message(&mut world));
    let name = approvals(&mut world)[0].name.clone();
    let named = format!("approved by joe (ChangeApproval {name})");
    assert!(notes.iter().any(|n| n.contains(&named)), "{notes:?}");
    let status = world.seen.object.status.clone();
    assert!(
        status
            .history
            .iter()
            .any(|h| h.state == "Locked" && h.message.contains(&named)),
        "{:?}",
        status.history
    );
    let [used] = status.approvals_used.as_slice() else {
        panic!("{:?}", status.approvals_used)
    };
    assert_eq!(
        (used.name.as_str(), used.approved_by.as_str(), used.change.as_str()),
        (name.as_str(), "joe", "Lockdown")
    );
    assert_eq!(approvals(&mut world)[0].status.as_ref().unwrap().used_at, used.used_at);
    // Another waiver is another lockdown.
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("sandbox").to_string(),
            reason: "no clients".into(),
        }]
    });
    world.visit();
    assert_eq!(phase(&mut world), Void);
    let digest = world.plan().assessment.lockdown_digest.unwrap().to_string();
    assert!(message(&mut world).contains(&digest), "{}", message(&mut world));
    assert_eq!(world.state(), "Locked", "the lock holds");
    // Nothing more is told while nothing changes.
    assert!(world.plan().waves.is_empty());
}

#[test]
fn an_approval_that_nothing_asks_for_says_so() {
    let mut world = locked();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(30);
    let digest = world.plan().assessment.lockdown_digest.unwrap();
    approvals(&mut world).push(ApprovalSeen {
        name: "early".into(),
        change: sreg_api::ChangeKind::Lockdown,
        digest,
        approved_by: "joe".into(),
        uid: "early".into(),
        status: None,
    });
    world.visit();
    assert_eq!(phase(&mut world), Counts);
    assert!(
        message(&mut world).contains("nothing waits for an approval"),
        "{}",
        message(&mut world)
    );
}

#[test]
fn name_changes_name_the_approval_that_they_were_made_with() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.name_changes = Some(NameChangesSpec {
            wait_for: vec![NameChangesGate::Approval],
        })
    });
    world.until("AwaitingApproval", 20);
    world.approve();
    approvals(&mut world)[0].digest = sreg_domain::Digest::from_text("of-something-else");
    world.visit();
    assert_eq!(phase(&mut world), Void, "{}", message(&mut world));
    world.seen.cluster.approvals = Fact::Seen(Vec::new());
    world.approve();
    world.settle(80);
    assert_eq!(phase(&mut world), Used, "{}", message(&mut world));
    let used = &world.seen.object.status.approvals_used;
    assert!(
        used.iter().all(|u| u.change == "NameChanges" && u.approved_by == "joe") && used.len() == 1,
        "{used:?}"
    );
}

#[test]
fn an_approval_that_the_lock_will_need_is_missed_before_the_break_glass_ends() {
    let mut world = opened();
    assert!(!told(&mut world, "a").message.contains("ChangeApproval"));
    assert_eq!(phase(&mut world), Counts);
    let digest = world.plan().assessment.lockdown_digest.unwrap().to_string();
    let given = std::mem::take(approvals(&mut world));
    let (_, report) = world.visit();
    let warned: Vec<_> = report
        .events
        .iter()
        .filter(|e| e.reason == "RelockNeedsApproval")
        .collect();
    assert!(
        warned.len() == 1 && warned[0].warning && warned[0].note.contains(&digest),
        "{:?}",
        report.events
    );
    assert!(
        report
            .status
            .approvals_wanted
            .iter()
            .any(|w| w.digest == digest && w.change == "Lockdown")
    );
    let said = told(&mut world, "a").message;
    assert!(
        said.contains("the lock will wait for a ChangeApproval") && said.contains(&digest),
        "{said}"
    );
    assert_eq!(
        live(&mut world, 10, "RelockNeedsApproval"),
        Vec::<String>::new(),
        "told once"
    );
    // Void is as good as none.
    let mut void = given[0].clone();
    void.digest = sreg_domain::Digest::from_text("of-something-else");
    *approvals(&mut world) = vec![void];
    world.visit();
    assert!(told(&mut world, "a").message.contains("which approves something else"));
    *approvals(&mut world) = given;
    world.visit();
    assert!(
        !told(&mut world, "a").message.contains("ChangeApproval"),
        "{}",
        told(&mut world, "a").message
    );
    live(&mut world, 60, "");
    world.until("Locked", 60);
}

/// Nobody is sent to a list that is empty.
#[test]
fn a_void_approval_points_only_at_what_is_there() {
    let mut world = awaiting_approval();
    world.approve();
    world.settle(60);
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("sandbox").to_string(),
            reason: "no clients".into(),
        }]
    });
    world.visit();
    let said = message(&mut world);
    assert!(world.seen.object.status.approvals_wanted.is_empty());
    assert!(
        phase(&mut world) == Void
            && !said.contains("status.approvalsWanted")
            && said.contains("a lock that comes back"),
        "{said}"
    );
    // Open again, the lock asks for it, and status lists it.
    world.pass(Duration::from_secs(600));
    add(&mut world, "a", 30);
    world.until("BreakGlass", 10);
    live(&mut world, 5, "");
    assert!(!world.seen.object.status.approvals_wanted.is_empty());
    assert!(
        message(&mut world).contains("status.approvalsWanted"),
        "{}",
        message(&mut world)
    );
}
