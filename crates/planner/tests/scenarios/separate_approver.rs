//! A grant that demands two persons: who changed the spec last approves nothing.

use sreg_api::registry::PublicAccess;
use sreg_api::{ChangeApprovalPhase, ChangeKind};
use sreg_domain::grants::Requirements;
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::ApprovalSeen;
use sreg_domain::{Grant, Grants, Purpose};

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

/// This person edits the spec.
fn edited_by(world: &mut World, person: &str) {
    world.respec(|_| ());
    world.seen.object.spec_edited_by = Some(person.into());
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
fn who_edited_the_spec_last_approves_no_lock_and_is_told_so() {
    let mut world = World::everyday();
    two_persons(&mut world, locks_by_approval());
    // Joe is who approves in these worlds.
    edited_by(&mut world, "joe");
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
    // What he approved of his own edit stands for nobody's edit after it.
    edited_by(&mut world, "jane");
    visit_often(&mut world, 10);
    assert!(world.all_open());
    world.approve();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

/// Before anybody creates one in vain.
#[test]
fn whoever_asks_for_an_approval_says_who_may_give_it() {
    for (editor, says) in [
        (
            Some("joe"),
            "created by someone other than joe, who edited the spec last",
        ),
        (None, "no approval counts yet"),
    ] {
        let mut world = World::everyday();
        two_persons(&mut world, locks_by_approval());
        world.respec(|_| ());
        world.seen.object.spec_edited_by = editor.map(str::to_owned);
        world.until("AwaitingApproval", 60);
        assert!(world.message().contains(says), "{}", world.message());
    }
}

#[test]
fn what_was_approved_is_approved_anew_after_every_edit() {
    let mut world = World::everyday();
    two_persons(&mut world, locks_by_approval());
    edited_by(&mut world, "jane");
    world.until("AwaitingApproval", 60);
    world.approve();
    // Joe, who approved that, weakens it.
    world.respec(|o| o.spec.verification.consecutive_successes = 1);
    world.seen.object.spec_edited_by = Some("joe".into());
    visit_often(&mut world, 10);
    assert!(world.all_open());
}

/// Whoever edits in a namespace can act as its ServiceAccounts.
#[test]
fn accounts_of_the_objects_own_namespace_are_nobody_else() {
    let own = "system:serviceaccount:ml-platform:deployer";
    let elsewhere = "system:serviceaccount:argocd:controller";
    for (editor, counts) in [(own, false), (elsewhere, true)] {
        let mut world = World::everyday();
        two_persons(&mut world, locks_by_approval());
        edited_by(&mut world, editor);
        world.until("AwaitingApproval", 60);
        world.approve();
        visit_often(&mut world, 10);
        assert_eq!(world.all_closed(), counts, "{editor}: {}", world.message());
        assert_eq!(
            world.message().contains("acts as a ServiceAccount of namespace"),
            !counts
        );
    }
}

/// What the grant of a network's owner demands is not shed by naming the network no more.
#[test]
fn an_endpoint_whose_entry_is_dropped_still_goes_only_with_the_approval_that_its_network_demands() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    let all = everything(&world.object);
    let mut network = all.clone();
    network.name = "networks".into();
    network
        .scopes
        .retain(|purpose, _| matches!(purpose, Purpose::Network(_)));
    network.requires = Ok(Requirements {
        name_changes_approval: true,
        ..Requirements::default()
    });
    world.regrant(Some(Grants::new(vec![all, network])));
    world.respec(|o| {
        o.spec.endpoints.clear();
        o.spec.client_networks.clear();
    });
    // No network asks its zones any more, so that nothing else keeps the endpoints.
    for zone in world.seen.azure.zones.values_mut() {
        if let Fact::Seen(zone) = zone {
            zone.links = Fact::Seen(Vec::new());
        }
    }
    let stood = standing_endpoints(&world);
    visit_often(&mut world, 20);
    assert_eq!(standing_endpoints(&world), stood, "{:#?}", world.journal);
    assert_eq!(world.state(), "AwaitingApproval");
    for _ in 0..40 {
        world.approve();
        visit_often(&mut world, 1);
    }
    assert_eq!(standing_endpoints(&world), 0, "{}", world.message());
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
    for helps in ["deploy/editor", "secureregistry.dev/spec-edited-by: GENERATION/USER"] {
        assert!(message.contains(helps), "{message}");
    }
}

#[test]
fn who_edited_the_spec_last_approves_no_change_of_names() {
    let mut world = World::everyday();
    let names = Requirements {
        name_changes_approval: true,
        ..Requirements::default()
    };
    two_persons(&mut world, names);
    edited_by(&mut world, "joe");
    for _ in 0..20 {
        world.approve();
        visit_often(&mut world, 1);
    }
    assert!(
        !world.journal.iter().any(|step| step.starts_with("put-zone-group")),
        "{:#?}",
        world.journal
    );
    edited_by(&mut world, "jane");
    for _ in 0..40 {
        world.approve();
        visit_often(&mut world, 1);
    }
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

/// Joe approves the opening of what others closed, as the spec is now.
fn approve_this_opening(world: &mut World) {
    let object = &world.desired.object;
    let mut preimage = Preimage::of(DigestKind::Opening);
    preimage.add(DigestLine::Object(&object.uid));
    preimage.add(DigestLine::Opens(&world.desired.registry));
    preimage.add(DigestLine::Generation(object.generation));
    let approval = ApprovalSeen {
        name: "opening".into(),
        change: ChangeKind::Opening,
        digest: preimage.digest(),
        approved_by: "joe".into(),
        uid: "uid".into(),
        status: None,
    };
    world.seen.cluster.approvals = Fact::Seen(vec![approval]);
}

/// Also where the spec breaks a rule, and the grant is only that of a network: whoever could break it on purpose would need nobody else.
#[test]
fn who_edited_the_spec_last_approves_no_opening_of_what_others_closed() {
    for broken in [false, true] {
        let mut world = locked();
        world.seen.cluster.snapshot = Fact::Absent;
        world.suffer(crate::world::scramble::Blow::EraseStatus);
        let mut network = everything(&world.object);
        network.name = "networks".into();
        network
            .scopes
            .retain(|purpose, _| matches!(purpose, Purpose::Network(_)));
        network.requires = Ok(Requirements {
            separate_approver: true,
            ..Requirements::default()
        });
        world.regrant(Some(Grants::new(vec![everything(&world.object), network])));
        world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        if broken {
            world.misspec(crate::world::bad_window);
        }
        world.seen.object.spec_edited_by = Some("joe".into());
        approve_this_opening(&mut world);
        visit_often(&mut world, 4);
        assert!(world.all_closed(), "{broken}");
        // The same edit by another person, as the API server would have written it down.
        world.seen.object.spec_edited_by = Some("jane".into());
        visit_often(&mut world, 4);
        assert!(world.all_open(), "{broken}: {}", world.message());
    }
}

#[test]
fn without_such_a_grant_an_editor_approves() {
    let mut world = World::everyday();
    lock_waits(&mut world);
    edited_by(&mut world, "joe");
    world.until("AwaitingApproval", 60);
    world.approve();
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}
