//! What needs no proof, and why: networks and hosts.

use std::collections::BTreeMap;

use sreg_api::SecureRegistry;
use sreg_domain::outside::{LONGEST_REASON, words};
use sreg_domain::{ArmId, Fqdn};

use super::{Checks, VNET_SHAPE};

/// Networks without clients, by id, with the reason.
pub(super) fn networks(object: &SecureRegistry, checks: &mut Checks) -> BTreeMap<ArmId, String> {
    let mut waived = BTreeMap::new();
    for (at, network) in object.spec.unproven_networks.iter().enumerate() {
        let path = format!("spec.unprovenNetworks[{at}]");
        if network.reason.trim().is_empty() {
            checks.refuse(format!("{path}.reason"), "say why nobody there needs the registry");
        }
        let id = checks.id(
            format!("{path}.virtualNetworkResourceId"),
            &network.virtual_network_resource_id,
            "microsoft.network/virtualnetworks",
            VNET_SHAPE,
        );
        if let Some(id) = id {
            waived.insert(id, words(&network.reason, LONGEST_REASON).into_owned());
        }
    }
    waived
}

/// Hosts that no client needs, with the reason.
pub(super) fn hosts(object: &SecureRegistry, checks: &mut Checks) -> BTreeMap<Fqdn, String> {
    let mut waived = BTreeMap::new();
    for host in &object.spec.unproven_hosts {
        let path = format!("spec.unprovenHosts[{}]", host.fqdn);
        if host.reason.trim().is_empty() {
            checks.refuse(format!("{path}.reason"), "say why no client needs this host");
        }
        match host.fqdn.parse::<Fqdn>() {
            Ok(fqdn) => drop(waived.insert(fqdn, words(&host.reason, LONGEST_REASON).into_owned())),
            Err(_) => checks.refuse(
                format!("{path}.fqdn"),
                "write the host as discovery returns it, such as cert-westeurope.experiments.azureml.net",
            ),
        }
    }
    waived
}
