//! Where it all ends: the same end from anywhere, in finitely many steps, and then quiet.

use std::time::Duration;

use proptest::prelude::*;
use sreg_api::registry::DeletionPolicy;
use sreg_domain::Action;
use sreg_planner::plan::WaitReason;
use sreg_planner::render;

use crate::stories::stories;
use crate::telling::consistent;
use crate::{azure_steps, config};

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

    /// Fixpoint and progress: at one moment finitely many visits do all that can be done, no write that succeeded is planned
    /// again, and then the plan is empty.
    #[test]
    fn at_any_moment_visits_reach_a_plan_without_steps(story in stories()) {
        let mut world = story.tell();
        world.slow = false;
        let mut done: Vec<Action> = Vec::new();
        for _ in 0..40 {
            let (plan, _) = world.visit();
            if plan.waves.is_empty() && plan.assessment.names_about_to_change.is_empty() {
                prop_assert!(world.plan().waves.is_empty(), "{}", render(&world.plan()));
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
            if plan.waves.is_empty() && plan.assessment.names_about_to_change.is_empty() && !azure_moves {
                let mut soon = world.clone();
                soon.pass(plan.next_look.saturating_sub(Duration::from_secs(1)) * part / 100);
                prop_assert!(azure_steps(&soon.plan()).is_empty(), "{}\nthen\n{}", render(&plan), render(&soon.plan()));
            }
            world.pass(report.requeue);
        }
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
