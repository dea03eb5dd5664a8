//! The oracle of required paths.

use azure_sim::oracle::exposure;

use crate::azure::*;

#[tokio::test(start_paused = true)]
async fn required_paths_follow_from_the_world_by_peering_and_approval() {
    let azure = Azure::with(|seed| seed.registries[0].hierarchical_namespace = true).await;
    let registry = azure.registry();
    let (storage, acr) = azure.accounts();
    assert!(
        azure.sim.required_paths(&registry, &[]).is_empty(),
        "nobody reaches an endpoint yet"
    );
    let named = azure.sim.required_paths(&registry, &["hub".into()]);
    assert_eq!(named.len(), 5, "registry, blob, dfs, login, data: {named:?}");
    assert!(named.iter().all(|p| p.addresses.is_empty()));

    azure.make_endpoint("reg", &registry, "amlregistry").await;
    azure.make_endpoint("blob", &storage, "blob").await;
    azure.make_endpoint("dfs", &storage, "dfs").await;
    azure
        .done("PUT", &endpoint("acr"), NETWORK, Some(manual_body(&acr, "registry")))
        .await;
    let paths = azure.sim.required_paths(&registry, &[]);
    let networks: std::collections::BTreeSet<&str> = paths.iter().map(|p| p.network.as_str()).collect();
    assert_eq!(
        networks.into_iter().collect::<Vec<_>>(),
        ["hub", "office", "spoke-a"],
        "neither sandbox nor internet"
    );
    let open = |paths: &[azure_sim::RequiredPath]| paths.iter().filter(|p| p.addresses.is_empty()).count();
    assert_eq!(open(&paths), 6, "login and data of three networks wait for approval");
    assert!(azure.sim.approve(&endpoint("acr")));
    let paths = azure.sim.required_paths(&registry, &[]);
    assert_eq!((paths.len(), open(&paths)), (15, 0));

    azure
        .done(
            "DELETE",
            &format!("{}/virtualNetworkPeerings/to-hub", vnet("spoke-a")),
            NETWORK,
            None,
        )
        .await;
    let paths = azure.sim.required_paths(&registry, &["spoke-a".into()]);
    assert_eq!(open(&paths), 5, "a one-sided peering carries nothing");
}

#[tokio::test(start_paused = true)]
async fn exposure_is_told_target_by_target() {
    let azure = Azure::new().await;
    let registry = azure.registry();
    let open = |azure: &Azure| {
        azure
            .sim
            .with_world(|w| exposure(w, &registry))
            .iter()
            .filter(|(_, open)| *open)
            .count()
    };
    assert_eq!(open(&azure), 3);
    let (storage, _) = azure.accounts();
    let deny = serde_json::json!({"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]}}});
    azure.patch(&storage, STORAGE, deny).await;
    assert_eq!(open(&azure), 3, "an address rule leaves it open to somebody");
    azure
        .patch(
            &storage,
            STORAGE,
            serde_json::json!({"properties": {"networkAcls": {"defaultAction": "Deny"}}}),
        )
        .await;
    assert_eq!(open(&azure), 2);
}
