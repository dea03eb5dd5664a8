//! Whose things are, names of any alphabet, and other people's odd objects: with the simulator's answers.

use std::collections::BTreeMap;

use azure_sim::Seed;
use serde_json::{Value, json};
use sreg_domain::naming::{endpoint_name, link_name};
use sreg_domain::seen::{AzureSeen, Fact};
use sreg_domain::{ArmId, AzureAction, Effect, EndpointGroup, TargetKind};

use crate::simulated::*;
use crate::steps::*;

fn merge(id: &ArmId, tags: &[(&str, &str)]) -> AzureAction {
    AzureAction::MergeTags {
        id: id.clone(),
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        owner: OWNER.into(),
    }
}

async fn endpoint(bench: &mut Bench) -> ArmId {
    let azure = bench.observe().await;
    let (target, group) = targets(&azure)[1].clone();
    let create = create_endpoint(&target, group);
    let id = create.resource().clone();
    bench.complete(create).await;
    id
}

#[tokio::test]
async fn a_wiped_tag_is_merged_back_and_nobodys_tag_is_lost() {
    let mut bench = Bench::new();
    let id = endpoint(&mut bench).await;
    assert!(
        bench
            .simulator
            .change_by_hand(id.as_str(), |body| body["tags"] = json!({"costCenter": "7"}))
    );
    let azure = bench.observe().await;
    let there = seen(&azure.endpoints[&id]);
    assert_eq!((there.owner.as_deref(), there.tags.len()), (None, 1));
    // Without its tag nothing is removed; what is missing below it can be made.
    let delete = AzureAction::DeleteEndpoint {
        id: id.clone(),
        owner: OWNER.into(),
    };
    let effect = bench.carry_out(delete.clone()).await.unwrap();
    assert!(matches!(effect, Effect::Stale(_)), "{effect:?}");
    bench
        .complete(merge(&id, &[("secureregistry-owner", OWNER), ("COSTCENTER", "8")]))
        .await;
    assert_eq!(
        bench.body(&id)["tags"],
        json!({"costCenter": "8", "secureregistry-owner": OWNER})
    );
    bench.complete(delete).await;
}

#[tokio::test]
async fn a_copied_tag_makes_nothing_ours() {
    let mut bench = Bench::new();
    let id = endpoint(&mut bench).await;
    let azure = bench.observe().await;
    let (target, group) = targets(&azure)[0].clone();
    let AzureAction::CreateEndpoint { id: free, .. } = create_endpoint(&target, group) else {
        panic!("not a creation")
    };
    // The body of one under the name of another: same tag, other target.
    let mut copy = bench.body(&id);
    copy["id"] = json!(free.as_str());
    bench.simulator.put_by_hand(free.as_str(), copy);
    let delete = AzureAction::DeleteEndpoint {
        id: free.clone(),
        owner: OWNER.into(),
    };
    let before = bench.body(&free);
    for action in [delete, merge(&free, &[("a", "b")])] {
        let effect = bench.carry_out(action).await.unwrap();
        assert!(matches!(effect, Effect::Stale(_)), "{effect:?}");
    }
    assert_eq!(bench.body(&free), before);
}

#[tokio::test]
async fn nothing_that_carries_another_owners_tag_is_tagged() {
    let mut bench = Bench::new();
    let id = endpoint(&mut bench).await;
    bench.simulator.change_by_hand(id.as_str(), |body| {
        body["tags"] = json!({"SecureRegistry-Owner": "other/n/r"})
    });
    let effect = bench
        .carry_out(merge(&id, &[("secureregistry-owner", OWNER)]))
        .await
        .unwrap();
    assert!(matches!(effect, Effect::Stale(_)), "{effect:?}");
}

/// The demo's world with resource groups and networks whose names are not ASCII.
fn abroad() -> (azure_sim::Simulator, ArmId, ArmId) {
    let mut seed: Seed = seed("demo");
    let group = |name: &str| json!({"id": format!("{PLATFORM}/resourceGroups/{name}"), "location": "westeurope"});
    let network = format!("{PLATFORM}/resourceGroups/rg-münchen/providers/Microsoft.Network/virtualNetworks/Büro-Köln");
    let body = json!({"id": network, "location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.77.0.0/16"]}, "subnets": []}});
    seed.resources
        .extend(serde_json::from_value::<Vec<_>>(json!([group("rg-münchen"), group("RG-Größe"), body])).unwrap());
    let own = id(&format!("{PLATFORM}/resourceGroups/RG-Größe"));
    (azure_sim::Simulator::new(seed), own, id(&network))
}

#[tokio::test]
async fn names_of_any_alphabet_are_read_written_and_linked() {
    let (simulator, group, network) = abroad();
    let mut bench = Bench::of(simulator, settings());
    bench.desired.spec.as_mut().unwrap().endpoints[0].resource_group = group.clone();
    bench.desired.spec.as_mut().unwrap().endpoints[0]
        .dns
        .links
        .push(network.clone());
    let azure = bench.observe().await;
    assert!(azure.virtual_networks[&network].seen().is_some(), "{azure:?}");
    let mut made = Vec::new();
    for (target, kind) in targets(&azure) {
        let AzureAction::CreateEndpoint { subnet, .. } = create_endpoint(&target, kind) else {
            panic!("not a creation")
        };
        let id = group.provider(
            "Microsoft.Network/privateEndpoints",
            &endpoint_name(&target, &subnet, kind),
        );
        let action = AzureAction::CreateEndpoint {
            id: id.clone(),
            location: "westeurope".into(),
            subnet,
            target,
            group: kind,
            manual_request: None,
            tags: BTreeMap::from([("größe".to_owned(), "groß".to_owned())]),
            owner: OWNER.into(),
        };
        bench.complete(action).await;
        made.push(id);
    }
    let blob = zone(EndpointGroup::Blob);
    let create = AzureAction::CreateZone {
        id: blob.clone(),
        tags: BTreeMap::new(),
        owner: OWNER.into(),
    };
    bench.complete(create).await;
    let link = blob.child("virtualNetworkLinks", &link_name(&network));
    let action = AzureAction::LinkZone {
        id: link.clone(),
        virtual_network: network.clone(),
        resolution_policy: Default::default(),
        tags: BTreeMap::new(),
        owner: OWNER.into(),
    };
    bench.complete(action).await;
    let azure = bench.observe().await;
    for id in &made {
        let endpoint = seen(&azure.endpoints[id]);
        assert!(endpoint.is_ready() && endpoint.members.seen().is_some(), "{endpoint:?}");
    }
    let links = seen(&seen(&azure.zones[&blob]).links);
    assert_eq!(links.iter().map(|l| &l.virtual_network).collect::<Vec<_>>(), [&network]);
    assert_eq!(azure.odd, [""; 0]);
}

/// Everything that other people may have put beside ours, and that makes no sense.
fn clutter(bench: &Bench, zone: &ArmId) {
    let put = |id: String, body: Value| bench.simulator.put_by_hand(&id, body);
    for (name, body) in [
        ("nothing", json!({"name": "nothing"})),
        (
            "null-network",
            json!({"name": "null-network", "properties": {"virtualNetwork": null}}),
        ),
        (
            "no-id",
            json!({"name": "no-id", "properties": {"virtualNetwork": {"id": "the spoke"}}}),
        ),
    ] {
        put(format!("{zone}/virtualNetworkLinks/{name}"), body);
    }
    let theirs = format!("{PLATFORM}/resourceGroups/rg%20m/providers/Microsoft.Network/virtualNetworks/théâtre 東京");
    put(
        format!("{zone}/virtualNetworkLinks/abroad"),
        json!({"id": format!("{zone}/virtualNetworkLinks/abroad"), "name": "abroad",
            "properties": {"virtualNetwork": {"id": theirs}, "virtualNetworkLinkState": "Completed", "provisioningState": "Succeeded"}}),
    );
    put(
        format!("{zone}/A/odd"),
        json!({"name": "odd", "properties": {"aRecords": [{"ipv4Address": "everywhere"}, null]}}),
    );
    put(format!("{zone}/A/nameless"), json!({"properties": {"aRecords": null}}));
    let endpoints = format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network/privateEndpoints");
    put(
        format!("{endpoints}/odd"),
        json!({"id": 7, "tags": null, "properties": null}),
    );
    put(
        format!("{endpoints}/alias"),
        json!({"id": format!("{endpoints}/alias"), "tags": {"secureregistry-owner": null}, "properties": {
            "subnet": {"id": "???"}, "manualPrivateLinkServiceConnections": [{"properties": {"privateLinkServiceId": "alias.guid.azure.privatelinkservice"}}]}}),
    );
    let zones = format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network/privateDnsZones");
    put(format!("{zones}/odd"), json!({"id": null, "name": null}));
}

fn unknown(azure: &AzureSeen) -> Vec<String> {
    let mut all = Vec::new();
    let mut told = |what: &str, ignorance: Option<&sreg_domain::Ignorance>| {
        all.extend(ignorance.map(|why| format!("{what}: {why:?}")));
    };
    told("registry", azure.registry().ignorance());
    azure
        .deny_assignments
        .values()
        .for_each(|f| told("denials", f.ignorance()));
    told("elsewhere", azure.zones_elsewhere.ignorance());
    told("obstacles", azure.reopening_obstacles.ignorance());
    azure
        .targets
        .accounts()
        .for_each(|(_, f)| told("account", f.ignorance()));
    for fact in azure.endpoints.values() {
        told("endpoint", fact.ignorance());
        told("members", fact.seen().and_then(|e| e.members.ignorance()));
        told("zone groups", fact.seen().and_then(|e| e.zone_groups.ignorance()));
    }
    for fact in azure.zones.values() {
        told("zone", fact.ignorance());
        told("links", fact.seen().and_then(|z| z.links.ignorance()));
        told("records", fact.seen().and_then(|z| z.records.ignorance()));
    }
    all
}

#[tokio::test]
async fn other_peoples_odd_objects_stop_nothing_of_ours() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    let before = bench.observe().await;
    assert_eq!(unknown(&before), [""; 0]);
    let blob = zone(EndpointGroup::Blob);
    clutter(&bench, &blob);
    let account = before.targets.of(TargetKind::Storage).next().unwrap().0;
    bench.simulator.change_by_hand(account.as_str(), |body| {
        let connections = body["properties"]["privateEndpointConnections"].as_array_mut().unwrap();
        connections.push(
            json!({"id": format!("{account}/privateEndpointConnections/c"), "properties": {"privateEndpoint": null}}),
        );
        connections.push(json!(null));
    });
    let endpoint = before
        .endpoints
        .iter()
        .find(|(_, f)| f.seen().is_some())
        .unwrap()
        .0
        .clone();
    bench.simulator.put_by_hand(
        &format!("{endpoint}/privateDnsZoneGroups/theirs"),
        json!({"id": format!("{endpoint}/privateDnsZoneGroups/theirs"), "properties": {"privateDnsZoneConfigs": [{"properties": {"privateDnsZoneId": "a zone"}}, null]}}),
    );
    let after = bench.observe().await;
    assert_eq!(unknown(&after), [""; 0]);
    assert_eq!(
        after.endpoints.keys().collect::<Vec<_>>(),
        before.endpoints.keys().collect::<Vec<_>>()
    );
    let (then, now) = (seen(&before.zones[&blob]), seen(&after.zones[&blob]));
    let (records, links) = (seen(&now.records), seen(&now.links));
    for (name, addresses) in seen(&then.records) {
        assert_eq!(records.get(name), Some(addresses), "{name}");
    }
    for link in seen(&then.links) {
        assert!(links.contains(link), "{link:?}");
    }
    assert!(
        records["odd"].iter().all(std::net::IpAddr::is_unspecified),
        "a record stands there"
    );
    assert!(
        links.iter().any(|l| l.virtual_network.name() == "théâtre 東京"),
        "{links:?}"
    );
    // Somebody is connected, though nobody can say who.
    let connected = &seen(after.targets.get(account)).private_endpoints;
    assert!(connected.iter().any(|id| id.name() == "c"), "{connected:?}");
    let odd = after.odd.join("\n");
    for told in ["nothing", "null-network", "no-id"] {
        assert!(odd.contains(told), "{told}: {odd}");
    }
}

/// A link that says by its name that we made it, and that cannot be read, is not known: it is not made again.
#[tokio::test]
async fn an_odd_item_that_may_be_ours_is_not_known() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    let blob = zone(EndpointGroup::Blob);
    let link = blob.child("virtualNetworkLinks", &link_name(&network("hub")));
    bench
        .simulator
        .change_by_hand(link.as_str(), |body| body["properties"]["virtualNetwork"] = json!(null));
    let azure = bench.observe().await;
    assert!(matches!(seen(&azure.zones[&blob]).links, Fact::Unknown(_)));
}

/// A policy that demands tags refuses what is made without them, and merges that would take them away; with them all goes well.
#[tokio::test]
async fn what_a_policy_demands_of_tags_can_be_given() {
    let mut seed = seed("demo");
    let definition = format!("{PLATFORM}/providers/Microsoft.Authorization/policyDefinitions/tags");
    let kinds = json!([
        "Microsoft.Network/privateEndpoints",
        "Microsoft.Network/privateDnsZones",
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks"
    ]);
    let rule = json!({"if": {"allOf": [{"field": "type", "in": kinds}, {"field": "tags['costCenter']", "exists": "false"}]}, "then": {"effect": "deny"}});
    seed.resources.extend(
        serde_json::from_value::<Vec<_>>(json!([
            {"id": definition, "properties": {"displayName": "Cost centers", "policyRule": rule}},
            {"id": format!("{PLATFORM}/providers/Microsoft.Authorization/policyAssignments/tags"),
             "properties": {"displayName": "Cost centers", "policyDefinitionId": definition}}]))
        .unwrap(),
    );
    let mut bench = Bench::of(azure_sim::Simulator::new(seed), settings());
    let azure = bench.observe().await;
    let (target, group) = targets(&azure)[1].clone();
    let with = |tagged: bool, mut action: AzureAction| {
        if let AzureAction::CreateEndpoint { tags, .. }
        | AzureAction::CreateZone { tags, .. }
        | AzureAction::LinkZone { tags, .. } = &mut action
            && tagged
        {
            tags.insert("costCenter".into(), "7".into());
        }
        action
    };
    let create_zone = AzureAction::CreateZone {
        id: zone(EndpointGroup::Blob),
        tags: BTreeMap::new(),
        owner: OWNER.into(),
    };
    for action in [
        create_endpoint(&target, group),
        create_zone,
        link(EndpointGroup::Blob, "hub"),
    ] {
        let failure = bench.carry_out(with(false, action.clone())).await.unwrap_err();
        assert_eq!(
            failure.code.as_deref(),
            Some("RequestDisallowedByPolicy"),
            "{failure:?}"
        );
        assert!(failure.message.contains("tags[costCenter]"), "{failure:?}");
        bench.complete(with(true, action.clone())).await;
        assert_eq!(bench.body(action.resource())["tags"]["costCenter"], "7");
    }
}

#[tokio::test]
async fn below_an_endpoint_that_carries_the_tag_of_another_by_now_no_zone_group_is_written_or_deleted() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    let azure = bench.observe().await;
    let endpoint = azure.endpoints.values().map(seen).next().unwrap().clone();
    let group = seen(&endpoint.zone_groups).first().unwrap().clone();
    let handed_over = |body: &mut Value| body["tags"] = json!({"secureregistry-owner": "other/team/registry"});
    assert!(bench.simulator.change_by_hand(endpoint.id.as_str(), handed_over));
    let before = bench.writes();
    let owner = OWNER.to_owned();
    let put = AzureAction::PutZoneGroup {
        id: group.id.clone(),
        zones: group.zones.clone(),
        owner: owner.clone(),
    };
    let delete = AzureAction::DeleteZoneGroup { id: group.id, owner };
    for action in [put, delete] {
        let effect = bench.carry_out(action).await.unwrap();
        assert!(matches!(effect, Effect::Stale(_)), "{effect:?}");
    }
    assert_eq!(bench.writes(), before);
}
