//! What other teams have at the beginning: zones, endpoints, deny assignments.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::building::{Builder, START};
use super::{DenyAssignmentSeed, EndpointSeed, WorkspaceSeed, ZoneSeed};
use crate::arm::path::name_of;
use crate::arm::registry_accounts::BORN;
use crate::arm::{private_dns, private_endpoints, record_sets};
use crate::json::{guid, set};
use crate::log_analytics::{Caller, customer_id};
use crate::oracle::{registry_id, targets_of};
use crate::targets::TargetKind;

impl Builder<'_> {
    pub(super) fn zone(&mut self, zone: &ZoneSeed) {
        let field = format!("privateDnsZones[{}]", zone.name);
        let Some(scope) = self.scope(&field, &zone.subscription, &zone.resource_group) else {
            return;
        };
        let id = format!("{scope}/providers/Microsoft.Network/privateDnsZones/{}", zone.name);
        private_dns::create_zone(&mut self.world, &id, json!(zone.tags), "Succeeded", START);
        for link in &zone.links {
            let Some(network) = self.vnet(&format!("{field}.links"), link) else {
                continue;
            };
            let link_id = format!("{id}/virtualNetworkLinks/{}", name_of(&network));
            let mut body = private_dns::link_body(&link_id, &network, false, &zone.resolution_policy, json!({}));
            set(
                &mut body,
                &["properties", "virtualNetworkLinkState"],
                json!("Completed"),
            );
            set(&mut body, &["properties", "provisioningState"], json!("Succeeded"));
            self.world.put(&link_id, body, START);
        }
        for (name, addresses) in &zone.records {
            let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
            record_sets::write_addresses(&mut self.world, &id, name, (&addresses, 3600, json!({})), START);
        }
        record_sets::refresh_zone(&mut self.world, &id, START);
    }

    pub(super) fn endpoint(&mut self, endpoint: &EndpointSeed) {
        let field = format!("privateEndpoints[{}]", endpoint.name);
        let Some(scope) = self.scope(&field, &endpoint.subscription, &endpoint.resource_group) else {
            return;
        };
        let Some(subnet) = self.subnet(&field, &endpoint.subnet) else {
            return;
        };
        let found = self
            .world
            .resources
            .values()
            .filter(|r| TargetKind::of(&r.kind).is_some())
            .find(|r| r.id.eq_ignore_ascii_case(&endpoint.target) || name_of(&r.id) == endpoint.target)
            .map(|r| r.id.clone());
        let Some(target) = found else {
            self.fault(
                format!("{field}.target"),
                format!("there is no target '{}'", endpoint.target),
            );
            return;
        };
        let id = format!("{scope}/providers/Microsoft.Network/privateEndpoints/{}", endpoint.name);
        let network = crate::arm::path::parent_of(&subnet);
        let location = self
            .world
            .get(&network)
            .map_or(json!("westeurope"), |n| n.body["location"].clone());
        let body = json!({
            "id": id, "name": endpoint.name, "type": "Microsoft.Network/privateEndpoints", "location": location, "tags": {},
            "properties": {
                "provisioningState": "Succeeded", "subnet": {"id": subnet},
                "ipVersionType": "IPv4", "resourceGuid": guid(&["pe", &id.to_lowercase()]),
                "privateLinkServiceConnections": [{"name": endpoint.name,
                    "id": format!("{id}/privateLinkServiceConnections/{}", endpoint.name),
                    "type": "Microsoft.Network/privateEndpoints/privateLinkServiceConnections", "properties": {
                    "provisioningState": "Succeeded", "privateLinkServiceId": target, "groupIds": [endpoint.group_id],
                    "privateLinkServiceConnectionState": {"status": "Pending", "description": ""}}}],
                "manualPrivateLinkServiceConnections": [], "ipConfigurations": [], "networkInterfaces": [],
                "customDnsConfigs": [],
            },
        });
        self.world.put(&id, body, START);
        if let Err(refusal) = crate::arm::endpoint_addresses::assign(&mut self.world, &id, START) {
            self.fault(&field, refusal.message);
        }
        let approval_pending = std::mem::take(&mut self.world.switches.approval_pending);
        private_endpoints::connect(&mut self.world, &id, START);
        self.world.switches.approval_pending = approval_pending;
        if let Some(group) = &endpoint.zone_resource_group {
            self.zone_group(&field, &id, endpoint, group);
        }
    }

    fn subnet(&mut self, field: &str, name: &str) -> Option<String> {
        let id = match name.split_once('/') {
            Some(("", _)) => name.to_owned(),
            Some((network, subnet)) => format!("{}/subnets/{subnet}", self.vnet(field, network)?),
            None => String::new(),
        };
        let found = self.world.get(&id).map(|s| s.id.clone());
        if found.is_none() {
            self.fault(
                format!("{field}.subnet"),
                format!("there is no subnet '{name}'; write vnet/subnet or an ARM id"),
            );
        }
        found
    }

    fn zone_group(&mut self, field: &str, endpoint_id: &str, endpoint: &EndpointSeed, group: &str) {
        let Some(scope) = self.scope(field, &endpoint.subscription, group) else {
            return;
        };
        let names = self
            .world
            .get(endpoint_id)
            .map(|e| crate::arm::endpoint_addresses::names_of(&self.world, &e.body));
        let Some(zone) = names.and_then(|n| n.first().map(|n| n.zone)) else {
            self.fault(
                format!("{field}.groupId"),
                format!("the target has no group '{}'", endpoint.group_id),
            );
            return;
        };
        let zone_id = format!("{scope}/providers/Microsoft.Network/privateDnsZones/{zone}");
        if self.world.get(&zone_id).is_none() {
            self.fault(
                format!("{field}.zoneResourceGroup"),
                format!("there is no zone '{zone}' in group '{group}'"),
            );
            return;
        }
        let id = format!("{endpoint_id}/privateDnsZoneGroups/default");
        let body = json!({
            "id": id, "name": "default", "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            "properties": {"provisioningState": "Succeeded", "privateDnsZoneConfigs": [{
                "name": zone.replace('.', "-"),
                "properties": {"provisioningState": "Succeeded", "privateDnsZoneId": zone_id, "recordSets": []}}]},
        });
        self.world.put(&id, body, START);
        crate::arm::connections::refresh_names(&mut self.world, endpoint_id, START);
    }

    pub(super) fn denial(&mut self, denial: &DenyAssignmentSeed) {
        let name = guid(&["deny assignment", &denial.name]);
        let id = format!(
            "{}/providers/Microsoft.Authorization/denyAssignments/{name}",
            denial.scope.trim_end_matches('/')
        );
        let excluded: Vec<Value> = denial
            .exclude_principals
            .iter()
            .map(|p| json!({ "id": self.object_id(p), "type": "ServicePrincipal" }))
            .collect();
        let body = json!({
            "id": id, "name": name, "type": "Microsoft.Authorization/denyAssignments",
            "properties": {
                "denyAssignmentName": denial.name, "scope": denial.scope, "doNotApplyToChildScopes": false,
                "permissions": [{"actions": denial.actions, "notActions": denial.not_actions, "dataActions": [], "notDataActions": []}],
                "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
                "excludePrincipals": excluded, "isSystemProtected": true,
            },
        });
        self.world.put(&id, body, START);
    }

    pub(super) fn workspace(&mut self, workspace: &WorkspaceSeed) {
        let field = format!("logAnalyticsWorkspaces[{}]", workspace.name);
        let Some(scope) = self.scope(&field, &workspace.subscription, &workspace.resource_group) else {
            return;
        };
        let id = format!(
            "{scope}/providers/Microsoft.OperationalInsights/workspaces/{}",
            workspace.name
        );
        let body = json!({
            "id": id, "name": workspace.name, "type": "Microsoft.OperationalInsights/workspaces",
            "location": "westeurope", "tags": {},
            "properties": {"customerId": customer_id(&id), "provisioningState": "Succeeded", "retentionInDays": 30,
                "createdDate": BORN, "modifiedDate": BORN, "sku": {"name": "PerGB2018", "lastSkuUpdate": BORN},
                "publicNetworkAccessForIngestion": "Enabled", "publicNetworkAccessForQuery": "Enabled"},
        });
        self.world.put(&id, body, START);
    }

    /// The seed's callers; one of a registry called all of its accounts.
    pub(super) fn callers(&mut self) -> Vec<Caller> {
        let mut all = Vec::new();
        for caller in &self.seed.callers {
            let registry = registry_id(&self.world, &caller.target);
            let targets = match &registry {
                Some(registry) => targets_of(&self.world, registry),
                None => self
                    .world
                    .get(&caller.target)
                    .map(|t| t.id.clone())
                    .into_iter()
                    .collect(),
            };
            if targets.is_empty() {
                self.fault("callers", format!("there is no target '{}'", caller.target));
            }
            all.extend(targets.into_iter().map(|target| Caller {
                target,
                ..caller.clone()
            }));
        }
        all
    }
}
