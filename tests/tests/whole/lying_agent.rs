//! A vantage point whose agent was taken over: its ServiceAccount says what it likes. On the real control plane and the built operator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sreg_api::ConnectivityProbe;
use sreg_testbed::OperatorOptions;
use sreg_testbed::objects::{AGENT_SERVICE_ACCOUNT, ready};
use sreg_testbed::oracle;
use sreg_testkit::eventually;

use crate::break_glass::metrics;
use crate::setting::{NAME, SETTLED, Setting};

const AGENT: &str = "spoke-a-agent";

/// More than any honest agent writes in a day.
const REPORTS: u32 = 1000;

/// What it says: that no path works, in words that are to look like somebody else's.
async fn lie(agent: &Client) -> Result<()> {
    let probes: Api<ConnectivityProbe> = Api::namespaced(agent.clone(), AGENT);
    for probe in probes.list(&ListParams::default()).await?.items {
        let results: Vec<_> = probe
            .spec
            .paths
            .iter()
            .map(|path| {
                json!({
                    "fqdn": path.fqdn, "outcome": "Failed", "hop": "Tcp", "successes": 0,
                    "failures": probe.spec.consecutive_successes,
                    "message": "timed out\nLocked  everything is fine \u{202e}derongi eb ot",
                })
            })
            .collect();
        let status = json!({"status": {
            "observedGeneration": probe.metadata.generation, "round": probe.spec.round,
            "subject": probe.spec.subject, "results": results,
        }});
        probes
            .patch_status(&probe.name_any(), &PatchParams::default(), &Patch::Merge(&status))
            .await?;
    }
    let now = k8s_openapi::jiff::Timestamp::now();
    let alive = json!({"spec": {"renewTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()}});
    let leases: Api<Lease> = Api::namespaced(agent.clone(), AGENT);
    leases
        .patch(
            &format!("vantage-point-{AGENT}"),
            &PatchParams::default(),
            &Patch::Merge(&alive),
        )
        .await?;
    Ok(())
}

/// Whoever chose `rollback: Reopen` gets it, but not before people could look: with `maxAge: 1m` half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lying_agent_opens_nothing_before_people_could_look() -> Result<()> {
    let mut setting = Setting::demo().await?;
    let reopens = json!({"rollback": {"onFailure": "Reopen", "gracePeriod": "15m"}});
    setting.apply(|object| object["spec"]["publicAccess"] = reopens).await?;
    setting.locked().await?;
    setting.take_over_agent(AGENT)?;
    let agent = setting.testbed.as_service_account(AGENT, AGENT_SERVICE_ACCOUNT).await?;
    let began = Instant::now();
    let told = eventually(SETTLED, "the lie to be told as one vantage point's word", || async {
        lie(&agent).await.map_err(|e| format!("{e:#}"))?;
        let now = setting
            .testbed
            .registries()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let (state, message) = ready(&now);
        let alone = state == "PathLost" && message.contains("VantagePoint spoke-a-agent alone says so");
        alone.then_some(now).ok_or_else(|| format!("{state}: {message}"))
    })
    .await?;
    let closed = oracle::closed(setting.testbed.simulator(), &setting.registry()?);
    ensure!(closed.iter().all(|(_, closed)| *closed), "opened at once: {closed:?}");
    let status = told.status.context("a status")?;
    let messages = status.conditions.iter().map(|c| c.message.as_str());
    let forged = messages.filter(|m| m.contains(['\n', '\u{202e}'])).collect::<Vec<_>>();
    ensure!(forged.is_empty(), "{forged:?}");
    eventually(SETTLED, "what the user chose", || async {
        lie(&agent).await.map_err(|e| format!("{e:#}"))?;
        let registry = setting.registry().map_err(|e| e.to_string())?;
        let closed = oracle::closed(setting.testbed.simulator(), &registry);
        let open = closed.iter().all(|(_, closed)| !closed);
        open.then_some(()).ok_or_else(|| format!("{closed:?}"))
    })
    .await?;
    ensure!(began.elapsed() > Duration::from_secs(25), "{:?}", began.elapsed());
    Ok(())
}

/// An agent that is gone, and said before that its Lease lasts for 68 years.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_lease_is_to_last_for_years_is_silent_when_it_says_no_more() -> Result<()> {
    let mut setting = Setting::demo().await?;
    let agent = setting.testbed.as_service_account(AGENT, AGENT_SERVICE_ACCOUNT).await?;
    let leases: Api<Lease> = Api::namespaced(agent, AGENT);
    let name = format!("vantage-point-{AGENT}");
    let seen: Api<Lease> = Api::namespaced(setting.testbed.client.clone(), AGENT);
    eventually(SETTLED, "the agent to take its Lease", || async {
        seen.get(&name).await.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    setting.take_over_agent(AGENT)?;
    if let Some(operator) = setting.operator.take() {
        operator.kill9()?;
    }
    let seven_minutes_ago = k8s_openapi::jiff::Timestamp::now() - Duration::from_secs(420);
    let lasting = json!({"spec": {
        "holderIdentity": AGENT, "leaseDurationSeconds": i32::MAX,
        "renewTime": seven_minutes_ago.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    }});
    leases
        .patch(&name, &PatchParams::default(), &Patch::Merge(&lasting))
        .await?;
    setting.restart_operator().await?;
    setting.apply(|_| ()).await?;
    eventually(SETTLED, "the agent to be called silent", || async {
        let now = setting
            .testbed
            .registries()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let waits = now.status.as_ref().map(|s| s.waiting_for.clone()).unwrap_or_default();
        let says = format!("the agent of VantagePoint {AGENT} does not report");
        let told = waits.iter().any(|wait| wait.message.contains(&says));
        told.then_some(()).ok_or_else(|| format!("{waits:?}"))
    })
    .await?;
    setting.assert_never_closed()
}

/// An agent that writes its findings as fast as it can does not have Azure asked each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_reports_without_a_pause_is_damped() -> Result<()> {
    let mut setting = Setting::demo().await?;
    let options = OperatorOptions {
        // As shipped, which the other tests have no time for.
        args: vec!["--shortest-probe-interval=5s".into()],
        ..OperatorOptions::default()
    };
    setting.restart_operator_with(options).await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    setting.take_over_agent(AGENT)?;
    let agent = setting.testbed.as_service_account(AGENT, AGENT_SERVICE_ACCOUNT).await?;
    let probes: Api<ConnectivityProbe> = Api::namespaced(agent.clone(), AGENT);
    let probe = probes.list(&ListParams::default()).await?.items;
    let probe = probe.into_iter().next().context("a probe of its own")?;
    let mark = setting.testbed.simulator().journal().last();
    let registry = azure_sim::world::key(&setting.registry()?);
    let began = Instant::now();
    for number in 0..REPORTS {
        let status = json!({"status": {"observedGeneration": number}});
        probes
            .patch_status(&probe.name_any(), &PatchParams::default(), &Patch::Merge(&status))
            .await?;
    }
    let seconds = began.elapsed().as_secs();
    let journal = setting.testbed.simulator().journal().snapshot();
    let reads = oracle::reads_since(&journal, mark, &registry);
    // Fifty at once, then one in five seconds; Leases of three vantage points and what follows from a pass come on top.
    let most = 50 + usize::try_from(seconds)? + 30;
    println!("{REPORTS} reports in {seconds} s, {reads} reads of the registry");
    ensure!(reads < most, "{reads} reads after {REPORTS} reports in {seconds} s");
    let metrics = metrics(setting.operator.as_ref().context("the operator")?).await?;
    let mut lines = metrics.lines();
    let counted = lines.find(|line| line.starts_with("secureregistry_probe_wakes_damped_total"));
    let count = counted.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    ensure!(count.is_some_and(|count| count > 100.0), "{count:?}");
    Ok(())
}
