//! Whose registry it is, on the real control plane: a user with the shipped roles in a namespace of his own tries what he was not
//! granted. Every attack ends in a refusal that says what is missing, and the simulator's journal knows of no request that nobody else asked.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sreg_api::names::OPERATOR_NAMESPACE;
use sreg_api::{BreakGlass, BreakGlassPhase, RegistryGrant, SecureRegistry};
use sreg_testbed::objects::ready;
use sreg_testbed::{NAMESPACE, oracle, repository};
use sreg_testkit::eventually;

use crate::break_glass::{glass, person};
use crate::setting::{NAME, SETTLED, Setting, example};

const RIVALS: &str = "rivals";
/// A registry that no grant covers and that no other object names.
const UNASKED: &str = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/sandbox/providers/Microsoft.MachineLearningServices/registries/unasked";

/// An editor of another namespace: declares, approves and breaks glass there, by the shipped roles.
async fn mallory(setting: &Setting) -> Result<Client> {
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {RIVALS}}}\n");
    let made = setting.testbed.plane.apply_yaml(&namespace).await;
    made.context("make the rivals' namespace")?;
    let roles = ["view", "edit", "break-glass", "approve"].map(|role| format!("secureregistry-{role}"));
    person(setting, RIVALS, "mallory", &roles.each_ref().map(String::as_str)).await
}

fn theirs(change: impl FnOnce(&mut Value)) -> Result<SecureRegistry> {
    example(|object| {
        object["metadata"] = json!({"name": "mine", "namespace": RIVALS});
        change(object);
    })
}

/// Declares an object as that user and waits until it is refused with this sentence.
async fn refused(user: &Client, object: &SecureRegistry, says: &str) -> Result<SecureRegistry> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<SecureRegistry> = Api::namespaced(user.clone(), &namespace);
    let apply = PatchParams::apply("mallory").force();
    let applied = api
        .patch(&object.name_any(), &apply, &Patch::Apply(object))
        .await
        .context("apply")?;
    eventually(
        SETTLED,
        format!("{} to be refused: {says}", object.name_any()),
        || async {
            let now = api.get(&applied.name_any()).await.map_err(|e| e.to_string())?;
            let (state, message) = ready(&now);
            let current = now.status.as_ref().and_then(|s| s.observed_generation) == now.metadata.generation;
            if current && state == "Stalled" && message.contains(says) {
                Ok(now)
            } else {
                Err(format!("{state}: {message}"))
            }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_of_another_namespace_opens_sees_and_claims_nothing() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let user = mallory(&setting).await?;
    let mark = setting.testbed.simulator().journal().last();
    // F1: to open another team's registry; F7: to look at it.
    let opens = theirs(|o| {
        o["spec"]["publicAccess"] = json!({"desired": "Enabled"});
        o["spec"]["endpoints"] = json!([]);
        o["spec"]["clientNetworks"] = json!([]);
    })?;
    let looks = theirs(|o| {
        o["metadata"]["name"] = json!("looks");
        o["spec"] = json!({"registry": o["spec"]["registry"], "managementPolicy": "Observe"});
    })?;
    // One that nobody else asks for: not even a read goes out.
    let unasked = theirs(|o| {
        o["metadata"]["name"] = json!("unasked");
        o["spec"] = json!({"registry": {"resourceId": UNASKED}, "managementPolicy": "Observe"});
    })?;
    for object in [opens, looks, unasked] {
        let says = format!("no RegistryGrant lets namespace {RIVALS} look at registry");
        let now = refused(&user, &object, &says).await?;
        let status = serde_json::to_value(now.status.unwrap_or_default())?;
        for field in [
            "publicAccess",
            "endpoints",
            "grants",
            "findings",
            "snapshot",
            "operations",
        ] {
            ensure!(status[field].is_null(), "{field}: {status:#}");
        }
        let text = status.to_string();
        ensure!(!text.contains("10.0.1.") && !text.contains("contosoreg8"), "{text}");
    }
    let journal = setting.testbed.simulator().journal().snapshot();
    let reads = oracle::reads_since(&journal, mark, &UNASKED.to_lowercase());
    ensure!(reads == 0, "{reads} reads of a registry that nobody may name");
    // Nor in an emergency.
    let glasses: Api<BreakGlass> = Api::namespaced(user.clone(), RIVALS);
    let mut fire = glass("fire", "mine", "mallory", "1h");
    fire.metadata.namespace = Some(RIVALS.into());
    glasses
        .create(&PostParams::default(), &fire)
        .await
        .context("break the glass")?;
    eventually(SETTLED, "the glass to be told that it has no effect", || async {
        let told = glasses
            .get("fire")
            .await
            .map_err(|e| e.to_string())?
            .status
            .unwrap_or_default();
        if told.phase == BreakGlassPhase::Ignored && told.message.contains("no RegistryGrant") {
            Ok(())
        } else {
            Err(format!("{}: {}", told.phase, told.message))
        }
    })
    .await?;
    // The owner deletes and declares anew: in between nobody else takes the registry.
    setting.delete().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_own_namespace_was_not_granted_is_refused_field_by_field() -> Result<()> {
    let setting = Setting::demo().await?;
    let admin = setting.testbed.client.clone();
    let mark = setting.testbed.simulator().journal().last();
    let sandbox = "/subscriptions/0a000000-0000-4000-8000-000000000001/resourceGroups/sandbox";
    let storage = format!("{sandbox}/providers/Microsoft.Storage/storageAccounts/sandboxdata");
    let network = format!("{sandbox}/providers/Microsoft.Network/virtualNetworks/sandbox");
    type Change = Box<dyn FnOnce(&mut Value)>;
    let attacks: [(&str, Change); 4] = [
        // F2: a rule on anybody's storage.
        (
            "spec.sharing: no RegistryGrant lets namespace ml-platform put a resource rule on storage account",
            {
                let storage = storage.clone();
                Box::new(move |o| o["spec"]["sharing"] = json!({"workspaceStorageAccountResourceIds": [storage]}))
            },
        ),
        // F6: endpoints in others' subnets, links of others' networks.
        (
            "no RegistryGrant lets namespace ml-platform put private endpoints into subnet",
            {
                let network = network.clone();
                Box::new(move |o| {
                    o["spec"]["endpoints"][0]["subnetResourceId"] = json!(format!("{network}/subnets/endpoints"));
                })
            },
        ),
        (
            "no RegistryGrant lets namespace ml-platform link private DNS zones to virtual network",
            {
                let network = network.clone();
                Box::new(move |o| {
                    let links = o["spec"]["endpoints"][0]["dns"]["linkVirtualNetworks"].as_array_mut();
                    if let Some(links) = links {
                        links.push(json!(network));
                    }
                    let reason = json!([{"virtualNetworkResourceId": network, "reason": "nobody is there"}]);
                    o["spec"]["unprovenNetworks"] = reason;
                })
            },
        ),
        (
            "no RegistryGrant lets namespace ml-platform use VantagePoint elsewhere",
            { Box::new(|o| o["spec"]["clientNetworks"][0]["vantagePoint"] = json!("elsewhere")) },
        ),
    ];
    // F11: a gate that a grant forbids to choose.
    let grants: Api<RegistryGrant> = Api::all(admin.clone());
    let demand = |requires: Value| {
        let (grants, patch) = (grants.clone(), Patch::Merge(json!({"spec": {"requires": requires}})));
        async move { grants.patch("ml-platform", &PatchParams::default(), &patch).await }
    };
    demand(json!({"forbiddenFields": ["spec.unprovenNetworks"]})).await?;
    let unproven = example(|o| {
        let network = json!([{"virtualNetworkResourceId": network, "reason": "nobody is there"}]);
        o["spec"]["unprovenNetworks"] = network;
    })?;
    let says = "spec.unprovenNetworks: RegistryGrant ml-platform forbids this field";
    refused(&admin, &unproven, says).await?;
    demand(json!({"forbiddenFields": []})).await?;
    for (says, change) in attacks {
        let object = example(change)?;
        refused(&admin, &object, says).await?;
    }
    ensure!(
        setting.writes_since(mark).is_empty(),
        "{:?}",
        setting.writes_since(mark)
    );
    // Put right, it is carried out; what a grant demands holds although the spec says less.
    demand(json!({
        "lockdownApproval": true,
        "minimumConsecutiveSuccesses": 4,
        "minimumDnsSettle": "7s",
    }))
    .await?;
    setting.apply(|_| ()).await?;
    let waiting = setting
        .testbed
        .await_state(NAME, &["AwaitingApproval"], SETTLED)
        .await?;
    let status = waiting.status.clone().unwrap_or_default();
    ensure!(status.grants.as_deref() == Some("ml-platform"), "{:?}", status.grants);
    let demanded = status.findings.iter().find(|f| f.reason == "GrantDemands");
    let demanded = demanded.map(|f| f.message.clone()).unwrap_or_default();
    for demand in ["dnsSettle", "consecutiveSuccesses"] {
        ensure!(demanded.contains(demand), "{demand}: {demanded:?}");
    }
    // Taken away: what was begun stands still, and nothing is closed or opened.
    grants.delete("ml-platform", &DeleteParams::default()).await?;
    setting.testbed.await_state(NAME, &["Stalled"], SETTLED).await?;
    let mark = setting.testbed.simulator().journal().last();
    setting.testbed.grant().await?;
    setting.locked().await?;
    ensure!(
        !setting.writes_since(mark).is_empty(),
        "it went on once it was granted again"
    );
    setting.assert_locked_with_proof()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_write_in_the_operators_namespace_still_makes_no_claim_snapshot_leader_or_grant() -> Result<()> {
    let setting = Setting::demo().await?;
    setting.apply(|_| ()).await?;
    setting.locked().await?;
    let user = setting.testbed.namespace_admin(OPERATOR_NAMESPACE, "trudy").await?;
    let leases: Api<Lease> = Api::namespaced(user.clone(), OPERATOR_NAMESPACE);
    let maps: Api<ConfigMap> = Api::namespaced(user.clone(), OPERATOR_NAMESPACE);
    let lists = ListParams::default();
    let claim = leases
        .list(&lists)
        .await?
        .items
        .into_iter()
        .find(|l| l.name_any().starts_with("sreg-"));
    let claim = claim.context("there is a claim")?;
    let snapshot = maps
        .list(&lists)
        .await?
        .items
        .into_iter()
        .find(|m| m.name_any().starts_with("sreg-snapshot-"));
    let snapshot = snapshot.context("there is a snapshot")?;
    let merge = |value: Value| Patch::Merge(value);
    let params = PatchParams::default();
    let stolen = json!({"spec": {"holderIdentity": "rivals/mine/0"}});
    // No other replica stands for election here: its Lease would have to be made.
    let leader = json!({"metadata": {"name": "secure-registry-operator"}, "spec": {"holderIdentity": "trudy"}});
    let leader: Lease = serde_json::from_value(leader)?;
    // The leader's Lease of an installation with --lease-name, or that of the operator's own vantage point.
    let mut others = [leader.clone(), leader.clone()];
    for (lease, name) in others.iter_mut().zip(["another-leader", "vantage-point-hub"]) {
        lease.metadata.name = Some(name.into());
    }
    let attempts = [
        leases
            .patch(&claim.name_any(), &params, &merge(stolen.clone()))
            .await
            .map(drop),
        leases
            .delete(&claim.name_any(), &DeleteParams::default())
            .await
            .map(drop),
        leases.create(&PostParams::default(), &leader).await.map(drop),
        leases.create(&PostParams::default(), &others[0]).await.map(drop),
        leases.create(&PostParams::default(), &others[1]).await.map(drop),
        maps.patch(
            &snapshot.name_any(),
            &params,
            &merge(json!({"data": {"snapshot.json": "{}"}})),
        )
        .await
        .map(drop),
        maps.delete(&snapshot.name_any(), &DeleteParams::default())
            .await
            .map(drop),
    ];
    for attempt in attempts {
        let error = attempt.err().context("it was admitted")?.to_string();
        ensure!(error.contains("whoever may create RegistryGrants"), "{error}");
    }
    // What is not the operator's is none of the policies' business.
    let own = serde_json::from_value(json!({"metadata": {"name": "notes"}, "data": {"a": "b"}}))?;
    maps.create(&PostParams::default(), &own)
        .await
        .context("a ConfigMap of his own")?;
    let grants: Api<RegistryGrant> = Api::all(user);
    let text = std::fs::read_to_string(repository().join("examples/demo/grant.yaml"))?;
    let mut grant: RegistryGrant = serde_saphyr::from_str(&text)?;
    grant.metadata.name = Some("mine".into());
    let error = grants
        .create(&PostParams::default(), &grant)
        .await
        .err()
        .context("it was admitted")?;
    ensure!(error.to_string().contains("forbidden"), "{error}");
    // An administrator repairs by hand.
    let admin: Api<Lease> = Api::namespaced(setting.testbed.client.clone(), OPERATOR_NAMESPACE);
    admin
        .delete(&claim.name_any(), &DeleteParams::default())
        .await
        .context("an administrator frees a claim")?;
    let api: Api<SecureRegistry> = Api::namespaced(setting.testbed.client.clone(), NAMESPACE);
    api.get(NAME).await?;
    Ok(())
}
