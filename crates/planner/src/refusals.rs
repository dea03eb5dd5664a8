//! What Azure refuses, as a wait: who can act, and what they can do. How often it is tried again is said in [`crate::attempts`].

use sreg_domain::action::{Failure, SIGN_IN};

use crate::advice::advise;
use crate::facts::{SCOPE_ADVICE, in_azures_words, is_scope_absent, sign_in};
use crate::plan::{Wait, WaitReason};

/// Zones that a policy forbids are usually kept in one place, and an exemption would be the wrong thing to ask for.
const KEPT_CENTRALLY: &str = "; where zones are kept centrally, name them: spec.endpoints[].dns.mode: Existing with their ids under privateDnsZoneResourceIds, or mode: Policy where a policy writes the records; else whoever owns the policy exempts this zone";

/// What a final failure of a step is waited for as: Azure's words, and what somebody can do about them.
pub(crate) fn wait_of(step: &str, failure: &Failure) -> Wait {
    let code = failure.code.as_deref().unwrap_or_default();
    let told = |reason, advice: &str| Wait {
        reason,
        message: format!("{}{advice}", in_azures_words(failure)),
    };
    if let Some(field) = field_for_policy(&code.to_ascii_lowercase(), &failure.message) {
        return told(WaitReason::RefusedStalled, field);
    }
    if step.starts_with("create-zone") && code.eq_ignore_ascii_case("RequestDisallowedByPolicy") {
        return told(WaitReason::RefusedStalled, KEPT_CENTRALLY);
    }
    if is_scope_absent(failure.code.as_deref()) {
        return told(WaitReason::ScopeAbsentStalled, SCOPE_ADVICE);
    }
    if failure.attempt == SIGN_IN {
        return Wait {
            reason: WaitReason::SignInStalled,
            message: sign_in(&failure.message),
        };
    }
    let connects = step.starts_with("create-endpoint");
    let unknown = if connects {
        WaitReason::EndpointFailedStalled
    } else {
        WaitReason::RefusedStalled
    };
    let (reason, advice) = match advise(failure) {
        Some((WaitReason::RefusedStalled, advice)) => (unknown, format!("; {advice}")),
        Some((reason, advice)) => (reason, format!("; {advice}")),
        None => (unknown, String::new()),
    };
    let linked = failure
        .code
        .as_deref()
        .is_some_and(|c| c.eq_ignore_ascii_case("LinkedAuthorizationFailed"));
    let otherwise = if connects && linked {
        " (in the managed resource group: managedResourceGroupAccess: GrantOperator), or set approval.mode: Manual and have somebody else approve it"
    } else {
        ""
    };
    Wait {
        reason,
        message: format!("{}{advice}{otherwise}", in_azures_words(failure)),
    }
}

/// What of the spec gives a policy what it demands, where Azure says that it judges by tags or by names.
fn field_for_policy(code: &str, message: &str) -> Option<&'static str> {
    let by = message
        .split_once("denied by policy")
        .map(|(_, by)| by)
        .filter(|_| code == "requestdisallowedbypolicy")?;
    let tags = by.to_lowercase().contains("tags[");
    let names = by.contains(" by name");
    match (tags, names) {
        (true, _) => Some("; it is about tags: set what the policy demands under spec.tags, or spec.endpoints[].tags"),
        (false, true) => {
            Some("; it is about names: set spec.endpoints[].nameTemplate, such as pe-{registry}-{group}-{hash}")
        }
        (false, false) => None,
    }
}
