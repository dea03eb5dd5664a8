//! The lockdown fence: whatever happens between plan and write, nothing is closed on what was true before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sreg_api::names::CLAIM_TAG;
use sreg_azure::AzureWriter;
use sreg_domain::action::{AzureAction, Effect, StepResult};
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::desired::ObjectRef;
use sreg_domain::{Action, CallFailure, StepId, Withheld};
use sreg_planner::{Plan, Step};
use sreg_runtime::Context;
use sreg_runtime::act::act;
use sreg_runtime::leadership::LeadershipFence;
use sreg_runtime::reconcile::reconcile;

use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, PLACES, REGISTRY, Testbed};

/// Plans the lock, lets something happen, acts; says what became of the first closing step.
async fn close_after(testbed: &Testbed, context: &Context, happens: impl FnOnce(&Testbed)) -> StepResult {
    let (object, plan) = testbed.until_closing(context).await;
    happens(testbed);
    let outcome = act(context, &object, &plan).await;
    let result = outcome.steps.first().unwrap().result.clone();
    if !matches!(result, StepResult::Effect(Effect::Done { .. } | Effect::Started(_))) {
        assert_eq!(outcome.locked_with, None);
    }
    result
}

async fn assert_withheld(happens: impl FnOnce(&Testbed), reason: &str) {
    let testbed = Testbed::quick();
    let context = testbed.context();
    match close_after(&testbed, &context, happens).await {
        StepResult::Withheld(why) => assert!(why.to_string().contains(reason), "{why:?} does not speak of {reason:?}"),
        other => panic!("not withheld: {other:?}"),
    }
    assert_eq!(testbed.closings(), Vec::<Duration>::new(), "nothing was closed");
    assert_eq!(testbed.open_targets().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_any_change_the_planned_write_goes_out_with_its_evidence() {
    let testbed = Testbed::quick();
    let context = testbed.context();
    let (object, plan) = testbed.until_closing(&context).await;
    let outcome = act(&context, &object, &plan).await;
    assert!(
        matches!(
            outcome.steps[0].result,
            StepResult::Effect(Effect::Done { .. } | Effect::Started(_))
        ),
        "{outcome:?}"
    );
    assert_eq!(outcome.locked_with, plan.assessment.evidence);
    assert_eq!(testbed.closings().len(), 1);
    testbed.assert_never_closed_without_proof(Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changed_between_plan_and_write_withholds_it() {
    assert_withheld(
        |testbed| testbed.apply(|object| object["spec"]["drift"] = json!({"interval": "11m"})),
        "the spec changed from generation 1 to 2",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_being_deleted_withholds_it() {
    assert_withheld(
        |testbed| testbed.api.remove("secureregistries", NAMESPACE, NAME),
        "being deleted",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_made_again_under_the_same_name_withholds_it() {
    assert_withheld(
        |testbed| {
            testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
                object["metadata"]["uid"] = "another".into()
            })
        },
        "made again",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_taken_away_between_plan_and_write_withholds_it() {
    assert_withheld(
        |testbed| testbed.api.remove("registrygrants", "", "platform"),
        "no RegistryGrant lets namespace ml-platform look at registry",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_demands_more_between_plan_and_write_withholds_it() {
    assert_withheld(
        |testbed| testbed.grant(|grant| grant["spec"]["requires"] = json!({"minimumDnsSettle": "12h"})),
        "DnsSettling",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_rejected_between_plan_and_write_withholds_it() {
    assert_withheld(
        |testbed| {
            let endpoints = testbed.api.all("secureregistries")[0]["status"]["endpoints"]
                .as_array()
                .cloned()
                .unwrap();
            assert!(testbed.sim.reject(endpoints[0]["resourceId"].as_str().unwrap()));
        },
        "",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_somebody_changed_between_plan_and_write_withholds_it() {
    assert_withheld(
        |testbed| {
            let changed = testbed
                .sim
                .change_by_hand(REGISTRY, |body| body["tags"]["changed"] = "by hand".into());
            assert!(changed);
        },
        "",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn probes_that_were_asked_anew_between_plan_and_write_withhold_it() {
    assert_withheld(
        |testbed| {
            let probe = testbed.api.all("connectivityprobes").remove(0);
            let (namespace, name) = (
                probe["metadata"]["namespace"].as_str().unwrap(),
                probe["metadata"]["name"].as_str().unwrap(),
            );
            testbed.api.meddle("connectivityprobes", namespace, name, |probe| {
                probe["spec"]["round"] = 4242.into();
                probe["metadata"]["generation"] = 99.into();
            });
        },
        "changed between plan and write",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_bad_news_between_plan_and_write_withhold_it() {
    assert_withheld(
        |testbed| {
            let probe = testbed.api.all("connectivityprobes").remove(0);
            let (namespace, name) = (
                probe["metadata"]["namespace"].as_str().unwrap(),
                probe["metadata"]["name"].as_str().unwrap(),
            );
            testbed.api.meddle("connectivityprobes", namespace, name, |probe| {
                probe["status"]["results"][0]["outcome"] = "Failed".into();
                probe["status"]["results"][0]["successes"] = 0.into();
            });
        },
        "changed between plan and write",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn leadership_that_lapsed_or_has_too_little_left_withholds_it() {
    assert_withheld(
        |testbed| *testbed.leadership.0.lock().unwrap() = None,
        "leadership is not held",
    )
    .await;
    assert_withheld(
        |testbed| *testbed.leadership.0.lock().unwrap() = Some(Duration::from_secs(9)),
        "the leader's lease has 9 s left",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn evidence_that_grew_too_old_between_plan_and_write_withholds_it() {
    let testbed = Testbed::quick();
    let context = testbed.context();
    let (object, plan) = testbed.until_closing(&context).await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    let outcome = act(&context, &object, &plan).await;
    assert!(
        matches!(outcome.steps[0].result, StepResult::Withheld(_)),
        "{outcome:?}"
    );
    assert!(testbed.closings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_does_not_close_on_the_round_of_the_one_before() {
    let testbed = Testbed::quick();
    let (object, plan) = testbed.until_closing(&testbed.context()).await;
    let successor = testbed.context();
    let outcome = act(&successor, &object, &plan).await;
    assert!(
        matches!(outcome.steps[0].result, StepResult::Withheld(_)),
        "{outcome:?}"
    );
    assert!(testbed.closings().is_empty());
}

/// A writer that waits for its budget before it writes.
struct Waiting {
    azure_writer: sreg_azure::AzureClient,
    wait: Duration,
    sent: AtomicUsize,
}

#[async_trait]
impl AzureWriter for Waiting {
    async fn carry_out(
        &self,
        namespace: &str,
        step: &StepId,
        action: &AzureAction,
        deadline: Duration,
    ) -> Result<Effect, CallFailure> {
        if action.is_closing() {
            tokio::time::sleep(self.wait).await;
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
        self.azure_writer.carry_out(namespace, step, action, deadline).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_budget_longer_than_it_may_take_is_never_sent() {
    let testbed = Testbed::quick();
    let azure_writer = Arc::new(Waiting {
        azure_writer: testbed.azure.clone(),
        wait: Duration::from_secs(30),
        sent: AtomicUsize::new(0),
    });
    let context = testbed.context_with(Arc::new(testbed.azure.clone()), azure_writer.clone());
    let result = close_after(&testbed, &context, |_| {}).await;
    assert!(
        matches!(&result, StepResult::Failed(failure) if failure.message.contains("no answer within 10s")),
        "{result:?}"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(azure_writer.sent.load(Ordering::SeqCst), 0);
    assert!(testbed.closings().is_empty());
}

/// Leadership that answers the fence, and something else to whoever asks after it.
struct AfterTheFence(AtomicUsize, Option<Duration>);

impl LeadershipFence for AfterTheFence {
    fn held_for(&self) -> Option<Duration> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Some(Duration::from_secs(3600)),
            _ => self.1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn leadership_that_moves_between_fence_and_write_withholds_it() {
    let testbed = Testbed::quick();
    let mut context = testbed.context();
    let (object, plan) = testbed.until_closing(&context).await;
    let leadership = Arc::new(AfterTheFence(AtomicUsize::new(0), None));
    context.leadership = leadership.clone();
    let outcome = act(&context, &object, &plan).await;
    assert!(leadership.0.load(Ordering::SeqCst) > 1, "asked again after the fence");
    match &outcome.steps[0].result {
        StepResult::Withheld(why) => assert_eq!(*why, Withheld::NotLeading),
        other => panic!("not withheld: {other:?}"),
    }
    assert!(testbed.closings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_down_while_the_write_waits_for_budget_ends_it_unsent() {
    let testbed = Testbed::quick();
    let azure_writer = Arc::new(Waiting {
        azure_writer: testbed.azure.clone(),
        wait: Duration::from_secs(4),
        sent: AtomicUsize::new(0),
    });
    let mut context = testbed.context_with(Arc::new(testbed.azure.clone()), azure_writer.clone());
    let (object, plan) = testbed.until_closing(&context).await;
    // Less than the write may take otherwise, and less than the budget makes it wait.
    let sent_before = azure_writer.sent.load(Ordering::SeqCst);
    context.leadership = Arc::new(AfterTheFence(AtomicUsize::new(0), Some(Duration::from_secs(3))));
    let outcome = act(&context, &object, &plan).await;
    assert!(
        matches!(&outcome.steps[0].result, StepResult::Failed(failure) if failure.message.contains("no answer within 3s")),
        "{outcome:?}"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(azure_writer.sent.load(Ordering::SeqCst), sent_before);
    assert!(testbed.closings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_round_that_could_not_be_written_everywhere_is_no_round() {
    let testbed = Testbed::quick();
    let context = testbed.context();
    testbed.until_closing(&context).await;
    let uid = testbed.object().unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(context.memories.recall(&uid).round.is_some());
    // Old evidence makes the next pass open another round; one of its probes cannot be written.
    tokio::time::sleep(Duration::from_secs(601)).await;
    testbed.api.intercept(|method, key| {
        let hit = *method == http::Method::PATCH && key.0 == "connectivityprobes" && key.1 == PLACES[1].namespace;
        if hit {
            super::api_server::Fault::Refuse(500)
        } else {
            super::api_server::Fault::None
        }
    });
    for _ in 0..20 {
        reconcile(&context, NAMESPACE, NAME).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(context.memories.recall(&uid).round, None);
    assert!(testbed.closings().is_empty());
}

/// Somebody freed the claim: whoever holds none opens nothing, and takes it again first.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_gone_between_plan_and_write_withholds_an_opening() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    let locked = |testbed: &Testbed| testbed.state() == "Locked";
    testbed.until("locked", Duration::from_secs(7200), locked).await;
    operator.stop().await;
    testbed.apply_quick(|object| object["spec"]["publicAccess"] = json!({"desired": "Enabled"}));
    let context = testbed.context();
    let (object, _, _, plan) = testbed.look(&context).await;
    let opens: Vec<_> = plan
        .steps()
        .filter(|step| step.action.opens())
        .map(|s| s.id.clone())
        .collect();
    assert_eq!(opens.len(), 3, "{}", sreg_planner::render(&plan));
    let claim = sreg_domain::naming::claim_name(&REGISTRY.parse().unwrap());
    testbed.api.remove("leases", OPERATOR_NAMESPACE, &claim);
    let outcome = act(&context, &object, &plan).await;
    for step in outcome.steps.iter().filter(|step| step.action.opens()) {
        let StepResult::Withheld(why) = &step.result else {
            panic!("{step:?}")
        };
        assert_eq!(*why, Withheld::ClaimGone);
    }
    assert_eq!(testbed.open_targets().len(), 0);
    // The next passes take it, and open.
    testbed.start();
    let open = |testbed: &Testbed| testbed.open_targets().len() == 3;
    testbed.until("open", Duration::from_secs(600), open).await;
}

/// The object of an open registry is going, and what it made in Azure is deleted next, but not yet.
async fn about_to_delete() -> (Testbed, Context, ObjectRef, Plan) {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["deletionPolicy"] = "DeleteEndpoints".into();
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
    });
    let operator = testbed.start();
    let built = |testbed: &Testbed| testbed.state() == "Open";
    testbed.until("built", Duration::from_secs(3600), built).await;
    operator.stop().await;
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    let context = testbed.context();
    for _ in 0..60 {
        let (object, _, _, plan) = testbed.look(&context).await;
        if plan.waves.first().is_some_and(|wave| wave.iter().any(deletes)) {
            return (testbed, context, object, plan);
        }
        reconcile(&context, NAMESPACE, NAME).await.unwrap();
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    panic!("never came to deleting: {:#}", testbed.status());
}

fn deletes(step: &Step) -> bool {
    matches!(&step.action, Action::Azure(action) if action.removes().is_some())
}

fn endpoints(testbed: &Testbed) -> Vec<String> {
    testbed.sim.with_world(|world| {
        let all = world.of_kind("microsoft.network/privateendpoints");
        all.map(|endpoint| format!("{} {}", endpoint.id, endpoint.body))
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn a_deletion_goes_out_where_nothing_changed_since_it_was_planned() {
    let (testbed, context, object, plan) = about_to_delete().await;
    let before = endpoints(&testbed);
    let outcome = act(&context, &object, &plan).await;
    let first = outcome
        .steps
        .iter()
        .find(|done| matches!(done.action, Action::Azure(_)))
        .unwrap();
    assert!(matches!(first.result, StepResult::Effect(_)), "{outcome:?}");
    assert_ne!(endpoints(&testbed), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_of_a_registry_that_went_to_another_object_after_it_was_planned() {
    type Happens = fn(&Testbed);
    let happenings: [(&str, Happens); 4] = [
        ("claimed in another cluster", |testbed| {
            let digest = ClaimMark::registry_digest(&REGISTRY.parse().unwrap());
            let mark = format!("0123456789abcdef/{NAMESPACE}/{NAME}/99999999-2222-3333-4444-555555555555/{digest}");
            let claim = |body: &mut Value| body["tags"][CLAIM_TAG] = mark.clone().into();
            assert!(testbed.sim.change_by_hand(REGISTRY, claim));
        }),
        ("claimed by another object", |testbed| {
            let claim = sreg_domain::naming::claim_name(&REGISTRY.parse().unwrap());
            testbed.api.meddle("leases", OPERATOR_NAMESPACE, &claim, |lease| {
                lease["spec"]["holderIdentity"] = "others/models/99999999-2222-3333-4444-555555555555".into();
            });
        }),
        ("no longer granted", |testbed| {
            testbed.api.remove("registrygrants", "", "platform")
        }),
        ("closed meanwhile", |testbed| {
            let close = |body: &mut Value| body["properties"]["publicNetworkAccess"] = "Disabled".into();
            assert!(testbed.sim.change_by_hand(REGISTRY, close));
        }),
    ];
    for (what, happens) in happenings {
        let (testbed, context, object, plan) = about_to_delete().await;
        let before = endpoints(&testbed);
        happens(&testbed);
        let outcome = act(&context, &object, &plan).await;
        for step in outcome
            .steps
            .iter()
            .filter(|done| matches!(done.action, Action::Azure(_)))
        {
            assert!(matches!(step.result, StepResult::Withheld(_)), "{what}: {step:?}");
        }
        assert_eq!(endpoints(&testbed), before, "{what}");
    }
}
