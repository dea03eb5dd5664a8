//! Resource locks. Those over the registry and its accounts may forbid closing them, and opening them again: they are read at every visit,
//! because anybody may set one. Those on what may be about to be removed (our endpoints that nobody wants any more, or that have
//! to be made again, their network interfaces, the zones in which they hold records, and what they are connected to) are read only for
//! these, and those on zones only where an endpoint has yet to be made whose records go there.
//!
//! A list without a filter holds the locks at, above and below its scope. Those at and above keep a resource from being deleted, and so does
//! one below it; of a zone's only those on the endpoint's own records concern us.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sreg_api::names::ZONE_GROUP;
use sreg_domain::ArmId;
use sreg_domain::desired::Desired;
use sreg_domain::seen::{EndpointSeen, Fact, LockSeen};

use super::{Look, each, nonsense, understood, unseen};
use crate::arm::Call;
use crate::arm::Leaving;
use crate::json;

/// The locks that matter, by endpoint, zone and target.
pub(super) async fn on(
    look: &Look<'_>,
    desired: &Desired,
    endpoints: &BTreeMap<ArmId, Fact<EndpointSeen>>,
    wanted: &BTreeSet<ArmId>,
) -> BTreeMap<ArmId, Fact<Vec<LockSeen>>> {
    let leaving = |(id, endpoint): &(&ArmId, &EndpointSeen)| {
        let ours = endpoint.owner.as_deref() == Some(desired.owner.as_str());
        ours && (desired.leaving || !wanted.contains(*id) || has_to_be_made_again(endpoint))
    };
    let seen = endpoints.iter().filter_map(|(id, fact)| Some((id, fact.seen()?)));
    let mut scopes = BTreeSet::new();
    for (id, endpoint) in seen.filter(leaving) {
        scopes.insert(id.clone());
        scopes.extend(endpoint.network_interfaces.iter().cloned());
        // Azure deletes the connection on the target's side too. Where there is none any more the target may be gone.
        scopes.extend(endpoint.target.clone().filter(|_| endpoint.is_approved()));
        let groups = endpoint.zone_groups.seen().into_iter().flatten();
        scopes.extend(
            groups
                .filter(|g| g.id.name() == ZONE_GROUP)
                .flat_map(|g| g.zones.clone()),
        );
    }
    each(scopes.into_iter(), |scope| at(look, scope)).await
}

/// The locks over what is closed and opened, and on zones that are about to be written to. Somebody named each of them, so "not found" tells nothing.
pub(super) async fn over(
    look: &Look<'_>,
    targets: impl Iterator<Item = ArmId>,
) -> BTreeMap<ArmId, Fact<Vec<LockSeen>>> {
    each(targets, |target| async move {
        match at(look, target.clone()).await {
            Fact::Absent => Fact::Unknown(nonsense(&target, "its locks are said not to be there").into_ignorance()),
            fact @ (Fact::Seen(_) | Fact::Unknown(_)) => fact,
        }
    })
    .await
}

fn has_to_be_made_again(endpoint: &EndpointSeen) -> bool {
    let is = |value: &str, known: &[&str]| known.iter().any(|k| k.eq_ignore_ascii_case(value));
    is(&endpoint.provisioning_state, &["Failed", "Canceled"])
        || is(
            endpoint.connection_status.as_deref().unwrap_or_default(),
            &["Disconnected"],
        )
}

async fn at(look: &Look<'_>, scope: ArmId) -> Fact<Vec<LockSeen>> {
    let call = Call::list(look.arm(), &scope, "providers/Microsoft.Authorization/locks");
    match look.list(call).await {
        Ok(items) => understood(&scope, items.iter().map(lock).collect()),
        Err(error) => unseen(error),
    }
}

fn lock(item: &Value) -> Result<LockSeen, &'static str> {
    Ok(LockSeen {
        id: json::string(item, "/id").ok_or("a lock has no id")?,
        level: json::string(item, "/properties/level").ok_or("a lock has no level")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_covers_what_it_stands_on_and_what_is_below_whatever_its_names_are() {
        const GROUP: &str = "/subscriptions/s/resourceGroups/g";
        let account: ArmId = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/a")
            .parse()
            .unwrap();
        let covers = |scope: &str| {
            let id = format!("{scope}/providers/Microsoft.Authorization/locks/l");
            let level = "ReadOnly".to_owned();
            LockSeen { id, level }.covers(&account)
        };
        for scope in ["/subscriptions/S", GROUP, account.as_str(), ""] {
            assert!(covers(scope), "{scope}");
        }
        for scope in [
            format!("{GROUP}2"),
            format!("{GROUP}/providers/x/y/a;b"),
            format!("{GROUP};"),
        ] {
            assert!(!covers(&scope), "{scope}");
        }
    }
}
