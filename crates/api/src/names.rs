//! The one registry of names that several parts must agree on: field managers, finalizer, labels, annotations, tags.

/// Field manager of status writes.
pub const STATUS_MANAGER: &str = "secure-registry-operator/status";
/// Field manager of the finalizer, apart from status so that each apply owns only its own fields.
pub const FINALIZER_MANAGER: &str = "secure-registry-operator/finalizer";
/// Field manager of the probes' spec.
pub const PROBE_MANAGER: &str = "secure-registry-operator/probe";
/// Field manager of the mark on probes whose agent does not report.
pub const SILENCE_MANAGER: &str = "secure-registry-operator/silence";
/// Field manager of the snapshot ConfigMap.
pub const SNAPSHOT_MANAGER: &str = "secure-registry-operator/snapshot";
/// Field manager of the ConfigMap with what external DNS must answer.
pub const PUBLISHED_DNS_MANAGER: &str = "secure-registry-operator/external-dns";
/// Field manager of the operator on the status of a BreakGlass.
pub const BREAK_GLASS_MANAGER: &str = "secure-registry-operator/break-glass";
/// Field manager of the status of ChangeApprovals.
pub const APPROVAL_MANAGER: &str = "secure-registry-operator/approval";
/// Field manager of the status of RegistryGrants.
pub const GRANT_MANAGER: &str = "secure-registry-operator/grant";
/// Field manager of a probe's status, written by the vantage point.
pub const AGENT_MANAGER: &str = "secure-registry-agent/status";

/// Held while anything in Azure or the cluster may still carry our mark.
pub const FINALIZER: &str = "secureregistry.dev/release";

/// Label on probes: uid of the `SecureRegistry` that they prove paths for.
pub const LABEL_REGISTRY_UID: &str = "secureregistry.dev/registry-uid";
/// Label on probes: name of the vantage point.
pub const LABEL_VANTAGE_POINT: &str = "secureregistry.dev/vantage-point";
/// Annotation on probes: since when their agent does not report. What such a probe says is as old as that.
pub const ANNOTATION_SILENT_SINCE: &str = "secureregistry.dev/agent-silent-since";
/// Annotation on the Lease that is a claim: its holder found no registry, and set about to create one that carries this value as the tag
/// [`CREATED_TAG`].
pub const ANNOTATION_CREATES_REGISTRY: &str = "secureregistry.dev/creates-registry";
/// Annotation on `SecureRegistry` objects: when somebody asked for a look at once. Any change of an annotation starts one; this is what
/// `sreg reconcile` changes.
pub const ANNOTATION_RECONCILE_REQUESTED_AT: &str = "secureregistry.dev/reconcile-requested-at";
/// Annotation on `SecureRegistry` objects, `GENERATION/USER`: who made that generation of the spec, as the API server knew them. Admission
/// policies see to it that of the current generation it says that, or nothing.
pub const ANNOTATION_SPEC_EDITED_BY: &str = "secureregistry.dev/spec-edited-by";
/// Label on everything the operator makes in the cluster.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "secure-registry-operator";

/// Azure tag that marks what we created: `installation/namespace/name`. Azure's tag names forbid `/`, private DNS also `:`.
pub const OWNER_TAG: &str = "secureregistry-owner";

/// Azure tag of a registry that says which object of which cluster holds it: `cluster/namespace/name/uid`.
pub const CLAIM_TAG: &str = "secureregistry-claim";
/// Tag on a registry that the operator created: the mark that the claim recorded before.
pub const CREATED_TAG: &str = "secureregistry-created";

/// Reserved name of the DNS zone group that we create below our own private endpoints.
pub const ZONE_GROUP: &str = "secureregistry";

/// Namespace that the operator runs in unless told otherwise.
pub const OPERATOR_NAMESPACE: &str = "secure-registry-system";
/// ServiceAccount of the operator.
pub const OPERATOR_SERVICE_ACCOUNT: &str = "secure-registry-operator";

/// Longest name of an object that becomes the value of a label or a part of other names.
pub const LONGEST_NAME: usize = 63;

/// Whether a text may be the name of an object here: a DNS-1123 subdomain of at most [`LONGEST_NAME`] characters. Nothing else is put
/// into the path of a request, a selector or a label.
pub fn is_object_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && is_dns_subdomain(text)
}

/// Whether a text is a DNS-1123 subdomain, as names of objects are.
pub fn is_dns_subdomain(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label =
        |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-') && l.bytes().all(legal);
    text.len() <= 253 && text.split('.').all(is_label)
}
