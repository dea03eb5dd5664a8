//! Visits: plan, carry out, report, keep the status; every plan is linted.

use std::collections::BTreeMap;

use sreg_domain::seen::{AzureSeen, DenyAssignment, LockSeen};
use sreg_domain::{ArmId, Fact, Outcome, Seen, TargetKind};
use sreg_planner::plan::WaitReason;
use sreg_planner::{
    Decided, Plan, Report, ReportInput, is_held_elsewhere, is_left_to_open, lint, may_open, plan, report,
};

use super::{OfKnownKind as _, World, advice, nasty, words};

impl World {
    /// The plan for now. Every plan is linted.
    pub fn plan(&self) -> Plan {
        let plan = plan(&self.desired, &self.seen_now(), self.now);
        let findings = lint(&self.desired, &self.seen_now(), &plan);
        assert!(
            findings.is_empty(),
            "lint: {findings:#?}\n{}",
            sreg_planner::render(&plan)
        );
        // A gate that the lint had to hold back is a defect, even if nothing comes of it.
        let refused = plan.waits.iter().find(|w| w.reason == WaitReason::PlanRefusedStalled);
        assert!(refused.is_none(), "{refused:?}");
        self.openings_are_foretold(&plan);
        words::of_plan(&plan);
        advice::of_plan(&plan);
        plan
    }

    /// What is asked before Azure is looked at, and after a short look, says the same as the plan.
    fn openings_are_foretold(&self, plan: &Plan) {
        let seen = self.seen_now();
        let left = is_left_to_open(&self.desired, &seen);
        let blind = Seen {
            azure: AzureSeen::not_looked_at(),
            ..seen
        };
        let may = may_open(&self.desired, &blind);
        let opens = plan.steps().any(|step| step.action.opens());
        let waits = !plan.waits.is_empty();
        let same = if opens { may && left } else { !(may && left) || waits };
        assert!(
            same,
            "may open: {may}, something is left to open: {left}\n{}",
            sreg_planner::render(plan)
        );
    }

    pub fn seen_now(&self) -> Seen {
        let mut seen = Seen {
            at: self.now,
            ..self.seen.clone()
        };
        seen.object.reread();
        seen.azure.locks = self.locks_seen();
        seen.azure.deny_assignments = self.denials_seen();
        seen.azure.zone_group_policies = self.zone_group_policies();
        seen.azure.records_by_policy = self.records_by_policy();
        seen.memory.zone_groups.extend(self.zone_groups());
        let all = self.forgetters();
        for at in &self.unread {
            let (_, forget) = &all[usize::from(*at) % all.len()];
            forget(&mut seen);
        }
        self.forget_accounts(&mut seen);
        for registry in seen.azure.targets.seen_of_mut(TargetKind::Registry) {
            let details = registry.as_registry();
            *details = details.clone().as_far_as_granted(&self.desired.grants);
        }
        if !self.desired.may_be_looked_at() || is_held_elsewhere(&self.desired, &seen) {
            seen.azure = AzureSeen::not_looked_at();
        }
        if self.nasty {
            nasty::speak(&mut seen);
            seen.object.reread();
        }
        seen
    }

    /// Of a registry that is not seen the accounts are not known; but for those that are to be opened and that the snapshot names.
    fn forget_accounts(&self, seen: &mut Seen) {
        let registry = seen.azure.registry();
        if registry.seen().is_some() {
            return;
        }
        let opens = registry.ignorance().is_some() && may_open(&self.desired, seen);
        let snapshot = seen.cluster.snapshot.seen().filter(|_| opens);
        let held = snapshot.into_iter().flat_map(|snapshot| snapshot.targets.keys());
        let held: Vec<ArmId> = held.filter_map(|id| id.parse().ok()).collect();
        let accounts: Vec<ArmId> = seen.azure.targets.accounts().map(|(id, _)| id.clone()).collect();
        for id in accounts.iter().filter(|id| !held.contains(id)) {
            seen.azure.targets.remove(id);
        }
    }

    /// What a look would find: locks at, above and below each target, endpoint and zone, and what each endpoint leads to.
    fn locks_seen(&self) -> BTreeMap<ArmId, Fact<Vec<LockSeen>>> {
        let azure = &self.seen.azure;
        let holds = |id: &ArmId, lock: &LockSeen| {
            let (scope, id) = (lock.scope().to_ascii_lowercase(), id.key().to_owned());
            let below = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
            below(&id, &scope) || below(&scope, &id)
        };
        let on = |id: &ArmId| self.locks.iter().filter(|lock| holds(id, lock)).cloned().collect();
        let registry = azure.registry().seen().map(|r| &r.id);
        let targets = registry.into_iter().chain(azure.targets.accounts().map(|(id, _)| id));
        let endpoints = azure.endpoints.values().filter_map(Fact::seen);
        let targets = targets.chain(endpoints.filter_map(|endpoint| endpoint.target.as_ref()));
        let standing = azure.endpoints.values().filter_map(Fact::seen);
        let interfaces = standing.flat_map(|endpoint| &endpoint.network_interfaces);
        let scopes = targets
            .chain(azure.endpoints.keys())
            .chain(azure.zones.keys())
            .chain(interfaces);
        let fact = |id: &ArmId| self.locks_answer.clone().unwrap_or_else(|| Fact::Seen(on(id)));
        scopes.map(|id| (id.clone(), fact(id))).collect()
    }

    /// The same of deny assignments, for targets, for the resource groups of endpoints and for zones.
    fn denials_seen(&self) -> BTreeMap<ArmId, Fact<Vec<DenyAssignment>>> {
        let azure = &self.seen.azure;
        let registry = std::iter::once(&self.desired.registry);
        let targets = registry.chain(azure.targets.accounts().map(|(id, _)| id));
        let wanted = self
            .desired
            .endpoints()
            .iter()
            .map(|place| place.resource_group.clone());
        let left = azure.endpoints.keys().filter_map(ArmId::resource_group_id);
        let fact = |scope: &ArmId| match self.unread_denials_at.get(scope).or(self.unread_denials.as_ref()) {
            Some(why) => Fact::Unknown(why.clone()),
            None => Fact::Seen(self.denials.clone()),
        };
        let zones = azure.zones.keys().cloned();
        let scopes = targets.cloned().chain(wanted).chain(left).chain(zones);
        scopes.map(|scope| (scope.clone(), fact(&scope))).collect()
    }

    fn zone_groups(&self) -> BTreeMap<ArmId, Vec<ArmId>> {
        let endpoints = self.seen.azure.endpoints.iter();
        let groups = endpoints.filter_map(|(id, fact)| Some((id, fact.seen()?.zone_groups.seen()?)));
        let first = groups.filter_map(|(id, groups)| Some((id.clone(), groups.first()?.zones.clone())));
        first.collect()
    }

    pub fn report(&self, plan: &Plan, outcome: &Outcome) -> Report {
        let told = report(ReportInput {
            desired: &self.desired,
            seen: &self.seen_now(),
            plan,
            outcome,
            now: self.now,
        });
        words::of_report(&told);
        told
    }

    /// One visit: plan, carry out, report, keep the status; then agents look.
    pub fn visit(&mut self) -> (Plan, Report) {
        let plan = self.plan();
        let before = self.clone();
        self.seen.memory.zone_groups.extend(self.zone_groups());
        let outcome = self.carry_out(&plan);
        let report = before.report(&plan, &outcome);
        self.seen.object.status = report.status.clone();
        self.tell(&report.decided);
        self.seen.memory.attempts = report.attempts.clone();
        let lost_for = self.seen.memory.lost_for.unwrap_or_default();
        self.seen.memory.lost_for = plan.assessment.path_is_lost.then_some(lost_for);
        self.forget_ended(&before.seen.azure.operations);
        self.seen.nonce = (self.seen.nonce * 31 + 17) % 9_000_000;
        self.unread.clear();
        self.answer();
        (plan, report)
    }

    /// What a visit decided is written into the statuses of those that it is about.
    pub fn tell(&mut self, decided: &Decided) {
        if let Fact::Seen(all) = &mut self.seen.cluster.break_glasses {
            for glass in all {
                glass.status = decided.break_glasses.get(&glass.uid).cloned().or(glass.status.take());
            }
        }
        if let Fact::Seen(all) = &mut self.seen.cluster.approvals {
            for approval in all {
                approval.status = decided.approvals.get(&approval.uid).cloned().or(approval.status.take());
            }
        }
    }

    /// The process dies after the plan's writes and before its report: another one comes, which remembers nothing.
    pub fn die_after(&mut self, plan: &Plan) {
        self.carry_out(plan);
        self.restart();
        self.seen.nonce = (self.seen.nonce * 31 + 17) % 9_000_000;
        self.answer();
    }

    /// Carries out wave after wave; after a failed one people are told, and nothing else is done.
    pub fn carry_out(&mut self, plan: &Plan) -> Outcome {
        let mut outcome = Outcome::default();
        let mut failed = false;
        for wave in &plan.waves {
            let held_back = failed;
            for step in wave.iter().filter(|step| !held_back || step.action.only_tells()) {
                let done = self.apply(step);
                let succeeded = matches!(
                    done.result,
                    sreg_domain::action::StepResult::Effect(sreg_domain::Effect::Done { .. })
                );
                failed |= !succeeded && !step.action.only_tells();
                if succeeded
                    && let sreg_domain::Action::Azure(azure) = &step.action
                    && azure.is_closing()
                {
                    outcome.locked_with.clone_from(&plan.assessment.evidence);
                }
                outcome.steps.push(done);
            }
        }
        outcome
    }

    /// Visits until nothing changes any more; panics if that takes more than `most` visits.
    pub fn settle(&mut self, most: usize) -> (Plan, Report) {
        for _ in 0..most {
            let status = self.seen.object.status.clone();
            let (plan, report) = self.visit();
            if self.gone || (plan.waves.is_empty() && plan.waits.is_empty() && report.status == status) {
                return (plan, report);
            }
            self.pass(report.requeue);
        }
        panic!(
            "not settled after {most} visits:\n{}",
            sreg_planner::render(&self.plan())
        );
    }

    /// So many visits, as far apart as they ask for.
    pub fn settle_anyhow(&mut self, visits: usize) {
        for _ in 0..visits {
            let (_, report) = self.visit();
            self.pass(report.requeue);
        }
    }

    /// Visits until the state is this one.
    pub fn until(&mut self, state: &str, most: usize) -> (Plan, Report) {
        for _ in 0..most {
            let (plan, report) = self.visit();
            if self.state() == state {
                return (plan, report);
            }
            self.pass(report.requeue);
        }
        panic!(
            "not {state} after {most} visits but {}:\n{}",
            self.state(),
            sreg_planner::render(&self.plan())
        );
    }
}
