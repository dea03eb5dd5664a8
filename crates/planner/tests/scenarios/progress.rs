//! Progress or pause: what takes no effect, is undone, or fails with whatever code slows down by itself, says so and names the cause;
//! and no pause puts off what is due.

use std::time::Duration;

use sreg_domain::seen::*;
use sreg_domain::{Disposition, Fact};
use sreg_planner::Report;
use sreg_planner::plan::WaitReason;

use super::*;
use crate::world::contrary::Contrary;
use crate::world::*;

/// Visits for so long, whenever the report says; the last report.
fn goes_on(world: &mut World, minutes: u64) -> Report {
    let end = world.now + Duration::from_secs(60 * minutes);
    loop {
        let (_, report) = world.visit();
        if world.now + report.requeue >= end {
            world.pass(Duration::try_from(end.duration_since(world.now)).unwrap());
            return report;
        }
        world.pass(report.requeue);
    }
}

fn count(world: &World, step: &str) -> usize {
    world.journal.iter().filter(|s| s.starts_with(step)).count()
}

fn wait(world: &World) -> String {
    world
        .seen
        .object
        .status
        .waiting_for
        .first()
        .map(|w| w.message.clone())
        .unwrap_or_default()
}

#[test]
fn a_lock_that_azure_accepts_and_does_not_do_pauses_and_names_the_usual_cause() {
    for contrary in [Contrary::Ignored, Contrary::PutBack] {
        let mut world = World::everyday();
        world.until("Settling", 60);
        world.thwarted("close storage", contrary.clone());
        world.until("Stalled", 400);
        assert!(count(&world, "close storage") <= 3, "{:?}", world.journal);
        let said = world.message();
        assert!(
            said.contains("accepted that 3 times, and it is still") && said.contains("Modify"),
            "{said}"
        );
        goes_on(&mut world, 180);
        assert!(
            count(&world, "close storage") <= 9,
            "{contrary:?}: {}",
            count(&world, "close storage")
        );
        // The cause is gone: closed within the longest pause, at once after a change of spec.
        world.contrary.clear();
        world.respec(|o| o.spec.drift = sreg_api::registry::DriftSpec { interval: "20m".into() });
        world.until("Locked", 40);
    }
}

#[test]
fn an_emergency_that_azure_accepts_and_does_not_open_is_tried_every_few_minutes_and_said() {
    let mut world = locked();
    world.thwarted("break-glass storage", Contrary::Ignored);
    world.break_glass(60);
    world.until("Stalled", 20);
    assert!(world.message().contains("Modify"), "{}", world.message());
    assert_eq!(world.summary(), "Open: registry, containerRegistry", "each for itself");
    goes_on(&mut world, 30);
    let tried = count(&world, "break-glass storage");
    assert!((6..=12).contains(&tried), "{tried} tries in half an hour");
}

#[test]
fn a_new_emergency_begins_without_the_pauses_of_an_earlier_one() {
    let mut world = locked();
    let refused = Contrary::Fails("NobodyKnowsThisOne", 409, Disposition::Retry);
    world.thwarted("break-glass storage", refused);
    world.break_glass(10);
    goes_on(&mut world, 10);
    let tried = count(&world, "break-glass storage");
    let opens = |plan: &sreg_planner::Plan| {
        plan.steps()
            .any(|s| s.id.to_string().starts_with("break-glass storage"))
    };
    world.pass(Duration::from_secs(1));
    world.contrary.clear();
    world.break_glass(30);
    let (plan, _) = world.visit();
    assert!(opens(&plan), "{}", sreg_planner::render(&plan));
    assert!((3..=6).contains(&tried), "within one emergency they grow: {tried}");
    assert!(world.seen.object.status.refusals.iter().all(|r| r.tries <= 1));
}

/// One emergency after another, each ended within seconds: that this operator opens what it has just closed is nobody's undoing.
#[test]
fn emergencies_in_a_row_are_no_sign_that_somebody_undoes_the_lock() {
    let mut world = locked();
    for _ in 0..6 {
        world.break_glass(30);
        world.until("BreakGlass", 5);
        world.seen.cluster.break_glasses = Fact::Seen(Vec::new());
        world.until("Locked", 30);
        assert!(
            world.seen.object.status.refusals.is_empty(),
            "{:?}",
            world.seen.object.status.refusals
        );
    }
}

#[test]
fn a_tag_war_leaves_the_lock_locked_and_ready() {
    let mut world = locked();
    world.thwarted("set-tags", Contrary::PutBack);
    world.respec(|o| drop(o.spec.registry.tags.insert("costCenter".into(), "4711".into())));
    let end = world.now + Duration::from_secs(6 * 3600);
    while world.now < end {
        let (_, report) = world.visit();
        assert_eq!(
            world.condition("Ready").unwrap(),
            ("True".into(), "Locked".into()),
            "{}",
            world.message()
        );
        world.pass(report.requeue);
    }
    let tried = count(&world, "set-tags");
    assert!((3..=13).contains(&tried), "{tried} tries in six hours");
    let findings = world.seen.object.status.findings.clone();
    let told = findings
        .iter()
        .find(|f| f.reason == "UpkeepFailing")
        .unwrap_or_else(|| panic!("{findings:?}"));
    assert!(
        told.message.contains("costCenter=4711") && told.message.contains("Modify"),
        "{}",
        told.message
    );
}

#[test]
fn an_endpoint_whose_operation_ends_with_a_code_nobody_knows_is_not_made_and_deleted_in_a_circle() {
    let mut world = World::everyday();
    world.thwarted(
        "create-endpoint hub/blob",
        Contrary::EndsBadly("PrivateEndpointConnectionProvisioningFailed"),
    );
    goes_on(&mut world, 24 * 60);
    let (made, deleted) = (
        count(&world, "create-endpoint hub/blob"),
        count(&world, "delete-endpoint"),
    );
    assert!(
        made <= 8 && deleted <= 8,
        "made {made}, deleted {deleted} times in a day"
    );
    assert_eq!(world.state(), "Stalled");
    let said = wait(&world);
    assert!(
        said.contains("PrivateEndpointConnectionProvisioningFailed: it was not to be"),
        "{said}"
    );
    assert!(said.contains("az network private-endpoint delete --ids"), "{said}");
    // Deleted by hand once the cause is gone, it is made at once.
    world.contrary.clear();
    for fact in world.seen.azure.endpoints.values_mut() {
        if fact.seen().is_some_and(|e| e.provisioning_state == "Failed") {
            *fact = Fact::Absent;
        }
    }
    world.until("Locked", 200);
}

#[test]
fn a_full_subnet_is_said_with_what_is_needed_before_anything_is_made_there() {
    let mut world = World::everyday();
    let fill = |world: &mut World, free: usize| {
        for fact in world.seen.azure.subnets.values_mut() {
            if let Fact::Seen(subnet) = fact {
                subnet.free_addresses = Some(free);
            }
        }
    };
    fill(&mut world, 0);
    goes_on(&mut world, 30);
    assert_eq!(count(&world, "create-endpoint"), 0);
    let said = wait(&world);
    assert!(
        said.contains("has 0 addresses left") && said.contains("all that are still missing there take 4"),
        "{said}"
    );
    assert_eq!(world.state(), "Stalled");
    fill(&mut world, 10);
    world.until("Locked", 100);
}

#[test]
fn a_subnet_that_turns_out_to_be_full_is_said_at_once() {
    let mut world = World::everyday();
    world.thwarted("create-endpoint hub/registry", Contrary::EndsBadly("SubnetIsFull"));
    goes_on(&mut world, 2);
    assert_eq!(world.state(), "Stalled");
    let said = wait(&world);
    assert!(
        said.contains("SubnetIsFull") && said.contains("takes 2 addresses there"),
        "{said}"
    );
}

#[test]
fn the_visit_that_is_refused_already_says_what_it_is_stalled_by() {
    let mut world = World::everyday();
    let refused = Contrary::Fails("ReadOnlyDisabledSubscription", 409, Disposition::Terminal);
    world.thwarted("create-endpoint hub/registry", refused);
    while count(&world, "create-endpoint hub/registry") == 0 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Stalled");
    let waits = &world.seen.object.status.waiting_for;
    let first = waits.first().expect("something is waited for");
    assert!(first.message.contains("ReadOnlyDisabledSubscription"), "{waits:#?}");
}

#[test]
fn a_write_that_is_throttled_for_an_hour_does_not_put_off_the_end_of_a_break_glass() {
    let mut world = locked();
    world.break_glass(30);
    world.until("BreakGlass", 10);
    let hour = Disposition::Wait(Duration::from_secs(3600));
    world.thwarted("set-tags", Contrary::Fails("TooManyRequests", 429, hour));
    world.suffer(scramble::Blow::Retag);
    let began = world.now;
    world.until("Locked", 200);
    let took = world.now.duration_since(began);
    assert!(took < jiff::SignedDuration::from_mins(45), "{took:#}");
    let tried = count(&world, "set-tags");
    assert!(tried <= 2, "Azure asked for an hour: {tried}");
}

#[test]
fn what_is_throttled_waits_as_long_as_azure_asks_while_others_go_on() {
    let mut world = World::everyday();
    let ten = Disposition::Wait(Duration::from_secs(600));
    world.thwarted(
        "create-endpoint hub/registry",
        Contrary::Fails("TooManyRequests", 429, ten),
    );
    let began = world.now;
    while count(&world, "create-endpoint hub/blob") == 0 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(world.now.duration_since(began) < jiff::SignedDuration::from_mins(5));
    goes_on(&mut world, 9);
    assert!(
        count(&world, "create-endpoint hub/registry") <= 2,
        "{:?}",
        world.journal
    );
}

#[test]
fn a_window_that_opens_is_not_slept_over_because_something_failed() {
    let mut world = locked();
    world.respec(|o| {
        o.spec.public_access.lockdown = Some(sreg_api::registry::LockdownSpec {
            wait_for: vec![sreg_api::registry::LockdownGate::Window],
            window: Some(sreg_api::registry::WindowSpec {
                schedule: "0 20 * * *".into(),
                time_zone: "UTC".into(),
                duration: "2h".into(),
            }),
        })
    });
    world.settle(10);
    let hour = Disposition::Wait(Duration::from_secs(20 * 3600));
    world.thwarted("set-tags", Contrary::Fails("TooManyRequests", 429, hour));
    world.suffer(scramble::Blow::Retag);
    let (plan, report) = world.visit();
    assert!(report.requeue <= plan.due, "{:?} {:?}", report.requeue, plan.due);
    assert!(report.requeue <= world.desired.spec.as_ref().unwrap().drift_interval);
}

#[test]
fn an_outage_slows_down_by_itself_and_is_told_as_one_only_after_a_while() {
    let mut world = World::everyday();
    world.thwarted("create-endpoint", Contrary::Unanswered);
    goes_on(&mut world, 5);
    assert_ne!(world.state(), "Stalled", "{}", world.message());
    goes_on(&mut world, 60);
    assert_eq!(world.state(), "Stalled");
    let tried = world.most_writes_in_an_hour();
    assert!(tried <= 24, "{tried} writes in an hour");
    world.contrary.clear();
    let began = world.now;
    world.until("Settling", 60);
    assert!(
        world.now.duration_since(began) <= jiff::SignedDuration::from_mins(8),
        "it is looked for every five minutes"
    );
}

#[test]
fn a_status_that_somebody_erases_starts_no_pause_over_and_one_that_somebody_writes_holds_nothing_for_long() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world.thwarted("close storage", Contrary::Ignored);
    world.until("Stalled", 400);
    let before = count(&world, "close storage");
    for _ in 0..8 {
        world.seen.object.status = Default::default();
        let (_, report) = world.visit();
        world.pass(report.requeue.min(Duration::from_secs(2)));
    }
    assert_eq!(count(&world, "close storage"), before);
    // Another process that believes a status from the future would wait for ever.
    let mut world = locked();
    world.break_glass(60);
    let far = "2099-01-01T00:00:00Z".parse().unwrap();
    let forged = |step: &str, at| sreg_api::status::RefusalStatus {
        step: step.into(),
        resource_id: storage("contosostore").to_string(),
        reason: "RefusedStalled".into(),
        code: None,
        message: "no".into(),
        since: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at)),
        at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at)),
        tries: 9,
        next_try: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(far)),
    };
    world.restart();
    let now = world.now;
    world.seen.object.status.refusals = vec![
        forged("break-glass storage contosostore", now),
        forged("break-glass registry contosoreg", far),
    ];
    world.pass(Duration::from_secs(310));
    world.until("BreakGlass", 5);
}

#[test]
fn a_credential_that_is_refused_is_one_wait_of_its_own_and_the_same_from_visit_to_visit() {
    let mut world = locked();
    let refused = |n: u32| Ignorance {
        attempt: "sign in to Azure".into(),
        kind: IgnoranceKind::SignIn,
        message: "AADSTS7000222: the client secret keys for app 'x' are expired.".into(),
        code: Some("AADSTS7000222".into()),
        correlation_id: Some(format!("c-{n}")),
        retry_after: None,
    };
    let blind = |world: &mut World, n: u32| {
        let azure = &mut world.seen.azure;
        see_registry(azure, Fact::Unknown(refused(n)));
        azure.discovery = Fact::Unknown(refused(n + 1));
        let account = storage("contosostore");
        azure.targets.insert(account, Fact::Unknown(refused(n + 2)));
        azure
            .endpoints
            .values_mut()
            .for_each(|f| *f = Fact::Unknown(refused(n + 3)));
    };
    blind(&mut world, 10);
    let (_, first) = world.visit();
    let waits = &first.status.waiting_for;
    assert!(
        waits.iter().all(|w| w.reason == WaitReason::SignInStalled.to_string()),
        "{waits:#?}"
    );
    assert!(
        waits
            .iter()
            .all(|w| w.actor == "Administrator" && !w.message.contains("grant")),
        "{waits:#?}"
    );
    world.pass(first.requeue);
    let (_, settled) = world.visit();
    blind(&mut world, 20);
    world.pass(settled.requeue);
    let (_, second) = world.visit();
    assert_eq!(second.status, settled.status, "another correlation id is no news");
}

#[test]
fn a_wait_with_an_end_says_until_when_and_stays_the_same() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    let first = world.seen.object.status.waiting_for.clone();
    let settling = first.iter().find(|w| w.reason == "DnsSettling").unwrap();
    assert!(settling.message.contains("until 2026-11-23T"), "{}", settling.message);
    world.pass(Duration::from_millis(61_300));
    let (_, report) = world.visit();
    assert_eq!(report.status.waiting_for, first);
}
