//! Emergencies from begin to end: what they are told, what is recorded, and that the lock follows by itself.

use std::time::Duration;

use sreg_api::BreakGlassPhase::{self, *};
use sreg_api::BreakGlassStatus;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Disposition, Fact};
use sreg_planner::plan::{FindingReason, WaitReason};
use sreg_planner::{break_glass_without_registry, end_without_registry};

use super::*;
use crate::world::*;

fn glass(world: &World, name: &str, minutes: u64) -> BreakGlassSeen {
    BreakGlassSeen {
        name: name.into(),
        uid: format!("uid-{name}"),
        status: None,
        created_at: world.now,
        duration: Duration::from_secs(60 * minutes),
        reason: "pipelines fail".into(),
        requested_by: "jane".into(),
    }
}

pub(crate) fn glasses(world: &mut World) -> &mut Vec<BreakGlassSeen> {
    match &mut world.seen.cluster.break_glasses {
        Fact::Seen(all) => all,
        other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{other:?}"),
    }
}

pub(crate) fn add(world: &mut World, name: &str, minutes: u64) {
    let glass = glass(world, name, minutes);
    glasses(world).push(glass);
}

pub(crate) fn told(world: &mut World, name: &str) -> BreakGlassStatus {
    let glass = glasses(world).iter().find(|b| b.name == name).unwrap();
    glass
        .status
        .clone()
        .unwrap_or_else(|| panic!("{name} was told nothing"))
}

pub(crate) fn phase(world: &mut World, name: &str) -> BreakGlassPhase {
    told(world, name).phase
}

/// Visits as asked for until that much time has passed; all notes with this reason.
pub(crate) fn live(world: &mut World, minutes: u64, reason: &str) -> Vec<String> {
    let end = world.now + Duration::from_secs(60 * minutes);
    let mut notes = Vec::new();
    while world.now < end {
        let (_, report) = world.visit();
        notes.extend(notes_of(&report, reason));
        world.pass(report.requeue);
    }
    notes
}

fn states(world: &World, state: &str) -> usize {
    let history = &world.seen.object.status.history;
    history.iter().filter(|h| h.state == state).count()
}

fn opened(minutes: u64) -> World {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", minutes);
    world.until("BreakGlass", 10);
    world.visit();
    world
}

#[test]
fn every_use_is_begun_and_ended_once_in_events_history_and_count() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    let (_, report) = world.visit();
    let begun: Vec<_> = report.events.iter().filter(|e| e.reason == "BreakGlassBegan").collect();
    assert_eq!(begun.len(), 1, "{:?}", report.events);
    for part in ["a by jane", "pipelines fail", "until 20"] {
        assert!(begun[0].note.contains(part), "{}", begun[0].note);
    }
    assert!(begun[0].alone && begun[0].warning && report.gauges.break_glass_uses == 1);
    assert_eq!(phase(&mut world, "a"), Active);
    // A restart tells nothing twice.
    world.restart();
    assert_eq!(live(&mut world, 20, "BreakGlassBegan"), Vec::<String>::new());
    assert!(
        told(&mut world, "a")
            .message
            .contains("holds public access of contoso-models open")
    );
    assert_eq!(
        (states(&world, "BreakGlass"), states(&world, "BreakGlassEnded")),
        (1, 0)
    );
    let ended = live(&mut world, 11, "BreakGlassEnded");
    assert!(ended.len() == 1 && ended[0].contains("is locked again"), "{ended:?}");
    assert_eq!(
        (states(&world, "BreakGlass"), states(&world, "BreakGlassEnded")),
        (1, 1)
    );
    world.until("Locked", 60);
    world.settle(10);
    let end = told(&mut world, "a");
    assert!(
        end.phase == Spent && end.message.contains("was locked again at"),
        "{end:?}"
    );
    assert_eq!(world.seen.object.status.break_glasses, Vec::new());
    assert!(world.seen.object.status.history.len() <= 16);
}

#[test]
fn its_end_is_expired_until_the_registry_is_locked_again_with_new_evidence() {
    let before = locked().seen.object.status.exposure.unwrap();
    let mut world = opened(30);
    let mut notes = Vec::new();
    world.pass(Duration::from_secs(1800));
    let (_, report) = world.visit();
    assert!(report.gauges.relock_pending && !report.gauges.break_glass);
    assert_eq!(phase(&mut world, "a"), Expired);
    for _ in 0..60 {
        let (_, report) = world.visit();
        notes.extend(notes_of(&report, "Locked"));
        if world.state() == "Locked" && !notes.is_empty() {
            assert!(!report.gauges.relock_pending);
            break;
        }
        world.pass(report.requeue);
    }
    let after = world.seen.object.status.exposure.clone().unwrap();
    let digest = after.evidence_digest.clone().unwrap();
    assert!(before.evidence_digest.is_some() && before.evidence_digest != after.evidence_digest);
    assert!(
        notes
            .iter()
            .any(|n| n.contains("again after BreakGlass a") && n.contains(&digest)),
        "{notes:?}"
    );
    assert_eq!(
        world.seen.cluster.snapshot.seen().unwrap().evidence_digest.to_string(),
        digest
    );
    let line = world.seen.object.status.history.last().unwrap();
    assert!(line.state == "Locked" && line.message.contains(&digest), "{line:?}");
}

#[test]
fn an_extension_beyond_the_longest_time_is_cut_and_holds_up_no_lock() {
    // The longest time is four hours.
    let mut world = opened(4 * 60);
    live(&mut world, 3 * 60, "");
    add(&mut world, "b", 4 * 60);
    let begun = live(&mut world, 30, "BreakGlassBegan");
    assert!(begun.len() == 1 && begun[0].contains("(cut from"), "{begun:?}");
    let b = told(&mut world, "b");
    assert!(
        b.phase == Active
            && b.message.contains("cut")
            && b.message.contains("4h")
            && b.until == told(&mut world, "a").until,
        "{b:?}"
    );
    live(&mut world, 30, "");
    assert_eq!((phase(&mut world, "a"), phase(&mut world, "b")), (Expired, Expired));
    add(&mut world, "c", 60);
    world.visit();
    assert!(
        !world
            .plan()
            .waits
            .iter()
            .any(|w| w.reason == WaitReason::PlanRefusedStalled)
    );
    let c = told(&mut world, "c");
    assert!(
        c.phase == UsedUp && c.until.is_none() && c.message.contains("must be locked once"),
        "{c:?}"
    );
    world.until("Locked", 60);
    world.settle(10);
    assert_eq!(phase(&mut world, "c"), Spent);
}

#[test]
fn deleting_the_first_does_not_lengthen_the_second() {
    let mut world = opened(4 * 60);
    live(&mut world, 3 * 60, "");
    add(&mut world, "b", 4 * 60);
    live(&mut world, 5, "");
    let until = told(&mut world, "b").until;
    glasses(&mut world).retain(|g| g.name != "a");
    let ended = live(&mut world, 5, "BreakGlassEnded");
    assert!(
        ended.len() == 1 && ended[0].contains("BreakGlass b still holds"),
        "{ended:?}"
    );
    assert_eq!(told(&mut world, "b").until, until);
}

#[test]
fn deleting_it_ends_it_early() {
    let mut world = opened(60);
    glasses(&mut world).clear();
    let ended = live(&mut world, 1, "BreakGlassEnded");
    assert_eq!(ended.len(), 1, "{ended:?}");
    world.until("Locked", 60);
}

#[test]
fn one_that_arrives_while_the_last_target_closes_is_not_spent_by_that() {
    let mut world = World::everyday();
    while !closes(&world.plan()) {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    while !world.all_closed() {
        let (_, report) = world.visit();
        if !world.all_closed() {
            world.pass(report.requeue);
        }
    }
    add(&mut world, "a", 60);
    world.pass(Duration::from_secs(2));
    world.until("BreakGlass", 10);
    world.pass(Duration::from_secs(60));
    world.visit();
    assert!(world.all_open() && world.state() == "BreakGlass");
}

#[test]
fn one_from_the_future_and_one_from_before_the_lock_say_so() {
    let mut world = locked();
    let exposure = world.seen.object.status.exposure.clone().unwrap();
    let mut early = glass(&world, "early", 4 * 60);
    early.created_at = exposure.locked_at.unwrap().0 - Duration::from_secs(300);
    let mut late = glass(&world, "late", 60);
    late.created_at = world.now + Duration::from_secs(600);
    glasses(&mut world).extend([early, late]);
    world.visit();
    assert!(world.all_closed());
    let (early, late) = (told(&mut world, "early"), told(&mut world, "late"));
    assert!(
        late.phase == Pending && late.message.contains("has not come yet"),
        "{late:?}"
    );
    assert!(
        early.phase == Spent && early.message.contains("after this was created"),
        "{early:?}"
    );
}

#[test]
fn one_whose_status_nobody_writes_opens_and_ends_like_any_other() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    let mut told = locked();
    told.pass(Duration::from_secs(60));
    add(&mut told, "a", 30);
    for _ in 0..60 {
        let (plan, report) = world.visit();
        let (same, reported) = told.visit();
        assert_eq!((&plan.waves, report.requeue), (&same.waves, reported.requeue));
        assert_eq!(report.decided.break_glasses.keys().collect::<Vec<_>>(), ["uid-a"]);
        glasses(&mut world)[0].status = None;
        world.pass(report.requeue);
        told.pass(report.requeue);
    }
    assert!(world.all_closed() && told.all_closed());
}

#[test]
fn a_status_that_was_erased_is_decided_again() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    world.until("BreakGlass", 10);
    world.visit();
    let active = told(&mut world, "a");
    glasses(&mut world)[0].status = None;
    world.visit();
    assert_eq!((active.phase, told(&mut world, "a")), (Active, active));
}

#[test]
fn under_observe_its_end_is_stalled() {
    let mut world = opened(30);
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    live(&mut world, 31, "");
    let (plan, report) = world.visit();
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    assert!(report.gauges.relock_pending && report.gauges.waits.contains(&WaitReason::BreakGlassStalled));
    assert_eq!(azure_steps(&plan), 0);
    assert!(
        world.message().contains("nothing locks it again"),
        "{}",
        world.message()
    );
    // Also when it was deleted since.
    glasses(&mut world).clear();
    world.visit();
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Enforce);
    world.until("Locked", 60);
}

#[test]
fn where_nothing_is_to_be_opened_it_says_why_and_is_no_use() {
    let mut world = locked();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(20);
    add(&mut world, "a", 30);
    let (_, report) = world.visit();
    let status = told(&mut world, "a");
    assert!(
        status.phase == Ignored && status.message.contains("desired: Enabled"),
        "{status:?}"
    );
    assert_eq!(report.gauges.break_glass_uses, 0);
    // The spec closes again: now it holds the registry open, and that is a use.
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
    let (_, report) = world.visit();
    assert_eq!((phase(&mut world, "a"), report.gauges.break_glass_uses), (Active, 1));
}

#[test]
fn without_a_registry_object_it_is_told_that_nothing_happens() {
    let world = locked();
    let mut lonely = glass(&world, "a", 30);
    let tell = |glass: &BreakGlassSeen, now| break_glass_without_registry("ml", glass, "typo", None, now);
    let first = tell(&lonely, world.now).unwrap();
    assert!(
        first.phase == Pending && first.message.contains("there is no SecureRegistry typo"),
        "{first:?}"
    );
    lonely.status = Some(first.clone());
    assert_eq!(tell(&lonely, world.now + Duration::from_secs(60)), Some(first));
    assert_eq!(end_without_registry(&lonely), world.now + Duration::from_secs(1800));
    let last = tell(&lonely, world.now + Duration::from_secs(1801)).unwrap();
    assert!(
        last.phase == Expired && last.message.contains("without effect"),
        "{last:?}"
    );
    lonely.status = Some(last);
    assert_eq!(tell(&lonely, world.now + Duration::from_secs(9999)), None);
    // What it was told about its end stays, and that the registry may be open because of it.
    lonely.status = Some(BreakGlassStatus {
        phase: Ignored,
        until: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            world.now + Duration::from_secs(900),
        )),
        message: "being deleted".into(),
    });
    let left = tell(&lonely, world.now).unwrap();
    assert!(
        left.phase == Ignored
            && left.until == lonely.status.as_ref().unwrap().until
            && left.message.contains("public access stays as it is"),
        "{left:?}"
    );
    let broken = break_glass_without_registry("ml", &glass(&world, "b", 30), "models", Some("spec: no"), world.now);
    assert!(
        broken
            .unwrap()
            .message
            .contains("is not valid and must be repaired first: spec: no")
    );
}

#[test]
fn deleting_the_object_that_holds_its_registry_open_says_so() {
    let mut world = opened(60);
    world.delete();
    let (plan, report) = world.visit();
    let found = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::LeftOpen)
        .unwrap();
    assert!(
        found.message.contains("BreakGlass a by jane held it open"),
        "{}",
        found.message
    );
    // The claim's tag goes first; what is left is told when the object goes.
    let mut events = report.events;
    for _ in 0..4 {
        events.extend(world.visit().1.events);
    }
    assert!(world.gone);
    assert!(events.iter().any(|e| e.reason == "LeftOpen" && e.warning), "{events:?}");
    assert!(report.status.conditions[0].message.contains("is left open"));
    assert!(world.gone && world.all_open());
    let status = told(&mut world, "a");
    assert!(
        status.phase == Ignored && status.message.contains("is being deleted"),
        "{status:?}"
    );
}

#[test]
fn known_limits_of_private_registries_are_told_in_plan_and_status_before_the_lock() {
    let mut world = World::everyday();
    let (plan, report) = world.visit();
    let text = sreg_planner::render(&plan);
    let finding = report
        .status
        .findings
        .iter()
        .find(|f| f.reason == "PrivateRegistryLimits")
        .unwrap();
    for part in [
        "Studio shows only models",
        "environments cannot be built",
        "components cannot be shared",
    ] {
        assert!(finding.message.contains(part) && text.contains(part), "{text}");
    }
}

/// What somebody had closed before there was any lock is not what the emergency is about.
#[test]
fn a_break_glass_restores_exactly_what_was_and_leaves_closed_what_was_closed() {
    let mut world = World::everyday();
    world.suffer(crate::world::scramble::Blow::CloseStorage);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    let kept = |world: &World| world.seen.cluster.snapshot.seen().unwrap().targets.clone();
    let before = kept(&world);
    world.seen.cluster.break_glasses = Fact::Seen(Vec::new());
    add(&mut world, "emergency", 30);
    live(&mut world, 5, "");
    let closed: Vec<_> = world.closed().into_iter().filter(|(_, closed)| *closed).collect();
    assert_eq!(closed.len(), 1, "storage alone stays closed: {closed:?}");
    assert!(told(&mut world, "emergency").message.contains("holds public access"));
    assert_eq!(world.state(), "BreakGlass");
    live(&mut world, 30, "");
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    assert_eq!(kept(&world), before, "the first snapshot is still the way back");
}

/// Nobody but the emergency itself knows any more that it is over.
#[test]
fn an_emergency_that_is_over_opens_nothing_when_the_object_is_made_anew() {
    let mut world = locked();
    world.seen.cluster.break_glasses = Fact::Seen(Vec::new());
    add(&mut world, "long", 10 * 60);
    world.until("BreakGlass", 10);
    live(&mut world, 4 * 60 + 5, "");
    assert_eq!(phase(&mut world, "long"), Expired, "cut by the longest time");
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    world.seen.object.status = Default::default();
    world.restart();
    for _ in 0..10 {
        let (_, report) = world.visit();
        assert!(world.all_closed(), "{:?}", world.closed());
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Locked");
}

#[test]
fn a_claim_that_cannot_be_read_ends_no_use() {
    let mut world = opened(60);
    let claim = world.seen.cluster.claim.clone();
    let uses = world.seen.object.status.break_glasses.clone();
    world.seen.cluster.claim = unknown(IgnoranceKind::Unreachable);
    let (_, report) = world.visit();
    assert!(
        uses.len() == 1 && report.status.break_glasses == uses,
        "{:?}",
        report.events
    );
    world.seen.cluster.claim = claim;
    let (_, report) = world.visit();
    assert_eq!((report.gauges.break_glass_uses, report.status.break_glasses), (0, uses));
}

/// What it really waits for is said, not that it is locked again.
#[test]
fn one_that_is_over_says_what_the_lock_waits_for() {
    let mut world = locked_with_approval();
    add(&mut world, "a", 30);
    world.until("BreakGlass", 10);
    world.seen.cluster.approvals = Fact::Seen(Vec::new());
    live(&mut world, 10, "");
    let during = told(&mut world, "a").message;
    assert!(during.contains("the lock will wait for a ChangeApproval"), "{during}");
    let ended = live(&mut world, 30, "BreakGlassEnded");
    assert_eq!(world.state(), "AwaitingApproval", "{}", world.message());
    let after = told(&mut world, "a");
    assert_eq!(after.phase, Expired);
    for text in [&after.message, &ended[0]] {
        assert!(
            text.contains("create a ChangeApproval with change: Lockdown") && !text.contains("is locked again,"),
            "{text}"
        );
    }
}

/// While opening is refused that is what is said, in whole parts of a sentence; and what the lock after it will need is not forgotten.
#[test]
fn while_opening_is_refused_the_message_says_that_and_ends_where_a_part_ends() {
    let mut world = locked_with_approval();
    world.seen.cluster.approvals = Fact::Seen(Vec::new());
    world.thwarted(
        "break-glass",
        crate::world::contrary::Contrary::Fails("RequestDisallowedByPolicy", 403, Disposition::Terminal),
    );
    add(&mut world, "a", 60);
    live(&mut world, 10, "");
    let said = told(&mut world, "a").message;
    for part in [
        "not all of it opens yet: ",
        "RequestDisallowedByPolicy",
        "the lock will wait for a ChangeApproval",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(
        !said.contains("cannot be locked again") && !said.contains('…'),
        "{said}"
    );
}
