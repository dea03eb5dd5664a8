//! Azure Policy: denials and late zone groups.

use std::time::Duration;

use azure_sim::journal::{Actor, Entry};
use azure_sim::{PrivateDnsPolicy, Seed};
use serde_json::{Value, json};

use crate::azure::*;

/// A seed with a policy that denies what `access` says, assigned to the ML subscription.
fn denying(access: &str, enforcement: &str) -> impl FnOnce(&mut Seed) {
    let definition = format!("{ML}/providers/Microsoft.Authorization/policyDefinitions/access");
    let rule = json!({"if": {"allOf": [
            {"field": "type", "equals": "Microsoft.MachineLearningServices/registries"},
            {"field": "Microsoft.MachineLearningServices/registries/publicNetworkAccess", "equals": access}]},
        "then": {"effect": "[parameters('effect')]"}});
    let resources = json!([
        {"id": definition, "properties": {"policyType": "Custom", "policyRule": rule, "parameters": {"effect": {"defaultValue": "Audit"}}}},
        {"id": format!("{ML}/providers/Microsoft.Authorization/policyAssignments/access"),
         "properties": {"displayName": "Access", "policyDefinitionId": definition, "enforcementMode": enforcement, "parameters": {"effect": {"value": "Deny"}}}},
    ]);
    move |seed| seed.resources = serde_json::from_value(resources).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_denying_policy_refuses_the_write_and_names_itself() {
    for (denied, enforcement, status) in [
        ("Disabled", "Default", 403),
        ("Enabled", "Default", 202),
        ("Disabled", "DoNotEnforce", 202),
    ] {
        let azure = Azure::with(denying(denied, enforcement)).await;
        let mut body = azure.get(&azure.registry(), REGISTRY).await.body;
        body["properties"]["publicNetworkAccess"] = json!("Disabled");
        let reply = azure.put(&azure.registry(), REGISTRY, body).await;
        assert_eq!(reply.status, status, "{denied} {enforcement}: {}", reply.body);
        if status == 403 {
            assert_eq!(reply.code(), "RequestDisallowedByPolicy");
            assert_eq!(reply.text("/error/additionalInfo/0/type"), "PolicyViolation");
            assert!(
                reply
                    .text("/error/additionalInfo/0/info/policyAssignmentId")
                    .ends_with("/policyAssignments/access")
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_dns_policy_makes_its_zone_group_late_and_for_automatic_connections_only() {
    const BLOB: &str = "privatelink.blob.core.windows.net";
    for (manual, groups) in [(false, 1), (true, 0)] {
        let azure = Azure::with(|seed| {
            let zones = [("blob".to_owned(), zone(BLOB))].into();
            seed.private_dns_policy = Some(PrivateDnsPolicy {
                zones,
                delay_seconds: 600,
                manual_connections: false,
            });
        })
        .await;
        let (storage, _) = azure.accounts();
        let zone_id = azure.make_zone(BLOB, &["hub"]).await;
        let body = if manual {
            manual_body(&storage, "blob")
        } else {
            endpoint_body(&storage, "blob")
        };
        azure.done("PUT", &endpoint("blob"), NETWORK, Some(body)).await;
        azure.sim.approve(&endpoint("blob"));
        let list = format!("{}/privateDnsZoneGroups", endpoint("blob"));
        assert_eq!(azure.get(&list, NETWORK).await.list("/value").len(), 0);
        azure.sim.advance(Duration::from_secs(700));
        let made = azure.get(&list, NETWORK).await.list("/value");
        assert_eq!(made.len(), groups, "manual: {manual}");
        assert_eq!(
            azure.get(&format!("{zone_id}/A"), DNS).await.list("/value").len(),
            groups
        );
        let by_policy = azure
            .sim
            .records_since(0)
            .into_iter()
            .any(|r| matches!(r.entry, Entry::Change(c) if c.by == Actor::Policy));
        assert_eq!(by_policy, !manual);
    }
}

#[tokio::test(start_paused = true)]
async fn the_dns_policy_leaves_an_endpoint_alone_that_has_a_group() {
    const BLOB: &str = "privatelink.blob.core.windows.net";
    let azure = Azure::with(|seed| {
        let zones = [("blob".to_owned(), zone(BLOB))].into();
        seed.private_dns_policy = Some(PrivateDnsPolicy {
            zones,
            delay_seconds: 600,
            manual_connections: false,
        });
    })
    .await;
    let (storage, _) = azure.accounts();
    let zone_id = azure.make_zone(BLOB, &["hub"]).await;
    let id = azure.make_endpoint("blob", &storage, "blob").await;
    azure
        .done(
            "PUT",
            &format!("{id}/privateDnsZoneGroups/default"),
            NETWORK,
            Some(group_body(&zone_id)),
        )
        .await;
    azure.sim.advance(Duration::from_secs(700));
    let groups: Vec<Value> = azure
        .get(&format!("{id}/privateDnsZoneGroups"), NETWORK)
        .await
        .list("/value");
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["name"], "default");
}
