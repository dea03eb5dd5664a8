//! `VantagePoint`: a place to look from, in a declared network.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::rules::*;

/// Where connections are tried from: the operator's own pod, an agent in another network or cluster, or a point outside.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "VantagePoint",
    plural = "vantagepoints",
    shortname = "vp",
    category = "secureregistry-all",
    derive = "PartialEq",
    doc = "A place to look from, in a declared network. Created by the platform's administrators; agents and probes refer to it by name.",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(SHORT_NAME).message(SHORT_NAME_SAYS),
    cel
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.network == 'VirtualNetwork' ? has(self.virtualNetworkResourceId) : !has(self.virtualNetworkResourceId)")
        .message("set virtualNetworkResourceId if, and only if, network is VirtualNetwork")
)]
pub struct VantagePointSpec {
    /// What kind of network the vantage point stands in.
    pub network: VantageNetwork,
    /// ARM id of the virtual network it stands in; only with `network: VirtualNetwork`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(VNET_ID).message(VNET_ID_SAYS))]
    pub virtual_network_resource_id: Option<String>,
    /// Namespace that holds its probes and its agent's ServiceAccount.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: String,
    /// ServiceAccount of the agent, in `namespace`: the only identity that may write its probes' status.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub service_account_name: String,
    /// Look through this SOCKS5 proxy instead of directly (`host:port`), such as `ssh -D` or a Bastion tunnel. The proxy only
    /// dials: names are never handed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 261))]
    pub socks5_address: Option<String>,
    /// Ask this DNS server (`address:port`) instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub resolver_address: Option<String>,
}

/// The kind of network that a vantage point stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum VantageNetwork {
    /// An Azure virtual network.
    VirtualNetwork,
    /// The customer's own network.
    OnPremises,
}
