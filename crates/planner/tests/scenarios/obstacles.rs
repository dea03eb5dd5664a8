//! Resource locks over what has to be closed and opened: known before the lock, told while it holds, and never an emergency's business.

use sreg_domain::Fact;
use sreg_domain::seen::{IgnoranceKind, LockSeen};
use sreg_planner::Plan;
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::*;

fn lock_on(scope: &str, level: &str) -> LockSeen {
    LockSeen {
        id: format!("{scope}/providers/Microsoft.Authorization/locks/hands-off"),
        level: level.into(),
    }
}

fn command(world: &World) -> String {
    format!("az lock delete --ids {}", world.locks[0].id)
}

fn waits(plan: &Plan, reason: WaitReason) -> Vec<&str> {
    let waits = plan.waits.iter().filter(|w| w.reason == reason);
    waits.map(|w| w.message.as_str()).collect()
}

fn told(plan: &Plan) -> Vec<&str> {
    let findings = plan.findings.iter();
    let findings = findings.filter(|f| f.reason == FindingReason::ReopeningForbidden);
    findings.map(|f| f.message.as_str()).collect()
}

/// Whatever lies at or below it can be written.
fn written(world: &World, scope: &str) -> usize {
    let below = |id: &sreg_domain::ArmId| lock_on(scope, "ReadOnly").covers(id);
    world.writes.iter().filter(|(_, id)| below(id)).count()
}

#[test]
fn a_read_only_lock_over_everything_that_is_open_is_told_as_what_forbids_closing() {
    let registrys = REGISTRY.split("/providers").next().unwrap();
    for scopes in [vec![SUB], vec![registrys, MANAGED]] {
        let mut world = World::everyday();
        // Everything else is built; nothing may be written below a subscription that is locked.
        world.until("Settling", 60);
        world.locks = scopes.iter().map(|scope| lock_on(scope, "ReadOnly")).collect();
        let before: usize = scopes.iter().map(|scope| written(&world, scope)).sum();
        stays_open(&mut world, 60, Duration::from_secs(600));
        let after: usize = scopes.iter().map(|scope| written(&world, scope)).sum();
        assert_eq!(before, after, "the refusal is not provoked: {:#?}", world.journal);
        let plan = world.plan();
        let stalled = waits(&plan, WaitReason::TargetLockedStalled);
        assert!(stalled.iter().all(|m| m.contains("would be refused")), "{stalled:?}");
        assert_eq!(stalled.len(), 3, "{stalled:?}");
        assert!(stalled.iter().any(|m| m.contains(&command(&world))), "{stalled:?}");
        assert_eq!(waits(&plan, WaitReason::LockdownApproval), [""; 0]);
        assert_eq!(world.state(), "Stalled", "{}", world.message());

        world.locks.clear();
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{}", world.message());
    }
}

#[test]
fn a_read_only_lock_over_one_target_is_acknowledged_and_the_others_are_locked() {
    for target in [REGISTRY, storage("contosostore").as_str(), acr().as_str()] {
        let mut world = World::everyday();
        world.locks = vec![lock_on(target, "ReadOnly")];
        world.until("AwaitingApproval", 60);
        assert!(world.message().contains(&command(&world)), "{}", world.message());
        assert_eq!(told(&world.plan()).len(), 1);
        let summary = &world.seen.object.status.approvals_wanted[0].summary;
        assert!(
            summary.contains(&command(&world)),
            "an approver reads what is acknowledged: {summary}"
        );
        stays_open(&mut world, 10, Duration::from_secs(600));
        world.approve();
        world.settle_anyhow(30);
        let plan = world.plan();
        assert_eq!(written(&world, target), 0, "{:#?}", world.journal);
        let closed = plan.assessment.access.iter().filter(|a| a.closed == Some(true)).count();
        assert_eq!(closed, 2, "{}", sreg_planner::render(&plan));
        let stalled = waits(&plan, WaitReason::TargetLockedStalled);
        assert!(stalled[0].contains(&command(&world)), "{stalled:?}");
    }
}

#[test]
fn a_level_that_nobody_knows_is_acknowledged_before_the_lock_and_those_that_allow_writes_are_not() {
    for level in ["CanNotDelete", "NotSpecified", "cannotdelete"] {
        let mut world = World::everyday();
        world.locks = vec![lock_on(MANAGED, level)];
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{level}: {}", world.message());
        assert_eq!(told(&world.plan()), [""; 0]);
    }
    let mut world = World::everyday();
    world.locks = vec![lock_on(MANAGED, "SomethingNew")];
    world.until("AwaitingApproval", 60);
    assert!(world.message().contains("does not know"), "{}", world.message());
    world.approve();
    world.settle(30);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn a_lock_beside_or_below_a_target_forbids_nothing() {
    let mut world = World::everyday();
    let below = storage("contosostore").child("blobServices", "default").to_string();
    let longer = format!("{MANAGED}-of-others");
    world.locks = vec![lock_on(&below, "ReadOnly"), lock_on(&longer, "ReadOnly")];
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn a_lock_that_is_set_while_locked_is_told_with_the_command_and_an_emergency_opens_the_rest() {
    let mut world = locked();
    world.locks = vec![lock_on(storage("contosostore").as_str(), "ReadOnly")];
    let (plan, _) = world.settle(10);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(told(&plan)[0].contains(&command(&world)), "{:?}", told(&plan));

    world.break_glass(60);
    let tried = |world: &World| {
        world
            .journal
            .iter()
            .filter(|s| s.starts_with("break-glass storage"))
            .count()
    };
    let mut findings = Vec::new();
    for _ in 0..6 {
        let (plan, report) = world.visit();
        findings.extend(told(&plan).iter().map(|m| (*m).to_owned()));
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
    assert!(tried(&world) > 0, "what was read of locks may be old: it is tried");
    assert!(findings.iter().any(|m| m.contains(&command(&world))), "{findings:?}");

    world.locks.clear();
    world.pass(Duration::from_secs(300));
    world.until("BreakGlass", 10);
}

#[test]
fn locks_that_cannot_be_read_hold_the_lock_name_the_right_and_void_none_that_holds() {
    let forbidden = |world: &mut World, kind: IgnoranceKind| {
        world.locks_answer = Some(Fact::Unknown(sreg_domain::seen::Ignorance {
            attempt: format!("list locks of {REGISTRY}"),
            kind,
            message: "does not have authorization to perform action 'Microsoft.Authorization/locks/read'".into(),
            code: Some("AuthorizationFailed".into()),
            correlation_id: None,
            retry_after: None,
        }));
    };
    for kind in [IgnoranceKind::Forbidden, IgnoranceKind::Unreachable] {
        let mut world = World::everyday();
        forbidden(&mut world, kind);
        stays_open(&mut world, 60, Duration::from_secs(600));
        assert!(
            world.message().contains("Microsoft.Authorization/locks/read"),
            "{}",
            world.message()
        );
        let reason = if kind == IgnoranceKind::Forbidden {
            WaitReason::PermissionStalled
        } else {
            WaitReason::NotKnown
        };
        assert_eq!(waits(&world.plan(), reason).len(), 1, "{:?}", world.plan().waits);

        let mut world = locked();
        forbidden(&mut world, kind);
        world.settle(10);
        assert_eq!(world.state(), "Locked", "{}", world.message());
        world.break_glass(60);
        world.until("BreakGlass", 10);
    }
    let mut world = World::everyday();
    world.seen.azure.reopening_obstacles = Fact::Absent;
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn an_approval_is_not_called_void_because_locks_could_not_be_read_once() {
    let mut world = World::everyday();
    world.locks = vec![lock_on(acr().as_str(), "ReadOnly")];
    world.until("AwaitingApproval", 60);
    world.approve();
    let digest = world.plan().assessment.lockdown_digest;
    assert!(digest.is_some());
    let mut seen = world.seen_now();
    seen.azure
        .locks
        .values_mut()
        .for_each(|fact| *fact = unknown(IgnoranceKind::Throttled));
    let plan = sreg_planner::plan(&world.desired, &seen, world.now);
    assert_eq!(plan.assessment.lockdown_digest, None, "{}", sreg_planner::render(&plan));
}
