//! Whose pass comes next, where there are more than may run at once. Whoever waits for an opening comes first, then whoever may be cut
//! off, and each finds turns that are kept back for that; namespaces share the others, so that no number of objects in one keeps another
//! waiting.
//!
//! | lane | turns | one namespace | who is next |
//! | --- | --- | --- | --- |
//! | openings | three quarters | half of all | of the namespace with the fewest passes of this lane under way, then who waits longest |
//! | lost paths | three quarters, and with ordinary ones seven eighths | half of all | the same, once no opening can go |
//! | ordinary | three quarters | three quarters of those | the same, once nobody of the others can go |
//!
//! An object is urgent from when a person asks for an opening, somebody tells of a lost path, or its last pass left something urgent to
//! do, until its next pass begins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::memory::ObjectKey;

/// How much a pass matters to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Urgency {
    /// Somebody waits for an opening: by break-glass, spec or rollback.
    Opening,
    /// A path of what is closed was lost, or may be.
    LostPath,
    /// Everything else.
    Ordinary,
}

/// All turns. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// At least one.
    all: usize,
    queue: Mutex<Queue>,
    /// Told whenever a turn ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    closed: bool,
    arrivals: u64,
    waiting: Vec<Waiter>,
    /// Objects whose next pass is urgent, and why.
    urgent: HashMap<ObjectKey, Urgency>,
    /// Passes under way, by lane and namespace; none is kept with zero.
    running: HashMap<(Urgency, String), usize>,
}

#[derive(Debug)]
struct Waiter {
    object: ObjectKey,
    arrival: u64,
    begin: oneshot::Sender<Turn>,
}

/// The right to run one pass; ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    shared: Arc<Shared>,
    object: ObjectKey,
    lane: (Urgency, String),
}

impl Turns {
    /// So many passes at once, at least one.
    pub(crate) fn new(all: usize) -> Turns {
        let shared = Shared {
            all: all.max(1),
            queue: Mutex::default(),
            ended: Notify::new(),
        };
        Turns {
            shared: Arc::new(shared),
        }
    }

    /// Waits for a turn of this object's. For ever, once they are [closed](Turns::close).
    pub(crate) async fn take(&self, object: ObjectKey) -> Turn {
        let (begin, begun) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            queue.arrivals += 1;
            let arrival = queue.arrivals;
            queue.waiting.push(Waiter { object, arrival, begin });
        }
        self.shared.hand_out();
        match begun.await {
            Ok(turn) => turn,
            // The queue holds the other end for as long as it lives, and this borrows the queue.
            Err(_) => std::future::pending().await,
        }
    }

    /// The next pass of this object is so urgent at least, also one that waits for its turn already.
    pub(crate) fn hasten(&self, object: ObjectKey, urgency: Urgency) {
        self.shared.queue().hasten(object, urgency);
        self.shared.hand_out();
    }

    /// There is no such object: nothing about it is kept.
    pub(crate) fn forget(&self, object: &ObjectKey) {
        self.shared.queue().urgent.remove(object);
    }

    /// No pass begins any more; ends when none is under way.
    pub(crate) async fn close(&self) {
        self.shared.queue().closed = true;
        loop {
            let ended = self.shared.ended.notified();
            if self.shared.queue().under_way() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change is whole before anything can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns to whoever may have one now.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (waiter, lane) = {
                let mut queue = self.queue();
                let Some(at) = queue.next(self.all) else { return };
                let waiter = queue.waiting.swap_remove(at);
                let lane = queue.lane(&waiter.object);
                queue.urgent.remove(&waiter.object);
                *queue.running.entry(lane.clone()).or_default() += 1;
                (waiter, lane)
            };
            let turn = Turn {
                shared: Arc::clone(self),
                object: waiter.object,
                lane,
            };
            // Who stopped waiting gives the turn back: it is dropped here, outside the lock, or with the channel.
            drop(waiter.begin.send(turn));
        }
    }
}

impl Turn {
    /// The pass broke off: what was urgent about it still is.
    pub(crate) fn broke_off(self) {
        self.shared.queue().hasten(self.object.clone(), self.lane.0);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.queue();
            if let Some(running) = queue.running.get_mut(&self.lane) {
                *running -= 1;
                if *running == 0 {
                    queue.running.remove(&self.lane);
                }
            }
        }
        self.shared.ended.notify_waiters();
        self.shared.hand_out();
    }
}

impl Queue {
    fn under_way(&self) -> usize {
        self.running.values().sum()
    }

    fn hasten(&mut self, object: ObjectKey, urgency: Urgency) {
        if urgency != Urgency::Ordinary {
            let known = self.urgent.entry(object).or_insert(urgency);
            *known = urgency.min(*known);
        }
    }

    fn lane(&self, object: &ObjectKey) -> (Urgency, String) {
        let urgency = self.urgent.get(object).copied().unwrap_or(Urgency::Ordinary);
        (urgency, object.namespace.clone())
    }

    fn in_lane(&self, wanted: Urgency) -> usize {
        let lane = self.running.iter().filter(|((urgency, _), _)| *urgency == wanted);
        lane.map(|(_, running)| running).sum()
    }

    /// Who may have a turn now, of those who wait.
    fn next(&mut self, all: usize) -> Option<usize> {
        self.waiting.retain(|waiter| !waiter.begin.is_closed());
        if self.closed || self.under_way() >= all {
            return None;
        }
        let of_a_lane = all - all.div_ceil(4).min(all - 1);
        let of_one_namespace = |urgency| match urgency {
            Urgency::Opening | Urgency::LostPath => all.div_ceil(2),
            Urgency::Ordinary => of_a_lane - of_a_lane / 4,
        };
        let (openings, lost) = (self.in_lane(Urgency::Opening), self.in_lane(Urgency::LostPath));
        let ordinary = self.in_lane(Urgency::Ordinary);
        let leaves_some_to_openings = lost + ordinary < all - all / 8;
        let running = |lane: &(Urgency, String)| self.running.get(lane).copied().unwrap_or_default();
        let may = |lane: &(Urgency, String)| {
            let lane_may = match lane.0 {
                Urgency::Opening => openings < of_a_lane,
                Urgency::LostPath => lost < of_a_lane && leaves_some_to_openings,
                Urgency::Ordinary => ordinary < of_a_lane && leaves_some_to_openings,
            };
            running(lane) < of_one_namespace(lane.0) && lane_may
        };
        let waiting = self.waiting.iter().enumerate();
        let waiting = waiting.map(|(at, waiter)| (at, self.lane(&waiter.object), waiter.arrival));
        waiting
            .filter(|(_, lane, _)| may(lane))
            .min_by_key(|(_, lane, arrival)| (lane.0, running(lane), *arrival))
            .map(|(at, _, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    /// A turn, or who waits for it.
    type Asked<'a> = Result<Turn, BoxFuture<'a, Turn>>;

    fn again(mut waits: BoxFuture<'_, Turn>) -> Asked<'_> {
        (&mut waits).now_or_never().ok_or(waits)
    }

    fn ask<'a>(turns: &'a Turns, object: ObjectKey) -> Asked<'a> {
        again(turns.take(object).boxed())
    }

    fn object(namespace: &str, number: usize) -> ObjectKey {
        ObjectKey {
            namespace: namespace.into(),
            name: format!("registry-{number}"),
        }
    }

    /// As many turns as come at once, of eighty objects.
    fn crowd(turns: &Turns, namespace: &str) -> Vec<Turn> {
        let asked: Vec<Asked<'_>> = (0..80).map(|number| ask(turns, object(namespace, number))).collect();
        asked.into_iter().filter_map(Result::ok).collect()
    }

    fn urgent_crowd(turns: &Turns, namespace: &str) -> Vec<Turn> {
        urgent_crowd_of(turns, namespace, Urgency::Opening)
    }

    fn urgent_crowd_of(turns: &Turns, namespace: &str, urgency: Urgency) -> Vec<Turn> {
        (0..80).for_each(|number| turns.hasten(object(namespace, number), urgency));
        crowd(turns, namespace)
    }

    #[test]
    fn one_namespace_leaves_turns_to_the_others_and_all_leave_some_to_emergencies() {
        let turns = Turns::new(16);
        let first = crowd(&turns, "crowd");
        assert_eq!(first.len(), 9);
        let others = crowd(&turns, "other");
        assert_eq!(others.len(), 3);
        let urgent = urgent_crowd(&turns, "crowd");
        assert_eq!(urgent.len(), 4);
        drop((first, others, urgent));

        let urgent = urgent_crowd(&turns, "crowd");
        assert_eq!(urgent.len(), 8, "nor do one namespace's emergencies take all");
    }

    #[test]
    fn an_emergency_comes_before_all_that_wait_also_where_it_waited_before() {
        let turns = Turns::new(1);
        let running = ask(&turns, object("a", 0)).ok().unwrap();
        let ordinary = ask(&turns, object("a", 1)).unwrap_err();
        let becomes_urgent = ask(&turns, object("b", 0)).unwrap_err();
        turns.hasten(object("b", 0), Urgency::Opening);
        drop(running);
        let ordinary = again(ordinary).unwrap_err();
        drop(again(becomes_urgent).ok().unwrap());
        assert!(again(ordinary).is_ok());
    }

    #[test]
    fn an_object_is_urgent_until_its_pass_begins_and_again_where_that_breaks_off() {
        let turns = Turns::new(1);
        turns.hasten(object("a", 0), Urgency::LostPath);
        let urgent = ask(&turns, object("a", 0)).ok().unwrap();
        assert!(turns.shared.queue().urgent.is_empty());
        urgent.broke_off();
        assert_eq!(
            turns.shared.queue().urgent.get(&object("a", 0)),
            Some(&Urgency::LostPath)
        );
        turns.forget(&object("a", 0));
        ask(&turns, object("a", 0)).ok().unwrap().broke_off();
        assert!(turns.shared.queue().urgent.is_empty());
    }

    #[test]
    fn lost_paths_find_turns_that_are_kept_back_and_leave_some_to_openings() {
        let turns = Turns::new(16);
        let ordinary = (crowd(&turns, "crowd"), crowd(&turns, "other"));
        let lost = urgent_crowd_of(&turns, "crowd", Urgency::LostPath);
        assert_eq!(lost.len(), 2, "of sixteen twelve are ordinary");
        let openings = urgent_crowd(&turns, "victim");
        assert_eq!(openings.len(), 2, "and two are nobody else's");
        drop((ordinary, lost, openings));

        let lost = ["a", "b"].map(|namespace| urgent_crowd_of(&turns, namespace, Urgency::LostPath));
        assert_eq!(
            lost.each_ref().map(Vec::len),
            [8, 4],
            "nor do they take all by themselves"
        );
    }

    #[test]
    fn an_opening_comes_before_lost_paths_and_those_before_all_else() {
        let turns = Turns::new(1);
        let running = ask(&turns, object("a", 0)).ok().unwrap();
        let ordinary = ask(&turns, object("a", 1)).unwrap_err();
        let lost = ask(&turns, object("b", 0)).unwrap_err();
        let opening = ask(&turns, object("c", 0)).unwrap_err();
        turns.hasten(object("b", 0), Urgency::LostPath);
        turns.hasten(object("c", 0), Urgency::Opening);
        turns.hasten(object("c", 0), Urgency::LostPath);
        drop(running);
        let lost = again(lost).unwrap_err();
        drop(
            again(opening)
                .ok()
                .expect("what tells of a lost path as well is no less urgent"),
        );
        let ordinary = again(ordinary).unwrap_err();
        drop(again(lost).ok().unwrap());
        assert!(again(ordinary).is_ok());
    }

    #[test]
    fn the_namespace_with_the_fewest_passes_comes_before_the_longest_wait() {
        let turns = Turns::new(16);
        let mut large = crowd(&turns, "large");
        let others = crowd(&turns, "other");
        let more = ask(&turns, object("large", 90)).unwrap_err();
        let small = ask(&turns, object("small", 0)).unwrap_err();
        large.pop();
        assert!(again(small).is_ok());
        drop((more, others));
    }

    #[test]
    fn who_gives_up_waiting_takes_no_turn_along() {
        let turns = Turns::new(1);
        let running = ask(&turns, object("a", 0)).ok().unwrap();
        let gave_up = ask(&turns, object("b", 0)).unwrap_err();
        let has_come = ask(&turns, object("c", 0)).unwrap_err();
        drop(gave_up);
        drop(running);
        drop(has_come);
        assert!(ask(&turns, object("d", 0)).is_ok());
        assert_eq!(turns.shared.queue().under_way(), 0);
    }

    #[test]
    fn once_closed_nobody_begins_and_the_last_to_end_ends_it() {
        let turns = Turns::new(2);
        let running = ask(&turns, object("a", 0)).ok().unwrap();
        let mut closing = turns.close().boxed();
        assert!((&mut closing).now_or_never().is_none());
        let late = ask(&turns, object("b", 0)).unwrap_err();
        drop(running);
        assert!(closing.now_or_never().is_some());
        assert!(again(late).is_err());
    }
}
