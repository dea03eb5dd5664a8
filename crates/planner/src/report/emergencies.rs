//! Uses of break-glasses: each one begins once and ends once, told by comparing what is in force with what the former status
//! recorded. Recorded uses stay until the registry is seen locked: they count against the longest time, also when deleted.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::conditions::State;
use sreg_api::registry::PublicAccess;
use sreg_api::status::{BreakGlassUse, HistoryEntry};
use sreg_domain::Fact;
use sreg_domain::seen::BreakGlassSeen;

use crate::break_glass::{self, Term};
use crate::conditions::{truncate, whole_seconds};
use crate::opening;
use crate::plan::Wait;
use crate::view::View;

/// What history calls the end of one.
pub(super) const BREAK_GLASS_ENDED: &str = "BreakGlassEnded";

/// Status stays small. The first is kept, because the longest time counts from it.
const MOST_USES: usize = 8;

/// What this visit has to tell about break-glasses.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Emergencies {
    /// What status records from now on.
    pub(super) uses: Vec<BreakGlassUse>,
    /// Sentences: these began with this visit.
    pub(super) begun: Vec<String>,
    /// Sentences: these ended with this visit.
    pub(super) ended: Vec<String>,
    /// Names of those after which the registry is seen locked again with this visit.
    pub(super) locked_after: Vec<String>,
}

impl Emergencies {
    pub(super) fn of(view: &View<'_>, waits: &[Wait]) -> Emergencies {
        let former = &view.seen.object.status.break_glasses;
        // Whom the registry belongs to decides what a break-glass means.
        let known = matches!(view.seen.cluster.break_glasses, Fact::Seen(_))
            && !matches!(view.seen.cluster.claim, Fact::Unknown(_));
        if !known || view.seen.object.deleting {
            return Emergencies {
                uses: former.clone(),
                ..Emergencies::default()
            };
        }
        let terms = break_glass::terms(view.desired, view.seen, view.now);
        let running: Vec<&Term<'_>> = terms.iter().filter(|t| t.runs(view.now) && counts(view, t)).collect();
        let mut told = Emergencies::default();
        for before in former {
            told.go_on(view, waits, before, &running);
        }
        for term in &running {
            told.begin(view, term);
        }
        if running.is_empty() && view.all_closed() {
            told.locked_after = told.uses.drain(..).map(|u| u.name).collect();
        }
        told
    }

    /// A recorded use still runs, or is over.
    fn go_on(&mut self, view: &View<'_>, waits: &[Wait], before: &BreakGlassUse, running: &[&Term<'_>]) {
        let term = running.iter().find(|t| is_about(before, t.glass));
        let mut after = before.clone();
        match term {
            Some(term) => {
                after.until = Some(whole_seconds(term.until));
                after.ended = false;
            }
            None if !before.ended => {
                let end = before.until.as_ref().map_or(view.now, |t| t.0.min(view.now));
                after.until = Some(whole_seconds(end));
                after.ended = true;
                self.ended.push(end_of(view, waits, &after, running));
            }
            None => {}
        }
        self.uses.push(after);
    }

    fn begin(&mut self, view: &View<'_>, term: &Term<'_>) {
        if self.uses.iter().any(|used| is_about(used, term.glass)) {
            return;
        }
        while self.uses.len() >= MOST_USES {
            let Some(at) = self.uses.iter().skip(1).position(|u| u.ended) else {
                // Not recorded, so not told either: it would be told again with every visit.
                return;
            };
            self.uses.remove(at.saturating_add(1));
        }
        let time = |at: Timestamp| -> Option<Time> { Some(whole_seconds(at)) };
        self.uses.push(BreakGlassUse {
            name: term.glass.name.clone(),
            requested_by: term.glass.requested_by.clone(),
            created_at: time(term.glass.created_at),
            counts_from: time(term.counts_from),
            until: time(term.until),
            ended: false,
        });
        let holds = if opening::is_restored(view) {
            "holds public access open"
        } else {
            "opens public access"
        };
        let cut = if term.until < term.asked {
            format!(" (cut from {})", whole_seconds(term.asked).0)
        } else {
            String::new()
        };
        self.begun.push(format!(
            "BreakGlass {} by {} {holds} until {}{cut}: {}",
            term.glass.name,
            term.glass.requested_by,
            whole_seconds(term.until).0,
            term.glass.reason
        ));
    }

    /// A line for each begin and each end.
    pub(super) fn history(&self, now: Timestamp) -> impl Iterator<Item = HistoryEntry> {
        let line = move |state: &str, message: &String| HistoryEntry {
            time: Some(whole_seconds(now)),
            state: state.into(),
            message: truncate(message, 256),
            evidence_digest: None,
        };
        let ended = self.ended.iter().map(move |message| line(BREAK_GLASS_ENDED, message));
        let begun = self
            .begun
            .iter()
            .map(move |message| line(State::BreakGlass.into(), message));
        ended.chain(begun)
    }
}

/// Whether it holds anything open: not by a spec that wants it open anyway, and under Observe only if it was opened before.
fn counts(view: &View<'_>, term: &Term<'_>) -> bool {
    let was_told = break_glass::recorded(&view.last().emergencies, term.glass).is_some();
    view.desired.public_access == PublicAccess::Disabled
        && view.desired.may_be_opened()
        && (view.claim_is_ours() || view.seen.cluster.claim.is_absent())
        && view.is_held()
        && (!view.desired.observe_only || was_told)
}

fn is_about(used: &BreakGlassUse, glass: &BreakGlassSeen) -> bool {
    break_glass::is_named(glass, &used.name, used.created_at.as_ref().map(|at| at.0))
}

fn end_of(view: &View<'_>, waits: &[Wait], over: &BreakGlassUse, running: &[&Term<'_>]) -> String {
    let registry = view.desired.registry.name();
    let next = if view.desired.public_access == PublicAccess::Enabled {
        format!("{registry} stays open, as its spec now desires")
    } else if let Some(other) = running.iter().max_by_key(|t| t.until) {
        format!(
            "BreakGlass {} still holds {registry} open until {}",
            other.glass.name,
            whole_seconds(other.until).0
        )
    } else if view.desired.observe_only {
        format!("under managementPolicy: Observe nothing locks {registry} again")
    } else if !view.desired.is_whole() {
        format!("{registry} is locked again once its SecureRegistry is valid")
    } else if let Some(wait) = break_glass::up_to_people(waits).next() {
        format!("{registry} is not locked again before this is done: {}", wait.message)
    } else {
        format!("{registry} is locked again, once every path is proven anew")
    };
    let until = over.until.as_ref().map_or(view.now, |t| t.0);
    format!(
        "BreakGlass {} by {} ended at {until}; {next}",
        over.name, over.requested_by
    )
}
