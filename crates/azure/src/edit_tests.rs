use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::differences;

const RESOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/r";

fn a_registry() -> Value {
    json!({
        "id": RESOURCE, "name": "r", "type": "t", "etag": "e", "systemData": {"createdBy": "x"},
        "location": "westeurope", "tags": {"a": "b"}, "kind": "odd", "sku": {"name": "Basic"},
        "identity": {"type": "SystemAssigned", "principalId": "p", "tenantId": "t"},
        "properties": {
            "publicNetworkAccess": "Enabled", "discoveryUrl": "https://x", "syndicatedRegistries": ["kept"],
            "managedResourceGroupTags": {"kept": "yes"}, "managedResourceGroupSettings": {"assignedIdentities": [{"principalId": "one"}]},
            "regionDetails": [{"location": "westeurope", "storageAccountDetails": [
                {"systemCreatedStorageAccount": {"armResourceId": null, "storageAccountType": "Standard_LRS"}},
                {"systemCreatedStorageAccount": {"armResourceId": {"resourceId": "/subscriptions/s"}, "futureField": {"deep": [1]}}}],
                "acrDetails": [{"systemCreatedAcrAccount": {"armResourceId": {"resourceId": ""}, "acrAccountSku": "Premium"}}]}],
            "registryPrivateEndpointConnections": [{"id": "x"}]
        }
    })
}

fn edited(kind: TargetKind, current: &Value, edit: &Edit) -> Value {
    apply_edit(kind, current, edit).unwrap().body
}

#[test]
fn a_registry_is_sent_whole_without_what_the_server_owns() {
    let body = edited(TargetKind::Registry, &a_registry(), &Edit::Close);
    for gone in [
        "/id",
        "/name",
        "/type",
        "/etag",
        "/systemData",
        "/identity/principalId",
        "/identity/tenantId",
        "/properties/registryPrivateEndpointConnections",
    ] {
        assert_eq!(body.pointer(gone), None, "{gone}");
    }
    let mut kept = a_registry();
    kept["properties"]["publicNetworkAccess"] = json!("Disabled");
    let unchanged = [
        "/location",
        "/tags",
        "/kind",
        "/sku",
        "/identity/type",
        "/properties/publicNetworkAccess",
        "/properties/discoveryUrl",
        "/properties/syndicatedRegistries",
        "/properties/managedResourceGroupTags",
        "/properties/managedResourceGroupSettings",
        "/properties/regionDetails/0/storageAccountDetails/1",
    ];
    for pointer in unchanged {
        assert_eq!(body.pointer(pointer), kept.pointer(pointer), "{pointer}");
    }
    let text = body.to_string();
    assert_eq!(
        text.matches("armResourceId").count(),
        1,
        "a null or empty armResourceId must never be sent: {text}"
    );
    assert_eq!(
        edited(
            TargetKind::Registry,
            &a_registry(),
            &Edit::Restore(json!({"publicNetworkAccess": null}))
        )["properties"]["publicNetworkAccess"],
        "Enabled"
    );
}

#[test]
fn granting_adds_the_principal_once_and_keeps_the_others() {
    let granted = grant(&a_registry(), "two").body;
    let identities = json!([{"principalId": "one"}, {"principalId": "two"}]);
    assert_eq!(
        granted["properties"]["managedResourceGroupSettings"]["assignedIdentities"],
        identities
    );
    assert_eq!(grant(&granted, "TWO").body, granted);
    assert_eq!(
        grant(&json!({}), "p").body["properties"]["managedResourceGroupSettings"]["assignedIdentities"],
        json!([{"principalId": "p"}])
    );
}

#[test]
fn closing_storage_keeps_bypass_and_stays_enabled_where_resource_rules_would_stop() {
    let acls = |rules: Value| {
        json!({"properties": {"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow", "bypass": "AzureServices, Logging",
            "ipRules": [{"value": "1.2.3.4"}], "ipv6Rules": [{"value": "::1"}], "virtualNetworkRules": [{"id": "x"}], "resourceAccessRules": rules, "odd": 1}}})
    };
    let none = edited(TargetKind::Storage, &acls(json!([])), &Edit::Close);
    assert_eq!(
        none,
        json!({"properties": {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny",
        "bypass": "AzureServices, Logging", "ipRules": [], "ipv6Rules": [], "virtualNetworkRules": [], "resourceAccessRules": [], "odd": 1}}})
    );
    let some = edited(TargetKind::Storage, &acls(json!([{"resourceId": "r"}])), &Edit::Close);
    assert_eq!(some["properties"]["publicNetworkAccess"], "Enabled");
    assert_eq!(
        some["properties"]["networkAcls"]["resourceAccessRules"],
        json!([{"resourceId": "r"}])
    );
    assert_eq!(some["properties"]["networkAcls"]["defaultAction"], "Deny");
}

#[test]
fn what_was_closed_is_restored_exactly() {
    let storage = json!({"properties": {"networkAcls": {"defaultAction": "Deny", "bypass": "None", "ipRules": [{"value": "1.2.3.4"}], "virtualNetworkRules": []}}});
    let network = json!({"publicNetworkAccess": null, "networkAcls": storage["properties"]["networkAcls"]});
    let closed = edited(TargetKind::Storage, &storage, &Edit::Close);
    let back = edited(TargetKind::Storage, &closed, &Edit::Restore(network.clone()));
    assert_eq!(back["properties"]["networkAcls"], network["networkAcls"]);
    assert_eq!(back["properties"]["publicNetworkAccess"], "Enabled");
    let registry = json!({"properties": {"publicNetworkAccess": "Enabled", "networkRuleSet": {"defaultAction": "Allow", "ipRules": []}, "networkRuleBypassOptions": "AzureServices"}});
    let closed = edited(TargetKind::ContainerRegistry, &registry, &Edit::Close);
    assert_eq!(
        closed,
        json!({"properties": {"publicNetworkAccess": "Disabled", "networkRuleSet": {"defaultAction": "Deny", "ipRules": []}}})
    );
    let back = edited(
        TargetKind::ContainerRegistry,
        &closed,
        &Edit::Restore(registry["properties"].clone()),
    );
    assert_eq!(
        back["properties"]["networkRuleSet"],
        registry["properties"]["networkRuleSet"]
    );
}

#[test]
fn a_snapshot_without_rules_empties_the_lists_that_are_there_now() {
    let now = json!({"properties": {"networkAcls": {"defaultAction": "Deny", "bypass": "AzureServices", "ipRules": [{"value": "9.9.9.9"}]}}});
    let back = edited(
        TargetKind::Storage,
        &now,
        &Edit::Restore(json!({"publicNetworkAccess": "Enabled"})),
    );
    assert_eq!(
        back["properties"]["networkAcls"],
        json!({"defaultAction": "Allow", "bypass": "AzureServices", "ipRules": []})
    );
}

#[test]
fn a_resource_rule_that_closing_could_not_keep_comes_back_beside_those_that_came_since() {
    let (before, since) = (
        json!({"resourceId": "w", "tenantId": "t"}),
        json!({"resourceId": RESOURCE, "tenantId": "t"}),
    );
    let kept = json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow", "resourceAccessRules": [before]}});
    let now = json!({"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [], "resourceAccessRules": [since]}}});
    let back = edited(TargetKind::Storage, &now, &Edit::Restore(kept.clone()));
    assert_eq!(
        back["properties"]["networkAcls"]["resourceAccessRules"],
        json!([since, before])
    );
    let none = json!({"properties": {"networkAcls": {"defaultAction": "Deny", "resourceAccessRules": null}}});
    let back = edited(TargetKind::Storage, &none, &Edit::Restore(kept));
    assert_eq!(
        back["properties"]["networkAcls"]["resourceAccessRules"],
        json!([before])
    );
}

/// Closing never touches them, so neither does opening again.
#[test]
fn what_came_while_it_was_closed_survives_opening_again() {
    let before = json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow", "bypass": "None", "ipRules": [], "resourceAccessRules": []}});
    let now = json!({"properties": {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny", "bypass": "AzureServices",
        "ipRules": [], "ipv6Rules": [], "resourceAccessRules": [{"resourceId": RESOURCE, "tenantId": "t"}]}}});
    let back = edited(TargetKind::Storage, &now, &Edit::Restore(before));
    assert_eq!(
        back["properties"]["networkAcls"],
        json!({"defaultAction": "Allow", "bypass": "AzureServices", "ipRules": [], "ipv6Rules": [],
            "resourceAccessRules": [{"resourceId": RESOURCE, "tenantId": "t"}]})
    );
    assert_eq!(back["properties"]["publicNetworkAccess"], "Enabled");
}

#[test]
fn a_resource_rule_is_added_once_and_nothing_else_moves() {
    let rule = Edit::AllowResource {
        resource: RESOURCE.parse().unwrap(),
        tenant: "t".into(),
    };
    let before = json!({"properties": {"publicNetworkAccess": "Disabled", "networkAcls": {"defaultAction": "Deny", "ipRules": [1]}}});
    let once = edited(TargetKind::Storage, &before, &rule);
    assert_eq!(
        once,
        json!({"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [1], "resourceAccessRules": [{"tenantId": "t", "resourceId": RESOURCE}]}}})
    );
    assert_eq!(edited(TargetKind::Storage, &once, &rule), once);
    for kind in [TargetKind::Registry, TargetKind::ContainerRegistry] {
        assert_eq!(apply_edit(kind, &before, &rule), Err(EditError::NotForThisTarget));
    }
}

#[test]
fn nonsense_to_restore_is_refused() {
    for nonsense in [json!(null), json!([]), json!("Enabled"), json!(1)] {
        for kind in [TargetKind::Registry, TargetKind::Storage, TargetKind::ContainerRegistry] {
            assert_eq!(
                apply_edit(kind, &json!({}), &Edit::Restore(nonsense.clone())),
                Err(EditError::NoSettings)
            );
        }
    }
}

/// Any JSON, with names that matter mixed in.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "[a-z]{1,6}",
        Just("armResourceId".to_owned()),
        Just("networkAcls".to_owned()),
        Just("networkRuleSet".to_owned()),
        Just("ipRules".to_owned()),
        Just("virtualNetworkRules".to_owned()),
        Just("resourceAccessRules".to_owned()),
        Just("bypass".to_owned()),
        Just("defaultAction".to_owned()),
        Just("publicNetworkAccess".to_owned()),
        Just("identity".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z]{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_resource() -> impl Strategy<Value = Value> {
    (any_json(), any_json()).prop_map(|(mut body, properties)| {
        if let Some(map) = body.as_object_mut() {
            map.insert("properties".into(), properties);
        }
        body
    })
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Close),
        Just(Edit::Open),
        any_json().prop_map(Edit::Restore),
        Just(Edit::AllowResource {
            resource: RESOURCE.parse().unwrap(),
            tenant: "t".into()
        }),
    ]
}

proptest! {
    #[test]
    fn every_field_that_an_edit_does_not_name_is_kept(current in any_resource(), edit in any_edit()) {
        for kind in [TargetKind::Registry, TargetKind::Storage, TargetKind::ContainerRegistry] {
            let Ok(Edited { body, named }) = apply_edit(kind, &current, &edit) else { continue };
            let kept = match kind {
                TargetKind::Registry => Value::Object(registry_body(&current)),
                // A PATCH: what it does not send stays. What it sends must be as it was, save what is named.
                TargetKind::Storage => json!({"properties": {"publicNetworkAccess": current["properties"].get("publicNetworkAccess"), "networkAcls": current["properties"].get("networkAcls").filter(|r| r.is_object())}}),
                TargetKind::ContainerRegistry => json!({"properties": {"publicNetworkAccess": current["properties"].get("publicNetworkAccess"), "networkRuleSet": current["properties"].get("networkRuleSet").filter(|r| r.is_object())}}),
            };
            let mut named = named;
            if matches!(edit, Edit::AllowResource { .. }) {
                // Not sent, so not changed; and a default action must be sent where there is none (azure.md §5.1).
                named.extend(["/properties/publicNetworkAccess", "/properties/networkAcls/defaultAction"]);
            }
            for changed in differences(&kept, &body) {
                let below = |n: &&'static str| changed == **n || changed.starts_with(&format!("{n}/")) || n.starts_with(&format!("{changed}/"));
                prop_assert!(named.iter().any(below), "{kind}: {changed} changed by {edit:?}\n{kept}\n{body}");
            }
        }
    }

    #[test]
    fn an_edit_carried_out_twice_is_the_same_as_once(current in any_resource()) {
        for kind in [TargetKind::Registry, TargetKind::Storage, TargetKind::ContainerRegistry] {
            for edit in [Edit::Close, Edit::Open] {
                let once = edited(kind, &current, &edit);
                prop_assert_eq!(&edited(kind, &once, &edit), &once);
            }
        }
    }
}
