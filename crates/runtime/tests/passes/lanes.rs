//! Who is cut off does not stand behind everything else: the next look at an object whose path may be lost comes before a crowd of the
//! same namespace, and uses tokens that are kept back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sreg_azure::{AzureClient, AzureReader, Lane, Patience};
use sreg_domain::seen::AzureSeen;
use sreg_domain::{Desired, Known};
use tokio::time::Instant;

use crate::testbed::{NAME, REGISTRY, Testbed};

const HOUR: Duration = Duration::from_secs(3600);
const CROWD: usize = 80;
/// How long each look at one of the crowd takes.
const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
struct Begun {
    object: String,
    lane: Lane,
    at: Instant,
}

/// A reader that writes down whom it looks at, and looks long at the crowd.
struct Looks {
    azure: AzureClient,
    begun: Mutex<Vec<Begun>>,
}

#[async_trait]
impl AzureReader for Looks {
    async fn observe(&self, desired: &Desired, known: &Known, patience: Patience) -> AzureSeen {
        let object = desired.object.name.clone();
        let of_the_crowd = object != NAME;
        self.begun.lock().unwrap().push(Begun {
            object,
            lane: patience.lane,
            at: Instant::now(),
        });
        if of_the_crowd {
            tokio::time::sleep(LONG).await;
        }
        self.azure.observe(desired, known, patience).await
    }
}

impl Looks {
    fn since(&self, then: Instant) -> Vec<Begun> {
        let begun = self.begun.lock().unwrap();
        begun.iter().filter(|look| look.at >= then).cloned().collect()
    }
}

fn crowd(testbed: &Testbed, interval: &str) {
    for number in 0..CROWD {
        testbed.apply(|object| {
            let name = format!("crowd-{number}");
            object["spec"]["registry"]["resourceId"] = REGISTRY.replace("contosoreg", &name).into();
            object["metadata"]["name"] = name.into();
            object["spec"]["drift"] = serde_json::json!({"interval": interval});
        });
    }
}

fn hub_fails(testbed: &Testbed) -> bool {
    let probes = testbed
        .api
        .labelled("connectivityprobes", sreg_api::names::LABEL_VANTAGE_POINT, "hub-agent");
    let results = probes.iter().filter_map(|probe| probe["status"]["results"].as_array());
    results.flatten().any(|result| result["outcome"] == "Failed")
}

/// The crowd waits for its turns, then this happens to the hub: how long after it is known the next look begins.
async fn look_after(happens: impl FnOnce(&Testbed), is_known: impl Fn(&Testbed) -> bool) -> Duration {
    let (testbed, start) = (Testbed::quick(), Instant::now());
    let azure_reader = Arc::new(Looks {
        azure: testbed.azure.clone(),
        begun: Mutex::default(),
    });
    let operator = testbed.start_with(testbed.context_with(
        Arc::clone(&azure_reader) as Arc<dyn AzureReader>,
        Arc::new(testbed.azure.clone()),
    ));
    testbed
        .until("locked", HOUR, |testbed| testbed.state() == "Locked")
        .await;
    let before = azure_reader.since(start);
    assert!(before.iter().all(|look| look.lane == Lane::Ordinary), "{before:?}");
    crowd(&testbed, "1h");
    let happened = Instant::now();
    happens(&testbed);
    testbed.until("the loss is known", HOUR, is_known).await;
    let (known, all) = (Instant::now(), Duration::from_secs(300));
    let next = || {
        let looks = azure_reader.since(happened).into_iter();
        looks
            .filter(|look| look.object == NAME)
            .find(|look| look.lane == Lane::Urgent)
    };
    testbed.until("an urgent look", all, |_| next().is_some()).await;
    let begun = next().unwrap().at;
    let looked = azure_reader
        .since(start)
        .iter()
        .filter(|look| look.object != NAME)
        .count();
    assert!(looked + 10 <= CROWD, "nobody stood in line any more: {looked}");
    // Looks at the crowd last longer than a good end may.
    operator.kill().await;
    begun.saturating_duration_since(known)
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_agent_says_that_a_path_fails_is_looked_at_before_a_crowd_of_its_namespace() {
    let waited = look_after(|testbed| testbed.agents.cut_off("hub", true), hub_fails).await;
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_agent_falls_silent_is_looked_at_before_a_crowd_of_its_namespace() {
    let silenced = Mutex::new(None);
    let ended = |_: &Testbed| {
        // Its Lease lasts for half a minute after the last renewal.
        let since: Instant = silenced.lock().unwrap().unwrap();
        since.elapsed() >= Duration::from_secs(30)
    };
    let silence = |testbed: &Testbed| {
        testbed.agents.stopped.lock().unwrap().insert("hub");
        *silenced.lock().unwrap() = Some(Instant::now());
    };
    let waited = look_after(silence, ended).await;
    assert!(waited <= Duration::from_secs(10), "{waited:?}");
}
