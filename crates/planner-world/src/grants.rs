//! What administrators grant the namespace of the object, and whose its registry is.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::SecureRegistry;
use sreg_domain::grants::Requirements;
use sreg_domain::seen::Claim;
use sreg_domain::{Fact, Grant, Grants, Purpose};

use super::{World, id};

/// The subscriptions that test worlds and examples stand in.
const SUBSCRIPTIONS: [&str; 4] = [
    "/subscriptions/00000000-0000-0000-0000-000000000001",
    "/subscriptions/0a000000-0000-4000-8000-000000000001",
    "/subscriptions/0a000000-0000-4000-8000-000000000002",
    "/subscriptions/0a000000-0000-4000-8000-000000000009",
];

/// One grant for all that an object can name.
pub fn everything(object: &SecureRegistry) -> Grant {
    let scopes: Vec<_> = SUBSCRIPTIONS.into_iter().map(id).collect();
    let points = object.spec.client_networks.iter();
    Grant {
        name: "everything".into(),
        scopes: Purpose::all()
            .map(|purpose| (purpose, scopes.clone()))
            .collect::<BTreeMap<_, _>>(),
        vantage_points: points.map(|n| n.vantage_point.clone()).collect::<BTreeSet<_>>(),
        requires: Ok(Requirements::default()),
    }
}

/// Everything but what is taken away.
pub fn everything_but(object: &SecureRegistry, taken: &[Purpose]) -> Grants {
    let mut grant = everything(object);
    grant.scopes.retain(|purpose, _| !taken.contains(purpose));
    Grants::new(vec![grant])
}

impl World {
    /// Administrators grant something else; `None`: everything.
    pub fn regrant(&mut self, grants: Option<Grants>) {
        self.grants = grants;
        self.wish();
    }

    /// Administrators take something away.
    pub fn take_away(&mut self, taken: &[Purpose]) {
        self.regrant(Some(everything_but(&self.object, taken)));
    }

    /// Another object, which lives, holds the registry's claim.
    pub fn claimed_by(&mut self, holder: &str) {
        self.held_by(holder, true);
    }

    /// The same of one that is gone.
    pub fn left_claimed_by(&mut self, holder: &str) {
        self.held_by(holder, false);
    }

    fn held_by(&mut self, holder: &str, alive: bool) {
        self.seen.cluster.claim = Fact::Seen(Claim {
            holder: holder.into(),
            uid: "another".into(),
            alive,
            creates: None,
        });
    }
}
