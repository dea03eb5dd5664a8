//! Azure answers "not found" for what is there: nothing comes of a single such answer, at whatever read it turns up.

use std::time::Duration;

use serde_json::{Value, json};

use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Testbed};

const HOUR: Duration = Duration::from_secs(3600);

fn not_found(path: &str, more: Value) -> azure_sim::FaultRule {
    let mut rule = json!({
        "method": "GET", "path": path,
        "effect": {"status": {"status": 404, "code": "ResourceNotFound", "message": "The resource was not found."}},
    });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    serde_json::from_value(rule).unwrap()
}

fn endpoints(testbed: &Testbed) -> usize {
    testbed
        .sim
        .with_world(|world| world.of_kind("microsoft.network/privateendpoints").count())
}

fn snapshots(testbed: &Testbed) -> usize {
    let all = testbed.api.all("configmaps");
    all.iter()
        .filter(|map| map["metadata"]["namespace"] == OPERATOR_NAMESPACE)
        .count()
}

async fn locked_to_be_removed() -> (Testbed, super::testbed::Operator) {
    let testbed = Testbed::quick_with(|object| object["spec"]["deletionPolicy"] = "DeleteEndpoints".into());
    let operator = testbed.start();
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    (testbed, operator)
}

#[tokio::test(start_paused = true)]
async fn one_not_found_for_the_registry_right_after_the_object_is_deleted_removes_nothing() {
    let (testbed, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&testbed), snapshots(&testbed));
    assert!(standing >= 3 && kept == 1);
    testbed
        .sim
        .inject(not_found("/registries/contosoreg?", json!({"times": 1})));
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    assert_eq!((endpoints(&testbed), snapshots(&testbed)), (standing, kept));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_not_found_any_more_though_its_connections_are_approved_removes_nothing() {
    let (testbed, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&testbed), snapshots(&testbed));
    testbed.sim.inject(not_found("/registries/contosoreg?", json!({})));
    testbed
        .until("stalled", HOUR, |testbed| testbed.state() == "Stalled")
        .await;
    let told = testbed.status()["waitingFor"].to_string();
    assert!(told.contains("az resource list"), "{told}");
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    assert_eq!((endpoints(&testbed), snapshots(&testbed)), (standing, kept));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_somebody_deleted_is_still_made_again() {
    let (testbed, operator) = locked_to_be_removed().await;
    let standing = endpoints(&testbed);
    let one = testbed.sim.with_world(|world| {
        world
            .of_kind("microsoft.network/privateendpoints")
            .next()
            .unwrap()
            .id
            .clone()
    });
    assert!(testbed.sim.delete_by_hand(&one));
    testbed
        .until("made again", HOUR, |testbed| {
            endpoints(testbed) == standing && testbed.state() == "Locked"
        })
        .await;
    operator.stop().await;
}

/// Everything is open, and its endpoints have just been moved to another resource group: the former ones are to go.
async fn open_with_endpoints_left_behind() -> (Testbed, super::testbed::Operator) {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["deletionPolicy"] = "DeleteEndpoints".into();
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
    });
    let operator = testbed.start();
    testbed.until("open", HOUR, |testbed| testbed.state() == "Open").await;
    testbed.sim.inject(broken(FORMER_ENDPOINTS));
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["spec"]["endpoints"][0]["resourceGroupResourceId"] =
            "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/dns".into();
    });
    (testbed, operator)
}

const FORMER_ENDPOINTS: &str = "/resourceGroups/network/providers/Microsoft.Network/privateEndpoints";

fn broken(path: &str) -> azure_sim::FaultRule {
    let effect = json!({"status": {"status": 500, "code": "InternalServerError", "message": "Try again."}});
    serde_json::from_value(json!({"method": "GET", "path": path, "effect": effect})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_cannot_be_read_are_not_forgotten_and_go_once_they_can() {
    let (testbed, operator) = open_with_endpoints_left_behind().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(testbed.object().is_some(), "not without knowing what became of them");
    testbed.sim.clear_faults();
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    assert_eq!(ours(&testbed), [""; 0]);
    operator.stop().await;
}

fn targets(testbed: &Testbed) -> Vec<String> {
    testbed
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY))
}

/// As Azure deletes a registry: what stands behind it goes along.
fn delete_the_registry(testbed: &Testbed) {
    for target in targets(testbed) {
        assert!(testbed.sim.delete_by_hand(&target), "{target}");
    }
}

fn delete_our_endpoints(testbed: &Testbed) {
    for id in ours(testbed) {
        assert!(testbed.sim.delete_by_hand(&id), "{id}");
    }
}

fn ours(testbed: &Testbed) -> Vec<String> {
    testbed.sim.with_world(|world| {
        let all = world
            .of_kind("microsoft.network/privateendpoints")
            .map(|r| r.id.clone());
        all.filter(|id| !id.contains("sandbox")).collect()
    })
}

const QUARTER: Duration = Duration::from_secs(15 * 60);

#[tokio::test(start_paused = true)]
async fn a_registry_deleted_together_with_its_endpoints_is_told_and_the_object_can_be_deleted() {
    let (testbed, operator) = locked_to_be_removed().await;
    delete_the_registry(&testbed);
    delete_our_endpoints(&testbed);
    let told = |testbed: &Testbed| testbed.status()["waitingFor"].to_string();
    testbed
        .until("told", QUARTER, |testbed| {
            testbed.state() == "Stalled" && told(testbed).contains("does not exist: create it")
        })
        .await;
    let writes = testbed.azure_writes();
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed
        .until("gone", QUARTER, |testbed| testbed.object().is_none())
        .await;
    assert_eq!(
        (testbed.azure_writes(), ours(&testbed).len(), snapshots(&testbed)),
        (writes, 0, 0)
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_right_after_its_registry_takes_the_endpoints_and_the_snapshot_along() {
    let (testbed, operator) = locked_to_be_removed().await;
    delete_the_registry(&testbed);
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    assert_eq!((ours(&testbed).len(), snapshots(&testbed)), (0, 0));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_was_moved_without_its_endpoints_keeps_the_way_back() {
    let (testbed, operator) = locked_to_be_removed().await;
    assert!(testbed.sim.delete_by_hand(REGISTRY));
    delete_our_endpoints(&testbed);
    testbed
        .until("told", QUARTER, |testbed| {
            testbed.status()["waitingFor"].to_string().contains("is still there")
        })
        .await;
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    assert_eq!(snapshots(&testbed), 1);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_account_that_was_deleted_is_told_within_minutes_and_the_others_can_be_opened() {
    let (testbed, operator) = locked_to_be_removed().await;
    let storage = targets(&testbed)
        .into_iter()
        .find(|id| id.contains("/storageAccounts/"));
    assert!(testbed.sim.delete_by_hand(&storage.unwrap()));
    testbed
        .until("told", QUARTER, |testbed| {
            testbed.state() == "Stalled" && testbed.status()["waitingFor"].to_string().contains("deletedAccounts")
        })
        .await;
    testbed.break_the_glass("30m");
    let open = |testbed: &Testbed| testbed.open_targets().len() == 2;
    testbed.until("open", Duration::from_secs(300), open).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stray_answers_of_not_found_at_any_read_for_a_day_change_nothing() {
    let (testbed, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&testbed), snapshots(&testbed));
    tokio::time::sleep(HOUR).await;
    let writes = testbed.azure_writes();
    testbed
        .sim
        .inject(not_found("", json!({"probability": 0.02, "seed": 7})));
    for hour in 0..24 {
        tokio::time::sleep(HOUR).await;
        assert_eq!(testbed.azure_writes(), writes, "in hour {hour}: {:#}", testbed.status());
        assert_eq!(testbed.open_targets(), [""; 0]);
    }
    let met: u64 = testbed.sim.faults().iter().map(|fault| fault.struck).sum();
    assert!(met > 20, "{met}");
    testbed.sim.clear_faults();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    assert_eq!((endpoints(&testbed), snapshots(&testbed)), (standing, kept));
    operator.stop().await;
}

/// The spec names a subscription or a resource group that Azure does not know: told as that, nothing is made, and once it is corrected
/// everything goes its way.
#[tokio::test(start_paused = true)]
async fn a_scope_that_does_not_exist_is_told_with_what_to_correct() {
    const UNKNOWN: &str = "/subscriptions/0a000000-0000-4000-8000-000000000009";
    const PLATFORM: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001";
    type Misspell = fn(&mut Value);
    let misspelt: [(Misspell, &str); 3] = [
        (
            |spec| spec["registry"]["resourceId"] = REGISTRY.replace("-000000000002/", "-000000000009/").into(),
            "correct the subscription in the spec",
        ),
        (
            |spec| spec["endpoints"][0]["resourceGroupResourceId"] = format!("{PLATFORM}/resourceGroups/typo").into(),
            "az group create --name typo",
        ),
        (
            |spec| {
                spec["endpoints"][0]["dns"]["zoneResourceGroupResourceId"] =
                    format!("{PLATFORM}/resourceGroups/typo").into()
            },
            "az group create --name typo",
        ),
    ];
    for (misspell, said) in misspelt {
        let testbed = Testbed::quick_with(|object| misspell(&mut object["spec"]));
        testbed.grant(|grant| {
            let spec = &mut grant["spec"];
            let scope = json!({"scope": UNKNOWN, "operations": ["Lock", "Open"]});
            spec["registries"].as_array_mut().unwrap().push(scope);
        });
        let operator = testbed.start();
        testbed
            .until(said, HOUR, |testbed| {
                testbed.state() == "Stalled" && testbed.status()["waitingFor"].to_string().contains(said)
            })
            .await;
        assert_eq!(testbed.closings().len(), 0);
        operator.kill().await;
    }
}
