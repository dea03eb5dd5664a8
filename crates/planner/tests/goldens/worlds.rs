//! Worlds that the goldens begin from.

use std::time::Duration;

use jiff::SignedDuration;
use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{ArmId, Fact, Operation, StepKind};

use crate::world::*;

pub type Case = (&'static str, fn() -> World);

pub fn fresh(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::everyday();
    // Zones, then endpoints.
    world.visit();
    world.visit();
    change(&mut world);
    world
}

pub fn locked() -> World {
    let mut world = World::everyday();
    world.settle(60);
    world
}

/// All endpoints are there, DNS is complete, names have not settled.
pub fn settling() -> World {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world
}

/// Ready to prove: nothing but the gates holds it back.
pub fn gated(change: impl FnOnce(&mut SecureRegistrySpec)) -> World {
    let mut world = settling();
    world.pass(Duration::from_secs(4000));
    world.respec(|o| change(&mut o.spec));
    world.visit();
    world.pass(Duration::from_secs(1));
    world
}

pub fn lockdown(wait_for: Vec<LockdownGate>, window: Option<WindowSpec>) -> impl FnOnce(&mut SecureRegistrySpec) {
    move |spec| spec.public_access.lockdown = Some(LockdownSpec { wait_for, window })
}

pub fn dns(spec: &mut SecureRegistrySpec) -> &mut DnsSpec {
    spec.endpoints[0].dns.get_or_insert_default()
}

pub fn with_spec(change: impl FnOnce(&mut SecureRegistrySpec)) -> World {
    let mut world = World::everyday();
    world.respec(|o| change(&mut o.spec));
    world.visit();
    world.visit();
    world
}

pub fn denied(kind: &str) -> Vec<DenyAssignment> {
    vec![DenyAssignment {
        id: format!("{MANAGED}/providers/Microsoft.Authorization/denyAssignments/managed"),
        name: "managed by Azure ML".into(),
        scope: MANAGED.into(),
        permissions: vec![(vec![kind.into()], vec!["*/read".into()])],
        excluded_principals: Vec::new(),
        principals: vec![DenyAssignment::EVERYONE.into()],
        ..DenyAssignment::default()
    }]
}

pub fn operation(world: &World, resource: ArmId, state: OperationState) -> OperationSeen {
    let operation = Operation {
        step: StepKind::CreateEndpoint.on("x"),
        resource,
        poll_url: "https://arm/op".into(),
        started_at: world.now,
    };
    OperationSeen { operation, state }
}

pub fn first_endpoint(world: &World) -> ArmId {
    let place = &world.desired.endpoints()[0];
    let (group, target) = world.groups()[0].clone();
    world.endpoint_id(place, group, &target)
}

pub fn endpoint(world: &mut World) -> &mut EndpointSeen {
    let id = first_endpoint(world);
    match world.seen.azure.endpoints.get_mut(&id) {
        Some(Fact::Seen(endpoint)) => endpoint,
        other => panic!("{other:?}"),
    }
}

pub fn glass(world: &World, minutes: u64, ago: i64) -> Fact<Vec<BreakGlassSeen>> {
    Fact::Seen(vec![BreakGlassSeen {
        name: "pipelines-fail".into(),
        uid: "pipelines-fail".into(),
        status: None,
        created_at: world.now.saturating_sub(SignedDuration::from_mins(ago)).unwrap(),
        duration: Duration::from_secs(60 * minutes),
        reason: "all pipelines fail since the change".into(),
        requested_by: "jane@contoso.com".into(),
    }])
}

pub fn reopening(world: &mut World) {
    world.respec(|o| {
        o.spec.public_access.rollback = Some(RollbackSpec {
            on_failure: RollbackPolicy::Reopen,
            grace_period: "15m".into(),
        });
    });
    world.settle(20);
    // The lock is young.
    if let Some(exposure) = &mut world.seen.object.status.exposure {
        exposure.locked_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
    }
    world.pass(Duration::from_secs(60));
    for network in ["spoke", "hub"] {
        let path = (network.to_owned(), "contosostore.blob.core.windows.net".to_owned());
        world.broken.insert(path);
    }
    world.answer();
}

/// The same, and one vantage point alone says so.
pub fn reopening_on_one_word(world: &mut World) {
    reopening(world);
    world.broken.retain(|(network, _)| network == "spoke");
    world.answer();
}

pub const WAREHOUSE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/logs";

pub fn clients(policy: RecentPublicClientsPolicy) -> World {
    let mut world = gated(|spec| {
        spec.verification.recent_public_clients = Some(RecentPublicClientsSpec {
            log_analytics_workspace_resource_id: WAREHOUSE.into(),
            window: "168h".into(),
            policy,
            accept: vec!["198.51.100.0/24".into()],
        });
    });
    let client = |address: &str| PublicClient {
        address: address.into(),
        target: storage("contosostore"),
    };
    world.seen.azure.recent_public_clients = Fact::Seen(vec![
        client("198.51.100.7"),
        client("203.0.113.9"),
        client("203.0.113.10"),
    ]);
    world
}
