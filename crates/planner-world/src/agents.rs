//! What agents see: the world's own DNS and connections.

use std::collections::BTreeSet;

use sreg_api::probe::{ConnectivityProbeStatus, Hop, PathResult, ProbeOutcome};
use sreg_domain::Fact;
use sreg_domain::desired::NetworkPlace;

use super::World;

impl World {
    /// Whether a name leads a network's clients to an endpoint, by the world's own DNS.
    pub fn reaches(&self, network: &str, fqdn: &str, addresses: &[String]) -> Result<(), (Hop, String)> {
        if self.broken.contains(&(network.to_owned(), fqdn.to_owned())) {
            return Err((Hop::Tcp, "connection timed out".into()));
        }
        // What is there does not go because nobody may use it any more.
        let everything;
        let desired = if self.desired.client_networks().is_empty() {
            everything = super::wished(&self.object, None);
            &everything
        } else {
            &self.desired
        };
        let client = desired.client_networks().iter().find(|n| n.name == network).unwrap();
        // An office asks the hub's forwarder.
        let asks = match &client.place {
            NetworkPlace::VirtualNetwork(id) => id.clone(),
            NetworkPlace::OnPremises(_) => desired
                .endpoints()
                .iter()
                .find(|e| e.name == client.endpoint)
                .unwrap()
                .virtual_network
                .clone(),
        };
        let mut found: BTreeSet<String> = BTreeSet::new();
        for zone in self.seen.azure.zones.values().filter_map(Fact::seen) {
            let linked = zone
                .links
                .seen()
                .is_some_and(|l| l.iter().any(|l| l.virtual_network == asks));
            let suffix = zone.id.name().trim_start_matches("privatelink.").to_owned();
            let record = fqdn.strip_suffix(&format!(".{suffix}"));
            if let (true, Some(record), Some(records)) = (linked, record, zone.records.seen()) {
                found.extend(records.get(record).into_iter().flatten().map(ToString::to_string));
            }
        }
        if found.iter().cloned().collect::<Vec<_>>() == addresses {
            Ok(())
        } else {
            Err((
                Hop::Dns,
                format!(
                    "answers {}",
                    if found.is_empty() {
                        "a public address".to_owned()
                    } else {
                        found.into_iter().collect::<Vec<_>>().join(" ")
                    }
                ),
            ))
        }
    }

    /// Every agent that is not silent answers its probe with as many attempts as a round needs.
    pub fn answer(&mut self) {
        let mut answers = Vec::new();
        for (point, fact) in &self.seen.cluster.probes {
            let (Fact::Seen(probe), false) = (fact, self.silent.contains(point)) else {
                continue;
            };
            let Some(network) = self
                .desired
                .client_networks()
                .iter()
                .find(|n| n.vantage_point == *point)
            else {
                continue;
            };
            let needed = probe.spec.consecutive_successes;
            let results = probe.spec.paths.iter().map(|path| {
                let publicly = probe.spec.dns_servers.iter().find(|s| self.public_servers.contains(*s));
                let found = match publicly {
                    Some(server) => Err((Hop::Dns, format!("{server}:53 answers public 20.60.1.1"))),
                    None => self.reaches(&network.name, &path.fqdn, &path.addresses),
                };
                let mute = probe.spec.dns_servers.iter().filter(|s| self.mute_servers.contains(*s));
                PathResult {
                    fqdn: path.fqdn.clone(),
                    outcome: if found.is_ok() {
                        ProbeOutcome::Succeeded
                    } else {
                        ProbeOutcome::Failed
                    },
                    hop: found.as_ref().err().map(|(hop, _)| *hop),
                    message: found.as_ref().err().map(|(_, why)| why.clone()).unwrap_or_default(),
                    addresses: if found.is_ok() {
                        path.addresses.clone()
                    } else {
                        Vec::new()
                    },
                    cname_chain: Vec::new(),
                    silent_dns_servers: mute.map(|s| format!("{s}:53")).collect(),
                    successes: if found.is_ok() { needed } else { 0 },
                    failures: if found.is_ok() { 0 } else { needed },
                    last_transition_time: None,
                }
            });
            let mut status = ConnectivityProbeStatus {
                observed_generation: Some(probe.generation),
                round: probe.spec.round,
                subject: probe.spec.subject.clone(),
                results: results.collect(),
                ..ConnectivityProbeStatus::default()
            };
            if let Some(lie) = self.liars.get(point) {
                lie.twist(&mut status, needed);
            }
            answers.push((point.clone(), status));
        }
        for (point, status) in answers {
            if let Some(Fact::Seen(probe)) = self.seen.cluster.probes.get_mut(&point) {
                probe.status = Some(status);
            }
        }
        for (point, fact) in &mut self.seen.cluster.vantage_points {
            if let Fact::Seen(seen) = fact {
                seen.alive = Fact::Seen(!self.silent.contains(point));
            }
        }
    }
}
