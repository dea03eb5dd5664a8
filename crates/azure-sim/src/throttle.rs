//! ARM's token buckets (azure.md §6.4): one per subscription, principal and type of call, refilled on the simulated clock.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bucket sizes and refill rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Throttling {
    /// Whether calls are refused at all; the headers are always there.
    pub enabled: bool,
    /// GET and HEAD.
    pub reads: Bucket,
    /// PUT, PATCH and POST.
    pub writes: Bucket,
    /// DELETE.
    pub deletes: Bucket,
    /// U28: reads of Private DNS in five minutes; absent: not enforced.
    pub private_dns_reads: Option<u32>,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// How many calls it holds when full.
    pub size: u32,
    /// How many come back each second.
    pub per_second: f64,
}

impl Default for Throttling {
    fn default() -> Self {
        Throttling {
            enabled: true,
            reads: Bucket {
                size: 250,
                per_second: 25.0,
            },
            writes: Bucket {
                size: 200,
                per_second: 10.0,
            },
            deletes: Bucket {
                size: 200,
                per_second: 10.0,
            },
            private_dns_reads: None,
        }
    }
}

/// The types of calls that have buckets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CallType {
    Reads,
    Writes,
    Deletes,
    PrivateDnsReads,
}

impl CallType {
    /// The type of a call with this verb; POST actions count as writes.
    pub(crate) fn of(method: &http::Method) -> CallType {
        match *method {
            http::Method::GET | http::Method::HEAD => CallType::Reads,
            http::Method::DELETE => CallType::Deletes,
            _ => CallType::Writes,
        }
    }

    /// The header that says how many calls are left.
    pub(crate) fn header(self) -> &'static str {
        match self {
            CallType::Reads | CallType::PrivateDnsReads => "x-ms-ratelimit-remaining-subscription-reads",
            CallType::Writes => "x-ms-ratelimit-remaining-subscription-writes",
            CallType::Deletes => "x-ms-ratelimit-remaining-subscription-deletes",
        }
    }

    /// The header for all principals of the subscription together.
    pub(crate) fn global_header(self) -> &'static str {
        match self {
            CallType::Reads | CallType::PrivateDnsReads => "x-ms-ratelimit-remaining-subscription-global-reads",
            CallType::Writes => "x-ms-ratelimit-remaining-subscription-global-writes",
            CallType::Deletes => "x-ms-ratelimit-remaining-subscription-global-deletes",
        }
    }
}

/// Whether a call may pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pass {
    /// It may; so many are left.
    Yes(u32),
    /// It may not; one comes back after this many simulated seconds.
    No(f64),
}

/// The fill of all buckets.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    fill: HashMap<(String, String, CallType), (f64, Duration)>,
}

impl Buckets {
    /// Takes one call out of the bucket.
    pub(crate) fn take(
        &mut self,
        rules: &Throttling,
        subscription: &str,
        principal: &str,
        call: CallType,
        now: Duration,
    ) -> Pass {
        let bucket = match call {
            CallType::Reads => rules.reads,
            CallType::Writes => rules.writes,
            CallType::Deletes => rules.deletes,
            CallType::PrivateDnsReads => match rules.private_dns_reads {
                Some(size) => Bucket {
                    size,
                    per_second: f64::from(size) / 300.0,
                },
                None => return Pass::Yes(u32::MAX),
            },
        };
        let size = f64::from(bucket.size);
        let key = (subscription.to_ascii_lowercase(), principal.to_owned(), call);
        let (fill, at) = self.fill.entry(key).or_insert((size, now));
        let refill = now.saturating_sub(*at).as_secs_f64() * bucket.per_second;
        *fill = (*fill + refill).min(size);
        *at = now;
        if *fill >= 1.0 || !rules.enabled {
            *fill = (*fill - 1.0).max(0.0);
            return Pass::Yes(*fill as u32);
        }
        Pass::No(if bucket.per_second > 0.0 {
            (1.0 - *fill) / bucket.per_second
        } else {
            60.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_on_the_simulated_clock_apart_for_each_principal() {
        let rules = Throttling::default();
        let mut buckets = Buckets::default();
        let mut take = |who: &str, at: u64| buckets.take(&rules, "S", who, CallType::Writes, Duration::from_secs(at));
        for left in (0..200).rev() {
            assert_eq!(take("a", 0), Pass::Yes(left));
        }
        assert!(matches!(take("a", 0), Pass::No(wait) if (0.0..=0.1).contains(&wait)));
        assert_eq!(take("b", 0), Pass::Yes(199));
        assert_eq!(take("a", 1), Pass::Yes(9));
    }
}
