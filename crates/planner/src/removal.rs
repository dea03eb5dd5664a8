//! Removing an endpoint leaves no half. Its zone group and itself go together or stay together: whether both can be deleted is
//! known before the first goes, and where the endpoint stays after all, its zone group is put back. An endpoint whose connection
//! is approved keeps its target's public names private; without the record, networks that are linked get no answer for them.
//!
//! | endpoint and zone group | then |
//! | --- | --- |
//! | Azure is changing one of them | wait |
//! | no grant covers its subnet, its resource group or its zones any more | it stays as it is; who can grant it is named |
//! | a lock on the endpoint, on its network interface, on the zone, on its own record there, on what it is connected to, or above | nothing is removed; the lock is named |
//! | a lock on the zone's SOA, on other people's records there, on its links | nothing of ours: they stay where they are |
//! | whether there are locks could not be read | nothing is removed |
//! | the right to delete one of them is known to be missing | nothing is removed; the right is named |
//! | a deny assignment forbids deleting one of them | nothing is removed; it is named |
//! | a policy with the effect `denyAction` forbids deleting one of them, or may | nothing is removed; it is named |
//! | one of these could not be read | nothing is removed; where a right is missing, the endpoint stays for good |
//! | neither, the zone group is there | it goes first |
//! | neither, the zone group is gone | the endpoint |
//! | the endpoint could not be deleted, may not be, or is locked, and its zone group is gone | the zone group is put back, then it stays |

use sreg_api::names::ZONE_GROUP;
use sreg_domain::grants::where_endpoint_stands;
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, LockSeen, Obstacle};
use sreg_domain::{Action, ArmId, AzureAction, Desired, EndpointGroup, Fact, Grant, Purpose, Seen, StepId, StepKind};

use crate::contribution::azure_step;
use crate::plan::{Step, Wait, WaitReason};
use crate::view::{View, look_up, not_known};
use crate::{attempts, names, preflight};

/// What to do next about an endpoint that is to go.
pub(crate) enum Removal {
    /// This write.
    Next(Box<Step>),
    /// It is half removed and has to stay: this write makes it whole again. Nothing may hold it up.
    PutBack(Box<Step>),
    /// Nothing now.
    Wait(Wait),
    /// It stays, and why.
    Stays(Wait),
}

fn deletion(id: &ArmId) -> StepId {
    StepKind::DeleteEndpoint.on(id.name())
}

fn zone_group(endpoint: &EndpointSeen) -> ArmId {
    endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP)
}

/// Azure is removing it, or its zone group.
pub(crate) fn is_leaving(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> bool {
    let deleting = endpoint.provisioning_state.eq_ignore_ascii_case("Deleting");
    deleting || view.running(id).is_some() || view.running(&zone_group(endpoint)).is_some()
}

/// The next write on the way to an endpoint's end, or why there is none.
pub(crate) fn next(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> Removal {
    let group = zone_group(endpoint);
    if is_leaving(view, id, endpoint) {
        return Removal::Wait(Wait::new(
            WaitReason::OperationInProgress,
            format!("Azure is still removing private endpoint {}", id.name()),
        ));
    }
    if let Some(wait) = ungranted(view, id, endpoint) {
        return Removal::Stays(wait);
    }
    let (whole, zones) = match &endpoint.zone_groups {
        unknown @ Fact::Unknown(_) => {
            return Removal::Wait(not_known(
                &format!("zone groups of private endpoint {}", id.name()),
                unknown,
            ));
        }
        Fact::Seen(groups) => match groups.iter().find(|g| g.id == group) {
            Some(ours) => (true, ours.zones.as_slice()),
            None => (false, &[][..]),
        },
        Fact::Absent => (false, &[][..]),
    };
    let obstacle = match obstacle(view, id, endpoint, zones) {
        Ok(obstacle) => obstacle,
        Err(wait) => return Removal::Wait(wait),
    };
    match obstacle {
        Some(wait) if whole || !endpoint.is_approved() => Removal::Stays(wait),
        Some(wait) => put_back(view, id, endpoint, wait),
        None if whole => Removal::Next(Box::new(Step {
            touches: touches(endpoint),
            ..azure_step(
                StepKind::DeleteZoneGroup.on(id.name()),
                AzureAction::DeleteZoneGroup {
                    id: group,
                    owner: view.desired.owner.clone(),
                },
            )
        })),
        None => Removal::Next(Box::new(Step {
            touches: touches(endpoint),
            ..azure_step(
                deletion(id),
                AzureAction::DeleteEndpoint {
                    id: endpoint.id.clone(),
                    owner: view.desired.owner.clone(),
                },
            )
        })),
    }
}

/// Whose consent a write to an endpoint takes: where it stands, and where its records do.
fn scopes(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> impl Iterator<Item = (Purpose, ArmId)> {
    let zones = zones_of(view.desired, view.seen, id, endpoint).into_iter();
    let zones = zones.map(|zone| (Purpose::PrivateDnsZone, zone));
    where_endpoint_stands(id, endpoint.subnet.as_ref())
        .into_iter()
        .chain(zones)
}

/// It stands, or its records do, where no grant lets the namespace write.
fn ungranted(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen) -> Option<Wait> {
    let grants = &view.desired.grants;
    let (_, scope) = scopes(view, id, endpoint).find(|(purpose, scope)| !grants.allow(*purpose, scope))?;
    Some(Wait::new(
        WaitReason::EndpointNotGrantedStalled,
        format!(
            "private endpoint {id} stays: no RegistryGrant lets namespace {} write to {scope} any more; an administrator can grant it again, or delete the endpoint: az network private-endpoint delete --ids {}",
            view.desired.object.namespace,
            word(id)
        ),
    ))
}

/// Whether a grant that covers where this endpoint or its records stand demands that changes of names are approved, or may demand it.
pub(crate) fn approval_is_demanded(view: &View<'_>, id: &ArmId) -> bool {
    let Some(endpoint) = view.seen.azure.endpoints.get(id).and_then(Fact::seen) else {
        return false;
    };
    let demands = |grant: &Grant| {
        grant
            .requires
            .as_ref()
            .map_or(true, |requires| requires.name_changes_approval)
    };
    scopes(view, id, endpoint).any(|(purpose, scope)| view.desired.grants.covering(purpose, &scope).any(demands))
}

fn touches(endpoint: &EndpointSeen) -> Vec<String> {
    vec![format!(
        "names of {} stop answering privately wherever only this endpoint serves them",
        endpoint.target.as_ref().map_or("its target", ArmId::name)
    )]
}

/// What keeps the endpoint: Azure's own refusal to delete it, which is not provoked a second time where names depend on it, a lock, or
/// a right that is missing.
/// `Err`: not known.
fn obstacle(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen, zones: &[ArmId]) -> Result<Option<Wait>, Wait> {
    let mut unread_wait = None;
    let unread = Fact::not_read("nobody looked for resource locks");
    // With the endpoint Azure deletes its connection on the target's side (azure.md §3.4).
    let target = endpoint.target.as_ref().filter(|_| endpoint.is_approved());
    let own = std::iter::once(id).chain(&endpoint.network_interfaces);
    let records = records(view, endpoint);
    for scope in own.chain(zones).chain(target) {
        match look_up(&view.seen.azure.locks, scope, &unread) {
            Fact::Seen(locks) => {
                // What is locked below a target is something else there, and below a zone mostly: people lock its SOA so that nobody
                // deletes the zone while records come and go.
                let reaches = |lock: &&LockSeen| match zones.contains(scope) {
                    _ if lock.covers(scope) => true,
                    _ if target == Some(scope) => false,
                    true => names::lock_reaches(lock, scope, records.as_ref()),
                    false => true,
                };
                if let Some(lock) = locks
                    .iter()
                    .filter(reaches)
                    .find(|lock| !lock.level.eq_ignore_ascii_case("NotSpecified"))
                {
                    return Ok(Some(locked(id, lock)));
                }
            }
            Fact::Absent if is_gone(view, scope) => {}
            // Azure lists no locks of what it does not find. It is there, as far as anybody knows: locks over it may be as well.
            Fact::Absent => {
                let unread =
                    Fact::<()>::not_read("Azure answered that the resource does not exist, and other answers name it");
                unread_wait.get_or_insert_with(|| not_known(&format!("resource locks on {scope}"), &unread));
            }
            unknown @ Fact::Unknown(_) => {
                unread_wait.get_or_insert_with(|| not_known(&format!("resource locks on {scope}"), unknown));
            }
        }
    }
    let has_zone_group = endpoint.zone_groups.seen().is_none_or(|groups| !groups.is_empty());
    let denied = preflight::is_denied_removal(view, id, has_zone_group);
    if let Some(wait) = preflight::may_not_remove(view, id, has_zone_group).or(denied) {
        return Ok(Some(wait));
    }
    unread_wait = unread_wait.or_else(|| preflight::unread_denials_of_removal(view, id));
    match view
        .seen
        .azure
        .removal_obstacles
        .get(id)
        .map(|policies| by_policy(id, policies))
    {
        Some(Ok(Some(wait))) => return Ok(Some(wait)),
        Some(Err(wait)) => unread_wait = unread_wait.or(Some(wait)),
        Some(Ok(None)) | None => {}
    }
    if let Some(refused) = attempts::refused(view, &deletion(id)).filter(|_| endpoint.is_approved()) {
        let message = format!(
            "{}; private endpoint {} stays until it can be deleted (locks: az lock list --resource-group {} --output table), then delete it: az network private-endpoint delete --ids {}",
            refused.message,
            id.name(),
            word(id.resource_group().unwrap_or("RESOURCE_GROUP")),
            word(id)
        );
        return Ok(Some(Wait { message, ..refused }));
    }
    match unread_wait {
        // Whoever deletes the object does not wait until somebody grants a right.
        Some(wait) if wait.reason == WaitReason::PermissionStalled => Ok(Some(wait)),
        unread => unread.map_or(Ok(None), Err),
    }
}

/// Names of the records that an endpoint has in its zones: as its members carry them, which its zone group tells too; else as its target
/// tells them. `None`: not known. Discovery may list other hosts of a registry than its endpoint carries (azure.md §2, U31).
fn records(view: &View<'_>, endpoint: &EndpointSeen) -> Option<Vec<String>> {
    let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id)?;
    let Some(members) = endpoint.members.seen().filter(|members| !members.is_empty()) else {
        let target = endpoint
            .target
            .as_ref()
            .filter(|_| group != EndpointGroup::AmlRegistry)?;
        return names::records_of_target(view, group, target);
    };
    let fqdns = members.iter().flat_map(|member| &member.fqdns);
    let names = fqdns.map(|fqdn| view.desired.cloud.record_name(group, fqdn));
    names.collect()
}

/// A policy with the effect denyAction forbids it, or may.
fn by_policy(id: &ArmId, obstacles: &Fact<Vec<Obstacle>>) -> Result<Option<Wait>, Wait> {
    if obstacles.ignorance().is_some() {
        return Err(not_known(&format!("policies that may forbid deleting {id}"), obstacles));
    }
    let first = obstacles.seen().into_iter().flatten().next();
    Ok(first.map(|obstacle| {
        Wait::new(
            WaitReason::RefusedStalled,
            format!(
                "private endpoint {} cannot be removed, and nothing of it is removed meanwhile: {}",
                id.name(),
                obstacle.message
            ),
        )
    }))
}

/// Whether a zone or a target does not exist any more, on enough evidence.
fn is_gone(view: &View<'_>, id: &ArmId) -> bool {
    let azure = &view.seen.azure;
    let zone = azure.zones.get(id).map(Fact::is_absent);
    let elsewhere = || {
        let mut zones = azure.zones_elsewhere.seen().into_iter().flatten();
        zones.find(|zone| zone.id == *id).map(|zone| zone.links.is_absent())
    };
    let left = || azure.accounts_left.get(id).map(Fact::is_absent);
    zone.or_else(elsewhere)
        .or_else(left)
        .unwrap_or_else(|| azure.targets.get(id).is_absent())
}

fn locked(id: &ArmId, lock: &LockSeen) -> Wait {
    Wait::new(
        WaitReason::ResourceLockedStalled,
        format!(
            "private endpoint {} cannot be removed: a lock ({}) on {} forbids it, and nothing of it is removed meanwhile; remove the lock: az lock delete --ids {}",
            id.name(),
            lock.level,
            lock.scope(),
            word(&lock.id)
        ),
    )
}

fn put_back(view: &View<'_>, id: &ArmId, endpoint: &EndpointSeen, why: Wait) -> Removal {
    let zones = zones_of(view.desired, view.seen, id, endpoint);
    if zones.is_empty() {
        return Removal::Stays(why);
    }
    let step = StepKind::PutZoneGroupBack.on(id.name());
    match attempts::held(view, &step) {
        Some(wait) => Removal::Wait(wait),
        None => Removal::PutBack(Box::new(azure_step(
            step,
            AzureAction::PutZoneGroup {
                id: zone_group(endpoint),
                zones,
                owner: view.desired.owner.clone(),
            },
        ))),
    }
}

/// Zones that our zone group wrote to, as this process last saw it; else those of the entry of the spec that stands in its subnet.
fn zones_of(desired: &Desired, seen: &Seen, id: &ArmId, endpoint: &EndpointSeen) -> Vec<ArmId> {
    if let Some(zones) = seen.memory.zone_groups.get(id) {
        return zones.clone();
    }
    let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id);
    let places = desired.endpoints().iter().filter(|place| place.dns.is_ours());
    let place = places
        .into_iter()
        .find(|place| Some(&place.subnet) == endpoint.subnet.as_ref());
    let zone = place.zip(group).and_then(|(place, group)| place.dns.zones.get(&group));
    zone.into_iter().cloned().collect()
}

/// For the lint: a write that gives an endpoint of ours that lives its zone group back, with the zones that it had.
pub(crate) fn puts_back(desired: &Desired, seen: &Seen, action: &Action) -> bool {
    let Action::Azure(AzureAction::PutZoneGroup { id, zones, owner }) = action else {
        return false;
    };
    let Some(parent) = id.parent() else { return false };
    let endpoint = seen.azure.endpoints.get(&parent).and_then(Fact::seen);
    endpoint.is_some_and(|endpoint| {
        let gone = endpoint
            .zone_groups
            .seen()
            .is_some_and(|groups| !groups.iter().any(|g| g.id == *id));
        let ours = endpoint.owner.as_ref() == Some(&desired.owner) && *owner == desired.owner;
        gone && ours && endpoint.is_approved() && *zones == zones_of(desired, seen, &parent, endpoint)
    })
}
