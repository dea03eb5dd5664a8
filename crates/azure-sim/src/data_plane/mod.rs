//! The data plane: every network of the world is a place to connect from, a SOCKS5 port for agents (addresses only, and
//! UDP) and one for people (`curl --proxy socks5h://…`). In: the world, read live under its lock for each question and
//! stream. Out: DNS answers, TLS servers, silence; a journal entry for each. The decisions are pure and free of sockets
//! ([`resolve`], [`reach`], [`answer_http`]), so that a simulation under paused time makes the same ones.
//!
//! ```text
//! client ── CONNECT ──► reach ──► DNS server ──► resolve, with the caches of that resolver
//!                         │  └──► TLS front end ──► answer_http, by the leg the stream came on
//!                         └─────► refused, silence
//! client ── UDP ASSOCIATE ──────► port 53 of the network's DNS servers, nothing else
//! ```

mod dns;
mod faults;
mod http_answers;
mod names;
mod resolver;
mod routing;
mod servers;
mod socks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use faults::{DataPlaneFault, DataPlaneFaults, Effect, HttpFault, RegistryDenial};
pub use http_answers::{HttpAnswer, answer_http};
pub use names::{Owned, front_end_of, owned, private_link_enabled, public_ttl};
pub use resolver::{Alias, Caches, DnsAnswer, QuestionType, Rcode, ask, resolve};
pub use routing::{
    AZURE_DNS, Leg, PUBLIC_DNS, Reach, Resolver, Served, Why, dns_servers_of, reach, reachable_virtual_networks,
    resolver_at,
};

use crate::certificates::CertificateAuthority;
use crate::journal::{DnsEntry, Entry};
use crate::simulator::Simulator;
use dns::{Received, Transport};
use faults::Moment;

/// Streams that one port serves at a time; more wait to be accepted.
const STREAMS_PER_PORT: usize = 4096;
/// Pause after a failed accept (no file descriptors left), so that it cannot spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The two loopback ports of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPorts {
    /// For agents: CONNECT to addresses only, names are refused; UDP ASSOCIATE carries DNS.
    pub socks5: SocketAddr,
    /// For people: also takes names, and resolves them as this network does.
    pub curl_proxy: SocketAddr,
}

/// The running data plane. Dropping it stops all of its tasks.
#[derive(Debug)]
pub struct Running {
    /// The ports of each network that the world had at the start, by name.
    pub networks: BTreeMap<String, NetworkPorts>,
    faults: DataPlaneFaults,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// The faults in force, to be read and changed at any time.
    pub fn faults(&self) -> &DataPlaneFaults {
        &self.faults
    }

    /// Stops listening, ends all streams and waits until every task is gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Opens the ports of every network and serves them until [`Running`] is shut down or dropped. Fails when a loopback
/// port cannot be opened.
pub async fn start(sim: Simulator, ca: Arc<CertificateAuthority>) -> anyhow::Result<Running> {
    start_with_faults(sim, ca, DataPlaneFaults::default()).await
}

/// As [`start`], with a table of faults that the caller shares.
pub async fn start_with_faults(
    sim: Simulator,
    ca: Arc<CertificateAuthority>,
    faults: DataPlaneFaults,
) -> anyhow::Result<Running> {
    let names: Vec<String> = sim.with_world(|world| world.networks.keys().cloned().collect());
    let plane = Arc::new(Plane {
        sim,
        ca,
        faults: faults.clone(),
        caches: Mutex::default(),
        configs: Mutex::default(),
    });
    let mut running = Running {
        networks: BTreeMap::new(),
        faults,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    for name in names {
        let network: Arc<str> = Arc::from(name.as_str());
        let mut open = [None; 2];
        for (slot, takes_names) in open.iter_mut().zip([false, true]) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .with_context(|| format!("open a loopback port for network {name}"))?;
            *slot = Some(
                listener
                    .local_addr()
                    .with_context(|| format!("read the port of network {name}"))?,
            );
            let port = Port {
                plane: plane.clone(),
                network: network.clone(),
                takes_names,
            };
            running
                .tasks
                .spawn(listen(port, listener, running.stop.clone(), running.tasks.clone()));
        }
        if let [Some(socks5), Some(curl_proxy)] = open {
            running.networks.insert(name, NetworkPorts { socks5, curl_proxy });
        }
    }
    Ok(running)
}

/// One listening port.
#[derive(Debug, Clone)]
struct Port {
    plane: Arc<Plane>,
    network: Arc<str>,
    takes_names: bool,
}

async fn listen(port: Port, listener: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(STREAMS_PER_PORT));
    let accept = async || -> std::io::Result<_> {
        let permit = room.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        Ok((permit, listener.accept().await?.0))
    };
    loop {
        let accepted: std::io::Result<(_, TcpStream)> = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok((permit, stream)) => {
                let (port, stop) = (port.clone(), stop.clone());
                tasks.spawn(async move {
                    let network = port.network.clone();
                    tokio::select! {
                        () = stop.cancelled() => {}
                        served = socks::serve_client(port, stream) => if let Err(error) = served {
                            tracing::debug!(network = %network, error = %error, "a client's stream ended early");
                        }
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(network = %port.network, %error, "accept a stream");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What all tasks share.
struct Plane {
    sim: Simulator,
    ca: Arc<CertificateAuthority>,
    faults: DataPlaneFaults,
    caches: Mutex<Caches>,
    configs: Mutex<BTreeMap<Vec<String>, Arc<ServerConfig>>>,
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plane").finish_non_exhaustive()
    }
}

/// What the opening of a stream comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Opening {
    /// A DNS server that answers on this stream.
    Dns,
    /// A TLS front end.
    Server(Served),
    /// Accepted, then reset.
    Reset,
    /// Refused.
    Refused,
    /// Nothing, ever.
    Silence(Why),
}

impl Plane {
    /// What becomes of a stream from this network to this address, faults included.
    fn open(&self, network: &str, address: Ipv4Addr, port: u16) -> Opening {
        let reached = self.sim.with_world(|world| reach(world, network, address, port));
        let names: &[String] = match &reached {
            Reach::Server(served) => &served.fqdns,
            Reach::Dns(_) | Reach::Refused | Reach::Silence(_) => &[],
        };
        let address = address.to_string();
        let hosts = std::iter::once(address.as_str()).chain(names.iter().map(String::as_str));
        match self.faults.strike(Moment::Stream, network, hosts) {
            Some(Effect::Drop) => return Opening::Silence(Why::Fault),
            Some(Effect::Refuse) => return Opening::Refused,
            Some(Effect::Reset) => return Opening::Reset,
            _ => {}
        }
        match reached {
            Reach::Dns(_) => Opening::Dns,
            Reach::Server(served) => Opening::Server(served),
            Reach::Refused => Opening::Refused,
            Reach::Silence(why) => Opening::Silence(why),
        }
    }

    /// Answers the bytes of one question to the DNS server at this address; `None` is silence.
    fn answer_dns(&self, network: &str, server: Ipv4Addr, transport: Transport, bytes: &[u8]) -> Option<Vec<u8>> {
        let asked = match dns::receive(bytes) {
            Received::Question(asked) => asked,
            Received::Error(bytes) => return Some(bytes),
            Received::Garbage => return None,
        };
        let answer = self.resolve_at(network, server, &asked.name, asked.wanted());
        let (reply, answers) = match answer.as_ref().map(|answer| dns::reply(&asked, answer, transport)) {
            Some(Some((bytes, answers))) => (Some(bytes), answers),
            Some(None) | None => (None, Vec::new()),
        };
        let rcode = answer
            .filter(|_| reply.is_some())
            .map_or("Timeout", |answer| rcode_text(answer.rcode));
        self.sim.journal().record(Entry::Dns(DnsEntry {
            network: network.to_owned(),
            server: server.to_string(),
            name: asked.name.clone(),
            record_type: asked.record_type.to_string(),
            transport: <&str>::from(transport).to_owned(),
            rcode: rcode.to_owned(),
            answers,
        }));
        reply
    }

    /// What the DNS server at this address says of a name, faults included; `None` is silence.
    fn resolve_at(&self, network: &str, server: Ipv4Addr, name: &str, wanted: QuestionType) -> Option<DnsAnswer> {
        if self.faults.drops_questions(network, server) {
            return None;
        }
        let address = server.to_string();
        match self
            .faults
            .strike(Moment::Question, network, [name, address.as_str()].into_iter())
        {
            Some(Effect::DnsTimeout) => return None,
            Some(Effect::DnsServFail) => return Some(DnsAnswer::failure()),
            Some(Effect::DnsNxDomain) => return Some(dns::forged(Vec::new(), Rcode::NxDomain)),
            Some(Effect::DnsAddresses(addresses)) => {
                let addresses = if wanted == QuestionType::A {
                    addresses
                } else {
                    Vec::new()
                };
                return Some(dns::forged(addresses, Rcode::NoError));
            }
            _ => {}
        }
        let now = self.sim.now();
        self.sim.with_world(|world| {
            let resolver = resolver_at(world, world.networks.get(network)?, server)?;
            let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
            Some(ask(world, &mut caches, now, &resolver, name, wanted))
        })
    }

    /// The first address of a name as this network resolves it, for the people's port.
    fn resolve_for_people(&self, network: &str, name: &str) -> Option<Ipv4Addr> {
        let server = self.sim.with_world(|world| {
            world
                .networks
                .get(network)
                .and_then(|n| dns_servers_of(world, n).first().copied())
        })?;
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let answer = self.resolve_at(network, server, &name, QuestionType::A);
        let aliases = answer
            .iter()
            .flat_map(|a| &a.chain)
            .map(|a| format!("{} CNAME {}", a.name, a.target));
        let last = answer
            .as_ref()
            .and_then(|a| a.chain.last())
            .map_or(name.as_str(), |alias| alias.target.as_str());
        let addresses = answer
            .iter()
            .flat_map(|a| &a.addresses)
            .map(|address| format!("{last} A {address}"));
        self.sim.journal().record(Entry::Dns(DnsEntry {
            network: network.to_owned(),
            server: server.to_string(),
            name: name.clone(),
            record_type: "A".to_owned(),
            transport: "proxy".to_owned(),
            rcode: answer
                .as_ref()
                .map_or("Timeout", |answer| rcode_text(answer.rcode))
                .to_owned(),
            answers: aliases.chain(addresses).collect(),
        }));
        answer?.addresses.first().copied()
    }
}

fn rcode_text(rcode: Rcode) -> &'static str {
    match rcode {
        Rcode::NoError => "NoError",
        Rcode::NxDomain => "NXDomain",
        Rcode::ServFail => "ServFail",
    }
}
