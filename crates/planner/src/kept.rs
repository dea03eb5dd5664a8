//! What the snapshot keeps of a target, and what settings in Azure's shape come to.

use serde_json::{Value, json};
use sreg_domain::action::Snapshot;
use sreg_domain::network_rules::{is_closed, rules_of};
use sreg_domain::target::row;
use sreg_domain::{ArmId, DefaultAction, NetworkRule, PublicNetworkAccess, TargetKind};

/// What the snapshot holds for a target.
pub(crate) fn kept<'a>(snapshot: &'a Snapshot, id: &ArmId) -> Option<&'a Value> {
    snapshot
        .targets
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(id.key()))
        .map(|(_, target)| &target.network)
}

/// Whether settings in Azure's shape are closed, by the rule by which targets are.
pub(crate) fn settings_closed(target: TargetKind, network: &Value) -> bool {
    let excepts = rules_of(target, network).iter().any(NetworkRule::goes_when_closed);
    let action = default_action(target, network);
    // Whatever a perimeter, or a word that nobody here knows, lets in: it is restored as it was.
    is_closed(target, Some(&switch(network)), Some(&action), excepts) == Some(true)
}

/// The switch in settings of Azure's shape; old resources lack it, which means enabled.
pub(crate) fn switch(network: &Value) -> PublicNetworkAccess {
    let text = network.get("publicNetworkAccess").and_then(Value::as_str);
    text.filter(|t| !t.is_empty())
        .map_or(PublicNetworkAccess::Enabled, PublicNetworkAccess::from)
}

/// What settings of Azure's shape do with those whom no rule names.
pub(crate) fn default_action(target: TargetKind, network: &Value) -> DefaultAction {
    let set = row(target).rule_set.and_then(|name| network.get(name));
    let text = set.and_then(|s| s.get("defaultAction")).and_then(Value::as_str);
    text.map_or(DefaultAction::Allow, DefaultAction::from)
}

/// Settings that are open, for a target of which nobody knows what it was before the lock.
pub(crate) fn open_settings(target: TargetKind) -> Value {
    let mut settings = json!({"publicNetworkAccess": "Enabled"});
    if let Some(rule_set) = row(target).rule_set {
        settings[rule_set] = json!({"defaultAction": "Allow"});
    }
    settings
}
