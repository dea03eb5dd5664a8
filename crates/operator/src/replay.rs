//! Plans of recorded passes, made again: what somebody sends in can be looked at without their cluster and their Azure.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sreg_planner::{Recording, render};
use sreg_runtime::record;

/// Prints each plan, and after it the recorded one where that differs. A folder stands for the recordings in it, oldest first.
///
/// # Errors
/// A recording cannot be read, or a plan is another one now.
pub fn replay(paths: &[PathBuf], out: &mut dyn Write) -> Result<()> {
    let (mut different, mut illegible) = (0_usize, 0_usize);
    for path in recordings(paths)? {
        let recording = match read(&path) {
            Ok(recording) => recording,
            // Others beside it may be of another version, and those are what somebody wants to see.
            Err(error) => {
                illegible += 1;
                writeln!(out, "# {error:#}")?;
                continue;
            }
        };
        let plan = render(&recording.plan_again());
        writeln!(
            out,
            "# {} at {}\n{}",
            path.display(),
            recording.seen.at,
            plan.trim_end()
        )?;
        if plan != recording.plan {
            different += 1;
            let version = &recording.operator_version;
            writeln!(out, "# version {version} planned:\n{}", recording.plan.trim_end())?;
        }
    }
    if different + illegible > 0 {
        bail!("{different} of the plans are others than those recorded, and {illegible} recordings cannot be read");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Recording> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Recording::from_json(&text).with_context(|| {
        let of = "a recording of `secure-registry-operator run --record` by this version";
        format!("read {} as {of}", path.display())
    })
}

fn recordings(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let within = record::recordings(path).with_context(|| format!("list {}", path.display()))?;
            if within.is_empty() {
                bail!(
                    "{} holds no recording: they are called pass-NUMBER.json",
                    path.display()
                );
            }
            all.extend(within);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(path: &Path) -> String {
        let mut out = Vec::new();
        let error = replay(&[path.to_path_buf()], &mut out).unwrap_err();
        format!("{}{error:#}", String::from_utf8_lossy(&out))
    }

    #[test]
    fn what_is_no_recording_is_named_and_what_would_be_one_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let empty = error_of(folder);
        std::fs::write(folder.join("pass-00000001.json"), "{\"operatorVersion\": 1}").unwrap();
        let (other, missing) = (error_of(folder), error_of(&folder.join("nothing")));
        assert!(empty.contains("pass-NUMBER.json"), "{empty}");
        assert!(
            other.contains("pass-00000001.json") && other.contains("run --record"),
            "{other}"
        );
        assert!(missing.contains("nothing"), "{missing}");
    }
}
