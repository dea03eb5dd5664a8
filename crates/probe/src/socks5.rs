//! The client's half of SOCKS5 (RFC 1928), without authentication: CONNECT and UDP ASSOCIATE, to addresses only. Names are
//! never handed to the proxy: it would resolve them and the dns hop would prove nothing. It is written out here because the
//! answer has to be told apart finely: a proxy that fails says nothing about the path, a target that refuses does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What the proxy is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Connect = 1,
    UdpAssociate = 3,
}

/// Why the proxy did not do it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The target refused (reply 5).
    TargetRefused,
    /// The proxy found no way to the target (replies 3, 4 and 6), in words.
    TargetUnreachable(&'static str),
    /// The proxy does not know the command (reply 7), or hung up on it, as OpenSSH does.
    Unsupported,
    /// The proxy itself failed, in words.
    Proxy(String),
}

/// Agrees on "no authentication". Any error here is the proxy's.
pub(crate) async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Refusal> {
    let answer = async {
        stream.write_all(&[VERSION, 1, NO_AUTHENTICATION]).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match answer.await {
        Ok([VERSION, NO_AUTHENTICATION]) => Ok(()),
        Ok([VERSION, _]) => Err(Refusal::Proxy("it demands authentication".to_owned())),
        Ok([..]) => Err(Refusal::Proxy("it does not speak SOCKS5".to_owned())),
        Err(error) => Err(Refusal::Proxy(format!("its greeting failed: {error}"))),
    }
}

/// Sends the command and returns the address that the proxy bound for it.
pub(crate) async fn request(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    command: Command,
    target: SocketAddr,
) -> Result<SocketAddr, Refusal> {
    let mut message = vec![VERSION, command as u8, 0];
    push_address(&mut message, target);
    let answer = async {
        stream.write_all(&message).await?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        io::Result::Ok(head)
    };
    let [version, reply, _, kind] = answer.await.map_err(|error| hung_up(command, &error))?;
    if version != VERSION {
        return Err(Refusal::Proxy("it does not speak SOCKS5".to_owned()));
    }
    if let Some(refusal) = refusal_of(reply) {
        return Err(refusal);
    }
    read_bound(stream, kind).await
}

fn hung_up(command: Command, error: &io::Error) -> Refusal {
    match (command, error.kind()) {
        (Command::UdpAssociate, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Refusal::Unsupported,
        (Command::Connect | Command::UdpAssociate, _) => Refusal::Proxy(format!("it did not reply: {error}")),
    }
}

fn refusal_of(reply: u8) -> Option<Refusal> {
    match reply {
        0 => None,
        2 => Some(Refusal::Proxy("its rules do not allow this target".to_owned())),
        3 => Some(Refusal::TargetUnreachable("network unreachable")),
        4 => Some(Refusal::TargetUnreachable("host unreachable")),
        5 => Some(Refusal::TargetRefused),
        6 => Some(Refusal::TargetUnreachable("time to live expired")),
        7 => Some(Refusal::Unsupported),
        8 => Some(Refusal::Proxy("it does not support this kind of address".to_owned())),
        other => Some(Refusal::Proxy(format!("general failure (reply {other})"))),
    }
}

async fn read_bound(stream: &mut (impl AsyncRead + Unpin), kind: u8) -> Result<SocketAddr, Refusal> {
    let bound = async {
        let address = match kind {
            IPV4 => IpAddr::V4(Ipv4Addr::from_bits(stream.read_u32().await?)),
            IPV6 => IpAddr::V6(Ipv6Addr::from_bits(stream.read_u128().await?)),
            NAME => {
                // Legal, but we would have to resolve it: taken as "where the proxy is", like an unspecified address.
                let mut name = vec![0; usize::from(stream.read_u8().await?)];
                stream.read_exact(&mut name).await?;
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown kind of address")),
        };
        Ok(SocketAddr::new(address, stream.read_u16().await?))
    };
    bound
        .await
        .map_err(|error: io::Error| Refusal::Proxy(format!("its reply is cut short: {error}")))
}

fn push_address(message: &mut Vec<u8>, target: SocketAddr) {
    match target.ip() {
        IpAddr::V4(address) => {
            message.push(IPV4);
            message.extend(address.octets());
        }
        IpAddr::V6(address) => {
            message.push(IPV6);
            message.extend(address.octets());
        }
    }
    message.extend(target.port().to_be_bytes());
}

/// The header that goes in front of each datagram to `target`.
pub(crate) fn datagram_header(target: SocketAddr) -> Vec<u8> {
    let mut header = vec![0, 0, 0];
    push_address(&mut header, target);
    header
}

/// What a datagram from the proxy carries; `None` for fragments and for what is no SOCKS5 datagram.
pub(crate) fn datagram_payload(datagram: &[u8]) -> Option<&[u8]> {
    let (head, rest) = datagram.split_at_checked(4)?;
    let address = match head {
        [_, _, 0, IPV4] => 4,
        [_, _, 0, IPV6] => 16,
        [_, _, 0, NAME] => 1 + usize::from(*rest.first()?),
        _ => return None,
    };
    rest.get(address + 2..)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(reply: &[u8], command: Command) -> Result<SocketAddr, Refusal> {
        let (mut ours, mut theirs) = tokio::io::duplex(256);
        theirs.write_all(reply).await.unwrap();
        let asked = request(&mut ours, command, "10.1.0.4:443".parse().unwrap());
        let close = async {
            let mut sent = [0; 10];
            theirs.read_exact(&mut sent).await.unwrap();
            assert_eq!(sent[3..], [1, 10, 1, 0, 4, 1, 187]);
            drop(theirs);
        };
        tokio::join!(asked, close).0
    }

    #[tokio::test]
    async fn every_reply_code_has_a_meaning_and_none_panics() {
        for code in 0..=255 {
            let reply = [5, code, 0, 1, 127, 0, 0, 1, 0, 53];
            let got = answered(&reply, Command::Connect).await;
            match code {
                0 => assert_eq!(got, Ok("127.0.0.1:53".parse().unwrap())),
                3 | 4 | 6 => assert!(matches!(got, Err(Refusal::TargetUnreachable(_))), "{code}: {got:?}"),
                5 => assert_eq!(got, Err(Refusal::TargetRefused)),
                7 => assert_eq!(got, Err(Refusal::Unsupported)),
                _ => assert!(matches!(got, Err(Refusal::Proxy(_))), "{code}: {got:?}"),
            }
        }
    }

    #[tokio::test]
    async fn hanging_up_on_udp_is_no_udp_and_on_a_stream_a_dead_proxy() {
        assert_eq!(answered(&[], Command::UdpAssociate).await, Err(Refusal::Unsupported));
        assert!(matches!(answered(&[], Command::Connect).await, Err(Refusal::Proxy(_))));
        assert!(matches!(
            answered(&[5, 0, 0, 1, 127], Command::Connect).await,
            Err(Refusal::Proxy(_))
        ));
        assert!(matches!(
            answered(b"HTTP/1.1 400 Bad", Command::Connect).await,
            Err(Refusal::Proxy(_))
        ));
    }

    #[tokio::test]
    async fn a_proxy_that_wants_a_password_is_named() {
        let (mut ours, mut theirs) = tokio::io::duplex(16);
        theirs.write_all(&[5, 0xff]).await.unwrap();
        assert_eq!(
            greet(&mut ours).await,
            Err(Refusal::Proxy("it demands authentication".to_owned()))
        );
    }

    #[test]
    fn datagrams_are_unwrapped_and_nonsense_is_dropped() {
        let mut datagram = datagram_header("168.63.129.16:53".parse().unwrap());
        datagram.extend(b"question");
        assert_eq!(datagram_payload(&datagram), Some(&b"question"[..]));
        assert_eq!(datagram_payload(&[0, 0, 0, 3, 1, b'a', 0, 53, 7]), Some(&[7][..]));
        for nonsense in [
            &[][..],
            &[0, 0, 0],
            &[0, 0, 1, 1, 1, 2, 3, 4, 0, 53, 7],
            &[0, 0, 0, 1, 1],
            &[0, 0, 0, 3, 200, 1],
        ] {
            assert_eq!(datagram_payload(nonsense), None, "{nonsense:?}");
        }
    }
}
