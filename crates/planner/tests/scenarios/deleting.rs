//! How objects end.

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Action, ClusterAction, Disposition, Fact, Grants};

use super::*;
use crate::world::*;

#[test]
fn deletion_of_a_locked_object_leaves_azure_and_the_way_back() {
    let mut world = locked();
    let azure = world.closed();
    world.delete();
    world.settle(10);
    assert!(world.gone && world.closed() == azure);
    assert!(world.seen.cluster.claim.seen().is_some() && world.seen.cluster.snapshot.seen().is_some());
    assert!(world.seen.cluster.probes.values().all(Fact::is_absent));
}

fn open_and_deleted_with_endpoints() -> World {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(40);
    world.delete();
    world
}

#[test]
fn deletion_with_endpoints_takes_zone_groups_first_and_ends() {
    let mut world = open_and_deleted_with_endpoints();
    world.settle(10);
    assert!(world.gone);
    assert!(world.seen.azure.endpoints.values().all(Fact::is_absent));
    let zones = world.seen.azure.zones.values().filter(|z| z.seen().is_some()).count();
    assert_eq!(zones, 3, "zones are never deleted");
    assert!(position(&world, "delete-zone-group") < position(&world, "delete-endpoint"));
    assert!(position(&world, "delete-endpoint") < position(&world, "remove-finalizer"));
}

/// Azure changes one endpoint in a network at a time: one that does not answer may be it. What may never be read holds up nothing.
#[test]
fn nothing_else_is_removed_while_an_endpoint_does_not_answer() {
    for (kind, held) in [
        (IgnoranceKind::Unreachable, true),
        (IgnoranceKind::Throttled, true),
        (IgnoranceKind::Forbidden, false),
    ] {
        let mut world = open_and_deleted_with_endpoints();
        let first = world.seen.azure.endpoints.values_mut().next().unwrap();
        *first = unknown(kind);
        let plan = world.plan();
        assert_eq!(azure_steps(&plan) == 0, held, "{}", sreg_planner::render(&plan));
        // Not for ever: then Azure refuses what it is busy with.
        world.visit();
        world.pass(Duration::from_secs(16 * 60));
        assert!(azure_steps(&world.plan()) > 0, "{kind:?}");
    }
}

/// Nobody can say how it stands, and it may still close what is open.
#[test]
fn an_operation_that_cannot_be_read_holds_a_deletion_for_a_quarter_of_an_hour_and_then_leaves_the_endpoints() {
    let mut world = open_and_deleted_with_endpoints();
    super::restoring::closing(&mut world, OperationState::Unreadable { retry_after: None });
    let began = world.now;
    let mut told = Vec::new();
    while !world.gone {
        let (plan, report) = world.visit();
        assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
        told.extend(plan.findings.into_iter().map(|f| f.message));
        let lasted = world.now.duration_since(began).as_secs();
        assert!(lasted < 20 * 60, "{lasted} s: {}", sreg_planner::render(&world.plan()));
        assert!(!world.gone || lasted >= 15 * 60, "gone after {lasted} s");
        world.pass(report.requeue);
    }
    assert_eq!(standing_endpoints(&world), 3);
    let left = |m: &String| m.contains("left in place") && m.contains("changing registry contosoreg");
    assert!(told.iter().any(left), "{told:?}");
}

#[test]
fn deletion_ends_though_nothing_may_be_read() {
    for kind in [IgnoranceKind::Forbidden, IgnoranceKind::NotRead] {
        let mut world = locked();
        world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
        world.delete();
        see_registry(&mut world.seen.azure, unknown(kind));
        world.seen.azure.endpoints.values_mut().for_each(|e| *e = unknown(kind));
        world.seen.cluster.claim = unknown(kind);
        for _ in 0..5 {
            world.visit();
        }
        assert!(world.gone, "{kind:?}: {}", sreg_planner::render(&world.plan()));
    }
}

#[test]
fn deletion_of_an_object_that_never_got_anywhere_is_immediate() {
    let mut world = World::everyday();
    world.delete();
    let (plan, _) = world.visit();
    assert!(plan.waves.is_empty() && world.journal.is_empty());
}

/// Whoever replaces a manifest takes the finalizer off without meaning to. Admission then waits for it, so it must come back whatever else
/// is wrong with the object, and nobody must be alarmed by it.
#[test]
fn a_finalizer_that_a_replaced_manifest_lost_comes_back_whatever_the_object_says_by_then() {
    let puts_back = |plan: &Plan| {
        let first = plan.waves.first().into_iter().flatten();
        first
            .map(|step| &step.action)
            .eq([&Action::Cluster(ClusterAction::AddFinalizer)])
    };
    type Change = fn(&mut World);
    let ways: [(&str, Change); 5] = [
        ("as it was", |_| ()),
        ("that breaks a rule", |world| world.misspec(bad_window)),
        ("that nobody grants anything any more", |world| {
            world.regrant(Some(Grants::default()))
        }),
        ("whose registry another object holds by now", |world| {
            world.claimed_by("owners/models")
        }),
        ("that only observes", |world| {
            world.respec(|o| {
                o.spec.management_policy = ManagementPolicy::Observe;
                o.spec.endpoints.clear();
                o.spec.client_networks.clear();
            })
        }),
    ];
    for (what, change) in ways {
        let mut world = locked();
        assert!(world.seen.object.status.release_required, "{what}");
        change(&mut world);
        world.visit();
        let state = world.state();
        world.seen.object.has_finalizer = false;
        let (plan, report) = world.visit();
        assert!(puts_back(&plan), "{what}: {}", sreg_planner::render(&plan));
        assert!(
            world.seen.object.has_finalizer && report.status.release_required,
            "{what}"
        );
        assert_eq!((world.state(), events(&report)), (state, vec![]), "{what}");
        assert!(!puts_back(&world.visit().0), "{what}");
    }
    // It is not put on where it never was, and not put back on what is being deleted.
    let mut world = World::everyday();
    world.regrant(Some(Grants::default()));
    let (plan, report) = world.visit();
    assert!(!puts_back(&plan) && !report.status.release_required);
    let mut world = locked();
    world.delete();
    world.seen.object.has_finalizer = false;
    assert!(world.visit().0.waves.is_empty());
}

/// A resource lock, a policy that denies it: the namespace is not held hostage for that.
#[test]
fn a_deletion_that_azure_keeps_refusing_leaves_the_endpoints_in_place_and_ends() {
    let mut world = open_and_deleted_with_endpoints();
    let began = world.now;
    let mut notes = Vec::new();
    while world.seen.object.has_finalizer {
        let plan = world.plan();
        let before = world.clone();
        let mut outcome = sreg_domain::Outcome::default();
        for step in plan.waves.iter().flatten() {
            outcome.steps.push(match &step.action {
                Action::Azure(_) => failing(step, Disposition::Terminal),
                Action::Cluster(_) => world.apply(step),
            });
        }
        let report = before.report(&plan, &outcome);
        world.seen.object.status = report.status.clone();
        notes.extend(report.events.into_iter().map(|e| e.note));
        assert!(
            world.now.duration_since(began).as_secs() < 3 * 3600,
            "{}",
            sreg_planner::render(&plan)
        );
        world.pass(report.requeue);
    }
    assert!(
        world.now.duration_since(began).as_secs() >= 900,
        "tried for a while first"
    );
    assert!(world.seen.azure.endpoints.values().any(|e| e.seen().is_some()));
    assert!(
        notes
            .iter()
            .any(|n| n.contains("given up") && n.contains("have the records of private endpoint")),
        "{notes:#?}"
    );
}

/// Another team's endpoint on the storage keeps its public name private, so that only our record answers where our zone is linked.
#[test]
fn an_endpoint_stays_where_somebody_elses_would_leave_our_linked_networks_without_an_answer() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(60);
    let theirs = id(&format!(
        "{SUB}/resourceGroups/team-x/providers/Microsoft.Network/privateEndpoints/theirs"
    ));
    change_storage(&mut world, |account| account.private_endpoints = vec![theirs]);
    world.delete();
    let mut told = Vec::new();
    for _ in 0..40 {
        let (plan, report) = world.visit();
        told.extend(plan.findings.into_iter().map(|f| f.message));
        if world.gone {
            break;
        }
        world.pass(report.requeue);
    }
    assert!(world.gone, "deletion ends");
    let left = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    let left: Vec<_> = left.map(|e| e.group_id.clone().unwrap()).collect();
    assert_eq!(left, ["blob"], "{:#?}", world.journal);
    let says =
        |m: &String| m.contains("which is somebody else's") && m.contains("az network private-dns link vnet delete");
    assert!(told.iter().any(says), "{told:#?}");
    assert!(
        world
            .journal
            .iter()
            .all(|step| !step.starts_with("delete-zone-group") || !step.contains("blob"))
    );
}

/// Whoever deletes with the default finds out what that leaves, from the object and from an event.
#[test]
fn what_the_default_leaves_is_told() {
    let mut world = locked();
    let made: Vec<String> = world.seen.azure.endpoints.keys().map(ToString::to_string).collect();
    let snapshot = sreg_domain::naming::snapshot_name(&world.desired.registry);
    world.delete();
    let mut told = Vec::new();
    for _ in 0..10 {
        let (_, report) = world.visit();
        told.extend(notes_of(&report, "LeftInPlace"));
        if world.gone {
            break;
        }
        assert!(world.message().contains("Retain"), "{}", world.message());
        world.pass(report.requeue);
    }
    assert_eq!(told.len(), 1, "{told:?}");
    for part in made.iter().chain([&snapshot]) {
        assert!(told[0].contains(part.as_str()), "no {part} in {}", told[0]);
    }
}
