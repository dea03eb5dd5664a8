//! Private DNS zones (azure.md §4.1): those that the spec names, with links and A records, and all others of the same names, with
//! links: whoever is linked there is touched by an endpoint, and Azure refuses a second link.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use futures::future::join_all;
use serde_json::Value;
use sreg_api::registry::DnsMode;
use sreg_domain::desired::Desired;
use sreg_domain::naming::may_be_link_name;
use sreg_domain::seen::{EndpointSeen, Fact, LinkSeen, ZoneSeen};
use sreg_domain::{ArmId, CallFailure, Cause, EndpointGroup, naming};

use super::{Look, network, nonsense, unseen};
use crate::arm::{Call, Leaving};
use crate::json;

/// Zones that the spec names or that we create.
pub(super) fn named(desired: &Desired) -> impl Iterator<Item = ArmId> {
    desired.endpoints().iter().flat_map(|p| p.dns.zones.values().cloned())
}

/// One zone with its links and A records.
pub(super) async fn zone(look: &Look<'_>, desired: &Desired, id: ArmId) -> Fact<ZoneSeen> {
    let wanted = wanted_links(desired, &id);
    let (body, links, records) = futures::join!(look.read(&id), links_of_ours(look, &id, &wanted), records(look, &id));
    let body = match body {
        Ok(body) => body,
        Err(error) => return unseen(error),
    };
    let records = records.map_or_else(|error| Fact::Unknown(error.into_ignorance()), Fact::Seen);
    Fact::Seen(ZoneSeen {
        id: json::id(&body, "/id").unwrap_or_else(|| id.clone()),
        owner: json::owner(&body),
        tags: json::tags(&body),
        links: links.map_or_else(|error| Fact::Unknown(error.into_ignorance()), Fact::Seen),
        records,
    })
}

/// A records of the zones that zone groups of somebody else's write to, where `dns.mode: Policy` leaves names to them.
pub(super) async fn records_by_policy(
    look: &Look<'_>,
    desired: &Desired,
    endpoints: &BTreeMap<ArmId, Fact<EndpointSeen>>,
) -> BTreeMap<ArmId, Fact<BTreeMap<String, Vec<IpAddr>>>> {
    let by_policy = |endpoint: &&EndpointSeen| {
        let mut places = desired.endpoints().iter().filter(|p| p.dns.mode == DnsMode::Policy);
        places.any(|place| endpoint.subnet.as_ref() == Some(&place.subnet))
    };
    let names = zone_names(desired);
    let there = endpoints.values().filter_map(Fact::seen).filter(by_policy);
    let named = there
        .flat_map(EndpointSeen::zones)
        .filter(|id| names.iter().any(|n| n.eq_ignore_ascii_case(id.name())));
    super::each(named.cloned(), |id| async move {
        records(look, &id).await.map_or_else(unseen, Fact::Seen)
    })
    .await
}

/// Zones whose links are read in a subscription that decides nothing: Private DNS may allow 500 reads in five minutes (U28).
const MOST_FOR_INFORMATION: usize = 32;

/// Zones of the names involved, in the subscriptions involved, that the spec does not name, with all their links: networks that
/// are linked there lose a target's names with its first endpoint, whoever linked them (azure.md §3.2), and a network of ours
/// that is linked there cannot be linked again (§4.1).
///
/// What is not told in a subscription of the spec's zones and linked networks is `Unknown`: a network of ours may be linked there.
/// Elsewhere these zones only say whom an endpoint touches: what may not or cannot be read there is left out, and nothing waits.
pub(super) async fn elsewhere(look: &Look<'_>, desired: &Desired) -> Fact<Vec<ZoneSeen>> {
    if desired.endpoints().is_empty() {
        return Fact::Seen(Vec::new());
    }
    let names = zone_names(desired);
    let wanted: BTreeSet<ArmId> = named(desired).collect();
    let (deciding, informing) = subscriptions(desired, &wanted);
    let is_another = |id: &ArmId| names.iter().any(|n| n.eq_ignore_ascii_case(id.name())) && !wanted.contains(id);
    let (deciding, informing) = futures::join!(
        join_all(deciding.iter().map(|s| deciding_in(look, s, &is_another))),
        join_all(informing.iter().map(|s| informing_in(look, s, &is_another))),
    );
    match deciding.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(deciding) => Fact::Seen(deciding.into_iter().chain(informing).flatten().collect()),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

/// Adds the zones in which endpoints of ours hold records and that nothing else led to: an entry that the spec dropped may have stood
/// in a subscription that it does not name any more. The links of one that is gone are `Absent`; what cannot be read is left out.
pub(super) async fn with_those_of_endpoints(
    look: &Look<'_>,
    desired: &Desired,
    endpoints: &BTreeMap<ArmId, Fact<EndpointSeen>>,
    elsewhere: Fact<Vec<ZoneSeen>>,
) -> Fact<Vec<ZoneSeen>> {
    let Fact::Seen(mut zones) = elsewhere else {
        return elsewhere;
    };
    let known: BTreeSet<ArmId> = named(desired).chain(zones.iter().map(|z| z.id.clone())).collect();
    let ours = endpoints.values().filter_map(Fact::seen);
    let ours = ours.filter(|e| e.owner.as_ref() == Some(&desired.owner));
    let written = ours.flat_map(EndpointSeen::zones);
    let written: BTreeSet<&ArmId> = written.filter(|id| !known.contains(*id)).collect();
    let read = written.into_iter().map(|id| async {
        match links(look, id).await {
            Ok(links) => Some(another(id.clone(), None, Fact::Seen(links))),
            Err(error) if error.cause == Cause::Missing => Some(another(id.clone(), None, Fact::Absent)),
            Err(_) => None,
        }
    });
    zones.extend(join_all(read).await.into_iter().flatten());
    Fact::Seen(zones)
}

/// Names of zones for every group of the cloud, in every DNS mode: an endpoint changes names also where others keep the zones, and
/// whether the storage has a `dfs` name is not known yet.
fn zone_names(desired: &Desired) -> Vec<String> {
    EndpointGroup::all().map(|group| desired.cloud.zone(group)).collect()
}

/// Subscriptions of the spec's zones and linked networks, and the others that it involves.
fn subscriptions(desired: &Desired, zones: &BTreeSet<ArmId>) -> (BTreeSet<String>, BTreeSet<String>) {
    let of = |id: &ArmId| id.subscription().to_owned();
    let links = desired.endpoints().iter().flat_map(|p| &p.dns.links);
    let deciding: BTreeSet<String> = zones.iter().chain(links).map(of).collect();
    let involved = network::named(desired).chain([desired.registry.clone()]);
    let informing = involved.map(|id| of(&id)).filter(|s| !deciding.contains(s)).collect();
    (deciding, informing)
}

async fn deciding_in(
    look: &Look<'_>,
    subscription: &str,
    is_another: &(impl Fn(&ArmId) -> bool + Sync),
) -> Result<Vec<ZoneSeen>, CallFailure> {
    let zones = zones_of(look, subscription, is_another).await?;
    let read = zones.into_iter().map(|(id, owner)| async {
        // The list has it, so a "not found" is one word against another: how often it is said decides.
        let links = links(look, &id).await.map_or_else(unseen, Fact::Seen);
        another(id, owner, links)
    });
    Ok(join_all(read).await)
}

async fn informing_in(
    look: &Look<'_>,
    subscription: &str,
    is_another: &(impl Fn(&ArmId) -> bool + Sync),
) -> Vec<ZoneSeen> {
    let zones = zones_of(look, subscription, is_another).await.unwrap_or_default();
    let read = zones.into_iter().take(MOST_FOR_INFORMATION).map(|(id, owner)| async {
        let links = links(look, &id).await.ok()?;
        Some(another(id, owner, Fact::Seen(links)))
    });
    join_all(read).await.into_iter().flatten().collect()
}

fn another(id: ArmId, owner: Option<String>, links: Fact<Vec<LinkSeen>>) -> ZoneSeen {
    let records = Fact::not_read("records of zones that the spec does not name are not read");
    ZoneSeen {
        id,
        owner,
        tags: BTreeMap::new(),
        links,
        records,
    }
}

/// Ids and owners of the zones of a subscription that are asked for.
async fn zones_of(
    look: &Look<'_>,
    subscription: &str,
    asked_for: &(impl Fn(&ArmId) -> bool + Sync),
) -> Result<Vec<(ArmId, Option<String>)>, CallFailure> {
    let Ok(scope) = format!("/subscriptions/{subscription}").parse::<ArmId>() else {
        return Ok(Vec::new());
    };
    let call = Call::list(look.arm(), &scope, "providers/Microsoft.Network/privateDnsZones");
    let keep = |body: Value| {
        let id = json::id(&body, "/id").filter(|id| asked_for(id))?;
        Some((id, json::owner(&body)))
    };
    look.list_of(call, keep).await
}

/// The links that the spec wants of a zone: their ids and networks.
fn wanted_links(desired: &Desired, zone: &ArmId) -> BTreeMap<ArmId, ArmId> {
    let places = desired
        .endpoints()
        .iter()
        .filter(|p| p.dns.zones.values().any(|z| z == zone));
    let networks = places.flat_map(|place| &place.dns.links);
    networks
        .map(|network| {
            let id = zone.child("virtualNetworkLinks", &naming::link_name(network));
            (id, network.clone())
        })
        .collect()
}

/// Links as the list has them, and those wanted ones that it lacks though they are there: Azure's list was seen to miss a link that
/// refuses its own creation because it exists.
async fn links_of_ours(
    look: &Look<'_>,
    zone: &ArmId,
    wanted: &BTreeMap<ArmId, ArmId>,
) -> Result<Vec<LinkSeen>, CallFailure> {
    let mut listed = links(look, zone).await?;
    let lacking = wanted
        .iter()
        .filter(|(_, network)| !listed.iter().any(|l| l.virtual_network == **network));
    let found = join_all(lacking.map(|(id, _)| look.find(id))).await;
    for body in found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        listed.push(link(zone, &body).ok_or_else(|| nonsense(zone, "a link of the zone names no network"))?);
    }
    Ok(listed)
}

async fn links(look: &Look<'_>, zone: &ArmId) -> Result<Vec<LinkSeen>, CallFailure> {
    let items = look.list(Call::list(look.arm(), zone, "virtualNetworkLinks")).await?;
    let mut links: BTreeMap<ArmId, LinkSeen> = BTreeMap::new();
    for item in &items {
        match link(zone, item) {
            Some(link) => drop(links.insert(link.id.clone(), link)),
            None if may_be_ours(item) => return Err(nonsense(zone, "a link that has our name names no network")),
            None => look.left_out(zone, item, "a link of a private DNS zone names no network"),
        }
    }
    Ok(links.into_values().collect())
}

/// Every network of ours has an id that can be read: a link without one is another team's, unless its name says that we made it.
fn may_be_ours(item: &Value) -> bool {
    let name = json::text(item, "/name").or_else(|| json::text(item, "/id")?.rsplit('/').next());
    name.is_none_or(may_be_link_name)
}

fn link(zone: &ArmId, item: &Value) -> Option<LinkSeen> {
    let is = |pointer: &str, wanted: &str| json::text(item, pointer).is_some_and(|s| s.eq_ignore_ascii_case(wanted));
    let named = || zone.child("virtualNetworkLinks", json::text(item, "/name").unwrap_or("unnamed"));
    Some(LinkSeen {
        id: json::id(item, "/id").unwrap_or_else(named),
        virtual_network: json::id(item, "/properties/virtualNetwork/id")?,
        tags: json::tags(item),
        completed: is("/properties/virtualNetworkLinkState", "Completed")
            && is("/properties/provisioningState", "Succeeded"),
        resolution_policy: json::string(item, "/properties/resolutionPolicy"),
    })
}

/// Record names relative to the zone, lower case, with their addresses: all record sets of a name together.
async fn records(look: &Look<'_>, zone: &ArmId) -> Result<BTreeMap<String, Vec<IpAddr>>, CallFailure> {
    let call = Call::list(look.arm(), zone, "A").query("$top", "1000");
    let keep = |item: Value| {
        let record = record(&item);
        if record.is_none() {
            look.left_out(zone, &item, "a record set of a private DNS zone has no name");
        }
        record
    };
    let mut records: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (name, addresses) in look.list_of(call, keep).await? {
        records.entry(name).or_default().extend(addresses);
    }
    for addresses in records.values_mut() {
        addresses.sort();
        addresses.dedup();
    }
    Ok(records)
}

/// An address that is none stands as one that nobody has: whatever its name, it is a record that we did not write.
fn record(item: &Value) -> Option<(String, Vec<IpAddr>)> {
    let name = json::text(item, "/name").or_else(|| json::text(item, "/id")?.rsplit('/').next())?;
    let address = |a: &Value| {
        let text = json::text(a, "/ipv4Address").and_then(|text| text.trim().parse().ok());
        text.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    };
    let addresses = json::list(item, "/properties/aRecords").iter().map(address);
    Some((name.to_lowercase(), addresses.collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_is_complete_only_when_both_states_say_so() {
        let item = |state: &str, provisioning: &str| {
            let zone = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/z";
            json!({"id": format!("{zone}/virtualNetworkLinks/l"), "properties": {"virtualNetwork": {"id":
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"},
                "virtualNetworkLinkState": state, "provisioningState": provisioning}})
        };
        let zone = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/z"
            .parse()
            .unwrap();
        assert!(link(&zone, &item("Completed", "Succeeded")).unwrap().completed);
        assert!(!link(&zone, &item("InProgress", "Succeeded")).unwrap().completed);
        assert!(!link(&zone, &item("Completed", "Updating")).unwrap().completed);
        assert!(link(&zone, &json!({"id": "x"})).is_none());
        assert!(may_be_ours(&json!({"name": "sreg-hub-0123456789"})) && may_be_ours(&json!({})));
        assert!(!may_be_ours(&json!({"name": "theirs", "properties": null})));
    }

    #[test]
    fn records_are_read_by_lower_case_name() {
        let items = [json!({"name": "C.westeurope.data", "properties": {"aRecords": [{"ipv4Address": "10.0.0.4"}]}})];
        let (name, addresses) = record(&items[0]).unwrap();
        assert_eq!(
            (name.as_str(), addresses),
            ("c.westeurope.data", vec!["10.0.0.4".parse::<IpAddr>().unwrap()])
        );
        let (_, odd) = record(&json!({"name": "a", "properties": {"aRecords": [{"ipv4Address": "x"}, null]}})).unwrap();
        assert_eq!(odd, [IpAddr::V4(Ipv4Addr::UNSPECIFIED); 2], "a record stands there");
        assert!(record(&json!({})).is_none() && record(&json!(null)).is_none());
    }
}
