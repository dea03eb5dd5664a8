//! Injected faults, the journal, and `/_sim`.

use std::time::Duration;

use azure_sim::FaultRule;
use azure_sim::journal::{Actor, ChangeKind, Entry, Record};
use serde_json::{Value, json};

use crate::azure::*;

fn rule(value: Value) -> FaultRule {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says_and_the_effect_happens_or_not() {
    let tags = json!({"tags": {"seen": "yes"}});
    for (effect, status, dropped, took_effect) in [
        (json!({"status": {"status": 503, "retryAfter": 7}}), 503, false, false),
        (json!({"html": {"status": 502}}), 502, false, false),
        (json!({"truncatedJson": {}}), 200, false, true),
        (
            json!({"okWithError": {"code": "Odd", "message": "x"}}),
            200,
            false,
            false,
        ),
        (json!({"dropBeforeEffect": {}}), 500, true, false),
        (json!({"dropAfterEffect": {}}), 200, true, true),
        (json!({"delay": {"seconds": 5.0}}), 200, false, true),
    ] {
        let azure = Azure::new().await;
        azure
            .sim
            .inject(rule(json!({"method": "PATCH", "times": 1, "effect": effect})));
        let reply = azure.patch(&azure.registry(), REGISTRY, tags.clone()).await;
        assert_eq!((reply.status, reply.dropped), (status, dropped), "{effect}");
        assert_eq!(
            azure.world(&azure.registry())["tags"]["seen"] == "yes",
            took_effect,
            "{effect}"
        );
        assert_eq!(
            azure.patch(&azure.registry(), REGISTRY, tags.clone()).await.status,
            200,
            "only once"
        );
        let faults: Vec<String> = azure.sim.records_since(0).into_iter().filter_map(fault_of).collect();
        assert_eq!(faults, [effect.as_object().unwrap().keys().next().unwrap().clone()]);
    }
}

fn fault_of(record: Record) -> Option<String> {
    match record.entry {
        Entry::Request(request) => request.fault,
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_answers_are_nonsense() {
    let azure = Azure::new().await;
    azure.sim.inject(rule(
        json!({"path": "/registries/", "times": 1, "effect": {"html": {"status": 502}}}),
    ));
    azure.sim.inject(rule(
        json!({"path": "/registries/", "nth": 2, "effect": {"truncatedJson": {}}}),
    ));
    let html = azure.get(&azure.registry(), REGISTRY).await;
    assert_eq!(html.header("content-type"), Some("text/html"));
    assert!(html.header("x-ms-correlation-request-id").is_some());
    let cut = azure.get(&azure.registry(), REGISTRY).await;
    assert_eq!(cut.body, Value::Null);
    assert!(cut.bytes.starts_with(b"{"));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_after_the_effect_never_answers_but_the_journal_knows() {
    let azure = Azure::new().await;
    azure
        .sim
        .inject(rule(json!({"method": "PATCH", "effect": {"timeoutAfterEffect": {}}})));
    let registry = azure.registry();
    let call = azure.patch(&registry, REGISTRY, json!({"tags": {"seen": "yes"}}));
    assert!(tokio::time::timeout(Duration::from_secs(3600), call).await.is_err());
    assert_eq!(azure.world(&registry)["tags"]["seen"], "yes");
    assert!(
        azure
            .sim
            .records_since(0)
            .into_iter()
            .filter_map(fault_of)
            .any(|f| f == "timeoutAfterEffect")
    );
}

#[tokio::test(start_paused = true)]
async fn an_operation_can_be_made_to_fail_late_with_a_nested_code() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    azure.sim.inject(rule(json!({"method": "PUT", "path": "/privateEndpoints/", "nth": 1,
        "effect": {"failOperation": {"code": "RetryableError", "message": "x", "nested": "ReferencedResourceNotProvisioned"}}})));
    let started = azure
        .put(&endpoint("blob"), NETWORK, endpoint_body(&storage, "blob"))
        .await;
    assert_eq!(started.status, 201);
    let ended = azure.finish(&started).await;
    assert_eq!(
        (ended.status, ended.text("/status"), ended.nested()),
        (200, "Failed", "ReferencedResourceNotProvisioned")
    );
    assert_eq!(
        azure.world(&endpoint("blob"))["properties"]["provisioningState"],
        "Failed"
    );
    azure.make_endpoint("blob", &storage, "blob").await;
}

#[tokio::test(start_paused = true)]
async fn somebody_can_change_the_resource_between_a_read_and_the_write() {
    let azure = Azure::new().await;
    azure.sim.inject(rule(
        json!({"method": "PUT", "path": "/registries/contosoreg", "nth": 1,
        "effect": {"changeFirst": {"patch": {"tags": {"other": "hand"}}}}}),
    ));
    let body = azure.get(&azure.registry(), REGISTRY).await.body;
    let from = azure.sim.journal().last();
    azure.put(&azure.registry(), REGISTRY, body).await;
    let changes: Vec<Actor> = azure
        .sim
        .records_since(from)
        .into_iter()
        .filter_map(|r| match r.entry {
            Entry::Change(c) => Some(c.by),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [Actor::Hand], "before the request, and by a hand");
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_requests_and_changes_in_order() {
    let azure = Azure::new().await;
    let (storage, _) = azure.accounts();
    let from = azure.sim.journal().last();
    azure
        .patch(
            &storage,
            STORAGE,
            json!({"properties": {"publicNetworkAccess": "Disabled"}}),
        )
        .await;
    let records = azure.sim.records_since(from);
    let Entry::Request(request) = &records[0].entry else {
        panic!("{records:?}")
    };
    assert!(request.write && request.status == 200 && request.principal.as_deref() == Some(OPERATOR));
    assert_eq!(request.changed, std::slice::from_ref(&storage));
    assert_eq!(
        request.body.as_ref().unwrap()["properties"]["publicNetworkAccess"],
        "Disabled"
    );
    let Entry::Change(change) = &records[1].entry else {
        panic!("{records:?}")
    };
    assert_eq!(
        (change.change, &change.by),
        (ChangeKind::Updated, &Actor::Principal(OPERATOR.into()))
    );
    assert_eq!(change.fields[0].pointer, "/properties/publicNetworkAccess");
    assert_eq!(
        (change.fields[0].before.clone(), change.fields[0].after.clone()),
        (json!("Enabled"), json!("Disabled"))
    );
    azure.get(&storage, STORAGE).await;
    let read = azure.sim.records_since(records[1].seq);
    assert!(matches!(&read[0].entry, Entry::Request(r) if !r.write && r.body.is_none()));
}

async fn sim(azure: &Azure, method: &str, path: &str, body: Value) -> Reply {
    azure
        .send(method, &format!("/_sim{path}"), &[], body.to_string().as_bytes())
        .await
}

#[tokio::test(start_paused = true)]
async fn the_outside_has_its_own_api() {
    let azure = Azure::new().await;
    let registry = azure.registry();
    assert_eq!(
        sim(&azure, "POST", "/switches", json!({"recaseIds": true})).await.body["recaseIds"],
        true
    );
    assert_eq!(
        sim(&azure, "POST", "/switches", json!({"recaseids": true}))
            .await
            .status,
        400
    );
    assert!(azure.sim.switches().recase_ids);
    let before = sim(&azure, "GET", "/clock", Value::Null).await.body["seconds"]
        .as_f64()
        .unwrap();
    let after = sim(&azure, "POST", "/clock", json!({"advanceSeconds": 90.0}))
        .await
        .body["seconds"]
        .as_f64()
        .unwrap();
    assert_eq!(after - before, 90.0);
    assert_eq!(
        sim(&azure, "POST", "/clock", json!({"advanceSeconds": -1.0}))
            .await
            .status,
        400
    );
    let by_hand = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    assert_eq!(
        sim(&azure, "PATCH", &format!("/resources{registry}"), by_hand)
            .await
            .text("/properties/publicNetworkAccess"),
        "Disabled"
    );
    assert_eq!(
        sim(&azure, "GET", "/world?under=/subscriptions/none", Value::Null)
            .await
            .list("/resources")
            .len(),
        0
    );
    assert!(sim(&azure, "GET", "/world", Value::Null).await.list("/resources").len() > 10);
    assert_eq!(
        sim(&azure, "POST", "/faults", json!({"effect": {"html": {"status": 500}}}))
            .await
            .status,
        201
    );
    assert_eq!(azure.get(&registry, REGISTRY).await.status, 500);
    assert_eq!(sim(&azure, "GET", "/faults", Value::Null).await.body[0]["struck"], 1);
    assert_eq!(sim(&azure, "DELETE", "/faults", Value::Null).await.status, 204);
    assert_eq!(
        sim(&azure, "POST", "/faults", json!({"effect": {"fire": {}}}))
            .await
            .status,
        400
    );
    assert_eq!(
        sim(&azure, "POST", "/connections/approve", json!({"id": "/none"}))
            .await
            .status,
        404
    );
    assert_eq!(
        sim(&azure, "DELETE", &format!("/resources{registry}"), Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(
        sim(&azure, "DELETE", &format!("/resources{registry}"), Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(sim(&azure, "GET", "/nothing", Value::Null).await.status, 404);
    let journal = sim(&azure, "GET", "/journal?since=0", Value::Null).await;
    assert!(
        !journal.body.to_string().contains("/_sim"),
        "what is done from outside is no request of the story"
    );
    assert!(
        journal
            .list("/records")
            .iter()
            .any(|r| r["what"] == "change" && r["by"] == "hand"),
        "{}",
        journal.body
    );
    assert_eq!(sim(&azure, "GET", "/journal?since=x", Value::Null).await.status, 400);
}
