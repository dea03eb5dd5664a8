//! Child processes: their output can be awaited, they end when told to, and they never outlive the test.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sreg_testkit::{Process, Program, eventually};

const SOON: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Process {
    Program::new("/bin/sh").args(["-c", script]).spawn().unwrap()
}

fn exists(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), None) != Err(Errno::ESRCH)
}

#[tokio::test]
async fn a_dropped_process_is_gone() {
    let process = shell("echo up; exec sleep 1000");
    process.line_with("up", SOON).await.unwrap();
    let pid = process.pid();
    assert!(exists(pid));
    drop(process);
    assert!(!exists(pid), "process {pid} survived its handle");
}

#[tokio::test]
async fn lines_of_both_streams_are_kept_and_awaited() {
    let process = shell("echo listening on 127.0.0.1:1234; echo trouble >&2; exec sleep 1000");
    let line = process.line_with("listening on", SOON).await.unwrap();
    assert_eq!(line, "listening on 127.0.0.1:1234");
    assert_eq!(process.line_with("trouble", SOON).await.unwrap(), "trouble");
    assert_eq!(process.try_exit().unwrap(), None);
}

#[tokio::test]
async fn output_without_end_is_bounded_and_never_blocks_the_writer() {
    let process = shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo last");
    process.line_with("last", SOON).await.unwrap();
    let lines = process.lines();
    assert!(lines.len() <= 4000, "{} lines kept", lines.len());
    assert_eq!(lines[lines.len() - 2], "line 19999");
}

#[tokio::test]
async fn waiting_for_a_line_ends_with_the_process_and_repeats_its_last_words() {
    let process = shell("echo cannot open the door >&2; exit 3");
    let error = process.line_with("ready", SOON).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3"), "{error}");
    eventually(SOON, "the last words", || async {
        let error = process.line_with("ready", SOON).await.unwrap_err().to_string();
        if error.contains("cannot open the door") {
            Ok(())
        } else {
            Err(error)
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn terminate_asks_politely_and_gives_the_exit_code() {
    let process = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    process.line_with("up", SOON).await.unwrap();
    assert_eq!(process.terminate(SOON).await.unwrap().code(), Some(7));
    assert!(
        process.terminate(SOON).await.is_err(),
        "a second SIGTERM went to somebody else"
    );
}

#[tokio::test]
async fn a_process_deaf_to_sigterm_is_reported_and_still_killed() {
    let process = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    process.line_with("up", SOON).await.unwrap();
    let error = process
        .terminate(Duration::from_millis(300))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("to end in vain"), "{error}");
    process.kill9().unwrap();
    assert!(!exists(process.pid()));
}

#[tokio::test]
async fn a_suspended_process_stands_still_until_resumed() {
    let process = shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    process.line_with("1", SOON).await.unwrap();
    process.suspend().unwrap();
    let stat = format!("/proc/{}/stat", process.pid());
    eventually(SOON, "the process to be stopped", || async {
        std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
    })
    .await
    .unwrap();
    process.resume().unwrap();
    let seen = process.lines().len();
    eventually(SOON, "another line", || async {
        (process.lines().len() > seen + 1).then_some(())
    })
    .await
    .unwrap();
}

#[test]
fn a_program_that_is_not_there_is_refused_by_name() {
    let error = Program::new("/nonexistent/azure-sim").spawn().unwrap_err().to_string();
    assert_eq!(error, "start azure-sim: /nonexistent/azure-sim is not a file");
}

#[tokio::test]
async fn killing_the_test_leaves_nothing_running() {
    const NAME: &str = "killing_the_test_leaves_nothing_running";
    if std::env::var_os("SREG_TESTKIT_VICTIM").is_some() {
        let process = shell("exec sleep 1000");
        println!("\nchild {}", process.pid());
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env("SREG_TESTKIT_VICTIM", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let pid = said
        .filter_map(|line| line.strip_prefix("child ").and_then(|pid| pid.parse().ok()))
        .next()
        .unwrap();
    assert!(exists(pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually(SOON, "the orphan to be killed", || async {
        // A zombie has been killed; whoever adopted it reaps it in their own time.
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (!exists(pid) || state.contains(") Z ")).then_some(())
    })
    .await
    .unwrap();
}
