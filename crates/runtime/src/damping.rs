//! What agents write wakes passes, and each pass reads Azure by a budget that all share. An honest agent writes when what it finds
//! changes; one that is broken or hostile may write a thousand times a second. So each of its probes, and its Lease, wakes an object as
//! often as it likes for a while, and then no more often than once in a pause. Nothing is lost: whoever is woken reads all that was
//! written until then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;

use crate::memory::ObjectKey;
use crate::metrics::Metrics;

/// What an agent wakes: by which of its probes, or by its vantage point's Lease, and which object.
pub(crate) type Wake = (String, ObjectKey);

/// So many wakes come at once before any waits: a proof round counts to ten at most, with some weather on the way.
const BURST: u32 = 50;

/// The log tells of an object no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// Passes objects on, those that come too often later, as one.
pub(crate) fn damped(
    wakes: impl Stream<Item = Wake> + Send + 'static,
    pause: Duration,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = ObjectKey> + Send {
    let damper = Arc::new(Damper {
        pause: pause.max(Duration::from_millis(1)),
        buckets: Mutex::new(Buckets {
            all: HashMap::new(),
            next_sweep: Instant::now(),
        }),
    });
    // Of each source at most one waits, so the waiting ones are as few as probes and vantage points.
    wakes
        .map(move |wake| {
            let (damper, metrics) = (Arc::clone(&damper), Arc::clone(&metrics));
            async move { damper.admits(&wake, &metrics).await.then_some(wake.1) }
        })
        .buffer_unordered(usize::MAX)
        .filter_map(std::future::ready)
}

struct Damper {
    pause: Duration,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    all: HashMap<Wake, Bucket>,
    next_sweep: Instant,
}

struct Bucket {
    /// Wakes that may come at once.
    left: u32,
    /// Since when the next one has been earned.
    since: Instant,
    /// Somebody waits for the next one.
    awaited: bool,
    told: Option<Instant>,
}

impl Bucket {
    fn full(now: Instant) -> Bucket {
        Bucket {
            left: BURST,
            since: now,
            awaited: false,
            told: None,
        }
    }

    fn earn(&mut self, now: Instant, pause: Duration) {
        while self.left < BURST && now.duration_since(self.since) >= pause {
            self.left += 1;
            self.since += pause;
        }
        if self.left == BURST {
            self.since = now;
        }
    }

    fn take(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Damper {
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this wake goes on, once it may. `false`: another one that waits already does for it.
    async fn admits(&self, wake: &Wake, metrics: &Metrics) -> bool {
        let next = {
            let now = Instant::now();
            let mut buckets = self.buckets();
            self.sweep(&mut buckets, now);
            let bucket = buckets.all.entry(wake.clone()).or_insert_with(|| Bucket::full(now));
            bucket.earn(now, self.pause);
            if bucket.awaited {
                metrics.probe_wake_damped();
                return false;
            }
            if bucket.take() {
                return true;
            }
            metrics.probe_wake_damped();
            bucket.awaited = true;
            if bucket.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
                bucket.told = Some(now);
                tell(wake);
            }
            bucket.since + self.pause
        };
        tokio::time::sleep_until(next).await;
        if let Some(bucket) = self.buckets().all.get_mut(wake) {
            bucket.awaited = false;
            bucket.earn(Instant::now(), self.pause);
            bucket.left = bucket.left.saturating_sub(1);
        }
        true
    }

    /// Forgets who has been calm for long, once in a pause.
    fn sweep(&self, buckets: &mut Buckets, now: Instant) {
        if now < buckets.next_sweep {
            return;
        }
        buckets.next_sweep = now + self.pause;
        buckets.all.retain(|_, bucket| {
            bucket.earn(now, self.pause);
            bucket.left < BURST || bucket.awaited
        });
    }
}

fn tell((source, key): &Wake) {
    tracing::warn!(
        source,
        namespace = key.namespace,
        name = key.name,
        "an agent writes more often than it is asked, so that what it writes is looked at less often (kubectl get connectivityprobes -A)"
    );
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn object(name: &str) -> ObjectKey {
        ObjectKey {
            namespace: "ml".into(),
            name: name.into(),
        }
    }

    /// So many wakes of an object by its one probe, one each millisecond.
    fn hot(name: &'static str, wakes: usize) -> impl Stream<Item = Wake> + Send {
        stream::iter(0..wakes).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            (format!("probe of {name}"), object(name))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_woken_without_end_is_passed_on_once_in_a_pause() {
        let metrics = Arc::new(Metrics::new());
        // Sixty seconds of it.
        let passed = damped(hot("hot", 60_000), PAUSE, metrics).count().await;
        let most = BURST as usize + 13;
        assert!((BURST as usize + 11..=most).contains(&passed), "{passed}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_wake_is_not_lost() {
        let metrics = Arc::new(Metrics::new());
        let began = Instant::now();
        let passed: Vec<Instant> = damped(hot("hot", BURST as usize + 3), PAUSE, metrics)
            .map(|_| Instant::now())
            .collect()
            .await;
        assert_eq!(passed.len(), BURST as usize + 1);
        let last = passed.last().unwrap().duration_since(began);
        assert!(last <= PAUSE + Duration::from_millis(100), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hot_object_delays_no_other() {
        let metrics = Arc::new(Metrics::new());
        let hot = hot("hot", 1000);
        let calm = stream::once(async { ("probe".to_owned(), object("calm")) });
        let mut passed = Box::pin(damped(hot.chain(calm), PAUSE, metrics));
        let began = Instant::now();
        while let Some(key) = passed.next().await {
            if key == object("calm") {
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hot_probe_delays_no_other_of_the_same_object() {
        let metrics = Arc::new(Metrics::new());
        let other = stream::once(async { ("probe of another agent".to_owned(), object("hot")) });
        let mut passed = Box::pin(damped(hot("hot", 200).chain(other), PAUSE, metrics));
        let began = Instant::now();
        let mut at_once = 0;
        while began.elapsed() < Duration::from_secs(1) && passed.next().await.is_some() {
            at_once += 1;
        }
        // The last one, which ends the second, waited.
        assert_eq!(at_once, BURST as usize + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_calm_for_long_has_the_whole_burst_again() {
        let metrics = Arc::new(Metrics::new());
        let wakes = hot("one", BURST as usize)
            .chain(stream::once(tokio::time::sleep(PAUSE * (BURST + 1))).filter_map(|()| std::future::ready(None)));
        let mut passed = Box::pin(damped(wakes.chain(hot("one", BURST as usize)), PAUSE, metrics));
        let began = Instant::now();
        let mut seen = 0;
        while passed.next().await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, 2 * BURST as usize);
        assert!(began.elapsed() < PAUSE * (BURST + 1) + Duration::from_secs(1));
    }
}
