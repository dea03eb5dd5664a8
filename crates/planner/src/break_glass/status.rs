//! What each break-glass is told about itself: phase, end, what happened and what comes next.
//!
//! | so far | phase |
//! | --- | --- |
//! | the registry was locked after its creation | Spent, for good |
//! | its creation time has not come; the registry object is missing or names no registry | Pending |
//! | its time runs | Active, or Ignored where nothing is to be opened |
//! | the longest time was over before it began | UsedUp |
//! | its time is over | Expired |

use std::collections::BTreeMap;

use jiff::Timestamp;
use sreg_api::registry::PublicAccess;
use sreg_api::{BreakGlassPhase, BreakGlassStatus};
use sreg_domain::duration;
use sreg_domain::seen::BreakGlassSeen;

use super::{Term, after, is_spent, terms};
use crate::conditions::{truncate, whole_seconds};
use crate::plan::{Actor, Finding, FindingReason, Wait, WaitReason};
use crate::view::View;
use crate::{attempts, azure_claim, never_locked, opening};

const LONGEST_MESSAGE: usize = 1024;

fn say(phase: BreakGlassPhase, until: Option<Timestamp>, message: impl AsRef<str>) -> BreakGlassStatus {
    BreakGlassStatus {
        phase,
        until: until.map(whole_seconds),
        message: truncate(message.as_ref(), LONGEST_MESSAGE),
    }
}

/// The status of each, by uid; what it says already where nothing new is known.
pub(crate) fn statuses(view: &View<'_>, waits: &[Wait], findings: &[Finding]) -> BTreeMap<String, BreakGlassStatus> {
    let all = view.seen.cluster.break_glasses.seen().into_iter().flatten();
    let terms = terms(view.desired, view.seen, view.now);
    all.filter_map(|glass| {
        let term = terms
            .iter()
            .find(|t| t.glass.uid == glass.uid && t.glass.name == glass.name);
        let decided = status(view, glass, term, waits, findings);
        Some((glass.uid.clone(), decided.or_else(|| glass.status.clone())?))
    })
    .collect()
}

/// What somebody has to end before the registry can be locked, the most telling first. What only time or Azure ends is not told here:
/// it comes and goes.
pub(crate) fn up_to_people(waits: &[Wait]) -> impl Iterator<Item = &Wait> {
    let said_elsewhere = [
        WaitReason::BreakGlassStalled,
        WaitReason::ResourceLockedStalled,
        WaitReason::InvalidSpecStalled,
        WaitReason::NotGrantedStalled,
    ];
    let person = |wait: &&Wait| match wait.reason.actor() {
        Actor::User | Actor::Administrator | Actor::Approver | Actor::DnsOwner | Actor::Agent => true,
        Actor::Time | Actor::Azure => false,
    };
    waits.iter().filter(move |wait| {
        let theirs = wait.reason.is_stalled() || (person(wait) && wait.reason != WaitReason::ProofPending);
        theirs && !said_elsewhere.contains(&wait.reason) && !attempts::is_about_opening(wait)
    })
}

/// `None`: what it says stays.
fn status(
    view: &View<'_>,
    glass: &BreakGlassSeen,
    term: Option<&Term<'_>>,
    waits: &[Wait],
    findings: &[Finding],
) -> Option<BreakGlassStatus> {
    use BreakGlassPhase::{Active, Expired, Ignored, Pending, Spent, UsedUp};
    let phase = glass.status.as_ref().map(|s| s.phase);
    let (registry, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    let Some(term) = term else {
        if phase == Some(Spent) {
            return None;
        }
        return Some(match view.last().locked_at() {
            Some(locked) if is_spent(glass, &view.last().emergencies, Some(locked)) => spent(registry, glass, locked),
            Some(_) | None => say(
                Pending,
                None,
                format!(
                    "begins at {}, which has not come yet by the operator's clock: is a clock wrong?",
                    whole_seconds(glass.created_at).0
                ),
            ),
        });
    };
    let until = whole_seconds(term.until).0;
    if term.runs(view.now) {
        let restored = opening::is_restored(view);
        let stays = up_to_people(waits).find(|wait| wait.reason.is_stalled());
        let stays = stays.map(|wait| stays_open(view, wait)).unwrap_or_default();
        return match no_effect(view) {
            Some(why) => Some(say(Ignored, Some(term.until), format!("has no effect: {why}"))),
            // What cannot be read now is no news.
            None if phase == Some(Active) && !restored && !view.any_closed() => None,
            None if restored => Some(say(
                Active,
                Some(term.until),
                format!(
                    "holds public access of {registry} open until {until}{}; then it is locked again, once {}every path is proven anew; delete this BreakGlass to end it earlier{}{stays}",
                    cut(view, term),
                    if view.desired.is_whole() {
                        ""
                    } else {
                        "its SecureRegistry is valid and "
                    },
                    relock(findings)
                ),
            )),
            None => Some(say(
                Active,
                Some(term.until),
                format!(
                    "public access of {registry} is being opened, until {until}{}; {}{}{stays}",
                    cut(view, term),
                    how_far(view),
                    relock(findings)
                ),
            )),
        };
    }
    if term.never_ran() {
        return Some(say(
            UsedUp,
            None,
            format!(
                "was never in force: the longest time of {} that began at {} was used up; {registry} must be locked once before it can be opened again",
                duration::show(view.desired.max_break_glass),
                whole_seconds(term.counts_from).0
            ),
        ));
    }
    let next = match (no_effect(view), view.desired.what_is_wrong()) {
        (Some(why), _) => format!("nothing is locked again: {why}"),
        (None, Some(wrong)) => format!("nothing is locked again before {registry} is repaired: {wrong}"),
        (None, None) => match up_to_people(waits).next() {
            Some(wait) => format!(
                "{registry} is not locked again before this is done: {}",
                in_short(view, &wait.message)
            ),
            None => format!(
                "{registry} is locked again, once every path is proven anew; kubectl get sreg {registry} -n {namespace} -o wide says how far it is"
            ),
        },
    };
    Some(say(
        Expired,
        Some(term.until),
        format!("ended at {until}{}; {next}", cut(view, term)),
    ))
}

/// What Azure says against opening; else where to look.
fn how_far(view: &View<'_>) -> String {
    let (registry, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    match attempts::refusal_of_opening(view) {
        Some(refusal) => format!("not all of it opens yet: {}", in_short(view, refusal)),
        None => format!("kubectl get sreg {registry} -n {namespace} -o wide says how far it is"),
    }
}

/// Said while it runs, so that nobody finds out at its end.
fn stays_open(view: &View<'_>, wait: &Wait) -> String {
    format!(
        ". As things stand it cannot be locked again and stays open beyond that: {}",
        in_short(view, &wait.message)
    )
}

/// Several of these share a message: a longer one ends after a whole part of it, and says where the rest is.
const LONGEST_PART: usize = 360;

fn in_short(view: &View<'_>, message: &str) -> String {
    if message.len() <= LONGEST_PART {
        return message.to_owned();
    }
    let parts = message.match_indices("; ").chain(message.match_indices(": "));
    let end = parts.map(|(at, _)| at).filter(|at| *at <= LONGEST_PART).max();
    let start = match end {
        Some(end) => message.get(..end).unwrap_or_default().to_owned(),
        None => truncate(message, LONGEST_PART),
    };
    let (registry, namespace) = (&view.desired.object.name, &view.desired.object.namespace);
    format!("{start} (the rest of it, with what to do: kubectl describe sreg {registry} -n {namespace})")
}

/// What the lock after it will wait for, if anything is missing.
fn relock(findings: &[Finding]) -> String {
    let warned = findings.iter().find(|f| f.reason == FindingReason::RelockNeedsApproval);
    warned.map(|f| format!("; {}", f.message)).unwrap_or_default()
}

/// Why nothing is opened though its time runs, or nothing locked though it is over.
pub(crate) fn no_effect(view: &View<'_>) -> Option<String> {
    let registry = &view.desired.object.name;
    if view.seen.object.deleting {
        return Some(format!("{registry} is being deleted, public access stays as it is"));
    }
    // Whoever may not look at the registry is not told who holds it either.
    if !view.desired.may_be_looked_at() {
        return Some(nobody_may_open(view));
    }
    let wrong = view.desired.what_is_wrong();
    if let Some(wrong) = wrong.as_ref().filter(|_| !view.is_held()) {
        return Some(format!(
            "{registry} is not valid and has no claim on its Azure registry: {wrong}"
        ));
    }
    if let Some(claim) = view.claim_of_another() {
        return Some(format!("the Azure registry belongs to SecureRegistry {}", claim.holder));
    }
    if !view.desired.may_be_opened() {
        return Some(nobody_may_open(view));
    }
    if let Some(mark) = azure_claim::elsewhere(view) {
        return Some(format!("{} holds the Azure registry", azure_claim::named(&mark)));
    }
    if view.desired.public_access == PublicAccess::Enabled {
        return Some(format!(
            "{registry} is declared open by its own spec (publicAccess.desired: Enabled)"
        ));
    }
    if view.desired.observe_only {
        return Some(match wrong {
            Some(wrong) => format!(
                "managementPolicy of {registry} is Observe or cannot be read, so nothing is written to Azure: {wrong}"
            ),
            None => format!(
                "under managementPolicy: Observe of {registry} nothing is written to Azure; set it to Enforce, or change public access by hand"
            ),
        });
    }
    never_locked::held(view)
        .filter(|_| view.any_closed())
        .map(|wait| wait.message)
}

/// Whom to ask where no grant lets the namespace open its registry.
pub(crate) fn nobody_may_open(view: &View<'_>) -> String {
    let namespace = &view.desired.object.namespace;
    format!(
        "no RegistryGrant lets namespace {namespace} open {}: an administrator can add one (registries with operations: [Open]), or open it in Azure",
        view.desired.registry
    )
}

fn cut(view: &View<'_>, term: &Term<'_>) -> String {
    if term.until == term.asked {
        return String::new();
    }
    format!(
        " (cut: it asks for {}, but the longest time is {}, counted from {})",
        whole_seconds(term.asked).0,
        duration::show(view.desired.max_break_glass),
        whole_seconds(term.counts_from).0
    )
}

fn spent(registry: &str, glass: &BreakGlassSeen, locked: Timestamp) -> BreakGlassStatus {
    let told = glass.status.as_ref();
    let until = told.and_then(|s| s.until.as_ref()).map(|t| t.0);
    let ran = told.is_some_and(|s| matches!(s.phase, BreakGlassPhase::Active | BreakGlassPhase::Expired));
    let end = until.unwrap_or_else(|| after(glass.created_at, glass.duration));
    let (locked_text, end_text) = (whole_seconds(locked).0, whole_seconds(end).0);
    let message = if end <= locked && (ran || told.is_none()) {
        format!("ended at {end_text}; {registry} was locked again at {locked_text}: create another to open it again")
    } else {
        format!(
            "{registry} was locked at {locked_text}, after this was created: it opens nothing any more, create another to open it again"
        )
    };
    say(BreakGlassPhase::Spent, until, message)
}

/// Why no pass speaks for what names this `SecureRegistry`.
pub(crate) fn why_no_registry(namespace: &str, registry: &str, violation: Option<&str>) -> String {
    match violation {
        None => format!(
            "there is no SecureRegistry {registry} in namespace {namespace}; kubectl get sreg -n {namespace} lists them"
        ),
        Some(what) => format!("SecureRegistry {registry} is not valid and must be repaired first: {what}"),
    }
}

/// When one ends that no pass of its registry judges. An end that was told once is never moved.
pub fn end_without_registry(glass: &BreakGlassSeen) -> Timestamp {
    let told = glass.status.as_ref().and_then(|s| s.until.as_ref());
    told.map_or(after(glass.created_at, glass.duration), |until| until.0)
}

/// The status of a break-glass whose registry object does not exist, or names no registry (`violation`), so that no pass judges it.
/// `None`: what it says stays.
pub fn break_glass_without_registry(
    namespace: &str,
    glass: &BreakGlassSeen,
    registry: &str,
    violation: Option<&str>,
    now: Timestamp,
) -> Option<BreakGlassStatus> {
    use BreakGlassPhase::{Active, Expired, Ignored, Pending, Spent, UsedUp};
    let why = why_no_registry(namespace, registry, violation);
    let end = end_without_registry(glass);
    let status = match glass.status.as_ref().map(|s| s.phase) {
        Some(Expired | UsedUp | Spent) => return None,
        // It may have opened; whoever cannot read what is wanted closes nothing either.
        Some(Active) if now < end => say(
            Active,
            Some(end),
            format!(
                "public access stays as it is, also beyond {}: {why}",
                whole_seconds(end).0
            ),
        ),
        Some(Ignored) if now < end => say(Ignored, Some(end), format!("public access stays as it is: {why}")),
        Some(Active | Ignored | Pending) | None if now < end => say(Pending, None, format!("opens nothing: {why}")),
        Some(Active) => say(
            Expired,
            Some(end),
            format!("ended at {}, and nothing is locked again: {why}", whole_seconds(end).0),
        ),
        Some(Ignored) => say(Expired, Some(end), format!("ended at {}; {why}", whole_seconds(end).0)),
        Some(Pending) | None => say(
            Expired,
            None,
            format!("ended at {} without effect: {why}", whole_seconds(end).0),
        ),
    };
    Some(status)
}
