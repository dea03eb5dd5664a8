//! Whether the condition of a rule holds: `allOf`, `anyOf`, `not`, `count`, and fields compared. What is not understood does not
//! hold. Pure.

use serde_json::{Value, json};

use crate::json::text;
use crate::permissions::matches;
use crate::world::key;

/// The member of a list that a `count` looks at.
struct Member<'a> {
    /// The list's alias, `[*]` at its end.
    alias: &'a str,
    value: &'a Value,
}

/// Whether a condition holds for a resource.
pub(super) fn holds(condition: &Value, kind: &str, body: &Value) -> bool {
    within(condition, kind, body, None)
}

fn within(condition: &Value, kind: &str, body: &Value, member: Option<&Member<'_>>) -> bool {
    let inner = |c: &Value| within(c, kind, body, member);
    if let Some(all) = condition.get("allOf").and_then(Value::as_array) {
        return all.iter().all(inner);
    }
    if let Some(any) = condition.get("anyOf").and_then(Value::as_array) {
        return any.iter().any(inner);
    }
    if let Some(not) = condition.get("not") {
        return !inner(not);
    }
    if let Some(count) = condition.get("count") {
        let alias = text(count, "/field");
        let counts = |value: &Value| {
            let member = Member { alias, value };
            count.get("where").is_none_or(|w| within(w, kind, body, Some(&member)))
        };
        let members = values(alias, kind, body, member).into_iter().flatten();
        return compares(members.filter(counts).count(), condition);
    }
    let name = text(condition, "/field");
    // Of a list every member has to fit.
    !name.is_empty()
        && values(name, kind, body, member)
            .iter()
            .all(|v| fits(v.as_ref(), condition))
}

/// How many there are, compared as the condition says.
fn compares(count: usize, condition: &Value) -> bool {
    let number = |name: &str| condition.get(name).and_then(Value::as_u64);
    let count = count as u64;
    number("equals").is_some_and(|n| count == n)
        || number("notEquals").is_some_and(|n| count != n)
        || number("greater").is_some_and(|n| count > n)
        || number("greaterOrEquals").is_some_and(|n| count >= n)
        || number("less").is_some_and(|n| count < n)
        || number("lessOrEquals").is_some_and(|n| count <= n)
}

/// Whether one value fits the condition's operator.
fn fits(value: Option<&Value>, condition: &Value) -> bool {
    let same = |wanted: &Value| match (value, wanted) {
        (Some(Value::String(a)), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Some(a), b) => a == b,
        (None, _) => false,
    };
    let words = |wanted: &Value, of: &dyn Fn(&str, &str) -> bool| match (value, wanted) {
        (Some(Value::String(a)), Value::String(b)) => of(a, b),
        (Some(_) | None, _) => false,
    };
    let like = |wanted: &Value| words(wanted, &|a, b| matches(b, a));
    let contains = |wanted: &Value| words(wanted, &|a, b| key(a).contains(&key(b)));
    let among = |wanted: &Value| wanted.as_array().is_some_and(|all| all.iter().any(same));
    let test = |operator: &str, holds: &dyn Fn(&Value) -> bool| condition.get(operator).is_some_and(holds);
    test("equals", &same)
        || test("notEquals", &|wanted| !same(wanted))
        || test("like", &like)
        || test("notLike", &|wanted| !like(wanted))
        || test("contains", &contains)
        || test("notContains", &|wanted| !contains(wanted))
        || test("in", &among)
        || test("notIn", &|wanted| !among(wanted))
        || test("exists", &|wanted| {
            value.is_some() == wanted.as_bool().unwrap_or(wanted.as_str() == Some("true"))
        })
}

/// A field of the resource: `type`, `location`, `name`, `tags['x']`, or an alias such as `Microsoft.X/y/publicNetworkAccess`. One
/// value, or those of all members of a list (`[*]`).
fn values(name: &str, kind: &str, body: &Value, member: Option<&Member<'_>>) -> Vec<Option<Value>> {
    match name {
        "type" => return vec![Some(json!(kind))],
        "location" | "name" | "kind" => return vec![body.get(name).cloned()],
        _ => {}
    }
    if let Some(tag) = tag_of(name) {
        let tags = body.get("tags").and_then(Value::as_object);
        let named = tags.and_then(|tags| tags.iter().find(|(n, _)| n.to_lowercase() == tag.to_lowercase()));
        return vec![named.map(|(_, value)| value.clone())];
    }
    if let Some(member) = member
        && let Some(rest) = name
            .get(..member.alias.len())
            .filter(|n| n.eq_ignore_ascii_case(member.alias))
        && let Some(rest) = name.get(rest.len()..)
    {
        return match rest.strip_prefix('.') {
            Some(rest) => below(member.value, rest),
            None => vec![Some(member.value.clone())],
        };
    }
    match name.rsplit_once('/') {
        Some((of, path)) if key(of) == key(kind) => below(&body["properties"], path),
        _ => vec![None],
    }
}

/// The name in `tags['x']` or `tags.x`.
pub(super) fn tag_of(field: &str) -> Option<&str> {
    match field.strip_prefix("tags[") {
        Some(tag) => Some(tag.trim_end_matches(']').trim_matches('\'')),
        None => field.strip_prefix("tags."),
    }
}

/// What an alias's path leads to. Aliases leave out the `properties` of a list's members.
fn below(at: &Value, path: &str) -> Vec<Option<Value>> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (name, every) = first.strip_suffix("[*]").map_or((first, false), |name| (name, true));
    let named = |object: &Value| {
        let fields = object.as_object()?;
        fields
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    };
    let found = named(at).or_else(|| named(&at["properties"]));
    let go_on = |value: Value| match rest {
        Some(rest) => below(&value, rest),
        None => vec![Some(value)],
    };
    match found {
        Some(Value::Array(members)) if every => members.into_iter().flat_map(go_on).collect(),
        None if every => Vec::new(),
        Some(value) if !every => go_on(value),
        Some(_) | None => vec![None],
    }
}

/// The fields that a rule looks at, as Azure lists them.
pub(super) fn fields(condition: &Value, found: &mut Vec<String>) {
    match condition {
        Value::Object(map) => {
            if let Some(field) = map.get("field").and_then(Value::as_str) {
                found.push(field.replace('\'', ""));
            }
            map.values().for_each(|inner| fields(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| fields(inner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "Microsoft.Network/privateEndpoints";

    fn endpoint(group: &str) -> Value {
        json!({"name": "p", "properties": {"privateLinkServiceConnections": [{"name": "c", "properties": {
            "privateLinkServiceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a", "groupIds": [group]}}]}})
    }

    #[test]
    fn members_of_lists_are_counted_and_looked_at_one_by_one() {
        let all = format!("{ENDPOINT}/privateLinkServiceConnections[*]");
        let built_in = json!({"count": {"field": format!("{all}.groupIds[*]"), "where": {"field": format!("{all}.groupIds[*]"), "equals": "blob"}},
            "greaterOrEquals": 1});
        let generic = json!({"count": {"field": all, "where": {"allOf": [
            {"field": format!("{all}.privateLinkServiceId"), "contains": "Microsoft.Storage/storageAccounts"},
            {"field": format!("{all}.groupIds[*]"), "equals": "blob"}]}}, "greaterOrEquals": 1});
        let manual = json!({"count": {"field": format!("{ENDPOINT}/manualPrivateLinkServiceConnections[*]")}, "greaterOrEquals": 1});
        for condition in [&built_in, &generic] {
            assert!(holds(condition, ENDPOINT, &endpoint("blob")), "{condition}");
            assert!(!holds(condition, ENDPOINT, &endpoint("dfs")), "{condition}");
        }
        assert!(!holds(&manual, ENDPOINT, &endpoint("blob")));
    }
}
