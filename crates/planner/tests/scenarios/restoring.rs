//! Opening again restores exactly what was before the lock, whoever changed what in between, and a lock that comes back does not
//! wait for what a first lock waits for.

use std::time::Duration;

use sreg_api::registry::*;
use sreg_domain::action::Operation;
use sreg_domain::seen::*;
use sreg_domain::{AzureAction, Disposition, Fact, StepKind, TargetKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::emergencies::{add, live, phase};
use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

const OFFICE: &str = "203.0.113.0/24";

/// Locked; before that storage and container registry were open to an office only.
fn locked_with_rules() -> World {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.default_action = Some("Deny".into());
        s.ip_rules = vec![OFFICE.into()];
    });
    change_acr(&mut world, |r| {
        r.default_action = Some("Deny".into());
        r.ip_rules = vec![OFFICE.into()];
    });
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world.pass(Duration::from_secs(3600));
    world
}

fn assert_as_before(world: &World) {
    assert_eq!(storage_of(world).ip_rules, [OFFICE]);
    assert_eq!(storage_of(world).public_network_access.as_deref(), Some("Enabled"));
    assert_eq!(acr_of(world).ip_rules, [OFFICE]);
    assert_eq!(acr_of(world).public_network_access.as_deref(), Some("Enabled"));
}

fn enable(world: &mut World) {
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
}

#[test]
fn a_container_registry_that_somebody_only_switched_on_still_gets_its_rules_back() {
    for by_spec in [true, false] {
        let mut world = locked_with_rules();
        // `az acr update --public-network-enabled true` leaves the denial behind (azure.md §5.2).
        change_acr(&mut world, |r| r.public_network_access = Some("Enabled".into()));
        if by_spec {
            enable(&mut world);
            world.settle(10);
            assert_eq!(world.state(), "Open");
        } else {
            add(&mut world, "a", 60);
            world.until("BreakGlass", 5);
        }
        assert_as_before(&world);
        world.visit();
        assert!(world.seen.cluster.snapshot.is_absent(), "of no use any more");
    }
}

#[test]
fn what_somebody_opened_by_hand_does_not_replace_what_was_before_the_lock() {
    let mut world = locked_with_rules();
    world.suffer(Blow::OpenRegistry);
    world.suffer(Blow::OpenStorage);
    world.suffer(Blow::OpenContainerRegistry);
    world.until("Locked", 60);
    world.settle(10);
    enable(&mut world);
    world.settle(10);
    assert_as_before(&world);
}

/// What people change while a break-glass holds it open is what was before the next lock.
#[test]
fn a_lock_after_a_break_glass_keeps_what_it_finds_then() {
    let mut world = locked_with_rules();
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    world.visit();
    change_storage(&mut world, |s| s.ip_rules = vec!["198.51.100.0/24".into()]);
    live(&mut world, 31, "");
    world.until("Locked", 60);
    world.settle(10);
    enable(&mut world);
    world.settle(10);
    assert_eq!(storage_of(&world).ip_rules, ["198.51.100.0/24"]);
}

#[test]
fn bypass_and_resource_rules_that_came_while_it_was_locked_stay() {
    let mut world = locked_with_rules();
    change_storage(&mut world, |s| {
        s.bypass = Some("AzureServices, Logging".into());
        s.resource_access_rules = vec!["/subscriptions/1/workspace".into()];
    });
    let (plan, _) = world.settle(10);
    let kept: Vec<_> = plan
        .findings
        .iter()
        .filter(|f| f.reason == FindingReason::ResourceRulesKept)
        .collect();
    assert!(
        kept.iter()
            .any(|f| f.message.contains("lets in /subscriptions/1/workspace, closed or not")),
        "a settled lock tells who still comes in: {kept:?}"
    );
    let but_for = "closed to the public, but for 1 resource rules of storage contosostore";
    assert!(world.message().contains(but_for), "{}", world.message());
    let status = &world.seen.object.status;
    let disabled = status
        .conditions
        .iter()
        .find(|c| c.type_ == "PublicAccessDisabled")
        .unwrap();
    let targets = &status.public_access.as_ref().unwrap().targets;
    let storage = targets.iter().find(|t| t.resource_id.contains("contosostore")).unwrap();
    assert!(
        disabled.message.contains("but for 1 resource rules"),
        "{}",
        disabled.message
    );
    assert!(storage.detail.contains("resourceAccessRules=1"), "{}", storage.detail);
    enable(&mut world);
    world.settle(10);
    assert_as_before(&world);
    assert_eq!(storage_of(&world).bypass.as_deref(), Some("AzureServices, Logging"));
    assert_eq!(storage_of(&world).resource_access_rules.len(), 1);
}

/// Wherever the lock is told, it is told with whom it does not keep out.
#[test]
fn a_lock_over_resource_rules_is_called_closed_nowhere_without_them() {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.resource_access_rules = vec!["/subscriptions/1/workspace".into()]
    });
    let mut told = Vec::new();
    while world.state() != "Locked" {
        let (_, report) = world.visit();
        told.extend(notes_of(&report, "Locked"));
        world.pass(report.requeue);
    }
    let history = &world.seen.object.status.history;
    told.extend(
        history
            .iter()
            .filter(|h| h.state == "Locked")
            .map(|h| h.message.clone()),
    );
    assert!(told.len() >= 2, "an event and a line of history: {told:?}");
    for text in &told {
        assert!(
            text.contains("but for 1 resource rules of storage contosostore"),
            "{text}"
        );
    }
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    world.settle(10);
    assert!(
        world.message().contains("but for 1 resource rules"),
        "{}",
        world.message()
    );
}

#[test]
fn an_emergency_opens_what_is_there_while_a_region_is_being_added() {
    let mut world = locked();
    let mut north = region("northeurope", &[]);
    north.accounts.insert(TargetKind::Storage, vec![None]);
    change_registry(&mut world, |registry| registry.regions.push(north));
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 60);
    world.until("BreakGlass", 5);
    assert_eq!(storage_of(&world).public_network_access.as_deref(), Some("Enabled"));
    assert_eq!(acr_of(&world).public_network_access.as_deref(), Some("Enabled"));
}

#[test]
fn an_emergency_does_not_wait_for_a_snapshot_that_holds_nonsense() {
    let mut world = locked();
    world.pass(Duration::from_secs(3600));
    world.seen.cluster.snapshot = unknown(IgnoranceKind::Nonsense);
    add(&mut world, "a", 60);
    let (plan, _) = world.visit();
    assert_eq!(plan.steps().filter(|s| s.action.opens()).count(), 3);
    assert!(world.all_open());
}

#[test]
fn an_emergency_that_azure_refuses_is_stalled_and_not_called_open() {
    let mut world = locked();
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 60);
    let plan = world.plan();
    let outcome = sreg_domain::Outcome {
        steps: plan
            .steps()
            .map(|s| match s.action.opens() {
                true => failing(s, Disposition::Terminal),
                false => world.clone().apply(s),
            })
            .collect(),
        locked_with: None,
    };
    let report = world.report(&plan, &outcome);
    world.seen.object.status = report.status;
    world.pass(Duration::from_secs(5));
    let (plan, _) = world.visit();
    assert!(!plan.steps().any(|s| s.action.opens()), "not again at once");
    assert_eq!(world.state(), "Stalled", "{}", world.message());
    assert!(world.message().contains("a policy says no"), "{}", world.message());
    assert_eq!(phase(&mut world, "a"), sreg_api::BreakGlassPhase::Active);
    world.until("BreakGlass", 5);
    assert!(world.all_open());
}

/// Lost, and one target opened by hand before anybody missed it: what is still closed was closed by us.
#[test]
fn after_a_lost_snapshot_an_emergency_still_opens_all_three() {
    let mut world = locked();
    world.pass(Duration::from_secs(3600));
    world.suffer(Blow::DropSnapshot);
    world.suffer(Blow::OpenStorage);
    world.until("Locked", 60);
    world.settle(10);
    add(&mut world, "a", 60);
    world.until("BreakGlass", 5);
    assert!(world.all_open());
}

#[test]
fn who_adopts_a_registry_adopts_the_snapshot_of_its_former_holder() {
    let mut world = locked_with_rules();
    if let Fact::Seen(snapshot) = &mut world.seen.cluster.snapshot {
        snapshot.holder = "elsewhere/former".into();
    }
    world.suffer(Blow::EraseStatus);
    enable(&mut world);
    // It never locked it itself: somebody else has to agree.
    world.until("AwaitingApproval", 5);
    world.approve();
    world.settle(10);
    assert_as_before(&world);
    assert!(world.seen.cluster.snapshot.is_absent());
    world.delete();
    world.settle(10);
    assert!(world.gone);
}

fn closing_under_way(world: &mut World) {
    closing(world, OperationState::Running { retry_after: None });
}

pub(super) fn closing(world: &mut World, state: OperationState) {
    let operation = Operation {
        step: StepKind::Close.on("registry contosoreg"),
        resource: id(REGISTRY),
        poll_url: "https://arm/op".into(),
        started_at: world.now,
    };
    world.seen.azure.operations = vec![OperationSeen { operation, state }];
}

/// Azure has accepted the write and shows the former value a while longer.
#[test]
fn what_azure_is_still_closing_is_not_open() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.public_access.desired = PublicAccess::Enabled;
        o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints;
    });
    world.settle(40);
    closing_under_way(&mut world);
    world.delete();
    let plan = world.plan();
    assert_eq!(azure_steps(&plan), 0, "{}", sreg_planner::render(&plan));
    assert!(plan.waits.iter().any(|w| w.reason == WaitReason::OperationInProgress));
    assert!(!plan.steps().any(|s| s.id.kind == StepKind::RemoveFinalizer));
}

#[test]
fn a_snapshot_is_not_forgotten_while_azure_is_still_closing() {
    for state in [
        OperationState::Running { retry_after: None },
        OperationState::Unreadable { retry_after: None },
    ] {
        let mut world = World::everyday();
        world.until("Locking", 60);
        enable(&mut world);
        closing(&mut world, state);
        let plan = world.plan();
        assert!(
            !plan.steps().any(|s| s.id.kind == StepKind::DeleteSnapshot),
            "{}",
            sreg_planner::render(&plan)
        );
    }
}

#[test]
fn an_operation_that_cannot_be_read_holds_no_opening_back_and_everything_else() {
    let mut world = locked();
    closing(&mut world, OperationState::Unreadable { retry_after: None });
    world.respec(|o| drop(o.spec.registry.tags.insert("costCenter".into(), "4711".into())));
    let on_the_registry = |plan: &Plan| -> Vec<String> {
        let steps = plan
            .steps()
            .filter(|s| matches!(&s.action, Action::Azure(a) if a.resource() == &id(REGISTRY)));
        steps.map(|s| s.id.to_string()).collect()
    };
    assert_eq!(on_the_registry(&world.plan()), Vec::<String>::new());
    world.break_glass(30);
    assert_eq!(on_the_registry(&world.plan()), ["break-glass registry contosoreg"]);
}

#[test]
fn a_rollback_is_over_once_all_is_as_open_as_it_was() {
    let mut world = World::everyday();
    change_acr(&mut world, |r| r.public_network_access = Some("Disabled".into()));
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        })
    });
    world.until("Locked", 60);
    world.pass(Duration::from_secs(20));
    world
        .broken
        .insert(("spoke".into(), "contosostore.blob.core.windows.net".into()));
    world
        .broken
        .insert(("hub".into(), "contosostore.blob.core.windows.net".into()));
    world.answer();
    for _ in 0..6 {
        let (_, report) = world.visit();
        world.pass(report.requeue.min(Duration::from_secs(30)));
    }
    assert_eq!(storage_of(&world).public_network_access.as_deref(), Some("Enabled"));
    assert_eq!(acr_of(&world).public_network_access.as_deref(), Some("Disabled"));
    // Somebody closes the storage by hand: that is not ours to open.
    world.suffer(Blow::CloseStorage);
    for _ in 0..5 {
        let (plan, report) = world.visit();
        assert!(
            !plan.steps().any(|s| s.action.opens()),
            "{}",
            sreg_planner::render(&plan)
        );
        world.pass(report.requeue.min(Duration::from_secs(60)));
    }
}

pub(super) fn in_a_window_once_a_month(world: &mut World) {
    world.respec(|o| {
        o.spec.public_access.lockdown = Some(LockdownSpec {
            wait_for: vec![LockdownGate::Window],
            window: Some(WindowSpec {
                schedule: "0 0 1 * *".into(),
                time_zone: "UTC".into(),
                duration: "2h".into(),
            }),
        });
        o.spec.verification.recent_public_clients = Some(RecentPublicClientsSpec {
            log_analytics_workspace_resource_id: format!(
                "{SUB}/resourceGroups/ml/providers/Microsoft.OperationalInsights/workspaces/logs"
            ),
            window: "168h".into(),
            policy: RecentPublicClientsPolicy::Block,
            accept: Vec::new(),
        });
    });
}

pub(super) fn a_client_was_seen(world: &mut World) {
    world.seen.azure.recent_public_clients = Fact::Seen(vec![PublicClient {
        target: storage("contosostore"),
        address: "198.51.100.7".into(),
    }]);
}

#[test]
fn a_lock_that_comes_back_waits_for_no_window_and_no_public_clients() {
    let mut world = locked();
    in_a_window_once_a_month(&mut world);
    world.settle(20);
    // Somebody opens by hand.
    a_client_was_seen(&mut world);
    world.suffer(Blow::OpenStorage);
    world.until("Locked", 60);
    // A break-glass, during which clients come from everywhere.
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    a_client_was_seen(&mut world);
    live(&mut world, 31, "");
    let (plan, _) = world.until("Locked", 60);
    assert!(plan.waits.is_empty());
    // Open by spec, and closed again: a first lock, with all its gates.
    enable(&mut world);
    world.settle(10);
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Disabled);
    stays_open(&mut world, 40, Duration::from_secs(300));
    let waits: Vec<_> = world.plan().waits.iter().map(|w| w.reason).collect();
    assert!(waits.contains(&WaitReason::WindowClosed) && waits.contains(&WaitReason::RecentPublicClients));
}

/// Between a lock and an opening, or before a lock, something could not be read once.
#[test]
fn a_visit_that_cannot_read_hides_neither_drift_nor_lock() {
    let mut world = locked();
    let seen = storage_of(&world).clone();
    see_all(&mut world, TargetKind::Storage, unknown(IgnoranceKind::Throttled));
    world.visit();
    assert!(
        world.seen.object.status.stale_since.is_some(),
        "what is shown is called old"
    );
    see_all(&mut world, TargetKind::Storage, Fact::Seen(seen));
    world.suffer(Blow::OpenStorage);
    let (_, report) = world.visit();
    let told = events(&report);
    assert!(
        told.contains(&"OpenedAgain") && told.contains(&"DriftDetected"),
        "{told:?}"
    );
    // And back.
    let mut told = Vec::new();
    for _ in 0..60 {
        let unreadable = world.all_closed() && !told.contains(&"Blind".to_owned());
        let seen = storage_of(&world).clone();
        if unreadable {
            see_all(&mut world, TargetKind::Storage, unknown(IgnoranceKind::Throttled));
            told.push("Blind".into());
        }
        let (_, report) = world.visit();
        if unreadable {
            see_all(&mut world, TargetKind::Storage, Fact::Seen(seen));
        }
        told.extend(report.events.iter().map(|e| e.reason.clone()));
        if world.state() == "Locked" && told.contains(&"Blind".to_owned()) {
            break;
        }
        world.pass(report.requeue);
    }
    let record = told.iter().filter(|reason| *reason == "Locked").count();
    assert!(record >= 1, "the lock's own event: {told:?}");
}

#[test]
fn a_closing_write_is_named_by_what_it_closes() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    let closing = world.journal.iter().filter(|s| s.starts_with("close")).count();
    assert!(closing <= 1, "{:?}", world.journal);
    let (plan, _) = world.visit();
    for step in plan.steps() {
        if let Action::Azure(AzureAction::Edit { target, .. }) = &step.action {
            assert!(step.id.subject.contains(&target.to_string()));
        }
    }
}

const COLLEAGUE: &str = "198.51.100.9";

/// Somebody lets a colleague, and a subnet that is a client network's, into what is closed.
fn let_in_while_closed(world: &mut World) -> String {
    let subnet = vnet("hub").child("subnets", "build").to_string();
    change_storage(world, |s| {
        s.ip_rules.push(COLLEAGUE.into());
        s.virtual_network_rules.push(subnet.clone());
    });
    change_acr(world, |r| r.ip_rules.push(COLLEAGUE.into()));
    subnet
}

#[test]
fn rules_that_people_add_to_what_is_closed_are_told_as_without_effect_and_kept_by_every_opening() {
    for opens in ["break-glass", "spec", "rollback"] {
        let mut world = locked_with_rules();
        let subnet = let_in_while_closed(&mut world);
        let (plan, _) = world.settle(10);
        assert_eq!(world.state(), "Locked", "{}", world.message());
        let told: Vec<&str> = plan
            .findings
            .iter()
            .filter(|f| f.reason == FindingReason::OtherWaysIn)
            .map(|f| f.message.as_str())
            .collect();
        for words in [
            "storage account contosostore",
            &subnet,
            "container registry contosoacr",
            "have no effect while it is closed",
            "az storage account network-rule remove",
            "az acr network-rule remove",
        ] {
            assert!(told.iter().any(|m| m.contains(words)), "{words}: {told:?}");
        }
        match opens {
            "break-glass" => {
                add(&mut world, "a", 30);
                world.until("BreakGlass", 5);
            }
            "spec" => {
                enable(&mut world);
                world.settle(10);
            }
            _ => {
                world.respec(|o| {
                    o.spec.public_access.rollback = Some(RollbackSpec {
                        on_failure: RollbackPolicy::Reopen,
                        grace_period: "24h".into(),
                    })
                });
                let lost = ("spoke".to_owned(), "contosostore.blob.core.windows.net".to_owned());
                world.broken.insert(lost);
                world.answer();
                world.until("AwaitingAction", 20);
            }
        }
        assert_eq!(storage_of(&world).ip_rules, [OFFICE, COLLEAGUE], "{opens}");
        assert_eq!(storage_of(&world).virtual_network_rules, [subnet], "{opens}");
        assert_eq!(acr_of(&world).ip_rules, [OFFICE, COLLEAGUE], "{opens}");
        assert_eq!(storage_of(&world).default_action.as_deref(), Some("Deny"), "{opens}");
        assert_eq!(acr_of(&world).default_action.as_deref(), Some("Deny"), "{opens}");
    }
}

#[test]
fn rules_that_people_added_to_what_was_closed_are_a_part_of_what_the_next_lock_takes_away() {
    let mut world = locked_with_rules();
    let approved = world.plan().assessment.lockdown_digest;
    let_in_while_closed(&mut world);
    assert_eq!(
        world.plan().assessment.lockdown_digest,
        approved,
        "while they let nobody in"
    );
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    world.visit();
    assert_ne!(world.plan().assessment.lockdown_digest, approved, "now they do");
    live(&mut world, 31, "");
    world.until("Locked", 60);
    enable(&mut world);
    world.settle(10);
    assert_eq!(storage_of(&world).ip_rules, [OFFICE, COLLEAGUE]);
    assert_eq!(acr_of(&world).ip_rules, [OFFICE, COLLEAGUE]);
}

/// Where everybody was let in before the lock, rules say nothing.
#[test]
fn rules_that_people_add_to_what_was_open_to_everybody_narrow_nothing() {
    let mut world = locked();
    let_in_while_closed(&mut world);
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    assert_eq!(storage_of(&world).default_action.as_deref(), Some("Allow"));
    assert_eq!(storage_of(&world).ip_rules, [COLLEAGUE]);
    assert_eq!(acr_of(&world).default_action.as_deref(), Some("Allow"));
    assert_eq!(acr_of(&world).ip_rules, [COLLEAGUE]);
}
