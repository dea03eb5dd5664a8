//! Absence needs evidence. Azure answers 404 now and then for what is there (a lagging read, another region's cache), and much
//! is decided on an absence: something is made anew, removed, or forgotten. So one "not found" for anything that somebody knows
//! of only means that it is asked again; here, and nowhere else, it becomes [`Fact::Absent`].
//!
//! | what is not found | believed after |
//! | --- | --- |
//! | what nobody knows of | the first answer; a registry, a resource group: two, 5 s apart |
//! | what this process saw, what status, a connection, a list or a peering tells of | three answers, the last at least 30 s after the first |
//! | a storage account or container registry that the registry names | three answers, the last at least 3 minutes after the first |
//! | what this process has removed itself | the first answer |
//!
//! An endpoint of ours that was seen is asked for by itself from then on, and so are the accounts that the registry named once it is not
//! found: that a list or a connection leaves something out tells nothing, and neither does what could not be read. Where what is decided
//! cannot be taken back, the planner asks for a sign of life elsewhere besides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sreg_api::SecureRegistryStatus;
use sreg_domain::seen::{
    AzureSeen, ClusterSeen, EndpointSeen, Fact, Ignorance, IgnoranceKind, OperationState, UNLISTED,
};
use sreg_domain::{ArmId, Desired};
use tokio::time::Instant;

/// What this process has seen of one object's resources in Azure, and how often it then missed them.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    known: BTreeSet<ArmId>,
    /// Endpoints of ours that exist, as far as is known.
    ours: BTreeSet<ArmId>,
    /// Storage accounts and container registries that the registry named when it was last seen.
    accounts: BTreeSet<ArmId>,
    /// Removed by a write of ours.
    removed: BTreeSet<ArmId>,
    misses: BTreeMap<ArmId, Misses>,
}

#[derive(Debug, Clone, Copy)]
struct Misses {
    count: u32,
    since: Instant,
}

/// How much evidence an absence needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Evidence {
    answers: u32,
    over: Duration,
}

/// For what nobody knows of, where being wrong could not be mended.
const TWICE: Evidence = Evidence {
    answers: 2,
    over: Duration::from_secs(5),
};
/// For what somebody knows of.
const KNOWN: Evidence = Evidence {
    answers: 3,
    over: Duration::from_secs(30),
};
/// For what the registry itself names: Azure contradicts itself.
const NAMED: Evidence = Evidence {
    answers: 3,
    over: Duration::from_secs(180),
};

/// Who besides this process knows what exists.
pub(crate) struct Witnesses<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) status: &'a SecureRegistryStatus,
    pub(crate) cluster: &'a ClusterSeen,
}

impl Absences {
    /// What the next look has to look at, whatever Azure's lists say.
    pub(crate) fn known_endpoints(&self) -> BTreeSet<ArmId> {
        self.ours.clone()
    }

    /// The same for what the registry named, where it is not found itself.
    pub(crate) fn known_accounts(&self) -> BTreeSet<ArmId> {
        self.accounts.clone()
    }

    /// A write of ours removes it: that it is not found afterwards is no surprise.
    pub(crate) fn removing(&mut self, id: &ArmId) {
        self.removed.insert(id.clone());
    }

    /// Turns every absence without enough evidence into not knowing.
    pub(crate) fn judge(&mut self, witnesses: &Witnesses<'_>, azure: &mut AzureSeen, now: Instant) {
        self.forget_failed_removals(azure);
        let told = told(witnesses, azure);
        let registry = witnesses.desired.registry.clone();
        let evidence = if self.known.contains(&registry) || told.registry {
            KNOWN
        } else {
            TWICE
        };
        for (id, fact) in azure.targets.iter_mut() {
            let needed = if *id == registry { evidence } else { NAMED };
            self.one(id, fact, Some(needed), now);
        }
        if azure.registry().seen().is_some() {
            self.accounts = azure.targets.accounts().map(|(id, _)| id.clone()).collect();
        }
        self.all(&mut azure.accounts_left, true, now);
        self.endpoints(witnesses.desired, &told, azure, now);
        let any = told.anything;
        self.all(&mut azure.subnets, any, now);
        self.all(&mut azure.virtual_networks, any, now);
        self.all(&mut azure.zones, any, now);
        self.all(&mut azure.neighbours, true, now);
        if let Fact::Seen(zones) = &mut azure.zones_elsewhere {
            for zone in zones {
                self.one(&zone.id, &mut zone.links, Some(KNOWN), now);
            }
        }
        self.all(&mut azure.records_by_policy, any, now);
        self.all(&mut azure.shared_storage, false, now);
    }

    fn all<T>(&mut self, facts: &mut BTreeMap<ArmId, Fact<T>>, told: bool, now: Instant) {
        for (id, fact) in facts {
            self.one(id, fact, told.then_some(KNOWN), now);
        }
    }

    fn endpoints(&mut self, desired: &Desired, told: &Told, azure: &mut AzureSeen, now: Instant) {
        let running: BTreeSet<ArmId> = running(azure).collect();
        for (id, fact) in &mut azure.endpoints {
            let evidence = if id.name() == UNLISTED {
                Some(TWICE)
            } else {
                told.endpoints.contains(id).then_some(KNOWN)
            };
            self.one(id, fact, evidence, now);
            if let Fact::Seen(endpoint) = fact {
                self.sighting(id, endpoint, desired, running.contains(id));
            }
        }
        self.ours
            .retain(|id| !azure.endpoints.get(id).is_some_and(Fact::is_absent));
    }

    fn sighting(&mut self, id: &ArmId, endpoint: &EndpointSeen, desired: &Desired, changing: bool) {
        if endpoint.owner.as_deref() == Some(desired.owner.as_str()) {
            self.ours.insert(id.clone());
        } else {
            self.ours.remove(id);
        }
        // It is there, and nothing removes it any more.
        if !changing && !endpoint.provisioning_state.eq_ignore_ascii_case("Deleting") {
            self.removed.remove(id);
        }
    }

    /// `told`: what somebody else's word demands; what this process saw itself needs [`KNOWN`] at least.
    fn one<T>(&mut self, id: &ArmId, fact: &mut Fact<T>, told: Option<Evidence>, now: Instant) {
        match fact {
            Fact::Seen(_) => {
                self.known.insert(id.clone());
                self.misses.remove(id);
            }
            Fact::Unknown(_) => {}
            Fact::Absent if self.removed.contains(id) => {
                self.known.remove(id);
                self.misses.remove(id);
            }
            Fact::Absent => {
                let own = self.known.contains(id).then_some(KNOWN);
                let Some(needed) = told.or(own) else { return };
                let misses = self.misses.entry(id.clone()).or_insert(Misses { count: 0, since: now });
                misses.count = misses.count.saturating_add(1);
                let since = now.saturating_duration_since(misses.since);
                if misses.count < needed.answers || since < needed.over {
                    *fact = Fact::Unknown(not_yet(id, misses.count, needed));
                }
            }
        }
    }

    fn forget_failed_removals(&mut self, azure: &AzureSeen) {
        for operation in &azure.operations {
            if matches!(operation.state, OperationState::Failed(_)) {
                self.removed.remove(&operation.operation.resource);
            }
        }
    }
}

fn running(azure: &AzureSeen) -> impl Iterator<Item = ArmId> {
    let operations = azure.operations.iter();
    operations
        .filter(|o| o.state.may_run())
        .map(|o| o.operation.resource.clone())
}

/// What others tell of.
struct Told {
    /// Somebody has seen the registry.
    registry: bool,
    /// Something was built already: what the spec names was there.
    anything: bool,
    /// Endpoints that status has seen, or that a target says are connected to it.
    endpoints: BTreeSet<ArmId>,
}

fn told(witnesses: &Witnesses<'_>, azure: &AzureSeen) -> Told {
    let status = witnesses.status;
    let existed = |state: &str| !matches!(state, "" | "Absent" | "Unknown");
    let recorded = status.endpoints.iter().filter(|e| existed(&e.provisioning_state));
    let recorded: BTreeSet<ArmId> = recorded.filter_map(|e| e.resource_id.parse().ok()).collect();
    let connected = azure
        .targets
        .seen()
        .flat_map(|target| &target.private_endpoints)
        .cloned();
    let targets = status
        .public_access
        .as_ref()
        .is_some_and(|access| !access.targets.is_empty());
    Told {
        registry: targets || status.exposure.is_some() || witnesses.cluster.snapshot.seen().is_some(),
        anything: !recorded.is_empty(),
        endpoints: recorded.into_iter().chain(connected).collect(),
    }
}

fn not_yet(id: &ArmId, times: u32, needed: Evidence) -> Ignorance {
    Ignorance {
        attempt: format!("read {id}"),
        kind: IgnoranceKind::Settling,
        message: format!(
            "Azure answered {times} times in a row that it does not exist; such an answer may be wrong, so it is believed after {} of them over at least {}",
            needed.answers,
            sreg_domain::duration::show(needed.over)
        ),
        code: None,
        correlation_id: None,
        retry_after: Some(
            needed
                .over
                .div_f64(3.0)
                .clamp(Duration::from_secs(3), Duration::from_secs(10)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ArmId {
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/{name}")
            .parse()
            .unwrap()
    }

    /// What comes of an answer of "not found" that many seconds after the beginning: believed or not.
    fn believed(absences: &mut Absences, told: Option<Evidence>, begin: Instant, seconds: u64) -> bool {
        let mut fact: Fact<()> = Fact::Absent;
        absences.one(&id("z"), &mut fact, told, begin + Duration::from_secs(seconds));
        match fact {
            Fact::Absent => true,
            Fact::Unknown(why) => {
                assert_eq!(why.kind, IgnoranceKind::Settling);
                false
            }
            Fact::Seen(()) => panic!(),
        }
    }

    fn seen(absences: &mut Absences, begin: Instant) {
        absences.one(&id("z"), &mut Fact::Seen(()), None, begin);
    }

    #[test]
    fn what_nobody_knows_of_is_absent_at_the_first_answer() {
        assert!(believed(&mut Absences::default(), None, Instant::now(), 0));
    }

    #[test]
    fn what_was_seen_is_absent_after_several_answers_over_time() {
        let (mut absences, begin) = (Absences::default(), Instant::now());
        seen(&mut absences, begin);
        for (second, gone) in [(0, false), (1, false), (2, false), (29, false), (30, true), (31, true)] {
            assert_eq!(believed(&mut absences, None, begin, second), gone, "{second}");
        }
        // Seen once more, it begins anew: also two answers that are far apart are not enough.
        seen(&mut absences, begin);
        for (second, gone) in [(100, false), (900, false), (901, true)] {
            assert_eq!(believed(&mut absences, None, begin, second), gone, "{second}");
        }
    }

    #[test]
    fn what_somebody_else_tells_of_needs_evidence_too() {
        let (mut absences, begin) = (Absences::default(), Instant::now());
        assert!(!believed(&mut absences, Some(TWICE), begin, 0));
        assert!(!believed(&mut absences, Some(TWICE), begin, 4));
        assert!(believed(&mut absences, Some(TWICE), begin, 5));
    }

    #[test]
    fn what_could_not_be_read_in_between_is_neither_seen_nor_missed() {
        let (mut absences, begin) = (Absences::default(), Instant::now());
        seen(&mut absences, begin);
        assert!(!believed(&mut absences, None, begin, 0) && !believed(&mut absences, None, begin, 10));
        let mut unread: Fact<()> = Fact::not_read("throttled");
        absences.one(&id("z"), &mut unread, None, begin);
        assert!(believed(&mut absences, None, begin, 40));
    }

    #[test]
    fn what_we_removed_is_absent_at_the_first_answer_once() {
        let (mut absences, begin) = (Absences::default(), Instant::now());
        seen(&mut absences, begin);
        absences.removing(&id("z"));
        assert!(believed(&mut absences, None, begin, 0));
    }
}
