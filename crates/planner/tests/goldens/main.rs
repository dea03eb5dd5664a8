//! The plan for a world, as text that a person can review. Each golden's name is a sentence about behaviour; together they show
//! every state, every wait and every finding.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod absences;
mod building;
mod holders;
mod kstatus;
mod locking;
mod reasons;
mod worlds;

use std::collections::BTreeSet;

use sreg_api::ChangeKind;
use sreg_api::conditions::State;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{Digest, Fact};
use sreg_planner::plan::{FindingReason, WaitReason};
use sreg_planner::{Plan, render};
use sreg_planner_world as world;
use strum::IntoEnumIterator;
use world::*;
use worlds::{Case, dns};

fn cases() -> Vec<Case> {
    let cases = building::cases().into_iter().chain(locking::cases());
    cases.chain(absences::cases()).chain(holders::cases()).collect()
}

#[test]
fn plans_read_as_they_should() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, build) in cases() {
            let world = build();
            insta::assert_snapshot!(name, render(&world.plan()));
        }
    });
}

fn plans() -> Vec<Plan> {
    cases().iter().map(|(_, build)| build().plan()).collect()
}

#[test]
fn every_wait_every_finding_and_every_state_occurs() {
    let plans = plans();
    let waits: BTreeSet<WaitReason> = plans.iter().flat_map(|p| &p.waits).map(|w| w.reason).collect();
    let missing: Vec<WaitReason> = WaitReason::iter().filter(|r| !waits.contains(r)).collect();
    // The lint has refused no plan.
    assert_eq!(missing, [WaitReason::PlanRefusedStalled]);
    let findings: BTreeSet<FindingReason> = plans.iter().flat_map(|p| &p.findings).map(|f| f.reason).collect();
    let missing: Vec<FindingReason> = FindingReason::iter().filter(|r| !findings.contains(r)).collect();
    assert_eq!(missing, []);
    let states: BTreeSet<String> = plans
        .iter()
        .filter_map(|p| p.assessment.state)
        .map(|s| s.to_string())
        .collect();
    let missing: Vec<State> = State::iter().filter(|s| !states.contains(&s.to_string())).collect();
    assert_eq!(missing, []);
}

#[test]
fn the_digest_that_was_approved_survives_executed_steps() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.name_changes = Some(NameChangesSpec {
            wait_for: vec![NameChangesGate::Approval],
        })
    });
    world.visit();
    let digest = world.plan().assessment.name_changes.remove(0).digest;
    let approve = |digest: &Digest| {
        Fact::Seen(vec![ApprovalSeen {
            name: "a".into(),
            change: ChangeKind::NameChanges,
            digest: digest.clone(),
            approved_by: "joe".into(),
            uid: "uid".into(),
            status: None,
        }])
    };
    world.seen.cluster.approvals = approve(&digest);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    // Another network to link is another change.
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.name_changes = Some(NameChangesSpec {
            wait_for: vec![NameChangesGate::Approval],
        })
    });
    world.seen.cluster.approvals = approve(&digest);
    world.respec(|o| {
        o.spec.unproven_networks = vec![UnprovenNetworkSpec {
            virtual_network_resource_id: vnet("sandbox").to_string(),
            reason: "no clients".into(),
        }];
        dns(&mut o.spec)
            .link_virtual_networks
            .as_mut()
            .unwrap()
            .push(vnet("sandbox").to_string());
    });
    world.until("AwaitingApproval", 3);
}
