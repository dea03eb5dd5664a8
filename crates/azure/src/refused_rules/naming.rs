//! What a refusal says of a firewall's rules: whether it is about them, and which of them it names.

use sreg_domain::network_rules::NetworkRule;
use sreg_domain::{ArmId, CallFailure, Cause, RuleKind};

use crate::arm::{Leaving, cause_of_code};

/// Codes that refuse a write whatever rules it carries (azure.md §6.3), unless the message names one of them: a subnet in a subscription
/// that is gone, or that may not be joined.
const ABOUT_THE_WHOLE: [&str; 8] = [
    "AuthorizationFailed",
    "DenyAssignmentAuthorizationFailed",
    "ScopeLocked",
    "RequestDisallowedByAzure",
    "ReadOnlyDisabledSubscription",
    "SubscriptionNotFound",
    "ResourceGroupNotFound",
    "DisablingPublicNetworkAccessNotSupported",
];

/// Whether a write was refused for what it carries. What refuses a write whatever it carries, and another operation that is in the
/// way, do so only where they name a rule.
pub(crate) fn is_about_content(error: &CallFailure, target: &ArmId, carried: &[NetworkRule]) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    let whole = ABOUT_THE_WHOLE.iter().any(|known| known.eq_ignore_ascii_case(code));
    let names_one = || !named_in(error, target, carried).is_empty();
    match error.cause {
        Cause::Refused | Cause::Forbidden => !whole || names_one(),
        Cause::Missing | Cause::Busy | Cause::Conflict => names_one(),
        Cause::SignIn
        | Cause::Throttled
        | Cause::Unreachable
        | Cause::Nonsense
        | Cause::Precondition
        | Cause::TooLong => false,
    }
}

/// The same of an operation that ended badly. A code that nobody knows comes as a conflict there; whoever canceled it did not mean its
/// content.
pub(crate) fn ended_for_content(error: &CallFailure, target: &ArmId, carried: &[NetworkRule]) -> bool {
    let known = error.code.as_deref().and_then(cause_of_code);
    let canceled = |text: &str| text.to_ascii_lowercase().contains("cancel");
    let was_canceled = canceled(&error.message) || error.code.as_deref().is_some_and(canceled);
    let unknown = error.cause == Cause::Conflict && known.is_none() && !was_canceled;
    unknown || is_about_content(error, target, carried)
}

/// Why a rule was left out. What is being changed is accepted later; what is gone is not.
pub(crate) fn failure_of(error: CallFailure) -> CallFailure {
    const PASSES: [&str; 5] = ["updating", "not provisioned", "in progress", "try again", "retry"];
    let text = error.message.to_ascii_lowercase();
    let passes = PASSES.iter().any(|word| text.contains(word));
    let cause = if passes {
        Cause::Conflict
    } else if error.cause == Cause::Missing {
        Cause::Refused
    } else {
        error.cause
    };
    CallFailure { cause, ..error }.into_failure()
}

/// Rules that a refusal names: by their id or address, as the providers do by network and subnet apart or by group and network, or by the
/// subscription or group that is gone, where that is not the target's own.
pub(crate) fn named_in(error: &CallFailure, target: &ArmId, rules: &[NetworkRule]) -> Vec<NetworkRule> {
    let text = error.message.to_ascii_lowercase();
    let is_code = |code: &str| error.code.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(code));
    let named = |rule: &&NetworkRule| {
        let value = rule.value.to_ascii_lowercase();
        let value = value.trim_end_matches('/');
        if says(&text, value) {
            return true;
        }
        let (RuleKind::Subnet, Ok(subnet)) = (rule.kind, value.parse::<ArmId>()) else {
            return false;
        };
        let Some(network) = subnet.parent() else { return false };
        let group = subnet.resource_group().unwrap_or_default();
        if is_code("SubscriptionNotFound") {
            return subnet.subscription() != target.subscription() && says(&text, subnet.subscription());
        }
        if is_code("ResourceGroupNotFound") {
            return subnet.resource_group_id() != target.resource_group_id() && says(&text, group);
        }
        // A subnet may be called like its network: the network's own id does not name it.
        let apart = says(&text, network.key()) && says(&text.replace(network.key(), " "), subnet.name());
        let below = format!("virtualnetworks/{}", network.name());
        apart || (error.cause == Cause::Missing && says(&text, &below) && says(&text, group))
    };
    rules.iter().filter(named).cloned().collect()
}

/// Whether a text has these words, not only as a part of longer ones.
fn says(text: &str, words: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ':';
    !words.is_empty()
        && text.match_indices(words).any(|(at, _)| {
            let before = text.get(..at).and_then(|t| t.chars().next_back());
            let mut after = text.get(at.saturating_add(words.len())..).unwrap_or_default().chars();
            let next = after.next();
            // A full stop ends a sentence, or goes on in an address or a name.
            let goes_on = next.is_some_and(part) && next != Some(':')
                || (next == Some('.') && after.next().is_some_and(char::is_alphanumeric));
            !before.is_some_and(|c| part(c) && c != ':' || c == '.') && !goes_on
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(rules: &[NetworkRule], rule: &NetworkRule) -> bool {
        rules.iter().any(|other| other.key() == rule.key())
    }

    fn rule(kind: RuleKind, value: &str) -> NetworkRule {
        NetworkRule {
            kind,
            value: value.to_owned(),
            tenant: None,
        }
    }

    const ACCOUNT: &str = "/subscriptions/s/resourceGroups/mine/providers/Microsoft.Storage/storageAccounts/store";

    fn named_by(code: &str, cause: Cause, message: &str, rules: &[NetworkRule]) -> Vec<usize> {
        let error = CallFailure {
            code: Some(code.to_owned()),
            ..CallFailure::local("write", cause, message)
        };
        let named = named_in(&error, &ACCOUNT.parse().unwrap(), rules);
        (0..rules.len()).filter(|at| holds(&named, &rules[*at])).collect()
    }

    #[test]
    fn innocent_rules_are_not_taken_for_the_one_that_is_named() {
        let network = |group: &str, name: &str| {
            format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}")
        };
        let rules = [
            rule(RuleKind::Subnet, &format!("{}/subnets/hub", network("g", "hub"))),
            rule(RuleKind::Subnet, &format!("{}/subnets/build", network("g", "hub"))),
            rule(RuleKind::Subnet, &format!("{}/subnets/build.prod", network("g", "hub"))),
        ];
        let hub = network("g", "hub");
        for (message, expected) in [
            (format!("subnet {hub}/subnets/build was not found."), vec![1]),
            (
                format!("Subnets build of virtual network {hub} do not have ServiceEndpoints"),
                vec![1],
            ),
            (
                format!("Subnets hub of virtual network {hub} do not have ServiceEndpoints"),
                vec![0],
            ),
            (format!("join on {hub}/subnets/build.prod. Ask its owner."), vec![2]),
        ] {
            assert_eq!(
                named_by("Refused", Cause::Refused, &message, &rules),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn what_stands_in_a_network_a_group_or_a_subscription_that_is_gone_is_named_by_it() {
        let subnet = |subscription: &str, group: &str, network: &str| {
            let id = format!(
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/a"
            );
            rule(RuleKind::Subnet, &id)
        };
        let rules = [
            subnet("s", "g", "hub"),
            subnet("s", "h", "hub"),
            subnet("t", "g", "spoke"),
            subnet("s", "mine", "own"),
        ];
        for (code, cause, message, expected) in [
            (
                "SubscriptionNotFound",
                Cause::Missing,
                "The subscription 't' could not be found.",
                vec![2],
            ),
            (
                "SubscriptionNotFound",
                Cause::Missing,
                "The subscription 's' could not be found.",
                vec![],
            ),
            (
                "ResourceGroupNotFound",
                Cause::Missing,
                "Resource group 'h' could not be found.",
                vec![1],
            ),
            (
                "ResourceGroupNotFound",
                Cause::Missing,
                "Resource group 'mine' could not be found.",
                vec![],
            ),
            (
                "ResourceNotFound",
                Cause::Missing,
                "The Resource 'Microsoft.Network/virtualNetworks/hub' under resource group 'h' was not found.",
                vec![1],
            ),
        ] {
            assert_eq!(named_by(code, cause, message, &rules), expected, "{message}");
        }
    }

    #[test]
    fn rules_are_recognised_in_azures_messages() {
        let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub";
        let rules = [
            rule(RuleKind::Subnet, &format!("{network}/subnets/build")),
            rule(RuleKind::Subnet, &format!("{network}/subnets/build-2")),
            rule(RuleKind::Ip, "203.0.113.1"),
            rule(RuleKind::Ip, "203.0.113.10"),
            rule(RuleKind::Ipv6, "2001:db8::/48"),
        ];
        let named = |message: &str| named_by("Refused", Cause::Refused, message, &rules);
        let missing = format!(
            "SubnetsHaveNoServiceEndpointsConfigured:Subnets build of virtual network {} do not have ServiceEndpoints",
            network.to_uppercase()
        );
        assert_eq!(named(&missing), [0]);
        let linked = format!("not permitted to perform action join on '{network}/subnets/build-2'.");
        assert_eq!(named(&linked), [1]);
        assert_eq!(named("the address 203.0.113.10 is not allowed."), [3]);
        assert_eq!(named("the address 203.0.113.1."), [2]);
        assert_eq!(named("2001:db8::/48 is reserved"), [4]);
        assert!(named("Values for request parameters are invalid.").is_empty());
    }
}
