//! A network of our own for tests: a SOCKS5 proxy (the server half of an independent crate) behind which addresses refuse,
//! stay silent, hang up, answer DNS or serve TLS, as each test says.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fast_socks5::server::{Socks5ServerProtocol, run_udp_proxy_custom};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, new_udp_header, parse_udp_request};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::{Dialer, ResolverAddress, TrustRoots, Via};

/// Which transport a DNS question came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Udp,
    Tcp,
}

type Answers = Arc<dyn Fn(&Message, By) -> Option<Message> + Send + Sync>;

/// What stands at an address.
#[derive(Clone)]
pub enum Peer {
    Refuses,
    Silent,
    Unreachable,
    ProxyFails,
    HangsUp,
    Dns(Answers),
    Tls(TlsAcceptor, &'static str),
}

pub fn dns(answers: impl Fn(&Message, By) -> Option<Message> + Send + Sync + 'static) -> Peer {
    Peer::Dns(Arc::new(answers))
}

/// A reply with this code and these records, as `(owner, CNAME or address)`.
pub fn reply(question: &Message, code: ResponseCode, records: &[(&str, &str)]) -> Option<Message> {
    let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
    let mut reply = question.clone();
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.response_code = code;
    for (owner, data) in records {
        let data = match data.parse() {
            Ok(IpAddr::V4(v4)) => RData::A(A(v4)),
            Ok(IpAddr::V6(v6)) => RData::AAAA(AAAA(v6)),
            Err(_) => RData::CNAME(CNAME(name(data))),
        };
        reply.add_answer(Record::from_rdata(name(owner), 60, data));
    }
    Some(reply)
}

/// The network: proxy and peers live until it is dropped.
pub struct Neighbourhood {
    pub proxy: SocketAddr,
    pub ca: Authority,
    _tasks: JoinSet<()>,
}

impl Neighbourhood {
    pub async fn with(ca: Authority, peers: impl IntoIterator<Item = (&'static str, Peer)>, udp: bool) -> Self {
        let peers: HashMap<SocketAddr, Peer> = peers
            .into_iter()
            .map(|(at, peer)| (at.parse().unwrap(), peer))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let peers = Arc::new(peers);
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                streams.spawn(proxied(stream, peers.clone(), udp));
            }
        });
        Neighbourhood {
            proxy,
            ca,
            _tasks: tasks,
        }
    }

    /// The way in: this proxy, that resolver, our authority.
    pub fn via(&self, resolver: &str) -> Via {
        Via {
            dialer: Dialer::Socks5(self.proxy.to_string()),
            resolver: ResolverAddress::Address(resolver.parse().unwrap()),
            roots: TrustRoots::only(self.ca.pem.as_bytes()).unwrap(),
            host_suffixes: host_suffixes(),
            storage_version: "2023-11-03".to_owned(),
        }
    }
}

/// Names that may be asked for.
pub fn host_suffixes() -> Vec<String> {
    [
        "api.azureml.ms",
        "blob.core.windows.net",
        "dfs.core.windows.net",
        "azurecr.io",
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn proxied(stream: TcpStream, peers: Arc<HashMap<SocketAddr, Peer>>, udp: bool) {
    let Ok(proto) = Socks5ServerProtocol::accept_no_auth(stream).await else {
        return;
    };
    let Ok((proto, command, target)) = proto.read_command().await else {
        return;
    };
    if command == Socks5Command::UDPAssociate {
        if !udp {
            proto.reply_error(&ReplyError::CommandNotSupported).await.ok();
            return;
        }
        let local = "127.0.0.1".parse().unwrap();
        run_udp_proxy_custom(proto, &target, Some(local), local, |socket| async move {
            serve_datagrams(UdpSocket::from_std(socket.into()).unwrap(), &peers).await;
            Ok(())
        })
        .await
        .ok();
        return;
    }
    let TargetAddr::Ip(target) = target else {
        panic!("a name was handed to the proxy: {target}")
    };
    let bound = "127.0.0.1:1".parse().unwrap();
    match peers.get(&target).cloned().unwrap_or(Peer::Silent) {
        Peer::Refuses => proto.reply_error(&ReplyError::ConnectionRefused).await.unwrap(),
        Peer::Unreachable => proto.reply_error(&ReplyError::HostUnreachable).await.unwrap(),
        Peer::ProxyFails => proto.reply_error(&ReplyError::GeneralFailure).await.unwrap(),
        Peer::Silent => std::future::pending().await,
        Peer::HangsUp => drop(proto.reply_success(bound).await.unwrap()),
        Peer::Dns(answers) => serve_dns_stream(proto.reply_success(bound).await.unwrap(), &answers).await,
        Peer::Tls(acceptor, http) => serve_tls(proto.reply_success(bound).await.unwrap(), acceptor, http).await,
    }
}

async fn serve_datagrams(socket: UdpSocket, peers: &HashMap<SocketAddr, Peer>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let (_, target, payload) = parse_udp_request(&buffer[..length]).await.unwrap();
        let TargetAddr::Ip(target) = target else {
            panic!("a name was handed to the proxy: {target}")
        };
        let Some(Peer::Dns(answers)) = peers.get(&target) else {
            continue;
        };
        let Some(reply) = answers(&Message::from_vec(payload).unwrap(), By::Udp) else {
            continue;
        };
        let mut datagram = new_udp_header(target).unwrap();
        datagram.extend(reply.to_vec().unwrap());
        socket.send_to(&datagram, client).await.unwrap();
    }
}

/// A DNS server on loopback, by UDP and TCP on one port.
pub async fn direct_dns(
    answers: impl Fn(&Message, By) -> Option<Message> + Send + Sync + 'static,
) -> (SocketAddr, JoinSet<()>) {
    let answers: Answers = Arc::new(answers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).await.unwrap();
    let mut tasks = JoinSet::new();
    let by_udp = answers.clone();
    tasks.spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            if let Some(reply) = by_udp(&Message::from_vec(&buffer[..length]).unwrap(), By::Udp) {
                socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
            }
        }
    });
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve_dns_stream(stream, &answers).await;
        }
    });
    (at, tasks)
}

async fn serve_dns_stream(mut stream: TcpStream, answers: &Answers) {
    let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut question).await.unwrap();
    match answers(&Message::from_vec(&question).unwrap(), By::Tcp) {
        Some(reply) => {
            let bytes = reply.to_vec().unwrap();
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
        None => std::future::pending().await,
    }
}

/// Answers one request with canned text; with none it reads and stays silent.
pub async fn serve_tls(stream: TcpStream, acceptor: TlsAcceptor, http: &'static str) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    if http.is_empty() {
        std::future::pending::<()>().await;
    }
    // `{request}` in the answer comes back as the request's first line and Host header, for tests that look at them.
    let request = String::from_utf8(request).unwrap();
    stream
        .write_all(http.replace("{request}", &request.replace("\r\n", "|")).as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.ok();
}

/// A certificate authority of one test.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Authority {
            pem: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server with a certificate for these names.
    pub fn server(&self, names: &[&str]) -> TlsAcceptor {
        let params = CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
