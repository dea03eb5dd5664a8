//! Targets as they were seen: registry, storage accounts and container registries are values of one type, in one map. What they have
//! in common is told in the same words of all; what only one kind has stands in its details.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sreg_api::grant::AccountUse;
use strum::IntoEnumIterator as _;

use crate::azure_text::{DefaultAction, ExportPolicy, ProvisioningState, PublicNetworkAccess};
use crate::digest::Digest;
use crate::fact::Fact;
use crate::grants::{Grants, Purpose};
use crate::ids::{ArmId, Fqdn, Location};
use crate::network_rules::is_closed;
use crate::target::{EndpointGroup, TargetKind, kind_of, row};

/// One target: what all kinds have, and what only its own has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSeen {
    /// As Azure spells it.
    pub id: ArmId,
    /// `publicNetworkAccess`; Azure omits it on old resources, which then means `Enabled`.
    pub public_network_access: Option<PublicNetworkAccess>,
    /// `defaultAction` of its rule set; a registry has none.
    pub default_action: Option<DefaultAction>,
    /// Whom it lets in whatever its rules say: `networkAcls.bypass`, `networkRuleBypassOptions`.
    pub bypass: Option<String>,
    /// Addresses and prefixes that it lets in: `ipRules` and `ipv6Rules`.
    pub ip_rules: Vec<String>,
    /// Subnets that it lets in: `virtualNetworkRules`.
    pub virtual_network_rules: Vec<String>,
    /// Resources that it lets in: `resourceAccessRules`.
    pub resource_access_rules: Vec<String>,
    /// Its public name for each group of endpoints, as far as its body tells. Those of a registry are what discovery returns.
    pub names: BTreeMap<EndpointGroup, Fqdn>,
    /// `provisioningState`, where it is read.
    pub provisioning_state: Option<ProvisioningState>,
    /// Private endpoints that are connected to it, whoever made them.
    pub private_endpoints: Vec<ArmId>,
    /// Its network settings in Azure's shape, as they are: what the snapshot keeps.
    pub network: Value,
    /// Digest of the body without server-owned and volatile fields.
    pub digest: Digest,
    /// What only its kind has.
    pub details: TargetDetails,
}

/// What only one kind of target has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TargetDetails {
    /// Of the ML registry.
    Registry(RegistryDetails),
    /// Of a storage account.
    Storage(StorageDetails),
    /// Of a container registry.
    ContainerRegistry(ContainerRegistryDetails),
}

/// What only the ML registry has (azure.md §1.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistryDetails {
    /// Primary region.
    pub location: Location,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Its managed resource group.
    pub managed_resource_group: Option<ArmId>,
    /// Regions, with what Azure created in each.
    pub regions: Vec<RegionSeen>,
    /// Accounts that it names, that stand outside its managed resource group and that no grant covers: left out of `regions`, and
    /// neither read nor written. Whoever can write a registry can have it name anybody's.
    pub ungranted_accounts: Vec<ArmId>,
    /// `assignedIdentities[].principalId` of `managedResourceGroupSettings`.
    pub assigned_identities: Vec<String>,
}

/// One region of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSeen {
    /// Where.
    pub location: Location,
    /// Accounts of each kind that the registry has there; the same one may appear in several regions. An id is `None` while Azure has
    /// not filled it in: the registry is not ready.
    pub accounts: BTreeMap<TargetKind, Vec<Option<ArmId>>>,
}

/// What only a storage account has (azure.md §5.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorageDetails {
    /// Hierarchical namespace.
    pub hierarchical_namespace: bool,
    /// Hosts of `secondaryEndpoints` for blob and dfs: read access to the paired region, in accounts with RA-GRS or RA-GZRS.
    pub secondary_hosts: Vec<Fqdn>,
    /// `allowSharedKeyAccess`; Azure takes it for allowed where it is left out.
    pub shared_keys: bool,
}

/// What only a container registry has (azure.md §5.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRegistryDetails {
    /// `dataEndpointHostNames`; empty until dedicated data endpoints are on (the first endpoint turns them on).
    pub data_endpoints: Vec<Fqdn>,
    /// Regions that hold a replica, the home region included. `Unknown` where they could not be listed.
    pub replicas: Fact<Vec<Location>>,
    /// Regions to which Azure is still adding a replica, or from which it is removing one: nobody is sent there yet, or any more.
    pub replicas_in_passing: Vec<Location>,
    /// `networkRuleBypassAllowedForTasks` is false: the bypass lets trusted services in, and tasks of the registry are none of them.
    pub tasks_kept_out: bool,
    /// `anonymousPullEnabled`: whoever reaches it may pull without signing in.
    pub anonymous_pull: bool,
    /// `adminUserEnabled`: one password for everything.
    pub admin_user: bool,
    /// `policies.exportPolicy.status`.
    pub export_policy: Option<ExportPolicy>,
}

impl TargetSeen {
    /// Its kind.
    pub fn kind(&self) -> TargetKind {
        match &self.details {
            TargetDetails::Registry(_) => TargetKind::Registry,
            TargetDetails::Storage(_) => TargetKind::Storage,
            TargetDetails::ContainerRegistry(_) => TargetKind::ContainerRegistry,
        }
    }

    /// What only a registry has, if it is one.
    pub fn registry(&self) -> Option<&RegistryDetails> {
        match &self.details {
            TargetDetails::Registry(details) => Some(details),
            TargetDetails::Storage(_) | TargetDetails::ContainerRegistry(_) => None,
        }
    }

    /// The same, to change it.
    pub fn registry_mut(&mut self) -> Option<&mut RegistryDetails> {
        match &mut self.details {
            TargetDetails::Registry(details) => Some(details),
            TargetDetails::Storage(_) | TargetDetails::ContainerRegistry(_) => None,
        }
    }

    /// What only a storage account has, if it is one.
    pub fn storage(&self) -> Option<&StorageDetails> {
        match &self.details {
            TargetDetails::Storage(details) => Some(details),
            TargetDetails::Registry(_) | TargetDetails::ContainerRegistry(_) => None,
        }
    }

    /// What only a container registry has, if it is one.
    pub fn container_registry(&self) -> Option<&ContainerRegistryDetails> {
        match &self.details {
            TargetDetails::ContainerRegistry(details) => Some(details),
            TargetDetails::Registry(_) | TargetDetails::Storage(_) => None,
        }
    }

    /// Whether public access is closed. `None`: its settings say what this version does not know.
    pub fn closed(&self) -> Option<bool> {
        let excepts = !self.ip_rules.is_empty() || !self.virtual_network_rules.is_empty();
        let switch = self.public_network_access.as_ref();
        is_closed(self.kind(), switch, self.default_action.as_ref(), excepts)
    }

    /// Whether clients reach it by endpoints of this group.
    pub fn has_group(&self, group: EndpointGroup) -> bool {
        let has_side = !group.is_optional() || self.storage().is_some_and(|storage| storage.hierarchical_namespace);
        group.target() == self.kind() && has_side
    }
}

impl RegistryDetails {
    /// Accounts that it names, once for each region.
    pub fn accounts(&self) -> impl Iterator<Item = &ArmId> {
        self.regions.iter().flat_map(RegionSeen::named)
    }

    /// Accounts that it names with their kinds, once each, by kind and id: the same one may serve several regions.
    pub fn distinct_accounts(&self) -> Vec<(TargetKind, ArmId)> {
        let of_region = |region: &RegionSeen| -> Vec<(TargetKind, ArmId)> {
            let kinds = region.accounts.iter();
            kinds
                .flat_map(|(kind, ids)| ids.iter().flatten().map(|id| (*kind, id.clone())))
                .collect()
        };
        // By a map, so that the first spelling stays.
        let mut distinct = BTreeMap::new();
        for account in self.regions.iter().flat_map(of_region) {
            distinct.entry(account).or_insert(());
        }
        distinct.into_keys().collect()
    }

    /// Leaves out accounts outside its managed resource group that no grant covers.
    #[must_use]
    pub fn as_far_as_granted(mut self, grants: &Grants) -> RegistryDetails {
        let purpose = Purpose::Account(AccountUse::Shared);
        let managed = self.managed_resource_group.as_ref();
        let mut left_out = BTreeSet::new();
        let accounts = self.regions.iter_mut().flat_map(|region| region.accounts.values_mut());
        for account in accounts.flatten() {
            let foreign = |id: &&ArmId| id.resource_group_id().as_ref() != managed && !grants.allow(purpose, id);
            if account.as_ref().filter(foreign).is_some() {
                left_out.extend(account.take());
            }
        }
        self.ungranted_accounts.extend(left_out);
        self
    }
}

impl RegionSeen {
    /// Its accounts of one kind.
    pub fn of(&self, kind: TargetKind) -> &[Option<ArmId>] {
        self.accounts.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// The accounts that Azure has named.
    pub fn named(&self) -> impl Iterator<Item = &ArmId> {
        self.accounts.values().flatten().flatten()
    }

    /// Whether Azure has named an account of every kind that stands behind a registry, and each that there is.
    pub fn is_complete(&self) -> bool {
        let mut kinds = TargetKind::iter().filter(|kind| *kind != TargetKind::Registry);
        kinds.all(|kind| !self.of(kind).is_empty() && self.of(kind).iter().all(Option::is_some))
    }
}

/// The targets of one registry, the registry among them, each by its id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Targets(BTreeMap<ArmId, Fact<TargetSeen>>);

/// What is said of a target at which nobody has looked.
static UNREAD: LazyLock<BTreeMap<TargetKind, Fact<TargetSeen>>> = LazyLock::new(|| {
    let unread = |kind| {
        if kind == TargetKind::Registry {
            Fact::not_read("nobody has looked yet")
        } else {
            Fact::not_read(&format!("nobody looked at the {}", row(kind).noun))
        }
    };
    TargetKind::iter().map(|kind| (kind, unread(kind))).collect()
});

fn unread(kind: TargetKind) -> &'static Fact<TargetSeen> {
    // A row for every kind is made above.
    &UNREAD[&kind]
}

impl Targets {
    /// The registry itself.
    pub fn registry(&self) -> &Fact<TargetSeen> {
        let mut registries = self.of(TargetKind::Registry);
        registries.next().map_or(unread(TargetKind::Registry), |(_, fact)| fact)
    }

    /// What only the registry has, where it was seen.
    pub fn registry_details(&self) -> Option<&RegistryDetails> {
        self.registry().seen()?.registry()
    }

    /// A target; one at which nobody looked is not known.
    pub fn get(&self, id: &ArmId) -> &Fact<TargetSeen> {
        let unread = || unread(kind_of(id).unwrap_or(TargetKind::Registry));
        self.0.get(id).unwrap_or_else(unread)
    }

    /// Whether it is one of them, seen or not.
    pub fn contains(&self, id: &ArmId) -> bool {
        self.0.contains_key(id)
    }

    /// All of them, by kind and id.
    pub fn iter(&self) -> impl Iterator<Item = (&ArmId, &Fact<TargetSeen>)> {
        TargetKind::iter().flat_map(|kind| self.of(kind))
    }

    /// Those behind the registry, by kind and id.
    pub fn accounts(&self) -> impl Iterator<Item = (&ArmId, &Fact<TargetSeen>)> {
        let kinds = TargetKind::iter().filter(|kind| *kind != TargetKind::Registry);
        kinds.flat_map(|kind| self.of(kind))
    }

    /// Those of one kind.
    pub fn of(&self, kind: TargetKind) -> impl Iterator<Item = (&ArmId, &Fact<TargetSeen>)> {
        self.0.iter().filter(move |(id, _)| kind_of(id) == Some(kind))
    }

    /// What was seen, by kind and id.
    pub fn seen(&self) -> impl Iterator<Item = &TargetSeen> {
        self.iter().filter_map(|(_, fact)| fact.seen())
    }

    /// What was seen of one kind.
    pub fn seen_of(&self, kind: TargetKind) -> impl Iterator<Item = &TargetSeen> {
        self.of(kind).filter_map(|(_, fact)| fact.seen())
    }

    /// Says how a target was seen.
    pub fn insert(&mut self, id: ArmId, fact: Fact<TargetSeen>) -> Option<Fact<TargetSeen>> {
        self.0.insert(id, fact)
    }

    /// Forgets a target.
    pub fn remove(&mut self, id: &ArmId) -> Option<Fact<TargetSeen>> {
        self.0.remove(id)
    }

    /// All of them, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&ArmId, &mut Fact<TargetSeen>)> {
        self.0.iter_mut()
    }

    /// A target that was seen, to change it.
    pub fn seen_mut(&mut self, id: &ArmId) -> Option<&mut TargetSeen> {
        self.0.get_mut(id)?.seen_mut()
    }

    /// Those of one kind that were seen, to change them.
    pub fn seen_of_mut(&mut self, kind: TargetKind) -> impl Iterator<Item = &mut TargetSeen> {
        let of_kind = self.0.iter_mut().filter(move |(id, _)| kind_of(id) == Some(kind));
        of_kind.filter_map(|(_, fact)| fact.seen_mut())
    }
}

impl FromIterator<(ArmId, Fact<TargetSeen>)> for Targets {
    fn from_iter<I: IntoIterator<Item = (ArmId, Fact<TargetSeen>)>>(facts: I) -> Targets {
        Targets(facts.into_iter().collect())
    }
}

/// The private endpoints that each place needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededEndpoints<'a> {
    /// Target and group of each: by kind and id of the target, then by group.
    pub all: Vec<(&'a ArmId, EndpointGroup)>,
    /// `false` while it is not known of a target whether it has an optional group.
    pub complete: bool,
}

/// Which private endpoints each place needs for these targets: one for each group by which clients reach them. An optional group counts
/// once its target is seen to have it.
pub fn needed_endpoints<'a>(
    targets: impl IntoIterator<Item = (TargetKind, &'a ArmId)>,
    seen: &Targets,
) -> NeededEndpoints<'a> {
    let mut needed = NeededEndpoints {
        all: Vec::new(),
        complete: true,
    };
    for (kind, id) in targets {
        let fact = seen.get(id).seen();
        for group in EndpointGroup::iter().filter(|group| group.target() == kind) {
            match fact {
                Some(target) if !target.has_group(group) => {}
                None if group.is_optional() => needed.complete = false,
                Some(_) | None => needed.all.push((id, group)),
            }
        }
    }
    needed
}
