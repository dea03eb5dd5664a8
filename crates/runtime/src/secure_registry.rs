//! The controller over `SecureRegistry` objects: what its watch keeps, and what makes a pass due. The pass is in `reconcile`.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::store::Store;
use serde::Deserialize;
use serde_json::Value;
use sreg_api::SecureRegistry;
use sreg_api::crd::NEVER_OBSERVED;
use sreg_api::registry::PublicAccess;

use crate::context::Context;
use crate::controller::{Controller, Kept, News, Pass, PassError, Passes, Watched};
use crate::memory::ObjectKey;
use crate::reconcile::reconcile;
use crate::triggers;
use crate::turns::Urgency;

/// What the watch keeps of one. Specs are read live at each pass, so this stays small whatever people write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// Whether a status stands there that somebody wrote.
    has_status: bool,
    /// Whether its spec asks for public access: whoever comes to ask for that waits for it.
    is_to_be_open: bool,
}

impl Kept for Shown {
    type Kind = SecureRegistry;

    fn keep(_: &ObjectMeta, spec: Value, status: Value) -> Self {
        let desired = spec.pointer("/publicAccess/desired").map(PublicAccess::deserialize);
        Shown {
            has_status: somebody_wrote(&status),
            is_to_be_open: matches!(desired, Some(Ok(PublicAccess::Enabled))),
        }
    }
}

/// The API server fills in a status where nobody wrote one: `observedGeneration: -1` and nothing else.
fn somebody_wrote(status: &Value) -> bool {
    match status {
        Value::Null => false,
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name != "observedGeneration" || value.as_i64() != Some(NEVER_OBSERVED)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
    }
}

/// The controller.
pub(crate) struct SecureRegistries {
    context: Arc<Context>,
    passes: Passes,
}

impl SecureRegistries {
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        let turns = context.turns.clone();
        SecureRegistries {
            context: Arc::clone(context),
            passes: Passes::in_turns("secureregistries", turns),
        }
    }
}

impl Controller for SecureRegistries {
    type Kept = Shown;

    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn passes(&self) -> &Passes {
        &self.passes
    }

    async fn pass(&self, object: &Watched<Shown>) -> Result<Pass, PassError> {
        let ObjectKey { namespace, name } = ObjectKey::of(object);
        reconcile(&self.context, &namespace, &name).await
    }

    fn woken(&self, namespace: Option<&str>, _: Store<Watched<Shown>>) -> BoxStream<'static, ObjectKey> {
        triggers::related(&self.context, namespace).boxed()
    }

    /// Whoever asks for an opening is hastened. A status that was erased is written again.
    fn hear(&self, news: News<'_, Shown>) -> bool {
        match news {
            News::Shown { object, before } => {
                let now = &object.kept;
                if now.is_to_be_open && before.as_ref().is_none_or(|before| !before.is_to_be_open) {
                    self.context.turns.hasten(ObjectKey::of(object), Urgency::Opening);
                }
                before.is_some_and(|before| before.has_status && !now.has_status)
            }
            News::Gone { key, uid } => {
                self.context.forget(&uid, &key);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_object_can_stop_the_watch() {
        let broken = json!({"metadata": {"name": "a", "uid": "u"}, "spec": [1, 2], "status": "what"});
        let watched: Watched<Shown> = serde_json::from_value(broken).unwrap();
        assert!(watched.kept.has_status);
    }

    #[test]
    fn a_status_that_only_the_api_server_filled_in_is_none() {
        for (status, written) in [
            (json!(null), false),
            (json!({}), false),
            (json!({"observedGeneration": -1}), false),
            (json!({"observedGeneration": 1}), true),
            (json!({"observedGeneration": -1, "conditions": []}), true),
            (json!(7), true),
        ] {
            let object = json!({"metadata": {"name": "a", "uid": "u"}, "status": status});
            let watched: Watched<Shown> = serde_json::from_value(object).unwrap();
            assert_eq!(watched.kept.has_status, written, "{status}");
        }
    }

    #[test]
    fn what_people_change_starts_a_pass_and_our_own_status_does_not() {
        let key = |meta: Value, status: &str| {
            let object: Watched<Shown> = serde_json::from_value(json!({"metadata": meta, "status": status})).unwrap();
            object.key
        };
        let plain = key(json!({"generation": 1, "resourceVersion": "5"}), "");
        assert_eq!(plain, key(json!({"generation": 1, "resourceVersion": "6"}), "another"));
        for theirs in [
            json!({"generation": 2}),
            json!({"generation": 1, "finalizers": ["a/b"]}),
            json!({"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            json!({"generation": 1, "labels": {"wave": "1"}}),
            json!({"generation": 1, "annotations": {"look": "now"}}),
        ] {
            assert_ne!(key(theirs.clone(), ""), plain, "{theirs}");
        }
    }
}
