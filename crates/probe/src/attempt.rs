//! One attempt at one path: the hops in order, each within its share of the time, ending at the first that does not pass.
//! The shares are cumulative, so a quick hop leaves its time to the next and a slow one cannot make another look silent.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use sreg_api::probe::{Hop, ProbeOutcome, ProbePath};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::{self, Looked};
use crate::dial::DialError;
use crate::{Stop, Via, dns, exchange, hosts, tls, verdict};

/// How long the kind of address that is not demanded is waited for.
const LONGEST_BESIDE: Duration = Duration::from_secs(2);

/// What one attempt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whether all hops passed, one failed, or nothing can be said.
    pub outcome: ProbeOutcome,
    /// The hop at which it ended; absent when all passed or nothing was tried.
    pub hop: Option<Hop>,
    /// One sentence: what was tried, what came back.
    pub message: String,
    /// Addresses that DNS answered, in order of the answer.
    pub addresses: Vec<String>,
    /// CNAME chain of the answer.
    pub cname_chain: Vec<String>,
    /// DNS servers that gave no usable answer, while others did.
    pub silent_servers: Vec<String>,
}

impl Attempt {
    /// An attempt that was not made, and why.
    pub fn not_tried(why: String) -> Self {
        Attempt::ended(Stop::unknown(why), None, &Looked::default())
    }

    fn ended(stop: Stop, hop: Option<Hop>, looked: &Looked) -> Self {
        Attempt {
            outcome: stop.outcome,
            hop,
            message: stop.message,
            ..Self::passed(String::new(), looked)
        }
    }

    fn passed(message: String, looked: &Looked) -> Self {
        Attempt {
            outcome: ProbeOutcome::Succeeded,
            hop: None,
            message,
            addresses: looked.addresses.iter().map(IpAddr::to_string).collect(),
            cname_chain: looked.cname_chain.clone(),
            silent_servers: Vec::new(),
        }
    }
}

/// Looks at `path` once, by way of `via`, in at most `limit`. The place's own resolvers and `servers` are all asked, anew, and
/// every stream is a new one.
pub async fn attempt(via: &Via, servers: &[SocketAddr], path: &ProbePath, limit: Duration) -> Attempt {
    attempt_at_port(via, servers, path, limit, 443).await
}

/// As [`attempt`], to another port than 443: tests have no privilege to listen there.
pub(crate) async fn attempt_at_port(
    via: &Via,
    servers: &[SocketAddr],
    path: &ProbePath,
    limit: Duration,
    port: u16,
) -> Attempt {
    if !hosts::allows(&via.host_suffixes, &path.fqdn) {
        return Attempt::not_tried(format!(
            "not tried: {} is no host of this agent's cloud (start it with the operator's --azure-cloud or --azure-cloud-file)",
            path.fqdn
        ));
    }
    let start = Instant::now();
    let until = |percent: u32| start + limit * percent / 100;
    let Resolved { looked, server, silent } = match resolve(via, servers, path, until(40)).await {
        Ok(resolved) => resolved,
        Err(Unresolved { stop, hop, looked }) => return Attempt::ended(stop, hop, &looked),
    };
    let attempt = match reach(via, path, &looked, port, until).await {
        Ok(says) => {
            let at = answer::list(&looked.addresses);
            let mut message = format!("{server} answers {at}; {says}");
            for (_, stop) in &silent {
                message = format!("{message}; {}", stop.message);
            }
            Attempt::passed(message, &looked)
        }
        Err((stop, hop)) => Attempt::ended(stop, Some(hop), &looked),
    };
    Attempt {
        silent_servers: silent.into_iter().map(|(server, _)| server.to_string()).collect(),
        ..attempt
    }
}

/// The hops behind dns.
async fn reach(
    via: &Via,
    path: &ProbePath,
    looked: &Looked,
    port: u16,
    until: impl Fn(u32) -> Instant,
) -> Result<String, (Stop, Hop)> {
    let at = |hop: Hop| move |stop: Stop| (stop, hop);
    let stream = connect(via, &looked.addresses, port, until(70))
        .await
        .map_err(at(Hop::Tcp))?;
    let stream = tls::handshake(&via.roots, stream, &path.fqdn, until(85))
        .await
        .map_err(at(Hop::Tls))?;
    let answer = exchange::exchange(stream, (path.service, &path.fqdn), &via.storage_version, until(100)).await;
    answer
        .and_then(|answer| verdict::judge(path.service, &path.fqdn, &answer))
        .map_err(at(Hop::Http))
}

/// What DNS came to: every server that gave a usable answer gave the right one.
struct Resolved {
    looked: Looked,
    /// The first of them, and how it was asked.
    server: String,
    /// Those that gave none, and what was tried.
    silent: Vec<(SocketAddr, Stop)>,
}

struct Unresolved {
    stop: Stop,
    /// `None`: nothing was asked.
    hop: Option<Hop>,
    looked: Looked,
}

impl Unresolved {
    fn not_asked(stop: Stop) -> Self {
        Unresolved {
            stop,
            hop: None,
            looked: Looked::default(),
        }
    }
}

/// The dns hop. All servers are asked at once, because each has clients: one wrong answer fails the path, whatever the others
/// say. Where nobody gives a usable answer the first one's silence is told.
async fn resolve(via: &Via, also: &[SocketAddr], path: &ProbePath, until: Instant) -> Result<Resolved, Unresolved> {
    let demanded = answer::demanded(path).map_err(Unresolved::not_asked)?;
    let servers = dns::servers(&via.dialer, via.resolver, also).map_err(|stop| Unresolved {
        hop: Some(Hop::Dns),
        ..Unresolved::not_asked(stop)
    })?;
    let mut asked = JoinSet::new();
    for (nth, server) in servers.into_iter().enumerate() {
        let (via, path, demanded) = (via.clone(), path.clone(), demanded.clone());
        asked.spawn(async move { (nth, server, at_server(&via, server, &path, &demanded, until).await) });
    }
    let mut heard = Vec::new();
    while let Some(done) = asked.join_next().await {
        let ended_early = |error| Unresolved::not_asked(Stop::unknown(format!("a question ended early: {error}")));
        heard.push(done.map_err(ended_early)?);
    }
    heard.sort_by_key(|(nth, ..)| *nth);
    let mut good: Option<(Looked, String)> = None;
    let mut silent = Vec::new();
    let at_dns = |stop: Stop, looked: Looked| Unresolved {
        stop,
        hop: Some(Hop::Dns),
        looked,
    };
    for (_, server, heard) in heard {
        match heard {
            Heard::Right(looked, says) => {
                good.get_or_insert((looked, says));
            }
            Heard::Wrong(stop, looked) => return Err(at_dns(stop, looked)),
            Heard::Nothing(stop, looked) => silent.push((server, stop, looked)),
        }
    }
    match good {
        Some((looked, server)) => Ok(Resolved {
            looked,
            server,
            silent: silent.into_iter().map(|(server, stop, _)| (server, stop)).collect(),
        }),
        None => Err(match silent.into_iter().next() {
            Some((_, stop, looked)) => at_dns(stop, looked),
            None => Unresolved::not_asked(Stop::unknown("not tried: no resolver is configured")),
        }),
    }
}

/// What one server said of a path.
enum Heard {
    /// Exactly what is demanded.
    Right(Looked, String),
    /// Clients that ask it are sent elsewhere, or told that there is nothing.
    Wrong(Stop, Looked),
    /// Nothing of use.
    Nothing(Stop, Looked),
}

async fn at_server(
    via: &Via,
    server: SocketAddr,
    path: &ProbePath,
    demanded: &BTreeSet<IpAddr>,
    until: Instant,
) -> Heard {
    let is_demanded = |kind: &RecordType| demanded.iter().any(|a| a.is_ipv4() == (*kind == RecordType::A));
    let (kinds, others): (Vec<_>, Vec<_>) = [RecordType::A, RecordType::AAAA].into_iter().partition(is_demanded);
    let mut looked = Looked::default();
    let mut said = None;
    for kind in kinds {
        let reply = match dns::ask(&via.dialer, server, &path.fqdn, kind, until).await {
            Ok(reply) => reply,
            Err(stop) => return Heard::Nothing(stop, looked),
        };
        let more = answer::follow(&reply.message);
        looked.addresses.extend(more.addresses);
        looked.cname_chain = more.cname_chain;
        let code = reply.message.metadata.response_code;
        said = Some((code, reply.server));
        if code != ResponseCode::NoError {
            break;
        }
    }
    let Some((code, says)) = said else {
        return Heard::Nothing(Stop::unknown("not tried: no address is demanded"), looked);
    };
    match answer::judge(path, demanded, code, &looked, &says) {
        Err(stop) if dns::is_no_answer(code) => return Heard::Nothing(stop, looked),
        Err(stop) => return Heard::Wrong(stop, looked),
        Ok(()) => {}
    }
    for kind in others {
        if let Err(stop) = beside(via, server, path, demanded, kind, &mut looked, until).await {
            return Heard::Wrong(stop, looked);
        }
    }
    Heard::Right(looked, says)
}

/// Asks for the kind of address that is not demanded: clients that prefer it would go there, and the lock would cut them off.
/// A resolver that refuses, fails or stays silent sends nobody anywhere, and many do so for AAAA: after a bounded time it is
/// passed over.
async fn beside(
    via: &Via,
    server: SocketAddr,
    path: &ProbePath,
    demanded: &BTreeSet<IpAddr>,
    kind: RecordType,
    looked: &mut Looked,
    until: Instant,
) -> Result<(), Stop> {
    let now = Instant::now();
    let until = now + (until.saturating_duration_since(now) / 2).min(LONGEST_BESIDE);
    let Ok(reply) = dns::ask(&via.dialer, server, &path.fqdn, kind, until).await else {
        return Ok(());
    };
    if reply.message.metadata.response_code != ResponseCode::NoError {
        return Ok(());
    }
    let more = answer::follow(&reply.message).addresses;
    let judged = answer::judge_beside(&path.fqdn, demanded, &more, &reply.server);
    if judged.is_err() {
        looked.addresses.extend(more);
    }
    judged
}

/// The tcp hop: every address must accept; the first one's stream goes on.
async fn connect(via: &Via, addresses: &[IpAddr], port: u16, until: Instant) -> Result<tokio::net::TcpStream, Stop> {
    let mut dials = JoinSet::new();
    for (nth, &address) in addresses.iter().enumerate() {
        let (dialer, target) = (via.dialer.clone(), SocketAddr::new(address, port));
        dials.spawn(async move {
            (
                nth,
                dialer
                    .connect(target, until)
                    .await
                    .map_err(|error| explain(error, target)),
            )
        });
    }
    let mut first = None;
    while let Some(done) = dials.join_next().await {
        let (nth, dialled) = done.map_err(|error| Stop::unknown(format!("a dial ended early: {error}")))?;
        let stream = dialled?;
        if nth == 0 {
            first = Some(stream);
        }
    }
    first.ok_or_else(|| Stop::unknown("not tried: DNS answered no address"))
}

fn explain(error: DialError, target: SocketAddr) -> Stop {
    match error {
        DialError::Refused => Stop::failed(format!("{target} refuses the connection: nothing listens there")),
        DialError::Silent => Stop::failed(format!(
            "{target} does not answer: no route, a network rule, or an endpoint that is not approved or gone"
        )),
        DialError::Unreachable(how) => Stop::failed(format!("{target} cannot be reached: {how}")),
        DialError::NoDatagrams => Stop::unknown("the proxy carries no streams"),
        DialError::Trouble(why) => Stop::unknown(why),
    }
}

#[cfg(test)]
#[path = "attempt/tests.rs"]
mod tests;
