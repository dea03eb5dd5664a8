//! What the control plane does, stated call by call over [`azure_sim::Simulator::handle`]: no sockets, simulated time.

mod accounts;
mod azure;
mod endpoints;
mod faults;
mod https;
mod oracle;
mod private_dns;
mod registries;
mod requests;
mod seeds;
mod tokens;
