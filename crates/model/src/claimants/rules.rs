//! What the model knows by itself of the two, and how it judges what they write.

use std::collections::BTreeMap;

use sreg_api::names::CLAIM_TAG;
use sreg_api::registry::PublicAccess;
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::{Action, ArmId, EndpointGroup};

use super::{Second, State};
use crate::lockdown::invariants::break_glass;
use crate::lockdown::state::Rule;
use crate::world::World;

/// What really happened, as far as the rules ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// Who made each private endpoint that stands.
    pub(crate) made_by: BTreeMap<ArmId, usize>,
    /// Whose closing write closed what is closed.
    pub(crate) closed_by: Option<usize>,
    /// Whom administrators grant what it needs.
    pub(crate) granted: [bool; 2],
    /// Whom an administrator let take the registry over.
    pub(crate) may_take_over: [bool; 2],
}

impl Default for Ghost {
    fn default() -> Ghost {
        Ghost {
            made_by: BTreeMap::new(),
            closed_by: None,
            granted: [true; 2],
            may_take_over: [false; 2],
        }
    }
}

fn mark(world: &World) -> Option<ClaimMark> {
    let registry = world.seen.azure.registry_details()?;
    ClaimMark::parse(registry.tags.get(CLAIM_TAG)?)
}

/// The claim tag names an object of another cluster.
pub(crate) fn tag_names_another_cluster(world: &World) -> bool {
    mark(world).is_some_and(|mark| mark.cluster != world.desired.cluster)
}

/// The claim in this cluster is that of an object of another name.
fn lease_is_anothers(world: &World) -> bool {
    let claim = world.seen.cluster.claim.seen();
    claim.is_some_and(|claim| claim.holder != world.desired.object.holder())
}

fn held_by_another(world: &World) -> bool {
    lease_is_anothers(world) || tag_names_another_cluster(world)
}

/// Of all clusters' objects this one holds the registry.
pub(crate) fn holds(world: &World) -> bool {
    world.seen.cluster.claim.seen().is_some() && !held_by_another(world)
}

fn not_permitted(state: &State, k: usize) -> Option<String> {
    let world = &state.parties[k].world;
    if world.gone || world.seen.object.deleting {
        return Some("it is going".into());
    }
    if !state.ghost.granted[k] {
        return Some("nobody grants it".into());
    }
    (!holds(world)).then(|| "it does not hold the registry".into())
}

/// Why this object must not open anything that is closed now.
pub(crate) fn why_not_open(state: &State, k: usize) -> Option<String> {
    let world = &state.parties[k].world;
    if let Some(why) = not_permitted(state, k) {
        return Some(why);
    }
    if world.desired.public_access == PublicAccess::Disabled && !break_glass(world) {
        return Some("it wants it closed".into());
    }
    let closed_by_the_other = state.ghost.closed_by == Some(1 - k);
    (closed_by_the_other && !state.ghost.may_take_over[k])
        .then(|| "the other one closed it, and nobody let this one take over".into())
}

/// Why this write must not go out now, if it closes or deletes.
pub(crate) fn why_not(state: &State, k: usize, action: &Action, second: Second) -> Option<(Rule, String)> {
    let Action::Azure(action) = action else { return None };
    if action.is_closing() {
        return Some((Rule::Closing, not_permitted(state, k)?));
    }
    let endpoint = action.removed_endpoint()?;
    Some((Rule::Deleting, why_not_delete(state, k, &endpoint, second)?))
}

fn why_not_delete(state: &State, k: usize, endpoint: &ArmId, second: Second) -> Option<String> {
    let world = &state.parties[k].world;
    if held_by_another(world) {
        return Some("another object holds the registry".into());
    }
    let groups = world.groups();
    let mut named = world.desired.endpoints().iter().flat_map(|place| {
        let id = |(group, target): &(EndpointGroup, ArmId)| world.endpoint_id(place, *group, target);
        groups.iter().map(id)
    });
    let made_by_the_other = state.ghost.made_by.get(endpoint) == Some(&(1 - k));
    if !named.any(|id| id == *endpoint) {
        return Some(format!("its spec names no {endpoint}"));
    }
    // An object of the same name goes on with what its former self left in another cluster, once it holds the registry.
    let goes_on = second == Second::InAnotherCluster && holds(world);
    (made_by_the_other && !goes_on).then(|| format!("the other one made {endpoint}"))
}
