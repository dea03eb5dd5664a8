//! Registries: the forms of PUT, what PATCH cannot do, what a PUT may lose, cascades, regions, stale reads, deletion.

use std::time::Duration;

use azure_sim::world::{Cascade, ConnectionsApi, FewerRegions, PatchPublicAccess, RegistryPut};
use serde_json::{Value, json};

use crate::azure::*;

fn access(azure: &Azure, id: &str) -> String {
    azure.world(id)["properties"]["publicNetworkAccess"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

/// The registry's body as read, with public access changed.
async fn edited(azure: &Azure, to: &str) -> Value {
    let mut body = azure.get(&azure.registry(), REGISTRY).await.body;
    body["properties"]["publicNetworkAccess"] = json!(to);
    body
}

#[tokio::test(start_paused = true)]
async fn a_put_answers_202_with_an_empty_body_and_takes_effect_when_the_operation_ends() {
    let azure = Azure::new().await;
    let started = azure
        .put(&azure.registry(), REGISTRY, edited(&azure, "Disabled").await)
        .await;
    assert_eq!((started.status, started.bytes.len()), (202, 0));
    assert!(started.header("azure-asyncoperation").is_some() && started.header("location").is_none());
    assert_eq!(started.header("retry-after"), Some("10"));
    assert_eq!(access(&azure, &azure.registry()), "Enabled");
    let ended = azure.finish(&started).await;
    assert_eq!(ended.text("/status"), "Succeeded");
    assert_eq!(access(&azure, &azure.registry()), "Disabled");
    assert!(
        azure.get(&azure.registry(), REGISTRY).await.body["properties"]
            .get("provisioningState")
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn the_forms_of_a_put_in_dispute_all_end_in_the_same_place() {
    for (form, status, status_url, location) in [
        (RegistryPut::Empty202AsyncOperation, 202, true, false),
        (RegistryPut::Empty202Location, 202, false, true),
        (RegistryPut::Empty202Both, 202, true, true),
        (RegistryPut::Immediate200, 200, false, false),
    ] {
        let azure = Azure::with(|seed| seed.switches.registry_put = form).await;
        let started = azure
            .put(&azure.registry(), REGISTRY, edited(&azure, "Disabled").await)
            .await;
        assert_eq!(started.status, status, "{form:?}");
        assert_eq!(started.header("azure-asyncoperation").is_some(), status_url, "{form:?}");
        assert_eq!(started.header("location").is_some(), location, "{form:?}");
        if status == 202 {
            let ended = azure.finish(&started).await;
            assert_eq!(ended.status, 200);
            match form {
                RegistryPut::Empty202AsyncOperation | RegistryPut::Empty202Both => {
                    assert_eq!(ended.text("/status"), "Succeeded");
                }
                _ => {
                    assert_eq!(ended.text("/properties/publicNetworkAccess"), "Disabled", "{form:?}");
                    assert!(ended.body.get("status").is_none(), "{form:?}");
                }
            }
        }
        assert_eq!(access(&azure, &azure.registry()), "Disabled", "{form:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_tags_but_public_access_only_where_the_switch_says_so() {
    for (switch, status, after) in [
        (PatchPublicAccess::Ignored, 200, "Enabled"),
        (PatchPublicAccess::Honoured, 200, "Disabled"),
        (PatchPublicAccess::Rejected, 400, "Enabled"),
    ] {
        let azure = Azure::with(|seed| seed.switches.patch_public_access = switch).await;
        let body = json!({"tags": {"owner": "ml"}, "properties": {"publicNetworkAccess": "Disabled"}});
        let reply = azure.patch(&azure.registry(), REGISTRY, body).await;
        assert_eq!(reply.status, status, "{switch:?}");
        assert_eq!(access(&azure, &azure.registry()), after, "{switch:?}");
        assert_eq!(azure.world(&azure.registry())["tags"]["owner"] == "ml", status == 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_omits_the_extras_keeps_or_clears_them() {
    for (clears, after) in [(false, 1), (true, 0)] {
        let azure = Azure::with(|seed| {
            seed.switches.put_clears_omitted = clears;
            seed.registries[0].assigned_identities = vec![OPERATOR.into()];
        })
        .await;
        let mut body = edited(&azure, "Enabled").await;
        body["properties"]
            .as_object_mut()
            .unwrap()
            .remove("managedResourceGroupSettings");
        azure.done("PUT", &azure.registry(), REGISTRY, Some(body)).await;
        let left = &azure.world(&azure.registry())["properties"]["managedResourceGroupSettings"]["assignedIdentities"];
        assert_eq!(left.as_array().map_or(0, Vec::len), after, "clears: {clears}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_cascades_to_the_accounts_only_as_far_as_the_switch_says() {
    for (cascade, reverses, storage_after, acr_after) in [
        (Cascade::None, true, "Enabled", "Enabled"),
        (Cascade::Both, true, "Disabled", "Disabled"),
        (Cascade::Storage, false, "Disabled", "Enabled"),
        (Cascade::ContainerRegistry, false, "Enabled", "Disabled"),
    ] {
        let azure = Azure::with(|seed| {
            seed.switches.cascade_disable = cascade;
            seed.switches.cascade_enable = reverses;
        })
        .await;
        let (storage, acr) = azure.accounts();
        azure
            .done(
                "PUT",
                &azure.registry(),
                REGISTRY,
                Some(edited(&azure, "Disabled").await),
            )
            .await;
        assert_eq!(
            (access(&azure, &storage), access(&azure, &acr)),
            (storage_after.into(), acr_after.into()),
            "{cascade:?}"
        );
        azure
            .done(
                "PUT",
                &azure.registry(),
                REGISTRY,
                Some(edited(&azure, "Enabled").await),
            )
            .await;
        let stays = |was: &str| if reverses { "Enabled".to_owned() } else { was.to_owned() };
        assert_eq!(
            (access(&azure, &storage), access(&azure, &acr)),
            (stays(storage_after), stays(acr_after)),
            "{cascade:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reads_after_a_write_flap_for_a_while() {
    let azure = Azure::with(|seed| seed.switches.stale_reads_seconds = 30).await;
    azure
        .patch(&azure.registry(), REGISTRY, json!({"tags": {"new": "yes"}}))
        .await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(azure.get(&azure.registry(), REGISTRY).await.body["tags"]["new"] == "yes");
    }
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
    azure.sim.advance(Duration::from_secs(31));
    for _ in 0..4 {
        assert_eq!(azure.get(&azure.registry(), REGISTRY).await.text("/tags/new"), "yes");
    }
}

fn born_private() -> Value {
    json!({
        "location": "westeurope", "identity": {"type": "SystemAssigned"}, "tags": {"a": "b"},
        "properties": {"publicNetworkAccess": "Disabled",
            "managedResourceGroupSettings": {"assignedIdentities": [{"principalId": OPERATOR}]},
            "regionDetails": [
                {"location": "westeurope", "storageAccountDetails": [{"systemCreatedStorageAccount": {"storageAccountType": "Standard_GRS", "storageAccountHnsEnabled": true}}],
                 "acrDetails": [{"systemCreatedAcrAccount": {"acrAccountSku": "Premium"}}]},
                {"location": "North Europe"}]},
    })
}

#[tokio::test(start_paused = true)]
async fn a_registry_is_born_private_and_its_accounts_appear_when_the_operation_ends() {
    for (closed, expected) in [(true, "Disabled"), (false, "Enabled")] {
        let azure = Azure::with(|seed| seed.switches.accounts_born_closed = closed).await;
        let id = azure.registry().replace("contosoreg", "fresh");
        let started = azure.put(&id, REGISTRY, born_private()).await;
        assert_eq!(started.status, 202, "{}", started.body);
        let early = azure.get(&id, REGISTRY).await;
        assert_eq!(early.status, 200);
        assert!(!early.body.to_string().contains("armResourceId"));
        azure.finish(&started).await;
        let body = azure.world(&id);
        let regions = body["properties"]["regionDetails"].as_array().unwrap();
        assert_eq!(regions.len(), 2);
        let storage = |r: &Value| {
            r["storageAccountDetails"][0]["systemCreatedStorageAccount"]["armResourceId"]["resourceId"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let acr = |r: &Value| {
            r["acrDetails"][0]["systemCreatedAcrAccount"]["armResourceId"]["resourceId"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_ne!(storage(&regions[0]), storage(&regions[1]));
        assert_eq!(
            acr(&regions[0]),
            acr(&regions[1]),
            "one container registry, geo-replicated"
        );
        assert_eq!(access(&azure, &storage(&regions[0])), expected);
        assert_eq!(access(&azure, &acr(&regions[0])), expected);
        assert_eq!(azure.world(&storage(&regions[0]))["properties"]["isHnsEnabled"], true);
        assert!(storage(&regions[0]).contains("/resourceGroups/azureml-rg-fresh_"));
        let replicas = azure.get(&format!("{}/replications", acr(&regions[0])), ACR).await;
        assert_eq!(replicas.list("/value").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_registry_bodies_are_user_errors() {
    let azure = Azure::new().await;
    let id = azure.registry().replace("contosoreg", "fresh");
    let with = |pointer: &str, value: Value| {
        let mut body = born_private();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, code) in [
        (with("/location", json!("")), "LocationRequired"),
        (with("/identity/type", json!("None")), "UserError"),
        (with("/properties/publicNetworkAccess", json!("Maybe")), "UserError"),
        (
            with(
                "/properties/regionDetails/0/storageAccountDetails/0",
                json!({"userCreatedStorageAccount": {"armResourceId": {"resourceId": "/x"}}}),
            ),
            "UserError",
        ),
        (
            with(
                "/properties/regionDetails/0/acrDetails/0/systemCreatedAcrAccount",
                json!({"armResourceId": null}),
            ),
            "UserError",
        ),
    ] {
        let reply = azure.put(&id, REGISTRY, body).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{}", reply.body);
    }
    let long = azure.registry().replace("contosoreg", &"x".repeat(34));
    assert_eq!(azure.put(&long, REGISTRY, born_private()).await.code(), "UserError");
    let moved = json!({"location": "northeurope", "properties": {}});
    assert_eq!(
        azure.put(&azure.registry(), REGISTRY, moved).await.code(),
        "InvalidResourceLocation"
    );
}

#[tokio::test(start_paused = true)]
async fn regions_are_added_by_put_and_removed_by_remove_regions() {
    let azure = Azure::new().await;
    let mut body = edited(&azure, "Enabled").await;
    body["properties"]["regionDetails"]
        .as_array_mut()
        .unwrap()
        .push(json!({"location": "northeurope"}));
    azure.done("PUT", &azure.registry(), REGISTRY, Some(body)).await;
    let two = azure.world(&azure.registry());
    let second = two["properties"]["regionDetails"][1].clone();
    let storage = second["storageAccountDetails"][0]["systemCreatedStorageAccount"]["armResourceId"]["resourceId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(azure.world(&storage).is_object());

    let mut gone = two.clone();
    gone["properties"]["regionDetails"] = json!([second]);
    let started = azure
        .arm(
            "POST",
            &format!("{}/removeRegions", azure.registry()),
            REGISTRY,
            Some(gone),
        )
        .await;
    assert_eq!(started.status, 202, "{}", started.body);
    assert!(started.header("location").is_some());
    azure.finish(&started).await;
    assert_eq!(
        azure.world(&azure.registry())["properties"]["regionDetails"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(azure.world(&storage), Value::Null);
    let primary = azure
        .arm(
            "POST",
            &format!("{}/removeRegions", azure.registry()),
            REGISTRY,
            Some(azure.world(&azure.registry())),
        )
        .await;
    assert_eq!(primary.code(), "UserError");
}

#[tokio::test(start_paused = true)]
async fn a_put_with_fewer_regions_does_what_the_switch_says() {
    for (switch, status, left) in [
        (FewerRegions::Ignored, 202, 2),
        (FewerRegions::Removed, 202, 1),
        (FewerRegions::Rejected, 400, 2),
    ] {
        let azure = Azure::with(|seed| {
            seed.switches.fewer_regions = switch;
            seed.registries[0].additional_locations = vec!["northeurope".into()];
        })
        .await;
        let mut body = edited(&azure, "Enabled").await;
        body["properties"]["regionDetails"].as_array_mut().unwrap().pop();
        let started = azure.put(&azure.registry(), REGISTRY, body).await;
        assert_eq!(started.status, status, "{switch:?}");
        if status == 202 {
            azure.finish(&started).await;
        }
        assert_eq!(
            azure.world(&azure.registry())["properties"]["regionDetails"]
                .as_array()
                .unwrap()
                .len(),
            left,
            "{switch:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn deletion_takes_the_managed_group_along_and_disconnects_endpoints() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let endpoint = azure.make_endpoint("blob", &storage, "blob").await;
    let started = azure.delete(&azure.registry(), REGISTRY).await;
    assert_eq!(started.status, 202);
    assert!(started.header("location").is_some() && started.header("azure-asyncoperation").is_none());
    assert_eq!(azure.finish(&started).await.status, 204);
    assert_eq!(azure.get(&azure.registry(), REGISTRY).await.status, 404);
    assert_eq!(azure.world(&storage), Value::Null);
    assert_eq!(
        azure.world(&endpoint)["properties"]["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceConnectionState"]
            ["status"],
        "Disconnected"
    );
    assert_eq!(azure.delete(&azure.registry(), REGISTRY).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_registry_answer_at_one_preview_version_or_not_at_all() {
    let azure = Azure::new().await;
    azure.make_endpoint("reg", &azure.registry(), "amlregistry").await;
    let list = format!("{}/privateEndpointConnections", azure.registry());
    let listed = azure.get(&list, "2022-10-01-preview").await;
    assert_eq!(listed.list("/value").len(), 1, "{}", listed.body);
    assert_eq!(
        listed.text("/value/0/properties/privateLinkServiceConnectionState/status"),
        "Approved"
    );
    let inside = azure.get(&azure.registry(), REGISTRY).await;
    let inside = &inside.list("/properties/registryPrivateEndpointConnections")[0];
    assert!(
        inside["id"]
            .as_str()
            .unwrap()
            .contains("/registryPrivateEndpointConnections/reg.")
    );
    assert_eq!(
        inside["properties"]["registryPrivateLinkServiceConnectionState"]["status"],
        "Approved"
    );
    assert_eq!(inside["properties"]["provisioningState"], "Succeeded");
    for (switch, status) in [(ConnectionsApi::NotFound, 404), (ConnectionsApi::Forbidden, 403)] {
        azure.sim.set_switches(|s| s.registry_connections = switch);
        assert_eq!(azure.get(&list, "2022-10-01-preview").await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_no_contract_knows_survive_a_round_trip() {
    let azure = Azure::new().await;
    azure.sim.change_by_hand(&azure.registry(), |b| {
        b["properties"]["syndicatedRegistries"] = json!(["azureml"])
    });
    let body = edited(&azure, "Disabled").await;
    assert_eq!(body["properties"]["syndicatedRegistries"], json!(["azureml"]));
    azure.done("PUT", &azure.registry(), REGISTRY, Some(body)).await;
    assert_eq!(
        azure.world(&azure.registry())["properties"]["syndicatedRegistries"],
        json!(["azureml"])
    );
}
