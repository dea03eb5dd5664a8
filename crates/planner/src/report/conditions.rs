//! What each condition says of one visit.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sreg_api::conditions::ConditionType;
use sreg_api::status::ProofStatus;
use sreg_domain::Fact;
use strum::IntoEnumIterator;

use super::{ReportedState, stale};
use crate::break_glass::{self, BreakGlassState};
use crate::conditions::{Draft, Truth, trio};
use crate::endpoints;
use crate::evidence::first_failure;
use crate::plan::{EndpointAssessment, PathStanding, Plan};
use crate::view::View;

/// A draft for every type.
pub(super) fn all(view: &View<'_>, plan: &Plan, verdict: &ReportedState) -> Vec<Draft> {
    ConditionType::iter()
        .map(|kind| one(kind, view, plan, verdict))
        .collect()
}

fn one(kind: ConditionType, view: &View<'_>, plan: &Plan, verdict: &ReportedState) -> Draft {
    if !stale::is_shown(view) && tells_of_azure(kind) {
        return Draft {
            kind,
            truth: Truth::Unknown,
            reason: "NotGranted".into(),
            message: "no RegistryGrant lets this namespace look at the registry".into(),
        };
    }
    if !view.desired.is_whole() && needs_spec(kind) {
        return not_judged(kind, view);
    }
    let (ready, reconciling, stalled) = trio(verdict.state);
    let summary = |truth: Truth| (truth, verdict.state.to_string(), verdict.message.clone());
    let (truth, reason, message) = match kind {
        ConditionType::Ready => summary(ready),
        ConditionType::Reconciling => summary(reconciling),
        ConditionType::Stalled => summary(stalled),
        ConditionType::RegistryFound => registry_found(view),
        ConditionType::EndpointsReady => endpoints_ready(view, plan),
        ConditionType::DnsReady => dns_ready(view, plan),
        ConditionType::ConnectivityVerified => verified(view, plan),
        ConditionType::PublicAccessDisabled => access_disabled(view, plan),
        ConditionType::TagsCompliant => tags(view, plan),
        ConditionType::DriftDetected => drift(view, plan),
        ConditionType::BreakGlass => emergency(view),
    };
    let message = match reason.as_str() {
        "NotKnown" | "PathsUnknown" | "NothingToProve" => with_last_known(view, kind, truth, message),
        _ => message,
    };
    Draft {
        kind,
        truth,
        reason,
        message,
    }
}

const LAST_KNOWN: &str = "; last known: ";

/// What cannot be told now goes on saying what was known of it.
fn with_last_known(view: &View<'_>, kind: ConditionType, truth: Truth, message: String) -> String {
    let summary = matches!(
        kind,
        ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled
    );
    let former = &view.seen.object.status.conditions;
    let former = former.iter().find(|c| c.type_ == kind.to_string());
    let known = match former {
        Some(f) if truth == Truth::Unknown && !summary && f.status != Truth::Unknown.as_str() => {
            Some(format!("{} ({})", f.status, f.reason))
        }
        Some(f) if truth == Truth::Unknown && !summary => {
            f.message.split_once(LAST_KNOWN).map(|(_, known)| known.to_owned())
        }
        Some(_) | None => None,
    };
    match known {
        Some(known) => format!("{message}{LAST_KNOWN}{known}"),
        None => message,
    }
}

/// Whether a condition compares the world with what the spec wants of it in detail.
fn needs_spec(kind: ConditionType) -> bool {
    match kind {
        ConditionType::EndpointsReady
        | ConditionType::DnsReady
        | ConditionType::ConnectivityVerified
        | ConditionType::TagsCompliant => true,
        ConditionType::Ready
        | ConditionType::Reconciling
        | ConditionType::Stalled
        | ConditionType::RegistryFound
        | ConditionType::PublicAccessDisabled
        | ConditionType::DriftDetected
        | ConditionType::BreakGlass => false,
    }
}

/// Whether a condition says anything of Azure.
fn tells_of_azure(kind: ConditionType) -> bool {
    needs_spec(kind)
        || matches!(
            kind,
            ConditionType::RegistryFound | ConditionType::PublicAccessDisabled | ConditionType::DriftDetected
        )
}

/// Not to be told by a spec that breaks rules: what was known stays.
fn not_judged(kind: ConditionType, view: &View<'_>) -> Draft {
    let former = &view.seen.object.status.conditions;
    let before = former.iter().find(|c| c.type_ == kind.to_string()).and_then(keep);
    before.unwrap_or_else(|| Draft {
        kind,
        truth: Truth::Unknown,
        reason: "InvalidSpec".into(),
        message: "not judged before the spec is valid".into(),
    })
}

type Said = (Truth, String, String);

fn say(truth: Truth, reason: &str, message: impl Into<String>) -> Said {
    (truth, reason.to_owned(), message.into())
}

fn registry_found(view: &View<'_>) -> Said {
    match view.seen.azure.registry() {
        Fact::Seen(target) => {
            let location = target.registry().map_or("", |registry| registry.location.as_str());
            say(Truth::True, "Found", format!("in {location}"))
        }
        Fact::Absent => say(Truth::False, "Absent", "the registry does not exist in Azure"),
        Fact::Unknown(why) => say(Truth::Unknown, "NotKnown", why.message.clone()),
    }
}

fn endpoints_ready(view: &View<'_>, plan: &Plan) -> Said {
    let endpoints = &plan.assessment.endpoints;
    if view.desired.endpoints().is_empty() {
        return say(Truth::True, "NoneWanted", "the spec wants no private endpoints");
    }
    if let Some(waiting) = endpoints.iter().find(|e| e.ready == Some(false)) {
        let (reason, message) = not_ready(view, waiting);
        return say(Truth::False, reason, message);
    }
    if endpoints.is_empty()
        || view.targets.gap.is_some()
        || endpoints.iter().any(|e| e.ready.is_none())
        || !view.whole().is_some_and(|whole| endpoints::wanted(&whole).complete)
    {
        return say(Truth::Unknown, "NotKnown", "not every endpoint could be read");
    }
    say(
        Truth::True,
        "Ready",
        "every private endpoint is provisioned and approved",
    )
}

/// Why an endpoint is not ready, in Azure's words.
fn not_ready(view: &View<'_>, line: &EndpointAssessment) -> (&'static str, String) {
    let label = format!("{}/{} {}", line.place, line.group.group_id(), line.target.name());
    let Some(endpoint) = view.seen.azure.endpoints.get(&line.id).and_then(Fact::seen) else {
        return ("Absent", format!("private endpoint {label} does not exist"));
    };
    let connection = endpoint.connection_status.as_deref().unwrap_or_default();
    if !endpoint.provisioning_state.eq_ignore_ascii_case("Succeeded") {
        let state = &endpoint.provisioning_state;
        return ("NotReady", format!("private endpoint {label} is {state}"));
    }
    let reason = match connection.to_ascii_lowercase().as_str() {
        "pending" => "Pending",
        "rejected" => "Rejected",
        "disconnected" => "Disconnected",
        _ => "NotReady",
    };
    let said = endpoint.connection_description.as_deref().filter(|d| !d.is_empty());
    let said = said.map(|d| format!(" ({d})")).unwrap_or_default();
    (
        reason,
        format!("the connection of private endpoint {label} is {connection}{said}"),
    )
}

fn dns_ready(view: &View<'_>, plan: &Plan) -> Said {
    if view.desired.endpoints().is_empty() {
        return say(Truth::True, "NoneWanted", "the spec wants no private endpoints");
    }
    let missing = plan.assessment.endpoints.iter().find(|e| e.ready == Some(false));
    if let (Some(false), Some(missing)) = (plan.assessment.dns_ready, missing) {
        let (_, why) = not_ready(view, missing);
        return say(
            Truth::False,
            "EndpointsNotReady",
            format!("records are complete once every endpoint is ready: {why}"),
        );
    }
    match plan.assessment.dns_ready {
        Some(true) => say(Truth::True, "Complete", "every name has its private records and links"),
        Some(false) => say(Truth::False, "Incomplete", "zones, records or links are missing"),
        None => say(Truth::Unknown, "NotKnown", "not all of DNS could be read"),
    }
}

fn verified(view: &View<'_>, plan: &Plan) -> Said {
    let paths = &plan.assessment.paths;
    if let Some(failure) = first_failure(paths) {
        return say(Truth::False, "PathFailing", failure);
    }
    let untold = paths.iter().find_map(|p| match &p.standing {
        PathStanding::Unknown(why) => Some(format!("{} to {}: {why}", p.network, p.path.fqdn)),
        PathStanding::Passing | PathStanding::Reported | PathStanding::Failing(..) => None,
    });
    if let Some(untold) = untold {
        let before = view.seen.object.status.last_proof.as_ref();
        let before = before.and_then(|p| Some(format!("; {} were last proven at {}", p.paths, p.time.as_ref()?.0)));
        return say(Truth::Unknown, "NotProven", untold + &before.unwrap_or_default());
    }
    if paths.iter().any(|p| p.standing == PathStanding::Reported) {
        return say(
            Truth::Unknown,
            "NotProven",
            format!(
                "every path passes, as its agent reports; {}",
                last_proof(view.seen.object.status.last_proof.as_ref())
            ),
        );
    }
    if paths.is_empty() {
        return say(Truth::Unknown, "NothingToProve", "no path is known yet");
    }
    if !plan.assessment.paths_known {
        return say(Truth::Unknown, "PathsUnknown", "not every required path is known");
    }
    if view
        .desired
        .client_networks()
        .iter()
        .any(|n| !paths.iter().any(|p| p.network == n.name))
    {
        return say(Truth::Unknown, "PathsUnknown", "a client network has no paths yet");
    }
    say(Truth::True, "Proven", "every required path passes from its own network")
}

/// What was proven last, and when; a lock always waits for a proof of its own.
fn last_proof(proof: Option<&ProofStatus>) -> String {
    match proof.and_then(|p| Some((p, p.time.as_ref()?))) {
        Some((proof, time)) => format!(
            "{} were last proven in a round at {}; the lock opens a new round first",
            proof.paths, time.0
        ),
        None => "nothing was proven in a round yet: the lock opens one first".into(),
    }
}

fn access_disabled(view: &View<'_>, plan: &Plan) -> Said {
    let access = &plan.assessment.access;
    if let Some(open) = access.iter().find(|a| a.closed == Some(false)) {
        return say(
            Truth::False,
            "Open",
            format!("{} {} is open ({})", open.target, open.id.name(), open.detail),
        );
    }
    if view.all_closed() && !access.is_empty() {
        return say(
            Truth::True,
            "Closed",
            format!("registry, storage and container registry are closed{}", view.but_for()),
        );
    }
    say(Truth::Unknown, "NotKnown", "not every target could be read")
}

fn tags(view: &View<'_>, plan: &Plan) -> Said {
    let compliant = || Some(crate::registry::tags_to_set(&view.desired.whole()?.tags, view.registry()?).is_empty());
    match plan.assessment.tags_compliant.or_else(compliant) {
        Some(true) => say(Truth::True, "Compliant", "tags of the spec are on the registry"),
        Some(false) => say(Truth::False, "Differ", "tags of the spec are missing or differ"),
        None => say(Truth::Unknown, "NotKnown", "the registry could not be read"),
    }
}

fn drift(view: &View<'_>, plan: &Plan) -> Said {
    match plan.assessment.drift.as_slice() {
        [] if view.registry().is_none() => say(Truth::Unknown, "NotKnown", "the registry could not be read"),
        [] => say(Truth::False, "None", ""),
        [one] => say(Truth::True, "Differs", one.clone()),
        [first, rest @ ..] => say(Truth::True, "Differs", format!("{first} (and {} more)", rest.len())),
    }
}

fn emergency(view: &View<'_>) -> Said {
    match break_glass::state(view) {
        BreakGlassState::None => say(Truth::False, "None", ""),
        BreakGlassState::NotKnown => say(Truth::Unknown, "NotKnown", "BreakGlasses could not be read"),
        BreakGlassState::UsedUp { name } => say(
            Truth::False,
            "UsedUp",
            format!("BreakGlass {name} has used up the longest time"),
        ),
        BreakGlassState::Active {
            name,
            requested_by,
            reason,
            until,
        } => match break_glass::no_effect(view) {
            Some(why) => say(
                Truth::False,
                "Ignored",
                format!("BreakGlass {name} by {requested_by} ({reason}) has no effect: {why}"),
            ),
            None => say(
                Truth::True,
                "InForce",
                format!("{name} by {requested_by} until {until}: {reason}"),
            ),
        },
    }
}

/// A former condition as it was, for a visit that could not judge it anew; the summary trio is always new.
pub(super) fn keep(former: &Condition) -> Option<Draft> {
    let kind: ConditionType = former.type_.parse().ok()?;
    if matches!(
        kind,
        ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled
    ) {
        return None;
    }
    let truth = match former.status.as_str() {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    };
    Some(Draft {
        kind,
        truth,
        reason: former.reason.clone(),
        message: former.message.clone(),
    })
}
