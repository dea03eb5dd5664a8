//! The vantage points, in process: the agent's own pure half over attempts that the simulator's pure functions answer. Every
//! attempt is kept, so that a test can judge what was proven when, without asking the operator.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_sim::Simulator;
use azure_sim::data_plane::{Caches, Leg, QuestionType, Reach, answer_http, ask, dns_servers_of, reach, resolver_at};
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use sreg_api::ConnectivityProbe;
use sreg_api::names::{AGENT_MANAGER, LABEL_VANTAGE_POINT};
use sreg_api::probe::{ConnectivityProbeSpec, Hop, ProbeOutcome, ProbePath};
use sreg_probe::Attempt;
use sreg_runtime::Clock;
use sreg_runtime::agent::{PathResults, Question, Sweep, lease_name};
use tokio_util::sync::CancellationToken;

use super::api_server::ApiServer;

const RENEWAL: Duration = Duration::from_secs(15);

/// One attempt, as the simulator's world answered it.
#[derive(Debug, Clone)]
pub struct Tried {
    pub at: Duration,
    pub network: String,
    pub fqdn: String,
    pub passed: bool,
}

/// What all agents tried, in order.
pub type Log = Arc<Mutex<Vec<Tried>>>;

#[derive(Clone)]
pub struct Agents {
    pub sim: Simulator,
    pub api: ApiServer,
    pub clock: Clock,
    pub log: Log,
    pub caches: Arc<Mutex<Caches>>,
    /// Networks whose line is down.
    pub cut: Arc<Mutex<BTreeSet<&'static str>>>,
    /// How far the clock of an agent in a network is ahead.
    pub ahead: Arc<Mutex<HashMap<&'static str, SignedDuration>>>,
    /// Networks whose agent has stopped.
    pub stopped: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// A vantage point and the simulator's network that it stands in.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub vantage_point: &'static str,
    pub namespace: &'static str,
    pub network: &'static str,
}

struct Asked {
    standing: PathResults,
    next: tokio::time::Instant,
}

impl Agents {
    /// Takes a network's line down, or puts it up again.
    pub fn cut_off(&self, network: &'static str, down: bool) {
        let mut cut = self.cut.lock().unwrap();
        if down {
            cut.insert(network);
        } else {
            cut.remove(network);
        }
    }

    /// Runs one agent until stopped.
    pub async fn run(self, place: Place, stop: CancellationToken) {
        let mut asked: HashMap<String, Asked> = HashMap::new();
        let mut renew = tokio::time::Instant::now();
        let mut changes = self.api.changes();
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let now = tokio::time::Instant::now();
            if self.stopped.lock().unwrap().contains(place.network) {
                tokio::time::sleep(RENEWAL).await;
                continue;
            }
            if now >= renew {
                self.renew(place);
                renew = now + RENEWAL;
            }
            for probe in self
                .api
                .labelled("connectivityprobes", LABEL_VANTAGE_POINT, place.vantage_point)
            {
                self.answer(place, &probe, &mut asked).await;
            }
            let next = asked.values().map(|asked| asked.next).fold(renew, std::cmp::Ord::min);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                _ = changes.changed() => {}
                () = stop.cancelled() => {}
            }
            // Probes that are gone ask nothing.
            asked.retain(|name, asked| {
                asked.next > tokio::time::Instant::now()
                    || self.api.get("connectivityprobes", place.namespace, name).is_some()
            });
        }
    }

    /// The time by the clock of that network's agent.
    fn time(&self, network: &str) -> Timestamp {
        let ahead = self.ahead.lock().unwrap().get(network).copied().unwrap_or_default();
        self.clock.now().saturating_add(ahead).unwrap()
    }

    fn renew(&self, place: Place) {
        let renewed = self.time(place.network).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        self.api.put(
            "leases",
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": lease_name(place.vantage_point), "namespace": place.namespace},
                "spec": {"holderIdentity": "agent", "leaseDurationSeconds": 30, "renewTime": renewed},
            }),
        );
    }

    async fn answer(&self, place: Place, probe: &Value, asked: &mut HashMap<String, Asked>) {
        let generation = probe["metadata"]["generation"].as_i64().unwrap();
        let name = probe["metadata"]["name"].as_str().unwrap().to_owned();
        let now = tokio::time::Instant::now();
        let due = |known: &Asked| now >= known.next || known.standing.question().generation != generation;
        if asked.get(&name).is_some_and(|known| !due(known)) {
            return;
        }
        // A probe that nobody can read is nobody's to answer.
        let Ok(spec) = serde_json::from_value::<ConnectivityProbeSpec>(probe["spec"].clone()) else {
            return;
        };
        let question = Question { generation, spec };
        let published = serde_json::from_value(probe["status"].clone()).ok();
        let known = asked.entry(name.clone()).or_insert_with(|| Asked {
            standing: PathResults::new(question.clone(), published.as_ref()),
            next: now,
        });
        if *known.standing.question() != question {
            known.standing.ask(question.clone());
            known.next = now;
        }
        if now < known.next {
            return;
        }
        known.next = now + Duration::from_millis(question.spec.interval_milliseconds.try_into().unwrap());
        let attempts = question
            .spec
            .paths
            .iter()
            .map(|path| self.attempt(place.network, &question.spec.dns_servers, path))
            .collect();
        known.standing.take(
            &Sweep {
                generation: question.generation,
                attempts,
            },
            self.time(place.network),
        );
        let Some(status) = known.standing.unpublished(published.as_ref()) else {
            return;
        };
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.api.client(),
            place.namespace,
            &ApiResource::erase::<ConnectivityProbe>(&()),
        );
        let body = json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ConnectivityProbe",
            "metadata": {"name": name, "namespace": place.namespace, "uid": probe["metadata"]["uid"]}, "status": status,
        });
        // A probe that is gone meanwhile refuses it.
        api.patch_status(&name, &PatchParams::apply(AGENT_MANAGER).force(), &Patch::Apply(body))
            .await
            .ok();
    }

    fn attempt(&self, network: &str, servers: &[String], path: &ProbePath) -> Attempt {
        let (outcome, hop, message, addresses, cname_chain) = match self.look(network, servers, path) {
            Ok(seen) => (ProbeOutcome::Succeeded, None, "reached".to_owned(), seen.0, seen.1),
            Err((hop, message)) => (ProbeOutcome::Failed, Some(hop), message, Vec::new(), Vec::new()),
        };
        let passed = outcome == ProbeOutcome::Succeeded;
        let tried = Tried {
            at: self.sim.now(),
            network: network.to_owned(),
            fqdn: path.fqdn.clone(),
            passed,
        };
        self.log.lock().unwrap().push(tried);
        Attempt {
            outcome,
            hop,
            message,
            addresses,
            cname_chain,
            silent_servers: Vec::new(),
        }
    }

    /// Asks every DNS server that the probe names, and the network's first.
    fn look(
        &self,
        network: &str,
        servers: &[String],
        path: &ProbePath,
    ) -> Result<(Vec<String>, Vec<String>), (Hop, String)> {
        let now = self.sim.now();
        self.sim.with_world(|world| {
            let place = world
                .networks
                .get(network)
                .ok_or((Hop::Dns, "no such network".to_owned()))?;
            let mut all = dns_servers_of(world, place);
            all.truncate(1);
            all.extend(servers.iter().filter_map(|text| text.parse::<Ipv4Addr>().ok()));
            let mut wanted = path.addresses.clone();
            wanted.sort();
            let mut first = None;
            for server in all {
                let Some(resolver) = resolver_at(world, place, server) else {
                    continue;
                };
                let answer = ask(
                    world,
                    &mut self.caches.lock().unwrap(),
                    now,
                    &resolver,
                    &path.fqdn,
                    QuestionType::A,
                );
                let chain: Vec<String> = answer.chain.iter().map(|alias| alias.target.clone()).collect();
                let mut addresses: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
                addresses.sort();
                if addresses != wanted {
                    let message = format!("{server} resolves {} to {addresses:?} instead of {wanted:?}", path.fqdn);
                    return Err((Hop::Dns, message));
                }
                if path
                    .private_link_name
                    .as_ref()
                    .is_some_and(|name| !chain.contains(name))
                {
                    let message = format!("{server} leads {} not over its privatelink name", path.fqdn);
                    return Err((Hop::Dns, message));
                }
                first.get_or_insert((addresses, chain, answer.addresses));
            }
            let Some((addresses, chain, reached)) = first else {
                return Err((Hop::Dns, "no DNS server answers".to_owned()));
            };
            if self.cut.lock().unwrap().contains(network) {
                return Err((Hop::Tcp, "the line is down".to_owned()));
            }
            for address in reached {
                connect(world, now, network, &path.fqdn, address)?;
            }
            Ok((addresses, chain))
        })
    }
}

/// A stream to one address, and what the service behind it says.
fn connect(
    world: &azure_sim::world::World,
    now: Duration,
    network: &str,
    fqdn: &str,
    address: Ipv4Addr,
) -> Result<(), (Hop, String)> {
    let served = match reach(world, network, address, 443) {
        Reach::Server(served) => served,
        other => return Err((Hop::Tcp, format!("{address}:443 does not answer: {other:?}"))),
    };
    if !matches!(served.leg, Leg::Endpoint { .. }) || !served.fqdns.iter().any(|name| name == fqdn) {
        return Err((Hop::Tls, format!("{address} is not a private endpoint of {fqdn}")));
    }
    let (head, ()) = http::Request::get("/")
        .header("host", fqdn)
        .body(())
        .unwrap()
        .into_parts();
    let answer = answer_http(world, now, &served, &head, Default::default());
    if answer.status.is_server_error() {
        Err((Hop::Http, format!("{}", answer.status)))
    } else {
        Ok(())
    }
}
