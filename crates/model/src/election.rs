//! The lease and its fence: two candidates with the real [`Fence`], one Lease with the protocol of `kube-lease-manager`, and
//! between them messages that arrive late or not at all, processes that stand still at any point, clocks that differ, answers
//! that are lost.
//!
//! ```text
//! crate (per candidate)                     fence (per candidate)            writes
//! look if what it knows has expired         read ──► learn, any time later   sent while more is left than it may take,
//! holder: renew ┐                                                            land until its time and the server's are over
//! free:   take  ├─ patch lands, late or never, answered or not
//! expired: clear┘
//! ```
//!
//! A second is the unit. What the protocol does without precondition is without one here: a renewal writes `renewTime` whoever
//! holds the Lease by then, a clearing clears what it meets. Taking it is an apply without force, which conflicts with another
//! holder. Standing still is nothing special: whatever a process might do, it may do later, but for what is bounded:
//!
//! * a patch lands at most [`Times::delay`] after the process looked for the last time (pause and network together);
//! * a clearing lands at once. Without this bound no margin is enough, and a test shows it: a clearing that was decided before the
//!   other candidate took the Lease, and lands after, frees what is held. What helps then is that every write of ours carries a
//!   precondition and is idempotent;
//! * a patch that never lands is one that was never decided: it changes nothing that anybody sees;
//! * a write lands at most [`Times::lag`] after its sender gave it up.
//!
//! # Bounds
//!
//! Two candidates; a Lease of five seconds with a margin of two and writes of one. All is explored until the horizon: eight seconds
//! (nine in the whole campaign), enough for the Lease to go on to the other once, not for it to come back and go on again. The
//! second candidate's clock is a second ahead, or behind; reads are answered in the same second, or up to one later (ahead, until
//! seven seconds; in the whole campaign also behind, until eight). It begins with a Lease that the first has just taken, or with one
//! that somebody left who is gone (until five seconds, seven in the whole campaign). In the safe settings a clearing lands at once
//! and a write ends when its sender gives it up.
//!
//! Abstracted: the poke that makes a standby look earlier (it only looks), a clock that is set (the fence lapses at once; its own
//! tests), a third candidate.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use sreg_runtime::leadership::{Fence, LeaseSettings, Moment, Reading};
use stateright::{Model, Property};
use tokio::time::Instant;

/// Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Of the Lease.
    pub duration: u8,
    /// Before its end it is renewed.
    pub grace: u8,
    /// Before its end it is not relied on any more.
    pub margin: u8,
    /// What a write may take.
    pub write: u8,
    /// What the server may still do with a write that its sender gave up.
    pub lag: u8,
    /// Between the last look and the landing of a patch.
    pub delay: u8,
    /// The same for a clearing.
    pub clearing_delay: u8,
    /// Between a read of the Lease and the fence's learning of it.
    pub read_delay: u8,
    /// The second candidate's clock is ahead or behind by this.
    pub skew: i8,
    /// A write is sent only while more time is left than it may take.
    pub asks_for_the_rest: bool,
    /// At the beginning the Lease names somebody who is gone, and has expired; otherwise the first holds it.
    pub former_holder: bool,
    /// How long is explored.
    pub horizon: u8,
}

impl Times {
    /// The settings of a process with these times; the product judges them.
    pub fn settings(&self) -> LeaseSettings {
        let seconds = |s: u8| Duration::from_secs(u64::from(s));
        let mut settings = LeaseSettings::new("ns", "leader", "candidate");
        settings.duration = seconds(self.duration);
        settings.grace = seconds(self.grace);
        settings.margin = seconds(self.margin);
        settings.read_every = Duration::from_millis(500);
        settings
    }
}

/// The model.
pub struct Election {
    /// Times.
    pub times: Times,
    start: Instant,
}

/// What one crate knows of the Lease, by its last look. Times are stamps of a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    holder: Option<u8>,
    /// It looks again after this.
    expires: i16,
}

/// The Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Lease {
    holder: Option<u8>,
    renewed: Option<i16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Patch {
    Renew(i16),
    Take(i16),
    Clear,
}

/// One candidate.
#[derive(Debug, Clone)]
struct Candidate {
    fence: Fence,
    /// What decides how the fence goes on, beside until when it holds: its last read. (Its last moment counts only when clocks
    /// are set.)
    told: Option<(u8, Lease)>,
    known: Known,
    /// A patch under way, and when it was decided.
    patch: Option<(Patch, u8)>,
    /// A read whose answer is under way, and when it was asked.
    read: Option<(Lease, u8)>,
    /// When the write under way was sent.
    write: Option<u8>,
}

/// One moment.
#[derive(Debug, Clone)]
pub struct Scene {
    now: u8,
    lease: Lease,
    candidates: [Candidate; 2],
    skew: i8,
    start: Instant,
}

/// What happens next. Numbers are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A second passes.
    Second,
    /// The crate looks if it must, and sends what follows.
    Decide(usize),
    /// Its patch lands; answered or not.
    Lands(usize, bool),
    /// The fence's reader reads.
    Read(usize),
    /// The answer arrives.
    Learn(usize),
    /// A write is sent.
    Write(usize),
    /// It is over.
    Over(usize),
    /// The process gives the Lease up and ends.
    Resign(usize),
}

impl Election {
    /// A model with these times.
    pub fn new(times: Times) -> Election {
        Election {
            times,
            // Monotonic clocks have no zero of their own.
            start: Instant::now() + Duration::from_secs(3600),
        }
    }
}

impl Scene {
    fn wall(&self, k: usize) -> i16 {
        i16::from(self.now) + if k == 1 { i16::from(self.skew) } else { 0 }
    }

    fn instant(&self, second: u8) -> Instant {
        self.start + Duration::from_secs(u64::from(second))
    }

    fn moment(&self, k: usize) -> Moment {
        let instant = self.instant(self.now);
        Moment {
            earliest: instant,
            wall: stamp(self.wall(k)),
            latest: instant,
        }
    }

    /// Time that the fence leaves to this candidate.
    fn held(&self, k: usize) -> Option<u8> {
        let left = self.candidates[k].fence.clone().held_for(self.moment(k))?;
        u8::try_from(left.as_secs()).ok()
    }

    fn key(&self) -> impl Hash + Eq + '_ {
        let of = |c: &Candidate| {
            let until = c.fence.held_until().map(|until| until.duration_since(self.start));
            (
                until,
                c.fence.lapse().is_some(),
                c.told,
                c.known,
                c.patch,
                c.read,
                c.write,
            )
        };
        let [a, b] = &self.candidates;
        (self.now, self.lease, of(a), of(b), self.skew)
    }
}

impl PartialEq for Scene {
    fn eq(&self, other: &Scene) -> bool {
        self.key() == other.key()
    }
}

impl Hash for Scene {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

fn stamp(wall: i16) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::from(wall)).unwrap()
}

fn name(k: usize) -> &'static str {
    ["first", "second", "a former one"][k]
}

impl Model for Election {
    type State = Scene;
    type Action = Event;

    fn init_states(&self) -> Vec<Scene> {
        let margin = Duration::from_secs(u64::from(self.times.margin));
        let candidate = |k: usize| Candidate {
            fence: Fence::new(name(k), margin),
            told: None,
            known: Known {
                holder: None,
                expires: -1,
            },
            patch: None,
            read: None,
            write: None,
        };
        // Only while neither holds the Lease is one ahead of the other the same as the other behind the one.
        let mut scene = Scene {
            now: 0,
            lease: if self.times.former_holder {
                Lease {
                    holder: Some(2),
                    renewed: Some(-i16::from(self.times.duration) - 1),
                }
            } else {
                Lease::default()
            },
            candidates: [candidate(0), candidate(1)],
            skew: self.times.skew,
            start: self.start,
        };
        if !self.times.former_holder {
            // The first has just taken the Lease and knows it.
            scene.lease = Lease {
                holder: Some(0),
                renewed: Some(0),
            };
            learn(&mut scene, 0, (Lease::default(), 0), &self.times);
            let lease = scene.lease;
            learn(&mut scene, 0, (lease, 0), &self.times);
            scene
                .candidates
                .iter_mut()
                .for_each(|c| c.known = look(lease, &self.times));
        }
        vec![scene]
    }

    fn actions(&self, scene: &Scene, events: &mut Vec<Event>) {
        let times = &self.times;
        let mut may_pass = scene.now < times.horizon;
        for (k, c) in scene.candidates.iter().enumerate() {
            if let Some((patch, decided)) = c.patch {
                let delay = if patch == Patch::Clear {
                    times.clearing_delay
                } else {
                    times.delay
                };
                may_pass &= scene.now - decided < delay;
                events.extend([Event::Lands(k, true), Event::Lands(k, false)]);
            }
            // A read is answered in the second in which it is asked, or, where `read_delay` says so, later.
            may_pass &= c.read.is_none_or(|(_, asked)| scene.now - asked < times.read_delay);
            if let Some(sent) = c.write {
                may_pass &= scene.now - sent < times.write + times.lag;
                events.push(Event::Over(k));
            }
            if c.fence.lapse().is_some() {
                continue;
            }
            if c.patch.is_none() {
                events.push(Event::Decide(k));
            }
            events.push(if c.read.is_some() {
                Event::Learn(k)
            } else {
                Event::Read(k)
            });
            if c.write.is_none() {
                events.push(Event::Write(k));
                if scene.held(k).is_some() && c.patch.is_none() {
                    events.push(Event::Resign(k));
                }
            }
        }
        if may_pass {
            events.push(Event::Second);
        }
    }

    fn next_state(&self, last: &Scene, event: Event) -> Option<Scene> {
        let times = &self.times;
        let mut scene = last.clone();
        let now = scene.now;
        match event {
            Event::Second => {
                scene.now += 1;
                for k in 0..2 {
                    // Whether a fence whose time is over has noticed yet makes no difference: it answers the same.
                    let moment = scene.moment(k);
                    scene.candidates[k].fence.held_for(moment);
                }
            }
            Event::Decide(k) => {
                let (wall, lease) = (scene.wall(k), scene.lease);
                let c = &mut scene.candidates[k];
                if wall > c.known.expires {
                    c.known = look(lease, times);
                }
                let me = Some(u8::try_from(k).ok()?);
                let patch = match c.known.holder {
                    holder if holder == me => {
                        (wall >= c.known.expires - i16::from(times.grace)).then_some(Patch::Renew(wall))
                    }
                    None => Some(Patch::Take(wall)),
                    Some(_) => (wall > c.known.expires).then_some(Patch::Clear),
                };
                if patch == Some(Patch::Clear) && times.clearing_delay == 0 {
                    // Nothing comes between look and clearing.
                    scene.lease = Lease::default();
                    scene.candidates[k].known = look(scene.lease, times);
                } else {
                    c.patch = patch.map(|patch| (patch, now));
                }
            }
            Event::Lands(k, answered) => {
                let (patch, _) = scene.candidates[k].patch.take()?;
                let me = u8::try_from(k).ok()?;
                match patch {
                    Patch::Renew(at) => scene.lease.renewed = Some(at),
                    Patch::Take(at) if scene.lease.holder.is_none_or(|h| h == me) => {
                        scene.lease = Lease {
                            holder: Some(me),
                            renewed: Some(at),
                        };
                    }
                    // A conflict.
                    Patch::Take(_) => {}
                    Patch::Clear => scene.lease = Lease::default(),
                }
                if answered {
                    scene.candidates[k].known = look(scene.lease, times);
                }
            }
            Event::Read(k) if times.read_delay == 0 => learn(&mut scene, k, (last.lease, now), times),
            Event::Read(k) => scene.candidates[k].read = Some((scene.lease, now)),
            Event::Learn(k) => {
                let read = scene.candidates[k].read.take()?;
                learn(&mut scene, k, read, times);
            }
            Event::Write(k) => {
                let moment = scene.moment(k);
                let c = &mut scene.candidates[k];
                let left = c.fence.held_for(moment);
                let needed = Duration::from_secs(u64::from(times.write));
                let enough = |left: Duration| left > needed || !times.asks_for_the_rest;
                c.write = left.filter(|left| enough(*left)).map(|_| now);
            }
            Event::Over(k) => scene.candidates[k].write = None,
            Event::Resign(k) => {
                scene.candidates[k].fence.resign();
                if times.clearing_delay == 0 {
                    scene.lease = Lease::default();
                } else {
                    scene.candidates[k].patch = Some((Patch::Clear, now));
                }
            }
        }
        (scene != *last).then_some(scene)
    }

    fn properties(&self) -> Vec<Property<Election>> {
        vec![
            Property::always(ALONE, |_, scene: &Scene| {
                !(0..2).any(|k| {
                    let other = 1 - k;
                    scene.candidates[k].write.is_some()
                        && (scene.candidates[other].write.is_some() || scene.held(other).is_some())
                })
            }),
            Property::sometimes("somebody leads", |_, scene: &Scene| {
                (0..2).any(|k| scene.held(k).is_some())
            }),
            Property::sometimes("a renewal lands", |_, scene: &Scene| {
                let before = |c: &Candidate| c.told.map(|(_, lease)| lease);
                scene.candidates.iter().filter_map(before).any(|lease| {
                    lease.holder.is_some() && lease.holder == scene.lease.holder && lease.renewed < scene.lease.renewed
                })
            }),
            Property::sometimes("leadership goes on to the other", |_, scene: &Scene| {
                (0..2).any(|k| scene.held(k).is_some() && scene.candidates[1 - k].fence.lapse().is_some())
            }),
            Property::sometimes("a fence lapses", |_, scene: &Scene| {
                scene.candidates.iter().any(|c| c.fence.lapse().is_some())
            }),
            Property::sometimes("a write is under way", |_, scene: &Scene| {
                scene.candidates.iter().any(|c| c.write.is_some())
            }),
        ]
    }
}

/// What a look tells. A Lease without holder is looked at again before anything is done with it.
fn look(lease: Lease, times: &Times) -> Known {
    Known {
        holder: lease.holder,
        expires: lease.renewed.map_or(-1, |at| at + i16::from(times.duration)),
    }
}

/// Never two at once.
pub const ALONE: &str = "while a write of one is under way, the other may not write";

fn learn(scene: &mut Scene, k: usize, (lease, asked): (Lease, u8), times: &Times) {
    let moment = scene.moment(k);
    let reading = Reading {
        holder: lease.holder.map(|h| name(usize::from(h)).to_owned()),
        renewed: lease.renewed.map(stamp),
        duration: lease.holder.map(|_| Duration::from_secs(u64::from(times.duration))),
    };
    let asked_at = scene.instant(asked);
    let c = &mut scene.candidates[k];
    c.fence.learn(asked_at, &reading, moment);
    c.told = Some((asked, lease));
}
