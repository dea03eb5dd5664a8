//! `plan`: gates in order, each adding steps, waits and findings; then the order of waves, the state and when to look again.
//!
//! ```text
//! deleting? ─► teardown
//! breaks a rule? ─► look, and open (spec, break-glass)
//! claim, finalizer ─► registry ─► endpoints ─► DNS ─► endpoints no longer wanted ─► sharing ─► approval of name changes
//!   ─► probes ─► public access: open it (spec, break-glass, rollback) | hold it | lock it | keep it locked
//! ```

use std::time::Duration;

use jiff::Timestamp;
use sreg_api::conditions::State;
use sreg_api::registry::PublicAccess;
use sreg_domain::desired::Violation;
use sreg_domain::reasons::LookAgain;
use sreg_domain::seen::{AlsoChanged, IgnoranceKind, OperationState};
use sreg_domain::{Action, ClusterAction, Desired, Seen};

use crate::break_glass::{self, Standing};
use crate::conditions::whole_seconds;
use crate::draft::Draft;
use crate::evidence::Evidence;
use crate::lint::{LintFinding, lint};
use crate::opening::{self, Cause};
use crate::paths::Paths;
use crate::plan::{AccessAssessment, Actor, Assessment, FindingReason, Plan, Step, WaitReason};
use crate::view::{View, not_known};
use crate::{
    approvals, attempts, azure_claim, claims, dns, drift, endpoints, evidence, finalizer, gates, lockdown, locked,
    name_changes, paths, preflight, published, registry, release, settling, silence, state, tags, teardown,
};

/// What to do about one registry now. Pure and total. A plan that would write to Azure against a rule of the lint is refused: the
/// lint knows nothing of the gates, so both would have to be wrong.
pub fn plan(desired: &Desired, seen: &Seen, now: Timestamp) -> Plan {
    let ordered = seen.in_order();
    let view = View::new(desired, &ordered, now);
    let plan = if seen.object.deleting {
        end(&view)
    } else if desired.is_valid() {
        live(&view)
    } else if desired.may_be_looked_at() {
        invalid(&view)
    } else {
        ungranted(&view)
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
    let mut draft = Draft {
        waits: plan.waits.clone(),
        findings: plan.findings.clone(),
        ..Draft::default()
    };
    draft.waiting(
        WaitReason::PlanRefusedStalled,
        format!(
            "a defect of the operator: its plan breaks the rule {:?} ({}); {written}; please report it, with what kubectl get sreg {} -n {} -o yaml says",
            broken.rule, broken.message, view.desired.object.name, view.desired.object.namespace
        ),
    );
    finish(view, waves, draft, plan.assessment.clone())
}

fn end(view: &View<'_>) -> Plan {
    let mut draft = Draft::default();
    let waves = teardown::plan(view, &mut draft);
    let assessment = Assessment {
        access: view.access.clone(),
        ..Assessment::default()
    };
    finish(view, waves, draft, assessment)
}

/// Nothing of an object that breaks a rule is carried out. But what is closed in its name can be opened, in an emergency or because
/// it legibly says so: whoever is on call may not be able to repair the rest. A registry that it never held is left alone.
fn invalid(view: &View<'_>) -> Plan {
    let mut draft = Draft::default();
    tell_what_is_wrong(view, &mut draft);
    if let Some(mark) = azure_claim::elsewhere(view) {
        draft.wait(azure_claim::held(view, &mark));
    } else if view.is_held() && claims::plan(view, &mut draft) {
        unread(view, &mut draft);
        if !open(view, &mut draft) {
            stays_open(view, &mut draft);
        }
    }
    draft.probes.extend(evidence::ask_no_more(view));
    let waves = waves(view, &mut draft);
    let assessment = Assessment {
        access: access_shown(view),
        ..Assessment::default()
    };
    finish(view, waves, draft, assessment)
}

/// How public access stands, for people; of a registry that an object of another cluster holds, nothing.
fn access_shown(view: &View<'_>) -> Vec<AccessAssessment> {
    match azure_claim::elsewhere(view) {
        Some(_) => Vec::new(),
        None => view.access.clone(),
    }
}

fn tell_what_is_wrong(view: &View<'_>, draft: &mut Draft) {
    let violations = Violation::sentence(&view.desired.violations);
    // Administrators are asked once for all that is missing.
    let ungranted: Vec<String> = view.desired.ungranted.iter().map(ToString::to_string).collect();
    let told = [
        (WaitReason::InvalidSpecStalled, violations),
        (WaitReason::NotGrantedStalled, ungranted.join("; ")),
    ];
    for (reason, wrong) in told.into_iter().filter(|(_, wrong)| !wrong.is_empty()) {
        draft.waiting(reason, wrong);
    }
}

/// Nobody granted its registry to its namespace: nothing of Azure is read, nothing is written, and what it holds it goes on holding.
fn ungranted(view: &View<'_>) -> Plan {
    let mut draft = Draft::default();
    tell_what_is_wrong(view, &mut draft);
    let asked_no_more = evidence::ask_no_more(view);
    let waves = if asked_no_more.is_empty() {
        Vec::new()
    } else {
        vec![asked_no_more]
    };
    finish(view, waves, draft, Assessment::default())
}

/// What cannot be read cannot be opened: who waits for that must be told, and it is looked at again soon.
fn unread(view: &View<'_>, draft: &mut Draft) {
    if let (Some(gap), false) = (&view.targets.gap, view.seen.azure.registry().is_absent()) {
        draft.wait(gap.clone());
    }
    endpoints::unknown_targets(view, draft);
}

/// The registry's claim tag does not name this object yet, or names an object of another cluster.
fn unclaimed(view: &View<'_>, mut draft: Draft, assessment: Assessment) -> Plan {
    attempts::hold(view, &mut draft);
    if azure_claim::lets_open(view) {
        open(view, &mut draft);
    }
    let waves = waves(view, &mut draft);
    finish(view, waves, draft, assessment)
}

fn live(view: &View<'_>) -> Plan {
    let mut draft = Draft::default();
    let may_write = claims::plan(view, &mut draft);
    let mut assessment = Assessment {
        access: access_shown(view),
        ..Assessment::default()
    };
    if !may_write {
        return finish(view, Vec::new(), draft, assessment);
    }
    if !azure_claim::plan(view, &mut draft) {
        return unclaimed(view, draft, assessment);
    }
    let found = registry::plan(view, &mut draft);
    let wanted = endpoints::wanted(view);
    let paths = paths::required(view, &wanted);
    let proof = evidence::gather(view, &paths);
    assessment.endpoints = endpoints::assess(view, &wanted);
    assessment.tags_compliant = view
        .registry()
        .map(|r| registry::tags_to_set(&view.desired.tags, r).is_empty());
    assessment.subject = paths.subject.clone();
    assessment.paths_known = paths.gaps.is_empty() && paths.subject.is_some();
    assessment.evidence = proof.complete.clone();
    assessment.path_is_lost = locked::is_lost(view, &paths, &proof);
    assessment.paths = proof.assess(view, &paths);
    assessment.lockdown_digest = gates::lockdown_digest(view, &paths);
    paths::tell_waived(view, &wanted, &mut draft);
    for demanded in &view.desired.demanded {
        draft.find(FindingReason::GrantDemands, demanded.clone());
    }
    for raised in &view.desired.raised {
        draft.find(FindingReason::IntervalRaised, raised.clone());
    }
    if !view.desired.may_be_opened() && !view.desired.observe_only {
        draft.find(
            FindingReason::OpeningNotGranted,
            format!(
                "a BreakGlass will have no effect: {}",
                break_glass::nobody_may_open(view)
            ),
        );
    }
    if found {
        endpoints::plan(view, &wanted, &mut draft);
        assessment.dns_ready = dns::plan(view, &wanted, (&paths, &proof), &mut draft);
        release::plan(view, &wanted, &mut draft);
        registry::plan_sharing(view, &mut draft);
        tags::plan(view, &wanted, &mut draft);
        for odd in &view.seen.azure.odd {
            draft.find(FindingReason::LeftOut, odd.clone());
        }
        for also in &view.seen.azure.also_changed {
            draft.find(FindingReason::AlsoChanged, also_changed(also));
        }
        attempts::hold(view, &mut draft);
        preflight::hold(view, &wanted, &mut draft);
        (assessment.name_changes, assessment.approved_changes) = name_changes::hold(view, &wanted, &mut draft);
        release::one_at_a_time(view, &mut draft);
        dns::answerable::hold(view, &wanted, &mut draft);
        assessment.names_about_to_change = settling::record_first(view, &mut draft);
        proof.plan_probes(view, assessment.dns_ready, &mut draft);
        access(view, (&paths, &proof), &assessment, &mut draft);
        approvals::warn_of_relock(view, &assessment, &mut draft);
    } else {
        // Upkeep and creation; and what is shut can be opened though not all of the registry is there.
        attempts::hold(view, &mut draft);
        open(view, &mut draft);
    }
    let aside = std::mem::take(&mut draft.aside);
    for wait in aside {
        draft.wait(wait);
    }
    let waves = waves(view, &mut draft);
    finish(view, waves, draft, assessment)
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
        also.resource
    )
}

/// Public access: who may open it comes before who wants it closed.
fn access(view: &View<'_>, (paths, proof): (&Paths, &Evidence), assessment: &Assessment, draft: &mut Draft) {
    if open(view, draft) {
        return;
    }
    if view.desired.observe_only {
        would_close(view, draft);
    }
    if locked::plan_rollback(view, paths, proof, draft) {
        return;
    }
    if view.all_closed() {
        locked::plan((paths, proof), &assessment.paths, assessment.dns_ready, view, draft);
    } else {
        lockdown::plan(view, paths, proof, &assessment.paths, draft);
    }
}

/// Opens for whoever says so already: the spec, a break-glass, a rollback that status has recorded. `true`: nothing is closed.
fn open(view: &View<'_>, draft: &mut Draft) -> bool {
    let emergency = break_glass::standing(view);
    // The end of each is told when it comes, also where another one goes on.
    let ends = break_glass::terms(view.desired, view.seen, view.now);
    let ends = ends
        .iter()
        .filter(|term| term.runs(view.now))
        .map(|term| term.until.duration_since(view.now));
    draft
        .looks
        .extend(ends.filter_map(|left| Duration::try_from(left).ok()));
    if let Standing::UsedUp { name } = &emergency {
        draft.find(
            FindingReason::BreakGlassEnded,
            format!("BreakGlass {name} has used up the longest time that registries may be held open"),
        );
    }
    if !view.desired.may_be_opened() {
        if emergency == Standing::NotKnown {
            draft.wait(not_known("BreakGlasses", &view.seen.cluster.break_glasses));
        }
        return view.desired.public_access == PublicAccess::Enabled;
    }
    if view.desired.public_access == PublicAccess::Enabled {
        opening::plan(view, Cause::Spec, draft);
        opening::forget_snapshot(view, draft);
        return true;
    }
    match emergency {
        Standing::Active {
            name,
            requested_by,
            reason,
            ..
        } => {
            if view.desired.observe_only {
                draft.waiting(
                    WaitReason::BreakGlassStalled,
                    format!("BreakGlass {name} by {requested_by} ({reason}) has no effect: under managementPolicy: Observe nothing is written to Azure; set spec.managementPolicy: Enforce, or open it in Azure"),
                );
            }
            opening::plan(view, Cause::BreakGlass, draft);
            opening::forget_snapshot(view, draft);
            return true;
        }
        Standing::NotKnown => draft.wait(not_known("BreakGlasses", &view.seen.cluster.break_glasses)),
        Standing::None | Standing::UsedUp { .. } => {}
    }
    locked::go_on_rolling_back(view, draft)
}

/// Under Observe: what an end of a break-glass leaves to others, and what would be closed.
fn would_close(view: &View<'_>, draft: &mut Draft) {
    stays_open(view, draft);
    for open in view.access.iter().filter(|a| a.closed == Some(false)) {
        draft.find(
            FindingReason::WouldDo,
            format!(
                "would close {} {} once every path is proven",
                open.target,
                open.id.name()
            ),
        );
    }
}

/// A break-glass that is over, after which nothing is locked again before somebody acts.
fn stays_open(view: &View<'_>, draft: &mut Draft) {
    let next = if view.desired.observe_only {
        "under managementPolicy: Observe nothing locks it again; set spec.managementPolicy: Enforce, or close it by hand".to_owned()
    } else if view.desired.violations.is_empty() && !view.desired.ungranted.is_empty() {
        "it is locked again once the grants let its namespace name all that it names: whoever administers them, kubectl edit registrygrant"
            .to_owned()
    } else {
        format!(
            "it is locked again once what is wrong in its spec is put right: kubectl edit sreg {} -n {}",
            view.desired.object.name, view.desired.object.namespace
        )
    };
    if let Some((name, until)) = break_glass::left_open(view) {
        let until = whole_seconds(until).0;
        draft.waiting(
            WaitReason::BreakGlassStalled,
            format!("BreakGlass {name} ended at {until} and public access is still open: {next}"),
        );
    }
}

fn waves(view: &View<'_>, draft: &mut Draft) -> Vec<Vec<Step>> {
    if view.desired.observe_only {
        observe(draft)
    } else {
        draft.waves()
    }
}

/// Under Observe nothing is written to Azure: what would be is a finding. Probes are written, so that paths can be told.
fn observe(draft: &mut Draft) -> Vec<Vec<Step>> {
    let mut waves = std::mem::take(&mut draft.first);
    waves.push(std::mem::take(&mut draft.probes));
    let would: Vec<String> = draft
        .opening
        .drain(..)
        .chain(draft.put_back.drain(..))
        .chain(draft.azure.drain(..))
        .chain(draft.upkeep.drain(..))
        .chain(draft.closing.drain(..))
        .map(|step| step.action.to_string())
        .collect();
    draft.cluster.clear();
    for step in would {
        draft.find(FindingReason::WouldDo, format!("would {step}"));
    }
    let waits = std::mem::take(&mut draft.waits);
    for wait in waits {
        if wait.reason == WaitReason::NotKnown || wait.reason.is_stalled() {
            draft.wait(wait);
        } else {
            draft.find(
                FindingReason::WouldWait,
                format!("would wait ({}): {}", wait.reason, wait.message),
            );
        }
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}

fn finish(view: &View<'_>, mut waves: Vec<Vec<Step>>, mut draft: Draft, mut assessment: Assessment) -> Plan {
    state::sort(&mut draft.waits);
    draft
        .findings
        .sort_by(|a, b| (a.reason, &a.message).cmp(&(b.reason, &b.message)));
    let steps: Vec<&Step> = waves.iter().flatten().collect();
    assessment.grants = view.desired.grants.clone();
    assessment.state = Some(state::judge(view, &steps, &draft.waits, &assessment));
    let held: Vec<&Action> = assessment.names_about_to_change.iter().chain(&draft.held).collect();
    assessment.drift = drift::found(view, &steps, &held, &assessment, &draft.findings);
    for drifted in &assessment.drift {
        draft.find(FindingReason::Drift, drifted.clone());
    }
    let due = due(view, &draft, AFTER_A_FAILURE);
    let next_look = if steps.is_empty() {
        self::due(view, &draft, Duration::ZERO)
    } else {
        SOON
    };
    add_telling(view, &mut waves);
    Plan {
        waves,
        waits: draft.waits,
        findings: draft.findings,
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

const SOON: Duration = Duration::from_secs(1);
const PEOPLE: Duration = Duration::from_secs(60);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

/// Azure is not asked more often how far it is while it refuses things.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// When something is due apart from steps; what Azure is busy with, no earlier than `asks`.
fn due(view: &View<'_>, draft: &Draft, asks: Duration) -> Duration {
    let patience = patience_with_people(view, draft);
    let settled = view.desired.drift_interval.max(patience);
    let look = |reason: WaitReason| {
        let at_least = if reason.actor() == Actor::Azure {
            asks
        } else {
            Duration::ZERO
        };
        look_at(view, reason).max(at_least).max(patience)
    };
    let by_waits = draft.waits.iter().map(|wait| look(wait.reason)).min();
    let looks = draft.looks.iter().copied().chain(attempts::looks(view, draft));
    let asked = looks.map(|look| look.max(SOON)).min();
    let all = [by_waits, asked, missed(view)];
    all.into_iter().flatten().fold(settled, Duration::min)
}

/// What only a person can end is looked at the more seldom the longer it has lasted; whoever ends it by the spec, an approval or a
/// grant is seen at once. Not where anything is closed: clients depend on it, and it drifts like any other.
fn patience_with_people(view: &View<'_>, draft: &Draft) -> Duration {
    let all_stalled = !draft.waits.is_empty() && draft.waits.iter().all(|wait| wait.reason.is_stalled());
    if !all_stalled || view.any_closed() || view.last().was_locked() {
        return Duration::ZERO;
    }
    let stalled_for = view
        .last_transition()
        .filter(|(state, _)| *state == Some(State::Stalled));
    let lasted = stalled_for.map(|(_, since)| since).unwrap_or_default();
    (lasted / 10).min(LONGEST_PATIENCE)
}

/// When to ask again for the registry, or one of its accounts, that Azure did not find once.
fn missed(view: &View<'_>) -> Option<Duration> {
    let unread = view.seen.azure.targets.iter().filter_map(|(_, fact)| fact.ignorance());
    let settling = unread.filter(|why| why.kind == IgnoranceKind::Settling);
    settling
        .filter_map(|why| why.retry_after)
        .map(|after| after.max(SOON))
        .min()
}

fn look_at(view: &View<'_>, reason: WaitReason) -> Duration {
    let probes = view.desired.verification.interval;
    let probes = probes.clamp(Duration::from_millis(250), PEOPLE);
    match reason.row().look {
        LookAgain::After(seconds) => Duration::from_secs(seconds),
        LookAgain::AsAzureAsks => azure_asks(view),
        LookAgain::ProbeInterval => probes,
        LookAgain::ProbeIntervalAtLeast(seconds) => probes.max(Duration::from_secs(seconds)),
        LookAgain::DriftInterval | LookAgain::ByItself => view.desired.drift_interval,
    }
}

/// As often as Azure asks for; else the more seldom the longer nothing has moved: what takes Azure a minute is seen within
/// seconds, what only a person will end costs a look a minute.
fn azure_asks(view: &View<'_>) -> Duration {
    let asked = view.seen.azure.operations.iter().filter_map(|o| match &o.state {
        OperationState::Running { retry_after } | OperationState::Unreadable { retry_after } => *retry_after,
        OperationState::Succeeded | OperationState::Failed(_) | OperationState::Lost => None,
    });
    let unsettled = view.last().unsettled_since;
    let unsettled = unsettled.and_then(|since| Duration::try_from(view.now.duration_since(since)).ok());
    let waited = unsettled
        .or_else(|| view.last_transition().map(|(_, since)| since))
        .unwrap_or_default();
    asked
        .min()
        .unwrap_or_else(|| (waited / 30).max(Duration::from_secs(3)))
        .clamp(SOON, PEOPLE)
}
