//! Structured logs on standard error.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, anyhow};
use sreg_runtime::settings::{LogArgs, LogFormat};
use tracing_subscriber::EnvFilter;

/// Libraries repeat what we log ourselves where it matters, and at debug they print their insides. A filter that names one goes
/// before this: `debug,kube_client=debug`.
const QUIETER: &str = "typespec_client_core=warn,azure_core=warn,azure_identity=warn,h2=warn,hickory_net=warn,\
hickory_proto=warn,hickory_resolver=warn,hyper=warn,hyper_util=warn,kube_client=warn,kube_lease_manager=warn,\
kube_runtime=info,reqwest=warn,rustls=warn,rustls_platform_verifier=warn,tokio_util=warn,tower=warn";

/// Starts logging for the whole process.
///
/// # Errors
/// The filter cannot be understood.
pub fn start(args: &LogArgs) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", args.log_filter)).with_context(|| {
        format!(
            "read the log filter {:?}: write it like info,sreg_runtime=debug",
            args.log_filter
        )
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match args.log_format {
        // The list of spans names the innermost one too.
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow!("start logging: {error}"))
}
