//! The real controller through simulated hours and days.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sreg_azure::{Eyes, Patience};
use sreg_domain::seen::AzureSeen;
use sreg_domain::{Desired, Known};

use super::stand::{NAME, NAMESPACE, OPERATOR_NAMESPACE, REGISTRY, Stand};

const HOUR: Duration = Duration::from_secs(3600);
const MAX_AGE: Duration = Duration::from_secs(600);

async fn locked(stand: &Stand) {
    stand.until("locked", 6 * HOUR, |stand| stand.state() == "Locked").await;
    assert!(stand.open_targets().is_empty(), "{:?}", stand.open_targets());
    stand.assert_never_closed_without_proof(MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn a_public_registry_becomes_private_and_then_nothing_is_written_for_a_day() {
    let stand = Stand::new();
    stand.apply(|_| {});
    let operator = stand.start();
    locked(&stand).await;
    assert!(tokio::time::Instant::now().elapsed() < HOUR);
    // The last status, then quiet.
    tokio::time::sleep(HOUR).await;
    let (azure, cluster, status) = (stand.azure_writes(), stand.cluster_writes(), stand.status());
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!(stand.azure_writes(), azure, "a settled world sees no writes in Azure");
    assert_eq!(stand.cluster_writes(), cluster, "nor in the cluster");
    assert_eq!(stand.status(), status);
    assert_eq!(operator.context.memories.len(), 1);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_erased_at_any_moment_changes_nothing_about_the_end() {
    let stand = Stand::quick();
    let operator = stand.start();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(27)).await;
        stand.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
            object.as_object_mut().unwrap().remove("status");
        });
    }
    locked(&stand).await;
    let closings = stand.closings().len();
    stand.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["status"] = json!({})
    });
    tokio::time::sleep(HOUR).await;
    assert_eq!(stand.state(), "Locked");
    assert_eq!(stand.closings().len(), closings, "nothing was opened and closed again");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_leads_to_the_same_end() {
    for seconds in [20, 95, 230, 600] {
        let stand = Stand::quick();
        let operator = stand.start();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        operator.kill().await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        let operator = stand.start();
        locked(&stand).await;
        tokio::time::sleep(HOUR / 12).await;
        locked(&stand).await;
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_opened_by_hand_is_closed_again_on_a_new_proof() {
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    let closings = stand.closings().len();
    tokio::time::sleep(2 * HOUR).await;
    let opened = stand.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = "Enabled".into()
    });
    assert!(opened);
    assert_eq!(stand.open_targets().len(), 1);
    stand
        .until("closed again", 3 * HOUR, |stand| stand.open_targets().is_empty())
        .await;
    assert!(stand.closings().len() > closings);
    stand.assert_never_closed_without_proof(MAX_AGE);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_keeps_the_registry_open_and_is_named() {
    let stand = Stand::quick_with(|object| {
        object["spec"]["clientNetworks"][1]["vantagePoint"] = "nobody".into();
    });
    let operator = stand.start();
    tokio::time::sleep(HOUR).await;
    assert!(stand.closings().is_empty());
    assert!(
        stand.status()["waitingFor"].to_string().contains("nobody"),
        "{:#}",
        stand.status()
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn under_observe_nothing_is_ever_written_to_azure() {
    let stand = Stand::quick_with(|object| object["spec"]["managementPolicy"] = "Observe".into());
    let operator = stand.start();
    stand.until("observed", HOUR, |stand| stand.state() == "Observed").await;
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!(stand.azure_writes(), 0);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deletion_under_retain_leaves_azure_as_it_is_and_in_the_cluster_the_claim_and_the_way_back() {
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    let azure = stand.azure_writes();
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand.until("gone", HOUR, |stand| stand.object().is_none()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stand.azure_writes(), azure);
    assert!(stand.api.all("connectivityprobes").is_empty());
    let claims = stand
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
    let stand = Stand::new();
    stand.api.put(
        "secureregistries",
        json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
            "metadata": {"name": "broken", "namespace": NAMESPACE, "finalizers": [sreg_api::names::FINALIZER]},
            "spec": {"registry": 7},
        }),
    );
    stand.apply(|_| {});
    let operator = stand.start();
    locked(&stand).await;
    let broken = stand.api.get("secureregistries", NAMESPACE, "broken").unwrap();
    assert_eq!(broken["status"]["conditions"][0]["reason"], "Stalled", "{broken:#}");
    stand.api.remove("secureregistries", NAMESPACE, "broken");
    stand
        .until("released", HOUR, |stand| {
            stand.api.get("secureregistries", NAMESPACE, "broken").is_none()
        })
        .await;
    operator.stop().await;
}

/// Eyes that panic at the sight of one object, and never answer for another.
struct Poisoned(sreg_azure::AzureClient);

#[async_trait]
impl Eyes for Poisoned {
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
    let stand = Stand::new();
    for name in ["poison", "tar"] {
        stand.apply(|object| {
            object["metadata"]["name"] = name.into();
            object["spec"]["registry"]["resourceId"] = REGISTRY.replace("contosoreg", name).into();
        });
    }
    stand.apply(|_| {});
    let context = stand.context_with(Arc::new(Poisoned(stand.azure.clone())), Arc::new(stand.azure.clone()));
    let operator = stand.start_with(context);
    locked(&stand).await;
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
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    let closings = stand.closings().len();
    // The API server's times have whole seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.break_the_glass("30m");
    stand
        .until("open", Duration::from_secs(300), |stand| {
            stand.open_targets().len() == 3
        })
        .await;
    stand
        .until("told", Duration::from_secs(60), |stand| stand.state() == "BreakGlass")
        .await;
    operator.kill().await;
    tokio::time::sleep(HOUR / 4).await;
    let operator = stand.start();
    stand
        .until("closed again", 2 * HOUR, |stand| stand.open_targets().is_empty())
        .await;
    locked(&stand).await;
    assert!(stand.closings().len() >= closings + 3);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_lock_after_a_short_break_glass_rests_on_evidence_of_its_own() {
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.break_the_glass("30m");
    stand
        .until("open", Duration::from_secs(300), |stand| stand.state() == "BreakGlass")
        .await;
    stand.api.remove("breakglasses", NAMESPACE, "fire");
    stand
        .until("closed again", HOUR, |stand| stand.open_targets().is_empty())
        .await;
    locked(&stand).await;
    operator.stop().await;
    let history = stand.status()["history"].as_array().cloned().unwrap_or_default();
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
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    stand.break_the_glass("2h");
    let says = |stand: &Stand, what: &str| stand.glass()["message"].as_str().unwrap_or_default().contains(what);
    stand
        .until("open", Duration::from_secs(600), |stand| {
            says(stand, "then it is locked again")
        })
        .await;
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand
        .until("told so", Duration::from_secs(600), |stand| {
            says(stand, "there is no SecureRegistry")
        })
        .await;
    let glass = stand.glass();
    assert_eq!(glass["phase"], "Ignored");
    assert!(says(&stand, "public access stays as it is") && glass["until"].is_string());
    assert_eq!(stand.open_targets().len(), 3);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn objects_of_namespaces_that_are_not_served_are_left_alone() {
    let stand = Stand::quick();
    let mut context = stand.context();
    context.settings.namespaces = Some(vec!["elsewhere".into(), "nowhere".into()]);
    let operator = stand.start_with(context);
    tokio::time::sleep(HOUR).await;
    assert_eq!(stand.azure_writes(), 0);
    assert_eq!(stand.object().unwrap()["status"], crate::api_server::never_observed());
    operator.stop().await;
    let mut context = stand.context();
    context.settings.namespaces = Some(vec!["elsewhere".into(), NAMESPACE.into()]);
    let operator = stand.start_with(context);
    locked(&stand).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_seen_at_once() {
    let stand = Stand::quick_with(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}})
    });
    let operator = stand.start();
    stand
        .until("waits", HOUR, |stand| stand.state() == "AwaitingApproval")
        .await;
    tokio::time::sleep(HOUR).await;
    assert!(stand.closings().is_empty());
    let wanted = stand.status()["approvalsWanted"][0].clone();
    stand.api.put("changeapprovals", json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
        "metadata": {"name": "go", "namespace": NAMESPACE},
        "spec": {"secureRegistryName": NAME, "change": "Lockdown", "digest": wanted["digest"], "approvedBy": "boss"},
    }));
    stand
        .until("goes on", Duration::from_secs(3), |stand| {
            stand.state() != "AwaitingApproval"
        })
        .await;
    locked(&stand).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_names_no_object_is_told_so_until_the_object_is_there() {
    let stand = Stand::quick_with(|object| {
        object["spec"]["publicAccess"] = json!({"desired": "Disabled", "lockdown": {"waitFor": ["Approval"]}})
    });
    let mut object = stand.object().unwrap();
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    let operator = stand.start();
    stand.api.put("changeapprovals", json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
        "metadata": {"name": "early", "namespace": NAMESPACE},
        "spec": {"secureRegistryName": NAME, "change": "Lockdown", "digest": "0123456789abcdef", "approvedBy": "boss"},
    }));
    let told = |stand: &Stand| {
        let approval = stand.api.get("changeapprovals", NAMESPACE, "early").unwrap();
        let text = |field: &str| approval["status"][field].as_str().unwrap_or_default().to_owned();
        (text("phase"), text("message"))
    };
    stand
        .until("told", Duration::from_secs(10), |stand| {
            let (phase, message) = told(stand);
            phase == "Pending" && message.contains(&format!("there is no SecureRegistry {NAME}"))
        })
        .await;
    assert!(
        told(&stand).1.contains(&format!("kubectl get sreg -n {NAMESPACE}")),
        "{:?}",
        told(&stand)
    );
    // Told once: a status that is written again and again would never be quiet.
    let before = stand.api.get("changeapprovals", NAMESPACE, "early");
    tokio::time::sleep(HOUR).await;
    assert_eq!(stand.api.get("changeapprovals", NAMESPACE, "early"), before);

    for of_the_old_one in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        object["metadata"].as_object_mut().unwrap().remove(of_the_old_one);
    }
    stand.api.put("secureregistries", object);
    stand.until("judged", HOUR, |stand| told(stand).0 == "Void").await;
    // And gone again.
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand
        .until("told again", HOUR, |stand| {
            told(stand).1.contains("there is no SecureRegistry")
        })
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deletes_is_noticed_at_once() {
    let stand = Stand::quick();
    let operator = stand.start();
    locked(&stand).await;
    let probe = stand.api.all("connectivityprobes").remove(0);
    let (namespace, name) = (
        probe["metadata"]["namespace"].as_str().unwrap(),
        probe["metadata"]["name"].as_str().unwrap(),
    );
    stand.api.remove("connectivityprobes", namespace, name);
    let back = |stand: &Stand| stand.api.get("connectivityprobes", namespace, name).is_some();
    stand.until("asked again", Duration::from_secs(10), back).await;
    let mut vantage_point = stand.api.get("vantagepoints", "", "hub-agent").unwrap();
    for of_the_old_one in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
        vantage_point["metadata"]
            .as_object_mut()
            .unwrap()
            .remove(of_the_old_one);
    }
    stand.api.remove("vantagepoints", "", "hub-agent");
    let says_so = |stand: &Stand| stand.status()["waitingFor"].to_string().contains("hub-agent");
    stand.until("says so", Duration::from_secs(10), says_so).await;
    assert!(stand.open_targets().is_empty(), "what is locked stays locked");
    stand.api.put("vantagepoints", vantage_point);
    stand
        .until("back", Duration::from_secs(300), |stand| stand.state() == "Locked")
        .await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_deleted_by_force_is_forgotten() {
    let stand = Stand::quick();
    let operator = stand.start();
    stand
        .until("known", HOUR, |_| operator.context.memories.len() == 1)
        .await;
    stand.until("told", HOUR, |stand| stand.state() != "").await;
    stand.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
        object["metadata"]["finalizers"] = json!([])
    });
    stand.api.remove("secureregistries", NAMESPACE, NAME);
    stand
        .until("forgotten", Duration::from_secs(60), |_| {
            operator.context.memories.is_empty()
        })
        .await;
    assert!(!operator.context.metrics.encode().contains(NAME));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_holder_was_deleted_by_force_is_taken_over() {
    let stand = Stand::new();
    let lease = sreg_domain::naming::claim_name(&REGISTRY.parse().unwrap());
    stand.api.put(
        "leases",
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": lease, "namespace": OPERATOR_NAMESPACE},
            "spec": {"holderIdentity": format!("{NAMESPACE}/{NAME}/uid-of-the-one-before")},
        }),
    );
    stand.apply(|_| {});
    let operator = stand.start();
    locked(&stand).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_for_one_registry_one_waits_and_says_for_whom() {
    let stand = Stand::quick();
    let operator = stand.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    stand.apply(|object| {
        object["metadata"]["name"] = "second".into();
        object["spec"]["registry"]["resourceId"] = REGISTRY
            .to_uppercase()
            .replace("/SUBSCRIPTIONS/", "/subscriptions/")
            .into();
    });
    locked(&stand).await;
    let second = stand.api.get("secureregistries", NAMESPACE, "second").unwrap();
    assert!(
        second["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains(NAME),
        "{second:#}"
    );
    operator.stop().await;
}
