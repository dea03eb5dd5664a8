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
            free_addresses: free_addresses(body),
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

/// Azure keeps the first four addresses of a subnet and the last one.
const KEPT: usize = 5;

/// How many addresses are left at most. Only IPv4 counts, because endpoints take no other by default; something may be in use that
/// the subnet does not list, but nothing that it lists is free.
fn free_addresses(body: &Value) -> Option<usize> {
    let one = json::text(body, "/properties/addressPrefix").into_iter();
    let all: Vec<&str> = match json::list(body, "/properties/addressPrefixes") {
        [] => one.collect(),
        several => several.iter().filter_map(Value::as_str).collect(),
    };
    let sizes: Option<Vec<usize>> = all.iter().filter(|p| !p.contains(':')).map(|p| size(p)).collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty())?;
    let used = json::list(body, "/properties/ipConfigurations").len();
    let room = sizes.iter().map(|size| size.saturating_sub(KEPT)).sum::<usize>();
    Some(room.saturating_sub(used))
}

fn size(prefix: &str) -> Option<usize> {
    let bits: u32 = prefix.split_once('/')?.1.parse().ok()?;
    1_usize.checked_shl(32_u32.checked_sub(bits)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_of_a_subnet_is_what_nobody_is_seen_to_use() {
        let of = |properties: Value| free_addresses(&json!({ "properties": properties }));
        assert_eq!(of(json!({"addressPrefix": "10.0.0.0/28"})), Some(11));
        let used = json!([{"id": "a"}, {"id": "b"}]);
        assert_eq!(
            of(json!({"addressPrefixes": ["10.0.0.0/29", "10.1.0.0/29", "fd00::/64"], "ipConfigurations": used})),
            Some(4)
        );
        assert_eq!(
            of(json!({"addressPrefix": "10.0.0.0/29", "ipConfigurations": [1, 2, 3, 4]})),
            Some(0)
        );
        for untold in [
            json!({}),
            json!({"addressPrefix": "fd00::/64"}),
            json!({"addressPrefix": "10.0.0.0/40"}),
            json!({"addressPrefix": "ten"}),
        ] {
            assert_eq!(of(untold.clone()), None, "{untold}");
        }
    }
}
