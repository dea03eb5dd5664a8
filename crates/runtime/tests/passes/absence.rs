//! Azure answers "not found" for what is there: nothing comes of a single such answer, at whatever read it turns up.

use std::time::Duration;

use serde_json::{Value, json};

use super::stand::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Stand};

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

fn endpoints(stand: &Stand) -> usize {
    stand
        .sim
        .with_world(|world| world.of_kind("microsoft.network/privateendpoints").count())
}

fn snapshots(stand: &Stand) -> usize {
    let all = stand.api.all("configmaps");
    all.iter()
        .filter(|map| map["metadata"]["namespace"] == OPERATOR_NAMESPACE)
        .count()
}

async fn locked_to_be_removed() -> (Stand, super::stand::Operator) {
    let stand = Stand::quick_with(|object| object["spec"]["deletionPolicy"] = "DeleteEndpoints".into());
    let operator = stand.start();
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    (stand, operator)
}

#[tokio::test(start_paused = true)]
async fn one_not_found_for_the_registry_right_after_the_object_is_deleted_removes_nothing() {
    let (stand, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&stand), snapshots(&stand));
    assert!(standing >= 3 && kept == 1);
    stand
        .sim
        .inject(not_found("/registries/contosoreg?", json!({"times": 1})));
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    assert_eq!((endpoints(&stand), snapshots(&stand)), (standing, kept));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_not_found_any_more_though_its_connections_are_approved_removes_nothing() {
    let (stand, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&stand), snapshots(&stand));
    stand.sim.inject(not_found("/registries/contosoreg?", json!({})));
    stand.until("stalled", HOUR, |stand| stand.state() == "Stalled").await;
    let told = stand.status()["waitingFor"].to_string();
    assert!(told.contains("az resource list"), "{told}");
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    assert_eq!((endpoints(&stand), snapshots(&stand)), (standing, kept));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_somebody_deleted_is_still_made_again() {
    let (stand, operator) = locked_to_be_removed().await;
    let standing = endpoints(&stand);
    let one = stand.sim.with_world(|world| {
        world
            .of_kind("microsoft.network/privateendpoints")
            .next()
            .unwrap()
            .id
            .clone()
    });
    assert!(stand.sim.delete_by_hand(&one));
    stand
        .until("made again", HOUR, |stand| {
            endpoints(stand) == standing && stand.state() == "Locked"
        })
        .await;
    operator.stop().await;
}

/// Everything is open, and its endpoints have just been moved to another resource group: the former ones are to go.
async fn open_with_endpoints_left_behind() -> (Stand, super::stand::Operator) {
    let stand = Stand::quick_with(|object| {
        object["spec"]["deletionPolicy"] = "DeleteEndpoints".into();
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
    });
    let operator = stand.start();
    stand.until("open", HOUR, |stand| stand.state() == "Open").await;
    stand.sim.inject(broken(FORMER_ENDPOINTS));
    stand.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["spec"]["endpoints"][0]["resourceGroupResourceId"] =
            "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/dns".into();
    });
    (stand, operator)
}

const FORMER_ENDPOINTS: &str = "/resourceGroups/network/providers/Microsoft.Network/privateEndpoints";

fn broken(path: &str) -> azure_sim::FaultRule {
    let effect = json!({"status": {"status": 500, "code": "InternalServerError", "message": "Try again."}});
    serde_json::from_value(json!({"method": "GET", "path": path, "effect": effect})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_cannot_be_read_are_not_forgotten_and_go_once_they_can() {
    let (stand, operator) = open_with_endpoints_left_behind().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(stand.object().is_some(), "not without knowing what became of them");
    stand.sim.clear_faults();
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    assert_eq!(ours(&stand), [""; 0]);
    operator.stop().await;
}

fn targets(stand: &Stand) -> Vec<String> {
    stand
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY))
}

/// As Azure deletes a registry: what stands behind it goes along.
fn delete_the_registry(stand: &Stand) {
    for target in targets(stand) {
        assert!(stand.sim.delete_by_hand(&target), "{target}");
    }
}

fn delete_our_endpoints(stand: &Stand) {
    for id in ours(stand) {
        assert!(stand.sim.delete_by_hand(&id), "{id}");
    }
}

fn ours(stand: &Stand) -> Vec<String> {
    stand.sim.with_world(|world| {
        let all = world
            .of_kind("microsoft.network/privateendpoints")
            .map(|r| r.id.clone());
        all.filter(|id| !id.contains("sandbox")).collect()
    })
}

const QUARTER: Duration = Duration::from_secs(15 * 60);

#[tokio::test(start_paused = true)]
async fn a_registry_deleted_together_with_its_endpoints_is_told_and_the_object_can_be_deleted() {
    let (stand, operator) = locked_to_be_removed().await;
    delete_the_registry(&stand);
    delete_our_endpoints(&stand);
    let told = |stand: &Stand| stand.status()["waitingFor"].to_string();
    stand
        .until("told", QUARTER, |stand| {
            stand.state() == "Stalled" && told(stand).contains("does not exist: create it")
        })
        .await;
    let writes = stand.azure_writes();
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", QUARTER, |stand| stand.object().is_none()).await;
    assert_eq!(
        (stand.azure_writes(), ours(&stand).len(), snapshots(&stand)),
        (writes, 0, 0)
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_right_after_its_registry_takes_the_endpoints_and_the_snapshot_along() {
    let (stand, operator) = locked_to_be_removed().await;
    delete_the_registry(&stand);
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    assert_eq!((ours(&stand).len(), snapshots(&stand)), (0, 0));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_was_moved_without_its_endpoints_keeps_the_way_back() {
    let (stand, operator) = locked_to_be_removed().await;
    assert!(stand.sim.delete_by_hand(REGISTRY));
    delete_our_endpoints(&stand);
    stand
        .until("told", QUARTER, |stand| {
            stand.status()["waitingFor"].to_string().contains("is still there")
        })
        .await;
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    assert_eq!(snapshots(&stand), 1);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_account_that_was_deleted_is_told_within_minutes_and_the_others_can_be_opened() {
    let (stand, operator) = locked_to_be_removed().await;
    let storage = targets(&stand).into_iter().find(|id| id.contains("/storageAccounts/"));
    assert!(stand.sim.delete_by_hand(&storage.unwrap()));
    stand
        .until("told", QUARTER, |stand| {
            stand.state() == "Stalled" && stand.status()["waitingFor"].to_string().contains("deletedAccounts")
        })
        .await;
    stand.break_the_glass("30m");
    let open = |stand: &Stand| stand.open_targets().len() == 2;
    stand.until("open", Duration::from_secs(300), open).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stray_answers_of_not_found_at_any_read_for_a_day_change_nothing() {
    let (stand, operator) = locked_to_be_removed().await;
    let (standing, kept) = (endpoints(&stand), snapshots(&stand));
    tokio::time::sleep(HOUR).await;
    let writes = stand.azure_writes();
    stand.sim.inject(not_found("", json!({"probability": 0.02, "seed": 7})));
    for hour in 0..24 {
        tokio::time::sleep(HOUR).await;
        assert_eq!(stand.azure_writes(), writes, "in hour {hour}: {:#}", stand.status());
        assert_eq!(stand.open_targets(), [""; 0]);
    }
    let met: u64 = stand.sim.faults().iter().map(|fault| fault.struck).sum();
    assert!(met > 20, "{met}");
    stand.sim.clear_faults();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    assert_eq!((endpoints(&stand), snapshots(&stand)), (standing, kept));
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
        let stand = Stand::quick_with(|object| misspell(&mut object["spec"]));
        stand.grant(|grant| {
            let spec = &mut grant["spec"];
            let scope = json!({"scope": UNKNOWN, "operations": ["Lock", "Open"]});
            spec["registries"].as_array_mut().unwrap().push(scope);
        });
        let operator = stand.start();
        stand
            .until(said, HOUR, |stand| {
                stand.state() == "Stalled" && stand.status()["waitingFor"].to_string().contains(said)
            })
            .await;
        assert_eq!(stand.closings().len(), 0);
        operator.kill().await;
    }
}
