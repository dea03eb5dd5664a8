//! What writes to the cluster: a client, leadership and deadlines, and nothing else of what a pass has. Every write passes here: leadership
//! is asked, the write gets no more time than leadership has left, and a failure of the API server becomes a [`CallFailure`] in its own
//! words.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::json;
use sreg_domain::action::StepResult;
use sreg_domain::outside::{LONGEST, LONGEST_NAME, words};
use sreg_domain::{CallFailure, Cause, Withheld, duration};

use crate::leadership::LeadershipFence;

/// Why a write has no effect to show.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unwritten {
    /// Not sent.
    #[error("not sent: {0}")]
    Withheld(Withheld),
    /// Sent, or perhaps sent, and not known to have succeeded.
    #[error(transparent)]
    Failed(CallFailure),
}

impl From<Unwritten> for StepResult {
    fn from(unwritten: Unwritten) -> StepResult {
        match unwritten {
            Unwritten::Withheld(why) => StepResult::Withheld(why),
            Unwritten::Failed(failure) => StepResult::Failed(failure),
        }
    }
}

/// Writes to the API server, as far as leadership allows. Clones share everything.
#[derive(Clone)]
pub struct ClusterWriter {
    /// The API server.
    pub client: kube::Client,
    leadership: Arc<dyn LeadershipFence>,
    read_deadline: Duration,
    write_deadline: Duration,
}

/// Which object's status is written.
#[derive(Debug, Clone, Copy)]
pub struct StatusOf<'a> {
    /// `None` for a kind that stands in no namespace.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// Uid: a successor of the same name is another one.
    pub uid: &'a str,
}

impl ClusterWriter {
    /// A writer whose reads and writes take no longer than these.
    pub fn new(
        client: kube::Client,
        leadership: Arc<dyn LeadershipFence>,
        (read_deadline, write_deadline): (Duration, Duration),
    ) -> Self {
        ClusterWriter {
            client,
            leadership,
            read_deadline,
            write_deadline,
        }
    }

    /// How long a write may take if it is sent now. `Err`: it must not be sent.
    pub(crate) fn time_for_a_write(&self) -> Result<Duration, Withheld> {
        match self.leadership.held_for() {
            Some(held) if !held.is_zero() => Ok(held.min(self.write_deadline)),
            Some(_) | None => Err(Withheld::NotLeading),
        }
    }

    /// Sends one write to the API server, if leadership allows, within the time that it allows. The outer error says why nothing
    /// can be said of an effect, the inner one is the API server's answer.
    pub(crate) async fn send<T>(
        &self,
        attempt: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<kube::Result<T>, Unwritten> {
        let limit = self.time_for_a_write().map_err(Unwritten::Withheld)?;
        tokio::time::timeout(limit, call)
            .await
            .map_err(|_| Unwritten::Failed(unanswered(attempt, limit)))
    }

    /// Like [`ClusterWriter::send`], for writes whose every refusal is a failure.
    pub(crate) async fn write<T>(
        &self,
        attempt: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Unwritten> {
        self.send(attempt, call)
            .await?
            .map_err(|error| Unwritten::Failed(failure(attempt, &error)))
    }

    /// A read from the API server, within the read deadline.
    pub(crate) async fn read<T>(
        &self,
        attempt: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallFailure> {
        match tokio::time::timeout(self.read_deadline, call).await {
            Ok(answer) => answer.map_err(|error| failure(attempt, &error)),
            Err(_) => Err(unanswered(attempt, self.read_deadline)),
        }
    }

    /// A read that a write depends on.
    pub(crate) async fn look<T>(
        &self,
        attempt: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Unwritten> {
        self.read(attempt, call).await.map_err(Unwritten::Failed)
    }

    /// Applies a whole status, with the uid, so that no successor of the same name is told of another one. An object that is gone needs
    /// none. Untyped, because a typed answer of an object that does not parse would be an error after the write.
    ///
    /// # Errors
    /// Leadership is not held, or the API server does not take it.
    pub async fn write_status<K: Resource<DynamicType = ()>>(
        &self,
        of: StatusOf<'_>,
        manager: &str,
        status: serde_json::Value,
    ) -> Result<(), Unwritten> {
        let StatusOf { namespace, name, uid } = of;
        let within = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let attempt = format!("write status of {} {within}{name}", K::kind(&()));
        let mut body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "uid": uid},
            "status": status,
        });
        let params = PatchParams::apply(manager).force();
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => {
                body["metadata"]["namespace"] = json!(namespace);
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            None => Api::all_with(self.client.clone(), &resource),
        };
        match self
            .send(&attempt, api.patch_status(name, &params, &Patch::Apply(body)))
            .await?
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
            Err(error) => Err(Unwritten::Failed(failure(&attempt, &error))),
        }
    }
}

impl fmt::Debug for ClusterWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterWriter").finish_non_exhaustive()
    }
}

/// No answer in time. It may have taken effect: the next visit looks.
pub(crate) fn unanswered(attempt: &str, limit: Duration) -> CallFailure {
    let message = format!("no answer within {}", duration::show(limit));
    CallFailure::local(attempt, Cause::Unreachable, message)
}

/// What the API server (or the way to it) said. It repeats what people and admission webhooks wrote.
pub(crate) fn failure(attempt: &str, error: &kube::Error) -> CallFailure {
    let kube::Error::Api(status) = error else {
        let message = error.to_string();
        return CallFailure::local(attempt, Cause::Unreachable, words(&message, LONGEST));
    };
    let code = Some(status.reason.as_str()).filter(|reason| !reason.is_empty());
    CallFailure {
        code: code.map(|code| words(code, LONGEST_NAME).into_owned()),
        status: Some(status.code),
        retry_after: retry_after(status),
        ..CallFailure::local(attempt, cause(status), words(&status.message, LONGEST))
    }
}

fn retry_after(status: &kube::core::Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// What went wrong, by the API server's status. One that says when to come again is busy, whatever else it says.
fn cause(status: &kube::core::Status) -> Cause {
    match status.code {
        _ if retry_after(status).is_some() => Cause::Busy,
        401 | 403 => Cause::Forbidden,
        400 | 405 | 413 | 415 | 422 => Cause::Refused,
        500..=599 => Cause::Unreachable,
        _ => Cause::Conflict,
    }
}
