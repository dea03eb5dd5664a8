//! The agent as a whole against an API server played in-process and a resolver on loopback that answers NXDOMAIN to
//! everything: what it writes, when it is quiet, and what it survives. Rights, admission and real apply are for the tests
//! against a real API server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use sreg_domain::{BuiltInCloud, Cloud};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{AgentError, AgentHealth, AgentSettings, run_agent};

/// An authority that signs nothing (its key was thrown away): a machine without any of its own must be able to run this.
const ROOT: &[u8] = include_bytes!("test_root.pem");
/// Far longer than anything here takes; only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(30);

fn cloud() -> Cloud {
    BuiltInCloud::AzurePublic.cloud().unwrap()
}

/// What an agent sends and what it is sent.
struct Stage {
    /// Bodies of the writes, oldest first, with the last part of their path and their query.
    writes: watch::Receiver<Vec<(String, Value)>>,
    /// How many questions the resolver was asked.
    asked: watch::Receiver<u32>,
    events: mpsc::UnboundedSender<Value>,
    health: watch::Receiver<AgentHealth>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Stage {
    /// An agent at a vantage point with these probes; the API server refuses its first `refusals` status writes.
    async fn set(probes: Vec<Value>, refusals: u32) -> Self {
        let (written, writes) = watch::channel(vec![]);
        let (asking, asked) = watch::channel(0);
        let (events, arriving) = mpsc::unbounded_channel();
        let (healthy, health) = watch::channel(AgentHealth::default());
        let mut tasks = JoinSet::new();
        let resolver = nowhere(asking, &mut tasks).await;
        let api = Api {
            resolver,
            probes,
            written,
            arriving: tokio::sync::Mutex::new(arriving),
            refusals: Mutex::new(refusals),
        };
        let api = Arc::new(api);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        let stop = CancellationToken::new();
        let settings = AgentSettings {
            lease_renewal: Duration::from_millis(100),
            ..AgentSettings::new("hub-agent", "pod-1", &cloud())
        };
        let settings = AgentSettings {
            extra_roots_pem: Some(ROOT.to_vec()),
            attempt_timeout: LIMIT,
            ..settings
        };
        let running = run_agent(Client::new(service, "default"), settings, stop.clone(), healthy);
        tasks.spawn(async move { running.await.unwrap() });
        Stage {
            writes,
            asked,
            events,
            health,
            stop,
            tasks,
        }
    }

    async fn until(&mut self, what: &str, reached: impl Fn(&[(String, Value)]) -> bool) -> Vec<(String, Value)> {
        let seen = tokio::time::timeout(LIMIT, self.writes.wait_for(|writes| reached(writes))).await;
        seen.unwrap_or_else(|_| panic!("no {what}")).unwrap().clone()
    }

    /// Status writes, once there are this many.
    async fn statuses(&mut self, count: usize) -> Vec<Value> {
        let writes = self
            .until("status write", |writes| statuses(writes).len() >= count)
            .await;
        statuses(&writes)
    }

    async fn asked_again(&mut self, times: u32) {
        let from = *self.asked.borrow();
        tokio::time::timeout(LIMIT, self.asked.wait_for(|asked| *asked >= from + times))
            .await
            .unwrap()
            .unwrap();
    }
}

fn statuses(writes: &[(String, Value)]) -> Vec<Value> {
    writes
        .iter()
        .filter(|(at, _)| at.starts_with("status?"))
        .map(|(_, body)| body.clone())
        .collect()
}

/// A resolver that turns every question round into NXDOMAIN.
async fn nowhere(asking: watch::Sender<u32>, tasks: &mut JoinSet<()>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tasks.spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            buffer[2] |= 0x80;
            buffer[3] = 3;
            socket.send_to(&buffer[..length], client).await.unwrap();
            asking.send_modify(|asked| *asked += 1);
        }
    });
    at
}

struct Api {
    resolver: SocketAddr,
    probes: Vec<Value>,
    written: watch::Sender<Vec<(String, Value)>>,
    arriving: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    refusals: Mutex<u32>,
}

impl Api {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let part = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        if head.method == Method::PATCH {
            let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
            return self.take(format!("{part}?{query}"), body);
        }
        let watching = query.contains("watch=true");
        match part.as_str() {
            "vantagepoints" if watching => std::future::pending().await,
            "vantagepoints" => {
                assert!(query.contains("fieldSelector=metadata.name%3Dhub-agent"), "{query}");
                list("VantagePoint", &[vantage_point(self.resolver)])
            }
            // One event a watch: the agent then watches on from there.
            "connectivityprobes" if watching => match self.arriving.lock().await.recv().await {
                Some(event) => respond(200, &event),
                None => std::future::pending().await,
            },
            "connectivityprobes" => {
                assert!(head.uri.path().contains("/namespaces/vantage/"), "{}", head.uri);
                assert!(
                    query.contains("labelSelector=secureregistry.dev%2Fvantage-point%3Dhub-agent"),
                    "{query}"
                );
                list("ConnectivityProbe", &self.probes)
            }
            _ => panic!("the agent has no right to {} {}", head.method, head.uri),
        }
    }

    fn take(&self, at: String, body: Value) -> Response<Body> {
        let mut refusals = self.refusals.lock().unwrap();
        if at.starts_with("status?") && *refusals > 0 {
            *refusals -= 1;
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "", "code": 500});
            return respond(500, &status);
        }
        let answer = respond(200, &body);
        self.written.send_modify(|writes| writes.push((at, body)));
        answer
    }
}

fn respond(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from(format!("{body}\n").into_bytes()))
        .unwrap()
}

fn list(kind: &str, items: &[Value]) -> Response<Body> {
    let list = json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": "1"}, "items": items
    });
    respond(200, &list)
}

fn vantage_point(resolver: SocketAddr) -> Value {
    json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "VantagePoint",
        "metadata": {"name": "hub-agent", "resourceVersion": "1", "uid": "vp", "generation": 1},
        "spec": {
            "network": "OnPremises", "namespace": "vantage", "serviceAccountName": "agent", "resolverAddress": resolver.to_string()
        }
    })
}

fn probe(name: &str, generation: i64, round: i64, interval: i64) -> Value {
    json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ConnectivityProbe",
        "metadata": {
            "name": name, "namespace": "vantage", "uid": format!("uid-{name}"), "resourceVersion": generation.to_string(),
            "generation": generation, "labels": {"secureregistry.dev/vantage-point": "hub-agent"}
        },
        "spec": {
            "secureRegistry": {"namespace": "ml-platform", "name": "contoso-models", "uid": "0b1c"},
            "vantagePoint": "hub-agent", "vantagePointUid": "vp", "vantagePointGeneration": 1,
            "serviceAccountName": "agent", "subject": format!("subject-{round}"), "round": round,
            "intervalMilliseconds": interval, "consecutiveSuccesses": 3,
            "paths": [{"fqdn": "crcontoso.azurecr.io", "service": "ContainerRegistry", "addresses": ["10.1.0.4"]}]
        }
    })
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

#[tokio::test]
async fn a_round_is_written_attempt_by_attempt_and_then_it_is_quiet() {
    let mut stage = Stage::set(vec![probe("hub", 4, 77, 100)], 0).await;
    let written = stage.statuses(3).await;
    for (nth, body) in (1..).zip(&written) {
        assert_eq!(
            body["metadata"],
            json!({"name": "hub", "namespace": "vantage", "uid": "uid-hub"})
        );
        let status = &body["status"];
        assert_eq!(
            (&status["round"], &status["subject"]),
            (&json!(77), &json!("subject-77"))
        );
        assert_eq!(
            (&status["observedGeneration"], &status["summary"]),
            (&json!(4), &json!("0/1"))
        );
        let result = &status["results"][0];
        assert_eq!(
            (&result["hop"], &result["failures"]),
            (&json!("Dns"), &json!(nth)),
            "{result}"
        );
    }
    stage.asked_again(4).await;
    let writes = stage.writes.borrow().clone();
    assert_eq!(statuses(&writes).len(), 3, "every count has reached its end");
    let how = writes
        .iter()
        .find(|(at, _)| at.starts_with("status?"))
        .unwrap()
        .0
        .clone();
    assert!(
        how.contains("fieldManager=secure-registry-agent%2Fstatus") && how.contains("force=true"),
        "{how}"
    );
}

#[tokio::test]
async fn a_new_round_starts_at_once() {
    const A_DAY: i64 = 86_400_000;
    let mut stage = Stage::set(vec![probe("hub", 1, 0, A_DAY)], 0).await;
    assert_eq!(
        stage.statuses(1).await[0]["status"]["results"][0]["failures"],
        json!(0),
        "outside rounds nothing counts"
    );
    stage.events.send(event("MODIFIED", probe("hub", 2, 9, A_DAY))).unwrap();
    let status = stage.statuses(2).await[1]["status"].clone();
    assert_eq!(
        (&status["round"], &status["results"][0]["failures"]),
        (&json!(9), &json!(1))
    );
}

#[tokio::test]
async fn a_refused_write_is_tried_again() {
    let mut stage = Stage::set(vec![probe("hub", 1, 5, 86_400_000)], 2).await;
    assert_eq!(stage.statuses(1).await[0]["status"]["round"], json!(5));
}

#[tokio::test]
async fn our_own_echo_is_no_new_question() {
    let mut stage = Stage::set(vec![probe("hub", 1, 5, 86_400_000)], 0).await;
    let mut echo = probe("hub", 1, 5, 86_400_000);
    echo["status"] = stage.statuses(1).await[0]["status"].clone();
    stage.events.send(event("MODIFIED", echo)).unwrap();
    stage
        .events
        .send(event("MODIFIED", probe("hub", 2, 6, 86_400_000)))
        .unwrap();
    let written = stage.statuses(2).await;
    let rounds: Vec<&Value> = written.iter().map(|body| &body["status"]["round"]).collect();
    assert_eq!(rounds, [&json!(5), &json!(6)]);
    assert_eq!(*stage.asked.borrow(), 2, "one sweep a question");
}

#[tokio::test]
async fn a_probe_that_cannot_be_read_harms_only_itself() {
    let mut broken = probe("broken", 1, 1, 100);
    broken["spec"]["paths"] = json!("all of them");
    let mut foreign = probe("foreign", 1, 1, 100);
    foreign["spec"]["vantagePoint"] = json!("spoke-agent");
    let mut stage = Stage::set(vec![broken, foreign, probe("hub", 1, 1, 100)], 0).await;
    let names: Vec<Value> = stage
        .statuses(3)
        .await
        .iter()
        .map(|body| body["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, [json!("hub"), json!("hub"), json!("hub")]);
    tokio::time::timeout(
        LIMIT,
        stage.health.wait_for(|health| health.is_ready() && health.probes == 1),
    )
    .await
    .unwrap()
    .unwrap();
}

/// Operator and agent hear of a move at different times: neither answers for a place where it does not stand.
#[tokio::test]
async fn what_asks_from_another_generation_of_the_vantage_point_is_not_answered() {
    let mut elsewhere = probe("elsewhere", 1, 1, 100);
    elsewhere["spec"]["vantagePointGeneration"] = json!(2);
    let mut another = probe("another", 1, 1, 100);
    another["spec"]["vantagePointUid"] = json!("vp-before");
    let mut stage = Stage::set(vec![elsewhere, another, probe("hub", 1, 1, 100)], 0).await;
    let of =
        |written: &[Value]| -> Vec<Value> { written.iter().map(|body| body["metadata"]["name"].clone()).collect() };
    assert_eq!(of(&stage.statuses(3).await), [json!("hub"), json!("hub"), json!("hub")]);
    stage
        .events
        .send(event("MODIFIED", probe("elsewhere", 2, 1, 100)))
        .unwrap();
    let answered = stage.statuses(4).await;
    assert_eq!(of(&answered)[3], json!("elsewhere"), "once it asks from here");
}

#[tokio::test]
async fn a_deleted_probe_is_laid_down() {
    let mut stage = Stage::set(vec![probe("hub", 1, 1, 100)], 0).await;
    stage.statuses(1).await;
    stage.events.send(event("DELETED", probe("hub", 1, 1, 100))).unwrap();
    tokio::time::timeout(
        LIMIT,
        stage.health.wait_for(|health| health.watching && health.probes == 0),
    )
    .await
    .unwrap()
    .unwrap();
    let asked = *stage.asked.borrow();
    stage.until("lease renewals", |writes| writes.len() > 12).await;
    assert!(*stage.asked.borrow() <= asked + 1, "at most what was under way");
}

#[tokio::test]
async fn the_lease_is_renewed_and_given_up_at_the_end() {
    let mut stage = Stage::set(vec![], 0).await;
    let renewals = stage.until("renewals", |writes| writes.len() >= 3).await;
    for (at, body) in &renewals {
        assert!(at.starts_with("vantage-point-hub-agent?"), "{at}");
        assert_eq!(
            (&body["spec"]["holderIdentity"], &body["spec"]["leaseDurationSeconds"]),
            (&json!("pod-1"), &json!(30))
        );
    }
    assert_ne!(renewals[0].1["spec"]["renewTime"], renewals[2].1["spec"]["renewTime"]);
    stage.stop.cancel();
    let last = stage
        .until("end", |writes| {
            writes
                .last()
                .is_some_and(|(_, body)| body["spec"]["holderIdentity"] == "")
        })
        .await;
    assert_eq!(
        last.last().unwrap().1["metadata"]["name"],
        json!("vantage-point-hub-agent")
    );
    let ended = tokio::time::timeout(LIMIT, stage.health.wait_for(|health| !health.is_ready())).await;
    ended.unwrap().unwrap();
    stage.tasks.abort_all();
}

#[tokio::test]
async fn settings_that_can_never_work_end_the_start() {
    let service = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let start = |settings| {
        run_agent(
            Client::new(service, "default"),
            settings,
            CancellationToken::new(),
            watch::channel(AgentHealth::default()).0,
        )
    };
    let error = start(AgentSettings::new("Hub Agent", "pod-1", &cloud()))
        .await
        .unwrap_err();
    assert!(matches!(error, AgentError::Name(_)), "{error}");
    let settings = AgentSettings {
        extra_roots_pem: Some(b"no certificate".to_vec()),
        ..AgentSettings::new("hub-agent", "pod-1", &cloud())
    };
    assert!(matches!(start(settings).await.unwrap_err(), AgentError::Roots { .. }));
}

#[test]
fn names_that_no_object_can_have_are_refused() {
    for good in ["hub-agent", "a", "office.emea"] {
        assert!(super::is_object_name(good), "{good}");
    }
    for bad in [
        "",
        "Hub",
        "hub_agent",
        "hub,metadata.name!=x",
        "-hub",
        "hub-",
        "a..b",
        &"x".repeat(64),
    ] {
        assert!(!super::is_object_name(bad), "{bad}");
    }
}
