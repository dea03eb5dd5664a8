//! `plan`: stages in order, each with its own steps, waits and findings; what holds steps back; then the order of waves, the state and
//! when to look again.
//!
//! ```text
//! deleting? ─► teardown
//! broken? ─► look, and open (spec, break-glass)
//! claim, finalizer ─► registry ─► endpoints ─► DNS ─► endpoints no longer wanted ─► sharing ─► tags
//!   ─► holds ─► probes ─► public access: open it (spec, break-glass, rollback) | hold it | lock it | keep it locked
//! ```

use std::time::Duration;

use jiff::Timestamp;
use sreg_domain::desired::{Violation, Wrong};
use sreg_domain::outside::word;
use sreg_domain::seen::AlsoChanged;
use sreg_domain::{Action, ClusterAction, Desired, Seen};

use crate::contribution::{Contribution, Held, Next};
use crate::endpoints::WantedEndpoints;
use crate::evidence::Evidence;
use crate::holds::Hold;
use crate::lint::{LintFinding, lint};
use crate::paths::Paths;
use crate::plan::{AccessAssessment, Assessment, FindingReason, Plan, Step, WaitReason};
use crate::view::{View, WholeView};
use crate::waves::waves;
use crate::{
    approvals, attempts, azure_claim, break_glass, claims, dns, drift, endpoints, evidence, finalizer, gates, locked,
    next_look, paths, public_access, published, registry, release, silence, state, tags, teardown,
};

/// What to do about one registry now. Pure and total. A plan that would write to Azure against a rule of the lint is refused: the
/// lint knows nothing of the gates, so both would have to be wrong.
pub fn plan(desired: &Desired, seen: &Seen, now: Timestamp) -> Plan {
    let ordered = seen.in_order();
    let view = View::new(desired, &ordered, now);
    let plan = match &desired.spec {
        _ if seen.object.deleting => end(&view),
        Ok(spec) => live(&view.with(spec)),
        Err(wrong) if desired.may_be_looked_at() => broken(&view, wrong),
        Err(wrong) => ungranted(&view, wrong),
    };
    finalizer::put_back(&view, judged(&view, plan))
}

/// A finished plan as far as the lint lets it pass: all of it, or what opens in it, or nothing.
pub fn as_far_as_the_lint_lets(desired: &Desired, seen: &Seen, plan: Plan) -> Plan {
    let ordered = seen.in_order();
    judged(&View::new(desired, &ordered, seen.at), plan)
}

fn judged(view: &View<'_>, plan: Plan) -> Plan {
    if !plan.steps().any(|step| matches!(step.action, Action::Azure(_))) {
        return plan;
    }
    match lint(view.desired, view.seen, &plan).into_iter().next() {
        None => plan,
        Some(broken) => without_what_breaks_rules(view, &plan, &broken),
    }
}

/// A fault in what builds or removes must not hold an emergency back: steps that open stay, each for itself, with the claim and the
/// finalizer that they need. The lint judges what is left as well.
fn without_what_breaks_rules(view: &View<'_>, plan: &Plan, broken: &LintFinding) -> Plan {
    let passes = |plan: &Plan| lint(view.desired, view.seen, plan).is_empty();
    let mut kept: Vec<&Step> = Vec::new();
    for step in plan.steps().filter(|step| step.action.opens()) {
        kept.push(step);
        if !passes(&reduced(view, plan, &kept, broken)) {
            kept.pop();
        }
    }
    reduced(view, plan, &kept, broken)
}

fn reduced(view: &View<'_>, plan: &Plan, opening: &[&Step], broken: &LintFinding) -> Plan {
    let comes_first = |step: &&Step| {
        let Action::Cluster(action) = &step.action else {
            return false;
        };
        matches!(
            action,
            ClusterAction::Claim { .. } | ClusterAction::ReleaseClaim { .. } | ClusterAction::AddFinalizer
        )
    };
    let mut waves = Vec::new();
    if !opening.is_empty() {
        let first = plan.waves.iter();
        waves.extend(first.map(|wave| wave.iter().filter(comes_first).cloned().collect::<Vec<_>>()));
        waves.push(opening.iter().map(|step| (*step).clone()).collect());
        waves.retain(|wave| !wave.is_empty());
    }
    let written = if opening.is_empty() {
        "nothing is written"
    } else {
        "only public access is opened, and nothing else is written"
    };
    let mut said = Contribution {
        waits: plan.waits.clone(),
        findings: plan.findings.clone(),
        ..Contribution::default()
    };
    said.waiting(
        WaitReason::PlanRefusedStalled,
        format!(
            "a defect of the operator: its plan breaks the rule {:?} ({}); {written}; please report it, with what kubectl get sreg {} -n {} -o yaml says",
            broken.rule, broken.message, view.desired.object.name, view.desired.object.namespace
        ),
    );
    finish(view, waves, said, &[], plan.assessment.clone())
}

fn end(view: &View<'_>) -> Plan {
    let (said, waves) = teardown::plan(view);
    let assessment = Assessment {
        access: view.access.clone(),
        ..Assessment::default()
    };
    finish(view, waves, said, &[], assessment)
}

/// Nothing of an object that breaks a rule is carried out. But what is closed in its name can be opened, in an emergency or because
/// it legibly says so: whoever is on call may not be able to repair the rest. A registry that it never held is left alone.
fn broken(view: &View<'_>, wrong: &Wrong) -> Plan {
    let mut said = what_is_wrong(wrong);
    if let Some(mark) = azure_claim::elsewhere(view) {
        said.wait(azure_claim::held(view, &mark));
    } else if view.is_held() {
        let (claimed, next) = claims::plan(view);
        said.add(claimed);
        if next == Next::GoOn {
            said.add(open_broken(view));
        }
    }
    said.probes.extend(evidence::ask_no_more(view));
    let waves = waves(view, &mut said);
    let assessment = Assessment {
        access: access_shown(view),
        ..Assessment::default()
    };
    finish(view, waves, said, &[], assessment)
}

fn open_broken(view: &View<'_>) -> Contribution {
    let mut said = unread(view);
    let (opening, next) = public_access::open(view);
    said.add(opening);
    if next == Next::GoOn {
        said.add(public_access::stays_open(view));
    }
    said
}

/// How public access stands, for people; of a registry that an object of another cluster holds, nothing.
fn access_shown(view: &View<'_>) -> Vec<AccessAssessment> {
    match azure_claim::elsewhere(view) {
        Some(_) => Vec::new(),
        None => view.access.clone(),
    }
}

fn what_is_wrong(wrong: &Wrong) -> Contribution {
    let violations = Violation::sentence(wrong.violations());
    // Administrators are asked once for all that is missing.
    let ungranted: Vec<String> = wrong.ungranted().iter().map(ToString::to_string).collect();
    let told = [
        (WaitReason::InvalidSpecStalled, violations),
        (WaitReason::NotGrantedStalled, ungranted.join("; ")),
    ];
    let mut said = Contribution::default();
    for (reason, wrong) in told.into_iter().filter(|(_, wrong)| !wrong.is_empty()) {
        said.waiting(reason, wrong);
    }
    said
}

/// Nobody granted its registry to its namespace: nothing of Azure is read, nothing is written, and what it holds it goes on holding.
fn ungranted(view: &View<'_>, wrong: &Wrong) -> Plan {
    let mut said = what_is_wrong(wrong);
    said.probes.extend(evidence::ask_no_more(view));
    let waves = waves(view, &mut said);
    finish(view, waves, said, &[], Assessment::default())
}

/// What cannot be read cannot be opened: who waits for that must be told, and it is looked at again soon.
fn unread(view: &View<'_>) -> Contribution {
    let mut said = Contribution::default();
    if let (Some(gap), false) = (&view.targets.gap, view.seen.azure.registry().is_absent()) {
        said.wait(gap.clone());
    }
    said.add(endpoints::unknown_targets(view));
    said
}

fn live(view: &WholeView<'_>) -> Plan {
    let mut assessment = Assessment {
        access: access_shown(view),
        ..Assessment::default()
    };
    let (mut said, next) = claims::plan(view);
    if next == Next::Stop {
        return finish(view, Vec::new(), said, &[], assessment);
    }
    let (claimed, next) = azure_claim::plan(view);
    said.add(claimed);
    if next == Next::Stop {
        let opening = azure_claim::lets_open(view).then(|| public_access::open(view).0);
        return without_names(view, said, opening.unwrap_or_default(), assessment);
    }
    let (found, next) = registry::plan(view);
    said.add(found);
    let wanted = endpoints::wanted(view);
    let paths = paths::required(view, &wanted);
    let proof = evidence::gather(view, &paths);
    assess(view, &wanted, &paths, &proof, &mut assessment);
    said.add(paths::tell_waived(view, &wanted));
    said.add(what_grants_do(view));
    if next == Next::Stop {
        // Upkeep and creation; and what is shut can be opened though not all of the registry is there.
        return without_names(view, said, public_access::open(view).0, assessment);
    }
    said.add(endpoints::plan(view, &wanted));
    let (names, dns_ready) = dns::plan(view, &wanted, (&paths, &proof));
    said.add(names);
    assessment.dns_ready = dns_ready;
    said.add(release::plan(view, &wanted));
    said.add(registry::plan_sharing(view));
    said.add(tags::plan(view, &wanted));
    said.add(oddities(view));
    let held = hold_back(view, &wanted, &mut said, &mut assessment);
    said.add(proof.plan_probes(view, dns_ready));
    let mut said = public_access::plan(view, &paths, &proof, &assessment, said);
    said.add(approvals::warn_of_relock(view, &assessment));
    let waves = waves(view, &mut said);
    finish(view, waves, said, &held, assessment)
}

/// The registry's claim tag does not name this object yet, or names an object of another cluster; or the registry is not all there.
fn without_names(view: &View<'_>, mut said: Contribution, opening: Contribution, assessment: Assessment) -> Plan {
    let mut held = set_back(&mut said, |steps| attempts::hold(view, steps)).back;
    held.extend(hold_upkeep(view, &mut said));
    said.add(opening);
    let waves = waves(view, &mut said);
    finish(view, waves, said, &actions(held), assessment)
}

/// What holds planned writes back, in this order: each is asked only of what all before it let go on.
const HOLDS: [Hold; 6] = [
    // First, or people would be asked for rights and approvals of what is not tried now anyway.
    Hold::TriedLately,
    // Before approvals: nobody is asked to approve what could not be done. It holds all or nothing, so that none below it matters then.
    Hold::LacksRights,
    // Before turns: what waits for people must not take the turn of what may go on.
    Hold::NotApproved,
    // Before the record: what only waits for its turn is not about to change names.
    Hold::RemovesAnother,
    // Before the record as well, for the same reason.
    Hold::ZoneIsMissing,
    // Last: status records what the next visit writes, and nothing else.
    Hold::NotRecorded,
];

/// Asks all holds. Answers what differs all the same, though it is not repaired now.
fn hold_back(
    view: &WholeView<'_>,
    wanted: &WantedEndpoints<'_>,
    said: &mut Contribution,
    assessment: &mut Assessment,
) -> Vec<Action> {
    let mut differs = Vec::new();
    for hold in HOLDS {
        let held = set_back(said, |steps| hold.of(view, wanted, steps));
        assessment.name_changes.extend(held.asked);
        assessment.approved_changes.extend(held.approved);
        match hold {
            Hold::TriedLately => {
                differs.extend(held.back);
                differs.extend(hold_upkeep(view, said));
            }
            Hold::NotRecorded => assessment.names_about_to_change = actions(held.back),
            Hold::LacksRights | Hold::NotApproved | Hold::RemovesAnother | Hold::ZoneIsMissing => {}
        }
    }
    actions(differs)
}

/// Asks one hold of all steps that go on so far, and says what it says.
fn set_back(said: &mut Contribution, hold: impl FnOnce(Vec<Step>) -> Held) -> Held {
    let mut held = hold(std::mem::take(&mut said.azure));
    said.azure = std::mem::take(&mut held.free);
    said.add(std::mem::take(&mut held.said));
    if let Some(moot) = held.moot {
        said.waits.retain(|wait| wait.reason != moot);
    }
    held
}

fn hold_upkeep(view: &View<'_>, said: &mut Contribution) -> Vec<Step> {
    let held = attempts::hold_upkeep(view, std::mem::take(&mut said.upkeep));
    said.upkeep = held.free;
    said.add(held.said);
    held.back
}

fn actions(steps: Vec<Step>) -> Vec<Action> {
    steps.into_iter().map(|step| step.action).collect()
}

/// What is known before anything is planned.
fn assess(
    view: &WholeView<'_>,
    wanted: &WantedEndpoints<'_>,
    paths: &Paths,
    proof: &Evidence,
    assessment: &mut Assessment,
) {
    assessment.endpoints = endpoints::assess(view, wanted);
    assessment.tags_compliant = view
        .registry()
        .map(|r| registry::tags_to_set(&view.spec.tags, r).is_empty());
    assessment.subject = paths.subject.clone();
    assessment.paths_known = paths.gaps.is_empty() && paths.subject.is_some();
    assessment.evidence = proof.complete.clone();
    assessment.path_is_lost = locked::is_lost(view, paths, proof);
    assessment.paths = proof.assess(view, paths);
    assessment.lockdown_digest = gates::lockdown_digest(view, paths);
}

/// What grants, and the operator's own limits, make of the spec.
fn what_grants_do(view: &WholeView<'_>) -> Contribution {
    let mut said = Contribution::default();
    for demanded in &view.spec.demanded {
        said.find(FindingReason::GrantDemands, demanded.clone());
    }
    for raised in &view.spec.raised {
        said.find(FindingReason::IntervalRaised, raised.clone());
    }
    if !view.desired.may_be_opened() && !view.desired.observe_only {
        said.find(
            FindingReason::OpeningNotGranted,
            format!(
                "a BreakGlass will have no effect: {}",
                break_glass::nobody_may_open(view)
            ),
        );
    }
    said
}

/// What Azure told besides what was asked.
fn oddities(view: &View<'_>) -> Contribution {
    let mut said = Contribution::default();
    for odd in &view.seen.azure.odd {
        said.find(FindingReason::LeftOut, odd.clone());
    }
    for also in &view.seen.azure.also_changed {
        said.find(FindingReason::AlsoChanged, also_changed(also));
    }
    said
}

/// Fields named in one message; status is no place for long lists.
const MOST_FIELDS: usize = 8;

fn also_changed(also: &AlsoChanged) -> String {
    let named: Vec<&str> = also.fields.iter().take(MOST_FIELDS).map(String::as_str).collect();
    let more = match also.fields.len().saturating_sub(MOST_FIELDS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}: fields of {} changed that the operator did not write: {}{more}. Who changed them: az monitor activity-log list --resource-id {} --offset 1d",
        also.step,
        also.resource.name(),
        named.join(", "),
        word(&also.resource)
    )
}

/// `held`: what differs though it is not repaired now.
fn finish(
    view: &View<'_>,
    mut waves: Vec<Vec<Step>>,
    mut said: Contribution,
    held: &[Action],
    mut assessment: Assessment,
) -> Plan {
    state::sort(&mut said.waits);
    said.findings
        .sort_by(|a, b| (a.reason, &a.message).cmp(&(b.reason, &b.message)));
    let steps: Vec<&Step> = waves.iter().flatten().collect();
    assessment.grants = view.desired.grants.clone();
    assessment.state = Some(state::judge(view, &steps, &said.waits, &assessment));
    let held: Vec<&Action> = assessment.names_about_to_change.iter().chain(held).collect();
    assessment.drift = drift::found(view, &steps, &held, &assessment, &said.findings);
    for drifted in &assessment.drift {
        said.find(FindingReason::Drift, drifted.clone());
    }
    let due = next_look::due(view, &said, next_look::AFTER_A_FAILURE);
    let next_look = if steps.is_empty() {
        next_look::due(view, &said, Duration::ZERO)
    } else {
        next_look::SOON
    };
    add_telling(view, &mut waves);
    Plan {
        waves,
        waits: said.waits,
        findings: said.findings,
        next_look,
        due,
        assessment,
    }
}

/// Whoever runs external DNS is told what to answer, and a probe that its agent is silent, last, so that this holds nothing up; in a
/// teardown the finalizer goes last. Closing writes stand alone: what is to be told then is told a visit later.
fn add_telling(view: &View<'_>, waves: &mut Vec<Vec<Step>>) {
    if waves.iter().flatten().any(|step| step.action.closes()) {
        return;
    }
    let telling: Vec<Step> = published::step(view).into_iter().chain(silence::tell(view)).collect();
    if telling.is_empty() {
        return;
    }
    let at = if view.seen.object.deleting { 0 } else { waves.len() };
    waves.insert(at, telling);
}
