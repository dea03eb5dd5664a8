//! The gate that every write passes: leadership is asked, the write gets no more time than leadership has left, and a
//! failure of the API server becomes a [`Failure`] in its own words.

use std::future::Future;
use std::time::Duration;

use sreg_domain::action::{Disposition, Failure, StepResult};
use sreg_domain::outside::{LONGEST, LONGEST_NAME, words};
use sreg_domain::{Effect, duration};

use crate::context::Context;

/// Why a write has no effect to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Unwritten {
    /// Not sent.
    Withheld(String),
    /// Sent, or perhaps sent, and not known to have succeeded.
    Failed(Failure),
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
pub(crate) fn time_for_a_write(context: &Context) -> Result<Duration, String> {
    match context.leadership.held_for() {
        Some(held) if !held.is_zero() => Ok(held.min(context.settings.write_deadline)),
        Some(_) | None => Err("leadership is not held: another operator may be writing".into()),
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

/// A read that a write depends on, within the read deadline.
pub(crate) async fn look<T>(
    context: &Context,
    attempt: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unwritten> {
    let limit = context.settings.read_deadline;
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Unwritten::Failed(failure(attempt, &error))),
        Err(_) => Err(Unwritten::Failed(unanswered(attempt, limit))),
    }
}

/// No answer in time. It may have taken effect: the next visit looks.
pub(crate) fn unanswered(attempt: &str, limit: Duration) -> Failure {
    Failure {
        attempt: attempt.to_owned(),
        code: None,
        message: format!("no answer within {}", duration::show(limit)),
        status: None,
        correlation_id: None,
        disposition: Disposition::Retry,
    }
}

/// What the API server (or the way to it) said. It repeats what people and admission webhooks wrote.
pub(crate) fn failure(attempt: &str, error: &kube::Error) -> Failure {
    let (code, message, status, disposition) = if let kube::Error::Api(status) = error {
        let code = Some(status.reason.as_str()).filter(|reason| !reason.is_empty());
        (code, status.message.clone(), Some(status.code), disposition(status))
    } else {
        (None, error.to_string(), None, Disposition::Retry)
    };
    Failure {
        attempt: attempt.to_owned(),
        code: code.map(|code| words(code, LONGEST_NAME).into_owned()),
        message: words(&message, LONGEST).into_owned(),
        status,
        correlation_id: None,
        disposition,
    }
}

fn disposition(status: &kube::core::Status) -> Disposition {
    let wait = status
        .details
        .as_ref()
        .map(|details| details.retry_after_seconds)
        .filter(|seconds| *seconds > 0);
    match (status.code, wait) {
        (_, Some(seconds)) => Disposition::Wait(Duration::from_secs(seconds.into())),
        (401 | 403, None) => Disposition::Forbidden,
        (400 | 405 | 413 | 415 | 422, None) => Disposition::Terminal,
        (_, None) => Disposition::Retry,
    }
}

/// Done, and nothing else changed.
pub(crate) fn done() -> Effect {
    Effect::done()
}
