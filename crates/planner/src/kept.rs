//! What the snapshot keeps of a target, and what settings in Azure's shape come to.

use serde_json::{Value, json};
use sreg_domain::action::Snapshot;
use sreg_domain::network_rules::{rule_set_name, rules_of};
use sreg_domain::{ArmId, DefaultAction, NetworkRule, PublicNetworkAccess, TargetKind};

/// What the snapshot holds for a target.
pub(crate) fn kept<'a>(snapshot: &'a Snapshot, id: &ArmId) -> Option<&'a Value> {
    snapshot
        .targets
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(id.key()))
        .map(|(_, target)| &target.network)
}

/// Whether settings in Azure's shape are closed, by the rules of `view`.
pub(crate) fn settings_closed(target: TargetKind, network: &Value) -> bool {
    match (switch(network), target) {
        (PublicNetworkAccess::Disabled, _) => true,
        (PublicNetworkAccess::Enabled, TargetKind::Storage) => {
            let nobody = !rules_of(target, network).iter().any(NetworkRule::goes_when_closed);
            default_action(target, network) == DefaultAction::Deny && nobody
        }
        // Whatever a perimeter, or a word that nobody here knows, lets in: it is restored as it was.
        (_, _) => false,
    }
}

/// The switch in settings of Azure's shape; old resources lack it, which means enabled.
pub(crate) fn switch(network: &Value) -> PublicNetworkAccess {
    let text = network.get("publicNetworkAccess").and_then(Value::as_str);
    text.filter(|t| !t.is_empty())
        .map_or(PublicNetworkAccess::Enabled, PublicNetworkAccess::from)
}

/// What settings of Azure's shape do with those whom no rule names.
pub(crate) fn default_action(target: TargetKind, network: &Value) -> DefaultAction {
    let set = rule_set_name(target).and_then(|name| network.get(name));
    let text = set.and_then(|s| s.get("defaultAction")).and_then(Value::as_str);
    text.map_or(DefaultAction::Allow, DefaultAction::from)
}

/// Settings that are open, for a target of which nobody knows what it was before the lock.
pub(crate) fn open_settings(target: TargetKind) -> Value {
    match target {
        TargetKind::Registry => json!({"publicNetworkAccess": "Enabled"}),
        TargetKind::Storage => json!({"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}),
        TargetKind::ContainerRegistry => {
            json!({"publicNetworkAccess": "Enabled", "networkRuleSet": {"defaultAction": "Allow"}})
        }
    }
}
