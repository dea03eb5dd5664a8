//! How the process begins, waits and ends: signals, its identity, the API server's kinds, exit status.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::{Client, Config};
use sreg_api::{GROUP, VERSION};
use sreg_runtime::health::{Gate, Health};
use sreg_runtime::leadership::LeadershipError;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Pause between two looks at something that is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

/// Ended as asked by nobody: a part failed.
const FAILED: u8 = 1;
/// Leadership was lost.
const LEADERSHIP_LOST: u8 = 3;
/// A second signal came.
const INTERRUPTED: i32 = 130;

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at once.
///
/// # Errors
/// Signals cannot be listened to.
pub fn shutdown_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("asked to end: finishing the work under way; a second signal ends at once");
                asked.cancel();
            }
        }
        tracing::warn!("asked again: ending at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(shutdown)
}

/// The exit status of how it ended; failures are logged.
pub fn exit_code(ended: Result<()>) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    if tracing::event_enabled!(tracing::Level::ERROR) {
        tracing::error!("{error:#}");
    } else {
        // Before logging began, or with a filter that lets nothing through.
        use std::io::Write as _;
        writeln!(std::io::stderr(), "error: {error:#}").ok();
    }
    match error.downcast_ref::<LeadershipError>() {
        Some(LeadershipError::Lost { .. }) => ExitCode::from(LEADERSHIP_LOST),
        Some(LeadershipError::Settings(_) | LeadershipError::Client { .. }) | None => ExitCode::from(FAILED),
    }
}

/// How to reach the API server. No retries behind our back: every part has deadlines and a backoff of its own, and a call
/// that took effect but was answered too late must not be sent again.
///
/// # Errors
/// Neither a kubeconfig nor the files of a pod are there.
pub async fn kube_config() -> Result<Config> {
    let mut config = Config::infer()
        .await
        .context("find the API server: set KUBECONFIG, or run in a cluster")?;
    config.default_retry = false;
    Ok(config)
}

/// Unlike any other process, also unlike an earlier one of the same pod.
pub fn identity() -> String {
    let host = ["POD_NAME", "HOSTNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!(
        "{}-{}",
        host.as_deref().unwrap_or("local"),
        random.get(..8).unwrap_or_default()
    )
}

/// Waits until the API server serves our kinds, says in `health` what is missing, and is told to stop by `shutdown`. Whether
/// they are served now.
pub async fn kinds_served(client: &Client, plurals: &[&str], health: &Health, shutdown: &CancellationToken) -> bool {
    let mut said = String::new();
    loop {
        let missing = tokio::select! {
            () = shutdown.cancelled() => return false,
            missing = missing(client, plurals) => missing,
        };
        let Some(missing) = missing else {
            health.open(Gate::Crds);
            return true;
        };
        if missing != said {
            tracing::warn!("waiting: {missing}");
            health.close(Gate::Crds, &missing);
            said = missing;
        }
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// What is missing, as a sentence with the next thing to do.
async fn missing(client: &Client, plurals: &[&str]) -> Option<String> {
    let version = format!("{GROUP}/{VERSION}");
    let served = match client.list_api_group_resources(&version).await {
        Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
        // Not a proper status: of a group that it does not know the server says so in plain text.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(kube::Error::Api(status)) => {
            return Some(format!(
                "ask the API server which kinds of {version} it serves: {}",
                status.message
            ));
        }
        Err(error) => {
            return Some(format!(
                "ask the API server which kinds of {version} it serves: {error}"
            ));
        }
    };
    let missing: Vec<&str> = plurals
        .iter()
        .copied()
        .filter(|plural| !served.iter().any(|name| name == plural))
        .collect();
    let install = "install the CRDs with `secure-registry-operator crd --part crds | kubectl apply --server-side -f -`";
    (!missing.is_empty()).then(|| {
        format!(
            "the API server does not serve {} of {version}: {install}",
            missing.join(", ")
        )
    })
}
