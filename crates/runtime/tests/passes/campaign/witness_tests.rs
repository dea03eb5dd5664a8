//! A witness that cannot object is none: each rule is broken once, past the operator, through the same wire.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::stories;
use super::witness::Witness;
use crate::stand::{NAME, NAMESPACE, REGISTRY, Stand};

fn sees(witness: &Witness, method: &str, path: &str, body: &Value) -> Vec<String> {
    witness.sees(method, path, body.to_string().as_bytes());
    witness.violations()
}

fn close() -> Value {
    json!({"properties": {"publicNetworkAccess": "Disabled"}})
}

fn open() -> Value {
    json!({"properties": {"publicNetworkAccess": "Enabled"}})
}

/// `lockdown`, when everything is locked.
async fn locked() -> Stand {
    let stand = stories::all().remove(0).set_up();
    let operator = stand.start();
    stand
        .until("locked", Duration::from_secs(3600), |stand| stand.state() == "Locked")
        .await;
    operator.kill().await;
    stand
}

fn open_by_hand(stand: &Stand) {
    stand.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = "Enabled".into()
    });
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_closing_before_anything_was_proven() {
    let stand = stories::all().remove(0).set_up();
    let said = sees(&Witness::new(&stand), "PUT", REGISTRY, &close());
    assert!(said[0].contains("closed though"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_closing_on_evidence_that_is_old_or_incomplete() {
    let stand = locked().await;
    open_by_hand(&stand);
    let judged = |stand: &Stand| sees(&Witness::new(stand), "PUT", REGISTRY, &close());
    assert_eq!(judged(&stand), Vec::<String>::new(), "fresh and complete");
    let kept = stand.agents.log.lock().unwrap().clone();
    stand
        .agents
        .log
        .lock()
        .unwrap()
        .retain(|tried| tried.network != "office");
    assert!(judged(&stand)[0].contains("without proof"), "one network is missing");
    let mut one_failed = kept.clone();
    one_failed.last_mut().unwrap().passed = false;
    *stand.agents.log.lock().unwrap() = one_failed;
    assert!(judged(&stand)[0].contains("without proof"), "the last attempt failed");
    *stand.agents.log.lock().unwrap() = kept;
    stand.sim.advance(Duration::from_secs(180));
    assert!(judged(&stand)[0].contains("without proof"), "older than maxAge");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_reopening_that_nobody_asked_for_and_to_deletions_while_closed() {
    let stand = locked().await;
    let witness = Arc::new(Witness::new(&stand));
    assert!(sees(&witness, "PUT", REGISTRY, &open())[0].contains("nobody asked"));
    let endpoints = stand.status()["endpoints"].clone();
    let endpoint = endpoints[0]["resourceId"].as_str().unwrap();
    assert!(sees(&witness, "DELETE", endpoint, &Value::Null)[1].contains("deleted though"));
    stand.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
    });
    assert_eq!(
        sees(&witness, "PUT", REGISTRY, &open()).len(),
        2,
        "the spec asks for it"
    );
    open_by_hand(&stand);
    assert!(sees(&witness, "PUT", REGISTRY, &close())[2].contains("against the spec"));
}
