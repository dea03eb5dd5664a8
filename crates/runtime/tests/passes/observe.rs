//! What a pass knows: every read that fails is a reason for not knowing, and what is not ours is not seen as ours.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sreg_api::names::{LABEL_REGISTRY_UID, LABEL_VANTAGE_POINT};
use sreg_domain::naming::probe_name;
use sreg_domain::seen::{ClusterSeen, Fact, IgnoranceKind};
use sreg_runtime::reconcile::reconcile;

use super::api_server::Fault;
use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, Testbed};

async fn cluster(testbed: &Testbed) -> ClusterSeen {
    testbed.look(&testbed.context()).await.2.cluster
}

/// Probes exist, agents answer, nothing is closed yet.
async fn probing() -> Testbed {
    let testbed = Testbed::quick();
    testbed.until_closing(&testbed.context()).await;
    testbed
}

#[tokio::test(start_paused = true)]
async fn every_read_that_fails_is_a_reason_for_not_knowing_and_nothing_is_closed_on_it() {
    for plural in [
        "leases",
        "configmaps",
        "vantagepoints",
        "connectivityprobes",
        "breakglasses",
    ] {
        let testbed = probing().await;
        testbed.api.intercept(move |method, key| {
            if *method == http::Method::GET && key.0 == plural {
                Fault::Refuse(503)
            } else {
                Fault::None
            }
        });
        let seen = cluster(&testbed).await;
        let unknown: BTreeSet<&str> = [
            ("claim", seen.claim.ignorance().is_some()),
            ("snapshot", seen.snapshot.ignorance().is_some()),
            (
                "vantage points",
                seen.vantage_points.values().all(|fact| fact.ignorance().is_some()),
            ),
            ("probes", seen.probes.values().all(|fact| fact.ignorance().is_some())),
            ("break-glasses", seen.break_glasses.ignorance().is_some()),
            (
                "alive",
                seen.vantage_points
                    .values()
                    .filter_map(Fact::seen)
                    .any(|point| point.alive.ignorance().is_some()),
            ),
        ]
        .into_iter()
        .filter_map(|(what, unknown)| unknown.then_some(what))
        .collect();
        let expected: BTreeSet<&str> = match plural {
            "leases" => ["claim", "alive"].into(),
            "configmaps" => ["snapshot"].into(),
            "vantagepoints" => ["vantage points"].into(),
            "connectivityprobes" => ["probes"].into(),
            _ => ["break-glasses"].into(),
        };
        assert_eq!(unknown, expected, "{plural}");
        let context = testbed.context();
        for _ in 0..10 {
            reconcile(&context, NAMESPACE, NAME).await.unwrap();
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        assert!(testbed.closings().is_empty(), "closed without knowing {plural}");
    }
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_missing_are_told_from_an_api_server_that_is_away() {
    let testbed = probing().await;
    for (code, kind) in [
        (403, IgnoranceKind::Forbidden),
        (429, IgnoranceKind::Throttled),
        (500, IgnoranceKind::Unreachable),
    ] {
        testbed.api.intercept(move |_, key| {
            if key.0 == "configmaps" {
                Fault::Refuse(code)
            } else {
                Fault::None
            }
        });
        assert_eq!(
            cluster(&testbed).await.snapshot.ignorance().map(|why| why.kind),
            Some(kind)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_does_not_parse_hides_no_other() {
    let testbed = probing().await;
    let uid = testbed.object().unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    testbed.api.meddle(
        "connectivityprobes",
        "vp-hub",
        &probe_name(&uid, "hub-agent"),
        |probe| probe["spec"] = json!({"paths": 7}),
    );
    let probes = cluster(&testbed).await.probes;
    assert_eq!(
        probes["hub-agent"].ignorance().map(|why| why.kind),
        Some(IgnoranceKind::Nonsense)
    );
    assert!(probes["office"].seen().is_some() && probes["spoke-a-agent"].seen().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_another_name_is_not_ours_whatever_its_labels_say() {
    let testbed = probing().await;
    let uid = testbed.object().unwrap()["metadata"]["uid"].clone();
    let mut forged = testbed.api.all("connectivityprobes").remove(0);
    forged["metadata"] = json!({"name": "forged", "namespace": NAMESPACE,
        "labels": {LABEL_REGISTRY_UID: uid, LABEL_VANTAGE_POINT: "hub-agent"}});
    forged["status"]["results"] = json!([]);
    testbed.api.put("connectivityprobes", forged);
    let probes = cluster(&testbed).await.probes;
    assert_eq!(probes.len(), 3);
    assert_eq!(probes["hub-agent"].seen().unwrap().namespace, "vp-hub");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_its_vantage_point_left_behind_is_cleaned_up() {
    let testbed = probing().await;
    testbed.api.meddle("vantagepoints", "", "hub-agent", |point| {
        point["spec"]["namespace"] = "vp-new".into()
    });
    let probes = cluster(&testbed).await.probes;
    assert!(probes["hub-agent"].is_absent());
    assert_eq!(probes["hub-agent@vp-hub"].seen().unwrap().namespace, "vp-hub");
    let context = testbed.context();
    for _ in 0..3 {
        reconcile(&context, NAMESPACE, NAME).await.unwrap();
    }
    let mut namespaces: Vec<_> = testbed
        .api
        .all("connectivityprobes")
        .into_iter()
        .map(|probe| probe["metadata"]["namespace"].clone())
        .collect();
    namespaces.sort_by_key(ToString::to_string);
    assert_eq!(namespaces, ["vp-new", "vp-office", "vp-spoke"]);
}

#[tokio::test(start_paused = true)]
async fn approvals_count_for_their_object_until_they_are_withdrawn() {
    let testbed = Testbed::quick();
    let approval = |name: &str, object: &str| {
        json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
            "metadata": {"name": name, "namespace": NAMESPACE, "finalizers": ["somebody.else/waits"]},
            "spec": {"secureRegistryName": object, "change": "Lockdown", "digest": "ABCDEF0123456789", "approvedBy": "boss"},
        })
    };
    testbed.api.put("changeapprovals", approval("ours", NAME));
    testbed.api.put("changeapprovals", approval("theirs", "another"));
    testbed.api.put("changeapprovals", approval("withdrawn", NAME));
    testbed.api.remove("changeapprovals", NAMESPACE, "withdrawn");
    let seen = cluster(&testbed).await;
    let approvals = seen.approvals.seen().unwrap();
    assert_eq!(
        approvals
            .iter()
            .map(|a| (a.name.as_str(), a.digest.as_str()))
            .collect::<Vec<_>>(),
        [("ours", "abcdef0123456789")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_is_not_an_absent_one() {
    let testbed = Testbed::quick();
    let name = sreg_domain::naming::snapshot_name(&super::testbed::REGISTRY.parse().unwrap());
    assert!(cluster(&testbed).await.snapshot.is_absent());
    testbed.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE},
        "data": {"snapshot.json": "{\"holder\": "}}),
    );
    assert_eq!(
        cluster(&testbed).await.snapshot.ignorance().map(|why| why.kind),
        Some(IgnoranceKind::Nonsense)
    );
}
