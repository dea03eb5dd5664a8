//! Addresses of private endpoints: one for each member of the target's group, taken from the subnet's prefix, on a network
//! interface of the endpoint. The first four addresses of a subnet and its last are Azure's own. Pure changes of the world.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::ArmError;
use super::path::{group_id_of, name_of};
use crate::json::{digest, guid, list, set, text};
use crate::targets::{TargetName, connection_of, endpoints_of, fqdns_of, mask, parse_prefix};
use crate::world::{World, key};

/// Id of the network interface of an endpoint, which need not exist yet.
fn interface_id(endpoint_id: &str, endpoint: &Value) -> String {
    let custom = text(endpoint, "/properties/customNetworkInterfaceName");
    let name = match custom.is_empty() {
        true => format!("{}.nic.{}", name_of(endpoint_id), guid(&["nic", &key(endpoint_id)])),
        false => custom.to_owned(),
    };
    format!(
        "{}/providers/Microsoft.Network/networkInterfaces/{name}",
        group_id_of(endpoint_id)
    )
}

/// Names of the target that an endpoint carries: those of its group.
pub(crate) fn names_of(world: &World, endpoint: &Value) -> Vec<TargetName> {
    let Some(connection) = connection_of(endpoint) else {
        return Vec::new();
    };
    let group = text(connection, "/properties/groupIds/0");
    let mut names = fqdns_of(world, text(connection, "/properties/privateLinkServiceId"));
    names.retain(|n| n.group_id.eq_ignore_ascii_case(group));
    names
}

/// Gives the endpoint an address for each of its members; members that have one keep it, members that are gone lose it.
pub(crate) fn assign(world: &mut World, endpoint_id: &str, now: Duration) -> Result<(), ArmError> {
    let Some(endpoint) = world.get(endpoint_id) else {
        return Ok(());
    };
    let (endpoint_id, body) = (endpoint.id.clone(), endpoint.body.clone());
    let subnet = text(&body, "/properties/subnet/id").to_owned();
    let nic_id = interface_id(&endpoint_id, &body);
    let old = world.get(&nic_id).map_or(Vec::new(), |nic| {
        list(&nic.body, "/properties/ipConfigurations").to_vec()
    });
    let mut used = used_addresses(world, &subnet);
    let mut configurations = Vec::new();
    for (index, name) in names_of(world, &body).iter().enumerate() {
        let member = "/properties/privateLinkConnectionProperties/requiredMemberName";
        let kept = old.iter().find(|c| text(c, member) == name.member);
        let address = match kept.and_then(|c| text(c, "/properties/privateIPAddress").parse().ok()) {
            Some(address) => address,
            None => choose(world, &subnet, &body, name, &mut used)?,
        };
        configurations.push(configuration(&nic_id, &subnet, name, address, index));
    }
    let suffix = format!(
        "{}.ax.internal.cloudapp.net",
        &digest(&["internal names", &subnet])[..24]
    );
    let nic = json!({
        "id": nic_id, "name": name_of(&nic_id), "type": "Microsoft.Network/networkInterfaces",
        "location": text(&body, "/location"),
        "properties": {
            "provisioningState": "Succeeded", "resourceGuid": guid(&["nic guid", &nic_id]),
            "ipConfigurations": configurations, "macAddress": "",
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": [], "internalDomainNameSuffix": suffix},
            "enableAcceleratedNetworking": false, "enableIPForwarding": false, "disableTcpStateTracking": false,
            "nicType": "Standard", "auxiliaryMode": "None", "auxiliarySku": "None", "vnetEncryptionSupported": false,
            "hostedWorkloads": [], "tapConfigurations": [],
            "privateEndpoint": {"id": endpoint_id},
        },
    });
    world.put(&nic_id, nic, now);
    world.edit(&endpoint_id, now, |b| {
        set(b, &["properties", "networkInterfaces"], json!([{ "id": nic_id }]))
    });
    Ok(())
}

fn configuration(nic_id: &str, subnet: &str, name: &TargetName, address: Ipv4Addr, index: usize) -> Value {
    let label = format!("privateEndpointIpConfig.{}", &digest(&[nic_id, &name.member])[..24]);
    json!({
        "name": label, "id": format!("{nic_id}/ipConfigurations/{label}"),
        "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
        "properties": {
            "provisioningState": "Succeeded", "privateIPAddress": address.to_string(),
            "privateIPAllocationMethod": "Dynamic", "privateIPAddressVersion": "IPv4", "primary": index == 0,
            "subnet": {"id": subnet},
            "privateLinkConnectionProperties": {
                "groupId": name.group_id, "requiredMemberName": name.member, "fqdns": [name.fqdn],
            },
        },
    })
}

/// Takes the address that the endpoint asks for by member name, or the first free one.
fn choose(
    world: &World,
    subnet: &str,
    endpoint: &Value,
    name: &TargetName,
    used: &mut BTreeSet<Ipv4Addr>,
) -> Result<Ipv4Addr, ArmError> {
    let wanted = list(endpoint, "/properties/ipConfigurations")
        .iter()
        .find(|c| text(c, "/properties/memberName").eq_ignore_ascii_case(&name.member))
        .map(|c| text(c, "/properties/privateIPAddress"));
    let prefixes = prefixes_of(world, subnet);
    if let Some(wanted) = wanted {
        let address: Option<Ipv4Addr> = wanted.parse().ok();
        let fits = address.filter(|a| prefixes.iter().any(|p| usable(p).any(|u| u == *a)));
        return match fits {
            Some(address) if used.insert(address) => Ok(address),
            Some(_) => Err(ArmError::new(
                400,
                "PrivateIPAddressInUse",
                format!(
                    "IP configuration for member '{}': private IP address {wanted} is in use.",
                    name.member
                ),
            )),
            None => Err(ArmError::new(
                400,
                "PrivateIPAddressNotInSubnet",
                format!("Private static IP address {wanted} does not belong to the range of subnet {subnet}."),
            )),
        };
    }
    let free = prefixes.iter().flat_map(|p| usable(p)).find(|a| !used.contains(a));
    match free {
        Some(address) => {
            used.insert(address);
            Ok(address)
        }
        None => Err(ArmError::new(
            400,
            "SubnetIsFull",
            format!(
                "Subnet {} with address prefix {} does not have enough capacity for 1 IP addresses.",
                name_of(subnet),
                prefixes.join(", ")
            ),
        )),
    }
}

/// Prefixes of a subnet.
pub(crate) fn prefixes_of(world: &World, subnet: &str) -> Vec<String> {
    let Some(subnet) = world.get(subnet) else {
        return Vec::new();
    };
    let one = text(&subnet.body, "/properties/addressPrefix");
    let many = list(&subnet.body, "/properties/addressPrefixes")
        .iter()
        .filter_map(Value::as_str);
    let mut all: Vec<String> = many.map(str::to_owned).collect();
    if all.is_empty() && !one.is_empty() {
        all.push(one.to_owned());
    }
    all
}

/// Addresses of a prefix that Azure gives out.
fn usable(prefix: &str) -> impl Iterator<Item = Ipv4Addr> + use<> {
    let (first, last) = parse_prefix(prefix).map_or((1, 0), |(base, bits)| {
        let first = u32::from(base) & mask(bits);
        let last = first | !mask(bits);
        (first.saturating_add(4), last.saturating_sub(1))
    });
    (first..=last).map(Ipv4Addr::from)
}

fn used_addresses(world: &World, subnet: &str) -> BTreeSet<Ipv4Addr> {
    let subnet = key(subnet);
    world
        .of_kind("microsoft.network/networkinterfaces")
        .flat_map(|nic| list(&nic.body, "/properties/ipConfigurations"))
        .filter(|c| key(text(c, "/properties/subnet/id")) == subnet)
        .filter_map(|c| text(c, "/properties/privateIPAddress").parse().ok())
        .collect()
}

/// After a target gained a member: one more address for each of its endpoints. Manual connections are pending again. The
/// error does not name the subnet, as in Azure.
pub(crate) fn extend(world: &mut World, target: &str, now: Duration) -> Result<(), Value> {
    for view in endpoints_of(world, target) {
        assign(world, &view.id, now).map_err(|_| {
            json!({
                "code": "ReplicationProvisioningFailed",
                "message": "The replication could not be created: a private endpoint could not be updated.",
            })
        })?;
        let manual = world.get(&view.id).is_some_and(|e| is_manual(&e.body));
        if manual && view.status == "Approved" {
            super::connections::set_state(world, &view.id, "Pending", "A replica was added.", now);
        }
        super::connections::refresh_names(world, &view.id, now);
    }
    Ok(())
}

/// After a target lost a member: its address goes from each endpoint.
pub(crate) fn shrink(world: &mut World, target: &str, now: Duration) {
    for view in endpoints_of(world, target) {
        // Members only go away here, and no address is chosen: this cannot fail.
        let _ = assign(world, &view.id, now);
        super::connections::refresh_names(world, &view.id, now);
    }
}

/// Whether the endpoint asks for approval rather than bringing it.
pub(crate) fn is_manual(endpoint: &Value) -> bool {
    !list(endpoint, "/properties/manualPrivateLinkServiceConnections").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_four_addresses_and_the_last_are_azures() {
        let all: Vec<String> = usable("10.0.1.0/29").map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.0.1.4", "10.0.1.5", "10.0.1.6"]);
        assert_eq!(usable("nonsense").count(), 0);
        assert_eq!(usable("10.0.0.0/31").count(), 0);
    }
}
