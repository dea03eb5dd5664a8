//! Liveness, readiness and leadership are three questions. `/livez`: does this process still answer? `/readyz`: could it do
//! its work? That is a fixed set of gates, known before anything starts, so that the first scrape already names what is
//! missing; a standby is as ready as the leader. `/metrics`: everything counted. Served from before leadership is won until
//! the process ends, over HTTP/1.1, one request a connection; what a client may cost is bounded (`health/connections.rs`).
//!
//! | path | answer |
//! | --- | --- |
//! | `/livez` | `200 ok` |
//! | `/readyz` | `200` if every gate is open, else `503`; a line per gate either way |
//! | `/metrics` | OpenMetrics text |

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use strum::IntoStaticStr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

mod connections;

use connections::Limits;

/// What readiness depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Gate {
    /// The API server serves our kinds.
    Crds,
    /// Azure accepts our identity.
    AzureCredential,
    /// The agent in this process knows its place, watches its probes and holds its Lease.
    VantagePoint,
}

/// How the process is doing. Written by whoever answers for a gate, read by the server.
#[derive(Debug)]
pub struct Health {
    gates: Mutex<Vec<(Gate, GateState)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GateState {
    Open,
    Closed(String),
}

impl Health {
    /// All gates closed: nothing was tried yet.
    pub fn new(gates: impl IntoIterator<Item = Gate>) -> Health {
        let closed = |gate| (gate, GateState::Closed("not tried yet".to_owned()));
        Health {
            gates: Mutex::new(gates.into_iter().map(closed).collect()),
        }
    }

    /// The gate is open. One that was not named at the start is ignored.
    pub fn open(&self, gate: Gate) {
        self.set(gate, GateState::Open);
    }

    /// The gate is closed, for a reason that a person can do something about.
    pub fn close(&self, gate: Gate, why: impl Into<String>) {
        self.set(gate, GateState::Closed(why.into()));
    }

    /// Whether every gate is open.
    pub fn is_ready(&self) -> bool {
        self.gates().iter().all(|(_, standing)| *standing == GateState::Open)
    }

    fn set(&self, gate: Gate, to: GateState) {
        for (_, standing) in self.gates().iter_mut().filter(|(known, _)| *known == gate) {
            standing.clone_from(&to);
        }
    }

    fn gates(&self) -> std::sync::MutexGuard<'_, Vec<(Gate, GateState)>> {
        // Each write replaces one value: a panic elsewhere leaves nothing half-done.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (gate, standing) in self.gates().iter() {
            let name: &str = (*gate).into();
            // Writing to a string does not fail.
            match standing {
                GateState::Open => writeln!(text, "{name}: ok"),
                GateState::Closed(why) => writeln!(text, "{name}: {why}"),
            }
            .ok();
        }
        text
    }
}

/// Why the server could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The address cannot be listened at.
    #[error("listen for health requests at {address}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A server that listens already and does not answer yet.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl HealthServer {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(address: SocketAddr) -> Result<HealthServer, HealthError> {
        let failed = |source| HealthError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(HealthServer { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn serve(self, health: Arc<Health>, metrics: Arc<Metrics>, stop: CancellationToken) {
        // Not gracefully: a client that keeps its connection would hold up the end of the process.
        tokio::select! {
            never = connections::serve(&self.listener, router(health, metrics), Limits::default()) => match never {},
            () = stop.cancelled() => {}
        }
    }
}

fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    let observed = Router::new().route("/metrics", get(scrape)).with_state(metrics);
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(observed)
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, health.describe())
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(health: &Arc<Health>, path: &str) -> (StatusCode, String) {
        let router = router(Arc::clone(health), Arc::new(Metrics::new()));
        let answer = router
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_from_the_first_request_on() {
        let health = Arc::new(Health::new([Gate::Crds, Gate::AzureCredential]));
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(
            ask(&health, "/readyz").await,
            (
                unavailable,
                "crds: not tried yet\nazure-credential: not tried yet\n".into()
            )
        );
        health.open(Gate::Crds);
        health.close(Gate::AzureCredential, "fetch a token: AADSTS700016");
        assert_eq!(
            ask(&health, "/readyz").await,
            (
                unavailable,
                "crds: ok\nazure-credential: fetch a token: AADSTS700016\n".into()
            )
        );
        health.open(Gate::AzureCredential);
        assert_eq!(
            ask(&health, "/readyz").await,
            (StatusCode::OK, "crds: ok\nazure-credential: ok\n".into())
        );
        health.close(Gate::Crds, "gone again");
        assert_eq!(ask(&health, "/readyz").await.0, unavailable);
    }

    #[tokio::test]
    async fn a_gate_that_nobody_asked_for_changes_nothing() {
        let health = Arc::new(Health::new([Gate::Crds]));
        health.open(Gate::Crds);
        health.close(Gate::VantagePoint, "no agent here");
        assert_eq!(ask(&health, "/readyz").await, (StatusCode::OK, "crds: ok\n".into()));
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_is_alive_and_shows_its_metrics() {
        let health = Arc::new(Health::new([Gate::Crds]));
        assert_eq!(ask(&health, "/livez").await, (StatusCode::OK, "ok\n".into()));
        let (status, text) = ask(&health, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            text.contains("secureregistry_leader 0") && text.ends_with("# EOF\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn it_answers_over_http_until_it_is_told_to_stop() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let server = HealthServer::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = server.address();
        let taken = HealthServer::bind(address).await.unwrap_err();
        assert_eq!(taken.to_string(), format!("listen for health requests at {address}"));

        let stop = CancellationToken::new();
        let health = Arc::new(Health::new([]));
        let serving = tokio::spawn(server.serve(health, Arc::new(Metrics::new()), stop.clone()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
        // A connection is still open.
        stop.cancel();
        serving.await.unwrap();
    }
}
