//! A hand-built world for the data plane's tests: a hub with a peered spoke, a VNet behind the spoke, a VNet with half a
//! peering, an uninvolved one, an office and the internet; one storage account, one container registry, one registry.

mod answers;
mod client;
mod names_and_routes;
mod seeded;
mod sockets;

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Simulator;
use crate::seed::{NetworkSeed, OnPremisesSeed, RawResource, Seed, SubscriptionSeed, VirtualNetworkSeed};
use crate::targets;
use crate::world::{Internet, Network, OnPremises, Place, Resource, World, key};

pub(super) const ROOT: &str = "/subscriptions/S1/resourceGroups/Net/providers";
pub(super) const STORAGE: &str =
    "/subscriptions/S1/resourceGroups/azureml-rg-reg/providers/Microsoft.Storage/storageAccounts/contosost";
pub(super) const ACR: &str =
    "/subscriptions/S1/resourceGroups/azureml-rg-reg/providers/Microsoft.ContainerRegistry/registries/contosoacr";
pub(super) const REGISTRY: &str =
    "/subscriptions/S1/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg";
pub(super) const BLOB: &str = "contosost.blob.core.windows.net";
pub(super) const LOGIN: &str = "contosoacr.azurecr.io";
pub(super) const DATA: &str = "contosoacr.westeurope.data.azurecr.io";
pub(super) const BLOB_ZONE: &str = "privatelink.blob.core.windows.net";
pub(super) const ACR_ZONE: &str = "privatelink.azurecr.io";
pub(super) const BLOB_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

pub(super) fn put(world: &mut World, id: &str, kind: &str, mut body: Value) {
    body["id"] = json!(id);
    body["name"] = json!(id.rsplit('/').next());
    let resource = Resource {
        id: id.into(),
        kind: kind.into(),
        body,
        etag: 1,
        changed_at: Duration::ZERO,
    };
    world.resources.insert(key(id), resource);
}

pub(super) fn vnet_id(name: &str) -> String {
    format!("{ROOT}/Microsoft.Network/virtualNetworks/{name}")
}

pub(super) fn subnet_id(vnet: &str) -> String {
    format!("{}/subnets/endpoints", vnet_id(vnet))
}

fn vnet(world: &mut World, name: &str, prefix: &str) {
    let body = json!({"properties": {"addressSpace": {"addressPrefixes": [prefix]}}});
    put(world, &vnet_id(name), "microsoft.network/virtualnetworks", body);
    let body = json!({"properties": {"privateEndpointNetworkPolicies": "Disabled"}});
    put(
        world,
        &subnet_id(name),
        "microsoft.network/virtualnetworks/subnets",
        body,
    );
    network(world, name, Place::VirtualNetwork(vnet_id(name)));
}

fn network(world: &mut World, name: &str, place: Place) {
    let last = u8::try_from(world.networks.len() + 1).unwrap();
    let egress_address = Ipv4Addr::new(203, 0, 113, last);
    world.networks.insert(
        name.into(),
        Network {
            name: name.into(),
            place,
            egress_address,
        },
    );
}

pub(super) fn peer(world: &mut World, from: &str, to: &str, state: &str) {
    let id = format!("{}/virtualNetworkPeerings/to-{to}", vnet_id(from));
    let body = json!({"properties": {"peeringState": state, "allowVirtualNetworkAccess": true,
        "remoteVirtualNetwork": {"id": vnet_id(to).to_uppercase()}}});
    put(
        world,
        &id,
        "microsoft.network/virtualnetworks/virtualnetworkpeerings",
        body,
    );
}

/// The world before anybody made an endpoint.
pub(super) fn public_world() -> World {
    let mut world = World::default();
    for (name, prefix) in [
        ("hub", "10.0.0.0/16"),
        ("spoke", "10.1.0.0/16"),
        ("far", "10.2.0.0/16"),
        ("half", "10.3.0.0/16"),
        ("lonely", "10.9.0.0/16"),
    ] {
        vnet(&mut world, name, prefix);
    }
    for (from, to) in [
        ("hub", "spoke"),
        ("spoke", "hub"),
        ("spoke", "far"),
        ("far", "spoke"),
        ("half", "hub"),
    ] {
        peer(&mut world, from, to, "Connected");
    }
    let office = OnPremises {
        address_prefixes: vec!["10.200.0.0/16".into()],
        connected_to: vnet_id("hub"),
        dns_server: Ipv4Addr::new(10, 200, 0, 53),
        forwards_to: Some(vnet_id("hub")),
    };
    network(&mut world, "office", Place::OnPremises(office));
    network(&mut world, "internet", Place::Internet(Internet {}));
    let body = json!({"location": "westeurope", "properties": {"publicNetworkAccess": "Enabled",
        "allowBlobPublicAccess": false, "networkAcls": {"defaultAction": "Allow", "bypass": "AzureServices"}}});
    put(&mut world, STORAGE, targets::STORAGE, body);
    let body = json!({"location": "westeurope", "properties": {"publicNetworkAccess": "Enabled",
        "networkRuleSet": {"defaultAction": "Allow"}}});
    put(&mut world, ACR, targets::CONTAINER_REGISTRY, body);
    let body = json!({"location": "westeurope", "properties": {"publicNetworkAccess": "Enabled",
        "regionDetails": [{"location": "westeurope"}]}});
    put(&mut world, REGISTRY, targets::REGISTRY, body);
    for target in [STORAGE, ACR, REGISTRY] {
        world.publish(target);
    }
    world
}

pub(super) fn registry_fqdn(world: &World) -> String {
    targets::fqdns_of(world, REGISTRY)[0].fqdn.clone()
}

/// An endpoint in a VNet with its network interface; one address per public name.
pub(super) fn endpoint(
    world: &mut World,
    vnet: &str,
    target: &str,
    group: &str,
    names: &[(&str, Ipv4Addr)],
    status: &str,
) {
    let name = format!("{vnet}-{group}-{}", target.rsplit('/').next().unwrap());
    let id = format!("{ROOT}/Microsoft.Network/privateEndpoints/{name}");
    let card = format!("{ROOT}/Microsoft.Network/networkInterfaces/{name}-nic");
    let configurations: Vec<Value> = names
        .iter()
        .map(|(fqdn, address)| {
            json!({"properties": {"privateIPAddress": address.to_string(), "subnet": {"id": subnet_id(vnet)},
                "privateLinkConnectionProperties": {"groupId": group, "requiredMemberName": group, "fqdns": [fqdn]}}})
        })
        .collect();
    let body = json!({"properties": {"ipConfigurations": configurations, "privateEndpoint": {"id": id}}});
    put(world, &card, "microsoft.network/networkinterfaces", body);
    let body = json!({"properties": {"subnet": {"id": subnet_id(vnet)}, "provisioningState": "Succeeded",
        "networkInterfaces": [{"id": card}],
        "privateLinkServiceConnections": [{"name": "c", "properties": {"privateLinkServiceId": target,
            "groupIds": [group], "privateLinkServiceConnectionState": {"status": status}}}]}});
    put(world, &id, targets::PRIVATE_ENDPOINT, body);
}

pub(super) fn zone_id(group: &str, zone: &str) -> String {
    format!("/subscriptions/S1/resourceGroups/{group}/providers/Microsoft.Network/privateDnsZones/{zone}")
}

pub(super) fn zone(world: &mut World, group: &str, zone: &str) {
    put(
        world,
        &zone_id(group, zone),
        "microsoft.network/privatednszones",
        json!({"location": "global"}),
    );
}

pub(super) fn record(world: &mut World, zone: &str, name: &str, address: Ipv4Addr) {
    let body = json!({"properties": {"ttl": 10, "aRecords": [{"ipv4Address": address.to_string()}]}});
    put(
        world,
        &format!("{zone}/A/{name}"),
        "microsoft.network/privatednszones/a",
        body,
    );
}

pub(super) fn link(world: &mut World, zone: &str, vnet: &str, policy: &str) {
    let body = json!({"properties": {"virtualNetwork": {"id": vnet_id(vnet).to_lowercase()}, "registrationEnabled": false,
        "resolutionPolicy": policy, "virtualNetworkLinkState": "Completed"}});
    put(
        world,
        &format!("{zone}/virtualNetworkLinks/{vnet}"),
        "microsoft.network/privatednszones/virtualnetworklinks",
        body,
    );
}

/// The world with endpoints in the hub for storage and container registry, zones linked to hub and spoke.
pub(super) fn private_world() -> World {
    let mut world = public_world();
    endpoint(&mut world, "hub", STORAGE, "blob", &[(BLOB, BLOB_PRIVATE)], "Approved");
    let addresses = [(LOGIN, Ipv4Addr::new(10, 0, 1, 5)), (DATA, Ipv4Addr::new(10, 0, 1, 6))];
    endpoint(&mut world, "hub", ACR, "registry", &addresses, "Approved");
    let fqdn = registry_fqdn(&world);
    endpoint(
        &mut world,
        "hub",
        REGISTRY,
        "amlregistry",
        &[(&fqdn, Ipv4Addr::new(10, 0, 1, 7))],
        "Approved",
    );
    for name in [BLOB_ZONE, ACR_ZONE] {
        zone(&mut world, "dns", name);
        for vnet in ["hub", "spoke"] {
            link(&mut world, &zone_id("dns", name), vnet, "Default");
        }
    }
    record(&mut world, &zone_id("dns", BLOB_ZONE), "contosost", BLOB_PRIVATE);
    record(
        &mut world,
        &zone_id("dns", ACR_ZONE),
        "contosoacr",
        Ipv4Addr::new(10, 0, 1, 5),
    );
    record(
        &mut world,
        &zone_id("dns", ACR_ZONE),
        "contosoacr.westeurope.data",
        Ipv4Addr::new(10, 0, 1, 6),
    );
    world
}

/// Sets a field of a resource's body.
pub(super) fn change(world: &mut World, id: &str, pointer: &str, value: Value) {
    let body = &mut world.resources.get_mut(&key(id)).unwrap().body;
    *body
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{id} has no {pointer}")) = value;
}

/// The public address of a target's name, the same in every world.
pub(super) fn public_address(fqdn: &str) -> Ipv4Addr {
    public_world().public_addresses[fqdn]
}

/// A simulator that holds this world, on a clock that runs as time does.
pub(super) fn simulator(world: World) -> Simulator {
    let mut seed = Seed::default();
    seed.subscriptions.push(SubscriptionSeed {
        id: Some("S1".into()),
        name: "S1".into(),
        ..SubscriptionSeed::default()
    });
    for resource in world.of_kind("microsoft.network/virtualnetworks") {
        seed.virtual_networks.push(VirtualNetworkSeed {
            name: resource.id.rsplit('/').next().unwrap().into(),
            subscription: "S1".into(),
            resource_group: "Net".into(),
            location: "westeurope".into(),
            address_space: vec![
                resource.body["properties"]["addressSpace"]["addressPrefixes"][0]
                    .as_str()
                    .unwrap()
                    .into(),
            ],
            subnets: Vec::new(),
            peerings: Vec::new(),
            dns_servers: Vec::new(),
        });
    }
    seed.networks = world.networks.values().map(network_seed).collect();
    for resource in world.resources.values() {
        let body = resource
            .body
            .as_object()
            .unwrap()
            .iter()
            .filter(|(field, _)| *field != "id");
        let body = body.map(|(field, value)| (field.clone(), value.clone())).collect();
        seed.resources.push(RawResource {
            id: resource.id.clone(),
            body,
        });
    }
    Simulator::new(seed)
}

fn network_seed(network: &Network) -> NetworkSeed {
    let mut seed = NetworkSeed {
        name: network.name.clone(),
        virtual_network: None,
        on_premises: None,
        internet: None,
        egress_address: Some(network.egress_address),
    };
    match &network.place {
        Place::VirtualNetwork(id) => seed.virtual_network = Some(id.clone()),
        Place::Internet(internet) => seed.internet = Some(internet.clone()),
        Place::OnPremises(site) => {
            seed.on_premises = Some(OnPremisesSeed {
                address_prefixes: site.address_prefixes.clone(),
                connected_to: site.connected_to.clone(),
                dns_server: site.dns_server,
                forwards_to: site.forwards_to.clone(),
            });
        }
    }
    seed
}
