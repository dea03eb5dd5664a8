//! A plan in the making: gates add steps, waits and findings; [`Draft::finish`] puts them in order.

use sreg_domain::{Action, AzureAction, ClusterAction, StepId};

use crate::conditions::says_the_same;
use crate::plan::{Finding, FindingReason, Step, Wait, WaitReason};

/// What the gates have said so far.
#[derive(Default)]
pub(crate) struct Draft {
    /// Waves that come before everything else: claim, finalizer.
    pub(crate) first: Vec<Vec<Step>>,
    /// Writes that open public access: nothing that fails elsewhere may hold them back.
    pub(crate) opening: Vec<Step>,
    /// Azure writes that do not depend on each other.
    pub(crate) azure: Vec<Step>,
    /// Zone groups that are given back to endpoints that stay after all: nothing holds these up.
    pub(crate) put_back: Vec<Step>,
    /// Azure writes that nothing waits for: tags, sharing, our exemption.
    pub(crate) upkeep: Vec<Step>,
    /// Probes outside rounds.
    pub(crate) probes: Vec<Step>,
    /// Other writes in the cluster (snapshot, rounds).
    pub(crate) cluster: Vec<Step>,
    /// Closing writes; they stand alone.
    pub(crate) closing: Vec<Step>,
    /// Writes that are held back for a while: what they would repair differs all the same.
    pub(crate) held: Vec<Action>,
    /// Waits in the order in which gates said them.
    pub(crate) waits: Vec<Wait>,
    /// Waits that do not hold up the lock: tags, sharing.
    pub(crate) aside: Vec<Wait>,
    /// Findings.
    pub(crate) findings: Vec<Finding>,
    /// When a gate wants another look.
    pub(crate) looks: Vec<std::time::Duration>,
}

impl Draft {
    pub(crate) fn wait(&mut self, wait: Wait) {
        let said = |w: &Wait| w.reason == wait.reason && says_the_same(&w.message, &wait.message);
        match self.waits.iter_mut().find(|w| said(w)) {
            None => self.waits.push(wait),
            Some(before) => before.about.extend(wait.about),
        }
    }

    pub(crate) fn waiting(&mut self, reason: WaitReason, message: impl Into<String>) {
        self.wait(Wait::new(reason, message.into()));
    }

    pub(crate) fn find(&mut self, reason: FindingReason, message: impl Into<String>) {
        self.find_about(reason, message, Vec::new());
    }

    /// A finding about steps that were tried before.
    pub(crate) fn find_about(&mut self, reason: FindingReason, message: impl Into<String>, about: Vec<StepId>) {
        let message = message.into();
        let mut found = self.findings.iter_mut();
        match found.find(|f| f.reason == reason && f.message == message) {
            Some(before) => before.about.extend(about),
            None => self.findings.push(Finding { reason, message, about }),
        }
    }

    /// Whether any step was planned that what follows has to wait for: probes outside rounds and upkeep are none.
    pub(crate) fn has_steps(&self) -> bool {
        let Draft {
            first,
            opening,
            azure,
            put_back,
            upkeep: _,
            probes: _,
            cluster,
            closing,
            held: _,
            waits: _,
            aside: _,
            findings: _,
            looks: _,
        } = self;
        !(first.is_empty()
            && opening.is_empty()
            && azure.is_empty()
            && put_back.is_empty()
            && cluster.is_empty()
            && closing.is_empty())
    }

    /// The waves: claim and finalizer, what opens, what builds (one write per resource and wave), then the rest. Closing writes
    /// stand alone: what could be done beside them comes a visit later.
    pub(crate) fn waves(&mut self) -> Vec<Vec<Step>> {
        let mut waves = std::mem::take(&mut self.first);
        if !self.closing.is_empty() {
            self.probes.clear();
            self.upkeep.clear();
            waves.push(std::mem::take(&mut self.closing));
        }
        waves.push(std::mem::take(&mut self.opening));
        let mut together = std::mem::take(&mut self.probes);
        together.append(&mut self.cluster);
        together.append(&mut self.put_back);
        together.append(&mut self.azure);
        together.append(&mut self.upkeep);
        while !together.is_empty() {
            let (now, later) = one_write_per_resource(together);
            waves.push(now);
            together = later;
        }
        waves.retain(|wave| !wave.is_empty());
        waves
    }
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

/// A step in the cluster.
pub(crate) fn cluster_step(id: impl Into<StepId>, action: ClusterAction) -> Step {
    Step {
        id: id.into(),
        action: Action::Cluster(action),
        touches: Vec::new(),
    }
}

/// A step in Azure that cuts nobody off.
pub(crate) fn azure_step(id: impl Into<StepId>, action: AzureAction) -> Step {
    Step {
        id: id.into(),
        action: Action::Azure(action),
        touches: Vec::new(),
    }
}
