//! Objects that break a rule, or that another version's schema let in: nothing of them is carried out, and the way back stays open.

use std::time::Duration;

use serde_json::{Value, json};

use super::stand::{Operator, Stand, bad_window};

const HOUR: Duration = Duration::from_secs(3600);

async fn locked() -> (Stand, Operator) {
    let stand = Stand::quick();
    let operator = stand.start();
    stand.until("locked", HOUR, |stand| stand.state() == "Locked").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    (stand, operator)
}

fn respec(stand: &Stand, change: impl FnOnce(&mut Value)) {
    stand.apply_quick(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled"});
        change(object);
    });
}

fn said(stand: &Stand) -> String {
    stand.status()["conditions"][0]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Breaks the spec, opens in an emergency, lets that end, and repairs the spec.
async fn there_and_back(broken: fn(&mut Value), says: &str) {
    let (stand, operator) = locked().await;
    respec(&stand, broken);
    stand.until("told so", HOUR, |stand| said(stand).contains(says)).await;
    assert_eq!(stand.open_targets(), Vec::<String>::new());
    assert_eq!(stand.state(), "Stalled");
    stand.break_the_glass("30m");
    stand
        .until("opened", Duration::from_secs(300), |stand| {
            stand.open_targets().len() == 3 && stand.glass()["phase"] == "Active"
        })
        .await;
    stand
        .until("over", HOUR, |stand| stand.glass()["phase"] == "Expired")
        .await;
    assert!(
        stand.glass()["message"]
            .as_str()
            .unwrap()
            .contains("nothing is locked again before"),
        "{:#}",
        stand.glass()
    );
    let writes = stand.azure_writes();
    tokio::time::sleep(HOUR).await;
    assert_eq!((stand.open_targets().len(), stand.azure_writes()), (3, writes));
    respec(&stand, |_| {});
    stand
        .until("locked again", HOUR, |stand| {
            stand.state() == "Locked" && stand.glass()["phase"] == "Spent"
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
    let (stand, operator) = locked().await;
    respec(&stand, |object| object["spec"]["managementPolicy"] = "Suggest".into());
    stand
        .until("told so", HOUR, |stand| said(stand).contains("does not parse"))
        .await;
    let writes = stand.azure_writes();
    stand.break_the_glass("30m");
    stand
        .until("told so", HOUR, |stand| stand.glass()["phase"] == "Ignored")
        .await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(stand.azure_writes(), writes);
    assert_eq!(stand.open_targets(), Vec::<String>::new());
    operator.stop().await;
}

/// The least that an object must say is which registry it means.
#[tokio::test(start_paused = true)]
async fn an_object_that_names_no_registry_says_so_and_its_break_glass_too() {
    let (stand, operator) = locked().await;
    respec(&stand, |object| {
        object["spec"]["registry"]["resourceId"] = "contosoreg".into()
    });
    stand
        .until("told so", HOUR, |stand| {
            said(stand).contains("must be the ARM id of an ML registry")
        })
        .await;
    stand.break_the_glass("30m");
    stand
        .until("told so", HOUR, |stand| stand.glass()["phase"] == "Pending")
        .await;
    assert_eq!(stand.open_targets(), Vec::<String>::new());
    operator.stop().await;
}
