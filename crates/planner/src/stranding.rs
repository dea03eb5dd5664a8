//! Whose names would have no answer once an endpoint's records are gone. With a zone group Azure removes records by their names,
//! whoever wrote over them meanwhile; and as long as any endpoint of the target lives, its public names go on leading to the zones
//! (azure.md §3.2, §4.2).

use sreg_domain::seen::{EndpointSeen, ZoneSeen};
use sreg_domain::{ArmId, EndpointGroup, Fact, TargetKind};

use crate::endpoints::{Wanted, WantedEndpoints, standing};
use crate::facts::View;
use crate::plan::{Wait, WaitReason};
use crate::release;

/// Somebody else's endpoint on the same target, if it would leave the networks that ask one of the zones without an answer for good.
pub(crate) fn strands(view: &View<'_>, endpoint: &EndpointSeen) -> Option<ArmId> {
    let azure = &view.seen.azure;
    let target = endpoint.target.as_ref()?;
    let group = EndpointGroup::of_group_id(endpoint.group_id.as_deref()?)?;
    let connected = match group.target() {
        TargetKind::Registry => &azure.registry.seen()?.private_endpoints,
        TargetKind::Storage => &azure.storage.get(target)?.seen()?.private_endpoints,
        TargetKind::ContainerRegistry => &azure.container_registries.get(target)?.seen()?.private_endpoints,
    };
    // A list of connections may still name what is gone.
    let lives = |id: &&ArmId| !azure.endpoints.get(*id).is_some_and(Fact::is_absent);
    let other = connected
        .iter()
        .filter(lives)
        .find(|id| !release::ours(view).any(|(ours, _)| ours == *id))?;
    zones_of(endpoint)
        .any(|zone| is_asked(view, zone))
        .then(|| other.clone())
}

/// Why an endpoint that is replaced keeps its records for now: the one that takes its place has none yet.
pub(crate) fn until_replaced(view: &View<'_>, wanted: &WantedEndpoints<'_>, endpoint: &EndpointSeen) -> Option<Wait> {
    let next = successor(wanted, endpoint)?;
    let ready = standing(view, &next.id, next.target).ready();
    ready.is_none().then(|| Wait {
        reason: WaitReason::ResourceBusy,
        message: format!(
            "private endpoint {} keeps its records until {}, which takes its place, is ready",
            endpoint.id.name(),
            next.id.name()
        ),
    })
}

/// The endpoint that takes the place of one that goes: for the same target and group, with its records in the same zone.
fn successor<'a, 'w>(wanted: &'a WantedEndpoints<'w>, endpoint: &EndpointSeen) -> Option<&'a Wanted<'w>> {
    let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id);
    let same = |w: &&Wanted<'_>| {
        let zone = w.place.dns.zones.get(&w.group).filter(|_| w.place.dns.is_ours());
        Some(w.group) == group
            && endpoint.target.as_ref() == Some(w.target)
            && zone.is_some_and(|zone| zones_of(endpoint).any(|written| written == zone))
    };
    wanted.all.iter().find(same)
}

/// The zones that its zone groups write to.
fn zones_of(endpoint: &EndpointSeen) -> impl Iterator<Item = &ArmId> {
    let groups = endpoint.zone_groups.seen().into_iter().flatten();
    groups.flat_map(|group| &group.zones)
}

/// Some network is linked to a zone, or may be.
fn is_asked(view: &View<'_>, id: &ArmId) -> bool {
    let azure = &view.seen.azure;
    let linked = |zone: &ZoneSeen| zone.links.seen().is_none_or(|links| !links.is_empty());
    match azure.zones.get(id) {
        Some(Fact::Seen(zone)) => linked(zone),
        Some(Fact::Absent) => false,
        Some(Fact::Unknown(_)) => true,
        // A zone of an entry that is dropped is one among others of its name.
        None => {
            let mut elsewhere = azure.zones_elsewhere.seen().into_iter().flatten();
            elsewhere.find(|zone| zone.id == *id).is_none_or(linked)
        }
    }
}
