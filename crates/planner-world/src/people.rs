//! People, and agents that lie: what they do to a world besides breaking it.

use sreg_api::ChangeKind;
use sreg_api::probe::{ConnectivityProbeStatus, Hop, ProbeOutcome};
use sreg_api::registry::PublicAccess;
use sreg_domain::seen::{ApprovalSeen, BreakGlassSeen};
use sreg_domain::{Digest, Fact};

use super::*;

/// How an agent answers that is not honest. One that echoes everything right and lies about success cannot be told from an honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Success, in the round before.
    FormerRound,
    /// Success, about another subject.
    OtherSubject,
    /// Success, answering a former question.
    FormerQuestion,
    /// Success, at addresses that are not the endpoint's.
    OtherAddresses,
    /// Success, once.
    TooFew,
    /// Success, for all names but one.
    OneMissing,
    /// Failure of everything.
    AllFails,
    /// Nothing at all: its own proxy does not answer.
    SeesNothing,
}

impl Lie {
    /// What such an agent answers in place of `status`.
    pub(super) fn twist(self, status: &mut ConnectivityProbeStatus, needed: i32) {
        for result in &mut status.results {
            result.outcome = ProbeOutcome::Succeeded;
            result.hop = None;
            (result.successes, result.failures) = (needed, 0);
        }
        match self {
            Lie::FormerRound => status.round = (status.round - 1).max(1),
            Lie::OtherSubject => status.subject = Digest::of_bytes(b"another").to_string(),
            Lie::FormerQuestion => status.observed_generation = status.observed_generation.map(|g| g - 1),
            Lie::OtherAddresses => {
                for result in &mut status.results {
                    result.addresses = vec!["203.0.113.9".into()];
                }
            }
            Lie::TooFew => {
                for result in &mut status.results {
                    result.successes = (needed - 1).max(0);
                }
            }
            Lie::OneMissing => drop(status.results.pop()),
            Lie::SeesNothing => {
                for result in &mut status.results {
                    result.outcome = ProbeOutcome::Unknown;
                    result.message = "SOCKS5 proxy 127.0.0.1:1080: connection refused".into();
                    result.addresses.clear();
                    (result.successes, result.failures) = (0, 0);
                }
            }
            Lie::AllFails => {
                for result in &mut status.results {
                    result.outcome = ProbeOutcome::Failed;
                    result.hop = Some(Hop::Tcp);
                    result.addresses.clear();
                    (result.successes, result.failures) = (0, needed);
                }
            }
        }
    }
}

impl World {
    /// Somebody opens the registry for so long.
    pub fn break_glass(&mut self, minutes: u64) {
        let now = self.now;
        if let Fact::Seen(glasses) = &mut self.seen.cluster.break_glasses {
            let name = format!("incident-{}", glasses.len());
            glasses.push(BreakGlassSeen {
                uid: format!("uid-{name}-{now}"),
                name,
                status: None,
                created_at: now,
                duration: Duration::from_secs(60 * minutes),
                reason: "pipelines fail".into(),
                requested_by: "jane".into(),
            });
        }
    }

    /// The approver approves what status asks for, beside what he has approved of the other kind.
    pub fn approve(&mut self) {
        let wanted = self.seen.object.status.approvals_wanted.clone();
        let Fact::Seen(approvals) = &mut self.seen.cluster.approvals else {
            return;
        };
        for asked in wanted {
            let change = match asked.change.as_str() {
                "Lockdown" => ChangeKind::Lockdown,
                "NameChanges" => ChangeKind::NameChanges,
                "Opening" => ChangeKind::Opening,
                other => panic!("{other} is no kind of change"),
            };
            let digest = Digest::from_text(&asked.digest);
            approvals.retain(|a| a.change != change || (change == ChangeKind::NameChanges && a.digest != digest));
            approvals.push(ApprovalSeen {
                name: format!("approved-{}", asked.digest),
                change,
                digest,
                approved_by: "joe".into(),
                uid: format!("uid-{}", asked.digest),
                status: None,
            });
        }
    }

    /// The spec wants the other thing.
    pub fn turn(&mut self) {
        self.respec(|o| {
            let desired = &mut o.spec.public_access.desired;
            *desired = match desired {
                PublicAccess::Disabled => PublicAccess::Enabled,
                PublicAccess::Enabled => PublicAccess::Disabled,
            };
        });
    }

    /// Somebody repairs a spec that breaks a rule.
    pub fn repair(&mut self) {
        if !self.desired.is_whole() {
            self.respec(|_| ());
        }
    }

    /// From now on everybody is there, honest and able; who was asked for an approval gives it.
    pub fn peace(&mut self) {
        self.regrant(None);
        self.repair();
        self.unthwart();
        self.broken.clear();
        self.silent.clear();
        self.liars.clear();
        self.quiet_surroundings();
        self.answer();
        self.approve();
    }
}
