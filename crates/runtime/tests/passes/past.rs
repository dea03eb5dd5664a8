//! The informer's cache from the past: from some moment on no watch tells anything, and a read that accepts an old answer gets
//! one. What the operator closes it closes on what is so now.

use std::time::Duration;

use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use sreg_api::registry::PublicAccess;
use sreg_api::{BreakGlass, SecureRegistry};
use sreg_domain::StepKind;
use sreg_domain::action::StepResult;
use sreg_runtime::act::act;

use super::testbed::{NAME, NAMESPACE, Operator, Testbed};

/// What a cache that was filled from this server holds of the objects.
async fn cached(testbed: &Testbed) -> Vec<SecureRegistry> {
    let objects: Api<SecureRegistry> = Api::namespaced(testbed.api.client(), NAMESPACE);
    let old_will_do = ListParams::default().match_any();
    objects.list(&old_will_do).await.unwrap().items
}

fn keep_open(object: &mut Value) {
    object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
}

/// What is proven by now would be closed on soon.
async fn frozen_in_a_proof_round() -> (Testbed, Operator) {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    let proving = |testbed: &Testbed| testbed.state() == "Proving";
    testbed.until("a proof round", Duration::from_secs(3600), proving).await;
    testbed.api.freeze_watch_cache();
    (testbed, operator)
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_still_wants_the_lock_closes_nothing_once_the_spec_wants_it_open() {
    let (testbed, operator) = frozen_in_a_proof_round().await;
    testbed.apply(keep_open);
    let still = cached(&testbed).await.remove(0).spec.public_access.desired;
    assert_eq!(still, PublicAccess::Disabled, "the cache is from the past");
    let noticed = |testbed: &Testbed| testbed.status()["observedGeneration"] == 2 && testbed.state() == "Open";
    testbed
        .until("noticed without an event", Duration::from_secs(3600), noticed)
        .await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(testbed.closings(), Vec::<Duration>::new());
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_without_the_break_glass_closes_nothing_while_it_runs() {
    let (testbed, operator) = frozen_in_a_proof_round().await;
    testbed.break_the_glass("2h");
    let glasses: Api<BreakGlass> = Api::namespaced(testbed.api.client(), NAMESPACE);
    let known = glasses.list(&ListParams::default().match_any()).await.unwrap().items;
    assert!(known.is_empty(), "the cache is from the past");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(testbed.closings(), Vec::<Duration>::new());
    testbed
        .until("locked when it is over", Duration::from_secs(3 * 3600), |testbed| {
            testbed.open_targets().is_empty()
        })
        .await;
    let first = testbed.closings().first().copied().unwrap();
    assert!(first > Duration::from_secs(2 * 3600), "closed at {first:?}");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_fence_asks_no_cache() {
    type Change = fn(&Testbed);
    let changes: [(&str, Change); 3] = [
        ("the spec changed from generation 1 to 2", |testbed| {
            testbed.apply(keep_open)
        }),
        ("the world changed between plan and write", |testbed| {
            testbed.break_the_glass("2h")
        }),
        ("being deleted", |testbed| {
            testbed.api.remove("secureregistries", NAMESPACE, NAME)
        }),
    ];
    for (reason, change) in changes {
        let testbed = Testbed::quick();
        let context = testbed.context();
        let (object, plan) = testbed.until_closing(&context).await;
        testbed.api.freeze_watch_cache();
        change(&testbed);
        let known = cached(&testbed).await.remove(0);
        assert_eq!(
            (known.metadata.generation, known.metadata.deletion_timestamp),
            (Some(1), None)
        );
        let outcome = act(&context, &object, &plan).await;
        match &outcome.steps[0].result {
            StepResult::Withheld(why) => {
                assert!(why.to_string().contains(reason), "{why:?} does not speak of {reason:?}")
            }
            other => panic!("not withheld: {other:?}"),
        }
        assert_eq!(testbed.closings(), Vec::<Duration>::new());
    }
}

/// Nor does what opens go out on a permission that is over by then.
#[tokio::test(start_paused = true)]
async fn an_opening_write_is_withheld_once_its_break_glass_is_gone() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    let locked = |testbed: &Testbed| testbed.state() == "Locked";
    testbed.until("locked", Duration::from_secs(3600), locked).await;
    operator.stop().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    testbed.break_the_glass("2h");
    let context = testbed.context();
    let (object, _, _, plan) = testbed.look(&context).await;
    let opens = |step: &sreg_planner::Step| step.id.kind == StepKind::BreakGlass;
    assert!(plan.steps().any(opens), "{}", sreg_planner::render(&plan));
    testbed.api.freeze_watch_cache();
    testbed.api.remove("breakglasses", NAMESPACE, "fire");
    let outcome = act(&context, &object, &plan).await;
    let opening = outcome
        .steps
        .iter()
        .filter(|step| step.step.kind == StepKind::BreakGlass);
    let withheld = opening
        .filter(|step| matches!(step.result, StepResult::Withheld(_)))
        .count();
    assert_eq!(withheld, 3, "{outcome:?}");
    assert_eq!(testbed.open_targets(), Vec::<String>::new());
}
