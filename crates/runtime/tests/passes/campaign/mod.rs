//! The perturbation campaign: each story is told once undisturbed; then once for everything that can go wrong at each of its
//! writes, reads and events. The end must be the undisturbed one's, and the witness must never object. `make test` tells a
//! pruned set, `make chaos` (`SREG_CAMPAIGN=full`) all; `SREG_CAMPAIGN_ONLY='rollback/crash-after-effect/arm PATCH'` tells
//! the plan of that name, or those whose name contains that.

mod azures;
pub mod courier;
mod defects;
pub mod frozen;
pub mod gate;
mod oracle;
mod plans;
mod run;
mod stories;
mod strangers;
mod summary;
pub mod witness;
mod witness_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use defects::alone;
use sreg_domain::Action;

use run::{Learned, RunEnd, Upset};
use stories::Story;
use summary::Summary;

/// So many plans of each story are run by `make test`.
const OF_EACH: usize = 3;

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

fn jobs<'a>(stories: &'a [Story], learned: &'a [Option<Learned>]) -> Vec<Job<'a>> {
    let only = only();
    let full = std::env::var("SREG_CAMPAIGN").is_ok_and(|value| value == "full");
    let told: Vec<(&Story, &Learned)> = stories
        .iter()
        .zip(learned)
        .filter_map(|(story, learned)| Some((story, learned.as_ref()?)))
        .collect();
    let all: Vec<Vec<Upset>> = told
        .iter()
        .map(|(story, learned)| plans::all(learned, story.beginning))
        .collect();
    for ((story, _), all) in told.iter().zip(&all) {
        println!("{}: {} plans in full", story.name, all.len());
    }
    let chosen = match full || only.is_some() {
        true => all,
        false => plans::pruned(all, OF_EACH),
    };
    let mut jobs = Vec::new();
    for ((story, learned), chosen) in told.into_iter().zip(chosen) {
        jobs.extend(chosen.into_iter().map(|upset| Job { story, learned, upset }));
    }
    if let Some(only) = only {
        let exactly = jobs.iter().any(|job| job.name() == only);
        jobs.retain(|job| match exactly {
            true => job.name() == only,
            false => job.name().contains(&only),
        });
    }
    jobs
}

/// What was asked for by name; nothing in particular where the name is empty.
fn only() -> Option<String> {
    std::env::var("SREG_CAMPAIGN_ONLY").ok().filter(|only| !only.is_empty())
}

/// The stories that the choice can mean.
fn chosen_stories() -> Vec<Story> {
    let only = only().unwrap_or_default();
    let mut stories = stories::all();
    if let Some((name, _)) = only.split_once('/')
        && stories.iter().any(|story| story.name == name)
    {
        stories.retain(|story| story.name == name);
    }
    stories
}

/// Tells a story undisturbed. A story that goes wrong by itself teaches nothing.
fn learn(story: &Story) -> Result<Learned, Vec<String>> {
    let (learned, mut violations) = alone(run::learn(story));
    let learned = match learned {
        Some(Ok(learned)) => learned,
        Some(Err(why)) => {
            violations.push(why);
            return Err(violations);
        }
        None => return Err(violations),
    };
    violations.extend(learned.violations.iter().cloned());
    let (writes, (closings, openings)) = (learned.log.len(), learned.judged);
    println!(
        "{}: {writes} writes, {closings} closing, {openings} opening",
        story.name
    );
    if closings < 3 {
        violations.push("not all three targets were closed".to_owned());
    }
    match violations.is_empty() {
        true => Ok(learned),
        false => Err(violations),
    }
}

/// What the planner can plan and no story told has a use for.
fn actions_untold<'a>(learned: impl Iterator<Item = &'a Learned>) -> Vec<&'static str> {
    let told: BTreeSet<&str> = learned.flat_map(|learned| learned.actions.iter().copied()).collect();
    Action::names().filter(|action| !told.contains(action)).collect()
}

/// How many plans of each story are still to be told. A whole campaign takes hours: who has to stop it knows what it has told.
struct Progress {
    began: Instant,
    stories: Mutex<BTreeMap<&'static str, (usize, usize)>>,
}

impl Progress {
    fn of(jobs: &[Job<'_>]) -> Progress {
        let mut stories: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
        for job in jobs {
            stories.entry(job.story.name).or_default().0 += 1;
        }
        Progress {
            began: Instant::now(),
            stories: Mutex::new(stories),
        }
    }

    /// A plan of this story was told.
    fn told(&self, story: &'static str, verdict: &RunEnd) {
        let mut stories = self.stories.lock().unwrap();
        let Some((left, violated)) = stories.get_mut(story) else {
            return;
        };
        *left -= 1;
        *violated += usize::from(!verdict.violations.is_empty());
        if *left == 0 {
            let took = self.began.elapsed();
            println!("{story}: every plan told {took:.0?} after the first, {violated} violated");
        }
    }
}

fn run(job: &Job<'_>, progress: &Progress) -> (RunEnd, Duration) {
    let began = Instant::now();
    let mut verdict = judge(job);
    if !verdict.violations.is_empty() {
        let again = judge(job).violations;
        println!("violated: {}", job.name());
        verdict.violations.push(match again.is_empty() {
            true => "told a second time it went well: it hangs on chance (jitter, round numbers)".to_owned(),
            false => "told a second time it was violated too".to_owned(),
        });
    }
    if only().is_some() {
        println!("{} {:?} {verdict:?}", job.name(), began.elapsed());
    }
    progress.told(job.story.name, &verdict);
    (verdict, began.elapsed())
}

fn judge(job: &Job<'_>) -> RunEnd {
    let (verdict, panics) = alone(run::upset(job.story, &job.upset, job.learned));
    let mut verdict = verdict.unwrap_or_default();
    verdict.violations.extend(panics);
    verdict
}

#[test]
fn whatever_goes_wrong_at_any_moment_the_end_is_the_same_and_nobody_is_locked_out() {
    let stories = chosen_stories();
    let began = Instant::now();
    let mut summary = Summary::default();
    let learned: Vec<Option<Learned>> = spread(&stories, learn)
        .into_iter()
        .zip(&stories)
        .map(|(learned, story)| match learned {
            Ok(learned) => Some(learned),
            Err(violations) => {
                summary.undisturbed(story.name, &violations);
                None
            }
        })
        .collect();
    println!("learned in {:?}", began.elapsed());
    if only().is_none() {
        summary.untold(&actions_untold(learned.iter().flatten()));
    }
    let jobs = jobs(&stories, &learned);
    let progress = Progress::of(&jobs);
    for (job, (verdict, time)) in jobs.iter().zip(spread(&jobs, |job| run(job, &progress))) {
        summary.plan(job, &verdict, time);
    }
    // Who asks for certain plans asks for no others.
    let expected: Vec<&str> = match only() {
        Some(_) => Vec::new(),
        None => stories.iter().map(|story| story.name).collect(),
    };
    if let Err(why) = summary.conclude(&expected, began.elapsed()) {
        panic!("{why}");
    }
}
