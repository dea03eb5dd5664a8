//! Child processes of a test: started by path with a clean environment, their last lines of output kept, stopped by
//! process id. A process is known to the watchdog before its first instruction, so that no moment exists at which killing
//! the test would leave it running.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{eventually, watchdog};

/// Lines of output kept per process; older ones are dropped.
const KEPT_LINES: usize = 4_000;
/// Lines printed when a process is dropped.
const PRINTED_LINES: usize = 400;
/// Longest line kept, in bytes.
const LONGEST_LINE: u64 = 16 * 1024;

/// Waits for a line on its standard input before it becomes the program: time to tell the watchdog its process id,
/// which stays the same. If the test dies first, the read fails and the program never starts.
const GATE: &str = r#"read -r _ && exec "$0" "$@" </dev/null"#;

/// Where the workspace's binary `name` (e.g. `secure-registry-operator`) was built: beside the running test, in
/// `target/<profile>/`.
///
/// # Errors
/// It is not there: `cargo test` builds the binaries of other packages only when told to; `make test` does.
pub fn binary_path(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("find the running test's own path")?;
    let places: Vec<PathBuf> = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .collect();
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        anyhow!("find the built binary {name}: it is in none of {places:?}; run `cargo build --workspace --bins`")
    })
}

/// A program about to be started: path, arguments, environment.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    printed: bool,
}

impl Program {
    /// A program by its path. It inherits the test's environment without what would lead it to a real cluster, a real
    /// cloud or a proxy: `KUBECONFIG`, `AZURE_*` and `*_PROXY`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let mut command = Command::new("sh");
        command.arg("-c").arg(GATE).arg(path);
        for (key, _) in std::env::vars_os() {
            if leads_astray(&key) {
                command.env_remove(key);
            }
        }
        Self {
            name,
            command,
            printed: true,
        }
    }

    /// One of the workspace's own binaries, see [`binary_path`].
    ///
    /// # Errors
    /// As [`binary_path`].
    pub fn built(name: &str) -> Result<Self> {
        Ok(Self::new(binary_path(name)?))
    }

    /// The name used in messages and in front of the printed output; the file's name at first.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Does not print the output when the process is dropped.
    #[must_use]
    pub fn unprinted(mut self) -> Self {
        self.printed = false;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The file is missing, or no process could be made.
    pub fn spawn(mut self) -> Result<Process> {
        let path = self.command.get_args().nth(2).map(PathBuf::from).unwrap_or_default();
        if !path.is_file() {
            bail!("start {}: {} is not a file", self.name, path.display());
        }
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("start {}", self.name))?;
        let pid = child.id();
        let output = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            keep_lines(stdout, &output);
        }
        if let Some(stderr) = child.stderr.take() {
            keep_lines(stderr, &output);
        }
        let gate = child.stdin.take();
        // From here on dropping the process kills it, also if one of the next two lines fails.
        let process = Process {
            name: self.name,
            pid,
            child: Mutex::new(child),
            output,
            printed: self.printed,
        };
        watchdog::guard(pid)?;
        gate.context("open the gate")?
            .write_all(b"go\n")
            .with_context(|| format!("start {}", process.name))?;
        Ok(process)
    }
}

fn leads_astray(key: &OsString) -> bool {
    let key = key.to_string_lossy().to_ascii_uppercase();
    key == "KUBECONFIG" || key.starts_with("AZURE_") || key.ends_with("_PROXY")
}

#[derive(Default)]
struct Output {
    lines: VecDeque<String>,
    dropped: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drains a pipe into `output` for as long as anybody holds its other end, so that the child never blocks on it.
fn keep_lines(pipe: impl Read + Send + 'static, output: &Arc<Mutex<Output>>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match pipe.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let mut output = locked(&output);
                    if output.lines.len() == KEPT_LINES {
                        output.lines.pop_front();
                        output.dropped += 1;
                    }
                    output
                        .lines
                        .push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
            }
        }
    });
}

/// A running child process. Dropping it kills it and prints the end of its output, which libtest shows only if the test
/// failed.
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    output: Arc<Mutex<Output>>,
    printed: bool,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has written so far to standard output and standard error, oldest line first, at most 4,000 lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        locked(&self.output).lines.iter().cloned().collect()
    }

    /// Waits until it has written a line that contains `part`, and gives the first such line.
    ///
    /// # Errors
    /// The deadline passed, or the process ended without writing one.
    pub async fn line_with(&self, part: &str, deadline: Duration) -> Result<String> {
        let what = format!("{} to write a line with '{part}'", self.name);
        // The outer result ends the waiting, the inner one is for the caller.
        eventually(deadline, what, || async {
            let ended = self.try_exit();
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(part)) {
                return Ok(Ok(line));
            }
            match ended {
                Ok(None) => Err(format!("{} lines, none with it", self.lines().len())),
                Ok(Some(status)) => Ok(Err(self.ended(status))),
                Err(error) => Ok(Err(error)),
            }
        })
        .await?
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        anyhow!("{} ended with {status}; its last words:\n{}", self.name, self.tail(20))
    }

    fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// The operating system would not say.
    pub fn try_exit(&self) -> Result<Option<ExitStatus>> {
        let status = locked(&self.child)
            .try_wait()
            .with_context(|| format!("look after {self:?}"))?;
        if status.is_some() {
            watchdog::release(self.pid)?;
        }
        Ok(status)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It was still running at the deadline.
    pub async fn exit(&self, deadline: Duration) -> Result<ExitStatus> {
        eventually(deadline, format!("{self:?} to end"), || async {
            self.try_exit().transpose()
        })
        .await?
    }

    /// Sends it SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// It was still running at the deadline; it still is.
    pub async fn terminate(&self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.exit(deadline).await
    }

    /// Kills it with SIGKILL, as a crashing node would, and reaps it.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn kill9(&self) -> Result<ExitStatus> {
        let mut child = locked(&self.child);
        child.kill().with_context(|| format!("kill {self:?}"))?;
        let status = child.wait().with_context(|| format!("reap {self:?}"))?;
        watchdog::release(self.pid)?;
        Ok(status)
    }

    /// Stops it in its tracks (SIGSTOP), as a suspended machine would.
    ///
    /// # Errors
    /// It has ended already.
    pub fn suspend(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Process::suspend`].
    ///
    /// # Errors
    /// It has ended already.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // Held while signalling: nobody else can reap it, so its number cannot have passed to another process.
        let mut child = locked(&self.child);
        if let Some(status) = child.try_wait().with_context(|| format!("look after {self:?}"))? {
            return Err(anyhow!("send {signal} to {self:?}: it ended already with {status}"));
        }
        let pid = Pid::from_raw(i32::try_from(self.pid).context("a process id fits")?);
        kill(pid, signal).with_context(|| format!("send {signal} to {self:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let before = self.try_exit();
        self.kill9().ok();
        if !self.printed {
            return;
        }
        let end = match before {
            Ok(Some(status)) => match status.signal() {
                Some(signal) => format!("had been ended by signal {signal}"),
                None => format!("had ended with {status}"),
            },
            Ok(None) | Err(_) => "was running until now".to_owned(),
        };
        eprintln!(
            "--- {self:?} {end}; its output ({} earlier lines lost):",
            locked(&self.output).dropped
        );
        eprintln!("{}\n---", self.tail(PRINTED_LINES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_lead_to_a_real_cloud_is_not_inherited() {
        for name in ["KUBECONFIG", "AZURE_CLIENT_SECRET", "HTTPS_PROXY", "no_proxy"] {
            assert!(leads_astray(&name.into()), "{name} would be inherited");
        }
        for name in ["PATH", "HOME", "RUST_LOG", "SSL_CERT_FILE", "KUBEBUILDER_ASSETS"] {
            assert!(!leads_astray(&name.into()), "{name} would be lost");
        }
    }
}
