//! What somebody can do about a refusal of Azure's: one row for each class of codes, with who must act and the command for it, its ids
//! filled in. A command that is right for one code is wrong for another: no right helps where a lock, a policy or a disabled
//! subscription stands in the way. Where Azure names what is needed in its message, it is taken from there. Pure.

use sreg_domain::action::{Disposition, Failure};
use sreg_domain::rights;

use crate::plan::WaitReason;

/// A class of refusals.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Azure's codes, or beginnings of codes where a star stands at the end.
    pub codes: &'static [&'static str],
    /// What a wait for it is.
    pub reason: WaitReason,
    /// What to do, by whom. `{name}`s are filled in by [`advise`].
    pub advice: &'static str,
}

/// Every class that we know, the more special first.
pub const ROWS: &[Row] = &[
    Row {
        codes: &["DenyAssignmentAuthorizationFailed"],
        reason: WaitReason::DenyAssignmentStalled,
        advice: "set spec.registry.managedResourceGroupAccess: GrantOperator, or list the operator's principal in managedResourceGroupSettings.assignedIdentities",
    },
    Row {
        codes: &["AuthorizationFailed", "LinkedAuthorizationFailed"],
        reason: WaitReason::PermissionStalled,
        advice: "grant the operator's identity that right: az role assignment create --assignee-object-id {principal} --assignee-principal-type ServicePrincipal --role \"{role}\" --scope {scope}",
    },
    Row {
        codes: &["RequestDisallowedByPolicy"],
        reason: WaitReason::RefusedStalled,
        advice: "no right helps against a policy; whoever owns it exempts this: az policy exemption create --name secure-registry --exemption-category Waiver --policy-assignment {assignment} --scope {resource}",
    },
    Row {
        codes: &["ScopeLocked"],
        reason: WaitReason::RefusedStalled,
        advice: "no right helps against a lock; whoever set it removes it: az lock list --resource-group {group} --subscription {subscription} --output table, then az lock delete --name <lock> --resource-group {group} --subscription {subscription}",
    },
    Row {
        codes: &[
            "ReadOnlyDisabledSubscription",
            "SubscriptionDisabled",
            "DisabledSubscription",
        ],
        reason: WaitReason::RefusedStalled,
        advice: "the subscription is disabled, and no right helps: whoever pays for it enables it again; see az account show --subscription {subscription} --query state",
    },
    Row {
        codes: &["RequestDisallowedByAzure"],
        reason: WaitReason::RefusedStalled,
        advice: "Azure itself disallows this for the subscription, and no right or exemption helps: ask Microsoft's support, with the correlation id",
    },
    Row {
        codes: &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"],
        reason: WaitReason::RefusedStalled,
        advice: "register the provider: az provider register --namespace {provider} --subscription {subscription}",
    },
    Row {
        codes: &[
            "SubscriptionNotFound",
            "InvalidSubscriptionId",
            "InvalidAuthenticationTokenTenant",
        ],
        reason: WaitReason::RefusedStalled,
        advice: "correct the subscription in the spec, or the tenant of the operator (AZURE_TENANT_ID): az account show --subscription {subscription} --query tenantId",
    },
    Row {
        codes: &["PrivateEndpointCannotBeCreatedInSubnet*"],
        reason: WaitReason::EndpointFailedStalled,
        advice: "let the subnet hold private endpoints: az network vnet subnet update --ids {subnet} --private-endpoint-network-policies Disabled",
    },
    Row {
        codes: &["*Quota*", "*LimitReached", "*LimitExceeded", "*CountLimit*"],
        reason: WaitReason::RefusedStalled,
        advice: "a limit of the subscription is reached: delete what is not needed, or ask for more; see az network private-endpoint list --subscription {subscription} --query \"length(@)\"",
    },
    Row {
        codes: &["NetworkSecurityPerimeter*"],
        reason: WaitReason::RefusedStalled,
        advice: "a network security perimeter governs {resource}: whoever owns the perimeter takes it out, or opens the perimeter",
    },
];

/// The class of a code.
pub fn row(code: &str) -> Option<&'static Row> {
    let code = code.to_ascii_lowercase();
    let is = |pattern: &&str| {
        let pattern = pattern.to_ascii_lowercase();
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(_), Some(_)) => code.contains(pattern.trim_matches('*')),
            (Some(end), None) => code.ends_with(end),
            (None, Some(start)) => code.starts_with(start),
            (None, None) => code == pattern,
        }
    };
    ROWS.iter().find(|row| row.codes.iter().any(is))
}

/// What can be done about a refusal; `None` where we know of nothing but Azure's own words.
pub(crate) fn advise(failure: &Failure) -> Option<(WaitReason, String)> {
    let row = row(failure.code.as_deref().unwrap_or_default());
    match row {
        Some(row) => Some((row.reason, fill(row.advice, failure))),
        None if failure.disposition == Disposition::Forbidden => Some((
            WaitReason::PermissionStalled,
            "grant the operator's identity that right".to_owned(),
        )),
        None => None,
    }
}

/// Puts in what Azure's message and the attempt name. What they do not name stays as something to fill in.
fn fill(advice: &str, failure: &Failure) -> String {
    let resource = ids(&failure.attempt).next().unwrap_or("<resource id>");
    let message = failure.message.as_str();
    // Where two actions are named, the second is the one that is missing.
    let missing = message.split_once("however").map_or(message, |(_, missing)| missing);
    let action = quoted_after(missing, "action '").unwrap_or_default();
    let scope = quoted_after(message, "linked scope(s) '")
        .or_else(|| quoted_after(message, "over scope '"))
        .unwrap_or(resource);
    let part = |after: &str| {
        let lower = resource.to_ascii_lowercase();
        let from = lower.find(after)? + after.len();
        resource.get(from..)?.split('/').next()
    };
    // What Azure names may be the target's, where the attempt names the endpoint only.
    let named = |before: &str| quoted_after(message, before).filter(|name| !name.contains(['/', ' ']));
    let role = rights::RIGHTS.iter().find(|r| {
        let (known, asked) = (r.action.to_ascii_lowercase(), action.to_ascii_lowercase());
        !asked.is_empty() && known.ends_with(&asked) && is_about(r.action, scope)
    });
    let subnet = ids(message).find(|id| id.to_ascii_lowercase().contains("/subnets/"));
    [
        (
            "{principal}",
            quoted_after(message, "object id '").unwrap_or("<object id>"),
        ),
        ("{role}", role.map_or("<a role with that action>", |r| r.place.role())),
        ("{scope}", scope),
        ("{assignment}", assignment(message).unwrap_or("<policy assignment id>")),
        ("{resource}", resource),
        ("{group}", part("/resourcegroups/").unwrap_or("<resource group>")),
        (
            "{subscription}",
            named("ubscription '")
                .or_else(|| part("/subscriptions/"))
                .unwrap_or("<subscription>"),
        ),
        (
            "{provider}",
            named("namespace '")
                .or_else(|| named("resource provider '"))
                .or_else(|| part("/providers/"))
                .unwrap_or("<provider>"),
        ),
        ("{subnet}", subnet.unwrap_or("<subnet id>")),
    ]
    .into_iter()
    .fold(advice.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// An action that Azure names without its provider is that of the linked resource's type.
fn is_about(action: &str, scope: &str) -> bool {
    let (action, scope) = (action.to_ascii_lowercase(), scope.to_ascii_lowercase());
    let provider = action.split('/').next().unwrap_or_default();
    !scope.contains("/providers/") || scope.contains(&format!("/providers/{provider}/"))
}

fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split('\'').next().filter(|found| !found.is_empty())
}

/// The id of the assignment in `"policyAssignment":{"name":"…","id":"…"}`.
fn assignment(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("\"policyAssignment\"")?;
    let (_, rest) = rest.split_once("\"id\":\"")?;
    rest.split('"').next()
}

/// ARM ids in a text, as they stand there.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || "'\"()[],;".contains(c));
    words
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| word.to_ascii_lowercase().starts_with("/subscriptions/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/privateEndpoints/pe";

    /// Commands that exist, by their words before the first option.
    const COMMANDS: [&str; 9] = [
        "az role assignment create",
        "az policy exemption create",
        "az lock list",
        "az lock delete",
        "az account show",
        "az provider register",
        "az network vnet subnet update",
        "az network private-endpoint list",
        "az network private-endpoint update",
    ];

    fn refused(code: &str, message: &str) -> Failure {
        Failure {
            attempt: format!("create private endpoint {ENDPOINT}"),
            code: Some(code.into()),
            message: message.into(),
            status: Some(403),
            correlation_id: None,
            disposition: Disposition::Terminal,
        }
    }

    fn said(code: &str, message: &str) -> String {
        advise(&refused(code, message)).unwrap().1
    }

    #[test]
    fn every_command_exists_and_nothing_that_is_known_is_left_to_fill_in() {
        for row in ROWS {
            let code = row.codes[0].replace('*', "X");
            let subnet = format!("{ENDPOINT}/subnets/s");
            let text = said(
                &code,
                &format!(
                    "of {subnet} with object id 'me' action 'Microsoft.Network/privateEndpoints/write' over scope '{ENDPOINT}' \"policyAssignment\":{{\"id\":\"/a\"}}"
                ),
            );
            assert!(!text.contains('{'), "{text}");
            assert!(!text.replace("<lock>", "").contains('<'), "{text}");
            for at in text
                .match_indices("az ")
                .chain(text.match_indices("kubectl "))
                .map(|(at, _)| at)
            {
                let known = COMMANDS.iter().any(|c| text[at..].starts_with(c));
                assert!(known, "{code}: {}", &text[at..]);
            }
        }
    }

    #[test]
    fn the_advice_is_right_for_the_code() {
        let rights = said(
            "AuthorizationFailed",
            &format!(
                "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/privateEndpoints/write' over scope '{ENDPOINT}' or the scope is invalid."
            ),
        );
        assert!(rights.contains("--assignee-object-id o "), "{rights}");
        assert!(
            rights.contains("--role \"Secure Registry Operator: private endpoints\""),
            "{rights}"
        );
        assert!(rights.ends_with(&format!("--scope {ENDPOINT}")), "{rights}");
        let store = "/subscriptions/s/resourceGroups/m/providers/Microsoft.Storage/storageAccounts/st";
        let linked = said(
            "LinkedAuthorizationFailed",
            &format!(
                "The client 'c' with object id 'o' has permission to perform action 'Microsoft.Network/privateEndpoints/write' on scope '{ENDPOINT}'; however, it does not have permission to perform action 'PrivateEndpointConnectionsApproval/action' on the linked scope(s) '{store}' or the linked scope(s) are invalid."
            ),
        );
        assert!(linked.ends_with(&format!("--scope {store}")), "{linked}");
        let policy = said(
            "RequestDisallowedByPolicy",
            "Resource 'pe' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"tags\",\"id\":\"/providers/x/policyAssignments/tags\"}}]'.",
        );
        assert!(
            policy.contains("--policy-assignment /providers/x/policyAssignments/tags "),
            "{policy}"
        );
        for code in [
            "ScopeLocked",
            "ReadOnlyDisabledSubscription",
            "RequestDisallowedByAzure",
            "RequestDisallowedByPolicy",
        ] {
            let text = said(code, "no");
            assert!(
                !text.contains("az role assignment") && text.contains("no right"),
                "{code}: {text}"
            );
        }
        assert!(
            said("MissingSubscriptionRegistration", "x").contains("--namespace Microsoft.Network --subscription s")
        );
        let targets = said(
            "MissingSubscriptionRegistration",
            "The subscription 'other' is not registered to use namespace 'Microsoft.MachineLearningServices'. See how to register.",
        );
        assert!(
            targets.contains("--namespace Microsoft.MachineLearningServices --subscription other"),
            "{targets}"
        );
        assert!(advise(&refused("SomethingNew", "x")).is_none());
    }
}
