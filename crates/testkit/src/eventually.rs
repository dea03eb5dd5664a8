//! Waiting for a condition: a question asked again and again until it is answered or a deadline has passed. The failure
//! says what was waited for and what was seen last, because "timed out" alone helps nobody.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep_until, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What one look at a condition can say: `Ok` ends the waiting, `Err` is the reason why it goes on. `Option` and every
/// `Result` with a printable error are verdicts.
pub trait Verdict {
    /// What the condition yields once it holds.
    type Value;
    /// The value, or why there is none yet.
    ///
    /// # Errors
    /// The reason, for the message if the deadline passes.
    fn verdict(self) -> Result<Self::Value, String>;
}

impl<T> Verdict for Option<T> {
    type Value = T;
    fn verdict(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Verdict for Result<T, E> {
    type Value = T;
    fn verdict(self) -> Result<T, String> {
        // The alternate form of an anyhow error is its whole chain.
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Asks `look` until it answers, at first every 20 ms, then less often, at most `deadline` long (a look that hangs is cut
/// off then). `what` completes the sentence "waited for …".
///
/// # Errors
/// The deadline passed; the message holds the reason given by the last look that ended.
pub async fn eventually<F, Fut>(
    deadline: Duration,
    what: impl Display,
    mut look: F,
) -> Result<<Fut::Output as Verdict>::Value>
where
    F: FnMut() -> Fut,
    Fut: Future,
    Fut::Output: Verdict,
{
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut reason = "the first look did not end".to_owned();
    while let Ok(answer) = timeout_at(end, look()).await {
        match answer.verdict() {
            Ok(value) => return Ok(value),
            Err(why) => reason = why,
        }
        let next = Instant::now() + pause;
        if next >= end {
            break;
        }
        sleep_until(next).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    Err(anyhow!("waited {deadline:?} for {what} in vain; last seen: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_true_yields_its_value() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(5), "three looks", || {
            looks += 1;
            let seen = looks;
            async move { (seen == 3).then_some(seen) }
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_never_comes_true_fails_with_the_last_reason() {
        let mut looks = 0;
        let error = eventually(Duration::from_secs(3), "the registry to be locked", || {
            looks += 1;
            let seen = looks;
            async move { Err::<(), _>(format!("still open at look {seen}")) }
        })
        .await
        .unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("waited 3s for the registry to be locked in vain; last seen: still open at look "));
        assert!(looks > 5, "asked only {looks} times");
        assert!(text.ends_with(&format!("look {looks}")), "not the last reason: {text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_cut_off_at_the_deadline() {
        let begun = Instant::now();
        let error = eventually(Duration::from_secs(2), "an answer", std::future::pending::<Option<()>>)
            .await
            .unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 2);
        assert!(error.to_string().contains("the first look did not end"), "{error}");
    }
}
