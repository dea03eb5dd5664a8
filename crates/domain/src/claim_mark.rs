//! The tag of a registry that says which object of all clusters holds it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sreg_api::names::{self, CLAIM_TAG};

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
}

impl ClaimMark {
    /// What the claim tag says. `None`: nobody holds it, or what stands there was never written by an operator.
    pub fn of(tags: &BTreeMap<String, String>) -> Option<ClaimMark> {
        ClaimMark::parse(tag(tags, CLAIM_TAG)?)
    }

    /// Whether both are objects of one name in one cluster. An object that is declared anew has another uid, and goes on.
    pub fn has_name_of(&self, other: &ClaimMark) -> bool {
        self.cluster == other.cluster && self.namespace == other.namespace && self.name == other.name
    }

    /// Takes `cluster/namespace/name/uid` apart. `None`: no operator wrote that.
    pub fn parse(text: &str) -> Option<ClaimMark> {
        let parts: Vec<&str> = text.split('/').collect();
        let [cluster, namespace, name, uid] = parts[..] else {
            return None;
        };
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_mark = is_id(cluster) && names::is_object_name(namespace) && names::is_object_name(name) && is_id(uid);
        is_mark.then(|| ClaimMark {
            cluster: cluster.into(),
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
        })
    }
}

/// As the tag says it: `cluster/namespace/name/uid`.
impl fmt::Display for ClaimMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.cluster, self.namespace, self.name, self.uid)
    }
}
