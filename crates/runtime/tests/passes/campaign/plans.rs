//! Which upsets a story deserves, from what its clean run taught, after Sieve's pruning: writes that changed nothing are left
//! out, and so is what a story has in common with others, its way to the first lock, which `lockdown` and `deny-assignment`
//! are told for. `make test` takes every so many of those that are no reports; which, is the same in every run.

use super::courier::How;
use super::gate::{Fault, Logged, Moment, Side};
use super::run::{Learned, Upset};

/// Of the events of one kind at most so many are upset, evenly chosen: the later ones of a long row are alike.
const MOST_EVENTS: usize = 5;

/// All upsets of a story.
pub fn all(learned: &Learned, from_the_beginning: bool) -> Vec<Upset> {
    let mut plans = Vec::new();
    let is_act = |logged: &Logged| logged.trigger.call.side == Side::People;
    let first = match from_the_beginning {
        true => None,
        false => learned.log.iter().position(is_act),
    };
    let own = learned.log.iter().enumerate().skip(first.unwrap_or(0));
    for (number, logged) in own.filter(|(_, logged)| logged.changed) {
        let faults = faults_at(number, logged);
        plans.extend(faults.into_iter().map(|fault| Upset::At(logged.trigger.clone(), fault)));
    }
    for (kind, before, count) in &learned.events {
        let from = if first.is_some() { before + 1 } else { 1 };
        let step = (count + 1).saturating_sub(from).div_ceil(MOST_EVENTS).max(1);
        for nth in (from..=*count).step_by(step) {
            for how in [How::Lost, How::Doubled, How::Merged] {
                plans.push(Upset::Events(kind.clone(), nth, how));
            }
        }
    }
    plans
}

/// The kinds of refusals and of what is lost take turns from write to write.
fn faults_at(number: usize, logged: &Logged) -> Vec<Fault> {
    let call = &logged.trigger.call;
    let crashes = [Moment::BeforeSent, Moment::AfterEffect, Moment::AfterAnswer].map(Fault::Crash);
    let turn = |faults: &[Fault]| faults[number % faults.len()];
    let mut faults = Vec::new();
    match call.side {
        Side::People => {
            faults.extend([Fault::Crash(Moment::BeforeSent), Fault::EraseStatus, Fault::StaleAzure]);
        }
        // Events tell people; nothing follows from them.
        Side::Cluster if call.object == "events" => {
            faults.push(turn(&[Fault::Crash(Moment::AfterEffect), Fault::Refuse(503)]));
        }
        // Before the next report is sent is after this one's answer.
        Side::Cluster if call.is_report() => {
            faults.extend(crashes.into_iter().take(2));
            faults.push(turn(&[Fault::LoseAnswer, Fault::Refuse(409), Fault::Refuse(503)]));
        }
        Side::Cluster => {
            faults.extend(crashes);
            faults.push(turn(&[Fault::EraseStatus, Fault::LoseAnswer]));
            faults.push(turn(&[409, 503, 429].map(Fault::Refuse)));
        }
        Side::Azure => {
            faults.extend(crashes);
            faults.extend([Fault::StaleAzure, Fault::EraseStatus, Fault::LoseAnswer]);
            faults.push(turn(&[409, 412, 429, 503].map(Fault::Refuse)));
        }
    }
    faults
}

/// Every `stride`th of those that are not reports, beginning with the `first`th.
pub fn pruned(plans: Vec<Upset>, stride: usize, first: usize) -> Vec<Upset> {
    let telling = plans.into_iter().filter(|plan| match plan {
        Upset::At(trigger, _) => !trigger.call.is_report(),
        Upset::Events(..) => true,
    });
    telling.skip(first % stride).step_by(stride).collect()
}
