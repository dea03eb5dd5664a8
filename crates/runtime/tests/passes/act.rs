//! Carrying plans out: waves, leadership, and effects in the cluster that must not touch what is not ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sreg_api::names::{FINALIZER, FINALIZER_MANAGER};
use sreg_azure::AzureWriter;
use sreg_domain::action::{ClusterAction, StepResult};
use sreg_domain::desired::ObjectRef;
use sreg_domain::{Action, ArmId, AzureAction, CallFailure, Cause, Effect, StepId, StepKind};
use sreg_planner::{Assessment, Plan, Step};
use sreg_runtime::act::act;
use sreg_runtime::memory::ObjectKey;
use sreg_runtime::reconcile::reconcile;

use super::api_server::Fault;
use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, Testbed, grants};

fn zone(name: &str) -> ArmId {
    format!("/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{name}")
        .parse()
        .unwrap()
}

fn azure(name: &str) -> Step {
    let action = AzureAction::CreateZone {
        id: zone(name),
        tags: Default::default(),
        owner: "o".into(),
    };
    Step {
        id: StepKind::CreateZone.on(name),
        action: Action::Azure(action),
        touches: Vec::new(),
    }
}

fn cluster(action: ClusterAction) -> Step {
    Step {
        id: StepKind::Claim.on("step"),
        action: Action::Cluster(action),
        touches: Vec::new(),
    }
}

fn plan(waves: Vec<Vec<Step>>) -> Plan {
    Plan {
        waves,
        waits: Vec::new(),
        findings: Vec::new(),
        next_look: Duration::from_secs(1),
        due: Duration::from_secs(1),
        assessment: Assessment {
            grants: grants(),
            ..Assessment::default()
        },
    }
}

/// What every zone's name asks for: `slow…` takes eight seconds, `fails…` fails, `starts…` goes on by itself.
#[derive(Default)]
struct Obedient {
    now: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

#[async_trait]
impl AzureWriter for Obedient {
    async fn carry_out(
        &self,
        _: &str,
        step: &StepId,
        action: &AzureAction,
        _: Duration,
    ) -> Result<Effect, CallFailure> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.most
            .fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let wait = if step.subject.starts_with("slow") { 8000 } else { 100 };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        if step.subject.starts_with("fails") {
            return Err(CallFailure::local("a", Cause::Conflict, "m"));
        }
        if step.subject.starts_with("starts") {
            let resource = action.resource().clone();
            let started_at = jiff::Timestamp::UNIX_EPOCH;
            return Ok(Effect::Started(sreg_domain::Operation {
                step: step.clone(),
                resource,
                poll_url: String::new(),
                started_at,
            }));
        }
        Ok(Effect::done())
    }
}

/// A testbed without agents' business, an object, and an obedient writer.
fn bench() -> (Testbed, Arc<Obedient>, sreg_runtime::Context, ObjectRef) {
    let testbed = Testbed::new();
    testbed.apply(|_| {});
    let azure_writer = Arc::new(Obedient::default());
    let context = testbed.context_with(Arc::new(testbed.azure.clone()), azure_writer.clone());
    let uid = testbed.object().unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let object = ObjectRef {
        namespace: NAMESPACE.into(),
        name: NAME.into(),
        uid,
        generation: 1,
    };
    (testbed, azure_writer, context, object)
}

fn shown(outcome: &sreg_domain::Outcome) -> Vec<(String, String)> {
    let show = |result: &StepResult| match result {
        StepResult::Effect(Effect::Done { .. }) => "done".to_owned(),
        StepResult::Effect(Effect::Started(_)) => "started".to_owned(),
        StepResult::Effect(Effect::Stale(why)) => format!("stale: {why}"),
        StepResult::Failed(failure) => format!("failed: {}", failure.message),
        StepResult::Withheld(why) => format!("withheld: {why}"),
    };
    let mut steps: Vec<_> = outcome
        .steps
        .iter()
        .map(|step| (step.step.subject.clone(), show(&step.result)))
        .collect();
    steps.sort();
    steps
}

#[tokio::test(start_paused = true)]
async fn a_wave_begins_only_when_every_step_before_it_is_done() {
    for (first, result) in [("fails", "failed: m"), ("starts", "started")] {
        let (_testbed, azure_writer, context, object) = bench();
        let waves = vec![
            vec![azure("a1"), azure(first)],
            vec![azure("b1"), azure("b2")],
            vec![azure("c1")],
        ];
        let outcome = act(&context, &object, &plan(waves)).await;
        let withheld = format!("withheld: {} comes first", azure(first).action);
        let expected = [
            ("a1", "done"),
            ("b1", &withheld),
            ("b2", &withheld),
            ("c1", &withheld),
            (first, result),
        ];
        assert_eq!(
            shown(&outcome),
            expected.map(|(step, result)| (step.to_owned(), result.to_owned()))
        );
        assert_eq!(azure_writer.calls.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn steps_of_one_wave_run_at_once_but_not_all() {
    let (_testbed, azure_writer, context, object) = bench();
    let wave: Vec<Step> = (0..20).map(|number| azure(&format!("z{number}"))).collect();
    let outcome = act(&context, &object, &plan(vec![wave])).await;
    assert_eq!(outcome.steps.len(), 20);
    assert_eq!(
        azure_writer.most.load(Ordering::SeqCst),
        context.settings.step_concurrency
    );
}

#[tokio::test(start_paused = true)]
async fn once_the_grants_changed_nothing_more_of_the_plan_is_written_to_azure() {
    let (testbed, azure_writer, context, object) = bench();
    testbed.grant(|grant| grant["spec"]["privateDnsZones"] = json!([]));
    let outcome = act(&context, &object, &plan(vec![vec![azure("z")]])).await;
    let expected = (
        "z".to_owned(),
        "withheld: the grants of its namespace changed meanwhile".to_owned(),
    );
    assert_eq!(shown(&outcome), [expected]);
    assert_eq!(azure_writer.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn without_leadership_nothing_is_written_anywhere() {
    let (testbed, azure_writer, context, object) = bench();
    let before = testbed.cluster_writes();
    for held in [None, Some(Duration::ZERO)] {
        *testbed.leadership.0.lock().unwrap() = held;
        let wave = vec![
            azure("z"),
            cluster(ClusterAction::AddFinalizer),
            cluster(ClusterAction::Claim {
                lease: "l".into(),
                from: None,
            }),
        ];
        let outcome = act(&context, &object, &plan(vec![wave])).await;
        assert!(
            outcome
                .steps
                .iter()
                .all(|step| matches!(&step.result, StepResult::Withheld(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(azure_writer.calls.load(Ordering::SeqCst), 0);
    assert_eq!(testbed.cluster_writes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_write_gets_no_more_time_than_leadership_has_left() {
    let (testbed, _, context, object) = bench();
    *testbed.leadership.0.lock().unwrap() = Some(Duration::from_secs(5));
    let outcome = act(&context, &object, &plan(vec![vec![azure("slow")]])).await;
    assert_eq!(
        shown(&outcome),
        [("slow".to_owned(), "failed: no answer within 5s".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_finalizer_does_not_bring_a_deleted_object_back() {
    let (testbed, _, context, object) = bench();
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    let outcome = act(
        &context,
        &object,
        &plan(vec![vec![cluster(ClusterAction::AddFinalizer)]]),
    )
    .await;
    assert!(matches!(outcome.steps[0].result, StepResult::Failed(_)), "{outcome:?}");
    assert_eq!(testbed.object(), None);
    let outcome = act(
        &context,
        &object,
        &plan(vec![vec![cluster(ClusterAction::RemoveFinalizer)]]),
    )
    .await;
    assert_eq!(shown(&outcome)[0].1, "done", "what is gone carries no finalizer");
    assert_eq!(testbed.object(), None);
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_a_restored_backup_owns_too_still_goes() {
    let (testbed, _, context, object) = bench();
    act(
        &context,
        &object,
        &plan(vec![vec![cluster(ClusterAction::AddFinalizer)]]),
    )
    .await;
    testbed.apply(|restored| restored["metadata"]["finalizers"] = json!([FINALIZER, "somebody.else/waits"]));
    let outcome = act(
        &context,
        &object,
        &plan(vec![vec![cluster(ClusterAction::RemoveFinalizer)]]),
    )
    .await;
    assert_eq!(shown(&outcome)[0].1, "done");
    assert_eq!(
        testbed.object().unwrap()["metadata"]["finalizers"],
        json!(["somebody.else/waits"])
    );
    assert!(
        testbed
            .api
            .writes()
            .iter()
            .any(|write| write.manager == FINALIZER_MANAGER)
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_won_by_one_and_released_by_its_holder_only() {
    let (testbed, _, context, object) = bench();
    let claim = || {
        plan(vec![vec![cluster(ClusterAction::Claim {
            lease: "claim".into(),
            from: None,
        })]])
    };
    let release = || {
        plan(vec![vec![cluster(ClusterAction::ReleaseClaim {
            lease: "claim".into(),
        })]])
    };
    testbed.apply(|second| second["metadata"]["name"] = "second".into());
    let uid = testbed.api.get("secureregistries", NAMESPACE, "second").unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = ObjectRef {
        name: "second".into(),
        uid,
        ..object.clone()
    };
    assert_eq!(shown(&act(&context, &object, &claim()).await)[0].1, "done");
    let record = || {
        plan(vec![vec![cluster(ClusterAction::RecordCreation {
            lease: "claim".into(),
            mark: "5eed".into(),
        })]])
    };
    let annotations =
        || testbed.api.get("leases", OPERATOR_NAMESPACE, "claim").unwrap()["metadata"]["annotations"].clone();
    assert!(
        shown(&act(&context, &second, &record()).await)[0]
            .1
            .contains("not held by this object")
    );
    assert_eq!(annotations(), serde_json::Value::Null);
    assert_eq!(shown(&act(&context, &object, &record()).await)[0].1, "done");
    assert_eq!(annotations()["secureregistry.dev/creates-registry"], "5eed");
    assert_eq!(
        shown(&act(&context, &object, &claim()).await)[0].1,
        "done",
        "ours already"
    );
    let held = format!("stale: lease claim is held by {NAMESPACE}/{NAME}");
    assert_eq!(shown(&act(&context, &second, &claim()).await)[0].1, held);
    act(&context, &second, &release()).await;
    assert!(
        testbed.api.get("leases", OPERATOR_NAMESPACE, "claim").is_some(),
        "not the second's to release"
    );
    act(&context, &object, &release()).await;
    assert!(testbed.api.get("leases", OPERATOR_NAMESPACE, "claim").is_none());
}

#[tokio::test(start_paused = true)]
async fn another_objects_probes_are_left_alone() {
    let (testbed, _, context, object) = bench();
    testbed.api.put(
        "connectivityprobes",
        json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ConnectivityProbe",
            "metadata": {"name": "p", "namespace": "vp-hub", "labels": {"secureregistry.dev/registry-uid": "another"}},
        }),
    );
    let wave = vec![cluster(ClusterAction::DeleteProbe {
        namespace: "vp-hub".into(),
        name: "p".into(),
    })];
    let outcome = act(&context, &object, &plan(vec![wave])).await;
    assert!(
        outcome
            .steps
            .iter()
            .all(|step| matches!(&step.result, StepResult::Effect(Effect::Stale(_)))),
        "{outcome:?}"
    );
    assert!(testbed.api.get("connectivityprobes", "vp-hub", "p").is_some());
}

/// The claim says whose the registry is; its snapshot may be a former holder's.
#[tokio::test(start_paused = true)]
async fn the_snapshot_of_a_former_holder_goes_with_the_registry() {
    let (testbed, _, context, object) = bench();
    let snapshot = json!({"holder": "other/one", "targets": {}, "evidenceDigest": "00"}).to_string();
    testbed.api.put("configmaps", json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s", "namespace": OPERATOR_NAMESPACE}, "data": {"snapshot.json": snapshot},
    }));
    let wave = vec![cluster(ClusterAction::DeleteSnapshot { config_map: "s".into() })];
    act(&context, &object, &plan(vec![wave])).await;
    assert!(testbed.api.get("configmaps", OPERATOR_NAMESPACE, "s").is_none());
}

fn meet(context: &sreg_runtime::Context, object: &ObjectRef) {
    let key = ObjectKey {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    };
    context.memories.meet(&object.uid, key);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_change_names_is_remembered_however_it_ends() {
    for (name, result) in [
        ("done", "done"),
        ("fails", "failed: m"),
        ("slow", "failed: no answer within 5s"),
    ] {
        let (testbed, _, context, object) = bench();
        meet(&context, &object);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        act(&context, &object, &plan(vec![vec![azure("zone")]])).await;
        let before = context.memories.recall(&object.uid);
        assert_eq!(before.name_changed, None, "no name answers otherwise for an empty zone");
        *testbed.leadership.0.lock().unwrap() = Some(Duration::from_secs(5));
        let action = Action::Azure(AzureAction::PutZoneGroup {
            id: zone(name),
            zones: Vec::new(),
            owner: "test/ml-platform/contoso-models".into(),
        });
        let step = Step {
            id: StepKind::CreateZone.on(name),
            action,
            touches: Vec::new(),
        };
        let outcome = act(&context, &object, &plan(vec![vec![step]])).await;
        assert_eq!(shown(&outcome)[0].1, result);
        // From the answer on, for the effect comes no earlier than that; from the sending on, had the pass been given up.
        assert_eq!(
            context.memories.recall(&object.uid).name_changed,
            Some(Duration::ZERO),
            "{name}"
        );
    }
}

/// A vantage point may be asked, and answer, long before the last one is asked.
#[tokio::test(start_paused = true)]
async fn the_age_of_a_round_counts_from_before_its_first_write() {
    let late = Duration::from_secs(7);
    let testbed = Testbed::quick();
    let context = testbed.context();
    testbed.api.intercept(move |method, key| {
        let asks = *method == http::Method::PATCH && key.0 == "connectivityprobes";
        if asks { Fault::AnswerLate(late) } else { Fault::None }
    });
    let round = async {
        loop {
            reconcile(&context, NAMESPACE, NAME).await.unwrap();
            let object = testbed.object().unwrap();
            let uid = object["metadata"]["uid"].as_str().unwrap();
            match context.memories.recall(uid).round {
                Some(round) => return round,
                None => tokio::time::sleep(Duration::from_secs(15)).await,
            }
        }
    };
    let round = tokio::time::timeout(Duration::from_secs(3600), round).await.unwrap();
    assert!(round.age >= late, "{round:?} is younger than its first question");
}
