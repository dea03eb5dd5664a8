//! What a campaign is called in the end: how many plans, how many were violated, how many judged nothing because their moment
//! never came. A campaign that judged too little fails like one that found something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Job;
use super::run::RunEnd;

/// Of all plans one in so many may miss its moment: a run is not the same to the letter each time, so that one event or report
/// more or less passes by.
const UNMET_SHARE: usize = 20;
/// So few may do so in any case: of the pruned plans, a share would be a matter of luck.
const UNMET_HANDFUL: usize = 5;

/// What was run of one story and kind, and how it went.
#[derive(Default)]
struct Tally {
    plans: usize,
    violations: usize,
    unmet: usize,
    time: Duration,
}

/// One line per story and kind, then the plans that were violated, each with the words to run it again.
#[derive(Default)]
pub struct Summary {
    tallies: BTreeMap<(String, &'static str), Tally>,
    /// Plans in which something went wrong, or undisturbed runs.
    violated: usize,
    /// Stories of which a plan was judged whose moment came.
    judged: BTreeSet<String>,
    unmet: Vec<String>,
    plans: usize,
    untold: Vec<String>,
}

impl Summary {
    /// A story that went wrong by itself.
    pub fn undisturbed(&mut self, story: &str, violations: &[String]) {
        if !violations.is_empty() {
            self.violated += 1;
            println!("VIOLATED {story}, undisturbed\n    {}", violations.join("\n    "));
        }
    }

    /// Actions of the planner's that no story tells of.
    pub fn untold(&mut self, actions: &[&str]) {
        self.untold = actions.iter().map(ToString::to_string).collect();
    }

    pub fn plan(&mut self, job: &Job<'_>, verdict: &RunEnd, time: Duration) {
        let tally = self
            .tallies
            .entry((job.story.name.to_owned(), job.upset.kind()))
            .or_default();
        self.plans += 1;
        tally.plans += 1;
        tally.time += time;
        if verdict.unmet {
            tally.unmet += 1;
            self.unmet.push(job.name());
        } else {
            self.judged.insert(job.story.name.to_owned());
        }
        if !verdict.violations.is_empty() {
            tally.violations += 1;
            self.violated += 1;
            println!(
                "VIOLATED {}\n    {}\n    again: {}",
                job.name(),
                verdict.violations.join("\n    "),
                again(&job.name())
            );
        }
    }

    /// Prints everything; the last line is the count. Answers why the campaign failed, if it did.
    pub fn conclude(self, stories: &[&str], time: Duration) -> Result<(), String> {
        println!(
            "{:<24}{:<22}{:>6}{:>12}{:>8}{:>9}",
            "workload", "upset", "plans", "violations", "unmet", "seconds"
        );
        for ((story, kind), tally) in &self.tallies {
            println!(
                "{story:<24}{kind:<22}{:>6}{:>12}{:>8}{:>9.1}",
                tally.plans,
                tally.violations,
                tally.unmet,
                tally.time.as_secs_f64()
            );
        }
        for name in &self.unmet {
            println!("unmet: {name}");
        }
        println!(
            "{} of {} plans unmet, in {time:?} with learning",
            self.unmet.len(),
            self.plans
        );
        let wrong = self.wrong(stories);
        for why in &wrong {
            println!("FAILED {why}");
        }
        println!("{} plans, {} violations", self.plans, self.violated);
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("; ")),
        }
    }

    fn wrong(&self, stories: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.violated > 0 {
            wrong.push(format!("{} runs were violated", self.violated));
        }
        if self.plans == 0 {
            wrong.push("no plan was run".to_owned());
        }
        if !self.untold.is_empty() {
            wrong.push(format!("no story tells of {}", self.untold.join(", ")));
        }
        let borne = (self.plans / UNMET_SHARE).max(UNMET_HANDFUL);
        if self.unmet.len() > borne {
            wrong.push(format!(
                "{} plans never met their moment, and {borne} may",
                self.unmet.len()
            ));
        }
        for story in stories.iter().filter(|story| !self.judged.contains(**story)) {
            wrong.push(format!("no plan of {story} was judged"));
        }
        wrong
    }
}

/// The words that run one plan again.
pub fn again(name: &str) -> String {
    let quoted = name.replace('\'', r"'\''");
    format!("SREG_CAMPAIGN_ONLY='{quoted}' cargo test --workspace --test passes -- campaign:: --nocapture")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(plans: usize, unmet: usize, violated: usize) -> Summary {
        Summary {
            violated,
            judged: (plans > unmet).then(|| "lockdown".to_owned()).into_iter().collect(),
            unmet: vec!["one".to_owned(); unmet],
            plans,
            ..Summary::default()
        }
    }

    #[test]
    fn a_campaign_fails_that_judged_nothing_or_too_little() {
        let wrong = |plans, unmet, violated| of(plans, unmet, violated).wrong(&["lockdown"]);
        assert_eq!(wrong(10, 0, 0), Vec::<String>::new());
        assert_eq!(wrong(10, 5, 0), Vec::<String>::new(), "a handful is borne");
        assert_eq!(wrong(1000, 50, 0), Vec::<String>::new(), "so is a small share");
        assert!(wrong(0, 0, 0)[0].contains("no plan was run"));
        assert!(wrong(10, 6, 0)[0].contains("never met"));
        assert!(wrong(1000, 51, 0)[0].contains("never met"));
        assert!(wrong(1000, 0, 1)[0].contains("violated"));
        assert!(wrong(3, 3, 0)[0].contains("no plan of lockdown"));
        assert!(of(3, 0, 0).wrong(&["lockdown", "drift"])[0].contains("no plan of drift"));
    }

    #[test]
    fn the_words_to_run_a_plan_again_survive_a_shell() {
        assert!(
            again("drift/x/people does somebody's #1")
                .starts_with(r"SREG_CAMPAIGN_ONLY='drift/x/people does somebody'\''s #1' ")
        );
    }
}
