//! What a user tries who may do something, and wants more: approve himself, have another team's endpoint deleted by a tag, fill the
//! operator's memory and its health port. On the real control plane, with the shipped roles and policies.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azure_sim::journal::{Entry, Record};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sreg_api::names::OWNER_TAG;
use sreg_api::{BreakGlass, ChangeApproval, ChangeApprovalPhase, RegistryGrant, SecureRegistry};
use sreg_testbed::{NAMESPACE, oracle, repository};
use sreg_testkit::{binary_path, eventually};

use crate::break_glass::{glass, person};
use crate::setting::{NAME, SETTLED, Setting, example};

fn registries(client: &Client) -> Api<SecureRegistry> {
    Api::namespaced(client.clone(), NAMESPACE)
}

async fn change(client: &Client, what: impl FnOnce(&mut Value)) -> Result<SecureRegistry> {
    let apply = PatchParams::apply("people").force();
    let applied = registries(client)
        .patch(NAME, &apply, &Patch::Apply(&example(what)?))
        .await;
    applied.context("apply the object")
}

/// A grant like the demo's that demands two persons for a lock.
async fn demand_two_persons(setting: &Setting) -> Result<()> {
    let editor = repository().join("deploy/editor");
    setting
        .testbed
        .plane
        .apply_path(editor.join("spec-editor.yaml"))
        .await
        .context("have the API server write down who edits")?;
    let grants: Api<RegistryGrant> = Api::all(setting.testbed.client.clone());
    let requires = json!({"spec": {"requires": {"lockdownApproval": true, "separateApprover": true}}});
    grants
        .patch("ml-platform", &PatchParams::default(), &Patch::Merge(requires))
        .await
        .context("demand it")?;
    Ok(())
}

async fn approve(client: &Client, name: &str, user: &str, digest: &str) -> Result<()> {
    let approval = json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "ChangeApproval",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"secureRegistryName": NAME, "change": "Lockdown", "digest": digest, "approvedBy": user, "reason": "as agreed"},
    });
    let approvals: Api<ChangeApproval> = Api::namespaced(client.clone(), NAMESPACE);
    let made = approvals
        .create(&PostParams::default(), &serde_json::from_value(approval)?)
        .await;
    made.with_context(|| format!("{user} approves"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_who_may_approve_as_well_needs_somebody_else_where_a_grant_says_so() -> Result<()> {
    let setting = Setting::demo().await?;
    demand_two_persons(&setting).await?;
    let roles = ["secureregistry-view", "secureregistry-edit", "secureregistry-approve"];
    let jane = person(&setting, NAMESPACE, "jane", &roles).await?;
    let joe = person(&setting, NAMESPACE, "joe", &roles).await?;
    // The policy comes into force a moment after it was accepted.
    eventually(SETTLED, "the server to write down who edits", || async {
        let dry = PatchParams::apply("people").force().dry_run();
        let object = example(|_| ()).map_err(|e| e.to_string())?;
        let made = registries(&jane).patch(NAME, &dry, &Patch::Apply(&object)).await;
        let made = made.map_err(|e| e.to_string())?;
        let names = made
            .annotations()
            .contains_key(sreg_api::names::ANNOTATION_SPEC_EDITED_BY);
        names.then_some(()).ok_or_else(|| "it does not yet".to_owned())
    })
    .await?;
    change(&jane, |_| ()).await?;
    let waiting = setting
        .testbed
        .await_state(NAME, &["AwaitingApproval"], SETTLED)
        .await?;
    let wanted = waiting.status.as_ref().and_then(|s| s.approvals_wanted.first());
    let digest = wanted.context("a digest is asked for")?.digest.clone();
    approve(&jane, "my-own", "jane", &digest).await?;
    let approvals: Api<ChangeApproval> = Api::namespaced(jane.clone(), NAMESPACE);
    eventually(SETTLED, "her approval to be told that it does not count", || async {
        let told = approvals.get("my-own").await.map_err(|e| e.to_string())?.status;
        let told = told.ok_or("it was told nothing")?;
        let refused = told.phase == ChangeApprovalPhase::Pending && told.message.contains("which was jane");
        refused
            .then_some(())
            .ok_or_else(|| format!("{}: {}", told.phase, told.message))
    })
    .await?;
    let open = oracle::closed(setting.testbed.simulator(), &setting.registry()?);
    ensure!(
        open.iter().all(|(_, closed)| !closed),
        "closed on her own word: {open:?}"
    );
    // Nor by writing that it was somebody else.
    let forged = json!({"metadata": {"annotations": {"secureregistry.dev/spec-edited-by": "1/joe"}}});
    let merge = PatchParams::default();
    let written = registries(&jane).patch(NAME, &merge, &Patch::Merge(forged)).await?;
    let editor = written.annotations().get(sreg_api::names::ANNOTATION_SPEC_EDITED_BY);
    ensure!(editor.is_some_and(|editor| editor == "1/jane"), "{editor:?}");
    approve(&joe, "as-agreed", "joe", &digest).await?;
    setting.locked().await?;
    Ok(())
}

/// The tag of this object's endpoints on another team's, in the same resource group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_teams_endpoint_is_not_deleted_because_somebody_put_our_tag_on_it() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let simulator = setting.testbed.simulator();
    let ours = simulator.with_world(|world| {
        let endpoints = world.of_kind("microsoft.network/privateendpoints");
        let mut tagged = endpoints.filter(|e| e.body["tags"][OWNER_TAG].is_string());
        tagged.next().map(|e| (e.id.to_string(), e.body.clone()))
    });
    let (id, mut body) = ours.context("an endpoint of ours")?;
    let (group, _) = id.rsplit_once('/').context("an id")?;
    let theirs = format!("{group}/models-of-others");
    body["id"] = json!(theirs);
    body["name"] = json!("models-of-others");
    simulator.put_by_hand(&theirs, body);
    let open = |object: &mut Value| {
        object["spec"]["publicAccess"] = json!({"desired": "Enabled"});
        object["spec"]["deletionPolicy"] = json!("DeleteEndpoints");
    };
    setting.apply(open).await?;
    setting.testbed.await_state(NAME, &["Open"], SETTLED).await?;
    let mark = simulator.journal().last();
    setting.delete().await?;
    let left: Vec<String> = simulator.with_world(|world| {
        let endpoints = world.of_kind("microsoft.network/privateendpoints");
        endpoints.map(|e| e.id.to_string()).collect()
    });
    ensure!(left.iter().any(|id| id.eq_ignore_ascii_case(&theirs)), "{left:?}");
    ensure!(
        !left.iter().any(|left| left.eq_ignore_ascii_case(&id)),
        "ours is still there: {left:?}"
    );
    let writes = oracle::writes_since(&simulator.journal().snapshot(), mark);
    let touched = writes
        .iter()
        .find(|write| write.to_lowercase().contains("models-of-others"));
    ensure!(touched.is_none(), "{touched:?}");
    Ok(())
}

/// The most resident memory that a process ever had, in MiB: the kubelet ends it at its peak.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.context("VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse::<u64>()? / 1024)
}

/// The limit in the shipped Deployment, in MiB.
fn memory_limit() -> Result<u64> {
    let path = repository().join("deploy/base/deployment.yaml");
    let deployment: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
    let limit = deployment.pointer("/spec/template/spec/containers/0/resources/limits/memory");
    let limit = limit.and_then(Value::as_str).and_then(|limit| limit.strip_suffix("Mi"));
    Ok(limit.context("a limit in Mi")?.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_namespace_fills_its_objects_with_does_not_fill_the_operator() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let roles = ["secureregistry-edit", "secureregistry-break-glass"];
    let mallory = person(&setting, NAMESPACE, "mallory", &roles).await?;
    let stuffing = json!({"metadata": {"annotations": {"stuffing": "x".repeat(60 * 1024)}}});
    let glasses: Api<BreakGlass> = Api::namespaced(mallory.clone(), NAMESPACE);
    for number in 0..400 {
        let mut one = glass(&format!("glass-{number}"), "nothing-of-that-name", "mallory", "1m");
        one.metadata.annotations = serde_json::from_value(stuffing["metadata"]["annotations"].clone())?;
        glasses.create(&PostParams::default(), &one).await?;
        // Each object is told whose the registry is, which takes longer than to make it.
        if number >= 200 {
            continue;
        }
        let mut object = example(|object| {
            object["metadata"]["name"] = json!(format!("stuffed-{number}"));
            object["spec"]["managementPolicy"] = json!("Observe");
            object["spec"]["drift"] = json!({"interval": "1s"});
        })?;
        object.metadata.annotations.clone_from(&one.metadata.annotations);
        registries(&mallory).create(&PostParams::default(), &object).await?;
    }
    // What was refused is refused whole.
    let mut huge = glass("huge", "nothing-of-that-name", "mallory", "1m");
    huge.metadata.annotations = Some([("stuffing".to_owned(), "x".repeat(200 * 1024))].into());
    let refused = glasses
        .create(&PostParams::default(), &huge)
        .await
        .err()
        .context("it was admitted")?;
    ensure!(
        refused.to_string().contains("64 KiB of annotations and labels"),
        "{refused}"
    );
    // Each of them was looked at, and told whose the registry is.
    eventually(SETTLED * 3, "all objects to be told", || async {
        let all = registries(&setting.testbed.client).list(&Default::default()).await;
        let all = all.map_err(|e| e.to_string())?.items;
        let told = |object: &&SecureRegistry| object.status.as_ref().is_some_and(|s| s.observed_generation.is_some());
        let untold = all.len() - all.iter().filter(told).count();
        (untold == 0)
            .then_some(())
            .ok_or_else(|| format!("{untold} of {} are not told", all.len()))
    })
    .await?;
    let operator = setting.operator.as_ref().context("the operator")?;
    let (peak, limit) = (peak(operator.pid())?, memory_limit()?);
    println!("{peak} MiB at most, of {limit}");
    ensure!(peak < limit, "{peak} MiB at most, of {limit}");
    setting.locked().await?;
    // And keeps nobody from the way back.
    let erin = person(&setting, NAMESPACE, "erin", &["secureregistry-break-glass"]).await?;
    let emergencies: Api<BreakGlass> = Api::namespaced(erin, NAMESPACE);
    let asked = std::time::Instant::now();
    emergencies
        .create(&PostParams::default(), &glass("incident", NAME, "erin", "10m"))
        .await?;
    setting.testbed.await_state(NAME, &["BreakGlass"], SETTLED).await?;
    println!("opened {:?} after it was asked for", asked.elapsed());
    Ok(())
}

/// Connections that send nothing, or next to nothing, to the port that the kubelet asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_to_the_health_port_do_not_have_the_operator_restarted() -> Result<()> {
    let setting = Setting::demo().await?;
    let operator = setting.operator.as_ref().context("the operator")?;
    let line: Value = serde_json::from_str(&operator.line_with("operator started", SETTLED).await?)?;
    let address = line["address"].as_str().context("the address")?.to_owned();
    let mut idle = Vec::new();
    for number in 0..600 {
        let Ok(mut stream) = std::net::TcpStream::connect(&address) else {
            break;
        };
        if number % 2 == 0 {
            // Whether it is still taken is the port's matter.
            drop(stream.write_all(b"GET /livez HTT"));
        }
        idle.push(stream);
    }
    eventually(SETTLED, "the kubelet's question to be answered", || async {
        let ask = || -> Result<String> {
            let mut stream = std::net::TcpStream::connect(&address)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let answer = ask().map_err(|e| format!("{e:#}"))?;
        answer.starts_with("HTTP/1.1 200").then_some(()).ok_or(answer)
    })
    .await?;
    ensure!(operator.try_exit()?.is_none(), "the operator ended");
    Ok(())
}

/// Where an agent may write Leases, nobody else's may lie: the operator's are the claims and who leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_agent_is_generated_beside_the_operator_and_nobody_there_takes_a_claim_by_hand() -> Result<()> {
    for namespace in ["secure-registry-system", "default", "spoke-a-agent"] {
        let output = std::process::Command::new(binary_path("secure-registry-operator")?)
            .args(["crd", "--part", "agent"])
            .args(["--agent", "spoke-a-agent=spoke-a-agent/agent"])
            .arg(format!("--agent=intruder={namespace}/agent"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && output.stdout.is_empty(),
            "{namespace}: {said}"
        );
        ensure!(
            said.contains("give it a namespace of its own, such as --agent intruder=intruder/agent"),
            "{said}"
        );
    }
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let operators = sreg_testbed::OPERATOR_NAMESPACE;
    // By hand, with every right that a namespace's administrator has there.
    let intruder = setting.testbed.namespace_admin(operators, "intruder").await?;
    let leases: Api<Lease> = Api::namespaced(intruder, operators);
    let all = leases.list(&Default::default()).await?.items;
    ensure!(all.len() > 1, "a claim and the leader's: {}", all.len());
    for lease in all {
        let name = lease.name_any();
        let mine = json!({"spec": {"holderIdentity": "intruder"}});
        let patched = leases.patch(&name, &PatchParams::default(), &Patch::Merge(mine)).await;
        let refused = matches!(&patched, Err(kube::Error::Api(status)) if status.code == 422 || status.code == 403);
        ensure!(refused, "{name}: {patched:?}");
    }
    setting.locked().await?;
    Ok(())
}

/// What a path of a URL would make of an id, from a spec and from Azure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_from_a_spec_or_from_azure_leads_a_call_to_another_resource() -> Result<()> {
    let setting = Setting::demo().await?;
    let editor = person(&setting, NAMESPACE, "erin", &["secureregistry-edit"]).await?;
    let registry = setting.registry()?;
    let simulator = setting.testbed.simulator();
    let (group, _) = registry.split_once("/providers/").context("an id")?;
    let odd = [
        format!("{registry}/../../../storageAccounts/others"),
        format!("{registry}%2f..%2fothers"),
        format!("{registry}?api-version=2020-01-01"),
        format!("{registry}#x"),
        format!("{registry}\u{202e}"),
        format!("{group}/../../providers/Microsoft.MachineLearningServices/registries/others"),
    ];
    for (number, id) in odd.iter().enumerate() {
        let object = example(|object| {
            object["metadata"]["name"] = json!(format!("odd-{number}"));
            object["spec"]["registry"]["resourceId"] = json!(id);
        })?;
        match registries(&editor).create(&PostParams::default(), &object).await {
            Ok(_) => {
                let name = object.name_any();
                let told = setting.testbed.await_state(&name, &["Stalled"], SETTLED).await?;
                ensure!(told.status.is_some_and(|s| s.endpoints.is_empty()), "{id}");
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(error) => return Err(error).context("create an object with an odd id"),
        }
    }
    // A name that Azure itself gives for what stands behind the registry.
    let theirs = format!("{group}/providers/Microsoft.Storage/storageAccounts/..%2f..%2fothers");
    simulator.change_by_hand(&registry, |body| {
        body["properties"]["regionDetails"][0]["storageAccountDetails"][0]["systemCreatedStorageAccount"]["armResourceId"]
            ["resourceId"] = json!(theirs);
    });
    setting.apply(|_| ()).await?;
    setting.visited(simulator.journal().last(), 3).await?;
    let sent: Vec<String> = simulator.journal().snapshot().into_iter().filter_map(path).collect();
    ensure!(sent.len() > 10, "{sent:?}");
    // A name that ends an id early leads to the registry itself, with another query or none.
    let ours = azure_sim::world::key(&registry);
    let astray = sent.iter().find(|path| {
        let path = path.to_lowercase();
        let (before, query) = path.split_once('?').unwrap_or((&path, ""));
        let odd = before.contains("..") || before.contains("others") || before.contains('%');
        odd || query.contains("2020-01-01")
            || query.contains('?')
            || (before == ours && !query.starts_with("api-version="))
    });
    ensure!(astray.is_none(), "{astray:?}");
    setting.assert_never_closed()
}

fn path(record: Record) -> Option<String> {
    match record.entry {
        Entry::Request(request) => Some(request.path),
        Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
    }
}
