//! From a seed to a world. References by name become ARM ids; what leads nowhere is reported, and left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{AccountSeed, NetworkSeed, Seed, SeedError, VirtualNetworkSeed};
use crate::arm::path::{group_id_of, name_of};
use crate::arm::registry_accounts::{add_replica, container_registry_body, storage_body};
use crate::arm::{networks, registries, scopes};
use crate::json::{guid, number, set, text};
use crate::log_analytics::Caller;
use crate::permissions::{Principal, Role};
use crate::targets::{TargetKind, parse_prefix};
use crate::world::{Network, OnPremises, Place, World};

pub(super) const START: Duration = Duration::ZERO;

/// What a seed becomes.
pub(crate) struct Beginning {
    pub(crate) world: World,
    pub(crate) principals: Vec<Arc<Principal>>,
    pub(crate) unregistered: BTreeMap<String, BTreeSet<String>>,
    /// Callers with the ARM ids of their targets.
    pub(crate) callers: Vec<Caller>,
    /// What could not be carried out.
    pub(crate) faults: Vec<SeedError>,
}

pub(super) struct Builder<'a> {
    pub(super) seed: &'a Seed,
    pub(super) world: World,
    faults: Vec<SeedError>,
    /// Names of registries, lower case: one each in the tenant.
    registry_names: BTreeSet<String>,
}

/// Builds the world.
pub(crate) fn build(seed: &Seed) -> Beginning {
    let mut world = World {
        switches: seed.switches.clone(),
        ..World::default()
    };
    // The beginning is as if always so: nothing lags.
    world.switches.access_effect_seconds = 0;
    let mut builder = Builder {
        seed,
        world,
        faults: Vec::new(),
        registry_names: BTreeSet::new(),
    };
    builder.everything();
    let principals = builder.principals();
    let callers = builder.callers();
    let Builder { mut world, faults, .. } = builder;
    world.switches = seed.switches.clone();
    world.unwritten.clear();
    world.earlier_bodies.clear();
    let unregistered = seed
        .subscriptions
        .iter()
        .map(|s| {
            (
                subscription_id(s),
                s.unregistered_providers
                    .iter()
                    .map(|p| p.to_ascii_lowercase())
                    .collect(),
            )
        })
        .collect();
    Beginning {
        world,
        principals,
        unregistered,
        callers,
        faults,
    }
}

fn subscription_id(subscription: &super::SubscriptionSeed) -> String {
    subscription
        .id
        .clone()
        .unwrap_or_else(|| guid(&["subscription", &subscription.name]))
        .to_ascii_lowercase()
}

impl Builder<'_> {
    fn everything(&mut self) {
        let seed = self.seed;
        for subscription in &seed.subscriptions {
            let id = subscription_id(subscription);
            let path = format!("/subscriptions/{id}");
            let body = json!({
                "id": path, "subscriptionId": id, "displayName": subscription.name, "state": "Enabled",
                "tenantId": seed.tenant_id,
            });
            self.world.put(&path, body, START);
            for (group, location) in &subscription.resource_groups {
                self.group(&format!("{path}/resourceGroups/{group}"), location);
            }
        }
        for network in &seed.virtual_networks {
            self.virtual_network(network);
        }
        for network in &seed.virtual_networks {
            self.peerings(network);
        }
        for network in &seed.networks {
            self.network(network);
        }
        for registry in &seed.registries {
            self.registry(registry);
        }
        for account in &seed.storage_accounts {
            self.storage(account);
        }
        for account in &seed.container_registries {
            self.container_registry(account);
        }
        for resource in &seed.resources {
            self.raw(resource);
        }
        for zone in &seed.private_dns_zones {
            self.zone(zone);
        }
        for endpoint in &seed.private_endpoints {
            self.endpoint(endpoint);
        }
        for workspace in &seed.log_analytics_workspaces {
            self.workspace(workspace);
        }
        for denial in &seed.deny_assignments {
            self.denial(denial);
        }
    }

    pub(super) fn fault(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.faults.push(SeedError::Reference {
            field: field.into(),
            reason: reason.into(),
        });
    }

    fn group(&mut self, id: &str, location: &str) {
        if self.world.get(id).is_none() {
            self.world.put(id, scopes::group_body(id, location), START);
        }
    }

    /// Id of a resource group by the name or id of its subscription; makes the group.
    pub(super) fn scope(&mut self, field: &str, subscription: &str, group: &str) -> Option<String> {
        let found = self.seed.subscriptions.iter().find(|s| {
            s.name == subscription || s.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(subscription))
        });
        let Some(found) = found else {
            self.fault(field, format!("there is no subscription '{subscription}'"));
            return None;
        };
        let id = format!("/subscriptions/{}/resourceGroups/{group}", subscription_id(found));
        self.group(&id, "westeurope");
        Some(id)
    }

    /// ARM id of a VNet by its name or id.
    pub(super) fn vnet(&mut self, field: &str, name: &str) -> Option<String> {
        let found = match name.starts_with('/') {
            true => self.world.get(name).map(|r| r.id.clone()),
            false => self
                .world
                .of_kind("microsoft.network/virtualnetworks")
                .find(|r| name_of(&r.id) == name)
                .map(|r| r.id.clone()),
        };
        if found.is_none() {
            self.fault(field, format!("there is no virtual network '{name}'"));
        }
        found
    }

    fn virtual_network(&mut self, network: &VirtualNetworkSeed) {
        let field = format!("virtualNetworks[{}]", network.name);
        let Some(scope) = self.scope(&field, &network.subscription, &network.resource_group) else {
            return;
        };
        let id = format!("{scope}/providers/Microsoft.Network/virtualNetworks/{}", network.name);
        let subnets: Vec<Value> = network
            .subnets
            .iter()
            .map(|s| {
                json!({"name": s.name, "properties": {"addressPrefix": s.prefix,
                    "privateEndpointNetworkPolicies": s.private_endpoint_network_policies,
                    "privateLinkServiceNetworkPolicies": "Enabled", "delegations": []}})
            })
            .collect();
        let body = json!({
            "location": network.location, "tags": {},
            "properties": {"addressSpace": {"addressPrefixes": network.address_space}, "subnets": subnets,
                "dhcpOptions": {"dnsServers": network.dns_servers}, "enableDdosProtection": false},
        });
        if let Err(refusal) = networks::put_network(&mut self.world, &id, &body, START) {
            self.fault(field, refusal.message);
        }
    }

    fn peerings(&mut self, network: &VirtualNetworkSeed) {
        let field = format!("virtualNetworks[{}].peerings", network.name);
        for remote in &network.peerings {
            let (Some(own), Some(other)) = (self.vnet(&field, &network.name), self.vnet(&field, remote)) else {
                continue;
            };
            let id = format!("{own}/virtualNetworkPeerings/to-{remote}");
            let body = json!({ "properties": {"remoteVirtualNetwork": {"id": other}, "allowVirtualNetworkAccess": true,
                "allowForwardedTraffic": true, "allowGatewayTransit": false, "useRemoteGateways": false} });
            if let Err(refusal) = networks::put_peering(&mut self.world, &id, &body, START) {
                self.fault(field.clone(), refusal.message);
            }
        }
    }

    fn network(&mut self, network: &NetworkSeed) {
        let field = format!("networks[{}]", network.name);
        let place = match (&network.virtual_network, &network.on_premises, &network.internet) {
            (Some(name), None, None) => self.vnet(&field, name).map(Place::VirtualNetwork),
            (None, Some(site), None) => {
                let connected_to = self.vnet(&format!("{field}.onPremises.connectedTo"), &site.connected_to);
                let forwards_to = match &site.forwards_to {
                    Some(name) => self.vnet(&format!("{field}.onPremises.forwardsTo"), name),
                    None => None,
                };
                if let Some(bad) = site.address_prefixes.iter().find(|p| parse_prefix(p).is_none()) {
                    self.fault(
                        format!("{field}.onPremises.addressPrefixes"),
                        format!("'{bad}' is no prefix"),
                    );
                }
                connected_to.map(|connected_to| {
                    Place::OnPremises(OnPremises {
                        address_prefixes: site.address_prefixes.clone(),
                        connected_to,
                        dns_server: site.dns_server,
                        forwards_to,
                    })
                })
            }
            (None, None, Some(internet)) => Some(Place::Internet(internet.clone())),
            (_, _, _) => {
                self.fault(&field, "exactly one of virtualNetwork, onPremises, internet is needed");
                None
            }
        };
        let Some(place) = place else { return };
        // 198.18.0.0/15 is set aside for such uses (RFC 2544).
        let made = Ipv4Addr::from(0xc612_0000 + 1 + number(&["egress", &network.name], 131_070) as u32);
        let egress_address = network.egress_address.unwrap_or(made);
        let name = network.name.clone();
        let replaced = self.world.networks.insert(
            name.clone(),
            Network {
                name,
                place,
                egress_address,
            },
        );
        if replaced.is_some() {
            self.fault(field, "the name is used twice");
        }
    }

    fn registry(&mut self, registry: &super::RegistrySeed) {
        let field = format!("registries[{}]", registry.name);
        let Some(scope) = self.scope(&field, &registry.subscription, &registry.resource_group) else {
            return;
        };
        let id = format!(
            "{scope}/providers/Microsoft.MachineLearningServices/registries/{}",
            registry.name
        );
        if !self.registry_names.insert(registry.name.to_ascii_lowercase()) {
            self.fault(field, "the name is used twice in the tenant");
            return;
        }
        let account = json!({ "systemCreatedStorageAccount": {"storageAccountType": "Standard_LRS",
            "storageAccountHnsEnabled": registry.hierarchical_namespace, "allowBlobPublicAccess": false} });
        let accounts = vec![account; registry.storage_accounts_per_region.clamp(1, 8) as usize];
        let regions: Vec<Value> = std::iter::once(&registry.location)
            .chain(&registry.additional_locations)
            .map(|l| json!({ "location": l, "storageAccountDetails": accounts }))
            .collect();
        let identities: Vec<Value> = registry
            .assigned_identities
            .iter()
            .map(|i| json!({ "principalId": self.object_id(i) }))
            .collect();
        let asked = json!({
            "location": registry.location, "tags": registry.tags,
            "properties": {"publicNetworkAccess": registry.public_network_access, "regionDetails": regions,
                "managedResourceGroupSettings": {"assignedIdentities": identities}},
        });
        let mut body = registries::new_body(&id, &asked, &self.seed.tenant_id);
        set(&mut body, &["properties", "syndicatedRegistries"], json!([]));
        self.world.put(&id, body, START);
        if let Err(error) = registries::materialise(&mut self.world, &id, START) {
            self.fault(field, text(&error, "/message").to_owned());
        }
        // Nobody asks how a world began; of a large one that would be more than the world itself.
        self.world.unwritten.clear();
        self.world.earlier_bodies.clear();
    }

    /// Object id of a principal by name; any other text is an object id.
    pub(super) fn object_id(&self, name: &str) -> String {
        let found = self.seed.principals.iter().find(|p| p.name == name);
        found.map_or(name.to_owned(), object_id)
    }

    fn storage(&mut self, account: &AccountSeed) {
        let field = format!("storageAccounts[{}]", account.name);
        let Some(scope) = self.scope(&field, &account.subscription, &account.resource_group) else {
            return;
        };
        let id = format!("{scope}/providers/Microsoft.Storage/storageAccounts/{}", account.name);
        let body = storage_body(
            &id,
            &account.location,
            account.hierarchical_namespace,
            &account.public_network_access,
        );
        self.world.put(&id, body, START);
        self.world.publish(&id);
    }

    fn container_registry(&mut self, account: &AccountSeed) {
        let field = format!("containerRegistries[{}]", account.name);
        let Some(scope) = self.scope(&field, &account.subscription, &account.resource_group) else {
            return;
        };
        let id = format!(
            "{scope}/providers/Microsoft.ContainerRegistry/registries/{}",
            account.name
        );
        let body = container_registry_body(&id, &account.location, &account.sku, &account.public_network_access);
        self.world.put(&id, body, START);
        if let Err(error) = add_replica(&mut self.world, &id, &account.location, START) {
            self.fault(field, text(&error, "/message").to_owned());
        }
    }

    fn raw(&mut self, resource: &super::RawResource) {
        let group = group_id_of(&resource.id);
        if !resource.id.starts_with('/') {
            self.fault(format!("resources[{}]", resource.id), "an ARM id begins with '/'");
            return;
        }
        if !group.is_empty() {
            self.group(&group, "westeurope");
        }
        let mut body = Value::Object(resource.body.clone());
        set(&mut body, &["id"], json!(resource.id));
        set(&mut body, &["name"], json!(name_of(&resource.id)));
        self.world.put(&resource.id, body, START);
        if self
            .world
            .get(&resource.id)
            .is_some_and(|r| TargetKind::of(&r.kind).is_some())
        {
            self.world.publish(&resource.id);
        }
    }

    fn principals(&mut self) -> Vec<Arc<Principal>> {
        let seed = self.seed;
        let mut all = Vec::new();
        for principal in &seed.principals {
            let field = format!("principals[{}].roles", principal.name);
            let roles = principal.roles.iter().filter_map(|r| self.role(&field, r)).collect();
            all.push(Arc::new(Principal {
                object_id: object_id(principal),
                client_id: principal
                    .client_id
                    .clone()
                    .unwrap_or_else(|| guid(&["client", &principal.name])),
                client_secret: principal.client_secret.clone(),
                federated: principal.federated.clone(),
                roles,
            }));
        }
        all
    }

    fn role(&mut self, field: &str, role: &super::RoleSeed) -> Option<Role> {
        let scope = match role.scope.starts_with('/') {
            true => role.scope.clone(),
            false => match self.seed.subscriptions.iter().find(|s| s.name == role.scope) {
                Some(subscription) => format!("/subscriptions/{}", subscription_id(subscription)),
                None => {
                    self.fault(
                        field,
                        format!(
                            "there is no subscription '{}'; a scope is an ARM id or a subscription",
                            role.scope
                        ),
                    );
                    return None;
                }
            },
        };
        let (mut actions, mut not_actions) = (role.actions.clone(), role.not_actions.clone());
        if let Some(name) = role.role.as_deref() {
            let Some((allowed, taken_away)) = crate::arm::roles::built_in(name) else {
                self.fault(
                    field,
                    format!("role '{name}' is none of Owner, Contributor, Reader; list its actions"),
                );
                return None;
            };
            actions.extend(allowed);
            not_actions.extend(taken_away);
        }
        Some(Role {
            scope,
            actions,
            not_actions,
            definition: None,
        })
    }
}

fn object_id(principal: &super::PrincipalSeed) -> String {
    principal
        .object_id
        .clone()
        .unwrap_or_else(|| guid(&["object", &principal.name]))
}
