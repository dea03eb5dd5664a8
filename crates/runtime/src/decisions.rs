//! What the passes over `SecureRegistry` objects decided of the BreakGlasses and ChangeApprovals that name them, for whoever writes the
//! statuses of those. Kept by this process until the next pass, and lost with it: a new leader passes over every object first thing.
//! No pass reads it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use sreg_planner::Decided;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::memory::ObjectKey;

/// What the last pass over an object decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// The status of each that names it.
    Judged(Decided),
    /// It names no Azure registry, for this reason, so that nothing was judged.
    Unusable(String),
}

/// So many objects may have news before whoever is slow to hear of them looks at all.
const NEWS: usize = 256;

/// Decisions, by the uid of the `SecureRegistry`.
#[derive(Debug)]
pub(crate) struct Decisions {
    all: Mutex<HashMap<String, Decision>>,
    news: broadcast::Sender<ObjectKey>,
}

impl Default for Decisions {
    fn default() -> Self {
        Decisions {
            all: Mutex::default(),
            news: broadcast::Sender::new(NEWS),
        }
    }
}

impl Decisions {
    /// A pass over `key` decided this. News only if it is something else than before.
    pub(crate) fn decide(&self, uid: &str, key: &ObjectKey, decision: Decision) {
        let mut all = self.lock();
        if all.get(uid) == Some(&decision) {
            return;
        }
        all.insert(uid.to_owned(), decision);
        drop(all);
        self.tell(key);
    }

    /// What was decided last. `None`: no pass of this process has looked at it yet.
    pub(crate) fn of(&self, uid: &str) -> Option<Decision> {
        self.lock().get(uid).cloned()
    }

    /// The `SecureRegistry` is gone: that is news to those that name it.
    pub(crate) fn forget(&self, uid: &str, key: &ObjectKey) {
        self.lock().remove(uid);
        self.tell(key);
    }

    /// Objects of which something else was decided, from now on. `None`: there were too many, and it may be any.
    pub(crate) fn news(&self) -> impl Stream<Item = Option<ObjectKey>> + Send + use<> {
        stream::unfold(self.news.subscribe(), |mut news| async move {
            match news.recv().await {
                Ok(key) => Some((Some(key), news)),
                Err(RecvError::Lagged(_)) => Some((None, news)),
                Err(RecvError::Closed) => None,
            }
        })
    }

    /// That nobody listens is no matter.
    fn tell(&self, key: &ObjectKey) {
        self.news.send(key.clone()).ok();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Decision>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            namespace: "ml".into(),
            name: name.into(),
        }
    }

    fn because(why: &str) -> Decision {
        Decision::Unusable(why.into())
    }

    #[tokio::test]
    async fn only_another_decision_is_news_and_so_is_the_end_of_the_registry() {
        let decisions = Decisions::default();
        decisions.decide("early", &key("early"), because("nobody listens yet"));
        let mut news = decisions.news().boxed();
        for why in ["one", "one", "two"] {
            decisions.decide("u", &key("a"), because(why));
        }
        decisions.forget("u", &key("a"));
        decisions.decide("v", &key("b"), because("one"));
        let mut heard = Vec::new();
        for _ in 0..4 {
            heard.push(news.next().await.unwrap().unwrap().name);
        }
        assert_eq!(heard, ["a", "a", "a", "b"]);
        assert_eq!((decisions.of("u"), decisions.of("v")), (None, Some(because("one"))));
    }

    #[tokio::test]
    async fn whoever_is_slow_looks_at_all_and_misses_nothing_afterwards() {
        let decisions = Decisions::default();
        let mut news = decisions.news().boxed();
        (0..NEWS + 1).for_each(|number| decisions.forget("u", &key(&number.to_string())));
        assert_eq!(news.next().await, Some(None));
        assert_eq!(news.next().await.flatten(), Some(key("1")));
    }
}
