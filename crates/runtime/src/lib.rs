//! Controllers: observe, act, reconcile; the agent; leases, metrics, health.
//!
//! ```text
//!                 controller.rs ── watches, concurrency, backoff, panics
//!                       │
//!                 reconcile.rs  ── one pass over one object, top to bottom
//!        ┌──────────┬───┴───────────┬──────────────┐
//!     observe/   (planner)         act/        (planner)
//!     reads      validate, plan    writes      report
//! ```

mod absence;
pub mod act;
pub mod agent;
pub mod api_server;
pub mod backoff;
pub mod context;
pub mod controller;
mod damping;
mod desired;
pub mod events;
mod grants;
pub mod health;
pub mod leadership;
pub mod memory;
pub mod metrics;
pub mod observe;
mod orphaned_break_glass;
mod paging;
pub mod rbac;
pub mod reconcile;
pub mod record;
mod triggers;
mod turns;

pub use context::{Clock, Context, ControllerSettings};
