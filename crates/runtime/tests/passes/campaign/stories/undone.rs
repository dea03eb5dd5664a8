//! Stories of a policy that lets Azure accept a write and puts back what was there, and of a job that takes our tags away.

use std::time::Duration;

use serde_json::json;
use sreg_api::names::OWNER_TAG;

use super::super::azures::{let_writes_be, undo_writes, writes_in_vain};
use super::{MINUTE, Stage, half_locked};

/// Azure accepts the lock of the storage account and somebody's policy keeps it open: the others close, and few writes are tried.
pub async fn closing_undone(stage: &Stage<'_>) -> Result<(), String> {
    half_locked(stage).await?;
    tokio::time::sleep(20 * MINUTE).await;
    few_in_vain(stage, 12)?;
    let_writes_be(stage.act("exempt the account"));
    stage.locked().await
}

/// In an emergency the storage account stays closed whatever Azure says; the others open, and it does once it can.
pub async fn opening_undone(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    undo_writes(stage.act("assign a policy"));
    stage.testbed.break_the_glass("40m");
    stage
        .until("open but for the storage account", 5 * MINUTE, |testbed| {
            testbed.open_targets().len() == 2
        })
        .await?;
    tokio::time::sleep(10 * MINUTE).await;
    few_in_vain(stage, 12)?;
    let_writes_be(stage.act("exempt the account"));
    stage
        .until("open", 15 * MINUTE, |testbed| testbed.open_targets().len() == 3)
        .await?;
    stage.locked().await
}

fn few_in_vain(stage: &Stage<'_>, most: usize) -> Result<(), String> {
    match writes_in_vain(stage.testbed) {
        0 => Err("nothing was tried".into()),
        some if some > most => Err(format!("{some} writes that Azure accepted without effect")),
        _ => Ok(()),
    }
}

/// A job replaces the tags of every private endpoint: ours are recognised all the same, and tagged again.
pub async fn tags_wiped(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    let endpoints = |marked: bool| {
        stage.testbed.sim.with_world(|world| {
            let all = world.of_kind("microsoft.network/privateendpoints");
            let of = all.filter(|endpoint| endpoint.body["tags"][OWNER_TAG].is_string() == marked);
            of.map(|endpoint| endpoint.id.clone()).collect::<Vec<_>>()
        })
    };
    let before = endpoints(true);
    for endpoint in &before {
        stage
            .act("wipe the tags of an endpoint")
            .sim
            .change_by_hand(endpoint, |body| {
                body["tags"] = json!({"cleaned": "by a job"});
            });
    }
    stage
        .until("tagged again", 30 * MINUTE, |_| endpoints(true) == before)
        .await?;
    stage.locked().await
}
