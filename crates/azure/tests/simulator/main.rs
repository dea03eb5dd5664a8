//! The client against the simulated Azure in the same process: what it sees, what it writes, what it does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

mod calls;
mod narrowing;
mod odd;
mod ownership;
mod policies;
mod seeing;
mod short;
mod simulated;
mod steps;
mod subnet_rights;
mod writing;
mod zone_groups;
