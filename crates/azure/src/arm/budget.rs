//! What we allow ourselves: a token bucket per (subscription, kind of call), as ARM has them (azure.md §6.4), and a pause
//! when Azure says that we were too many after all. Waiting never outlasts the call's deadline.
//!
//! Where calls wait for a bucket, namespaces take turns: each has a line of its own, and whoever is first in it waits in the bucket's.
//! However many calls one namespace makes, a call of another waits for one token more than there are namespaces that wait.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use sreg_domain::call_failure::THROTTLE_WAIT;
use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::Instant;

use crate::settings::{Budget, Budgets};

/// Longest time that one throttled call keeps the subscription's others waiting: Azure's own buckets fill up within seconds, and what
/// opens in an emergency does not wait for a tag.
const LONGEST_FOR_OTHERS: Duration = Duration::from_secs(60);

/// What a call counts as; POST counts as a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// GET.
    Read,
    /// PUT, PATCH, POST.
    Write,
    /// DELETE.
    Delete,
}

/// Tokio's clock, so that tests with paused time see budgets pass too.
#[derive(Debug, Clone)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>;

struct Bucket {
    limiter: Limiter,
    clock: TokioClock,
    paused_until: Mutex<Option<Instant>>,
    /// Told whenever a pause begins: who waits in line has a shorter deadline, perhaps.
    paused: Notify,
    /// One call of each namespace at most waits here; tokio's mutex is given to whoever waits longest.
    first_of_each: Queue<()>,
    /// The calls of each namespace; none is kept that nobody stands in.
    lines: Mutex<HashMap<String, Arc<Queue<()>>>>,
}

/// All buckets.
pub(crate) struct Buckets {
    budgets: Budgets,
    buckets: Mutex<HashMap<(String, Class), Arc<Bucket>>>,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets")
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}

impl Buckets {
    pub(crate) fn new(budgets: Budgets) -> Buckets {
        Buckets {
            budgets,
            buckets: Mutex::default(),
        }
    }

    /// Waits for one call's worth, for an object of this namespace. `Err(how long)` where that would outlast the deadline.
    pub(crate) async fn take(
        &self,
        subscription: &str,
        class: Class,
        namespace: &str,
        deadline: Instant,
    ) -> Result<(), Duration> {
        let bucket = self.bucket(subscription, class);
        let began = Instant::now();
        let taking = tokio::time::timeout_at(deadline, bucket.take(namespace, deadline));
        tokio::pin!(taking);
        loop {
            let paused = bucket.paused.notified();
            if let Some(pause) = bucket.pause().filter(|pause| Instant::now() + *pause >= deadline) {
                return Err(pause);
            }
            tokio::select! {
                // Who stood in line for so long would stand there about as long again.
                taken = &mut taking => return taken.unwrap_or_else(|_| Err(began.elapsed().max(Duration::from_secs(1)))),
                () = paused => {}
            }
        }
    }

    /// Azure throttled this bucket: nobody uses it until then, or for a minute. Who was throttled waits as long as Azure asks.
    pub(crate) fn pause(&self, subscription: &str, class: Class, wait: Option<Duration>) {
        let until = Instant::now() + wait.unwrap_or(THROTTLE_WAIT).min(LONGEST_FOR_OTHERS);
        let bucket = self.bucket(subscription, class);
        let mut paused = bucket.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |earlier| earlier.max(until)));
        bucket.paused.notify_waiters();
    }

    fn bucket(&self, subscription: &str, class: Class) -> Arc<Bucket> {
        let budget = match class {
            Class::Read => self.budgets.reads,
            Class::Write => self.budgets.writes,
            Class::Delete => self.budgets.deletes,
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets
            .entry((subscription.to_ascii_lowercase(), class))
            .or_insert_with(|| Arc::new(Bucket::new(budget)))
            .clone()
    }
}

impl Bucket {
    fn new(budget: Budget) -> Bucket {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(budget.per_second)).allow_burst(at_least_one(budget.burst));
        let clock = TokioClock { start: Instant::now() };
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Bucket {
            limiter,
            clock,
            paused_until: Mutex::new(None),
            first_of_each: Queue::new(()),
            paused: Notify::new(),
            lines: Mutex::default(),
        }
    }

    async fn take(&self, namespace: &str, deadline: Instant) -> Result<(), Duration> {
        let line = self.line(namespace);
        let _first_of_its_namespace = line.lock().await;
        let _next = self.first_of_each.lock().await;
        loop {
            let wait = match self.pause() {
                Some(pause) => pause,
                None => match self.limiter.check() {
                    Ok(()) => return Ok(()),
                    Err(not_yet) => not_yet.wait_time_from(self.clock.now()).max(Duration::from_millis(1)),
                },
            };
            if Instant::now() + wait >= deadline {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn line(&self, namespace: &str) -> Arc<Queue<()>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| Arc::strong_count(line) > 1);
        Arc::clone(lines.entry(namespace.to_owned()).or_default())
    }

    fn pause(&self) -> Option<Duration> {
        let until = (*self.paused_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|d| !d.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Buckets {
        let budget = Budget {
            burst: 2,
            per_second: 1,
        };
        Buckets::new(Budgets {
            reads: budget,
            writes: budget,
            deletes: budget,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_burst_is_free_and_then_calls_wait_for_the_refill() {
        let (buckets, start) = (buckets(), Instant::now());
        let deadline = start + Duration::from_secs(60);
        for _ in 0..4 {
            buckets.take("S", Class::Read, "a", deadline).await.unwrap();
        }
        assert!(
            (Duration::from_secs(2)..Duration::from_millis(2100)).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
        buckets.take("S", Class::Write, "a", start).await.unwrap();
        buckets.take("other", Class::Read, "a", start).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_throttled_call_keeps_the_others_waiting_for_a_minute_at_most() {
        let (buckets, start) = (buckets(), Instant::now());
        buckets.pause("s", Class::Write, Some(Duration::from_secs(3600)));
        buckets
            .take("s", Class::Write, "a", start + Duration::from_secs(61))
            .await
            .unwrap();
        assert_eq!(start.elapsed(), LONGEST_FOR_OTHERS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_is_refused_at_once_with_its_length() {
        let (buckets, start) = (buckets(), Instant::now());
        buckets.pause("s", Class::Write, Some(Duration::from_secs(30)));
        let refused = buckets
            .take("S", Class::Write, "a", start + Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(refused, Duration::from_secs(30));
        assert_eq!(start.elapsed(), Duration::ZERO);
        buckets
            .take("s", Class::Write, "a", start + Duration::from_secs(31))
            .await
            .unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_hundreds_of_calls_keeps_another_waiting_for_two_tokens_at_most() {
        let (buckets, start) = (buckets(), Instant::now());
        let deadline = start + Duration::from_secs(3600);
        let crowd = (0..300).map(|_| buckets.take("s", Class::Read, "crowd", deadline));
        let other = async {
            // They all wait by now.
            tokio::time::sleep(Duration::from_secs(10)).await;
            buckets.take("s", Class::Read, "other", deadline).await.unwrap();
            start.elapsed()
        };
        let (_, waited) = tokio::join!(futures::future::join_all(crowd), other);
        assert!(waited <= Duration::from_secs(12), "{waited:?}");
        assert!(start.elapsed() >= Duration::from_secs(298), "{:?}", start.elapsed());
        drop(buckets.bucket("s", Class::Read).line("later"));
        assert_eq!(buckets.bucket("s", Class::Read).lines.lock().unwrap().len(), 1);
    }

    /// The bucket is empty, and so many calls of namespace `a` wait for it, each with the time at which it went.
    fn waiting(buckets: &Arc<Buckets>, calls: usize) -> Vec<tokio::task::JoinHandle<Duration>> {
        let start = Instant::now();
        let wait = |_| {
            let buckets = Arc::clone(buckets);
            tokio::spawn(async move {
                let deadline = start + Duration::from_secs(3600);
                buckets.take("s", Class::Read, "a", deadline).await.unwrap();
                start.elapsed()
            })
        };
        (0..calls).map(wait).collect()
    }

    async fn a_moment() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_in_line_leave_it_to_the_others() {
        let (buckets, start) = (Arc::new(buckets()), Instant::now());
        let mut calls = waiting(&buckets, 7);
        a_moment().await;
        // Two went at once, the third is the first in line; the fifth is not.
        calls.remove(4).abort();
        let short = buckets.take("s", Class::Read, "a", start + Duration::from_secs(2));
        let refused = short.await.unwrap_err();
        assert!(refused >= Duration::from_secs(1), "{refused:?}");
        assert!(
            (1900..2100).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
        let ends = futures::future::join_all(calls).await;
        let seconds: Vec<u64> = ends.into_iter().map(|end| end.unwrap().as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_known_to_whoever_waits_in_line_already() {
        let (buckets, start) = (Arc::new(buckets()), Instant::now());
        let calls = waiting(&buckets, 4);
        a_moment().await;
        let short = buckets.take("s", Class::Read, "b", start + Duration::from_secs(20));
        let throttled = async {
            a_moment().await;
            buckets.pause("s", Class::Read, Some(Duration::from_secs(30)));
        };
        let (refused, ()) = tokio::join!(short, throttled);
        assert_eq!(refused.unwrap_err(), Duration::from_secs(30));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let ends = futures::future::join_all(calls).await;
        let last = ends.into_iter().map(|end| end.unwrap().as_secs()).max();
        assert!(last >= Some(30), "{last:?}");
    }
}
