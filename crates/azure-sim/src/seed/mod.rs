//! The world's beginning, as a YAML file: tenant, subscriptions, principals, networks, registries and what other teams have.
//! Unknown fields are errors that say the line; so is a reference to something that the file does not hold.

mod building;
mod teams;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::latency::Latencies;
use crate::log_analytics::Caller;
use crate::throttle::Throttling;
use crate::world::Switches;

pub(crate) use building::{Beginning, build};

/// Why a seed cannot be used.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The file cannot be read.
    #[error("read seed file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not the YAML of a seed; the cause names line and field.
    #[error("parse seed")]
    Parse(#[source] Box<serde_saphyr::Error>),
    /// It refers to something that it does not hold, or repeats a name.
    #[error("seed: {field}: {reason}")]
    Reference {
        /// Where, such as `virtualNetworks[hub].peerings`.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

/// The world's beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Seed {
    /// Entra tenant; a fixed one when left out.
    pub tenant_id: String,
    /// Simulated seconds per second.
    pub clock_scale: f64,
    /// How long operations take.
    pub latencies: Latencies,
    /// ARM's token buckets.
    pub throttling: Throttling,
    /// `expires_in` of access tokens, in seconds.
    pub token_lifetime_seconds: u64,
    /// Unsettled behaviour.
    pub switches: Switches,
    /// Subscriptions and their resource groups.
    pub subscriptions: Vec<SubscriptionSeed>,
    /// Who can sign in.
    pub principals: Vec<PrincipalSeed>,
    /// Virtual networks.
    pub virtual_networks: Vec<VirtualNetworkSeed>,
    /// Places to connect from.
    pub networks: Vec<NetworkSeed>,
    /// Machine learning registries, with the accounts that Azure makes for them.
    pub registries: Vec<RegistrySeed>,
    /// Storage accounts that no registry made.
    pub storage_accounts: Vec<AccountSeed>,
    /// Container registries that no registry made.
    pub container_registries: Vec<AccountSeed>,
    /// Private zones of other teams, with links and records.
    pub private_dns_zones: Vec<ZoneSeed>,
    /// Endpoints of other teams.
    pub private_endpoints: Vec<EndpointSeed>,
    /// Deny assignments besides those of managed resource groups.
    pub deny_assignments: Vec<DenyAssignmentSeed>,
    /// Log Analytics workspaces.
    pub log_analytics_workspaces: Vec<WorkspaceSeed>,
    /// Callers that the logs know of from before.
    pub callers: Vec<Caller>,
    /// Policy assignments, definitions and anything else as raw bodies: id and the rest.
    pub resources: Vec<RawResource>,
}

impl Default for Seed {
    fn default() -> Self {
        Seed {
            tenant_id: "72f988bf-0000-4000-a000-2d7cd011db47".to_owned(),
            clock_scale: 1.0,
            latencies: Latencies::None,
            throttling: Throttling::default(),
            token_lifetime_seconds: 3599,
            switches: Switches::default(),
            subscriptions: Vec::new(),
            principals: Vec::new(),
            virtual_networks: Vec::new(),
            networks: Vec::new(),
            registries: Vec::new(),
            storage_accounts: Vec::new(),
            container_registries: Vec::new(),
            private_dns_zones: Vec::new(),
            private_endpoints: Vec::new(),
            deny_assignments: Vec::new(),
            log_analytics_workspaces: Vec::new(),
            callers: Vec::new(),
            resources: Vec::new(),
        }
    }
}

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionSeed {
    /// Its id; made from the name when left out.
    #[serde(default)]
    pub id: Option<String>,
    /// What the rest of the seed calls it.
    pub name: String,
    /// Resource groups by name, with their location. Groups that other entries name are made in `westeurope`.
    #[serde(default)]
    pub resource_groups: BTreeMap<String, String>,
    /// Provider namespaces that are not registered here.
    #[serde(default)]
    pub unregistered_providers: Vec<String>,
}

/// A principal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrincipalSeed {
    /// What people call it.
    pub name: String,
    /// Object id; made from the name when left out.
    #[serde(default)]
    pub object_id: Option<String>,
    /// Client id; made from the name when left out.
    #[serde(default)]
    pub client_id: Option<String>,
    /// A secret to sign in with.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Tokens of other issuers to sign in with.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
    /// What it may do.
    #[serde(default)]
    pub roles: Vec<RoleSeed>,
}

/// A federated credential of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// `iss` of the assertion. Absent: any, which Azure has not, for clusters whose issuer is not known beforehand.
    #[serde(default)]
    pub issuer: Option<String>,
    /// `sub` of the assertion.
    pub subject: String,
    /// `aud` of the assertion.
    #[serde(default = "exchange")]
    pub audience: String,
}

fn exchange() -> String {
    "api://AzureADTokenExchange".to_owned()
}

/// A role assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleSeed {
    /// `Owner`, `Contributor`, `Reader`; or left out for `actions`.
    #[serde(default)]
    pub role: Option<String>,
    /// Allowed actions, with `*`.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Actions taken away again.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// An ARM id, the name of a subscription, or `/`.
    #[serde(default = "everywhere")]
    pub scope: String,
}

fn everywhere() -> String {
    "/".to_owned()
}

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualNetworkSeed {
    /// Its name, by which the rest of the seed calls it.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its region.
    #[serde(default = "westeurope")]
    pub location: String,
    /// Its prefixes.
    pub address_space: Vec<String>,
    /// Its subnets.
    #[serde(default)]
    pub subnets: Vec<SubnetSeed>,
    /// Names of VNets that it peers with; the other side has to say so too.
    #[serde(default)]
    pub peerings: Vec<String>,
    /// DNS servers of its own; none: Azure's.
    #[serde(default)]
    pub dns_servers: Vec<Ipv4Addr>,
}

fn westeurope() -> String {
    "westeurope".to_owned()
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetSeed {
    /// Its name.
    pub name: String,
    /// Its prefix.
    pub prefix: String,
    /// `privateEndpointNetworkPolicies`.
    #[serde(default = "disabled")]
    pub private_endpoint_network_policies: String,
}

fn disabled() -> String {
    "Disabled".to_owned()
}

/// A place to connect from; exactly one of the three kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSeed {
    /// What people call it.
    pub name: String,
    /// Name or ARM id of the VNet that it lies in.
    #[serde(default)]
    pub virtual_network: Option<String>,
    /// A network of the customer's own.
    #[serde(default)]
    pub on_premises: Option<OnPremisesSeed>,
    /// `{}`: anywhere else.
    #[serde(default)]
    pub internet: Option<crate::world::Internet>,
    /// The public address that servers see; made from the name when left out.
    #[serde(default)]
    pub egress_address: Option<Ipv4Addr>,
}

/// An on-premises network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnPremisesSeed {
    /// Its prefixes.
    pub address_prefixes: Vec<String>,
    /// Name or ARM id of the VNet that its gateway joins.
    pub connected_to: String,
    /// Where its forwarder listens.
    pub dns_server: Ipv4Addr,
    /// Name or ARM id of the VNet in whose view the forwarder answers; left out: the internet's.
    #[serde(default)]
    pub forwards_to: Option<String>,
}

/// A registry with its managed accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistrySeed {
    /// Its name.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its primary region.
    #[serde(default = "westeurope")]
    pub location: String,
    /// Further regions.
    #[serde(default)]
    pub additional_locations: Vec<String>,
    /// Its storage accounts have a hierarchical namespace.
    #[serde(default)]
    pub hierarchical_namespace: bool,
    /// Storage accounts in each region.
    #[serde(default = "one")]
    pub storage_accounts_per_region: u32,
    /// `Enabled` or `Disabled`, for the registry and its accounts.
    #[serde(default = "enabled")]
    pub public_network_access: String,
    /// Tags of the registry.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Object ids in `managedResourceGroupSettings.assignedIdentities`, or names of principals.
    #[serde(default)]
    pub assigned_identities: Vec<String>,
}

fn one() -> u32 {
    1
}

fn enabled() -> String {
    "Enabled".to_owned()
}

/// A storage account or container registry that no registry made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountSeed {
    /// Its name.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its region.
    #[serde(default = "westeurope")]
    pub location: String,
    /// `Enabled` or `Disabled`.
    #[serde(default = "enabled")]
    pub public_network_access: String,
    /// A hierarchical namespace (storage only).
    #[serde(default)]
    pub hierarchical_namespace: bool,
    /// `Basic`, `Standard` or `Premium` (container registries only).
    #[serde(default = "premium")]
    pub sku: String,
}

fn premium() -> String {
    "Premium".to_owned()
}

/// A private zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZoneSeed {
    /// Its name, such as `privatelink.azurecr.io`.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// Names or ids of VNets linked to it.
    #[serde(default)]
    pub links: Vec<String>,
    /// `Default` or `NxDomainRedirect`, for all links.
    #[serde(default = "default_policy")]
    pub resolution_policy: String,
    /// A records: relative name to addresses.
    #[serde(default)]
    pub records: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

fn default_policy() -> String {
    "Default".to_owned()
}

/// A private endpoint that stands, approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSeed {
    /// Its name.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
    /// `vnet/subnet` by name, or the subnet's ARM id.
    pub subnet: String,
    /// Name of a registry or account of this seed, or the target's ARM id.
    pub target: String,
    /// Its `groupId`.
    pub group_id: String,
    /// Resource group (in the endpoint's subscription) of the zone that a zone group `default` writes into.
    #[serde(default)]
    pub zone_resource_group: Option<String>,
}

/// A deny assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyAssignmentSeed {
    /// Its display name.
    pub name: String,
    /// Where it holds.
    pub scope: String,
    /// Denied actions, with `*`.
    pub actions: Vec<String>,
    /// Exceptions.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// Object ids, or names of principals, that it leaves alone.
    #[serde(default)]
    pub exclude_principals: Vec<String>,
}

/// A Log Analytics workspace; the logs of all targets arrive in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceSeed {
    /// Its name.
    pub name: String,
    /// Name or id of its subscription.
    pub subscription: String,
    /// Its resource group.
    pub resource_group: String,
}

/// Any resource, as Azure would answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawResource {
    /// ARM id.
    pub id: String,
    /// All other fields.
    #[serde(flatten)]
    pub body: serde_json::Map<String, Value>,
}

impl Seed {
    /// Reads a seed and checks that all its references lead somewhere.
    pub fn from_yaml(text: &str) -> Result<Seed, SeedError> {
        let seed: Seed = serde_saphyr::from_str(text).map_err(|e| SeedError::Parse(Box::new(e)))?;
        match build(&seed).faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(seed),
        }
    }

    /// Reads a seed from a file.
    pub fn load(path: &Path) -> Result<Seed, SeedError> {
        let text = std::fs::read_to_string(path).map_err(|source| SeedError::Read {
            path: path.to_owned(),
            source,
        })?;
        Seed::from_yaml(&text)
    }
}
