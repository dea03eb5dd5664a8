//! `BreakGlass` and `ChangeApproval`: emergencies and approvals are objects of their own, because Flux would revert a field
//! at the next sync and RBAC cannot protect one. Both are immutable after creation.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Opens a registry for a while, with a reason.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "BreakGlass",
    plural = "breakglasses",
    category = "secureregistry-all",
    namespaced,
    status = "BreakGlassStatus",
    derive = "PartialEq",
    doc = "Opens public access of one SecureRegistry from its creation time for a duration, with a reason. Immutable; deleting it ends it.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.secureRegistryName"),
    printcolumn(name = "Requested by", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".spec.duration"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Until", type_ = "string", json_path = ".status.until"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("a BreakGlass cannot be changed: delete it to end it early, create another to extend it")
)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassSpec {
    /// Name of the `SecureRegistry` in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secure_registry_name: String,
    /// Why, for the record: at least ten characters.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.trim().size() >= 10").message("say why, in at least ten characters: the reason is what others read while the registry is open, and in the record afterwards"))]
    pub reason: String,
    /// Who asks: must be the user who creates the object (held by an admission policy).
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
    /// How long from creation, at most a week (`168h`); capped by the operator's `--max-break-glass`, extensions included.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(DURATION).message(DURATION_SAYS))]
    pub duration: String,
}

/// At most five digits per unit, so that no sum of them overflows.
const DURATION: &str = "self.matches('^([0-9]{1,5}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('168h')";
const DURATION_SAYS: &str = "a duration is written like 90m or 1h30m and lies between 1s and 168h; the operator's --max-break-glass (4h unless set otherwise) caps it, extensions included";

/// How far a break-glass has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakGlassStatus {
    /// Where it stands.
    pub phase: BreakGlassPhase,
    /// When it ends or ended, as capped; absent where it was never in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What happened and what comes next.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Where a break-glass stands.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumIter,
)]
pub enum BreakGlassPhase {
    /// Not in force yet: its registry object does not exist or names no registry, or its creation time has not come.
    #[default]
    Pending,
    /// Holds public access open.
    Active,
    /// Its time runs, but has no effect as things stand: the message says why.
    Ignored,
    /// Its time is over; the registry is locked again once that can be: the message says what comes next.
    Expired,
    /// Never in force: earlier ones had used up the longest time.
    UsedUp,
    /// The registry was locked after it was created: it opens nothing any more.
    Spent,
}

/// Approves one change of one registry, by digest.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "ChangeApproval",
    plural = "changeapprovals",
    category = "secureregistry-all",
    namespaced,
    status = "ChangeApprovalStatus",
    derive = "PartialEq",
    doc = "Approves the lockdown, the name changes or the opening of one SecureRegistry, by the digest shown in its status. Void when what was approved changes. Immutable.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.secureRegistryName"),
    printcolumn(name = "Change", type_ = "string", json_path = ".spec.change"),
    printcolumn(name = "Approved by", type_ = "string", json_path = ".spec.approvedBy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Used", type_ = "date", json_path = ".status.usedAt", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("a ChangeApproval cannot be changed: delete it and approve again")
)]
#[serde(rename_all = "camelCase")]
pub struct ChangeApprovalSpec {
    /// Name of the `SecureRegistry` in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secure_registry_name: String,
    /// What is approved.
    pub change: ChangeKind,
    /// Digest that the object's status shows for this change.
    #[schemars(length(min = 16, max = 64))]
    pub digest: String,
    /// Who approves: must be the user who creates the object (held by an admission policy).
    #[schemars(length(min = 1, max = 253))]
    pub approved_by: String,
}

/// What an approval is good for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeApprovalStatus {
    /// Where it stands.
    pub phase: ChangeApprovalPhase,
    /// When what it approves was done: of a lock the last time, of name changes the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Time>,
    /// What that means, and what comes next.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Where an approval stands.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumIter,
)]
pub enum ChangeApprovalPhase {
    /// Nothing that it approves is to be done, or that cannot be told yet.
    #[default]
    Pending,
    /// It approves what would be done now.
    Counts,
    /// What it approves was done. An approval of a lockdown counts again for a lock that comes back.
    Used,
    /// Something else would be done now than what it approves.
    Void,
}

/// The changes that can be made to wait for an approval.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumString,
)]
pub enum ChangeKind {
    /// Writes after which names answer differently for somebody.
    NameChanges,
    /// Disabling public access.
    Lockdown,
    /// Enabling public access of a registry that this object neither locked nor made.
    Opening,
}
