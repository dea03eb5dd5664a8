//! A locked registry that keeps clients out: they are named, with the way out, and what the operator does by itself is asked of nobody.

use std::time::Duration;

use sreg_api::grant::RegistryOperation;
use sreg_domain::{Disposition, Fact, Purpose};

use super::people::{endpoint_of, said_of};
use super::*;
use crate::world::contrary::Contrary;
use crate::world::scramble::Blow;
use crate::world::*;

/// What takes clients along, and of which networks at least.
type Mishap = (&'static str, fn(&mut World), &'static [&'static str]);

const ALL: &[&str] = &["hub", "spoke", "office"];

fn no_right() -> Contrary {
    Contrary::Fails("AuthorizationFailed", 403, Disposition::Forbidden)
}

fn connection(world: &mut World, status: &str) {
    let id = endpoint_of(world, "contosoacr");
    if let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&id) {
        endpoint.connection_status = Some(status.into());
    }
}

fn no_endpoint(world: &mut World) {
    let id = endpoint_of(world, "contosoacr");
    world.seen.azure.endpoints.insert(id, Fact::Absent);
}

const MISHAPS: [Mishap; 7] = [
    (
        "the endpoint is gone, and may not be made again",
        |w| {
            no_endpoint(w);
            w.thwarted("create-endpoint", no_right());
        },
        ALL,
    ),
    (
        "the endpoint is gone, and making it fails each time",
        |w| {
            no_endpoint(w);
            w.thwarted(
                "create-endpoint",
                Contrary::Fails("NobodyKnowsThisOne", 409, Disposition::Retry),
            );
        },
        ALL,
    ),
    (
        "records are gone, and may not be written again",
        |w| {
            w.suffer(Blow::RemoveRecords(0));
            w.thwarted("put-zone-group", no_right());
        },
        ALL,
    ),
    ("the connection was rejected", |w| connection(w, "Rejected"), ALL),
    ("the connection was removed", |w| connection(w, "Disconnected"), ALL),
    (
        "the storage account is gone",
        |w| {
            w.seen.azure.targets.insert(storage("contosostore"), Fact::Absent);
            let id = endpoint_of(w, "contosostore");
            if let Some(Fact::Seen(endpoint)) = w.seen.azure.endpoints.get_mut(&id) {
                endpoint.connection_status = Some("Disconnected".into());
            }
        },
        ALL,
    ),
    (
        "a path fails",
        |w| {
            w.broken
                .insert(("spoke".into(), "contosostore.blob.core.windows.net".into()));
        },
        &["spoke"],
    ),
];

/// In each state that it goes through, until nothing new is said.
#[test]
fn whoever_a_locked_registry_keeps_out_is_named_with_the_way_out() {
    for (what, mishap, networks) in MISHAPS {
        let mut world = locked();
        world.pass(Duration::from_secs(7200));
        mishap(&mut world);
        world.answer();
        let mut stalled = false;
        for _ in 0..20 {
            let (_, report) = world.visit();
            assert!(world.all_closed() || what.contains("storage"), "{what}");
            let (state, said) = (world.state(), world.message());
            assert_ne!(state, "Locked", "{what}: {said}");
            let named = format!("clients of {} cannot reach ", networks.join(", "));
            for part in [named.as_str(), "BreakGlass", "docs/break-glass.md"] {
                assert!(said.contains(part), "{what}: {state}: no {part:?} in {said}");
            }
            let told = report.events.iter().filter(|e| e.warning && e.reason == state);
            for event in told {
                assert!(event.note.contains(&named), "{what}: {event:?}");
            }
            stalled |= ["Stalled", "PathLost"].contains(&state.as_str());
            world.pass(report.requeue);
        }
        assert!(stalled, "{what}: {}", world.message());
    }
}

/// Where the registry itself is not found nothing can be told of its paths: whom that may concern is.
#[test]
fn of_whom_nobody_can_tell_whether_they_are_cut_off_is_named_too() {
    let mut world = locked();
    see_registry(&mut world.seen.azure, Fact::Absent);
    world.visit();
    let said = world.message();
    assert_eq!(world.state(), "Stalled", "{said}");
    assert!(
        !said.contains("clients of"),
        "their agents say that they get through: {said}"
    );
    world.silent.insert("spoke-agent".into());
    world.answer();
    world.visit();
    let said = world.message();
    for part in ["whether clients of spoke reach ", "docs/break-glass.md"] {
        assert!(said.contains(part), "{said}");
    }
}

/// What differs goes on differing while its repair is refused, under way or somebody else's.
#[test]
fn drift_that_was_told_stays_told_until_it_is_gone() {
    for (what, mishap, _) in MISHAPS.into_iter().filter(|(what, ..)| *what != "a path fails") {
        let mut world = locked();
        world.pass(Duration::from_secs(7200));
        mishap(&mut world);
        world.answer();
        let mut told = 0;
        for visit in 0..20 {
            let (_, report) = world.visit();
            told += report.events.iter().filter(|e| e.reason == "DriftDetected").count();
            let (status, _) = world.condition("DriftDetected").unwrap();
            assert_eq!(
                (status.as_str(), told),
                ("True", 1),
                "{what}, visit {visit}: {}",
                world.message()
            );
            assert!(!said_of(&world, "DriftDetected").is_empty());
            world.pass(report.requeue);
        }
    }
}

/// Somebody else's hands are not asked for what the operator is about to do.
#[test]
fn records_that_the_operator_writes_again_are_asked_of_nobody() {
    let mut world = locked();
    world.pass(Duration::from_secs(7200));
    world.suffer(Blow::RemoveRecords(0));
    world.answer();
    let mut degraded = 0;
    for _ in 0..10 {
        let (plan, report) = world.visit();
        let said = world.message();
        let waits = plan.waits.iter().map(|w| w.message.as_str());
        for text in waits.chain([said.as_str()]) {
            assert!(!text.contains("repair the path"), "{}: {text}", world.state());
        }
        if world.state() == "Degraded" {
            degraded += 1;
            assert!(said.contains("the operator is putting that back"), "{said}");
        }
        world.pass(report.requeue);
    }
    assert!(degraded > 0);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

/// Whoever reads it knows what became of the endpoint.
#[test]
fn an_endpoint_without_its_connection_is_not_called_succeeded() {
    for status in ["Pending", "Disconnected", "Rejected"] {
        let mut world = locked();
        connection(&mut world, status);
        world.suffer(Blow::RemoveZoneGroup(0));
        for _ in 0..5 {
            let (_, report) = world.visit();
            let said = world.message();
            assert!(!said.contains("is succeeded"), "{status}: {said}");
            world.pass(report.requeue);
        }
    }
}

/// Names that people have yet to publish for a registry that was closed from birth are not lost, and what to publish stays said.
#[test]
fn names_that_nobody_has_published_yet_are_no_lost_path() {
    let mut world = World::everyday();
    world.respec(|o| {
        let dns = o.spec.endpoints[0].dns.get_or_insert_default();
        dns.mode = Some(sreg_api::registry::DnsMode::External);
        dns.link_virtual_networks = None;
    });
    world.suffer(Blow::CloseRegistry);
    world.suffer(Blow::CloseStorage);
    change_acr(&mut world, |acr| acr.public_network_access = Some("Disabled".into()));
    world.until("AwaitingAction", 40);
    assert!(world.all_closed());
    for _ in 0..20 {
        let (plan, report) = world.visit();
        assert_eq!(world.state(), "AwaitingAction", "{}", sreg_planner::render(&plan));
        assert!(world.message().contains("make DNS answer"), "{}", world.message());
        world.pass(report.requeue);
    }
}

/// That the names of an endpoint are not known follows from its pending connection: nobody else has to act for it.
#[test]
fn what_waits_for_an_approval_is_not_waited_for_twice() {
    let mut world = locked();
    connection(&mut world, "Pending");
    world.answer();
    for _ in 0..3 {
        let (plan, report) = world.visit();
        let reasons: Vec<String> = plan.waits.iter().map(|w| w.reason.to_string()).collect();
        assert_eq!(reasons, ["ConnectionPending"], "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
}

/// Somebody on call is told only of a way out that there is.
#[test]
fn the_way_out_of_a_cut_off_is_one_that_works_here() {
    type Prepare = fn(&mut World);
    let cases: [(Prepare, &str); 3] = [
        (|_| {}, "a BreakGlass opens public access until that is repaired"),
        (
            |w| w.take_away(&[Purpose::Registry(RegistryOperation::Open)]),
            "a BreakGlass has no effect: no RegistryGrant lets namespace ml-platform open the registry",
        ),
        (
            |w| {
                w.seen.cluster.snapshot = Fact::Absent;
                w.suffer(Blow::EraseStatus);
            },
            "a BreakGlass opens public access only with a ChangeApproval with change: Opening and digest ",
        ),
    ];
    for (prepare, says) in cases {
        let mut world = locked();
        prepare(&mut world);
        world
            .broken
            .insert(("spoke".into(), "contosostore.blob.core.windows.net".into()));
        for _ in 0..20 {
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        assert!(world.message().contains(says), "{}", world.message());
    }
}
