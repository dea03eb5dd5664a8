//! A namespace full of objects that want to be looked at each second, beside somebody who waits for an emergency's opening. On the real
//! control plane, with the floors of intervals taken away.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use azure_sim::journal::{Entry, Record};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use sreg_api::{BreakGlass, SecureRegistry};
use sreg_testbed::{NAMESPACE, oracle};
use sreg_testkit::eventually;

use crate::break_glass::{glass, person};
use crate::setting::{NAME, SETTLED, Setting, example};

const CROWD: usize = 80;

/// Registries like the demo's beside it, in the scope that the namespace was granted.
fn registries_beside(setting: &Setting) -> Result<Vec<String>> {
    let simulator = setting.testbed.simulator();
    let registry = setting.registry()?;
    let (group, _) = registry.rsplit_once('/').context("an id")?;
    let found = simulator.with_world(|world| world.get(&registry).map(|it| it.body.clone()));
    let body = found.context("the demo's registry")?;
    let ids: Vec<String> = (0..CROWD).map(|number| format!("{group}/crowd-{number}")).collect();
    for id in &ids {
        let mut body = body.clone();
        body["id"] = json!(id);
        body["name"] = json!(id.rsplit('/').next());
        body["tags"] = json!({});
        simulator.put_by_hand(id, body);
    }
    Ok(ids)
}

fn asks_for_crowd(record: &Record) -> bool {
    match &record.entry {
        Entry::Request(request) => request.path.to_lowercase().contains("/registries/crowd-"),
        Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_one_namespace_that_uses_up_all_reads_keeps_nobody_from_an_opening() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let mallory = person(&setting, NAMESPACE, "mallory", &["secureregistry-edit"]).await?;
    let objects: Api<SecureRegistry> = Api::namespaced(mallory, NAMESPACE);
    let since = setting.testbed.simulator().journal().last();
    for (number, id) in registries_beside(&setting)?.iter().enumerate() {
        let object = example(|object| {
            object["metadata"]["name"] = json!(format!("crowd-{number}"));
            object["spec"] = json!({
                "registry": {"resourceId": id}, "managementPolicy": "Observe", "drift": {"interval": "1s"},
            });
        })?;
        objects.create(&PostParams::default(), &object).await?;
    }
    // Everybody has had a turn, and wants the next one: from now on no token is left over.
    let journal = || setting.testbed.simulator().records_since(since);
    eventually(SETTLED, "the crowd to be looked at, and looked at again", || async {
        let asked = journal().iter().filter(|record| asks_for_crowd(record)).count();
        (asked > 2 * CROWD)
            .then_some(())
            .ok_or_else(|| format!("{asked} questions"))
    })
    .await?;
    let erin = person(&setting, NAMESPACE, "erin", &["secureregistry-break-glass"]).await?;
    let glasses: Api<BreakGlass> = Api::namespaced(erin, NAMESPACE);
    let (asked, mark) = (Instant::now(), setting.testbed.simulator().journal().last());
    let incident = glass("incident", NAME, "erin", "10m");
    glasses.create(&PostParams::default(), &incident).await?;
    // Where all stood in one line this took a minute and a half.
    eventually(SETTLED / 4, "all to be open", || async {
        let registry = setting.registry().map_err(|e| format!("{e:#}"))?;
        let closed = oracle::closed(setting.testbed.simulator(), &registry);
        let open = closed.iter().all(|(_, closed)| !closed);
        open.then_some(()).ok_or_else(|| format!("{closed:?}"))
    })
    .await?;
    let meanwhile = setting.testbed.simulator().records_since(mark);
    let meanwhile = meanwhile.iter().filter(|record| asks_for_crowd(record)).count();
    println!(
        "open {:?} after it was asked for; {meanwhile} reads for the crowd meanwhile",
        asked.elapsed()
    );
    ensure!(meanwhile > 0, "nobody else was looked at: that shows nothing");
    setting.assert_safe()
}
