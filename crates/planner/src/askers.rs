//! Who asks a zone: networks that are linked to it, and those that resolve through one of them, by DNS servers that stand there or
//! by forwarding. A link alone says too little: whole offices hang on the resolver of one hub. DNS forwarding rulesets are not read: a
//! network with Azure's own DNS that is linked to one whose rule leads to a hub's inbound endpoint is nobody here (docs/safety.md).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use sreg_domain::desired::NetworkPlace;
use sreg_domain::seen::VirtualNetworkSeen;
use sreg_domain::{ArmId, Fact};

use crate::plan::Wait;
use crate::prefix::Prefix;
use crate::view::{WholeView, may_pass, not_known};

/// Azure's own resolver, which answers in the view of the network that asks.
const AZURE_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

/// Everybody who asks a zone, as far as can be known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Askers {
    /// Linked, or to be linked.
    pub(crate) linked: BTreeSet<ArmId>,
    /// By DNS servers in a linked network, or in one that asks itself.
    through: BTreeMap<ArmId, ArmId>,
    /// Client networks outside Azure, which forward to a linked network.
    offices: BTreeSet<String>,
    /// Peered with a linked network, and nobody knows where their DNS servers forward to.
    perhaps: BTreeMap<ArmId, Doubt>,
}

/// Why a network may ask a zone.
#[derive(Debug, Clone, PartialEq)]
struct Doubt {
    /// The linked network that it is peered with.
    peer: ArmId,
    /// Its DNS servers are known, and stand in no network that is: an office, an appliance. `false`: they may not be read.
    servers_elsewhere: bool,
}

impl Askers {
    pub(crate) fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.through.is_empty() && self.offices.is_empty() && self.perhaps.is_empty()
    }

    pub(crate) fn extend(&mut self, other: Askers) {
        self.linked.extend(other.linked);
        self.through.extend(other.through);
        self.offices.extend(other.offices);
        self.perhaps.extend(other.perhaps);
        let linked = &self.linked;
        self.through.retain(|network, _| !linked.contains(network));
        self.perhaps.retain(|network, _| !linked.contains(network));
    }

    /// For people: the linked ones first.
    pub(crate) fn show(&self) -> String {
        let mut all: Vec<String> = self.linked.iter().map(|n| n.name().to_owned()).collect();
        let through = self.through.iter();
        all.extend(through.map(|(n, via)| format!("{} (its DNS servers stand in {})", n.name(), via.name())));
        all.extend(
            self.offices
                .iter()
                .map(|office| format!("{office} (forwards from outside Azure)")),
        );
        let perhaps = self.perhaps.iter();
        all.extend(perhaps.map(|(n, doubt)| {
            let why = if doubt.servers_elsewhere {
                "its DNS servers stand in no network that is known, and may forward there"
            } else {
                "its DNS servers may not be read"
            };
            format!("perhaps {} (peered with {}, {why})", n.name(), doubt.peer.name())
        }));
        all.join(", ")
    }

    /// What an approval covers.
    pub(crate) fn keys(&self) -> String {
        let mut keys: Vec<String> = self.linked.iter().map(|n| n.key().to_owned()).collect();
        keys.extend(self.through.keys().map(|n| format!("through {}", n.key())));
        keys.extend(self.offices.iter().map(|office| format!("office {office}")));
        keys.extend(self.perhaps.keys().map(|n| format!("perhaps {}", n.key())));
        keys.join(" ")
    }
}

/// Everybody who asks where these networks are linked. `Err`: a network that is peered with one of them could not be read, which
/// time may cure.
pub(crate) fn of(view: &WholeView<'_>, linked: BTreeSet<ArmId>) -> Result<Askers, Wait> {
    let mut askers = Askers::default();
    if linked.is_empty() {
        return Ok(askers);
    }
    let mut asking = linked.clone();
    // Servers may forward to servers: whoever asks a network that asks, asks as well.
    loop {
        let others = all_networks(view).filter(|(id, _)| !asking.contains(*id));
        let found: Vec<(ArmId, ArmId)> = others
            .filter_map(|(id, fact)| Some((id.clone(), servers_stand_in(view, fact.seen()?, &asking)?.clone())))
            .collect();
        if found.is_empty() {
            break;
        }
        asking.extend(found.iter().map(|(id, _)| id.clone()));
        askers.through.extend(found);
    }
    for (id, fact) in all_networks(view).filter(|(id, _)| !asking.contains(*id)) {
        let peer = || linked.iter().find(|asker| is_peer(view, asker, id));
        match fact {
            Fact::Seen(network) if servers_stand_nowhere(view, network) => {
                let doubt = peer().map(|peer| Doubt {
                    peer: peer.clone(),
                    servers_elsewhere: true,
                });
                askers.perhaps.extend(doubt.map(|doubt| (id.clone(), doubt)));
            }
            Fact::Seen(_) | Fact::Absent => {}
            Fact::Unknown(why) => match peer() {
                Some(_) if may_pass(why) => return Err(not_known(&format!("the DNS servers of {id}"), fact)),
                Some(peer) => {
                    let doubt = Doubt {
                        peer: peer.clone(),
                        servers_elsewhere: false,
                    };
                    askers.perhaps.insert(id.clone(), doubt);
                }
                None => {}
            },
        }
    }
    let offices = view.spec.client_networks.iter().filter(|c| match &c.place {
        NetworkPlace::OnPremises(_) => serves(view, &c.endpoint, &linked),
        NetworkPlace::VirtualNetwork(_) => false,
    });
    askers.offices = offices.map(|c| c.name.clone()).collect();
    askers.linked = linked;
    Ok(askers)
}

/// An office forwards to a network of the entry that it is served by.
fn serves(view: &WholeView<'_>, entry: &str, linked: &BTreeSet<ArmId>) -> bool {
    let mut places = view.spec.endpoints.iter().filter(|p| p.name == entry);
    places.any(|p| linked.contains(&p.virtual_network) || p.dns.links.iter().any(|n| linked.contains(n)))
}

fn all_networks<'a>(view: &'a WholeView<'_>) -> impl Iterator<Item = (&'a ArmId, &'a Fact<VirtualNetworkSeen>)> {
    let azure = &view.seen.azure;
    azure.virtual_networks.iter().chain(&azure.neighbours)
}

fn network<'a>(view: &'a WholeView<'_>, id: &ArmId) -> Option<&'a VirtualNetworkSeen> {
    let azure = &view.seen.azure;
    let fact = azure.virtual_networks.get(id).or_else(|| azure.neighbours.get(id))?;
    fact.seen()
}

fn is_peer(view: &WholeView<'_>, network_id: &ArmId, other: &ArmId) -> bool {
    network(view, network_id).is_some_and(|n| n.peers.contains(other))
}

fn servers(network: &VirtualNetworkSeen) -> impl Iterator<Item = IpAddr> {
    network.dns_servers.iter().filter_map(|text| text.trim().parse().ok())
}

fn holds(network: &VirtualNetworkSeen, address: IpAddr) -> bool {
    let prefixes = network.address_space.iter().filter_map(|p| Prefix::parse(p));
    prefixes.into_iter().any(|prefix| prefix.holds(address))
}

/// The network, of these, in which a DNS server of this one stands. Prefixes repeat across Azure: only one that is peered counts, or any
/// where this one's peerings cannot tell.
fn servers_stand_in<'a>(
    view: &WholeView<'_>,
    asking: &VirtualNetworkSeen,
    among: &'a BTreeSet<ArmId>,
) -> Option<&'a ArmId> {
    let reached = |id: &&ArmId| asking.peers.is_empty() || asking.peers.contains(id);
    let holds_one = |id: &&ArmId| {
        network(view, id).is_some_and(|n| servers(asking).any(|server| holds(n, server) && !holds(asking, server)))
    };
    among.iter().filter(reached).find(holds_one)
}

/// A DNS server of this network is neither Azure's own nor in a network that is known.
fn servers_stand_nowhere(view: &WholeView<'_>, asking: &VirtualNetworkSeen) -> bool {
    let known = |server: IpAddr| {
        server == AZURE_DNS
            || holds(asking, server)
            || all_networks(view).any(|(_, n)| n.seen().is_some_and(|n| holds(n, server)))
    };
    servers(asking).any(|server| !known(server))
}

/// Whether a link of this network counts for its machines: it asks Azure's DNS, or a server of its own.
pub(crate) fn asks_in_its_own_view(network: &VirtualNetworkSeen) -> bool {
    network.dns_servers.is_empty() || servers(network).any(|server| server == AZURE_DNS || holds(network, server))
}

/// Names of the networks in which the DNS servers of this one stand.
pub(crate) fn networks_of_servers(view: &WholeView<'_>, asking: &VirtualNetworkSeen) -> Vec<String> {
    let reached = |id: &ArmId| asking.peers.is_empty() || asking.peers.contains(id);
    let known = all_networks(view).filter_map(|(id, fact)| Some((id, fact.seen()?)));
    let there = known.filter(|(id, n)| reached(id) && servers(asking).any(|server| holds(n, server)));
    there.map(|(id, _)| id.name().to_owned()).collect()
}
