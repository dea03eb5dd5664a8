//! Where kube-apiserver, etcd and kubectl are. One program decides that for people, CI and tests alike:
//! `tools/control-plane.sh`. It is only asked here, never told to build: a test that first compiles Kubernetes for five
//! minutes would look like one that hangs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folder that holds all three.
///
/// # Errors
/// They are not all there; the message says to run `make tools`.
pub fn assets() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/control-plane.sh");
    let answer = Command::new(&script)
        .arg("--locate")
        .output()
        .with_context(|| format!("look for kube-apiserver, etcd and kubectl with {}", script.display()))?;
    if !answer.status.success() {
        bail!(
            "look for kube-apiserver, etcd and kubectl: {}; run `make tools` first",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    let text = String::from_utf8(answer.stdout).context("read the assets folder's path")?;
    Ok(PathBuf::from(text.lines().last().unwrap_or_default()))
}
