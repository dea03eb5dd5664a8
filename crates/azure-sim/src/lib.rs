//! An executable model of the Azure that the operator uses. Control plane: ARM, tokens, discovery. Data plane: networks
//! as SOCKS5 ports, a DNS view each, TLS servers behind the endpoints' addresses. Everything that happened is in the
//! journal, so that tests judge from outside.

pub mod certificates;
pub mod clock;
pub mod data_plane;
pub mod journal;
mod json;
mod simulator;
pub mod targets;
pub mod world;

pub use certificates::CertificateAuthority;
pub use journal::Journal;
pub use simulator::Simulator;
