//! An executable model of the Azure that the operator uses. Control plane: ARM, tokens, discovery. Data plane: networks
//! as SOCKS5 ports, a DNS view each, TLS servers behind the endpoints' addresses. Everything that happened is in the
//! journal, so that tests judge from outside.

mod arm;
mod by_hand;
pub mod certificates;
pub mod clock;
mod control;
mod control_api;
pub mod data_plane;
mod discovery;
pub mod environment;
mod exchange;
pub mod faults;
pub mod journal;
mod json;
mod latency;
mod log_analytics;
mod operations;
pub mod oracle;
mod permissions;
mod received;
mod regions;
pub mod seed;
pub mod serve;
mod simulator;
pub mod targets;
mod throttle;
mod tokens;
pub mod world;

pub use certificates::CertificateAuthority;
pub use faults::{FaultEffect, FaultRule};
pub use journal::Journal;
pub use latency::Latencies;
pub use log_analytics::Caller;
pub use oracle::RequiredPath;
pub use seed::{Seed, SeedError};
pub use serve::{Running, ServeOptions};
pub use simulator::{ConnectionDropped, Simulator};
pub use throttle::{Bucket, Throttling};
