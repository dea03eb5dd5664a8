//! Which api-versions each type has, and in which providers they live (azure.md §1.1, §3.1, §4.1, §5). Pure tables.

use super::answer::ArmError;

/// Versions of registries that are served everywhere.
const REGISTRIES: &[&str] = &[
    "2023-10-01",
    "2024-04-01",
    "2024-10-01",
    "2025-04-01",
    "2025-06-01",
    "2025-09-01",
    "2025-10-01-preview",
    "2025-12-01",
    "2026-01-15-preview",
    "2026-03-01",
    "2026-05-01",
];
/// Versions of registries that only some clouds serve (U12).
pub(crate) const NEWEST: &[&str] = &["2026-07-01", "2026-09-01"];
/// The only version of the registries' private link sub-resources (U6).
const REGISTRY_CONNECTIONS: &[&str] = &["2022-10-01-preview"];
const NETWORK: &[&str] = &[
    "2023-02-01",
    "2023-04-01",
    "2023-06-01",
    "2023-09-01",
    "2023-11-01",
    "2024-01-01",
    "2024-03-01",
    "2024-05-01",
    "2024-07-01",
    "2024-10-01",
    "2025-01-01",
    "2025-03-01",
    "2025-05-01",
    "2025-07-01",
    "2025-09-01",
];
const PRIVATE_DNS: &[&str] = &["2018-09-01", "2020-01-01", "2020-06-01", "2024-06-01"];
const STORAGE: &[&str] = &[
    "2022-09-01",
    "2023-01-01",
    "2023-04-01",
    "2023-05-01",
    "2024-01-01",
    "2025-01-01",
    "2025-06-01",
    "2026-04-01",
];
const CONTAINER_REGISTRY: &[&str] = &[
    "2023-01-01-preview",
    "2023-07-01",
    "2024-11-01-preview",
    "2025-03-01-preview",
    "2025-04-01",
    "2025-11-01",
];
const RESOURCES: &[&str] = &[
    "2019-10-01",
    "2020-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2024-03-01",
    "2025-03-01",
    "2025-04-01",
];
const DENY_ASSIGNMENTS: &[&str] = &["2022-04-01", "2024-07-01-preview"];
const LOCKS: &[&str] = &["2016-09-01", "2017-04-01", "2020-05-01"];
const WORKSPACES: &[&str] = &["2022-10-01", "2023-09-01", "2025-02-01"];
const POLICY: &[&str] = &[
    "2021-06-01",
    "2023-04-01",
    "2024-05-01",
    "2025-01-01",
    "2025-03-01",
    "2026-07-01",
];

const POLICY_EXEMPTIONS: &[&str] = &["2020-07-01-preview", "2022-07-01-preview", "2024-12-01-preview"];
const PERMISSIONS: &[&str] = &["2015-07-01", "2018-01-01-preview", "2018-07-01", "2022-04-01"];

/// One served type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    /// Provider namespace as Azure spells it.
    pub(crate) namespace: &'static str,
    /// Type below it as Azure spells it.
    pub(crate) name: &'static str,
    /// Its versions, oldest first.
    pub(crate) versions: &'static [&'static str],
}

/// All served types.
pub(crate) const SERVED: &[Served] = &[
    served("Microsoft.MachineLearningServices", "registries", REGISTRIES),
    served(
        "Microsoft.MachineLearningServices",
        "registries/privateEndpointConnections",
        REGISTRY_CONNECTIONS,
    ),
    served(
        "Microsoft.MachineLearningServices",
        "registries/privateLinkResources",
        REGISTRY_CONNECTIONS,
    ),
    served("Microsoft.Network", "privateEndpoints", NETWORK),
    served("Microsoft.Network", "privateEndpoints/privateDnsZoneGroups", NETWORK),
    served("Microsoft.Network", "networkInterfaces", NETWORK),
    served("Microsoft.Network", "virtualNetworks", NETWORK),
    served("Microsoft.Network", "virtualNetworks/subnets", NETWORK),
    served("Microsoft.Network", "virtualNetworks/virtualNetworkPeerings", NETWORK),
    served("Microsoft.Network", "privateDnsZones", PRIVATE_DNS),
    served("Microsoft.Network", "privateDnsZones/virtualNetworkLinks", PRIVATE_DNS),
    served("Microsoft.Network", "privateDnsZones/A", PRIVATE_DNS),
    served("Microsoft.Storage", "storageAccounts", STORAGE),
    served(
        "Microsoft.Storage",
        "storageAccounts/privateEndpointConnections",
        STORAGE,
    ),
    served("Microsoft.Storage", "storageAccounts/privateLinkResources", STORAGE),
    served("Microsoft.ContainerRegistry", "registries", CONTAINER_REGISTRY),
    served(
        "Microsoft.ContainerRegistry",
        "registries/replications",
        CONTAINER_REGISTRY,
    ),
    served(
        "Microsoft.ContainerRegistry",
        "registries/privateEndpointConnections",
        CONTAINER_REGISTRY,
    ),
    served(
        "Microsoft.ContainerRegistry",
        "registries/privateLinkResources",
        CONTAINER_REGISTRY,
    ),
    served("Microsoft.Authorization", "locks", LOCKS),
    served("Microsoft.Authorization", "denyAssignments", DENY_ASSIGNMENTS),
    served("Microsoft.Authorization", "policyAssignments", POLICY),
    served("Microsoft.Authorization", "policyDefinitions", POLICY),
    served("Microsoft.Authorization", "policySetDefinitions", POLICY),
    served("Microsoft.Authorization", "policyExemptions", POLICY_EXEMPTIONS),
    served("Microsoft.Authorization", "permissions", PERMISSIONS),
    served("Microsoft.OperationalInsights", "workspaces", WORKSPACES),
    served("Microsoft.Resources", "resourceGroups", RESOURCES),
    served("Microsoft.Resources", "subscriptions", RESOURCES),
    served("Microsoft.Resources", "tags", RESOURCES),
];

const fn served(namespace: &'static str, name: &'static str, versions: &'static [&'static str]) -> Served {
    Served {
        namespace,
        name,
        versions,
    }
}

/// The entry of a provider type in lower case.
pub(crate) fn find(kind: &str) -> Option<&'static Served> {
    SERVED
        .iter()
        .find(|s| format!("{}/{}", s.namespace, s.name).eq_ignore_ascii_case(kind))
}

/// The type as Azure spells it, such as `Microsoft.Network/privateEndpoints`; the given text when it is not served.
pub(crate) fn spelled(kind: &str) -> String {
    find(kind).map_or_else(|| kind.to_owned(), |s| format!("{}/{}", s.namespace, s.name))
}

/// Checks the api-version of a request for this type.
pub(crate) fn check(kind: &str, version: Option<&str>, newest: bool) -> Result<(), ArmError> {
    let Some(version) = version.filter(|v| !v.is_empty()) else {
        return Err(ArmError::new(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    };
    let Some(served) = find(kind) else {
        let (namespace, name) = kind.split_once('/').unwrap_or((kind, ""));
        return Err(ArmError::new(
            404,
            "InvalidResourceType",
            format!(
                "The resource type '{name}' could not be found in the namespace '{namespace}' for api version '{version}'."
            ),
        ));
    };
    let known = served.versions.iter().any(|v| v.eq_ignore_ascii_case(version))
        || (newest
            && served.name == "registries"
            && is_newest(version)
            && served.namespace.ends_with("LearningServices"));
    if known {
        return Ok(());
    }
    Err(ArmError::new(
        400,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location 'westeurope' and API version '{version}' for type \
             '{}'. The supported api-versions are '{}'.",
            served.name,
            served.versions.join(", ")
        ),
    ))
}

fn is_newest(version: &str) -> bool {
    NEWEST.contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_demanded_and_must_be_one_that_the_type_has() {
        let code = |kind, version| check(kind, version, false).err().map(|e| e.code);
        let registries = "microsoft.machinelearningservices/registries";
        assert_eq!(code(registries, None).unwrap(), "MissingApiVersionParameter");
        assert_eq!(code(registries, Some("2025-12-01")), None);
        assert_eq!(
            code(registries, Some("2026-07-01")).unwrap(),
            "NoRegisteredProviderFound"
        );
        assert!(check(registries, Some("2026-07-01"), true).is_ok());
        assert_eq!(
            code("microsoft.network/loadbalancers", Some("2024-03-01")).unwrap(),
            "InvalidResourceType"
        );
        let connections = "microsoft.machinelearningservices/registries/privateendpointconnections";
        assert_eq!(
            code(connections, Some("2025-12-01")).unwrap(),
            "NoRegisteredProviderFound"
        );
        assert_eq!(code(connections, Some("2022-10-01-preview")), None);
    }
}
