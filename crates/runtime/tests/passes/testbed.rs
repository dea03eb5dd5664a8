//! Everything together, in one process and on paused time: the demo's Azure, an API server, three agents, the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_sim::journal::Entry;
use azure_sim::{Latencies, Seed, Simulator};
use jiff::Timestamp;
use serde_json::{Value, json};
use sreg_azure::AzureClient;
use sreg_domain::desired::ObjectRef;
use sreg_domain::{BuiltInCloud, Desired, Grants, Seen};
use sreg_planner::{Floors, FoundGrant, Plan, PlanSettings, grants_serving, lint, plan, validate};
use sreg_runtime::controllers;
use sreg_runtime::leadership::LeadershipFence;
use sreg_runtime::metrics::Metrics;
use sreg_runtime::observe::{observe, read_object};
use sreg_runtime::reconcile::reconcile;
use sreg_runtime::{Clock, Context, ControllerSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agents::{Agents, Place, Tried};
use super::api_server::{ApiServer, Write};
use super::arm::azure_client;
use super::campaign::gate::Gate;

pub const NAMESPACE: &str = "ml-platform";
pub const NAME: &str = "contoso-models";
pub const OPERATOR_NAMESPACE: &str = "secure-registry-system";
pub const REGISTRY: &str = "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg";
const NETWORKS: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks";

pub const PLACES: [Place; 3] = [
    Place {
        vantage_point: "hub-agent",
        namespace: "vp-hub",
        network: "hub",
    },
    Place {
        vantage_point: "spoke-a-agent",
        namespace: "vp-spoke",
        network: "spoke-a",
    },
    Place {
        vantage_point: "office",
        namespace: "vp-office",
        network: "office",
    },
];

/// What the testbed grants: everything in the demo's subscriptions.
fn granted() -> Value {
    let scopes: Vec<String> = (1..=2)
        .map(|n| format!("/subscriptions/0a000000-0000-4000-8000-00000000000{n}"))
        .collect();
    let each = |field: &str, values: &[&str]| -> Vec<Value> {
        let entries = scopes.iter().map(|scope| json!({"scope": scope, field: values}));
        entries.collect()
    };
    json!({
        "namespaces": {"names": [NAMESPACE]},
        "registries": each("operations", &["Lock", "Open", "Create"]),
        "virtualNetworks": each("uses", &["Endpoints", "Links", "Clients"]),
        "endpointResourceGroups": scopes,
        "privateDnsZones": scopes,
        "accounts": each("uses", &["Sharing", "Shared"]),
        "logAnalyticsWorkspaces": scopes,
        "vantagePoints": PLACES.map(|place| place.vantage_point),
    })
}

/// The same as validation takes it.
pub fn grants() -> Grants {
    let found = FoundGrant::new(&granted());
    assert!(matches!(found, FoundGrant::Spec(_)), "{found:?}");
    grants_serving([("platform", &found)], NAMESPACE, &BTreeMap::new())
}

/// Leadership that a test takes away.
#[derive(Debug)]
pub struct Held(pub Mutex<Option<Duration>>);

impl LeadershipFence for Held {
    fn held_for(&self) -> Option<Duration> {
        *self.0.lock().unwrap()
    }
}

/// A lockdown whose window the API server takes for one, and that never opens.
pub fn bad_window() -> Value {
    let window = json!({"schedule": "every tuesday at night", "timeZone": "UTC", "duration": "2h"});
    json!({"waitFor": ["Window"], "window": window})
}

pub struct Testbed {
    pub sim: Simulator,
    pub api: ApiServer,
    pub azure: AzureClient,
    pub clock: Clock,
    pub leadership: Arc<Held>,
    pub agents: Agents,
    stop: CancellationToken,
}

/// A running operator.
pub struct Operator {
    pub context: Arc<Context>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Operator {
    /// Ends it as a crash does: nothing more is sent, nothing is cleaned up.
    pub async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Testbed {
    /// The demo's world with Azure's real operation lengths.
    pub fn new() -> Testbed {
        Testbed::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Seed)) -> Testbed {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init()
            .ok();
        rustls::crypto::ring::default_provider().install_default().ok();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/azure/demo.yaml");
        let mut seed = Seed::from_yaml(&std::fs::read_to_string(path).unwrap()).unwrap();
        seed.latencies = Latencies::Realistic;
        change(&mut seed);
        let sim = Simulator::new(seed);
        // The same in every run, to the last digit of every time.
        let clock = Clock::following_tokio(Timestamp::constant(1_772_442_000, 0));
        let api = ApiServer::new(clock);
        let azure = azure_client(&sim, Gate::open());
        let agents = Agents {
            sim: sim.clone(),
            api: api.clone(),
            clock,
            log: Arc::default(),
            caches: Arc::default(),
            cut: Arc::default(),
            ahead: Arc::default(),
            stopped: Arc::default(),
        };
        let leadership = Arc::new(Held(Mutex::new(Some(Duration::from_secs(3600)))));
        let testbed = Testbed {
            sim,
            api,
            azure,
            clock,
            leadership,
            agents,
            stop: CancellationToken::new(),
        };
        testbed.grant(|_| {});
        for place in PLACES {
            testbed.place(place);
            tokio::spawn(testbed.agents.clone().run(place, testbed.stop.clone()));
        }
        testbed
    }

    /// Administrators grant the namespace all that the example and its changes name.
    pub fn grant(&self, change: impl FnOnce(&mut Value)) {
        let mut grant = json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "RegistryGrant", "metadata": {"name": "platform"},
            "spec": granted(),
        });
        change(&mut grant);
        self.api.put("registrygrants", grant);
    }

    fn place(&self, place: Place) {
        let mut spec = json!({"network": "OnPremises", "namespace": place.namespace, "serviceAccountName": "agent"});
        if place.network != "office" {
            spec["network"] = "VirtualNetwork".into();
            spec["virtualNetworkResourceId"] = format!("{NETWORKS}/{}", place.network).into();
        }
        let (api_version, kind) = ("secureregistry.dev/v1alpha1", "VantagePoint");
        self.api.put(
            "vantagepoints",
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": place.vantage_point}, "spec": spec}),
        );
    }

    /// Applies the example's object with the durations that real networks want.
    pub fn apply(&self, change: impl FnOnce(&mut Value)) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/demo/secureregistry.yaml");
        let mut object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        object["spec"]["verification"] =
            json!({"consecutiveSuccesses": 3, "interval": "30s", "maxAge": "10m", "dnsSettle": "1h"});
        object["spec"]["drift"] = json!({"interval": "10m"});
        change(&mut object);
        self.api.put("secureregistries", object);
    }

    /// Somebody breaks the glass for so long.
    pub fn break_the_glass(&self, duration: &str) {
        self.api.put("breakglasses", json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "BreakGlass",
            "metadata": {"name": "fire", "namespace": NAMESPACE},
            "spec": {"secureRegistryName": NAME, "reason": "the office has lost its line", "requestedBy": "ops", "duration": duration},
        }));
    }

    /// What the one of [`Testbed::break_the_glass`] was told.
    pub fn glass(&self) -> Value {
        let glass = self.api.get("breakglasses", NAMESPACE, "fire");
        glass.unwrap_or_default()["status"].clone()
    }

    pub fn settings(&self) -> ControllerSettings {
        let plan = PlanSettings {
            installation: "test".into(),
            cloud: Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap()),
            max_break_glass: Duration::from_secs(4 * 3600),
            floors: Floors::NONE,
            cluster: "0c0c0c0c-0000-4000-8000-000000000001".into(),
        };
        ControllerSettings::new(OPERATOR_NAMESPACE, plan)
    }

    pub fn context(&self) -> Context {
        self.context_with(Arc::new(self.azure.clone()), Arc::new(self.azure.clone()))
    }

    pub fn context_with(
        &self,
        azure_reader: Arc<dyn sreg_azure::AzureReader>,
        azure_writer: Arc<dyn sreg_azure::AzureWriter>,
    ) -> Context {
        let metrics = Arc::new(Metrics::new());
        Context::new(
            self.api.client(),
            azure_reader,
            azure_writer,
            self.leadership.clone(),
            metrics,
            self.settings(),
            "test",
        )
        .with_clock(self.clock)
    }

    /// An operator whose every write, to the cluster or to ARM, passes a gate.
    pub fn start_through(&self, gate: &Gate, leadership: Arc<dyn LeadershipFence>) -> Operator {
        let azure = Arc::new(azure_client(&self.sim, gate.clone()));
        let client = self.api.client_through(gate.clone());
        let metrics = Arc::new(Metrics::new());
        let context = Context::new(
            client,
            azure.clone(),
            azure,
            leadership,
            metrics,
            self.settings(),
            "test",
        );
        self.start_with(context.with_clock(self.clock))
    }

    /// The demo's object in a world that is quick to come to the lock.
    pub fn quick() -> Testbed {
        Testbed::quick_with(|_| {})
    }

    pub fn quick_with(change: impl FnOnce(&mut Value)) -> Testbed {
        let testbed = Testbed::with(|seed| seed.latencies = Latencies::Scaled(0.05));
        testbed.apply_quick(change);
        testbed
    }

    /// The example's object with durations for a world that is quick.
    pub fn apply_quick(&self, change: impl FnOnce(&mut Value)) {
        self.apply(|object| {
            object["spec"]["verification"] =
                json!({"consecutiveSuccesses": 3, "interval": "10s", "maxAge": "10m", "dnsSettle": "1m"});
            change(object);
        });
    }

    /// Starts the real controller.
    pub fn start(&self) -> Operator {
        self.start_with(self.context())
    }

    pub fn start_with(&self, context: Context) -> Operator {
        let context = Arc::new(context);
        let stop = CancellationToken::new();
        let running = controllers::run(Arc::clone(&context), stop.clone());
        let task = tokio::spawn(async move { running.await.unwrap() });
        Operator { context, stop, task }
    }

    /// What a pass would plan now.
    pub async fn look(&self, context: &Context) -> (ObjectRef, Desired, Seen, Plan) {
        let now = read_object(&self.api.client(), NAMESPACE, NAME).await.unwrap().unwrap();
        let desired = validate(&now.object, &context.settings.plan, &grants()).unwrap();
        assert_eq!((&now.unparsed, desired.what_is_wrong()), (&None, None));
        let seen = observe(context, &now.reference, now.seen.clone(), &desired).await;
        let plan = plan(&desired, &seen, seen.at);
        let broken = lint(&desired, &seen, &plan);
        assert!(broken.is_empty(), "{broken:?}");
        (now.reference, desired, seen, plan)
    }

    /// Pass by pass until the next step is a closing write, which is not yet sent.
    pub async fn until_closing(&self, context: &Context) -> (ObjectRef, Plan) {
        for _ in 0..300 {
            let (object, _, _, plan) = self.look(context).await;
            let closes = |step: &sreg_planner::Step| step.action.closes();
            if plan.waves.first().is_some_and(|wave| wave.iter().any(closes)) {
                return (object, plan);
            }
            reconcile(context, NAMESPACE, NAME).await.unwrap();
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
        panic!("never came to closing: {:#}", self.status());
    }

    /// Lets time pass until the condition holds.
    pub async fn until(&self, what: &str, within: Duration, condition: impl Fn(&Testbed) -> bool) {
        let deadline = tokio::time::Instant::now() + within;
        while !condition(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: not within {within:?}; status {:#}",
                self.status()
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    pub fn object(&self) -> Option<Value> {
        self.api.get("secureregistries", NAMESPACE, NAME)
    }

    pub fn status(&self) -> Value {
        self.object().unwrap_or_default()["status"].clone()
    }

    /// Reason of `Ready`, which is the state.
    pub fn state(&self) -> String {
        let conditions = self.status()["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .cloned()
            .unwrap_or_default();
        ready["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Ids of the registry's targets that are open, by the simulator's own judgement.
    pub fn open_targets(&self) -> Vec<String> {
        let exposure = self
            .sim
            .with_world(|world| azure_sim::oracle::exposure(world, REGISTRY));
        exposure
            .into_iter()
            .filter(|(_, open)| *open)
            .map(|(id, _)| id)
            .collect()
    }

    /// Requests to ARM that were writes.
    pub fn azure_writes(&self) -> usize {
        let is_write = |entry: &Entry| matches!(entry, Entry::Request(request) if request.write);
        self.sim
            .records_since(0)
            .iter()
            .filter(|record| is_write(&record.entry))
            .count()
    }

    /// The operator's writes to the cluster: everything but the agents' and the people's.
    pub fn cluster_writes(&self) -> Vec<Write> {
        let ours = |write: &Write| {
            write.manager.starts_with("secure-registry-operator") || (write.manager.is_empty() && write.verb != "patch")
        };
        self.api.writes().into_iter().filter(ours).collect()
    }

    /// When the operator sent a write that closes something, by the simulator's journal.
    pub fn closings(&self) -> Vec<Duration> {
        self.writes_that_say(["Disabled", "Deny"])
    }

    /// The container registry, after somebody has it let in these addresses only.
    pub fn restrict_container_registry(&self, addresses: &[&str]) -> String {
        let id = self.sim.with_world(|world| {
            let mut registries = world.of_kind("microsoft.containerregistry/registries");
            registries.next().unwrap().id.clone()
        });
        let rule = |address: &&str| json!({"value": address, "action": "Allow"});
        let rules: Vec<Value> = addresses.iter().map(rule).collect();
        let changed = self.sim.change_by_hand(&id, |body| {
            body["properties"]["networkRuleSet"] = json!({"defaultAction": "Deny", "ipRules": rules});
        });
        assert!(changed, "{id}");
        id
    }

    /// When it sent one that opens something.
    pub fn openings(&self) -> Vec<Duration> {
        self.writes_that_say(["Enabled", "Allow"])
    }

    fn writes_that_say(&self, [access, action]: [&str; 2]) -> Vec<Duration> {
        let fields = [
            ("/properties/publicNetworkAccess", access),
            ("/properties/networkAcls/defaultAction", action),
            ("/properties/networkRuleSet/defaultAction", action),
        ];
        let says = |entry: &Entry| match entry {
            Entry::Request(request) if request.write => request.body.as_ref().is_some_and(|body| {
                let said = |(field, value): &(&str, &str)| body.pointer(field).is_some_and(|said| said == value);
                fields.iter().any(said)
            }),
            _ => false,
        };
        let records = self.sim.records_since(0);
        records
            .iter()
            .filter(|record| says(&record.entry))
            .map(|record| Duration::from_secs_f64(record.at))
            .collect()
    }

    /// The one rule, judged from the simulator's world and what the agents really tried.
    pub fn assert_never_closed_without_proof(&self, max_age: Duration) {
        let networks: Vec<String> = PLACES.iter().map(|place| place.network.to_owned()).collect();
        let required = self.sim.required_paths(REGISTRY, &networks);
        assert!(required.len() >= 9, "three targets from three networks: {required:?}");
        let log = self.agents.log.lock().unwrap();
        for closing in self.closings() {
            for path in &required {
                let tried: Vec<&Tried> = log
                    .iter()
                    .filter(|t| t.network == path.network && t.fqdn == path.fqdn && t.at <= closing)
                    .collect();
                let last = tried.iter().rev().take(3);
                let proven = last.clone().filter(|t| t.passed && t.at + max_age >= closing).count();
                assert!(
                    proven == 3,
                    "closed at {closing:?} without proof of {path:?}: {:?}",
                    last.collect::<Vec<_>>()
                );
            }
        }
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
