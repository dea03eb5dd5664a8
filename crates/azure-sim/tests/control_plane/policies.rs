//! Azure Policy: denials, writes that are changed on their way, and late zone groups.

use std::time::Duration;

use azure_sim::Seed;
use azure_sim::journal::{Actor, Entry};
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

/// A seed with the built-in kind of policy for blob endpoints, assigned to the platform's subscription.
fn making_zone_groups(seed: &mut Seed) {
    let definition = format!("{PLATFORM}/providers/Microsoft.Authorization/policyDefinitions/blob-dns");
    let ids = "Microsoft.Network/privateEndpoints/privateLinkServiceConnections[*].groupIds[*]";
    let rule = json!({"if": {"allOf": [
            {"field": "type", "equals": "Microsoft.Network/privateEndpoints"},
            {"count": {"field": ids, "where": {"field": ids, "equals": "blob"}}, "greaterOrEquals": 1}]},
        "then": {"effect": "DeployIfNotExists", "details": {"type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            "deployment": {"properties": {"mode": "incremental", "parameters": {"privateDnsZoneId": {"value": "[parameters('privateDnsZoneId')]"}}}}}}});
    let resources = json!([
        {"id": definition, "properties": {"policyType": "Custom", "policyRule": rule, "parameters": {"privateDnsZoneId": {"type": "String"}}}},
        {"id": format!("{PLATFORM}/providers/Microsoft.Authorization/policyAssignments/blob-dns"), "properties": {
            "policyDefinitionId": definition, "parameters": {"privateDnsZoneId": {"value": zone(BLOB)}}}},
    ]);
    seed.resources = serde_json::from_value(resources).unwrap();
}

const BLOB: &str = "privatelink.blob.core.windows.net";

#[tokio::test(start_paused = true)]
async fn the_dns_policy_makes_its_zone_group_late_and_for_automatic_connections_only() {
    for (manual, groups) in [(false, 1), (true, 0)] {
        let azure = Azure::with(making_zone_groups).await;
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
    let azure = Azure::with(making_zone_groups).await;
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

/// azure-policy#1470: Azure says 200 and does not do it.
#[tokio::test(start_paused = true)]
async fn a_modifying_policy_changes_what_was_sent_and_says_nothing() {
    let kind = "Microsoft.Storage/storageAccounts";
    let modifying = |seed: &mut Seed| {
        let definition = format!("{ML}/providers/Microsoft.Authorization/policyDefinitions/close");
        let rule = json!({"if": {"allOf": [{"field": "type", "equals": kind},
                {"field": format!("{kind}/publicNetworkAccess"), "notEquals": "Disabled"}]},
            "then": {"effect": "modify", "details": {"operations": [
                {"operation": "addOrReplace", "field": format!("{kind}/publicNetworkAccess"), "value": "Disabled"},
                {"operation": "addOrReplace", "field": "tags['closedBy']", "value": "policy"}]}}});
        let resources = json!([
            {"id": definition, "properties": {"policyType": "Custom", "policyRule": rule}},
            {"id": format!("{ML}/providers/Microsoft.Authorization/policyAssignments/close"), "properties": {"policyDefinitionId": definition}},
        ]);
        seed.resources = serde_json::from_value(resources).unwrap();
    };
    let azure = Azure::with(modifying).await;
    let (storage, _) = azure.accounts();
    let patch = |access: &str| json!({"properties": {"publicNetworkAccess": access}});
    for access in ["Disabled", "Enabled"] {
        let reply = azure.patch(&storage, STORAGE, patch(access)).await;
        assert_eq!(reply.status, 200, "{access}: {}", reply.body);
        assert_eq!(reply.text("/properties/publicNetworkAccess"), "Disabled", "{access}");
    }
    let after = azure.get(&storage, STORAGE).await;
    assert_eq!(after.text("/properties/publicNetworkAccess"), "Disabled");
    assert_eq!(after.text("/tags/closedBy"), "policy");
}
