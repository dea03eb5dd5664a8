//! Who edited a spec last: of the current generation the annotation says it, or says nothing.

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
async fn nobody_writes_that_somebody_else_edited_the_spec() -> Result<()> {
    let plane = plane().await?;
    let namespace = plane.namespace("editor").await?;
    let jane = account(plane, &namespace, "jane").await?;
    let joe = account(plane, &namespace, "joe").await?;
    let (jane_is, joe_is) = (user(&namespace, "jane"), user(&namespace, "joe"));
    let by = |generation: i64, person: &str| format!("{generation}/{person}");
    let says = Some("is written only together with an edit of it");
    let registries = api(&jane, "SecureRegistry", &namespace)?;
    let forged = registry(&namespace, "models", Some(&by(1, &joe_is)))?;
    eventually(SOON, "the policy on editors", || async {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = refusal(registries.create(&dry, &forged).await).map_err(|e| e.to_string())?;
        expect("a creation in another's name", answer, says).map_err(|e| e.to_string())
    })
    .await?;
    // A restored backup names a generation that is not this one's: it says nothing, and is let through.
    let restored = registry(&namespace, "restored", Some(&by(7, &joe_is)))?;
    registries.create(&PostParams::default(), &restored).await?;
    let own = registry(&namespace, "models", Some(&by(1, &jane_is)))?;
    registries.create(&PostParams::default(), &own).await?;
    let nothing = || json!({});
    for (what, client, body, refused) in [
        (
            "an edit in another's name",
            &jane,
            annotated(settle("2h"), &by(2, &joe_is)),
            true,
        ),
        (
            "another's name, and no edit",
            &jane,
            annotated(nothing(), &by(1, &joe_is)),
            true,
        ),
        (
            "an edit that is told for later",
            &jane,
            annotated(settle("2h"), &by(3, &joe_is)),
            true,
        ),
        (
            "what was before, and no edit",
            &jane,
            annotated(nothing(), &by(0, &joe_is)),
            true,
        ),
        (
            "an edit with one's own name",
            &jane,
            annotated(settle("3h"), &by(2, &jane_is)),
            false,
        ),
        (
            "the same once more",
            &jane,
            annotated(nothing(), &by(2, &jane_is)),
            false,
        ),
        // Nobody has to know of the annotation: what it says of an earlier generation says nothing.
        (
            "an edit by somebody else, who leaves it alone",
            &joe,
            settle("4h"),
            false,
        ),
        (
            "a name without an edit",
            &joe,
            annotated(nothing(), &by(3, &joe_is)),
            true,
        ),
        ("an empty name", &joe, annotated(nothing(), &by(3, "")), true),
    ] {
        let said = refusal(patch(client, &namespace, &body).await?)?;
        expect(what, said, says.filter(|_| refused))?;
    }
    // Equal for CEL, and another generation for the API server: the definition refuses it before any policy counts.
    let otherwise = json!({"spec": {"verification": {"consecutiveSuccesses": 3.0}}});
    let said = refusal(patch(&joe, &namespace, &annotated(otherwise, &by(4, &jane_is))).await?)?;
    expect(
        "a number that is written otherwise",
        said,
        Some("expected int, got float64"),
    )?;
    let nobody = json!({"metadata": {"annotations": {ANNOTATION_SPEC_EDITED_BY: null}}});
    let changed = patch(&joe, &namespace, &nobody).await??;
    assert_eq!(editor(&changed), None);
    Ok(())
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
    let by = |generation: i64, person: &str| format!("{generation}/{person}");
    let mut is = by(1, &jane_is);
    assert_eq!(editor(&made), Some(is.as_str()));
    let label = json!({"metadata": {"labels": {"team": "ml"}}});
    for (what, client, body, now) in [
        ("a label", &joe, label, is.clone()),
        (
            "a name without an edit",
            &joe,
            annotated(json!({}), &by(1, &joe_is)),
            is.clone(),
        ),
        ("an edit", &joe, settle("2h"), by(2, &joe_is)),
        (
            "an edit in another's name",
            &jane,
            annotated(settle("3h"), &by(3, &joe_is)),
            by(3, &jane_is),
        ),
    ] {
        let changed = patch(client, &namespace, &body)
            .await?
            .with_context(|| what.to_owned())?;
        assert_eq!(editor(&changed), Some(now.as_str()), "{what}");
        is = now;
    }
    // The operator, and whoever replaces the object by what they have, edit nothing.
    let mut whole = registries.get("models").await?;
    whole.metadata.annotations = None;
    whole.metadata.managed_fields = None;
    let replaced = api(&joe, "SecureRegistry", &namespace)?
        .replace("models", &PostParams::default(), &whole)
        .await?;
    assert_eq!(editor(&replaced), Some(is.as_str()));
    let operator = operator(plane).await?;
    let finalizers = json!({"metadata": {"finalizers": [sreg_api::names::FINALIZER]}});
    let held = patch(&operator, &namespace, &finalizers).await??;
    assert_eq!(editor(&held), Some(is.as_str()));
    // What GitOps does: server-side apply of the same manifest again and again, by whoever.
    let apply = PatchParams::apply("gitops").force();
    for client in [&joe, &joe, &jane, &joe] {
        let mut manifest = rules().good["SecureRegistry"].clone();
        manifest["metadata"] = json!({"name": "models"});
        manifest["spec"]["verification"] = json!({"dnsSettle": "5h"});
        let registries = api(client, "SecureRegistry", &namespace)?;
        let applied = registries.patch("models", &apply, &Patch::Apply(&manifest)).await?;
        assert_eq!(editor(&applied), Some(by(4, &joe_is).as_str()));
        assert_eq!(applied.metadata.generation, Some(4));
    }
    Ok(())
}
