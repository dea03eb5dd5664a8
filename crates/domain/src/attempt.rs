//! Writes that had no lasting effect yet: what came of them, and when each is tried again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::ArmId;
use crate::reasons::WaitReason;
use crate::step::StepId;

/// Writes of this process that had no lasting effect yet, or may have none. Status shows those that are in trouble; here are all, so
/// that who erases status starts nothing over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// Generation of the spec that they belong to.
    pub generation: i64,
    /// One for each step, a bounded number.
    pub all: Vec<Attempt>,
}

/// What came of the tries of one step that has not succeeded yet, or whose effect may not last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was tried.
    pub step: StepId,
    /// The resource that it was to change; `None` for a step in the cluster.
    pub resource: Option<ArmId>,
    /// Under which reason it is waited for.
    pub reason: WaitReason,
    /// Azure's error code, where it answered with one.
    pub code: Option<String>,
    /// Azure's words, and what to do; empty after a try that may yet show its effect.
    pub message: String,
    /// When it was tried first.
    pub since: Timestamp,
    /// When it was tried last.
    pub at: Timestamp,
    /// How often it was tried since then.
    pub tries: i32,
    /// When it is tried again.
    pub next_try: Timestamp,
}
