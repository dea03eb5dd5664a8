//! What the model must tell apart, and what its judge must see: one thing changed at a time.
//!
//! A field that the planner reads and the key does not hold would make two states one, and leave out whatever follows from the
//! second; a clause of the closing rule that sees nothing would let everything pass.

use sreg_api::BreakGlassStatus;
use sreg_api::probe::{ConnectivityProbeSpec, ConnectivityProbeStatus, Hop, PathResult, ProbeOutcome};
use sreg_api::registry::PublicAccess;
use sreg_api::status::{
    ApprovalWanted, BreakGlassUse, ExposureStatus, RefusalStatus, RollbackStatus, SecureRegistryStatus,
};
use sreg_domain::seen::{EndpointSeen, LinkSeen, ProbeSeen, ZoneGroupSeen, ZoneSeen};
use sreg_domain::{Digest, Fact};
use stateright::Model;

use super::disturbance::{Disturbance, set_alive};
use super::state::{Pass, State};
use super::state_key::plan_key;
use super::{Lockdown, invariants};
use crate::world::scramble::Blow;
use crate::world::{change_acr, id};

type Change = (&'static str, fn(&mut State));

/// Changes of what the planner reads in Azure and in the cluster.
const WORLD: &[Change] = &[
    ("spec", |s| s.world_mut().desired.public_access = PublicAccess::Enabled),
    ("generation of the spec", |s| {
        s.world_mut().desired.object.generation += 1
    }),
    ("finalizer", |s| s.world_mut().seen.object.has_finalizer ^= true),
    ("deletion", |s| s.world_mut().seen.object.deleting ^= true),
    ("claim", |s| s.world_mut().seen.cluster.claim = Fact::Absent),
    ("agent's life", |s| set_alive(s.world_mut(), 0, false)),
    ("probe", |s| {
        *s.world_mut().seen.cluster.probes.values_mut().next().unwrap() = Fact::Absent
    }),
    ("probe's round", |s| asked(s).round += 100),
    ("probe's subject", |s| asked(s).subject.push('0')),
    ("probe's name", |s| asked(s).paths[0].fqdn.push('0')),
    ("probe's addresses", |s| {
        asked(s).paths[0].addresses.push("10.9.9.9".into())
    }),
    ("probe's paths", |s| drop(asked(s).paths.pop())),
    ("answer", |s| probe(s).status = None),
    ("answered question", |s| answered(s).observed_generation = Some(-1)),
    ("answered round", |s| answered(s).round += 100),
    ("answered subject", |s| answered(s).subject.push('0')),
    ("answered names", |s| drop(answered(s).results.pop())),
    ("answered name", |s| found(s).fqdn.push('0')),
    ("outcome", |s| found(s).outcome = ProbeOutcome::Unknown),
    ("hop", |s| found(s).hop = Some(Hop::Tls)),
    ("found addresses", |s| found(s).addresses.push("10.9.9.9".into())),
    ("successes", |s| found(s).successes += 1),
    ("failures", |s| found(s).failures += 1),
    ("snapshot", |s| s.world_mut().seen.cluster.snapshot = Fact::Absent),
    ("what the snapshot kept", |s| {
        if let Fact::Seen(snapshot) = &mut s.world_mut().seen.cluster.snapshot {
            snapshot
                .targets
                .values_mut()
                .for_each(|t| t.network = serde_json::json!({}));
        }
    }),
    ("approvals", |s| {
        s.world_mut().seen.cluster.approvals = Fact::Seen(Vec::new())
    }),
    ("approved digest", |s| {
        if let Fact::Seen(all) = &mut s.world_mut().seen.cluster.approvals {
            all.iter_mut().for_each(|a| a.digest = Digest::from_text("0"));
        }
    }),
    ("break-glasses", |s| {
        s.world_mut().seen.cluster.break_glasses = Fact::Seen(Vec::new())
    }),
    ("begin of a break-glass", |s| s.tick_glass()),
    ("what it was told", |s| {
        *told(s) = BreakGlassStatus {
            phase: sreg_api::BreakGlassPhase::Spent,
            ..told(s).clone()
        }
    }),
    ("end that it was told", |s| told(s).until = None),
    ("registry", |s| s.world_mut().suffer(Blow::OpenRegistry)),
    ("storage", |s| s.world_mut().suffer(Blow::OpenStorage)),
    ("container registry", |s| {
        change_acr(s.world_mut(), |acr| acr.public_network_access = Some("Disabled".into()));
    }),
    ("replicas", |s| s.world_mut().suffer(Blow::NewReplica)),
    ("endpoint", |s| {
        *s.world_mut().seen.azure.endpoints.values_mut().next().unwrap() = Fact::Absent
    }),
    ("endpoint's state", |s| {
        endpoint(s).provisioning_state = "Updating".into()
    }),
    ("endpoint's owner", |s| endpoint(s).owner = None),
    ("connection", |s| {
        endpoint(s).connection_status = Some("Rejected".into())
    }),
    ("members", |s| endpoint(s).members = Fact::Seen(Vec::new())),
    ("address", |s| {
        if let Fact::Seen(members) = &mut endpoint(s).members {
            members.iter_mut().for_each(|m| m.address = "10.9.9.9".parse().unwrap());
        }
    }),
    ("zone groups", |s| endpoint(s).zone_groups = Fact::Seen(Vec::new())),
    ("zone group's name", |s| {
        group(s).id = group(s).id.parent().unwrap().child("privateDnsZoneGroups", "other")
    }),
    ("zone group's state", |s| group(s).provisioning_state = "Failed".into()),
    ("zone group's zones", |s| {
        group(s).zones = vec![id(
            "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/z",
        )]
    }),
    ("zone", |s| {
        *s.world_mut().seen.azure.zones.values_mut().next().unwrap() = Fact::Absent
    }),
    ("zone's owner", |s| zone(s).owner = None),
    ("links", |s| zone(s).links = Fact::Seen(Vec::new())),
    ("link's state", |s| links(s)[0].completed = false),
    ("link's tags", |s| links(s)[0].tags.clear()),
    ("linked network", |s| {
        links(s)[0].virtual_network = crate::world::vnet("office")
    }),
    ("records", |s| zone(s).records = Fact::Seen(Default::default())),
];

/// Changes of what a process remembers.
const MEMORY: &[Change] = &[
    ("round", |s| s.operators[0].memory.round = None),
    ("round's number", |s| {
        s.operators[0].memory.round.as_mut().unwrap().number += 100
    }),
    ("round's subject", |s| {
        s.operators[0].memory.round.as_mut().unwrap().subject = Digest::from_text("0")
    }),
    ("round's age", |s| {
        s.operators[0].memory.round.as_mut().unwrap().age += super::state::TICK
    }),
    ("time for which a path is lost", |s| {
        s.operators[0].memory.lost_for = Some(super::state::TICK * 7)
    }),
    ("time since names changed", |s| {
        s.operators[0].memory.since_name_change = None
    }),
    ("time since names were seen to change", |s| {
        s.operators[0].memory.name_changed = Some(super::state::TICK * 9)
    }),
];

/// Changes of what status says.
const STATUS: &[Change] = &[
    ("status", |s| *status(s) = SecureRegistryStatus::default()),
    ("generation of the status", |s| status(s).observed_generation = Some(-1)),
    ("a condition", |s| {
        status(s)
            .conditions
            .iter_mut()
            .for_each(|c| c.status = "Unknown".into())
    }),
    ("the state", |s| {
        status(s).conditions.iter_mut().for_each(|c| c.reason = "Other".into())
    }),
    ("refusals", |s| drop(refusal(s))),
    ("approvals wanted", |s| {
        status(s).approvals_wanted.push(ApprovalWanted::default())
    }),
    ("last change of names", |s| status(s).last_name_change_time = None),
    ("first seen public", |s| exposure(s).first_seen_public = None),
    ("time of the lock", |s| exposure(s).locked_at = None),
    ("time to remediate", |s| exposure(s).time_to_remediate_seconds = None),
    ("exposed by spec", |s| exposure(s).by_spec ^= true),
    ("evidence of the lock", |s| exposure(s).evidence_digest = None),
    ("rollback", |s| status(s).rollback = None),
    ("count of rollbacks", |s| rollback(s).count += 1),
    ("time of a rollback", |s| rollback(s).reopened_at = None),
    ("generation of a rollback", |s| rollback(s).generation = -1),
    ("a rollback that is done", |s| rollback(s).restored ^= true),
    ("uses of a break-glass", |s| status(s).break_glasses.clear()),
    ("name of a use", |s| used(s).name.push('0')),
    ("begin of a use", |s| used(s).created_at = None),
    ("begin of the count", |s| used(s).counts_from = None),
    ("end of a use", |s| used(s).until = None),
    ("a use that is over", |s| used(s).ended ^= true),
];

fn probe(s: &mut State) -> &mut ProbeSeen {
    seen(s.world_mut().seen.cluster.probes.values_mut().next().unwrap())
}

fn asked(s: &mut State) -> &mut ConnectivityProbeSpec {
    &mut probe(s).spec
}

fn answered(s: &mut State) -> &mut ConnectivityProbeStatus {
    probe(s).status.as_mut().unwrap()
}

fn found(s: &mut State) -> &mut PathResult {
    &mut answered(s).results[0]
}

fn told(s: &mut State) -> &mut BreakGlassStatus {
    seen(&mut s.world_mut().seen.cluster.break_glasses)[0]
        .status
        .as_mut()
        .unwrap()
}

fn endpoint(s: &mut State) -> &mut EndpointSeen {
    seen(s.world_mut().seen.azure.endpoints.values_mut().next().unwrap())
}

fn group(s: &mut State) -> &mut ZoneGroupSeen {
    &mut seen(&mut endpoint(s).zone_groups)[0]
}

fn zone(s: &mut State) -> &mut ZoneSeen {
    seen(s.world_mut().seen.azure.zones.values_mut().next().unwrap())
}

fn links(s: &mut State) -> &mut Vec<LinkSeen> {
    seen(&mut zone(s).links)
}

fn status(s: &mut State) -> &mut SecureRegistryStatus {
    &mut s.world_mut().seen.object.status
}

fn exposure(s: &mut State) -> &mut ExposureStatus {
    status(s).exposure.as_mut().unwrap()
}

fn rollback(s: &mut State) -> &mut RollbackStatus {
    status(s).rollback.as_mut().unwrap()
}

fn used(s: &mut State) -> &mut BreakGlassUse {
    &mut status(s).break_glasses[0]
}

fn refusal(s: &mut State) -> RefusalStatus {
    status(s).refusals.push(RefusalStatus::default());
    RefusalStatus::default()
}

fn seen<T>(fact: &mut Fact<T>) -> &mut T {
    match fact {
        Fact::Seen(value) => value,
        Fact::Absent | Fact::Unknown(_) => panic!("nothing is seen there"),
    }
}

impl State {
    fn tick_glass(&mut self) {
        let created = &mut seen(&mut self.world_mut().seen.cluster.break_glasses)[0].created_at;
        *created -= jiff::SignedDuration::from_secs(1);
    }

    fn plan_key(&self) -> u64 {
        let mut seen = self.world.seen_now();
        seen.memory = self.operators[0].memory.clone();
        plan_key(&self.world, &seen)
    }
}

impl Lockdown {
    /// Changes of what the planner reads that the model does not see, of how many. It has to be a configuration with approval.
    pub fn not_told_apart(&self) -> (Vec<&'static str>, usize) {
        let full = self.with_everything();
        let all = [WORLD, MEMORY, STATUS].concat();
        let blind = all.iter().filter(|(_, change)| {
            let mut other = full.clone();
            change(&mut other);
            other.plan_key() == full.plan_key() || other.situation() == full.situation()
        });
        (blind.map(|(what, _)| *what).collect(), all.len())
    }

    /// Locked, opened by a break-glass that was told so, and a rollback on record: every field holds something.
    fn with_everything(&self) -> State {
        let mut state = self.init_states().remove(0);
        self.disturb(&mut state, Disturbance::BreakGlass);
        self.until(&mut state, |s| {
            let glasses = s.world.seen.cluster.break_glasses.seen().into_iter().flatten();
            let told = glasses.filter_map(|g| g.status.as_ref()?.until.as_ref()).count();
            s.world.all_open() && told > 0 && !s.world.seen.object.status.break_glasses.is_empty()
        });
        let round = state.operators[0].memory.round.get_or_insert(sreg_domain::seen::Round {
            number: 7,
            subject: Digest::from_text("subject"),
            age: super::state::TICK,
        });
        let number = round.number;
        asked(&mut state).round = number;
        let generation = state.world.desired.object.generation;
        let status = status(&mut state);
        let exposure = status.exposure.get_or_insert_default();
        exposure.time_to_remediate_seconds.get_or_insert(60);
        exposure.evidence_digest.get_or_insert_default();
        status.rollback = Some(RollbackStatus {
            count: 1,
            reopened_at: status.last_name_change_time.clone(),
            generation,
            ..RollbackStatus::default()
        });
        state.world_mut().suffer(Blow::CloseRegistry);
        state.world_mut().suffer(Blow::CloseStorage);
        state.seal();
        state
    }

    /// What the judge says of a closing write that is about to go out, and of the same one when one thing is not as it has to be. It
    /// has to be a configuration with approval, on its way to the lock.
    pub fn judged(&self) -> Vec<(&'static str, Option<String>)> {
        let mut ready = self.init_states().remove(0);
        self.until(&mut ready, |s| matches!(s.operators[0].pass, Pass::Sent(..)));
        let clauses: [Change; 12] = [
            ("nothing", |_| {}),
            ("lease", |s| s.leader = 1),
            ("deletion", |s| s.world_mut().delete()),
            ("spec", |s| s.world_mut().desired.public_access = PublicAccess::Enabled),
            ("break-glass", |s| super::disturbance::begin_emergency(s.world_mut())),
            ("no round", |s| s.ghost.rounds[0] = None),
            ("old round", |s| s.ghost.rounds[0].as_mut().unwrap().1 = 2),
            ("a network in another round", |s| {
                s.ghost.measured[1].as_mut().unwrap().0 += 1
            }),
            ("a network not at all", |s| s.ghost.measured[0] = None),
            ("an address since", |s| s.world_mut().suffer(Blow::RemoveEndpoint(0))),
            ("names just changed", |s| s.ghost.since_names = 0),
            ("not approved", |s| s.ghost.approved = None),
        ];
        let judge = |(what, change): &Change| {
            let mut state = ready.clone();
            change(&mut state);
            (*what, invariants::why_not_close(&state, 0))
        };
        clauses.iter().map(judge).collect()
    }
}
