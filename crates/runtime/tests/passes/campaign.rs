//! Crash at every write: one clean run counts the operator's writes to the cluster and to ARM; then, for each of them, the
//! operator dies before it is sent, or after it took effect and before the answer arrived. A new one takes over, and the end
//! must be the clean run's: locked, nothing left over, nothing ever closed without proof. CI runs a pruned set; all of it runs
//! with `SREG_CAMPAIGN=full`.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use super::stand::Stand;

/// Counts writes; at one of them the process dies.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    died: Arc<Notify>,
}

#[derive(Default)]
struct State {
    seen: Vec<String>,
    dies_at: Option<(usize, Moment)>,
}

/// Where in a write the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before it is sent.
    Before,
    /// It took effect; the answer never arrives.
    After,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Everything passes.
    pub fn open() -> Gate {
        Gate::default()
    }

    fn dying_at(write: usize, moment: Moment) -> Gate {
        let gate = Gate::default();
        gate.state.lock().unwrap().dies_at = Some((write, moment));
        gate
    }

    fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Lets one request through; `write` names it if it counts.
    pub async fn around<T>(&self, write: Option<String>, request: impl Future<Output = T>) -> T {
        let moment = write.and_then(|write| {
            let mut state = self.state.lock().unwrap();
            state.seen.push(write);
            let number = state.seen.len() - 1;
            state.dies_at.filter(|(at, _)| *at == number).map(|(_, moment)| moment)
        });
        match moment {
            None => request.await,
            Some(moment) => {
                if moment == Moment::After {
                    request.await;
                }
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// What a run leaves behind, without times, uids and what is drawn at random.
#[derive(Debug, PartialEq)]
struct End {
    azure: BTreeSet<String>,
    cluster: BTreeSet<String>,
    open: Vec<String>,
}

async fn end_of(stand: &Stand) -> End {
    stand.until("locked", 3 * HOUR, |stand| stand.state() == "Locked").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    stand.assert_never_closed_without_proof(Duration::from_secs(600));
    let azure = stand.sim.with_world(|world| world.resources.keys().cloned().collect());
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let mut cluster = BTreeSet::new();
    for plural in ["leases", "configmaps", "secureregistries"] {
        cluster.extend(
            stand
                .api
                .all(plural)
                .iter()
                .map(|object| format!("{plural} {} {}", text(object, "namespace"), text(object, "name"))),
        );
    }
    // A probe's name follows from the uid of its object.
    cluster.extend(
        stand
            .api
            .all("connectivityprobes")
            .iter()
            .map(|probe| format!("probe {}", text(probe, "namespace"))),
    );
    End {
        azure,
        cluster,
        open: stand.open_targets(),
    }
}

async fn run(gate: &Gate) -> End {
    let stand = Stand::quick();
    let first = stand.start_through(gate);
    tokio::select! {
        () = gate.died.notified() => {}
        end = end_of(&stand) => {
            first.stop().await;
            return end;
        }
    }
    first.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let second = stand.start();
    let end = end_of(&stand).await;
    second.stop().await;
    end
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_or_after_any_write_leads_to_the_same_end() {
    let clean = Gate::open();
    let expected = run(&clean).await;
    assert_eq!(expected.open, Vec::<String>::new());
    let writes = clean.seen();
    assert!(writes.len() > 30, "{writes:#?}");
    // Reports and events are alike: of those a few will do.
    let is_report = |write: &str| write.ends_with("/status") || write.contains("/events");
    let full = std::env::var("SREG_CAMPAIGN").is_ok_and(|value| value == "full");
    let mut plans = 0;
    for (number, write) in writes.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            let pruned = is_report(write) || (number + usize::from(moment == Moment::After)) % 6 != 0;
            if pruned && !full {
                continue;
            }
            plans += 1;
            let end = run(&Gate::dying_at(number, moment)).await;
            assert_eq!(end, expected, "crash {moment:?} write {number}, {write}");
        }
    }
    println!("{plans} plans over {} writes, 0 violations", writes.len());
}
