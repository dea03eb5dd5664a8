//! Statuses of BreakGlasses and ChangeApprovals: told by controllers of their own, of what a pass over the SecureRegistry decided.
//! No emergency waits for them, and they wait for no pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api_server::Fault;
use super::stand::{NAME, NAMESPACE, Operator, Stand};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(30);

async fn locked() -> (Stand, Operator) {
    let stand = Stand::quick();
    let operator = stand.start();
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    // Nothing is due any more for a while.
    tokio::time::sleep(Duration::from_secs(120)).await;
    (stand, operator)
}

fn phase(stand: &Stand) -> Value {
    stand.glass()["phase"].clone()
}

fn message(stand: &Stand) -> String {
    stand.glass()["message"].as_str().unwrap_or_default().to_owned()
}

/// A request that names the registry, or another one.
fn request(stand: &Stand, plural: &str, name: &str, registry: &str, mut spec: Value) {
    let kind = if plural == "breakglasses" {
        "BreakGlass"
    } else {
        "ChangeApproval"
    };
    spec["secureRegistryName"] = registry.into();
    stand.api.put(
        plural,
        json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}),
    );
}

fn told(stand: &Stand, plural: &str, name: &str) -> Value {
    stand.api.get(plural, NAMESPACE, name).unwrap_or_default()["status"].clone()
}

fn writes_of(stand: &Stand, resource: &str) -> usize {
    let writes = stand.cluster_writes();
    writes.iter().filter(|write| write.resource == resource).count()
}

/// Neither a refusal nor an API server that is slow to answer holds anything up; once it can be written it is.
#[tokio::test(start_paused = true)]
async fn an_emergency_opens_and_ends_though_its_status_cannot_be_written() {
    for fault in [Fault::Refuse(403), Fault::AnswerLate(HOUR)] {
        let (stand, operator) = locked().await;
        let broken = Arc::new(AtomicBool::new(true));
        let faulty = Arc::clone(&broken);
        stand.api.intercept(move |method, key| {
            let tells = *method == Method::PATCH && key.0 == "breakglasses";
            if tells && faulty.load(Ordering::Relaxed) {
                fault
            } else {
                Fault::None
            }
        });
        let begun = Instant::now();
        stand.break_the_glass("30m");
        stand.until("open", SOON, |stand| stand.open_targets().len() == 3).await;
        assert!(begun.elapsed() < SOON);
        if fault == Fault::Refuse(403) {
            assert_eq!(stand.glass(), Value::Null);
        }
        broken.store(false, Ordering::Relaxed);
        stand
            .until("told", Duration::from_secs(400), |stand| phase(stand) == "Active")
            .await;
        stand
            .until("locked again", 2 * HOUR, |stand| {
                stand.state() == "Locked" && phase(stand) == "Spent"
            })
            .await;
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_erased_or_wrote_is_put_right_without_a_pass_over_the_registry() {
    let (stand, operator) = locked().await;
    stand.break_the_glass("2h");
    stand
        .until("told", HOUR, |stand| message(stand).contains("holds public access"))
        .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (active, passes) = (stand.glass(), writes_of(&stand, "secureregistries/status"));
    for wrong in [
        Value::Null,
        json!({"phase": "Expired", "message": "over"}),
        json!({"phase": "Nonsense"}),
    ] {
        stand
            .api
            .meddle("breakglasses", NAMESPACE, "fire", |glass| glass["status"] = wrong);
        stand
            .until("told again", Duration::from_secs(5), |stand| stand.glass() == active)
            .await;
    }
    assert_eq!(writes_of(&stand, "secureregistries/status"), passes);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_tells_what_was_erased_while_nobody_led() {
    let (stand, operator) = locked().await;
    stand.break_the_glass("2h");
    stand.until("told", HOUR, |stand| phase(stand) == "Active").await;
    operator.kill().await;
    let erase = |object: &mut Value| object["status"] = Value::Null;
    stand.api.meddle("breakglasses", NAMESPACE, "fire", erase);
    stand.api.meddle("secureregistries", NAMESPACE, NAME, erase);
    let operator = stand.start();
    stand
        .until("told again", Duration::from_secs(60), |stand| phase(stand) == "Active")
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_told_that_nothing_happens_and_its_end_by_itself() {
    let stand = Stand::quick();
    let operator = stand.start();
    let spec = json!({"reason": "a typing error", "requestedBy": "ops", "duration": "30m"});
    request(&stand, "breakglasses", "lonely", "typo", spec);
    let spec = json!({"change": "Lockdown", "digest": "0123456789abcdef", "approvedBy": "jane"});
    request(&stand, "changeapprovals", "lonely", "typo", spec);
    let lonely = |stand: &Stand, plural: &str| told(stand, plural, "lonely");
    let no_such = |status: &Value| {
        status["message"]
            .to_string()
            .contains("there is no SecureRegistry typo")
    };
    stand
        .until("both are told", SOON, |stand| {
            let (glass, approval) = (lonely(stand, "breakglasses"), lonely(stand, "changeapprovals"));
            glass["phase"] == "Pending" && no_such(&glass) && no_such(&approval)
        })
        .await;
    let end = Duration::from_secs(31 * 60);
    stand
        .until("its end", end, |stand| {
            lonely(stand, "breakglasses")["phase"] == "Expired"
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_its_registry_object_leaves_behind_is_told_when_that_goes_and_judged_when_it_comes_back() {
    let (stand, operator) = locked().await;
    stand.break_the_glass("2h");
    stand.until("told", HOUR, |stand| phase(stand) == "Active").await;
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand
        .until("told that it is gone", HOUR, |stand| {
            stand.object().is_none() && message(stand).contains("there is no SecureRegistry")
        })
        .await;
    stand.apply_quick(|_| {});
    stand
        .until("judged again", HOUR, |stand| {
            !message(stand).contains("there is no SecureRegistry")
        })
        .await;
    operator.stop().await;
}

/// Written by another version, or past the schema.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_parse_keeps_no_other_untold() {
    let (stand, operator) = locked().await;
    for (name, spec) in [
        ("list", json!([1, 2])),
        ("number", json!({"secureRegistryName": 7})),
        ("duration", json!({"secureRegistryName": NAME, "duration": "soon"})),
    ] {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        let body = json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": "BreakGlass", "metadata": metadata});
        stand.api.put("breakglasses", body);
        stand
            .api
            .meddle("breakglasses", NAMESPACE, name, |glass| glass["spec"] = spec);
    }
    stand.break_the_glass("30m");
    stand.until("told", SOON, |stand| phase(stand) == "Active").await;
    operator.stop().await;
}

/// One apply a pass at most, and none where nothing differs: of the registry, and of what names it.
#[tokio::test(start_paused = true)]
async fn once_nothing_changes_nothing_is_written() {
    let (stand, operator) = locked().await;
    stand.break_the_glass("4h");
    stand.until("told", HOUR, |stand| phase(stand) == "Active").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let statuses =
        |stand: &Stand| writes_of(stand, "secureregistries/status") + writes_of(stand, "breakglasses/status");
    let before = statuses(&stand);
    tokio::time::sleep(HOUR).await;
    assert_eq!(statuses(&stand), before);
    operator.stop().await;
}
