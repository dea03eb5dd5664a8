//! The part of server-side apply that the operator relies on: fields that a manager no longer names go, unless another manager
//! names them too; `finalizers` is a set, `conditions` a map by type, every other list is one value.

use serde_json::{Map, Value};

/// What an apply may change: only status, or everything but status.
pub fn owned_part(body: &Value, status: bool) -> Value {
    let mut part = body.clone();
    let Some(fields) = part.as_object_mut() else {
        return part;
    };
    fields.retain(|name, _| if status { name == "status" } else { name != "status" });
    if let Some(meta) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|name, _| ["labels", "annotations", "finalizers", "ownerReferences"].contains(&name.as_str()));
    }
    part
}

/// Applies `wanted` where the manager applied `before` last, and `others` are what other managers applied last.
pub fn apply(object: &mut Value, before: &Value, wanted: &Value, others: &[Value]) {
    let others: Vec<&Value> = others.iter().collect();
    let named = before
        .as_object()
        .into_iter()
        .flatten()
        .chain(wanted.as_object().into_iter().flatten());
    let names: Vec<String> = named
        .map(|(name, _)| name.clone())
        .filter(|name| name != "apiVersion" && name != "kind")
        .collect();
    for name in names {
        field(object, &name, before.get(&name), wanted.get(&name), &others);
    }
}

fn field(parent: &mut Value, name: &str, before: Option<&Value>, wanted: Option<&Value>, others: &[&Value]) {
    let others: Vec<&Value> = others.iter().filter_map(|other| other.get(name)).collect();
    let keyed = name == "finalizers" || name == "conditions";
    match (before, wanted) {
        (_, Some(wanted)) if keyed => items(parent, name, before, wanted, &others),
        (Some(before), None) if keyed => items(parent, name, Some(before), &Value::Array(Vec::new()), &others),
        (_, Some(Value::Object(wanted))) => {
            if !parent[name].is_object() {
                parent[name] = Value::Object(Map::new());
            }
            apply(
                &mut parent[name],
                before.unwrap_or(&Value::Null),
                &Value::Object(wanted.clone()),
                &owned(&others),
            );
        }
        (_, Some(wanted)) => parent[name] = wanted.clone(),
        // What is gone already, whoever took it, comes back with nothing.
        (Some(Value::Object(_)), None) if parent.get(name).is_none() => {}
        (Some(Value::Object(before)), None) => {
            apply(
                &mut parent[name],
                &Value::Object(before.clone()),
                &Value::Object(Map::new()),
                &owned(&others),
            );
            drop_if_empty(parent, name);
        }
        (Some(_), None) if others.is_empty() => {
            parent.as_object_mut().map(|fields| fields.remove(name));
        }
        (Some(_) | None, None) => {}
    }
}

fn owned(values: &[&Value]) -> Vec<Value> {
    values.iter().map(|value| (*value).clone()).collect()
}

fn drop_if_empty(parent: &mut Value, name: &str) {
    if parent[name].as_object().is_some_and(Map::is_empty) {
        parent.as_object_mut().map(|fields| fields.remove(name));
    }
}

fn identity(item: &Value) -> Value {
    item.get("type").cloned().unwrap_or_else(|| item.clone())
}

fn items(parent: &mut Value, name: &str, before: Option<&Value>, wanted: &Value, others: &[&Value]) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let has = |items: &[Value], item: &Value| items.iter().any(|other| identity(other) == identity(item));
    let (before, wanted) = (before.map(list).unwrap_or_default(), list(wanted));
    let others: Vec<Value> = others.iter().flat_map(|other| list(other)).collect();
    let mut result = list(&parent[name]);
    result.retain(|item| has(&wanted, item) || !has(&before, item) || has(&others, item));
    for item in wanted {
        match result.iter_mut().find(|present| identity(present) == identity(&item)) {
            Some(present) => *present = item,
            None => result.push(item),
        }
    }
    if result.is_empty() {
        parent.as_object_mut().map(|fields| fields.remove(name));
    } else {
        parent[name] = Value::Array(result);
    }
}

/// RFC 7386. Identity fields are preconditions, not changes.
pub fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, value) in fields {
        if name == "resourceVersion" || name == "uid" {
            continue;
        }
        if value.is_null() {
            object.as_object_mut().map(|fields| fields.remove(name));
        } else {
            merge_patch(&mut object[name], value);
        }
    }
}
