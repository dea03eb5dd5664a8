//! Server-side apply of YAML as people write it: several documents, folders, lists, kinds that only the server knows. In
//! and out through a client, so that a test applies as whoever the client is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::Condition;
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::Value;

use crate::eventually;

const FIELD_MANAGER: &str = "sreg-testkit";
const ESTABLISHED: Duration = Duration::from_secs(30);
/// How long a kind may stay unknown: discovery learns of a new CRD a moment after it is established.
const DISCOVERED: Duration = Duration::from_secs(10);

/// Applies every document of `text` with force, namespaces and CRDs first, and gives what the server made of them, in
/// that order. Objects of a namespaced kind without a namespace go to `namespace`. CRDs are awaited until established.
///
/// # Errors
/// The text does not parse, a kind is unknown, or the server refused an object; then the cause is a [`kube::Error`].
pub async fn apply_yaml(client: &Client, namespace: &str, text: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = parse(text)?;
    // What others need goes first; within a rank the written order stays.
    objects.sort_by_key(rank);
    let mut applied = Vec::with_capacity(objects.len());
    for object in objects {
        applied.push(apply(client, namespace, object).await?);
    }
    Ok(applied)
}

/// As [`apply_yaml`], with the text of a file, or of all `*.yaml`, `*.yml` and `*.json` files in a folder and below, in
/// the order of their paths.
///
/// # Errors
/// As [`apply_yaml`], or the path cannot be read, or holds no such file.
pub async fn apply_path(client: &Client, namespace: &str, path: &Path) -> Result<Vec<DynamicObject>> {
    let mut files = Vec::new();
    collect(path, &mut files).with_context(|| format!("read {}", path.display()))?;
    if files.is_empty() {
        bail!("apply {}: there is no YAML file in it", path.display());
    }
    let mut text = String::new();
    for file in &files {
        let content = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        text.push_str("\n---\n");
        text.push_str(content.trim_start_matches("---"));
    }
    apply_yaml(client, namespace, &text)
        .await
        .with_context(|| format!("apply {}", path.display()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let is_manifest = entry
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        // A kustomization is an instruction to kustomize, not an object.
        if entry.is_dir() || (is_manifest && entry.file_stem().is_some_and(|stem| stem != "kustomization")) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("parse YAML")?;
    let mut objects = Vec::new();
    for document in documents {
        if document.is_null() {
            continue;
        }
        if document.get("kind").is_some_and(|kind| kind == "List") {
            let items = document.get("items").context("read a List: it has no items")?;
            objects.extend(Vec::<DynamicObject>::deserialize(items).context("read a List's items")?);
        } else {
            objects.push(serde_json::from_value(document).context("read a document as a Kubernetes object")?);
        }
    }
    Ok(objects)
}

fn rank(object: &DynamicObject) -> u8 {
    match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("CustomResourceDefinition") => 0,
        Some("Namespace") => 1,
        Some("ServiceAccount") => 2,
        _ => 3,
    }
}

async fn apply(client: &Client, namespace: &str, mut object: DynamicObject) -> Result<DynamicObject> {
    let types = object
        .types
        .as_ref()
        .context("apply an object: it has no apiVersion and kind")?;
    let gvk = GroupVersionKind::try_from(types).context("read apiVersion and kind")?;
    let name = object
        .metadata
        .name
        .clone()
        .with_context(|| format!("apply a {}: it has no name", gvk.kind))?;
    let (resource, scope) = discover(client, &gvk).await?;
    let api: Api<DynamicObject> = match scope {
        Scope::Namespaced => {
            let namespace = object
                .metadata
                .namespace
                .get_or_insert_with(|| namespace.to_owned())
                .clone();
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
        Scope::Cluster => Api::all_with(client.clone(), &resource),
    };
    // Written by dumps of live objects; apply refuses it.
    object.metadata.managed_fields = None;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api
        .patch(&name, &params, &Patch::Apply(&object))
        .await
        .with_context(|| format!("apply {} {name}", gvk.kind))?;
    if gvk.kind == "CustomResourceDefinition" {
        await_established(client, &applied.name_any()).await?;
    }
    Ok(applied)
}

async fn discover(client: &Client, gvk: &GroupVersionKind) -> Result<(ApiResource, Scope)> {
    let what = format!("the API server to know the kind {} of {}", gvk.kind, gvk.api_version());
    let (resource, capabilities) = eventually(DISCOVERED, what, || pinned_kind(client, gvk)).await?;
    Ok((resource, capabilities.scope))
}

async fn await_established(client: &Client, name: &str) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    eventually(ESTABLISHED, format!("the CRD {name} to be established"), || async {
        let crd = crds.get_opt(name).await?;
        match is_crd_established().matches_object(crd.as_ref()) {
            true => Ok(()),
            false => bail!(
                "conditions {:?}",
                crd.and_then(|crd| crd.status).and_then(|status| status.conditions)
            ),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_empty_documents_are_read_in_order() {
        let text = "---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: second}}\n\
                    - {apiVersion: v1, kind: Secret, metadata: {name: third}}\n---\n";
        let names: Vec<_> = parse(text).unwrap().iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["first", "second", "third"]);
    }

    #[test]
    fn text_that_is_not_an_object_is_refused() {
        for text in ["just words", "kind: List", "[1, 2]", "a: {b: ["] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
    }
}
