//! What the control plane knows besides the world: who may sign in, which tokens are out, which operations run, how full the
//! buckets are. Locked before the world, never after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::latency::Latencies;
use crate::operations::Operations;
use crate::permissions::{Assignment, Principal};
use crate::throttle::{Buckets, Throttling};
use crate::tokens::Tokens;

/// The control plane's own state.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) tenant: String,
    pub(crate) principals: Vec<Arc<Principal>>,
    /// Who has which role, and from when until when.
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) tokens: Tokens,
    pub(crate) operations: Operations,
    pub(crate) latencies: Latencies,
    pub(crate) throttling: Throttling,
    pub(crate) buckets: Buckets,
    /// Provider namespaces (lower case) that a subscription (lower case) has not registered.
    pub(crate) unregistered: BTreeMap<String, BTreeSet<String>>,
    /// Callers that Log Analytics knows of besides those of the journal.
    pub(crate) callers: Vec<crate::log_analytics::Logged>,
    pub(crate) requests: u64,
    reads: u64,
}

impl Control {
    pub(crate) fn new(
        tenant: String,
        principals: Vec<Arc<Principal>>,
        latencies: Latencies,
        throttling: Throttling,
        token_lifetime_seconds: u64,
        unregistered: BTreeMap<String, BTreeSet<String>>,
    ) -> Control {
        let given = |principal: &Arc<Principal>| {
            let object_id = principal.object_id.clone();
            let roles = principal.roles.clone().into_iter();
            roles.map(move |role| Assignment {
                principal: object_id.clone(),
                role,
                name: None,
                from: Duration::ZERO,
                removed: None,
            })
        };
        Control {
            tenant,
            assignments: principals.iter().flat_map(given).collect(),
            principals,
            tokens: Tokens::new(token_lifetime_seconds),
            operations: Operations::default(),
            latencies,
            throttling,
            buckets: Buckets::default(),
            unregistered,
            callers: Vec::new(),
            requests: 0,
            reads: 0,
        }
    }

    /// True for the first registry read, false for the second, and so on.
    pub(crate) fn every_other_read(&mut self) -> bool {
        self.reads += 1;
        self.reads % 2 == 1
    }

    /// The principal with this object id, with the roles that it has at this time.
    pub(crate) fn principal_at(&self, object_id: &str, now: Duration) -> Option<Arc<Principal>> {
        let found = self.principal(object_id)?;
        let own = self
            .assignments
            .iter()
            .filter(|a| a.principal.eq_ignore_ascii_case(object_id) && a.holds(now));
        let roles = own.map(|a| a.role.clone()).collect();
        Some(Arc::new(Principal {
            roles,
            ..Principal::clone(&found)
        }))
    }

    /// The principal with this object id.
    pub(crate) fn principal(&self, object_id: &str) -> Option<Arc<Principal>> {
        self.principals
            .iter()
            .find(|p| p.object_id.eq_ignore_ascii_case(object_id))
            .cloned()
    }
}
