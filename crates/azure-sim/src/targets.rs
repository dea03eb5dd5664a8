//! What private endpoints point at: registries, storage accounts, container registries. Pure questions about the world:
//! which names a target owns, which endpoints it has, who may reach it publicly. The data plane answers DNS and streams
//! from these, the oracle derives required paths from them.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::json::{flag, guid, list, text};
use crate::world::{Key, Resource, World, key};

/// Provider type of registries.
pub const REGISTRY: &str = "microsoft.machinelearningservices/registries";
/// Provider type of storage accounts.
pub const STORAGE: &str = "microsoft.storage/storageaccounts";
/// Provider type of container registries.
pub const CONTAINER_REGISTRY: &str = "microsoft.containerregistry/registries";
/// Provider type of private endpoints.
pub const PRIVATE_ENDPOINT: &str = "microsoft.network/privateendpoints";

/// The kinds of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetKind {
    /// A machine learning registry.
    Registry,
    /// A storage account.
    Storage,
    /// A container registry.
    ContainerRegistry,
}

impl TargetKind {
    /// The kind for a provider type in lower case.
    pub fn of(kind: &str) -> Option<TargetKind> {
        match kind {
            REGISTRY => Some(TargetKind::Registry),
            STORAGE => Some(TargetKind::Storage),
            CONTAINER_REGISTRY => Some(TargetKind::ContainerRegistry),
            _ => None,
        }
    }
}

/// A name that a target owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetName {
    /// The sub-resource (`groupIds` of an endpoint) that carries it.
    pub group_id: String,
    /// `requiredMemberName` on the NIC.
    pub member: String,
    /// The public name, lower case: what clients ask for and what certificates carry.
    pub fqdn: String,
    /// The private zone it lives in, such as `privatelink.azurecr.io`.
    pub zone: &'static str,
    /// Its relative record name in that zone.
    pub record: String,
}

impl TargetName {
    /// The name in the private zone, to which the public CNAME points.
    pub fn private_fqdn(&self) -> String {
        format!("{}.{}", self.record, self.zone)
    }
}

/// One address of a private endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointMember {
    /// `requiredMemberName`.
    pub member: String,
    /// Public names behind this address, lower case.
    pub fqdns: Vec<String>,
    /// The address from the endpoint's subnet.
    pub address: Ipv4Addr,
}

/// A private endpoint as the data plane needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// ARM id of the endpoint.
    pub id: String,
    /// Key of the target.
    pub target: Key,
    /// Sub-resource it connects to.
    pub group_id: String,
    /// Connection status: `Approved`, `Pending`, `Rejected`, `Disconnected`.
    pub status: String,
    /// `provisioningState` is `Succeeded`.
    pub provisioned: bool,
    /// ARM id of its subnet.
    pub subnet: String,
    /// Key of the VNet that holds the subnet.
    pub virtual_network: Key,
    /// Its addresses.
    pub members: Vec<EndpointMember>,
}

impl EndpointView {
    /// Traffic passes: approved and provisioned. All else is silence.
    pub fn connects(&self) -> bool {
        self.provisioned && self.status.eq_ignore_ascii_case("Approved")
    }
}

/// Who may reach a target publicly, as the data plane has it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// `publicNetworkAccess` is not `Disabled`.
    pub enabled: bool,
    /// Everybody may come in: enabled, and the default action allows.
    pub public_open: bool,
    /// Addresses or prefixes let in though the default action denies.
    pub ip_rules: Vec<String>,
    /// Trusted Microsoft services come in though the default action denies.
    pub trusted_services: bool,
    /// Resource ids of resource-instance rules (storage only).
    pub resource_rules: Vec<String>,
}

impl Access {
    /// Whether a client with this public address comes in.
    pub fn admits(&self, address: Ipv4Addr) -> bool {
        self.public_open || (self.enabled && self.ip_rules.iter().any(|rule| prefix_holds(rule, address)))
    }
}

/// Whether an address or CIDR prefix holds this address; a text that is neither holds nothing.
pub fn prefix_holds(prefix: &str, address: Ipv4Addr) -> bool {
    parse_prefix(prefix).is_some_and(|(base, bits)| {
        let mask = mask(bits);
        u32::from(base) & mask == u32::from(address) & mask
    })
}

/// An address (32 bits) or CIDR prefix taken apart.
pub fn parse_prefix(prefix: &str) -> Option<(Ipv4Addr, u32)> {
    let (base, bits) = match prefix.split_once('/') {
        Some((base, bits)) => (base, bits.parse().ok().filter(|b| *b <= 32)?),
        None => (prefix, 32),
    };
    Some((base.trim().parse().ok()?, bits))
}

pub(crate) fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)
}

/// The guid in a registry's host names: a hash of its id.
pub fn registry_guid(registry_id: &str) -> String {
    guid(&["registry", &key(registry_id)])
}

/// The regions of a registry or of a container registry with its replicas, in order, lower case and without blanks.
pub fn regions_of(world: &World, target: &Resource) -> Vec<String> {
    let mut regions: Vec<String> = match TargetKind::of(&target.kind) {
        Some(TargetKind::Registry) => {
            let details = list(&target.body, "/properties/regionDetails");
            details.iter().map(|d| region(text(d, "/location"))).collect()
        }
        Some(TargetKind::ContainerRegistry) => std::iter::once(region(text(&target.body, "/location")))
            .chain(
                world
                    .below(&target.id)
                    .filter(|r| r.kind == "microsoft.containerregistry/registries/replications")
                    .map(|r| region(text(&r.body, "/location"))),
            )
            .collect(),
        Some(TargetKind::Storage) | None => vec![region(text(&target.body, "/location"))],
    };
    let mut seen = std::collections::BTreeSet::new();
    regions.retain(|r| !r.is_empty() && seen.insert(r.clone()));
    regions
}

/// A region as names spell it: lower case, no blanks.
pub fn region(location: &str) -> String {
    location
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase()
}

/// All names that a target owns, whether or not an endpoint carries them.
pub fn fqdns_of(world: &World, target_id: &str) -> Vec<TargetName> {
    let Some(target) = world.get(target_id) else {
        return Vec::new();
    };
    let name = text(&target.body, "/name").to_ascii_lowercase();
    match TargetKind::of(&target.kind) {
        Some(TargetKind::Registry) => {
            let guid = registry_guid(&target.id);
            let primary = region(text(&target.body, "/location"));
            let member = |r: &String| match *r == primary {
                true => "amlregistry".to_owned(),
                false => format!("amlregistry_{r}"),
            };
            let regions = regions_of(world, target);
            regions
                .iter()
                .map(|r| TargetName {
                    group_id: "amlregistry".into(),
                    member: member(r),
                    fqdn: format!("{guid}.registry.{r}.api.azureml.ms"),
                    zone: "privatelink.api.azureml.ms",
                    record: format!("{guid}.registry.{r}"),
                })
                .collect()
        }
        Some(TargetKind::Storage) => {
            let service = |group: &str, zone| TargetName {
                group_id: group.into(),
                member: group.into(),
                fqdn: format!("{name}.{group}.core.windows.net"),
                zone,
                record: name.clone(),
            };
            let mut names = vec![service("blob", "privatelink.blob.core.windows.net")];
            if flag(&target.body, "/properties/isHnsEnabled") {
                names.push(service("dfs", "privatelink.dfs.core.windows.net"));
            }
            names
        }
        Some(TargetKind::ContainerRegistry) => {
            let one = |member: String, record: String| TargetName {
                group_id: "registry".into(),
                member,
                fqdn: format!("{record}.azurecr.io"),
                zone: "privatelink.azurecr.io",
                record,
            };
            let data = regions_of(world, target);
            std::iter::once(one("registry".into(), name.clone()))
                .chain(
                    data.iter()
                        .map(|r| one(format!("registry_data_{r}"), format!("{name}.{r}.data"))),
                )
                .collect()
        }
        None => Vec::new(),
    }
}

/// The target that owns this public name.
pub fn owner_of_fqdn(world: &World, fqdn: &str) -> Option<Key> {
    let owner = world
        .name_owners
        .get(&fqdn.trim_end_matches('.').to_ascii_lowercase())?;
    world.resources.contains_key(owner).then(|| owner.clone())
}

/// The private endpoint in this resource, whatever its state; `None` when its connection is missing.
pub fn endpoint_view(world: &World, endpoint: &Resource) -> Option<EndpointView> {
    let connection = connection_of(&endpoint.body)?;
    let subnet = text(&endpoint.body, "/properties/subnet/id").to_owned();
    let virtual_network = key(subnet.get(..subnet.to_ascii_lowercase().rfind("/subnets/")?)?);
    let members = list(&endpoint.body, "/properties/networkInterfaces")
        .iter()
        .filter_map(|nic| world.get(text(nic, "/id")))
        .flat_map(|nic| list(&nic.body, "/properties/ipConfigurations"))
        .filter_map(member_of)
        .collect();
    Some(EndpointView {
        id: endpoint.id.clone(),
        target: key(text(connection, "/properties/privateLinkServiceId")),
        group_id: text(connection, "/properties/groupIds/0").to_owned(),
        status: text(connection, "/properties/privateLinkServiceConnectionState/status").to_owned(),
        provisioned: text(&endpoint.body, "/properties/provisioningState") == "Succeeded",
        subnet,
        virtual_network,
        members,
    })
}

fn member_of(configuration: &Value) -> Option<EndpointMember> {
    let properties = "/properties/privateLinkConnectionProperties";
    Some(EndpointMember {
        member: text(configuration, &format!("{properties}/requiredMemberName")).to_owned(),
        fqdns: list(configuration, &format!("{properties}/fqdns"))
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect(),
        address: text(configuration, "/properties/privateIPAddress").parse().ok()?,
    })
}

/// The one connection of a private endpoint's body, from whichever list holds it.
pub(crate) fn connection_of(endpoint: &Value) -> Option<&Value> {
    [
        "/properties/privateLinkServiceConnections",
        "/properties/manualPrivateLinkServiceConnections",
    ]
    .into_iter()
    .find_map(|pointer| list(endpoint, pointer).first())
}

/// All endpoints that point at this target, in id order.
pub fn endpoints_of(world: &World, target_id: &str) -> Vec<EndpointView> {
    let target = key(target_id);
    world
        .of_kind(PRIVATE_ENDPOINT)
        .filter(|e| connection_of(&e.body).is_some_and(|c| key(text(c, "/properties/privateLinkServiceId")) == target))
        .filter_map(|endpoint| endpoint_view(world, endpoint))
        .collect()
}

/// The endpoint that holds this address in its VNet, with the member behind it.
pub fn endpoint_at(world: &World, virtual_network: &str, address: Ipv4Addr) -> Option<(EndpointView, EndpointMember)> {
    let network = key(virtual_network);
    world
        .of_kind(PRIVATE_ENDPOINT)
        .filter_map(|e| endpoint_view(world, e))
        .find_map(|view| {
            let member = view
                .members
                .iter()
                .find(|m| m.address == address && view.virtual_network == network)
                .cloned()?;
            Some((view, member))
        })
}

/// Who may reach the target publicly at this simulated time: a change takes effect only after
/// [`crate::world::Switches::access_effect_seconds`]. `None` when there is no such target.
pub fn access_of(world: &World, target_id: &str, now: Duration) -> Option<Access> {
    let target = world.get(target_id)?;
    let lag = Duration::from_secs(world.switches.access_effect_seconds);
    let earlier = world.earlier_bodies.get(&key(target_id)).map_or(&[][..], Vec::as_slice);
    let body = earlier
        .iter()
        .find(|(until, _)| now < until.saturating_add(lag))
        .map_or(&target.body, |(_, body)| body);
    Some(access_in(TargetKind::of(&target.kind)?, body))
}

/// Who may reach a target with this body publicly.
pub fn access_in(kind: TargetKind, body: &Value) -> Access {
    let enabled = text(body, "/properties/publicNetworkAccess") != "Disabled";
    let (rules, bypass) = match kind {
        TargetKind::Registry => ("", ""),
        TargetKind::Storage => ("/properties/networkAcls", text(body, "/properties/networkAcls/bypass")),
        TargetKind::ContainerRegistry => (
            "/properties/networkRuleSet",
            text(body, "/properties/networkRuleBypassOptions"),
        ),
    };
    let denies = !rules.is_empty() && text(body, &format!("{rules}/defaultAction")) == "Deny";
    Access {
        enabled,
        public_open: enabled && !denies,
        ip_rules: texts(list(body, &format!("{rules}/ipRules")), "/value"),
        trusted_services: bypass.contains("AzureServices")
            && (enabled || matches!(kind, TargetKind::ContainerRegistry)),
        resource_rules: match enabled {
            true => texts(list(body, &format!("{rules}/resourceAccessRules")), "/resourceId"),
            false => Vec::new(),
        },
    }
}

fn texts(items: &[Value], pointer: &str) -> Vec<String> {
    items
        .iter()
        .map(|item| text(item, pointer).to_owned())
        .filter(|t| !t.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn storage_disabled_stops_trusted_services_and_resource_rules_too() {
        let body = json!({"properties": {"publicNetworkAccess": "Disabled", "networkAcls": {
            "defaultAction": "Deny", "bypass": "AzureServices", "ipRules": [{"value": "1.2.3.4"}],
            "resourceAccessRules": [{"resourceId": "/x"}]}}});
        let access = access_in(TargetKind::Storage, &body);
        assert!(!access.public_open && !access.trusted_services && access.resource_rules.is_empty());
        assert!(!access.admits(Ipv4Addr::new(1, 2, 3, 4)));
    }

    #[test]
    fn a_default_action_of_deny_lets_ip_rules_in() {
        let body = json!({"properties": {"publicNetworkAccess": "Enabled",
            "networkRuleSet": {"defaultAction": "Deny", "ipRules": [{"action": "Allow", "value": "1.2.3.0/24"}]}}});
        let access = access_in(TargetKind::ContainerRegistry, &body);
        assert!(!access.public_open);
        assert!(access.admits(Ipv4Addr::new(1, 2, 3, 77)));
        assert!(!access.admits(Ipv4Addr::new(1, 2, 4, 77)));
    }

    #[test]
    fn a_prefix_of_nonsense_holds_nothing() {
        assert!(!prefix_holds("10.0.0.0/99", Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!prefix_holds("everywhere", Ipv4Addr::new(10, 0, 0, 1)));
        assert!(prefix_holds("0.0.0.0/0", Ipv4Addr::new(10, 0, 0, 1)));
    }
}
