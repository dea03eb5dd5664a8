//! What Flux and others read from our conditions, by the library that they use (`tools/kstatus`), not by our own idea of it, and what
//! Argo CD reads with the check that ships (`deploy/gitops`), in the interpreter that it has inside: for every golden, and visit by
//! visit from an object that nobody has looked at to its end.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sreg_api::SecureRegistry;
use sreg_api::crd::NEVER_OBSERVED;
use sreg_testkit::{argo_health, kstatus};

use super::*;

/// An object as the API server would answer it, its name a sentence, and what kstatus is to say of it.
struct Reading {
    name: String,
    object: Value,
    wanted: &'static str,
}

/// The column `kstatus` of the state table in docs/architecture.md.
fn wanted(state: State) -> &'static str {
    match state {
        State::Locked | State::Open | State::Observed => "Current",
        State::Stalled | State::PathLost => "Failed",
        State::Deleting => "Terminating",
        State::Unknown
        | State::Progressing
        | State::CreatingEndpoints
        | State::ConfiguringDns
        | State::Settling
        | State::Proving
        | State::Locking
        | State::Opening
        | State::AwaitingConnectionApproval
        | State::AwaitingApproval
        | State::AwaitingWindow
        | State::AwaitingAction
        | State::AzureUnreachable
        | State::Degraded
        | State::BreakGlass => "InProgress",
    }
}

fn as_answered(object: &SecureRegistry, status: Value) -> Value {
    let mut answer = serde_json::to_value(object).unwrap();
    answer["status"] = status;
    answer
}

/// The world after one more visit, and when the next one comes.
fn visited(name: String, world: &mut World) -> (Reading, Duration) {
    let (_, report) = world.visit();
    let reading = Reading {
        name,
        object: as_answered(&world.object, serde_json::to_value(&report.status).unwrap()),
        wanted: wanted(report.gauges.state),
    };
    (reading, report.requeue)
}

/// Every visit until the object has not changed its state for a while, or is gone.
fn story(name: &str, world: &mut World, visits: usize) -> Vec<Reading> {
    let mut readings = Vec::new();
    for visit in 0..visits {
        let (reading, next) = visited(format!("{name}, visit {visit}"), world);
        readings.push(reading);
        if world.gone {
            break;
        }
        world.pass(next);
    }
    readings
}

/// The same in Argo CD's words: it has none of its own for what is on its way out.
fn in_argos_words(wanted: &str) -> &'static str {
    match wanted {
        "Current" => "Healthy",
        "Failed" => "Degraded",
        "InProgress" | "Terminating" => "Progressing",
        other => panic!("kstatus has no {other}"),
    }
}

fn compare(readings: &[Reading]) {
    let objects: Vec<Value> = readings.iter().map(|reading| reading.object.clone()).collect();
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gitops/argo-cd-health.lua");
    let verdicts = kstatus(&objects).unwrap();
    let healths = argo_health(&check, &objects).unwrap();
    let mut wrong = Vec::new();
    for (reading, (verdict, health)) in readings.iter().zip(verdicts.into_iter().zip(healths)) {
        for (who, said, wanted) in [
            ("kstatus", verdict, reading.wanted),
            ("Argo CD", health, in_argos_words(reading.wanted)),
        ] {
            let (status, message) = said.split_once('\t').unwrap_or((&said, ""));
            if status != wanted || message.is_empty() {
                let conditions = &reading.object["status"]["conditions"];
                wrong.push(format!(
                    "{}: {who} says {said:?} instead of {wanted} of\n{conditions:#}",
                    reading.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn kstatus_reads_every_state_as_the_table_says() {
    let mut readings: Vec<Reading> = cases()
        .into_iter()
        .map(|(name, build)| visited(name.to_owned(), &mut build()).0)
        .collect();
    let mut world = World::everyday();
    readings.extend(story("from public to locked", &mut world, 60));
    assert_eq!(world.state(), "Locked");
    world.delete();
    readings.extend(story("deleted while locked", &mut world, 10));
    let seen: BTreeSet<&str> = readings.iter().map(|reading| reading.wanted).collect();
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["Current", "Failed", "InProgress", "Terminating"]
    );
    compare(&readings);
}

#[test]
fn kstatus_waits_for_the_operator_where_nobody_looked_at_the_object_yet() {
    let mut world = World::everyday();
    let never = json!({"observedGeneration": NEVER_OBSERVED});
    let mut readings = vec![Reading {
        name: "applied, and no operator is running".into(),
        object: as_answered(&world.object, never),
        wanted: "InProgress",
    }];
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    let status = serde_json::to_value(&world.seen.object.status).unwrap();
    // The spec changed since the last visit.
    let mut changed = world.object.clone();
    changed.metadata.generation = Some(world.object.metadata.generation.unwrap() + 1);
    readings.push(Reading {
        name: "locked, and the spec changed since".into(),
        object: as_answered(&changed, status),
        wanted: "InProgress",
    });
    compare(&readings);
}
