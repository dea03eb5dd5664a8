//! The manifests that follow from code: definitions, admission policies and RBAC. In go the names that differ between
//! installations, out come files with a stable order of keys, so that what is committed can be compared byte by byte with what
//! the generator says today. The Helm chart gets the same objects as templates ([`chart`]), and holds itself what no code knows:
//! Deployments and whatever else runs them. No I/O but [`write`].

pub mod chart;
mod editor;
mod policies;
mod rbac;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Names that may stand in a policy's expression without being quoted.
fn is_label(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(allowed)
}

/// A ServiceAccount by namespace and name; written `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccount {
    /// The user name by which the API server knows it.
    fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// As the subject of a binding.
    fn subject(&self) -> Value {
        json!({"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace})
    }
}

impl FromStr for ServiceAccount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && is_label(name) => Ok(ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            Some(_) | None => Err(format!("{text:?} is not of the form namespace/name, in lower case")),
        }
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A vantage point's agent; written `vantage-point=namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Name of its `VantagePoint`.
    pub vantage_point: String,
    /// Who it is to the API server.
    pub account: ServiceAccount,
}

impl FromStr for Agent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((vantage_point, account)) if is_label(vantage_point) => Ok(Agent {
                vantage_point: vantage_point.to_owned(),
                account: account.parse()?,
            }),
            Some(_) | None => Err(format!(
                "{text:?} is not of the form vantage-point=namespace/name, in lower case"
            )),
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.vantage_point, self.account)
    }
}

/// What differs between installations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Who the operator is to the API server.
    pub operator: ServiceAccount,
    /// Name of the operator's roles and bindings, and how those that it has as a vantage point begin.
    pub operator_roles: String,
    /// Where the operator serves objects; empty: everywhere.
    pub served_namespaces: Vec<String>,
    /// The agents: each may write the status of the probes in its own namespace.
    pub agents: Vec<Agent>,
}

/// A folder of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// CustomResourceDefinitions.
    Crds,
    /// ValidatingAdmissionPolicies and their bindings.
    Policies,
    /// MutatingAdmissionPolicy that writes down who changed a spec last; Kubernetes 1.36 or newer.
    Editor,
    /// Roles and bindings of the operator; roles for people, to be bound.
    Rbac,
    /// Roles and bindings of agents: apart, because their namespaces come later.
    Agent,
}

/// One file to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its path below the output folder.
    pub path: PathBuf,
    /// Its documents, in order.
    pub objects: Vec<Value>,
}

impl Manifest {
    fn new(path: impl Into<PathBuf>, objects: Vec<Value>) -> Manifest {
        Manifest {
            path: path.into(),
            objects,
        }
    }

    /// Instructions to kustomize rather than objects for the API server.
    fn is_kustomization(&self) -> bool {
        self.path.ends_with("kustomization.yaml")
    }

    /// Its text.
    ///
    /// # Errors
    /// An object cannot be written as YAML.
    pub fn text(&self) -> Result<String> {
        yaml::file(&self.objects).with_context(|| format!("write {} as YAML", self.path.display()))
    }
}

/// Namespaces that are never an agent's alone.
const SHARED_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// An agent may write Leases in its namespace and speaks for its vantage point there: beside the operator it could take claims and the
/// leader's Lease, beside another agent it could write that one's.
fn agents_stand_alone(installation: &Installation) -> Result<()> {
    let mut taken = vec![installation.operator.namespace.as_str()];
    for Agent { vantage_point, account } in &installation.agents {
        let namespace = account.namespace.as_str();
        let shared = SHARED_NAMESPACES.contains(&namespace) || taken.contains(&namespace);
        anyhow::ensure!(
            !shared,
            "agent {vantage_point}: namespace {namespace} is the operator's, another agent's or the cluster's own: give it a namespace of its own, such as --agent {vantage_point}={vantage_point}/{}",
            account.name
        );
        taken.push(namespace);
    }
    Ok(())
}

/// Every file of the given parts, in the order in which they can be applied.
///
/// # Errors
/// An agent shares its namespace with somebody, or a definition cannot be turned into JSON.
pub fn generate(installation: &Installation, parts: &[Part]) -> Result<Vec<Manifest>> {
    agents_stand_alone(installation)?;
    let mut manifests = Vec::new();
    for part in parts {
        match part {
            Part::Crds => manifests.extend(with_kustomization("crds", definitions()?)),
            Part::Policies => manifests.extend(with_kustomization("policies", policies::manifests(installation))),
            Part::Editor => manifests.extend(with_kustomization("editor", vec![editor::manifest(installation)])),
            Part::Rbac => {
                let [role, binding] = rbac::served(installation);
                let operator = vec![rbac::operator(installation), role, binding];
                manifests.extend(with_kustomization("rbac/operator", operator));
                manifests.extend(with_kustomization("rbac/people", vec![rbac::people()]));
            }
            Part::Agent => {
                manifests.extend(with_kustomization("rbac/agent", vec![rbac::agents(installation)]));
            }
        }
    }
    Ok(manifests)
}

/// Everything in one text, for `kubectl apply -f -`.
///
/// # Errors
/// As [`Manifest::text`].
pub fn to_stream(manifests: &[Manifest]) -> Result<String> {
    let objects: Vec<Value> = manifests
        .iter()
        .filter(|manifest| !manifest.is_kustomization())
        .flat_map(|manifest| manifest.objects.iter().cloned())
        .collect();
    yaml::file(&objects)
}

/// Texts of files by their paths.
pub type Files = BTreeMap<PathBuf, String>;

/// The texts of `manifests`.
///
/// # Errors
/// As [`Manifest::text`].
pub fn files(manifests: &[Manifest]) -> Result<Files> {
    let text = |manifest: &Manifest| Ok((manifest.path.clone(), manifest.text()?));
    manifests.iter().map(text).collect()
}

/// Writes the files below `folder`, and removes the YAML files of earlier generations that are none of them, so that a
/// kind or policy that is gone does not stay behind in an installation.
///
/// # Errors
/// A file or folder cannot be written.
pub fn write(folder: &Path, files: &Files) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder).to_owned();
        fs::create_dir_all(&parent).with_context(|| format!("make the folder {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        if !folders.contains(&parent) {
            folders.push(parent);
        }
    }
    for parent in folders {
        for entry in fs::read_dir(&parent).with_context(|| format!("list {}", parent.display()))? {
            let path = entry.with_context(|| format!("list {}", parent.display()))?.path();
            let ours = files.keys().any(|file| folder.join(file) == path);
            if !ours && is_generated(&path) {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Only what carries our header is ours to remove.
fn is_generated(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
        && fs::read_to_string(path).is_ok_and(|text| text.starts_with(yaml::HEADER) || text.starts_with(chart::HEADER))
}

/// Annotations that keep an object when whoever installed it takes its own back: Helm, Argo CD and Flux. With a definition all
/// its objects would go, and with them the way back of what is locked.
fn kept() -> Value {
    json!({
        "helm.sh/resource-policy": "keep",
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
    })
}

fn definitions() -> Result<Vec<Manifest>> {
    sreg_api::crd::definitions()
        .into_iter()
        .map(|definition| {
            let name = format!("crds/{}.yaml", definition.spec.names.plural);
            let mut value = serde_json::to_value(&definition).with_context(|| format!("write {name} as JSON"))?;
            value["metadata"]["annotations"] = kept();
            Ok(Manifest::new(name, vec![value]))
        })
        .collect()
}

/// A kustomization lists what stands beside it, because kustomize reads no file outside its own folder.
fn with_kustomization(folder: &str, mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    let resources: Vec<Value> = manifests
        .iter()
        .filter_map(|manifest| manifest.path.file_name())
        .map(|name| json!(name.to_string_lossy()))
        .collect();
    manifests.push(Manifest::new(
        format!("{folder}/kustomization.yaml"),
        vec![kustomization(json!({"resources": resources}))],
    ));
    manifests
}

/// A kustomization with `fields`.
fn kustomization(mut fields: Value) -> Value {
    fields["apiVersion"] = json!("kustomize.config.k8s.io/v1beta1");
    fields["kind"] = json!("Kustomization");
    fields
}

/// Labels on everything that ships.
fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/name": sreg_api::names::MANAGED_BY, "app.kubernetes.io/component": component})
}

#[cfg(test)]
mod tests;
