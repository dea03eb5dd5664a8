//! Three models, explored exhaustively by `stateright`. All call the code that runs: [`lockdown`] and [`claimants`] the planner's
//! `plan`, `report` and `validate`, [`election`] the leadership fence. What is a model here is what surrounds them.
//!
//! Only tests build on this crate.

// Test code: a panic is a finding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod claimants;
pub mod election;
pub mod lockdown;

use sreg_planner_world as world;
