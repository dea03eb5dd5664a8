//! `agent`: the process of one vantage point.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::Client;
use sreg_runtime::agent::{AgentHealth, run_agent};
use sreg_runtime::health::{Gate, Health, HealthServer};
use sreg_runtime::metrics::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::AgentArgs;
use crate::process;

/// What an agent reads and writes.
const KINDS: [&str; 2] = ["vantagepoints", "connectivityprobes"];

/// Runs until `shutdown`.
///
/// # Errors
/// A setting cannot be used, or a part failed for good.
pub async fn run(args: AgentArgs, shutdown: CancellationToken) -> Result<()> {
    let settings = args
        .probe
        .agent(&args.name, process::identity(), args.cloud.cloud()?.as_ref())?;
    let client = Client::try_from(process::kube_config().await?).context("make a client for the API server")?;
    let health = Arc::new(Health::new([Gate::Crds, Gate::VantagePoint]));
    let server = HealthServer::bind(args.health.health_address).await?;
    tracing::info!(address = %server.address(), vantage_point = %args.name, "agent started");
    let stop_server = CancellationToken::new();
    let serving = server.serve(Arc::clone(&health), Arc::new(Metrics::new()), stop_server.clone());
    let (tell, told) = watch::channel(AgentHealth::default());
    let working = async {
        if !process::kinds_served(&client, &KINDS, &health, &shutdown).await {
            return Ok(());
        }
        tokio::select! {
            ended = run_agent(client.clone(), settings, shutdown.clone(), tell) => ended.context("run the agent"),
            () = mirror(told, &health) => Ok(()),
        }
    };
    tokio::select! {
        () = serving => Ok(()),
        ended = working => ended,
    }
}

/// Opens and closes the agent's gate as it says how it is doing. Never ends while the agent runs.
async fn mirror(mut told: watch::Receiver<AgentHealth>, health: &Health) {
    loop {
        let now = told.borrow_and_update().clone();
        if now.is_ready() {
            health.open(Gate::VantagePoint);
        } else {
            health.close(
                Gate::VantagePoint,
                now.waits_for.unwrap_or_else(|| "starting".to_owned()),
            );
        }
        if told.changed().await.is_err() {
            // The agent drops its end only when it is done: the other branch has the last word.
            std::future::pending::<()>().await;
        }
    }
}
