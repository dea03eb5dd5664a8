//! What one stage of a plan contributes: steps, waits, findings, and when it wants another look. Stages see what those before them
//! contributed and change nothing of it; `compose` puts contributions together.

use std::time::Duration;

use sreg_domain::{Action, AzureAction, ClusterAction, Digest, StepId};

use crate::conditions::says_the_same;
use crate::plan::{Finding, FindingReason, NameChange, Step, Wait, WaitReason};

/// Whether the stages after one are planned as well.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// They are.
    GoOn,
    /// They are not: this stage has the last word.
    Stop,
}

/// What one stage says, or several of them together.
#[derive(Default)]
pub(crate) struct Contribution {
    /// Waves that come before everything else: claim, finalizer.
    pub(crate) first: Vec<Vec<Step>>,
    /// Writes that open public access: nothing that fails elsewhere may hold them back.
    pub(crate) opening: Vec<Step>,
    /// Azure writes that do not depend on each other. Only these are [held back](crate::holds).
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
    /// Waits in the order in which stages said them.
    pub(crate) waits: Vec<Wait>,
    /// Waits that do not hold up the lock: tags, sharing.
    pub(crate) aside: Vec<Wait>,
    /// Findings.
    pub(crate) findings: Vec<Finding>,
    /// When a stage wants another look.
    pub(crate) looks: Vec<Duration>,
}

impl Contribution {
    /// Puts another contribution behind this one. Waits and findings that say the same become one, about all that either is about.
    pub(crate) fn add(&mut self, other: Contribution) {
        let Contribution {
            first,
            opening,
            azure,
            put_back,
            upkeep,
            probes,
            cluster,
            closing,
            waits,
            aside,
            findings,
            looks,
        } = other;
        self.first.extend(first);
        self.opening.extend(opening);
        self.azure.extend(azure);
        self.put_back.extend(put_back);
        self.upkeep.extend(upkeep);
        self.probes.extend(probes);
        self.cluster.extend(cluster);
        self.closing.extend(closing);
        waits.into_iter().for_each(|wait| self.wait(wait));
        self.aside.extend(aside);
        findings
            .into_iter()
            .for_each(|found| self.find_about(found.reason, found.message, found.about));
        self.looks.extend(looks);
    }

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
        let Contribution {
            first,
            opening,
            azure,
            put_back,
            upkeep: _,
            probes: _,
            cluster,
            closing,
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

    /// Whether something is written or waited for that what follows has to wait for as well.
    pub(crate) fn is_at_work(&self) -> bool {
        self.has_steps() || !self.waits.is_empty()
    }

    /// A round asks every probe anew.
    pub(crate) fn opens_round(&self) -> bool {
        self.cluster
            .iter()
            .any(|step| matches!(step.action, Action::Cluster(ClusterAction::OpenRound { .. })))
    }
}

/// What a hold answers about steps that it was asked of.
#[derive(Default)]
pub(crate) struct Held {
    /// Steps that go on.
    pub(crate) free: Vec<Step>,
    /// Steps that do not.
    pub(crate) back: Vec<Step>,
    /// Why.
    pub(crate) said: Contribution,
    /// What nobody has to be told any more now that these are held back: whose turn it is.
    pub(crate) moot: Option<WaitReason>,
    /// Changes of names that an approval is asked for.
    pub(crate) asked: Vec<NameChange>,
    /// Digests of changes of names that go on because they are approved.
    pub(crate) approved: Vec<Digest>,
}

impl Held {
    /// Nothing is held back.
    pub(crate) fn free(steps: Vec<Step>) -> Held {
        Held {
            free: steps,
            ..Held::default()
        }
    }
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
