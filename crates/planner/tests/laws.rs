//! Laws that hold in every world: the lint on every plan, fixpoint, convergence from anywhere, no harm from ignorance, Observe
//! writes nothing, reporting is quiet and consistent.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sreg_api::conditions::{ConditionType, State};
use sreg_api::registry::{DeletionPolicy, ManagementPolicy, PublicAccess};
use sreg_domain::{Action, Fact, Outcome};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, conditions, lint, plan, render};
use strum::IntoEnumIterator;
use world::scramble::Blow;
use world::*;

fn blows() -> impl Strategy<Value = Blow> {
    prop_oneof![
        Just(Blow::EraseStatus),
        Just(Blow::Restart),
        Just(Blow::OpenRegistry),
        Just(Blow::OpenStorage),
        Just(Blow::OpenContainerRegistry),
        Just(Blow::CloseRegistry),
        Just(Blow::CloseStorage),
        any::<u8>().prop_map(Blow::RemoveEndpoint),
        any::<u8>().prop_map(Blow::FailEndpoint),
        any::<u8>().prop_map(Blow::RemoveZone),
        any::<u8>().prop_map(Blow::RemoveLinks),
        any::<u8>().prop_map(Blow::RemoveRecords),
        any::<u8>().prop_map(Blow::RemoveZoneGroup),
        Just(Blow::DropClaim),
        Just(Blow::DropFinalizer),
        Just(Blow::DropSnapshot),
        any::<u8>().prop_map(Blow::DropProbe),
        any::<u8>().prop_map(Blow::RoundOfSomebodyElse),
        Just(Blow::Retag),
        Just(Blow::NewReplica),
        any::<u16>().prop_map(Blow::TimePasses),
    ]
}

/// How a world comes to be: its shape, then visits and blows in turn.
#[derive(Debug, Clone)]
struct Story {
    two_regions: bool,
    slow: bool,
    cascades: bool,
    observe: bool,
    wants_open: bool,
    chapters: Vec<(u8, Option<Blow>)>,
}

fn stories() -> impl Strategy<Value = Story> {
    let chapters = prop::collection::vec((0u8..12, prop::option::of(blows())), 0..6);
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
        chapters,
    )
        .prop_map(|(two_regions, slow, cascades, observe, wants_open, chapters)| Story {
            two_regions,
            slow,
            cascades,
            observe,
            wants_open,
            chapters,
        })
}

impl Story {
    fn tell(&self) -> World {
        let mut world = if self.two_regions {
            World::two_regions(SPEC)
        } else {
            World::everyday()
        };
        world.slow = self.slow;
        world.cascades = self.cascades;
        if self.observe {
            world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
        }
        if self.wants_open {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        }
        for (visits, blow) in &self.chapters {
            for _ in 0..*visits {
                let (_, report) = world.visit();
                world.pass(report.requeue);
            }
            if let Some(blow) = blow {
                world.suffer(*blow);
            }
        }
        world
    }
}

fn azure_steps(plan: &Plan) -> Vec<&Action> {
    plan.steps()
        .map(|s| &s.action)
        .filter(|a| matches!(a, Action::Azure(_)))
        .collect()
}

/// What a status must always be.
fn consistent(world: &World) -> Result<(), TestCaseError> {
    let status = &world.seen.object.status;
    if status.conditions.is_empty() {
        return Ok(());
    }
    let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    let all: Vec<String> = ConditionType::iter().map(|t| t.to_string()).collect();
    prop_assert_eq!(types, all.iter().map(String::as_str).collect::<Vec<_>>());
    let truth = |kind: ConditionType| status.conditions.iter().find(|c| c.type_ == kind.to_string()).unwrap();
    let state = State::iter()
        .find(|s| s.to_string() == truth(ConditionType::Ready).reason)
        .expect("Ready's reason is a state");
    let (ready, reconciling, stalled) = conditions::trio(state);
    prop_assert_eq!(truth(ConditionType::Ready).status.as_str(), ready.as_str());
    prop_assert_eq!(truth(ConditionType::Reconciling).status.as_str(), reconciling.as_str());
    prop_assert_eq!(truth(ConditionType::Stalled).status.as_str(), stalled.as_str());
    prop_assert!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == Some(world.desired.object.generation))
    );
    if state == State::Locked {
        for kind in [
            ConditionType::RegistryFound,
            ConditionType::EndpointsReady,
            ConditionType::DnsReady,
            ConditionType::ConnectivityVerified,
            ConditionType::PublicAccessDisabled,
        ] {
            prop_assert_eq!(truth(kind).status.as_str(), "True", "{}", kind);
        }
    }
    prop_assert!(!status.waiting_for.iter().any(|w| w.message.is_empty()));
    prop_assert!(serde_json::to_string(status).unwrap().len() < 40_000);
    Ok(())
}

/// 48 stories each, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig {
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/laws.proptest-regressions",
        ))),
        ..ProptestConfig::default()
    };
    if given {
        default
    } else {
        ProptestConfig { cases: 48, ..default }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Convergence from anywhere: whatever happened, once blows stop the end is the same, and then all is quiet.
    #[test]
    fn every_world_converges_and_then_is_quiet(story in stories()) {
        let mut world = story.tell();
        world.settle(200);
        consistent(&world)?;
        let expected = match (story.observe, story.wants_open) {
            (true, _) => "Observed",
            (false, true) => "Open",
            (false, false) => "Locked",
        };
        prop_assert_eq!(world.state(), expected, "{}", world.message());
        if expected == "Locked" {
            prop_assert!(world.all_closed(), "{:?}", world.closed());
        }
        if expected == "Open" {
            prop_assert!(world.all_open(), "{:?}", world.closed());
        }
        // Quiet: equal worlds give byte-equal status, no events, no steps.
        let status = serde_json::to_vec(&world.seen.object.status).unwrap();
        for hours in [1u64, 30] {
            world.pass(std::time::Duration::from_secs(3600 * hours));
            let (plan, report) = world.visit();
            prop_assert!(plan.waves.is_empty(), "{}", render(&plan));
            prop_assert!(report.events.is_empty(), "{:?}", report.events);
            prop_assert_eq!(&serde_json::to_vec(&report.status).unwrap(), &status);
        }
    }

    /// Safety on the way: public access never goes from open to closed without every path passing at that moment, and never from
    /// closed to open unless the spec says so.
    #[test]
    fn no_visit_closes_what_clients_cannot_reach_privately(story in stories()) {
        let mut world = story.tell();
        for _ in 0..60 {
            let before = world.closed();
            let (_, report) = world.visit();
            consistent(&world)?;
            let closed = world.closed().iter().any(|(k, v)| *v && before.get(k) == Some(&false));
            let opened = world.closed().iter().any(|(k, v)| !*v && before.get(k) == Some(&true));
            if closed {
                for (point, fact) in &world.seen.cluster.probes {
                    let Fact::Seen(probe) = fact else { continue };
                    let network = world.desired.client_networks.iter().find(|n| n.vantage_point == *point).unwrap();
                    for path in &probe.spec.paths {
                        prop_assert!(world.reaches(&network.name, &path.fqdn, &path.addresses).is_ok(), "{} {}", network.name, path.fqdn);
                    }
                }
            }
            prop_assert!(!opened || story.wants_open);
            prop_assert!(!(story.observe && (opened || closed)));
            prop_assert!(report.events.iter().all(|e| e.note.len() <= 1024 && e.reason.len() <= 128));
            world.pass(report.requeue);
        }
    }

    /// Forgetting any facts never adds a write in Azure, and never calls ready what was not.
    #[test]
    fn ignorance_does_no_harm(story in stories(), forgotten in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let world = story.tell();
        let before = world.plan();
        let all = world.forgetters();
        let mut seen = world.seen_now();
        let mut names = Vec::new();
        for index in forgotten {
            let (name, forget) = index.get(&all);
            forget(&mut seen);
            names.push(name.clone());
        }
        let after = plan(&world.desired, &seen, world.now);
        let findings = lint(&world.desired, &seen, &after);
        prop_assert!(findings.is_empty(), "{:?} {:#?}", names, findings);
        prop_assert!(!after.waits.iter().any(|w| w.reason == WaitReason::PlanRefusedStalled), "{:?} {}", names, render(&after));
        for step in azure_steps(&after) {
            prop_assert!(azure_steps(&before).contains(&step), "{:?} added {:?}\nbefore:\n{}\nafter:\n{}", names, step, render(&before), render(&after));
        }
    }

    /// Reporting an unchanged visit twice is byte-equal.
    #[test]
    fn the_same_visit_reported_again_changes_nothing(story in stories()) {
        let mut world = story.tell();
        let plan = world.plan();
        let first = world.report(&plan, &Outcome::default());
        world.seen.object.status = first.status.clone();
        let again = world.plan();
        let second = world.report(&again, &Outcome::default());
        world.seen.object.status = second.status.clone();
        let third = world.report(&world.plan(), &Outcome::default());
        prop_assert_eq!(serde_json::to_value(&second.status).unwrap(), serde_json::to_value(&third.status).unwrap());
        prop_assert!(third.events.is_empty(), "{:?}", third.events);
    }

    /// Deletion always ends, under each policy, and leaves nothing closed without its endpoints.
    #[test]
    fn deletion_always_ends(story in stories(), endpoints in any::<bool>()) {
        let mut world = story.tell();
        if endpoints {
            world.respec(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
        }
        let closed_before = world.closed();
        let had = world.seen.azure.endpoints.values().filter(|f| f.seen().is_some()).count();
        world.delete();
        for _ in 0..60 {
            let (_, report) = world.visit();
            if world.gone || !world.seen.object.has_finalizer {
                break;
            }
            world.pass(report.requeue);
        }
        prop_assert!(!world.seen.object.has_finalizer, "{}", render(&world.plan()));
        prop_assert_eq!(&world.closed(), &closed_before);
        let have = world.seen.azure.endpoints.values().filter(|f| f.seen().is_some()).count();
        if closed_before.values().any(|c| *c) || !endpoints || story.observe {
            prop_assert_eq!(had, have);
        }
    }
}
