//! Asks one resolver one question of our own, as a client's stub would, and returns its reply untouched: by UDP, sent twice
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
    /// The servers of this machine's own configuration.
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

/// Asks this server for `fqdn` until it answers or `until` has passed.
pub(crate) async fn ask(
    dialer: &Dialer,
    server: SocketAddr,
    fqdn: &str,
    kind: RecordType,
    until: Instant,
) -> Result<Reply, Stop> {
    let name = Name::from_ascii(format!("{fqdn}."))
        .map_err(|error| Stop::unknown(format!("not tried: {fqdn} is no DNS name: {error}")))?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, kind));
    let asked = ask_one(dialer, server, &question, until).await;
    asked.map_err(|error| explain(error, server, fqdn))
}

/// A resolver that says this has no answer of its own: clients ask the next one that they know.
pub(crate) fn is_no_answer(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp
    )
}

/// Every server that some client of this place may ask: the vantage point's own, then `also`, each once.
pub(crate) fn servers(
    dialer: &Dialer,
    resolver: ResolverAddress,
    also: &[SocketAddr],
) -> Result<Vec<SocketAddr>, Stop> {
    let mut all = own_servers(dialer, resolver)?;
    for server in also {
        if !all.contains(server) {
            all.push(*server);
        }
    }
    if all.is_empty() {
        return Err(Stop::unknown("not tried: no resolver is configured"));
    }
    Ok(all)
}

fn own_servers(dialer: &Dialer, resolver: ResolverAddress) -> Result<Vec<SocketAddr>, Stop> {
    let configured = match resolver {
        ResolverAddress::Address(server) => return Ok(vec![server]),
        ResolverAddress::System => hickory_resolver::system_conf::read_system_conf()
            .map_err(|error| Stop::unknown(format!("the system's resolver configuration cannot be read: {error}")))?,
    };
    let mut servers: Vec<SocketAddr> = Vec::new();
    for server in configured.0.name_servers() {
        let server = SocketAddr::new(server.ip, 53);
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    // Clients' stubs know no more than three.
    servers.truncate(3);
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

    #[test]
    fn every_server_is_asked_once() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let own = ResolverAddress::Address(at("10.0.0.4:53"));
        let all = servers(
            &Dialer::Direct,
            own,
            &[at("10.0.0.5:53"), at("10.0.0.4:53"), at("10.0.0.5:53")],
        );
        assert_eq!(all.unwrap(), [at("10.0.0.4:53"), at("10.0.0.5:53")]);
    }
}
