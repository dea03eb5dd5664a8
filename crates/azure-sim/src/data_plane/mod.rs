//! The data plane: networks as SOCKS5 ports, a DNS view each, TLS servers behind the endpoints' addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{CertificateAuthority, Simulator};

/// Where one network is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPorts {
    /// For agents: addresses only.
    pub socks5: SocketAddr,
    /// For people: names too.
    pub curl_proxy: SocketAddr,
}

/// The running data plane.
#[derive(Debug)]
pub struct Running {
    /// Ports by network name.
    pub networks: BTreeMap<String, NetworkPorts>,
}

impl Running {
    /// Stops it.
    pub fn shutdown(&self) {}
}

/// Starts it.
pub async fn start(_simulator: Simulator, _ca: Arc<CertificateAuthority>) -> anyhow::Result<Running> {
    Ok(Running { networks: BTreeMap::new() })
}
