//! `observe`, `enforce` and `reconcile`: what people change of an object at a terminal. What a pipeline declares is changed where the
//! pipeline reads it: here it would be put back, or stand against what everybody else reads.

use anyhow::{Result, bail};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use sreg_api::names::ANNOTATION_RECONCILE_REQUESTED_AT;
use sreg_api::registry::ManagementPolicy;

use sreg_domain::outside::{LONGEST_NAME, words};

use super::{Cluster, called, said};
use crate::arguments::ChangeFlags;
use crate::progress::while_waiting;
use crate::{Ended, print};

/// As whom fields are owned that are changed here.
const FIELD_MANAGER: &str = "sreg";

/// Where client-side apply keeps the manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Has the operator look, and write, or look only.
///
/// # Errors
/// Somebody else declares the policy, or the cluster refuses.
pub(crate) async fn set_policy(typed: &ChangeFlags, policy: ManagementPolicy) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let object = while_waiting("asking the cluster", cluster.raw(&typed.object)).await?;
    let name = called(&object);
    let wanted = json!(policy);
    let is = object.data.pointer("/spec/managementPolicy");
    if is == Some(&wanted) {
        print(&format!("{name} has managementPolicy: {policy:?} already\n"))?;
        return Ok(Ended::Nothing);
    }
    if let Some(declarer) = declarer(&object) {
        bail!(
            "{name}: {declarer} declares spec.managementPolicy, and would put it back: change it there, to `managementPolicy: {policy:?}` under spec"
        );
    }
    let change = json!({"spec": {"managementPolicy": wanted}});
    patch(&cluster, &object, &change, "set spec.managementPolicy").await?;
    let follows = match policy {
        ManagementPolicy::Observe => {
            "the operator writes nothing to Azure for it any more, an opening for an emergency included"
        }
        ManagementPolicy::Enforce => "the operator makes it so: sreg why tells what it waits for",
    };
    print(&format!(
        "{name} has managementPolicy: {policy:?} now: {follows}; where it is kept in a file, change it there too\n"
    ))?;
    Ok(Ended::Nothing)
}

/// Has the operator look at once.
///
/// # Errors
/// The cluster refuses.
pub(crate) async fn reconcile(typed: &ChangeFlags) -> Result<Ended> {
    let cluster = Cluster::connect(&typed.cluster).await?;
    let object = while_waiting("asking the cluster", cluster.raw(&typed.object)).await?;
    let now = Timestamp::now().to_string();
    let change = json!({"metadata": {"annotations": {ANNOTATION_RECONCILE_REQUESTED_AT: now}}});
    patch(&cluster, &object, &change, "ask for a look").await?;
    let name = called(&object);
    print(&format!(
        "the operator was asked to look at {name} now: sreg why {name} tells what it finds\n"
    ))?;
    Ok(Ended::Nothing)
}

async fn patch(cluster: &Cluster, object: &DynamicObject, change: &Value, what: &str) -> Result<()> {
    let namespace = object.namespace();
    let api = cluster.registries(namespace.as_deref());
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = api.patch(&object.name_any(), &parameters, &Patch::Merge(change)).await;
    match patched {
        Ok(_) => Ok(()),
        Err(error) => Err(said(&format!("{what} of {}", called(object)), &error)),
    }
}

/// The program that declares the policy, by the managers of fields: what people type by kubectl, or here, is theirs to change again.
fn declarer(object: &DynamicObject) -> Option<String> {
    let managers = object.metadata.managed_fields.iter().flatten();
    let mut others = managers.filter(|entry| {
        let manager = entry.manager.as_deref().unwrap_or_default();
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let owns = fields.and_then(|fields| fields.pointer("/f:spec/f:managementPolicy"));
        let declares = entry.operation.as_deref() == Some("Apply") || is_written(object);
        owns.is_some() && declares && !manager.starts_with("kubectl") && manager != FIELD_MANAGER
    });
    let manager = others.next()?.manager.clone().unwrap_or_default();
    let labels = object.labels();
    let source = |kind: &str, namespace: &str, name: &str| {
        let (namespace, name) = (labels.get(namespace)?, labels.get(name)?);
        Some(format!("{kind} {namespace}/{name}"))
    };
    let flux = |kind: &str, group: &str| {
        source(
            kind,
            &format!("{group}.toolkit.fluxcd.io/namespace"),
            &format!("{group}.toolkit.fluxcd.io/name"),
        )
    };
    let application = object.annotations().get("argocd.argoproj.io/tracking-id");
    let application = application
        .and_then(|id| id.split(':').next())
        .map(|name| format!("Argo CD application {name}"));
    let by = flux("Flux Kustomization", "kustomize")
        .or_else(|| flux("Flux HelmRelease", "helm"))
        .or(application);
    let said = by.map_or_else(|| manager.clone(), |by| format!("{manager} ({by})"));
    // Whoever may edit the object chose these words.
    Some(words(&said, LONGEST_NAME).into_owned())
}

/// Whoever creates or updates an object without server-side apply owns defaults too. The field is theirs where their last manifest has it,
/// or, where they keep none, where it is not the default.
fn is_written(object: &DynamicObject) -> bool {
    let last = object.annotations().get(LAST_APPLIED);
    match last.map(|last| serde_json::from_str::<Value>(last)) {
        Some(Ok(last)) => last.pointer("/spec/managementPolicy").is_some(),
        Some(Err(_)) | None => {
            object.data.pointer("/spec/managementPolicy") != Some(&json!(ManagementPolicy::default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(manager: &str, field: &str, labels: &Value, annotations: &Value) -> DynamicObject {
        let fields = json!({"f:spec": {format!("f:{field}"): {}}});
        let managed = json!([{"manager": manager, "operation": "Apply", "apiVersion": "secureregistry.dev/v1alpha1",
            "fieldsType": "FieldsV1", "fieldsV1": fields}]);
        let metadata = json!({"name": "a", "namespace": "ml", "managedFields": managed, "labels": labels, "annotations": annotations});
        serde_json::from_value(
            json!({"apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry", "metadata": metadata}),
        )
        .unwrap()
    }

    #[test]
    fn whoever_declares_the_policy_is_named_with_what_they_declare_it_by() {
        let none = json!({});
        let flux =
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        let argo = json!({"argocd.argoproj.io/tracking-id": "registries:secureregistry.dev/SecureRegistry:ml/a"});
        let declared = |manager, labels: &Value, annotations: &Value| {
            declarer(&object(manager, "managementPolicy", labels, annotations))
        };
        assert_eq!(
            declared("kustomize-controller", &flux, &none).as_deref(),
            Some("kustomize-controller (Flux Kustomization flux-system/apps)")
        );
        assert_eq!(
            declared("argocd-controller", &none, &argo).as_deref(),
            Some("argocd-controller (Argo CD application registries)")
        );
        assert_eq!(declared("pulumi", &none, &none).as_deref(), Some("pulumi"));
    }

    #[test]
    fn what_an_editor_wrote_moves_no_terminal() {
        let argo = json!({"argocd.argoproj.io/tracking-id": "\u{1b}]52;c;eA==\u{7}\n:x"});
        let told = declarer(&object("argocd-controller", "managementPolicy", &json!({}), &argo)).unwrap();
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }

    #[test]
    fn what_people_typed_and_what_nobody_declares_is_free_to_change() {
        let none = json!({});
        for manager in ["kubectl-edit", "kubectl-client-side-apply", "kubectl", "sreg"] {
            assert_eq!(
                declarer(&object(manager, "managementPolicy", &none, &none)),
                None,
                "{manager}"
            );
        }
        assert_eq!(declarer(&object("argocd-controller", "endpoints", &none, &none)), None);
    }

    #[test]
    fn a_default_that_came_with_an_update_is_declared_by_nobody() {
        let none = json!({});
        let updated = |manifest: Option<Value>, policy: &str| {
            let annotations = manifest.map_or(json!({}), |manifest| json!({LAST_APPLIED: manifest.to_string()}));
            let mut object = object("argocd-controller", "managementPolicy", &none, &annotations);
            object.metadata.managed_fields.as_mut().unwrap()[0].operation = Some("Update".into());
            object.data = json!({"spec": {"managementPolicy": policy}});
            declarer(&object)
        };
        assert_eq!(updated(None, "Enforce"), None);
        assert!(updated(None, "Observe").is_some());
        assert_eq!(updated(Some(json!({"spec": {}})), "Enforce"), None);
        assert!(updated(Some(json!({"spec": {"managementPolicy": "Enforce"}})), "Enforce").is_some());
    }
}
