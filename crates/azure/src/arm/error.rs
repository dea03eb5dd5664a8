//! Why a call failed, and what that means: for a plan's step ([`CallFailure`]), for an observation ([`Ignorance`]). The table of
//! codes is azure.md §6.3; a code decides before the status does, because the status varies (U19) and a 429 may be a lock.

use std::error::Error as _;
use std::time::Duration;

use azure_core::error::ErrorKind;
use sreg_domain::action::SIGN_IN;
use sreg_domain::outside;
use sreg_domain::seen::Ignorance;
use sreg_domain::{CallFailure, Cause};

use super::NotSent;
use super::call::Call;
use super::envelope::Deepest;
use crate::identity::TokenError;

/// Longest message that is taken in: a denying policy is described in some kB, and what was denied is named at the end.
const LONGEST_MESSAGE: usize = 4 * outside::LONGEST;

/// Our own budget does not allow the call before its deadline.
pub(super) fn over_budget(attempt: &str, pause: Duration) -> CallFailure {
    let message = format!(
        "not sent: the subscription's budget allows the next call in {} s",
        pause.as_secs().max(1)
    );
    CallFailure {
        retry_after: Some(pause),
        ..CallFailure::local(attempt, Cause::Throttled, message)
    }
}

/// No token.
pub(super) fn no_token(attempt: &str, error: TokenError) -> CallFailure {
    let cause = if error.refused {
        Cause::SignIn
    } else {
        Cause::Unreachable
    };
    // Who was refused once is refused whatever it asks for: the same sentence for every call.
    let attempt = if error.refused { SIGN_IN } else { attempt };
    CallFailure {
        code: error.code.clone(),
        correlation_id: error.correlation_id.clone(),
        ..CallFailure::local(attempt, cause, error.to_string())
    }
}

/// A defect of ours: a call that nobody's role allows.
pub(super) fn undeclared(call: &Call) -> CallFailure {
    let action = call.action.as_deref().unwrap_or_default();
    let message = format!("not sent: a defect of the operator, whose roles do not know {action}; please report it");
    CallFailure::local(call.attempt.as_str(), Cause::Refused, message)
}

/// Its URL cannot be written so that it leads to what is meant, and nowhere else.
pub(super) fn not_sent(call: &Call, why: &NotSent) -> CallFailure {
    CallFailure::local(call.attempt.as_str(), Cause::Refused, format!("not sent: {why}"))
}

/// A list ends beyond what we take. The part that was read is no list.
pub(super) fn too_long(attempt: &str, what: &str) -> CallFailure {
    let message = format!(
        "the list has {what}, which is beyond what the operator takes: nothing of it is believed; let fewer resources stand there (another resource group, zone or subscription for some of them)"
    );
    CallFailure::local(attempt, Cause::TooLong, message)
}

/// No answer in time.
pub(super) fn timeout(call: &Call, correlation: &str) -> CallFailure {
    let mut error = CallFailure::local(
        call.attempt.as_str(),
        Cause::Unreachable,
        "no answer in time".to_owned(),
    );
    error.correlation_id = Some(correlation.to_owned());
    error.may_have_taken_effect = call.changes();
    error
}

/// The transport failed. Only where no connection was made is it certain that nothing was sent.
pub(super) fn transport(call: &Call, correlation: &str, error: &azure_core::Error) -> CallFailure {
    let unsent = matches!(error.kind(), ErrorKind::Connection);
    let cause = if matches!(error.kind(), ErrorKind::DataConversion) {
        Cause::Nonsense
    } else {
        Cause::Unreachable
    };
    let mut failed = CallFailure::local(call.attempt.as_str(), cause, chain(error));
    failed.correlation_id = Some(correlation.to_owned());
    failed.may_have_taken_effect = call.changes() && !unsent;
    failed
}

/// What leaves this crate: Azure's words as [`told`], and that a write may have taken effect.
pub(crate) trait Leaving {
    /// For a plan's step.
    fn into_failure(self) -> CallFailure;
    /// For a fact.
    fn into_ignorance(self) -> Ignorance;
}

impl Leaving for CallFailure {
    fn into_failure(self) -> CallFailure {
        let message = if self.may_have_taken_effect {
            format!("{}; it may have taken effect", self.message)
        } else {
            self.message
        };
        CallFailure {
            attempt: told(&self.attempt),
            code: self.code.as_deref().map(named),
            message: told(&message),
            correlation_id: self.correlation_id.as_deref().map(named),
            ..self
        }
    }

    fn into_ignorance(self) -> Ignorance {
        let told = CallFailure {
            may_have_taken_effect: false,
            ..self
        };
        told.into_failure().ignorance()
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

/// Whether the resource belongs to another tenant than the token, as a network that is peered across tenants does: the token is as good
/// as before for everything else, and a new one would be refused as well.
pub(super) fn is_of_another_tenant(error: &CallFailure) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code.eq_ignore_ascii_case("InvalidAuthenticationTokenTenant")
}

/// Whether a refusal says that somebody lacks a right: by its code, or in its words.
fn speaks_of_rights(code: &str, message: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let codes = [
        "authoriz",
        "permission",
        "forbidden",
        "accessdenied",
        "insufficientaccess",
    ];
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
    use sreg_domain::Disposition;

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
            CallFailure {
                retry_after,
                ..CallFailure::local("put x", cause, "m")
            }
            .into_failure()
            .disposition()
        };
        let seconds = Duration::from_secs;
        assert_eq!(failed(Cause::Busy, Some(seconds(7))), Disposition::Wait(seconds(7)));
        assert_eq!(
            failed(Cause::Busy, None),
            Disposition::Wait(sreg_domain::call_failure::LOCK_WAIT)
        );
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
        let error = || CallFailure {
            code: Some("Odd\u{202e}Code\n".into()),
            correlation_id: Some("c-1\u{1b}]0;x\u{7}".into()),
            ..CallFailure::local(
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
        let mut error = CallFailure::local("put x", Cause::Unreachable, "no answer in time");
        error.may_have_taken_effect = true;
        let failure = error.into_failure();
        assert!(failure.message.ends_with("may have taken effect"));
        assert_eq!(failure.disposition(), Disposition::Retry);
    }
}
