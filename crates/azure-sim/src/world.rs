//! The simulated world: every ARM resource as the raw JSON that Azure would answer, the places one can connect from,
//! the switches for unsettled behaviour, and the clock. The control plane ([`crate::arm`]) is its only writer; the data
//! plane ([`crate::data_plane`]) reads it to answer DNS questions and to decide what a stream reaches. No I/O here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::path::kind_of;
use crate::journal::{Actor, ChangeEntry, ChangeKind};
use crate::json::differences;
use crate::targets::TargetKind;

/// Lower-cased ARM id: the only form used as a key, because resource providers re-case ids (azure.md §12, trap 18).
pub type Key = String;

/// Turns an ARM id into its map key: lower case, no trailing slash.
pub fn key(id: &str) -> Key {
    id.trim_end_matches('/').to_lowercase()
}

/// One ARM resource (or child resource such as a peering, zone link, record set, zone group, connection).
#[derive(Debug, Clone)]
pub struct Resource {
    /// The id as Azure spells it, original casing kept.
    pub id: String,
    /// Provider type, lower case, such as `microsoft.network/privateendpoints`.
    pub kind: String,
    /// The whole answer body of a GET, server-owned fields included, unknown fields kept.
    pub body: Value,
    /// Changes with each write; also what `etag` in the body says for kinds that have one.
    pub etag: u64,
    /// Simulated time of the last write.
    pub changed_at: Duration,
}

/// A place to connect from.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// The name people use: `hub`, `spoke`, `office`, `internet`.
    pub name: String,
    /// What kind of place it is.
    #[serde(flatten)]
    pub place: Place,
    /// The public address that servers see when a stream leaves this network for the internet.
    pub egress_address: Ipv4Addr,
}

/// The kinds of places.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Inside an Azure virtual network (its ARM id). DNS is 168.63.129.16 unless the VNet's `dhcpOptions.dnsServers` says otherwise.
    VirtualNetwork(String),
    /// A network of the customer's own, joined to one VNet (as by VPN); only its forwarder answers DNS.
    OnPremises(OnPremises),
    /// Anywhere else. DNS as the public sees it, at 1.1.1.1:53.
    Internet(Internet),
}

/// An on-premises network.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnPremises {
    /// Its own prefixes, such as `10.200.0.0/16`.
    pub address_prefixes: Vec<String>,
    /// ARM id of the VNet that its gateway joins: it reaches what that VNet and its peers hold.
    pub connected_to: String,
    /// Where its DNS forwarder listens, such as `10.200.0.53`.
    pub dns_server: Ipv4Addr,
    /// ARM id of the VNet in whose view the forwarder's questions are answered; absent: it forwards to the internet.
    pub forwards_to: Option<String>,
}

/// The internet has nothing to set.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Internet {}

/// How the simulator plays the questions that azure.md §13 leaves open, and other settings that tests vary.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Switches {
    /// U2: disabling the registry also disables which managed accounts.
    pub cascade_disable: Cascade,
    /// U2: enabling the registry also enables those again.
    pub cascade_enable: bool,
    /// U3/U4: a customer's write on a managed account is refused with `DenyAssignmentAuthorizationFailed`.
    pub deny_managed_writes: bool,
    /// U6/U34: approval on managed accounts is refused too (the endpoint's PUT answers 403).
    pub deny_managed_approval: bool,
    /// U9: a registry PUT that omits `managedResourceGroupSettings` and its kin clears them.
    pub put_clears_omitted: bool,
    /// U13: how a registry PUT answers and is polled.
    pub registry_put: RegistryPut,
    /// U14: `customDnsConfigs` is emptied once a zone group exists.
    pub custom_dns_configs_emptied: bool,
    /// U26: how long after a registry write a GET may still show the old body, in simulated seconds.
    pub stale_reads_seconds: u64,
    /// U31: which hosts discovery returns.
    pub discovery_hosts: DiscoveryHosts,
    /// How long after an ARM write a change of public access takes effect on the data plane, in simulated seconds.
    pub access_effect_seconds: u64,
    /// Resource ids come back re-cased (`resourcegroups`, lower-cased provider types).
    pub recase_ids: bool,
    /// New connections stay `Pending` even when auto-approval was asked for.
    pub approval_pending: bool,
    /// U1: what a registry PATCH that carries `properties.publicNetworkAccess` does.
    pub patch_public_access: PatchPublicAccess,
    /// U34: which error a refused approval on a managed account carries.
    pub approval_denial: ApprovalDenial,
    /// U4: a principal in `managedResourceGroupSettings.assignedIdentities` is exempt from the deny assignment and may
    /// write and approve on the managed accounts.
    pub assigned_identities_grant: bool,
    /// U6: whether `registries/privateEndpointConnections` answers.
    pub registry_connections: ConnectionsApi,
    /// U11: what a registry PUT with fewer regions does.
    pub fewer_regions: FewerRegions,
    /// U12: the api-versions 2026-07-01 and later are served.
    pub newest_api_versions: bool,
    /// U16: a PATCH merges into `networkAcls` in place of replacing them as a whole.
    pub network_acls_merged: bool,
    /// U17: enabling public access of a container registry fails while its export policy is disabled.
    pub export_policy_blocks_reopening: bool,
    /// U19: HTTP status of `LinkedAuthorizationFailed`.
    pub linked_authorization_status: u16,
    /// U25: linking a zone needs `virtualNetworks/join/action` on the VNet.
    pub link_needs_join: bool,
    /// U33: the storage and container registry of a registry that is created closed are closed too.
    pub accounts_born_closed: bool,
    /// Two endpoints of one VNet, or on one storage account, cannot be worked on at once (azure.md §12, trap 7).
    pub serialise_endpoints: bool,
    /// U23: Log Analytics shows callers' addresses with a port.
    pub caller_addresses_with_port: bool,
    /// U35: to whoever may not read all that a list holds it comes short, in place of a refusal.
    pub short_lists: bool,
    /// U37: an api-version of container registries before 2026-11-01 leaves out their subnet rules.
    pub acr_subnet_rules_hidden: bool,
    /// How many items a page of a list holds at most.
    pub page_size: u32,
    /// How long a change of a role assignment takes to get about, in simulated seconds.
    pub role_assignment_delay_seconds: u64,
    /// How long a deleted zone link is still there after its operation ended, in simulated seconds (trap 15).
    pub link_deletion_lag_seconds: u64,
}

/// What a registry PATCH that carries `publicNetworkAccess` does (U1).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum PatchPublicAccess {
    /// The rest of the PATCH is carried out.
    Ignored,
    /// It takes effect.
    Honoured,
    /// 400 `UserError`.
    Rejected,
}

/// The error of a refused approval on a managed account (U34).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum ApprovalDenial {
    /// `LinkedAuthorizationFailed`.
    Linked,
    /// `DenyAssignmentAuthorizationFailed`.
    DenyAssignment,
}

/// Whether `registries/privateEndpointConnections` answers (U6).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum ConnectionsApi {
    /// It does.
    Present,
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
}

/// What a registry PUT with fewer regions does (U11).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum FewerRegions {
    /// The regions stay.
    Ignored,
    /// They go, with their storage account.
    Removed,
    /// 400 `UserError`.
    Rejected,
}

impl Default for Switches {
    fn default() -> Self {
        Switches {
            cascade_disable: Cascade::None,
            cascade_enable: false,
            deny_managed_writes: false,
            deny_managed_approval: false,
            put_clears_omitted: false,
            registry_put: RegistryPut::Empty202AsyncOperation,
            custom_dns_configs_emptied: true,
            stale_reads_seconds: 0,
            discovery_hosts: DiscoveryHosts::SameNames,
            access_effect_seconds: 0,
            recase_ids: false,
            approval_pending: false,
            patch_public_access: PatchPublicAccess::Ignored,
            approval_denial: ApprovalDenial::Linked,
            assigned_identities_grant: true,
            registry_connections: ConnectionsApi::Present,
            fewer_regions: FewerRegions::Ignored,
            newest_api_versions: false,
            network_acls_merged: false,
            export_policy_blocks_reopening: true,
            linked_authorization_status: 403,
            link_needs_join: false,
            accounts_born_closed: true,
            serialise_endpoints: true,
            caller_addresses_with_port: false,
            short_lists: false,
            acr_subnet_rules_hidden: false,
            page_size: 100,
            role_assignment_delay_seconds: 0,
            link_deletion_lag_seconds: 0,
        }
    }
}

/// Which managed accounts follow the registry's `publicNetworkAccess` (U2).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum Cascade {
    /// Neither.
    None,
    /// Storage and ACR.
    Both,
    /// The storage accounts only.
    Storage,
    /// The container registry only.
    ContainerRegistry,
}

/// How a registry PUT answers (U13).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum RegistryPut {
    /// 202, empty body, `Azure-AsyncOperation`; poll body has `status`.
    Empty202AsyncOperation,
    /// 202, empty body, `Location` only; the poll answers 202, then 200 with the full registry.
    Empty202Location,
    /// 202 with both headers: the status URL answers `status`, the `Location` ends in the full registry.
    Empty202Both,
    /// 200 with the body at once.
    Immediate200,
}

/// Which hosts discovery returns for a registry (U31).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum DiscoveryHosts {
    /// The names that the registry's endpoint carries.
    SameNames,
    /// Also `cert-<region>.experiments.azureml.net`, which no endpoint carries.
    Others,
}

/// Everything there is. Shared as `Arc<std::sync::Mutex<World>>`; never held across an await.
#[derive(Debug, Default)]
pub struct World {
    /// All ARM resources by lower-cased id. Subnets are children of their own *and* inline in the VNet's body.
    pub resources: BTreeMap<Key, Resource>,
    /// The places one can connect from, by name.
    pub networks: BTreeMap<String, Network>,
    /// Behaviour that varies.
    pub switches: Switches,
    /// Public address of each public name that a target owns (registry, blob, dfs, ACR login, ACR data), lower case.
    pub public_addresses: BTreeMap<String, Ipv4Addr>,
    /// Data-plane truth of public access, where it lags behind ARM (see [`Switches::access_effect_seconds`]): target key
    /// to the times (simulated) and bodies that were in force before the newest write.
    pub earlier_bodies: BTreeMap<Key, Vec<(Duration, Value)>>,
    /// Keys of the resources of each kind: the index behind [`World::of_kind`].
    pub(crate) by_kind: BTreeMap<String, BTreeSet<Key>>,
    /// Which target owns a public name: the index behind [`crate::targets::owner_of_fqdn`].
    pub(crate) name_owners: BTreeMap<String, Key>,
    /// Public addresses given out.
    pub(crate) used_addresses: BTreeSet<Ipv4Addr>,
    /// Who is writing now.
    pub(crate) actor: Actor,
    /// Changes not yet in the journal.
    pub(crate) unwritten: Vec<(Duration, ChangeEntry)>,
}

/// How many bodies of a target are kept for [`World::earlier_bodies`].
const EARLIER_KEPT: usize = 16;

impl World {
    /// Writes a resource: creates it or replaces its body. A body equal to the present one changes nothing.
    pub(crate) fn put(&mut self, id: &str, body: Value, now: Duration) {
        let key = key(id);
        let kind = kind_of(id);
        let before = self.resources.get(&key);
        let (change, fields, etag) = match before {
            Some(before) if before.body == body => return,
            Some(before) => (ChangeKind::Updated, differences(&before.body, &body), before.etag + 1),
            None => (ChangeKind::Created, Vec::new(), 1),
        };
        if let Some(before) = before
            && TargetKind::of(&kind).is_some()
        {
            let earlier = self.earlier_bodies.entry(key.clone()).or_default();
            if earlier.len() == EARLIER_KEPT {
                earlier.remove(0);
            }
            earlier.push((now, before.body.clone()));
        }
        let id = before.map_or_else(|| id.trim_end_matches('/').to_owned(), |b| b.id.clone());
        self.unwritten.push((
            now,
            ChangeEntry {
                id: id.clone(),
                by: self.actor.clone(),
                fields,
                change,
            },
        ));
        self.by_kind.entry(kind.clone()).or_default().insert(key.clone());
        self.resources.insert(
            key,
            Resource {
                id,
                kind,
                body,
                etag,
                changed_at: now,
            },
        );
    }

    /// Changes a resource's body in place; `false` when there is no such resource.
    pub(crate) fn edit(&mut self, id: &str, now: Duration, edit: impl FnOnce(&mut Value)) -> bool {
        let Some(resource) = self.get(id) else { return false };
        let (id, mut body) = (resource.id.clone(), resource.body.clone());
        edit(&mut body);
        self.put(&id, body, now);
        true
    }

    /// Removes a resource, its children stay; `false` when it was not there.
    pub(crate) fn remove(&mut self, id: &str, now: Duration) -> bool {
        let Some(gone) = self.resources.remove(&key(id)) else {
            return false;
        };
        if let Some(keys) = self.by_kind.get_mut(&gone.kind) {
            keys.remove(&key(id));
        }
        self.earlier_bodies.remove(&key(id));
        let change = ChangeEntry {
            id: gone.id,
            by: self.actor.clone(),
            fields: Vec::new(),
            change: ChangeKind::Deleted,
        };
        self.unwritten.push((now, change));
        true
    }

    /// Gives each public name that a target owns its address, and notes the owner.
    pub(crate) fn publish(&mut self, target_id: &str) {
        for name in crate::targets::fqdns_of(self, target_id) {
            self.publish_name(&name.fqdn);
            self.name_owners.insert(name.fqdn, key(target_id));
        }
    }

    /// Gives a public name an address of its own in 20.0.0.0/8; the same in every run with the same names.
    pub(crate) fn publish_name(&mut self, fqdn: &str) {
        if self.public_addresses.contains_key(fqdn) {
            return;
        }
        let mut host = crate::json::number(&["public address", fqdn], 1 << 24) as u32;
        let address = loop {
            let address = Ipv4Addr::from(0x1400_0000 | (host & 0x00ff_ffff));
            if self.used_addresses.insert(address) {
                break address;
            }
            host = host.wrapping_add(1);
        };
        self.public_addresses.insert(fqdn.to_owned(), address);
    }

    /// Takes the names of a target that is gone out of public DNS.
    pub(crate) fn withdraw(&mut self, target_id: &str) {
        let target = key(target_id);
        let gone: Vec<String> = self
            .name_owners
            .iter()
            .filter(|(_, owner)| **owner == target)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.name_owners.remove(&name);
            if let Some(address) = self.public_addresses.remove(&name) {
                self.used_addresses.remove(&address);
            }
        }
    }

    /// Removes a resource and all below it.
    pub(crate) fn remove_tree(&mut self, id: &str, now: Duration) {
        let below: Vec<String> = self.below(id).map(|r| r.id.clone()).collect();
        for child in below {
            self.remove(&child, now);
        }
        self.remove(id, now);
    }

    /// The resource with this id, whatever its casing.
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&key(id))
    }

    /// All resources of a provider type (lower case), in id order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Resource> + 'a {
        // Worlds that were put together by hand, past `put`, have no index: they are searched.
        let indexed = self.by_kind.values().map(BTreeSet::len).sum::<usize>() == self.resources.len();
        let found = self.by_kind.get(kind).filter(|_| indexed);
        let known = found.into_iter().flatten().filter_map(|key| self.resources.get(key));
        let searched = (!indexed).then(|| self.resources.values().filter(move |r| r.kind == kind));
        known.chain(searched.into_iter().flatten())
    }

    /// All resources below this id (children, grandchildren), in id order.
    pub fn below<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Resource> + 'a {
        let prefix = format!("{}/", key(id));
        self.resources
            .range(prefix.clone()..)
            .take_while(move |(k, _)| k.starts_with(&prefix))
            .map(|(_, r)| r)
    }
}
