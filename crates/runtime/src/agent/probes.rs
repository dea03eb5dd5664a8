//! Watches the probes that are addressed to this vantage point and keeps one worker for each. A probe that does not parse
//! harms only itself; a worker that panics is started again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use sreg_api::names::LABEL_VANTAGE_POINT;
use sreg_api::probe::ConnectivityProbe;
use sreg_probe::Via;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Agent;
use super::path_results::Question;
use super::place::Place;
use super::publish::Desk;
use super::worker::{Published, Worker};
use crate::api_words;

/// A worker that panicked starts again after this long: soon enough for people, too late to spin.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// Carries out probes from `place` until `stop`, then ends every worker.
pub(super) async fn carry_out(agent: &Agent, place: &Place, stop: &CancellationToken) {
    let vantage_point = &agent.settings.vantage_point;
    let api: Api<DeserializeGuard<ConnectivityProbe>> = Api::namespaced(agent.client.clone(), &place.namespace);
    let config = watcher::Config::default().labels(&format!("{LABEL_VANTAGE_POINT}={vantage_point}"));
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut crew = Crew::new(agent, place, stop);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = events.next() => event,
            Some(_) = crew.tasks.join_next(), if !crew.tasks.is_empty() => continue,
        };
        match event {
            Some(Ok(event)) => crew.see(event),
            Some(Err(error)) => {
                tracing::warn!(%vantage_point, error = api_words::of_watch(&error), "cannot watch the probes, trying again");
                agent.report(|health| health.watching = false);
            }
            None => break,
        }
    }
    crew.dismiss().await;
}

/// A probe with a worker.
struct Assigned {
    uid: String,
    questions: watch::Sender<Question>,
    published: Published,
    stop: CancellationToken,
}

struct Crew<'a> {
    agent: &'a Agent,
    place: &'a Place,
    via: Arc<Via>,
    stop: &'a CancellationToken,
    assigned: BTreeMap<String, Assigned>,
    /// Names seen in the listing under way.
    listed: BTreeSet<String>,
    tasks: JoinSet<()>,
}

impl<'a> Crew<'a> {
    fn new(agent: &'a Agent, place: &'a Place, stop: &'a CancellationToken) -> Self {
        let via = Via {
            dialer: place.dialer.clone(),
            resolver: place.resolver,
            roots: agent.roots.clone(),
            host_suffixes: agent.settings.host_suffixes.clone(),
            storage_version: agent.settings.storage_version.clone(),
        };
        Crew {
            agent,
            place,
            via: Arc::new(via),
            stop,
            assigned: BTreeMap::new(),
            listed: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    fn see(&mut self, event: watcher::Event<DeserializeGuard<ConnectivityProbe>>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(found) => {
                self.listed.insert(found.name_any());
                self.assign(found);
            }
            watcher::Event::Apply(found) => self.assign(found),
            watcher::Event::Delete(gone) => self.release(&gone.name_any()),
            watcher::Event::InitDone => {
                let gone: Vec<String> = self
                    .assigned
                    .keys()
                    .filter(|name| !self.listed.contains(*name))
                    .cloned()
                    .collect();
                gone.iter().for_each(|name| self.release(name));
                self.agent.report(|health| health.watching = true);
            }
        }
        let probes = self.assigned.len();
        self.agent.report(|health| health.probes = probes);
    }

    /// Gives the probe's present question to its worker, or a worker to the probe.
    fn assign(&mut self, found: DeserializeGuard<ConnectivityProbe>) {
        let name = found.name_any();
        let probe = match found.0 {
            Ok(probe) => probe,
            Err(invalid) => {
                tracing::warn!(probe = %name, error = %invalid.error, "probe cannot be read and is not carried out");
                return self.release(&name);
            }
        };
        let (Some(uid), Some(generation)) = (probe.uid(), probe.metadata.generation) else {
            return self.release(&name);
        };
        // The selector is the server's; the spec is what the operator wrote. Both must agree.
        if probe.metadata.deletion_timestamp.is_some() || probe.spec.vantage_point != self.agent.settings.vantage_point
        {
            return self.release(&name);
        }
        // Asked for another place than this: either is about to catch up with the other.
        let (asked_uid, asked_generation) = (&probe.spec.vantage_point_uid, probe.spec.vantage_point_generation);
        if (asked_uid, asked_generation) != (&self.place.version.0, self.place.version.1) {
            tracing::debug!(probe = %name, "asks for another generation of the VantagePoint and is not answered yet");
            return self.release(&name);
        }
        let question = Question {
            generation,
            spec: probe.spec,
        };
        match self.assigned.get(&name).filter(|assigned| assigned.uid == uid) {
            Some(assigned) => {
                assigned.published.send_replace(probe.status);
                // Our own status writes come back too: only a later generation is another question.
                assigned.questions.send_if_modified(|now| {
                    let is_newer = question.generation > now.generation;
                    if is_newer {
                        *now = question;
                    }
                    is_newer
                });
            }
            None => {
                self.release(&name);
                self.start(name, uid, question, probe.status);
            }
        }
    }

    fn start(
        &mut self,
        name: String,
        uid: String,
        question: Question,
        status: Option<sreg_api::probe::ConnectivityProbeStatus>,
    ) {
        let (questions, asked) = watch::channel(question);
        let published = Arc::new(watch::channel(status).0);
        let stop = self.stop.child_token();
        let worker = Worker {
            desk: Desk::new(self.agent.client.clone(), &self.place.namespace, &name, &uid),
            via: self.via.clone(),
            attempt_timeout: self.agent.settings.attempt_timeout,
            attempts: self.agent.attempts.clone(),
            questions: asked,
            published: published.clone(),
            stop: stop.clone(),
        };
        tracing::info!(probe = %name, vantage_point = %self.agent.settings.vantage_point, "probe taken up");
        self.tasks.spawn(tend(name.clone(), worker));
        self.assigned.insert(
            name,
            Assigned {
                uid,
                questions,
                published,
                stop,
            },
        );
    }

    fn release(&mut self, name: &str) {
        if let Some(assigned) = self.assigned.remove(name) {
            assigned.stop.cancel();
            tracing::info!(probe = %name, "probe laid down");
        }
    }

    async fn dismiss(mut self) {
        self.assigned.values().for_each(|assigned| assigned.stop.cancel());
        while self.tasks.join_next().await.is_some() {}
        self.agent.report(|health| {
            health.watching = false;
            health.probes = 0;
        });
    }
}

/// Runs the worker, again after a panic: one poisonous probe must not end the others, nor stay silent for ever.
async fn tend(name: String, worker: Worker) {
    while AssertUnwindSafe(worker.clone().run()).catch_unwind().await.is_err() {
        tracing::error!(probe = %name, "the worker panicked, starting it again in {AFTER_PANIC:?}");
        tokio::select! {
            () = worker.stop.cancelled() => return,
            () = tokio::time::sleep(AFTER_PANIC) => {}
        }
    }
}
