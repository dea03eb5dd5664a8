//! `BreakGlass` and `ChangeApproval`: emergencies and approvals are objects of their own, because Flux would revert a field
//! at the next sync and RBAC cannot protect one. Both are immutable after creation.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Opens a registry for a while, with a reason.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "BreakGlass",
    plural = "breakglasses",
    category = "secureregistry",
    namespaced,
    status = "BreakGlassStatus",
    derive = "PartialEq",
    doc = "Opens public access of one SecureRegistry from its creation time for a duration, with a reason. Immutable; deleting it ends it.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.secureRegistryName"),
    printcolumn(name = "Requested by", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".spec.duration"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a BreakGlass cannot be changed: delete it to end it early, create another to extend it")
)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassSpec {
    /// Name of the `SecureRegistry` in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secure_registry_name: String,
    /// Why, for the record.
    #[schemars(length(min = 10, max = 1024))]
    pub reason: String,
    /// Who asks: must be the user who creates the object (held by an admission policy).
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
    /// How long from creation; capped by the operator's `--max-break-glass`.
    #[schemars(length(max = 32), regex(pattern = "^([0-9]+(ms|s|m|h))+$"))]
    pub duration: String,
}

/// How far a break-glass has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakGlassStatus {
    /// `Open`, `Ended` or `Refused`.
    #[schemars(length(max = 16))]
    pub phase: String,
    /// One sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Approves one change of one registry, by digest.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "ChangeApproval",
    plural = "changeapprovals",
    category = "secureregistry",
    namespaced,
    derive = "PartialEq",
    doc = "Approves the lockdown or the name changes of one SecureRegistry, by the digest shown in its status. Void when what was approved changes. Immutable.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.secureRegistryName"),
    printcolumn(name = "Change", type_ = "string", json_path = ".spec.change"),
    printcolumn(name = "Approved by", type_ = "string", json_path = ".spec.approvedBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
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

/// The changes that can be made to wait for an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema, strum::Display)]
pub enum ChangeKind {
    /// Writes after which names answer differently for somebody.
    NameChanges,
    /// Disabling public access.
    Lockdown,
}
