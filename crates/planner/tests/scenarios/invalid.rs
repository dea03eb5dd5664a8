//! Objects that break a rule: nothing of them is carried out, what was known is kept, and the way back stays open.

use std::time::Duration;

use sreg_api::BreakGlassPhase::*;
use sreg_api::conditions::ConditionType;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{AzureAction, ClusterAction, Fact, TargetKind};
use sreg_planner::plan::WaitReason;

use super::emergencies::{add, glasses, live, phase, told};
use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

fn condition(world: &World, kind: ConditionType) -> (String, String) {
    let conditions = &world.seen.object.status.conditions;
    let found = conditions.iter().find(|c| c.type_ == kind.to_string()).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn repaired(object: &mut sreg_api::SecureRegistry) {
    object.spec.public_access.lockdown = None;
}

#[test]
fn nothing_of_it_is_carried_out_and_what_was_known_is_kept() {
    let mut world = locked();
    let before = world.seen.object.status.clone();
    world.misspec(|o| {
        bad_window(o);
        // What is no longer wanted would be removed, what is wanted would be built.
        o.spec.endpoints[0].name = "elsewhere".into();
    });
    let (plan, report) = world.visit();
    assert!(plan.waves.is_empty(), "{}", sreg_planner::render(&plan));
    assert_eq!(report.gauges.waits, [WaitReason::InvalidSpecStalled]);
    let status = &report.status;
    assert_eq!(world.state(), "Stalled");
    assert!(world.message().contains("schedule"), "{}", world.message());
    assert_eq!(status.endpoints, before.endpoints);
    assert_eq!(status.endpoints_ready, before.endpoints_ready);
    assert_eq!(status.paths_verified, before.paths_verified);
    for kind in [
        ConditionType::EndpointsReady,
        ConditionType::DnsReady,
        ConditionType::ConnectivityVerified,
        ConditionType::TagsCompliant,
    ] {
        assert_eq!(condition(&world, kind).0, "True", "{kind}");
    }
    let again = world.visit().1;
    assert!(again.status == report.status && again.events.is_empty());
}

#[test]
fn what_public_access_is_stays_known() {
    let mut world = locked();
    world.misspec(bad_window);
    world.visit();
    world.suffer(Blow::OpenStorage);
    let (_, report) = world.visit();
    let access = report.status.public_access.unwrap();
    assert_eq!(access.summary, "Open: storage");
    assert_eq!(condition(&world, ConditionType::DriftDetected).0, "True");
    assert_eq!(
        condition(&world, ConditionType::PublicAccessDisabled),
        ("False".into(), "Open".into())
    );
}

#[test]
fn a_break_glass_opens_what_was_locked_in_its_name_and_the_lock_comes_back_once_it_is_repaired() {
    let mut world = locked();
    world.misspec(bad_window);
    world.visit();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    let begun = live(&mut world, 1, "BreakGlassBegan");
    assert!(world.all_open() && begun.len() == 1, "{begun:?}");
    let status = told(&mut world, "a");
    assert!(
        status.phase == Active && status.message.contains("once its SecureRegistry is valid"),
        "{status:?}"
    );
    // Still for the user to repair: that speaks, and the condition has the rest.
    assert_eq!(world.state(), "Stalled");
    assert_eq!(condition(&world, ConditionType::BreakGlass).0, "True");
    let ended = live(&mut world, 30, "BreakGlassEnded");
    assert!(
        ended.len() == 1 && ended[0].contains("once its SecureRegistry is valid"),
        "{ended:?}"
    );
    let status = told(&mut world, "a");
    assert!(
        status.phase == Expired && status.message.contains("schedule"),
        "{status:?}"
    );
    let (plan, report) = world.visit();
    assert!(world.all_open() && azure_steps(&plan) == 0);
    assert!(report.gauges.relock_pending && report.gauges.waits.contains(&WaitReason::BreakGlassStalled));
    world.respec(repaired);
    world.until("Locked", 60);
    world.settle(10);
    assert_eq!(phase(&mut world, "a"), Spent);
}

#[test]
fn one_that_never_held_its_registry_opens_nothing() {
    let mut world = locked();
    // Its claim was never taken; somebody else has closed the registry.
    world.seen.cluster.claim = Fact::Absent;
    world.seen.cluster.snapshot = Fact::Absent;
    world.seen.object = ObjectSeen::default();
    world.misspec(bad_window);
    add(&mut world, "a", 30);
    let (plan, report) = world.visit();
    assert!(
        plan.steps().all(|s| s.action.only_tells()),
        "{}",
        sreg_planner::render(&plan)
    );
    let status = told(&mut world, "a");
    assert!(
        status.phase == Ignored && status.message.contains("has no claim"),
        "{status:?}"
    );
    assert_eq!(report.gauges.break_glass_uses, 0);
    assert_eq!(
        condition(&world, ConditionType::DnsReady),
        ("Unknown".into(), "InvalidSpec".into())
    );
}

#[test]
fn one_whose_registry_belongs_to_another_object_opens_nothing() {
    let mut world = locked();
    world.misspec(bad_window);
    world.claimed_by("other/contoso");
    add(&mut world, "a", 30);
    let (plan, _) = world.visit();
    assert_eq!(azure_steps(&plan), 0);
    assert!(
        told(&mut world, "a")
            .message
            .contains("belongs to SecureRegistry other/contoso")
    );
}

#[test]
fn under_observe_nothing_is_opened_either() {
    let mut world = locked();
    world.misspec(|o| {
        bad_window(o);
        o.spec.management_policy = ManagementPolicy::Observe;
    });
    add(&mut world, "a", 30);
    let (plan, _) = world.visit();
    assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
    assert_eq!(phase(&mut world, "a"), Ignored);
}

#[test]
fn whether_it_is_an_emergency_must_be_known() {
    let mut world = locked();
    world.misspec(bad_window);
    add(&mut world, "a", 30);
    let before = glasses(&mut world).clone();
    world.seen.cluster.break_glasses = Fact::not_read("no answer");
    let (plan, _) = world.visit();
    assert_eq!(azure_steps(&plan), 0);
    world.seen.cluster.break_glasses = Fact::Seen(before);
    assert!(azure_steps(&world.plan()) > 0);
}

#[test]
fn a_finalizer_that_somebody_took_comes_back_before_anything_is_opened() {
    let mut world = locked();
    world.misspec(bad_window);
    world.seen.object.has_finalizer = false;
    add(&mut world, "a", 30);
    let plan = world.plan();
    let finalizer = |s: &sreg_planner::Step| s.action == Action::Cluster(ClusterAction::AddFinalizer);
    assert!(plan.waves[0].iter().all(finalizer));
    let opens = |s: &sreg_planner::Step| matches!(&s.action, Action::Azure(a) if AzureAction::is_opening(a));
    assert!(plan.waves[1].iter().all(opens));
}

/// Opening locks nobody out, and needs nothing of the rest.
#[test]
fn that_public_access_is_wanted_is_obeyed_where_it_can_be_read() {
    let mut world = locked();
    world.misspec(|o| {
        bad_window(o);
        o.spec.public_access.desired = PublicAccess::Enabled;
    });
    add(&mut world, "a", 30);
    live(&mut world, 5, "");
    assert!(world.all_open());
    let status = told(&mut world, "a");
    assert!(
        status.phase == Ignored && status.message.contains("desired: Enabled"),
        "{status:?}"
    );
    live(&mut world, 60, "");
    let (plan, report) = world.visit();
    assert!(azure_steps(&plan) == 0 && !report.gauges.relock_pending);
    assert_eq!(report.gauges.waits, [WaitReason::InvalidSpecStalled]);
    assert_eq!(condition(&world, ConditionType::DriftDetected).0, "False");
}

#[test]
fn what_cannot_be_read_in_an_emergency_is_named_and_looked_at_again_soon() {
    let mut world = locked();
    world.misspec(bad_window);
    add(&mut world, "a", 30);
    let before = world.seen.azure.targets.clone();
    see_all(&mut world, TargetKind::Storage, unknown(IgnoranceKind::Throttled));
    let plan = world.plan();
    assert!(azure_steps(&plan) == 2, "the others are opened");
    world.visit();
    let plan = world.plan();
    let wait = plan.waits.iter().find(|w| w.reason == WaitReason::NotKnown).unwrap();
    assert!(wait.message.contains("read something") && plan.next_look <= Duration::from_secs(15));
    let account = storage("contosostore");
    let before = before.get(&account).clone();
    world.seen.azure.targets.insert(account, before);
    live(&mut world, 1, "");
    assert!(world.all_open());
}

/// Deleted while locked and applied again from the same broken manifest: the snapshot shows whose lock it was.
#[test]
fn one_that_was_made_anew_opens_what_was_locked_in_its_name() {
    let mut world = locked();
    world.delete();
    world.settle(10);
    assert!(world.gone && world.seen.cluster.snapshot.seen().is_some());
    world.come_again();
    world.misspec(bad_window);
    let (plan, _) = world.visit();
    assert_eq!(azure_steps(&plan), 0);
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    live(&mut world, 1, "");
    assert!(world.all_open(), "{}", world.message());
    assert_eq!(phase(&mut world, "a"), Active);
}

#[test]
fn a_management_policy_that_cannot_be_read_lifts_no_lock() {
    let mut world = locked();
    world.pass(Duration::from_secs(60));
    add(&mut world, "a", 30);
    live(&mut world, 1, "");
    assert!(world.all_open());
    world.misspec(|o| {
        bad_window(o);
        o.spec.management_policy = ManagementPolicy::Observe;
    });
    world.visit();
    assert!(!world.seen.object.status.exposure.clone().unwrap().by_spec);
    assert!(told(&mut world, "a").message.contains("Observe or cannot be read"));
}

#[test]
fn what_was_found_is_not_found_again_after_the_repair() {
    let mut world = locked();
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
    live(&mut world, 30, "");
    let released = |world: &World| {
        let findings = &world.seen.object.status.findings;
        findings.iter().filter(|f| f.reason == "EndpointReleased").count()
    };
    let before = released(&world);
    assert!(before > 0);
    world.misspec(bad_window);
    world.visit();
    assert_eq!(released(&world), before);
    world.respec(repaired);
    let notes = live(&mut world, 30, "EndpointReleased");
    assert_eq!((released(&world), notes), (before, Vec::new()));
}

#[test]
fn its_deletion_says_what_it_leaves_in_place() {
    let mut world = locked();
    world.misspec(|o| {
        bad_window(o);
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.delete();
    let (plan, _) = world.visit();
    let left = plan.findings.iter().find(|f| f.message.contains("not valid"));
    assert!(
        left.is_some_and(|f| f.message.contains("schedule")),
        "{}",
        sreg_planner::render(&plan)
    );
    assert_eq!(azure_steps(&plan), 0);
}
