//! The perturbation campaign: each story is told once undisturbed; then once for everything that can go wrong at each of its
//! writes, reads and events. The end must be the undisturbed one's, and the witness must never object. `make test` tells a
//! pruned set, `make chaos` (`SREG_CAMPAIGN=full`) all; `SREG_CAMPAIGN_ONLY='rollback/crash-after-effect/arm PATCH'` tells
//! those whose name contains that.

pub mod courier;
pub mod frozen;
pub mod gate;
mod oracle;
mod plans;
mod run;
mod stories;
mod witness;
mod witness_tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use run::{Learned, Upset, Verdict};
use stories::Story;

/// Of the telling plans, one in so many is run by `make test`.
const STRIDE: usize = 70;

/// On a runtime of its own with paused time; a panic is a result too.
fn alone<T>(run: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(run))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panicked: {}", text.unwrap_or("no message"))
    })
}

/// Does each piece of work on one of as many threads as there are cores; answers in order.
fn spread<W: Sync, T: Send>(work: &[W], each: impl Fn(&W) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, T>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, piece)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    work.get(number).map(|piece| (number, piece))
                } {
                    let result = each(piece);
                    done.lock().unwrap().insert(number, result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

/// What was run of one story and kind, and how it went.
#[derive(Default)]
struct Tally {
    plans: usize,
    violations: usize,
    unmet: usize,
    time: Duration,
}

struct Job<'a> {
    story: &'a Story,
    learned: &'a Learned,
    upset: Upset,
}

impl Job<'_> {
    /// What `SREG_CAMPAIGN_ONLY` chooses by.
    fn name(&self) -> String {
        format!("{}/{}/{}", self.story.name, self.upset.kind(), self.upset)
    }
}

fn jobs<'a>(stories: &'a [Story], learned: &'a [Learned]) -> Vec<Job<'a>> {
    let only = std::env::var("SREG_CAMPAIGN_ONLY").ok();
    let full = std::env::var("SREG_CAMPAIGN").is_ok_and(|value| value == "full");
    let mut jobs = Vec::new();
    for (number, (story, learned)) in stories.iter().zip(learned).enumerate() {
        let own = ["lockdown", "deny-assignment"].contains(&story.name);
        let all = plans::all(learned, own);
        let chosen = match full || only.is_some() {
            true => all,
            // Another offset for each story, so that together they meet more of what all stories share.
            false => plans::pruned(all, STRIDE, number * 7),
        };
        jobs.extend(chosen.into_iter().map(|upset| Job { story, learned, upset }));
    }
    jobs.retain(|job| only.as_ref().is_none_or(|only| job.name().contains(only.as_str())));
    jobs
}

/// The stories that the choice can mean.
fn chosen_stories() -> Vec<Story> {
    let only = std::env::var("SREG_CAMPAIGN_ONLY").unwrap_or_default();
    let mut stories = stories::all();
    if let Some((name, _)) = only.split_once('/')
        && stories.iter().any(|story| story.name == name)
    {
        stories.retain(|story| story.name == name);
    }
    stories
}

#[test]
fn whatever_goes_wrong_at_any_moment_the_end_is_the_same_and_nobody_is_locked_out() {
    let stories = chosen_stories();
    let began = Instant::now();
    let learned = spread(&stories, |story| alone(run::learn(story)).and_then(|learned| learned));
    let learned: Vec<Learned> = stories
        .iter()
        .zip(learned)
        .map(|(story, learned)| learned.unwrap_or_else(|why| panic!("{}, undisturbed: {why}", story.name)))
        .collect();
    for (story, learned) in stories.iter().zip(&learned) {
        assert_eq!(learned.violations, Vec::<String>::new(), "{}, undisturbed", story.name);
        let (writes, (closings, openings)) = (learned.log.len(), learned.judged);
        println!(
            "{}: {writes} writes, {closings} closing, {openings} opening",
            story.name
        );
        assert!(
            closings >= 3 || story.name == "deny-assignment",
            "three targets were closed"
        );
    }
    println!("learned in {:?}", began.elapsed());
    let jobs = jobs(&stories, &learned);
    let results = spread(&jobs, |job| {
        let began = Instant::now();
        let verdict = alone(run::upset(job.story, &job.upset, job.learned)).unwrap_or_else(|panic| Verdict {
            violations: vec![panic],
            unmet: false,
        });
        if std::env::var("SREG_CAMPAIGN_ONLY").is_ok() {
            println!("{} {:?} {:?}", job.name(), began.elapsed(), verdict);
        }
        (verdict, began.elapsed())
    });
    let violated = print(&jobs, &results);
    println!("in {:?} with learning", began.elapsed());
    println!("{} plans, {violated} violations", jobs.len());
    assert_eq!(violated, 0);
}

fn print(jobs: &[Job<'_>], results: &[(Verdict, Duration)]) -> usize {
    let mut tallies: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
    let mut violated = 0;
    for (job, (verdict, time)) in jobs.iter().zip(results) {
        let tally = tallies.entry((job.story.name, job.upset.kind())).or_default();
        tally.plans += 1;
        tally.unmet += usize::from(verdict.unmet);
        tally.time += *time;
        if !verdict.violations.is_empty() {
            tally.violations += 1;
            violated += 1;
            println!("VIOLATED {}\n    {}", job.name(), verdict.violations.join("\n    "));
        }
    }
    println!(
        "{:<24}{:<22}{:>6}{:>12}{:>8}{:>9}",
        "workload", "upset", "plans", "violations", "unmet", "seconds"
    );
    for ((story, kind), tally) in tallies {
        println!(
            "{story:<24}{kind:<22}{:>6}{:>12}{:>8}{:>9.1}",
            tally.plans,
            tally.violations,
            tally.unmet,
            tally.time.as_secs_f64()
        );
    }
    violated
}
