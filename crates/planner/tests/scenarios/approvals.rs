//! What people are asked for before something that cannot be undone for others: whom it touches, and what their word covers.

use std::time::Duration;

use sreg_api::ChangeKind;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Digest, Disposition, Fact};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::restoring::{a_client_was_seen, in_a_window_once_a_month};
use super::*;
use crate::world::contrary::Contrary;
use crate::world::scramble::Blow;
use crate::world::*;

fn names_wait(world: &mut World) {
    world.respec(|o| {
        o.spec.name_changes = Some(NameChangesSpec {
            wait_for: vec![NameChangesGate::Approval],
        })
    });
}

fn asked(world: &World, kind: &str) -> Vec<String> {
    let wanted = world.seen.object.status.approvals_wanted.iter();
    wanted.filter(|w| w.change == kind).map(|w| w.digest.clone()).collect()
}

fn approve(world: &mut World, change: ChangeKind, digest: &str) {
    if let Fact::Seen(approvals) = &mut world.seen.cluster.approvals {
        approvals.push(ApprovalSeen {
            name: format!("a{}", approvals.len()),
            change,
            digest: Digest::from_text(digest),
            approved_by: "joe".into(),
            uid: format!("uid-{}", approvals.len()),
            status: None,
        });
    }
}

fn waits(world: &World, reason: WaitReason) -> bool {
    world.plan().waits.iter().any(|w| w.reason == reason)
}

fn changes_names(world: &World) -> bool {
    world.plan().steps().any(|s| s.action.changes_names())
}

#[test]
fn only_an_approval_of_this_kind_and_digest_lets_the_lock_go_on() {
    let mut world = World::everyday();
    lock_waits(&mut world);
    world.until("AwaitingApproval", 60);
    let digest = asked(&world, "Lockdown").remove(0);
    approve(&mut world, ChangeKind::Lockdown, "another");
    approve(&mut world, ChangeKind::NameChanges, &digest);
    assert!(waits(&world, WaitReason::LockdownApproval));
    let read = std::mem::replace(&mut world.seen.cluster.approvals, unknown(IgnoranceKind::Unreachable));
    let plan = world.plan();
    let unread = |w: &sreg_planner::Wait| w.reason == WaitReason::NotKnown && w.message.contains("the call failed");
    assert!(
        plan.waits.iter().any(unread) && plan.waves.is_empty(),
        "{}",
        sreg_planner::render(&plan)
    );
    world.seen.cluster.approvals = read;
    approve(&mut world, ChangeKind::Lockdown, &digest);
    world.settle(30);
    assert_eq!(world.state(), "Locked");
}

/// What was approved for an object is not approved for another one of its name.
#[test]
fn an_object_made_again_is_approved_again() {
    let mut world = World::everyday();
    lock_waits(&mut world);
    world.until("AwaitingApproval", 60);
    world.approve();
    assert!(!waits(&world, WaitReason::LockdownApproval));
    world.object.metadata.uid = Some("another".into());
    world.respec(|_| {});
    world.until("AwaitingApproval", 60);
}

#[test]
fn what_forbids_opening_again_is_acknowledged_once_and_locked() {
    let mut world = World::everyday();
    world.seen.azure.reopening_obstacles = Fact::Seen(vec![obstacle("a policy denies it")]);
    world.until("AwaitingApproval", 60);
    world.approve();
    // One more is another matter.
    world.seen.azure.reopening_obstacles =
        Fact::Seen(vec![obstacle("a policy denies it"), obstacle("so does another")]);
    assert!(waits(&world, WaitReason::LockdownApproval));
    world.seen.azure.reopening_obstacles = Fact::Seen(vec![obstacle("a policy denies it")]);
    world.settle(30);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn approvers_of_name_changes_are_told_which_names_for_which_networks() {
    let mut world = World::everyday();
    world.seen.azure.zones_elsewhere = Fact::Seen(vec![linked_elsewhere(
        "team-x",
        "privatelink.blob.core.windows.net",
        "team-x",
    )]);
    names_wait(&mut world);
    world.until("AwaitingApproval", 10);
    let asked = world.seen.object.status.approvals_wanted[0].clone();
    for told in [
        "contosostore.blob.core.windows.net",
        "hub",
        "spoke",
        "team-x",
        "3 private endpoints",
    ] {
        assert!(asked.summary.contains(told), "{told} is not in {}", asked.summary);
    }
    assert!(!changes_names(&world));
    world.approve();
    let held = |world: &World| {
        world
            .plan()
            .findings
            .iter()
            .any(|f| f.reason == FindingReason::NameChangeHeld)
    };
    assert!(!held(&world) && changes_names(&world));
    // Another network is cut off now: nobody approved that.
    let Fact::Seen(zones) = &mut world.seen.azure.zones_elsewhere else {
        panic!()
    };
    zones.push(linked_elsewhere("team-x", "privatelink.azurecr.io", "team-y"));
    assert!(waits(&world, WaitReason::NameChangesApproval) && held(&world) && !changes_names(&world));
    world.until("AwaitingApproval", 3);
    world.approve();
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

/// The first endpoint on a target cuts off every network that holds a zone of the name, whoever's it is.
#[test]
fn the_first_endpoint_names_other_teams_networks() {
    let mut world = World::everyday();
    world.seen.azure.zones_elsewhere = Fact::Seen(vec![linked_elsewhere(
        "team-x",
        "privatelink.blob.core.windows.net",
        "team-x",
    )]);
    let mut told = Vec::new();
    for _ in 0..20 {
        let (plan, report) = world.visit();
        told.extend(plan.steps().flat_map(|s| s.touches.clone()));
        world.pass(report.requeue);
    }
    let told = told.join("\n");
    assert!(
        told.contains("(team-x) get no answer for contosostore.blob.core.windows.net"),
        "{told}"
    );
    assert!(!told.contains("(team-x) get no answer for contosoacr"), "{told}");
}

/// One network asks one zone of a name only: ours would be a second one.
#[test]
fn a_network_that_asks_another_zone_of_the_name_is_not_linked_to_ours() {
    let mut world = World::everyday();
    let blob = "privatelink.blob.core.windows.net";
    world.seen.azure.zones_elsewhere = Fact::Seen(vec![linked_elsewhere("team-x", blob, "hub")]);
    stays_open(&mut world, 30, Duration::MAX);
    assert!(waits(&world, WaitReason::ZoneLinkedElsewhereStalled));
    let ours = world.journal.iter().any(|step| step.contains(blob));
    assert!(!ours, "{:#?}", world.journal);
}

fn standing(world: &World, group: &str) -> usize {
    let all = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    all.filter(|e| e.group_id.as_deref() == Some(group)).count()
}

/// With the first endpoint the public names lead to zones: a network that asks another one would get no answer, while all is open.
#[test]
fn no_endpoint_is_made_whose_records_could_not_be_written_where_its_networks_ask() {
    let mut world = World::everyday();
    let zone = linked_elsewhere("platform", "privatelink.blob.core.windows.net", "hub");
    world.seen.azure.zones_elsewhere = Fact::Seen(vec![zone]);
    stays_open(&mut world, 30, Duration::MAX);
    assert!(waits(&world, WaitReason::ZoneLinkedElsewhereStalled));
    let made = (
        standing(&world, "blob"),
        standing(&world, "registry"),
        standing(&world, "amlregistry"),
    );
    assert_eq!(made, (0, 1, 1), "the others are made: {:#?}", world.journal);
    world.seen.azure.zones_elsewhere = Fact::Seen(Vec::new());
    world.settle(80);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn a_zone_that_a_policy_forbids_costs_nobody_a_name_and_central_zones_are_named() {
    let mut world = World::everyday();
    world.thwarted(
        "create-zone",
        Contrary::Fails("RequestDisallowedByPolicy", 403, Disposition::Terminal),
    );
    stays_open(&mut world, 20, Duration::from_secs(3600));
    assert!(
        world.seen.azure.endpoints.values().all(Fact::is_absent),
        "{:#?}",
        world.journal
    );
    assert!(
        world
            .plan()
            .waits
            .iter()
            .any(|w| w.message.contains("dns.mode: Existing"))
    );
}

#[test]
fn a_zone_that_is_absent_or_cannot_be_read_costs_nobody_a_name() {
    let mut world = World::everyday();
    world.thwarted("create-zone", Contrary::Ignored);
    world.seen.azure.zones_elsewhere = unknown(IgnoranceKind::Unreachable);
    stays_open(&mut world, 20, Duration::from_secs(600));
    world.seen.azure.zones_elsewhere = Fact::Seen(Vec::new());
    stays_open(&mut world, 20, Duration::from_secs(600));
    assert!(
        world.seen.azure.endpoints.values().all(Fact::is_absent),
        "{:#?}",
        world.journal
    );
    world.contrary.clear();
    world.settle(80);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn whom_name_changes_touch_has_to_be_known_before_anybody_approves() {
    type Forget = fn(&mut World);
    let forgets: [(&str, Forget); 3] = [
        ("zones elsewhere", |w| {
            w.seen.azure.zones_elsewhere = unknown(IgnoranceKind::Unreachable)
        }),
        ("links elsewhere", |w| {
            let mut zone = linked_elsewhere("team-x", "privatelink.azurecr.io", "team-x");
            zone.links = unknown(IgnoranceKind::Unreachable);
            w.seen.azure.zones_elsewhere = Fact::Seen(vec![zone]);
        }),
        ("discovery", |w| {
            w.seen.azure.discovery = unknown(IgnoranceKind::Unreachable)
        }),
    ];
    for (what, forget) in forgets {
        let mut world = World::everyday();
        names_wait(&mut world);
        world.until("AwaitingApproval", 10);
        world.approve();
        assert!(changes_names(&world));
        forget(&mut world);
        assert!(
            !changes_names(&world),
            "{what}: {}",
            sreg_planner::render(&world.plan())
        );
        assert!(!waits(&world, WaitReason::NameChangesApproval), "{what}");
        world.visit();
        assert_eq!(asked(&world, "NameChanges"), Vec::<String>::new(), "{what}");
    }
}

/// Two entries, one of which is dropped again. What was approved before there were two is no word on removing one of them.
#[test]
fn removing_an_endpoint_is_approved_by_itself() {
    let mut world = World::everyday();
    names_wait(&mut world);
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.until("AwaitingApproval", 10);
    world.approve();
    world.settle(60);
    let hub_alone = world.object.spec.clone();
    world.respec(|o| {
        let mut far = o.spec.endpoints[0].clone();
        far.name = "far".into();
        far.subnet_resource_id = format!("{}/subnets/endpoints", vnet("far"));
        far.dns.as_mut().unwrap().link_virtual_networks = Some(vec![vnet("far").to_string()]);
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("far").to_string(),
            reason: "no clients yet".into(),
        }];
        o.spec.endpoints.push(far);
        for network in &mut o.spec.client_networks {
            network.endpoint = Some("hub".into());
        }
    });
    world.until("AwaitingApproval", 10);
    world.approve();
    world.settle(60);
    assert_eq!(standing_endpoints(&world), 6);
    world.respec(|o| o.spec.endpoints = hub_alone.endpoints);
    // Nobody in far asks its zones any more.
    for (id, zone) in &mut world.seen.azure.zones {
        if let (Fact::Seen(zone), true) = (zone, id.resource_group_id() == vnet("far").resource_group_id()) {
            zone.links = Fact::Seen(Vec::new());
        }
    }
    world.until("AwaitingApproval", 10);
    assert_eq!(standing_endpoints(&world), 6, "{:#?}", world.journal);
    assert_eq!(asked(&world, "NameChanges").len(), 3, "one for each endpoint");
    let summary = &world.seen.object.status.approvals_wanted[0].summary;
    assert!(
        summary.contains("remove private endpoint") && summary.contains("for hub, spoke"),
        "{summary}"
    );
    world.approve();
    world.settle(60);
    assert_eq!(standing_endpoints(&world), 3);
}

#[test]
fn clients_at_accepted_addresses_do_not_hold_the_lock_and_those_that_cannot_be_told_do() {
    let mut world = World::everyday();
    in_a_window_once_a_month(&mut world);
    world.respec(|o| o.spec.public_access.lockdown = None);
    a_client_was_seen(&mut world);
    world.until("AwaitingAction", 60);
    assert!(waits(&world, WaitReason::RecentPublicClients));
    let accept = |world: &mut World, prefix: &str| {
        let accepted = vec![prefix.to_owned()];
        world.respec(|o| o.spec.verification.recent_public_clients.as_mut().unwrap().accept = accepted);
    };
    accept(&mut world, "198.51.100.8/32");
    assert!(waits(&world, WaitReason::RecentPublicClients));
    accept(&mut world, "198.51.100.0/28");
    assert!(!waits(&world, WaitReason::RecentPublicClients));
    // A target without logs: somebody has to send them, or to say that it does not matter.
    world.seen.azure.recent_public_clients = unknown(IgnoranceKind::Refused);
    assert!(waits(&world, WaitReason::RecentPublicClients));
    // Nobody answers: time may tell.
    world.seen.azure.recent_public_clients = unknown(IgnoranceKind::Unreachable);
    assert!(waits(&world, WaitReason::NotKnown));
    stays_open(&mut world, 40, Duration::from_secs(120));
    a_client_was_seen(&mut world);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

/// The window opens for the first closing write; what it has begun is finished.
#[test]
fn a_lock_that_has_begun_is_finished_though_its_window_closes() {
    let mut world = World::everyday();
    in_a_window_once_a_month(&mut world);
    for _ in 0..2000 {
        let (plan, report) = world.visit();
        if closes(&plan) {
            break;
        }
        world.pass(report.requeue.min(Duration::from_secs(3600)));
    }
    assert!(!world.all_open() && !world.all_closed(), "half done");
    world.pass(Duration::from_secs(3 * 3600));
    assert!(
        !waits(&world, WaitReason::WindowClosed),
        "{}",
        sreg_planner::render(&world.plan())
    );
    a_client_was_seen(&mut world);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

/// Nobody enforced anything for a while; clients may have settled on the public way.
#[test]
fn a_lock_after_observe_is_a_first_one() {
    let mut world = locked();
    in_a_window_once_a_month(&mut world);
    world.settle(20);
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    world.settle(20);
    world.suffer(Blow::OpenStorage);
    for _ in 0..5 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Enforce);
    a_client_was_seen(&mut world);
    stays_open(&mut world, 20, Duration::from_secs(300));
    assert!(waits(&world, WaitReason::WindowClosed) && waits(&world, WaitReason::RecentPublicClients));
}

/// We linked it; now the spec does not speak of it any more. It still asks our zones.
#[test]
fn a_network_that_the_spec_forgot_holds_the_lock_until_it_is_listed_or_its_link_is_gone() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Disabled;
        o.spec.client_networks.remove(1);
        let dns = o.spec.endpoints[0].dns.as_mut().unwrap();
        dns.link_virtual_networks.as_mut().unwrap().truncate(1);
    });
    stays_open(&mut world, 30, Duration::from_secs(300));
    let told = world
        .plan()
        .waits
        .iter()
        .any(|w| w.message.contains("spoke was linked by us"));
    assert!(told, "{}", sreg_planner::render(&world.plan()));
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("spoke").to_string(),
            reason: "its clients have gone".into(),
        }]
    });
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}
