//! What is refused of any write before a provider sees it, in one place: a write on a list, names that no resource of that type
//! can have, bodies whose shared fields (location, tags) are none. What only one type demands stands with that type.
//! Rules of names: Microsoft Learn, "Naming rules and restrictions for Azure resources".

use http::Method;
use serde_json::{Map, Value, json};

use super::answer::ArmError;
use super::call::Call;
use crate::json::text;
use crate::regions::is_known;
use crate::targets::region;

/// What names of a type may be made of.
#[derive(Debug, Clone, Copy)]
enum Alphabet {
    /// Letters, digits, `_`, `.`, `-`; a letter or digit first, a letter, digit or `_` last.
    Words,
    /// Lower-case letters and digits.
    LowerAlphanumeric,
    /// Letters and digits.
    Alphanumeric,
    /// Labels of a DNS name.
    DomainName,
    /// What stands left of a zone: labels, `@` or a leading `*`.
    RecordName,
    /// Any letters and digits, `_`, `-`, `.`, `(`, `)`; no `.` last.
    Group,
}

/// Names of one type.
struct Naming {
    kind: &'static str,
    alphabet: Alphabet,
    lengths: std::ops::RangeInclusive<usize>,
    /// Code of the refusal.
    code: &'static str,
}

const fn naming(
    kind: &'static str,
    alphabet: Alphabet,
    lengths: std::ops::RangeInclusive<usize>,
    code: &'static str,
) -> Naming {
    Naming {
        kind,
        alphabet,
        lengths,
        code,
    }
}

const NAMINGS: &[Naming] = &[
    naming(
        "microsoft.resources/resourcegroups",
        Alphabet::Group,
        1..=90,
        "InvalidResourceGroup",
    ),
    naming(
        "microsoft.network/virtualnetworks",
        Alphabet::Words,
        2..=64,
        "InvalidResourceName",
    ),
    naming(
        "microsoft.network/virtualnetworks/subnets",
        Alphabet::Words,
        1..=80,
        "InvalidResourceName",
    ),
    naming(
        "microsoft.network/virtualnetworks/virtualnetworkpeerings",
        Alphabet::Words,
        1..=80,
        "InvalidResourceName",
    ),
    naming(
        "microsoft.network/privateendpoints",
        Alphabet::Words,
        1..=80,
        "InvalidResourceName",
    ),
    naming(
        "microsoft.network/privateendpoints/privatednszonegroups",
        Alphabet::Words,
        1..=80,
        "InvalidResourceName",
    ),
    naming(
        "microsoft.network/privatednszones",
        Alphabet::DomainName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/virtualnetworklinks",
        Alphabet::Words,
        1..=80,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/a",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/aaaa",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/cname",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/mx",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/ptr",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/srv",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.network/privatednszones/txt",
        Alphabet::RecordName,
        1..=253,
        "BadRequest",
    ),
    naming(
        "microsoft.storage/storageaccounts",
        Alphabet::LowerAlphanumeric,
        3..=24,
        "AccountNameInvalid",
    ),
    naming(
        "microsoft.containerregistry/registries",
        Alphabet::Alphanumeric,
        5..=50,
        "InvalidResourceName",
    ),
];

/// Types whose bodies name a region, which every PUT has to; private DNS knows only `global`, and says so itself.
const REGIONAL: &[&str] = &[
    "microsoft.resources/resourcegroups",
    "microsoft.network/virtualnetworks",
    "microsoft.network/privateendpoints",
    "microsoft.storage/storageaccounts",
    "microsoft.containerregistry/registries",
    "microsoft.containerregistry/registries/replications",
    "microsoft.machinelearningservices/registries",
];

/// Refuses what no provider has to look at, and brings the body into the form that Azure keeps.
///
/// # Errors
/// In Azure's words, at the first thing that is wrong.
pub(crate) fn check(call: &mut Call<'_>, kind: &str) -> Result<(), ArmError> {
    let writes = matches!(call.method, Method::PUT | Method::PATCH | Method::DELETE);
    if writes && call.path.is_collection() {
        let said = format!("The requested resource does not support http method '{}'.", call.method);
        return Err(ArmError::new(405, "MethodNotAllowed", said));
    }
    if !writes {
        return Ok(());
    }
    let tracked = !kind.starts_with("microsoft.authorization/") && !kind.starts_with("microsoft.resources/");
    if tracked && call.path.group.is_none() {
        let said = format!("The resource type '{kind}' lives in resource groups: the path names none.");
        return Err(ArmError::new(404, "InvalidResourceType", said));
    }
    if call.method == Method::DELETE {
        return Ok(());
    }
    if call.method == Method::PUT {
        check_name(kind, own_name(call))?;
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(&call.sent) else {
        return Ok(()); // The provider says what is wrong with it.
    };
    check_tags(body.get("tags"))?;
    if kind == "microsoft.resources/tags" {
        check_tags(body.pointer("/properties/tags"))?;
    }
    if REGIONAL.contains(&kind) && body.is_object() {
        check_location(call, kind, &mut body)?;
        call.sent = std::borrow::Cow::Owned(body.to_string().into_bytes());
    }
    Ok(())
}

fn own_name<'a>(call: &'a Call<'_>) -> &'a str {
    match &call.path.namespace {
        Some(_) => call.path.name(),
        None => call.path.group.as_deref().unwrap_or(""),
    }
}

fn check_name(kind: &str, name: &str) -> Result<(), ArmError> {
    // Control characters and what has a meaning in a URL stand in no name of ARM's.
    let forbidden = |c: char| c.is_control() || "<>%&\\?/#".contains(c);
    let found = NAMINGS.iter().find(|n| n.kind == kind);
    let code = found.map_or("InvalidResourceName", |n| n.code);
    let legal = !name.is_empty()
        && !name.chars().any(forbidden)
        && found.is_none_or(|n| n.lengths.contains(&name.chars().count()) && in_alphabet(n.alphabet, name));
    if legal {
        return Ok(());
    }
    let said = match found.map(|n| (n.alphabet, &n.lengths)) {
        Some((Alphabet::LowerAlphanumeric, lengths)) => format!(
            "{name} is not a valid storage account name. Storage account name must be between {} and {} characters in \
             length and use numbers and lower-case letters only.",
            lengths.start(),
            lengths.end()
        ),
        Some((Alphabet::Words, lengths)) => format!(
            "Resource name {name} is invalid. The name can be up to {} characters long. It must begin with a word \
             character, and it must end with a word character or with '_'. The name may contain word characters or \
             '.', '-', '_'.",
            lengths.end()
        ),
        Some(_) | None => format!("The name '{name}' is not valid for the type '{kind}'."),
    };
    Err(ArmError::new(400, code, said))
}

fn in_alphabet(alphabet: Alphabet, name: &str) -> bool {
    let ends = |first: fn(char) -> bool, last: fn(char) -> bool| {
        name.chars().next().is_some_and(first) && name.chars().next_back().is_some_and(last)
    };
    match alphabet {
        Alphabet::Words => {
            name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
                && ends(|c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || c == '_')
        }
        Alphabet::LowerAlphanumeric => name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
        Alphabet::Alphanumeric => name.chars().all(|c| c.is_ascii_alphanumeric()),
        Alphabet::Group => name.chars().all(|c| c.is_alphanumeric() || "_-.()".contains(c)) && !name.ends_with('.'),
        Alphabet::DomainName => name.split('.').all(is_label),
        Alphabet::RecordName => {
            let rest = name.strip_prefix("*.").unwrap_or(name);
            name == "@" || name == "*" || rest.split('.').all(is_label)
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Tags are text by name; ARM's own limits hold for every type ("Use tags to organize your Azure resources").
fn check_tags(tags: Option<&Value>) -> Result<(), ArmError> {
    let Some(tags) = tags.filter(|t| !t.is_null()) else {
        return Ok(());
    };
    let invalid = |path: &str| {
        let said = format!(
            "The request content was invalid and could not be deserialized: 'Error converting value to type \
             'System.String'. Path '{path}'.'."
        );
        Err(ArmError::new(400, "InvalidRequestContent", said))
    };
    let Some(tags) = tags.as_object() else {
        return invalid("tags");
    };
    if let Some((name, _)) = tags.iter().find(|(_, value)| !value.is_string()) {
        return invalid(&format!("tags.{name}"));
    }
    check_tag_limits(tags)
}

fn check_tag_limits(tags: &Map<String, Value>) -> Result<(), ArmError> {
    let refused = |code: &str, said: String| Err(ArmError::new(400, code, said));
    if tags.len() > 50 {
        return refused(
            "InvalidTagsCount",
            format!("{} tags were sent; a resource holds at most 50.", tags.len()),
        );
    }
    for (name, value) in tags {
        if name.is_empty() || name.chars().count() > 512 || value.as_str().is_some_and(|v| v.chars().count() > 256) {
            return refused(
                "InvalidTagLength",
                format!("The tag '{name}' is too long, or has no name: 512 characters for names, 256 for values."),
            );
        }
        if name.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            return refused(
                "InvalidTagNameCharacters",
                format!("The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters."),
            );
        }
    }
    Ok(())
}

/// A location that a PUT has to have, that Azure knows, and that an existing resource keeps.
fn check_location(call: &Call<'_>, kind: &str, body: &mut Value) -> Result<(), ArmError> {
    let asked = text(body, "/location").to_owned();
    let spelled = super::versions::spelled(kind);
    if asked.is_empty() {
        return match call.method {
            Method::PUT => Err(ArmError::new(
                400,
                "LocationRequired",
                "The location property is required for this definition.",
            )),
            _ => Ok(()),
        };
    }
    if !is_known(&asked) {
        let said = format!(
            "The provided location '{asked}' is not available for resource type '{spelled}'. List of available regions \
             for the resource type is in its provider's 'locations'."
        );
        return Err(ArmError::new(400, "LocationNotAvailableForResourceType", said));
    }
    let present = call
        .world
        .get(&call.path.text)
        .map(|r| text(&r.body, "/location").to_owned());
    if let Some(present) = present.filter(|p| !p.is_empty() && region(p) != region(&asked)) {
        return Err(moved(call, kind, &present, &asked));
    }
    body["location"] = json!(region(&asked));
    Ok(())
}

fn moved(call: &Call<'_>, kind: &str, present: &str, asked: &str) -> ArmError {
    if kind == "microsoft.resources/resourcegroups" {
        let said = format!(
            "Invalid resource group location '{asked}'. The Resource group already exists in location '{present}'."
        );
        return ArmError::new(409, "InvalidResourceGroupLocation", said);
    }
    let said = format!(
        "The resource '{}' already exists in location '{present}' in resource group '{}'. A resource with the same name \
         cannot be created in location '{asked}'. Please select a new resource name.",
        call.path.name(),
        call.path.group.as_deref().unwrap_or("")
    );
    ArmError::new(409, "InvalidResourceLocation", said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_type() {
        let storage = "microsoft.storage/storageaccounts";
        let group = "microsoft.resources/resourcegroups";
        let record = "microsoft.network/privatednszones/a";
        let network = "microsoft.network/virtualnetworks";
        for (kind, name) in [
            (storage, "abc123"),
            (group, "rg-größe"),
            (group, "a(b)_c"),
            (record, "@"),
            (record, "*"),
            (record, "*.dev"),
            (record, "a_b.c"),
            (network, "hub_1.x-y_"),
        ] {
            assert!(check_name(kind, name).is_ok(), "{name}");
        }
        for (kind, name, code) in [
            (storage, "Abc123", "AccountNameInvalid"),
            (storage, "ab", "AccountNameInvalid"),
            (group, "ends.", "InvalidResourceGroup"),
            (group, "a b", "InvalidResourceGroup"),
            (record, "a..b", "BadRequest"),
            (record, "a.*", "BadRequest"),
            (network, "-hub", "InvalidResourceName"),
            (network, "a", "InvalidResourceName"),
            (network, "", "InvalidResourceName"),
            ("microsoft.authorization/locks", "a/b", "InvalidResourceName"),
        ] {
            assert_eq!(check_name(kind, name).unwrap_err().code, code, "{name}");
        }
    }

    #[test]
    fn tags_are_text() {
        let code = |tags: Value| check_tags(Some(&tags)).err().map(|e| e.code);
        assert_eq!(code(json!({"a": "b"})), None);
        assert_eq!(code(Value::Null), None);
        for wrong in [
            json!({"a": 1}),
            json!({"a": null}),
            json!({"a": {"b": "c"}}),
            json!(["a"]),
            json!("a"),
        ] {
            assert_eq!(code(wrong.clone()).unwrap(), "InvalidRequestContent", "{wrong}");
        }
        assert_eq!(code(json!({"a?b": "c"})).unwrap(), "InvalidTagNameCharacters");
        assert_eq!(code(json!({"a": "x".repeat(257)})).unwrap(), "InvalidTagLength");
    }
}
