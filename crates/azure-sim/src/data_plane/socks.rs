//! The SOCKS5 side of a port: one client stream from greeting to end. CONNECT goes where [`super::reach`] says, UDP
//! ASSOCIATE carries DNS questions, BIND is refused. The agents' port takes no names: a proxy that resolves would make
//! their dns hop prove nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use fast_socks5::server::{Socks5ServerProtocol, run_udp_proxy_custom, states};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, new_udp_header, parse_udp_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::dns::Transport;
use super::{Opening, Port, servers};
use crate::journal::{Entry, Leg, StreamEntry};

/// A client that takes longer to say what it wants is dropped.
const GREETING: Duration = Duration::from_secs(30);
/// Where a client is told that its stream is bound; nobody looks at it.
const BOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Negotiated<'a> = Socks5ServerProtocol<&'a mut TcpStream, states::CommandRead>;

/// Serves one client until it or the stream's fate ends it.
pub(super) async fn serve_client(port: Port, mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true).context("set up a client's stream")?;
    let greeting = async {
        Socks5ServerProtocol::accept_no_auth(&mut stream)
            .await?
            .read_command()
            .await
    };
    let (proto, command, target) = timeout(GREETING, greeting)
        .await
        .context("await a client's command")??;
    match command {
        Socks5Command::TCPConnect => {}
        Socks5Command::UDPAssociate => return associate(&port, proto, target).await,
        Socks5Command::TCPBind => return Ok(proto.reply_error(&ReplyError::CommandNotSupported).await?),
    }
    if let TargetAddr::Domain(name, 443) = &target
        && port.takes_names
        && is_clouds_own(name)
    {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        proto.reply_success(BOUND).await?;
        return port.plane.serve_control_plane(stream, name).await;
    }
    let (address, number) = match destination(&port, &target) {
        Ok(found) => found,
        Err(error) => return Ok(proto.reply_error(&error).await?),
    };
    match port.plane.open(&port.network, address, number) {
        Opening::Refused => {
            record(&port, address, number, "refused");
            Ok(proto.reply_error(&ReplyError::ConnectionRefused).await?)
        }
        Opening::Silence(why) => {
            record(&port, address, number, "silence");
            tracing::debug!(network = %port.network, %address, number, why = <&str>::from(why), "silence");
            await_end(&mut stream).await;
            Ok(())
        }
        Opening::Reset => {
            record(&port, address, number, "reset");
            proto.reply_success(BOUND).await?;
            stream.set_zero_linger().context("reset a stream")
        }
        Opening::Dns => {
            record(&port, address, number, "dns");
            proto.reply_success(BOUND).await?;
            serve_dns(&port, address, stream).await
        }
        Opening::Server(served) => {
            proto.reply_success(BOUND).await?;
            servers::serve(port, stream, SocketAddr::from((address, number)), served).await;
            Ok(())
        }
    }
}

/// Names under which the public cloud's own services are known: for tools that know no other cloud, and no other address of it.
const CLOUDS_OWN: &[&str] = &[
    "management.azure.com",
    "login.microsoftonline.com",
    "login.windows.net",
    "api.loganalytics.io",
    "api.loganalytics.azure.com",
];

fn is_clouds_own(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    CLOUDS_OWN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The address that a client wants to reach; names only where the port takes them.
fn destination(port: &Port, target: &TargetAddr) -> Result<(Ipv4Addr, u16), ReplyError> {
    match target {
        TargetAddr::Ip(address) => match address.ip().to_canonical() {
            IpAddr::V4(v4) => Ok((v4, address.port())),
            IpAddr::V6(_) => Err(ReplyError::NetworkUnreachable),
        },
        TargetAddr::Domain(name, number) if port.takes_names => {
            let literal = name.parse::<Ipv4Addr>().ok();
            let found = literal.or_else(|| port.plane.resolve_for_people(&port.network, name));
            found
                .map(|address| (address, *number))
                .ok_or(ReplyError::HostUnreachable)
        }
        TargetAddr::Domain(..) => Err(ReplyError::AddressTypeNotSupported),
    }
}

fn record(port: &Port, address: Ipv4Addr, number: u16, outcome: &str) {
    port.plane.sim.journal().record(Entry::Stream(StreamEntry {
        network: port.network.to_string(),
        address: IpAddr::V4(address),
        port: number,
        leg: Leg::None,
        target: None,
        sni: None,
        http_method: None,
        http_path: None,
        http_status: None,
        outcome: outcome.to_owned(),
    }));
}

/// Waits until the client gives up; what it sends meanwhile is lost, as in a real silence.
async fn await_end(stream: &mut TcpStream) {
    let mut lost = [0; 512];
    while matches!(stream.read(&mut lost).await, Ok(1..)) {}
}

/// DNS over TCP: questions one after the other, each with its length in front.
async fn serve_dns(port: &Port, server: Ipv4Addr, mut stream: TcpStream) -> anyhow::Result<()> {
    loop {
        let Ok(length) = stream.read_u16().await else {
            return Ok(());
        };
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await.context("read a DNS question")?;
        match port.plane.answer_dns(&port.network, server, Transport::Tcp, &question) {
            Some(answer) => {
                let mut framed = u16::try_from(answer.len())
                    .context("frame a DNS answer")?
                    .to_be_bytes()
                    .to_vec();
                framed.extend(answer);
                stream.write_all(&framed).await.context("write a DNS answer")?;
            }
            None => {
                await_end(&mut stream).await;
                return Ok(());
            }
        }
    }
}

/// UDP ASSOCIATE: datagrams of this client only, to DNS servers only; everything else is silence.
async fn associate(port: &Port, proto: Negotiated<'_>, announced: TargetAddr) -> anyhow::Result<()> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    run_udp_proxy_custom(proto, &announced.clone(), Some(local), local, |socket| async move {
        match UdpSocket::from_std(socket.into()) {
            Ok(socket) => carry_datagrams(port, &socket, &announced).await,
            Err(error) => tracing::warn!(network = %port.network, %error, "open a UDP association"),
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// Serves datagrams until the association's stream ends. The first sender that fits what the client announced owns the
/// association; anybody else's datagrams are dropped (RFC 1928 §7).
async fn carry_datagrams(port: &Port, socket: &UdpSocket, announced: &TargetAddr) {
    let mut owner: Option<SocketAddr> = None;
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, sender) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(network = %port.network, %error, "receive a datagram");
                continue;
            }
        };
        if owner.is_some_and(|owner| owner != sender) || !may_send(announced, sender) {
            tracing::debug!(network = %port.network, %sender, "a datagram of somebody else");
            continue;
        }
        owner = Some(sender);
        let Ok((0, TargetAddr::Ip(target), question)) = parse_udp_request(&buffer[..length]).await else {
            continue;
        };
        let IpAddr::V4(server) = target.ip().to_canonical() else {
            continue;
        };
        if target.port() != 53 {
            continue;
        }
        if let Some(answer) = port.plane.answer_dns(&port.network, server, Transport::Udp, question)
            && let Ok(mut datagram) = new_udp_header(target)
        {
            datagram.extend(answer);
            if let Err(error) = socket.send_to(&datagram, sender).await {
                tracing::debug!(network = %port.network, %error, "send a datagram");
            }
        }
    }
}

/// Whether the sender is the one that the client announced in its command; zeros announce nothing.
fn may_send(announced: &TargetAddr, sender: SocketAddr) -> bool {
    match announced {
        TargetAddr::Ip(address) => {
            (address.ip().is_unspecified() || address.ip().to_canonical() == sender.ip())
                && (address.port() == 0 || address.port() == sender.port())
        }
        TargetAddr::Domain(..) => true,
    }
}
