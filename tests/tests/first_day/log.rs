//! What the log of a whole run tells: at info every write to Azure in one line, a warning where an object comes to a
//! standstill; at debug no insides of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azure_sim::data_plane::{DataPlaneFault, Effect};
use serde_json::{Value, json};
use sreg_testbed::objects::REGISTRY;
use sreg_testbed::{NAMESPACE, OperatorOptions, Testbed, oracle, repository, worlds};

const SETTLED: Duration = Duration::from_secs(120);

fn parse(lines: Vec<String>) -> Result<Vec<Value>> {
    lines
        .into_iter()
        .map(|line| serde_json::from_str(&line).with_context(|| format!("{line:?} is no JSON")))
        .collect()
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// Names of fields and types, as `{:?}` would print them.
fn reads_like_rust(line: &Value) -> bool {
    let printed = line.to_string();
    [
        "Some(",
        "None,",
        "Ok(",
        "Err(",
        " { ",
        "Done {",
        "Started(",
        "ArmId(",
        "ObjectRef {",
        "Action {",
    ]
    .iter()
    .any(|sign| printed.contains(sign))
}

/// What we call a step is a key of ours: only lines at debug have it.
fn no_step_is_shown_to_people(lines: &[Value]) -> Result<()> {
    let steps: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["step"].as_str()?.split(' ').next())
        .filter(|word| word.contains('-'))
        .collect();
    ensure!(steps.len() > 3, "no line at debug names a step: {steps:?}");
    for line in lines
        .iter()
        .filter(|line| line["level"] != "DEBUG" && line["level"] != "TRACE")
    {
        let spans = line["spans"].as_array().cloned().unwrap_or_default();
        let named = line.get("step").is_some() || spans.iter().any(|span| span.get("step").is_some());
        let printed = line.to_string();
        let words = printed.split(|c: char| c.is_whitespace() || ",;:()\"'".contains(c));
        let said = words.into_iter().find(|word| steps.contains(word));
        ensure!(!named && said.is_none(), "a step is named ({said:?}): {line:#}");
    }
    Ok(())
}

/// The warnings about one state of the example.
fn warned_of<'a>(lines: &'a [Value], state: &str) -> Vec<&'a str> {
    let of = |line: &&Value| {
        line["level"] == "WARN" && line["state"] == state && line["object"] == format!("{NAMESPACE}/{REGISTRY}")
    };
    lines.iter().filter(of).map(message).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_path_is_warned_of_in_the_words_of_status_and_a_refusal_reads_otherwise_than_silence() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let _agents = testbed.start_agents(true).await?;
    let options = OperatorOptions {
        log: "debug".into(),
        args: vec!["--log-format=json".into()],
        ..OperatorOptions::default()
    };
    let operator = testbed.start_operator(options).await?;
    let example = repository().join("examples/demo/secureregistry.yaml");
    testbed.plane.apply_path(example).await?;
    let locked = testbed.await_state(REGISTRY, &["Locked"], SETTLED).await?;
    let status = locked.status.unwrap_or_default();
    let blob = status.endpoints.iter().find(|endpoint| endpoint.group_id == "blob");
    let blob = blob.context("an endpoint for blobs")?;
    let (host, address) = (
        blob.fqdns.first().context("a name")?,
        blob.addresses.first().context("an address")?,
    );
    let mut told = Vec::new();
    for effect in [Effect::Refuse, Effect::Drop] {
        let faults = testbed.simulator().data_plane_faults();
        faults.add(DataPlaneFault {
            network: Some("spoke-a".into()),
            host: Some(address.clone()),
            effect,
            times: None,
        });
        let lost = testbed.await_state(REGISTRY, &["PathLost"], SETTLED).await?;
        let (_, message) = sreg_testbed::objects::ready(&lost);
        operator.line_with(&message, SETTLED).await?;
        let lines = parse(operator.lines())?;
        ensure!(
            warned_of(&lines, "PathLost").contains(&message.as_str()),
            "{message}\n{:#?}",
            warned_of(&lines, "PathLost")
        );
        let uid = lost.metadata.uid.unwrap_or_default();
        told.push(
            message
                .replace(host, "HOST")
                .replace(address, "ADDRESS")
                .replace(&uid, "UID"),
        );
        faults.clear();
        testbed.await_state(REGISTRY, &["Locked"], SETTLED).await?;
    }
    let kept_out = "closed to the public, and clients of spoke-a cannot reach HOST; a BreakGlass opens public access until \
                    that is repaired (docs/break-glass.md has the command)";
    let way_back = "the lock holds: repair the path, or open with a BreakGlass; what agents see: \
                    kubectl get connectivityprobes -A -l secureregistry.dev/registry-uid=UID -o yaml";
    ensure!(
        told == [
            format!(
                "{kept_out}; spoke-a cannot reach HOST: tcp: ADDRESS:443 refuses the connection: nothing listens there; \
                 {way_back}"
            ),
            format!(
                "{kept_out}; spoke-a cannot reach HOST: tcp: ADDRESS:443 does not answer: no route, a network rule, or an endpoint that \
                 is not approved or gone; {way_back}"
            ),
        ],
        "{told:#?}"
    );
    no_step_is_shown_to_people(&parse(operator.lines())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_each_write_to_azure_once_and_every_standstill() -> Result<()> {
    let testbed = Testbed::start(worlds::demo()?).await?;
    testbed.grant().await?;
    let _agents = testbed.start_agents(true).await?;
    let options = OperatorOptions {
        log: "debug".into(),
        args: vec!["--log-format=json".into()],
        // What is wrong with a line is said below, with the line.
        printed: false,
        ..OperatorOptions::default()
    };
    let operator = testbed.start_operator(options).await?;
    let example = repository().join("examples/demo/secureregistry.yaml");
    testbed.plane.apply_path(example).await?;
    testbed.await_state(REGISTRY, &["Locked"], SETTLED).await?;
    // A registry that does not exist is a standstill for a person to end.
    let elsewhere = json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
        "metadata": {"name": "contoso-nowhere", "namespace": NAMESPACE},
        "spec": {
            "registry": {"resourceId": "/subscriptions/0a000000-0000-4000-8000-000000000002/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/nowhere"},
            "managementPolicy": "Observe",
        },
    });
    testbed.plane.apply_yaml(&elsewhere.to_string()).await?;
    testbed.await_state("contoso-nowhere", &["Stalled"], SETTLED).await?;
    let written = oracle::writes_since(&testbed.simulator().journal().snapshot(), 0);
    let lines = parse(operator.lines())?;

    let told: Vec<&Value> = lines
        .iter()
        .filter(|line| message(line).starts_with("write to Azure: "))
        .collect();
    let briefly: Vec<&str> = told.iter().map(|line| message(line)).collect();
    ensure!(
        told.len() == written.len(),
        "{} lines for {} writes\n{briefly:#?}\n{written:#?}",
        told.len(),
        written.len()
    );
    let mut ids = BTreeMap::new();
    for line in &told {
        ensure!(line["level"] == "INFO", "{line}");
        let resource = line["resource"].as_str().unwrap_or_default();
        ensure!(resource.starts_with("/subscriptions/"), "{line}");
        ensure!(line["result"].is_string() && line["status"].is_u64(), "{line}");
        ensure!(line.to_string().contains("contoso-models"), "which object: {line}");
        let id = line["correlation_id"].as_str().unwrap_or_default().to_owned();
        ensure!(id.len() > 8, "{line}");
        *ids.entry(id).or_insert(0) += 1;
    }
    ensure!(ids.values().all(|times| *times == 1), "{ids:?}");
    ensure!(
        told.iter()
            .any(|line| message(line).contains("create private endpoint /subscriptions/")),
        "{told:#?}"
    );

    let warned: Vec<&Value> = lines
        .iter()
        .filter(|line| line["level"] == "WARN" && line["state"] == "Stalled")
        .collect();
    ensure!(warned.len() == 1, "{warned:#?}");
    ensure!(
        warned[0]["object"] == "ml-platform/contoso-nowhere" && message(warned[0]).contains("nowhere"),
        "{warned:#?}"
    );

    no_step_is_shown_to_people(&lines)?;
    let insides: Vec<&Value> = lines.iter().filter(|line| reads_like_rust(line)).collect();
    ensure!(insides.is_empty(), "{insides:#?}");
    for line in &lines {
        let spans = line["spans"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<&str> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        ensure!(names.len() == all && line["span"].is_null(), "spans twice: {line}");
    }
    Ok(())
}
