//! Steps that several tests take, and ways to look at what came of them.

use azure_sim::{FaultEffect, FaultRule};
use sreg_domain::naming::{endpoint_name, link_name};
use sreg_domain::seen::{AzureSeen, Fact, IgnoranceKind};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, TargetKind, TargetSeen};

use crate::simulated::*;

pub fn seen<T>(fact: &Fact<T>) -> &T {
    match fact {
        Fact::Seen(value) => value,
        Fact::Absent => panic!("absent"),
        Fact::Unknown(why) => panic!("unknown: {why:?}"),
    }
}

/// The first target of a kind that was seen.
pub fn only(azure: &AzureSeen, kind: TargetKind) -> &TargetSeen {
    seen(azure.targets.of(kind).next().unwrap().1)
}

/// How many storage accounts and container registries there are.
pub fn counts(azure: &AzureSeen) -> (usize, usize) {
    let of = |kind| azure.targets.of(kind).count();
    (of(TargetKind::Storage), of(TargetKind::ContainerRegistry))
}

/// How many replicas the container registry has.
pub fn replicas(azure: &AzureSeen) -> usize {
    let details = only(azure, TargetKind::ContainerRegistry).container_registry();
    seen(&details.unwrap().replicas).len()
}

pub fn kind<T>(fact: &Fact<T>) -> IgnoranceKind {
    fact.ignorance().expect("something is known").kind
}

pub fn fault(method: &str, path: &str, effect: FaultEffect) -> FaultRule {
    FaultRule {
        name: None,
        method: Some(method.into()),
        path: Some(path.into()),
        body_contains: None,
        nth: Some(1),
        times: Some(1),
        probability: None,
        seed: 0,
        effect,
    }
}

pub fn status(status: u16, code: &str, retry_after: Option<u64>) -> FaultEffect {
    FaultEffect::Status {
        status,
        code: Some(code.into()),
        message: None,
        body: None,
        retry_after,
    }
}

/// The three targets with their groups, as the registry reports them.
pub fn targets(azure: &AzureSeen) -> Vec<(ArmId, EndpointGroup)> {
    let mut all = vec![(id(REGISTRY), EndpointGroup::AmlRegistry)];
    let of = |kind, group| azure.targets.of(kind).map(move |(id, _)| (id.clone(), group));
    all.extend(of(TargetKind::Storage, EndpointGroup::Blob));
    all.extend(of(TargetKind::ContainerRegistry, EndpointGroup::ContainerRegistry));
    all
}

pub fn create_endpoint(target: &ArmId, group: EndpointGroup) -> AzureAction {
    let place = desired().endpoints()[0].clone();
    AzureAction::CreateEndpoint {
        id: place.resource_group.provider(
            "Microsoft.Network/privateEndpoints",
            &endpoint_name(target, &place.subnet, group),
        ),
        location: "westeurope".into(),
        subnet: place.subnet.clone(),
        target: target.clone(),
        group,
        manual_request: None,
        tags: Default::default(),
        owner: OWNER.into(),
    }
}

/// Endpoints, zones, groups and links, as a plan would order them.
pub async fn secure_names(bench: &mut Bench) {
    let azure = bench.observe().await;
    for (target, group) in targets(&azure) {
        let create = create_endpoint(&target, group);
        let endpoint = create.resource().clone();
        bench.complete(create).await;
        bench
            .complete(AzureAction::CreateZone {
                id: zone(group),
                tags: Default::default(),
                owner: OWNER.into(),
            })
            .await;
        let zone_group = endpoint.child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
        bench
            .complete(AzureAction::PutZoneGroup {
                id: zone_group,
                zones: vec![zone(group)],
                owner: OWNER.into(),
            })
            .await;
        for name in ["hub", "spoke-a"] {
            bench.complete(link(group, name)).await;
        }
    }
}

pub fn link(group: EndpointGroup, name: &str) -> AzureAction {
    AzureAction::LinkZone {
        id: zone(group).child("virtualNetworkLinks", &link_name(&network(name))),
        virtual_network: network(name),
        resolution_policy: sreg_api::registry::ResolutionPolicy::Default,
        tags: Default::default(),
        owner: OWNER.into(),
    }
}

pub fn digest(azure: &AzureSeen, target: &ArmId, group: EndpointGroup) -> (TargetKind, sreg_domain::Digest) {
    (group.target(), seen(azure.targets.get(target)).digest.clone())
}
