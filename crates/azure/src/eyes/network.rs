//! Subnets and virtual networks that the spec names.

use serde_json::Value;
use sreg_domain::ArmId;
use sreg_domain::desired::{Desired, NetworkPlace};
use sreg_domain::seen::{Fact, SubnetSeen, VirtualNetworkSeen};

use super::Look;
use crate::json;

/// Every network that the spec names.
pub(super) fn named(desired: &Desired) -> impl Iterator<Item = ArmId> {
    let places = desired
        .endpoints
        .iter()
        .flat_map(|p| p.dns.links.iter().chain([&p.virtual_network]));
    let clients = desired.client_networks.iter().filter_map(|c| match &c.place {
        NetworkPlace::VirtualNetwork(id) => Some(id),
        NetworkPlace::OnPremises(_) => None,
    });
    places.chain(clients).chain(desired.waived.keys()).cloned()
}

/// One subnet.
pub(super) async fn subnet(look: &Look<'_>, id: ArmId) -> Fact<SubnetSeen> {
    look.fact(&id, |body| {
        Ok(SubnetSeen {
            id: json::id(body, "/id").unwrap_or_else(|| id.clone()),
            private_endpoint_network_policies: json::string(body, "/properties/privateEndpointNetworkPolicies"),
        })
    })
    .await
}

/// One virtual network.
pub(super) async fn virtual_network(look: &Look<'_>, id: ArmId) -> Fact<VirtualNetworkSeen> {
    look.fact(&id, |body| {
        Ok(VirtualNetworkSeen {
            id: json::id(body, "/id").unwrap_or_else(|| id.clone()),
            location: json::text(body, "/location")
                .ok_or("the network has no location")?
                .into(),
            dns_servers: json::list(body, "/properties/dhcpOptions/dnsServers")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    })
    .await
}
