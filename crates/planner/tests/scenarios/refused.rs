//! What Azure refuses for good is remembered, said, and tried again more and more seldom; it holds up only what needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use sreg_domain::action::StepResult;
use sreg_domain::seen::*;
use sreg_domain::{Action, Disposition, Fact, StepKind};
use sreg_planner::plan::WaitReason;
use sreg_planner::render;

use super::*;
use crate::world::*;

/// Visits for this long while Azure refuses every step that begins so: how often each was tried, and the states seen.
fn refusing(world: &mut World, hours: u64, prefix: &str) -> (BTreeMap<String, usize>, Vec<String>) {
    let end = world.now + Duration::from_secs(3600 * hours);
    let (mut tries, mut states) = (BTreeMap::new(), vec![world.state()]);
    while world.now < end {
        let plan = world.plan();
        let before = world.clone();
        let mut outcome = sreg_domain::Outcome::default();
        for wave in &plan.waves {
            let mut broken = false;
            for step in wave {
                let carried = if step.id.to_string().starts_with(prefix) {
                    *tries.entry(step.id.to_string()).or_default() += 1;
                    failing(step, Disposition::Forbidden)
                } else {
                    world.apply(step)
                };
                broken |= matches!(carried.result, StepResult::Failed(_));
                outcome.steps.push(carried);
            }
            if broken {
                break;
            }
        }
        let report = before.report(&plan, &outcome);
        world.seen.object.status = report.status;
        world.seen.memory.attempts = report.attempts;
        world.seen.nonce += 1;
        world.answer();
        if *states.last().unwrap() != world.state() {
            states.push(world.state());
        }
        world.pass(report.requeue);
    }
    (tries, states)
}

#[test]
fn a_closing_write_that_is_refused_is_tried_more_and_more_seldom() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    let (tries, states) = refusing(&mut world, 12, "close storage");
    let tried = tries["close storage contosostore"];
    assert!((8..=24).contains(&tried), "{tried} tries in twelve hours");
    assert!(states.len() < 4 * tried, "{states:?}");
    assert_eq!(world.state(), "Stalled");
    assert!(
        world.message().contains("az policy exemption create"),
        "{}",
        world.message()
    );
    let access = world.seen.object.status.public_access.clone().unwrap();
    assert_eq!(access.summary, "Open: storage");
    // Granted: within the hour it is locked; a change of spec tries at once.
    world.respec(|o| o.spec.drift = sreg_api::registry::DriftSpec { interval: "20m".into() });
    world.until("Locked", 20);
    world.settle(10);
    assert_eq!(world.seen.object.status.refusals, Vec::new());
}

/// What Azure keeps on the managed resource group: everybody's writes there, but for the network's.
fn of_the_managed_group() -> DenyAssignment {
    DenyAssignment {
        id: format!("{MANAGED}/providers/Microsoft.Authorization/denyAssignments/managed"),
        name: "managed by the service".into(),
        scope: MANAGED.into(),
        permissions: vec![(vec!["*/write".into()], vec!["Microsoft.Network/*".into()])],
        principals: vec![DenyAssignment::EVERYONE.into()],
        ..DenyAssignment::default()
    }
}

#[test]
fn what_may_not_be_closed_anyway_is_not_proven_again_and_again() {
    let mut world = World::everyday();
    world.denials = vec![of_the_managed_group()];
    // What would not open again either is acknowledged first.
    world.until("AwaitingApproval", 80);
    world.approve();
    world.until("Stalled", 20);
    let access = world.seen.object.status.public_access.clone().unwrap();
    assert_eq!(access.summary, "Open: storage, containerRegistry");
    let before = world.journal.len();
    let status = world.seen.object.status.clone();
    for _ in 0..60 {
        let (_, report) = world.visit();
        world.pass(report.requeue.max(Duration::from_secs(60)));
    }
    assert_eq!(world.journal[before..], [] as [String; 0]);
    assert_eq!(world.state(), "Stalled");
    assert_eq!(world.seen.object.status.history, status.history, "no churn");
    assert!(world.message().contains("GrantOperator"), "{}", world.message());
}

/// Until the exemption is there the deny assignment forbids closing, whoever is to lift it.
#[test]
fn a_deny_assignment_that_nothing_lifts_yet_is_acknowledged_and_told_before_anything_closes() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.registry.managed_resource_group_access = sreg_api::registry::ManagedResourceGroupAccess::GrantOperator;
    });
    world.denials = vec![of_the_managed_group()];
    let (tries, states) = refusing(&mut world, 6, "grant-operator");
    assert!(!tries.is_empty(), "{:#?}", world.journal);
    assert!(
        states.contains(&"AwaitingApproval".to_owned()),
        "{states:?}: {}",
        world.message()
    );
    assert!(world.all_open(), "{:?}", world.closed());
    world.approve();
    refusing(&mut world, 6, "grant-operator");
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    let access = world.seen.object.status.public_access.clone().unwrap();
    assert_eq!(access.summary, "Open: storage, containerRegistry");
    let plan = world.plan();
    let denied = plan
        .waits
        .iter()
        .find(|w| w.reason == WaitReason::DenyAssignmentStalled);
    let told = &denied.unwrap_or_else(|| panic!("{:?}", plan.waits)).message;
    assert!(
        told.contains("managed by the service") && told.contains("assignedIdentities"),
        "{told}"
    );
    world.come_again();
    world.until("Locked", 200);
}

#[test]
fn a_refused_tag_write_holds_up_no_lock() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.registry.tags.insert("costCenter".into(), "4711".into());
    });
    let (tries, _) = refusing(&mut world, 6, "set-tags");
    assert!(world.all_closed());
    assert!(tries["set-tags contosoreg"] < 20, "{tries:?}");
    assert_eq!(world.state(), "Locked", "nobody depends on tags: {}", world.message());
    let findings = &world.seen.object.status.findings;
    let told = findings.iter().find(|f| f.reason == "UpkeepFailing");
    assert!(
        told.is_some_and(|f| f.message.contains("az policy exemption create")),
        "{findings:?}"
    );
    world.suffer(scramble::Blow::OpenStorage);
    let (_, _) = refusing(&mut world, 1, "set-tags");
    assert!(world.all_closed(), "drift is closed again");
}

#[test]
fn a_probe_that_may_not_be_deleted_holds_up_neither_lock_nor_deletion() {
    let mut world = locked();
    world.respec(|o| drop(o.spec.client_networks.pop()));
    world.suffer(scramble::Blow::OpenStorage);
    let (tries, _) = refusing(&mut world, 3, "delete-probe");
    assert!(!tries.is_empty());
    assert!(world.all_closed());
    world.delete();
    refusing(&mut world, 2, "delete-probe");
    assert!(world.gone, "{}", world.message());
}

#[test]
fn a_claim_that_may_not_be_given_back_does_not_hold_a_namespace() {
    let mut world = locked();
    world.delete();
    refusing(&mut world, 4, "release-claim");
    assert!(world.gone);
}

#[test]
fn an_endpoint_that_may_not_be_connected_says_who_can_help() {
    let mut world = World::everyday();
    world.visit();
    let plan = world.plan();
    let steps = plan.steps().map(|step| {
        let mut carried = failing(step, Disposition::Forbidden);
        if let StepResult::Failed(failure) = &mut carried.result {
            failure.code = Some("LinkedAuthorizationFailed".into());
        }
        match step.id.kind == StepKind::CreateEndpoint {
            true => carried,
            false => world.clone().apply(step),
        }
    });
    let outcome = sreg_domain::Outcome {
        steps: steps.collect(),
        locked_with: None,
    };
    world.carry_out(&plan);
    for fact in world.seen.azure.endpoints.values_mut() {
        *fact = Fact::Absent;
    }
    let report = world.report(&plan, &outcome);
    world.seen.object.status = report.status;
    world.pass(Duration::from_secs(10));
    let plan = world.plan();
    let wait = plan.waits.iter().find(|w| w.reason == WaitReason::PermissionStalled);
    let wait = wait.unwrap_or_else(|| panic!("{}", sreg_planner::render(&plan)));
    assert!(wait.message.contains("approval.mode: Manual"), "{}", wait.message);
    let refused: Vec<_> = outcome
        .steps
        .iter()
        .filter(|s| s.step.kind == StepKind::CreateEndpoint)
        .collect();
    assert!(!refused.is_empty());
    assert!(
        !plan.steps().any(|s| refused.iter().any(|r| r.step == s.id)),
        "not again at once"
    );
}

#[test]
fn missing_rights_on_discovery_are_for_a_person_to_grant() {
    let mut world = World::everyday();
    world.seen.azure.discovery = unknown(IgnoranceKind::Forbidden);
    for _ in 0..40 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    assert_eq!(world.condition("ConnectivityVerified").unwrap().0, "Unknown");
}

/// What is said once a policy has refused every step that begins so, judging by this.
fn said_of_a_policy(world: &mut World, prefix: &str, judged: &str) -> String {
    for _ in 0..80 {
        let (plan, before) = (world.plan(), world.clone());
        let (mut outcome, mut refused) = (sreg_domain::Outcome::default(), false);
        for step in plan.waves.iter().flatten() {
            let Action::Azure(action) = &step.action else {
                outcome.steps.push(world.apply(step));
                continue;
            };
            if !step.id.to_string().starts_with(prefix) {
                outcome.steps.push(world.apply(step));
                continue;
            }
            let mut failed = failing(step, Disposition::Terminal);
            if let StepResult::Failed(failure) = &mut failed.result {
                failure.attempt = format!("write {}", action.resource());
                failure.message = format!("no (denied by policy \"house rules\" by {judged})");
            }
            refused = true;
            outcome.steps.push(failed);
        }
        let report = before.report(&plan, &outcome);
        world.seen.object.status = report.status;
        world.seen.memory.attempts = report.attempts;
        world.seen.nonce += 1;
        world.answer();
        world.pass(Duration::from_secs(1));
        if refused {
            let plan = world.plan();
            let waits = plan.waits.iter().map(|w| w.message.as_str());
            let findings = plan.findings.iter().map(|f| f.message.as_str());
            let said: Vec<&str> = waits.chain(findings).filter(|m| m.contains("house rules")).collect();
            said.iter()
                .for_each(|message| crate::world::advice::commands_exist(message));
            return said.join("\n");
        }
        world.pass(Duration::from_secs(60));
    }
    panic!("nothing begins with {prefix}:\n{}", render(&world.plan()));
}

#[test]
fn a_policy_that_demands_tags_or_a_name_is_answered_with_the_field_that_gives_them() {
    for (step, judged, says) in [
        (
            "create-endpoint",
            "tags[costCenter]",
            "under spec.tags, or spec.endpoints[].tags",
        ),
        ("create-endpoint", "name", "spec.endpoints[].nameTemplate"),
        (
            "create-zone",
            "tags[costCenter]",
            "under spec.tags, or spec.endpoints[].tags",
        ),
        ("create-zone", "name", "dns.mode: Existing"),
        ("create-zone", "location", "dns.mode: Existing"),
        (
            "link-zone",
            "tags[costCenter]",
            "under spec.tags, or spec.endpoints[].tags",
        ),
        ("set-tags", "tags[costCenter]", "under spec.registry.tags"),
        ("close registry", "tags[costCenter]", "under spec.registry.tags"),
        (
            "close storage",
            "tags[costCenter]",
            "storageAccounts/contosostore --operation Merge",
        ),
        (
            "close containerRegistry",
            "tags[costCenter]",
            "registries/contosoacr --operation Merge",
        ),
    ] {
        let mut world = World::everyday();
        world.respec(|o| o.spec.registry.tags = BTreeMap::from([("team".into(), "ml".into())]));
        let said = said_of_a_policy(&mut world, step, judged);
        assert!(said.contains(says), "{step} by {judged}: {said}");
        let others = [
            "spec.tags",
            "spec.registry.tags",
            "nameTemplate",
            "dns.mode",
            "az tag update",
            "grant",
        ];
        for other in others.iter().filter(|other| !says.contains(**other)) {
            let is_its_own = *other == "az tag update" && says.contains("--operation");
            assert!(is_its_own || !said.contains(other), "{step} by {judged}: {said}");
        }
    }
}
