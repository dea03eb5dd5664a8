//! What can be unknown for a visit: each fact by a name, with what makes it so.

use std::collections::BTreeMap;

use sreg_domain::seen::{IgnoranceKind, Seen};
use sreg_domain::{ArmId, Fact, TargetKind};

use super::{OfKnownKind as _, World, see_registry, unknown};

/// Facts by name, each with what makes it unknown.
pub type Forgetters = Vec<(String, Box<dyn Fn(&mut Seen)>)>;

fn gone<T>() -> Fact<T> {
    unknown(IgnoranceKind::Unreachable)
}

fn forget_each<T>(facts: &mut BTreeMap<ArmId, Fact<T>>) {
    facts.values_mut().for_each(|fact| *fact = gone());
}

impl World {
    /// Every fact that can be forgotten, as a list of forgetters.
    pub fn forgetters(&self) -> Forgetters {
        let mut all: Forgetters = Vec::new();
        fn add(all: &mut Forgetters, name: &str, forget: impl Fn(&mut Seen) + 'static) {
            all.push((name.to_owned(), Box::new(forget)));
        }
        add(&mut all, "claim", |s| s.cluster.claim = gone());
        add(&mut all, "snapshot", |s| s.cluster.snapshot = gone());
        add(&mut all, "published DNS", |s| s.cluster.published_dns = gone());
        add(&mut all, "approvals", |s| s.cluster.approvals = gone());
        add(&mut all, "break-glasses", |s| s.cluster.break_glasses = gone());
        add(&mut all, "principal", |s| s.azure.principal = gone());
        add(&mut all, "registry", |s| see_registry(&mut s.azure, gone()));
        add(&mut all, "discovery", |s| s.azure.discovery = gone());
        add(&mut all, "deny assignments", |s| {
            forget_each(&mut s.azure.deny_assignments);
        });
        add(&mut all, "zones elsewhere", |s| s.azure.zones_elsewhere = gone());
        add(&mut all, "public clients", |s| s.azure.recent_public_clients = gone());
        add(&mut all, "obstacles", |s| s.azure.reopening_obstacles = gone());
        add(&mut all, "locks", |s| forget_each(&mut s.azure.locks));
        add(&mut all, "rights", |s| forget_each(&mut s.azure.rights));
        add(&mut all, "neighbours", |s| forget_each(&mut s.azure.neighbours));
        add(&mut all, "obstacles to removal", |s| {
            forget_each(&mut s.azure.removal_obstacles);
        });
        add(&mut all, "accounts left", |s| forget_each(&mut s.azure.accounts_left));
        for point in self.seen.cluster.vantage_points.keys() {
            let key = point.clone();
            add(&mut all, &format!("vantage point {point}"), move |s| {
                s.cluster.vantage_points.insert(key.clone(), gone());
            });
            let key = point.clone();
            add(&mut all, &format!("agent {point}"), move |s| {
                if let Some(Fact::Seen(seen)) = s.cluster.vantage_points.get_mut(&key) {
                    seen.alive = gone();
                }
            });
        }
        for point in self.seen.cluster.probes.keys().cloned() {
            add(&mut all, &format!("probe {point}"), move |s| {
                s.cluster.probes.insert(point.clone(), gone());
            });
        }
        let targets = &self.seen.azure.targets;
        for (id, _) in targets.of(TargetKind::Storage) {
            let id = id.clone();
            add(&mut all, &format!("storage {}", id.name()), move |s| {
                s.azure.targets.insert(id.clone(), gone());
            });
        }
        for id in self.seen.azure.shared_storage.keys().cloned() {
            add(&mut all, &format!("shared storage {}", id.name()), move |s| {
                s.azure.shared_storage.insert(id.clone(), gone());
            });
        }
        for (id, _) in targets.of(TargetKind::ContainerRegistry) {
            let (key, id) = (id.clone(), id.clone());
            add(&mut all, &format!("container registry {}", id.name()), move |s| {
                s.azure.targets.insert(key.clone(), gone());
            });
            add(&mut all, "replicas", move |s| {
                if let Some(seen) = s.azure.targets.seen_mut(&id) {
                    seen.as_acr().replicas = gone();
                }
            });
        }
        for id in self.seen.azure.endpoints.keys().cloned() {
            let name = id.name().to_owned();
            let key = id.clone();
            add(&mut all, &format!("endpoint {name}"), move |s| {
                s.azure.endpoints.insert(key.clone(), gone());
            });
            let key = id.clone();
            add(&mut all, &format!("members {name}"), move |s| {
                if let Some(Fact::Seen(seen)) = s.azure.endpoints.get_mut(&key) {
                    seen.members = gone();
                }
            });
            add(&mut all, &format!("zone groups {name}"), move |s| {
                if let Some(Fact::Seen(seen)) = s.azure.endpoints.get_mut(&id) {
                    seen.zone_groups = gone();
                }
            });
        }
        for id in self.zone_group_policies().into_keys() {
            add(&mut all, &format!("policies for {}", id.name()), move |s| {
                s.azure.zone_group_policies.insert(id.clone(), gone());
            });
        }
        for id in self.records_by_policy().into_keys() {
            add(&mut all, &format!("records by policy of {}", id.name()), move |s| {
                s.azure.records_by_policy.insert(id.clone(), gone());
            });
        }
        for id in self.seen.azure.subnets.keys().cloned() {
            add(&mut all, "subnet", move |s| {
                s.azure.subnets.insert(id.clone(), gone());
            });
        }
        for id in self.seen.azure.virtual_networks.keys().cloned() {
            add(&mut all, &format!("network {}", id.name()), move |s| {
                s.azure.virtual_networks.insert(id.clone(), gone());
            });
        }
        for id in self.seen.azure.zones.keys().cloned() {
            let name = id.name().to_owned();
            let key = id.clone();
            add(&mut all, &format!("zone {name}"), move |s| {
                s.azure.zones.insert(key.clone(), gone());
            });
            let key = id.clone();
            add(&mut all, &format!("links of {name}"), move |s| {
                if let Some(Fact::Seen(seen)) = s.azure.zones.get_mut(&key) {
                    seen.links = gone();
                }
            });
            add(&mut all, &format!("records of {name}"), move |s| {
                if let Some(Fact::Seen(seen)) = s.azure.zones.get_mut(&id) {
                    seen.records = gone();
                }
            });
        }
        all
    }
}
