//! Evidence that only looks like proof: answers from a cache, times from clocks that are wrong, what was true once, what somebody
//! made up. (That each attempt asks anew and opens a connection of its own is told in `sreg_probe`, with real sockets; that nobody
//! but its own agent can write a probe's evidence, in the whole-binary tests, with the real policies.)

use std::time::Duration;

use azure_sim::data_plane::{Wanted, resolve};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::stand::{PLACES, REGISTRY, Stand};

const HOUR: Duration = Duration::from_secs(3600);

/// As soon as proven: what names settle is no help.
fn unsettled(object: &mut Value) {
    object["spec"]["verification"]["dnsSettle"] = "1s".into();
}

/// When the first target was closed.
async fn first_closing(stand: &Stand) -> Duration {
    stand.until("locked", 3 * HOUR, |stand| stand.state() == "Locked").await;
    stand.assert_never_closed_without_proof(Duration::from_secs(600));
    stand.closings().first().copied().unwrap()
}

/// Everything that the office needs, asked for before anything was private.
fn ask_for_everything(stand: &Stand) {
    let now = stand.sim.now();
    for path in stand.sim.required_paths(REGISTRY, &["office".to_owned()]) {
        stand.sim.with_world(|world| {
            let mut caches = stand.agents.caches.lock().unwrap();
            resolve(world, &mut caches, now, "office", &path.fqdn, Wanted::A)
        });
    }
}

#[tokio::test(start_paused = true)]
async fn public_answers_in_a_forwarders_cache_keep_the_registry_open_until_they_are_forgotten() {
    let fresh = Stand::quick_with(unsettled);
    let operator = fresh.start();
    let without = first_closing(&fresh).await;
    operator.stop().await;

    let stand = Stand::quick_with(unsettled);
    ask_for_everything(&stand);
    let operator = stand.start();
    // It asks by way of the hub, whose resolver now holds the public answers too.
    let told = |stand: &Stand| {
        let waits = stand.status()["waitingFor"].to_string();
        waits.contains("PathFailing") && waits.contains("instead of") && waits.contains("10.0.1.")
    };
    stand.until("told", HOUR, told).await;
    let with = first_closing(&stand).await;
    operator.stop().await;
    assert!(
        with > without + Duration::from_secs(1200),
        "closed at {with:?}, without caches at {without:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn agents_whose_clocks_are_days_off_prove_as_much_as_others() {
    let stand = Stand::quick();
    let operator = stand.start();
    let right = first_closing(&stand).await;
    operator.stop().await;

    let stand = Stand::quick();
    let days = SignedDuration::from_hours(48);
    stand
        .agents
        .ahead
        .lock()
        .unwrap()
        .extend([("hub", days), ("office", -days)]);
    let operator = stand.start();
    let skewed = first_closing(&stand).await;
    operator.stop().await;
    assert!(
        skewed.abs_diff(right) < Duration::from_secs(60),
        "{skewed:?} instead of {right:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stopped_is_silent_though_its_clock_was_days_ahead() {
    let stand = Stand::quick();
    let days = SignedDuration::from_hours(48);
    stand.agents.ahead.lock().unwrap().insert("office", days);
    let operator = stand.start();
    stand
        .until("names settle", HOUR, |stand| stand.state() == "Settling")
        .await;
    stand.agents.stopped.lock().unwrap().insert("office");
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(stand.closings(), Vec::<Duration>::new());
    let waits = stand.status()["waitingFor"].to_string();
    assert!(
        waits.contains("the agent of VantagePoint office does not report"),
        "{waits}"
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_says_since_when_its_agent_is_silent_until_it_is_back() {
    let stand = Stand::quick();
    let operator = stand.start();
    first_closing(&stand).await;
    let silent_since = |stand: &Stand| {
        let all = stand.api.all("connectivityprobes");
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
    let said = |stand: &Stand| {
        let all = stand.api.all("connectivityprobes");
        let office = all
            .iter()
            .find(|p| p["spec"]["vantagePoint"] == PLACES[2].vantage_point);
        office.unwrap()["status"]["summary"].clone()
    };
    assert_eq!(silent_since(&stand), []);
    let before = said(&stand);
    stand.agents.stopped.lock().unwrap().insert("office");
    stand
        .until("marked", Duration::from_secs(120), |stand| {
            !silent_since(stand).is_empty()
        })
        .await;
    let marked = silent_since(&stand);
    assert_eq!(marked.len(), 1, "{marked:?}");
    assert_eq!(marked[0].0, PLACES[2].vantage_point);
    // What it said last stays there; the mark says how old that is, and is not moved.
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(silent_since(&stand), marked);
    assert_eq!(said(&stand), before);
    stand.agents.stopped.lock().unwrap().clear();
    stand
        .until("back", Duration::from_secs(120), |stand| silent_since(stand).is_empty())
        .await;
    operator.stop().await;
}

/// Vantage point, object and agent are often made together: the agent gets the time of a Lease to appear.
#[tokio::test(start_paused = true)]
async fn an_agent_that_has_had_no_time_to_report_is_not_called_silent() {
    let stand = Stand::quick();
    stand.agents.stopped.lock().unwrap().insert("office");
    let operator = stand.start();
    let waits = |stand: &Stand| stand.status()["waitingFor"].to_string();
    stand
        .until("looked at", Duration::from_secs(10), |stand| !stand.state().is_empty())
        .await;
    for _ in 0..20 {
        assert!(!waits(&stand).contains("AgentSilent"), "{}", waits(&stand));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stand
        .until("called silent", Duration::from_secs(90), |stand| {
            waits(stand).contains("AgentSilent")
        })
        .await;
    operator.stop().await;
}

/// The office's evidence of the first lock, complete and true when it was given, is put back whenever the office writes another.
#[tokio::test(start_paused = true)]
async fn evidence_that_is_replayed_into_a_later_round_proves_nothing() {
    let stand = Stand::quick();
    let operator = stand.start();
    first_closing(&stand).await;
    let office = |stand: &Stand| {
        let all = stand.api.all("connectivityprobes");
        let namespace = PLACES[2].namespace;
        all.into_iter()
            .find(|probe| probe["metadata"]["namespace"] == namespace)
            .unwrap()
    };
    let kept = office(&stand)["status"].clone();
    assert_eq!(kept["results"][0]["outcome"], "Succeeded", "{kept:#}");
    let replayer = tokio::spawn({
        let (api, kept) = (stand.api.clone(), kept.clone());
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
    let closed = stand.closings().len();
    stand.sim.change_by_hand(REGISTRY, |body| {
        body["properties"]["publicNetworkAccess"] = json!("Enabled")
    });
    let first = office(&stand)["spec"]["round"].clone();
    stand
        .until("another round", HOUR, |stand| office(stand)["spec"]["round"] != first)
        .await;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(office(&stand)["status"], kept);
    assert_eq!(
        stand.closings().len(),
        closed,
        "closed on what was proven for the lock before"
    );
    assert_eq!(stand.open_targets().len(), 1);
    replayer.abort();
    stand
        .until("locked on its own evidence", HOUR, |stand| {
            stand.open_targets().is_empty()
        })
        .await;
    operator.stop().await;
}
