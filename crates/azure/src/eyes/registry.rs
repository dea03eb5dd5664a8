//! The registry and everything that hangs on it: what it reads as (azure.md §1.2), then what stands behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sreg_domain::desired::Desired;
use sreg_domain::rights::Permissions;
use sreg_domain::seen::{
    ContainerRegistrySeen, DenyAssignment, EndpointSeen, Fact, LockSeen, Obstacle, PublicClient, RegionSeen,
    RegistrySeen, StorageSeen,
};
use sreg_domain::{ArmId, EndpointGroup, Fqdn, Known, Location};

use super::{
    Look, discovery, each, endpoints, locks, obstacles, perimeters, policies, public_clients, rights, targets,
    understood, unseen,
};
use crate::json;

/// How long one account may take to answer where public access is to be opened.
const AN_ACCOUNT: Duration = Duration::from_secs(8);

/// The registry, what Azure made behind it, and our endpoints on all of them.
pub(super) struct Core {
    pub(super) registry: Fact<RegistrySeen>,
    pub(super) storage: BTreeMap<ArmId, Fact<StorageSeen>>,
    pub(super) container_registries: BTreeMap<ArmId, Fact<ContainerRegistrySeen>>,
    pub(super) discovery: Fact<Vec<Fqdn>>,
    pub(super) deny_assignments: Fact<Vec<DenyAssignment>>,
    pub(super) endpoints: BTreeMap<ArmId, Fact<EndpointSeen>>,
    pub(super) accounts_left: BTreeMap<ArmId, Fact<()>>,
    pub(super) locks: BTreeMap<ArmId, Fact<Vec<LockSeen>>>,
    pub(super) recent_public_clients: Fact<Vec<PublicClient>>,
    pub(super) reopening_obstacles: Fact<Vec<Obstacle>>,
    pub(super) rights: BTreeMap<ArmId, Fact<Permissions>>,
}

/// Reads the registry, then what it names.
pub(super) async fn with_everything_behind(
    access: &Look<'_>,
    look: &Look<'_>,
    desired: &Desired,
    known: &Known,
) -> Core {
    let body = access.read(&desired.registry).await;
    let registry = match &body {
        Ok(body) => {
            let seen = registry(&desired.registry, body).map(|seen| seen.as_far_as_granted(&desired.grants));
            understood(&desired.registry, seen)
        }
        Err(error) => unseen(error.clone()),
    };
    let Fact::Seen(seen) = &registry else {
        let because = "the registry was not seen";
        let (endpoints, accounts_left, mut rights) = futures::join!(
            endpoints::all(look, desired, &[], BTreeSet::new(), &known.endpoints),
            left(access, known, registry.is_absent()),
            rights::where_we_write(look, desired, None),
        );
        let locks = locks::on(look, desired, &endpoints, &BTreeSet::new()).await;
        rights.extend(rights::to_remove(look, removable(&locks), &rights).await);
        return Core {
            storage: BTreeMap::new(),
            container_registries: BTreeMap::new(),
            discovery: Fact::not_read(because),
            deny_assignments: Fact::not_read(because),
            locks,
            endpoints,
            accounts_left,
            recent_public_clients: public_clients::not_asked_or(desired, because),
            reopening_obstacles: Fact::not_read(because),
            rights,
            registry,
        };
    };
    let discovery_url = body
        .as_ref()
        .ok()
        .and_then(|b| json::string(b, "/properties/discoveryUrl"));
    let storage_ids: BTreeSet<ArmId> = seen
        .regions
        .iter()
        .flat_map(|r| r.storage.iter().flatten().cloned())
        .collect();
    let acr_ids: BTreeSet<ArmId> = seen
        .regions
        .iter()
        .flat_map(|r| r.container_registries.iter().flatten().cloned())
        .collect();
    let targets = async {
        // One account that hangs does not keep the others closed.
        let accounts = if access.urgent {
            access.no_longer_than(AN_ACCOUNT)
        } else {
            access.no_longer_than(Duration::MAX)
        };
        let (storage, acrs) = futures::join!(
            each(storage_ids.iter().cloned(), |id| targets::storage(&accounts, id)),
            each(acr_ids.iter().cloned(), |id| targets::container_registry(
                &accounts, look, id
            )),
        );
        let wanted = wanted_targets(&desired.registry, &storage, &acrs);
        let connected = seen
            .private_endpoints
            .iter()
            .chain(
                storage
                    .values()
                    .filter_map(Fact::seen)
                    .flat_map(|s| &s.private_endpoints),
            )
            .chain(acrs.values().filter_map(Fact::seen).flat_map(|a| &a.private_endpoints));
        let endpoints = endpoints::all(look, desired, &wanted, connected.cloned().collect(), &known.endpoints).await;
        let locks = locks::on(look, desired, &endpoints, &endpoints::ids(desired, &wanted)).await;
        (storage, acrs, endpoints, locks)
    };
    let all_ids: Vec<ArmId> = storage_ids.iter().chain(&acr_ids).cloned().collect();
    let managed = seen.managed_resource_group.as_ref();
    let (
        (storage, acrs, endpoints, mut locks),
        perimeters,
        over_targets,
        discovery,
        deny,
        assigned,
        clients,
        mut rights,
    ) = futures::join!(
        targets,
        perimeters::around(look, storage_ids.iter().cloned()),
        locks::over(look, std::iter::once(&desired.registry).chain(&all_ids).cloned()),
        discovery::hosts(look, desired, discovery_url.as_deref()),
        obstacles::deny_assignments(look, managed),
        policies::assigned(look, &desired.registry, managed),
        public_clients::recent(look, desired, &all_ids),
        rights::where_we_write(look, desired, Some(seen)),
    );
    rights.extend(rights::to_remove(look, removable(&locks), &rights).await);
    locks.extend(over_targets);
    let opened = policies::targets(seen, &storage, &acrs);
    let against = assigned.map(|assigned| policies::against(&assigned, &opened, Timestamp::now()));
    let reopening_obstacles = obstacles::together(against, perimeters, &acrs);
    Core {
        storage,
        container_registries: acrs,
        discovery,
        deny_assignments: deny,
        endpoints,
        accounts_left: BTreeMap::new(),
        locks,
        recent_public_clients: clients,
        reopening_obstacles,
        rights,
        registry,
    }
}

/// Endpoints that may be about to be removed: those whose locks were looked for.
fn removable(locks: &BTreeMap<ArmId, Fact<Vec<LockSeen>>>) -> impl Iterator<Item = &ArmId> {
    locks.keys().filter(|id| id.kind() == endpoints::LOWER_KIND)
}

/// What the registry named, where it is not found itself.
async fn left(look: &Look<'_>, known: &Known, absent: bool) -> BTreeMap<ArmId, Fact<()>> {
    const KINDS: [&str; 2] = [
        "microsoft.storage/storageaccounts",
        "microsoft.containerregistry/registries",
    ];
    let accounts = known.accounts.iter();
    let asked = accounts
        .filter(|id| absent && KINDS.contains(&id.kind().as_str()))
        .cloned();
    each(asked, |id| async move { look.fact(&id, |_| Ok(())).await }).await
}

/// What gets an endpoint at each place: the registry, each storage account (dfs where the namespace is hierarchical), the
/// container registry.
pub(super) fn wanted_targets(
    registry: &ArmId,
    storage: &BTreeMap<ArmId, Fact<StorageSeen>>,
    acrs: &BTreeMap<ArmId, Fact<ContainerRegistrySeen>>,
) -> Vec<(ArmId, EndpointGroup)> {
    let mut wanted = vec![(registry.clone(), EndpointGroup::AmlRegistry)];
    for (id, account) in storage {
        wanted.push((id.clone(), EndpointGroup::Blob));
        if account.seen().is_some_and(|a| a.hierarchical_namespace) {
            wanted.push((id.clone(), EndpointGroup::Dfs));
        }
    }
    wanted.extend(acrs.keys().map(|id| (id.clone(), EndpointGroup::ContainerRegistry)));
    wanted
}

/// A registry's body, understood.
pub(super) fn registry(asked: &ArmId, body: &Value) -> Result<RegistrySeen, &'static str> {
    if !body["properties"].is_object() {
        return Err("the registry has no properties");
    }
    let location = json::text(body, "/location").ok_or("the registry has no location")?;
    Ok(RegistrySeen {
        id: json::id(body, "/id").unwrap_or_else(|| asked.clone()),
        location: location.into(),
        public_network_access: json::word(body, "/properties/publicNetworkAccess"),
        tags: json::tags(body),
        managed_resource_group: json::id(body, "/properties/managedResourceGroup/resourceId"),
        regions: json::list(body, "/properties/regionDetails")
            .iter()
            .map(region)
            .collect::<Result<_, _>>()?,
        ungranted_accounts: Vec::new(),
        assigned_identities: json::list(body, "/properties/managedResourceGroupSettings/assignedIdentities")
            .iter()
            .filter_map(|i| json::string(i, "/principalId"))
            .collect(),
        private_endpoints: endpoints::connected(body),
        digest: json::digest(body),
    })
}

fn region(region: &Value) -> Result<RegionSeen, &'static str> {
    let location: Location = json::text(region, "/location")
        .ok_or("a region of the registry has no location")?
        .into();
    // User-created accounts are not creatable any more but may still be read (§1.3).
    let storage = accounts(
        region,
        "/storageAccountDetails",
        ["systemCreatedStorageAccount", "userCreatedStorageAccount"],
        "microsoft.storage/storageaccounts",
    )?;
    let container_registries = accounts(
        region,
        "/acrDetails",
        ["systemCreatedAcrAccount", "userCreatedAcrAccount"],
        "microsoft.containerregistry/registries",
    )?;
    Ok(RegionSeen {
        location,
        storage,
        container_registries,
    })
}

/// One id per account; `None` while Azure has not filled it in.
fn accounts(region: &Value, pointer: &str, fields: [&str; 2], kind: &str) -> Result<Vec<Option<ArmId>>, &'static str> {
    let ids = json::list(region, pointer).iter().map(|entry| {
        let account = fields
            .iter()
            .find_map(|field| entry.get(*field).filter(|a| a.is_object()));
        match account
            .and_then(|a| json::text(a, "/armResourceId/resourceId"))
            .filter(|id| !id.is_empty())
        {
            Some(id) => id
                .parse::<ArmId>()
                .ok()
                .filter(|id| id.kind() == kind)
                .map(Some)
                .ok_or("an account of the registry has an id that is none"),
            None => Ok(None),
        }
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/r";

    #[test]
    fn a_registry_in_creation_has_regions_without_ids() {
        let body = json!({"id": ID, "location": "West Europe", "properties": {"regionDetails": [
            {"location": "westeurope", "storageAccountDetails": [{"systemCreatedStorageAccount": {"armResourceId": null}}],
             "acrDetails": [{"systemCreatedAcrAccount": {"armResourceId": {"resourceId": "/subscriptions/s/resourceGroups/m/providers/Microsoft.ContainerRegistry/registries/c"}}}]}]}});
        let seen = registry(&ID.parse().unwrap(), &body).unwrap();
        assert_eq!(seen.location.as_str(), "westeurope");
        assert_eq!(seen.regions[0].storage, [None]);
        assert_eq!(seen.regions[0].container_registries[0].as_ref().unwrap().name(), "c");
        assert_eq!(seen.public_network_access, None);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let id: ArmId = ID.parse().unwrap();
        for body in [
            json!({}),
            json!({"location": "x"}),
            json!({"location": 7, "properties": {}}),
            json!({"location": "x", "properties": {"regionDetails": [{}]}}),
            json!({"location": "x", "properties": {"regionDetails": [{"location": "y", "acrDetails": [{"systemCreatedAcrAccount": {"armResourceId": {"resourceId": "../x"}}}]}]}}),
        ] {
            assert!(registry(&id, &body).is_err(), "{body}");
        }
    }
}
