//! Asks a resolver one question of our own, as a client's stub would, and returns its reply untouched: by UDP, sent twice
//! when nothing comes back, by TCP when the reply is truncated or the proxy carries no UDP. No cache, no search list and no
//! further questions along a CNAME: what is judged is what *this* resolver answered.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::Stop;
use crate::answer::answers;
use crate::dial::{AddressError, DialError, Dialer};

/// Which DNS server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverAddress {
    /// The servers of this machine's own configuration, in order, the next one on silence or SERVFAIL.
    System,
    /// This one.
    Address(SocketAddr),
}

impl ResolverAddress {
    /// Reads `VantagePoint.spec.resolverAddress`: `address:port`, or an address alone for port 53. Absent means the system's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_text(text: Option<&str>) -> Result<Self, AddressError> {
        let Some(text) = text else {
            return Ok(ResolverAddress::System);
        };
        let parsed = text
            .parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        parsed.map(ResolverAddress::Address).map_err(|_| AddressError {
            what: "resolver address",
            given: text.to_owned(),
            form: "address:port",
        })
    }
}

/// A resolver's reply, and how it was had.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) message: Message,
    /// For messages: the server, and how it was asked where that was not as clients do.
    pub(crate) server: String,
}

/// Asks for `fqdn` until somebody answers or `until` has passed.
pub(crate) async fn ask(
    dialer: &Dialer,
    resolver: ResolverAddress,
    fqdn: &str,
    kind: RecordType,
    until: Instant,
) -> Result<Reply, Stop> {
    let servers = servers(dialer, resolver)?;
    let name = Name::from_ascii(format!("{fqdn}."))
        .map_err(|error| Stop::unknown(format!("not tried: {fqdn} is no DNS name: {error}")))?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, kind));
    let mut last = Err(Stop::unknown("not tried: no resolver is configured"));
    for (server, until) in shares(&servers, Instant::now(), until) {
        last = ask_one(dialer, server, &question, until)
            .await
            .map_err(|error| explain(error, server, fqdn));
        let decisive = last
            .as_ref()
            .is_ok_and(|reply| reply.message.metadata.response_code != ResponseCode::ServFail);
        if decisive {
            break;
        }
    }
    last
}

/// Divides the time fairly, so that a dead first server leaves time for the second.
fn shares(servers: &[SocketAddr], now: Instant, until: Instant) -> impl Iterator<Item = (SocketAddr, Instant)> {
    let share = until.saturating_duration_since(now) / u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
    servers
        .iter()
        .zip(1u32..)
        .map(move |(&server, nth)| (server, now + share * nth))
        .collect::<Vec<_>>()
        .into_iter()
}

fn servers(dialer: &Dialer, resolver: ResolverAddress) -> Result<Vec<SocketAddr>, Stop> {
    let configured = match resolver {
        ResolverAddress::Address(server) => return Ok(vec![server]),
        ResolverAddress::System => hickory_resolver::system_conf::read_system_conf()
            .map_err(|error| Stop::unknown(format!("the system's resolver configuration cannot be read: {error}")))?,
    };
    let servers: Vec<SocketAddr> = configured
        .0
        .name_servers()
        .iter()
        .map(|server| SocketAddr::new(server.ip, 53))
        .take(3)
        .collect();
    // The system's stub listens on this machine, which is not where the proxy stands.
    if matches!(dialer, Dialer::Socks5(_)) && servers.iter().any(|server| server.ip().is_loopback()) {
        return Err(Stop::unknown(
            "the system's resolver listens on loopback and cannot be asked through a proxy: \
             set resolverAddress of the VantagePoint",
        ));
    }
    Ok(servers)
}

async fn ask_one(dialer: &Dialer, server: SocketAddr, question: &Message, until: Instant) -> Result<Reply, DialError> {
    let bytes = question
        .to_vec()
        .map_err(|error| DialError::Trouble(format!("cannot encode the question: {error}")))?;
    match by_udp(dialer, server, question, &bytes, until).await {
        Ok(message) if !message.metadata.truncation => Ok(Reply {
            message,
            server: server.to_string(),
        }),
        Ok(_) => {
            by_tcp(
                dialer,
                server,
                question,
                &bytes,
                until,
                "by TCP, its UDP reply was truncated",
            )
            .await
        }
        Err(DialError::NoDatagrams) => {
            by_tcp(
                dialer,
                server,
                question,
                &bytes,
                until,
                "by TCP, the proxy carries no UDP",
            )
            .await
        }
        Err(error) => Err(error),
    }
}

/// Sends, waits for half of the time, sends again and waits for the rest: one lost datagram is no outage. A late reply to the
/// first still counts, hence one socket and one id for both.
async fn by_udp(
    dialer: &Dialer,
    server: SocketAddr,
    question: &Message,
    bytes: &[u8],
    until: Instant,
) -> Result<Message, DialError> {
    let mut datagrams = dialer.datagrams(server, until).await?;
    let now = Instant::now();
    let half = (until.saturating_duration_since(now) / 2).min(Duration::from_secs(2));
    for wait_until in [now + half, until] {
        datagrams.send(bytes).await?;
        let reply = async {
            loop {
                let received = datagrams.receive().await?;
                if let Some(message) = Message::from_vec(&received)
                    .ok()
                    .filter(|reply| answers(question, reply))
                {
                    return Ok(message);
                }
            }
        };
        if let Ok(done) = timeout_at(wait_until, reply).await {
            return done;
        }
    }
    Err(DialError::Silent)
}

async fn by_tcp(
    dialer: &Dialer,
    server: SocketAddr,
    question: &Message,
    bytes: &[u8],
    until: Instant,
    how: &str,
) -> Result<Reply, DialError> {
    let mut stream = dialer.connect(server, until).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| DialError::Trouble("the question is too long".to_owned()))?;
    let exchange = async {
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        std::io::Result::Ok(reply)
    };
    match timeout_at(until, exchange).await {
        Ok(Ok(reply)) => match Message::from_vec(&reply).ok().filter(|reply| answers(question, reply)) {
            Some(message) => Ok(Reply {
                message,
                server: format!("{server} ({how})"),
            }),
            None => Err(DialError::Unreachable(
                "what answers by TCP is no DNS server".to_owned(),
            )),
        },
        Ok(Err(error)) => Err(DialError::Unreachable(format!("the TCP stream broke ({error})"))),
        Err(_) => Err(DialError::Silent),
    }
}

/// A resolver that refuses or stays silent is a path that clients cannot use; a proxy that fails says nothing.
fn explain(error: DialError, server: SocketAddr, fqdn: &str) -> Stop {
    match error {
        DialError::Refused => Stop::failed(format!(
            "the resolver {server} refuses questions for {fqdn}: nothing listens there"
        )),
        DialError::Silent => Stop::failed(format!("the resolver {server} gives no answer for {fqdn}")),
        DialError::Unreachable(how) => Stop::failed(format!("the resolver {server} cannot be asked for {fqdn}: {how}")),
        DialError::NoDatagrams => Stop::unknown("the proxy carries no UDP"),
        DialError::Trouble(why) => Stop::unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolver_addresses_have_a_port_or_get_one() {
        let read = |text| ResolverAddress::from_text(text);
        assert_eq!(read(None), Ok(ResolverAddress::System));
        let azure = ResolverAddress::Address("168.63.129.16:53".parse().unwrap());
        assert_eq!(read(Some("168.63.129.16")), Ok(azure));
        assert_eq!(read(Some("168.63.129.16:53")), Ok(azure));
        assert_eq!(
            read(Some("fd00::1")),
            Ok(ResolverAddress::Address("[fd00::1]:53".parse().unwrap()))
        );
        for bad in ["", "dns.example:53", "168.63.129.16:99999"] {
            assert!(read(Some(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_first_server_leaves_time_for_the_second() {
        let servers = ["10.0.0.1:53".parse().unwrap(), "10.0.0.2:53".parse().unwrap()];
        let now = Instant::now();
        let until: Vec<Instant> = shares(&servers, now, now + Duration::from_secs(4))
            .map(|(_, until)| until)
            .collect();
        assert_eq!(until, [now + Duration::from_secs(2), now + Duration::from_secs(4)]);
        assert_eq!(shares(&[], now, now + Duration::from_secs(4)).count(), 0);
    }
}
