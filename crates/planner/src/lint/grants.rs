//! No step touches what no grant lets the object's namespace touch, worked out from the steps and the grants alone.

use sreg_api::grant::{AccountUse, NetworkUse, RegistryOperation};
use sreg_api::names::ZONE_GROUP;
use sreg_domain::grants::where_endpoint_stands;
use sreg_domain::{Action, ArmId, AzureAction, ClusterAction, Edit, Fact, Purpose, TargetKind};

use super::{Lint, proof};

pub(super) fn check(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for step in plan.steps() {
        for missing in missing(lint, &step.action) {
            lint.break_rule("grants", format!("{}: {missing}", step.action));
        }
    }
}

/// What an action would take and no grant gives.
fn missing(lint: &Lint<'_>, action: &Action) -> Vec<String> {
    let grants = &lint.desired.grants;
    match action {
        Action::Azure(azure) => takes(lint, azure)
            .into_iter()
            .filter(|(purpose, id)| !grants.allow(*purpose, id))
            .map(|(purpose, id)| format!("no grant for {purpose:?} of {id}"))
            .collect(),
        Action::Cluster(ClusterAction::ApplyProbe(probe)) => asks(lint, &probe.spec.vantage_point),
        Action::Cluster(ClusterAction::OpenRound { probes, .. }) => {
            let points = probes.iter().map(|probe| probe.spec.vantage_point.as_str());
            points.flat_map(|point| asks(lint, point)).collect()
        }
        Action::Cluster(_) => Vec::new(),
    }
}

fn asks(lint: &Lint<'_>, point: &str) -> Vec<String> {
    if lint.desired.grants.allow_vantage_point(point) {
        Vec::new()
    } else {
        vec![format!("no grant for VantagePoint {point}")]
    }
}

/// Which ids an action touches, and what for.
fn takes(lint: &Lint<'_>, action: &AzureAction) -> Vec<(Purpose, ArmId)> {
    let registry = |operation| (Purpose::Registry(operation), lint.desired.registry.clone());
    let network = |used: NetworkUse, id: &ArmId| (Purpose::Network(used), id.clone());
    let zone = |id: &ArmId| (Purpose::PrivateDnsZone, id.clone());
    let mut takes = match action {
        AzureAction::CreateRegistry { .. } => vec![registry(RegistryOperation::Create)],
        AzureAction::SetTags { .. } | AzureAction::GrantManagedGroupAccess { .. } => Vec::new(),
        AzureAction::MergeTags { id, .. } => subnet_of(lint, id)
            .map(|subnet| network(NetworkUse::Endpoints, &subnet))
            .into_iter()
            .chain(zone_of(id).as_ref().map(zone))
            .collect(),
        AzureAction::CreateEndpoint { id, subnet, target, .. } => {
            let mut takes = where_endpoint_stands(id, Some(subnet));
            takes.extend(shared(lint, target));
            takes
        }
        AzureAction::DeleteEndpoint { id, .. } => endpoint(lint, id),
        AzureAction::DeleteZoneGroup { id, .. } => id.parent().map(|id| endpoint(lint, &id)).unwrap_or_default(),
        AzureAction::CreateZone { id, .. } => vec![zone(id)],
        AzureAction::LinkZone {
            id, virtual_network, ..
        } => {
            let mut takes = vec![network(NetworkUse::Links, virtual_network)];
            takes.extend(id.parent().as_ref().map(zone));
            takes
        }
        AzureAction::PutZoneGroup { id, zones, .. } => {
            let mut takes: Vec<_> = zones.iter().map(zone).collect();
            takes.extend(id.parent().iter().flat_map(|id| endpoint(lint, id)));
            takes
        }
        AzureAction::Edit { target, id, edit, .. } => edited(lint, *target, id, edit),
    };
    let opens_or_creates = action.is_opening() || matches!(action, AzureAction::CreateRegistry { .. });
    if !opens_or_creates {
        takes.push(registry(RegistryOperation::Lock));
    }
    takes
}

fn edited(lint: &Lint<'_>, target: TargetKind, id: &ArmId, edit: &Edit) -> Vec<(Purpose, ArmId)> {
    let operation = match edit {
        Edit::AllowResource { .. } => return vec![(Purpose::Account(AccountUse::Sharing), id.clone())],
        Edit::Close => RegistryOperation::Lock,
        Edit::Restore(_) | Edit::Open => RegistryOperation::Open,
    };
    let mut takes = vec![(Purpose::Registry(operation), lint.desired.registry.clone())];
    takes.extend((target != TargetKind::Registry).then(|| shared(lint, id)).flatten());
    takes
}

/// An account that is not the registry's own.
fn shared(lint: &Lint<'_>, id: &ArmId) -> Option<(Purpose, ArmId)> {
    let shared = proof::shared(lint.seen).contains(id);
    shared.then(|| (Purpose::Account(AccountUse::Shared), id.clone()))
}

/// An endpoint that is seen stands in a subnet and a group that are granted, and its records in zones that are.
fn endpoint(lint: &Lint<'_>, id: &ArmId) -> Vec<(Purpose, ArmId)> {
    let seen = lint.seen.azure.endpoints.get(id).and_then(Fact::seen);
    let ours = id.child("privateDnsZoneGroups", ZONE_GROUP);
    let groups = seen.and_then(|endpoint| endpoint.zone_groups.seen());
    let groups = groups.into_iter().flatten().filter(|group| group.id == ours);
    let zones = groups.flat_map(|group| group.zones.iter().cloned());
    let mut takes = where_endpoint_stands(id, subnet_of(lint, id).as_ref());
    takes.extend(zones.map(|zone| (Purpose::PrivateDnsZone, zone)));
    takes
}

fn subnet_of(lint: &Lint<'_>, id: &ArmId) -> Option<ArmId> {
    let endpoint = lint.seen.azure.endpoints.get(id).and_then(Fact::seen)?;
    endpoint.subnet.clone()
}

/// The zone that an id is, or stands below.
fn zone_of(id: &ArmId) -> Option<ArmId> {
    let is_zone = |id: &ArmId| id.kind() == "microsoft.network/privatednszones";
    if is_zone(id) {
        Some(id.clone())
    } else {
        id.parent().filter(is_zone)
    }
}
