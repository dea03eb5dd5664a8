//! Policies that make zone groups (`dns.mode: Policy`): what is told of them before an endpoint is made is what they then do.

use std::time::Duration;

use serde_json::{Value, json};
use sreg_api::registry::DnsMode;
use sreg_domain::rights::READ_POLICY_ASSIGNMENTS;
use sreg_domain::seen::{AzureSeen, Coverage, IgnoranceKind, ZoneGroupPolicy};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, Fact};

use crate::policies::without;
use crate::simulated::*;
use crate::steps::*;

const LIST: &str = "Microsoft.Network/privateEndpoints/privateLinkServiceConnections[*]";

/// The condition of the built-in policies.
fn built_in(group: &str) -> Value {
    let ids = format!("{LIST}.groupIds[*]");
    json!({"count": {"field": ids, "where": {"field": ids, "equals": group}}, "greaterOrEquals": 1})
}

/// The condition of the landing zones' generic policy.
fn generic(list: &str, target: &str, group: &str) -> Value {
    json!({"count": {"field": list, "where": {"allOf": [
        {"field": format!("{list}.privateLinkServiceId"), "contains": target},
        {"field": format!("{list}.groupIds[*]"), "equals": group}]}}, "greaterOrEquals": 1})
}

/// A definition with this condition, assigned to the platform's subscription with what is given.
fn assign(bench: &Bench, condition: Value, zone: &ArmId, given: Value) -> String {
    let below = format!("{PLATFORM}/providers/Microsoft.Authorization");
    let definition = format!("{below}/policyDefinitions/dns");
    bench.simulator.put_by_hand(
        &definition,
        json!({"id": definition, "name": "dns", "properties": {"displayName": "Zone groups", "mode": "Indexed",
            "parameters": {"effect": {"defaultValue": "DeployIfNotExists"}, "privateDnsZoneId": {"type": "String"}},
            "policyRule": {"if": {"allOf": [{"field": "type", "equals": "Microsoft.Network/privateEndpoints"}, condition]},
                "then": {"effect": "[parameters('effect')]", "details": {
                    "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups", "evaluationDelay": "AfterProvisioningSuccess",
                    "deployment": {"properties": {"mode": "incremental", "parameters": {
                        "privateDnsZoneId": {"value": "[parameters('privateDnsZoneId')]"},
                        "privateEndpointName": {"value": "[field('name')]"}}}}}}}}}),
    );
    let assignment = format!("{below}/policyAssignments/dns");
    let mut properties = json!({"displayName": "dns", "policyDefinitionId": definition,
        "parameters": {"privateDnsZoneId": {"value": zone.as_str()}}});
    for (name, value) in given.as_object().unwrap() {
        properties[name] = value.clone();
    }
    let body =
        json!({"id": assignment, "name": "dns", "identity": {"type": "SystemAssigned"}, "properties": properties});
    bench.simulator.put_by_hand(&assignment, body);
    assignment.to_ascii_lowercase()
}

fn by_policy(bench: &mut Bench, manual: bool) {
    let place = &mut bench.desired.spec.as_mut().unwrap().endpoints[0];
    place.dns.mode = DnsMode::Policy;
    place.dns.zones.clear();
    place.dns.links.clear();
    place.manual_request = manual.then(|| "please".to_owned());
}

fn of_group(azure: &AzureSeen, group: EndpointGroup) -> (ArmId, Fact<Vec<ZoneGroupPolicy>>) {
    let (target, _) = targets(azure).into_iter().find(|(_, g)| *g == group).unwrap();
    let id = create_endpoint(&target, group).resource().clone();
    let told = azure.zone_group_policies[&id].clone();
    (id, told)
}

/// The endpoint is made and its connection approved; whether a policy then makes its zone group.
async fn gets_a_zone_group(bench: &mut Bench, group: EndpointGroup, manual: bool) -> bool {
    let azure = bench.observe().await;
    let (target, _) = targets(&azure).into_iter().find(|(_, g)| *g == group).unwrap();
    let mut create = create_endpoint(&target, group);
    if let AzureAction::CreateEndpoint { manual_request, .. } = &mut create {
        *manual_request = manual.then(|| "please".to_owned());
    }
    let id = create.resource().clone();
    bench.complete(create).await;
    bench.simulator.approve(id.as_str());
    bench.simulator.advance(Duration::from_secs(60));
    let azure = bench.observe().await;
    let groups = seen(&seen(&azure.endpoints[&id]).zone_groups).clone();
    if groups.is_empty() {
        return false;
    }
    assert!(
        !azure.zone_group_policies.contains_key(&id),
        "nobody asks once it is there"
    );
    let zone = &groups[0].zones[0];
    assert!(!seen(&azure.records_by_policy[zone]).is_empty(), "its records are read");
    true
}

#[tokio::test]
async fn policies_are_told_to_cover_exactly_what_they_then_serve() {
    use EndpointGroup::{Blob, ContainerRegistry};
    let manual_list = LIST.replace("/privateLink", "/manualPrivateLink");
    let both = json!({"anyOf": [built_in("blob"), generic(&manual_list, "Microsoft.Storage/storageAccounts", "blob")]});
    let storage = "Microsoft.Storage/storageAccounts";
    let elsewhere = json!({"notScopes": [format!("{PLATFORM}/resourceGroups/network")]});
    let effect = |effect: &str| json!({"parameters": {"effect": {"value": effect}, "privateDnsZoneId": {"value": zone(Blob).as_str()}}});
    let table = [
        (built_in("blob"), json!({}), false, Some(Coverage::Yes)),
        (built_in("blob"), json!({}), true, Some(Coverage::OtherKind)),
        (built_in("registry"), json!({}), false, None),
        (generic(LIST, storage, "blob"), json!({}), false, Some(Coverage::Yes)),
        (generic(LIST, "Microsoft.Sql/servers", "blob"), json!({}), false, None),
        (both, json!({}), true, Some(Coverage::Yes)),
        (
            built_in("blob"),
            json!({"enforcementMode": "DoNotEnforce"}),
            false,
            None,
        ),
        (built_in("blob"), elsewhere, false, None),
        (built_in("blob"), effect("AuditIfNotExists"), false, None),
        (built_in("blob"), effect("Disabled"), false, None),
    ];
    for (condition, given, manual, expected) in table {
        let mut bench = Bench::new();
        by_policy(&mut bench, manual);
        bench
            .complete(AzureAction::CreateZone {
                id: zone(Blob),
                tags: Default::default(),
                owner: "the/hub/team".into(),
            })
            .await;
        let assignment = assign(&bench, condition.clone(), &zone(Blob), given.clone());
        let azure = bench.observe().await;
        let case = format!("{condition} {given} manual: {manual}");
        let (_, told) = of_group(&azure, Blob);
        let wanted = expected.map(|covers| ZoneGroupPolicy {
            assignment,
            covers,
            zone: Some(zone(Blob)),
        });
        assert_eq!(seen(&told), &Vec::from_iter(wanted), "{case}");
        let (_, other) = of_group(&azure, ContainerRegistry);
        assert_eq!(
            seen(&other).is_empty(),
            !condition.to_string().contains("\"registry\""),
            "{case}"
        );
        let served = gets_a_zone_group(&mut bench, Blob, manual).await;
        assert_eq!(served, expected == Some(Coverage::Yes), "{case}");
    }
}

#[tokio::test]
async fn a_condition_that_is_not_understood_covers_perhaps() {
    let mut bench = Bench::new();
    by_policy(&mut bench, false);
    let condition = json!({"value": "[contains(resourceGroup().name, 'net')]", "equals": true});
    assign(&bench, condition, &zone(EndpointGroup::Blob), json!({}));
    let (_, told) = of_group(&bench.observe().await, EndpointGroup::Blob);
    assert_eq!(seen(&told)[0].covers, Coverage::Perhaps);
}

#[tokio::test]
async fn exemptions_take_an_endpoint_out_and_unread_ones_leave_a_doubt() {
    let mut bench = Bench::new();
    by_policy(&mut bench, false);
    let assignment = assign(&bench, built_in("blob"), &zone(EndpointGroup::Blob), json!({}));
    bench.simulator.inject(fault(
        "GET",
        "policyExemptions",
        status(403, "AuthorizationFailed", None),
    ));
    let (_, told) = of_group(&bench.observe().await, EndpointGroup::Blob);
    assert_eq!(seen(&told)[0].covers, Coverage::Perhaps);
    let exemption =
        format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Authorization/policyExemptions/ours");
    bench.simulator.put_by_hand(
        &exemption,
        json!({"id": exemption, "name": "ours", "properties": {"policyAssignmentId": assignment, "exemptionCategory": "Waiver"}}),
    );
    let (_, told) = of_group(&bench.observe().await, EndpointGroup::Blob);
    assert_eq!(seen(&told), &Vec::new());
}

#[tokio::test]
async fn assignments_are_believed_only_with_the_right_to_read_them() {
    let mut bench = without(READ_POLICY_ASSIGNMENTS, "");
    by_policy(&mut bench, false);
    let azure = bench.observe().await;
    for (_, group) in targets(&azure) {
        let (_, told) = of_group(&azure, group);
        assert_eq!(kind(&told), IgnoranceKind::Forbidden);
    }
    let managed = Bench::new().observe().await;
    assert!(
        managed.zone_group_policies.is_empty(),
        "asked with dns.mode: Policy only"
    );
}
