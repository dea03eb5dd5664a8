//! Objects of a cluster, as whoever is logged in to it may read and write them. Everything that decides is in their status: here it is
//! found, shown and, for approvals and emergencies, answered by an object of its own.

mod approve;
mod break_glass;
mod change;
mod show;

pub(crate) use approve::approve;
pub(crate) use break_glass::break_glass;
pub(crate) use change::{reconcile, set_policy};
pub(crate) use show::{status, why};

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use sreg_api::{SecureRegistry, SecureRegistryStatus};
use sreg_domain::ArmId;

use crate::kubeconfig::ClusterArgs;

/// A cluster, and the namespace that is meant where none is named.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
}

/// An object as it is shown: whatever does not parse is told, and hides no other.
pub(crate) struct Object {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) status: Result<SecureRegistryStatus, String>,
}

/// Nothing waits for ever.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

impl Cluster {
    /// Finds the cluster. Nothing is sent yet.
    pub(crate) async fn connect(args: &ClusterArgs) -> Result<Cluster> {
        let config = args.config().await;
        let mut config = config.context("find the cluster: name a kubeconfig by --kubeconfig or KUBECONFIG, or use -f FILE with plan, which needs none")?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        // Who waits at a terminal is told at once.
        config.default_retry = false;
        let namespace = args
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        Ok(Cluster {
            client: Client::try_from(config).context("make a client for the cluster")?,
            namespace,
        })
    }

    /// The object that somebody named by NAME, NAMESPACE/NAME or the id of its registry.
    pub(crate) async fn object(&self, asked: &str) -> Result<Object> {
        self.raw(asked).await.map(Object::of)
    }

    /// The same with all its fields.
    async fn raw(&self, asked: &str) -> Result<DynamicObject> {
        if let Ok(id) = asked.parse::<ArmId>() {
            let mut found = self.all(None).await?;
            found.retain(|object| registry_of(object).map(str::parse) == Some(Ok(id.clone())));
            return the_only(found, asked);
        }
        let (namespace, name) = asked.split_once('/').unwrap_or((&self.namespace, asked));
        let what = format!("read SecureRegistry {namespace}/{name}");
        let found = self
            .registries(Some(namespace))
            .get_opt(name)
            .await
            .map_err(|error| said(&what, &error))?;
        let Some(found) = found else {
            bail!(
                "there is no SecureRegistry {name} in namespace {namespace}: kubectl get secureregistries -A lists them"
            );
        };
        Ok(found)
    }

    /// All objects of a namespace, or of every one.
    pub(crate) async fn objects(&self, namespace: Option<&str>) -> Result<Vec<Object>> {
        Ok(self.all(namespace).await?.into_iter().map(Object::of).collect())
    }

    async fn all(&self, namespace: Option<&str>) -> Result<Vec<DynamicObject>> {
        let listed = self.registries(namespace).list(&ListParams::default()).await;
        Ok(listed.map_err(|error| said("list SecureRegistries", &error))?.items)
    }

    fn registries(&self, namespace: Option<&str>) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<SecureRegistry>(&());
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        }
    }

    /// Who asks, as the API server knows them: approvals and emergencies must name that.
    async fn user(&self) -> Result<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let asked = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let answer = asked.map_err(|error| said("ask the cluster who you are", &error))?;
        let user = answer
            .status
            .and_then(|status| status.user_info)
            .and_then(|user| user.username);
        user.context("ask the cluster who you are: it did not say")
    }
}

impl Object {
    fn of(object: DynamicObject) -> Object {
        let status = object
            .data
            .get("status")
            .cloned()
            .unwrap_or_else(|| Value::Object(Default::default()));
        Object {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            status: serde_json::from_value(status).map_err(|error| error.to_string()),
        }
    }

    /// Its status, or why there is none to go by.
    pub(crate) fn known(&self) -> Result<&SecureRegistryStatus> {
        match &self.status {
            Ok(status) => Ok(status),
            Err(why) => bail!(
                "the status of {}/{} is of another version ({why}): use the sreg of the operator's version",
                self.namespace,
                self.name
            ),
        }
    }
}

/// Anybody may create an object that names a registry: which of several is meant only whoever asks can say.
fn the_only(mut found: Vec<DynamicObject>, id: &str) -> Result<DynamicObject> {
    match found.len() {
        0 => bail!("no SecureRegistry of this cluster is about {id}"),
        1 => Ok(found.remove(0)),
        _ => {
            let told = found.iter().map(|object| {
                let reason = object
                    .data
                    .pointer("/status/conditions/0/reason")
                    .and_then(Value::as_str);
                format!("{} ({})", called(object), reason.unwrap_or("not looked at yet"))
            });
            let told: Vec<String> = told.collect();
            bail!(
                "several objects name {id}: {}; name the one that is meant",
                told.join(", ")
            )
        }
    }
}

/// `namespace/name`.
fn called(object: &DynamicObject) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// The id that the object's spec names.
fn registry_of(object: &DynamicObject) -> Option<&str> {
    object.data.pointer("/spec/registry/resourceId").and_then(Value::as_str)
}

/// What the cluster said, and what to do next.
fn said(attempt: &str, error: &kube::Error) -> anyhow::Error {
    let kube::Error::Api(status) = error else {
        return anyhow!(
            "{attempt}: the cluster does not answer: {error}; kubectl cluster-info says whether it does at all"
        );
    };
    let next = match status.code {
        401 => "log in to the cluster again, as for kubectl",
        403 => {
            "whoever administers the cluster gives you that right: kubectl auth can-i --list shows those that you have"
        }
        404 => "its definitions are not installed in this cluster: docs/install.md",
        _ => "see kubectl get events",
    };
    anyhow!("{attempt}: {}; {next}", status.message)
}
