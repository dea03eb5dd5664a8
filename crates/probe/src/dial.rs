//! Streams and datagrams to an address, directly or through a SOCKS5 proxy, with every failure told apart: the target
//! refused, the target stayed silent, there is no route, or we ourselves (or the proxy) could not try.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::socks5::{self, Command, Refusal};

/// How streams and datagrams leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialer {
    /// From this machine.
    Direct,
    /// Through the SOCKS5 proxy at this `host:port`, without authentication. Only the proxy's own host is looked up here.
    Socks5(String),
}

/// An address in a `VantagePoint` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` is not of the form {form}")]
pub struct AddressError {
    pub(crate) what: &'static str,
    pub(crate) given: String,
    pub(crate) form: &'static str,
}

impl Dialer {
    /// Reads `VantagePoint.spec.socks5Address`; absent means directly.
    ///
    /// # Errors
    /// When it is not `host:port`.
    pub fn from_socks5_address(address: Option<&str>) -> Result<Self, AddressError> {
        let Some(address) = address else {
            return Ok(Dialer::Direct);
        };
        let well_formed = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if well_formed {
            Ok(Dialer::Socks5(address.to_owned()))
        } else {
            Err(AddressError {
                what: "SOCKS5 address",
                given: address.to_owned(),
                form: "host:port",
            })
        }
    }

    /// Opens a new stream.
    pub(crate) async fn connect(&self, target: SocketAddr, until: Instant) -> Result<TcpStream, DialError> {
        match self {
            Dialer::Direct => match timeout_at(until, TcpStream::connect(target)).await {
                Ok(Ok(stream)) => Ok(prompt(stream)),
                Ok(Err(error)) => Err(DialError::from_io(&error)),
                Err(_) => Err(DialError::Silent),
            },
            Dialer::Socks5(proxy) => {
                let mut stream = to_proxy(proxy, until).await?;
                match timeout_at(until, socks5::request(&mut stream, Command::Connect, target)).await {
                    Ok(Ok(_)) => Ok(stream),
                    Ok(Err(Refusal::Unsupported)) => Err(DialError::trouble(proxy, "it does not support CONNECT")),
                    Ok(Err(refusal)) => Err(DialError::from_refusal(proxy, refusal)),
                    Err(_) => Err(DialError::Silent),
                }
            }
        }
    }

    /// Opens a way for datagrams to one target.
    pub(crate) async fn datagrams(&self, target: SocketAddr, until: Instant) -> Result<Datagrams, DialError> {
        match self {
            Dialer::Direct => Ok(Datagrams::Direct(
                socket_towards(target).await.map_err(|e| DialError::from_io(&e))?,
            )),
            Dialer::Socks5(proxy) => {
                let mut control = to_proxy(proxy, until).await?;
                let anywhere = SocketAddr::new(unspecified_like(target.ip()), 0);
                let asked = timeout_at(until, socks5::request(&mut control, Command::UdpAssociate, anywhere)).await;
                let relay = match asked {
                    Ok(Ok(bound)) => bound,
                    Ok(Err(refusal)) => return Err(DialError::from_refusal(proxy, refusal)),
                    Err(_) => return Err(DialError::trouble(proxy, "it did not reply to UDP ASSOCIATE in time")),
                };
                let relay = reachable(relay, &control).map_err(|error| DialError::trouble(proxy, error))?;
                let socket = socket_towards(relay)
                    .await
                    .map_err(|error| DialError::trouble(proxy, error))?;
                Ok(Datagrams::Socks5 {
                    proxy: proxy.clone(),
                    socket,
                    control,
                    header: socks5::datagram_header(target),
                })
            }
        }
    }
}

/// Connects and greets: whatever goes wrong until here is the proxy's fault.
async fn to_proxy(proxy: &str, until: Instant) -> Result<TcpStream, DialError> {
    let opened = async {
        let stream = TcpStream::connect(proxy)
            .await
            .map_err(|error| DialError::trouble(proxy, error))?;
        let mut stream = prompt(stream);
        socks5::greet(&mut stream)
            .await
            .map_err(|refusal| DialError::from_refusal(proxy, refusal))?;
        Ok(stream)
    };
    timeout_at(until, opened)
        .await
        .unwrap_or_else(|_| Err(DialError::trouble(proxy, "it did not answer in time")))
}

/// Without this each small write of the handshakes waits for an acknowledgement. Failing to set it costs time only.
fn prompt(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    stream
}

/// Where the relay is: proxies that listen everywhere answer with an unspecified address and mean their own.
fn reachable(relay: SocketAddr, control: &TcpStream) -> io::Result<SocketAddr> {
    if relay.ip().is_unspecified() {
        return Ok(SocketAddr::new(control.peer_addr()?.ip(), relay.port()));
    }
    Ok(relay)
}

fn unspecified_like(address: IpAddr) -> IpAddr {
    if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

/// A connected socket takes datagrams from its peer only, and learns of refusals.
async fn socket_towards(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(unspecified_like(peer.ip()), 0)).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// A way for datagrams to one target. Dropping it ends the association.
#[derive(Debug)]
pub(crate) enum Datagrams {
    Direct(UdpSocket),
    Socks5 {
        proxy: String,
        socket: UdpSocket,
        control: TcpStream,
        header: Vec<u8>,
    },
}

impl Datagrams {
    pub(crate) async fn send(&self, payload: &[u8]) -> Result<(), DialError> {
        match self {
            Datagrams::Direct(socket) => socket.send(payload).await.map_err(|error| DialError::from_io(&error))?,
            Datagrams::Socks5 {
                proxy,
                socket,
                control: _,
                header,
            } => {
                let datagram = [header, payload].concat();
                socket
                    .send(&datagram)
                    .await
                    .map_err(|error| DialError::trouble(proxy, error))?
            }
        };
        Ok(())
    }

    /// Waits for the next datagram; cancel it to give up. Through a proxy the datagram's stated origin is not looked at: proxies
    /// behind address translation state odd ones, and question and random id are checked by the caller.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, DialError> {
        let mut buffer = vec![0; 4096];
        match self {
            Datagrams::Direct(socket) => {
                let length = socket
                    .recv(&mut buffer)
                    .await
                    .map_err(|error| DialError::from_io(&error))?;
                buffer.truncate(length);
                Ok(buffer)
            }
            Datagrams::Socks5 {
                proxy,
                socket,
                control,
                header: _,
            } => loop {
                let mut ignored = [0; 16];
                let length = tokio::select! {
                    received = socket.recv(&mut buffer) => received.map_err(|error| DialError::trouble(proxy, error))?,
                    closed = control.read(&mut ignored) => match closed {
                        Ok(0) => return Err(DialError::trouble(proxy, "it ended the UDP association")),
                        Ok(_) => continue,
                        Err(error) => return Err(DialError::trouble(proxy, error)),
                    },
                };
                if let Some(payload) = buffer.get(..length).and_then(socks5::datagram_payload) {
                    return Ok(payload.to_vec());
                }
            },
        }
    }
}

/// Why there is no stream or no datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DialError {
    /// The target refused.
    Refused,
    /// Nothing came back in time.
    Silent,
    /// There is no way to the target, in words.
    Unreachable(String),
    /// The proxy does not carry datagrams.
    NoDatagrams,
    /// We could not try: the proxy is dead, or this machine is out of sockets. Says nothing about the path.
    Trouble(String),
}

impl DialError {
    fn from_io(error: &io::Error) -> Self {
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) {
            DialError::Refused
        } else if kind == io::ErrorKind::TimedOut {
            DialError::Silent
        } else if matches!(kind, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) {
            DialError::Unreachable(error.to_string())
        } else {
            DialError::Trouble(error.to_string())
        }
    }

    fn from_refusal(proxy: &str, refusal: Refusal) -> Self {
        match refusal {
            Refusal::TargetRefused => DialError::Refused,
            Refusal::TargetUnreachable(how) => DialError::Unreachable(format!("{how}, says the SOCKS5 proxy {proxy}")),
            Refusal::Unsupported => DialError::NoDatagrams,
            Refusal::Proxy(why) => DialError::trouble(proxy, why),
        }
    }

    fn trouble(proxy: &str, why: impl std::fmt::Display) -> Self {
        DialError::Trouble(format!("the SOCKS5 proxy {proxy} cannot be used: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socks5_addresses_are_host_and_port() {
        assert_eq!(Dialer::from_socks5_address(None), Ok(Dialer::Direct));
        for good in ["127.0.0.1:1080", "bastion.example:1080", "[::1]:1080"] {
            assert_eq!(
                Dialer::from_socks5_address(Some(good)),
                Ok(Dialer::Socks5(good.to_owned()))
            );
        }
        for bad in [
            "",
            "bastion",
            ":1080",
            "bastion:0",
            "bastion:70000",
            "socks5://bastion:1080",
            "me@bastion:1080",
        ] {
            let error = Dialer::from_socks5_address(Some(bad)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("SOCKS5 address `{bad}` is not of the form host:port")
            );
        }
    }

    #[test]
    fn our_own_troubles_say_nothing_about_the_path() {
        let of = |kind: io::ErrorKind| DialError::from_io(&kind.into());
        assert_eq!(of(io::ErrorKind::ConnectionRefused), DialError::Refused);
        assert_eq!(of(io::ErrorKind::TimedOut), DialError::Silent);
        assert!(matches!(
            of(io::ErrorKind::NetworkUnreachable),
            DialError::Unreachable(_)
        ));
        for ours in [
            io::ErrorKind::AddrInUse,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::OutOfMemory,
        ] {
            assert!(matches!(of(ours), DialError::Trouble(_)), "{ours}");
        }
    }
}
