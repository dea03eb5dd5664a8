//! The command line for people and pipelines: `kubectl secureregistry`, also called `sreg`. It plans with the operator's planner and
//! looks as the operator does; here is what can be typed, and how it is shown.
//!
//! ```text
//! typed ─ arguments ─► account ─► AzureClient ─► sreg_offline ─► Prospect ─ plan/document ─► text, markdown, JSON
//! ```

pub mod account;
pub mod arguments;
mod cluster;
mod files;
pub mod kubeconfig;
mod manual;
mod names;
mod plan;
mod progress;
mod verify;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _};
use sreg_api::registry::ManagementPolicy;
use sreg_domain::outside;
use tokio::runtime::Runtime;

use crate::arguments::{Arguments, Command};

/// How a command ended: what pipelines go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing to do.
    Nothing,
    /// It failed, or what it says is not all there is to say.
    Failed,
    /// There is something to do.
    Changes,
    /// Somebody ended it.
    Interrupted,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> ExitCode {
        ExitCode::from(match ended {
            Ended::Nothing => 0,
            Ended::Failed => 1,
            Ended::Changes => 2,
            Ended::Interrupted => 130,
        })
    }
}

/// Runs what was typed. `name` is how people call the program.
pub fn main(name: &'static str) -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    let typed = Arguments::command().bin_name(name).try_get_matches();
    let arguments = match typed.and_then(|typed| Arguments::from_arg_matches(&typed)) {
        Ok(arguments) => arguments,
        Err(said) => {
            said.print().ok();
            // What cannot be understood is an error: two says that there is something to do.
            return if said.use_stderr() {
                Ended::Failed
            } else {
                Ended::Nothing
            }
            .into();
        }
    };
    match run(arguments) {
        Ok(ended) => ended.into(),
        Err(error) => {
            // Servers and other people's objects speak here too.
            let said = format!("{error:#}");
            writeln!(anstream::stderr(), "error: {}", outside::harmless(&said)).ok();
            Ended::Failed.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Ended> {
    let runtime = Runtime::new().context("start the runtime")?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = carry_out(arguments) => ended,
            signal = tokio::signal::ctrl_c() => signal.map(|()| Ended::Interrupted).context("wait for Ctrl-C"),
        }
    });
    // Whatever still waits for an answer, or for input, must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn carry_out(arguments: Arguments) -> Result<Ended> {
    match arguments.command {
        Command::Plan(typed) => plan::plan(&typed).await,
        Command::Verify(typed) => verify::verify(&typed).await,
        Command::Hosts(typed) => names::hosts(&typed).await,
        Command::Fqdns(typed) => names::fqdns(&typed).await,
        Command::Completions(typed) => manual::completions(typed.shell),
        Command::Manual(typed) => manual::manual(&typed.folder),
        Command::Status(typed) => cluster::status(&typed).await,
        Command::Why(typed) => cluster::why(&typed).await,
        Command::Approve(typed) => cluster::approve(&typed).await,
        Command::BreakGlass(typed) => cluster::break_glass(&typed).await,
        Command::Reconcile(typed) => cluster::reconcile(&typed).await,
        Command::Observe(typed) => cluster::set_policy(&typed, ManagementPolicy::Observe).await,
        Command::Enforce(typed) => cluster::set_policy(&typed, ManagementPolicy::Enforce).await,
    }
}

/// Writes what was asked for. Whoever stops reading has read enough.
fn print(text: &str) -> Result<()> {
    match anstream::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        Ok(()) | Err(_) => Ok(()),
    }
}
