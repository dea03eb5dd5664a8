//! Rules of a target's firewall, one by one: whom an account lets in beside its default action. Read from network settings in
//! Azure's shape, as Azure answers them and as a snapshot keeps them.

use std::fmt;

use serde_json::{Value, json};

use crate::azure_text::{DefaultAction, PublicNetworkAccess};
use crate::target::{TargetKind, row};

/// What a rule goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// An address or prefix.
    Ip,
    /// An IPv6 address or prefix.
    Ipv6,
    /// A subnet with a service endpoint.
    Subnet,
    /// A resource, such as a workspace.
    Resource,
}

impl RuleKind {
    /// All of them, with the list that each stands in.
    pub const LISTS: [(RuleKind, &'static str); 4] = [
        (RuleKind::Ip, "ipRules"),
        (RuleKind::Ipv6, "ipv6Rules"),
        (RuleKind::Subnet, "virtualNetworkRules"),
        (RuleKind::Resource, "resourceAccessRules"),
    ];

    /// The field that names whom it lets in, by any of the names that Azure has for it. A container registry's subnets have another one
    /// than a storage account's, and in its older versions a third (azure.md §5.2).
    fn fields(self) -> &'static [&'static str] {
        match self {
            RuleKind::Ip | RuleKind::Ipv6 => &["value"],
            RuleKind::Subnet => &["id", "virtualNetworkSubnetResourceId", "virtualNetworkResourceId"],
            RuleKind::Resource => &["resourceId"],
        }
    }

    /// As people call it.
    pub fn noun(self) -> &'static str {
        match self {
            RuleKind::Ip | RuleKind::Ipv6 => "address rule",
            RuleKind::Subnet => "subnet rule",
            RuleKind::Resource => "resource rule",
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRule {
    /// What it goes by.
    pub kind: RuleKind,
    /// Whom it lets in, as Azure spells it.
    pub value: String,
    /// Of a resource, the tenant that the rule names: commands about the rule take both. No part of what the rule means.
    pub tenant: Option<String>,
}

impl NetworkRule {
    /// A rule of an entry of this kind's list. One that cannot be read is still a rule: its text stands for it.
    pub fn of_entry(kind: RuleKind, entry: &Value) -> NetworkRule {
        let mut values = kind.fields().iter().filter_map(|field| entry.get(*field)?.as_str());
        let value = values.next();
        let tenant = entry.get("tenantId").and_then(Value::as_str);
        NetworkRule {
            kind,
            value: value.map_or_else(|| entry.to_string(), str::to_owned),
            tenant: tenant.map(str::to_owned),
        }
    }

    /// Equal for rules that mean the same: Azure spells ids in any case, and leaves `/32` out.
    pub fn key(&self) -> String {
        let value = self.value.to_ascii_lowercase();
        let (list, value) = match self.kind {
            RuleKind::Ip => ("ip", value.strip_suffix("/32").unwrap_or(&value).to_owned()),
            RuleKind::Ipv6 => ("ipv6", value.strip_suffix("/128").unwrap_or(&value).to_owned()),
            RuleKind::Subnet => ("subnet", value.trim_end_matches('/').to_owned()),
            RuleKind::Resource => ("resource", value.trim_end_matches('/').to_owned()),
        };
        format!("{list} {value}")
    }

    /// Whether closing public access takes it away. Rules for resources stay, as far as Azure accepts them.
    pub fn goes_when_closed(&self) -> bool {
        self.kind != RuleKind::Resource
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.noun(), self.value)
    }
}

/// Whether a target lets nobody in from the public side. `switch`: `publicNetworkAccess`; omitted it means enabled. `default_action`:
/// that of its rule set. `excepts`: rules let somebody in by address or network. `None`: a word is one that this version does not know.
///
/// `Disabled` closes every kind; denying everybody closes what its row says (azure.md §1.7), and of a container registry it leaves the
/// switch `Enabled` for address rules. What a perimeter lets in is not closed by us: it goes on letting in whomever its rules name, and
/// neither the default action nor the rules of the account count.
pub fn is_closed(
    kind: TargetKind,
    switch: Option<&PublicNetworkAccess>,
    default_action: Option<&DefaultAction>,
    excepts: bool,
) -> Option<bool> {
    match switch {
        Some(PublicNetworkAccess::Disabled) => Some(true),
        Some(PublicNetworkAccess::SecuredByPerimeter) => Some(false),
        Some(PublicNetworkAccess::Unknown(_)) => None,
        None | Some(PublicNetworkAccess::Enabled) if !row(kind).closes_by_deny => Some(false),
        None | Some(PublicNetworkAccess::Enabled) => match default_action {
            Some(DefaultAction::Deny) => Some(!excepts),
            None | Some(DefaultAction::Allow) => Some(false),
            Some(DefaultAction::Unknown(_)) => None,
        },
    }
}

/// Every rule in network settings of Azure's shape.
pub fn rules_of(target: TargetKind, network: &Value) -> Vec<NetworkRule> {
    let Some(set) = row(target).rule_set.and_then(|name| network.get(name)) else {
        return Vec::new();
    };
    let lists = RuleKind::LISTS.into_iter();
    lists
        .flat_map(|(kind, list)| {
            let entries = set.get(list).and_then(Value::as_array).into_iter().flatten();
            entries.map(move |entry| NetworkRule::of_entry(kind, entry))
        })
        .collect()
}

/// Rules of the first settings that the second lack. Closing keeps rules for resources, but for those that Azure does not accept then.
pub fn rules_missing(target: TargetKind, before: &Value, now: &Value) -> Vec<NetworkRule> {
    let there: Vec<String> = rules_of(target, now).iter().map(NetworkRule::key).collect();
    let mut missing = rules_of(target, before);
    missing.retain(|rule| !there.contains(&rule.key()));
    missing
}

/// Settings with the rules that are there now and that closing would take away, besides their own: what is put back onto an
/// account takes nobody's rule from it, whether it is in use or was added while the account was closed.
pub fn with_rules_of_now(target: TargetKind, settings: &Value, now: &Value) -> Value {
    let mut kept = settings.clone();
    let Some(name) = row(target).rule_set else {
        return kept;
    };
    let known: Vec<String> = rules_of(target, settings).iter().map(NetworkRule::key).collect();
    for (kind, list) in RuleKind::LISTS {
        let there = now.get(name).and_then(|set| set.get(list)).and_then(Value::as_array);
        let added = there.into_iter().flatten().filter(|entry| {
            let rule = NetworkRule::of_entry(kind, entry);
            rule.goes_when_closed() && !known.contains(&rule.key())
        });
        let added: Vec<Value> = added.cloned().collect();
        if !added.is_empty() && kept.get(name).is_none_or(Value::is_null) {
            // Azure may leave the set out where nothing was ever restricted.
            kept[name] = json!({"defaultAction": "Allow"});
        }
        if let (false, Some(set)) = (added.is_empty(), kept.get_mut(name).and_then(Value::as_object_mut)) {
            let entries = set.entry(list.to_owned()).or_insert(Value::Null);
            if let Value::Array(entries) = entries {
                entries.extend(added);
            } else {
                // Azure says of an empty list that there is none.
                *entries = Value::Array(added);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_keeps_the_rules_that_came_since() {
        let before = json!({"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]}});
        let now = json!({"networkAcls": {"ipRules": [{"value": "1.2.3.4/32"}, {"value": "9.9.9.9"}],
            "virtualNetworkRules": [{"id": "/subscriptions/s/subnets/a"}], "resourceAccessRules": [{"resourceId": "w"}]}});
        let both = with_rules_of_now(TargetKind::Storage, &before, &now);
        assert_eq!(
            both,
            json!({"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}, {"value": "9.9.9.9"}],
                "virtualNetworkRules": [{"id": "/subscriptions/s/subnets/a"}]}}),
            "what closing leaves alone is nothing to put back"
        );
        let without = json!({"networkAcls": {"defaultAction": "Deny", "ipRules": null}});
        let rules = with_rules_of_now(TargetKind::Storage, &without, &now);
        assert_eq!(rules_of(TargetKind::Storage, &rules).len(), 3, "{rules}");
        let never_restricted = json!({"networkAcls": null});
        let rules = with_rules_of_now(TargetKind::Storage, &never_restricted, &now);
        assert_eq!(
            rules["networkAcls"]["ipRules"].as_array().map(Vec::len),
            Some(2),
            "{rules}"
        );
        assert_eq!(rules["networkAcls"]["defaultAction"], "Allow");
        assert_eq!(with_rules_of_now(TargetKind::Storage, &before, &before), before);
    }

    #[test]
    fn rules_are_compared_by_what_they_mean() {
        let before = json!({"networkAcls": {"ipRules": [{"value": "1.2.3.4"}, {"value": "5.0.0.0/8"}], "ipv6Rules": [{"value": "2001::/16"}],
            "virtualNetworkRules": [{"id": "/subscriptions/S/subnets/A"}], "resourceAccessRules": [{"resourceId": "w"}]}});
        let now = json!({"networkAcls": {"ipRules": [{"value": "1.2.3.4/32"}], "virtualNetworkRules": [{"id": "/subscriptions/s/subnets/a", "state": "Succeeded"}]}});
        let missing = rules_missing(TargetKind::Storage, &before, &now);
        let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["address rule 5.0.0.0/8", "address rule 2001::/16", "resource rule w"]
        );
        assert_eq!(rules_of(TargetKind::Storage, &before).len(), 5);
        assert!(rules_of(TargetKind::Registry, &before).is_empty());
        assert!(rules_of(TargetKind::Storage, &json!({"networkAcls": null})).is_empty());
        for field in ["id", "virtualNetworkSubnetResourceId", "virtualNetworkResourceId"] {
            let set = json!({"networkRuleSet": {"virtualNetworkRules": [{"action": "Allow", field: "/subscriptions/s/subnets/a"}]}});
            let rules = rules_of(TargetKind::ContainerRegistry, &set);
            assert_eq!(rules[0].value, "/subscriptions/s/subnets/a", "{field}");
        }
        let odd = rules_of(TargetKind::Storage, &json!({"networkAcls": {"ipRules": [{"odd": 1}]}}));
        assert_eq!(odd[0].value, r#"{"odd":1}"#, "what cannot be read is still a rule");
        let of_tenant = rules_of(
            TargetKind::Storage,
            &json!({"networkAcls": {"resourceAccessRules": [{"resourceId": "w", "tenantId": "t"}]}}),
        );
        assert_eq!(of_tenant[0].tenant.as_deref(), Some("t"));
        assert_eq!(of_tenant[0].key(), "resource w");
    }
}
