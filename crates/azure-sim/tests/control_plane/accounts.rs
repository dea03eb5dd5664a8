//! Network settings of storage accounts and container registries.

use std::time::Duration;

use azure_sim::targets::access_of;
use serde_json::{Value, json};

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn a_storage_patch_is_synchronous_and_replaces_the_network_rules_as_a_whole() {
    for (merged, rules_left) in [(false, 0), (true, 1)] {
        let azure = Azure::with(|seed| seed.switches.network_acls_merged = merged).await;
        let (storage, _) = azure.accounts();
        let rules = json!({"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}], "bypass": "None",
            "resourceAccessRules": [{"tenantId": TENANT, "resourceId": "/x"}]});
        let reply = azure
            .patch(&storage, STORAGE, json!({"properties": {"networkAcls": rules}}))
            .await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("azure-asyncoperation").is_none());
        assert_eq!(reply.text("/properties/networkAcls/ipRules/0/action"), "Allow");
        azure
            .patch(
                &storage,
                STORAGE,
                json!({"properties": {"networkAcls": {"defaultAction": "Deny"}}}),
            )
            .await;
        let acls = &azure.world(&storage)["properties"]["networkAcls"];
        assert_eq!(acls["ipRules"].as_array().unwrap().len(), rules_left, "U16: {merged}");
        assert_eq!(acls["resourceAccessRules"].as_array().unwrap().len(), rules_left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_patch_is_refused_as_a_whole_for_one_subnet() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let subnet =
        format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints");
    let acls = |id: &str| json!({"properties": {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny", "virtualNetworkRules": [{"id": id}]}}});
    for (id, why) in [
        (subnet.clone(), "SubnetsHaveNoServiceEndpointsConfigured"),
        (format!("{subnet}-gone"), "SubnetsNotFound"),
    ] {
        let reply = azure.patch(&storage, STORAGE, acls(&id)).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.text("/error/code"), "NetworkAclsValidationFailure");
        assert!(reply.text("/error/message").contains(why), "{why}");
    }
    assert_ne!(
        azure.world(&storage)["properties"]["publicNetworkAccess"],
        "Disabled",
        "nothing of it was done"
    );
    azure.sim.change_by_hand(&subnet, |body| {
        body["properties"]["serviceEndpoints"] = json!([{"service": "Microsoft.Storage"}]);
        body["properties"]["provisioningState"] = json!("Updating");
    });
    let busy = azure.patch(&storage, STORAGE, acls(&subnet)).await;
    assert!(busy.text("/error/message").contains("Updating state"));
    azure.sim.change_by_hand(&subnet, |body| {
        body["properties"]["provisioningState"] = json!("Succeeded")
    });
    assert_eq!(azure.patch(&storage, STORAGE, acls(&subnet)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn storage_demands_a_default_action_and_a_known_value() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let bypass_only = json!({"properties": {"networkAcls": {"bypass": "None"}}});
    assert_eq!(azure.patch(&storage, STORAGE, bypass_only).await.status, 400);
    assert_eq!(
        azure
            .patch(&storage, STORAGE, json!({"properties": {"publicNetworkAccess": "Off"}}))
            .await
            .status,
        400
    );
    let owned = json!({"properties": {"isHnsEnabled": true, "privateEndpointConnections": [1]}});
    assert_eq!(azure.patch(&storage, STORAGE, owned).await.status, 200);
    assert_eq!(azure.world(&storage)["properties"]["isHnsEnabled"], false);
}

#[tokio::test(start_paused = true)]
async fn a_container_registry_changes_when_its_operation_ends_and_takes_one_change_at_a_time() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    let close = json!({"properties": {"publicNetworkAccess": "Disabled", "networkRuleSet": {"defaultAction": "Deny", "ipRules": []}}});
    let started = azure.patch(&acr, ACR, close.clone()).await;
    assert_eq!(
        (started.status, started.text("/properties/provisioningState")),
        (200, "Updating")
    );
    assert!(started.header("azure-asyncoperation").is_some());
    assert_eq!(azure.world(&acr)["properties"]["publicNetworkAccess"], "Enabled");
    let second = azure.patch(&acr, ACR, close).await;
    assert_eq!((second.status, second.code()), (409, "AnotherOperationInProgress"));
    azure.finish(&started).await;
    let body = azure.world(&acr);
    assert_eq!(body["properties"]["publicNetworkAccess"], "Disabled");
    assert_eq!(body["properties"]["networkRuleBypassOptions"], "AzureServices");
    azure
        .done(
            "PATCH",
            &acr,
            ACR,
            Some(json!({"properties": {"publicNetworkAccess": "Enabled"}})),
        )
        .await;
    assert_eq!(
        azure.world(&acr)["properties"]["networkRuleSet"]["defaultAction"],
        "Deny",
        "an off/on cycle leaves it behind"
    );
}

#[tokio::test(start_paused = true)]
async fn a_basic_container_registry_cannot_be_closed() {
    let azure = Azure::with(|seed| {
        let text = "{name: plain, subscription: ml, resourceGroup: ml, sku: Basic}";
        let seeded =
            azure_sim::Seed::from_yaml(&format!("subscriptions: [{{name: ml}}]\ncontainerRegistries: [{text}]"))
                .unwrap();
        seed.container_registries = seeded.container_registries;
    })
    .await;
    let id = format!("{ML}/resourceGroups/ml/providers/Microsoft.ContainerRegistry/registries/plain");
    let refused = azure
        .patch(&id, ACR, json!({"properties": {"publicNetworkAccess": "Disabled"}}))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "DisablingPublicNetworkAccessNotSupported")
    );
}

/// U37: nobody knows whether a version that does not name them shows them.
#[tokio::test(start_paused = true)]
async fn subnet_rules_of_a_container_registry_are_shown_as_the_api_version_does() {
    for hidden in [true, false] {
        let azure = Azure::with(|seed| seed.switches.acr_subnet_rules_hidden = hidden).await;
        let (_, acr) = azure.accounts();
        let set = json!({"defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": [
            {"action": "Allow", "virtualNetworkSubnetResourceId": "/subscriptions/s/subnets/build"}]});
        let change = json!({"properties": {"networkRuleSet": set}});
        azure.done("PATCH", &acr, "2026-11-01", Some(change)).await;
        for (version, shown) in [(ACR, !hidden), ("2026-11-01", true)] {
            let body = azure.get(&acr, version).await.body;
            let rules = &body["properties"]["networkRuleSet"]["virtualNetworkRules"];
            assert_eq!(rules.is_array(), shown, "{hidden} {version}: {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_export_policy_forbids_reopening() {
    for (blocks, status) in [(true, 400), (false, 200)] {
        let azure = Azure::with(|seed| seed.switches.export_policy_blocks_reopening = blocks).await;
        let (_, acr) = azure.accounts();
        let export_off = json!({"properties": {"policies": {"exportPolicy": {"status": "disabled"}}}});
        assert_eq!(
            azure.patch(&acr, ACR, export_off).await.status,
            400,
            "not while it is public"
        );
        let both = json!({"properties": {"publicNetworkAccess": "Disabled", "policies": {"exportPolicy": {"status": "disabled"}}}});
        azure.done("PATCH", &acr, ACR, Some(both)).await;
        assert_eq!(
            azure.world(&acr)["properties"]["policies"]["retentionPolicy"]["days"],
            7
        );
        let reopened = azure
            .patch(&acr, ACR, json!({"properties": {"publicNetworkAccess": "Enabled"}}))
            .await;
        assert_eq!(reopened.status, status, "U17: {blocks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_public_access_takes_effect_on_the_data_plane_after_the_delay() {
    let azure = Azure::with(|seed| seed.switches.access_effect_seconds = 60).await;
    let (storage, _) = azure.accounts();
    let open = |azure: &Azure| {
        azure
            .sim
            .with_world(|w| access_of(w, &storage, azure.sim.now()))
            .unwrap()
            .public_open
    };
    azure.sim.advance(Duration::from_secs(300));
    azure
        .patch(
            &storage,
            STORAGE,
            json!({"properties": {"publicNetworkAccess": "Disabled"}}),
        )
        .await;
    azure.sim.advance(Duration::from_secs(30));
    azure.patch(&storage, STORAGE, json!({"tags": {"a": "b"}})).await;
    assert!(open(&azure));
    azure.sim.advance(Duration::from_secs(31));
    assert!(!open(&azure), "later writes do not hold the effect back");
}

#[tokio::test(start_paused = true)]
async fn private_link_resources_name_groups_members_and_zones() {
    let azure = Azure::new().await;
    let (_, acr) = azure.accounts();
    let listed = azure.get(&format!("{acr}/privateLinkResources"), ACR).await;
    let group = &listed.list("/value")[0];
    assert_eq!(group["properties"]["groupId"], "registry");
    assert_eq!(
        group["properties"]["requiredMembers"],
        json!(["registry", "registry_data_westeurope"])
    );
    let of_registry = azure
        .get(
            &format!("{}/privateLinkResources", azure.registry()),
            "2022-10-01-preview",
        )
        .await;
    assert_eq!(
        of_registry.text("/value/0/properties/requiredZoneNames/0"),
        "privatelink.api.azureml.ms"
    );
}

#[tokio::test(start_paused = true)]
async fn networks_show_their_subnets_and_a_used_subnet_cannot_go() {
    let azure = Azure::new().await;
    let hub = azure.get(&vnet("hub"), NETWORK).await;
    assert_eq!(hub.list("/properties/subnets").len(), 2);
    assert_eq!(
        hub.text("/properties/virtualNetworkPeerings/0/properties/peeringState"),
        "Connected"
    );
    let (storage, _) = azure.accounts();
    azure.make_endpoint("blob", &storage, "blob").await;
    let subnet = format!("{}/subnets/endpoints", vnet("hub"));
    let refused = azure.delete(&subnet, NETWORK).await;
    assert_eq!(refused.code(), "InUseSubnetCannotBeDeleted");
    let new = format!("{}/subnets/more", vnet("hub"));
    azure
        .done(
            "PUT",
            &new,
            NETWORK,
            Some(json!({"properties": {"addressPrefix": "10.0.2.0/24"}})),
        )
        .await;
    assert_eq!(
        azure.get(&vnet("hub"), NETWORK).await.list("/properties/subnets").len(),
        3
    );
    azure.done("DELETE", &new, NETWORK, None).await;
    assert_eq!(azure.world(&new), Value::Null);
    azure
        .done(
            "DELETE",
            &format!("{}/virtualNetworkPeerings/to-hub", vnet("spoke-a")),
            NETWORK,
            None,
        )
        .await;
    assert_eq!(
        azure
            .get(&vnet("spoke-a"), NETWORK)
            .await
            .list("/properties/virtualNetworkPeerings")
            .len(),
        0
    );
}

const SANDBOX: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/sandbox/providers";

#[tokio::test(start_paused = true)]
async fn a_storage_account_is_made_whole_and_its_name_is_taken_for_everybody() {
    let azure = Azure::new().await;
    let id = format!("{SANDBOX}/Microsoft.Storage/storageAccounts/newdata");
    let body = json!({"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}});
    for (wrong, code) in [
        (
            json!({"location": "westeurope", "kind": "StorageV2"}),
            "InvalidValuesForRequestParameters",
        ),
        (
            json!({"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}),
            "LocationRequired",
        ),
    ] {
        assert_eq!(azure.put(&id, STORAGE, wrong).await.code(), code);
    }
    let started = azure.put(&id, STORAGE, body.clone()).await;
    assert_eq!((started.status, started.bytes.len()), (202, 0));
    azure.finish(&started).await;
    let made = azure.get(&id, STORAGE).await;
    for pointer in [
        "/properties/encryption/keySource",
        "/properties/keyCreationTime/key1",
        "/properties/primaryEndpoints/web",
    ] {
        assert_ne!(made.text(pointer), "", "{pointer}");
    }
    let elsewhere = format!("{ML}/resourceGroups/ml/providers/Microsoft.Storage/storageAccounts/newdata");
    let taken = azure.put(&elsewhere, STORAGE, body).await;
    assert_eq!((taken.status, taken.code()), (409, "StorageAccountAlreadyTaken"));
    assert_eq!(azure.delete(&id, STORAGE).await.status, 200);
    assert_eq!(azure.get(&id, STORAGE).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_ip_rule_is_a_public_address_or_a_range_of_more_than_two() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let rules =
        |value: &str| json!({"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": value}]}}});
    for refused in [
        "10.0.0.4",
        "172.16.0.0/24",
        "203.0.113.0/31",
        "203.0.113.7/32",
        "nonsense",
    ] {
        let reply = azure.patch(&storage, STORAGE, rules(refused)).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, "InvalidValuesForRequestParameters"),
            "{refused}"
        );
    }
    for taken in ["203.0.113.7", "203.0.113.0/30"] {
        assert_eq!(
            azure.patch(&storage, STORAGE, rules(taken)).await.status,
            200,
            "{taken}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_registry_is_made_and_deleted_by_operations() {
    let azure = Azure::new().await;
    let id = format!("{SANDBOX}/Microsoft.ContainerRegistry/registries/newimages");
    let body = json!({"location": "westeurope", "sku": {"name": "Premium"}});
    azure.done("PUT", &id, ACR, Some(body)).await;
    let made = azure.get(&id, ACR).await;
    assert_eq!(made.text("/properties/loginServer"), "newimages.azurecr.io");
    let replicas = azure.get(&format!("{id}/replications"), ACR).await;
    assert_eq!(replicas.list("/value").len(), 1);
    azure.done("DELETE", &id, ACR, None).await;
    assert_eq!(azure.get(&id, ACR).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn connections_of_accounts_lack_what_only_machine_learning_writes() {
    let azure = Azure::new().await;
    let (storage, acr) = azure.accounts();
    for (target, group, version) in [(&storage, "blob", STORAGE), (&acr, "registry", ACR)] {
        azure.make_endpoint(&format!("of-{group}"), target, group).await;
        let listed = azure
            .get(&format!("{target}/privateEndpointConnections"), version)
            .await;
        let connection = &listed.body["value"][0];
        assert!(connection.get("location").is_none(), "{connection}");
        assert!(connection["properties"].get("groupIds").is_none(), "{connection}");
        assert!(
            connection["properties"]["privateEndpoint"].get("subnetArmId").is_none(),
            "{connection}"
        );
    }
}
