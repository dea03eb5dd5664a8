//! `RegistryGrant`: which namespaces may name which Azure scopes, and for what. Without one an object reads nothing of Azure and
//! writes nothing.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::rules::*;

/// What administrators let namespaces do with the operator's Azure rights.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "RegistryGrant",
    plural = "registrygrants",
    shortname = "sreggrant",
    category = "secureregistry-all",
    status = "RegistryGrantStatus",
    derive = "PartialEq",
    doc = "Says which namespaces may name which Azure scopes, and for what. Created by the platform's administrators; without a grant a SecureRegistry reads nothing of Azure and changes nothing there. Taking one away stops writes, keeps locks and opens nothing.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Effective\")].status"
    ),
    printcolumn(
        name = "Overlapping",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Overlapping\")].status"
    ),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces.names"),
    printcolumn(name = "Labels", type_ = "string", json_path = ".spec.namespaces.matchLabels"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Effective\")].message",
        priority = 1
    ),
    validation = Rule::new(SHORT_NAME).message(SHORT_NAME_SAYS)
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryGrantSpec {
    /// Whom it serves.
    pub namespaces: GrantedNamespaces,
    /// Registries that objects there may name, and what for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub registries: Vec<GrantedRegistries>,
    /// Virtual networks and subnets that objects there may name, and what for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub virtual_networks: Vec<GrantedNetworks>,
    /// Scopes of resource groups that private endpoints may be made in, besides the one of their virtual network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new(SCOPES).message(SCOPE_SAYS))]
    pub endpoint_resource_groups: Vec<String>,
    /// Scopes of private DNS zones that may be created, written to and linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new(SCOPES).message(SCOPE_SAYS))]
    pub private_dns_zones: Vec<String>,
    /// Storage accounts and container registries besides the registry's own, and what for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub accounts: Vec<GrantedAccounts>,
    /// Scopes of Log Analytics workspaces that may be asked for recent public clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new(SCOPES).message(SCOPE_SAYS))]
    pub log_analytics_workspaces: Vec<String>,
    /// Names of the VantagePoints that may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63), regex(pattern = DNS_SUBDOMAIN)))]
    pub vantage_points: Vec<String>,
    /// What an object that names anything of this grant must do, whatever its own spec says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<GrantRequirements>,
}

/// Namespaces by name or by label; either is enough.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(GRANTED_NAMESPACES).message(GRANTED_NAMESPACES_SAYS))]
pub struct GrantedNamespaces {
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63), regex(pattern = DNS_LABEL)))]
    pub names: Vec<String>,
    /// Those that carry all of these labels. Whoever may label namespaces decides with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: BTreeMap<String, String>,
}

/// Registries below a scope, and what may be done with them.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantedRegistries {
    /// ARM id of a subscription, a resource group or a registry: whatever is it or stands below it. Compared without case; no
    /// wildcards.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(SCOPE).message(SCOPE_SAYS))]
    pub scope: String,
    /// What may be done; each of them includes `Observe`.
    #[schemars(length(min = 1, max = 5))]
    pub operations: Vec<RegistryOperation>,
}

/// What may be done with a registry.
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
    strum::Display,
    strum::EnumIter,
)]
pub enum RegistryOperation {
    /// Look at it, its accounts and its private endpoints, and report what is seen.
    Observe,
    /// Make it private: endpoints, names, tags, sharing, and closing public access.
    Lock,
    /// Open public access: by the spec, by a BreakGlass, by a rollback. Without it nobody of the namespace can.
    Open,
    /// Create it where it does not exist.
    Create,
    /// Go on with what an object of another namespace or name held that is gone.
    TakeOver,
}

/// Networks below a scope, and what may be done with them.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantedNetworks {
    /// ARM id of a subscription, a resource group, a virtual network or a subnet: whatever is it or stands below it. Compared without
    /// case; no wildcards.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(SCOPE).message(SCOPE_SAYS))]
    pub scope: String,
    /// What may be done.
    #[schemars(length(min = 1, max = 3))]
    pub uses: Vec<NetworkUse>,
}

/// What may be done with a network.
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
    strum::Display,
    strum::EnumIter,
)]
pub enum NetworkUse {
    /// Private endpoints may stand in its subnets, and in its resource group.
    Endpoints,
    /// Private DNS zones may be linked to it: what its machines resolve changes.
    Links,
    /// It may be named as a client network, or waived as one (`spec.unprovenNetworks`).
    Clients,
}

/// Accounts below a scope, and what may be done with them.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantedAccounts {
    /// ARM id of a subscription, a resource group, a storage account or a container registry: whatever is it or stands below it.
    /// Compared without case; no wildcards.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(SCOPE).message(SCOPE_SAYS))]
    pub scope: String,
    /// What may be done.
    #[schemars(length(min = 1, max = 2))]
    pub uses: Vec<AccountUse>,
}

/// What may be done with an account that is not the registry's own.
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
    strum::Display,
    strum::EnumIter,
)]
pub enum AccountUse {
    /// A resource rule for the registry may be put on it (`spec.sharing`).
    Sharing,
    /// A registry that names it as one of its accounts, though it stands outside the registry's managed resource group, may have it
    /// looked at, connected, closed and opened with itself (`spec.sharedAccounts`). Whoever can write a registry can have it name
    /// anybody's account: without this such an account is not even read.
    Shared,
}

/// What a grant demands. Where several are demanded, or the spec asks for more, the strictest holds.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantRequirements {
    /// Writes that change names wait for a ChangeApproval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub name_changes_approval: bool,
    /// The lockdown waits for a ChangeApproval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lockdown_approval: bool,
    /// A ChangeApproval counts only if it comes from someone other than the last person to edit the spec, and only for that edit. Who that
    /// was stands in the annotation `secureregistry.dev/spec-edited-by`; while it is not known, no approval counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub separate_approver: bool,
    /// `spec.verification.dnsSettle` is at least this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(DNS_SETTLE).message(DNS_SETTLE_SAYS))]
    pub minimum_dns_settle: Option<String>,
    /// `spec.verification.consecutiveSuccesses` is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub minimum_consecutive_successes: Option<i32>,
    /// Fields that must not be set, by their path without indices, such as `spec.unprovenNetworks` or
    /// `spec.verification.recentPublicClients.accept`. A field that the API server fills in is always set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 128), regex(pattern = "^spec([.][a-zA-Z0-9]+)+$"))
    )]
    pub forbidden_fields: Vec<String>,
}

/// What the operator says of a grant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistryGrantStatus {
    /// The generation that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: every entry is understood; where it is not, the message says which entries grant nothing, and why. `Effective`: some
    /// Namespace is served, and every Namespace and VantagePoint that it names is there. `Overlapping`: another grant covers some of the
    /// same for some of the same namespaces, so that what either demands holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
