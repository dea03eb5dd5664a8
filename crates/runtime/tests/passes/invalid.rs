//! Objects that break a rule, or that another version's schema let in: nothing of them is carried out, and the way back stays open.

use std::time::Duration;

use serde_json::{Value, json};

use super::testbed::{Operator, Testbed, bad_window};

const HOUR: Duration = Duration::from_secs(3600);

async fn locked() -> (Testbed, Operator) {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    (testbed, operator)
}

fn respec(testbed: &Testbed, change: impl FnOnce(&mut Value)) {
    testbed.apply_quick(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled"});
        change(object);
    });
}

fn said(testbed: &Testbed) -> String {
    testbed.status()["conditions"][0]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Breaks the spec, opens in an emergency, lets that end, and repairs the spec.
async fn there_and_back(broken: fn(&mut Value), says: &str) {
    let (testbed, operator) = locked().await;
    respec(&testbed, broken);
    testbed
        .until("told so", HOUR, |testbed| said(testbed).contains(says))
        .await;
    assert_eq!(testbed.open_targets(), Vec::<String>::new());
    assert_eq!(testbed.state(), "Stalled");
    testbed.break_the_glass("30m");
    testbed
        .until("opened", Duration::from_secs(300), |testbed| {
            testbed.open_targets().len() == 3 && testbed.glass()["phase"] == "Active"
        })
        .await;
    testbed
        .until("over", HOUR, |testbed| testbed.glass()["phase"] == "Expired")
        .await;
    assert!(
        testbed.glass()["message"]
            .as_str()
            .unwrap()
            .contains("nothing is locked again before"),
        "{:#}",
        testbed.glass()
    );
    let writes = testbed.azure_writes();
    tokio::time::sleep(HOUR).await;
    assert_eq!((testbed.open_targets().len(), testbed.azure_writes()), (3, writes));
    respec(&testbed, |_| {});
    testbed
        .until("locked again", HOUR, |testbed| {
            testbed.state() == "Locked" && testbed.glass()["phase"] == "Spent"
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_no_schema_can_check_keeps_nobody_from_the_way_back() {
    there_and_back(
        |object| {
            object["spec"]["publicAccess"]["lockdown"] = bad_window();
        },
        "every tuesday at night",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn neither_does_a_spec_of_another_version() {
    there_and_back(
        |object| object["spec"]["publicAccess"]["desired"] = "SecuredByPerimeter".into(),
        "does not parse",
    )
    .await;
}

/// What cannot be read is no permission to write.
#[tokio::test(start_paused = true)]
async fn a_management_policy_of_another_version_is_taken_for_observe() {
    let (testbed, operator) = locked().await;
    respec(&testbed, |object| object["spec"]["managementPolicy"] = "Suggest".into());
    testbed
        .until("told so", HOUR, |testbed| said(testbed).contains("does not parse"))
        .await;
    let writes = testbed.azure_writes();
    testbed.break_the_glass("30m");
    testbed
        .until("told so", HOUR, |testbed| testbed.glass()["phase"] == "Ignored")
        .await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(testbed.azure_writes(), writes);
    assert_eq!(testbed.open_targets(), Vec::<String>::new());
    operator.stop().await;
}

/// The least that an object must say is which registry it means.
#[tokio::test(start_paused = true)]
async fn an_object_that_names_no_registry_says_so_and_its_break_glass_too() {
    let (testbed, operator) = locked().await;
    respec(&testbed, |object| {
        object["spec"]["registry"]["resourceId"] = "contosoreg".into()
    });
    testbed
        .until("told so", HOUR, |testbed| {
            said(testbed).contains("must be the ARM id of an ML registry")
        })
        .await;
    testbed.break_the_glass("30m");
    testbed
        .until("told so", HOUR, |testbed| testbed.glass()["phase"] == "Pending")
        .await;
    assert_eq!(testbed.open_targets(), Vec::<String>::new());
    operator.stop().await;
}
