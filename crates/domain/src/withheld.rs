//! Why a step of a plan was not attempted.

use std::time::Duration;

use crate::call_failure::CallFailure;
use crate::reasons::WaitReason;

/// What said no: leadership, a step before it, the grants, or the fence, which judges again right before a write that closes or opens.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Withheld {
    /// This process does not lead.
    #[error("leadership is not held: another operator may be writing")]
    NotLeading,
    /// The leader's Lease could end while the write is under way.
    #[error("the leader's lease has {} s left, and the write may take {} s", left.as_secs(), needed.as_secs())]
    LeaseTooShort {
        /// How long it still holds.
        left: Duration,
        /// How long the write may take.
        needed: Duration,
    },
    /// A step of an earlier wave is not done.
    #[error("{0} comes first")]
    ComesFirst(String),
    /// The grants of the namespace cannot be read again.
    #[error(transparent)]
    GrantsUnread(Box<CallFailure>),
    /// They are others than those that the plan was made by.
    #[error("the grants of its namespace changed meanwhile")]
    GrantsChanged,
    /// The object is not there any more.
    #[error("the object is gone")]
    ObjectGone,
    /// It cannot be read again.
    #[error("the object cannot be read again: {}", .0.message)]
    ObjectUnread(Box<CallFailure>),
    /// Another object of the same name is there.
    #[error("the object was made again under the same name")]
    ObjectMadeAgain,
    /// Its spec is another.
    #[error("the spec changed from generation {planned} to {now}")]
    SpecChanged {
        /// Generation that the plan is for.
        planned: i64,
        /// Generation now.
        now: i64,
    },
    /// It is being deleted.
    #[error("the object is being deleted")]
    ObjectDeleted,
    /// Its spec names no registry any more.
    #[error("{0}")]
    SpecBroken(String),
    /// The fresh plan breaks a rule of the lint.
    #[error("the fresh plan breaks the rule {rule:?}: {message}")]
    BreaksRule {
        /// Which.
        rule: &'static str,
        /// How.
        message: String,
    },
    /// The claim would have to be taken first.
    #[error("the claim on the registry is gone: it is taken again first")]
    ClaimGone,
    /// The fresh plan changes the same to something else.
    #[error("what is to be changed is another between plan and write")]
    ChangesAnother,
    /// The fresh plan waits for something instead.
    #[error("the world changed between plan and write: {reason}: {message}")]
    Waits {
        /// For what.
        reason: WaitReason,
        /// The wait's sentence.
        message: String,
    },
    /// The fresh plan does not do it.
    #[error("the world changed between plan and write: this is not what is to be done any more")]
    NotPlanned,
    /// The fresh plan closes without evidence.
    #[error("the fresh plan has no evidence")]
    NoEvidence,
}
