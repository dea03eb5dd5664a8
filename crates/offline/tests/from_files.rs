//! Plans of the examples' files, of an Azure that azure-sim plays, without any cluster.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure_sim::journal::{Entry, Record};
use azure_sim::{Running, Seed, ServeOptions, Simulator};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use sreg_azure::{AzureClient, AzureSettings, AzureWriter, CredentialKind, connect};
use sreg_domain::{Action, Cloud, cloud_documents};
use sreg_offline::{Documents, Prospect, Unasked, changes, desired, look, prospect};
use sreg_planner::plan::{Finding, FindingReason, WaitReason};
use sreg_planner::{Floors, PlanSettings, Step};

const LONGEST: Duration = Duration::from_secs(60);

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example(folder: &str) -> Documents {
    Documents::read(&[repository().join("examples").join(folder)], "default").unwrap()
}

/// The demo's Azure, without a cluster.
struct Bench {
    azure: Running,
    client: AzureClient,
    settings: PlanSettings,
}

fn plan_settings(cloud: Arc<Cloud>) -> PlanSettings {
    PlanSettings {
        installation: "default".to_owned(),
        cluster: String::new(),
        cloud,
        max_break_glass: Duration::from_secs(3600),
        floors: Floors {
            drift_interval: Duration::ZERO,
            probe_interval: Duration::ZERO,
        },
    }
}

impl Bench {
    async fn new() -> Bench {
        let mut seed = Seed::load(&repository().join("examples/azure/demo.yaml")).unwrap();
        seed.latencies = azure_sim::Latencies::None;
        seed.throttling.enabled = false;
        let azure = Simulator::new(seed).serve(ServeOptions::default()).await.unwrap();
        let cloud = Arc::new(cloud(azure.arm_endpoint.as_str()));
        let secret = CredentialKind::ClientSecret(SecretString::from("demo-secret-of-no-worth"));
        let mut settings = AzureSettings::new(Arc::clone(&cloud), "0a000000-0000-4000-8000-0000000000ff", secret);
        settings.client_id = Some("0c000000-0000-4000-8000-000000000001".to_owned());
        settings.ca_pem = Some(azure.ca_pem.clone().into_bytes());
        Bench {
            azure,
            client: connect(settings).unwrap(),
            settings: plan_settings(cloud),
        }
    }

    async fn prospect(&self, documents: &Documents) -> Prospect {
        let desired = desired(documents, &documents.registries[0], &self.settings).unwrap();
        let (desired, seen) = look(&self.client, documents, desired, Timestamp::now(), LONGEST).await;
        prospect(documents, desired, seen)
    }

    async fn carry_out(&self, step: &Step) {
        let Action::Azure(action) = &step.action else {
            panic!("a plan from files writes to Azure only: {}", step.action);
        };
        let carried = self.client.carry_out("ml-platform", &step.id, action, LONGEST).await;
        carried.unwrap_or_else(|why| panic!("{}: {why}", step.action));
    }

    fn writes(&self) -> usize {
        let records = self.azure.simulator.records_since(0);
        let is_write = |record: &&Record| matches!(&record.entry, Entry::Request(request) if request.write);
        records.iter().filter(is_write).count()
    }
}

fn cloud(address: &str) -> Cloud {
    let document = format!(
        "name: azure-sim
extends: AzurePublic
authorityHost: {address}
resourceManager: {{endpoint: {address}, audience: https://management.azure.com}}
machineLearning:
  audience: https://ml.azure.com
  discoveryEndpoint: {address}
  clientHostSuffixes: [experiments.azureml.net]
"
    );
    cloud_documents::from_yaml(&document).unwrap()
}

fn told(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.action.to_string()).collect()
}

/// What the cluster notes before that is not the reader's business.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_will_be_created_is_part_of_the_plan() {
    let bench = Bench::new().await;
    let mut documents = example("demo");
    documents.grants.clear();
    let registry = &mut documents.registries[0].object.spec.registry;
    registry.resource_id = registry.resource_id.replace("/contosoreg", "/contosonew");
    registry.create = Some(serde_json::from_value(json!({"location": "westeurope"})).unwrap());
    let prospect = bench.prospect(&documents).await;
    let told: Vec<String> = prospect.waves.iter().flat_map(|wave| told(wave)).collect();
    assert!(
        told.iter().any(|step| step.contains("create registry contosonew")),
        "{told:?} {:?}",
        prospect.waits
    );
    assert!(prospect.has_changes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demos_files_give_a_plan_that_goes_on_until_the_lock_and_nothing_is_written() {
    let bench = Bench::new().await;
    let prospect = bench.prospect(&example("demo")).await;
    let first = told(&prospect.waves[0]);
    assert!(
        first[0].starts_with("tag registry contosoreg with secureregistry-claim=CLUSTER/"),
        "{first:#?}"
    );
    let next = told(&prospect.waves[1]);
    assert!(
        next.iter().any(|step| step.starts_with("create private DNS zone")),
        "{next:#?}"
    );
    assert_eq!(told(&prospect.closing).len(), 3, "{:#?}", prospect.closing);
    assert_eq!(
        prospect.unasked,
        [Unasked::Claim, Unasked::People, Unasked::Proof],
        "the files hold a grant"
    );
    // Nothing that a cluster is needed for keeps the plan from being whole.
    let unanswered: Vec<_> = prospect.unanswered().collect();
    assert!(unanswered.is_empty(), "{unanswered:#?}");
    assert_eq!(bench.writes(), 0);
}

/// What the operator does with such plans, one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_registry_that_was_built_and_locked_by_such_plans_nothing_is_left_to_do() {
    let bench = Bench::new().await;
    let documents = example("demo");
    for _ in 0..40 {
        let prospect = bench.prospect(&documents).await;
        if prospect.waves.is_empty() {
            break;
        }
        for step in prospect.waves.iter().flatten() {
            bench.carry_out(step).await;
        }
    }
    let built = bench.prospect(&documents).await;
    assert!(built.waves.is_empty(), "{:#?}", built.waves);
    let asks: Vec<_> = built.waits.iter().filter(|wait| wait.only_a_cluster_can_tell).collect();
    assert!(
        asks.iter()
            .any(|wait| wait.wait.message.contains("no cluster was asked")),
        "whether agents report is for the cluster: {:#?}",
        built.waits
    );
    assert!(built.has_changes());
    for step in &built.closing {
        bench.carry_out(step).await;
    }
    let locked = bench.prospect(&documents).await;
    assert!(!locked.has_changes(), "{:#?} {:#?}", locked.waves, locked.closing);
    assert_eq!(locked.unanswered().count(), 0, "{:#?}", locked.waits);
    // Nobody looked whether anything is kept of what was before, so nothing is said of it.
    let restores = |finding: &Finding| finding.reason == FindingReason::NothingToRestore;
    assert!(!locked.findings.iter().any(restores), "{:#?}", locked.findings);
    let cluster = "CLUSTER".to_owned();
    assert!(locked.unasked.contains(&Unasked::ClaimTag { cluster }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_observe_nothing_would_be_written_and_what_would_be_is_a_finding() {
    let bench = Bench::new().await;
    let prospect = bench.prospect(&example("observe")).await;
    assert!(!prospect.has_changes());
    let would = prospect
        .findings
        .iter()
        .any(|finding| finding.message.starts_with("would close registry"));
    assert!(would, "{:#?}", prospect.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grants_among_the_files_everything_counts_as_granted_and_that_is_told() {
    let bench = Bench::new().await;
    let mut documents = example("demo");
    documents.grants.clear();
    let prospect = bench.prospect(&documents).await;
    assert!(prospect.has_changes());
    let namespace = "ml-platform".to_owned();
    assert!(prospect.unasked.contains(&Unasked::Grants { namespace }));
    // A grant for somebody else is one.
    documents = example("demo");
    documents.registries[0].object.metadata.namespace = Some("another".to_owned());
    let refused = bench.prospect(&documents).await;
    assert!(!refused.has_changes());
    let reasons: Vec<WaitReason> = refused.unanswered().map(|wait| wait.reason).collect();
    assert_eq!(reasons, [WaitReason::NotGrantedStalled]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_tells_field_by_field_what_it_changes() {
    let bench = Bench::new().await;
    let prospect = bench.prospect(&example("demo")).await;
    let all = prospect.waves.iter().flatten().chain(&prospect.closing);
    for step in all.clone() {
        let fields = changes::changes(&step.action, &prospect.seen);
        assert!(!fields.is_empty(), "{} changes nothing", step.action);
        assert!(fields.iter().all(|field| field.old != field.new), "{fields:#?}");
    }
    let of = |what: &str| {
        let mut steps = all.clone().filter(|step| step.action.to_string().starts_with(what));
        changes::changes(&steps.next().unwrap().action, &prospect.seen)
    };
    let storage = of("close public access of storage account");
    let access = storage
        .iter()
        .find(|field| field.field == "publicNetworkAccess")
        .unwrap();
    assert_eq!(
        (&access.old, &access.new),
        (&Some(json!("Enabled")), &Some(json!("Disabled")))
    );
    let tags = of("tag registry contosoreg with costCenter");
    let owner = tags.iter().find(|field| field.field == "tags.owner").unwrap();
    assert_eq!((&owner.old, &owner.new), (&None, &Some(json!("ml-platform"))));
}

#[test]
fn the_examples_for_production_are_taken_with_their_grants() {
    let documents = example("production");
    let settings = plan_settings(Arc::new(sreg_domain::BuiltInCloud::AzurePublic.cloud().unwrap()));
    let desired = desired(&documents, &documents.registries[0], &settings).unwrap();
    assert!(desired.is_whole(), "{:?}", desired.what_is_wrong());
    assert!(fs::exists(&documents.registries[0].path).unwrap());
}
