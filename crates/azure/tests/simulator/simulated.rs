//! The demo's world in the same process: the simulator as a transport, and the wish that its example stands for.
#![allow(dead_code, missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode};
use azure_sim::{ConnectionDropped, Seed, Simulator};
use bytes::Bytes;
use secrecy::SecretString;
use sreg_api::registry::{DeletionPolicy, DnsMode, PublicAccess, ResolutionPolicy, RollbackPolicy};
use sreg_azure::{
    AzureClient, AzureReader, AzureSettings, AzureWriter, Budget, Budgets, CredentialKind, Patience, connect_through,
};
use sreg_domain::desired::{Desired, Dns, EndpointPlace, ObjectRef, Spec, Verification};
use sreg_domain::seen::{AzureSeen, OperationState};
use sreg_domain::{
    ArmId, AzureAction, BuiltInCloud, CallFailure, Cloud, Effect, EndpointGroup, Grants, Known, StepKind,
};

pub const OWNER: &str = "test/ml-platform/contoso-models";
pub const TENANT: &str = "0a000000-0000-4000-8000-0000000000ff";
pub const CLIENT: &str = "0c000000-0000-4000-8000-000000000001";
pub const SECRET: &str = "demo-secret-of-no-worth";
pub const OBJECT: &str = "0b000000-0000-4000-8000-000000000001";
pub const PLATFORM: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001";
pub const REGISTRY: &str = "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg";

pub fn id(text: &str) -> ArmId {
    text.parse().unwrap()
}

pub fn network(name: &str) -> ArmId {
    let group = if name == "sandbox" { "sandbox" } else { "network" };
    id(&format!(
        "{PLATFORM}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}"
    ))
}

pub fn zone(group: EndpointGroup) -> ArmId {
    let name = cloud().zone(group);
    id(&format!(
        "{PLATFORM}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/{name}"
    ))
}

/// The simulator behind azure_core's transport.
#[derive(Debug)]
pub struct InProcess(pub Simulator);

#[async_trait]
impl HttpClient for InProcess {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut sent = http::Request::builder()
            .method(request.method().as_str())
            .uri(request.url().as_str());
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(_) => panic!("we send no streams"),
        };
        let answer = self.0.handle(sent.body(body).unwrap()).await;
        if answer.extensions().get::<ConnectionDropped>().is_some() {
            return Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Io,
                "connection closed",
            ));
        }
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            headers.insert(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
        }
        let body: Bytes = answer.body().clone();
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(answer.status().as_u16()),
            headers,
            body,
        ))
    }
}

pub fn demo() -> Simulator {
    world("demo")
}

/// One of the example worlds, without latencies and throttling.
pub fn world(name: &str) -> Simulator {
    Simulator::new(seed(name))
}

pub fn seed(name: &str) -> Seed {
    let path = format!("{}/../../examples/azure/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut seed = Seed::from_yaml(&std::fs::read_to_string(path).unwrap()).unwrap();
    seed.latencies = azure_sim::Latencies::None;
    seed.throttling.enabled = false;
    seed
}

/// The cloud that the example worlds are of.
pub fn cloud() -> Arc<Cloud> {
    Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap())
}

pub fn settings() -> AzureSettings {
    let secret = CredentialKind::ClientSecret(SecretString::from(SECRET));
    let mut settings = AzureSettings::new(cloud(), TENANT, secret);
    settings.client_id = Some(CLIENT.to_owned());
    let plenty = Budget {
        burst: 100_000,
        per_second: 1_000,
    };
    settings.budgets = Budgets {
        reads: plenty,
        writes: plenty,
        deletes: plenty,
    };
    settings
}

/// A simulator, a client, and the wish.
pub struct Bench {
    pub simulator: Simulator,
    pub client: AzureClient,
    pub desired: Desired,
    pub known: Known,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(settings())
    }

    pub fn with(settings: AzureSettings) -> Bench {
        Bench::of(demo(), settings)
    }

    pub fn of(simulator: Simulator, settings: AzureSettings) -> Bench {
        let client = connect_through(settings, Arc::new(InProcess(simulator.clone()))).unwrap();
        Bench {
            simulator,
            client,
            desired: desired(),
            known: Known::default(),
        }
    }

    pub async fn observe(&self) -> AzureSeen {
        self.client
            .observe(&self.desired, &self.known, Patience::ordinary(Duration::from_secs(60)))
            .await
    }

    pub async fn carry_out(&self, action: AzureAction) -> Result<Effect, CallFailure> {
        self.client
            .carry_out("ml", &StepKind::Tag.into(), &action, Duration::from_secs(60))
            .await
    }

    /// Carries out an action and waits for what it starts.
    pub async fn complete(&mut self, action: AzureAction) {
        match self
            .carry_out(action.clone())
            .await
            .unwrap_or_else(|f| panic!("{action:?}: {f:?}"))
        {
            Effect::Done { .. } => {}
            Effect::Stale(why) => panic!("{action:?}: {why}"),
            Effect::Started(operation) => {
                self.known.operations = vec![operation];
                let seen = self.observe().await;
                assert_eq!(seen.operations[0].state, OperationState::Succeeded, "{action:?}");
                self.known.operations.clear();
            }
        }
    }

    /// Writes to ARM that the journal holds.
    pub fn writes(&self) -> usize {
        let records = self.simulator.records_since(0);
        let requests = records.iter().filter_map(|r| match &r.entry {
            azure_sim::journal::Entry::Request(request) => Some(request),
            _ => None,
        });
        requests.filter(|r| r.write).count()
    }

    pub fn body(&self, id: &ArmId) -> serde_json::Value {
        self.simulator
            .with_world(|world| world.get(id.as_str()).unwrap_or_else(|| panic!("no {id}")).body.clone())
    }
}

pub fn desired() -> Desired {
    let groups = [
        EndpointGroup::AmlRegistry,
        EndpointGroup::Blob,
        EndpointGroup::ContainerRegistry,
    ];
    let place = EndpointPlace {
        name: "hub".into(),
        subnet: network("hub").child("subnets", "endpoints"),
        virtual_network: network("hub"),
        resource_group: id(&format!("{PLATFORM}/resourceGroups/network")),
        manual_request: None,
        dns: Dns {
            mode: DnsMode::Managed,
            zones: groups.into_iter().map(|g| (g, zone(g))).collect(),
            links: vec![network("hub"), network("spoke-a")],
            resolution_policy: ResolutionPolicy::Default,
            policies_assumed: false,
        },
        name_template: None,
        tags: BTreeMap::new(),
    };
    Desired {
        object: ObjectRef {
            namespace: "ml-platform".into(),
            name: "contoso-models".into(),
            uid: "u".into(),
            generation: 1,
        },
        owner: OWNER.into(),
        cloud: cloud(),
        registry: id(REGISTRY),
        public_access: PublicAccess::Disabled,
        observe_only: false,
        leaving: false,
        deletion: DeletionPolicy::Retain,
        max_break_glass: Duration::from_secs(3600),
        separate_approver: false,
        grants: Grants::default(),
        stands_on: Vec::new(),
        spec: Ok(Box::new(spec(place))),
        cluster: "0c0c0c0c-0000-4000-8000-000000000001".into(),
    }
}

fn spec(place: EndpointPlace) -> Spec {
    Spec {
        create: None,
        tags: BTreeMap::new(),
        tags_at_creation: BTreeMap::new(),
        grant_operator: false,
        endpoints: vec![place],
        client_networks: Vec::new(),
        waived: BTreeMap::new(),
        shared_accounts: BTreeMap::new(),
        waived_hosts: BTreeMap::new(),
        verification: Verification {
            consecutive_successes: 3,
            interval: Duration::from_secs(30),
            max_age: Duration::from_secs(600),
            dns_settle: Duration::from_secs(60),
            recent_public_clients: None,
        },
        approve_name_changes: false,
        gates: Vec::new(),
        window: None,
        rollback: RollbackPolicy::Hold,
        grace_period: Duration::from_secs(900),
        sharing: Vec::new(),
        drift_interval: Duration::from_secs(600),
        approval_demanded: false,
        demanded: Vec::new(),
        raised: Vec::new(),
    }
}
