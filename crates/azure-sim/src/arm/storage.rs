//! Storage accounts (azure.md §5.1): made, changed and read. PATCH is synchronous; PUT makes by an operation, and changes what
//! exists at once.

use serde_json::{Map, Value, json};

use super::accounts::{check_access, write_tags};
use super::answer::{ArmError, JsonResponse};
use super::call::{Call, Headers};
use super::registry_accounts::storage_body;
use crate::json::{digest, flag, set, text};
use crate::latency::Work;
use crate::operations::Last;

/// Fields of `properties` that only the service writes.
const OWNED: &[&str] = &[
    "privateEndpointConnections",
    "provisioningState",
    "primaryEndpoints",
    "primaryLocation",
    "secondaryLocation",
    "statusOfPrimary",
    "creationTime",
    "keyCreationTime",
    "isHnsEnabled",
];

const SKUS: &[&str] = &[
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "Premium_LRS",
    "Premium_ZRS",
];
const KINDS: &[&str] = &["Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"];

/// Answers requests for storage accounts, their keys, their blob service and free names.
pub(crate) fn serve(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let kind = call.path.kind();
    match (kind.rsplit('/').next().unwrap_or(""), call.method.as_str()) {
        ("storageaccounts", "GET") => call.read(),
        ("storageaccounts", "PUT") => put(call),
        ("storageaccounts", "PATCH") => patch(call),
        ("storageaccounts", "DELETE") => delete(call),
        ("listkeys", "POST") => list_keys(call),
        ("blobservices", "GET") => blob_service(call),
        ("blobservices", "PUT") => Err(ArmError::not_modelled("changing a storage account's blob service")),
        ("checknameavailability", "POST") => check_name(call),
        _ => Err(call.no_such_method()),
    }
}

fn invalid(what: &str) -> ArmError {
    let said = format!("Values for request parameters are invalid: {what}.");
    ArmError::new(400, "InvalidValuesForRequestParameters", said)
}

fn put(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let asked = call.body()?;
    let (sku, kind) = (text(&asked, "/sku/name"), text(&asked, "/kind"));
    let known = |all: &[&str], word: &str| {
        all.iter()
            .find(|k| k.eq_ignore_ascii_case(word))
            .map(|k| (*k).to_owned())
    };
    let sku = known(SKUS, sku).ok_or_else(|| invalid("sku.name"))?;
    let kind = known(KINDS, kind).ok_or_else(|| invalid("kind"))?;
    if call.world.get(&id).is_some() {
        return change(call, &asked);
    }
    if taken(call, call.path.name()) {
        let said = format!("The storage account named {} is already taken.", call.path.name());
        return Err(ArmError::new(409, "StorageAccountAlreadyTaken", said));
    }
    let mut body = storage_body(
        &id,
        text(&asked, "/location"),
        flag(&asked, "/properties/isHnsEnabled"),
        "Enabled",
    );
    set(&mut body, &["sku"], json!({"name": sku, "tier": sku.split('_').next()}));
    set(&mut body, &["kind"], json!(kind));
    apply(call, &mut body, &asked)?;
    set(&mut body, &["properties", "provisioningState"], json!("ResolvingDns"));
    call.put(&id, body);
    let account = id.clone();
    let operation = call.start(Work::Storage, Last::Resource(id), move |world, at| {
        world.edit(&account, at, |b| {
            set(b, &["properties", "provisioningState"], json!("Succeeded"))
        });
        world.publish(&account);
        Ok(())
    });
    call.accepted_empty(&operation, Headers::Location)
}

/// Names are one for all tenants.
fn taken(call: &Call<'_>, name: &str) -> bool {
    let mut accounts = call.world.of_kind(crate::targets::STORAGE);
    accounts.any(|a| super::path::name_of(&a.id).eq_ignore_ascii_case(name))
}

fn patch(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let patch = call.body()?;
    if call.world.get(&call.path.text).is_none() {
        return Err(ArmError::not_found(&call.path.text));
    }
    change(call, &patch)
}

fn change(call: &mut Call<'_>, asked: &Value) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    let mut body = call.world.get(&id).map_or(Value::Null, |a| a.body.clone());
    apply(call, &mut body, asked)?;
    call.put(&id, body);
    call.path_answer(200)
}

/// Writes what is asked for into an account's body; fields of the service's own stay.
fn apply(call: &Call<'_>, body: &mut Value, asked: &Value) -> Result<(), ArmError> {
    let properties = asked
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    check_access(&properties, &["Enabled", "Disabled", "SecuredByPerimeter"])?;
    for (name, value) in &properties {
        match name.as_str() {
            "networkAcls" => {
                super::firewall::check(call, value)?;
                let merged = call.world.switches.network_acls_merged;
                let rules = network_acls(value, &body["properties"]["networkAcls"], merged)?;
                set(body, &["properties", "networkAcls"], rules);
            }
            owned if OWNED.contains(&owned) => {}
            "encryption" => {
                let mut encryption = body["properties"]["encryption"].clone();
                crate::json::merge(&mut encryption, value);
                set(body, &["properties", "encryption"], encryption);
            }
            other => set(body, &["properties", other], value.clone()),
        }
    }
    if let Some(identity) = asked.get("identity").filter(|i| i.is_object()) {
        set(body, &["identity"], identity.clone());
    }
    write_tags(body, asked);
    Ok(())
}

/// `networkAcls` replace what is there as a whole: a list left out is empty afterwards (U16 by switch).
fn network_acls(asked: &Value, present: &Value, merged: bool) -> Result<Value, ArmError> {
    let action = text(asked, "/defaultAction");
    if !["Allow", "Deny"].contains(&action) {
        return Err(invalid("networkAcls.defaultAction"));
    }
    let mut rules = match merged {
        true => present.clone(),
        false => json!({ "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "ipv6Rules": [],
            "resourceAccessRules": [] }),
    };
    for (name, value) in asked.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()) {
        set(&mut rules, &[name.as_str()], value.clone());
    }
    for rule in ["ipRules", "virtualNetworkRules"] {
        for entry in rules.get_mut(rule).and_then(Value::as_array_mut).into_iter().flatten() {
            if text(entry, "/action").is_empty() {
                set(entry, &["action"], json!("Allow"));
            }
            if rule == "virtualNetworkRules" && text(entry, "/state").is_empty() {
                set(entry, &["state"], json!("Succeeded"));
            }
        }
    }
    Ok(rules)
}

fn delete(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let (id, now) = (call.path.text.clone(), call.now);
    if call.world.get(&id).is_none() {
        return Ok(JsonResponse::empty(204));
    }
    super::registry_accounts::remove_target(call.world, &id, now);
    Ok(JsonResponse::empty(200))
}

fn list_keys(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    let account = call.path.parent();
    if call.world.get(&account).is_none() {
        return Err(call.parent_missing(&account));
    }
    let key = |name: &str| {
        json!({ "keyName": name, "value": digest(&["key of no worth", &account, name]), "permissions": "FULL",
            "creationTime": "2026-01-05T08:00:00.0000000Z" })
    };
    Ok(JsonResponse::new(200, json!({ "keys": [key("key1"), key("key2")] })))
}

/// The one blob service of an account, as it was born.
fn blob_service(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    let account = call.path.parent();
    let Some(found) = call.world.get(&account) else {
        return Err(call.parent_missing(&account));
    };
    let service = json!({
        "id": format!("{}/blobServices/default", found.id), "name": "default",
        "type": "Microsoft.Storage/storageAccounts/blobServices", "sku": found.body["sku"],
        "properties": {"cors": {"corsRules": []}, "deleteRetentionPolicy": {"allowPermanentDelete": false, "enabled": false}},
    });
    match (call.path.is_collection(), call.path.name()) {
        (true, _) => Ok(JsonResponse::list(vec![service])),
        (false, "default") => Ok(JsonResponse::new(200, service)),
        (false, _) => Err(ArmError::not_found(&call.path.text)),
    }
}

fn check_name(call: &Call<'_>) -> Result<JsonResponse, ArmError> {
    let body = call.body()?;
    let name = text(&body, "/name");
    let legal = (3..=24).contains(&name.len()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let mut answer = Map::from_iter([("nameAvailable".to_owned(), json!(legal && !taken(call, name)))]);
    if !legal {
        answer.insert("reason".into(), json!("AccountNameInvalid"));
        answer.insert(
            "message".into(),
            json!(format!("{name} is not a valid storage account name.")),
        );
    } else if taken(call, name) {
        answer.insert("reason".into(), json!("AlreadyExists"));
        answer.insert(
            "message".into(),
            json!(format!("The storage account named {name} is already taken.")),
        );
    }
    Ok(JsonResponse::new(200, Value::Object(answer)))
}
