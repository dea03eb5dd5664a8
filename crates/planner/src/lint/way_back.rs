//! What a closing write takes away, and whether the snapshot keeps it: worked out from what is seen alone.

use serde_json::Value;
use sreg_domain::network_rules::rules_of;
use sreg_domain::seen::RegistryDetails;
use sreg_domain::{ArmId, Desired, NetworkRule, PublicNetworkAccess, RuleKind, Seen, TargetKind};

use super::proof::{all_open, closedness};

/// What approvals cover of a target as it was before the lock.
pub(super) struct Before {
    /// Whom the lock takes the way in from.
    pub(super) rules: Vec<NetworkRule>,
    /// Whether rules that we do not read say who comes in.
    pub(super) perimeter: bool,
    /// Whether there may be subnet rules that Azure does not show to the API version that asks.
    pub(super) hidden: bool,
}

/// What a target was before the lock: what the snapshot of a lock that has begun holds of it, and what people have added to one that
/// is open, unless they opened it by hand.
pub(super) fn before(desired: &Desired, seen: &Seen, id: &ArmId) -> Before {
    let (kind, now) = network_now(seen, id);
    let lost = is_closed(seen, id) == Some(true) && seen.object.last.lock_has_begun();
    let settings = match held(seen, id).or_else(|| before_late_closing(desired, seen, id)) {
        Some(held) => held.clone(),
        None if lost => Value::Null,
        None => now.clone(),
    };
    let mut rules = going(kind, &settings);
    if is_closed(seen, id) == Some(false) && !seen.object.last.opened_by_hand() {
        let known = keys(&rules);
        rules.extend(going(kind, &now).into_iter().filter(|r| !known.contains(&r.key())));
    }
    let names_subnets =
        desired.cloud.shows_registry_subnets() || rules.iter().any(|rule| rule.kind == RuleKind::Subnet);
    Before {
        perimeter: in_perimeter(&settings),
        hidden: kind == TargetKind::ContainerRegistry && !names_subnets && lets_in_selected_networks(&settings),
        rules,
    }
}

/// Of a container registry. Where its switch is missing it is enabled.
fn lets_in_selected_networks(settings: &Value) -> bool {
    let says = |word: &Value, text: &str| word.as_str().is_some_and(|word| word.eq_ignore_ascii_case(text));
    let switch = &settings["publicNetworkAccess"];
    let unset = switch.as_str().is_none_or(str::is_empty);
    (unset || says(switch, "Enabled")) && says(&settings["networkRuleSet"]["defaultAction"], "Deny")
}

/// Rules of open targets that the lock takes away, that nobody added by hand to what was locked, and that no opening would bring back.
pub(super) fn forgotten(seen: &Seen) -> Vec<String> {
    let mut forgotten = Vec::new();
    for id in closedness(seen).into_iter().flatten().map(|(id, _)| id) {
        let (kind, now) = network_now(seen, &id);
        if is_closed(seen, &id) != Some(false) || seen.object.last.opened_by_hand() {
            continue;
        }
        let kept = in_snapshot(seen, &id).map(|network| keys(&going(kind, network)));
        let kept = kept.unwrap_or_default();
        let gone = going(kind, &now).into_iter().filter(|r| !kept.contains(&r.key()));
        forgotten.extend(gone.map(|rule| format!("the snapshot does not keep {rule} of {id}")));
    }
    forgotten
}

/// Keys of the rules that a target had before somebody opened it by hand. A snapshot of a lock that has not begun says nothing of that.
pub(super) fn before_opened_by_hand(seen: &Seen, id: &ArmId) -> Vec<String> {
    let held = held(seen, id).filter(|_| seen.object.last.opened_by_hand());
    held.map(|network| keys(&rules_of(network_now(seen, id).0, network)))
        .unwrap_or_default()
}

/// Kind and network settings of a target as they are.
pub(super) fn network_now(seen: &Seen, id: &ArmId) -> (TargetKind, Value) {
    let target = seen.azure.targets.get(id).seen();
    target.map_or((TargetKind::Registry, Value::Null), |target| {
        (target.kind(), target.network.clone())
    })
}

pub(super) fn in_perimeter(network: &Value) -> bool {
    network["publicNetworkAccess"].as_str().map(PublicNetworkAccess::from)
        == Some(PublicNetworkAccess::SecuredByPerimeter)
}

pub(super) fn is_closed(seen: &Seen, id: &ArmId) -> Option<bool> {
    closedness(seen)?.get(id).copied().flatten()
}

fn in_snapshot<'s>(seen: &'s Seen, id: &ArmId) -> Option<&'s Value> {
    let mut targets = seen.cluster.snapshot.seen()?.targets.iter();
    let (_, target) = targets.find(|(key, _)| key.eq_ignore_ascii_case(id.key()))?;
    Some(&target.network)
}

/// What the snapshot of a lock that has begun holds of a target.
fn held<'s>(seen: &'s Seen, id: &ArmId) -> Option<&'s Value> {
    let snapshot = seen.cluster.snapshot.seen()?;
    let accounts = seen
        .azure
        .registry_details()
        .into_iter()
        .flat_map(RegistryDetails::accounts);
    let in_part = snapshot.restored_in_part && snapshot.is_about(accounts);
    in_snapshot(seen, id).filter(|_| in_part || !all_open(seen) || seen.object.last.lock_has_begun())
}

/// Settings of a target that is disabled, or of storage that lets in nobody.
pub(super) fn lets_in_nobody(network: &Value) -> bool {
    let is = |word: &Value, text: &str| word.as_str().is_some_and(|word| word.eq_ignore_ascii_case(text));
    let (switch, acls) = (&network["publicNetworkAccess"], &network["networkAcls"]);
    let lists = ["ipRules", "ipv6Rules", "virtualNetworkRules"];
    let empty = |list: &&str| acls[*list].as_array().is_none_or(Vec::is_empty);
    let denies = is(&acls["defaultAction"], "Deny") && lists.iter().all(empty);
    is(switch, "Disabled") || ((switch.is_null() || is(switch, "Enabled")) && denies)
}

/// What an opening had put back of a target that is closed again: a closing write was still on its way.
fn before_late_closing<'s>(desired: &Desired, seen: &'s Seen, id: &ArmId) -> Option<&'s Value> {
    let registry = seen.azure.registry_details();
    let accounts = registry.into_iter().flat_map(RegistryDetails::accounts);
    let restored = seen.cluster.restored.as_ref()?;
    let mine = restored.holder == format!("{}/{}", desired.object.namespace, desired.object.name);
    let mut targets = restored.targets.iter();
    let (_, target) = targets.find(|(key, _)| key.eq_ignore_ascii_case(id.key()))?;
    let counts = mine && restored.is_about(accounts) && is_closed(seen, id) == Some(true);
    (counts && !lets_in_nobody(&target.network)).then_some(&target.network)
}

/// Everything that is not open was closed by such a write.
pub(super) fn was_closed_late(desired: &Desired, seen: &Seen) -> bool {
    let Some(all) = closedness(seen) else { return false };
    let mut shut = all.iter().filter(|(_, closed)| **closed != Some(false)).peekable();
    shut.peek().is_some() && shut.all(|(id, _)| before_late_closing(desired, seen, id).is_some())
}

fn going(kind: TargetKind, network: &Value) -> Vec<NetworkRule> {
    let mut rules = rules_of(kind, network);
    rules.retain(NetworkRule::goes_when_closed);
    rules
}

fn keys(rules: &[NetworkRule]) -> Vec<String> {
    rules.iter().map(NetworkRule::key).collect()
}
