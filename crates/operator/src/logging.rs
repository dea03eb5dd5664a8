//! Structured logs on standard error.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, anyhow};
use sreg_runtime::settings::{LogArgs, LogFormat};
use tracing_subscriber::EnvFilter;

/// Repeats at info what we log ourselves where it matters; a filter that names it goes before this.
const QUIETER: &str = "typespec_client_core=warn";

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
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow!("start logging: {error}"))
}
