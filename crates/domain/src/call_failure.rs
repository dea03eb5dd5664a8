//! A call that failed, to Azure or to the API server, and what that means: for the step that made it ([`CallFailure::disposition`]), for
//! the fact that it was to read ([`CallFailure::ignorance`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ignorance::{Ignorance, IgnoranceKind};

/// How long to wait for a lock where Azure names no time.
pub const LOCK_WAIT: Duration = Duration::from_secs(15);
/// How long to wait after throttling where Azure names no time.
pub const THROTTLE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait for something that may be lagging behind.
const MISSING_WAIT: Duration = Duration::from_secs(30);

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Rights are missing.
    Forbidden,
    /// Entra refuses the operator itself: nobody's right is missing, its credential or identity is wrong.
    SignIn,
    /// Too many calls.
    Throttled,
    /// Another operation holds the resource, its subnet or its network.
    Busy,
    /// No answer in time, connection failed, 5xx.
    Unreachable,
    /// An answer that is no answer.
    Nonsense,
    /// It does not exist.
    Missing,
    /// `If-None-Match` or `If-Match` did not hold.
    Precondition,
    /// Someone else changed something at the same time, or Azure gave no reason that it is known by.
    Conflict,
    /// A list is longer than any that we take.
    TooLong,
    /// Only a change of spec or environment helps.
    Refused,
}

/// Why a call failed, in Azure's (or the API server's) words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{attempt}: {message}")]
pub struct CallFailure {
    /// What was attempted on which resource, such as `create private endpoint /subscriptions/…`.
    pub attempt: String,
    /// What went wrong.
    pub cause: Cause,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Deepest known error code, such as `LinkedAuthorizationFailed`.
    pub code: Option<String>,
    /// The message that came with it.
    pub message: String,
    /// `x-ms-correlation-request-id`.
    pub correlation_id: Option<String>,
    /// When asking again makes sense, where the answer says that.
    pub retry_after: Option<Duration>,
    /// It was sent and changes something, and no answer tells whether it did.
    pub may_have_taken_effect: bool,
}

/// What to do about a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again with backoff.
    Retry,
    /// Try again after this long (`Retry-After`, a lock on the subnet).
    Wait(Duration),
    /// Rights are missing: try again slowly, tell the user what to grant.
    Forbidden,
    /// Only a change of spec or environment helps.
    Terminal,
}

impl Disposition {
    /// Whether time may cure it.
    pub fn passes(self) -> bool {
        match self {
            Disposition::Retry | Disposition::Wait(_) => true,
            Disposition::Forbidden | Disposition::Terminal => false,
        }
    }
}

impl CallFailure {
    /// One of which nothing is known but what was attempted and why it failed: nothing was sent, or nothing came back.
    pub fn local(attempt: impl Into<String>, cause: Cause, message: impl Into<String>) -> CallFailure {
        CallFailure {
            attempt: attempt.into(),
            cause,
            status: None,
            code: None,
            message: message.into(),
            correlation_id: None,
            retry_after: None,
            may_have_taken_effect: false,
        }
    }

    /// What to do about the step that made the call.
    pub fn disposition(&self) -> Disposition {
        if self.may_have_taken_effect {
            return Disposition::Retry;
        }
        match self.cause {
            Cause::Forbidden | Cause::SignIn => Disposition::Forbidden,
            Cause::Throttled => Disposition::Wait(self.retry_after.unwrap_or(THROTTLE_WAIT)),
            Cause::Busy => Disposition::Wait(self.retry_after.unwrap_or(LOCK_WAIT)),
            Cause::Missing => Disposition::Wait(self.retry_after.unwrap_or(MISSING_WAIT)),
            Cause::Unreachable => self.retry_after.map_or(Disposition::Retry, Disposition::Wait),
            Cause::Nonsense | Cause::Precondition | Cause::Conflict => Disposition::Retry,
            Cause::Refused | Cause::TooLong => Disposition::Terminal,
        }
    }

    /// Why what the call was to read is not known.
    pub fn ignorance(&self) -> Ignorance {
        let kind = match self.cause {
            Cause::Forbidden => IgnoranceKind::Forbidden,
            Cause::SignIn => IgnoranceKind::SignIn,
            Cause::Throttled => IgnoranceKind::Throttled,
            Cause::Unreachable => IgnoranceKind::Unreachable,
            Cause::Nonsense => IgnoranceKind::Nonsense,
            Cause::Busy | Cause::Conflict => IgnoranceKind::Settling,
            Cause::Missing | Cause::Precondition | Cause::Refused | Cause::TooLong => IgnoranceKind::Refused,
        };
        Ignorance {
            attempt: self.attempt.clone(),
            kind,
            message: self.message.clone(),
            code: self.code.clone(),
            correlation_id: self.correlation_id.clone(),
            retry_after: self.retry_after,
        }
    }
}
