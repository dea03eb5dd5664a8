//! The way back is never all or nothing: each target by itself, each switch before its rules, and what Azure refuses is left out
//! and named.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::grant::AccountUse;
use sreg_api::registry::*;
use sreg_api::status::RollbackStatus;
use sreg_domain::seen::IgnoranceKind;
use sreg_domain::{Fact, PublicNetworkAccess, Purpose, TargetSeen};
use sreg_planner::Plan;
use sreg_planner::plan::FindingReason;

use super::emergencies::{add, live};
use crate::world::scramble::Blow;
use crate::world::*;

pub(crate) const OFFICE: &str = "203.0.113.0/24";

/// A subnet of a client network, so that nothing holds the lock for it.
pub(crate) fn subnet() -> String {
    vnet("hub").child("subnets", "build").to_string()
}

/// Locked; before that storage let in an office and a subnet only.
pub(crate) fn locked_with_a_subnet() -> World {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.default_action = Some("Deny".into());
        s.ip_rules = vec![OFFICE.into()];
        s.virtual_network_rules = vec![subnet()];
    });
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(storage_of(&world).virtual_network_rules.is_empty());
    world.pass(Duration::from_secs(3600));
    world
}

fn said(plan: &Plan, reason: FindingReason) -> String {
    let found = plan.findings.iter().filter(|f| f.reason == reason);
    found.map(|f| f.message.as_str()).collect::<Vec<_>>().join(" ")
}

fn not_put_back(plan: &Plan) -> Vec<&str> {
    let findings = plan
        .findings
        .iter()
        .filter(|f| f.reason == FindingReason::RulesNotPutBack);
    findings.map(|f| f.message.as_str()).collect()
}

/// An hour later Azure takes everything again, and the spec opens.
fn open_once_nothing_is_refused(world: &mut World) {
    world.refuses.clear();
    world.pass(Duration::from_secs(3600));
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(10);
}

fn opens(plan: &Plan) -> usize {
    plan.steps().filter(|s| s.action.opens()).count()
}

/// So many visits that open nothing.
fn quiet(world: &mut World, visits: usize) -> Plan {
    for _ in 0..visits {
        let (plan, _) = world.visit();
        assert_eq!(opens(&plan), 0, "{}", sreg_planner::render(&plan));
        world.pass(Duration::from_secs(3));
    }
    world.plan()
}

#[test]
fn a_rule_that_azure_refuses_keeps_nothing_else_closed_and_is_named_with_the_command() {
    for by_spec in [false, true] {
        let mut world = locked_with_a_subnet();
        world.refuses.insert(subnet(), false);
        if by_spec {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world.until("Open", 5);
        } else {
            add(&mut world, "a", 60);
            world.until("BreakGlass", 5);
        }
        assert!(world.all_open(), "{:?}", world.closed());
        assert_eq!(storage_of(&world).ip_rules, [OFFICE]);
        assert_eq!(
            storage_of(&world).default_action.as_deref(),
            Some("Deny"),
            "never wider than before"
        );
        let plan = quiet(&mut world, 5);
        let told = not_put_back(&plan);
        assert_eq!(told.len(), 1, "{}", sreg_planner::render(&plan));
        for word in [
            subnet().as_str(),
            "does not do",
            "c-1",
            "az storage account network-rule add",
            "--subnet",
        ] {
            assert!(told[0].contains(word), "{word}: {}", told[0]);
        }
        assert!(plan.waits.is_empty(), "{:?}", plan.waits);
        assert!(world.seen.cluster.snapshot.seen().is_some(), "the rule is kept");
        world.refuses.clear();
        world.pass(Duration::from_secs(120));
        world.settle_anyhow(6);
        assert_eq!(
            storage_of(&world).virtual_network_rules,
            [subnet()],
            "put back by itself"
        );
        world.settle_anyhow(3);
        assert!(world.seen.cluster.snapshot.is_absent(), "and then of no use");
        assert!(not_put_back(&world.plan()).is_empty());
    }
}

#[test]
fn a_rule_that_somebody_adds_meanwhile_is_not_taken_away_by_the_tries_to_put_back_another() {
    let mut world = locked_with_a_subnet();
    world.refuses.insert(subnet(), false);
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.until("Open", 5);
    let added = "198.51.100.7";
    change_storage(&mut world, |s| s.ip_rules.push(added.into()));
    for _ in 0..12 {
        world.pass(Duration::from_secs(600));
        world.settle_anyhow(3);
        assert_eq!(storage_of(&world).ip_rules, [OFFICE, added]);
    }
    world.refuses.clear();
    world.pass(Duration::from_secs(3600));
    world.settle_anyhow(6);
    assert_eq!(
        storage_of(&world).virtual_network_rules,
        [subnet()],
        "put back by itself"
    );
    assert_eq!(storage_of(&world).ip_rules, [OFFICE, added]);
}

#[test]
fn where_every_rule_is_refused_the_account_answers_as_before_but_for_them_and_nobody_else_comes_in() {
    let mut world = locked_with_a_subnet();
    world.refuses.insert(subnet(), false);
    world.refuses.insert(OFFICE.into(), false);
    add(&mut world, "a", 60);
    world.until("BreakGlass", 5);
    let storage = storage_of(&world);
    assert_eq!(storage.public_network_access, Some(PublicNetworkAccess::Enabled));
    assert_eq!(storage.default_action.as_deref(), Some("Deny"));
    assert_eq!(acr_of(&world).public_network_access.as_deref(), Some("Enabled"));
    let plan = quiet(&mut world, 5);
    let told = not_put_back(&plan).join(" ");
    assert!(told.contains(OFFICE) && told.contains(&subnet()), "{told}");
}

#[test]
fn an_address_rule_of_a_container_registry_that_is_refused_is_named_too() {
    let mut world = World::everyday();
    change_acr(&mut world, |r| {
        r.default_action = Some("Deny".into());
        r.ip_rules = vec![OFFICE.into(), "198.51.100.7".into()];
    });
    world.settle(60);
    world.pass(Duration::from_secs(3600));
    world.refuses.insert(OFFICE.into(), false);
    add(&mut world, "a", 60);
    world.until("BreakGlass", 6);
    assert_eq!(acr_of(&world).ip_rules, ["198.51.100.7"]);
    let plan = quiet(&mut world, 3);
    assert!(
        not_put_back(&plan)[0].contains("az acr network-rule add"),
        "{:?}",
        plan.findings
    );
}

#[test]
fn a_subnet_that_is_being_changed_is_put_back_seconds_later() {
    let mut world = locked_with_a_subnet();
    world.refuses.insert(subnet(), true);
    add(&mut world, "a", 60);
    world.until("BreakGlass", 5);
    assert_eq!(storage_of(&world).ip_rules, [OFFICE]);
    world.refuses.clear();
    let mut waited = Duration::ZERO;
    while storage_of(&world).virtual_network_rules.is_empty() {
        let (_, report) = world.visit();
        world.pass(report.requeue);
        waited += report.requeue;
        assert!(waited < Duration::from_secs(60), "{waited:?}");
    }
}

#[test]
fn the_next_lock_keeps_what_could_not_be_put_back_and_the_next_opening_puts_it_back() {
    let mut world = locked_with_a_subnet();
    world.refuses.insert(subnet(), false);
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    world.visit();
    live(&mut world, 31, "");
    world.until("Locked", 60);
    open_once_nothing_is_refused(&mut world);
    assert_eq!(storage_of(&world).virtual_network_rules, [subnet()]);
    assert_eq!(storage_of(&world).ip_rules, [OFFICE]);
}

/// Locked, nobody lets the registry share accounts, and its own provider does not answer.
fn locked_without_the_registry(kind: IgnoranceKind) -> World {
    let mut world = locked_with_a_subnet();
    world.take_away(&[Purpose::Account(AccountUse::Shared)]);
    world.settle(6);
    see_registry(&mut world.seen.azure, unknown(kind));
    world
}

#[test]
fn accounts_are_opened_in_an_emergency_and_by_spec_though_the_registry_itself_does_not_answer() {
    for by_spec in [false, true] {
        for kind in [IgnoranceKind::Unreachable, IgnoranceKind::Throttled] {
            let mut world = locked_without_the_registry(kind);
            if by_spec {
                world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            } else {
                add(&mut world, "a", 60);
            }
            let (_, report) = world.visit();
            world.pass(report.requeue);
            assert_eq!(world.state(), "Opening");
            world.settle_anyhow(4);
            let closed = world.closed();
            assert!(!closed["contosostore"] && !closed["contosoacr"], "{kind:?}: {closed:?}");
            assert_eq!(storage_of(&world).virtual_network_rules, [subnet()], "as it was");
            assert!(
                world.seen.cluster.snapshot.seen().is_some(),
                "the registry is still closed"
            );
            assert_ne!(world.summary(), "Open");
            assert!(
                !world.plan().waits.is_empty(),
                "{kind:?}: that the registry is not read is told"
            );
            let registry = closed_registry(&world);
            see_registry(&mut world.seen.azure, Fact::Seen(registry));
            world.until(if by_spec { "Open" } else { "BreakGlass" }, 6);
            assert!(world.all_open());
        }
    }
}

/// As it was when the lock held.
fn closed_registry(world: &World) -> TargetSeen {
    let mut registry = claimed_registry(&world.desired);
    registry.public_network_access = Some(PublicNetworkAccess::Disabled);
    settings::touch(&mut registry);
    registry
}

/// Whoever opens what the registry alone can tell to be its own, and this object's, waits for the registry.
#[test]
fn what_only_the_registry_can_tell_stays_closed_while_it_does_not_answer() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 7] = [
        ("another object's snapshot", |world| {
            if let Fact::Seen(snapshot) = &mut world.seen.cluster.snapshot {
                snapshot.holder = "other/other".into();
            }
        }),
        ("accounts outside the managed group", |world| {
            if let Fact::Seen(snapshot) = &mut world.seen.cluster.snapshot {
                snapshot.managed_resource_group = Some(id("/subscriptions/1/resourceGroups/elsewhere"));
            }
            world.regrant(None);
        }),
        ("a snapshot of a version that knew no managed group", |world| {
            if let Fact::Seen(snapshot) = &mut world.seen.cluster.snapshot {
                snapshot.managed_resource_group = None;
            }
        }),
        ("a registry that another cluster took", |world| {
            world.seen.object.status.claim_lost_to = Some(world.mark_of("elsewhere/ml/other/0123"));
        }),
        ("an object that was deleted and declared again", |world| {
            world.suffer(Blow::EraseStatus);
        }),
        ("a registry that may not be read any more", |world| {
            see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Forbidden));
        }),
        ("a registry that is not there, perhaps", |world| {
            see_registry(&mut world.seen.azure, unknown(IgnoranceKind::Settling));
        }),
    ];
    for (what, change) in changes {
        let mut world = locked_without_the_registry(IgnoranceKind::Unreachable);
        change(&mut world);
        add(&mut world, "a", 60);
        world.settle_anyhow(4);
        let closed = world.closed();
        assert!(closed["contosostore"] && closed["contosoacr"], "{what}: {closed:?}");
    }
}

/// Azure lets a rule stand that it does not take once more, such as one for a subnet that has lost its service endpoint since.
#[test]
fn a_rule_that_somebody_added_while_it_was_closed_and_that_azure_refuses_is_named_and_kept() {
    let mut world = locked_with_a_subnet();
    let added = vnet("hub").child("subnets", "later").to_string();
    change_storage(&mut world, |s| s.virtual_network_rules.push(added.clone()));
    world.settle(6);
    world.refuses.insert(added.clone(), false);
    world.refuses_what_stands = true;
    add(&mut world, "a", 30);
    world.until("BreakGlass", 6);
    let storage = storage_of(&world);
    assert_eq!(
        (&storage.virtual_network_rules, &storage.ip_rules),
        (&vec![subnet()], &vec![OFFICE.to_owned()])
    );
    let plan = quiet(&mut world, 3);
    let told = not_put_back(&plan).join(" ");
    assert!(told.contains(&added) && told.contains("network-rule add"), "{told}");
    live(&mut world, 31, "");
    world.until("Locked", 60);
    open_once_nothing_is_refused(&mut world);
    let mut there = storage_of(&world).virtual_network_rules.clone();
    there.sort();
    assert_eq!(there, [subnet(), added]);
}

/// What was left out stands in the snapshot too: status may be erased, and the operator die, at any visit from the emergency to the lock that
/// follows it.
#[test]
fn a_refused_rule_is_kept_for_the_way_back_whenever_status_is_erased() {
    for (by_spec, dies) in [(false, false), (true, false), (false, true), (true, true)] {
        for moment in 0..24 {
            let mut world = locked_with_a_subnet();
            world.refuses.insert(subnet(), false);
            let mut visits = 0;
            let mut visit = |world: &mut World, until: &str, most: usize| {
                for _ in 0..most {
                    if visits == moment {
                        world.suffer(Blow::EraseStatus);
                        if dies {
                            world.suffer(Blow::Restart);
                        }
                    }
                    visits += 1;
                    let (_, report) = world.visit();
                    if world.state() == until {
                        return;
                    }
                    world.pass(report.requeue);
                }
                panic!(
                    "{until} is not reached where status is erased at visit {moment}: {}",
                    world.message()
                );
            };
            if by_spec {
                world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            } else {
                add(&mut world, "a", 60);
            }
            let open = if by_spec { "Open" } else { "BreakGlass" };
            visit(&mut world, open, 8);
            // The tries to put it back go on.
            for _ in 0..3 {
                world.pass(Duration::from_secs(5));
                visit(&mut world, open, 4);
            }
            assert!(storage_of(&world).virtual_network_rules.is_empty());
            if by_spec {
                world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
            } else {
                live(&mut world, 61, "");
            }
            visit(&mut world, "Locked", 60);
            open_once_nothing_is_refused(&mut world);
            let storage = storage_of(&world);
            assert_eq!(
                storage.virtual_network_rules,
                [subnet()],
                "erased at visit {moment}, {open}"
            );
            assert_eq!(storage.ip_rules, [OFFICE]);
        }
    }
}

/// Opened but for a rule that Azure refuses; then somebody lets in one address more, and the lock comes back.
#[test]
fn what_people_let_in_beside_a_refused_rule_is_approved_before_the_next_lock_and_restored_after_it() {
    for by_spec in [false, true] {
        let mut world = locked_with_a_subnet();
        let approved = world.plan().assessment.lockdown_digest;
        world.refuses.insert(subnet(), false);
        if by_spec {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            world.until("Open", 5);
        } else {
            add(&mut world, "a", 30);
            world.until("BreakGlass", 5);
        }
        world.visit();
        let added = "198.51.100.7";
        change_storage(&mut world, |s| s.ip_rules.push(added.into()));
        if by_spec {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
        } else {
            live(&mut world, 30, "");
        }
        world.visit();
        let plan = world.plan();
        let told = said(&plan, FindingReason::RulesClose);
        for rule in [added, OFFICE, &subnet()] {
            assert!(told.contains(rule), "{rule}: {told}");
        }
        let asked = plan.assessment.lockdown_digest;
        assert_ne!(asked, approved, "one rule more is another thing to approve");
        world.until("Locked", 60);
        assert_eq!(world.plan().assessment.lockdown_digest, asked, "it survives the lock");
        open_once_nothing_is_refused(&mut world);
        assert_eq!(storage_of(&world).ip_rules, [OFFICE, added]);
        assert_eq!(storage_of(&world).virtual_network_rules, [subnet()]);
    }
}

/// The registry is closed, storage not yet.
#[test]
fn a_rule_that_comes_while_a_lock_is_half_done_is_kept_before_its_account_is_closed() {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.default_action = Some("Deny".into());
        s.ip_rules = vec![OFFICE.into()];
    });
    while !world.closed()["contosoreg"] {
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(!world.closed()["contosostore"], "half done");
    let added = "198.51.100.7";
    change_storage(&mut world, |s| s.ip_rules.push(added.into()));
    world.until("Locked", 60);
    world.pass(Duration::from_secs(3600));
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(10);
    assert_eq!(storage_of(&world).ip_rules, [OFFICE, added]);
}

/// Whoever adds rules to what is locked opens it by hand: that is closed again, with the approval that there is, and not what was
/// before the lock.
#[test]
fn a_rule_that_opens_by_hand_what_is_locked_is_neither_approved_nor_restored() {
    let mut world = locked_with_a_subnet();
    let approved = world.plan().assessment.lockdown_digest;
    change_storage(&mut world, |s| {
        s.public_network_access = Some("Enabled".into());
        s.ip_rules = vec!["198.51.100.7".into()];
    });
    world.visit();
    assert!(!world.all_closed(), "opened by hand");
    assert_eq!(world.plan().assessment.lockdown_digest, approved);
    world.until("Locked", 60);
    world.pass(Duration::from_secs(3600));
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(10);
    assert_eq!(storage_of(&world).ip_rules, [OFFICE]);
    assert_eq!(storage_of(&world).virtual_network_rules, [subnet()]);
}

#[test]
fn a_resource_rule_that_closing_could_not_keep_is_named_and_comes_back_with_the_opening() {
    let workspace =
        "/subscriptions/1/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/w".to_owned();
    let mut world = World::everyday();
    change_storage(&mut world, |s| s.resource_access_rules = vec![workspace.clone()]);
    world.settle(60);
    // The closing write had to go without it.
    change_storage(&mut world, |s| s.resource_access_rules.clear());
    let (plan, _) = world.settle(10);
    let told = not_put_back(&plan).join(" ");
    assert!(
        told.contains(&workspace) && told.contains("opening again puts it back"),
        "{told}"
    );
    world.pass(Duration::from_secs(3600));
    world.refuses.insert(workspace.clone(), false);
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.until("Open", 5);
    let plan = quiet(&mut world, 3);
    let told = not_put_back(&plan).join(" ");
    assert!(told.contains(&workspace) && told.contains("--resource-id"), "{told}");
    assert!(world.seen.cluster.snapshot.seen().is_some(), "it is kept");
    world.refuses.clear();
    world.pass(Duration::from_secs(3600));
    world.settle_anyhow(6);
    assert_eq!(
        storage_of(&world).resource_access_rules,
        [workspace],
        "put back by itself"
    );
    assert!(world.seen.cluster.snapshot.is_absent(), "and then of no use");
}

/// Recorded by a process whose clock is ahead, and which died before it opened anything.
#[test]
fn a_rollback_recorded_in_the_future_is_finished_and_locked_again_after_its_pause() {
    for ahead in [60, 400 * 24 * 3600] {
        let mut world = super::locked();
        world.respec(|o| {
            o.spec.public_access.rollback = Some(RollbackSpec {
                on_failure: RollbackPolicy::Reopen,
                grace_period: "15m".into(),
            });
        });
        world.settle(10);
        let then = world.now + Duration::from_secs(ahead);
        world.seen.object.status.rollback = Some(RollbackStatus {
            count: 1,
            reopened_at: Some(Time(then)),
            generation: world.desired.object.generation,
            reason: "spoke cannot reach it".into(),
            restored: false,
        });
        world.visit();
        assert!(world.all_open(), "{}", world.message());
        let opened = world.now;
        let since = |world: &World| Duration::try_from(world.now.duration_since(opened)).unwrap();
        while !world.all_closed() {
            let (plan, report) = world.visit();
            let closes = plan.steps().any(|s| s.action.closes());
            assert!(!closes || since(&world) >= Duration::from_secs(30 * 60), "too early");
            world.pass(report.requeue);
            assert!(since(&world) < Duration::from_secs(2 * 3600), "{}", world.message());
        }
    }
}

#[test]
fn a_status_that_is_erased_only_makes_it_tried_again() {
    let mut world = locked_with_a_subnet();
    world.refuses.insert(subnet(), false);
    add(&mut world, "a", 60);
    world.until("BreakGlass", 5);
    world.seen.object.status.refusals.clear();
    world.restart();
    let (plan, _) = world.visit();
    assert_eq!(opens(&plan), 1, "{}", sreg_planner::render(&plan));
    quiet(&mut world, 3);
    assert!(world.all_open());
}

#[test]
fn a_rollback_is_not_held_up_by_a_rule_either() {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.default_action = Some("Deny".into());
        s.virtual_network_rules = vec![subnet()];
        s.ip_rules = vec![OFFICE.into()];
    });
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        });
    });
    world.settle(60);
    world.refuses.insert(subnet(), false);
    world
        .broken
        .insert(("office".into(), registry_name("westeurope").to_string()));
    for _ in 0..40 {
        let (_, report) = world.visit();
        if world.all_open() {
            break;
        }
        world.pass(report.requeue.min(Duration::from_secs(30)));
    }
    assert!(world.all_open(), "{}", world.message());
    assert_eq!(storage_of(&world).ip_rules, [OFFICE]);
    let plan = quiet(&mut world, 3);
    assert_eq!(not_put_back(&plan).len(), 1);
}
