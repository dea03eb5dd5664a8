//! Private endpoints: wanted ones by their deterministic names, those that somebody knows of by their ids, and others that are no longer
//! wanted by our tag or, where it is lost, by a name that fits what they lead to; in the resource groups that the spec names and in those
//! from which the targets say that something is connected; each with its members and zone groups (azure.md §3, §4.2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::future::join_all;
use serde_json::Value;
use sreg_domain::desired::{Desired, EndpointPlace};
use sreg_domain::naming::endpoint_name_at;
use sreg_domain::outside::{LONGEST_REASON, words};
use sreg_domain::seen::{EndpointSeen, Fact, Member, UNLISTED, ZoneGroupSeen};
use sreg_domain::{ArmId, CallFailure, Cause, Cloud, EndpointGroup, Fqdn};

use super::{Look, settling, understood, unseen};
use crate::arm::{Call, Leaving};
use crate::json;

const KIND: &str = "Microsoft.Network/privateEndpoints";
pub(super) const LOWER_KIND: &str = "microsoft.network/privateendpoints";

/// An endpoint that the planner has to judge: it carries our tag, or its name is one of ours and nobody's tag is on it.
fn may_be_ours(id: &ArmId, body: &Value, desired: &Desired) -> bool {
    match json::owner(body) {
        Some(owner) => owner == desired.owner,
        None => json::is_named_by_us(id, body),
    }
}

/// All endpoints of one registry; each that is `known` has an answer of its own. Where a resource group could not be listed, an entry
/// named `unlisted` says so: other endpoints of ours may stand there.
pub(super) async fn all(
    look: &Look<'_>,
    desired: &Desired,
    wanted: &[(ArmId, EndpointGroup)],
    connected: BTreeSet<ArmId>,
    known: &BTreeSet<ArmId>,
) -> BTreeMap<ArmId, Fact<EndpointSeen>> {
    let mut ids = ids(desired, wanted);
    ids.extend(known.iter().filter(|id| id.kind() == LOWER_KIND).cloned());
    let groups: BTreeSet<ArmId> = desired.endpoints().iter().map(|p| p.resource_group.clone()).collect();
    let list = |group| others(look, desired, group, &ids);
    let (mut endpoints, listings, (left, unread)) = futures::join!(
        super::each(ids.iter().cloned(), |id| one(look, id)),
        join_all(groups.iter().cloned().map(list)),
        left_groups(look, desired, &groups, connected),
    );
    let left = join_all(left.into_iter().map(list)).await;
    // What has an answer of its own keeps it.
    for (id, fact) in listings.into_iter().chain(left).flatten().chain(unread) {
        endpoints.entry(id).or_insert(fact);
    }
    endpoints
}

/// Ids of the endpoints that are wanted.
pub(super) fn ids(desired: &Desired, wanted: &[(ArmId, EndpointGroup)]) -> BTreeSet<ArmId> {
    let at = |p: &EndpointPlace| {
        let name = |(target, group): &(ArmId, EndpointGroup)| endpoint_name_at(p, &desired.registry, target, *group);
        let ids = wanted.iter().map(|w| p.resource_group.provider(KIND, &name(w)));
        ids.collect::<Vec<_>>()
    };
    desired.endpoints().iter().flat_map(at).collect()
}

/// Zones of ours that the records of endpoints go to which are not there yet.
pub(super) fn zones_to_be_written(
    desired: &Desired,
    wanted: &[(ArmId, EndpointGroup)],
    endpoints: &BTreeMap<ArmId, Fact<EndpointSeen>>,
) -> BTreeSet<ArmId> {
    let to_be_made = |p: &EndpointPlace, target: &ArmId, group: EndpointGroup| {
        let name = endpoint_name_at(p, &desired.registry, target, group);
        let fact = endpoints.get(&p.resource_group.provider(KIND, &name));
        fact.is_none_or(|fact| fact.seen().is_none())
    };
    let places = desired.endpoints().iter().filter(|p| p.dns.is_ours());
    let zones = places.flat_map(|p| {
        let missing = wanted.iter().filter(|(target, group)| to_be_made(p, target, *group));
        missing.filter_map(|(_, group)| p.dns.zones.get(group).cloned())
    });
    zones.collect()
}

/// Resource groups that the spec no longer names and where an endpoint of ours still stands, as connections tell; and what could not be
/// read although it may be one. What we may not read is another team's: we may read our own.
async fn left_groups(
    look: &Look<'_>,
    desired: &Desired,
    named: &BTreeSet<ArmId>,
    connected: BTreeSet<ArmId>,
) -> (BTreeSet<ArmId>, Vec<(ArmId, Fact<EndpointSeen>)>) {
    let elsewhere = |id: &ArmId| id.resource_group_id().is_some_and(|group| !named.contains(&group));
    let candidates = connected
        .into_iter()
        .filter(|id| id.kind() == LOWER_KIND && elsewhere(id) && ends_like_ours(id.name()));
    let reads = candidates.map(|id| async move { (look.read(&id).await, id) });
    let (mut groups, mut unread) = (BTreeSet::new(), Vec::new());
    for (read, id) in join_all(reads).await {
        match read {
            Ok(body) if may_be_ours(&id, &body, desired) => groups.extend(id.resource_group_id()),
            Ok(_) => {}
            Err(error) if matches!(error.cause, Cause::Missing | Cause::Forbidden) => {}
            Err(error) => unread.push((id, unseen(error))),
        }
    }
    (groups, unread)
}

/// Whether a name's last word may be the hash that names of ours end with.
fn ends_like_ours(name: &str) -> bool {
    let last = name
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    last.len() == 10 && last.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Private endpoints that a target says are connected to it. A connection whose endpoint cannot be read still is somebody's: it stands
/// there by its own id.
pub(super) fn connected(body: &Value) -> Vec<ArmId> {
    let lists = [
        "/properties/privateEndpointConnections",
        "/properties/registryPrivateEndpointConnections",
    ];
    let connections = lists.iter().flat_map(|list| json::list(body, list));
    connections
        .filter_map(|c| json::id(c, "/properties/privateEndpoint/id").or_else(|| json::id(c, "/id")))
        .collect()
}

/// Endpoints in a resource group that may be ours and are not wanted by name.
async fn others(
    look: &Look<'_>,
    desired: &Desired,
    group: ArmId,
    wanted: &BTreeSet<ArmId>,
) -> Vec<(ArmId, Fact<EndpointSeen>)> {
    let call = Call::list(look.arm(), &group, &format!("providers/{KIND}"));
    let keep =
        |body: Value| json::id(&body, "/id").filter(|id| may_be_ours(id, &body, desired) && !wanted.contains(id));
    let ids: BTreeSet<ArmId> = match look.list_of(call, keep).await {
        Ok(ids) => ids.into_iter().collect(),
        Err(error) => return vec![(group.provider(KIND, UNLISTED), unseen(error))],
    };
    let ids = ids.into_iter();
    join_all(ids.map(|id| async move { (id.clone(), one(look, id).await) })).await
}

async fn one(look: &Look<'_>, id: ArmId) -> Fact<EndpointSeen> {
    let body = match look.read(&id).await {
        Ok(body) => body,
        Err(error) => return unseen(error),
    };
    let interfaces = json::list(&body, "/properties/networkInterfaces").iter();
    let interfaces: Option<Vec<ArmId>> = interfaces.map(|n| json::id(n, "/id")).collect();
    let Some(ids) = interfaces else {
        return understood(&id, Err("a network interface of the endpoint has an id that is none"));
    };
    let list = Call::list(look.arm(), &id, "privateDnsZoneGroups");
    let (interfaces, groups) = futures::join!(join_all(ids.iter().map(|i| look.read(i))), look.list(list));
    let zone_groups = match &groups {
        Ok(items) => understood(&id, items.iter().map(zone_group).collect()),
        Err(error) => Fact::Unknown(error.clone().into_ignorance()),
    };
    let cloud = &look.inner.settings.cloud;
    let members = members(cloud, (&id, &body), &interfaces, groups.as_deref().unwrap_or_default());
    understood(&id, endpoint(&id, &body, (members, ids), zone_groups))
}

fn endpoint(
    asked: &ArmId,
    body: &Value,
    (members, network_interfaces): (Fact<Vec<Member>>, Vec<ArmId>),
    zone_groups: Fact<Vec<ZoneGroupSeen>>,
) -> Result<EndpointSeen, &'static str> {
    let all_automatic = json::list(body, "/properties/privateLinkServiceConnections");
    let all_manual = json::list(body, "/properties/manualPrivateLinkServiceConnections");
    let (automatic, manual) = (all_automatic.first(), all_manual.first());
    // What we make has one connection: with several it leads to none that could be named.
    let several = all_automatic.len() + all_manual.len() > 1;
    let connection = automatic.or(manual).filter(|_| !several).unwrap_or(&Value::Null);
    Ok(EndpointSeen {
        id: json::id(body, "/id").unwrap_or_else(|| asked.clone()),
        location: json::text(body, "/location")
            .ok_or("the endpoint has no location")?
            .into(),
        subnet: json::id(body, "/properties/subnet/id"),
        owner: json::owner(body),
        tags: json::tags(body),
        // No state means that it has succeeded (§6.1).
        provisioning_state: json::text(body, "/properties/provisioningState")
            .unwrap_or("Succeeded")
            .into(),
        target: json::id(connection, "/properties/privateLinkServiceId"),
        group_id: json::string(connection, "/properties/groupIds/0"),
        manual: automatic.is_none() && manual.is_some(),
        connection_status: json::word(connection, "/properties/privateLinkServiceConnectionState/status"),
        // The target's owner writes it for people: nothing compares it.
        connection_description: json::text(connection, "/properties/privateLinkServiceConnectionState/description")
            .map(|said| words(said, LONGEST_REASON).into_owned()),
        network_interfaces,
        members,
        zone_groups,
        digest: json::digest(body),
    })
}

fn zone_group(item: &Value) -> Result<ZoneGroupSeen, &'static str> {
    // A zone whose id cannot be read is none of ours, all of which can: other people's zones disturb nobody.
    let configs = json::list(item, "/properties/privateDnsZoneConfigs").iter();
    let zones = configs.filter_map(|c| json::id(c, "/properties/privateDnsZoneId"));
    Ok(ZoneGroupSeen {
        id: json::id(item, "/id").ok_or("a zone group has no id")?,
        provisioning_state: json::text(item, "/properties/provisioningState")
            .unwrap_or("Succeeded")
            .into(),
        zones: zones.collect(),
    })
}

/// Names and addresses: from the NIC, then `customDnsConfigs` (empty once a zone group exists, U14), then record sets.
fn members(
    cloud: &Cloud,
    (id, body): (&ArmId, &Value),
    interfaces: &[Result<Value, CallFailure>],
    groups: &[Value],
) -> Fact<Vec<Member>> {
    let interface: Option<Vec<Vec<Member>>> = interfaces.iter().flatten().map(of_interface).collect();
    let Some(interface) = interface else {
        return understood(id, Err("its network interface has a name or an address that is none"));
    };
    let interface = interface.concat();
    let named = !interface.is_empty() && interface.iter().all(|m| !m.fqdns.is_empty());
    if named && interfaces.iter().all(Result::is_ok) {
        return Fact::Seen(interface);
    }
    let group = json::list(body, "/properties/privateLinkServiceConnections")
        .first()
        .or_else(|| json::list(body, "/properties/manualPrivateLinkServiceConnections").first())
        .and_then(|c| json::text(c, "/properties/groupIds/0"))
        .unwrap_or_default();
    let custom = of_names(
        cloud,
        group,
        json::list(body, "/properties/customDnsConfigs")
            .iter()
            .map(|c| (json::text(c, "/fqdn"), json::list(c, "/ipAddresses"))),
    );
    let records = || {
        let configs = groups
            .iter()
            .flat_map(|g| json::list(g, "/properties/privateDnsZoneConfigs"));
        let sets = configs.flat_map(|c| json::list(c, "/properties/recordSets"));
        of_names(
            cloud,
            group,
            sets.map(|r| (json::text(r, "/fqdn"), json::list(r, "/ipAddresses"))),
        )
    };
    let told = if custom.is_empty() { records() } else { custom };
    // The interface knows every address; names may come from elsewhere, but none of its addresses may be left out.
    let covered = interface
        .iter()
        .filter(|m| m.fqdns.is_empty())
        .all(|m| told.iter().any(|t| t.address == m.address));
    if !told.is_empty() && covered {
        let known = interface.into_iter().filter(|m| !m.fqdns.is_empty());
        let mut all: Vec<Member> = known.collect();
        all.extend(
            told.into_iter()
                .filter(|t| !all.iter().any(|m| m.address == t.address && m.fqdns == t.fqdns))
                .collect::<Vec<_>>(),
        );
        return Fact::Seen(all);
    }
    if let Some(Err(error)) = interfaces.iter().find(|i| i.is_err()) {
        return Fact::Unknown(error.clone().into_ignorance());
    }
    Fact::Unknown(settling(
        format!("read the names of {id}"),
        "Azure has not named its addresses yet",
    ))
}

/// Members of a network interface; `None` where one of them cannot be read, because none may be left out.
fn of_interface(interface: &Value) -> Option<Vec<Member>> {
    let configs = json::list(interface, "/properties/ipConfigurations").iter();
    let linked = configs.filter_map(|c| {
        let link = c.pointer("/properties/privateLinkConnectionProperties");
        Some((c, link.filter(|link| link.is_object())?))
    });
    linked
        .map(|(config, link)| {
            Some(Member {
                member: json::string(link, "/requiredMemberName").or_else(|| json::string(link, "/groupId"))?,
                fqdns: json::list(link, "/fqdns")
                    .iter()
                    .map(|f| f.as_str()?.parse().ok())
                    .collect::<Option<_>>()?,
                address: json::text(config, "/properties/privateIPAddress")?.parse().ok()?,
            })
        })
        .collect()
}

/// Record sets have their names in the private-link zone: clients use the public ones (azure.md §3.2).
fn of_names<'a>(
    cloud: &Cloud,
    group: &str,
    names: impl Iterator<Item = (Option<&'a str>, &'a [Value])>,
) -> Vec<Member> {
    let public = |fqdn: &str| cloud.public_name(&fqdn.parse::<Fqdn>().ok()?);
    let mut members = Vec::new();
    for (fqdn, addresses) in names {
        let Some(fqdn) = fqdn.and_then(public) else {
            continue;
        };
        let member = member_of(group, fqdn.as_str());
        let addresses = addresses.iter().filter_map(|a| a.as_str()?.parse::<IpAddr>().ok());
        members.extend(addresses.map(|address| Member {
            member: member.clone(),
            fqdns: vec![fqdn.clone()],
            address,
        }));
    }
    members
}

/// The member that a name belongs to: `<acr>.<region>.data.<suffix>` is a container registry's data endpoint (§3.2).
fn member_of(group: &str, fqdn: &str) -> String {
    let labels: Vec<&str> = fqdn.split('.').collect();
    match (labels.get(1), labels.get(2)) {
        (Some(region), Some(&"data")) if group == EndpointGroup::ContainerRegistry.group_id() => {
            format!("registry_data_{region}")
        }
        _ => group.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sreg_domain::BuiltInCloud;

    use super::*;

    fn id() -> ArmId {
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/p"
            .parse()
            .unwrap()
    }

    fn body(custom: Value) -> Value {
        json!({"location": "westeurope", "properties": {"customDnsConfigs": custom, "privateLinkServiceConnections": [
            {"properties": {"groupIds": ["registry"]}}]}})
    }

    fn interface(fqdns: Value) -> Value {
        json!({"properties": {"ipConfigurations": [{"properties": {"privateIPAddress": "10.0.0.4",
            "privateLinkConnectionProperties": {"groupId": "registry", "requiredMemberName": "registry_data_westeurope", "fqdns": fqdns}}}]}})
    }

    fn seen(body: &Value, interfaces: &[Result<Value, CallFailure>], groups: &[Value]) -> Fact<Vec<Member>> {
        let cloud = BuiltInCloud::AzurePublic.cloud().unwrap();
        members(&cloud, (&id(), body), interfaces, groups)
    }

    fn names(fact: Fact<Vec<Member>>) -> Vec<(String, String, String)> {
        let Fact::Seen(members) = fact else { panic!("{fact:?}") };
        members
            .iter()
            .map(|m| (m.member.clone(), m.fqdns[0].to_string(), m.address.to_string()))
            .collect()
    }

    #[test]
    fn members_come_from_the_interface_then_the_dns_configs_then_the_record_sets() {
        let expected = vec![(
            "registry_data_westeurope".to_owned(),
            "c.westeurope.data.azurecr.io".to_owned(),
            "10.0.0.4".to_owned(),
        )];
        let custom = json!([{"fqdn": "c.westeurope.data.azurecr.io", "ipAddresses": ["10.0.0.4"]}]);
        let groups = [
            json!({"properties": {"privateDnsZoneConfigs": [{"properties": {"recordSets": [
            {"fqdn": "c.westeurope.data.privatelink.azurecr.io", "ipAddresses": ["10.0.0.4"]}]}}]}}),
        ];
        let named = Ok(interface(json!(["c.westeurope.data.azurecr.io"])));
        let nameless = || Ok(interface(json!([])));
        assert_eq!(names(seen(&body(json!([])), &[named], &[])), expected);
        assert_eq!(names(seen(&body(custom.clone()), &[nameless()], &[])), expected);
        assert_eq!(names(seen(&body(json!([])), &[nameless()], &groups)), expected);
        assert_eq!(names(seen(&body(custom), &[], &[])), expected);
    }

    #[test]
    fn an_endpoint_without_names_is_not_known_rather_than_empty() {
        assert!(seen(&body(json!([])), &[], &[]).ignorance().is_some());
        let other = json!([{"fqdn": "c.azurecr.io", "ipAddresses": ["10.0.0.9"]}]);
        let left_out = seen(&body(other), &[Ok(interface(json!([])))], &[]);
        assert!(left_out.ignorance().is_some(), "10.0.0.4 has no name");
    }

    #[test]
    fn a_manual_connection_is_told_from_an_automatic_one() {
        let connection = json!([{"properties": {"privateLinkServiceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
            "groupIds": ["blob"], "privateLinkServiceConnectionState": {"status": "Pending", "description": "please"}}}]);
        let body = json!({"location": "westeurope", "tags": {"SecureRegistry-Owner": "i/n/r"}, "properties": {
            "provisioningState": "Succeeded", "privateLinkServiceConnections": [], "manualPrivateLinkServiceConnections": connection}});
        let seen = endpoint(&id(), &body, (Fact::Absent, Vec::new()), Fact::Absent).unwrap();
        assert!(seen.manual && !seen.is_ready());
        assert_eq!(
            (seen.owner.as_deref(), seen.group_id.as_deref()),
            (Some("i/n/r"), Some("blob"))
        );
        assert_eq!(seen.connection_status.as_deref(), Some("Pending"));
        assert!(endpoint(&id(), &json!({}), (Fact::Absent, Vec::new()), Fact::Absent).is_err());
    }
}
