//! Azure answers "not found" for what is there: nothing comes of a single such answer, at whatever read it turns up.

use std::time::Duration;

use serde_json::{Value, json};

use super::stand::{NAME, NAMESPACE, OPERATOR_NAMESPACE, Stand};

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
    let left = stand.sim.with_world(|world| {
        let all = world
            .of_kind("microsoft.network/privateendpoints")
            .map(|r| r.id.clone());
        all.filter(|id| !id.contains("sandbox")).collect::<Vec<_>>()
    });
    assert!(left.is_empty(), "{left:?}");
    operator.stop().await;
}
