//! Somebody who stands beside a story and judges every visit by what really is so in the world, never by what the planner says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sreg_api::grant::RegistryOperation;
use sreg_api::registry::{LockdownGate, PublicAccess, RollbackPolicy};
use sreg_domain::{Action, ArmId, ClusterAction, Fact, Purpose};
use sreg_planner::plan::FindingReason;
use sreg_planner::{Plan, render};

use crate::stories::Moment;
use crate::world::required::Needs;
use crate::world::*;

/// What the witness knows.
#[derive(Default)]
pub struct Witness {
    /// The round that the living process opened last, and when.
    round: Option<(i64, Timestamp)>,
    /// Per network: what an honest agent really reached, in which round.
    measured: BTreeMap<String, (i64, Needs)>,
    /// When a write of ours last changed names.
    names_changed: Option<Timestamp>,
    /// Rollbacks that were confirmed by real failures when they were recorded.
    rolling_back: bool,
    /// What an approval of each digest covered when it was asked for.
    asked: BTreeMap<String, Vec<Needs>>,
    /// Endpoints that were seen to be ours since they were made: a tag that is lost later does not make them a stranger's.
    ours: BTreeSet<ArmId>,
    /// The first thing that must not be.
    wrong: Option<String>,
}

/// What a plan's writes to Azure would take and administrators have taken away: anything that the object names, for whatever builds and
/// closes; looking and opening, for what opens.
fn ungranted(world: &World, plan: &Plan) -> Option<Purpose> {
    let granted = world.grants.as_ref()?;
    let taken: Vec<Purpose> = Purpose::all()
        .filter(|purpose| granted.iter().all(|grant| !grant.scopes.contains_key(purpose)))
        .collect();
    let (look, open) = (RegistryOperation::Observe, RegistryOperation::Open);
    let needs = |purpose: &Purpose, opens: bool| match purpose {
        Purpose::Registry(operation) if *operation == look => true,
        Purpose::Registry(operation) if *operation == open => {
            opens
                || world.desired.public_access == PublicAccess::Enabled
                || world.object.spec.public_access.rollback.is_some()
        }
        Purpose::Registry(RegistryOperation::Lock) => !opens && world.desired.public_access == PublicAccess::Disabled,
        Purpose::Network(_) | Purpose::PrivateDnsZone => !opens,
        Purpose::Registry(_)
        | Purpose::EndpointResourceGroup
        | Purpose::Account(_)
        | Purpose::LogAnalyticsWorkspace => false,
    };
    let writes = plan.steps().filter_map(|step| match &step.action {
        Action::Azure(azure) => Some(azure.is_opening()),
        Action::Cluster(_) => None,
    });
    let mut takes = writes.flat_map(|opens| taken.iter().filter(move |purpose| needs(purpose, opens)));
    takes.next().copied()
}

impl Witness {
    /// What was wrong first.
    pub fn verdict(self) -> Option<String> {
        self.wrong
    }

    fn object(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// Watches one moment of a story.
    pub fn watch(&mut self, moment: Moment<'_>) {
        match moment {
            Moment::Restart => {
                self.round = None;
                self.measured.clear();
            }
            Moment::Visit {
                before, plan, after, ..
            } => {
                self.judge(before, plan, after);
                self.learn(before, plan, after);
            }
        }
    }

    fn judge(&mut self, before: &World, plan: &Plan, after: &World) {
        let (was, is) = (before.closed(), after.closed());
        let became = |value: bool| is.iter().any(|(k, v)| *v == value && was.get(k) == Some(&!value));
        if plan.steps().any(|s| s.action.closes())
            && let Some(why) = self.why_not_close(before)
        {
            self.object(format!("{}: closes, but {why}\n{}", before.now, render(plan)));
        }
        if became(true) && !plan.steps().any(|s| s.action.closes()) {
            self.object(format!(
                "{}: something closed by no closing step\n{}",
                before.now,
                render(plan)
            ));
        }
        if became(false) && !self.may_open(before) {
            self.object(format!(
                "{}: opens, and nothing permits it\n{}",
                before.now,
                render(plan)
            ));
        }
        if let Some(taken) = ungranted(before, plan) {
            self.object(format!(
                "{}: writes, and nobody grants {taken:?}\n{}",
                before.now,
                render(plan)
            ));
        }
        if let Some(theirs) = self.strangers_touched(before, plan) {
            self.object(format!(
                "{}: touches {theirs}, which is not ours\n{}",
                before.now,
                render(plan)
            ));
        }
        let most = 8 + 12
            * (before.groups().len() * before.desired.endpoints().len() + before.desired.client_networks().len());
        if plan.steps().count() > most {
            self.object(format!("more than {most} steps\n{}", render(plan)));
        }
    }

    fn why_not_close(&self, world: &World) -> Option<String> {
        let desired = &world.desired;
        if world.seen.object.deleting || desired.observe_only || desired.public_access != PublicAccess::Disabled {
            return Some("nobody wants it closed now".into());
        }
        let Some(spec) = desired.whole() else {
            return Some("its spec breaks a rule".into());
        };
        if emergency(world) {
            return Some("a break-glass is in force".into());
        }
        let Some((number, opened)) = self.round else {
            return Some("this process opened no round".into());
        };
        let age = Duration::try_from(world.now.duration_since(opened)).unwrap_or_default();
        if age > spec.verification.max_age {
            return Some(format!("the round is {age:?} old"));
        }
        for network in desired.client_networks() {
            let needs = world.needs(&network.name);
            if self.measured.get(&network.name) != Some(&(number, needs)) {
                return Some(format!(
                    "{} has not proven what it needs now, in this round",
                    network.name
                ));
            }
        }
        let settled = self.names_changed.is_none_or(|at| {
            Duration::try_from(world.now.duration_since(at)).is_ok_and(|since| since >= spec.verification.dns_settle)
        });
        if !settled {
            return Some("a write of ours changed names within dnsSettle".into());
        }
        (spec.gates.contains(&LockdownGate::Approval) && !self.approved(world)).then(|| "this is not approved".into())
    }

    /// Somebody approved a digest that was shown for exactly these paths.
    fn approved(&self, world: &World) -> bool {
        let now = all_needs(world);
        let approvals = world.seen.cluster.approvals.seen().into_iter().flatten();
        approvals
            .into_iter()
            .any(|a| self.asked.get(a.digest.as_str()) == Some(&now))
    }

    fn may_open(&self, world: &World) -> bool {
        let rollback = world
            .desired
            .whole()
            .is_some_and(|spec| spec.rollback == RollbackPolicy::Reopen)
            && self.rolling_back;
        !world.seen.object.deleting
            && !world.desired.observe_only
            && (world.desired.public_access == PublicAccess::Enabled || emergency(world) || rollback)
    }

    fn learn(&mut self, before: &World, plan: &Plan, after: &World) {
        for step in plan.steps() {
            match &step.action {
                Action::Cluster(ClusterAction::OpenRound { number, .. }) => self.round = Some((*number, before.now)),
                Action::Azure(azure) if azure.changes_names() => self.names_changed = Some(before.now),
                Action::Cluster(_) | Action::Azure(_) => {}
            }
        }
        self.learn_of_rollback(before, plan, after);
        self.learn_whose(before);
        self.learn_whose(after);
        for wanted in &after.seen.object.status.approvals_wanted {
            self.asked.insert(wanted.digest.clone(), all_needs(before));
        }
        for network in after.desired.client_networks() {
            let point = &network.vantage_point;
            let honest = !after.silent.contains(point) && !after.liars.contains_key(point);
            let probe = after.seen.cluster.probes.get(point).and_then(Fact::seen);
            let measured = probe
                .filter(|p| honest && p.spec.round > 0)
                .and_then(|p| Some((p.spec.round, after.try_all(&network.name).ok()?)));
            match measured {
                Some(measured) => drop(self.measured.insert(network.name.clone(), measured)),
                None if !after.silent.contains(point) => drop(self.measured.remove(&network.name)),
                // Its last answer still stands.
                None => {}
            }
        }
    }

    /// A rollback may be recorded only on failures that really were reported, in a round of this process.
    fn learn_of_rollback(&mut self, before: &World, plan: &Plan, after: &World) {
        let count = |world: &World| world.seen.object.status.rollback.as_ref().map_or(0, |r| r.count);
        if count(after) > count(before) {
            let number = self.round.map(|(number, _)| number);
            // Of a broken object nobody knows how many it asks for: at least one failure was reported all the same.
            let needed = before
                .desired
                .whole()
                .map_or(1, |spec| spec.verification.consecutive_successes);
            let needed = i32::try_from(needed).unwrap();
            let probes = before.seen.cluster.probes.values().filter_map(Fact::seen);
            let statuses = probes
                .filter_map(|p| p.status.as_ref())
                .filter(|s| Some(s.round) == number);
            let lost = statuses
                .into_iter()
                .any(|s| s.results.iter().any(|r| r.failures >= needed));
            let said = plan.findings.iter().any(|f| f.reason == FindingReason::RolledBack);
            if !(lost
                && said
                && before
                    .desired
                    .whole()
                    .is_some_and(|spec| spec.rollback == RollbackPolicy::Reopen))
            {
                self.object(format!("{}: a rollback nobody confirmed\n{}", before.now, render(plan)));
            }
            self.rolling_back = true;
        }
        if after.all_open() || before.desired.object.generation != after.desired.object.generation {
            self.rolling_back = false;
        }
    }

    fn learn_whose(&mut self, world: &World) {
        for (id, fact) in &world.seen.azure.endpoints {
            match fact {
                Fact::Seen(endpoint) if endpoint.owner.as_ref() == Some(&world.desired.owner) => {
                    self.ours.insert(id.clone());
                }
                Fact::Seen(endpoint) if endpoint.owner.is_some() => drop(self.ours.remove(id)),
                Fact::Absent => drop(self.ours.remove(id)),
                // Without a tag it is still whose it was.
                Fact::Seen(_) | Fact::Unknown(_) => {}
            }
        }
    }

    /// A resource that a plan writes or deletes and that is neither a target, nor ours by its mark, nor of a name that we give.
    fn strangers_touched(&self, world: &World, plan: &Plan) -> Option<ArmId> {
        let desired = &world.desired;
        let azure = &world.seen.azure;
        let writes = plan.steps().filter_map(|s| match &s.action {
            Action::Azure(action) => Some(action.resource().clone()),
            Action::Cluster(_) => None,
        });
        let ours = |id: &ArmId| {
            let target = *id == desired.registry
                || azure.targets.contains(id)
                || desired.whole().is_some_and(|spec| spec.sharing.contains(id));
            let endpoint = |id: &ArmId| {
                let seen = azure.endpoints.get(id);
                let free = seen.is_none_or(Fact::is_absent);
                let unmarked = seen.and_then(Fact::seen).is_some_and(|e| e.owner.is_none());
                let marked = seen
                    .and_then(Fact::seen)
                    .is_some_and(|e| e.owner.as_ref() == Some(&desired.owner));
                free || marked || (unmarked && self.ours.contains(id))
            };
            let zone = |id: &ArmId| {
                desired
                    .endpoints()
                    .iter()
                    .any(|p| p.dns.zones.values().any(|z| z == id))
            };
            match id.kind().as_str() {
                "microsoft.network/privateendpoints" => endpoint(id),
                "microsoft.network/privateendpoints/privatednszonegroups" => {
                    id.name() == sreg_api::names::ZONE_GROUP && id.parent().is_some_and(|parent| endpoint(&parent))
                }
                "microsoft.network/privatednszones" => zone(id) && azure.zones.get(id).is_none_or(Fact::is_absent),
                "microsoft.network/privatednszones/virtualnetworklinks" => {
                    id.parent().is_some_and(|parent| zone(&parent))
                }
                _ => target,
            }
        };
        writes.into_iter().find(|id| !ours(id))
    }
}

fn all_needs(world: &World) -> Vec<Needs> {
    let networks = world.desired.client_networks().iter();
    networks
        .map(|n| {
            world
                .needs(&n.name)
                .into_keys()
                .map(|name| (name, BTreeSet::new()))
                .collect()
        })
        .collect()
}

/// One of its own duration is in force; the cap and a lock only shorten it.
pub fn emergency(world: &World) -> bool {
    let glasses = world.seen.cluster.break_glasses.seen().into_iter().flatten();
    glasses.into_iter().any(|g| {
        let length = jiff::SignedDuration::try_from(g.duration.min(world.desired.max_break_glass)).unwrap();
        g.created_at <= world.now && world.now < g.created_at + length
    })
}
