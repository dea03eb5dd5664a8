//! Deterministic names: no intent need be remembered, a name is found again after any crash.

use std::collections::BTreeMap;

use sreg_api::names::OWNER_TAG;

use crate::claim_mark::tag;
use crate::desired::EndpointPlace;
use crate::digest::Digest;
use crate::ids::ArmId;
use crate::seen::{EndpointSeen, LinkSeen};
use crate::target::EndpointGroup;

const ENDPOINT_PREFIX: &str = "sreg-";

/// Whether a private endpoint's name may be one of ours: its tag has to say so too.
pub fn may_be_endpoint_name(name: &str) -> bool {
    name.get(..ENDPOINT_PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(ENDPOINT_PREFIX))
}

/// What every name of the private endpoint for (target, subnet, group) ends with, whatever stands before it.
pub fn endpoint_hash(target: &ArmId, subnet: &ArmId, group: EndpointGroup) -> String {
    let hash = Digest::of_parts([target.key(), subnet.key(), group.group_id()]);
    hash.as_str().get(..10).unwrap_or_default().to_owned()
}

/// Whether this is a name that we give to the private endpoint for (target, subnet, group): its last word is the hash of the three.
/// Nobody has such a name by chance.
pub fn is_endpoint_name(name: &str, target: &ArmId, subnet: &ArmId, group: EndpointGroup) -> bool {
    let hash = endpoint_hash(target, subnet, group);
    let last = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
    last.is_some_and(|word| word.eq_ignore_ascii_case(&hash))
}

/// Whether a link's name may be one of ours.
pub fn may_be_link_name(name: &str) -> bool {
    may_be_endpoint_name(name)
}

/// Whether this is the name that we give to the link of a virtual network.
pub fn is_link_name(name: &str, virtual_network: &ArmId) -> bool {
    name.eq_ignore_ascii_case(&link_name(virtual_network))
}

/// Whose an Azure resource is. A tag alone is no proof in either direction: jobs that keep tags in order wipe ours, and templates
/// that are copied carry it along. What counts is what can be recomputed: the name, from where the resource stands and what it
/// leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// Its name is the one for its target, subnet and group, and it carries our tag.
    Ours,
    /// Its name is the one for its target, subnet and group, and nobody's tag is on it: ours, whose tag somebody removed.
    TagLost,
    /// It carries our tag, and its name is not the one for its target, subnet and group: a copy. Not ours.
    OnlyTagged,
    /// Somebody else's.
    Theirs,
}

impl Belonging {
    fn of(owner: &str, tagged: Option<&str>, recomputes: bool) -> Belonging {
        match (tagged, recomputes) {
            (Some(tag), true) if tag == owner => Belonging::Ours,
            (Some(tag), false) if tag == owner => Belonging::OnlyTagged,
            (None, true) => Belonging::TagLost,
            (Some(_) | None, _) => Belonging::Theirs,
        }
    }

    /// Whose a private endpoint is.
    pub fn of_endpoint(owner: &str, endpoint: &EndpointSeen) -> Belonging {
        let group = endpoint.group_id.as_deref().and_then(EndpointGroup::of_group_id);
        let recomputes = match (&endpoint.target, &endpoint.subnet, group) {
            (Some(target), Some(subnet), Some(group)) => is_endpoint_name(endpoint.id.name(), target, subnet, group),
            _ => false,
        };
        Belonging::of(owner, endpoint.owner.as_deref(), recomputes)
    }

    /// Whose a link of a zone is.
    pub fn of_link(owner: &str, link: &LinkSeen) -> Belonging {
        let recomputes = is_link_name(link.id.name(), &link.virtual_network);
        Belonging::of(owner, owner_in(&link.tags), recomputes)
    }

    /// Whether we made it, with or without its tag: it is judged and kept, and only what carries its tag as well is removed.
    pub fn is_ours(self) -> bool {
        match self {
            Belonging::Ours | Belonging::TagLost => true,
            Belonging::OnlyTagged | Belonging::Theirs => false,
        }
    }
}

/// Value of our owner tag; blank is none.
pub fn owner_in(tags: &BTreeMap<String, String>) -> Option<&str> {
    tag(tags, OWNER_TAG).filter(|value| !value.trim().is_empty())
}

/// Those of the wanted tags that are missing or differ. Azure compares tag names without case.
pub fn tags_to_set(wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let holds = |name: &String, value: &String| there.iter().any(|(k, v)| k.eq_ignore_ascii_case(name) && v == value);
    let missing = wanted.iter().filter(|(name, value)| !holds(name, value));
    missing.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Name of the private endpoint for (target, subnet, group): `sreg-<target's name>-<group>-<hash>`, at most 64 characters
/// long, as Azure allows for endpoints.
pub fn endpoint_name(target: &ArmId, subnet: &ArmId, group: EndpointGroup) -> String {
    let hash = endpoint_hash(target, subnet, group);
    let readable: String = target
        .name()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(32)
        .collect::<String>()
        .to_ascii_lowercase();
    format!("{ENDPOINT_PREFIX}{readable}-{}-{hash}", group.group_id())
}

/// Name of a new private endpoint of a place: by its template, else [`endpoint_name`].
pub fn endpoint_name_at(place: &EndpointPlace, registry: &ArmId, target: &ArmId, group: EndpointGroup) -> String {
    match &place.name_template {
        None => endpoint_name(target, &place.subnet, group),
        Some(template) => {
            let hash = endpoint_hash(target, &place.subnet, group);
            rendered(template, registry.name(), &place.name, group.group_id(), &hash)
        }
    }
}

/// A template with its placeholders filled in.
pub fn rendered(template: &str, registry: &str, entry: &str, group: &str, hash: &str) -> String {
    let values = [
        ("{registry}", registry),
        ("{group}", group),
        ("{entry}", entry),
        ("{hash}", hash),
    ];
    let fill = |text: String, (placeholder, value): (&str, &str)| text.replace(placeholder, value);
    values.into_iter().fold(template.to_owned(), fill)
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

/// Id of a cluster, and of the operator in it: from the uid of the namespace `kube-system`, which no other cluster has, and the namespace
/// that the operator keeps its Leases in. Two operators of one cluster that do not share their Leases are two.
pub fn cluster_id(kube_system_uid: &str, operator_namespace: &str) -> String {
    Digest::of_parts([kube_system_uid, operator_namespace]).to_string()
}

/// Name of the Lease, in the operator's namespace, that says which object owns an Azure registry.
pub fn claim_name(registry: &ArmId) -> String {
    format!("sreg-{}", Digest::of_parts([registry.key()]))
}

/// Name of the ConfigMap, in the operator's namespace, that keeps what was before the lock.
pub fn snapshot_name(registry: &ArmId) -> String {
    format!("sreg-snapshot-{}", Digest::of_parts([registry.key()]))
}

/// Name of the ConfigMap, in the operator's namespace, that tells what external DNS must answer.
pub fn published_dns_name(registry: &ArmId) -> String {
    format!("sreg-dns-{}", Digest::of_parts([registry.key()]))
}

/// Name of the probe of one object at one vantage point.
pub fn probe_name(uid: &str, vantage_point: &str) -> String {
    format!("sreg-{}", Digest::of_parts([uid, vantage_point]))
}

/// Value of the owner tag: `installation/namespace/name`.
pub fn owner_mark(installation: &str, namespace: &str, name: &str) -> String {
    format!("{installation}/{namespace}/{name}")
}
