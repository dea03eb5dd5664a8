//! What forbids opening again: seen by whoever may look, judged as Azure judges.

use serde_json::{Value, json};
use sreg_api::grant::AccountUse;
use sreg_domain::rights::READ_POLICY_ASSIGNMENTS;
use sreg_domain::{Grant, Grants, Purpose, TargetKind};

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

/// A shared account has its own group and subscription, with policies of their own.
#[tokio::test]
async fn a_policy_over_an_account_in_another_subscription_is_seen_too() {
    let mut bench = Bench::new();
    let ours = only(&bench.observe().await, TargetKind::Storage).id.clone();
    let group = format!("{PLATFORM}/resourceGroups/sandbox");
    let shared = id(&format!(
        "{group}/providers/Microsoft.Storage/storageAccounts/sharedstore"
    ));
    let mut account = bench.body(&ours);
    account["id"] = json!(shared.as_str());
    account["name"] = json!("sharedstore");
    bench.simulator.put_by_hand(shared.as_str(), account);
    let mut registry = bench.body(&id(REGISTRY));
    registry["properties"]["regionDetails"][0]["storageAccountDetails"]
        .as_array_mut()
        .unwrap()
        .push(json!({"userCreatedStorageAccount": {"armResourceId": {"resourceId": shared.as_str()}}}));
    bench.simulator.put_by_hand(REGISTRY, registry);
    let purpose = Purpose::Account(AccountUse::Shared);
    bench.desired.grants = Grants::new(vec![Grant {
        name: "shared".into(),
        scopes: [(purpose, vec![shared.clone()])].into(),
        vantage_points: Default::default(),
        requires: Ok(Default::default()),
    }]);
    let definition = format!("{PLATFORM}/providers/Microsoft.Authorization/policyDefinitions/closed");
    bench.simulator.put_by_hand(
        &definition,
        json!({"id": definition, "name": "closed", "properties": {"displayName": "closed", "policyRule": {
            "if": {"allOf": [
                {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
                {"field": "Microsoft.Storage/storageAccounts/publicNetworkAccess", "notEquals": "Disabled"}]},
            "then": {"effect": "deny"}}}}),
    );
    let azure = bench.observe().await;
    assert_eq!(seen(&azure.reopening_obstacles), &[]);
    assert!(azure.targets.contains(&shared));
    let assignment = format!("{group}/providers/Microsoft.Authorization/policyAssignments/theirs");
    bench.simulator.put_by_hand(
        &assignment,
        json!({"id": assignment, "name": "theirs", "properties": {"displayName": "theirs", "policyDefinitionId": definition}}),
    );
    let azure = bench.observe().await;
    let [obstacle] = &seen(&azure.reopening_obstacles)[..] else {
        panic!("{:?}", azure.reopening_obstacles)
    };
    assert!(
        obstacle.message.contains("denies opening sharedstore"),
        "{}",
        obstacle.message
    );
    // Who may not look there knows nothing of the way back.
    let bench = Bench {
        desired: bench.desired,
        ..Bench::of(bench.simulator.clone(), settings())
    };
    bench.simulator.inject(azure_sim::FaultRule {
        nth: None,
        times: None,
        ..fault(
            "GET",
            "/resourceGroups/sandbox/providers/Microsoft.Authorization/policyAssignments",
            status(403, "AuthorizationFailed", None),
        )
    });
    assert!(bench.observe().await.reopening_obstacles.ignorance().is_some());
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

/// A policy with `denyAction` refuses deletions only: it is asked about what may be about to be removed, and about nothing else.
#[tokio::test]
async fn a_policy_that_forbids_deletions_is_seen_for_what_may_be_removed() {
    let definition = format!("{PLATFORM}/providers/Microsoft.Authorization/policyDefinitions/keep");
    let assignment = format!("{PLATFORM}/providers/Microsoft.Authorization/policyAssignments/keep");
    let of_type = |kind: &str| json!({"field": "type", "equals": kind});
    // The usual form: whoever sets a tag keeps what has it.
    let tagged = json!({"allOf": [of_type("Microsoft.Network/privateEndpoints"),
        {"field": "[concat('tags[', parameters('tag'), ']')]", "exists": true}]});
    for (kind, effect, keeps) in [
        ("a tag", "denyAction", true),
        ("a tag", "[parameters('effect')]", true),
        ("Microsoft.Network/privateEndpoints", "denyAction", true),
        (
            "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            "denyAction",
            true,
        ),
        ("Microsoft.Network/privateEndpoints", "[parameters('effect')]", true),
        ("Microsoft.Network/virtualNetworks", "denyAction", false),
        ("Microsoft.Network/privateEndpoints", "audit", false),
    ] {
        let mut bench = Bench::new();
        let create = create_endpoint(&id(REGISTRY), sreg_domain::EndpointGroup::AmlRegistry);
        bench.complete(create).await;
        bench.simulator.put_by_hand(
            &definition,
            json!({"id": definition, "name": "keep", "properties": {"displayName": "keep",
                "parameters": {"effect": {"defaultValue": "DenyAction"}, "tag": {"defaultValue": "keep"}}, "policyRule": {
                "if": if kind == "a tag" { tagged.clone() } else { of_type(kind) },
                "then": {"effect": effect, "details": {"actionNames": ["delete"]}}}}}),
        );
        bench.simulator.put_by_hand(
            &assignment,
            json!({"id": assignment, "name": "keep", "properties": {"displayName": "keep", "policyDefinitionId": definition}}),
        );
        let azure = bench.observe().await;
        assert!(azure.removal_obstacles.is_empty(), "nothing is about to be removed");
        bench.desired.leaving = true;
        let azure = bench.observe().await;
        let [fact] = azure.removal_obstacles.values().collect::<Vec<_>>()[..] else {
            panic!("{:?}", azure.removal_obstacles)
        };
        let told = seen(fact);
        assert_eq!(!told.is_empty(), keeps, "{kind} {effect}: {told:?}");
        assert!(
            told.iter().all(|o| o.message.contains(if kind == "a tag" {
                "may deny deleting"
            } else {
                "denies deleting"
            }) && o.message.contains("az policy exemption create")),
            "{told:?}"
        );
        assert_eq!(seen(&azure.reopening_obstacles), &[]);
    }
}
