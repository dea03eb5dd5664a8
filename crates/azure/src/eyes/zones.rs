//! Private DNS zones (azure.md §4.1): those that the spec names, with links and A records, and others of the same names that are
//! linked to a network that we want to link, because Azure refuses a second link then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::future::join_all;
use serde_json::Value;
use sreg_domain::ArmId;
use sreg_domain::desired::Desired;
use sreg_domain::seen::{Fact, LinkSeen, ZoneSeen};

use super::{Look, nonsense, unseen};
use crate::arm::{Call, CallError};
use crate::json;

/// Zones that the spec names or that we create.
pub(super) fn named(desired: &Desired) -> impl Iterator<Item = ArmId> {
    desired.endpoints.iter().flat_map(|p| p.dns.zones.values().cloned())
}

/// One zone with its links and A records.
pub(super) async fn zone(look: &Look<'_>, id: ArmId) -> Fact<ZoneSeen> {
    let records = Call::list(look.arm(), &id, "A").query("$top", "1000");
    let (body, links, records) = futures::join!(look.read(&id), links(look, &id), look.list(records));
    let body = match body {
        Ok(body) => body,
        Err(error) => return unseen(error),
    };
    let records = match records {
        Ok(items) => super::understood(&id, records_of(&items)),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    };
    Fact::Seen(ZoneSeen {
        id: json::id(&body, "/id").unwrap_or_else(|| id.clone()),
        owner: json::owner(&body),
        links: links.map_or_else(|error| Fact::Unknown(error.into_ignorance()), Fact::Seen),
        records,
    })
}

/// Zones of the names that we link, in the subscriptions involved, that hold a network that we want to link.
pub(super) async fn elsewhere(look: &Look<'_>, desired: &Desired) -> Fact<Vec<ZoneSeen>> {
    let ours = || desired.endpoints.iter().filter(|p| p.dns.is_ours());
    let wanted: BTreeSet<&ArmId> = ours().flat_map(|p| p.dns.zones.values()).collect();
    let names: BTreeSet<String> = wanted.iter().map(|id| id.name().to_ascii_lowercase()).collect();
    let networks: BTreeSet<&ArmId> = ours().flat_map(|p| &p.dns.links).collect();
    let subscriptions: BTreeSet<&str> = wanted.iter().chain(&networks).map(|id| id.subscription()).collect();
    let listed = join_all(subscriptions.into_iter().map(|s| zones_of(look, s))).await;
    let mut others = Vec::new();
    for listing in listed {
        match listing {
            Ok(zones) => others.extend(zones),
            Err(error) => return Fact::Unknown(error.into_ignorance()),
        }
    }
    let same_name = |id: &ArmId| names.contains(&id.name().to_ascii_lowercase()) && !wanted.contains(id);
    let same_named: Vec<(ArmId, Option<String>)> = others
        .iter()
        .filter_map(|body| Some((json::id(body, "/id")?, json::owner(body))))
        .filter(|(id, _)| same_name(id))
        .collect();
    let linked = join_all(same_named.iter().map(|(id, _)| links(look, id))).await;
    let mut found = Vec::new();
    for ((id, owner), links) in same_named.into_iter().zip(linked) {
        let links = match links {
            Ok(links) => links,
            Err(error) => return Fact::Unknown(error.into_ignorance()),
        };
        if links.iter().any(|l| networks.contains(&l.virtual_network)) {
            let records = Fact::not_read("records of zones that the spec does not name are not read");
            found.push(ZoneSeen {
                id,
                owner,
                links: Fact::Seen(links),
                records,
            });
        }
    }
    Fact::Seen(found)
}

async fn zones_of(look: &Look<'_>, subscription: &str) -> Result<Vec<Value>, CallError> {
    let Ok(scope) = format!("/subscriptions/{subscription}").parse::<ArmId>() else {
        return Ok(Vec::new());
    };
    look.list(Call::list(
        look.arm(),
        &scope,
        "providers/Microsoft.Network/privateDnsZones",
    ))
    .await
}

async fn links(look: &Look<'_>, zone: &ArmId) -> Result<Vec<LinkSeen>, CallError> {
    let items = look.list(Call::list(look.arm(), zone, "virtualNetworkLinks")).await?;
    let links: Option<Vec<LinkSeen>> = items.iter().map(link).collect();
    links.ok_or_else(|| nonsense(zone, "a link of the zone names no network"))
}

fn link(item: &Value) -> Option<LinkSeen> {
    let is = |pointer: &str, wanted: &str| json::text(item, pointer).is_some_and(|s| s.eq_ignore_ascii_case(wanted));
    Some(LinkSeen {
        id: json::id(item, "/id")?,
        virtual_network: json::id(item, "/properties/virtualNetwork/id")?,
        completed: is("/properties/virtualNetworkLinkState", "Completed")
            && is("/properties/provisioningState", "Succeeded"),
        resolution_policy: json::string(item, "/properties/resolutionPolicy"),
    })
}

/// Record names relative to the zone, lower case, with their addresses.
fn records_of(items: &[Value]) -> Result<BTreeMap<String, Vec<IpAddr>>, &'static str> {
    let mut records: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for item in items {
        let name = json::text(item, "/name")
            .ok_or("a record set has no name")?
            .to_ascii_lowercase();
        let addresses: Option<Vec<IpAddr>> = json::list(item, "/properties/aRecords")
            .iter()
            .map(|a| json::text(a, "/ipv4Address")?.parse().ok())
            .collect();
        records.insert(name, addresses.ok_or("a record's address is none")?);
    }
    Ok(records)
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
        assert!(link(&item("Completed", "Succeeded")).unwrap().completed);
        assert!(!link(&item("InProgress", "Succeeded")).unwrap().completed);
        assert!(!link(&item("Completed", "Updating")).unwrap().completed);
        assert!(link(&json!({"id": "x"})).is_none());
    }

    #[test]
    fn records_are_read_by_lower_case_name() {
        let items = [json!({"name": "C.westeurope.data", "properties": {"aRecords": [{"ipv4Address": "10.0.0.4"}]}})];
        assert_eq!(
            records_of(&items).unwrap()["c.westeurope.data"],
            ["10.0.0.4".parse::<IpAddr>().unwrap()]
        );
        assert!(records_of(&[json!({"name": "a", "properties": {"aRecords": [{"ipv4Address": "x"}]}})]).is_err());
        assert!(records_of(&[json!({})]).is_err());
    }
}
