//! One story, told once, with one thing going wrong or none.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sreg_domain::Action;
use sreg_runtime::leadership::LeadershipFence;
use tokio::time::Instant;

use super::courier::{Courier, How};
use super::defects::refused_plans;
use super::gate::{Call, Fault, Gate, Logged, Moment, PAUSE, Trigger};
use super::oracle::End;
use super::stories::{Stage, Story};
use super::witness::Witness;
use crate::testbed::Testbed;

/// What goes wrong, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upset {
    At(Trigger, Fault),
    Events(String, usize, How),
}

impl Upset {
    /// The end, but for what nobody is left to undo: a registry is changed by a PUT of the whole, and Azure takes no precondition there. One
    /// of a paused leader that lands after another has let the registry go brings its claim tag back (docs/safety.md, known limits). What is
    /// closed in an object's name keeps the tag: there it has to be.
    fn end_of(&self, testbed: &Testbed, undisturbed: &End) -> End {
        let end = End::of(testbed);
        match self {
            Upset::At(Trigger { call, .. }, Fault::Pause)
                if call.verb == "PUT" && call.object.starts_with("registries/") && !undisturbed.holds_claim() =>
            {
                end.without_claim_of_nobody(testbed)
            }
            Upset::At(..) | Upset::Events(..) => end,
        }
    }

    /// Its kind, for counting and choosing.
    pub fn kind(&self) -> &'static str {
        match self {
            Upset::At(_, Fault::Crash(Moment::BeforeSent)) => "crash-before-sent",
            Upset::At(_, Fault::Crash(Moment::AfterEffect)) => "crash-after-effect",
            Upset::At(_, Fault::Crash(Moment::AfterAnswer)) => "crash-after-answer",
            Upset::At(_, Fault::Refuse(409)) => "refused-409",
            Upset::At(_, Fault::Refuse(412)) => "refused-412",
            Upset::At(_, Fault::Refuse(429)) => "refused-429",
            Upset::At(_, Fault::Refuse(_)) => "refused-503",
            Upset::At(_, Fault::StrayNotFound(1)) => "stray-404",
            Upset::At(_, Fault::StrayNotFound(_)) => "stray-404s",
            Upset::At(_, Fault::Ignore) => "accepted-in-vain",
            Upset::At(_, Fault::LoseAnswer) => "answer-lost",
            Upset::At(_, Fault::EraseStatus) => "status-erased",
            Upset::At(_, Fault::StaleAzure) => "stale-azure",
            Upset::At(_, Fault::Pause) => "leader-paused",
            Upset::Events(_, _, How::Lost) => "event-lost",
            Upset::Events(_, _, How::Doubled) => "event-doubled",
            Upset::Events(_, _, How::Merged) => "events-merged",
        }
    }
}

impl fmt::Display for Upset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upset::At(trigger, _) => write!(f, "{trigger}"),
            Upset::Events(kind, nth, _) => write!(f, "watch {kind} #{nth}"),
        }
    }
}

/// What a run without upset teaches.
pub struct Learned {
    pub end: End,
    pub log: Vec<Logged>,
    /// How often each question was asked of Azure.
    pub reads: Vec<(Call, usize)>,
    /// Of each kind that is watched, how many events arrived before anybody did anything, and in all.
    pub events: Vec<(String, usize, usize)>,
    pub violations: Vec<String>,
    /// Closing and opening writes that the witness judged.
    pub judged: (usize, usize),
    /// What was done at least once, in the words of [`sreg_domain::Action::name`].
    pub actions: BTreeSet<&'static str>,
}

/// How a run with an upset ended.
#[derive(Debug, Default)]
pub struct RunEnd {
    pub violations: Vec<String>,
    /// The trigger never came.
    pub unmet: bool,
}

/// How long a new operator takes to come after a crash.
const ABSENCE: Duration = Duration::from_secs(5);
/// What is left of the lease of a process that is paused. Then another one leads.
const LEASE: Duration = Duration::from_secs(30);
/// A world is quiet when nothing was written for this long: longer than `drift.interval` (2m), after which at the latest the
/// next visit looks whether all is as it should be, and longer than `dnsSettle` (75s), after which a lock may still come.
const QUIET: Duration = Duration::from_secs(150);
const PATIENCE: Duration = Duration::from_secs(1800);

/// Tells the story to its end and waits until nothing is written any more.
pub async fn learn(story: &Story) -> Result<Learned, String> {
    let testbed = story.set_up();
    let witness = Arc::new(Witness::new(&testbed));
    let gate = Gate::of(None, &testbed.api, Arc::clone(&witness));
    testbed.api.deliver_by(Courier::new(None));
    let operator = testbed.start_through(&gate, testbed.leadership.clone());
    let stage = Stage {
        testbed: &testbed,
        gate: &gate,
    };
    story.tell(&stage).await?;
    let told = Instant::now();
    while gate.last_write().is_some_and(|last| last.elapsed() < 2 * QUIET) {
        if told.elapsed() > PATIENCE {
            return Err("writes without end".into());
        }
        tokio::time::sleep(QUIET / 10).await;
    }
    let all = testbed.api.courier(Courier::counts);
    let before = gate.events_before();
    let before_of = |kind: &String| {
        before
            .iter()
            .find(|(other, _)| other == kind)
            .map_or(0, |(_, count)| *count)
    };
    let learned = Learned {
        end: End::of(&testbed),
        log: gate.log(),
        reads: gate.azure_reads(),
        events: all
            .into_iter()
            .map(|(kind, count)| (kind.clone(), before_of(&kind), count))
            .collect(),
        violations: [witness.violations(), refused_plans(&testbed.api)].concat(),
        judged: witness.judged(),
        actions: actions_done(&operator.context.metrics.encode()),
    };
    operator.kill().await;
    Ok(learned)
}

/// By the operator's own metrics: nothing is judged by them.
fn actions_done(metrics: &str) -> BTreeSet<&'static str> {
    let done = |action: &&str| {
        let counted = |result: &str| format!("secureregistry_steps_total{{action=\"{action}\",result=\"{result}\"}} ");
        metrics.contains(&counted("done")) || metrics.contains(&counted("started"))
    };
    Action::names().filter(done).collect()
}

/// Tells the story with the upset, and compares.
pub async fn upset(story: &Story, upset: &Upset, learned: &Learned) -> RunEnd {
    let testbed = story.set_up();
    let witness = Arc::new(Witness::new(&testbed));
    let (fault, courier) = match upset {
        Upset::At(trigger, fault) => (Some((trigger.clone(), *fault)), None),
        Upset::Events(kind, nth, how) => (None, Some((kind.clone(), *nth, *how))),
    };
    testbed.api.deliver_by(Courier::new(courier));
    let first = Gate::of(fault, &testbed.api, Arc::clone(&witness));
    let second = Gate::of(None, &testbed.api, Arc::clone(&witness));
    let mut verdict = RunEnd::default();
    tokio::select! {
        told = tell(story, upset, &testbed, &first, &second, learned) => match told {
            Ok(unmet) => verdict.unmet = unmet,
            Err(why) => verdict.violations.push(why),
        },
        () = operate(&testbed, &first, &second) => {}
    }
    verdict.violations.extend(witness.violations());
    verdict.violations.extend(refused_plans(&testbed.api));
    verdict
}

/// One process, and after its death another. Never ends.
async fn operate(testbed: &Testbed, first: &Gate, second: &Gate) {
    let lease = Arc::new(Lease::default());
    let operator = testbed.start_through(first, lease.clone());
    tokio::select! {
        () = first.died() => {
            operator.kill().await;
            tokio::time::sleep(ABSENCE).await;
            let _operator = testbed.start_through(second, testbed.leadership.clone());
            std::future::pending::<()>().await;
        }
        () = first.paused() => {
            lease.expires_in(LEASE);
            tokio::time::sleep(LEASE).await;
            let _operator = testbed.start_through(second, testbed.leadership.clone());
            // What finds its lease expired ends itself, though not before it was woken.
            tokio::time::sleep(PAUSE - LEASE + Duration::from_secs(1)).await;
            first.close();
            operator.kill().await;
            std::future::pending::<()>().await;
        }
    }
}

/// What the first process knows of its leadership: for ever, until it is paused and cannot renew.
#[derive(Debug, Default)]
struct Lease(Mutex<Option<Instant>>);

impl Lease {
    fn expires_in(&self, rest: Duration) {
        *self.0.lock().unwrap() = Some(Instant::now() + rest);
    }
}

impl LeadershipFence for Lease {
    fn held_for(&self) -> Option<Duration> {
        match *self.0.lock().unwrap() {
            None => Some(Duration::from_secs(3600)),
            Some(until) => Some(until - Instant::now()).filter(|rest| !rest.is_zero()),
        }
    }
}

/// The story, and then the end that must come. True where the upset never came by.
async fn tell(
    story: &Story,
    upset: &Upset,
    testbed: &Testbed,
    first: &Gate,
    second: &Gate,
    learned: &Learned,
) -> Result<bool, String> {
    story.tell(&Stage { testbed, gate: first }).await?;
    let told = Instant::now();
    let quiet = || {
        let last = first.last_write().max(second.last_write());
        last.is_none_or(|last| last.elapsed() > QUIET)
    };
    loop {
        let quiet = quiet();
        // Only where it stays is it the end.
        if quiet && upset.end_of(testbed, &learned.end) == learned.end {
            return Ok(!(first.met() && testbed.api.courier(Courier::met)));
        }
        if told.elapsed() > PATIENCE {
            let lines = learned.end.difference(&upset.end_of(testbed, &learned.end));
            let writes = [first.log(), second.log()].concat();
            let latest = writes.iter().rev().take(6).map(|write| write.trigger.to_string());
            let latest: Vec<String> = latest.collect();
            let never_quiet = match quiet {
                true => String::new(),
                false => format!("still writing, the latest first: {}; ", latest.join(", ")),
            };
            return Err(format!("not the end that must come: {never_quiet}{}", lines.join("; ")));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}
