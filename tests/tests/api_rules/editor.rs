//! Who changed a spec last: the annotation says it, or says nothing.

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sreg_api::names::ANNOTATION_SPEC_EDITED_BY;
use sreg_testkit::{ControlPlane, eventually};

use super::{SOON, account, api, expect, object, operator, plane, refusal, repository, rules};

fn user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn editor(object: &DynamicObject) -> Option<&str> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION_SPEC_EDITED_BY).map(String::as_str)
}

fn registry(namespace: &str, name: &str, editor: Option<&str>) -> Result<DynamicObject> {
    let mut registry = object(rules().good["SecureRegistry"].clone(), namespace, name)?;
    let named = |editor: &str| [(ANNOTATION_SPEC_EDITED_BY.to_owned(), editor.to_owned())].into();
    registry.metadata.annotations = editor.map(named);
    Ok(registry)
}

async fn patch(client: &Client, namespace: &str, body: &Value) -> Result<Result<DynamicObject, kube::Error>> {
    let registries = api(client, "SecureRegistry", namespace)?;
    Ok(registries
        .patch("models", &PatchParams::default(), &Patch::Merge(body))
        .await)
}

fn settle(time: &str) -> Value {
    json!({"spec": {"verification": {"dnsSettle": time}}})
}

fn annotated(mut body: Value, editor: &str) -> Value {
    body["metadata"] = json!({"annotations": {ANNOTATION_SPEC_EDITED_BY: editor}});
    body
}

#[tokio::test]
async fn nobody_writes_that_somebody_else_changed_the_spec() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("editor").await?;
    let jane = account(plane, &namespace, "jane").await?;
    let joe = account(plane, &namespace, "joe").await?;
    let (jane_is, joe_is) = (user(&namespace, "jane"), user(&namespace, "joe"));
    let says = Some("says who changed the spec last");
    let registries = api(&jane, "SecureRegistry", &namespace)?;
    let forged = registry(&namespace, "models", Some(&joe_is))?;
    eventually(SOON, "the policy on editors", || async {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = refusal(registries.create(&dry, &forged).await).map_err(|e| e.to_string())?;
        expect("a creation in another's name", answer, says).map_err(|e| e.to_string())
    })
    .await?;
    let own = registry(&namespace, "models", Some(&jane_is))?;
    registries.create(&PostParams::default(), &own).await?;
    for (what, body, refused) in [
        ("a change in another's name", annotated(settle("2h"), &joe_is), true),
        ("another's name, and no change", annotated(json!({}), &joe_is), true),
        ("her own name", annotated(settle("2h"), &jane_is), false),
        ("the same once more", annotated(json!({}), &jane_is), false),
    ] {
        let said = refusal(patch(&jane, &namespace, &body).await?)?;
        expect(what, said, says.filter(|_| refused))?;
    }
    // Joe's change in Jane's name, by saying nothing.
    expect(
        "a change under her name",
        refusal(patch(&joe, &namespace, &settle("3h")).await?)?,
        says,
    )?;
    let nobody = json!({"metadata": {"annotations": {ANNOTATION_SPEC_EDITED_BY: null}}});
    let changed = patch(&joe, &namespace, &nobody).await??;
    assert_eq!(editor(&changed), None);
    expect(
        "a change that names nobody",
        refusal(patch(&joe, &namespace, &settle("3h")).await?)?,
        None,
    )?;
    let said = refusal(patch(&joe, &namespace, &annotated(json!({}), &joe_is)).await?)?;
    expect("a name without a change", said, says)
}

/// The committed policy, for one namespace: the server is every test's.
async fn install(plane: &ControlPlane, namespace: &str) -> Result<()> {
    let path = repository().join("deploy/editor/spec-editor.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let rules = "matchConstraints:\n";
    anyhow::ensure!(text.contains(rules), "no match constraints in {text}");
    let here = format!(
        "{rules}    namespaceSelector:\n      matchLabels:\n        kubernetes.io/metadata.name: {namespace}\n"
    );
    plane.apply_yaml(&text.replace(rules, &here)).await?;
    Ok(())
}

#[tokio::test]
async fn the_server_writes_down_who_changed_the_spec_last() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("stamped").await?;
    install(plane, &namespace).await?;
    let jane = account(plane, &namespace, "jane").await?;
    let joe = account(plane, &namespace, "joe").await?;
    let (jane_is, joe_is) = (user(&namespace, "jane"), user(&namespace, "joe"));
    let registries = api(&jane, "SecureRegistry", &namespace)?;
    let plain = registry(&namespace, "models", None)?;
    eventually(SOON, "the policy that writes down editors", || async {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let made = registries.create(&dry, &plain).await.map_err(|e| e.to_string())?;
        match editor(&made) {
            Some(_) => Ok(()),
            None => Err("nothing is written down".to_owned()),
        }
    })
    .await?;
    // A restored backup, or a manifest that was saved with it, names whoever it was once.
    let saved = registry(&namespace, "models", Some(&joe_is))?;
    let made = registries.create(&PostParams::default(), &saved).await?;
    assert_eq!(editor(&made), Some(jane_is.as_str()));
    let label = json!({"metadata": {"labels": {"team": "ml"}}});
    for (what, client, body, is) in [
        ("a label", &joe, label, &jane_is),
        ("a name without a change", &joe, annotated(json!({}), &joe_is), &jane_is),
        ("a change", &joe, settle("2h"), &joe_is),
        (
            "a change in another's name",
            &jane,
            annotated(settle("3h"), &joe_is),
            &jane_is,
        ),
    ] {
        let changed = patch(client, &namespace, &body)
            .await?
            .with_context(|| what.to_owned())?;
        assert_eq!(editor(&changed), Some(is.as_str()), "{what}");
    }
    // The operator, and whoever replaces the object by what they have, change nothing.
    let mut whole = registries.get("models").await?;
    whole.metadata.annotations = None;
    whole.metadata.managed_fields = None;
    let replaced = api(&joe, "SecureRegistry", &namespace)?
        .replace("models", &PostParams::default(), &whole)
        .await?;
    assert_eq!(editor(&replaced), Some(jane_is.as_str()));
    let operator = operator(plane).await?;
    let finalizers = json!({"metadata": {"finalizers": [sreg_api::names::FINALIZER]}});
    let held = patch(&operator, &namespace, &finalizers).await??;
    assert_eq!(editor(&held), Some(jane_is.as_str()));
    // What GitOps does: server-side apply of the same manifest, again and again.
    let apply = PatchParams::apply("gitops").force();
    for time in ["5h", "5h", "5h"] {
        let mut manifest = rules().good["SecureRegistry"].clone();
        manifest["metadata"] = json!({"name": "models"});
        manifest["spec"]["verification"] = json!({"dnsSettle": time});
        let joes = api(&joe, "SecureRegistry", &namespace)?;
        let applied = joes.patch("models", &apply, &Patch::Apply(&manifest)).await?;
        assert_eq!(editor(&applied), Some(joe_is.as_str()));
    }
    Ok(())
}
