//! Says on standard error what is being waited for, once it takes longer than a moment.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// Nothing is said about what takes less.
const MOMENT: Duration = Duration::from_secs(1);

/// Waits for work. On a terminal the line counts the seconds and goes away at the end; elsewhere it is said once.
pub(crate) async fn while_waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let mut ticks = interval_at(began + MOMENT, MOMENT);
    let on_terminal = io::stderr().is_terminal();
    let mut said = false;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                if said && on_terminal {
                    tell("\r\x1b[K");
                }
                return done;
            }
            _ = ticks.tick() => {
                if on_terminal {
                    tell(&format!("\r\x1b[K{what} ({}s)", began.elapsed().as_secs()));
                } else if !said {
                    tell(&format!("{what}\n"));
                }
                said = true;
            }
        }
    }
}

/// Nobody depends on it.
fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
