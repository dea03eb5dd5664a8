//! What forbids opening again: seen by whoever may look, judged as Azure judges.

use serde_json::{Value, json};
use sreg_domain::rights::READ_POLICY_ASSIGNMENTS;

use crate::simulated::*;
use crate::steps::*;

const DEFINITION: &str = "/providers/Microsoft.Management/managementGroups/root/providers/Microsoft.Authorization/policyDefinitions/no-public";
const ASSIGNMENT: &str =
    "/providers/Microsoft.Management/managementGroups/root/providers/Microsoft.Authorization/policyAssignments/guard";

/// A policy of the management group above everything that denies open registries.
fn assigned(bench: &Bench) {
    bench.simulator.put_by_hand(
        DEFINITION,
        json!({"id": DEFINITION, "name": "no-public", "properties": {"displayName": "No public registries", "policyRule": {
            "if": {"allOf": [
                {"field": "type", "equals": "Microsoft.MachineLearningServices/registries"},
                {"field": "Microsoft.MachineLearningServices/registries/publicNetworkAccess", "notEquals": "Disabled"}]},
            "then": {"effect": "deny"}}}}),
    );
    bench.simulator.put_by_hand(
        ASSIGNMENT,
        json!({"id": ASSIGNMENT, "name": "guard", "properties": {"displayName": "guard", "policyDefinitionId": DEFINITION}}),
    );
}

/// The demo's world, in which our principal may do everything but this.
pub fn without(action: &str, scope: &str) -> Bench {
    let mut seed = seed("demo");
    for principal in seed
        .principals
        .iter_mut()
        .filter(|p| p.object_id.as_deref() == Some(OBJECT))
    {
        principal.roles = vec![azure_sim::seed::RoleSeed {
            actions: vec!["*".into()],
            not_actions: vec![action.into()],
            scope: "/".into(),
            ..Default::default()
        }];
        if !scope.is_empty() {
            principal.roles.push(azure_sim::seed::RoleSeed {
                actions: vec![action.into()],
                scope: scope.into(),
                ..Default::default()
            });
        }
    }
    Bench::of(azure_sim::Simulator::new(seed), settings())
}

#[tokio::test]
async fn an_empty_list_of_assignments_is_not_believed_without_the_right_to_read_them() {
    let group = REGISTRY.split("/providers").next().unwrap();
    for granted in ["", group] {
        let bench = without(READ_POLICY_ASSIGNMENTS, granted);
        assigned(&bench);
        let azure = bench.observe().await;
        let why = azure.reopening_obstacles.ignorance().expect("it could not look");
        assert!(why.message.contains(READ_POLICY_ASSIGNMENTS), "{why:?}");
        assert!(why.attempt.contains("/subscriptions/"), "{why:?}");
    }
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let bench = without(READ_POLICY_ASSIGNMENTS, subscription);
    assigned(&bench);
    assert_eq!(bench.observe().await.reopening_obstacles.seen().unwrap().len(), 1);
}

#[tokio::test]
async fn permissions_that_cannot_be_read_or_understood_leave_the_way_back_unknown() {
    for answer in [
        status(403, "AuthorizationFailed", None),
        status(500, "InternalServerError", None),
    ] {
        let bench = Bench::new();
        bench.simulator.inject(azure_sim::FaultRule {
            nth: None,
            times: None,
            ..fault("GET", "Microsoft.Authorization/permissions", answer)
        });
        let azure = bench.observe().await;
        assert!(azure.reopening_obstacles.ignorance().is_some());
        assert!(azure.rights.values().all(|rights| rights.ignorance().is_some()));
    }
}

#[tokio::test]
async fn an_exemption_frees_the_way_back_as_it_frees_the_write() {
    let bench = Bench::new();
    assigned(&bench);
    let told = bench.observe().await.reopening_obstacles.seen().unwrap().clone();
    assert!(
        told[0]
            .message
            .contains("denies opening contosoreg by \"No public registries\""),
        "{told:?}"
    );
    let exemption = format!("{REGISTRY}/providers/Microsoft.Authorization/policyExemptions/ours");
    let exempt = |expires: Value| json!({"id": exemption, "name": "ours", "properties": {"policyAssignmentId": ASSIGNMENT, "exemptionCategory": "Waiver", "expiresOn": expires}});
    bench
        .simulator
        .put_by_hand(&exemption, exempt(json!("2020-01-01T00:00:00Z")));
    assert_eq!(
        bench.observe().await.reopening_obstacles.seen().unwrap().len(),
        1,
        "it has expired"
    );
    bench
        .simulator
        .put_by_hand(&exemption, exempt(json!("2999-01-01T00:00:00Z")));
    assert_eq!(bench.observe().await.reopening_obstacles.seen().unwrap().len(), 0);
}

#[tokio::test]
async fn a_definition_that_cannot_be_found_is_not_taken_for_harmless() {
    let bench = Bench::new();
    assigned(&bench);
    bench.simulator.inject(fault(
        "GET",
        "policyDefinitions",
        status(404, "PolicyDefinitionNotFound", None),
    ));
    assert!(bench.observe().await.reopening_obstacles.ignorance().is_some());
}
