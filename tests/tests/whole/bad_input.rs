//! Objects that pass admission but cannot be carried out, and an Azure that answers nonsense.

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;
use sreg_api::SecureRegistry;
use sreg_testbed::{NAMESPACE, repository, worlds};
use sreg_testkit::eventually;

use crate::setting::{NAME, SETTLED, Setting, example};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_out_is_stalled_with_a_reason_and_harms_nobody_else() -> Result<()> {
    let setting = Setting::demo().await?;
    let absent = example(|o| {
        o["metadata"]["name"] = json!("absent");
        let id = o["spec"]["registry"]["resourceId"]
            .as_str()
            .unwrap_or_default()
            .replace("contosoreg", "nosuchreg");
        o["spec"]["registry"]["resourceId"] = json!(id);
    })?;
    setting.create(&absent).await?;
    let object = setting.testbed.await_state("absent", &["Stalled"], SETTLED).await?;
    ensure!(
        sreg_testbed::objects::ready(&object).1.contains("nosuchreg"),
        "{:?}",
        sreg_testbed::objects::ready(&object)
    );
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    // A second object for the same registry: says who holds it.
    let second = example(|o| o["metadata"]["name"] = json!("second"))?;
    setting.create(&second).await?;
    let object = setting.testbed.await_state("second", &["Stalled"], SETTLED).await?;
    ensure!(
        sreg_testbed::objects::ready(&object).1.contains(NAME),
        "{:?}",
        sreg_testbed::objects::ready(&object)
    );
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subnet_that_does_not_exist_is_stalled_and_named() -> Result<()> {
    let setting = Setting::demo().await?;
    setting
        .apply(|o| {
            let id = o["spec"]["endpoints"][0]["subnetResourceId"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            o["spec"]["endpoints"][0]["subnetResourceId"] = json!(format!("{id}-none"));
        })
        .await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    ensure!(
        sreg_testbed::objects::ready(&object).1.contains("-none"),
        "{:?}",
        sreg_testbed::objects::ready(&object)
    );
    setting.assert_never_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_from_azure_is_an_error_of_that_call_with_its_correlation_id() -> Result<()> {
    let setting = Setting::demo().await?;
    let registry = setting.registry()?;
    setting.apply(|_| ()).await?;
    for (kind, effect) in [
        ("an HTML page", json!({"html": {"status": 502}})),
        ("truncated JSON", json!({"truncatedJson": {}})),
        (
            "an error in a 200",
            json!({"okWithError": {"code": "InternalServerError", "message": "something broke"}}),
        ),
    ] {
        let rule = json!({"method": "GET", "path": registry, "effect": effect});
        setting.testbed.simulator().inject(serde_json::from_value(rule)?);
        eventually(
            SETTLED,
            format!("{kind} to be reported with its correlation id"),
            || async {
                let object = setting
                    .testbed
                    .registries()
                    .get(NAME)
                    .await
                    .map_err(|e| e.to_string())?;
                let waits = object.status.unwrap_or_default().waiting_for;
                let told = waits
                    .iter()
                    .any(|w| w.message.contains("contosoreg") && w.message.contains("correlation id"));
                if told { Ok(()) } else { Err(format!("{waits:?}")) }
            },
        )
        .await?;
        setting.testbed.simulator().clear_faults();
        eventually(SETTLED, "the operator to go on", || async {
            let object = setting
                .testbed
                .registries()
                .get(NAME)
                .await
                .map_err(|e| e.to_string())?;
            let (state, message) = sreg_testbed::objects::ready(&object);
            if message.contains("correlation id") {
                Err(format!("{state}: {message}"))
            } else {
                Ok(())
            }
        })
        .await?;
    }
    setting.locked().await?;
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_cannot_be_parsed_harms_only_itself() -> Result<()> {
    let setting = Setting::demo().await?;
    // Stored under an earlier, laxer schema; the operator's types cannot hold it.
    let definitions: Api<CustomResourceDefinition> = Api::all(setting.testbed.client.clone());
    let lax = json!({"spec": {"versions": [{
        "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
    }]}});
    definitions
        .patch(
            "secureregistries.secureregistry.dev",
            &PatchParams::default(),
            &Patch::Merge(&lax),
        )
        .await?;
    let broken: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
        "metadata": {"name": "broken", "namespace": NAMESPACE},
        "spec": {"registry": 7, "endpoints": "none"}
    }))?;
    let kind = ApiResource::erase::<SecureRegistry>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(setting.testbed.client.clone(), NAMESPACE, &kind);
    eventually(SETTLED, "the lax schema to be in force", || async {
        objects
            .create(&PostParams::default(), &broken)
            .await
            .map(|_| ())
            .map_err(|e| e.to_string())
    })
    .await?;
    setting
        .testbed
        .plane
        .install_crds(repository().join("deploy/crds"))
        .await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_are_stalled_with_what_to_grant() -> Result<()> {
    let mut world = worlds::demo()?;
    for principal in &mut world.seed.principals {
        principal.roles.clear();
    }
    let setting = Setting::new(world).await?;
    setting.apply(|_| ()).await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = sreg_testbed::objects::ready(&object);
    ensure!(
        message.contains("grant") && message.contains("AuthorizationFailed"),
        "{message}"
    );
    setting.assert_never_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_already_linked_to_another_zone_of_the_name_is_stalled_and_told_which() -> Result<()> {
    let setting = Setting::demo().await?;
    setting
        .testbed
        .plane
        .apply_yaml(
            "apiVersion: secureregistry.dev/v1alpha1\nkind: RegistryGrant\nmetadata: {name: sandbox}\nspec:\n  namespaces: {names: [ml-platform]}\n  virtualNetworks: [{scope: /subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/sandbox, uses: [Links, Clients]}]\n",
        )
        .await?;
    setting
        .apply(|o| {
            // The sandbox is linked to its own team's blob zone.
            let sandbox = o["spec"]["clientNetworks"][0]["virtualNetworkResourceId"]
                .as_str()
                .unwrap_or_default();
            let sandbox = sandbox
                .replace("/resourceGroups/network/", "/resourceGroups/sandbox/")
                .replace("/hub", "/sandbox");
            let links = &mut o["spec"]["endpoints"][0]["dns"]["linkVirtualNetworks"];
            links.as_array_mut().unwrap().push(json!(sandbox));
            o["spec"]["unprovenNetworks"] =
                json!([{"virtualNetworkResourceId": sandbox, "reason": "no clients there"}]);
        })
        .await?;
    let object = setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let (_, message) = sreg_testbed::objects::ready(&object);
    ensure!(
        message.contains("sandbox") && message.contains("privatelink.blob"),
        "{message}"
    );
    setting.assert_never_closed()
}
