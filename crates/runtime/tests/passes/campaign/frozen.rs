//! Azure's reads that lag: for a while, and a bounded number of times each, a GET is answered as it was answered before; then it
//! jumps forward to how things are.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

/// An answer of Azure.
pub type Recorded = Response<Bytes>;

/// Older answers than this are no lag but another age.
const OLDEST: Duration = Duration::from_secs(180);

/// What this process was answered last, and what of it is repeated.
#[derive(Default)]
pub struct Lagging {
    last: HashMap<String, (Recorded, Instant)>,
    frozen: HashMap<String, (Recorded, usize)>,
    until: Option<Instant>,
}

impl Lagging {
    pub fn keep(&mut self, url: &str, answer: &Recorded) {
        // How an operation stands is told by the one that runs it.
        if !url.to_lowercase().contains("operation") {
            self.last.insert(url.to_owned(), (answer.clone(), Instant::now()));
        }
    }

    pub fn freeze(&mut self, until: Instant, reads: usize) {
        let now = Instant::now();
        self.frozen = self
            .last
            .iter()
            .filter(|(_, (_, at))| *at + OLDEST >= now)
            .map(|(url, (answer, _))| (url.clone(), (answer.clone(), reads)))
            .collect();
        self.until = Some(until);
    }

    pub fn stale(&mut self, url: &str) -> Option<Recorded> {
        if self.until.is_none_or(|until| Instant::now() >= until) {
            return None;
        }
        let (answer, left) = self.frozen.get_mut(url)?;
        *left = left.checked_sub(1)?;
        Some(answer.clone())
    }
}
