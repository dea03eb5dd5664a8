//! Not knowing something, which is a value: why, and when asking again makes sense.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignorance {
    /// What was attempted, such as `read /subscriptions/…`.
    pub attempt: String,
    /// What kind of failure it was.
    pub kind: IgnoranceKind,
    /// Azure's (or the API server's) own words.
    pub message: String,
    /// Azure's deepest error code.
    pub code: Option<String>,
    /// `x-ms-correlation-request-id`.
    pub correlation_id: Option<String>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
}

impl Ignorance {
    /// Not looked at, because something before it was not seen.
    pub fn not_read(because: &str) -> Ignorance {
        Ignorance {
            attempt: String::new(),
            kind: IgnoranceKind::NotRead,
            message: because.to_owned(),
            code: None,
            correlation_id: None,
            retry_after: None,
        }
    }
}

/// Kinds of not knowing; decides whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IgnoranceKind {
    /// 401 or 403: rights are missing.
    Forbidden,
    /// The identity provider gives us no token: our credential is wrong, expired or not known there.
    SignIn,
    /// 429 or our own budget.
    Throttled,
    /// No answer in time, connection failed, 5xx.
    Unreachable,
    /// An answer that is no answer: HTML, truncated JSON, missing fields.
    Nonsense,
    /// Recently created or changed and not yet consistent.
    Settling,
    /// Not looked at.
    NotRead,
    /// The request was refused for another reason.
    Refused,
}
