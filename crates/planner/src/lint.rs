//! The one rule and the orders, checked independently of how the plan was made.

use sreg_domain::{Desired, Seen};

use crate::plan::Plan;

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintFinding {
    /// Which rule, in a few words.
    pub rule: &'static str,
    /// What breaks it.
    pub message: String,
}

/// Checks a plan.
pub fn lint(_desired: &Desired, _seen: &Seen, _plan: &Plan) -> Vec<LintFinding> {
    Vec::new()
}
