//! Between the operator and the world: every request passes here, is named and counted, and at one of them, the trigger of
//! the plan, something goes wrong. A gate belongs to one process; the one that takes over after a crash has a gate of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::courier::Courier;
use super::frozen::{Lagging, Recorded};
use super::witness::Witness;
use crate::api_server::ApiServer;

/// Whom a request goes to. What people do has a place in the story's log too, but passes by nobody's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Cluster,
    Azure,
    People,
}

/// What is about to happen, by name: verb and object, and whether it writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    pub side: Side,
    pub verb: String,
    pub object: String,
}

impl Call {
    pub fn new(side: Side, verb: &str, object: &str) -> Call {
        Call {
            side,
            verb: verb.to_owned(),
            object: object.to_owned(),
        }
    }

    fn is_write(&self) -> bool {
        !self.verb.starts_with("GET")
    }

    /// Whether it was asked after somebody first did something.
    pub fn is_later_read(&self) -> bool {
        self.verb == LATER
    }

    /// A question to Azure, signing in aside.
    fn is_azure_read(&self) -> bool {
        self.side == Side::Azure && !self.is_write() && self.object != "token"
    }

    /// Reports and events only tell, each much like the last: fewer kinds of upset are worth their time.
    pub fn is_report(&self) -> bool {
        self.side == Side::Cluster && (self.object.ends_with("/status") || self.object.contains("events"))
    }
}

/// The verb of a read after somebody first did something.
const LATER: &str = "GET later";

/// The nth call of one name, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trigger {
    pub call: Call,
    pub occurrence: usize,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.call.side {
            Side::Cluster => "k8s",
            Side::Azure => "arm",
            Side::People => "people",
        };
        write!(f, "{side} {} {} #{}", self.call.verb, self.call.object, self.occurrence)
    }
}

/// Where in a write the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before it is sent.
    BeforeSent,
    /// It took effect; the answer never arrives.
    AfterEffect,
    /// It took effect and the answer arrived; nothing else is ever sent.
    AfterAnswer,
}

/// What goes wrong at the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Crash(Moment),
    /// Refused with this status, without effect.
    Refuse(u16),
    /// Accepted with 200, without effect: somebody's policy, or nobody knows why.
    Ignore,
    /// A read is answered `404`, so many times in a row, though what it asks for is there.
    StrayNotFound(usize),
    /// Carried out; the connection ends without an answer, and the process lives on.
    LoseAnswer,
    /// Somebody restores the object from a backup that has no status.
    EraseStatus,
    /// For a while Azure's answers are those from before.
    StaleAzure,
    /// The process is paused for longer than its lease, with this write already on its way to the wire; meanwhile another one
    /// leads.
    Pause,
}

/// How long the process is paused.
pub const PAUSE: Duration = Duration::from_secs(90);

/// How long reads lag, and how often one is answered from the past at most.
const LAG: Duration = Duration::from_secs(45);
const STALE_READS: usize = 6;

/// A write that passed.
#[derive(Debug, Clone)]
pub struct Logged {
    pub trigger: Trigger,
    /// It changed something.
    pub changed: bool,
}

/// One process's way to the world.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    died: Arc<Notify>,
    paused: Arc<Notify>,
    witness: Option<Arc<Witness>>,
}

#[derive(Default)]
struct State {
    log: Vec<Logged>,
    counts: HashMap<Call, usize>,
    plan: Option<(Trigger, Fault)>,
    met: bool,
    dead: bool,
    dies_next: bool,
    paused_until: Option<Instant>,
    last_write: Option<Instant>,
    cluster: Option<ApiServer>,
    azure: Lagging,
    /// Events that had arrived when somebody first did something.
    events_before: Option<Vec<(String, usize)>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// A request that was let in.
#[derive(Debug)]
pub struct Passage {
    /// Its place in the log, where it is a write.
    number: Option<usize>,
    fault: Option<Fault>,
    held_until: Option<Instant>,
}

impl Passage {
    /// When it arrives, where that is late.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Whether it is accepted and nothing comes of it.
    pub fn ignored(&self) -> bool {
        self.fault == Some(Fault::Ignore)
    }

    /// The status to refuse it with.
    pub fn refused(&self) -> Option<u16> {
        match self.fault {
            Some(Fault::Refuse(code)) => Some(code),
            Some(Fault::StrayNotFound(_)) => Some(404),
            _ => None,
        }
    }
}

impl Gate {
    /// Everything passes.
    pub fn open() -> Gate {
        Gate::default()
    }

    /// One fault at one call; `cluster` is what it is about, and the witness sees what is sent to Azure.
    pub fn of(plan: Option<(Trigger, Fault)>, cluster: &ApiServer, witness: Arc<Witness>) -> Gate {
        let state = State {
            plan,
            cluster: Some(cluster.clone()),
            ..State::default()
        };
        Gate {
            state: Arc::new(Mutex::new(state)),
            died: Arc::default(),
            paused: Arc::default(),
            witness: Some(witness),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn log(&self) -> Vec<Logged> {
        self.state().log.clone()
    }

    /// Whether the plan's call came by.
    pub fn met(&self) -> bool {
        let state = self.state();
        state.met || state.plan.is_none()
    }

    pub fn events_before(&self) -> Vec<(String, usize)> {
        self.state().events_before.clone().unwrap_or_default()
    }

    /// How often each question was asked of Azure.
    pub fn azure_reads(&self) -> Vec<(Call, usize)> {
        let state = self.state();
        let reads = state.counts.iter().filter(|(call, _)| call.is_azure_read());
        let mut reads: Vec<(Call, usize)> = reads.map(|(call, count)| (call.clone(), *count)).collect();
        reads.sort();
        reads
    }

    pub fn last_write(&self) -> Option<Instant> {
        self.state().last_write
    }

    pub async fn died(&self) {
        self.died.notified().await;
    }

    pub fn witness(&self) -> Option<&Witness> {
        self.witness.as_deref()
    }

    pub async fn paused(&self) {
        self.paused.notified().await;
    }

    /// Nothing passes any more.
    pub fn close(&self) {
        self.die(&mut self.state());
    }

    /// Lets a request in: never, if the process is dead or dies of it; later, if it is paused.
    pub async fn enter(&self, call: Call) -> Passage {
        let paused_until = self.state().paused_until;
        if let Some(until) = paused_until {
            tokio::time::sleep_until(until).await;
        }
        let passage = self.admit(call);
        match passage {
            Some(passage) => passage,
            None => std::future::pending().await,
        }
    }

    /// Somebody does something: a place for faults as good as a write of the operator.
    pub fn act(&self, name: &str) {
        {
            let mut state = self.state();
            let counts = state.cluster.as_ref().map(|cluster| cluster.courier(Courier::counts));
            state.events_before = state.events_before.take().or(counts);
        }
        self.admit(Call::new(Side::People, "does", name));
    }

    fn admit(&self, call: Call) -> Option<Passage> {
        let mut state = self.state();
        if state.dies_next && call.side != Side::People {
            self.die(&mut state);
        }
        if state.dead {
            return None;
        }
        if !call.is_write() {
            return Some(Passage {
                number: None,
                fault: read_fault(&mut state, call),
                held_until: None,
            });
        }
        let count = state.counts.entry(call.clone()).or_default();
        *count += 1;
        let trigger = Trigger {
            call,
            occurrence: *count,
        };
        let fault = state
            .plan
            .as_ref()
            .filter(|(at, _)| *at == trigger)
            .map(|(_, fault)| *fault);
        if trigger.call.side != Side::People {
            state.last_write = Some(Instant::now());
        }
        state.log.push(Logged { trigger, changed: true });
        let mut passage = Passage {
            number: Some(state.log.len() - 1),
            fault,
            held_until: None,
        };
        state.met |= fault.is_some();
        match fault {
            Some(Fault::Crash(Moment::BeforeSent)) => {
                self.die(&mut state);
                return None;
            }
            Some(Fault::EraseStatus) => erase_status(state.cluster.as_ref()),
            Some(Fault::Pause) => {
                passage.held_until = Some(Instant::now() + PAUSE);
                state.paused_until = passage.held_until;
                self.paused.notify_one();
            }
            Some(Fault::StaleAzure) => state.azure.freeze(Instant::now() + LAG, STALE_READS),
            _ => {}
        }
        Some(passage)
    }

    fn die(&self, state: &mut State) {
        state.dead = true;
        self.died.notify_one();
    }

    /// The request was carried out. True: its answer is lost. Never returns if the process dies of it.
    pub async fn leave(&self, passage: Passage, changed: bool) -> bool {
        let dead = {
            let mut state = self.state();
            if let Some(logged) = passage.number.and_then(|number| state.log.get_mut(number)) {
                logged.changed = changed;
                state.last_write = Some(Instant::now());
            }
            match passage.fault {
                Some(Fault::Crash(Moment::AfterEffect)) => self.die(&mut state),
                Some(Fault::Crash(Moment::AfterAnswer)) => state.dies_next = true,
                _ => {}
            }
            state.dead
        };
        if dead {
            return std::future::pending().await;
        }
        passage.fault == Some(Fault::LoseAnswer)
    }

    /// An answer from the past.
    pub fn stale_answer(&self, url: &str) -> Option<Recorded> {
        self.state().azure.stale(url)
    }

    /// Keeps an answer, for the time when it will be the past.
    pub fn keep_answer(&self, url: &str, answer: &Recorded) {
        let mut state = self.state();
        if matches!(state.plan, Some((_, Fault::StaleAzure))) {
            state.azure.keep(url, answer);
        }
    }
}

/// What goes wrong at a read: it is counted, and refused from the planned occurrence on, as often as the fault says. Reads after
/// somebody first did something are counted apart: how many there were before differs from run to run.
fn read_fault(state: &mut State, mut call: Call) -> Option<Fault> {
    if !call.is_azure_read() {
        return None;
    }
    if state.events_before.is_some() {
        call.verb = LATER.to_owned();
    }
    let count = state.counts.entry(call.clone()).or_default();
    *count += 1;
    let nth = *count;
    let (at, fault) = state.plan.as_ref()?;
    let Fault::StrayNotFound(times) = *fault else {
        return None;
    };
    let hit = at.call == call && (at.occurrence..at.occurrence + times).contains(&nth);
    state.met |= hit;
    hit.then_some(Fault::StrayNotFound(times))
}

fn erase_status(cluster: Option<&ApiServer>) {
    use crate::testbed::{NAME, NAMESPACE};
    if let Some(cluster) = cluster
        && cluster.get("secureregistries", NAMESPACE, NAME).is_some()
    {
        cluster.meddle("secureregistries", NAMESPACE, NAME, |object| {
            object.as_object_mut().unwrap().remove("status");
        });
    }
}
