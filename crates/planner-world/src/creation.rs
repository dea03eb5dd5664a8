//! A registry that the operator creates.

use sreg_api::names::CREATED_TAG;
use sreg_api::registry::CreateSpec;

use super::*;

impl World {
    /// Nothing is there, and the spec has it created.
    pub fn to_be_created() -> World {
        let mut world = World::everyday();
        world.have_it_created();
        world.seen.azure.targets = Targets::from_iter([(id(REGISTRY), Fact::Absent)]);
        world.seen.azure.endpoints.clear();
        world
    }

    /// The spec has the registry created where there is none.
    pub fn have_it_created(&mut self) {
        self.respec(|o| {
            o.spec.registry.create = Some(CreateSpec {
                location: "westeurope".into(),
                additional_locations: Vec::new(),
            })
        });
    }

    /// Its claim says that this object creates a registry with this mark.
    pub fn record_creation(&mut self, mark: &str) {
        self.seen.cluster.claim = Fact::Seen(Claim::of(&self.desired.object, Some(mark.to_owned())));
    }

    /// The registry carries this mark.
    pub fn mark_creation(&mut self, mark: &str) {
        change_registry(self, |registry| {
            registry.tags.insert(CREATED_TAG.into(), mark.into());
        });
    }
}
