//! Grants, with the real controller: nothing of Azure is asked without one, one that comes or goes is heeded at once and by the fence,
//! and each is told how it is understood.

use std::time::Duration;

use azure_sim::journal::Entry;
use serde_json::json;
use sreg_runtime::reconcile::reconcile;

use super::testbed::{NAME, NAMESPACE, REGISTRY, Testbed};

/// Requests to ARM for anything that a customer has there.
fn requests(testbed: &Testbed) -> Vec<String> {
    let records = testbed.sim.records_since(0);
    let paths = records.iter().filter_map(|record| match &record.entry {
        Entry::Request(request) => Some(request.path.clone()),
        _ => None,
    });
    paths
        .filter(|path| path.to_lowercase().contains("/subscriptions/"))
        .collect()
}

fn asked(testbed: &Testbed) -> usize {
    requests(testbed).len()
}

async fn until_state(testbed: &Testbed, state: &str, within: u64) {
    testbed
        .until(state, Duration::from_secs(within), |testbed| testbed.state() == state)
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_grant_nothing_of_azure_is_asked_and_with_one_the_object_goes_on_at_once() {
    let testbed = Testbed::quick();
    testbed.api.remove("registrygrants", "", "platform");
    let operator = testbed.start();
    until_state(&testbed, "Stalled", 60).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(asked(&testbed), 0, "{:?}", requests(&testbed));
    let status = testbed.status();
    assert!(
        status["publicAccess"].is_null() && status["endpoints"].is_null(),
        "{status:#}"
    );
    let message = status["conditions"][0]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(&format!(
            "no RegistryGrant lets namespace {NAMESPACE} look at registry {REGISTRY}"
        )),
        "{message}"
    );
    // Long before the next look would have come by itself.
    testbed.grant(|_| {});
    testbed
        .until("it is looked at", Duration::from_secs(20), |testbed| asked(testbed) > 0)
        .await;
    until_state(&testbed, "Locked", 3600).await;
    assert_eq!(testbed.status()["grants"], json!("platform"));
    testbed.assert_never_closed_without_proof(Duration::from_secs(600));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_grant_is_taken_away_stays_and_nothing_is_asked_or_written_any_more() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    until_state(&testbed, "Locked", 3600).await;
    testbed.api.remove("registrygrants", "", "platform");
    until_state(&testbed, "Stalled", 60).await;
    let before = asked(&testbed);
    testbed.break_the_glass("30m");
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(asked(&testbed), before);
    assert_eq!(testbed.open_targets(), Vec::<String>::new());
    let glass = testbed.glass();
    assert!(
        glass["message"].as_str().unwrap().contains("no RegistryGrant"),
        "{glass}"
    );
    testbed.grant(|_| {});
    until_state(&testbed, "Locked", 7200).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_grant_is_told_how_it_is_understood() {
    let testbed = Testbed::quick();
    testbed.grant(|grant| {
        grant["metadata"]["name"] = json!("odd");
        grant["spec"]["registries"][0]["scope"] = json!("/subscriptions/*");
    });
    let operator = testbed.start();
    let condition = |name: &str, kind: usize| -> (String, String) {
        let grant = testbed.api.get("registrygrants", "", name).unwrap();
        let condition = &grant["status"]["conditions"][kind];
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("message"))
    };
    testbed
        .until("both are told", Duration::from_secs(60), |_| {
            condition("odd", 0).0 == "False" && condition("platform", 0).0 == "True"
        })
        .await;
    let (_, message) = condition("odd", 0);
    assert!(
        message.starts_with("spec.registries[0].scope: \"/subscriptions/*\" must be the ARM id"),
        "{message}"
    );
    let (overlaps, message) = condition("platform", 1);
    assert!(
        overlaps == "True" && message.contains("RegistryGrant odd covers"),
        "{message}"
    );
    // Once it is put right that is told too.
    testbed.grant(|grant| grant["metadata"]["name"] = json!("odd"));
    testbed
        .until("it is told", Duration::from_secs(60), |_| {
            condition("odd", 0).0 == "True"
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn grants_that_cannot_be_read_are_no_grants() {
    let testbed = Testbed::quick();
    let context = testbed.context();
    testbed.api.intercept(|_, key| {
        if key.0 == "registrygrants" {
            super::api_server::Fault::Refuse(503)
        } else {
            super::api_server::Fault::None
        }
    });
    reconcile(&context, NAMESPACE, NAME).await.unwrap();
    let message = testbed.status()["conditions"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("what its namespace is granted cannot be read") && message.contains("503"),
        "{message}"
    );
    assert_eq!((testbed.state().as_str(), asked(&testbed)), ("Stalled", 0));
}
