//! Agents that fall silent while nothing else happens.

use std::time::Duration;

use super::{MINUTE, Stage};
use crate::testbed::Testbed;

const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The office's agent stops and comes back: its probe says so meanwhile, and the lock holds.
pub async fn agent_silent(stage: &Stage<'_>) -> Result<(), String> {
    stage.locked().await?;
    let marked = |testbed: &Testbed| {
        let probes = testbed.api.all("connectivityprobes");
        let mark = |probe: &serde_json::Value| {
            probe["metadata"]["annotations"]["secureregistry.dev/agent-silent-since"].is_string()
        };
        probes.iter().any(mark)
    };
    let stopped = &stage.act("stop the agent of the office").agents.stopped;
    stopped.lock().unwrap().insert("office");
    stage.until("marked as silent", PATIENCE, marked).await?;
    let stopped = &stage.act("start the agent of the office").agents.stopped;
    stopped.lock().unwrap().clear();
    stage
        .until("no longer marked", PATIENCE, |testbed| !marked(testbed))
        .await?;
    tokio::time::sleep(MINUTE).await;
    stage.locked().await
}
