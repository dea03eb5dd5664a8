//! The client against the simulated Azure in the same process: what it sees, what it writes, what it does not.

mod simulated;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode};
use azure_sim::journal::Entry;
use azure_sim::world::RegistryPut;
use azure_sim::{FaultEffect, FaultRule};
use jiff::Timestamp;
use serde_json::json;
use simulated::{Bench, InProcess, OBJECT, OWNER, REGISTRY, desired, id, network, settings, zone};
use sreg_azure::{Eyes, connect_through};
use sreg_domain::action::{Disposition, Edit, Operation, StepId};
use sreg_domain::naming::{endpoint_name, link_name};
use sreg_domain::seen::{AzureSeen, Fact, IgnoranceKind, OperationState};
use sreg_domain::{ArmId, AzureAction, Effect, EndpointGroup, TargetKind};
use tokio::time::Instant;

fn seen<T>(fact: &Fact<T>) -> &T {
    match fact {
        Fact::Seen(value) => value,
        Fact::Absent => panic!("absent"),
        Fact::Unknown(why) => panic!("unknown: {why:?}"),
    }
}

fn kind<T>(fact: &Fact<T>) -> IgnoranceKind {
    fact.ignorance().expect("something is known").kind
}

fn fault(method: &str, path: &str, effect: FaultEffect) -> FaultRule {
    FaultRule {
        name: None,
        method: Some(method.into()),
        path: Some(path.into()),
        body_contains: None,
        nth: Some(1),
        times: Some(1),
        probability: None,
        seed: 0,
        effect,
    }
}

fn status(status: u16, code: &str, retry_after: Option<u64>) -> FaultEffect {
    FaultEffect::Status {
        status,
        code: Some(code.into()),
        message: None,
        body: None,
        retry_after,
    }
}

/// The three targets with their groups, as the registry reports them.
fn targets(azure: &AzureSeen) -> Vec<(ArmId, EndpointGroup)> {
    let mut all = vec![(id(REGISTRY), EndpointGroup::AmlRegistry)];
    all.extend(azure.storage.keys().map(|id| (id.clone(), EndpointGroup::Blob)));
    all.extend(
        azure
            .container_registries
            .keys()
            .map(|id| (id.clone(), EndpointGroup::ContainerRegistry)),
    );
    all
}

fn create_endpoint(target: &ArmId, group: EndpointGroup) -> AzureAction {
    let place = &desired().endpoints[0];
    AzureAction::CreateEndpoint {
        id: place.resource_group.provider(
            "Microsoft.Network/privateEndpoints",
            &endpoint_name(target, &place.subnet, group),
        ),
        location: "westeurope".into(),
        subnet: place.subnet.clone(),
        target: target.clone(),
        group,
        manual_request: None,
        owner: OWNER.into(),
    }
}

/// Endpoints, zones, groups and links, as a plan would order them.
async fn secure_names(bench: &mut Bench) {
    let azure = bench.observe().await;
    for (target, group) in targets(&azure) {
        let create = create_endpoint(&target, group);
        let endpoint = create.resource().clone();
        bench.complete(create).await;
        bench
            .complete(AzureAction::CreateZone {
                id: zone(group),
                owner: OWNER.into(),
            })
            .await;
        let zone_group = endpoint.child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
        bench
            .complete(AzureAction::PutZoneGroup {
                id: zone_group,
                zones: vec![zone(group)],
            })
            .await;
        for name in ["hub", "spoke-a"] {
            bench.complete(link(group, name)).await;
        }
    }
}

fn link(group: EndpointGroup, name: &str) -> AzureAction {
    AzureAction::LinkZone {
        id: zone(group).child("virtualNetworkLinks", &link_name(&network(name))),
        virtual_network: network(name),
        resolution_policy: sreg_api::registry::ResolutionPolicy::Default,
        owner: OWNER.into(),
    }
}

#[tokio::test]
async fn a_public_registry_is_seen_with_everything_behind_it() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    assert_eq!(seen(&azure.principal).object_id, OBJECT);
    let registry = seen(&azure.registry);
    assert_eq!(registry.public_network_access.as_deref(), Some("Enabled"));
    assert_eq!(registry.regions.len(), 1);
    assert!(registry.managed_resource_group.is_some());
    assert_eq!((azure.storage.len(), azure.container_registries.len()), (1, 1));
    let storage = seen(azure.storage.values().next().unwrap());
    assert!(storage.blob_host.is_some());
    let acr = seen(azure.container_registries.values().next().unwrap());
    assert_eq!(seen(&acr.replicas).len(), 1);
    assert!(acr.login_server.is_some());
    assert!(!seen(&azure.discovery).is_empty());
    assert!(!seen(&azure.deny_assignments).is_empty());
    assert_eq!(seen(&azure.reopening_obstacles), &Vec::<String>::new());
    assert!(azure.recent_public_clients.is_absent());
    assert_eq!(azure.endpoints.len(), 3);
    assert!(azure.endpoints.values().all(Fact::is_absent));
    assert!(azure.zones.len() == 3 && azure.zones.values().all(Fact::is_absent));
    assert_eq!(seen(&azure.zones_elsewhere), &[]);
    assert_eq!(azure.virtual_networks.len(), 2);
    assert_eq!(
        seen(&azure.virtual_networks[&network("hub")]).location.as_str(),
        "westeurope"
    );
    assert!(azure.subnets.values().all(|s| s.seen().is_some()));
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn endpoints_names_and_locks_are_carried_out_and_seen_again() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    let azure = bench.observe().await;
    assert_eq!(azure.endpoints.len(), 3);
    for endpoint in azure.endpoints.values().map(seen) {
        assert!(endpoint.is_ready(), "{endpoint:?}");
        assert_eq!(endpoint.owner.as_deref(), Some(OWNER));
        let members = seen(&endpoint.members);
        assert!(
            !members.is_empty() && members.iter().all(|m| !m.fqdns.is_empty()),
            "{members:?}"
        );
        assert!(
            members
                .iter()
                .flat_map(|m| &m.fqdns)
                .all(|f| !f.as_str().contains("privatelink"))
        );
        assert_eq!(seen(&endpoint.zone_groups).len(), 1);
        assert_eq!(seen(&endpoint.zone_groups)[0].zones.len(), 1);
    }
    for zone in azure.zones.values().map(seen) {
        assert_eq!(zone.owner.as_deref(), Some(OWNER));
        assert_eq!(seen(&zone.links).iter().filter(|l| l.completed).count(), 2);
        assert!(!seen(&zone.records).is_empty());
    }
    let acr = seen(azure.container_registries.values().next().unwrap());
    assert_eq!(
        acr.data_endpoints.len(),
        1,
        "the first endpoint turns data endpoints on"
    );

    for (target, group) in targets(&azure) {
        let azure = bench.observe().await;
        let (kind, expected) = digest(&azure, &target, group);
        bench
            .complete(AzureAction::Edit {
                target: kind,
                id: target,
                edit: Edit::Close,
                expected,
            })
            .await;
    }
    let azure = bench.observe().await;
    assert_eq!(seen(&azure.registry).public_network_access.as_deref(), Some("Disabled"));
    let storage = seen(azure.storage.values().next().unwrap());
    assert_eq!(storage.public_network_access.as_deref(), Some("Disabled"));
    assert_eq!(storage.default_action.as_deref(), Some("Deny"));
    let acr = seen(azure.container_registries.values().next().unwrap());
    assert_eq!(
        (acr.public_network_access.as_deref(), acr.default_action.as_deref()),
        (Some("Disabled"), Some("Deny"))
    );
    assert!(acr.bypass.is_some());
}

fn digest(azure: &AzureSeen, target: &ArmId, group: EndpointGroup) -> (TargetKind, sreg_domain::Digest) {
    let digest = match group.target() {
        TargetKind::Registry => seen(&azure.registry).digest.clone(),
        TargetKind::Storage => seen(&azure.storage[target]).digest.clone(),
        TargetKind::ContainerRegistry => seen(&azure.container_registries[target]).digest.clone(),
    };
    (group.target(), digest)
}

#[tokio::test]
async fn every_action_repeated_writes_nothing_or_harms_nothing() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    let azure = bench.observe().await;
    let before = bench.writes();
    for (target, group) in targets(&azure) {
        let create = create_endpoint(&target, group);
        let zone_group = create
            .resource()
            .child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
        for action in [
            create,
            AzureAction::PutZoneGroup {
                id: zone_group,
                zones: vec![zone(group)],
            },
        ] {
            assert_eq!(bench.carry_out(action).await, Ok(Effect::Done { also_changed: vec![] }));
        }
    }
    assert_eq!(bench.writes(), before, "endpoints and groups are read first");
    for action in [
        AzureAction::CreateZone {
            id: zone(EndpointGroup::Blob),
            owner: "else".into(),
        },
        link(EndpointGroup::Blob, "hub"),
    ] {
        assert_eq!(bench.carry_out(action).await, Ok(Effect::Done { also_changed: vec![] }));
    }
    assert_eq!(
        bench.body(&zone(EndpointGroup::Blob))["tags"][sreg_api::names::OWNER_TAG],
        OWNER,
        "a zone is never overwritten"
    );
}

#[tokio::test]
async fn a_registry_changed_since_the_plan_is_not_written() {
    let bench = Bench::new();
    let expected = seen(&bench.observe().await.registry).digest.clone();
    bench.simulator.change_by_hand(REGISTRY, |body| {
        body["properties"]["mlFlowRegistryUri"] = json!("changed")
    });
    let close = |expected| AzureAction::Edit {
        target: TargetKind::Registry,
        id: id(REGISTRY),
        edit: Edit::Close,
        expected,
    };
    assert!(matches!(bench.carry_out(close(expected)).await, Ok(Effect::Stale(_))));
    assert_eq!(bench.writes(), 0);
    // A new connection of somebody else's does not make it stale.
    let expected = seen(&bench.observe().await.registry).digest.clone();
    bench.simulator.change_by_hand(REGISTRY, |body| {
        body["properties"]["registryPrivateEndpointConnections"] = json!([{"id": "x"}]);
        body["systemData"]["lastModifiedAt"] = json!("now");
    });
    assert!(!matches!(bench.carry_out(close(expected)).await, Ok(Effect::Stale(_))));
    assert_eq!(bench.writes(), 1);
}

#[tokio::test]
async fn closing_a_registry_keeps_fields_that_nobody_knows_however_azure_answers() {
    for form in [
        RegistryPut::Empty202AsyncOperation,
        RegistryPut::Empty202Location,
        RegistryPut::FullObjectPoll,
        RegistryPut::Immediate200,
    ] {
        let mut bench = Bench::new();
        bench.simulator.set_switches(|s| {
            s.registry_put = form;
            s.put_clears_omitted = true;
        });
        bench.simulator.change_by_hand(REGISTRY, |body| {
            body["properties"]["managedResourceGroupSettings"] =
                json!({"assignedIdentities": [{"principalId": "kept"}]});
            body["properties"]["managedResourceGroupTags"] = json!({"kept": "yes"});
            body["properties"]["syndicatedRegistries"] = json!(["kept"]);
            body["properties"]["futureField"] = json!({"kept": 1});
        });
        let expected = seen(&bench.observe().await.registry).digest.clone();
        let edit = AzureAction::Edit {
            target: TargetKind::Registry,
            id: id(REGISTRY),
            edit: Edit::Close,
            expected,
        };
        bench.complete(edit).await;
        let properties = &bench.body(&id(REGISTRY))["properties"];
        assert_eq!(properties["publicNetworkAccess"], "Disabled", "{form:?}");
        for (field, value) in [
            (
                "managedResourceGroupSettings",
                json!({"assignedIdentities": [{"principalId": "kept"}]}),
            ),
            ("managedResourceGroupTags", json!({"kept": "yes"})),
            ("syndicatedRegistries", json!(["kept"])),
        ] {
            assert_eq!(properties[field], value, "{form:?} {field}");
        }
        let records = bench.simulator.records_since(0);
        let put = records.iter().find_map(|r| match &r.entry {
            Entry::Request(request) if request.method == "PUT" => request.body.clone(),
            _ => None,
        });
        let put = put.unwrap();
        assert_eq!(put["properties"]["futureField"], json!({"kept": 1}));
        assert!(!put.to_string().contains(r#""armResourceId":null"#));
    }
}

#[tokio::test]
async fn a_change_by_someone_else_within_the_write_is_reported() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let (storage, fact) = azure.storage.iter().next().unwrap();
    let expected = seen(fact).digest.clone();
    let change = FaultEffect::ChangeFirst {
        id: None,
        patch: json!({"properties": {"minimumTlsVersion": "TLS1_0"}}),
    };
    bench.simulator.inject(fault("PATCH", "storageAccounts", change));
    let edit = AzureAction::Edit {
        target: TargetKind::Storage,
        id: storage.clone(),
        edit: Edit::Close,
        expected,
    };
    let effect = bench.carry_out(edit).await;
    assert_eq!(
        effect,
        Ok(Effect::Done {
            also_changed: vec!["/properties/minimumTlsVersion".into()]
        })
    );
}

#[tokio::test]
async fn what_does_not_carry_our_mark_is_neither_overwritten_nor_deleted() {
    let mut bench = Bench::new();
    let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    let endpoint = create.resource().clone();
    bench.complete(create.clone()).await;
    bench.simulator.change_by_hand(endpoint.as_str(), |body| {
        body["tags"] = json!({"secureregistry-owner": "other/a/b"})
    });
    let before = bench.writes();
    let zone_group = endpoint.child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
    let delete = AzureAction::DeleteEndpoint {
        id: endpoint.clone(),
        owner: OWNER.into(),
    };
    for action in [create, delete] {
        assert!(matches!(bench.carry_out(action).await, Ok(Effect::Stale(_))));
    }
    bench
        .simulator
        .change_by_hand(endpoint.as_str(), |body| body["tags"] = json!({}));
    let group = AzureAction::PutZoneGroup {
        id: zone_group,
        zones: vec![zone(EndpointGroup::AmlRegistry)],
    };
    assert!(matches!(bench.carry_out(group).await, Ok(Effect::Stale(_))));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn endpoints_are_found_by_tag_and_removed_group_first() {
    let mut bench = Bench::new();
    secure_names(&mut bench).await;
    bench.desired.registry = id(&REGISTRY.replace("contosoreg", "gone"));
    let azure = bench.observe().await;
    assert!(azure.registry.is_absent());
    assert_eq!(
        azure.endpoints.len(),
        3,
        "ours are found although no target names them any more"
    );
    for endpoint in azure.endpoints.values().map(seen) {
        let group = endpoint.id.child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
        for _ in 0..2 {
            bench.complete(AzureAction::DeleteZoneGroup { id: group.clone() }).await;
        }
        for _ in 0..2 {
            bench
                .complete(AzureAction::DeleteEndpoint {
                    id: endpoint.id.clone(),
                    owner: OWNER.into(),
                })
                .await;
        }
    }
    assert!(bench.observe().await.endpoints.is_empty());
}

#[tokio::test]
async fn tags_are_added_and_others_kept() {
    let mut bench = Bench::new();
    let expected = seen(&bench.observe().await.registry).digest.clone();
    let tags = BTreeMap::from([("owner".to_owned(), "ml".to_owned())]);
    bench
        .complete(AzureAction::SetTags {
            id: id(REGISTRY),
            tags,
            expected,
        })
        .await;
    assert_eq!(
        bench.body(&id(REGISTRY))["tags"],
        json!({"team": "ml-platform", "owner": "ml"})
    );
    let expected = seen(&bench.observe().await.registry).digest.clone();
    let grant = AzureAction::GrantManagedGroupAccess {
        id: id(REGISTRY),
        principal: OBJECT.into(),
        expected,
    };
    bench.complete(grant).await;
    assert_eq!(seen(&bench.observe().await.registry).assigned_identities, [OBJECT]);
}

#[tokio::test]
async fn a_registry_is_created_closed_and_never_over_another() {
    let mut bench = Bench::new();
    let create = |name: &str| AzureAction::CreateRegistry {
        id: id(&REGISTRY.replace("contosoreg", name)),
        locations: vec!["westeurope".into(), "northeurope".into()],
        tags: BTreeMap::from([("secureregistry-owner".to_owned(), OWNER.to_owned())]),
        assigned_identities: vec![OBJECT.to_owned()],
    };
    assert!(matches!(
        bench.carry_out(create("contosoreg")).await,
        Ok(Effect::Stale(_))
    ));
    bench.complete(create("newreg")).await;
    bench.desired.registry = id(&REGISTRY.replace("contosoreg", "newreg"));
    let azure = bench.observe().await;
    let registry = seen(&azure.registry);
    assert_eq!(registry.public_network_access.as_deref(), Some("Disabled"));
    assert_eq!(registry.regions.len(), 2);
    assert_eq!((azure.storage.len(), azure.container_registries.len()), (2, 1));
    assert_eq!(
        seen(&seen(azure.container_registries.values().next().unwrap()).replicas).len(),
        2
    );
}

#[tokio::test]
async fn a_failed_operation_has_the_deepest_code_by_either_url() {
    let mut bench = Bench::new();
    let nested = |code: &str, inner: Option<&str>| FaultEffect::FailOperation {
        code: code.into(),
        message: "said".into(),
        nested: inner.map(str::to_owned),
    };
    let endpoints = "privateEndpoints/sreg-contosoreg";
    bench.simulator.inject(fault(
        "PUT",
        endpoints,
        nested("RetryableError", Some("ReferencedResourceNotProvisioned")),
    ));
    let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    let failure = failed(&mut bench, create.clone()).await;
    assert_eq!(failure.code.as_deref(), Some("ReferencedResourceNotProvisioned"));
    assert!(matches!(failure.disposition, Disposition::Wait(_)));
    // The endpoint is left behind, failed; the same action completes it.
    bench.complete(create).await;

    bench
        .complete(AzureAction::CreateZone {
            id: zone(EndpointGroup::Blob),
            owner: OWNER.into(),
        })
        .await;
    bench
        .simulator
        .inject(fault("PUT", "virtualNetworkLinks", nested("BadRequest", None)));
    let failure = failed(&mut bench, link(EndpointGroup::Blob, "hub")).await;
    assert_eq!(
        (failure.code.as_deref(), failure.disposition),
        (Some("BadRequest"), Disposition::Terminal)
    );
}

async fn failed(bench: &mut Bench, action: AzureAction) -> sreg_domain::Failure {
    let Ok(Effect::Started(operation)) = bench.carry_out(action).await else {
        panic!("not started")
    };
    bench.operations = vec![operation];
    let azure = bench.observe().await;
    bench.operations.clear();
    match &azure.operations[0].state {
        OperationState::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_and_the_call_sent_again() {
    let bench = Bench::new();
    bench.simulator.inject(fault(
        "GET",
        "registries/contosoreg?",
        status(401, "InvalidAuthenticationToken", None),
    ));
    assert!(seen(&bench.observe().await.registry).managed_resource_group.is_some());
    let records = bench.simulator.records_since(0);
    let tokens = records
        .iter()
        .filter(|r| matches!(&r.entry, Entry::Request(q) if q.path.ends_with("/token")))
        .count();
    assert_eq!(tokens, 2);
}

#[tokio::test]
async fn a_wrong_secret_is_a_missing_right_with_entras_own_code() {
    let mut wrong = settings();
    wrong.credential = sreg_azure::CredentialKind::ClientSecret("wrong".to_owned().into());
    let bench = Bench::with(wrong);
    let azure = bench.observe().await;
    let why = azure.registry.ignorance().unwrap();
    assert_eq!(why.kind, IgnoranceKind::Forbidden);
    assert_eq!(why.code.as_deref(), Some("AADSTS7000215"), "{why:?}");
    assert_eq!(kind(&azure.principal), IgnoranceKind::Forbidden);
    let create = bench
        .carry_out(create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry))
        .await
        .unwrap_err();
    assert_eq!(create.disposition, Disposition::Forbidden);
}

#[tokio::test]
async fn a_lock_waits_alone_while_throttling_pauses_the_subscription() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let all = targets(&azure);
    let inject = |code: &str| {
        bench.simulator.inject(fault(
            "PUT",
            "privateEndpoints/sreg-contosoreg",
            status(429, code, Some(7)),
        ))
    };
    let create = |at: usize| create_endpoint(&all[at].0, all[at].1);
    inject("RetryableErrorDueToAnotherOperation");
    let failure = bench.carry_out(create(0)).await.unwrap_err();
    assert_eq!(failure.disposition, Disposition::Wait(Duration::from_secs(7)));
    assert!(
        bench.carry_out(create(1)).await.is_ok(),
        "another endpoint is not held up"
    );
    inject("SubscriptionRequestsThrottled");
    let failure = bench.carry_out(create(0)).await.unwrap_err();
    assert_eq!(failure.disposition, Disposition::Wait(Duration::from_secs(7)));
    let before = bench.writes();
    let refused =
        sreg_azure::Hands::carry_out(&bench.client, &StepId("s".into()), &create(2), Duration::from_secs(1)).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused.disposition, Disposition::Wait(_)) && refused.message.starts_with("not sent"),
        "{refused:?}"
    );
    assert_eq!(bench.writes(), before);
    assert!(
        bench.observe().await.registry.seen().is_some(),
        "reads have a bucket of their own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_may_have_taken_effect() {
    for effect in [
        FaultEffect::TimeoutAfterEffect {},
        FaultEffect::DropAfterEffect {},
        FaultEffect::TruncatedJson {},
    ] {
        let bench = Bench::new();
        bench.simulator.inject(fault("PUT", "privateEndpoints", effect.clone()));
        let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
        let failure = bench.carry_out(create.clone()).await.unwrap_err();
        assert_eq!(failure.disposition, Disposition::Retry, "{effect:?}");
        assert!(failure.message.ends_with("it may have taken effect"), "{failure:?}");
        // Repeated, it finds its own work.
        assert_eq!(
            bench.carry_out(create).await,
            Ok(Effect::Done { also_changed: vec![] }),
            "{effect:?}"
        );
    }
}

#[tokio::test]
async fn rights_policies_and_deny_assignments_are_told_apart() {
    let bench = Bench::new();
    let create = || create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    for (http, code, disposition) in [
        (403, "LinkedAuthorizationFailed", Disposition::Forbidden),
        (403, "DenyAssignmentAuthorizationFailed", Disposition::Forbidden),
        (403, "RequestDisallowedByPolicy", Disposition::Terminal),
        (409, "ScopeLocked", Disposition::Terminal),
        (500, "InternalServerError", Disposition::Retry),
    ] {
        bench
            .simulator
            .inject(fault("PUT", "privateEndpoints", status(http, code, None)));
        let failure = bench.carry_out(create()).await.unwrap_err();
        assert_eq!(
            (failure.code.as_deref(), failure.disposition),
            (Some(code), disposition)
        );
        assert!(failure.correlation_id.is_some() && failure.status == Some(http));
    }
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
        let why = azure
            .storage
            .values()
            .next()
            .unwrap()
            .ignorance()
            .unwrap_or_else(|| panic!("{effect:?}"))
            .clone();
        assert_eq!(why.kind, expected, "{effect:?}");
        assert!(why.correlation_id.is_some(), "{effect:?}");
        assert!(azure.registry.seen().is_some() && azure.container_registries.values().all(|a| a.seen().is_some()));
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
    let azure = fresh.observe(&other.desired, &[], Duration::from_secs(60)).await;
    assert!(
        azure.endpoints[&endpoint].is_absent(),
        "another process has no reason to doubt it"
    );
}

/// Answers everything with the same bytes, or never; remembers where it was asked.
#[derive(Debug)]
struct Odd {
    status: u16,
    body: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    hosts: Mutex<Vec<String>>,
    calls: AtomicUsize,
}

impl Odd {
    fn new(status: u16, body: Option<&'static str>) -> Arc<Odd> {
        Arc::new(Odd {
            status,
            body,
            headers: vec![],
            hosts: Mutex::default(),
            calls: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl HttpClient for Odd {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.hosts
            .lock()
            .unwrap()
            .push(request.url().host_str().unwrap_or_default().to_owned());
        self.calls.fetch_add(1, Ordering::SeqCst);
        if request.url().path().ends_with("/token") {
            let token = r#"{"access_token":"opaque","expires_in":3600}"#;
            return Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), token));
        }
        let Some(body) = self.body else {
            return std::future::pending().await;
        };
        let mut headers = Headers::new();
        self.headers
            .iter()
            .for_each(|(name, value)| headers.insert(*name, *value));
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(self.status),
            headers,
            body,
        ))
    }
}

#[tokio::test]
async fn no_answer_however_odd_is_taken_for_knowledge() {
    for (status, body) in [
        (200, ""),
        (200, "null"),
        (200, "[]"),
        (200, "{}"),
        (200, "7"),
        (200, "\u{0}\u{1}"),
        (200, r#"{"value":{}}"#),
        (
            200,
            r#"{"properties":[],"location":{},"tags":[],"id":7,"value":null,"nextLink":5}"#,
        ),
        (204, ""),
        (206, "{"),
        (301, "<html>"),
        (404, "<html>nginx</html>"),
        (404, ""),
        (418, "teapot"),
        (599, "{}"),
    ] {
        let client = connect_through(settings(), Odd::new(status, Some(body))).unwrap();
        let operations = [operation("https://management.azure.com/op")];
        let azure = client.observe(&desired(), &operations, Duration::from_secs(30)).await;
        let told = [
            azure.registry.ignorance().is_some(),
            azure.principal.ignorance().is_some(),
            azure.zones_elsewhere.ignorance().is_some(),
            azure.endpoints.values().all(|e| e.ignorance().is_some()) && !azure.endpoints.is_empty(),
            azure.virtual_networks.values().all(|n| n.ignorance().is_some()),
        ];
        assert_eq!(told, [true; 5], "{status} {body:?} {azure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_azure_ends_the_visit_at_its_deadline() {
    let client = connect_through(settings(), Odd::new(200, None)).unwrap();
    let start = Instant::now();
    let azure = client.observe(&desired(), &[], Duration::from_secs(45)).await;
    assert!(start.elapsed() <= Duration::from_secs(46), "{:?}", start.elapsed());
    assert_eq!(kind(&azure.registry), IgnoranceKind::Unreachable);
    assert!(azure.subnets.values().all(|s| s.ignorance().is_some()));
}

fn operation(poll_url: &str) -> Operation {
    Operation {
        step: StepId("s".into()),
        resource: id(REGISTRY),
        poll_url: poll_url.into(),
        started_at: Timestamp::now(),
    }
}

#[tokio::test]
async fn our_token_is_sent_to_no_other_host() {
    let transport = Odd::new(200, Some(r#"{"value":[],"nextLink":"https://evil.example/next"}"#));
    let client = connect_through(settings(), transport.clone()).unwrap();
    let urls = [
        "https://evil.example/op",
        "http://management.azure.com/op",
        "https://management.azure.com:8443/op",
        "https://management.azure.com.evil.example/op",
        "https://user:pass@management.azure.com/op",
        "//evil.example/op",
        "file:///etc/passwd",
        "",
        "nonsense",
    ];
    let operations: Vec<Operation> = urls.iter().map(|u| operation(u)).collect();
    let azure = client.observe(&desired(), &operations, Duration::from_secs(30)).await;
    assert!(
        azure.operations.iter().all(|o| o.state == OperationState::Lost),
        "{:?}",
        azure.operations
    );
    assert_eq!(
        kind(&azure.zones_elsewhere),
        IgnoranceKind::Nonsense,
        "a foreign next link"
    );
    let hosts = transport.hosts.lock().unwrap().clone();
    assert!(
        hosts
            .iter()
            .all(|h| h == "management.azure.com" || h == "login.microsoftonline.com"),
        "{hosts:?}"
    );
}

#[tokio::test]
async fn a_list_that_never_ends_is_nonsense() {
    let endless = r#"{"value":[],"nextLink":"https://management.azure.com/subscriptions/x?again"}"#;
    let transport = Odd::new(200, Some(endless));
    let client = connect_through(settings(), transport.clone()).unwrap();
    let azure = client.observe(&desired(), &[], Duration::from_secs(30)).await;
    assert_eq!(kind(&azure.zones_elsewhere), IgnoranceKind::Nonsense);
    assert!(transport.calls.load(Ordering::SeqCst) < 100);
}

#[tokio::test]
async fn a_write_answered_with_a_foreign_poll_url_is_polled_by_its_resource() {
    let bench = Bench::new();
    // The zone does not exist, so its PUT is accepted by the odd server too, which points elsewhere.
    let odd = Arc::new(Odd {
        status: 202,
        body: Some(""),
        headers: vec![
            ("azure-asyncoperation", "https://evil.example/op"),
            ("location", "https://evil.example/result"),
        ],
        hosts: Mutex::default(),
        calls: AtomicUsize::new(0),
    });
    let client = connect_through(settings(), odd.clone()).unwrap();
    let create = AzureAction::CreateZone {
        id: zone(EndpointGroup::Blob),
        owner: OWNER.into(),
    };
    let effect = sreg_azure::Hands::carry_out(&client, &StepId("s".into()), &create, Duration::from_secs(5)).await;
    let Ok(Effect::Started(operation)) = effect else {
        panic!("{effect:?}")
    };
    assert!(
        operation
            .poll_url
            .starts_with("https://management.azure.com/subscriptions/"),
        "{}",
        operation.poll_url
    );
    drop(bench);
}
