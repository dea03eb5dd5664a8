//! What several of the tests in `tests/` share.

// Test code: a panic is a finding.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

/// What cargo says about the workspace as its lock file has it: nothing is built, nothing is asked of a network.
///
/// # Panics
/// Cargo refuses.
pub fn cargo(arguments: &[&str]) -> String {
    let said = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "cargo {}: {errors}", arguments.join(" "));
    String::from_utf8(said.stdout).unwrap()
}
