//! What the control plane does, stated call by call over [`azure_sim::Simulator::handle`]: no sockets, simulated time.

// The callers below are test code too, though clippy only knows functions marked as tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

mod accounts;
mod approval;
mod azure;
mod endpoints;
mod faults;
mod https;
mod locks;
mod logs;
mod manners;
mod networks;
mod nonsense;
mod oracle;
mod policies;
mod private_dns;
mod registries;
mod requests;
mod scale;
mod seeds;
mod tokens;
