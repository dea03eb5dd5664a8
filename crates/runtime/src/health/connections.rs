//! The connections of the health port. In goes a listener that anybody in the cluster may reach, out come answers for whoever asks
//! quickly: a client that is slow, idle or one of very many costs little, and never keeps another from its answer.
//!
//! | a client | ends in |
//! | --- | --- |
//! | says nothing, or its headers drop by drop | closed after [`Limits::headers`] |
//! | does not take its answer, or the answer does not come | closed after [`Limits::whole`] |
//! | sends long headers, or very many | `431` |
//! | sends a body | nobody reads it |
//! | opens more connections than there is room for | the one that has been open for longest makes room |

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What one client may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the headers are complete, from the first moment of the connection.
    pub(super) headers: Duration,
    /// For the whole connection, which carries one request: a probe or a scrape that takes longer was given up by its sender.
    pub(super) whole: Duration,
    /// Connections at once. Each node's kubelet has one or two, each Prometheus one.
    pub(super) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            headers: Duration::from_secs(5),
            whole: Duration::from_secs(10),
            connections: 64,
        }
    }
}

/// Bytes and number of a request's headers; those of a probe are some two hundred bytes in five lines.
const MOST_HEADER_BYTES: usize = 8 << 10;
const MOST_HEADERS: usize = 32;
/// What is read ahead of one connection.
const MOST_READ_AHEAD: usize = 16 << 10;

/// Where no connection can be taken on at all, such as without file descriptors, the next try is this much later.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped, and with it every connection.
pub(super) async fn serve(listener: &TcpListener, router: Router, limits: Limits) -> Infallible {
    let mut tasks = JoinSet::new();
    // Oldest first.
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        while tasks.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        match accepted {
            Ok((stream, _)) => {
                make_room(&mut open, limits.connections);
                open.push_back(tasks.spawn(answer(stream, router.clone(), limits)));
            }
            Err(error) if is_of_that_client(error.kind()) => {}
            Err(error) => {
                tracing::warn!(%error, "take on a connection to the health port");
                make_room(&mut open, 1);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Closes the oldest until one more is within `most`. Whoever asks honestly is answered within milliseconds: those that are old are slow.
fn make_room(open: &mut VecDeque<AbortHandle>, most: usize) {
    while open.len() >= most.max(1) {
        if let Some(oldest) = open.pop_front() {
            oldest.abort();
        }
    }
}

/// It was gone again before it was taken on.
fn is_of_that_client(kind: ErrorKind) -> bool {
    [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::Interrupted,
    ]
    .contains(&kind)
}

/// One connection with one request. What goes wrong with it is its client's affair.
async fn answer(stream: TcpStream, router: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .keep_alive(false)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEADER_BYTES)
        .max_buf_size(MOST_READ_AHEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(limits.whole, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a health request was not answered"),
        Err(_) => tracing::debug!("a health request took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use axum::body::Body;
    use axum::routing::get;
    use bytes::Bytes;
    use futures::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// Longer than anything here takes, and what a limit is set to that must not be what ends it.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    fn patient() -> Limits {
        Limits {
            headers: LONG * 10,
            whole: LONG * 10,
            connections: 64,
        }
    }

    async fn serving(router: Router, limits: Limits) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router.route("/livez", get(|| async { "ok\n" }));
        let task = tokio::spawn(async move {
            serve(&listener, router, limits).await;
        });
        (address, AbortOnDropHandle::new(task))
    }

    async fn connect(address: SocketAddr, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream
    }

    /// All that the server says until it closes; closing by a reset, because it had not read all, is closing too.
    async fn until_closed(mut stream: TcpStream) -> String {
        let mut heard = Vec::new();
        let read = tokio::time::timeout(LONG, stream.read_to_end(&mut heard)).await;
        if let Err(error) = read.expect("the server keeps the connection open") {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        String::from_utf8(heard).unwrap()
    }

    async fn lives(address: SocketAddr) {
        let heard = until_closed(connect(address, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
        assert!(
            heard.starts_with("HTTP/1.1 200 OK") && heard.ends_with("ok\n"),
            "{heard}"
        );
    }

    #[tokio::test]
    async fn who_is_slow_with_headers_or_says_nothing_is_closed_and_disturbs_nobody() {
        let limits = Limits {
            headers: SHORT,
            ..patient()
        };
        let (address, _server) = serving(Router::new(), limits).await;
        let idle = connect(address, "").await;
        let slow = connect(address, "GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ").await;
        lives(address).await;
        assert_eq!(until_closed(idle).await, "");
        let heard = until_closed(slow).await;
        assert!(!heard.contains("200"), "{heard}");
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_that_does_not_come_is_closed() {
        let limits = Limits {
            whole: SHORT,
            ..patient()
        };
        let router = Router::new().route("/never", get(std::future::pending::<()>));
        let (address, _server) = serving(router, limits).await;
        let waiting = connect(address, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
        lives(address).await;
        assert_eq!(until_closed(waiting).await, "");
    }

    /// An answer without end, which says when nobody sends it any more.
    struct Endless(Arc<Notify>);

    impl Stream for Endless {
        type Item = Result<Bytes, Infallible>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(Bytes::from_static(&[b'x'; 4096]))))
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[tokio::test]
    async fn who_does_not_take_its_answer_is_closed() {
        let limits = Limits {
            whole: SHORT,
            ..patient()
        };
        let dropped = Arc::new(Notify::new());
        let tell = Arc::clone(&dropped);
        let endless = move || async move { Body::from_stream(Endless(tell)) };
        let (address, _server) = serving(Router::new().route("/endless", get(endless)), limits).await;
        let _reads_nothing = connect(address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        lives(address).await;
        let ended = tokio::time::timeout(LONG, dropped.notified()).await;
        ended.expect("the answer is still being sent");
    }

    #[tokio::test]
    async fn however_many_hold_a_connection_whoever_asks_is_answered() {
        let limits = Limits {
            connections: 4,
            ..patient()
        };
        let (address, _server) = serving(Router::new(), limits).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(connect(address, "GET /livez HT").await);
            lives(address).await;
        }
        // The oldest made room; the youngest may still be slow. Between them it depends on when an answered one was seen to be over.
        let newest = held.split_off(18);
        held.truncate(16);
        for stream in held {
            assert_eq!(until_closed(stream).await, "");
        }
        for mut stream in newest {
            stream.write_all(b"TP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let heard = until_closed(stream).await;
            assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard}");
        }
    }

    #[tokio::test]
    async fn long_headers_are_refused_and_a_body_is_not_read() {
        let (address, _server) = serving(Router::new(), patient()).await;
        let long = format!(
            "GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "x".repeat(MOST_HEADER_BYTES)
        );
        let many = format!(
            "GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x: y\r\n".repeat(MOST_HEADERS)
        );
        for request in [long, many] {
            let heard = until_closed(connect(address, &request).await).await;
            assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
        }
        let announced = "POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\nxxxx";
        let heard = until_closed(connect(address, announced).await).await;
        assert!(heard.starts_with("HTTP/1.1 405 "), "{heard}");
        lives(address).await;
    }
}
