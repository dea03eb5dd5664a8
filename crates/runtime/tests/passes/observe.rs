//! What a pass knows: every read that fails is a reason for not knowing, and what is not ours is not seen as ours.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sreg_api::names::{LABEL_REGISTRY_UID, LABEL_VANTAGE_POINT};
use sreg_domain::naming::probe_name;
use sreg_domain::seen::{ClusterSeen, Fact, IgnoranceKind};
use sreg_runtime::reconcile::reconcile;

use super::api_server::Fault;
use super::stand::{NAME, NAMESPACE, OPERATOR_NAMESPACE, Stand};

async fn cluster(stand: &Stand) -> ClusterSeen {
    stand.look(&stand.context()).await.2.cluster
}

/// Probes exist, agents answer, nothing is closed yet.
async fn probing() -> Stand {
    let stand = Stand::quick();
    stand.until_closing(&stand.context()).await;
    stand
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
        let stand = probing().await;
        stand.api.intercept(move |method, key| {
            if *method == http::Method::GET && key.0 == plural {
                Fault::Refuse(503)
            } else {
                Fault::None
            }
        });
        let seen = cluster(&stand).await;
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
        let context = stand.context();
        for _ in 0..10 {
            reconcile(&context, NAMESPACE, NAME).await.unwrap();
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        assert!(stand.closings().is_empty(), "closed without knowing {plural}");
    }
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_missing_are_told_from_an_api_server_that_is_away() {
    let stand = probing().await;
    for (code, kind) in [
        (403, IgnoranceKind::Forbidden),
        (429, IgnoranceKind::Throttled),
        (500, IgnoranceKind::Unreachable),
    ] {
        stand.api.intercept(move |_, key| {
            if key.0 == "configmaps" {
                Fault::Refuse(code)
            } else {
                Fault::None
            }
        });
        assert_eq!(
            cluster(&stand).await.snapshot.ignorance().map(|why| why.kind),
            Some(kind)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_does_not_parse_hides_no_other() {
    let stand = probing().await;
    let uid = stand.object().unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    stand.api.meddle(
        "connectivityprobes",
        "vp-hub",
        &probe_name(&uid, "hub-agent"),
        |probe| probe["spec"] = json!({"paths": 7}),
    );
    let probes = cluster(&stand).await.probes;
    assert_eq!(
        probes["hub-agent"].ignorance().map(|why| why.kind),
        Some(IgnoranceKind::Nonsense)
    );
    assert!(probes["office"].seen().is_some() && probes["spoke-a-agent"].seen().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_another_name_is_not_ours_whatever_its_labels_say() {
    let stand = probing().await;
    let uid = stand.object().unwrap()["metadata"]["uid"].clone();
    let mut forged = stand.api.all("connectivityprobes").remove(0);
    forged["metadata"] = json!({"name": "forged", "namespace": NAMESPACE,
        "labels": {LABEL_REGISTRY_UID: uid, LABEL_VANTAGE_POINT: "hub-agent"}});
    forged["status"]["results"] = json!([]);
    stand.api.put("connectivityprobes", forged);
    let probes = cluster(&stand).await.probes;
    assert_eq!(probes.len(), 3);
    assert_eq!(probes["hub-agent"].seen().unwrap().namespace, "vp-hub");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_its_vantage_point_left_behind_is_cleaned_up() {
    let stand = probing().await;
    stand.api.meddle("vantagepoints", "", "hub-agent", |point| {
        point["spec"]["namespace"] = "vp-new".into()
    });
    let probes = cluster(&stand).await.probes;
    assert!(probes["hub-agent"].is_absent());
    assert_eq!(probes["hub-agent@vp-hub"].seen().unwrap().namespace, "vp-hub");
    let context = stand.context();
    for _ in 0..3 {
        reconcile(&context, NAMESPACE, NAME).await.unwrap();
    }
    let mut namespaces: Vec<_> = stand
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
    let stand = Stand::quick();
    let approval = |name: &str, object: &str| {
        json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
            "metadata": {"name": name, "namespace": NAMESPACE, "finalizers": ["somebody.else/waits"]},
            "spec": {"secureRegistryName": object, "change": "Lockdown", "digest": "ABCDEF0123456789", "approvedBy": "boss"},
        })
    };
    stand.api.put("changeapprovals", approval("ours", NAME));
    stand.api.put("changeapprovals", approval("theirs", "another"));
    stand.api.put("changeapprovals", approval("withdrawn", NAME));
    stand.api.remove("changeapprovals", NAMESPACE, "withdrawn");
    let seen = cluster(&stand).await;
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
    let stand = Stand::quick();
    let name = sreg_domain::naming::snapshot_name(&super::stand::REGISTRY.parse().unwrap());
    assert!(cluster(&stand).await.snapshot.is_absent());
    stand.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE},
        "data": {"snapshot.json": "{\"holder\": "}}),
    );
    assert_eq!(
        cluster(&stand).await.snapshot.ignorance().map(|why| why.kind),
        Some(IgnoranceKind::Nonsense)
    );
}
