//! The TLS front ends behind the addresses, straight on the client's stream: a certificate for the public names served
//! at the address reached, then HTTP/1.1. One journal entry for each request, one for a stream that never came so far.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::faults::{Effect, Moment};
use super::http_answers::{HttpAnswer, answer_http};
use super::routing::{Leg, Served};
use super::{Plane, Port};
use crate::certificates::{CertificateAuthority, CertificateError};
use crate::journal::{self, Entry, StreamEntry};

/// A client that takes longer for its handshake, or for the head of a request, is dropped.
const PATIENCE: Duration = Duration::from_secs(30);
/// An address with more names than this shows a certificate for the name asked for only.
const NAMES_PER_CERTIFICATE: usize = 16;

/// A stream that has reached a front end.
#[derive(Debug)]
struct Arrival {
    port: Port,
    address: SocketAddr,
    served: Served,
    sni: Option<String>,
    answered: AtomicBool,
}

/// Serves one stream to its end.
pub(super) async fn serve(port: Port, stream: TcpStream, address: SocketAddr, served: Served) {
    let mut arrival = Arrival {
        port,
        address,
        served,
        sni: None,
        answered: AtomicBool::new(false),
    };
    let Some(stream) = handshake(&mut arrival, stream).await else {
        arrival.record(None, "tlsFailed");
        return;
    };
    let arrival = Arc::new(arrival);
    let service = service_fn(|request: Request<Incoming>| {
        let arrival = arrival.clone();
        async move { Ok::<_, Infallible>(arrival.answer(request)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(network = %arrival.port.network, %error, "an HTTP connection ended early");
    }
    if !arrival.answered.load(Ordering::Relaxed) {
        arrival.record(None, "closed");
    }
}

/// TLS up to the point where both sides agree; `None` when they do not.
async fn handshake(arrival: &mut Arrival, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let greeting = timeout(PATIENCE, LazyConfigAcceptor::new(Acceptor::default(), stream))
        .await
        .ok()?;
    let start = greeting
        .inspect_err(|error| tracing::debug!(%error, "read a client's hello"))
        .ok()?;
    arrival.sni = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let config = arrival
        .tls_config()
        .inspect_err(|error| tracing::warn!(%error, "show a certificate"))
        .ok()?;
    let stream = timeout(PATIENCE, start.into_stream(config)).await.ok()?;
    stream.inspect_err(|error| tracing::debug!(%error, "agree on TLS")).ok()
}

impl Arrival {
    fn strike(&self, moment: Moment) -> Option<Effect> {
        let address = self.address.ip().to_string();
        let hosts = std::iter::once(address.as_str()).chain(self.served.fqdns.iter().map(String::as_str));
        self.port.plane.faults.strike(moment, &self.port.network, hosts)
    }

    fn tls_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let names = self.names_to_show();
        match self.strike(Moment::Handshake) {
            Some(Effect::WrongCertificate) => self
                .port
                .plane
                .ca
                .server_config(&["inspection-proxy.example".to_owned()])
                .map(with_http),
            Some(Effect::ForeignAuthority) => CertificateAuthority::new()?.server_config(&names).map(with_http),
            _ => self.port.plane.config_for(&names),
        }
    }

    fn names_to_show(&self) -> Vec<String> {
        let names = &self.served.fqdns;
        if names.len() <= NAMES_PER_CERTIFICATE {
            return names.clone();
        }
        let asked = self.sni.as_ref().filter(|sni| names.contains(sni));
        asked.or(names.first()).cloned().into_iter().collect()
    }

    fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, _) = request.into_parts();
        let plane = &self.port.plane;
        let answer = match self.strike(Moment::Request) {
            Some(Effect::Http(fault)) => {
                let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let answer = HttpAnswer::new(status, "text/plain", "injected fault");
                match fault.retry_after {
                    Some(seconds) => answer.with(http::header::RETRY_AFTER, &seconds.to_string()),
                    None => answer,
                }
            }
            Some(Effect::ForeignService) => {
                let page = "<html><head><title>Sign in</title></head><body>Web gateway: please sign in.</body></html>";
                HttpAnswer::new(StatusCode::OK, "text/html", page).with(http::header::SERVER, "gateway")
            }
            _ => {
                let now = plane.sim.now();
                let denial = plane.faults.registry_denial();
                plane
                    .sim
                    .with_world(|world| answer_http(world, now, &self.served, &head, denial))
            }
        };
        self.answered.store(true, Ordering::Relaxed);
        self.record(Some((&head, answer.status)), "answered");
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    fn record(&self, request: Option<(&http::request::Parts, StatusCode)>, outcome: &str) {
        self.port.plane.sim.journal().record(Entry::Stream(StreamEntry {
            network: self.port.network.to_string(),
            address: self.address.ip(),
            port: self.address.port(),
            leg: match self.served.leg {
                Leg::Endpoint { .. } => journal::Leg::Endpoint,
                Leg::Public { .. } => journal::Leg::Public,
            },
            target: self.served.target.clone(),
            sni: self.sni.clone(),
            http_method: request.map(|(head, _)| head.method.to_string()),
            http_path: request.map(|(head, _)| head.uri.path().to_owned()),
            http_status: request.map(|(_, status)| status.as_u16()),
            outcome: outcome.to_owned(),
        }));
    }
}

impl Plane {
    /// Serves the control plane under one of the cloud's own names, to the end of the stream.
    pub(super) async fn serve_control_plane(&self, stream: TcpStream, name: String) -> anyhow::Result<()> {
        let mut config = self.ca.server_config(&[name])?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let served = crate::exchange::exchange(self.sim.clone(), stream, Arc::new(config).into());
        served.await.context("serve the control plane")
    }

    /// The TLS configuration for these names, made at the first use.
    fn config_for(&self, names: &[String]) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut configs = self.configs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(config) = configs.get(names) {
            return Ok(config.clone());
        }
        let config = self.ca.server_config(names).map(with_http)?;
        configs.insert(names.to_vec(), config.clone());
        Ok(config)
    }
}

fn with_http(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
