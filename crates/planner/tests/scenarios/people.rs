//! What people are told is true, and stays shown: of outages, of agents that are away, of what is put back.

use std::time::Duration;

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Fact, StepKind};
use sreg_planner::plan::WaitReason;

use super::emergencies::{add, live};
use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

fn verified(world: &World) -> &str {
    world.seen.object.status.paths_verified.as_deref().unwrap_or_default()
}

fn endpoints(world: &World) -> &str {
    world.seen.object.status.endpoints_ready.as_deref().unwrap_or_default()
}

fn ready(world: &World) -> String {
    world.condition("Ready").unwrap().0
}

pub(super) fn said_of(world: &World, kind: &str) -> String {
    let conditions = &world.seen.object.status.conditions;
    conditions.iter().find(|c| c.type_ == kind).unwrap().message.clone()
}

/// The endpoint of this target.
pub(super) fn endpoint_of(world: &mut World, target: &str) -> sreg_domain::ArmId {
    let mut all = world.seen.azure.endpoints.iter();
    let of = |f: &Fact<EndpointSeen>| f.seen().is_some_and(|e| e.target.as_ref().unwrap().name() == target);
    all.find(|(_, f)| of(f)).unwrap().0.clone()
}

#[test]
fn a_break_glass_without_effect_is_no_break_glass() {
    for change in [
        (|o: &mut SecureRegistry| o.spec.public_access.desired = PublicAccess::Enabled) as fn(&mut SecureRegistry),
        |o: &mut SecureRegistry| o.spec.management_policy = ManagementPolicy::Observe,
    ] {
        let mut world = locked();
        world.respec(change);
        world.pass(Duration::from_secs(60));
        add(&mut world, "a", 30);
        let (_, report) = world.visit();
        let (status, reason) = world.condition("BreakGlass").unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Ignored"));
        assert!(!report.gauges.break_glass);
        assert!(said_of(&world, "BreakGlass").contains("BreakGlass a by jane"));
    }
}

#[test]
fn whoever_approves_sees_the_paths_that_pass_and_when_they_were_last_proven() {
    let mut world = awaiting_approval();
    world.pass(Duration::from_secs(3600));
    let (_, report) = world.visit();
    assert_eq!(verified(&world), "12/12");
    assert!(report.status.last_proof.is_none() && world.condition("ConnectivityVerified").unwrap().0 == "Unknown");
    world.approve();
    world.settle(60);
    let proof = world.seen.object.status.last_proof.clone().unwrap();
    assert_eq!(proof.paths, "12/12");
    let locked_with = world
        .seen
        .object
        .status
        .exposure
        .as_ref()
        .unwrap()
        .evidence_digest
        .clone();
    assert_eq!(Some(&proof.evidence_digest), locked_with.as_ref());
    // Open again, and the round is too old to count.
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 60);
    live(&mut world, 30, "");
    assert_eq!((verified(&world), world.state().as_str()), ("12/12", "BreakGlass"));
    assert_eq!(world.seen.object.status.last_proof.as_ref(), Some(&proof));
    let said = said_of(&world, "ConnectivityVerified");
    assert!(
        said.contains(&proof.time.unwrap().0.to_string()) && said.contains("12/12"),
        "{said}"
    );
}

/// Azure is away for so long.
fn away(world: &mut World, seconds: u64) -> Vec<String> {
    let registry = world.seen.azure.registry().clone();
    see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Throttled));
    let endpoints = world.seen.azure.endpoints.clone();
    for fact in world.seen.azure.endpoints.values_mut() {
        *fact = unknown(IgnoranceKind::Unreachable);
    }
    let end = world.now + Duration::from_secs(seconds);
    let mut told = Vec::new();
    while world.now < end {
        let (_, report) = world.visit();
        told.extend(report.events.into_iter().map(|e| e.reason));
        world.pass(report.requeue.min(Duration::from_secs(5)));
    }
    see_registry(&mut world.seen.azure, registry);
    world.seen.azure.endpoints = endpoints;
    told
}

#[test]
fn an_outage_is_called_one_and_what_was_known_stays_shown_with_its_time() {
    let mut world = locked();
    let before = world.seen.object.status.clone();
    let told = away(&mut world, 600);
    let during = &world.seen.object.status;
    assert_eq!(told, ["AzureUnreachable"]);
    assert_eq!(
        (world.state().as_str(), ready(&world).as_str()),
        ("AzureUnreachable", "Unknown")
    );
    assert_eq!(
        (world.summary().as_str(), endpoints(&world), verified(&world)),
        ("Locked", "3/3", "12/12")
    );
    assert_eq!(
        (&during.public_access, &during.endpoints),
        (&before.public_access, &before.endpoints)
    );
    let since = during.stale_since.clone().unwrap().0.to_string();
    assert!(
        world.message().contains(&since) && world.message().contains("the call failed"),
        "{}",
        world.message()
    );
    for kind in ["PublicAccessDisabled", "EndpointsReady", "RegistryFound", "DnsReady"] {
        assert_eq!(world.condition(kind).unwrap().0, "Unknown", "{kind}");
        assert!(
            said_of(&world, kind).contains("last known: True"),
            "{}",
            said_of(&world, kind)
        );
    }
    let status = during.clone();
    see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Throttled));
    for fact in world.seen.azure.endpoints.values_mut() {
        *fact = unknown(IgnoranceKind::Unreachable);
    }
    let (_, report) = world.visit();
    assert_eq!(report.status, status, "nothing is written while it goes on");
}

#[test]
fn a_short_outage_changes_no_state_and_tells_nobody() {
    let mut world = locked();
    let transition = world.seen.object.status.conditions[0].clone();
    assert_eq!(away(&mut world, 60), Vec::<String>::new());
    assert_eq!((world.state().as_str(), ready(&world).as_str()), ("Locked", "True"));
    assert!(world.seen.object.status.stale_since.is_some() && world.message().contains("not settled since"));
    let (_, report) = world.visit();
    assert!(report.events.is_empty(), "{:?}", report.events);
    assert_eq!(world.seen.object.status.conditions[0], transition);
    assert!(report.status.stale_since.is_none() && report.status.unsettled_since.is_none());
}

#[test]
fn what_cannot_be_read_once_does_not_make_a_lock_unready() {
    let world = locked();
    for at in 0..u8::try_from(world.forgetters().len()).unwrap() {
        let mut world = world.clone();
        world.unread = vec![at];
        let what = &world.forgetters()[usize::from(at)].0.clone();
        world.visit();
        assert_eq!(ready(&world), "True", "{what}: {}", world.message());
        let (_, report) = world.visit();
        assert!(report.events.is_empty(), "{what}: {:?}", report.events);
        assert!(report.status.unsettled_since.is_none(), "{what}");
    }
}

#[test]
fn an_agent_that_restarts_is_told_and_the_lock_stays_ready_until_it_lasts() {
    let mut world = locked();
    world.silent.insert("spoke-agent".into());
    world.answer();
    let (_, report) = world.visit();
    assert_eq!(events(&report), ["AgentSilent"]);
    assert!(report.events[0].warning && report.events[0].note.contains("spoke-agent"));
    assert_eq!((ready(&world).as_str(), verified(&world)), ("True", "8/12"));
    assert!(
        world
            .seen
            .object
            .status
            .waiting_for
            .iter()
            .any(|w| w.reason == WaitReason::AgentSilent.to_string())
    );
    world.pass(report.requeue);
    world.until("AwaitingAction", 6);
    assert_eq!(ready(&world), "False");
}

#[test]
fn a_probe_whose_agent_is_silent_says_since_when_and_no_longer_once_it_is_back() {
    let mut world = locked();
    let marks = |world: &World| {
        let probes = world.seen.cluster.probes.iter();
        let silent = probes.filter_map(|(point, probe)| Some((point.clone(), probe.seen()?.silent_since?)));
        silent.collect::<Vec<_>>()
    };
    world.silent.insert("spoke-agent".into());
    world.answer();
    let since = world.now;
    world.visit();
    assert_eq!(marks(&world), [("spoke-agent".to_owned(), since)]);
    // What was told once is not moved, and not written again.
    for _ in 0..10 {
        let (plan, report) = world.visit();
        let marked = plan.steps().any(|s| s.id.kind == StepKind::MarkProbe);
        assert!(!marked, "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    assert_eq!(marks(&world), [("spoke-agent".to_owned(), since)]);
    let wait = world
        .seen
        .object
        .status
        .waiting_for
        .iter()
        .find(|w| w.reason == "AgentSilent");
    assert!(
        wait.is_some_and(|w| w.message.contains("kubectl get connectivityprobes -n ")),
        "{wait:?}"
    );
    world.silent.clear();
    world.answer();
    world.visit();
    assert_eq!(marks(&world), []);
}

#[test]
fn whether_an_agent_reports_is_not_told_while_it_is_not_known() {
    let mut world = locked();
    let Some(Fact::Seen(point)) = world.seen.cluster.vantage_points.get_mut("spoke-agent") else {
        panic!("no vantage point")
    };
    point.alive = unknown(IgnoranceKind::Unreachable);
    let plan = world.plan();
    assert!(
        !plan.steps().any(|s| s.id.kind == StepKind::MarkProbe),
        "{}",
        sreg_planner::render(&plan)
    );
}

#[test]
fn a_tag_or_a_record_that_is_put_back_does_not_make_a_lock_unready() {
    for blow in [Blow::Retag, Blow::RemoveRecords(0), Blow::RemoveZoneGroup(1)] {
        let mut world = locked();
        world.pass(Duration::from_secs(7200));
        world.suffer(blow);
        // No agent looked in between.
        for _ in 0..6 {
            let plan = world.plan();
            let before = world.clone();
            let outcome = world.carry_out(&plan);
            let report = before.report(&plan, &outcome);
            world.seen.object.status = report.status.clone();
            assert_eq!(ready(&world), "True", "{blow:?}: {}", world.message());
            world.pass(report.requeue.min(Duration::from_secs(3)));
        }
        world.answer();
        world.settle(40);
        assert_eq!(world.state(), "Locked");
    }
}

#[test]
fn a_deleted_endpoint_of_a_locked_registry_is_told_with_whom_it_takes_along() {
    let mut world = locked();
    world.slow = true;
    let id = endpoint_of(&mut world, "contosoacr");
    world.seen.azure.endpoints.insert(id, Fact::Absent);
    for _ in 0..2 {
        let (_, report) = world.visit();
        assert_eq!((world.state().as_str(), ready(&world).as_str()), ("Degraded", "False"));
        let said = world.message();
        for part in [
            "hub, spoke, office",
            "contosoacr.azurecr.io",
            "contosoacr.westeurope.data.azurecr.io",
            "hub/registry",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(report.status.waiting_for.iter().all(|w| w.message != said));
    }
    world.pass(Duration::from_secs(5));
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn paths_that_pass_stay_counted_while_a_question_changes_or_another_endpoint_is_lost() {
    let mut world = locked();
    let id = endpoint_of(&mut world, "contosoacr");
    if let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&id) {
        endpoint.connection_status = Some("Rejected".into());
    }
    let (plan, report) = world.visit();
    assert_eq!(verified(&world), "6/12", "those of the other two endpoints");
    assert!(report.status.last_proof.is_some() && plan.assessment.evidence.is_none());
    // A probe asks for more: nobody has answered that yet.
    let mut world = locked();
    world.respec(|o| o.spec.verification.interval = "45s".into());
    world.silent.clear();
    let plan = world.plan();
    let report = world.report(&plan, &sreg_domain::Outcome::default());
    assert_eq!(report.status.paths_verified.as_deref(), Some("12/12"));
    assert!(plan.assessment.evidence.is_none(), "none of it proves anything");
    let said = report
        .status
        .conditions
        .iter()
        .find(|c| c.type_ == "ConnectivityVerified")
        .unwrap();
    assert!(
        said.status == "Unknown" && said.message.contains("12/12 were last proven at 20"),
        "{}",
        said.message
    );
    // What an agent that is silent said last counts for nobody.
    world.silent.insert("spoke-agent".into());
    world.answer();
    world.visit();
    assert_eq!(verified(&world), "8/12");
}

#[test]
fn of_an_object_whose_registry_another_one_holds_nothing_old_is_shown() {
    let mut world = locked();
    world.claimed_by("other/team");
    let (_, report) = world.visit();
    assert_eq!(world.state(), "Stalled");
    let status = &report.status;
    assert_eq!(
        (&status.public_access, &status.endpoints_ready, &status.paths_verified),
        (&None, &None, &None)
    );
    assert!(status.stale_since.is_none() && status.endpoints.is_empty());
}

#[test]
fn silence_is_counted_from_the_last_sign_of_life() {
    let mut world = locked();
    world.pass(Duration::from_secs(600));
    let renewed = world.now - Duration::from_secs(90);
    world.silent.insert("spoke-agent".into());
    world.answer();
    let Some(Fact::Seen(point)) = world.seen.cluster.vantage_points.get_mut("spoke-agent") else {
        panic!("no vantage point")
    };
    point.renewed = Some(renewed);
    world.visit();
    let since = |world: &World| world.seen.cluster.probes["spoke-agent"].seen().unwrap().silent_since;
    assert_eq!(since(&world), Some(renewed));
}

#[test]
fn an_endpoint_that_is_added_while_locked_is_not_a_loss() {
    let mut world = locked();
    world.respec(|o| {
        let mut second = o.spec.endpoints[0].clone();
        second.name = "spoke".into();
        second.subnet_resource_id = format!("{}/subnets/endpoints", vnet("spoke"));
        second.dns = None;
        o.spec.endpoints[0]
            .dns
            .as_mut()
            .unwrap()
            .link_virtual_networks
            .as_mut()
            .unwrap()
            .truncate(1);
        o.spec.endpoints.push(second);
        o.spec.client_networks.retain(|n| n.name != "office");
        o.spec.client_networks[0].endpoint = Some("hub".into());
        o.spec.client_networks[1].endpoint = Some("spoke".into());
    });
    world.visit();
    assert_ne!(world.state(), "Degraded", "{}", world.message());
    assert_eq!(ready(&world), "False", "a change of spec is not settled yet");
}

#[test]
fn a_rejected_connection_is_not_called_missing_records() {
    let mut world = locked();
    let id = endpoint_of(&mut world, "contosoacr");
    if let Some(Fact::Seen(endpoint)) = world.seen.azure.endpoints.get_mut(&id) {
        endpoint.connection_status = Some("Rejected".into());
        endpoint.connection_description = Some("not by us".into());
    }
    world.visit();
    assert_eq!(world.state(), "Stalled");
    let reason = |kind| world.condition(kind).unwrap();
    assert_eq!(reason("EndpointsReady"), ("False".into(), "Rejected".into()));
    assert_eq!(reason("DnsReady"), ("False".into(), "EndpointsNotReady".into()));
    for kind in ["EndpointsReady", "DnsReady"] {
        let said = said_of(&world, kind);
        assert!(
            said.contains("Rejected (not by us)") && !said.contains("are missing"),
            "{said}"
        );
    }
}

/// A lock that has to be proven again and again, and states that come and go.
#[test]
fn history_keeps_its_records_however_much_comes_and_goes() {
    let mut world = locked();
    let evidence = |world: &World| -> Vec<String> {
        let lines = world.seen.object.status.history.iter();
        lines
            .filter(|h| h.message.starts_with("evidence "))
            .map(|h| h.message.clone())
            .collect()
    };
    let first = evidence(&world);
    assert_eq!(first.len(), 1, "{:?}", world.seen.object.status.history);
    for _ in 0..20 {
        world.silent.insert("spoke-agent".into());
        world.answer();
        world.until("AwaitingAction", 20);
        world.silent.clear();
        world.answer();
        world.until("Locked", 20);
    }
    assert_eq!(evidence(&world), first);
    assert!(world.seen.object.status.history.len() <= 16);
}

/// Whatever happens between, one close is one event `Locked`, and every other return to it is told as what it is.
#[test]
fn one_close_is_one_event_and_what_needs_somebody_is_a_warning() {
    let mut world = World::everyday();
    let mut told = Vec::new();
    for _ in 0..60 {
        let (_, report) = world.visit();
        told.extend(report.events);
        world.pass(report.requeue);
    }
    for _ in 0..5 {
        world.silent.insert("spoke-agent".into());
        world.answer();
        for _ in 0..8 {
            let (_, report) = world.visit();
            told.extend(report.events);
            world.pass(report.requeue.min(Duration::from_secs(30)));
        }
        world.silent.clear();
        world.answer();
        let (_, report) = world.visit();
        told.extend(report.events);
    }
    let count = |reason: &str| told.iter().filter(|e| e.reason == reason).count();
    assert_eq!((count("Locked"), count("Settled")), (1, 5));
    assert_eq!((count("AgentSilent"), count("AwaitingAction")), (5, 5));
    assert!(
        told.iter()
            .filter(|e| e.reason == "AwaitingAction")
            .all(|e| e.warning && e.alone)
    );
    // What is counted together says the same each time.
    let together = told.iter().filter(|e| !e.alone);
    let mut notes: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    for event in together {
        assert_eq!(*notes.entry(&event.reason).or_insert(&event.note), event.note);
    }
}

/// What the KPI counts: by what, and apart from emergencies.
#[test]
fn a_break_glass_is_no_time_to_remediate_and_exposure_adds_up_by_cause() {
    let mut world = locked();
    let exposure = |world: &World| world.seen.object.status.exposure.clone().unwrap();
    let first = exposure(&world);
    let sum = first.exposed_seconds.clone().unwrap();
    assert_eq!(Some(sum.before_first_lock), first.time_to_remediate_seconds);
    assert_eq!((sum.by_break_glass, sum.by_drift, sum.by_spec), (0, 0, 0));
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 60);
    world.until("BreakGlass", 10);
    world.until("Locked", 200);
    let second = exposure(&world);
    let sum = second.exposed_seconds.clone().unwrap();
    assert!((3500..=3600).contains(&sum.by_break_glass), "{sum:?}");
    assert_eq!(Some(sum.by_drift), second.time_to_remediate_seconds);
    assert!(sum.by_drift < 900, "{sum:?}");
    assert_eq!(
        (&second.first_public_at, &second.first_locked_at),
        (&first.first_public_at, &first.first_locked_at)
    );
    // By hand.
    let before = sum;
    world.pass(Duration::from_secs(3600));
    world.suffer(Blow::OpenStorage);
    world.visit();
    world.until("Locked", 60);
    let sum = exposure(&world).exposed_seconds.unwrap();
    assert!(
        sum.by_drift > before.by_drift && sum.by_break_glass == before.by_break_glass,
        "{sum:?}"
    );
}
