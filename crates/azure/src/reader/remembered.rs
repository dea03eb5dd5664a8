//! Answers of Azure's that are believed for a while, shared by all visits.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Answers remembered.
const MOST: usize = 4096;

/// Answers by key. Once full it forgets the older half of what it still believes before it takes anything new.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    age: Duration,
    known: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    /// Believes each answer for so long.
    pub(crate) fn for_so_long(age: Duration) -> Self {
        Self {
            age,
            known: Mutex::default(),
        }
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = known.get(key)?;
        (at.elapsed() < self.age).then(|| answer.clone())
    }

    pub(super) fn put(&self, key: K, answer: V) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (at, _)| at.elapsed() < self.age / 2);
        }
        if known.len() < MOST {
            known.insert(key, (Instant::now(), answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_until_it_is_too_old() {
        let remembered = Remembered::for_so_long(Duration::from_secs(60));
        remembered.put("a".to_owned(), 1);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(remembered.get("a"), Some(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(remembered.get("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_memory_makes_room_for_what_is_new_and_never_grows_beyond() {
        let remembered = Remembered::for_so_long(Duration::from_secs(60));
        for key in 0..MOST {
            remembered.put(key, ());
        }
        remembered.put(MOST, ());
        assert_eq!(remembered.get(&MOST), None, "nothing in it is half as old yet");
        tokio::time::advance(Duration::from_secs(30)).await;
        remembered.put(MOST, ());
        assert_eq!((remembered.get(&MOST), remembered.get(&0)), (Some(()), None));
    }
}
