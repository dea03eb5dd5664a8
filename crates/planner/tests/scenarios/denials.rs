//! Deny assignments that a deployment stack or somebody else has set: known before the lock, told while it holds, never run into, and never
//! the reason for half an endpoint.

use sreg_api::registry::{DeletionPolicy, PublicAccess};
use sreg_domain::Fact;
use sreg_domain::seen::{DenyAssignment, IgnoranceKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::*;

const COMMAND: &str = "az resource show --ids";

fn told(world: &World) -> Vec<String> {
    let findings = world.plan().findings.into_iter();
    let findings = findings.filter(|f| f.reason == FindingReason::ReopeningForbidden);
    findings.map(|f| f.message).collect()
}

#[test]
fn one_that_forbids_opening_again_is_acknowledged_and_what_it_leaves_is_locked() {
    for scope in [REGISTRY, storage("contosostore").as_str(), acr().as_str()] {
        let mut world = World::everyday();
        world.denials = vec![stack_on(scope)];
        world.until("AwaitingApproval", 60);
        assert!(
            world.message().contains(COMMAND)
                && world.message().contains("--deny-settings-excluded-principals operator"),
            "{}",
            world.message()
        );
        let summary = &world.seen.object.status.approvals_wanted[0].summary;
        assert!(summary.contains("deploymentStacks/platform"), "{summary}");
        stays_open(&mut world, 10, Duration::from_secs(600));
        world.approve();
        world.settle_anyhow(30);
        let tried = world
            .writes
            .iter()
            .filter(|(_, id)| id.as_str().eq_ignore_ascii_case(scope))
            .count();
        assert_eq!(tried, 0, "the refusal is not provoked: {:#?}", world.journal);
        let plan = world.plan();
        let closed = plan.assessment.access.iter().filter(|a| a.closed == Some(true)).count();
        assert_eq!(closed, 2, "{}", sreg_planner::render(&plan));
        let stalled = plan
            .waits
            .iter()
            .find(|w| w.reason == WaitReason::DenyAssignmentStalled);
        assert!(
            stalled.is_some_and(|w| w.message.contains("would be refused")),
            "{:?}",
            plan.waits
        );
    }
}

#[test]
fn whom_groups_hold_is_not_known_and_therefore_acknowledged_and_then_tried() {
    let mut world = World::everyday();
    world.denials = vec![DenyAssignment {
        excluded_principals: vec!["some-group".into()],
        excludes_groups: true,
        ..stack_on(MANAGED)
    }];
    world.until("AwaitingApproval", 60);
    assert!(world.message().contains("may forbid"), "{}", world.message());
    world.approve();
    world.settle(30);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn who_is_exempt_or_not_concerned_waits_for_nobody() {
    let other = |change: fn(&mut DenyAssignment)| {
        let mut denial = stack_on(MANAGED);
        change(&mut denial);
        denial
    };
    for denial in [
        other(|d| d.excluded_principals = vec!["OPERATOR".into()]),
        other(|d| d.principals = vec!["somebody".into()]),
        other(|d| d.permissions = vec![(vec!["*/delete".into()], Vec::new())]),
        other(|d| d.not_below = true),
        other(|d| d.scope = format!("{MANAGED}-of-others")),
    ] {
        let mut world = World::everyday();
        world.denials = vec![denial.clone()];
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{denial:?}: {}", world.message());
        assert_eq!(told(&world), [""; 0]);
    }
}

#[test]
fn one_that_is_set_while_locked_is_told_and_an_emergency_opens_the_rest() {
    let mut world = locked();
    world.denials = vec![stack_on(storage("contosostore").as_str())];
    world.settle(10);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(told(&world)[0].contains(COMMAND), "{:?}", told(&world));
    world.break_glass(60);
    for _ in 0..6 {
        let (_, report) = world.visit();
        world.pass(report.requeue.min(Duration::from_secs(30)));
    }
    let plan = world.plan();
    let open = plan
        .assessment
        .access
        .iter()
        .filter(|a| a.closed == Some(false))
        .count();
    assert_eq!(open, 2, "{}", sreg_planner::render(&plan));
    let tried = world.journal.iter().any(|step| step.starts_with("break-glass storage"));
    assert!(tried, "what was read of them may be old: it is tried");
}

#[test]
fn those_that_cannot_be_read_hold_the_lock_and_void_none_that_holds() {
    let unread = |kind| match unknown::<()>(kind) {
        Fact::Unknown(why) => Some(why),
        Fact::Seen(()) | Fact::Absent => None,
    };
    for kind in [
        IgnoranceKind::Forbidden,
        IgnoranceKind::Unreachable,
        IgnoranceKind::Nonsense,
    ] {
        let mut world = World::everyday();
        world.until("Settling", 60);
        world.unread_denials = unread(kind);
        stays_open(&mut world, 60, Duration::from_secs(600));
        let plan = world.plan();
        let reason = if kind == IgnoranceKind::Forbidden {
            WaitReason::PermissionStalled
        } else {
            WaitReason::NotKnown
        };
        let told = plan.waits.iter().find(|wait| wait.reason == reason);
        assert!(told.is_some(), "{kind:?}: {}", sreg_planner::render(&plan));

        let mut world = locked();
        world.unread_denials = unread(kind);
        world.settle(10);
        assert_eq!(world.state(), "Locked", "{}", world.message());
        world.break_glass(60);
        world.until("BreakGlass", 10);
    }
}

#[test]
fn an_endpoint_that_may_not_be_deleted_keeps_its_records() {
    let whole = |world: &World| {
        let standing = world.seen.azure.endpoints.values().filter_map(Fact::seen);
        let whole = standing.filter(|e| e.zone_groups.seen().is_some_and(|groups| !groups.is_empty()));
        whole.count()
    };
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(40);
    let group = world.desired.endpoints()[0].resource_group.clone();
    for actions in [
        "*/delete",
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/delete",
    ] {
        let mut world = world.clone();
        world.denials = vec![DenyAssignment {
            permissions: vec![(vec![actions.into()], Vec::new())],
            ..stack_on(group.as_str())
        }];
        world.delete();
        let mut findings = Vec::new();
        for _ in 0..80 {
            let (plan, report) = world.visit();
            findings.extend(plan.findings.into_iter().map(|f| f.message));
            if world.gone {
                break;
            }
            world.pass(report.requeue);
        }
        assert!(world.gone, "a namespace is never held hostage");
        assert_eq!(whole(&world), 3, "{actions}: {:#?}", world.journal);
        assert!(findings.iter().any(|m| m.contains(COMMAND)), "{findings:#?}");
    }
}
