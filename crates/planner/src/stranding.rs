//! Whose names would have no answer once an endpoint's records are gone. With a zone group Azure removes records by their names,
//! whoever wrote over them meanwhile; and as long as any endpoint of the target lives, its public names go on leading to the zones
//! (azure.md §3.2, §4.2).

use sreg_domain::seen::{EndpointSeen, LinkSeen, ZoneSeen};
use sreg_domain::{ArmId, EndpointGroup, Fact, TargetKind};

use crate::endpoints::{Wanted, WantedEndpoints, standing};
use crate::facts::View;
use crate::plan::{Wait, WaitReason};
use crate::release;

/// Networks that would be left without an answer for good.
pub(crate) struct Stranded {
    /// The endpoint that keeps the public names of the target leading to the zones.
    keeper: ArmId,
    /// It is one of ours, for another entry of the spec.
    keeper_is_ours: bool,
    /// Links by which networks are known to ask the zones that lose the records.
    links: Vec<ArmId>,
}

impl Stranded {
    /// Why the endpoint is left in place, and what lets it go.
    pub(crate) fn why(&self, endpoint: &EndpointSeen) -> String {
        let (target, keeper) = (endpoint.target.as_ref().map_or("its target", ArmId::name), &self.keeper);
        let whose = if self.keeper_is_ours {
            "which the spec wants"
        } else {
            "which is somebody else's"
        };
        let unlink = match self.links.as_slice() {
            [] => "delete the links to its zones".to_owned(),
            links => {
                let ids: Vec<&str> = links.iter().map(ArmId::as_str).collect();
                format!("az network private-dns link vnet delete --yes --ids {}", ids.join(" "))
            }
        };
        let or = if self.keeper_is_ours {
            String::new()
        } else {
            format!(
                "; or have {} deleted, or write its records into a zone of its own, then: az network private-endpoint delete --ids {}",
                keeper.name(),
                endpoint.id
            )
        };
        format!(
            "its names would have no answer in networks that ask its zones, because private endpoint {keeper}, {whose}, keeps the names of {target} leading there. It goes once nobody asks these zones: {unlink}{or}"
        )
    }
}

/// Whom the end of an endpoint's records would leave without an answer for good. `wanted`: the endpoints that the spec wants; `None`
/// while all of ours go.
pub(crate) fn strands(
    view: &View<'_>,
    wanted: Option<&WantedEndpoints<'_>>,
    endpoint: &EndpointSeen,
) -> Option<Stranded> {
    let zones: Vec<&ArmId> = zones_of(endpoint).collect();
    if !zones.iter().any(|zone| is_asked(view, zone)) {
        return None;
    }
    let others = others_on_its_target(view, endpoint).map(|id| (id, false));
    let ours = wanted
        .and_then(|wanted| ours_that_stays(view, wanted, endpoint))
        .map(|id| (id, true));
    let (keeper, keeper_is_ours) = others.or(ours)?;
    let links = zones.into_iter().flat_map(|zone| links_of(view, zone));
    Some(Stranded {
        keeper,
        keeper_is_ours,
        links: links.filter(|link| asks(link)).map(|link| link.id.clone()).collect(),
    })
}

/// Somebody else's endpoint on the same target.
fn others_on_its_target(view: &View<'_>, endpoint: &EndpointSeen) -> Option<ArmId> {
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
    let mut others = connected.iter().filter(lives);
    let other = others.find(|id| !release::ours(view).any(|(ours, _)| ours == *id));
    other.cloned()
}

/// An endpoint that the spec wants on the same target, where none writes the same records in the same zone.
fn ours_that_stays(view: &View<'_>, wanted: &WantedEndpoints<'_>, endpoint: &EndpointSeen) -> Option<ArmId> {
    if successor(wanted, endpoint).is_some() {
        return None;
    }
    let stands = |w: &&Wanted<'_>| view.seen.azure.endpoints.get(&w.id).and_then(Fact::seen).is_some();
    let mut same_target = wanted.all.iter().filter(|w| endpoint.target.as_ref() == Some(w.target));
    same_target.find(stands).map(|w| w.id.clone())
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

/// Some network asks a zone, or may.
fn is_asked(view: &View<'_>, id: &ArmId) -> bool {
    let azure = &view.seen.azure;
    let linked = |zone: &ZoneSeen| zone.links.seen().is_none_or(|links| links.iter().any(asks));
    match azure.zones.get(id) {
        Some(Fact::Seen(zone)) => linked(zone),
        Some(Fact::Absent) => false,
        Some(Fact::Unknown(_)) => true,
        // A zone of an entry that is dropped is one among others of its name.
        None => elsewhere(view, id).is_none_or(linked),
    }
}

/// Networks behind a link that falls back to the public answer lose nothing with a record while everything is open (azure.md §4.1).
fn asks(link: &LinkSeen) -> bool {
    let policy = link.resolution_policy.as_deref().unwrap_or_default();
    !policy.eq_ignore_ascii_case("NxDomainRedirect")
}

fn elsewhere<'v>(view: &'v View<'_>, id: &ArmId) -> Option<&'v ZoneSeen> {
    let mut elsewhere = view.seen.azure.zones_elsewhere.seen().into_iter().flatten();
    elsewhere.find(|zone| zone.id == *id)
}

/// The links of a zone that are known.
fn links_of<'v>(view: &'v View<'_>, id: &ArmId) -> impl Iterator<Item = &'v LinkSeen> {
    let zone = view
        .seen
        .azure
        .zones
        .get(id)
        .and_then(Fact::seen)
        .or_else(|| elsewhere(view, id));
    zone.and_then(|zone| zone.links.seen()).into_iter().flatten()
}
