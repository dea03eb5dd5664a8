//! Words from outside that are to look like ours, or to do something to whoever reads them: new lines, escapes, turned writing, markup. From
//! Azure's errors, an agent, a tag and a person, on the real control plane; what is read is everything that the operator says.

use anyhow::{Context, Result, ensure};
use azure_sim::faults::{FaultEffect, FaultRule};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sreg_api::names::OWNER_TAG;
use sreg_api::{BreakGlass, ConnectivityProbe};
use sreg_testbed::NAMESPACE;
use sreg_testbed::objects::AGENT_SERVICE_ACCOUNT;
use sreg_testkit::eventually;

use crate::break_glass::{glass, person};
use crate::setting::{NAME, SETTLED, Setting};

const AGENT: &str = "spoke-a-agent";

/// What somebody says, and what it is to pass for.
fn forged(who: &str) -> String {
    format!(
        "{who}\u{1b}[2K\nLocked   everything is fine \u{202e}derongi eb ot\u{200b} `id` [x](http://x) <b>\r\tend-of-{who}"
    )
}

/// One line, and nothing in it that is not seen, turns the writing, or is markup.
fn is_plain(text: &str) -> bool {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !text.chars().any(odd) && !text.contains(['`', '<']) && !text.contains("](")
}

/// Every text in a value, keys too.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            into.push(key.clone());
            texts(value, into);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Everything that the operator has said until now: status of the object and of the BreakGlasses, events, log.
async fn everything_said(setting: &Setting) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let object = setting.testbed.registries().get(NAME).await?;
    texts(&serde_json::to_value(&object.status)?, &mut said);
    let client = || setting.testbed.client.clone();
    let glasses: Api<BreakGlass> = Api::namespaced(client(), NAMESPACE);
    for glass in glasses.list(&ListParams::default()).await? {
        texts(&serde_json::to_value(&glass.status)?, &mut said);
    }
    let events: Api<Event> = Api::namespaced(client(), NAMESPACE);
    said.extend(
        events
            .list(&ListParams::default())
            .await?
            .into_iter()
            .filter_map(|event| event.note),
    );
    let operator = setting.operator.as_ref().context("the operator")?;
    for line in operator.lines() {
        match serde_json::from_str(&line) {
            Ok(line) => texts(&line, &mut said),
            Err(_) => said.push(line),
        }
    }
    Ok(said)
}

/// Waits until somebody's words are told, whole; none of them does anything to whoever reads them.
async fn is_told(setting: &Setting, who: &str) -> Result<()> {
    let (begins, ends) = (who.to_owned(), format!("end-of-{who}"));
    let said = eventually(SETTLED, format!("{who} to be told"), || async {
        let said = everything_said(setting).await.map_err(|e| format!("{e:#}"))?;
        let whole = said.iter().any(|text| text.contains(&begins) && text.contains(&ends));
        whole.then_some(said).ok_or_else(|| "not yet".to_owned())
    })
    .await?;
    let odd: Vec<&String> = said.iter().filter(|text| !is_plain(text)).collect();
    ensure!(odd.is_empty(), "{odd:#?}");
    Ok(())
}

fn azure_refuses_endpoints() -> FaultRule {
    FaultRule {
        name: None,
        method: Some("PUT".into()),
        path: Some("/privateEndpoints/".into()),
        body_contains: None,
        nth: None,
        times: None,
        probability: None,
        seed: 0,
        effect: FaultEffect::Status {
            status: 403,
            code: Some(forged("code-of-azure")),
            message: Some(forged("azure")),
            body: None,
            retry_after: None,
        },
    }
}

async fn an_agent_lies(setting: &Setting) -> Result<()> {
    let agent = setting.testbed.as_service_account(AGENT, AGENT_SERVICE_ACCOUNT).await?;
    let probes: Api<ConnectivityProbe> = Api::namespaced(agent, AGENT);
    for probe in probes.list(&ListParams::default()).await?.items {
        let results: Vec<_> = probe
            .spec
            .paths
            .iter()
            .map(|path| {
                json!({"fqdn": path.fqdn, "outcome": "Failed", "hop": "Tcp", "successes": 0, "failures": 9, "message": forged("agent")})
            })
            .collect();
        let status = json!({"status": {
            "observedGeneration": probe.metadata.generation, "round": probe.spec.round,
            "subject": probe.spec.subject, "results": results,
        }});
        let merge = PatchParams::default();
        probes
            .patch_status(&probe.name_any(), &merge, &Patch::Merge(&status))
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_azure_agents_tags_and_people_are_told_on_one_line_and_do_nothing() -> Result<()> {
    let mut setting = Setting::demo().await?;
    let simulator = setting.testbed.simulator().clone();
    simulator.inject(azure_refuses_endpoints());
    setting.apply(|_| ()).await?;
    is_told(&setting, "azure").await?;
    simulator.clear_faults();
    // A changed spec tries at once what was refused.
    setting
        .apply(|o| o["spec"]["verification"]["maxAge"] = json!("2m"))
        .await?;
    setting.locked().await?;

    setting.take_over_agent(AGENT)?;
    an_agent_lies(&setting).await?;
    is_told(&setting, "agent").await?;

    let endpoint = setting.our_endpoints().into_iter().next().context("an endpoint")?;
    simulator.change_by_hand(&endpoint, |body| body["tags"][OWNER_TAG] = json!(forged("tag")));
    is_told(&setting, "tag").await?;

    let erin = person(&setting, NAMESPACE, "erin", &["secureregistry-break-glass"]).await?;
    let glasses: Api<BreakGlass> = Api::namespaced(erin, NAMESPACE);
    let mut incident = glass("incident", NAME, "erin", "10m");
    incident.spec.reason = forged("person");
    glasses.create(&PostParams::default(), &incident).await?;
    is_told(&setting, "person").await
}
