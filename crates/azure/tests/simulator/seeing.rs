//! What the client sees of a simulated Azure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure_sim::{FaultEffect, FaultRule};
use serde_json::json;
use sreg_api::names::ZONE_GROUP;
use sreg_api::registry::DnsMode;
use sreg_azure::{AzureReader, Patience, connect_through};
use sreg_domain::seen::{Fact, IgnoranceKind, ObstacleKind, VirtualNetworkSeen};
use sreg_domain::{ArmId, AzureAction, EndpointGroup, Known, TargetKind};

use crate::simulated::*;
use crate::steps::*;

#[tokio::test]
async fn a_public_registry_is_seen_with_everything_behind_it() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    assert_eq!(seen(&azure.principal).object_id, OBJECT);
    let registry = seen(azure.registry());
    assert_eq!(registry.public_network_access.as_deref(), Some("Enabled"));
    let details = registry.registry().unwrap();
    assert_eq!(details.regions.len(), 1);
    assert!(details.managed_resource_group.is_some());
    assert_eq!(counts(&azure), (1, 1));
    let storage = only(&azure, TargetKind::Storage);
    assert!(storage.names.contains_key(&EndpointGroup::Blob));
    let acr = only(&azure, TargetKind::ContainerRegistry);
    assert_eq!(replicas(&azure), 1);
    assert!(acr.names.contains_key(&EndpointGroup::ContainerRegistry));
    assert!(!seen(&azure.discovery).is_empty());
    let over = |id: &ArmId| seen(&azure.deny_assignments[id]).len();
    assert!(azure.targets.accounts().all(|(id, _)| over(id) > 0) && over(&id(REGISTRY)) == 0);
    assert_eq!(seen(&azure.reopening_obstacles), &Vec::new());
    assert!(azure.recent_public_clients.is_absent());
    assert_eq!(azure.endpoints.len(), 3);
    assert!(azure.endpoints.values().all(Fact::is_absent));
    assert!(azure.zones.len() == 3 && azure.zones.values().all(Fact::is_absent));
    let elsewhere: Vec<&ArmId> = seen(&azure.zones_elsewhere).iter().map(|z| &z.id).collect();
    assert_eq!(elsewhere, [&sandbox_zone()], "another team's");
    assert_eq!(azure.virtual_networks.len(), 2);
    assert_eq!(
        seen(&azure.virtual_networks[&network("hub")]).location.as_str(),
        "westeurope"
    );
    assert!(azure.subnets.values().all(|s| s.seen().is_some()));
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn lists_in_pages_of_one_are_read_to_their_end() {
    let bench = Bench::new();
    let sandbox = bench.body(&sandbox_zone());
    for group in ["dns", "network"] {
        let zone = sandbox_zone().to_string().replace("/sandbox/", &format!("/{group}/"));
        let mut body = sandbox.clone();
        body["id"] = json!(zone);
        bench.simulator.put_by_hand(&zone, body);
    }
    let whole = bench.observe().await;
    bench.simulator.set_switches(|s| s.page_size = 1);
    let paged = bench.observe().await;
    assert!(seen(&whole.zones_elsewhere).len() > 1, "{:?}", whole.zones_elsewhere);
    assert_eq!(seen(&paged.zones_elsewhere), seen(&whole.zones_elsewhere));
    assert_eq!(paged.endpoints.len(), whole.endpoints.len());
    assert_eq!(paged.deny_assignments, whole.deny_assignments);
    let followed = bench.simulator.journal().snapshot();
    let followed = followed.iter().filter(|r| match &r.entry {
        azure_sim::journal::Entry::Request(request) => request.path.contains("skipToken"),
        _ => false,
    });
    assert!(followed.count() > 0, "no list had a second page");
}

#[tokio::test]
async fn two_regions_with_hierarchical_storage_need_an_endpoint_for_each_group() {
    let bench = Bench::of(world("two-regions"), settings());
    let azure = bench.observe().await;
    assert_eq!(counts(&azure), (2, 1));
    assert!(
        azure
            .targets
            .seen_of(TargetKind::Storage)
            .all(|s| s.storage().unwrap().hierarchical_namespace && s.names.contains_key(&EndpointGroup::Dfs))
    );
    assert_eq!(replicas(&azure), 2);
    assert_eq!(azure.endpoints.len(), 1 + 2 * 2 + 1);
}

/// The spec named another resource group once; what stands there is still ours to look after. Another team's is not.
#[tokio::test]
async fn endpoints_of_ours_in_a_resource_group_that_the_spec_no_longer_names_are_seen() {
    let mut bench = Bench::new();
    let azure = bench.observe().await;
    let elsewhere = id(&format!("{PLATFORM}/resourceGroups/dns"));
    let mut left = Vec::new();
    for (target, group) in targets(&azure) {
        for (owner, name) in [(OWNER, ""), ("other/team/registry", "-theirs")] {
            let AzureAction::CreateEndpoint {
                id,
                location,
                subnet,
                target,
                group,
                manual_request,
                tags,
                owner: _,
            } = create_endpoint(&target, group)
            else {
                panic!("not a creation")
            };
            let id = elsewhere.provider("Microsoft.Network/privateEndpoints", &format!("{}{name}", id.name()));
            if owner == OWNER {
                left.push(id.clone());
            }
            let owner = owner.to_owned();
            bench
                .complete(AzureAction::CreateEndpoint {
                    id,
                    location,
                    subnet,
                    target,
                    group,
                    manual_request,
                    tags,
                    owner,
                })
                .await;
        }
    }
    let found = |azure: sreg_domain::seen::AzureSeen| -> Vec<ArmId> {
        let there = azure.endpoints.iter().filter(|(_, fact)| fact.seen().is_some());
        there.map(|(id, _)| id.clone()).collect()
    };
    left.sort();
    assert_eq!(found(bench.observe().await), left);
    // Also when only one is left, on whichever target.
    for id in left.drain(1..) {
        bench
            .complete(AzureAction::DeleteEndpoint {
                id,
                owner: OWNER.into(),
            })
            .await;
    }
    assert_eq!(found(bench.observe().await), left);
}

/// An endpoint of ours in a resource group that the spec does not name for it.
async fn made_in(bench: &mut Bench, group: &str) -> ArmId {
    let elsewhere = id(&format!("{PLATFORM}/resourceGroups/{group}"));
    let (target, group) = targets(&bench.observe().await).remove(1);
    let mut action = create_endpoint(&target, group);
    let AzureAction::CreateEndpoint { id: one, .. } = &mut action else {
        panic!("not a creation")
    };
    *one = elsewhere.provider("Microsoft.Network/privateEndpoints", one.name());
    let one = one.clone();
    bench.complete(action).await;
    one
}

/// A failed read is no absence: what may be one of ours is not left out for it.
#[tokio::test]
async fn an_endpoint_of_ours_that_cannot_be_read_is_not_left_out() {
    let mut bench = Bench::new();
    let one = made_in(&mut bench, "dns").await;
    let fails = |effect| FaultRule {
        nth: None,
        times: None,
        ..fault(
            "GET",
            "/resourceGroups/dns/providers/Microsoft.Network/privateEndpoints",
            effect,
        )
    };
    bench.simulator.inject(fails(status(500, "InternalServerError", None)));
    assert_eq!(kind(&bench.observe().await.endpoints[&one]), IgnoranceKind::Unreachable);
    // What we may not read is another team's, unless somebody knows of it.
    bench.simulator.clear_faults();
    bench.simulator.inject(fails(status(403, "AuthorizationFailed", None)));
    assert!(!bench.observe().await.endpoints.contains_key(&one));
    bench.known.endpoints = [one.clone()].into();
    assert_eq!(kind(&bench.observe().await.endpoints[&one]), IgnoranceKind::Forbidden);
    // No list and no connection tells of it any more: it is asked for all the same.
    bench.simulator.clear_faults();
    assert!(bench.simulator.delete_by_hand(one.as_str()));
    let azure = bench.observe().await;
    assert!(azure.endpoints.get(&one).is_some_and(|fact| fact.seen().is_none()));
}

#[tokio::test]
async fn rights_are_looked_for_where_something_is_about_to_be_removed() {
    const DELETE: &str = "Microsoft.Network/privateEndpoints/delete";
    let mut bench = crate::policies::without(DELETE, "");
    let one = made_in(&mut bench, "sandbox").await;
    let group = one.resource_group_id().unwrap();
    let azure = bench.observe().await;
    let allowed = seen(&azure.rights[&group]);
    assert!(!allowed.allow(DELETE));
    assert!(allowed.allow("Microsoft.Network/privateEndpoints/privateDnsZoneGroups/delete"));
}

fn sandbox_zone() -> ArmId {
    id(&format!(
        "{PLATFORM}/resourceGroups/sandbox/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    ))
}

/// The first endpoint on the storage changes its names for every network that holds such a zone, also where nothing of ours is.
#[tokio::test]
async fn the_zone_of_another_team_is_seen_with_the_networks_that_it_cuts_off() {
    let linked = |azure: &sreg_domain::seen::AzureSeen| -> Vec<ArmId> {
        let zones = seen(&azure.zones_elsewhere).iter();
        zones
            .flat_map(|z| seen(&z.links).iter().map(|l| l.virtual_network.clone()))
            .collect()
    };
    let mut bench = Bench::new();
    assert_eq!(linked(&bench.observe().await), [network("sandbox")]);
    for mode in [DnsMode::Policy, DnsMode::External] {
        let dns = &mut bench.desired.spec.as_mut().unwrap().endpoints[0].dns;
        dns.mode = mode;
        dns.zones.clear();
        dns.links.clear();
        assert_eq!(linked(&bench.observe().await), [network("sandbox")], "{mode:?}");
    }
}

/// Whoever drops an entry may drop with it the only name of the subscription that its zones stand in.
#[tokio::test]
async fn the_zones_of_an_endpoint_whose_entry_was_dropped_are_seen_wherever_they_are() {
    let mut bench = Bench::new();
    let one = made_in(&mut bench, "sandbox").await;
    let written = AzureAction::PutZoneGroup {
        id: one.child("privateDnsZoneGroups", ZONE_GROUP),
        zones: vec![sandbox_zone()],
        owner: OWNER.into(),
    };
    bench.complete(written).await;
    // No list leads there any more.
    let listing = format!("{PLATFORM}/providers/Microsoft.Network/privateDnsZones");
    bench
        .simulator
        .inject(fault("GET", &listing, status(403, "AuthorizationFailed", None)));
    for place in &mut bench.desired.spec.as_mut().unwrap().endpoints {
        place.dns.mode = DnsMode::External;
        place.dns.zones.clear();
        place.dns.links.clear();
    }
    let azure = bench.observe().await;
    let [zone] = &seen(&azure.zones_elsewhere)[..] else {
        panic!("{:?}", azure.zones_elsewhere)
    };
    assert_eq!(zone.id, sandbox_zone());
    assert!(!seen(&zone.links).is_empty());
}

#[tokio::test]
async fn zones_that_cannot_be_read_are_unknown_only_where_ours_are() {
    let denied = || status(403, "AuthorizationFailed", None);
    let registry = REGISTRY.split("/resourceGroups").next().unwrap();
    let listing = |subscription: &str| format!("{subscription}/providers/Microsoft.Network/privateDnsZones");
    let deny = |path: String| {
        let bench = Bench::new();
        bench.simulator.inject(fault("GET", &path, denied()));
        bench
    };
    let ours = deny(listing(PLATFORM)).observe().await;
    assert_eq!(kind(&ours.zones_elsewhere), IgnoranceKind::Forbidden);
    let informing = deny(listing(registry)).observe().await;
    assert_eq!(seen(&informing.zones_elsewhere).len(), 1, "nothing waits for it");

    let links = format!("{}/virtualNetworkLinks", sandbox_zone());
    let one = deny(links.clone()).observe().await;
    let [zone] = &seen(&one.zones_elsewhere)[..] else {
        panic!("{:?}", one.zones_elsewhere)
    };
    assert_eq!(
        kind(&zone.links),
        IgnoranceKind::Forbidden,
        "a network of ours may be linked"
    );
    let mut bench = deny(links);
    let dns = &mut bench.desired.spec.as_mut().unwrap().endpoints[0].dns;
    (dns.mode, dns.zones, dns.links) = (DnsMode::External, Default::default(), Vec::new());
    assert_eq!(seen(&bench.observe().await.zones_elsewhere), &[]);
}

/// A hub has hundreds of spokes: a visit reads some of them, says which it has not read, and the next visits read those.
#[tokio::test]
async fn no_peered_network_is_left_out_however_many_there_are() {
    const SPOKES: usize = 60;
    let bench = Bench::new();
    let spoke = |at: usize| network(&format!("spoke-{at:02}"));
    for at in 0..SPOKES {
        let id = spoke(at);
        let body = json!({"id": id.as_str(), "name": id.name(), "type": "Microsoft.Network/virtualNetworks",
            "location": "westeurope", "properties": {"provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": [format!("10.77.{at}.0/24")]}}});
        bench.simulator.put_by_hand(id.as_str(), body);
    }
    let hub = bench.desired.endpoints()[0].virtual_network.clone();
    let peering = |at: usize| json!({"name": spoke(at).name(), "properties": {"peeringState": "Connected", "remoteVirtualNetwork": {"id": spoke(at).as_str()}}});
    let mut body = bench.body(&hub);
    body["properties"]["virtualNetworkPeerings"] = (0..SPOKES).map(peering).collect();
    bench.simulator.put_by_hand(hub.as_str(), body);
    let first = bench.observe().await.neighbours;
    let known = |neighbours: &BTreeMap<ArmId, Fact<VirtualNetworkSeen>>| {
        (0..SPOKES)
            .filter(|at| neighbours[&spoke(*at)].seen().is_some())
            .count()
    };
    assert!((40..SPOKES).contains(&known(&first)), "{}", known(&first));
    let unread = (0..SPOKES).filter(|at| first[&spoke(*at)].ignorance().is_some());
    assert_eq!(unread.count(), SPOKES - known(&first));
    assert_eq!(known(&bench.observe().await.neighbours), SPOKES);
}

/// The list has the zone: one "not found" for its links takes no network's answers away.
#[tokio::test]
async fn links_that_are_said_not_to_be_there_are_told_as_that_and_not_as_none() {
    let bench = Bench::new();
    let links = format!("{}/virtualNetworkLinks", sandbox_zone());
    let gone = status(404, "ResourceNotFound", None);
    bench.simulator.inject(fault("GET", &links, gone));
    let azure = bench.observe().await;
    let [zone] = &seen(&azure.zones_elsewhere)[..] else {
        panic!("{:?}", azure.zones_elsewhere)
    };
    assert!(zone.links.is_absent(), "{:?}", zone.links);
}

#[tokio::test]
async fn a_policy_that_denies_and_an_export_policy_are_obstacles() {
    let bench = Bench::new();
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let definition = format!("{subscription}/providers/Microsoft.Authorization/policyDefinitions/no-public");
    bench.simulator.put_by_hand(
        &definition,
        json!({"id": definition, "name": "no-public", "properties": {"displayName": "No public registries", "policyRule": {
            "if": {"field": "Microsoft.MachineLearningServices/registries/publicNetworkAccess", "notEquals": "Disabled"},
            "then": {"effect": "deny"}}}}),
    );
    let assignment = format!("{subscription}/providers/Microsoft.Authorization/policyAssignments/guard");
    bench.simulator.put_by_hand(
        &assignment,
        json!({"id": assignment, "name": "guard", "properties": {"displayName": "guard", "policyDefinitionId": definition}}),
    );
    let azure = bench.observe().await;
    let obstacles = seen(&azure.reopening_obstacles);
    assert_eq!(obstacles.len(), 1, "{obstacles:?}");
    assert!(obstacles[0].message.contains("No public registries"));
    let acr = azure.targets.of(TargetKind::ContainerRegistry).next().unwrap().0;
    bench.simulator.change_by_hand(acr.as_str(), |b| {
        b["properties"]["policies"]["exportPolicy"]["status"] = json!("disabled")
    });
    let obstacles = seen(&bench.observe().await.reopening_obstacles).clone();
    assert_eq!(obstacles.len(), 2);
    // Whoever acknowledged these sentences did so for any spelling of an id.
    bench.simulator.change_by_hand(REGISTRY, |b| {
        let text = b
            .to_string()
            .replace("Microsoft.ContainerRegistry", "microsoft.containerregistry");
        *b = text.parse().unwrap();
    });
    let azure = bench.observe().await;
    assert_ne!(
        azure
            .targets
            .of(TargetKind::ContainerRegistry)
            .next()
            .unwrap()
            .0
            .as_str(),
        acr.as_str()
    );
    assert_eq!(seen(&azure.reopening_obstacles), &obstacles);
    bench.simulator.inject(fault(
        "GET",
        "policyAssignments",
        status(403, "AuthorizationFailed", None),
    ));
    assert_eq!(
        kind(&bench.observe().await.reopening_obstacles),
        IgnoranceKind::Forbidden
    );
}

/// Azure judges an account as it will be as a whole (Azure/azure-policy#793): the same policy refuses the write that opens it.
#[tokio::test]
async fn a_policy_about_another_property_that_refuses_every_write_is_an_obstacle() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let account = azure.targets.of(TargetKind::Storage).next().unwrap().0.clone();
    bench.simulator.change_by_hand(account.as_str(), |b| {
        b["properties"]["allowSharedKeyAccess"] = json!(true);
    });
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let definition = format!("{subscription}/providers/Microsoft.Authorization/policyDefinitions/no-keys");
    bench.simulator.put_by_hand(
        &definition,
        json!({"id": definition, "name": "no-keys", "properties": {"displayName": "No shared keys", "policyRule": {
            "if": {"field": "Microsoft.Storage/storageAccounts/allowSharedKeyAccess", "equals": true},
            "then": {"effect": "deny"}}}}),
    );
    let assignment = format!("{subscription}/providers/Microsoft.Authorization/policyAssignments/guard");
    bench.simulator.put_by_hand(
        &assignment,
        json!({"id": assignment, "name": "guard", "properties": {"displayName": "guard", "policyDefinitionId": definition}}),
    );
    let azure = bench.observe().await;
    let obstacles = seen(&azure.reopening_obstacles);
    assert_eq!(obstacles.len(), 1, "{obstacles:?}");
    assert!(obstacles[0].message.contains("denies every write to"), "{obstacles:?}");
    bench.simulator.change_by_hand(account.as_str(), |b| {
        b["properties"]["allowSharedKeyAccess"] = json!(false);
    });
    assert_eq!(seen(&bench.observe().await.reopening_obstacles).len(), 0);
}

#[tokio::test]
async fn clients_from_public_addresses_are_found_in_the_logs_of_every_target() {
    let mut seed = seed("demo");
    let group = "monitoring";
    seed.log_analytics_workspaces = vec![azure_sim::seed::WorkspaceSeed {
        name: "logs".into(),
        subscription: "platform".into(),
        resource_group: group.into(),
    }];
    let caller = |address: &str| azure_sim::Caller {
        target: "contosoreg".into(),
        address: address.into(),
        requests: 3,
        seconds_ago: 60,
    };
    let mut bench = Bench::of(azure_sim::Simulator::new(seed.clone()), settings());
    let workspace = format!(
        "{}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/logs",
        PLATFORM
    );
    bench.desired.spec.as_mut().unwrap().verification.recent_public_clients =
        Some(sreg_domain::desired::RecentPublicClients {
            workspace: id(&workspace),
            window: Duration::from_secs(3600),
            policy: sreg_api::registry::RecentPublicClientsPolicy::Block,
            accept: vec![],
        });
    let silent = bench.observe().await.recent_public_clients;
    assert!(
        silent.ignorance().is_some_and(|why| why.message.contains("no logs")),
        "{silent:?}"
    );
    seed.callers = vec![caller("20.1.2.3:4711"), caller("10.0.1.4")];
    let bench = Bench {
        desired: bench.desired,
        ..Bench::of(azure_sim::Simulator::new(seed), settings())
    };
    let azure = bench.observe().await;
    let clients = seen(&azure.recent_public_clients);
    let told: Vec<&str> = clients.iter().map(|c| c.address.as_str()).collect();
    let both = ["10.0.1.4", "20.1.2.3"];
    assert_eq!(told, [both, both].concat(), "each at each account: {clients:?}");
}

#[tokio::test]
async fn nonsense_is_an_ignorance_of_that_fact_alone() {
    for (effect, expected) in [
        (FaultEffect::Html { status: 200 }, IgnoranceKind::Nonsense),
        (FaultEffect::Html { status: 502 }, IgnoranceKind::Unreachable),
        (FaultEffect::Html { status: 404 }, IgnoranceKind::Nonsense),
        (FaultEffect::TruncatedJson {}, IgnoranceKind::Nonsense),
        (
            FaultEffect::OkWithError {
                code: "New".into(),
                message: "m".into(),
            },
            IgnoranceKind::Nonsense,
        ),
        (FaultEffect::DropBeforeEffect {}, IgnoranceKind::Unreachable),
        (status(403, "AuthorizationFailed", None), IgnoranceKind::Forbidden),
        (status(429, "TooManyRequests", Some(1)), IgnoranceKind::Throttled),
    ] {
        let bench = Bench::new();
        bench.simulator.inject(fault("GET", "storageAccounts", effect.clone()));
        let azure = bench.observe().await;
        let (_, account) = azure.targets.of(TargetKind::Storage).next().unwrap();
        let why = account.ignorance().unwrap_or_else(|| panic!("{effect:?}")).clone();
        assert_eq!(why.kind, expected, "{effect:?}");
        assert!(why.correlation_id.is_some(), "{effect:?}");
        let mut others = azure.targets.of(TargetKind::ContainerRegistry);
        assert!(azure.registry().seen().is_some() && others.all(|(_, fact)| fact.seen().is_some()));
    }
}

#[tokio::test]
async fn an_absence_is_not_believed_while_something_is_being_created() {
    let mut bench = Bench::new();
    let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    let endpoint = create.resource().clone();
    bench.complete(create).await;
    bench.simulator.delete_by_hand(endpoint.as_str());
    assert_eq!(
        kind(&bench.observe().await.endpoints[&endpoint]),
        IgnoranceKind::Settling,
        "created a moment ago"
    );
    let other = Bench {
        client: Bench::new().client,
        ..bench
    };
    let fresh = connect_through(settings(), Arc::new(InProcess(other.simulator.clone()))).unwrap();
    let azure = fresh
        .observe(
            &other.desired,
            &Known::default(),
            Patience::ordinary(Duration::from_secs(60)),
        )
        .await;
    assert!(
        azure.endpoints[&endpoint].is_absent(),
        "another process has no reason to doubt it"
    );
}

fn locked(bench: &Bench, scope: &str, level: &str) {
    let lock = format!("{scope}/providers/Microsoft.Authorization/locks/hands-off");
    let body = json!({"id": lock, "name": "hands-off", "properties": {"level": level}});
    bench.simulator.put_by_hand(&lock, body);
}

#[tokio::test]
async fn locks_over_the_registry_and_its_accounts_are_seen_wherever_they_are_set() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let storage = azure.targets.of(TargetKind::Storage).next().unwrap().0.clone();
    let acr = azure
        .targets
        .of(TargetKind::ContainerRegistry)
        .next()
        .unwrap()
        .0
        .clone();
    for target in [&id(REGISTRY), &storage, &acr] {
        assert_eq!(seen(&azure.locks[target]), &[], "{target}");
    }
    let subscription = REGISTRY.split("/resourceGroups").next().unwrap();
    let group = storage.resource_group_id().unwrap();
    for (scope, level, over) in [
        (
            subscription,
            "ReadOnly",
            vec![id(REGISTRY), storage.clone(), acr.clone()],
        ),
        (group.as_str(), "SomethingNew", vec![storage.clone(), acr.clone()]),
        (acr.as_str(), "CanNotDelete", vec![acr.clone()]),
    ] {
        let bench = Bench::new();
        locked(&bench, scope, level);
        let azure = bench.observe().await;
        for target in [&id(REGISTRY), &storage, &acr] {
            let covering = seen(&azure.locks[target]).iter().filter(|lock| lock.covers(target));
            let levels: Vec<&str> = covering.map(|lock| lock.level.as_str()).collect();
            let wanted = if over.contains(target) { vec![level] } else { Vec::new() };
            assert_eq!(levels, wanted, "{scope}: {target}");
        }
    }
}

#[tokio::test]
async fn locks_that_may_not_be_read_are_not_taken_for_none() {
    for answer in [
        status(403, "AuthorizationFailed", None),
        status(404, "ResourceNotFound", None),
        status(500, "InternalServerError", None),
    ] {
        let bench = Bench::new();
        bench.simulator.inject(azure_sim::FaultRule {
            nth: None,
            times: None,
            ..fault("GET", "Microsoft.Authorization/locks", answer)
        });
        let azure = bench.observe().await;
        assert!(azure.locks.len() >= 3 && azure.locks.values().all(|locks| locks.ignorance().is_some()));
        assert!(azure.registry().seen().is_some() && azure.reopening_obstacles.seen().is_some());
    }
}

#[tokio::test]
async fn locks_of_endpoints_are_looked_for_only_where_something_is_about_to_be_removed() {
    let mut bench = Bench::new();
    let azure = bench.observe().await;
    let (target, group) = targets(&azure).remove(0);
    let action = create_endpoint(&target, group);
    let id = action.resource().clone();
    bench.complete(action).await;
    assert!(
        !bench.observe().await.locks.contains_key(&id),
        "one that stays costs no read"
    );
    locked(&bench, PLATFORM, "CanNotDelete");
    bench.desired.leaving = true;
    let azure = bench.observe().await;
    let locks = seen(&azure.locks[&id]);
    assert_eq!(
        (locks.len(), locks[0].level.as_str(), locks[0].scope()),
        (1, "CanNotDelete", PLATFORM)
    );
    // Its connection on the target's side goes with it: a lock there keeps both, whether the registry can be read or not.
    bench.simulator.inject(fault(
        "GET",
        "registries/contosoreg?",
        status(500, "InternalServerError", None),
    ));
    let azure = bench.observe().await;
    assert!(azure.registry().ignorance().is_some() && azure.locks.contains_key(&target));
}

/// With an endpoint its target's names lead to its zone: whether that takes records is looked for before, and not after.
#[tokio::test]
async fn locks_and_deny_assignments_over_a_zone_are_looked_for_until_its_endpoints_are_made() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let (target, group) = targets(&azure).remove(0);
    let zone = zone(group);
    bench.simulator.put_by_hand(
        zone.as_str(),
        json!({"id": zone.as_str(), "name": zone.name(), "location": "global", "properties": {}}),
    );
    let scope = zone.resource_group_id().unwrap();
    locked(&bench, scope.as_str(), "ReadOnly");
    let denial = format!("{scope}/providers/Microsoft.Authorization/denyAssignments/blueprint");
    let body = json!({"id": denial, "name": "blueprint", "properties": {
        "denyAssignmentName": "a blueprint's", "scope": scope.as_str(),
        "permissions": [{"actions": ["*"], "notActions": ["*/read"]}],
        "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}], "excludePrincipals": []}});
    bench.simulator.put_by_hand(&denial, body);
    // A process that has seen none a moment ago believes that for a while.
    let mut bench = Bench::of(bench.simulator.clone(), settings());
    let azure = bench.observe().await;
    let locks = seen(&azure.locks[&zone]);
    assert!(
        locks.len() == 1 && locks[0].covers(&zone) && locks[0].level == "ReadOnly",
        "{locks:?}"
    );
    let denials = seen(&azure.deny_assignments[&zone]);
    assert!(
        denials.iter().any(|d| d.covers(&zone) && d.scope == scope.as_str()),
        "{denials:?}"
    );

    bench.simulator.delete_by_hand(&denial);
    bench.complete(create_endpoint(&target, group)).await;
    let azure = bench.observe().await;
    assert!(
        !azure.locks.contains_key(&zone) && !azure.deny_assignments.contains_key(&zone),
        "it costs no read any more"
    );
}

/// Its subnets have another field than a storage account's, and a version that does not name them may leave them out (U37).
#[tokio::test]
async fn subnet_rules_of_a_container_registry_are_read_where_azure_shows_them() {
    for hidden in [false, true] {
        let bench = Bench::new();
        let acr = bench
            .observe()
            .await
            .targets
            .of(TargetKind::ContainerRegistry)
            .next()
            .unwrap()
            .0
            .clone();
        let subnet = network("stranger").child("subnets", "build");
        bench.simulator.change_by_hand(acr.as_str(), |body| {
            body["properties"]["networkRuleSet"] = json!({"defaultAction": "Deny", "ipRules": [],
                "virtualNetworkRules": [{"action": "Allow", "virtualNetworkSubnetResourceId": subnet.as_str()}]});
        });
        bench.simulator.set_switches(|s| s.acr_subnet_rules_hidden = hidden);
        let azure = bench.observe().await;
        let seen = only(&azure, TargetKind::ContainerRegistry);
        let rules = if hidden { Vec::new() } else { vec![subnet.to_string()] };
        assert_eq!(seen.virtual_network_rules, rules);
        let kept = &seen.network["networkRuleSet"]["virtualNetworkRules"];
        assert_eq!(kept.is_array(), !hidden, "for the snapshot: {kept}");
    }
}

/// An account whose switch says Disabled still lets in whom the rules of its perimeter name; its own body does not tell.
#[tokio::test]
async fn a_perimeter_around_an_account_is_seen_whatever_its_switch_says() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    assert_eq!(seen(&azure.reopening_obstacles), &[]);
    let account = azure.targets.of(TargetKind::Storage).next().unwrap().0.clone();
    let configuration = format!("{account}/networkSecurityPerimeterConfigurations/guid.assoc");
    let perimeter =
        format!("{PLATFORM}/resourceGroups/nsp/providers/Microsoft.Network/networkSecurityPerimeters/around");
    let body = json!({
        "id": configuration,
        "name": "guid.assoc",
        "properties": {
            "networkSecurityPerimeter": {"id": perimeter},
            "resourceAssociation": {"name": "assoc", "accessMode": "Enforced"},
        },
    });
    bench.simulator.put_by_hand(&configuration, body);
    // A process that has seen none a moment ago believes that for a while.
    let bench = Bench::of(bench.simulator.clone(), settings());
    let azure = bench.observe().await;
    let [obstacle] = seen(&azure.reopening_obstacles).as_slice() else {
        panic!("{:?}", azure.reopening_obstacles)
    };
    assert_eq!(obstacle.kind, ObstacleKind::Perimeter);
    let command = format!("az resource delete --ids {perimeter}/resourceAssociations/assoc");
    assert!(obstacle.message.contains(&command), "{}", obstacle.message);

    // Without the right nobody knows.
    bench.simulator.inject(fault(
        "GET",
        "networkSecurityPerimeterConfigurations",
        status(403, "AuthorizationFailed", None),
    ));
    assert_eq!(
        kind(&bench.observe().await.reopening_obstacles),
        IgnoranceKind::Forbidden
    );
    // A cloud that has no perimeters has none around an account.
    bench.simulator.inject(fault(
        "GET",
        "networkSecurityPerimeterConfigurations",
        status(404, "InvalidResourceType", None),
    ));
    assert_eq!(seen(&bench.observe().await.reopening_obstacles), &[]);
}
