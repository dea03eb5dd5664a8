//! The lint can fail: every rule is broken on purpose once, in a plan or in the world behind it, and must be named.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use sreg_api::grant::{AccountUse, NetworkUse, RegistryOperation};
use sreg_api::registry::*;
use sreg_domain::desired::{RecentPublicClients, Window};
use sreg_domain::seen::*;
use sreg_domain::{
    Action, AzureAction, ClusterAction, Desired, Digest, Edit, Fact, Grants, Purpose, Seen, StepKind, TargetKind,
};
use sreg_planner::plan::{PathStanding, Plan, Step, WaitReason};
use sreg_planner::{as_far_as_the_lint_lets, lint, render};
use sreg_planner_world as world;
use world::scramble::Blow;
use world::*;

fn rules(desired: &Desired, seen: &Seen, plan: &Plan) -> Vec<&'static str> {
    lint(desired, seen, plan).into_iter().map(|f| f.rule).collect()
}

/// A world whose plan closes the registry.
fn closing() -> (World, Plan) {
    closing_soon(World::everyday())
}

fn closing_soon(mut world: World) -> (World, Plan) {
    for _ in 0..60 {
        let plan = world.plan();
        if plan.steps().any(|s| s.id.to_string().starts_with("close registry")) {
            return (world, plan);
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    panic!("never closes")
}

type Break = fn(&mut World);

fn let_somebody_in(world: &mut World) {
    change_storage(world, |s| s.ip_rules.push("198.51.100.7".into()));
}

fn block_public_clients(world: &mut World) {
    world.desired.spec.as_mut().unwrap().verification.recent_public_clients = Some(RecentPublicClients {
        workspace: id(&format!(
            "{SUB}/resourceGroups/ops/providers/Microsoft.OperationalInsights/workspaces/logs"
        )),
        window: Duration::from_secs(3600),
        policy: RecentPublicClientsPolicy::Block,
        accept: Vec::new(),
    });
}

#[test]
fn a_closing_write_is_refused_when_any_part_of_the_proof_is_gone() {
    let (world, plan) = closing();
    assert_eq!(rules(&world.desired, &world.seen_now(), &plan), Vec::<&str>::new());
    fn spoke(w: &mut World) -> &mut ProbeSeen {
        match w.seen.cluster.probes.get_mut("spoke-agent") {
            Some(Fact::Seen(probe)) => probe,
            other => panic!("{other:?}"),
        }
    }
    let breaks: Vec<(&str, Break)> = vec![
        ("deleting", |w| w.seen.object.deleting = true),
        ("observe", |w| w.desired.observe_only = true),
        ("wanted open", |w| w.desired.public_access = PublicAccess::Enabled),
        ("no finalizer", |w| w.seen.object.has_finalizer = false),
        ("no claim", |w| w.seen.cluster.claim = Fact::Absent),
        ("claim of another", |w| w.claimed_by("a/b")),
        ("break-glasses unread", |w| {
            w.seen.cluster.break_glasses = unknown(IgnoranceKind::Unreachable)
        }),
        ("break-glass", |w| {
            let glass = BreakGlassSeen {
                name: "a".into(),
                uid: "a".into(),
                status: None,
                created_at: w.now,
                duration: Duration::from_secs(60),
                reason: "x".into(),
                requested_by: "y".into(),
            };
            w.seen.cluster.break_glasses = Fact::Seen(vec![glass]);
        }),
        ("no clients", |w| {
            w.desired.spec.as_mut().unwrap().client_networks.clear()
        }),
        ("evidence of another client", |w| {
            w.desired.spec.as_mut().unwrap().client_networks.pop();
        }),
        ("another client", |w| {
            let mut more = w.desired.client_networks()[0].clone();
            more.name = "new".into();
            more.vantage_point = "new-agent".into();
            w.desired.spec.as_mut().unwrap().client_networks.push(more);
        }),
        ("unsettled", |w| {
            w.desired.spec.as_mut().unwrap().verification.dns_settle = Duration::from_secs(1_000_000)
        }),
        ("not approved", |w| {
            w.desired.spec.as_mut().unwrap().gates = vec![LockdownGate::Approval]
        }),
        ("window closed", |w| {
            w.desired.spec.as_mut().unwrap().gates = vec![LockdownGate::Window];
            w.desired.spec.as_mut().unwrap().window = Some(Window {
                schedule: "0 3 1 1 *".into(),
                time_zone: "UTC".into(),
                duration: Duration::from_secs(60),
            });
        }),
        ("window that nobody told", |w| {
            w.desired.spec.as_mut().unwrap().gates = vec![LockdownGate::Window]
        }),
        ("a client at a public address", |w| {
            block_public_clients(w);
            let client = PublicClient {
                address: "203.0.113.9".into(),
                target: id(REGISTRY),
            };
            w.seen.azure.recent_public_clients = Fact::Seen(vec![client]);
        }),
        ("public clients unread", |w| {
            block_public_clients(w);
            w.seen.azure.recent_public_clients = unknown(IgnoranceKind::Unreachable);
        }),
        ("public clients not asked for", block_public_clients),
        ("approval of another change", |w| {
            w.desired.spec.as_mut().unwrap().gates = vec![LockdownGate::Approval];
            let other = ApprovalSeen {
                name: "a".into(),
                change: sreg_api::ChangeKind::Lockdown,
                digest: Digest::from_text("other"),
                approved_by: "jane".into(),
                uid: "uid".into(),
                status: None,
            };
            w.seen.cluster.approvals = Fact::Seen(vec![other]);
        }),
        ("an obstacle that nobody acknowledged", |w| {
            w.seen.azure.reopening_obstacles = Fact::Seen(vec![obstacle("a policy denies it")])
        }),
        ("success with another address", |w| {
            spoke(w).status.as_mut().unwrap().results[0].addresses = vec!["10.0.0.99".into()]
        }),
        ("answered twice", |w| {
            let results = &mut spoke(w).status.as_mut().unwrap().results;
            results.push(results[0].clone());
        }),
        ("obstacles unread", |w| {
            w.seen.azure.reopening_obstacles = unknown(IgnoranceKind::Forbidden)
        }),
        ("no snapshot", |w| w.seen.cluster.snapshot = Fact::Absent),
        ("snapshot misses a target", |w| {
            let Fact::Seen(snapshot) = &mut w.seen.cluster.snapshot else {
                panic!()
            };
            snapshot.targets.remove(&storage("contosostore").to_string()).unwrap();
        }),
        ("snapshot without a rule that people have added", let_somebody_in),
        ("snapshot of other evidence", |w| {
            let Fact::Seen(snapshot) = &mut w.seen.cluster.snapshot else {
                panic!()
            };
            snapshot.evidence_digest = Digest::from_text("other");
        }),
        ("no round", |w| w.seen.memory.round = None),
        ("old round", |w| w.pass(Duration::from_secs(601))),
        ("round of another subject", |w| {
            w.seen.memory.round.as_mut().unwrap().subject = Digest::from_text("other")
        }),
        ("probe of another round", |w| spoke(w).spec.round += 1),
        ("echo of another round", |w| {
            spoke(w).status.as_mut().unwrap().round += 1
        }),
        ("echo of another subject", |w| {
            spoke(w).status.as_mut().unwrap().subject = "x".into()
        }),
        ("answer to another generation", |w| spoke(w).generation += 1),
        ("probe of another object", |w| {
            spoke(w).spec.secure_registry.uid = "x".into()
        }),
        ("probe for another account", |w| {
            spoke(w).spec.service_account_name = "x".into()
        }),
        ("probe elsewhere", |w| spoke(w).namespace = "tenant".into()),
        ("too few successes", |w| {
            spoke(w).status.as_mut().unwrap().results[0].successes = 2
        }),
        ("a failed path", |w| {
            spoke(w).status.as_mut().unwrap().results[0].outcome = sreg_api::probe::ProbeOutcome::Failed
        }),
        ("an untold path", |w| {
            drop(spoke(w).status.as_mut().unwrap().results.pop())
        }),
        ("other addresses asked", |w| {
            spoke(w).spec.paths[0].addresses = vec!["10.0.0.99".into()]
        }),
        ("silent agent", |w| {
            w.silent.insert("spoke-agent".into());
            w.answer();
        }),
        ("vantage point elsewhere", |w| {
            let Some(Fact::Seen(point)) = w.seen.cluster.vantage_points.get_mut("spoke-agent") else {
                panic!()
            };
            point.virtual_network = Some(vnet("hub"));
        }),
        ("new replica", |w| w.suffer(Blow::NewReplica)),
        ("a replica that is still added", |w| {
            let container = w.seen.azure.targets.seen_mut(&acr()).unwrap();
            container.as_acr().replicas_in_passing = vec![location("northeurope")];
        }),
        ("discovery names another host", |w| {
            w.seen.azure.discovery = Fact::Seen(vec!["cert-westeurope.experiments.azureml.net".parse().unwrap()])
        }),
        ("no discovery", |w| w.seen.azure.discovery = Fact::Seen(Vec::new())),
        ("endpoint gone", |w| w.suffer(Blow::RemoveEndpoint(0))),
        ("endpoint pending", |w| {
            for fact in w.seen.azure.endpoints.values_mut() {
                if let Fact::Seen(endpoint) = fact {
                    endpoint.connection_status = Some("Pending".into());
                }
            }
        }),
        ("the registry changed", |w| w.suffer(Blow::Retag)),
    ];
    for (what, spoil) in breaks {
        let mut world = world.clone();
        spoil(&mut world);
        let found = rules(&world.desired, &world.seen_now(), &plan);
        assert!(found.contains(&"proof"), "{what}: {found:?}");
    }
}

/// After a break-glass everything is as it was before the lock and the snapshot is forgotten; the next one is written for the lock
/// that comes back, and says nothing of what that lock may take away.
#[test]
fn a_subnet_that_nobody_answers_for_is_refused_also_in_a_lock_that_comes_back_to_a_new_snapshot() {
    let mut world = World::everyday();
    world.settle(60);
    world.pass(Duration::from_secs(3600));
    world.break_glass(30);
    world.until("BreakGlass", 5);
    world.visit();
    assert!(world.seen.cluster.snapshot.is_absent(), "forgotten");
    world.pass(Duration::from_secs(31 * 60));
    let (world, plan) = closing_soon(world);
    assert_eq!(rules(&world.desired, &world.seen_now(), &plan), Vec::<&str>::new());
    let mut spoilt = world.clone();
    let stranger = vnet("stranger").child("subnets", "build").to_string();
    change_storage(&mut spoilt, |s| s.virtual_network_rules = vec![stranger]);
    let TargetSeen { id, network, .. } = storage_of(&spoilt).clone();
    if let Fact::Seen(snapshot) = &mut spoilt.seen.cluster.snapshot {
        snapshot.targets.get_mut(&id.to_string()).unwrap().network = network;
    }
    let found = lint(&spoilt.desired, &spoilt.seen_now(), &plan);
    assert!(
        found.iter().any(|f| f.message.contains("neither client nor waived")),
        "{found:?}"
    );
}

fn edit(world: &World, edit: Edit) -> Step {
    let expected = world.seen.azure.registry().seen().unwrap().digest.clone();
    let action = AzureAction::Edit {
        target: TargetKind::Registry,
        id: id(REGISTRY),
        edit,
        expected,
    };
    Step {
        id: StepKind::Open.on("by hand"),
        action: Action::Azure(action),
        touches: Vec::new(),
    }
}

fn with(plan: &Plan, step: Step) -> Plan {
    let mut plan = plan.clone();
    plan.waves.push(vec![step]);
    plan
}

#[test]
fn every_rule_has_a_plan_that_breaks_it() {
    let mut broken = Vec::new();
    let mut note = |expected: &'static str, found: Vec<&'static str>| {
        assert!(found.contains(&expected), "{expected} is not among {found:?}");
        broken.push(expected);
    };

    let (world, plan) = closing();
    note(
        "alone",
        rules(
            &world.desired,
            &world.seen_now(),
            &with(&plan, edit(&world, Edit::Open)),
        ),
    );
    note(
        "proof",
        rules(
            &world.desired,
            &{
                let mut s = world.seen_now();
                s.memory.round = None;
                s
            },
            &plan,
        ),
    );
    note(
        "opening",
        rules(
            &world.desired,
            &world.seen_now(),
            &with(&plan, edit(&world, Edit::Open)),
        ),
    );

    let fresh = World::everyday();
    let mut first = fresh.plan();
    first.waves.reverse();
    note("claim first", rules(&fresh.desired, &fresh.seen_now(), &first));

    let mut elsewhere = fresh.clone();
    elsewhere.desired.cluster = "another".into();
    let mut built = fresh.clone();
    built.visit();
    note(
        "claim in azure",
        rules(&elsewhere.desired, &elsewhere.seen_now(), &built.plan()),
    );

    let mut watched = fresh.clone();
    watched.desired.observe_only = true;
    note("observe", rules(&watched.desired, &watched.seen_now(), &fresh.plan()));

    let mut broken_spec = fresh.clone();
    broken_spec.misspec_drift();
    note(
        "valid",
        rules(&broken_spec.desired, &broken_spec.seen_now(), &fresh.plan()),
    );

    let mut locked = World::everyday();
    locked.settle(60);
    let mut lies = locked.plan();
    lies.assessment.paths[0].standing = PathStanding::Unknown("silent".into());
    note("settled", rules(&locked.desired, &locked.seen_now(), &lies));

    let owned = locked.seen.azure.endpoints.keys().next().unwrap().clone();
    let foreign = AzureAction::DeleteEndpoint {
        id: owned.clone(),
        owner: "somebody".into(),
    };
    let foreign = Step {
        id: StepKind::DeleteEndpoint.into(),
        action: Action::Azure(foreign),
        touches: Vec::new(),
    };
    note(
        "ownership",
        rules(&locked.desired, &locked.seen_now(), &with(&locked.plan(), foreign)),
    );
    let early = AzureAction::DeleteEndpoint {
        id: owned,
        owner: locked.desired.owner.clone(),
    };
    let early = Step {
        id: StepKind::DeleteEndpoint.into(),
        action: Action::Azure(early),
        touches: Vec::new(),
    };
    note(
        "order",
        rules(&locked.desired, &locked.seen_now(), &with(&locked.plan(), early)),
    );

    let mut begun = fresh.clone();
    begun.visit();
    let mut unapproved = begun.clone();
    unapproved.desired.spec.as_mut().unwrap().approve_name_changes = true;
    note(
        "approval",
        rules(&unapproved.desired, &unapproved.seen_now(), &begun.plan()),
    );
    note("answers", rules(&fresh.desired, &fresh.seen_now(), &begun.plan()));

    let all_at_once = {
        let mut plan = fresh.plan();
        let place = fresh.desired.endpoints()[0].clone();
        for (group, target) in fresh.groups() {
            let id = fresh.endpoint_id(&place, group, &target);
            let action = AzureAction::CreateEndpoint {
                id,
                location: location("westeurope"),
                subnet: place.subnet.clone(),
                target,
                group,
                manual_request: None,
                tags: Default::default(),
                owner: fresh.desired.owner.clone(),
            };
            plan.waves[2].push(Step {
                id: StepKind::CreateEndpoint.on(format!("{group:?}")),
                action: Action::Azure(action),
                touches: Vec::new(),
            });
        }
        plan
    };
    note("serial", rules(&fresh.desired, &fresh.seen_now(), &all_at_once));

    let mut leaving = locked.clone();
    leaving.delete();
    let mut hasty = leaving.plan();
    hasty.waves.reverse();
    note("teardown", rules(&leaving.desired, &leaving.seen_now(), &hasty));
    let claims = Step {
        id: StepKind::Claim.into(),
        action: Action::Cluster(ClusterAction::Claim {
            lease: "x".into(),
            from: None,
        }),
        touches: Vec::new(),
    };
    note(
        "teardown",
        rules(&leaving.desired, &leaving.seen_now(), &with(&leaving.plan(), claims)),
    );

    note(
        "grants",
        rules(
            &Desired {
                grants: Grants::default(),
                ..fresh.desired.clone()
            },
            &fresh.seen_now(),
            &begun.plan(),
        ),
    );

    let all = [
        "alone",
        "proof",
        "opening",
        "claim first",
        "claim in azure",
        "observe",
        "valid",
        "settled",
        "ownership",
        "order",
        "answers",
        "approval",
        "serial",
        "teardown",
        "grants",
    ];
    assert!(all.iter().all(|rule| broken.contains(rule)), "{broken:?}");
}

/// Whatever one purpose covers is asked of the steps that take it, and of no others: plans from the first visit to the lock, then an
/// opening.
#[test]
fn each_purpose_is_asked_of_the_steps_that_take_it() {
    let mut world = World::everyday();
    world.respec(|o| {
        o.spec.sharing = Some(SharingSpec {
            workspace_storage_account_resource_ids: vec![format!(
                "{SUB}/resourceGroups/others/providers/Microsoft.Storage/storageAccounts/theirs"
            )],
        });
    });
    let mut stories: Vec<(World, Plan)> = Vec::new();
    let mut open = false;
    for _ in 0..60 {
        stories.push((world.clone(), world.plan()));
        if world.state() == "Locked" && !open {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
            open = true;
            continue;
        }
        let (_, report) = world.visit();
        world.pass(report.requeue);
    }
    assert_eq!(world.state(), "Open");
    let breaks = |purpose: Purpose| {
        let without = |(world, plan): &(World, Plan)| {
            let desired = Desired {
                grants: grants::everything_but(&world.object, &[purpose]),
                ..world.desired.clone()
            };
            let found = lint(&desired, &world.seen_now(), plan);
            found.into_iter().find(|f| f.rule == "grants").map(|f| f.message)
        };
        stories.iter().find_map(without)
    };
    for purpose in [
        Purpose::Network(NetworkUse::Endpoints),
        Purpose::Network(NetworkUse::Links),
        Purpose::PrivateDnsZone,
        Purpose::Registry(RegistryOperation::Lock),
        Purpose::Registry(RegistryOperation::Open),
    ] {
        let message = breaks(purpose);
        assert!(
            message.as_ref().is_some_and(|m| m.contains(&format!("{purpose:?}"))),
            "{purpose:?}: {message:?}"
        );
    }
    for purpose in [
        Purpose::Registry(RegistryOperation::Create),
        Purpose::EndpointResourceGroup,
        Purpose::Account(AccountUse::Shared),
        Purpose::LogAnalyticsWorkspace,
    ] {
        assert_eq!(breaks(purpose), None, "{purpose:?}");
    }
    let nobody = |(world, plan): &(World, Plan)| rules(&world.desired, &world.seen_now(), plan).contains(&"grants");
    assert!(!stories.iter().any(nobody));
}

#[test]
fn an_endpoint_whose_networks_ask_another_zone_is_named_while_everything_is_open() {
    let mut world = World::everyday();
    world.visit();
    let plan = world.plan();
    let broken = |world: &World| rules(&world.desired, &world.seen_now(), &plan);
    assert!(!broken(&world).contains(&"answers"));
    let zone = linked_elsewhere("platform", "privatelink.api.azureml.ms", "hub");
    world.seen.azure.zones_elsewhere = Fact::Seen(vec![zone]);
    assert!(broken(&world).contains(&"answers"));
    world.seen.azure.zones_elsewhere = Fact::Seen(Vec::new());
    world
        .seen
        .azure
        .zones
        .values_mut()
        .for_each(|zone| *zone = Fact::Absent);
    assert!(broken(&world).contains(&"answers"));
    // What was lost while something is closed is made again all the same.
    let registry = registry_of(&mut world).unwrap();
    registry.public_network_access = Some("Disabled".into());
    apply::touch(registry);
    assert!(!broken(&world).contains(&"answers"));
}

#[test]
fn a_link_before_its_records_and_a_second_write_on_one_resource_are_named() {
    let mut world = World::everyday();
    for _ in 0..3 {
        world.visit();
    }
    let plan = world.plan();
    let place = &world.desired.endpoints()[0];
    let zone = place.dns.zones.values().next().unwrap();
    let link = AzureAction::LinkZone {
        id: zone.child("virtualNetworkLinks", "x"),
        virtual_network: vnet("hub"),
        resolution_policy: ResolutionPolicy::Default,
        tags: Default::default(),
        owner: world.desired.owner.clone(),
    };
    world.suffer(Blow::RemoveRecords(0));
    world.suffer(Blow::RemoveRecords(1));
    world.suffer(Blow::RemoveRecords(2));
    let step = |name: &str| Step {
        id: StepKind::LinkZone.on(name),
        action: Action::Azure(link.clone()),
        touches: Vec::new(),
    };
    let mut twice = plan.clone();
    twice.waves.push(vec![step("one"), step("two")]);
    let found = lint(&world.desired, &world.seen_now(), &twice);
    assert!(
        found.iter().any(|f| f.message.contains("before the records")),
        "{found:?}\n{}",
        render(&twice)
    );
    assert!(
        found.iter().any(|f| f.message.contains("two writes on one resource")),
        "{found:?}"
    );
}

/// A world whose plan opens all three in an emergency.
fn emergency() -> (World, Plan) {
    let mut world = World::everyday();
    world.until("Locked", 60);
    world.break_glass(30);
    let plan = world.plan();
    assert_eq!(opening(&plan).len(), 3, "{}", render(&plan));
    (world, plan)
}

fn opening(plan: &Plan) -> Vec<String> {
    let opening = plan.steps().filter(|step| step.action.opens());
    opening.map(|step| step.id.to_string()).collect()
}

fn azure_step(id: &str, action: AzureAction) -> Step {
    Step {
        id: StepKind::Open.on(id),
        action: Action::Azure(action),
        touches: Vec::new(),
    }
}

/// What is left of a plan with a fault, after the lint has judged that too.
fn left_of(world: &World, plan: &Plan) -> Plan {
    let seen = world.seen_now();
    assert_ne!(
        rules(&world.desired, &seen, plan),
        Vec::<&str>::new(),
        "{}",
        render(plan)
    );
    let left = as_far_as_the_lint_lets(&world.desired, &seen, plan.clone());
    assert_eq!(lint(&world.desired, &seen, &left), Vec::new(), "{}", render(&left));
    let refused = left.waits.iter().find(|w| w.reason == WaitReason::PlanRefusedStalled);
    assert!(refused.is_some_and(|w| w.message.contains("please report it")));
    let writes = left.steps().filter(|step| matches!(step.action, Action::Azure(_)));
    assert!(writes.into_iter().all(|step| step.action.opens()), "{}", render(&left));
    left
}

#[test]
fn a_fault_in_what_builds_or_removes_keeps_nobody_from_the_way_back() {
    let (world, plan) = emergency();
    let (endpoint, _) = world.seen.azure.endpoints.iter().next().unwrap();
    let account = storage("contosostore");
    let expected = world.seen.azure.targets.get(&account).seen().unwrap().digest.clone();
    let faults = [
        AzureAction::DeleteEndpoint {
            id: endpoint.clone(),
            owner: world.desired.owner.clone(),
        },
        AzureAction::SetTags {
            id: id("/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/other"),
            tags: Default::default(),
            removed: Vec::new(),
            expected: expected.clone(),
        },
        AzureAction::Edit {
            target: TargetKind::Storage,
            id: account,
            edit: Edit::Close,
            expected,
        },
    ];
    for fault in faults {
        for at in [0, plan.waves.len()] {
            let mut broken = plan.clone();
            broken.waves.insert(at, vec![azure_step("fault", fault.clone())]);
            assert_eq!(opening(&left_of(&world, &broken)), opening(&plan), "{fault:?}");
        }
    }
}

#[test]
fn of_what_opens_only_what_breaks_a_rule_itself_is_dropped() {
    let (mut world, plan) = emergency();
    let operation = sreg_domain::Operation {
        step: StepKind::Close.on("storage contosostore"),
        resource: storage("contosostore"),
        poll_url: "https://arm/op".into(),
        started_at: world.now,
    };
    let state = OperationState::Running { retry_after: None };
    world.seen.azure.operations = vec![OperationSeen { operation, state }];
    let left = left_of(&world, &plan);
    let others = opening(&plan).into_iter().filter(|step| !step.contains(" storage "));
    assert_eq!(opening(&left), others.collect::<Vec<_>>());
    // Where nothing allows it, nothing of it is left.
    world.seen.cluster.break_glasses = Fact::Seen(Vec::new());
    assert_eq!(opening(&left_of(&world, &plan)), Vec::<&str>::new());
}

#[test]
fn an_endpoint_whose_names_no_policy_is_seen_to_make_is_refused() {
    let mut world = World::by_policy();
    let creates = |plan: &Plan| plan.steps().any(|s| s.id.kind == StepKind::CreateEndpoint);
    let mut plan = world.plan();
    while !creates(&plan) {
        world.visit();
        plan = world.plan();
    }
    assert_eq!(rules(&world.desired, &world.seen_now(), &plan), [""; 0]);
    let mut without = world.clone();
    without.dns_policies = Fact::Seen(Vec::new());
    assert_eq!(rules(&without.desired, &without.seen_now(), &plan), ["names"]);
    without.desired.spec.as_mut().unwrap().endpoints[0].dns.policies_assumed = true;
    assert_eq!(rules(&without.desired, &without.seen_now(), &plan), [""; 0]);
}

/// The installation of another cluster may have our name, and its objects the same: their endpoints carry our tag.
#[test]
fn the_records_of_an_endpoint_that_leads_to_another_registry_are_not_removed() {
    let mut world = World::everyday();
    world.respec(|object| object.spec.public_access.desired = PublicAccess::Enabled);
    world.settle(60);
    let place = world.desired.endpoints()[0].clone();
    let ours = world
        .seen
        .azure
        .endpoints
        .values()
        .find_map(Fact::seen)
        .unwrap()
        .clone();
    let mut theirs = ours.clone();
    theirs.target = Some(storage("storeofothers"));
    theirs.group_id = Some("blob".into());
    let name = sreg_domain::naming::endpoint_name_at(
        &place,
        &world.desired.registry,
        &storage("storeofothers"),
        sreg_domain::EndpointGroup::Blob,
    );
    let provider = "Microsoft.Network/privateEndpoints";
    theirs.id = place.resource_group.provider(provider, &name);
    let endpoints = &mut world.seen.azure.endpoints;
    endpoints.insert(theirs.id.clone(), Fact::Seen(theirs.clone()));
    let removal = |endpoint: &EndpointSeen, owner: &str| {
        let id = endpoint.id.child("privateDnsZoneGroups", sreg_api::names::ZONE_GROUP);
        let owner = owner.to_owned();
        azure_step("records", AzureAction::DeleteZoneGroup { id, owner })
    };
    let owner = world.desired.owner.clone();
    let refused = |step: Step| {
        let plan = with(&world.plan(), step);
        rules(&world.desired, &world.seen_now(), &plan).contains(&"ownership")
    };
    assert!(!refused(removal(&ours, &owner)));
    assert!(refused(removal(&ours, "somebody")));
    assert!(refused(removal(&theirs, &owner)));
}
