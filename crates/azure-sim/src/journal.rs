//! What happened, in order: every ARM, token and discovery request, every change of a resource, every DNS question and
//! every stream, each with a sequence number and the simulated time. Control and data plane write, tests and `/_sim`
//! read. Secrets and tokens never come here. No I/O.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;

/// How many records are kept; the oldest go first. [`Journal::first_kept`] says where the memory begins.
const KEPT: usize = 1_000_000;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its place in the order of everything, from 1.
    pub seq: u64,
    /// Simulated seconds since the start.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum Entry {
    /// A request to ARM, the token endpoint or discovery, written when it was answered (or held by a fault).
    Request(RequestEntry),
    /// A resource changed: by a request at once, by an operation that came to its end, or by hand.
    Change(ChangeEntry),
    /// A DNS question and its answer.
    Dns(DnsEntry),
    /// A stream that somebody opened, written when its fate was known.
    Stream(StreamEntry),
}

/// Which endpoint a request went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Service {
    /// Azure Resource Manager.
    Arm,
    /// The token endpoint.
    Token,
    /// The registry discovery endpoint.
    Discovery,
    /// The query endpoint of Log Analytics.
    LogAnalytics,
}

/// A request to the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEntry {
    /// Where it went.
    pub service: Service,
    /// HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Object id of the caller, where a token said so.
    pub principal: Option<String>,
    /// HTTP status of the answer; 0 where the connection ended without one.
    pub status: u16,
    /// The top-level error code of the answer.
    pub error_code: Option<String>,
    /// `x-ms-correlation-request-id` of the answer.
    pub correlation_id: String,
    /// A PUT, PATCH, DELETE or POST action on ARM.
    pub write: bool,
    /// The request body of an ARM write, where it was JSON.
    pub body: Option<Value>,
    /// Ids of the resources that this request changed at once.
    pub changed: Vec<String>,
    /// The operation that this request started.
    pub operation: Option<String>,
    /// What an injected fault did to it.
    pub fault: Option<String>,
}

/// Who changed a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// An ARM request, by its principal's object id.
    Principal(String),
    /// The simulated service itself (an operation's end, a consequence of another change).
    #[default]
    Service,
    /// Somebody outside the story, through `/_sim`.
    Hand,
    /// The simulated Azure Policy.
    Policy,
}

/// A resource that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeEntry {
    /// ARM id as Azure spells it.
    pub id: String,
    /// Whose doing it was.
    pub by: Actor,
    /// Fields whose value differs; empty for a resource that was created or deleted.
    pub fields: Vec<FieldChange>,
    /// What became of the resource.
    pub change: ChangeKind,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It did not exist before.
    Created,
    /// It differs from before.
    Updated,
    /// It is gone.
    Deleted,
}

/// One field before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// JSON pointer.
    pub pointer: String,
    /// The value before; null where there was none.
    pub before: Value,
    /// The value after; null where there is none.
    pub after: Value,
}

/// A DNS question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsEntry {
    /// The network it came from.
    pub network: String,
    /// The server asked.
    pub server: String,
    /// The name asked for, lower case, without the final dot.
    pub name: String,
    /// Record type, such as `A`.
    pub record_type: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// Response code, such as `NoError` or `NXDomain`.
    pub rcode: String,
    /// The answer section as text, such as `blob.… CNAME …` or `… A 10.0.1.4`.
    pub answers: Vec<String>,
}

/// By which way a stream reached its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leg {
    /// Through a private endpoint.
    Endpoint,
    /// Through the public address.
    Public,
    /// It reached nothing.
    None,
}

/// A stream that somebody opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamEntry {
    /// The network it came from.
    pub network: String,
    /// The address it went to.
    pub address: IpAddr,
    /// The port it went to.
    pub port: u16,
    /// How it got there.
    pub leg: Leg,
    /// ARM id of the target behind the address.
    pub target: Option<String>,
    /// Server name that the client sent in TLS.
    pub sni: Option<String>,
    /// Method of the HTTP request.
    pub http_method: Option<String>,
    /// Path of the HTTP request, without its query.
    pub http_path: Option<String>,
    /// Status of the HTTP answer.
    pub http_status: Option<u16>,
    /// What became of it, such as `answered`, `silence`, `refused`, `tlsFailed`.
    pub outcome: String,
}

/// The shared journal; clones write to the same one.
#[derive(Debug, Clone)]
pub struct Journal {
    clock: Clock,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    next: u64,
}

impl Journal {
    /// An empty journal on this clock.
    pub fn new(clock: Clock) -> Self {
        Journal {
            clock,
            kept: Arc::new(Mutex::new(Kept {
                records: VecDeque::new(),
                next: 1,
            })),
        }
    }

    /// Writes a line now and returns its sequence number.
    pub fn record(&self, entry: Entry) -> u64 {
        self.record_at(self.clock.now(), entry)
    }

    /// Writes a line that happened at this simulated time (operations are settled late), and returns its number.
    pub(crate) fn record_at(&self, at: Duration, entry: Entry) -> u64 {
        let mut kept = self.lock();
        let seq = kept.next;
        kept.next += 1;
        if kept.records.len() == KEPT {
            kept.records.pop_front();
        }
        kept.records.push_back(Record {
            seq,
            at: at.as_secs_f64(),
            entry,
        });
        seq
    }

    /// All kept records with a sequence number above `since`; 0 for all.
    pub fn since(&self, since: u64) -> Vec<Record> {
        let kept = self.lock();
        let first = kept.records.front().map_or(kept.next, |r| r.seq);
        let skip = usize::try_from(since.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        kept.records.iter().skip(skip).cloned().collect()
    }

    /// All kept records.
    pub fn snapshot(&self) -> Vec<Record> {
        self.since(0)
    }

    /// The number of the last record written; 0 when there is none.
    pub fn last(&self) -> u64 {
        self.lock().next - 1
    }

    /// The number of the oldest record still kept (1 unless the memory ran over).
    pub fn first_kept(&self) -> u64 {
        let kept = self.lock();
        kept.records.front().map_or(kept.next, |r| r.seq)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Entry {
        Entry::Dns(DnsEntry {
            network: "hub".into(),
            server: "168.63.129.16".into(),
            name: name.into(),
            record_type: "A".into(),
            transport: "udp".into(),
            rcode: "NoError".into(),
            answers: vec![],
        })
    }

    #[test]
    fn records_are_numbered_from_one_and_since_leaves_out_what_was_seen() {
        let journal = Journal::new(Clock::new(1.0));
        assert_eq!(journal.last(), 0);
        assert_eq!(journal.record(question("a")), 1);
        assert_eq!(journal.record(question("b")), 2);
        assert_eq!(journal.since(1).iter().map(|r| r.seq).collect::<Vec<_>>(), [2]);
        assert!(journal.since(2).is_empty());
        assert_eq!(journal.snapshot().len(), 2);
    }

    #[test]
    fn a_record_survives_json() {
        let journal = Journal::new(Clock::new(1.0));
        journal.record(question("a"));
        let text = serde_json::to_string(&journal.snapshot()).unwrap();
        assert!(text.contains(r#""what":"dns""#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Record>>(&text).unwrap(), journal.snapshot());
    }
}
