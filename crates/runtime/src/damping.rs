//! What agents write wakes passes, and each pass reads Azure by a budget that all share. An honest agent writes when what it finds
//! changes; one that is broken or hostile may write a thousand times a second. So an object is woken by agents as often as it likes
//! for a while, and then no more often than once in a pause. Nothing is lost: whoever is woken reads all that was written until then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;

use crate::memory::ObjectKey;
use crate::metrics::Metrics;

/// So many wakes come at once before any waits: a proof with several vantage points and some weather on the way.
const BURST: u32 = 50;

/// The log tells of an object no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// Passes keys on, those that come too often later, as one.
pub(crate) fn damped(
    keys: impl Stream<Item = ObjectKey> + Send + 'static,
    pause: Duration,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = ObjectKey> + Send {
    let damper = Arc::new(Damper {
        pause: pause.max(Duration::from_millis(1)),
        buckets: Mutex::default(),
    });
    // Each object has at most one that waits, so the waiting ones are as few as the objects.
    keys.map(move |key| {
        let (damper, metrics) = (Arc::clone(&damper), Arc::clone(&metrics));
        async move { damper.admits(&key, &metrics).await.then_some(key) }
    })
    .buffer_unordered(usize::MAX)
    .filter_map(std::future::ready)
}

struct Damper {
    pause: Duration,
    buckets: Mutex<HashMap<ObjectKey, Bucket>>,
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
    fn buckets(&self) -> MutexGuard<'_, HashMap<ObjectKey, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this wake goes on, once it may. `false`: another one that waits already does for it.
    async fn admits(&self, key: &ObjectKey, metrics: &Metrics) -> bool {
        let next = {
            let now = Instant::now();
            let mut buckets = self.buckets();
            buckets.retain(|_, bucket| {
                bucket.earn(now, self.pause);
                bucket.left < BURST || bucket.awaited
            });
            let bucket = buckets.entry(key.clone()).or_insert_with(|| Bucket::full(now));
            if bucket.take() {
                return true;
            }
            metrics.probe_wake_damped();
            if bucket.awaited {
                return false;
            }
            bucket.awaited = true;
            if bucket.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
                bucket.told = Some(now);
                tracing::warn!(
                    namespace = key.namespace,
                    name = key.name,
                    "agents of this object's vantage points answer faster than they are asked: what they write is looked at less often (kubectl get connectivityprobes -A)"
                );
            }
            bucket.since + self.pause
        };
        tokio::time::sleep_until(next).await;
        let now = Instant::now();
        let mut buckets = self.buckets();
        let bucket = buckets.entry(key.clone()).or_insert_with(|| Bucket::full(now));
        bucket.awaited = false;
        bucket.earn(now, self.pause);
        bucket.take();
        true
    }
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

    /// So many wakes of an object, one each millisecond.
    fn hot(name: &'static str, wakes: usize) -> impl Stream<Item = ObjectKey> + Send {
        stream::iter(0..wakes).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            object(name)
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
        let calm = stream::once(async { object("calm") });
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
