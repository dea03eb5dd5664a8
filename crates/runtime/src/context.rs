//! What every pass needs: clients, settings, memory and the clock. Made once by whoever composes the process; the tests put
//! other readers and writers of Azure, leadership and clock in. What only writes to the cluster takes a [`ClusterWriter`] out of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};
use sreg_azure::{AzureReader, AzureWriter};
use sreg_planner::PlanSettings;
use tokio::time::Instant;

use crate::decisions::Decisions;
use crate::leadership::LeadershipFence;
use crate::memory::{Memories, ObjectKey};
use crate::metrics::Metrics;
use crate::record::PassRecorder;
use crate::turns::Turns;
use crate::writer::ClusterWriter;

/// Name that our events are reported under.
pub const REPORTER: &str = "secure-registry-operator";

/// Settings of the controller; the command line maps its flags to these.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// Where claims, snapshots and the leader's Lease live.
    pub operator_namespace: String,
    /// Serve `SecureRegistry` objects of these namespaces only; `None`: of all.
    pub namespaces: Option<Vec<String>>,
    /// Passes that run at once, at least one.
    pub concurrency: usize,
    /// Longest a pass may take before it is given up and tried again with backoff.
    pub pass_deadline: Duration,
    /// Longest that Azure is looked at within a pass; what is not known by then is `Unknown`.
    pub observe_deadline: Duration,
    /// Where public access is to be opened: longest that whatever that does not need is waited for.
    pub patience_to_open: Duration,
    /// Longest a single read from the API server may take.
    pub read_deadline: Duration,
    /// Longest a single write may take, in the cluster or in Azure. A closing write is sent only while leadership is held for
    /// longer than this.
    pub write_deadline: Duration,
    /// Steps of one wave that run at once.
    pub step_concurrency: usize,
    /// How far an agent's clock may be off where its Lease is seen for the first time; later only its progress counts.
    pub agent_lease_stale_after: Duration,
    /// How long running passes may go on after shutdown was asked for.
    pub shutdown_grace: Duration,
    /// Let watches begin with a stream of what is there instead of a list: a third of the memory at start-up. API servers
    /// before 1.34 may not offer it: [`crate::api_server::offers_streaming_lists`] asks.
    pub streaming_lists: bool,
    /// What the planner is told.
    pub plan: PlanSettings,
}

impl ControllerSettings {
    /// Settings with every deadline at its default. `plan` carries the name of the installation and the cloud.
    pub fn new(operator_namespace: impl Into<String>, plan: PlanSettings) -> Self {
        ControllerSettings {
            operator_namespace: operator_namespace.into(),
            namespaces: None,
            concurrency: 16,
            pass_deadline: Duration::from_secs(180),
            observe_deadline: Duration::from_secs(45),
            patience_to_open: Duration::from_secs(4),
            read_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(10),
            step_concurrency: 4,
            agent_lease_stale_after: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(20),
            streaming_lists: true,
            plan,
        }
    }
}

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// Looks at Azure.
    pub azure_reader: Arc<dyn AzureReader>,
    /// Changes Azure.
    pub azure_writer: Arc<dyn AzureWriter>,
    /// Asked before every write.
    pub leadership: Arc<dyn LeadershipFence>,
    /// Counted into.
    pub metrics: Arc<Metrics>,
    /// Settings.
    pub settings: ControllerSettings,
    /// Wall time.
    pub clock: Clock,
    /// Who events are reported by.
    pub reporter: Reporter,
    /// The one recorder: it joins repeated events into series, which it can only do if it is shared.
    pub recorder: Recorder,
    /// What this process remembers.
    pub memories: Memories,
    /// Which pass over a `SecureRegistry` comes next.
    pub turns: Turns,
    /// What those passes decided of BreakGlasses and ChangeApprovals.
    pub(crate) decisions: Decisions,
    /// Writes down what the passes over one object saw.
    pub pass_recorder: Option<PassRecorder>,
}

impl Context {
    /// A context with an empty memory and the system's clock. `instance` tells this process from others in events.
    pub fn new(
        client: kube::Client,
        azure_reader: Arc<dyn AzureReader>,
        azure_writer: Arc<dyn AzureWriter>,
        leadership: Arc<dyn LeadershipFence>,
        metrics: Arc<Metrics>,
        settings: ControllerSettings,
        instance: impl Into<String>,
    ) -> Self {
        let reporter = Reporter {
            controller: REPORTER.into(),
            instance: Some(instance.into()),
        };
        Context {
            turns: Turns::new(settings.concurrency),
            recorder: Recorder::new(client.clone(), reporter.clone()),
            reporter,
            client,
            azure_reader,
            azure_writer,
            leadership,
            metrics,
            settings,
            clock: Clock::system(),
            memories: Memories::default(),
            decisions: Decisions::default(),
            pass_recorder: None,
        }
    }

    /// What writes to the cluster.
    pub fn writer(&self) -> ClusterWriter {
        let deadlines = (self.settings.read_deadline, self.settings.write_deadline);
        ClusterWriter::new(self.client.clone(), Arc::clone(&self.leadership), deadlines)
    }

    /// A `SecureRegistry` is gone: nothing about it is kept, and those that name it hear of it.
    pub fn forget(&self, uid: &str, key: &ObjectKey) {
        self.metrics.forget(key);
        self.turns.forget(key);
        self.memories.forget(uid);
        self.decisions.forget(uid, key);
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .field("memories", &self.memories)
            .finish_non_exhaustive()
    }
}

/// Wall time. Only for what people and other machines read; every judgement of age uses the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    follows: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The system's wall clock.
    pub fn system() -> Self {
        Clock { follows: None }
    }

    /// Wall time that starts at `origin` now and then goes with tokio's clock, so that paused time carries both.
    pub fn following_tokio(origin: Timestamp) -> Self {
        Clock {
            follows: Some((origin, Instant::now())),
        }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self.follows {
            None => Timestamp::now(),
            Some((origin, since)) => origin.checked_add(since.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }
}
