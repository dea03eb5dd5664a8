//! Deterministic names: no intent need be remembered, a name is found again after any crash.

use crate::digest::Digest;
use crate::ids::ArmId;
use crate::target::EndpointGroup;

const ENDPOINT_PREFIX: &str = "sreg-";

/// Whether a private endpoint's name may be one of ours: its tag has to say so too.
pub fn may_be_endpoint_name(name: &str) -> bool {
    name.get(..ENDPOINT_PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(ENDPOINT_PREFIX))
}

/// Name of the private endpoint for (target, subnet, group): `sreg-<target's name>-<group>-<hash>`, at most 64 characters
/// long, as Azure allows for endpoints.
pub fn endpoint_name(target: &ArmId, subnet: &ArmId, group: EndpointGroup) -> String {
    let hash = Digest::of_parts([target.key(), subnet.key(), group.group_id()]);
    let readable: String = target
        .name()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(32)
        .collect::<String>()
        .to_ascii_lowercase();
    format!(
        "{ENDPOINT_PREFIX}{readable}-{}-{}",
        group.group_id(),
        hash.as_str().get(..10).unwrap_or_default()
    )
}

/// Name of the link of a virtual network below a zone.
pub fn link_name(virtual_network: &ArmId) -> String {
    let hash = Digest::of_parts([virtual_network.key()]);
    let readable: String = virtual_network
        .name()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    format!(
        "sreg-{}-{}",
        readable.to_ascii_lowercase(),
        hash.as_str().get(..10).unwrap_or_default()
    )
}

/// Name of the Lease, in the operator's namespace, that says which object owns an Azure registry.
pub fn claim_name(registry: &ArmId) -> String {
    format!("sreg-{}", Digest::of_parts([registry.key()]))
}

/// Name of the ConfigMap, in the operator's namespace, that keeps what was before the lock.
pub fn snapshot_name(registry: &ArmId) -> String {
    format!("sreg-snapshot-{}", Digest::of_parts([registry.key()]))
}

/// Name of the probe of one object at one vantage point.
pub fn probe_name(uid: &str, vantage_point: &str) -> String {
    format!("sreg-{}", Digest::of_parts([uid, vantage_point]))
}

/// Value of the owner tag: `installation/namespace/name`.
pub fn owner_mark(installation: &str, namespace: &str, name: &str) -> String {
    format!("{installation}/{namespace}/{name}")
}
