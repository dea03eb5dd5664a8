//! What is told of failures, operations and invalid objects.

use std::time::Duration;

use sreg_domain::action::{StepOutcome, StepResult};
use sreg_domain::seen::*;
use sreg_domain::{Action, AzureAction, CallFailure, Cause, Disposition, Effect, Fact, Outcome, Withheld};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Violation, report_invalid};

use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

#[test]
fn failures_are_told_in_azures_words_and_only_final_ones_stall() {
    for (disposition, state) in [
        (Disposition::Terminal, "Stalled"),
        (Disposition::Forbidden, "Stalled"),
        (Disposition::Retry, "CreatingEndpoints"),
        (Disposition::Wait(Duration::from_secs(17)), "CreatingEndpoints"),
    ] {
        let mut world = World::everyday();
        world.visit();
        let plan = world.plan();
        let step = plan.steps().next().unwrap();
        let outcome = Outcome {
            steps: vec![failing(step, disposition)],
            locked_with: None,
        };
        let report = world.report(&plan, &outcome);
        let ready = &report.status.conditions[0];
        assert_eq!(ready.reason, state, "{disposition:?}");
        for part in ["RequestDisallowedByPolicy", "a policy says no", "c-1"] {
            assert!(ready.message.contains(part), "{}", ready.message);
        }
        assert!(report.requeue >= Duration::from_secs(5));
    }
}

#[test]
fn a_refused_closing_write_is_remembered_and_the_others_go_on() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    world.visit();
    let mut world = World::everyday();
    loop {
        let plan = world.plan();
        if closes(&plan) {
            break;
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    let plan = world.plan();
    let outcome = Outcome {
        steps: plan.steps().map(|s| failing(s, Disposition::Terminal)).collect(),
        locked_with: None,
    };
    let report = world.report(&plan, &outcome);
    assert_eq!(report.status.conditions[0].reason, "Stalled");
    world.seen.object.status = report.status;
    world.pass(Duration::from_secs(1));
    let plan = world.plan();
    let closing: Vec<String> = plan.steps().map(|s| s.id.to_string()).collect();
    assert_eq!(
        closing,
        ["close storage contosostore", "close containerRegistry contosoacr"],
        "the refused one is not tried again at once"
    );
    world.visit();
    let targets = &world.seen.object.status.public_access.as_ref().unwrap().targets;
    assert!(
        targets[0]
            .refusal
            .as_ref()
            .is_some_and(|r| r.contains("a policy says no"))
    );
    world.settle(20);
    assert!(
        world
            .seen
            .object
            .status
            .public_access
            .as_ref()
            .unwrap()
            .targets
            .iter()
            .all(|t| t.refusal.is_none())
    );
}

#[test]
fn a_withheld_step_is_work_in_progress_and_says_why() {
    let mut world = World::everyday();
    world.visit();
    let plan = world.plan();
    let step = plan.steps().next().unwrap();
    let result = StepResult::Withheld(Withheld::NotLeading);
    let outcome = Outcome {
        steps: vec![StepOutcome {
            step: step.id.clone(),
            action: step.action.clone(),
            result,
        }],
        locked_with: None,
    };
    let report = world.report(&plan, &outcome);
    assert_eq!(report.status.conditions[1].status, "True");
    assert!(report.status.conditions[0].message.contains("leadership is not held"));
}

#[test]
fn operations_are_kept_until_they_end() {
    let mut world = World::everyday();
    world.slow = true;
    world.visit();
    let plan = world.plan();
    let step = plan
        .steps()
        .find(|s| matches!(s.action, Action::Azure(AzureAction::CreateEndpoint { .. })))
        .unwrap();
    let Action::Azure(action) = &step.action else {
        unreachable!()
    };
    world.visit();
    let operation = sreg_domain::Operation {
        step: step.id.clone(),
        resource: action.resource().clone(),
        poll_url: "https://arm/op/1".into(),
        started_at: world.now,
    };
    let started = StepOutcome {
        step: step.id.clone(),
        action: step.action.clone(),
        result: StepResult::Effect(Effect::Started(operation.clone())),
    };
    let report = world.report(
        &plan,
        &Outcome {
            steps: vec![started],
            locked_with: None,
        },
    );
    assert_eq!(report.status.operations.len(), 1);
    assert!(report.status.last_name_change_time.is_some());
    let cases = [
        (
            OperationState::Running {
                retry_after: Some(Duration::from_secs(9)),
            },
            1,
        ),
        (OperationState::Succeeded, 0),
        (OperationState::Lost, 0),
    ];
    for (state, kept) in cases {
        world.seen.azure.operations = vec![OperationSeen {
            operation: operation.clone(),
            state,
        }];
        let plan = world.plan();
        let report = world.report(&plan, &Outcome::default());
        assert_eq!(report.status.operations.len(), kept);
        if kept == 1 {
            assert_eq!(report.requeue, Duration::from_secs(9));
            assert!(
                !plan
                    .steps()
                    .any(|s| matches!(&s.action, Action::Azure(AzureAction::CreateEndpoint { .. })))
            );
        }
    }
}

#[test]
fn retryable_codes_inside_an_operation_are_tried_again_and_others_hold_for_a_while() {
    for (code, again) in [
        ("RetryableError", true),
        ("AnotherOperationInProgress", true),
        ("StorageAccountOperationInProgress", true),
        ("RequestDisallowedByPolicy", false),
    ] {
        let mut world = World::everyday();
        world.visit();
        world.suffer(Blow::RemoveEndpoint(1));
        let id = world
            .seen
            .azure
            .endpoints
            .iter()
            .find(|(_, f)| f.is_absent())
            .map(|(id, _)| id.clone())
            .unwrap();
        // Everything but this one is there already.
        let place = world.desired.endpoints()[0].clone();
        for (group, target) in world.groups() {
            let other = world.endpoint_id(&place, group, &target);
            if other != id {
                world.seen.azure.endpoints.insert(other, Fact::Absent);
            }
        }
        let failure = CallFailure {
            code: Some(code.into()),
            status: Some(200),
            ..CallFailure::local("create private endpoint", Cause::Refused, "no")
        };
        let operation = sreg_domain::Operation {
            step: sreg_domain::StepKind::CreateEndpoint.on("hub/registry contosoacr"),
            resource: id.clone(),
            poll_url: "https://arm/1".into(),
            started_at: world.now,
        };
        world.seen.azure.operations = vec![OperationSeen {
            operation,
            state: OperationState::Failed(failure),
        }];
        for other in world.seen.azure.endpoints.iter_mut().filter(|(other, _)| **other != id) {
            *other.1 = unknown(IgnoranceKind::NotRead);
        }
        let plan = world.plan();
        let stalled = plan.waits.iter().any(|w| w.reason == WaitReason::EndpointFailedStalled);
        assert_eq!(stalled, !again, "{code}: {}", sreg_planner::render(&plan));
        world.visit();
        world.seen.azure.operations.clear();
        let held = world
            .plan()
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::EndpointFailedStalled);
        assert_eq!(held, !again, "{code}: also once Azure has forgotten the operation");
        world.pass(Duration::from_secs(50));
        assert!(
            !world
                .plan()
                .waits
                .iter()
                .any(|w| w.reason == WaitReason::EndpointFailedStalled),
            "{code}"
        );
    }
}

#[test]
fn an_invalid_object_stalls_and_keeps_what_was_known() {
    let world = locked();
    let mut object = world.object.clone();
    object.status = Some(world.seen.object.status.clone());
    object.metadata.generation = Some(7);
    let violations = [Violation {
        path: "spec.endpoints[hub].dns".into(),
        message: "write something else".into(),
    }];
    let report = report_invalid(&object, &violations, world.now);
    let status = &report.status;
    assert_eq!(
        (
            status.conditions[0].reason.as_str(),
            status.conditions[2].status.as_str()
        ),
        ("Stalled", "True")
    );
    assert!(
        status.conditions[0]
            .message
            .contains("spec.endpoints[hub].dns: write something else")
    );
    assert_eq!(status.public_access, world.seen.object.status.public_access);
    assert_eq!(status.observed_generation, Some(7));
    object.status = Some(report.status.clone());
    let again = report_invalid(&object, &violations, world.now);
    assert_eq!(again.status, report.status);
    assert!(again.events.is_empty() && report.events.len() == 1);
}

#[test]
fn a_running_closing_write_is_locking() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    let operation = sreg_domain::Operation {
        step: sreg_domain::StepKind::Close.on("registry contosoreg"),
        resource: id(REGISTRY),
        poll_url: "https://arm/1".into(),
        started_at: world.now,
    };
    world.seen.azure.operations = vec![OperationSeen {
        operation,
        state: OperationState::Running { retry_after: None },
    }];
    let plan = world.plan();
    assert!(plan.waves.is_empty());
    assert_eq!(plan.assessment.state, Some(sreg_api::conditions::State::Locking));
}

/// What only a person will end is not asked for every three seconds for days.
#[test]
fn looks_grow_rarer_the_longer_nothing_moves() {
    let mut world = World::everyday();
    world.slow = true;
    world.visit();
    let (_, first) = world.visit();
    assert!(first.requeue <= Duration::from_secs(3), "{:?}", first.requeue);
    let then = world.clone();
    let after = |passed: u64| {
        let mut world = then.clone();
        world.now += jiff::SignedDuration::from_secs(passed.cast_signed());
        world.visit().1.requeue
    };
    assert_eq!(after(600), Duration::from_secs(20));
    assert_eq!(after(24 * 3600), Duration::from_secs(60));
}
