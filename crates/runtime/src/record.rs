//! Recordings of the passes over one object, for support: each is a file that [`sreg_planner::Recording`] reads. A recorder keeps the
//! latest, and whatever goes wrong with it is told in the log and holds no pass up.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use sreg_domain::{Desired, Seen};
use sreg_planner::{Plan, Recording};

use crate::memory::ObjectKey;

/// So many recordings are kept; one has some tens of kilobytes.
pub const KEPT: usize = 200;

/// Whose passes are recorded, and where.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// The folder. It is made if it is not there.
    pub folder: PathBuf,
    /// The object.
    pub object: ObjectKey,
}

impl RecordSettings {
    /// Records one pass, if it is over that object.
    pub(crate) async fn record(&self, desired: &Desired, seen: &Seen, plan: &Plan) {
        let object = &desired.object;
        if (&object.namespace, &object.name) != (&self.object.namespace, &self.object.name) {
            return;
        }
        let recording = Recording::new(env!("CARGO_PKG_VERSION"), desired, seen, plan);
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, &recording)).await;
        let failed = written.map_err(io::Error::other).and_then(|written| written).err();
        if let Some(error) = failed {
            tracing::warn!(folder = %self.folder.display(), %error, "this pass is not recorded");
        }
    }
}

fn write(folder: &Path, recording: &Recording) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut earlier = numbers(folder)?;
    let next = earlier.last().map_or(1, |last| last.saturating_add(1));
    let whole = folder.join(file_name(next));
    // A reader, or a process that ends meanwhile, finds no half of a file.
    let part = whole.with_extension("part");
    std::fs::write(&part, recording.to_json()?)?;
    std::fs::rename(&part, &whole)?;
    earlier.push(next);
    let too_many = earlier.len().saturating_sub(KEPT);
    for number in earlier.into_iter().take(too_many) {
        std::fs::remove_file(folder.join(file_name(number)))?;
    }
    Ok(())
}

/// Numbers of the recordings that are there, in order. What else stands in the folder is somebody else's.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        numbers.extend(number(&entry?.file_name()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn file_name(number: u64) -> String {
    format!("pass-{number:08}.json")
}

fn number(name: &OsStr) -> Option<u64> {
    name.to_str()?
        .strip_prefix("pass-")?
        .strip_suffix(".json")?
        .parse()
        .ok()
}
