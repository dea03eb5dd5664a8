//! One HTTP/1.1 request over a stream that is there already: no pool, no redirect, at most 16 KiB of body.

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use sreg_api::probe::ProbeService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::Stop;

const LONGEST_BODY: usize = 16 * 1024;

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The beginning of the body; empty when it did not come in time.
    pub(crate) body: String,
}

/// Puts the service's first question to `fqdn` and reads the answer.
pub(crate) async fn exchange<S>(
    stream: S,
    (service, fqdn): (ProbeService, &str),
    storage_version: &str,
    until: Instant,
) -> Result<ServiceAnswer, Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = question(service, fqdn, storage_version)
        .map_err(|error| Stop::unknown(format!("not tried: no HTTP request can be made for {fqdn}: {error}")))?;
    // Dropped with this function, and the connection with it, however the exchange ends.
    let mut connection = JoinSet::new();
    let asked = async {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        connection.spawn(async move {
            if let Err(error) = driver.await {
                tracing::trace!(%error, "probe connection ended");
            }
        });
        sender.send_request(request).await
    };
    match timeout_at(until, asked).await {
        Ok(Ok(response)) => {
            let (head, body) = response.into_parts();
            let body = String::from_utf8_lossy(&read(body, until).await).into_owned();
            Ok(ServiceAnswer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        }
        Ok(Err(error)) => Err(Stop::failed(format!(
            "TLS is up, but {fqdn} gives no HTTP answer: {error}"
        ))),
        // Like 5xx: the network let us through, the service did not say anything.
        Err(_) => Err(Stop::unknown(format!(
            "TLS is up, but {fqdn} gives no HTTP answer in time"
        ))),
    }
}

/// The question of each service that tells most without a token (`verdict` reads the answers).
fn question(service: ProbeService, fqdn: &str, storage_version: &str) -> http::Result<Request<Empty<Bytes>>> {
    let path = match service {
        ProbeService::Registry => "/registrymanagement/v1.0/registries/ping",
        ProbeService::Blob => "/?comp=list",
        ProbeService::Dfs => "/?resource=account",
        ProbeService::ContainerRegistry => "/v2/",
        ProbeService::ContainerRegistryData => "/",
    };
    let mut request = Request::get(path)
        .header("host", fqdn)
        .header(
            "user-agent",
            concat!("secure-registry-probe/", env!("CARGO_PKG_VERSION")),
        )
        .header("accept", "*/*")
        .header("connection", "close");
    if matches!(service, ProbeService::Blob | ProbeService::Dfs) {
        request = request.header("x-ms-version", storage_version);
    }
    request.body(Empty::new())
}

async fn read(mut body: Incoming, until: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_BODY {
        let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await else {
            break;
        };
        bytes.extend(frame.into_data().unwrap_or_default());
    }
    bytes.truncate(LONGEST_BODY);
    bytes
}
