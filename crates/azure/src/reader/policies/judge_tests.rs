use serde_json::{Value, json};

use super::super::{Assignments, against, against_closing, path, whole};
use super::*;

const SUBSCRIPTION: &str = "/subscriptions/s";
const STORE: &str = "/subscriptions/s/resourceGroups/managed/providers/Microsoft.Storage/storageAccounts/store";
const DEFINITION: &str = "/providers/microsoft.authorization/policydefinitions/d";
const SET: &str = "/providers/microsoft.authorization/policysetdefinitions/s";

fn store() -> Target {
    Target {
        id: STORE.parse().unwrap(),
        then: Subject {
            kind: "microsoft.storage/storageaccounts".into(),
            name: "store".into(),
            location: Some("westeurope".into()),
            properties: json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}),
        },
    }
}

fn definition(effect: &str) -> Value {
    json!({"name": "d", "properties": {"displayName": "No public storage", "mode": "Indexed",
        "parameters": {"effect": {"defaultValue": "Audit"}},
        "policyRule": {"if": {"allOf": [
            {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
            {"field": "Microsoft.Storage/storageAccounts/publicNetworkAccess", "notEquals": "Disabled"}]},
        "then": {"effect": effect}}}})
}

fn assignment(properties: Value) -> Value {
    let mut all = json!({"policyDefinitionId": DEFINITION, "displayName": "guard"});
    for (name, value) in properties.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({"id": format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policyAssignments/a"), "name": "a", "properties": all})
}

fn said(assignment: &Value, definitions: &[(&str, &Value)], exemptions: &[Value]) -> Vec<String> {
    let all = Assignments {
        assigned: [("a".to_owned(), assignment.clone())].into(),
        meanings: definitions
            .iter()
            .map(|(id, d)| ((*id).to_owned(), meaning_of(d)))
            .collect(),
        exemptions: exemptions.to_vec(),
        exemptions_known: true,
    };
    let now = "2026-11-28T00:00:00Z".parse().unwrap();
    let read = json!({"allowSharedKeyAccess": true, "networkAcls": {"defaultAction": "Deny"}});
    let whole = whole(&[store()], &[(STORE.parse().unwrap(), read)].into());
    assert_eq!(
        whole[0].then.properties["networkAcls"]["defaultAction"], "Allow",
        "as it will be"
    );
    let against = against(&all, &[store()], &whole, now);
    against.into_iter().map(|obstacle| obstacle.message).collect()
}

fn against_storage(effect: &str, properties: Value) -> usize {
    said(&assignment(properties), &[(DEFINITION, &definition(effect))], &[]).len()
}

#[test]
fn an_enforced_policy_that_denies_an_open_account_is_an_obstacle_and_says_how_to_exempt_it() {
    let told = said(&assignment(json!({})), &[(DEFINITION, &definition("deny"))], &[]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("policy assignment \"guard\" denies opening store by \"No public storage\""),
        "{told:?}"
    );
    assert!(
        told[0].contains("az policy exemption create")
            && told[0].contains("--scope /subscriptions/s/resourcegroups/managed")
    );
}

/// It judges the account as it will be as a whole: what it forbids there stands against every write, whatever the write is about.
#[test]
fn a_policy_about_another_property_counts_only_where_it_is_certain_to_refuse_every_write() {
    let keys = |effect: &str, field: &str, wrong: Value| {
        json!({"name": "d", "properties": {"displayName": "No shared keys", "mode": "Indexed",
            "parameters": {"effect": {"allowedValues": ["Audit", "Deny"], "defaultValue": "Deny"}},
            "policyRule": {"if": {"allOf": [
                {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
                {"field": format!("Microsoft.Storage/storageAccounts/{field}"), "equals": wrong}]},
            "then": {"effect": effect}}}})
    };
    let told = |definition: &Value, properties: Value| said(&assignment(properties), &[(DEFINITION, definition)], &[]);
    let deny = keys("[parameters('effect')]", "allowSharedKeyAccess", json!(true));
    let obstacles = told(&deny, json!({}));
    assert_eq!(obstacles.len(), 1);
    assert!(
        obstacles[0].starts_with("policy assignment \"guard\" denies every write to store by \"No shared keys\"; to exempt: az policy exemption create "),
        "{obstacles:?}"
    );
    for (why, definition, properties) in [
        (
            "it complies",
            keys("deny", "allowSharedKeyAccess", json!(false)),
            json!({}),
        ),
        (
            "it was not read",
            keys("deny", "minimumTlsVersion", json!("TLS1_0")),
            json!({}),
        ),
        (
            "it only audits",
            keys("audit", "allowSharedKeyAccess", json!(true)),
            json!({}),
        ),
        (
            "it only audits here",
            deny.clone(),
            json!({"parameters": {"effect": {"value": "Audit"}}}),
        ),
        (
            "its effect is not understood",
            keys("[if(true(), 'deny', 'audit')]", "allowSharedKeyAccess", json!(true)),
            json!({}),
        ),
        (
            "nobody knows whether it holds here",
            deny.clone(),
            json!({"resourceSelectors": [{"selectors": [{"kind": "somethingNew", "in": ["x"]}]}]}),
        ),
        (
            "it is not enforced",
            deny.clone(),
            json!({"enforcementMode": "DoNotEnforce"}),
        ),
    ] {
        assert_eq!(told(&definition, properties), [] as [String; 0], "{why}");
    }
}

#[test]
fn a_command_has_no_empty_option_where_azure_does_not_name_the_assignment() {
    let mut unnamed = assignment(json!({}));
    unnamed.as_object_mut().unwrap().remove("id");
    let told = said(&unnamed, &[(DEFINITION, &definition("deny"))], &[]);
    assert!(
        told.iter()
            .all(|t| t.contains("--policy-assignment ASSIGNMENT --scope /")),
        "{told:?}"
    );
    assert_eq!(told.len(), 1);
}

#[test]
fn effects_come_from_parameters_and_overrides_and_what_is_not_understood_counts() {
    for (effect, parameters, expected) in [
        ("Deny", json!({}), 1),
        ("audit", json!({}), 0),
        ("Disabled", json!({}), 0),
        ("[parameters('effect')]", json!({}), 0),
        ("[parameters('effect')]", json!({"effect": {"value": "Deny"}}), 1),
        ("[if(true(), 'Deny', 'Audit')]", json!({}), 1),
        ("SomethingNew", json!({}), 1),
    ] {
        assert_eq!(
            against_storage(effect, json!({"parameters": parameters})),
            expected,
            "{effect}"
        );
    }
    let change = |value: &str, selectors: Value| json!({"overrides": [{"kind": "policyEffect", "value": value, "selectors": selectors}]});
    let elsewhere = json!([{"kind": "resourceLocation", "in": ["northeurope"]}]);
    assert_eq!(against_storage("deny", change("Audit", json!([]))), 0);
    assert_eq!(against_storage("audit", change("Deny", json!([]))), 1);
    assert_eq!(against_storage("deny", change("Audit", elsewhere)), 1);
}

#[test]
fn an_assignment_holds_where_it_is_enforced_and_selected() {
    for (properties, expected) in [
        (json!({"enforcementMode": "DoNotEnforce"}), 0),
        (json!({"enforcementMode": "Default"}), 1),
        (json!({"notScopes": [STORE.to_uppercase()]}), 0),
        (json!({"notScopes": ["/subscriptions/s/resourceGroups/man"]}), 1),
        (json!({"scope": "/subscriptions/other"}), 0),
        (
            json!({"scope": "/providers/Microsoft.Management/managementGroups/root"}),
            1,
        ),
        (
            json!({"resourceSelectors": [{"selectors": [{"kind": "resourceLocation", "in": ["North Europe"]}]}]}),
            0,
        ),
        (
            json!({"resourceSelectors": [{"selectors": [{"kind": "resourceLocation", "in": ["West Europe"]}]}]}),
            1,
        ),
        (
            json!({"resourceSelectors": [{"selectors": [{"kind": "resourceType", "notIn": ["Microsoft.Storage/storageAccounts"]}]}]}),
            0,
        ),
        (
            json!({"resourceSelectors": [{"selectors": [{"kind": "unheardOf", "in": ["x"]}]}]}),
            1,
        ),
    ] {
        assert_eq!(against_storage("deny", properties.clone()), expected, "{properties}");
    }
}

#[test]
fn an_exemption_frees_until_it_expires_and_only_what_it_names() {
    let exemption = |scope: &str, properties: Value| {
        let mut all = json!({"exemptionCategory": "Waiver",
            "policyAssignmentId": format!("{SUBSCRIPTION}/providers/microsoft.authorization/policyassignments/A")});
        for (name, value) in properties.as_object().unwrap() {
            all[name] = value.clone();
        }
        json!({"id": format!("{scope}/providers/Microsoft.Authorization/policyExemptions/e"), "properties": all})
    };
    for (scope, properties, expected) in [
        (STORE, json!({}), 0),
        (
            "/subscriptions/s/resourceGroups/MANAGED",
            json!({"exemptionCategory": "Mitigated"}),
            0,
        ),
        ("/subscriptions/s/resourceGroups/other", json!({}), 1),
        (STORE, json!({"expiresOn": "2027-01-01T00:00:00Z"}), 0),
        (STORE, json!({"expiresOn": "2026-01-01T00:00:00Z"}), 1),
        (STORE, json!({"expiresOn": "soon"}), 1),
        (STORE, json!({"exemptionCategory": "SomethingNew"}), 1),
        (STORE, json!({"policyAssignmentId": "/another"}), 1),
        (STORE, json!({"policyDefinitionReferenceIds": ["another"]}), 1),
    ] {
        let told = said(
            &assignment(json!({})),
            &[(DEFINITION, &definition("deny"))],
            &[exemption(scope, properties.clone())],
        );
        assert_eq!(told.len(), expected, "{scope} {properties}");
    }
}

#[test]
fn an_initiative_hands_parameters_down_and_has_defaults_of_its_own() {
    let set = json!({"properties": {"parameters": {"storageEffect": {"defaultValue": "Deny"}}, "policyDefinitions": [
        {"policyDefinitionId": DEFINITION, "policyDefinitionReferenceId": "storage",
         "parameters": {"effect": {"value": "[parameters('storageEffect')]"}}}]}});
    let told = |properties: Value| {
        let mut assigned = assignment(properties);
        assigned["properties"]["policyDefinitionId"] = json!(SET);
        said(
            &assigned,
            &[(SET, &set), (DEFINITION, &definition("[parameters('effect')]"))],
            &[],
        )
        .len()
    };
    assert_eq!(told(json!({})), 1, "the initiative's default");
    assert_eq!(told(json!({"parameters": {"storageEffect": {"value": "Audit"}}})), 0);
    let only = |reference: &str| {
        json!({"overrides": [{"kind": "policyEffect", "value": "Disabled",
        "selectors": [{"kind": "policyDefinitionReferenceId", "in": [reference]}]}]})
    };
    assert_eq!(told(only("storage")), 0);
    assert_eq!(told(only("another")), 1);
}

#[test]
fn what_changes_the_setting_back_is_an_obstacle_too() {
    let with = |details: Value, effect: &str| {
        let mut definition = definition(effect);
        definition["properties"]["policyRule"]["then"]["details"] = details;
        said(&assignment(json!({})), &[(DEFINITION, &definition)], &[])
    };
    let write = |value: &str| {
        json!({"operations": [{"operation": "addOrReplace",
        "field": "Microsoft.Storage/storageAccounts/publicNetworkAccess", "value": value}]})
    };
    assert!(with(write("Disabled"), "modify")[0].contains("undoes the opening of store"));
    assert_eq!(with(write("Enabled"), "modify").len(), 0);
    assert_eq!(
        with(
            json!({"operations": [{"operation": "add", "field": "tags['x']", "value": "y"}]}),
            "modify"
        )
        .len(),
        0
    );
    let bypass = json!({"operations": [{"operation": "addOrReplace",
        "field": "Microsoft.Storage/storageAccounts/networkAcls.bypass", "value": "AzureServices"}]});
    assert_eq!(with(bypass, "modify").len(), 0, "it lets nobody of the public out");
    let append = json!([{"field": "Microsoft.Storage/storageAccounts/networkAcls.defaultAction", "value": "Deny"}]);
    assert_eq!(with(append, "append").len(), 1);
    let deployment = json!({"deployment": {"properties": {"template": {"publicNetworkAccess": "Disabled"}}}});
    assert_eq!(with(deployment.clone(), "deployIfNotExists").len(), 1);
    assert_eq!(with(deployment, "auditIfNotExists").len(), 0);
}

#[test]
fn policies_of_other_resources_are_none_of_ours() {
    let mut vaults = definition("deny");
    vaults["properties"]["policyRule"]["if"]["allOf"][0]["equals"] = json!("Microsoft.KeyVault/vaults");
    assert_eq!(said(&assignment(json!({})), &[(DEFINITION, &vaults)], &[]).len(), 0);
    let mut unclear = definition("deny");
    unclear["properties"]["policyRule"]["if"]["allOf"][0] = json!({"value": "[resourceGroup().name]", "equals": "x"});
    assert!(said(&assignment(json!({})), &[(DEFINITION, &unclear)], &[])[0].contains("may deny or undo"));
    assert_eq!(
        meaning_of(&json!({"properties": {"policyRule": {"then": {"effect": "deny"}}}})),
        Meaning::Irrelevant
    );
}

#[test]
fn only_policy_paths_are_asked_and_names_have_any_letters() {
    assert_eq!(
        path("/providers/Microsoft.Authorization/policyDefinitions/X").as_deref(),
        Some("/providers/microsoft.authorization/policydefinitions/x")
    );
    assert!(path("/subscriptions/s/providers/Microsoft.Authorization/policyDefinitions/Öffentlich nein").is_some());
    for bad in [
        "https://evil.example/",
        "/providers/x/../y",
        "/providers/Microsoft.Authorization/policyDefinitions/a?b",
        "",
        "/providers/Microsoft.Storage/x/y",
    ] {
        assert_eq!(path(bad), None, "{bad}");
    }
}

/// Storage with resource rules is closed as `Enabled` with `Deny`: what speaks of another setting, or of another kind, does not mind.
#[test]
fn the_form_in_which_an_account_with_rules_is_closed_is_judged_for_itself() {
    let mut with_rules = store();
    with_rules.then.properties["networkAcls"] = json!({"defaultAction": "Allow",
        "resourceAccessRules": [{"tenantId": "t", "resourceId": "/subscriptions/s/workspace"}]});
    let told = |target: &Target, definition: &Value| {
        let assignments = Assignments {
            assigned: [("a".to_owned(), assignment(json!({})))].into(),
            meanings: [(DEFINITION.to_owned(), meaning_of(definition))].into(),
            exemptions: Vec::new(),
            exemptions_known: true,
        };
        let against = against_closing(&assignments, std::slice::from_ref(target), Timestamp::now());
        against.into_values().flatten().map(|o| o.message).collect::<Vec<_>>()
    };
    let only_disabled = definition("deny");
    assert!(told(&with_rules, &only_disabled)[0].contains("denies closing store"));
    assert_eq!(told(&store(), &only_disabled).len(), 0, "it is closed as Disabled");
    let mut only_deny = definition("deny");
    only_deny["properties"]["policyRule"]["if"]["allOf"][1] =
        json!({"field": "Microsoft.Storage/storageAccounts/networkAcls.defaultAction", "notEquals": "Deny"});
    assert_eq!(told(&with_rules, &only_deny).len(), 0);
    let mut of_registries = definition("deny");
    of_registries["properties"]["policyRule"]["if"]["allOf"][0]["equals"] =
        json!("Microsoft.ContainerRegistry/registries");
    assert_eq!(told(&with_rules, &of_registries).len(), 0);
}
