//! Reading and merging raw JSON bodies. Pure.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::journal::FieldChange;

/// The text at a JSON pointer, or the empty string.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The list at a JSON pointer, or an empty one.
pub(crate) fn list<'a>(body: &'a Value, pointer: &str) -> &'a [Value] {
    body.pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The flag at a JSON pointer, or false.
pub(crate) fn flag(body: &Value, pointer: &str) -> bool {
    body.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The value at a path of object keys.
pub(crate) fn get<'a>(body: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(body, |at, name| at.get(name))
}

/// Sets a value at a path of object keys, making the objects on the way. Anything in the way that is no object is replaced.
pub(crate) fn set(body: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *body = value;
        return;
    };
    if !body.is_object() {
        *body = Value::Object(Map::new());
    }
    if let Some(object) = body.as_object_mut() {
        set(object.entry((*first).to_owned()).or_insert(Value::Null), rest, value);
    }
}

/// RFC 7396: null removes, objects merge, all else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Fields that differ, objects taken apart, lists as a whole; at most 64.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    collect(before, after, &mut String::new(), &mut found);
    found
}

fn collect(before: &Value, after: &Value, pointer: &mut String, found: &mut Vec<FieldChange>) {
    if before == after || found.len() >= 64 {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        found.push(FieldChange {
            pointer: pointer.clone(),
            before: before.clone(),
            after: after.clone(),
        });
        return;
    };
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect(
            old.get(name).unwrap_or(&Value::Null),
            new.get(name).unwrap_or(&Value::Null),
            pointer,
            found,
        );
        pointer.truncate(length);
    }
}

/// A digest of these words as lower-case hex, 64 characters; equal words give equal digests in every run.
pub(crate) fn digest(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A GUID made of these words; equal words give equal GUIDs in every run.
pub(crate) fn guid(words: &[&str]) -> String {
    let d = digest(words);
    format!(
        "{}-{}-4{}-a{}-{}",
        &d[0..8],
        &d[8..12],
        &d[13..16],
        &d[17..20],
        &d[20..32]
    )
}

/// A number made of these words, evenly spread over 0..`below` (0 when `below` is 0).
pub(crate) fn number(words: &[&str], below: u64) -> u64 {
    let d = digest(words);
    let value = u64::from_str_radix(&d[..16], 16).unwrap_or(0);
    value.checked_rem(below).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_removes_with_null_and_replaces_lists() {
        let mut body = json!({"a": {"b": 1, "c": [1, 2]}, "d": 4});
        merge(&mut body, &json!({"a": {"b": null, "c": [3]}, "e": {"f": null}}));
        assert_eq!(body, json!({"a": {"c": [3]}, "d": 4, "e": {}}));
    }

    #[test]
    fn differences_name_the_field() {
        let found = differences(&json!({"p": {"x": 1, "y": 2}}), &json!({"p": {"x": 1, "y": 3}}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pointer, "/p/y");
    }

    #[test]
    fn set_makes_the_objects_on_the_way() {
        let mut body = json!({"a": 1});
        set(&mut body, &["a", "b"], json!(2));
        assert_eq!(body, json!({"a": {"b": 2}}));
    }

    #[test]
    fn guids_are_well_formed_and_stable() {
        let id = guid(&["registry", "x"]);
        assert_eq!(id, guid(&["registry", "x"]));
        assert_ne!(id, guid(&["registry", "y"]));
        assert!(uuid::Uuid::parse_str(&id).is_ok());
    }
}
