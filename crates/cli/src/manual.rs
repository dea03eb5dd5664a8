//! Completions for shells, and manual pages: made of what can be typed, so that they never say anything else.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::{Ended, print};

/// As people type it: kubectl does not complete plugins by their own scripts.
const NAME: &str = "sreg";

/// Prints a shell's completions.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn completions(shell: Shell) -> Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command().name(NAME), NAME, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Ended::Nothing)
}

/// Writes a manual page for the program and one for each command.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn manual(folder: &Path) -> Result<Ended> {
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Arguments::command().name(NAME), folder)
    };
    write().with_context(|| format!("write manual pages into {}", folder.display()))?;
    Ok(Ended::Nothing)
}
