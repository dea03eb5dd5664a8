//! Words from outside do nothing to whoever reads status, history and events, and forge no line of them.

use std::time::Duration;

use sreg_api::probe::Hop;
use sreg_api::status::SecureRegistryStatus;
use sreg_domain::action::{StepOutcome, StepResult};
use sreg_domain::seen::*;
use sreg_domain::{CallFailure, Cause, Fact, Outcome};

use super::emergencies::{add, live, told};
use super::people::{endpoint_of, said_of};
use super::*;
use crate::world::nasty::{NASTY, TOLD};
use crate::world::scramble::Blow;
use crate::world::*;

/// That nothing of it gets through is a law of every report (`world/words.rs`); here it is that something does.
fn holds(status: &SecureRegistryStatus, part: impl Fn(&SecureRegistryStatus) -> String) {
    let told = part(status);
    assert!(told.contains(&TOLD[..30]), "{told}");
}

fn history(status: &SecureRegistryStatus) -> String {
    let lines: Vec<&str> = status.history.iter().map(|line| line.message.as_str()).collect();
    lines.join("; ")
}

#[test]
fn whoever_opens_it_writes_one_line_of_history_and_one_event_of_his_own_and_no_other() {
    let mut world = locked();
    world.nasty = true;
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    let begun = live(&mut world, 10, "BreakGlassBegan");
    assert_eq!(begun.len(), 1);
    // He writes his name and his reason, and both are there as a whole.
    assert_eq!(begun[0].matches(TOLD).count(), 2, "{}", begun[0]);
    assert!(begun[0].contains(" opens public access until "), "{}", begun[0]);
    let status = &world.seen.object.status;
    let mine = status.history.iter().filter(|line| line.message.contains(&TOLD[..30]));
    assert_eq!(mine.count(), 1);
    assert_eq!(status.break_glasses[0].requested_by, format!("no {TOLD}"));
    holds(status, history);
    assert!(said_of(&world, "BreakGlass").contains(TOLD));
    assert!(said_of(&world, "Ready").contains(TOLD));
    let ended = live(&mut world, 40, "BreakGlassEnded");
    assert_eq!(ended.len(), 1);
    assert!(ended[0].contains(TOLD) && !ended[0].contains('\n'), "{}", ended[0]);
}

#[test]
fn who_approved_is_told_on_one_line() {
    let mut world = awaiting_approval();
    world.nasty = true;
    world.approve();
    world.until("Locked", 60);
    let status = &world.seen.object.status;
    assert_eq!(status.approvals_used[0].approved_by, format!("no {TOLD}"));
    holds(status, history);
}

#[test]
fn azures_words_are_told_on_one_line_and_stay_the_same_while_only_their_ids_change() {
    let mut world = World::everyday();
    world.visit();
    let plan = world.plan();
    let refused = |nth: u32| {
        let failure = |step: &sreg_planner::Step| CallFailure {
            code: Some(format!("Odd{NASTY}")),
            status: Some(403),
            correlation_id: Some(format!("c-{nth}")),
            ..CallFailure::local(
                format!("create private endpoint {NASTY}"),
                if step.action.is_upkeep() {
                    Cause::Conflict
                } else {
                    Cause::Refused
                },
                format!("{NASTY} correlation id {nth:08}-0000"),
            )
        };
        let steps = plan.steps().map(|step| StepOutcome {
            step: step.id.clone(),
            action: step.action.clone(),
            result: StepResult::Failed(failure(step)),
        });
        Outcome {
            steps: steps.collect(),
            locked_with: None,
        }
    };
    let first = world.report(&plan, &refused(1));
    assert_eq!(first.status.conditions[0].reason, "Stalled");
    holds(&first.status, |status| status.conditions[0].message.clone());
    holds(&first.status, |status| status.refusals[0].message.clone());
    holds(&first.status, history);
    assert!(
        first
            .events
            .iter()
            .any(|event| event.warning && event.note.contains(&TOLD[..30]))
    );
    // What status keeps is compared with what went out the same way: no transition, and no new text.
    world.seen.object.status = first.status.clone();
    let second = world.report(&plan, &refused(2));
    assert!(second.events.is_empty(), "{:?}", second.events);
    assert_eq!(second.status.conditions, first.status.conditions);
    assert_eq!(second.status.history, first.status.history);
}

#[test]
fn what_cannot_be_read_is_told_on_one_line_and_once() {
    let mut world = locked();
    world.seen.azure.principal = nasty::unknown();
    world.seen.azure.discovery = nasty::unknown();
    world.seen.azure.reopening_obstacles = nasty::unknown();
    world.settle_anyhow(3);
    let status = world.seen.object.status.clone();
    holds(&status, |status| {
        serde_json::to_string(&(&status.waiting_for, &status.conditions)).unwrap()
    });
    let (_, report) = world.visit();
    assert!(report.events.is_empty(), "{:?}", report.events);
    assert_eq!(report.status, status);
}

#[test]
fn agents_tags_descriptions_and_settings_are_told_on_one_line() {
    let mut world = locked();
    world.nasty = true;
    world.suffer(Blow::Break(1, 1));
    let mut notes = Vec::new();
    for _ in 0..4 {
        let (_, report) = world.visit();
        notes.extend(report.events.into_iter().map(|event| event.note));
        world.pass(Duration::from_secs(60));
    }
    let status = &world.seen.object.status;
    // An agent's, of a path that fails.
    let mut failing = status
        .endpoints
        .iter()
        .filter_map(|endpoint| endpoint.failing_path.as_ref());
    let failing = failing.next().unwrap();
    assert!(failing.contains(&format!("{}, no {TOLD}", Hop::Tcp)), "{failing}");
    // A tag's.
    let drift = said_of(&world, "DriftDetected");
    assert!(
        drift.contains(&format!(
            "tag owner of registry contosoreg is no {TOLD}, wanted ml-platform"
        )),
        "{drift}"
    );
    // A setting, and an item of a list that nobody understands.
    holds(status, |status| {
        status.public_access.as_ref().unwrap().targets[1].detail.clone()
    });
    holds(status, |status| serde_json::to_string(&status.findings).unwrap());
    assert!(notes.iter().any(|note| note.contains(TOLD)), "{notes:#?}");
    // The description of whoever rejects a connection.
    let endpoint = endpoint_of(&mut world, "contosoacr");
    if let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&endpoint) {
        endpoint.connection_status = Some("Rejected".into());
    }
    world.visit();
    let said = said_of(&world, "EndpointsReady");
    assert!(said.contains(TOLD), "{said}");
}

#[test]
fn a_key_comes_back_as_it_was_and_an_odd_one_breaks_nothing() {
    let mut world = World::everyday();
    world.visit();
    world.visit();
    let operation = |url: &str, step: &str| sreg_domain::Operation {
        step: step.into(),
        resource: id(REGISTRY),
        poll_url: url.into(),
        started_at: world.now,
    };
    for (url, kept) in [
        (
            "https://arm/op?t=<1>`2`[3](4)#location",
            "https://arm/op?t=<1>`2`[3](4)#location",
        ),
        (
            "https://arm/\u{1b}[2K\r\nop\u{202e}",
            "https://arm/\u{fffd}[2K op\u{fffd}",
        ),
    ] {
        let mut world = world.clone();
        world.seen.azure.operations = vec![OperationSeen {
            operation: operation(url, &format!("create-endpoint {NASTY}")),
            state: OperationState::Running { retry_after: None },
        }];
        let (_, report) = world.visit();
        assert_eq!(report.status.operations[0].poll_url, kept);
        // Read back, it is asked for; what nobody finds there is looked for at the resource itself.
        let recorded = &report.status.operations[0];
        world.seen.azure.operations = vec![OperationSeen {
            operation: operation(&recorded.poll_url, &recorded.step),
            state: OperationState::Lost,
        }];
        world.settle(60);
        assert_eq!(world.state(), "Locked", "{}", world.message());
    }
}

#[test]
fn a_status_that_an_older_version_wrote_is_put_right() {
    let mut world = locked();
    for line in &mut world.seen.object.status.history {
        line.message = NASTY.into();
    }
    let (_, report) = world.visit();
    assert!(
        report
            .status
            .history
            .iter()
            .all(|line| line.message == format!("no {TOLD}"))
    );
    assert!(report.events.is_empty());
}

#[test]
fn an_emergency_is_told_by_itself_in_harmless_words() {
    let mut world = locked();
    world.nasty = true;
    world.seen.cluster.claim = Fact::Seen(Claim {
        holder: format!("team/{NASTY}"),
        uid: "another".into(),
        alive: true,
        creates: None,
    });
    add(&mut world, "a", 30);
    world.visit();
    let status = told(&mut world, "a");
    assert!(status.message.contains(TOLD), "{}", status.message);
    world.visit();
    assert_eq!(told(&mut world, "a"), status, "told once");
}
