//! The documented role and no other right: the operator's identity has exactly what `deploy/azure` gives, each role on its place.

use anyhow::{Context, Result, ensure};
use azure_sim::Simulator;
use azure_sim::journal::Entry;
use azure_sim::seed::RoleSeed;
use serde_json::{Value, json};
use sreg_api::BreakGlassPhase;
use sreg_testbed::{NAMESPACE, OPERATOR, TestbedOptions, oracle, repository, worlds};

use crate::break_glass::{create, glass, person, told};
use crate::setting::{NAME, SETTLED, Setting};

const PLATFORM: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001";

/// The actions of a role as it ships.
fn shipped(file: &str) -> Result<Vec<String>> {
    let path = repository().join("deploy/azure").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let role: Value = serde_json::from_str(&text)?;
    let actions = role["Actions"].as_array().context("a role has actions")?;
    Ok(actions.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The demo's world, in which the operator has the shipped roles on these scopes.
fn with_roles(registry: &str, leave_out: &str) -> Result<TestbedOptions> {
    let mut world = worlds::demo()?;
    let managed = Simulator::new(world.seed.clone()).with_world(|w| {
        let body = w.get(registry).map(|r| r.body.clone()).unwrap_or_default();
        body.pointer("/properties/managedResourceGroup/resourceId")
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    let managed = managed.context("the registry has a managed resource group")?;
    let network =
        |name: &str| format!("{PLATFORM}/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/{name}");
    let subscription = registry.split("/resourceGroups").next().unwrap_or_default().to_owned();
    let assigned = [
        ("registry.json", registry.to_owned()),
        ("managed-group.json", managed),
        ("endpoints.json", format!("{PLATFORM}/resourceGroups/network")),
        ("networks.json", network("hub")),
        ("networks.json", network("spoke-a")),
        ("zones.json", format!("{PLATFORM}/resourceGroups/dns")),
        ("subscription.json", PLATFORM.to_owned()),
        ("subscription.json", subscription),
    ];
    let mut roles = Vec::new();
    for (file, scope) in assigned {
        let mut actions = shipped(file)?;
        actions.retain(|action| action != leave_out);
        roles.push(RoleSeed {
            actions,
            scope,
            ..RoleSeed::default()
        });
    }
    let operator = world.seed.principals.iter_mut().find(|p| p.name == OPERATOR);
    operator.context("the world has an operator")?.roles = roles;
    Ok(world)
}

fn registry() -> Result<String> {
    Ok(crate::setting::example(|_| ())?.spec.registry.resource_id)
}

/// Calls to Azure that were refused for want of a right.
fn refused(setting: &Setting) -> Vec<String> {
    let journal = setting.testbed.simulator().journal().snapshot();
    let requests = journal.iter().filter_map(|record| match &record.entry {
        Entry::Request(request) => Some(request),
        Entry::Change(_) | Entry::Dns(_) | Entry::Stream(_) => None,
    });
    requests
        .filter(|r| {
            r.error_code
                .as_deref()
                .is_some_and(|c| c.contains("AuthorizationFailed"))
        })
        .map(|r| format!("{} {} {:?}", r.method, r.path, r.error_code))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_roles_suffice_from_public_to_locked_through_an_emergency_and_to_the_end() -> Result<()> {
    let setting = Setting::new(with_roles(&registry()?, "")?).await?;
    setting
        .apply(|o| o["spec"]["deletionPolicy"] = json!("DeleteEndpoints"))
        .await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;

    let jane = person(&setting, NAMESPACE, "jane", &["secureregistry-break-glass"]).await?;
    create(&jane, &glass("incident", NAME, "jane", "15s"))
        .await
        .map_err(anyhow::Error::msg)?;
    setting.testbed.await_state(NAME, &["BreakGlass"], SETTLED).await?;
    let open = oracle::closed(setting.testbed.simulator(), &setting.registry()?);
    ensure!(open.iter().all(|(_, closed)| !closed), "everything is open: {open:?}");
    told(&setting, "incident", BreakGlassPhase::Expired, "").await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()?;

    setting
        .apply(|o| {
            o["spec"]["deletionPolicy"] = json!("DeleteEndpoints");
            o["spec"]["publicAccess"] = json!({"desired": "Enabled"});
        })
        .await?;
    setting.testbed.await_state(NAME, &["Open"], SETTLED).await?;
    setting.delete().await?;
    ensure!(setting.our_endpoints().is_empty(), "{:?}", setting.our_endpoints());
    ensure!(refused(&setting).is_empty(), "{:?}", refused(&setting));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_at_the_end_of_the_way_is_told_before_the_first_endpoint() -> Result<()> {
    let missing = "Microsoft.ContainerRegistry/registries/write";
    let setting = Setting::new(with_roles(&registry()?, missing)?).await?;
    setting.apply(|_| ()).await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = sreg_testbed::objects::ready(&object);
    ensure!(
        message.contains(missing) && message.contains("az role assignment create"),
        "{message}"
    );
    ensure!(setting.our_endpoints().is_empty(), "{:?}", setting.our_endpoints());
    setting.assert_never_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_see_policies_nothing_is_locked_and_the_right_is_named() -> Result<()> {
    let missing = "Microsoft.Authorization/policyAssignments/read";
    let setting = Setting::new(with_roles(&registry()?, missing)?).await?;
    setting.apply(|_| ()).await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = sreg_testbed::objects::ready(&object);
    ensure!(message.contains(missing), "{message}");
    setting.assert_never_closed()
}
