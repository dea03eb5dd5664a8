//! Virtual networks, subnets, peerings: what Azure refuses of them, and how both sides of a peering learn of each other.

use serde_json::{Value, json};

use crate::azure::*;

fn body(prefixes: &[&str], subnets: &[(&str, &str)]) -> Value {
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|(name, prefix)| json!({"name": name, "properties": {"addressPrefix": prefix}}))
        .collect();
    json!({"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": prefixes}, "subnets": subnets}})
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test(start_paused = true)]
async fn a_network_that_azure_would_refuse_is_refused_as_a_whole() {
    let azure = Azure::new().await;
    let good = || body(&["10.70.0.0/16"], &[("a", "10.70.1.0/24")]);
    for (asked, code) in [
        (body(&[], &[]), "AddressSpaceRequired"),
        (body(&["10.70.0.1/16"], &[]), "InvalidCIDRNotation"),
        (body(&["everywhere"], &[]), "InvalidCIDRNotation"),
        (body(&["10.70.0.0/16", "10.70.1.0/24"], &[]), "AddressPrefixesOverlap"),
        (body(&["10.70.0.0/16"], &[("a", "10.71.0.0/24")]), "NetcfgInvalidSubnet"),
        (
            body(&["10.70.0.0/16"], &[("a", "10.70.0.0/24"), ("b", "10.70.0.0/25")]),
            "NetcfgSubnetRangesOverlap",
        ),
        (
            with(good(), "location", json!("middleearth")),
            "LocationNotAvailableForResourceType",
        ),
        (with(good(), "location", Value::Null), "LocationRequired"),
        (with(good(), "tags", json!({"a": 1})), "InvalidRequestContent"),
    ] {
        let refused = azure.put(&vnet("new"), NETWORK, asked).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{}", refused.body);
        assert_eq!(azure.world(&vnet("new")), Value::Null, "{code}");
    }
    let made = azure
        .put(&vnet("new"), NETWORK, with(good(), "location", json!("West Europe")))
        .await;
    assert_eq!((made.status, made.text("/location")), (201, "westeurope"));
    assert_eq!(made.text("/properties/provisioningState"), "Updating");
    let moved = azure
        .put(&vnet("new"), NETWORK, with(good(), "location", json!("northeurope")))
        .await;
    assert_eq!((moved.status, moved.code()), (409, "InvalidResourceLocation"));
}

#[tokio::test(start_paused = true)]
async fn a_subnet_lies_in_its_network_and_meets_no_other() {
    let azure = Azure::new().await;
    let subnet = format!("{}/subnets/new", vnet("hub"));
    for (prefix, code) in [
        ("10.0.1.128/25", "NetcfgSubnetRangesOverlap"),
        ("10.9.0.0/24", "NetcfgInvalidSubnet"),
        ("", "NetcfgInvalidSubnet"),
    ] {
        let refused = azure
            .put(&subnet, NETWORK, json!({"properties": {"addressPrefix": prefix}}))
            .await;
        assert_eq!((refused.status, refused.code()), (400, code), "{prefix}");
    }
    azure
        .done(
            "PUT",
            &subnet,
            NETWORK,
            Some(json!({"properties": {"addressPrefix": "10.0.2.0/24"}})),
        )
        .await;
    let hub = azure.get(&vnet("hub"), NETWORK).await;
    let listed = hub.list("/properties/subnets");
    assert!(listed.iter().any(|s| s["name"] == "new") && listed.iter().all(|s| s["etag"] == hub.body["etag"]));
}

#[tokio::test(start_paused = true)]
async fn a_peering_whose_other_side_goes_is_disconnected_until_both_are_made_anew() {
    let azure = Azure::new().await;
    let side = |a: &str, b: &str| format!("{}/virtualNetworkPeerings/to-{b}", vnet(a));
    let (hub, spoke) = (side("hub", "spoke-a"), side("spoke-a", "hub"));
    let before = azure.get(&hub, NETWORK).await;
    assert_eq!(before.text("/properties/peeringState"), "Connected");
    assert_eq!(before.text("/properties/peeringSyncLevel"), "FullyInSync");
    assert_eq!(
        before.text("/properties/remoteAddressSpace/addressPrefixes/0"),
        "10.1.0.0/16"
    );
    azure.done("DELETE", &spoke, NETWORK, None).await;
    assert_eq!(
        azure.get(&hub, NETWORK).await.text("/properties/peeringState"),
        "Disconnected"
    );
    let back = json!({"properties": {"remoteVirtualNetwork": {"id": vnet("hub")}}});
    let refused = azure.put(&spoke, NETWORK, back.clone()).await;
    assert_eq!((refused.status, refused.code()), (400, "RemotePeeringIsDisconnected"));
    azure.done("DELETE", &hub, NETWORK, None).await;
    azure.done("PUT", &spoke, NETWORK, Some(back)).await;
    assert_eq!(
        azure.get(&spoke, NETWORK).await.text("/properties/peeringState"),
        "Initiated"
    );
    let forth = json!({"properties": {"remoteVirtualNetwork": {"id": vnet("spoke-a")}}});
    azure.done("PUT", &hub, NETWORK, Some(forth)).await;
    assert_eq!(
        azure.get(&spoke, NETWORK).await.text("/properties/peeringState"),
        "Connected"
    );
}

#[tokio::test(start_paused = true)]
async fn interfaces_of_endpoints_are_theirs_and_subnets_name_who_is_in_them() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let endpoint = azure.make_endpoint("x1", &storage, "blob").await;
    let subnet = azure.get(&format!("{}/subnets/endpoints", vnet("hub")), NETWORK).await;
    assert_eq!(subnet.text("/properties/privateEndpoints/0/id"), endpoint);
    let interface = azure.world(&endpoint)["properties"]["networkInterfaces"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = azure.delete(&interface, NETWORK).await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "CannotModifyNicAttachedToPrivateEndpoint")
    );
}
