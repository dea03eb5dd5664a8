//! From the object to [`Desired`]: parses every name, resolves every default, and checks again what the API server checks,
//! because an object may predate a rule. Pure. Each violation says what to write instead.
//!
//! | absent in the spec | becomes |
//! | --- | --- |
//! | `resourceGroupResourceId` | the virtual network's group |
//! | `dns.mode` | `Managed` |
//! | `dns.zoneResourceGroupResourceId` | the virtual network's group |
//! | `dns.linkVirtualNetworks` | the endpoint's own network |
//! | `clientNetworks[].endpoint` | the entry that links the network, else the only entry, else a violation |
//!
//! An object that breaks a rule is not carried out, but it must come to an end when it is deleted, and what it had locked must
//! be opened in an emergency, also when whoever is on call cannot repair it: what both need remains of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use floors::Floors;
pub(crate) use grants::overlapping;
pub use grants::{FoundGrant, NamesThere, grant_violations, grants_serving, texts};
use remains::remains;
pub use remains::{what_remains, what_remains_without_grants};
use sreg_api::SecureRegistry;
use sreg_api::names;
use sreg_api::registry::{
    ApprovalMode, LockdownGate, ManagedResourceGroupAccess, ManagementPolicy, NameChangesGate, OnPremisesSpec,
    PublicAccess, RecentPublicClientsPolicy, RecentPublicClientsSpec, RollbackSpec, VerificationSpec, WindowSpec,
};
use sreg_api::rules::{self, DurationBounds};
pub use sreg_domain::desired::Violation;
use sreg_domain::desired::{
    ClientNetwork, EndpointPlace, NetworkPlace, ObjectRef, RecentPublicClients, Spec, Verification, Window, Wrong,
};
use sreg_domain::{ArmId, Cloud, Desired, Grants, duration, naming};

use crate::prefix::Prefix;
use crate::window;

mod floors;
mod granted;
mod grants;
mod places;
mod remains;
mod tags;
mod waivers;

/// What the operator's installation says, beside the object.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanSettings {
    /// Name of this installation: first part of the owner mark.
    pub installation: String,
    /// Id of the cluster and of the operator in it (`naming::cluster_id`).
    pub cluster: String,
    /// Which Azure cloud.
    pub cloud: Arc<Cloud>,
    /// Longest time that break-glasses may hold a registry open, extensions included.
    pub max_break_glass: Duration,
    /// Shortest intervals that specs are served with.
    pub floors: Floors,
}

/// Collects violations; parsing goes on behind the first.
#[derive(Default)]
struct Checks {
    found: Vec<Violation>,
}

impl Checks {
    fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Violation {
            path: path.into(),
            message: message.into(),
        });
    }

    /// An id of this provider type, or a violation that shows the shape.
    fn id(&mut self, path: impl Into<String>, text: &str, kind: &str, shape: &str) -> Option<ArmId> {
        match text.parse::<ArmId>() {
            Ok(id) if id.kind() == kind && (kind != "resourcegroups" || id.resource_group().is_some()) => Some(id),
            Ok(_) | Err(_) => {
                self.refuse(path, format!("{text:?} must be the ARM id of {shape}"));
                None
            }
        }
    }

    /// A duration within its bounds, or a violation in the API server's own words.
    fn duration(&mut self, path: impl Into<String>, text: &str, bounds: DurationBounds) -> Option<Duration> {
        let parsed = duration::parse(text)
            .filter(|it| duration::parse(bounds.least).is_none_or(|least| *it >= least))
            .filter(|it| duration::parse(bounds.most).is_none_or(|most| *it <= most));
        if parsed.is_none() {
            self.refuse(path, format!("{text:?} {}", bounds.says));
        }
        parsed
    }
}

const REGISTRY_SHAPE: &str = "an ML registry: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.MachineLearningServices/registries/NAME";
const STORAGE_SHAPE: &str = "a storage account: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/NAME";
const VNET_SHAPE: &str = "a virtual network: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/virtualNetworks/NAME";
const WORKSPACE_SHAPE: &str = "a Log Analytics workspace: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.OperationalInsights/workspaces/NAME";

/// Turns an object into what is desired, as far as the grants that serve its namespace allow it and as strictly as they demand. Of one
/// that breaks rules, or names what no grant covers, only [what remains](what_remains) is left, with everything that is wrong with it;
/// an error only where it does not even name its registry. An object that is being deleted always gives a `Desired`, so that its
/// finalizer can go.
pub fn validate(object: &SecureRegistry, settings: &PlanSettings, grants: &Grants) -> Result<Desired, Vec<Violation>> {
    let mut checks = Checks::default();
    let registry = registry_id(object, &mut checks);
    let spec = parse(object, settings, &mut checks).filter(|_| checks.found.is_empty());
    let Some((registry, spec)) = registry.zip(spec) else {
        return what_remains(object, settings, grants, checks.found);
    };
    let desired = desired(object, settings, grants, registry, Ok(Box::new(spec)));
    let refused = granted::refused(&desired);
    let forbidden = granted::forbidden(&desired, &object.spec);
    if let Some(wrong) = Wrong::of(forbidden, refused) {
        let stands_on = granted::names_standing(&desired);
        let remains = remains(object, settings, grants, desired.registry, wrong);
        return Ok(Desired { stands_on, ..remains });
    }
    let desired = settings.floors.raise(granted::demanded(desired, &mut checks));
    if checks.found.is_empty() {
        Ok(desired)
    } else {
        what_remains(object, settings, grants, checks.found)
    }
}

fn registry_id(object: &SecureRegistry, checks: &mut Checks) -> Option<ArmId> {
    checks.id(
        "spec.registry.resourceId",
        &object.spec.registry.resource_id,
        "microsoft.machinelearningservices/registries",
        REGISTRY_SHAPE,
    )
}

fn object_ref(object: &SecureRegistry) -> ObjectRef {
    ObjectRef {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
    }
}

fn parse(object: &SecureRegistry, settings: &PlanSettings, checks: &mut Checks) -> Option<Spec> {
    let spec = &object.spec;
    let endpoints = places::endpoints(spec, &settings.cloud, checks);
    tags::check(spec, checks);
    if object
        .metadata
        .name
        .as_ref()
        .is_some_and(|name| name.len() > names::LONGEST_NAME)
    {
        checks.refuse(
            "metadata.name",
            format!(
                "has more than {} characters: create the object under a shorter name",
                names::LONGEST_NAME
            ),
        );
    }
    let waived = waivers::networks(object, checks);
    let waived_hosts = waivers::hosts(object, checks);
    let shared_accounts = shared_accounts(object, checks);
    let client_networks = client_networks(object, &endpoints, checks);
    linked_are_clients(&endpoints, &client_networks, &waived, checks);
    clients_are_not_waived(&client_networks, &waived, checks);
    if spec.public_access.desired == PublicAccess::Disabled
        && spec.management_policy != ManagementPolicy::Observe
        && (spec.endpoints.is_empty() || spec.client_networks.is_empty())
    {
        checks.refuse("spec.publicAccess.desired", rules::LOCK_NEEDS_CLIENTS_SAYS);
    }
    let verification = verification(&spec.verification, checks);
    let lockdown = spec.public_access.lockdown.clone().unwrap_or_default();
    let window = lockdown.window.as_ref().and_then(|w| parse_window(w, checks));
    if lockdown.wait_for.contains(&LockdownGate::Window) != lockdown.window.is_some() {
        checks.refuse(
            "spec.publicAccess.lockdown",
            "set lockdown.window (schedule, timeZone, duration) if, and only if, waitFor contains Window",
        );
    }
    let rollback: RollbackSpec = spec.public_access.rollback.clone().unwrap_or_default();
    let grace_period = checks.duration(
        "spec.publicAccess.rollback.gracePeriod",
        &rollback.grace_period,
        rules::GRACE_PERIOD_BOUNDS,
    );
    let sharing = spec
        .sharing
        .as_ref()
        .map(|s| s.workspace_storage_account_resource_ids.as_slice())
        .unwrap_or_default();
    let sharing = sharing
        .iter()
        .enumerate()
        .filter_map(|(at, id)| {
            let path = format!("spec.sharing.workspaceStorageAccountResourceIds[{at}]");
            checks.id(path, id, "microsoft.storage/storageaccounts", STORAGE_SHAPE)
        })
        .collect();
    let drift_interval = checks.duration(
        "spec.drift.interval",
        &spec.drift.interval,
        rules::DRIFT_INTERVAL_BOUNDS,
    );
    Some(Spec {
        create: spec.registry.create.as_ref().map(|create| {
            let all = std::iter::once(&create.location).chain(&create.additional_locations);
            let mut locations = Vec::new();
            for location in all.map(|l| l.as_str().into()) {
                if !locations.contains(&location) {
                    locations.push(location);
                }
            }
            locations
        }),
        tags: spec.registry.tags.clone(),
        tags_at_creation: tags::merged(&spec.registry.tags, &spec.tags)
            .into_iter()
            .filter(|(name, _)| !spec.registry.tags.keys().any(|own| own.eq_ignore_ascii_case(name)))
            .collect(),
        grant_operator: spec.registry.managed_resource_group_access == ManagedResourceGroupAccess::GrantOperator,
        endpoints,
        client_networks,
        waived,
        waived_hosts,
        shared_accounts,
        verification: verification?,
        approve_name_changes: spec
            .name_changes
            .as_ref()
            .is_some_and(|n| n.wait_for.contains(&NameChangesGate::Approval)),
        gates: lockdown.wait_for,
        window,
        rollback: rollback.on_failure,
        grace_period: grace_period?,
        sharing,
        drift_interval: drift_interval?,
        approval_demanded: false,
        demanded: Vec::new(),
        raised: Vec::new(),
    })
}

/// The only place where a `Desired` is made. What grants demand, and which, is put in by those who ask them.
fn desired(
    object: &SecureRegistry,
    settings: &PlanSettings,
    grants: &Grants,
    registry: ArmId,
    spec: Result<Box<Spec>, Wrong>,
) -> Desired {
    let reference = object_ref(object);
    Desired {
        owner: naming::owner_mark(&settings.installation, &reference.namespace, &reference.name),
        object: reference,
        cluster: settings.cluster.clone(),
        cloud: Arc::clone(&settings.cloud),
        registry,
        public_access: object.spec.public_access.desired,
        observe_only: object.spec.management_policy == ManagementPolicy::Observe,
        leaving: object.metadata.deletion_timestamp.is_some(),
        deletion: object.spec.deletion_policy,
        max_break_glass: settings.max_break_glass,
        separate_approver: false,
        grants: grants.clone(),
        stands_on: Vec::new(),
        spec,
    }
}

fn shared_accounts(object: &SecureRegistry, checks: &mut Checks) -> BTreeMap<ArmId, String> {
    let mut shared = BTreeMap::new();
    for (at, account) in object.spec.shared_accounts.iter().enumerate() {
        let path = format!("spec.sharedAccounts[{at}]");
        if account.reason.trim().is_empty() {
            checks.refuse(format!("{path}.reason"), "say who else uses it, and that they know");
        }
        let id = account.resource_id.parse::<ArmId>().ok();
        let kinds = [
            "microsoft.storage/storageaccounts",
            "microsoft.containerregistry/registries",
        ];
        match id.filter(|id| kinds.contains(&id.kind().as_str())) {
            Some(id) => drop(shared.insert(id, account.reason.clone())),
            None => checks.refuse(
                format!("{path}.resourceId"),
                format!(
                    "{:?} must be the ARM id of a storage account or container registry",
                    account.resource_id
                ),
            ),
        }
    }
    shared
}

fn client_networks(object: &SecureRegistry, endpoints: &[EndpointPlace], checks: &mut Checks) -> Vec<ClientNetwork> {
    let mut names = BTreeSet::new();
    let mut vantage_points = BTreeSet::new();
    let mut networks = Vec::new();
    for network in &object.spec.client_networks {
        let path = format!("spec.clientNetworks[{}]", network.name);
        if !names.insert(network.name.as_str()) {
            checks.refuse(&path, "two entries have this name: give each its own");
        }
        if !names::is_object_name(&network.vantage_point) {
            checks.refuse(
                format!("{path}.vantagePoint"),
                format!(
                    "{:?} is no name of a VantagePoint: write lower-case letters, digits, - and ., at most {} characters",
                    network.vantage_point.chars().take(80).collect::<String>(),
                    names::LONGEST_NAME
                ),
            );
        }
        if !vantage_points.insert(network.vantage_point.as_str()) {
            checks.refuse(
                format!("{path}.vantagePoint"),
                format!(
                    "{} already proves another network: each client network needs a vantage point of its own",
                    network.vantage_point
                ),
            );
        }
        let place = match (&network.virtual_network_resource_id, &network.on_premises) {
            (Some(id), None) => {
                let path = format!("{path}.virtualNetworkResourceId");
                checks
                    .id(path, id, "microsoft.network/virtualnetworks", VNET_SHAPE)
                    .map(NetworkPlace::VirtualNetwork)
            }
            (None, Some(on_premises)) => {
                for prefix in on_premises
                    .address_prefixes
                    .iter()
                    .filter(|p| Prefix::parse(p).is_none())
                {
                    let path = format!("{path}.onPremises.addressPrefixes");
                    checks.refuse(
                        &path,
                        format!("{prefix:?} is no address prefix: write it like 10.200.0.0/16"),
                    );
                }
                Some(NetworkPlace::OnPremises(on_premises.address_prefixes.clone()))
            }
            (None, None) | (Some(_), Some(_)) => {
                checks.refuse(&path, "set exactly one of virtualNetworkResourceId and onPremises");
                None
            }
        };
        let Some(place) = place else { continue };
        let Some(endpoint) = endpoint_of(&path, network.endpoint.as_deref(), &place, object, endpoints, checks) else {
            continue;
        };
        networks.push(ClientNetwork {
            name: network.name.clone(),
            place,
            vantage_point: network.vantage_point.clone(),
            endpoint,
            dns_servers: dns_servers(&path, network.on_premises.as_ref(), checks),
        });
    }
    networks
}

/// DNS servers that the spec names for a network outside Azure.
fn dns_servers(path: &str, on_premises: Option<&OnPremisesSpec>, checks: &mut Checks) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for text in on_premises.map(|o| o.dns_servers.as_slice()).unwrap_or_default() {
        match text.parse() {
            Ok(server) => servers.push(server),
            Err(_) => checks.refuse(
                format!("{path}.onPremises.dnsServers"),
                format!("{text:?} is no address: write it like 10.200.0.10"),
            ),
        }
    }
    servers
}

/// Whose addresses clients of a network must get. Guessing would prove the wrong addresses, accepting any would prove nothing.
fn endpoint_of(
    path: &str,
    named: Option<&str>,
    place: &NetworkPlace,
    object: &SecureRegistry,
    endpoints: &[EndpointPlace],
    checks: &mut Checks,
) -> Option<String> {
    let written: Vec<&str> = object.spec.endpoints.iter().map(|e| e.name.as_str()).collect();
    if let Some(named) = named {
        if !written.contains(&named) {
            checks.refuse(
                format!("{path}.endpoint"),
                format!(
                    "no entry of spec.endpoints is named {named:?}: write one of {}",
                    written.join(", ")
                ),
            );
            return None;
        }
        return Some(named.to_owned());
    }
    let linking: Vec<&EndpointPlace> = match place {
        NetworkPlace::VirtualNetwork(id) => endpoints.iter().filter(|e| e.dns.links.contains(id)).collect(),
        NetworkPlace::OnPremises(_) => Vec::new(),
    };
    match (linking.as_slice(), written.as_slice()) {
        ([one], _) => Some(one.name.clone()),
        (_, [one]) => Some((*one).to_owned()),
        // Refused elsewhere: without endpoints nothing can be locked; a network may stand before its endpoint.
        (_, []) => Some(String::new()),
        _ => {
            let choices = written.join(", ");
            checks.refuse(
                format!("{path}.endpoint"),
                format!("cannot tell whose addresses clients here must get: write endpoint: one of {choices}"),
            );
            None
        }
    }
}

fn linked_are_clients(
    endpoints: &[EndpointPlace],
    clients: &[ClientNetwork],
    waived: &BTreeMap<ArmId, String>,
    checks: &mut Checks,
) {
    for place in endpoints {
        for network in &place.dns.links {
            let client = clients
                .iter()
                .any(|c| c.place == NetworkPlace::VirtualNetwork(network.clone()));
            if !client && !waived.contains_key(network) {
                checks.refuse(
                    format!("spec.endpoints[{}].dns.linkVirtualNetworks", place.name),
                    format!("the DNS of {network} is changed, so it must be proven or waived: list it under clientNetworks with a vantage point, or under unprovenNetworks with a reason"),
                );
            }
        }
    }
}

fn clients_are_not_waived(clients: &[ClientNetwork], waived: &BTreeMap<ArmId, String>, checks: &mut Checks) {
    for client in clients {
        if let NetworkPlace::VirtualNetwork(network) = &client.place
            && waived.contains_key(network)
        {
            checks.refuse(
                format!("spec.clientNetworks[{}].virtualNetworkResourceId", client.name),
                format!("{network} is also listed under unprovenNetworks, which waives it: remove it from one of them"),
            );
        }
    }
}

fn verification(spec: &VerificationSpec, checks: &mut Checks) -> Option<Verification> {
    let path = "spec.verification";
    let successes = u32::try_from(spec.consecutive_successes)
        .ok()
        .filter(|n| (1..=10).contains(n));
    if successes.is_none() {
        checks.refuse(format!("{path}.consecutiveSuccesses"), "must lie between 1 and 10");
    }
    let interval = checks.duration(format!("{path}.interval"), &spec.interval, rules::INTERVAL_BOUNDS);
    let max_age = checks.duration(format!("{path}.maxAge"), &spec.max_age, rules::MAX_AGE_BOUNDS);
    let dns_settle = checks.duration(format!("{path}.dnsSettle"), &spec.dns_settle, rules::DNS_SETTLE_BOUNDS);
    if let (Some(successes), Some(interval), Some(max_age)) = (successes, interval, max_age)
        && max_age < interval.saturating_mul(successes)
    {
        checks.refuse(
            format!("{path}.maxAge"),
            "must be at least consecutiveSuccesses × interval: raise maxAge or lower the interval",
        );
    }
    let recent = spec
        .recent_public_clients
        .as_ref()
        .map(|r| recent_public_clients(r, checks));
    let recent_public_clients = match recent {
        Some(parsed) => parsed?,
        None => None,
    };
    Some(Verification {
        consecutive_successes: successes?,
        interval: interval?,
        max_age: max_age?,
        dns_settle: dns_settle?,
        recent_public_clients,
    })
}

/// `Some(None)`: nothing is looked for.
fn recent_public_clients(spec: &RecentPublicClientsSpec, checks: &mut Checks) -> Option<Option<RecentPublicClients>> {
    let path = "spec.verification.recentPublicClients";
    let workspace = checks.id(
        format!("{path}.logAnalyticsWorkspaceResourceId"),
        &spec.log_analytics_workspace_resource_id,
        "microsoft.operationalinsights/workspaces",
        WORKSPACE_SHAPE,
    );
    let window = checks.duration(format!("{path}.window"), &spec.window, rules::LOOK_BACK_BOUNDS);
    for (at, accepted) in spec.accept.iter().enumerate() {
        if crate::prefix::Prefix::parse(accepted).is_none() {
            checks.refuse(
                format!("{path}.accept[{at}]"),
                format!("{accepted:?} is neither an address nor a prefix such as 203.0.113.0/24"),
            );
        }
    }
    let parsed = RecentPublicClients {
        workspace: workspace?,
        window: window?,
        policy: spec.policy,
        accept: spec.accept.clone(),
    };
    Some((spec.policy != RecentPublicClientsPolicy::Ignore).then_some(parsed))
}

fn parse_window(spec: &WindowSpec, checks: &mut Checks) -> Option<Window> {
    let path = "spec.publicAccess.lockdown.window";
    let duration = checks.duration(format!("{path}.duration"), &spec.duration, rules::WINDOW_LENGTH_BOUNDS);
    if let Err(why) = window::check_schedule(&spec.schedule) {
        checks.refuse(format!("{path}.schedule"), why);
    }
    if let Err(why) = window::check_time_zone(&spec.time_zone) {
        checks.refuse(format!("{path}.timeZone"), why);
    }
    Some(Window {
        schedule: spec.schedule.clone(),
        time_zone: spec.time_zone.clone(),
        duration: duration?,
    })
}

/// The request message of a manual connection: what the approver reads.
fn request_message(place: &sreg_api::registry::EndpointSpec) -> Option<String> {
    let approval = place.approval.as_ref()?;
    (approval.mode == ApprovalMode::Manual).then(|| {
        approval
            .request_message
            .clone()
            .unwrap_or_else(|| "requested by secure-registry-operator".into())
    })
}
