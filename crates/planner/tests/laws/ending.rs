//! Where it all ends: the same end from anywhere, in finitely many steps, and then quiet.

use std::time::Duration;

use proptest::prelude::*;
use sreg_api::registry::{DeletionPolicy, PublicAccess};
use sreg_domain::Action;
use sreg_planner::plan::WaitReason;
use sreg_planner::render;

use crate::stories::{records_first, stories};
use crate::telling::consistent;
use crate::witness::emergency;
use crate::world::World;
use crate::{azure_steps, config};

/// Steps that touch nothing in Azure.
const IN_THE_CLUSTER: [&str; 10] = [
    "claim",
    "release",
    "add-finalizer",
    "remove-finalizer",
    "apply-probe",
    "delete-probe",
    "open-round",
    "delete-snapshot",
    "tell-break-glass",
    "tell-approval",
];

/// Visits without blows until nothing changes any more. A registry that was rolled back three times waits for its spec.
fn in_peace(world: &mut World) {
    for _ in 0..300 {
        world.peace();
        let status = world.seen.object.status.clone();
        let (plan, report) = world.visit();
        let settled = plan.waves.is_empty() && plan.waits.is_empty() && report.status == status;
        if world.gone || (settled && !emergency(world)) {
            return;
        }
        if status.rollback.as_ref().is_some_and(|r| r.count >= 3) {
            world.respec(|o| o.spec.public_access.rollback = None);
        }
        world.pass(report.requeue);
    }
    panic!("not settled:\n{}", render(&world.plan()));
}

proptest! {
    #![proptest_config(config())]

    /// Convergence from anywhere: whatever happened, once blows stop the end is the same, and then all is quiet.
    #[test]
    fn every_world_converges_and_then_is_quiet(story in stories()) {
        let mut world = story.tell();
        in_peace(&mut world);
        consistent(&world)?;
        let wants_open = world.desired.public_access == PublicAccess::Enabled;
        let expected = match (story.observe, wants_open) {
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
        // A rollback is forgotten once the lock has outlived its grace period.
        world.pass(Duration::from_secs(3600));
        world.visit();
        // Quiet: equal worlds give byte-equal status, no events, no steps.
        let status = serde_json::to_string(&world.seen.object.status).unwrap();
        for hours in [1u64, 30] {
            world.pass(Duration::from_secs(3600 * hours));
            let (plan, report) = world.visit();
            prop_assert!(plan.waves.is_empty(), "{}", render(&plan));
            prop_assert!(report.events.is_empty(), "{:?}", report.events);
            prop_assert_eq!(&serde_json::to_string(&report.status).unwrap(), &status);
        }
    }

    /// Fixpoint and progress: at one moment finitely many visits do all that can be done, no write that succeeded is planned
    /// again, and then the plan is empty.
    #[test]
    fn at_any_moment_visits_reach_a_plan_without_steps(story in stories()) {
        let mut world = story.tell();
        world.slow = false;
        world.unthwart();
        let mut done: Vec<Action> = Vec::new();
        for _ in 0..40 {
            let (plan, _) = world.visit();
            if plan.waves.is_empty() && !records_first(&plan) {
                // Emergencies are told of what status has just learnt.
                let next = world.plan();
                prop_assert!(next.steps().all(|s| s.action.only_tells()), "{}", render(&next));
                return Ok(());
            }
            for step in azure_steps(&plan) {
                prop_assert!(!done.contains(step), "planned again: {step:?}");
                done.push(step.clone());
            }
        }
        prop_assert!(false, "never done:\n{}", render(&world.plan()));
    }

    /// Stability: where there is nothing to do in Azure, there is nothing to do before the next look either, unless Azure moves.
    #[test]
    fn nothing_becomes_possible_before_the_next_look(story in stories(), part in 0u32..99) {
        let mut world = story.tell();
        world.slow = false;
        for _ in 0..30 {
            let (plan, report) = world.visit();
            let azure_moves = plan.waits.iter().any(|w| w.reason == WaitReason::OperationInProgress);
            if plan.waves.is_empty() && !records_first(&plan) && !azure_moves {
                let mut soon = world.clone();
                soon.pass(plan.next_look.saturating_sub(Duration::from_secs(1)) * part / 100);
                prop_assert!(azure_steps(&soon.plan()).is_empty(), "{}\nthen\n{}", render(&plan), render(&soon.plan()));
            }
            world.pass(report.requeue);
        }
    }

    /// Adoption: an object that finds the world as it wants it writes nothing to Azure, whoever made it so.
    #[test]
    fn adopting_what_is_as_desired_writes_nothing_to_azure(story in stories()) {
        let mut world = story.tell();
        in_peace(&mut world);
        world.delete();
        for _ in 0..10 {
            if !world.gone {
                world.visit();
            }
        }
        prop_assert!(world.gone || story.observe);
        let mut heir = world.clone();
        heir.come_again();
        heir.journal.clear();
        heir.respec(|_| ());
        heir.restart();
        in_peace(&mut heir);
        let writes: Vec<&String> = heir.journal.iter().filter(|s| !IN_THE_CLUSTER.iter().any(|c| s.starts_with(c))).collect();
        prop_assert!(writes.is_empty(), "{writes:?}");
    }

    /// Deletion always ends, under each policy, and leaves nothing closed without its endpoints.
    #[test]
    fn deletion_always_ends(story in stories(), endpoints in any::<bool>()) {
        let mut world = story.tell();
        if endpoints {
            world.turn_ungranted(|o| o.spec.deletion_policy = DeletionPolicy::DeleteEndpoints);
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
