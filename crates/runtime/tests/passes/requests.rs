//! Statuses of BreakGlasses and ChangeApprovals: told by controllers of their own, of what a pass over the SecureRegistry decided.
//! No emergency waits for them, and they wait for no pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api_server::Fault;
use super::testbed::{NAME, NAMESPACE, Operator, Testbed};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(30);

async fn locked() -> (Testbed, Operator) {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    // Nothing is due any more for a while.
    tokio::time::sleep(Duration::from_secs(120)).await;
    (testbed, operator)
}

fn phase(testbed: &Testbed) -> Value {
    testbed.glass()["phase"].clone()
}

fn message(testbed: &Testbed) -> String {
    testbed.glass()["message"].as_str().unwrap_or_default().to_owned()
}

/// A request that names the registry, or another one.
fn request(testbed: &Testbed, plural: &str, name: &str, registry: &str, mut spec: Value) {
    let kind = if plural == "breakglasses" {
        "BreakGlass"
    } else {
        "ChangeApproval"
    };
    spec["secureRegistryName"] = registry.into();
    testbed.api.put(
        plural,
        json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}),
    );
}

fn told(testbed: &Testbed, plural: &str, name: &str) -> Value {
    testbed.api.get(plural, NAMESPACE, name).unwrap_or_default()["status"].clone()
}

fn writes_of(testbed: &Testbed, resource: &str) -> usize {
    let writes = testbed.cluster_writes();
    writes.iter().filter(|write| write.resource == resource).count()
}

/// Neither a refusal nor an API server that is slow to answer holds anything up; once it can be written it is.
#[tokio::test(start_paused = true)]
async fn an_emergency_opens_and_ends_though_its_status_cannot_be_written() {
    for fault in [Fault::Refuse(403), Fault::AnswerLate(HOUR)] {
        let (testbed, operator) = locked().await;
        let broken = Arc::new(AtomicBool::new(true));
        let faulty = Arc::clone(&broken);
        testbed.api.intercept(move |method, key| {
            let tells = *method == Method::PATCH && key.0 == "breakglasses";
            if tells && faulty.load(Ordering::Relaxed) {
                fault
            } else {
                Fault::None
            }
        });
        let begun = Instant::now();
        testbed.break_the_glass("30m");
        testbed
            .until("open", SOON, |testbed| testbed.open_targets().len() == 3)
            .await;
        assert!(begun.elapsed() < SOON);
        if fault == Fault::Refuse(403) {
            assert_eq!(testbed.glass(), Value::Null);
        }
        broken.store(false, Ordering::Relaxed);
        testbed
            .until("told", Duration::from_secs(400), |testbed| phase(testbed) == "Active")
            .await;
        testbed
            .until("locked again", 2 * HOUR, |testbed| {
                testbed.state() == "Locked" && phase(testbed) == "Spent"
            })
            .await;
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_erased_or_wrote_is_put_right_without_a_pass_over_the_registry() {
    let (testbed, operator) = locked().await;
    testbed.break_the_glass("2h");
    testbed
        .until("told", HOUR, |testbed| message(testbed).contains("holds public access"))
        .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (active, passes) = (testbed.glass(), writes_of(&testbed, "secureregistries/status"));
    for wrong in [
        Value::Null,
        json!({"phase": "Expired", "message": "over"}),
        json!({"phase": "Nonsense"}),
    ] {
        testbed
            .api
            .meddle("breakglasses", NAMESPACE, "fire", |glass| glass["status"] = wrong);
        testbed
            .until("told again", Duration::from_secs(5), |testbed| {
                testbed.glass() == active
            })
            .await;
    }
    assert_eq!(writes_of(&testbed, "secureregistries/status"), passes);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_tells_what_was_erased_while_nobody_led() {
    let (testbed, operator) = locked().await;
    testbed.break_the_glass("2h");
    testbed.until("told", HOUR, |testbed| phase(testbed) == "Active").await;
    operator.kill().await;
    let erase = |object: &mut Value| object["status"] = Value::Null;
    testbed.api.meddle("breakglasses", NAMESPACE, "fire", erase);
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, erase);
    let operator = testbed.start();
    testbed
        .until("told again", Duration::from_secs(60), |testbed| {
            phase(testbed) == "Active"
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_told_that_nothing_happens_and_its_end_by_itself() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    let spec = json!({"reason": "a typing error", "requestedBy": "ops", "duration": "30m"});
    request(&testbed, "breakglasses", "lonely", "typo", spec);
    let spec = json!({"change": "Lockdown", "digest": "0123456789abcdef", "approvedBy": "jane"});
    request(&testbed, "changeapprovals", "lonely", "typo", spec);
    let lonely = |testbed: &Testbed, plural: &str| told(testbed, plural, "lonely");
    let no_such = |status: &Value| {
        status["message"]
            .to_string()
            .contains("there is no SecureRegistry typo")
    };
    testbed
        .until("both are told", SOON, |testbed| {
            let (glass, approval) = (lonely(testbed, "breakglasses"), lonely(testbed, "changeapprovals"));
            glass["phase"] == "Pending" && no_such(&glass) && no_such(&approval)
        })
        .await;
    let end = Duration::from_secs(31 * 60);
    testbed
        .until("its end", end, |testbed| {
            lonely(testbed, "breakglasses")["phase"] == "Expired"
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_its_registry_object_leaves_behind_is_told_when_that_goes_and_judged_when_it_comes_back() {
    let (testbed, operator) = locked().await;
    testbed.break_the_glass("2h");
    testbed.until("told", HOUR, |testbed| phase(testbed) == "Active").await;
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed
        .until("told that it is gone", HOUR, |testbed| {
            testbed.object().is_none() && message(testbed).contains("there is no SecureRegistry")
        })
        .await;
    testbed.apply_quick(|_| {});
    testbed
        .until("judged again", HOUR, |testbed| {
            !message(testbed).contains("there is no SecureRegistry")
        })
        .await;
    operator.stop().await;
}

/// Written by another version, or past the schema.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_parse_keeps_no_other_untold() {
    let (testbed, operator) = locked().await;
    for (name, spec) in [
        ("list", json!([1, 2])),
        ("number", json!({"secureRegistryName": 7})),
        ("duration", json!({"secureRegistryName": NAME, "duration": "soon"})),
    ] {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        let body = json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": "BreakGlass", "metadata": metadata});
        testbed.api.put("breakglasses", body);
        testbed
            .api
            .meddle("breakglasses", NAMESPACE, name, |glass| glass["spec"] = spec);
    }
    testbed.break_the_glass("30m");
    testbed.until("told", SOON, |testbed| phase(testbed) == "Active").await;
    operator.stop().await;
}

/// One apply a pass at most, and none where nothing differs: of the registry, and of what names it.
#[tokio::test(start_paused = true)]
async fn once_nothing_changes_nothing_is_written() {
    let (testbed, operator) = locked().await;
    testbed.break_the_glass("4h");
    testbed.until("told", HOUR, |testbed| phase(testbed) == "Active").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let statuses =
        |testbed: &Testbed| writes_of(testbed, "secureregistries/status") + writes_of(testbed, "breakglasses/status");
    let before = statuses(&testbed);
    tokio::time::sleep(HOUR).await;
    assert_eq!(statuses(&testbed), before);
    operator.stop().await;
}
