//! The operator.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use secure_registry_operator::cli::{Cli, Command, CrdArgs};
use secure_registry_operator::{agent, logging, manifests, process, replay, run};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::parse();
    rustls::crypto::ring::default_provider().install_default().ok();
    let ended = match cli.command {
        Command::Run(args) => logging::start(&args.log).and_then(|()| serve(|shutdown| run::run(*args, shutdown))),
        Command::Agent(args) => logging::start(&args.log).and_then(|()| serve(|shutdown| agent::run(args, shutdown))),
        Command::Crd(args) => crd(&args),
        Command::Replay(args) => replay::replay(&args.paths, &mut std::io::stdout().lock()),
    };
    process::exit_code(ended)
}

/// Runs something until it ends or a signal asks it to.
fn serve<F: Future<Output = Result<()>>>(work: impl FnOnce(CancellationToken) -> F) -> Result<()> {
    let runtime = Runtime::new().context("start the runtime")?;
    let ended = runtime.block_on(async {
        let shutdown = process::shutdown_signal()?;
        work(shutdown).await
    });
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn crd(args: &CrdArgs) -> Result<()> {
    if let Some(folder) = &args.chart {
        return manifests::write(folder, &manifests::chart::templates()?);
    }
    let manifests = manifests::generate(&args.installation(), &args.parts())?;
    match &args.out {
        Some(folder) => manifests::write(folder, &manifests::files(&manifests)?),
        None => {
            let text = manifests::to_stream(&manifests)?;
            std::io::stdout()
                .write_all(text.as_bytes())
                .context("write the manifests")
        }
    }
}
