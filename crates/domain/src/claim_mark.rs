//! The tag of a registry that says which object of all clusters holds it. It says of which registry, too: jobs copy tags from one
//! resource to others, and a mark that came along tells nothing of the registry that it came to.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sreg_api::names::{self, CLAIM_TAG};

use crate::{ArmId, Digest};

/// Value of a tag. Azure's tag names ignore case.
pub fn tag<'a>(tags: &'a BTreeMap<String, String>, named: &str) -> Option<&'a str> {
    let (_, value) = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(named))?;
    Some(value)
}

/// Who holds a registry, as its claim tag says: an object of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimMark {
    /// Id of the cluster.
    pub cluster: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Uid of the object.
    pub uid: String,
    /// Short digest of the registry's id, see [`ClaimMark::registry_digest`].
    pub registry: String,
}

impl ClaimMark {
    /// What the claim tag of a registry says. `None`: nobody holds it, or no operator ever wrote there what stands there.
    pub fn of(registry: &ArmId, tags: &BTreeMap<String, String>) -> Option<ClaimMark> {
        let mark = ClaimMark::parse(tag(tags, CLAIM_TAG)?)?;
        (mark.registry == ClaimMark::registry_digest(registry)).then_some(mark)
    }

    /// Eight hexadecimal digits that tell a registry from others, however its id is written.
    pub fn registry_digest(registry: &ArmId) -> String {
        const DIGITS: usize = 8;
        let digest = Digest::of_bytes(registry.key().as_bytes());
        digest.as_str().chars().take(DIGITS).collect()
    }

    /// Whether both are objects of one name in one cluster. An object that is declared anew has another uid, and goes on.
    pub fn has_name_of(&self, other: &ClaimMark) -> bool {
        self.cluster == other.cluster && self.namespace == other.namespace && self.name == other.name
    }

    /// Takes `cluster/namespace/name/uid/registry` apart. `None`: no operator wrote that.
    pub fn parse(text: &str) -> Option<ClaimMark> {
        let parts: Vec<&str> = text.split('/').collect();
        let [cluster, namespace, name, uid, registry] = parts[..] else {
            return None;
        };
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_object = names::is_object_name(namespace) && names::is_object_name(name);
        let is_mark = is_id(cluster) && is_object && is_id(uid) && is_id(registry);
        is_mark.then(|| ClaimMark {
            cluster: cluster.into(),
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
            registry: registry.into(),
        })
    }
}

/// As the tag says it: `cluster/namespace/name/uid/registry`.
impl fmt::Display for ClaimMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClaimMark {
            cluster,
            namespace,
            name,
            uid,
            registry,
        } = self;
        write!(f, "{cluster}/{namespace}/{name}/{uid}/{registry}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(name: &str) -> ArmId {
        let id =
            format!("/subscriptions/S/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/{name}");
        id.parse().unwrap()
    }

    fn tags(of: &ArmId) -> BTreeMap<String, String> {
        let mark = ClaimMark {
            cluster: "c-1".to_owned(),
            namespace: "ml".to_owned(),
            name: "models".to_owned(),
            uid: "u-1".to_owned(),
            registry: ClaimMark::registry_digest(of),
        };
        BTreeMap::from([(CLAIM_TAG.to_ascii_uppercase(), mark.to_string())])
    }

    #[test]
    fn a_mark_names_the_object_that_wrote_it_however_the_registry_is_written() {
        let written = tags(&registry("Contoso"));
        let mark = ClaimMark::of(&registry("contoso"), &written).unwrap();
        assert_eq!((mark.namespace.as_str(), mark.uid.as_str()), ("ml", "u-1"));
    }

    #[test]
    fn a_mark_that_was_copied_from_another_registry_names_nobody() {
        assert_eq!(ClaimMark::of(&registry("fabrikam"), &tags(&registry("contoso"))), None);
    }

    #[test]
    fn what_no_operator_writes_names_nobody() {
        let contoso = registry("contoso");
        let digest = ClaimMark::registry_digest(&contoso);
        for text in [
            "".to_owned(),
            "ml-team".to_owned(),
            "c-1/ml/models/u-1".to_owned(),
            format!("c-1/ml/models//{digest}"),
            format!("c-1/ml/models/u-1/{digest}/x"),
            format!("c-1/ML Team/models/u-1/{digest}"),
        ] {
            let tags = BTreeMap::from([(CLAIM_TAG.to_owned(), text.clone())]);
            assert_eq!(ClaimMark::of(&contoso, &tags), None, "{text}");
        }
    }
}
