//! The order in which the steps of a plan are carried out: one wave after the other, those of a wave beside each other.

use sreg_domain::Action;

use crate::contribution::Contribution;
use crate::plan::{FindingReason, Step, WaitReason};
use crate::view::View;

/// Claim and finalizer, what opens, what builds (one write per resource and wave), then the rest. Closing writes stand alone:
/// what could be done beside them comes a visit later.
pub(crate) fn waves(view: &View<'_>, said: &mut Contribution) -> Vec<Vec<Step>> {
    // Nothing waits for these any more.
    let aside = std::mem::take(&mut said.aside);
    aside.into_iter().for_each(|wait| said.wait(wait));
    if said.opens_round() {
        // It asks every probe itself.
        said.probes.clear();
    }
    if view.desired.observe_only {
        return observed(said);
    }
    let mut waves = std::mem::take(&mut said.first);
    if !said.closing.is_empty() {
        said.probes.clear();
        said.upkeep.clear();
        waves.push(std::mem::take(&mut said.closing));
    }
    waves.push(std::mem::take(&mut said.opening));
    let mut together = std::mem::take(&mut said.probes);
    together.append(&mut said.cluster);
    together.append(&mut said.put_back);
    together.append(&mut said.azure);
    together.append(&mut said.upkeep);
    while !together.is_empty() {
        let (now, later) = one_write_per_resource(together);
        waves.push(now);
        together = later;
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}

fn one_write_per_resource(steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let mut now: Vec<Step> = Vec::new();
    let mut later = Vec::new();
    for step in steps {
        let resource = match &step.action {
            Action::Azure(azure) => Some(azure.resource()),
            Action::Cluster(_) => None,
        };
        let taken = resource.is_some_and(|id| {
            now.iter()
                .any(|other| matches!(&other.action, Action::Azure(azure) if azure.resource() == id))
        });
        if taken { later.push(step) } else { now.push(step) }
    }
    (now, later)
}

/// Under Observe nothing is written to Azure: what would be is a finding. Probes are written, so that paths can be told.
fn observed(said: &mut Contribution) -> Vec<Vec<Step>> {
    let mut waves = std::mem::take(&mut said.first);
    waves.push(std::mem::take(&mut said.probes));
    let would: Vec<String> = said
        .opening
        .drain(..)
        .chain(said.put_back.drain(..))
        .chain(said.azure.drain(..))
        .chain(said.upkeep.drain(..))
        .chain(said.closing.drain(..))
        .map(|step| step.action.to_string())
        .collect();
    said.cluster.clear();
    for step in would {
        said.find(FindingReason::WouldDo, format!("would {step}"));
    }
    let waits = std::mem::take(&mut said.waits);
    for wait in waits {
        if wait.reason == WaitReason::NotKnown || wait.reason.is_stalled() {
            said.wait(wait);
        } else {
            said.find(
                FindingReason::WouldWait,
                format!("would wait ({}): {}", wait.reason, wait.message),
            );
        }
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}
