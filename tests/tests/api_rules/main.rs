//! What a real API server makes of the shipped definitions and policies: it accepts them, refuses each bad object with the
//! sentence that says what to write instead, and lets only those write who may. The definitions and policies are the
//! committed files; the cases are those that `crates/api/tests/validation.rs` evaluates without a server.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sreg_api::names::{FINALIZER, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use sreg_api_cases::{rules, set};
use sreg_testkit::{ControlPlane, eventually};
use tokio::sync::OnceCell;

mod editor;
mod sizes;

const SOON: Duration = Duration::from_secs(60);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn resource(kind: &str) -> Result<(ApiResource, bool)> {
    let definitions = sreg_api::crd::definitions();
    let definition = definitions
        .iter()
        .find(|it| it.spec.names.kind == kind)
        .with_context(|| format!("no kind {kind}"))?;
    let resource = ApiResource {
        group: sreg_api::GROUP.into(),
        version: sreg_api::VERSION.into(),
        api_version: format!("{}/{}", sreg_api::GROUP, sreg_api::VERSION),
        kind: kind.into(),
        plural: definition.spec.names.plural.clone(),
    };
    Ok((resource, definition.spec.scope == "Namespaced"))
}

fn api(client: &Client, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
    let (resource, namespaced) = resource(kind)?;
    Ok(if namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    })
}

fn object(mut value: Value, namespace: &str, name: &str) -> Result<DynamicObject> {
    value["metadata"]["name"] = json!(name);
    if resource(value["kind"].as_str().unwrap_or_default())?.1 {
        value["metadata"]["namespace"] = json!(namespace);
    }
    Ok(serde_json::from_value(value)?)
}

/// The server's answer to a write: what it said if it refused.
fn refusal<T>(answer: Result<T, kube::Error>) -> Result<Option<String>> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("ask the API server"),
    }
}

fn expect(what: &str, said: Option<String>, says: Option<&str>) -> Result<()> {
    match (&said, says) {
        (None, None) => Ok(()),
        (Some(said), Some(says)) if said.contains(says) => Ok(()),
        _ => bail!("{what}: expected {says:?}, the server said {said:?}"),
    }
}

/// A server of our own with definitions, policies and the operator's ServiceAccount: policies are the cluster's, so no
/// other test may share it.
async fn plane() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<Result<(), String>> = OnceCell::const_new();
    let plane = ControlPlane::shared().await?;
    let prepare = || async { prepare(plane).await.map_err(|error| format!("{error:#}")) };
    PREPARED
        .get_or_init(prepare)
        .await
        .clone()
        .map_err(anyhow::Error::msg)?;
    Ok(plane)
}

async fn prepare(plane: &ControlPlane) -> Result<()> {
    let deploy = repository().join("deploy");
    plane
        .install_crds(deploy.join("crds"))
        .await
        .context("install the committed definitions")?;
    plane
        .apply_path(deploy.join("policies"))
        .await
        .context("install the committed policies")?;
    plane.apply_path(deploy.join("base/namespace.yaml")).await?;
    plane.apply_path(deploy.join("base/service-account.yaml")).await?;
    // Everybody may do everything as far as RBAC goes: what is refused is refused by a policy.
    let everybody = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: everybody-may-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: 'system:authenticated', apiGroup: rbac.authorization.k8s.io}]
";
    plane.apply_yaml(everybody).await?;
    // A policy comes into force a moment after it was accepted, each by itself.
    let admin = plane.admin_client().await?;
    for (kind, field) in [
        ("BreakGlass", "/spec/requestedBy"),
        ("ChangeApproval", "/spec/approvedBy"),
    ] {
        in_force(&admin, kind, field, &json!("nobody"), "must be the user who creates").await?;
    }
    in_force(
        &admin,
        "ConnectivityProbe",
        "/spec/round",
        &json!(1),
        "only the operator",
    )
    .await?;
    let registries = api(&admin, "SecureRegistry", "default")?;
    let good = rules().good["SecureRegistry"].clone();
    registries
        .create(&PostParams::default(), &object(good.clone(), "default", "in-force")?)
        .await?;
    let status = json!({"status": {"observedGeneration": 1}});
    eventually(SOON, "the policy on status", || async {
        refused(
            registries
                .patch_status("in-force", &PatchParams::default(), &Patch::Merge(&status))
                .await,
        )
    })
    .await?;
    let own = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    eventually(SOON, "the policy on the finalizer", || async {
        let patch = |body: Value| {
            let registries = &registries;
            async move {
                registries
                    .patch("in-force", &PatchParams::default(), &Patch::Merge(&body))
                    .await
            }
        };
        patch(own(json!([FINALIZER])))
            .await
            .map_err(|error| error.to_string())?;
        refused(patch(own(json!([]))).await)
    })
    .await?;
    Ok(())
}

fn refused<T>(answer: Result<T, kube::Error>) -> Result<(), String> {
    match answer {
        Ok(_) => Err("the write was admitted".into()),
        Err(kube::Error::Api(status)) if status.message.contains("only the operator") => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn in_force(client: &Client, kind: &str, field: &str, value: &Value, says: &str) -> Result<()> {
    let mut bad = rules().good[kind].clone();
    set(&mut bad, field, value);
    let bad = object(bad, "default", "in-force")?;
    let objects = api(client, kind, "default")?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually(SOON, format!("the policy on {kind}"), || async {
        match objects.create(&dry, &bad).await {
            Err(kube::Error::Api(status)) if status.message.contains(says) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// The operator, as the policies know it.
async fn operator(plane: &ControlPlane) -> Result<Client> {
    let kubeconfig = plane
        .kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT)
        .await?;
    plane.client(&kubeconfig).await
}

/// A ServiceAccount of `namespace`.
async fn account(plane: &ControlPlane, namespace: &str, name: &str) -> Result<Client> {
    let text = format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n");
    plane.apply_yaml(&text).await?;
    plane
        .client(&plane.kubeconfig_for_service_account(namespace, name).await?)
        .await
}

#[tokio::test]
async fn the_server_refuses_each_bad_object_with_what_to_write_instead() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("rules").await?;
    // The operator may write everything that a rule does not refuse; whoever asks and approves is the administrator.
    let (admin, operator) = (plane.admin_client().await?, operator(plane).await?);
    let who = |kind: &str| if kind == "ConnectivityProbe" { &operator } else { &admin };
    let rules = rules();
    for (kind, good) in &rules.good {
        let made = api(who(kind), kind, &namespace)?
            .create(&PostParams::default(), &object(good.clone(), &namespace, "rules-good")?)
            .await;
        expect(&format!("a good {kind}"), refusal(made)?, None)?;
    }
    let mut failures = Vec::new();
    for (number, case) in rules.cases.iter().enumerate() {
        let value = rules.object(case);
        let objects = api(who(&case.of), &case.of, &namespace)?;
        let answer = if case.update {
            let mut changed = object(value, &namespace, "rules-good")?;
            changed.metadata.resource_version = objects.get("rules-good").await?.metadata.resource_version;
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            objects.replace("rules-good", &dry, &changed).await
        } else {
            // A case about names brings its own.
            let named = case.set.get("/metadata/name").and_then(Value::as_str);
            let name = named.map_or_else(|| format!("rules-{number}"), str::to_owned);
            let object = object(value, &namespace, &name)?;
            objects.create(&PostParams::default(), &object).await
        };
        if let Err(failure) = expect(&case.name, refusal(answer)?, case.says.as_deref()) {
            failures.push(failure.to_string());
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn defaults_are_filled_in_outside_lists_only() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("defaults").await?;
    let mut value = rules().good["SecureRegistry"].clone();
    for field in [
        "/spec/verification",
        "/spec/drift",
        "/spec/endpoints/0/dns",
        "/spec/endpoints/0/approval",
    ] {
        set(&mut value, field, &Value::Null);
    }
    let objects = api(&plane.admin_client().await?, "SecureRegistry", &namespace)?;
    let made = objects
        .create(&PostParams::default(), &object(value, &namespace, "least")?)
        .await?;
    let spec = &made.data["spec"];
    assert_eq!(
        spec["verification"],
        json!({"consecutiveSuccesses": 3, "interval": "30s", "maxAge": "10m", "dnsSettle": "1h"})
    );
    assert_eq!(spec["publicAccess"]["desired"], "Disabled");
    assert_eq!(spec["managementPolicy"], "Enforce");
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(spec["drift"]["interval"], "10m");
    // Argo CD would show a default inside a list item as a difference for ever.
    let mut endpoint = spec["endpoints"][0]
        .as_object()
        .context("an endpoint")?
        .keys()
        .collect::<Vec<_>>();
    endpoint.sort();
    assert_eq!(endpoint, ["name", "subnetResourceId"]);
    Ok(())
}

#[tokio::test]
async fn only_the_operator_writes_what_probes_ask() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("probes").await?;
    let good = rules().good["ConnectivityProbe"].clone();
    let (operator, agent) = (operator(plane).await?, account(plane, &namespace, "agent").await?);
    let probes = |client: &Client| api(client, "ConnectivityProbe", &namespace);
    let create = |name: &str| object(good.clone(), &namespace, name);
    let only =
        Some("only the operator (secure-registry-system/secure-registry-operator) makes, changes and deletes probes");
    let post = PostParams::default();

    for client in [&agent, &plane.admin_client().await?] {
        expect(
            "forging a probe",
            refusal(probes(client)?.create(&post, &create("forged")?).await)?,
            only,
        )?;
    }
    probes(&operator)?.create(&post, &create("real")?).await?;
    let round = json!({"spec": {"round": 8}});
    let label = json!({"metadata": {"labels": {"secureregistry.dev/registry-uid": "another"}}});
    let merge = PatchParams::default();
    for patch in [&round, &label] {
        expect(
            "changing a probe",
            refusal(probes(&agent)?.patch("real", &merge, &Patch::Merge(patch)).await)?,
            only,
        )?;
    }
    expect(
        "deleting a probe",
        refusal(probes(&agent)?.delete("real", &DeleteParams::default()).await)?,
        only,
    )?;
    // The status is no way to the spec.
    let both = json!({"spec": {"round": 9}, "status": {"round": 9}});
    let written = probes(&agent)?
        .patch_status("real", &merge, &Patch::Merge(&both))
        .await?;
    assert_eq!(written.data["spec"]["round"], 7);

    probes(&operator)?.patch("real", &merge, &Patch::Merge(&round)).await?;
    // A cluster's own controllers clean up after a namespace, and may do no more.
    let collector = account(plane, "kube-system", "namespace-controller").await?;
    expect(
        "a controller's change",
        refusal(probes(&collector)?.patch("real", &merge, &Patch::Merge(&round)).await)?,
        None,
    )?;
    let forged = json!({"spec": {"round": 10}});
    expect(
        "a controller's forgery",
        refusal(probes(&collector)?.patch("real", &merge, &Patch::Merge(&forged)).await)?,
        only,
    )?;
    probes(&collector)?.delete("real", &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn only_its_own_service_account_writes_what_a_probe_found() -> Result<()> {
    let plane = plane().await?;
    let (here, elsewhere) = (plane.namespace("found").await?, plane.namespace("found").await?);
    let good = rules().good["ConnectivityProbe"].clone();
    let operator = operator(plane).await?;
    let probes = |client: &Client| api(client, "ConnectivityProbe", &here);
    probes(&operator)?
        .create(&PostParams::default(), &object(good, &here, "probe")?)
        .await?;
    let forged = json!({"status": {"round": 7, "summary": "3/3"}});
    let write = |client: Client| {
        let forged = forged.clone();
        let probes = probes(&client);
        async move {
            refusal(
                probes?
                    .patch_status("probe", &PatchParams::default(), &Patch::Merge(&forged))
                    .await,
            )
        }
    };
    let says =
        format!("only the vantage point hub-agent reports what it found: run its agent as ServiceAccount {here}/agent");
    for (who, client) in [
        (
            "another account of the namespace",
            account(plane, &here, "default").await?,
        ),
        (
            "an account of that name elsewhere",
            account(plane, &elsewhere, "agent").await?,
        ),
        ("the administrator", plane.admin_client().await?),
        ("the operator itself", operator),
    ] {
        expect(who, write(client).await?, Some(&says))?;
    }
    expect(
        "its own account",
        write(account(plane, &here, "agent").await?).await?,
        None,
    )
}

#[tokio::test]
async fn only_the_operator_writes_status_and_takes_its_finalizer_off() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("status").await?;
    let (admin, operator) = (plane.admin_client().await?, operator(plane).await?);
    let good = rules().good;
    let registries = |client: &Client| api(client, "SecureRegistry", &namespace);
    let emergencies = |client: &Client| api(client, "BreakGlass", &namespace);
    let post = PostParams::default();
    registries(&admin)?
        .create(&post, &object(good["SecureRegistry"].clone(), &namespace, "models")?)
        .await?;
    emergencies(&admin)?
        .create(&post, &object(good["BreakGlass"].clone(), &namespace, "incident")?)
        .await?;

    let merge = PatchParams::default();
    let locked = json!({"status": {"publicAccess": {"summary": "Locked"}}});
    let ended = json!({"status": {"phase": "Expired"}});
    let only = Some("only the operator (secure-registry-system/secure-registry-operator) writes this status");
    let locks = |api: Api<DynamicObject>| {
        let locked = locked.clone();
        async move {
            refusal(
                api.patch_status("models", &PatchParams::default(), &Patch::Merge(&locked))
                    .await,
            )
        }
    };
    expect("forging status", locks(registries(&admin)?).await?, only)?;
    expect("writing status", locks(registries(&operator)?).await?, None)?;
    expect(
        "forging an end",
        refusal(
            emergencies(&admin)?
                .patch_status("incident", &merge, &Patch::Merge(&ended))
                .await,
        )?,
        only,
    )?;
    expect(
        "writing an end",
        refusal(
            emergencies(&operator)?
                .patch_status("incident", &merge, &Patch::Merge(&ended))
                .await,
        )?,
        None,
    )?;

    let approvals = |client: &Client| api(client, "ChangeApproval", &namespace);
    let void = json!({"status": {"phase": "Void", "message": "something else would be done"}});
    approvals(&admin)?
        .create(&post, &object(good["ChangeApproval"].clone(), &namespace, "approved")?)
        .await?;
    for (what, client, expected) in [
        ("forging what an approval is good for", &admin, only),
        ("telling what an approval is good for", &operator, None),
    ] {
        let answer = approvals(client)?
            .patch_status("approved", &merge, &Patch::Merge(&void))
            .await;
        expect(what, refusal(answer)?, expected)?;
    }

    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    let change = |client: &Client, list: Value| {
        let api = registries(client);
        async move {
            refusal(
                api?.patch("models", &PatchParams::default(), &Patch::Merge(&finalizers(list)))
                    .await,
            )
        }
    };
    expect("its finalizer", change(&operator, json!([FINALIZER])).await?, None)?;
    expect(
        "another finalizer beside it",
        change(&admin, json!([FINALIZER, "example.com/own"])).await?,
        None,
    )?;
    let keeps = Some("removes the finalizer secureregistry.dev/release, once nothing in Azure carries its mark");
    expect(
        "taking ours off",
        change(&admin, json!(["example.com/own"])).await?,
        keeps,
    )?;
    expect("taking all off", change(&admin, Value::Null).await?, keeps)?;
    expect("taking theirs off", change(&admin, json!([FINALIZER])).await?, None)?;
    // People still change the spec.
    let observe = json!({"spec": {"managementPolicy": "Observe"}});
    expect(
        "a change of spec",
        refusal(
            registries(&admin)?
                .patch("models", &merge, &Patch::Merge(&observe))
                .await,
        )?,
        None,
    )?;
    expect("the operator's release", change(&operator, Value::Null).await?, None)
}

/// `kubectl replace` sends an object without finalizers. It passes, and nothing is lost by it: until the finalizer is back the
/// object stays, whoever wants it gone and however.
#[tokio::test]
async fn a_manifest_without_finalizers_replaces_an_object_and_nobody_deletes_that_before_its_finalizer_is_back()
-> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("replaced").await?;
    let (admin, operator) = (plane.admin_client().await?, operator(plane).await?);
    let registries = |client: &Client| api(client, "SecureRegistry", &namespace);
    let manifest = object(rules().good["SecureRegistry"].clone(), &namespace, "models")?;
    registries(&admin)?.create(&PostParams::default(), &manifest).await?;
    let replace = |client: &Client| {
        let (api, mut manifest) = (registries(client), manifest.clone());
        async move {
            let api = api?;
            manifest.metadata.resource_version = api.get("models").await?.metadata.resource_version;
            refusal(api.replace("models", &PostParams::default(), &manifest).await)
        }
    };
    let merge = |client: &Client, body: Value| {
        let api = registries(client);
        async move {
            refusal(
                api?.patch("models", &PatchParams::default(), &Patch::Merge(&body))
                    .await,
            )
        }
    };
    let delete = |client: &Client| {
        let api = registries(client);
        async move { refusal(api?.delete("models", &DeleteParams::default()).await) }
    };
    let delete_all = |client: &Client| {
        let api = registries(client);
        async move {
            refusal(
                api?.delete_collection(&DeleteParams::default(), &ListParams::default())
                    .await,
            )
        }
    };
    let put_on = json!({"metadata": {"finalizers": [FINALIZER]}});
    expect(
        "the operator's finalizer",
        merge(&operator, put_on.clone()).await?,
        None,
    )?;
    // Nothing remembers it yet: whoever took it off now could delete the object unseen.
    expect(
        "replacing it at once",
        replace(&admin).await?,
        Some("replace the object again when it has a status"),
    )?;
    let remembered = json!({"status": {"observedGeneration": 1, "releaseRequired": true}});
    registries(&operator)?
        .patch_status("models", &PatchParams::default(), &Patch::Merge(&remembered))
        .await?;
    expect("replacing it", replace(&admin).await?, None)?;
    let replaced = registries(&admin)?.get("models").await?;
    ensure!(replaced.metadata.finalizers.is_none(), "{replaced:?}");
    ensure!(replaced.data["status"]["releaseRequired"] == true, "{replaced:?}");

    // Neither its owner, nor whoever cleans up after a namespace or after an owner of one's own making, nor the operator itself.
    let early = Some("delete it again in a moment, when the operator has put it back");
    for (who, client) in [
        ("an administrator", admin.clone()),
        (
            "the garbage collector",
            account(plane, "kube-system", "generic-garbage-collector").await?,
        ),
        (
            "the namespace controller",
            account(plane, "kube-system", "namespace-controller").await?,
        ),
        ("the operator", operator.clone()),
    ] {
        expect(who, delete(&client).await?, early)?;
        expect(who, delete_all(&client).await?, early)?;
    }
    // A second manifest in the same moment still passes.
    expect("replacing it again", replace(&admin).await?, None)?;

    expect("the finalizer again", merge(&operator, put_on).await?, None)?;
    expect("deleting it", delete(&admin).await?, None)?;
    let keeps =
        Some("removes the finalizer secureregistry.dev/release, once nothing in Azure carries its mark: wait for it");
    expect("replacing what is being deleted", replace(&admin).await?, keeps)?;
    expect("deleting it twice", delete(&admin).await?, None)?;
    let released = json!({"metadata": {"finalizers": null}});
    expect("taking it off", merge(&admin, released.clone()).await?, keeps)?;
    expect("the operator's release", merge(&operator, released).await?, None)?;
    ensure!(
        registries(&admin)?.get_opt("models").await?.is_none(),
        "it is still there"
    );

    // What the operator never put its finalizer on goes at once.
    registries(&admin)?.create(&PostParams::default(), &manifest).await?;
    let looked_at = json!({"status": {"observedGeneration": 1}});
    registries(&operator)?
        .patch_status("models", &PatchParams::default(), &Patch::Merge(&looked_at))
        .await?;
    expect("deleting what was never held", delete(&admin).await?, None)?;
    ensure!(
        registries(&admin)?.get_opt("models").await?.is_none(),
        "it is still there"
    );
    Ok(())
}

#[tokio::test]
async fn who_asks_and_who_approves_is_who_creates() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("people").await?;
    // Whoever may do everything may not lend out names either; nor does a name that the server makes up open a way round.
    for (user, group) in [("erin", None), ("chief", Some("system:masters"))] {
        let client = plane.client(&plane.kubeconfig_for_user(user, group)?).await?;
        for (kind, field) in [("BreakGlass", "requestedBy"), ("ChangeApproval", "approvedBy")] {
            let objects = api(&client, kind, &namespace)?;
            let mut value = rules().good[kind].clone();
            let create = |value: &Value, name: &str| object(value.clone(), &namespace, name);
            let mut generated = create(&value, "")?;
            (generated.metadata.name, generated.metadata.generate_name) = (None, Some("borrowed-".to_owned()));
            let says = format!("{field} must be the user who creates the {kind}: write {field}: {user}");
            for borrowed in [create(&value, "borrowed")?, generated] {
                let borrowed = objects.create(&PostParams::default(), &borrowed).await;
                expect("a borrowed name", refusal(borrowed)?, Some(&says))?;
            }
            set(&mut value, &format!("/spec/{field}"), &json!(user));
            let own = format!("{user}-own");
            objects.create(&PostParams::default(), &create(&value, &own)?).await?;
            let renamed = json!({"spec": {field: "admin"}});
            let renamed = objects
                .patch(&own, &PatchParams::default(), &Patch::Merge(&renamed))
                .await;
            expect("a name put in later", refusal(renamed)?, Some("cannot be changed"))?;
        }
    }
    Ok(())
}
