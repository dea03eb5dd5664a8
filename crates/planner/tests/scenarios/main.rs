//! What happens in which world: each test is a sentence about behaviour. Every plan on the way is linted by the world itself.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod absence;
mod after;
mod approvals;
mod approvers;
mod blind;
mod clients;
mod closed_by_others;
mod clusters;
mod cut_off;
mod deleting;
mod denials;
mod emergencies;
mod firewalls;
mod grants;
mod halves;
mod invalid;
mod late_writes;
mod lock;
mod locked_zones;
mod neighbours;
mod observing;
mod obstacles;
mod outside;
mod ownership;
mod people;
mod policies;
mod progress;
mod refused;
mod restoring;
mod rights;
mod separate_approver;
mod settling;
mod sharing;
mod telling;
mod way_back;

use std::time::Duration;

use sreg_api::registry::{DnsMode, LockdownGate, LockdownSpec, ZoneIds};
use sreg_domain::action::{StepOutcome, StepResult};
use sreg_domain::seen::{LinkSeen, ZoneSeen};
use sreg_domain::{Action, CallFailure, Disposition, Fact};
use sreg_planner::{Plan, Report};
use sreg_planner_world as world;
use world::World;

fn locked() -> World {
    let mut world = World::everyday();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    world
}

/// Its zones are those of a hub: they exist, and the hub asks them already.
fn hub_zones(world: &mut World) {
    let zone = |name: &str| {
        format!(
            "{}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{name}",
            world::SUB
        )
    };
    world.respec(|o| {
        let dns = o.spec.endpoints[0].dns.as_mut().unwrap();
        dns.mode = Some(DnsMode::Existing);
        dns.private_dns_zone_resource_ids = Some(ZoneIds {
            registry: zone("privatelink.api.azureml.ms"),
            blob: zone("privatelink.blob.core.windows.net"),
            dfs: None,
            container_registry: zone("privatelink.azurecr.io"),
        });
    });
    for zone in world.desired.endpoints()[0].dns.zones.values() {
        let link = LinkSeen {
            tags: Default::default(),
            id: zone.child("virtualNetworkLinks", "theirs"),
            virtual_network: world::vnet("hub"),
            completed: true,
            resolution_policy: None,
        };
        let seen = ZoneSeen {
            tags: Default::default(),
            id: zone.clone(),
            owner: None,
            links: Fact::Seen(vec![link]),
            records: Fact::Seen(Default::default()),
        };
        world.seen.azure.zones.insert(zone.clone(), Fact::Seen(seen));
    }
}

/// From now on its lock waits for an approval.
fn lock_waits(world: &mut World) {
    world.respec(|o| {
        o.spec.public_access.lockdown = Some(LockdownSpec {
            wait_for: vec![LockdownGate::Approval],
            window: None,
        })
    });
}

/// Everything is built, and the lock waits for its approval.
fn awaiting_approval() -> World {
    let mut world = World::everyday();
    lock_waits(&mut world);
    world.until("AwaitingApproval", 60);
    world
}

/// Locked with an approval, ten minutes ago.
fn locked_with_approval() -> World {
    let mut world = awaiting_approval();
    world.approve();
    world.settle(60);
    world.pass(Duration::from_secs(600));
    world
}

fn standing_endpoints(world: &World) -> usize {
    world.seen.azure.endpoints.values().filter_map(Fact::seen).count()
}

fn position(world: &World, step: &str) -> usize {
    world
        .journal
        .iter()
        .position(|s| s.starts_with(step))
        .unwrap_or_else(|| panic!("no {step} in {:#?}", world.journal))
}

fn closes(plan: &Plan) -> bool {
    plan.steps().any(|s| s.action.closes())
}

fn azure_steps(plan: &Plan) -> usize {
    plan.steps().filter(|s| matches!(s.action, Action::Azure(_))).count()
}

/// So many visits, no further apart than that, of which none closes anything.
fn stays_open(world: &mut World, visits: usize, longest: Duration) {
    for _ in 0..visits {
        let (plan, report) = world.visit();
        assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
        world.pass(report.requeue.min(longest));
    }
}

fn events(report: &Report) -> Vec<&str> {
    report.events.iter().map(|e| e.reason.as_str()).collect()
}

/// Notes of the events with this reason.
fn notes_of(report: &Report, reason: &str) -> Vec<String> {
    let events = report.events.iter().filter(|e| e.reason == reason);
    events.map(|e| e.note.clone()).collect()
}

fn failing(step: &sreg_planner::Step, disposition: Disposition) -> StepOutcome {
    let (cause, retry_after) = world::contrary::cause_of(disposition);
    let failure = CallFailure {
        code: Some("RequestDisallowedByPolicy".into()),
        status: Some(403),
        correlation_id: Some("c-1".into()),
        retry_after,
        ..CallFailure::local(step.action.to_string(), cause, "a policy says no")
    };
    StepOutcome {
        step: step.id.clone(),
        action: step.action.clone(),
        result: StepResult::Failed(failure),
    }
}
