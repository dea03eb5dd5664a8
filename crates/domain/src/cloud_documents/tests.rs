//! The table of each built-in cloud, and what is said of documents that cannot be used.

use std::collections::BTreeSet;
use std::error::Error as _;

use super::*;
use crate::ids::Fqdn;
use crate::rights::RIGHTS;
use crate::target::EndpointGroup;

/// A document of a cloud that extends the public one and says nothing else.
const OWN: &str = "name: Contoso\nextends: AzurePublic\n";

/// What is told of a text, causes included.
fn told(text: &str) -> String {
    let error = from_yaml(text).unwrap_err();
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[test]
fn each_built_in_cloud_has_endpoints_audiences_and_zones_of_its_own() {
    let row = |built_in: BuiltInCloud| {
        let cloud = built_in.cloud().unwrap();
        assert_eq!(cloud.name, built_in.to_string());
        [
            cloud.authority_host.to_string(),
            cloud.token_exchange_audience.clone(),
            cloud.resource_manager.endpoint.to_string(),
            cloud.resource_manager.audience.scope(),
            cloud.log_analytics.endpoint.to_string(),
            cloud.log_analytics.audience.scope(),
            cloud.machine_learning.audience.scope(),
            cloud.zone(EndpointGroup::AmlRegistry),
            cloud.zone(EndpointGroup::Blob),
            cloud.zone(EndpointGroup::Dfs),
            cloud.zone(EndpointGroup::ContainerRegistry),
        ]
    };
    assert_eq!(
        row(BuiltInCloud::AzurePublic),
        [
            "https://login.microsoftonline.com/",
            "api://AzureADTokenExchange",
            "https://management.azure.com/",
            "https://management.azure.com/.default",
            "https://api.loganalytics.io/",
            "https://api.loganalytics.io/.default",
            "https://ml.azure.com/.default",
            "privatelink.api.azureml.ms",
            "privatelink.blob.core.windows.net",
            "privatelink.dfs.core.windows.net",
            "privatelink.azurecr.io",
        ]
    );
    assert_eq!(
        row(BuiltInCloud::AzureUSGovernment),
        [
            "https://login.microsoftonline.us/",
            "api://AzureADTokenExchangeUSGov",
            "https://management.usgovcloudapi.net/",
            "https://management.usgovcloudapi.net/.default",
            "https://api.loganalytics.us/",
            "https://api.loganalytics.us/.default",
            "https://ml.azure.us/.default",
            "privatelink.api.ml.azure.us",
            "privatelink.blob.core.usgovcloudapi.net",
            "privatelink.dfs.core.usgovcloudapi.net",
            "privatelink.azurecr.us",
        ]
    );
    assert_eq!(
        row(BuiltInCloud::AzureChina),
        [
            "https://login.chinacloudapi.cn/",
            "api://AzureADTokenExchangeChina",
            "https://management.chinacloudapi.cn/",
            "https://management.chinacloudapi.cn/.default",
            "https://api.loganalytics.azure.cn/",
            "https://api.loganalytics.azure.cn/.default",
            "https://ml.azure.cn/.default",
            "privatelink.api.ml.azure.cn",
            "privatelink.blob.core.chinacloudapi.cn",
            "privatelink.dfs.core.chinacloudapi.cn",
            "privatelink.azurecr.cn",
        ]
    );
}

#[test]
fn no_host_of_one_built_in_cloud_belongs_to_another() {
    let suffixes: Vec<Vec<String>> = BuiltInCloud::iter()
        .map(|c| c.cloud().unwrap().host_suffixes())
        .collect();
    let distinct: BTreeSet<&String> = suffixes.iter().flatten().collect();
    assert_eq!(distinct.len(), suffixes.iter().map(Vec::len).sum::<usize>());
}

#[test]
fn built_in_clouds_extend_the_public_one_or_nothing() {
    for built_in in BuiltInCloud::iter() {
        let extends = Document::read(built_in.document()).unwrap().extends;
        let expected = (built_in != BuiltInCloud::AzurePublic).then_some(BuiltInCloud::AzurePublic);
        assert_eq!(extends, expected, "{built_in}");
    }
}

/// The resource type that an action is on.
fn resource_type(action: &str) -> Option<&str> {
    let verb = action.rsplit_once('/')?;
    match verb.1 {
        // `…/virtualNetworks/join/action` is on the network.
        "action" => Some(verb.0.rsplit_once('/')?.0),
        _ => Some(verb.0),
    }
}

#[test]
fn whatever_the_operator_may_ask_for_has_an_api_version_and_no_entry_is_left_over() {
    for built_in in BuiltInCloud::iter() {
        let cloud = built_in.cloud().unwrap();
        let types: Vec<&str> = RIGHTS.iter().filter_map(|right| resource_type(right.action)).collect();
        for kind in &types {
            assert!(cloud.api_versions.of(kind).is_some(), "{built_in}: {kind}");
        }
        for known in RESOURCE_TYPES {
            let used = |kind: &&str| kind.eq_ignore_ascii_case(known) || is_below(kind, known);
            assert!(types.iter().any(used), "nothing asks for {known}");
        }
    }
}

#[test]
fn a_child_type_has_the_version_of_its_parent_unless_it_has_one_of_its_own() {
    let own = "apiVersions:\n  microsoft.network/privateDnsZones/A: 2025-01-01\n";
    let cloud = from_yaml(&format!("{OWN}{own}")).unwrap();
    let version = |kind: &str| cloud.api_versions.of(kind).map(ToString::to_string);
    for (kind, expected) in [
        ("microsoft.network/privatednszones", Some("2024-06-01")),
        (
            "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            Some("2024-06-01"),
        ),
        ("microsoft.network/privatednszones/a", Some("2025-01-01")),
        ("microsoft.network/loadbalancers", None),
        ("microsoft.network", None),
        ("resourcegroups", None),
        ("", None),
    ] {
        assert_eq!(version(kind).as_deref(), expected, "{kind}");
    }
}

#[test]
fn a_document_says_what_differs_or_everything() {
    let differs = format!(
        "{OWN}logAnalytics: {{endpoint: https://logs.contoso.example, audience: https://logs.contoso.example, apiVersion: v2}}\n\
         privateLink:\n  blob: {{suffix: blob.contoso.example, zone: privatelink.blob.contoso.example}}\n\
         apiVersions:\n  MICROSOFT.storage/storageAccounts: 2026-04-01\n"
    );
    let (cloud, public) = (from_yaml(&differs).unwrap(), BuiltInCloud::AzurePublic.cloud().unwrap());
    assert_eq!(cloud.name, "Contoso");
    assert_eq!(
        cloud.log_analytics.endpoint.to_string(),
        "https://logs.contoso.example/"
    );
    assert_eq!(cloud.log_analytics.api_version.as_str(), "v2");
    assert_eq!(cloud.zone(EndpointGroup::Blob), "privatelink.blob.contoso.example");
    assert_eq!(cloud.private_link.dfs, public.private_link.dfs);
    assert_eq!(cloud.resource_manager, public.resource_manager);
    let storage = cloud.api_versions.of("microsoft.storage/storageaccounts").unwrap();
    assert_eq!(storage.as_str(), "2026-04-01");

    // The built-in ones are documents like any other, under another name.
    let whole = BuiltInCloud::AzurePublic
        .document()
        .replace("name: AzurePublic", "name: Copy");
    let copy = from_yaml(&whole).unwrap();
    assert_eq!(
        Cloud {
            name: public.name.clone(),
            ..copy
        },
        public
    );
    let china = from_yaml("name: Mine\nextends: AzureChina\n").unwrap();
    assert_eq!(china.zone(EndpointGroup::ContainerRegistry), "privatelink.azurecr.cn");
}

#[test]
fn a_value_that_cannot_be_meant_is_told_with_its_line() {
    for (more, line, says) in [
        (
            "authorityHost: http://login.example\n",
            3,
            "write a URL with https, a host and perhaps a port",
        ),
        (
            "authorityHost: https://user@login.example\n",
            3,
            "write a URL with https, a host and perhaps a port",
        ),
        (
            "authorityHost: https://login.example/tenant\n",
            3,
            "write a URL with https, a host",
        ),
        ("authorityHost: login.example\n", 3, "is no URL"),
        ("authorityHosts: https://login.example\n", 3, "authorityHosts"),
        ("\nresourceManager: {endpoint: https://arm.example}\n", 4, "audience"),
        (
            "resourceManager:\n  endpoint: https://arm.example\n  audience: https://arm.example/.default\n",
            5,
            "without /.default",
        ),
        (
            "privateLink:\n  blob: {suffix: blob, zone: privatelink.blob.example}\n",
            4,
            "fully qualified domain name",
        ),
        (
            "privateLink:\n  blobs: {suffix: blob.example, zone: privatelink.blob.example}\n",
            4,
            "blobs",
        ),
        (
            "apiVersions:\n  Microsoft.Resources/tags: newest\n",
            4,
            "write an API version as a date",
        ),
        (
            "storage: {serviceVersion: 2023-11}\n",
            3,
            "write an API version as a date",
        ),
        (
            "logAnalytics: {endpoint: https://l.example, audience: https://l.example, apiVersion: v1/x}\n",
            3,
            "one segment of a path",
        ),
        ("name: Twice\n", 3, "duplicate"),
        ("storage: [\n", 3, "expected mapping start"),
    ] {
        let told = told(&format!("{OWN}{more}"));
        assert!(told.starts_with("read the cloud's document: "), "{told}");
        assert!(told.contains(says), "{more}: {told}");
        assert!(told.contains(&format!("line {line}")), "{more}: {told}");
    }
    let unknown = told("name: X\nextends: AzureGerman\n");
    assert!(
        unknown.contains("line 2") && unknown.contains("AzureUSGovernment"),
        "{unknown}"
    );
}

#[test]
fn what_is_missing_or_contradicts_itself_is_told_with_its_field() {
    let public = || {
        BuiltInCloud::AzurePublic
            .document()
            .replace("name: AzurePublic", "name: Copy")
    };
    let without = |line: &str| {
        let text = public();
        let kept = text.lines().filter(|l| !l.trim_start().starts_with(line));
        told(&kept.map(|l| format!("{l}\n")).collect::<String>())
    };
    let missing = "it is missing: write it, or name the cloud that has it: extends: AzurePublic";
    for (line, field) in [
        ("authorityHost:", "authorityHost"),
        ("tokenExchangeAudience:", "tokenExchangeAudience"),
        ("dfs:", "privateLink.dfs"),
        (
            "Microsoft.Authorization/locks",
            "apiVersions.Microsoft.Authorization/locks",
        ),
    ] {
        assert_eq!(without(line), format!("read the cloud's document: {field}: {missing}"));
    }
    let storage = "apiVersions:\n  Microsoft.Storage/storageAccounts:";
    for (more, says) in [
        (
            format!("{storage} 2023-01-01\n"),
            "2023-01-01 is too old, write 2025-06-01 or a newer one: an older one does not show ipv6Rules",
        ),
        (
            format!("{storage} 2025-05-01-preview\n"),
            "2025-05-01-preview is too old",
        ),
        (
            "apiVersions:\n  Microsoft.Compute/disks: 2024-01-01\n".to_owned(),
            "apiVersions.Microsoft.Compute/disks: the operator asks for no such type",
        ),
        (
            "privateLink:\n  dfs: {suffix: blob.core.windows.net, zone: z.example}\n".to_owned(),
            "privateLink.dfs.suffix: blob has the same one",
        ),
        (
            "privateLink:\n  blob: {suffix: a.example, zone: a.example}\n".to_owned(),
            "privateLink.blob.zone: it is the suffix",
        ),
    ] {
        let told = told(&format!("{OWN}{more}"));
        assert!(told.contains(says), "{told}");
    }
    assert!(told("name: azurechina\nextends: AzurePublic\n").contains("name: it is built in"));
    assert!(told("name: ' '\nextends: AzurePublic\n").contains("name: it is empty"));
    assert!(told("extends: AzurePublic\n").contains("name"));
}

#[test]
fn names_move_between_suffix_and_zone_and_only_below_them() {
    let cloud = BuiltInCloud::AzurePublic.cloud().unwrap();
    let name = |text: &str| text.parse::<Fqdn>().unwrap();
    let data = name("c.westeurope.data.azurecr.io");
    let group = EndpointGroup::ContainerRegistry;
    assert_eq!(cloud.record_name(group, &data).as_deref(), Some("c.westeurope.data"));
    let private = cloud.private_link_name(group, &data).unwrap();
    assert_eq!(private, "c.westeurope.data.privatelink.azurecr.io");
    assert_eq!(cloud.public_name(&name(&private)), Some(data.clone()));
    assert_eq!(cloud.public_name(&data), Some(data));
    for foreign in [
        "azurecr.io",
        "evilazurecr.io",
        "c.azurecr.us",
        "c.azurecr.io.evil.example",
    ] {
        assert_eq!(cloud.record_name(group, &name(foreign)), None, "{foreign}");
    }
    let other = name("c.privatelink.azurecr.us");
    assert_eq!(
        cloud.public_name(&other),
        Some(other),
        "a zone of another cloud is a name like any other"
    );
}
