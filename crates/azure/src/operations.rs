//! Long-running operations (azure.md §1.4, §6.1): which URL tells how one stands, and what its answer means. Azure answers in
//! any form: a status body, the full object without a status, nothing at all, or a failure as 200.
//!
//! | URL from | 4xx or 5xx |
//! | --- | --- |
//! | `Azure-AsyncOperation`, or the resource itself | the status could not be read; the operation may go on |
//! | `Location` | the operation's final answer, where a code says what failed; else as above |
//!
//! A recorded `Location` is told apart by its fragment, which is never sent.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sreg_domain::action::{Effect, Operation};
use sreg_domain::seen::OperationState;
use sreg_domain::{ArmId, CallFailure, Cause, StepId};
use tokio::time::Instant;

use crate::arm::{Arm, ArmResponse, Call, Class, Leaving, Payer, deepest};

/// A status that could not be read for so long is lost; Azure keeps them for about a day.
const UNREADABLE_FOR: Duration = Duration::from_secs(4 * 3600);

/// Fragment of a recorded URL that came from `Location`.
const LOCATION: &str = "location";

/// What a write's good answer means: done, or started with the URL that tells how it stands. `AAO` is preferred, then
/// `Location`; where neither leads to our ARM the resource itself is asked.
pub(crate) fn started(arm: &Arm, step: &StepId, resource: &ArmId, answer: &ArmResponse) -> Effect {
    let running = answer.status == 202
        || answer.async_operation.is_some()
        || answer.location.is_some()
        || !ended_well(answer.body.as_ref());
    if !running {
        return Effect::done();
    }
    let own = |header: &Option<String>| header.as_deref().and_then(|text| arm.own_url(text));
    let status = own(&answer.async_operation);
    let poll = status.or_else(|| {
        let mut location = own(&answer.location)?;
        location.set_fragment(Some(LOCATION));
        Some(location)
    });
    let poll = poll.unwrap_or_else(|| Call::read(arm, resource).url);
    Effect::Started(Operation {
        step: step.clone(),
        resource: resource.clone(),
        poll_url: poll.to_string(),
        started_at: Timestamp::now(),
    })
}

/// Whether a resource in a body has ended its provisioning well; one without a state has (§6.1).
fn ended_well(body: Option<&Value>) -> bool {
    provisioning_state(body).is_none_or(|s| s.eq_ignore_ascii_case("Succeeded"))
}

fn provisioning_state(body: Option<&Value>) -> Option<&str> {
    body?.pointer("/properties/provisioningState")?.as_str()
}

/// Asks how an operation stands. A URL that does not lead to our ARM is not asked: it would get our token.
pub(crate) async fn poll(arm: &Arm, operation: &Operation, payer: &Payer, deadline: Instant) -> OperationState {
    let Some(mut url) = arm.own_url(&operation.poll_url) else {
        return OperationState::Lost;
    };
    let by_location = url.fragment() == Some(LOCATION);
    url.set_fragment(None);
    let attempt = format!("read the state of the operation on {}", operation.resource);
    let budget = Some((operation.resource.subscription().to_owned(), Class::Read));
    let call = Call::get(url, &attempt, budget, None)
        .tolerating_error_bodies()
        .on_behalf_of(payer);
    match arm.send(call, deadline).await {
        Ok(answer) => interpret(operation, &answer),
        Err(error) if by_location && is_final(&error) => OperationState::Failed(
            CallFailure {
                attempt: attempt_of(operation),
                ..error
            }
            .into_failure(),
        ),
        Err(error) => unreadable(operation, &error, Timestamp::now()),
    }
}

/// Whether an error of a `Location` URL is the operation's own: it has a code, and is not about reading.
fn is_final(error: &CallFailure) -> bool {
    let about_reading = matches!(error.status, None | Some(401 | 404 | 408 | 410 | 429 | 500..));
    let denied = error
        .code
        .as_deref()
        .is_some_and(|c| c.eq_ignore_ascii_case("AuthorizationFailed"));
    !about_reading && !denied && error.code.is_some()
}

fn attempt_of(operation: &Operation) -> String {
    format!("the operation on {}", operation.resource)
}

/// A 4xx or 5xx of the status URL says nothing about the operation, except that a 404 says the URL is gone.
fn unreadable(operation: &Operation, error: &CallFailure, now: Timestamp) -> OperationState {
    let gone = matches!(error.status, Some(404 | 410));
    let age = Duration::try_from(now.duration_since(operation.started_at)).unwrap_or(Duration::ZERO);
    if gone || age > UNREADABLE_FOR {
        return OperationState::Lost;
    }
    tracing::debug!(attempt = %error.attempt, message = %error.message, "an operation's state could not be read");
    OperationState::Unreadable {
        retry_after: error.retry_after,
    }
}

/// What a good answer of the status URL means.
fn interpret(operation: &Operation, answer: &ArmResponse) -> OperationState {
    let running = OperationState::Running {
        retry_after: answer.retry_after,
    };
    let Some(body) = &answer.body else {
        return if answer.status == 202 {
            running
        } else {
            OperationState::Succeeded
        };
    };
    if !body.is_object() {
        return running;
    }
    let status = body.get("status").and_then(Value::as_str);
    let failed_without_status = status.is_none() && body.get("error").is_some_and(|e| !e.is_null());
    let state = status.or_else(|| provisioning_state(Some(body)));
    match state.map(str::to_ascii_lowercase).as_deref() {
        _ if failed_without_status => OperationState::Failed(failure(operation, answer, body, "Failed")),
        Some("succeeded") => OperationState::Succeeded,
        Some(ended @ ("failed" | "canceled" | "cancelled")) => {
            OperationState::Failed(failure(operation, answer, body, ended))
        }
        // 202 is "still running" by contract, whatever object came with it.
        None if answer.status != 202 => OperationState::Succeeded,
        Some(_) | None => running,
    }
}

fn failure(operation: &Operation, answer: &ArmResponse, body: &Value, ended: &str) -> CallFailure {
    let error = body
        .get("error")
        .or_else(|| body.pointer("/properties/error"))
        .filter(|e| !e.is_null());
    let said = error.and_then(|_| deepest(body).or_else(|| deepest(body.get("properties")?)));
    let (code, message) = said.map_or((None, None), |d| (d.code, d.message));
    let cause = code.as_deref().and_then(crate::arm::cause_of_code);
    // A canceled operation was canceled by somebody or by something newer; it may be tried again.
    let cause = cause.filter(|_| !ended.starts_with("cancel"));
    let call = CallFailure {
        attempt: attempt_of(operation),
        cause: cause.unwrap_or(Cause::Conflict),
        status: None,
        code,
        message: message.unwrap_or_else(|| format!("the operation ended as {ended} and gave no reason")),
        correlation_id: Some(answer.correlation_id.clone()),
        retry_after: answer.retry_after,
        may_have_taken_effect: false,
    };
    call.into_failure()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sreg_domain::Disposition;

    use sreg_domain::StepKind;

    use super::*;

    fn operation() -> Operation {
        Operation {
            step: StepKind::CreateEndpoint.on("hub/blob"),
            resource: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/p"
                .parse()
                .unwrap(),
            poll_url: "https://arm.test/op".into(),
            started_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        }
    }

    fn stands(status: u16, body: Option<Value>) -> OperationState {
        interpret(&operation(), &ArmResponse::for_tests(status, body))
    }

    fn is_running(state: &OperationState) -> bool {
        matches!(state, OperationState::Running { .. })
    }

    #[test]
    fn every_form_of_a_polls_answer_is_understood() {
        let succeeded: [(u16, Option<Value>); 7] = [
            (200, Some(json!({"status": "Succeeded"}))),
            (200, Some(json!({"status": "sUcCeEdEd"}))),
            (
                200,
                Some(json!({"id": "x", "properties": {"publicNetworkAccess": "Disabled"}})),
            ),
            (
                200,
                Some(json!({"id": "x", "properties": {"provisioningState": "Succeeded"}})),
            ),
            (200, None),
            (201, None),
            (204, None),
        ];
        for (status, body) in succeeded {
            assert_eq!(
                stands(status, body.clone()),
                OperationState::Succeeded,
                "{status} {body:?}"
            );
        }
        let running: [(u16, Option<Value>); 7] = [
            (200, Some(json!({"status": "InProgress", "percentComplete": 40.0}))),
            (200, Some(json!({"status": "AnythingNew"}))),
            (
                200,
                Some(json!({"id": "x", "properties": {"provisioningState": "Updating"}})),
            ),
            (202, None),
            (202, Some(json!({}))),
            (202, Some(json!({"id": "x"}))),
            (200, Some(json!([]))),
        ];
        for (status, body) in running {
            assert!(is_running(&stands(status, body.clone())), "{status} {body:?}");
        }
    }

    #[test]
    fn a_failure_in_a_200_has_the_deepest_code_and_its_disposition() {
        let OperationState::Failed(failure) = stands(
            200,
            Some(
                json!({"status": "Failed", "error": {"code": "RetryableError", "message": "outer", "details": [
                {"code": "ReferencedResourceNotProvisioned", "message": "subnet is Updating"}]}}),
            ),
        ) else {
            panic!("not failed")
        };
        assert_eq!(failure.code.as_deref(), Some("ReferencedResourceNotProvisioned"));
        assert_eq!(failure.message, "subnet is Updating");
        assert!(matches!(failure.disposition(), Disposition::Wait(_)));
        assert_eq!(failure.correlation_id.as_deref(), Some("test"));
        let OperationState::Failed(failure) = stands(
            200,
            Some(json!({"status": "Failed", "error": {"code": "BadRequest", "message": "overlapping namespaces"}})),
        ) else {
            panic!("not failed")
        };
        assert_eq!(failure.disposition(), Disposition::Terminal);
        for body in [
            json!({"status": "Failed"}),
            json!({"status": "Canceled"}),
            json!({"error": {"code": "X"}}),
            json!({"properties": {"provisioningState": "Failed"}}),
        ] {
            assert!(
                matches!(stands(200, Some(body.clone())), OperationState::Failed(_)),
                "{body}"
            );
        }
    }

    #[test]
    fn a_location_ends_with_the_operations_own_error() {
        let error = |status: u16, code: Option<&str>| CallFailure {
            attempt: "poll".into(),
            cause: Cause::Refused,
            status: Some(status),
            code: code.map(str::to_owned),
            message: "m".into(),
            correlation_id: None,
            retry_after: None,
            may_have_taken_effect: false,
        };
        for (status, code) in [
            (400, "BadRequest"),
            (409, "Conflict"),
            (403, "LinkedAuthorizationFailed"),
            (422, "New"),
        ] {
            assert!(is_final(&error(status, Some(code))), "{status} {code}");
        }
        for (status, code) in [
            (400, None),
            (401, Some("InvalidAuthenticationToken")),
            (403, Some("AuthorizationFailed")),
            (404, Some("OperationNotFound")),
            (429, Some("TooManyRequests")),
            (500, Some("InternalServerError")),
        ] {
            assert!(!is_final(&error(status, code)), "{status} {code:?}");
        }
    }

    #[test]
    fn an_unreadable_status_is_no_failure_but_a_gone_one_is_lost() {
        let at = |status: Option<u16>, hours: i64| {
            let error = CallFailure {
                attempt: "poll".into(),
                cause: Cause::Unreachable,
                status,
                code: None,
                message: "m".into(),
                correlation_id: None,
                retry_after: None,
                may_have_taken_effect: false,
            };
            let operation = operation();
            let now = operation.started_at + jiff::SignedDuration::from_hours(hours);
            unreadable(&operation, &error, now)
        };
        for status in [Some(500), Some(403), Some(429), None] {
            let state = at(status, 1);
            assert!(
                matches!(state, OperationState::Unreadable { .. }),
                "{status:?}: {state:?}"
            );
            assert_eq!(at(status, 5), OperationState::Lost, "{status:?}");
        }
        assert_eq!(at(Some(404), 0), OperationState::Lost);
    }
}
