//! What Flux, Helm and others make of an object, by the library that they use: a program that `tools/kstatus.sh` provides.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The verdict on each object, as an API server answers it: `Current`, `InProgress`, `Failed` or `Terminating`, a tab, and a
/// sentence.
///
/// # Errors
/// The program is not there (`make tools` provides it), or something given is no object.
pub fn kstatus(objects: &[Value]) -> Result<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/kstatus.sh");
    let located = Command::new(&script)
        .arg("--locate")
        .output()
        .with_context(|| format!("look for kstatus with {}", script.display()))?;
    ensure!(
        located.status.success(),
        "{}",
        String::from_utf8_lossy(&located.stderr).trim()
    );
    let program = String::from_utf8(located.stdout).context("read the path of kstatus")?;
    let mut child = Command::new(program.trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start kstatus")?;
    let mut input = child.stdin.take().context("open the input of kstatus")?;
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    // It answers while it reads: somebody must read the answers meanwhile.
    let writing = std::thread::spawn(move || texts.iter().try_for_each(|text| writeln!(input, "{text}")));
    let output = child.wait_with_output().context("run kstatus")?;
    let written = writing.join();
    ensure!(
        output.status.success() && matches!(written, Ok(Ok(()))),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let verdicts = String::from_utf8(output.stdout).context("read what kstatus says")?;
    let verdicts: Vec<String> = verdicts.lines().map(str::to_owned).collect();
    ensure!(
        verdicts.len() == objects.len(),
        "{} verdicts on {} objects",
        verdicts.len(),
        objects.len()
    );
    Ok(verdicts)
}
