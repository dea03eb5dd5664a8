//! What administrators let a namespace do with the operator's Azure rights: the grants that serve it, parsed. Everything is refused
//! that none of them covers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sreg_api::grant::{AccountUse, NetworkUse, RegistryOperation};
use strum::IntoEnumIterator;

use crate::ids::ArmId;

/// What an id is named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// A registry.
    Registry(RegistryOperation),
    /// A virtual network, or a subnet that endpoints stand in.
    Network(NetworkUse),
    /// A resource group that endpoints are made in, other than their network's.
    EndpointResourceGroup,
    /// A private DNS zone.
    PrivateDnsZone,
    /// An account that is not the registry's own.
    Account(AccountUse),
    /// A workspace that is asked for recent clients.
    LogAnalyticsWorkspace,
}

impl Purpose {
    /// Every purpose.
    pub fn all() -> impl Iterator<Item = Purpose> {
        RegistryOperation::iter()
            .map(Purpose::Registry)
            .chain(NetworkUse::iter().map(Purpose::Network))
            .chain(AccountUse::iter().map(Purpose::Account))
            .chain([
                Purpose::EndpointResourceGroup,
                Purpose::PrivateDnsZone,
                Purpose::LogAnalyticsWorkspace,
            ])
    }
}

/// What a grant demands of objects that name anything of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// Name-changing writes wait for an approval.
    pub name_changes_approval: bool,
    /// The lockdown waits for an approval.
    pub lockdown_approval: bool,
    /// Approvals come from someone other than the last person to edit the spec.
    pub separate_approver: bool,
    /// The shortest `dnsSettle`.
    pub minimum_dns_settle: Duration,
    /// The fewest successes in a row.
    pub minimum_consecutive_successes: u32,
    /// Paths of fields that must not be set, such as `spec.unprovenNetworks`.
    pub forbidden_fields: BTreeSet<String>,
}

/// One grant, as far as it could be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub name: String,
    /// What it covers: whatever is one of these ids or stands below it.
    #[serde(with = "pairs")]
    pub scopes: BTreeMap<Purpose, Vec<ArmId>>,
    /// VantagePoints that may be used.
    pub vantage_points: BTreeSet<String>,
    /// What it demands. `Err`: that cannot be understood, and whatever it covers is refused, also where another grant covers it too.
    pub requires: Result<Requirements, String>,
}

impl Grant {
    /// Whether it covers this id for this purpose.
    pub fn covers(&self, purpose: Purpose, id: &ArmId) -> bool {
        let scopes = self.scopes.get(&purpose).map(Vec::as_slice).unwrap_or_default();
        scopes.iter().any(|scope| is_within(id, scope))
    }

    /// The narrower of two scopes of which both grants cover the same for the same purpose.
    pub fn shares<'a>(&'a self, other: &'a Grant) -> Option<&'a ArmId> {
        self.scopes.iter().find_map(|(purpose, ours)| {
            let theirs = other.scopes.get(purpose)?;
            let mut pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
            pairs.find_map(|(a, b)| {
                if is_within(a, b) {
                    Some(a)
                } else {
                    is_within(b, a).then_some(b)
                }
            })
        })
    }
}

/// Whether an id is a scope, or stands below it. Whole names are compared: a group `ml` does not cover a group `ml-prod`.
fn is_within(id: &ArmId, scope: &ArmId) -> bool {
    let rest = id.key().strip_prefix(scope.key());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What writing to a private endpoint takes: the subnet that it stands in, and its resource group where that is not the network's own.
/// Of an endpoint whose subnet is not known only the group can be asked for.
pub fn where_endpoint_stands(id: &ArmId, subnet: Option<&ArmId>) -> Vec<(Purpose, ArmId)> {
    let network = subnet.and_then(ArmId::parent);
    let own = network.and_then(|network| network.resource_group_id());
    let group = id.resource_group_id().filter(|group| Some(group) != own.as_ref());
    let subnet = subnet.map(|subnet| (Purpose::Network(NetworkUse::Endpoints), subnet.clone()));
    let group = group.map(|group| (Purpose::EndpointResourceGroup, group));
    subnet.into_iter().chain(group).collect()
}

/// The grants that serve one namespace, by name. Every plan carries them, so copies share them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Grants {
    all: Arc<[Grant]>,
}

impl From<Vec<Grant>> for Grants {
    fn from(all: Vec<Grant>) -> Grants {
        Grants::new(all)
    }
}

impl From<Grants> for Vec<Grant> {
    fn from(grants: Grants) -> Vec<Grant> {
        grants.all.to_vec()
    }
}

/// JSON has texts for keys only: a map with others is a list of pairs there.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Purpose;
    use crate::ids::ArmId;

    type Scopes = BTreeMap<Purpose, Vec<ArmId>>;

    pub(super) fn serialize<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
        scopes.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scopes, D::Error> {
        Vec::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// Some grant covers it, and of each that does it is known what it demands.
fn are_understood<'a>(covering: impl Iterator<Item = &'a Grant>) -> bool {
    let mut covering = covering.peekable();
    covering.peek().is_some() && covering.all(|grant| grant.requires.is_ok())
}

impl Grants {
    /// In the order of their names, whatever order they came in.
    pub fn new(mut all: Vec<Grant>) -> Grants {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Grants { all: all.into() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.all.iter()
    }

    /// Those that cover this id for this purpose.
    pub fn covering(&self, purpose: Purpose, id: &ArmId) -> impl Iterator<Item = &Grant> {
        self.all.iter().filter(move |grant| grant.covers(purpose, id))
    }

    /// Whether this id may be named for this purpose: some grant covers it, and of each that does it is known what it demands. Nothing
    /// that can be demanded concerns looking at a registry or opening it: what is wrong there keeps nobody from an emergency.
    pub fn allow(&self, purpose: Purpose, id: &ArmId) -> bool {
        if let Purpose::Registry(RegistryOperation::Observe | RegistryOperation::Open) = purpose {
            return self.covering(purpose, id).next().is_some();
        }
        are_understood(self.covering(purpose, id))
    }

    /// Whether this virtual network, or subnet, may be named for anything.
    pub fn allow_network(&self, id: &ArmId) -> bool {
        NetworkUse::iter().any(|used| self.allow(Purpose::Network(used), id))
    }

    /// Those that let this VantagePoint be used.
    pub fn covering_vantage_point(&self, name: &str) -> impl Iterator<Item = &Grant> {
        self.all.iter().filter(move |grant| grant.vantage_points.contains(name))
    }

    /// Whether this VantagePoint may be used.
    pub fn allow_vantage_point(&self, name: &str) -> bool {
        are_understood(self.covering_vantage_point(name))
    }

    /// Whether the registry may be looked at.
    pub fn allow_looking_at(&self, registry: &ArmId) -> bool {
        self.allow(Purpose::Registry(RegistryOperation::Observe), registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml";
    const LOCK: Purpose = Purpose::Registry(RegistryOperation::Lock);

    fn id(text: &str) -> ArmId {
        text.parse().unwrap()
    }

    fn grant(name: &str, scope: &str) -> Grant {
        Grant {
            name: name.into(),
            scopes: BTreeMap::from([(LOCK, vec![id(scope)])]),
            vantage_points: BTreeSet::from(["hub".to_owned()]),
            requires: Ok(Requirements::default()),
        }
    }

    #[test]
    fn a_scope_covers_itself_and_what_stands_below_it_by_whole_names() {
        let grant = grant("a", GROUP);
        let registry = |group: &str| {
            id(&format!(
                "{group}/providers/Microsoft.MachineLearningServices/registries/r"
            ))
        };
        assert!(grant.covers(LOCK, &registry(GROUP)));
        assert!(grant.covers(
            LOCK,
            &registry(&GROUP.to_uppercase().replace("SUBSCRIPTIONS", "subscriptions"))
        ));
        assert!(grant.covers(LOCK, &id(GROUP)));
        assert!(!grant.covers(LOCK, &registry(&format!("{GROUP}-prod"))));
        assert!(!grant.covers(Purpose::Registry(RegistryOperation::Open), &registry(GROUP)));
    }

    #[test]
    fn a_grant_that_is_not_understood_refuses_what_another_one_covers_too() {
        let mut odd = grant("b", GROUP);
        odd.requires = Err("odd".into());
        let both = Grants::new(vec![odd, grant("a", GROUP)]);
        assert!(!both.allow(LOCK, &id(GROUP)) && !both.allow_vantage_point("hub"));
        let narrow = grant("c", &format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/a"));
        let wide = grant("a", GROUP);
        assert_eq!(wide.shares(&narrow), narrow.shares(&wide));
        assert_eq!(wide.shares(&narrow).map(ArmId::name), Some("a"));
        let one = Grants::new(vec![grant("a", GROUP)]);
        assert!(one.allow(LOCK, &id(GROUP)) && one.allow_vantage_point("hub") && !one.allow_vantage_point("spoke"));
        assert!(!Grants::default().allow(LOCK, &id(GROUP)));
    }
}
