//! What would be refused anyway. Deny assignments on the managed resource group are read before anything is attempted there;
//! listing the operator's principal in `assignedIdentities` exempts it (azure.md §1.6). Rights are looked at before the first write
//! that changes names for anybody: all that are missing anywhere are told at once, and nothing is half built without them.

use std::collections::BTreeMap;

use sreg_api::registry::DnsMode;
use sreg_domain::rights::{self, Place};
use sreg_domain::target::row;
use sreg_domain::{ArmId, Fact, TargetKind};

use crate::contribution::Held;
use crate::endpoints::{Wanted, WantedEndpoints};
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::view::{View, WholeView, not_known};

/// Rights by scope, and the role that holds them.
type Needed = BTreeMap<ArmId, (Place, Vec<&'static str>)>;

/// Holds what builds while a right is missing that something later would need. Once something is closed, or is open to nobody but
/// through what is repaired here, each write is tried by itself.
pub(crate) fn hold(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, steps: Vec<Step>) -> Held {
    let mut held = Held::free(steps);
    let changes_names = held.free.iter().any(|step| step.action.changes_names());
    if view.desired.observe_only || view.any_closed() || !changes_names {
        return held;
    }
    let mut missing: Needed = BTreeMap::new();
    for (scope, (place, actions)) in needed(view, wanted) {
        match view.seen.azure.rights.get(&scope) {
            Some(Fact::Seen(permissions)) => {
                let lacking: Vec<&str> = actions.into_iter().filter(|a| !permissions.allow(a)).collect();
                if !lacking.is_empty() {
                    missing.insert(scope, (place, lacking));
                }
            }
            Some(Fact::Unknown(why)) => held.said.find(
                FindingReason::RightsNotKnown,
                format!(
                    "whether the operator's identity has the rights that it needs on {scope} could not be told ({}): going on without",
                    why.message
                ),
            ),
            Some(Fact::Absent) | None => {}
        }
    }
    if !missing.is_empty() {
        // Azure's own creation of the registry and our exemption in it are what rights may come from.
        held.back = std::mem::take(&mut held.free);
        held.moot = Some(WaitReason::ResourceBusy);
        held.said
            .waiting(WaitReason::PermissionStalled, lacking(view, &missing));
    }
    held
}

fn lacking(view: &WholeView<'_>, missing: &Needed) -> String {
    let grants: Vec<String> = missing
        .iter()
        .map(|(scope, (place, actions))| grant(view, *place, scope, actions))
        .collect();
    format!(
        "the operator's identity lacks rights, and nothing is built before it has them; grant the roles of deploy/azure: {}",
        grants.join("; ")
    )
}

/// What gives the operator's identity the rights that it lacks somewhere.
fn grant(view: &View<'_>, place: Place, scope: &ArmId, actions: &[&str]) -> String {
    let principal = view.seen.azure.principal.seen();
    format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type ServicePrincipal --role \"{}\" --scope {scope} (lacks {})",
        principal.map_or("OBJECT_ID", |p| p.object_id.as_str()),
        place.role(),
        actions.join(", ")
    )
}

/// Why an endpoint cannot go as a whole: the right to delete it, or its zone group where it has one of ours, is known to be missing.
/// What is not known is tried.
pub(crate) fn may_not_remove(view: &View<'_>, endpoint: &ArmId, has_zone_group: bool) -> Option<Wait> {
    let group = endpoint.resource_group_id()?;
    let permissions = view.seen.azure.rights.get(&group)?.seen()?;
    let deletes = rights::of(Place::Endpoints).map(|right| right.action);
    let lacking: Vec<&str> = deletes
        .filter(|action| action.ends_with("/delete") && !permissions.allow(action))
        .filter(|action| has_zone_group || !action.contains("/privateDnsZoneGroups/"))
        .collect();
    (!lacking.is_empty()).then(|| Wait::new(WaitReason::PermissionStalled, format!(
            "private endpoint {} cannot be removed: the operator's identity lacks the rights for that, and nothing of it is removed meanwhile; grant them: {}; or delete it by hand: az network private-endpoint delete --ids {endpoint}",
            endpoint.name(),
            grant(view, Place::Endpoints, &group, &lacking)
        )))
}

/// Every right that the way from here to the lock needs, by scope. What only reads shows by itself that it may not.
fn needed(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Needed {
    let mut needed: Needed = BTreeMap::new();
    let mut add = |scope: Option<ArmId>, place: Place, wants: &dyn Fn(&str) -> bool| {
        let Some(scope) = scope else { return };
        let actions = rights::of(place)
            .filter(|r| !r.only_reads() && wants(r.action))
            .map(|r| r.action);
        let (_, listed) = needed.entry(scope).or_insert_with(|| (place, Vec::new()));
        for action in actions {
            if !listed.contains(&action) {
                listed.push(action);
            }
        }
    };
    let approves = |action: &str| action.ends_with("privateEndpointConnectionsApproval/action");
    let automatic = wanted.all.iter().any(|w| w.place.manual_request.is_none());
    let targets = |action: &str| automatic || !approves(action);
    add(Some(view.desired.registry.clone()), Place::Registry, &targets);
    if !comes_with_the_exemption(view) {
        let managed = view.registry().and_then(|r| r.managed_resource_group.clone());
        add(managed, Place::ManagedGroup, &targets);
    }
    for place in &view.spec.endpoints {
        let ours = place.dns.is_ours();
        let endpoints = |action: &str| ours || !action.contains("/privateDnsZoneGroups/");
        add(Some(place.resource_group.clone()), Place::Endpoints, &endpoints);
        add(Some(place.subnet.clone()), Place::Networks, &|action| {
            action.ends_with("/subnets/join/action")
        });
        if !ours {
            continue;
        }
        for network in &place.dns.links {
            add(Some(network.clone()), Place::Networks, &|action| {
                action.ends_with("/virtualNetworks/join/action")
            });
        }
        for zone in place.dns.zones.values() {
            match place.dns.mode {
                DnsMode::Managed => add(zone.resource_group_id(), Place::Zones, &|_| true),
                DnsMode::Existing | DnsMode::Policy | DnsMode::External => {
                    add(Some(zone.clone()), Place::Zones, &|action| {
                        !action.ends_with("/privateDnsZones/write")
                    });
                }
            }
        }
    }
    needed
}

/// Our principal is about to be listed in `assignedIdentities`, from which its rights on the managed resource group come.
fn comes_with_the_exemption(view: &WholeView<'_>) -> bool {
    let principal = view.seen.azure.principal.seen().map(|p| p.object_id.as_str());
    let listed = |r: &&sreg_domain::seen::RegistryDetails| {
        r.assigned_identities
            .iter()
            .any(|i| principal.is_some_and(|p| p.eq_ignore_ascii_case(i)))
    };
    view.spec.grant_operator && view.registry().filter(listed).is_none()
}

/// Whether an attempt would be refused.
pub(crate) enum Verdict {
    Free,
    Denied(Wait),
    NotKnown(Wait),
}

/// Whether an endpoint may be connected to its target. A manual request is approved by somebody else.
pub(crate) fn may_connect(view: &WholeView<'_>, wanted: &Wanted<'_>) -> Verdict {
    let resource_type = row(wanted.group.target()).resource_type;
    let action = format!("{resource_type}/PrivateEndpointConnectionsApproval/action");
    if wanted.place.manual_request.is_some() {
        return Verdict::Free;
    }
    verdict(
        view,
        wanted.target,
        &action,
        &format!("private endpoint {} on", wanted.label()),
    )
}

/// Whether a target's network settings may be written.
pub(crate) fn may_write(view: &WholeView<'_>, target: TargetKind, id: &ArmId) -> Verdict {
    verdict(view, id, &format!("{}/write", row(target).resource_type), "closing")
}

fn verdict(view: &WholeView<'_>, target: &ArmId, action: &str, what: &str) -> Verdict {
    let managed = view.registry().and_then(|r| r.managed_resource_group.as_ref());
    let inside = managed.is_none_or(|group| target.resource_group_id().as_ref() == Some(group));
    if *target == view.desired.registry || !inside {
        return Verdict::Free;
    }
    let assignments = match &view.seen.azure.deny_assignments {
        Fact::Seen(assignments) => assignments.as_slice(),
        Fact::Absent => &[],
        unknown => return Verdict::NotKnown(not_known("deny assignments of the managed resource group", unknown)),
    };
    if assignments.is_empty() {
        return Verdict::Free;
    }
    let principal = match &view.seen.azure.principal {
        Fact::Seen(principal) => principal,
        unknown @ (Fact::Absent | Fact::Unknown(_)) => {
            return Verdict::NotKnown(not_known("our own principal in Azure", unknown));
        }
    };
    match assignments.iter().find(|a| a.denies(&principal.object_id, action)) {
        None => Verdict::Free,
        Some(assignment) => Verdict::Denied(Wait::new(
            WaitReason::DenyAssignmentStalled,
            format!(
                "{what} {} is forbidden by the deny assignment {:?} ({action}): set spec.registry.managedResourceGroupAccess: GrantOperator, or list principal {} in managedResourceGroupSettings.assignedIdentities",
                target.name(),
                assignment.name,
                principal.object_id
            ),
        )),
    }
}
