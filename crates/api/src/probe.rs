//! `ConnectivityProbe`: what one vantage point is asked to prove for one `SecureRegistry`, and what it found. The operator
//! writes the spec, the vantage point's ServiceAccount the status; shipped admission policies hold both to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The question.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "secureregistry.dev",
    version = "v1alpha1",
    kind = "ConnectivityProbe",
    plural = "connectivityprobes",
    shortname = "cprobe",
    category = "secureregistry-all",
    namespaced,
    status = "ConnectivityProbeStatus",
    derive = "PartialEq",
    doc = "The paths that one vantage point proves for one SecureRegistry. Made by the operator; its status is written by the vantage point's agent.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.secureRegistry.name"),
    printcolumn(name = "Vantage point", type_ = "string", json_path = ".spec.vantagePoint"),
    printcolumn(name = "Passed", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "First failure", type_ = "string", json_path = ".status.firstFailure"),
    printcolumn(
        name = "Silent",
        type_ = "date",
        json_path = r".metadata.annotations.secureregistry\.dev/agent-silent-since"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    cel
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectivityProbeSpec {
    /// Whose paths these are.
    pub secure_registry: SecureRegistryReference,
    /// Name of the `VantagePoint` that tries them.
    #[schemars(length(min = 1, max = 253))]
    pub vantage_point: String,
    /// Uid of that `VantagePoint`: one made again under the same name may stand elsewhere.
    #[schemars(length(max = 64))]
    pub vantage_point_uid: String,
    /// Its `metadata.generation`. An agent answers only from the place that this generation describes, so that evidence from a
    /// former place never counts for another.
    #[schemars(range(min = 0))]
    pub vantage_point_generation: i64,
    /// ServiceAccount (in this namespace) that alone may write the status.
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: String,
    /// Digest of endpoint ids, addresses and FQDNs: what is being proven. Evidence must echo it.
    #[schemars(length(max = 64))]
    pub subject: String,
    /// Random number of the proof round; 0 while none is open. Evidence must echo it.
    #[schemars(range(min = 0, max = 9007199254740991_i64))]
    pub round: i64,
    /// Pause between two attempts at a path, in milliseconds.
    #[schemars(range(min = 100, max = 86400000))]
    pub interval_milliseconds: i64,
    /// Successes (or failures) in a row that conclude a path in a round.
    #[schemars(range(min = 1, max = 10))]
    pub consecutive_successes: i32,
    /// Addresses of the DNS servers that the network is configured with. Each of them is asked in each attempt, beside the
    /// vantage point's own resolvers: some client asks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 45)))]
    pub dns_servers: Vec<String>,
    /// The paths to try.
    #[schemars(length(max = 128))]
    pub paths: Vec<ProbePath>,
}

/// The `SecureRegistry` that a probe belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecureRegistryReference {
    /// Its namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid: an object made again under the same name is another one.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// One name to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbePath {
    /// Public FQDN, lower case: what clients ask for, what TLS and HTTP are spoken to.
    #[schemars(length(min = 1, max = 253))]
    pub fqdn: String,
    /// Which service must answer there.
    pub service: ProbeService,
    /// The private endpoint's addresses: DNS must answer exactly these.
    #[schemars(length(max = 32), inner(length(max = 45)))]
    pub addresses: Vec<String>,
    /// The answer must come by way of a CNAME to this `privatelink.` name (required for blob and ACR); absent: not demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub private_link_name: Option<String>,
}

/// The service behind a path: decides which HTTP question is asked and which answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ProbeService {
    /// The ML registry's own data plane.
    Registry,
    /// Blob storage.
    Blob,
    /// Data Lake storage (hierarchical namespace).
    Dfs,
    /// The container registry's login server.
    ContainerRegistry,
    /// A replica's data endpoint.
    ContainerRegistryData,
}

/// What the vantage point found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectivityProbeStatus {
    /// Generation of the spec that the results answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Echo of `spec.round`.
    pub round: i64,
    /// Echo of `spec.subject`.
    #[schemars(length(max = 64))]
    pub subject: String,
    /// `passed/paths`, for people.
    #[schemars(length(max = 16))]
    pub summary: String,
    /// First path that fails and the hop, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub first_failure: Option<String>,
    /// One entry a path.
    #[schemars(length(max = 128))]
    pub results: Vec<PathResult>,
}

/// The latest standing of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathResult {
    /// Which path.
    #[schemars(length(max = 253))]
    pub fqdn: String,
    /// What the last attempt found.
    pub outcome: ProbeOutcome,
    /// The first hop that failed; absent when all passed or nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
    /// One sentence: what was tried, what came back.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Addresses that DNS answered, in order of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 45)))]
    pub addresses: Vec<String>,
    /// CNAME chain of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub cname_chain: Vec<String>,
    /// DNS servers that gave no usable answer (silence, SERVFAIL, refusal) in the last attempt, while others did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 64)))]
    pub silent_dns_servers: Vec<String>,
    /// Successes in a row in this round, up to `spec.consecutiveSuccesses`.
    pub successes: i32,
    /// Failures in a row in this round, up to `spec.consecutiveSuccesses`. Indeterminate attempts count as neither.
    pub failures: i32,
    /// When the outcome last changed, by the agent's own clock. For people only; never judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// What an attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ProbeOutcome {
    /// Not tried, or nothing can be said (5xx, 429, a dead proxy): never counts, either way.
    Unknown,
    /// All hops passed.
    Succeeded,
    /// The hop named did not.
    Failed,
}

impl ProbeOutcome {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeOutcome::Unknown => "Unknown",
            ProbeOutcome::Succeeded => "Succeeded",
            ProbeOutcome::Failed => "Failed",
        }
    }
}

/// The hops of a path, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema, strum::Display,
)]
pub enum Hop {
    /// The name resolves to exactly the endpoint's addresses.
    #[strum(to_string = "dns")]
    Dns,
    /// Port 443 accepts.
    #[strum(to_string = "tcp")]
    Tcp,
    /// The certificate is valid for the public name.
    #[strum(to_string = "tls")]
    Tls,
    /// The real service answers and does not deny this network.
    #[strum(to_string = "http")]
    Http,
}
