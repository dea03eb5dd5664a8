//! Controllers: observe, act, reconcile; the agent; leases, metrics, health, settings.

pub mod agent;
