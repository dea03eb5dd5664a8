//! Resource locks over what is closed and opened.

use std::time::Duration;

use serde_json::json;

use super::testbed::{REGISTRY, Testbed};

const HOUR: Duration = Duration::from_secs(3600);

fn lock(testbed: &Testbed, scope: &str) -> String {
    let id = format!("{scope}/providers/Microsoft.Authorization/locks/hands-off");
    let body = json!({"id": id, "name": "hands-off", "properties": {"level": "ReadOnly"}});
    testbed.sim.put_by_hand(&id, body);
    id
}

fn storage(testbed: &Testbed) -> String {
    let targets = testbed
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY));
    targets.into_iter().find(|id| id.contains("/storageAccounts/")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_set_while_locked_is_told_and_an_emergency_opens_what_it_leaves() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    let id = lock(&testbed, &storage(&testbed));
    let command = format!("az lock delete --ids {id}");
    testbed
        .until("told", HOUR, |testbed| {
            testbed.status()["findings"].to_string().contains(&command)
        })
        .await;
    assert_eq!(testbed.state(), "Locked");

    testbed.break_the_glass("60m");
    let open = |testbed: &Testbed| testbed.open_targets().len() == 2;
    testbed
        .until("the others are open", Duration::from_secs(120), open)
        .await;
    testbed
        .until("refused", Duration::from_secs(300), |testbed| {
            testbed.status()["waitingFor"].to_string().contains("ScopeLocked")
        })
        .await;
    assert!(testbed.sim.delete_by_hand(&id));
    let open = |testbed: &Testbed| testbed.open_targets().len() == 3;
    testbed.until("all is open", Duration::from_secs(600), open).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_above_everything_is_told_before_any_closing_is_tried() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("settling", HOUR, |testbed| testbed.state() == "Settling")
        .await;
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let id = lock(&testbed, subscription);
    testbed
        .until("told", 6 * HOUR, |testbed| {
            let waits = testbed.status()["waitingFor"].to_string();
            waits.contains("TargetLockedStalled") && waits.contains(&format!("az lock delete --ids {id}"))
        })
        .await;
    assert_eq!(testbed.closings().len(), 0);
    assert!(testbed.sim.delete_by_hand(&id));
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    operator.stop().await;
}
