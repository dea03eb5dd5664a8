//! What each network's resolver answers: private zones linked to the asking VNet first, then public names, with the
//! caches that stand between. In: the world, the caches, the simulated time, a name. Out: one answer. No sockets.
//!
//! ```text
//! public name of a target     without endpoint   CNAME front end → A public address
//!                             with endpoint      CNAME privatelink name → …
//! privatelink name            zone linked here   its record (TTL 10), else NXDOMAIN, else publicly (NxDomainRedirect)
//!                             no zone linked     CNAME front end → A public address; NXDOMAIN without endpoint
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::names;
use super::routing::{Resolver, dns_servers_of, resolver_at};
use crate::json::{list, text};
use crate::world::{Key, World, key};

/// Seconds that a missing public name is remembered.
const PUBLIC_NEGATIVE_TTL: u32 = 300;
/// Seconds that a missing private record is remembered: the minimum of a private zone's SOA.
const PRIVATE_NEGATIVE_TTL: u32 = 10;
/// Seconds that the address of a public front end lives.
const FRONT_END_TTL: u32 = 60;
/// More aliases in a row than this is a loop.
const LONGEST_CHAIN: usize = 12;

/// What a question asks for. Records other than A and CNAME do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionType {
    /// IPv4 addresses.
    A,
    /// The alias itself, not followed.
    Cname,
    /// Anything else (AAAA, TXT, …): existing names answer that they hold none.
    Other,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rcode {
    /// The name exists; the addresses may still be empty.
    NoError,
    /// The name, or the end of its chain, does not exist.
    NxDomain,
    /// The resolver could not find out (unknown network, no DNS server in reach, a loop of aliases, an injected fault).
    ServFail,
}

/// One CNAME of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Owner name, lower case.
    pub name: String,
    /// Where it points, lower case.
    pub target: String,
    /// Seconds it may still be cached.
    pub ttl: u32,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    /// How it ended.
    pub rcode: Rcode,
    /// The CNAMEs followed, in order.
    pub chain: Vec<Alias>,
    /// The addresses of the last name.
    pub addresses: Vec<Ipv4Addr>,
    /// The end of the chain came from a private zone, first-hand.
    pub authoritative: bool,
    /// Seconds that the addresses, or their absence, may still be cached.
    pub ttl: u32,
    /// The zone that vouches for an absence (owner of the SOA in the authority section).
    pub zone: String,
}

impl DnsAnswer {
    /// An answer that says only that the resolver failed.
    pub fn failure() -> Self {
        DnsAnswer {
            rcode: Rcode::ServFail,
            chain: Vec::new(),
            addresses: Vec::new(),
            authoritative: false,
            ttl: 0,
            zone: String::new(),
        }
    }
}

/// What one name holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holds {
    Alias(String),
    Addresses(Vec<Ipv4Addr>),
    /// The name exists and holds nothing of use.
    Nothing,
    /// The name does not exist.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    holds: Holds,
    ttl: u32,
    authoritative: bool,
    zone: String,
}

/// Where a cached fact came from; private facts are told apart by zone, so that a new link counts at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Public,
    Zone(Key),
    Upstream,
}

/// The caches of all resolvers, on the simulated clock.
#[derive(Debug, Default)]
pub struct Caches {
    kept: BTreeMap<(Resolver, Source, String), (Duration, Found)>,
}

/// A cache of this many facts is swept of what expired before it takes another.
const SWEEP_ABOVE: usize = 50_000;

impl Caches {
    /// What is remembered, with what is left of its life.
    fn recall(&self, place: &(Resolver, Source, String), now: Duration) -> Option<Found> {
        let (until, found) = self.kept.get(place)?;
        let left = until.checked_sub(now).filter(|left| !left.is_zero())?;
        let ttl = u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX);
        Some(Found { ttl, ..found.clone() })
    }

    fn keep(&mut self, place: (Resolver, Source, String), now: Duration, found: &Found) {
        if self.kept.len() >= SWEEP_ABOVE {
            self.kept.retain(|_, (until, _)| *until > now);
        }
        if self.kept.len() < SWEEP_ABOVE {
            self.kept
                .insert(place, (now + Duration::from_secs(u64::from(found.ttl)), found.clone()));
        }
    }
}

/// Answers a question as the first DNS server of this network does.
pub fn resolve(
    world: &World,
    caches: &mut Caches,
    now: Duration,
    network: &str,
    name: &str,
    wanted: QuestionType,
) -> DnsAnswer {
    let Some(network) = world.networks.get(network) else {
        return DnsAnswer::failure();
    };
    let server = dns_servers_of(world, network)
        .into_iter()
        .find_map(|server| resolver_at(world, network, server));
    server.map_or_else(DnsAnswer::failure, |server| {
        ask(world, caches, now, &server, name, wanted)
    })
}

/// Answers a question as this resolver does.
pub fn ask(
    world: &World,
    caches: &mut Caches,
    now: Duration,
    resolver: &Resolver,
    name: &str,
    wanted: QuestionType,
) -> DnsAnswer {
    let mut current = name.trim_end_matches('.').to_ascii_lowercase();
    let mut chain: Vec<Alias> = Vec::new();
    while chain.len() < LONGEST_CHAIN {
        let Found {
            holds,
            ttl,
            authoritative,
            zone,
        } = look_up(world, caches, now, resolver, &current);
        let end = |rcode, addresses, chain| DnsAnswer {
            rcode,
            chain,
            addresses,
            authoritative,
            ttl,
            zone,
        };
        match holds {
            Holds::Alias(target) => {
                chain.push(Alias {
                    name: current,
                    target: target.clone(),
                    ttl,
                });
                if wanted == QuestionType::Cname {
                    return end(Rcode::NoError, Vec::new(), chain);
                }
                current = target;
            }
            Holds::Addresses(addresses) if wanted == QuestionType::A => return end(Rcode::NoError, addresses, chain),
            Holds::Addresses(_) | Holds::Nothing => return end(Rcode::NoError, Vec::new(), chain),
            Holds::Missing => return end(Rcode::NxDomain, Vec::new(), chain),
        }
    }
    DnsAnswer::failure()
}

/// What one name holds, as this resolver sees it, through its cache.
fn look_up(world: &World, caches: &mut Caches, now: Duration, resolver: &Resolver, name: &str) -> Found {
    match resolver {
        Resolver::Public(_) => cached(caches, now, resolver, Source::Public, name, |_| public(world, name)),
        Resolver::Forwarder { upstream, .. } => cached(caches, now, resolver, Source::Upstream, name, |caches| {
            let told = match upstream {
                Some(vnet) => look_up(world, caches, now, &Resolver::Azure(vnet.clone()), name),
                None => public(world, name),
            };
            Found {
                authoritative: false,
                ..told
            }
        }),
        Resolver::Azure(vnet) => {
            if let Some(zone) = zone_for(world, vnet, name) {
                let source = Source::Zone(zone.id.clone());
                let found = cached(caches, now, resolver, source, name, |_| private(world, &zone, name));
                if found.holds != Holds::Missing || !zone.redirects {
                    return found;
                }
            }
            cached(caches, now, resolver, Source::Public, name, |_| public(world, name))
        }
    }
}

fn cached(
    caches: &mut Caches,
    now: Duration,
    resolver: &Resolver,
    source: Source,
    name: &str,
    find: impl FnOnce(&mut Caches) -> Found,
) -> Found {
    let place = (resolver.clone(), source, name.to_owned());
    if let Some(found) = caches.recall(&place, now) {
        return found;
    }
    let found = find(caches);
    caches.keep(place, now, &found);
    found
}

/// What the public DNS says of a name.
fn public(world: &World, name: &str) -> Found {
    let found = |holds, ttl| Found {
        holds,
        ttl,
        authoritative: false,
        zone: parent(name),
    };
    if let Some(address) = world.public_addresses.get(name) {
        return match names::owned(world, name) {
            Some(owned) if names::private_link_enabled(world, &owned) => {
                found(Holds::Alias(owned.name.private_fqdn()), names::public_ttl(name))
            }
            Some(_) => found(Holds::Alias(names::front_end_of(name)), names::public_ttl(name)),
            None => found(Holds::Addresses(vec![*address]), FRONT_END_TTL),
        };
    }
    if let Some(fqdn) = names::public_of_private(name)
        && world.public_addresses.contains_key(&fqdn)
        && names::owned(world, &fqdn).is_some_and(|owned| names::private_link_enabled(world, &owned))
    {
        return found(Holds::Alias(names::front_end_of(&fqdn)), FRONT_END_TTL);
    }
    match names::address_of_front_end(world, name) {
        Some(address) => found(Holds::Addresses(vec![address]), FRONT_END_TTL),
        None => found(Holds::Missing, PUBLIC_NEGATIVE_TTL),
    }
}

/// A private zone as one VNet sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LinkedZone {
    id: Key,
    name: String,
    redirects: bool,
}

/// The linked zone with the longest name that this name lies in.
fn zone_for(world: &World, vnet: &Key, name: &str) -> Option<LinkedZone> {
    world
        .of_kind("microsoft.network/privatednszones/virtualnetworklinks")
        .filter(|link| key(text(&link.body, "/properties/virtualNetwork/id")) == *vnet)
        .filter(|link| text(&link.body, "/properties/virtualNetworkLinkState").eq_ignore_ascii_case("Completed"))
        .filter_map(|link| {
            let id = key(&link.id).split_once("/virtualnetworklinks/")?.0.to_owned();
            let zone = id.rsplit('/').next()?.to_owned();
            let redirects = text(&link.body, "/properties/resolutionPolicy").eq_ignore_ascii_case("NxDomainRedirect");
            let inside = name == zone || name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'));
            (inside && world.resources.contains_key(&id)).then_some(LinkedZone {
                id,
                name: zone,
                redirects,
            })
        })
        .max_by_key(|zone| zone.name.len())
}

/// What a private zone holds for a name inside it.
fn private(world: &World, zone: &LinkedZone, name: &str) -> Found {
    let relative = match name.strip_suffix(&zone.name).map(|rest| rest.trim_end_matches('.')) {
        None | Some("") => "@",
        Some(relative) => relative,
    };
    let found = |holds, ttl| Found {
        holds,
        ttl,
        authoritative: true,
        zone: zone.name.clone(),
    };
    let wildcard = relative
        .split_once('.')
        .map_or("*".to_owned(), |(_, rest)| format!("*.{rest}"));
    let record = [relative, wildcard.as_str()]
        .iter()
        .find_map(|r| world.resources.get(&format!("{}/a/{r}", zone.id)));
    if let Some(record) = record {
        let ttl = record.body.pointer("/properties/ttl").and_then(Value::as_u64);
        let ttl = ttl
            .and_then(|ttl| u32::try_from(ttl).ok())
            .unwrap_or(PRIVATE_NEGATIVE_TTL);
        let records = list(&record.body, "/properties/aRecords").iter();
        let addresses: Vec<Ipv4Addr> = records.filter_map(|r| text(r, "/ipv4Address").parse().ok()).collect();
        return found(
            if addresses.is_empty() {
                Holds::Nothing
            } else {
                Holds::Addresses(addresses)
            },
            ttl,
        );
    }
    let below = format!(".{relative}");
    let prefix = format!("{}/a/", zone.id);
    let names_below = || {
        let range = world
            .resources
            .range(prefix.clone()..)
            .take_while(|(k, _)| k.starts_with(&prefix));
        range.into_iter().any(|(k, _)| k.ends_with(&below))
    };
    if relative == "@" || names_below() {
        return found(Holds::Nothing, PRIVATE_NEGATIVE_TTL);
    }
    found(Holds::Missing, PRIVATE_NEGATIVE_TTL)
}

/// The zone that a public name's absence is blamed on.
fn parent(name: &str) -> String {
    name.split_once('.')
        .map_or_else(|| name.to_owned(), |(_, parent)| parent.to_owned())
}
