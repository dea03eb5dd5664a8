//! Writes to a firewall that Azure refuses for what stands in it: narrowed down, the rest written, the refused named.

use azure_sim::{FaultEffect, FaultRule};
use serde_json::{Value, json};
use sreg_domain::action::{Edit, LeftOut};
use sreg_domain::{ArmId, AzureAction, CallFailure, Disposition, Effect, TargetKind};

use crate::simulated::*;
use crate::steps::*;

const OFFICE: &str = "203.0.113.0/24";

fn subnet(name: &str) -> ArmId {
    network("hub").child("subnets", name)
}

fn acls(subnets: &[&str], resources: &[&str]) -> Value {
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|s| json!({"id": subnet(s).as_str(), "action": "Allow", "state": "Succeeded"}))
        .collect();
    let resources: Vec<Value> = resources
        .iter()
        .map(|r| json!({"tenantId": TENANT, "resourceId": r}))
        .collect();
    json!({"defaultAction": "Deny", "bypass": "AzureServices", "ipRules": [{"value": OFFICE, "action": "Allow"}], "ipv6Rules": [],
        "virtualNetworkRules": subnets, "resourceAccessRules": resources})
}

/// Whenever the body of a request has these words.
fn fault_in(method: &str, path: &str, body: &str, effect: FaultEffect) -> FaultRule {
    FaultRule {
        body_contains: Some(body.into()),
        nth: None,
        times: None,
        ..fault(method, path, effect)
    }
}

fn refusal(status: u16, code: &str, message: &str) -> FaultEffect {
    FaultEffect::Status {
        status,
        code: Some(code.into()),
        message: Some(message.into()),
        body: None,
        retry_after: None,
    }
}

/// The storage account of the registry, as it reads now.
async fn storage(bench: &Bench) -> (ArmId, sreg_domain::Digest) {
    let azure = bench.observe().await;
    let (id, fact) = azure.targets.of(TargetKind::Storage).next().unwrap();
    (id.clone(), seen(fact).digest.clone())
}

fn rules(bench: &Bench, id: &ArmId) -> Value {
    bench.body(id)["properties"]["networkAcls"].clone()
}

fn with_service_endpoint(bench: &Bench, name: &str) {
    let id = subnet(name);
    let body = json!({"id": id.as_str(), "name": name, "type": "Microsoft.Network/virtualNetworks/subnets",
        "properties": {"addressPrefix": "10.0.7.0/28", "provisioningState": "Succeeded", "serviceEndpoints": [{"service": "Microsoft.Storage"}]}});
    bench.simulator.put_by_hand(id.as_str(), body);
}

async fn edit(bench: &Bench, edit: Edit) -> (ArmId, Result<Effect, CallFailure>) {
    let (id, expected) = storage(bench).await;
    let action = AzureAction::Edit {
        target: TargetKind::Storage,
        id: id.clone(),
        edit,
        expected,
    };
    (id, bench.carry_out(action).await)
}

fn before(subnets: &[&str]) -> Edit {
    Edit::Restore(json!({"publicNetworkAccess": "Enabled", "networkAcls": acls(subnets, &[])}))
}

fn left_out(effect: Result<Effect, CallFailure>) -> Vec<LeftOut> {
    match effect.unwrap() {
        Effect::Done { left_out, .. } => left_out,
        other => panic!("{other:?}"),
    }
}

async fn closed(bench: &Bench) {
    let (_, effect) = edit(bench, Edit::Close).await;
    assert!(left_out(effect).is_empty());
}

#[tokio::test]
async fn subnets_that_azure_refuses_are_left_out_and_everything_else_is_restored() {
    for merged in [false, true] {
        let bench = Bench::new();
        bench.simulator.set_switches(|s| s.network_acls_merged = merged);
        with_service_endpoint(&bench, "build");
        closed(&bench).await;
        // One lost its service endpoint, one is gone, one is being changed.
        with_service_endpoint(&bench, "busy");
        bench.simulator.change_by_hand(subnet("busy").as_str(), |body| {
            body["properties"]["provisioningState"] = json!("Updating")
        });
        let (id, effect) = edit(&bench, before(&["endpoints", "gone", "build", "busy"])).await;
        let left = left_out(effect);
        let mut named: Vec<(&str, bool)> = left
            .iter()
            .map(|l| {
                (
                    l.rule.value.rsplit('/').next().unwrap(),
                    l.failure.disposition() == Disposition::Retry,
                )
            })
            .collect();
        named.sort_unstable();
        assert_eq!(named, [("busy", true), ("endpoints", false), ("gone", false)]);
        assert!(
            left[0].failure.message.contains("Validation of network acls failure"),
            "{left:?}"
        );
        let now = rules(&bench, &id);
        assert_eq!(now["defaultAction"], "Deny", "never wider than before");
        assert_eq!(now["ipRules"][0]["value"], OFFICE);
        assert_eq!(now["virtualNetworkRules"].as_array().unwrap().len(), 1);
        assert_eq!(now["virtualNetworkRules"][0]["id"], subnet("build").as_str());
        assert_eq!(bench.body(&id)["properties"]["publicNetworkAccess"], "Enabled");
    }
}

#[tokio::test]
async fn the_switch_goes_before_its_rules() {
    let bench = Bench::new();
    closed(&bench).await;
    // Azure fails at any rule, as often as it is asked, in a way that says nothing.
    bench.simulator.inject(fault_in(
        "PATCH",
        "storageAccounts",
        OFFICE,
        FaultEffect::Status {
            status: 503,
            code: None,
            message: None,
            body: None,
            retry_after: None,
        },
    ));
    let (id, effect) = edit(&bench, before(&[])).await;
    assert!(effect.is_err(), "tried again soon");
    assert_eq!(bench.body(&id)["properties"]["publicNetworkAccess"], "Enabled");
    assert_eq!(rules(&bench, &id)["defaultAction"], "Deny");
}

#[tokio::test]
async fn a_refusal_that_names_nothing_is_narrowed_down_by_halves() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d", "e"] {
        with_service_endpoint(&bench, name);
    }
    closed(&bench).await;
    bench.simulator.inject(fault_in(
        "PATCH",
        "storageAccounts",
        "subnets/d",
        refusal(400, "SomethingNew", "The request is not acceptable."),
    ));
    let (id, effect) = edit(&bench, before(&["a", "b", "c", "d", "e"])).await;
    let left = left_out(effect);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].rule.value, subnet("d").as_str());
    assert_eq!(left[0].failure.code.as_deref(), Some("SomethingNew"));
    assert_eq!(rules(&bench, &id)["virtualNetworkRules"].as_array().unwrap().len(), 4);
    assert_eq!(rules(&bench, &id)["ipRules"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn without_the_right_to_join_a_subnet_the_rest_is_restored_and_the_right_is_named() {
    let bench = Bench::new();
    with_service_endpoint(&bench, "build");
    closed(&bench).await;
    let said = format!(
        "does not have permission to perform action 'Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action' on the linked scope(s) '{}'",
        subnet("build")
    );
    bench.simulator.inject(fault_in(
        "PATCH",
        "storageAccounts",
        "subnets/build",
        refusal(403, "LinkedAuthorizationFailed", &said),
    ));
    let (id, effect) = edit(&bench, before(&["build"])).await;
    let left = left_out(effect);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].failure.disposition(), Disposition::Forbidden);
    assert!(left[0].failure.message.contains("joinViaServiceEndpoint"));
    assert_eq!(rules(&bench, &id)["ipRules"][0]["value"], OFFICE);
}

#[tokio::test]
async fn a_resource_rule_that_azure_does_not_accept_any_more_keeps_nothing_from_being_closed() {
    let bench = Bench::new();
    let (id, _) = storage(&bench).await;
    let workspace = |name: &str| {
        format!(
            "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        )
    };
    let (good, bad) = (workspace("good"), workspace("bad"));
    for names in [true, false] {
        bench.simulator.change_by_hand(id.as_str(), |body| {
            body["properties"]["publicNetworkAccess"] = json!("Enabled");
            body["properties"]["networkAcls"] = acls(&["gone"], &[&good, &bad]);
        });
        bench.simulator.clear_faults();
        let said = if names {
            format!("resource {bad} is not valid")
        } else {
            "not valid".to_owned()
        };
        bench.simulator.inject(fault_in(
            "PATCH",
            "storageAccounts",
            "workspaces/bad",
            refusal(400, "InvalidValuesForRequestParameters", &said),
        ));
        let (_, effect) = edit(&bench, Edit::Close).await;
        let left = left_out(effect);
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].rule.value, bad);
        let now = rules(&bench, &id);
        assert_eq!(
            (&now["defaultAction"], &now["ipRules"], &now["virtualNetworkRules"]),
            (&json!("Deny"), &json!([]), &json!([]))
        );
        assert_eq!(now["resourceAccessRules"].as_array().unwrap().len(), 1);
        assert_eq!(now["resourceAccessRules"][0]["resourceId"], good.as_str());
    }
}

/// Azure refuses the rules together without naming one; so both go that the account can be closed, and then it fails.
#[tokio::test]
async fn a_resource_rule_that_does_not_come_back_while_closing_is_named_and_restored_by_opening() {
    let bench = Bench::new();
    let (id, _) = storage(&bench).await;
    let workspace = |name: &str| {
        format!(
            "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        )
    };
    let (good, bad) = (workspace("good"), workspace("bad"));
    bench.simulator.change_by_hand(id.as_str(), |body| {
        body["properties"]["publicNetworkAccess"] = json!("Enabled");
        body["properties"]["networkAcls"] = acls(&[], &[&good, &bad]);
    });
    let kept = seen(bench.observe().await.targets.get(&id)).network.clone();
    let not_valid = refusal(400, "InvalidValuesForRequestParameters", "not valid");
    bench
        .simulator
        .inject(fault_in("PATCH", "storageAccounts", "workspaces/bad", not_valid));
    let busy = refusal(409, "AnotherOperationInProgress", "try again later");
    bench
        .simulator
        .inject(fault_in("PATCH", "storageAccounts", "workspaces/good", busy));
    let (_, effect) = edit(&bench, Edit::Close).await;
    let left = left_out(effect);
    let mut named: Vec<&str> = left.iter().map(|l| l.rule.value.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, [bad.as_str(), good.as_str()], "{left:?}");
    let now = rules(&bench, &id);
    assert_eq!((&now["defaultAction"], &now["ipRules"]), (&json!("Deny"), &json!([])));
    assert_eq!(now["resourceAccessRules"], json!([]));
    bench.simulator.clear_faults();
    let (_, effect) = edit(&bench, Edit::Restore(kept)).await;
    let refused_lately: Vec<LeftOut> = left_out(effect);
    assert!(
        refused_lately.iter().all(|l| l.rule.value == bad),
        "what was never tried alone is tried now: {refused_lately:?}"
    );
    let back = rules(&bench, &id)["resourceAccessRules"].clone();
    assert_eq!(back[0]["resourceId"], good.as_str());
    assert_eq!(back[0]["tenantId"], TENANT);
}

#[tokio::test]
async fn nobody_elses_rule_goes_for_one_that_is_shared() {
    let bench = Bench::new();
    let (account, _) = storage(&bench).await;
    bench.simulator.change_by_hand(account.as_str(), |body| {
        body["properties"]["networkAcls"] = acls(&["gone"], &[])
    });
    let share = Edit::AllowResource {
        resource: id(REGISTRY),
        tenant: TENANT.into(),
    };
    let (_, effect) = edit(&bench, share).await;
    assert!(effect.is_err());
    assert_eq!(rules(&bench, &account), acls(&["gone"], &[]));
}

#[tokio::test]
async fn what_refuses_the_whole_write_is_not_narrowed_down() {
    let bench = Bench::new();
    closed(&bench).await;
    for (status, code) in [
        (403, "AuthorizationFailed"),
        (409, "ScopeLocked"),
        (429, "TooManyRequests"),
    ] {
        bench.simulator.clear_faults();
        bench.simulator.inject(fault_in(
            "PATCH",
            "storageAccounts",
            "networkAcls",
            refusal(status, code, "no"),
        ));
        let writes = bench.writes();
        let (_, effect) = edit(&bench, before(&[])).await;
        assert!(effect.is_err(), "{code}");
        assert!(bench.writes() - writes <= 2, "{code}");
    }
}

#[tokio::test]
async fn a_perimeter_is_left_by_closing_and_restored_as_it_was() {
    let bench = Bench::new();
    let (id, _) = storage(&bench).await;
    let workspace = "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/w";
    bench.simulator.change_by_hand(id.as_str(), |body| {
        body["properties"]["publicNetworkAccess"] = json!("SecuredByPerimeter");
        body["properties"]["networkAcls"] = acls(&[], &[workspace]);
    });
    let kept = seen(bench.observe().await.targets.get(&id)).network.clone();
    let (_, effect) = edit(&bench, Edit::Close).await;
    assert!(left_out(effect).is_empty());
    assert_eq!(bench.body(&id)["properties"]["publicNetworkAccess"], "Disabled");
    let (_, effect) = edit(&bench, Edit::Restore(kept.clone())).await;
    assert!(left_out(effect).is_empty());
    assert_eq!(seen(bench.observe().await.targets.get(&id)).network, kept);
}

/// The container registry of the registry, as it reads now.
async fn container_registry(bench: &Bench) -> (ArmId, sreg_domain::Digest) {
    let azure = bench.observe().await;
    let (id, fact) = azure.targets.of(TargetKind::ContainerRegistry).next().unwrap();
    (id.clone(), seen(fact).digest.clone())
}

const ADDRESSES: [&str; 5] = [
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.3",
    "203.0.113.4",
    "203.0.113.5",
];

/// Restores a closed container registry, visit by visit, with what Azure says of one of its addresses at the end of its operation; what
/// was left out at last, and how many writes it took.
async fn restored_step_by_step(
    bench: &mut Bench,
    ended: FaultEffect,
    times: Option<u64>,
    stand: bool,
) -> (ArmId, Vec<LeftOut>, usize) {
    let (id, expected) = container_registry(bench).await;
    let of = |edit, expected| AzureAction::Edit {
        target: TargetKind::ContainerRegistry,
        id: id.clone(),
        edit,
        expected,
    };
    bench.complete(of(Edit::Close, expected)).await;
    let rules: Vec<Value> = ADDRESSES
        .iter()
        .map(|address| json!({"value": address, "action": "Allow"}))
        .collect();
    if stand {
        let add = |body: &mut Value| body["properties"]["networkRuleSet"]["ipRules"] = json!(rules);
        assert!(bench.simulator.change_by_hand(id.as_str(), add));
    }
    bench.simulator.inject(FaultRule {
        times,
        ..fault_in("PATCH", "/registries/", "203.0.113.4\"", ended)
    });
    // Rules that stand there already are sent along where what is done with everybody else changes.
    let everybody_else = if stand { "Allow" } else { "Deny" };
    let before = json!({"publicNetworkAccess": "Enabled", "networkRuleSet": {"defaultAction": everybody_else, "ipRules": rules}});
    let writes = bench.writes();
    for _ in 0..12 {
        let (_, expected) = container_registry(bench).await;
        match bench
            .carry_out(of(Edit::Restore(before.clone()), expected))
            .await
            .unwrap()
        {
            Effect::Done { left_out, .. } => return (id, left_out, bench.writes() - writes),
            Effect::Started(operation) => {
                bench.known.operations = vec![operation];
                bench.observe().await;
                bench.known.operations.clear();
            }
            stale @ Effect::Stale(_) => panic!("{stale:?}"),
        }
    }
    panic!("it does not end: {}", bench.body(&id)["properties"]["networkRuleSet"]);
}

#[tokio::test]
async fn what_is_refused_only_when_its_operation_ends_is_narrowed_down_too() {
    for (message, most, stand) in [
        ("The address 203.0.113.4 is not allowed.", 3, false),
        ("The request is not acceptable.", 8, false),
        ("The address 203.0.113.4 is not allowed.", 4, true),
        ("The request is not acceptable.", 9, true),
    ] {
        let mut bench = Bench::new();
        let ended = FaultEffect::FailOperation {
            code: "SomethingNew".into(),
            message: message.into(),
            nested: None,
        };
        let (id, left, writes) = restored_step_by_step(&mut bench, ended, None, stand).await;
        let [left] = &left[..] else {
            panic!("{message}: {left:?}")
        };
        assert_eq!(left.rule.value, "203.0.113.4");
        assert_eq!(left.failure.message, message);
        assert_eq!(left.failure.disposition(), Disposition::Terminal);
        assert!(writes <= most, "{message}: {writes}");
        let now = bench.body(&id)["properties"].clone();
        assert_eq!(now["publicNetworkAccess"], "Enabled");
        assert_eq!(
            now["networkRuleSet"]["defaultAction"],
            if stand { "Allow" } else { "Deny" },
            "never wider than before"
        );
        let there = now["networkRuleSet"]["ipRules"].as_array().unwrap().iter();
        let mut there: Vec<&str> = there.map(|rule| rule["value"].as_str().unwrap()).collect();
        there.sort_unstable();
        let mut others = ADDRESSES.to_vec();
        others.retain(|address| *address != "203.0.113.4");
        assert_eq!(there, others, "{message}");
    }
}

#[tokio::test]
async fn an_operation_that_somebody_canceled_refuses_no_rule() {
    let mut bench = Bench::new();
    let ended = FaultEffect::FailOperation {
        code: "OperationCanceled".into(),
        message: "A newer operation took over.".into(),
        nested: None,
    };
    let (_, left, writes) = restored_step_by_step(&mut bench, ended, Some(2), false).await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(writes, 4, "the switch, twice canceled, and then all at once");
}
