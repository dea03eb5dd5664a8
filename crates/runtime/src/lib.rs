//! Controllers: observe, act, reconcile; the agent; leases, metrics, health, settings.

pub mod agent;
pub mod health;
pub mod leadership;
pub mod metrics;
