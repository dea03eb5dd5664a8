//! Whom firewalls let in before the lock: named, a part of what is approved, and held where nobody answers for them. Words of Azure's
//! that nobody here knows are not known.

use std::time::Duration;

use sreg_api::ChangeKind;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Digest, Fact, PublicNetworkAccess};
use sreg_planner::Plan;
use sreg_planner::plan::{FindingReason, WaitReason};

use super::closes;
use super::emergencies::{add, live};
use super::lock_waits;
use crate::world::*;

const OFFICE: &str = "203.0.113.0/24";

fn let_in(world: &mut World, addresses: &[&str], subnets: &[&str]) {
    change_storage(world, |s| {
        s.default_action = Some("Deny".into());
        s.ip_rules = addresses.iter().map(ToString::to_string).collect();
        s.virtual_network_rules = subnets
            .iter()
            .map(|n| vnet(n).child("subnets", "build").to_string())
            .collect();
    });
}

fn said(plan: &Plan, reason: FindingReason) -> String {
    let found = plan.findings.iter().filter(|f| f.reason == reason);
    found.map(|f| f.message.as_str()).collect::<Vec<_>>().join(" ")
}

fn waits(plan: &Plan, reason: WaitReason) -> Vec<&str> {
    plan.waits
        .iter()
        .filter(|w| w.reason == reason)
        .map(|w| w.message.as_str())
        .collect()
}

fn approve(world: &mut World, digest: &Digest) {
    world.seen.cluster.approvals = Fact::Seen(vec![ApprovalSeen {
        name: "a".into(),
        change: ChangeKind::Lockdown,
        digest: digest.clone(),
        approved_by: "joe".into(),
        uid: "uid".into(),
        status: None,
    }]);
}

#[test]
fn every_rule_that_the_lock_takes_away_is_named_and_a_part_of_what_is_approved() {
    let mut world = World::everyday();
    let_in(&mut world, &[OFFICE], &["hub"]);
    lock_waits(&mut world);
    world.until("AwaitingApproval", 60);
    let plan = world.plan();
    let subnet = vnet("hub").child("subnets", "build");
    let summary = world.seen.object.status.approvals_wanted[0].summary.clone();
    for words in [OFFICE, subnet.as_str(), "contosostore"] {
        assert!(
            said(&plan, FindingReason::RulesClose).contains(words),
            "{:?}",
            plan.findings
        );
        assert!(summary.contains(words), "{summary}");
    }
    let first = plan.assessment.lockdown_digest.clone().unwrap();
    approve(&mut world, &first);
    // One rule more is another thing to approve.
    let_in(&mut world, &[OFFICE, "198.51.100.9"], &["hub"]);
    let plan = world.plan();
    assert_ne!(plan.assessment.lockdown_digest, Some(first));
    for _ in 0..5 {
        let (plan, _) = world.visit();
        assert!(!closes(&plan));
        world.pass(Duration::from_secs(60));
    }
    let digest = world.plan().assessment.lockdown_digest.unwrap();
    approve(&mut world, &digest);
    world.until("Locked", 60);
    assert_eq!(
        world.plan().assessment.lockdown_digest,
        Some(digest),
        "it survives the lock that it approved"
    );
}

#[test]
fn address_rules_of_a_container_registry_are_named_too() {
    let mut world = World::everyday();
    change_acr(&mut world, |r| {
        r.default_action = Some("Deny".into());
        r.ip_rules = vec![OFFICE.into()];
    });
    let plan = world.plan();
    let (plan, _) = if said(&plan, FindingReason::RulesClose).is_empty() {
        world.visit()
    } else {
        (plan, world.visit().1)
    };
    assert!(
        said(&plan, FindingReason::RulesClose).contains("contosoacr: address rule 203.0.113.0/24"),
        "{:?}",
        plan.findings
    );
}

#[test]
fn a_subnet_of_a_network_that_nobody_answers_for_holds_the_lock_until_it_is_waived() {
    let mut world = World::everyday();
    let_in(&mut world, &[], &["hub", "stranger"]);
    for _ in 0..40 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    let plan = world.plan();
    let told = waits(&plan, WaitReason::VantagePointMissing);
    assert_eq!(told.len(), 1, "{:?}", plan.waits);
    assert!(
        told[0].contains("stranger/subnets/build") && told[0].contains("az storage account network-rule remove"),
        "{told:?}"
    );
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("stranger").to_string(),
            reason: "moves with CHG-17".into(),
        }]
    });
    world.until("Locked", 60);
}

/// Each kind of account has a command of its own.
#[test]
fn a_subnet_rule_of_a_container_registry_is_taken_away_by_its_own_command() {
    let mut world = World::everyday();
    let subnet = vnet("stranger").child("subnets", "build");
    change_acr(&mut world, |r| {
        r.default_action = Some("Deny".into());
        r.virtual_network_rules = vec![subnet.to_string()];
    });
    for _ in 0..40 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    let plan = world.plan();
    let told = waits(&plan, WaitReason::VantagePointMissing);
    assert_eq!(told.len(), 1, "{:?}", plan.waits);
    assert!(
        told[0].contains("az acr network-rule remove --name contosoacr ")
            && told[0].ends_with(&format!("--subnet {subnet}")),
        "{told:?}"
    );
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("stranger").to_string(),
            reason: "moves with CHG-17".into(),
        }]
    });
    world.until("Locked", 60);
}

fn let_into_acr(world: &mut World, subnets: &[&str]) {
    change_acr(world, |acr| {
        acr.default_action = Some("Deny".into());
        let subnets = subnets.iter();
        acr.virtual_network_rules = subnets.map(|n| vnet(n).child("subnets", "build").to_string()).collect();
    });
}

fn acr_of(world: &World) -> &TargetSeen {
    world.seen.azure.targets.seen().find(|t| t.id == acr()).unwrap()
}

#[test]
fn subnet_rules_of_a_container_registry_are_named_held_and_put_back_as_those_of_storage() {
    let mut world = World::everyday();
    let_into_acr(&mut world, &["hub", "stranger"]);
    let before = acr_of(&world).network.clone();
    for _ in 0..40 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
        world.pass(report.requeue);
    }
    let plan = world.plan();
    let told = waits(&plan, WaitReason::VantagePointMissing);
    assert!(
        told.len() == 1 && told[0].contains("stranger/subnets/build"),
        "{told:?}"
    );
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("stranger").to_string(),
            reason: "moves with CHG-17".into(),
        }]
    });
    lock_waits(&mut world);
    world.until("AwaitingApproval", 60);
    let plan = world.plan();
    let closes = said(&plan, FindingReason::RulesClose);
    let subnet = vnet("hub").child("subnets", "build").to_string();
    assert!(
        closes.contains("contosoacr: ") && closes.contains(&format!("subnet rule {subnet}")),
        "{closes}"
    );
    assert_eq!(said(&plan, FindingReason::SubnetRulesNotShown), "");
    let digest = plan.assessment.lockdown_digest.unwrap();
    approve(&mut world, &digest);
    world.until("Locked", 60);
    assert_eq!(acr_of(&world).virtual_network_rules, [""; 0]);
    world.pass(Duration::from_secs(3600));
    add(&mut world, "a", 30);
    world.until("BreakGlass", 5);
    assert_eq!(acr_of(&world).network, before);
}

/// With an API version that does not name them nobody knows whether a container registry has subnet rules (azure.md §5.2, U37).
#[test]
fn subnet_rules_that_the_api_version_does_not_name_are_told_and_a_part_of_what_is_approved() {
    let mut digests = Vec::new();
    for version in ["2023-07-01", "2026-11-01"] {
        let mut world = World::everyday();
        let_into_acr(&mut world, &[]);
        lock_waits(&mut world);
        world.until("AwaitingApproval", 60);
        let document = format!(
            "name: Asked\nextends: AzurePublic\napiVersions:\n  Microsoft.ContainerRegistry/registries: \"{version}\"\n"
        );
        world.desired.cloud = sreg_domain::cloud_documents::from_yaml(&document).unwrap().into();
        let (plan, _) = world.visit();
        let told = said(&plan, FindingReason::SubnetRulesNotShown);
        let shown = version == "2026-11-01";
        assert_eq!(told.is_empty(), shown, "{version}: {told}");
        assert!(
            shown || told.contains("az acr network-rule list --name contosoacr"),
            "{told}"
        );
        let summary = &world.seen.object.status.approvals_wanted[0].summary;
        assert_eq!(summary.contains("may not show its subnet rules"), !shown, "{summary}");
        let digest = plan.assessment.lockdown_digest.unwrap();
        approve(&mut world, &digest);
        world.until("Locked", 60);
        world.pass(Duration::from_secs(3600));
        add(&mut world, "a", 30);
        world.until("BreakGlass", 5);
        live(&mut world, 31, "");
        world.until("Locked", 60);
        assert_eq!(
            world.plan().assessment.lockdown_digest.as_ref(),
            Some(&digest),
            "{version}"
        );
        digests.push(digest);
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn a_lock_that_only_comes_back_is_not_held_by_rules_that_its_snapshot_holds() {
    let mut world = World::everyday();
    let_in(&mut world, &[], &["hub"]);
    world.settle(60);
    world.pass(Duration::from_secs(3600));
    // Locked by a version that did not ask; opened by hand since.
    if let Fact::Seen(snapshot) = &mut world.seen.cluster.snapshot {
        for target in snapshot.targets.values_mut() {
            if target.network["networkAcls"].is_object() {
                target.network["networkAcls"]["virtualNetworkRules"][0]["id"] =
                    vnet("stranger").child("subnets", "build").as_str().into();
            }
        }
    }
    change_storage(&mut world, |s| {
        s.public_network_access = Some("Enabled".into());
        s.virtual_network_rules = vec![vnet("stranger").child("subnets", "build").to_string()];
    });
    world.until("Locked", 60);
    // One that came since is new.
    change_storage(&mut world, |s| {
        s.public_network_access = Some("Enabled".into());
        s.virtual_network_rules = vec![vnet("another").child("subnets", "build").to_string()];
    });
    for _ in 0..20 {
        let (plan, _) = world.visit();
        assert!(!closes(&plan));
        world.pass(Duration::from_secs(60));
    }
}

#[test]
fn a_perimeter_is_never_called_closed_and_is_restored_as_it_was() {
    for action in ["Deny", "Allow"] {
        let mut world = World::everyday();
        change_storage(&mut world, |s| {
            s.public_network_access = Some("SecuredByPerimeter".into());
            s.default_action = Some(action.into());
        });
        world.until("AwaitingApproval", 60);
        let plan = world.plan();
        assert!(
            said(&plan, FindingReason::SecuredByPerimeter).contains("contosostore"),
            "{:?}",
            plan.findings
        );
        assert!(
            waits(&plan, WaitReason::LockdownApproval)[0].contains("perimeter"),
            "{:?}",
            plan.waits
        );
        assert_ne!(world.summary(), "Locked");
        assert!(
            !plan.assessment.access.iter().any(|a| a.closed == Some(true)),
            "{action}"
        );
        let digest = plan.assessment.lockdown_digest.unwrap();
        approve(&mut world, &digest);
        world.until("Locked", 60);
        assert_eq!(
            storage_of(&world).public_network_access,
            Some(PublicNetworkAccess::Disabled)
        );
        world.pass(Duration::from_secs(3600));
        add(&mut world, "a", 30);
        world.until("BreakGlass", 5);
        let storage = storage_of(&world);
        assert_eq!(
            storage.public_network_access,
            Some(PublicNetworkAccess::SecuredByPerimeter)
        );
        assert_eq!(storage.default_action.as_deref(), Some(action));
        live(&mut world, 31, "");
        world.until("Locked", 60);
    }
}

#[test]
fn opening_by_spec_leaves_a_perimeter_as_it_is() {
    let mut world = World::everyday();
    change_storage(&mut world, |s| {
        s.public_network_access = Some("SecuredByPerimeter".into())
    });
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(40);
    assert_eq!(
        storage_of(&world).public_network_access,
        Some(PublicNetworkAccess::SecuredByPerimeter)
    );
}

/// Each word that a gate reads, with a value that nobody knows: never locked, never called locked or open, and never opened over.
#[test]
fn a_word_that_nobody_knows_neither_locks_nor_opens_and_is_told() {
    type Change = fn(&mut World);
    let odd: [(&str, Change); 4] = [
        ("registry", |world| {
            let registry = registry_of(world).unwrap();
            registry.public_network_access = Some("DisabledOnTuesdays".into());
            apply::touch(registry);
        }),
        ("storage", |world| {
            change_storage(world, |s| s.public_network_access = Some("DisabledOnTuesdays".into()))
        }),
        ("action", |world| {
            change_storage(world, |s| s.default_action = Some("DenyOnTuesdays".into()))
        }),
        ("acr", |world| {
            change_acr(world, |r| r.public_network_access = Some("DisabledOnTuesdays".into()))
        }),
    ];
    for (name, change) in odd {
        for desired in [PublicAccess::Disabled, PublicAccess::Enabled] {
            let mut world = World::everyday();
            world.respec(|o| o.spec.public_access.desired = desired);
            change(&mut world);
            for _ in 0..40 {
                let (plan, report) = world.visit();
                let touches = |s: &sreg_planner::plan::Step| s.action.closes() || s.action.opens();
                assert!(!plan.steps().any(touches), "{name}: {}", sreg_planner::render(&plan));
                world.pass(report.requeue);
            }
            let plan = world.plan();
            let told = waits(&plan, WaitReason::SettingNotUnderstoodStalled);
            assert!(
                told.len() == 1 && told[0].contains("OnTuesdays"),
                "{name}: {:?}",
                plan.waits
            );
            assert_eq!(world.state(), "Stalled", "{name}");
        }
    }
}
