//! The real controller through simulated hours and days.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sreg_azure::{AzureReader, Patience};
use sreg_domain::seen::AzureSeen;
use sreg_domain::{Desired, Known};

use super::testbed::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Testbed};

const HOUR: Duration = Duration::from_secs(3600);
const MAX_AGE: Duration = Duration::from_secs(600);

async fn locked(testbed: &Testbed) {
    testbed
        .until("locked", 6 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    assert!(testbed.open_targets().is_empty(), "{:?}", testbed.open_targets());
    testbed.assert_never_closed_without_proof(MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn a_public_registry_becomes_private_and_then_nothing_is_written_for_a_day() {
    let testbed = Testbed::new();
    testbed.apply(|_| {});
    let operator = testbed.start();
    locked(&testbed).await;
    assert!(tokio::time::Instant::now().elapsed() < HOUR);
    // The last status, then quiet.
    tokio::time::sleep(HOUR).await;
    let (azure, cluster, status) = (testbed.azure_writes(), testbed.cluster_writes(), testbed.status());
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!(testbed.azure_writes(), azure, "a settled world sees no writes in Azure");
    assert_eq!(testbed.cluster_writes(), cluster, "nor in the cluster");
    assert_eq!(testbed.status(), status);
    assert_eq!(operator.context.memories.len(), 1);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_erased_at_any_moment_changes_nothing_about_the_end() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(27)).await;
        testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
            object.as_object_mut().unwrap().remove("status");
        });
    }
    locked(&testbed).await;
    let closings = testbed.closings().len();
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["status"] = json!({})
    });
    tokio::time::sleep(HOUR).await;
    assert_eq!(testbed.state(), "Locked");
    assert_eq!(
        testbed.closings().len(),
        closings,
        "nothing was opened and closed again"
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_leads_to_the_same_end() {
    for seconds in [20, 95, 230, 600] {
        let testbed = Testbed::quick();
        let operator = testbed.start();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        operator.kill().await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        let operator = testbed.start();
        locked(&testbed).await;
        tokio::time::sleep(HOUR / 12).await;
        locked(&testbed).await;
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_opened_by_hand_is_closed_again_on_a_new_proof() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    let closings = testbed.closings().len();
    tokio::time::sleep(2 * HOUR).await;
    let opened = testbed.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = "Enabled".into()
    });
    assert!(opened);
    assert_eq!(testbed.open_targets().len(), 1);
    testbed
        .until("closed again", 3 * HOUR, |testbed| testbed.open_targets().is_empty())
        .await;
    assert!(testbed.closings().len() > closings);
    testbed.assert_never_closed_without_proof(MAX_AGE);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_keeps_the_registry_open_and_is_named() {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["clientNetworks"][1]["vantagePoint"] = "nobody".into();
    });
    let operator = testbed.start();
    tokio::time::sleep(HOUR).await;
    assert!(testbed.closings().is_empty());
    assert!(
        testbed.status()["waitingFor"].to_string().contains("nobody"),
        "{:#}",
        testbed.status()
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn under_observe_nothing_is_ever_written_to_azure() {
    let testbed = Testbed::quick_with(|object| object["spec"]["managementPolicy"] = "Observe".into());
    let operator = testbed.start();
    testbed
        .until("observed", HOUR, |testbed| testbed.state() == "Observed")
        .await;
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!(testbed.azure_writes(), 0);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deletion_under_retain_leaves_azure_as_it_is_and_in_the_cluster_the_claim_and_the_way_back() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    let azure = testbed.azure_writes();
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed.until("gone", HOUR, |testbed| testbed.object().is_none()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(testbed.azure_writes(), azure);
    assert!(testbed.api.all("connectivityprobes").is_empty());
    let claims = testbed
        .api
        .all("leases")
        .into_iter()
        .filter(|lease| lease["metadata"]["namespace"] == OPERATOR_NAMESPACE);
    // What is locked goes on belonging to that namespace and name.
    let holder = format!("{NAMESPACE}/{NAME}/");
    let holders: Vec<String> = claims
        .map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        matches!(holders.as_slice(), [one] if one.starts_with(&holder)),
        "{holders:?}"
    );
    assert!(operator.context.memories.is_empty());
    assert!(!operator.context.metrics.encode().contains(NAME), "its series are gone");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_parse_harms_only_itself_and_can_be_deleted() {
    let testbed = Testbed::new();
    testbed.api.put(
        "secureregistries",
        json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
            "metadata": {"name": "broken", "namespace": NAMESPACE, "finalizers": [sreg_api::names::FINALIZER]},
            "spec": {"registry": 7},
        }),
    );
    testbed.apply(|_| {});
    let operator = testbed.start();
    locked(&testbed).await;
    let broken = testbed.api.get("secureregistries", NAMESPACE, "broken").unwrap();
    assert_eq!(broken["status"]["conditions"][0]["reason"], "Stalled", "{broken:#}");
    testbed.api.remove("secureregistries", NAMESPACE, "broken");
    testbed
        .until("released", HOUR, |testbed| {
            testbed.api.get("secureregistries", NAMESPACE, "broken").is_none()
        })
        .await;
    operator.stop().await;
}

/// A reader that panics at one object, and never answers for another.
struct Poisoned(sreg_azure::AzureClient);

#[async_trait]
impl AzureReader for Poisoned {
    async fn observe(&self, desired: &Desired, known: &Known, patience: Patience) -> AzureSeen {
        match desired.object.name.as_str() {
            "poison" => panic!("the sight of it"),
            "tar" => std::future::pending().await,
            _ => self.0.observe(desired, known, patience).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_panics_or_hangs_does_not_hold_up_other_objects() {
    let testbed = Testbed::new();
    for name in ["poison", "tar"] {
        testbed.apply(|object| {
            object["metadata"]["name"] = name.into();
            object["spec"]["registry"]["resourceId"] = REGISTRY.replace("contosoreg", name).into();
        });
    }
    testbed.apply(|_| {});
    let context = testbed.context_with(
        Arc::new(Poisoned(testbed.azure.clone())),
        Arc::new(testbed.azure.clone()),
    );
    let operator = testbed.start_with(context);
    locked(&testbed).await;
    let metrics = operator.context.metrics.encode();
    let count = |result: &str| {
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!(
                "secureregistry_passes_total{{controller=\"secureregistries\",result=\"{result}\"}}"
            ))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let (panicked, late) = (count("panicked"), count("deadline_exceeded"));
    assert!(
        (3..100).contains(&panicked),
        "tried again, with growing backoff: {panicked}"
    );
    assert!((3..100).contains(&late), "{late}");
    // Whether the one that hangs is in a pass just now is chance: no grace ends that.
    operator.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_break_glass_opens_at_once_and_the_lock_comes_back_by_itself_even_after_a_crash() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    let closings = testbed.closings().len();
    // The API server's times have whole seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    testbed.break_the_glass("30m");
    testbed
        .until("open", Duration::from_secs(300), |testbed| {
            testbed.open_targets().len() == 3
        })
        .await;
    testbed
        .until("told", Duration::from_secs(60), |testbed| {
            testbed.state() == "BreakGlass"
        })
        .await;
    operator.kill().await;
    tokio::time::sleep(HOUR / 4).await;
    let operator = testbed.start();
    testbed
        .until("closed again", 2 * HOUR, |testbed| testbed.open_targets().is_empty())
        .await;
    locked(&testbed).await;
    assert!(testbed.closings().len() >= closings + 3);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_lock_after_a_short_break_glass_rests_on_evidence_of_its_own() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    testbed.break_the_glass("30m");
    testbed
        .until("open", Duration::from_secs(300), |testbed| {
            testbed.state() == "BreakGlass"
        })
        .await;
    testbed.api.remove("breakglasses", NAMESPACE, "fire");
    testbed
        .until("closed again", HOUR, |testbed| testbed.open_targets().is_empty())
        .await;
    locked(&testbed).await;
    operator.stop().await;
    let history = testbed.status()["history"].as_array().cloned().unwrap_or_default();
    let mut evidence: Vec<&str> = history
        .iter()
        .filter_map(|line| line["evidenceDigest"].as_str())
        .collect();
    let locks = evidence.len();
    evidence.dedup();
    assert_eq!((locks, evidence.len()), (2, 2), "{history:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_break_glass_whose_object_is_deleted_promises_no_lock_any_more() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    testbed.break_the_glass("2h");
    let says = |testbed: &Testbed, what: &str| testbed.glass()["message"].as_str().unwrap_or_default().contains(what);
    testbed
        .until("open", Duration::from_secs(600), |testbed| {
            says(testbed, "then it is locked again")
        })
        .await;
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed
        .until("told so", Duration::from_secs(600), |testbed| {
            says(testbed, "there is no SecureRegistry")
        })
        .await;
    let glass = testbed.glass();
    assert_eq!(glass["phase"], "Ignored");
    assert!(says(&testbed, "public access stays as it is") && glass["until"].is_string());
    assert_eq!(testbed.open_targets().len(), 3);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn objects_of_namespaces_that_are_not_served_are_left_alone() {
    let testbed = Testbed::quick();
    let mut context = testbed.context();
    context.settings.namespaces = Some(vec!["elsewhere".into(), "nowhere".into()]);
    let operator = testbed.start_with(context);
    tokio::time::sleep(HOUR).await;
    assert_eq!(testbed.azure_writes(), 0);
    assert_eq!(testbed.object().unwrap()["status"], crate::api_server::never_observed());
    operator.stop().await;
    let mut context = testbed.context();
    context.settings.namespaces = Some(vec!["elsewhere".into(), NAMESPACE.into()]);
    let operator = testbed.start_with(context);
    locked(&testbed).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_seen_at_once() {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}})
    });
    let operator = testbed.start();
    testbed
        .until("waits", HOUR, |testbed| testbed.state() == "AwaitingApproval")
        .await;
    tokio::time::sleep(HOUR).await;
    assert!(testbed.closings().is_empty());
    let wanted = testbed.status()["approvalsWanted"][0].clone();
    testbed.api.put("changeapprovals", json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
        "metadata": {"name": "go", "namespace": NAMESPACE},
        "spec": {"secureRegistryName": NAME, "change": "Lockdown", "digest": wanted["digest"], "approvedBy": "boss"},
    }));
    testbed
        .until("goes on", Duration::from_secs(3), |testbed| {
            testbed.state() != "AwaitingApproval"
        })
        .await;
    locked(&testbed).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_names_no_object_is_told_so_until_the_object_is_there() {
    let testbed = Testbed::quick_with(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}})
    });
    let mut object = testbed.object().unwrap();
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    let operator = testbed.start();
    testbed.api.put("changeapprovals", json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
        "metadata": {"name": "early", "namespace": NAMESPACE},
        "spec": {"secureRegistryName": NAME, "change": "Lockdown", "digest": "0123456789abcdef", "approvedBy": "boss"},
    }));
    let told = |testbed: &Testbed| {
        let approval = testbed.api.get("changeapprovals", NAMESPACE, "early").unwrap();
        let text = |field: &str| approval["status"][field].as_str().unwrap_or_default().to_owned();
        (text("phase"), text("message"))
    };
    testbed
        .until("told", Duration::from_secs(10), |testbed| {
            let (phase, message) = told(testbed);
            phase == "Pending" && message.contains(&format!("there is no SecureRegistry {NAME}"))
        })
        .await;
    assert!(
        told(&testbed).1.contains(&format!("kubectl get sreg -n {NAMESPACE}")),
        "{:?}",
        told(&testbed)
    );
    // Told once: a status that is written again and again would never be quiet.
    let before = testbed.api.get("changeapprovals", NAMESPACE, "early");
    tokio::time::sleep(HOUR).await;
    assert_eq!(testbed.api.get("changeapprovals", NAMESPACE, "early"), before);

    for of_the_old_one in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        object["metadata"].as_object_mut().unwrap().remove(of_the_old_one);
    }
    testbed.api.put("secureregistries", object);
    testbed.until("judged", HOUR, |testbed| told(testbed).0 == "Void").await;
    // And gone again.
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed
        .until("told again", HOUR, |testbed| {
            told(testbed).1.contains("there is no SecureRegistry")
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deletes_is_noticed_at_once() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    locked(&testbed).await;
    let probe = testbed.api.all("connectivityprobes").remove(0);
    let (namespace, name) = (
        probe["metadata"]["namespace"].as_str().unwrap(),
        probe["metadata"]["name"].as_str().unwrap(),
    );
    testbed.api.remove("connectivityprobes", namespace, name);
    let back = |testbed: &Testbed| testbed.api.get("connectivityprobes", namespace, name).is_some();
    testbed.until("asked again", Duration::from_secs(10), back).await;
    let mut vantage_point = testbed.api.get("vantagepoints", "", "hub-agent").unwrap();
    for of_the_old_one in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        vantage_point["metadata"]
            .as_object_mut()
            .unwrap()
            .remove(of_the_old_one);
    }
    testbed.api.remove("vantagepoints", "", "hub-agent");
    let says_so = |testbed: &Testbed| testbed.status()["waitingFor"].to_string().contains("hub-agent");
    testbed.until("says so", Duration::from_secs(10), says_so).await;
    assert!(testbed.open_targets().is_empty(), "what is locked stays locked");
    testbed.api.put("vantagepoints", vantage_point);
    testbed
        .until("back", Duration::from_secs(300), |testbed| testbed.state() == "Locked")
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_deleted_by_force_is_forgotten() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    testbed
        .until("known", HOUR, |_| operator.context.memories.len() == 1)
        .await;
    testbed.until("told", HOUR, |testbed| testbed.state() != "").await;
    testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["metadata"]["finalizers"] = json!([])
    });
    testbed.api.remove("secureregistries", NAMESPACE, NAME);
    testbed
        .until("forgotten", Duration::from_secs(60), |_| {
            operator.context.memories.is_empty()
        })
        .await;
    assert!(!operator.context.metrics.encode().contains(NAME));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_holder_was_deleted_by_force_is_taken_over() {
    let testbed = Testbed::new();
    let lease = sreg_domain::naming::claim_name(&REGISTRY.parse().unwrap());
    testbed.api.put(
        "leases",
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": lease, "namespace": OPERATOR_NAMESPACE},
            "spec": {"holderIdentity": format!("{NAMESPACE}/{NAME}/uid-of-the-one-before")},
        }),
    );
    testbed.apply(|_| {});
    let operator = testbed.start();
    locked(&testbed).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_for_one_registry_one_waits_and_says_for_whom() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    testbed.apply(|object| {
        object["metadata"]["name"] = "second".into();
        object["spec"]["registry"]["resourceId"] = REGISTRY
            .to_uppercase()
            .replace("/SUBSCRIPTIONS/", "/subscriptions/")
            .into();
    });
    locked(&testbed).await;
    let second = testbed.api.get("secureregistries", NAMESPACE, "second").unwrap();
    assert!(
        second["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains(NAME),
        "{second:#}"
    );
    operator.stop().await;
}
