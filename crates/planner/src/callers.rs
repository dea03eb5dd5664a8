//! Who did not come through our endpoints, by what logs say of callers. A private address alone clears nobody: clients of the
//! same region and of subnets with a service endpoint reach the public side with private addresses (azure.md §8.3).
//!
//! | address | is a client that the lock cuts off |
//! | --- | --- |
//! | public, or none that can be read | yes |
//! | private, of no client network | yes |
//! | private, of a client network, in a subnet with a service endpoint for what was asked | perhaps, so yes |
//! | private, elsewhere in a client network | no: names lead it to our endpoints, which is proven from there |

use std::net::IpAddr;

use sreg_domain::desired::{NetworkPlace, Spec};
use sreg_domain::seen::{PublicClient, ServiceEndpoints, VirtualNetworkSeen};
use sreg_domain::{ArmId, Fact, Seen};

use crate::prefix::{Prefix, is_public};

/// One caller that did not, or may not have, come through our endpoints.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outsider<'a> {
    /// Who.
    pub(crate) client: &'a PublicClient,
    /// What is to be known of its address; empty where it is public.
    pub(crate) why: String,
}

impl Outsider<'_> {
    /// `address → target`, with what is to be known of the address.
    pub(crate) fn show(&self) -> String {
        let PublicClient { address, target, .. } = self.client;
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.why)
        };
        format!("{address} → {}{why}", target.name())
    }
}

/// Callers that nobody accepted cutting off, in order of address and target.
pub(crate) fn outsiders<'a>(spec: &Spec, seen: &'a Seen, clients: &'a [PublicClient]) -> Vec<Outsider<'a>> {
    let accept = spec.verification.recent_public_clients.iter();
    let accepted: Vec<Prefix> = accept
        .flat_map(|wish| &wish.accept)
        .filter_map(|a| Prefix::parse(a))
        .collect();
    let of = |client: &'a PublicClient| {
        let address = client.address.parse::<IpAddr>().ok();
        if address.is_some_and(|address| accepted.iter().any(|prefix| prefix.holds(address))) {
            return None;
        }
        let why = match address {
            None => "its address is none".to_owned(),
            Some(address) if is_public(address) => String::new(),
            Some(address) => private(spec, seen, address, &client.target)?,
        };
        Some(Outsider { client, why })
    };
    let mut all: Vec<Outsider<'a>> = clients.iter().filter_map(of).collect();
    all.sort_by(|a, b| {
        let key = |o: &Outsider<'a>| (!o.why.is_empty(), o.client.address.clone(), o.client.target.clone());
        key(a).cmp(&key(b))
    });
    all
}

/// Why a caller with a private address counts; `None`: it comes from a client network, through our endpoints.
fn private(spec: &Spec, seen: &Seen, address: IpAddr, target: &ArmId) -> Option<String> {
    let holds = |prefixes: &[String]| {
        prefixes
            .iter()
            .filter_map(|p| Prefix::parse(p))
            .any(|p| p.holds(address))
    };
    let mut home = false;
    for network in &spec.client_networks {
        match &network.place {
            NetworkPlace::OnPremises(prefixes) => home |= holds(prefixes),
            NetworkPlace::VirtualNetwork(id) => {
                let Some(found) = network_seen(seen, id).filter(|found| holds(&found.address_space)) else {
                    continue;
                };
                home = true;
                let open = |s: &&ServiceEndpoints| holds(&s.prefixes) && s.services.iter().any(|s| serves(s, target));
                if let Some(subnet) = found.service_endpoints.iter().find(open) {
                    return Some(format!(
                        "private, in subnet {} of {}, whose service endpoint may have led it to the public side",
                        subnet.subnet, network.name
                    ));
                }
            }
        }
    }
    (!home).then(|| "private, of no client network".to_owned())
}

fn network_seen<'a>(seen: &'a Seen, id: &ArmId) -> Option<&'a VirtualNetworkSeen> {
    seen.azure.virtual_networks.get(id).and_then(Fact::seen)
}

/// Whether a service endpoint is one for this target (`Microsoft.Storage.Global` is the cross-region form).
fn serves(service: &str, target: &ArmId) -> bool {
    let service = service.to_ascii_lowercase();
    match target.kind().as_str() {
        "microsoft.storage/storageaccounts" => service.starts_with("microsoft.storage"),
        "microsoft.containerregistry/registries" => service == "microsoft.containerregistry",
        _ => false,
    }
}

/// A client network whose prefixes are not known, so that a private address may be one of its own.
pub(crate) fn unread_network<'a>(
    spec: &'a Spec,
    seen: &'a Seen,
) -> Option<(&'a ArmId, Option<&'a Fact<VirtualNetworkSeen>>)> {
    spec.client_networks.iter().find_map(|network| match &network.place {
        NetworkPlace::VirtualNetwork(id) => match seen.azure.virtual_networks.get(id) {
            Some(Fact::Seen(_) | Fact::Absent) => None,
            other => Some((id, other)),
        },
        NetworkPlace::OnPremises(_) => None,
    })
}
