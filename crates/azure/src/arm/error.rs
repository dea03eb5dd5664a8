//! Why a call failed, and what that means: for a plan's step ([`Failure`]), for an observation ([`Ignorance`]). The table of
//! codes is azure.md §6.3; a code decides before the status does, because the status varies (U19) and a 429 may be a lock.

use std::error::Error as _;
use std::time::Duration;

use azure_core::error::ErrorKind;
use sreg_domain::action::{Disposition, Failure, SIGN_IN};
use sreg_domain::outside;
use sreg_domain::seen::{Ignorance, IgnoranceKind};

use super::NotSent;
use super::call::Call;
use super::envelope::Deepest;
use crate::identity::TokenError;

/// How long to wait for a lock where Azure names no time.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// How long to wait after throttling where Azure names no time.
pub(super) const THROTTLE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait for something that may be lagging behind.
const MISSING_WAIT: Duration = Duration::from_secs(30);
/// Longest message that is taken in: a denying policy is described in some kB, and what was denied is named at the end.
const LONGEST_MESSAGE: usize = 4 * outside::LONGEST;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
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
    /// Someone else changed something at the same time.
    Conflict,
    /// A list is longer than any that we take.
    TooLong,
    /// Only a change of spec or environment helps.
    Refused,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{attempt}: {message}")]
pub(crate) struct CallError {
    pub(crate) attempt: String,
    pub(crate) cause: Cause,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// It was sent and changes something, and no answer tells whether it did.
    pub(crate) may_have_taken_effect: bool,
}

impl CallError {
    fn local(attempt: &str, cause: Cause, message: String) -> CallError {
        CallError {
            attempt: attempt.to_owned(),
            cause,
            status: None,
            code: None,
            message,
            correlation_id: None,
            retry_after: None,
            may_have_taken_effect: false,
        }
    }

    /// Our own budget does not allow the call before its deadline.
    pub(super) fn budget(attempt: &str, pause: Duration) -> CallError {
        let message = format!(
            "not sent: the subscription's budget allows the next call in {} s",
            pause.as_secs().max(1)
        );
        CallError {
            retry_after: Some(pause),
            ..CallError::local(attempt, Cause::Throttled, message)
        }
    }

    /// No token.
    pub(super) fn token(attempt: &str, error: TokenError) -> CallError {
        let cause = if error.refused {
            Cause::SignIn
        } else {
            Cause::Unreachable
        };
        // Who was refused once is refused whatever it asks for: the same sentence for every call.
        let attempt = if error.refused { SIGN_IN } else { attempt };
        CallError {
            code: error.code.clone(),
            correlation_id: error.correlation_id.clone(),
            ..CallError::local(attempt, cause, error.to_string())
        }
    }

    /// A defect of ours: a call that nobody's role allows.
    pub(super) fn undeclared(call: &Call) -> CallError {
        let action = call.action.as_deref().unwrap_or_default();
        let message = format!("not sent: a defect of the operator, whose roles do not know {action}; please report it");
        CallError::local(&call.attempt, Cause::Refused, message)
    }

    /// Its URL cannot be written so that it leads to what is meant, and nowhere else.
    pub(super) fn not_sent(call: &Call, why: &NotSent) -> CallError {
        CallError::local(&call.attempt, Cause::Refused, format!("not sent: {why}"))
    }

    /// A list ends beyond what we take. The part that was read is no list.
    pub(super) fn too_long(attempt: &str, what: &str) -> CallError {
        let message = format!(
            "the list has {what}, which is beyond what the operator takes: nothing of it is believed; let fewer resources stand there (another resource group, zone or subscription for some of them)"
        );
        CallError::local(attempt, Cause::TooLong, message)
    }

    /// No answer in time.
    pub(super) fn timeout(call: &Call, correlation: &str) -> CallError {
        let mut error = CallError::local(&call.attempt, Cause::Unreachable, "no answer in time".to_owned());
        error.correlation_id = Some(correlation.to_owned());
        error.may_have_taken_effect = call.changes();
        error
    }

    /// The transport failed. Only where no connection was made is it certain that nothing was sent.
    pub(super) fn transport(call: &Call, correlation: &str, error: &azure_core::Error) -> CallError {
        let unsent = matches!(error.kind(), ErrorKind::Connection);
        let cause = if matches!(error.kind(), ErrorKind::DataConversion) {
            Cause::Nonsense
        } else {
            Cause::Unreachable
        };
        let mut failed = CallError::local(&call.attempt, cause, chain(error));
        failed.correlation_id = Some(correlation.to_owned());
        failed.may_have_taken_effect = call.changes() && !unsent;
        failed
    }

    /// What a plan's step makes of it.
    pub(crate) fn into_failure(self) -> Failure {
        let disposition = match self.cause {
            Cause::Forbidden | Cause::SignIn => Disposition::Forbidden,
            Cause::Throttled => Disposition::Wait(self.retry_after.unwrap_or(THROTTLE_WAIT)),
            Cause::Busy => Disposition::Wait(self.retry_after.unwrap_or(LOCK_WAIT)),
            Cause::Missing => Disposition::Wait(self.retry_after.unwrap_or(MISSING_WAIT)),
            Cause::Unreachable => self.retry_after.map_or(Disposition::Retry, Disposition::Wait),
            Cause::Nonsense | Cause::Precondition | Cause::Conflict => Disposition::Retry,
            Cause::Refused | Cause::TooLong => Disposition::Terminal,
        };
        let (message, disposition) = if self.may_have_taken_effect {
            (
                format!("{}; it may have taken effect", self.message),
                Disposition::Retry,
            )
        } else {
            (self.message, disposition)
        };
        Failure {
            attempt: told(&self.attempt),
            code: self.code.as_deref().map(named),
            message: told(&message),
            status: self.status,
            correlation_id: self.correlation_id.as_deref().map(named),
            disposition,
        }
    }

    /// What an observation makes of it.
    pub(crate) fn into_ignorance(self) -> Ignorance {
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
            attempt: told(&self.attempt),
            kind,
            message: told(&self.message),
            code: self.code.as_deref().map(named),
            correlation_id: self.correlation_id.as_deref().map(named),
            retry_after: self.retry_after,
        }
    }
}

/// Azure's words as they leave this crate. They repeat what others wrote into names, tags and policies. Until here they stay as Azure
/// wrote them: a cause is told by them, and so is the rule of a firewall that Azure names.
fn told(message: &str) -> String {
    outside::words(message, LONGEST_MESSAGE).into_owned()
}

fn named(word: &str) -> String {
    outside::words(word, outside::LONGEST_NAME).into_owned()
}

/// Known codes (azure.md §3.4, §4.1, §5.2, §6.3).
pub(crate) fn cause_of_code(code: &str) -> Option<Cause> {
    const TABLE: &[(Cause, &[&str])] = &[
        (
            Cause::Throttled,
            &[
                "TooManyRequests",
                "SubscriptionRequestsThrottled",
                "OperationNotAllowedThrottled",
            ],
        ),
        (
            Cause::Busy,
            &[
                "RetryableError",
                "RetryableErrorDueToAnotherOperation",
                "ReferencedResourceNotProvisioned",
                "AnotherOperationInProgress",
                "StorageAccountOperationInProgress",
                "OperationInProgress",
            ],
        ),
        (
            Cause::Forbidden,
            &[
                "AuthorizationFailed",
                "LinkedAuthorizationFailed",
                "DenyAssignmentAuthorizationFailed",
            ],
        ),
        (
            Cause::Refused,
            &[
                "RequestDisallowedByPolicy",
                "ScopeLocked",
                "RequestDisallowedByAzure",
                "ReadOnlyDisabledSubscription",
                "SubscriptionDisabled",
                "DisabledSubscription",
                "SubscriptionNotRegistered",
                "SubscriptionNotFound",
                "InvalidSubscriptionId",
                "InvalidResourceType",
                "InvalidResourceNamespace",
                "NoRegisteredProviderFound",
                "MissingSubscriptionRegistration",
                "PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
                "DisablingPublicNetworkAccessNotSupported",
                "SubnetIsFull",
                "QuotaExceeded",
                "BadRequest",
                "UserError",
            ],
        ),
        (
            Cause::Missing,
            &[
                "ResourceGroupNotFound",
                "ResourceNotFound",
                "NotFound",
                "SubnetNotFound",
                "ParentResourceNotFound",
            ],
        ),
        (Cause::Precondition, &["PreconditionFailed"]),
    ];
    TABLE
        .iter()
        .find(|(_, codes)| codes.iter().any(|c| c.eq_ignore_ascii_case(code)))
        .map(|(cause, _)| *cause)
}

/// What a status means where no known code came with it.
pub(super) fn cause_of_status(status: u16) -> Cause {
    match status {
        401 | 403 => Cause::Forbidden,
        404 => Cause::Missing,
        408 | 500..=599 => Cause::Unreachable,
        409 => Cause::Conflict,
        412 => Cause::Precondition,
        429 => Cause::Throttled,
        400..=499 => Cause::Refused,
        _ => Cause::Nonsense,
    }
}

/// What status and code mean together. `vouched`: JSON or Azure's own headers came with it.
pub(super) fn cause(status: u16, deepest: Option<&Deepest>, vouched: bool) -> Cause {
    let message = deepest
        .and_then(|d| d.message.as_deref())
        .unwrap_or_default()
        .to_ascii_lowercase();
    // "PrivateLinkServiceId Invalid private link service id": the target is not yet replicated (§3.4).
    if message.contains("invalid private link service id") {
        return Cause::Busy;
    }
    // A recreated network still holds its old identity (§4.1); no retry of ours ends that.
    if status == 409 && message.contains("already in use") {
        return Cause::Refused;
    }
    let code = deepest.and_then(|d| d.code.as_deref());
    match (status, code.and_then(cause_of_code)) {
        // 401 is about the token, 412 about our precondition, 5xx about Azure, whatever else the code says.
        (401, _) => Cause::Forbidden,
        (412, _) => Cause::Precondition,
        (500..=599, Some(Cause::Refused | Cause::Missing) | None) => Cause::Unreachable,
        (_, Some(known)) => known,
        // Azure forbids for other reasons than rights; only what speaks of rights is for granting.
        (403, None) if code.is_some() && !speaks_of_rights(code.unwrap_or_default(), &message) => Cause::Refused,
        // "does not exist" must be said by Azure: by a code, or at least with its headers.
        (404, None) if !vouched => Cause::Nonsense,
        (404, None) if code.is_some_and(|c| !c.to_ascii_lowercase().contains("notfound")) => Cause::Refused,
        (_, None) => cause_of_status(status),
    }
}

/// Whether a refusal says that somebody lacks a right: by its code, or in its words.
fn speaks_of_rights(code: &str, message: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let codes = ["authoriz", "permission", "forbidden", "accessdenied"];
    let words = [
        "does not have authorization",
        "does not have permission",
        "not authorized",
        "access is denied",
    ];
    codes.iter().any(|c| code.contains(c)) || words.iter().any(|w| message.contains(w))
}

/// An error with its sources in one line. azure_core repeats some of them: those are left out.
fn chain(error: &azure_core::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, message: &str) -> Deepest {
        Deepest {
            code: Some(code.into()),
            message: Some(message.into()),
        }
    }

    #[test]
    fn the_code_decides_before_the_status() {
        let table = [
            (429, "TooManyRequests", "", Cause::Throttled),
            (429, "RetryableErrorDueToAnotherOperation", "", Cause::Busy),
            (429, "ReferencedResourceNotProvisioned", "", Cause::Busy),
            (429, "SomethingNew", "", Cause::Throttled),
            (403, "LinkedAuthorizationFailed", "", Cause::Forbidden),
            (400, "LinkedAuthorizationFailed", "", Cause::Forbidden),
            (403, "RequestDisallowedByPolicy", "", Cause::Refused),
            (409, "ScopeLocked", "", Cause::Refused),
            (409, "ReadOnlyDisabledSubscription", "", Cause::Refused),
            (403, "RequestDisallowedByAzure", "", Cause::Refused),
            (
                403,
                "NobodyKnowsThisOne",
                "the region takes no new ones",
                Cause::Refused,
            ),
            (
                403,
                "NobodyKnowsThisOne",
                "The client 'x' does not have authorization to",
                Cause::Forbidden,
            ),
            (403, "AuthorizationPermissionMismatch", "", Cause::Forbidden),
            (400, "SubnetIsFull", "", Cause::Refused),
            (
                409,
                "Conflict",
                "Virtual network resource identity 'x' already in use.",
                Cause::Refused,
            ),
            (409, "Conflict", "try again", Cause::Conflict),
            (400, "BadRequest", "overlapping namespaces", Cause::Refused),
            (
                400,
                "InvalidPrivateLink",
                "PrivateLinkServiceId Invalid private link service id x",
                Cause::Busy,
            ),
            (404, "ResourceNotFound", "", Cause::Missing),
            (404, "SubnetNotFound", "", Cause::Missing),
            (404, "SubscriptionNotFound", "", Cause::Refused),
            (404, "InvalidResourceType", "", Cause::Refused),
            (404, "OddNotFound", "", Cause::Missing),
            (404, "Gateway", "", Cause::Refused),
            (401, "InvalidAuthenticationToken", "", Cause::Forbidden),
            (412, "PreconditionFailed", "", Cause::Precondition),
            (500, "InternalServerError", "", Cause::Unreachable),
            (503, "UserError", "", Cause::Unreachable),
            (500, "RetryableError", "", Cause::Busy),
        ];
        for (status, code, message, expected) in table {
            assert_eq!(
                cause(status, Some(&told(code, message)), true),
                expected,
                "{status} {code} {message}"
            );
        }
    }

    #[test]
    fn a_lock_waits_and_a_missing_right_does_not_retry_hotly() {
        let failed = |cause, retry_after| {
            CallError {
                retry_after,
                ..CallError::local("put x", cause, "m".into())
            }
            .into_failure()
            .disposition
        };
        let seconds = Duration::from_secs;
        assert_eq!(failed(Cause::Busy, Some(seconds(7))), Disposition::Wait(seconds(7)));
        assert_eq!(failed(Cause::Busy, None), Disposition::Wait(LOCK_WAIT));
        assert_eq!(failed(Cause::Forbidden, None), Disposition::Forbidden);
        assert_eq!(failed(Cause::Refused, None), Disposition::Terminal);
        assert_eq!(failed(Cause::Unreachable, None), Disposition::Retry);
        assert_eq!(
            failed(Cause::Unreachable, Some(seconds(3))),
            Disposition::Wait(seconds(3))
        );
    }

    #[test]
    fn azures_words_leave_on_one_line_without_markup_and_no_longer_than_is_told() {
        let error = || CallError {
            code: Some("Odd\u{202e}Code\n".into()),
            correlation_id: Some("c-1\u{1b}]0;x\u{7}".into()),
            ..CallError::local(
                "put x",
                Cause::Refused,
                format!("no\r\nLocked: <script>\u{1b}[2K{}", "x".repeat(100_000)),
            )
        };
        let (failure, ignorance) = (error().into_failure(), error().into_ignorance());
        assert!(failure.message.starts_with("no Locked: ‹script›\u{fffd}[2Kxxx"));
        assert!(failure.message.len() <= LONGEST_MESSAGE);
        assert_eq!(failure.code.as_deref(), Some("Odd\u{fffd}Code"));
        assert_eq!(failure.correlation_id.as_deref(), Some("c-1\u{fffd}]0;x\u{fffd}"));
        let same = (&failure.message, &failure.code, &failure.correlation_id);
        assert_eq!((&ignorance.message, &ignorance.code, &ignorance.correlation_id), same);
    }

    #[test]
    fn a_write_without_an_answer_says_that_it_may_have_taken_effect() {
        let mut error = CallError::local("put x", Cause::Unreachable, "no answer in time".into());
        error.may_have_taken_effect = true;
        let failure = error.into_failure();
        assert!(failure.message.ends_with("may have taken effect"));
        assert_eq!(failure.disposition, Disposition::Retry);
    }
}
