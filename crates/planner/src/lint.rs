//! The one rule and the orders, checked on a finished plan and independently of how it was made: nothing here calls a gate. A finding
//! is a defect of the planner: `plan` refuses such a plan as a whole, and every test runs the lint on every plan.
//!
//! | rule | says |
//! | --- | --- |
//! | proof | closing needs complete, fresh, echoed proof of every path; claim, finalizer, a snapshot of all that it takes away, settled names; what people must say |
//! | alone | closing writes stand alone in the only wave |
//! | opening | opening needs the spec, a break-glass in force, or a rollback that was chosen; and an approval, unless it was locked in this object's name or made by it |
//! | valid | for an object that breaks rules nothing is written to Azure but what opens, by its spec or in an emergency |
//! | claim first | no Azure write before claim and finalizer; no claim over another object's that is there, or that nobody may take over; nobody's snapshot goes but with the claim |
//! | claim in azure | nothing is written to Azure while the registry's claim tag names an object of another cluster, nor before it named this one, but the tag itself and what opens again what this object locked |
//! | ownership | no step names a resource that is not ours, or that could not be read; while the registry does not answer its accounts are those of the snapshot |
//! | grants | no step touches what no grant lets the object's namespace touch, and none asks from a VantagePoint without one |
//! | names | no endpoint is made whose names a policy would have to make, and none is seen that does |
//! | order | zone group before endpoint, records before links, name changes recorded first, one write per resource and wave |
//! | answers | while all is open no endpoint is made whose zone is not there, or not the one that its networks ask; no records go before those that take their place, or while networks that ask for them would get no answer for good |
//! | approval | name-changing writes that wait for an approval have one |
//! | serial | one endpoint in flight per network and per target |
//! | observe | nothing is written to Azure under Observe |
//! | teardown | deletion creates nothing, strands nobody, and its finalizer goes last |
//! | settled | a plan without steps and waits is settled |

use std::collections::BTreeSet;

use sreg_api::conditions::State;
use sreg_api::grant::RegistryOperation;
use sreg_api::registry::PublicAccess;
use sreg_domain::{Action, AzureAction, ClusterAction, Desired, Fact, Purpose, Seen};

use crate::plan::{PathStanding, Plan, Step};

mod answers;
mod claims;
mod grants;
mod order;
mod ownership;
mod people;
mod proof;
mod way_back;

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintFinding {
    /// Which rule, from the table of this module.
    pub rule: &'static str,
    /// What breaks it.
    pub message: String,
}

/// What was found so far.
struct Lint<'a> {
    desired: &'a Desired,
    seen: &'a Seen,
    plan: &'a Plan,
    found: Vec<LintFinding>,
}

impl Lint<'_> {
    fn break_rule(&mut self, rule: &'static str, message: impl Into<String>) {
        self.found.push(LintFinding {
            rule,
            message: message.into(),
        });
    }

    fn demand(&mut self, rule: &'static str, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.break_rule(rule, message());
        }
    }
}

/// The Azure side of a step.
fn azure(step: &Step) -> Option<&AzureAction> {
    match &step.action {
        Action::Azure(azure) => Some(azure),
        Action::Cluster(_) => None,
    }
}

/// Checks a plan against what it was made from. Empty: the plan may be carried out.
pub fn lint(desired: &Desired, seen: &Seen, plan: &Plan) -> Vec<LintFinding> {
    let seen = &seen.in_order();
    let mut lint = Lint {
        desired,
        seen,
        plan,
        found: Vec::new(),
    };
    closing(&mut lint);
    opening(&mut lint);
    valid(&mut lint);
    claim_first(&mut lint);
    observe(&mut lint);
    settled(&mut lint);
    claims::check(&mut lint);
    ownership::check(&mut lint);
    grants::check(&mut lint);
    answers::check(&mut lint);
    order::check(&mut lint);
    order::teardown(&mut lint);
    for step in crate::name_changes::unapproved(desired, seen, plan) {
        lint.break_rule(
            "approval",
            format!("{} changes names, and nobody approved that", step.action),
        );
    }
    lint.found
}

fn closing(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    let closing: Vec<(&Step, &AzureAction)> = plan
        .steps()
        .filter_map(|s| Some((s, azure(s)?)))
        .filter(|(_, a)| a.is_closing())
        .collect();
    if closing.is_empty() {
        return;
    }
    let total = plan.steps().count();
    lint.demand("alone", plan.waves.len() == 1 && total == closing.len(), || {
        "closing writes share the plan with other steps".into()
    });
    for missing in proof::missing(lint.desired, lint.seen, plan) {
        lint.break_rule("proof", missing);
    }
    for (step, action) in closing {
        if let AzureAction::Edit { id, expected, .. } = action {
            let now = crate::view::seen_digest(lint.seen, id);
            lint.demand("proof", now.as_ref() == Some(expected), || {
                format!("{} expects another world than was seen", step.action)
            });
        }
    }
}

fn opening(lint: &mut Lint<'_>) {
    let opens = lint.plan.steps().filter_map(azure).any(AzureAction::is_opening);
    if !opens {
        return;
    }
    let allowed = lint.desired.public_access == PublicAccess::Enabled
        || proof::break_glass_in_force(lint.desired, lint.seen)
        || proof::rollback_was_chosen(lint.desired, lint.seen);
    lint.demand("opening", allowed && !lint.seen.object.deleting, || {
        "nothing allows opening public access".into()
    });
    lint.demand("opening", people::let_it_open(lint.desired, lint.seen), || {
        "it was closed by somebody else, and nobody approved opening it".into()
    });
    let opened = lint.plan.steps().filter_map(azure).filter(|action| action.is_opening());
    let others = opened.filter(|action| people::was_disabled_before(lint.seen, action.resource()));
    if let Some(other) = others.last() {
        lint.demand("opening", people::let_others_open(lint.desired, lint.seen), || {
            format!(
                "{} was disabled before the lock, and nobody approved opening it",
                other.resource().name()
            )
        });
    }
}

fn valid(lint: &mut Lint<'_>) {
    if lint.desired.is_whole() || lint.seen.object.deleting {
        return;
    }
    let wanted = lint.desired.public_access == PublicAccess::Enabled;
    let may_open = wanted || proof::break_glass_in_force(lint.desired, lint.seen);
    let allowed = |action: &AzureAction| action.is_opening() && may_open;
    let plan = lint.plan;
    for step in plan.steps().filter(|step| azure(step).is_some_and(|a| !allowed(a))) {
        lint.break_rule("valid", format!("{} for an object that is not valid", step.action));
    }
}

fn claim_first(lint: &mut Lint<'_>) {
    let seen = lint.seen;
    let mut claimed = seen
        .cluster
        .claim
        .seen()
        .is_some_and(|c| c.uid == lint.desired.object.uid);
    let mut finalizer = seen.object.has_finalizer;
    for wave in &lint.plan.waves {
        let writes = wave.iter().filter_map(azure).next().is_some();
        lint.demand(
            "claim first",
            !writes || (claimed && finalizer) || seen.object.deleting,
            || "an Azure write comes before claim or finalizer".into(),
        );
        let forgets = |s: &Step| matches!(s.action, Action::Cluster(ClusterAction::DeleteSnapshot { .. }));
        lint.demand("claim first", claimed || !wave.iter().any(forgets), || {
            "a snapshot goes without the claim on its registry".into()
        });
        let publishes = |s: &Step| {
            matches!(
                s.action,
                Action::Cluster(ClusterAction::PublishDns { .. } | ClusterAction::DeletePublishedDns { .. })
            )
        };
        lint.demand("claim first", claimed || !wave.iter().any(publishes), || {
            "what external DNS must answer changes without the claim on its registry".into()
        });
        for step in wave {
            if let Action::Cluster(ClusterAction::Claim { from, .. }) = &step.action {
                let may = may_claim(lint.desired, seen, from.as_deref());
                lint.demand("claim first", may, || {
                    "a claim is taken that somebody else holds".into()
                });
                claimed = true;
            }
        }
        finalizer |= wave
            .iter()
            .any(|s| matches!(s.action, Action::Cluster(ClusterAction::AddFinalizer)));
    }
}

/// Nobody holds it; or whoever did is gone, and had our name or may be succeeded.
fn may_claim(desired: &Desired, seen: &Seen, from: Option<&str>) -> bool {
    let Some(former) = from else {
        return seen.cluster.claim.is_absent();
    };
    let name = format!("{}/{}", desired.object.namespace, desired.object.name);
    let take_over = Purpose::Registry(RegistryOperation::TakeOver);
    seen.cluster.claim.seen().is_some_and(|claim| {
        let succeeds = !claim.alive && desired.grants.allow(take_over, &desired.registry);
        claim.uid == former && (claim.holder == name || succeeds)
    })
}

fn observe(lint: &mut Lint<'_>) {
    if lint.desired.observe_only {
        let writes = lint.plan.steps().filter_map(azure).count();
        lint.demand("observe", writes == 0, || {
            format!("{writes} Azure writes under Observe")
        });
    }
}

fn settled(lint: &mut Lint<'_>) {
    let plan = lint.plan;
    let state = plan.assessment.state;
    let closed = proof::all_closed(lint.seen);
    if state == Some(State::Locked) {
        let proven = !plan.assessment.paths.is_empty()
            && plan
                .assessment
                .paths
                .iter()
                .all(|p| p.standing == PathStanding::Passing);
        lint.demand("settled", closed && proven, || {
            "called Locked without being closed and proven".into()
        });
    }
    let idle = plan.waves.is_empty() && plan.waits.is_empty() && !lint.seen.object.deleting;
    if idle {
        let expected = [State::Locked, State::Open, State::Observed, State::BreakGlass];
        lint.demand("settled", state.is_some_and(|s| expected.contains(&s)), || {
            format!("no steps, no waits, yet {state:?}")
        });
    }
    let unread = matches!(lint.seen.azure.registry(), Fact::Unknown(_));
    let ready = [State::Locked, State::Open, State::Observed];
    lint.demand(
        "settled",
        !(unread && state.is_some_and(|s| ready.contains(&s))),
        || "called ready on a registry that could not be read".into(),
    );
    let silent = plan.waits.iter().find(|w| w.message.is_empty());
    lint.demand("settled", silent.is_none(), || "a wait says nothing".into());
    let ids: BTreeSet<_> = plan.steps().map(|s| &s.id).collect();
    lint.demand("order", ids.len() == plan.steps().count(), || {
        "two steps have one name".into()
    });
}
