//! From a public registry to a locked one.

use std::time::Duration;

use sreg_api::registry::*;
use sreg_domain::seen::*;
use sreg_domain::{ArmId, Fact, StepKind, TargetKind};
use sreg_planner::plan::{FindingReason, WaitReason};

use super::*;
use crate::world::scramble::Blow;
use crate::world::*;

#[test]
fn a_public_registry_ends_locked_and_proven_in_the_right_order() {
    let mut world = locked();
    assert!(world.all_closed(), "{:?}", world.closed());
    assert_eq!(world.summary(), "Locked");
    let order = [
        "claim",
        "add-finalizer",
        "create-endpoint hub/amlregistry",
        "put-zone-group hub/amlregistry",
        "link-zone hub privatelink.api.azureml.ms hub",
        "open-round",
        "write-snapshot",
        "close registry",
        "close storage",
    ];
    for pair in order.windows(2) {
        assert!(position(&world, pair[0]) < position(&world, pair[1]), "{pair:?}");
    }
    let (plan, report) = world.visit();
    assert!(plan.waves.is_empty() && report.events.is_empty());
    let exposure = world.seen.object.status.exposure.clone().unwrap();
    assert!(exposure.time_to_remediate_seconds.unwrap() >= 3600, "{exposure:?}");
    let states: Vec<String> = world
        .seen
        .object
        .status
        .history
        .iter()
        .map(|h| h.state.clone())
        .collect();
    assert_eq!(
        states,
        [
            "ConfiguringDns",
            "CreatingEndpoints",
            "ConfiguringDns",
            "Settling",
            "Proving",
            "Locking",
            "Locked"
        ]
    );
}

#[test]
fn two_regions_and_a_hierarchical_namespace_are_proven_in_full() {
    let mut world = World::two_regions(SPEC);
    world.settle(80);
    assert_eq!(world.state(), "Locked");
    let status = &world.seen.object.status;
    // registry, two blobs, one dfs, one container registry
    assert_eq!(status.endpoints_ready.as_deref(), Some("5/5"));
    // three networks × (two registry names, two blob, one dfs, login, two data endpoints)
    assert_eq!(status.paths_verified.as_deref(), Some("24/24"));
}

#[test]
fn a_cascade_spares_the_other_closing_writes() {
    let mut world = World::everyday();
    world.cascades = true;
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    assert!(
        !world.journal.iter().any(|s| s.starts_with("close storage")),
        "{:#?}",
        world.journal
    );
}

#[test]
fn a_registry_is_born_closed_and_ends_locked() {
    let mut world = World::to_be_created();
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(
        !world
            .journal
            .iter()
            .any(|s| s.starts_with("close ") || s.starts_with("open ")),
        "{:#?}",
        world.journal
    );
    // There is no snapshot, and whoever breaks the glass knows before that it opens fully.
    let plan = world.plan();
    let told = plan
        .findings
        .iter()
        .find(|f| f.reason == FindingReason::NothingToRestore);
    let names = [
        "registry contosoreg",
        "storage account born",
        "container registry contosoacr",
    ];
    assert!(
        told.is_some_and(|f| names.iter().all(|name| f.message.contains(name))),
        "{:#?}",
        plan.findings
    );
    // The user can have it open.
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(20);
    assert_eq!((world.state().as_str(), world.summary().as_str()), ("Open", "Open"));
}

#[test]
fn status_erased_at_any_moment_reopens_nothing_and_ends_the_same() {
    for moment in 0..30 {
        let mut world = World::everyday();
        for _ in 0..moment {
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        let closed = world.closed();
        world.suffer(Blow::EraseStatus);
        world.suffer(Blow::Restart);
        for _ in 0..40 {
            let (_, report) = world.visit();
            assert!(
                closed.iter().all(|(k, v)| !v || world.closed()[k]),
                "reopened after {moment} visits"
            );
            world.pass(report.requeue);
        }
        world.settle(40);
        assert_eq!(world.state(), "Locked", "after {moment} visits");
    }
}

#[test]
fn a_new_leader_opens_a_round_of_its_own() {
    let mut world = World::everyday();
    world.until("Proving", 60);
    // It also cannot know what came shortly after the name change that is recorded.
    world.pass(Duration::from_secs(361));
    // The evidence of the former leader's round is complete, but this process knows nothing of its age.
    world.restart();
    let plan = world.plan();
    assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
    assert!(plan.steps().any(|s| s.id.kind == StepKind::OpenRound));
}

#[test]
fn evidence_of_another_round_subject_or_generation_does_not_count() {
    type Forge = fn(&mut ProbeSeen);
    let forgeries: [(&str, Forge); 8] = [
        ("round", |p| p.status.as_mut().unwrap().round += 1),
        ("subject", |p| p.status.as_mut().unwrap().subject = "another".into()),
        ("generation", |p| {
            p.status.as_mut().unwrap().observed_generation = Some(p.generation - 1)
        }),
        ("successes", |p| p.status.as_mut().unwrap().results[0].successes = 2),
        ("addresses", |p| {
            p.status.as_mut().unwrap().results[0].addresses = vec!["20.61.0.1".into()]
        }),
        ("a path told twice", |p| {
            let results = &mut p.status.as_mut().unwrap().results;
            results.push(results[0].clone());
        }),
        ("a missing path", |p| drop(p.status.as_mut().unwrap().results.remove(0))),
        ("a path less asked", |p| drop(p.spec.paths.remove(0))),
    ];
    for (what, forge) in forgeries {
        let mut world = World::everyday();
        world.until("Proving", 60);
        world.pass(Duration::from_secs(1));
        let Some(Fact::Seen(probe)) = world.seen.cluster.probes.get_mut("spoke-agent") else {
            panic!("no probe")
        };
        forge(probe);
        let plan = world.plan();
        assert!(
            !plan.steps().any(|s| s.id.kind == StepKind::WriteSnapshot) && !closes(&plan),
            "{what}: {}",
            sreg_planner::render(&plan)
        );
    }
}

#[test]
fn evidence_older_than_max_age_is_none() {
    let mut world = World::everyday();
    world.until("Proving", 60);
    world.pass(Duration::from_secs(601));
    let plan = world.plan();
    assert!(
        !closes(&plan) && plan.steps().any(|s| s.id.kind == StepKind::OpenRound),
        "{}",
        sreg_planner::render(&plan)
    );
}

#[test]
fn a_new_replica_voids_the_proof() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    world.suffer(Blow::NewReplica);
    let plan = world.plan();
    assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
    world.settle(60);
    assert_eq!(world.seen.object.status.paths_verified.as_deref(), Some("15/15"));
}

fn registry_of(world: &mut World) -> &mut RegistryDetails {
    world.seen.azure.targets.seen_mut(&id(REGISTRY)).unwrap().as_registry()
}

fn storage_accounts(world: &mut World) -> &mut Vec<Option<ArmId>> {
    let region = &mut registry_of(world).regions[0];
    region.accounts.entry(TargetKind::Storage).or_default()
}

fn acr_of(world: &mut World) -> &mut ContainerRegistryDetails {
    world.seen.azure.targets.seen_mut(&acr()).unwrap().as_acr()
}

/// Everything was proven, and would be closed now. Then Azure reports something that no endpoint carries, or no longer reports what
/// was counted on.
#[test]
fn whatever_azure_reports_anew_voids_the_proof() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 9] = [
        ("a replica", |w| {
            acr_of(w).replicas = Fact::Seen(vec!["westeurope".into(), "northeurope".into()])
        }),
        ("no replica", |w| acr_of(w).replicas = Fact::Seen(Vec::new())),
        ("a data endpoint", |w| {
            acr_of(w).data_endpoints = vec!["contosoacr.northeurope.data.azurecr.io".parse().unwrap()]
        }),
        ("a host of discovery", |w| {
            w.seen.azure.discovery = Fact::Seen(vec![registry_name("westeurope"), registry_name("northeurope")])
        }),
        ("no host of discovery", |w| {
            w.seen.azure.discovery = Fact::Seen(Vec::new())
        }),
        ("a region", |w| {
            registry_of(w)
                .regions
                .push(region("northeurope", &[storage("contosostore")]))
        }),
        ("a storage account", |w| {
            storage_accounts(w).push(Some(storage("contosonorth")))
        }),
        ("a storage account that is not named yet", |w| {
            storage_accounts(w).push(None)
        }),
        ("a hierarchical namespace", |w| {
            change_storage(w, |account| account.as_storage().hierarchical_namespace = true)
        }),
    ];
    let mut ready = World::everyday();
    ready.until("Locking", 60);
    assert!(closes(&ready.plan()) || ready.plan().steps().any(|s| s.id.kind == StepKind::WriteSnapshot));
    ready.visit();
    assert!(closes(&ready.plan()), "{}", sreg_planner::render(&ready.plan()));
    for (what, change) in changes {
        let mut world = ready.clone();
        change(&mut world);
        let plan = world.plan();
        assert!(!closes(&plan), "{what}: {}", sreg_planner::render(&plan));
    }
}

/// A client network more is a network more to prove.
#[test]
fn a_new_client_network_voids_the_proof() {
    let mut world = World::everyday();
    world.until("Locking", 60);
    world.respec(|o| {
        let mut office = o.spec.client_networks[2].clone();
        (office.name, office.vantage_point) = ("factory".into(), "factory-agent".into());
        o.spec.client_networks.push(office);
    });
    let (plan, _) = world.visit();
    assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
    world.settle(60);
    assert_eq!(world.seen.object.status.paths_verified.as_deref(), Some("16/16"));
}

/// Operator and agent see the vantage point at different times; nobody has tried anything from where it stands now.
#[test]
fn a_vantage_point_that_moved_or_was_made_anew_voids_what_was_proven_from_it() {
    let moves: [fn(&mut VantagePointSeen); 2] = [|point| point.generation += 1, |point| point.uid = "another".into()];
    for moved in moves {
        let mut world = World::everyday();
        world.until("Locking", 60);
        let Some(Fact::Seen(point)) = world.seen.cluster.vantage_points.get_mut("spoke-agent") else {
            panic!("no vantage point")
        };
        moved(point);
        let plan = world.plan();
        assert!(!closes(&plan), "{}", sreg_planner::render(&plan));
        world.settle(60);
        assert_eq!(world.state(), "Locked");
    }
}

#[test]
fn missing_dns_keeps_it_open_and_names_network_and_hop() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    // The spoke's clients ask somebody else.
    for name in ["contosostore.blob.core.windows.net", "contosoacr.azurecr.io"] {
        world.broken.insert(("spoke".into(), name.into()));
    }
    for _ in 0..30 {
        let (plan, report) = world.visit();
        assert!(!closes(&plan));
        world.pass(report.requeue);
    }
    assert!(world.all_open());
    assert!(
        world.message().contains("spoke cannot reach contoso") && world.message().contains("tcp"),
        "{}",
        world.message()
    );
}

#[test]
fn a_manual_connection_is_approved_by_somebody_else() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.endpoints[0].approval = Some(ApprovalSpec {
            mode: ApprovalMode::Manual,
            request_message: None,
        })
    });
    world.until("AwaitingConnectionApproval", 20);
    assert!(
        world
            .message()
            .contains("az network private-endpoint-connection approve"),
        "{}",
        world.message()
    );
    for fact in world.seen.azure.endpoints.values_mut() {
        if let Fact::Seen(endpoint) = fact {
            endpoint.connection_status = Some("Approved".into());
        }
    }
    world.settle(60);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn an_existing_hub_zone_is_used_and_adopted() {
    let mut world = World::everyday();
    hub_zones(&mut world);
    world.settle(60);
    assert_eq!(world.state(), "Locked");
    assert!(!world.journal.iter().any(|s| s.starts_with("create-zone")));
    assert!(
        !world
            .journal
            .iter()
            .any(|s| s.starts_with("link-zone") && s.ends_with(" hub")),
        "{:#?}",
        world.journal
    );
}

/// Found by the laws: the registry alone was closed by hand before anything was built.
#[test]
fn a_registry_that_is_half_closed_from_the_start_ends_locked() {
    let mut world = World::everyday();
    world.suffer(Blow::CloseRegistry);
    world.settle(60);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert!(world.all_closed());
}

#[test]
fn what_is_already_there_is_adopted_without_a_write() {
    let settled = locked();
    let mut world = World::everyday();
    world.seen.azure = settled.seen.azure.clone();
    world.seen.cluster.probes = settled.seen.cluster.probes.clone();
    world.settle(20);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    assert_eq!(world.journal, ["claim", "add-finalizer"]);
}

#[test]
fn observe_writes_nothing_to_azure_and_says_what_it_would() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
    world.settle(20);
    assert_eq!(world.state(), "Observed");
    assert_eq!(world.journal, ["add-finalizer"]);
    assert!(
        world
            .seen
            .object
            .status
            .findings
            .iter()
            .any(|f| f.reason == "WouldDo" && f.message.contains("would create private endpoint"))
    );
    assert_eq!(world.condition("Ready").unwrap().0, "True");
}

#[test]
fn an_endpoint_moved_to_another_subnet_while_open_is_replaced() {
    let mut world = World::everyday();
    world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(40);
    world.respec(|o| o.spec.endpoints[0].subnet_resource_id = format!("{}/subnets/other", vnet("hub")));
    world.settle(60);
    assert_eq!(world.state(), "Open", "{}", world.message());
    let alive = world.seen.azure.endpoints.values().filter_map(Fact::seen);
    assert!(alive.clone().count() == 3 && alive.clone().all(|e| e.subnet.as_ref().unwrap().name() == "other"));
}

/// A status that calls everything ready hides the repair from the next process, unless it was told before the write.
#[test]
fn a_crash_between_a_repaired_record_and_its_report_does_not_shorten_the_settling() {
    let mut world = World::everyday();
    world.silent.insert("office-agent".into());
    world.until("AwaitingAction", 60);
    world.pass(Duration::from_secs(5 * 3600));
    world.visit();
    world.suffer(Blow::RemoveRecords(0));
    let repairs = |plan: &Plan| plan.steps().any(|s| s.action.changes_names());
    let (first, _) = world.visit();
    assert!(!repairs(&first), "recorded first:\n{}", sreg_planner::render(&first));
    assert_eq!(first.assessment.names_about_to_change.len(), 1);
    let plan = world.plan();
    assert!(repairs(&plan), "{}", sreg_planner::render(&plan));
    world.carry_out(&plan);
    world.restart();
    let repaired = world.now;
    world.silent.clear();
    for _ in 0..400 {
        if closes(&world.plan()) {
            break;
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert!(closes(&world.plan()));
    let settled = world.now.duration_since(repaired);
    assert!(settled.as_secs() >= 3600, "closes after {settled:?}");
}

/// Whether the way back is open has to be known, not hoped.
#[test]
fn what_may_forbid_opening_again_holds_the_lock_while_it_cannot_be_read() {
    let mut world = World::everyday();
    world.until("Settling", 60);
    world.seen.azure.reopening_obstacles = unknown(IgnoranceKind::Forbidden);
    world.pass(Duration::from_secs(4000));
    for _ in 0..20 {
        let (plan, report) = world.visit();
        let rendered = sreg_planner::render(&plan);
        assert!(!closes(&plan), "{rendered}");
        assert!(!rendered.contains("PlanRefused"), "{rendered}");
        world.pass(report.requeue);
    }
    assert!(world.message().contains("read something"), "{}", world.message());
}

/// Nobody is sent to a replica before it is made.
#[test]
fn a_replica_that_azure_is_still_adding_disturbs_no_lock_that_holds_and_is_waited_for_before_one() {
    let adding = |world: &mut World, coming: Vec<sreg_domain::Location>| {
        acr_of(world).replicas_in_passing = coming;
    };
    let mut world = locked();
    adding(&mut world, vec![location("northeurope")]);
    world.settle(10);
    assert_eq!(world.state(), "Locked", "{}", world.message());
    let mut world = World::everyday();
    adding(&mut world, vec![location("northeurope")]);
    stays_open(&mut world, 40, Duration::from_secs(600));
    let told = |w: &sreg_planner::Wait| {
        w.message
            .contains("still adding or removing a replica of contosoacr in northeurope")
    };
    assert!(world.plan().waits.iter().any(told), "{:#?}", world.plan().waits);
    adding(&mut world, Vec::new());
    world.settle(40);
    assert_eq!(world.state(), "Locked");
}

/// Azure adds the name of a new replica to the endpoint by itself: who removed the endpoint of a locked registry would cut off all.
#[test]
fn a_replica_that_no_endpoint_carries_sends_nobody_to_remove_one_while_locked() {
    let mut world = locked();
    acr_of(&mut world).replicas = Fact::Seen(vec![location("westeurope"), location("northeurope")]);
    let plan = world.plan();
    let told = plan
        .waits
        .iter()
        .find(|w| w.reason == WaitReason::HostNotCovered)
        .unwrap();
    for word in ["northeurope", "privateLinkServiceProxies/write", "free"] {
        assert!(told.message.contains(word), "{word}: {}", told.message);
    }
    for word in ["recreate", "delete"] {
        assert!(!told.message.contains(word), "{word}: {}", told.message);
    }
}

#[test]
fn what_shuts_the_way_back_after_the_lock_is_told_before_anybody_needs_it() {
    let mut world = locked();
    let says = "a policy that was assigned yesterday forbids it";
    world.seen.azure.reopening_obstacles = Fact::Seen(vec![obstacle(says)]);
    let (plan, _) = world.settle(10);
    let told = |f: &sreg_planner::plan::Finding| f.reason == FindingReason::ReopeningForbidden && f.message == says;
    assert!(plan.findings.iter().any(told), "{:#?}", plan.findings);
    assert_eq!(world.state(), "Locked");
    world.seen.azure.reopening_obstacles = unknown(IgnoranceKind::Forbidden);
    world.settle(10);
    assert_eq!(world.state(), "Locked");
}

#[test]
fn container_registry_tasks_that_bypass_does_not_let_in_are_named() {
    let mut world = World::everyday();
    acr_of(&mut world).tasks_kept_out = true;
    world.settle(60);
    let plan = world.plan();
    let told = |f: &sreg_planner::plan::Finding| {
        f.reason == FindingReason::BypassKept && f.message.contains("tasks of the registry do not come in by it")
    };
    assert!(plan.findings.iter().any(told), "{:#?}", plan.findings);
}
