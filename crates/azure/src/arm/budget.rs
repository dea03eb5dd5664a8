//! What we allow ourselves: a token bucket per (subscription, kind of call), as ARM has them (azure.md §6.4), and a pause
//! when Azure says that we were too many after all. Waiting never outlasts the call's deadline.
//!
//! Where calls wait for a bucket, namespaces take turns: each has a line of its own, and whoever is first in it waits in the bucket's.
//! However many calls one namespace makes, a call of another waits for one token more than there are namespaces that wait.
//!
//! A quarter of each bucket is kept back for who is cut off, or waits for an opening. Such calls stand in both: whichever has a token first.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use sreg_domain::call_failure::THROTTLE_WAIT;
use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::Instant;

use crate::settings::{Budget, Budgets, Lane};

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

/// For whom a call is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payer {
    /// Of which namespace the object is.
    pub(crate) namespace: Arc<str>,
    pub(crate) lane: Lane,
}

impl Payer {
    pub(crate) fn new(namespace: &str, lane: Lane) -> Payer {
        Payer {
            namespace: namespace.into(),
            lane,
        }
    }
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
    /// What every call may use.
    common: Share,
    /// What is kept back for urgent ones; `None`: the bucket is too small to be shared out.
    kept_back: Option<Share>,
    pauses: Pauses,
}

/// Times at which nobody uses a bucket.
#[derive(Default)]
struct Pauses {
    until: Mutex<Option<Instant>>,
    /// Told whenever a pause begins: who waits in line has a shorter deadline, perhaps.
    begun: Notify,
}

/// A part of a bucket, with the lines before it.
struct Share {
    limiter: Limiter,
    clock: TokioClock,
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

    /// Waits for one call's worth, for whom it is made. `Err(how long)` where that would outlast the deadline.
    pub(crate) async fn take(
        &self,
        subscription: &str,
        class: Class,
        payer: &Payer,
        deadline: Instant,
    ) -> Result<(), Duration> {
        let bucket = self.bucket(subscription, class);
        let began = Instant::now();
        let taking = tokio::time::timeout_at(deadline, bucket.take(payer, deadline));
        tokio::pin!(taking);
        loop {
            let paused = bucket.pauses.begun.notified();
            if let Some(pause) = bucket.pauses.left().filter(|pause| Instant::now() + *pause >= deadline) {
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
        self.bucket(subscription, class).pauses.begin(until);
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
        let second = Duration::from_secs(1);
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let (burst, each) = (
            at_least_one(budget.burst),
            second / at_least_one(budget.per_second).get(),
        );
        let (common, kept_back) = match NonZeroU32::new(burst.get() / 4) {
            Some(kept) => {
                let rest = at_least_one(burst.get() - kept.get());
                (Share::new(rest, each * 4 / 3), Some(Share::new(kept, each * 4)))
            }
            None => (Share::new(burst, each), None),
        };
        Bucket {
            common,
            kept_back,
            pauses: Pauses::default(),
        }
    }

    async fn take(&self, payer: &Payer, deadline: Instant) -> Result<(), Duration> {
        let common = self.common.take(&self.pauses, &payer.namespace, deadline);
        let Some(kept_back) = self.kept_back.as_ref().filter(|_| payer.lane == Lane::Urgent) else {
            return common.await;
        };
        let kept_back = kept_back.take(&self.pauses, &payer.namespace, deadline);
        // In this order, so that nobody takes two: once the first has a token the other is not asked any more.
        let either = futures::future::select_ok([kept_back.boxed(), common.boxed()]).await;
        either.map(|((), _)| ())
    }
}

impl Pauses {
    fn begin(&self, until: Instant) {
        let mut paused = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |earlier| earlier.max(until)));
        self.begun.notify_waiters();
    }

    fn left(&self) -> Option<Duration> {
        let until = (*self.until.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|d| !d.is_zero())
    }
}

impl Share {
    /// So many tokens, and another one after each of these times.
    fn new(burst: NonZeroU32, each: Duration) -> Share {
        let refill = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let clock = TokioClock { start: Instant::now() };
        Share {
            limiter: RateLimiter::direct_with_clock(refill.allow_burst(burst), clock.clone()),
            clock,
            first_of_each: Queue::new(()),
            lines: Mutex::default(),
        }
    }

    async fn take(&self, pauses: &Pauses, namespace: &str, deadline: Instant) -> Result<(), Duration> {
        let line = self.line(namespace);
        let _first_of_its_namespace = line.lock().await;
        let _next = self.first_of_each.lock().await;
        loop {
            let wait = match pauses.left() {
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

    fn ordinary(namespace: &str) -> Payer {
        Payer::new(namespace, Lane::Ordinary)
    }

    fn urgent(namespace: &str) -> Payer {
        Payer::new(namespace, Lane::Urgent)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_burst_is_free_and_then_calls_wait_for_the_refill() {
        let (buckets, start) = (buckets(), Instant::now());
        let deadline = start + Duration::from_secs(60);
        for _ in 0..4 {
            buckets.take("S", Class::Read, &ordinary("a"), deadline).await.unwrap();
        }
        assert!(
            (Duration::from_secs(2)..Duration::from_millis(2100)).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
        buckets.take("S", Class::Write, &ordinary("a"), start).await.unwrap();
        buckets.take("other", Class::Read, &ordinary("a"), start).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_throttled_call_keeps_the_others_waiting_for_a_minute_at_most() {
        let (buckets, start) = (buckets(), Instant::now());
        buckets.pause("s", Class::Write, Some(Duration::from_secs(3600)));
        buckets
            .take("s", Class::Write, &ordinary("a"), start + Duration::from_secs(61))
            .await
            .unwrap();
        assert_eq!(start.elapsed(), LONGEST_FOR_OTHERS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_is_refused_at_once_with_its_length() {
        let (buckets, start) = (buckets(), Instant::now());
        buckets.pause("s", Class::Write, Some(Duration::from_secs(30)));
        let refused = buckets
            .take("S", Class::Write, &ordinary("a"), start + Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(refused, Duration::from_secs(30));
        assert_eq!(start.elapsed(), Duration::ZERO);
        buckets
            .take("s", Class::Write, &ordinary("a"), start + Duration::from_secs(31))
            .await
            .unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_hundreds_of_calls_keeps_another_waiting_for_two_tokens_at_most() {
        let (buckets, start) = (buckets(), Instant::now());
        let deadline = start + Duration::from_secs(3600);
        let payer = ordinary("crowd");
        let crowd = (0..300).map(|_| buckets.take("s", Class::Read, &payer, deadline));
        let other = async {
            // They all wait by now.
            tokio::time::sleep(Duration::from_secs(10)).await;
            buckets
                .take("s", Class::Read, &ordinary("other"), deadline)
                .await
                .unwrap();
            start.elapsed()
        };
        let (_, waited) = tokio::join!(futures::future::join_all(crowd), other);
        assert!(waited <= Duration::from_secs(12), "{waited:?}");
        assert!(start.elapsed() >= Duration::from_secs(298), "{:?}", start.elapsed());
        let bucket = buckets.bucket("s", Class::Read);
        drop(bucket.common.line("later"));
        assert_eq!(bucket.common.lines.lock().unwrap().len(), 1);
    }

    /// The bucket is empty, and so many calls of namespace `a` wait for it, each with the time at which it went.
    fn waiting(buckets: &Arc<Buckets>, calls: usize) -> Vec<tokio::task::JoinHandle<Duration>> {
        let start = Instant::now();
        let wait = |_| {
            let buckets = Arc::clone(buckets);
            tokio::spawn(async move {
                let deadline = start + Duration::from_secs(3600);
                buckets.take("s", Class::Read, &ordinary("a"), deadline).await.unwrap();
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
        let short = start + Duration::from_secs(2);
        let refused = buckets.take("s", Class::Read, &ordinary("a"), short).await.unwrap_err();
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
        let payer = ordinary("b");
        let short = buckets.take("s", Class::Read, &payer, start + Duration::from_secs(20));
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

    /// One namespace's ordinary calls, more than the bucket holds, all before this one.
    async fn behind_a_crowd(payer: &Payer) -> Duration {
        let buckets = Buckets::new(Budgets::default());
        let start = Instant::now();
        let deadline = start + Duration::from_secs(3600);
        let crowd = (0..2000).map(|_| async {
            let other = ordinary(&payer.namespace);
            buckets.take("s", Class::Read, &other, deadline).await.unwrap();
        });
        let calls = async {
            a_moment().await;
            for _ in 0..40 {
                buckets.take("s", Class::Read, payer, deadline).await.unwrap();
            }
            start.elapsed()
        };
        let (_, took) = tokio::join!(futures::future::join_all(crowd), calls);
        let all = start.elapsed();
        assert!(
            all <= Duration::from_secs(100),
            "what is kept back is a quarter: {all:?}"
        );
        took
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_to_who_is_cut_off_finds_tokens_that_its_own_namespace_did_not_use_up() {
        let ordinary = behind_a_crowd(&ordinary("crowd")).await;
        assert!(ordinary >= Duration::from_secs(60), "{ordinary:?}");
        let urgent = behind_a_crowd(&urgent("crowd")).await;
        assert!(urgent <= Duration::from_secs(1), "{urgent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn urgent_calls_use_what_all_use_as_well_and_no_more_than_the_whole_bucket_in_a_second() {
        let buckets = Buckets::new(Budgets::default());
        let start = Instant::now();
        let deadline = start + Duration::from_secs(3600);
        let calls = (0..500).map(|n| {
            let payer = urgent(if n % 2 == 0 { "a" } else { "b" });
            let buckets = &buckets;
            async move { buckets.take("s", Class::Read, &payer, deadline).await.unwrap() }
        });
        futures::future::join_all(calls).await;
        let took = start.elapsed();
        assert!(
            (9..=12).contains(&took.as_secs()),
            "a burst of 250, then 25 a second: {took:?}"
        );
        let refused = buckets.take("s", Class::Read, &urgent("a"), Instant::now()).await;
        assert!(refused.is_err(), "there is none left");
    }
}
