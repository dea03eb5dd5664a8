//! Whom storage and container registry let in by rules and perimeters, and whom the lock therefore cuts off though no path proves
//! them. It is named before anybody approves the lock, and is a part of what is approved.
//!
//! | lets in | the lock |
//! | --- | --- |
//! | an address rule | takes it away: named |
//! | a subnet rule, of a network that is a client network or waived | takes it away: named |
//! | perhaps subnet rules of a container registry, which the cloud's API version does not name | may take them away: named, with the command that lists them |
//! | a subnet rule, of another network | is held; where somebody opened by hand not for rules that the snapshot holds |
//! | a network security perimeter, whose rules we do not read | takes it away: approved first, unless it only comes back |

use serde_json::Value;
use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::network_rules::rules_of;
use sreg_domain::outside::word;
use sreg_domain::preimage::{DigestLine, Preimage};
use sreg_domain::{ArmId, NetworkRule, PublicNetworkAccess, RuleKind, TargetKind};

use crate::contribution::Contribution;
use crate::kept::switch;
use crate::plan::{AccessAssessment, FindingReason, Wait, WaitReason};
use crate::view::{View, WholeView, named, seen_network, switch_of};
use crate::{before_lock, opening};

/// What the lock takes away from one target.
struct Loses<'a> {
    access: &'a AccessAssessment,
    rules: Vec<NetworkRule>,
    perimeter: bool,
    /// There may be subnet rules that nobody shows us.
    hidden: bool,
}

/// What stands for subnet rules that nobody shows us in what is approved.
const HIDDEN: &str = "subnets that are not shown";

/// Target by target, as it was before the lock: the same whether the lock is ahead, half done or done.
fn losses<'a>(view: &'a WholeView<'_>) -> Vec<Loses<'a>> {
    let of = |access: &'a AccessAssessment| {
        let network = before_lock::settings(view, access)?;
        let mut rules = rules_of(access.target, &network);
        rules.retain(NetworkRule::goes_when_closed);
        let perimeter = switch(&network) == PublicNetworkAccess::SecuredByPerimeter;
        let hidden = hides_subnets(view, access.target, &network) && !rules.iter().any(|r| r.kind == RuleKind::Subnet);
        (perimeter || hidden || !rules.is_empty()).then_some(Loses {
            access,
            rules,
            perimeter,
            hidden,
        })
    };
    view.access.iter().filter_map(of).collect()
}

/// Only a container registry that is open to selected networks has rules that let anybody in; where everybody comes in they do nothing.
fn hides_subnets(view: &WholeView<'_>, target: TargetKind, network: &Value) -> bool {
    let action = network.pointer("/networkRuleSet/defaultAction").and_then(Value::as_str);
    target == TargetKind::ContainerRegistry
        && !view.desired.cloud.shows_registry_subnets()
        && switch(network) == PublicNetworkAccess::Enabled
        && action.is_some_and(|action| action.eq_ignore_ascii_case("Deny"))
}

fn not_shown(access: &AccessAssessment) -> String {
    format!(
        "{} lets in selected networks only, and the API version that this cloud is asked with may not show its subnet rules: closing may take them away, and opening again could not put them back; look at them, and write them down: az acr network-rule list --name {} --resource-group {} --subscription {}",
        named(access),
        word(access.id.name()),
        word(access.id.resource_group().unwrap_or_default()),
        word(access.id.subscription())
    )
}

/// What of it an approval covers.
pub(crate) fn add_losses(view: &WholeView<'_>, preimage: &mut Preimage) {
    for Loses {
        access,
        rules,
        perimeter,
        hidden,
    } in losses(view)
    {
        let id = &access.id;
        preimage.extend(hidden.then_some(DigestLine::LetsIn(id, HIDDEN)));
        rules
            .iter()
            .for_each(|rule| preimage.add(DigestLine::LetsIn(id, &rule.key())));
        preimage.extend(perimeter.then_some(DigestLine::Perimeter(id)));
    }
}

/// The same for people, one sentence a target.
pub(crate) fn told(view: &WholeView<'_>) -> Vec<(FindingReason, String)> {
    let mut told = Vec::new();
    for Loses {
        access,
        rules,
        perimeter,
        hidden,
    } in losses(view)
    {
        let what = named(access);
        if hidden {
            told.push((FindingReason::SubnetRulesNotShown, not_shown(access)));
        }
        if !rules.is_empty() {
            let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
            told.push((
                FindingReason::RulesClose,
                format!(
                    "closing takes from {what}: {}; whoever comes in by them loses access",
                    rules.join(", ")
                ),
            ));
        }
        if perimeter {
            told.push((
                FindingReason::SecuredByPerimeter,
                format!("{what} is SecuredByPerimeter: the rules of its network security perimeter say who comes in, and the operator does not read them; closing sets publicNetworkAccess to Disabled, and whoever comes in by them loses access; opening again restores SecuredByPerimeter"),
            ));
        }
    }
    told
}

/// Says it before the lock.
pub(crate) fn tell(view: &WholeView<'_>) -> Contribution {
    let mut draft = Contribution::default();
    for (reason, message) in told(view) {
        draft.find(reason, message);
    }
    draft
}

/// Rules on what is closed: they let nobody in, and opening again keeps them. Whoever added them may believe otherwise.
pub(crate) fn without_effect(view: &WholeView<'_>) -> Vec<String> {
    let closed = view.access.iter().filter(|a| a.closed == Some(true));
    let told = closed.filter_map(|access| {
        let network = seen_network(view.seen, &access.id)?;
        let mut rules = rules_of(access.target, &network);
        rules.retain(NetworkRule::goes_when_closed);
        let shown: Vec<String> = rules.iter().map(ToString::to_string).collect();
        (!rules.is_empty()).then(|| {
            format!(
                "{} has rules that have no effect while it is closed: {}; opening again keeps them, and then whoever they name comes in; if that is not wanted: {}",
                named(access),
                shown.join(", "),
                opening::commands(&rules, |rule| opening::remove_by_hand(access.target, &access.id, rule))
            )
        })
    });
    told.collect()
}

/// Storage stays `Enabled` when it is closed, so that its resource rules go on (azure.md §1.7); a policy may allow nothing but
/// `Disabled`. Said before the lock, which else would stop half-way.
pub(crate) fn tell_of_policies(view: &WholeView<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let open = view
        .access
        .iter()
        .filter(|a| a.closed == Some(false) && a.target == TargetKind::Storage);
    for access in open {
        let policies = view.seen.azure.closing_obstacles.get(&access.id).into_iter().flatten();
        let policies: Vec<&str> = policies.map(|o| o.message.as_str()).collect();
        if policies.is_empty() {
            continue;
        }
        let Some(network) = seen_network(view.seen, &access.id) else {
            continue;
        };
        let mut rules = rules_of(access.target, &network);
        rules.retain(|rule| rule.kind == RuleKind::Resource);
        if rules.is_empty() || switch(&network) == PublicNetworkAccess::SecuredByPerimeter {
            continue;
        }
        draft.find(
            FindingReason::ClosingForbidden,
            format!(
                "closing keeps storage account {name} Enabled with defaultAction Deny, because Disabled would stop its {count} resource rules, which a policy does not allow: remove the rules ({commands}), or exempt the account: {policies}",
                name = access.id.name(),
                count = rules.len(),
                commands = opening::commands(&rules, |rule| opening::remove_by_hand(access.target, &access.id, rule)),
                policies = policies.join("; "),
            ),
        );
    }
    draft
}

/// A perimeter that is in force on something that the lock would close: nobody here knows whom it lets in.
pub(crate) fn unknown_perimeter<'v>(view: &'v View<'_>) -> Option<&'v AccessAssessment> {
    let mut open = view.access.iter().filter(|a| a.closed == Some(false));
    let comes_back = view.last().relocks(view.any_closed());
    open.find(|a| switch_of(view.seen, &a.id) == Some(&PublicNetworkAccess::SecuredByPerimeter))
        .filter(|_| !comes_back)
}

/// Subnets of networks that nothing proves and nobody waived: their clients come in by a rule that the lock takes away.
pub(crate) fn unproven_subnets(view: &WholeView<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for access in view.access.iter().filter(|a| a.closed == Some(false)) {
        let Some(network) = seen_network(view.seen, &access.id) else {
            continue;
        };
        let kept = before_lock::before_opened_by_hand(view, &access.id);
        let kept: Vec<String> = kept.map(|k| keys(&rules_of(access.target, k))).unwrap_or_default();
        let rules = rules_of(access.target, &network).into_iter();
        let unproven = rules.filter(|rule| rule.kind == RuleKind::Subnet && !kept.contains(&rule.key()));
        let unproven = unproven.filter(|rule| !network_of(rule).is_some_and(|network| is_known(view, &network)));
        waits.extend(unproven.map(|rule| Wait::new(WaitReason::VantagePointMissing, format!(
                "a subnet rule of {} lets in {}, which is neither under clientNetworks nor under unprovenNetworks: its clients would lose access; list that network, or remove the rule: {}",
                named(access),
                network_of(&rule).map_or_else(|| "what is no subnet".to_owned(), |network| format!("network {}", network.name())),
                opening::remove_by_hand(access.target, &access.id, &rule)
            ))));
    }
    waits
}

fn keys(rules: &[NetworkRule]) -> Vec<String> {
    rules.iter().map(NetworkRule::key).collect()
}

fn network_of(rule: &NetworkRule) -> Option<ArmId> {
    rule.value.parse::<ArmId>().ok()?.parent()
}

fn is_known(view: &WholeView<'_>, network: &ArmId) -> bool {
    let client = |c: &ClientNetwork| c.place == NetworkPlace::VirtualNetwork(network.clone());
    view.spec.client_networks.iter().any(client) || view.spec.waived.contains_key(network)
}
