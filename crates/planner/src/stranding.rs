//! Whose names would have no answer once an endpoint's records are gone. With a zone group Azure removes records by their names,
//! whoever wrote over them meanwhile; and as long as any endpoint of the target lives, and up to an hour longer in caches, its public
//! names go on leading to the zones (azure.md §3.2, §4.2).

use std::collections::BTreeSet;

use sreg_api::names::ZONE_GROUP;
use sreg_api::registry::DnsMode;
use sreg_domain::naming::Belonging;
use sreg_domain::outside::word;
use sreg_domain::seen::{EndpointSeen, LinkSeen, ZoneSeen};
use sreg_domain::{ArmId, EndpointGroup, Fact, TargetKind};

use crate::endpoints::{WantedEndpoint, WantedEndpoints, endpoint_state};
use crate::plan::{Wait, WaitReason};
use crate::view::{View, WholeView};

/// Networks that would be left without an answer.
pub(crate) struct Stranded {
    /// The endpoint that keeps the public names of the target leading to the zones for good, or will.
    keeper: Option<Keeper>,
    /// The zones that lose the records.
    zones: Vec<ArmId>,
    /// Networks that are known to ask them.
    networks: Vec<String>,
    /// Links of these that the operator made and the spec does not want any more.
    links: Vec<ArmId>,
}

enum Keeper {
    /// One that the spec wants.
    Wanted(ArmId),
    /// Somebody else's.
    Others(ArmId),
}

/// Links in one command: a finding is cut at its end.
const MOST_LINKS: usize = 3;

impl Stranded {
    /// Why the endpoint is left in place, and what somebody can do. `goes`: it goes by itself once nobody asks its zones.
    pub(crate) fn why(&self, endpoint: &EndpointSeen, goes: bool) -> String {
        let target = endpoint.target.as_ref().map_or("its target", ArmId::name);
        let keeps = |keeper: &ArmId, whose: &str| {
            format!("because private endpoint {keeper}, which {whose}, keeps them leading to private zones")
        };
        let until = match &self.keeper {
            Some(Keeper::Wanted(keeper)) => keeps(keeper, "the spec wants"),
            Some(Keeper::Others(keeper)) => keeps(keeper, "is somebody else's"),
            None => "for as long as resolvers remember that they led to private zones, up to an hour".to_owned(),
        };
        let networks = match self.networks.as_slice() {
            [] => "networks that ask its zones, if any does,".to_owned(),
            networks => networks.join(", "),
        };
        let goes = if goes {
            let zones: Vec<&str> = self.zones.iter().map(ArmId::as_str).collect();
            format!(" It goes by itself once nobody asks {}.", zones.join(", "))
        } else {
            String::new()
        };
        let links: Vec<_> = self.links.iter().take(MOST_LINKS).map(word).collect();
        let unlink = match (links.as_slice(), self.links.len().saturating_sub(MOST_LINKS)) {
            ([], _) => String::new(),
            (links, more) => format!(
                " Links that the operator made and the spec does not want any more: az network private-dns link vnet delete --yes --ids {}{}.",
                links.join(" "),
                if more == 0 {
                    String::new()
                } else {
                    format!(" (and {more} more)")
                }
            ),
        };
        format!(
            "{networks} would get no answer for the names of {target}, {until}.{goes}{unlink} Where nobody there needs these names: az network private-endpoint delete --ids {}",
            word(&endpoint.id)
        )
    }
}

/// Whom the end of an endpoint's records would leave without an answer. `wanted`: the endpoints that the spec wants; `None` while the
/// object is deleted and all of ours go: that cannot wait for caches, and is told.
pub(crate) fn strands(
    view: &View<'_>,
    wanted: Option<&WantedEndpoints<'_>>,
    endpoint: &EndpointSeen,
) -> Option<Stranded> {
    let zones: Vec<&ArmId> = endpoint.zones().filter(|zone| is_asked(view, zone)).collect();
    if zones.is_empty() {
        return None;
    }
    let unreplaced = wanted.filter(|wanted| successor(wanted, endpoint).is_none());
    let ours = unreplaced.and_then(|wanted| wanted_on_its_target(wanted, endpoint));
    let keeper = match ours {
        Some(ours) => Some(Keeper::Wanted(ours)),
        None => others_on_its_target(view, wanted, endpoint).map(Keeper::Others),
    };
    if keeper.is_none() && unreplaced.is_none() {
        return None;
    }
    let links = zones
        .iter()
        .flat_map(|zone| links_of(view, zone).map(move |link| (*zone, link)));
    let asking: Vec<(&ArmId, &LinkSeen)> = links.filter(|(_, link)| !link.falls_back()).collect();
    let networks: BTreeSet<&str> = asking.iter().map(|(_, link)| link.virtual_network.name()).collect();
    let left_over = asking
        .iter()
        .filter(|(zone, link)| is_left_over(view, wanted.is_some(), zone, link));
    Some(Stranded {
        keeper,
        networks: networks.into_iter().map(str::to_owned).collect(),
        links: left_over.map(|(_, link)| link.id.clone()).collect(),
        zones: zones.into_iter().cloned().collect(),
    })
}

/// A link that we made, and that the spec does not want.
fn is_left_over(view: &View<'_>, lives: bool, zone: &ArmId, link: &LinkSeen) -> bool {
    let ours = Belonging::of_link(&view.desired.owner, link) == Belonging::Ours;
    let mut places = view.desired.endpoints().iter();
    let wanted = places.any(|place| {
        let network = &link.virtual_network;
        place.dns.zones.values().any(|z| z == zone) && place.dns.links.contains(network)
    });
    ours && !(lives && wanted)
}

/// Somebody else's endpoint on the same target.
fn others_on_its_target(
    view: &View<'_>,
    wanted: Option<&WantedEndpoints<'_>>,
    endpoint: &EndpointSeen,
) -> Option<ArmId> {
    let azure = &view.seen.azure;
    let target = endpoint.target.as_ref()?;
    let group = EndpointGroup::of_group_id(endpoint.group_id.as_deref()?)?;
    let kind = group.target();
    let seen = if kind == TargetKind::Registry {
        azure.registry()
    } else {
        azure.targets.get(target)
    };
    let connected = &seen.seen().filter(|seen| seen.kind() == kind)?.private_endpoints;
    let is_ours = |id: &ArmId| {
        let seen = azure.endpoints.get(id).and_then(Fact::seen);
        let belongs = seen.is_some_and(|e| Belonging::of_endpoint(&view.desired.owner, e).is_ours());
        belongs || wanted.is_some_and(|wanted| wanted.all.iter().any(|w| w.id == *id))
    };
    // A list of connections may still name what is gone.
    let lives = |id: &&ArmId| !azure.endpoints.get(*id).is_some_and(Fact::is_absent);
    connected.iter().filter(lives).find(|id| !is_ours(id)).cloned()
}

/// An endpoint that the spec wants on the same target, made or to be made.
fn wanted_on_its_target(wanted: &WantedEndpoints<'_>, endpoint: &EndpointSeen) -> Option<ArmId> {
    let mut same_target = wanted.all.iter().filter(|w| endpoint.target.as_ref() == Some(w.target));
    same_target.next().map(|w| w.id.clone())
}

/// Why an endpoint that is replaced keeps its records for now: the one that takes its place has none yet.
pub(crate) fn until_replaced(
    view: &WholeView<'_>,
    wanted: &WantedEndpoints<'_>,
    endpoint: &EndpointSeen,
) -> Option<Wait> {
    let next = successor(wanted, endpoint)?;
    let ready = endpoint_state(view, &next.id, next.target).ready();
    ready.is_none().then(|| {
        Wait::new(
            WaitReason::ResourceBusy,
            format!(
                "private endpoint {} keeps its records until {}, which takes its place, is ready",
                endpoint.id.name(),
                next.id.name()
            ),
        )
    })
}

/// The endpoint that takes the place of one that goes: for the same target and group, with its records in the same zone. Where a
/// policy makes zone groups, it writes those of both to one zone.
fn successor<'a, 'w>(wanted: &'a WantedEndpoints<'w>, endpoint: &EndpointSeen) -> Option<&'a WantedEndpoint<'w>> {
    let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id);
    let own = endpoint.id.child("privateDnsZoneGroups", ZONE_GROUP);
    let groups = endpoint.zone_groups.seen().map_or(&[][..], Vec::as_slice);
    let by_policy = !groups.iter().any(|g| g.id == own);
    let same = |w: &&WantedEndpoint<'_>| {
        let zone = w.place.dns.zones.get(&w.group).filter(|_| w.place.dns.is_ours());
        let writes = zone.is_some_and(|zone| endpoint.zones().any(|written| written == zone));
        Some(w.group) == group
            && endpoint.target.as_ref() == Some(w.target)
            && (writes || by_policy && w.place.dns.mode == DnsMode::Policy)
    };
    wanted.all.iter().find(same)
}

/// Some network asks a zone, or may. One that falls back to the public answer loses nothing with a record while everything is open.
fn is_asked(view: &View<'_>, id: &ArmId) -> bool {
    let azure = &view.seen.azure;
    let linked = |zone: &ZoneSeen| match &zone.links {
        Fact::Seen(links) => !links.iter().all(LinkSeen::falls_back),
        Fact::Absent => false,
        Fact::Unknown(_) => true,
    };
    match azure.zones.get(id) {
        Some(Fact::Seen(zone)) => linked(zone),
        Some(Fact::Absent) => false,
        Some(Fact::Unknown(_)) => true,
        // A zone of an entry that is dropped is one among others of its name.
        None => elsewhere(view, id).is_none_or(linked),
    }
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
