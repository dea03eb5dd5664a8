//! No step names a resource that is not ours, and none rests on something that could not be read.

use sreg_api::names::{CLAIM_TAG, CREATED_TAG, OWNER_TAG, ZONE_GROUP};
use sreg_api::registry::DnsMode;
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::desired::EndpointPlace;
use sreg_domain::seen::{Coverage, EndpointSeen, IgnoranceKind, RegistryDetails, ZoneGroupPolicy};
use sreg_domain::{ArmId, AzureAction, Desired, Digest, Edit, EndpointGroup, Fact, Seen, naming};

use super::{Lint, azure, people, proof};
use crate::plan::Step;
use crate::removal;

pub(super) fn check(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    for step in plan.steps() {
        if let Some(action) = azure(step) {
            one(lint, step, action);
        }
    }
}

/// Somebody makes an endpoint's names: we, whoever was told to, or a policy that is seen. Where something is closed it is made anyway.
fn gets_names(lint: &Lint<'_>, (id, subnet, group): (&ArmId, &ArmId, EndpointGroup)) -> bool {
    let zone = lint.desired.cloud.zone(group);
    let makes = |p: &ZoneGroupPolicy| {
        let named = p.zone.as_ref().is_none_or(|z| z.name().eq_ignore_ascii_case(&zone));
        p.covers == Coverage::Yes && named
    };
    let policies = lint.seen.azure.zone_group_policies.get(id).and_then(Fact::seen);
    let mut places = lint.desired.endpoints().iter().filter(|p| p.subnet == *subnet);
    proof::closedness(lint.seen).is_none_or(|all| all.values().any(|closed| *closed == Some(true)))
        || policies.is_some_and(|all| all.iter().any(makes))
        || places.all(|p| p.dns.mode != DnsMode::Policy || p.dns.policies_assumed)
}

fn one(lint: &mut Lint<'_>, step: &Step, action: &AzureAction) {
    let (desired, seen) = (lint.desired, lint.seen);
    let azure = &seen.azure;
    let spec = desired.whole();
    match action {
        AzureAction::CreateRegistry {
            id, locations, tags, ..
        } => {
            let may = *id == desired.registry
                && proof::is_gone(desired, seen)
                && spec.is_some_and(|s| s.create.as_ref() == Some(locations));
            lint.demand("ownership", may, || {
                format!(
                    "{}: the registry exists, may exist, or is not to be created",
                    step.action
                )
            });
            lint.demand("ownership", people::is_marked_as_made(desired, seen, tags), || {
                format!("{}: the claim does not say so yet", step.action)
            });
        }
        AzureAction::SetTags { id, tags, removed, .. } => {
            let mark = desired.claim_mark().to_string();
            let is_ours = |key: &str, value: &String| match key {
                CLAIM_TAG => *value == mark,
                _ if key.eq_ignore_ascii_case(CREATED_TAG) => false,
                _ => spec.is_some_and(|s| s.tags.contains_key(key)),
            };
            let names_us = |found: ClaimMark| found.has_name_of(&desired.claim_mark());
            let held = azure
                .registry_details()
                .and_then(|r| ClaimMark::of(&desired.registry, &r.tags))
                .is_some_and(names_us);
            let goes = removed.is_empty() || (*removed == [CLAIM_TAG] && held && seen.object.deleting);
            let keys = tags.iter().all(|(key, value)| is_ours(key, value)) && goes;
            lint.demand(
                "ownership",
                *id == desired.registry && azure.registry().seen().is_some() && keys,
                || format!("{}: not our tags", step.action),
            );
        }
        AzureAction::GrantManagedGroupAccess { id, principal, .. } => {
            let ours = azure.principal.seen().is_some_and(|p| p.object_id == *principal);
            lint.demand(
                "ownership",
                *id == desired.registry && spec.is_some_and(|s| s.grant_operator) && ours,
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
            let wanted = desired.endpoints().iter().any(|place| {
                place.subnet == *subnet
                    && id.resource_group_id().as_ref() == Some(&place.resource_group)
                    && id.key().ends_with(&hash_of(target, subnet, group.group_id()))
                    && endpoint_of(desired, seen, place, *group, target).is_none()
            });
            let needed = proof::needed(desired, seen)
                .map_or(*target == desired.registry, |n| n.contains(&(*group, target.clone())))
                || (*target != desired.registry && azure.targets.contains(target));
            let absent = azure.endpoints.get(id).is_some_and(Fact::is_absent);
            lint.demand(
                "ownership",
                wanted && needed && absent && *owner == desired.owner,
                || format!("{}: not wanted, or something is there already", step.action),
            );
            lint.demand("names", gets_names(lint, (id, subnet, *group)), || {
                format!(
                    "{}: its names are for a policy to make, and none is seen that does",
                    step.action
                )
            });
        }
        AzureAction::DeleteEndpoint { id, owner } => {
            let endpoint = azure.endpoints.get(id).and_then(Fact::seen);
            let ours = endpoint.is_some_and(|e| is_ours_to_delete(lint, e));
            lint.demand("ownership", ours && *owner == desired.owner, || {
                format!(
                    "{}: does not carry our tag and our name, or leads elsewhere",
                    step.action
                )
            });
        }
        AzureAction::MergeTags { id, tags, owner } => {
            let known = |key: &String, value: &String| match key.as_str() {
                OWNER_TAG => value == owner,
                _ => desired.endpoints().iter().any(|p| p.tags.get(key) == Some(value)),
            };
            let may =
                *owner == desired.owner && tags.iter().all(|(key, value)| known(key, value)) && may_be_tagged(lint, id);
            lint.demand("ownership", may, || format!("{}: not ours to tag", step.id));
        }
        AzureAction::CreateZone { id, .. } => {
            let wanted = desired
                .endpoints()
                .iter()
                .any(|p| p.dns.mode == DnsMode::Managed && p.dns.zones.values().any(|z| z == id));
            let absent = azure.zones.get(id).is_some_and(Fact::is_absent);
            lint.demand("ownership", wanted && absent, || {
                format!("{}: not ours to create, or not known to be absent", step.action)
            });
        }
        AzureAction::LinkZone {
            id, virtual_network, ..
        } => {
            let zone = id.parent();
            let wanted = desired.endpoints().iter().any(|p| {
                p.dns.is_ours()
                    && p.dns.links.contains(virtual_network)
                    && p.dns.zones.values().any(|z| Some(z) == zone.as_ref())
            });
            let there = zone
                .as_ref()
                .and_then(|zone| azure.zones.get(zone)?.seen()?.links.seen());
            let theirs = there.into_iter().flatten().any(|link| {
                let tag = naming::owner_in(&link.tags);
                link.id == *id && tag.is_some_and(|tag| tag != desired.owner)
            });
            lint.demand("ownership", wanted && !theirs, || {
                format!("{}: not to be linked, or another object's link", step.action)
            });
        }
        AzureAction::PutZoneGroup { id, zones, owner } => {
            let places = desired.endpoints();
            let wanted = zones.iter().all(|zone| {
                places
                    .iter()
                    .any(|p| p.dns.is_ours() && p.dns.zones.values().any(|z| z == zone))
            });
            let ours = zone_groups_endpoint(lint, id).is_some_and(|e| is_made_by_us(e, &desired.owner));
            let ours = ours && *owner == desired.owner;
            let back = removal::puts_back(desired, seen, &step.action);
            lint.demand("ownership", (wanted && ours) || back, || {
                format!("{}: not ours", step.action)
            });
        }
        AzureAction::DeleteZoneGroup { id, owner } => {
            let ours = zone_groups_endpoint(lint, id).is_some_and(|e| is_ours_to_delete(lint, e));
            lint.demand("ownership", ours && *owner == desired.owner, || {
                format!(
                    "{}: the endpoint does not carry our tag and our name, or leads elsewhere",
                    step.action
                )
            });
        }
        AzureAction::Edit { id, edit, .. } => edits(lint, step, id, edit),
    }
}

/// Tag and name are ours, and it leads to this registry or an account of it.
fn is_ours_to_delete(lint: &Lint<'_>, endpoint: &EndpointSeen) -> bool {
    endpoint.owner.as_ref() == Some(&lint.desired.owner) && is_named_by_us(endpoint) && leads_here(lint, endpoint)
}

/// Whether it leads to this registry or an account of it: as Azure, the snapshot or the last report says.
fn leads_here(lint: &Lint<'_>, endpoint: &EndpointSeen) -> bool {
    let (desired, azure) = (lint.desired, &lint.seen.azure);
    let Some(target) = &endpoint.target else { return false };
    let kept = lint.seen.cluster.snapshot.seen();
    let kept = kept.is_some_and(|s| s.targets.keys().any(|id| id.to_lowercase() == target.key()));
    let told = lint.seen.object.last.endpoints.iter().any(|e| e.id == endpoint.id);
    let here = *target == desired.registry || azure.accounts_left.contains_key(target);
    here || azure.targets.contains(target) || kept || told
}

/// Whether an endpoint's name ends with the hash of what it leads to and where it stands.
fn is_named_by_us(endpoint: &EndpointSeen) -> bool {
    let (Some(target), Some(subnet), Some(group)) = (&endpoint.target, &endpoint.subnet, &endpoint.group_id) else {
        return false;
    };
    endpoint.id.key().ends_with(&hash_of(target, subnet, group))
}

/// What the name of every endpoint for these three ends with.
fn hash_of(target: &ArmId, subnet: &ArmId, group: &str) -> String {
    let group = group.to_ascii_lowercase();
    let hash = Digest::of_parts([target.key(), subnet.key(), group.as_str()]);
    hash.as_str().get(..10).unwrap_or("none").to_owned()
}

/// The endpoint of a place for a target and group that we made, under whatever name: the one of the place's own naming first.
pub(super) fn endpoint_of<'a>(
    desired: &Desired,
    seen: &'a Seen,
    place: &EndpointPlace,
    group: EndpointGroup,
    target: &ArmId,
) -> Option<&'a EndpointSeen> {
    let named = naming::endpoint_name_at(place, &desired.registry, target, group);
    let serves = |e: &&EndpointSeen| {
        e.target.as_ref() == Some(target)
            && e.subnet.as_ref() == Some(&place.subnet)
            && e.group_id
                .as_deref()
                .is_some_and(|id| id.eq_ignore_ascii_case(group.group_id()))
            && e.id.resource_group_id().as_ref() == Some(&place.resource_group)
            && is_made_by_us(e, &desired.owner)
    };
    let mut all: Vec<&EndpointSeen> = seen
        .azure
        .endpoints
        .values()
        .filter_map(Fact::seen)
        .filter(serves)
        .collect();
    all.sort_by_key(|e| !e.id.name().eq_ignore_ascii_case(&named));
    all.first().copied()
}

/// An endpoint that we made: named by us, with our tag or with nobody's.
pub(super) fn is_made_by_us(endpoint: &EndpointSeen, owner: &String) -> bool {
    is_named_by_us(endpoint) && endpoint.owner.as_ref().is_none_or(|tag| tag == owner)
}

/// The endpoint that a zone group of our reserved name stands below.
fn zone_groups_endpoint<'a>(lint: &'a Lint<'_>, id: &ArmId) -> Option<&'a EndpointSeen> {
    let endpoint = lint.seen.azure.endpoints.get(&id.parent()?)?.seen()?;
    id.name().eq_ignore_ascii_case(ZONE_GROUP).then_some(endpoint)
}

/// An endpoint or link that we made, or a zone with our tag.
fn may_be_tagged(lint: &Lint<'_>, id: &ArmId) -> bool {
    let (owner, azure) = (&lint.desired.owner, &lint.seen.azure);
    let endpoint = azure.endpoints.get(id).and_then(Fact::seen);
    let zone = azure.zones.get(id).and_then(Fact::seen);
    let zones = azure.zones.values().filter_map(Fact::seen);
    let mut links = zones
        .filter_map(|z| z.links.seen())
        .flatten()
        .filter(|link| link.id == *id);
    endpoint.is_some_and(|e| is_made_by_us(e, owner))
        || zone.is_some_and(|z| z.owner.as_ref() == Some(owner))
        || links.any(|link| {
            let tag = naming::owner_in(&link.tags);
            link.id
                .name()
                .eq_ignore_ascii_case(&naming::link_name(&link.virtual_network))
                && tag.is_none_or(|tag| tag == owner)
        })
}

/// The snapshot of this object holds it as an account in the registry's managed group, and the registry's tag named this object when it
/// was read last.
fn is_held_by_snapshot(lint: &Lint<'_>, id: &ArmId) -> bool {
    let (object, last) = (&lint.desired.object, &lint.seen.object.last);
    let name = format!("{}/{}", object.namespace, object.name);
    let claimed = last.claimed_at.is_some() && last.claim_lost_to.is_none();
    let snapshot = lint.seen.cluster.snapshot.seen();
    let snapshot = snapshot.filter(|snapshot| claimed && snapshot.holder == name);
    snapshot.is_some_and(|snapshot| {
        let own = id.resource_group_id().is_some() && id.resource_group_id() == snapshot.managed_resource_group;
        own && snapshot.targets.keys().any(|key| key.eq_ignore_ascii_case(id.key()))
    })
}

fn edits(lint: &mut Lint<'_>, step: &Step, id: &ArmId, edit: &Edit) {
    let azure = &lint.seen.azure;
    let ours = match edit {
        Edit::Close | Edit::Restore(_) | Edit::Open => {
            let read = azure.targets.get(id).seen().is_some();
            let is_registry = azure.registry().seen().is_some_and(|registry| registry.id == *id);
            let named = |r: &RegistryDetails| r.accounts().any(|account| account == id);
            let why = azure.registry().ignorance().map(|why| why.kind);
            let silent = matches!(why, Some(IgnoranceKind::Unreachable | IgnoranceKind::Throttled));
            let known = is_registry || azure.registry_details().is_some_and(named);
            read && (known || (silent && edit.opens() && is_held_by_snapshot(lint, id)))
        }
        Edit::AllowResource { resource, .. } => {
            let read = azure.shared_storage.get(id).and_then(Fact::seen).is_some();
            let behind = id.key().contains("/resourcegroups/azureml-rg-") || azure.targets.contains(id);
            !behind
                && *resource == lint.desired.registry
                && lint.desired.whole().is_some_and(|s| s.sharing.contains(id))
                && read
        }
    };
    lint.demand("ownership", ours, || {
        format!("{}: not a target of this registry, or not read", step.action)
    });
}
