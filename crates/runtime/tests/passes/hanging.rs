//! An opening waits for nothing that it does not need: something of Azure hangs, and a break-glass opens all the same.

use std::time::Duration;

use azure_sim::{FaultEffect, FaultRule};
use tokio::time::Instant;

use super::stand::Stand;

const HOUR: Duration = Duration::from_secs(3600);

fn hangs(path: &str) -> FaultRule {
    FaultRule {
        name: None,
        method: Some("GET".into()),
        path: Some(path.into()),
        body_contains: None,
        nth: None,
        times: None,
        probability: None,
        seed: 0,
        effect: FaultEffect::TimeoutBeforeEffect {},
    }
}

async fn locked(stand: &Stand) {
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// What hangs, how many are open then, and whether a look at everything is under way when the emergency begins.
#[tokio::test(start_paused = true)]
async fn whatever_hangs_a_break_glass_opens_within_seconds_all_that_it_can() {
    for (path, open, under_way) in [
        ("providers/Microsoft.Network/", 3, false),
        ("providers/Microsoft.Network/", 3, true),
        ("privateDnsZones", 3, false),
        ("providers/Microsoft.Authorization/", 3, true),
        ("replications", 3, false),
        ("storageAccounts", 2, false),
        ("Microsoft.ContainerRegistry", 2, true),
    ] {
        let stand = Stand::quick();
        let operator = stand.start();
        locked(&stand).await;
        stand.sim.inject(hangs(path));
        if under_way {
            stand.apply_quick(|object| object["spec"]["drift"] = serde_json::json!({"interval": "9m"}));
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let begun = Instant::now();
        stand.break_the_glass("30m");
        stand
            .until(path, Duration::from_secs(40), |stand| {
                stand.open_targets().len() == open
            })
            .await;
        assert!(
            begun.elapsed() < Duration::from_secs(35),
            "{path}: {:?}",
            begun.elapsed()
        );
        operator.kill().await;
    }
}
