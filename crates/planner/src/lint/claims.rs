//! Nothing is written past another cluster's claim.

use sreg_api::grant::RegistryOperation;
use sreg_api::names::CLAIM_TAG;
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::{AzureAction, Purpose, StepId, StepKind};

use super::{Lint, azure, people};
use crate::plan::WaitReason;

pub(super) fn check(lint: &mut Lint<'_>) {
    let (desired, seen) = (lint.desired, lint.seen);
    let Some(registry) = seen.azure.registry_details() else {
        return;
    };
    let mark = ClaimMark::of(&desired.registry, &registry.tags);
    let ours = desired.claim_mark();
    if mark.as_ref().is_some_and(|mark| mark.has_name_of(&ours)) {
        return;
    }
    let held_before = seen.object.last.claimed_at.is_some();
    let of_another_cluster = mark.as_ref().is_some_and(|mark| mark.cluster != desired.cluster);
    let take_over = Purpose::Registry(RegistryOperation::TakeOver);
    let may_take_over = !held_before && desired.grants.allow(take_over, &desired.registry) && !seen.object.deleting;
    let last = &seen.object.last;
    let locked = people::locked_in_its_name(desired, seen);
    let lost = last.claim_lost_to.is_some();
    let stubborn = |step: &StepId, reason: WaitReason| {
        step.kind == StepKind::ClaimInAzure && !matches!(reason, WaitReason::RetryPending | WaitReason::EffectPending)
    };
    let mut tried = last.attempts.iter().chain(&seen.memory.attempts.all);
    let unwritable = tried.any(|tried| stubborn(&tried.step, tried.reason));
    if !of_another_cluster && !lost && (held_before || locked || unwritable || seen.object.deleting) {
        return;
    }
    let plan = lint.plan;
    for step in plan.steps() {
        let Some(action) = azure(step) else { continue };
        let allowed = if let AzureAction::SetTags { tags, .. } = action {
            tags.keys().all(|name| name == CLAIM_TAG) && !lost && (!of_another_cluster || may_take_over)
        } else {
            action.is_opening() && !of_another_cluster && !lost
        };
        lint.demand("claim in azure", allowed, || {
            let says = mark.as_ref().map_or("nobody".to_owned(), ToString::to_string);
            format!("{} though the registry's claim tag names {says}", step.action)
        });
    }
}
