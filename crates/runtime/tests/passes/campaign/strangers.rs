//! What is none of the operator's business: all that Azure held before it began, but the registry, its accounts, and the
//! storage that the spec shares. Nothing of it may be written, and nothing of it may have changed in the end, by whatever
//! consequence (a zone group overwrites a record of the same name).

use std::collections::{BTreeMap, BTreeSet};

use azure_sim::Simulator;
use azure_sim::oracle::targets_of;
use azure_sim::world::{Key, World, key};
use serde_json::Value;

use crate::testbed::REGISTRY;

/// What may be made where nothing was, and below what was made.
const OURS_TO_MAKE: [&str; 3] = [
    "/providers/microsoft.network/privateendpoints/",
    "/providers/microsoft.network/privatednszones/",
    "/providers/microsoft.machinelearningservices/registries/",
];

pub struct Strangers {
    before: BTreeMap<Key, Value>,
}

impl Strangers {
    pub fn of(sim: &Simulator) -> Strangers {
        let before = sim.with_world(|world| {
            let ours = ours(world);
            let all = world.resources.iter();
            let strange = all.filter(|(id, _)| !ours.contains(*id) && !changes_anyway(id));
            strange
                .map(|(id, resource)| (id.clone(), plain(&resource.body)))
                .collect()
        });
        Strangers { before }
    }

    /// Whether this may be written; `shared` is what the spec names under `sharing`.
    pub fn judge_write(&self, sim: &Simulator, path: &str, shared: &[String]) -> Result<(), String> {
        let path = key(path);
        if sim.with_world(ours).contains(&path) || shared.iter().any(|id| key(id) == path) {
            return Ok(());
        }
        if self.before.contains_key(&path) {
            return Err("written, and it is somebody else's".into());
        }
        if path.contains("/privatednszones/")
            && !path.contains("/virtualnetworklinks/")
            && path.matches('/').count() > 8
        {
            return Err("records are written by nobody but Azure".into());
        }
        match OURS_TO_MAKE.iter().any(|kind| path.contains(kind)) {
            true => Ok(()),
            false => Err("written, and nobody asked for such a thing".into()),
        }
    }

    /// What of it is not as it was.
    pub fn harmed(&self, sim: &Simulator, shared: &[String]) -> Vec<String> {
        let shared: BTreeSet<Key> = shared.iter().map(|id| key(id)).collect();
        sim.with_world(|world| {
            let harmed = self.before.iter().filter(|(id, body)| {
                let now = world.resources.get(*id).map(|resource| plain(&resource.body));
                !shared.contains(*id) && now.as_ref() != Some(*body)
            });
            harmed
                .map(|(id, _)| format!("{id} is somebody else's, and is not as it was"))
                .collect()
        })
    }
}

fn ours(world: &World) -> BTreeSet<Key> {
    let targets = targets_of(world, REGISTRY).into_iter().map(|id| key(&id));
    targets.chain([key(REGISTRY)]).collect()
}

/// What lies below the registry's accounts is Azure's, a network's subnets list the endpoints within, and a denial is lifted
/// by the story.
fn changes_anyway(id: &str) -> bool {
    id.contains("/virtualnetworks/") || id.contains("/denyassignments/") || id.contains("/privateendpointconnections/")
}

fn plain(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("etag");
    }
    body
}
