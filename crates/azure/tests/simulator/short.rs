//! Lists that come short to whoever may not read all of them, in place of a refusal (azure.md, U35).

use serde_json::json;
use sreg_domain::seen::{AzureSeen, IgnoranceKind};
use sreg_domain::{ArmId, TargetKind};

use crate::policies::without;
use crate::simulated::*;
use crate::steps::*;

const LINKS: &str = "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read";
const ZONES: &str = "Microsoft.Network/privateDnsZones/read";
const LOCKS: &str = "Microsoft.Authorization/locks/read";
const DENIALS: &str = "Microsoft.Authorization/denyAssignments/read";
const PERIMETERS: &str = "Microsoft.Storage/storageAccounts/networkSecurityPerimeterConfigurations/read";
const REPLICAS: &str = "Microsoft.ContainerRegistry/registries/replications/read";
const ENDPOINTS: &str = "Microsoft.Network/privateEndpoints/read";
const RECORDS: &str = "Microsoft.Network/privateDnsZones/A/read";

type Why = sreg_domain::Ignorance;

/// What a list without that right leaves unknown.
fn left_unknown(azure: &AzureSeen, action: &str) -> Option<Why> {
    let one = match action {
        ZONES => azure.zones_elsewhere.ignorance(),
        LINKS => azure.zones[&zone(sreg_domain::EndpointGroup::Blob)]
            .seen()
            .and_then(|z| z.links.ignorance()),
        RECORDS => azure.zones[&zone(sreg_domain::EndpointGroup::Blob)]
            .seen()
            .and_then(|z| z.records.ignorance()),
        LOCKS => azure.locks[&id(REGISTRY)].ignorance(),
        DENIALS => azure.deny_assignments[&id(REGISTRY)].ignorance(),
        PERIMETERS => azure.reopening_obstacles.ignorance(),
        REPLICAS => only(azure, TargetKind::ContainerRegistry)
            .container_registry()
            .and_then(|details| details.replicas.ignorance()),
        ENDPOINTS => azure.endpoints.values().find_map(|fact| fact.ignorance()),
        other => panic!("{other}"),
    };
    one.cloned()
}

async fn a_zone_of_ours(bench: &mut Bench) {
    let create = sreg_domain::AzureAction::CreateZone {
        id: zone(sreg_domain::EndpointGroup::Blob),
        tags: Default::default(),
        owner: OWNER.into(),
    };
    bench.complete(create).await;
}

#[tokio::test]
async fn a_list_that_may_be_short_tells_nothing_and_the_right_and_its_scope_are_named() {
    for action in [ZONES, LINKS, RECORDS, LOCKS, DENIALS, PERIMETERS, REPLICAS, ENDPOINTS] {
        for short in [true, false] {
            let mut bench = without(action, "");
            bench.simulator.set_switches(|s| s.short_lists = short);
            if [LINKS, RECORDS].contains(&action) {
                a_zone_of_ours(&mut bench).await;
            }
            let azure = bench.observe().await;
            let why = left_unknown(&azure, action).unwrap_or_else(|| panic!("{action} (short: {short}): believed"));
            assert_eq!(why.kind, IgnoranceKind::Forbidden, "{why:?}");
            let named = why.message.to_ascii_lowercase();
            assert!(
                named.contains(&format!("action '{}'", action.to_ascii_lowercase())),
                "{why:?}"
            );
            assert!(named.contains("over scope '/subscriptions/"), "{why:?}");
        }
    }
}

/// The list came; only the question whether it is whole was answered with "not found".
#[tokio::test]
async fn rights_that_are_said_not_to_exist_make_nothing_that_is_listed_absent() {
    for action in [ZONES, LINKS, RECORDS, LOCKS, DENIALS, PERIMETERS, REPLICAS, ENDPOINTS] {
        let mut bench = Bench::new();
        let create = create_endpoint(&id(REGISTRY), sreg_domain::EndpointGroup::AmlRegistry);
        bench.complete(create).await;
        if [LINKS, RECORDS].contains(&action) {
            a_zone_of_ours(&mut bench).await;
        }
        bench.desired.leaving = action == LOCKS;
        let desired = bench.desired.clone();
        // Another process: this one knows what roles allow.
        let mut bench = Bench::of(bench.simulator.clone(), settings());
        bench.desired = desired;
        bench.simulator.inject(azure_sim::FaultRule {
            nth: None,
            times: None,
            ..fault(
                "GET",
                "Microsoft.Authorization/permissions",
                status(404, "ResourceNotFound", None),
            )
        });
        let azure = bench.observe().await;
        assert!(left_unknown(&azure, action).is_some(), "{action}: believed, or absent");
        assert!(
            azure.locks.values().all(|locks| !locks.is_absent()),
            "{:?}",
            azure.locks
        );
    }
}

/// The worst of it: part of what is listed may be read, so that the list looks like one.
#[tokio::test]
async fn the_zones_of_one_group_are_not_taken_for_those_of_the_subscription() {
    for (granted, whole) in [
        (format!("{PLATFORM}/resourceGroups/dns"), false),
        (PLATFORM.to_owned(), true),
    ] {
        let bench = without(ZONES, &granted);
        bench.simulator.set_switches(|s| s.short_lists = true);
        let zones = bench.observe().await.zones_elsewhere;
        assert_eq!(zones.seen().map(Vec::len), whole.then_some(1), "{granted}: {zones:?}");
    }
}

#[tokio::test]
async fn a_lock_that_the_list_left_out_is_not_taken_for_none() {
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let lock = format!("{subscription}/providers/Microsoft.Authorization/locks/hands-off");
    let bench = without(LOCKS, &format!("{subscription}/resourceGroups/elsewhere"));
    bench.simulator.set_switches(|s| s.short_lists = true);
    bench.simulator.put_by_hand(
        &lock,
        json!({"id": lock, "name": "hands-off", "properties": {"level": "ReadOnly"}}),
    );
    let azure = bench.observe().await;
    let targets: Vec<ArmId> = targets(&azure).into_iter().map(|(id, _)| id).collect();
    for target in targets {
        assert_eq!(kind(&azure.locks[&target]), IgnoranceKind::Forbidden, "{target}");
    }
}

/// What is granted above holds below: it is asked once, and believed for some minutes.
#[tokio::test]
async fn rights_are_asked_once_for_each_scope_and_not_again_with_every_visit() {
    use azure_sim::journal::Entry;
    let bench = Bench::new();
    let asked = || -> Vec<String> {
        let records = bench.simulator.records_since(0);
        let requests = records.iter().filter_map(|r| match &r.entry {
            Entry::Request(request) => Some(request.path.clone()),
            Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
        });
        requests.filter(|path| path.contains("/permissions")).collect()
    };
    bench.observe().await;
    let first = asked();
    let distinct: std::collections::BTreeSet<&String> = first.iter().collect();
    assert_eq!(distinct.len(), first.len(), "{first:#?}");
    bench.observe().await;
    assert_eq!(asked().len(), first.len());
}

/// A deployment stack may stand on anything, and one that is not understood may forbid anything.
#[tokio::test]
async fn deny_assignments_are_seen_on_the_registry_its_accounts_and_where_the_endpoints_stand() {
    let scopes = |bench: &Bench, azure: &AzureSeen| -> Vec<ArmId> {
        let targets = targets(azure).into_iter().map(|(id, _)| id);
        let places = bench
            .desired
            .endpoints()
            .iter()
            .map(|place| place.resource_group.clone());
        targets.chain(places).collect()
    };
    let bench = Bench::new();
    let before = bench.observe().await;
    for scope in scopes(&bench, &before) {
        for understood in [true, false] {
            // A process that has seen none a moment ago believes that for a while.
            let bench = Bench::new();
            let denial = format!("{scope}/providers/Microsoft.Authorization/denyAssignments/stack");
            let permissions = if understood {
                json!([{"actions": ["*/write"], "notActions": []}])
            } else {
                json!(null)
            };
            let body = json!({"id": denial, "name": "stack", "properties": {"denyAssignmentName": "stack", "permissions": permissions,
                "principals": [{"id": "00000000-0000-0000-0000-000000000000"}], "scope": scope.as_str()}});
            bench.simulator.put_by_hand(&denial, body);
            let azure = bench.observe().await;
            let fact = &azure.deny_assignments[&scope];
            let write = format!("{}/write", scope.kind());
            let forbids = |all: &Vec<sreg_domain::seen::DenyAssignment>| {
                all.iter()
                    .any(|one| one.covers(&scope) && one.forbids(OBJECT, &write) == Some(true))
            };
            assert_eq!(
                fact.seen().map(forbids),
                understood.then_some(true),
                "{scope}: {fact:?}"
            );
        }
    }
}

/// Azure always keeps one on the managed group, so that its list is never one that is remembered as empty.
#[tokio::test]
async fn deny_assignments_of_the_managed_group_are_listed_once_and_hold_for_its_accounts() {
    use azure_sim::journal::Entry;
    let bench = Bench::new();
    let azure = bench.observe().await;
    let managed = azure
        .registry_details()
        .unwrap()
        .managed_resource_group
        .clone()
        .unwrap();
    let records = bench.simulator.records_since(0);
    let asked = records.iter().filter_map(|r| match &r.entry {
        Entry::Request(request) => Some(request.path.to_ascii_lowercase()),
        Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
    });
    let asked: Vec<String> = asked
        .filter(|path| path.contains("/denyassignments") && path.starts_with(managed.key()))
        .collect();
    let [only] = &asked[..] else { panic!("{asked:#?}") };
    assert!(
        only.starts_with(&format!("{}/providers/microsoft.authorization/", managed.key())),
        "{only}"
    );
    let accounts: Vec<ArmId> = targets(&azure)
        .into_iter()
        .map(|(id, _)| id)
        .filter(|id| *id != bench.desired.registry)
        .collect();
    assert!(accounts.len() > 1);
    for account in accounts {
        assert!(!seen(&azure.deny_assignments[&account]).is_empty(), "{account}");
    }
}

/// Azure deletes an endpoint's network interface with it: a lock there keeps the endpoint.
#[tokio::test]
async fn locks_on_the_network_interface_of_what_may_be_removed_are_looked_for() {
    let mut bench = Bench::new();
    let create = create_endpoint(&id(REGISTRY), sreg_domain::EndpointGroup::AmlRegistry);
    bench.complete(create).await;
    bench.desired.leaving = true;
    let azure = bench.observe().await;
    let endpoint = azure.endpoints.values().find_map(|fact| fact.seen()).unwrap();
    let [interface] = &endpoint.network_interfaces[..] else {
        panic!("{:?}", endpoint.network_interfaces)
    };
    assert_eq!(seen(&azure.locks[interface]), &[]);
    let lock = format!("{interface}/providers/Microsoft.Authorization/locks/keep");
    bench.simulator.put_by_hand(
        &lock,
        json!({"id": lock, "name": "keep", "properties": {"level": "CanNotDelete"}}),
    );
    assert_eq!(seen(&bench.observe().await.locks[interface]).len(), 1);
}
