//! How the paths of one probe stand: the pure half of the agent. A question (generation and spec) and the attempts of one
//! sweep go in; the status comes out, and whether it says anything that the published one does not. What servers said in their
//! answers is harmless before anybody reads it.
//!
//! ```text
//! attempt     successes          failures           in a round (round ≠ 0), each up to consecutiveSuccesses
//! Succeeded   + 1                0
//! Failed      0                  + 1
//! Unknown     0                  0                  no success and no failure, so neither is "in a row" any more
//! ```
//! Outside rounds both stay 0. Every new question starts all counts at 0 at once, even one that only changes the interval:
//! what is counted answers exactly the generation, round and subject that the status echoes. A sweep begun under another
//! generation is discarded whole.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::probe::{ConnectivityProbeSpec, ConnectivityProbeStatus, PathResult, ProbeOutcome, ProbePath};
use sreg_domain::outside::words;
use sreg_probe::Attempt;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// `metadata.generation` of the probe.
    pub generation: i64,
    /// Its spec.
    pub spec: ConnectivityProbeSpec,
}

/// One attempt at each path of a question, in the spec's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Generation of the question under which the attempts began.
    pub generation: i64,
    /// What they found.
    pub attempts: Vec<Attempt>,
}

/// How the paths of one probe stand.
#[derive(Debug, Clone, PartialEq)]
pub struct PathResults {
    question: Question,
    results: Vec<PathResult>,
    /// What was last known of each path, for transition times: it outlives the question.
    known: Vec<(String, ProbeOutcome, Option<Time>)>,
    swept: bool,
}

impl PathResults {
    /// A probe seen for the first time. `published` is its status as found (an earlier life of this agent wrote it): only
    /// transition times are taken from it, never counts.
    pub fn new(question: Question, published: Option<&ConnectivityProbeStatus>) -> Self {
        let known = published.map(|status| known_of(&status.results)).unwrap_or_default();
        PathResults {
            results: untried(&question.spec.paths),
            question,
            known,
            swept: false,
        }
    }

    /// What is being asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Takes the next question. All counts start again.
    pub fn ask(&mut self, question: Question) {
        if self.swept {
            self.known = known_of(&self.results);
        }
        self.results = untried(&question.spec.paths);
        self.question = question;
        self.swept = false;
    }

    /// Takes the attempts of one sweep; `false` when they answer another question and were discarded. `now` is for people.
    pub fn take(&mut self, sweep: &Sweep, now: Timestamp) -> bool {
        if sweep.generation != self.question.generation || sweep.attempts.len() != self.results.len() {
            return false;
        }
        let most = if self.question.spec.round == 0 {
            0
        } else {
            self.question.spec.consecutive_successes
        };
        for (result, attempt) in self.results.iter_mut().zip(&sweep.attempts) {
            let changed_at = match (self.swept, self.known.iter().find(|(fqdn, ..)| *fqdn == result.fqdn)) {
                (true, _) if result.outcome == attempt.outcome => result.last_transition_time.clone(),
                (false, Some((_, outcome, at))) if *outcome == attempt.outcome => at.clone(),
                (true | false, _) => None,
            };
            let (successes, failures) = match attempt.outcome {
                ProbeOutcome::Succeeded => (result.successes.saturating_add(1).min(most), 0),
                ProbeOutcome::Failed => (0, result.failures.saturating_add(1).min(most)),
                ProbeOutcome::Unknown => (0, 0),
            };
            *result = PathResult {
                fqdn: std::mem::take(&mut result.fqdn),
                outcome: attempt.outcome,
                hop: attempt.hop,
                message: words(&attempt.message, 512).into_owned(),
                addresses: attempt
                    .addresses
                    .iter()
                    .take(32)
                    .map(|address| words(address, 45).into_owned())
                    .collect(),
                cname_chain: attempt
                    .cname_chain
                    .iter()
                    .take(16)
                    .map(|name| words(name, 253).into_owned())
                    .collect(),
                silent_dns_servers: attempt
                    .silent_servers
                    .iter()
                    .take(20)
                    .map(|server| words(server, 64).into_owned())
                    .collect(),
                successes,
                failures,
                last_transition_time: changed_at.or(Some(Time(now))),
            };
        }
        self.swept = true;
        true
    }

    /// The status as it stands.
    pub fn status(&self) -> ConnectivityProbeStatus {
        let passed = self
            .results
            .iter()
            .filter(|result| result.outcome == ProbeOutcome::Succeeded)
            .count();
        ConnectivityProbeStatus {
            observed_generation: Some(self.question.generation),
            round: self.question.spec.round,
            subject: self.question.spec.subject.clone(),
            summary: format!("{passed}/{}", self.results.len()),
            first_failure: self.first_failure(),
            results: self.results.clone(),
        }
    }

    /// The status, if it has to be written: a whole sweep has answered the question and the outcome differs from what is
    /// published in more than wording and times.
    pub fn unpublished(&self, published: Option<&ConnectivityProbeStatus>) -> Option<ConnectivityProbeStatus> {
        let status = self.status();
        let said = published.is_some_and(|published| says_the_same(&status, published));
        (self.swept && !said).then_some(status)
    }

    /// A path that failed comes before one of which nothing is known.
    fn first_failure(&self) -> Option<String> {
        let first = |outcome| self.results.iter().find(move |result| result.outcome == outcome);
        let result = first(ProbeOutcome::Failed).or_else(|| first(ProbeOutcome::Unknown))?;
        let hop = result.hop.map(|hop| format!("{hop}: ")).unwrap_or_default();
        Some(words(&format!("{}: {hop}{}", result.fqdn, result.message), 512).into_owned())
    }
}

fn untried(paths: &[ProbePath]) -> Vec<PathResult> {
    let untried = |path: &ProbePath| PathResult {
        fqdn: path.fqdn.clone(),
        outcome: ProbeOutcome::Unknown,
        hop: None,
        message: "not tried yet".to_owned(),
        addresses: Vec::new(),
        cname_chain: Vec::new(),
        silent_dns_servers: Vec::new(),
        successes: 0,
        failures: 0,
        last_transition_time: None,
    };
    paths.iter().map(untried).collect()
}

fn known_of(results: &[PathResult]) -> Vec<(String, ProbeOutcome, Option<Time>)> {
    results
        .iter()
        .map(|result| (result.fqdn.clone(), result.outcome, result.last_transition_time.clone()))
        .collect()
}

/// Equal in everything but wording, addresses and times. Each field is named, so that a new one must be decided on.
fn says_the_same(ours: &ConnectivityProbeStatus, theirs: &ConnectivityProbeStatus) -> bool {
    let ConnectivityProbeStatus {
        observed_generation,
        round,
        subject,
        summary: _,
        first_failure: _,
        results,
    } = ours;
    let same_result = |(a, b): (&PathResult, &PathResult)| {
        let PathResult {
            fqdn,
            outcome,
            hop,
            message: _,
            addresses: _,
            cname_chain: _,
            silent_dns_servers,
            successes,
            failures,
            last_transition_time: _,
        } = a;
        (fqdn, outcome, hop, silent_dns_servers, successes, failures)
            == (
                &b.fqdn,
                &b.outcome,
                &b.hop,
                &b.silent_dns_servers,
                &b.successes,
                &b.failures,
            )
    };
    (observed_generation, round, subject) == (&theirs.observed_generation, &theirs.round, &theirs.subject)
        && results.len() == theirs.results.len()
        && results.iter().zip(&theirs.results).all(same_result)
}

#[cfg(test)]
#[path = "path_results_tests.rs"]
mod tests;
