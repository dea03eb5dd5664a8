//! The promise that nothing outlives a test. A destructor cannot keep it: statics are never dropped, and `kill -9` runs
//! no code at all. So one small shell per test process holds the reading end of a pipe; when the test process is gone,
//! however that came about, it reads end of file, kills the processes it was told of and removes their folders.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

const SCRIPT: &str = r#"
pids=' '
while read -r order what; do
  case $order in
    guard) pids="$pids$what " ;;
    release) case $pids in *" $what "*) pids="${pids%%" $what "*} ${pids#*" $what "}" ;; esac ;;
    remove) set -- "$@" "$what" ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
# A process that is being killed may still write for a moment. A zombie does not: it only waits for somebody to reap it.
for pid in $pids; do
  tries=0
  while [ "$tries" -lt 100 ] && read -r stat 2>/dev/null <"/proc/$pid/stat"; do
    case $stat in *') Z '*) break ;; esac
    sleep 0.05
    tries=$((tries + 1))
  done
done
[ "$#" -eq 0 ] || rm -rf -- "$@"
"#;

struct Watchdog {
    // Neither is ever touched again: the shell ends after us.
    _shell: Child,
    orders: ChildStdin,
}

static WATCHDOG: LazyLock<Mutex<Result<Watchdog, String>>> =
    LazyLock::new(|| Mutex::new(start().map_err(|error| format!("{error:#}"))));

fn start() -> Result<Watchdog> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "sreg-watchdog"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: the Ctrl-C that ends the test must not end the shell that cleans up after it.
        .process_group(0)
        .spawn()
        .context("start the watchdog shell")?;
    let orders = shell.stdin.take().context("open the watchdog's pipe")?;
    Ok(Watchdog { _shell: shell, orders })
}

fn order(text: &str) -> Result<()> {
    let mut watchdog = WATCHDOG.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *watchdog {
        Ok(watchdog) => writeln!(watchdog.orders, "{text}").context("tell the watchdog"),
        Err(error) => Err(anyhow!("{error}")),
    }
}

/// From now on `pid` is killed when this process ends.
pub(crate) fn guard(pid: u32) -> Result<()> {
    order(&format!("guard {pid}"))
}

/// `pid` was reaped: its number may soon belong to somebody else.
pub(crate) fn release(pid: u32) -> Result<()> {
    order(&format!("release {pid}"))
}

/// Removes `folder` when this process ends. Only for folders that we made ourselves under a random name.
pub(crate) fn remove_at_end(folder: &Path) -> Result<()> {
    match folder.to_str() {
        Some(path) if folder.is_absolute() && !path.contains('\n') => order(&format!("remove {path}")),
        _ => bail!(
            "guard the folder {}: not an absolute path of one line",
            folder.display()
        ),
    }
}
