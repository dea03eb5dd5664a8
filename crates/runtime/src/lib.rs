//! Controllers: observe, act, reconcile; the agent; leases, metrics, health.
//!
//! ```text
//! controllers.rs ── which controllers run: secure_registry.rs, requests.rs
//!       │           each in the harness of controller.rs: watch, turns, backoff, deadline, panics
//!       │
//!       └─────────► reconcile.rs ── one pass over one SecureRegistry, top to bottom
//!        ┌──────────┬───┴───────────┬──────────────┐
//!     observe/   (planner)         act/        (planner)
//!     reads      validate, plan    writes      report
//! ```

mod absence;
pub mod act;
pub mod agent;
pub mod api_server;
mod api_words;
pub mod backoff;
pub mod context;
pub mod controller;
pub mod controllers;
mod damping;
mod decisions;
mod desired;
pub mod events;
mod grants;
pub mod health;
pub mod leadership;
pub mod memory;
pub mod metrics;
pub mod observe;
mod paging;
pub mod rbac;
pub mod reconcile;
pub mod record;
mod requests;
mod secure_registry;
mod triggers;
mod turns;
mod watch;
pub mod writer;

pub use context::{Clock, Context, ControllerSettings};
