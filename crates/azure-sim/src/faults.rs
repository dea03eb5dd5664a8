//! Faults by rule: which requests they meet, how often, and what happens to them. Deterministic: probability runs on a
//! generator seeded by the rule.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::permissions::glob;

/// Which requests to meet, and what to do to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// What the journal calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// HTTP method; absent: any.
    #[serde(default)]
    pub method: Option<String>,
    /// What path and query have to contain, case aside; with `*` the whole of it has to match. Absent: anything.
    #[serde(default)]
    pub path: Option<String>,
    /// What the body has to contain. Absent: anything.
    #[serde(default)]
    pub body_contains: Option<String>,
    /// Only from the nth matching request on, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// How many times at most; absent: once with `nth`, else always.
    #[serde(default)]
    pub times: Option<u64>,
    /// Chance of each matching request, 0 to 1.
    #[serde(default)]
    pub probability: Option<f64>,
    /// What the chance runs on.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub effect: FaultEffect,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FaultEffect {
    /// The request is not carried out; this is the answer.
    Status {
        /// HTTP status.
        status: u16,
        /// Error code.
        #[serde(default)]
        code: Option<String>,
        /// Error message.
        #[serde(default)]
        message: Option<String>,
        /// The whole body, in place of code and message.
        #[serde(default)]
        body: Option<Value>,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Not carried out; a gateway's HTML page with this status.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// Carried out; the answer's body ends half-way.
    TruncatedJson {},
    /// Not carried out; 200 with an error in the body.
    OkWithError {
        /// Error code.
        code: String,
        /// Error message.
        message: String,
    },
    /// Not carried out; 200 with the resource as it was, as where a policy with the effect Modify changes the request.
    Unchanged {},
    /// Not carried out; the connection ends without an answer.
    DropBeforeEffect {},
    /// Carried out; the connection ends without an answer.
    DropAfterEffect {},
    /// Carried out after so many seconds of the caller's clock.
    Delay {
        /// How long.
        seconds: f64,
    },
    /// Not carried out; no answer comes, the connection stays open.
    TimeoutBeforeEffect {},
    /// Carried out; no answer comes, the connection stays open.
    TimeoutAfterEffect {},
    /// Carried out; the operation that it starts fails at its end with this error.
    FailOperation {
        /// Error code.
        code: String,
        /// Error message.
        message: String,
        /// Code nested in `details`.
        #[serde(default)]
        nested: Option<String>,
    },
    /// Somebody else changes a resource first: a merge patch of its body.
    ChangeFirst {
        /// ARM id; absent: the request's own resource.
        #[serde(default)]
        id: Option<String>,
        /// The merge patch.
        patch: Value,
    },
}

impl FaultEffect {
    /// What the journal calls it where the rule has no name.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            FaultEffect::Status { .. } => "status",
            FaultEffect::Html { .. } => "html",
            FaultEffect::TruncatedJson {} => "truncatedJson",
            FaultEffect::OkWithError { .. } => "okWithError",
            FaultEffect::Unchanged {} => "unchanged",
            FaultEffect::DropBeforeEffect {} => "dropBeforeEffect",
            FaultEffect::DropAfterEffect {} => "dropAfterEffect",
            FaultEffect::Delay { .. } => "delay",
            FaultEffect::TimeoutBeforeEffect {} => "timeoutBeforeEffect",
            FaultEffect::TimeoutAfterEffect {} => "timeoutAfterEffect",
            FaultEffect::FailOperation { .. } => "failOperation",
            FaultEffect::ChangeFirst { .. } => "changeFirst",
        }
    }
}

/// A fault that meets a request.
#[derive(Debug, Clone)]
pub(crate) struct Struck {
    pub(crate) name: String,
    pub(crate) effect: FaultEffect,
}

/// All rules with what they have seen.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    matched: u64,
    struck: u64,
    chance: StdRng,
}

/// A rule and what it has seen, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultReport {
    /// The rule.
    pub rule: FaultRule,
    /// Requests that matched.
    pub matched: u64,
    /// Requests that it struck.
    pub struck: u64,
}

impl Faults {
    pub(crate) fn inject(&mut self, rule: FaultRule) {
        let chance = StdRng::seed_from_u64(rule.seed);
        self.rules.push(Armed {
            rule,
            matched: 0,
            struck: 0,
            chance,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn report(&self) -> Vec<FaultReport> {
        let report = |a: &Armed| FaultReport {
            rule: a.rule.clone(),
            matched: a.matched,
            struck: a.struck,
        };
        self.rules.iter().map(report).collect()
    }

    /// The first rule that strikes this request. Rules that only match count it too.
    pub(crate) fn strike(&mut self, method: &str, path: &str, body: &[u8]) -> Option<Struck> {
        let mut struck = None;
        for armed in &mut self.rules {
            if matches(&armed.rule, method, path, body) && armed.count() && struck.is_none() {
                armed.struck += 1;
                let name = armed
                    .rule
                    .name
                    .clone()
                    .unwrap_or_else(|| armed.rule.effect.label().to_owned());
                struck = Some(Struck {
                    name,
                    effect: armed.rule.effect.clone(),
                });
            }
        }
        struck
    }
}

impl Armed {
    /// Counts a match; whether the rule strikes it.
    fn count(&mut self) -> bool {
        self.matched += 1;
        let times = self
            .rule
            .times
            .unwrap_or(if self.rule.nth.is_some() { 1 } else { u64::MAX });
        if self.matched < self.rule.nth.unwrap_or(1) || self.struck >= times {
            return false;
        }
        match self.rule.probability {
            Some(probability) => self.chance.random::<f64>() < probability,
            None => true,
        }
    }
}

fn matches(rule: &FaultRule, method: &str, path: &str, body: &[u8]) -> bool {
    let path_matches = rule.path.as_deref().is_none_or(|wanted| {
        let (wanted, path) = (wanted.to_ascii_lowercase(), path.to_ascii_lowercase());
        match wanted.contains('*') {
            true => glob(wanted.as_bytes(), path.as_bytes()),
            false => path.contains(&wanted),
        }
    });
    path_matches
        && rule.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
        && rule
            .body_contains
            .as_deref()
            .is_none_or(|wanted| String::from_utf8_lossy(body).contains(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> FaultRule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_strikes_the_nth_match_once_and_counts_only_matches() {
        let mut faults = Faults::default();
        faults.inject(rule(
            r#"{"method":"PUT","path":"/privateEndpoints/","nth":2,"effect":{"dropAfterEffect":{}}}"#,
        ));
        let mut put = |path| faults.strike("PUT", path, b"").is_some();
        assert!(!put("/x/privateEndpoints/a?api-version=1"));
        assert!(!put("/x/registries/a"));
        assert!(put("/x/PRIVATEENDPOINTS/b"));
        assert!(!put("/x/privateEndpoints/c"));
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let run = || {
            let mut faults = Faults::default();
            faults.inject(rule(r#"{"probability":0.5,"seed":7,"effect":{"html":{"status":502}}}"#));
            (0..64)
                .map(|_| faults.strike("GET", "/", b"").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        assert!(run().contains(&true) && run().contains(&false));
    }

    #[test]
    fn a_star_makes_the_pattern_match_the_whole_path() {
        let mut faults = Faults::default();
        faults.inject(rule(r#"{"path":"*/registries/r1?*","effect":{"truncatedJson":{}}}"#));
        assert!(
            faults
                .strike("GET", "/subscriptions/s/registries/R1?api-version=1", b"")
                .is_some()
        );
        assert!(
            faults
                .strike("GET", "/subscriptions/s/registries/r1/removeRegions", b"")
                .is_none()
        );
    }
}
