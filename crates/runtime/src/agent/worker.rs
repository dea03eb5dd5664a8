//! Carries out one probe: sweeps over its paths, feeds what they find to the [`PathResults`] and publishes what is new. A changed
//! question abandons whatever is under way; the worker then starts again at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use sreg_api::probe::{ConnectivityProbeSpec, ConnectivityProbeStatus};
use sreg_probe::{Attempt, Via};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::path_results::{PathResults, Question, Sweep};
use super::publish::{Desk, PublishError};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The last status that the cluster is known to hold: set by the watch and after each write.
pub(super) type Published = Arc<watch::Sender<Option<ConnectivityProbeStatus>>>;

/// One probe's worker. All it shares with others is the number of attempts under way.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) desk: Desk,
    pub(super) via: Arc<Via>,
    pub(super) attempt_timeout: Duration,
    pub(super) attempts: Arc<Semaphore>,
    pub(super) questions: watch::Receiver<Question>,
    pub(super) published: Published,
    pub(super) stop: CancellationToken,
}

/// How a rest ended.
enum Rest {
    Over,
    Asked,
    Stopped,
}

impl Worker {
    /// Runs until stopped.
    pub(super) async fn run(self) {
        let mut questions = self.questions.clone();
        let mut pace = Pace {
            not_before: Instant::now(),
            backoff: FIRST_BACKOFF,
        };
        let first = questions.borrow_and_update().clone();
        let mut path_results = PathResults::new(first, self.published.borrow().as_ref());
        loop {
            let began = Instant::now();
            let question = path_results.question();
            let next = began + interval(question);
            let rest = tokio::select! {
                biased;
                () = self.stop.cancelled() => Rest::Stopped,
                asked = questions.changed() => asked.map_or(Rest::Stopped, |()| Rest::Asked),
                attempts = self.sweep(question) => {
                    let sweep = Sweep { generation: question.generation, attempts };
                    path_results.take(&sweep, Timestamp::now());
                    self.rest(&path_results, &mut questions, &mut pace, next).await
                }
            };
            match rest {
                Rest::Over => {}
                Rest::Asked => path_results.ask(questions.borrow_and_update().clone()),
                Rest::Stopped => return,
            }
        }
    }

    /// One attempt at every path, as many at once as the agent allows.
    async fn sweep(&self, question: &Question) -> Vec<Attempt> {
        let servers = match dns_servers(&question.spec) {
            Ok(servers) => servers,
            Err(told) => return question.spec.paths.iter().map(|_| told.clone()).collect(),
        };
        let servers = &servers;
        let attempts = question.spec.paths.iter().map(|path| async move {
            // Waiting for a turn does not count against the attempt. The semaphore is never closed.
            let _turn = self.attempts.acquire().await;
            let attempt = sreg_probe::attempt(&self.via, servers, path, self.attempt_timeout).await;
            tracing::debug!(fqdn = %path.fqdn, outcome = attempt.outcome.as_str(), hop = attempt.hop.map(|hop| hop.to_string()), message = %attempt.message, "attempt");
            attempt
        });
        join_all(attempts).await
    }

    /// Publishes what is new and waits until `next`. A write that fails is tried again here, and after later sweeps: the
    /// next write says all that the lost one would have said.
    async fn rest(
        &self,
        path_results: &PathResults,
        questions: &mut watch::Receiver<Question>,
        pace: &mut Pace,
        next: Instant,
    ) -> Rest {
        loop {
            let unpublished = path_results.unpublished(self.published.borrow().as_ref());
            let (wake, write) = match unpublished {
                Some(status) if Instant::now() >= pace.not_before => (Instant::now(), Some(status)),
                Some(_) => (next.min(pace.not_before), None),
                None => (next, None),
            };
            let step = async {
                match write {
                    Some(status) => pace.note(self.publish(status).await),
                    None => tokio::time::sleep_until(wake).await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Rest::Stopped,
                asked = questions.changed() => return asked.map_or(Rest::Stopped, |()| Rest::Asked),
                () = step => {}
            }
            if wake >= next {
                return Rest::Over;
            }
        }
    }

    async fn publish(&self, status: ConnectivityProbeStatus) -> Result<(), PublishError> {
        self.desk.publish(&status).await?;
        self.published.send_replace(Some(status));
        Ok(())
    }
}

/// The DNS servers that a probe names; one that is no address leaves nothing to say of any path.
fn dns_servers(spec: &ConnectivityProbeSpec) -> Result<Vec<SocketAddr>, Attempt> {
    let mut servers = Vec::new();
    for text in &spec.dns_servers {
        let Ok(address) = text.parse::<IpAddr>() else {
            let why = format!("not tried: the probe names DNS server {text:?}, which is no address");
            return Err(Attempt::not_tried(why));
        };
        servers.push(SocketAddr::new(address, 53));
    }
    Ok(servers)
}

fn interval(question: &Question) -> Duration {
    Duration::from_millis(u64::try_from(question.spec.interval_milliseconds).unwrap_or(0)).max(SHORTEST_INTERVAL)
}

/// When the next write may be tried: at once, or after a pause that doubles with every failure.
struct Pace {
    not_before: Instant,
    backoff: Duration,
}

impl Pace {
    fn note(&mut self, written: Result<(), PublishError>) {
        match written {
            Ok(()) => {
                *self = Pace {
                    not_before: Instant::now(),
                    backoff: FIRST_BACKOFF,
                }
            }
            Err(error) => {
                tracing::warn!(%error, "status not written, trying again");
                self.not_before = Instant::now() + self.backoff.mul_f64(rand::random_range(0.5..1.0));
                self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }
}
