//! The judge. It derives what had to be proven from the simulator's own world and what was proven from the simulator's own
//! journal; our status, our plans and our logs are never asked.

use std::collections::BTreeSet;

use azure_sim::Simulator;
use azure_sim::data_plane::{Caches, QuestionType, Reach, reach, resolve};
use azure_sim::journal::{Entry, Leg, Record, RequestEntry, StreamEntry};
use azure_sim::targets::{TargetKind, endpoints_of, owner_of_fqdn};
use azure_sim::world::{World, key};
use serde_json::Value;

/// What has to be true before anything is closed: every name of every target, from each of these networks, in a row.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// ARM id of the registry.
    pub registry: String,
    /// Names of the simulator's networks whose clients must be able to connect.
    pub networks: Vec<String>,
    /// Successes in a row.
    pub successes: usize,
}

/// One path: from a network to a name at an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Network.
    pub network: String,
    /// Public name.
    pub fqdn: String,
    /// The private endpoint's address.
    pub address: String,
}

/// ARM ids (lower case) of the registry and of every account that Azure made for it.
pub fn targets_of(world: &World, registry: &str) -> Vec<String> {
    let mut ids: BTreeSet<String> = BTreeSet::from([key(registry)]);
    if let Some(body) = world.get(registry).map(|r| &r.body) {
        collect_ids(
            body.pointer("/properties/regionDetails").unwrap_or(&Value::Null),
            &mut ids,
        );
    }
    ids.into_iter()
        .filter(|id| world.get(id).is_some_and(|r| TargetKind::of(&r.kind).is_some()))
        .collect()
}

fn collect_ids(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(id) = map.get("resourceId").and_then(Value::as_str) {
                ids.insert(key(id));
            }
            map.values().for_each(|v| collect_ids(v, ids));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_ids(v, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every path that the world as it is now requires.
pub fn required_paths(world: &World, requirement: &Requirement) -> BTreeSet<Path> {
    let mut paths = BTreeSet::new();
    for target in targets_of(world, &requirement.registry) {
        for endpoint in endpoints_of(world, &target).iter().filter(|e| e.connects()) {
            for member in &endpoint.members {
                for fqdn in &member.fqdns {
                    for network in &requirement.networks {
                        let address = member.address.to_string();
                        paths.insert(Path {
                            network: network.clone(),
                            fqdn: fqdn.clone(),
                            address,
                        });
                    }
                }
            }
        }
    }
    paths
}

/// The requests that closed something of this registry, in order.
pub fn closing_writes<'a>(targets: &[String], journal: &'a [Record]) -> Vec<(&'a Record, &'a RequestEntry)> {
    journal
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Request(request) => Some((record, request)),
            Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
        })
        .filter(|(_, request)| {
            request.write && matches!(request.method.as_str(), "PUT" | "PATCH") && request.status < 300
        })
        .filter(|(_, request)| targets.contains(&path_key(&request.path)) && request.body.as_ref().is_some_and(closes))
        .collect()
}

fn path_key(path: &str) -> String {
    key(path.split('?').next().unwrap_or_default())
}

fn closes(body: &Value) -> bool {
    let is = |pointer: &str, value: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    is("/properties/publicNetworkAccess", "Disabled")
        || is("/properties/networkAcls/defaultAction", "Deny")
        || is("/properties/networkRuleSet/defaultAction", "Deny")
}

/// Breaches of the one rule: for each closing write, the required paths that had not been proven by then. Empty is safe.
/// The world's *present* endpoints are required, so judge before a scenario takes endpoints away.
pub fn breaches(simulator: &Simulator, requirement: &Requirement) -> Vec<String> {
    let journal = simulator.journal().snapshot();
    let (targets, required) = simulator.with_world(|world| {
        (
            targets_of(world, &requirement.registry),
            required_paths(world, requirement),
        )
    });
    let mut breaches = Vec::new();
    for (record, request) in closing_writes(&targets, &journal) {
        if required.is_empty() {
            breaches.push(format!(
                "#{}: {} {}: no path was required",
                record.seq, request.method, request.path
            ));
        }
        for path in &required {
            let proven = successes_in_a_row(&journal, record.seq, path);
            if proven < requirement.successes {
                breaches.push(format!(
                    "#{}: {} {} closed before {} reached {} at {} ({proven} of {} in a row)",
                    record.seq,
                    request.method,
                    request.path,
                    path.network,
                    path.fqdn,
                    path.address,
                    requirement.successes
                ));
            }
        }
    }
    breaches
}

/// How many times in a row, counted back from just before `until`, the network asked for the name, was given exactly this
/// address and reached it with an answer.
fn successes_in_a_row(journal: &[Record], until: u64, path: &Path) -> usize {
    let mut count = 0;
    for record in journal.iter().rev().filter(|r| r.seq < until) {
        match &record.entry {
            Entry::Stream(stream) if is_attempt(stream, path) => {
                if reached(stream, path) {
                    count += 1;
                } else {
                    return count;
                }
            }
            Entry::Dns(question)
                if question.network == path.network && question.name == path.fqdn && question.record_type == "A" =>
            {
                let suffix = format!(" A {}", path.address);
                if !question.answers.iter().any(|a| a.ends_with(&suffix)) {
                    return count;
                }
            }
            Entry::Request(_) | Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => {}
        }
    }
    count
}

fn is_attempt(stream: &StreamEntry, path: &Path) -> bool {
    stream.network == path.network && stream.sni.as_deref() == Some(path.fqdn.as_str())
}

fn reached(stream: &StreamEntry, path: &Path) -> bool {
    stream.leg == Leg::Endpoint
        && stream.address.to_string() == path.address
        && stream.http_status.is_some_and(|s| s < 500 && s != 429)
}

/// ARM writes of one principal after a point in the journal, as `METHOD path`.
pub fn writes_since(journal: &[Record], since: u64) -> Vec<String> {
    journal
        .iter()
        .filter(|r| r.seq > since)
        .filter_map(|record| match &record.entry {
            Entry::Request(request) if request.write => Some(format!("{} {}", request.method, request.path)),
            Entry::Request(_) | Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
        })
        .collect()
}

/// Whether registry, storage and ACR are all closed, as the simulator's data plane will have it: `(id, closed)`.
pub fn closed(simulator: &Simulator, registry: &str) -> Vec<(String, bool)> {
    simulator.with_world(|world| {
        targets_of(world, registry)
            .into_iter()
            .map(|id| {
                let open = world.get(&id).is_none_or(|r| {
                    let kind = TargetKind::of(&r.kind);
                    kind.is_none_or(|kind| {
                        let access = azure_sim::targets::access_in(kind, &r.body);
                        access.public_open || (access.enabled && !access.ip_rules.is_empty())
                    })
                });
                (id, !open)
            })
            .collect()
    })
}

/// How often ARM was asked for this resource (lower-cased id) after a point in the journal.
pub fn reads_since(journal: &[Record], since: u64, id: &str) -> usize {
    journal
        .iter()
        .filter(|r| r.seq > since)
        .filter(|record| match &record.entry {
            Entry::Request(request) => request.method == "GET" && path_key(&request.path) == id,
            Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => false,
        })
        .count()
}

/// Whether clients of a network resolve every name of other teams' targets and get a connection to what they were given: what
/// must stay true, at every moment, for a network that nobody linked or named.
pub fn uninvolved_connects(simulator: &Simulator, registry: &str, network: &str) -> bool {
    let now = simulator.now();
    simulator.with_world(|world| {
        let ours = targets_of(world, registry);
        let others = world
            .public_addresses
            .keys()
            .filter(|n| owner_of_fqdn(world, n).is_none_or(|o| !ours.contains(&o)));
        let others: Vec<&String> = others.collect();
        !others.is_empty()
            && others.into_iter().all(|name| {
                let answer = resolve(world, &mut Caches::default(), now, network, name, QuestionType::A);
                let address = answer.addresses.first().copied();
                address.is_some_and(|a| matches!(reach(world, network, a, 443), Reach::Server(_)))
            })
    })
}
