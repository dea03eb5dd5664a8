//! A client of the running data plane: SOCKS5, DNS by UDP and TCP, TLS and HTTP over real sockets, as agents and people
//! have them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fast_socks5::client::{Config, Socks5Datagram, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, SocksError};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::*;
use crate::CertificateAuthority;
use crate::data_plane::{DataPlaneFault, Effect, Running, start};
use crate::journal::{Entry, StreamEntry};

/// No step of a test may take longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// How long a silence is listened to before it counts as one.
const SILENCE: Duration = Duration::from_millis(500);

pub(super) struct Azure {
    pub(super) sim: Simulator,
    pub(super) ca: Arc<CertificateAuthority>,
    pub(super) running: Running,
}

#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

/// The hop at which a request failed.
#[derive(Debug)]
pub(super) enum Failed {
    TooLate,
    Proxy(ReplyError),
    Tls(rustls::Error),
    Other(String),
}

impl Azure {
    pub(super) async fn of(world: World) -> Azure {
        let sim = simulator(world);
        let ca = Arc::new(CertificateAuthority::new().unwrap());
        let running = start(sim.clone(), ca.clone()).await.unwrap();
        Azure { sim, ca, running }
    }

    pub(super) fn agents(&self, network: &str) -> SocketAddr {
        self.running.networks[network].socks5
    }

    pub(super) fn people(&self, network: &str) -> SocketAddr {
        self.running.networks[network].curl_proxy
    }

    pub(super) fn fault(&self, network: &str, host: &str, effect: Effect) {
        let fault = DataPlaneFault {
            network: Some(network.into()),
            host: Some(host.into()),
            effect,
            times: None,
        };
        self.running.faults().add(fault);
    }

    pub(super) async fn stream(&self, proxy: SocketAddr, target: TargetAddr) -> Result<TcpStream, Failed> {
        let socket = TcpStream::connect(proxy).await.unwrap();
        let mut socks = Socks5Stream::use_stream(socket, None, Config::default()).await.unwrap();
        match timeout(DEADLINE, socks.request(Socks5Command::TCPConnect, target)).await {
            Err(_) => Err(Failed::TooLate),
            Ok(Ok(_)) => Ok(socks.get_socket()),
            Ok(Err(SocksError::ReplyError(error))) => Err(Failed::Proxy(error)),
            Ok(Err(other)) => Err(Failed::Other(other.to_string())),
        }
    }

    /// GET as a probe does it: the given address, the name in SNI and Host.
    pub(super) async fn get(&self, network: &str, address: Ipv4Addr, name: &str, path: &str) -> Result<Got, Failed> {
        let target = TargetAddr::Ip(SocketAddr::new(IpAddr::V4(address), 443));
        let stream = self.stream(self.agents(network), target).await?;
        timeout(DEADLINE, self.request(stream, name, path))
            .await
            .map_err(|_| Failed::TooLate)?
    }

    pub(super) async fn request(&self, stream: TcpStream, name: &str, path: &str) -> Result<Got, Failed> {
        let other = |error: &dyn std::fmt::Display| Failed::Other(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = name.to_owned().try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(server, stream)
            .await
            .map_err(
                |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(tls) => Failed::Tls(tls.clone()),
                    None => other(&error),
                },
            )?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| other(&e))?;
        let request = Request::get(path)
            .header("host", name)
            .header("x-ms-version", "2021-08-06");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| other(&e))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| other(&e))?.to_bytes();
            drop(sender);
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Got {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        let (got, _) = tokio::join!(exchange, connection);
        got
    }

    pub(super) async fn ask_tcp(&self, network: &str, server: Ipv4Addr, name: &str) -> Result<Message, Failed> {
        let target = TargetAddr::Ip(SocketAddr::new(IpAddr::V4(server), 53));
        let mut stream = self.stream(self.agents(network), target).await?;
        let question = question(name);
        let exchange = async {
            stream.write_u16(u16::try_from(question.len()).unwrap()).await?;
            stream.write_all(&question).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(DEADLINE, exchange).await.map_err(|_| Failed::TooLate)?.unwrap();
        Ok(Message::from_vec(&answer).unwrap())
    }

    pub(super) async fn ask_udp(&self, network: &str, server: Ipv4Addr, name: &str) -> Result<Message, Failed> {
        self.send_udp(network, server, &question(name)).await
    }

    pub(super) async fn send_udp(&self, network: &str, server: Ipv4Addr, question: &[u8]) -> Result<Message, Failed> {
        let socket = TcpStream::connect(self.agents(network)).await.unwrap();
        let datagrams = Socks5Datagram::bind(socket, "127.0.0.1:0").await.unwrap();
        datagrams
            .send_to(question, SocketAddr::new(IpAddr::V4(server), 53))
            .await
            .unwrap();
        let mut buffer = [0; 4096];
        let (length, from) = timeout(DEADLINE, datagrams.recv_from(&mut buffer))
            .await
            .map_err(|_| Failed::TooLate)?
            .unwrap();
        assert_eq!(from, TargetAddr::Ip(SocketAddr::new(IpAddr::V4(server), 53)));
        Ok(Message::from_vec(&buffer[..length]).unwrap())
    }

    fn streams(&self) -> Vec<StreamEntry> {
        let records = self.sim.journal().snapshot().into_iter();
        records
            .filter_map(|r| {
                if let Entry::Stream(stream) = r.entry {
                    Some(stream)
                } else {
                    None
                }
            })
            .collect()
    }

    /// Waits until the journal holds such a stream.
    pub(super) async fn journal_shows(&self, wanted: impl Fn(&StreamEntry) -> bool) {
        let start = Instant::now();
        while !self.streams().iter().any(&wanted) {
            assert!(start.elapsed() < DEADLINE, "not in the journal: {:?}", self.streams());
            tokio::task::yield_now().await;
        }
    }
}

/// Whether an attempt is still without any answer after a while.
pub(super) async fn is_silent<T>(attempt: impl Future<Output = T>) -> bool {
    timeout(SILENCE, attempt).await.is_err()
}

pub(super) fn question(name: &str) -> Vec<u8> {
    question_of(name, RecordType::A)
}

pub(super) fn question_of(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

pub(super) fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    message
        .answers
        .iter()
        .filter_map(|r| if let RData::A(a) = &r.data { Some(a.0) } else { None })
        .collect()
}
