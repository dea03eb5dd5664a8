//! Recordings of whole passes: read again, each leads to its plan, and none holds a credential.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sreg_planner::{Recording, render};
use sreg_runtime::memory::ObjectKey;
use sreg_runtime::record::{KEPT, PassRecorder, RecordSettings};

use super::testbed::{NAME, NAMESPACE, Testbed};

const HOUR: Duration = Duration::from_secs(3600);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("sreg-recording-{name}-{}", std::process::id())))
    }

    fn recordings(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
        paths.into_iter().map(read).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn recorded(testbed: &Testbed, folder: &Folder) -> sreg_runtime::Context {
    let mut context = testbed.context();
    let settings = RecordSettings {
        folder: folder.0.clone(),
        object: ObjectKey {
            namespace: NAMESPACE.into(),
            name: NAME.into(),
        },
    };
    context.pass_recorder = Some(PassRecorder::start(settings).unwrap());
    context
}

/// The writer has a thread of its own, in real time.
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn plans(recordings: &[(PathBuf, Vec<u8>)]) -> Vec<Recording> {
    let read = |(path, text): &(PathBuf, Vec<u8>)| {
        Recording::from_json(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    recordings.iter().map(read).collect()
}

#[tokio::test(start_paused = true)]
async fn a_way_to_the_lock_is_recorded_and_planned_again_alike() {
    let (testbed, folder) = (Testbed::quick(), Folder::new("way"));
    let operator = testbed.start_with(recorded(&testbed, &folder));
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    operator.stop().await;
    let closes = |recording: &Recording| recording.plan_again().steps().any(|step| step.action.closes());
    let recordings = eventually("a closing write is recorded", || {
        let recordings = folder.recordings();
        plans(&recordings).iter().any(closes).then_some(recordings)
    });
    let mut polled = false;
    for (recording, (path, text)) in plans(&recordings).iter().zip(&recordings) {
        assert_eq!(render(&recording.plan_again()), recording.plan, "{}", path.display());
        let urls = recording.seen.azure.operations.iter().map(|o| &o.operation.poll_url);
        let told = recording.seen.object.status.operations.iter().map(|o| &o.poll_url);
        for url in urls.chain(told) {
            polled = true;
            assert!(!url.contains('?'), "{url}");
        }
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        assert!(!String::from_utf8_lossy(text).contains("Bearer"), "{}", path.display());
    }
    assert!(polled, "{} recordings", recordings.len());
}

#[tokio::test(start_paused = true)]
async fn so_many_recordings_are_kept_and_what_is_somebody_elses_stays() {
    let (testbed, folder) = (Testbed::quick(), Folder::new("kept"));
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(folder.0.join("notes.txt"), "mine").unwrap();
    for number in 1..=KEPT {
        std::fs::write(folder.0.join(format!("pass-{number:08}.json")), "{}").unwrap();
    }
    let operator = testbed.start_with(recorded(&testbed, &folder));
    testbed.until("seen", HOUR, |testbed| !testbed.state().is_empty()).await;
    operator.stop().await;
    let names = eventually("one is recorded, and one goes", || {
        let recordings = folder.recordings();
        let names: Vec<String> = recordings.iter().map(|(path, _)| path.display().to_string()).collect();
        let moved = names.iter().any(|name| name.ends_with("pass-00000201.json"));
        (moved && names.len() == KEPT + 1).then_some(names)
    });
    assert!(names.iter().any(|name| name.ends_with("notes.txt")));
    assert!(!names.iter().any(|name| name.ends_with("pass-00000001.json")));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_holds_nothing_up() {
    let (testbed, folder) = (Testbed::quick(), Folder::new("file"));
    std::fs::write(&folder.0, "no folder").unwrap();
    let operator = testbed.start_with(recorded(&testbed, &folder));
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    operator.stop().await;
    std::fs::remove_file(&folder.0).unwrap();
}
