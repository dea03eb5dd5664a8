//! What this object never locked: somebody else closed it, and opening it takes somebody who agrees.

use sreg_api::BreakGlassPhase::{Active, Ignored};
use sreg_api::names::OWNER_TAG;
use sreg_api::registry::PublicAccess;
use sreg_domain::{ArmId, Disposition, StepKind, TargetKind};
use sreg_planner::plan::WaitReason;
use std::collections::BTreeMap;

use super::emergencies::{phase, told};
use super::*;
use crate::world::*;

/// Closed by somebody else before this object came.
fn found_closed() -> World {
    let mut world = locked();
    world.seen.cluster.snapshot = Fact::Absent;
    world.suffer(scramble::Blow::EraseStatus);
    world.visit();
    assert!(world.all_closed(), "{}", world.message());
    world
}

#[test]
fn what_this_object_never_locked_is_opened_only_with_an_approval() {
    for by_spec in [true, false] {
        let mut world = found_closed();
        if by_spec {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        } else {
            world.break_glass(60);
        }
        for _ in 0..4 {
            let (plan, _) = world.visit();
            assert!(
                !plan.steps().any(|step| step.action.opens()),
                "{}",
                sreg_planner::render(&plan)
            );
            assert!(plan.waits.iter().any(|wait| wait.reason == WaitReason::OpeningApproval));
        }
        if by_spec {
            assert_eq!(world.state(), "AwaitingApproval");
        } else {
            assert_eq!(phase(&mut world, "incident-0"), Ignored);
            assert!(
                told(&mut world, "incident-0")
                    .message
                    .contains("change: Opening and digest")
            );
        }
        let wanted = &world.seen.object.status.approvals_wanted;
        assert!(
            wanted
                .iter()
                .any(|w| w.change == "Opening" && w.summary.contains("contosostore")),
            "{wanted:?}"
        );
        world.approve();
        world.visit();
        world.visit();
        assert!(world.all_open(), "{}", world.message());
        if !by_spec {
            assert_eq!(phase(&mut world, "incident-0"), Active);
        }
        let used = &world.seen.object.status.approvals_used;
        assert!(
            used.iter().any(|u| u.change == "Opening" && u.approved_by == "joe"),
            "{used:?}"
        );
    }
}

/// Storage was closed by others before this object locked the rest.
fn locked_over_closed_storage() -> World {
    let mut world = World::everyday();
    world.suffer(scramble::Blow::CloseStorage);
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world.pass(Duration::from_secs(3600));
    world
}

fn still_closed(world: &World) -> Vec<String> {
    let closed = world.closed().into_iter().filter(|(_, closed)| *closed);
    closed.map(|(name, _)| name).collect()
}

#[test]
fn a_part_that_others_had_closed_before_the_lock_is_opened_by_the_spec_only_with_an_approval() {
    let mut world = locked_over_closed_storage();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    for _ in 0..4 {
        world.visit();
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(still_closed(&world), ["contosostore"], "{}", world.message());
    assert_eq!(world.state(), "AwaitingApproval", "{}", world.message());
    assert!(
        world.message().contains("contosostore had been closed by others"),
        "{}",
        world.message()
    );
    let wanted = &world.seen.object.status.approvals_wanted;
    let opening = wanted.iter().find(|w| w.change == "Opening").unwrap();
    assert!(opening.summary.ends_with(": contosostore"), "{}", opening.summary);
    world.approve();
    world.settle(10);
    assert!(world.all_open());
    assert_eq!(world.state(), "Open", "{}", world.message());
    let used = &world.seen.object.status.approvals_used;
    assert!(used.iter().any(|u| u.change == "Opening"), "{used:?}");
}

#[test]
fn an_emergency_leaves_closed_what_others_had_closed_before_the_lock_and_says_what_opens_it() {
    let mut world = locked_over_closed_storage();
    world.visit();
    let findings = &world.seen.object.status.findings;
    let told = findings.iter().find(|f| f.reason == "NothingToRestore").unwrap();
    assert!(told.message.contains("change: Opening"), "{}", told.message);
    // An approval that counts changes nothing about that.
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    let (plan, _) = world.visit();
    let asked = |wait: &sreg_planner::Wait| wait.reason == WaitReason::OpeningApproval;
    assert!(plan.waits.iter().any(asked), "{}", sreg_planner::render(&plan));
    world.approve();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    let approvals = world.seen.cluster.approvals.seen().unwrap();
    let status = approvals.iter().find_map(|a| a.status.clone()).unwrap();
    assert!(
        status.message.contains("a BreakGlass leaves that closed"),
        "{}",
        status.message
    );
    world.pass(Duration::from_secs(60));
    world.break_glass(60);
    world.visit();
    world.visit();
    assert_eq!(still_closed(&world), ["contosostore"], "{}", world.message());
}

#[test]
fn an_approval_of_an_opening_is_told_how_it_stands() {
    use sreg_api::ChangeApprovalPhase::{Counts, Used};
    let mut world = found_closed();
    world.break_glass(60);
    world.visit();
    world.approve();
    let stands = |world: &World| {
        let all = world.seen.cluster.approvals.seen().unwrap();
        let status = all.iter().find_map(|a| a.status.clone()).unwrap();
        (status.phase, status.message)
    };
    world.visit();
    let (before, _) = stands(&world);
    assert!([Counts, Used].contains(&before));
    world.visit();
    world.visit();
    let (phase, message) = stands(&world);
    assert_eq!(phase, Used, "{message}");
    assert!(message.contains("delete it to withdraw it"), "{message}");
}

#[test]
fn an_emergency_of_what_others_closed_is_told_before_what_it_takes() {
    let mut world = found_closed();
    world.settle(60);
    let findings = &world.seen.object.status.findings;
    let told = findings.iter().find(|f| f.reason == "NothingToRestore").unwrap();
    assert!(
        told.message.contains("create a ChangeApproval with change: Opening"),
        "{}",
        told.message
    );
}

/// The record alone says only that somebody set about to create it: Azure may have refused, and another may have made it since, closed, be
/// it an object of the same name in another cluster.
#[test]
fn what_this_object_made_closed_it_opens_by_itself_but_not_what_only_carries_its_tags_or_only_its_record() {
    for (recorded, carried, opens) in [
        (Some("5eed"), Some("5eed"), true),
        (Some("5eed"), None, false),
        (Some("5eed"), Some("another"), false),
        (None, Some("5eed"), false),
    ] {
        let mut world = found_closed();
        let owner = world.desired.owner.clone();
        change_registry(&mut world, |registry| {
            registry.tags.insert(OWNER_TAG.into(), owner);
        });
        if let Some(mark) = recorded {
            world.record_creation(mark);
        }
        if let Some(mark) = carried {
            world.mark_creation(mark);
        }
        world.break_glass(60);
        world.visit();
        world.visit();
        assert_eq!(world.all_open(), opens, "{recorded:?} {carried:?}: {}", world.message());
    }
}

/// Azure refuses the creation; later somebody else creates a registry of that name, closed.
#[test]
fn a_creation_that_was_refused_opens_nothing_that_somebody_else_makes() {
    let mut world = World::to_be_created();
    world.thwarted(
        "create-registry",
        contrary::Contrary::Fails("RequestDisallowedByPolicy", 403, Disposition::Terminal),
    );
    for _ in 0..6 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(world.seen.cluster.claim.seen().unwrap().creates.is_some());
    let mut theirs = locked();
    theirs.settle(10);
    world.seen.azure = theirs.seen.azure;
    world.unthwart();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    for _ in 0..20 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
        assert!(!world.all_open(), "{}", world.message());
    }
}

/// The operator dies beside the creation, and somebody erases status: the claim still says who made the registry.
#[test]
fn who_made_the_registry_is_known_after_a_crash_and_without_status() {
    let mut world = World::to_be_created();
    let creates = |plan: &Plan| plan.steps().any(|step| step.id.kind == StepKind::CreateRegistry);
    let (plan, _) = world.visit();
    assert!(!creates(&plan), "{}", sreg_planner::render(&plan));
    for _ in 0..10 {
        let plan = world.plan();
        if creates(&plan) {
            world.die_after(&plan);
            break;
        }
        world.visit();
    }
    assert!(world.seen.azure.registry().seen().is_some());
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world.suffer(scramble::Blow::EraseStatus);
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(20);
    assert_eq!(world.summary(), "Open", "{}", world.message());
}

/// The object locked it; somebody deleted it, and somebody else made a registry of that name, closed, with accounts of its own.
#[test]
fn what_stands_in_the_place_of_a_locked_registry_that_is_gone_is_opened_only_with_an_approval() {
    for another in [true, false] {
        let mut world = locked();
        if another {
            let another_acr: ArmId = acr().to_string().replace("contosoacr", "anotheracr").parse().unwrap();
            let renamed = [
                (storage("contosostore"), storage("anotherstore")),
                (acr(), another_acr.clone()),
            ];
            for (former, id) in renamed {
                let Some(Fact::Seen(mut account)) = world.seen.azure.targets.remove(&former) else {
                    panic!("it is there")
                };
                account.id = id.clone();
                world.seen.azure.targets.insert(id, Fact::Seen(account));
            }
            change_registry(&mut world, |registry| {
                for region in &mut registry.regions {
                    region.accounts = BTreeMap::from([
                        (TargetKind::Storage, vec![Some(storage("anotherstore"))]),
                        (TargetKind::ContainerRegistry, vec![Some(another_acr.clone())]),
                    ]);
                }
            });
        }
        world.break_glass(60);
        world.visit();
        world.visit();
        let open = world.closed().values().filter(|closed| !**closed).count();
        assert_eq!(open > 0, !another, "{}", world.message());
    }
}
