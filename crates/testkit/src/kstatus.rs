//! What Flux, Helm, Argo CD and others make of an object, by the library or the interpreter that they use: programs that
//! `tools/kstatus.sh` and `tools/argohealth.sh` provide.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The verdict of kstatus on each object, as an API server answers it: `Current`, `InProgress`, `Failed` or `Terminating`, a tab,
/// and a sentence.
///
/// # Errors
/// The program is not there (`make tools` provides it), or something given is no object.
pub fn kstatus(objects: &[Value]) -> Result<Vec<String>> {
    ask("kstatus", &[], objects)
}

/// The verdict of a health check of Argo CD (a file of Lua) on each object: `Healthy`, `Progressing` or `Degraded`, a tab, and a
/// sentence.
///
/// # Errors
/// As [`kstatus`], or the check itself fails.
pub fn argo_health(check: &Path, objects: &[Value]) -> Result<Vec<String>> {
    ask("argohealth", &[check], objects)
}

fn ask(name: &str, arguments: &[&Path], objects: &[Value]) -> Result<Vec<String>> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools");
    let script = tools.join(name).with_extension("sh");
    let located = Command::new(&script)
        .arg("--locate")
        .output()
        .with_context(|| format!("look for {name} with {}", script.display()))?;
    ensure!(
        located.status.success(),
        "{}",
        String::from_utf8_lossy(&located.stderr).trim()
    );
    let program = String::from_utf8(located.stdout).with_context(|| format!("read the path of {name}"))?;
    let mut child = Command::new(program.trim())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let mut input = child
        .stdin
        .take()
        .with_context(|| format!("open the input of {name}"))?;
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    // It answers while it reads: somebody must read the answers meanwhile.
    let writing = std::thread::spawn(move || texts.iter().try_for_each(|text| writeln!(input, "{text}")));
    let output = child.wait_with_output().with_context(|| format!("run {name}"))?;
    let written = writing.join();
    ensure!(
        output.status.success() && matches!(written, Ok(Ok(()))),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let verdicts = String::from_utf8(output.stdout).with_context(|| format!("read what {name} says"))?;
    let verdicts: Vec<String> = verdicts.lines().map(str::to_owned).collect();
    ensure!(
        verdicts.len() == objects.len(),
        "{} verdicts on {} objects",
        verdicts.len(),
        objects.len()
    );
    Ok(verdicts)
}
