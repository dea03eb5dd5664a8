//! Private endpoints: creation, addresses, approval, refusals, neighbours, replicas, deletion.

use azure_sim::targets::{endpoints_of, fqdns_of};
use serde_json::{Value, json};

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn an_endpoint_takes_minutes_then_has_addresses_names_and_an_approved_connection() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    let id = endpoint("acr");
    let started = azure.put(&id, NETWORK, endpoint_body(&acr, "registry")).await;
    assert_eq!(
        (started.status, started.text("/properties/provisioningState")),
        (201, "Creating")
    );
    assert!(started.header("azure-asyncoperation").is_some() && started.header("retry-after").is_some());
    azure.sim.advance(std::time::Duration::from_secs(459));
    assert_eq!(
        azure.get(&id, NETWORK).await.text("/properties/provisioningState"),
        "Creating"
    );
    azure.finish(&started).await;
    assert!(azure.sim.now().as_secs() <= 680, "{:?}", azure.sim.now());

    let made = azure.get(&id, NETWORK).await;
    assert_eq!(made.text("/properties/provisioningState"), "Succeeded");
    assert_eq!(status(&azure, &id), "Approved");
    let nic = azure
        .get(made.text("/properties/networkInterfaces/0/id"), NETWORK)
        .await;
    let configurations = nic.list("/properties/ipConfigurations");
    let addresses: Vec<&str> = configurations
        .iter()
        .map(|c| c["properties"]["privateIPAddress"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, ["10.0.1.4", "10.0.1.5"]);
    let members: Vec<&str> = configurations
        .iter()
        .map(|c| {
            c["properties"]["privateLinkConnectionProperties"]["requiredMemberName"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(members, ["registry", "registry_data_westeurope"]);
    assert_eq!(made.list("/properties/customDnsConfigs").len(), 2);
    assert_eq!(
        azure.put(&id, NETWORK, endpoint_body(&acr, "registry")).await.status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_endpoint_of_a_container_registry_turns_its_data_endpoints_on() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    assert_eq!(azure.world(&acr)["properties"]["dataEndpointEnabled"], false);
    azure.make_endpoint("acr", &acr, "registry").await;
    let body = azure.world(&acr);
    assert_eq!(body["properties"]["dataEndpointEnabled"], true);
    let host = body["properties"]["dataEndpointHostNames"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(host.ends_with(".westeurope.data.azurecr.io"), "{host}");
    assert_eq!(
        body["properties"]["privateEndpointConnections"][0]["properties"]["privateLinkServiceConnectionState"]["actionsRequired"],
        "None"
    );
}

#[tokio::test(start_paused = true)]
async fn storage_spells_its_action_in_the_singular_and_hierarchical_storage_has_dfs_too() {
    let azure = Azure::with(|seed| seed.registries[0].hierarchical_namespace = true).await;
    let (storage, _) = azure.accounts();
    azure.make_endpoint("blob", &storage, "blob").await;
    azure.make_endpoint("dfs", &storage, "dfs").await;
    let connections = azure
        .get(&format!("{storage}/privateEndpointConnections"), STORAGE)
        .await;
    assert_eq!(connections.list("/value").len(), 2);
    assert_eq!(
        connections.text("/value/0/properties/privateLinkServiceConnectionState/actionRequired"),
        "None"
    );
    let hosts: Vec<String> = azure
        .sim
        .with_world(|w| fqdns_of(w, &storage))
        .into_iter()
        .map(|n| n.fqdn)
        .collect();
    assert!(hosts[0].ends_with(".blob.core.windows.net") && hosts[1].ends_with(".dfs.core.windows.net"));
    let flat = Azure::new().await;
    let (storage, _) = flat.accounts();
    let refused = flat
        .put(&endpoint("dfs"), NETWORK, endpoint_body(&storage, "dfs"))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (501, "NotModelledByAzureSim"),
        "Azure has the group for every account; the simulator gives names only to hierarchical ones"
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_not_permitted_in_the_managed_resource_group() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let inside = format!(
        "{}/providers/Microsoft.Network/privateEndpoints/x",
        storage.split("/providers/").next().unwrap()
    );
    let refused = azure.put(&inside, NETWORK, endpoint_body(&storage, "blob")).await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "DenyAssignmentAuthorizationFailed")
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_put_refers_to_has_to_fit() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let good = endpoint_body(&storage, "blob");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let connection = "/properties/privateLinkServiceConnections";
    let both = {
        let mut body = good.clone();
        body["properties"]["manualPrivateLinkServiceConnections"] =
            good["properties"]["privateLinkServiceConnections"].clone();
        body
    };
    for (body, code) in [
        (with("/location", json!("northeurope")), "InvalidResourceReference"),
        (
            with("/properties/subnet/id", json!(format!("{}/subnets/none", vnet("hub")))),
            "SubnetNotFound",
        ),
        (
            with("/properties/subnet/id", json!(format!("{}/subnets/none", vnet("none")))),
            "InvalidResourceReference",
        ),
        (with(connection, json!([])), "PrivateEndpointMustHaveOneConnection"),
        (both, "PrivateEndpointMustHaveOneConnection"),
        (
            with(&format!("{connection}/0/properties/groupIds"), json!([])),
            "MissingRequiredParameter",
        ),
        (
            with(&format!("{connection}/0/properties/groupIds"), json!(["nonsense"])),
            "InvalidPrivateLinkServiceId",
        ),
        (
            with(
                &format!("{connection}/0/properties/privateLinkServiceId"),
                json!("/nothing"),
            ),
            "InvalidPrivateLinkServiceId",
        ),
    ] {
        let refused = azure.put(&endpoint("x"), NETWORK, body).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{}", refused.body);
    }
    azure.make_endpoint("x", &storage, "blob").await;
    let (_, acr) = azure.accounts();
    let changed = azure
        .put(&endpoint("x"), NETWORK, endpoint_body(&acr, "registry"))
        .await;
    assert_eq!(changed.code(), "PrivateEndpointPropertyCannotBeChanged");
}

#[tokio::test(start_paused = true)]
async fn a_second_endpoint_in_the_same_network_is_told_to_wait_with_a_429_that_is_no_throttling() {
    let azure = Azure::new().await;
    let (storage, acr) = azure.accounts();
    let first = azure
        .put(&endpoint("one"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    let second = azure
        .put(&endpoint("two"), NETWORK, endpoint_body(&acr, "registry"))
        .await;
    assert_eq!(
        (second.status, second.code()),
        (429, "RetryableErrorDueToAnotherOperation")
    );
    assert_eq!(second.nested(), "ReferencedResourceNotProvisioned");
    assert!(second.header("retry-after").is_some());
    assert_ne!(second.header("x-ms-ratelimit-remaining-subscription-writes"), Some("0"));
    let own = azure
        .put(&endpoint("one"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    assert_eq!(own.code(), "RetryableErrorDueToAnotherOperation");
    azure.finish(&first).await;
    assert_eq!(
        azure
            .put(&endpoint("two"), NETWORK, endpoint_body(&acr, "registry"))
            .await
            .status,
        201
    );
}

#[tokio::test(start_paused = true)]
async fn two_endpoints_on_one_storage_account_collide_late_and_leave_a_failed_endpoint() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let first = azure
        .put(&endpoint("one"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    let mut body = endpoint_body(&storage, "blob");
    body["properties"]["subnet"]["id"] = json!(format!("{}/subnets/workload", vnet("spoke-a")));
    let second = azure.put(&endpoint("two"), NETWORK, body.clone()).await;
    assert_eq!(second.status, 201, "{}", second.body);
    let ended = azure.finish(&second).await;
    assert_eq!(
        (ended.status, ended.text("/status")),
        (200, "Failed"),
        "a failure is a 200"
    );
    assert_eq!(ended.code(), "StorageAccountOperationInProgress");
    assert_eq!(
        azure
            .get(&endpoint("two"), NETWORK)
            .await
            .text("/properties/provisioningState"),
        "Failed"
    );
    azure.finish(&first).await;
    azure.done("PUT", &endpoint("two"), NETWORK, Some(body)).await;
    assert_eq!(
        azure
            .get(&endpoint("two"), NETWORK)
            .await
            .text("/properties/provisioningState"),
        "Succeeded"
    );
}

#[tokio::test(start_paused = true)]
async fn static_addresses_go_by_member_name_and_a_full_subnet_refuses() {
    let azure = Azure::with(|seed| seed.virtual_networks[0].subnets[0].prefix = "10.0.1.0/29".into()).await;
    let (storage, acr) = azure.accounts();
    let mut body = endpoint_body(&acr, "registry");
    body["properties"]["ipConfigurations"] = json!([
        {"name": "b", "properties": {"groupId": "registry", "memberName": "registry_data_westeurope", "privateIPAddress": "10.0.1.4"}},
        {"name": "a", "properties": {"groupId": "registry", "memberName": "registry", "privateIPAddress": "10.0.1.6"}},
    ]);
    azure.done("PUT", &endpoint("acr"), NETWORK, Some(body)).await;
    let view = azure.sim.with_world(|w| endpoints_of(w, &acr)).remove(0);
    let pairs: Vec<(String, String)> = view
        .members
        .iter()
        .map(|m| (m.member.clone(), m.address.to_string()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("registry".into(), "10.0.1.6".into()),
            ("registry_data_westeurope".into(), "10.0.1.4".into())
        ]
    );
    azure.make_endpoint("blob", &storage, "blob").await;
    let registry = azure.registry();
    let full = azure
        .put(&endpoint("reg"), NETWORK, endpoint_body(&registry, "amlregistry"))
        .await;
    assert_eq!((full.status, full.code()), (400, "SubnetIsFull"));
    assert_eq!(azure.world(&endpoint("reg")), Value::Null);
    for (address, code) in [
        ("10.0.1.5", "PrivateIPAddressInUse"),
        ("10.0.9.4", "PrivateIPAddressNotInSubnet"),
        ("10.0.1.3", "PrivateIPAddressNotInSubnet"),
    ] {
        let mut body = endpoint_body(&registry, "amlregistry");
        body["properties"]["ipConfigurations"] = json!([{"name": "a", "properties": {"groupId": "amlregistry", "memberName": "amlregistry", "privateIPAddress": address}}]);
        assert_eq!(
            azure.put(&endpoint("reg"), NETWORK, body).await.code(),
            code,
            "{address}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_replica_adds_an_address_to_each_endpoint_and_reopens_manual_approval() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    azure.make_endpoint("auto", &acr, "registry").await;
    azure
        .done("PUT", &endpoint("manual"), NETWORK, Some(manual_body(&acr, "registry")))
        .await;
    assert!(azure.sim.approve(&endpoint("manual")));
    let mut body = azure.get(&azure.registry(), REGISTRY).await.body;
    body["properties"]["regionDetails"]
        .as_array_mut()
        .unwrap()
        .push(json!({"location": "northeurope"}));
    azure.done("PUT", &azure.registry(), REGISTRY, Some(body)).await;
    let views = azure.sim.with_world(|w| endpoints_of(w, &acr));
    assert!(views.iter().all(|v| v.members.len() == 3), "{views:?}");
    assert_eq!(status(&azure, &endpoint("auto")), "Approved");
    assert_eq!(status(&azure, &endpoint("manual")), "Pending");
    assert_eq!(
        azure.world(&acr)["properties"]["dataEndpointHostNames"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_finds_a_full_subnet_is_rolled_back_without_naming_it() {
    let azure = Azure::with(|seed| seed.virtual_networks[0].subnets[0].prefix = "10.0.1.0/29".into()).await;
    let (storage, acr) = azure.accounts();
    azure.make_endpoint("acr", &acr, "registry").await;
    azure.make_endpoint("blob", &storage, "blob").await;
    let mut body = azure.get(&azure.registry(), REGISTRY).await.body;
    body["properties"]["regionDetails"]
        .as_array_mut()
        .unwrap()
        .push(json!({"location": "northeurope"}));
    let started = azure.put(&azure.registry(), REGISTRY, body).await;
    let ended = azure.finish(&started).await;
    assert_eq!(ended.text("/status"), "Failed");
    assert!(!ended.text("/error/message").contains("endpoints"), "{}", ended.body);
    assert_eq!(
        azure
            .get(&format!("{acr}/replications"), ACR)
            .await
            .list("/value")
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_endpoint_takes_records_interface_and_connection_along() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let zone = azure.make_zone("privatelink.blob.core.windows.net", &["hub"]).await;
    let id = azure.make_endpoint("blob", &storage, "blob").await;
    azure
        .done(
            "PUT",
            &format!("{id}/privateDnsZoneGroups/default"),
            NETWORK,
            Some(group_body(&zone)),
        )
        .await;
    let nic = azure.world(&id)["properties"]["networkInterfaces"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let started = azure.delete(&id, NETWORK).await;
    assert_eq!(started.status, 202);
    assert!(started.header("location").is_some() && started.header("azure-asyncoperation").is_none());
    assert_eq!(azure.finish(&started).await.status, 204);
    assert_eq!((azure.world(&id), azure.world(&nic)), (Value::Null, Value::Null));
    assert_eq!(azure.get(&format!("{zone}/A"), DNS).await.list("/value").len(), 0);
    assert_eq!(
        azure.world(&storage)["properties"]["privateEndpointConnections"],
        json!([])
    );
    assert_eq!(azure.delete(&id, NETWORK).await.status, 204);
}
