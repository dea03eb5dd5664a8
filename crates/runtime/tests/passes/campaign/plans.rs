//! Which upsets a story deserves, from what its clean run taught. Writes that changed nothing are left out. The pruned set
//! takes every so many of those that tell something of their own; which, is the same in every run.

use super::courier::How;
use super::gate::{Fault, Logged, Moment, Side};
use super::run::{Learned, Upset};

/// Of the events of one kind at most so many are upset, evenly chosen: the later ones of a long row are alike.
const MOST_EVENTS: usize = 10;

/// All upsets of a story.
pub fn all(learned: &Learned) -> Vec<Upset> {
    let mut plans = Vec::new();
    for logged in learned.log.iter().filter(|logged| logged.changed) {
        let faults = faults_at(logged);
        plans.extend(faults.into_iter().map(|fault| Upset::At(logged.trigger.clone(), fault)));
    }
    for (kind, count) in &learned.events {
        let step = count.div_ceil(MOST_EVENTS).max(1);
        for nth in (1..=*count).step_by(step) {
            for how in [How::Lost, How::Doubled, How::Merged] {
                plans.push(Upset::Events(kind.clone(), nth, how));
            }
        }
    }
    plans
}

fn faults_at(logged: &Logged) -> Vec<Fault> {
    let call = &logged.trigger.call;
    let crashes = [Moment::BeforeSent, Moment::AfterEffect, Moment::AfterAnswer].map(Fault::Crash);
    let stale = [Fault::StaleAzure, Fault::StaleCluster(1), Fault::StaleCluster(8)];
    match call.side {
        Side::People => {
            let mut faults = vec![Fault::Crash(Moment::BeforeSent), Fault::EraseStatus];
            faults.extend(stale);
            faults
        }
        // Events tell people; nothing follows from them.
        Side::Cluster if call.object == "events" => crashes.to_vec(),
        Side::Cluster => {
            let mut faults = crashes.to_vec();
            faults.extend([
                Fault::EraseStatus,
                Fault::LoseAnswer,
                Fault::Refuse(409),
                Fault::Refuse(503),
            ]);
            faults
        }
        Side::Azure => {
            let mut faults = crashes.to_vec();
            faults.extend(stale);
            faults.extend([409, 412, 429, 503].map(Fault::Refuse));
            faults.extend([Fault::EraseStatus, Fault::LoseAnswer]);
            faults
        }
    }
}

/// Every `stride`th of those that are not reports, beginning with the `first`th.
pub fn pruned(plans: Vec<Upset>, stride: usize, first: usize) -> Vec<Upset> {
    let telling = plans.into_iter().filter(|plan| match plan {
        Upset::At(trigger, _) => !trigger.call.is_report(),
        Upset::Events(..) => true,
    });
    telling.skip(first % stride).step_by(stride).collect()
}
