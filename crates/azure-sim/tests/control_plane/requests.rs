//! Envelope, versions, permissions, buckets, providers, scopes.

use std::time::Duration;

use azure_sim::seed::RoleSeed;
use azure_sim::{Bucket, Simulator};
use serde_json::{Value, json};

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_or_with_a_foreign_one_is_401() {
    let azure = Azure::new().await;
    let path = format!("{}?api-version={REGISTRY}", azure.registry());
    let bare = azure.send("GET", &path, &[], b"").await;
    assert_eq!((bare.status, bare.code()), (401, "AuthenticationFailed"));
    assert!(bare.header("www-authenticate").unwrap().starts_with("Bearer"));
    let foreign = azure
        .send("GET", &path, &[("authorization", "Bearer a.b.c")], b"")
        .await;
    assert_eq!((foreign.status, foreign.code()), (401, "InvalidAuthenticationToken"));
}

#[tokio::test(start_paused = true)]
async fn every_answer_carries_ids_and_what_is_left_of_the_bucket() {
    let azure = Azure::new().await;
    let reply = azure.get(&azure.registry(), REGISTRY).await;
    assert_eq!(reply.status, 200);
    for header in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
        "date",
    ] {
        assert!(reply.header(header).is_some(), "{header}");
    }
    assert_eq!(reply.header("x-ms-ratelimit-remaining-subscription-reads"), Some("249"));
    assert_eq!(
        reply.header("x-ms-ratelimit-remaining-subscription-global-reads"),
        Some("3735")
    );
    let named = azure
        .arm_with(
            "GET",
            &azure.registry(),
            REGISTRY,
            None,
            &[("x-ms-correlation-request-id", "mine")],
        )
        .await;
    assert_eq!(named.header("x-ms-correlation-request-id"), Some("mine"));
    assert_eq!(
        azure
            .get(&azure.registry(), "")
            .await
            .header("x-ms-correlation-request-id")
            .map(str::len),
        Some(36)
    );
}

#[tokio::test(start_paused = true)]
async fn api_versions_are_demanded_and_checked_by_type() {
    let azure = Azure::new().await;
    let registry = azure.registry();
    let scope = format!("{PLATFORM}/resourceGroups/network/providers");
    for (id, version, status, code) in [
        (registry.clone(), "", 400, "MissingApiVersionParameter"),
        (registry.clone(), "2024-03-01", 400, "NoRegisteredProviderFound"),
        (registry.clone(), "2026-07-01", 400, "NoRegisteredProviderFound"),
        (
            format!("{registry}/privateEndpointConnections/x"),
            REGISTRY,
            400,
            "NoRegisteredProviderFound",
        ),
        (
            format!("{registry}/privateEndpointConnections/x"),
            "2022-10-01-preview",
            404,
            "ResourceNotFound",
        ),
        (
            format!("{scope}/Microsoft.Network/loadBalancer/x"),
            NETWORK,
            404,
            "InvalidResourceType",
        ),
        (
            format!("{scope}/Contoso.Network/loadBalancers/x"),
            NETWORK,
            404,
            "InvalidResourceNamespace",
        ),
        (
            format!("{scope}/Microsoft.Network/loadBalancers/x"),
            NETWORK,
            501,
            "NotModelledByAzureSim",
        ),
        (
            format!("{scope}/Microsoft.Network/privateEndpoints/x"),
            NETWORK,
            404,
            "ResourceNotFound",
        ),
        (
            format!("{ML}/resourceGroups/none/providers/Microsoft.Network/privateEndpoints/x"),
            NETWORK,
            404,
            "ResourceGroupNotFound",
        ),
        (
            "/subscriptions/0a000000-0000-4000-8000-00000000dead/resourceGroups/ml/providers/Microsoft.Network/privateEndpoints/x".into(),
            NETWORK,
            404,
            "SubscriptionNotFound",
        ),
        (
            "/subscriptions//resourceGroups/ml/providers/Microsoft.Network/privateEndpoints/x".into(),
            NETWORK,
            400,
            "InvalidSubscriptionId",
        ),
    ] {
        let reply = azure.get(&id, version).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{id} {version}");
    }
    azure.sim.set_switches(|s| s.newest_api_versions = true);
    assert_eq!(azure.get(&registry, "2026-07-01").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn paths_of_no_sense_are_refused_and_do_no_harm() {
    let azure = Azure::new().await;
    for path in [
        "/",
        "/subscriptions//x",
        "/%00",
        "/subscriptions/a/b/c/d",
        "/providers",
        "/providers/",
        "/a/providers/b/c/d/e/f",
    ] {
        let reply = azure.get(path, NETWORK).await;
        assert!(reply.status >= 400, "{path}: {}", reply.status);
    }
    let id = endpoint("x");
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"properties\": 7}",
        "{\"location\":\"westeurope\",\"properties\":{\"subnet\":[]}}",
    ] {
        let bearer = format!("Bearer {}", azure.token);
        let reply = azure
            .send(
                "PUT",
                &format!("{id}?api-version={NETWORK}"),
                &[("authorization", bearer.as_str())],
                body.as_bytes(),
            )
            .await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
    }
    assert_eq!(azure.world(&id), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_403_and_names_action_and_scope() {
    let azure = Azure::with(|seed| {
        seed.principals[0].roles = vec![RoleSeed {
            role: Some("Reader".into()),
            scope: "ml".into(),
            ..RoleSeed::default()
        }];
    })
    .await;
    assert_eq!(azure.get(&azure.registry(), REGISTRY).await.status, 200);
    let refused = azure
        .patch(&azure.registry(), REGISTRY, json!({"tags": {"a": "b"}}))
        .await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    let said = refused.text("/error/message");
    assert!(
        said.contains("Microsoft.MachineLearningServices/registries/write"),
        "{said}"
    );
    assert!(said.contains(&azure.registry()) && said.contains(OPERATOR), "{said}");
    assert_eq!(azure.get(&vnet("hub"), NETWORK).await.code(), "AuthorizationFailed");
}

/// U35: nobody knows which of the two Azure does.
#[tokio::test(start_paused = true)]
async fn a_list_that_a_role_does_not_cover_is_refused_or_comes_short() {
    let azure = Azure::with(|seed| {
        seed.principals[0].roles = vec![RoleSeed {
            role: Some("Reader".into()),
            scope: vnet("hub"),
            ..RoleSeed::default()
        }];
    })
    .await;
    let all = vnet("hub").rsplit_once('/').unwrap().0.to_owned();
    assert_eq!(azure.get(&all, NETWORK).await.code(), "AuthorizationFailed");
    azure.sim.set_switches(|s| s.short_lists = true);
    let short = azure.get(&all, NETWORK).await;
    assert_eq!(short.status, 200, "{}", short.body);
    let ids: Vec<&str> = short.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    assert_eq!(ids, [vnet("hub")]);
    // What stands alone is refused all the same.
    assert_eq!(azure.get(&vnet("spoke-a"), NETWORK).await.code(), "AuthorizationFailed");
}

#[tokio::test(start_paused = true)]
async fn an_empty_bucket_is_429_with_retry_after_and_refills_with_simulated_time() {
    let azure = Azure::with(|seed| {
        seed.throttling.writes = Bucket {
            size: 3,
            per_second: 0.5,
        }
    })
    .await;
    for _ in 0..3 {
        assert_eq!(
            azure
                .patch(&azure.registry(), REGISTRY, json!({"tags": {}}))
                .await
                .status,
            200
        );
    }
    let refused = azure.patch(&azure.registry(), REGISTRY, json!({"tags": {}})).await;
    assert_eq!((refused.status, refused.code()), (429, "SubscriptionRequestsThrottled"));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(
        azure.get(&azure.registry(), REGISTRY).await.status,
        200,
        "reads have a bucket of their own"
    );
    azure.sim.advance(Duration::from_secs(2));
    assert_eq!(
        azure
            .patch(&azure.registry(), REGISTRY, json!({"tags": {}}))
            .await
            .status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn private_dns_reads_can_have_a_bucket_of_five_minutes() {
    let azure = Azure::with(|seed| seed.throttling.private_dns_reads = Some(2)).await;
    let id = zone("privatelink.azurecr.io");
    assert_eq!(azure.get(&id, DNS).await.status, 404);
    assert_eq!(azure.get(&id, DNS).await.status, 404);
    let refused = azure.get(&id, DNS).await;
    assert_eq!((refused.status, refused.code()), (429, "TooManyRequests"));
    azure.sim.advance(Duration::from_secs(151));
    assert_eq!(azure.get(&id, DNS).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn ids_compare_without_case_and_can_come_back_recased() {
    let azure = Azure::new().await;
    let shouted = azure
        .registry()
        .to_uppercase()
        .replace("/SUBSCRIPTIONS", "/subscriptions")
        .replace("/PROVIDERS", "/providers");
    assert_eq!(azure.get(&shouted, REGISTRY).await.text("/name"), "contosoreg");
    azure.sim.set_switches(|s| s.recase_ids = true);
    let reply = azure.get(&azure.registry(), REGISTRY).await;
    assert!(
        reply
            .text("/id")
            .ends_with("/resourcegroups/ml/providers/microsoft.machinelearningservices/registries/contosoreg")
    );
    let storage = reply.text(
        "/properties/regionDetails/0/storageAccountDetails/0/systemCreatedStorageAccount/armResourceId/resourceId",
    );
    assert!(
        storage.contains("/microsoft.storage/storageaccounts/contosoreg"),
        "{storage}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_lists_its_versions_and_whether_it_is_registered() {
    let azure =
        Azure::with(|seed| seed.subscriptions[0].unregistered_providers = vec!["Microsoft.Network".into()]).await;
    let global = azure
        .get("/providers/Microsoft.MachineLearningServices", "2021-04-01")
        .await;
    let types = global.list("/resourceTypes");
    let registries = types.iter().find(|t| t["resourceType"] == "registries").unwrap();
    assert!(
        registries["apiVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2025-12-01"))
    );
    assert!(
        !registries["apiVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-01"))
    );
    let here = azure
        .get(&format!("{PLATFORM}/providers/Microsoft.Network"), "2021-04-01")
        .await;
    assert_eq!(here.text("/registrationState"), "NotRegistered");
    let there = azure
        .get(&format!("{ML}/providers/Microsoft.Network"), "2021-04-01")
        .await;
    assert_eq!(there.text("/registrationState"), "Registered");
    let (storage, _) = azure.accounts();
    let refused = azure
        .put(&endpoint("x"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "MissingSubscriptionRegistration")
    );
}

#[tokio::test(start_paused = true)]
async fn the_deny_assignment_of_a_managed_group_is_listed_and_enforced() {
    let azure = Azure::new().await;
    let (storage, acr) = azure.accounts();
    let group = storage.split("/providers/").next().unwrap().to_owned();
    let list = format!("{group}/providers/Microsoft.Authorization/denyAssignments");
    let listed = azure.get(&list, "2022-04-01&$filter=atScope()").await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    let actions = listed.text("/value/0/properties/scope");
    assert_eq!(actions, group);
    assert!(!listed.body.to_string().contains("storageAccounts/write"));
    assert_eq!(azure.patch(&storage, STORAGE, json!({"tags": {}})).await.status, 200);

    azure.sim.set_switches(|s| s.deny_managed_writes = true);
    assert!(
        azure
            .get(&list, "2022-04-01")
            .await
            .body
            .to_string()
            .contains("Microsoft.Storage/storageAccounts/write")
    );
    for (id, version) in [(&storage, STORAGE), (&acr, ACR)] {
        let refused = azure
            .patch(id, version, json!({"properties": {"publicNetworkAccess": "Disabled"}}))
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "DenyAssignmentAuthorizationFailed")
        );
        assert!(
            refused.text("/error/message").contains("deny assignment"),
            "{}",
            refused.body
        );
    }
    let listed = azure
        .get(
            &format!("{ML}/resourceGroups/ml/providers/Microsoft.Authorization/denyAssignments"),
            "2022-04-01",
        )
        .await;
    assert_eq!(listed.list("/value"), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn an_assigned_identity_is_exempt_from_the_deny_assignment_unless_the_switch_says_no() {
    let azure = Azure::with(|seed| {
        seed.switches.deny_managed_writes = true;
        seed.registries[0].assigned_identities = vec!["secure-registry-operator".into()];
        seed.principals[0].roles = vec![];
    })
    .await;
    let (storage, _) = azure.accounts();
    assert_eq!(azure.patch(&storage, STORAGE, json!({"tags": {}})).await.status, 200);
    azure.sim.set_switches(|s| s.assigned_identities_grant = false);
    assert_eq!(
        azure.patch(&storage, STORAGE, json!({"tags": {}})).await.code(),
        "AuthorizationFailed"
    );
}

#[tokio::test(start_paused = true)]
async fn policies_at_a_scope_are_those_of_the_seed_at_or_above_it() {
    let assignment = format!("{ML}/providers/Microsoft.Authorization/policyAssignments/deny-public");
    let raw = json!({"id": assignment, "properties": {"policyDefinitionId": "x", "enforcementMode": "Default"}});
    let azure = Azure::with(|seed| seed.resources = vec![serde_json::from_value(raw).unwrap()]).await;
    let list = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/policyAssignments");
    assert_eq!(
        azure
            .get(&list(&format!("{ML}/resourceGroups/ml")), "2025-03-01")
            .await
            .list("/value")
            .len(),
        1
    );
    assert_eq!(azure.get(&list(PLATFORM), "2025-03-01").await.list("/value").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_and_groups_are_read_and_groups_written() {
    let azure = Azure::new().await;
    assert_eq!(azure.get("/subscriptions", "2022-12-01").await.list("/value").len(), 2);
    assert_eq!(azure.get(ML, "2022-12-01").await.text("/displayName"), "ml");
    assert_eq!(
        azure
            .get(&format!("{ML}/resourcegroups/ML"), "2022-09-01")
            .await
            .text("/name"),
        "ml"
    );
    let missing = azure.get(&format!("{ML}/resourceGroups/none"), "2022-09-01").await;
    assert_eq!((missing.status, missing.code()), (404, "ResourceGroupNotFound"));
    let made = azure
        .put(
            &format!("{ML}/resourceGroups/new"),
            "2022-09-01",
            json!({"location": "westeurope"}),
        )
        .await;
    assert_eq!(made.status, 201);
    let listed = azure.get(&format!("{ML}/resourceGroups"), "2022-09-01").await;
    assert!(listed.list("/value").iter().any(|g| g["name"] == "new"));
    let managed = listed
        .list("/value")
        .into_iter()
        .find(|g| g["managedBy"].is_string())
        .unwrap();
    assert!(managed["name"].as_str().unwrap().starts_with("azureml-rg-contosoreg_"));
}

#[tokio::test(start_paused = true)]
async fn two_simulators_of_one_seed_have_the_same_ids() {
    let ids = |sim: &Simulator| {
        sim.with_world(|w| {
            (
                w.resources.keys().cloned().collect::<Vec<_>>(),
                w.public_addresses.clone(),
            )
        })
    };
    let (a, b) = (Simulator::new(seed(|_| {})), Simulator::new(seed(|_| {})));
    assert_eq!(ids(&a), ids(&b));
    let (_, addresses) = ids(&a);
    let distinct: std::collections::BTreeSet<_> = addresses.values().collect();
    assert_eq!(distinct.len(), addresses.len());
    assert!(addresses.values().all(|a| a.octets()[0] == 20));
    assert!(addresses.contains_key("westeurope.api.azureml.ms"));
    assert!(addresses.contains_key("cert-westeurope.experiments.azureml.net"));
}
