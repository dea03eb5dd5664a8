//! Validation: every default is resolved as documented, and every violation says what to write instead.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use sreg_api::RegistryGrantSpec;
use sreg_api::grant::{GrantRequirements, GrantedNamespaces, NetworkUse, RegistryOperation};
use sreg_api::registry::*;
use sreg_api::{SecureRegistry, VantagePoint};
use sreg_domain::desired::NetworkPlace;
use sreg_domain::{EndpointGroup, Grants, Purpose};
use sreg_planner::{FoundGrant, NamesThere, Violation, grant_conditions, grant_violations, grants_serving, validate};
use sreg_planner_world as world;
use world::*;

fn changed(change: impl FnOnce(&mut SecureRegistrySpec)) -> Result<sreg_domain::Desired, Vec<Violation>> {
    let mut object = object(SPEC);
    change(&mut object.spec);
    let grants = Grants::new(vec![grants::everything(&object)]);
    validate(&object, &settings(), &grants).and_then(|desired| match &desired.spec {
        Ok(_) => Ok(desired),
        Err(wrong) => Err(wrong.violations().to_vec()),
    })
}

fn dns(spec: &mut SecureRegistrySpec) -> &mut DnsSpec {
    spec.endpoints[0].dns.get_or_insert_default()
}

fn zone(group: &str, name: &str) -> String {
    format!("{SUB}/resourceGroups/{group}/providers/Microsoft.Network/privateDnsZones/{name}")
}

fn hub_zones(group: &str) -> ZoneIds {
    ZoneIds {
        registry: zone(group, "privatelink.api.azureml.ms"),
        blob: zone(group, "privatelink.blob.core.windows.net"),
        dfs: None,
        container_registry: zone(group, "privatelink.azurecr.io"),
    }
}

#[test]
fn a_network_that_nobody_links_gets_the_only_entry() {
    let desired = changed(|spec| spec.endpoints[0].dns = None).unwrap();
    assert_eq!(desired.endpoints()[0].dns.links, [vnet("hub")]);
    assert!(desired.client_networks().iter().all(|n| n.endpoint == "hub"));
}

#[test]
fn an_entry_without_dns_gets_zones_and_a_link_beside_its_network() {
    let desired = changed(|spec| {
        spec.endpoints[0].dns = None;
        spec.client_networks.remove(1);
    })
    .unwrap();
    let place = &desired.endpoints()[0];
    assert_eq!(place.virtual_network, vnet("hub"));
    assert_eq!(place.resource_group, id(&format!("{SUB}/resourceGroups/net-hub")));
    assert_eq!(place.dns.mode, DnsMode::Managed);
    assert_eq!(
        place.dns.zones[&EndpointGroup::Blob],
        id(&zone("net-hub", "privatelink.blob.core.windows.net"))
    );
    assert_eq!(place.dns.zones.len(), 4);
    assert_eq!(place.dns.links, [vnet("hub")]);
    assert_eq!(desired.owner, "test/ml-platform/contoso-models");
    assert_eq!(
        desired.spec.as_ref().unwrap().verification.dns_settle,
        Duration::from_secs(3600)
    );
}

#[test]
fn a_client_network_gets_the_entry_that_links_it_else_the_only_one() {
    let desired = changed(|_| {}).unwrap();
    assert!(desired.client_networks().iter().all(|n| n.endpoint == "hub"));
    assert!(matches!(
        desired.client_networks()[2].place,
        NetworkPlace::OnPremises(_)
    ));
}

#[test]
fn an_object_that_is_deleted_always_gives_something_to_tear_down() {
    let mut broken: SecureRegistry = object(SPEC);
    broken.spec.registry.resource_id = "nonsense".into();
    broken.spec.endpoints[0].subnet_resource_id = "nonsense".into();
    let grants = Grants::new(vec![grants::everything(&broken)]);
    assert!(validate(&broken, &settings(), &grants).is_err());
    broken.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        START.parse().unwrap(),
    ));
    let desired = validate(&broken, &settings(), &grants).unwrap();
    assert!(desired.endpoints().is_empty() && desired.deletion == DeletionPolicy::Retain);
}

type Change = fn(&mut SecureRegistrySpec);

#[test]
fn violations_name_the_field_and_what_to_write_instead() {
    fn far(spec: &mut SecureRegistrySpec) -> &mut EndpointSpec {
        let mut other = spec.endpoints[0].clone();
        other.name = "far".into();
        other.subnet_resource_id = format!("{}/subnets/endpoints", vnet("far"));
        spec.endpoints.push(other);
        spec.endpoints.last_mut().unwrap()
    }
    let cases: Vec<(Change, &str, &str)> = vec![
        (
            |s| s.registry.resource_id = vnet("hub").to_string(),
            "spec.registry.resourceId",
            "must be the ARM id of an ML registry",
        ),
        (
            |s| {
                s.tags = [
                    ("Owner".to_owned(), "a".to_owned()),
                    ("owner".to_owned(), "b".to_owned()),
                ]
                .into()
            },
            "spec.tags",
            "are one tag for Azure, which compares names without case",
        ),
        (
            |s| drop(s.registry.tags.insert("OWNER".into(), "somebody".into())),
            "spec.registry.tags",
            "\"OWNER\" and \"owner\" are one tag",
        ),
        (
            |s| s.endpoints[0].tags = [("cost/center".to_owned(), "1".to_owned())].into(),
            "spec.endpoints[hub].tags",
            "has '/' in its name",
        ),
        (
            |s| s.tags = [("Azure-team".to_owned(), "1".to_owned())].into(),
            "spec.tags",
            "begins with \"azure\"",
        ),
        (
            |s| s.tags = [("SecureRegistry-Owner".to_owned(), "me".to_owned())].into(),
            "spec.tags",
            "is the operator's own",
        ),
        (
            |s| s.registry.tags = [("secureregistry-Created".to_owned(), "5eed".to_owned())].into(),
            "spec.registry.tags",
            "is the operator's own",
        ),
        (
            |s| s.tags = [("a".repeat(513), "1".to_owned())].into(),
            "spec.tags",
            "more than 512 characters",
        ),
        (
            |s| s.registry.tags = [("a".to_owned(), "ß".repeat(257))].into(),
            "spec.registry.tags",
            "more than 256 characters",
        ),
        (
            |s| {
                s.tags = (0..8).map(|n| (format!("a{n}"), String::new())).collect();
                s.endpoints[0].tags = (0..7).map(|n| (format!("b{n}"), String::new())).collect();
            },
            "spec.endpoints[hub].tags",
            "more than 14 tags",
        ),
        (
            |s| s.client_networks[2].vantage_point = "office-agent?x".into(),
            "spec.clientNetworks[office].vantagePoint",
            "is no name of a VantagePoint",
        ),
        (
            |s| s.client_networks[2].vantage_point = "a".repeat(64),
            "spec.clientNetworks[office].vantagePoint",
            "at most 63 characters",
        ),
        (
            |s| s.endpoints[0].resource_group_resource_id = Some(format!("{SUB}/resourceGroups/rg?x")),
            "spec.endpoints[hub].resourceGroupResourceId",
            "must be the ARM id of a resource group",
        ),
        (
            |s| s.endpoints[0].name_template = Some("pe-{registry}-{group}".into()),
            "spec.endpoints[hub].nameTemplate",
            "must end with {hash}",
        ),
        (
            |s| s.endpoints[0].name_template = Some("pe {group}-{hash}".into()),
            "spec.endpoints[hub].nameTemplate",
            "write letters, digits",
        ),
        (
            |s| {
                s.endpoints[0].name_template =
                    Some("{registry}-{registry}-{registry}-{registry}-{registry}-{hash}".into())
            },
            "spec.endpoints[hub].nameTemplate",
            "Azure takes 64",
        ),
        (
            |s| s.endpoints[0].subnet_resource_id = "hub".into(),
            "spec.endpoints[hub].subnetResourceId",
            "must be the ARM id of a subnet",
        ),
        (
            |s| s.endpoints[0].resource_group_resource_id = Some(MANAGED.into()),
            "spec.endpoints[hub].resourceGroupResourceId",
            "managed resource group",
        ),
        (
            |s| s.endpoints[0].resource_group_resource_id = Some(SUB.into()),
            "spec.endpoints[hub].resourceGroupResourceId",
            "must be the ARM id of a resource group",
        ),
        (
            |s| dns(s).mode = Some(DnsMode::Existing),
            "spec.endpoints[hub].dns",
            "set privateDnsZoneResourceIds",
        ),
        (
            |s| dns(s).private_dns_zone_resource_ids = Some(hub_zones("dns")),
            "spec.endpoints[hub].dns",
            "if, and only if, mode is Existing",
        ),
        (
            |s| {
                dns(s).mode = Some(DnsMode::Existing);
                dns(s).private_dns_zone_resource_ids = Some(ZoneIds {
                    blob: zone("dns", "privatelink.azurecr.io"),
                    ..hub_zones("dns")
                });
            },
            "spec.endpoints[hub].dns.privateDnsZoneResourceIds.blob",
            "must be the ARM id of the zone privatelink.blob.core.windows.net",
        ),
        (
            |s| {
                dns(s).mode = Some(DnsMode::Policy);
                dns(s).link_virtual_networks = None;
                dns(s).zone_resource_group_resource_id = Some(format!("{SUB}/resourceGroups/dns"));
            },
            "spec.endpoints[hub].dns",
            "belongs to mode Managed",
        ),
        (
            |s| dns(s).policy_assignments = Some(PolicyAssignments::Assume),
            "spec.endpoints[hub].dns",
            "policyAssignments belongs to mode Policy",
        ),
        (
            |s| dns(s).mode = Some(DnsMode::External),
            "spec.endpoints[hub].dns",
            "belong to modes Managed and Existing",
        ),
        (
            |s| {
                dns(s)
                    .link_virtual_networks
                    .as_mut()
                    .unwrap()
                    .push(vnet("sandbox").to_string())
            },
            "spec.endpoints[hub].dns.linkVirtualNetworks",
            "under unprovenNetworks with a reason",
        ),
        (
            |s| {
                let place = far(s);
                place.dns.as_mut().unwrap().zone_resource_group_resource_id =
                    Some(format!("{SUB}/resourceGroups/NET-hub"));
                s.client_networks[0].endpoint = Some("hub".into());
                s.client_networks[1].endpoint = Some("hub".into());
                s.client_networks[2].endpoint = Some("hub".into());
            },
            "spec.endpoints[far].dns",
            "overwrite each other's records",
        ),
        (
            |s| {
                let place = far(s);
                place.dns.as_mut().unwrap().link_virtual_networks = Some(Vec::new());
            },
            "spec.clientNetworks[office].endpoint",
            "write endpoint: one of hub, far",
        ),
        (
            |s| s.client_networks[2].endpoint = Some("nowhere".into()),
            "spec.clientNetworks[office].endpoint",
            "write one of hub",
        ),
        (
            |s| s.client_networks[2].virtual_network_resource_id = Some(vnet("hub").to_string()),
            "spec.clientNetworks[office]",
            "exactly one of",
        ),
        (
            |s| s.client_networks[2].on_premises = None,
            "spec.clientNetworks[office]",
            "exactly one of",
        ),
        (
            |s| s.client_networks[1].name = "hub".into(),
            "spec.clientNetworks[hub]",
            "give each its own",
        ),
        (
            |s| s.client_networks[1].vantage_point = "hub-agent".into(),
            "spec.clientNetworks[spoke].vantagePoint",
            "a vantage point of its own",
        ),
        (
            |s| s.client_networks.clear(),
            "spec.publicAccess.desired",
            "list at least one entry under endpoints and one under clientNetworks",
        ),
        (
            |s| s.verification.max_age = "1m".into(),
            "spec.verification.maxAge",
            "raise maxAge or lower the interval",
        ),
        (
            |s| s.verification.interval = "10ms".into(),
            "spec.verification.interval",
            "between 100ms and 10m",
        ),
        (
            |s| s.verification.interval = "soon".into(),
            "spec.verification.interval",
            "must be a duration between 100ms and 10m, written like 90s, 10m or 1h30m",
        ),
        (
            |s| s.verification.consecutive_successes = 0,
            "spec.verification.consecutiveSuccesses",
            "between 1 and 10",
        ),
        (
            |s| s.drift.interval = "1d".into(),
            "spec.drift.interval",
            "written like 90s, 10m or 1h30m",
        ),
        (
            |s| {
                s.public_access.lockdown = Some(LockdownSpec {
                    wait_for: vec![LockdownGate::Window],
                    window: None,
                });
            },
            "spec.publicAccess.lockdown",
            "if, and only if, waitFor contains Window",
        ),
        (
            |s| {
                let window = WindowSpec {
                    schedule: "tonight".into(),
                    time_zone: "Mars/Olympus".into(),
                    duration: "0s".into(),
                };
                s.public_access.lockdown = Some(LockdownSpec {
                    wait_for: vec![LockdownGate::Window],
                    window: Some(window),
                });
            },
            "spec.publicAccess.lockdown.window.schedule",
            "such as 0 22 * * 2",
        ),
        (
            |s| {
                s.unproven_networks = vec![UnprovenNetworkSpec {
                    virtual_network_resource_id: vnet("x").to_string(),
                    reason: " ".into(),
                }]
            },
            "spec.unprovenNetworks[0].reason",
            "say why",
        ),
        (
            |s| {
                s.sharing = Some(SharingSpec {
                    workspace_storage_account_resource_ids: vec!["x".into()],
                })
            },
            "spec.sharing.workspaceStorageAccountResourceIds[0]",
            "must be the ARM id of a storage account",
        ),
        (
            |s| {
                s.verification.recent_public_clients = Some(RecentPublicClientsSpec {
                    log_analytics_workspace_resource_id: "x".into(),
                    window: "7d".into(),
                    policy: RecentPublicClientsPolicy::Block,
                    accept: vec!["office".into()],
                });
            },
            "spec.verification.recentPublicClients.accept[0]",
            "neither an address nor a prefix",
        ),
    ];
    for (change, path, words) in cases {
        let violations = changed(change).expect_err(path);
        let fits = violations.iter().any(|v| v.path == path && v.message.contains(words));
        assert!(fits, "{path}: {words}: {violations:#?}");
    }
}

#[test]
fn ids_compare_without_case() {
    let desired = changed(|s| {
        s.client_networks[0].virtual_network_resource_id = Some(
            vnet("hub")
                .to_string()
                .to_uppercase()
                .replace("/SUBSCRIPTIONS", "/subscriptions"),
        )
    })
    .unwrap();
    assert_eq!(
        desired.client_networks()[0].place,
        NetworkPlace::VirtualNetwork(vnet("hub"))
    );
}

/// What a folder of examples grants the namespace that it declares.
fn granted_in(folder: &std::path::Path) -> Grants {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| read(entry.unwrap().path()));
    let documents: Vec<serde_json::Value> = files
        .flat_map(|text| text.split("\n---\n").map(str::to_owned).collect::<Vec<_>>())
        .map(|document| serde_saphyr::from_str(&document).unwrap())
        .collect();
    let of = |kind: &str| {
        documents
            .iter()
            .filter(|d| d["kind"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    let namespace = of("Namespace").remove(0);
    let labels = serde_json::from_value(namespace["metadata"]["labels"].clone()).unwrap_or_default();
    let grants: Vec<(String, FoundGrant)> = of("RegistryGrant")
        .iter()
        .map(|grant| (grant["metadata"]["name"].to_string(), FoundGrant::new(&grant["spec"])))
        .collect();
    for (name, grant) in &grants {
        let FoundGrant::Spec(spec) = grant else {
            panic!("{name}: {grant:?}")
        };
        assert_eq!(grant_violations(spec), [], "{name}");
    }
    let grants = grants.iter().map(|(name, grant)| (name.as_str(), grant));
    grants_serving(grants, namespace["metadata"]["name"].as_str().unwrap(), &labels)
}

#[test]
fn the_examples_are_valid() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let (mut registries, mut vantage_points) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for folder in ["demo", "observe", "production"] {
        let granted = granted_in(&examples.join(folder));
        for entry in std::fs::read_dir(examples.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for document in text.split("\n---\n") {
                if document.contains("\nkind: VantagePoint\n") {
                    let point = serde_saphyr::from_str::<VantagePoint>(document);
                    let point = point.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    // They belong to the whole cluster: whoever applies all of them overwrites none by another.
                    assert!(
                        vantage_points.insert(point.metadata.name.unwrap()),
                        "{}",
                        path.display()
                    );
                } else if document.contains("\nkind: SecureRegistry\n") {
                    let object: SecureRegistry =
                        serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    let desired = validate(&object, &settings(), &granted)
                        .unwrap_or_else(|v| panic!("{}: {v:#?}", path.display()));
                    // Its own folder grants all that it names, and demands no more than it does.
                    assert_eq!(desired.what_is_wrong(), None, "{}", path.display());
                    assert_eq!(
                        desired.spec.as_ref().unwrap().demanded,
                        Vec::<String>::new(),
                        "{}",
                        path.display()
                    );
                    // Whoever applies all of them overwrites none by another.
                    assert!(registries.insert(object.metadata.name), "{}", path.display());
                    let used = desired.client_networks().iter().map(|network| &network.vantage_point);
                    let names = used.collect::<std::collections::BTreeSet<_>>();
                    assert!(names.is_empty() || names.len() == 3, "{names:?}");
                }
            }
        }
    }
    assert_eq!(registries.len(), 3);
    assert_eq!(
        vantage_points.into_iter().collect::<Vec<_>>(),
        [
            "hub-agent",
            "office",
            "production-hub-agent",
            "production-office",
            "production-spoke-a-agent",
            "spoke-a-agent"
        ]
    );
}

fn grant_spec(yaml: &str) -> RegistryGrantSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

const GRANT: &str = r"
namespaces: {names: [ml-platform]}
registries: [{scope: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ML/, operations: [Lock]}]
virtualNetworks: [{scope: /subscriptions/00000000-0000-0000-0000-000000000001, uses: [Endpoints]}]
vantagePoints: [hub-agent]
";

fn found(spec: &RegistryGrantSpec) -> FoundGrant {
    FoundGrant::Spec(Box::new(spec.clone()))
}

/// What grants of these names give `ml-platform`, which carries no label.
fn given<'a>(grants: impl IntoIterator<Item = &'a (String, FoundGrant)>) -> Grants {
    let grants = grants.into_iter().map(|(name, found)| (name.as_str(), found));
    grants_serving(grants, "ml-platform", &Default::default())
}

#[test]
fn a_grant_serves_namespaces_by_name_or_by_all_of_its_labels() {
    let mut spec = grant_spec(GRANT);
    let labels = |pairs: &[(&str, &str)]| -> std::collections::BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let serves = |spec: &RegistryGrantSpec, namespace: &str, pairs: &[(&str, &str)]| {
        grants_serving([("a", &found(spec))], namespace, &labels(pairs))
            .iter()
            .count()
            == 1
    };
    assert!(serves(&spec, "ml-platform", &[]) && !serves(&spec, "ml-platform-2", &[]));
    spec.namespaces.names.clear();
    assert!(
        !serves(&spec, "ml-platform", &[("a", "1")]),
        "no label is asked for, so nobody is meant"
    );
    spec.namespaces.match_labels = labels(&[("tier", "prod"), ("team", "ml")]);
    assert!(found(&spec).asks_for_labels("any"));
    assert!(serves(&spec, "any", &[("tier", "prod"), ("team", "ml"), ("x", "y")]));
    assert!(!serves(&spec, "any", &[("tier", "prod")]) && !serves(&spec, "any", &[("tier", "test"), ("team", "ml")]));
}

/// One of a newer version, say: beside it a lenient grant must not rule alone.
#[test]
fn a_grant_that_does_not_parse_grants_nothing_and_holds_what_it_may_cover_but_keeps_nobody_from_an_emergency() {
    let lenient = found(&grant_spec(GRANT));
    let spec = serde_json::json!({
        "namespaces": {"names": ["ml-platform"]},
        "registries": [{"scope": REGISTRY, "operations": ["Lock", "Frobnicate"]}],
        "vantagePoints": ["hub-agent"],
    });
    let odd = FoundGrant::new(&spec);
    assert!(matches!(odd, FoundGrant::Illegible(..)));
    let lock = Purpose::Registry(RegistryOperation::Lock);
    let alone = grants_serving([("odd", &odd)], "ml-platform", &Default::default());
    assert!(!alone.allow(lock, &id(REGISTRY)) && !alone.allow_looking_at(&id(REGISTRY)));
    let both = grants_serving(
        [("lenient", &lenient), ("odd", &odd)],
        "ml-platform",
        &Default::default(),
    );
    assert!(both.allow_looking_at(&id(REGISTRY)));
    assert!(!both.allow(lock, &id(REGISTRY)) && !both.allow_vantage_point("hub-agent"));
}

#[test]
fn whoever_may_do_something_with_a_registry_may_look_at_it() {
    let spec = grant_spec(GRANT);
    let grants = given(&[("a".to_owned(), found(&spec))]);
    assert!(grants.allow_looking_at(&id(REGISTRY)));
    assert!(!grants.allow(Purpose::Registry(RegistryOperation::Open), &id(REGISTRY)));
}

type GrantChange = fn(&mut RegistryGrantSpec);

#[test]
fn what_makes_no_sense_in_a_grant_is_told_and_grants_nothing_more_than_its_narrowest_reading() {
    assert_eq!(grant_violations(&grant_spec(GRANT)), []);
    let changes: [(GrantChange, &str); 11] = [
        (
            |s| s.registries[0].scope = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml*".into(),
            "spec.registries[0].scope: \"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml*\" must be",
        ),
        (
            |s| s.registries[0].scope = "/".into(),
            "spec.registries[0].scope: \"/\" must be the ARM id of",
        ),
        (
            |s| s.registries[0].scope = "/subscriptions/x/resourceGroups/../ml".into(),
            "spec.registries[0].scope: ",
        ),
        (
            |s| s.vantage_points = vec!["*".into()],
            "spec.vantagePoints[0]: must be the name of a VantagePoint",
        ),
        (|s| s.namespaces.names.clear(), "spec.namespaces: names nobody"),
        (
            |s| {
                s.registries.clear();
                s.virtual_networks.clear();
                s.vantage_points.clear();
            },
            "spec: grants nothing",
        ),
        (
            |s| {
                s.requires = Some(GrantRequirements {
                    forbidden_fields: vec!["spec.unprovenNetwork".into()],
                    ..Default::default()
                })
            },
            "spec.requires.forbiddenFields[0]: \"spec.unprovenNetwork\" is no field of a SecureRegistry",
        ),
        (
            |s| {
                s.requires = Some(GrantRequirements {
                    forbidden_fields: vec!["spec.deletionPolicy".into()],
                    ..Default::default()
                })
            },
            "spec.requires.forbiddenFields[0]: spec.deletionPolicy is filled in by the API server",
        ),
        (
            |s| {
                s.virtual_networks[0].scope =
                    "/subscriptions/S/resourceGroups/g/providers/Microsoft.Network/virtualNetwork/hub".into()
            },
            "spec.virtualNetworks[0].scope: is a microsoft.network/virtualnetwork, and may be a subscription, a resource group",
        ),
        (
            |s| {
                s.registries[0].scope =
                    "/subscriptions/S/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/x".into()
            },
            "spec.registries[0].scope: is a microsoft.storage/storageaccounts",
        ),
        (
            |s| {
                s.requires = Some(GrantRequirements {
                    minimum_dns_settle: Some("soon".into()),
                    ..Default::default()
                })
            },
            "spec.requires.minimumDnsSettle: \"soon\" must be a duration",
        ),
    ];
    for (change, says) in changes {
        let mut spec = grant_spec(GRANT);
        change(&mut spec);
        let told = Violation::sentence(&grant_violations(&spec));
        assert!(told.contains(says), "{told} does not say {says}");
        let grants = given(&[("a".to_owned(), found(&spec))]);
        let whole = grants.allow(Purpose::Registry(RegistryOperation::Lock), &id(REGISTRY))
            && grants.allow_vantage_point("hub-agent")
            && grants.allow(Purpose::Network(NetworkUse::Endpoints), &vnet("hub"));
        assert!(!whole, "{says}");
    }
}

#[test]
fn every_field_that_a_grant_may_forbid_is_found_where_it_is_set() {
    let fields = sreg_api::crd::fields_of_spec();
    for field in [
        "spec.unprovenNetworks",
        "spec.verification.recentPublicClients.accept",
        "spec.endpoints.dns.policyAssignments",
        "spec.clientNetworks.onPremises.dnsServers",
        "spec.publicAccess.rollback.onFailure",
    ] {
        assert!(fields.contains(field), "{field}");
    }
    assert!(!fields.contains("spec") && fields.iter().all(|f| f.starts_with("spec.")));
}

#[test]
fn grants_that_cover_the_same_are_told_of_each_other() {
    let one = grant_spec(GRANT);
    let mut wide = grant_spec(GRANT);
    wide.registries[0].scope = "/subscriptions/00000000-0000-0000-0000-000000000001".into();
    wide.virtual_networks.clear();
    let mut elsewhere = grant_spec(GRANT);
    elsewhere.namespaces.names = vec!["other".into()];
    let (one, wide, elsewhere) = (found(&one), found(&wide), found(&elsewhere));
    let all = [("elsewhere", &elsewhere), ("one", &one), ("wide", &wide)];
    let told = |name: &str, grant: &FoundGrant, all: &[(&str, &FoundGrant)]| -> Vec<(String, String)> {
        let now = START.parse().unwrap();
        let conditions = grant_conditions((name, grant), (all, None), (&[], 3), now);
        conditions
            .into_iter()
            .map(|c| (format!("{}={}", c.type_, c.status), c.message))
            .collect()
    };
    let (overlaps, message) = told("one", &one, &all).remove(1);
    assert_eq!(overlaps, "Overlapping=True");
    assert!(
        message.starts_with(
            "RegistryGrant wide covers /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ML too"
        ),
        "{message}"
    );
    assert_eq!(told("elsewhere", &elsewhere, &all)[1].0, "Overlapping=False");
    assert_eq!(told("one", &one, &all)[0].0, "Ready=True");
    // One that does not parse refuses what it may cover, whomever it means to serve.
    let odd = serde_json::json!({
        "namespaces": {"names": ["others"]},
        "registries": [{"scope": REGISTRY, "operations": ["Frobnicate"]}],
    });
    let odd = FoundGrant::new(&odd);
    let (overlaps, message) = told("one", &one, &[("odd", &odd), ("one", &one)]).remove(1);
    assert_eq!(overlaps, "Overlapping=True");
    assert!(
        message.starts_with("RegistryGrant odd does not parse and refuses "),
        "{message}"
    );
}

#[test]
fn of_a_grant_it_is_told_whom_it_serves_and_which_names_are_not_there() {
    let one = grant_spec(GRANT);
    let mut labelled = grant_spec(GRANT);
    labelled.namespaces = GrantedNamespaces {
        names: Vec::new(),
        match_labels: [("team".to_owned(), "vision".to_owned())].into(),
    };
    let (one, labelled) = (found(&one), found(&labelled));
    let all = [("labelled", &labelled), ("one", &one)];
    let mut there = NamesThere {
        namespaces: [("ml-platform".to_owned(), Default::default())].into(),
        vantage_points: ["hub-agent".to_owned()].into(),
    };
    let told = |name: &str, grant: &FoundGrant, there: Option<&NamesThere>| {
        let now = START.parse().unwrap();
        let conditions = grant_conditions((name, grant), (&all, there), (&[], 3), now);
        let said = |at: usize| {
            format!(
                "{} {}: {}",
                conditions[at].status, conditions[at].reason, conditions[at].message
            )
        };
        (said(1), said(2))
    };
    let alone = "False Alone: no other grant covers the same for the same namespaces";
    let (overlaps, serves) = told("one", &one, Some(&there));
    assert_eq!(
        (overlaps.as_str(), serves.as_str()),
        (alone, "True Serves: it serves ml-platform")
    );
    let (_, serves) = told("labelled", &labelled, Some(&there));
    assert!(
        serves.starts_with("False ServesNobody: no Namespace carries the labels"),
        "{serves}"
    );
    // A label that is put on later is another matter.
    let carried = [("team".to_owned(), "vision".to_owned())].into();
    there.namespaces.insert("ml-platform".to_owned(), carried);
    there.vantage_points.clear();
    let (overlaps, serves) = told("one", &one, Some(&there));
    assert!(
        overlaps.starts_with("True CoveredTwice: RegistryGrant labelled covers"),
        "{overlaps}"
    );
    let missing = "no VantagePoint is called hub-agent: create it, or correct spec.vantagePoints";
    assert_eq!(serves, format!("False NamesMissing: {missing}; it serves ml-platform"));
    // Where nothing can be listed, whatever may overlap is told.
    let (overlaps, serves) = told("one", &one, None);
    assert!(
        overlaps.starts_with("True CoveredTwice") && serves.starts_with("Unknown NotRead"),
        "{overlaps} {serves}"
    );
}

proptest::proptest! {
    /// Order never matters, and a grant more never takes away what a grant that is understood gave.
    #[test]
    fn the_order_of_grants_never_matters(seed in proptest::collection::vec(0usize..6, 0..5)) {
        let kinds = ["/subscriptions/00000000-0000-0000-0000-000000000001", REGISTRY, MANAGED];
        let spec = |n: usize| {
            let mut spec = grant_spec(GRANT);
            spec.registries[0].scope = kinds[n % 3].into();
            if n >= 3 {
                spec.requires = Some(GrantRequirements { minimum_dns_settle: Some(format!("{n}h")), ..Default::default() });
            }
            spec
        };
        let grants: Vec<(String, FoundGrant)> =
            seed.iter().enumerate().map(|(at, n)| (format!("grant-{at}"), found(&spec(*n)))).collect();
        let forth = given(&grants);
        let back = given(grants.iter().rev());
        proptest::prop_assert_eq!(&forth, &back);
        let lock = Purpose::Registry(RegistryOperation::Lock);
        let fewer = given(grants.iter().skip(1));
        proptest::prop_assert!(!fewer.allow(lock, &id(REGISTRY)) || forth.allow(lock, &id(REGISTRY)));
    }
}
