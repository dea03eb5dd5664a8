//! What would be refused anyway. Deny assignments are read before anything is attempted: those that Azure keeps on the managed resource
//! group, from which listing the operator's principal in `assignedIdentities` exempts it (azure.md §1.6), and those that a deployment stack
//! or somebody else has set on the registry, its accounts, where the endpoints stand, or the zones. Rights are looked at before the first
//! write that changes names for anybody, and before the first that closes: all that are missing anywhere are told at once, and nothing is
//! half built or closed without them.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::names::ZONE_GROUP;
use sreg_api::registry::DnsMode;
use sreg_domain::outside::word;
use sreg_domain::rights::{self, Place};
use sreg_domain::seen::DenyAssignment;
use sreg_domain::target::row;
use sreg_domain::{ArmId, Fact, TargetKind};

use crate::contribution::{Contribution, Held};
use crate::endpoints::{WantedEndpoint, WantedEndpoints};
use crate::plan::{FindingReason, Step, Wait, WaitReason};
use crate::view::{View, WholeView, look_up, not_known};

/// Rights by scope and by the role that holds them.
type Needed = BTreeMap<(ArmId, Place), Vec<&'static str>>;

/// Holds what builds while a right is missing that something later would need. Once something is closed, or is open to nobody but
/// through what is repaired here, each write is tried by itself.
pub(crate) fn hold(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>, steps: Vec<Step>) -> Held {
    let mut held = Held::free(steps);
    let changes_names = held.free.iter().any(|step| step.action.changes_names());
    if view.desired.observe_only || view.any_closed() || !changes_names {
        return held;
    }
    let mut needed = needed(view, wanted);
    // A lock that only comes back takes away what was let in again: each write of it is tried by itself.
    if !view.last().relocks(false) {
        for (scope, actions) in to_put_back(view, &mut held.said) {
            needed.entry(scope).or_default().extend(actions);
        }
    }
    let missing = missing(view, needed, &mut held.said);
    if !missing.is_empty() {
        // Azure's own creation of the registry and our exemption in it are what rights may come from.
        held.back = std::mem::take(&mut held.free);
        held.moot = Some(WaitReason::ResourceBusy);
        let said = lacking(view, &missing, "built");
        held.said.waiting(WaitReason::PermissionStalled, said);
    }
    held
}

/// Why nothing is closed: a right to close, to open again or to put rules back is known to be missing. Where all that the lock needs
/// stands already, no change of names comes before it. A lock that only comes back is not held by this: each write is tried by itself.
pub(crate) fn may_not_close(view: &WholeView<'_>, so_far: &Contribution) -> Contribution {
    let mut said = Contribution::default();
    let is_told = so_far
        .waits
        .iter()
        .any(|wait| wait.reason == WaitReason::PermissionStalled);
    if is_told || view.any_closed() || view.last().relocks(false) {
        return said;
    }
    let mut needed = to_put_back(view, &mut said);
    let mut add = |scope: ArmId, place: Place| {
        let actions = rights::of(place).map(|r| r.action).filter(|action| !approves(action));
        needed.insert((scope, place), actions.collect());
    };
    add(view.desired.registry.clone(), Place::Registry);
    let managed = view.registry().and_then(|r| r.managed_resource_group.clone());
    if let Some(managed) = managed.filter(|_| !comes_with_the_exemption(view)) {
        add(managed, Place::ManagedGroup);
    }
    let missing = missing(view, needed, &mut said);
    if !missing.is_empty() {
        said.waiting(WaitReason::PermissionStalled, lacking(view, &missing, "closed"));
    }
    said
}

fn approves(action: &str) -> bool {
    action.ends_with("privateEndpointConnectionsApproval/action")
}

/// Rights to put subnet rules back that the lock takes away: whoever made them may be somebody else, with rights of their own. Of hundreds
/// one finding tells. Nobody is told to give a role on what no grant covers.
fn to_put_back(view: &WholeView<'_>, said: &mut Contribution) -> Needed {
    let open = view.access.iter().filter(|access| access.closed == Some(false));
    let open = open.filter_map(|access| view.seen.azure.targets.get(&access.id).seen());
    let subnets = open.flat_map(|target| &target.virtual_network_rules);
    let subnets: BTreeSet<ArmId> = subnets.filter_map(|subnet| subnet.parse().ok()).collect();
    let (subnets, foreign): (Vec<ArmId>, Vec<ArmId>) = subnets
        .into_iter()
        .partition(|subnet| view.desired.grants.allow_network(subnet));
    let ignorance = |subnet: &ArmId| view.seen.azure.rights.get(subnet)?.ignorance();
    let (unknown, known): (Vec<ArmId>, Vec<ArmId>) =
        subnets.into_iter().partition(|subnet| ignorance(subnet).is_some());
    let why = unknown.first().and_then(ignorance).map(|why| why.message.as_str());
    for (subnets, why, help) in [
        (
            &foreign,
            "not looked at: no grant covers them",
            "an administrator can add their virtual networks to a RegistryGrant: kubectl edit registrygrant NAME",
        ),
        (
            &unknown,
            why.unwrap_or_default(),
            "one that cannot be put back then is named by the step that opens",
        ),
    ] {
        if !subnets.is_empty() {
            said.find(FindingReason::RightsNotKnown, not_told(subnets, why, help));
        }
    }
    known
        .into_iter()
        .map(|subnet| ((subnet, Place::Networks), vec![rights::JOIN_VIA_SERVICE_ENDPOINT]))
        .collect()
}

/// How many subnets a finding names.
const NAMED: usize = 3;

fn not_told(subnets: &[ArmId], why: &str, help: &str) -> String {
    let named: Vec<&str> = subnets.iter().take(NAMED).map(ArmId::as_str).collect();
    let more = match subnets.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "whether the operator's identity may put back rules of firewalls that name subnets ({}) could not be told for {}{more} ({why}): going on without; {help}",
        rights::JOIN_VIA_SERVICE_ENDPOINT,
        named.join(", ")
    )
}

/// Which of the rights are known to be missing. What could not be looked at is said, and tried.
fn missing(view: &View<'_>, needed: Needed, said: &mut Contribution) -> Needed {
    let mut missing: Needed = BTreeMap::new();
    for ((scope, place), actions) in needed {
        match view.seen.azure.rights.get(&scope) {
            Some(Fact::Seen(permissions)) => {
                let lacking: Vec<&str> = actions.into_iter().filter(|a| !permissions.allow(a)).collect();
                if !lacking.is_empty() {
                    missing.insert((scope, place), lacking);
                }
            }
            Some(Fact::Unknown(why)) => said.find(
                FindingReason::RightsNotKnown,
                format!(
                    "whether the operator's identity has the rights that it needs on {scope} could not be told ({}): going on without",
                    why.message
                ),
            ),
            Some(Fact::Absent) | None => {}
        }
    }
    missing
}

fn lacking(view: &View<'_>, missing: &Needed, done: &str) -> String {
    let grants: Vec<String> = missing
        .iter()
        .map(|((scope, place), actions)| grant(view, *place, scope, actions))
        .collect();
    format!(
        "the operator's identity lacks rights, and nothing is {done} before it has them; grant the roles of deploy/azure: {}",
        grants.join("; ")
    )
}

/// What gives the operator's identity the rights that it lacks somewhere.
fn grant(view: &View<'_>, place: Place, scope: &ArmId, actions: &[&str]) -> String {
    let principal = view.seen.azure.principal.seen();
    format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type ServicePrincipal --role \"{}\" --scope {} (lacks {})",
        word(principal.map_or("OBJECT_ID", |p| p.object_id.as_str())),
        place.role(),
        word(scope),
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
            "private endpoint {} cannot be removed: the operator's identity lacks the rights for that, and nothing of it is removed meanwhile; grant them: {}; or delete it by hand: az network private-endpoint delete --ids {}",
            endpoint.name(),
            grant(view, Place::Endpoints, &group, &lacking),
            word(endpoint)
        )))
}

/// Why an endpoint cannot go as a whole: a deny assignment forbids deleting it, or its zone group where it has one of ours.
pub(crate) fn is_denied_removal(view: &View<'_>, endpoint: &ArmId, has_zone_group: bool) -> Option<Wait> {
    let group = endpoint.resource_group_id()?;
    let zone_group = endpoint.child("privateDnsZoneGroups", ZONE_GROUP);
    let of_zone_group = || denied(view, &group, &zone_group, REMOVING_RECORDS).filter(|_| has_zone_group);
    let denial = denied(view, &group, endpoint, REMOVING).or_else(of_zone_group)?;
    Some(Wait::new(
        WaitReason::DenyAssignmentStalled,
        format!(
            "private endpoint {} cannot be removed: {} forbids it, and nothing of it is removed meanwhile; {}",
            endpoint.name(),
            denial_named(denial),
            exemption(view, denial)
        ),
    ))
}

/// Why nobody knows that, if so.
pub(crate) fn unread_denials_of_removal(view: &View<'_>, endpoint: &ArmId) -> Option<Wait> {
    let group = endpoint.resource_group_id()?;
    unread_denials(view, &group, endpoint, REMOVING)
}

/// Every right that the way from here to the lock needs, by scope. Those to read too: to whoever may not, a list may come short.
fn needed(view: &WholeView<'_>, wanted: &WantedEndpoints<'_>) -> Needed {
    let mut needed: Needed = BTreeMap::new();
    let mut add = |scope: Option<ArmId>, place: Place, wants: &dyn Fn(&str) -> bool| {
        let Some(scope) = scope else { return };
        let actions = rights::of(place).map(|r| r.action).filter(|action| wants(action));
        let listed = needed.entry((scope, place)).or_default();
        for action in actions {
            if !listed.contains(&action) {
                listed.push(action);
            }
        }
    };
    let automatic = wanted.all.iter().any(|w| w.place.manual_request.is_none());
    let targets = |action: &str| automatic || !approves(action);
    add(Some(view.desired.registry.clone()), Place::Registry, &targets);
    if !comes_with_the_exemption(view) {
        let managed = view.registry().and_then(|r| r.managed_resource_group.clone());
        add(managed, Place::ManagedGroup, &targets);
    }
    for place in &view.spec.endpoints {
        let ours = place.dns.is_ours();
        let endpoints = |action: &str| ours || action.ends_with("/read") || !action.contains("/privateDnsZoneGroups/");
        add(Some(place.resource_group.clone()), Place::Endpoints, &endpoints);
        add(Some(place.subnet.clone()), Place::Networks, &|action| {
            action.ends_with("/subnets/join/action") || action.ends_with("/read")
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
    // Where policies are looked for: those that would forbid opening again, or removing an endpoint.
    let groups = view.spec.endpoints.iter().map(|place| &place.resource_group);
    for scope in groups.chain([&view.desired.registry]) {
        add(Some(scope.subscription_id()), Place::Subscription, &|action| {
            action.starts_with("Microsoft.Authorization/policy")
        });
    }
    for subscription in view.desired.zone_subscriptions() {
        add(Some(subscription), Place::Subscription, &|action| {
            action.contains("/privateDnsZones/")
        });
    }
    needed
}

/// Our principal is about to be listed in `assignedIdentities`, from which its rights on the managed resource group come.
fn comes_with_the_exemption(view: &View<'_>) -> bool {
    let principal = view.seen.azure.principal.seen().map(|p| p.object_id.as_str());
    let listed = |r: &&sreg_domain::seen::RegistryDetails| {
        r.assigned_identities
            .iter()
            .any(|i| principal.is_some_and(|p| p.eq_ignore_ascii_case(i)))
    };
    view.whole().is_some_and(|whole| whole.spec.grant_operator) && view.registry().filter(listed).is_none()
}

/// Whether an attempt would be refused.
pub(crate) enum Permission {
    Free,
    Denied(Wait),
    NotKnown(Wait),
}

/// Whether an endpoint may be made and connected to its target. A manual request is approved by somebody else.
pub(crate) fn may_connect<'v>(view: &'v WholeView<'_>, wanted: &'v WantedEndpoint<'_>) -> Permission {
    let resource_type = row(wanted.group.target()).resource_type;
    let approval = &format!("{resource_type}/PrivateEndpointConnectionsApproval/action");
    let label = wanted.label();
    let group = &wanted.place.resource_group;
    // Building goes on while our exemption is on its way: only the connection needs it.
    let denied = |listed_at: &ArmId, id: &'v ArmId, action: &str| {
        denials(view, listed_at, id, action.to_owned(), true).find_map(|(denial, certain)| certain.then_some(denial))
    };
    if let Some(denial) = denied(group, &wanted.id, MAKING) {
        return Permission::Denied(refused(view, &label, denial, MAKING));
    }
    if wanted.place.manual_request.is_some() {
        return Permission::Free;
    }
    if let Some(denial) = denied(wanted.target, wanted.target, approval) {
        let what = format!("{label} on {}", wanted.target.name());
        return Permission::Denied(refused(view, &what, denial, approval));
    }
    // Azure keeps one on the managed resource group (azure.md §1.6). Elsewhere what is not known is tried.
    let managed = view.registry().and_then(|r| r.managed_resource_group.as_ref());
    let inside = managed.is_none_or(|group| wanted.target.resource_group_id().as_ref() == Some(group));
    match unread_denials(view, wanted.target, wanted.target, approval) {
        Some(wait) if inside && *wanted.target != view.desired.registry => Permission::NotKnown(wait),
        Some(_) | None => Permission::Free,
    }
}

fn refused(view: &View<'_>, what: &str, denial: &DenyAssignment, action: &str) -> Wait {
    Wait::new(
        WaitReason::DenyAssignmentStalled,
        format!(
            "private endpoint {what} is forbidden by {} ({action}): {}",
            denial_named(denial),
            exemption(view, denial)
        ),
    )
}

/// The action of a write to a target's network settings.
pub(crate) fn writing(target: TargetKind) -> String {
    format!("{}/write", row(target).resource_type)
}

const REMOVING: &str = "Microsoft.Network/privateEndpoints/delete";
const REMOVING_RECORDS: &str = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/delete";
const MAKING: &str = "Microsoft.Network/privateEndpoints/write";

/// Deny assignments, as they were listed at a scope, that forbid us an action on a resource (`true`), or may. Those that are about to
/// exempt us count, unless what is asked for may come before the exemption.
pub(crate) fn denials<'v>(
    view: &'v View<'_>,
    listed_at: &ArmId,
    id: &'v ArmId,
    action: String,
    before_the_exemption: bool,
) -> impl Iterator<Item = (&'v DenyAssignment, bool)> {
    let listed = view.seen.azure.deny_assignments.get(listed_at).and_then(Fact::seen);
    let us = view.seen.azure.principal.seen();
    let exempting = before_the_exemption && comes_with_the_exemption(view);
    let over = listed.into_iter().flatten();
    let over = over.filter(move |denial| denial.covers(id) && !(exempting && is_managed(view, denial)));
    over.filter_map(move |denial| match denial.forbids(&us?.object_id, &action) {
        Some(true) => Some((denial, true)),
        Some(false) => None,
        None => Some((denial, false)),
    })
}

/// One that is known to forbid it.
pub(crate) fn denied<'v>(
    view: &'v View<'_>,
    listed_at: &ArmId,
    id: &'v ArmId,
    action: &str,
) -> Option<&'v DenyAssignment> {
    denials(view, listed_at, id, action.to_owned(), false).find_map(|(denial, certain)| certain.then_some(denial))
}

/// Why nobody knows whether one forbids an action there, if so.
pub(crate) fn unread_denials(view: &View<'_>, listed_at: &ArmId, id: &ArmId, action: &str) -> Option<Wait> {
    let nobody = Fact::not_read("nobody looked for them yet");
    let listed = look_up(&view.seen.azure.deny_assignments, listed_at, &nobody);
    if listed.ignorance().is_some() {
        return Some(not_known(&format!("deny assignments on {listed_at}"), listed));
    }
    let mut over = listed.seen().into_iter().flatten();
    let concerns = over.any(|denial| denial.covers(id) && denial.is_about(action));
    let principal = &view.seen.azure.principal;
    (concerns && principal.seen().is_none()).then(|| not_known("our own principal in Azure", principal))
}

/// Azure keeps it on the managed resource group, where the registry says whom it exempts.
fn is_managed(view: &View<'_>, denial: &DenyAssignment) -> bool {
    let managed = view.registry().and_then(|r| r.managed_resource_group.as_ref());
    let scope: Option<ArmId> = denial.scope.parse().ok();
    let inside = |group: &ArmId| scope.as_ref().and_then(ArmId::resource_group_id).as_ref() == Some(group);
    stack(denial).is_none() && managed.is_some_and(inside)
}

/// The deployment stack that set it, as its name tells.
fn stack(denial: &DenyAssignment) -> Option<&str> {
    let (_, stack) = denial.name.split_once("Deployment Stack")?;
    Some(stack.trim_matches([' ', '\'', '"', '.']))
}

/// Which it is.
pub(crate) fn denial_named(denial: &DenyAssignment) -> String {
    format!("the deny assignment {:?} on {}", denial.name, denial.scope)
}

/// What helps against it: no right does.
pub(crate) fn exemption(view: &View<'_>, denial: &DenyAssignment) -> String {
    let principal = view.seen.azure.principal.seen();
    let principal = principal.map_or("OBJECT_ID", |p| p.object_id.as_str());
    match stack(denial) {
        _ if is_managed(view, denial) && comes_with_the_exemption(view) => format!(
            "spec.registry.managedResourceGroupAccess: GrantOperator is to list principal {principal} in managedResourceGroupSettings.assignedIdentities, and it is not listed there yet; where that write waits or is refused, status says why"
        ),
        _ if is_managed(view, denial) => format!(
            "set spec.registry.managedResourceGroupAccess: GrantOperator, or list principal {principal} in managedResourceGroupSettings.assignedIdentities"
        ),
        Some(stack) if stack.starts_with('/') => format!(
            "no right helps; whoever owns the deployment stack (az resource show --ids {}) deploys it again with --deny-settings-excluded-principals {}",
            word(stack),
            word(principal)
        ),
        Some(_) | None => format!(
            "no right helps; whoever made it exempts principal {principal}; see who that is: az rest --method get --url {}",
            word(&format!("{}?api-version=2022-04-01", denial.id))
        ),
    }
}
