//! Which upsets a story deserves, from what its clean run taught, after Sieve's pruning. In full:
//!
//! | writes | upsets |
//! | --- | --- |
//! | every one to Azure | the three crashes, the four that deceive (stale reads, erased status, lost answer, accepted without effect), a leader that is paused, one refusal in turn |
//! | every one to the cluster | the three crashes, one that deceives and one refusal in turn |
//! | reports and events among them | the three crashes, and one of the others in turn |
//! | what people do | a crash, erased status, stale reads |
//! | every question asked of Azure | a `404` that is not true: once early, once late, and twice in a row between the two |
//! | watched events | of each kind five, evenly chosen (the later ones of a long row are alike), each lost, doubled, merged |
//!
//! Left out are writes that changed nothing, and of the way to the first lock, up to what people do first, what other stories
//! have in common with `lockdown`: all of it where another story with the same spec in the same Azure is told from its
//! beginning; where spec or Azure differ, all but the writes to Azure, which are upset by the three crashes and one of the
//! others in turn; nothing where Azure gets in the way. `make test` takes a few of each story ([`pruned`]), the same in every
//! run.

use std::collections::{BTreeMap, BTreeSet};

use super::courier::How;
use super::gate::{Call, Fault, Logged, Moment, Side, Trigger};
use super::run::{Learned, Upset};
use super::stories::Beginning;

/// Of the events of one kind at most so many are upset.
const MOST_EVENTS: usize = 5;

/// All upsets of a story.
pub fn all(learned: &Learned, beginning: Beginning) -> Vec<Upset> {
    let mut plans = Vec::new();
    let is_act = |logged: &Logged| logged.trigger.call.side == Side::People;
    let first = match beginning {
        Beginning::Own => 0,
        Beginning::Shared | Beginning::OtherWishes => {
            let first = learned.log.iter().position(is_act);
            first.unwrap_or(learned.log.len())
        }
    };
    let writes = learned.log.iter().enumerate();
    for (number, logged) in writes.filter(|(_, logged)| logged.changed) {
        let faults = match beginning {
            _ if number >= first => faults_at(number, logged),
            Beginning::OtherWishes if logged.trigger.call.side == Side::Azure => few_faults_at(number),
            _ => continue,
        };
        plans.extend(faults.into_iter().map(|fault| Upset::At(logged.trigger.clone(), fault)));
    }
    plans.extend(stray_absences(learned, beginning));
    for (kind, before, count) in &learned.events {
        let from = if first > 0 { before + 1 } else { 1 };
        let step = (count + 1).saturating_sub(from).div_ceil(MOST_EVENTS).max(1);
        for nth in (from..=*count).step_by(step) {
            for how in [How::Lost, How::Doubled, How::Merged] {
                plans.push(Upset::Events(kind.clone(), nth, how));
            }
        }
    }
    plans
}

/// A `404` of what is there, wherever a question is asked: once early and once late, and twice in a row between the two. Of
/// the way that stories have in common only `lockdown` is upset.
fn stray_absences(learned: &Learned, beginning: Beginning) -> Vec<Upset> {
    let own = learned
        .reads
        .iter()
        .filter(|(call, _)| beginning == Beginning::Own || call.is_later_read());
    let of_one = |(call, asked): &(Call, usize)| {
        // Another run asks a few times less or more.
        let places = BTreeSet::from([(asked / 8, 1), (asked * 5 / 8, 1), (asked * 3 / 8, 2)]);
        let plans = places.into_iter().map(|(place, times)| stray(call, place + 1, times));
        plans.collect::<Vec<_>>()
    };
    own.flat_map(of_one).collect()
}

fn stray(call: &Call, occurrence: usize, times: usize) -> Upset {
    let trigger = Trigger {
        call: call.clone(),
        occurrence,
    };
    Upset::At(trigger, Fault::StrayNotFound(times))
}

const CRASHES: [Fault; 3] = [
    Fault::Crash(Moment::BeforeSent),
    Fault::Crash(Moment::AfterEffect),
    Fault::Crash(Moment::AfterAnswer),
];

/// The kinds of refusals and of what deceives take turns from write to write.
fn faults_at(number: usize, logged: &Logged) -> Vec<Fault> {
    let call = &logged.trigger.call;
    let turn = |faults: &[Fault]| faults[number % faults.len()];
    let mut faults = Vec::new();
    match call.side {
        Side::People => {
            faults.extend([Fault::Crash(Moment::BeforeSent), Fault::EraseStatus, Fault::StaleAzure]);
        }
        Side::Cluster if call.is_report() => {
            faults.extend(CRASHES);
            faults.push(turn(&[Fault::LoseAnswer, Fault::Refuse(409), Fault::Refuse(503)]));
        }
        Side::Cluster => {
            faults.extend(CRASHES);
            faults.push(turn(&[Fault::EraseStatus, Fault::LoseAnswer]));
            faults.push(turn(&[409, 503, 429].map(Fault::Refuse)));
        }
        Side::Azure => {
            faults.extend(CRASHES);
            faults.extend([
                Fault::StaleAzure,
                Fault::EraseStatus,
                Fault::LoseAnswer,
                Fault::Pause,
                Fault::Ignore,
            ]);
            faults.push(turn(&[409, 412, 429, 503].map(Fault::Refuse)));
        }
    }
    faults
}

/// On a way that another story has gone before under other wishes.
fn few_faults_at(number: usize) -> Vec<Fault> {
    let others = [
        Fault::StaleAzure,
        Fault::Refuse(409),
        Fault::EraseStatus,
        Fault::LoseAnswer,
        Fault::Pause,
        Fault::Ignore,
        Fault::Refuse(503),
    ];
    let mut faults = CRASHES.to_vec();
    faults.push(others[number % others.len()]);
    faults
}

/// So many of each story. The kinds of upset take turns, over the stories too, so that none is left out however many
/// upsets a write deserves; which one of its kind it is goes by the golden ratio, which comes back to no place soon.
pub fn pruned(all: Vec<Vec<Upset>>, of_each: usize) -> Vec<Vec<Upset>> {
    let kinds: BTreeSet<&str> = all.iter().flatten().map(Upset::kind).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let mut turn = 0;
    let mut number: u32 = 0;
    let mut few = Vec::new();
    for plans in all {
        let mut by_kind: BTreeMap<&str, Vec<Upset>> = BTreeMap::new();
        for plan in plans {
            by_kind.entry(plan.kind()).or_default().push(plan);
        }
        let mut chosen = Vec::new();
        while chosen.len() < of_each && !by_kind.is_empty() {
            // A kind that the story does not know, or gave, is passed over.
            let kind = by_kind.remove(kinds[turn % kinds.len()]);
            turn += 1;
            let Some(mut of_kind) = kind else { continue };
            number += 1;
            let place = place_of(number, of_kind.len());
            chosen.push(of_kind.swap_remove(place));
        }
        few.push(chosen);
    }
    few
}

/// The place of the nth choice among so many.
fn place_of(number: u32, many: usize) -> usize {
    let ratio = number.wrapping_mul(2_654_435_769);
    let place = (u64::from(ratio) * many as u64) >> 32;
    usize::try_from(place).unwrap()
}

#[test]
fn the_pruned_campaign_knows_every_story_and_every_kind_and_is_the_same_each_time() {
    let at = |occurrence| Trigger {
        call: Call::new(Side::Azure, "PUT", "registries/contosoreg"),
        occurrence,
    };
    let story = |writes: usize| -> Vec<Upset> {
        let faults = |number| {
            few_faults_at(number)
                .into_iter()
                .map(move |fault| Upset::At(at(number), fault))
        };
        (1..=writes).flat_map(faults).collect()
    };
    let all = vec![story(70), story(1), story(7), story(35), story(5)];
    let few = pruned(all.clone(), 3);
    assert_eq!(few, pruned(all.clone(), 3));
    assert!(few.iter().all(|chosen| chosen.len() == 3), "{few:?}");
    let kinds = |plans: &[Vec<Upset>]| plans.iter().flatten().map(Upset::kind).collect::<BTreeSet<_>>();
    assert_eq!(kinds(&few), kinds(&all));
}
