//! The brain: validate, plan, lint, teardown, conditions, report. Pure, synchronous and total: no client, no clock, no
//! randomness. What varies is an argument.
//!
//! ```text
//! SecureRegistry ─ validate ─► Desired ┐
//!                                      ├─ plan ─► Plan ─ (act, elsewhere) ─► Outcome ─ report ─► Report
//!                   (observe) ─► Seen ─┘
//! ```

pub mod plan;

pub use plan::{Assessment, Finding, Plan, Step, Wait};
