//! Status of a `SecureRegistry`: a few kB, times of transitions only, so that a settled object is byte-equal from visit to
//! visit. Status is not memory: everything but the snapshot can be erased without harm.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// What was observed and decided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecureRegistryStatus {
    /// Generation that this status speaks of; `-1`: the operator has not looked at the object yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The operator has put its finalizer on this object: from then on deleting it is for the operator to finish. Where a replaced manifest
    /// takes the finalizer off, it comes back with the next pass, and the object is not deleted before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub release_required: bool,
    /// Every condition type, always, in a fixed order.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// `ready/wanted` private endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints_ready: Option<String>,
    /// `passing/required` paths, as agents report them now. What counts for the lock is a proof of its own, made right before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths_verified: Option<String>,
    /// Names of the RegistryGrants that cover what the object names. Absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<String>,
    /// When the registry's tag `secureregistry-claim` first named this object. Kept where another cluster has taken it over since: then
    /// this object does not take it back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Time>,
    /// Who holds the registry since this object lost it, as the tag said: `cluster/namespace/name/uid`. Gone once the tag names this
    /// object again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub claim_lost_to: Option<String>,
    /// The last time that every required path was proven in one round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_proof: Option<ProofStatus>,
    /// Since when something could not be read: public access, endpoints and paths are shown as they were known then. Absent while
    /// everything is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Time>,
    /// Since when a registry that is called locked is not settled, though nobody is known to be cut off and nobody has to act:
    /// `Ready` stays True for two minutes of that, longer where no client is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsettled_since: Option<Time>,
    /// Public access as Azure reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_access: Option<PublicAccessStatus>,
    /// One entry per endpoint and target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointStatus>,
    /// What the object waits for and who must act.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<WaitStatus>,
    /// Who came lately without going through the private endpoints, at most sixteen; shown until all is closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public_clients: Vec<PublicClientStatus>,
    /// Things worth knowing that do not hold anything up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
    /// What external DNS must answer; absent unless an entry has `dns.mode: External`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_dns: Option<PublishedDnsStatus>,
    /// Operations in flight in Azure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationStatus>,
    /// Writes that Azure refused, or accepted without lasting effect, each tried again after a pause that grows; a change of spec
    /// tries at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalStatus>,
    /// The writes that a `ChangeApproval` would approve, by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals_wanted: Vec<ApprovalWanted>,
    /// The approvals that were used: which, by whom, when. At most eight, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals_used: Vec<ApprovalUse>,
    /// When names last changed by a write of ours; the lock waits `dnsSettle` from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name_change_time: Option<Time>,
    /// How long the registry was exposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<ExposureStatus>,
    /// What was before the first closing write: opening again restores that, with the rules that people have added since. Also kept in a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotStatus>,
    /// Reopenings by `rollback.onFailure: Reopen` since the spec last changed or a lock last held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// BreakGlasses that held the registry open since it was last locked: also deleted ones count against the longest time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub break_glasses: Vec<BreakGlassUse>,
    /// Latest transitions, newest last, at most sixteen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
}

/// Public access of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PublicAccessStatus {
    /// `Open`, `Locked`, `Unknown`, or which of the three is still open (`Open: storage`).
    pub summary: String,
    /// One entry per target.
    pub targets: Vec<TargetAccessStatus>,
}

/// What public access is closed on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    EnumIter,
    EnumString,
    IntoStaticStr,
    Display,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum TargetKind {
    /// The Azure Machine Learning registry.
    Registry,
    /// A storage account behind it.
    Storage,
    /// The container registry behind it.
    ContainerRegistry,
}

/// Whether the public reaches a target. A word of another version is read as `Unknown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Access {
    /// It does.
    Open,
    /// It does not.
    Closed,
    /// That could not be told.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Access {
    /// What is known of it.
    pub fn is_closed(self) -> Option<bool> {
        match self {
            Access::Open => Some(false),
            Access::Closed => Some(true),
            Access::Unknown => None,
        }
    }
}

impl From<Option<bool>> for Access {
    fn from(closed: Option<bool>) -> Access {
        match closed {
            Some(true) => Access::Closed,
            Some(false) => Access::Open,
            None => Access::Unknown,
        }
    }
}

/// Public access of one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetAccessStatus {
    /// Which of the three.
    #[schemars(with = "TargetKind")]
    pub target: String,
    /// ARM id.
    pub resource_id: String,
    /// Whether the public reaches it.
    pub access: Access,
    /// What makes it so, as Azure reports it, such as `publicNetworkAccess=Enabled defaultAction=Deny`.
    pub detail: String,
    /// Why the last closing write on it was refused, in Azure's words; gone once it is closed. The other targets do not wait
    /// for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// One private endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointStatus {
    /// Entry of `spec.endpoints`.
    pub name: String,
    /// Target that it leads to.
    #[schemars(with = "TargetKind")]
    pub target: String,
    /// Private-link group: `amlregistry`, `blob`, `dfs` or `registry`.
    pub group_id: String,
    /// ARM id of the private endpoint.
    pub resource_id: String,
    /// Azure's provisioning state, or `Absent` or `Unknown`.
    pub provisioning_state: String,
    /// `Approved`, `Pending`, `Rejected`, `Disconnected`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_state: Option<String>,
    /// Private addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Public names that it carries; of one that is gone, those that it carried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fqdns: Vec<String>,
    /// First path through it that fails: `network fqdn: hop, message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_path: Option<String>,
}

/// A complete proof: every required path, in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProofStatus {
    /// When it was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// How many paths: `12/12`.
    pub paths: String,
    /// Its digest. The lock names the digest of the proof that it was made with.
    pub evidence_digest: String,
}

/// One wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitStatus {
    /// From a closed set of reasons.
    pub reason: String,
    /// What exactly, and what to do next.
    pub message: String,
    /// Who must act.
    #[schemars(with = "Actor")]
    pub actor: String,
}

/// Who must act for a wait to end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema, IntoStaticStr, Display, EnumIter,
)]
pub enum Actor {
    /// Nobody: time passes, or the operator goes on by itself.
    Time,
    /// Azure.
    Azure,
    /// A vantage point's agent.
    Agent,
    /// Whoever owns the object or the environment.
    User,
    /// Whoever runs the operator.
    Administrator,
    /// Whoever approves connections or changes.
    Approver,
    /// An Azure Policy, or whoever runs DNS.
    DnsOwner,
}

/// Somebody whom the lock would cut off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PublicClientStatus {
    /// Its address, as the target's logs have it.
    pub address: String,
    /// ARM id of what it asked.
    pub resource_id: String,
    /// Why a private address counts; absent where the address is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What external DNS must answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishedDnsStatus {
    /// ConfigMap in the operator's namespace with zone lines, public names, forwarding rules and hosts lines for each entry.
    pub config_map: String,
    /// The records, at most thirty-two.
    pub records: Vec<DnsRecordStatus>,
}

/// A name that external DNS must answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsRecordStatus {
    /// Entry of `spec.endpoints` whose clients must get this answer.
    pub endpoint: String,
    /// What clients ask for.
    pub fqdn: String,
    /// The name that it must lead to by a CNAME; the addresses are that name's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_link_name: Option<String>,
    /// Exactly these addresses.
    pub addresses: Vec<String>,
}

/// One finding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FindingStatus {
    /// From a closed set of reasons.
    pub reason: String,
    /// What was found.
    pub message: String,
}

/// An operation in flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationStatus {
    /// The step that started it.
    pub step: String,
    /// The resource that it changes.
    pub resource_id: String,
    /// Where its state can be read. Untrusted input when read back: used only on the configured ARM host.
    pub poll_url: String,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// A write that Azure refused, or that it accepted and that had no lasting effect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusalStatus {
    /// The step that was tried.
    pub step: String,
    /// The resource that it was to change.
    pub resource_id: String,
    /// The reason under which it is waited for, from the same set as those of `waitingFor`.
    pub reason: String,
    /// Azure's error code, such as `SubnetIsFull`, where it answered with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Azure's words, and what to do.
    pub message: String,
    /// When it was tried first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// How often it was tried since then.
    #[serde(skip_serializing_if = "is_zero")]
    pub tries: i32,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
}

fn is_zero(count: &i32) -> bool {
    *count == 0
}

/// A change that can be approved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalWanted {
    /// What it changes.
    #[schemars(with = "crate::ChangeKind")]
    pub change: String,
    /// What a `ChangeApproval` must name.
    pub digest: String,
    /// What it would do, one sentence.
    pub summary: String,
}

/// One use of a `ChangeApproval`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalUse {
    /// Name of the ChangeApproval.
    pub name: String,
    /// What it changes.
    #[schemars(with = "crate::ChangeKind")]
    pub change: String,
    /// What it named.
    pub digest: String,
    /// Who approved.
    pub approved_by: String,
    /// When: of a lock its last closing write, of name changes their first write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Time>,
}

/// How long the registry was exposed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExposureStatus {
    /// When we first saw it open at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_public_at: Option<Time>,
    /// When we first saw all three closed after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_locked_at: Option<Time>,
    /// Seconds of all exposures that have ended, by cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_seconds: Option<ExposedSeconds>,
    /// When we first saw it open in this exposure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_public: Option<Time>,
    /// When we saw all three closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_at: Option<Time>,
    /// Time between the two, whole seconds, without the time for which BreakGlasses held it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_remediate_seconds: Option<i64>,
    /// The spec desired it open in this exposure: the next lock waits for its window and for public clients as a first one does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_spec: bool,
    /// Digest of the evidence with which the last closing write passed its fence; gone once we have opened everything again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_digest: Option<String>,
}

/// For how long public access was open, by what held it open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExposedSeconds {
    /// Before the first lock.
    #[serde(skip_serializing_if = "no_seconds")]
    pub before_first_lock: i64,
    /// Opened by hand, by a policy, by a rollback, or not locked again at once.
    #[serde(skip_serializing_if = "no_seconds")]
    pub by_drift: i64,
    /// Held open by a BreakGlass.
    #[serde(skip_serializing_if = "no_seconds")]
    pub by_break_glass: i64,
    /// Open as the spec desired it.
    #[serde(skip_serializing_if = "no_seconds")]
    pub by_spec: i64,
}

fn no_seconds(seconds: &i64) -> bool {
    *seconds == 0
}

/// One use of a `BreakGlass`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakGlassUse {
    /// Name of the BreakGlass.
    pub name: String,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// From when the longest time counts: the creation of the first since the last lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Time>,
    /// When it ends or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// It is over; the registry was not seen locked since.
    pub ended: bool,
}

/// What was before the lock, and what was proven for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStatus {
    /// Name of the ConfigMap in the operator's namespace.
    pub config_map: String,
    /// Digest of its content.
    pub digest: String,
    /// Digest of the evidence that the lock was based on.
    pub evidence_digest: String,
}

/// Reopenings by rollback. The next lock waits longer each time; after the third it waits for a change of spec.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RollbackStatus {
    /// How often.
    pub count: i32,
    /// The latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopened_at: Option<Time>,
    /// Generation of the spec that they belong to.
    pub generation: i64,
    /// The path that was lost.
    pub reason: String,
    /// All that the lock had closed was seen open again: nothing is opened after that.
    pub restored: bool,
}

/// One transition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryEntry {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The state entered; `BreakGlass` and `BreakGlassEnded` for each use of one.
    pub state: String,
    /// One sentence.
    pub message: String,
    /// Of a lock: the digest of the evidence that its last closing write passed its fence with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_digest: Option<String>,
}
