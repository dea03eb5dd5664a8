//! What every client of Azure relies on, whatever it asks for: paths that lead nowhere, lists in pages, what is known without a
//! token, whom operations answer.

use serde_json::{Value, json};

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn endpoints_of_the_cloud_are_told_without_a_token_and_a_challenge_leads_to_the_simulators_own_authority() {
    let azure = Azure::new().await;
    for (version, list) in [("2015-01-01", false), ("2019-05-01", true), ("2022-09-01", false)] {
        let reply = azure
            .send("GET", &format!("/metadata/endpoints?api-version={version}"), &[], b"")
            .await;
        assert_eq!(reply.status, 200, "{version}");
        let cloud = if list { &reply.body[0] } else { &reply.body };
        assert_eq!(
            cloud["authentication"]["loginEndpoint"], "https://management.azure.com",
            "{version}"
        );
    }
    assert_eq!(
        azure.send("GET", "/metadata/endpoints", &[], b"").await.code(),
        "MissingApiVersionParameter"
    );
    let bare = azure
        .send("GET", "/subscriptions?api-version=2022-12-01", &[], b"")
        .await;
    let challenge = format!("Bearer authorization_uri=\"https://management.azure.com/{TENANT}\"");
    assert!(
        bare.header("www-authenticate").unwrap().starts_with(&challenge),
        "{:?}",
        bare.headers
    );
}

#[tokio::test(start_paused = true)]
async fn paths_that_lead_nowhere_are_404_in_arms_words() {
    let azure = Azure::new().await;
    for (path, code) in [
        ("/".to_owned(), "MissingSubscription"),
        ("/nowhere".to_owned(), "MissingSubscription"),
        (format!("{ML}/nowhere"), "NotFound"),
        (format!("{ML}/resourceGroups/ml/nowhere/x"), "NotFound"),
        (format!("{ML}/providers/Contoso.Nothing"), "InvalidResourceNamespace"),
    ] {
        let reply = azure.get(&path, "2022-12-01").await;
        assert_eq!((reply.status, reply.code()), (404, code), "{path}");
    }
    let unmodelled = azure
        .get(&format!("{ML}/providers/Microsoft.Compute"), "2022-12-01")
        .await;
    assert_eq!((unmodelled.status, unmodelled.code()), (501, "NotModelledByAzureSim"));
}

#[tokio::test(start_paused = true)]
async fn the_tenants_own_lists_are_there() {
    let azure = Azure::new().await;
    let names = |reply: &Reply, field: &str| -> Vec<String> {
        reply
            .list("/value")
            .iter()
            .map(|i| i[field].as_str().unwrap().to_owned())
            .collect()
    };
    let tenants = azure.get("/tenants", "2022-12-01").await;
    assert_eq!(names(&tenants, "tenantId"), [TENANT]);
    let locations = azure.get(&format!("{ML}/locations"), "2022-12-01").await;
    assert!(names(&locations, "name").contains(&"westeurope".to_owned()));
    let providers = azure.get(&format!("{ML}/providers"), "2022-12-01").await;
    assert!(names(&providers, "namespace").contains(&"Microsoft.Network".to_owned()));
    let all = azure.get(&format!("{ML}/resources"), "2022-09-01").await;
    assert!(names(&all, "id").contains(&azure.registry()), "{:?}", all.body);
    assert!(all.list("/value").iter().all(|r| r.get("properties").is_none()));
    let filter = "$filter=resourceType%20eq%20'Microsoft.Storage/storageAccounts'";
    let filtered = azure
        .get(&format!("{ML}/resources"), &format!("2022-09-01&{filter}"))
        .await;
    assert_eq!(names(&filtered, "type"), ["Microsoft.Storage/storageAccounts"]);
    let nonsense = azure.get(&format!("{ML}/resources"), "2022-09-01&$filter=what").await;
    assert_eq!(nonsense.code(), "InvalidFilterInQueryString");
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages_of_the_size_that_the_switch_says_and_hold_everything_once() {
    let azure = Azure::with(|seed| seed.switches.page_size = 2).await;
    let mut path = format!("{PLATFORM}/providers/Microsoft.Network/virtualNetworks?api-version={NETWORK}");
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let reply = azure.poll(&format!("https://management.azure.com{path}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        pages += 1;
        let page = reply.list("/value");
        assert!(page.len() <= 2);
        names.extend(page.iter().map(|n| n["name"].as_str().unwrap().to_owned()));
        match reply.body.get("nextLink").and_then(Value::as_str) {
            Some(next) => path = next.strip_prefix("https://management.azure.com").unwrap().to_owned(),
            None => break,
        }
    }
    names.sort();
    assert_eq!(
        (names, pages),
        (["hub", "sandbox", "spoke-a"].map(str::to_owned).to_vec(), 2)
    );
}

#[tokio::test(start_paused = true)]
async fn ghosts_are_not_made() {
    let azure = Azure::new().await;
    let before = azure.sim.with_world(|w| w.resources.len());
    let body =
        || json!({"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.77.0.0/16"]}}});
    let scope = format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network");
    for (path, status) in [
        (format!("{scope}/virtualNetworks"), 405),
        (format!("{scope}/virtualNetworks/"), 405),
        (
            format!("{PLATFORM}/providers/Microsoft.Network/virtualNetworks/x1"),
            404,
        ),
        (format!("{scope}/virtualNetworks/a%20b"), 400),
        (format!("{scope}/virtualNetworks/a%2Fb"), 400),
        (format!("{PLATFORM}/resourceGroups"), 405),
        (format!("{PLATFORM}/resourceGroups/ends."), 400),
    ] {
        let reply = azure.put(&path, version_for(&path), body()).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
    }
    assert_eq!(azure.sim.with_world(|w| w.resources.len()), before);
}

fn version_for(path: &str) -> &'static str {
    if path.contains("providers") {
        NETWORK
    } else {
        "2022-09-01"
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_answers_who_started_it_and_who_may_read_what_it_works_on() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let started = azure
        .put(&endpoint("mine"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    let url = started.header("azure-asyncoperation").unwrap().to_owned();
    assert_eq!(azure.poll(&url).await.status, 200);
    let scientist = azure
        .sign_in("0c000000-0000-4000-8000-000000000002", "scientist-secret-of-no-worth")
        .await;
    let path = url.strip_prefix("https://management.azure.com").unwrap();
    let bearer = format!("Bearer {scientist}");
    let refused = azure.send("GET", path, &[("authorization", &bearer)], b"").await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
}

#[tokio::test(start_paused = true)]
async fn groups_are_patched_and_go_with_all_that_is_in_them() {
    let azure = Azure::new().await;
    let group = format!("{PLATFORM}/resourceGroups/sandbox");
    let patched = azure.patch(&group, "2022-09-01", json!({"tags": {"a": "b"}})).await;
    assert_eq!((patched.status, patched.text("/tags/a")), (200, "b"));
    let moved = azure
        .put(&group, "2022-09-01", json!({"location": "northeurope"}))
        .await;
    assert_eq!((moved.status, moved.code()), (409, "InvalidResourceGroupLocation"));
    assert_eq!(azure.arm("HEAD", &group, "2022-09-01", None).await.status, 204);
    azure.done("DELETE", &group, "2022-09-01", None).await;
    assert_eq!(azure.arm("HEAD", &group, "2022-09-01", None).await.status, 404);
    let left = azure
        .sim
        .with_world(|w| w.below(&group).map(|r| r.id.clone()).collect::<Vec<_>>());
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_registry_is_told_in_the_words_of_the_version_asked_for() {
    let azure = Azure::new().await;
    let registry = azure.registry();
    azure
        .done(
            "PUT",
            &endpoint("reg"),
            NETWORK,
            Some(endpoint_body(&registry, "amlregistry")),
        )
        .await;
    for (version, list, state) in [
        (
            "2022-10-01-preview",
            "privateEndpointConnections",
            "privateLinkServiceConnectionState",
        ),
        (
            "2023-04-01",
            "privateEndpointConnections",
            "registryPrivateLinkServiceConnectionState",
        ),
        (
            "2025-12-01",
            "registryPrivateEndpointConnections",
            "registryPrivateLinkServiceConnectionState",
        ),
    ] {
        let reply = azure.get(&registry, version).await;
        let status = reply
            .text(&format!("/properties/{list}/0/properties/{state}/status"))
            .to_owned();
        assert_eq!(status, "Approved", "{version}: {}", reply.body);
    }
}
