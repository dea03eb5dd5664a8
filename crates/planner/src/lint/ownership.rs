//! No step names a resource that is not ours, and none rests on something that could not be read.

use sreg_api::names::ZONE_GROUP;
use sreg_domain::{ArmId, AzureAction, Edit, Fact};

use super::{Lint, azure, proof};
use crate::plan::Step;

pub(super) fn check(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for step in plan.steps() {
        if let Some(action) = azure(step) {
            one(lint, step, action);
        }
    }
}

fn one(lint: &mut Lint<'_>, step: &Step, action: &AzureAction) {
    let (desired, seen) = (lint.desired, lint.seen);
    let azure = &seen.azure;
    match action {
        AzureAction::CreateRegistry { id, locations, .. } => {
            let may =
                *id == desired.registry && azure.registry.is_absent() && desired.create.as_ref() == Some(locations);
            lint.demand("ownership", may, || {
                format!(
                    "{}: the registry exists, is not known, or is not to be created",
                    step.action
                )
            });
        }
        AzureAction::SetTags { id, tags, .. } => {
            let keys = tags.keys().all(|k| desired.tags.contains_key(k));
            lint.demand(
                "ownership",
                *id == desired.registry && azure.registry.seen().is_some() && keys,
                || format!("{}: not our tags", step.action),
            );
        }
        AzureAction::GrantManagedGroupAccess { id, principal, .. } => {
            let ours = azure.principal.seen().is_some_and(|p| p.object_id == *principal);
            lint.demand(
                "ownership",
                *id == desired.registry && desired.grant_operator && ours,
                || format!("{}: not asked for", step.action),
            );
        }
        AzureAction::CreateEndpoint {
            id,
            subnet,
            target,
            group,
            owner,
            ..
        } => {
            let wanted = desired.endpoints.iter().any(|place| {
                let name = sreg_domain::naming::endpoint_name(target, &place.subnet, *group);
                place.subnet == *subnet
                    && place
                        .resource_group
                        .provider("Microsoft.Network/privateEndpoints", &name)
                        == *id
            });
            let needed = proof::needed(desired, seen)
                .map_or(*target == desired.registry, |n| n.contains(&(*group, target.clone())))
                || azure.storage.contains_key(target)
                || azure.container_registries.contains_key(target);
            let absent = azure.endpoints.get(id).is_some_and(Fact::is_absent);
            lint.demand(
                "ownership",
                wanted && needed && absent && *owner == desired.owner,
                || format!("{}: not wanted, or something is there already", step.action),
            );
        }
        AzureAction::DeleteEndpoint { id, owner } => {
            let ours = azure
                .endpoints
                .get(id)
                .and_then(Fact::seen)
                .is_some_and(|e| e.owner.as_ref() == Some(&desired.owner));
            lint.demand("ownership", ours && *owner == desired.owner, || {
                format!("{}: does not carry our mark", step.action)
            });
        }
        AzureAction::CreateZone { id, .. } => {
            let wanted = desired
                .endpoints
                .iter()
                .any(|p| p.dns.mode == sreg_api::registry::DnsMode::Managed && p.dns.zones.values().any(|z| z == id));
            let absent = azure.zones.get(id).is_some_and(Fact::is_absent);
            lint.demand("ownership", wanted && absent, || {
                format!("{}: not ours to create, or not known to be absent", step.action)
            });
        }
        AzureAction::LinkZone {
            id, virtual_network, ..
        } => {
            let zone = id.parent();
            let wanted = desired.endpoints.iter().any(|p| {
                p.dns.is_ours()
                    && p.dns.links.contains(virtual_network)
                    && p.dns.zones.values().any(|z| Some(z) == zone.as_ref())
            });
            lint.demand("ownership", wanted, || format!("{}: not to be linked", step.action));
        }
        AzureAction::PutZoneGroup { id, zones } => {
            let places = &desired.endpoints;
            let wanted = zones.iter().all(|zone| {
                places
                    .iter()
                    .any(|p| p.dns.is_ours() && p.dns.zones.values().any(|z| z == zone))
            });
            lint.demand("ownership", wanted && zone_group_is_ours(lint, id), || {
                format!("{}: not ours", step.action)
            });
        }
        AzureAction::DeleteZoneGroup { id } => {
            lint.demand("ownership", zone_group_is_ours(lint, id), || {
                format!("{}: not ours", step.action)
            });
        }
        AzureAction::Edit { id, edit, .. } => edits(lint, step, id, edit),
    }
}

/// Our reserved name below an endpoint that carries our mark.
fn zone_group_is_ours(lint: &Lint<'_>, id: &ArmId) -> bool {
    let endpoint = id
        .parent()
        .and_then(|parent| lint.seen.azure.endpoints.get(&parent))
        .and_then(Fact::seen);
    id.name() == ZONE_GROUP && endpoint.is_some_and(|e| e.owner.as_ref() == Some(&lint.desired.owner))
}

fn edits(lint: &mut Lint<'_>, step: &Step, id: &ArmId, edit: &Edit) {
    let azure = &lint.seen.azure;
    let ours = match edit {
        Edit::Close | Edit::Restore(_) | Edit::Open => {
            let read = (*id == lint.desired.registry && azure.registry.seen().is_some())
                || azure.storage.get(id).and_then(Fact::seen).is_some()
                || azure.container_registries.get(id).and_then(Fact::seen).is_some();
            let named = azure.registry.seen().is_some_and(|r| {
                r.id == *id
                    || r.regions.iter().any(|region| {
                        region
                            .storage
                            .iter()
                            .chain(&region.container_registries)
                            .flatten()
                            .any(|t| t == id)
                    })
            });
            read && named
        }
        Edit::AllowResource { resource, .. } => {
            let read = azure.shared_storage.get(id).and_then(Fact::seen).is_some();
            *resource == lint.desired.registry && lint.desired.sharing.contains(id) && read
        }
    };
    lint.demand("ownership", ours, || {
        format!("{}: not a target of this registry, or not read", step.action)
    });
}
