//! What an address and port reach from a network: a DNS server, a target's front end by one of two legs, a refusal, or
//! silence with its reason. A pure function of the world, so that a simulation under paused time uses it as the sockets do.
//!
//! ```text
//! from           private addresses                              DNS servers (port 53)               public addresses
//! VNet           its own and its two-sided peers' (one hop)     168.63.129.16 and its dnsServers    by egress address
//! on-premises    the connected VNet's and that one's peers'     its own forwarder                   by egress address
//! internet       none                                           1.1.1.1                             by egress address
//! ```

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::names;
use crate::json::{list, text};
use crate::targets::{self, EndpointMember, EndpointView};
use crate::world::{Key, Network, Place, World, key};

/// The address at which Azure answers DNS inside every virtual network.
pub const AZURE_DNS: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// The resolver of the internet networks.
pub const PUBLIC_DNS: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

/// Who answers a DNS question, and therefore whose cache and whose zones count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolver {
    /// 168.63.129.16 as seen in this VNet: its linked private zones first, then public names.
    Azure(Key),
    /// A server that forwards every question and caches what it is told.
    Forwarder {
        /// The on-premises network it belongs to, or its address and VNet.
        name: String,
        /// The VNet in whose view it asks; `None` asks publicly.
        upstream: Option<Key>,
    },
    /// A public resolver as used from this network (a cache per network).
    Public(String),
}

/// By which way a stream came to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg {
    /// Through this private endpoint.
    Endpoint {
        /// Lower-cased ARM id of the endpoint.
        id: Key,
    },
    /// Through the public address.
    Public {
        /// The source address that the server sees.
        egress: Ipv4Addr,
        /// The VNet it left, for virtual network rules (service endpoints).
        virtual_network: Option<Key>,
    },
}

/// A front end that a stream has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The public names served at this address, lower case; never empty.
    pub fqdns: Vec<String>,
    /// The target behind it, lower-cased ARM id; `None` for hosts that belong to no resource.
    pub target: Option<Key>,
    /// How the stream came.
    pub leg: Leg,
}

/// Why a stream gets no answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum Why {
    /// A private address that no VNet reachable from here holds.
    NotRouted,
    /// Routed, but nothing has this address or listens on this port.
    NobodyThere,
    /// The endpoint's connection is Pending, Rejected, Disconnected or Timeout, or the endpoint did not come up.
    NotApproved,
    /// The subnet's network policies drop what comes from this network.
    Blocked,
    /// An injected fault.
    Fault,
}

/// What an address and port reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A DNS server.
    Dns(Resolver),
    /// A TLS front end.
    Server(Served),
    /// A refusal: the address is none that a network carries (loopback, multicast, …).
    Refused,
    /// Nothing ever comes back.
    Silence(Why),
}

/// Decides what `address:port` reaches from `network`. Unknown networks reach nothing.
pub fn reach(world: &World, network: &str, address: Ipv4Addr, port: u16) -> Reach {
    let Some(network) = world.networks.get(network) else {
        return Reach::Silence(Why::NotRouted);
    };
    if address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified() {
        return Reach::Refused;
    }
    if port == 53 {
        return resolver_at(world, network, address).map_or(Reach::Silence(Why::NobodyThere), Reach::Dns);
    }
    let near = reachable_virtual_networks(world, network);
    if let Some((view, member)) = endpoint_at(world, &near, address) {
        return through_endpoint(world, network, view, member, port);
    }
    let routed = near.iter().any(|vnet| holds(world, vnet, address));
    if !routed && !address.is_private() && !address.is_link_local() && port == 443 {
        return through_internet(world, network, address);
    }
    Reach::Silence(if routed || !address.is_private() {
        Why::NobodyThere
    } else {
        Why::NotRouted
    })
}

/// The DNS servers that a machine in this network is configured with, in order.
pub fn dns_servers_of(world: &World, network: &Network) -> Vec<Ipv4Addr> {
    match &network.place {
        Place::VirtualNetwork(id) => {
            let custom = custom_dns_servers(world, id);
            if custom.is_empty() { vec![AZURE_DNS] } else { custom }
        }
        Place::OnPremises(site) => vec![site.dns_server],
        Place::Internet(_) => vec![PUBLIC_DNS],
    }
}

/// The server at this address, if it is one that this network may ask and can reach.
pub fn resolver_at(world: &World, network: &Network, address: Ipv4Addr) -> Option<Resolver> {
    match &network.place {
        Place::VirtualNetwork(id) if address == AZURE_DNS => Some(Resolver::Azure(key(id))),
        Place::VirtualNetwork(id) if custom_dns_servers(world, id).contains(&address) => {
            custom_resolver(world, network, address)
        }
        Place::VirtualNetwork(_) => None,
        Place::OnPremises(site) => (address == site.dns_server).then(|| Resolver::Forwarder {
            name: network.name.clone(),
            upstream: site.forwards_to.as_deref().map(key),
        }),
        Place::Internet(_) => (address == PUBLIC_DNS).then(|| Resolver::Public(network.name.clone())),
    }
}

/// What stands behind a VNet's own choice of DNS server: an on-premises forwarder whose gateway is near, a server inside a
/// reachable VNet (which asks Azure in that VNet's view), or a public resolver.
fn custom_resolver(world: &World, network: &Network, address: Ipv4Addr) -> Option<Resolver> {
    let near = reachable_virtual_networks(world, network);
    for other in world.networks.values() {
        if let Place::OnPremises(site) = &other.place
            && site.dns_server == address
            && near.contains(&key(&site.connected_to))
        {
            let upstream = site.forwards_to.as_deref().map(key);
            return Some(Resolver::Forwarder {
                name: other.name.clone(),
                upstream,
            });
        }
    }
    if let Some(vnet) = near.iter().find(|vnet| holds(world, vnet, address)) {
        return Some(Resolver::Forwarder {
            name: format!("{address} in {vnet}"),
            upstream: Some(vnet.clone()),
        });
    }
    (!address.is_private()).then(|| Resolver::Public(network.name.clone()))
}

fn custom_dns_servers(world: &World, vnet: &str) -> Vec<Ipv4Addr> {
    let listed = world
        .get(vnet)
        .map_or(&[][..], |r| list(&r.body, "/properties/dhcpOptions/dnsServers"));
    texts(listed).filter_map(|server| server.parse().ok()).collect()
}

/// The VNets whose addresses this network can send to: the nearest first, then its peers in id order.
pub fn reachable_virtual_networks(world: &World, network: &Network) -> Vec<Key> {
    let start = match &network.place {
        Place::VirtualNetwork(id) => key(id),
        Place::OnPremises(site) => key(&site.connected_to),
        Place::Internet(_) => return Vec::new(),
    };
    let there = peerings_of(world, &start);
    let both_ways = there
        .into_iter()
        .filter(|peer| *peer != start && peerings_of(world, peer).contains(&start));
    std::iter::once(start.clone()).chain(both_ways).collect()
}

/// The remote sides of this VNet's connected peerings, whether kept as children or inline.
fn peerings_of(world: &World, vnet: &Key) -> BTreeSet<Key> {
    let children = world
        .below(vnet)
        .filter(|r| r.kind.ends_with("/virtualnetworkpeerings"))
        .map(|r| &r.body);
    let inline = world
        .get(vnet)
        .map_or(&[][..], |r| list(&r.body, "/properties/virtualNetworkPeerings"));
    children
        .chain(inline)
        .filter(|peering| carries_traffic(peering))
        .map(|peering| key(text(peering, "/properties/remoteVirtualNetwork/id")))
        .collect()
}

fn carries_traffic(peering: &Value) -> bool {
    let state = text(peering, "/properties/peeringState");
    let connected = state.is_empty() || state.eq_ignore_ascii_case("Connected");
    connected && peering.pointer("/properties/allowVirtualNetworkAccess") != Some(&Value::Bool(false))
}

/// Whether the address lies in the VNet's address space.
fn holds(world: &World, vnet: &str, address: Ipv4Addr) -> bool {
    address_space(world, vnet)
        .iter()
        .any(|prefix| targets::prefix_holds(prefix, address))
}

fn address_space(world: &World, vnet: &str) -> Vec<String> {
    let listed = world
        .get(vnet)
        .map_or(&[][..], |r| list(&r.body, "/properties/addressSpace/addressPrefixes"));
    texts(listed).map(str::to_owned).collect()
}

/// The prefixes that streams of this network come from, as a subnet's rules see them.
fn prefixes_of(world: &World, network: &Network) -> Vec<String> {
    match &network.place {
        Place::VirtualNetwork(id) => address_space(world, id),
        Place::OnPremises(site) => site.address_prefixes.clone(),
        Place::Internet(_) => Vec::new(),
    }
}

/// The endpoint with this address in the nearest VNet that has one. Views are built only of endpoints whose interface
/// holds the address: a world may have thousands of them, and this runs for every stream.
fn endpoint_at(world: &World, near: &[Key], address: Ipv4Addr) -> Option<(EndpointView, EndpointMember)> {
    let wanted = address.to_string();
    let holds = |card: &Value| {
        let card = card["id"].as_str().and_then(|id| world.get(id));
        let configurations = card.and_then(|card| card.body["properties"]["ipConfigurations"].as_array());
        configurations
            .into_iter()
            .flatten()
            .any(|c| c["properties"]["privateIPAddress"] == wanted.as_str())
    };
    let found: Vec<(EndpointView, EndpointMember)> = world
        .of_kind(targets::PRIVATE_ENDPOINT)
        .filter(|endpoint| {
            endpoint.body["properties"]["networkInterfaces"]
                .as_array()
                .is_some_and(|cards| cards.iter().any(holds))
        })
        .filter_map(|endpoint| {
            let view = targets::endpoint_view(world, endpoint)?;
            let member = view.members.iter().find(|member| member.address == address).cloned()?;
            Some((view, member))
        })
        .collect();
    near.iter()
        .find_map(|vnet| found.iter().find(|(view, _)| view.virtual_network == *vnet).cloned())
}

fn through_endpoint(world: &World, network: &Network, view: EndpointView, member: EndpointMember, port: u16) -> Reach {
    if blocked(world, network, &view.subnet) {
        return Reach::Silence(Why::Blocked);
    }
    if !view.connects() {
        return Reach::Silence(Why::NotApproved);
    }
    if port != 443 || member.fqdns.is_empty() || !world.resources.contains_key(&view.target) {
        return Reach::Silence(Why::NobodyThere);
    }
    let leg = Leg::Endpoint { id: key(&view.id) };
    Reach::Server(Served {
        fqdns: member.fqdns,
        target: Some(view.target),
        leg,
    })
}

/// Whether the endpoint's subnet drops this network's streams. Rules are the seed's `properties.x-blockedFrom` (prefixes)
/// and count, as NSGs do, only where `privateEndpointNetworkPolicies` enables them (azure.md §3.2).
fn blocked(world: &World, network: &Network, subnet: &str) -> bool {
    let Some(subnet) = world.get(subnet) else { return false };
    let policies = text(&subnet.body, "/properties/privateEndpointNetworkPolicies");
    if !["Enabled", "NetworkSecurityGroupEnabled"]
        .iter()
        .any(|on| policies.eq_ignore_ascii_case(on))
    {
        return false;
    }
    let rules: Vec<&str> = texts(list(&subnet.body, "/properties/x-blockedFrom")).collect();
    prefixes_of(world, network)
        .iter()
        .any(|source| rules.iter().any(|rule| overlap(rule, source)))
}

/// Whether two prefixes share an address; what is no prefix shares none.
fn overlap(one: &str, other: &str) -> bool {
    let (Some((one, one_bits)), Some((other, other_bits))) = (targets::parse_prefix(one), targets::parse_prefix(other))
    else {
        return false;
    };
    let mask = targets::mask(one_bits.min(other_bits));
    u32::from(one) & mask == u32::from(other) & mask
}

fn through_internet(world: &World, network: &Network, address: Ipv4Addr) -> Reach {
    let fqdns: Vec<String> = world
        .public_addresses
        .iter()
        .filter(|(_, at)| **at == address)
        .map(|(name, _)| name.clone())
        .collect();
    let Some(first) = fqdns.first() else {
        return Reach::Silence(Why::NobodyThere);
    };
    let target = names::owner_of(world, first);
    let virtual_network = match &network.place {
        Place::VirtualNetwork(id) => Some(key(id)),
        Place::OnPremises(_) | Place::Internet(_) => None,
    };
    Reach::Server(Served {
        fqdns,
        target,
        leg: Leg::Public {
            egress: network.egress_address,
            virtual_network,
        },
    })
}

fn texts(items: &[Value]) -> impl Iterator<Item = &str> {
    items.iter().filter_map(Value::as_str)
}
