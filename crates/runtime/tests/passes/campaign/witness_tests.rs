//! A witness that cannot object is none: each rule is broken once, past the operator, through the same wire.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::azures::storage;
use super::stories;
use super::witness::Witness;
use crate::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Testbed};

fn sees(witness: &Witness, method: &str, path: &str, body: &Value) -> Vec<String> {
    let wished = witness.wishes();
    witness.sees(method, path, body.to_string().as_bytes(), wished);
    witness.sees_sent(method, path);
    witness.violations()
}

fn close() -> Value {
    json!({"properties": {"publicNetworkAccess": "Disabled"}})
}

fn open() -> Value {
    json!({"properties": {"publicNetworkAccess": "Enabled"}})
}

/// `lockdown`, when everything is locked, and a witness from before.
async fn locked() -> (Testbed, Arc<Witness>) {
    let testbed = stories::all().remove(0).set_up();
    let witness = Arc::new(Witness::new(&testbed));
    let operator = testbed.start();
    testbed
        .until("locked", Duration::from_secs(3600), |testbed| {
            testbed.state() == "Locked"
        })
        .await;
    operator.kill().await;
    assert_eq!(witness.violations(), Vec::<String>::new());
    (testbed, witness)
}

fn open_by_hand(testbed: &Testbed) {
    testbed.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = "Enabled".into()
    });
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_closing_before_anything_was_proven() {
    let testbed = stories::all().remove(0).set_up();
    let said = sees(&Witness::new(&testbed), "PUT", REGISTRY, &close());
    assert!(said[0].contains("closed though"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_closing_on_evidence_that_is_old_or_incomplete() {
    let (testbed, _) = locked().await;
    open_by_hand(&testbed);
    let judged = |testbed: &Testbed| sees(&Witness::new(testbed), "PUT", REGISTRY, &close());
    assert_eq!(judged(&testbed), Vec::<String>::new(), "fresh and complete");
    let kept = testbed.agents.log.lock().unwrap().clone();
    testbed
        .agents
        .log
        .lock()
        .unwrap()
        .retain(|tried| tried.network != "office");
    assert!(judged(&testbed)[0].contains("without proof"), "one network is missing");
    let mut one_failed = kept.clone();
    one_failed.last_mut().unwrap().passed = false;
    *testbed.agents.log.lock().unwrap() = one_failed;
    assert!(judged(&testbed)[0].contains("without proof"), "the last attempt failed");
    *testbed.agents.log.lock().unwrap() = kept;
    testbed.sim.advance(Duration::from_secs(180));
    assert!(judged(&testbed)[0].contains("without proof"), "older than maxAge");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_reopening_that_nobody_asked_for_and_to_deletions_while_closed() {
    let (testbed, witness) = locked().await;
    assert!(sees(&witness, "PUT", REGISTRY, &open())[0].contains("nobody asked"));
    // Whoever a rule lets in is let in, though the account goes on denying all others.
    let account = storage(&testbed).unwrap();
    let rules = json!({"defaultAction": "Deny", "ipRules": [{"value": "198.51.100.7", "action": "Allow"}]});
    let lets_in = json!({"properties": {"publicNetworkAccess": "Enabled", "networkAcls": rules}});
    assert!(sees(&Witness::new(&testbed), "PATCH", &account, &lets_in)[0].contains("nobody asked"));
    let endpoints = testbed.status()["endpoints"].clone();
    let endpoint = endpoints[0]["resourceId"].as_str().unwrap();
    assert!(sees(&witness, "DELETE", endpoint, &Value::Null)[1].contains("deleted though"));
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
    });
    assert_eq!(
        sees(&witness, "PUT", REGISTRY, &open()).len(),
        2,
        "the spec asks for it"
    );
    open_by_hand(&testbed);
    assert!(sees(&witness, "PUT", REGISTRY, &close())[2].contains("against the spec"));
}

fn change_object(testbed: &Testbed, change: impl FnOnce(&mut Value)) {
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, change);
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_closing_without_a_snapshot_of_each_target() {
    let (testbed, _) = locked().await;
    open_by_hand(&testbed);
    let judged = || sees(&Witness::new(&testbed), "PUT", REGISTRY, &close());
    assert_eq!(judged(), Vec::<String>::new());
    let name = testbed.api.all("configmaps")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let kept = testbed.api.get("configmaps", OPERATOR_NAMESPACE, &name).unwrap();
    let mut snapshot: Value = serde_json::from_str(kept["data"]["snapshot.json"].as_str().unwrap()).unwrap();
    let targets = snapshot["targets"].as_object_mut().unwrap();
    targets.retain(|id, _| !id.contains("/storageAccounts/"));
    assert_eq!(targets.len(), 2);
    testbed.api.meddle("configmaps", OPERATOR_NAMESPACE, &name, |map| {
        map["data"]["snapshot.json"] = snapshot.to_string().into();
    });
    assert!(judged()[0].contains("no snapshot tells"), "one target is not told of");
    testbed.api.remove("configmaps", OPERATOR_NAMESPACE, &name);
    assert!(judged()[0].contains("no snapshot tells"), "there is none at all");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_what_waits_for_an_approval_that_nobody_gave() {
    let (testbed, witness) = locked().await;
    let endpoint = testbed.status()["endpoints"][0]["resourceId"]
        .as_str()
        .unwrap()
        .to_owned();
    open_by_hand(&testbed);
    change_object(&testbed, |object| {
        object["spec"]["nameChanges"] = json!({"waitFor": ["Approval"]});
        object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}});
    });
    assert!(sees(&witness, "PUT", REGISTRY, &close())[0].contains("closed, and nobody approved"));
    assert!(sees(&witness, "PUT", &endpoint, &json!({}))[1].contains("changes names, and nobody approved"));
    for change in ["Lockdown", "NameChanges"] {
        testbed.api.put("changeapprovals", json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
            "metadata": {"name": change.to_lowercase(), "namespace": NAMESPACE},
            "spec": {"secureRegistryName": NAME, "change": change, "digest": "0123456789abcdef", "approvedBy": "boss"},
        }));
    }
    sees(&witness, "PUT", &endpoint, &json!({}));
    assert_eq!(sees(&witness, "PUT", REGISTRY, &close()).len(), 2, "both are approved");
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_writes_before_the_finalizer_and_after_the_object() {
    let (testbed, witness) = locked().await;
    let tags = json!({"tags": {}});
    assert_eq!(sees(&witness, "PATCH", REGISTRY, &tags), Vec::<String>::new());
    change_object(&testbed, |object| object["metadata"]["finalizers"] = json!([]));
    assert!(sees(&witness, "PATCH", REGISTRY, &tags)[0].contains("before the finalizer"));
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    assert!(sees(&witness, "PATCH", REGISTRY, &tags)[1].contains("an object that is not there"));
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_writes_on_what_is_somebody_elses() {
    let (testbed, witness) = locked().await;
    let of = |part: &str| {
        let find = |world: &azure_sim::world::World| {
            world
                .resources
                .values()
                .find(|r| r.id.contains(part))
                .map(|r| r.id.clone())
        };
        testbed.sim.with_world(find).unwrap()
    };
    let zone = of("/sandbox/providers/Microsoft.Network/privateDnsZones/");
    let strange = [
        (of("/storageAccounts/sandboxdata"), "somebody else's"),
        (of("/privateEndpoints/sandboxdata-blob"), "somebody else's"),
        (zone.clone(), "somebody else's"),
        (format!("{zone}/A/sandboxdata"), "somebody else's"),
        (
            of("/dns/providers/Microsoft.Network/privateDnsZones/") + "/A/late",
            "nobody but Azure",
        ),
        (
            of("/virtualNetworks/hub") + "/subnets/more",
            "nobody asked for such a thing",
        ),
    ];
    for (number, (id, why)) in strange.iter().enumerate() {
        let said = sees(&witness, "PUT", id, &json!({}));
        assert!(said.len() == number + 1 && said[number].contains(why), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_witness_objects_to_a_strangers_record_that_was_overwritten() {
    let (testbed, witness) = locked().await;
    let record = |world: &azure_sim::world::World| {
        let mut records = world
            .resources
            .values()
            .filter(|r| r.id.contains("/sandbox/") && r.id.contains("/A/"));
        records.next().map(|r| r.id.clone())
    };
    let record = testbed.sim.with_world(record).unwrap();
    assert_eq!(witness.violations(), Vec::<String>::new());
    testbed.sim.change_by_hand(&record, |body| {
        body["properties"]["aRecords"] = json!([{"ipv4Address": "10.0.1.9"}]);
    });
    assert!(witness.violations()[0].contains("not as it was"));
}
