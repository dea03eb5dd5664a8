//! Which api-versions each type has (`data/api-versions.txt`), and which types Azure has that are not modelled
//! (`data/unmodelled-types.txt`). Azure serves what it ever shipped; what no version ever was is refused in its words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::answer::ArmError;

/// Versions of registries that only some clouds serve (U12).
pub(crate) const NEWEST: &[&str] = &["2026-07-01", "2026-09-01"];

/// One served type.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// Provider namespace as Azure spells it.
    pub(crate) namespace: &'static str,
    /// Type below it as Azure spells it.
    pub(crate) name: &'static str,
    /// Its versions, oldest first.
    pub(crate) versions: Vec<&'static str>,
}

/// What stands in a data file: heads, each with the words below it.
fn entries(text: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match (line.strip_prefix("  "), all.last_mut()) {
            (Some(words), Some((_, list))) => list.extend(words.split(' ')),
            (Some(_), None) | (None, _) => all.push((line, Vec::new())),
        }
    }
    all
}

/// All served types by their name in lower case.
static SERVED: LazyLock<BTreeMap<String, Served>> = LazyLock::new(|| {
    let served = |(kind, versions): (&'static str, Vec<&'static str>)| {
        let (namespace, name) = kind.split_once('/')?;
        let served = Served {
            namespace,
            name,
            versions,
        };
        Some((kind.to_ascii_lowercase(), served))
    };
    entries(include_str!("../../data/api-versions.txt"))
        .into_iter()
        .filter_map(served)
        .collect()
});

/// Types that Azure has and that are not modelled, in lower case; of whole namespaces only the name.
static UNMODELLED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let types = |(namespace, words): (&'static str, Vec<&'static str>)| {
        let of = move |word: &str| match namespace {
            "*" => word.to_ascii_lowercase(),
            _ => format!("{namespace}/{word}").to_ascii_lowercase(),
        };
        words.into_iter().map(of)
    };
    entries(include_str!("../../data/unmodelled-types.txt"))
        .into_iter()
        .flat_map(types)
        .collect()
});

/// All served types, in order of their names.
pub(crate) fn all() -> impl Iterator<Item = &'static Served> {
    SERVED.values()
}

/// The entry of a provider type in lower case.
pub(crate) fn find(kind: &str) -> Option<&'static Served> {
    SERVED.get(kind)
}

/// A namespace as Azure spells it, if any of its types is served.
pub(crate) fn namespace(asked: &str) -> Option<&'static str> {
    all().map(|s| s.namespace).find(|n| n.eq_ignore_ascii_case(asked))
}

/// Whether Azure has this type (lower case), or all of its namespace, and the simulator does not.
pub(crate) fn is_unmodelled(kind: &str) -> bool {
    let namespace = kind.split_once('/').map_or(kind, |(namespace, _)| namespace);
    UNMODELLED.contains(kind) || UNMODELLED.contains(namespace)
}

/// The type as Azure spells it, such as `Microsoft.Network/privateEndpoints`; the given text when it is not served.
pub(crate) fn spelled(kind: &str) -> String {
    find(kind).map_or_else(|| kind.to_owned(), |s| format!("{}/{}", s.namespace, s.name))
}

/// The versions of a type that are served now, newest first.
pub(crate) fn versions_of(served: &'static Served, newest: bool) -> impl Iterator<Item = &'static str> {
    let newer = NEWEST.iter().filter(move |_| newest && has_newest(served));
    newer.rev().chain(served.versions.iter().rev()).copied()
}

fn has_newest(served: &Served) -> bool {
    served.name == "registries" && served.namespace.ends_with("LearningServices")
}

/// Checks that a version was asked for.
pub(crate) fn required(version: Option<&str>) -> Result<&str, ArmError> {
    version.filter(|v| !v.is_empty()).ok_or_else(|| {
        ArmError::new(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    })
}

/// Checks type and api-version of a request.
///
/// # Errors
/// In Azure's words where Azure would refuse too, in the simulator's own where only the simulator does.
pub(crate) fn check(kind: &str, version: Option<&str>, newest: bool) -> Result<(), ArmError> {
    let version = required(version)?;
    let Some(served) = find(kind) else {
        return Err(unknown_type(kind, version));
    };
    if versions_of(served, newest).any(|v| v.eq_ignore_ascii_case(version)) {
        return Ok(());
    }
    let known = served.versions.join(", ");
    // What ARM answers itself it refuses in other words than what it passes on.
    if served.namespace == "Microsoft.Resources" {
        let said = format!("The api-version '{version}' is invalid. The supported versions are '{known}'.");
        return Err(ArmError::new(400, "InvalidApiVersionParameter", said));
    }
    Err(ArmError::new(
        400,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location 'westeurope' and API version '{version}' for type \
             '{}'. The supported api-versions are '{known}'.",
            served.name
        ),
    ))
}

/// What ARM answers itself below a provider's namespace, and the simulator does not.
const OF_PROVIDERS: &[&str] = &["providerpermissions", "resourcetypes", "unregister"];

fn unknown_type(kind: &str, version: &str) -> ArmError {
    let (asked, name) = kind.split_once('/').unwrap_or((kind, ""));
    if is_unmodelled(kind) || OF_PROVIDERS.contains(&name) {
        return ArmError::not_modelled(&format!("the resource type '{kind}'"));
    }
    if namespace(asked).is_none() {
        return ArmError::new(
            404,
            "InvalidResourceNamespace",
            format!("The resource namespace '{asked}' is invalid."),
        );
    }
    ArmError::new(
        404,
        "InvalidResourceType",
        format!(
            "The resource type '{name}' could not be found in the namespace '{asked}' for api version '{version}'."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(kind: &str, version: &str) -> Option<String> {
        check(kind, Some(version), false).err().map(|e| e.code)
    }

    #[test]
    fn a_version_is_demanded_and_must_be_one_that_the_type_ever_had() {
        let registries = "microsoft.machinelearningservices/registries";
        assert_eq!(
            check(registries, None, false).err().map(|e| e.code).unwrap(),
            "MissingApiVersionParameter"
        );
        for version in ["2025-12-01", "2022-10-01-preview", "2023-04-01"] {
            assert_eq!(code(registries, version), None, "{version}");
        }
        for version in ["2026-07-01", "2024-03-01", "latest", "2025-12-01-preview"] {
            assert_eq!(
                code(registries, version).unwrap(),
                "NoRegisteredProviderFound",
                "{version}"
            );
        }
        assert!(check(registries, Some("2026-07-01"), true).is_ok());
        let connections = "microsoft.machinelearningservices/registries/privateendpointconnections";
        assert_eq!(code(connections, "2025-12-01").unwrap(), "NoRegisteredProviderFound");
        assert_eq!(code(connections, "2022-10-01-preview"), None);
        let groups = "microsoft.resources/resourcegroups";
        assert_eq!(code(groups, "1999-01-01").unwrap(), "InvalidApiVersionParameter");
    }

    #[test]
    fn what_azure_has_and_the_simulator_lacks_is_told_apart_from_what_never_was() {
        for (kind, expected) in [
            ("microsoft.network/loadbalancers", "NotModelledByAzureSim"),
            ("microsoft.compute/virtualmachines", "NotModelledByAzureSim"),
            ("microsoft.network/loadbalancer", "InvalidResourceType"),
            ("contoso.network/loadbalancers", "InvalidResourceNamespace"),
        ] {
            assert_eq!(code(kind, "2024-05-01").unwrap(), expected, "{kind}");
        }
    }

    #[test]
    fn the_data_is_in_order_and_nothing_is_both_modelled_and_not() {
        assert!(SERVED.len() > 40, "{}", SERVED.len());
        for (kind, served) in SERVED.iter() {
            assert!(!served.versions.is_empty(), "{kind}");
            let mut sorted = served.versions.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted, served.versions, "{kind}");
            assert!(!is_unmodelled(kind), "{kind}");
        }
    }
}
