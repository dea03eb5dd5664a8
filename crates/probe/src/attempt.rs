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
}

impl Attempt {
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
        }
    }
}

/// Looks at `path` once, by way of `via`, in at most `limit`. DNS is asked anew and every stream is a new one.
pub async fn attempt(via: &Via, path: &ProbePath, limit: Duration) -> Attempt {
    attempt_at_port(via, path, limit, 443).await
}

/// As [`attempt`], to another port than 443: tests have no privilege to listen there.
pub(crate) async fn attempt_at_port(via: &Via, path: &ProbePath, limit: Duration, port: u16) -> Attempt {
    if !hosts::allows(&via.host_suffixes, &path.fqdn) {
        let stop = Stop::unknown(format!(
            "not tried: {} is no host of this cloud's registries",
            path.fqdn
        ));
        return Attempt::ended(stop, None, &Looked::default());
    }
    let start = Instant::now();
    let until = |percent: u32| start + limit * percent / 100;
    let mut looked = Looked::default();
    let server = match resolve(via, path, &mut looked, until(40)).await {
        Ok(server) => server,
        Err((stop, hop)) => return Attempt::ended(stop, hop, &looked),
    };
    let stream = match connect(via, &looked.addresses, port, until(70)).await {
        Ok(stream) => stream,
        Err(stop) => return Attempt::ended(stop, Some(Hop::Tcp), &looked),
    };
    let stream = match tls::handshake(&via.roots, stream, &path.fqdn, until(85)).await {
        Ok(stream) => stream,
        Err(stop) => return Attempt::ended(stop, Some(Hop::Tls), &looked),
    };
    let answer = exchange::exchange(stream, path.service, &path.fqdn, until(100)).await;
    match answer.and_then(|answer| verdict::judge(path.service, &path.fqdn, &answer)) {
        Ok(says) => {
            let at = answer::list(&looked.addresses);
            Attempt::passed(format!("{server} answers {at}; {says}"), &looked)
        }
        Err(stop) => Attempt::ended(stop, Some(Hop::Http), &looked),
    }
}

/// The dns hop: fills `looked` and returns who answered. A stop without a hop means that nothing was asked.
async fn resolve(
    via: &Via,
    path: &ProbePath,
    looked: &mut Looked,
    until: Instant,
) -> Result<String, (Stop, Option<Hop>)> {
    let demanded = answer::demanded(path).map_err(|stop| (stop, None))?;
    let at_dns = |stop| (stop, Some(Hop::Dns));
    let demanded_is = |kind: RecordType| demanded.iter().any(|a| a.is_ipv4() == (kind == RecordType::A));
    let (kinds, others): (Vec<_>, Vec<_>) = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .partition(|k| demanded_is(*k));
    let mut said = None;
    for kind in kinds {
        let reply = dns::ask(&via.dialer, via.resolver, &path.fqdn, kind, until)
            .await
            .map_err(at_dns)?;
        let more = answer::follow(&reply.message);
        looked.addresses.extend(more.addresses);
        looked.cname_chain = more.cname_chain;
        let code = reply.message.metadata.response_code;
        said = Some((code, reply.server));
        if code != ResponseCode::NoError {
            break;
        }
    }
    let Some((code, server)) = said else {
        return Err((Stop::unknown("not tried: no address is demanded"), None));
    };
    answer::judge(path, &demanded, code, looked, &server).map_err(at_dns)?;
    for kind in others {
        beside(via, path, &demanded, kind, looked, until)
            .await
            .map_err(at_dns)?;
    }
    Ok(server)
}

/// Asks for the kind of address that is not demanded: clients that prefer it would go there, and the lock would cut them off.
/// A resolver that refuses, fails or stays silent sends nobody anywhere, and many do so for AAAA: after a bounded time it is
/// passed over.
async fn beside(
    via: &Via,
    path: &ProbePath,
    demanded: &BTreeSet<IpAddr>,
    kind: RecordType,
    looked: &mut Looked,
    until: Instant,
) -> Result<(), Stop> {
    let now = Instant::now();
    let until = now + (until.saturating_duration_since(now) / 2).min(LONGEST_BESIDE);
    let Ok(reply) = dns::ask(&via.dialer, via.resolver, &path.fqdn, kind, until).await else {
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
