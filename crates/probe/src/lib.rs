//! Looks at one name from one place: takes a [`Via`] (how to dial, whom to ask for names, whom to trust) and a path of a
//! probe, does the I/O of the four unauthenticated hops and returns what it found. It never panics, never outlasts its
//! limit, keeps nothing from one attempt to the next, and contacts only hosts of the cloud's own suffixes.
//!
//! ```text
//! hop    asks                                          Failed                                    Unknown
//! dns    the resolver, by UDP, by TCP on truncation    NXDOMAIN, other addresses, no CNAME,      dead proxy
//!                                                      SERVFAIL, refusal, silence
//! tcp    443 at the addresses just answered            refusal, silence, no route                dead proxy
//! tls    the public name, system and extra roots       any handshake error                       –
//! http   the service's own first question              network denial, a foreign service         5xx, 429, no answer in time,
//!                                                                                                an answer that tells nothing
//! ```
//!
//! What each service answers, and how a denial looks, are facts about Azure; they live in `verdict`, apart from all I/O.

mod answer;
mod attempt;
mod dial;
mod dns;
mod exchange;
mod hosts;
mod socks5;
mod tls;
mod verdict;

pub use attempt::{Attempt, attempt};
pub use dial::{AddressError, Dialer};
pub use dns::ResolverAddress;
pub use tls::{TrustError, TrustRoots};

use sreg_api::probe::ProbeOutcome;

/// How one vantage point looks at the world.
#[derive(Debug, Clone)]
pub struct Via {
    /// How streams and datagrams leave: directly, or through a SOCKS5 proxy.
    pub dialer: Dialer,
    /// Which DNS server is asked.
    pub resolver: ResolverAddress,
    /// Which certificate authorities are trusted.
    pub roots: TrustRoots,
    /// Only names that end in one of these are contacted: the cloud's. Without this list whoever can write a probe's spec could
    /// make the agent connect anywhere.
    pub host_suffixes: Vec<String>,
    /// `x-ms-version` of requests to storage: with one an anonymous request is told 401; without one 404 or 409, and nothing can
    /// be told apart.
    pub storage_version: String,
}

/// Why an attempt went no further than a hop: what it counts as, and the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) outcome: ProbeOutcome,
    pub(crate) message: String,
}

impl Stop {
    /// Clients here cannot use this path.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Stop {
            outcome: ProbeOutcome::Failed,
            message: message.into(),
        }
    }

    /// Nothing can be said about the path.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Stop {
            outcome: ProbeOutcome::Unknown,
            message: message.into(),
        }
    }
}
