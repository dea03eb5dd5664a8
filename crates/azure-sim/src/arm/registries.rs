//! Machine learning registries (azure.md §1): the PUT that answers against its own contract, the PATCH that cannot close, the
//! cascade to the managed accounts that may or may not happen.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::path::name_of;
use super::registry_accounts as accounts;
use crate::json::{guid, list, set, text};
use crate::latency::Work;
use crate::operations::Last;
use crate::targets::{CONTAINER_REGISTRY, STORAGE, region};
use crate::world::{Cascade, FewerRegions, PatchPublicAccess, RegistryPut, Switches, World, key};

/// Fields of `properties` outside the contract's core that a PUT may leave out (U9).
const EXTRAS: &[&str] = &[
    "managedResourceGroupSettings",
    "managedResourceGroupTags",
    "syndicatedRegistries",
    "intellectualPropertyPublisher",
];

/// Answers requests for registries.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    match call.method.as_str() {
        "GET" => read(call),
        "PUT" => put(call),
        "PATCH" => patch(call),
        "DELETE" => delete(call),
        _ => Err(call.no_such_method()),
    }
}

/// For a while after a write every other read shows what was before (U26).
fn read(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    if !call.path.is_collection() && call.control.every_other_read() {
        let window = Duration::from_secs(call.world.switches.stale_reads_seconds);
        let earlier = call
            .world
            .earlier_bodies
            .get(&key(&call.path.text))
            .map_or(&[][..], Vec::as_slice);
        if let Some((_, body)) = earlier
            .iter()
            .find(|(until, _)| call.now < until.saturating_add(window))
        {
            return Ok(JsonResponse::new(200, body.clone()));
        }
    }
    call.read()
}

fn put(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let asked = call.body()?;
    check_body(call, &asked)?;
    match call.world.get(&id).map(|r| r.body.clone()) {
        Some(before) => update(call, &id, &before, &asked),
        None => create(call, &id, &asked),
    }
}

fn user_error(message: impl Into<String>) -> ArmError {
    ArmError::new(400, "UserError", message)
}

fn check_body(call: &Call<'_>, asked: &Value) -> Result<(), ArmError> {
    if text(asked, "/location").is_empty() {
        return Err(ArmError::new(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    }
    let access = asked.pointer("/properties/publicNetworkAccess");
    if access.is_some_and(|a| !matches!(a.as_str(), Some("Enabled" | "Disabled"))) {
        return Err(user_error("publicNetworkAccess is either Enabled or Disabled."));
    }
    let kind = text(asked, "/identity/type");
    if asked.get("identity").is_some() && !kind.contains("SystemAssigned") {
        return Err(user_error("A registry needs a system-assigned identity."));
    }
    for detail in list(asked, "/properties/regionDetails") {
        for account in list(detail, "/storageAccountDetails")
            .iter()
            .chain(list(detail, "/acrDetails"))
        {
            if account.get("userCreatedStorageAccount").is_some_and(|a| !a.is_null())
                || account.get("userCreatedAcrAccount").is_some_and(|a| !a.is_null())
            {
                return Err(user_error(
                    "Creating registry using an existing storage account is not permitted",
                ));
            }
            let made = account
                .get("systemCreatedStorageAccount")
                .or(account.get("systemCreatedAcrAccount"));
            if made
                .and_then(|m| m.get("armResourceId"))
                .is_some_and(|i| text(i, "/resourceId").is_empty())
            {
                return Err(user_error("armResourceId must not be empty."));
            }
        }
    }
    let name = call.path.name();
    let legal = (2..=33).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if legal {
        Ok(())
    } else {
        Err(user_error(format!("The registry name '{name}' is not valid.")))
    }
}

fn create(call: &mut Call<'_>, id: &str, asked: &Value) -> Result<JsonResponse, ArmError> {
    if text(asked, "/identity/type").is_empty() {
        return Err(user_error("A registry needs a system-assigned identity."));
    }
    let body = new_body(id, asked, &call.control.tenant);
    call.put(id, body);
    let registry = id.to_owned();
    let effect = move |world: &mut World, at: Duration| materialise(world, &registry, at);
    answer_put(call, id, 201, Work::RegistryCreation, effect)
}

/// The body of a new registry, its accounts not yet made.
pub(crate) fn new_body(id: &str, asked: &Value, tenant: &str) -> Value {
    let name = name_of(id);
    let location = text(asked, "/location");
    let primary = region(location);
    let mut regions = list(asked, "/properties/regionDetails").to_vec();
    if !regions.iter().any(|r| region(text(r, "/location")) == primary) {
        regions.insert(0, json!({ "location": location }));
    }
    let settings = asked
        .pointer("/properties/managedResourceGroupSettings")
        .filter(|s| s.is_object());
    let access = asked
        .pointer("/properties/publicNetworkAccess")
        .cloned()
        .unwrap_or(json!("Enabled"));
    let tags = asked
        .get("tags")
        .filter(|t| t.is_object())
        .cloned()
        .unwrap_or(json!({}));
    json!({
        "id": id, "name": name, "type": "Microsoft.MachineLearningServices/registries", "location": location,
        "kind": null, "sku": {"name": "Basic", "tier": "Basic"}, "tags": tags,
        "identity": {"type": "SystemAssigned", "principalId": guid(&["registry identity", &key(id)]), "tenantId": tenant},
        "systemData": {"createdAt": "2026-01-05T08:00:00.0000000+00:00", "createdByType": "Application",
            "lastModifiedAt": "2026-01-05T08:00:00.0000000+00:00", "lastModifiedByType": "Application"},
        "properties": {
            "publicNetworkAccess": access,
            "discoveryUrl": format!("https://{primary}.api.azureml.ms/registrymanagement/v1.0/registries/{name}/discovery"),
            "mlFlowRegistryUri": format!("azureml://{primary}.api.azureml.ms/mlflow/v1.0{id}"),
            "intellectualPropertyPublisher": asked.pointer("/properties/intellectualPropertyPublisher"),
            "managedResourceGroup": {"resourceId": accounts::managed_group_id(id)},
            "managedResourceGroupSettings": settings.cloned().unwrap_or(json!({ "assignedIdentities": [] })),
            "managedResourceGroupTags": asked.pointer("/properties/managedResourceGroupTags").cloned().unwrap_or(tags.clone()),
            "syndicatedRegistries": [],
            "regionDetails": regions,
            "registryPrivateEndpointConnections": [],
        },
    })
}

/// Makes what a registry needs: its managed resource group and the accounts of its regions.
pub(crate) fn materialise(world: &mut World, id: &str, now: Duration) -> Result<(), Value> {
    let Some(registry) = world.get(id) else { return Ok(()) };
    let location = text(&registry.body, "/location").to_owned();
    let closed = text(&registry.body, "/properties/publicNetworkAccess") == "Disabled";
    let access = if closed && world.switches.accounts_born_closed {
        "Disabled"
    } else {
        "Enabled"
    };
    accounts::create_managed_group(world, id, &location, now);
    accounts::fill_regions(world, id, access, now)
}

fn update(call: &mut Call<'_>, id: &str, before: &Value, asked: &Value) -> Result<JsonResponse, ArmError> {
    if region(text(asked, "/location")) != region(text(before, "/location")) {
        return Err(ArmError::new(
            409,
            "InvalidResourceLocation",
            "The primary region of a registry cannot be changed.",
        ));
    }
    let regions = wanted_regions(before, asked, call.world.switches.fewer_regions)?;
    let (registry, asked) = (id.to_owned(), asked.clone());
    let effect = move |world: &mut World, at: Duration| apply(world, &registry, &asked, &regions, at);
    answer_put(call, id, 200, Work::RegistryChange, effect)
}

/// The regions that the registry has afterwards; details of present ones are the service's.
fn wanted_regions(before: &Value, asked: &Value, fewer: FewerRegions) -> Result<Vec<Value>, ArmError> {
    let present = list(before, "/properties/regionDetails");
    let Some(wanted) = asked.pointer("/properties/regionDetails").and_then(Value::as_array) else {
        return Ok(present.to_vec());
    };
    let has = |details: &[Value], d: &Value| {
        details
            .iter()
            .any(|o| region(text(o, "/location")) == region(text(d, "/location")))
    };
    let missing = present.iter().any(|p| !has(wanted, p));
    if missing && fewer == FewerRegions::Rejected {
        return Err(user_error("Regions are removed by removeRegions."));
    }
    let kept = present
        .iter()
        .filter(|p| fewer == FewerRegions::Ignored || has(wanted, p));
    Ok(kept
        .chain(wanted.iter().filter(|w| !has(present, w)))
        .cloned()
        .collect())
}

/// The operation's end: the body as asked, with what the service owns kept.
fn apply(world: &mut World, id: &str, asked: &Value, regions: &[Value], at: Duration) -> Result<(), Value> {
    let Some(before) = world.get(id).map(|r| r.body.clone()) else {
        return Ok(());
    };
    let clears = world.switches.put_clears_omitted;
    let mut body = before.clone();
    set(
        &mut body,
        &["tags"],
        asked
            .get("tags")
            .filter(|t| t.is_object())
            .cloned()
            .unwrap_or(json!({})),
    );
    for extra in EXTRAS {
        match asked["properties"].get(*extra) {
            Some(value) => set(&mut body, &["properties", extra], value.clone()),
            None if clears => set(&mut body, &["properties", extra], Value::Null),
            None => {}
        }
    }
    if let Some(access) = asked.pointer("/properties/publicNetworkAccess") {
        set(&mut body, &["properties", "publicNetworkAccess"], access.clone());
    }
    if let Some(sku) = asked.get("sku").filter(|s| s.is_object()) {
        set(&mut body, &["sku"], sku.clone());
    }
    let gone: Vec<String> = list(&before, "/properties/regionDetails")
        .iter()
        .map(|d| text(d, "/location").to_owned())
        .filter(|l| !regions.iter().any(|r| region(text(r, "/location")) == region(l)))
        .collect();
    let grows = regions.len() > list(&before, "/properties/regionDetails").len() - gone.len();
    if grows {
        set(&mut body, &["properties", "regionDetails"], json!(regions));
    }
    world.put(id, body, at);
    cascade(world, id, &before, at);
    for location in gone {
        accounts::remove_region(world, id, &location, at);
    }
    if grows { fill_new_regions(world, id, at) } else { Ok(()) }
}

fn fill_new_regions(world: &mut World, id: &str, at: Duration) -> Result<(), Value> {
    let closed = world
        .get(id)
        .is_some_and(|r| text(&r.body, "/properties/publicNetworkAccess") == "Disabled");
    let access = if closed && world.switches.accounts_born_closed {
        "Disabled"
    } else {
        "Enabled"
    };
    accounts::fill_regions(world, id, access, at)?;
    super::endpoint_addresses::extend(world, id, at)
}

/// Closing or opening the registry may do the same to its accounts (U2).
fn cascade(world: &mut World, id: &str, before: &Value, at: Duration) {
    let access = |b: &Value| text(b, "/properties/publicNetworkAccess").to_owned();
    let (old, new) = (
        access(before),
        world.get(id).map(|r| access(&r.body)).unwrap_or_default(),
    );
    let Switches {
        cascade_disable,
        cascade_enable,
        ..
    } = world.switches;
    if old == new || (new == "Enabled" && !cascade_enable) {
        return;
    }
    let follows = |kind: &str| match cascade_disable {
        Cascade::None => false,
        Cascade::Both => kind == STORAGE || kind == CONTAINER_REGISTRY,
        Cascade::Storage => kind == STORAGE,
        Cascade::ContainerRegistry => kind == CONTAINER_REGISTRY,
    };
    let accounts: Vec<String> = world
        .below(&accounts::managed_group_id(id))
        .filter(|r| follows(r.kind.as_str()))
        .map(|r| r.id.clone())
        .collect();
    for account in accounts {
        world.edit(&account, at, |b| {
            set(b, &["properties", "publicNetworkAccess"], json!(new))
        });
    }
}

/// Answers a PUT in one of the ways that are in dispute (U13).
fn answer_put(
    call: &mut Call<'_>,
    id: &str,
    status: u16,
    work: Work,
    effect: impl FnOnce(&mut World, Duration) -> Result<(), Value> + Send + 'static,
) -> Result<JsonResponse, ArmError> {
    let last = Last::Resource(id.to_owned());
    let form = call.world.switches.registry_put;
    if form == RegistryPut::Immediate200 {
        if let Some(error) = call.operation_fault.take() {
            return Err(ArmError::new(500, text(&error, "/code"), text(&error, "/message")));
        }
        if let Err(error) = effect(call.world, call.now) {
            return Err(ArmError::new(400, text(&error, "/code"), text(&error, "/message")));
        }
        return call.path_answer(status);
    }
    let operation = call.start(work, last, effect);
    let headers = match form {
        RegistryPut::Empty202AsyncOperation | RegistryPut::Immediate200 => Headers::AsyncOperation,
        RegistryPut::Empty202Location => Headers::Location,
        RegistryPut::Empty202Both => Headers::Both,
    };
    call.accepted_empty(&operation, headers)
}

/// PATCH knows `tags`, `identity` and `sku`; what it does with `properties` is U1.
fn patch(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let asked = call.body()?;
    let Some(before) = call.world.get(&id).map(|r| r.body.clone()) else {
        return Err(ArmError::not_found(&id));
    };
    let access = asked.pointer("/properties/publicNetworkAccess").cloned();
    if access.is_some() && call.world.switches.patch_public_access == PatchPublicAccess::Rejected {
        return Err(user_error("publicNetworkAccess cannot be changed by PATCH."));
    }
    let honoured = call.world.switches.patch_public_access == PatchPublicAccess::Honoured;
    call.edit(&id, |b| {
        if let Some(tags) = asked.get("tags").filter(|t| t.is_object()) {
            set(b, &["tags"], tags.clone());
        }
        if let Some(access) = access.filter(|_| honoured) {
            set(b, &["properties", "publicNetworkAccess"], access);
        }
    });
    let (world, now) = (&mut *call.world, call.now);
    cascade(world, &id, &before, now);
    call.path_answer(200)
}

fn delete(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    if call.world.get(&id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    let registry = id.clone();
    let operation = call.start(Work::RegistryDeletion, Last::NoContent, move |world, at| {
        let group = accounts::managed_group_id(&registry);
        let targets: Vec<String> = world
            .below(&group)
            .filter(|r| r.kind == STORAGE || r.kind == CONTAINER_REGISTRY)
            .map(|r| r.id.clone())
            .collect();
        for target in targets {
            accounts::remove_target(world, &target, at);
        }
        accounts::remove_target(world, &registry, at);
        world.remove_tree(&group, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// `POST …/removeRegions`: the body is a full registry that names the regions to take away.
pub(crate) fn remove_regions(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.parent();
    let body = call.body()?;
    let Some(registry) = call.world.get(&id) else {
        return Err(ArmError::not_found(&id));
    };
    let primary = region(text(&registry.body, "/location"));
    let gone: Vec<String> = list(&body, "/properties/regionDetails")
        .iter()
        .map(|d| text(d, "/location").to_owned())
        .collect();
    if gone.iter().any(|l| region(l) == primary) {
        return Err(user_error("The primary region of a registry cannot be removed."));
    }
    let operation = call.start(Work::RegistryDeletion, Last::Resource(id.clone()), move |world, at| {
        for location in &gone {
            accounts::remove_region(world, &id, location, at);
        }
        super::endpoint_addresses::shrink(world, &id, at);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// The registry with this name, whatever its casing.
pub(crate) fn by_name<'a>(world: &'a World, name: &str) -> Option<&'a crate::world::Resource> {
    world
        .of_kind(crate::targets::REGISTRY)
        .find(|r| name_of(&r.id).eq_ignore_ascii_case(name))
}

/// The answer in the words of the version that was asked for: before 2023-08-01 connections had another name, and before
/// 2023-04-01 their state had the name that it has everywhere else ({bicep-types}).
pub(crate) fn as_of_version(mut answer: JsonResponse, kind: &str, version: &str) -> JsonResponse {
    if kind != crate::targets::REGISTRY || version >= "2023-08-01" {
        return answer;
    }
    let Some(body) = answer.body.as_mut() else {
        return answer;
    };
    let shown = match body.get_mut("value").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().collect(),
        None => vec![body],
    };
    for properties in shown
        .into_iter()
        .filter_map(|r| r.get_mut("properties"))
        .filter_map(Value::as_object_mut)
    {
        let Some(mut connections) = properties.remove("registryPrivateEndpointConnections") else {
            continue;
        };
        let own = connections
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter_map(|c| c.get_mut("properties"));
        for connection in own.filter_map(Value::as_object_mut).filter(|_| version < "2023-04-01") {
            if let Some(state) = connection.remove("registryPrivateLinkServiceConnectionState") {
                connection.insert("privateLinkServiceConnectionState".to_owned(), state);
            }
        }
        properties.insert("privateEndpointConnections".to_owned(), connections);
    }
    answer
}
