//! The registry and everything that hangs on it: what it reads as (azure.md §1.2), then what stands behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sreg_domain::desired::Desired;
use sreg_domain::rights::Permissions;
use sreg_domain::seen::{
    DenyAssignment, EndpointSeen, Fact, LockSeen, Obstacle, PublicClient, RegionSeen, RegistryDetails, TargetDetails,
    TargetSeen, Targets,
};
use sreg_domain::target::kind_of;
use sreg_domain::{
    ArmId, CallFailure, Cause, EndpointGroup, Fqdn, Known, Location, PublicNetworkAccess, TargetKind, needed_endpoints,
};

use super::{
    Look, discovery, each, endpoints, locks, obstacles, perimeters, policies, public_clients, rights, targets,
    understood, unseen,
};
use crate::json;

/// How long one account may take to answer where public access is to be opened.
const AN_ACCOUNT: Duration = Duration::from_secs(8);

/// The registry, what Azure made behind it, and our endpoints on all of them.
pub(super) struct Core {
    pub(super) targets: Targets,
    pub(super) discovery: Fact<Vec<Fqdn>>,
    pub(super) deny_assignments: BTreeMap<ArmId, Fact<Vec<DenyAssignment>>>,
    pub(super) endpoints: BTreeMap<ArmId, Fact<EndpointSeen>>,
    pub(super) accounts_left: BTreeMap<ArmId, Fact<()>>,
    pub(super) locks: BTreeMap<ArmId, Fact<Vec<LockSeen>>>,
    pub(super) recent_public_clients: Fact<Vec<PublicClient>>,
    pub(super) reopening_obstacles: Fact<Vec<Obstacle>>,
    pub(super) removal_obstacles: BTreeMap<ArmId, Fact<Vec<Obstacle>>>,
    pub(super) closing_obstacles: BTreeMap<ArmId, Vec<Obstacle>>,
    pub(super) rights: BTreeMap<ArmId, Fact<Permissions>>,
}

/// Reads the registry, then what it names.
pub(super) async fn with_everything_behind(
    access: &Look<'_>,
    beside: &Look<'_>,
    look: &Look<'_>,
    desired: &Desired,
    known: &Known,
) -> Core {
    let (body, accounts) = itself_or_accounts(access, look, desired, known).await;
    let registry = match &body {
        Ok(body) => {
            let seen = details(body).map(|details| details.as_far_as_granted(&desired.grants));
            understood(
                &desired.registry,
                seen.map(|details| registry(&desired.registry, body, details)),
            )
        }
        Err(error) => unseen(error.clone()),
    };
    let Some(seen) = registry.seen().and_then(TargetSeen::registry) else {
        let because = "the registry was not seen";
        let (endpoints, accounts_left, mut rights) = futures::join!(
            endpoints::all(look, desired, &[], BTreeSet::new(), &known.endpoints),
            left(access, known, registry.is_absent()),
            rights::where_we_write(look, desired, None),
        );
        let locks = locks::on(look, desired, &endpoints, &BTreeSet::new()).await;
        rights.extend(rights::to_remove(look, removable(&locks), &rights).await);
        let groups = endpoint_groups(desired, &locks);
        let removal_obstacles = policies::against_removal(look, leaving(&endpoints, &locks)).await;
        return Core {
            targets: std::iter::once((desired.registry.clone(), registry))
                .chain(accounts)
                .collect(),
            discovery: Fact::not_read(because),
            deny_assignments: obstacles::deny_assignments(look, groups.into_iter()).await,
            locks,
            endpoints,
            accounts_left,
            recent_public_clients: public_clients::not_asked_or(desired, because),
            reopening_obstacles: Fact::not_read(because),
            removal_obstacles,
            closing_obstacles: BTreeMap::new(),
            rights,
        };
    };
    let discovery_url = body
        .as_ref()
        .ok()
        .and_then(|b| json::string(b, "/properties/discoveryUrl"));
    let accounts = seen.distinct_accounts();
    let ids = |of: TargetKind| {
        accounts
            .iter()
            .filter(move |(kind, _)| *kind == of)
            .map(|(_, id)| id.clone())
    };
    let targets = async {
        // One account that hangs does not keep the others closed.
        let patient = if access.urgent {
            access.no_longer_than(AN_ACCOUNT)
        } else {
            access.no_longer_than(Duration::MAX)
        };
        let ids = accounts.iter().map(|(_, id)| id.clone());
        let read = each(ids, |id| targets::account(&patient, look, id)).await;
        let itself = (desired.registry.clone(), registry.clone());
        let properties = read
            .iter()
            .filter_map(|(id, fact)| Some((id.clone(), fact.seen()?.1.clone())));
        let properties: BTreeMap<ArmId, Value> = properties.collect();
        let accounts = read.into_iter().map(|(id, fact)| (id, fact.map(|(seen, _)| seen)));
        let targets: Targets = std::iter::once(itself).chain(accounts).collect();
        let wanted = wanted_endpoints(desired, &targets);
        let connected = targets.seen().flat_map(|target| &target.private_endpoints);
        let endpoints = endpoints::all(look, desired, &wanted, connected.cloned().collect(), &known.endpoints).await;
        let zones = endpoints::zones_to_be_written(desired, &wanted, &endpoints);
        let ids = endpoints::ids(desired, &wanted);
        let (mut locks, over_zones) = futures::join!(
            locks::on(look, desired, &endpoints, &ids),
            locks::over(look, zones.iter().cloned()),
        );
        for (zone, fact) in over_zones {
            // Of what holds records of an endpoint that is to go, "not found" may be the truth.
            locks.entry(zone).or_insert(fact);
        }
        (targets, properties, endpoints, locks, zones)
    };
    let all_ids: Vec<ArmId> = accounts.iter().map(|(_, id)| id.clone()).collect();
    // Shared accounts may stand in other groups, of other subscriptions: each has policies of its own.
    let groups: BTreeSet<ArmId> = all_ids.iter().filter_map(ArmId::resource_group_id).collect();
    let groups = groups.into_iter().chain(seen.managed_resource_group.clone()).collect();
    let (read, perimeters, over_targets, discovery, mut deny, over_accounts, assigned, clients, mut rights) = futures::join!(
        targets,
        perimeters::around(look, ids(TargetKind::Storage)),
        locks::over(beside, std::iter::once(&desired.registry).chain(&all_ids).cloned()),
        discovery::hosts(look, desired, discovery_url.as_deref()),
        obstacles::deny_assignments(beside, std::iter::once(desired.registry.clone())),
        obstacles::over_accounts(beside, &all_ids, seen.managed_resource_group.as_ref()),
        policies::assigned(beside, &desired.registry, &groups),
        public_clients::recent(look, desired, &all_ids),
        rights::where_we_write(look, desired, Some(seen)),
    );
    let (targets, mut properties, endpoints, mut locks, zones) = read;
    let of_registry = body.as_ref().ok().map(|body| body["properties"].clone());
    properties.extend(of_registry.map(|properties| (desired.registry.clone(), properties)));
    let groups = endpoint_groups(desired, &locks);
    let (to_remove, to_put_back, over_endpoints, removal_obstacles) = futures::join!(
        rights::to_remove(look, removable(&locks), &rights),
        rights::to_put_back(look, desired, &targets),
        obstacles::deny_assignments(look, groups.into_iter().chain(zones)),
        policies::against_removal(look, leaving(&endpoints, &locks)),
    );
    rights.extend(to_remove);
    for (subnet, fact) in to_put_back {
        // What a network allows is not all that its subnet does: where the subnet itself was asked, that counts.
        rights.entry(subnet).or_insert(fact);
    }
    deny.extend(over_accounts.into_iter().chain(over_endpoints));
    locks.extend(over_targets);
    let opened = policies::targets(&targets);
    let against_closing = assigned
        .seen()
        .map(|all| policies::against_closing(all, &opened, Timestamp::now()));
    let whole = policies::whole(&opened, &properties);
    let against = assigned.map(|assigned| policies::against(&assigned, &opened, &whole, Timestamp::now()));
    let reopening_obstacles = obstacles::together(against, perimeters, &targets);
    Core {
        targets,
        discovery,
        deny_assignments: deny,
        endpoints,
        accounts_left: BTreeMap::new(),
        locks,
        recent_public_clients: clients,
        reopening_obstacles,
        removal_obstacles,
        closing_obstacles: against_closing.unwrap_or_default(),
        rights,
    }
}

/// The registry's body. Where it does not answer in the time that an account has, and public access is to be opened, also the accounts
/// that the snapshot holds: whoever waits for those does not wait for the registry.
async fn itself_or_accounts(
    access: &Look<'_>,
    look: &Look<'_>,
    desired: &Desired,
    known: &Known,
) -> (Result<Value, CallFailure>, Vec<(ArmId, Fact<TargetSeen>)>) {
    if !access.urgent || known.in_snapshot.is_empty() {
        return (access.read(&desired.registry).await, Vec::new());
    }
    let body = access.no_longer_than(AN_ACCOUNT).read(&desired.registry).await;
    let silent = |error: &CallFailure| matches!(error.cause, Cause::Unreachable | Cause::Throttled);
    if !body.as_ref().is_err_and(silent) {
        return (body, Vec::new());
    }
    let patient = access.no_longer_than(AN_ACCOUNT);
    let read = each(known.in_snapshot.iter().cloned(), |id| {
        targets::account(&patient, look, id)
    })
    .await;
    let accounts = read.into_iter().map(|(id, fact)| (id, fact.map(|(seen, _)| seen)));
    (body, accounts.collect())
}

/// Endpoints that may be about to be removed: those whose locks were looked for.
fn removable(locks: &BTreeMap<ArmId, Fact<Vec<LockSeen>>>) -> impl Iterator<Item = &ArmId> {
    locks.keys().filter(|id| id.kind() == endpoints::LOWER_KIND)
}

fn leaving(
    endpoints: &BTreeMap<ArmId, Fact<EndpointSeen>>,
    locks: &BTreeMap<ArmId, Fact<Vec<LockSeen>>>,
) -> Vec<(ArmId, Location)> {
    let there = removable(locks).filter_map(|id| Some((id.clone(), endpoints.get(id)?.seen()?.location.clone())));
    there.collect()
}

/// Resource groups in which endpoints are made, or may be about to be removed.
fn endpoint_groups(desired: &Desired, locks: &BTreeMap<ArmId, Fact<Vec<LockSeen>>>) -> BTreeSet<ArmId> {
    let wanted = desired.endpoints().iter().map(|place| place.resource_group.clone());
    let leaving = removable(locks).filter_map(ArmId::resource_group_id);
    wanted.chain(leaving).collect()
}

/// What the registry named, where it is not found itself.
async fn left(look: &Look<'_>, known: &Known, absent: bool) -> BTreeMap<ArmId, Fact<()>> {
    let is_account = |id: &ArmId| kind_of(id).is_some_and(|kind| kind != TargetKind::Registry);
    let accounts = known.accounts.iter().filter(|id| absent && is_account(id));
    let asked = accounts.cloned();
    each(asked, |id| async move { look.fact(&id, |_| Ok(())).await }).await
}

/// What gets an endpoint at each place, by what was seen of the targets.
pub(super) fn wanted_endpoints(desired: &Desired, targets: &Targets) -> Vec<(ArmId, EndpointGroup)> {
    let details = targets.registry_details();
    let accounts = details.map(RegistryDetails::distinct_accounts).unwrap_or_default();
    let accounts = accounts.iter().map(|(kind, id)| (*kind, id));
    let all = std::iter::once((TargetKind::Registry, &desired.registry)).chain(accounts);
    let needed = needed_endpoints(all, targets).all.into_iter();
    needed.map(|(id, group)| (id.clone(), group)).collect()
}

/// A registry's body, with its details understood.
pub(super) fn registry(asked: &ArmId, body: &Value, details: RegistryDetails) -> TargetSeen {
    let access: Option<PublicNetworkAccess> = json::word(body, "/properties/publicNetworkAccess");
    TargetSeen {
        id: json::id(body, "/id").unwrap_or_else(|| asked.clone()),
        // Omitted means open, as on every Azure resource older than the property.
        network: json!({"publicNetworkAccess": access.as_ref().unwrap_or(&PublicNetworkAccess::Enabled)}),
        public_network_access: access,
        default_action: None,
        bypass: None,
        ip_rules: Vec::new(),
        virtual_network_rules: Vec::new(),
        resource_access_rules: Vec::new(),
        names: BTreeMap::new(),
        provisioning_state: None,
        private_endpoints: endpoints::connected(body),
        digest: json::digest(body),
        details: TargetDetails::Registry(details),
    }
}

/// What only a registry has.
fn details(body: &Value) -> Result<RegistryDetails, &'static str> {
    if !body["properties"].is_object() {
        return Err("the registry has no properties");
    }
    let location = json::text(body, "/location").ok_or("the registry has no location")?;
    Ok(RegistryDetails {
        location: location.into(),
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
    })
}

/// Where a region lists its accounts of each kind. User-created accounts are not creatable any more but may still be read (§1.3).
const LISTS: [(TargetKind, &str, [&str; 2]); 2] = [
    (
        TargetKind::Storage,
        "/storageAccountDetails",
        ["systemCreatedStorageAccount", "userCreatedStorageAccount"],
    ),
    (
        TargetKind::ContainerRegistry,
        "/acrDetails",
        ["systemCreatedAcrAccount", "userCreatedAcrAccount"],
    ),
];

fn region(region: &Value) -> Result<RegionSeen, &'static str> {
    let location = json::text(region, "/location").ok_or("a region of the registry has no location")?;
    let mut seen = RegionSeen {
        location: location.into(),
        accounts: BTreeMap::new(),
    };
    for (kind, pointer, fields) in LISTS {
        seen.accounts.insert(kind, accounts(region, pointer, fields, kind)?);
    }
    Ok(seen)
}

/// One id per account; `None` while Azure has not filled it in.
fn accounts(
    region: &Value,
    pointer: &str,
    fields: [&str; 2],
    kind: TargetKind,
) -> Result<Vec<Option<ArmId>>, &'static str> {
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
                .filter(|id| kind_of(id) == Some(kind))
                .map(Some)
                .ok_or("an account of the registry has an id that is none"),
            None => Ok(None),
        }
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/r";

    #[test]
    fn a_registry_in_creation_has_regions_without_ids() {
        let body = json!({"id": ID, "location": "West Europe", "properties": {"regionDetails": [
            {"location": "westeurope", "storageAccountDetails": [{"systemCreatedStorageAccount": {"armResourceId": null}}],
             "acrDetails": [{"systemCreatedAcrAccount": {"armResourceId": {"resourceId": "/subscriptions/s/resourceGroups/m/providers/Microsoft.ContainerRegistry/registries/c"}}}]}]}});
        let details = details(&body).unwrap();
        assert_eq!(details.location.as_str(), "westeurope");
        let region = &details.regions[0];
        assert_eq!(region.of(TargetKind::Storage), [None]);
        assert_eq!(
            region.of(TargetKind::ContainerRegistry)[0].as_ref().unwrap().name(),
            "c"
        );
        let seen = registry(&ID.parse().unwrap(), &body, details);
        assert_eq!(seen.public_network_access, None);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for body in [
            json!({}),
            json!({"location": "x"}),
            json!({"location": 7, "properties": {}}),
            json!({"location": "x", "properties": {"regionDetails": [{}]}}),
            json!({"location": "x", "properties": {"regionDetails": [{"location": "y", "acrDetails": [{"systemCreatedAcrAccount": {"armResourceId": {"resourceId": "../x"}}}]}]}}),
        ] {
            assert!(details(&body).is_err(), "{body}");
        }
    }
}
