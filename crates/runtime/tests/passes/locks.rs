//! Resource locks over what is closed and opened.

use std::time::Duration;

use serde_json::json;

use super::stand::{REGISTRY, Stand};

const HOUR: Duration = Duration::from_secs(3600);

fn lock(stand: &Stand, scope: &str) -> String {
    let id = format!("{scope}/providers/Microsoft.Authorization/locks/hands-off");
    let body = json!({"id": id, "name": "hands-off", "properties": {"level": "ReadOnly"}});
    stand.sim.put_by_hand(&id, body);
    id
}

fn storage(stand: &Stand) -> String {
    let targets = stand
        .sim
        .with_world(|world| azure_sim::oracle::targets_of(world, REGISTRY));
    targets.into_iter().find(|id| id.contains("/storageAccounts/")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_set_while_locked_is_told_and_an_emergency_opens_what_it_leaves() {
    let stand = Stand::quick();
    let operator = stand.start();
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    let id = lock(&stand, &storage(&stand));
    let command = format!("az lock delete --ids {id}");
    stand
        .until("told", HOUR, |stand| {
            stand.status()["findings"].to_string().contains(&command)
        })
        .await;
    assert_eq!(stand.state(), "Locked");

    stand.break_the_glass("60m");
    let open = |stand: &Stand| stand.open_targets().len() == 2;
    stand.until("the others are open", Duration::from_secs(120), open).await;
    stand
        .until("refused", Duration::from_secs(300), |stand| {
            stand.status()["waitingFor"].to_string().contains("ScopeLocked")
        })
        .await;
    assert!(stand.sim.delete_by_hand(&id));
    let open = |stand: &Stand| stand.open_targets().len() == 3;
    stand.until("all is open", Duration::from_secs(600), open).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_above_everything_is_told_before_any_closing_is_tried() {
    let stand = Stand::quick();
    let operator = stand.start();
    stand.until("settling", HOUR, |stand| stand.state() == "Settling").await;
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let id = lock(&stand, subscription);
    stand
        .until("told", 6 * HOUR, |stand| {
            let waits = stand.status()["waitingFor"].to_string();
            waits.contains("TargetLockedStalled") && waits.contains(&format!("az lock delete --ids {id}"))
        })
        .await;
    assert_eq!(stand.closings().len(), 0);
    assert!(stand.sim.delete_by_hand(&id));
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    operator.stop().await;
}
