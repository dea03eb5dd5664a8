//! The object itself, read live at the start of each pass. Spec and status are parsed apart and leniently: a spec that does
//! not parse is a fact about that object, and a status that does not parse counts as erased.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject};
use serde::Deserialize;
use serde_json::Value;
use sreg_api::registry::{
    DeletionPolicy, DriftSpec, ManagedResourceGroupAccess, ManagementPolicy, PublicAccess, PublicAccessSpec,
    RegistrySpec, VerificationSpec,
};
use sreg_api::{SecureRegistry, SecureRegistrySpec, SecureRegistryStatus, names};
use sreg_domain::desired::ObjectRef;
use sreg_domain::outside::harmless;
use sreg_domain::seen::ObjectSeen;
use sreg_domain::{CallFailure, LastReport};

use crate::writer::ClusterWriter;

/// An object as it is now.
#[derive(Debug, Clone)]
pub struct ObjectNow {
    /// Who it is.
    pub reference: ObjectRef,
    /// Its metadata and last status, as the planner wants them.
    pub seen: ObjectSeen,
    /// The object; where its spec does not parse, its identity and what can be read of the spec: enough to report on, to open and
    /// to release.
    pub object: SecureRegistry,
    /// Why its spec does not parse.
    pub unparsed: Option<String>,
}

/// What counts of a spec that does not parse. A management policy that cannot be read is no permission to write, a wish for public
/// access that cannot be read opens nothing, and a registry that is not named is an empty text.
fn legible(spec: &Value) -> SecureRegistrySpec {
    let registry_id = spec.pointer("/registry/resourceId").and_then(Value::as_str);
    let policy = spec.get("managementPolicy").map(ManagementPolicy::deserialize);
    let access = spec.pointer("/publicAccess/desired").map(PublicAccess::deserialize);
    SecureRegistrySpec {
        registry: RegistrySpec {
            resource_id: registry_id.unwrap_or_default().to_owned(),
            create: None,
            tags: BTreeMap::new(),
            managed_resource_group_access: ManagedResourceGroupAccess::None,
        },
        endpoints: Vec::new(),
        client_networks: Vec::new(),
        unproven_networks: Vec::new(),
        shared_accounts: Vec::new(),
        unproven_hosts: Vec::new(),
        verification: VerificationSpec::default(),
        name_changes: None,
        public_access: PublicAccessSpec {
            desired: access.and_then(Result::ok).unwrap_or(PublicAccess::Disabled),
            ..PublicAccessSpec::default()
        },
        sharing: None,
        drift: DriftSpec::default(),
        management_policy: policy.map_or_else(ManagementPolicy::default, |policy| {
            policy.unwrap_or(ManagementPolicy::Observe)
        }),
        deletion_policy: DeletionPolicy::Retain,
        tags: Default::default(),
    }
}

impl ObjectNow {
    /// Takes an object from the API server apart. `None` if it has no uid or name, which the server never lets happen.
    pub fn new(object: DynamicObject) -> Option<ObjectNow> {
        let DynamicObject { metadata, mut data, .. } = object;
        let spec = data.get_mut("spec").map(Value::take).unwrap_or_default();
        let status = data.get_mut("status").map(Value::take).unwrap_or_default();
        let mut status: SecureRegistryStatus = serde_json::from_value(status).unwrap_or_default();
        status.observed_generation = status.observed_generation.filter(|generation| *generation >= 0);
        let reference = ObjectRef {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            generation: metadata.generation.unwrap_or_default(),
        };
        let seen = ObjectSeen {
            has_finalizer: metadata.finalizers.iter().flatten().any(|f| f == names::FINALIZER),
            deleting: metadata.deletion_timestamp.is_some(),
            spec_edited_by: spec_edited_by(&metadata),
            last: LastReport::read(&status),
            status: status.clone(),
        };
        let (spec, unparsed) = match SecureRegistrySpec::deserialize(&spec) {
            Ok(whole) => (whole, None),
            Err(error) => (legible(&spec), Some(error.to_string())),
        };
        Some(ObjectNow {
            reference,
            seen,
            object: SecureRegistry {
                metadata,
                spec,
                status: Some(status),
            },
            unparsed,
        })
    }
}

/// Who made this very generation, `GENERATION/USER`: what names an earlier one says nothing. Whole, as the approver's name is: who it was
/// must not look like somebody else.
fn spec_edited_by(metadata: &ObjectMeta) -> Option<String> {
    let says = metadata.annotations.as_ref()?.get(names::ANNOTATION_SPEC_EDITED_BY)?;
    let (generation, editor) = says.split_once('/')?;
    let current = metadata.generation.is_some_and(|now| generation == now.to_string());
    (current && !editor.is_empty()).then(|| harmless(editor).into_owned())
}

/// Untyped access to `SecureRegistry` objects: typed answers would fail on objects that do not parse, after the write.
pub fn registries(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<SecureRegistry>(&()))
}

/// Reads an object live. `None`: there is none.
pub async fn read_object(client: &kube::Client, namespace: &str, name: &str) -> Result<Option<ObjectNow>, kube::Error> {
    Ok(registries(client, namespace)
        .get_opt(name)
        .await?
        .and_then(ObjectNow::new))
}

/// The same within the deadline of a read, with an error that says what was attempted.
pub(crate) async fn read_live(
    writer: &ClusterWriter,
    namespace: &str,
    name: &str,
) -> Result<Option<ObjectNow>, CallFailure> {
    let attempt = format!("read SecureRegistry {namespace}/{name}");
    writer
        .read(&attempt, read_object(&writer.client, namespace, name))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(data: Value) -> DynamicObject {
        let mut whole = json!({
            "apiVersion": "secureregistry.dev/v1alpha1", "kind": "SecureRegistry",
            "metadata": {"name": "contoso", "namespace": "ml", "uid": "u-1", "generation": 3, "finalizers": [names::FINALIZER]},
        });
        for (key, value) in data.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_spec_that_does_not_parse_is_a_fact_about_that_object() {
        let now = ObjectNow::new(object(json!({"spec": {"registry": 7}}))).unwrap();
        assert!(now.unparsed.is_some());
        assert!(now.seen.has_finalizer && !now.seen.deleting);
        assert_eq!(now.reference.generation, 3);
    }

    #[test]
    fn an_editor_is_who_made_this_generation_or_nobody() {
        for (says, editor) in [
            ("3/jane", Some("jane")),
            (
                "3/system:serviceaccount:argocd:controller",
                Some("system:serviceaccount:argocd:controller"),
            ),
            ("3/with/slashes", Some("with/slashes")),
            ("2/jane", None),
            ("4/jane", None),
            ("03/jane", None),
            ("3/", None),
            ("3", None),
            ("jane", None),
            ("", None),
        ] {
            let mut whole = object(json!({"spec": {}}));
            let annotation = (names::ANNOTATION_SPEC_EDITED_BY.to_owned(), says.to_owned());
            whole.metadata.annotations = Some([annotation].into());
            let now = ObjectNow::new(whole).unwrap();
            assert_eq!(now.seen.spec_edited_by.as_deref(), editor, "{says}");
        }
    }

    #[test]
    fn a_status_that_does_not_parse_counts_as_erased() {
        let spec = json!({"registry": {"resourceId": "/subscriptions/x"}});
        let now = ObjectNow::new(object(json!({"spec": spec, "status": {"conditions": "none"}}))).unwrap();
        assert_eq!(now.unparsed, None);
        assert_eq!(now.seen.status, SecureRegistryStatus::default());
    }

    #[test]
    fn a_status_that_only_the_api_server_filled_in_counts_as_erased() {
        let spec = json!({"registry": {"resourceId": "/subscriptions/x"}});
        let now = ObjectNow::new(object(json!({"spec": spec, "status": {"observedGeneration": -1}}))).unwrap();
        assert_eq!(now.seen.status, SecureRegistryStatus::default());
    }
}
