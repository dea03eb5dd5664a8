//! Evidence that only looks like proof: answers from a cache, times from clocks that are wrong, what was true once, what somebody
//! made up. (That each attempt asks anew and opens a connection of its own is told in `sreg_probe`, with real sockets; that nobody
//! but its own agent can write a probe's evidence, in the whole-binary tests, with the real policies.)

use std::time::Duration;

use azure_sim::data_plane::{QuestionType, resolve};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::testbed::{PLACES, REGISTRY, Testbed};

const HOUR: Duration = Duration::from_secs(3600);

/// As soon as proven: what names settle is no help.
fn unsettled(object: &mut Value) {
    object["spec"]["verification"]["dnsSettle"] = "1s".into();
}

/// When the first target was closed.
async fn first_closing(testbed: &Testbed) -> Duration {
    testbed
        .until("locked", 3 * HOUR, |testbed| testbed.state() == "Locked")
        .await;
    testbed.assert_never_closed_without_proof(Duration::from_secs(600));
    testbed.closings().first().copied().unwrap()
}

/// Everything that the office needs, asked for before anything was private.
fn ask_for_everything(testbed: &Testbed) {
    let now = testbed.sim.now();
    for path in testbed.sim.required_paths(REGISTRY, &["office".to_owned()]) {
        testbed.sim.with_world(|world| {
            let mut caches = testbed.agents.caches.lock().unwrap();
            resolve(world, &mut caches, now, "office", &path.fqdn, QuestionType::A)
        });
    }
}

#[tokio::test(start_paused = true)]
async fn public_answers_in_a_forwarders_cache_keep_the_registry_open_until_they_are_forgotten() {
    let fresh = Testbed::quick_with(unsettled);
    let operator = fresh.start();
    let without = first_closing(&fresh).await;
    operator.stop().await;

    let testbed = Testbed::quick_with(unsettled);
    ask_for_everything(&testbed);
    let operator = testbed.start();
    // It asks by way of the hub, whose resolver now holds the public answers too.
    let told = |testbed: &Testbed| {
        let waits = testbed.status()["waitingFor"].to_string();
        waits.contains("PathFailing") && waits.contains("instead of") && waits.contains("10.0.1.")
    };
    testbed.until("told", HOUR, told).await;
    let with = first_closing(&testbed).await;
    operator.stop().await;
    assert!(
        with > without + Duration::from_secs(1200),
        "closed at {with:?}, without caches at {without:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn agents_whose_clocks_are_days_off_prove_as_much_as_others() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    let right = first_closing(&testbed).await;
    operator.stop().await;

    let testbed = Testbed::quick();
    let days = SignedDuration::from_hours(48);
    testbed
        .agents
        .ahead
        .lock()
        .unwrap()
        .extend([("hub", days), ("office", -days)]);
    let operator = testbed.start();
    let skewed = first_closing(&testbed).await;
    operator.stop().await;
    assert!(
        skewed.abs_diff(right) < Duration::from_secs(60),
        "{skewed:?} instead of {right:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stopped_is_silent_though_its_clock_was_days_ahead() {
    let testbed = Testbed::quick();
    let days = SignedDuration::from_hours(48);
    testbed.agents.ahead.lock().unwrap().insert("office", days);
    let operator = testbed.start();
    testbed
        .until("names settle", HOUR, |testbed| testbed.state() == "Settling")
        .await;
    testbed.agents.stopped.lock().unwrap().insert("office");
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(testbed.closings(), Vec::<Duration>::new());
    let waits = testbed.status()["waitingFor"].to_string();
    assert!(
        waits.contains("the agent of VantagePoint office does not report"),
        "{waits}"
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_says_since_when_its_agent_is_silent_until_it_is_back() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    first_closing(&testbed).await;
    let silent_since = |testbed: &Testbed| {
        let all = testbed.api.all("connectivityprobes");
        let marks = all.iter().map(|probe| {
            let mark = &probe["metadata"]["annotations"]["secureregistry.dev/agent-silent-since"];
            (
                probe["spec"]["vantagePoint"].as_str().unwrap().to_owned(),
                mark.as_str().map(str::to_owned),
            )
        });
        marks
            .filter_map(|(point, mark)| Some((point, mark?)))
            .collect::<Vec<_>>()
    };
    let said = |testbed: &Testbed| {
        let all = testbed.api.all("connectivityprobes");
        let office = all
            .iter()
            .find(|p| p["spec"]["vantagePoint"] == PLACES[2].vantage_point);
        office.unwrap()["status"]["summary"].clone()
    };
    assert_eq!(silent_since(&testbed), []);
    let before = said(&testbed);
    testbed.agents.stopped.lock().unwrap().insert("office");
    testbed
        .until("marked", Duration::from_secs(120), |testbed| {
            !silent_since(testbed).is_empty()
        })
        .await;
    let marked = silent_since(&testbed);
    assert_eq!(marked.len(), 1, "{marked:?}");
    assert_eq!(marked[0].0, PLACES[2].vantage_point);
    // What it said last stays there; the mark says how old that is, and is not moved.
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(silent_since(&testbed), marked);
    assert_eq!(said(&testbed), before);
    testbed.agents.stopped.lock().unwrap().clear();
    testbed
        .until("back", Duration::from_secs(120), |testbed| {
            silent_since(testbed).is_empty()
        })
        .await;
    operator.stop().await;
}

/// Vantage point, object and agent are often made together: the agent gets the time of a Lease to appear.
#[tokio::test(start_paused = true)]
async fn an_agent_that_has_had_no_time_to_report_is_not_called_silent() {
    let testbed = Testbed::quick();
    testbed.agents.stopped.lock().unwrap().insert("office");
    let operator = testbed.start();
    let waits = |testbed: &Testbed| testbed.status()["waitingFor"].to_string();
    testbed
        .until("looked at", Duration::from_secs(10), |testbed| {
            !testbed.state().is_empty()
        })
        .await;
    for _ in 0..20 {
        assert!(!waits(&testbed).contains("AgentSilent"), "{}", waits(&testbed));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    testbed
        .until("called silent", Duration::from_secs(90), |testbed| {
            waits(testbed).contains("AgentSilent")
        })
        .await;
    operator.stop().await;
}

/// The office's evidence of the first lock, complete and true when it was given, is put back whenever the office writes another.
#[tokio::test(start_paused = true)]
async fn evidence_that_is_replayed_into_a_later_round_proves_nothing() {
    let testbed = Testbed::quick();
    let operator = testbed.start();
    first_closing(&testbed).await;
    let office = |testbed: &Testbed| {
        let all = testbed.api.all("connectivityprobes");
        let namespace = PLACES[2].namespace;
        all.into_iter()
            .find(|probe| probe["metadata"]["namespace"] == namespace)
            .unwrap()
    };
    let kept = office(&testbed)["status"].clone();
    assert_eq!(kept["results"][0]["outcome"], "Succeeded", "{kept:#}");
    let replayer = tokio::spawn({
        let (api, kept) = (testbed.api.clone(), kept.clone());
        async move {
            let mut changes = api.changes();
            while changes.changed().await.is_ok() {
                let found = api.all("connectivityprobes").into_iter();
                for probe in found.filter(|probe| probe["metadata"]["namespace"] == PLACES[2].namespace) {
                    if probe["status"] != kept {
                        let name = probe["metadata"]["name"].as_str().unwrap();
                        api.meddle("connectivityprobes", PLACES[2].namespace, name, |probe| {
                            probe["status"] = kept.clone()
                        });
                    }
                }
            }
        }
    });
    // Until then the first round is as good as ever.
    tokio::time::sleep(Duration::from_secs(601)).await;
    let closed = testbed.closings().len();
    testbed.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = json!("Enabled")
    });
    let first = office(&testbed)["spec"]["round"].clone();
    testbed
        .until("another round", HOUR, |testbed| {
            office(testbed)["spec"]["round"] != first
        })
        .await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(office(&testbed)["status"], kept);
    assert_eq!(
        testbed.closings().len(),
        closed,
        "closed on what was proven for the lock before"
    );
    assert_eq!(testbed.open_targets().len(), 1);
    replayer.abort();
    testbed
        .until("locked on its own evidence", HOUR, |testbed| {
            testbed.open_targets().is_empty()
        })
        .await;
    operator.stop().await;
}
