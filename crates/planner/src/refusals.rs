//! What Azure refuses, as a wait: who can act, and what they can do. How often it is tried again is said in [`crate::attempts`].

use sreg_domain::action::SIGN_IN;
use sreg_domain::{CallFailure, StepId, StepKind};

use crate::advice::{Refusal, advise};
use crate::plan::{Wait, WaitReason};
use crate::view::{in_azures_words, sign_in};

/// What a final failure of a step is waited for as: Azure's words, and what somebody can do about them.
pub(crate) fn wait_of(step: &StepId, failure: &CallFailure) -> Wait {
    if failure.attempt == SIGN_IN {
        return Wait::new(WaitReason::SignInStalled, sign_in(&failure.message));
    }
    let connects = step.kind == StepKind::CreateEndpoint;
    let refused = if connects {
        WaitReason::EndpointFailedStalled
    } else {
        WaitReason::RefusedStalled
    };
    let (reason, advice) = match advise(Refusal::of_step(step, failure)) {
        (WaitReason::RefusedStalled, advice) => (refused, advice),
        told => told,
    };
    let is = |code: &str| failure.code.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(code));
    // Where something else than a right is missing, its own advice says what helps.
    let otherwise = if connects && reason == WaitReason::PermissionStalled && is("LinkedAuthorizationFailed") {
        " (in the managed resource group: managedResourceGroupAccess: GrantOperator), or set approval.mode: Manual and have somebody else approve it"
    } else {
        ""
    };
    Wait::new(reason, format!("{}; {advice}{otherwise}", in_azures_words(failure)))
}

/// Azure's codes are words; whatever else stands there is none.
pub(crate) fn code_of(failure: &CallFailure) -> Option<String> {
    let is_word =
        |code: &&String| code.len() <= 128 && code.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    failure.code.as_ref().filter(is_word).cloned()
}
