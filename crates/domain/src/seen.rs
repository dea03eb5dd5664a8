//! What was seen: one value per visit. Every fact is `Seen`, `Absent` or `Unknown(why)`; nothing is deleted, locked or
//! called healthy on `Unknown`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sreg_api::probe::{ConnectivityProbeSpec, ConnectivityProbeStatus};
use sreg_api::vantage_point::VantageNetwork;
use sreg_api::{BreakGlassStatus, ChangeApprovalStatus, ChangeKind, SecureRegistryStatus};

use crate::LastReport;
use crate::action::{Operation, Snapshot};
pub use crate::attempt::{Attempt, Attempts};
use crate::azure_text::{ConnectionStatus, ProvisioningState};
use crate::desired::{Desired, ObjectRef};
use crate::digest::Digest;
pub use crate::fact::Fact;
use crate::ids::{ArmId, Fqdn, Location};
pub use crate::ignorance::{Ignorance, IgnoranceKind};
pub use crate::objections::{DenyAssignment, LockSeen};
use crate::rights::Permissions;
use crate::step::StepId;
pub use crate::target_seen::{
    ContainerRegistryDetails, NeededEndpoints, RegionSeen, RegistryDetails, StorageDetails, TargetDetails, TargetSeen,
    Targets,
};

/// Name of an entry of [`AzureSeen::endpoints`] that stands for the endpoints of a resource group that could not be listed
/// (`Unknown`) or does not exist (`Absent`).
pub const UNLISTED: &str = "unlisted";

/// Everything that one visit knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// When the visit began, wall clock.
    pub at: Timestamp,
    /// Drawn once per visit: where the plan needs a random round number it takes this.
    pub nonce: i64,
    /// The object's own metadata and last status.
    pub object: ObjectSeen,
    /// The cluster's side.
    pub cluster: ClusterSeen,
    /// Azure's side.
    pub azure: AzureSeen,
    /// What this process remembers; empty after a restart.
    pub memory: Memory,
}

/// The object itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ObjectSeen {
    /// Our finalizer is on it.
    pub has_finalizer: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Who edited its spec last, where that is known.
    pub spec_edited_by: Option<String>,
    /// What its status said, read once. What is decided is decided by this. Not written down: [`ObjectSeen::reread`] makes it anew.
    #[serde(skip)]
    pub last: LastReport,
    /// That status as it stands there, for the report that rewrites it. Untrusted input; may be empty at any time.
    pub status: SecureRegistryStatus,
}

impl ObjectSeen {
    /// Reads the status again, after it was changed.
    pub fn reread(&mut self) {
        self.last = LastReport::read(&self.status);
    }
}

/// The cluster's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterSeen {
    /// Who holds the claim on the Azure registry.
    pub claim: Fact<Claim>,
    /// The vantage points that the spec names.
    pub vantage_points: BTreeMap<String, Fact<VantagePointSeen>>,
    /// Our probes, by vantage point; also those of vantage points that the spec no longer names.
    pub probes: BTreeMap<String, Fact<ProbeSeen>>,
    /// What was before the lock, read back from the ConfigMap.
    pub snapshot: Fact<Snapshot>,
    /// What the ConfigMap holds instead after an opening has put all of it back, for as long as a closing write may still be on its way.
    pub restored: Option<Snapshot>,
    /// What the ConfigMap for external DNS holds.
    pub published_dns: Fact<BTreeMap<String, String>>,
    /// `ChangeApproval` objects for this registry.
    pub approvals: Fact<Vec<ApprovalSeen>>,
    /// `BreakGlass` objects for this registry.
    pub break_glasses: Fact<Vec<BreakGlassSeen>>,
}

impl ClusterSeen {
    /// Takes in what the ConfigMap of the snapshot holds.
    pub fn take_in(&mut self, read: Fact<Snapshot>) {
        let restored = read.seen().filter(|snapshot| snapshot.restored_at.is_some());
        self.restored = restored.cloned();
        self.snapshot = if self.restored.is_some() { Fact::Absent } else { read };
    }
}

/// Who holds the claim on an Azure registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `namespace/name` of the holder.
    pub holder: String,
    /// Uid of the holder.
    pub uid: String,
    /// Whether that object may still exist. One that is gone goes on holding what may be closed in its name.
    pub alive: bool,
    /// The holder found no registry there, and set about to create one that carries this mark as a tag. It is recorded before the
    /// creation, and lost when another object takes the Lease over.
    pub creates: Option<String>,
}

impl Claim {
    /// The claim of this object, which lives; with the mark of the registry that it set about to create.
    pub fn of(object: &ObjectRef, creates: Option<String>) -> Claim {
        Claim {
            holder: object.holder(),
            uid: object.uid.clone(),
            alive: true,
            creates,
        }
    }
}

/// What forbids or undoes opening again, or may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Obstacle {
    /// What kind of thing it is.
    pub kind: ObstacleKind,
    /// What it is and what it does, whatever the words: an approval covers that.
    pub key: String,
    /// A sentence for people, with what to do about it.
    pub message: String,
}

/// What can forbid opening again, as far as Azure says so without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObstacleKind {
    /// An assignment of a policy that speaks of public network access.
    PolicyAssignment,
    /// The export policy of a container registry.
    ExportPolicy,
    /// A network security perimeter that a storage account is associated with.
    Perimeter,
}

/// A vantage point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VantagePointSeen {
    /// Its uid.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Kind of network.
    pub network: VantageNetwork,
    /// Its virtual network.
    pub virtual_network: Option<ArmId>,
    /// Where its probes live.
    pub namespace: String,
    /// Its agent's ServiceAccount there.
    pub service_account: String,
    /// Whether its agent's Lease is current. `Unknown` when it could not be read.
    pub alive: Fact<bool>,
    /// When that Lease was renewed last, by the agent's own clock: for people only.
    pub renewed: Option<Timestamp>,
}

/// A probe object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSeen {
    /// Namespace that it lives in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// What was asked.
    pub spec: ConnectivityProbeSpec,
    /// What was found.
    pub status: Option<ConnectivityProbeStatus>,
    /// Since when it is marked as one whose agent does not report.
    pub silent_since: Option<Timestamp>,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalSeen {
    /// Its name.
    pub name: String,
    /// What is approved.
    pub change: ChangeKind,
    /// The digest approved.
    pub digest: Digest,
    /// By whom.
    pub approved_by: String,
    /// Its uid.
    pub uid: String,
    /// Its last status, if it has one that parses. Untrusted input.
    pub status: Option<ChangeApprovalStatus>,
}

impl ApprovalSeen {
    /// Whether it counts, if what it approves is what would be done. An editor who could approve as well would need nobody else; and a
    /// ServiceAccount of the object's own namespace is whoever may make its tokens there.
    pub fn counts(&self, desired: &Desired, object: &ObjectSeen) -> bool {
        let accounts = format!("system:serviceaccount:{}:", desired.object.namespace);
        let is_somebody = |user: &str| !user.is_empty() && !user.starts_with(&accounts);
        let editor = object.spec_edited_by.as_deref().filter(|editor| is_somebody(editor));
        !desired.separate_approver
            || (is_somebody(&self.approved_by) && editor.is_some_and(|editor| editor != self.approved_by))
    }
}

/// An emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlassSeen {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its last status, if it has one that parses. Untrusted input.
    pub status: Option<BreakGlassStatus>,
    /// When it was created, by the API server's clock.
    pub created_at: Timestamp,
    /// How long it asks for.
    pub duration: Duration,
    /// Why.
    pub reason: String,
    /// Who.
    pub requested_by: String,
}

/// What this process remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Monotonic time since this process first saw the object. Whoever led before may have sent writes for it until shortly before that.
    pub known_for: Option<Duration>,
    /// The proof round that this process opened, if any.
    pub round: Option<Round>,
    /// Monotonic time for which this process has seen, at each visit, that a path is lost in a round from after the lock. `None`: at
    /// the last one it was not.
    pub lost_for: Option<Duration>,
    /// Monotonic time since this process last made a name-changing write for this object, or first saw it.
    pub since_name_change: Option<Duration>,
    /// Monotonic time since this process last made a name-changing write or saw names change, whoever changed them; `None`:
    /// not since it first saw the object.
    pub name_changed: Option<Duration>,
    /// What the last report said of this process's writes.
    pub attempts: Attempts,
    /// Zones that our zone group below an endpoint was last seen to write to: where it is put back if the endpoint stays after all.
    pub zone_groups: BTreeMap<ArmId, Vec<ArmId>>,
}

/// An open proof round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its random number.
    pub number: i64,
    /// What is being proven.
    pub subject: Digest,
    /// Monotonic time since just before it was written into the first probe.
    pub age: Duration,
}

/// Azure's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureSeen {
    /// Who we are there.
    pub principal: Fact<Principal>,
    /// The registry and the accounts behind it.
    pub targets: Targets,
    /// Hosts that discovery returns.
    pub discovery: Fact<Vec<Fqdn>>,
    /// Deny assignments at, above or below the registry, each of its accounts, the resource groups in which endpoints are made or may be
    /// about to be removed, and the zones that are about to be written to.
    pub deny_assignments: BTreeMap<ArmId, Fact<Vec<DenyAssignment>>>,
    /// Our endpoints by their deterministic id: every wanted one, and those of ours found besides (no longer wanted). Where a
    /// resource group could not be listed, an `Unknown` under the name `unlisted` says that others may stand there.
    pub endpoints: BTreeMap<ArmId, Fact<EndpointSeen>>,
    /// Accounts that the registry named, where it is not found itself: whether they are still there.
    pub accounts_left: BTreeMap<ArmId, Fact<()>>,
    /// Subnets that the spec names.
    pub subnets: BTreeMap<ArmId, Fact<SubnetSeen>>,
    /// Virtual networks that the spec names (for location, DNS servers, peerings).
    pub virtual_networks: BTreeMap<ArmId, Fact<VirtualNetworkSeen>>,
    /// Networks that the spec does not name and that may resolve through those that ask a zone: linked to a zone of these names, or
    /// peered with one that is. What may not be read is `Unknown`; not all are read where there are very many.
    pub neighbours: BTreeMap<ArmId, Fact<VirtualNetworkSeen>>,
    /// Zones that the spec names or that we create; with links and the records of our names.
    pub zones: BTreeMap<ArmId, Fact<ZoneSeen>>,
    /// Other zones of the names involved, in the subscriptions involved, with all their links and no records. `Unknown`, as a
    /// whole or in a zone's links, only where the spec's own zones and links are; elsewhere what cannot be read is left out.
    pub zones_elsewhere: Fact<Vec<ZoneSeen>>,
    /// Which assigned policies make the zone group of an endpoint that has none yet, by the endpoint's id; only with `dns.mode: Policy`.
    pub zone_group_policies: BTreeMap<ArmId, Fact<Vec<ZoneGroupPolicy>>>,
    /// A records (record name to addresses) of the zones that other people's zone groups write to; only with `dns.mode: Policy`.
    pub records_by_policy: BTreeMap<ArmId, Fact<BTreeMap<String, Vec<IpAddr>>>>,
    /// Workspaces' storage accounts, for sharing: no targets of this registry.
    pub shared_storage: BTreeMap<ArmId, Fact<TargetSeen>>,
    /// Who asked storage and container registry lately, by address, where the spec wants to know. Who of them did not come through
    /// our endpoints is for the planner to tell.
    pub recent_public_clients: Fact<Vec<PublicClient>>,
    /// What would forbid opening again (denying policies, ACR export policy); sentences for people.
    pub reopening_obstacles: Fact<Vec<Obstacle>>,
    /// Policies that forbid deleting what may be about to be removed, or its zone group, by endpoint. What is no key was not asked for.
    pub removal_obstacles: BTreeMap<ArmId, Fact<Vec<Obstacle>>>,
    /// Policies that forbid the form in which an account with resource rules is closed, by account: known where those against opening
    /// are.
    pub closing_obstacles: BTreeMap<ArmId, Vec<Obstacle>>,
    /// Locks at, above or below the registry and each of its accounts, which have to be closed and opened, the zones that are about to be
    /// written to, and what may be about to be removed: endpoints of ours, and the zones that hold their records. What is not a key was
    /// not asked for.
    pub locks: BTreeMap<ArmId, Fact<Vec<LockSeen>>>,
    /// What roles allow us, by scope: where something is going to be written, and where policies are looked for.
    pub rights: BTreeMap<ArmId, Fact<Permissions>>,
    /// Operations that status recorded, and how they stand now.
    pub operations: Vec<OperationSeen>,
    /// What else changed with writes of this process, on the registry and the accounts, for a day.
    pub also_changed: Vec<AlsoChanged>,
    /// Items of lists that are no sense and none of ours, and that somebody may want to know of; one sentence each, sorted.
    pub odd: Vec<String>,
}

impl AzureSeen {
    /// The registry itself.
    pub fn registry(&self) -> &Fact<TargetSeen> {
        self.targets.registry()
    }

    /// What only the registry has, where it was seen.
    pub fn registry_details(&self) -> Option<&RegistryDetails> {
        self.targets.registry_details()
    }

    /// Before anybody has looked.
    pub fn not_looked_at() -> AzureSeen {
        let why = "nobody has looked yet";
        AzureSeen {
            principal: Fact::not_read(why),
            targets: Targets::default(),
            discovery: Fact::not_read(why),
            accounts_left: BTreeMap::new(),
            deny_assignments: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            subnets: BTreeMap::new(),
            virtual_networks: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            zones: BTreeMap::new(),
            zone_group_policies: BTreeMap::new(),
            records_by_policy: BTreeMap::new(),
            zones_elsewhere: Fact::not_read(why),
            shared_storage: BTreeMap::new(),
            recent_public_clients: Fact::not_read(why),
            reopening_obstacles: Fact::not_read(why),
            removal_obstacles: BTreeMap::new(),
            closing_obstacles: BTreeMap::new(),
            locks: BTreeMap::new(),
            rights: BTreeMap::new(),
            operations: Vec::new(),
            also_changed: Vec::new(),
            odd: Vec::new(),
        }
    }
}

/// Who we are in Azure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Object id.
    pub object_id: String,
    /// Tenant.
    pub tenant_id: String,
}

/// A private endpoint with its NIC and zone groups (azure.md §3, §4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSeen {
    /// As Azure spells it.
    pub id: ArmId,
    /// Region.
    pub location: Location,
    /// Subnet.
    pub subnet: Option<ArmId>,
    /// Value of our owner tag.
    pub owner: Option<String>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
    /// `provisioningState`.
    pub provisioning_state: ProvisioningState,
    /// Target of its one connection.
    pub target: Option<ArmId>,
    /// Group id of its one connection.
    pub group_id: Option<String>,
    /// The connection stands in the manual list.
    pub manual: bool,
    /// `Approved`, `Pending`, `Rejected`, `Disconnected`, `Timeout`, …; an open string.
    pub connection_status: Option<ConnectionStatus>,
    /// What the approver said.
    pub connection_description: Option<String>,
    /// Its network interfaces, which Azure deletes with it.
    pub network_interfaces: Vec<ArmId>,
    /// Members with their public names and addresses, from the NIC, then `customDnsConfigs`, then record sets (§3.2).
    pub members: Fact<Vec<Member>>,
    /// DNS zone groups below it, whoever made them.
    pub zone_groups: Fact<Vec<ZoneGroupSeen>>,
    /// Digest of the body without volatile fields.
    pub digest: Digest,
}

impl EndpointSeen {
    /// Provisioned and approved.
    pub fn is_ready(&self) -> bool {
        self.provisioning_state == ProvisioningState::Succeeded && self.is_approved()
    }

    /// Its connection is approved: clients may use it.
    pub fn is_approved(&self) -> bool {
        self.connection_status == Some(ConnectionStatus::Approved)
    }

    /// The zones that its zone groups write to, as far as these could be read; one twice where two groups do.
    pub fn zones(&self) -> impl Iterator<Item = &ArmId> {
        let groups = self.zone_groups.seen().into_iter().flatten();
        groups.flat_map(|group| &group.zones)
    }
}

/// One address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `requiredMemberName`, such as `blob` or `registry_data_westeurope`.
    pub member: String,
    /// Public names that it carries.
    pub fqdns: Vec<Fqdn>,
    /// Its private address.
    pub address: IpAddr,
}

/// A DNS zone group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneGroupSeen {
    /// ARM id.
    pub id: ArmId,
    /// `provisioningState`.
    pub provisioning_state: ProvisioningState,
    /// Zones that it writes to.
    pub zones: Vec<ArmId>,
}

/// An assigned policy that makes zone groups (`deployIfNotExists`), and what it does about one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneGroupPolicy {
    /// ARM id of the assignment.
    pub assignment: String,
    /// Whether it makes one for this endpoint.
    pub covers: Coverage,
    /// The zone that it is handed; `None`: not to be told.
    pub zone: Option<ArmId>,
}

/// Whether a policy makes a zone group for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Coverage {
    /// It does.
    Yes,
    /// Its condition or effect is not understood.
    Perhaps,
    /// It would, were the connection of the other kind: the built-in policies look at automatic ones only.
    OtherKind,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSeen {
    /// As Azure spells it.
    pub id: ArmId,
    /// How many addresses are left at most: what its prefixes hold, less what Azure keeps and what is seen to be in use. `None`:
    /// not to be told.
    pub free_addresses: Option<usize>,
}

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetworkSeen {
    /// As Azure spells it.
    pub id: ArmId,
    /// Region: an endpoint's location is this one, not the target's.
    pub location: Location,
    /// Custom DNS servers (`dhcpOptions.dnsServers`); none: Azure's own.
    pub dns_servers: Vec<String>,
    /// Address prefixes (`addressSpace.addressPrefixes`).
    pub address_space: Vec<String>,
    /// Subnets with service endpoints: what is asked from there at the public side of these services is logged with a private
    /// address.
    pub service_endpoints: Vec<ServiceEndpoints>,
    /// Virtual networks that it is peered with.
    pub peers: Vec<ArmId>,
}

/// Service endpoints of one subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEndpoints {
    /// Name of the subnet.
    pub subnet: String,
    /// Its address prefixes.
    pub prefixes: Vec<String>,
    /// Services, such as `Microsoft.Storage`.
    pub services: Vec<String>,
}

/// A private DNS zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSeen {
    /// ARM id.
    pub id: ArmId,
    /// Value of our owner tag.
    pub owner: Option<String>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
    /// Virtual network links.
    pub links: Fact<Vec<LinkSeen>>,
    /// A records: record name to addresses. Only complete for zones that the spec names.
    pub records: Fact<BTreeMap<String, Vec<IpAddr>>>,
}

/// A virtual network link of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSeen {
    /// ARM id.
    pub id: ArmId,
    /// The network linked.
    pub virtual_network: ArmId,
    /// `virtualNetworkLinkState` is `Completed` and `provisioningState` is `Succeeded`.
    pub completed: bool,
    /// `resolutionPolicy`.
    pub resolution_policy: Option<String>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
}

impl LinkSeen {
    /// Whether its network gets the public answer for names that the zone lacks (azure.md §4.1).
    pub fn falls_back(&self) -> bool {
        let policy = self.resolution_policy.as_deref().unwrap_or_default();
        policy.eq_ignore_ascii_case("NxDomainRedirect")
    }
}

/// Somebody who asked a target lately, whatever the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicClient {
    /// Its address, without port.
    pub address: String,
    /// Which target it asked.
    pub target: ArmId,
}

/// Fields of a target that changed with a write of ours, besides those that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlsoChanged {
    /// The target.
    pub resource: ArmId,
    /// The step that wrote.
    pub step: StepId,
    /// JSON pointers of the fields.
    pub fields: Vec<String>,
}

/// An operation that status recorded, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSeen {
    /// As recorded.
    pub operation: Operation,
    /// How it stands.
    pub state: OperationState,
}

/// How a long-running operation stands (azure.md §6.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationState {
    /// Any status that is not terminal.
    Running {
        /// What Azure asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Nobody could be asked: it may still run, or be over.
    Unreadable {
        /// What Azure asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Ended well.
    Succeeded,
    /// Ended badly: the deepest code and its message, in Azure's words.
    Failed(crate::call_failure::CallFailure),
    /// The URL is gone, foreign or unreadable: the resource itself tells.
    Lost,
}

impl OperationState {
    /// Azure says that it goes on.
    pub fn runs(&self) -> bool {
        matches!(self, OperationState::Running { .. })
    }

    /// It goes on, or may: what it changes is not to be relied on.
    pub fn may_run(&self) -> bool {
        match self {
            OperationState::Running { .. } | OperationState::Unreadable { .. } => true,
            OperationState::Succeeded | OperationState::Failed(_) | OperationState::Lost => false,
        }
    }
}
