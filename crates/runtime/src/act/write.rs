//! The gate that every write passes: leadership is asked, the write gets no more time than leadership has left, and a
//! failure of the API server becomes a [`CallFailure`] in its own words.

use std::future::Future;
use std::time::Duration;

use sreg_domain::action::StepResult;
use sreg_domain::outside::{LONGEST, LONGEST_NAME, words};
use sreg_domain::{CallFailure, Cause, Effect, Withheld, duration};

use crate::context::Context;

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

/// How long a write may take if it is sent now. `Err`: it must not be sent.
pub(crate) fn time_for_a_write(context: &Context) -> Result<Duration, Withheld> {
    match context.leadership.held_for() {
        Some(held) if !held.is_zero() => Ok(held.min(context.settings.write_deadline)),
        Some(_) | None => Err(Withheld::NotLeading),
    }
}

/// Sends one write to the API server, if leadership allows, within the time that it allows. The outer error says why nothing
/// can be said of an effect, the inner one is the API server's answer.
pub(crate) async fn send<T>(
    context: &Context,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<kube::Result<T>, Unwritten> {
    let limit = time_for_a_write(context).map_err(Unwritten::Withheld)?;
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| Unwritten::Failed(unanswered(attempt, limit)))
}

/// Like [`send`], for writes whose every refusal is a failure.
pub(crate) async fn write<T>(
    context: &Context,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unwritten> {
    send(context, attempt, call)
        .await?
        .map_err(|error| Unwritten::Failed(failure(attempt, &error)))
}

/// A read from the API server, within the read deadline.
pub(crate) async fn read<T>(
    context: &Context,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallFailure> {
    let limit = context.settings.read_deadline;
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| failure(attempt, &error)),
        Err(_) => Err(unanswered(attempt, limit)),
    }
}

/// A read that a write depends on.
pub(crate) async fn look<T>(
    context: &Context,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unwritten> {
    read(context, attempt, call).await.map_err(Unwritten::Failed)
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

/// Done, and nothing else changed.
pub(crate) fn done() -> Effect {
    Effect::done()
}
