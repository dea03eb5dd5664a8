//! Writes a probe's status: one server-side apply under the agent's own field manager, always with the object's uid, so that a
//! late write to a probe that was deleted is refused instead of creating it again.

use std::time::Duration;

use crate::api_words;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use sreg_api::names::AGENT_MANAGER;
use sreg_api::probe::{ConnectivityProbe, ConnectivityProbeStatus};

/// Longer than any healthy API server takes; the sweep that waits for it must not wait for ever.
const LIMIT: Duration = Duration::from_secs(10);

/// Where one probe's status goes.
#[derive(Clone)]
pub(super) struct Desk {
    /// Dynamic, because a typed answer that does not parse would look like a failed write.
    api: Api<DynamicObject>,
    namespace: String,
    name: String,
    uid: String,
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The probe is gone, or another one has its name: its watch will say so.
    #[error("write the status of probe {0}: it was deleted")]
    Gone(String),
    /// The API server did not take it.
    #[error("write the status of probe {probe}: {cause}")]
    Refused { probe: String, cause: String },
    /// No answer in time.
    #[error("write the status of probe {0}: no answer within {LIMIT:?}")]
    Late(String),
}

impl Desk {
    pub(super) fn new(client: Client, namespace: &str, name: &str, uid: &str) -> Self {
        let api = Api::namespaced_with(client, namespace, &ApiResource::erase::<ConnectivityProbe>(&()));
        Desk {
            api,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    pub(super) async fn publish(&self, status: &ConnectivityProbeStatus) -> Result<(), PublishError> {
        let probe = || format!("{}/{}", self.namespace, self.name);
        let body = json!({
            "apiVersion": ConnectivityProbe::api_version(&()),
            "kind": ConnectivityProbe::kind(&()),
            "metadata": {"name": self.name, "namespace": self.namespace, "uid": self.uid},
            "status": status,
        });
        let params = PatchParams::apply(AGENT_MANAGER).force();
        match tokio::time::timeout(LIMIT, self.api.patch_status(&self.name, &params, &Patch::Apply(body))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(answer))) if answer.is_not_found() || answer.is_conflict() => {
                Err(PublishError::Gone(probe()))
            }
            Ok(Err(error)) => Err(PublishError::Refused {
                probe: probe(),
                cause: api_words::of(&error),
            }),
            Err(_) => Err(PublishError::Late(probe())),
        }
    }
}
