//! `azure-sim serve`: reads a seed, serves until SIGINT or SIGTERM. `azure-sim env`: how clients are told of it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use azure_sim::environment::Audience;
use azure_sim::{Running, Seed, ServeOptions, Simulator};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// An executable model of the Azure that the secure-registry-operator uses.
#[derive(Debug, Parser)]
#[command(name = "azure-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a simulated Azure on loopback until interrupted.
    Serve {
        /// YAML file with the world's beginning, such as examples/azure/demo.yaml.
        #[arg(long)]
        seed: PathBuf,
        /// Loopback address of ARM, tokens and discovery; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Folder for azure-sim.json (addresses) and ca.pem.
        #[arg(long)]
        state_dir: Option<PathBuf>,
    },
    /// Print the lines of shell that point a client at a running simulator. Sign-in is by AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.
    Env {
        /// Folder that `serve` was given as --state-dir.
        #[arg(long)]
        state_dir: PathBuf,
        /// Whose configuration.
        #[arg(long, value_enum)]
        r#for: Audience,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "azure_sim=info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    // A second installation only says that there is one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let (seed, listen, state_dir) = match Arguments::parse().command {
        Command::Serve {
            seed,
            listen,
            state_dir,
        } => (seed, listen, state_dir),
        Command::Env { state_dir, r#for } => {
            let lines = azure_sim::environment::shell_lines(&state_dir, r#for)?;
            return std::io::stdout().write_all(lines.as_bytes()).context("print");
        }
    };
    let mut terminated = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let seed = Seed::load(&seed).with_context(|| format!("load {}", seed.display()))?;
    let running = Simulator::new(seed).serve(ServeOptions { listen, state_dir }).await?;
    // Whoever started us may have gone away; that is no reason to stop serving.
    announce(&running, std::io::stdout().lock()).ok();
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    running.shutdown().await;
    Ok(())
}

fn announce(running: &Running, mut out: impl std::io::Write) -> std::io::Result<()> {
    writeln!(
        out,
        "ARM, tokens, discovery, /_sim: {}",
        running.arm_endpoint.as_str().trim_end_matches('/')
    )?;
    for (name, ports) in &running.networks {
        writeln!(
            out,
            "network {name}: socks5 {} for agents, curl --proxy socks5h://{}",
            ports.socks5, ports.curl_proxy
        )?;
    }
    out.flush()
}
