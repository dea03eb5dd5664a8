//! After the lock: drift, lost paths, rollback, emergencies, and the way back.

use std::time::Duration;

use sreg_api::probe::ProbeOutcome;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Action, AzureAction, Edit, Fact, StepKind, TargetKind};
use sreg_planner::plan::WaitReason;

use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

#[test]
fn off_and_on_again_leaves_no_residue() {
    let mut world = World::everyday();
    for storage in world.seen.azure.targets.seen_of_mut(TargetKind::Storage) {
        storage.default_action = Some("Deny".into());
        storage.ip_rules = vec!["203.0.113.7".into()];
        storage.bypass = Some("Logging, Metrics".into());
        apply::touch(storage);
    }
    let before = world.seen.azure.targets.clone();
    world.settle(60);
    assert!(world.all_closed());
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    let (_, report) = world.settle(20);
    assert_eq!((world.state().as_str(), report.gauges.locked), ("Open", Some(false)));
    let all = &world.seen.azure.targets;
    assert!(
        all.of(TargetKind::Storage).eq(before.of(TargetKind::Storage)),
        "{all:?}"
    );
    assert_eq!(all.registry(), before.registry());
    assert!(world.seen.cluster.snapshot.is_absent());
    let acr = acr_of(&world);
    assert_eq!(
        (acr.public_network_access.as_deref(), acr.default_action.as_deref()),
        (Some("Enabled"), Some("Allow"))
    );
}

#[test]
fn drift_is_told_once_proven_again_and_closed_again() {
    let mut world = locked();
    world.suffer(Blow::OpenStorage);
    let (_, report) = world.visit();
    assert!(
        events(&report).contains(&"DriftDetected") && events(&report).contains(&"OpenedAgain"),
        "{:?}",
        report.events
    );
    assert_eq!(world.condition("DriftDetected").unwrap().0, "True");
    assert_eq!(world.summary(), "Open: storage");
    world.pass(report.requeue);
    let mut again = 0;
    for _ in 0..20 {
        let (_, report) = world.visit();
        again += events(&report).iter().filter(|e| **e == "DriftDetected").count();
        world.pass(report.requeue);
    }
    assert_eq!(again, 0);
    assert_eq!(
        (
            world.state().as_str(),
            world.condition("DriftDetected").unwrap().0.as_str()
        ),
        ("Locked", "False")
    );
}

#[test]
fn a_deleted_endpoint_is_made_again_and_proven_while_the_lock_holds() {
    let mut world = locked();
    world.suffer(Blow::RemoveEndpoint(0));
    world.answer();
    for _ in 0..30 {
        let (_, report) = world.visit();
        assert!(world.all_closed());
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Locked", "{}", world.message());
}

#[test]
fn a_lost_path_holds_by_default_and_recovers_by_itself() {
    let mut world = locked();
    let path = ("spoke".to_owned(), "contosostore.blob.core.windows.net".to_owned());
    world.broken.insert(path.clone());
    world.answer();
    let (_, report) = world.visit();
    assert_eq!(world.state(), "PathLost");
    assert!(
        report.events.iter().any(|e| e.warning && e.reason == "PathLost"),
        "{:?}",
        report.events
    );
    assert!(world.all_closed());
    world.broken.remove(&path);
    world.answer();
    world.visit();
    assert_eq!(world.state(), "Locked");
}

#[test]
fn fewer_failures_than_a_round_counts_are_weather() {
    let mut world = locked();
    let Some(Fact::Seen(probe)) = world.seen.cluster.probes.get_mut("spoke-agent") else {
        panic!("no probe")
    };
    let result = &mut probe.status.as_mut().unwrap().results[0];
    result.outcome = sreg_api::probe::ProbeOutcome::Failed;
    result.hop = Some(sreg_api::probe::Hop::Tcp);
    (result.successes, result.failures) = (0, 2);
    let (plan, _) = world.visit();
    assert!(plan.waits.is_empty());
    assert_eq!(world.state(), "Locked");
}

/// One failure in the round that was opened to confirm the loss is not enough of them.
#[test]
fn fewer_failures_than_a_round_counts_roll_nothing_back() {
    let mut world = lost_within_grace();
    let (plan, report) = world.visit();
    assert!(plan.steps().any(|s| s.id.kind == StepKind::OpenRound));
    world.pass(report.requeue);
    for _ in 0..10 {
        for fact in world.seen.cluster.probes.values_mut() {
            let Fact::Seen(probe) = fact else { continue };
            for result in probe.status.iter_mut().flat_map(|s| &mut s.results) {
                result.failures = result.failures.min(2);
            }
        }
        let (plan, report) = world.visit();
        let about = plan.waits.iter().any(|w| w.reason == WaitReason::RollbackAboutToOpen);
        assert!(!about && plan.waves.is_empty(), "{}", sreg_planner::render(&plan));
        assert_eq!(world.seen.object.status.rollback, None);
        world.pass(report.requeue.min(Duration::from_secs(5)));
    }
    assert!(world.all_closed());
}

#[test]
fn silence_after_the_lock_is_not_ready_and_opens_nothing() {
    let mut world = locked();
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        })
    });
    world.silent.insert("spoke-agent".into());
    world.answer();
    for _ in 0..20 {
        let (_, report) = world.visit();
        assert!(world.all_closed());
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "AwaitingAction");
    assert_eq!(world.condition("ConnectivityVerified").unwrap().0, "Unknown");
}

/// Locked just now, with `Reopen`, and a path that breaks at once, from two networks.
fn lost_within_grace() -> World {
    let mut world = lost_from(&["spoke", "hub"]);
    world.answer();
    world
}

fn lost_from(networks: &[&str]) -> World {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        })
    });
    world.until("Locked", 60);
    world.pass(Duration::from_secs(20));
    lose(&mut world, networks);
    world
}

fn lose(world: &mut World, networks: &[&str]) {
    for network in networks {
        let path = ((*network).to_owned(), "contosostore.blob.core.windows.net".to_owned());
        world.broken.insert(path);
    }
    world.answer();
}

/// Visits for so long.
fn visit_for(world: &mut World, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        let (_, report) = world.visit();
        world.pass(report.requeue.clamp(Duration::from_secs(1), Duration::from_secs(10)));
    }
}

#[test]
fn what_one_vantage_point_alone_says_opens_only_after_a_pause_in_which_people_are_told() {
    let mut world = lost_from(&["spoke"]);
    visit_for(&mut world, Duration::from_secs(250));
    assert!(world.all_closed() && world.seen.object.status.rollback.is_none());
    assert_eq!(world.state(), "PathLost");
    let told = world.message();
    assert!(told.contains("VantagePoint spoke-agent alone says so"), "{told}");
    assert!(told.contains("spec.publicAccess.rollback.onFailure: Hold"), "{told}");
    let (plan, report) = world.visit();
    assert!(
        report.requeue <= Duration::from_secs(25),
        "{}",
        sreg_planner::render(&plan)
    );
    visit_for(&mut world, Duration::from_secs(40));
    assert!(world.all_open());
}

/// For so long the agent of one vantage point says this of a path, whatever is so.
fn says_for(world: &mut World, time: Duration, failures: i32, outcome: ProbeOutcome) {
    let end = world.now + time;
    while world.now < end {
        if let Some(Fact::Seen(probe)) = world.seen.cluster.probes.get_mut("spoke-agent") {
            let results = probe.status.iter_mut().flat_map(|status| &mut status.results);
            for result in results.filter(|r| r.fqdn == "contosostore.blob.core.windows.net") {
                (result.outcome, result.failures, result.successes) = (outcome, failures, 0);
            }
        }
        let (_, report) = world.visit();
        world.pass(report.requeue.clamp(Duration::from_secs(1), Duration::from_secs(10)));
    }
}

/// The pause is the time in which people could look: what does not count as a loss yet, or is none, takes nothing off it.
#[test]
fn what_is_no_loss_yet_does_not_use_up_the_pause() {
    for (failures, outcome) in [(1, ProbeOutcome::Failed), (0, ProbeOutcome::Unknown)] {
        let mut world = lost_from(&["spoke"]);
        // The loss is told and a round is open; then for minutes there is next to nothing to see.
        visit_for(&mut world, Duration::from_secs(20));
        says_for(&mut world, Duration::from_secs(290), failures, outcome);
        assert!(world.all_closed());
        says_for(&mut world, Duration::from_secs(60), 3, ProbeOutcome::Failed);
        assert!(world.all_closed(), "{failures} {outcome:?}");
        assert_eq!(world.state(), "PathLost");
    }
}

/// An account that lies does so from every vantage point that it runs.
#[test]
fn two_vantage_points_of_one_account_are_one_witness() {
    let mut world = lost_from(&[]);
    let points = &mut world.seen.cluster.vantage_points;
    let account = points["spoke-agent"].seen().unwrap().service_account.clone();
    if let Some(Fact::Seen(point)) = points.get_mut("hub-agent") {
        point.service_account = account;
    }
    // Proven again by that account.
    visit_for(&mut world, Duration::from_secs(60));
    lose(&mut world, &["spoke", "hub"]);
    visit_for(&mut world, Duration::from_secs(120));
    assert_eq!(world.state(), "PathLost");
    assert!(world.all_closed());
    visit_for(&mut world, Duration::from_secs(240));
    assert!(world.all_open());
}

#[test]
fn a_single_vantage_point_that_passes_again_within_the_pause_opens_nothing() {
    let mut world = lost_from(&["spoke"]);
    visit_for(&mut world, Duration::from_secs(200));
    world.broken.clear();
    world.answer();
    visit_for(&mut world, Duration::from_secs(30));
    assert_eq!(world.state(), "Locked");
    // The pause does not go on where it left off.
    lose(&mut world, &["spoke"]);
    visit_for(&mut world, Duration::from_secs(240));
    assert!(world.all_closed() && world.seen.object.status.rollback.is_none());
}

#[test]
fn a_second_vantage_point_that_loses_a_path_ends_the_pause() {
    let mut world = lost_from(&["spoke"]);
    visit_for(&mut world, Duration::from_secs(60));
    assert!(world.all_closed());
    lose(&mut world, &["office"]);
    visit_for(&mut world, Duration::from_secs(20));
    assert!(world.all_open());
}

#[test]
fn reopen_restores_the_snapshot_only_after_failures_in_a_new_round() {
    let mut world = lost_within_grace();
    // The failures of the round that proved the lock do not count.
    let plan = world.plan();
    assert!(
        !plan.steps().any(|s| s.id.kind == StepKind::RollBack),
        "{}",
        sreg_planner::render(&plan)
    );
    assert!(
        plan.steps().any(|s| s.id.kind == StepKind::OpenRound),
        "{}",
        sreg_planner::render(&plan)
    );
    world.visit();
    world.pass(Duration::from_secs(1));
    // Status knows of it before anything opens: whoever comes after a crash goes on, and counts it.
    let (plan, _) = world.visit();
    assert!(
        plan.waves.is_empty() && world.all_closed(),
        "{}",
        sreg_planner::render(&plan)
    );
    assert_eq!(world.seen.object.status.rollback.as_ref().unwrap().count, 1);
    world.pass(Duration::from_secs(1));
    world.restart();
    let (plan, report) = world.visit();
    assert!(
        plan.steps().all(|s| s.id.kind == StepKind::RollBack),
        "{}",
        sreg_planner::render(&plan)
    );
    assert!(events(&report).contains(&"PublicAccessOpened"));
    assert!(world.all_open());
    assert_eq!(world.seen.object.status.rollback.as_ref().unwrap().count, 1);
    // It is not closed again before the pause is over, then a new proof is needed.
    for _ in 0..5 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan));
        world.pass(report.requeue.min(Duration::from_secs(300)));
    }
    world.broken.clear();
    world.answer();
    world.pass(Duration::from_secs(1800));
    world.until("Locked", 40);
}

/// The path came back, and breaks again when the grace period is over.
fn lost_after_grace() -> World {
    let mut world = lost_within_grace();
    world.broken.clear();
    world.answer();
    world.pass(Duration::from_secs(1000));
    world.visit();
    lose(&mut world, &["spoke", "hub"]);
    world
}

#[test]
fn after_the_grace_period_even_reopen_holds() {
    let mut world = lost_after_grace();
    for _ in 0..10 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
        assert!(world.all_closed());
    }
    assert_eq!(world.state(), "PathLost");
}

/// Losing status must not make an old lock look young: a restore from a backup would reopen it.
#[test]
fn a_lock_whose_time_was_forgotten_is_out_of_its_grace() {
    let mut world = lost_after_grace();
    world.suffer(Blow::EraseStatus);
    for _ in 0..20 {
        let (_, report) = world.visit();
        world.pass(report.requeue);
        assert!(world.all_closed(), "reopened: {:#?}", world.journal);
    }
    assert_eq!(world.state(), "PathLost");
}

/// What somebody closes while a rollback holds the lock back stays closed.
#[test]
fn a_rollback_opens_once_and_leaves_later_closings_alone() {
    let mut world = lost_within_grace();
    world.until("AwaitingAction", 40);
    assert!(world.all_open());
    world.visit();
    let registry = registry_of(&mut world).unwrap();
    registry.public_network_access = Some("Disabled".into());
    apply::touch(registry);
    for _ in 0..3 {
        let (plan, _) = world.visit();
        assert!(
            !plan.steps().any(|s| s.id.kind == StepKind::RollBack),
            "{}",
            sreg_planner::render(&plan)
        );
    }
}

/// Azure writes records when the zone group is written and never looks again.
#[test]
fn records_deleted_below_a_zone_group_are_written_again() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    for zone in world.seen.azure.zones.values_mut() {
        if let Fact::Seen(zone) = zone {
            zone.records = Fact::Seen(Default::default());
        }
    }
    let (plan, _) = world.visit();
    assert!(
        plan.assessment
            .drift
            .iter()
            .any(|d| d.starts_with("records of private endpoint")
                && d.contains("are missing or differ; to repair: have the records")),
        "{}",
        sreg_planner::render(&plan)
    );
    let (plan, _) = world.visit();
    assert!(
        plan.steps().any(|s| s.id.kind == StepKind::PutZoneGroup),
        "{}",
        sreg_planner::render(&plan)
    );
    world.settle(40);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn the_third_rollback_waits_for_a_change_of_spec() {
    let mut world = lost_within_grace();
    for _ in 0..3 {
        world.until("AwaitingAction", 40);
        if world.seen.object.status.rollback.as_ref().unwrap().count >= 3 {
            break;
        }
        world.broken.clear();
        world.pass(Duration::from_secs(8 * 3600));
        world.answer();
        world.until("Locked", 60);
        world.pass(Duration::from_secs(20));
        world
            .broken
            .insert(("spoke".into(), "contosostore.blob.core.windows.net".into()));
        world.answer();
        if world.seen.object.status.rollback.as_ref().unwrap().count == 2 {
            world.until("PathLost", 10);
            visit_for(&mut world, Duration::from_secs(400));
            break;
        }
    }
    assert_eq!(world.seen.object.status.rollback.as_ref().unwrap().count, 3);
    world.broken.clear();
    world.answer();
    world.pass(Duration::from_secs(30 * 24 * 3600));
    world.visit();
    assert_eq!(world.state(), "PathLost");
    assert!(world.all_open());
    world.respec(|o| o.spec.drift.interval = "11m".into());
    world.until("Locked", 60);
}

/// The lock that was rolled back never held, whatever the spec says since.
#[test]
fn a_lock_after_a_rollback_is_a_first_one_also_when_the_spec_has_changed() {
    let mut world = lost_within_grace();
    world.until("AwaitingAction", 40);
    world.broken.clear();
    world.answer();
    super::restoring::in_a_window_once_a_month(&mut world);
    super::restoring::a_client_was_seen(&mut world);
    stays_open(&mut world, 40, Duration::from_secs(300));
    let waits: Vec<_> = world.plan().waits.iter().map(|w| w.reason).collect();
    assert!(
        waits.contains(&WaitReason::WindowClosed) && waits.contains(&WaitReason::RecentPublicClients),
        "{waits:?}"
    );
    assert_eq!(
        world.seen.object.status.rollback.as_ref().unwrap().count,
        0,
        "it counts anew"
    );

    // The change of spec tries at once, and one more that is lost is the first.
    world.respec(|o| {
        o.spec.public_access.lockdown = None;
        o.spec.verification.recent_public_clients = None;
    });
    world.until("Locked", 60);
    world.pass(Duration::from_secs(20));
    let lost = ("spoke".to_owned(), "contosostore.blob.core.windows.net".to_owned());
    world.broken.insert(lost);
    world.answer();
    world.until("AwaitingAction", 40);
    assert_eq!(world.seen.object.status.rollback.as_ref().unwrap().count, 1);
    world.broken.clear();
    world.answer();
    world.respec(|o| o.spec.drift.interval = "11m".into());
    world.until("Locked", 60);
    world.pass(Duration::from_secs(3600));
    world.visit();
    assert_eq!(world.seen.object.status.rollback, None, "a lock has held");
}

fn glass(world: &World, name: &str, minutes: u64) -> BreakGlassSeen {
    BreakGlassSeen {
        name: name.into(),
        uid: name.into(),
        status: None,
        created_at: world.now,
        duration: Duration::from_secs(60 * minutes),
        reason: "pipelines fail".into(),
        requested_by: "jane".into(),
    }
}

#[test]
fn a_break_glass_opens_and_relocks_through_a_new_proof() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    world.seen.cluster.break_glasses = Fact::Seen(vec![glass(&world, "a", 30)]);
    let (_, report) = world.visit();
    assert!(world.all_open() && report.gauges.break_glass);
    world.pass(Duration::from_secs(5));
    world.visit();
    assert_eq!(
        (
            world.state().as_str(),
            world.condition("BreakGlass").unwrap().0.as_str()
        ),
        ("BreakGlass", "True")
    );
    assert_eq!(
        world.condition("DriftDetected").unwrap().0,
        "False",
        "an emergency is no drift"
    );
    // Also after a restart.
    world.restart();
    world.pass(Duration::from_secs(1800));
    for _ in 0..10 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan) || plan.assessment.evidence.is_some());
        world.pass(report.requeue);
    }
    world.until("Locked", 20);
    let (_, report) = world.visit();
    assert!(!report.gauges.break_glass);
}

/// Ended while the proof of the lock before it is young enough for any other purpose.
#[test]
fn the_lock_after_a_short_break_glass_is_proven_by_a_round_of_its_own() {
    let mut world = locked();
    world.pass(Duration::from_secs(30));
    let round = world.seen.memory.round.clone().expect("the lock's own");
    world.break_glass(30);
    world.visit();
    assert!(world.all_open());
    world.seen.cluster.break_glasses = Fact::Seen(Vec::new());
    let mut rounds = Vec::new();
    for _ in 0..200 {
        if world.all_closed() {
            break;
        }
        let (plan, report) = world.visit();
        if closes(&plan) {
            rounds.push(world.seen.memory.round.as_ref().map(|round| round.number));
        }
        world.pass(report.requeue);
    }
    assert!(!rounds.is_empty());
    for number in rounds {
        assert_ne!(
            number,
            Some(round.number),
            "the closing writes are about the round from before it"
        );
    }
}

#[test]
fn a_break_glass_that_cannot_be_read_closes_and_opens_nothing() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    world.seen.cluster.break_glasses = unknown(IgnoranceKind::Unreachable);
    let plan = world.plan();
    assert!(
        plan.waves.is_empty() && plan.waits.iter().any(|w| w.reason == WaitReason::NotKnown),
        "{}",
        sreg_planner::render(&plan)
    );
}

#[test]
fn an_endpoint_moved_while_locked_does_not_take_its_clients_along() {
    let mut world = locked();
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
    for _ in 0..30 {
        let (_, report) = world.visit();
        for network in ["hub", "spoke", "office"] {
            let held = world
                .seen
                .azure
                .zones
                .values()
                .filter_map(Fact::seen)
                .find(|z| z.id.name() == "privatelink.azurecr.io")
                .unwrap()
                .records
                .seen()
                .unwrap();
            let addresses: Vec<String> = held["contosoacr"].iter().map(ToString::to_string).collect();
            let live = world.seen.azure.endpoints.values().filter_map(Fact::seen).any(|e| {
                e.members
                    .seen()
                    .unwrap()
                    .iter()
                    .any(|m| addresses.contains(&m.address.to_string()))
            });
            assert!(live && world.reaches(network, "contosoacr.azurecr.io", &addresses).is_ok());
        }
        world.pass(report.requeue);
    }
    assert!(
        world
            .plan()
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::DnsChangeStalled),
        "{}",
        sreg_planner::render(&world.plan())
    );
}

#[test]
fn names_of_restored_settings_are_exactly_the_snapshots() {
    let mut world = locked();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    let kept = world.seen.cluster.snapshot.seen().unwrap().clone();
    for step in world.plan().steps() {
        let Action::Azure(AzureAction::Edit {
            id,
            edit: Edit::Restore(network),
            ..
        }) = &step.action
        else {
            panic!("{step:?}")
        };
        assert_eq!(kept.targets[id.as_str()].network, *network);
    }
}

/// A backup restores a status from the middle of a rollback, long after everything was locked for good.
#[test]
fn an_old_status_of_an_unfinished_rollback_opens_nothing() {
    for count in [1, 3, 9] {
        let mut world = locked();
        world.respec(|o| {
            o.spec.public_access.rollback = Some(RollbackSpec {
                on_failure: RollbackPolicy::Reopen,
                ..RollbackSpec::default()
            })
        });
        let then = world.now;
        world.pass(Duration::from_secs(40 * 24 * 3600));
        world.visit();
        world.seen.object.status.rollback = Some(sreg_api::status::RollbackStatus {
            count,
            reopened_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(then)),
            generation: world.desired.object.generation,
            reason: "spoke cannot reach it".into(),
            restored: false,
        });
        for _ in 0..5 {
            let (plan, report) = world.visit();
            assert!(world.all_closed(), "{count}: {:?}", world.closed());
            let refused = plan.waits.iter().any(|w| w.reason == WaitReason::PlanRefusedStalled);
            assert!(!refused, "{count}: {}", sreg_planner::render(&plan));
            world.pass(report.requeue);
        }
    }
}

#[test]
fn an_emergency_begun_before_anybody_saw_the_lock_holds_until_its_end() {
    for later in [0, 20] {
        let mut world = World::everyday();
        for _ in 0..60 {
            let (_, report) = world.visit();
            if world.all_closed() {
                break;
            }
            world.pass(report.requeue);
        }
        assert!(world.all_closed());
        assert_ne!(world.state(), "Locked", "nobody has seen the lock yet");
        world.seen.cluster.break_glasses = Fact::Seen(vec![BreakGlassSeen {
            name: "emergency".into(),
            created_at: world.now,
            duration: Duration::from_secs(600),
            reason: "pipelines fail".into(),
            requested_by: "jane".into(),
            uid: "uid-emergency".into(),
            status: None,
        }]);
        world.pass(Duration::from_secs(later));
        world.visit();
        assert!(world.all_open());
        for _ in 0..4 {
            world.pass(Duration::from_secs(60));
            let (plan, _) = world.visit();
            assert_eq!(
                (world.all_open(), world.state().as_str()),
                (true, "BreakGlass"),
                "{plan:?}"
            );
        }
        world.pass(Duration::from_secs(600));
        world.settle(60);
        assert_eq!(world.state(), "Locked");
    }
}
