//! What is desired: the spec after validation, defaults resolved, names parsed. Made by `sreg_planner::validate`, the only
//! input of the planner about wishes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sreg_api::grant::RegistryOperation;
use sreg_api::registry::{
    DeletionPolicy, DnsMode, LockdownGate, PublicAccess, RecentPublicClientsPolicy, ResolutionPolicy, RollbackPolicy,
};

use crate::claim_mark::ClaimMark;
use crate::cloud::Cloud;
use crate::grants::{Grants, Purpose};
use crate::ids::{ArmId, Fqdn, Location};
use crate::target::EndpointGroup;

/// What one object asks for its registry: all of it, or of an object that is broken only what looking at the registry, the way back
/// and an orderly end need. Both have the fields here; [`Desired::spec`] tells them apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The object that says so.
    pub object: ObjectRef,
    /// Value of our owner tag: `installation/namespace/name`.
    pub owner: String,
    /// Id of the cluster that the object lives in, and of the operator there ([`naming::cluster_id`](crate::naming::cluster_id)).
    pub cluster: String,
    /// The cloud's names.
    #[serde(with = "shared_cloud")]
    pub cloud: Arc<Cloud>,
    /// The registry.
    pub registry: ArmId,
    /// The end state of public access.
    pub public_access: PublicAccess,
    /// Zero writes to Azure, ever.
    pub observe_only: bool,
    /// The object is being deleted.
    pub leaving: bool,
    /// What deletion does.
    pub deletion: DeletionPolicy,
    /// Longest time that break-glasses may hold the registry open, extensions included.
    pub max_break_glass: Duration,
    /// A grant demands that approvals come from someone other than the last person to edit the spec.
    pub separate_approver: bool,
    /// The grants that serve its namespace.
    pub grants: Grants,
    /// Names of the grants that cover something that it names.
    pub stands_on: Vec<String>,
    /// What is to be built, proven and closed; or why nothing of that is done.
    pub spec: Result<Box<Spec>, Wrong>,
}

/// The spec of an object that breaks no rule, and of which all that it names is granted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Create the registry there if it does not exist: primary region first.
    pub create: Option<Vec<Location>>,
    /// Tags that we keep on the registry.
    pub tags: BTreeMap<String, String>,
    /// Tags of the registry if we create it, besides [`Spec::tags`].
    pub tags_at_creation: BTreeMap<String, String>,
    /// List our principal in `managedResourceGroupSettings.assignedIdentities`.
    pub grant_operator: bool,
    /// Where endpoints stand, in spec order.
    pub endpoints: Vec<EndpointPlace>,
    /// Who must connect, in spec order.
    pub client_networks: Vec<ClientNetwork>,
    /// Virtual networks that need no proof, with the reason.
    pub waived: BTreeMap<ArmId, String>,
    /// Accounts that others use too and that may be closed all the same, with the reason.
    pub shared_accounts: BTreeMap<ArmId, String>,
    /// Hosts of discovery that no endpoint carries and that need no proof, with the reason.
    pub waived_hosts: BTreeMap<Fqdn, String>,
    /// What counts as proof.
    pub verification: Verification,
    /// Name-changing writes wait for a `ChangeApproval`.
    pub approve_name_changes: bool,
    /// What the lock waits for besides proof.
    pub gates: Vec<LockdownGate>,
    /// When locking is allowed; set if `gates` contains `Window`.
    pub window: Option<Window>,
    /// What a lost path does after the lock.
    pub rollback: RollbackPolicy,
    /// How long after the lock rollback may act.
    pub grace_period: Duration,
    /// Storage accounts of workspaces that share assets.
    pub sharing: Vec<ArmId>,
    /// Time between visits of a settled object, before jitter.
    pub drift_interval: Duration,
    /// A grant demands that changes of names are approved, also those that deleting the object makes.
    pub approval_demanded: bool,
    /// What grants demand beyond the object's own spec, in sentences; it is part of the fields above already.
    pub demanded: Vec<String>,
    /// Pauses that are longer than the spec asks for, because what one object costs, all share.
    pub raised: Vec<String>,
}

/// What is wrong with an object: one thing at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    violations: Vec<Violation>,
    ungranted: Vec<Violation>,
}

impl Wrong {
    /// The object breaks these rules, and names these things that no grant covers. `None`: nothing is wrong.
    pub fn of(violations: Vec<Violation>, ungranted: Vec<Violation>) -> Option<Wrong> {
        let any = !(violations.is_empty() && ungranted.is_empty());
        any.then_some(Wrong { violations, ungranted })
    }

    /// Rules that the object breaks.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What it names and no grant covers. Where its registry is among it, nothing of Azure is even read.
    pub fn ungranted(&self) -> &[Violation] {
        &self.ungranted
    }

    /// Only grants are missing.
    pub fn is_only_ungranted(&self) -> bool {
        self.violations.is_empty()
    }

    /// Which rules the object breaks, else what it is not granted, in one sentence.
    pub fn sentence(&self) -> String {
        let wrong = if self.violations.is_empty() {
            &self.ungranted
        } else {
            &self.violations
        };
        Violation::sentence(wrong)
    }
}

impl Desired {
    /// A part of every digest that is approved, where approver and editor have to be two: whatever is edited is approved anew, or the
    /// approver of one edit would stand for the next one as well.
    pub fn edition(&self) -> Option<i64> {
        self.separate_approver.then_some(self.object.generation)
    }

    /// The spec, unless the object is broken.
    pub fn whole(&self) -> Option<&Spec> {
        self.spec.as_deref().ok()
    }

    /// The object breaks no rule, and all that it names is granted.
    pub fn is_whole(&self) -> bool {
        self.spec.is_ok()
    }

    /// What is wrong with it, in one sentence. `None`: nothing.
    pub fn what_is_wrong(&self) -> Option<String> {
        self.spec.as_ref().err().map(Wrong::sentence)
    }

    /// Rules that it breaks; none if it is whole, or only not granted what it names.
    pub fn violations(&self) -> &[Violation] {
        self.spec.as_ref().err().map_or(&[], Wrong::violations)
    }

    /// Where endpoints stand; nowhere that is known of a broken object.
    pub fn endpoints(&self) -> &[EndpointPlace] {
        self.whole().map_or(&[], |spec| spec.endpoints.as_slice())
    }

    /// Who must connect; nobody that is known of a broken object.
    pub fn client_networks(&self) -> &[ClientNetwork] {
        self.whole().map_or(&[], |spec| spec.client_networks.as_slice())
    }

    /// What the registry's claim tag says while this object holds it.
    pub fn claim_mark(&self) -> ClaimMark {
        ClaimMark {
            cluster: self.cluster.clone(),
            namespace: self.object.namespace.clone(),
            name: self.object.name.clone(),
            uid: self.object.uid.clone(),
            registry: ClaimMark::registry_digest(&self.registry),
        }
    }

    /// Subscriptions of the spec's zones and linked networks: another zone there may be one that a network of the spec asks.
    pub fn zone_subscriptions(&self) -> BTreeSet<ArmId> {
        let zones = self.endpoints().iter().flat_map(|place| place.dns.zones.values());
        let links = self.endpoints().iter().flat_map(|place| &place.dns.links);
        zones.chain(links).map(ArmId::subscription_id).collect()
    }

    /// Whether Azure may be asked about the registry.
    pub fn may_be_looked_at(&self) -> bool {
        self.grants.allow_looking_at(&self.registry)
    }

    /// Whether public access may be opened for whoever the object speaks for.
    pub fn may_be_opened(&self) -> bool {
        let open = Purpose::Registry(RegistryOperation::Open);
        self.grants.allow(open, &self.registry)
    }
}

/// Copies of an object's wishes share the cloud; written down it stands in each.
mod shared_cloud {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::cloud::Cloud;

    pub(super) fn serialize<S: Serializer>(cloud: &Arc<Cloud>, serializer: S) -> Result<S::Ok, S::Error> {
        cloud.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Cloud>, D::Error> {
        Cloud::deserialize(deserializer).map(Arc::new)
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{path}: {message}")]
pub struct Violation {
    /// Where in the object, such as `spec.endpoints[hub].subnetResourceId`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Violation {
    /// All of them in one sentence: the first whole, the others by their place. Empty without any.
    pub fn sentence(violations: &[Violation]) -> String {
        match violations.split_first() {
            None => String::new(),
            Some((first, [])) => first.to_string(),
            Some((first, rest)) => format!(
                "{first} (and {} more: {})",
                rest.len(),
                rest.iter().map(|v| v.path.as_str()).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

/// The object behind a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
}

impl ObjectRef {
    /// `namespace/name`: how a claim and a snapshot name their holder.
    pub fn holder(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// One place for private endpoints; every target gets one there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPlace {
    /// Entry of the spec.
    pub name: String,
    /// Where they stand.
    pub subnet: ArmId,
    /// The subnet's virtual network.
    pub virtual_network: ArmId,
    /// The resource group that holds them.
    pub resource_group: ArmId,
    /// `None`: approved automatically. `Some(message)`: requested, and approved by somebody else.
    pub manual_request: Option<String>,
    /// Who makes names resolve.
    pub dns: Dns,
    /// How new endpoints are named, with placeholders; `None`: [`crate::naming::endpoint_name`].
    pub name_template: Option<String>,
    /// Tags of whatever is made for this entry, besides the owner tag.
    pub tags: BTreeMap<String, String>,
}

/// Who makes names resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The mode.
    pub mode: DnsMode,
    /// Zone per group; empty with `Policy` and `External`. `Dfs` may be missing in `Existing` mode.
    pub zones: BTreeMap<EndpointGroup, ArmId>,
    /// Virtual networks to link; empty with `Policy` and `External`.
    pub links: Vec<ArmId>,
    /// What links do with other names.
    pub resolution_policy: ResolutionPolicy,
    /// With `Policy`: somebody states that zone groups are made, whatever is seen of assignments.
    pub policies_assumed: bool,
}

impl Dns {
    /// Whether zone groups and links are ours to write.
    pub fn is_ours(&self) -> bool {
        match self.mode {
            DnsMode::Managed | DnsMode::Existing => true,
            DnsMode::Policy | DnsMode::External => false,
        }
    }
}

/// A network whose clients must be able to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientNetwork {
    /// Entry of the spec.
    pub name: String,
    /// Where it is.
    pub place: NetworkPlace,
    /// Who proves it.
    pub vantage_point: String,
    /// Entry of [`Desired::endpoints`] whose addresses clients there must get.
    pub endpoint: String,
    /// DNS servers that the spec names for it; those of a virtual network are read from Azure.
    pub dns_servers: Vec<IpAddr>,
}

/// Where a client network is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPlace {
    /// A virtual network.
    VirtualNetwork(ArmId),
    /// Outside Azure, with these prefixes.
    OnPremises(Vec<String>),
}

/// What counts as proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Successes in a row, per path.
    pub consecutive_successes: u32,
    /// Pause between attempts.
    pub interval: Duration,
    /// Evidence older than this, by our own clock since the round was opened, is none.
    pub max_age: Duration,
    /// Pause between the last name change and the lock.
    pub dns_settle: Duration,
    /// Look for clients from public addresses.
    pub recent_public_clients: Option<RecentPublicClients>,
}

/// Where to look for recent public clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentPublicClients {
    /// Log Analytics workspace.
    pub workspace: ArmId,
    /// How far back.
    pub window: Duration,
    /// What a hit does.
    pub policy: RecentPublicClientsPolicy,
    /// Addresses or prefixes that may be cut off.
    pub accept: Vec<String>,
}

/// A recurring window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Cron expression, already checked.
    pub schedule: String,
    /// IANA time zone, already checked.
    pub time_zone: String,
    /// How long it stays open.
    pub duration: Duration,
}
