//! Whether the condition of a policy holds for a resource, as Azure evaluates it, in three values: what is not understood here, or
//! depends on what we have not read, is neither true nor false. Pure.

use serde_json::Value;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// Not to be told.
    Maybe,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Truth {
        if holds { Truth::Yes } else { Truth::No }
    }
}

impl Truth {
    fn not(self) -> Truth {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            Truth::Maybe => Truth::Maybe,
        }
    }

    pub(super) fn all(truths: impl Iterator<Item = Truth>) -> Truth {
        truths.fold(Truth::Yes, |so_far, next| match (so_far, next) {
            (Truth::No, _) | (_, Truth::No) => Truth::No,
            (Truth::Yes, Truth::Yes) => Truth::Yes,
            (Truth::Maybe, _) | (_, Truth::Maybe) => Truth::Maybe,
        })
    }

    pub(super) fn any(truths: impl Iterator<Item = Truth>) -> Truth {
        Truth::all(truths.map(Truth::not)).not()
    }
}

/// A resource as it would be after the write, as far as we know it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// Provider type, lower case.
    pub(super) kind: String,
    pub(super) name: String,
    /// As Azure normalises it; `None`: not read.
    pub(super) location: Option<String>,
    /// What is known of its properties.
    pub(super) properties: Value,
}

/// What a definition's parameters stand for. `None`: not to be told.
pub(super) type Parameters<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// The member of a list that a `count` looks at.
struct Member<'a> {
    /// The list's alias, lower case, `[*]` at its end.
    alias: &'a str,
    value: &'a Value,
}

/// Whether a condition holds for a resource.
pub(super) fn holds(condition: &Value, subject: &Subject, parameters: Parameters<'_>) -> Truth {
    holds_of(condition, subject, parameters, None)
}

fn holds_of(condition: &Value, subject: &Subject, parameters: Parameters<'_>, member: Option<&Member<'_>>) -> Truth {
    let each = |conditions: &'_ Value| -> Option<Vec<Truth>> {
        let list = conditions.as_array()?;
        Some(list.iter().map(|c| holds_of(c, subject, parameters, member)).collect())
    };
    let Some(fields) = condition.as_object() else {
        return Truth::Maybe;
    };
    let part = |name: &str| {
        fields
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    };
    if let Some(all) = part("allOf") {
        return each(all).map_or(Truth::Maybe, |truths| Truth::all(truths.into_iter()));
    }
    if let Some(any) = part("anyOf") {
        return each(any).map_or(Truth::Maybe, |truths| Truth::any(truths.into_iter()));
    }
    if let Some(inner) = part("not") {
        return holds_of(inner, subject, parameters, member).not();
    }
    let operator = fields
        .iter()
        .find(|(k, _)| !["field", "value", "count"].iter().any(|w| k.eq_ignore_ascii_case(w)));
    let Some((operator, right)) = operator.and_then(|(name, right)| Some((name, resolve(right, parameters)?))) else {
        return Truth::Maybe;
    };
    let operator = operator.to_ascii_lowercase();
    if let Some(count) = part("count") {
        return counted(count, subject, parameters, member)
            .map_or(Truth::Maybe, |counted| compare_count(counted, &operator, &right));
    }
    let left = match (part("field").and_then(Value::as_str), part("value")) {
        (Some(name), None) => all_of(name, subject, member),
        (None, Some(value)) => vec![resolve(value, parameters).map_or(Left::Unknown, Left::Known)],
        _ => vec![Left::Unknown],
    };
    // Of a list every member has to fit.
    Truth::all(left.iter().map(|left| compare(left, &operator, &right)))
}

/// How many members of a list a `count` counts: at least, and at most. `None`: not to be told.
fn counted(
    count: &Value,
    subject: &Subject,
    parameters: Parameters<'_>,
    member: Option<&Member<'_>>,
) -> Option<(u64, u64)> {
    let alias = count.get("field")?.as_str()?.to_ascii_lowercase();
    if !alias.ends_with("[*]") {
        return None;
    }
    let (mut least, mut most) = (0, 0);
    for left in all_of(&alias, subject, member) {
        let value = match left {
            Left::Known(value) => value,
            // An alias of another type: there is nothing to count.
            Left::Missing => continue,
            Left::Unknown => return None,
        };
        let counts = match count.get("where") {
            None => Truth::Yes,
            Some(condition) => {
                let member = Member {
                    alias: &alias,
                    value: &value,
                };
                holds_of(condition, subject, parameters, Some(&member))
            }
        };
        least += u64::from(counts == Truth::Yes);
        most += u64::from(counts != Truth::No);
    }
    Some((least, most))
}

fn compare_count((least, most): (u64, u64), operator: &str, right: &Value) -> Truth {
    let Some(right) = right.as_u64().or_else(|| text(right).parse().ok()) else {
        return Truth::Maybe;
    };
    let between = |holds: bool, fails: bool| match (holds, fails) {
        (true, _) => Truth::Yes,
        (false, true) => Truth::No,
        (false, false) => Truth::Maybe,
    };
    match operator {
        "equals" => between(least == right && most == right, right < least || most < right),
        "notequals" => between(right < least || most < right, least == right && most == right),
        "greater" => between(least > right, most <= right),
        "greaterorequals" => between(least >= right, most < right),
        "less" => between(most < right, least >= right),
        "lessorequals" => between(most <= right, least > right),
        _ => Truth::Maybe,
    }
}

/// What a field stands for: one value, or those of all members of a list (`[*]`), of which a `count` looks at one.
fn all_of(name: &str, subject: &Subject, member: Option<&Member<'_>>) -> Vec<Left> {
    let lower = name.to_ascii_lowercase();
    if let Some(member) = member
        && let Some(rest) = lower.strip_prefix(member.alias)
    {
        return match rest.strip_prefix('.') {
            Some(rest) => below(member.value, rest),
            None if rest.is_empty() => vec![Left::Known(member.value.clone())],
            None => vec![Left::Unknown],
        };
    }
    match lower.strip_prefix(&format!("{}/", subject.kind)) {
        Some(path) if path.contains("[*]") => below(&subject.properties, path),
        Some(_) | None => vec![field(name, subject)],
    }
}

/// What a lower-cased path leads to.
fn below(at: &Value, path: &str) -> Vec<Left> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (name, every) = first.strip_suffix("[*]").map_or((first, false), |name| (name, true));
    let found = at
        .as_object()
        .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)))
        .map(|(_, value)| value);
    let go_on = |value: &Value| match rest {
        Some(rest) => below(value, rest),
        None => vec![Left::Known(value.clone())],
    };
    match found {
        Some(Value::Array(members)) if every => members.iter().flat_map(go_on).collect(),
        Some(value) if !every => go_on(value),
        // An alias need not follow the path that it is called by, and not all of the resource was read.
        Some(_) | None => vec![Left::Unknown],
    }
}

enum Left {
    Known(Value),
    /// The resource has no such field.
    Missing,
    Unknown,
}

/// A field of the resource: `type`, `name`, `location`, or an alias such as `Microsoft.Storage/storageAccounts/networkAcls.defaultAction`.
fn field(name: &str, subject: &Subject) -> Left {
    match name.to_ascii_lowercase().as_str() {
        "type" => return Left::Known(Value::String(subject.kind.clone())),
        "name" | "fullname" => return Left::Known(Value::String(subject.name.clone())),
        "location" => {
            return match &subject.location {
                Some(location) => Left::Known(Value::String(location.clone())),
                None => Left::Unknown,
            };
        }
        _ => {}
    }
    if name.starts_with('[') || !name.contains('/') {
        return Left::Unknown;
    }
    let lower = name.to_ascii_lowercase();
    let Some(path) = lower.strip_prefix(&format!("{}/", subject.kind)) else {
        // An alias of another type: Azure finds no such field here.
        return Left::Missing;
    };
    let mut at = &subject.properties;
    for segment in path.split('.') {
        let found = at
            .as_object()
            .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case(segment)));
        match found {
            Some((_, value)) => at = value,
            // An alias need not follow the path that it is called by, and not all of the resource was read.
            None => return Left::Unknown,
        }
    }
    Left::Known(at.clone())
}

/// A literal, or what a parameter stands for. Other expressions are not evaluated.
pub(super) fn resolve(value: &Value, parameters: Parameters<'_>) -> Option<Value> {
    match value {
        Value::String(text) if text.starts_with("[[") => Some(Value::String(text[1..].to_owned())),
        Value::String(text) if text.trim_start().starts_with('[') => parameters(&parameter(text)?),
        Value::Array(items) => items
            .iter()
            .map(|i| resolve(i, parameters))
            .collect::<Option<Vec<_>>>()
            .map(Value::Array),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Some(value.clone()),
    }
}

/// The name in `[parameters('effect')]`.
pub(super) fn parameter(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let word = inner.get(.."parameters(".len())?;
    let name = inner
        .get("parameters(".len()..)
        .filter(|_| word.eq_ignore_ascii_case("parameters("))?
        .strip_suffix(')')?
        .trim()
        .strip_prefix('\'')?
        .strip_suffix('\'')?;
    (!name.is_empty() && !name.contains(['\'', '(', ')'])).then(|| name.to_owned())
}

fn compare(left: &Left, operator: &str, right: &Value) -> Truth {
    if operator == "exists" {
        let wanted = right.as_bool().or_else(|| text(right).parse().ok());
        return match (left, wanted) {
            (Left::Unknown, _) | (_, None) => Truth::Maybe,
            (Left::Missing, Some(wanted)) => Truth::from(!wanted),
            (Left::Known(value), Some(wanted)) => Truth::from(value.is_null() != wanted),
        };
    }
    let value = match left {
        Left::Unknown => return Truth::Maybe,
        Left::Missing => &Value::Null,
        Left::Known(value) => value,
    };
    if value.is_object() || value.is_array() {
        return Truth::Maybe;
    }
    let same = |wanted: &Value| {
        let alike = text(value).eq_ignore_ascii_case(&text(wanted));
        Truth::from(alike && value.is_null() == wanted.is_null())
    };
    let among = || right.as_array().map(|all| Truth::any(all.iter().map(same)));
    let like = || Truth::from(matches(&text(right), &text(value)));
    let contains = || {
        Truth::from(
            text(value)
                .to_ascii_lowercase()
                .contains(&text(right).to_ascii_lowercase()),
        )
    };
    match operator {
        "equals" => same(right),
        "notequals" => same(right).not(),
        "in" => among().unwrap_or(Truth::Maybe),
        "notin" => among().map_or(Truth::Maybe, Truth::not),
        "like" => like(),
        "notlike" => like().not(),
        "contains" => contains(),
        "notcontains" => contains().not(),
        _ => Truth::Maybe,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `*` stands for any run of characters, once.
fn matches(pattern: &str, value: &str) -> bool {
    let (pattern, value) = (pattern.to_ascii_lowercase(), value.to_ascii_lowercase());
    match pattern.split_once('*') {
        None => pattern == value,
        Some((head, tail)) => {
            value.len() >= head.len() + tail.len() && value.starts_with(head) && value.ends_with(tail)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opened() -> Subject {
        Subject {
            kind: "microsoft.storage/storageaccounts".into(),
            name: "contosostore".into(),
            location: None,
            properties: json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}),
        }
    }

    fn told(condition: Value) -> Truth {
        let parameters = |name: &str| (name == "allowed").then(|| json!(["Disabled", "SecuredByPerimeter"]));
        holds(&condition, &opened(), &parameters)
    }

    const ACCESS: &str = "Microsoft.Storage/storageAccounts/publicNetworkAccess";

    #[test]
    fn conditions_hold_as_azure_evaluates_them() {
        let table = [
            (
                json!({"field": "type", "equals": "Microsoft.Storage/storageAccounts"}),
                Truth::Yes,
            ),
            (
                json!({"field": "type", "equals": "Microsoft.KeyVault/vaults"}),
                Truth::No,
            ),
            (json!({"field": ACCESS, "notEquals": "disabled"}), Truth::Yes),
            (json!({"field": ACCESS, "notIn": "[parameters('allowed')]"}), Truth::Yes),
            (json!({"not": {"field": ACCESS, "in": ["Enabled"]}}), Truth::No),
            (
                json!({"field": "Microsoft.KeyVault/vaults/publicNetworkAccess", "exists": "true"}),
                Truth::No,
            ),
            (
                json!({"field": "Microsoft.Storage/storageAccounts/networkAcls.defaultAction", "equals": "ALLOW"}),
                Truth::Yes,
            ),
            (json!({"field": "name", "like": "contoso*"}), Truth::Yes),
            (json!({"value": "x", "equals": "x"}), Truth::Yes),
        ];
        for (condition, expected) in table {
            assert_eq!(told(condition.clone()), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_not_understood_or_not_read_is_neither_true_nor_false() {
        for condition in [
            json!({"field": "location", "equals": "westeurope"}),
            json!({"field": "tags['exempt']", "exists": true}),
            json!({"field": "Microsoft.Storage/storageAccounts/sku.name", "equals": "x"}),
            json!({"value": "[resourceGroup().name]", "equals": "x"}),
            json!({"count": {"field": "x[*]"}, "greater": 0}),
            json!({"count": {"value": [1], "where": {"value": 1, "equals": 1}}, "greater": 0}),
            json!({"count": {"field": "Microsoft.Storage/storageAccounts/unread[*]"}, "greater": 0}),
            json!({"field": ACCESS, "match": "Enab###"}),
            json!({"field": ACCESS, "equals": "[parameters('unheard-of')]"}),
            json!("nonsense"),
            json!({}),
        ] {
            assert_eq!(told(condition.clone()), Truth::Maybe, "{condition}");
        }
        let unknown = json!({"field": "tags.x", "equals": "y"});
        let false_ = json!({"field": "type", "equals": "z"});
        assert_eq!(told(json!({"allOf": [unknown.clone(), false_.clone()]})), Truth::No);
        assert_eq!(told(json!({"anyOf": [unknown, false_]})), Truth::Maybe);
    }

    #[test]
    fn members_of_lists_are_counted_and_looked_at_one_by_one() {
        let alias = "Microsoft.Network/privateEndpoints/privateLinkServiceConnections[*]";
        let endpoint = Subject {
            kind: "microsoft.network/privateendpoints".into(),
            name: "p".into(),
            location: None,
            properties: json!({"privateLinkServiceConnections": [
                {"privateLinkServiceId": "/subscriptions/s/providers/Microsoft.Storage/storageAccounts/a", "groupIds": ["blob"]}],
                "manualPrivateLinkServiceConnections": []}),
        };
        let groups = format!("{alias}.groupIds[*]");
        let manual = alias.replace("/privateLink", "/manualPrivateLink");
        let count = |field: &str, condition: Value| json!({"count": {"field": field, "where": condition}, "greaterOrEquals": 1});
        let target = |kind: &str| json!({"field": format!("{alias}.privateLinkServiceId"), "contains": kind});
        let group = |name: &str| json!({"field": groups, "equals": name});
        let whole = format!("{alias}.groupids[*]")
            .to_uppercase()
            .replace("MICROSOFT", "Microsoft");
        for (condition, expected) in [
            (count(&groups, group("blob")), Truth::Yes),
            (count(&groups, group("dfs")), Truth::No),
            (count(&whole, group("blob")), Truth::Yes),
            (
                count(
                    alias,
                    json!({"allOf": [target("Microsoft.Storage/storageAccounts"), group("blob")]}),
                ),
                Truth::Yes,
            ),
            (
                count(
                    alias,
                    json!({"allOf": [target("Microsoft.Sql/servers"), group("blob")]}),
                ),
                Truth::No,
            ),
            (
                count(alias, json!({"value": "[split('a','/')[2]]", "equals": "x"})),
                Truth::Maybe,
            ),
            (json!({"count": {"field": manual}, "equals": 0}), Truth::Yes),
            (json!({"count": {"field": manual}, "greater": 0}), Truth::No),
            (json!({"field": groups, "in": ["blob", "file"]}), Truth::Yes),
            (json!({"field": groups, "notEquals": "blob"}), Truth::No),
        ] {
            let none = |_: &str| None;
            assert_eq!(holds(&condition, &endpoint, &none), expected, "{condition}");
        }
    }

    #[test]
    fn parameters_are_named_in_one_way_only() {
        assert_eq!(parameter("[parameters('effect')]").as_deref(), Some("effect"));
        assert_eq!(parameter("[ Parameters( 'effect' ) ]").as_deref(), Some("effect"));
        for other in [
            "[concat(parameters('a'),'b')]",
            "parameters('a')",
            "[parameters('a'), parameters('b')]",
            "[parameters(a)]",
        ] {
            assert_eq!(parameter(other), None, "{other}");
        }
    }
}
