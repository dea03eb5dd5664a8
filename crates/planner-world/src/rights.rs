//! What roles in Azure allow the operator, as a world has it.

use sreg_domain::rights::{Permission, Permissions};
use sreg_domain::{ArmId, Fact};

use super::World;

impl World {
    /// Every role allows everything but these actions, wherever the operator looks.
    pub fn allowed_all_but(&mut self, actions: &[&str]) {
        let permissions = Permissions(vec![Permission {
            actions: vec!["*".into()],
            not_actions: actions.iter().map(|a| (*a).to_owned()).collect(),
        }]);
        let managed = self
            .seen
            .azure
            .registry_details()
            .and_then(|r| r.managed_resource_group.clone());
        let mut scopes: Vec<ArmId> = vec![self.desired.registry.clone()];
        scopes.extend(managed);
        scopes.push(self.desired.registry.subscription_id());
        scopes.extend(self.desired.zone_subscriptions());
        for place in self.desired.endpoints() {
            scopes.extend([place.resource_group.clone(), place.subnet.clone()]);
            scopes.push(place.resource_group.subscription_id());
            scopes.extend(place.dns.links.iter().cloned());
            scopes.extend(place.dns.zones.values().cloned());
            scopes.extend(place.dns.zones.values().filter_map(ArmId::resource_group_id));
        }
        for target in self.seen.azure.targets.seen() {
            let subnets = target.virtual_network_rules.iter();
            scopes.extend(subnets.filter_map(|subnet| subnet.parse().ok()));
        }
        self.seen.azure.rights = scopes
            .into_iter()
            .map(|scope| (scope, Fact::Seen(permissions.clone())))
            .collect();
    }
}
