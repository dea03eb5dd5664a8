//! One client's stream to the control plane: TLS, then HTTP/1.1 or HTTP/2, each request answered by the simulator.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::simulator::{ConnectionDropped, Simulator};

/// Bodies above this are refused.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Requests to the control plane on one stream, until it ends or an answer is dropped.
pub(crate) async fn exchange(simulator: Simulator, stream: TcpStream, tls: TlsAcceptor) -> std::io::Result<()> {
    stream.set_nodelay(true).ok();
    let stream = tls.accept(stream).await?;
    let cut = CancellationToken::new();
    let service = service_fn(|request| answer(simulator.clone(), cut.clone(), request));
    let server = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        served = server.serve_connection(TokioIo::new(stream), service) => served.map_err(std::io::Error::other),
        () = cut.cancelled() => Ok(()),
    }
}

/// One exchange. A dropped answer cuts the whole connection, as a broken line would.
async fn answer(
    simulator: Simulator,
    cut: CancellationToken,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    };
    let response = simulator.handle(Request::from_parts(parts, body.to_bytes())).await;
    if response.extensions().get::<ConnectionDropped>().is_some() {
        cut.cancel();
        std::future::pending::<()>().await;
    }
    Ok(response.map(Full::new))
}
