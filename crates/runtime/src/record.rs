//! Recordings of the passes over one object, for support: each is a file that [`sreg_planner::Recording`] reads. A thread of its own
//! writes them, so that no pass waits for a file system; where it cannot keep up, or cannot write, the log says so.

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use sreg_domain::{Desired, Seen};
use sreg_planner::{Plan, Recording};

use crate::memory::ObjectKey;

/// So many recordings are kept; one has some tens of kilobytes.
pub const KEPT: usize = 200;

/// So many wait to be written; what comes then is not recorded.
const WAITING: usize = 64;

/// Whose passes are recorded, and where.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// The folder. It is made if it is not there.
    pub folder: PathBuf,
    /// The object.
    pub object: ObjectKey,
}

/// Takes recordings and has them written.
#[derive(Debug)]
pub struct PassRecorder {
    object: ObjectKey,
    waiting: SyncSender<Box<Recording>>,
}

impl PassRecorder {
    /// Starts the thread that writes. It ends with the recorder, once everything that waits is written.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(settings: RecordSettings) -> io::Result<PassRecorder> {
        let RecordSettings { folder, object } = settings;
        let (waiting, recordings) = sync_channel(WAITING);
        let writer = std::thread::Builder::new().name("recorder".into());
        writer.spawn(move || write_all(&folder, &recordings))?;
        Ok(PassRecorder { object, waiting })
    }

    /// Records one pass, if it is over that object. Never waits.
    pub(crate) fn record(&self, desired: &Desired, seen: &Seen, plan: &Plan) {
        let object = &desired.object;
        if (&object.namespace, &object.name) != (&self.object.namespace, &self.object.name) {
            return;
        }
        let recording = Recording::new(env!("CARGO_PKG_VERSION"), desired, seen, plan);
        match self.waiting.try_send(Box::new(recording)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("a pass is not recorded: {WAITING} wait to be written"),
            Err(TrySendError::Disconnected(_)) => tracing::warn!("a pass is not recorded: nobody writes any more"),
        }
    }
}

fn write_all(folder: &Path, recordings: &Receiver<Box<Recording>>) {
    for recording in recordings {
        if let Err(error) = write(folder, &recording) {
            tracing::warn!(folder = %folder.display(), %error, "a pass is not recorded");
        }
        if let Err(error) = prune(folder) {
            tracing::warn!(folder = %folder.display(), %error, "an old recording stays");
        }
    }
}

/// For whoever runs the operator only: ids, addresses and names of people stand in it.
fn write(folder: &Path, recording: &Recording) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let next = numbers(folder)?.last().map_or(1, |last| last.saturating_add(1));
    let whole = folder.join(file_name(next));
    // A reader, or a process that ends meanwhile, finds no half of a file.
    let part = whole.with_extension("part");
    remove(&part)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(&recording.to_json()?)?;
    std::fs::rename(&part, &whole)
}

/// Removes what is too old. What cannot be removed keeps no other from it.
fn prune(folder: &Path) -> io::Result<()> {
    let numbers = numbers(folder)?;
    let too_many = numbers.len().saturating_sub(KEPT);
    let mut ended = Ok(());
    for number in numbers.into_iter().take(too_many) {
        ended = remove(&folder.join(file_name(number))).and(ended);
    }
    ended
}

/// What is not there need not be removed.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The recordings in a folder, oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn recordings(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let numbers = numbers(folder)?.into_iter();
    Ok(numbers.map(|number| folder.join(file_name(number))).collect())
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
