//! `SecureRegistry`: the wanted end state of one Azure ML registry, its storage and its ACR.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::rules::*;
use crate::status::SecureRegistryStatus;

/// What the platform team wants.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "SecureRegistry",
    plural = "secureregistries",
    shortname = "sreg",
    category = "secureregistry-all",
    namespaced,
    status = "SecureRegistryStatus",
    derive = "PartialEq",
    doc = "An Azure ML registry that is to be private: its private endpoints, DNS, proof of connectivity and public access, for the registry, its storage and its container registry.",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Public", type_ = "string", json_path = ".status.publicAccess.summary"),
    printcolumn(name = "Endpoints", type_ = "string", json_path = ".status.endpointsReady"),
    printcolumn(name = "Verified", type_ = "string", json_path = ".status.pathsVerified"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Grants", type_ = "string", json_path = ".status.grants"),
    printcolumn(name = "Stale", type_ = "date", json_path = ".status.staleSince"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Proven", type_ = "date", json_path = ".status.lastProof.time", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    validation = Rule::new(SHORT_NAME).message(SHORT_NAME_SAYS),
    cel
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(MANAGED_ZONES_APART).message(MANAGED_ZONES_APART_SAYS),
    validation = Rule::new(EXISTING_ZONES_APART).message(EXISTING_ZONES_APART_SAYS),
    validation = Rule::new(MADE_ZONES_NOT_NAMED).message(EXISTING_ZONES_APART_SAYS),
    validation = Rule::new(LINKED_ARE_CLIENTS).message(LINKED_ARE_CLIENTS_SAYS),
    validation = Rule::new(OWN_NETWORK_IS_CLIENT).message(LINKED_ARE_CLIENTS_SAYS),
    validation = Rule::new(CLIENT_OR_WAIVED).message(CLIENT_OR_WAIVED_SAYS),
    validation = Rule::new(CLIENT_ENDPOINT).message(CLIENT_ENDPOINT_SAYS),
    validation = Rule::new(LOCK_NEEDS_CLIENTS).message(LOCK_NEEDS_CLIENTS_SAYS),
)]
pub struct SecureRegistrySpec {
    /// The Azure registry. Its `resourceId` cannot be changed.
    pub registry: RegistrySpec,
    /// Tags of everything that is created for this object: private endpoints, DNS zones and links (also put on those that exist
    /// already), and the registry if `registry.create` makes it. Azure's rules for tags hold; private DNS zones and links get only
    /// those whose names Azure DNS takes (ASCII letters first, no spaces or parentheses).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 14, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    #[x_kube(validation = Rule::new(TAG_NAMES).message(TAG_NAMES_SAYS))]
    pub tags: BTreeMap<String, String>,
    /// Where private endpoints stand: each entry has all targets (registry, storage, ACR).
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub endpoints: Vec<EndpointSpec>,
    /// Who must be able to connect; each is proven from its own vantage point.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub client_networks: Vec<ClientNetworkSpec>,
    /// Networks whose DNS is changed but that need no proof, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub unproven_networks: Vec<UnprovenNetworkSpec>,
    /// Storage accounts and container registries that the registry uses and that are not its own (they stand outside its managed
    /// resource group): the lock closes them for everybody else who uses them too, so each is to be listed here first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub shared_accounts: Vec<SharedAccountSpec>,
    /// Hosts that discovery returns, that no private endpoint carries and that clients need not reach, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["fqdn"]))]
    pub unproven_hosts: Vec<UnprovenHostSpec>,
    /// What counts as proof.
    #[serde(default)]
    pub verification: VerificationSpec,
    /// What writes that change names for others wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_changes: Option<NameChangesSpec>,
    /// Public access of registry, storage and ACR together.
    #[serde(default)]
    pub public_access: PublicAccessSpec,
    /// Workspaces that share assets with the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingSpec>,
    /// How often Azure is compared with this object when nothing else happens.
    #[serde(default)]
    pub drift: DriftSpec,
    /// `Observe` writes nothing to Azure, ever, and reports what it would do.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// What becomes of our endpoints when this object is deleted. Public access is never changed by deletion.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Which registry, and what of it is ours.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySpec {
    /// ARM id of the registry. Immutable.
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new(REGISTRY_ID).message(REGISTRY_ID_SAYS),
        validation = Rule::new("self.lowerAscii() == oldSelf.lowerAscii()").message("resourceId cannot be changed: delete this object (deletionPolicy: Retain leaves Azure as it is) and create another"),
    )]
    pub resource_id: String,
    /// Create the registry, closed from birth, if it does not exist. Absent: it must exist, and is adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateSpec>,
    /// Tags that we keep on the registry. Other tags are not ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 40, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    #[x_kube(validation = Rule::new(TAG_NAMES).message(TAG_NAMES_SAYS))]
    pub tags: BTreeMap<String, String>,
    /// Whether the operator is to be exempted from the managed resource group's deny assignment.
    #[serde(default)]
    pub managed_resource_group_access: ManagedResourceGroupAccess,
}

/// How a registry is created.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSpec {
    /// Primary region, such as `westeurope`.
    #[schemars(length(min = 2, max = 64))]
    pub location: String,
    /// Further regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 64)))]
    pub additional_locations: Vec<String>,
}

/// Access to the managed resource group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ManagedResourceGroupAccess {
    /// Leave it as it is.
    #[default]
    None,
    /// List the operator's principal in `managedResourceGroupSettings.assignedIdentities`.
    GrantOperator,
}

/// One place for private endpoints.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// Name of this entry.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// ARM id of the subnet that the endpoints stand in.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(SUBNET_ID).message(SUBNET_ID_SAYS))]
    pub subnet_resource_id: String,
    /// ARM id of the resource group that holds them. Default: the virtual network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = Rule::new(GROUP_ID).message(GROUP_ID_SAYS),
        validation = Rule::new(NOT_MANAGED_GROUP).message(NOT_MANAGED_GROUP_SAYS),
    )]
    pub resource_group_resource_id: Option<String>,
    /// How the connections get approved. Default: automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
    /// Who makes names resolve. Default: we do, in zones of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSpec>,
    /// How new private endpoints of this entry are named, where a policy demands it: letters, digits, `-`, `_`, `.` and the
    /// placeholders `{registry}`, `{group}` (`amlregistry`, `blob`, `dfs`, `registry`), `{entry}` and, at the end after a `-`, `_` or `.`,
    /// `{hash}`, such as `pe-{registry}-{group}-{hash}`; at most 64 characters once filled in. What exists keeps its name. Default:
    /// `sreg-<target>-{group}-{hash}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 7, max = 80), regex(pattern = NAME_TEMPLATE))]
    pub name_template: Option<String>,
    /// More tags of what is created for this entry, besides `spec.tags`; of one name, the value here counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 14, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    #[x_kube(validation = Rule::new(TAG_NAMES).message(TAG_NAMES_SAYS))]
    pub tags: BTreeMap<String, String>,
}

/// How connections get approved.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(REQUEST_MESSAGE).message(REQUEST_MESSAGE_SAYS))]
pub struct ApprovalSpec {
    /// `Auto` where the operator may approve, `Manual` where the targets' owner must.
    pub mode: ApprovalMode,
    /// What the approver reads; only with `Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    pub request_message: Option<String>,
}

/// Who approves connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ApprovalMode {
    /// The operator's own right approves at creation.
    #[default]
    Auto,
    /// The target's owner approves later.
    Manual,
}

/// Who makes names resolve, and where.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(DNS_EXISTING).message(DNS_EXISTING_SAYS),
    validation = Rule::new(DNS_MANAGED).message(DNS_MANAGED_SAYS),
    validation = Rule::new(DNS_LINKS).message(DNS_LINKS_SAYS),
    validation = Rule::new(DNS_POLICY).message(DNS_POLICY_SAYS),
)]
pub struct DnsSpec {
    /// Who makes names resolve. Default: `Managed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DnsMode>,
    /// Managed: ARM id of the resource group that zones are created in. Default: the virtual network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(GROUP_ID).message(GROUP_ID_SAYS))]
    pub zone_resource_group_resource_id: Option<String>,
    /// Existing: the zones to write records into, for example a hub's in another subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_dns_zone_resource_ids: Option<ZoneIds>,
    /// Virtual networks to link the zones to. Default: the endpoint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 300)))]
    #[x_kube(validation = Rule::new(VNET_IDS).message(VNET_ID_SAYS))]
    pub link_virtual_networks: Option<Vec<String>>,
    /// What a linked network answers for names that the zone does not hold, such as other registries'. Default: `Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution_policy: Option<ResolutionPolicy>,
    /// Policy: what it takes before a private endpoint is made. Default: `Require`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_assignments: Option<PolicyAssignments>,
}

/// Who makes names resolve. Default: `Managed`.
// Of an optional enumeration the definition keeps this description, not the field's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DnsMode {
    /// The operator creates zones, zone groups and links.
    #[default]
    Managed,
    /// The operator writes into the zones named, and links them.
    Existing,
    /// An Azure Policy creates zone groups (`deployedByPolicy`); the operator looks for its assignment first, then waits for them.
    Policy,
    /// Somebody else serves the names; the operator only publishes what they must answer.
    External,
}

/// Policy: what it takes before a private endpoint is made. Default: `Require`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum PolicyAssignments {
    /// Assignments are seen that make a zone group for each endpoint's group and kind of connection.
    #[default]
    Require,
    /// You state that some do: what is not seen, or not understood, is told and holds nothing up.
    Assume,
}

/// Zones by kind of target.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneIds {
    /// `privatelink.api.azureml.ms`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(ZONE_ID).message(ZONE_ID_SAYS))]
    pub registry: String,
    /// `privatelink.blob.core.windows.net`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(ZONE_ID).message(ZONE_ID_SAYS))]
    pub blob: String,
    /// `privatelink.dfs.core.windows.net`; needed where the storage has a hierarchical namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(ZONE_ID).message(ZONE_ID_SAYS))]
    pub dfs: Option<String>,
    /// `privatelink.azurecr.io`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(ZONE_ID).message(ZONE_ID_SAYS))]
    pub container_registry: String,
}

/// What a linked network answers for names that the zone does not hold, such as other registries'. Default: `Default`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ResolutionPolicy {
    /// Answer that the name does not exist.
    #[default]
    Default,
    /// Ask the public DNS. Keeps other registries resolvable; also masks a missing private record.
    NxDomainRedirect,
}

impl ResolutionPolicy {
    /// Azure's own word, as a link of a zone has it.
    pub fn as_str(self) -> &'static str {
        match self {
            ResolutionPolicy::Default => "Default",
            ResolutionPolicy::NxDomainRedirect => "NxDomainRedirect",
        }
    }
}

/// A network whose clients must be able to connect.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(CLIENT_NETWORK).message(CLIENT_NETWORK_SAYS))]
pub struct ClientNetworkSpec {
    /// Name of this entry.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// ARM id of the virtual network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(VNET_ID).message(VNET_ID_SAYS))]
    pub virtual_network_resource_id: Option<String>,
    /// A network outside Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_premises: Option<OnPremisesSpec>,
    /// Name of the `VantagePoint` that stands in this network.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_SUBDOMAIN))]
    pub vantage_point: String,
    /// Entry of `endpoints` whose addresses clients here must get. Default: the entry that links this network, else the
    /// only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub endpoint: Option<String>,
}

/// A network outside Azure.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnPremisesSpec {
    /// Its prefixes, such as `10.200.0.0/16`.
    #[schemars(
        length(min = 1, max = 32),
        inner(length(max = 64), regex(pattern = "^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub address_prefixes: Vec<String>,
    /// Addresses of the DNS servers that clients there are configured with. Each of them is asked in each attempt, beside the
    /// vantage point's own resolvers. Those of a virtual network are read from Azure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 45), regex(pattern = "^[0-9a-fA-F.:]+$")))]
    pub dns_servers: Vec<String>,
}

/// A network that is waived.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnprovenNetworkSpec {
    /// ARM id of the virtual network.
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(VNET_ID).message(VNET_ID_SAYS))]
    pub virtual_network_resource_id: String,
    /// Why nobody there needs the registry.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// An account that others use too, and that may be closed all the same.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedAccountSpec {
    /// ARM id of the storage account or container registry.
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(ACCOUNT_ID).message(ACCOUNT_ID_SAYS))]
    pub resource_id: String,
    /// Why it may be closed: who else uses it, and that they know.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// A host that is waived. It closes with the registry: whoever asks it from a client network is refused.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnprovenHostSpec {
    /// The host as discovery returns it, in lower case. One that a private endpoint carries is proven all the same.
    #[schemars(
        length(min = 4, max = 253),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$")
    )]
    pub fqdn: String,
    /// Why no client needs it.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
}

/// What counts as proof.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(PROOF_FITS).message(PROOF_FITS_SAYS),
)]
pub struct VerificationSpec {
    /// Successes in a row that each path needs, 1 to 10.
    #[serde(default = "default_consecutive_successes")]
    #[schemars(range(min = 1, max = 10))]
    pub consecutive_successes: i32,
    /// Pause between two attempts at a path, 100ms to 10m.
    #[serde(default = "default_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(INTERVAL).message(INTERVAL_SAYS))]
    pub interval: String,
    /// Older evidence is no evidence. At least consecutiveSuccesses × interval, at most 2h.
    #[serde(default = "default_max_age")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(MAX_AGE).message(MAX_AGE_SAYS))]
    pub max_age: String,
    /// Pause between the last name change and the lock, 1s to 24h. Public CNAMEs live up to an hour in caches: with less than
    /// `1h` clients that asked just before a name changed may be locked out until they ask again.
    #[serde(default = "default_dns_settle")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(DNS_SETTLE).message(DNS_SETTLE_SAYS))]
    pub dns_settle: String,
    /// Look for clients that still come from public addresses before locking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_public_clients: Option<RecentPublicClientsSpec>,
}

impl Default for VerificationSpec {
    fn default() -> Self {
        VerificationSpec {
            consecutive_successes: default_consecutive_successes(),
            interval: default_interval(),
            max_age: default_max_age(),
            dns_settle: default_dns_settle(),
            recent_public_clients: None,
        }
    }
}

fn default_consecutive_successes() -> i32 {
    3
}

fn default_interval() -> String {
    "30s".into()
}

fn default_max_age() -> String {
    "10m".into()
}

fn default_dns_settle() -> String {
    "1h".into()
}

/// Evidence of clients that a lock would cut off.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentPublicClientsSpec {
    /// ARM id of the workspace that receives the diagnostic logs.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(WORKSPACE_ID).message(WORKSPACE_ID_SAYS))]
    pub log_analytics_workspace_resource_id: String,
    /// How far back to look, 1m to 2160h (90 days), such as `168h`.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(LOOK_BACK).message(LOOK_BACK_SAYS))]
    pub window: String,
    /// What a hit does. A lock that only comes back, after a BreakGlass or an opening by hand, is not held up by it.
    pub policy: RecentPublicClientsPolicy,
    /// Addresses or prefixes that may be cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    pub accept: Vec<String>,
}

/// What a recent public client does to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RecentPublicClientsPolicy {
    /// Hold the lock until it is gone or accepted.
    Block,
    /// Report it.
    Warn,
    /// Do not look.
    Ignore,
}

/// What name-changing writes wait for.
#[derive(schemars::JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameChangesSpec {
    /// `Approval`: a `ChangeApproval` of kind `NameChanges` with the digest that status shows.
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "set"))]
    pub wait_for: Vec<NameChangesGate>,
}

/// Gates before name changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum NameChangesGate {
    /// A `ChangeApproval` of kind `NameChanges`.
    Approval,
}

/// Public access of registry, storage and ACR together.
#[derive(schemars::JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublicAccessSpec {
    /// The end state.
    pub desired: PublicAccess,
    /// What the lock waits for besides proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<LockdownSpec>,
    /// What happens when a path is lost soon after the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackSpec>,
}

/// Public access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum PublicAccess {
    /// Closed, as soon as every client path is proven.
    #[default]
    Disabled,
    /// Open.
    Enabled,
}

/// What the lock waits for besides proof.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(WINDOW).message(WINDOW_SAYS))]
pub struct LockdownSpec {
    /// Empty: as soon as proven.
    #[serde(default)]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub wait_for: Vec<LockdownGate>,
    /// When locking is allowed, if `waitFor` has `Window`. A lock that only comes back, after a BreakGlass or an opening by
    /// hand, does not wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowSpec>,
}

/// Gates before the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum LockdownGate {
    /// A `ChangeApproval` of kind `Lockdown`. Keep it: a lock that comes back needs it too.
    Approval,
    /// `window` must be open.
    Window,
}

/// A recurring window.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowSpec {
    /// Cron expression of its openings: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 128))]
    pub schedule: String,
    /// IANA time zone, such as `Europe/Amsterdam`.
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// How long it stays open, 1m to 168h (a week).
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(WINDOW_LENGTH).message(WINDOW_LENGTH_SAYS))]
    pub duration: String,
}

/// What happens when a path is lost soon after the lock.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackSpec {
    /// What is done then.
    #[serde(default)]
    pub on_failure: RollbackPolicy,
    /// How long after the lock `Reopen` may act, 1s to 24h.
    #[serde(default = "default_grace_period")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(GRACE_PERIOD).message(GRACE_PERIOD_SAYS))]
    pub grace_period: String,
}

impl Default for RollbackSpec {
    fn default() -> Self {
        RollbackSpec {
            on_failure: RollbackPolicy::Hold,
            grace_period: default_grace_period(),
        }
    }
}

fn default_grace_period() -> String {
    "15m".into()
}

/// What a lost path does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RollbackPolicy {
    /// Stay locked, alert.
    #[default]
    Hold,
    /// Restore what was before the lock.
    Reopen,
}

/// Workspaces that share assets with the registry (azure.md §9).
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharingSpec {
    /// Storage accounts of those workspaces: each gets a resource-instance rule for the registry.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new(STORAGE_IDS).message("each must be the ARM id of a storage account: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/NAME"))]
    pub workspace_storage_account_resource_ids: Vec<String>,
}

/// How often Azure is looked at.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftSpec {
    /// Time between two visits of a settled object, 1s to 24h; jittered.
    #[serde(default = "default_drift_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(DRIFT_INTERVAL).message(DRIFT_INTERVAL_SAYS))]
    pub interval: String,
}

impl Default for DriftSpec {
    fn default() -> Self {
        DriftSpec {
            interval: default_drift_interval(),
        }
    }
}

fn default_drift_interval() -> String {
    "10m".into()
}

/// Whether the operator may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ManagementPolicy {
    /// Make it so.
    #[default]
    Enforce,
    /// Zero writes to Azure, ever; drift is reported.
    Observe,
}

/// What deletion does to our endpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DeletionPolicy {
    /// Leave Azure as it is.
    #[default]
    Retain,
    /// Delete what carries our mark, where that strands nobody.
    DeleteEndpoints,
}
