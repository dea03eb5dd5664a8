//! Reading JSON that others wrote: fields by pointer, digests without what changes by itself, and what differs between two
//! bodies. Pure; a wrong type is a missing field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sreg_domain::{ArmId, Digest, EndpointGroup, Fqdn, naming};

/// Fields that change without anybody changing the resource, wherever they stand (except below `tags`).
const VOLATILE: [&str; 5] = [
    "etag",
    "systemData",
    "provisioningState",
    "privateEndpointConnections",
    "registryPrivateEndpointConnections",
];
/// The same below `properties` of a storage account.
const VOLATILE_STORAGE: [&str; 5] = [
    "statusOfPrimary",
    "statusOfSecondary",
    "geoReplicationStats",
    "blobRestoreStatus",
    "failoverInProgress",
];

/// Text at a pointer.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

/// Text at a pointer, owned.
pub(crate) fn string(body: &Value, pointer: &str) -> Option<String> {
    text(body, pointer).map(str::to_owned)
}

/// A word of Azure's at a pointer. Whatever stands there that is no text is a word that nobody knows.
pub(crate) fn word<T: From<String>>(body: &Value, pointer: &str) -> Option<T> {
    match body.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(T::from(text.clone())),
        odd @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(T::from(odd.to_string()))
        }
    }
}

/// A list at a pointer; empty where there is none.
pub(crate) fn list<'a>(body: &'a Value, pointer: &str) -> &'a [Value] {
    body.pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// An id at a pointer.
pub(crate) fn id(body: &Value, pointer: &str) -> Option<ArmId> {
    text(body, pointer)?.parse().ok()
}

/// A name at a pointer.
pub(crate) fn fqdn(body: &Value, pointer: &str) -> Option<Fqdn> {
    text(body, pointer)?.parse().ok()
}

/// Tags whose values are text.
pub(crate) fn tags(body: &Value) -> BTreeMap<String, String> {
    let map = body.get("tags").and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

/// Value of our owner tag. Azure's tag names ignore case.
pub(crate) fn owner(body: &Value) -> Option<String> {
    naming::owner_in(&tags(body)).map(str::to_owned)
}

/// Whether a private endpoint's name is the one that we give it for what it leads to and where it stands. It has exactly one
/// connection.
pub(crate) fn is_named_by_us(id: &ArmId, endpoint: &Value) -> bool {
    let connections = list(endpoint, "/properties/privateLinkServiceConnections")
        .iter()
        .chain(list(endpoint, "/properties/manualPrivateLinkServiceConnections"));
    let [connection] = connections.collect::<Vec<_>>()[..] else {
        return false;
    };
    let target = self::id(connection, "/properties/privateLinkServiceId");
    let group = text(connection, "/properties/groupIds/0").and_then(EndpointGroup::of_group_id);
    match (target, self::id(endpoint, "/properties/subnet/id"), group) {
        (Some(target), Some(subnet), Some(group)) => naming::is_endpoint_name(id.name(), &target, &subnet, group),
        _ => false,
    }
}

/// Digest of a body without what changes by itself.
pub(crate) fn digest(body: &Value) -> Digest {
    Digest::of_json(&settled(body))
}

/// A body without what changes by itself, its lists as the sets that they are: in order, each item once, ids without their case.
pub(crate) fn settled(body: &Value) -> Value {
    let mut settled = strip(body);
    if let Some(properties) = settled.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !VOLATILE_STORAGE.contains(&name.as_str()));
    }
    as_sets(&mut settled);
    settled
}

fn as_sets(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(as_sets);
            items.sort_by_cached_key(Digest::of_json);
            items.dedup();
        }
        Value::Object(map) => map.values_mut().for_each(as_sets),
        Value::String(text) => {
            if let Ok(id) = text.parse::<ArmId>() {
                *text = id.key().to_owned();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn strip(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(k, _)| !VOLATILE.contains(&k.as_str()))
                .map(strip_entry)
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(strip).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn strip_entry((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), if name == "tags" { value.clone() } else { strip(value) })
}

/// JSON pointers of the fields that differ: of leaves, or of the whole where one side has no such field. Lists are compared
/// as wholes. An absent field and `null` are equal, and so are an absent and an empty list or object: Azure fills them in.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, after, String::new(), &mut found);
    found
}

fn compare(before: &Value, after: &Value, at: String, found: &mut Vec<String>) {
    if let (Value::Object(a), Value::Object(b)) = (before, after) {
        let names = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
        for name in names {
            let (a, b) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
            compare(
                a,
                b,
                format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                found,
            );
        }
    } else if before != after && !(is_nothing(before) && is_nothing(after)) {
        found.push(at);
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Changes the object at a key, made if it is missing or of another type.
pub(crate) fn with_object(body: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut object = match body.remove(name) {
        Some(Value::Object(map)) => map,
        Some(_) | None => Map::new(),
    };
    change(&mut object);
    body.insert(name.to_owned(), Value::Object(object));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_ignores_what_changes_by_itself_and_nothing_else() {
        let body = json!({"id": "x", "etag": "1", "systemData": {"a": 1}, "tags": {"etag": "kept"},
            "properties": {"publicNetworkAccess": "Enabled", "provisioningState": "Updating", "privateEndpointConnections": [1]}});
        let mut same = body.clone();
        same["etag"] = json!("2");
        same["systemData"] = json!(null);
        same["properties"]["provisioningState"] = json!("Succeeded");
        same["properties"]["privateEndpointConnections"] = json!([]);
        assert_eq!(digest(&body), digest(&same));
        for (pointer, value) in [
            ("/properties/publicNetworkAccess", json!("Disabled")),
            ("/tags/etag", json!("changed")),
        ] {
            let mut other = body.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert_ne!(digest(&body), digest(&other), "{pointer}");
        }
    }

    #[test]
    fn lists_in_any_order_and_ids_in_any_case_are_the_same() {
        let net = "/subscriptions/s/resourceGroups/Net/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
        let body = json!({"properties": {"networkAcls": {"ipRules": [{"value": "1.2.3.4", "action": "Allow"}, {"value": "5.6.7.8"}],
            "virtualNetworkRules": [{"id": net}]}, "regionDetails": [{"location": "a"}, {"location": "b"}]}});
        let same = json!({"properties": {"networkAcls": {"ipRules": [{"value": "5.6.7.8"}, {"action": "Allow", "value": "1.2.3.4"},
            {"value": "5.6.7.8"}], "virtualNetworkRules": [{"id": net.to_lowercase()}]},
            "regionDetails": [{"location": "b"}, {"location": "a"}]}});
        assert_eq!(digest(&body), digest(&same));
        assert!(differences(&settled(&body), &settled(&same)).is_empty());
        let other = json!({"properties": {"networkAcls": {"ipRules": [{"value": "1.2.3.4", "action": "Allow"}],
            "virtualNetworkRules": [{"id": net}]}, "regionDetails": [{"location": "a"}, {"location": "b"}]}});
        assert_ne!(digest(&body), digest(&other));
    }

    #[test]
    fn differences_are_pointers_and_nothing_equals_nothing() {
        let before = json!({"a": {"b": 1, "c": [1], "d/e": 2}, "n": null, "l": []});
        let after = json!({"a": {"b": 2, "c": [1, 2], "d/e": 3}, "l": null, "new": "x", "empty": {}});
        assert_eq!(differences(&before, &after), ["/a/b", "/a/c", "/a/d~1e", "/new"]);
        assert!(differences(&before, &before).is_empty());
    }
}
