//! What Azure makes for a registry: its managed resource group, a storage account for each region, one container registry
//! with a replica for each region (azure.md §1.6). Pure changes of the world; names are hashes of the registry's id.

use std::time::Duration;

use serde_json::{Value, json};

use super::path::{name_of, subscription_of};
use crate::json::{digest, flag, guid, list, set, text};
use crate::targets::{region, registry_guid};
use crate::world::{World, key};

/// When everything that the seed holds came to be.
pub(crate) const BORN: &str = "2026-01-05T08:00:00.0000000Z";

/// Id of the managed resource group of a registry.
pub(crate) fn managed_group_id(registry_id: &str) -> String {
    let guid = guid(&["managed group", &key(registry_id)]);
    format!(
        "/subscriptions/{}/resourceGroups/azureml-rg-{}_{guid}",
        subscription_of(registry_id),
        name_of(registry_id).to_ascii_lowercase()
    )
}

/// Makes the managed resource group.
pub(crate) fn create_managed_group(world: &mut World, registry_id: &str, location: &str, now: Duration) {
    let id = managed_group_id(registry_id);
    let tags = world
        .get(registry_id)
        .map(|r| r.body["properties"]["managedResourceGroupTags"].clone());
    let body = json!({
        "id": id, "name": name_of(&id), "type": "Microsoft.Resources/resourceGroups", "location": location,
        "managedBy": registry_id, "tags": tags.filter(Value::is_object).unwrap_or(json!({})),
        "properties": {"provisioningState": "Succeeded"},
    });
    world.put(&id, body, now);
}

/// Makes the accounts of all regions that lack them and writes their ids into the registry's `regionDetails`. `access` is
/// the `publicNetworkAccess` that new accounts are born with.
pub(crate) fn fill_regions(world: &mut World, registry_id: &str, access: &str, now: Duration) -> Result<(), Value> {
    let Some(registry) = world.get(registry_id) else {
        return Ok(());
    };
    let mut details = list(&registry.body, "/properties/regionDetails").to_vec();
    let primary = text(&registry.body, "/location").to_owned();
    let acr = container_registry_id(registry_id);
    for detail in &mut details {
        let location = text(detail, "/location").to_owned();
        let storage = list(detail, "/storageAccountDetails").len().max(1);
        for index in 0..storage {
            fill_storage(world, registry_id, detail, (&location, index, access), now);
        }
        ensure_container_registry(world, registry_id, &primary, access, now);
        add_replica(world, &acr, &location, now)?;
        let account = json!({
            "armResourceId": {"resourceId": acr}, "acrAccountName": name_of(&acr), "acrAccountSku": "Premium",
        });
        set(detail, &["acrDetails"], json!([{ "systemCreatedAcrAccount": account }]));
    }
    world.edit(registry_id, now, |body| {
        set(body, &["properties", "regionDetails"], Value::Array(details))
    });
    for host in hosts(registry_id, world) {
        world.publish_name(&host);
    }
    world.publish(registry_id);
    world.publish(&acr);
    Ok(())
}

/// Hosts that all registries of a region share: they answer discovery and the older management API.
fn hosts(registry_id: &str, world: &World) -> Vec<String> {
    let Some(registry) = world.get(registry_id) else {
        return Vec::new();
    };
    crate::targets::regions_of(world, registry)
        .iter()
        .flat_map(|r| {
            [
                format!("{r}.api.azureml.ms"),
                format!("cert-{r}.experiments.azureml.net"),
            ]
        })
        .collect()
}

fn fill_storage(
    world: &mut World,
    registry_id: &str,
    detail: &mut Value,
    (location, index, access): (&str, usize, &str),
    now: Duration,
) {
    let pointer = format!("/storageAccountDetails/{index}/systemCreatedStorageAccount");
    let wanted = detail.pointer(&pointer).cloned().unwrap_or(json!({}));
    let hierarchical = flag(&wanted, "/storageAccountHnsEnabled");
    let id = storage_id(registry_id, location, index);
    if world.get(&id).is_none() {
        let body = storage_body(&id, location, hierarchical, access);
        world.put(&id, body, now);
        world.publish(&id);
    }
    let mut filled = wanted;
    set(&mut filled, &["armResourceId"], json!({ "resourceId": id }));
    set(&mut filled, &["storageAccountName"], json!(name_of(&id)));
    set(&mut filled, &["storageAccountHnsEnabled"], json!(hierarchical));
    if text(&filled, "/storageAccountType").is_empty() {
        set(&mut filled, &["storageAccountType"], json!("Standard_LRS"));
    }
    if filled.get("allowBlobPublicAccess").is_none_or(Value::is_null) {
        set(&mut filled, &["allowBlobPublicAccess"], json!(false));
    }
    let entry = json!({ "systemCreatedStorageAccount": filled });
    match detail.get_mut("storageAccountDetails").and_then(Value::as_array_mut) {
        Some(entries) if index < entries.len() => entries[index] = entry,
        Some(entries) => entries.push(entry),
        None => set(detail, &["storageAccountDetails"], json!([entry])),
    }
}

/// Id of a region's storage account.
fn storage_id(registry_id: &str, location: &str, index: usize) -> String {
    let name = account_name(registry_id, &format!("storage {} {index}", region(location)));
    format!(
        "{}/providers/Microsoft.Storage/storageAccounts/{name}",
        managed_group_id(registry_id)
    )
}

/// Id of the container registry.
pub(crate) fn container_registry_id(registry_id: &str) -> String {
    let name = account_name(registry_id, "container registry");
    format!(
        "{}/providers/Microsoft.ContainerRegistry/registries/{name}",
        managed_group_id(registry_id)
    )
}

/// A name that Azure takes for both kinds of accounts: up to 24 lower-case letters and digits.
fn account_name(registry_id: &str, what: &str) -> String {
    let readable: String = name_of(registry_id)
        .to_ascii_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .skip_while(char::is_ascii_digit)
        .take(11)
        .collect();
    format!(
        "{}{}",
        if readable.is_empty() { "aml" } else { &readable },
        &digest(&[what, &key(registry_id)])[..12]
    )
}

/// The body of a new storage account.
pub(crate) fn storage_body(id: &str, location: &str, hierarchical: bool, access: &str) -> Value {
    let name = name_of(id);
    let endpoint = |service: &str| format!("https://{name}.{service}.core.windows.net/");
    json!({
        "id": id, "name": name, "type": "Microsoft.Storage/storageAccounts", "location": location,
        "kind": "StorageV2", "sku": {"name": "Standard_LRS", "tier": "Standard"}, "tags": {},
        "properties": {
            "provisioningState": "Succeeded", "creationTime": BORN,
            "keyCreationTime": {"key1": BORN, "key2": BORN}, "publicNetworkAccess": access,
            "networkAcls": {
                "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "ipv6Rules": [],
                "resourceAccessRules": [], "defaultAction": "Allow",
            },
            "allowBlobPublicAccess": false, "allowSharedKeyAccess": true, "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": true, "isHnsEnabled": hierarchical, "primaryLocation": region(location),
            "statusOfPrimary": "available", "accessTier": "Hot",
            "primaryEndpoints": {
                "blob": endpoint("blob"), "dfs": endpoint("dfs"), "file": endpoint("file"), "queue": endpoint("queue"),
                "table": endpoint("table"), "web": format!("https://{name}.z6.web.core.windows.net/"),
            },
            "encryption": {
                "keySource": "Microsoft.Storage", "requireInfrastructureEncryption": false,
                "services": {
                    "blob": {"enabled": true, "keyType": "Account", "lastEnabledTime": BORN},
                    "file": {"enabled": true, "keyType": "Account", "lastEnabledTime": BORN},
                },
            },
            "allowCrossTenantReplication": false, "defaultToOAuthAuthentication": false, "dnsEndpointType": "Standard",
            "largeFileSharesState": "Disabled", "privateEndpointConnections": [],
        },
    })
}

/// The body of a new container registry.
pub(crate) fn container_registry_body(id: &str, location: &str, sku: &str, access: &str) -> Value {
    let name = name_of(id);
    json!({
        "id": id, "name": name, "type": "Microsoft.ContainerRegistry/registries", "location": location,
        "sku": {"name": sku, "tier": sku}, "tags": {},
        "systemData": {"createdAt": BORN, "createdByType": "Application", "lastModifiedAt": BORN,
            "lastModifiedByType": "Application"},
        "properties": {
            "loginServer": format!("{}.azurecr.io", name.to_ascii_lowercase()),
            "creationDate": BORN, "provisioningState": "Succeeded",
            "adminUserEnabled": false, "anonymousPullEnabled": false, "publicNetworkAccess": access,
            "networkRuleBypassOptions": "AzureServices", "networkRuleBypassAllowedForTasks": false,
            "networkRuleSet": {"defaultAction": "Allow", "ipRules": []},
            "dataEndpointEnabled": false, "dataEndpointHostNames": [],
            "policies": {
                "quarantinePolicy": {"status": "disabled"}, "trustPolicy": {"type": "Notary", "status": "disabled"},
                "retentionPolicy": {"days": 7, "lastUpdatedTime": BORN, "status": "disabled"}, "exportPolicy": {"status": "enabled"},
                "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
            },
            "encryption": {"status": "disabled"}, "zoneRedundancy": "Disabled",
            "roleAssignmentMode": "LegacyRegistryPermissions", "privateEndpointConnections": [],
        },
    })
}

fn ensure_container_registry(world: &mut World, registry_id: &str, location: &str, access: &str, now: Duration) {
    let id = container_registry_id(registry_id);
    if world.get(&id).is_none() {
        world.put(&id, container_registry_body(&id, location, "Premium", access), now);
    }
}

/// Adds a replica. Endpoints of the container registry need one more address each; where a subnet has none left the replica
/// is rolled back without naming the subnet (azure.md §3.2).
pub(crate) fn add_replica(world: &mut World, acr: &str, location: &str, now: Duration) -> Result<(), Value> {
    let name = region(location);
    let id = format!("{acr}/replications/{name}");
    if world.get(&id).is_some() {
        return Ok(());
    }
    let body = json!({
        "id": id, "name": name, "type": "Microsoft.ContainerRegistry/registries/replications", "location": location,
        "tags": {},
        "systemData": {"createdAt": BORN, "createdByType": "Application", "lastModifiedAt": BORN,
            "lastModifiedByType": "Application"},
        "properties": {"provisioningState": "Succeeded", "status": {"displayStatus": "Ready", "timestamp": BORN},
            "regionEndpointEnabled": true, "zoneRedundancy": "Disabled"},
    });
    world.put(&id, body, now);
    if let Err(error) = super::endpoint_addresses::extend(world, acr, now) {
        world.remove(&id, now);
        super::endpoint_addresses::shrink(world, acr, now);
        return Err(error);
    }
    refresh_data_endpoints(world, acr, now);
    world.publish(acr);
    Ok(())
}

/// Takes a replica away, with its address on each endpoint.
pub(crate) fn remove_replica(world: &mut World, acr: &str, location: &str, now: Duration) {
    world.remove(&format!("{acr}/replications/{}", region(location)), now);
    super::endpoint_addresses::shrink(world, acr, now);
    refresh_data_endpoints(world, acr, now);
    world.withdraw(acr);
    world.publish(acr);
}

/// Takes the accounts of a region away.
pub(crate) fn remove_region(world: &mut World, registry_id: &str, location: &str, now: Duration) {
    for index in 0.. {
        let id = storage_id(registry_id, location, index);
        if world.get(&id).is_none() {
            break;
        }
        remove_target(world, &id, now);
    }
    remove_replica(world, &container_registry_id(registry_id), location, now);
    world.edit(registry_id, now, |body| {
        if let Some(details) = body
            .pointer_mut("/properties/regionDetails")
            .and_then(Value::as_array_mut)
        {
            details.retain(|d| region(text(d, "/location")) != region(location));
        }
    });
    world.withdraw(registry_id);
    world.publish(registry_id);
}

/// Deletes a target; endpoints that pointed at it are `Disconnected`.
pub(crate) fn remove_target(world: &mut World, id: &str, now: Duration) {
    super::connections::disconnect_all(world, id, now);
    world.withdraw(id);
    world.remove_tree(id, now);
}

/// Names the data endpoints where dedicated ones are on.
pub(crate) fn refresh_data_endpoints(world: &mut World, acr: &str, now: Duration) {
    let names: Vec<String> = crate::targets::fqdns_of(world, acr)
        .into_iter()
        .filter(|n| n.member.starts_with("registry_data_"))
        .map(|n| n.fqdn)
        .collect();
    world.edit(acr, now, |body| {
        let names = if flag(body, "/properties/dataEndpointEnabled") {
            names
        } else {
            Vec::new()
        };
        set(body, &["properties", "dataEndpointHostNames"], json!(names));
    });
}

/// The answer of discovery for a registry (azure.md §2).
pub(crate) fn discovery(world: &World, registry_id: &str, tenant: &str) -> Value {
    let Some(registry) = world.get(registry_id) else {
        return Value::Null;
    };
    let regions = crate::targets::regions_of(world, registry);
    let primary = region(text(&registry.body, "/location"));
    let guid = registry_guid(&registry.id);
    let host = |r: &str| format!("https://{guid}.registry.{r}.api.azureml.ms");
    let others = world.switches.discovery_hosts == crate::world::DiscoveryHosts::Others;
    let provider = match others {
        true => format!("https://cert-{primary}.experiments.azureml.net"),
        false => host(&primary),
    };
    let fqdns: serde_json::Map<String, Value> = regions
        .iter()
        .map(|r| (r.clone(), json!({ "uri": host(r), "isPrimary": *r == primary })))
        .collect();
    json!({
        "registryName": text(&registry.body, "/name"), "tenantId": tenant, "primaryRegion": primary, "regions": regions,
        "subscriptionId": subscription_of(&registry.id),
        "resourceGroup": registry.id.split('/').nth(4).unwrap_or(""),
        // Azure ends this one in a slash, and no other.
        "workspaceName": text(&registry.body, "/name"), "primaryRegionResourceProviderUri": format!("{provider}/"),
        "registryFqdns": fqdns,
    })
}
