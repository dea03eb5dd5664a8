//! Reads that lag. Azure's: for a while, and a bounded number of times each, a GET is answered as it was answered before. The
//! cluster's: a copy of the API server as it was some changes ago. Both then jump forward to how things are.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use crate::api_server::{ApiServer, Key};

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

impl ApiServer {
    /// A server that stands still as this one was so many changes ago. Leases are renewed all the time and do not count.
    pub fn changes_ago(&self, changes: usize) -> ApiServer {
        let store = self.lock();
        let counts = |event: &&crate::api_server::Event| event.key.0 != "leases";
        let since = store.log.iter().rev().filter(counts).nth(changes.saturating_sub(1));
        let first = match changes {
            0 => u64::MAX,
            _ => since.map_or(0, |event| event.version),
        };
        let mut objects: BTreeMap<Key, serde_json::Value> = BTreeMap::new();
        for event in store.log.iter().filter(|event| event.version < first) {
            if event.kind == "DELETED" {
                objects.remove(&event.key);
            } else {
                objects.insert(event.key.clone(), event.object.clone());
            }
        }
        ApiServer::standing_still(objects, first.min(store.version), self.clock())
    }
}
