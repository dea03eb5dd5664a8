//! The data plane over real sockets: SOCKS5, DNS by UDP and TCP, TLS and HTTP, as agents and people use it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fast_socks5::client::{Config, Socks5Datagram, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, SocksError};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::*;
use crate::data_plane::{AZURE_DNS, DataPlaneFault, Effect, HttpFault, Running, start};
use crate::journal::{Entry, Leg, StreamEntry};
use crate::{CertificateAuthority, Simulator};

/// No step of a test may take longer.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a silence is listened to before it counts as one.
const SILENCE: Duration = Duration::from_millis(300);

struct Azure {
    sim: Simulator,
    ca: Arc<CertificateAuthority>,
    running: Running,
}

#[derive(Debug)]
struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

/// The hop at which a request failed.
#[derive(Debug)]
enum Failed {
    Silence,
    Proxy(ReplyError),
    Tls(rustls::Error),
    Other(String),
}

impl Azure {
    async fn of(world: World) -> Azure {
        let sim = simulator(world);
        let ca = Arc::new(CertificateAuthority::new().unwrap());
        let running = start(sim.clone(), ca.clone()).await.unwrap();
        Azure { sim, ca, running }
    }

    fn agents(&self, network: &str) -> SocketAddr {
        self.running.networks[network].socks5
    }

    fn people(&self, network: &str) -> SocketAddr {
        self.running.networks[network].curl_proxy
    }

    fn fault(&self, network: &str, host: &str, effect: Effect) {
        let fault = DataPlaneFault {
            network: Some(network.into()),
            host: Some(host.into()),
            effect,
            times: None,
        };
        self.running.faults().add(fault);
    }

    async fn stream(&self, proxy: SocketAddr, target: TargetAddr) -> Result<TcpStream, Failed> {
        let socket = TcpStream::connect(proxy).await.unwrap();
        let mut socks = Socks5Stream::use_stream(socket, None, Config::default()).await.unwrap();
        match timeout(SILENCE * 3, socks.request(Socks5Command::TCPConnect, target)).await {
            Err(_) => Err(Failed::Silence),
            Ok(Ok(_)) => Ok(socks.get_socket()),
            Ok(Err(SocksError::ReplyError(error))) => Err(Failed::Proxy(error)),
            Ok(Err(other)) => Err(Failed::Other(other.to_string())),
        }
    }

    /// GET as a probe does it: the given address, the name in SNI and Host.
    async fn get(&self, network: &str, address: Ipv4Addr, name: &str, path: &str) -> Result<Got, Failed> {
        let target = TargetAddr::Ip(SocketAddr::new(IpAddr::V4(address), 443));
        let stream = self.stream(self.agents(network), target).await?;
        timeout(DEADLINE, self.request(stream, name, path))
            .await
            .map_err(|_| Failed::Silence)?
    }

    async fn request(&self, stream: TcpStream, name: &str, path: &str) -> Result<Got, Failed> {
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

    async fn ask_tcp(&self, network: &str, server: Ipv4Addr, name: &str) -> Result<Message, Failed> {
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
        let answer = timeout(SILENCE * 3, exchange)
            .await
            .map_err(|_| Failed::Silence)?
            .unwrap();
        Ok(Message::from_vec(&answer).unwrap())
    }

    async fn ask_udp(&self, network: &str, server: Ipv4Addr, name: &str) -> Result<Message, Failed> {
        let socket = TcpStream::connect(self.agents(network)).await.unwrap();
        let datagrams = Socks5Datagram::bind(socket, "127.0.0.1:0").await.unwrap();
        datagrams
            .send_to(&question(name), SocketAddr::new(IpAddr::V4(server), 53))
            .await
            .unwrap();
        let mut buffer = [0; 4096];
        let (length, from) = timeout(SILENCE * 3, datagrams.recv_from(&mut buffer))
            .await
            .map_err(|_| Failed::Silence)?
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
    async fn journal_shows(&self, wanted: impl Fn(&StreamEntry) -> bool) {
        let start = Instant::now();
        while !self.streams().iter().any(&wanted) {
            assert!(start.elapsed() < DEADLINE, "not in the journal: {:?}", self.streams());
            tokio::task::yield_now().await;
        }
    }
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    message
        .answers
        .iter()
        .filter_map(|r| if let RData::A(a) = &r.data { Some(a.0) } else { None })
        .collect()
}

fn closed() -> World {
    let mut world = private_world();
    for target in [STORAGE, ACR, REGISTRY] {
        change(&mut world, target, "/properties/publicNetworkAccess", json!("Disabled"));
    }
    world
}

#[tokio::test]
async fn after_the_lock_the_private_leg_serves_and_the_public_leg_is_denied_in_http_only() {
    let azure = Azure::of(closed()).await;
    let private = azure.get("spoke", BLOB_PRIVATE, BLOB, "/").await.unwrap();
    assert_eq!(private.status, 401);
    assert_eq!(private.headers["x-ms-error-code"], "NoAuthenticationInformation");
    let public = azure.get("internet", BLOB_PUBLIC, BLOB, "/").await.unwrap();
    assert_eq!((public.status, public.body.len()), (403, 246));
    let login = Ipv4Addr::new(20, 60, 2, 1);
    let denied = azure.get("hub", login, LOGIN, "/v2/").await.unwrap();
    assert!(
        denied.status == 403
            && denied
                .body
                .contains("client with IP '203.0.113.1' is not allowed access"),
        "{denied:?}"
    );
    azure
        .journal_shows(|s| {
            (s.network.as_str(), s.leg, s.sni.as_deref(), s.http_status)
                == ("spoke", Leg::Endpoint, Some(BLOB), Some(401))
                && s.target == Some(key(STORAGE))
        })
        .await;
    azure
        .journal_shows(|s| {
            (s.network.as_str(), s.leg, s.http_path.as_deref(), s.http_status)
                == ("hub", Leg::Public, Some("/v2/"), Some(403))
        })
        .await;
    azure.running.shutdown().await;
}

#[tokio::test]
async fn a_vnet_that_is_not_involved_resolves_and_connects_publicly_while_others_go_private() {
    let azure = Azure::of(private_world()).await;
    let answer = azure.ask_udp("lonely", AZURE_DNS, BLOB).await.unwrap();
    assert_eq!(addresses(&answer), [BLOB_PUBLIC]);
    assert_eq!(answer.answers.len(), 3, "two aliases and an address");
    assert_eq!(azure.get("lonely", BLOB_PUBLIC, BLOB, "/").await.unwrap().status, 401);
    assert!(matches!(
        azure.get("lonely", BLOB_PRIVATE, BLOB, "/").await,
        Err(Failed::Silence)
    ));
    azure
        .journal_shows(|s| s.network == "lonely" && s.outcome == "silence")
        .await;
}

#[tokio::test]
async fn dns_is_the_same_by_udp_and_tcp_and_only_where_the_server_is() {
    let azure = Azure::of(private_world()).await;
    let office = Ipv4Addr::new(10, 200, 0, 53);
    for (network, server, expected) in [
        ("hub", AZURE_DNS, BLOB_PRIVATE),
        ("office", office, BLOB_PRIVATE),
        ("internet", Ipv4Addr::new(1, 1, 1, 1), BLOB_PUBLIC),
    ] {
        let by_udp = azure.ask_udp(network, server, BLOB).await.unwrap();
        let by_tcp = azure.ask_tcp(network, server, BLOB).await.unwrap();
        assert_eq!(addresses(&by_udp), [expected], "{network}");
        assert_eq!(addresses(&by_tcp), [expected], "{network}");
    }
    assert!(matches!(
        azure.ask_udp("office", AZURE_DNS, BLOB).await,
        Err(Failed::Silence)
    ));
    assert!(matches!(
        azure.ask_tcp("internet", AZURE_DNS, BLOB).await,
        Err(Failed::Silence)
    ));
    let missing = azure.ask_tcp("hub", AZURE_DNS, "nobody.azurecr.io").await.unwrap();
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    let entries: Vec<_> = azure
        .sim
        .journal()
        .snapshot()
        .into_iter()
        .filter_map(|r| match r.entry {
            Entry::Dns(dns) => (dns.network == "office").then_some((dns.transport, dns.rcode, dns.answers.len())),
            Entry::Request(_) | Entry::Change(_) | Entry::Stream(_) => None,
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("udp".into(), "NoError".into(), 2),
            ("tcp".into(), "NoError".into(), 2),
            ("udp".into(), "Timeout".into(), 0)
        ]
    );
}

#[tokio::test]
async fn the_agents_port_refuses_names_and_the_peoples_port_resolves_them_in_its_network() {
    let azure = Azure::of(private_world()).await;
    let name = || TargetAddr::Domain(BLOB.into(), 443);
    let refused = azure.stream(azure.agents("hub"), name()).await;
    assert!(
        matches!(refused, Err(Failed::Proxy(ReplyError::AddressTypeNotSupported))),
        "{refused:?}"
    );
    for (network, leg) in [("spoke", Leg::Endpoint), ("lonely", Leg::Public)] {
        let stream = azure.stream(azure.people(network), name()).await.unwrap();
        assert_eq!(azure.request(stream, BLOB, "/").await.unwrap().status, 401);
        azure.journal_shows(|s| s.network == network && s.leg == leg).await;
    }
    let unknown = azure
        .stream(azure.people("hub"), TargetAddr::Domain("nobody.example".into(), 443))
        .await;
    assert!(
        matches!(unknown, Err(Failed::Proxy(ReplyError::HostUnreachable))),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_privatelink_name_fails_tls_because_no_certificate_covers_it() {
    let azure = Azure::of(private_world()).await;
    let private_name = "contosost.privatelink.blob.core.windows.net";
    let failed = azure.get("hub", BLOB_PRIVATE, private_name, "/").await;
    let Err(Failed::Tls(rustls::Error::InvalidCertificate(why))) = failed else {
        panic!("{failed:?}")
    };
    assert!(
        matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        "{why:?}"
    );
    azure
        .journal_shows(|s| s.outcome == "tlsFailed" && s.sni.as_deref() == Some(private_name))
        .await;
}

#[tokio::test]
async fn faults_strike_the_hop_that_they_name() {
    let azure = Azure::of(private_world()).await;
    let probe = async || azure.get("hub", BLOB_PRIVATE, BLOB, "/").await;
    let only = |effect| {
        azure.running.faults().clear();
        azure.fault("hub", BLOB, effect);
    };
    only(Effect::Drop);
    assert!(matches!(probe().await, Err(Failed::Silence)));
    only(Effect::Refuse);
    assert!(matches!(
        probe().await,
        Err(Failed::Proxy(ReplyError::ConnectionRefused))
    ));
    only(Effect::Reset);
    let reset = probe().await;
    assert!(
        matches!(&reset, Err(Failed::Other(text)) if text.contains("reset")),
        "{reset:?}"
    );
    only(Effect::WrongCertificate);
    assert!(matches!(
        probe().await,
        Err(Failed::Tls(rustls::Error::InvalidCertificate(_)))
    ));
    only(Effect::ForeignAuthority);
    let foreign = probe().await;
    assert!(
        matches!(
            foreign,
            Err(Failed::Tls(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )))
        ),
        "{foreign:?}"
    );
    only(Effect::ForeignService);
    let page = probe().await.unwrap();
    assert!(page.status == 200 && page.body.contains("sign in"), "{page:?}");
    only(Effect::Http(HttpFault {
        status: 429,
        retry_after: Some(7),
    }));
    let busy = probe().await.unwrap();
    assert_eq!((busy.status, busy.headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!(
        azure.get("spoke", BLOB_PRIVATE, BLOB, "/").await.unwrap().status,
        401,
        "another network is spared"
    );
    only(Effect::DnsServFail);
    let answer = azure.ask_udp("hub", AZURE_DNS, BLOB).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    only(Effect::DnsAddresses(vec![Ipv4Addr::new(10, 0, 1, 66)]));
    assert_eq!(
        addresses(&azure.ask_tcp("hub", AZURE_DNS, BLOB).await.unwrap()),
        [Ipv4Addr::new(10, 0, 1, 66)]
    );
    only(Effect::DnsTimeout);
    assert!(matches!(
        azure.ask_udp("hub", AZURE_DNS, BLOB).await,
        Err(Failed::Silence)
    ));
    assert!(matches!(
        azure.ask_tcp("hub", AZURE_DNS, BLOB).await,
        Err(Failed::Silence)
    ));
    azure.running.faults().clear();
    assert_eq!(probe().await.unwrap().status, 401);
}

#[tokio::test]
async fn datagrams_of_somebody_else_do_not_enter_an_association() {
    let azure = Azure::of(private_world()).await;
    let socket = TcpStream::connect(azure.agents("hub")).await.unwrap();
    let datagrams = Socks5Datagram::bind(socket, "127.0.0.1:0").await.unwrap();
    let server = SocketAddr::new(IpAddr::V4(AZURE_DNS), 53);
    let mut buffer = [0; 4096];
    datagrams.send_to(&question(BLOB), server).await.unwrap();
    timeout(DEADLINE, datagrams.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let relay = match datagrams.proxy_addr().unwrap() {
        TargetAddr::Ip(address) => *address,
        TargetAddr::Domain(..) => panic!("a relay has an address"),
    };
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut datagram = fast_socks5::new_udp_header(server).unwrap();
    datagram.extend(question("stranger.azurecr.io"));
    stranger.send_to(&datagram, relay).await.unwrap();
    // Junk from the owner, which must not end the association either.
    datagrams.get_ref().send_to(&[0, 0, 9], relay).await.unwrap();
    datagrams.send_to(&question(LOGIN), server).await.unwrap();
    let (length, _) = timeout(DEADLINE, datagrams.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        addresses(&Message::from_vec(&buffer[..length]).unwrap()),
        [Ipv4Addr::new(10, 0, 1, 5)]
    );
    let asked_by_stranger = azure
        .sim
        .journal()
        .snapshot()
        .into_iter()
        .any(|r| matches!(r.entry, Entry::Dns(dns) if dns.name.starts_with("stranger")));
    assert!(!asked_by_stranger);
}

#[tokio::test]
async fn dropping_the_data_plane_closes_its_ports() {
    let azure = Azure::of(private_world()).await;
    let port = azure.agents("hub");
    let mut open = TcpStream::connect(port).await.unwrap();
    drop(azure.running);
    let mut byte = [0; 1];
    let ended = timeout(DEADLINE, open.read(&mut byte)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let start = Instant::now();
    while TcpStream::connect(port).await.is_ok() {
        assert!(start.elapsed() < DEADLINE, "the port is still open");
        tokio::task::yield_now().await;
    }
}
