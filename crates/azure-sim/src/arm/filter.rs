//! `$filter` of lists of resources and groups, as far as ARM understands it: `field eq 'value'`, `substringof('part', name)`,
//! `startswith(tagName, 'begin')`, joined by `and` and `or`. Pure.

use serde_json::Value;

use super::answer::ArmError;
use super::path::name_of;
use crate::json::text;
use crate::targets::region;

/// Compared for equality in a list of resources.
pub(crate) const OF_RESOURCES: &[&str] = &[
    "resourcetype",
    "resourcegroup",
    "location",
    "name",
    "tagname",
    "tagvalue",
];
/// The same in a list of resource groups.
pub(crate) const OF_GROUPS: &[&str] = &["tagname", "tagvalue"];

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    Contains,
    BeginsWith,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    /// In lower case.
    field: String,
    comparison: Comparison,
    value: String,
}

/// Alternatives, each of conditions that all have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Vec<Condition>>);

impl Filter {
    /// Takes a filter apart.
    ///
    /// # Errors
    /// 400 for one that nobody understands, or that compares other fields than these.
    pub(crate) fn parse(filter: &str, fields: &[&str]) -> Result<Filter, ArmError> {
        let invalid = || {
            let said = format!("Invalid $filter '{filter}' specified in the query string.");
            ArmError::new(400, "InvalidFilterInQueryString", said)
        };
        let all_of = |part: &str| {
            let conditions = split(part, " and ").into_iter().map(condition);
            conditions.collect::<Option<Vec<_>>>()
        };
        let alternatives = split(filter, " or ").into_iter().map(all_of);
        let found = alternatives.collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        let known = |c: &Condition| match c.comparison {
            Comparison::Equals => fields.contains(&c.field.as_str()),
            Comparison::Contains => c.field == "name" && fields.contains(&"name"),
            Comparison::BeginsWith => c.field == "tagname",
        };
        match found.iter().flatten().all(known) {
            true => Ok(Filter(found)),
            false => Err(invalid()),
        }
    }

    /// Whether a resource of this type passes.
    pub(crate) fn passes(&self, kind: &str, body: &Value) -> bool {
        self.0.iter().any(|all| {
            // Name and value of a tag are two conditions about the same tag.
            let tag = all.iter().find(|c| c.field == "tagname");
            all.iter().all(|c| match (c.field.as_str(), tag) {
                ("tagvalue", Some(tag)) => {
                    tags(body).any(|(name, value)| tag.fits(name) && value.as_str() == Some(c.value.as_str()))
                }
                ("tagvalue", None) => tags(body).any(|(_, value)| value.as_str() == Some(c.value.as_str())),
                ("tagname", _) => tags(body).any(|(name, _)| c.fits(name)),
                ("resourcetype", _) => c.fits(kind),
                ("resourcegroup", _) => text(body, "/id").split('/').nth(4).is_some_and(|group| c.fits(group)),
                ("location", _) => region(text(body, "/location")) == region(&c.value),
                (_, _) => c.fits(name_of(text(body, "/id"))),
            })
        })
    }
}

impl Condition {
    /// Case aside, as Azure compares names.
    fn fits(&self, found: &str) -> bool {
        let (found, wanted) = (found.to_lowercase(), self.value.to_lowercase());
        match self.comparison {
            Comparison::Equals => found == wanted,
            Comparison::Contains => found.contains(&wanted),
            Comparison::BeginsWith => found.starts_with(&wanted),
        }
    }
}

fn tags(body: &Value) -> impl Iterator<Item = (&String, &Value)> {
    body.get("tags").and_then(Value::as_object).into_iter().flatten()
}

fn condition(part: &str) -> Option<Condition> {
    let part = part.trim();
    let arguments = |function: &str| part.strip_prefix(function)?.strip_suffix(')')?.split_once(',');
    let found = |field: &str, comparison, value: &str| {
        Some(Condition {
            field: field.trim().to_ascii_lowercase(),
            comparison,
            value: quoted(value)?,
        })
    };
    if let Some((value, field)) = arguments("substringof(") {
        return found(field, Comparison::Contains, value);
    }
    if let Some((field, value)) = arguments("startswith(") {
        return found(field, Comparison::BeginsWith, value);
    }
    let (field, value) = part.split_once(" eq ")?;
    found(field, Comparison::Equals, value)
}

/// What stands between quotes; two quotes in it are one.
fn quoted(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let alone = inner.replace("''", "").contains('\'');
    (!alone).then(|| inner.replace("''", "'"))
}

/// Splits at a word that stands outside of quotes.
fn split<'a>(filter: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, letter) in filter.char_indices() {
        inside ^= letter == '\'';
        if !inside && at >= from && filter[at..].starts_with(word) {
            parts.push(&filter[from..at]);
            from = at + word.len();
        }
    }
    parts.push(&filter[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alternatives_tags_and_parts_of_names_are_understood() {
        let kind = "microsoft.storage/storageaccounts";
        let body = json!({"id": "/subscriptions/s/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/salt and or",
            "location": "West Europe", "tags": {"Team": "it's", "other": "x"}});
        for (filter, expected) in [
            ("resourceType eq 'Microsoft.Storage/storageAccounts'", true),
            (
                "resourceType eq 'a/b' or resourceType eq 'Microsoft.Storage/StorageAccounts'",
                true,
            ),
            ("resourceType eq 'a/b' or resourceType eq 'c/d'", false),
            ("resourceGroup eq 'g' and location eq 'westeurope'", true),
            ("name eq 'salt and or'", true),
            ("substringof('LT AND', name)", true),
            ("substringof('pepper', name)", false),
            ("tagName eq 'team' and tagValue eq 'it''s'", true),
            ("tagName eq 'team' and tagValue eq 'x'", false),
            ("startswith(tagName, 'te')", true),
            ("startswith(tagName, 'x')", false),
        ] {
            let read = Filter::parse(filter, OF_RESOURCES).unwrap();
            assert_eq!(read.passes(kind, &body), expected, "{filter}");
        }
    }

    #[test]
    fn what_nobody_understands_is_refused() {
        for nonsense in [
            "",
            "resourceType",
            "resourceType eq x",
            "name eq 'a' or",
            "name eq 'a'b'",
            "colour eq 'x'",
            "substringof('a', location)",
            "startswith(name, 'x')",
        ] {
            let refused = Filter::parse(nonsense, OF_RESOURCES).unwrap_err();
            assert_eq!(refused.code, "InvalidFilterInQueryString", "{nonsense}");
        }
        assert!(Filter::parse("name eq 'x'", OF_GROUPS).is_err());
    }
}
